#include "rate.h"

#include <stdlib.h>
#include <string.h>

enum { TABLE_MIN = 256 };

/* One bucket. Without burst: a ring of the last admissions, as many as the largest N asked of
 * it. With burst: the theoretical arrival time of GCRA, in microseconds. */
struct bucket {
    uint8_t id[16];
    int64_t *ring;
    size_t room, n, newest; /* ring[newest] is the last admission */
    int64_t arrival_us;
    int64_t newest_ms; /* with burst: the last admission; INT64_MIN: none yet */
    int64_t idle_ms;   /* when it will be as good as new */
    struct bucket *next;
};

struct sp_rates {
    struct bucket **table;
    size_t n_table, n_buckets, max_buckets;
    size_t sweep; /* where the next clean-up begins */
    uint8_t key[crypto_shorthash_KEYBYTES];
};

sp_status sp_rates_new(size_t max_buckets, struct sp_rates **ret_rates)
{
    struct sp_rates *rates = calloc(1, sizeof *rates);
    size_t n_table = TABLE_MIN;
    while (n_table < max_buckets && n_table < (size_t)1 << 20) {
        n_table *= 2;
    }
    struct bucket **table = calloc(n_table, sizeof *table);
    if (!rates || !table) {
        free(rates);
        free(table);
        return SP_ENOMEM;
    }
    rates->table = table;
    rates->n_table = n_table;
    rates->max_buckets = max_buckets;
    randombytes_buf(rates->key, sizeof rates->key);
    *ret_rates = rates;
    return SP_OK;
}

static void bucket_free(struct bucket *bucket)
{
    free(bucket->ring);
    free(bucket);
}

void sp_rates_free(struct sp_rates *rates)
{
    if (!rates) {
        return;
    }
    for (size_t i = 0; i < rates->n_table; i++) {
        while (rates->table[i]) {
            struct bucket *bucket = rates->table[i];
            rates->table[i] = bucket->next;
            bucket_free(bucket);
        }
    }
    free(rates->table);
    free(rates);
}

static struct bucket **place_of(struct sp_rates *rates, const uint8_t id[16])
{
    uint64_t hash;
    (void)crypto_shorthash((uint8_t *)&hash, id, 16, rates->key);
    struct bucket **place = &rates->table[hash & (rates->n_table - 1)];
    while (*place && memcmp((*place)->id, id, 16) != 0) {
        place = &(*place)->next;
    }
    return place;
}

/* Forget what is as good as new in a few chains; over many calls, in all of them. */
static void sweep(struct sp_rates *rates, int64_t now_ms)
{
    for (size_t i = 0; i < 8; i++) {
        struct bucket **place = &rates->table[rates->sweep++ & (rates->n_table - 1)];
        while (*place) {
            struct bucket *bucket = *place;
            if (bucket->idle_ms <= now_ms) {
                *place = bucket->next;
                bucket_free(bucket);
                rates->n_buckets--;
            } else {
                place = &bucket->next;
            }
        }
    }
}

static struct bucket *bucket_get(struct sp_rates *rates, const uint8_t id[16], int64_t now_ms)
{
    struct bucket **place = place_of(rates, id);
    if (*place) {
        return *place;
    }
    sweep(rates, now_ms);
    if (rates->n_buckets == rates->max_buckets) {
        return NULL;
    }
    struct bucket *bucket = calloc(1, sizeof *bucket);
    if (bucket) {
        memcpy(bucket->id, id, 16);
        bucket->arrival_us = bucket->newest_ms = INT64_MIN;
        place = place_of(rates, id); /* the sweep may have changed the chain */
        bucket->next = *place;
        *place = bucket;
        rates->n_buckets++;
    }
    return bucket;
}

/* Room for at least n admissions, keeping the newest ones. */
static sp_status ring_grow(struct bucket *bucket, size_t n)
{
    if (bucket->room >= n) {
        return SP_OK;
    }
    int64_t *ring = calloc(n, sizeof *ring);
    if (!ring) {
        return SP_ENOMEM;
    }
    for (size_t i = 0; i < bucket->n; i++) { /* oldest first */
        ring[i] =
            bucket->ring[(bucket->newest + bucket->room - (bucket->n - 1) + i) % bucket->room];
    }
    free(bucket->ring);
    bucket->ring = ring;
    bucket->room = n;
    bucket->newest = bucket->n ? bucket->n - 1 : n - 1;
    return SP_OK;
}

/* Microseconds between two admissions at the even pace of the rate, rounded up. */
static int64_t interval_us(struct sp_rate rate)
{
    return (int64_t)((rate.window_ms * 1000 + rate.count - 1) / rate.count);
}

/* How long until one more is admitted; 0: now. */
static uint64_t wait_of(const struct bucket *bucket, struct sp_rate rate, int64_t now_ms)
{
    if (rate.burst) {
        int64_t slack_us = interval_us(rate) * (int64_t)(rate.burst - 1);
        if (bucket->arrival_us == INT64_MIN || bucket->arrival_us - slack_us <= now_ms * 1000) {
            return 0;
        }
        return (uint64_t)(bucket->arrival_us - slack_us - now_ms * 1000 + 999) / 1000;
    }
    size_t room = bucket->room; /* at least rate.count, which is not 0 */
    if (bucket->n < rate.count) {
        return 0;
    }
    /* The N-th last admission: the window is free again once that one has left it. */
    /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): room is not 0, as was just said */
    int64_t nth = bucket->ring[(bucket->newest + room - (rate.count - 1)) % room];
    /* One more millisecond, since both times are cut to whole ones. */
    int64_t free_ms = nth + (int64_t)rate.window_ms + 1;
    return free_ms <= now_ms ? 0 : (uint64_t)(free_ms - now_ms);
}

static void take_one(struct bucket *bucket, struct sp_rate rate, int64_t now_ms)
{
    int64_t idle_ms;
    if (rate.burst) {
        int64_t now_us = (now_ms + 1) * 1000; /* not before: now_ms is cut */
        int64_t base = bucket->arrival_us > now_us ? bucket->arrival_us : now_us;
        bucket->arrival_us = base + interval_us(rate);
        bucket->newest_ms = now_ms;
        idle_ms = bucket->arrival_us / 1000 + 1;
    } else {
        bucket->newest = (bucket->newest + 1) % bucket->room;
        bucket->ring[bucket->newest] = now_ms;
        bucket->n += bucket->n < bucket->room;
        idle_ms = now_ms + (int64_t)rate.window_ms + 1;
    }
    bucket->idle_ms = idle_ms > bucket->idle_ms ? idle_ms : bucket->idle_ms;
}

sp_status sp_rates_admit(struct sp_rates *rates, const struct sp_rate_use *uses, size_t n_uses,
                         int64_t now_ms, bool take, uint64_t *ret_wait_ms, size_t *ret_which)
{
    uint64_t longest = 0;
    size_t which = 0;
    for (size_t i = 0; i < n_uses; i++) {
        struct bucket *bucket = bucket_get(rates, uses[i].bucket, now_ms);
        if (!bucket) {
            return SP_EBUSY;
        }
        /* a bucket that nobody has taken from yet is forgotten by the next sweep but one */
        bucket->idle_ms = bucket->idle_ms > now_ms ? bucket->idle_ms : now_ms + 1;
        if (!uses[i].rate.burst && ring_grow(bucket, uses[i].rate.count)) {
            return SP_ENOMEM;
        }
        uint64_t wait = wait_of(bucket, uses[i].rate, now_ms);
        if (wait > longest) {
            longest = wait;
            which = i;
        }
    }
    if (longest > 0) {
        *ret_wait_ms = longest;
        *ret_which = which;
        return SP_EDENIED;
    }
    for (size_t i = 0; take && i < n_uses; i++) {
        take_one(*place_of(rates, uses[i].bucket), uses[i].rate, now_ms);
    }
    return SP_OK;
}

/* Give back what is still there of one admission. Those that came later would have found the
 * bucket emptier without it, by at most its interval less the time until the last of them; that
 * is nothing where the bucket was empty, or forgotten and made anew, in the meantime. */
static void return_burst(struct bucket *bucket, struct sp_rate rate, int64_t taken_ms)
{
    if (bucket->newest_ms < taken_ms) {
        return;
    }
    int64_t left_us = interval_us(rate) - (bucket->newest_ms - taken_ms) * 1000;
    if (left_us > 0) {
        bucket->arrival_us -= left_us;
    }
}

void sp_rates_return(struct sp_rates *rates, const struct sp_rate_use *uses, size_t n_uses,
                     int64_t taken_ms)
{
    for (size_t u = 0; u < n_uses; u++) {
        struct bucket *bucket = *place_of(rates, uses[u].bucket);
        if (!bucket) {
            continue;
        }
        if (uses[u].rate.burst) {
            return_burst(bucket, uses[u].rate, taken_ms);
            continue;
        }
        /* Find one taken at that time and close the gap from the newer side. */
        for (size_t age = 0; age < bucket->n; age++) {
            size_t at = (bucket->newest + bucket->room - age) % bucket->room;
            if (bucket->ring[at] != taken_ms) {
                continue;
            }
            for (; age > 0; age--) {
                size_t newer = (at + 1) % bucket->room;
                bucket->ring[at] = bucket->ring[newer];
                at = newer;
            }
            bucket->newest = (bucket->newest + bucket->room - 1) % bucket->room;
            bucket->n--;
            break;
        }
    }
}
