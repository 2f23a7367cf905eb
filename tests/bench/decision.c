/* How long the scope matcher takes for one decision, beside the same check written by hand, and
 * beside the parsing that comes before it. Prints one JSON object of nanoseconds, the best of
 * several runs: the matcher allocates nothing and waits for nothing, so the best is what it
 * costs. */
#include "bench.h"
#include "policy.h"

#include <stdio.h>
#include <string.h>

enum { N_REQUESTS = 4, LAPS = 200000, RUNS = 5 };

static const char source_text[] =
    "sallyport 1\n"
    "let reasons = {\"duplicate\", \"requested_by_customer\"}\n"
    "scope bench {\n"
    "  key bench-key\n"
    "  @read allow GET https://api.stripe.com/v1/charges/*\n"
    "  @refund allow POST https://api.stripe.com/v1/refunds\n"
    "    where body.charge starts \"ch_\" and body.amount in 1..5000\n"
    "      and body only {charge, amount, reason} and body.reason in reasons\n"
    "  @nocapture deny * https://api.stripe.com/v1/charges/*/capture\n"
    "}\n";

struct sample {
    const char *method, *url, *form;
    bool allowed;
};

static const struct sample samples[N_REQUESTS] = {
    {"GET", "https://api.stripe.com/v1/charges/ch_1", NULL, true},
    {"POST", "https://api.stripe.com/v1/refunds", "charge=ch_1&amount=4000&reason=duplicate",
     true},
    {"POST", "https://api.stripe.com/v1/refunds", "charge=ch_1&amount=5001&reason=duplicate",
     false},
    {"DELETE", "https://api.stripe.com/v1/charges/ch_1", NULL, false},
};

static void make_request(struct sp_arena *arena, const struct sample *sample,
                         struct sp_request *request)
{
    struct sp_error err = {""};
    if (sp_request_init(arena, sp_text_of(sample->method), sp_text_of(sample->url), request,
                        &err)) {
        bench_die(sample->url, err.text);
    }
    if (sample->form) {
        const struct sp_param *params;
        size_t n_params;
        struct sp_value *tree = sp_arena_alloc(arena, sizeof *tree);
        request->body = sp_text_of(sample->form);
        if (!tree || sp_form_parse(arena, request->body, 32, &params, &n_params, &err) ||
            sp_form_tree(arena, params, n_params, tree)) {
            bench_die(sample->form, err.text);
        }
        request->body_kind = SP_BODY_FORM;
        request->body_value = tree;
    }
}

/* ---- the same scope, by hand ----------------------------------------------------------------
 */

static bool text_in(const struct sp_value *value, const char *a, const char *b)
{
    return value && value->kind == SP_VALUE_FORM &&
           (sp_text_is(value->as.text, a) || sp_text_is(value->as.text, b));
}

static bool refund_by_hand(const struct sp_value *body)
{
    const struct sp_value *charge = sp_value_get(body, SP_TEXT("charge"));
    const struct sp_value *amount = sp_value_get(body, SP_TEXT("amount"));
    int64_t cents = 0;
    return body && body->as.object.n <= 3 && charge && charge->kind == SP_VALUE_FORM &&
           sp_text_starts(charge->as.text, SP_TEXT("ch_")) && amount &&
           amount->kind == SP_VALUE_FORM && sp_form_int(amount->as.text, &cents) &&
           cents >= 1 && cents <= 5000 &&
           text_in(sp_value_get(body, SP_TEXT("reason")), "duplicate", "requested_by_customer");
}

static bool by_hand(const struct sp_request *request)
{
    const struct sp_url *url = &request->url;
    if (!url->https || url->port != 443 || !sp_text_is(url->host, "api.stripe.com") ||
        url->n_segments < 2 || url->trailing_slash ||
        !sp_text_is(url->segments[0].text, "v1")) {
        return false;
    }
    if (request->method == SP_METHOD_GET) {
        return url->n_segments == 3 && sp_text_is(url->segments[1].text, "charges");
    }
    return request->method == SP_METHOD_POST && url->n_segments == 2 &&
           sp_text_is(url->segments[1].text, "refunds") && refund_by_hand(request->body_value);
}

/* ---- timing
 * ---------------------------------------------------------------------------------- */

typedef bool (*decide_fn)(const struct sp_matcher *matcher, const struct sp_request *request);

static bool by_matcher(const struct sp_matcher *matcher, const struct sp_request *request)
{
    struct sp_match match;
    if (sp_matcher_wants_body(matcher, request) && request->body_kind == SP_BODY_UNREAD) {
        return false;
    }
    sp_matcher_decide(matcher, request, &match);
    return match.allowed;
}

static bool by_hand_in_turn(const struct sp_matcher *matcher, const struct sp_request *request)
{
    (void)matcher;
    return by_hand(request);
}

static double best_ns(decide_fn decide, const struct sp_matcher *matcher,
                      const struct sp_request *requests)
{
    double best = 0;
    for (int run = 0; run < RUNS; run++) {
        uint64_t begun = bench_now_ns();
        size_t n_allowed = 0;
        for (int lap = 0; lap < LAPS; lap++) {
            n_allowed += decide(matcher, &requests[lap % N_REQUESTS]);
        }
        double ns = (double)(bench_now_ns() - begun) / LAPS;
        best = run == 0 || ns < best ? ns : best;
        if (n_allowed != LAPS / 2) {
            bench_die("decision", "half of the requests should be allowed");
        }
    }
    return best;
}

static double best_parse_ns(void)
{
    double best = 0;
    struct sp_arena arena;
    sp_arena_init(&arena, 1 << 20);
    for (int run = 0; run < RUNS; run++) {
        uint64_t begun = bench_now_ns();
        for (int lap = 0; lap < LAPS / 10; lap++) {
            struct sp_request request;
            make_request(&arena, &samples[lap % N_REQUESTS], &request);
            sp_arena_reset(&arena);
        }
        double ns = (double)(bench_now_ns() - begun) / (LAPS / 10);
        best = run == 0 || ns < best ? ns : best;
    }
    sp_arena_done(&arena);
    return best;
}

int main(void)
{
    struct sp_source source = {"bench.scope", {source_text, sizeof source_text - 1}};
    struct sp_diags diags;
    struct sp_policy *policy = NULL;
    struct sp_scope *scope = NULL;
    struct sp_matcher *matcher = NULL;
    struct sp_arena arena;
    struct sp_error err = {""};
    struct sp_request requests[N_REQUESTS];
    const struct sp_world world = {0};
    sp_diags_init(&diags);
    sp_arena_init(&arena, 1 << 20);
    if (sp_policy_compile(&source, 1, &world, &diags, &policy) ||
        sp_scope_freeze(sp_policy_scope(policy, 0), NULL, 0, &scope, &err) ||
        sp_matcher_new(scope, &matcher)) {
        bench_die("policy", diags.first ? diags.first->message : err.text);
    }
    for (size_t i = 0; i < N_REQUESTS; i++) {
        make_request(&arena, &samples[i], &requests[i]);
        if (by_matcher(matcher, &requests[i]) != samples[i].allowed ||
            by_hand(&requests[i]) != samples[i].allowed) {
            bench_die(samples[i].url, "is judged wrongly");
        }
    }
    (void)printf("{\"decision_ns\":%.1f,\"by_hand_ns\":%.1f,\"parse_ns\":%.1f}\n",
                 best_ns(by_matcher, matcher, requests),
                 best_ns(by_hand_in_turn, NULL, requests), best_parse_ns());
    sp_matcher_free(matcher);
    sp_scope_free(scope);
    sp_policy_free(policy);
    sp_diags_done(&diags);
    sp_arena_done(&arena);
    return 0;
}
