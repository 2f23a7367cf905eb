/* The tests that stand beside the rules: each is one request, judged by the real matcher. */
#include "expect.h"

#include "suggest.h"

enum { WORK_MAX = 20000000 }; /* rules filled in for expectations, over a policy */

static bool same_args(const struct expectation *a, const struct expectation *b)
{
    bool same = a->n_args == b->n_args;
    for (size_t i = 0; same && i < a->n_args; i++) {
        same = sp_text_eq(a->args[i].name, b->args[i].name) &&
               sp_text_eq(a->args[i].value, b->args[i].value);
    }
    return same;
}

/* The scope with the expectation's arguments; NULL, and an error, where they do not fit it. */
static const struct sp_scope *freeze(struct expect_run *run, const struct sp_scope *scope,
                                     const struct expectation *e)
{
    struct sp_error err = {""};
    const char *fix = "expect allow given (name = \"value\") …";
    if (run->last && same_args(run->last, e)) {
        return run->frozen;
    }
    sp_scope_free(run->frozen);
    run->frozen = NULL;
    run->last = e;
    run->work += scope->n_rules + 1;
    if (run->work > WORK_MAX) {
        (void)sp_fail(&err, SP_ETOOBIG, "too many expectations with other arguments each");
        fix = "put those with the same arguments beside each other";
    } else {
        sp_status status = sp_scope_freeze(scope, e->args, e->n_args, &run->frozen, &err);
        run->diags->failed = run->diags->failed || status == SP_ENOMEM;
    }
    if (!run->frozen) {
        sp_diags_add(run->diags, SP_SEVERITY_ERROR, "E161", e->span, fix, "%s", err.text);
    }
    return run->frozen;
}

static void failed(struct expect_run *run, const struct expectation *e,
                   const struct sp_verdict *v)
{
    struct sp_text label = v->rule ? sp_rule_label(v->rule) : SP_TEXT("no rule");
    sp_diags_add(run->diags, SP_SEVERITY_ERROR, "E160", e->span, NULL,
                 "expected %s%s%.*s, but it is %s (%.*s)%s%s", e->allow ? "allow" : "deny",
                 e->rule.len ? " by " : "", (int)e->rule.len, e->rule.ptr,
                 v->allowed ? "allowed" : "denied", (int)label.len, label.ptr,
                 v->detail[0] ? ": " : "", v->detail);
}

static void check_label(struct expect_run *run, const struct sp_scope *scope,
                        const struct expectation *e)
{
    char text[SUGGEST_ROOM];
    const char *fix = NULL;
    for (size_t i = 0; i < scope->n_rules; i++) {
        if (sp_text_eq(scope->rules[i]->label, e->rule)) {
            return;
        }
        fix = fix ? fix : suggest(e->rule, scope->rules[i]->label, text);
    }
    sp_diags_add(run->diags, SP_SEVERITY_ERROR, "E162", e->span, fix,
                 "there is no rule called '%.*s'", (int)e->rule.len, e->rule.ptr);
}

/* The request of an expectation in the run's arena; false where the canonical form refuses it.
 */
static bool request_of(struct expect_run *run, const struct expectation *e,
                       struct sp_request *request, struct sp_error *err)
{
    sp_status status = sp_request_init(&run->arena, e->method, e->url, request, err);
    run->diags->failed = run->diags->failed || status == SP_ENOMEM; /* no refusal */
    if (status) {
        return false;
    }
    request->body_kind = e->body_kind;
    request->body_value = e->body;
    request->headers = e->headers;
    request->n_headers = e->n_headers;
    return true;
}

void expect_run_one(struct expect_run *run, const struct sp_scope *scope,
                    const struct expectation *e)
{
    struct sp_request request;
    struct sp_error err = {""};
    struct sp_verdict verdict;
    sp_arena_reset(&run->arena);
    if (e->rule.len) {
        check_label(run, scope, e);
    }
    if (!request_of(run, e, &request, &err)) {
        /* What the canonical form refuses is denied, too. */
        if (e->allow) {
            sp_diags_add(run->diags, SP_SEVERITY_ERROR, "E160", e->span, NULL,
                         "expected allow, but the request is refused: %s", err.text);
        }
        return;
    }
    const struct sp_scope *frozen = freeze(run, scope, e);
    if (!frozen) {
        return;
    }
    sp_scope_match(frozen, &request, &verdict);
    bool by_it =
        !e->rule.len || (verdict.rule && sp_text_eq(e->rule, sp_rule_label(verdict.rule)));
    if (verdict.allowed != e->allow || !by_it) {
        failed(run, e, &verdict);
    }
    if (run->seen) {
        run->seen(run->user, frozen, &request, &verdict);
    }
}

void expect_run_init(struct expect_run *run, struct sp_diags *diags)
{
    *run = (struct expect_run){.diags = diags};
    sp_arena_init(&run->arena, 4 << 20);
}

void expect_run_leave(struct expect_run *run)
{
    sp_scope_free(run->frozen);
    run->frozen = NULL;
    run->last = NULL;
}

void expect_run_done(struct expect_run *run)
{
    expect_run_leave(run);
    sp_arena_done(&run->arena);
}

void check_expectations(struct checker *c)
{
    struct expect_run run;
    if (c->world && c->world->leave_expects) {
        return;
    }
    expect_run_init(&run, c->diags);
    for (size_t i = 0; i < c->policy->n_scopes; i++) {
        const struct sp_scope *scope = c->policy->scopes[i];
        for (const struct expectation *e = scope->expectations; e; e = e->next) {
            expect_run_one(&run, scope, e);
        }
        expect_run_leave(&run);
    }
    expect_run_done(&run);
}
