#include "secret.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

enum { SLOT_BYTES = 64 };

struct sp_pool {
    pthread_mutex_t lock;
    unsigned char *memory;
    size_t n_slots, n_used;
    bool locked;
    unsigned char taken[]; /* one for each slot */
};

sp_status sp_pool_new(size_t cap_bytes, struct sp_pool **ret_pool, struct sp_error *err)
{
    size_t n_slots = (cap_bytes + SLOT_BYTES - 1) / SLOT_BYTES;
    struct sp_pool *pool = calloc(1, sizeof *pool + n_slots);
    if (pool) {
        pool->memory = sodium_malloc(n_slots * SLOT_BYTES);
    }
    if (!pool || !pool->memory) {
        free(pool);
        return sp_fail(err, SP_ENOMEM, "no memory for secrets (%zu bytes)", cap_bytes);
    }
    pool->n_slots = n_slots;
    /* sodium_malloc locks but does not say whether it could; asking again is harmless. */
    pool->locked = sodium_mlock(pool->memory, n_slots * SLOT_BYTES) == 0;
    sodium_memzero(pool->memory, n_slots * SLOT_BYTES);
    (void)pthread_mutex_init(&pool->lock, NULL);
    *ret_pool = pool;
    return SP_OK;
}

bool sp_pool_locked(const struct sp_pool *pool)
{
    return pool->locked;
}

void sp_pool_free(struct sp_pool *pool)
{
    if (!pool) {
        return;
    }
    if (pool->n_used > 0) { /* not an assert: release builds shall see it, too */
        abort();
    }
    sodium_free(pool->memory);
    (void)pthread_mutex_destroy(&pool->lock);
    free(pool);
}

/* First fit: the first run of n free slots, or n_slots where there is none. */
static size_t find_run(const struct sp_pool *pool, size_t n)
{
    size_t run = 0;
    for (size_t i = 0; i < pool->n_slots; i++) {
        run = pool->taken[i] ? 0 : run + 1;
        if (run == n) {
            return i + 1 - n;
        }
    }
    return pool->n_slots;
}

static size_t slots_of(size_t len)
{
    return len ? (len + SLOT_BYTES - 1) / SLOT_BYTES : 1;
}

static void mark(struct sp_pool *pool, size_t first, size_t n, unsigned char taken)
{
    for (size_t i = first; i < first + n; i++) {
        pool->taken[i] = taken;
    }
    pool->n_used = taken ? pool->n_used + n : pool->n_used - n;
}

sp_status sp_secret_new(struct sp_pool *pool, size_t len, struct sp_secret *ret_secret)
{
    if (len > SP_SECRET_MAX_BYTES) {
        return SP_ETOOBIG;
    }
    size_t n = slots_of(len);
    (void)pthread_mutex_lock(&pool->lock);
    size_t first = find_run(pool, n);
    bool found = first < pool->n_slots;
    if (found) {
        mark(pool, first, n, 1);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    if (!found) {
        return SP_ENOMEM;
    }
    *ret_secret = (struct sp_secret){pool, pool->memory + first * SLOT_BYTES, len};
    return SP_OK;
}

void sp_secret_free(struct sp_secret *secret)
{
    struct sp_pool *pool = secret->pool;
    if (secret->ptr) {
        size_t n = slots_of(secret->len);
        sodium_memzero(secret->ptr, n * SLOT_BYTES);
        (void)pthread_mutex_lock(&pool->lock);
        mark(pool, (size_t)(secret->ptr - pool->memory) / SLOT_BYTES, n, 0);
        (void)pthread_mutex_unlock(&pool->lock);
    }
    *secret = (struct sp_secret){NULL, NULL, 0};
}
