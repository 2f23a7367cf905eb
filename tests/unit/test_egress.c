/* The way out against real servers on loopback: what is sent, to the byte; what comes back; and
 * how it ends when it ends badly. */
#include "egress_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define URL "https://api.example.com"

struct fixture {
    struct kit kit;
    struct loopback *server;
    struct kit_key key;
    struct kit_reply reply;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    kit_open(&f->kit);
    f->server = loopback_start(NULL);
    kit_key(&f->key, "k1", KIT_SECRET, "http", f->server->port);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    kit_close(&f->kit);
    loopback_stop(f->server);
    kit_key_done(&f->key);
    kit_reply_done(&f->reply);
    free(f);
    return 0;
}

/* The first line of what the server got last; the server is idle then. */
static void assert_request_line(struct fixture *f, const char *line)
{
    assert_memory_equal(f->server->log, line, strlen(line));
    assert_memory_equal(f->server->log + strlen(line), "\r\n", 2);
}

static void a_call_carries_the_key_and_brings_the_answer(void **state)
{
    struct fixture *f = *state;
    kit_get(&f->kit, &f->key, URL "/v1/charges/ch_1", &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_OK);
    assert_true(f->reply.sent);
    assert_int_equal(f->reply.http_status, 200);
    assert_string_equal(f->reply.body, "hello");
    assert_string_equal(f->reply.headers, "content-type: text/plain\n");
    /* Not a header more than these. */
    assert_string_equal(f->server->log, "GET /v1/charges/ch_1 HTTP/1.1\r\n"
                                        "Host: api.example.com\r\n"
                                        "Accept-Encoding: identity\r\n"
                                        "authorization: Bearer " KIT_SECRET "\r\n\r\n");
}

static void a_body_is_sent_byte_for_byte(void **state)
{
    struct fixture *f = *state;
    const char *body = "{ \"amount\" : 1.10,\t\"note\":\"\\u00e9 \xc3\xa9\" }\n";
    kit_do(&f->kit, &f->key,
           &(struct kit_call){.method = "PATCH",
                              .url = URL "/v1/x",
                              .headers = {{"Content-Type", " application/json "}},
                              .body = body},
           &f->reply);
    assert_request_line(f, "PATCH /v1/x HTTP/1.1");
    assert_non_null(strstr(f->server->log, "\r\ncontent-type: application/json\r\n"));
    char length[48];
    (void)snprintf(length, sizeof length, "\r\nContent-Length: %zu\r\n", strlen(body));
    assert_non_null(strstr(f->server->log, length));
    assert_null(strcasestr(f->server->log, "expect"));
    assert_string_equal(strstr(f->server->log, "\r\n\r\n") + 4, body);
}

static void a_long_body_waits_for_no_100_continue(void **state)
{
    struct fixture *f = *state;
    enum { LEN = 1200000 }; /* libcurl would ask first from 1 MiB on */
    char *body = malloc(LEN + 1);
    memset(body, 'x', LEN);
    body[LEN] = '\0';
    kit_do(&f->kit, &f->key,
           &(struct kit_call){.method = "PUT", .url = URL "/up", .body = body}, &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_OK);
    assert_null(strcasestr(f->server->log, "\r\nexpect:"));
    assert_null(strcasestr(f->server->log, "\r\ncontent-type:"));
    assert_string_equal(strstr(f->server->log, "\r\n\r\n") + 4, body);
    free(body);
}

static void methods_without_a_body_are_sent_as_such(void **state)
{
    static const struct {
        const char *method, *length;
    } rows[] = {{"GET", NULL},           {"HEAD", NULL},          {"OPTIONS", NULL},
                {"DELETE", NULL},        {"POST", "Length: 0\r"}, {"PUT", "Length: 0\r"},
                {"PATCH", "Length: 0\r"}};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        f->server->log_len = 0;
        kit_do(&f->kit, &f->key, &(struct kit_call){.method = rows[i].method, .url = URL "/m"},
               &f->reply);
        assert_int_equal(f->reply.code, SP_CODE_OK);
        assert_memory_equal(f->server->log, rows[i].method, strlen(rows[i].method));
        f->server->log[f->server->log_len] = '\0';
        if (rows[i].length) {
            assert_non_null(strstr(f->server->log, rows[i].length));
        } else {
            assert_null(strcasestr(f->server->log, "content-length"));
        }
        kit_reply_done(&f->reply);
    }
}

/* libcurl's handles are used again. */
static void a_request_takes_nothing_from_the_one_before(void **state)
{
    static const char *const methods[] = {"HEAD", "GET", "DELETE", "OPTIONS"};
    struct fixture *f = *state;
    char expected[512];
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        kit_do(&f->kit, &f->key,
               &(struct kit_call){
                   .method = "POST",
                   .url = URL "/secret?q=1",
                   .headers = {{"Content-Type", "application/json"}, {"Accept", "text/html"}},
                   .body = "{\"a\":1}"},
               &f->reply);
        kit_reply_done(&f->reply);
        f->server->log_len = 0;
        kit_do(&f->kit, &f->key, &(struct kit_call){.method = methods[i], .url = URL "/m"},
               &f->reply);
        assert_int_equal(f->reply.code, SP_CODE_OK);
        kit_reply_done(&f->reply);
        (void)snprintf(expected, sizeof expected,
                       "%s /m HTTP/1.1\r\n"
                       "Host: api.example.com\r\n"
                       "Accept-Encoding: identity\r\n"
                       "authorization: Bearer " KIT_SECRET "\r\n\r\n",
                       methods[i]);
        f->server->log[f->server->log_len] = '\0';
        assert_string_equal(f->server->log, expected);
    }
    assert_int_equal(loopback_connections(f->server), 1);
}

static bool serve_and_leave(struct loopback_connection *connection, const char *request,
                            size_t len)
{
    (void)request;
    (void)len;
    (void)loopback_send_str(connection, loopback_hello);
    return false;
}

static void on_turn(uv_prepare_t *prepare)
{
    ++*(unsigned *)prepare->data;
}

static void an_upstream_that_ends_an_idle_connection_costs_no_turns(void **state)
{
    struct fixture *f = *state;
    uv_prepare_t prepare;
    unsigned n_turns = 0;
    loopback_serve(f->server, serve_and_leave);
    (void)uv_prepare_init(&f->kit.loop, &prepare);
    prepare.data = &n_turns;
    for (unsigned i = 1; i <= 3; i++) {
        kit_get(&f->kit, &f->key, URL "/", &f->reply);
        assert_int_equal(f->reply.code, SP_CODE_OK);
        kit_reply_done(&f->reply);
        n_turns = 0;
        (void)uv_prepare_start(&prepare, on_turn);
        kit_run_ms(&f->kit, 200);
        (void)uv_prepare_stop(&prepare);
        assert_true(n_turns < 20);
        assert_int_equal(loopback_connections(f->server), i);
    }
    uv_close((uv_handle_t *)&prepare, NULL);
    kit_run_ms(&f->kit, 1);
}

static void a_head_request_with_a_body_is_refused(void **state)
{
    struct fixture *f = *state;
    struct sp_error err = {""};
    uint64_t id;
    assert_int_equal(kit_send(&f->kit, &f->key,
                              &(struct kit_call){.method = "HEAD", .url = URL "/", .body = "x"},
                              &f->reply, &id, &err),
                     SP_EINVAL);
    assert_non_null(strstr(err.text, "HEAD"));
    assert_int_equal(sp_egress_in_flight(f->kit.egress), 0);
}

static void T16_bytes_sent_are_bytes_matched(void **state)
{
    static const char *const targets[] = {
        "/",
        "/a/b/",
        "/repos/o/r/contents/a%2Fb",
        "/v1/%E2%82%AC/%7e",
        "/a?x=1&x=2&&y&z=",
        "/search?q=a+b%20c%2Bd&expand[]=data.x",
        "/x?u=https://evil.example/%23%3F",
        "/a%20b/c%22d%3C%3E|^`{}",
        "/a:b@c/!$&'()*+,=",
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        char url[512], line[2048];
        struct sp_url parsed;
        struct sp_buf printed;
        (void)snprintf(url, sizeof url, URL "%s", targets[i]);
        assert_int_equal(sp_url_parse(&f->kit.arena, sp_text_of(url), &parsed, NULL), SP_OK);
        sp_buf_init(&printed, 4096);
        sp_url_print_target(&parsed, &printed);
        (void)snprintf(line, sizeof line, "GET %s HTTP/1.1", printed.ptr);
        f->server->log_len = 0;
        kit_get(&f->kit, &f->key, url, &f->reply);
        assert_int_equal(f->reply.code, SP_CODE_OK);
        assert_request_line(f, line);
        kit_reply_done(&f->reply);
        sp_buf_done(&printed);
    }
}

static void T16_ambiguous_paths_never_leave(void **state)
{
    static const char *const paths[] = {
        "/a/../b", "/a/%2e%2e/b", "/a/%252e%252e/b", "/a//b", "/a;x", "/a\\b",
        "/a%00",   "/a%5cb",      "/%c0%ae",         "/a#b",  "/a b", "/a\r\nX: y"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char url[256];
        uint64_t id;
        (void)snprintf(url, sizeof url, URL "%s", paths[i]);
        assert_int_equal(kit_send(&f->kit, &f->key,
                                  &(struct kit_call){.method = "GET", .url = url}, &f->reply,
                                  &id, NULL),
                         SP_EINVAL);
    }
    assert_int_equal(loopback_connections(f->server), 0);
}

static void T17_the_host_header_is_the_canonical_authority(void **state)
{
    static const char *const rows[][2] = {
        {"https://API.Example.COM./x", "\r\nHost: api.example.com\r\n"},
        {"https://api.example.com:443/x", "\r\nHost: api.example.com\r\n"},
        {"https://api.example.com:8443/x", "\r\nHost: api.example.com:8443\r\n"},
        {"http://api.example.com/x", "\r\nHost: api.example.com\r\n"},
        {"http://api.example.com:443/x", "\r\nHost: api.example.com:443\r\n"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        f->server->log_len = 0;
        kit_get(&f->kit, &f->key, rows[i][0], &f->reply);
        f->server->log[f->server->log_len] = '\0';
        assert_non_null(strstr(f->server->log, rows[i][1]));
        assert_int_equal(f->reply.code, SP_CODE_OK);
        kit_reply_done(&f->reply);
    }
}

static void T26_credential_slots_of_a_client_are_stripped(void **state)
{
    static const struct sp_placement placement = {.place = SP_PLACE_HEADER,
                                                  .name = {"X-Api-Key", 9},
                                                  .prefix = {"", 0},
                                                  .template = {"{api_key}", 9}};
    static const struct sp_setting fixed = {{"x-version", 9}, {"2024", 4}},
                                   fallback = {{"user-agent", 10}, {"sallyport", 9}};
    const struct sp_plan plan = {.placements = &placement,
                                 .n_placements = 1,
                                 .headers = &fixed,
                                 .n_headers = 1,
                                 .defaults = &fallback,
                                 .n_defaults = 1};
    struct sp_text passed[] = {SP_TEXT("x-api-key"), SP_TEXT("x-version")};
    struct sp_manifest manifest = {.request_headers = passed, .n_request_headers = 2};
    struct fixture *f = *state;
    kit_do(&f->kit, &f->key,
           &(struct kit_call){.method = "GET",
                              .url = URL "/",
                              .headers = {{"X-API-Key", "mine"},
                                          {"X-Version", "1999"},
                                          {"Stripe-Account", "acct_1"},
                                          {"User-Agent", "client"}},
                              .plan = &plan,
                              .manifest = &manifest},
           &f->reply);
    assert_null(strstr(f->server->log, "mine"));
    assert_null(strstr(f->server->log, "1999"));
    assert_null(strcasestr(f->server->log, "sallyport"));
    assert_non_null(strstr(f->server->log, "\r\nuser-agent: client\r\n"));
    assert_non_null(strstr(f->server->log, "\r\nx-version: 2024\r\n"));
    assert_non_null(strstr(f->server->log, "\r\nX-Api-Key: " KIT_SECRET "\r\n"));
}

static void T61_a_client_cannot_name_another_account_or_origin(void **state)
{
    static const char *const refused[] = {
        "Cookie",        "X-Original-URL", "X-Forwarded-Host",      "X-Forwarded-For",
        "Authorization", "Host",           "X-HTTP-Method-Override"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct kit_call call = {
            .method = "GET", .url = URL "/", .headers = {{refused[i], "x"}}};
        uint64_t id;
        assert_int_equal(kit_send(&f->kit, &f->key, &call, &f->reply, &id, NULL), SP_EINVAL);
    }
    kit_do(&f->kit, &f->key,
           &(struct kit_call){.method = "GET",
                              .url = URL "/",
                              .headers = {{"Stripe-Account", "acct_1"}, {"Accept", "a/b"}}},
           &f->reply);
    assert_null(strcasestr(f->server->log, "stripe-account"));
    assert_non_null(strstr(f->server->log, "\r\naccept: a/b\r\n"));
}

static void T32_redirects_are_passed_on_and_never_followed(void **state)
{
    struct fixture *f = *state;
    struct loopback *other = loopback_start(NULL);
    char answer[512];
    for (int status = 301; status <= 308; status++) {
        (void)snprintf(answer, sizeof answer,
                       "HTTP/1.1 %d Elsewhere\r\nLocation: http://localhost:%u/x\r\n"
                       "Content-Length: 0\r\n\r\n",
                       status, other->port);
        loopback_answer(f->server, answer);
        kit_get(&f->kit, &f->key, URL "/", &f->reply);
        assert_int_equal(f->reply.code, SP_CODE_OK);
        assert_int_equal(f->reply.http_status, status);
        assert_non_null(strstr(f->reply.headers, "location: http://localhost:"));
        kit_reply_done(&f->reply);
    }
    assert_int_equal(loopback_connections(other), 0);
    loopback_stop(other);
}

/* Without an Authorization header of ours, a .netrc would have room to put one in. */
static const struct sp_placement in_query = {
    .place = SP_PLACE_QUERY, .name = {"key", 3}, .template = {"{api_key}", 9}};
static const struct sp_plan by_query = {.placements = &in_query, .n_placements = 1};

static void T36_environment_and_netrc_change_nothing(void **state)
{
    struct fixture *f = *state;
    struct loopback *proxy = loopback_start(NULL);
    char home[] = "/tmp/sallyport-test-XXXXXX", netrc[64], url[64];
    assert_non_null(mkdtemp(home));
    (void)snprintf(netrc, sizeof netrc, "%s/.netrc", home);
    FILE *file = fopen(netrc, "w");
    (void)fputs("default login mallory password evil\n", file);
    (void)fclose(file);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", proxy->port);
    static const char *const names[] = {"http_proxy",  "HTTP_PROXY", "https_proxy",
                                        "HTTPS_PROXY", "all_proxy",  "ALL_PROXY"};
    for (size_t i = 0; i < 6; i++) {
        (void)setenv(names[i], url, 1);
    }
    (void)setenv("HOME", home, 1);
    kit_do(&f->kit, &f->key,
           &(struct kit_call){.method = "GET", .url = URL "/?a=1", .plan = &by_query},
           &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_OK);
    assert_int_equal(loopback_connections(proxy), 0);
    assert_int_equal(loopback_connections(f->server), 1);
    assert_null(strcasestr(f->server->log, "authorization"));
    assert_request_line(f, "GET /?a=1&key=" KIT_SECRET " HTTP/1.1");
    for (size_t i = 0; i < 6; i++) {
        (void)unsetenv(names[i]);
    }
    (void)unlink(netrc);
    (void)rmdir(home);
    loopback_stop(proxy);
}

/* ---- what a client gets ---------------------------------------------------------------------
 */

static void headers_of_the_connection_and_cookies_stay_here(void **state)
{
    struct fixture *f = *state;
    loopback_answer(f->server,
                    "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n"
                    "Keep-Alive: timeout=5\r\nSet-Cookie: session=abc\r\n"
                    "ETag: \"x\"\r\nX-Empty:\r\nX-RateLimit-Left:   7  \r\n"
                    "Upgrade: h2c\r\nContent-Length: 2\r\n\r\nok");
    kit_get(&f->kit, &f->key, URL "/", &f->reply);
    assert_string_equal(f->reply.headers, "etag: \"x\"\nx-empty: \nx-ratelimit-left: 7\n");
    assert_string_equal(f->reply.body, "ok");
}

static void T28_chunks_are_read_and_trailers_stand_apart(void **state)
{
    struct fixture *f = *state;
    loopback_answer(f->server,
                    "HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n"
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n"
                    "X-H: 1\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: late\r\n\r\n");
    kit_get(&f->kit, &f->key, URL "/", &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_OK);
    assert_int_equal(f->reply.http_status, 200);
    assert_string_equal(f->reply.headers, "x-h: 1\n");
    assert_string_equal(f->reply.trailers, "x-t: late\n");
    assert_string_equal(f->reply.body, "abcde");
}

#define CHUNKED "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nTransfer-Encoding: chunked\r\n\r\n"

static void T28_trailers_hold_nothing_that_comes_too_late_or_is_no_clients(void **state)
{
    struct fixture *f = *state;
    loopback_answer(f->server,
                    CHUNKED "2\r\nab\r\n0\r\nSet-Cookie: a=b\r\nX-Hop: 1\r\n"
                            "Content-Length: 7\r\nTransfer-Encoding: chunked\r\n"
                            "Authorization: x\r\nLocation: /a\r\nCache-Control: a\r\n"
                            "WWW-Authenticate: Basic\r\nServer-Timing: a\r\n\r\n");
    kit_get(&f->kit, &f->key, URL "/", &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_OK);
    assert_string_equal(f->reply.trailers, "server-timing: a\n");
    assert_string_equal(f->reply.headers, "");
    assert_string_equal(f->reply.body, "ab");
}

/* The answer stands: they are an end that nobody has to wait for. */
static void trailers_that_are_malformed_or_too_many_are_none(void **state)
{
    static const char *const ends[] = {"HTTP/1.1 201 Other: x\r\nX-A: 1\r\n",
                                       "X-A: 1\r\n folded\r\n", "X-A: 1\r\nX B: 2\r\n"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends + 2; i++) {
        struct sp_buf answer;
        sp_buf_init(&answer, 1 << 20);
        sp_buf_add_str(&answer, CHUNKED "0\r\n");
        for (size_t k = 0; i == 3 && k < 33; k++) {
            sp_buf_add_str(&answer, "X-A: 1\r\n");
        }
        for (size_t k = 0; i == 4 && k < 30; k++) {
            sp_buf_addf(&answer, "X-A: %0300d\r\n", 0);
        }
        sp_buf_add_str(&answer, i < 3 ? ends[i] : "");
        sp_buf_add_str(&answer, "\r\n");
        loopback_answer(f->server, answer.ptr);
        kit_get(&f->kit, &f->key, URL "/", &f->reply);
        assert_int_equal(f->reply.code, SP_CODE_OK);
        assert_int_equal(f->reply.http_status, 200);
        assert_string_equal(f->reply.trailers, "");
        kit_reply_done(&f->reply);
        sp_buf_done(&answer);
    }
}

static void a_head_answer_keeps_its_length(void **state)
{
    struct fixture *f = *state;
    loopback_answer(f->server, "HTTP/1.1 200 OK\r\nContent-Length: 4096\r\n\r\n");
    kit_do(&f->kit, &f->key, &(struct kit_call){.method = "HEAD", .url = URL "/"}, &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_OK);
    assert_string_equal(f->reply.headers, "content-length: 4096\n");
}

static void malformed_answers_are_refused(void **state)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nX-A: 1\r\n folded: 2\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX A: 1\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: a\rb\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n",
        "hello\r\n\r\n",
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        loopback_answer(f->server, answers[i]);
        kit_get(&f->kit, &f->key, URL "/", &f->reply);
        assert_int_equal(f->reply.code, SP_CODE_UPSTREAM_FAILED);
        assert_null(f->reply.headers[0] ? f->reply.headers : NULL);
        kit_reply_done(&f->reply);
    }
}

static void a_key_without_its_secret_sends_nothing(void **state)
{
    struct fixture *f = *state;
    struct kit_key key;
    struct sp_error err = {""};
    uint64_t id;
    kit_key(&key, "k2", NULL, "http", f->server->port);
    assert_int_equal(kit_send(&f->kit, &key,
                              &(struct kit_call){.method = "GET", .url = URL "/"}, &f->reply,
                              &id, &err),
                     SP_EINVAL);
    assert_non_null(strstr(err.text, "api_key"));
    kit_run_ms(&f->kit, 20);
    assert_int_equal(loopback_connections(f->server), 0);
    kit_key_done(&key);
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(a_call_carries_the_key_and_brings_the_answer),
        ROW(a_body_is_sent_byte_for_byte),
        ROW(a_long_body_waits_for_no_100_continue),
        ROW(methods_without_a_body_are_sent_as_such),
        ROW(a_request_takes_nothing_from_the_one_before),
        ROW(an_upstream_that_ends_an_idle_connection_costs_no_turns),
        ROW(a_head_request_with_a_body_is_refused),
        ROW(T16_bytes_sent_are_bytes_matched),
        ROW(T16_ambiguous_paths_never_leave),
        ROW(T17_the_host_header_is_the_canonical_authority),
        ROW(T26_credential_slots_of_a_client_are_stripped),
        ROW(T61_a_client_cannot_name_another_account_or_origin),
        ROW(T32_redirects_are_passed_on_and_never_followed),
        ROW(T36_environment_and_netrc_change_nothing),
        ROW(headers_of_the_connection_and_cookies_stay_here),
        ROW(T28_chunks_are_read_and_trailers_stand_apart),
        ROW(T28_trailers_hold_nothing_that_comes_too_late_or_is_no_clients),
        ROW(trailers_that_are_malformed_or_too_many_are_none),
        ROW(a_head_answer_keeps_its_length),
        ROW(malformed_answers_are_refused),
        ROW(a_key_without_its_secret_sends_nothing),
    };
    struct sp_error err;
    if (sp_egress_global(&err)) {
        return 1;
    }
    return cmocka_run_group_tests_name("egress", tests, NULL, NULL);
}
