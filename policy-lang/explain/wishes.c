/* Changes of single fields that are worth trying: each constant of the conditions and what lies
 * beside it, leaving the field out, what would make it readable. What is not listed here is not
 * found, and what is found is asked of the scope: so an answer is never wrong, and for a field
 * that is compared with constants it is the nearest. */
#include "nearest.h"

#include <inttypes.h>

enum { TEXT_MAX = 2048 };

static struct edit *add(struct wishes *w, const struct edit *at)
{
    if (w->n == EDITS_MAX) {
        return NULL;
    }
    w->items[w->n] = *at;
    return &w->items[w->n++];
}

/* A value, unless it is wished for there already. */
static void add_value(struct wishes *w, const struct edit *at, struct sp_value value)
{
    for (size_t i = 0; i < w->n; i++) {
        const struct edit *other = &w->items[i];
        const struct sp_value *v = &other->value;
        if (other->removes || !edit_same_place(other, at) || v->kind != value.kind) {
            continue;
        }
        if (value.kind == SP_VALUE_INT ? v->as.integer == value.as.integer
            : value.kind == SP_VALUE_BOOL
                ? v->as.boolean == value.as.boolean
                : value.kind <= SP_VALUE_FORM && sp_text_eq(v->as.text, value.as.text)) {
            return;
        }
    }
    struct edit *edit = add(w, at);
    if (edit) {
        edit->value = value;
    }
}

static void add_removal(struct wishes *w, const struct edit *at)
{
    struct edit *edit = at->kind == EDIT_PATH || at->n_steps == 0 ? NULL : add(w, at);
    if (edit) {
        edit->removes = true;
    }
}

/* ---- values ---------------------------------------------------------------------------------
 */

/* Whether values there are texts: form fields, query, headers, segments. */
static bool is_textual(const struct wishes *w, const struct edit *at)
{
    return at->kind != EDIT_BODY || w->form;
}

static void add_text(struct wishes *w, const struct edit *at, struct sp_text text)
{
    bool form = at->kind != EDIT_HEADER && is_textual(w, at);
    struct sp_value value = {.kind = form ? SP_VALUE_FORM : SP_VALUE_STRING};
    value.as.text = sp_arena_copy(w->arena, text);
    if (value.as.text.ptr) {
        add_value(w, at, value);
    }
}

static void add_int(struct wishes *w, const struct edit *at, int64_t integer)
{
    char digits[24];
    struct sp_buf buf;
    struct sp_value value = {.kind = SP_VALUE_INT};
    value.as.integer = integer;
    if (!is_textual(w, at)) {
        add_value(w, at, value);
        return;
    }
    sp_buf_over(&buf, digits, sizeof digits);
    sp_buf_addf(&buf, "%" PRId64, integer);
    add_text(w, at, sp_buf_text(&buf));
}

static void add_around(struct wishes *w, const struct edit *at, int64_t integer)
{
    add_int(w, at, integer);
    if (integer > INT64_MIN) {
        add_int(w, at, integer - 1);
    }
    if (integer < INT64_MAX) {
        add_int(w, at, integer + 1);
    }
}

static void add_bool(struct wishes *w, const struct edit *at, bool boolean)
{
    struct sp_value value = {.kind = SP_VALUE_BOOL};
    value.as.boolean = boolean;
    if (is_textual(w, at)) {
        add_text(w, at, boolean ? SP_TEXT("true") : SP_TEXT("false"));
    } else {
        add_value(w, at, value);
    }
}

static void add_constant(struct wishes *w, const struct edit *at, const struct constant *c)
{
    switch (c->kind) {
    case CONSTANT_INT:
        add_around(w, at, c->integer);
        break;
    case CONSTANT_BOOL:
        add_bool(w, at, c->integer != 0);
        add_bool(w, at, c->integer == 0);
        break;
    case CONSTANT_STRING:
        add_text(w, at, c->text);
        add_text(w, at, SP_TEXT("x")); /* another */
        break;
    case CONSTANT_PARAM:
        break;
    }
}

/* The prefix, then what was there, or a letter. */
static void add_prefixed(struct wishes *w, const struct edit *at, struct sp_text prefix)
{
    char room[TEXT_MAX];
    struct sp_buf buf;
    struct sp_value scratch;
    const struct sp_value *now = edit_value(at, w->request, &scratch);
    for (unsigned own = 0; own < 2; own++) {
        bool has = now && (now->kind == SP_VALUE_STRING || now->kind == SP_VALUE_FORM);
        sp_buf_over(&buf, room, sizeof room);
        sp_buf_add_text(&buf, prefix);
        sp_buf_add_text(&buf, own && has ? now->as.text : SP_TEXT("x"));
        if (!buf.failed) {
            add_text(w, at, sp_buf_text(&buf));
        }
    }
    add_text(w, at, SP_TEXT("x"));
}

/* What the atom compares with, at the place of one value. */
static void add_values(struct wishes *w, const struct condition *atom, const struct edit *at)
{
    switch ((int)atom->kind) {
    case CONDITION_IN:
        for (size_t i = 0; i < atom->n_set && i < CONSTANTS_TRIED; i++) {
            add_constant(w, at, &atom->set[i]);
        }
        break;
    case CONDITION_RANGE:
        if (atom->low != INT64_MIN) {
            add_around(w, at, atom->low);
        }
        if (atom->high != INT64_MAX) {
            add_around(w, at, atom->high);
        }
        break;
    case CONDITION_STARTS:
        add_prefixed(w, at, atom->constant.text);
        break;
    case CONDITION_HAS:
        add_text(w, at, SP_TEXT("x"));
        break;
    default:
        add_constant(w, at, &atom->constant);
    }
    add_removal(w, at);
}

/* ---- places ---------------------------------------------------------------------------------
 */

static bool push(struct edit *at, struct sp_text name)
{
    if (at->n_steps == FIELD_STEPS_MAX) {
        return false;
    }
    at->steps[at->n_steps++] = (struct step){.name = name};
    return true;
}

static struct edit place_of(const struct field *field)
{
    static const enum edit_kind kinds[] = {[FIELD_BODY] = EDIT_BODY,
                                           [FIELD_QUERY] = EDIT_QUERY,
                                           [FIELD_HEADER] = EDIT_HEADER,
                                           [FIELD_PATH] = EDIT_PATH};
    struct edit at = {.kind = kinds[field->source]};
    at.segment = field->source == FIELD_PATH ? field->segment : 0;
    for (size_t i = 0; field->source != FIELD_PATH && i < field->n_parts; i++) {
        push(&at, field->parts[i]);
    }
    return at;
}

/* Each element of the array, and one behind the last. */
static void wishes_of_items(struct wishes *w, const struct condition *atom,
                            const struct edit *array)
{
    struct sp_value scratch;
    const struct sp_value *now = edit_value(array, w->request, &scratch);
    size_t n = now && now->kind == SP_VALUE_ARRAY ? now->as.array.n : 0;
    for (size_t i = 0; i <= n && i < ITEMS_TRIED; i++) {
        struct edit at = *array;
        at.steps[at.n_steps++] = (struct step){.index = i, .is_index = true};
        for (size_t p = 0; p < atom->field.n_item_parts; p++) {
            push(&at, atom->field.item_parts[p]);
        }
        add_values(w, atom, &at);
    }
    struct sp_value empty = {.kind = SP_VALUE_ARRAY};
    if (!is_textual(w, array)) {
        add_value(w, array, empty);
    }
    add_removal(w, array);
}

static void wishes_of_only(struct wishes *w, const struct condition *atom)
{
    struct sp_value scratch;
    struct edit at = place_of(&atom->field);
    const struct sp_value *object = edit_value(&at, w->request, &scratch);
    if (!object || object->kind != SP_VALUE_OBJECT) {
        struct sp_value empty = {.kind = SP_VALUE_OBJECT};
        add_value(w, &at, empty);
        return;
    }
    for (size_t i = 0; i < object->as.object.n; i++) {
        struct edit member = at;
        bool listed = false;
        for (size_t j = 0; j < atom->n_names && !listed; j++) {
            listed = sp_text_eq(atom->names[j], object->as.object.items[i].name);
        }
        if (!listed && push(&member, object->as.object.items[i].name)) {
            add_removal(w, &member);
        }
    }
    /* A deny that wants it untrue: something that it does not list. */
    if (push(&at, SP_TEXT("x"))) {
        add_text(w, &at, SP_TEXT("x"));
    }
}

/* Recursion is bounded by AST_NODES_MAX. */
static void wishes_of(struct wishes *w, const struct condition *c)
{
    if (c->left) {
        wishes_of(w, c->left);
        if (c->right) {
            wishes_of(w, c->right);
        }
        return;
    }
    if (c->kind == CONDITION_ONLY) {
        wishes_of_only(w, c);
        return;
    }
    struct edit at = place_of(&c->field);
    if (c->field.quantifier == QUANTIFIER_NONE) {
        add_values(w, c, &at);
    } else if (at.n_steps + 1 + c->field.n_item_parts <= FIELD_STEPS_MAX) {
        wishes_of_items(w, c, &at);
    }
}

/* Members that differ from the field's by case alone, which nobody can judge. */
static void wishes_against_twins(struct wishes *w, const struct field *field)
{
    struct edit at = place_of(field);
    struct sp_value scratch;
    size_t n = at.n_steps;
    for (size_t depth = 0; depth < n && at.kind <= EDIT_QUERY; depth++) {
        struct edit twin = at;
        twin.n_steps = depth;
        const struct sp_value *object = edit_value(&twin, w->request, &scratch);
        for (size_t i = 0; object && object->kind == SP_VALUE_OBJECT && i < object->as.object.n;
             i++) {
            struct sp_text name = object->as.object.items[i].name;
            if (sp_text_eq_fold(name, at.steps[depth].name) &&
                !sp_text_eq(name, at.steps[depth].name)) {
                twin.steps[depth] = (struct step){.name = name};
                twin.n_steps = depth + 1;
                add_removal(w, &twin);
                twin.n_steps = depth;
            }
        }
    }
}

void wishes_of_rule(struct wishes *w, const struct sp_rule *rule)
{
    if (!rule->where) {
        return;
    }
    wishes_of(w, rule->where);
    for (size_t i = 0; i < rule->n_reads; i++) {
        wishes_against_twins(w, rule->reads[i]);
    }
    /* A body that can be judged, and a query without what the rule does not read. */
    bool judged =
        w->request->body_kind == SP_BODY_JSON || w->request->body_kind == SP_BODY_FORM;
    if (rule->reads_body && !judged) {
        struct edit root = {.kind = EDIT_BODY};
        add_value(w, &root, (struct sp_value){.kind = SP_VALUE_OBJECT});
    }
    const struct sp_value *query = w->request->query_value;
    for (size_t i = 0; rule->reads_body && query && i < query->as.object.n; i++) {
        struct edit at = {.kind = EDIT_QUERY};
        push(&at, query->as.object.items[i].name);
        add_removal(w, &at);
    }
}

void wishes_of_shape(struct wishes *w, const struct sp_rule *allow)
{
    const struct url_pattern *pattern = &allow->url;
    for (unsigned bit = 1; bit <= SP_METHOD_ALL; bit <<= 1) {
        if ((allow->methods & bit) && bit != w->request->method) {
            add(w, &(struct edit){.kind = EDIT_METHOD, .method = bit});
        }
    }
    for (size_t i = 0; i < w->request->url.n_segments && pattern->n_segments > 0; i++) {
        size_t last = pattern->n_segments - 1;
        const struct segment *segment = &pattern->segments[i < last ? i : last];
        struct edit at = {.kind = EDIT_PATH, .segment = i};
        if (segment->kind == SEGMENT_PREFIX) {
            add_prefixed(w, &at, segment->text);
        } else if (segment->kind != SEGMENT_LITERAL) {
            add_text(w, &at, segment->kind == SEGMENT_INT ? SP_TEXT("1") : SP_TEXT("x"));
        }
    }
}
