/* The HTTP front door's one operation: a proxied call. Each exchange is answered exactly once.
 */
#include "host.h"

#include "http_answer.h"
#include "sign.h"

#include <sodium.h>
#include <stdio.h>

/* One request on its way; in the exchange's arena. */
struct op {
    struct sp_host *host;
    struct sp_http_exchange *exchange;
    struct sp_http_call call;
    struct sp_text upstream_host; /* where it goes */
    struct sp_text origin;        /* what the client dialled: "http://localhost:7251" */
    bool by_name;                 /* which is the upstream's own name */
    const struct sp_key *asked;   /* whose plan is looked at; a reference */
    struct sp_request request;
    struct sp_proxy_call proxy;
};

static struct sp_http_form form_of(struct sp_host *host, struct sp_http_exchange *exchange)
{
    exchange->close = exchange->close || host->draining || exchange->passes;
    return (struct sp_http_form){.head = sp_text_is(exchange->request->method, "HEAD"),
                                 .close = exchange->close,
                                 .trailers = sp_http_takes_trailers(exchange->request)};
}

static void put_refusal(struct op *op, const struct sp_decision *decision)
{
    sp_buf_reset(&op->exchange->reply);
    sp_http_put_refusal(&op->exchange->reply, form_of(op->host, op->exchange), decision);
}

void sp_ops_note_refusal(struct sp_host *host, const struct sp_http_exchange *exchange,
                         const struct sp_decision *decision)
{
    sp_metrics_call(&host->metrics, &(struct sp_metrics_call){.provider = SP_TEXT(""),
                                                              .decision = decision,
                                                              .code = decision->code});
    sp_engine_note_refusal(host->engine, sp_text_of(exchange->peer), decision->code);
}

static void note_refusal(struct op *op, const struct sp_decision *decision)
{
    sp_ops_note_refusal(op->host, op->exchange, decision);
    put_refusal(op, decision);
}

static void decide(struct sp_decision *decision, enum sp_code code, const char *reason)
{
    *decision = (struct sp_decision){.code = code};
    (void)snprintf(decision->reason, sizeof decision->reason, "%s", reason);
}

/* ---- admission: the head alone --------------------------------------------------------------
 */

/* The host in a Host header, canonical; empty where it is none that an upstream could have. */
static struct sp_text named_host(struct sp_arena *arena, struct sp_text authority)
{
    struct sp_text host = {"", 0};
    struct sp_error ignored;
    const char *colon = memchr(authority.ptr, ':', authority.len);
    if (colon) {
        authority.len = (size_t)(colon - authority.ptr);
    }
    return sp_host_parse(arena, authority, &host, &ignored) ? SP_TEXT("") : host;
}

static sp_status find_destination(struct op *op, struct sp_decision *decision)
{
    struct sp_http_exchange *exchange = op->exchange;
    struct sp_text authority = exchange->request->host, host = {NULL, 0};
    struct sp_call *call = &op->proxy.call;
    *call = (struct sp_call){.curve = SP_TEXT(""),
                             .peer = sp_text_of(exchange->peer),
                             .token = op->call.token,
                             .key = op->call.key,
                             .id = SP_TEXT(""),
                             .request = &op->request,
                             .arena = &exchange->arena};
    struct sp_destination to = {.provider = op->call.provider,
                                .named = authority.len ? named_host(&exchange->arena, authority)
                                                       : SP_TEXT("")};
    sp_engine_route(op->host->engine, call, &to, decision, &host);
    if (decision->code != SP_CODE_OK) {
        return SP_EDENIED;
    }
    if (exchange->route->mode == SP_HTTP_FORWARD &&
        (!sp_text_eq(to.named, host) ||
         (exchange->tunnel.len && !sp_text_eq(to.named, exchange->tunnel)))) {
        decide(decision, SP_CODE_KEY_NOT_IN_SCOPE,
               exchange->tunnel.len && !sp_text_eq(to.named, exchange->tunnel)
                   ? "the request names another host than its tunnel leads to"
                   : "no key of the token's scope is for this host");
        return SP_EDENIED;
    }
    size_t room = authority.len + sizeof "https://";
    char *origin = sp_arena_alloc(&exchange->arena, room);
    op->upstream_host = sp_arena_copy(&exchange->arena, host);
    if (!origin || !op->upstream_host.ptr) {
        decide(decision, SP_CODE_BUSY, "out of memory");
        return SP_ENOMEM;
    }
    op->by_name = op->call.prefix.len == 0 && sp_text_eq(to.named, host);
    bool secure = exchange->secure || op->by_name;
    int n = snprintf(origin, room, "http%s://%.*s", secure ? "s" : "", (int)authority.len,
                     authority.len ? authority.ptr : "");
    op->origin = (struct sp_text){origin, (size_t)n};
    return SP_OK;
}

static bool admit(void *user, struct sp_http_exchange *exchange)
{
    struct sp_host *host = user;
    struct sp_decision decision = {.code = SP_CODE_OK};
    if (exchange->route->mode == SP_HTTP_HEALTH) {
        return true;
    }
    struct op *op = sp_arena_alloc(&exchange->arena, sizeof *op);
    if (!op) {
        decide(&decision, SP_CODE_BUSY, "out of memory");
        exchange->close = true;
        sp_http_put_refusal(&exchange->reply, form_of(host, exchange), &decision);
        return false;
    }
    op->host = host;
    op->exchange = exchange;
    exchange->user = op;
    if (host->draining) {
        decide(&decision, SP_CODE_SHUTTING_DOWN, "the host is shutting down");
        put_refusal(op, &decision);
        return false;
    }
    sp_http_call_read(&exchange->arena, exchange->route, exchange->request,
                      exchange->proxy_authorization, &op->call, &decision);
    if (decision.code == SP_CODE_OK && find_destination(op, &decision) == SP_OK) {
        const struct sp_text root = {(const char *)decision.root, sizeof decision.root};
        if (sp_http_exchange_claim(exchange, root)) {
            return true;
        }
        decide(&decision, SP_CODE_BUSY, "this token has its full number of calls under way");
    }
    exchange->close = true; /* a body may be on its way that nobody reads */
    note_refusal(op, &decision);
    sp_http_call_wipe(&op->call);
    return false;
}

/* ---- the call -------------------------------------------------------------------------------
 */

/* Where the key's calls are delivered instead of to its hosts: the same place to a client. */
static struct sp_text delivered_to(const struct sp_key *key)
{
    for (size_t i = 0; key && i < key->n_settings; i++) {
        struct sp_text value = key->settings[i].value;
        if (sp_text_is(key->settings[i].name, "upstream")) {
            value.len -= value.len > 0 && value.ptr[value.len - 1] == '/' ? 1 : 0;
            return value;
        }
    }
    return SP_TEXT("");
}

typedef void (*put_fn)(struct sp_buf *buf, struct sp_http_form form,
                       const struct sp_http_base *base, const struct sp_proxied *result);

static void put_upstreams(struct op *op, const struct sp_proxied *result, put_fn put,
                          struct sp_buf *ret_answer)
{
    const struct sp_key *key =
        sp_engine_key(op->host->engine, sp_text_of(result->decision->key));
    struct sp_http_base base = {.origin = op->origin,
                                .prefix = op->call.prefix,
                                .host = op->upstream_host,
                                .upstream = delivered_to(key),
                                .by_name = op->by_name};
    put(ret_answer, form_of(op->host, op->exchange), &base, result);
    if (key) {
        sp_key_unref(op->host->engine, key);
    }
}

static void encode(void *user, const struct sp_proxied *result, struct sp_buf *ret_answer)
{
    struct op *op = user;
    if (result->refusal && op->exchange->fault) {
        sp_http_put_fault(ret_answer, op->exchange->fault, op->exchange->why);
    } else if (result->refusal) {
        sp_http_put_refusal(ret_answer, form_of(op->host, op->exchange), result->refusal);
    } else {
        put_upstreams(op, result, sp_http_put_reply, ret_answer);
    }
}

static bool stream_begin(void *user, const struct sp_proxied *result)
{
    struct op *op = user;
    struct sp_http_exchange *exchange = op->exchange;
    if (!exchange->request->chunks) { /* nothing else tells a client that an answer broke off */
        return false;
    }
    put_upstreams(op, result, sp_http_put_stream_head, &exchange->reply);
    if (exchange->reply.failed) {
        sp_buf_reset(&exchange->reply);
        return false;
    }
    sp_http_stream_begin(exchange);
    return true;
}

static enum sp_stream stream_data(void *user, struct sp_text bytes)
{
    struct op *op = user;
    return sp_http_stream_data(op->exchange, bytes);
}

static const struct sp_proxy_stream stream = {stream_begin, stream_data};

static void reply(void *user)
{
    struct op *op = user;
    sp_http_call_wipe(&op->call);
    if (op->proxy.streamed) {
        sp_buf_reset(&op->exchange->reply);
        if (sp_http_takes_trailers(op->exchange->request)) {
            sp_http_put_trailers(&op->exchange->reply, op->proxy.trailers,
                                 op->proxy.n_trailers);
        }
        sp_http_stream_end(op->exchange, !op->proxy.broken);
    } else {
        sp_http_exchange_reply(op->exchange);
    }
}

static void on_drained(void *user, struct sp_http_exchange *exchange)
{
    struct op *op = exchange->user;
    (void)user;
    sp_proxy_resume(&op->proxy);
}

static void on_arrived(void *user, struct sp_http_exchange *exchange)
{
    struct op *op = exchange->user;
    (void)user;
    sp_proxy_upload_on(&op->proxy);
}

static void on_gone(void *user, struct sp_http_exchange *exchange)
{
    struct op *op = exchange->user;
    (void)user;
    if (exchange->fault || exchange->passes) {
        sp_proxy_break_off(&op->proxy);
    } else {
        sp_proxy_abandon(&op->proxy);
    }
}

static enum sp_upload pull(void *user, char *bytes, size_t room, size_t *ret_n)
{
    struct op *op = user;
    return sp_http_exchange_pull(op->exchange, bytes, room, ret_n);
}

static const struct sp_egress_upload upload = {pull};

/* The canonical request, with that body (.ptr NULL: none is there). */
static sp_status read_request(struct op *op, struct sp_text body, struct sp_error *err)
{
    struct sp_http_exchange *exchange = op->exchange;
    struct sp_raw_request raw = {
        .method = exchange->request->method,
        .url = sp_http_call_url(&exchange->arena, &op->call, op->upstream_host),
        .headers = op->call.headers,
        .n_headers = op->call.n_headers,
        .body = body};
    return raw.url.ptr ? sp_canonical(&exchange->arena, &raw, &op->request, err)
                       : sp_fail(err, SP_ENOMEM, "out of memory");
}

/* ---- how its body is read -------------------------------------------------------------------
 */

static void pass(struct op *op)
{
    op->proxy.upload = &upload;
    op->proxy.upload_bytes = op->exchange->request->body_bytes;
    sp_http_exchange_read(op->exchange, true);
}

/* A signature may be over the body, which must be there for it. */
static void on_plan(void *user, struct sp_plan_ref *ref, const struct sp_error *err)
{
    struct op *op = user;
    (void)err; /* the call will say it */
    bool signs = ref && ref->plan.signature && sp_sign_reads_body(ref->plan.signature);
    if (ref) {
        sp_plan_unref(ref);
    }
    sp_key_unref(op->host->engine, op->asked);
    if (signs) {
        sp_http_exchange_read(op->exchange, false);
    } else {
        pass(op);
    }
}

static void ask(void *user, struct sp_http_exchange *exchange)
{
    struct op *op = exchange->user;
    struct sp_error err;
    (void)user;
    if (exchange->route->mode == SP_HTTP_HEALTH) {
        sp_http_exchange_read(exchange, false);
    } else if (read_request(op, (struct sp_text){NULL, 0}, &err)) {
        pass(op); /* it is refused without it */
    } else if (sp_engine_wants_body(op->host->engine, &op->proxy.call, &op->asked)) {
        sp_http_exchange_read(exchange, false);
    } else if (!op->asked) {
        pass(op);
    } else {
        sp_providers_plan(op->host->providers, op->asked, on_plan, op);
    }
}

/* ---- the call, begun ------------------------------------------------------------------------
 */

static void handle(void *user, struct sp_http_exchange *exchange)
{
    struct op *op = exchange->user;
    struct sp_error err = {""};
    struct sp_decision decision = {.code = SP_CODE_OK};
    if (exchange->route->mode == SP_HTTP_HEALTH) {
        sp_ops_health(user, exchange);
        return;
    }
    sp_status status = read_request(op, exchange->request->body, &err);
    if (status) {
        decide(&decision,
               status == SP_ETOOBIG  ? SP_CODE_TOO_LARGE
               : status == SP_ENOMEM ? SP_CODE_BUSY
                                     : SP_CODE_BAD_REQUEST,
               err.text);
        note_refusal(op, &decision);
        reply(op);
        return;
    }
    if (op->proxy.upload) {
        op->request.body_kind = SP_BODY_STREAMED;
    }
    op->proxy.stream = &stream;
    op->proxy.encode = encode;
    op->proxy.done = reply;
    op->proxy.answer = &exchange->reply;
    op->proxy.user = op;
    sp_proxy_start(&op->host->proxy, &op->proxy);
}

/* ---- start ----------------------------------------------------------------------------------
 */

static void on_refused(void *user, const char *peer, const char *why)
{
    struct sp_host *host = user;
    (void)peer;
    (void)why;
    host->messages_refused++;
}

sp_status sp_ops_http_start(struct sp_host *host, struct sp_error *err)
{
    if (host->config.n_http == 0) {
        return SP_OK;
    }
    for (size_t i = 0; i < host->config.n_http; i++) {
        const struct sp_config_http *http = &host->config.http[i];
        host->http_listeners[i] = (struct sp_http_listen){
            .name = http->name,
            .at = http->listen,
            .route = {.mode = http->health      ? SP_HTTP_HEALTH
                              : http->forward   ? SP_HTTP_FORWARD
                              : http->by_token  ? SP_HTTP_TOKEN
                              : *http->provider ? SP_HTTP_PROVIDER
                                                : SP_HTTP_PREFIXED,
                      .provider = sp_text_of(http->provider)},
            .tls_cert = *http->tls_cert ? http->tls_cert : NULL,
            .tls_key = *http->tls_key ? http->tls_key : NULL,
        };
    }
    struct sp_http_front_config config = {
        .loop = &host->loop,
        .listeners = host->http_listeners,
        .n_listeners = host->config.n_http,
        .body_max_bytes = host->config.message_max_bytes,
        .pass_max_bytes =
            host->config.http_body_max_bytes ? host->config.http_body_max_bytes : UINT64_MAX,
        .held_max_bytes = host->config.http_held_bytes,
        .connections_max = host->config.http_connections,
        .exchanges_max = host->config.calls_max,
        .exchanges_max_per_client = host->config.calls_max_per_client,
        .idle_ms = host->config.http_idle_ms,
        .grace_ms = host->config.http_grace_ms,
        .admit = admit,
        .connect = sp_ops_proxy_connect,
        .ask = ask,
        .handle = handle,
        .drained = on_drained,
        .gone = on_gone,
        .arrived = on_arrived,
        .refused = on_refused,
        .user = host,
    };
    sp_status status = sp_http_front_new(&config, &host->http_front, err);
    for (size_t i = 0; !status && i < host->config.n_http; i++) {
        const struct sp_config_http *http = &host->config.http[i];
        const char *at = sp_http_front_at(host->http_front, i);
        const char *mode = http->forward     ? "forward"
                           : http->by_token  ? "token"
                           : *http->provider ? "provider "
                                             : "prefixed";
        (void)snprintf(host->http_text[i], sizeof host->http_text[i], "%s: %s, %s%s",
                       http->name, at, mode, http->provider);
        host->http_texts[i] = host->http_text[i];
        SP_LOG(&host->log, SP_LOG_INFO, "http.listening", {"listener", sp_text_of(http->name)},
               {"at", sp_text_of(at)}, {"mode", sp_text_of(mode)});
    }
    return status;
}
