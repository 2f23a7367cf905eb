/* A request of which a part is hidden, as an audit records it, against the whole of it: a
 * certain verdict is the whole request's, whatever was hidden; with nothing hidden it is always
 * certain.
 *
 * test_partial_laws [SEED [SCOPES]]: the seed is printed, so that a failure can be repeated. */
#include "gen.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
/* after those four */
#include <cmocka.h>

enum { PER_SCOPE = 60 };

static uint64_t seed, scopes = 1500;

struct tally {
    unsigned n, certain, allowed, depends;
};

/* Values become "?", or half of the parameters disappear. */
static void hide_query(struct sp_arena *arena, struct sp_request *request, unsigned unknown)
{
    size_t n = request->url.n_query;
    struct sp_param *params = sp_arena_array(arena, n + 1, sizeof *params);
    struct sp_value *tree = sp_arena_alloc(arena, sizeof *tree);
    assert_non_null(params);
    assert_non_null(tree);
    n = unknown & SP_UNKNOWN_PARAMS ? n / 2 : n;
    for (size_t i = 0; i < n; i++) {
        params[i] = request->url.query[i];
        params[i].value = unknown & SP_UNKNOWN_QUERY ? SP_TEXT("?") : params[i].value;
    }
    assert_int_equal(sp_form_tree(arena, params, n, tree), SP_OK);
    request->url.query = params;
    request->url.n_query = n;
    request->query_value = tree;
}

static void look_at(struct gen *gen, const struct sp_scope *scope, struct sp_arena *arena,
                    const struct sp_request *request, struct tally *tally)
{
    struct sp_request hidden = *request;
    struct sp_verdict verdict;
    struct sp_partial partial;
    struct sp_buf depends;
    unsigned unknown = gen_below(gen, 16);
    unknown |= unknown & SP_UNKNOWN_PARAMS ? SP_UNKNOWN_QUERY : 0;
    if (request->body_kind == SP_BODY_NONE) { /* that there is none is known */
        unknown &= ~(unsigned)SP_UNKNOWN_BODY;
    }
    if (unknown & SP_UNKNOWN_BODY) {
        hidden.body_kind = SP_BODY_UNREAD;
        hidden.body_value = NULL;
    }
    if (unknown & (SP_UNKNOWN_QUERY | SP_UNKNOWN_PARAMS)) {
        hide_query(arena, &hidden, unknown);
    }
    if (unknown & SP_UNKNOWN_HEADERS) {
        hidden.headers = NULL;
        hidden.n_headers = 0;
    }
    sp_buf_init(&depends, 1 << 16);
    sp_scope_match(scope, request, &verdict);
    sp_scope_match_partial(scope, &hidden, unknown, &depends, &partial);
    tally->n++;
    tally->depends += partial.verdict == SP_PARTLY_DEPENDS;
    if (partial.verdict == SP_PARTLY_DEPENDS) {
        assert_true(unknown != 0);
        assert_true(depends.len > 0);
    } else {
        tally->certain++;
        tally->allowed += verdict.allowed;
        assert_int_equal(depends.len, 0);
        assert_int_equal(partial.verdict == SP_PARTLY_ALLOWED, verdict.allowed);
    }
    sp_buf_done(&depends);
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
        if (gen_chance(gen, 30)) {
            gen_edit(gen, &made);
        }
        sp_arena_reset(&arena);
        gen_build(&made, &arena, &request);
        look_at(gen, sp_policy_scope(policy, 0), &arena, &request, tally);
    }
    sp_policy_free(policy);
    sp_diags_done(&diags);
    sp_buf_done(&text);
    sp_arena_done(&arena);
}

static void a_certain_verdict_is_that_of_the_whole_request(void **state)
{
    struct gen gen;
    struct tally tally = {0, 0, 0, 0};
    (void)state;
    gen_seed(&gen, seed);
    for (uint64_t i = 0; i < scopes; i++) {
        one_scope(&gen, &tally);
    }
    print_message("%u requests: %u certain (%u of them allowed), %u depend\n", tally.n,
                  tally.certain, tally.allowed, tally.depends);
    assert_true(tally.allowed > tally.n / 20);
    assert_true(tally.depends > tally.n / 20);
    assert_true(tally.certain > tally.n / 4);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certain_verdict_is_that_of_the_whole_request),
    };
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
    scopes = argc > 2 ? strtoull(argv[2], NULL, 10) : scopes;
    print_message("seed %" PRIu64 "\n", seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
