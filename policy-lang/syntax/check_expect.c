/* The tests that stand beside the rules: each is one request, judged by the real matcher. */
#include "check.h"

enum { WORK_MAX = 20000000 }; /* rules filled in for expectations, over a policy */

struct run {
    struct checker *c;
    struct sp_arena arena;
    struct sp_scope *frozen; /* for the arguments of `last` */
    const struct expectation *last;
    size_t work;
};

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
static const struct sp_scope *freeze(struct run *run, const struct sp_scope *scope,
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
        (void)sp_scope_freeze(scope, e->args, e->n_args, &run->frozen, &err);
    }
    if (!run->frozen) {
        sp_diags_add(run->c->diags, SP_SEVERITY_ERROR, "E161", e->span, fix, "%s", err.text);
    }
    return run->frozen;
}

static void failed(struct run *run, const struct expectation *e, const struct sp_verdict *v)
{
    struct sp_text label = v->rule ? sp_rule_label(v->rule) : SP_TEXT("no rule");
    sp_diags_add(run->c->diags, SP_SEVERITY_ERROR, "E160", e->span, NULL,
                 "expected %s%s%.*s, but it is %s (%.*s)%s%s", e->allow ? "allow" : "deny",
                 e->rule.len ? " by " : "", (int)e->rule.len, e->rule.ptr,
                 v->allowed ? "allowed" : "denied", (int)label.len, label.ptr,
                 v->detail[0] ? ": " : "", v->detail);
}

static void check_label(struct run *run, const struct sp_scope *scope,
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
    check_error(run->c, "E162", e->span, fix, "there is no rule called", e->rule);
}

static void run_one(struct run *run, const struct sp_scope *scope, const struct expectation *e)
{
    struct sp_request request;
    struct sp_error err = {""};
    struct sp_verdict verdict;
    if (e->rule.len) {
        check_label(run, scope, e);
    }
    if (sp_request_init(&run->arena, e->method, e->url, &request, &err)) {
        /* What the canonical form refuses is denied, too. */
        if (e->allow) {
            sp_diags_add(run->c->diags, SP_SEVERITY_ERROR, "E160", e->span, NULL,
                         "expected allow, but the request is refused: %s", err.text);
        }
        return;
    }
    request.body_kind = e->body_kind;
    request.body_value = e->body;
    request.headers = e->headers;
    request.n_headers = e->n_headers;
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
}

void check_expectations(struct checker *c)
{
    struct run run = {.c = c};
    sp_arena_init(&run.arena, 4 << 20);
    for (size_t i = 0; i < c->policy->n_scopes; i++) {
        const struct sp_scope *scope = c->policy->scopes[i];
        run.last = NULL;
        for (const struct expectation *e = scope->expectations; e; e = e->next) {
            run_one(&run, scope, e);
            sp_arena_reset(&run.arena);
        }
        sp_scope_free(run.frozen);
        run.frozen = NULL;
    }
    sp_arena_done(&run.arena);
}
