/* sp_arena: memory that is given back all at once. One arena carries one policy, or one
 * request.
 *
 * An arena has a cap from birth, so hostile input can make it fail but not grow. It is used by
 * one thread at a time. Memory from it is aligned for any type and is not zeroed by reset.
 */
#ifndef SP_ARENA_H
#define SP_ARENA_H

#include "text.h"

#include <stddef.h>

struct sp_arena_block;

struct sp_arena {
    struct sp_arena_block *first, *current;
    size_t used_bytes; /* handed out since the last reset, over all blocks */
    size_t cap_bytes;
};

/* Cannot fail: the first block comes with the first allocation. */
void sp_arena_init(struct sp_arena *arena, size_t cap_bytes);

/* Zeroed memory, or NULL past the cap or out of memory. size may be 0. */
void *sp_arena_alloc(struct sp_arena *arena, size_t size);

/* Zeroed memory for count objects; NULL also where count * size overflows. */
void *sp_arena_array(struct sp_arena *arena, size_t count, size_t size);

/* A NUL-terminated copy of text (the NUL is not counted); .ptr is NULL on failure. */
struct sp_text sp_arena_copy(struct sp_arena *arena, struct sp_text text);

/* Forget everything but keep the first block for the next use. */
void sp_arena_reset(struct sp_arena *arena);

void sp_arena_done(struct sp_arena *arena);

#endif
