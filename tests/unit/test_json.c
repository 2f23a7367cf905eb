/* JSON where memory is short: all of it, or nothing. */
#include "json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static size_t n_allocations, fail_at = SIZE_MAX;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return n_allocations++ == fail_at ? NULL : __real_malloc(size);
}

/* Strings that outgrow jansson's first room for them, as credentials do. */
#define LONG "at-0123456789abcdefghijklmnopqrstuvwxyz-0123456789abcdefghijklmnopqrstuvwxyz"
static const char text[] = "{\"access_token\": \"" LONG "\", \"list\": [1, 2.5, \"" LONG
                           "\"], \"" LONG "\": {\"a\": null, \"b\": true}}";

static json_t *load(json_error_t *ret_error)
{
    n_allocations = 0;
    json_t *json = sp_json_load(SP_TEXT(text), JSON_REJECT_DUPLICATES, ret_error);
    fail_at = SIZE_MAX;
    return json;
}

static void T41_where_memory_is_short_a_text_is_read_whole_or_not_at_all(void **state)
{
    json_error_t error;
    (void)state;
    json_t *whole = load(&error);
    assert_non_null(whole);
    size_t n = n_allocations, n_refused = 0;
    assert_true(n > 20);
    for (size_t nth = 0; nth < n; nth++) {
        fail_at = nth;
        json_t *json = load(nth % 2 ? &error : NULL);
        if (json) {
            assert_true(json_equal(json, whole));
            json_decref(json);
        } else {
            assert_true(nth % 2 == 0 || json_error_code(&error) == json_error_out_of_memory);
            n_refused++;
        }
    }
    assert_int_equal(n_refused, n);
    json_decref(whole);
}

static void what_is_no_json_is_refused_for_that(void **state)
{
    json_error_t error;
    (void)state;
    assert_null(sp_json_load(SP_TEXT("{\"a\": 1, \"a\": 2}"), JSON_REJECT_DUPLICATES, &error));
    assert_int_equal(json_error_code(&error), json_error_duplicate_key);
    assert_null(sp_json_load((struct sp_text){NULL, 0}, 0, &error));
    assert_int_equal(json_error_code(&error), json_error_premature_end_of_input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T41_where_memory_is_short_a_text_is_read_whole_or_not_at_all),
        cmocka_unit_test(what_is_no_json_is_refused_for_that),
    };
    sp_json_global();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
