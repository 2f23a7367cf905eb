/* All that a theme's scopes can tell apart: the segments, and what stands beside the path. */
#include "universe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char fresh[] = "zz";

/* ---- segments -------------------------------------------------------------------------------
 */

static void add_segment(struct universe *u, struct sp_arena *arena, struct sp_text text)
{
    for (unsigned i = 0; i < u->n_alphabet; i++) {
        if (sp_text_eq(u->alphabet[i].text, text)) {
            return;
        }
    }
    if (u->n_alphabet == U_ALPHABET_MAX) {
        abort();
    }
    bool slash = memchr(text.ptr, '/', text.len) != NULL;
    u->alphabet[u->n_alphabet++] = (struct sp_segment){sp_arena_copy(arena, text), slash};
}

/* A word, what begins with it, and both in capitals. */
static void add_word(struct universe *u, struct sp_arena *arena, const char *word, bool longer,
                     bool folds)
{
    char text[32];
    for (unsigned form = 0; form < (longer ? 2 : 1); form++) {
        int n = snprintf(text, sizeof text, "%s%s", word, form ? fresh : "");
        add_segment(u, arena, (struct sp_text){text, (size_t)n});
        for (char *c = text; folds && *c; c++) {
            *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
        }
        add_segment(u, arena, (struct sp_text){text, (size_t)n});
    }
}

static void add_integers(struct universe *u, struct sp_arena *arena, const struct u_theme *t)
{
    char text[32];
    for (unsigned i = 0; i < t->n_integers; i++) {
        for (int by = -1; by <= 1; by++) {
            int n = snprintf(text, sizeof text, "%" PRId64, t->integers[i] + by);
            add_segment(u, arena, (struct sp_text){text, (size_t)n});
        }
    }
}

static void make_alphabet(struct universe *u, struct sp_arena *arena, const struct u_theme *t,
                          bool folds)
{
    add_word(u, arena, fresh, false, false);
    for (unsigned i = 0; i < t->n_segments; i++) {
        const struct u_segment *s = &t->segments[i];
        switch (s->kind) {
        case U_LITERAL:
        case U_PREFIX:
            add_word(u, arena, s->text, s->kind == U_PREFIX, folds);
            break;
        case U_INT:
            add_segment(u, arena, SP_TEXT("7"));
            add_segment(u, arena, SP_TEXT("88"));
            if (t->captures) {
                add_integers(u, arena, t);
            }
            break;
        case U_ANY:
            add_word(u, arena, t->strings[0], t->captures, false);
            add_word(u, arena, t->strings[1], t->captures, false);
            break;
        case U_SLASH:
            add_segment(u, arena, SP_TEXT("zz/zz"));
            break;
        case U_STAR:
        case U_REST:
            break;
        }
    }
}

/* ---- values ---------------------------------------------------------------------------------
 */

enum { MEMBERS_MAX = 8, PAIRS_MAX = 16, HEADERS_MAX = 4, VALUES_MAX = 8 };

/* A request that is being put together: a JSON body and the same as a form, query, headers. */
struct content {
    struct sp_member json[MEMBERS_MAX];
    size_t n_json;
    struct sp_param form[PAIRS_MAX], query[PAIRS_MAX];
    size_t n_form, n_query;
    struct sp_header headers[HEADERS_MAX];
    size_t n_headers;
};

struct maker {
    const struct u_theme *theme;
    struct sp_arena *arena;
    struct universe *u;
    enum sp_body_kind kind;
    struct content content;
    /* constants and their neighbours; strings, and each with something behind it */
    int64_t integers[VALUES_MAX];
    unsigned n_integers;
    struct sp_text strings[VALUES_MAX];
    unsigned n_strings;
    bool bare; /* the JSON body is no object */
};

static void *keep(struct maker *m, const void *from, size_t n, size_t size)
{
    void *copy = sp_arena_array(m->arena, n + 1, size);
    if (!copy) {
        abort();
    }
    if (n > 0) {
        memcpy(copy, from, n * size);
    }
    return copy;
}

static struct sp_value of_text(struct sp_text text)
{
    struct sp_value value = {.kind = SP_VALUE_STRING};
    value.as.text = text;
    return value;
}

static struct sp_value of_int(int64_t integer)
{
    struct sp_value value = {.kind = SP_VALUE_INT};
    value.as.integer = integer;
    return value;
}

static struct sp_text digits(struct maker *m, int64_t integer)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRId64, integer);
    return sp_arena_copy(m->arena, (struct sp_text){text, (size_t)n});
}

static void collect_values(struct maker *m)
{
    const struct u_theme *t = m->theme;
    for (unsigned i = 0; i < t->n_integers; i++) {
        for (int64_t v = t->integers[i] - 1; v <= t->integers[i] + 1; v++) {
            bool known = false;
            for (unsigned k = 0; k < m->n_integers; k++) {
                known = known || m->integers[k] == v;
            }
            if (!known) {
                m->integers[m->n_integers++] = v;
            }
        }
    }
    m->strings[m->n_strings++] = sp_text_of(fresh);
    for (unsigned i = 0; i < 2 && (i == 0 || strcmp(t->strings[0], t->strings[1]) != 0); i++) {
        char text[32];
        int n = snprintf(text, sizeof text, "%s%s", t->strings[i], fresh);
        m->strings[m->n_strings++] = sp_text_of(t->strings[i]);
        m->strings[m->n_strings++] = sp_arena_copy(m->arena, (struct sp_text){text, (size_t)n});
    }
}

/* ---- what one field can be ------------------------------------------------------------------
 */

static void put_json(struct maker *m, const char *name, struct sp_value value)
{
    m->content.json[m->content.n_json++] = (struct sp_member){sp_text_of(name), value};
}

static void put_pair(struct sp_param *pairs, size_t *n, const char *name, struct sp_text value)
{
    pairs[(*n)++] = (struct sp_param){sp_text_of(name), value, true};
}

static void put_form(struct maker *m, const char *name, struct sp_text value)
{
    put_pair(m->content.form, &m->content.n_form, name, value);
}

/* In a form a field with that name and text; in JSON a member with that name and value. */
static void put_each(struct maker *m, const char *in_form, struct sp_text text,
                     const char *in_json, struct sp_value value)
{
    if (m->kind == SP_BODY_FORM) {
        put_form(m, in_form, text);
    } else {
        put_json(m, in_json, value);
    }
}

static void put_both(struct maker *m, const char *name, struct sp_text text,
                     struct sp_value value)
{
    put_each(m, name, text, name, value);
}

static void put_twice(struct maker *m, const char *name)
{
    if (m->kind == SP_BODY_FORM) {
        put_form(m, name, SP_TEXT("1"));
        put_form(m, name, SP_TEXT("1"));
    } else { /* JSON cannot: its reader refuses it; another type then */
        put_json(m, name, (struct sp_value){.kind = SP_VALUE_NULL});
    }
}

/* A top member: absent, in another case, twice, of another type, each value. False: no more. */
static bool put_plain(struct maker *m, const char *name, const char *twin, bool is_int,
                      unsigned i)
{
    unsigned n = is_int ? m->n_integers : m->n_strings;
    switch (i) {
    case 0:
        return true;
    case 1:
        put_both(m, twin, SP_TEXT("1"), of_int(1));
        return true;
    case 2:
        put_twice(m, name);
        return true;
    case 3:
        if (m->kind == SP_BODY_FORM) {
            char other[32];
            (void)snprintf(other, sizeof other, "%s[]", name);
            put_form(m, sp_arena_copy(m->arena, sp_text_of(other)).ptr, SP_TEXT("zz"));
        } else {
            put_json(m, name, is_int ? of_text(sp_text_of(fresh)) : of_int(1));
        }
        return true;
    default:
        if (i - 4 < n) {
            struct sp_text text = is_int ? digits(m, m->integers[i - 4]) : m->strings[i - 4];
            put_both(m, name, text, is_int ? of_int(m->integers[i - 4]) : of_text(text));
        }
        return i - 4 < n;
    }
}

static void put_inner(struct maker *m, const char *form_name, const char *name,
                      struct sp_text text, struct sp_value value)
{
    struct sp_member member = {sp_text_of(name), value};
    struct sp_value object = {.kind = SP_VALUE_OBJECT};
    object.as.object.items = keep(m, &member, 1, sizeof member);
    object.as.object.n = 1;
    put_each(m, form_name, text, "m", object);
}

/* body.m.n: something on the way, too. */
static bool put_nested(struct maker *m, unsigned i)
{
    struct sp_value empty = {.kind = SP_VALUE_OBJECT};
    switch (i) {
    case 0:
        return true;
    case 1:
        put_both(m, "m", SP_TEXT("zz"), of_text(sp_text_of(fresh)));
        return true;
    case 2:
        put_each(m, "m[zz]", SP_TEXT("1"), "m", empty);
        return true;
    case 3:
        put_both(m, "M", SP_TEXT("1"), of_int(1));
        return true;
    case 4:
        put_inner(m, "m[N]", "N", SP_TEXT("1"), of_int(1));
        return true;
    case 5:
        put_inner(m, "m[n]", "n", SP_TEXT("zz"), of_text(sp_text_of(fresh)));
        return true;
    case 6:
        if (m->kind == SP_BODY_FORM) {
            put_form(m, "m[n]", SP_TEXT("1"));
            put_form(m, "m[n]", SP_TEXT("1"));
        }
        return true;
    default:
        if (i - 7 < m->n_integers) {
            int64_t value = m->integers[i - 7];
            put_inner(m, "m[n]", "n", digits(m, value), of_int(value));
        }
        return i - 7 < m->n_integers;
    }
}

/* body.tags: each set of elements, since `any` and `all` ask nothing else of them. */
static bool put_tags(struct maker *m, unsigned i)
{
    struct sp_value items[VALUES_MAX + 1], array = {.kind = SP_VALUE_ARRAY};
    size_t n = 0, n_kinds = m->n_strings + 1;
    switch (i) {
    case 0:
        return true;
    case 1:
        put_both(m, "TAGS", SP_TEXT("1"), of_int(1));
        return true;
    case 2:
        put_both(m, "tags", SP_TEXT("zz"), of_text(sp_text_of(fresh)));
        return true;
    case 3:
        put_twice(m, "tags");
        return true;
    default:
        break;
    }
    unsigned set = i - 4;
    for (size_t k = n_kinds; k-- > 0 && set < 1u << n_kinds;) {
        if (!(set >> k & 1)) {
            continue;
        }
        bool text = k < m->n_strings;
        items[n++] = text ? of_text(m->strings[k]) : of_int(1);
        if (m->kind == SP_BODY_FORM) { /* the other type comes first, as it must */
            put_form(m, text ? "tags[]" : "tags[][zz]", text ? m->strings[k] : SP_TEXT("1"));
        }
    }
    if (m->kind == SP_BODY_JSON) {
        array.as.array.items = keep(m, items, n, sizeof *items);
        array.as.array.n = n;
        put_json(m, "tags", array);
    }
    return set < 1u << n_kinds;
}

static bool put_query(struct maker *m, unsigned i)
{
    struct content *c = &m->content;
    bool is_int = m->theme->query_is_int;
    unsigned n = is_int ? m->n_integers : m->n_strings;
    switch (i) {
    case 0:
        return true;
    case 1:
        put_pair(c->query, &c->n_query, "Q", SP_TEXT("1"));
        return true;
    case 2:
        put_pair(c->query, &c->n_query, "q", SP_TEXT("1"));
        put_pair(c->query, &c->n_query, "q", SP_TEXT("1"));
        return true;
    case 3:
        put_pair(c->query, &c->n_query, "q[]", SP_TEXT("1"));
        return true;
    case 4:
        put_pair(c->query, &c->n_query, "q", sp_text_of(fresh));
        return true;
    default:
        if (i - 5 < n) {
            put_pair(c->query, &c->n_query, "q",
                     is_int ? digits(m, m->integers[i - 5]) : m->strings[i - 5]);
        }
        return i - 5 < n;
    }
}

static bool put_header(struct maker *m, unsigned i)
{
    struct content *c = &m->content;
    for (unsigned k = 0; k < (i == 1 ? 2 : i > 1); k++) {
        struct sp_text value = i == 1 ? SP_TEXT("1") : m->strings[(i - 2) % m->n_strings];
        c->headers[c->n_headers++] = (struct sp_header){SP_TEXT("x-h"), value};
    }
    return i < 2 + m->n_strings;
}

static bool put_field(struct maker *m, enum u_field_kind field, unsigned i)
{
    switch (field) {
    case U_AMOUNT:
        return put_plain(m, "amount", "AMOUNT", true, i);
    case U_NOTE:
        return put_plain(m, "note", "NOTE", false, i);
    case U_NESTED:
        return put_nested(m, i);
    case U_TAGS:
        return put_tags(m, i);
    case U_QUERY:
        return put_query(m, i);
    case U_HEADER:
        return put_header(m, i);
    case U_FIELDS:
    case U_PATH:
        break;
    }
    return false;
}

/* ---- variants -------------------------------------------------------------------------------
 */

static const struct sp_value *tree_of(struct maker *m, const struct sp_param *pairs, size_t n)
{
    struct sp_value *tree = sp_arena_alloc(m->arena, sizeof *tree);
    if (!tree || sp_form_tree(m->arena, pairs, n, tree)) {
        abort();
    }
    return tree;
}

static void add_variant(struct maker *m)
{
    const struct content *c = &m->content;
    struct u_variant v = {.kind = m->kind, .n_query = c->n_query, .n_headers = c->n_headers};
    struct sp_value object = {.kind = SP_VALUE_OBJECT};
    if (m->u->n_variants == U_VARIANTS_MAX) {
        abort();
    }
    v.query = keep(m, c->query, c->n_query, sizeof *c->query);
    v.query_value = tree_of(m, v.query, v.n_query);
    v.headers = keep(m, c->headers, c->n_headers, sizeof *c->headers);
    if (m->bare) { /* a JSON text that is no object has no fields at all */
        static const struct sp_value bare = {.kind = SP_VALUE_STRING, .as.text = {"bare", 4}};
        v.body = &bare;
    } else if (m->kind == SP_BODY_JSON) {
        object.as.object.items = keep(m, c->json, c->n_json, sizeof *c->json);
        object.as.object.n = c->n_json;
        v.body = keep(m, &object, 1, sizeof object);
    } else if (m->kind == SP_BODY_FORM) {
        v.body = tree_of(m, keep(m, c->form, c->n_form, sizeof *c->form), c->n_form);
    }
    m->u->variants[m->u->n_variants++] = v;
}

static bool of_body(enum u_field_kind field)
{
    return field < U_QUERY;
}

static bool has_fields(const struct maker *m)
{
    return (m->kind == SP_BODY_JSON && !m->bare) || m->kind == SP_BODY_FORM;
}

static void each_extra(struct maker *m)
{
    struct content before = m->content;
    bool bodies = has_fields(m);
    for (unsigned member = 0; member < (bodies && m->theme->only ? 3 : 1); member++) {
        for (unsigned parameter = 0; parameter < 2; parameter++) {
            m->content = before;
            if (member) {
                put_both(m, member == 1 ? fresh : "extra", SP_TEXT("1"), of_int(1));
            }
            if (parameter) {
                put_pair(m->content.query, &m->content.n_query, fresh, SP_TEXT("1"));
            }
            add_variant(m);
        }
    }
    m->content = before;
}

static void each_field(struct maker *m, unsigned field)
{
    struct content before = m->content;
    if (field == m->theme->n_fields) {
        each_extra(m);
        return;
    }
    if (of_body(m->theme->fields[field]) && !has_fields(m)) {
        each_field(m, field + 1);
        return;
    }
    for (unsigned i = 0; put_field(m, m->theme->fields[field], i); i++) {
        each_field(m, field + 1);
        m->content = before;
    }
    m->content = before;
}

void universe_make(const struct u_theme *theme, bool folds, struct sp_arena *arena,
                   struct universe *ret_universe)
{
    static const enum sp_body_kind kinds[] = {SP_BODY_NONE, SP_BODY_JSON, SP_BODY_FORM,
                                              SP_BODY_OPAQUE, SP_BODY_JSON};
    static struct maker m;
    bool bodies = false;
    m = (struct maker){.theme = theme, .arena = arena, .u = ret_universe};
    ret_universe->n_alphabet = 0;
    ret_universe->n_variants = 0;
    make_alphabet(ret_universe, arena, theme, folds);
    collect_values(&m);
    for (unsigned i = 0; i < theme->n_fields; i++) {
        bodies = bodies || of_body(theme->fields[i]);
    }
    for (unsigned k = 0; k < (bodies ? 5 : 1); k++) {
        m.kind = kinds[k];
        m.bare = k == 4;
        each_field(&m, 0);
    }
}
