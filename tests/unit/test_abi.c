/* Today's plugins in a host of ABI 1.0: this file is compiled with the frozen headers, and its
 * host is their fake one, whose table is as long as 1.0 had it. It also shows a plugin's author
 * how to test with fake_host.h. */
#include <sallyport/fake_host.h>

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct sallyport_fake_host fake;

typedef const struct sallyport_plugin *(*entry_point)(const struct sallyport_host *host);

static const struct sallyport_plugin *load(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "sallyport_plugin_v1") : NULL;
    entry_point entry;
    if (!symbol) {
        fail_msg("%s: %s", path, dlerror());
    }
    memcpy(&entry, &symbol, sizeof entry);
    sallyport_fake_host_init(&fake);
    const struct sallyport_plugin *plugin = entry(&fake.table);
    assert_non_null(plugin);
    assert_true(SALLYPORT_HAS(plugin, sallyport_plugin, extension));
    return plugin;
}

static void assert_pushed(const char *line)
{
    if (!sallyport_fake_pushed(&fake, line)) {
        for (uint32_t i = 0; i < fake.n_lines && i < 40; i++) {
            print_message("%s\n", fake.lines[i]);
        }
        fail_msg("nothing pushed \"%s\"", line);
    }
}

static void todays_stripe_runs_in_a_host_of_1_0(void **state)
{
    (void)state;
    const struct sallyport_plugin *plugin = load(STRIPE_SO);
    assert_int_equal(sallyport_fake_describe(&fake, plugin), SALLYPORT_OK);
    assert_pushed("field api_key");
    assert_pushed("host api.stripe.com");
    sallyport_fake_secret(&fake, "api_key");
    sallyport_fake_setting(&fake, "stripe_account", "acct_1");
    assert_int_equal(sallyport_fake_ask(&fake, plugin, SALLYPORT_FAKE_CHECK), SALLYPORT_OK);
    assert_pushed("host api.stripe.com");
    assert_int_equal(sallyport_fake_ask(&fake, plugin, SALLYPORT_FAKE_PLAN), SALLYPORT_OK);
    assert_pushed("place header authorization Bearer {api_key}");
    assert_pushed("header fixed stripe-account acct_1");
}

static void todays_github_runs_in_a_host_of_1_0(void **state)
{
    (void)state;
    const struct sallyport_plugin *plugin = load(GITHUB_SO);
    assert_int_equal(sallyport_fake_describe(&fake, plugin), SALLYPORT_OK);
    sallyport_fake_secret(&fake, "token");
    assert_int_equal(sallyport_fake_ask(&fake, plugin, SALLYPORT_FAKE_PLAN), SALLYPORT_OK);
    assert_pushed("place header authorization Bearer {token}");
}

static void todays_rest_runs_in_a_host_of_1_0(void **state)
{
    (void)state;
    const struct sallyport_plugin *plugin = load(REST_SO);
    assert_int_equal(sallyport_fake_describe(&fake, plugin), SALLYPORT_OK);
    sallyport_fake_setting(&fake, "host", "a.example, b.example");
    sallyport_fake_setting(&fake, "style", "query");
    sallyport_fake_setting(&fake, "name", "appid");
    sallyport_fake_secret(&fake, "api_key");
    assert_int_equal(sallyport_fake_ask(&fake, plugin, SALLYPORT_FAKE_CHECK), SALLYPORT_OK);
    assert_pushed("host a.example");
    assert_pushed("host b.example");
    assert_int_equal(sallyport_fake_ask(&fake, plugin, SALLYPORT_FAKE_PLAN), SALLYPORT_OK);
    assert_pushed("place query appid {api_key}");
}

static void todays_template_runs_in_a_host_of_1_0(void **state)
{
    (void)state;
    const struct sallyport_plugin *plugin = load(TEMPLATE_SO);
    assert_int_equal(sallyport_fake_describe(&fake, plugin), SALLYPORT_OK);
    sallyport_fake_secret(&fake, "api_key");
    assert_int_equal(sallyport_fake_ask(&fake, plugin, SALLYPORT_FAKE_PLAN), SALLYPORT_OK);
    assert_pushed("place header x-api-key {api_key}");
}

/* A host of 1.0 signs nothing: the plugin says so, and is no plugin that crashes. */
static void todays_hmac_says_what_a_host_of_1_0_lacks(void **state)
{
    (void)state;
    const struct sallyport_plugin *plugin = load(HMAC_SO);
    assert_int_equal(sallyport_fake_describe(&fake, plugin), SALLYPORT_OK);
    sallyport_fake_setting(&fake, "host", "a.example");
    sallyport_fake_secret(&fake, "api_key");
    assert_int_not_equal(sallyport_fake_ask(&fake, plugin, SALLYPORT_FAKE_PLAN), SALLYPORT_OK);
    assert_true(fake.n_lines > 0 && strncmp(fake.lines[fake.n_lines - 1], "refuse ", 7) == 0);
    assert_non_null(strstr(fake.lines[fake.n_lines - 1], "sign"));
}

static void a_wrong_configuration_is_refused_with_a_reason(void **state)
{
    (void)state;
    const struct sallyport_plugin *plugin = load(REST_SO);
    sallyport_fake_setting(&fake, "host", "a.example");
    sallyport_fake_setting(&fake, "style", "smoke-signals");
    sallyport_fake_secret(&fake, "api_key");
    assert_int_not_equal(sallyport_fake_ask(&fake, plugin, SALLYPORT_FAKE_CHECK), SALLYPORT_OK);
    assert_true(fake.n_lines > 0 && strncmp(fake.lines[fake.n_lines - 1], "refuse ", 7) == 0);
}

static void the_fake_host_keeps_the_order_of_calls(void **state)
{
    (void)state;
    struct sallyport_text name = sallyport_text_of("a.example");
    sallyport_fake_host_init(&fake);
    assert_int_equal(fake.table.push_host(&fake.table, 1, &name), SALLYPORT_E_CALL);
    uint64_t call = sallyport_fake_enter(&fake, SALLYPORT_FAKE_PLAN);
    assert_int_equal(fake.table.push_host(&fake.table, call + 1, &name), SALLYPORT_E_CALL);
    assert_int_equal(fake.table.push_host(&fake.table, call, &name), SALLYPORT_E_CALL);
    assert_int_equal(sallyport_place_header(&fake.table, call, "x", "", "{k}", 0),
                     SALLYPORT_E_FAILED);
    assert_int_equal(sallyport_fake_leave(&fake, SALLYPORT_OK), SALLYPORT_E_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(todays_stripe_runs_in_a_host_of_1_0),
        cmocka_unit_test(todays_github_runs_in_a_host_of_1_0),
        cmocka_unit_test(todays_rest_runs_in_a_host_of_1_0),
        cmocka_unit_test(todays_template_runs_in_a_host_of_1_0),
        cmocka_unit_test(todays_hmac_says_what_a_host_of_1_0_lacks),
        cmocka_unit_test(a_wrong_configuration_is_refused_with_a_reason),
        cmocka_unit_test(the_fake_host_keeps_the_order_of_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
