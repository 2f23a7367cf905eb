#include "http_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define HOST "Host: x\r\n"

/* Feed it all in steps of so many bytes; how much was used. */
static size_t feed(struct sp_http_reader *reader, const char *bytes, size_t len, size_t step)
{
    size_t at = 0, used = 1;
    while (at < len && reader->state != SP_HTTP_WHOLE && reader->state != SP_HTTP_BROKEN) {
        size_t n = len - at < step ? len - at : step;
        (void)sp_http_feed(reader, (struct sp_text){bytes + at, n}, &used);
        at += used;
        if (used == 0 && reader->state != SP_HTTP_BROKEN) {
            fail_msg("nothing was used of '%.20s'", bytes + at);
        }
    }
    return at;
}

static size_t feed_str(struct sp_http_reader *reader, const char *bytes)
{
    return feed(reader, bytes, strlen(bytes), SIZE_MAX);
}

static void assert_text(struct sp_text text, const char *expected)
{
    if (!sp_text_is(text, expected)) {
        fail_msg("'%.*s' is not '%s'", (int)text.len, text.ptr, expected);
    }
}

static void a_request_is_read_and_the_next_one_is_left_alone(void **state)
{
    static const char both[] = "POST /a?b HTTP/1.1\r\n" HOST "X-A:  1 \r\nContent-Length: 3\r\n"
                               "\r\nabcGET / HTTP/1.1\r\n" HOST "\r\n";
    struct sp_http_reader reader;
    (void)state;
    sp_http_reader_init(&reader, 100);
    size_t used = feed_str(&reader, both);
    assert_int_equal(reader.state, SP_HTTP_WHOLE);
    assert_text(reader.request.method, "POST");
    assert_text(reader.request.target, "/a?b");
    assert_text(reader.request.host, "x");
    assert_text(reader.request.body, "abc");
    assert_int_equal(reader.request.n_headers, 3);
    assert_text(reader.request.headers[1].name, "X-A");
    assert_true(reader.request.keep_alive);
    sp_http_next(&reader);
    assert_int_equal(sp_http_held(&reader), 0);
    used += feed_str(&reader, both + used);
    assert_int_equal(used, sizeof both - 1);
    assert_int_equal(reader.state, SP_HTTP_WHOLE);
    assert_text(reader.request.method, "GET");
    assert_null(reader.request.body.ptr);
    sp_http_reader_done(&reader);
}

static void pieces_of_any_size_make_the_same_request(void **state)
{
    static const char bytes[] = "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n"
                                "00a\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\nGET";
    (void)state;
    for (size_t step = 1; step <= sizeof bytes; step++) {
        struct sp_http_reader reader;
        sp_http_reader_init(&reader, 11);
        size_t used = feed(&reader, bytes, sizeof bytes - 1, step);
        assert_int_equal(reader.state, SP_HTTP_WHOLE);
        assert_int_equal(used, sizeof bytes - 1 - 3);
        assert_text(reader.request.body, "0123456789x");
        sp_http_reader_done(&reader);
    }
}

static void the_head_is_shown_before_the_body_is_read(void **state)
{
    struct sp_http_reader reader;
    size_t used;
    (void)state;
    static const char head[] = "PUT /a HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\n"
                               "Connection: close\r\nContent-Length: 2\r\n\r\n";
    sp_http_reader_init(&reader, 10);
    assert_int_equal(sp_http_feed(&reader, sp_text_of(head), &used), SP_HTTP_BODY);
    assert_int_equal(used, sizeof head - 1);
    assert_true(reader.request.expects_continue);
    assert_false(reader.request.keep_alive);
    assert_int_equal(sp_http_feed(&reader, SP_TEXT("a"), &used), SP_HTTP_BODY);
    assert_int_equal(sp_http_feed(&reader, SP_TEXT("bGET"), &used), SP_HTTP_WHOLE);
    assert_int_equal(used, 1);
    sp_http_reader_done(&reader);
}

static void an_upgrade_is_a_request_like_any_other(void **state)
{
    struct sp_http_reader reader;
    (void)state;
    static const char bytes[] = "GET /a HTTP/1.1\r\n" HOST "Connection: Upgrade\r\n"
                                "Upgrade: websocket\r\n\r\n";
    sp_http_reader_init(&reader, 10);
    assert_int_equal(feed(&reader, bytes, sizeof bytes - 1, 3), sizeof bytes - 1);
    assert_int_equal(reader.state, SP_HTTP_WHOLE);
    sp_http_reader_done(&reader);
}

static void http_1_0_closes_unless_it_says_otherwise(void **state)
{
    struct sp_http_reader reader;
    (void)state;
    sp_http_reader_init(&reader, 10);
    (void)feed_str(&reader, "GET / HTTP/1.0\r\n\r\n");
    assert_int_equal(reader.state, SP_HTTP_WHOLE);
    assert_false(reader.request.keep_alive);
    assert_int_equal(reader.request.host.len, 0);
    sp_http_next(&reader);
    (void)feed_str(&reader, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_true(reader.request.keep_alive);
    sp_http_reader_done(&reader);
}

static void T25_what_two_readers_could_take_differently_is_refused(void **state)
{
#define POST "POST / HTTP/1.1\r\n" HOST
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
    static const struct {
        const char *bytes;
        int status;
    } rows[] = {
        {"\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET / HTTP/1.1\n" HOST "\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "\n", 400},
        {"GET / HTTP/1.1\r" HOST "\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\r\n\r\n", 400},
        {"GET  / HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET /  HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET / HTTP/1.1 \r\n" HOST "\r\n", 505},
        {"GET / HTTP/1.10\r\n" HOST "\r\n", 505},
        {"GET / HTTP/01.1\r\n" HOST "\r\n", 505},
        {"GET / http/1.1\r\n" HOST "\r\n", 400},
        {"GET / ICE/1.0\r\n" HOST "\r\n", 400},
        {"GET / HTTP/2.0\r\n" HOST "\r\n", 505},
        {"PRI * HTTP/2.0\r\n\r\n", 505},
        {"GET /\x7f HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET a HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET http://x/ HTTP/1.1\r\n" HOST "\r\n", 400},
        {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 400},
        {"CONNECT x:443 HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400},
        {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "A: 1\r\n b: 2\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "A: 1\r\n\tb: 2\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "A : 1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST ": 1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "A\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "A(: 1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "A: \x01\r\n\r\n", 400},
        {POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400},
        {POST "Content-Length: 1, 1\r\n\r\na", 400},
        {POST "Content-Length: +1\r\n\r\na", 400},
        {POST "Content-Length: \r\n\r\n", 400},
        {POST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na", 400},
        {POST "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\na", 400},
        {POST "Transfer-Encoding: identity\r\n\r\n", 400},
        {POST "Transfer-Encoding: chunked, chunked\r\n\r\n", 400},
        {POST "Transfer-Encoding: x, chunked\r\n\r\n", 400},
        {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {POST "Transfer-Encoding:\r\n\r\n", 400},
        {"POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 400},
        {POST "Expect: 100-continue, x\r\nContent-Length: 1\r\n\r\na", 417},
        {POST "Content-Length: 101\r\n\r\n", 413},
        {CHUNKED "1;a=b\r\nx\r\n0\r\n\r\n", 400},
        {CHUNKED "1;\r\nx\r\n0\r\n\r\n", 400},
        {CHUNKED "1 \r\nx\r\n0\r\n\r\n", 400},
        {CHUNKED " 1\r\nx\r\n0\r\n\r\n", 400},
        {CHUNKED "1\nx\r\n0\r\n\r\n", 400},
        {CHUNKED "1\r\nx\n0\r\n\r\n", 400},
        {CHUNKED "1\r\nxx0\r\n\r\n", 400},
        {CHUNKED "0x1\r\nx\r\n0\r\n\r\n", 400},
        {CHUNKED "-1\r\nx\r\n0\r\n\r\n", 400},
        {CHUNKED "ffffffffffffffff1\r\n", 400},
        {CHUNKED "0000000000000000000000001\r\nx\r\n0\r\n\r\n", 400},
        {CHUNKED "0\r\nA: b\r\n\r\n", 400},
        {CHUNKED "0\r\n\n", 400},
        {CHUNKED
         "65\r\n"
         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
         "xxxxxxxxxxxxxxxxxxxxx\r\n0\r\n\r\n",
         413},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t step = 1; step <= 4096; step *= 16) {
            struct sp_http_reader reader;
            sp_http_reader_init(&reader, 100);
            (void)feed(&reader, rows[i].bytes, strlen(rows[i].bytes), step);
            if (reader.state == SP_HTTP_BODY) {
                (void)sp_http_gather(&reader);
            }
            if (reader.state != SP_HTTP_BROKEN || reader.status != rows[i].status) {
                fail_msg("row %zu, in steps of %zu: state %d, status %d (%s)", i, step,
                         (int)reader.state, reader.status, reader.reason ? reader.reason : "");
            }
            assert_non_null(reader.reason);
            sp_http_reader_done(&reader);
        }
    }
}

static void a_nul_byte_is_refused(void **state)
{
    static const char bytes[] = "GET / HTTP/1.1\r\n" HOST "A: \0b\r\n\r\n";
    struct sp_http_reader reader;
    (void)state;
    sp_http_reader_init(&reader, 100);
    (void)feed(&reader, bytes, sizeof bytes - 1, SIZE_MAX);
    assert_int_equal(reader.status, 400);
    sp_http_reader_done(&reader);
}

static void limits_hold(void **state)
{
    struct sp_http_reader reader;
    struct sp_buf buf;
    (void)state;
    for (size_t n = SP_HTTP_HEADERS_MAX - 1; n <= SP_HTTP_HEADERS_MAX; n++) {
        sp_buf_init(&buf, 1 << 20);
        sp_buf_add_str(&buf, "GET / HTTP/1.1\r\n" HOST);
        for (size_t i = 0; i < n; i++) {
            sp_buf_add_str(&buf, "A: 1\r\n");
        }
        sp_buf_add_str(&buf, "\r\n");
        sp_http_reader_init(&reader, 100);
        (void)feed(&reader, buf.ptr, buf.len, SIZE_MAX);
        assert_int_equal(reader.state,
                         n < SP_HTTP_HEADERS_MAX ? SP_HTTP_WHOLE : SP_HTTP_BROKEN);
        sp_http_reader_done(&reader);
        sp_buf_done(&buf);
    }
    sp_http_reader_init(&reader, 100);
    (void)feed_str(&reader, "GET /");
    for (size_t i = 0; i < 2 * SP_HTTP_HEAD_MAX_BYTES && reader.state == SP_HTTP_HEAD; i++) {
        (void)feed_str(&reader, "a");
    }
    assert_int_equal(reader.status, 431);
    assert_true(sp_http_held(&reader) <= 2 * SP_HTTP_HEAD_MAX_BYTES);
    sp_http_reader_done(&reader);
}

/* Whose host counts then, the target's or the header's, is what two readers differ on. */
static void T27_the_absolute_form_is_refused_whatever_the_host_header_says(void **state)
{
    static const char *const heads[] = {
        "GET http://x/a HTTP/1.1\r\n" HOST "\r\n", "GET http://y/a HTTP/1.1\r\n" HOST "\r\n",
        "GET HTTPS://x/ HTTP/1.1\r\n" HOST "\r\n", "GET http://x HTTP/1.0\r\n\r\n",
        "CONNECT x:443 HTTP/1.1\r\n" HOST "\r\n",  "OPTIONS * HTTP/1.1\r\n" HOST "\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct sp_http_reader reader;
        sp_http_reader_init(&reader, 100);
        (void)feed_str(&reader, heads[i]);
        assert_int_equal(reader.state, SP_HTTP_BROKEN);
        assert_int_equal(reader.status, 400);
        sp_http_reader_done(&reader);
    }
}

/* All of a passing body that waits, onto the end of what came before. */
static void take_all(struct sp_http_reader *reader, struct sp_buf *body, size_t room)
{
    char bytes[64];
    size_t n;
    while ((n = sp_http_body_take(reader, bytes, room)) > 0) {
        sp_buf_add(body, bytes, n);
    }
    assert_int_equal(sp_http_body_waiting(reader), 0);
}

static void a_body_that_passes_is_taken_while_it_comes(void **state)
{
    static const char *const bodies[] = {
        "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
        "00a\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\nGET",
        "POST /a HTTP/1.1\r\n" HOST "Content-Length: 11\r\n\r\n0123456789xGET"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        for (size_t step = 1; step < 40; step++) {
            struct sp_http_reader reader;
            struct sp_buf body;
            size_t used = 0, len = strlen(bodies[i]), at;
            sp_buf_init(&body, 100);
            sp_http_reader_init(&reader, 4); /* the limit of those that are read whole */
            at = (size_t)(strstr(bodies[i], "\r\n\r\n") + 4 - bodies[i]);
            assert_int_equal(sp_http_feed(&reader, (struct sp_text){bodies[i], at}, &used),
                             SP_HTTP_BODY);
            assert_true(reader.request.body_bytes == (i ? 11 : SP_HTTP_UNKNOWN));
            assert_int_equal(sp_http_pass(&reader, 11), SP_HTTP_BODY);
            while (reader.state == SP_HTTP_BODY) {
                size_t n = len - at < step ? len - at : step;
                (void)sp_http_feed(&reader, (struct sp_text){bodies[i] + at, n}, &used);
                at += used;
                if (step % 3) { /* else it is taken at the end alone */
                    take_all(&reader, &body, 1 + step % 7);
                }
            }
            assert_int_equal(reader.state, SP_HTTP_WHOLE);
            assert_int_equal(at, len - 3);
            take_all(&reader, &body, 64);
            assert_text(sp_buf_text(&body), "0123456789x");
            assert_null(reader.request.body.ptr);
            sp_http_next(&reader);
            assert_int_equal(sp_http_held(&reader), 0);
            assert_int_equal(reader.body.cap_bytes, 4);
            sp_buf_done(&body);
            sp_http_reader_done(&reader);
        }
    }
}

static void what_a_body_says_of_its_length_is_judged_by_how_it_is_read(void **state)
{
    static const char eleven[] = "POST /a HTTP/1.1\r\n" HOST "Content-Length: 11\r\n\r\n";
    static const char chunks[] =
        "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n";
    static const struct {
        size_t whole_max;
        uint64_t pass_max;
        int gathered, passed; /* the status, or 0 */
    } cases[] = {{11, 11, 0, 0}, {10, 11, 413, 0}, {11, 10, 0, 413}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sp_http_reader reader;
        sp_http_reader_init(&reader, cases[i].whole_max);
        (void)feed_str(&reader, eleven);
        (void)sp_http_gather(&reader);
        assert_int_equal(reader.status, cases[i].gathered);
        sp_http_reader_done(&reader);
        sp_http_reader_init(&reader, cases[i].whole_max);
        (void)feed_str(&reader, eleven);
        (void)sp_http_pass(&reader, cases[i].pass_max);
        assert_int_equal(reader.status, cases[i].passed);
        sp_http_reader_done(&reader);
        /* Chunks tell when they come; those before the decision count. */
        for (size_t before = 0; before < 2; before++) {
            sp_http_reader_init(&reader, 100);
            (void)feed_str(&reader, chunks);
            (void)feed_str(&reader, before ? "5\r\n01234\r\n" : "");
            assert_int_equal(sp_http_pass(&reader, cases[i].pass_max), SP_HTTP_BODY);
            (void)feed_str(&reader, before ? "6\r\n56789x\r\n0\r\n\r\n"
                                           : "b\r\n0123456789x\r\n0\r\n\r\n");
            assert_int_equal(reader.status, cases[i].passed);
            sp_http_reader_done(&reader);
        }
    }
}

static void T25_T28_the_framing_of_a_passing_body_is_read_as_strictly(void **state)
{
    static const char head[] =
        "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n";
    static const char *const bad[] = {"5;x=y\r\nhello\r\n", "5\nhello\r\n", "+5\r\nhello\r\n",
                                      "5\r\nhelloX\r\n", "0\r\nA: b\r\n\r\n"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sp_http_reader reader;
        sp_http_reader_init(&reader, 100);
        (void)feed_str(&reader, head);
        (void)sp_http_pass(&reader, 100);
        (void)feed_str(&reader, bad[i]);
        assert_int_equal(reader.state, SP_HTTP_BROKEN);
        assert_int_equal(reader.status, 400);
        sp_http_reader_done(&reader);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_read_and_the_next_one_is_left_alone),
        cmocka_unit_test(pieces_of_any_size_make_the_same_request),
        cmocka_unit_test(the_head_is_shown_before_the_body_is_read),
        cmocka_unit_test(an_upgrade_is_a_request_like_any_other),
        cmocka_unit_test(http_1_0_closes_unless_it_says_otherwise),
        cmocka_unit_test(T25_what_two_readers_could_take_differently_is_refused),
        cmocka_unit_test(T27_the_absolute_form_is_refused_whatever_the_host_header_says),
        cmocka_unit_test(a_nul_byte_is_refused),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(a_body_that_passes_is_taken_while_it_comes),
        cmocka_unit_test(what_a_body_says_of_its_length_is_judged_by_how_it_is_read),
        cmocka_unit_test(T25_T28_the_framing_of_a_passing_body_is_read_as_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
