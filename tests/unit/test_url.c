/* URLs: what is refused, and that what is printed is what was parsed. */
#include "percent.h"
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

static void refused(struct sp_arena *arena, const char *const *urls, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct sp_url url;
        struct sp_error err = {""};
        sp_status status = sp_url_parse(arena, sp_text_of(urls[i]), &url, &err);
        if (status != SP_EINVAL || !*err.text) {
            fail_msg("'%s' was not refused with a reason (%d)", urls[i], status);
        }
    }
}
#define REFUSED(arena, ...)                                                                    \
    refused((arena), (const char *const[]){__VA_ARGS__},                                       \
            sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void prints(struct sp_arena *arena, const char *raw, const char *expected)
{
    struct sp_url url, again;
    struct sp_error err = {""};
    struct sp_buf buf, second;
    sp_buf_init(&buf, 1 << 16);
    sp_buf_init(&second, 1 << 16);
    if (sp_url_parse(arena, sp_text_of(raw), &url, &err)) {
        fail_msg("'%s' was refused: %s", raw, err.text);
    }
    sp_url_print(&url, &buf);
    assert_string_equal(buf.ptr, expected);
    assert_int_equal(sp_url_parse(arena, sp_buf_text(&buf), &again, &err), SP_OK);
    sp_url_print(&again, &second);
    assert_string_equal(second.ptr, expected);
    sp_buf_done(&buf);
    sp_buf_done(&second);
}

static void T16_ambiguous_paths_are_refused(void **state)
{
    REFUSED(*state, "https://h/..", "https://h/a/../b", "https://h/.", "https://h/a/./b",
            "https://h/%2e%2e/b", "https://h/.%2E/b", "https://h/%2e", "https://h//a",
            "https://h/a//b", "https://h/a//", "https://h/a;x", "https://h/a;x=1/b",
            "https://h/a%3bx", "https://h/a\\b", "https://h/a%5cb", "https://h/a%00",
            "https://h/a%0a", "https://h/a%7f", "https://h/a b", "https://h/a\tb",
            "https://h/a\x7f", "https://h/a\x01", "https://h/a%3fb", "https://h/a%23b",
            "https://h/a#b", "https://h/#", "https://h#x", "https://h/%252e%252e/x",
            "https://h/a%252fb", "https://h/a%2500", "https://h/a%2525%2500",
            "https://h/a%2525", "https://h/%c0%ae", "https://h/%c0%af", "https://h/%e0%80%ae",
            "https://h/\xc0\xae", "https://h/%ff", "https://h/%ed%a0%80", "https://h/a%",
            "https://h/a%4", "https://h/a%zz", "https://h/a%2f..", "https://h/..%2fa",
            "https://h/a%2f%2fb", "https://h/%2f", "https://h/a%2f.", "https://h/a?b=%00",
            "https://h/a?b c");
}

static void T16_a_refusal_says_which_rule_it_was(void **state)
{
    static const struct {
        const char *url, *why;
    } rows[] = {{"https://", "host: empty"},
                {"https:/h", "must begin with https://"},
                {"https://u@h/", "a user name"},
                {"https://[::1]/", "a numeric address"},
                {"https://h:x/", "port: "},
                {"https://h/#", "a fragment"},
                {"https://h/..", "path: a '.' or '..' segment"},
                {"https://h/%2e", "path: a '.' or '..' segment"},
                {"https://h//", "path: '//'"},
                {"https://h/a%", "path: malformed"},
                {"https://h/a%00", "path: an encoded control byte"},
                {"https://h/a%0a", "path: an encoded control byte"},
                {"https://h/a\n", "path: a space or control byte"},
                {"https://h/a;", "path: ';'"},
                {"https://h/a%3B", "path: %3b"},
                {"https://h/a\\", "path: a backslash"},
                {"https://h/a%5C", "path: %5c"},
                {"https://h/a%3F", "path: %3f"},
                {"https://h/a%23", "path: %23"},
                {"https://h/a%252e", "path: a doubly encoded byte"},
                {"https://h/%c0%ae", "path: not UTF-8"},
                {"https://h/a%2f..", "beside an encoded slash"},
                {"https://h/?a%00", "parameter name: NUL"},
                {"https://h/?a=%g0", "parameter value: malformed"},
                {"https://h/?a=\xff", "parameter value: not UTF-8"},
                {"https://h/?a\t", "parameter name: raw space"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sp_url url;
        struct sp_error err = {""};
        assert_int_equal(sp_url_parse(*state, sp_text_of(rows[i].url), &url, &err), SP_EINVAL);
        if (!strstr(err.text, rows[i].why)) {
            fail_msg("'%s' was refused with '%s'", rows[i].url, err.text);
        }
    }
}

static void T16_an_escape_is_a_percent_sign_and_two_hexadecimal_digits(void **state)
{
    (void)state;
    const char *digits = "0123456789abcdef0123456789ABCDEF";
    unsigned good = 0;
    for (unsigned pair = 0; pair < 1u << 16; pair++) {
        const char raw[] = {'%', (char)(pair >> 8), (char)pair};
        const char *high = memchr(digits, raw[1], 32), *low = memchr(digits, raw[2], 32);
        int expected =
            high && low ? (int)((high - digits) % 16 * 16 + (low - digits) % 16) : -1;
        assert_int_equal(percent_decode((struct sp_text){raw, 3}, 0), expected);
        good += expected >= 0;
    }
    assert_int_equal(good, 22 * 22);
    assert_int_equal(percent_decode(SP_TEXT("%4"), 0), -1);
    assert_int_equal(percent_decode(SP_TEXT("x41"), 0), -1);
}

static void T16_what_is_sent_is_what_was_matched(void **state)
{
    prints(*state, "https://h/%63harges/ch_1", "https://h/charges/ch_1");
    prints(*state, "https://h/a%7Eb%2dc", "https://h/a~b-c");
    prints(*state, "https://h/Case?Is=Kept", "https://h/Case?Is=Kept");
    prints(*state, "https://h/%41%5a%61%7a%30%39%2d%2e%5f%7e", "https://h/AZaz09-._~");
    prints(*state, "https://h/%40%5b%60%7b%2f%3a", "https://h/@%5B%60%7B%2F:");
    prints(*state, "https://h/a%20b", "https://h/a%20b");
    prints(*state, "https://h/a%25b", "https://h/a%25b");
    prints(*state, "https://h/a|b{c}\"<>^`", "https://h/a%7Cb%7Bc%7D%22%3C%3E%5E%60");
    prints(*state, "https://h/\xc3\xa4", "https://h/%C3%A4");
    prints(*state, "https://h/a/b/", "https://h/a/b/");
    prints(*state, "https://h", "https://h/");
    prints(*state, "https://h?", "https://h/");
    prints(*state, "https://h?x=1", "https://h/?x=1");
    prints(*state, "https://h/contents/a%2Fb", "https://h/contents/a%2Fb");
    prints(*state, "https://h/...", "https://h/...");
    prints(*state, "https://h/a:b@c!$&'()*+,=", "https://h/a:b@c!$&'()*+,=");
    prints(*state, "https://h/x?a=1&&b=c+d&e[]=f;g&h", "https://h/x?a=1&b=c%20d&e[]=f%3Bg&h");
    prints(*state, "https://h/x?a=%2B%26%3D", "https://h/x?a=%2B%26%3D");
    prints(*state, "https://h/%C3%A4?%C3%A4=\xc3\xa4", "https://h/%C3%A4?%C3%A4=%C3%A4");
    prints(*state, "https://h/x?q=a%0Ab%7f\\\"<>^`{|}",
           "https://h/x?q=a%0Ab%7F%5C%22%3C%3E%5E%60%7B%7C%7D");
    prints(*state, "https://h/x?a&b=&=c&d==e", "https://h/x?a&b=&=c&d=%3De");
    prints(*state, "https://h/x?&", "https://h/x");
    prints(*state, "https://h/x?q=..%2f..%252e", "https://h/x?q=../..%252e");
    prints(*state, "https://h/x?next=http://z/", "https://h/x?next=http://z/");
}

/* A caller may build a form by hand; its print is safe whatever the bytes. */
static void a_print_carries_no_raw_control_byte(void **state)
{
    (void)state;
    struct sp_segment segment = {SP_TEXT("a\0\r\nb"), false};
    struct sp_param param = {SP_TEXT("\0"), SP_TEXT("\r\n"), true};
    struct sp_url url = {.host = SP_TEXT("h"),
                         .port = 8080,
                         .segments = &segment,
                         .n_segments = 1,
                         .query = &param,
                         .n_query = 1};
    struct sp_buf buf;
    sp_buf_init(&buf, 1000);
    sp_url_print(&url, &buf);
    assert_string_equal(buf.ptr, "http://h:8080/a%00%0D%0Ab?%00=%0D%0A");
    sp_buf_done(&buf);
}

static void an_encoded_slash_is_data_of_one_segment(void **state)
{
    struct sp_url url;
    assert_int_equal(sp_url_parse(*state, SP_TEXT("https://h/x/a%2fb/y/"), &url, NULL), SP_OK);
    assert_int_equal(url.n_segments, 3);
    assert_true(url.segments[1].has_slash && sp_text_is(url.segments[1].text, "a/b"));
    assert_false(url.segments[0].has_slash);
    assert_true(url.trailing_slash);
}

static void T17_a_host_has_one_form(void **state)
{
    prints(*state, "HTTPS://API.Stripe.COM./v1", "https://api.stripe.com/v1");
    prints(*state, "https://api.stripe.com:443/v1", "https://api.stripe.com/v1");
    prints(*state, "http://localhost:80/", "http://localhost/");
    prints(*state, "http://localhost:443/", "http://localhost:443/");
    prints(*state, "https://a:65535/", "https://a:65535/");
    prints(*state, "https://a:1098/", "https://a:1098/");
    prints(*state, "https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/");
    prints(*state, "https://my_host-1.internal/", "https://my_host-1.internal/");
}

static void T17_other_spellings_of_a_host_are_refused(void **state)
{
    REFUSED(*state, "https://u@h/", "https://u:p@h/", "https://h@/", "https://h:/",
            "https://h:0/", "https://h:080/", "https://h:65536/", "https://h:+1/",
            "https://h:1x/", "https://h:999999/", "https://[::1]/",
            "https://[::ffff:127.0.0.1]:1/", "https://127.0.0.1/", "https://127.1/",
            "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/",
            "https://017700000001/", "https://1.2.3.4./", "https://a.0x/", "https:///x",
            "https://./", "https://h../", "https://.h/", "https://a..b/", "https://-a/",
            "https://a-/", "https://a.-b/",
            "https://b\xc3\xbc"
            "cher.example/",
            "https://h%2e/", "https://h\x01/", "ftp://h/", "//h/", "/x", "h/x", "https:/h/",
            "javascript:x", "");
    char long_label[80];
    (void)snprintf(long_label, sizeof long_label, "https://%064d/", 0);
    for (char *c = long_label + 8; *c == '0'; c++) {
        *c = 'a';
    }
    REFUSED(*state, long_label);
}

static void sizes_are_capped(void **state)
{
    static char raw[SP_URL_MAX_BYTES + 20];
    struct sp_url url;
    int n = snprintf(raw, sizeof raw, "https://h/");
    memset(raw + n, 'a', sizeof raw - (size_t)n - 1);
    assert_int_equal(
        sp_url_parse(*state, (struct sp_text){raw, SP_URL_MAX_BYTES + 1}, &url, NULL),
        SP_ETOOBIG);
    assert_int_equal(sp_url_parse(*state, (struct sp_text){raw, SP_URL_MAX_BYTES}, &url, NULL),
                     SP_OK);
    for (int i = 0; i < SP_URL_MAX_SEGMENTS + 1; i++) {
        memcpy(raw + 9 + 2 * i, "/a", 3);
    }
    assert_int_equal(sp_url_parse(*state, sp_text_of(raw), &url, NULL), SP_ETOOBIG);
    raw[9 + 2 * SP_URL_MAX_SEGMENTS] = '\0';
    assert_int_equal(sp_url_parse(*state, sp_text_of(raw), &url, NULL), SP_OK);
    n = snprintf(raw, sizeof raw, "https://h/?");
    for (int i = 0; i < SP_URL_MAX_PARAMS + 1; i++) {
        memcpy(raw + n + 2 * i, "a&", 3);
    }
    assert_int_equal(sp_url_parse(*state, sp_text_of(raw), &url, NULL), SP_ETOOBIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T16_ambiguous_paths_are_refused),
        cmocka_unit_test(T16_a_refusal_says_which_rule_it_was),
        cmocka_unit_test(T16_an_escape_is_a_percent_sign_and_two_hexadecimal_digits),
        cmocka_unit_test(T16_what_is_sent_is_what_was_matched),
        cmocka_unit_test(a_print_carries_no_raw_control_byte),
        cmocka_unit_test(an_encoded_slash_is_data_of_one_segment),
        cmocka_unit_test(T17_a_host_has_one_form),
        cmocka_unit_test(T17_other_spellings_of_a_host_are_refused),
        cmocka_unit_test(sizes_are_capped),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
