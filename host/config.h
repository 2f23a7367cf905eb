/* sp_config: what an operator may set, read once at start from an INI file (libinih).
 *
 * Every value has a default, so an empty file is a good one. Relative paths are relative to the
 * file's folder, which is also the default state folder. An unknown section or name is an error
 * with its line: a misspelt limit must not silently be the default.
 */
#ifndef SP_CONFIG_H
#define SP_CONFIG_H

#include "log.h"
#include "status.h"

#include <stdint.h>

enum { SP_PATH_MAX_BYTES = 1024 };

struct sp_config {
    char state_dir[SP_PATH_MAX_BYTES];
    char policy_dir[SP_PATH_MAX_BYTES];
    char plugin_dir[SP_PATH_MAX_BYTES];
    bool plugins_in_process;                 /* else each in a worker (host/worker/) */
    char client_endpoint[SP_PATH_MAX_BYTES]; /* ZeroMQ: tcp://127.0.0.1:7250 */
    char admin_endpoint[SP_PATH_MAX_BYTES];  /* ipc://STATE/admin.sock */
    char key_file[SP_PATH_MAX_BYTES];        /* unseals at start where it exists; "" = manual */
    char ca_file[SP_PATH_MAX_BYTES];         /* "" = the system's authorities */
    enum sp_log_level log_level;
    bool log_json;
    uint64_t message_max_bytes;
    uint64_t calls_max; /* requests under way, over all clients */
    uint64_t calls_max_per_client;
    uint64_t upstream_connect_ms, upstream_total_ms;
    uint64_t response_max_bytes;
    uint64_t upstream_slots, upstream_slots_per_key;
    uint64_t ttl_default_ms, ttl_max_ms;
    uint64_t audit_rotate_bytes;
    uint64_t drain_ms;         /* SIGTERM: how long calls in flight may take */
    uint64_t memory_max_bytes; /* RLIMIT_AS of the process; 0: none */
};

/* path: the file; its folder becomes the base of relative paths. */
sp_status sp_config_read(const char *path, struct sp_config *ret_config, struct sp_error *err);

/* Where plugins are installed: plugin_dir, where nothing else is said. */
extern const char sp_config_plugin_dir[];

/* What `sallyport init` writes: every setting, commented out, with its default. */
extern const char sp_config_template[];

/* "4h", "30s", "250ms", "2d", or a whole number of seconds. */
sp_status sp_duration_parse(const char *text, uint64_t *ret_ms);
/* "64M", "8K", "1G", or bytes. */
sp_status sp_size_parse(const char *text, uint64_t *ret_bytes);

#endif
