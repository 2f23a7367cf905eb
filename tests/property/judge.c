#include "judge.h"

#include "automaton/automaton.h"

#include <stdio.h>

void judge_init(struct judge *j)
{
    *j = (struct judge){.policy = NULL};
    sp_buf_init(&j->text, 1 << 20);
    sp_arena_init(&j->arena, 1 << 20);
}

void judge_done(struct judge *j)
{
    sp_arena_done(&j->arena);
    sp_buf_done(&j->text);
}

static bool compile(struct judge *j)
{
    struct sp_diags diags;
    struct sp_source source = {"generated", sp_buf_text(&j->text)};
    sp_diags_init(&diags);
    bool good = sp_policy_compile(&source, 1, NULL, &diags, &j->policy) == SP_OK;
    if (!good) {
        struct sp_buf shown;
        sp_buf_init(&shown, 1 << 20);
        sp_diags_print(&diags, &source, false, &shown);
        (void)fprintf(stderr, "%.*s", (int)shown.len, shown.ptr ? shown.ptr : "");
        sp_buf_done(&shown);
    }
    sp_diags_done(&diags);
    return good;
}

bool judge_start(struct judge *j, struct gen *gen)
{
    gen_scope(gen, &j->description);
    sp_buf_reset(&j->text);
    gen_scope_text(&j->description, &j->text);
    j->policy = NULL;
    j->parsed = NULL;
    j->automaton = j->bits = NULL;
    if (!compile(j)) {
        return false;
    }
    j->scope = sp_policy_scope(j->policy, 0);
    return sp_scope_freeze(j->scope, NULL, 0, &j->parsed, NULL) == SP_OK &&
           sp_matcher_new(j->scope, &j->automaton) == SP_OK &&
           matcher_new_bounded(j->scope, 0, &j->bits) == SP_OK &&
           !sp_matcher_is_bit_parallel(j->automaton) && sp_matcher_is_bit_parallel(j->bits);
}

void judge_stop(struct judge *j)
{
    sp_matcher_free(j->automaton);
    sp_matcher_free(j->bits);
    sp_scope_free(j->parsed);
    sp_policy_free(j->policy);
}

static bool says(const struct sp_matcher *matcher, const struct sp_request *request,
                 const struct sp_verdict *verdict)
{
    struct sp_match match;
    sp_matcher_decide(matcher, request, &match);
    return match.allowed == verdict->allowed && match.reason == verdict->reason &&
           match.rule == verdict->rule;
}

/* It says the same, finds the same words, and where it does not ask for the body, the verdict
 * is the same without one. It asks for no body that the interpreter would not ask for. */
static bool decides(const struct sp_matcher *matcher, const struct sp_request *request,
                    const struct sp_scope *scope, const struct sp_verdict *verdict)
{
    struct sp_match match;
    struct sp_verdict explained;
    struct sp_request unread = *request;
    sp_matcher_decide(matcher, request, &match);
    sp_match_explain(&match, request, &explained);
    unread.body_kind = SP_BODY_UNREAD;
    unread.body_value = NULL;
    return says(matcher, request, verdict) && strcmp(explained.detail, verdict->detail) == 0 &&
           (sp_matcher_wants_body(matcher, request) ? sp_scope_wants_body(scope, request)
                                                    : says(matcher, &unread, verdict));
}

bool judge_agrees(struct judge *j, const struct gen_request *described, bool *ret_allows)
{
    struct sp_request request;
    struct sp_verdict verdict, again;
    sp_arena_reset(&j->arena);
    gen_build(described, &j->arena, &request);
    sp_scope_match(j->scope, &request, &verdict);
    sp_scope_match(j->parsed, &request, &again);
    bool expected = gen_allows(&j->description, described);
    bool good = verdict.allowed == expected && again.allowed == expected &&
                verdict.reason == again.reason && strcmp(verdict.detail, again.detail) == 0 &&
                verdict.allowed == (verdict.reason == SP_VERDICT_ALLOWED);
    bool automaton = decides(j->automaton, &request, j->scope, &verdict);
    bool bits = decides(j->bits, &request, j->scope, &verdict);
    if (!good || !automaton || !bits) {
        struct sp_buf shown;
        sp_buf_init(&shown, 1 << 20);
        sp_url_print(&request.url, &shown);
        sp_buf_addf(&shown, " %s body %d\n", sp_method_name(request.method),
                    (int)request.body_kind);
        sp_scope_explain(j->scope, &request, &shown);
        (void)fprintf(stderr, "expected %s%s%s\n%s%s", expected ? "allow" : "deny",
                      automaton ? "" : ", not so the automaton",
                      bits ? "" : ", not so the bits", sp_buf_text(&j->text).ptr,
                      sp_buf_text(&shown).ptr);
        sp_buf_done(&shown);
    }
    *ret_allows = expected;
    return good && automaton && bits;
}
