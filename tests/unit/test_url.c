/* URLs, hosts and methods: what is refused, and that what is printed is what was parsed. */
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
            "https://h/a%3fb", "https://h/a%23b", "https://h/a#b", "https://h/#", "https://h#x",
            "https://h/%252e%252e/x", "https://h/a%252fb", "https://h/a%2525",
            "https://h/%c0%ae", "https://h/%c0%af", "https://h/%e0%80%ae", "https://h/\xc0\xae",
            "https://h/%ff", "https://h/%ed%a0%80", "https://h/a%", "https://h/a%4",
            "https://h/a%zz", "https://h/a%2f..", "https://h/..%2fa", "https://h/a%2f%2fb",
            "https://h/%2f", "https://h/a%2f.", "https://h/a?b=%00", "https://h/a?b c");
}

static void T16_what_is_sent_is_what_was_matched(void **state)
{
    prints(*state, "https://h/%63harges/ch_1", "https://h/charges/ch_1");
    prints(*state, "https://h/a%7Eb%2dc", "https://h/a~b-c");
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
    prints(*state, "https://h/x?next=http://z/", "https://h/x?next=http://z/");
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

static void T18_methods_are_known_and_in_capitals(void **state)
{
    (void)state;
    static const char *const good[] = {"GET",   "HEAD",   "POST",   "PUT",
                                       "PATCH", "DELETE", "OPTIONS"};
    static const char *const bad[] = {"get",     "Get", "",     "GETS",     "GE",    "TRACE",
                                      "CONNECT", "*",   "GET ", "PROPFIND", "PO\nST"};
    unsigned all = 0;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        unsigned bit = sp_method_parse(sp_text_of(good[i]));
        assert_true(bit && !(all & bit));
        assert_string_equal(sp_method_name(bit), good[i]);
        all |= bit;
    }
    assert_int_equal(all, SP_METHOD_ALL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(sp_method_parse(sp_text_of(bad[i])), 0);
    }
    assert_null(sp_method_name(SP_METHOD_ALL));
    assert_null(sp_method_name(0));
}

static void sizes_are_capped(void **state)
{
    static char raw[SP_URL_MAX_BYTES + 20];
    struct sp_url url;
    int n = snprintf(raw, sizeof raw, "https://h/");
    memset(raw + n, 'a', sizeof raw - (size_t)n - 1);
    assert_int_equal(sp_url_parse(*state, sp_text_of(raw), &url, NULL), SP_ETOOBIG);
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
    char host[300];
    for (int i = 0; i < 256; i += 4) {
        memcpy(host + i, "abc.", 5);
    }
    struct sp_text parsed;
    assert_int_equal(sp_host_parse(*state, sp_text_of(host), &parsed, NULL), SP_EINVAL);
}

static void a_request_knows_its_query_and_its_headers(void **state)
{
    struct sp_request r;
    struct sp_error err = {""};
    struct sp_header headers[] = {{SP_TEXT("a"), SP_TEXT("1")}, {SP_TEXT("b"), SP_TEXT("2")}};
    assert_int_equal(sp_request_init(*state, SP_TEXT("GET"),
                                     SP_TEXT("https://h/x?created[gte]=5"), &r, &err),
                     SP_OK);
    r.headers = headers;
    r.n_headers = 2;
    assert_true(sp_text_is(sp_request_header(&r, "b")->value, "2"));
    assert_null(sp_request_header(&r, "c"));
    assert_non_null(
        sp_value_get(sp_value_get(r.query_value, SP_TEXT("created")), SP_TEXT("gte")));
    assert_int_equal(sp_request_init(*state, SP_TEXT("get"), SP_TEXT("https://h/"), &r, &err),
                     SP_EINVAL);
    assert_int_equal(sp_request_init(*state, SP_TEXT("GET"), SP_TEXT("https://h/.."), &r, &err),
                     SP_EINVAL);
}

static void out_of_memory_is_said_at_every_cap(void **state)
{
    (void)state;
    size_t done = 0;
    for (size_t cap = 0; cap < 20000; cap += 16) {
        struct sp_arena arena;
        struct sp_request r;
        sp_arena_init(&arena, cap);
        sp_status status = sp_request_init(&arena, SP_TEXT("GET"),
                                           SP_TEXT("https://h/a/b%20c/d?x=1&y[z]=2"), &r, NULL);
        assert_true(status == SP_OK || status == SP_ENOMEM);
        done += status == SP_OK;
        sp_arena_done(&arena);
    }
    assert_true(done > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T16_ambiguous_paths_are_refused),
        cmocka_unit_test(T16_what_is_sent_is_what_was_matched),
        cmocka_unit_test(an_encoded_slash_is_data_of_one_segment),
        cmocka_unit_test(T17_a_host_has_one_form),
        cmocka_unit_test(T17_other_spellings_of_a_host_are_refused),
        cmocka_unit_test(T18_methods_are_known_and_in_capitals),
        cmocka_unit_test(sizes_are_capped),
        cmocka_unit_test(a_request_knows_its_query_and_its_headers),
        cmocka_unit_test(out_of_memory_is_said_at_every_cap),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
