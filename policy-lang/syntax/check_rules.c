/* What the rules of a scope say that their author cannot have meant. */
#include "check.h"
#include "match.h"

#include <stdlib.h>

enum { ATOMS_MAX = 32 }; /* of one conjunction that are looked at */

/* ---- rules against each other ---------------------------------------------------------------
 */

static void check_labels(struct checker *c, const struct sp_scope *scope)
{
    struct unique *list = unique_new(c, scope->n_rules);
    size_t n = 0;
    for (size_t i = 0; i < scope->n_rules && list; i++) {
        const struct sp_rule *rule = scope->rules[i];
        if (rule->labelled && sp_text_starts(rule->label, SP_TEXT(ESCALATES_LABEL))) {
            check_error(c, "E191", rule->label_span, "call it something else",
                        "labels that begin with " ESCALATES_LABEL " are the compiler's own:",
                        rule->label);
        }
        if (rule->escalates && !rule_is_literal(rule)) {
            sp_diags_add(c->diags, SP_SEVERITY_ERROR, "E190", rule->span,
                         "list the methods, and write the path without wildcards",
                         "only a literal allow reaches an action that escalates");
        }
        if (rule->labelled) {
            list[n++] = (struct unique){rule->label, rule->label_span};
        }
    }
    check_unique(c, list, n, "E130", NULL, "there are two rules called");
    free(list);
}

/* Whether outer decides alone wherever inner might. */
static bool shadows(const struct sp_rule *outer, const struct sp_rule *inner)
{
    return outer->url.host.len > 0 && !outer->where && !(inner->methods & ~outer->methods) &&
           (outer->denies ||
            (!outer->rate.count && !inner->rate.count && !outer->budget && !inner->budget)) &&
           pattern_covers(outer, inner);
}

/* Whether rule i is in the way of rule j; reports it. */
static bool check_pair(struct checker *c, const struct sp_scope *scope, size_t i, size_t j)
{
    const struct sp_rule *outer = scope->rules[i], *inner = scope->rules[j];
    if ((!outer->denies && inner->denies) || !shadows(outer, inner)) {
        return false;
    }
    if (outer->denies && !inner->denies) {
        sp_diags_add(c->diags, SP_SEVERITY_WARNING, "W135", inner->span,
                     "remove it, or narrow the deny",
                     "this allow never applies: %.*s denies all of it", (int)outer->label.len,
                     outer->label.ptr);
        return true;
    }
    if (i > j && shadows(inner, outer)) {
        return false; /* of two equal rules only the later one is reported */
    }
    sp_diags_add(c->diags, SP_SEVERITY_WARNING, "W131", inner->span, "remove it",
                 "this rule adds nothing: %.*s covers it", (int)outer->label.len,
                 outer->label.ptr);
    return true;
}

static void check_useless_deny(struct checker *c, const struct sp_scope *scope,
                               const struct sp_rule *deny)
{
    for (size_t i = 0; i < scope->n_rules; i++) {
        const struct sp_rule *rule = scope->rules[i];
        if (!rule->denies && (rule->methods & deny->methods) && pattern_overlaps(rule, deny)) {
            return;
        }
    }
    check_warning(c, "W132", deny->span, "remove it, or mend its path",
                  "this deny removes nothing: no allow reaches there");
}

/* ---- conditions -----------------------------------------------------------------------------
 */

/* The parts of a conjunction, last first; those past the room are left out. */
static size_t conjuncts(const struct condition *condition,
                        const struct condition *atoms[ATOMS_MAX])
{
    size_t n = 0;
    const struct condition *at = condition;
    for (; at->kind == CONDITION_AND && n + 1 < ATOMS_MAX; at = at->left) {
        atoms[n++] = at->right;
    }
    atoms[n++] = at;
    return n;
}

bool check_interval(const struct condition *c, int64_t *ret_low, int64_t *ret_high)
{
    int64_t low = INT64_MIN, high = INT64_MAX, n = c->constant.integer;
    bool integer = c->constant.kind == CONSTANT_INT;
    switch ((int)c->kind) {
    case CONDITION_EQ:
        low = high = n;
        break;
    case CONDITION_LT: /* constants have 18 digits: no overflow */
        high = n - 1;
        break;
    case CONDITION_LE:
        high = n;
        break;
    case CONDITION_GT:
        low = n + 1;
        break;
    case CONDITION_GE:
        low = n;
        break;
    case CONDITION_RANGE:
        low = c->low;
        high = c->high;
        integer = true;
        break;
    case CONDITION_IN: /* sorted */
        integer = c->n_set > 0 && c->set[0].kind == CONSTANT_INT;
        low = c->n_set > 0 ? c->set[0].integer : 0;
        high = c->n_set > 0 ? c->set[c->n_set - 1].integer : 0;
        break;
    default:
        integer = false;
    }
    *ret_low = low;
    *ret_high = high;
    return integer;
}

/* The strings that an atom lets through, where they are a list. */
static size_t strings(const struct condition *c, const struct constant **ret_list)
{
    bool one = c->kind == CONDITION_EQ, set = c->kind == CONDITION_IN && c->n_set > 0;
    *ret_list = one ? &c->constant : c->set;
    size_t n = one ? 1 : set ? c->n_set : 0;
    return n > 0 && (*ret_list)[0].kind == CONSTANT_STRING &&
                   (*ret_list)[n - 1].kind == CONSTANT_STRING
               ? n
               : 0;
}

static bool strings_apart(const struct condition *a, const struct condition *b)
{
    const struct constant *x, *y;
    size_t n = strings(a, &x), m = strings(b, &y);
    bool prefix = b->kind == CONDITION_STARTS && b->constant.kind == CONSTANT_STRING;
    if (n == 0 || (m == 0 && !prefix) || n * (m + 1) > 100000) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (prefix && sp_text_starts(x[i].text, b->constant.text)) {
            return false;
        }
        for (size_t j = 0; j < m; j++) {
            if (sp_text_eq(x[i].text, y[j].text)) {
                return false;
            }
        }
    }
    return true;
}

/* Two demands on one field that no value meets. */
static bool apart(const struct condition *a, const struct condition *b)
{
    int64_t low_a, high_a, low_b, high_b;
    if (a->left || b->left || a->field.quantifier != QUANTIFIER_NONE ||
        !field_equal(&a->field, &b->field)) {
        return false;
    }
    if (check_interval(a, &low_a, &high_a) && check_interval(b, &low_b, &high_b)) {
        return high_a < low_b || high_b < low_a;
    }
    if (a->kind == CONDITION_EQ && b->kind == CONDITION_EQ &&
        a->constant.kind == CONSTANT_BOOL && b->constant.kind == CONSTANT_BOOL) {
        return a->constant.integer != b->constant.integer;
    }
    return strings_apart(a, b) || strings_apart(b, a);
}

static void check_contradiction(struct checker *c, const struct condition *condition)
{
    const struct condition *atoms[ATOMS_MAX];
    size_t n = conjuncts(condition, atoms);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = i + 1; j < n; j++) {
            if (apart(atoms[i], atoms[j])) {
                check_warning(c, "W134", atoms[i]->span, NULL,
                              "no request meets this and the rest of the condition");
            }
        }
    }
}

/* Whether it lets integers through down to the lowest, or has a lowest. */
static bool is_open_below(const struct condition *c)
{
    if (c->kind == CONDITION_NOT) {
        return c->left->kind == CONDITION_GT || c->left->kind == CONDITION_GE;
    }
    return c->kind == CONDITION_LT || c->kind == CONDITION_LE ||
           (c->kind == CONDITION_RANGE && c->low == INT64_MIN);
}

static bool is_closed_below(const struct condition *c)
{
    int64_t low, high;
    if (c->kind == CONDITION_NOT) {
        return c->left->kind == CONDITION_LT || c->left->kind == CONDITION_LE;
    }
    return check_interval(c, &low, &high) && low != INT64_MIN;
}

static const struct field *field_of(const struct condition *c)
{
    return c->kind == CONDITION_NOT ? &c->left->field : &c->field;
}

/* `body.amount < 5000` lets -1 through, which many an API takes for something else. Recursion
 * is bounded by AST_NODES_MAX. */
static void check_lower_bound(struct checker *c, const struct condition *condition)
{
    const struct condition *atoms[ATOMS_MAX];
    size_t n = conjuncts(condition, atoms);
    for (size_t i = 0; i < n; i++) {
        if (atoms[i]->kind == CONDITION_OR) {
            check_lower_bound(c, atoms[i]->left);
            check_lower_bound(c, atoms[i]->right);
        }
        bool bounded = !is_open_below(atoms[i]);
        for (size_t j = 0; j < n && !bounded; j++) {
            bounded = is_closed_below(atoms[j]) &&
                      field_equal(field_of(atoms[i]), field_of(atoms[j]));
        }
        if (!bounded) {
            check_warning(c, "W133", atoms[i]->span, "write a range: in 1..N",
                          "no lower bound: zero and negative numbers pass");
        }
    }
}

/* ---- the whole ------------------------------------------------------------------------------
 */

void check_rules(struct checker *c, const struct sp_scope *scope, size_t *pairs_left)
{
    check_labels(c, scope);
    for (size_t i = 0; i < scope->n_rules; i++) {
        const struct sp_rule *rule = scope->rules[i];
        if (rule->where) {
            check_contradiction(c, rule->where);
            if (!rule->denies) {
                check_lower_bound(c, rule->where);
            }
        }
        if (*pairs_left < scope->n_rules) {
            continue; /* a file of thousands of rules is a machine's, and has no such mistakes
                       */
        }
        *pairs_left -= scope->n_rules;
        bool shadowed = false;
        for (size_t j = 0; j < scope->n_rules && !shadowed; j++) {
            shadowed = j != i && check_pair(c, scope, j, i);
        }
        if (rule->denies) {
            check_useless_deny(c, scope, rule);
        }
    }
}
