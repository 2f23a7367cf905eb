#include "log.h"

#include "buf.h"
#include "clock.h"

#include <unistd.h>

static const char *level_name(enum sp_log_level level)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    return names[level];
}

void sp_log_write(const struct sp_log *log, enum sp_log_level level, const char *event,
                  const struct sp_log_field *fields, size_t n_fields)
{
    if (level < log->level) {
        return;
    }
    char time[SP_TIME_BYTES];
    sp_time_print(sp_wall_ms(), time);
    struct sp_buf line;
    sp_buf_init(&line, 16384);
    sp_buf_addf(&line,
                log->json ? "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"" : "%s %s %s",
                time, level_name(level), event);
    for (size_t i = 0; i < n_fields; i++) {
        if (log->json) {
            sp_buf_addf(&line, ",\"%s\":", fields[i].name);
        } else {
            sp_buf_addf(&line, " %s=", fields[i].name);
        }
        sp_buf_add_json(&line, fields[i].value);
    }
    sp_buf_add_str(&line, log->json ? "}\n" : "\n");
    if (!line.failed && line.len > 0) {
        /* A log that cannot be written must not stop the host. */
        ssize_t ignored = write(log->fd, line.ptr, line.len);
        (void)ignored;
    }
    sp_buf_done(&line);
}
