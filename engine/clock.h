/* sp_clock: the two clocks of a token's life, behind one table so that tests can move them.
 * Within one boot, life is counted by CLOCK_BOOTTIME, which nobody can set and which goes on in
 * suspend; across boots by wall time. */
#ifndef SP_CLOCK_H
#define SP_CLOCK_H

#include "status.h"

#include <stdint.h>

struct sp_clock {
    void *user;
    int64_t (*wall_ms)(void *user); /* Unix time, milliseconds (CLOCK_REALTIME) */
    int64_t (*boot_ms)(void *user); /* milliseconds since boot (CLOCK_BOOTTIME) */
    char boot_id[37];               /* /proc/sys/kernel/random/boot_id: names this boot */
};

/* The system's own, where nothing has to be moved: Unix time, milliseconds. */
int64_t sp_wall_ms(void);

sp_status sp_clock_system(struct sp_clock *ret_clock, struct sp_error *err);

/* "2026-11-23T06:36:49.123Z" (RFC 3339), 24 bytes and a NUL. */
enum { SP_TIME_BYTES = 25 };
void sp_time_print(int64_t wall_ms, char ret_text[SP_TIME_BYTES]);

#endif
