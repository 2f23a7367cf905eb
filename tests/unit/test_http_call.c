#include "http_call.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* 16 bytes of id and 32 of tag, all zero: formed like a token, and nobody's. */
#define TOKEN "spt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
/* TOKEN: and x-access-token:TOKEN */
#define BASIC_USER                                                                             \
    "c3B0X0FBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB"         \
    "QUFBQUFBQUE6"
#define BASIC_PASSWORD                                                                         \
    "eC1hY2Nlc3MtdG9rZW46c3B0X0FBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB"         \
    "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="

struct reading {
    struct sp_arena arena;
    struct sp_http_reader reader;
    struct sp_http_call call;
    struct sp_decision decision;
};

static struct reading *read_call(enum sp_http_mode mode, const char *target,
                                 const char *headers)
{
    struct reading *r = calloc(1, sizeof *r);
    struct sp_http_route route = {mode, SP_TEXT("stripe")};
    struct sp_buf buf;
    size_t used;
    assert_non_null(r);
    sp_arena_init(&r->arena, 1 << 20);
    sp_http_reader_init(&r->reader, 100);
    sp_buf_init(&buf, 1 << 16);
    sp_buf_addf(&buf, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", target, headers);
    assert_int_equal(sp_http_feed(&r->reader, sp_buf_text(&buf), &used), SP_HTTP_WHOLE);
    sp_buf_done(&buf);
    sp_http_call_read(&r->arena, &route, &r->reader.request, SP_TEXT(""), &r->call,
                      &r->decision);
    return r;
}

static void done(struct reading *r)
{
    sp_http_call_wipe(&r->call);
    sp_http_reader_done(&r->reader);
    sp_arena_done(&r->arena);
    free(r);
}

static void assert_text(struct sp_text text, const char *expected)
{
    if (!sp_text_is(text, expected)) {
        fail_msg("'%.*s' is not '%s'", (int)text.len, text.ptr, expected);
    }
}

static void the_token_is_found_in_each_of_its_places(void **state)
{
    static const char *const places[][2] = {
        {"Authorization: Bearer " TOKEN "\r\n", TOKEN},
        {"authorization: BEARER   " TOKEN "\r\n", TOKEN},
        {"Authorization: token " TOKEN "\r\n", TOKEN},
        {"X-Api-Key: " TOKEN "\r\n", TOKEN},
        {"X-API-KEY: rk_test_" TOKEN "\r\n", "rk_test_" TOKEN},
        {"Authorization: Basic " BASIC_USER "\r\n", TOKEN},
        {"Authorization: basic " BASIC_PASSWORD "\r\n", TOKEN}};
    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct reading *r = read_call(SP_HTTP_PROVIDER, "/v1", places[i][0]);
        assert_int_equal(r->decision.code, SP_CODE_OK);
        assert_text(r->call.token, places[i][1]);
        assert_int_equal(r->call.n_headers, 0); /* none of it goes on */
        done(r);
    }
}

static void none_or_two_are_refused(void **state)
{
    static const struct {
        const char *headers;
        enum sp_code code;
    } rows[] = {
        {"", SP_CODE_TOKEN_INVALID},
        {"Authorization: Bearer \r\n", SP_CODE_TOKEN_INVALID},
        {"Authorization: " TOKEN "\r\n", SP_CODE_TOKEN_INVALID},
        {"Authorization: Negotiate " TOKEN "\r\n", SP_CODE_TOKEN_INVALID},
        {"Authorization: Basic x\r\n", SP_CODE_TOKEN_INVALID},
        {"Authorization: Basic YWJj\r\n", SP_CODE_TOKEN_INVALID},
        {"X-Api-Key:\r\n", SP_CODE_TOKEN_INVALID},
        {"Authorization: Bearer " TOKEN "\r\nX-Api-Key: " TOKEN "\r\n", SP_CODE_BAD_REQUEST},
        {"X-Api-Key: " TOKEN "\r\nAuthorization: Basic x\r\n", SP_CODE_BAD_REQUEST},
        {"X-Api-Key: a\r\nX-Api-Key: " TOKEN "\r\n", SP_CODE_BAD_REQUEST},
        {"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n", SP_CODE_BAD_REQUEST},
        {"Authorization: Bearer " TOKEN "\r\nSallyport-Key: a\r\nSallyport-Key: b\r\n",
         SP_CODE_BAD_REQUEST},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct reading *r = read_call(SP_HTTP_PROVIDER, "/v1", rows[i].headers);
        if (r->decision.code != rows[i].code) {
            fail_msg("row %zu: %s", i, sp_code_name(r->decision.code));
        }
        assert_true(r->decision.reason[0] != '\0');
        done(r);
    }
}

static void routes_part_provider_and_path(void **state)
{
    static const struct {
        enum sp_http_mode mode;
        const char *target, *provider, *url;
    } rows[] = {
        {SP_HTTP_PREFIXED, "/stripe/v1/x?a=%2F", "stripe", "https://h/v1/x?a=%2F"},
        {SP_HTTP_PREFIXED, "/stripe", "stripe", "https://h/"},
        {SP_HTTP_PREFIXED, "/stripe/", "stripe", "https://h/"},
        {SP_HTTP_PREFIXED, "/stripe?a", "stripe", "https://h/?a"},
        {SP_HTTP_PREFIXED, "/rest-2//x", "rest-2", "https://h//x"},
        {SP_HTTP_PREFIXED, "/..", "..", "https://h/"},
        {SP_HTTP_PROVIDER, "/github/v1", "stripe", "https://h/github/v1"},
        {SP_HTTP_TOKEN, "/v1@evil", "", "https://h/v1@evil"},
        {SP_HTTP_PREFIXED, "/", NULL, NULL},
        {SP_HTTP_PREFIXED, "//stripe/v1", NULL, NULL},
        {SP_HTTP_PREFIXED, "/Stripe/v1", NULL, NULL},
        {SP_HTTP_PREFIXED, "/strip%65/v1", NULL, NULL},
        {SP_HTTP_PREFIXED, "/stripe;a/v1", NULL, NULL},
        {SP_HTTP_PREFIXED, "/?stripe", NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct reading *r =
            read_call(rows[i].mode, rows[i].target, "Authorization: Bearer " TOKEN "\r\n");
        if (!rows[i].provider) {
            assert_int_equal(r->decision.code, SP_CODE_NOT_FOUND);
        } else {
            assert_int_equal(r->decision.code, SP_CODE_OK);
            assert_text(r->call.provider, rows[i].provider);
            assert_text(sp_http_call_url(&r->arena, &r->call, SP_TEXT("h")), rows[i].url);
        }
        done(r);
    }
}

static void T26_only_what_is_the_clients_goes_on(void **state)
{
    struct reading *r = read_call(
        SP_HTTP_PROVIDER, "/v1",
        "Authorization: Bearer " TOKEN "\r\nAccept: a\r\nCookie: a\r\nCookie2: a\r\n"
        "Connection: X-Hop , close\r\nX-Hop: 1\r\nProxy-Anything: 1\r\nTE: trailers\r\n"
        "X-Forwarded-Host: x\r\nForwarded: x\r\nVia: x\r\nAccept-Encoding: br\r\n"
        "Sallyport-Key: k\r\nSallyport-Other: k\r\nX-HTTP-Method-Override: PUT\r\n"
        "Keep-Alive: 1\r\nProxy: x\r\n");
    (void)state;
    assert_int_equal(r->decision.code, SP_CODE_OK);
    assert_text(r->call.key, "k");
    assert_int_equal(r->call.n_headers, 3);
    assert_text(r->call.headers[0].name, "Accept");
    assert_text(r->call.headers[1].name,
                "X-HTTP-Method-Override");         /* sp_canonical refuses it */
    assert_text(r->call.headers[2].name, "Proxy"); /* which the allow-list then leaves behind */
    done(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_token_is_found_in_each_of_its_places),
        cmocka_unit_test(none_or_two_are_refused),
        cmocka_unit_test(routes_part_provider_and_path),
        cmocka_unit_test(T26_only_what_is_the_clients_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
