/* Methods, and the request as a whole. */
#include "request.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int setup(void **state)
{
    static struct sp_arena arena;
    sp_arena_init(&arena, 16 << 20);
    *state = &arena;
    return 0;
}

static int teardown(void **state)
{
    sp_arena_done(*state);
    return 0;
}

static void T18_methods_are_known_and_in_capitals(void **state)
{
    (void)state;
    static const char *const good[] = {"GET",   "HEAD",   "POST",   "PUT",
                                       "PATCH", "DELETE", "OPTIONS"};
    static const char *const bad[] = {"get",     "Get", "",     "GETS",     "GE",    "TRACE",
                                      "CONNECT", "*",   "GET ", "PROPFIND", "PO\nST"};
    unsigned all = 0;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        unsigned bit = sp_method_parse(sp_text_of(good[i]));
        assert_true(bit && !(all & bit));
        assert_string_equal(sp_method_name(bit), good[i]);
        all |= bit;
    }
    assert_int_equal(all, SP_METHOD_ALL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(sp_method_parse(sp_text_of(bad[i])), 0);
    }
    assert_null(sp_method_name(SP_METHOD_ALL));
    assert_null(sp_method_name(0));
}

static void a_request_knows_its_query_and_its_headers(void **state)
{
    struct sp_request r;
    struct sp_error err = {""};
    struct sp_header headers[] = {{SP_TEXT("a"), SP_TEXT("1")}, {SP_TEXT("b"), SP_TEXT("2")}};
    assert_int_equal(sp_request_init(*state, SP_TEXT("GET"),
                                     SP_TEXT("https://h/x?created[gte]=5"), &r, &err),
                     SP_OK);
    r.headers = headers;
    r.n_headers = 2;
    assert_true(sp_text_is(sp_request_header(&r, "b")->value, "2"));
    assert_null(sp_request_header(&r, "c"));
    assert_non_null(
        sp_value_get(sp_value_get(r.query_value, SP_TEXT("created")), SP_TEXT("gte")));
    assert_int_equal(sp_request_init(*state, SP_TEXT("get"), SP_TEXT("https://h/"), &r, &err),
                     SP_EINVAL);
    assert_int_equal(sp_request_init(*state, SP_TEXT("GET"), SP_TEXT("https://h/.."), &r, &err),
                     SP_EINVAL);
}

static void out_of_memory_is_said_at_every_cap(void **state)
{
    (void)state;
    size_t done = 0;
    for (size_t cap = 0; cap < 20000; cap += 16) {
        struct sp_arena arena;
        struct sp_request r;
        sp_arena_init(&arena, cap);
        sp_status status = sp_request_init(&arena, SP_TEXT("GET"),
                                           SP_TEXT("https://h/a/b%20c/d?x=1&y[z]=2"), &r, NULL);
        assert_true(status == SP_OK || status == SP_ENOMEM);
        done += status == SP_OK;
        sp_arena_done(&arena);
    }
    assert_true(done > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T18_methods_are_known_and_in_capitals),
        cmocka_unit_test(a_request_knows_its_query_and_its_headers),
        cmocka_unit_test(out_of_memory_is_said_at_every_cap),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
