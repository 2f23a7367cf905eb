#include "load.h"

enum { EXACT = 2048 }; /* below it a bucket is a microsecond */

void load_times_add(struct load_times *times, uint64_t took_us)
{
    unsigned shift = 0;
    took_us = took_us > UINT32_MAX ? UINT32_MAX : took_us;
    while (took_us >> shift >= EXACT) {
        shift++;
    }
    times->buckets[(shift << 10) + (unsigned)(took_us >> shift)]++;
    times->n++;
}

uint64_t load_times_at(const struct load_times *times, unsigned per_mille)
{
    const size_t n_buckets = sizeof times->buckets / sizeof *times->buckets;
    uint64_t before = times->n * per_mille / 1000;
    for (size_t i = 0; times->n > 0 && i < n_buckets; i++) {
        if (times->buckets[i] > before) {
            /* From the second row on, a row's first half is never used. */
            size_t shift = i < EXACT ? 0 : (i >> 10) - 1;
            return (uint64_t)(i - (shift << 10)) << shift;
        }
        before -= times->buckets[i];
    }
    return 0;
}
