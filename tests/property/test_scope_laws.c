/* Laws of the language, on random scopes:
 * - T62: an argument is data. Whatever its bytes, the frozen scope has the same rules, matches
 *   that value and no other, and its text parses back to itself;
 * - inclusion is sound: what is said to lie inside never allows more.
 *
 * test_scope_laws [SEED]: the seed is printed. */
#include "gen.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
/* after those four */
#include <cmocka.h>

static uint64_t seed;

static struct sp_policy *compile(struct sp_text text)
{
    struct sp_source source = {"law", text};
    struct sp_diags diags;
    struct sp_policy *policy = NULL;
    sp_diags_init(&diags);
    if (sp_policy_compile(&source, 1, NULL, &diags, &policy)) {
        print_error("%.*s\n%s\n", (int)text.len, text.ptr,
                    diags.first ? diags.first->message : "out of memory");
    }
    sp_diags_done(&diags);
    assert_non_null(policy);
    return policy;
}

/* ---- T62 ----------------------------------------------------------------------------------
 */

/* A few bytes that mean something to some parser. */
static size_t nasty_value(struct gen *gen, char value[32])
{
    static const char *const pieces[] = {
        "*",     "**",    "/", "\"",   "\\",   "\n",       " ",
        "#",     "{x}",   "}", "..",   ".",    "%2F",      "%",
        "@",     "use",   "x", "a\tb", "\x01", "\xc3\xa9", "?",
        "\r\n",  "allow", ",", "(",    "=",    "\x7f",     "\xe2\x80\xae",
        "where", ";"};
    size_t len = 0;
    for (unsigned n = 1 + gen_below(gen, 3); n > 0; n--) {
        const char *piece = pieces[gen_below(gen, sizeof pieces / sizeof *pieces)];
        memcpy(value + len, piece, strlen(piece));
        len += strlen(piece);
    }
    return len;
}

static bool allows(const struct sp_scope *scope, struct sp_arena *arena, struct sp_text path,
                   struct sp_text field)
{
    struct sp_request request;
    struct sp_verdict verdict;
    struct sp_buf url;
    struct sp_member member = {SP_TEXT("f"), {.kind = SP_VALUE_STRING}};
    struct sp_value body = {.kind = SP_VALUE_OBJECT};
    sp_buf_init(&url, 8192);
    sp_buf_add_str(&url, "https://h.test/");
    for (size_t i = 0; i < path.len; i++) {
        sp_buf_addf(&url, "%%%02x", (unsigned char)path.ptr[i]);
    }
    sp_buf_add_str(&url, "/end");
    sp_status status =
        sp_request_init(arena, SP_TEXT("POST"), sp_buf_text(&url), &request, NULL);
    member.value.as.text = field;
    body.as.object.items = &member;
    body.as.object.n = 1;
    verdict.allowed = false;
    if (status == SP_OK) {
        request.body_kind = SP_BODY_JSON;
        request.body_value = &body;
        sp_scope_match(scope, &request, &verdict);
    }
    sp_buf_done(&url);
    return verdict.allowed;
}

static void T62_arguments_are_data_and_never_syntax(void **state)
{
    (void)state;
    struct sp_policy *policy =
        compile(SP_TEXT("sallyport 1\nscope s(p, q) {\n key k\n ttl 1h\n"
                        " allow POST https://h.test/{p}/end where body.f in {\"-\", q}\n}\n"));
    const struct sp_scope *scope = sp_policy_scope(policy, 0);
    struct gen gen;
    struct sp_arena arena;
    unsigned frozen_ones = 0;
    sp_arena_init(&arena, 1 << 20);
    gen_seed(&gen, seed);
    for (unsigned i = 0; i < 20000; i++) {
        char p[32], q[32];
        struct sp_arg args[] = {{SP_TEXT("p"), {p, nasty_value(&gen, p)}},
                                {SP_TEXT("q"), {q, nasty_value(&gen, q)}}};
        struct sp_scope *frozen = NULL, *again = NULL;
        struct sp_error err = {""};
        struct sp_buf text, text_again;
        if (sp_scope_freeze(scope, args, 2, &frozen, &err)) {
            assert_true(err.text[0] != '\0');
            continue;
        }
        frozen_ones++;
        sp_buf_init(&text, 1 << 16);
        sp_buf_init(&text_again, 1 << 16);
        sp_scope_print(frozen, &text);
        assert_int_equal(sp_scope_parse(sp_buf_text(&text), &again, &err), SP_OK);
        sp_scope_print(again, &text_again);
        assert_string_equal(text.ptr, text_again.ptr);
        assert_int_equal(sp_scope_n_rules(again), 1);
        assert_int_equal(sp_scope_n_keys(again), 1);
        assert_true(allows(frozen, &arena, args[0].value, args[1].value));
        assert_true(allows(again, &arena, args[0].value, args[1].value));
        assert_true(allows(again, &arena, args[0].value, SP_TEXT("-")));
        assert_false(allows(frozen, &arena, SP_TEXT("other"), args[1].value));
        assert_false(allows(again, &arena, args[0].value, SP_TEXT("q")));
        sp_arena_reset(&arena);
        sp_scope_free(again);
        sp_scope_free(frozen);
        sp_buf_done(&text);
        sp_buf_done(&text_again);
    }
    print_message("seed %" PRIu64 ": %u of 20000 pairs of arguments were taken\n", seed,
                  frozen_ones);
    assert_true(frozen_ones > 2000);
    sp_arena_done(&arena);
    sp_policy_free(policy);
}

/* ---- inclusion ----------------------------------------------------------------------------
 */

static struct sp_scope *frozen_of(const struct gen_scope *description)
{
    struct sp_buf text;
    struct sp_scope *frozen = NULL;
    sp_buf_init(&text, 1 << 20);
    gen_scope_text(description, &text);
    struct sp_policy *policy = compile(sp_buf_text(&text));
    assert_int_equal(sp_scope_freeze(sp_policy_scope(policy, 0), NULL, 0, &frozen, NULL),
                     SP_OK);
    sp_policy_free(policy);
    sp_buf_done(&text);
    return frozen;
}

static bool allowed_by(const struct sp_scope *scope, const struct sp_request *request)
{
    struct sp_verdict verdict;
    sp_scope_match(scope, request, &verdict);
    return verdict.allowed;
}

/* No request that inner allows may be refused by outer. */
static unsigned look_for_counterexample(struct gen *gen, const struct sp_scope *outer,
                                        const struct sp_scope *inner,
                                        const struct gen_scope *description, bool proved)
{
    struct sp_arena arena;
    struct gen_request described;
    struct sp_request request;
    unsigned allowed = 0;
    sp_arena_init(&arena, 1 << 20);
    for (unsigned i = 0; i < 60; i++) {
        gen_request_for(gen, description, &described);
        for (unsigned edits = gen_below(gen, 3); edits > 0; edits--) {
            gen_edit(gen, &described);
        }
        sp_arena_reset(&arena);
        gen_build(&described, &arena, &request);
        if (allowed_by(inner, &request)) {
            allowed++;
            if (proved && !allowed_by(outer, &request)) {
                struct sp_buf shown;
                sp_buf_init(&shown, 1 << 20);
                sp_scope_print(outer, &shown);
                sp_scope_print(inner, &shown);
                sp_url_print(&request.url, &shown);
                print_error("seed %" PRIu64 "\n%s\n", seed, sp_buf_text(&shown).ptr);
                sp_buf_done(&shown);
                fail();
            }
        }
    }
    sp_arena_done(&arena);
    return allowed;
}

/* What is refuted is refuted by a request that both were asked about; few pairs are too hard.
 */
static void inclusion_never_lets_more_through(void **state)
{
    (void)state;
    struct gen gen;
    unsigned proved = 0, refuted = 0, hard = 0, tried = 0;
    gen_seed(&gen, seed + 1);
    for (unsigned i = 0; i < 10000; i++) {
        struct gen_scope outer, inner;
        struct sp_error why = {""};
        struct sp_witness witness;
        gen_scope(&gen, &outer);
        inner = outer;
        for (unsigned edits = gen_below(&gen, 4); edits > 0; edits--) {
            gen_narrow(&gen, &inner);
        }
        bool widens = gen_chance(&gen, 50);
        struct sp_scope *a = frozen_of(widens ? &inner : &outer);
        struct sp_scope *b = frozen_of(widens ? &outer : &inner);
        enum sp_inclusion result = sp_scope_compare(a, b, false, &witness, &why);
        if (result == SP_NOT_INCLUDED) {
            refuted++;
            assert_true(witness.found && why.text[0] != '\0');
            assert_true(allowed_by(b, &witness.request));
            assert_false(allowed_by(a, &witness.request));
            sp_witness_done(&witness);
        } else {
            proved += result == SP_INCLUDED;
            hard += result == SP_TOO_HARD;
            tried += look_for_counterexample(&gen, a, b, widens ? &outer : &inner,
                                             result == SP_INCLUDED);
        }
        sp_scope_free(a);
        sp_scope_free(b);
    }
    print_message("seed %" PRIu64 ": %u proved, %u refuted, %u too hard; %u requests\n", seed,
                  proved, refuted, hard, tried);
    assert_true(proved > 1000 && refuted > 1000 && hard < 1000 && tried > 10000);
}

/* A scope lies inside itself: the proof is good for what people do all day. */
static void a_scope_lies_inside_itself(void **state)
{
    (void)state;
    struct gen gen;
    gen_seed(&gen, seed + 2);
    for (unsigned i = 0; i < 2000; i++) {
        struct gen_scope description;
        struct sp_error why = {""};
        gen_scope(&gen, &description);
        struct sp_scope *a = frozen_of(&description), *b = frozen_of(&description);
        if (sp_scope_includes(a, b, &why) != SP_INCLUDED) {
            print_error("seed %" PRIu64 ": %s\n", seed, why.text);
            fail();
        }
        sp_scope_free(a);
        sp_scope_free(b);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T62_arguments_are_data_and_never_syntax),
        cmocka_unit_test(inclusion_never_lets_more_through),
        cmocka_unit_test(a_scope_lies_inside_itself),
    };
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
