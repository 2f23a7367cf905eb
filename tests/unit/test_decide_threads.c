/* One compiled matcher, decided by several threads at once, as workers of a host do.
 * ThreadSanitizer sees whether any of them writes what another one reads. */
#include "policy_kit.h"

#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 4, ROUNDS = 300 };

struct case_of {
    const char *method, *url, *form; /* form NULL: no body */
    enum sp_verdict_reason reason;
};

#define H "https://h.test"
static const struct case_of cases[] = {
    {"GET", H "/a/five", NULL, SP_VERDICT_ALLOWED},
    {"GET", H "/a/7", NULL, SP_VERDICT_ALLOWED},
    {"GET", H "/a/six", NULL, SP_VERDICT_PATH},
    {"PUT", H "/a/five", NULL, SP_VERDICT_METHOD},
    {"POST", H "/pay", "n=5&why=x", SP_VERDICT_ALLOWED},
    {"POST", H "/pay", "n=6&why=x", SP_VERDICT_CONDITION},
    {"POST", H "/pay", "n=5&n=6", SP_VERDICT_UNREADABLE},
    {"GET", H "/d/SECRET/x", NULL, SP_VERDICT_DENY_RULE},
    {"GET", H "/d/y%2Fx", NULL, SP_VERDICT_PATH},
    {"GET", "https://i.test/", NULL, SP_VERDICT_HOST},
};
enum { N_CASES = sizeof cases / sizeof *cases };

struct deciding {
    const struct sp_scope *scope;
    const struct sp_matcher *matcher;
    const struct sp_request *requests;
    atomic_int ready, wrong;
};

static bool is_right(const struct deciding *d, size_t i)
{
    const struct sp_request *request = &d->requests[i];
    struct sp_match match;
    struct sp_verdict words, naive;
    sp_matcher_decide(d->matcher, request, &match);
    sp_match_explain(&match, request, &words);
    sp_scope_match(d->scope, request, &naive);
    return match.reason == cases[i].reason && naive.reason == cases[i].reason &&
           match.rule == naive.rule && strcmp(words.detail, naive.detail) == 0 &&
           sp_matcher_wants_body(d->matcher, request) == (cases[i].form != NULL);
}

static void *decide(void *user)
{
    struct deciding *d = user;
    atomic_fetch_add(&d->ready, 1);
    while (atomic_load(&d->ready) < THREADS) {
        ; /* all begin together */
    }
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < N_CASES; i++) {
            atomic_fetch_add(&d->wrong, !is_right(d, i));
        }
    }
    return NULL;
}

static void threads_agree(struct kit *kit, const char *rules)
{
    struct sp_request requests[N_CASES];
    struct sp_matcher *matcher = NULL;
    pthread_t threads[THREADS];
    const struct sp_scope *scope = kit_scope(kit, rules);
    for (size_t i = 0; i < N_CASES; i++) {
        requests[i] = cases[i].form ? kit_form(kit, cases[i].url, cases[i].form)
                                    : kit_request(kit, cases[i].method, cases[i].url);
    }
    assert_int_equal(sp_matcher_new(scope, &matcher), SP_OK);
    struct deciding d = {.scope = scope, .matcher = matcher, .requests = requests};
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, decide, &d), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&d.wrong), 0);
    sp_matcher_free(matcher);
}

#define RULES                                                                                  \
    "@lit allow GET " H "/a/five\n@int allow GET " H "/a/{n:int}\n"                            \
    "@pay allow POST " H "/pay where body.n in 1..5 and not body.why = \"no\"\n"               \
    "@all allow GET " H "/d/**\n@no deny * " H "/d/Secret/x*\n"

static void T22_threads_decide_at_once_by_one_automaton(void **state)
{
    threads_agree(*state, RULES);
}

/* Literals that cross grow out of proportion: these are matched by bits. */
static void T22_threads_decide_at_once_by_one_set_of_bits(void **state)
{
    struct sp_buf rules;
    sp_buf_init(&rules, 1 << 20);
    sp_buf_add_str(&rules, RULES);
    for (unsigned i = 0; i < 200; i++) {
        sp_buf_add_str(&rules, "allow GET " H "/x");
        for (unsigned k = 0; k < 16; k++) {
            sp_buf_addf(&rules, k == i % 16 ? "/l%u" : "/*", i / 16);
        }
        sp_buf_add_str(&rules, "/**\n");
    }
    threads_agree(*state, rules.ptr);
    sp_buf_done(&rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(T22_threads_decide_at_once_by_one_automaton),
        kit_test(T22_threads_decide_at_once_by_one_set_of_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
