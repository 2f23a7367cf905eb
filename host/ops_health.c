/* What monitors ask, on a listener of its own: /healthz, /readyz, /metrics. No token, and
 * nothing that a token's holder could not be told; who may ask is a matter of where it listens.
 */
#include "host.h"

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
        sp_ops_metrics(host, &buf);
        put_plain(exchange, "200 OK", "text/plain; version=0.0.4; charset=utf-8",
                  sp_buf_text(&buf));
        exchange->reply.failed = exchange->reply.failed || buf.failed;
        sp_buf_done(&buf);
    } else {
        put_plain(exchange, "404 Not Found", type, SP_TEXT("/healthz, /readyz or /metrics\n"));
    }
    sp_http_exchange_reply(exchange);
}
