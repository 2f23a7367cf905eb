/* The edges of the matcher and of inclusion: what no author writes, and what must be right all
 * the same. tests/coverage shows what nothing else reaches. */
#include "automaton/automaton.h"
#include "match/match.h"
#include "policy_kit.h"

#define H "https://h.test"

/* ---- the compiled matcher --------------------------------------------------------------
 */

/* The interpreter, the automaton and the bits say the same of each request. */
static void agree(const struct sp_scope *scope, const struct sp_request *request,
                  enum sp_verdict_reason reason)
{
    for (unsigned bits = 0; bits < 2; bits++) {
        struct sp_matcher *m = NULL;
        struct sp_match match;
        struct sp_verdict naive, words;
        assert_int_equal(matcher_new_bounded(scope, bits ? 0 : SIZE_MAX, &m), SP_OK);
        sp_matcher_decide(m, request, &match);
        sp_scope_match(scope, request, &naive);
        sp_match_explain(&match, request, &words);
        assert_int_equal(naive.reason, reason);
        assert_int_equal(match.reason, reason);
        assert_int_equal(match.allowed, naive.allowed);
        assert_ptr_equal(match.rule, naive.rule);
        assert_string_equal(words.detail, naive.detail);
        sp_matcher_free(m);
    }
}

static void agree_on(struct kit *kit, const struct sp_scope *scope, const char *method,
                     const char *url, enum sp_verdict_reason reason)
{
    struct sp_request request = kit_request(kit, method, url);
    agree(scope, &request, reason);
}

static void T22_a_request_of_no_method_or_of_two_is_denied(void **state)
{
    struct kit *kit = *state;
    static const unsigned odd[] = {0, SP_METHOD_GET | SP_METHOD_POST, SP_METHOD_ALL + 1};
    const struct sp_scope *s =
        kit_scope(kit, "allow * " H "/** where has body.x or has query.y");
    struct sp_request request = kit_request(kit, "GET", H "/a");
    struct sp_matcher *m = NULL;
    assert_int_equal(sp_matcher_new(s, &m), SP_OK);
    assert_true(sp_matcher_wants_body(m, &request));
    for (size_t i = 0; i < 3; i++) {
        request.method = odd[i];
        agree(s, &request, SP_VERDICT_METHOD);
        assert_false(sp_matcher_wants_body(m, &request));
    }
    sp_matcher_free(m);
}

static void T22_a_caveat_that_only_denies_allows_the_rest(void **state)
{
    struct kit *kit = *state;
    struct sp_scope *caveat = NULL;
    assert_int_equal(sp_caveat_parse(SP_TEXT("deny GET " H "/a"), &caveat, &kit->err), SP_OK);
    agree_on(kit, caveat, "GET", H "/a", SP_VERDICT_DENY_RULE);
    agree_on(kit, caveat, "GET", H "/b", SP_VERDICT_ALLOWED);
    agree_on(kit, caveat, "GET", "https://i.test/", SP_VERDICT_ALLOWED);
    sp_scope_free(caveat);
    assert_int_equal(sp_caveat_parse(SP_TEXT("allow GET " H "/a"), &caveat, &kit->err), SP_OK);
    agree_on(kit, caveat, "GET", H "/a", SP_VERDICT_ALLOWED);
    agree_on(kit, caveat, "GET", H "/b", SP_VERDICT_PATH);
    sp_scope_free(caveat);
}

static void T22_a_rule_whose_parameter_has_no_value_allows_nothing_and_denies_all(void **state)
{
    struct kit *kit = *state;
    assert_int_equal(kit_compile(kit, "sallyport 1\nscope s(p) { key k ttl 1h\n"
                                      "allow GET " H "/zz*/{p}\nallow GET " H "/ab*/{p}/x\n"
                                      "allow GET " H "/x/ab*\n"
                                      "deny GET " H "/x/{p}/end }"),
                     SP_OK);
    const struct sp_scope *s = sp_policy_scope(kit->policy, 0);
    agree_on(kit, s, "GET", H "/zz1/p", SP_VERDICT_PATH);
    agree_on(kit, s, "GET", H "/ab/p/x", SP_VERDICT_PATH);
    agree_on(kit, s, "GET", H "/x/abc", SP_VERDICT_ALLOWED);
}

static void T22_more_rules_than_a_policy_has_are_refused(void **state)
{
    const struct sp_scope big = {.n_rules = AST_RULES_MAX + 1};
    struct sp_matcher *m = NULL;
    (void)state;
    assert_int_equal(sp_matcher_new(&big, &m), SP_ETOOBIG);
    assert_null(m);
}

static void T22_an_integer_behind_a_prefix_of_digits_leads_where_both_do(void **state)
{
    struct kit *kit = *state;
    const struct sp_scope *s =
        kit_scope(kit, "allow GET " H "/7*/a\nallow GET " H "/{n:int}/b\n"
                       "allow GET " H "/*/c\n"
                       "@late allow POST " H "/*/c where body.x = 1\n"
                       "@all allow POST " H "/*/c");
    agree_on(kit, s, "GET", H "/70/a", SP_VERDICT_ALLOWED);
    agree_on(kit, s, "GET", H "/70/b", SP_VERDICT_ALLOWED);
    agree_on(kit, s, "GET", H "/7x/a", SP_VERDICT_ALLOWED);
    agree_on(kit, s, "GET", H "/7x/b", SP_VERDICT_PATH);
    agree_on(kit, s, "GET", H "/8/a", SP_VERDICT_PATH);
    agree_on(kit, s, "POST", H "/8/c", SP_VERDICT_ALLOWED);
}

/* ---- tables ---------------------------------------------------------------------------
 */

enum { TEXTS = 300000 };
struct hashed {
    uint32_t hash, number;
};

static void text_of(uint32_t number, char text[16])
{
    (void)snprintf(text, 16, number % 2 ? "a%u" : "bb%u", number);
}

static int by_hash(const void *a, const void *b)
{
    const struct hashed *x = a, *y = b;
    return (x->hash > y->hash) - (x->hash < y->hash);
}

/* Hashes of 32 bits collide: 300,000 texts have some ten pairs. */
static void T22_literals_whose_hashes_are_the_same_are_told_apart(void **state)
{
    struct kit *kit = *state;
    struct hashed *all = calloc(TEXTS, sizeof *all);
    unsigned same_length = 0, other_length = 0;
    for (uint32_t i = 0; i < TEXTS; i++) {
        char text[16];
        text_of(i, text);
        all[i] = (struct hashed){text_hash(sp_text_of(text)), i};
    }
    qsort(all, TEXTS, sizeof *all, by_hash);
    for (uint32_t i = 1; i < TEXTS; i++) {
        if (all[i - 1].hash != all[i].hash) {
            continue;
        }
        char one[16], other[16], rule[96], url[96];
        text_of(all[i - 1].number, one);
        text_of(all[i].number, other);
        bool same = strlen(one) == strlen(other);
        same_length += same;
        other_length += !same;
        (void)snprintf(rule, sizeof rule, "allow GET " H "/%s/x\nallow GET " H "/c/x", one);
        (void)snprintf(url, sizeof url, H "/%s/x", other);
        agree_on(kit, kit_scope(kit, rule), "GET", url, SP_VERDICT_PATH);
    }
    free(all);
    assert_true(same_length > 0 && other_length > 0);
}

static void an_edge_that_is_removed_takes_no_other_with_it(void **state)
{
    enum { EDGES = 1000 };
    struct edges edges = {.n = 0};
    (void)state;
    edges_remove(&edges, 1, 1);
    for (uint32_t i = 0; i < EDGES; i++) {
        assert_true(edges_add(&edges, i % 2, i * 2654435761u, i + 1));
    }
    for (uint32_t i = 0; i < EDGES; i += 4) {
        edges_remove(&edges, i % 2, i * 2654435761u);
    }
    for (uint32_t i = 0; i < EDGES; i++) {
        const uint32_t *target = edges_find(&edges, i % 2, i * 2654435761u);
        assert_true(i % 4 ? target && *target == i + 1 : !target);
    }
    assert_int_equal(edges.n, EDGES / 4 * 3);
    free(edges.slots);
}

static void a_table_past_what_its_numbers_count_does_not_grow(void **state)
{
    void *items = NULL;
    size_t room = UINT32_MAX;
    (void)state;
    assert_false(room_for(&items, room, &room, 4));
    assert_null(items);
}

/* ---- conditions and words -------------------------------------------------------------
 */

static const struct condition *where(const struct sp_scope *scope, size_t i)
{
    return scope->rules[i]->where;
}

static void a_condition_is_not_equal_to_none(void **state)
{
    const struct sp_scope *s = kit_scope(*state, "allow POST " H "/a where any(body.l).a = 1\n"
                                                 "allow POST " H "/b where any(body.l).b = 1\n"
                                                 "allow POST " H "/c where body.l only {a}\n"
                                                 "allow POST " H "/d where has body.l");
    assert_false(condition_equal(where(s, 0), NULL));
    assert_false(condition_equal(NULL, where(s, 0)));
    assert_true(condition_equal(NULL, NULL));
    assert_false(field_equal(&where(s, 0)->field, &where(s, 1)->field));
    assert_false(condition_implies(where(s, 2), where(s, 3)));
    s = kit_scope(*state, "allow POST " H "/a where body.n in 1..9\n"
                          "allow POST " H "/b where body.n = 0\n"
                          "allow POST " H "/c where body.n = 10\n"
                          "allow POST " H "/d where body.n = \"5\"");
    for (size_t i = 1; i < 4; i++) {
        assert_false(condition_implies(where(s, i), where(s, 0)));
    }
}

static void nothing_is_in_an_empty_set(void **state)
{
    const struct condition none = {.kind = CONDITION_IN};
    const struct sp_value value = {.kind = SP_VALUE_INT};
    (void)state;
    assert_int_equal(match_value(&none, &value), TRUTH_FALSE);
}

/* Two sets of a thousand are not compared one with one: by rules it is not proved. */
static void sets_that_are_too_large_imply_nothing(void **state)
{
    struct kit *kit = *state;
    struct sp_buf rules;
    sp_buf_init(&rules, 1 << 20);
    for (unsigned r = 0; r < 2; r++) {
        sp_buf_addf(&rules, "\nallow POST " H "/%u where body.x in {%s", r, r ? "" : "-1, ");
        for (unsigned i = 0; i < 1001; i++) {
            sp_buf_addf(&rules, "%u, ", i);
        }
        sp_buf_add_str(&rules, "1001}");
    }
    const struct sp_scope *s = kit_scope(kit, rules.ptr);
    assert_false(condition_implies(where(s, 1), where(s, 0)));
    sp_buf_done(&rules);
}

static void a_parameter_without_a_value_implies_nothing_but_itself(void **state)
{
    struct kit *kit = *state;
    assert_int_equal(kit_compile(kit, "sallyport 1\nscope s(p) { key k ttl 1h\n"
                                      "allow POST " H "/0 where body.x = p\n"
                                      "allow POST " H "/1 where body.x in {\"a\", p}\n"
                                      "allow POST " H "/2 where body.x starts p\n"
                                      "allow POST " H "/3 where body.x = \"a\"\n"
                                      "allow POST " H "/4 where body.x in {\"a\", \"b\"}\n"
                                      "allow POST " H "/5 where body.x starts \"a\"\n"
                                      "allow POST " H "/6 where body.x != p }"),
                     SP_OK);
    const struct sp_scope *s = sp_policy_scope(kit->policy, 0);
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < 7; j++) {
            bool implied = condition_implies(where(s, i), where(s, j));
            assert_int_equal(implied, i == j);
        }
    }
    assert_false(condition_implies(where(s, 3), where(s, 2)));
    assert_true(condition_implies(where(s, 3), where(s, 1)));
    struct sp_request request = kit_form(kit, H "/0", "x=p");
    agree(s, &request, SP_VERDICT_CONDITION);
}

static void patterns_with_parameters_overlap_with_anything(void **state)
{
    struct kit *kit = *state;
    assert_int_equal(kit_compile(kit, "sallyport 1\nscope s(p) { key k ttl 1h\n"
                                      "allow GET " H "/{p}/x\nallow GET " H "/a/x\n"
                                      "allow GET " H "/ab*/{q:slash}\ndeny GET " H "/a/b/c\n"
                                      "deny GET " H "/abc/b/c }"),
                     SP_OK);
    const struct sp_scope *s = sp_policy_scope(kit->policy, 0);
    assert_true(pattern_overlaps(s->rules[0], s->rules[1]));
    assert_true(pattern_overlaps(s->rules[1], s->rules[0]));
    assert_false(pattern_covers(s->rules[0], s->rules[1]));
    assert_true(pattern_overlaps(s->rules[4], s->rules[2]));
    assert_false(pattern_overlaps(s->rules[3], s->rules[2]));
}

static void T23_a_request_that_nobody_judged_is_unreadable(void **state)
{
    struct kit *kit = *state;
    const struct sp_scope *s = kit_scope(kit, "allow POST " H "/b where body.a = 1\n"
                                              "allow POST " H "/q where not has query.a");
    struct sp_request request = kit_request(kit, "POST", H "/q?x=1");
    request.query_value = NULL;
    agree(s, &request, SP_VERDICT_UNREADABLE);
    request = kit_request(kit, "POST", H "/q");
    request.query_value = NULL;
    agree(s, &request, SP_VERDICT_ALLOWED);
    /* The root of a name with brackets alone, or with the wrong one first, is the name. */
    request = kit_form(kit, H "/b", "a=1");
    const struct sp_url plain = request.url;
    static const char *const names[] = {"[a]", "]a", "a]", "b"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct sp_param param = {sp_text_of(names[i]), SP_TEXT("1"), true};
        request.url = plain;
        request.url.query = &param;
        request.url.n_query = 1;
        agree(s, &request, SP_VERDICT_UNREADABLE);
    }
}

static void what_a_client_sent_is_quoted_as_plain_text(void **state)
{
    struct kit *kit = *state;
    const struct sp_scope *s = kit_scope(kit, "allow POST " H "/a where body.a = \"x\"");
    struct sp_request request = kit_form(kit, H "/a", "a=%5C%7F%22~%01%C3%A9");
    struct sp_verdict verdict = kit_match(s, &request);
    assert_non_null(strstr(verdict.detail, "\"???~?"));
}

static void budgets_take_what_a_call_costs_or_refuse_it(void **state)
{
    struct kit *kit = *state;
    const struct sp_scope *s = kit_scope(kit, "budget count <= 3 per day\n"
                                              "allow POST " H "/a where body.n >= 0\n"
                                              "  budget sum(body.n) <= 9 per day\n"
                                              "allow GET " H "/b");
    const struct sp_budget *sums = sp_rule_budget(sp_scope_rule(s, 0));
    uint64_t amount = 77;
    assert_null(sp_rule_budget(sp_scope_rule(s, 1)));
    struct sp_request request = kit_form(kit, H "/a", "n=5");
    assert_int_equal(sp_budget_takes(sums, &request, &amount), SP_OK);
    assert_int_equal(amount, 5);
    assert_int_equal(sp_budget_takes(sp_scope_budget(s), &request, &amount), SP_OK);
    assert_int_equal(amount, 1);
    static const char *const odd[] = {"m=5", "n=x", "n=-5"};
    for (size_t i = 0; i < 3; i++) {
        request = kit_form(kit, H "/a", odd[i]);
        assert_int_equal(sp_budget_takes(sums, &request, &amount), SP_EDENIED);
    }
    assert_int_equal(amount, 1);
    assert_true(sp_budget_reads_body(sums));
    assert_false(sp_budget_reads_body(sp_scope_budget(s)));
    assert_false(sp_budget_reads_body(NULL));
    const struct sp_scope *query = kit_scope(kit, "allow POST " H "/a where query.n >= 0\n"
                                                  "  budget sum(query.n) <= 9 per day\n");
    assert_false(sp_budget_reads_body(sp_rule_budget(sp_scope_rule(query, 0))));
    assert_null(sp_scope_budget(kit_scope(kit, "allow POST " H "/a where has header.x\n"
                                               "allow POST " H "/b where body.x = 1")));
    s = sp_policy_scope(kit->policy, 0);
    assert_true(sp_scope_reads_header(s, SP_TEXT("x")));
    assert_false(sp_scope_reads_header(s, SP_TEXT("y")));
}

/* ---- inclusion ------------------------------------------------------------------------
 */

/* Within as many steps as a client waits for. */
static enum sp_inclusion compared(struct kit *kit, const char *outer, const char *inner)
{
    struct sp_policy *first;
    size_t steps = 1000000;
    struct sp_witness witness = {.found = false};
    struct sp_error why = {""};
    const struct sp_scope *a = kit_scope(kit, outer);
    first = kit->policy;
    kit->policy = NULL;
    const struct sp_scope *b = kit_scope(kit, inner);
    enum sp_inclusion result = sp_scope_compare_within(a, b, true, &steps, &witness, &why);
    if (witness.found) {
        sp_witness_print(&witness.request, &kit->text);
        sp_witness_done(&witness);
    }
    sp_policy_free(first);
    return result;
}

#define INCLUDED(outer, inner) assert_int_equal(compared(*state, outer, inner), SP_INCLUDED)
#define REFUTED(outer, inner) assert_int_equal(compared(*state, outer, inner), SP_NOT_INCLUDED)
#define TOO_HARD(outer, inner) assert_int_equal(compared(*state, outer, inner), SP_TOO_HARD)

/* A header cannot hold what the first string is; the second must be tried all the same. */
static void T14_a_value_that_no_header_has_hides_no_other(void **state)
{
    REFUTED("allow GET " H "/a where header.x = \"zz\"",
            "allow GET " H "/a where header.x in {\" b\", \"c\"}");
    REFUTED("allow GET " H "/a where header.x = \"zz\"",
            "allow GET " H "/a where header.x in {\"\\n\", \"\\x7f\", \"b \", \"c\"}");
    INCLUDED("allow GET " H "/a where header.x = \"zz\"",
             "allow GET " H "/a where header.x in {\" b\", \"zz\"}");
}

static void T14_names_of_any_bytes_have_their_twins(void **state)
{
    REFUTED("allow POST " H "/a where body.\"Az1_{\" != 5 or body.\"Az1_{\" = 5\n"
            "allow POST " H "/a where not has body.\"Az1_{\"",
            "allow POST " H "/a where has body.b");
    /* Without a letter there is no twin: only the same name twice hides it from outer. */
    REFUTED("allow GET " H "/q where query.\"1\" != \"5\" or query.\"1\" = \"5\"\n"
            "allow GET " H "/q where not has query.\"1\"",
            "allow GET " H "/q where has query.b");
    INCLUDED("allow POST " H "/a where body.b = 1 and has body.\"1{\"\n"
             "allow POST " H "/a where body.b = 1 and not has body.\"1{\"",
             "allow POST " H "/a where body.b = 1 and not (has body.\"1{\" and body.b = 2)");
}

static void T14_only_without_a_name_is_an_empty_object(void **state)
{
    REFUTED("allow POST " H "/a where body.a only {} and body.b = 1\n"
            "allow POST " H "/a where body.a only {} and body.b != 1",
            "allow POST " H "/a where body.a only {}");
    REFUTED("allow POST " H "/a where body.a only {} or body.a = 1",
            "allow POST " H "/a where body.a only {x} or body.a = 1");
}

static void T14_limits_count_by_the_rule_that_decides(void **state)
{
    INCLUDED("allow GET " H "/x where has header.h or not has header.h\n  rate 5/min",
             "@a allow GET " H "/x where has header.h or not has header.h\n  rate 4/min\n"
             "@b allow GET " H "/x where header.h = \"1\" rate 9/min");
    INCLUDED("allow POST " H "/x where has query.q or not has query.q\n  rate 5/min",
             "@a allow POST " H "/x where has query.q or not has query.q\n  rate 4/min\n"
             "@b allow POST " H "/x where query.q = \"1\" rate 9/min");
    REFUTED("allow POST " H "/a rate 5/min", "allow POST " H "/a where body.x = 1 rate 4/min\n"
                                             "allow POST " H "/a where body.x = 2 rate 9/min");
}

static void T14_a_scope_with_limits_includes_itself(void **state)
{
    struct sp_error why = {""};
    const struct sp_scope *s =
        kit_scope(*state, "allow POST " H "/a where body.x = 1 rate 5/min\n"
                          "allow GET " H "/{n:int} where path.n = 3 budget count <= 5 per day");
    assert_int_equal(sp_scope_compare(s, s, false, NULL, &why), SP_INCLUDED);
}

static void T14_a_caveat_that_only_denies_is_an_outer_scope_too(void **state)
{
    struct kit *kit = *state;
    struct sp_scope *caveat = NULL;
    struct sp_error why = {""};
    assert_int_equal(sp_caveat_parse(SP_TEXT("deny GET " H "/a"), &caveat, &why), SP_OK);
    const struct sp_scope *some = kit_scope(kit, "allow GET " H "/a");
    struct sp_scope keyless = *some;
    keyless.n_keys = 0;
    assert_int_equal(sp_scope_includes(caveat, &keyless, &why), SP_NOT_INCLUDED);
    some = kit_scope(kit, "allow GET " H "/b");
    keyless = *some;
    keyless.n_keys = 0;
    keyless.ttl_ms = 0;
    assert_int_equal(sp_scope_includes(caveat, &keyless, &why), SP_INCLUDED);
    sp_scope_free(caveat);
    assert_int_equal(sp_caveat_parse(SP_TEXT("deny GET " H "/b/{n:any}/{m:any} where path.m = "
                                             "\"1\""),
                                     &caveat, &why),
                     SP_OK);
    some = kit_scope(kit, "allow GET " H "/b/{p:slash}");
    keyless = *some;
    keyless.n_keys = 0;
    keyless.ttl_ms = 0;
    assert_int_not_equal(sp_scope_includes(caveat, &keyless, &why), SP_INCLUDED);
    sp_scope_free(caveat);
    assert_int_equal(sp_caveat_parse(SP_TEXT("allow GET " H "/b where query.x in 1..2\n"
                                             "allow GET " H "/b where query.x in 3..4"),
                                     &caveat, &why),
                     SP_OK);
    some = kit_scope(kit, "allow GET " H "/b where query.x in 2..3");
    keyless = *some;
    keyless.n_keys = 0;
    keyless.ttl_ms = 0;
    assert_int_equal(sp_scope_includes(caveat, &keyless, &why), SP_INCLUDED);
    sp_scope_free(caveat);
}

static void T14_a_deny_behind_an_encoded_slash_leaves_it_open(void **state)
{
    TOO_HARD("allow GET " H "/a/{p:slash}\nallow GET " H "/a/{p:slash} where query.x = 1\n"
             "deny GET " H "/a/{n:any}/{m:any} where path.n = \"1\" and path.n = \"2\"",
             "allow GET " H "/a/{p:slash}");
    TOO_HARD("allow GET " H "/a/{p:slash} where query.x = 1\n"
             "allow GET " H "/a/{p:slash} where not query.x = 1\n"
             "deny GET " H "/a/*/* where header.h = \"1\"",
             "allow GET " H "/a/{p:slash} where has query.x and query.x in 1..2\n"
             "deny GET " H "/a/*/* where header.h = \"1\"");
    REFUTED("allow GET " H "/ab*\ndeny GET " H "/ab%7Bx", "allow GET " H "/ab*");
}

static void a_segment_that_is_too_long_for_a_url_is_no_segment(void **state)
{
    struct sp_buf outer;
    sp_buf_init(&outer, 1 << 16);
    sp_buf_add_str(&outer, "allow GET " H "/{n:any} where path.n != \"");
    for (unsigned i = 0; i < 9000; i++) {
        sp_buf_add_byte(&outer, 'n');
    }
    sp_buf_add_str(&outer, "\"");
    INCLUDED(outer.ptr, "allow GET " H "/{n:any}");
    sp_buf_done(&outer);
}

static void T14_paths_are_searched_to_their_end(void **state)
{
    struct sp_buf deep, wide, other;
    sp_buf_init(&deep, 1 << 16);
    sp_buf_init(&wide, 1 << 20);
    sp_buf_init(&other, 1 << 20);
    sp_buf_add_str(&deep, "allow GET " H);
    for (unsigned i = 0; i < 63; i++) {
        sp_buf_add_str(&deep, "/a");
    }
    sp_buf_add_str(&deep, "/** where query.x in 1..5");
    for (unsigned i = 0; i < 300; i++) {
        sp_buf_addf(&wide, "allow GET " H "/%c%u/x where query.n in ..5\n", 'a' + i % 5, i);
        sp_buf_addf(&wide, "allow GET " H "/%c%u/x where query.n in 6..9\n", 'a' + i % 5, i);
        sp_buf_addf(&other, "allow GET " H "/%c%u/x where query.n in 2..8\n", 'a' + i % 5, i);
    }
    INCLUDED("allow GET " H "/** where query.x in 1..2\nallow GET " H
             "/** where query.x in 3..5",
             deep.ptr);
    INCLUDED(wide.ptr, other.ptr);
    INCLUDED("allow GET " H "/{n:int}/x where path.n != -999999999999999999\n"
             "allow GET " H "/{n:int}/x where path.n = -999999999999999999",
             "allow GET " H "/{n:int}/x where path.n in 1..3");
    sp_buf_done(&deep);
    sp_buf_done(&wide);
    sp_buf_done(&other);
}

/* `n` demands on fields of their own, and one more on the field x. */
static void fields_of(struct sp_buf *text, const char *source, unsigned n, const char *x)
{
    sp_buf_add_str(text, "allow POST " H "/a where ");
    for (unsigned i = 0; i < n; i++) {
        sp_buf_addf(text, "has %s.p%u and ", source, i);
    }
    sp_buf_add_str(text, x);
    sp_buf_add_str(text, "\n");
}

static void fields_are_too_hard(struct kit *kit, const char *source, unsigned n,
                                const char *outer_end, const char *inner_end)
{
    struct sp_buf outer, inner;
    sp_buf_init(&outer, 1 << 20);
    sp_buf_init(&inner, 1 << 20);
    fields_of(&outer, source, n, outer_end);
    fields_of(&inner, source, n, inner_end);
    assert_int_equal(compared(kit, outer.ptr, inner.ptr), SP_TOO_HARD);
    sp_buf_done(&outer);
    sp_buf_done(&inner);
}

static void T63_more_fields_than_are_searched_are_too_hard(void **state)
{
    fields_are_too_hard(*state, "header", 260, "body.x = 1", "body.x in 0..1");
    fields_are_too_hard(*state, "query", 130, "query.x = 1", "query.x in 0..1");
    struct sp_buf outer, inner;
    sp_buf_init(&outer, 1 << 20);
    sp_buf_init(&inner, 1 << 20);
    for (unsigned r = 0; r < 3; r++) {
        for (unsigned side = 0; side < 2; side++) {
            struct sp_buf *text = side ? &inner : &outer;
            sp_buf_add_str(text, "allow POST " H "/a where body.x = 0");
            for (unsigned i = side; i < 300; i++) {
                sp_buf_addf(text, " or body.x%u = %u", i % 40, 1000 * r + i);
            }
            sp_buf_add_str(text, "\n");
        }
    }
    TOO_HARD(outer.ptr, inner.ptr);
    sp_buf_done(&outer);
    sp_buf_done(&inner);
}

/* What a deny of outer reads found no room: whether it fires is open, until it is asked. */
static void T63_a_deny_that_found_no_room_is_asked_itself(void **state)
{
    struct kit *kit = *state;
    struct sp_scope *caveat = NULL;
    struct sp_error why = {""};
    struct sp_buf text;
    sp_buf_init(&text, 1 << 20);
    for (unsigned r = 0; r < 3; r++) {
        sp_buf_add_str(&text, "allow GET " H "/b where query.x = 0");
        for (unsigned i = 0; i < 400; i++) {
            sp_buf_addf(&text, " or query.x%u = %u", i % 40, i + 1000 * r);
        }
        sp_buf_add_str(&text, "\n");
    }
    const struct sp_scope *some = kit_scope(kit, text.ptr);
    struct sp_scope keyless = *some;
    keyless.n_keys = 0;
    keyless.ttl_ms = 0;
    assert_int_equal(
        sp_caveat_parse(SP_TEXT("deny GET " H "/b where has query.x0"), &caveat, &why), SP_OK);
    assert_int_equal(sp_scope_includes(caveat, &keyless, &why), SP_TOO_HARD);
    sp_scope_free(caveat);
    sp_buf_done(&text);
}

static void T63_lists_of_more_kinds_than_are_searched_are_too_hard(void **state)
{
    struct sp_buf halves, set, many;
    sp_buf_init(&halves, 1 << 20);
    sp_buf_init(&set, 1 << 20);
    sp_buf_init(&many, 1 << 20);
    sp_buf_add_str(&halves, "allow POST " H "/a where any(body.l) in {");
    sp_buf_add_str(&set, "allow POST " H "/a where any(body.l) in {");
    for (unsigned i = 0; i < 600; i++) {
        sp_buf_addf(&halves,
                    i == 300 ? "-1}\nallow POST " H "/a where any(body.l) in {%u, " : "%u, ",
                    3 * i);
        sp_buf_addf(&set, "%u, ", 3 * i);
    }
    sp_buf_add_str(&halves, "-1}");
    sp_buf_add_str(&set, "-1}");
    sp_buf_add_str(&many, "allow POST " H "/a where not any(body.l) = 99");
    for (unsigned i = 0; i < 11; i++) {
        sp_buf_addf(&many, " and not (any(body.l) = %u and body.m = %u)", 3 * i, i);
    }
    TOO_HARD(halves.ptr, set.ptr);
    assert_int_not_equal(compared(*state, many.ptr,
                                  "allow POST " H
                                  "/a where not any(body.l) = 99 and body.m = 50"),
                         SP_NOT_INCLUDED);
    assert_int_not_equal(
        compared(*state, "allow POST " H "/a where any(body.l).a = 1 or any(body.l).b = 2",
                 "allow POST " H "/a where any(body.l).a = 1 and any(body.l).b = 2"),
        SP_NOT_INCLUDED);
    assert_int_not_equal(
        compared(*state, "allow POST " H "/a where any(body.l) = 1 or any(body.l).b = 2",
                 "allow POST " H "/a where any(body.l) = 1 and any(body.l).b = 2"),
        SP_NOT_INCLUDED);
    sp_buf_done(&halves);
    sp_buf_done(&set);
    sp_buf_done(&many);
}

static void T63_names_that_are_too_long_to_write_are_too_hard(void **state)
{
    struct sp_buf outer, inner;
    sp_buf_init(&outer, 1 << 16);
    sp_buf_init(&inner, 1 << 16);
    for (unsigned side = 0; side < 2; side++) {
        struct sp_buf *text = side ? &inner : &outer;
        sp_buf_add_str(text, "allow GET " H "/a where query.");
        for (unsigned part = 0; part < 2; part++) {
            for (unsigned i = 0; i < 600; i++) {
                sp_buf_add_byte(text, 'n');
            }
            sp_buf_add_str(text, part ? "" : ".");
        }
        sp_buf_add_str(text, side ? " in 1..2" : " = 1 and query.zz = 1");
    }
    TOO_HARD(outer.ptr, inner.ptr);
    sp_buf_done(&outer);
    sp_buf_done(&inner);
}

/* Words that stand for "any other" must not be named; a scope that names a thousand is refused.
 */
static void T63_a_scope_that_names_all_fresh_words_is_too_hard(void **state)
{
    struct sp_buf rules[2];
    for (unsigned k = 0; k < 2; k++) {
        sp_buf_init(&rules[k], 1 << 20);
        sp_buf_add_str(&rules[k], "allow GET " H "/a where query.x in {\"");
        for (unsigned i = 0; i < 2000; i++) {
            if (k) {
                sp_buf_addf(&rules[k], "70%u7 ", i);
            } else {
                sp_buf_addf(&rules[k], "zq%c%c%c", 'a' + i / 676 % 26, 'a' + i / 26 % 26,
                            'a' + i % 26);
            }
        }
        sp_buf_add_str(&rules[k], "\"}");
        TOO_HARD("allow GET " H "/a where query.x = \"y\"", rules[k].ptr);
        sp_buf_done(&rules[k]);
    }
}

static void T63_more_rules_of_one_host_than_are_searched_are_too_hard(void **state)
{
    enum { MANY = 50001 };
    struct kit *kit = *state;
    struct sp_error why = {""};
    const struct sp_scope *s = kit_scope(kit, "allow GET " H "/a where query.x = 1\n"
                                              "allow GET " H "/a where query.x in 1..2");
    const struct sp_rule **rules = calloc(MANY, sizeof *rules);
    for (size_t i = 0; i < MANY; i++) {
        rules[i] = s->rules[0];
    }
    struct sp_scope outer = *s, inner = *s;
    outer.rules = rules;
    outer.n_rules = MANY;
    inner.rules = s->rules + 1;
    inner.n_rules = 1;
    assert_int_equal(sp_scope_includes(&outer, &inner, &why), SP_TOO_HARD);
    free((void *)rules);
}

/* Each allow is covered, but only by one of the last: the quick proof gives up in time. */
static void T63_a_quick_proof_of_thousands_of_rules_ends(void **state)
{
    struct kit *kit = *state;
    enum { MANY = 2700 };
    struct sp_error why = {""};
    const struct sp_scope *s = kit_scope(kit, "allow GET " H "/a\nallow GET " H "/b");
    const struct sp_rule **rules = calloc(MANY, sizeof *rules),
                         **same = calloc(MANY, sizeof *same);
    for (size_t i = 0; i < MANY; i++) {
        rules[i] = s->rules[i + 1 == MANY];
        same[i] = s->rules[1];
    }
    struct sp_scope outer = *s, inner = *s;
    outer.rules = rules;
    inner.rules = same;
    outer.n_rules = inner.n_rules = MANY;
    assert_int_not_equal(sp_scope_includes(&outer, &inner, &why), SP_NOT_INCLUDED);
    free((void *)rules);
    free((void *)same);
}

static void settings_that_are_not_stated_are_unlimited(void **state)
{
    struct kit *kit = *state;
    struct sp_error why = {""};
    const struct sp_scope *s = kit_scope(kit, "rate 5/min\nbudget count <= 5 per day\n"
                                              "allow GET " H "/a rate 5/s\nallow GET " H "/b");
    struct sp_scope inner = *s;
    inner.ttl_ms = 0;
    assert_int_equal(sp_scope_compare(s, &inner, false, NULL, &why), SP_NOT_INCLUDED);
    assert_non_null(strstr(why.text, "states no ttl"));
    inner = *s;
    inner.rate.count = 0;
    assert_int_equal(sp_scope_compare(s, &inner, false, NULL, &why), SP_NOT_INCLUDED);
    inner = *s;
    inner.budget = NULL;
    assert_int_equal(sp_scope_compare(s, &inner, false, NULL, &why), SP_NOT_INCLUDED);
    inner = *s;
    inner.n_params = 1;
    assert_int_equal(sp_scope_compare(s, &inner, false, NULL, &why), SP_TOO_HARD);
    assert_int_equal(sp_scope_compare(s, s, false, NULL, &why), SP_INCLUDED);
}

static void requests_of_every_kind_are_written_down(void **state)
{
    struct kit *kit = *state;
    struct sp_request request = kit_request(kit, "POST", H "/a");
    struct sp_value kinds[] = {{.kind = SP_VALUE_NUMBER},
                               {.kind = SP_VALUE_AMBIGUOUS},
                               {.kind = SP_VALUE_FORM},
                               {.kind = SP_VALUE_NULL}};
    kinds[2].as.text = SP_TEXT("f");
    struct sp_value list = {.kind = SP_VALUE_ARRAY};
    list.as.array.items = kinds;
    list.as.array.n = 4;
    request.body_kind = SP_BODY_JSON;
    request.body_value = &list;
    sp_witness_print(&request, &kit->text);
    assert_string_equal(kit->text.ptr, "POST " H "/a json [0.5, null, \"f\", null]");
    struct sp_member members[] = {{SP_TEXT("a"), kinds[2]}, {SP_TEXT("b"), kinds[1]}};
    members[1].value.as.text = SP_TEXT("1");
    struct sp_value form = {.kind = SP_VALUE_OBJECT};
    form.as.object.items = members;
    form.as.object.n = 2;
    request.body_kind = SP_BODY_FORM;
    request.body_value = &form;
    sp_buf_reset(&kit->text);
    sp_witness_print(&request, &kit->text);
    assert_string_equal(kit->text.ptr, "POST " H "/a form a=f&b=1&b=1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(T22_a_request_of_no_method_or_of_two_is_denied),
        kit_test(T22_a_caveat_that_only_denies_allows_the_rest),
        kit_test(T22_a_rule_whose_parameter_has_no_value_allows_nothing_and_denies_all),
        kit_test(T22_more_rules_than_a_policy_has_are_refused),
        kit_test(T22_an_integer_behind_a_prefix_of_digits_leads_where_both_do),
        kit_test(T22_literals_whose_hashes_are_the_same_are_told_apart),
        kit_test(an_edge_that_is_removed_takes_no_other_with_it),
        kit_test(a_table_past_what_its_numbers_count_does_not_grow),
        kit_test(a_condition_is_not_equal_to_none),
        kit_test(nothing_is_in_an_empty_set),
        kit_test(sets_that_are_too_large_imply_nothing),
        kit_test(a_parameter_without_a_value_implies_nothing_but_itself),
        kit_test(patterns_with_parameters_overlap_with_anything),
        kit_test(T23_a_request_that_nobody_judged_is_unreadable),
        kit_test(what_a_client_sent_is_quoted_as_plain_text),
        kit_test(budgets_take_what_a_call_costs_or_refuse_it),
        kit_test(T14_a_value_that_no_header_has_hides_no_other),
        kit_test(T14_names_of_any_bytes_have_their_twins),
        kit_test(T14_only_without_a_name_is_an_empty_object),
        kit_test(T14_limits_count_by_the_rule_that_decides),
        kit_test(T14_a_scope_with_limits_includes_itself),
        kit_test(T14_a_caveat_that_only_denies_is_an_outer_scope_too),
        kit_test(T14_a_deny_behind_an_encoded_slash_leaves_it_open),
        kit_test(a_segment_that_is_too_long_for_a_url_is_no_segment),
        kit_test(T14_paths_are_searched_to_their_end),
        kit_test(T63_more_fields_than_are_searched_are_too_hard),
        kit_test(T63_a_deny_that_found_no_room_is_asked_itself),
        kit_test(T63_lists_of_more_kinds_than_are_searched_are_too_hard),
        kit_test(T63_names_that_are_too_long_to_write_are_too_hard),
        kit_test(T63_a_scope_that_names_all_fresh_words_is_too_hard),
        kit_test(T63_more_rules_of_one_host_than_are_searched_are_too_hard),
        kit_test(T63_a_quick_proof_of_thousands_of_rules_ends),
        kit_test(settings_that_are_not_stated_are_unlimited),
        kit_test(requests_of_every_kind_are_written_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
