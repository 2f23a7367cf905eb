/* T63: inclusion against enumeration. For 10,000 random pairs of scopes, both ways, what
 * sp_scope_compare says is what a walk over the pair's whole universe finds: proved where no
 * request in it is allowed by one and refused by the other, refuted where one is; and each
 * counterexample is one to the matcher and to the interpreter, and none has fewer segments.
 *
 * test_inclusion_universe [SEED [PAIRS]]: the seed is printed, so that a failure can be
 * repeated. */
#include "sanitized.h"
#include "universe.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
/* after those four */
#include <cmocka.h>

static uint64_t seed;
/* An optimised build walks the whole; a slower one sees fewer, each as thoroughly. */
#if SANITIZED
static unsigned long n_pairs = 150;
#elif defined __OPTIMIZE__
static unsigned long n_pairs = 10000;
#else
static unsigned long n_pairs = 1000;
#endif

static const unsigned methods[U_METHODS] = {SP_METHOD_GET, SP_METHOD_POST, SP_METHOD_PUT,
                                            SP_METHOD_DELETE, SP_METHOD_HEAD};

struct side {
    struct u_scope description;
    struct sp_buf text;
    struct sp_policy *policy;
    const struct sp_scope *scope;
    struct sp_matcher *matcher;
};

struct pair {
    struct u_theme theme;
    struct side sides[2];
    struct universe universe;
    struct sp_arena arena;
    bool found[2]; /* sides[i] allows what the other refuses */
    unsigned segments[2];
    uint64_t requests;
};

struct counts {
    unsigned long proved, refuted, hard, conditional;
    uint64_t requests;
};

/* ---- pairs ----------------------------------------------------------------------------------
 */

static void side_done(struct side *side)
{
    sp_matcher_free(side->matcher);
    sp_policy_free(side->policy);
    side->matcher = NULL;
    side->policy = NULL;
}

/* False where the compiler says that its author cannot have meant it. */
static bool side_make(const struct u_theme *theme, struct side *side)
{
    struct sp_diags diags;
    sp_buf_reset(&side->text);
    u_text(theme, &side->description, &side->text);
    struct sp_source source = {"generated", sp_buf_text(&side->text)};
    sp_diags_init(&diags);
    bool good = sp_policy_compile(&source, 1, NULL, &diags, &side->policy) == SP_OK;
    sp_diags_done(&diags);
    if (good) {
        side->scope = sp_policy_scope(side->policy, 0);
        assert_int_equal(sp_matcher_new(side->scope, &side->matcher), SP_OK);
    }
    return good;
}

static bool pair_draw(struct gen *gen, struct pair *p)
{
    u_theme(gen, &p->theme);
    u_scope(gen, &p->theme, &p->sides[0].description);
    if (gen_chance(gen, 15)) {
        u_scope(gen, &p->theme, &p->sides[1].description);
    } else {
        p->sides[1].description = p->sides[0].description;
        for (unsigned edits = 1 + gen_below(gen, 3); edits > 0; edits--) {
            u_edit(gen, &p->theme, &p->sides[1].description);
        }
    }
    return side_make(&p->theme, &p->sides[0]) && side_make(&p->theme, &p->sides[1]);
}

static void pair_show(const struct pair *p, const struct sp_request *request)
{
    struct sp_buf shown;
    sp_buf_init(&shown, 1 << 20);
    if (request) {
        sp_witness_print(request, &shown);
    }
    print_error("seed %" PRIu64 "\n%s%s\n%.*s\n", seed, p->sides[0].text.ptr,
                p->sides[1].text.ptr, (int)shown.len, shown.ptr ? shown.ptr : "");
    sp_buf_done(&shown);
}

/* ---- enumeration ----------------------------------------------------------------------------
 */

static bool allows(const struct side *side, const struct sp_request *request)
{
    struct sp_match match;
    sp_matcher_decide(side->matcher, request, &match);
    return match.allowed;
}

static void look_at(struct pair *p, const struct sp_request *request)
{
    bool a = allows(&p->sides[0], request), b = allows(&p->sides[1], request);
    unsigned way = b && !a;
    p->requests++;
    if (a != b && !p->found[way]) {
        p->found[way] = true;
        p->segments[way] = (unsigned)request->url.n_segments;
    }
}

/* Whether some rule with a condition has this method and may have a path of this length: else,
 * what stands beside the path says nothing. */
static bool has_condition_on(const struct pair *p, unsigned method, size_t n)
{
    for (unsigned s = 0; s < 2; s++) {
        for (unsigned i = 0; i < p->sides[s].description.n_rules; i++) {
            const struct u_rule *rule = &p->sides[s].description.rules[i];
            unsigned last = rule->n_segments - 1;
            bool rest = rule->n_segments > 0 && rule->segments[last].kind == U_REST;
            if (rule->n_atoms > 0 && (!rule->methods || rule->methods >> method & 1) &&
                (rest || n == rule->n_segments || p->theme.segments[0].kind == U_SLASH)) {
                return true;
            }
        }
    }
    return false;
}

/* One path and method with all that may stand beside them. */
static void look_at_variants(struct pair *p, struct sp_request *request, unsigned method)
{
    bool all = p->theme.n_fields > 0 && has_condition_on(p, method, request->url.n_segments);
    for (size_t i = 0; i < p->universe.n_variants && !(p->found[0] && p->found[1]); i++) {
        const struct u_variant *v = &p->universe.variants[i];
        request->body_kind = v->kind;
        request->body_value = v->body;
        request->query_value = v->query_value;
        request->url.query = v->query;
        request->url.n_query = v->n_query;
        request->headers = v->headers;
        request->n_headers = v->n_headers;
        look_at(p, request);
        if (!all) {
            break;
        }
    }
}

static void look_at_paths(struct pair *p, unsigned n)
{
    struct sp_segment segments[U_DEPTH];
    struct sp_request request = {
        .url = {.https = true, .host = SP_TEXT("h.test"), .port = 443}};
    uint64_t n_paths = 1;
    for (unsigned i = 0; i < n; i++) {
        n_paths *= p->universe.n_alphabet;
    }
    request.url.segments = segments;
    request.url.n_segments = n;
    for (uint64_t path = 0; path < n_paths; path++) {
        uint64_t rest = path;
        for (unsigned i = 0; i < n; i++, rest /= p->universe.n_alphabet) {
            segments[i] = p->universe.alphabet[rest % p->universe.n_alphabet];
        }
        for (unsigned k = 0; k < U_METHODS * (n > 0 ? 2u : 1u); k++) {
            if (p->found[0] && p->found[1]) {
                return;
            }
            request.method = methods[k % U_METHODS];
            request.url.trailing_slash = k >= U_METHODS;
            look_at_variants(p, &request, k % U_METHODS);
        }
    }
}

/* By the number of segments, so that the first that is found has the fewest. */
static void enumerate(struct pair *p)
{
    bool folds = false;
    for (unsigned s = 0; s < 2; s++) {
        for (unsigned i = 0; i < p->sides[s].description.n_rules; i++) {
            folds = folds || p->sides[s].description.rules[i].denies;
        }
    }
    sp_arena_reset(&p->arena);
    universe_make(&p->theme, folds, &p->arena, &p->universe);
    for (unsigned n = 0; n <= U_DEPTH; n++) {
        look_at_paths(p, n);
    }
}

/* ---- the two beside each other --------------------------------------------------------------
 */

static void check_witness(const struct pair *p, const struct side *outer,
                          const struct side *inner, unsigned way,
                          const struct sp_request *request)
{
    struct sp_verdict by_inner, by_outer;
    sp_scope_match(inner->scope, request, &by_inner);
    sp_scope_match(outer->scope, request, &by_outer);
    bool confirmed = by_inner.allowed && !by_outer.allowed && allows(inner, request) &&
                     !allows(outer, request);
    if (!confirmed || !p->found[way] || request->url.n_segments != p->segments[way]) {
        pair_show(p, request);
        fail_msg("%s", !confirmed       ? "the counterexample is none"
                       : !p->found[way] ? "the universe holds no counterexample"
                                        : "the counterexample is not a shortest one");
    }
}

/* sides[way] within the other. */
static void check(const struct pair *p, unsigned way, struct counts *counts)
{
    const struct side *inner = &p->sides[way], *outer = &p->sides[!way];
    struct sp_witness witness;
    struct sp_error why = {""};
    switch (sp_scope_compare(outer->scope, inner->scope, false, &witness, &why)) {
    case SP_INCLUDED:
        counts->proved++;
        if (p->found[way]) {
            pair_show(p, NULL);
            fail_msg("proved, and there is a counterexample (way %u)", way);
        }
        break;
    case SP_NOT_INCLUDED:
        counts->refuted++;
        if (!witness.found) {
            pair_show(p, NULL);
            fail_msg("refuted without a request: %s", why.text);
        }
        check_witness(p, outer, inner, way, &witness.request);
        sp_witness_done(&witness);
        break;
    case SP_TOO_HARD:
        counts->hard++;
        break;
    }
}

static void T63_inclusion_agrees_with_enumeration(void **state)
{
    static struct pair pair;
    struct counts counts = {.proved = 0};
    struct gen gen;
    (void)state;
    gen_seed(&gen, seed);
    sp_arena_init(&pair.arena, 256 << 20);
    sp_buf_init(&pair.sides[0].text, 1 << 16);
    sp_buf_init(&pair.sides[1].text, 1 << 16);
    for (unsigned long done = 0; done < n_pairs;) {
        if (pair_draw(&gen, &pair)) {
            pair.found[0] = pair.found[1] = false;
            enumerate(&pair);
            check(&pair, 0, &counts);
            check(&pair, 1, &counts);
            counts.conditional += pair.theme.n_fields > 0;
            done++;
        }
        side_done(&pair.sides[0]);
        side_done(&pair.sides[1]);
    }
    print_message("seed %" PRIu64 ": %lu pairs, %lu with fields; %" PRIu64
                  " requests; both ways: %lu proved, %lu refuted, %lu too hard\n",
                  seed, n_pairs, counts.conditional, pair.requests, counts.proved,
                  counts.refuted, counts.hard);
    /* Both answers are common, and few questions are left open. */
    assert_true(counts.proved > n_pairs / 4);
    assert_true(counts.refuted > n_pairs / 4);
    assert_true(counts.hard < n_pairs / 10);
    sp_arena_done(&pair.arena);
    sp_buf_done(&pair.sides[0].text);
    sp_buf_done(&pair.sides[1].text);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T63_inclusion_agrees_with_enumeration),
    };
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    seed =
        argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)now.tv_sec ^ (uint64_t)now.tv_nsec;
    n_pairs = argc > 2 ? strtoul(argv[2], NULL, 10) : n_pairs;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
