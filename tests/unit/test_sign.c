/* Signatures against published vectors (RFC 4231, AWS Signature Version 4), and what is
 * refused.
 */
#include "sign.h"
#include "sign_names.h"

#include "placement.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* after those four */
#include <cmocka.h>

static struct sp_key_secret secrets[] = {{.name = {"secret", 6}}};
static struct sp_key key = {.id = {"k1", 2}, .secrets = secrets, .n_secrets = 1};

struct signed_call {
    sp_status status;
    struct sp_error err;
    char target[512], values[SP_SIGN_OUTPUTS_MAX][512];
};

/* 2015-08-30T12:36:00Z, the time of AWS's examples. */
static const struct sp_sign_moment moment = {.unix_ms = 1440938160123,
                                             .nonce = {0x00, 0x01, 0xfe, 0xff}};

static void keep(char *to, struct sp_text text)
{
    assert_true(text.len < 512);
    memcpy(to, text.ptr, text.len);
    to[text.len] = '\0';
}

static struct signed_call do_sign(struct sp_signature *signature, const char *method,
                                  const char *url, struct sp_text body, const char *secret)
{
    struct signed_call call = {.err = {""}};
    struct sp_plan plan = {.placements = NULL};
    struct sp_arena arena;
    struct sp_request request;
    struct sp_wipe_buf target;
    struct sp_signed values;
    secrets[0].value = (struct sp_secret){.ptr = (unsigned char *)(uintptr_t)secret,
                                          .len = secret ? strlen(secret) : 4};
    signature->secret = SP_TEXT("secret");
    sp_arena_init(&arena, 1 << 20);
    sp_wipe_buf_init(&target, 4096);
    sp_signed_init(&values);
    assert_int_equal(
        sp_request_init(&arena, sp_text_of(method), sp_text_of(url), &request, &call.err),
        SP_OK);
    request.body = body;
    assert_int_equal(sp_placement_target(&plan, &key, &request.url, &target, &call.err), SP_OK);
    call.status = sp_sign(signature, &key, &request, &moment, &target, &values, &call.err);
    if (!call.status) {
        keep(call.target, sp_wipe_buf_text(&target));
        for (size_t i = 0; i < signature->n_outputs; i++) {
            keep(call.values[i], sp_wipe_buf_text(&values.values[i]));
        }
    }
    sp_signed_done(&values);
    sp_wipe_buf_done(&target);
    sp_arena_done(&arena);
    return call;
}

#define HEADER(header, value)                                                                  \
    {                                                                                          \
        .place = SP_PLACE_HEADER, .name = {header, sizeof header - 1}, .template = {           \
            value,                                                                             \
            sizeof value - 1                                                                   \
        }                                                                                      \
    }

static struct sp_sign_output plain[] = {HEADER("x-signature", "{signature}")};

static void hmac_is_that_of_rfc_4231(void **state)
{
    (void)state;
    plain[0].is_signature = true;
    struct sp_signature signature = {
        .message = SP_TEXT("{body}"), .outputs = plain, .n_outputs = 1};
    const struct sp_text body = SP_TEXT("what do ya want for nothing?");
    struct signed_call call = do_sign(&signature, "POST", "https://h.example/", body, "Jefe");
    assert_string_equal(call.values[0],
                        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    signature.sha512 = true;
    call = do_sign(&signature, "POST", "https://h.example/", body, "Jefe");
    assert_string_equal(call.values[0],
                        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
                        "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737");
    signature.sha512 = false;
    signature.base64 = signature.key_base64 = true;
    call = do_sign(&signature, "POST", "https://h.example/", body, "SmVmZQ==");
    assert_string_equal(call.values[0], "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=");
}

/* "get-vanilla" and "get-vanilla-query-order-key" of AWS's test suite. */
static void aws_signature_version_4_is_that_of_its_test_suite(void **state)
{
    static const struct sp_text steps[] = {
        {"{date}", 6}, {"us-east-1", 9}, {"service", 7}, {"aws4_request", 12}};
    (void)state;
    plain[0].is_signature = true;
    struct sp_signature signature = {
        .key_prefix = SP_TEXT("AWS4"),
        .canonical = SP_TEXT("{method}\n{path}\n{query_sorted}\nhost:{host}\n"
                             "x-amz-date:{datetime}\n\nhost;x-amz-date\n{body_sha256}"),
        .message = SP_TEXT("AWS4-HMAC-SHA256\n{datetime}\n"
                           "{date}/us-east-1/service/aws4_request\n{canonical_sha256}"),
        .derive = steps,
        .n_derive = 4,
        .outputs = plain,
        .n_outputs = 1,
    };
    static const char secret[] = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    struct signed_call call =
        do_sign(&signature, "GET", "https://example.amazonaws.com/", SP_TEXT(""), secret);
    assert_string_equal(call.values[0],
                        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    call =
        do_sign(&signature, "GET", "https://example.amazonaws.com/?Param2=value2&Param1=value1",
                SP_TEXT(""), secret);
    assert_string_equal(call.values[0],
                        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
    assert_string_equal(call.target, "/?Param2=value2&Param1=value1");
}

static void every_name_is_filled_in(void **state)
{
    static struct sp_sign_output outputs[] = {
        HEADER("a", "{timestamp} {timestamp_ms} {date} {datetime} {{{nonce}}}"),
        HEADER("b", "{body_sha256} {body_sha256_base64}"), HEADER("c", "{signature}")};
    (void)state;
    outputs[2].is_signature = true;
    struct sp_signature signature = {
        .message = SP_TEXT("{method}|{host}|{path}|{path_encoded}|{query}|{query_sorted}|"
                           "{target}|{{|{nonce}"),
        .outputs = outputs,
        .n_outputs = 3};
    struct sp_signature same = signature;
    same.message = SP_TEXT("PUT|h.example:8443|/a%20b|/a%2520b|b=2&a&b=1&a-b=3|"
                           "a=&a-b=3&b=1&b=2|/a%20b?b=2&a&b=1&a-b=3|{{|"
                           "0001feff000000000000000000000000");
    static const char url[] = "https://h.example:8443/a%20b?b=2&a&b=1&a-b=3";
    struct signed_call call = do_sign(&signature, "PUT", url, SP_TEXT("x"), "s");
    struct signed_call literal = do_sign(&same, "PUT", url, SP_TEXT("x"), "s");
    assert_int_equal(call.status, SP_OK);
    assert_string_equal(call.values[2], literal.values[2]);
    assert_string_equal(call.values[0], "1440938160 1440938160123 20150830 20150830T123600Z "
                                        "{0001feff000000000000000000000000}");
    assert_string_equal(call.values[1],
                        "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 "
                        "LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=");
}

static void what_goes_into_the_query_is_signed_but_for_the_signature(void **state)
{
    static struct sp_sign_output outputs[] = {{.place = SP_PLACE_QUERY,
                                               .name = {"signature", 9},
                                               .template = {"{signature}", 11},
                                               .is_signature = true},
                                              {.place = SP_PLACE_QUERY,
                                               .name = {"timestamp", 9},
                                               .template = {"{timestamp_ms}", 14}}};
    (void)state;
    struct sp_signature signature = {
        .message = SP_TEXT("{query}"), .outputs = outputs, .n_outputs = 2};
    struct signed_call call =
        do_sign(&signature, "GET", "https://h.example/o?symbol=X", SP_TEXT(""), "s");
    struct sp_signature same = {.message = SP_TEXT("symbol=X&timestamp=1440938160123"),
                                .outputs = plain,
                                .n_outputs = 1};
    struct signed_call literal = do_sign(&same, "GET", "https://h.example/", SP_TEXT(""), "s");
    char expected[640];
    assert_int_equal(call.status, SP_OK);
    (void)snprintf(expected, sizeof expected,
                   "/o?symbol=X&timestamp=1440938160123&signature=%s", literal.values[0]);
    assert_string_equal(call.target, expected);
    static const char *const urls[] = {"https://h.example/o?signature=1",
                                       "https://h.example/o?TimeStamp=1",
                                       "https://h.example/o?timestamp[]=1"};
    for (size_t i = 0; i < 3; i++) {
        call = do_sign(&signature, "GET", urls[i], SP_TEXT(""), "s");
        assert_int_equal(call.status, SP_EINVAL);
        assert_non_null(strstr(call.err.text, "leave it out"));
    }
}

static void a_secret_that_cannot_sign_refuses_the_request(void **state)
{
    (void)state;
    struct sp_signature signature = {
        .message = SP_TEXT("{target}"), .outputs = plain, .n_outputs = 1};
    static char huge[5000];
    memset(huge, 'a', sizeof huge - 1);
    assert_int_equal(do_sign(&signature, "GET", "https://h.example/", SP_TEXT(""), NULL).status,
                     SP_ESEALED);
    assert_int_equal(do_sign(&signature, "GET", "https://h.example/", SP_TEXT(""), "").status,
                     SP_ETOOBIG);
    assert_int_equal(do_sign(&signature, "GET", "https://h.example/", SP_TEXT(""), huge).status,
                     SP_ETOOBIG);
    signature.key_base64 = true;
    static const char *const bad[] = {"sesame!", "c2V", "====", "c2VzYW1l!", "c2Vz\xc3\xa9"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct signed_call call =
            do_sign(&signature, "GET", "https://h.example/", SP_TEXT(""), bad[i]);
        assert_int_equal(call.status, SP_EINVAL);
        assert_null(strstr(call.err.text, bad[i]));
    }
    key.n_secrets = 0;
    assert_int_equal(do_sign(&signature, "GET", "https://h.example/", SP_TEXT(""), "s").status,
                     SP_EINVAL);
    key.n_secrets = 1;
}

static void no_two_nonces_are_the_same(void **state)
{
    struct sp_sign_moment a, b;
    (void)state;
    sp_sign_now(&a);
    sp_sign_now(&b);
    assert_memory_not_equal(a.nonce, b.nonce, sizeof a.nonce);
    assert_true(b.unix_ms >= a.unix_ms && a.unix_ms > 1600000000000);
}

static void whether_the_body_is_signed_shows_in_the_templates(void **state)
{
    static const char *const body[] = {"{body}", "a{{b{body_sha256}", "{body_sha256_base64}}}"};
    static const char *const none[] = {"{method}{path}", "{{body}}", "{timestamp}"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct sp_sign_output output = {.template = sp_text_of(body[i])};
        assert_true(sp_sign_reads_body(&(struct sp_signature){.message = sp_text_of(body[i])}));
        assert_true(
            sp_sign_reads_body(&(struct sp_signature){.canonical = sp_text_of(body[i])}));
        assert_true(
            sp_sign_reads_body(&(struct sp_signature){.outputs = &output, .n_outputs = 1}));
        output.template = sp_text_of(none[i]);
        assert_false(sp_sign_reads_body(&(struct sp_signature){.message = sp_text_of(none[i]),
                                                               .canonical = sp_text_of(none[i]),
                                                               .outputs = &output,
                                                               .n_outputs = 1}));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hmac_is_that_of_rfc_4231),
        cmocka_unit_test(aws_signature_version_4_is_that_of_its_test_suite),
        cmocka_unit_test(every_name_is_filled_in),
        cmocka_unit_test(what_goes_into_the_query_is_signed_but_for_the_signature),
        cmocka_unit_test(a_secret_that_cannot_sign_refuses_the_request),
        cmocka_unit_test(no_two_nonces_are_the_same),
        cmocka_unit_test(whether_the_body_is_signed_shows_in_the_templates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
