#include "http_answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct sp_http_base prefixed = {.origin = {"http://me:1", 11},
                                             .prefix = {"/github", 7},
                                             .host = {"api.github.com", 14},
                                             .upstream = {"http://localhost:9", 18}};
static const struct sp_http_base by_name = {.origin = {"https://api.github.com", 22},
                                            .prefix = {"", 0},
                                            .host = {"api.github.com", 14},
                                            .upstream = {"http://localhost:9", 18},
                                            .by_name = true};

static void assert_location(const struct sp_http_base *base, const char *value,
                            const char *expected)
{
    struct sp_buf buf;
    sp_buf_init(&buf, 4096);
    sp_http_put_location(&buf, base, sp_text_of(value));
    if (!sp_text_is(sp_buf_text(&buf), expected)) {
        fail_msg("'%s' became '%s', not '%s'", value, sp_buf_text(&buf).ptr, expected);
    }
    sp_buf_done(&buf);
}

static void a_place_at_the_upstream_becomes_ours(void **state)
{
    static const char *const rows[][2] = {
        {"https://api.github.com/a?b#c", "http://me:1/github/a?b#c"},
        {"HTTPS://API.github.com:443/a", "http://me:1/github/a"},
        {"http://api.github.com:80/a", "http://me:1/github/a"},
        {"https://api.github.com", "http://me:1/github"},
        {"https://api.github.com?a", "http://me:1/github?a"},
        {"//api.github.com/a", "http://me:1/github/a"},
        {"http://localhost:9/a", "http://me:1/github/a"},
        {"/a", "/github/a"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_location(&prefixed, rows[i][0], rows[i][1]);
    }
}

static void T32_any_other_place_stays_what_it_is(void **state)
{
    static const char *const rows[] = {
        "a",
        "?a",
        "",
        "https://elsewhere.example/a",
        "https://api.github.com.evil.example/a",
        "https://api.github.com@evil.example/a",
        "https://api.github.com:8443/a",
        "https://evil.example/https://api.github.com/",
        "http://localhost:90/a",
        "//evil.example/a",
        "javascript:x",
        "/\\evil.example",
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_location(&prefixed, rows[i], rows[i]);
    }
}

static void who_dials_the_upstreams_name_finds_its_links_right(void **state)
{
    (void)state;
    assert_location(&by_name, "https://api.github.com/a", "https://api.github.com/a");
    assert_location(&by_name, "http://localhost:9/a", "https://api.github.com/a");
    assert_location(&by_name, "/a", "/a");
}

static void a_link_leads_back_or_is_gone(void **state)
{
    static const struct {
        const char *value, *expected;
    } rows[] = {
        {"<https://api.github.com/a?page=2>; rel=\"next\"",
         "<http://me:1/github/a?page=2>; rel=\"next\""},
        {"<https://evil.example/a>; rel=next, </b>; rel=last", "</github/b>; rel=last"},
        {"<https://evil.example/a>; title=\"x, <https://api.github.com/>\"; rel=next", ""},
        {"<a>; title=\"\\\",\"; rel=next , <b>", "<a>; title=\"\\\",\"; rel=next , <b>"},
        {" ,, <?page=2>", "<?page=2>"},
        {"<https://api.github.com/a", ""},
        {"https://evil.example/a; rel=next", ""},
        {"<//evil.example>; rel=next", ""},
        {"<\\\\evil.example>; rel=next", ""},
        {"<https:\\\\evil.example>; rel=next", ""},
        {"< https://evil.example/>; rel=next", ""},
        {"<data:x>; rel=next", ""},
        {"", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sp_buf buf;
        sp_buf_init(&buf, 4096);
        size_t n = sp_http_put_links(&buf, &prefixed, sp_text_of(rows[i].value));
        if (!sp_text_is(sp_buf_text(&buf), rows[i].expected) ||
            (n == 0) != (rows[i].expected[0] == '\0')) {
            fail_msg("'%s' became '%s'", rows[i].value, sp_buf_text(&buf).ptr);
        }
        sp_buf_done(&buf);
    }
}

static void assert_has(const struct sp_buf *buf, const char *text, bool expected)
{
    if ((memmem(buf->ptr, buf->len, text, strlen(text)) != NULL) != expected) {
        fail_msg("%s: %s", expected ? "missing" : "too much", text);
    }
}

static void a_refusal_can_be_read_by_programs_and_people(void **state)
{
    struct sp_decision decision = {.code = SP_CODE_NOT_ALLOWED,
                                   .reason = "no \"rule\"\r\nInjected: 1",
                                   .rule = "refund",
                                   .hint = "ask"};
    struct sp_buf buf;
    (void)state;
    sp_buf_init(&buf, 1 << 16);
    sp_http_put_refusal(&buf, (struct sp_http_form){.close = true}, &decision);
    assert_has(&buf, "HTTP/1.1 403 Forbidden\r\nconnection: close\r\n", true);
    assert_has(&buf, "x-should-retry: false\r\n", true);
    assert_has(&buf, "\"rule\":\"refund\"", true);
    assert_has(&buf, "\r\nInjected", false);
    assert_has(&buf, "retry-after", false);
    sp_buf_reset(&buf);
    decision.code = SP_CODE_RATE_LIMITED;
    decision.retry_after_ms = 1001;
    sp_http_put_refusal(&buf, (struct sp_http_form){.head = true}, &decision);
    assert_has(&buf, "HTTP/1.1 429 ", true);
    assert_has(&buf, "retry-after: 2\r\n", true);
    assert_has(&buf, "x-should-retry", false);
    assert_has(&buf, "{", false); /* HEAD */
    sp_buf_done(&buf);
}

static void every_code_has_a_status_of_a_failure(void **state)
{
    (void)state;
    for (int code = SP_CODE_OK + 1; code < SP_CODE_COUNT; code++) {
        int status = sp_http_status_of((enum sp_code)code);
        assert_in_range(status, 400, 504);
    }
}

static void an_answer_is_framed_by_what_it_is(void **state)
{
    static const struct sp_header headers[] = {{{"etag", 4}, {"\"x\"", 3}},
                                               {{"sallyport-observed", 18}, {"no", 2}}};
    struct sp_decision decision = {.code = SP_CODE_OK};
    struct sp_reply reply = {
        .http_status = 200, .headers = headers, .n_headers = 2, .body = {"abc", 3}};
    struct sp_proxied result = {.reply = &reply, .decision = &decision};
    struct sp_buf buf;
    (void)state;
    sp_buf_init(&buf, 1 << 16);
    sp_http_put_reply(&buf, (struct sp_http_form){.close = false}, &prefixed, &result);
    assert_string_equal(buf.ptr,
                        "HTTP/1.1 200 OK\r\netag: \"x\"\r\ncontent-length: 3\r\n\r\nabc");
    sp_buf_reset(&buf);
    reply.http_status = 304;
    sp_http_put_reply(&buf, (struct sp_http_form){.close = true}, &prefixed, &result);
    assert_string_equal(buf.ptr, "HTTP/1.1 304 Not Modified\r\nconnection: close\r\n"
                                 "etag: \"x\"\r\n\r\n");
    sp_buf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_place_at_the_upstream_becomes_ours),
        cmocka_unit_test(T32_any_other_place_stays_what_it_is),
        cmocka_unit_test(who_dials_the_upstreams_name_finds_its_links_right),
        cmocka_unit_test(a_link_leads_back_or_is_gone),
        cmocka_unit_test(a_refusal_can_be_read_by_programs_and_people),
        cmocka_unit_test(every_code_has_a_status_of_a_failure),
        cmocka_unit_test(an_answer_is_framed_by_what_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
