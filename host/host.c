#include "host.h"

#include "accept.h"
#include "catalogue.h"
#include "confine.h"
#include "curve_file.h"
#include "folder_lock.h"
#include "policy_changes.h"
#include "policy_files.h"
#include "policy_held.h"
#include "privilege.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>
#include <zmq.h>

enum {
    TICK_MS = 500, /* half of what a revoked token may take to be cut off (T66) */
    PATH_ROOM = SP_PATH_MAX_BYTES + 64,
    SHED_EVERY_MS = 60000,
    JOBS_MAX = 65536,
    ANSWER_MAX_BYTES = 1 << 20,
};

#ifndef SALLYPORT_VERSION
#define SALLYPORT_VERSION "0.0.0"
#endif

static const char *state_path(const struct sp_host *host, const char *name,
                              char path[PATH_ROOM])
{
    (void)snprintf(path, PATH_ROOM, "%s/%s", host->config.state_dir, name);
    return path;
}

/* ---- policy --------------------------------------------------------------------------------
 */

/* What the compiler asks: the engine about keys, the plugins about what their APIs do. */
struct knowledge {
    struct sp_host *host;
    struct sp_world keys;
    struct sp_catalogues catalogues;
};

static bool known_hosts(void *user, struct sp_text id, const struct sp_text **ret_hosts,
                        size_t *ret_n_hosts)
{
    const struct knowledge *knowledge = user;
    return knowledge->keys.key_hosts(knowledge->keys.user, id, ret_hosts, ret_n_hosts);
}

static bool known_setting(void *user, struct sp_text id, struct sp_text name,
                          struct sp_text *ret_value)
{
    const struct knowledge *knowledge = user;
    return knowledge->keys.key_setting(knowledge->keys.user, id, name, ret_value);
}

static size_t known_catalogues(void *user, struct sp_text id,
                               const struct sp_catalogue **ret_list)
{
    struct knowledge *knowledge = user;
    const struct sp_key *key = sp_engine_key(knowledge->host->engine, id);
    const struct sp_provider *provider =
        key ? sp_providers_find(knowledge->host->providers, key->provider) : NULL;
    *ret_list = provider ? sp_catalogues_add(&knowledge->catalogues, provider->manifest,
                                             key->hosts, key->n_hosts)
                         : NULL;
    if (key) {
        /* Its hosts stay: nobody takes a key off the engine's list while this thread compiles.
         */
        sp_key_unref(knowledge->host->engine, key);
    }
    return *ret_list != NULL;
}

/* The old policy goes with this; what the new one makes of it is told before. */
static sp_status take_over(struct sp_host *host, struct sp_policy *policy, struct sp_error *err)
{
    struct sp_policy_changes changes;
    bool told = sp_policy_changes_find(sp_engine_policy(host->engine), policy, &changes);
    sp_status status = sp_engine_set_policy(host->engine, policy, told ? &changes : NULL, err);
    if (status) {
        sp_policy_free(policy);
    } else if (told) {
        sp_policy_changes_log(&host->log, &changes);
    }
    if (told) {
        sp_policy_changes_done(&changes);
    }
    return status;
}

static sp_status compile_and_set(struct sp_host *host, struct sp_policy_files *files,
                                 bool at_start, struct sp_error *err)
{
    struct knowledge knowledge = {.host = host};
    struct sp_policy *policy = NULL;
    sp_status status = sp_policy_files_folder(files, host->config.policy_dir, err);
    if (status) {
        return status;
    }
    sp_engine_world(host->engine, &knowledge.keys);
    sp_catalogues_init(&knowledge.catalogues);
    const struct sp_world world = {.user = &knowledge,
                                   .key_hosts = known_hosts,
                                   .key_setting = known_setting,
                                   .hold_insists = at_start,
                                   .catalogues = known_catalogues};
    status = sp_policy_files_compile(files, &world, &policy);
    if (knowledge.catalogues.failed && !status) {
        sp_policy_free(policy); /* without a catalogue wildcards would reach too far */
        status = SP_ENOMEM;
    }
    sp_catalogues_done(&knowledge.catalogues);
    if (status) {
        return files->diags.n_errors
                   ? sp_fail(err, status, "%u errors in the policy files",
                             files->diags.n_errors)
                   : sp_fail(err, status, "the policy files: %s", sp_status_name(status));
    }
    return take_over(host, policy, err);
}

static sp_status load_policy(struct sp_host *host, bool at_start,
                             struct sp_buf *ret_diagnostics, struct sp_error *err)
{
    struct sp_policy_files files;
    struct sp_buf diagnostics;
    struct sp_error why = {""};
    sp_buf_init(&diagnostics, 256 << 10);
    sp_policy_files_init(&files);
    sp_status status = compile_and_set(host, &files, at_start, &why);
    sp_diags_print(&files.diags, files.sources, false, &diagnostics);
    host->policy_error[0] = '\0';
    if (status) {
        (void)snprintf(host->policy_error, sizeof host->policy_error, "%s\n%s", why.text,
                       sp_buf_text(&diagnostics).ptr);
        SP_LOG(&host->log, SP_LOG_ERROR, "policy.refused", {"reason", sp_text_of(why.text)},
               {"diagnostics", sp_buf_text(&diagnostics)});
    } else {
        sp_host_publish_peers(host);
        SP_LOG(&host->log, files.diags.n_warnings ? SP_LOG_WARNING : SP_LOG_INFO,
               "policy.loaded", {"diagnostics", sp_buf_text(&diagnostics)});
    }
    if (ret_diagnostics) {
        sp_buf_add_text(ret_diagnostics, sp_buf_text(&diagnostics));
    }
    if (err) {
        *err = why;
    }
    sp_buf_done(&diagnostics);
    sp_policy_files_done(&files);
    return status;
}

sp_status sp_host_load_policy(struct sp_host *host, struct sp_buf *ret_diagnostics,
                              struct sp_error *err)
{
    return load_policy(host, false, ret_diagnostics, err);
}

/* ---- peers, status -------------------------------------------------------------------------
 */

struct peers {
    struct sp_zap_peer *list;
    size_t n, room;
};

static void count_peer(void *user, struct sp_text curve, enum sp_role role)
{
    (void)curve;
    (void)role;
    ((struct peers *)user)->room++;
}

static void add_peer(void *user, struct sp_text curve, enum sp_role role)
{
    struct peers *peers = user;
    char z85[SP_CURVE_Z85_BYTES + 1];
    if (curve.len == SP_CURVE_Z85_BYTES && peers->n < peers->room) {
        memcpy(z85, curve.ptr, curve.len);
        z85[curve.len] = '\0';
        peers->list[peers->n].admin = role == SP_ROLE_ADMIN;
        peers->n += sp_curve_decode(z85, peers->list[peers->n].key) == SP_OK;
    }
}

void sp_host_publish_peers(struct sp_host *host)
{
    struct peers peers = {NULL, 0, 0};
    sp_engine_each_curve(host->engine, count_peer, &peers);
    peers.list = calloc(peers.room + 1, sizeof *peers.list);
    if (peers.list) {
        sp_engine_each_curve(host->engine, add_peer, &peers);
    }
    /* Out of memory: the old table stays, and every message's role is asked again anyway. */
    if (!peers.list || sp_zap_set(host->zap, peers.list, peers.n)) {
        SP_LOG(&host->log, SP_LOG_ERROR, "zap.table", {"reason", SP_TEXT("out of memory")});
    }
    free(peers.list);
}

void sp_host_status(struct sp_host *host, struct sp_engine_status *engine,
                    struct sp_message_status *ret_status)
{
    sp_engine_status(host->engine, engine);
    *ret_status = (struct sp_message_status){
        .version = SALLYPORT_VERSION,
        .engine = engine,
        .zap_healthy = sp_zap_healthy(host->zap),
        .messages_refused = host->messages_refused,
        .calls_in_flight = sp_egress_in_flight(host->egress),
        .started_ms = host->started_ms,
        .policy_error = host->policy_error,
        .http = host->http_texts,
        .n_http = host->http_front ? host->config.n_http : 0,
        .http_connections =
            host->http_front ? sp_http_front_n_connections(host->http_front) : 0,
    };
    sp_zap_counts(host->zap, &ret_status->handshakes_allowed, &ret_status->handshakes_refused);
}

void sp_host_announce(struct sp_host *host)
{
    sp_ops_proxy_announce(host);
    switch (sp_engine_state(host->engine)) {
    case SP_ENGINE_READY:
        (void)sd_notify(0, "READY=1\nSTATUS=ready");
        SP_LOG(&host->log, SP_LOG_INFO, "ready",
               {"endpoint", sp_text_of(sp_front_endpoint(host->client_front))});
        break;
    case SP_ENGINE_SEALED:
        (void)sd_notify(0, "READY=1\nSTATUS=sealed");
        SP_LOG(&host->log, SP_LOG_WARNING, "sealed",
               {"endpoint", sp_text_of(sp_front_endpoint(host->client_front))},
               {"hint", SP_TEXT("an operator has to run `sallyport unseal`")});
        break;
    case SP_ENGINE_FAILED: {
        struct sp_engine_status status;
        sp_engine_status(host->engine, &status);
        (void)sd_notify(0, "READY=1\nSTATUS=failed");
        SP_LOG(&host->log, SP_LOG_ERROR, "failed",
               {"endpoint", sp_text_of(sp_front_endpoint(host->client_front))},
               {"reason", sp_text_of(status.reason)});
        break;
    }
    }
}

/* ---- events --------------------------------------------------------------------------------
 */

static void wake(void *user)
{
    struct sp_host *host = user;
    (void)uv_async_send(&host->engine_wake);
}

static void on_engine_wake(uv_async_t *async)
{
    struct sp_host *host = async->data;
    if (host->engine) { /* a last wake may come when it is closed */
        (void)sp_engine_poll(host->engine);
    }
}

/* What one turn of the loop asked of the engine is written as one batch. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct sp_host *host = prepare->data;
    if (host->engine) {
        sp_engine_kick(host->engine);
    }
}

static void check_drained(struct sp_host *host)
{
    if (host->draining && sp_front_n_open(host->client_front) == 0 &&
        sp_front_n_open(host->admin_front) == 0 &&
        (!host->http_front || sp_http_front_n_open(host->http_front) == 0)) {
        uv_stop(&host->loop);
    }
}

/* Once a minute at most: who takes all descriptors shall not fill the log as well. */
static void tell_shed(struct sp_host *host)
{
    uint64_t shed = sp_accept_shed(), now = uv_now(&host->loop);
    if (shed == host->shed ||
        (host->shed_told_ms && now < host->shed_told_ms + SHED_EVERY_MS)) {
        return;
    }
    char number[24];
    (void)snprintf(number, sizeof number, "%" PRIu64, shed - host->shed);
    SP_LOG(&host->log, SP_LOG_WARNING, "descriptors.short",
           {"not_accepted", sp_text_of(number)},
           {"advice", SP_TEXT("see who connects, or raise LimitNOFILE")});
    host->shed = shed;
    host->shed_told_ms = now;
}

static void on_tick(uv_timer_t *timer)
{
    struct sp_host *host = timer->data;
    if (!host->engine) {
        return;
    }
    sp_engine_tick(host->engine);
    if (host->proxy.egress) {
        sp_proxy_cut(&host->proxy);
    }
    sp_leases_tick(host->leases);
    sp_ops_streams_tick(&host->streams);
    tell_shed(host);
    if (!sp_zap_healthy(host->zap)) {
        SP_LOG(&host->log, SP_LOG_ERROR, "zap.dead",
               {"effect", SP_TEXT("nobody can connect; restart the host")});
    }
    check_drained(host);
}

static void on_drain_over(uv_timer_t *timer)
{
    struct sp_host *host = timer->data;
    SP_LOG(&host->log, SP_LOG_WARNING, "drain.over", {"effect", SP_TEXT("calls were cut off")});
    uv_stop(&host->loop);
}

/* New requests get `shutting_down`; those under way have drain_ms to end. */
static void on_stop_signal(uv_signal_t *signal, int number)
{
    struct sp_host *host = signal->data;
    (void)number;
    if (host->draining) {
        uv_stop(&host->loop); /* asked twice: now */
        return;
    }
    host->draining = true;
    if (host->http_front) {
        sp_http_front_stop(host->http_front);
    }
    (void)sd_notify(0, "STOPPING=1");
    SP_LOG(&host->log, SP_LOG_INFO, "draining", {"reason", SP_TEXT("signal")});
    (void)uv_timer_start(&host->drain, on_drain_over, host->config.drain_ms, 0);
    (void)uv_timer_start(&host->tick, on_tick, 20, 20);
}

static void on_hup(uv_signal_t *signal, int number)
{
    struct sp_host *host = signal->data;
    (void)number;
    (void)sd_notify(0, "RELOADING=1");
    (void)sp_host_load_policy(host, NULL, NULL);
    (void)sd_notify(0, "READY=1");
}

static void on_busy(void *user, struct sp_buf *reply)
{
    (void)user;
    sp_message_put_failure(reply, SP_TEXT(""), SP_CODE_BUSY,
                           "the host has its full number of calls", "try again in a moment",
                           SP_TEXT(""));
}

static void on_refused(void *user, const char *peer, const char *why)
{
    struct sp_host *host = user;
    (void)peer;
    (void)why;
    host->messages_refused++;
}

/* ---- start ---------------------------------------------------------------------------------
 */

static sp_status lock_folder(struct sp_host *host, struct sp_error *err)
{
    struct stat st;
    if (stat(host->config.state_dir, &st) || !S_ISDIR(st.st_mode) || (st.st_mode & 022)) {
        return sp_fail(err, SP_EDENIED, "%s: is no folder of ours alone (`chmod 700` it)",
                       host->config.state_dir);
    }
    return sp_folder_lock(host->config.state_dir, &host->lock_fd, err);
}

static sp_status start_engine(struct sp_host *host, struct sp_error *err)
{
    struct sp_engine_config config = {
        .dir = host->config.state_dir,
        .audit_rotate_bytes = host->config.audit_rotate_bytes,
        .ttl_default_ms = host->config.ttl_default_ms,
        .ttl_max_ms = host->config.ttl_max_ms,
        .answer_max_bytes = ANSWER_MAX_BYTES,
        .queue_max = JOBS_MAX,
        .judge_body = sp_judge_body,
        .wake = wake,
        .user = host,
    };
    sp_status status = sp_clock_system(&config.clock, err);
    return status ? status : sp_engine_open(&config, &host->engine, err);
}

/* The port at the end of an endpoint; 0 where it has none (ipc). */
static uint16_t endpoint_port(const char *endpoint)
{
    const char *colon = strrchr(endpoint, ':');
    unsigned long port = colon ? strtoul(colon + 1, NULL, 10) : 0;
    return port <= UINT16_MAX ? (uint16_t)port : 0;
}

/* After the fronts: their ports are never an upstream's. */
static sp_status start_egress(struct sp_host *host, struct sp_error *err)
{
    uint16_t own_ports[2 + SP_CONFIG_HTTP_MAX] = {
        endpoint_port(sp_front_endpoint(host->client_front)),
        endpoint_port(sp_front_endpoint(host->admin_front))};
    for (size_t i = 0; i < host->config.n_http; i++) {
        own_ports[2 + i] = sp_http_front_port(host->http_front, i);
    }
    struct sp_egress_config config = {
        .loop = &host->loop,
        .connect_ms = host->config.upstream_connect_ms,
        .total_ms = host->config.upstream_total_ms,
        .stream_idle_ms = host->config.upstream_idle_ms,
        .response_max_bytes = host->config.response_max_bytes,
        .header_max_bytes = 64 << 10,
        .slots = host->config.upstream_slots,
        .slots_per_key = host->config.upstream_slots_per_key,
        .ca_file = *host->config.ca_file ? host->config.ca_file : NULL,
        .own_ports = own_ports,
        .n_own_ports = 2 + host->config.n_http,
    };
    sp_status status = sp_egress_new(&config, &host->egress, err);
    if (!status) {
        const struct sp_leases_config leases = {.engine = host->engine,
                                                .providers = host->providers,
                                                .egress = host->egress,
                                                .log = &host->log};
        status = sp_leases_new(&leases, &host->leases, err);
    }
    /* A quarter of a key's slots is always left to other tokens. */
    size_t slots_per_token = host->config.upstream_slots_per_key * 3 / 4;
    if (!status) {
        status = sp_shares_new(slots_per_token ? slots_per_token : 1,
                               host->config.upstream_slots, &host->shares);
    }
    if (!status) {
        host->proxy = (struct sp_proxy){.engine = host->engine,
                                        .providers = host->providers,
                                        .egress = host->egress,
                                        .leases = host->leases,
                                        .shares = host->shares,
                                        .metrics = &host->metrics,
                                        .log = &host->log};
    }
    return status;
}

static sp_status start_fronts(struct sp_host *host, struct sp_error *err)
{
    char path[PATH_ROOM];
    struct sp_curve_pair pair;
    uint8_t secret_key[32];
    sp_status status = sp_curve_read(state_path(host, "host.key", path), &pair, err);
    if (status) {
        return status;
    }
    (void)sp_curve_decode(pair.secret_z85, secret_key);
    sodium_memzero(&pair, sizeof pair);
    host->streams.stall_ms = host->config.upstream_idle_ms;
    struct sp_front_config config = {
        .loop = &host->loop,
        .zmq_context = host->zmq_context,
        .domain = SP_ZAP_CLIENT_DOMAIN,
        .endpoint = host->config.client_endpoint,
        .secret_key = secret_key,
        .message_max_bytes = host->config.message_max_bytes,
        .exchanges_max = host->config.calls_max,
        .exchanges_max_per_peer = host->config.calls_max_per_client,
        .over_max_bytes = SP_OPS_STEER_MAX_BYTES,
        .handle = sp_ops_client,
        .busy = on_busy,
        .refused = on_refused,
        .user = host,
    };
    status = sp_front_new(&config, &host->client_front, err);
    if (!status) {
        config.domain = SP_ZAP_ADMIN_DOMAIN;
        config.endpoint = host->config.admin_endpoint;
        config.exchanges_max = config.exchanges_max_per_peer = 64;
        config.over_max_bytes = 0;
        config.handle = sp_ops_admin;
        status = sp_front_new(&config, &host->admin_front, err);
    }
    sodium_memzero(secret_key, sizeof secret_key);
    return status;
}

static void on_auto_unsealed(void *user, sp_status status, const struct sp_error *err)
{
    struct sp_host *host = user;
    if (status) {
        SP_LOG(&host->log, SP_LOG_ERROR, "unseal.failed",
               {"reason", sp_text_of(err ? err->text : sp_status_name(status))});
    }
    sp_host_announce(host);
}

/* The embedded default: the key file unseals at start. */
static void unseal_by_file(struct sp_host *host)
{
    struct sp_engine_status status;
    sp_engine_status(host->engine, &status);
    const char *path = host->config.key_file;
    if (status.state != SP_ENGINE_SEALED || status.seal != SP_SEAL_KEY_FILE || !*path) {
        sp_host_announce(host);
        return;
    }
    struct sp_secret secret = {NULL, NULL, 0};
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || (st.st_mode & 077) ||
        sp_secret_new(sp_engine_pool(host->engine), SP_KEY_BYTES, &secret) ||
        read(fd, secret.ptr, SP_KEY_BYTES) != SP_KEY_BYTES) {
        SP_LOG(&host->log, SP_LOG_ERROR, "unseal.failed", {"file", sp_text_of(path)},
               {"reason", SP_TEXT("is not a file of 32 bytes with mode 0600")});
        sp_secret_free(&secret);
        sp_host_announce(host);
    } else {
        sp_engine_unseal(host->engine, &secret, on_auto_unsealed, host);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
}

static void start_events(struct sp_host *host)
{
    host->tick.data = host->drain.data = host->on_term.data = host->on_int.data =
        host->on_hup.data = host;
    (void)uv_timer_init(&host->loop, &host->tick);
    (void)uv_timer_init(&host->loop, &host->drain);
    (void)uv_signal_init(&host->loop, &host->on_term);
    (void)uv_signal_init(&host->loop, &host->on_int);
    (void)uv_signal_init(&host->loop, &host->on_hup);
    (void)uv_timer_start(&host->tick, on_tick, TICK_MS, TICK_MS);
    (void)uv_signal_start(&host->on_term, on_stop_signal, SIGTERM);
    (void)uv_signal_start(&host->on_int, on_stop_signal, SIGINT);
    (void)uv_signal_start(&host->on_hup, on_hup, SIGHUP);
}

static sp_status start_providers(struct sp_host *host, const struct sp_host_options *options,
                                 struct sp_error *err)
{
    char pins[PATH_ROOM], program[SP_WORKER_PATH_BYTES];
    sp_worker_program(program);
    const struct sp_worker_config worker = {.loop = &host->loop, .program = program};
    struct sp_providers_config config = {.folder = host->config.plugin_dir,
                                         .pins_path = state_path(host, "plugins.pins", pins),
                                         .dev = options->dev_plugins,
                                         .worker =
                                             host->config.plugins_in_process ? NULL : &worker,
                                         .log = &host->log};
    return sp_providers_new(&config, &host->providers, err);
}

static sp_status start_parts(struct sp_host *host, const struct sp_host_options *options,
                             struct sp_error *err)
{
    sp_status status = lock_folder(host, err);
    if (!status) {
        status = start_engine(host, err);
    }
    if (!status) {
        status = start_providers(host, options, err);
    }
    if (!status) {
        status = sp_zap_new(host->zmq_context, &host->zap, err);
    }
    if (!status) {
        sp_host_publish_peers(host);
        /* A broken policy must not keep an operator out: the host runs without one. */
        (void)load_policy(host, true, NULL, NULL);
        sp_policy_held_log(&host->log, host->engine);
        status = start_fronts(host, err);
    }
    if (!status) {
        status = sp_ops_http_start(host, err);
    }
    if (!status) {
        status = start_egress(host, err);
    }
    return status;
}

/* Root first, then what nobody needs: before there are threads, sockets or secrets. */
static sp_status give_up_rights(const struct sp_host *host, struct sp_error *err)
{
    char program[SP_WORKER_PATH_BYTES];
    bool stays_root = false;
    sp_status status = sp_privilege_drop(host->config.user, &stays_root, err);
    if (status) {
        return status;
    }
    if (stays_root) {
        SP_LOG(&host->log, SP_LOG_WARNING, "privilege.root",
               {"advice", SP_TEXT("it needs nothing that only root has: give it a user")});
    }
    sp_worker_program(program);
    status = sp_confine(program, err);
    if (status == SP_EUNSUPPORTED) {
        SP_LOG(&host->log, SP_LOG_WARNING, "confine.partial",
               {"reason", sp_text_of(err ? err->text : "")});
        status = SP_OK;
    }
    return status;
}

sp_status sp_host_start(struct sp_host *host, const struct sp_host_options *options,
                        struct sp_error *err)
{
    memset(host, 0, sizeof *host);
    host->lock_fd = -1;
    sp_status status = sp_config_read(options->config_path, &host->config, err);
    if (status) {
        return status;
    }
    host->started_ms = sp_wall_ms();
    host->log = (struct sp_log){STDERR_FILENO, host->config.log_json, host->config.log_level};
    status = give_up_rights(host, err);
    if (status) {
        return status;
    }
    host->zmq_context = zmq_ctx_new();
    if (!host->zmq_context || uv_loop_init(&host->loop)) {
        return sp_fail(err, SP_ENOMEM, "out of memory or file descriptors");
    }
    (void)uv_async_init(&host->loop, &host->engine_wake, on_engine_wake);
    (void)uv_prepare_init(&host->loop, &host->prepare);
    host->engine_wake.data = host->prepare.data = host;
    /* libuv runs these last started first, so this one comes after those of the front ends. */
    (void)uv_prepare_start(&host->prepare, on_prepare);
    start_events(host);
    status = start_parts(host, options, err);
    if (status) {
        sp_host_stop(host);
        return status;
    }
    unseal_by_file(host);
    return SP_OK;
}

void sp_host_run(struct sp_host *host)
{
    (void)uv_run(&host->loop, UV_RUN_DEFAULT);
}

static void close_handle(uv_handle_t *handle, void *user)
{
    (void)user;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

void sp_host_stop(struct sp_host *host)
{
    /* In the order of who calls whom: questions to providers end into calls, calls in flight
     * end into the engine, the engine's last callbacks answer through the fronts. */
    sp_leases_stop(host->leases);
    sp_providers_stop(host->providers);
    sp_egress_free(host->egress);
    sp_shares_free(host->shares);
    if (host->engine) {
        sp_engine_close(host->engine);
        host->engine = NULL;
    }
    sp_ops_streams_stop(&host->streams);
    sp_leases_free(host->leases);
    sp_ca_free(host->ca);
    sp_front_free(host->client_front);
    sp_front_free(host->admin_front);
    sp_http_front_free(host->http_front);
    (void)uv_run(&host->loop, UV_RUN_NOWAIT);
    uv_walk(&host->loop, close_handle, NULL);
    (void)uv_run(&host->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&host->loop);
    sp_zap_free(host->zap);
    (void)zmq_ctx_term(host->zmq_context);
    sp_providers_free(host->providers);
    if (host->lock_fd >= 0) {
        (void)close(host->lock_fd);
    }
    sp_log_write(&host->log, SP_LOG_INFO, "stopped", NULL, 0);
}
