/* An upstream that gives the key back, in every way that T30 names for an answer that is
 * buffered whole: the canary never reaches the client. */
#include "egress_kit.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define URL "https://api.example.com/"

struct fixture {
    struct kit kit;
    struct loopback *server;
    struct kit_key key;
    struct kit_reply reply;
    char answer[8192];
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

/* The answer as it stands in the fixture. */
static void assert_blocked(struct fixture *f)
{
    if (*f->answer) {
        loopback_answer(f->server, f->answer);
    }
    kit_get(&f->kit, &f->key, URL, &f->reply);
    if (f->reply.code != SP_CODE_RESPONSE_BLOCKED) {
        fail_msg("passed on (%d): %s%s", (int)f->reply.code, f->reply.headers, f->reply.body);
    }
    assert_true(f->reply.sent);
    assert_int_equal(f->reply.http_status, 0);
    assert_int_equal(f->reply.body_len, 0);
    assert_string_equal(f->reply.headers, "");
    assert_null(strstr(f->reply.reason, KIT_SECRET));
    kit_reply_done(&f->reply);
}

static void assert_body_blocked(struct fixture *f, const char *body)
{
    (void)snprintf(f->answer, sizeof f->answer,
                   "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    assert_blocked(f);
}

static void T30_buffered_key_in_the_body(void **state)
{
    assert_body_blocked(*state, "{\"error\":\"bad key " KIT_SECRET "\"}");
    assert_body_blocked(*state, KIT_SECRET);
}

static void T30_buffered_key_in_base64(void **state)
{
    for (int skew = 0; skew < 3; skew++) {
        char plain[128], encoded[256];
        int len = snprintf(plain, sizeof plain, "%.*s%s:x", skew, "ab", KIT_SECRET);
        sodium_bin2base64(encoded, sizeof encoded, (unsigned char *)plain, (size_t)len,
                          sodium_base64_VARIANT_ORIGINAL);
        assert_body_blocked(*state, encoded);
    }
}

static void T30_buffered_key_percent_encoded_or_json_escaped(void **state)
{
    char percent[256] = "", json[512] = "";
    for (size_t i = 0; i < sizeof KIT_SECRET - 1; i++) {
        (void)snprintf(percent + 3 * i, 4, "%%%02x", KIT_SECRET[i]);
        (void)snprintf(json + 6 * i, 7, "\\u%04X", KIT_SECRET[i]);
    }
    assert_body_blocked(*state, percent);
    assert_body_blocked(*state, json);
    assert_body_blocked(*state, "sk%5ftest\\u005F4eC39HqLyjWDarjtT1zdp7dc");
}

static void T30_buffered_key_in_status_line_headers_and_trailers(void **state)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 " KIT_SECRET "\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 401 No\r\nX-Debug: key=" KIT_SECRET "\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n" KIT_SECRET ": 1\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 302 F\r\nLocation: https://x/?k=" KIT_SECRET "\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 302 F\r\nLocation: /?k=%73k_test_4eC39HqLyjWDarjtT1zdp7dc\r\n"
        "Content-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nSet-Cookie: s=" KIT_SECRET "\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 103 E\r\nLink: <" KIT_SECRET ">\r\n\r\n"
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
        "X-Trailer: " KIT_SECRET "\r\n\r\n",
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        (void)snprintf(f->answer, sizeof f->answer, "%s", answers[i]);
        assert_blocked(f);
    }
}

static void T30_buffered_key_split_over_chunks(void **state)
{
    struct fixture *f = *state;
    size_t at = (size_t)snprintf(f->answer, sizeof f->answer,
                                 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t i = 0; i < sizeof KIT_SECRET - 1; i++) {
        at += (size_t)snprintf(f->answer + at, sizeof f->answer - at, "1\r\n%c\r\n",
                               KIT_SECRET[i]);
    }
    (void)snprintf(f->answer + at, sizeof f->answer - at, "0\r\n\r\n");
    assert_blocked(f);
}

/* ---- compressed answers ---------------------------------------------------------------------
 */

static uint32_t crc32_of(const unsigned char *bytes, size_t len)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
        }
    }
    return ~crc;
}

struct gzip {
    unsigned char bytes[32768];
    size_t len;
    unsigned bit;
};

static void put_bits(struct gzip *gzip, unsigned value, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        gzip->bytes[gzip->len] |= (unsigned char)((value >> i & 1) << gzip->bit);
        gzip->bit = (gzip->bit + 1) % 8;
        gzip->len += gzip->bit == 0;
    }
}

static void put_bytes(struct gzip *gzip, const void *bytes, size_t len)
{
    gzip->len += gzip->bit > 0;
    gzip->bit = 0;
    if (len > 0) {
        memcpy(gzip->bytes + gzip->len, bytes, len);
    }
    gzip->len += len;
}

static void gzip_begin(struct gzip *gzip)
{
    *gzip = (struct gzip){.len = 0};
    put_bytes(gzip, "\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
}

static void gzip_end(struct gzip *gzip, uint32_t crc, uint32_t size)
{
    put_bytes(gzip, NULL, 0);
    for (int i = 0; i < 4; i++) {
        put_bits(gzip, crc >> 8 * i & 0xff, 8);
    }
    for (int i = 0; i < 4; i++) {
        put_bits(gzip, size >> 8 * i & 0xff, 8);
    }
}

/* Stored blocks of four bytes: the key is nowhere in one piece, and needs decoding. */
static void gzip_stored(struct gzip *gzip, const char *text)
{
    size_t len = strlen(text);
    gzip_begin(gzip);
    for (size_t i = 0; i < len; i += 4) {
        unsigned n = (unsigned)(len - i < 4 ? len - i : 4);
        put_bits(gzip, i + 4 >= len, 3);
        put_bytes(gzip, NULL, 0);
        put_bits(gzip, n, 16);
        put_bits(gzip, ~n & 0xffff, 16);
        put_bytes(gzip, text + i, n);
    }
    gzip_end(gzip, crc32_of((const unsigned char *)text, len), (uint32_t)len);
}

static struct gzip gzip;

static bool serve_gzip(struct loopback_connection *c, const char *request, size_t len)
{
    char head[128];
    (void)request;
    (void)len;
    (void)snprintf(head, sizeof head,
                   "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
                   gzip.len);
    return loopback_send_str(c, head) && loopback_send(c, gzip.bytes, gzip.len);
}

static void T30_buffered_key_in_a_gzipped_body(void **state)
{
    struct fixture *f = *state;
    loopback_serve(f->server, serve_gzip);
    gzip_stored(&gzip, "{\"key\":\"" KIT_SECRET "\"}");
    assert_null(memmem(gzip.bytes, gzip.len, KIT_SECRET, 12));
    assert_blocked(f);
}

static void an_unasked_coding_is_decoded_before_it_is_passed_on(void **state)
{
    struct fixture *f = *state;
    loopback_serve(f->server, serve_gzip);
    gzip_stored(&gzip, "{\"id\":\"ch_1\"}");
    kit_get(&f->kit, &f->key, URL, &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_OK);
    assert_string_equal(f->reply.body, "{\"id\":\"ch_1\"}");
    assert_string_equal(f->reply.headers, ""); /* the coding and its length are gone */
}

static void a_coding_that_cannot_be_decoded_is_not_passed_on(void **state)
{
    static const char *const codings[] = {"gzip", "aes128gcm", "gzip, gzip", "x-unknown"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof codings / sizeof *codings; i++) {
        (void)snprintf(
            f->answer, sizeof f->answer,
            "HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: 5\r\n\r\nhello",
            codings[i]);
        loopback_answer(f->server, f->answer);
        kit_get(&f->kit, &f->key, URL, &f->reply);
        assert_int_equal(f->reply.code, SP_CODE_UPSTREAM_FAILED);
        assert_int_equal(f->reply.body_len, 0);
        kit_reply_done(&f->reply);
    }
}

/* One literal, then matches of 258 bytes at distance 1, in fixed Huffman codes (RFC 1951
 * section 3.2.6; codes go in most significant bit first): 13 bits make 258 bytes. */
static void T37_a_compression_bomb_is_cut_off(void **state)
{
    struct fixture *f = *state;
    loopback_serve(f->server, serve_gzip);
    gzip_begin(&gzip);
    put_bits(&gzip, 1 | 1 << 1, 3);
    put_bits(&gzip, 0x15, 8); /* 'x' is 10101000 */
    for (int i = 0; i < 16000; i++) {
        put_bits(&gzip, 0xa3, 8); /* 285 is 11000101 */
        put_bits(&gzip, 0, 5);
    }
    put_bits(&gzip, 0, 7);
    gzip_end(&gzip, 0, 0); /* it does not come that far */
    assert_true(gzip.len < 30000);
    kit_get(&f->kit, &f->key, URL, &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_RESPONSE_TOO_LARGE);
    assert_int_equal(f->reply.body_len, 0);
}

static void a_clean_answer_passes(void **state)
{
    struct fixture *f = *state;
    const char *body =
        "{\"key\":\"sk_test_4eC39HqLyjWDarjtT1zdp7d\",\"live\":false}"; /* one short */
    (void)snprintf(f->answer, sizeof f->answer,
                   "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    loopback_answer(f->server, f->answer);
    kit_get(&f->kit, &f->key, URL, &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_OK);
    assert_string_equal(f->reply.body, body);
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(T30_buffered_key_in_the_body),
        ROW(T30_buffered_key_in_base64),
        ROW(T30_buffered_key_percent_encoded_or_json_escaped),
        ROW(T30_buffered_key_in_status_line_headers_and_trailers),
        ROW(T30_buffered_key_split_over_chunks),
        ROW(T30_buffered_key_in_a_gzipped_body),
        ROW(an_unasked_coding_is_decoded_before_it_is_passed_on),
        ROW(a_coding_that_cannot_be_decoded_is_not_passed_on),
        ROW(T37_a_compression_bomb_is_cut_off),
        ROW(a_clean_answer_passes),
    };
    struct sp_error err;
    if (sp_egress_global(&err)) {
        return 1;
    }
    return cmocka_run_group_tests_name("keys in answers", tests, NULL, NULL);
}
