#include "shares.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 256 }; /* far more than clients that are busy at a time */

struct sp_share {
    char id[SP_SHARE_ID_MAX];
    size_t id_len, n_taken;
    struct sp_share *next; /* in its bucket, or among the unused ones */
};

struct sp_shares {
    size_t each;
    struct sp_share *unused;
    struct sp_share *buckets[BUCKETS];
    struct sp_share all[];
};

/* Where it is, or where it would stand. Ids are random or somebody's public key; who makes many
 * that fall into one bucket makes a list that is no longer than clients_max. */
static struct sp_share **find(struct sp_shares *shares, struct sp_text id)
{
    unsigned hash = 5381;
    for (size_t i = 0; i < id.len; i++) {
        hash = hash * 33 + (unsigned char)id.ptr[i];
    }
    struct sp_share **place = &shares->buckets[hash % BUCKETS];
    while (*place && !sp_text_eq((struct sp_text){(*place)->id, (*place)->id_len}, id)) {
        place = &(*place)->next;
    }
    return place;
}

sp_status sp_shares_new(size_t each, size_t clients_max, struct sp_shares **ret_shares)
{
    struct sp_shares *shares =
        clients_max > (SIZE_MAX - sizeof *shares) / sizeof *shares->all
            ? NULL
            : calloc(1, sizeof *shares + clients_max * sizeof *shares->all);
    if (!shares) {
        return SP_ENOMEM;
    }
    shares->each = each;
    for (size_t i = 0; i < clients_max; i++) {
        shares->all[i].next = shares->unused;
        shares->unused = &shares->all[i];
    }
    *ret_shares = shares;
    return SP_OK;
}

void sp_shares_free(struct sp_shares *shares)
{
    free(shares);
}

struct sp_share *sp_share_take(struct sp_shares *shares, struct sp_text id)
{
    assert(id.len > 0 && id.len <= SP_SHARE_ID_MAX);
    struct sp_share **place = find(shares, id), *share = *place;
    if (!share) {
        share = shares->unused;
        if (!share) {
            return NULL;
        }
        shares->unused = share->next;
        *share = (struct sp_share){.id_len = id.len};
        memcpy(share->id, id.ptr, id.len);
        *place = share;
    }
    share->n_taken++;
    return share;
}

bool sp_share_is_over(const struct sp_shares *shares, const struct sp_share *share)
{
    return share->n_taken > shares->each;
}

void sp_share_give(struct sp_shares *shares, struct sp_share *share)
{
    if (!share || --share->n_taken > 0) {
        return;
    }
    *find(shares, (struct sp_text){share->id, share->id_len}) = share->next;
    share->next = shares->unused;
    shares->unused = share;
}
