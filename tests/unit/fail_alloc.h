/* Allocations that fail one by one: the n-th of those that an operation makes, for each n. A
 * program that includes this is linked with the wraps of test_memory in tests/policy.cmake,
 * which leads malloc, calloc, realloc and what policy-lang takes from arenas and growing tables
 * through here: most of those fit into memory that is there already, and would never fail
 * otherwise. */
#ifndef FAIL_ALLOC_H
#define FAIL_ALLOC_H

#include "arena.h"
#include "automaton/automaton.h"

static size_t fail_alloc_count, fail_alloc_at = SIZE_MAX;

static bool fail_alloc_now(void)
{
    return fail_alloc_count++ == fail_alloc_at;
}

#define FAIL_ALLOC(type, name, params, args, failed)                                           \
    type __real_##name params;                                                                 \
    type __wrap_##name params;                                                                 \
    type __wrap_##name params                                                                  \
    {                                                                                          \
        return fail_alloc_now() ? (failed) : __real_##name args;                               \
    }

FAIL_ALLOC(void *, malloc, (size_t size), (size), NULL)
FAIL_ALLOC(void *, calloc, (size_t n, size_t size), (n, size), NULL)
FAIL_ALLOC(void *, realloc, (void *memory, size_t size), (memory, size), NULL)
FAIL_ALLOC(void *, sp_arena_alloc, (struct sp_arena * arena, size_t size), (arena, size), NULL)
FAIL_ALLOC(void *, sp_arena_array, (struct sp_arena * arena, size_t count, size_t size),
           (arena, count, size), NULL)
FAIL_ALLOC(struct sp_text, sp_arena_copy, (struct sp_arena * arena, struct sp_text text),
           (arena, text), ((struct sp_text){NULL, 0}))
FAIL_ALLOC(bool, room_for, (void **items, size_t n, size_t *room, size_t size),
           (items, n, room, size), false)
FAIL_ALLOC(bool, words_add, (struct words * words, uint32_t word), (words, word), false)

#endif
