#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t read_ms(clockid_t id)
{
    struct timespec now;
    (void)clock_gettime(id, &now); /* cannot fail for these clocks; a vDSO call */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t sp_wall_ms(void)
{
    return read_ms(CLOCK_REALTIME);
}

static int64_t wall_ms(void *user)
{
    (void)user;
    return sp_wall_ms();
}

static int64_t boot_ms(void *user)
{
    (void)user;
    return read_ms(CLOCK_BOOTTIME);
}

sp_status sp_clock_system(struct sp_clock *ret_clock, struct sp_error *err)
{
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    struct sp_clock clock = {.wall_ms = wall_ms, .boot_ms = boot_ms};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, clock.boot_id, 36);
    if (fd >= 0) {
        (void)close(fd);
    }
    if (n != 36) {
        return sp_fail(err, SP_EIO, "%s: %s", path, n < 0 ? strerror(errno) : "too short");
    }
    *ret_clock = clock;
    return SP_OK;
}

void sp_time_print(int64_t wall, char ret_text[SP_TIME_BYTES])
{
    time_t seconds = (time_t)(wall / 1000);
    struct tm tm;
    memset(&tm, 0, sizeof tm);
    (void)gmtime_r(&seconds, &tm);
    char date[SP_TIME_BYTES];
    size_t n = strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    if (n != 19 || wall < 0) { /* past the year 9999, or before 1970: no time of ours */
        (void)snprintf(ret_text, SP_TIME_BYTES, "0000-00-00T00:00:00.000Z");
        return;
    }
    (void)snprintf(ret_text, SP_TIME_BYTES, "%.19s.%03uZ", date, (unsigned)(wall % 1000));
}
