/* What a scope can reach of a catalogue: each allow is cut down to each action, and what is
 * left is asked for one request that is allowed (prove/). */
#include "match.h"

#include <stdlib.h>

enum { BLAST_MAX_BYTES = 512 << 20, EXAMPLE_MAX_BYTES = 1 << 16 };

struct blasting {
    const struct sp_scope *scope;
    struct sp_blast *blast;
    const struct sp_rule **rules; /* of the scope at hand: one allow, and what may cut it */
    size_t items_room;
    bool out_of_memory;
};

static void *alloc(struct blasting *b, size_t count, size_t size)
{
    void *memory = sp_arena_array(&b->blast->arena, count, size);
    b->out_of_memory = b->out_of_memory || !memory;
    return memory;
}

static struct sp_text keep(struct blasting *b, struct sp_buf *buf)
{
    struct sp_text text = sp_arena_copy(&b->blast->arena, sp_buf_text(buf));
    b->out_of_memory = b->out_of_memory || !text.ptr || buf->failed;
    sp_buf_done(buf);
    return text;
}

/* ---- an allow cut down to an action ---------------------------------------------------------
 */

static const struct segment *at(const struct url_pattern *p, size_t i)
{
    return &p->segments[i < p->n_segments ? i : p->n_segments - 1];
}

static bool is_capture(const struct segment *s)
{
    return s->kind == SEGMENT_INT || s->kind == SEGMENT_ANY || s->kind == SEGMENT_SLASH;
}

/* How many segments both have; false where there is no such number. */
static bool common_length(const struct url_pattern *rule, const struct url_pattern *action,
                          size_t *ret_n)
{
    size_t r = rule->n_segments, a = action->n_segments;
    *ret_n = r > a ? r : a;
    return (r >= a || pattern_has_rest(rule)) && (a >= r || pattern_has_rest(action)) &&
           (pattern_has_rest(rule) || rule->trailing_slash == action->trailing_slash);
}

/* The paths of both. A capture stays one, since a condition may read it: where the action has a
 * literal there, literals[i] says which, and it is demanded by a deny (demand). False where
 * there is no such path. */
static bool cut(struct blasting *b, const struct url_pattern *rule,
                const struct url_pattern *action, struct url_pattern *ret_url,
                const struct segment **literals)
{
    size_t n;
    if (rule->https != action->https || rule->port != action->port ||
        !sp_text_eq(rule->host, action->host) || !common_length(rule, action, &n)) {
        return false;
    }
    struct segment *segments = alloc(b, n, sizeof *segments);
    bool rest = pattern_has_rest(rule) && pattern_has_rest(action);
    for (size_t i = 0; i < n && segments; i++) {
        const struct segment *r = at(rule, i), *a = at(action, i);
        struct sp_segment literal = {a->text, false};
        segments[i] = *r;
        literals[i] = NULL;
        if (r->kind == SEGMENT_REST) {
            segments[i].kind = rest && i + 1 == n ? SEGMENT_REST : SEGMENT_STAR;
        }
        if (a->kind == SEGMENT_LITERAL) {
            if (!match_segment(r, &literal, false)) {
                return false;
            }
            if (is_capture(r)) {
                literals[i] = a;
            } else {
                segments[i] = *a;
            }
        }
    }
    *ret_url = *rule;
    ret_url->segments = segments;
    ret_url->n_segments = n;
    return segments != NULL;
}

/* deny METHODS the path where not path.tI = LITERAL. NULL where memory ran out. */
static const struct sp_rule *demand(struct blasting *b, const struct sp_rule *allow, size_t i,
                                    const struct segment *literal)
{
    struct sp_rule *deny = alloc(b, 1, sizeof *deny);
    struct segment *segments = alloc(b, allow->url.n_segments, sizeof *segments);
    struct condition *otherwise = alloc(b, 1, sizeof *otherwise), *is = alloc(b, 1, sizeof *is);
    struct sp_text *part = alloc(b, 1, sizeof *part);
    const struct field **reads = alloc(b, 1, sizeof *reads);
    if (!deny || !segments || !otherwise || !is || !part || !reads) {
        return NULL;
    }
    *deny = *allow;
    deny->denies = true;
    deny->rate = (struct sp_rate){0};
    deny->where = otherwise;
    deny->url.segments = segments;
    for (size_t s = 0; s < allow->url.n_segments; s++) {
        segments[s].kind =
            allow->url.segments[s].kind == SEGMENT_REST ? SEGMENT_REST : SEGMENT_STAR;
    }
    *part = SP_TEXT("t");
    segments[i] = (struct segment){.kind = SEGMENT_ANY, .text = *part};
    *otherwise = (struct condition){.kind = CONDITION_NOT, .left = is};
    *is = (struct condition){
        .kind = CONDITION_EQ,
        .field = {.source = FIELD_PATH, .parts = part, .n_parts = 1, .segment = i},
        .constant = {.kind = CONSTANT_STRING, .text = literal->text}};
    reads[0] = &is->field;
    deny->reads = reads;
    deny->n_reads = 1;
    deny->reads_body = false;
    return deny;
}

/* ---- one action through one allow -----------------------------------------------------------
 */

static bool add_item(struct blasting *b, const struct sp_blast_item *item)
{
    struct sp_blast *blast = b->blast;
    if (blast->n_items == b->items_room) {
        size_t room = b->items_room ? 2 * b->items_room : 64;
        struct sp_blast_item *more = alloc(b, room, sizeof *more);
        if (!more) {
            return false;
        }
        if (blast->n_items) {
            memcpy(more, blast->items, blast->n_items * sizeof *more);
        }
        blast->items = more;
        b->items_room = room;
    }
    blast->items[blast->n_items++] = *item;
    return true;
}

static enum sp_blast_class class_of(const struct sp_catalogue_action *action)
{
    if (action->escalates) {
        return SP_BLAST_ESCALATES;
    }
    if (action->method == SP_METHOD_DELETE) {
        return SP_BLAST_DELETES;
    }
    bool reads = action->method == SP_METHOD_GET || action->method == SP_METHOD_HEAD ||
                 action->method == SP_METHOD_OPTIONS;
    return reads ? SP_BLAST_READS : SP_BLAST_WRITES;
}

/* Whether the rules allow any request; what it is goes to ret_example. */
static enum sp_inclusion ask(struct blasting *b, size_t n_rules, struct sp_text *ret_example)
{
    const struct sp_scope nothing = {.name = SP_TEXT("nothing")};
    const struct sp_scope some = {
        .name = SP_TEXT("rules"), .rules = b->rules, .n_rules = n_rules, .has_allow = true};
    struct sp_witness witness;
    struct sp_error why = {""};
    enum sp_inclusion within = sp_scope_compare(&nothing, &some, true, &witness, &why);
    if (witness.found) {
        struct sp_buf text;
        sp_buf_init(&text, EXAMPLE_MAX_BYTES);
        sp_witness_print(&witness.request, &text);
        *ret_example = keep(b, &text);
        sp_witness_done(&witness);
    }
    return within;
}

/* What a literal allow names is the literal allow's, and not a wildcard's: a deny of each. */
static size_t except_literals(struct blasting *b, const struct sp_rule *part, size_t n)
{
    for (size_t i = 0; i < b->scope->n_rules; i++) {
        const struct sp_rule *rule = b->scope->rules[i];
        struct sp_rule *deny;
        if (!rule_is_literal(rule) || !(rule->methods & part->methods) ||
            !pattern_overlaps(rule, part)) {
            continue;
        }
        deny = alloc(b, 1, sizeof *deny);
        if (deny) {
            *deny = *rule;
            deny->denies = true;
            deny->where = NULL;
            deny->n_reads = 0;
            deny->reads_body = false;
            deny->methods = part->methods;
            b->rules[n++] = deny;
        }
    }
    return n;
}

/* False where no request of the action gets through this allow. */
static bool reach(struct blasting *b, const struct sp_rule *allow, const struct sp_rule *action,
                  struct sp_blast_item *item)
{
    if (allow->denies || !(allow->methods & action->methods) ||
        !pattern_overlaps(allow, action)) {
        return false; /* most pairs: before anything is allocated */
    }
    size_t room = allow->url.n_segments + action->url.n_segments + 1, n = 0;
    const struct segment **literals = alloc(b, room, sizeof *literals);
    struct sp_rule *part = alloc(b, 1, sizeof *part);
    if (!literals || !part || !cut(b, &allow->url, &action->url, &part->url, literals)) {
        return false;
    }
    struct url_pattern url = part->url;
    *part = *allow;
    part->url = url;
    part->methods = action->methods;
    b->rules[n++] = part;
    for (size_t i = 0; i < url.n_segments; i++) {
        if (literals[i]) {
            b->rules[n++] = demand(b, part, i, literals[i]);
        }
    }
    if (item->action->escalates && !rule_is_literal(allow)) {
        n = except_literals(b, part, n);
    }
    size_t n_own = n;
    for (size_t i = 0; i < b->scope->n_rules; i++) {
        const struct sp_rule *rule = b->scope->rules[i];
        if (rule->denies && (rule->methods & part->methods) && pattern_overlaps(rule, part)) {
            b->rules[n++] = rule;
        }
    }
    if (b->out_of_memory) {
        return false;
    }
    item->rule = allow;
    item->n_denies = n - n_own;
    item->proved = true;
    if (n > 1 || part->where) {
        enum sp_inclusion within = ask(b, n, &item->example);
        if (within == SP_INCLUDED) {
            return false;
        }
        item->proved = within == SP_NOT_INCLUDED;
    }
    struct sp_buf text;
    sp_buf_init(&text, EXAMPLE_MAX_BYTES);
    for (size_t i = 0; i < url.n_segments; i++) {
        if (literals[i]) {
            url.segments[i] = *literals[i]; /* as people read it */
        }
    }
    ast_print_url(&url, &text);
    item->url = keep(b, &text);
    if (allow->where) {
        sp_buf_init(&text, EXAMPLE_MAX_BYTES);
        ast_print_condition(allow->where, &text);
        item->where = keep(b, &text);
    }
    return true;
}

static void reach_action(struct blasting *b, const struct sp_catalogue *catalogue,
                         const struct sp_catalogue_action *action, const struct sp_rule *rule,
                         bool *in_out_reached)
{
    for (size_t i = 0; i < b->scope->n_rules && !b->out_of_memory; i++) {
        struct sp_blast_item item = {
            .catalogue = catalogue, .action = action, .class = class_of(action)};
        if (reach(b, b->scope->rules[i], rule, &item)) {
            *in_out_reached = add_item(b, &item) || *in_out_reached;
        }
    }
}

/* ---- what no action names -------------------------------------------------------------------
 */

static bool allows_host(const struct sp_scope *scope, struct sp_text host)
{
    bool found = false;
    for (size_t i = 0; i < scope->n_rules && !found; i++) {
        found = !scope->rules[i]->denies && sp_text_eq(scope->rules[i]->url.host, host);
    }
    return found;
}

static bool is_known(const struct sp_catalogue *catalogues, size_t n, struct sp_text host)
{
    bool found = false;
    for (size_t i = 0; i < n; i++) {
        for (size_t h = 0; h < catalogues[i].n_hosts && !found; h++) {
            found = sp_text_eq(catalogues[i].hosts[h], host);
        }
    }
    return found;
}

/* The scope's rules on known hosts, against all actions as allows. */
static void look_outside(struct blasting *b, const struct sp_catalogue *catalogues, size_t n,
                         const struct sp_rule **actions, size_t n_actions)
{
    const struct sp_scope *scope = b->scope;
    struct sp_blast *blast = b->blast;
    struct sp_text *unknown = alloc(b, scope->n_rules + 1, sizeof *unknown);
    size_t n_rules = 0;
    if (!unknown) {
        return;
    }
    for (size_t i = 0; i < scope->n_rules; i++) {
        struct sp_text host = scope->rules[i]->url.host;
        bool seen = scope->rules[i]->denies;
        if (is_known(catalogues, n, host)) {
            b->rules[n_rules++] = scope->rules[i];
            continue;
        }
        for (size_t u = 0; u < blast->n_unknown_hosts && !seen; u++) {
            seen = sp_text_eq(unknown[u], host);
        }
        if (!seen) {
            unknown[blast->n_unknown_hosts++] = host;
        }
    }
    blast->unknown_hosts = unknown;
    const struct sp_scope named = {.name = SP_TEXT("catalogue"),
                                   .rules = actions,
                                   .n_rules = n_actions,
                                   .has_allow = true};
    const struct sp_scope rules = {
        .name = scope->name, .rules = b->rules, .n_rules = n_rules, .has_allow = true};
    struct sp_witness witness;
    struct sp_error why = {""};
    blast->within = sp_scope_compare(&named, &rules, true, &witness, &why);
    if (witness.found) {
        struct sp_buf text;
        sp_buf_init(&text, EXAMPLE_MAX_BYTES);
        sp_witness_print(&witness.request, &text);
        blast->outside = keep(b, &text);
        sp_witness_done(&witness);
    }
}

/* ---- the whole ------------------------------------------------------------------------------
 */

static int worst_first(const void *a, const void *b)
{
    const struct sp_blast_item *x = a, *y = b;
    if (x->class != y->class) {
        return x->class < y->class ? -1 : 1;
    }
    int order = sp_text_cmp(x->catalogue->provider, y->catalogue->provider);
    order = order ? order : sp_text_cmp(x->action->name, y->action->name);
    return order ? order : sp_text_cmp(x->url, y->url);
}

/* Each action once, wherever it was reached. */
static void count_actions(struct sp_blast *blast, const struct sp_catalogue *catalogue,
                          const bool *reached)
{
    for (size_t i = 0; i < catalogue->n_actions; i++) {
        const struct sp_catalogue_action *action = &catalogue->actions[i];
        blast->n_actions += !action->same_as && !action->is_graphql;
        blast->n_reached += !action->is_graphql && reached[i];
        blast->reaches_graphql = blast->reaches_graphql || (action->is_graphql && reached[i]);
    }
}

/* All actions of a catalogue on the hosts that the scope allows; each becomes an allow of its
 * own in actions, for look_outside. */
static void reach_catalogue(struct blasting *b, const struct sp_catalogue *catalogue,
                            const struct sp_rule **actions, size_t *in_out_n)
{
    bool named = false, *reached = alloc(b, catalogue->n_actions, sizeof *reached);
    for (size_t i = 0; i < catalogue->n_actions && !b->out_of_memory; i++) {
        const struct sp_catalogue_action *action = &catalogue->actions[i];
        const struct sp_catalogue_action *first = action;
        while (first->same_as) {
            first = first->same_as;
        }
        for (size_t h = 0; h < catalogue->n_hosts && !b->out_of_memory; h++) {
            if (!allows_host(b->scope, catalogue->hosts[h])) {
                continue;
            }
            struct sp_rule *rule = alloc(b, 1, sizeof *rule);
            named = true;
            if (!rule || !ast_parse_template(&b->blast->arena, catalogue->hosts[h],
                                             action->path, false, &rule->url)) {
                b->out_of_memory = true;
                return;
            }
            rule->methods = action->method;
            actions[(*in_out_n)++] = rule;
            reach_action(b, catalogue, action, rule, &reached[first - catalogue->actions]);
        }
    }
    if (named && !b->out_of_memory) {
        count_actions(b->blast, catalogue, reached);
    }
}

sp_status sp_scope_blast(const struct sp_scope *scope, const struct sp_catalogue *catalogues,
                         size_t n_catalogues, struct sp_blast *ret_blast)
{
    size_t room = 1, n = 0;
    for (size_t i = 0; i < n_catalogues; i++) {
        room += catalogues[i].n_actions * catalogues[i].n_hosts;
    }
    *ret_blast = (struct sp_blast){.n_items = 0};
    sp_arena_init(&ret_blast->arena, BLAST_MAX_BYTES);
    struct blasting b = {.scope = scope, .blast = ret_blast};
    /* One allow, a deny for each of its segments, and all the scope's rules. */
    b.rules = calloc(scope->n_rules + SP_URL_MAX_BYTES, sizeof *b.rules);
    const struct sp_rule **actions = calloc(room, sizeof *actions);
    b.out_of_memory = !b.rules || !actions;
    for (size_t i = 0; i < n_catalogues && !b.out_of_memory; i++) {
        reach_catalogue(&b, &catalogues[i], actions, &n);
    }
    if (!b.out_of_memory) {
        look_outside(&b, catalogues, n_catalogues, actions, n);
    }
    free((void *)actions);
    free((void *)b.rules);
    if (b.out_of_memory) {
        sp_blast_done(ret_blast);
        return SP_ENOMEM;
    }
    if (ret_blast->n_items > 1) {
        qsort(ret_blast->items, ret_blast->n_items, sizeof *ret_blast->items, worst_first);
    }
    return SP_OK;
}

void sp_blast_done(struct sp_blast *blast)
{
    sp_arena_done(&blast->arena);
    *blast = (struct sp_blast){.n_items = 0};
}
