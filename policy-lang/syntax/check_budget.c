/* A budget that sums must get an integer of each call that it lets through: else leaving the
 * field out, or making it negative, would give back what others have spent. */
#include "check.h"

static bool is_from_zero(const struct condition *c)
{
    int64_t low = INT64_MIN;
    bool integer = c->constant.kind == CONSTANT_INT;
    switch ((int)c->kind) {
    case CONDITION_EQ:
    case CONDITION_GE:
        low = integer ? c->constant.integer : low;
        break;
    case CONDITION_GT:
        low = integer && c->constant.integer < INT64_MAX ? c->constant.integer + 1 : low;
        break;
    case CONDITION_RANGE:
        low = c->low;
        break;
    case CONDITION_IN: /* sorted, and of one type */
        low = c->n_set > 0 && c->set[0].kind == CONSTANT_INT ? c->set[0].integer : low;
        break;
    default:
        break;
    }
    return low >= 0;
}

/* Recursion is bounded by AST_NODES_MAX. */
static bool bounds_below(const struct condition *c, const struct field *field)
{
    if (!c) {
        return false;
    }
    if (c->kind == CONDITION_AND) {
        return bounds_below(c->left, field) || bounds_below(c->right, field);
    }
    if (c->kind == CONDITION_OR) {
        return bounds_below(c->left, field) && bounds_below(c->right, field);
    }
    return c->kind != CONDITION_NOT && field_equal(&c->field, field) && is_from_zero(c);
}

static void check_sum(struct checker *c, const struct sp_rule *rule,
                      const struct budget *budget)
{
    const struct field *field = &budget->field;
    struct sp_buf name;
    char room[128];
    sp_buf_over(&name, room, sizeof room);
    ast_print_field(field, &name);
    if (!bounds_below(rule->where, field)) {
        sp_diags_add(c->diags, SP_SEVERITY_ERROR, "E182", budget->span,
                     "bound it in the rule's condition: in 1..N",
                     "rule %.*s does not make sure that %.*s is an integer of 0 or more",
                     (int)rule->label.len, rule->label.ptr, (int)name.len, name.ptr);
    }
}

void check_budgets(struct checker *c, const struct sp_scope *scope)
{
    const struct budget *whole =
        scope->budget && scope->budget->public.sums ? scope->budget : NULL;
    for (size_t i = 0; i < scope->n_rules; i++) {
        const struct sp_rule *rule = scope->rules[i];
        if (rule->denies) {
            continue;
        }
        if (rule->budget && rule->budget->public.sums) {
            check_sum(c, rule, rule->budget);
        }
        if (whole) {
            check_sum(c, rule, whole);
        }
    }
}
