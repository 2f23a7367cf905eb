/* The fewest changes that make a scope allow a request: climb to some that do, then see whether
 * fewer do, too. Whatever is found was asked of the scope. */
#include "nearest.h"

enum { NEAREST_MAX_BYTES = 256 << 20, WHOLE = 1024, HOPELESS = 100000, TRIPLES_MAX = 64 };

struct choice {
    size_t items[CHOSEN_MAX]; /* of the wishes */
    size_t n;
    uint64_t distance;
};

struct search {
    const struct sp_scope *scope;
    const struct sp_request *asked;
    struct sp_arena *arena;
    struct sp_arena work; /* of one trial */
    size_t steps;
    /* for the rule at hand */
    const struct sp_rule *allow;
    struct sp_request base; /* what was asked, in the rule's shape */
    struct sp_scope close;  /* only the rules for base's host, path and method */
    struct wishes wishes;
    /* so far */
    struct sp_nearest *best;
    uint64_t best_cost;
};

/* ---- how much is missing --------------------------------------------------------------------
 */

/* Elements that are not as they would have to be. */
static size_t missing_items(const struct condition *atom, bool want,
                            const struct sp_request *request)
{
    struct sp_value scratch;
    const struct sp_value *array = match_field(&atom->field, request, &scratch);
    bool each = (atom->field.quantifier == QUANTIFIER_ALL) == want;
    struct condition one = *atom;
    size_t n = 0;
    if (!each || !array || array->kind != SP_VALUE_ARRAY) {
        return 1;
    }
    one.field.quantifier = QUANTIFIER_NONE;
    for (size_t i = 0; i < array->as.array.n; i++) {
        const struct sp_value *item = match_walk(
            &array->as.array.items[i], atom->field.item_parts, atom->field.n_item_parts);
        enum truth truth = item ? match_value(&one, item) : TRUTH_UNKNOWN;
        n += truth != (want ? TRUTH_TRUE : TRUTH_FALSE);
    }
    return n > 0 ? n : 1;
}

/* How many atoms are not as they would have to be for the condition to be true, or false.
 * Recursion is bounded by AST_NODES_MAX. */
static size_t missing(const struct condition *c, bool want, const struct sp_request *request)
{
    if (c->kind == CONDITION_NOT) {
        return missing(c->left, !want, request);
    }
    if (c->kind == CONDITION_AND || c->kind == CONDITION_OR) {
        size_t left = missing(c->left, want, request);
        size_t right = missing(c->right, want, request);
        bool both = (c->kind == CONDITION_AND) == want;
        return both ? left + right : left < right ? left : right;
    }
    if (match_condition(c, request) == (want ? TRUTH_TRUE : TRUTH_FALSE)) {
        return 0;
    }
    return c->field.quantifier == QUANTIFIER_NONE ? 1 : missing_items(c, want, request);
}

static bool meets_shape(const struct sp_rule *rule, const struct sp_request *request)
{
    return (rule->methods & request->method) && match_host(rule, &request->url) &&
           match_path(rule, &request->url) != PATH_NO;
}

/* The same over the allow at hand and all denies. */
static size_t lacking(const struct search *s, const struct sp_scope *scope,
                      const struct sp_request *request)
{
    size_t n = meets_shape(s->allow, request) ? 0 : HOPELESS;
    for (size_t i = 0; i <= scope->n_rules; i++) {
        const struct sp_rule *rule = i < scope->n_rules ? scope->rules[i] : s->allow;
        bool counts = rule == s->allow ? i == scope->n_rules : rule->denies;
        if (!counts || !meets_shape(rule, request)) {
            continue;
        }
        if (!rule->where) {
            n += rule->denies ? HOPELESS : 0;
            continue;
        }
        n += match_unreadable(rule, request) != NULL;
        n += missing(rule->where, !rule->denies, request);
    }
    return n;
}

/* ---- trials ---------------------------------------------------------------------------------
 */

static bool has_steps(const struct search *s)
{
    return s->steps < STEPS_MAX;
}

/* The base with the choice carried out, in the work arena until the next trial; *ret_scope is
 * what is to be asked about it. */
static bool carry_out(struct search *s, const struct choice *choice,
                      struct sp_request *ret_request, const struct sp_scope **ret_scope)
{
    bool moved = false, good = true;
    sp_arena_reset(&s->work);
    *ret_request = s->base;
    for (size_t i = 0; i < choice->n && good; i++) {
        const struct edit *edit = &s->wishes.items[choice->items[i]];
        moved = moved || edit->kind == EDIT_PATH || edit->kind == EDIT_METHOD;
        good = edit_apply(&s->work, edit, ret_request);
    }
    *ret_scope = moved ? s->scope : &s->close;
    s->steps += (*ret_scope)->n_rules + 1 + s->work.used_bytes / 256;
    return good;
}

static bool is_allowed(struct search *s, const struct choice *choice)
{
    struct sp_request request;
    struct sp_verdict verdict;
    const struct sp_scope *scope;
    if (!carry_out(s, choice, &request, &scope)) {
        return false;
    }
    sp_scope_match(scope, &request, &verdict);
    return verdict.allowed;
}

/* The choice with one more wish, which takes the place of one for the same field. */
static bool with_wish(const struct search *s, const struct choice *choice, size_t wish,
                      struct choice *ret_choice)
{
    size_t at = 0;
    *ret_choice = *choice;
    while (at < choice->n &&
           !edit_same_place(&s->wishes.items[choice->items[at]], &s->wishes.items[wish])) {
        at++;
    }
    if (at == CHOSEN_MAX) {
        return false;
    }
    ret_choice->items[at] = wish;
    ret_choice->n = at == choice->n ? at + 1 : choice->n;
    return true;
}

static uint64_t distance_of(const struct search *s, const struct choice *choice)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < choice->n; i++) {
        sum += edit_distance(&s->wishes.items[choice->items[i]], &s->base);
    }
    return sum;
}

/* One wish after the other, each time the one after which the least is missing. */
static bool climb(struct search *s, struct choice *ret_choice)
{
    struct choice choice = {.n = 0};
    size_t now = lacking(s, &s->close, &s->base);
    while (now > 0 && has_steps(s)) {
        struct choice best = choice, next;
        size_t best_lacking = now;
        for (size_t w = 0; w < s->wishes.n && has_steps(s); w++) {
            struct sp_request request;
            const struct sp_scope *scope;
            if (!with_wish(s, &choice, w, &next) || !carry_out(s, &next, &request, &scope)) {
                continue;
            }
            size_t then = lacking(s, scope, &request);
            next.distance = distance_of(s, &next);
            if (then < best_lacking ||
                (then == best_lacking && then < now && next.distance < best.distance)) {
                best = next;
                best_lacking = then;
            }
        }
        if (best_lacking == now) {
            return false;
        }
        choice = best;
        now = best_lacking;
    }
    *ret_choice = choice;
    return is_allowed(s, &choice);
}

/* Leave out what was not needed after all. */
static void prune(struct search *s, struct choice *choice)
{
    for (size_t i = choice->n; i-- > 0;) {
        struct choice less = *choice;
        memmove(&less.items[i], &less.items[i + 1], (less.n - i - 1) * sizeof *less.items);
        less.n--;
        if (is_allowed(s, &less)) {
            *choice = less;
        }
    }
}

/* Every choice of n more wishes from `from` on: the nearest that is allowed. */
static void exhaust(struct search *s, const struct choice *choice, size_t n, size_t from,
                    struct choice *best)
{
    for (size_t w = from; w < s->wishes.n && has_steps(s); w++) {
        struct choice next;
        if (!with_wish(s, choice, w, &next) || next.n == choice->n) {
            continue;
        }
        if (n > 1) {
            exhaust(s, &next, n - 1, w + 1, best);
            continue;
        }
        next.distance = distance_of(s, &next);
        if ((best->n > next.n || next.distance < best->distance) && is_allowed(s, &next)) {
            *best = next;
        }
    }
}

static bool choose_fields(struct search *s, struct choice *ret_choice)
{
    struct choice none = {.n = 0}, best = {.n = CHOSEN_MAX + 1, .distance = UINT64_MAX};
    bool found = climb(s, &best);
    if (found) {
        prune(s, &best);
        best.distance = distance_of(s, &best);
    } else {
        best.n = CHOSEN_MAX + 1;
    }
    size_t most = s->wishes.n <= TRIPLES_MAX ? 3 : 2;
    for (size_t n = 1; n <= most && n < best.n; n++) {
        exhaust(s, &none, n, 0, &best);
    }
    *ret_choice = best;
    return best.n <= CHOSEN_MAX;
}

/* Fields first: another method or path is another call, and the last resort. */
static bool choose(struct search *s, struct choice *ret_choice)
{
    if (choose_fields(s, ret_choice)) {
        return true;
    }
    wishes_of_shape(&s->wishes, s->allow);
    return choose_fields(s, ret_choice);
}

/* ---- one rule -------------------------------------------------------------------------------
 */

/* The rules that can decide while host, path and method stay. */
static bool take_close_rules(struct search *s)
{
    const struct sp_rule **rules =
        sp_arena_array(s->arena, s->scope->n_rules + 1, sizeof(struct sp_rule *));
    size_t n = 0;
    for (size_t i = 0; rules && i < s->scope->n_rules; i++) {
        if (meets_shape(s->scope->rules[i], &s->base)) {
            rules[n++] = s->scope->rules[i];
        }
    }
    s->close = *s->scope;
    s->close.rules = rules;
    s->close.n_rules = n;
    return rules != NULL;
}

/* Keep it: the changed request, and the edits that made it. */
static bool keep(struct search *s, const struct choice *choice, uint64_t cost,
                 struct edit **ret_edits, size_t *ret_n)
{
    struct sp_request request = s->base;
    struct sp_verdict verdict;
    struct edit *edits = sp_arena_array(s->arena, choice->n, sizeof *edits);
    bool good = edits != NULL;
    for (size_t i = 0; i < choice->n && good; i++) {
        edits[i] = s->wishes.items[choice->items[i]];
        good = edit_apply(s->arena, &edits[i], &request);
    }
    sp_scope_match(s->scope, &request, &verdict); /* the whole scope has the last word */
    if (!good || !verdict.allowed) {
        return false;
    }
    s->best->found = true;
    s->best->request = request;
    s->best->rule = verdict.rule;
    s->best_cost = cost;
    *ret_edits = edits;
    *ret_n = choice->n;
    return true;
}

/* Try the request in the shape of one allow. False where memory ran out. */
static bool try_rule(struct search *s, const struct sp_rule *allow, struct edit **ret_edits,
                     size_t *ret_n)
{
    struct choice choice;
    s->allow = allow;
    s->base = *s->asked;
    if (!shape_apply(s->arena, allow, &s->base) || !take_close_rules(s)) {
        return false;
    }
    s->wishes = (struct wishes){.arena = s->arena, .request = &s->base};
    s->wishes.form = s->base.body_kind == SP_BODY_FORM;
    s->wishes.items = sp_arena_array(s->arena, EDITS_MAX, sizeof *s->wishes.items);
    if (!s->wishes.items) {
        return false;
    }
    wishes_of_rule(&s->wishes, allow);
    for (size_t i = 0; i < s->close.n_rules; i++) {
        if (s->close.rules[i]->denies) {
            wishes_of_rule(&s->wishes, s->close.rules[i]);
        }
    }
    if (choose(s, &choice)) {
        uint64_t cost = shape_cost(allow, s->asked) + choice.n * WHOLE;
        if (cost < s->best_cost) {
            (void)keep(s, &choice, cost, ret_edits, ret_n);
        }
    }
    return true;
}

/* ---- the whole ------------------------------------------------------------------------------
 */

struct candidate {
    const struct sp_rule *rule;
    uint64_t cost;
};

/* The allows that are nearest by shape, nearest first. */
static size_t pick_rules(const struct search *s, struct candidate list[RULES_TRIED])
{
    size_t n = 0;
    for (size_t i = 0; i < s->scope->n_rules; i++) {
        struct candidate one = {s->scope->rules[i], 0};
        if (one.rule->denies) {
            continue;
        }
        one.cost = shape_cost(one.rule, s->asked);
        size_t at = n < RULES_TRIED ? n++ : RULES_TRIED;
        while (at > 0 && list[at - 1].cost > one.cost) {
            if (at < RULES_TRIED) {
                list[at] = list[at - 1];
            }
            at--;
        }
        if (at < RULES_TRIED) {
            list[at] = one;
        }
    }
    return n;
}

sp_status sp_scope_nearest(const struct sp_scope *scope, const struct sp_request *request,
                           struct sp_nearest *ret_nearest)
{
    struct candidate list[RULES_TRIED];
    struct edit *edits = NULL;
    size_t n_edits = 0;
    *ret_nearest = (struct sp_nearest){.found = false};
    sp_arena_init(&ret_nearest->arena, NEAREST_MAX_BYTES);
    struct search s = {.scope = scope,
                       .asked = request,
                       .arena = &ret_nearest->arena,
                       .best = ret_nearest,
                       .best_cost = UINT64_MAX};
    sp_arena_init(&s.work, NEAREST_MAX_BYTES);
    size_t n = pick_rules(&s, list);
    bool good = true;
    for (size_t i = 0; i < n && good && has_steps(&s) && list[i].cost < s.best_cost; i++) {
        good = try_rule(&s, list[i].rule, &edits, &n_edits);
    }
    sp_arena_done(&s.work);
    good = good &&
           (!ret_nearest->found || reasons(scope, request, edits, n_edits, ret_nearest)) &&
           loosen(scope, request, ret_nearest);
    if (!good) {
        sp_nearest_done(ret_nearest);
        return SP_ENOMEM;
    }
    return SP_OK;
}

void sp_nearest_done(struct sp_nearest *nearest)
{
    sp_arena_done(&nearest->arena);
}
