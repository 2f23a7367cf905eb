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

enum {
    SP_PATH_MAX_BYTES = 1024,
    SP_CONFIG_HTTP_MAX = 8, /* listeners */
    SP_CONFIG_NAME_MAX_BYTES = 64,
};

/* [http NAME]: one listener of the HTTP front door. There is none by default. */
struct sp_config_http {
    char name[SP_CONFIG_NAME_MAX_BYTES];
    char listen[SP_PATH_MAX_BYTES]; /* 127.0.0.1:7251, [::1]:7251, unix:/PATH */
    bool by_token;                  /* mode = token: the token's scope names the provider */
    bool forward;                   /* mode = forward: a proxy */
    bool health;                    /* mode = health: what monitors ask, and nothing else */
    char provider[SP_CONFIG_NAME_MAX_BYTES]; /* mode = provider NAME; else empty: prefixed */
    char tls_cert[SP_PATH_MAX_BYTES], tls_key[SP_PATH_MAX_BYTES]; /* "": no TLS */
};

struct sp_config {
    char user[SP_PATH_MAX_BYTES]; /* "": sallyport, where root starts it (privilege.h) */
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
    uint64_t upstream_connect_ms, upstream_total_ms, upstream_idle_ms;
    uint64_t response_max_bytes;
    uint64_t upstream_slots, upstream_slots_per_key;
    uint64_t ttl_default_ms, ttl_max_ms;
    uint64_t audit_rotate_bytes;
    uint64_t drain_ms;         /* SIGTERM: how long calls in flight may take */
    uint64_t memory_max_bytes; /* RLIMIT_AS of the process; 0: none */
    struct sp_config_http http[SP_CONFIG_HTTP_MAX];
    size_t n_http;
    uint64_t http_connections;
    uint64_t http_held_bytes; /* requests and answers, over all connections */
    uint64_t http_idle_ms, http_grace_ms;
    uint64_t
        http_body_max_bytes; /* of a request's body that is handed on as it comes; 0: none */
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
