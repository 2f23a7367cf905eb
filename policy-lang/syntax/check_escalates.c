/* Actions that escalate, as the providers' catalogues say: only a literal allow reaches one.
 *
 * That is put into the rules. Where an allow with a wildcard might reach such an action, the
 * scope gets a deny of it, excepting what literal allows name. Denies are what every matcher,
 * proof and frozen text understands, so nothing else has to know of catalogues, and a token
 * keeps what was decided when it was issued. */
#include "check.h"
#include "match.h"

#include <assert.h>
#include <stdlib.h>

enum {
    NAMED_MAX = 500, /* literal allows of one action in one scope */
    CATALOGUES_MAX = 64,
};

bool rule_is_implied(const struct sp_rule *rule)
{
    return rule->denies && sp_text_starts(rule->label, SP_TEXT(ESCALATES_LABEL));
}

bool rule_is_literal(const struct sp_rule *rule)
{
    bool literal = !rule->denies && rule->methods != SP_METHOD_ALL;
    for (size_t i = 0; i < rule->url.n_segments && literal; i++) {
        enum segment_kind kind = rule->url.segments[i].kind;
        literal = kind == SEGMENT_LITERAL || kind == SEGMENT_PARAM;
    }
    return literal;
}

/* ---- templates ------------------------------------------------------------------------------
 */

bool ast_parse_template(struct sp_arena *arena, struct sp_text host, struct sp_text path,
                        bool cut, struct url_pattern *ret_url)
{
    size_t n = 0, at = 1, room = 1;
    for (size_t i = 0; i < path.len; i++) {
        room += path.ptr[i] == '/';
    }
    struct segment *segments = sp_arena_array(arena, room, sizeof *segments);
    bool rest = false;
    if (!segments) {
        return false;
    }
    while (at < path.len && !rest) {
        assert(n < room); /* a slash for each but the first */
        const char *slash = memchr(path.ptr + at, '/', path.len - at);
        size_t end = slash ? (size_t)(slash - path.ptr) : path.len;
        struct sp_text text = {path.ptr + at, end - at};
        bool named = memchr(text.ptr, '{', text.len) != NULL;
        bool many = text.len > 4 && memcmp(text.ptr + text.len - 4, "...}", 4) == 0;
        rest = many && (cut || end == path.len);
        segments[n++] = (struct segment){
            .kind = rest    ? SEGMENT_REST
                    : named ? SEGMENT_STAR
                            : SEGMENT_LITERAL,
            .text = named ? SP_TEXT("") : text,
        };
        at = end + 1;
    }
    *ret_url =
        (struct url_pattern){.https = true,
                             .host = host,
                             .port = 443,
                             .segments = segments,
                             .n_segments = n,
                             .trailing_slash = path.len > 1 && path.ptr[path.len - 1] == '/'};
    return true;
}

static struct sp_text label_of(struct checker *c, struct sp_text provider, struct sp_text name)
{
    struct sp_buf buf;
    sp_buf_init(&buf, 1024);
    provider.len = provider.len < SP_NAME_MAX_BYTES ? provider.len : SP_NAME_MAX_BYTES;
    name.len = name.len < SP_NAME_MAX_BYTES ? name.len : SP_NAME_MAX_BYTES;
    sp_buf_addf(&buf, "%s%.*s-%.*s", ESCALATES_LABEL, (int)provider.len, provider.ptr,
                (int)name.len, name.ptr);
    for (size_t i = 0; i < buf.len; i++) {
        char b = buf.ptr[i];
        bool word = (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9');
        buf.ptr[i] = (char)(word || b == '_' ? b : '-');
    }
    struct sp_text text = sp_buf_text(&buf);
    text.len = text.len < SP_NAME_MAX_BYTES ? text.len : SP_NAME_MAX_BYTES;
    struct sp_text label = sp_arena_copy(&c->policy->arena, text);
    c->out_of_memory = c->out_of_memory || buf.failed || !label.ptr;
    sp_buf_done(&buf);
    return label;
}

/* ---- what a key's catalogues forbid to wildcards --------------------------------------------
 */

static bool same_url(const struct url_pattern *a, const struct url_pattern *b)
{
    bool same = a->n_segments == b->n_segments;
    for (size_t i = 0; i < a->n_segments && same; i++) {
        same = a->segments[i].kind == b->segments[i].kind &&
               sp_text_eq(a->segments[i].text, b->segments[i].text);
    }
    return same;
}

/* One unconditional deny of each escalating action: shared by all scopes that need no exception
 * from it. Actions of one method and pattern are one deny. */
static void set_fill(struct checker *c, struct guard_set *set,
                     const struct sp_catalogue *catalogue)
{
    struct sp_arena *arena = &c->policy->arena;
    size_t room = 0;
    for (size_t i = 0; i < catalogue->n_actions; i++) {
        room += catalogue->actions[i].escalates;
    }
    set->rules = sp_arena_array(arena, room, sizeof(struct sp_rule *));
    for (size_t i = 0; i < catalogue->n_actions && set->rules; i++) {
        const struct sp_catalogue_action *action = &catalogue->actions[i];
        struct sp_rule *rule = action->escalates ? sp_arena_alloc(arena, sizeof *rule) : NULL;
        struct sp_text path = rule ? sp_arena_copy(arena, action->path) : SP_TEXT("");
        bool seen = false;
        if (!action->escalates) {
            continue;
        }
        if (!rule || !path.ptr ||
            !ast_parse_template(arena, set->host, path, true, &rule->url)) {
            c->out_of_memory = true;
            return;
        }
        rule->denies = rule->labelled = true;
        rule->methods = action->method;
        for (size_t j = 0; j < set->n_rules && !seen; j++) {
            seen = set->rules[j]->methods == rule->methods &&
                   same_url(&set->rules[j]->url, &rule->url);
        }
        if (!seen) {
            rule->label = label_of(c, set->provider, action->name);
            set->rules[set->n_rules++] = rule;
        }
    }
    c->out_of_memory = c->out_of_memory || !set->rules;
}

static struct guard_set *set_of(struct checker *c, const struct sp_catalogue *catalogue,
                                struct sp_text host)
{
    struct sp_policy *policy = c->policy;
    for (struct guard_set *set = policy->guard_sets; set; set = set->next) {
        if (sp_text_eq(set->provider, catalogue->provider) && sp_text_eq(set->host, host)) {
            return set;
        }
    }
    struct guard_set *set = sp_arena_alloc(&policy->arena, sizeof *set);
    if (!set) {
        c->out_of_memory = true;
        return NULL;
    }
    set->provider = sp_arena_copy(&policy->arena, catalogue->provider);
    set->host = sp_arena_copy(&policy->arena, host);
    c->out_of_memory = c->out_of_memory || !set->provider.ptr || !set->host.ptr;
    set->next = policy->guard_sets;
    policy->guard_sets = set;
    set_fill(c, set, catalogue);
    return set;
}

/* Ask the world about a key, once. */
static void learn_key(struct checker *c, struct sp_text key)
{
    const struct sp_catalogue *list = NULL;
    for (const struct guard *guard = c->policy->guards; guard; guard = guard->next) {
        if (sp_text_eq(guard->key, key)) {
            return;
        }
    }
    size_t n = c->world->catalogues(c->world->user, key, &list);
    for (size_t i = 0; i < n && i < CATALOGUES_MAX; i++) {
        for (size_t h = 0; h < list[i].n_hosts; h++) {
            struct guard *guard = sp_arena_alloc(&c->policy->arena, sizeof *guard);
            if (!guard) {
                c->out_of_memory = true;
                return;
            }
            *guard = (struct guard){.key = sp_arena_copy(&c->policy->arena, key),
                                    .set = set_of(c, &list[i], list[i].hosts[h]),
                                    .next = c->policy->guards};
            c->out_of_memory = c->out_of_memory || !guard->key.ptr;
            c->policy->guards = guard;
        }
    }
}

/* ---- one action in one scope ----------------------------------------------------------------
 */

struct guarding {
    struct checker *c;
    struct sp_scope *scope;
    const struct sp_rule **more; /* the denies to add */
    size_t n_more, room;
    const struct sp_rule *named[NAMED_MAX]; /* literal allows of the action at hand */
    size_t n_named;
    size_t *n_cut; /* by rule: escalating actions that its wildcards lose */
    bool *reaches; /* by rule: a literal allow of an escalating action */
};

static void add(struct guarding *g, const struct sp_rule *rule)
{
    if (g->n_more == g->room) {
        size_t room = g->room ? 2 * g->room : 64;
        const struct sp_rule **more = realloc((void *)g->more, room * sizeof *more);
        if (!more) {
            g->c->out_of_memory = true;
            return;
        }
        g->more = more;
        g->room = room;
    }
    g->more[g->n_more++] = rule;
}

static void *alloc(struct guarding *g, size_t count, size_t size)
{
    void *memory = sp_arena_array(&g->c->policy->arena, count, size);
    g->c->out_of_memory = g->c->out_of_memory || !memory;
    return memory;
}

static struct condition *node(struct guarding *g, enum condition_kind kind,
                              struct condition *left, struct condition *right)
{
    if (!left) {
        return right;
    }
    if (!right && kind != CONDITION_NOT) {
        return left;
    }
    struct condition *condition = alloc(g, 1, sizeof *condition);
    if (condition) {
        *condition = (struct condition){
            .kind = kind, .left = left, .right = right, .span = g->scope->span};
    }
    return condition;
}

/* path.sN = "literal", or = parameter. */
static struct condition *segment_is(struct guarding *g, size_t n, const struct segment *literal)
{
    struct condition *condition = alloc(g, 1, sizeof *condition);
    struct sp_text *part = alloc(g, 1, sizeof *part);
    char name[16];
    struct sp_buf buf;
    sp_buf_over(&buf, name, sizeof name);
    sp_buf_addf(&buf, "s%zu", n);
    if (!condition || !part) {
        return NULL;
    }
    *part = sp_arena_copy(&g->c->policy->arena, sp_buf_text(&buf));
    g->c->out_of_memory = g->c->out_of_memory || !part->ptr;
    *condition = (struct condition){
        .kind = CONDITION_EQ,
        .field = {.source = FIELD_PATH, .parts = part, .n_parts = 1, .segment = n},
        .constant = {.kind = literal->kind == SEGMENT_PARAM ? CONSTANT_PARAM : CONSTANT_STRING,
                     .text = literal->text},
        .span = g->scope->span,
    };
    return condition;
}

/* A deny of the action on paths of n segments, but for what the literal allows of that length
 * name; NULL where they name all of it. rest: those of n segments and more, without exception.
 */
static struct sp_rule *deny_but(struct guarding *g, const struct sp_rule *action, size_t n,
                                bool rest)
{
    const struct url_pattern *from = &action->url;
    struct sp_rule *rule = alloc(g, 1, sizeof *rule);
    struct segment *segments = alloc(g, n, sizeof *segments);
    struct condition *any = NULL;
    if (!rule || !segments) {
        return NULL;
    }
    *rule = *action;
    rule->url.segments = segments;
    rule->url.n_segments = n;
    for (size_t i = 0; i < n; i++) {
        const struct segment *s =
            &from->segments[i < from->n_segments ? i : from->n_segments - 1];
        segments[i] = *s;
        if (s->kind == SEGMENT_STAR || s->kind == SEGMENT_REST) {
            struct condition *named = rest ? NULL : segment_is(g, i, s);
            segments[i].kind = rest ? SEGMENT_STAR : SEGMENT_ANY;
            segments[i].text = named ? named->field.parts[0] : SP_TEXT("");
        }
    }
    if (rest) {
        segments[n - 1].kind = SEGMENT_REST;
        return rule;
    }
    for (size_t k = 0; k < g->n_named; k++) {
        const struct url_pattern *url = &g->named[k]->url;
        struct condition *all = NULL;
        for (size_t i = 0; i < n && url->n_segments == n; i++) {
            if (segments[i].kind == SEGMENT_ANY) {
                all = node(g, CONDITION_AND, all, segment_is(g, i, &url->segments[i]));
            }
        }
        if (url->n_segments == n && !all) {
            return NULL; /* the action has no placeholder, and is named */
        }
        any = node(g, CONDITION_OR, any, all);
    }
    rule->where = any ? node(g, CONDITION_NOT, any, NULL) : NULL;
    return rule;
}

/* Whether a literal allow of the action's method names it: the action's placeholders stand for
 * any segments. A scope's parameter where the action has a literal names nothing: it may become
 * anything at issue. */
static bool names(const struct sp_rule *literal, const struct sp_rule *action)
{
    const struct url_pattern *l = &literal->url, *a = &action->url;
    bool rest = a->n_segments > 0 && a->segments[a->n_segments - 1].kind == SEGMENT_REST;
    bool fits = sp_text_eq(l->host, a->host) && l->https && l->port == 443 &&
                (rest ? l->n_segments >= a->n_segments : l->n_segments == a->n_segments);
    for (size_t i = 0; i < a->n_segments && fits; i++) {
        fits = a->segments[i].kind != SEGMENT_LITERAL ||
               (l->segments[i].kind == SEGMENT_LITERAL &&
                sp_text_eq(l->segments[i].text, a->segments[i].text));
    }
    return fits;
}

/* Beside a conditional literal allow a wildcard must not let through what it does not. */
static void keep_conditions(struct guarding *g, const struct sp_rule *action, size_t k)
{
    struct condition *any = NULL;
    for (size_t j = 0; j < g->n_named; j++) {
        const struct sp_rule *other = g->named[j];
        if (!same_url(&other->url, &g->named[k]->url)) {
            continue;
        }
        if (!other->where || j < k) {
            return; /* unconditional, or done with the first of them */
        }
        any = node(g, CONDITION_OR, any, other->where);
    }
    bool wild = false;
    for (size_t i = 0; i < g->scope->n_rules && !wild; i++) {
        const struct sp_rule *rule = g->scope->rules[i];
        wild = !rule->denies && (rule->methods & action->methods) &&
               !(rule_is_literal(rule) && names(rule, action)) &&
               pattern_overlaps(rule, g->named[k]);
    }
    struct sp_rule *deny = wild ? alloc(g, 1, sizeof *deny) : NULL;
    if (deny) {
        *deny = *action;
        deny->url = g->named[k]->url;
        deny->where = node(g, CONDITION_NOT, any, NULL);
        add(g, deny);
    }
}

/* Segments of the literal path that stand for something of the action's. */
static size_t placeholders(const struct sp_rule *action, const struct sp_rule *literal)
{
    size_t n = literal->url.n_segments;
    for (size_t i = 0; i < action->url.n_segments; i++) {
        n -= action->url.segments[i].kind == SEGMENT_LITERAL;
    }
    return n;
}

static void guard_action(struct guarding *g, const struct sp_rule *action)
{
    bool wild = false;
    size_t longest = 0;
    g->n_named = 0;
    for (size_t i = 0; i < g->scope->n_rules; i++) {
        const struct sp_rule *rule = g->scope->rules[i];
        if (rule->denies || !(rule->methods & action->methods)) {
            continue;
        }
        if (!rule_is_literal(rule) || !names(rule, action)) {
            bool overlaps = pattern_overlaps(rule, action);
            g->n_cut[i] += overlaps;
            wild = wild || overlaps;
        } else {
            /* Two nodes of the condition for each placeholder: it has to be parsed back. */
            if (g->n_named == NAMED_MAX ||
                2 * (g->n_named + 1) * placeholders(action, rule) > AST_NODES_MAX - 2) {
                check_error(g->c, "E192", rule->span, "spread them over several scopes",
                            "too many literal allows of what the catalogue calls",
                            action->label);
                return;
            }
            g->reaches[i] = true;
            g->named[g->n_named++] = rule;
            longest = rule->url.n_segments > longest ? rule->url.n_segments : longest;
        }
    }
    size_t n = action->url.n_segments;
    bool rest = n > 0 && action->url.segments[n - 1].kind == SEGMENT_REST;
    if (!wild || g->n_named == 0) {
        if (wild) {
            add(g, action);
        }
        return;
    }
    for (size_t depth = n; depth <= (rest ? longest : n); depth++) {
        struct sp_rule *deny = deny_but(g, action, depth, false);
        if (deny) {
            add(g, deny);
        }
    }
    if (rest) {
        add(g, deny_but(g, action, longest + 1, true));
    }
    for (size_t k = 0; k < g->n_named; k++) {
        keep_conditions(g, action, k);
    }
}

/* ---- the whole ------------------------------------------------------------------------------
 */

static void warn(struct guarding *g, bool knows)
{
    for (size_t i = 0; i < g->scope->n_rules; i++) {
        const struct sp_rule *rule = g->scope->rules[i];
        if (g->n_cut[i] > 0) {
            sp_diags_add(g->c->diags, SP_SEVERITY_WARNING, "W192", rule->span,
                         "write a literal allow for each that is meant",
                         "this allow does not reach what the catalogue marks as escalating "
                         "(%zu denies)",
                         g->n_cut[i]);
        } else if (g->reaches[i] && !rule->escalates) {
            check_warning(g->c, "W190", rule->span,
                          "write `escalates` behind it, if it is meant",
                          "the catalogue marks what this allows as escalating");
        } else if (knows && rule->escalates && !g->reaches[i]) {
            check_warning(g->c, "W191", rule->span, "remove `escalates`, or mend the path",
                          "no action that the catalogue marks as escalating is reached");
        }
    }
}

static void append(struct guarding *g)
{
    struct sp_scope *scope = g->scope;
    size_t n = scope->n_rules + g->n_more;
    const struct sp_rule **rules = alloc(g, n, sizeof *rules);
    if (!rules || g->n_more == 0 || g->c->out_of_memory) {
        return;
    }
    memcpy((void *)rules, (const void *)scope->rules, scope->n_rules * sizeof *rules);
    memcpy((void *)(rules + scope->n_rules), (const void *)g->more, g->n_more * sizeof *rules);
    for (size_t i = scope->n_rules; i < n; i++) {
        if (rules[i]->where) { /* ours alone; those without a condition are shared, and ready */
            check_finish_rule(g->c, scope, (struct sp_rule *)(uintptr_t)rules[i], i + 1);
        }
    }
    scope->rules = rules;
    scope->n_rules = n;
}

static void guard_scope(struct checker *c, struct sp_scope *scope)
{
    struct guarding *g = calloc(1, sizeof *g);
    size_t *cut = calloc(scope->n_rules + 1, sizeof *cut);
    bool *reaches = calloc(scope->n_rules + 1, sizeof *reaches);
    bool knows = false;
    if (!g || !cut || !reaches) {
        c->out_of_memory = true;
    } else {
        *g = (struct guarding){.c = c, .scope = scope, .n_cut = cut, .reaches = reaches};
        for (size_t i = 0; i < scope->n_keys; i++) {
            learn_key(c, scope->key_list[i]);
        }
        for (struct guard_set *set = c->policy->guard_sets; set; set = set->next) {
            bool ours = false;
            for (const struct guard *at = c->policy->guards; at && !ours; at = at->next) {
                for (size_t i = 0; i < scope->n_keys && !ours; i++) {
                    ours = at->set == set && sp_text_eq(at->key, scope->key_list[i]);
                }
            }
            for (size_t i = 0; ours && i < set->n_rules; i++) {
                guard_action(g, set->rules[i]);
            }
            knows = knows || ours;
        }
        warn(g, knows);
        append(g);
        free((void *)g->more);
    }
    free(g);
    free(cut);
    free(reaches);
}

void check_escalates(struct checker *c)
{
    if (!c->world || !c->world->catalogues) {
        return;
    }
    for (struct sp_scope *scope = c->policy->first_scope; scope; scope = scope->next) {
        /* before the scope has denies that its author did not write */
        check_aliases(c, scope);
        check_catalogue(c, scope);
        guard_scope(c, scope);
    }
}
