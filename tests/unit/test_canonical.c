/* From what a front end received to the canonical request. */
#include "canonical.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* after those four */
#include <cmocka.h>

struct fixture {
    struct sp_arena arena;
    struct sp_request request;
    struct sp_error err;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    sp_arena_init(&f->arena, 1 << 20);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    sp_arena_done(&f->arena);
    free(f);
    return 0;
}

static sp_status canonical(struct fixture *f, const struct sp_raw_header *headers, size_t n)
{
    const struct sp_raw_request raw = {.method = SP_TEXT("GET"),
                                       .url = SP_TEXT("https://API.example.com/a"),
                                       .headers = headers,
                                       .n_headers = n};
    f->err.text[0] = '\0';
    return sp_canonical(&f->arena, &raw, &f->request, &f->err);
}

static sp_status one_header(struct fixture *f, const char *name, struct sp_text value)
{
    const struct sp_raw_header header = {sp_text_of(name), value};
    return canonical(f, &header, 1);
}

static void names_are_folded_and_values_trimmed(void **state)
{
    struct fixture *f = *state;
    const struct sp_raw_header headers[] = {
        {SP_TEXT("Content-TYPE"), SP_TEXT(" \t application/json \t")},
        {SP_TEXT("X-Empty"), SP_TEXT("")},
        {SP_TEXT("accept"), SP_TEXT("a/b, c/d;q=\"x\ty\"")},
        {SP_TEXT("Accept"), SP_TEXT("\xc3\xa9")}};
    assert_int_equal(canonical(f, headers, 4), SP_OK);
    assert_int_equal(f->request.n_headers, 4);
    assert_true(sp_text_is(f->request.headers[0].name, "content-type"));
    assert_true(sp_text_is(f->request.headers[0].value, "application/json"));
    assert_int_equal(f->request.headers[1].value.len, 0);
    assert_true(sp_text_is(f->request.headers[2].value, "a/b, c/d;q=\"x\ty\""));
    assert_true(sp_text_is(f->request.url.host, "api.example.com"));
    assert_int_equal(f->request.body_kind, SP_BODY_NONE);
}

static void a_body_is_kept_as_it_is(void **state)
{
    struct fixture *f = *state;
    struct sp_raw_request raw = {
        .method = SP_TEXT("POST"), .url = SP_TEXT("https://a.example/"), .body = {" {\0} ", 5}};
    assert_int_equal(sp_canonical(&f->arena, &raw, &f->request, &f->err), SP_OK);
    assert_int_equal(f->request.body_kind, SP_BODY_UNREAD);
    assert_int_equal(f->request.body.len, 5);
    assert_memory_equal(f->request.body.ptr, " {\0} ", 5);
    raw.body.len = 0;
    assert_int_equal(sp_canonical(&f->arena, &raw, &f->request, &f->err), SP_OK);
    assert_int_equal(f->request.body_kind, SP_BODY_NONE);
}

static void T25_header_names_are_tokens(void **state)
{
    static const struct sp_text names[] = {
        {"", 0},     {"a b", 3},   {"a:", 2},       {" a", 2},   {"a ", 2},  {"a\r\nb", 4},
        {"a\0b", 3}, {"a\x7f", 2}, {"\xc3\xa9", 2}, {"a\"b", 3}, {"a(b", 3}, {"a/b", 3}};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct sp_raw_header header = {names[i], SP_TEXT("x")};
        assert_int_equal(canonical(f, &header, 1), SP_EINVAL);
        assert_non_null(strstr(f->err.text, "header"));
    }
    char longest[129];
    memset(longest, 'a', sizeof longest);
    const struct sp_raw_header fits = {{longest, 128}, SP_TEXT("x")},
                               over = {{longest, 129}, SP_TEXT("x")};
    assert_int_equal(canonical(f, &fits, 1), SP_OK);
    assert_int_equal(canonical(f, &over, 1), SP_EINVAL);
}

static void T25_header_values_hold_no_line_ends(void **state)
{
    static const struct sp_text values[] = {{"a\r\nX: y", 7}, {"a\n", 2},      {"\r", 1},
                                            {"a\0b", 3},      {"a\x1b[1m", 5}, {"a\x7f", 2},
                                            {"a\n b", 4},     {"\xc0\xae", 2}, {"\xff", 1}};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        assert_int_equal(one_header(f, "accept", values[i]), SP_EINVAL);
    }
    static char longest[SP_HEADER_VALUE_MAX_BYTES + 1];
    memset(longest, 'x', sizeof longest);
    assert_int_equal(one_header(f, "accept", (struct sp_text){longest, sizeof longest - 1}), 0);
    assert_int_equal(one_header(f, "accept", (struct sp_text){longest, sizeof longest}),
                     SP_EINVAL);
}

static void T26_headers_that_are_never_a_clients_are_refused_by_name(void **state)
{
    static const char *const names[] = {"Host",
                                        "AUTHORIZATION",
                                        "Proxy-Authorization",
                                        "Proxy-Connection",
                                        "Cookie",
                                        "Cookie2",
                                        "Connection",
                                        "Keep-Alive",
                                        "TE",
                                        "Trailer",
                                        "Transfer-Encoding",
                                        "Upgrade",
                                        "HTTP2-Settings",
                                        "Content-Length",
                                        "Expect",
                                        "Forwarded",
                                        "X-Forwarded-For",
                                        "X-Forwarded-Host",
                                        "X-Forwarded-Proto",
                                        "X-Original-URL",
                                        "X-Original-Host",
                                        "X-Rewrite-URL",
                                        "X-HTTP-Method-Override",
                                        "X-HTTP-Method",
                                        "X-Method-Override",
                                        "X-Real-IP",
                                        "Via",
                                        "Accept-Encoding"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(one_header(f, names[i], SP_TEXT("x")), SP_EINVAL);
        assert_non_null(strcasestr(f->err.text, names[i]));
        assert_non_null(strstr(f->err.text, "leave it out"));
    }
    assert_int_equal(one_header(f, "Stripe-Account", SP_TEXT("acct_1")), SP_OK);
    assert_int_equal(one_header(f, "X-Host-Name", SP_TEXT("x")), SP_OK);
}

static void headers_whose_double_is_ambiguous_come_once(void **state)
{
    static const char *const names[] = {"content-type", "content-encoding", "idempotency-key",
                                        "range",        "user-agent",       "traceparent"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct sp_raw_header twice[] = {{sp_text_of(names[i]), SP_TEXT("a")},
                                              {SP_TEXT("x-other"), SP_TEXT("a")},
                                              {sp_text_of(names[i]), SP_TEXT("a")}};
        assert_int_equal(canonical(f, twice, 2), SP_OK);
        assert_int_equal(canonical(f, twice, 3), SP_EINVAL);
        assert_non_null(strstr(f->err.text, "twice"));
    }
}

static void there_are_at_most_64_headers(void **state)
{
    struct fixture *f = *state;
    struct sp_raw_header headers[SP_HEADERS_MAX + 1];
    for (size_t i = 0; i <= SP_HEADERS_MAX; i++) {
        headers[i] = (struct sp_raw_header){SP_TEXT("accept"), SP_TEXT("a")};
    }
    assert_int_equal(canonical(f, headers, SP_HEADERS_MAX), SP_OK);
    assert_int_equal(canonical(f, headers, SP_HEADERS_MAX + 1), SP_ETOOBIG);
}

static void T18_only_known_methods_in_capitals(void **state)
{
    static const char *const methods[] = {"get",   "Post", "TRACE", "CONNECT",
                                          "PURGE", "",     "GET ",  "GET\r\n"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        const struct sp_raw_request raw = {.method = sp_text_of(methods[i]),
                                           .url = SP_TEXT("https://a.example/")};
        assert_int_equal(sp_canonical(&f->arena, &raw, &f->request, &f->err), SP_EINVAL);
    }
}

static void running_out_of_room_is_an_error_and_no_more(void **state)
{
    struct fixture *f = *state;
    const struct sp_raw_header headers[] = {{SP_TEXT("accept"), SP_TEXT("application/json")},
                                            {SP_TEXT("user-agent"), SP_TEXT("test")}};
    struct sp_arena arena;
    size_t cap = 0;
    const struct sp_raw_request raw = {.method = SP_TEXT("GET"),
                                       .url = SP_TEXT("https://a.example/b/c?d=e"),
                                       .headers = headers,
                                       .n_headers = 2};
    sp_status status = SP_ENOMEM;
    for (; status && cap < 8192; cap += 16) {
        sp_arena_init(&arena, cap);
        status = sp_canonical(&arena, &raw, &f->request, &f->err);
        assert_true(status != SP_OK || f->request.n_headers == 2);
        sp_arena_done(&arena);
    }
    assert_int_equal(status, SP_OK);
    assert_true(cap > 64);
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(names_are_folded_and_values_trimmed),
        ROW(a_body_is_kept_as_it_is),
        ROW(T25_header_names_are_tokens),
        ROW(T25_header_values_hold_no_line_ends),
        ROW(T26_headers_that_are_never_a_clients_are_refused_by_name),
        ROW(headers_whose_double_is_ambiguous_come_once),
        ROW(there_are_at_most_64_headers),
        ROW(T18_only_known_methods_in_capitals),
        ROW(running_out_of_room_is_an_error_and_no_more),
    };
    return cmocka_run_group_tests_name("canonical request", tests, NULL, NULL);
}
