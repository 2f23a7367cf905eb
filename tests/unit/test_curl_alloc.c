/* The memory that libcurl runs on. malloc is wrapped: it fails while the test says so. */
#include "curl_alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { BLOCKS = 64, BLOCK_BYTES = 512 };

static bool no_memory;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return no_memory ? NULL : __real_malloc(size);
}

static void small_blocks_are_there_while_memory_is_short(void **state)
{
    void *held[BLOCKS];
    (void)state;
    no_memory = true;
    for (size_t i = 0; i < BLOCKS; i++) {
        held[i] = i % 2 ? sp_curl_malloc(BLOCK_BYTES) : sp_curl_calloc(BLOCK_BYTES / 8, 8);
        assert_non_null(held[i]);
        for (size_t k = 0; k < i; k++) {
            assert_ptr_not_equal(held[i], held[k]);
        }
    }
    assert_null(sp_curl_malloc(1)); /* the reserve has an end */
    sp_curl_free(held[7]);
    assert_ptr_equal(sp_curl_malloc(1), held[7]);
    for (size_t i = 0; i < BLOCKS; i++) {
        sp_curl_free(held[i]);
    }
    assert_null(sp_curl_malloc(BLOCK_BYTES + 1));
    assert_null(sp_curl_calloc(SIZE_MAX / 2, 4));
    no_memory = false;
}

static void a_block_of_the_reserve_is_wiped_and_moves_as_others_do(void **state)
{
    (void)state;
    no_memory = true;
    char *block = sp_curl_strdup("Authorization: Bearer secret");
    assert_string_equal(block, "Authorization: Bearer secret");
    assert_ptr_equal(sp_curl_realloc(block, BLOCK_BYTES), block);
    assert_null(sp_curl_realloc(block, BLOCK_BYTES + 1));
    no_memory = false;
    char *moved = sp_curl_realloc(block, 4096);
    assert_ptr_not_equal(moved, block);
    assert_string_equal(moved, "Authorization: Bearer secret");
    assert_memory_equal(block, (char[BLOCK_BYTES]){0}, BLOCK_BYTES);
    moved = sp_curl_realloc(moved, 8192);
    assert_string_equal(moved, "Authorization: Bearer secret");
    sp_curl_free(moved);
    sp_curl_free(sp_curl_calloc(3, 5));
    sp_curl_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_blocks_are_there_while_memory_is_short),
        cmocka_unit_test(a_block_of_the_reserve_is_wiped_and_moves_as_others_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
