/* A plugin that rotates keys, tested with the fake host of the SDK, as its author would. */
#include <sallyport/fake_host.h>

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct sallyport_fake_host fake;

typedef const struct sallyport_plugin *(*entry_point)(const struct sallyport_host *host);

static const struct sallyport_plugin *load(void)
{
    void *library = dlopen(ROTATING_SO, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "sallyport_plugin_v1") : NULL;
    entry_point entry;
    if (!symbol) {
        fail_msg("%s", dlerror());
    }
    memcpy(&entry, &symbol, sizeof entry);
    sallyport_fake_host_init(&fake);
    const struct sallyport_plugin *plugin = entry(&fake.table);
    assert_int_equal(sallyport_fake_describe(&fake, plugin), SALLYPORT_OK);
    sallyport_fake_setting(&fake, "host", "api.example.com");
    sallyport_fake_secret(&fake, "api_key");
    return plugin;
}

static void a_successor_is_captured_under_the_name_of_its_field(void **state)
{
    (void)state;
    const struct sallyport_plugin *plugin = load();
    fake.answer_status = 200;
    fake.answer_body = "{\"secret\":\"\"}";
    assert_int_equal(sallyport_fake_ask(&fake, plugin, SALLYPORT_FAKE_ROTATE), SALLYPORT_OK);
    assert_true(sallyport_fake_pushed(&fake, "http POST https://api.example.com/keys"));
    assert_true(sallyport_fake_pushed(&fake, "capture /secret api_key"));
    assert_true(sallyport_fake_pushed(&fake, "place header authorization Bearer {api_key}"));
    fake.answer_status = 500;
    assert_int_equal(sallyport_fake_ask(&fake, plugin, SALLYPORT_FAKE_ROTATE),
                     SALLYPORT_E_UPSTREAM);
}

static void what_was_replaced_is_ended_and_may_be_gone_already(void **state)
{
    (void)state;
    const struct sallyport_plugin *plugin = load();
    sallyport_fake_secret(&fake, "previous.api_key");
    for (fake.answer_status = 200; fake.answer_status <= 404; fake.answer_status += 204) {
        assert_int_equal(sallyport_fake_ask(&fake, plugin, SALLYPORT_FAKE_FINISH),
                         SALLYPORT_OK);
        assert_true(sallyport_fake_pushed(&fake, "place form key {previous.api_key}"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_successor_is_captured_under_the_name_of_its_field),
        cmocka_unit_test(what_was_replaced_is_ended_and_may_be_gone_already),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
