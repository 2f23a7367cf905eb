/* Tests and what they reach: for each rule whether some test was decided by it, for each atom
 * whether it was seen true and not true. */
#include "expect.h"

#include "match.h"

#include <stdlib.h>

enum { COVER_MAX_BYTES = 512 << 20, ATOM_MAX_BYTES = 64 << 10 };

struct covering {
    struct sp_tests *tests;
    struct sp_rule_cover *
        *by_index; /* the scope's rules; NULL for those that are not authored */
    bool out_of_memory;
};

static size_t count_atoms(const struct condition *c)
{
    if (!c) {
        return 0;
    }
    return c->left ? count_atoms(c->left) + count_atoms(c->right) : 1;
}

/* Atoms in the order of the text. Recursion is bounded by AST_NODES_MAX. */
static void list_atoms(struct covering *c, const struct condition *condition,
                       struct sp_rule_cover *rule)
{
    struct sp_buf text;
    if (condition->left) {
        list_atoms(c, condition->left, rule);
        if (condition->right) {
            list_atoms(c, condition->right, rule);
        }
        return;
    }
    sp_buf_init(&text, ATOM_MAX_BYTES);
    ast_print_condition(condition, &text);
    struct sp_atom_cover *atom = &rule->atoms[rule->n_atoms++];
    atom->span = condition->span;
    atom->text = sp_arena_copy(&c->tests->arena, sp_buf_text(&text));
    c->out_of_memory = c->out_of_memory || text.out_of_memory || !atom->text.ptr;
    sp_buf_done(&text);
}

/* The frozen scope's condition has the same atoms in the same order: its text is the same but
 * for arguments, brackets and names of sets. */
static void see_atoms(const struct condition *condition, const struct sp_request *request,
                      struct sp_rule_cover *rule, size_t *at)
{
    if (condition->left) {
        see_atoms(condition->left, request, rule, at);
        if (condition->right) {
            see_atoms(condition->right, request, rule, at);
        }
        return;
    }
    struct sp_atom_cover *atom = &rule->atoms[(*at)++];
    bool is_true = match_condition(condition, request) == TRUTH_TRUE;
    atom->seen_true = atom->seen_true || is_true;
    atom->seen_untrue = atom->seen_untrue || !is_true;
}

static void see(void *user, const struct sp_scope *frozen, const struct sp_request *request,
                const struct sp_verdict *verdict)
{
    struct covering *c = user;
    bool decided = verdict->allowed || verdict->reason == SP_VERDICT_DENY_RULE;
    for (size_t i = 0; i < frozen->n_rules; i++) {
        const struct sp_rule *rule = frozen->rules[i];
        struct sp_rule_cover *cover = c->by_index[i];
        size_t at = 0;
        if (!cover) {
            continue;
        }
        cover->n_decided += decided && verdict->rule == rule;
        if (rule->where && (rule->methods & request->method) &&
            match_host(rule, &request->url) && match_path(rule, &request->url) == PATH_YES &&
            !match_unreadable(rule, request)) {
            see_atoms(rule->where, request, cover, &at);
        }
    }
}

/* The rules of one scope, behind those of the scopes before. */
static bool list_rules(struct covering *c, const struct sp_scope *scope)
{
    struct sp_tests *tests = c->tests;
    for (size_t i = 0; i < scope->n_rules; i++) {
        const struct sp_rule *rule = scope->rules[i];
        c->by_index[i] = NULL;
        if (rule_is_implied(rule)) {
            continue;
        }
        struct sp_rule_cover *cover = c->by_index[i] = &tests->rules[tests->n_rules++];
        *cover = (struct sp_rule_cover){.scope = scope, .rule = rule, .span = rule->span};
        cover->atoms =
            sp_arena_array(&tests->arena, count_atoms(rule->where), sizeof *cover->atoms);
        if (!cover->atoms) {
            return false;
        }
        if (rule->where) {
            list_atoms(c, rule->where, cover);
        }
    }
    return !c->out_of_memory;
}

static void run_scope(struct covering *c, struct expect_run *run, const struct sp_scope *scope)
{
    struct sp_tests *tests = c->tests;
    for (const struct expectation *e = scope->expectations; e; e = e->next) {
        unsigned before = tests->diags.n_errors;
        expect_run_one(run, scope, e);
        bool passed = tests->diags.n_errors == before;
        tests->tests[tests->n_tests++] = (struct sp_test){scope, e->span, passed};
        tests->n_failed += !passed;
    }
    expect_run_leave(run);
}

static void count(struct sp_tests *tests)
{
    for (size_t i = 0; i < tests->n_rules; i++) {
        const struct sp_rule_cover *rule = &tests->rules[i];
        tests->n_rules_decided += rule->n_decided > 0;
        tests->n_sides += 2 * rule->n_atoms;
        for (size_t a = 0; a < rule->n_atoms; a++) {
            tests->n_sides_seen +=
                rule->atoms[a].seen_true + (size_t)rule->atoms[a].seen_untrue;
        }
    }
}

/* Room for all tests and rules of the policy. */
static bool make_room(struct covering *c, const struct sp_policy *policy)
{
    size_t n_tests = 0, n_rules = 0, most = 0;
    for (size_t i = 0; i < policy->n_scopes; i++) {
        const struct sp_scope *scope = policy->scopes[i];
        n_rules += scope->n_rules;
        most = scope->n_rules > most ? scope->n_rules : most;
        for (const struct expectation *e = scope->expectations; e; e = e->next) {
            n_tests++;
        }
    }
    struct sp_tests *tests = c->tests;
    tests->tests = sp_arena_array(&tests->arena, n_tests, sizeof *tests->tests);
    tests->rules = sp_arena_array(&tests->arena, n_rules, sizeof *tests->rules);
    c->by_index = sp_arena_array(&tests->arena, most, sizeof(struct sp_rule_cover *));
    return tests->tests && tests->rules && c->by_index;
}

sp_status sp_policy_test(const struct sp_policy *policy, struct sp_tests *ret_tests)
{
    struct expect_run run;
    *ret_tests = (struct sp_tests){.n_tests = 0};
    struct covering c = {.tests = ret_tests};
    sp_arena_init(&ret_tests->arena, COVER_MAX_BYTES);
    sp_diags_init(&ret_tests->diags);
    expect_run_init(&run, &ret_tests->diags);
    run.seen = see;
    run.user = &c;
    bool good = make_room(&c, policy);
    for (size_t i = 0; good && i < policy->n_scopes; i++) {
        good = list_rules(&c, policy->scopes[i]);
        if (good) {
            run_scope(&c, &run, policy->scopes[i]);
        }
    }
    expect_run_done(&run);
    if (!good || ret_tests->diags.failed) {
        sp_tests_done(ret_tests);
        return SP_ENOMEM;
    }
    count(ret_tests);
    return SP_OK;
}

void sp_tests_done(struct sp_tests *tests)
{
    sp_diags_done(&tests->diags);
    sp_arena_done(&tests->arena);
}
