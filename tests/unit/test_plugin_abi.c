/* Version 1.0 of the plugin ABI as it was first laid out, on a 64-bit machine: a change that
 * moves, removes or resizes what is there does not compile. Growth at the end changes the sizes
 * of the growable structures, and those lines alone. */
#include "provider.h"

#include <elf.h>
#include <sallyport/http.h>
#include <sallyport/lease.h>
#include <sallyport/plugin.h>
#include <sallyport/rotate.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define AT(type, member, offset)                                                               \
    _Static_assert(offsetof(struct sallyport_##type, member) == (offset), #type "." #member)
#define SIZE(type, bytes) _Static_assert(sizeof(struct sallyport_##type) == (bytes), #type)

SIZE(text, 16); /* never grows */
SIZE(note, 32); /* never grows */
AT(note, owner, 12);
AT(note, major, 24);
AT(note, minor, 28);

SIZE(setting, 40);
AT(setting, flags, 4);
AT(setting, name, 8);
AT(setting, value, 24);

SIZE(key, 48);
AT(key, version, 4);
AT(key, id, 8);
AT(key, settings, 24);
AT(key, secrets, 32);
AT(key, n_settings, 40);
AT(key, n_secrets, 44);

SIZE(manifest, 56);
AT(manifest, flags, 4);
AT(manifest, id, 8);
AT(manifest, version, 24);
AT(manifest, description, 40);

SIZE(prefix, 40);
AT(prefix, prefix, 8);
AT(prefix, label, 24);

SIZE(field, 104);
AT(field, type, 4);
AT(field, flags, 8);
AT(field, charset, 12);
AT(field, min_bytes, 16);
AT(field, max_bytes, 20);
AT(field, name, 24);
AT(field, description, 40);
AT(field, fallback, 56);
AT(field, prefixes, 72);
AT(field, derives, 80);
AT(field, n_prefixes, 96);
AT(field, reserved, 100);

SIZE(action_field, 40);
AT(action_field, name, 8);
AT(action_field, type, 24);

SIZE(action, 72);
AT(action, flags, 4);
AT(action, name, 8);
AT(action, method, 24);
AT(action, path, 40);
AT(action, fields, 56);
AT(action, n_fields, 64);
AT(action, reserved, 68);

SIZE(placement, 64);
AT(placement, place, 4);
AT(placement, flags, 8);
AT(placement, reserved, 12);
AT(placement, name, 16);
AT(placement, prefix, 32);
AT(placement, template_text, 48);

SIZE(header, 40);
AT(header, kind, 4);
AT(header, name, 8);
AT(header, value, 24);

SIZE(host, 88);
AT(host, abi_minor, 4);
AT(host, log, 8);
AT(host, refuse, 16);
AT(host, push_manifest, 24);
AT(host, push_host, 32);
AT(host, push_request_header, 40);
AT(host, push_field, 48);
AT(host, push_action, 56);
AT(host, push_placement, 64);
AT(host, push_header, 72);
AT(host, extension, 80);

SIZE(plugin, 56);
AT(plugin, abi_minor, 4);
AT(plugin, describe, 8);
AT(plugin, open, 16);
AT(plugin, close, 24);
AT(plugin, check, 32);
AT(plugin, plan, 40);
AT(plugin, extension, 48);

static void numbers_of_the_abi_and_the_host_are_the_same(void **state)
{
    (void)state;
    assert_int_equal(SALLYPORT_FIELD_STRING, SP_FIELD_STRING);
    assert_int_equal(SALLYPORT_FIELD_SECRET, SP_FIELD_SECRET);
    assert_int_equal(SALLYPORT_FIELD_INTEGER, SP_FIELD_INTEGER);
    assert_int_equal(SALLYPORT_FIELD_BOOLEAN, SP_FIELD_BOOLEAN);
    assert_int_equal(SALLYPORT_FIELD_HOST, SP_FIELD_HOST);
    assert_int_equal(SALLYPORT_CHARSET_LINE, SP_CHARSET_LINE);
    assert_int_equal(SALLYPORT_CHARSET_TOKEN, SP_CHARSET_TOKEN);
    assert_int_equal(SALLYPORT_CHARSET_TEXT, SP_CHARSET_TEXT);
}

static void published_numbers_keep_their_values(void **state)
{
    (void)state;
    static const int32_t errors[] = {
        SALLYPORT_OK,         SALLYPORT_E_INVALID, SALLYPORT_E_MEMORY,      SALLYPORT_E_LIMIT,
        SALLYPORT_E_CALL,     SALLYPORT_E_FAILED,  SALLYPORT_E_UNSUPPORTED, SALLYPORT_E_CONFIG,
        SALLYPORT_E_UPSTREAM, SALLYPORT_E_DENIED};
    for (int32_t i = 0; i < (int32_t)(sizeof errors / sizeof *errors); i++) {
        assert_int_equal(errors[i], -i);
    }
    assert_int_equal(SALLYPORT_FIELD_REQUIRED, 1);
    assert_int_equal(SALLYPORT_ACTION_ESCALATES, 1);
    assert_int_equal(SALLYPORT_PLACE_HEADER, 0);
    assert_int_equal(SALLYPORT_PLACE_QUERY, 1);
    assert_int_equal(SALLYPORT_PLACE_BASE64, 1);
    assert_int_equal(SALLYPORT_HEADER_FIXED, 0);
    assert_int_equal(SALLYPORT_HEADER_DEFAULT, 1);
    assert_int_equal(SALLYPORT_LOG_DEBUG, 0);
    assert_int_equal(SALLYPORT_LOG_INFO, 1);
    assert_int_equal(SALLYPORT_LOG_WARNING, 2);
    assert_int_equal(SALLYPORT_LOG_ERROR, 3);
    assert_int_equal(SALLYPORT_NOTE_TYPE, 1);
    assert_int_equal(SALLYPORT_ABI_MAJOR, 1);
    assert_string_equal(SALLYPORT_NOTE_OWNER, "Sallyport");
    assert_string_equal(SALLYPORT_NOTE_SECTION, ".note.sallyport");
    assert_string_equal(SALLYPORT_HTTP, "sallyport.http/1");
    assert_string_equal(SALLYPORT_LEASE, "sallyport.lease/1");
    assert_string_equal(SALLYPORT_ROTATE, "sallyport.rotate/1");
}

static void late_member_is_told_from_what_is_there(void **state)
{
    (void)state;
    struct sallyport_action action = {.size = offsetof(struct sallyport_action, n_fields) + 3};
    assert_true(SALLYPORT_HAS(&action, sallyport_action, fields));
    assert_false(SALLYPORT_HAS(&action, sallyport_action, n_fields));
    action.size++;
    assert_true(SALLYPORT_HAS(&action, sallyport_action, n_fields));
    assert_false(SALLYPORT_HAS(&action, sallyport_action, reserved));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_the_abi_and_the_host_are_the_same),
        cmocka_unit_test(published_numbers_keep_their_values),
        cmocka_unit_test(late_member_is_told_from_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
