/* The second evaluator. Truth is a set of what could still be: 1 true, 2 false, 3 either. */
#include "gen.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { YES = 1, NO = 2, EITHER = 3, PATH_ROOM = 128 };

/* ---- paths, as strings --------------------------------------------------------------------
 */

/* "/a/b/" with an encoded slash as '\2', or as '/' where split. */
static void path_text(const struct gen_request *r, bool split, char text[PATH_ROOM])
{
    char *at = text;
    for (unsigned i = 0; i < r->n_segments; i++) {
        *at++ = '/';
        for (const char *c = r->segments[i]; *c; c++) {
            *at++ = (char)(*c == '/' && !split ? '\2' : *c);
        }
    }
    if (r->n_segments == 0 || r->trailing_slash) {
        *at++ = '/';
    }
    *at = '\0';
}

static bool is_integer(const char *text, int64_t *ret)
{
    char again[32];
    long long number = strtoll(text, NULL, 10);
    (void)snprintf(again, sizeof again, "%lld", number);
    *ret = number;
    return strcmp(again, text) == 0 && strlen(text) - (text[0] == '-') <= 18;
}

static bool segment_is(const struct gen_segment *s, const char *text, bool denies)
{
    int64_t number;
    size_t len = s->kind == GEN_PREFIX ? strlen(s->text) : strlen(text);
    if (strchr(text, '\2') && !denies) {
        return s->kind == GEN_SLASH;
    }
    if (s->kind == GEN_INT) {
        return is_integer(text, &number) && number >= 0;
    }
    if (s->kind != GEN_LITERAL && s->kind != GEN_PREFIX) {
        return true;
    }
    if (s->kind == GEN_LITERAL && strlen(s->text) != len) {
        return false;
    }
    return (denies ? strncasecmp(s->text, text, len) : strncmp(s->text, text, len)) == 0;
}

/* From segment i on, against what is left of the path. */
static bool path_fits(const struct gen_rule *rule, unsigned i, const char *path)
{
    char text[PATH_ROOM];
    if (i == rule->n_segments) {
        bool slash = strcmp(path, "/") == 0;
        bool end = path[0] == '\0' && i > 0;
        if (i == 0) {
            return slash;
        }
        return rule->denies ? slash || end : rule->trailing_slash ? slash : end;
    }
    if (path[0] != '/' || path[1] == '\0') {
        return false;
    }
    if (rule->segments[i].kind == GEN_REST) {
        return rule->denies || !strchr(path, '\2');
    }
    size_t len = strcspn(path + 1, "/");
    memcpy(text, path + 1, len);
    text[len] = '\0';
    return segment_is(&rule->segments[i], text, rule->denies) &&
           path_fits(rule, i + 1, path + 1 + len);
}

/* ---- values, as leaves --------------------------------------------------------------------
 */

enum found { ABSENT, TWICE, OBJECT, LIST, SCALAR };

static bool is_there(const struct gen_leaf *l, bool form)
{
    return !form || l->kind != LEAF_LIST || l->n_items > 0;
}

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static bool twins(const char *a, const char *b)
{
    return a && b && strcmp(a, b) != 0 && strcasecmp(a, b) == 0;
}

struct view {
    const struct gen_leaf *leaves;
    unsigned n;
    bool form;
};

/* What stands at name, or at name.sub; the first leaf of it. */
static enum found look(struct view v, const char *name, const char *sub,
                       const struct gen_leaf **ret_leaf)
{
    unsigned scalars = 0, lists = 0, objects = 0, subs = 0;
    const struct gen_leaf *first = NULL, *first_sub = NULL;
    for (unsigned i = 0; i < v.n; i++) {
        const struct gen_leaf *l = &v.leaves[i];
        if (!same(l->name, name) || !is_there(l, v.form)) {
            continue;
        }
        first = first ? first : l;
        scalars += !l->sub && l->kind != LEAF_LIST;
        lists += !l->sub && l->kind == LEAF_LIST;
        objects += l->sub != NULL;
        if (same(l->sub, sub)) {
            first_sub = first_sub ? first_sub : l;
            subs++;
        }
    }
    if (!first) {
        return ABSENT;
    }
    if (v.form && (scalars > 1 || (scalars > 0) + (lists > 0) + (objects > 0) > 1)) {
        return TWICE;
    }
    *ret_leaf = first;
    if (sub) {
        *ret_leaf = first_sub;
        return !first->sub || !first_sub ? ABSENT : v.form && subs > 1 ? TWICE : SCALAR;
    }
    return first->sub ? OBJECT : first->kind == LEAF_LIST ? LIST : SCALAR;
}

static struct view view_of(const struct gen_request *r, enum gen_source source)
{
    if (source == GEN_QUERY) {
        return (struct view){r->query, r->n_query, true};
    }
    return (struct view){r->body, r->body_is_list ? 0 : r->n_body,
                         r->body_kind == SP_BODY_FORM};
}

/* ---- comparisons --------------------------------------------------------------------------
 */

static int sure(bool value)
{
    return value ? YES : NO;
}

static int negate(int truth)
{
    return ((truth & YES) ? NO : 0) | ((truth & NO) ? YES : 0);
}

static int both(int a, int b)
{
    return ((a & YES) && (b & YES) ? YES : 0) | ((a | b) & NO);
}

static int either(int a, int b)
{
    return negate(both(negate(a), negate(b)));
}

/* One scalar: what it is as an integer, a text, a boolean. */
struct scalar {
    bool has_integer, has_text, has_boolean, boolean;
    int64_t integer;
    const char *text;
    char room[32];
};

static void scalar_of_text(const char *text, struct scalar *ret)
{
    ret->has_text = true;
    ret->text = text;
    ret->has_integer = is_integer(text, &ret->integer);
    ret->boolean = strcmp(text, "true") == 0;
    ret->has_boolean = ret->boolean || strcmp(text, "false") == 0;
}

static void scalar_of(enum gen_leaf_kind kind, int64_t integer, const char *text, bool form,
                      struct scalar *ret)
{
    *ret = (struct scalar){.integer = integer, .text = text};
    if (!form) {
        ret->has_integer = kind == LEAF_INT;
        ret->has_text = kind == LEAF_TEXT;
        ret->has_boolean = kind == LEAF_BOOL;
        ret->boolean = integer & 1;
        return;
    }
    if (kind == LEAF_INT) {
        (void)snprintf(ret->room, sizeof ret->room, "%" PRId64, integer);
        text = ret->room;
    } else if (kind != LEAF_TEXT) {
        text = kind == LEAF_BOOL   ? (integer & 1 ? "true" : "false")
               : kind == LEAF_NULL ? "null"
                                   : "5.0";
    }
    scalar_of_text(text, ret);
}

static int equals(const struct gen_node *node, unsigned i, const struct scalar *s)
{
    switch (node->type) {
    case GEN_INTEGER:
        return s->has_integer ? sure(s->integer == node->integers[i]) : EITHER;
    case GEN_STRING:
        return s->has_text ? sure(strcmp(s->text, node->strings[i]) == 0) : EITHER;
    case GEN_BOOLEAN:
        return s->has_boolean ? sure(s->boolean == (node->integers[i] & 1)) : EITHER;
    }
    return EITHER;
}

static int compare(const struct gen_node *node, const struct scalar *s)
{
    int result = NO;
    int64_t n = s->integer, c = node->integers[0];
    switch (node->kind) {
    case GEN_EQ:
        return equals(node, 0, s);
    case GEN_NE:
        return negate(equals(node, 0, s));
    case GEN_IN:
        for (unsigned i = 0; i < node->n; i++) {
            result = either(result, equals(node, i, s));
        }
        return result;
    case GEN_STARTS:
        return s->has_text
                   ? sure(strncmp(s->text, node->strings[0], strlen(node->strings[0])) == 0)
                   : EITHER;
    case GEN_LT:
        return s->has_integer ? sure(n < c) : EITHER;
    case GEN_LE:
        return s->has_integer ? sure(n <= c) : EITHER;
    case GEN_GT:
        return s->has_integer ? sure(n > c) : EITHER;
    case GEN_GE:
        return s->has_integer ? sure(n >= c) : EITHER;
    case GEN_RANGE:
        return s->has_integer ? sure(n >= c && (node->open || n <= node->integers[1])) : EITHER;
    case GEN_AND:
    case GEN_OR:
    case GEN_NOT:
    case GEN_HAS:
    case GEN_ONLY:
        break;
    }
    abort();
}

/* ---- atoms --------------------------------------------------------------------------------
 */

static int only(const struct gen_node *node, const struct gen_request *r)
{
    struct view v = view_of(r, node->source);
    const struct gen_leaf *leaf;
    if (node->source == GEN_BODY && r->body_is_list) {
        return EITHER;
    }
    if (node->name && look(v, node->name, NULL, &leaf) != OBJECT) {
        return EITHER;
    }
    for (unsigned i = 0; i < v.n; i++) {
        const char *name = node->name ? v.leaves[i].sub : v.leaves[i].name;
        bool listed = false;
        if (!is_there(&v.leaves[i], v.form) ||
            (node->name && (!same(v.leaves[i].name, node->name) || !name))) {
            continue;
        }
        for (unsigned k = 0; k < node->n; k++) {
            listed = listed || same(name, node->strings[k]);
        }
        if (!listed) {
            return NO;
        }
    }
    return YES;
}

static int quantified(const struct gen_node *node, struct view v)
{
    int result = node->quantifier == 'y' ? NO : YES;
    const struct gen_leaf *leaf;
    if (look(v, node->name, NULL, &leaf) != LIST) {
        return EITHER;
    }
    for (unsigned i = 0; i < v.n; i++) {
        const struct gen_leaf *l = &v.leaves[i];
        if (!same(l->name, node->name) || (!v.form && l != leaf)) {
            continue;
        }
        for (unsigned k = 0; k < l->n_items; k++) {
            struct scalar s;
            scalar_of(l->items[k].kind, l->items[k].integer, l->items[k].text, v.form, &s);
            int one = compare(node, &s);
            result = node->quantifier == 'y' ? either(result, one) : both(result, one);
        }
    }
    return result;
}

static int header_atom(const struct gen_node *node, const struct gen_request *r)
{
    for (unsigned i = 0; i < r->n_headers; i++) {
        if (same(r->headers[i].name, node->name)) {
            struct scalar s = {.has_text = true, .text = r->headers[i].text};
            return node->kind == GEN_HAS ? YES : compare(node, &s);
        }
    }
    return node->kind == GEN_HAS ? NO : EITHER;
}

static int capture_atom(const struct gen_rule *rule, const struct gen_node *node,
                        const struct gen_request *r)
{
    for (unsigned i = 0; i < rule->n_segments; i++) {
        if (rule->segments[i].kind >= GEN_INT && same(rule->segments[i].text, node->name)) {
            struct scalar s = {.has_text = false};
            scalar_of_text(r->segments[i], &s);
            return compare(node, &s);
        }
    }
    abort();
}

static int truth_of(const struct gen_rule *rule, int at, const struct gen_request *r)
{
    const struct gen_node *node = &rule->nodes[at];
    const struct gen_leaf *leaf = NULL;
    struct scalar s;
    switch ((int)node->kind) {
    case GEN_AND:
        return both(truth_of(rule, node->left, r), truth_of(rule, node->right, r));
    case GEN_OR:
        return either(truth_of(rule, node->left, r), truth_of(rule, node->right, r));
    case GEN_NOT:
        return negate(truth_of(rule, node->left, r));
    case GEN_ONLY:
        return only(node, r);
    default:
        break;
    }
    if (node->source == GEN_HEADER) {
        return header_atom(node, r);
    }
    if (node->source == GEN_PATH) {
        return capture_atom(rule, node, r);
    }
    struct view v = view_of(r, node->source);
    if (node->quantifier) {
        return quantified(node, v);
    }
    enum found found = look(v, node->name, node->sub, &leaf);
    if (node->kind == GEN_HAS) {
        return sure(found != ABSENT);
    }
    if (found != SCALAR) {
        return EITHER;
    }
    scalar_of(leaf->kind, leaf->integer, leaf->text, v.form, &s);
    return compare(node, &s);
}

/* ---- what cannot be judged ----------------------------------------------------------------
 */

/* Calls fn with each atom; true where one call says so. */
static bool some_atom(const struct gen_rule *rule, int at,
                      bool (*fn)(const struct gen_node *, const void *), const void *user)
{
    const struct gen_node *node = &rule->nodes[at];
    if (node->kind > GEN_NOT) {
        return fn(node, user);
    }
    return some_atom(rule, node->left, fn, user) ||
           (node->kind != GEN_NOT && some_atom(rule, node->right, fn, user));
}

static bool reads_source(const struct gen_node *node, const void *source)
{
    return node->source == *(const enum gen_source *)source;
}

static bool reads_query_name(const struct gen_node *node, const void *name)
{
    return node->source == GEN_QUERY && same(node->name, name);
}

static bool is_doubtful(const struct gen_node *node, const void *request)
{
    const struct gen_request *r = request;
    const struct gen_leaf *leaf;
    unsigned n = 0;
    if (node->source == GEN_HEADER) {
        for (unsigned i = 0; i < r->n_headers; i++) {
            n += same(r->headers[i].name, node->name);
        }
        return n > 1;
    }
    if (node->source == GEN_PATH || !node->name) {
        return false;
    }
    struct view v = view_of(r, node->source);
    enum found found = look(v, node->name, NULL, &leaf);
    for (unsigned i = 0; i < v.n; i++) {
        const struct gen_leaf *l = &v.leaves[i];
        bool below = found == OBJECT && node->sub && same(l->name, node->name);
        if (is_there(l, v.form) &&
            (twins(l->name, node->name) || (below && twins(l->sub, node->sub)))) {
            return true;
        }
    }
    return found == TWICE || (node->sub && look(v, node->name, node->sub, &leaf) == TWICE);
}

static bool is_unreadable(const struct gen_rule *rule, const struct gen_request *r)
{
    enum gen_source body = GEN_BODY;
    if (some_atom(rule, rule->root, reads_source, &body)) {
        if (r->body_kind != SP_BODY_JSON && r->body_kind != SP_BODY_FORM) {
            return true;
        }
        for (unsigned i = 0; i < r->n_query; i++) {
            if (is_there(&r->query[i], true) &&
                !some_atom(rule, rule->root, reads_query_name, r->query[i].name)) {
                return true;
            }
        }
    }
    return some_atom(rule, rule->root, is_doubtful, r);
}

/* ---- verdicts -----------------------------------------------------------------------------
 */

static bool applies(const struct gen_rule *rule, const struct gen_request *r)
{
    char path[PATH_ROOM], split[PATH_ROOM];
    path_text(r, false, path);
    path_text(r, true, split);
    bool fits = path_fits(rule, 0, path);
    bool fits_split = rule->denies && !fits && path_fits(rule, 0, split);
    if (rule->host != r->host || !(rule->methods & r->method) || (!fits && !fits_split)) {
        return false;
    }
    if (rule->root < 0) {
        return true;
    }
    enum gen_source captures = GEN_PATH;
    if (is_unreadable(rule, r) ||
        (fits_split && some_atom(rule, rule->root, reads_source, &captures))) {
        return rule->denies;
    }
    int truth = truth_of(rule, rule->root, r);
    return rule->denies ? truth != NO : truth == YES;
}

bool gen_allows(const struct gen_scope *scope, const struct gen_request *request)
{
    bool allowed = false;
    for (unsigned i = 0; i < scope->n_rules; i++) {
        if (applies(&scope->rules[i], request)) {
            if (scope->rules[i].denies) {
                return false;
            }
            allowed = true;
        }
    }
    return allowed;
}
