/* Actions that a provider's catalogue marks as escalating: only a literal allow reaches one. */
#include "policy_kit.h"

static const struct sp_text host = {"api.test", 8};
static const struct sp_catalogue_action actions[] = {
#define ACTION(name, method, path, esc)                                                        \
    {                                                                                          \
        {name, sizeof name - 1}, {path, sizeof path - 1}, SP_METHOD_##method, .escalates = esc \
    }
    ACTION("issues/create", POST, "/repos/{owner}/{repo}/issues", false),
    ACTION("hooks/list", GET, "/repos/{owner}/{repo}/hooks", false),
    ACTION("hooks/create", POST, "/repos/{owner}/{repo}/hooks", true),
    ACTION("hooks/update", PATCH, "/repos/{owner}/{repo}/hooks/{hook_id}", true),
    ACTION("keys/create", POST, "/user/keys", true),
    ACTION("teams/get-legacy", GET, "/teams/{team_id}", false),
    ACTION("teams/get", GET, "/orgs/{org}/teams/{team_slug}", false),
    ACTION("guard/loosen", PUT, "/repos/{owner}/{repo}/branches/{branch...}/protection", true),
    {{"graphql", 7}, {"/graphql", 8}, SP_METHOD_POST, .escalates = true, .is_graphql = true},
    {{"payments", 8}, {"/payments", 9}, SP_METHOD_POST, .has_currency = true},
    {{"payouts", 7}, {"/accounts/{a}/payouts", 21}, SP_METHOD_POST, .has_currency = true},
};
static const struct sp_catalogue catalogue = {
    {"forge", 5}, &host, 1, actions, sizeof actions / sizeof *actions};

static size_t catalogues(void *user, struct sp_text id, const struct sp_catalogue **ret_list)
{
    (void)user;
    *ret_list = &catalogue;
    return sp_text_is(id, "k");
}
static const struct sp_world world = {.catalogues = catalogues};

/* The scope s with these rules; NULL where it does not compile. */
static const struct sp_scope *scope_of(struct kit *kit, const char *rules)
{
    struct sp_buf text;
    sp_buf_init(&text, SP_SOURCE_MAX_BYTES);
    sp_buf_addf(&text, "sallyport 1\nscope s {\n  key k\n  ttl 1h\n%s\n}\n", rules);
    struct sp_text copy = sp_arena_copy(&kit->arena, sp_buf_text(&text));
    sp_buf_done(&text);
    return kit_compile_in(kit, &world, copy) ? NULL : sp_policy_scope(kit->policy, 0);
}

#define ANY "  allow * https://api.test/**\n"

static void T64_a_wildcard_reaches_no_action_that_escalates(void **state)
{
    static const char *const wild[] = {
        ANY,
        "  allow * https://api.test/repos/acme/**\n",
        "  allow POST https://api.test/repos/acme/site/*\n",
        "  allow POST https://api.test/repos/acme/site/h*\n",
        "  allow POST https://api.test/repos/{o:any}/{r:any}/hooks\n",
        "  allow * https://api.test/repos/acme/site/hooks\n"};
    struct kit *kit = *state;
    for (size_t i = 0; i < sizeof wild / sizeof *wild; i++) {
        const struct sp_scope *s = scope_of(kit, wild[i]);
        assert_non_null(s);
        assert_true(kit_said(kit, "W192", NULL));
        assert_false(kit_allows(kit, s, "POST", "https://api.test/repos/acme/site/hooks"));
        assert_false(kit_allows(kit, s, "POST", "https://api.test/repos/acme/site/HOOKS/"));
    }
    const struct sp_scope *s = scope_of(kit, ANY);
    assert_false(kit_allows(kit, s, "POST", "https://api.test/user/keys"));
    assert_false(kit_allows(kit, s, "PATCH", "https://api.test/repos/a/b/hooks/1"));
    assert_true(kit_allows(kit, s, "GET", "https://api.test/repos/a/b/hooks"));
    assert_true(kit_allows(kit, s, "POST", "https://api.test/repos/a/b/issues"));
    /* a name of several segments, however many */
    assert_false(kit_allows(kit, s, "PUT", "https://api.test/repos/a/b/branches/x/protection"));
    assert_false(
        kit_allows(kit, s, "PUT", "https://api.test/repos/a/b/branches/x/y/z/v/protection"));
}

static void a_literal_allow_reaches_it_and_nothing_beside_it(void **state)
{
    struct kit *kit = *state;
    const struct sp_scope *s =
        scope_of(kit, ANY "  allow POST https://api.test/repos/acme/site/hooks\n  escalates\n"
                          "  allow {PUT POST} https://api.test/user/keys\n  escalates\n"
                          "  allow PUT https://api.test/repos/a/b/branches/x/y/protection\n");
    assert_non_null(s);
    assert_true(kit_said(kit, "W190", NULL)); /* of the one that is not marked */
    assert_false(kit_said(kit, "W191", NULL));
    assert_true(kit_allows(kit, s, "POST", "https://api.test/repos/acme/site/hooks"));
    assert_true(kit_allows(kit, s, "POST", "https://api.test/user/keys"));
    assert_true(
        kit_allows(kit, s, "PUT", "https://api.test/repos/a/b/branches/x/y/protection"));
    assert_false(kit_allows(kit, s, "POST", "https://api.test/repos/acme/other/hooks"));
    assert_false(kit_allows(kit, s, "POST", "https://api.test/repos/ACME/site/hooks"));
    assert_false(kit_allows(kit, s, "PUT", "https://api.test/repos/a/b/branches/x/protection"));
    assert_false(
        kit_allows(kit, s, "PUT", "https://api.test/repos/a/b/branches/x/z/protection"));
    assert_false(
        kit_allows(kit, s, "PUT", "https://api.test/repos/a/b/branches/x/y/z/protection"));
}

static void a_wildcard_does_not_help_where_the_literal_allows_condition_is_not_met(void **state)
{
    struct kit *kit = *state;
    const struct sp_scope *s = scope_of(
        kit, ANY "  allow POST https://api.test/user/keys where body.read_only = true\n");
    assert_non_null(s);
    struct sp_request good = kit_form(kit, "https://api.test/user/keys", "read_only=true");
    struct sp_request bad = kit_form(kit, "https://api.test/user/keys", "read_only=false");
    struct sp_request none = kit_form(kit, "https://api.test/user/keys", "x=1");
    assert_true(kit_match(s, &good).allowed);
    assert_false(kit_match(s, &bad).allowed);
    assert_false(kit_match(s, &none).allowed);
}

static void a_parameter_is_literal_once_it_is_filled_in(void **state)
{
    struct kit *kit = *state;
    struct sp_scope *frozen = NULL;
    const struct sp_arg args[] = {{SP_TEXT("owner"), SP_TEXT("acme")},
                                  {SP_TEXT("repo"), SP_TEXT("1")}};
    assert_int_equal(
        kit_compile_in(
            kit, &world,
            SP_TEXT("sallyport 1\nscope s(owner, repo) {\n  key k\n  ttl 1h\n" ANY
                    "  allow POST https://api.test/repos/{owner}/{repo}/hooks\n}\n")),
        SP_OK);
    assert_int_equal(
        sp_scope_freeze(sp_policy_scope(kit->policy, 0), args, 2, &frozen, &kit->err), SP_OK);
    assert_true(kit_allows(kit, frozen, "POST", "https://api.test/repos/acme/1/hooks"));
    assert_false(kit_allows(kit, frozen, "POST", "https://api.test/repos/acme/2/hooks"));
    sp_scope_free(frozen);
}

/* A token keeps what was decided when it was issued: the denies are in its text. */
static void the_frozen_text_carries_the_denies_and_says_why(void **state)
{
    struct kit *kit = *state;
    struct sp_scope *frozen = NULL, *again = NULL;
    struct sp_buf text, back;
    sp_buf_init(&text, 1 << 20);
    sp_buf_init(&back, 1 << 20);
    const struct sp_scope *s =
        scope_of(kit, ANY "  allow POST https://api.test/repos/acme/site/hooks\n");
    assert_int_equal(sp_scope_freeze(s, NULL, 0, &frozen, &kit->err), SP_OK);
    sp_scope_print(frozen, &text);
    assert_int_equal(sp_scope_parse(sp_buf_text(&text), &again, &kit->err), SP_OK);
    sp_scope_print(again, &back);
    assert_true(sp_text_eq(sp_buf_text(&text), sp_buf_text(&back)));
    struct sp_request request = kit_request(kit, "POST", "https://api.test/repos/a/b/hooks");
    struct sp_verdict verdict = kit_match(again, &request);
    assert_false(verdict.allowed);
    assert_true(sp_rule_is_implied(verdict.rule));
    assert_true(sp_text_is(sp_rule_label(verdict.rule), "escalates-forge-hooks-create"));
    assert_non_null(strstr(verdict.detail, "it needs a literal allow"));
    sp_scope_free(again);
    sp_scope_free(frozen);
    sp_buf_done(&back);
    sp_buf_done(&text);
}

static void T64_the_json_form_never_reaches_it_and_is_still_proved_inside(void **state)
{
    struct kit *kit = *state;
    struct sp_scope *json = NULL;
    const struct sp_text key = SP_TEXT("k");
    static const char *const rules[] = {
        ANY, ANY "  allow POST https://api.test/repos/acme/site/hooks\n",
        ANY "  allow POST https://api.test/user/keys where body.read_only = true\n"};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        const struct sp_scope *s = scope_of(kit, rules[i]);
        assert_int_equal(sp_scope_of_domains(kit->policy, SP_TEXT("json"), &key, 1,
                                             SP_METHOD_ALL, &host, 1, 0, 60000, &json,
                                             &kit->err),
                         SP_OK);
        assert_false(kit_allows(kit, json, "POST", "https://api.test/repos/acme/site/hooks"));
        assert_false(kit_allows(kit, json, "POST", "https://api.test/user/keys"));
        assert_true(kit_allows(kit, json, "GET", "https://api.test/user/keys"));
        assert_int_equal(sp_scope_includes(s, json, &kit->err), SP_INCLUDED);
        sp_scope_free(json);
    }
}

static void marks_and_labels_are_checked(void **state)
{
    struct kit *kit = *state;
    assert_null(scope_of(kit, ANY "  escalates\n"));
    assert_true(kit_said(kit, "E190", NULL));
    assert_null(scope_of(kit, "  deny POST https://api.test/user/keys\n  escalates\n"));
    assert_true(kit_said(kit, "E048", NULL));
    assert_null(scope_of(kit, "  escalates\n"));
    assert_true(kit_said(kit, "E048", NULL));
    assert_null(scope_of(kit, "  @escalates-x deny POST https://api.test/user/keys\n"));
    assert_true(kit_said(kit, "E191", NULL));
    assert_non_null(scope_of(kit, "  allow POST https://api.test/user/keys\n  escalates\n"));
    assert_false(kit_said(kit, "W190", NULL));
    assert_non_null(scope_of(kit, "  allow GET https://api.test/user/keys\n  escalates\n"));
    assert_true(kit_said(kit, "W191", NULL));
    struct sp_buf many;
    sp_buf_init(&many, 1 << 20);
    sp_buf_add_str(&many, ANY);
    for (int i = 0; i < 260; i++) {
        sp_buf_addf(&many, "  allow POST https://api.test/repos/a/r%d/hooks\n", i);
    }
    sp_buf_add_byte(&many, '\0');
    assert_null(scope_of(kit, many.ptr));
    assert_true(kit_said(kit, "E192", NULL));
    sp_buf_done(&many);
}

static void a_deny_of_one_path_of_a_resource_is_a_warning(void **state)
{
    struct kit *kit = *state;
    const struct sp_diag *diag = NULL;
    assert_non_null(scope_of(
        kit, "  allow GET https://api.test/**\n  deny GET https://api.test/teams/*\n"));
    assert_true(kit_said(kit, "W193", &diag));
    assert_non_null(strstr(diag->message, "this denies teams/get-legacy, but teams/get"));
    static const char *const good[] = {
        ("  allow GET https://api.test/**\n  deny GET https://api.test/teams/*\n"
         "  deny GET https://api.test/orgs/*/teams/*\n"),
        "  allow GET https://api.test/teams/**\n  deny GET https://api.test/teams/*\n",
        "  allow * https://api.test/**\n  deny DELETE https://api.test/teams/*\n"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_non_null(scope_of(kit, good[i]));
        assert_false(kit_said(kit, "W193", NULL));
    }
}

/* 240 literal allows of one action: the text can still be parsed back. */
static void many_literal_allows_of_one_action_freeze(void **state)
{
    struct kit *kit = *state;
    struct sp_scope *frozen = NULL;
    struct sp_buf many;
    sp_buf_init(&many, 1 << 20);
    sp_buf_add_str(&many, ANY);
    for (int i = 0; i < 240; i++) {
        sp_buf_addf(&many, "  allow POST https://api.test/repos/a/r%d/hooks\n", i);
    }
    sp_buf_add_byte(&many, '\0');
    const struct sp_scope *s = scope_of(kit, many.ptr);
    assert_non_null(s);
    assert_int_equal(sp_scope_freeze(s, NULL, 0, &frozen, &kit->err), SP_OK);
    assert_true(kit_allows(kit, frozen, "POST", "https://api.test/repos/a/r239/hooks"));
    assert_false(kit_allows(kit, frozen, "POST", "https://api.test/repos/a/r240/hooks"));
    sp_scope_free(frozen);
    sp_buf_done(&many);
}

/* `{x}` is data of whoever issues, who could say "keys". */
static void T64_a_parameter_does_not_become_an_action_that_escalates(void **state)
{
    struct kit *kit = *state;
    struct sp_scope *frozen = NULL;
    static const char *const values[] = {"keys", "KEYS", "emails"};
    for (size_t i = 0; i < 3; i++) {
        const struct sp_arg arg = {SP_TEXT("what"), sp_text_of(values[i])};
        assert_int_equal(
            kit_compile_in(kit, &world,
                           SP_TEXT("sallyport 1\nscope s(what) {\n  key k\n  ttl 1h\n"
                                   "  allow POST https://api.test/user/{what}\n}\n")),
            SP_OK);
        assert_true(kit_said(kit, "W192", NULL));
        assert_int_equal(
            sp_scope_freeze(sp_policy_scope(kit->policy, 0), &arg, 1, &frozen, &kit->err),
            SP_OK);
        assert_false(kit_allows(kit, frozen, "POST", "https://api.test/user/keys"));
        assert_int_equal(kit_allows(kit, frozen, "POST", "https://api.test/user/emails"),
                         i == 2);
        sp_scope_free(frozen);
    }
}

static void
T64_graphql_is_out_of_reach_of_wildcards_and_of_rules_without_its_document(void **state)
{
#define GRAPHQL "  allow POST https://api.test/graphql\n  "
    static const char *const open[] = {
        GRAPHQL,
        GRAPHQL "where body.query starts \"query\"",
        GRAPHQL "where body.operationName = \"Read\"",
        GRAPHQL "where not body.query = \"mutation { x }\"",
        GRAPHQL "where body.query != \"mutation { x }\"",
        GRAPHQL "where body.query = \"{ a }\" or body.operationName = \"Read\"",
        GRAPHQL "where body.variables.query = \"{ a }\"",
        GRAPHQL "where query.query = \"{ a }\"",
        GRAPHQL "where body.query in {1, 2}",
        "  allow {GET POST} https://api.test/graphql/\n",
        "  allow POST https://api.test/GraphQL\n",
    };
    static const char *const pinned[] = {
        GRAPHQL "where body.query = \"{ a }\"\n  escalates\n",
        GRAPHQL
        "where body.query in {\"{ a }\", \"{ b }\"} and body only {query}\n  escalates\n",
        GRAPHQL "where (body.query = \"{ a }\" or body.query = \"{ b }\") and "
                "body.operationName = \"A\"\n  escalates\n",
    };
    struct kit *kit = *state;
    for (size_t i = 0; i < sizeof open / sizeof *open; i++) {
        if (scope_of(kit, open[i]) || !kit_said(kit, "E193", NULL)) {
            fail_msg("%s", open[i]);
        }
    }
    struct sp_request good = kit_form(kit, "https://api.test/graphql", "query=%7B+a+%7D");
    struct sp_request other = kit_form(kit, "https://api.test/graphql", "query=%7B+a+%7D+");
    for (size_t i = 0; i < sizeof pinned / sizeof *pinned; i++) {
        const struct sp_scope *s = scope_of(kit, pinned[i]);
        assert_non_null(s);
        assert_false(kit_match(s, &other).allowed);
        if (i < 2) {
            assert_true(kit_match(s, &good).allowed);
        }
    }
    const struct sp_scope *s = scope_of(kit, ANY);
    assert_false(kit_match(s, &good).allowed);
#undef GRAPHQL
}

static void a_parameter_pins_no_document(void **state)
{
    struct kit *kit = *state;
    assert_int_equal(
        kit_compile_in(kit, &world,
                       SP_TEXT("sallyport 1\nscope s(q) {\n  key k\n  ttl 1h\n  allow POST "
                               "https://api.test/graphql where body.query = q\n}\n")),
        SP_EINVAL);
    assert_true(kit_said(kit, "E193", NULL));
}

static void a_sum_over_what_has_a_currency_wants_one(void **state)
{
    struct kit *kit = *state;
    static const struct {
        const char *rules;
        bool said;
    } rows[] = {
        {"  allow POST https://api.test/payments where body.amount in 1..9\n"
         "    budget sum(body.amount) <= 50 per day\n",
         true},
        {"  allow POST https://api.test/accounts/*/payouts where body.amount in 1..9\n"
         "    budget sum(body.amount) <= 50 per day\n",
         true},
        {"  budget sum(body.amount) <= 50 per day\n"
         "  allow POST https://api.test/payments where body.amount in 1..9\n",
         true},
        {"  allow POST https://api.test/payments where body.amount in 1..9 and body.currency = "
         "\"usd\"\n    budget sum(body.amount) <= 50 per day\n",
         false},
        {"  allow POST https://api.test/payments\n    budget count <= 50 per day\n", false},
        {"  allow POST https://api.test/repos/a/b/issues where body.amount in 1..9\n"
         "    budget sum(body.amount) <= 50 per day\n",
         false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_non_null(scope_of(kit, rows[i].rules));
        assert_int_equal(kit_said(kit, "W183", NULL), rows[i].said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(T64_a_wildcard_reaches_no_action_that_escalates),
        kit_test(a_literal_allow_reaches_it_and_nothing_beside_it),
        kit_test(a_wildcard_does_not_help_where_the_literal_allows_condition_is_not_met),
        kit_test(a_parameter_is_literal_once_it_is_filled_in),
        kit_test(the_frozen_text_carries_the_denies_and_says_why),
        kit_test(T64_the_json_form_never_reaches_it_and_is_still_proved_inside),
        kit_test(marks_and_labels_are_checked),
        kit_test(T64_a_parameter_does_not_become_an_action_that_escalates),
        kit_test(T64_graphql_is_out_of_reach_of_wildcards_and_of_rules_without_its_document),
        kit_test(a_parameter_pins_no_document),
        kit_test(a_sum_over_what_has_a_currency_wants_one),
        kit_test(a_deny_of_one_path_of_a_resource_is_a_warning),
        kit_test(many_literal_allows_of_one_action_freeze),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
