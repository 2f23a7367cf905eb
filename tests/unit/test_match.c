/* Verdicts: why not, by which rule, in which words; and requests that no parser has built. */
#include "policy_kit.h"

/* ---- no allocation -------------------------------------------------------------------------
 * The linker sends every allocation of the library here. */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static unsigned allocations;

void *__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    allocations++;
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    allocations++;
    return __real_realloc(memory, size);
}

static void matching_allocates_nothing(void **state)
{
    struct kit *kit = *state;
    unsigned before = allocations;
    const struct sp_scope *scope = kit_scope(
        kit, "@a allow POST https://h.test/a where body.amount in 1..5000 and body.x in "
             "{\"long\", \"list\", \"of\", \"strings\"} or not any(body.l).x = 1\n"
             "@d deny * https://h.test/a/{x:any} where path.x = \"b\"\n"
             "@s allow GET https://h.test/{x:slash}\n");
    assert_true(allocations > before); /* compiling does: so the count works */
    struct sp_request requests[] = {
        kit_form(kit, "https://h.test/a", "amount=1&x=of"),
        kit_form(kit, "https://h.test/a", "amount=5001&x=of"),
        kit_form(kit, "https://h.test/a", "amount=1&amount=1"),
        kit_request(kit, "GET", "https://h.test/a/b"),
        kit_request(kit, "GET", "https://h.test/a%2Fb"),
        kit_request(kit, "GET", "https://h.test/b"),
        kit_request(kit, "GET", "https://else.test/b"),
        kit_request(kit, "PUT", "https://h.test/b"),
    };
    before = allocations;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        (void)kit_match(scope, &requests[i]);
        (void)sp_scope_wants_body(scope, &requests[i]);
    }
    assert_int_equal(allocations, before);
}

/* ---- reasons -------------------------------------------------------------------------------
 */

static void the_reason_is_how_far_the_nearest_rule_got(void **state)
{
    struct kit *kit = *state;
    const struct sp_scope *scope = kit_scope(
        kit, "@read allow GET https://h.test/a/*\n"
             "@refund allow POST https://h.test/refunds where body.amount in 1..5000\n"
             "@no deny DELETE https://h.test/**\n"
             "@any allow DELETE https://h.test/**\n");
    const struct {
        struct sp_request request;
        enum sp_verdict_reason reason;
        const char *rule, *detail;
    } cases[] = {
        {kit_request(kit, "GET", "https://h.test/a/b"), SP_VERDICT_ALLOWED, "read", ""},
        {kit_request(kit, "GET", "https://x.test/a/b"), SP_VERDICT_HOST, NULL,
         "no rule names this host"},
        {kit_request(kit, "GET", "http://h.test/a/b"), SP_VERDICT_HOST, NULL,
         "no rule names this host"},
        {kit_request(kit, "GET", "https://h.test/"), SP_VERDICT_PATH, NULL,
         "no rule for this host matches the path"},
        {kit_request(kit, "PUT", "https://h.test/a/b"), SP_VERDICT_METHOD, "read",
         "the rule is not for PUT"},
        {kit_form(kit, "https://h.test/refunds", "amount=5001"), SP_VERDICT_CONDITION, "refund",
         "body.amount in 1..5000: it is \"5001\""},
        {kit_form(kit, "https://h.test/refunds", "charge=ch_1"), SP_VERDICT_CONDITION, "refund",
         "body.amount in 1..5000: it is absent"},
        {kit_form(kit, "https://h.test/refunds", "amount=1&Amount=1"), SP_VERDICT_UNREADABLE,
         "refund", "a field differs from one that the rule reads by case alone"},
        {kit_request(kit, "POST", "https://h.test/refunds"), SP_VERDICT_UNREADABLE, "refund",
         "the rule reads the body, and there is none"},
        {kit_request(kit, "DELETE", "https://h.test/a"), SP_VERDICT_DENY_RULE, "no",
         "a deny rule fires"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sp_verdict v = kit_match(scope, &cases[i].request);
        assert_int_equal(v.reason, cases[i].reason);
        assert_int_equal(v.allowed, cases[i].reason == SP_VERDICT_ALLOWED);
        assert_string_equal(v.detail, cases[i].detail);
        assert_int_equal(v.rule != NULL, cases[i].rule != NULL);
        assert_true(!v.rule || sp_text_is(sp_rule_label(v.rule), cases[i].rule));
    }
}

static void the_first_of_several_allows_is_named(void **state)
{
    struct kit *kit = *state;
    const struct sp_scope *scope = kit_scope(kit, "@one allow GET https://h.test/*\n"
                                                  "@two allow GET https://h.test/a\n");
    struct sp_request request = kit_request(kit, "GET", "https://h.test/a");
    assert_true(sp_text_is(sp_rule_label(kit_match(scope, &request).rule), "one"));
}

static const char *detail(struct kit *kit, const char *where, const struct sp_value *body)
{
    static struct sp_verdict verdict;
    struct sp_buf rules;
    sp_buf_init(&rules, 1 << 20);
    sp_buf_addf(&rules, "allow POST https://h.test/ where %s", where);
    const struct sp_scope *scope = kit_scope(kit, sp_buf_text(&rules).ptr);
    sp_buf_done(&rules);
    struct sp_request request = kit_request(kit, "POST", "https://h.test/");
    request.body_kind = SP_BODY_JSON;
    request.body_value = body;
    verdict = kit_match(scope, &request);
    assert_int_equal(verdict.reason, SP_VERDICT_CONDITION);
    return verdict.detail;
}

static void the_detail_names_the_atom_and_the_value(void **state)
{
    struct kit *kit = *state;
    static const struct sp_value items[] = {{.kind = SP_VALUE_INT}};
    static const struct sp_member members[] = {
        {{"int", 3}, {.kind = SP_VALUE_INT, .as.integer = 9}},
        {{"yes", 3}, {.kind = SP_VALUE_BOOL, .as.boolean = true}},
        {{"nul", 3}, {.kind = SP_VALUE_NULL}},
        {{"num", 3}, {.kind = SP_VALUE_NUMBER}},
        {{"str", 3}, {.kind = SP_VALUE_STRING, .as.text = {"a\"\n\xc3\xa9z", 6}}},
        {{"big", 3},
         {.kind = SP_VALUE_STRING,
          .as.text = {"0123456789012345678901234567890123456789", 40}}},
        {{"arr", 3}, {.kind = SP_VALUE_ARRAY, .as.array = {items, 1}}},
    };
    const struct sp_value body = {.kind = SP_VALUE_OBJECT, .as.object = {members, 7}};
    static const struct {
        const char *where, *detail;
    } cases[] = {
        {"body.int = 5", "body.int = 5: it is 9"},
        {"body.int = 9 and body.yes = false", "body.yes = false: it is true"},
        {"not body.int = 9", "body.int = 9: it is 9"},
        {"body.nul = 5", "body.nul = 5: it is null"},
        {"body.num = 5", "body.num = 5: it is a number that is no integer"},
        {"body.str = \"x\"", "body.str = \"x\": it is \"a????z\""},
        {"body.big = \"x\"", "body.big = \"x\": it is \"01234567890123456789012345678901…\""},
        {"body.arr = 5", "body.arr = 5: it is a list"},
        {"any(body.arr) = 5", "any(body.arr) = 5: it is a list"},
        {"not has body.int", "has body.int: it is 9"},
        {"has body.none", "has body.none: it is absent"},
        {"body only {int, yes, nul}", "body only {int, yes, nul}: it holds \"num\""},
        {"header.x-y = \"1\"", "header.x-y = \"1\": it is absent"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_string_equal(detail(kit, cases[i].where, &body), cases[i].detail);
    }
}

/* However long the atom, the detail is text of whole code points that fits. */
static void a_long_atom_is_cut_at_a_code_point(void **state)
{
    struct kit *kit = *state;
    const struct sp_value body = {.kind = SP_VALUE_OBJECT};
    for (size_t len = 60; len < 110; len++) {
        struct sp_buf where;
        sp_buf_init(&where, 4096);
        sp_buf_add_str(&where, "body.a = \"");
        for (size_t i = 0; i < len; i++) {
            sp_buf_add_str(&where, i % 2 ? "\xe2\x82\xac" : "x");
        }
        sp_buf_add_str(&where, "\"");
        const char *text = detail(kit, sp_buf_text(&where).ptr, &body);
        assert_true(sp_text_is_utf8(sp_text_of(text)));
        assert_non_null(strstr(text, "…: it is absent"));
        sp_buf_done(&where);
    }
}

/* ---- nothing relies on the caller ----------------------------------------------------------
 */

static void T24_a_body_that_nobody_judged_is_never_let_through(void **state)
{
    struct kit *kit = *state;
    const struct sp_scope *allow =
        kit_scope(kit, "allow POST https://h.test/ where not has body.admin");
    static const enum sp_body_kind kinds[] = {SP_BODY_NONE, SP_BODY_UNREAD, SP_BODY_OPAQUE,
                                              SP_BODY_JSON, SP_BODY_FORM,   SP_BODY_STREAMED};
    for (size_t i = 0; i < 6; i++) {
        struct sp_request request = kit_request(kit, "POST", "https://h.test/");
        request.body_kind = kinds[i]; /* and no value */
        request.body_reason = i == 2 ? "the body is larger than 1048576 bytes" : NULL;
        struct sp_verdict v = kit_match(allow, &request);
        assert_false(v.allowed);
        assert_int_equal(v.reason, SP_VERDICT_UNREADABLE);
        assert_true(i != 2 || strcmp(v.detail, request.body_reason) == 0);
    }
    const struct sp_scope *deny =
        kit_scope(kit, "allow POST https://h.test/\n"
                       "deny POST https://h.test/ where has body.admin");
    for (size_t i = 0; i < 6; i++) {
        struct sp_request request = kit_request(kit, "POST", "https://h.test/");
        request.body_kind = kinds[i];
        struct sp_verdict v = kit_match(deny, &request);
        assert_false(v.allowed);
        assert_int_equal(v.reason, SP_VERDICT_DENY_RULE);
    }
}

static void a_query_that_nobody_judged_is_never_let_through(void **state)
{
    struct kit *kit = *state;
    const struct sp_scope *scope =
        kit_scope(kit, "allow GET https://h.test/ where not has query.admin");
    struct sp_request request = kit_request(kit, "GET", "https://h.test/?x=1");
    assert_true(kit_match(scope, &request).allowed);
    request.query_value = NULL;
    assert_false(kit_match(scope, &request).allowed);
}

/* T18: a request has one method, of those that are known. */
static void T18_no_method_or_several_match_nothing(void **state)
{
    struct kit *kit = *state;
    const struct sp_scope *scope = kit_scope(kit, "allow * https://h.test/");
    struct sp_request request = kit_request(kit, "GET", "https://h.test/");
    static const unsigned methods[] = {0, SP_METHOD_GET | SP_METHOD_PUT, 1u << 7, ~0u};
    assert_true(kit_match(scope, &request).allowed);
    for (size_t i = 0; i < 4; i++) {
        request.method = methods[i];
        assert_false(kit_match(scope, &request).allowed);
    }
    static const char *const names[] = {"get", "Get", "BREW", "", "GET ", "TRACE", "CONNECT"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(sp_request_init(&kit->arena, sp_text_of(names[i]),
                                         SP_TEXT("https://h.test/"), &request, &kit->err),
                         SP_EINVAL);
    }
}

static void headers_are_found_in_any_case_even_so(void **state)
{
    struct kit *kit = *state;
    const struct sp_scope *scope =
        kit_scope(kit, "allow GET https://h.test/ where header.x-a = \"1\"");
    struct sp_request request = kit_request(kit, "GET", "https://h.test/");
    const struct sp_header twice[] = {{SP_TEXT("x-a"), SP_TEXT("1")},
                                      {SP_TEXT("X-A"), SP_TEXT("2")}};
    request.headers = twice;
    request.n_headers = 1;
    assert_true(kit_match(scope, &request).allowed);
    request.n_headers = 2;
    assert_int_equal(kit_match(scope, &request).reason, SP_VERDICT_UNREADABLE);
}

/* A scope of a policy still has its parameters: it allows nothing, and denies all it might. */
static void a_scope_that_is_not_frozen_lets_nothing_through(void **state)
{
    struct kit *kit = *state;
    assert_int_equal(
        kit_compile(kit, "sallyport 1\nscope s(p) {\n key k\n"
                         " allow GET https://h.test/{p}\n"
                         " allow GET https://h.test/x where query.q = p or query.q starts p"
                         " or query.q in {\"-\", p}\n"
                         " allow GET https://h.test/y/*\n deny * https://h.test/y/{p}\n}\n"),
        SP_OK);
    const struct sp_scope *scope = sp_policy_scope(kit->policy, 0);
    assert_false(kit_allows(kit, scope, "GET", "https://h.test/p"));
    assert_false(kit_allows(kit, scope, "GET", "https://h.test/%7Bp%7D"));
    assert_false(kit_allows(kit, scope, "GET", "https://h.test/x?q=p"));
    assert_true(kit_allows(kit, scope, "GET", "https://h.test/x?q=-"));
    assert_false(kit_allows(kit, scope, "GET", "https://h.test/y/z"));
}

static void the_body_is_wanted_only_where_a_rule_reads_it(void **state)
{
    struct kit *kit = *state;
    const struct sp_scope *scope =
        kit_scope(kit, "allow {GET POST} https://h.test/**\n"
                       "allow PUT https://h.test/a where body.x = 1\n"
                       "deny POST https://h.test/d/* where body only {x}\n");
    const struct {
        const char *method, *url;
        bool wanted;
    } cases[] = {
        {"PUT", "https://h.test/a", true},     {"GET", "https://h.test/a", false},
        {"PUT", "https://h.test/a/", false},   {"POST", "https://h.test/d/x", true},
        {"POST", "https://h.test/D/X/", true}, {"POST", "https://h.test/d%2Fx", true},
        {"PUT", "https://i.test/a", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sp_request request = kit_request(kit, cases[i].method, cases[i].url);
        assert_int_equal(sp_scope_wants_body(scope, &request), cases[i].wanted);
    }
}

/* T60: what Stripe does with a refund without an amount is to refund everything. */
static void T60_leaving_the_amount_out_is_never_a_way_through(void **state)
{
    struct kit *kit = *state;
    static const char *const bodies[] = {
        "charge=ch_1",       "amount=",  "amount[]=1",  "amount[x]=1", "amount=all",
        "amount=1&amount=9", "Amount=1", "amount%20=1", "amount=+1",   "amount=1e3"};
    static const char *const rules[] = {
        "allow POST https://h.test/r where body.amount in 1..5000",
        "allow POST https://h.test/r where not body.amount > 5000",
        "allow POST https://h.test/r where body.amount != 5001",
        "allow POST https://h.test/r where not (body.amount < 1 or body.amount > 5000)",
        "allow POST https://h.test/r\n deny POST https://h.test/r where body.amount > 5000",
        "allow POST https://h.test/r\n deny * https://h.test/* where not body.amount in 1..",
    };
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
        const struct sp_scope *scope = kit_scope(kit, rules[r]);
        struct sp_request good = kit_form(kit, "https://h.test/r", "amount=5000");
        assert_true(kit_match(scope, &good).allowed);
        for (size_t b = 0; b < sizeof bodies / sizeof *bodies; b++) {
            struct sp_request request = kit_form(kit, "https://h.test/r", bodies[b]);
            if (kit_match(scope, &request).allowed) {
                print_error("%s: %s\n", rules[r], bodies[b]);
                fail();
            }
        }
    }
}

/* T22: no pattern costs more than a step for each segment, and as much again where the path
 * holds %2F. A step of a deny compares texts without case, which is counted here. */
static size_t folds;

bool __real_sp_text_eq_fold(struct sp_text a, struct sp_text b);
bool __wrap_sp_text_eq_fold(struct sp_text a, struct sp_text b);
bool __wrap_sp_text_eq_fold(struct sp_text a, struct sp_text b)
{
    folds++;
    return __real_sp_text_eq_fold(a, b);
}

static void T22_pathological_patterns_take_linear_time(void **state)
{
    enum { RULES = 2000, SEGMENTS = 63 };
    static const char *const last[] = {"/a", "/a%2Fa"};
    struct kit *kit = *state;
    struct sp_buf rules, url;
    sp_buf_init(&rules, SP_SOURCE_MAX_BYTES);
    sp_buf_init(&url, SP_URL_MAX_BYTES);
    for (int i = 0; i < RULES / 2; i++) {
        sp_buf_add_str(&rules, "deny GET https://h.test");
        for (int s = 1; s < SEGMENTS; s++) {
            sp_buf_add_str(&rules, "/a*");
        }
        sp_buf_add_str(&rules, "/b\n");
        sp_buf_add_str(&rules, "deny GET https://h.test/a*/a*/a*/a*/a*/a*/a*/a*/b/**\n");
    }
    sp_buf_add_str(&rules, "allow GET https://h.test/**");
    const struct sp_scope *scope = kit_scope(kit, sp_buf_text(&rules).ptr);
    for (size_t split = 0; split < 2; split++) {
        sp_buf_reset(&url);
        sp_buf_add_str(&url, "https://h.test");
        for (int s = 1; s < SEGMENTS; s++) {
            sp_buf_add_str(&url, "/aaaaaaaaaaaaaaaaaaaa");
        }
        sp_buf_add_str(&url, last[split]);
        struct sp_request request = kit_request(kit, "GET", sp_buf_text(&url).ptr);
        folds = 0;
        assert_int_equal(kit_match(scope, &request).allowed, !split);
        assert_in_range(folds, RULES / 2 * (SEGMENTS - 1),
                        (1 + split) * RULES * (SEGMENTS + split));
    }
    sp_buf_done(&rules);
    sp_buf_done(&url);
}

static void explain_shows_each_rule_and_atom(void **state)
{
    struct kit *kit = *state;
    const struct sp_scope *scope = kit_scope(
        kit, "@read allow GET https://h.test/a\n"
             "@refund allow POST https://h.test/refunds where body.amount in 1..5000 and "
             "not body.admin = true\n"
             "@other allow POST https://i.test/refunds\n"
             "@deny deny POST https://h.test/refunds where body.reason = \"fraud\"\n");
    struct sp_request request = kit_form(kit, "https://h.test/refunds", "amount=9000");
    sp_scope_explain(scope, &request, &kit->text);
    assert_string_equal(
        kit->text.ptr, "allow read             another path\n"
                       "allow refund           condition not met\n"
                       "        false    body.amount in 1..5000: it is \"9000\"\n"
                       "        unknown  body.admin = true: it is absent\n"
                       "allow other            another host\n"
                       "deny  deny             matches (so it denies)\n"
                       "        unknown  body.reason = \"fraud\": it is absent\n"
                       "verdict: denied by deny; a deny rule fires, as what it reads is absent "
                       "or of the wrong type\n");
    sp_buf_reset(&kit->text);
    struct sp_request read = kit_request(kit, "GET", "https://h.test/a");
    sp_scope_explain(scope, &read, &kit->text);
    assert_non_null(strstr(kit->text.ptr, "verdict: allowed by read\n"));
    sp_buf_reset(&kit->text);
    struct sp_request none = kit_request(kit, "POST", "https://i.test/refunds/");
    sp_scope_explain(scope, &none, &kit->text);
    assert_non_null(
        strstr(kit->text.ptr, "verdict: denied; no rule for this host matches the path\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(matching_allocates_nothing),
        kit_test(the_reason_is_how_far_the_nearest_rule_got),
        kit_test(the_first_of_several_allows_is_named),
        kit_test(the_detail_names_the_atom_and_the_value),
        kit_test(a_long_atom_is_cut_at_a_code_point),
        kit_test(T24_a_body_that_nobody_judged_is_never_let_through),
        kit_test(a_query_that_nobody_judged_is_never_let_through),
        kit_test(T18_no_method_or_several_match_nothing),
        kit_test(headers_are_found_in_any_case_even_so),
        kit_test(a_scope_that_is_not_frozen_lets_nothing_through),
        kit_test(the_body_is_wanted_only_where_a_rule_reads_it),
        kit_test(T60_leaving_the_amount_out_is_never_a_way_through),
        kit_test(T22_pathological_patterns_take_linear_time),
        kit_test(explain_shows_each_rule_and_atom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
