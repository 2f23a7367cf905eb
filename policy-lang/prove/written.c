/* A choice written down: the query, headers and body of the request that was found. */
#include "choices.h"

static struct sp_text twin_name(struct prove *p, struct sp_text name)
{
    char *copy = prove_alloc(p, name.len + 1, 1);
    for (size_t i = 0; copy && i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        copy[i] = letter ? (char)(c ^ 0x20) : c;
    }
    return copy ? (struct sp_text){copy, name.len} : name;
}

static struct sp_value text_of(enum field_source source, enum sp_body_kind kind,
                               const char *text)
{
    bool json = source == FIELD_BODY && kind == SP_BODY_JSON;
    struct sp_value value = {.kind = json ? SP_VALUE_STRING : SP_VALUE_FORM};
    value.as.text = sp_text_of(text);
    return value;
}

static struct sp_value tree_of(struct search *s, const struct place *place)
{
    if (place->chosen && place->chosen->choice != CHOICE_OBJECT) {
        return place->chosen->value;
    }
    struct sp_member *items = prove_alloc(s->p, 2 * s->n_places + 2, sizeof *items);
    struct sp_value value = {.kind = SP_VALUE_OBJECT};
    struct sp_value filler = text_of(place->source, s->body_kind, "1");
    size_t n = 0;
    for (size_t i = 0; items && i < s->n_places; i++) {
        const struct place *child = s->places[i];
        if (child->parent != place) {
            continue;
        }
        if (child->twin) {
            items[n++] = (struct sp_member){twin_name(s->p, child->name), filler};
        }
        if (place_there(child)) {
            items[n++] = (struct sp_member){child->name, tree_of(s, child)};
        }
    }
    bool extra =
        place->extra || (place->source == FIELD_QUERY && !place->parent && s->extra_query);
    if (items && extra) {
        items[n++] = (struct sp_member){s->p->word, filler};
    }
    value.as.object.items = items;
    value.as.object.n = n;
    return value;
}

/* Pairs for a tree; where it cannot be written so, what comes back is another tree, and the
 * replay says no. */
static void pairs_of(struct search *s, const struct sp_value *value, struct sp_buf *name,
                     struct sp_param *pairs, size_t *n)
{
    size_t len = name->len;
    struct sp_param *pair = &pairs[*n];
    if (*n + 2 > SP_URL_MAX_PARAMS) {
        s->p->incomplete = true;
        return;
    }
    switch ((int)value->kind) {
    case SP_VALUE_OBJECT:
        for (size_t i = 0; i < value->as.object.n; i++) {
            const struct sp_member *member = &value->as.object.items[i];
            if (len) {
                sp_buf_add_byte(name, '[');
            }
            sp_buf_add_text(name, member->name);
            if (len) {
                sp_buf_add_byte(name, ']');
            }
            pairs_of(s, &member->value, name, pairs, n);
            name->len = len;
        }
        return;
    case SP_VALUE_ARRAY:
        sp_buf_add_str(name, "[]");
        for (size_t i = 0; i < value->as.array.n; i++) {
            pairs_of(s, &value->as.array.items[i], name, pairs, n);
        }
        name->len = len;
        return;
    default:
        break;
    }
    pair->name = sp_arena_copy(&s->p->arena, sp_buf_text(name));
    pair->value = value->kind == SP_VALUE_AMBIGUOUS ? SP_TEXT("1") : value->as.text;
    pair->has_value = true;
    s->p->out_of_memory = s->p->out_of_memory || !pair->name.ptr;
    ++*n;
    if (value->kind == SP_VALUE_AMBIGUOUS) {
        pairs[*n] = *pair;
        ++*n;
    }
}

/* The tree as pairs, and the tree that those make. */
static const struct sp_value *through_pairs(struct search *s, const struct sp_value *value,
                                            const struct sp_param **ret_pairs, size_t *ret_n)
{
    char room[1024];
    struct sp_buf name;
    struct sp_param *pairs = prove_alloc(s->p, SP_URL_MAX_PARAMS + 2, sizeof *pairs);
    struct sp_value *tree = prove_alloc(s->p, 1, sizeof *tree);
    size_t n = 0;
    if (!pairs || !tree) {
        return NULL;
    }
    sp_buf_over(&name, room, sizeof room);
    pairs_of(s, value, &name, pairs, &n);
    if (name.failed || sp_form_tree(&s->p->arena, pairs, n, tree)) {
        s->p->incomplete = true;
        return NULL;
    }
    *ret_pairs = pairs;
    *ret_n = n;
    return tree;
}

static bool headers_of(struct search *s)
{
    struct sp_header *headers = prove_alloc(s->p, 2 * s->n_places, sizeof *headers);
    size_t n = 0;
    for (size_t i = 0; headers && i < s->n_places; i++) {
        const struct place *place = s->places[i];
        if (place->source != FIELD_HEADER || !place_there(place)) {
            continue;
        }
        bool twice = place->chosen->choice == CHOICE_TWICE;
        struct sp_text value = twice ? SP_TEXT("1") : place->chosen->value.as.text;
        for (unsigned k = 0; k < (twice ? 2 : 1); k++) {
            headers[n++] = (struct sp_header){place->name, value};
        }
    }
    s->p->request.headers = headers;
    s->p->request.n_headers = n;
    return headers != NULL;
}

bool search_write(struct search *s)
{
    struct sp_request *request = &s->p->request;
    const struct sp_param *pairs;
    size_t n;
    request->body_kind = s->body_kind;
    request->body_value = NULL;
    request->query_value = NULL;
    request->url.query = NULL;
    request->url.n_query = 0;
    struct sp_value empty = {.kind = SP_VALUE_OBJECT};
    const struct place *query = NULL, *body = NULL;
    for (size_t i = 0; i < s->n_places; i++) {
        if (!s->places[i]->parent && s->places[i]->source == FIELD_QUERY) {
            query = s->places[i];
        } else if (!s->places[i]->parent && s->places[i]->source == FIELD_BODY) {
            body = s->places[i];
        }
    }
    struct place extra_only = {.source = FIELD_QUERY};
    struct sp_value tree =
        query || s->extra_query ? tree_of(s, query ? query : &extra_only) : empty;
    request->query_value = through_pairs(s, &tree, &request->url.query, &request->url.n_query);
    if (!request->query_value || !headers_of(s)) {
        return false;
    }
    if (s->body_kind == SP_BODY_NONE) {
        return true;
    }
    struct sp_value *copy = prove_alloc(s->p, 1, sizeof *copy);
    if (!copy) {
        return false;
    }
    *copy = body ? tree_of(s, body) : empty;
    request->body_value =
        s->body_kind == SP_BODY_FORM ? through_pairs(s, copy, &pairs, &n) : copy;
    return request->body_value != NULL;
}
