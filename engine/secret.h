/* sp_pool, sp_secret: plaintext keys live here and nowhere else.
 *
 * A pool is one sodium_malloc region (guard pages, locked, not dumped) cut into slots, so that
 * a hundred keys cost no hundred mlock calls. A secret occupies a run of slots and is wiped
 * when it is freed. Any thread may allocate and free; reading is the owner's business. */
#ifndef SP_SECRET_H
#define SP_SECRET_H

#include "status.h"
#include "text.h"

#include <stdbool.h>

struct sp_pool;

struct sp_secret {
    struct sp_pool *pool;
    unsigned char *ptr;
    size_t len;
};

enum { SP_SECRET_MAX_BYTES = 16384 }; /* a PEM private key is some 3 KiB */

sp_status sp_pool_new(size_t cap_bytes, struct sp_pool **ret_pool, struct sp_error *err);
/* False where mlock failed (RLIMIT_MEMLOCK): secrets may reach swap; status reports it. */
bool sp_pool_locked(const struct sp_pool *pool);
/* Aborts if a secret is still alive: that is our own bug. */
void sp_pool_free(struct sp_pool *pool);

/* len zeroed bytes. SP_ETOOBIG, or SP_ENOMEM where the pool is full. */
sp_status sp_secret_new(struct sp_pool *pool, size_t len, struct sp_secret *ret_secret);
/* Wipes; copes with a zeroed struct; zeroes the struct. */
void sp_secret_free(struct sp_secret *secret);

static inline struct sp_text sp_secret_text(const struct sp_secret *secret)
{
    return (struct sp_text){(const char *)secret->ptr, secret->len};
}

#endif
