/* T21: a million random (scope, request) pairs, judged by the interpreter, by the automaton, by
 * the bit-parallel matcher, and by the evaluator of gen_oracle.c. They must agree on each; so
 * must the scope that is printed and parsed again.
 *
 * test_match_oracle [SEED [PAIRS]]: the seed is printed, so that a failure can be repeated. */
#include "automaton/automaton.h"
#include "gen.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
/* after those four */
#include <cmocka.h>

enum { PER_SCOPE = 40, TRIES = 12 };

static uint64_t seed, pairs = 1000000;

struct counts {
    uint64_t pairs, allows, near, refused_by_deny;
};

struct judge {
    struct gen_scope description;
    struct sp_buf text;
    struct sp_policy *policy;
    const struct sp_scope *scope;
    struct sp_scope *parsed;
    struct sp_matcher *automaton, *bits;
    struct sp_arena arena;
};

static void judge_start(struct judge *j, struct gen *gen)
{
    struct sp_diags diags;
    sp_diags_init(&diags);
    gen_scope(gen, &j->description);
    sp_buf_reset(&j->text);
    gen_scope_text(&j->description, &j->text);
    struct sp_source source = {"generated", sp_buf_text(&j->text)};
    j->policy = NULL;
    if (sp_policy_compile(&source, 1, NULL, &diags, &j->policy)) {
        struct sp_buf shown;
        sp_buf_init(&shown, 1 << 20);
        sp_diags_print(&diags, &source, false, &shown);
        print_error("%s", sp_buf_text(&shown).ptr);
        sp_buf_done(&shown);
    }
    assert_non_null(j->policy);
    sp_diags_done(&diags);
    j->scope = sp_policy_scope(j->policy, 0);
    assert_int_equal(sp_scope_freeze(j->scope, NULL, 0, &j->parsed, NULL), SP_OK);
    assert_int_equal(sp_matcher_new(j->scope, &j->automaton), SP_OK);
    assert_int_equal(matcher_new_bounded(j->scope, 0, &j->bits), SP_OK);
    assert_false(sp_matcher_is_bit_parallel(j->automaton));
    assert_true(sp_matcher_is_bit_parallel(j->bits));
}

static void judge_stop(struct judge *j)
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

/* The verdict, once all agree on it. */
static bool verdict_on(struct judge *j, const struct gen_request *described)
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
        print_error("seed %" PRIu64 ", expected %s%s%s\n%s%s", seed,
                    expected ? "allow" : "deny", automaton ? "" : ", not so the automaton",
                    bits ? "" : ", not so the bits", sp_buf_text(&j->text).ptr,
                    sp_buf_text(&shown).ptr);
        sp_buf_done(&shown);
        fail();
    }
    return expected;
}

/* Half of the requests begin with one that is allowed, where one is found: the next is one edit
 * away from it. The rest are random. */
static void judge_scope(struct judge *j, struct gen *gen, struct counts *counts)
{
    struct gen_request request;
    for (unsigned i = 0; i < PER_SCOPE; i++) {
        bool allowed = false;
        for (unsigned k = 0; k < TRIES && !allowed; k++) {
            gen_request_for(gen, &j->description, &request);
            allowed = gen_allows(&j->description, &request);
        }
        (void)verdict_on(j, &request);
        counts->pairs++;
        counts->allows += allowed;
        if (allowed) {
            gen_edit(gen, &request);
            counts->near++;
        } else {
            gen_request(gen, &request);
        }
        counts->allows += verdict_on(j, &request);
        counts->pairs++;
    }
}

static void T21_matcher_and_oracle_agree_on_a_million_pairs(void **state)
{
    (void)state;
    struct gen gen;
    struct counts counts = {.pairs = 0};
    struct judge j = {.policy = NULL};
    sp_buf_init(&j.text, 1 << 20);
    sp_arena_init(&j.arena, 1 << 20);
    gen_seed(&gen, seed);
    while (counts.pairs < pairs) {
        judge_start(&j, &gen);
        judge_scope(&j, &gen, &counts);
        judge_stop(&j);
    }
    sp_arena_done(&j.arena);
    sp_buf_done(&j.text);
    print_message("seed %" PRIu64 ": %" PRIu64 " pairs, %" PRIu64 " allowed, %" PRIu64
                  " one edit away from an allow\n",
                  seed, counts.pairs, counts.allows, counts.near);
    assert_true(counts.allows * 4 >= counts.pairs);
    assert_true(counts.near * 4 >= counts.pairs);
}

/* The test of the test: an oracle that says yes to everything would be found out. */
static void T21_a_wrong_verdict_would_be_noticed(void **state)
{
    (void)state;
    struct gen gen;
    struct gen_scope scope;
    struct gen_request request;
    unsigned allowed = 0, refused = 0;
    gen_seed(&gen, seed);
    for (unsigned i = 0; i < 1000; i++) {
        gen_scope(&gen, &scope);
        gen_request_for(&gen, &scope, &request);
        bool verdict = gen_allows(&scope, &request);
        allowed += verdict;
        refused += !verdict;
    }
    assert_true(allowed > 100 && refused > 100);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T21_matcher_and_oracle_agree_on_a_million_pairs),
        cmocka_unit_test(T21_a_wrong_verdict_would_be_noticed),
    };
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
    pairs = argc > 2 ? strtoull(argv[2], NULL, 10) : pairs;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
