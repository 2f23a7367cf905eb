/* Inclusion, pair by pair: what is proved, and what must not be. That a proof is right, random
 * requests show (property/test_scope_laws.c). */
#include "policy_kit.h"

#include "match/match.h"

#include <stdio.h>

/* ---- steps ---------------------------------------------------------------------------------
 * The linker sends what the library does again and again here: a rule against a rule, a segment
 * against one. How many there were says what an answer cost, on every machine and in every
 * build the same. */

static size_t looks;

bool __real_pattern_covers(const struct sp_rule *outer, const struct sp_rule *inner);
bool __wrap_pattern_covers(const struct sp_rule *outer, const struct sp_rule *inner);
bool __wrap_pattern_covers(const struct sp_rule *outer, const struct sp_rule *inner)
{
    looks++;
    return __real_pattern_covers(outer, inner);
}

bool __real_pattern_overlaps(const struct sp_rule *a, const struct sp_rule *b);
bool __wrap_pattern_overlaps(const struct sp_rule *a, const struct sp_rule *b);
bool __wrap_pattern_overlaps(const struct sp_rule *a, const struct sp_rule *b)
{
    looks++;
    return __real_pattern_overlaps(a, b);
}

bool __real_match_segment(const struct segment *p, const struct sp_segment *s, bool denies);
bool __wrap_match_segment(const struct segment *p, const struct sp_segment *s, bool denies);
bool __wrap_match_segment(const struct segment *p, const struct sp_segment *s, bool denies)
{
    looks++;
    return __real_match_segment(p, s, denies);
}

/* A scope from what stands between its braces. */
static struct sp_scope *scope_of(struct kit *kit, const char *inside)
{
    struct sp_scope *frozen = NULL;
    struct sp_buf text;
    sp_buf_init(&text, SP_SOURCE_MAX_BYTES);
    sp_buf_addf(&text, "sallyport 1\nscope s {\n  key k\n  %s\n}\n", inside);
    if (kit_compile_in(kit, NULL, sp_buf_text(&text))) {
        print_error("%s\n%s\n", text.ptr, kit->diags.first->message);
    }
    assert_non_null(kit->policy);
    assert_int_equal(
        sp_scope_freeze(sp_policy_scope(kit->policy, 0), NULL, 0, &frozen, &kit->err), SP_OK);
    sp_buf_done(&text);
    return frozen;
}

struct pair {
    const char *outer, *inner;
    bool included;
};

static void check_pairs(struct kit *kit, const struct pair *pairs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct sp_scope *outer = scope_of(kit, pairs[i].outer);
        struct sp_scope *inner = scope_of(kit, pairs[i].inner);
        struct sp_error why = {""};
        bool included = sp_scope_includes(outer, inner, &why) == SP_INCLUDED;
        if (included != pairs[i].included) {
            print_error("outer: %s\ninner: %s\n%s\n", pairs[i].outer, pairs[i].inner, why.text);
            fail();
        }
        assert_int_equal(why.text[0] != '\0', !included);
        sp_scope_free(outer);
        sp_scope_free(inner);
    }
}
#define CHECK(pairs) check_pairs(*state, pairs, sizeof(pairs) / sizeof *(pairs))

#define H "https://h.test"

static void patterns_lie_inside_patterns(void **state)
{
    static const struct pair pairs[] = {
        {"allow GET " H "/a", "allow GET " H "/a", true},
        {"allow GET " H "/a", "allow GET " H "/A", false},
        {"allow GET " H "/a", "allow GET " H "/a/", false},
        {"allow GET " H "/*", "allow GET " H "/a", true},
        {"allow GET " H "/*", "allow GET " H "/a*", true},
        {"allow GET " H "/*", "allow GET " H "/{n:int}", true},
        {"allow GET " H "/*", "allow GET " H "/{n:slash}", false},
        {"allow GET " H "/{n:slash}", "allow GET " H "/*", true},
        {"allow GET " H "/{n:any}", "allow GET " H "/*", true},
        {"allow GET " H "/a*", "allow GET " H "/ab*", true},
        {"allow GET " H "/ab*", "allow GET " H "/a*", false},
        {"allow GET " H "/a*", "allow GET " H "/abc", true},
        {"allow GET " H "/a*", "allow GET " H "/{abc:any}", false},
        {"allow GET " H "/{n:int}", "allow GET " H "/5", true},
        {"allow GET " H "/{n:int}", "allow GET " H "/05", false},
        {"allow GET " H "/{n:int}", "allow GET " H "/-5", false},
        {"allow GET " H "/**", "allow GET " H "/a", true},
        {"allow GET " H "/**", "allow GET " H "/a/", true},
        {"allow GET " H "/**", "allow GET " H "/a/b/c/**", true},
        {"allow GET " H "/**", "allow GET " H "/a/{x:slash}", false},
        {"allow GET " H "/**", "allow GET " H "/", false},
        {"allow GET " H "/a/**", "allow GET " H "/a", false},
        {"allow GET " H "/a/**", "allow GET " H "/**", false},
        {"allow GET " H "/a/*", "allow GET " H "/a/**", false},
        {"allow GET " H "/**", "allow GET http://h.test/a", false},
        {"allow GET " H "/**", "allow GET " H ":8443/a", false},
        {"allow GET " H "/**", "allow GET https://i.test/a", false},
        {"allow {GET POST} " H "/a", "allow POST " H "/a", true},
        {"allow GET " H "/a", "allow {GET POST} " H "/a", false},
        {"allow GET " H "/a\n allow POST " H "/*", "allow {GET POST} " H "/a", true},
        {"allow GET " H "/a\n allow GET " H "/b", "allow GET " H "/b", true},
        {"allow GET " H "/a", "deny GET " H "/b", true}, /* allows nothing at all */
    };
    CHECK(pairs);
}

static void conditions_must_be_as_strict(void **state)
{
    static const struct pair pairs[] = {
        {"allow POST " H "/a where body.x in 1..9", "allow POST " H "/a where body.x in 1..9",
         true},
        {"allow POST " H "/a where body.x in 1..9", "allow POST " H "/a where body.x in 2..9",
         true},
        {"allow POST " H "/a where body.x in 1..9", "allow POST " H "/a where body.x in 0..9",
         false},
        {"allow POST " H "/a where body.x in 1..9", "allow POST " H "/a where body.x in 1..",
         false},
        {"allow POST " H "/a where body.x in 1..9", "allow POST " H "/a where body.x = 9",
         true},
        {"allow POST " H "/a where body.x in 1..9", "allow POST " H "/a where body.x = 10",
         false},
        {"allow POST " H "/a where body.x in 1..9", "allow POST " H "/a where body.x in {1, 9}",
         true},
        {"allow POST " H "/a where body.x in {1, 2}", "allow POST " H "/a where body.x in {2}",
         true},
        {"allow POST " H "/a where body.x in {1, 2}",
         "allow POST " H "/a where body.x in {2, 3}", false},
        {"allow POST " H "/a where body.x starts \"ch\"",
         "allow POST " H "/a where body.x starts \"ch_\"", true},
        {"allow POST " H "/a where body.x starts \"ch\"",
         "allow POST " H "/a where body.x = \"ch_1\"", true},
        {"allow POST " H "/a where body.x starts \"ch\"",
         "allow POST " H "/a where body.x starts \"c\"", false},
        {"allow POST " H "/a where body.x = \"ch\"",
         "allow POST " H "/a where body.x starts \"ch\"", false},
        {"allow POST " H "/a where body.x in {\"c\", \"ch\"}",
         "allow POST " H "/a where body.x starts \"ch\"", false},
        {"allow POST " H "/a where any(body.x) in {\"c\", \"ch\"}",
         "allow POST " H "/a where any(body.x) starts \"ch\"", false},
        {"allow POST " H "/a where body only {a, b}", "allow POST " H "/a where body only {a}",
         true},
        {"allow POST " H "/a where body only {a}", "allow POST " H "/a where body only {a, b}",
         false},
        {"allow POST " H "/a where body.x = 1",
         "allow POST " H "/a where body.x = 1 and body.x != 5", true},
        {"allow POST " H "/a where body.x = 1",
         "allow POST " H "/a where body.x = 1 or body.x = 2", false},
        {"allow POST " H "/a where body.x = 1", "allow POST " H "/a", false},
        {"allow POST " H "/a", "allow POST " H "/a where body.x = 1", true},
        /* reading one field more or less changes which queries may stand beside it */
        {"allow POST " H "/a where body.x = 1",
         "allow POST " H "/a where body.x = 1 and query.y = \"1\"", false},
        {"allow GET " H "/{n:int}/x where path.n = 1",
         "allow GET " H "/{m:int}/x where path.m = 1", true},
        {"allow GET " H "/{n:int}/{m:int} where path.n = 1",
         "allow GET " H "/{n:int}/{m:int} where path.m = 1", false},
        {"allow GET " H "/a where not query.x = 1", "allow GET " H "/a where not query.x = 1",
         true},
        {"allow GET " H "/a where not query.x in 1..5",
         "allow GET " H "/a where not query.x in 1..4", false},
        /* it may be there and be no text: x[]=1 */
        {"allow GET " H "/a where query.x = \"a\" or query.x != \"a\"",
         "allow GET " H "/a where has query.x", false},
    };
    CHECK(pairs);
}

static void denies_of_outer_must_not_be_lost(void **state)
{
    static const struct pair pairs[] = {
        {"allow GET " H "/**\n deny GET " H "/x", "allow GET " H "/**", false},
        {"allow GET " H "/**\n deny GET " H "/x", "allow GET " H "/**\n deny GET " H "/x",
         true},
        {"allow GET " H "/**\n deny GET " H "/x", "allow GET " H "/**\n deny * " H "/x", true},
        {"allow GET " H "/**\n deny {GET PUT} " H "/x", "allow GET " H "/**\n deny GET " H "/x",
         true},
        {"allow GET " H "/**\n deny GET " H "/x", "allow GET " H "/y", true},
        {"allow GET " H "/**\n deny PUT " H "/x", "allow GET " H "/x", true},
        /* a deny folds case, ignores a slash at the end, and looks behind %2F */
        {"allow GET " H "/**\n deny GET " H "/X", "allow GET " H "/x", false},
        {"allow GET " H "/**\n deny GET " H "/x", "allow GET " H "/x/", false},
        {"allow GET " H "/**\n deny GET " H "/Xy*", "allow GET " H "/xYz", false},
        {"allow GET " H "/a/{p:slash}\n deny GET " H "/a/b/c", "allow GET " H "/a/{p:slash}",
         false},
        {"allow GET " H "/a/{p:slash}\n deny GET " H "/b/c/d", "allow GET " H "/a/{p:slash}",
         true},
        {"allow GET " H "/**\n deny GET " H "/x where query.a = 1",
         "allow GET " H "/**\n deny GET " H "/x where query.a = 1", true},
        {"allow GET " H "/**\n deny GET " H "/x where query.a = 1",
         "allow GET " H "/**\n deny GET " H "/x where query.a = 2", false},
        {"allow GET " H "/**\n deny GET " H "/x where query.a = 1",
         "allow GET " H "/**\n deny GET " H "/x", true},
        {"allow GET " H "/**\n deny GET " H "/x",
         "allow GET " H "/**\n deny GET " H "/x where query.a = 1", false},
    };
    CHECK(pairs);
}

/* "Any other value" must be another one, whatever the scopes name. */
static void no_name_hides_the_others(void **state)
{
    static const struct pair pairs[] = {
        {"allow GET " H "/zqaaa", "allow GET " H "/*\n deny GET " H "/zqaab", false},
        {"allow GET " H "/{n:int}", "allow GET " H "/*\n deny GET " H "/ZQAAA", false},
        {"allow GET " H "/7007", "allow GET " H "/{n:int}\n deny GET " H "/7017", false},
        {"allow POST " H "/a where body.x = \"zqaaa\"",
         "allow POST " H "/a where body.x != \"zqaab\"", false},
        {"allow POST " H "/a where body only {x, zqaaa}",
         "allow POST " H "/a where body only {x, zqaab}", false},
        {"allow POST " H "/a where not has body.amount",
         "allow POST " H "/a where body.AMOUNT = 1", false},
        {"allow GET " H "/a*", "allow GET " H "/a*\n allow GET " H "/{n:int}", false},
    };
    CHECK(pairs);
}

static void lives_keys_and_modes_are_compared(void **state)
{
    static const struct pair pairs[] = {
        {"ttl 4h\n allow GET " H "/a", "ttl 4h\n allow GET " H "/a", true},
        {"ttl 4h\n allow GET " H "/a", "ttl 5h\n allow GET " H "/a", false},
        {"ttl 4h\n allow GET " H "/a", "allow GET " H "/a", true}, /* inherited */
        {"key k2\n allow GET " H "/a", "allow GET " H "/a", true},
        {"allow GET " H "/a", "key k2\n allow GET " H "/a", false},
        {"allow GET " H "/a", "mode observe\n allow GET " H "/a", false},
        {"mode observe\n allow GET " H "/a", "mode observe\n allow GET " H "/a", true},
    };
    CHECK(pairs);
}

/* In the order: N per T is within GCRA (r, b) if N <= b and N <= rT, and GCRA within N per T if
 * b + rT <= N. */
static void rates_are_in_their_order(void **state)
{
    static const struct pair pairs[] = {
        {"rate 30/min\n allow GET " H "/a", "allow GET " H "/a", true}, /* inherited */
        {"allow GET " H "/a", "rate 30/min\n allow GET " H "/a", true},
        {"rate 30/min\n allow GET " H "/a", "rate 30/min\n allow GET " H "/a", true},
        {"rate 30/min\n allow GET " H "/a", "rate 31/min\n allow GET " H "/a", false},
        {"rate 30/min\n allow GET " H "/a", "rate 30/h\n allow GET " H "/a", true},
        {"rate 30/min\n allow GET " H "/a", "rate 1/s\n allow GET " H "/a", false},
        {"rate 60/min\n allow GET " H "/a", "rate 1/s\n allow GET " H "/a", true},
        {"rate 30/min burst 30\n allow GET " H "/a", "rate 30/min\n allow GET " H "/a", true},
        {"rate 30/min burst 29\n allow GET " H "/a", "rate 30/min\n allow GET " H "/a", false},
        {"rate 30/min burst 30\n allow GET " H "/a", "rate 30/s\n allow GET " H "/a", false},
        {"rate 30/min\n allow GET " H "/a", "rate 20/min burst 10\n allow GET " H "/a", true},
        {"rate 30/min\n allow GET " H "/a", "rate 20/min burst 11\n allow GET " H "/a", false},
        {"rate 30/min\n allow GET " H "/a", "rate 1/h burst 31\n allow GET " H "/a", false},
        {"rate 30/min burst 5\n allow GET " H "/a", "rate 30/min burst 5\n allow GET " H "/a",
         true},
        {"rate 30/min burst 5\n allow GET " H "/a", "rate 30/min burst 6\n allow GET " H "/a",
         false},
        {"rate 30/min burst 5\n allow GET " H "/a", "rate 31/min burst 5\n allow GET " H "/a",
         false},
        {"rate 1000000/d burst 1000000\n allow GET " H "/a",
         "rate 1000000/d\n allow GET " H "/a", true},
        {"allow GET " H "/a\n rate 5/min", "allow GET " H "/a\n rate 5/min", true},
        {"allow GET " H "/a\n rate 5/min", "allow GET " H "/a\n rate 6/min", false},
    };
    CHECK(pairs);
}

/* A budget is narrower with the same measure, a window no shorter and a limit no higher; one
 * for all tokens lies within one for each. CHECK asks as an issue does, which inherits. */
static void budgets_are_in_their_order(void **state)
{
#define PAY "allow POST " H "/a where body.n in 1..5 and body.m in 1..5\n budget "
    static const struct pair pairs[] = {
        {PAY "sum(body.n) <= 50 per day", PAY "sum(body.n) <= 50 per day", true},
        {PAY "sum(body.n) <= 50 per day", PAY "sum(body.n) <= 49 per day", true},
        {PAY "sum(body.n) <= 50 per day", PAY "sum(body.n) <= 51 per day", false},
        {PAY "sum(body.n) <= 50 per day", PAY "sum(body.n) <= 50 per 2d", true},
        {PAY "sum(body.n) <= 50 per day", PAY "sum(body.n) <= 50 per 23h", false},
        {PAY "sum(body.n) <= 50 per day", PAY "sum(body.m) <= 50 per day", false},
        {PAY "sum(body.n) <= 50 per day", PAY "count <= 1 per day", false},
        {PAY "count <= 50 per day", PAY "count <= 50 per day per token", false},
        {PAY "count <= 50 per day per token", PAY "count <= 50 per day", true},
        {PAY "count <= 50 per day", "allow POST " H "/a where body.n = 1 and body.m = 1", true},
        {"allow POST " H "/a", "allow POST " H "/a\n budget count <= 5 per day", true},
        {"budget count <= 5 per day\n allow GET " H "/a",
         "budget count <= 5 per day\n allow GET " H "/a", true},
        {"budget count <= 5 per day\n allow GET " H "/a",
         "budget count <= 6 per day\n allow GET " H "/a", false},
        {"budget count <= 5 per day\n allow GET " H "/a", "allow GET " H "/a", true},
    };
    CHECK(pairs);
}

static void a_scope_that_insists_on_or_redacts_less_does_not_narrow(void **state)
{
    struct kit *kit = *state;
    static const struct pair pairs[] = {
        {"insist a = true", "insist a = \"true\"", true},
        {"insist a = true", "insist b = \"x\" insist a = true", true},
        {"insist a = true", "insist a = false", false},
        {"insist a = true insist b = \"x\"", "insist a = true", false},
        {"insist a = true insist b = \"x\"", "insist b = \"x\"", false},
        {"insist a = true", "insist a = true insist b = \"x\"", true},
        {"insist a = true", "", false},
        {"", "insist a = true", true},
        {"redact {a, b.c}", "redact {b.c, a}", true},
        {"redact {a, b.c}", "redact {B} redact {A, d}", true},
        {"redact {a, b.c}", "redact {a, b.c.d}", false},
        {"redact {a, b.c}", "redact {a, b.d}", false},
        {"redact {a, b.c}", "redact {a}", false},
        {"redact {a}", "redact {\"a\"}", true},
        {"redact {a}", "", false},
        {"", "redact {a}", true},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char outer_text[200], inner_text[200];
        (void)snprintf(outer_text, sizeof outer_text, "%s\n allow GET " H "/a", pairs[i].outer);
        (void)snprintf(inner_text, sizeof inner_text, "%s\n allow GET " H "/a", pairs[i].inner);
        struct sp_scope *outer = scope_of(kit, outer_text), *inner = scope_of(kit, inner_text);
        struct sp_error why = {""};
        assert_int_equal(sp_scope_compare(outer, inner, false, NULL, &why) == SP_INCLUDED,
                         pairs[i].included);
        /* a caveat is judged beside what it narrows, so it inherits */
        assert_int_equal(sp_scope_compare(outer, inner, true, NULL, &why), SP_INCLUDED);
        sp_scope_free(outer);
        sp_scope_free(inner);
    }
}

/* Without inheriting, as `narrows` and `diff` ask: what states no budget has none. */
static void a_scope_without_the_budget_does_not_narrow_one_with_it(void **state)
{
    struct kit *kit = *state;
    static const char *const with[] = {"budget count <= 5 per day\n allow GET " H "/a",
                                       "allow GET " H "/a\n budget count <= 5 per day"};
    for (size_t i = 0; i < 2; i++) {
        struct sp_scope *outer = scope_of(kit, with[i]);
        struct sp_scope *inner = scope_of(kit, "allow GET " H "/a");
        struct sp_error why = {""};
        struct sp_witness witness;
        assert_int_equal(sp_scope_compare(outer, inner, false, &witness, &why),
                         SP_NOT_INCLUDED);
        assert_int_equal(witness.found, i == 1);
        if (witness.found) {
            sp_witness_done(&witness);
        }
        assert_int_equal(sp_scope_compare(outer, outer, false, &witness, &why), SP_INCLUDED);
        assert_int_equal(sp_scope_compare(inner, outer, false, &witness, &why), SP_INCLUDED);
        sp_scope_free(outer);
        sp_scope_free(inner);
    }
}

/* T14: the JSON form lies inside a scope or it is not issued. */
static void T14_the_json_form_cannot_reach_further_than_the_grant(void **state)
{
    struct kit *kit = *state;
    const struct sp_text key = SP_TEXT("k"), host = SP_TEXT("h.test"),
                         other = SP_TEXT("i.test");
    struct sp_scope *outer = scope_of(kit, "ttl 4h\n rate 30/min\n allow {GET POST} " H "/**");
    struct sp_scope *json = NULL;
    struct sp_error why = {""};
    const struct {
        struct sp_text host;
        unsigned methods;
        uint32_t per_minute;
        uint64_t ttl_ms;
        bool included;
    } cases[] = {
        {host, SP_METHOD_GET, 30, 14400000, true},
        {host, SP_METHOD_GET | SP_METHOD_POST, 0, 0, true},
        {other, SP_METHOD_GET, 30, 14400000, false},
        {host, SP_METHOD_DELETE, 30, 14400000, false},
        {host, SP_METHOD_GET, 31, 14400000, false},
        {host, SP_METHOD_GET, 30, 14400001, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(sp_scope_of_domains(NULL, SP_TEXT("json"), &key, 1, cases[i].methods,
                                             &cases[i].host, 1, cases[i].per_minute,
                                             cases[i].ttl_ms, &json, &why),
                         SP_OK);
        assert_int_equal(sp_scope_includes(outer, json, &why) == SP_INCLUDED,
                         cases[i].included);
        sp_scope_free(json);
    }
    sp_scope_free(outer);
}

/* A caveat without allows restricts some of what there is: alone it allows everything. */
static void a_caveat_without_allows_is_inside_nothing(void **state)
{
    struct kit *kit = *state;
    struct sp_scope *outer = scope_of(kit, "allow * " H "/**"), *caveat = NULL;
    struct sp_error why = {""};
    assert_int_equal(sp_caveat_parse(SP_TEXT("deny GET " H "/a"), &caveat, &why), SP_OK);
    assert_int_equal(sp_scope_includes(outer, caveat, &why), SP_NOT_INCLUDED);
    sp_scope_free(caveat);
    assert_int_equal(sp_caveat_parse(SP_TEXT("allow GET " H "/a"), &caveat, &why), SP_OK);
    assert_int_equal(sp_scope_includes(outer, caveat, &why), SP_INCLUDED);
    sp_scope_free(caveat);
    sp_scope_free(outer);
}

/* T63: however many rules there are, an answer comes soon: after 2,000,000 looks rule by rule
 * and the million steps of a search that a client waits for. */
static void T63_thousands_of_rules_are_too_hard_in_bounded_time(void **state)
{
    struct kit *kit = *state;
    struct sp_buf outer_text, inner_text;
    sp_buf_init(&outer_text, SP_SOURCE_MAX_BYTES);
    sp_buf_init(&inner_text, SP_SOURCE_MAX_BYTES);
    for (int i = 0; i < 6000; i++) {
        sp_buf_addf(&outer_text, "%s GET " H "/a*/b*/%d\n  ", i % 2 ? "deny" : "allow", i);
        sp_buf_addf(&inner_text, "%s GET " H "/a*/b*/%d\n  ", i % 3 ? "allow" : "deny",
                    6000 - i);
    }
    struct sp_scope *outer = scope_of(kit, outer_text.ptr);
    struct sp_scope *inner = scope_of(kit, inner_text.ptr);
    struct sp_error why = {""};
    looks = 0;
    assert_int_equal(sp_scope_includes(outer, inner, &why), SP_TOO_HARD);
    assert_in_range(looks, 100000, 3000000);
    looks = 0;
    assert_int_equal(sp_scope_includes(outer, outer, &why), SP_TOO_HARD);
    assert_in_range(looks, 100000, 3000000);
    sp_scope_free(outer);
    sp_scope_free(inner);
    sp_buf_done(&outer_text);
    sp_buf_done(&inner_text);
}

/* T63: what a search would find past its steps, it does not find. */
static void T63_a_search_ends_where_its_steps_do(void **state)
{
    struct kit *kit = *state;
    struct sp_scope *inner = scope_of(kit, "allow GET " H "/a where has query.a");
    struct sp_scope *outer =
        scope_of(kit, "allow GET " H "/a where has query.a and not (query.a = 1 and "
                      "query.b = 2 and query.c = 3 and query.d = 4 and query.e = 5 and "
                      "query.f = 6 and query.g = 7)");
    enum { PLENTY = 1000000 };
    size_t left = PLENTY;
    struct sp_witness witness;
    struct sp_error why = {""};
    assert_int_equal(sp_scope_compare_within(outer, inner, true, &left, &witness, &why),
                     SP_NOT_INCLUDED);
    sp_witness_done(&witness);
    size_t needed = PLENTY - left;
    assert_true(needed > 100);
    for (size_t part = 2; part <= 16; part *= 2) {
        left = needed / part;
        assert_int_equal(sp_scope_compare_within(outer, inner, true, &left, &witness, &why),
                         SP_TOO_HARD);
        assert_int_equal(left, 0);
        assert_false(witness.found);
    }
    left = needed;
    assert_int_equal(sp_scope_compare_within(outer, inner, true, &left, &witness, &why),
                     SP_NOT_INCLUDED);
    sp_witness_done(&witness);
    sp_scope_free(outer);
    sp_scope_free(inner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(patterns_lie_inside_patterns),
        kit_test(conditions_must_be_as_strict),
        kit_test(denies_of_outer_must_not_be_lost),
        kit_test(no_name_hides_the_others),
        kit_test(lives_keys_and_modes_are_compared),
        kit_test(rates_are_in_their_order),
        kit_test(budgets_are_in_their_order),
        kit_test(a_scope_that_insists_on_or_redacts_less_does_not_narrow),
        kit_test(a_scope_without_the_budget_does_not_narrow_one_with_it),
        kit_test(T14_the_json_form_cannot_reach_further_than_the_grant),
        kit_test(a_caveat_without_allows_is_inside_nothing),
        kit_test(T63_thousands_of_rules_are_too_hard_in_bounded_time),
        kit_test(T63_a_search_ends_where_its_steps_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
