/* Arenas: caps, alignment, and what happens without memory. */
#include "arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* malloc as the module under test sees it (linked with --wrap=malloc): it fails once `allowed`
 * calls are used up. */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

static size_t allowed = SIZE_MAX;

void *__wrap_malloc(size_t size)
{
    return allowed > 0 && allowed-- ? __real_malloc(size) : NULL;
}

static void an_arena_stops_at_its_cap(void **state)
{
    (void)state;
    struct sp_arena arena;
    sp_arena_init(&arena, 10000);
    assert_non_null(sp_arena_alloc(&arena, 0));
    unsigned char *first = sp_arena_alloc(&arena, 5000); /* larger than a block */
    assert_non_null(first);
    assert_int_equal((uintptr_t)first % sizeof(long double), 0);
    for (size_t i = 0; i < 5000; i++) {
        assert_int_equal(first[i], 0);
        first[i] = 0xff;
    }
    assert_null(sp_arena_alloc(&arena, 10001));
    assert_null(sp_arena_alloc(&arena, 5000));
    assert_null(sp_arena_array(&arena, SIZE_MAX / 2, 4));
    assert_null(sp_arena_copy(&arena, (struct sp_text){"", SIZE_MAX}).ptr);
    assert_null(sp_arena_copy(&arena, (struct sp_text){"", 9000}).ptr);
    assert_non_null(sp_arena_array(&arena, 0, 0));
    struct sp_text copy = sp_arena_copy(&arena, SP_TEXT("abc"));
    assert_string_equal(copy.ptr, "abc");
    assert_true(sp_text_is(sp_arena_copy(&arena, SP_TEXT("")), ""));
    sp_arena_reset(&arena);
    unsigned char *again = sp_arena_alloc(&arena, 100);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(again[i], 0);
    }
    sp_arena_done(&arena);
    sp_arena_reset(&arena); /* of an empty one */
    sp_arena_done(&arena);
}

static void a_copy_ends_in_a_nul_that_the_next_one_leaves_alone(void **state)
{
    (void)state;
    struct sp_arena arena;
    sp_arena_init(&arena, 10000);
    struct sp_text full = sp_arena_copy(&arena, SP_TEXT("0123456789abcdef")); /* no slack */
    struct sp_text next = sp_arena_copy(&arena, SP_TEXT("next"));
    assert_string_equal(full.ptr, "0123456789abcdef");
    assert_string_equal(next.ptr, "next");
    sp_arena_done(&arena);
}

static void an_arena_without_memory_says_so_and_goes_on_later(void **state)
{
    (void)state;
    struct sp_arena arena;
    sp_arena_init(&arena, SIZE_MAX); /* the cap of an arena is below that: no sum wraps */
    assert_null(sp_arena_alloc(&arena, SIZE_MAX));
    assert_null(sp_arena_alloc(&arena, SIZE_MAX - 64));
    allowed = 0;
    assert_null(sp_arena_alloc(&arena, 100));
    assert_int_equal(arena.used_bytes, 0);
    allowed = 1;
    assert_non_null(sp_arena_alloc(&arena, 100));
    assert_null(sp_arena_alloc(&arena, 5000)); /* wants a second block */
    assert_non_null(sp_arena_alloc(&arena, 100));
    allowed = SIZE_MAX;
    assert_non_null(sp_arena_alloc(&arena, 5000));
    sp_arena_done(&arena);
}

static void a_reset_arena_keeps_one_block_for_the_next_request(void **state)
{
    (void)state;
    struct sp_arena arena;
    sp_arena_init(&arena, 100000);
    void *first = sp_arena_alloc(&arena, 100);
    assert_non_null(sp_arena_alloc(&arena, 50000));
    sp_arena_reset(&arena);
    assert_int_equal(arena.used_bytes, 0);
    allowed = 0;
    assert_ptr_equal(sp_arena_alloc(&arena, 100), first);
    allowed = SIZE_MAX;
    sp_arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_arena_stops_at_its_cap),
        cmocka_unit_test(a_copy_ends_in_a_nul_that_the_next_one_leaves_alone),
        cmocka_unit_test(an_arena_without_memory_says_so_and_goes_on_later),
        cmocka_unit_test(a_reset_arena_keeps_one_block_for_the_next_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
