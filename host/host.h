/* sp_host: the parts of a running sallyportd, put together. Inside host/ only.
 *
 * One loop thread runs everything here; the engine's commit thread, ZeroMQ's I/O thread, the
 * ZAP handler's and libcurl's resolver threads come to it through their own wake-ups. */
#ifndef SP_HOST_H
#define SP_HOST_H

#include "ca.h"
#include "config.h"
#include "egress.h"
#include "engine.h"
#include "front_http.h"
#include "front_zmq.h"
#include "leases.h"
#include "log.h"
#include "message.h"
#include "metrics.h"
#include "ops_stream.h"
#include "providers.h"
#include "proxy.h"
#include "zap.h"

#include <uv.h>

struct sp_host {
    struct sp_config config;
    struct sp_log log;
    uv_loop_t loop;
    uv_async_t engine_wake;
    uv_prepare_t prepare;
    uv_timer_t tick, drain;
    uv_signal_t on_term, on_int, on_hup;
    int lock_fd; /* DIR/lock: one host for one folder */
    void *zmq_context;
    struct sp_engine *engine;
    struct sp_providers *providers;
    struct sp_egress *egress;
    struct sp_leases *leases;
    struct sp_shares *shares; /* the proxy's */
    struct sp_proxy proxy;
    struct sp_zap *zap;
    struct sp_front *client_front, *admin_front;
    struct sp_http_listen http_listeners[SP_CONFIG_HTTP_MAX]; /* as the front takes them */
    char http_text[SP_CONFIG_HTTP_MAX][768]; /* where they listen, and how; for status */
    const char *http_texts[SP_CONFIG_HTTP_MAX];
    struct sp_http_front *http_front; /* NULL: no listener */
    struct sp_ca *ca;                 /* NULL: no forward proxy, or sealed */
    uint64_t messages_refused;
    struct sp_metrics metrics;
    struct sp_streams streams; /* of the client socket */
    int64_t started_ms;
    uint64_t shed, shed_told_ms; /* connections not accepted that were told of, and when */
    bool draining;
    char policy_error[2048]; /* why the last reload was refused; empty: it was not */
};

struct sp_host_options {
    const char *config_path;
    bool dev_plugins;
};

/* Start everything; on failure what was started is stopped again. */
sp_status sp_host_start(struct sp_host *host, const struct sp_host_options *options,
                        struct sp_error *err);
/* Run until SIGTERM or SIGINT has drained it. */
void sp_host_run(struct sp_host *host);
void sp_host_stop(struct sp_host *host);

/* Read, compile and take over the policy folder, whole or not at all; diagnostics are appended
 * where asked for. Called at start, at SIGHUP and by `policy.reload`. */
sp_status sp_host_load_policy(struct sp_host *host, struct sp_buf *ret_diagnostics,
                              struct sp_error *err);
/* Tell the ZAP handler who may connect. After every change of clients. */
void sp_host_publish_peers(struct sp_host *host);
/* Tell systemd (sd_notify) what state we are in. */
void sp_host_announce(struct sp_host *host);
void sp_host_status(struct sp_host *host, struct sp_engine_status *engine,
                    struct sp_message_status *ret_status);

/* The operations of the two sockets. */
void sp_ops_client(void *user, struct sp_exchange *exchange);
void sp_ops_admin(void *user, struct sp_exchange *exchange);
/* The HTTP front door: start the listeners of the configuration, if there are any. */
sp_status sp_ops_http_start(struct sp_host *host, struct sp_error *err);
/* The forward proxy. The state changed: open its authority, or close it; make one where there
 * is none yet. DIR/ca.pem is for clients. */
void sp_ops_proxy_announce(struct sp_host *host);
/* See sp_http_front_config.connect. */
struct sp_tls_context *sp_ops_proxy_connect(void *user, struct sp_http_exchange *exchange,
                                            char ret_host[SP_HTTP_HOST_BYTES]);
/* Note and count a request that was refused before the engine judged it. */
void sp_ops_note_refusal(struct sp_host *host, const struct sp_http_exchange *exchange,
                         const struct sp_decision *decision);
/* One request of a listener with mode = health; answers it. */
void sp_ops_health(struct sp_host *host, struct sp_http_exchange *exchange);
/* All metrics, in Prometheus' text format (ops_metrics.c). */
void sp_ops_metrics(struct sp_host *host, struct sp_buf *buf);
/* key.add, key.rotate and key.set, which ask the provider first. by: the administrator's name.
 */
void sp_ops_key_put(struct sp_host *host, struct sp_exchange *exchange,
                    const struct sp_message *message, struct sp_text by);

/* key.test: one GET with the key, audited, outside of any token. */
void sp_ops_key_rotate_upstream(struct sp_host *host, struct sp_exchange *exchange,
                                const struct sp_message *message, struct sp_text by);
void sp_ops_key_test(struct sp_host *host, struct sp_exchange *exchange,
                     const struct sp_message *message, struct sp_text by);

/* Answer with an error and end the exchange. */
void sp_ops_fail(struct sp_host *host, struct sp_exchange *exchange, struct sp_text id,
                 enum sp_code code, const char *reason, const char *hint);

#endif
