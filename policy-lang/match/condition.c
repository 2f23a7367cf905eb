/* Conditions, in Kleene's three values: absent or of the wrong type is unknown. */
#include "ast.h"

#include <stdio.h>

static enum truth truth_of(bool value)
{
    return value ? TRUTH_TRUE : TRUTH_FALSE;
}

/* ---- fields --------------------------------------------------------------------------------
 */

static const struct sp_value *walk(const struct sp_value *value, const struct sp_text *parts,
                                   size_t n_parts)
{
    for (size_t i = 0; value && i < n_parts; i++) {
        value = sp_value_get(value, parts[i]);
    }
    return value;
}

static const struct sp_header *find_header(const struct sp_request *request,
                                           struct sp_text name)
{
    for (size_t i = 0; i < request->n_headers; i++) {
        if (sp_text_eq(request->headers[i].name, name)) {
            return &request->headers[i];
        }
    }
    return NULL;
}

/* The field's value; NULL where it is absent. Headers and captures are put into *text. */
static const struct sp_value *
field_value(const struct field *field, const struct sp_request *request, struct sp_value *text)
{
    switch (field->source) {
    case FIELD_BODY:
        return request->body_value ? walk(request->body_value, field->parts, field->n_parts)
                                   : NULL;
    case FIELD_QUERY:
        return walk(request->query_value, field->parts, field->n_parts);
    case FIELD_HEADER: {
        const struct sp_header *header = find_header(request, field->parts[0]);
        *text = (struct sp_value){.kind = SP_VALUE_STRING};
        text->as.text = header ? header->value : SP_TEXT("");
        return header ? text : NULL;
    }
    case FIELD_PATH:
        *text = (struct sp_value){.kind = SP_VALUE_FORM};
        text->as.text = request->url.segments[field->segment].text;
        return text;
    }
    return NULL;
}

/* ---- comparisons ---------------------------------------------------------------------------
 */

static bool as_int(const struct sp_value *value, int64_t *ret_integer)
{
    if (value->kind == SP_VALUE_INT) {
        *ret_integer = value->as.integer;
        return true;
    }
    return value->kind == SP_VALUE_FORM && sp_form_int(value->as.text, ret_integer);
}

static bool as_text(const struct sp_value *value, struct sp_text *ret_text)
{
    bool text = value->kind == SP_VALUE_STRING || value->kind == SP_VALUE_FORM;
    if (text) {
        *ret_text = value->as.text;
    }
    return text;
}

static bool as_bool(const struct sp_value *value, bool *ret_boolean)
{
    if (value->kind == SP_VALUE_BOOL) {
        *ret_boolean = value->as.boolean;
        return true;
    }
    *ret_boolean = value->kind == SP_VALUE_FORM && sp_text_is(value->as.text, "true");
    return value->kind == SP_VALUE_FORM &&
           (*ret_boolean || sp_text_is(value->as.text, "false"));
}

static enum truth equals(const struct sp_value *value, const struct constant *constant)
{
    int64_t integer;
    struct sp_text text;
    bool boolean;
    switch (constant->kind) {
    case CONSTANT_INT:
        return as_int(value, &integer) ? truth_of(integer == constant->integer) : TRUTH_UNKNOWN;
    case CONSTANT_STRING:
        return as_text(value, &text) ? truth_of(sp_text_eq(text, constant->text))
                                     : TRUTH_UNKNOWN;
    case CONSTANT_BOOL:
        return as_bool(value, &boolean) ? truth_of(boolean == (constant->integer != 0))
                                        : TRUTH_UNKNOWN;
    case CONSTANT_PARAM: /* a scope that still has parameters matches nothing */
        return TRUTH_UNKNOWN;
    }
    return TRUTH_UNKNOWN;
}

/* The set is sorted and of one kind (checker). */
static enum truth in_set(const struct sp_value *value, const struct condition *c)
{
    int64_t integer = 0;
    struct sp_text text = {NULL, 0};
    if (c->n_set == 0) {
        return TRUTH_FALSE;
    }
    enum constant_kind kind = c->set[0].kind;
    if (kind == CONSTANT_BOOL || kind == CONSTANT_PARAM) {
        enum truth result = TRUTH_FALSE;
        for (size_t i = 0; i < c->n_set && result != TRUTH_TRUE; i++) {
            enum truth one = equals(value, &c->set[i]);
            result = one > result ? one : result;
        }
        return result;
    }
    if (kind == CONSTANT_INT ? !as_int(value, &integer) : !as_text(value, &text)) {
        return TRUTH_UNKNOWN;
    }
    size_t low = 0, high = c->n_set;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order;
        if (kind == CONSTANT_INT) {
            order = (integer > c->set[middle].integer) - (integer < c->set[middle].integer);
        } else {
            order = sp_text_cmp(text, c->set[middle].text);
        }
        if (order == 0) {
            return TRUTH_TRUE;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return TRUTH_FALSE;
}

static enum truth ordered(const struct sp_value *value, enum condition_kind kind, int64_t bound)
{
    int64_t integer;
    if (!as_int(value, &integer)) {
        return TRUTH_UNKNOWN;
    }
    switch ((int)kind) {
    case CONDITION_LT:
        return truth_of(integer < bound);
    case CONDITION_LE:
        return truth_of(integer <= bound);
    case CONDITION_GT:
        return truth_of(integer > bound);
    default:
        return truth_of(integer >= bound);
    }
}

static enum truth not(enum truth truth) { return (enum truth)(TRUTH_TRUE - truth); }

/* One comparison with one value that is there. */
static enum truth compare(const struct condition *c, const struct sp_value *value)
{
    struct sp_text text;
    int64_t integer;
    switch ((int)c->kind) {
    case CONDITION_EQ:
        return equals(value, &c->constant);
    case CONDITION_NE:
        return not(equals(value, &c->constant));
    case CONDITION_IN:
        return in_set(value, c);
    case CONDITION_RANGE:
        return as_int(value, &integer) ? truth_of(integer >= c->low && integer <= c->high)
                                       : TRUTH_UNKNOWN;
    case CONDITION_STARTS:
        return as_text(value, &text) ? truth_of(sp_text_starts(text, c->constant.text))
                                     : TRUTH_UNKNOWN;
    default:
        return ordered(value, c->kind, c->constant.integer);
    }
}

/* any: true if one is; all: false if one is; else unknown if one is; an empty array has none.
 */
static enum truth quantified(const struct condition *c, const struct sp_value *array)
{
    bool any = c->field.quantifier == QUANTIFIER_ANY;
    enum truth result = truth_of(!any);
    if (array->kind != SP_VALUE_ARRAY) {
        return TRUTH_UNKNOWN;
    }
    for (size_t i = 0; i < array->as.array.n; i++) {
        const struct sp_value *item =
            walk(&array->as.array.items[i], c->field.item_parts, c->field.n_item_parts);
        enum truth one = item ? compare(c, item) : TRUTH_UNKNOWN;
        if (any ? one > result : one < result) {
            result = one;
        }
    }
    return result;
}

static enum truth only(const struct condition *c, const struct sp_request *request)
{
    const struct sp_value *root =
        c->field.source == FIELD_BODY ? request->body_value : request->query_value;
    const struct sp_value *object = root ? walk(root, c->field.parts, c->field.n_parts) : NULL;
    if (!object || object->kind != SP_VALUE_OBJECT) {
        return TRUTH_UNKNOWN;
    }
    for (size_t i = 0; i < object->as.object.n; i++) {
        bool listed = false;
        for (size_t j = 0; j < c->n_names && !listed; j++) {
            listed = sp_text_eq(object->as.object.items[i].name, c->names[j]);
        }
        if (!listed) {
            return TRUTH_FALSE;
        }
    }
    return TRUTH_TRUE;
}

static enum truth atom(const struct condition *c, const struct sp_request *request)
{
    struct sp_value text;
    if (c->kind == CONDITION_ONLY) {
        return only(c, request);
    }
    const struct sp_value *value = field_value(&c->field, request, &text);
    if (c->kind == CONDITION_HAS) {
        return truth_of(value != NULL);
    }
    if (!value) {
        return TRUTH_UNKNOWN;
    }
    return c->field.quantifier == QUANTIFIER_NONE ? compare(c, value) : quantified(c, value);
}

/* Recursion is bounded by AST_NODES_MAX. */
enum truth match_condition(const struct condition *c, const struct sp_request *request)
{
    enum truth left, right;
    switch ((int)c->kind) {
    case CONDITION_AND:
        left = match_condition(c->left, request);
        if (left == TRUTH_FALSE) {
            return TRUTH_FALSE;
        }
        right = match_condition(c->right, request);
        return right < left ? right : left;
    case CONDITION_OR:
        left = match_condition(c->left, request);
        if (left == TRUTH_TRUE) {
            return TRUTH_TRUE;
        }
        right = match_condition(c->right, request);
        return right > left ? right : left;
    case CONDITION_NOT:
        return not(match_condition(c->left, request));
    default:
        return atom(c, request);
    }
}

/* ---- what may be read at all ---------------------------------------------------------------
 */

static bool reads_query(const struct sp_rule *rule, struct sp_text name)
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
    const struct sp_value *array = walk(root, field->parts, field->n_parts);
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
        n += sp_text_eq(request->headers[i].name, name);
    }
    return n > 1 ? "a header that the rule reads is given twice" : NULL;
}

static const char *body_fault(const struct sp_rule *rule, const struct sp_request *request)
{
    switch (request->body_kind) {
    case SP_BODY_NONE:
        break; /* every field is absent, hence unknown */
    case SP_BODY_UNREAD:
        return "the body was not judged";
    case SP_BODY_OPAQUE:
        return request->body_reason ? request->body_reason : "the body cannot be judged";
    case SP_BODY_JSON:
    case SP_BODY_FORM:
        break;
    }
    for (size_t i = 0; i < request->url.n_query; i++) {
        struct sp_text name = request->url.query[i].name;
        const char *bracket = memchr(name.ptr, '[', name.len);
        struct sp_text root = {name.ptr, bracket ? (size_t)(bracket - name.ptr) : name.len};
        if (!reads_query(rule, root)) {
            return "the rule reads the body, and the query holds a parameter that it does not "
                   "read";
        }
    }
    return NULL;
}

const char *match_unreadable(const struct sp_rule *rule, const struct sp_request *request)
{
    const char *fault = rule->reads_body ? body_fault(rule, request) : NULL;
    for (size_t i = 0; i < rule->n_reads && !fault; i++) {
        const struct field *field = rule->reads[i];
        if (field->source == FIELD_HEADER) {
            fault = header_fault(field->parts[0], request);
        } else if (field->source != FIELD_PATH) {
            const struct sp_value *root =
                field->source == FIELD_BODY ? request->body_value : request->query_value;
            fault = root ? path_fault(root, field->parts, field->n_parts) : NULL;
            if (!fault && root && field->quantifier != QUANTIFIER_NONE) {
                fault = items_fault(field, root);
            }
        }
    }
    return fault;
}

/* ---- why not -------------------------------------------------------------------------------
 */

/* At most 32 bytes of what the client sent, with everything but plain ASCII as '?'. */
static void quote(struct sp_text text, char quoted[40])
{
    size_t n = text.len < 32 ? text.len : 32;
    for (size_t i = 0; i < n; i++) {
        quoted[i] = (char)(text.ptr[i] >= ' ' && text.ptr[i] <= '~' ? text.ptr[i] : '?');
    }
    (void)snprintf(quoted + n, 4, "%s", text.len > n ? "…" : "");
}

static void describe(const struct sp_value *value, char *text, size_t room)
{
    static const char *const kinds[] = {
        "null",   "a boolean", "an integer", "a number that is no integer", "a string", "text",
        "a list", "an object", "given twice"};
    char quoted[40];
    switch ((int)value->kind) {
    case SP_VALUE_INT:
        (void)snprintf(text, room, "is %lld", (long long)value->as.integer);
        break;
    case SP_VALUE_STRING:
    case SP_VALUE_FORM:
        quote(value->as.text, quoted);
        (void)snprintf(text, room, "is \"%s\"", quoted);
        break;
    case SP_VALUE_BOOL:
        (void)snprintf(text, room, "is %s", value->as.boolean ? "true" : "false");
        break;
    default:
        (void)snprintf(text, room, "is %s", kinds[value->kind]);
    }
}

/* The first atom that is not as it would have to be (want: true, or false under a not). */
static const struct condition *culprit(const struct condition *c,
                                       const struct sp_request *request, enum truth want)
{
    const struct condition *found;
    if (match_condition(c, request) == want) {
        return NULL;
    }
    switch ((int)c->kind) {
    case CONDITION_AND:
    case CONDITION_OR:
        found = culprit(c->left, request, want);
        return found ? found : culprit(c->right, request, want);
    case CONDITION_NOT:
        return culprit(c->left, request, not(want));
    default:
        return c;
    }
}

void match_explain_atom(const struct condition *condition, const struct sp_request *request,
                        char *text, size_t room)
{
    const struct condition *c = culprit(condition, request, TRUTH_TRUE);
    struct sp_buf name, atom_text;
    struct sp_value scratch;
    char state[80] = "";
    if (!c) {
        (void)snprintf(text, room, "%s", "");
        return;
    }
    sp_buf_init(&name, 4096);
    sp_buf_init(&atom_text, 65536);
    ast_print_condition(c, &atom_text);
    const struct sp_value *value =
        c->kind == CONDITION_ONLY ? NULL : field_value(&c->field, request, &scratch);
    if (value) {
        describe(value, state, sizeof state);
    } else if (c->kind != CONDITION_ONLY) {
        (void)snprintf(state, sizeof state, "it is absent");
    } else {
        (void)snprintf(state, sizeof state, "there are others");
    }
    (void)snprintf(text, room, "%.90s%s: %s%s", sp_buf_text(&atom_text).ptr,
                   atom_text.len > 90 ? "…" : "", value ? "it " : "", state);
    sp_buf_done(&name);
    sp_buf_done(&atom_text);
}
