/* The canonicaliser against a recogniser written in another way: POSIX regular expressions over
 * the raw text decide what is acceptable, and a plain decoder gives the segments. 300,000 URLs
 * are made of pieces that hurt; both must agree on each. Seed by argument, printed. */
#include "request.h"

#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { ROUNDS = 300000 };

static uint64_t seed;

static uint32_t next_random(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return (uint32_t)(*s >> 32);
}

static void make_url(uint64_t *s, char *url, size_t room)
{
    static const char *const hosts[] = {
        "h",    "API.example.com", "a.b.", "127.0.0.1", "[::1]", "u@h", "h:443", "h:0",
        "a..b", "x_y-z",           "1a",   "a1",        "-a"};
    static const char *const pieces[] = {
        "/",   "/",   "/",   "a",      "b",      "charges",  ".",    "..", "%2e", "%2E",
        "%2f", "%2F", "%5c", "%00",    "%41",    "%zz",      "%",    ";",  "\\",  "#",
        "%25", "25",  "2e",  "%c3%a4", "%c0%ae", "\xc3\xa4", "\xff", "~",  "*",   "%7f",
        "%20", " ",   "|",   "%3f",    "%3B",    "%23",      "%"};
    size_t n = (size_t)snprintf(url, room, "https://%s",
                                next_random(s) % 4 ? "h" : hosts[next_random(s) % 13]);
    size_t count = next_random(s) % 9;
    for (size_t i = 0; i < count; i++) {
        const char *piece =
            next_random(s) % 3 ? pieces[next_random(s) % 6] : pieces[next_random(s) % 37];
        n += (size_t)snprintf(url + n, room - n, "%s%s",
                              i == 0 && next_random(s) % 8 ? "/" : "", piece);
    }
}

/* ---- the oracle
 * ------------------------------------------------------------------------------ */

static bool matches(const char *pattern, const char *text)
{
    static struct {
        const char *pattern;
        regex_t regex;
    } known[16]; /* compiled once each; patterns are literals, so the pointer names one */
    for (size_t i = 0; i < 16; i++) {
        if (!known[i].pattern) {
            assert_int_equal(regcomp(&known[i].regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
            known[i].pattern = pattern;
        }
        if (known[i].pattern == pattern) {
            return regexec(&known[i].regex, text, 0, NULL, 0) == 0;
        }
    }
    fail();
    return false;
}

static int hex(char c)
{
    const char *digits = "0123456789abcdef";
    char lower = (char)(c >= 'A' && c <= 'F' ? c + 32 : c);
    const char *at = c ? strchr(digits, lower) : NULL;
    return at ? (int)(at - digits) : -1;
}

static void decode(const char *raw, char *out)
{
    for (; *raw; raw++) {
        if (*raw == '%') {
            *out++ = (char)(hex(raw[1]) * 16 + hex(raw[2]));
            raw += 2;
        } else {
            *out++ = *raw;
        }
    }
    *out = '\0';
}

/* The path below the host, "" included; NULL where the URL is to be refused. */
static const char *oracle(const char *url, char *path)
{
    if (!matches("^https://[A-Za-z0-9_.-]+(:[1-9][0-9]{0,4})?(/|$)", url) ||
        matches("^https://([^/]*\\.\\.|\\.|-|[^/]*\\.-|[^/]*-(\\.|:|/|$))", url) ||
        matches("^https://[^/:]*(\\.|//)[0-9]+\\.?(:|/|$)", url)) {
        return NULL;
    }
    const char *slash = strchr(url + 8, '/');
    const char *colon = strchr(url + 8, ':');
    if (colon && (!slash || colon < slash) && strtol(colon + 1, NULL, 10) > 65535) {
        return NULL;
    }
    (void)snprintf(path, 500, "%s", slash ? slash : "");
    if (matches("[;#\\ ]|//|[[:cntrl:]]", path) || strchr(path, '\\') ||
        matches("%($|.$|[^0-9a-fA-F]|.[^0-9a-fA-F])", path) ||
        matches("%(00|5[cC]|3[bB]|3[fF]|23|7[fF]|[01].)", path)) {
        return NULL;
    }
    char copy[512], decoded[512];
    (void)snprintf(copy, sizeof copy, "%s", path);
    decode(copy, decoded);
    /* once more: neither dots nor escapes may appear on a second decoding, and no dots now */
    char with_ends[600];
    (void)snprintf(with_ends, sizeof with_ends, "%s/", decoded);
    if (matches("/\\.{1,2}/", with_ends) || strstr(decoded, "//") ||
        matches("%[0-9a-fA-F]{2}", decoded)) {
        return NULL;
    }
    if (matches("%2[fF](/|$)|/%2[fF]", copy) || !sp_text_is_utf8(sp_text_of(decoded))) {
        return NULL;
    }
    return path;
}

static void T16_T17_the_canonical_form_agrees_with_an_independent_recogniser(void **state)
{
    (void)state;
    uint64_t s = seed;
    size_t accepted = 0;
    print_message("seed %llu\n", (unsigned long long)seed);
    for (unsigned i = 0; i < ROUNDS; i++) {
        char url[1024], path[512], joined[1024] = "", decoded[512];
        struct sp_arena arena;
        struct sp_url parsed;
        struct sp_error err = {""};
        make_url(&s, url, sizeof url);
        sp_arena_init(&arena, 1 << 20);
        bool good = sp_url_parse(&arena, sp_text_of(url), &parsed, &err) == SP_OK;
        const char *expected = oracle(url, path);
        if (good != (expected != NULL)) {
            fail_msg("'%s' is %s (%s), the oracle differs", url, good ? "accepted" : "refused",
                     err.text);
        }
        if (good) {
            accepted++;
            size_t n = 0;
            for (size_t k = 0; k < parsed.n_segments; k++) {
                n += (size_t)snprintf(joined + n, sizeof joined - n, "/%.*s",
                                      (int)parsed.segments[k].text.len,
                                      parsed.segments[k].text.ptr);
            }
            (void)snprintf(joined + n, sizeof joined - n, "%s",
                           parsed.trailing_slash || parsed.n_segments == 0 ? "/" : "");
            decode(*path ? path : "/", decoded);
            assert_string_equal(joined, decoded);
        }
        sp_arena_done(&arena);
    }
    print_message("%zu of %d accepted\n", accepted, ROUNDS);
    assert_true(accepted > ROUNDS / 10);
}

int main(int argc, char **argv)
{
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL) * 2654435761u + 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T16_T17_the_canonical_form_agrees_with_an_independent_recogniser),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
