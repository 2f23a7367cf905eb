/* The guard against an encoder of the test's own, for every encoding that it promises. */
#include "guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
/* after those four */
#include <cmocka.h>

#include <sodium.h>

static const char secret[] = "sk_live_a/b+c\"d%e~fG7=Z";

static struct sp_guard *make(const char *value, const struct sp_plan *plan)
{
    static const struct sp_plan none = {.n_placements = 0};
    struct sp_key_secret secrets[] = {
        {SP_TEXT("api_key"), {.ptr = (unsigned char *)(uintptr_t)value, .len = strlen(value)}}};
    struct sp_key key = {.id = SP_TEXT("k"), .secrets = secrets, .n_secrets = 1};
    struct sp_guard *guard = NULL;
    assert_int_equal(sp_guard_new(&key, plan ? plan : &none, &guard), SP_OK);
    return guard;
}

/* The same text as a stream, in pieces of so many bytes; what was let go on the way must be
 * clean by itself. */
static sp_status stream_check(const struct sp_guard *guard, struct sp_text text, size_t step)
{
    struct sp_guard_stream *stream = NULL;
    sp_status status = SP_OK;
    assert_int_equal(sp_guard_stream_new(guard, &stream), SP_OK);
    for (size_t at = 0; at < text.len && status == SP_OK; at += step) {
        size_t n = text.len - at < step ? text.len - at : step, held = 0;
        status = sp_guard_stream_feed(stream, (struct sp_text){text.ptr + at, n}, &held);
        if (status == SP_OK) {
            assert_true(held <= at + n);
            assert_int_equal(sp_guard_check(guard, (struct sp_text){text.ptr, at + n - held}),
                             SP_OK);
        }
    }
    if (status == SP_OK) {
        status = sp_guard_stream_end(stream);
    }
    sp_guard_stream_free(stream);
    return status;
}

static void assert_streams_alike(const struct sp_guard *guard, struct sp_text text,
                                 sp_status expected)
{
    static const size_t steps[] = {1, 2, 3, 7, 16, 1000};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        if (stream_check(guard, text, steps[i]) != expected) {
            fail_msg("in steps of %zu: %.*s", steps[i], (int)text.len, text.ptr);
        }
    }
}

/* The text in the middle of others, at the very beginning, and at the very end. */
static void assert_found(struct sp_guard *guard, const char *text)
{
    char around[4096];
    static const char *const frames[] = {"%s", "{\"a\":\"%s\"}", "%s tail", "head %s",
                                         "\n%s\n"};
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(around, sizeof around, frames[i], text);
#pragma GCC diagnostic pop
        if (sp_guard_check(guard, sp_text_of(around)) != SP_EDENIED) {
            fail_msg("not found: %s", around);
        }
        assert_streams_alike(guard, sp_text_of(around), SP_EDENIED);
    }
}

static void assert_clean(struct sp_guard *guard, const char *text)
{
    if (sp_guard_check(guard, sp_text_of(text)) != SP_OK) {
        fail_msg("found where it is not: %s", text);
    }
    assert_streams_alike(guard, sp_text_of(text), SP_OK);
}

static void T30_the_bytes_themselves_are_found(void **state)
{
    struct sp_guard *guard = make(secret, NULL);
    (void)state;
    assert_found(guard, secret);
    char shorter[sizeof secret];
    (void)snprintf(shorter, sizeof shorter, "%.*s", (int)sizeof secret - 2, secret);
    assert_clean(guard, shorter);
    assert_clean(guard, secret + 1);
    assert_clean(guard, "");
    assert_clean(guard, "sk_live_sk_live_sk_live_a/b");
    sp_guard_free(guard);
}

static void T30_base64_is_found_at_every_alignment_in_both_alphabets(void **state)
{
    static const int variants[] = {
        sodium_base64_VARIANT_ORIGINAL, sodium_base64_VARIANT_ORIGINAL_NO_PADDING,
        sodium_base64_VARIANT_URLSAFE, sodium_base64_VARIANT_URLSAFE_NO_PADDING};
    /* Bytes that give '+' and '/' in base64. */
    static const char *const secrets[] = {secret, "12345678", "~~>>?>>~~~?>", "abcdefghi",
                                          "abcdefghij"};
    (void)state;
    for (size_t s = 0; s < 5; s++) {
        struct sp_guard *guard = make(secrets[s], NULL);
        for (size_t before = 0; before < 7; before++) {
            for (size_t after = 0; after < 4; after++) {
                char plain[256], encoded[512];
                int len = snprintf(plain, sizeof plain, "%.*s%s%.*s", (int)before,
                                   "user:\xff\xee", secrets[s], (int)after, "\x01\xfez");
                for (size_t v = 0; v < 4; v++) {
                    sodium_bin2base64(encoded, sizeof encoded, (unsigned char *)plain,
                                      (size_t)len, variants[v]);
                    assert_found(guard, encoded);
                }
            }
        }
        sp_guard_free(guard);
    }
}

static void T30_hexadecimal_is_found_in_any_case(void **state)
{
    struct sp_guard *guard = make(secret, NULL);
    char hex[2 * sizeof secret];
    (void)state;
    sodium_bin2hex(hex, sizeof hex, (const unsigned char *)secret, sizeof secret - 1);
    assert_found(guard, hex);
    for (size_t i = 0; i < sizeof hex - 1; i += 3) {
        if (hex[i] >= 'a') {
            hex[i] = (char)(hex[i] - 'a' + 'A');
        }
    }
    assert_found(guard, hex);
    hex[4] = hex[4] == '0' ? '1' : '0';
    assert_clean(guard, hex);
    sp_guard_free(guard);
}

/* Percent-encoding and JSON escapes, each byte written in one of its ways at random. */
static void mix(const char *text, bool percent, bool json, char *out, size_t room)
{
    size_t at = 0;
    for (const char *c = text; *c && at + 24 < room; c++) {
        char once[4];
        uint32_t dice = randombytes_uniform(3);
        if (percent && (dice > 0 || *c == '%')) {
            static const char *const formats[] = {"%%%02x", "%%%02X"};
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            (void)snprintf(once, sizeof once, formats[dice % 2], (unsigned char)*c);
#pragma GCC diagnostic pop
        } else {
            (void)snprintf(once, sizeof once, "%c", *c);
        }
        for (const char *o = once; *o; o++) {
            uint32_t throw = randombytes_uniform(4);
            if (json && (throw == 0 || (unsigned char)*o < 0x20)) {
                at += (size_t)snprintf(out + at, room - at, "\\u%04x", (unsigned char)*o);
            } else if (json && throw == 1) {
                at += (size_t)snprintf(out + at, room - at, "\\u%04X", (unsigned char)*o);
            } else if (json && (*o == '"' || *o == '\\' || (*o == '/' && throw == 2))) {
                at += (size_t)snprintf(out + at, room - at, "\\%c", *o);
            } else {
                out[at++] = *o;
            }
        }
    }
    out[at] = '\0';
}

static void T30_percent_and_json_escapes_are_found_in_any_mix(void **state)
{
    struct sp_guard *guard = make(secret, NULL);
    char plain[128], base64[256], out[4096];
    (void)state;
    (void)snprintf(plain, sizeof plain, "x%s", secret);
    sodium_bin2base64(base64, sizeof base64, (unsigned char *)plain, strlen(plain),
                      sodium_base64_VARIANT_ORIGINAL);
    for (int i = 0; i < 2000; i++) {
        mix(i % 3 ? secret : base64, i & 4, i & 8, out, sizeof out);
        assert_found(guard, out);
    }
    sp_guard_free(guard);
}

static void broken_escapes_are_no_escapes(void **state)
{
    struct sp_guard *guard = make("abcdefgh", NULL);
    (void)state;
    assert_found(guard, "%%61bcdefgh");
    assert_found(guard, "abc%64ef\\u0067h");
    assert_found(guard, "%abcdefgh"); /* %ab is an escape, but the bytes as they stand count */
    assert_found(guard, "\\u006\\u0061bcdefgh");
    assert_clean(guard, "abcdefg%6");
    assert_clean(guard, "abcdefg%");
    assert_clean(guard, "abcdefg\\");
    assert_clean(guard, "abcdefg\\u006");
    assert_clean(guard, "\\uD83D\\u00e9\\u0416\\n\\t\\b\\f\\r abcdefg");
    sp_guard_free(guard);
}

static void a_placed_value_is_searched_even_where_its_parts_are_short(void **state)
{
    static const struct sp_placement basic = {.place = SP_PLACE_HEADER,
                                              .name = {"authorization", 13},
                                              .prefix = {"Basic ", 6},
                                              .template = {"u:{api_key}:x", 13},
                                              .base64 = true};
    const struct sp_plan plan = {.placements = &basic, .n_placements = 1};
    struct sp_guard *guard = make("short", &plan);
    (void)state;
    assert_found(guard, "dTpzaG9ydDp4"); /* u:short:x */
    assert_found(guard, "Basic dTpzaG9ydDp4");
    assert_found(guard, "ZFRwemFHOXlkRHA0"); /* that in base64 once more */
    assert_clean(guard, "short");            /* under 8 bytes: not searched */
    sp_guard_free(guard);
}

static void short_secrets_are_not_searched(void **state)
{
    struct sp_guard *guard = make("1234567", NULL);
    (void)state;
    assert_clean(guard, "1234567 MTIzNDU2Nw== 31323334353637");
    sp_guard_free(guard);
    guard = make("12345678", NULL);
    assert_found(guard, "12345678");
    sp_guard_free(guard);
}

static void a_sealed_key_cannot_be_searched_for(void **state)
{
    struct sp_key_secret secrets[] = {{SP_TEXT("api_key"), {.ptr = NULL}}};
    struct sp_key key = {.id = SP_TEXT("k"), .secrets = secrets, .n_secrets = 1};
    const struct sp_plan plan = {.n_placements = 0};
    struct sp_guard *guard = NULL;
    (void)state;
    assert_int_equal(sp_guard_new(&key, &plan, &guard), SP_ESEALED);
    assert_null(guard);
}

/* Texts made of what is nearly the key: a stream finds what the whole would have shown. */
static void T30_a_stream_finds_what_the_whole_text_holds(void **state)
{
    static const char *const bits[] = {
        "ab", "aabaab",  "aab", "%",     "%61",      "%6",     "\\u0061", "\\u00", "\\",
        "b",  "\\u0025", "61",  "%2561", "YWFiYWFi", "616162", "\\/",     "c/d",   "aabaabc"};
    struct sp_guard *guard = make("aabaabc/d", NULL);
    unsigned n_found = 0, seed = 1;
    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        char text[256] = "";
        size_t len = 0;
        for (unsigned i = 0; i < 12; i++) {
            seed = seed * 1103515245 + 12345;
            const char *bit = bits[(seed >> 16) % (sizeof bits / sizeof *bits)];
            len += (size_t)snprintf(text + len, sizeof text - len, "%s", bit);
        }
        sp_status whole = sp_guard_check(guard, (struct sp_text){text, len});
        n_found += whole == SP_EDENIED;
        if (stream_check(guard, (struct sp_text){text, len}, 1 + (seed >> 8) % 9) != whole) {
            fail_msg("%s: the whole says %d", text, whole);
        }
    }
    assert_in_range(n_found, 100, 19000);
    sp_guard_free(guard);
}

static void a_stream_holds_back_long_beginnings_and_nothing_else(void **state)
{
    static const struct {
        const char *text;
        size_t held;
    } rows[] = {
        {"data: hello\n\n", 0},
        {"sk_live_a/b", 0},
        {"sk_live_a/b+", 12}, /* 12 of 23 */
        {"sk_live_a/b+c\"d%e~fG7=", 22},
        {"xx sk_live_a/b+c", 13},
        {"sk_live_a/b+x", 0},
        {"sk_live_a/b%2B", 14},
        {"sk_live_a/b%2Bc\\", 16},
        {"\\u0073k_live_a/b+c", 18},
    };
    struct sp_guard *guard = make(secret, NULL);
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sp_guard_stream *stream = NULL;
        size_t held = 99;
        assert_int_equal(sp_guard_stream_new(guard, &stream), SP_OK);
        assert_int_equal(sp_guard_stream_feed(stream, sp_text_of(rows[i].text), &held), SP_OK);
        if (held != rows[i].held) {
            fail_msg("%s: %zu are held", rows[i].text, held);
        }
        assert_int_equal(sp_guard_stream_end(stream), SP_OK);
        sp_guard_stream_free(stream);
    }
    sp_guard_free(guard);
}

/* The least of three, which what else the machine does disturbs least. */
static double seconds_for(struct sp_guard *guard, struct sp_text text)
{
    double least = 1e9;
    for (int i = 0; i < 3; i++) {
        struct timespec start, end;
        (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
        assert_int_equal(sp_guard_check(guard, text), SP_OK);
        (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
        double took =
            (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
        least = took < least ? took : least;
    }
    return least;
}

/* A text made of half matches, 16 times as long: 16 times the time, and far from 256 times. */
static void T37_searching_takes_linear_time(void **state)
{
    enum { LEN = 256 << 10 };
    char value[200], *text = malloc(LEN);
    (void)state;
    memset(value, 'a', sizeof value - 1);
    value[sizeof value - 2] = 'b';
    value[sizeof value - 1] = '\0';
    struct sp_guard *guard = make(value, NULL);
    for (size_t i = 0; i < LEN; i++) {
        text[i] = i % 3 ? value[i % (sizeof value - 2)] : 'a';
    }
    double short_s = seconds_for(guard, (struct sp_text){text, LEN / 16});
    double long_s = seconds_for(guard, (struct sp_text){text, LEN});
    assert_true(long_s < 80 * short_s);
    sp_guard_free(guard);
    free(text);
}

/* ---- memory, and the edges ------------------------------------------------------------------
 */

static size_t n_allocations, fail_at = SIZE_MAX;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return n_allocations++ == fail_at ? NULL : __real_malloc(size);
}

static const char user[] = "user-name-of-some-length";

static sp_status make_placed(struct sp_guard **ret_guard)
{
    static const struct sp_placement placements[] = {
        {SP_PLACE_HEADER,
         {"authorization", 13},
         {"Basic ", 6},
         {"{user}:{password}", 17},
         true},
        {SP_PLACE_HEADER, {"x-key", 5}, {"", 0}, {"{password}", 10}, false}};
    static const struct sp_plan plan = {.placements = placements, .n_placements = 2};
    struct sp_key_secret secrets[] = {
        {SP_TEXT("user"), {.ptr = (unsigned char *)(uintptr_t)user, .len = sizeof user - 1}},
        {SP_TEXT("password"),
         {.ptr = (unsigned char *)(uintptr_t)secret, .len = sizeof secret - 1}}};
    struct sp_key key = {.id = SP_TEXT("k"), .secrets = secrets, .n_secrets = 2};
    return sp_guard_new(&key, &plan, ret_guard);
}

/* The n-th allocation fails, for each n: without a guard that knows all forms nothing is passed
 * on. */
static void T41_a_guard_knows_all_forms_or_there_is_none(void **state)
{
    (void)state;
    struct sp_guard *guard = NULL;
    size_t n_failed = 0;
    for (bool failed = true; failed; n_failed++) {
        guard = NULL;
        n_allocations = 0;
        fail_at = n_failed;
        sp_status status = make_placed(&guard);
        failed = n_allocations > fail_at;
        fail_at = SIZE_MAX;
        assert_true(failed == (status != SP_OK) && failed == (guard == NULL));
    }
    assert_true(n_failed > 20);
    char both[128], encoded[256];
    int len = snprintf(both, sizeof both, "%s:%s", user, secret);
    sodium_bin2base64(encoded, sizeof encoded, (unsigned char *)both, (size_t)len,
                      sodium_base64_VARIANT_ORIGINAL);
    assert_found(guard, encoded);
    assert_found(guard, user);
    sp_guard_free(guard);
    sp_guard_free(NULL);
}

static void T41_what_cannot_be_searched_is_not_clean(void **state)
{
    (void)state;
    struct sp_guard *guard = make(secret, NULL);
    struct sp_guard_stream *stream = NULL;
    n_allocations = 0;
    fail_at = 0;
    assert_int_equal(sp_guard_check(guard, SP_TEXT("an escape: %41 and more")), SP_ENOMEM);
    for (size_t n = 0; !stream; n++) {
        n_allocations = 0;
        fail_at = n;
        sp_status status = sp_guard_stream_new(guard, &stream);
        bool failed = n_allocations > fail_at;
        fail_at = SIZE_MAX;
        assert_int_equal(status, failed ? SP_ENOMEM : SP_OK);
    }
    sp_guard_stream_free(stream);
    sp_guard_stream_free(NULL);
    sp_guard_free(guard);
}

static void T30_long_and_binary_secrets_are_found(void **state)
{
    (void)state;
    char value[100], hex[201];
    memset(value, 'x', sizeof value);
    memcpy(value, "\xc3\xa4\xee", 3); /* in hexadecimal it begins with a letter */
    value[sizeof value - 1] = '\0';
    struct sp_guard *guard = make(value, NULL);
    sodium_bin2hex(hex, sizeof hex, (unsigned char *)value, sizeof value - 1);
    assert_found(guard, hex);
    hex[0] = 'C';
    hex[2] = 'A';
    assert_found(guard, hex);
    assert_found(guard, value);
    sp_guard_free(guard);
}

/* What looks like the beginning of an escape may be the end of the key. */
static void T30_a_key_that_ends_in_an_escape_that_never_ends_is_found(void **state)
{
    static const struct {
        const char *key, *text;
    } rows[] = {{"abcdefghijklmnop\\", "\\u0061bcdefghijklmnop\\"},
                {"abcdefghijklmnop%", "%61bcdefghijklmnop%"},
                {"abcdefghijklmnop%4", "\\u0061bcdefghijklmnop%4"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sp_guard *guard = make(rows[i].key, NULL);
        assert_int_equal(sp_guard_check(guard, sp_text_of(rows[i].text)), SP_EDENIED);
        assert_streams_alike(guard, sp_text_of(rows[i].text), SP_EDENIED);
        assert_streams_alike(guard, SP_TEXT("a \\\0 and a \\"), SP_OK);
        sp_guard_free(guard);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T30_the_bytes_themselves_are_found),
        cmocka_unit_test(T30_base64_is_found_at_every_alignment_in_both_alphabets),
        cmocka_unit_test(T30_hexadecimal_is_found_in_any_case),
        cmocka_unit_test(T30_percent_and_json_escapes_are_found_in_any_mix),
        cmocka_unit_test(broken_escapes_are_no_escapes),
        cmocka_unit_test(a_placed_value_is_searched_even_where_its_parts_are_short),
        cmocka_unit_test(short_secrets_are_not_searched),
        cmocka_unit_test(a_sealed_key_cannot_be_searched_for),
        cmocka_unit_test(T30_a_stream_finds_what_the_whole_text_holds),
        cmocka_unit_test(a_stream_holds_back_long_beginnings_and_nothing_else),
        cmocka_unit_test(T37_searching_takes_linear_time),
        cmocka_unit_test(T41_a_guard_knows_all_forms_or_there_is_none),
        cmocka_unit_test(T41_what_cannot_be_searched_is_not_clean),
        cmocka_unit_test(T30_long_and_binary_secrets_are_found),
        cmocka_unit_test(T30_a_key_that_ends_in_an_escape_that_never_ends_is_found),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
