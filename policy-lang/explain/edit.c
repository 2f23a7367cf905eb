/* One change of a request. Trees are never written to: what lies above a change is copied. */
#include "nearest.h"

#include <inttypes.h>

enum { TEXT_MAX = 1024 };

/* ---- trees ----------------------------------------------------------------------------------
 */

static bool set_at(struct sp_arena *arena, const struct edit *edit, size_t depth,
                   struct sp_value *value);

static bool set_member(struct sp_arena *arena, const struct edit *edit, size_t depth,
                       struct sp_value *value)
{
    struct sp_text name = edit->steps[depth].name;
    bool removes = edit->removes && depth + 1 == edit->n_steps, found = false;
    size_t n = value->kind == SP_VALUE_OBJECT ? value->as.object.n : 0, kept = 0;
    struct sp_member *items = sp_arena_array(arena, n + 1, sizeof *items);
    for (size_t i = 0; items && i < n; i++) {
        const struct sp_member *member = &value->as.object.items[i];
        bool here = sp_text_eq(member->name, name);
        found = found || here;
        if (here && removes) {
            continue;
        }
        items[kept] = *member;
        if (here && !set_at(arena, edit, depth + 1, &items[kept].value)) {
            return false;
        }
        kept++;
    }
    if (items && !found && !edit->removes) {
        items[kept].name = name;
        items[kept].value = (struct sp_value){.kind = SP_VALUE_NULL};
        if (!set_at(arena, edit, depth + 1, &items[kept++].value)) {
            return false;
        }
    }
    *value = (struct sp_value){.kind = SP_VALUE_OBJECT};
    value->as.object.items = items;
    value->as.object.n = kept;
    return items != NULL;
}

static bool set_item(struct sp_arena *arena, const struct edit *edit, size_t depth,
                     struct sp_value *value)
{
    size_t at = edit->steps[depth].index;
    size_t n = value->kind == SP_VALUE_ARRAY ? value->as.array.n : 0;
    size_t room = at < n ? n : n + 1;
    struct sp_value *items = sp_arena_array(arena, room, sizeof *items);
    if (!items) {
        return false;
    }
    if (n > 0) {
        memcpy(items, value->as.array.items, n * sizeof *items);
    }
    at = at < n ? at : n;
    *value = (struct sp_value){.kind = SP_VALUE_ARRAY};
    value->as.array.items = items;
    value->as.array.n = room;
    return set_at(arena, edit, depth + 1, &items[at]);
}

/* Recursion is bounded by FIELD_STEPS_MAX. */
static bool set_at(struct sp_arena *arena, const struct edit *edit, size_t depth,
                   struct sp_value *value)
{
    if (depth == edit->n_steps) {
        *value = edit->value;
        return true;
    }
    return edit->steps[depth].is_index ? set_item(arena, edit, depth, value)
                                       : set_member(arena, edit, depth, value);
}

/* ---- forms and queries: through their pairs
 * ---------------------------------------------------
 */

struct pairs {
    struct sp_arena *arena;
    struct sp_param *items;
    size_t n, room;
    struct sp_buf name;
    bool failed;
};

static void add_pair(struct pairs *p, struct sp_text value)
{
    if (p->n == p->room) {
        p->failed = true;
        return;
    }
    struct sp_param *pair = &p->items[p->n++];
    pair->name = sp_arena_copy(p->arena, sp_buf_text(&p->name));
    pair->value = value;
    pair->has_value = true;
    p->failed = p->failed || !pair->name.ptr;
}

/* Recursion is bounded as that of sp_form_tree, which parts the result again. */
static void list_pairs(struct pairs *p, const struct sp_value *value)
{
    size_t len = p->name.len;
    for (size_t i = 0; value->kind == SP_VALUE_OBJECT && i < value->as.object.n; i++) {
        const struct sp_member *member = &value->as.object.items[i];
        sp_buf_add_str(&p->name, len ? "[" : "");
        sp_buf_add_text(&p->name, member->name);
        sp_buf_add_str(&p->name, len ? "]" : "");
        list_pairs(p, &member->value);
        p->name.len = len;
    }
    for (size_t i = 0; value->kind == SP_VALUE_ARRAY && i < value->as.array.n; i++) {
        sp_buf_add_str(&p->name, "[]");
        list_pairs(p, &value->as.array.items[i]);
        p->name.len = len;
    }
    if (value->kind == SP_VALUE_FORM || value->kind == SP_VALUE_AMBIGUOUS) {
        add_pair(p, value->as.text);
    }
    if (value->kind == SP_VALUE_AMBIGUOUS) {
        add_pair(p, value->as.text);
    }
}

/* The tree as pairs, and the tree that a reader makes of those. */
static bool through_pairs(struct sp_arena *arena, const struct sp_value *tree,
                          const struct sp_param **ret_pairs, size_t *ret_n,
                          const struct sp_value **ret_tree)
{
    char room[TEXT_MAX];
    struct pairs p = {.arena = arena, .room = SP_URL_MAX_PARAMS};
    struct sp_value *read = sp_arena_alloc(arena, sizeof *read);
    p.items = sp_arena_array(arena, p.room, sizeof *p.items);
    if (!read || !p.items) {
        return false;
    }
    sp_buf_over(&p.name, room, sizeof room);
    list_pairs(&p, tree);
    if (p.failed || p.name.failed || sp_form_tree(arena, p.items, p.n, read)) {
        return false;
    }
    *ret_pairs = p.items;
    *ret_n = p.n;
    *ret_tree = read;
    return true;
}

/* ---- the parts of a request -----------------------------------------------------------------
 */

static bool edit_body(struct sp_arena *arena, const struct edit *edit,
                      struct sp_request *request)
{
    const struct sp_param *pairs;
    size_t n;
    struct sp_value *tree = sp_arena_alloc(arena, sizeof *tree);
    bool read = request->body_kind == SP_BODY_JSON || request->body_kind == SP_BODY_FORM;
    if (!tree) {
        return false;
    }
    *tree = (struct sp_value){.kind = SP_VALUE_OBJECT};
    if (read && request->body_value) {
        *tree = *request->body_value;
    } else { /* one that is judged, instead of none or of one that cannot be */
        request->body_kind = SP_BODY_JSON;
        request->body_reason = NULL;
    }
    if (!set_at(arena, edit, 0, tree)) {
        return false;
    }
    request->body = (struct sp_text){NULL, 0};
    request->body_value = tree;
    return request->body_kind == SP_BODY_JSON ||
           through_pairs(arena, tree, &pairs, &n, &request->body_value);
}

static bool edit_query(struct sp_arena *arena, const struct edit *edit,
                       struct sp_request *request)
{
    struct sp_value tree = {.kind = SP_VALUE_OBJECT};
    if (request->query_value) {
        tree = *request->query_value;
    }
    return set_at(arena, edit, 0, &tree) &&
           through_pairs(arena, &tree, &request->url.query, &request->url.n_query,
                         &request->query_value);
}

static bool is_legal_header(struct sp_text value)
{
    bool legal = value.len == 0 || (value.ptr[0] != ' ' && value.ptr[value.len - 1] != ' ');
    for (size_t i = 0; i < value.len; i++) {
        legal = legal && (unsigned char)value.ptr[i] >= ' ' && value.ptr[i] != 0x7f;
    }
    return legal;
}

static bool edit_header(struct sp_arena *arena, const struct edit *edit,
                        struct sp_request *request)
{
    struct sp_header *headers = sp_arena_array(arena, request->n_headers + 1, sizeof *headers);
    size_t n = 0;
    for (size_t i = 0; headers && i < request->n_headers; i++) {
        if (!sp_text_eq_fold(request->headers[i].name, edit->steps[0].name)) {
            headers[n++] = request->headers[i];
        }
    }
    if (headers && !edit->removes) {
        headers[n++] = (struct sp_header){edit->steps[0].name, edit->value.as.text};
    }
    request->headers = headers;
    request->n_headers = n;
    return headers && (edit->removes || is_legal_header(edit->value.as.text));
}

static bool edit_path(struct sp_arena *arena, const struct edit *edit,
                      struct sp_request *request)
{
    size_t n = request->url.n_segments;
    struct sp_text text = edit->value.as.text;
    struct sp_segment *segments = sp_arena_array(arena, n, sizeof *segments);
    if (!segments || edit->segment >= n || text.len == 0 || sp_text_is(text, ".") ||
        sp_text_is(text, "..") || memchr(text.ptr, '/', text.len)) {
        return false;
    }
    memcpy(segments, request->url.segments, n * sizeof *segments);
    segments[edit->segment] = (struct sp_segment){text, false};
    request->url.segments = segments;
    return true;
}

bool edit_apply(struct sp_arena *arena, const struct edit *edit, struct sp_request *request)
{
    switch (edit->kind) {
    case EDIT_BODY:
        return edit_body(arena, edit, request);
    case EDIT_QUERY:
        return edit_query(arena, edit, request);
    case EDIT_HEADER:
        return edit_header(arena, edit, request);
    case EDIT_PATH:
        return edit_path(arena, edit, request);
    case EDIT_METHOD:
        request->method = edit->method;
        return true;
    }
    return false;
}

/* ---- looking at places ----------------------------------------------------------------------
 */

const struct sp_value *edit_value(const struct edit *edit, const struct sp_request *request,
                                  struct sp_value *scratch)
{
    const struct sp_value *value = NULL;
    if (edit->kind == EDIT_PATH && edit->segment < request->url.n_segments) {
        *scratch = (struct sp_value){.kind = SP_VALUE_FORM};
        scratch->as.text = request->url.segments[edit->segment].text;
        return scratch;
    }
    if (edit->kind == EDIT_HEADER) {
        struct sp_text name = edit->steps[0].name;
        struct field field = {.source = FIELD_HEADER, .parts = &name, .n_parts = 1};
        return match_field(&field, request, scratch);
    }
    if (edit->kind == EDIT_BODY || edit->kind == EDIT_QUERY) {
        value = edit->kind == EDIT_BODY ? request->body_value : request->query_value;
    }
    for (size_t i = 0; value && i < edit->n_steps; i++) {
        const struct step *step = &edit->steps[i];
        if (!step->is_index) {
            value = sp_value_get(value, step->name);
        } else {
            value = value->kind == SP_VALUE_ARRAY && step->index < value->as.array.n
                        ? &value->as.array.items[step->index]
                        : NULL;
        }
    }
    return value;
}

bool edit_same_place(const struct edit *a, const struct edit *b)
{
    bool same = a->kind == b->kind && a->n_steps == b->n_steps && a->segment == b->segment;
    for (size_t i = 0; same && i < a->n_steps; i++) {
        same = a->steps[i].is_index == b->steps[i].is_index &&
               a->steps[i].index == b->steps[i].index &&
               sp_text_eq(a->steps[i].name, b->steps[i].name);
    }
    return same;
}

static bool as_number(const struct sp_value *value, int64_t *ret_integer)
{
    if (value->kind == SP_VALUE_INT) {
        *ret_integer = value->as.integer;
        return true;
    }
    return value->kind == SP_VALUE_FORM && sp_form_int(value->as.text, ret_integer);
}

uint64_t edit_distance(const struct edit *edit, const struct sp_request *request)
{
    enum { KIND = 1 << 20 };
    struct sp_value scratch;
    int64_t was, is;
    const struct sp_value *value = edit_value(edit, request, &scratch);
    if (edit->kind == EDIT_METHOD || edit->kind == EDIT_PATH) {
        return 5 * (uint64_t)KIND;
    }
    if (edit->removes) {
        return 4 * (uint64_t)KIND;
    }
    if (!value) {
        return 3 * (uint64_t)KIND;
    }
    if (as_number(value, &was) && as_number(&edit->value, &is)) {
        uint64_t by = was > is ? (uint64_t)was - (uint64_t)is : (uint64_t)is - (uint64_t)was;
        return by < KIND ? by : KIND;
    }
    if (value->kind != edit->value.kind ||
        (value->kind != SP_VALUE_FORM && value->kind != SP_VALUE_STRING)) {
        return 3 * (uint64_t)KIND;
    }
    struct sp_text a = value->as.text, b = edit->value.as.text;
    size_t common = 0, longer = a.len > b.len ? a.len : b.len;
    while (common < a.len && common < b.len && a.ptr[common] == b.ptr[common]) {
        common++;
    }
    return KIND + (longer - common < KIND ? longer - common : KIND);
}
