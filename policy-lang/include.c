/* Inclusion: settings first, then rule by rule, which is quick and sound and settles most
 * cases; where that is silent, by search (prove/), which is exact. */
#include "prove.h"

enum { PROVE_MAX_BYTES = 512 << 20 };
enum { STEPS_MAX = 2000000 }; /* looks at one rule; past them it is too hard */

struct proof {
    const struct sp_scope *outer, *inner;
    struct sp_error *why;
    size_t steps;
};

/* a * b <= c * d without overflow: all are below 2^40. */
static bool product_le(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    return (__extension__(unsigned __int128) a) * b <= (__extension__(unsigned __int128) c) * d;
}

/* The order of rates. A rate that inner does not state is inherited. */
bool rate_within(struct sp_rate inner, struct sp_rate outer)
{
    if (!outer.count || !inner.count) {
        return true;
    }
    if (!outer.burst && !inner.burst) {
        uint64_t windows = inner.window_ms >= outer.window_ms
                               ? 1
                               : (outer.window_ms + inner.window_ms - 1) / inner.window_ms;
        return product_le(inner.count, windows, outer.count, 1);
    }
    bool slower = product_le(inner.count, outer.window_ms, outer.count, inner.window_ms);
    if (!inner.burst) { /* N per T within GCRA (r, b): N <= b and N <= rT */
        return inner.count <= outer.burst && slower;
    }
    if (outer.burst) {
        return inner.burst <= outer.burst && slower;
    }
    /* GCRA (r, b) within N per T: b + rT <= N */
    return inner.burst <= outer.count &&
           product_le(inner.count, outer.window_ms, outer.count - inner.burst, inner.window_ms);
}

/* The order of budgets, as that of rates: the same measure, a window no shorter, a limit no
 * higher. One for all tokens is within one for each, and not the other way round. */
bool budget_within(const struct budget *inner, const struct budget *outer)
{
    if (!outer || !inner) {
        return true;
    }
    return inner->public.sums == outer->public.sums &&
           (!inner->public.sums || field_equal(&inner->field, &outer->field)) &&
           inner->public.window_ms >= outer->public.window_ms &&
           inner->public.limit <= outer->public.limit &&
           (outer->public.per_token || !inner->public.per_token);
}

/* Outer must be readable wherever inner is: it may read nothing that inner does not, and as to
 * a body's query parameters it must read all that inner reads. So both read the same. */
static bool reads_alike(const struct sp_rule *a, const struct sp_rule *b)
{
    for (int turn = 0; turn < 2; turn++) {
        const struct sp_rule *x = turn ? b : a, *y = turn ? a : b;
        for (size_t i = 0; i < x->n_reads; i++) {
            bool found = false;
            for (size_t j = 0; j < y->n_reads && !found; j++) {
                found = field_equal(x->reads[i], y->reads[j]);
            }
            if (!found) {
                return false;
            }
        }
    }
    return true;
}

static bool allow_covers(const struct sp_rule *outer, const struct sp_rule *inner,
                         unsigned method)
{
    if (outer->denies || !(outer->methods & method) || !pattern_covers(outer, inner)) {
        return false;
    }
    if ((outer->rate.count && inner->rate.count && !rate_within(inner->rate, outer->rate)) ||
        !budget_within(inner->budget, outer->budget)) {
        return false;
    }
    return !outer->where || (inner->where && condition_implies(inner->where, outer->where) &&
                             reads_alike(inner, outer));
}

static bool same_pattern(const struct sp_rule *a, const struct sp_rule *b)
{
    return pattern_covers(a, b) && pattern_covers(b, a);
}

/* A deny of outer is no threat where inner denies the same. */
static bool has_deny(struct proof *p, const struct sp_rule *deny)
{
    for (size_t i = 0; i < p->inner->n_rules; i++) {
        const struct sp_rule *rule = p->inner->rules[i];
        p->steps++;
        if (rule->denies && !(deny->methods & ~rule->methods) && same_pattern(rule, deny) &&
            (!rule->where || (deny->where && condition_equal(rule->where, deny->where)))) {
            return true;
        }
    }
    return false;
}

static const struct sp_rule *deny_in_the_way(struct proof *p, const struct sp_rule *allow)
{
    for (size_t i = 0; i < p->outer->n_rules && p->steps < STEPS_MAX; i++) {
        const struct sp_rule *rule = p->outer->rules[i];
        p->steps++;
        if (rule->denies && (rule->methods & allow->methods) && pattern_overlaps(rule, allow) &&
            !has_deny(p, rule)) {
            return rule;
        }
    }
    return NULL;
}

static bool keys_within(const struct sp_scope *outer, const struct sp_scope *inner,
                        struct sp_text *ret_key)
{
    for (size_t i = 0; i < inner->n_keys; i++) {
        bool found = false;
        for (size_t j = 0; j < outer->n_keys && !found; j++) {
            found = sp_text_eq(inner->key_list[i], outer->key_list[j]);
        }
        if (!found) {
            *ret_key = inner->key_list[i];
            return false;
        }
    }
    return true;
}

static bool insists_within(const struct sp_scope *outer, const struct sp_scope *inner)
{
    bool all = true;
    for (const struct insist *o = outer->insists; o && all; o = o->next) {
        all = false;
        for (const struct insist *i = inner->insists; i && !all; i = i->next) {
            all = sp_text_eq(o->name, i->name) && sp_text_eq(o->value, i->value);
        }
    }
    return all;
}

/* Whatever the wider one takes out of an answer, the narrower does, too. That holds for every
 * answer, since no rule is asked. */
static bool redactions_within(const struct sp_scope *outer, const struct sp_scope *inner)
{
    bool all = true;
    for (size_t o = 0; o < outer->n_redactions && all; o++) {
        all = false;
        for (size_t i = 0; i < inner->n_redactions && !all; i++) {
            all = sp_redaction_covered(&outer->redactions[o].public,
                                       &inner->redactions[i].public);
        }
    }
    return all;
}

static enum sp_inclusion check_allow(struct proof *p, const struct sp_rule *allow)
{
    const struct sp_scope *outer = p->outer;
    for (unsigned method = 1; method < SP_METHOD_ALL; method <<= 1) {
        bool covered = !(allow->methods & method);
        for (size_t i = 0; i < outer->n_rules && !covered && p->steps < STEPS_MAX; i++) {
            p->steps += 1 + outer->rules[i]->n_reads * allow->n_reads;
            covered = allow_covers(outer->rules[i], allow, method);
        }
        if (!covered) {
            (void)sp_fail(p->why, SP_EDENIED,
                          "no one rule of %.*s allows %s on all of what %.*s does",
                          (int)outer->name.len, outer->name.ptr, sp_method_name(method),
                          (int)allow->label.len, allow->label.ptr);
            return SP_TOO_HARD;
        }
    }
    const struct sp_rule *deny = deny_in_the_way(p, allow);
    if (deny) {
        (void)sp_fail(p->why, SP_EDENIED, "rule %.*s of %.*s denies a part of it",
                      (int)deny->label.len, deny->label.ptr, (int)outer->name.len,
                      outer->name.ptr);
        return SP_TOO_HARD;
    }
    if (p->steps >= STEPS_MAX) {
        (void)sp_fail(p->why, SP_ETOOBIG, "there are too many rules to compare");
        return SP_TOO_HARD;
    }
    return SP_INCLUDED;
}

static enum sp_inclusion check_settings(struct proof *p, bool inherits)
{
    const struct sp_scope *outer = p->outer, *inner = p->inner;
    struct sp_text key = {NULL, 0};
    if (!keys_within(outer, inner, &key)) {
        (void)sp_fail(p->why, SP_EDENIED, "key %.*s is not one of %.*s", (int)key.len, key.ptr,
                      (int)outer->name.len, outer->name.ptr);
        return SP_NOT_INCLUDED;
    }
    const char *fault = NULL;
    if (outer->ttl_ms && inner->ttl_ms > outer->ttl_ms) {
        fault = "it lives longer than";
    } else if (!rate_within(inner->rate, outer->rate)) {
        fault = "its rate is not within that of";
    } else if (!budget_within(inner->budget, outer->budget)) {
        fault = "its budget is not within that of";
    } else if (inner->observes && !outer->observes) {
        fault = "it only observes, unlike"; /* what it denies is let through */
    } else if (!inherits && !insists_within(outer, inner)) {
        fault = "it does not insist on all settings that are insisted on by";
    } else if (!inherits && !redactions_within(outer, inner)) {
        fault = "it does not redact all that is redacted by";
    } else if (!inherits && outer->ttl_ms && !inner->ttl_ms) {
        fault = "it states no ttl, unlike";
    } else if (!inherits && outer->rate.count && !inner->rate.count) {
        fault = "it states no rate, unlike";
    } else if (!inherits && outer->budget && !inner->budget) {
        fault = "it states no budget, unlike";
    }
    if (!fault) {
        return SP_INCLUDED;
    }
    (void)sp_fail(p->why, SP_EDENIED, "%s %.*s", fault, (int)outer->name.len, outer->name.ptr);
    return SP_NOT_INCLUDED;
}

static enum sp_inclusion by_rules(struct proof *p)
{
    enum sp_inclusion result = SP_INCLUDED;
    for (size_t i = 0; i < p->inner->n_rules && result == SP_INCLUDED; i++) {
        if (!p->inner->rules[i]->denies) {
            result = check_allow(p, p->inner->rules[i]);
        }
    }
    return result;
}

static bool has_limits(const struct sp_scope *scope)
{
    bool found = false;
    for (size_t i = 0; i < scope->n_rules && !found; i++) {
        found = scope->rules[i]->rate.count > 0 || scope->rules[i]->budget;
    }
    return found;
}

/* Counts its steps in proof->steps. */
static enum sp_inclusion by_search(struct proof *proof, bool inherits, size_t steps_max,
                                   struct sp_witness *witness)
{
    struct prove p = {.outer = proof->outer,
                      .inner = proof->inner,
                      .steps_max = steps_max,
                      .inherits = inherits,
                      .has_limits = has_limits(proof->outer)};
    if (p.outer->n_params || p.inner->n_params) {
        return SP_TOO_HARD;
    }
    sp_arena_init(&p.arena, PROVE_MAX_BYTES);
    if (!prove_choose_fresh(&p)) {
        sp_arena_done(&p.arena);
        return SP_TOO_HARD;
    }
    bool found = prove_paths(&p);
    proof->steps += p.steps;
    if (found) {
        struct sp_buf text;
        sp_buf_init(&text, 1 << 20);
        sp_witness_print(&p.request, &text);
        (void)sp_fail(proof->why, SP_EDENIED, "it allows %.*s", (int)text.len,
                      text.ptr ? text.ptr : "");
        sp_buf_done(&text);
        if (witness) {
            *witness = (struct sp_witness){p.arena, p.request, true};
        } else {
            sp_arena_done(&p.arena);
        }
        return SP_NOT_INCLUDED;
    }
    sp_arena_done(&p.arena);
    if (p.incomplete || p.out_of_memory || p.steps > p.steps_max) {
        return SP_TOO_HARD;
    }
    (void)sp_fail(proof->why, SP_OK, "%s", ""); /* of the rule by rule proof */
    return SP_INCLUDED;
}

static enum sp_inclusion compare(const struct sp_scope *outer, const struct sp_scope *inner,
                                 bool inherits, size_t steps_max, struct sp_witness *witness,
                                 struct sp_error *why, size_t *ret_steps)
{
    struct proof p = {.outer = outer, .inner = inner, .why = why};
    if (witness) {
        *witness = (struct sp_witness){.found = false};
    }
    *ret_steps = 0;
    enum sp_inclusion result = check_settings(&p, inherits);
    if (result != SP_INCLUDED) {
        return result;
    }
    if (inner->is_caveat && !inner->has_allow) {
        (void)sp_fail(why, SP_EDENIED, "a caveat without allow rules allows everything");
        return SP_NOT_INCLUDED;
    }
    /* The quick proof takes a rate or budget that is not stated for outer's. */
    result = inherits || !has_limits(outer) ? by_rules(&p) : SP_TOO_HARD;
    if (result != SP_INCLUDED) {
        result = by_search(&p, inherits, steps_max, witness);
    }
    *ret_steps = p.steps;
    return result;
}

enum sp_inclusion sp_scope_compare(const struct sp_scope *outer, const struct sp_scope *inner,
                                   bool inherits, struct sp_witness *witness,
                                   struct sp_error *why)
{
    size_t steps;
    return compare(outer, inner, inherits, PROVE_STEPS_MAX, witness, why, &steps);
}

enum sp_inclusion sp_scope_compare_within(const struct sp_scope *outer,
                                          const struct sp_scope *inner, bool inherits,
                                          size_t *steps, struct sp_witness *witness,
                                          struct sp_error *why)
{
    size_t used = 0;
    enum sp_inclusion result = SP_TOO_HARD;
    if (*steps > 0) {
        result = compare(outer, inner, inherits, *steps, witness, why, &used);
    } else {
        (void)sp_fail(why, SP_EDENIED, "there was no time left");
        *witness = (struct sp_witness){.found = false};
    }
    *steps -= used < *steps ? used : *steps;
    return result;
}

enum sp_inclusion sp_scope_includes(const struct sp_scope *outer, const struct sp_scope *inner,
                                    struct sp_error *why)
{
    size_t steps;
    return compare(outer, inner, true, PROVE_ISSUE_STEPS_MAX, NULL, why, &steps);
}
