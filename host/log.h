/* sp_log: structured logs, one line an event, on standard error.
 *
 * Text form: `time level event name=value …`; JSON form: one object. Values from outside are
 * escaped in both. No secret, token or body is ever passed to it. Loop thread and start-up.
 */
#ifndef SP_LOG_H
#define SP_LOG_H

#include "text.h"

#include <stdbool.h>
#include <stdint.h>

enum sp_log_level { SP_LOG_DEBUG, SP_LOG_INFO, SP_LOG_WARNING, SP_LOG_ERROR };

struct sp_log {
    int fd;
    bool json;
    enum sp_log_level level; /* less is not written */
};

struct sp_log_field {
    const char *name;
    struct sp_text value;
};

/* SP_LOG(log, SP_LOG_INFO, "key.added", {"key", id}, {"provider", p}) */
void sp_log_write(const struct sp_log *log, enum sp_log_level level, const char *event,
                  const struct sp_log_field *fields, size_t n_fields);
#define SP_LOG(log, level, event, ...)                                                         \
    sp_log_write((log), (level), (event), (const struct sp_log_field[]){__VA_ARGS__},          \
                 sizeof((const struct sp_log_field[]){__VA_ARGS__}) /                          \
                     sizeof(struct sp_log_field))

#endif
