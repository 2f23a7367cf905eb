/* T21: a million random (scope, request) pairs, judged by the interpreter, by the automaton, by
 * the bit-parallel matcher, and by the evaluator of gen_oracle.c. They must agree on each; so
 * must the scope that is printed and parsed again.
 *
 * test_match_oracle [SEED [PAIRS]]: the seed is printed, so that a failure can be repeated. */
#include "judge.h"
#include "sanitized.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
/* after those four */
#include <cmocka.h>

enum { PER_SCOPE = 40, TRIES = 12 };

/* The release build judges the million; sanitizers look at how, not at what. */
static uint64_t seed, pairs = SANITIZED ? 100000 : 1000000;

struct counts {
    uint64_t pairs, allows, near, refused_by_deny;
};

static bool verdict_on(struct judge *j, const struct gen_request *described)
{
    bool allows = false;
    if (!judge_agrees(j, described, &allows)) {
        fail_msg("seed %" PRIu64, seed);
    }
    return allows;
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
    struct judge j;
    judge_init(&j);
    gen_seed(&gen, seed);
    while (counts.pairs < pairs) {
        assert_true(judge_start(&j, &gen));
        judge_scope(&j, &gen, &counts);
        judge_stop(&j);
    }
    judge_done(&j);
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
