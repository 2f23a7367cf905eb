#include "gen.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- by chance ----------------------------------------------------------------------------
 */

static const char *const parts[] = {"a",        "b", "A", "ab",  "5",   "05", "a b",
                                    "\xc3\xa9", "*", "B", "a/b", "x/5", "12", "AB"};
static const char *const texts[] = {"x", "xy", "y", "5", "true", "", "false", "05", "3", "-1"};

static void random_value(struct gen *gen, struct gen_leaf *leaf)
{
    unsigned pick = gen_below(gen, 12);
    leaf->kind = pick < 5   ? LEAF_INT
                 : pick < 9 ? LEAF_TEXT
                            : (enum gen_leaf_kind)(LEAF_BOOL + (int)(pick - 9));
    leaf->integer = (int64_t)gen_below(gen, 8) - 1;
    leaf->text = texts[gen_below(gen, 10)];
}

static void random_leaf(struct gen *gen, struct gen_leaf *leaf)
{
    static const char *const names[] = {"a", "b", "c", "l", "A", "C", "z", "a"};
    *leaf = (struct gen_leaf){.name = names[gen_below(gen, 8)]};
    random_value(gen, leaf);
    if ((leaf->name[0] | 0x20) == 'c' && gen_chance(gen, 80)) {
        leaf->sub = gen_chance(gen, 70) ? "d" : gen_chance(gen, 50) ? "D" : "e";
    } else if (leaf->name[0] == 'l' && gen_chance(gen, 80)) {
        leaf->kind = LEAF_LIST;
        leaf->n_items = gen_below(gen, 4);
        for (unsigned i = 0; i < leaf->n_items; i++) {
            struct gen_leaf item = {.name = NULL};
            random_value(gen, &item);
            leaf->items[i].kind = item.kind;
            leaf->items[i].integer = item.integer;
            leaf->items[i].text = item.text;
        }
    }
}

static void random_header(struct gen *gen, struct gen_leaf *leaf)
{
    *leaf = (struct gen_leaf){.name = gen_chance(gen, 50) ? "x-a" : "x-b",
                              .kind = LEAF_TEXT,
                              .text = texts[gen_below(gen, 10)]};
}

static void random_body_kind(struct gen *gen, struct gen_request *r)
{
    static const enum sp_body_kind kinds[] = {SP_BODY_NONE, SP_BODY_JSON,   SP_BODY_JSON,
                                              SP_BODY_FORM, SP_BODY_OPAQUE, SP_BODY_UNREAD};
    r->body_kind = kinds[gen_below(gen, 6)];
    r->body_is_list = r->body_kind == SP_BODY_JSON && gen_chance(gen, 5);
}

void gen_request(struct gen *gen, struct gen_request *ret_request)
{
    struct gen_request *r = ret_request;
    *r = (struct gen_request){.method = gen_methods[gen_below(gen, 4)]};
    r->host = gen_chance(gen, 80) ? 0 : gen_below(gen, 4);
    r->n_segments = gen_below(gen, GEN_SEGMENTS_MAX);
    for (unsigned i = 0; i < r->n_segments; i++) {
        r->segments[i] = parts[gen_below(gen, 14)];
    }
    r->trailing_slash = r->n_segments > 0 && gen_chance(gen, 20);
    r->n_query = gen_below(gen, 3);
    for (unsigned i = 0; i < r->n_query; i++) {
        random_leaf(gen, &r->query[i]);
    }
    r->n_headers = gen_below(gen, 3);
    for (unsigned i = 0; i < r->n_headers; i++) {
        random_header(gen, &r->headers[i]);
    }
    random_body_kind(gen, r);
    r->n_body = gen_below(gen, 4);
    for (unsigned i = 0; i < r->n_body; i++) {
        random_leaf(gen, &r->body[i]);
    }
}

/* ---- one edit -----------------------------------------------------------------------------
 */

static void edit_leaves(struct gen *gen, struct gen_leaf *leaves, unsigned *n, bool headers)
{
    unsigned at = *n ? gen_below(gen, *n) : 0;
    unsigned pick = gen_below(gen, 4);
    if (pick == 0 && *n > 0) {
        leaves[at] = leaves[--*n];
    } else if (pick == 1 && *n > 0 && leaves[at].kind != LEAF_LIST && !headers) {
        random_value(gen, &leaves[at]);
    } else if (pick == 2 && *n > 0 && *n < GEN_LEAVES_MAX && leaves[at].kind != LEAF_LIST) {
        leaves[(*n)++] = leaves[at];
    } else if (*n < GEN_LEAVES_MAX) {
        if (headers) {
            random_header(gen, &leaves[(*n)++]);
        } else {
            random_leaf(gen, &leaves[(*n)++]);
        }
    }
}

void gen_edit(struct gen *gen, struct gen_request *request)
{
    struct gen_request *r = request;
    switch (gen_below(gen, 10)) {
    case 0:
        r->method = gen_methods[gen_below(gen, 4)];
        break;
    case 1:
        r->host = gen_below(gen, 4);
        break;
    case 2:
        r->trailing_slash = r->n_segments > 0 && !r->trailing_slash;
        break;
    case 3:
        if (r->n_segments > 0) {
            r->segments[gen_below(gen, r->n_segments)] = parts[gen_below(gen, 14)];
        }
        break;
    case 4:
        if (r->n_segments <= GEN_SEGMENTS_MAX) {
            r->segments[r->n_segments] = parts[gen_below(gen, 14)];
            r->n_segments += r->n_segments < GEN_SEGMENTS_MAX;
        }
        break;
    case 5:
        r->n_segments -= r->n_segments > 0;
        r->trailing_slash = r->trailing_slash && r->n_segments > 0;
        break;
    case 6:
        edit_leaves(gen, r->query, &r->n_query, false);
        break;
    case 7:
        edit_leaves(gen, r->headers, &r->n_headers, true);
        break;
    case 8:
        random_body_kind(gen, r);
        break;
    default:
        edit_leaves(gen, r->body, &r->n_body, false);
    }
}

/* ---- towards an allow ---------------------------------------------------------------------
 */

/* Put a value that makes the atom what it should be, by a guess that is mostly right. */
static void satisfy_atom(struct gen *gen, const struct gen_node *node, bool want,
                         struct gen_request *r)
{
    struct gen_leaf leaf = {.name = node->name, .sub = node->sub};
    unsigned i = node->n ? gen_below(gen, node->n) : 0;
    bool same = want != (node->kind == GEN_NE);
    if (node->kind == GEN_ONLY || node->source == GEN_PATH || !node->name ||
        (node->kind == GEN_HAS && !want)) {
        return;
    }
    leaf.integer = node->integers[i];
    leaf.text = node->strings[i];
    if (node->kind == GEN_RANGE && !node->open && gen_chance(gen, 50)) {
        leaf.integer = node->integers[1];
    }
    if (node->kind == GEN_LT || node->kind == GEN_GT) {
        leaf.integer += (node->kind == GEN_GT) == want ? 1 : -1;
    } else if ((node->kind == GEN_LE || node->kind == GEN_GE) && !want) {
        leaf.integer += node->kind == GEN_LE ? 1 : -1;
    } else if (!same) {
        leaf.integer = 99;
        leaf.text = "other";
    }
    leaf.kind = node->type == GEN_INTEGER  ? LEAF_INT
                : node->type == GEN_STRING ? LEAF_TEXT
                                           : LEAF_BOOL;
    if (node->type == GEN_BOOLEAN) {
        leaf.integer = (node->integers[i] & 1) == (same ? 1 : 0);
    }
    if (node->quantifier) {
        leaf.items[0].kind = leaf.kind;
        leaf.items[0].integer = leaf.integer;
        leaf.items[0].text = leaf.text;
        leaf.kind = LEAF_LIST;
        leaf.n_items = 1;
    }
    struct gen_leaf *list = node->source == GEN_BODY    ? r->body
                            : node->source == GEN_QUERY ? r->query
                                                        : r->headers;
    unsigned *n = node->source == GEN_BODY    ? &r->n_body
                  : node->source == GEN_QUERY ? &r->n_query
                                              : &r->n_headers;
    for (unsigned k = 0; k < *n; k++) {
        if (strcmp(list[k].name, leaf.name) == 0 &&
            (!leaf.sub || (list[k].sub && strcmp(list[k].sub, leaf.sub) == 0))) {
            list[k] = leaf; /* the last demand wins */
            return;
        }
    }
    if (*n < GEN_LEAVES_MAX) {
        list[(*n)++] = leaf;
    }
}

static void satisfy(struct gen *gen, const struct gen_rule *rule, int at, bool want,
                    struct gen_request *r)
{
    const struct gen_node *node = &rule->nodes[at];
    if (node->kind == GEN_NOT) {
        satisfy(gen, rule, node->left, !want, r);
    } else if (node->kind == GEN_AND || node->kind == GEN_OR) {
        bool both = (node->kind == GEN_AND) == want;
        bool left = both || gen_chance(gen, 50);
        if (left) {
            satisfy(gen, rule, node->left, want, r);
        }
        if (both || !left) {
            satisfy(gen, rule, node->right, want, r);
        }
    } else {
        satisfy_atom(gen, node, want, r);
    }
}

static const char *fitting_part(struct gen *gen, const struct gen_segment *s)
{
    static char longer[8][16];
    static unsigned next;
    switch (s->kind) {
    case GEN_LITERAL:
        return s->text;
    case GEN_PREFIX:
        next = (next + 1) % 8;
        (void)snprintf(longer[next], sizeof longer[next], "%s%s", s->text,
                       gen_chance(gen, 50) ? "" : "z");
        return longer[next];
    case GEN_INT:
        return gen_chance(gen, 50) ? "5" : "12";
    case GEN_SLASH:
        return gen_chance(gen, 50) ? "a/b" : "a";
    case GEN_STAR:
    case GEN_ANY:
    case GEN_REST:
        break;
    }
    return parts[gen_below(gen, 10)];
}

void gen_request_for(struct gen *gen, const struct gen_scope *scope,
                     struct gen_request *ret_request)
{
    struct gen_request *r = ret_request;
    const struct gen_rule *rule = &scope->rules[gen_below(gen, scope->n_rules)];
    for (unsigned i = 0; i < 4 && rule->denies; i++) {
        rule = &scope->rules[gen_below(gen, scope->n_rules)];
    }
    *r = (struct gen_request){.host = rule->host, .trailing_slash = rule->trailing_slash};
    do {
        r->method = gen_methods[gen_below(gen, 4)];
    } while (!(rule->methods & r->method));
    for (unsigned i = 0; i < rule->n_segments; i++) {
        r->segments[r->n_segments++] = fitting_part(gen, &rule->segments[i]);
    }
    if (rule->root >= 0) {
        r->body_kind = gen_chance(gen, 50) ? SP_BODY_JSON : SP_BODY_FORM;
        satisfy(gen, rule, rule->root, true, r);
        r->body_kind = r->n_body || gen_chance(gen, 50) ? r->body_kind : SP_BODY_NONE;
    }
}

/* ---- building -----------------------------------------------------------------------------
 */

static void add_encoded(const char *text, struct sp_buf *buf)
{
    for (; *text; text++) {
        sp_buf_addf(buf, "%%%02X", (unsigned char)*text);
    }
}

static void add_scalar(enum gen_leaf_kind kind, int64_t integer, const char *text,
                       struct sp_buf *buf)
{
    if (kind == LEAF_INT) {
        sp_buf_addf(buf, "%" PRId64, integer);
    } else if (kind == LEAF_BOOL) {
        sp_buf_add_str(buf, integer & 1 ? "true" : "false");
    } else if (kind == LEAF_TEXT) {
        add_encoded(text, buf);
    } else {
        sp_buf_add_str(buf, kind == LEAF_NULL ? "null" : "5.0");
    }
}

/* name=value&name[sub]=value&name[]=item */
static void add_form(const struct gen_leaf *leaves, unsigned n, struct sp_buf *buf)
{
    for (unsigned i = 0; i < n; i++) {
        const struct gen_leaf *l = &leaves[i];
        for (unsigned k = 0; l->kind == LEAF_LIST && k < l->n_items; k++) {
            sp_buf_addf(buf, "&%s[]=", l->name);
            add_scalar(l->items[k].kind, l->items[k].integer, l->items[k].text, buf);
        }
        if (l->kind != LEAF_LIST) {
            sp_buf_addf(buf, "&%s", l->name);
            if (l->sub) {
                sp_buf_addf(buf, "[%s]", l->sub);
            }
            sp_buf_add_byte(buf, '=');
            add_scalar(l->kind, l->integer, l->text, buf);
        }
    }
}

static struct sp_value json_scalar(enum gen_leaf_kind kind, int64_t integer, const char *text)
{
    struct sp_value value = {.kind = SP_VALUE_NULL};
    switch (kind) {
    case LEAF_INT:
        value.kind = SP_VALUE_INT;
        value.as.integer = integer;
        break;
    case LEAF_TEXT:
        value.kind = SP_VALUE_STRING;
        value.as.text = sp_text_of(text);
        break;
    case LEAF_BOOL:
        value.kind = SP_VALUE_BOOL;
        value.as.boolean = integer & 1;
        break;
    case LEAF_NUMBER:
        value.kind = SP_VALUE_NUMBER;
        break;
    case LEAF_NULL:
    case LEAF_LIST:
        break;
    }
    return value;
}

static struct sp_value json_leaf(struct sp_arena *arena, const struct gen_leaf *l)
{
    if (l->kind != LEAF_LIST) {
        return json_scalar(l->kind, l->integer, l->text);
    }
    struct sp_value *items = sp_arena_array(arena, 3, sizeof *items);
    for (unsigned i = 0; i < l->n_items; i++) {
        items[i] = json_scalar(l->items[i].kind, l->items[i].integer, l->items[i].text);
    }
    struct sp_value list = {.kind = SP_VALUE_ARRAY};
    list.as.array.items = items;
    list.as.array.n = l->n_items;
    return list;
}

static struct sp_member *member(struct sp_member *members, size_t *n, const char *name)
{
    for (size_t i = 0; i < *n; i++) {
        if (sp_text_is(members[i].name, name)) {
            return &members[i];
        }
    }
    members[*n].name = sp_text_of(name);
    members[*n].value.kind = SP_VALUE_AMBIGUOUS; /* nothing there yet */
    return &members[(*n)++];
}

/* JSON has no name twice: the first leaf of a name, or of its object, is the one that counts.
 */
static void build_json(struct sp_arena *arena, const struct gen_request *r,
                       struct sp_value *ret_value)
{
    struct sp_member *top = sp_arena_array(arena, GEN_LEAVES_MAX, sizeof *top);
    size_t n = 0;
    for (unsigned i = 0; i < r->n_body; i++) {
        const struct gen_leaf *l = &r->body[i];
        struct sp_member *m = member(top, &n, l->name);
        bool fresh = m->value.kind == SP_VALUE_AMBIGUOUS;
        if (!l->sub) {
            m->value = fresh ? json_leaf(arena, l) : m->value;
            continue;
        }
        if (fresh) {
            m->value.kind = SP_VALUE_OBJECT;
            m->value.as.object.items =
                sp_arena_array(arena, GEN_LEAVES_MAX, sizeof(struct sp_member));
            m->value.as.object.n = 0;
        }
        if (m->value.kind == SP_VALUE_OBJECT) {
            struct sp_member *items = (struct sp_member *)(uintptr_t)m->value.as.object.items;
            struct sp_member *sub = member(items, &m->value.as.object.n, l->sub);
            if (sub->value.kind == SP_VALUE_AMBIGUOUS) {
                sub->value = json_leaf(arena, l);
            }
        }
    }
    ret_value->kind = SP_VALUE_OBJECT;
    ret_value->as.object.items = top;
    ret_value->as.object.n = n;
}

static struct sp_value *build_body(struct sp_arena *arena, const struct gen_request *r)
{
    struct sp_value *value = sp_arena_alloc(arena, sizeof *value);
    if (r->body_kind == SP_BODY_JSON) {
        if (r->body_is_list) {
            value->kind = SP_VALUE_ARRAY;
        } else {
            build_json(arena, r, value);
        }
        return value;
    }
    const struct sp_param *params;
    struct sp_buf text;
    size_t n;
    sp_buf_init(&text, 4096);
    add_form(r->body, r->n_body, &text);
    struct sp_text copy = sp_arena_copy(arena, sp_buf_text(&text));
    sp_buf_done(&text);
    if (sp_form_parse(arena, copy, 128, &params, &n, NULL) ||
        sp_form_tree(arena, params, n, value)) {
        abort();
    }
    return value;
}

void gen_build(const struct gen_request *request, struct sp_arena *arena,
               struct sp_request *ret_request)
{
    const struct gen_request *r = request;
    struct sp_buf url;
    struct sp_error err = {""};
    sp_buf_init(&url, 8192);
    sp_buf_add_str(&url, gen_hosts[r->host]);
    for (unsigned i = 0; i < r->n_segments; i++) {
        sp_buf_add_byte(&url, '/');
        add_encoded(r->segments[i], &url);
    }
    sp_buf_add_str(&url, r->n_segments == 0 || r->trailing_slash ? "/" : "");
    sp_buf_add_str(&url, r->n_query ? "?" : "");
    add_form(r->query, r->n_query, &url);
    struct sp_text text = sp_arena_copy(arena, sp_buf_text(&url));
    sp_buf_done(&url);
    if (sp_request_init(arena, sp_text_of(sp_method_name(r->method)), text, ret_request,
                        &err)) {
        abort();
    }
    struct sp_header *headers = sp_arena_array(arena, GEN_LEAVES_MAX, sizeof *headers);
    for (unsigned i = 0; i < r->n_headers; i++) {
        headers[i] =
            (struct sp_header){sp_text_of(r->headers[i].name), sp_text_of(r->headers[i].text)};
    }
    ret_request->headers = headers;
    ret_request->n_headers = r->n_headers;
    ret_request->body_kind = r->body_kind;
    if (r->body_kind == SP_BODY_JSON || r->body_kind == SP_BODY_FORM) {
        ret_request->body_value = build_body(arena, r);
    }
}
