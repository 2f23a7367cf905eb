/* Inclusion, proved rule by rule: sound, and silent where it would need more. */
#include "ast.h"

static bool texts_equal(const struct sp_text *a, size_t n_a, const struct sp_text *b,
                        size_t n_b)
{
    bool equal = n_a == n_b;
    for (size_t i = 0; equal && i < n_a; i++) {
        equal = sp_text_eq(a[i], b[i]);
    }
    return equal;
}

static bool constant_equal(const struct constant *a, const struct constant *b)
{
    return a->kind == b->kind && a->integer == b->integer && sp_text_eq(a->text, b->text);
}

static bool field_equal(const struct field *a, const struct field *b)
{
    return a->source == b->source && a->quantifier == b->quantifier &&
           a->segment == b->segment &&
           (a->source == FIELD_PATH ||
            texts_equal(a->parts, a->n_parts, b->parts, b->n_parts)) &&
           texts_equal(a->item_parts, a->n_item_parts, b->item_parts, b->n_item_parts);
}

bool condition_equal(const struct condition *a, const struct condition *b)
{
    if (!a || !b) {
        return a == b;
    }
    if (a->kind != b->kind || !condition_equal(a->left, b->left) ||
        !condition_equal(a->right, b->right)) {
        return false;
    }
    if (a->left) {
        return true; /* and, or, not: nothing else in the node */
    }
    bool equal = field_equal(&a->field, &b->field) &&
                 constant_equal(&a->constant, &b->constant) && a->low == b->low &&
                 a->high == b->high && a->n_set == b->n_set &&
                 texts_equal(a->names, a->n_names, b->names, b->n_names);
    for (size_t i = 0; equal && i < a->n_set; i++) {
        equal = constant_equal(&a->set[i], &b->set[i]);
    }
    return equal;
}

/* Every conjunct of outer stands in inner as well: then inner being true makes outer true, as
 * long as outer is readable where inner is, which the caller sees to. */
bool condition_implies(const struct condition *inner, const struct condition *outer)
{
    if (condition_equal(inner, outer)) {
        return true;
    }
    if (outer->kind == CONDITION_AND) {
        return condition_implies(inner, outer->left) && condition_implies(inner, outer->right);
    }
    return inner->kind == CONDITION_AND &&
           (condition_implies(inner->left, outer) || condition_implies(inner->right, outer));
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
    return !outer->where || (inner->where && condition_implies(inner->where, outer->where) &&
                             reads_alike(inner, outer));
}

static bool same_pattern(const struct sp_rule *a, const struct sp_rule *b)
{
    return pattern_covers(a, b) && pattern_covers(b, a);
}

/* A deny of outer is no threat where inner denies the same. */
static bool has_deny(const struct sp_scope *inner, const struct sp_rule *deny)
{
    for (size_t i = 0; i < inner->n_rules; i++) {
        const struct sp_rule *rule = inner->rules[i];
        if (rule->denies && !(deny->methods & ~rule->methods) && same_pattern(rule, deny) &&
            (!rule->where || (deny->where && condition_equal(rule->where, deny->where)))) {
            return true;
        }
    }
    return false;
}

static const struct sp_rule *deny_in_the_way(const struct sp_scope *outer,
                                             const struct sp_scope *inner,
                                             const struct sp_rule *allow)
{
    for (size_t i = 0; i < outer->n_rules; i++) {
        const struct sp_rule *rule = outer->rules[i];
        if (rule->denies && (rule->methods & allow->methods) && pattern_overlaps(rule, allow) &&
            !has_deny(inner, rule)) {
            return rule;
        }
    }
    return NULL;
}

/* a * b <= c * d without overflow: all are below 2^40. */
static bool product_le(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    return (__extension__(unsigned __int128) a) * b <= (__extension__(unsigned __int128) c) * d;
}

/* The order of rates. A rate that inner does not state is inherited. */
static bool rate_within(struct sp_rate inner, struct sp_rate outer)
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

static enum sp_inclusion check_allow(const struct sp_scope *outer, const struct sp_scope *inner,
                                     const struct sp_rule *allow, struct sp_error *why)
{
    for (unsigned method = 1; method < SP_METHOD_ALL; method <<= 1) {
        bool covered = !(allow->methods & method);
        for (size_t i = 0; i < outer->n_rules && !covered; i++) {
            covered = allow_covers(outer->rules[i], allow, method);
        }
        if (!covered) {
            (void)sp_fail(why, SP_EDENIED,
                          "no one rule of %.*s allows %s on all of what %.*s does",
                          (int)outer->name.len, outer->name.ptr, sp_method_name(method),
                          (int)allow->label.len, allow->label.ptr);
            return SP_TOO_HARD;
        }
    }
    const struct sp_rule *deny = deny_in_the_way(outer, inner, allow);
    if (deny) {
        (void)sp_fail(why, SP_EDENIED, "rule %.*s of %.*s denies a part of it",
                      (int)deny->label.len, deny->label.ptr, (int)outer->name.len,
                      outer->name.ptr);
        return SP_TOO_HARD;
    }
    return SP_INCLUDED;
}

enum sp_inclusion sp_scope_includes(const struct sp_scope *outer, const struct sp_scope *inner,
                                    struct sp_error *why)
{
    struct sp_text key = {NULL, 0};
    if (!keys_within(outer, inner, &key)) {
        (void)sp_fail(why, SP_EDENIED, "key %.*s is not one of %.*s", (int)key.len, key.ptr,
                      (int)outer->name.len, outer->name.ptr);
        return SP_NOT_INCLUDED;
    }
    if (outer->ttl_ms && inner->ttl_ms > outer->ttl_ms) {
        (void)sp_fail(why, SP_EDENIED, "it lives longer than %.*s lets it",
                      (int)outer->name.len, outer->name.ptr);
        return SP_NOT_INCLUDED;
    }
    if (!rate_within(inner->rate, outer->rate)) {
        (void)sp_fail(why, SP_EDENIED, "its rate is above that of %.*s", (int)outer->name.len,
                      outer->name.ptr);
        return SP_NOT_INCLUDED;
    }
    for (size_t i = 0; i < inner->n_rules; i++) {
        if (!inner->rules[i]->denies) {
            enum sp_inclusion result = check_allow(outer, inner, inner->rules[i], why);
            if (result != SP_INCLUDED) {
                return result;
            }
        }
    }
    return SP_INCLUDED;
}
