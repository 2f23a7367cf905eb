/* Scopes that stand on their own: frozen, canonical text, caveats, the JSON form's. */
#include "policy_kit.h"

/* Freeze the first scope of a source with arguments name, value, name, value, …, NULL. */
static sp_status freeze(struct kit *kit, const char *text, const char *const *pairs,
                        struct sp_scope **ret_frozen)
{
    struct sp_arg args[8];
    size_t n = 0;
    for (; pairs[2 * n]; n++) {
        args[n] = (struct sp_arg){sp_text_of(pairs[2 * n]), sp_text_of(pairs[2 * n + 1])};
    }
    assert_int_equal(kit_compile(kit, text), SP_OK);
    return sp_scope_freeze(sp_policy_scope(kit->policy, 0), args, n, ret_frozen, &kit->err);
}

static const char *printed(struct kit *kit, const struct sp_scope *scope)
{
    sp_buf_reset(&kit->text);
    sp_scope_print(scope, &kit->text);
    return sp_buf_text(&kit->text).ptr;
}

static const char repo[] =
    "sallyport 1\nlet kinds = {\"b\", \"a\", \"b\"}\n"
    "let labels = https://h.test/repos/{owner}/labels\n"
    "scope repo(owner, tag) {\n"
    "  key k2, k1\n  ttl 4h\n  rate 30/min burst 5\n  mode observe\n"
    "  allow GET https://H.test./repos/{owner}/a%20b/*/pre*/{n:int}/**\n"
    "    where path.n > 3 # comment\n"
    "    rate 5/s\n"
    "  @two deny {PUT, GET} labels\n"
    "    where not (query.kind in kinds and body.\"odd name\" = tag\n"
    "      or any(body.l).x starts \"q\\\"\") or body only {all, \"x y\"}\n"
    "      or has header.X-A or body.n in 1.. or body.b = true\n"
    "  expect deny given (owner = \"a\", tag = \"b\") GET https://h.test/\n"
    "}\n";

static void canonical_text_is_this(void **state)
{
    struct kit *kit = *state;
    struct sp_scope *frozen = NULL;
    const char *const args[] = {"owner", "ac*me", "tag", "line\nbreak \"x\\", NULL};
    assert_int_equal(freeze(kit, repo, args, &frozen), SP_OK);
    assert_string_equal(printed(kit, frozen),
                        "sallyport 1\n"
                        "scope \"repo\" {\n"
                        "  key \"k2\"\n"
                        "  key \"k1\"\n"
                        "  ttl 14400000ms\n"
                        "  mode observe\n"
                        "  rate 30/60000ms burst 5\n"
                        "  allow {GET} https://h.test/repos/ac%2Ame/a%20b/*/pre*/{n:int}/**\n"
                        "    where path.n > 3\n"
                        "  rate 5/1000ms\n"
                        "  @two deny {GET PUT} https://h.test/repos/ac%2Ame/labels\n"
                        "    where not (query.kind in {\"a\", \"b\"} and body.\"odd name\" = "
                        "\"line\\x0abreak \\\"x\\\\\" or any(body.l).\"x\" starts \"q\\\"\") "
                        "or body only {all, "
                        "\"x y\"} or has header.x-a or body.n in 1.. or body.b = true\n"
                        "}\n");
    sp_scope_free(frozen);
}

static void equal_scopes_print_equal_bytes(void **state)
{
    struct kit *kit = *state;
    struct sp_scope *a = NULL, *b = NULL, *c = NULL;
    struct sp_error err = {""};
    const char *const none[] = {NULL};
    struct sp_buf first;
    sp_buf_init(&first, 1 << 16);
    assert_int_equal(freeze(kit,
                            "sallyport 1\nscope s {\n key k\n ttl 60s\n allow {POST GET} "
                            "https://h.test/%61/ where query.x in {3, 1, 2, 1}\n}\n",
                            none, &a),
                     SP_OK);
    assert_int_equal(freeze(kit,
                            "# other words\nsallyport 1\nlet s = {1, 2, 3}\nscope \"s\" {\n"
                            "key \"k\"   ttl 1m\n allow {GET,POST} https://H.test:443/a/\n\n"
                            "where (query.x in s)\n}\n",
                            none, &b),
                     SP_OK);
    sp_scope_print(a, &first);
    assert_string_equal(printed(kit, b), first.ptr);
    assert_int_equal(sp_scope_parse(sp_buf_text(&first), &c, &err), SP_OK);
    assert_string_equal(printed(kit, c), first.ptr);
    sp_scope_free(a);
    sp_scope_free(b);
    sp_scope_free(c);
    sp_scope_free(NULL);
    sp_buf_done(&first);
}

static void a_frozen_scope_outlives_its_policy(void **state)
{
    struct kit *kit = *state;
    struct sp_scope *frozen = NULL;
    const char *const args[] = {"owner", "acme", "tag", "t", NULL};
    assert_int_equal(freeze(kit, repo, args, &frozen), SP_OK);
    sp_policy_free(kit->policy);
    kit->policy = NULL;
    assert_int_equal(sp_scope_n_params(frozen), 0);
    assert_int_equal(sp_scope_n_rules(frozen), 2);
    assert_true(sp_scope_observes(frozen));
    assert_true(kit_allows(kit, frozen, "GET", "https://h.test/repos/acme/a%20b/x/prey/4/z"));
    sp_scope_free(frozen);
}

static void every_parameter_has_exactly_one_argument(void **state)
{
    struct kit *kit = *state;
    static const char *const bad[][9] = {
        {NULL},
        {"owner", "a", NULL},
        {"owner", "a", "tag", "b", "more", "c", NULL},
        {"owner", "a", "owner", "b", "tag", "c", NULL},
        {"owner", "a", "tga", "b", NULL},
        {"Owner", "a", "tag", "b", NULL},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sp_scope *frozen = NULL;
        kit->err.text[0] = '\0';
        assert_int_equal(freeze(kit, repo, bad[i], &frozen), SP_EINVAL);
        assert_null(frozen);
        assert_true(kit->err.text[0] != '\0');
    }
}

static void T62_an_argument_is_one_segment_or_it_is_refused(void **state)
{
    struct kit *kit = *state;
    static const char *const bad[] = {"",      "/",    "a/b",  "..",   ".",   "a\nb",
                                      "\xff",  "a;b",  "a\\b", "a?b",  "a#b", "%41",
                                      "a\x7f", "\x01", "%2F",  "a%00b"};
    static const char *const good[] = {"*",     "**",       "a*", "{x}",   "a b", "use \"x\"",
                                       "@a",    "\"",       "%",  "%zz",   "...", "a:b",
                                       "a&b=c", "\xc3\xa9", "}",  "where", "a,b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sp_scope *frozen = NULL;
        const char *const args[] = {"owner", bad[i], "tag", "t", NULL};
        assert_int_equal(freeze(kit, repo, args, &frozen), SP_EINVAL);
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct sp_scope *frozen = NULL;
        const char *const args[] = {"owner", good[i], "tag", "t", NULL};
        assert_int_equal(freeze(kit, repo, args, &frozen), SP_OK);
        assert_int_equal(sp_scope_n_rules(frozen), 2);
        assert_false(
            kit_allows(kit, frozen, "GET", "https://h.test/repos/other/a%20b/x/prey/4/z"));
        sp_scope_free(frozen);
    }
    /* longer than the limit, and with NUL */
    char longer[1025];
    struct sp_scope *frozen = NULL;
    memset(longer, 'a', sizeof longer);
    struct sp_arg args[] = {{SP_TEXT("owner"), {longer, 1025}}, {SP_TEXT("tag"), {"a\0b", 3}}};
    const struct sp_scope *scope = sp_policy_scope(kit->policy, 0);
    assert_int_equal(sp_scope_freeze(scope, args, 2, &frozen, &kit->err), SP_EINVAL);
    args[0].value.len = 1024;
    assert_int_equal(sp_scope_freeze(scope, args, 2, &frozen, &kit->err), SP_EINVAL);
    args[1].value.len = 1;
    assert_int_equal(sp_scope_freeze(scope, args, 2, &frozen, &kit->err), SP_OK);
    sp_scope_free(frozen);
}

/* A value in a condition can be any text: it is compared, and never read as a rule. */
static void T62_a_value_in_a_condition_is_any_text(void **state)
{
    struct kit *kit = *state;
    const char *text = "sallyport 1\nscope s(v) {\n key k\n allow GET https://h.test/ where "
                       "query.x = v or query.x in {v, \"z\"} or header.h starts v\n}\n";
    static const char *const values[] = {
        "\"\n}\nscope evil {\n  key other\n  allow * https://h.test/**\n}\n",
        "a/b",
        "..",
        "\\",
        "\" or not has query.zzz or \"",
        "\x01\x02",
        "*",
        "\xe2\x80\xae"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct sp_scope *frozen = NULL;
        const char *const args[] = {"v", values[i], NULL};
        assert_int_equal(freeze(kit, text, args, &frozen), SP_OK);
        assert_int_equal(sp_scope_n_rules(frozen), 1);
        assert_int_equal(sp_scope_n_keys(frozen), 1);
        assert_false(kit_allows(kit, frozen, "GET", "https://h.test/?x=evil"));
        assert_true(kit_allows(kit, frozen, "GET", "https://h.test/?x=z"));
        assert_false(kit_allows(kit, frozen, "GET", "https://h.test/other"));
        sp_scope_free(frozen);
    }
}

static void only_one_plain_scope_is_canonical_text(void **state)
{
    struct kit *kit = *state;
    static const char *const bad[] = {
        "",
        "sallyport 1\n",
        "scope s { key k }",
        "sallyport 1\nscope s { key k }\nscope t { key k }\n",
        "sallyport 1\nscope s(x) { key k\n allow GET https://h.test/{x} }\n",
        "sallyport 1\nlet a = {1}\nscope s { key k }\n",
        "sallyport 1\nuse \"f\"\nscope s { key k }\n",
        "sallyport 1\nclient c { }\nscope s { key k }\n",
        "sallyport 1\nscope s { key k\n allow GET https://h.test/{x} }\n",
        "sallyport 1\nscope s { key k\n allow GET https://h.test/ where query.x in a }\n",
        "sallyport 1\nscope s { key k }\n\xff",
        "sallyport 1\nscope s { key k\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sp_scope *scope = NULL;
        kit->err.text[0] = '\0';
        assert_int_equal(sp_scope_parse(sp_text_of(bad[i]), &scope, &kit->err), SP_EINVAL);
        assert_null(scope);
        assert_true(kit->err.text[0] != '\0');
    }
}

/* ---- caveats -------------------------------------------------------------------------------
 */

static sp_status caveat(struct kit *kit, const char *text, struct sp_scope **ret_caveat)
{
    *ret_caveat = NULL;
    kit->err.text[0] = '\0';
    return sp_caveat_parse(sp_text_of(text), ret_caveat, &kit->err);
}

static void a_caveat_with_allows_permits_only_those(void **state)
{
    struct kit *kit = *state;
    struct sp_scope *c;
    assert_int_equal(
        caveat(kit, "@a allow GET https://h.test/a/*\nallow GET https://h.test/b", &c), SP_OK);
    assert_true(kit_allows(kit, c, "GET", "https://h.test/a/x"));
    assert_true(kit_allows(kit, c, "GET", "https://h.test/b"));
    assert_false(kit_allows(kit, c, "GET", "https://h.test/c"));
    assert_false(kit_allows(kit, c, "POST", "https://h.test/b"));
    sp_scope_free(c);
}

static void a_caveat_without_allows_takes_away_what_it_denies(void **state)
{
    struct kit *kit = *state;
    struct sp_scope *c;
    assert_int_equal(caveat(kit, "deny {POST DELETE} https://h.test/**", &c), SP_OK);
    assert_true(kit_allows(kit, c, "GET", "https://h.test/a"));
    assert_true(kit_allows(kit, c, "GET", "https://else.test/a"));
    assert_false(kit_allows(kit, c, "POST", "https://h.test/a"));
    sp_scope_free(c);
    assert_int_equal(caveat(kit, "until \"2026-11-23T18:00:00Z\"", &c), SP_OK);
    assert_true(kit_allows(kit, c, "DELETE", "https://h.test/a"));
    assert_true(sp_scope_until_ms(c) == 1795456800000);
    sp_scope_free(c);
}

/* T14: a caveat can say nothing that would widen, and nothing that only a policy may say. */
static void T14_a_caveat_holds_rules_and_a_time_and_nothing_else(void **state)
{
    struct kit *kit = *state;
    static const char *const bad[] = {
        "",
        "   \n# nothing\n",
        "sallyport 1",
        "key other\n",
        "ttl 99h",
        "rate 1000/s",
        "allow GET https://h.test/\nrate 1000/s",
        "mode observe",
        "scope s { key k\n allow * https://h.test/** }",
        "let a = {1}",
        "use \"file\"",
        "expect allow GET https://h.test/",
        "client c { curve \"Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID\" }",
        "budget sum(body.a) <= 1 per day",
        "allow GET https://h.test/{x}",
        "allow GET https://h.test/ where query.a in names",
        "allow GET https://h.test/ where query.a = name",
        "allow GET named",
        "until \"2026-11-23T18:00:00Z\"\nuntil \"2027-11-23T18:00:00Z\"",
        "allow GET https://h.test/ }",
        "allow GET https://h.test/\x01",
        "deny GET https://h.test/ and more",
        "\xff",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sp_scope *c;
        if (caveat(kit, bad[i], &c) != SP_EINVAL) {
            print_error("%s\n", bad[i]);
            fail();
        }
        assert_null(c);
        assert_true(kit->err.text[0] != '\0');
    }
}

static void a_caveat_has_a_size(void **state)
{
    struct kit *kit = *state;
    char text[SP_CAVEAT_MAX_BYTES + 1];
    struct sp_scope *c = NULL;
    memset(text, ' ', sizeof text);
    memcpy(text, "deny GET https://h.test/", 24);
    assert_int_equal(
        sp_caveat_parse((struct sp_text){text, SP_CAVEAT_MAX_BYTES}, &c, &kit->err), SP_OK);
    sp_scope_free(c);
    c = NULL;
    assert_int_equal(
        sp_caveat_parse((struct sp_text){text, SP_CAVEAT_MAX_BYTES + 1}, &c, &kit->err),
        SP_EINVAL);
}

static void until_is_a_time_in_utc_that_exists(void **state)
{
    struct kit *kit = *state;
    static const struct {
        const char *text;
        uint64_t ms; /* 0: refused */
    } cases[] = {
        {"1970-01-01T00:00:01Z", 1000},
        {"2000-02-29T23:59:59Z", 951868799000},
        {"2026-11-23T18:00:00.250Z", 1795456800250},
        {"9999-12-31T23:59:59.999Z", 253402300799999},
        {"2024-03-01T00:00:00Z", 1709251200000},
        {"2100-02-29T00:00:00Z", 0},
        {"2026-02-29T00:00:00Z", 0},
        {"2026-13-01T00:00:00Z", 0},
        {"2026-00-01T00:00:00Z", 0},
        {"2026-01-00T00:00:00Z", 0},
        {"2026-04-31T00:00:00Z", 0},
        {"2026-01-01T24:00:00Z", 0},
        {"2026-01-01T00:60:00Z", 0},
        {"2026-01-01T00:00:60Z", 0},
        {"2026-01-01T00:00:00", 0},
        {"2026-01-01T00:00:00+00:00", 0},
        {"2026-01-01 00:00:00Z", 0},
        {"2026-01-01T00:00:00.5Z", 0},
        {"2026-01-01T00:00:00Zx", 0},
        {"26-01-01T00:00:00Z", 0},
        {"1969-12-31T23:59:59Z", 0},
        {"+026-01-01T00:00:00Z", 0},
        {"", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sp_scope *c;
        char text[80];
        (void)snprintf(text, sizeof text, "until \"%s\"", cases[i].text);
        assert_int_equal(caveat(kit, text, &c), cases[i].ms ? SP_OK : SP_EINVAL);
        if (cases[i].ms) {
            assert_true(sp_scope_until_ms(c) == cases[i].ms);
        }
        sp_scope_free(c);
    }
}

/* ---- the JSON form -------------------------------------------------------------------------
 */

static void the_json_form_means_all_paths_of_its_hosts(void **state)
{
    struct kit *kit = *state;
    const struct sp_text keys[] = {SP_TEXT("k1"), SP_TEXT("k \"2\"")};
    const struct sp_text hosts[] = {SP_TEXT("a.test"), SP_TEXT("b.test")};
    struct sp_scope *s = NULL;
    assert_int_equal(sp_scope_of_domains(NULL, SP_TEXT("json"), keys, 2,
                                         SP_METHOD_GET | SP_METHOD_POST, hosts, 2, 30, 14400000,
                                         &s, &kit->err),
                     SP_OK);
    assert_int_equal(sp_scope_n_keys(s), 2);
    assert_true(sp_text_is(sp_scope_key(s, 1), "k \"2\""));
    assert_int_equal(sp_scope_ttl_ms(s), 14400000);
    assert_int_equal(sp_scope_rate(s).count, 30);
    assert_int_equal(sp_scope_rate(s).window_ms, 60000);
    assert_int_equal(sp_scope_n_rules(s), 2);
    assert_true(kit_allows(kit, s, "GET", "https://a.test/x/y?z=1"));
    assert_true(kit_allows(kit, s, "POST", "https://b.test/x"));
    assert_false(kit_allows(kit, s, "DELETE", "https://b.test/x"));
    assert_false(kit_allows(kit, s, "GET", "https://c.test/x"));
    assert_false(kit_allows(kit, s, "GET", "http://a.test/x"));
    sp_scope_free(s);
}

static void T62_the_json_form_takes_only_canonical_hosts(void **state)
{
    struct kit *kit = *state;
    const struct sp_text keys[] = {SP_TEXT("k")};
    static const char *const bad[] = {"A.test",
                                      "a.test.",
                                      "a.test:443",
                                      "127.0.0.1",
                                      "*",
                                      "*.test",
                                      "a.test/** allow",
                                      "",
                                      "a.test/x\n  allow * https://b.test/**\n",
                                      "{x}",
                                      "[::1]",
                                      "user@a.test",
                                      "https://a.test"};
    struct sp_scope *s = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sp_text host = sp_text_of(bad[i]);
        assert_int_equal(sp_scope_of_domains(NULL, SP_TEXT("json"), keys, 1, SP_METHOD_GET,
                                             &host, 1, 0, 0, &s, &kit->err),
                         SP_EINVAL);
    }
    struct sp_text host = SP_TEXT("a.test");
    assert_int_equal(sp_scope_of_domains(NULL, SP_TEXT("json"), keys, 0, SP_METHOD_GET, &host,
                                         1, 0, 0, &s, &kit->err),
                     SP_EINVAL);
    assert_int_equal(
        sp_scope_of_domains(NULL, SP_TEXT("json"), keys, 1, 0, &host, 1, 0, 0, &s, &kit->err),
        SP_EINVAL);
    assert_int_equal(sp_scope_of_domains(NULL, SP_TEXT("json"), keys, 1, SP_METHOD_ALL + 1,
                                         &host, 1, 0, 0, &s, &kit->err),
                     SP_EINVAL);
    assert_int_equal(sp_scope_of_domains(NULL, SP_TEXT("json"), keys, 1, SP_METHOD_GET, &host,
                                         1, 0, 0, &s, &kit->err),
                     SP_OK);
    assert_int_equal(sp_scope_rate(s).count, 0);
    assert_int_equal(sp_scope_ttl_ms(s), 0);
    sp_scope_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(canonical_text_is_this),
        kit_test(equal_scopes_print_equal_bytes),
        kit_test(a_frozen_scope_outlives_its_policy),
        kit_test(every_parameter_has_exactly_one_argument),
        kit_test(T62_an_argument_is_one_segment_or_it_is_refused),
        kit_test(T62_a_value_in_a_condition_is_any_text),
        kit_test(only_one_plain_scope_is_canonical_text),
        kit_test(a_caveat_with_allows_permits_only_those),
        kit_test(a_caveat_without_allows_takes_away_what_it_denies),
        kit_test(T14_a_caveat_holds_rules_and_a_time_and_nothing_else),
        kit_test(a_caveat_has_a_size),
        kit_test(until_is_a_time_in_utc_that_exists),
        kit_test(the_json_form_means_all_paths_of_its_hosts),
        kit_test(T62_the_json_form_takes_only_canonical_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
