/* Host names: one form each, and no address in any spelling. */
#include "request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static int setup(void **state)
{
    static struct sp_arena arena;
    sp_arena_init(&arena, 16 << 20);
    *state = &arena;
    return 0;
}

static int teardown(void **state)
{
    sp_arena_done(*state);
    return 0;
}

static void becomes(struct sp_arena *arena, const char *raw, const char *expected)
{
    struct sp_text host;
    struct sp_error err = {""};
    if (sp_host_parse(arena, sp_text_of(raw), &host, &err)) {
        fail_msg("'%s' was refused: %s", raw, err.text);
    }
    assert_string_equal(host.ptr, expected);
}

static void is_refused(struct sp_arena *arena, struct sp_text raw, const char *why)
{
    struct sp_text host = SP_TEXT("untouched");
    struct sp_error err = {""};
    if (sp_host_parse(arena, raw, &host, &err) != SP_EINVAL || !strstr(err.text, why)) {
        fail_msg("'%.*s' was not refused for '%s' but '%s'", (int)raw.len, raw.ptr, why,
                 err.text);
    }
    assert_string_equal(host.ptr, "untouched");
}

static void T17_a_host_name_has_one_form(void **state)
{
    becomes(*state, "API.Stripe.COM.", "api.stripe.com");
    becomes(*state, "AZaz09.aZ", "azaz09.az");
    becomes(*state, "localhost", "localhost");
    becomes(*state, "localhost.", "localhost");
    becomes(*state, "my_host-1.internal", "my_host-1.internal");
    becomes(*state, "XN--Bcher-KVA.example", "xn--bcher-kva.example");
    becomes(*state, "1password.com", "1password.com");
    becomes(*state, "3.com", "3.com");
    becomes(*state, "a.1b", "a.1b");
    becomes(*state, "0x7f.example", "0x7f.example");
    becomes(*state, "127.0.0.1.nip.io", "127.0.0.1.nip.io"); /* egress looks at the address */
}

static void T17_every_spelling_of_an_address_is_refused(void **state)
{
    static const char *const addresses[] = {
        "127.0.0.1",  "127.1", "2130706433", "0x7f000001",         "0X7F000001", "0x7f.1",
        "127.0x1",    "0",     "0x",         "017700000001",       "1.2.3.4.",   "0177.0.0.0x1",
        "127.0.0.1.", "a.123", "a.0xg",      "00000000000000001.", "9",          "h.90"};
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        is_refused(*state, sp_text_of(addresses[i]), "numeric address");
    }
}

static void T17_what_is_no_name_is_refused(void **state)
{
    static const char *const bytes[] = {"h:1",
                                        "u@h",
                                        "[::1]",
                                        "::1",
                                        "h%2e",
                                        "h h",
                                        "h\nh",
                                        "h\x7f",
                                        "h/",
                                        "h\\",
                                        "h?",
                                        "*.h",
                                        "h*",
                                        "b\xc3\xbc"
                                        "cher",
                                        "h\xe3\x80\x82"
                                        "com",
                                        "h,b",
                                        "h;b",
                                        "h&b",
                                        "{h}",
                                        "h$",
                                        "'h'",
                                        "`h`",
                                        "h|b"};
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        is_refused(*state, sp_text_of(bytes[i]), "a byte that is no letter");
    }
    is_refused(*state, SP_TEXT("h\0.example"), "a byte that is no letter");
    is_refused(*state, SP_TEXT(""), "empty");
    is_refused(*state, SP_TEXT("."), "empty");
    is_refused(*state, SP_TEXT("h.."), "an empty label");
    is_refused(*state, SP_TEXT(".h"), "an empty label");
    is_refused(*state, SP_TEXT("a..b"), "an empty label");
    is_refused(*state, SP_TEXT("-a"), "begins or ends with '-'");
    is_refused(*state, SP_TEXT("a-.b"), "begins or ends with '-'");
    is_refused(*state, SP_TEXT("xn--"), "begins or ends with '-'");
    is_refused(*state, SP_TEXT("XN--a_b.example"), "with '_'");
}

static void lengths_are_those_of_dns(void **state)
{
    char label[65], name[300];
    (void)snprintf(label, sizeof label, "%064d", 0);
    for (size_t i = 0; i < 64; i++) {
        label[i] = 'a';
    }
    is_refused(*state, (struct sp_text){label, 64}, "longer than 63");
    label[63] = '\0';
    becomes(*state, label, label);
    /* three labels of 63 and one of 61 are 253 bytes */
    int n = snprintf(name, sizeof name, "%s.%s.%s.%.61s", label, label, label, label);
    assert_int_equal(n, 253);
    becomes(*state, name, name);
    (void)snprintf(name, sizeof name, "%s.%s.%s.%.62s", label, label, label, label);
    is_refused(*state, sp_text_of(name), "longer than 253");
    (void)snprintf(name, sizeof name, "%s.%s.%s.%.61s.", label, label, label, label);
    struct sp_text host;
    assert_int_equal(sp_host_parse(*state, sp_text_of(name), &host, NULL), SP_OK);
    assert_int_equal(host.len, 253);
}

static void a_host_without_memory_is_no_host(void **state)
{
    (void)state;
    struct sp_arena arena;
    struct sp_text host;
    sp_arena_init(&arena, 8);
    assert_int_equal(sp_host_parse(&arena, SP_TEXT("api.example.com"), &host, NULL), SP_ENOMEM);
    sp_arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T17_a_host_name_has_one_form),
        cmocka_unit_test(T17_every_spelling_of_an_address_is_refused),
        cmocka_unit_test(T17_what_is_no_name_is_refused),
        cmocka_unit_test(lengths_are_those_of_dns),
        cmocka_unit_test(a_host_without_memory_is_no_host),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
