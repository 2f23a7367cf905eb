/* What a catalogue says of an action beyond its path: that what it does stands in the body's
 * document (GraphQL), and that its amounts are of a currency. */
#include "check.h"
#include "match.h"

#include <stdlib.h>

enum { TOLD_MAX = 16384, SCRATCH_MAX_BYTES = 64 << 20 };

static bool is_body_field(const struct field *field, const char *name)
{
    return field->source == FIELD_BODY && field->quantifier == QUANTIFIER_NONE &&
           field->n_parts == 1 && sp_text_is(field->parts[0], name);
}

static bool is_string_list(const struct condition *atom)
{
    if (atom->kind == CONDITION_EQ) {
        return atom->constant.kind == CONSTANT_STRING;
    }
    bool strings = atom->kind == CONDITION_IN;
    for (size_t i = 0; i < atom->n_set && strings; i++) {
        strings = atom->set[i].kind == CONSTANT_STRING;
    }
    return strings;
}

/* Whether the condition is true only where body.NAME is one of a list of strings. A parameter
 * is none: who issues would choose it. Recursion is bounded by AST_NODES_MAX. */
static bool pins(const struct condition *c, const char *name)
{
    if (!c) {
        return false;
    }
    switch ((int)c->kind) {
    case CONDITION_AND:
        return pins(c->left, name) || pins(c->right, name);
    case CONDITION_OR:
        return pins(c->left, name) && pins(c->right, name);
    case CONDITION_NOT:
        return false;
    default:
        return is_body_field(&c->field, name) && is_string_list(c);
    }
}

static bool sums_amount(const struct budget *budget)
{
    return budget && budget->public.sums && budget->field.source == FIELD_BODY;
}

/* The actions that there is something to say of, with their patterns. */
struct told {
    const struct sp_catalogue_action *actions[TOLD_MAX];
    struct sp_rule patterns[TOLD_MAX];
    size_t n;
    struct sp_arena scratch;
};

static bool gather(struct checker *c, const struct sp_scope *scope, struct told *told)
{
    for (size_t k = 0; k < scope->n_keys; k++) {
        const struct sp_catalogue *list = NULL;
        size_t n = c->world->catalogues(c->world->user, scope->key_list[k], &list);
        for (size_t i = 0; i < n; i++) {
            for (size_t j = 0; j < list[i].n_hosts * list[i].n_actions; j++) {
                const struct sp_catalogue_action *action =
                    &list[i].actions[j / list[i].n_hosts];
                if (!action->is_graphql && !action->has_currency) {
                    continue;
                }
                if (told->n == TOLD_MAX) {
                    return false;
                }
                struct sp_rule *pattern = &told->patterns[told->n];
                pattern->methods = action->method;
                if (!ast_parse_template(&told->scratch, list[i].hosts[j % list[i].n_hosts],
                                        action->path, false, &pattern->url)) {
                    return false;
                }
                told->actions[told->n++] = action;
            }
        }
    }
    return true;
}

static const struct sp_catalogue_action *reached(const struct told *told, bool graphql,
                                                 const struct sp_rule *rule)
{
    for (size_t i = 0; i < told->n; i++) {
        const struct sp_catalogue_action *action = told->actions[i];
        if ((graphql ? action->is_graphql : action->has_currency) &&
            (rule->methods & action->method) && pattern_overlaps(rule, &told->patterns[i])) {
            return action;
        }
    }
    return NULL;
}

static void check_rule(struct checker *c, const struct sp_scope *scope, const struct told *told,
                       const struct sp_rule *rule)
{
    /* Wildcards do not reach it: it escalates. */
    if (rule_is_literal(rule) && !pins(rule->where, "query") && reached(told, true, rule)) {
        sp_diags_add(c->diags, SP_SEVERITY_ERROR, "E193", rule->span,
                     "where body.query = \"the whole document\", or in a set of them",
                     "this allows any GraphQL document: the rule has to say which");
    }
    bool sums = sums_amount(rule->budget) || sums_amount(scope->budget);
    const struct sp_catalogue_action *action =
        sums && !pins(rule->where, "currency") ? reached(told, false, rule) : NULL;
    if (action) {
        sp_diags_add(c->diags, SP_SEVERITY_WARNING, "W183", rule->span,
                     "add `body.currency = \"usd\"` to the condition",
                     "a budget adds up what %.*s takes in any currency", (int)action->name.len,
                     action->name.ptr);
    }
}

void check_catalogue(struct checker *c, const struct sp_scope *scope)
{
    struct told *told = calloc(1, sizeof *told);
    if (!told) {
        c->out_of_memory = true;
        return;
    }
    sp_arena_init(&told->scratch, SCRATCH_MAX_BYTES);
    if (!gather(c, scope, told)) {
        c->out_of_memory = true;
    }
    for (size_t i = 0; i < scope->n_rules && told->n > 0; i++) {
        if (!scope->rules[i]->denies) {
            check_rule(c, scope, told, scope->rules[i]);
        }
    }
    sp_arena_done(&told->scratch);
    free(told);
}
