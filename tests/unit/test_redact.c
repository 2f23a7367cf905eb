/* Redaction: what is cut, what is refused, and a second opinion from jansson over random texts.
 */
#include "redact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

static const struct sp_text email[] = {{"email", 5}}, phone[] = {{"customer", 8}, {"phone", 5}},
                            card[] = {{"items", 5}, {"card", 4}},
                            deep[] = {{"a", 1}, {"b", 1}, {"c", 1}},
                            umlaut[] = {{"gr\xc3\xbc\xc3\x9f", 6}},
                            pair[] = {{"\xf0\x9f\x98\x80", 4}}, euro[] = {{"\xe2\x82\xac", 3}};
static const struct sp_redaction redactions[] = {{email, 1},  {phone, 2}, {card, 2}, {deep, 3},
                                                 {umlaut, 1}, {pair, 1},  {euro, 1}};
enum { N = sizeof redactions / sizeof *redactions };

static void becomes(const char *json, const char *expected)
{
    struct sp_buf out;
    sp_buf_init(&out, 1 << 16);
    sp_status status = sp_redact(redactions, N, sp_text_of(json), &out);
    if (status != (expected ? SP_OK : SP_EINVAL) ||
        (expected && !sp_text_is(sp_buf_text(&out), expected))) {
        fail_msg("%s became (%s) %.*s", json, sp_status_name(status), (int)out.len,
                 out.ptr ? out.ptr : "");
    }
    sp_buf_done(&out);
}

static void a_field_goes_with_its_comma_and_nothing_else_changes(void **state)
{
    (void)state;
    becomes("{\"email\":1}", "{}");
    becomes("{ \"email\" : 1 }", "{  }");
    becomes("{\"a\": 1.50,\"email\":2 , \"c\":1e+400}", "{\"a\": 1.50 , \"c\":1e+400}");
    becomes("{\"email\":1, \"a\":2}", "{\"a\":2}");
    becomes("{\"a\":2, \"email\":1}", "{\"a\":2}");
    becomes("{\"email\":1, \"email\":2}", "{}");
    becomes("{\"email\":1, \"email\":2, \"a\":3, \"email\":4, \"b\":5,\"email\":{}}",
            "{\"a\":3, \"b\":5}");
    becomes("\t[1, -0, 12345678901234567890123, 0.1, \"x\", true, false, null, [], {}]\r\n",
            "\t[1, -0, 12345678901234567890123, 0.1, \"x\", true, false, null, [], {}]\r\n");
    becomes("\"email\"", "\"email\"");
}

static void a_path_is_one_from_the_root_and_walks_arrays(void **state)
{
    (void)state;
    becomes("{\"customer\":{\"phone\":1,\"email\":2},\"phone\":3}",
            "{\"customer\":{\"email\":2},\"phone\":3}");
    becomes("[[{\"email\":1},{\"x\":{\"email\":1}}]]", "[[{},{\"x\":{\"email\":1}}]]");
    becomes("{\"items\":[{\"card\":1,\"n\":2},[{\"n\":3,\"card\":{\"n\":[4]}}],5]}",
            "{\"items\":[{\"n\":2},[{\"n\":3}],5]}");
    becomes("{\"a\":{\"b\":{\"c\":1,\"d\":2},\"c\":3},\"b\":{\"c\":4}}",
            "{\"a\":{\"b\":{\"d\":2},\"c\":3},\"b\":{\"c\":4}}");
    becomes("{\"customer\":5,\"items\":\"card\"}", "{\"customer\":5,\"items\":\"card\"}");
    becomes("{\"email\":{\"customer\":{\"phone\":1}}, \"b\":0}", "{\"b\":0}");
}

static void a_name_is_found_however_it_is_written(void **state)
{
    (void)state;
    becomes("{\"\\u0065mail\":1,\"EMAIL\":2,\"e\\u004Dail\":3,\"x\":4}", "{\"x\":4}");
    becomes("{\"gr\\u00fc\\u00DF\":1,\"gr\xc3\xbc\xc3\x9f\":2}", "{}");
    becomes("{\"\\ud83d\\uDE00\":1,\"\xf0\x9f\x98\x80\":2,\"\\u20AC\":3}", "{}");
    becomes("{\"email\\u0000\":1,\" email\":2,\"e\\nmail\":3,\"\":4}",
            "{\"email\\u0000\":1,\" email\":2,\"e\\nmail\":3,\"\":4}");
    char name[400];
    (void)snprintf(name, sizeof name, "{\"email%0300d\":1}", 0);
    becomes(name, name); /* longer than any redaction's */
    becomes("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00fC \\ud83d\\ude00\"}",
            "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00fC \\ud83d\\ude00\"}");
}

static void what_is_no_json_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      " ",
                                      "x",
                                      "{",
                                      "[",
                                      "\"",
                                      "{\"a\"",
                                      "{\"a\":",
                                      "{\"a\":1",
                                      "{\"a\":1,",
                                      "{\"a\":1,}",
                                      "{a:1}",
                                      "{\"a\" 1}",
                                      "{\"a\":1 \"b\":2}",
                                      "{,}",
                                      "[1",
                                      "[1,",
                                      "[1,]",
                                      "[,1]",
                                      "[1 2]",
                                      "1 2",
                                      "{} x",
                                      "tru",
                                      "nul",
                                      "fals",
                                      "True",
                                      "-",
                                      "+1",
                                      "01",
                                      "-01",
                                      "1.",
                                      ".5",
                                      "1e",
                                      "1e+",
                                      "1e-",
                                      "1.e1",
                                      "0x1",
                                      "NaN",
                                      "\"\\x\"",
                                      "\"\\",
                                      "\"\\u12\"",
                                      "\"\\u12g4\"",
                                      "\"\\u12/4\"",
                                      "\"\\ud800\"",
                                      "\"\\ud800x\"",
                                      "\"\\ud800\\u\"",
                                      "\"\\ud800\\u0041\"",
                                      "\"\\udc00\"",
                                      "\"a\nb\"",
                                      "\"\x01\"",
                                      "'a'",
                                      "\xef\xbb\xbf{}",
                                      "\"\xff\"",
                                      "\xc0\x80",
                                      "{\"email\":}",
                                      "{\"email\":1,}",
                                      "{\"email\" :x}",
                                      "data: {\"email\":1}\n\n",
                                      "<html>",
                                      "cb({\"email\":1})",
                                      "{\"email\":1}{}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        becomes(bad[i], NULL);
    }
    becomes("1E-5", "1E-5");
    becomes("-1.5e3", "-1.5e3");
    char nest[2 * SP_REDACT_DEPTH_MAX + 4];
    for (size_t depth = SP_REDACT_DEPTH_MAX; depth <= SP_REDACT_DEPTH_MAX + 1; depth++) {
        memset(nest, '[', depth);
        memset(nest + depth, ']', depth);
        nest[2 * depth] = '\0';
        becomes(nest, depth == SP_REDACT_DEPTH_MAX ? nest : NULL);
    }
}

static void a_cap_and_no_redaction_are_told(void **state)
{
    (void)state;
    struct sp_buf out;
    sp_buf_init(&out, 4);
    assert_int_equal(sp_redact(redactions, N, SP_TEXT("[1, 2, 3]"), &out), SP_ETOOBIG);
    sp_buf_done(&out);
    sp_buf_init(&out, 100);
    assert_int_equal(sp_redact(NULL, 0, SP_TEXT("{\"email\":1}"), &out), SP_OK);
    assert_true(sp_text_is(sp_buf_text(&out), "{\"email\":1}"));
    sp_buf_done(&out);
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
static bool mallocs_fail, callocs_fail;

void *__wrap_malloc(size_t size)
{
    return mallocs_fail ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return callocs_fail ? NULL : __real_calloc(n, size);
}

static void without_memory_nothing_passes(void **state)
{
    (void)state;
    struct sp_buf out;
    sp_buf_init(&out, 100);
    callocs_fail = true;
    assert_int_equal(sp_redact(redactions, N, SP_TEXT("[1]"), &out), SP_ENOMEM);
    callocs_fail = false;
    assert_int_equal(out.len, 0);
    mallocs_fail = true;
    assert_int_equal(sp_redact(redactions, N, SP_TEXT("[1]"), &out), SP_ENOMEM);
    mallocs_fail = false;
    sp_buf_done(&out);
}

/* More than fit into one word of bits, at the deepest level there is. */
static void many_long_paths_are_kept_apart(void **state)
{
    (void)state;
    static struct sp_text names[100][SP_REDACTION_NAMES_MAX];
    static char last[100][8];
    struct sp_redaction list[100];
    struct sp_buf text, expected, out;
    sp_buf_init(&text, 1 << 16);
    sp_buf_init(&expected, 1 << 16);
    sp_buf_init(&out, 1 << 16);
    for (size_t i = 0; i < 100; i++) {
        for (size_t k = 0; k + 1 < SP_REDACTION_NAMES_MAX; k++) {
            names[i][k] = SP_TEXT("n");
        }
        (void)snprintf(last[i], sizeof last[i], "x%zu", i);
        names[i][SP_REDACTION_NAMES_MAX - 1] = sp_text_of(last[i]);
        list[i] = (struct sp_redaction){names[i], SP_REDACTION_NAMES_MAX};
    }
    for (size_t k = 0; k + 1 < SP_REDACTION_NAMES_MAX; k++) {
        sp_buf_add_str(&text, "{\"n\":");
    }
    sp_buf_add_text(&expected, sp_buf_text(&text));
    sp_buf_add_str(&text, "{\"keep\":{\"n\":1}");
    sp_buf_add_str(&expected, "{\"keep\":{\"n\":1}");
    for (size_t i = 0; i < 100; i++) {
        sp_buf_addf(&text, ", \"x%zu\":{\"n\":1}", i);
    }
    for (size_t k = 0; k < SP_REDACTION_NAMES_MAX; k++) {
        sp_buf_add_byte(&text, '}');
        sp_buf_add_byte(&expected, '}');
    }
    assert_int_equal(sp_redact(list, 100, sp_buf_text(&text), &out), SP_OK);
    assert_true(sp_text_eq(sp_buf_text(&out), sp_buf_text(&expected)));
    sp_buf_done(&text);
    sp_buf_done(&expected);
    sp_buf_done(&out);
}

static void headers_of_other_bytes_and_of_parts_are_known(void **state)
{
    (void)state;
    assert_true(sp_redact_stales(SP_TEXT("etag")) &&
                sp_redact_stales(SP_TEXT("content-range")));
    assert_false(sp_redact_stales(SP_TEXT("content-type")));
    assert_true(sp_redact_carves(SP_TEXT("if-range")) && sp_redact_carves(SP_TEXT("range")));
    assert_false(sp_redact_carves(SP_TEXT("accept")));
}

/* ---- the second opinion --------------------------------------------------------------------
 */

static unsigned long long seed = 88172645463325252ull;

static unsigned dice(unsigned n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 33) % n;
}

static void blanks(struct sp_buf *out)
{
    static const char *const all[] = {"", "", "", " ", "\n", "\t ", "\r\n"};
    sp_buf_add_str(out, all[dice(7)]);
}

static void write_name(struct sp_buf *out)
{
    static const char *const all[] = {
        "email", "EMail",       "\\u0065mail", "customer", "phone",
        "items", "it\\u0065ms", "card",        "a",        "b",
        "c",     "other",       "C",           "\\u0061",  "x"};
    sp_buf_addf(out, "\"%s\"", all[dice(15)]);
}

static void write_value(struct sp_buf *out, unsigned depth)
{
    static const char *const leaves[] = {"0",    "-1.5e3", "12",        "\"email\"",
                                         "true", "null",   "\"\\\"}\"", "\"\\u0065\"",
                                         "\"\"", "[]"};
    unsigned kind = depth > 5 ? 0 : dice(4), n = dice(5);
    blanks(out);
    if (kind < 1) {
        sp_buf_add_str(out, leaves[dice(10)]);
    } else if (kind == 1) {
        sp_buf_add_byte(out, '[');
        for (unsigned i = 0; i < n; i++) {
            sp_buf_add_str(out, i ? "," : "");
            write_value(out, depth + 1);
        }
        blanks(out);
        sp_buf_add_byte(out, ']');
    } else {
        sp_buf_add_byte(out, '{');
        for (unsigned i = 0; i < n; i++) {
            sp_buf_add_str(out, i ? "," : "");
            blanks(out);
            write_name(out);
            blanks(out);
            sp_buf_add_byte(out, ':');
            write_value(out, depth + 1);
        }
        blanks(out);
        sp_buf_add_byte(out, '}');
    }
    blanks(out);
}

/* What one redaction means, over jansson's tree, which knows nothing of ours. */
static void take_out(json_t *at, const struct sp_redaction *one, size_t level)
{
    size_t i;
    json_t *item;
    const char *name;
    void *next;
    json_array_foreach(at, i, item)
    {
        take_out(item, one, level);
    }
    json_object_foreach_safe(at, next, name, item)
    {
        if (!sp_text_eq_fold(sp_text_of(name), one->names[level])) {
            continue;
        }
        if (level + 1 == one->n_names) {
            (void)json_object_del(at, name);
        } else {
            take_out(item, one, level + 1);
        }
    }
}

/* A text with a member twice is no tree, so jansson sees the last: taking out goes on to agree.
 */
static void jansson_agrees_about_random_texts(void **state)
{
    (void)state;
    struct sp_buf text, out, again;
    sp_buf_init(&text, 1 << 20);
    sp_buf_init(&out, 1 << 20);
    sp_buf_init(&again, 1 << 20);
    unsigned n_cut = 0;
    for (unsigned i = 0; i < 20000; i++) {
        sp_buf_reset(&text);
        sp_buf_reset(&out);
        sp_buf_reset(&again);
        write_value(&text, 0);
        assert_int_equal(sp_redact(redactions, N, sp_buf_text(&text), &out), SP_OK);
        json_t *before = json_loadb(text.ptr, text.len, JSON_DECODE_ANY, NULL);
        json_t *after = json_loadb(out.ptr, out.len, JSON_DECODE_ANY, NULL);
        assert_true(before && after);
        for (size_t k = 0; k < N; k++) {
            take_out(before, &redactions[k], 0);
        }
        if (!json_equal(before, after)) {
            fail_msg("%s\nbecame %s", text.ptr, out.ptr);
        }
        assert_int_equal(sp_redact(redactions, N, sp_buf_text(&out), &again), SP_OK);
        assert_true(sp_text_eq(sp_buf_text(&out), sp_buf_text(&again)));
        n_cut += out.len < text.len;
        json_decref(before);
        json_decref(after);
    }
    assert_true(n_cut > 3000);
    sp_buf_done(&text);
    sp_buf_done(&out);
    sp_buf_done(&again);
}

static struct sp_scope *scope_redacting(unsigned n)
{
    static const char *const all[] = {
        "email", "customer", "customer.phone", "items.card",  "items",
        "a",     "a.b",      "A.b.c",          "\"other\".x", "x"};
    struct sp_scope *scope = NULL;
    struct sp_buf text;
    struct sp_error err;
    sp_buf_init(&text, 1000);
    sp_buf_add_str(&text, "sallyport 1\nscope s { key k ttl 1h ");
    for (unsigned i = 0; i < n; i++) {
        sp_buf_addf(&text, "redact {%s} ", all[dice(10)]);
    }
    sp_buf_add_str(&text, "allow GET https://a.test/ }");
    assert_int_equal(sp_scope_parse(sp_buf_text(&text), &scope, &err), SP_OK);
    sp_buf_done(&text);
    return scope;
}

/* In the order that is given, or the other way round. */
static size_t list_of(const struct sp_scope *scope, bool backwards, struct sp_redaction list[4])
{
    size_t n = 0;
    while (sp_scope_redaction(scope, n)) {
        n++;
    }
    for (size_t i = 0; i < n; i++) {
        list[i] = *sp_scope_redaction(scope, backwards ? n - 1 - i : i);
    }
    return n;
}

static void what_lies_inside_shows_no_field_that_is_hidden_outside(void **state)
{
    (void)state;
    struct sp_buf text, inner_out, other, twice;
    unsigned n_inside = 0, n_shown = 0;
    sp_buf_init(&text, 1 << 20);
    sp_buf_init(&inner_out, 1 << 20);
    sp_buf_init(&other, 1 << 20);
    sp_buf_init(&twice, 1 << 20);
    for (unsigned i = 0; i < 1500; i++) {
        struct sp_redaction list[4];
        struct sp_error why;
        struct sp_scope *outer = scope_redacting(dice(4)), *inner = scope_redacting(dice(5));
        bool inside = sp_scope_compare(outer, inner, false, NULL, &why) == SP_INCLUDED;
        for (unsigned k = 0; k < 10; k++) {
            sp_buf_reset(&text);
            sp_buf_reset(&inner_out);
            sp_buf_reset(&other);
            sp_buf_reset(&twice);
            write_value(&text, 0);
            size_t n = list_of(inner, false, list);
            assert_int_equal(sp_redact(list, n, sp_buf_text(&text), &inner_out), SP_OK);
            n = list_of(inner, true, list);
            assert_int_equal(sp_redact(list, n, sp_buf_text(&text), &other), SP_OK);
            assert_true(sp_text_eq(sp_buf_text(&inner_out), sp_buf_text(&other)));
            n = list_of(outer, false, list);
            assert_int_equal(sp_redact(list, n, sp_buf_text(&inner_out), &twice), SP_OK);
            bool same = sp_text_eq(sp_buf_text(&inner_out), sp_buf_text(&twice));
            assert_true(same || !inside);
            n_shown += !same;
        }
        n_inside += inside;
        sp_scope_free(outer);
        sp_scope_free(inner);
    }
    assert_true(n_inside > 100 && n_shown > 100);
    sp_buf_done(&text);
    sp_buf_done(&inner_out);
    sp_buf_done(&other);
    sp_buf_done(&twice);
}

/* Of a well-formed text with a byte changed, jansson takes whatever we take. */
static void what_passes_is_json_to_jansson_too(void **state)
{
    (void)state;
    struct sp_buf text, out;
    unsigned n_passed = 0;
    sp_buf_init(&text, 1 << 20);
    sp_buf_init(&out, 1 << 20);
    for (unsigned i = 0; i < 20000; i++) {
        static const char bytes[] = "{}[],:\"\\u0eE+-.19 tx\x01\xff";
        sp_buf_reset(&text);
        sp_buf_reset(&out);
        write_value(&text, 3);
        text.ptr[dice((unsigned)text.len)] = bytes[dice(sizeof bytes - 1)];
        if (sp_redact(redactions, N, sp_buf_text(&text), &out) == SP_OK) {
            json_error_t why;
            json_t *tree =
                json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
            /* its numbers have a size, and its names no NUL */
            assert_true(tree || json_error_code(&why) == json_error_numeric_overflow ||
                        json_error_code(&why) == json_error_null_byte_in_key);
            json_decref(tree);
            n_passed++;
        }
    }
    assert_true(n_passed > 1000);
    sp_buf_done(&text);
    sp_buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_field_goes_with_its_comma_and_nothing_else_changes),
        cmocka_unit_test(a_path_is_one_from_the_root_and_walks_arrays),
        cmocka_unit_test(a_name_is_found_however_it_is_written),
        cmocka_unit_test(what_is_no_json_is_refused),
        cmocka_unit_test(a_cap_and_no_redaction_are_told),
        cmocka_unit_test(without_memory_nothing_passes),
        cmocka_unit_test(many_long_paths_are_kept_apart),
        cmocka_unit_test(headers_of_other_bytes_and_of_parts_are_known),
        cmocka_unit_test(jansson_agrees_about_random_texts),
        cmocka_unit_test(what_lies_inside_shows_no_field_that_is_hidden_outside),
        cmocka_unit_test(what_passes_is_json_to_jansson_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
