/* A budget that sums must get an integer of each call that it lets through: else leaving the
 * field out, or making it negative, would give back what others have spent. */
#include "check.h"

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
    int64_t low, high;
    return field_equal(&c->field, field) && check_interval(c, &low, &high) && low >= 0;
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
