/* Bodies as rules see them. */
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
    struct sp_header headers[3];
    struct sp_request request;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    sp_arena_init(&f->arena, 16 << 20);
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

static void judge(struct fixture *f, const char *type, struct sp_text body)
{
    sp_arena_reset(&f->arena);
    f->headers[0] = (struct sp_header){SP_TEXT("content-type"), sp_text_of(type)};
    f->request = (struct sp_request){.headers = f->headers,
                                     .n_headers = type ? 1 : 0,
                                     .body = body,
                                     .body_kind = SP_BODY_UNREAD};
    sp_judge_body(&f->arena, &f->request);
}

static const struct sp_value *json(struct fixture *f, const char *body)
{
    judge(f, "application/json", sp_text_of(body));
    if (f->request.body_kind != SP_BODY_JSON) {
        fail_msg("%s: %s", body, f->request.body_reason);
    }
    return f->request.body_value;
}

static void assert_opaque(struct fixture *f, const char *type, struct sp_text body,
                          const char *reason)
{
    judge(f, type, body);
    if (f->request.body_kind != SP_BODY_OPAQUE || !strstr(f->request.body_reason, reason)) {
        fail_msg("%.*s: %d %s", (int)body.len, body.ptr, (int)f->request.body_kind,
                 f->request.body_reason ? f->request.body_reason : "");
    }
    assert_null(f->request.body_value);
}

static const struct sp_value *get(const struct sp_value *value, const char *name)
{
    return sp_value_get(value, sp_text_of(name));
}

static void json_becomes_a_tree(void **state)
{
    struct fixture *f = *state;
    const struct sp_value *v =
        json(f, "{\"n\":null,\"t\":true,\"f\":false,\"i\":-7,\"s\":\"\\u00e9\\n\","
                "\"a\":[1,\"x\",[]],\"o\":{\"k\":{}}}");
    assert_int_equal(v->kind, SP_VALUE_OBJECT);
    assert_int_equal(get(v, "n")->kind, SP_VALUE_NULL);
    assert_true(get(v, "t")->kind == SP_VALUE_BOOL && get(v, "t")->as.boolean);
    assert_true(get(v, "f")->kind == SP_VALUE_BOOL && !get(v, "f")->as.boolean);
    assert_true(get(v, "i")->kind == SP_VALUE_INT && get(v, "i")->as.integer == -7);
    assert_true(sp_text_is(get(v, "s")->as.text, "\xc3\xa9\n"));
    assert_int_equal(get(v, "a")->as.array.n, 3);
    assert_int_equal(get(v, "a")->as.array.items[1].kind, SP_VALUE_STRING);
    assert_int_equal(get(get(v, "o"), "k")->kind, SP_VALUE_OBJECT);
    assert_int_equal(json(f, "5")->kind, SP_VALUE_INT);
    assert_int_equal(json(f, " [] ")->kind, SP_VALUE_ARRAY);
}

static void T23_only_plain_integers_are_integers(void **state)
{
    static const char *const numbers[] = {"5e3",  "5.0",  "5E0",     "0.5",
                                          "1e-2", "-0.0", "1.5e300", "50000000000000000000.0"};
    static const char *const broken[] = {"05",    "+5",  ".5",       "5.",  "0x5",
                                         "1_000", "--5", "Infinity", "NaN", "\xd9\xa5"};
    struct fixture *f = *state;
    char body[64];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        (void)snprintf(body, sizeof body, "{\"amount\":%s}", numbers[i]);
        assert_int_equal(get(json(f, body), "amount")->kind, SP_VALUE_NUMBER);
    }
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        (void)snprintf(body, sizeof body, "{\"amount\":%s}", broken[i]);
        assert_opaque(f, "application/json", sp_text_of(body), "not JSON");
    }
    assert_int_equal(get(json(f, "{\"a\":\"5000\"}"), "a")->kind, SP_VALUE_STRING);
    assert_true(get(json(f, "{\"a\":9223372036854775807}"), "a")->as.integer == INT64_MAX);
    assert_true(get(json(f, "{\"a\":-9223372036854775808}"), "a")->as.integer == INT64_MIN);
    assert_opaque(f, "application/json", SP_TEXT("{\"a\":9223372036854775808}"),
                  "out of range");
    assert_opaque(f, "application/json", SP_TEXT("{\"a\":1e999}"), "out of range");
}

static void T19_duplicate_json_keys_are_opaque_at_any_depth(void **state)
{
    static const char *const bodies[] = {"{\"a\":1,\"a\":1}",
                                         "{\"x\":{\"a\":1,\"b\":2,\"a\":3}}",
                                         "[[{\"a\":1,\"\\u0061\":2}]]"};
    struct fixture *f = *state;
    for (size_t i = 0; i < 3; i++) {
        assert_opaque(f, "application/json", sp_text_of(bodies[i]), "twice");
    }
    assert_int_equal(json(f, "{\"a\":1,\"A\":2}")->as.object.n, 2);
}

static void broken_json_is_opaque(void **state)
{
    static const struct {
        struct sp_text body;
        const char *reason;
    } rows[] = {{{"{", 1}, "not JSON"},
                {{"{\"a\":1} x", 9}, "not JSON"},
                {{"{\"a\":1}{\"a\":2}", 14}, "not JSON"},
                {{"{\"a\":1,}", 8}, "not JSON"},
                {{"{'a':1}", 7}, "not JSON"},
                {{"{\"a\":1}//x", 10}, "not JSON"},
                {{"{\"a\":1}\0", 8}, "not JSON"},
                {{"{\"a\":\"\\u0000\"}", 14}, "NUL"},
                {{"{\"\\u0000\":1}", 12}, "NUL"},
                {{"{\"a\":\"\xff\"}", 9}, "not UTF-8"},
                {{"{\"a\":\"\xc0\xae\"}", 10}, "not UTF-8"},
                {{"{\"a\":\"\\ud800\"}", 14}, "not JSON"},
                {{"\xef\xbb\xbf{}", 5}, "byte order mark"},
                {{"\xff\xfe{\0}\0", 6}, "not UTF-8"}};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_opaque(f, "application/json", rows[i].body, rows[i].reason);
    }
}

static void deep_json_is_opaque(void **state)
{
    struct fixture *f = *state;
    enum { DEEPEST = 5000 };
    static char body[2 * DEEPEST + 1];
    static const unsigned depths[] = {32, 33, 2049, DEEPEST};
    for (size_t i = 0; i < 4; i++) {
        memset(body, '[', depths[i]);
        memset(body + depths[i], ']', depths[i]);
        struct sp_text text = {body, 2 * depths[i]};
        if (depths[i] == 32) {
            judge(f, "application/json", text);
            assert_int_equal(f->request.body_kind, SP_BODY_JSON);
        } else {
            assert_opaque(f, "application/json", text, "deeper than 32");
        }
    }
}

static void forms_become_a_tree(void **state)
{
    struct fixture *f = *state;
    judge(f, "application/x-www-form-urlencoded",
          SP_TEXT("amount=4000&metadata[order]=7&expand[]=a&expand[]=b&note=a+b%26"));
    assert_int_equal(f->request.body_kind, SP_BODY_FORM);
    const struct sp_value *v = f->request.body_value;
    assert_int_equal(get(v, "amount")->kind, SP_VALUE_FORM);
    assert_true(sp_text_is(get(v, "amount")->as.text, "4000"));
    assert_true(sp_text_is(get(get(v, "metadata"), "order")->as.text, "7"));
    assert_int_equal(get(v, "expand")->as.array.n, 2);
    assert_true(sp_text_is(get(v, "note")->as.text, "a b&"));
}

static void T19_duplicate_form_keys_are_ambiguous(void **state)
{
    struct fixture *f = *state;
    judge(f, "application/x-www-form-urlencoded", SP_TEXT("amount=1&amount=2"));
    assert_int_equal(f->request.body_kind, SP_BODY_FORM);
    assert_int_equal(get(f->request.body_value, "amount")->kind, SP_VALUE_AMBIGUOUS);
}

static void broken_forms_are_opaque(void **state)
{
    struct fixture *f = *state;
    const char *type = "application/x-www-form-urlencoded";
    assert_opaque(f, type, SP_TEXT("a=%"), "malformed");
    assert_opaque(f, type, SP_TEXT("a=%zz"), "malformed");
    assert_opaque(f, type, SP_TEXT("a=%00"), "malformed");
    assert_opaque(f, type, SP_TEXT("a=%ff"), "malformed");
    static char many[4096];
    for (size_t i = 0; i + 3 < sizeof many; i += 3) {
        memcpy(many + i, "a=&", 3);
    }
    assert_opaque(f, type, (struct sp_text){many, 1025 * 3}, "too large");
}

static void the_content_type_is_read_strictly(void **state)
{
    static const struct {
        const char *type;
        enum sp_body_kind kind;
    } rows[] = {{"application/json", SP_BODY_JSON},
                {"Application/JSON", SP_BODY_JSON},
                {"application/json;charset=utf-8", SP_BODY_JSON},
                {"application/json ; charset=\"UTF-8\"", SP_BODY_JSON},
                {"application/vnd.github+json", SP_BODY_JSON},
                {"application/merge-patch+json; charset=UTF-8", SP_BODY_JSON},
                {"application/x-www-form-urlencoded; charset=utf-8", SP_BODY_FORM},
                {"application/json; charset=utf-16", SP_BODY_OPAQUE},
                {"application/json; charset=utf-8; charset=utf-16", SP_BODY_OPAQUE},
                {"application/json; boundary=x", SP_BODY_OPAQUE},
                {"application/json;", SP_BODY_OPAQUE},
                {"application/json, text/plain", SP_BODY_OPAQUE},
                {"application/json,application/x-www-form-urlencoded", SP_BODY_OPAQUE},
                {"text/plain", SP_BODY_OPAQUE},
                {"text/json", SP_BODY_OPAQUE},
                {"text/x+json", SP_BODY_OPAQUE},
                {"text/vnd.site.thing+json", SP_BODY_OPAQUE},
                {"multipart/form-data; boundary=x", SP_BODY_OPAQUE},
                {"application/jsonp", SP_BODY_OPAQUE},
                {"application/x json", SP_BODY_OPAQUE},
                {"application/a/b+json", SP_BODY_OPAQUE},
                {"application/", SP_BODY_OPAQUE},
                {"json", SP_BODY_OPAQUE},
                {"", SP_BODY_OPAQUE}};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        judge(f, rows[i].type, SP_TEXT("1"));
        if (f->request.body_kind != rows[i].kind) {
            fail_msg("%s: %d", rows[i].type, (int)f->request.body_kind);
        }
    }
    assert_opaque(f, NULL, SP_TEXT("{}"), "no Content-Type");
}

static void two_content_types_or_an_encoding_are_opaque(void **state)
{
    struct fixture *f = *state;
    const struct sp_header type = {SP_TEXT("content-type"), SP_TEXT("application/json")};
    struct sp_header second = type;
    static const struct {
        const char *name, *value;
        enum sp_body_kind kind;
    } rows[] = {{"content-type", "application/json", SP_BODY_OPAQUE},
                {"content-encoding", "gzip", SP_BODY_OPAQUE},
                {"content-encoding", "", SP_BODY_OPAQUE},
                {"content-encoding", "identity, gzip", SP_BODY_OPAQUE},
                {"content-encoding", "Identity", SP_BODY_JSON},
                {"x-other", "gzip", SP_BODY_JSON}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        second = (struct sp_header){sp_text_of(rows[i].name), sp_text_of(rows[i].value)};
        struct sp_header headers[] = {type, second};
        f->request =
            (struct sp_request){.headers = headers, .n_headers = 2, .body = SP_TEXT("{}")};
        sp_judge_body(&f->arena, &f->request);
        assert_int_equal(f->request.body_kind, rows[i].kind);
    }
    second = (struct sp_header){SP_TEXT("content-encoding"), SP_TEXT("identity")};
    struct sp_header twice[] = {type, second, second};
    f->request = (struct sp_request){.headers = twice, .n_headers = 3, .body = SP_TEXT("{}")};
    sp_judge_body(&f->arena, &f->request);
    assert_int_equal(f->request.body_kind, SP_BODY_OPAQUE);
}

static void T24_a_body_just_over_the_cap_is_opaque(void **state)
{
    struct fixture *f = *state;
    size_t len = SP_BODY_JUDGED_MAX_BYTES + 1;
    char *body = malloc(len);
    memset(body, ' ', len);
    memcpy(body, "{\"amount\":1}", 12);
    judge(f, "application/json", (struct sp_text){body, len - 1});
    assert_int_equal(f->request.body_kind, SP_BODY_JSON);
    assert_opaque(f, "application/json", (struct sp_text){body, len}, "too large");
    free(body);
}

static void a_body_that_does_not_fit_the_arena_is_opaque(void **state)
{
    struct fixture *f = *state;
    const char *bodies[] = {"{\"a\":[1,2,{\"b\":\"text\"}]}", "a[b]=1&c[]=2&d=3"};
    for (size_t k = 0; k < 2; k++) {
        bool fitted = false;
        for (size_t cap = 0; cap < 8192 && !fitted; cap += 16) {
            struct sp_arena arena;
            sp_arena_init(&arena, cap);
            f->headers[0] = (struct sp_header){SP_TEXT("content-type"),
                                               k ? SP_TEXT("application/x-www-form-urlencoded")
                                                 : SP_TEXT("application/json")};
            f->request = (struct sp_request){
                .headers = f->headers, .n_headers = 1, .body = sp_text_of(bodies[k])};
            sp_judge_body(&arena, &f->request);
            fitted = f->request.body_kind != SP_BODY_OPAQUE;
            assert_true(fitted || strstr(f->request.body_reason, "too large"));
            sp_arena_done(&arena);
        }
        assert_true(fitted);
    }
}

static void no_body_is_none(void **state)
{
    struct fixture *f = *state;
    judge(f, "application/json", SP_TEXT(""));
    assert_int_equal(f->request.body_kind, SP_BODY_NONE);
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(json_becomes_a_tree),
        ROW(T23_only_plain_integers_are_integers),
        ROW(T19_duplicate_json_keys_are_opaque_at_any_depth),
        ROW(broken_json_is_opaque),
        ROW(deep_json_is_opaque),
        ROW(forms_become_a_tree),
        ROW(T19_duplicate_form_keys_are_ambiguous),
        ROW(broken_forms_are_opaque),
        ROW(the_content_type_is_read_strictly),
        ROW(two_content_types_or_an_encoding_are_opaque),
        ROW(T24_a_body_just_over_the_cap_is_opaque),
        ROW(a_body_that_does_not_fit_the_arena_is_opaque),
        ROW(no_body_is_none),
    };
    return cmocka_run_group_tests_name("bodies", tests, NULL, NULL);
}
