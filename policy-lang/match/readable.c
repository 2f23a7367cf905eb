/* What may be read at all: where two parsers could see two things, no rule is judged. */
#include "match.h"

bool match_reads_query(const struct sp_rule *rule, struct sp_text name)
{
    for (size_t i = 0; i < rule->n_reads; i++) {
        const struct field *field = rule->reads[i];
        if (field->source == FIELD_QUERY && field->n_parts > 0 &&
            sp_text_eq(field->parts[0], name)) {
            return true;
        }
    }
    return false;
}

/* Along the path of a read field, no member may be the field's twin in another case, and none
 * may be ambiguous: another parser would read another value. */
static const char *path_fault(const struct sp_value *value, const struct sp_text *parts,
                              size_t n_parts)
{
    for (size_t i = 0; value; i++) {
        if (value->kind == SP_VALUE_AMBIGUOUS) {
            return "a field that the rule reads is given twice";
        }
        if (i == n_parts || value->kind != SP_VALUE_OBJECT) {
            return NULL;
        }
        const struct sp_value *next = NULL;
        for (size_t m = 0; m < value->as.object.n; m++) {
            const struct sp_member *member = &value->as.object.items[m];
            if (sp_text_eq(member->name, parts[i])) {
                next = &member->value;
            } else if (sp_text_eq_fold(member->name, parts[i])) {
                return "a field differs from one that the rule reads by case alone";
            }
        }
        value = next;
    }
    return NULL;
}

static const char *items_fault(const struct field *field, const struct sp_value *root)
{
    const struct sp_value *array = match_walk(root, field->parts, field->n_parts);
    if (!array || array->kind != SP_VALUE_ARRAY) {
        return NULL;
    }
    for (size_t i = 0; i < array->as.array.n; i++) {
        const char *fault =
            path_fault(&array->as.array.items[i], field->item_parts, field->n_item_parts);
        if (fault) {
            return fault;
        }
    }
    return NULL;
}

static const char *header_fault(struct sp_text name, const struct sp_request *request)
{
    size_t n = 0;
    for (size_t i = 0; i < request->n_headers; i++) {
        n += sp_text_eq_fold(request->headers[i].name, name);
    }
    return n > 1 ? "a header that the rule reads is given twice" : NULL;
}

/* The name of a parameter up to its brackets, as sp_form_tree cuts it. */
static struct sp_text root_name(struct sp_text name)
{
    size_t n = 0;
    while (n < name.len && name.ptr[n] != '[' && name.ptr[n] != ']') {
        n++;
    }
    return n > 0 ? (struct sp_text){name.ptr, n} : name;
}

static const char *body_fault(const struct sp_rule *rule, const struct sp_request *request)
{
    switch (request->body_kind) {
    case SP_BODY_NONE:
        return "the rule reads the body, and there is none";
    case SP_BODY_UNREAD:
        return "the body was not judged";
    case SP_BODY_OPAQUE:
        return request->body_reason ? request->body_reason : "the body cannot be judged";
    case SP_BODY_STREAMED:
        return "the body streams, so the rule cannot read it";
    case SP_BODY_JSON:
    case SP_BODY_FORM:
        break;
    }
    if (!request->body_value) {
        return "the body was not judged";
    }
    /* Many frameworks read body and query as one. */
    for (size_t i = 0; i < request->url.n_query; i++) {
        if (!match_reads_query(rule, root_name(request->url.query[i].name))) {
            return "the rule reads the body, and the query holds a parameter that it does not "
                   "read";
        }
    }
    return NULL;
}

static const char *field_fault(const struct field *field, const struct sp_request *request)
{
    if (field->source == FIELD_PATH) {
        return NULL;
    }
    if (field->source == FIELD_HEADER) {
        return header_fault(field->parts[0], request);
    }
    const struct sp_value *root = request->body_value;
    if (field->source == FIELD_QUERY) {
        root = request->query_value;
        if (!root) {
            return request->url.n_query > 0 ? "the query was not judged" : NULL;
        }
    }
    const char *fault = path_fault(root, field->parts, field->n_parts);
    return fault || field->quantifier == QUANTIFIER_NONE ? fault : items_fault(field, root);
}

const char *match_unreadable(const struct sp_rule *rule, const struct sp_request *request)
{
    const char *fault = rule->reads_body ? body_fault(rule, request) : NULL;
    for (size_t i = 0; i < rule->n_reads && !fault; i++) {
        fault = field_fault(rule->reads[i], request);
    }
    return fault;
}
