/* One connection of the HTTP front door: its life, and bytes to exchanges. Answers to bytes:
 * http_send.c. */
#include "http_inner.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    ARENA_MAX_BYTES = 64 << 20,
    PENDING_MAX_BYTES = 4 * HTTP_READ_BYTES,
    PROXY_AUTHORIZATION_MAX_BYTES = 16 << 10,
};

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf);
static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

struct sp_http_front *conn_front(const struct conn *conn)
{
    return conn->listener->front;
}

uint64_t conn_now(const struct conn *conn)
{
    return uv_now(conn_front(conn)->config.loop);
}

void conn_enter(struct conn *conn, enum conn_phase phase)
{
    conn->phase = phase;
    conn->since_ms = conn_now(conn);
}

/* Keep the front's count of what all connections hold. */
void conn_account(struct conn *conn)
{
    size_t held = sp_http_held(&conn->reader) + conn->pending.room + conn->n_writing;
    conn_front(conn)->n_held += held - conn->n_held;
    conn->n_held = held;
}

/* ---- life -----------------------------------------------------------------------------------
 */

static void on_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    struct sp_http_front *front = conn_front(conn);
    sp_http_reader_done(&conn->reader);
    sp_wipe_buf_done(&conn->pending);
    conn->n_writing = 0;
    conn_account(conn);
    sp_arena_done(&conn->public.arena);
    sp_buf_done(&conn->public.reply);
    sp_tls_free(conn->tls);
    sp_tls_free(conn->next_tls);
    sp_wipe_buf_done(&conn->proxy_authorization);
    if (conn->previous) {
        conn->previous->next = conn->next;
    } else {
        front->conns = conn->next;
    }
    if (conn->next) {
        conn->next->previous = conn->previous;
    }
    free(conn);
    front_handle_closed(front);
}

static void give_place(struct conn *conn)
{
    if (conn->admitted) {
        conn->admitted = false;
        conn_front(conn)->n_open--;
        sp_share_give(conn_front(conn)->shares, conn->public.share);
        conn->public.share = NULL;
    }
}

static void exchange_end(struct conn *conn)
{
    give_place(conn);
    sp_http_next(&conn->reader);
    sp_arena_reset(&conn->public.arena);
    conn->public.user = NULL;
    conn->public.passes = conn->asked = false;
    conn->public.fault = 0;
    conn_account(conn);
}

void conn_close(struct conn *conn)
{
    bool has_it = conn->phase == CONN_BUSY || conn->phase == CONN_ASKING;
    if (conn->phase == CONN_CLOSING || conn->phase == CONN_GONE ||
        (has_it && !conn->public.passes)) {
        return; /* while its handler has it, only the answer ends it */
    }
    if (conn->phase == CONN_STREAMING || has_it) {
        /* We may be inside of a callback of egress; the sweep tells the handler. */
        conn_read_stop(conn);
        conn_enter(conn, CONN_GONE);
        return;
    }
    exchange_end(conn);
    conn_enter(conn, CONN_CLOSING);
    conn_front(conn)->n_conns--;
    uv_close(&conn->io.handle, on_closed);
}

/* Reading goes on while a request is answered, until more comes than its end: to stop and to
 * start again for each request would be two system calls. */
void conn_read_start(struct conn *conn)
{
    if (!conn->reads && uv_read_start(&conn->io.stream, on_alloc, on_read)) {
        conn_close(conn);
        return;
    }
    conn->reads = true;
}

void conn_read_stop(struct conn *conn)
{
    (void)uv_read_stop(&conn->io.stream);
    conn->reads = false;
}

/* ---- in -------------------------------------------------------------------------------------
 */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct conn *conn = handle->data;
    (void)suggested;
    *ret_buf = uv_buf_init(conn_front(conn)->read, HTTP_READ_BYTES);
}

void conn_consume_tls(struct conn *conn, struct sp_text bytes)
{
    struct sp_http_front *front = conn_front(conn);
    int n = sp_tls_receive(conn->tls, bytes) ? -1 : 1;
    while (n > 0 && conn->phase != CONN_CLOSING) {
        n = sp_tls_read(conn->tls, front->plain, sizeof front->plain);
        if (n > 0) {
            conn_consume(conn, (struct sp_text){front->plain, (size_t)n});
            sodium_memzero(front->plain, (size_t)n);
        }
    }
    if (conn->phase != CONN_CLOSING) {
        conn_flush_tls(conn, false); /* handshake, alerts */
    }
    if (n < 0 && (conn->phase == CONN_READING || conn->phase == CONN_STREAMING ||
                  conn->phase == CONN_LINGER || conn->public.passes)) {
        conn_close(conn);
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct conn *conn = stream->data;
    if (n < 0) {
        conn->reads = false; /* libuv's doing */
        /* Who has said all that he wants to say still gets what is on its way to him. */
        if (n != UV_EOF || conn->phase != CONN_WRITING) {
            conn_close(conn);
        }
        return;
    }
    struct sp_text bytes = {buf->base, (size_t)n};
    if (n > 0 && conn->tls) {
        conn_consume_tls(conn, bytes);
    } else if (n > 0) {
        conn_consume(conn, bytes);
        sodium_memzero(buf->base, (size_t)n); /* it may hold a token */
    }
}

bool sp_http_exchange_claim(struct sp_http_exchange *exchange, struct sp_text client)
{
    struct sp_shares *shares = conn_front((struct conn *)exchange)->shares;
    exchange->share = sp_share_take(shares, client);
    return exchange->share && !sp_share_is_over(shares, exchange->share);
}

/* The head is whole. False: answered. */
static bool admit(struct conn *conn)
{
    struct sp_http_front *front = conn_front(conn);
    struct sp_http_exchange *public = &conn->public;
    public->request = &conn->reader.request;
    public->close = !public->request->keep_alive || front->stopped;
    if (front->n_open >= front->config.exchanges_max) {
        conn_send_busy(conn);
        return false;
    }
    conn->admitted = true;
    front->n_open++;
    if (public->request->connect) {
        tunnel_accept(conn);
        return false;
    }
    if (front->config.admit(front->config.user, public)) {
        return true;
    }
    give_place(conn); /* a flood of what is refused keeps nobody out */
    conn_send_answer(conn);
    return false;
}

/* Feed one step; false: no more of the bytes can be taken now. */
static bool step(struct conn *conn, struct sp_text *bytes)
{
    struct sp_http_front *front = conn_front(conn);
    size_t used;
    if (sp_http_held(&conn->reader) == 0) {
        conn->since_ms = conn_now(conn);
        conn->fresh = false;
    }
    enum sp_http_state state = sp_http_feed(&conn->reader, *bytes, &used);
    *bytes = (struct sp_text){bytes->ptr + used, bytes->len - used};
    conn_account(conn);
    if (state == SP_HTTP_BROKEN) {
        conn_send_fault(conn, conn->reader.status, conn->reader.reason);
        return false;
    }
    if (front->n_held > front->config.held_max_bytes) {
        conn_send_busy(conn);
        return false;
    }
    if (state == SP_HTTP_HEAD) {
        return true;
    }
    if (!conn->admitted) {
        if (!admit(conn)) {
            return false;
        }
    }
    if (state == SP_HTTP_BODY) {
        body_consider(conn, bytes->len);
    }
    if (state == SP_HTTP_WHOLE) {
        conn_enter(conn, CONN_BUSY);
        return false;
    }
    return conn->phase == CONN_READING;
}

void conn_consume(struct conn *conn, struct sp_text bytes)
{
    bool reading = conn->phase == CONN_READING;
    while (bytes.len > 0 && conn->phase == CONN_READING && step(conn, &bytes)) {
    }
    if (conn->public.passes) {
        reading = false;
        body_feed(conn, &bytes);
    }
    if (conn->phase == CONN_LINGER || conn->phase == CONN_CLOSING) {
        return;
    }
    bool wanted = conn->phase == CONN_ASKING || !conn->public.close;
    if (conn->phase != CONN_READING && wanted && bytes.len > 0) {
        sp_wipe_buf_add_text(&conn->pending, bytes);
        conn_account(conn);
        if (conn->phase != CONN_STREAMING) {
            conn_read_stop(conn); /* its turn comes */
        }
    }
    if (conn->pending.failed) {
        conn->public.close = true; /* what was lost cannot be answered */
    }
    if (reading && conn->phase == CONN_BUSY) { /* this piece made it whole */
        struct sp_http_front *front = conn_front(conn);
        front->config.handle(front->config.user, &conn->public);
    }
}

/* Read on: first what came while the last request was under way. */
void conn_read_on(struct conn *conn, void (*feed)(struct conn *conn, struct sp_text bytes))
{
    struct sp_wipe_buf pending = conn->pending;
    sp_wipe_buf_init(&conn->pending, PENDING_MAX_BYTES);
    if (pending.len > 0) {
        feed(conn, sp_wipe_buf_text(&pending));
    }
    sp_wipe_buf_done(&pending);
    conn_account(conn);
    if (conn->phase == CONN_READING && conn_front(conn)->stopped && !conn->admitted) {
        conn_close(conn);
    } else if (conn->phase == CONN_READING || body_has_room(conn)) {
        conn_read_start(conn);
    }
}

/* ---- the end --------------------------------------------------------------------------------
 */

static void on_shutdown(uv_shutdown_t *req, int status)
{
    struct conn *conn = req->data;
    if (status && conn->phase != CONN_CLOSING) {
        conn_close(conn);
    }
}

/* A close with bytes unread is a reset, and a reset may take the answer away from a client that
 * has not read it: so first our side is shut, and what comes is thrown away for a while. */
static void linger(struct conn *conn)
{
    conn_enter(conn, CONN_LINGER);
    if (conn->tls) {
        sp_tls_end(conn->tls);
        conn_flush_tls(conn, false);
    }
    if (conn->phase == CONN_CLOSING) {
        return;
    }
    conn->shutdown.data = conn;
    if (uv_shutdown(&conn->shutdown, &conn->io.stream, on_shutdown)) {
        conn_close(conn);
    } else {
        conn_read_start(conn);
    }
}

void conn_answered(struct conn *conn)
{
    bool last = conn->public.close;
    conn->n_writing = 0;
    exchange_end(conn);
    if (last) {
        linger(conn);
        return;
    }
    conn_enter(conn, CONN_READING);
    if (conn->next_tls) {
        tunnel_open(conn);
    } else {
        conn_read_on(conn, conn_consume);
    }
}

/* A client may take grace_ms, and longer for more bytes: 16 KiB a second is what we wait for.
 */
void conn_sweep(struct conn *conn, uint64_t now)
{
    const struct sp_http_front *front = conn_front(conn);
    uint64_t elapsed = now - conn->since_ms, grace = front->config.grace_ms;
    switch (conn->phase) {
    case CONN_READING:
        if (conn->fresh && elapsed > grace) {
            conn_close(conn);
        } else if (!conn->fresh && sp_http_held(&conn->reader) == 0) {
            if (elapsed > front->config.idle_ms || front->stopped) {
                conn_close(conn);
            }
        } else if (elapsed > grace + conn->reader.body.len / HTTP_SLOWEST_BYTES_PER_MS) {
            conn_send_fault(conn, 408, "the request took too long to come");
        }
        break;
    case CONN_WRITING:
        conn_sweep_send(conn, now);
        break;
    case CONN_LINGER:
        if (elapsed > HTTP_LINGER_MS) {
            conn_close(conn);
        }
        break;
    case CONN_STREAMING:
        if (conn->waits) {
            conn_sweep_send(conn, now);
        }
        body_sweep(conn, now);
        break;
    case CONN_GONE:
        if (!conn->told) {
            conn->told = true;
            conn_front(conn)->config.gone(conn_front(conn)->config.user, &conn->public);
        }
        break;
    case CONN_BUSY:
        body_sweep(conn, now);
        break;
    case CONN_ASKING:
    case CONN_CLOSING:
        break;
    }
}

/* ---- the beginning --------------------------------------------------------------------------
 */

static void name_peer(struct conn *conn)
{
    struct sockaddr_storage address;
    struct ucred who;
    int len = sizeof address, fd = -1;
    socklen_t who_len = sizeof who;
    char *peer = conn->public.peer;
    (void)snprintf(peer, SP_HTTP_PEER_BYTES, "unknown");
    if (!conn->listener->is_unix) {
        if (!uv_tcp_getpeername(&conn->io.tcp, (struct sockaddr *)&address, &len)) {
            (void)uv_ip_name((struct sockaddr *)&address, peer, SP_HTTP_PEER_BYTES);
        }
    } else if (!uv_fileno(&conn->io.handle, &fd) &&
               !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &who_len)) {
        (void)snprintf(peer, SP_HTTP_PEER_BYTES, "unix:%u", (unsigned)who.uid);
    }
}

static int conn_init(struct conn *conn, struct listener *listener)
{
    struct sp_http_front *front = listener->front;
    conn->listener = listener;
    conn->public.route = &listener->config->route;
    conn->public.secure = listener->tls != NULL;
    sp_arena_init(&conn->public.arena, ARENA_MAX_BYTES);
    sp_buf_init(&conn->public.reply, HTTP_REPLY_MAX_BYTES);
    sp_http_reader_init(&conn->reader, front->config.body_max_bytes);
    conn->reader.proxy = listener->config->route.mode == SP_HTTP_FORWARD;
    sp_wipe_buf_init(&conn->proxy_authorization, PROXY_AUTHORIZATION_MAX_BYTES);
    sp_wipe_buf_init(&conn->pending, PENDING_MAX_BYTES);
    conn->next = front->conns;
    if (conn->next) {
        conn->next->previous = conn;
    }
    front->conns = conn;
    front->n_conns++;
    front->n_handles++;
    conn->fresh = true;
    conn_enter(conn, CONN_READING);
    int failed = listener->is_unix ? uv_pipe_init(front->config.loop, &conn->io.pipe, 0)
                                   : uv_tcp_init(front->config.loop, &conn->io.tcp);
    conn->io.handle.data = conn;
    return failed;
}

/* Where all connections are taken, the one that has had nothing to say for longest makes room:
 * else whoever opens them all and says nothing keeps everybody out. False: all are at work. */
static bool make_room(struct sp_http_front *front, const struct conn *newest)
{
    struct conn *idlest = NULL;
    for (struct conn *conn = front->conns; conn; conn = conn->next) {
        bool is_idle =
            conn != newest && conn->phase == CONN_READING && sp_http_held(&conn->reader) == 0;
        if (is_idle && (!idlest || conn->since_ms < idlest->since_ms)) {
            idlest = conn;
        }
    }
    if (idlest) {
        conn_close(idlest);
    }
    return idlest != NULL;
}

void conn_accept(struct listener *listener)
{
    struct sp_http_front *front = listener->front;
    struct conn *conn = calloc(1, sizeof *conn);
    listener->waiting = !conn;
    if (!conn) {
        return; /* it waits; libuv tells of no other until it is taken */
    }
    (void)conn_init(conn, listener);
    bool full = front->n_conns > front->config.connections_max && !make_room(front, conn);
    if (uv_accept(&listener->io.stream, &conn->io.stream) || full || front->stopped) {
        if (full) {
            front->config.refused(front->config.user, "", "too many connections");
        }
        conn_close(conn);
        return;
    }
    name_peer(conn);
    if (!listener->is_unix) {
        (void)uv_tcp_nodelay(&conn->io.tcp, 1);
    }
    conn->tls = listener->tls ? sp_tls_new(listener->tls) : NULL;
    if (listener->tls && !conn->tls) {
        conn_close(conn);
    } else {
        conn_read_start(conn);
    }
}
