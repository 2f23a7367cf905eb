/* The nearest allowed request, of random scopes and requests that are one or two changes away
 * from an allowed one: what is shown is allowed, as a second evaluator of the printed text
 * would see it, and a request that is one field away is seldom answered with more.
 *
 * test_nearest_laws [SEED [SCOPES]]: the seed is printed, so that a failure can be repeated. */
#include "gen.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
/* after those four */
#include <cmocka.h>

enum { PER_SCOPE = 20 };

static uint64_t seed, scopes = 400;

struct tally {
    unsigned refused, found, single, changed;
};

/* The request's URL as it is printed and parsed again; the rest as it is. */
static void read_back(struct sp_arena *arena, const struct sp_request *request,
                      struct sp_request *ret_request)
{
    struct sp_buf url;
    struct sp_error err = {""};
    sp_buf_init(&url, 1 << 16);
    sp_url_print(&request->url, &url);
    assert_int_equal(sp_request_init(arena, sp_text_of(sp_method_name(request->method)),
                                     sp_buf_text(&url), ret_request, &err),
                     SP_OK);
    sp_buf_done(&url);
    ret_request->headers = request->headers;
    ret_request->n_headers = request->n_headers;
    ret_request->body_kind = request->body_kind;
    ret_request->body_value = request->body_value;
    ret_request->body_reason = request->body_reason;
}

static void look_at(const struct sp_scope *scope, const struct sp_request *request,
                    struct tally *tally)
{
    struct sp_nearest nearest;
    struct sp_verdict verdict;
    struct sp_arena arena;
    sp_scope_match(scope, request, &verdict);
    if (verdict.allowed) {
        return;
    }
    assert_int_equal(sp_scope_nearest(scope, request, &nearest), SP_OK);
    tally->refused++;
    tally->found += nearest.found;
    tally->changed += nearest.scope_change.len > 0;
    tally->single += nearest.found && nearest.n_changes == 1;
    if (nearest.found) {
        struct sp_request again;
        sp_arena_init(&arena, 4 << 20);
        assert_true(nearest.n_changes > 0);
        read_back(&arena, &nearest.request, &again);
        sp_scope_match(scope, &again, &verdict);
        assert_true(verdict.allowed);
        assert_ptr_equal(verdict.rule, nearest.rule);
        sp_arena_done(&arena);
    }
    sp_nearest_done(&nearest);
}

static void one_scope(struct gen *gen, struct tally *tally)
{
    struct gen_scope description;
    struct sp_buf text;
    struct sp_diags diags;
    struct sp_policy *policy = NULL;
    struct sp_arena arena;
    sp_diags_init(&diags);
    sp_buf_init(&text, 1 << 20);
    sp_arena_init(&arena, 64 << 20);
    gen_scope(gen, &description);
    gen_scope_text(&description, &text);
    struct sp_source source = {"generated", sp_buf_text(&text)};
    assert_int_equal(sp_policy_compile(&source, 1, NULL, &diags, &policy), SP_OK);
    for (int i = 0; i < PER_SCOPE; i++) {
        struct gen_request made;
        struct sp_request request;
        gen_request_for(gen, &description, &made);
        if (!gen_allows(&description, &made)) {
            continue;
        }
        gen_edit(gen, &made);
        sp_arena_reset(&arena);
        gen_build(&made, &arena, &request);
        look_at(sp_policy_scope(policy, 0), &request, tally);
    }
    sp_policy_free(policy);
    sp_diags_done(&diags);
    sp_buf_done(&text);
    sp_arena_done(&arena);
}

static void what_is_shown_is_allowed_and_nearly_always_something_is_found(void **state)
{
    struct gen gen;
    struct tally tally = {0, 0, 0, 0};
    (void)state;
    gen_seed(&gen, seed);
    for (uint64_t i = 0; i < scopes; i++) {
        one_scope(&gen, &tally);
    }
    print_message("%u refused; found %u, by one change %u; the scope changed %u\n",
                  tally.refused, tally.found, tally.single, tally.changed);
    assert_true(tally.refused > scopes / 2);
    assert_true(tally.found * 100ull >= tally.refused * 98ull);
    assert_true(tally.single * 100ull >= tally.refused * 80ull);
    assert_true(tally.changed * 100ull >= tally.refused * 95ull);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_shown_is_allowed_and_nearly_always_something_is_found),
    };
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
    scopes = argc > 2 ? strtoull(argv[2], NULL, 10) : scopes;
    print_message("seed %" PRIu64 "\n", seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
