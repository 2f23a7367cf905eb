/* The plugins that come with sallyport, asked as the host asks them. */
#include "asking.h"
#include "plugin_check.h"

struct setup {
    const struct sp_setting *settings;
    size_t n_settings;
    const struct sp_text *secrets;
    size_t n_secrets;
};

static struct sp_key_view view(const struct setup *setup)
{
    return (struct sp_key_view){.id = SP_TEXT("key-001"),
                                .version = 1,
                                .settings = setup->settings,
                                .n_settings = setup->n_settings,
                                .secrets = setup->secrets,
                                .n_secrets = setup->n_secrets};
}

#define SETTINGS(...)                                                                          \
    .settings = (const struct sp_setting[]){__VA_ARGS__},                                      \
    .n_settings = sizeof((const struct sp_setting[]){__VA_ARGS__}) / sizeof(struct sp_setting)
#define SECRETS(...)                                                                           \
    .secrets = (const struct sp_text[]){__VA_ARGS__},                                          \
    .n_secrets = sizeof((const struct sp_text[]){__VA_ARGS__}) / sizeof(struct sp_text)
/* clang-format off */
#define T(literal) {literal, sizeof(literal) - 1}
#define SET(name, value) {T(name), T(value)}
/* clang-format on */

static struct sp_plan plan_of(struct sp_provider *provider, const struct setup *setup)
{
    struct sp_key_view key = view(setup);
    struct answer answer = ask_plan(provider, &key);
    if (answer.status) {
        fail_msg("%s", answer.err.text);
    }
    return answer.plan;
}

static void assert_hosts(struct sp_provider *provider, const struct setup *setup,
                         const char *first, const char *second)
{
    struct sp_key_view key = view(setup);
    struct answer answer = ask_check(provider, &key);
    if (answer.status) {
        fail_msg("%s", answer.err.text);
    }
    assert_int_equal(answer.n_hosts, second ? 2 : 1);
    assert_string_equal(answer.hosts[0], first);
    if (second) {
        assert_string_equal(answer.hosts[1], second);
    }
}

/* Neither fit to be checked nor to be planned for, or only found by the check. */
static void assert_wrong(struct sp_provider *provider, const struct setup *setup,
                         const char *words)
{
    struct sp_key_view key = view(setup);
    struct answer answer = ask_check(provider, &key);
    assert_int_equal(answer.status, SP_EINVAL);
    assert_says(&answer.err, words);
}

static const char *value_of(const struct sp_setting *headers, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (sp_text_is(headers[i].name, name)) {
            return headers[i].value.ptr;
        }
    }
    return NULL;
}

static void assert_placement(const struct sp_plan *plan, enum sp_place place, const char *name,
                             const char *prefix, const char *template, bool base64)
{
    assert_int_equal(plan->n_placements, 1);
    assert_int_equal(plan->placements[0].place, place);
    assert_true(sp_text_is(plan->placements[0].name, name));
    assert_true(sp_text_is(plan->placements[0].prefix, prefix));
    assert_true(sp_text_is(plan->placements[0].template, template));
    assert_int_equal(plan->placements[0].base64, base64);
}

static const struct sp_action *action(const struct sp_manifest *manifest, const char *name)
{
    for (size_t i = 0; i < manifest->n_actions; i++) {
        if (sp_text_is(manifest->actions[i].name, name)) {
            return &manifest->actions[i];
        }
    }
    fail_msg("no action %s", name);
    return NULL;
}

static int load(void **state, const char *path)
{
    *state = load_fine(path);
    return 0;
}

static int load_stripe(void **state)
{
    return load(state, STRIPE_SO);
}

static int load_github(void **state)
{
    return load(state, GITHUB_SO);
}

static int load_rest(void **state)
{
    return load(state, REST_SO);
}

static int give_back(void **state)
{
    struct sp_provider *provider = *state;
    provider->ops->free(provider);
    return 0;
}

/* ---- stripe ----------------------------------------------------------------------------- */

static const struct setup stripe_key = {SECRETS(T("api_key"))};

static void stripe_puts_the_key_into_authorization_and_pins_the_version(void **state)
{
    struct sp_plan plan = plan_of(*state, &stripe_key);
    assert_placement(&plan, SP_PLACE_HEADER, "authorization", "Bearer ", "{api_key}", false);
    assert_int_equal(plan.n_headers, 1);
    assert_string_equal(value_of(plan.headers, 1, "stripe-version"), "2024-06-20");
    sp_plan_done(&plan);
    assert_hosts(*state, &stripe_key, "api.stripe.com", "files.stripe.com");
}

static void stripe_version_and_account_are_fixed_headers(void **state)
{
    const struct setup setup = {
        SETTINGS(SET("stripe_version", "2024-09-30.acacia"), SET("stripe_account", "acct_1N")),
        SECRETS(T("api_key"))};
    struct sp_plan plan = plan_of(*state, &setup);
    assert_int_equal(plan.n_headers, 2);
    assert_string_equal(value_of(plan.headers, 2, "stripe-version"), "2024-09-30.acacia");
    assert_string_equal(value_of(plan.headers, 2, "stripe-account"), "acct_1N");
    assert_int_equal(plan.n_defaults, 0);
    sp_plan_done(&plan);
}

static void T61_client_cannot_send_stripe_account_or_version(void **state)
{
    struct sp_provider *provider = *state;
    const struct sp_manifest *manifest = provider->manifest;
    for (size_t i = 0; i < manifest->n_request_headers; i++) {
        assert_false(sp_text_is(manifest->request_headers[i], "stripe-account"));
        assert_false(sp_text_is(manifest->request_headers[i], "stripe-version"));
        assert_false(sp_text_is(manifest->request_headers[i], "stripe-context"));
    }
    assert_int_equal(manifest->n_request_headers, 1);
    assert_true(sp_text_is(manifest->request_headers[0], "idempotency-key"));
}

static void stripe_key_tells_test_from_live(void **state)
{
    struct sp_provider *provider = *state;
    const struct sp_field *field = sp_manifest_field(provider->manifest, SP_TEXT("api_key"));
    static const struct {
        const char *value, *label;
    } rows[] = {{"sk_test_4eC39HqLyj", "false"},
                {"sk_live_4eC39HqLyj", "true"},
                {"rk_test_4eC39HqLyj", "false"},
                {"rk_live_4eC39HqLyj", "true"},
                {"sk_org_4eC39HqLyjW", ""}};
    assert_non_null(field);
    assert_true(sp_text_is(field->derives, "livemode"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sp_text label;
        assert_int_equal(sp_field_check(field, sp_text_of(rows[i].value), &label, NULL), SP_OK);
        assert_true(sp_text_is(label, rows[i].label));
    }
    assert_int_equal(sp_field_check(field, SP_TEXT("pk_test_4eC39HqLyj"), NULL, NULL),
                     SP_EINVAL);
    /* The host stores what it derived as a setting; the plugin is asked with it in place. */
    const struct setup setup = {SETTINGS(SET("livemode", "false")), SECRETS(T("api_key"))};
    struct sp_plan plan = plan_of(provider, &setup);
    sp_plan_done(&plan);
}

static void stripe_configuration_is_checked(void **state)
{
    const struct setup none = {.n_settings = 0};
    const struct setup version = {SETTINGS(SET("stripe_version", "latest")),
                                  SECRETS(T("api_key"))};
    const struct setup version2 = {SETTINGS(SET("stripe_version", "2024-06-20.")),
                                   SECRETS(T("api_key"))};
    const struct setup account = {SETTINGS(SET("stripe_account", "cus_123")),
                                  SECRETS(T("api_key"))};
    const struct setup lines = {SETTINGS(SET("stripe_account", "acct_1\r\nx: y")),
                                SECRETS(T("api_key"))};
    const struct setup unknown = {SETTINGS(SET("host", "evil.example")), SECRETS(T("api_key"))};
    const struct setup secret = {SETTINGS(SET("api_key", "sk_test_1234567890")),
                                 SECRETS(T("api_key"))};
    const struct setup other = {SECRETS(T("api_key"), T("password"))};
    const struct setup twice = {
        SETTINGS(SET("stripe_account", "acct_1"), SET("stripe_account", "acct_2")),
        SECRETS(T("api_key"))};
    assert_wrong(*state, &none, "secret api_key is missing");
    assert_wrong(*state, &version, "stripe_version has to be a date");
    assert_wrong(*state, &version2, "stripe_version has to be a date");
    assert_wrong(*state, &account, "begin with acct_");
    assert_wrong(*state, &lines, "stripe_account: byte 7");
    assert_wrong(*state, &unknown, "no setting host");
    assert_wrong(*state, &secret, "api_key is a secret, not a setting");
    assert_wrong(*state, &other, "no secret password");
    assert_wrong(*state, &twice, "stripe_account is there twice");
}

static void stripe_actions_that_give_power_away_are_marked(void **state)
{
    struct sp_provider *provider = *state;
    const struct sp_manifest *manifest = provider->manifest;
    assert_int_equal(manifest->n_actions, 452);
    assert_true(action(manifest, "webhook_endpoints.create")->escalates);
    assert_true(action(manifest, "ephemeral_keys.create")->escalates);
    assert_true(action(manifest, "payouts.create")->escalates);
    assert_false(action(manifest, "charges.retrieve")->escalates);
    const struct sp_action *refund = action(manifest, "refunds.create");
    assert_false(refund->escalates);
    assert_true(sp_text_is(refund->method, "POST"));
    assert_true(sp_text_is(refund->path, "/v1/refunds"));
    bool amount = false;
    for (size_t i = 0; i < refund->n_fields; i++) {
        amount = amount || (sp_text_is(refund->fields[i].name, "body.amount") &&
                            sp_text_is(refund->fields[i].type, "integer"));
    }
    assert_true(amount);
}

/* ---- github ----------------------------------------------------------------------------- */

static const struct setup github_key = {SECRETS(T("token"))};

static void github_puts_the_token_into_authorization(void **state)
{
    struct sp_plan plan = plan_of(*state, &github_key);
    assert_placement(&plan, SP_PLACE_HEADER, "authorization", "Bearer ", "{token}", false);
    assert_int_equal(plan.n_headers, 1);
    assert_string_equal(value_of(plan.headers, 1, "x-github-api-version"), "2022-11-28");
    assert_int_equal(plan.n_defaults, 2);
    assert_string_equal(value_of(plan.defaults, 2, "accept"), "application/vnd.github+json");
    assert_non_null(value_of(plan.defaults, 2, "user-agent"));
    sp_plan_done(&plan);
    assert_hosts(*state, &github_key, "api.github.com", "uploads.github.com");
}

static void github_enterprise_host_takes_the_place_of_githubs(void **state)
{
    const struct setup one = {SETTINGS(SET("enterprise_host", "GHE.Example.com")),
                              SECRETS(T("token"))};
    const struct setup two = {SETTINGS(SET("enterprise_host", "api.acme.ghe.com , b.ghe.com")),
                              SECRETS(T("token"))};
    const struct setup bad = {SETTINGS(SET("enterprise_host", "ghe.example.com:8443")),
                              SECRETS(T("token"))};
    assert_hosts(*state, &one, "ghe.example.com", NULL);
    assert_hosts(*state, &two, "api.acme.ghe.com", "b.ghe.com");
    assert_wrong(*state, &bad, "enterprise_host");
}

static void github_tokens_are_known_by_their_prefix(void **state)
{
    struct sp_provider *provider = *state;
    const struct sp_field *field = sp_manifest_field(provider->manifest, SP_TEXT("token"));
    struct sp_text label;
    assert_non_null(field);
    assert_int_equal(sp_field_check(field, SP_TEXT("github_pat_11ABCDEFG"), &label, NULL), 0);
    assert_true(sp_text_is(label, "fine-grained"));
    assert_int_equal(sp_field_check(field, SP_TEXT("ghp_16C7e42F292c"), &label, NULL), 0);
    assert_true(sp_text_is(label, "classic"));
    assert_int_equal(sp_field_check(field, SP_TEXT("gho_16C7e42F292c"), &label, NULL), 0);
    assert_true(sp_text_is(label, "oauth"));
    assert_int_equal(sp_field_check(field, SP_TEXT("ghu_16C7e42F292c"), &label, NULL), 0);
    assert_true(sp_text_is(label, "user-to-server"));
    assert_int_equal(sp_field_check(field, SP_TEXT("ghs_16C7e42F292c"), &label, NULL), 0);
    assert_true(sp_text_is(label, "installation"));
    assert_int_equal(sp_field_check(field, SP_TEXT("hunter2hunter2"), &label, NULL), SP_EINVAL);
}

static void github_actions_that_give_power_away_are_marked(void **state)
{
    struct sp_provider *provider = *state;
    static const char *const names[] = {"repos/create-webhook", "repos/create-deploy-key",
                                        "repos/add-collaborator",
                                        "actions/create-or-update-repo-secret"};
    assert_int_equal(provider->manifest->n_actions, 1223 + 2 + 250);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_true(action(provider->manifest, names[i])->escalates);
    }
    assert_false(action(provider->manifest, "issues/create-comment")->escalates);
    /* an Enterprise server has them elsewhere */
    assert_true(action(provider->manifest, "enterprise/repos/create-webhook")->escalates);
    assert_string_equal(action(provider->manifest, "enterprise/repos/create-webhook")->path.ptr,
                        "/api/v3/repos/{owner}/{repo}/hooks");
}

static void T64_graphql_escalates_on_github_and_on_an_enterprise_server(void **state)
{
    struct sp_provider *provider = *state;
    const struct sp_action *here = action(provider->manifest, "graphql");
    const struct sp_action *there = action(provider->manifest, "enterprise/graphql");
    assert_true(here->escalates && there->escalates);
    assert_string_equal(here->path.ptr, "/graphql");
    assert_string_equal(there->path.ptr, "/api/graphql");
}

/* ---- rest ------------------------------------------------------------------------------- */

static void rest_places_the_key_where_it_is_told(void **state)
{
    const struct {
        struct setup setup;
        enum sp_place place;
        const char *name, *prefix, *template;
        bool base64;
    } rows[] = {
        {{SETTINGS(SET("host", "a.example.com")), SECRETS(T("api_key"))},
         SP_PLACE_HEADER,
         "authorization",
         "Bearer ",
         "{api_key}",
         false},
        {{SETTINGS(SET("host", "a.example.com"), SET("prefix", "Token ")),
          SECRETS(T("api_key"))},
         SP_PLACE_HEADER,
         "authorization",
         "Token ",
         "{api_key}",
         false},
        {{SETTINGS(SET("host", "a.example.com"), SET("style", "header"),
                   SET("name", "X-Api-Key")),
          SECRETS(T("api_key"))},
         SP_PLACE_HEADER,
         "x-api-key",
         "",
         "{api_key}",
         false},
        {{SETTINGS(SET("host", "a.example.com"), SET("style", "query"), SET("name", "appid")),
          SECRETS(T("api_key"))},
         SP_PLACE_QUERY,
         "appid",
         "",
         "{api_key}",
         false},
        {{SETTINGS(SET("host", "a.example.com"), SET("style", "basic")),
          SECRETS(T("username"), T("password"))},
         SP_PLACE_HEADER,
         "authorization",
         "Basic ",
         "{username}:{password}",
         true},
        {{SETTINGS(SET("host", "a.example.com"), SET("style", "cookie"),
                   SET("name", "JSESSIONID")),
          SECRETS(T("api_key"))},
         SP_PLACE_HEADER,
         "cookie",
         "JSESSIONID=",
         "{api_key}",
         false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sp_plan plan = plan_of(*state, &rows[i].setup);
        assert_placement(&plan, rows[i].place, rows[i].name, rows[i].prefix, rows[i].template,
                         rows[i].base64);
        assert_int_equal(plan.n_headers, 0);
        sp_plan_done(&plan);
        assert_hosts(*state, &rows[i].setup, "a.example.com", NULL);
    }
}

static void rest_takes_several_hosts(void **state)
{
    const struct setup setup = {SETTINGS(SET("host", "A.example.com. , b.example.com")),
                                SECRETS(T("api_key"))};
    assert_hosts(*state, &setup, "a.example.com", "b.example.com");
}

static void rest_configuration_is_checked(void **state)
{
    const struct {
        struct setup setup;
        const char *words;
    } rows[] = {
        {{SECRETS(T("api_key"))}, "setting host is missing"},
        {{SETTINGS(SET("host", "")), SECRETS(T("api_key"))}, "has to be 1 to 4096 bytes"},
        {{SETTINGS(SET("host", "a.example.com"))}, "needs the secret api_key"},
        {{SETTINGS(SET("host", "127.0.0.1")), SECRETS(T("api_key"))}, "host"},
        {{SETTINGS(SET("host", "a.example.com"), SET("style", "body")), SECRETS(T("api_key"))},
         "style has to be"},
        {{SETTINGS(SET("host", "a.example.com"), SET("style", "query")), SECRETS(T("api_key"))},
         "name says which"},
        {{SETTINGS(SET("host", "a.example.com"), SET("style", "cookie")),
          SECRETS(T("api_key"))},
         "name says which"},
        {{SETTINGS(SET("host", "a.example.com"), SET("name", "x key")), SECRETS(T("api_key"))},
         "may not have"},
        {{SETTINGS(SET("host", "a.example.com"), SET("style", "basic")), SECRETS(T("api_key"))},
         "username and password"},
        {{SETTINGS(SET("host", "a.example.com")), SECRETS(T("api_key"), T("password"))},
         "no username or password"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_wrong(*state, &rows[i].setup, rows[i].words);
    }
}

static void rest_cannot_be_made_to_fill_a_header_of_the_hosts(void **state)
{
    static const char *const names[] = {"Host", "Content-Length", "transfer-encoding",
                                        "X-Forwarded-For"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct sp_setting settings[] = {SET("host", "a.example.com"),
                                              {SP_TEXT("name"), sp_text_of(names[i])}};
        const struct sp_text secret = SP_TEXT("api_key");
        const struct setup setup = {settings, 2, &secret, 1};
        struct sp_key_view key = view(&setup);
        struct answer answer = ask_plan(*state, &key);
        assert_int_not_equal(answer.status, SP_OK);
        assert_says(&answer.err, "which is the host's");
    }
}

#define WITH(provider, test) cmocka_unit_test_setup_teardown(test, load_##provider, give_back)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(stripe, stripe_puts_the_key_into_authorization_and_pins_the_version),
        WITH(stripe, stripe_version_and_account_are_fixed_headers),
        WITH(stripe, T61_client_cannot_send_stripe_account_or_version),
        WITH(stripe, stripe_key_tells_test_from_live),
        WITH(stripe, stripe_configuration_is_checked),
        WITH(stripe, stripe_actions_that_give_power_away_are_marked),
        WITH(github, github_puts_the_token_into_authorization),
        WITH(github, github_enterprise_host_takes_the_place_of_githubs),
        WITH(github, github_tokens_are_known_by_their_prefix),
        WITH(github, github_actions_that_give_power_away_are_marked),
        WITH(github, T64_graphql_escalates_on_github_and_on_an_enterprise_server),
        WITH(rest, rest_places_the_key_where_it_is_told),
        WITH(rest, rest_takes_several_hosts),
        WITH(rest, rest_configuration_is_checked),
        WITH(rest, rest_cannot_be_made_to_fill_a_header_of_the_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
