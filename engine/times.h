/* sp_times: how long something took, over and over, as a histogram that a monitor reads.
 * Whoever adds to one says its bounds, in microseconds and rising; the last is UINT64_MAX. */
#ifndef SP_TIMES_H
#define SP_TIMES_H

#include <stddef.h>
#include <stdint.h>

enum { SP_TIMES_BUCKETS = 12 };

struct sp_times { /* zeroed: empty; counts[i]: at most bounds[i], and more than the one before
                   */
    uint64_t counts[SP_TIMES_BUCKETS], n, sum_us;
};

static inline void sp_times_add(struct sp_times *times, const uint64_t bounds[SP_TIMES_BUCKETS],
                                uint64_t us)
{
    size_t i = 0;
    while (us > bounds[i]) {
        i++;
    }
    times->counts[i]++;
    times->n++;
    times->sum_us += us;
}

#endif
