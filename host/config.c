#include "config.h"

#include <errno.h>
#include <ini.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef SALLYPORT_PLUGIN_DIR
#define SALLYPORT_PLUGIN_DIR "/usr/lib/sallyport/plugins"
#endif

enum setting_type {
    TYPE_PATH,
    TYPE_TEXT,
    TYPE_DURATION,
    TYPE_SIZE,
    TYPE_COUNT,
    TYPE_LEVEL,
    TYPE_FORMAT,
    TYPE_LISTEN,
    TYPE_MODE,
    TYPE_ISOLATION
};

struct setting {
    const char *section, *name;
    enum setting_type type;
    size_t offset;
    const char *fallback;
};

#define AT(field) offsetof(struct sp_config, field)

static const struct setting settings[] = {
    {"host", "user", TYPE_TEXT, AT(user), ""},
    {"host", "state_dir", TYPE_PATH, AT(state_dir), "."},
    {"host", "policy_dir", TYPE_PATH, AT(policy_dir), "policy"},
    {"host", "plugin_dir", TYPE_PATH, AT(plugin_dir), SALLYPORT_PLUGIN_DIR},
    {"host", "plugin_isolation", TYPE_ISOLATION, AT(plugins_in_process), "worker"},
    {"host", "client_endpoint", TYPE_TEXT, AT(client_endpoint), "tcp://127.0.0.1:7250"},
    {"host", "admin_endpoint", TYPE_TEXT, AT(admin_endpoint), ""},
    {"host", "key_file", TYPE_PATH, AT(key_file), "unseal.key"},
    {"host", "drain", TYPE_DURATION, AT(drain_ms), "10s"},
    {"log", "level", TYPE_LEVEL, AT(log_level), "info"},
    {"log", "format", TYPE_FORMAT, AT(log_json), "text"},
    {"limits", "message_max", TYPE_SIZE, AT(message_max_bytes), "16M"},
    {"limits", "calls", TYPE_COUNT, AT(calls_max), "1024"},
    {"limits", "calls_per_client", TYPE_COUNT, AT(calls_max_per_client), "256"},
    {"limits", "http_connections", TYPE_COUNT, AT(http_connections), "1024"},
    {"limits", "http_held", TYPE_SIZE, AT(http_held_bytes), "256M"},
    {"limits", "http_body_max", TYPE_SIZE, AT(http_body_max_bytes), "0"},
    {"limits", "http_idle", TYPE_DURATION, AT(http_idle_ms), "60s"},
    {"limits", "http_grace", TYPE_DURATION, AT(http_grace_ms), "10s"},
    {"limits", "memory_max", TYPE_SIZE, AT(memory_max_bytes), "4G"},
    {"limits", "ttl_default", TYPE_DURATION, AT(ttl_default_ms), "1h"},
    {"limits", "ttl_max", TYPE_DURATION, AT(ttl_max_ms), "24h"},
    {"upstream", "connect", TYPE_DURATION, AT(upstream_connect_ms), "5s"},
    {"upstream", "total", TYPE_DURATION, AT(upstream_total_ms), "60s"},
    {"upstream", "stream_idle", TYPE_DURATION, AT(upstream_idle_ms), "5m"},
    {"upstream", "response_max", TYPE_SIZE, AT(response_max_bytes), "8M"},
    {"upstream", "slots", TYPE_COUNT, AT(upstream_slots), "256"},
    {"upstream", "slots_per_key", TYPE_COUNT, AT(upstream_slots_per_key), "64"},
    {"upstream", "ca_file", TYPE_PATH, AT(ca_file), ""},
    {"audit", "rotate", TYPE_SIZE, AT(audit_rotate_bytes), "64M"},
};

const char sp_config_plugin_dir[] = SALLYPORT_PLUGIN_DIR;

/* Of a section [http NAME]. */
#define HTTP_AT(field) offsetof(struct sp_config_http, field)

static const struct setting http_settings[] = {
    {"http", "listen", TYPE_LISTEN, HTTP_AT(listen), ""},
    {"http", "mode", TYPE_MODE, 0, "prefixed"},
    {"http", "tls_cert", TYPE_PATH, HTTP_AT(tls_cert), ""},
    {"http", "tls_key", TYPE_PATH, HTTP_AT(tls_key), ""},
};

const char sp_config_template[] =
    "# sallyport: settings of one host. Every line shows the default; remove the '#' to "
    "change\n"
    "# it. Relative paths are relative to this file's folder. Durations: 250ms 30s 5m 4h 2d;\n"
    "# sizes: 8K 64M 1G. See sallyport.conf(5).\n"
    "\n"
    "[host]\n"
    "# whom it runs as when root starts it; empty: sallyport, if there is such a user\n"
    "#user =\n"
    "#state_dir = .\n"
    "#policy_dir = policy\n"
    "#plugin_dir = " SALLYPORT_PLUGIN_DIR "\n"
    "# worker: each plugin in a sandboxed process; none: in the host's own, with all its "
    "secrets\n"
    "#plugin_isolation = worker\n"
    "#client_endpoint = tcp://127.0.0.1:7250\n"
    "# the administration socket; empty: admin.sock in state_dir\n"
    "#admin_endpoint =\n"
    "# unseals the host at start; empty: an operator runs `sallyport unseal`\n"
    "#key_file = unseal.key\n"
    "# how long calls under way may take after SIGTERM\n"
    "#drain = 10s\n"
    "\n"
    "[log]\n"
    "# debug info warning error\n"
    "#level = info\n"
    "# text json\n"
    "#format = text\n"
    "\n"
    "[limits]\n"
    "#message_max = 16M\n"
    "#calls = 1024\n"
    "#calls_per_client = 256\n"
    "#http_connections = 1024\n"
    "#http_held = 256M\n"
    "#http_body_max = 0\n"
    "#http_idle = 60s\n"
    "#http_grace = 10s\n"
    "#memory_max = 4G\n"
    "#ttl_default = 1h\n"
    "#ttl_max = 24h\n"
    "\n"
    "[upstream]\n"
    "#connect = 5s\n"
    "#total = 60s\n"
    "# of an answer that streams, without a byte\n"
    "#stream_idle = 5m\n"
    "#response_max = 8M\n"
    "#slots = 256\n"
    "#slots_per_key = 64\n"
    "# authorities that may sign upstreams' certificates; empty: the system's\n"
    "#ca_file =\n"
    "\n"
    "[audit]\n"
    "#rotate = 64M\n"
    "\n"
    "# Listeners of the HTTP front door; there is none by default. One section each:\n"
    "#[http local]\n"
    "# an address of loopback, any address with TLS, or unix:PATH\n"
    "#listen = 127.0.0.1:7251\n"
    "# prefixed: /PROVIDER/…; provider NAME: all is that provider's; token: the token says;\n"
    "# forward: a proxy; health: /healthz, /readyz and /metrics for monitors\n"
    "#mode = prefixed\n"
    "# certificate chain and key in PEM\n"
    "#tls_cert =\n"
    "#tls_key =\n";

struct unit {
    const char *name;
    uint64_t factor;
};

/* A whole number and a unit from the list; SP_EINVAL on anything else, overflow included. */
static sp_status number_parse(const char *text, const struct unit *units, size_t n_units,
                              uint64_t *ret_number)
{
    if (text[0] < '0' || text[0] > '9') {
        return SP_EINVAL;
    }
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno) {
        return SP_EINVAL;
    }
    for (size_t i = 0; i < n_units; i++) {
        if (strcmp(end, units[i].name) == 0) {
            if (number > INT64_MAX / units[i].factor) {
                return SP_EINVAL;
            }
            *ret_number = number * units[i].factor;
            return SP_OK;
        }
    }
    return SP_EINVAL;
}

sp_status sp_duration_parse(const char *text, uint64_t *ret_ms)
{
    static const struct unit units[] = {{"", 1000},     {"ms", 1},      {"s", 1000},
                                        {"m", 60000},   {"min", 60000}, {"h", 3600000},
                                        {"d", 86400000}};
    return number_parse(text, units, sizeof units / sizeof *units, ret_ms);
}

sp_status sp_size_parse(const char *text, uint64_t *ret_bytes)
{
    static const struct unit units[] = {
        {"", 1}, {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}};
    return number_parse(text, units, sizeof units / sizeof *units, ret_bytes);
}

static sp_status text_set(char field[SP_PATH_MAX_BYTES], const char *base, const char *slash,
                          const char *value)
{
    int n = snprintf(field, SP_PATH_MAX_BYTES, "%s%s%s", base, slash, value);
    return n >= 0 && n < SP_PATH_MAX_BYTES ? SP_OK : SP_ETOOBIG;
}

static sp_status path_set(char field[SP_PATH_MAX_BYTES], const char *base, const char *value)
{
    if (!*value || value[0] == '/') {
        return text_set(field, "", "", value);
    }
    return strcmp(value, ".") == 0 ? text_set(field, base, "", "")
                                   : text_set(field, base, "/", value);
}

static sp_status level_set(enum sp_log_level *field, const char *value)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(value, names[i]) == 0) {
            *field = (enum sp_log_level)i;
            return SP_OK;
        }
    }
    return SP_EINVAL;
}

/* A socket's path may be relative to the file's folder, as every path here. */
static sp_status listen_set(char field[SP_PATH_MAX_BYTES], const char *base, const char *value)
{
    static const char start[] = "unix:";
    char path[SP_PATH_MAX_BYTES];
    size_t skip = sizeof start - 1;
    if (strncmp(value, start, skip) != 0 || !value[skip]) {
        return text_set(field, "", "", value);
    }
    sp_status status = path_set(path, base, value + skip);
    return status ? status : text_set(field, start, "", path);
}

/* "prefixed", "token", "forward", "health", or "provider stripe". */
static sp_status mode_set(struct sp_config_http *http, const char *value)
{
    static const char start[] = "provider ";
    const char *name =
        strncmp(value, start, sizeof start - 1) == 0 ? value + sizeof start - 1 : NULL;
    if (name) {
        name += strspn(name, " ");
        int n = snprintf(http->provider, sizeof http->provider, "%s", name);
        return n > 0 && (size_t)n < sizeof http->provider && !strchr(name, ' ') ? SP_OK
                                                                                : SP_EINVAL;
    }
    http->provider[0] = '\0';
    http->by_token = strcmp(value, "token") == 0;
    http->health = strcmp(value, "health") == 0;
    http->forward = strcmp(value, "forward") == 0;
    return http->by_token || http->health || http->forward || strcmp(value, "prefixed") == 0
               ? SP_OK
               : SP_EINVAL;
}

/* into: the structure that the setting's offset is in. */
static sp_status setting_set(void *into, const struct setting *setting, const char *base,
                             const char *value)
{
    void *field = (char *)into + setting->offset;
    switch (setting->type) {
    case TYPE_PATH:
        return path_set(field, base, value);
    case TYPE_TEXT:
        return text_set(field, "", "", value);
    case TYPE_DURATION:
        return sp_duration_parse(value, field);
    case TYPE_SIZE:
        return sp_size_parse(value, field);
    case TYPE_COUNT: {
        uint64_t number = 0;
        sp_status status = number_parse(value, &(struct unit){"", 1}, 1, &number);
        if (!status && (number == 0 || number > 1000000)) {
            status = SP_EINVAL;
        }
        if (!status) {
            *(uint64_t *)field = number;
        }
        return status;
    }
    case TYPE_LEVEL:
        return level_set(field, value);
    case TYPE_FORMAT:
        if (strcmp(value, "text") != 0 && strcmp(value, "json") != 0) {
            return SP_EINVAL;
        }
        *(bool *)field = value[0] == 'j';
        return SP_OK;
    case TYPE_LISTEN:
        return listen_set(field, base, value);
    case TYPE_MODE:
        return mode_set(into, value);
    case TYPE_ISOLATION:
        if (strcmp(value, "worker") != 0 && strcmp(value, "none") != 0) {
            return SP_EINVAL;
        }
        *(bool *)field = value[0] == 'n';
        return SP_OK;
    }
    return SP_EINVAL;
}

struct reading {
    struct sp_config *config;
    const char *base;
    struct sp_error *err;
    bool failed; /* err holds the first fault */
};

/* Keep the first fault only: it is the one whose line ini_parse reports. */
static struct sp_error *fault(struct reading *reading)
{
    struct sp_error *err = reading->failed ? NULL : reading->err;
    reading->failed = true;
    return err;
}

/* The listener of a section [http NAME], made where it is new; NULL past their number. */
static struct sp_config_http *listener_of(struct sp_config *config, const char *name)
{
    for (size_t i = 0; i < config->n_http; i++) {
        if (strcmp(config->http[i].name, name) == 0) {
            return &config->http[i];
        }
    }
    if (config->n_http == SP_CONFIG_HTTP_MAX || !*name ||
        strlen(name) >= sizeof config->http[0].name) {
        return NULL;
    }
    struct sp_config_http *http = &config->http[config->n_http++];
    (void)snprintf(http->name, sizeof http->name, "%s", name);
    return http;
}

static int put_setting(struct reading *reading, void *into, const struct setting *setting,
                       const char *value)
{
    if (!setting_set(into, setting, reading->base, value)) {
        return 1;
    }
    (void)sp_fail(fault(reading), SP_EINVAL,
                  "'%s' is no good value for %s (the default is '%s')", value, setting->name,
                  setting->fallback);
    return 0;
}

/* 0 stops nothing, but makes ini_parse return the line of the first fault. */
static int on_setting(void *user, const char *section, const char *name, const char *value)
{
    static const char http[] = "http ";
    struct reading *reading = user;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        if (strcmp(section, settings[i].section) == 0 && strcmp(name, settings[i].name) == 0) {
            return put_setting(reading, reading->config, &settings[i], value);
        }
    }
    bool of_http = strncmp(section, http, sizeof http - 1) == 0;
    for (size_t i = 0; of_http && i < sizeof http_settings / sizeof *http_settings; i++) {
        if (strcmp(name, http_settings[i].name) == 0) {
            struct sp_config_http *into =
                listener_of(reading->config, section + sizeof http - 1);
            if (into) {
                return put_setting(reading, into, &http_settings[i], value);
            }
            (void)sp_fail(fault(reading), SP_ETOOBIG, "more than %d listeners, or none named",
                          SP_CONFIG_HTTP_MAX);
            return 0;
        }
    }
    (void)sp_fail(fault(reading), SP_EINVAL,
                  "there is no setting '%s' in [%s]; see sallyport.conf(5)", name, section);
    return 0;
}

static sp_status base_of(const char *path, char base[SP_PATH_MAX_BYTES])
{
    char real[PATH_MAX];
    if (!realpath(path, real)) {
        return SP_ENOENT;
    }
    char *slash = strrchr(real, '/');
    slash[slash == real ? 1 : 0] = '\0';
    int n = snprintf(base, SP_PATH_MAX_BYTES, "%s", real);
    return n < SP_PATH_MAX_BYTES ? SP_OK : SP_ETOOBIG;
}

sp_status sp_config_read(const char *path, struct sp_config *ret_config, struct sp_error *err)
{
    char base[SP_PATH_MAX_BYTES];
    sp_status status = base_of(path, base);
    if (status) {
        return sp_fail(err, status, "%s: %s (`sallyport init` makes one)", path,
                       status == SP_ENOENT ? strerror(errno) : "path too long");
    }
    struct sp_config config;
    memset(&config, 0, sizeof config);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        status = setting_set(&config, &settings[i], base, settings[i].fallback);
        if (status) {
            return sp_fail(err, status, "%s: default of %s", path, settings[i].name);
        }
    }
    struct sp_error inner = {""};
    struct reading reading = {&config, base, &inner, false};
    int result = ini_parse(path, on_setting, &reading);
    if (reading.failed) {
        return sp_fail(err, SP_EINVAL, "%s: line %d: %.300s", path, result, inner.text);
    }
    if (result != 0) {
        return result > 0
                   ? sp_fail(err, SP_EINVAL, "%s: line %d is not `name = value`", path, result)
                   : sp_fail(err, SP_EIO, "%s: cannot be read: %s", path, strerror(errno));
    }
    for (size_t i = 0; i < config.n_http; i++) {
        if (!*config.http[i].listen) {
            return sp_fail(err, SP_EINVAL, "%s: [http %s] says not where to listen", path,
                           config.http[i].name);
        }
    }
    if (!*config.admin_endpoint) {
        int n = snprintf(config.admin_endpoint, sizeof config.admin_endpoint,
                         "ipc://%s/admin.sock", config.state_dir);
        if (n < 0 || (size_t)n >= sizeof config.admin_endpoint) {
            return sp_fail(err, SP_ETOOBIG, "%s: state_dir is too long", path);
        }
    }
    *ret_config = config;
    return SP_OK;
}
