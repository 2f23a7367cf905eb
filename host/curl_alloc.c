#include "curl_alloc.h"

#include "wipe_alloc.h"

#include <sodium.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

enum { BLOCKS = 64, BLOCK_BYTES = 512 };

/* libcurl hands its allocator nothing of ours, so this is the process's. */
static _Alignas(max_align_t) unsigned char blocks[BLOCKS][BLOCK_BYTES];
static atomic_uint_fast64_t taken; /* a bit for each */

static void *take(size_t size)
{
    uint_fast64_t seen = atomic_load(&taken);
    while (size <= BLOCK_BYTES && ~seen) {
        int free_one = __builtin_ctzll(~seen);
        if (atomic_compare_exchange_weak(&taken, &seen, seen | UINT64_C(1) << free_one)) {
            return blocks[free_one];
        }
    }
    return NULL;
}

static bool is_ours(const void *ptr)
{
    uintptr_t at = (uintptr_t)ptr, start = (uintptr_t)blocks;
    return at >= start && at < start + sizeof blocks;
}

void *sp_curl_malloc(size_t size)
{
    void *ptr = sp_wipe_malloc(size);
    return ptr ? ptr : take(size);
}

void *sp_curl_calloc(size_t count, size_t size)
{
    void *ptr = sp_wipe_calloc(count, size);
    if (ptr || (size && count > BLOCK_BYTES / size)) {
        return ptr;
    }
    return take(count * size); /* a free block is all zero */
}

void *sp_curl_realloc(void *ptr, size_t size)
{
    if (!is_ours(ptr)) {
        return sp_wipe_realloc(ptr, size);
    }
    if (size <= BLOCK_BYTES) {
        return ptr;
    }
    void *moved = sp_wipe_malloc(size);
    if (moved) {
        memcpy(moved, ptr, BLOCK_BYTES);
        sp_curl_free(ptr);
    }
    return moved;
}

char *sp_curl_strdup(const char *string)
{
    size_t len = strlen(string) + 1;
    char *copy = sp_curl_malloc(len);
    if (copy) {
        memcpy(copy, string, len);
    }
    return copy;
}

void sp_curl_free(void *ptr)
{
    if (!is_ours(ptr)) {
        sp_wipe_free(ptr);
        return;
    }
    size_t i = (size_t)((uintptr_t)ptr - (uintptr_t)blocks) / BLOCK_BYTES;
    sodium_memzero(blocks[i], BLOCK_BYTES);
    atomic_fetch_and(&taken, ~(UINT64_C(1) << i));
}
