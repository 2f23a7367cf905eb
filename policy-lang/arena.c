#include "arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

enum { BLOCK_MIN_BYTES = 4096, ALIGNMENT = alignof(max_align_t) };

struct sp_arena_block {
    struct sp_arena_block *next;
    size_t room, used;
    alignas(max_align_t) char bytes[];
};

void sp_arena_init(struct sp_arena *arena, size_t cap_bytes)
{
    /* Half of the address space, so that no sum below wraps. */
    *arena =
        (struct sp_arena){.cap_bytes = cap_bytes < SIZE_MAX / 2 ? cap_bytes : SIZE_MAX / 2};
}

static struct sp_arena_block *block_add(struct sp_arena *arena, size_t size)
{
    size_t room = size > BLOCK_MIN_BYTES ? size : BLOCK_MIN_BYTES;
    struct sp_arena_block *block = malloc(sizeof *block + room);
    if (!block) {
        return NULL;
    }
    block->next = NULL;
    block->room = room;
    block->used = 0;
    if (arena->current) {
        arena->current->next = block;
    } else {
        arena->first = block;
    }
    arena->current = block;
    return block;
}

void *sp_arena_alloc(struct sp_arena *arena, size_t size)
{
    if (size > arena->cap_bytes || arena->cap_bytes - size < arena->used_bytes + ALIGNMENT) {
        return NULL;
    }
    size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    struct sp_arena_block *block = arena->current;
    if (!block || block->room - block->used < size) {
        block = block_add(arena, size);
        if (!block) {
            return NULL;
        }
    }
    void *memory = block->bytes + block->used;
    block->used += size;
    arena->used_bytes += size;
    return memset(memory, 0, size);
}

void *sp_arena_array(struct sp_arena *arena, size_t count, size_t size)
{
    if (size > 0 && count > SIZE_MAX / size) {
        return NULL;
    }
    return sp_arena_alloc(arena, count * size);
}

struct sp_text sp_arena_copy(struct sp_arena *arena, struct sp_text text)
{
    char *copy = text.len < SIZE_MAX ? sp_arena_alloc(arena, text.len + 1) : NULL;
    if (!copy) {
        return (struct sp_text){NULL, 0};
    }
    if (text.len > 0) {
        memcpy(copy, text.ptr, text.len);
    }
    return (struct sp_text){copy, text.len};
}

static void blocks_free(struct sp_arena_block *block)
{
    while (block) {
        struct sp_arena_block *next = block->next;
        free(block);
        block = next;
    }
}

void sp_arena_reset(struct sp_arena *arena)
{
    if (arena->first) {
        blocks_free(arena->first->next);
        arena->first->next = NULL;
        arena->first->used = 0;
    }
    arena->current = arena->first;
    arena->used_bytes = 0;
}

void sp_arena_done(struct sp_arena *arena)
{
    blocks_free(arena->first);
    *arena = (struct sp_arena){.cap_bytes = arena->cap_bytes};
}
