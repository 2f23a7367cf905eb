/* What monitors ask, on a listener of its own: /healthz, /readyz, /metrics. No token, and
 * nothing that a token's holder could not be told; who may ask is a matter of where it listens.
 */
#include "host.h"

#include <inttypes.h>
#include <stdio.h>

static bool is_get(const struct sp_http_request *request)
{
    return sp_text_is(request->method, "GET") || sp_text_is(request->method, "HEAD");
}

static void put_plain(struct sp_http_exchange *exchange, const char *status, const char *type,
                      struct sp_text body)
{
    struct sp_buf *buf = &exchange->reply;
    sp_buf_addf(buf,
                "HTTP/1.1 %s\r\n%scontent-type: %s\r\ncontent-length: %zu\r\n"
                "cache-control: no-store\r\n\r\n",
                status, exchange->close ? "connection: close\r\n" : "", type, body.len);
    if (!sp_text_is(exchange->request->method, "HEAD")) {
        sp_buf_add_text(buf, body);
    }
}

static void put_ready(struct sp_host *host, struct sp_http_exchange *exchange)
{
    static const char type[] = "text/plain; charset=utf-8";
    struct sp_engine_status status;
    sp_engine_status(host->engine, &status);
    if (host->draining) {
        put_plain(exchange, "503 Service Unavailable", type, SP_TEXT("draining\n"));
    } else if (status.state == SP_ENGINE_SEALED) {
        put_plain(exchange, "503 Service Unavailable", type, SP_TEXT("sealed\n"));
    } else if (status.state == SP_ENGINE_FAILED || !status.writes) {
        put_plain(exchange, "503 Service Unavailable", type, SP_TEXT("failed\n"));
    } else {
        put_plain(exchange, "200 OK", type, SP_TEXT("ready\n"));
    }
}

static void put_figures(struct sp_host *host, struct sp_buf *buf)
{
    struct sp_engine_status engine;
    struct sp_message_status status;
    sp_host_status(host, &engine, &status);
    const struct {
        const char *name, *type, *help, *labels;
        uint64_t value;
    } rows[] = {
        {"sallyport_ready", "gauge", "1 where calls can be made.", "",
         engine.state == SP_ENGINE_READY && engine.writes && !host->draining},
        {"sallyport_start_time_seconds", "gauge", "When the host was started (Unix time).", "",
         (uint64_t)host->started_ms / 1000},
        {"sallyport_calls_open", "gauge", "Calls between their intent and their outcome.", "",
         engine.n_calls_open},
        {"sallyport_upstream_in_flight", "gauge", "Requests that upstreams have.", "",
         status.calls_in_flight},
        {"sallyport_keys", "gauge", "Registered keys.", "", engine.n_keys},
        {"sallyport_clients", "gauge", "Known clients.", "", engine.n_clients},
        {"sallyport_scopes", "gauge", "Scopes of the policy in force.", "", engine.n_scopes},
        {"sallyport_tokens", "gauge", "Tokens that are kept.", "", engine.n_tokens},
        {"sallyport_policy_refused", "gauge", "1 where the last reload was refused.", "",
         host->policy_error[0] != '\0'},
        {"sallyport_audit_records_total", "counter", "Records of the audit.", "",
         engine.audit_seq},
        {"sallyport_handshakes_total", "counter", "Connections over ZeroMQ.",
         "verdict=\"allowed\"", status.handshakes_allowed},
        {"sallyport_handshakes_total", "counter", NULL, "verdict=\"refused\"",
         status.handshakes_refused},
        {"sallyport_messages_refused_total", "counter",
         "Messages and requests that could not be read, or not be taken.", "",
         host->messages_refused},
        {"sallyport_http_connections", "gauge", "Connections over HTTP.", "",
         status.http_connections},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sp_metrics_put(buf, rows[i].name, rows[i].type, rows[i].help, rows[i].labels,
                       rows[i].value);
    }
}

/* A call needs no question: the plan of a key's version is kept. So this stands still under
 * load. Ids of providers are letters, digits and dashes (plugin_check.h). */
static void put_plugins(const struct sp_host *host, struct sp_buf *buf)
{
    for (size_t i = 0; i < sp_providers_n(host->providers); i++) {
        const struct sp_provider *provider = sp_providers_at(host->providers, i);
        char label[SP_NAME_MAX_BYTES + sizeof "provider=\"\""];
        (void)snprintf(label, sizeof label, "provider=\"%s\"", provider->manifest->id.ptr);
        sp_metrics_put(buf, "sallyport_plugin_calls_total", "counter",
                       i ? NULL : "Questions that plugins were asked.", label,
                       provider->n_calls);
    }
}

void sp_ops_health(struct sp_host *host, struct sp_http_exchange *exchange)
{
    static const char type[] = "text/plain; charset=utf-8";
    struct sp_text path = exchange->request->target;
    const char *query = memchr(path.ptr, '?', path.len);
    path.len = query ? (size_t)(query - path.ptr) : path.len;
    if (!is_get(exchange->request)) {
        put_plain(exchange, "405 Method Not Allowed", type, SP_TEXT("GET or HEAD\n"));
    } else if (sp_text_is(path, "/healthz")) {
        put_plain(exchange, "200 OK", type, SP_TEXT("ok\n")); /* the loop turns */
    } else if (sp_text_is(path, "/readyz")) {
        put_ready(host, exchange);
    } else if (sp_text_is(path, "/metrics")) {
        struct sp_buf buf;
        sp_buf_init(&buf, 1 << 20);
        put_figures(host, &buf);
        put_plugins(host, &buf);
        sp_metrics_put_calls(&buf, &host->metrics);
        put_plain(exchange, "200 OK", "text/plain; version=0.0.4; charset=utf-8",
                  sp_buf_text(&buf));
        exchange->reply.failed = exchange->reply.failed || buf.failed;
        sp_buf_done(&buf);
    } else {
        put_plain(exchange, "404 Not Found", type, SP_TEXT("/healthz, /readyz or /metrics\n"));
    }
    sp_http_exchange_reply(exchange);
}
