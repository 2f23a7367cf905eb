/* Actions that a provider's catalogue marks as escalating: only a literal allow reaches one. */
#include "policy_kit.h"

static const struct sp_text host = {"api.test", 8};
static const struct sp_catalogue_action actions[] = {
#define ACTION(name, method, path, escalates)                                                  \
    {                                                                                          \
        {name, sizeof name - 1}, {path, sizeof path - 1}, SP_METHOD_##method, escalates        \
    }
    ACTION("issues/create", POST, "/repos/{owner}/{repo}/issues", false),
    ACTION("hooks/list", GET, "/repos/{owner}/{repo}/hooks", false),
    ACTION("hooks/create", POST, "/repos/{owner}/{repo}/hooks", true),
    ACTION("hooks/update", PATCH, "/repos/{owner}/{repo}/hooks/{hook_id}", true),
    ACTION("keys/create", POST, "/user/keys", true),
    ACTION("guard/loosen", PUT, "/repos/{owner}/{repo}/branches/{branch...}/protection", true),
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
        kit_test(many_literal_allows_of_one_action_freeze),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
