/* The canonicaliser against a recogniser written in another way: POSIX regular expressions over
 * the raw text decide what is acceptable, and plain decoders give the segments and the query.
 * 300,000 URLs are made of pieces that hurt; both must agree on each, and what is printed must
 * parse to the same. Seed by argument, printed. */
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

static void make_query(uint64_t *s, char *query, size_t room)
{
    static const char *const pieces[] = {
        "a",   "b",   "&",   "&",   "=",   "c[]",  "+",      "%26",    "%3d",
        "%2B", "%20", "%25", "%3B", ";",   "/",    "?",      "%41",    "[x]",
        "..",  "//",  ":@",  "\\",  "%0a", "%c3",  "%c3%a4", "%c0%ae", "%00",
        "%",   "%4",  "%g1", "#",   " ",   "\x01", "\xff",   "\x7f",   "\xc3\xa4"};
    enum { N_PIECES = sizeof pieces / sizeof *pieces, N_GOOD = 22 };
    size_t count = next_random(s) % 8;
    size_t n = (size_t)snprintf(query, room, "?");
    for (size_t i = 0; i < count; i++) {
        size_t kinds = next_random(s) % 8 ? N_GOOD : N_PIECES;
        n += (size_t)snprintf(query + n, room - n, "%s", pieces[next_random(s) % kinds]);
    }
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
    if (next_random(s) % 2) {
        make_query(s, url + n, room - n);
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

/* The pairs of a query as one text, 0x1e in front of each and 0x1f for its first '='. */
static void decode_query(const char *raw, char *out)
{
    char split[512], *to = split;
    bool in_pair = false, in_value = false;
    for (; *raw; raw++) {
        if (*raw == '&') {
            in_pair = in_value = false;
            continue;
        }
        if (!in_pair) {
            *to++ = 0x1e;
        }
        *to++ = (char)(*raw == '+' ? ' ' : *raw == '=' && !in_value ? 0x1f : *raw);
        in_value = in_value || *raw == '=';
        in_pair = true;
    }
    *to = '\0';
    decode(split, out);
}

/* The query behind the '?', decoded as above; false where it is to be refused. */
static bool oracle_query(const char *query, char *decoded)
{
    if (matches("[[:cntrl:] #]|%00|%($|.$|[^0-9a-fA-F]|.[^0-9a-fA-F])", query)) {
        return false;
    }
    decode_query(query, decoded);
    return sp_text_is_utf8(sp_text_of(decoded));
}

/* The path below the host, "" included; NULL where the URL is to be refused. */
static const char *oracle_path(const char *url, char *path)
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

static bool oracle(const char *url, char *path, char *query)
{
    char before[1024];
    const char *mark = strchr(url, '?');
    int n = mark ? (int)(mark - url) : (int)strlen(url);
    (void)snprintf(before, sizeof before, "%.*s", n, url);
    *query = '\0';
    return oracle_path(before, path) && (!mark || oracle_query(mark + 1, query));
}

/* ---- the comparison
 * ------------------------------------------------------------------------- */

static void join_path(const struct sp_url *url, char *joined, size_t room)
{
    size_t n = 0;
    for (size_t k = 0; k < url->n_segments; k++) {
        n += (size_t)snprintf(joined + n, room - n, "/%.*s", (int)url->segments[k].text.len,
                              url->segments[k].text.ptr);
    }
    (void)snprintf(joined + n, room - n, "%s",
                   url->trailing_slash || url->n_segments == 0 ? "/" : "");
}

static void join_query(const struct sp_url *url, char *joined, size_t room)
{
    size_t n = 0;
    *joined = '\0';
    for (size_t k = 0; k < url->n_query; k++) {
        const struct sp_param *p = &url->query[k];
        n += (size_t)snprintf(joined + n, room - n, "\x1e%.*s%s%.*s", (int)p->name.len,
                              p->name.ptr, p->has_value ? "\x1f" : "", (int)p->value.len,
                              p->value.ptr);
    }
}

static void compare(struct sp_arena *arena, const struct sp_url *url, const char *path,
                    const char *query)
{
    char decoded[512], joined[2][1024], joined_query[2][1024];
    struct sp_url again;
    struct sp_buf print;
    decode(*path ? path : "/", decoded);
    join_path(url, joined[0], sizeof joined[0]);
    join_query(url, joined_query[0], sizeof joined_query[0]);
    assert_string_equal(joined[0], decoded);
    assert_string_equal(joined_query[0], query);
    sp_buf_init(&print, 1 << 16);
    sp_url_print(url, &print);
    assert_int_equal(sp_url_parse(arena, sp_buf_text(&print), &again, NULL), SP_OK);
    join_path(&again, joined[1], sizeof joined[1]);
    join_query(&again, joined_query[1], sizeof joined_query[1]);
    assert_string_equal(joined[1], joined[0]);
    assert_string_equal(joined_query[1], joined_query[0]);
    assert_true(matches("^https://[!-~]*$", print.ptr));
    sp_buf_done(&print);
}

static void T16_T17_the_canonical_form_agrees_with_an_independent_recogniser(void **state)
{
    (void)state;
    uint64_t s = seed;
    size_t accepted = 0, with_query = 0;
    print_message("seed %llu\n", (unsigned long long)seed);
    for (unsigned i = 0; i < ROUNDS; i++) {
        char url[1024], path[512], query[512];
        struct sp_arena arena;
        struct sp_url parsed;
        struct sp_error err = {""};
        make_url(&s, url, sizeof url);
        sp_arena_init(&arena, 1 << 20);
        bool good = sp_url_parse(&arena, sp_text_of(url), &parsed, &err) == SP_OK;
        if (good != oracle(url, path, query)) {
            fail_msg("'%s' is %s (%s), the oracle differs", url, good ? "accepted" : "refused",
                     err.text);
        }
        if (good) {
            accepted++;
            with_query += parsed.n_query > 0;
            compare(&arena, &parsed, path, query);
        }
        sp_arena_done(&arena);
    }
    print_message("%zu of %d accepted, %zu with a query\n", accepted, ROUNDS, with_query);
    assert_true(accepted > ROUNDS / 10 && with_query > ROUNDS / 40);
}

int main(int argc, char **argv)
{
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL) * 2654435761u + 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T16_T17_the_canonical_form_agrees_with_an_independent_recogniser),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
