/* sp_rates: who called how often. In memory, on CLOCK_BOOTTIME milliseconds, loop thread only.
 *
 * `N/min` admits at most N in any 60 s (a ring of the last N admissions). With `burst B` it is
 * GCRA (ITU-T I.371): in any window T at most B + N*T/window. Buckets are named by a hash that
 * the caller makes of (principal, scope, label); admissions of a call are taken from all its
 * buckets or from none. Empty buckets are forgotten. At start the engine replays the last
 * minute of the audit, so that a crash is no fresh allowance.
 */
#ifndef SP_RATE_H
#define SP_RATE_H

#include "crypto.h"
#include "policy.h"

struct sp_rates;

struct sp_rate_use {
    uint8_t bucket[16];
    struct sp_rate rate;
};

sp_status sp_rates_new(size_t max_buckets, struct sp_rates **ret_rates);
void sp_rates_free(struct sp_rates *rates);

/* Whether every bucket admits one more at now_ms; if so and take is set, take it from all. If
 * not: *ret_wait_ms is the time until it would, *ret_which the index of the bucket that says no
 * longest. SP_OK, SP_EDENIED, SP_ENOMEM or SP_EBUSY (too many buckets): refuse on all but OK.
 */
sp_status sp_rates_admit(struct sp_rates *rates, const struct sp_rate_use *uses, size_t n_uses,
                         int64_t now_ms, bool take, uint64_t *ret_wait_ms, size_t *ret_which);
/* Give one admission back where the call was never made (its intent could not be written). */
void sp_rates_return(struct sp_rates *rates, const struct sp_rate_use *uses, size_t n_uses,
                     int64_t taken_ms);

#endif
