/* Conditions, in Kleene's three values: absent or of the wrong type is unknown. */
#include "match.h"

static enum truth truth_of(bool value)
{
    return value ? TRUTH_TRUE : TRUTH_FALSE;
}

/* ---- fields --------------------------------------------------------------------------------
 */

const struct sp_value *match_walk(const struct sp_value *value, const struct sp_text *parts,
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
        if (sp_text_eq_fold(request->headers[i].name, name)) {
            return &request->headers[i];
        }
    }
    return NULL;
}

const struct sp_value *match_field(const struct field *field, const struct sp_request *request,
                                   struct sp_value *scratch)
{
    const struct sp_header *header;
    switch (field->source) {
    case FIELD_BODY:
        return match_walk(request->body_value, field->parts, field->n_parts);
    case FIELD_QUERY:
        return match_walk(request->query_value, field->parts, field->n_parts);
    case FIELD_HEADER:
        header = find_header(request, field->parts[0]);
        *scratch = (struct sp_value){.kind = SP_VALUE_STRING};
        scratch->as.text = header ? header->value : SP_TEXT("");
        return header ? scratch : NULL;
    case FIELD_PATH:
        break;
    }
    if (field->segment >= request->url.n_segments) {
        return NULL; /* split by an encoded slash: which segment it is, nobody knows */
    }
    *scratch = (struct sp_value){.kind = SP_VALUE_FORM};
    scratch->as.text = request->url.segments[field->segment].text;
    return scratch;
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

sp_status sp_budget_takes(const struct sp_budget *budget, const struct sp_request *request,
                          uint64_t *ret_amount)
{
    const struct budget *inner = (const struct budget *)budget;
    struct sp_value scratch;
    int64_t amount = 1;
    if (budget->sums) {
        const struct sp_value *value = match_field(&inner->field, request, &scratch);
        if (!value || !as_int(value, &amount) || amount < 0) {
            return SP_EDENIED;
        }
    }
    *ret_amount = (uint64_t)amount;
    return SP_OK;
}

bool sp_budget_reads_body(const struct sp_budget *budget)
{
    return budget && budget->sums &&
           ((const struct budget *)budget)->field.source == FIELD_BODY;
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
    case CONSTANT_PARAM:
        break;
    }
    return TRUTH_UNKNOWN; /* a scope that still has parameters matches nothing */
}

/* The set is sorted and of one kind (checker), but for parameters, which come last and have no
 * value before the scope is frozen. */
static enum truth in_set(const struct sp_value *value, const struct condition *c)
{
    int64_t integer = 0;
    struct sp_text text = {NULL, 0};
    if (c->n_set == 0) {
        return TRUTH_FALSE;
    }
    enum constant_kind kind = c->set[0].kind;
    if (kind == CONSTANT_BOOL || c->set[c->n_set - 1].kind == CONSTANT_PARAM) {
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
        return c->constant.kind == CONSTANT_STRING && as_text(value, &text)
                   ? truth_of(sp_text_starts(text, c->constant.text))
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
            match_walk(&array->as.array.items[i], c->field.item_parts, c->field.n_item_parts);
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
    const struct sp_value *object = match_walk(root, c->field.parts, c->field.n_parts);
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

enum truth match_value(const struct condition *c, const struct sp_value *value)
{
    if (c->kind == CONDITION_HAS) {
        return TRUTH_TRUE;
    }
    return c->field.quantifier == QUANTIFIER_NONE ? compare(c, value) : quantified(c, value);
}

static enum truth atom(const struct condition *c, const struct sp_request *request)
{
    struct sp_value scratch;
    if (c->kind == CONDITION_ONLY) {
        return only(c, request);
    }
    const struct sp_value *value = match_field(&c->field, request, &scratch);
    if (c->kind == CONDITION_HAS) {
        return truth_of(value != NULL);
    }
    return value ? match_value(c, value) : TRUTH_UNKNOWN;
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
