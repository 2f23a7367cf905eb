/* The shapes that fields declare and the host checks (provider.h), and what is shown of foreign
 * texts (plugin_check.h). */
#include "plugin_check.h"
#include "provider.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const struct sp_field_prefix prefixes[] = {
    {{"sk_", 3}, {"", 0}},
    {{"sk_test_", 8}, {"false", 5}},
    {{"sk_live_", 8}, {"true", 4}},
};
static const struct sp_field secret = {
    .name = {"api_key", 7},
    .type = SP_FIELD_SECRET,
    .charset = SP_CHARSET_TOKEN,
    .min_bytes = 12,
    .max_bytes = 40,
    .prefixes = prefixes,
    .n_prefixes = 3,
    .derives = {"livemode", 8},
};

static void secret_is_told_apart_by_its_longest_prefix(void **state)
{
    (void)state;
    static const struct {
        const char *value, *label;
    } rows[] = {{"sk_test_4eC39HqLyj", "false"},
                {"sk_live_4eC39HqLyj", "true"},
                {"sk_org_4eC39HqLyjW", ""}};
    for (size_t i = 0; i < 3; i++) {
        struct sp_text label = SP_TEXT("untouched");
        assert_int_equal(sp_field_check(&secret, sp_text_of(rows[i].value), &label, NULL),
                         SP_OK);
        assert_true(sp_text_is(label, rows[i].label));
    }
}

static void secret_of_the_wrong_shape_is_refused_and_never_repeated(void **state)
{
    (void)state;
    const struct {
        struct sp_text value;
        const char *words;
    } rows[] = {
        {SP_TEXT("hunter2_hunter2_hunter2"), "sk_test_"},
        {SP_TEXT("pk_test_hunter2hunter2"), "has to begin with"},
        {SP_TEXT("sk_hunter2"), "12 to 40 bytes"},
        {SP_TEXT("sk_test_hunter2hunter2hunter2hunter2hunter2hunter2"), "12 to 40 bytes"},
        {SP_TEXT("sk_test_hunter2\n"), "line feed"},
        {SP_TEXT("sk_test_ hunter2"), "byte 9"},
        {SP_TEXT("sk_test_\0hunter2"), "byte 9"},
        {SP_TEXT(""), "12 to 40 bytes"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sp_text label = SP_TEXT("untouched");
        struct sp_error err = {""};
        assert_int_equal(sp_field_check(&secret, rows[i].value, &label, &err), SP_EINVAL);
        assert_non_null(strstr(err.text, rows[i].words));
        assert_non_null(strstr(err.text, "api_key"));
        assert_null(strstr(err.text, "hunter"));
        assert_true(sp_text_is(label, "untouched"));
    }
}

static sp_status typed(enum sp_field_type type, const char *value)
{
    struct sp_field field = {.name = SP_TEXT("f"), .type = type, .max_bytes = 100};
    return sp_field_check(&field, sp_text_of(value), NULL, NULL);
}

static void settings_are_held_to_their_type(void **state)
{
    (void)state;
    assert_int_equal(typed(SP_FIELD_INTEGER, "0"), SP_OK);
    assert_int_equal(typed(SP_FIELD_INTEGER, "-12"), SP_OK);
    assert_int_equal(typed(SP_FIELD_INTEGER, "05"), SP_EINVAL);
    assert_int_equal(typed(SP_FIELD_INTEGER, "-0"), SP_EINVAL);
    assert_int_equal(typed(SP_FIELD_INTEGER, "5e3"), SP_EINVAL);
    assert_int_equal(typed(SP_FIELD_INTEGER, "-"), SP_EINVAL);
    assert_int_equal(typed(SP_FIELD_INTEGER, "9999999999999999999"), SP_EINVAL);
    assert_int_equal(typed(SP_FIELD_BOOLEAN, "true"), SP_OK);
    assert_int_equal(typed(SP_FIELD_BOOLEAN, "false"), SP_OK);
    assert_int_equal(typed(SP_FIELD_BOOLEAN, "True"), SP_EINVAL);
    assert_int_equal(typed(SP_FIELD_BOOLEAN, "1"), SP_EINVAL);
    assert_int_equal(typed(SP_FIELD_HOST, "api.example.com"), SP_OK);
    assert_int_equal(typed(SP_FIELD_HOST, "a.example.com, b.example.com"), SP_OK);
    assert_int_equal(typed(SP_FIELD_HOST, "a.example.com,,b.example.com"), SP_EINVAL);
    assert_int_equal(typed(SP_FIELD_HOST, "a.example.com b.example.com"), SP_EINVAL);
    assert_int_equal(typed(SP_FIELD_HOST, "https://a.example.com"), SP_EINVAL);
    assert_int_equal(typed(SP_FIELD_HOST, "169.254.169.254"), SP_EINVAL);
    assert_int_equal(typed(SP_FIELD_STRING, "a b \xc3\xa4"), SP_OK);
    assert_int_equal(typed(SP_FIELD_STRING, "a\nb"), SP_EINVAL);
}

static void pem_key_keeps_its_lines(void **state)
{
    (void)state;
    struct sp_field field = {.name = SP_TEXT("private_key"),
                             .type = SP_FIELD_SECRET,
                             .charset = SP_CHARSET_TEXT,
                             .max_bytes = 100};
    assert_int_equal(sp_field_check(&field, SP_TEXT("-----BEGIN\nabc\n"), NULL, NULL), SP_OK);
    assert_int_equal(sp_field_check(&field, SP_TEXT("-----BEGIN\rabc"), NULL, NULL), SP_EINVAL);
}

static void foreign_text_is_shown_without_control_characters(void **state)
{
    (void)state;
    const struct {
        struct sp_text text;
        const char *shown;
    } rows[] = {
        {SP_TEXT("plain"), "plain"},
        {SP_TEXT("a\r\nb\x1b[1m"), "a??b?[1m"},
        {SP_TEXT("\xc3\xa4"), "\xc3\xa4"},
        {SP_TEXT("\xc2\x9b"
                 "1m"),
         "??1m"}, /* a C1 control: CSI */
        {SP_TEXT("\xff\xfe"), "??"},
        {SP_TEXT("a\0b"), "a?b"},
        {SP_TEXT("1234567890123"), "12345678901"},
        {SP_TEXT("1234567890\xc3\xa4"), "1234567890"}, /* not half a character */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char shown[12];
        sp_shown(rows[i].text, shown, sizeof shown);
        assert_string_equal(shown, rows[i].shown);
    }
}

/* ---- what is a name, a line, a value
 * ---------------------------------------------------------
 */

static char longest[2048]; /* of 'a' */

static struct sp_text as(size_t n)
{
    memset(longest, 'a', sizeof longest);
    return (struct sp_text){longest, n};
}

static void T49_names_are_taken_up_to_their_edges_and_no_further(void **state)
{
    (void)state;
    static const char *const bad_ids[] = {"", "1a", "-a", "A", "aB", "a_b", "a b", "a{", "a/"};
    static const char *const bad_names[] = {"", "1a", "_a", "A", "a-b", "a{", "a:", "a\x80"};
    for (size_t i = 0; i < sizeof bad_ids / sizeof *bad_ids; i++) {
        assert_false(sp_is_provider_id(sp_text_of(bad_ids[i])));
    }
    for (size_t i = 0; i < sizeof bad_names / sizeof *bad_names; i++) {
        assert_false(sp_is_field_name(sp_text_of(bad_names[i])));
    }
    assert_true(sp_is_provider_id(SP_TEXT("a-0z9")) && sp_is_field_name(SP_TEXT("a_0z9")));
    assert_true(sp_is_provider_id(as(SP_PLUGIN_ID_MAX)));
    assert_false(sp_is_provider_id(as(SP_PLUGIN_ID_MAX + 1)));
    assert_true(sp_is_field_name(as(SP_PLUGIN_ID_MAX)));
    assert_false(sp_is_field_name(as(SP_PLUGIN_ID_MAX + 1)));
    assert_true(sp_is_action_name(SP_TEXT("Charges/list-all_1.2")));
    assert_false(sp_is_action_name(SP_TEXT("")) || sp_is_action_name(SP_TEXT("a b")) ||
                 sp_is_action_name(SP_TEXT("a[")) || sp_is_action_name(SP_TEXT("a\0")));
    assert_true(sp_is_action_name(as(SP_PLUGIN_HEADER_NAME_MAX)));
    assert_false(sp_is_action_name(as(SP_PLUGIN_HEADER_NAME_MAX + 1)));
    assert_true(sp_is_header_name(as(SP_PLUGIN_HEADER_NAME_MAX)));
    assert_false(sp_is_header_name(as(SP_PLUGIN_HEADER_NAME_MAX + 1)) ||
                 sp_is_header_name(SP_TEXT("")) || sp_is_header_name(SP_TEXT("a b")));
    assert_true(sp_is_lease_name(SP_TEXT("lease.a_0")));
    static const char *const no_leases[] = {"lease.",   "lease.0", "lease.A", "lease.a{",
                                            "lease.a:", "leasx.a", "lease",   "lease.a-b"};
    for (size_t i = 0; i < sizeof no_leases / sizeof *no_leases; i++) {
        assert_false(sp_is_lease_name(sp_text_of(no_leases[i])));
    }
}

static void T49_lines_hold_no_control_characters(void **state)
{
    (void)state;
    const struct sp_text bad[] = {
        SP_TEXT("a\nb"),     SP_TEXT("a\x7f"), SP_TEXT("\xc2\x9b"),
        SP_TEXT("\xc2\x80"), SP_TEXT("a\xc2"), /* cut short */
        SP_TEXT("\xff"),     SP_TEXT("a\0b"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(sp_is_line(bad[i]));
    }
    assert_true(sp_is_line(SP_TEXT("")) && sp_is_line(SP_TEXT("a b \xc2\xa0 \xc3\xa4")));
    assert_false(sp_is_visible(SP_TEXT("")) || sp_is_visible(SP_TEXT("a b")) ||
                 sp_is_visible(SP_TEXT("a\x7f")) || sp_is_visible(SP_TEXT("\xc3\xa4")));
    assert_true(sp_is_visible(SP_TEXT("!~")));
    assert_false(sp_is_printable(SP_TEXT("a\tb")) || sp_is_printable(SP_TEXT("a\x7f")));
    assert_true(sp_is_header_value(as(SP_PLUGIN_HEADER_VALUE_MAX)));
    assert_false(sp_is_header_value(as(SP_PLUGIN_HEADER_VALUE_MAX + 1)) ||
                 sp_is_header_value(SP_TEXT(" a")) || sp_is_header_value(SP_TEXT("a ")) ||
                 sp_is_header_value(SP_TEXT("")));
}

static void T49_path_templates_open_and_close_their_braces(void **state)
{
    (void)state;
    static const char *const good[] = {"/", "/a/{b_c-d.e}/f", "/{A}{b}"};
    static const char *const bad[] = {"",       "a",    "/a?b",  "/a#b",  "/a\\b",
                                      "/{a",    "/a}",  "/{}",   "/{{a}", "/{a/b}",
                                      "/{a b}", "/a b", "/{a}}", "/<a>"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(sp_is_path_template(sp_text_of(good[i])));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(sp_is_path_template(sp_text_of(bad[i])));
    }
    struct sp_text path = as(SP_PLUGIN_PATH_MAX + 1);
    longest[0] = '/';
    assert_false(sp_is_path_template(path));
    path.len--;
    assert_true(sp_is_path_template(path));
}

static void T49_templates_name_known_secrets_and_doubled_braces_are_braces(void **state)
{
    (void)state;
    const struct sp_text secrets[] = {SP_TEXT("api_key"), SP_TEXT("other")};
    static const struct {
        const char *template;
        bool minted, good, leased;
    } rows[] = {
        {"Bearer {api_key}", false, true, false},
        {"{other}:{api_key}", false, true, false},
        {"{{{api_key}}}", false, true, false},
        {"{{api_key}}", false, false, false},
        {"{lease.token}", true, true, true},
        {"{lease.token}", false, false, true},
        {"{{lease.token}", true, false, false},
        {"{unknown}", true, false, false},
        {"{api_key", false, false, false},
        {"api_key}", false, false, false},
        {"{", false, false, false},
        {"}", false, false, false},
        {"", false, false, false},
        {"{{lease.a}}{lease.b}", true, true, true},
        {"{lease", false, false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sp_text template = sp_text_of(rows[i].template);
        const char *refused = sp_template_refused(template, secrets, 2, rows[i].minted);
        if (!refused != rows[i].good || sp_template_needs_lease(template) != rows[i].leased) {
            fail_msg("%s: %s", rows[i].template, refused ? refused : "taken");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secret_is_told_apart_by_its_longest_prefix),
        cmocka_unit_test(secret_of_the_wrong_shape_is_refused_and_never_repeated),
        cmocka_unit_test(settings_are_held_to_their_type),
        cmocka_unit_test(pem_key_keeps_its_lines),
        cmocka_unit_test(foreign_text_is_shown_without_control_characters),
        cmocka_unit_test(T49_names_are_taken_up_to_their_edges_and_no_further),
        cmocka_unit_test(T49_lines_hold_no_control_characters),
        cmocka_unit_test(T49_path_templates_open_and_close_their_braces),
        cmocka_unit_test(T49_templates_name_known_secrets_and_doubled_braces_are_braces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
