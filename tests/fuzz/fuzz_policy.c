/* Any text as a scope file or a caveat: no fault, no hang; what compiles prints to text that
 * parses to the same text again, and both decide alike. */
#include "automaton/automaton.h"
#include "policy.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A matcher that is compiled decides as the interpreter does. */
static void check_matcher(const struct sp_matcher *matcher, const struct sp_request *request,
                          const struct sp_verdict *verdict)
{
    struct sp_match decision;
    sp_matcher_decide(matcher, request, &decision);
    if (decision.allowed != verdict->allowed || decision.reason != verdict->reason ||
        decision.rule != verdict->rule) {
        abort();
    }
}

/* The path that a pattern reads like, at its own host: so that some requests get far. */
static void aim(struct sp_arena *arena, const struct sp_rule *rule, struct sp_request *request)
{
    const struct url_pattern *url = &rule->url;
    struct sp_segment *segments = sp_arena_array(arena, url->n_segments, sizeof *segments);
    for (size_t i = 0; segments && i < url->n_segments; i++) {
        const struct segment *s = &url->segments[i];
        bool text = s->kind == SEGMENT_LITERAL || s->kind == SEGMENT_PREFIX;
        segments[i] = (struct sp_segment){text ? s->text : SP_TEXT("7/b"), false};
        segments[i].has_slash = s->kind == SEGMENT_SLASH;
        segments[i].text.len = !text && !segments[i].has_slash ? 1 : segments[i].text.len;
    }
    request->url.https = url->https;
    request->url.host = url->host;
    request->url.port = url->port;
    request->url.segments = segments;
    request->url.n_segments = segments ? url->n_segments : 0;
    request->url.trailing_slash = segments && url->trailing_slash;
    request->method = rule->methods & (~rule->methods + 1);
}

static void check_scope(const struct sp_scope *scope)
{
    static const char *const urls[] = {"https://a.example/x", "https://a.example/x/1?y=2",
                                       "https://a.example/x%2Fy/"};
    struct sp_buf first, second;
    struct sp_scope *again = NULL;
    struct sp_matcher *automaton = NULL, *bits = NULL;
    struct sp_error err = {""};
    if (sp_matcher_new(scope, &automaton) || matcher_new_bounded(scope, 0, &bits)) {
        abort();
    }
    sp_buf_init(&first, 1 << 20);
    sp_buf_init(&second, 1 << 20);
    sp_scope_print(scope, &first);
    if (!first.failed && sp_scope_parse(sp_buf_text(&first), &again, &err) == SP_OK) {
        sp_scope_print(again, &second);
        if (!sp_text_eq(sp_buf_text(&first), sp_buf_text(&second))) {
            abort();
        }
        for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
            struct sp_arena arena;
            struct sp_request request;
            struct sp_verdict a, b, aimed;
            sp_arena_init(&arena, 1 << 20);
            if (sp_request_init(&arena, SP_TEXT("GET"), sp_text_of(urls[i]), &request, &err)) {
                abort();
            }
            sp_scope_match(scope, &request, &a);
            sp_scope_match(again, &request, &b);
            check_matcher(automaton, &request, &a);
            check_matcher(bits, &request, &a);
            for (size_t r = 0; r < scope->n_rules && r < 16; r++) {
                aim(&arena, scope->rules[r], &request);
                sp_scope_match(scope, &request, &aimed);
                check_matcher(automaton, &request, &aimed);
                check_matcher(bits, &request, &aimed);
            }
            if (a.allowed != b.allowed || a.reason != b.reason) {
                abort();
            }
            sp_arena_done(&arena);
        }
    }
    sp_scope_free(again);
    sp_matcher_free(automaton);
    sp_matcher_free(bits);
    sp_buf_done(&first);
    sp_buf_done(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_source source = {"fuzz", {(const char *)data, size}};
    struct sp_diags diags;
    struct sp_policy *policy = NULL;
    struct sp_scope *caveat = NULL;
    struct sp_buf out;
    sp_diags_init(&diags);
    sp_buf_init(&out, 4 << 20);
    if (sp_policy_compile(&source, 1, NULL, &diags, &policy) == SP_OK) {
        for (size_t i = 0; i < sp_policy_n_scopes(policy); i++) {
            if (sp_scope_n_params(sp_policy_scope(policy, i)) == 0) {
                check_scope(sp_policy_scope(policy, i));
            }
        }
    }
    sp_diags_print(&diags, &source, true, &out);
    if (sp_caveat_parse(source.text, &caveat, NULL) == SP_OK) {
        sp_scope_free(caveat);
    }
    sp_buf_done(&out);
    sp_policy_free(policy);
    sp_diags_done(&diags);
    return 0;
}
