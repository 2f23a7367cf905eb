/* One connection of the HTTP front door: bytes to exchanges, answers to bytes. */
#include "http_answer.h"
#include "http_inner.h"

#include <linux/sockios.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum {
    ARENA_MAX_BYTES = 64 << 20,
    REPLY_MAX_BYTES = 64 << 20,
    PENDING_MAX_BYTES = 4 * HTTP_READ_BYTES,
    SLOWEST_BYTES_PER_MS = 16,
    PROXY_AUTHORIZATION_MAX_BYTES = 16 << 10,
};

/* Bytes on their way out; they are wiped when they are gone. */
struct write {
    uv_write_t req;
    struct conn *conn;
    struct sp_buf bytes;
    bool answer; /* the exchange ends with it */
};

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf);
static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);
static void consume(struct conn *conn, struct sp_text bytes);
static void linger(struct conn *conn);
static void read_stop(struct conn *conn);

static struct sp_http_front *front_of(const struct conn *conn)
{
    return conn->listener->front;
}

static uint64_t now_ms(const struct conn *conn)
{
    return uv_now(front_of(conn)->config.loop);
}

static void enter(struct conn *conn, enum conn_phase phase)
{
    conn->phase = phase;
    conn->since_ms = now_ms(conn);
}

/* Keep the front's count of what all connections hold. */
static void account(struct conn *conn)
{
    size_t held = sp_http_held(&conn->reader) + conn->pending.room + conn->n_writing;
    front_of(conn)->n_held += held - conn->n_held;
    conn->n_held = held;
}

/* ---- life -----------------------------------------------------------------------------------
 */

static void on_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    struct sp_http_front *front = front_of(conn);
    sp_http_reader_done(&conn->reader);
    sp_wipe_buf_done(&conn->pending);
    conn->n_writing = 0;
    account(conn);
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
    front->n_conns--;
    free(conn);
    front_handle_closed(front);
}

static void exchange_end(struct conn *conn)
{
    if (conn->admitted) {
        conn->admitted = false;
        front_of(conn)->n_open--;
    }
    sp_http_next(&conn->reader);
    sp_arena_reset(&conn->public.arena);
    conn->public.user = NULL;
    account(conn);
}

void conn_close(struct conn *conn)
{
    if (conn->phase == CONN_CLOSING || conn->phase == CONN_BUSY || conn->phase == CONN_GONE) {
        return; /* while its handler has it, only the answer ends it */
    }
    if (conn->phase == CONN_STREAMING) {
        /* We may be inside of a callback of egress; the sweep tells the handler. */
        read_stop(conn);
        enter(conn, CONN_GONE);
        return;
    }
    exchange_end(conn);
    enter(conn, CONN_CLOSING);
    uv_close(&conn->io.handle, on_closed);
}

/* What the client has not taken yet: of ours, and of what the kernel has for it, which may be
 * megabytes and shrinks long before it takes more of ours. */
static size_t count_untaken(struct conn *conn)
{
    int fd = -1, in_kernel = 0;
    if (uv_fileno(&conn->io.handle, &fd) || ioctl(fd, SIOCOUTQ, &in_kernel) || in_kernel < 0) {
        in_kernel = 0;
    }
    return uv_stream_get_write_queue_size(&conn->io.stream) + (size_t)in_kernel;
}

/* Reading goes on while a request is answered, until more comes than its end: to stop and to
 * start again for each request would be two system calls. */
static void read_start(struct conn *conn)
{
    if (!conn->reads && uv_read_start(&conn->io.stream, on_alloc, on_read)) {
        conn_close(conn);
        return;
    }
    conn->reads = true;
}

static void read_stop(struct conn *conn)
{
    (void)uv_read_stop(&conn->io.stream);
    conn->reads = false;
}

/* ---- out ------------------------------------------------------------------------------------
 */

static void write_free(struct write *write)
{
    if (write->bytes.ptr) {
        sodium_memzero(write->bytes.ptr, write->bytes.len);
    }
    sp_buf_done(&write->bytes);
    free(write);
}

static void read_on(struct conn *conn, void (*feed)(struct conn *conn, struct sp_text bytes));
static void open_tunnel(struct conn *conn);
static void stream_written(struct conn *conn);

static void on_written(uv_write_t *req, int status)
{
    struct write *write = (struct write *)req;
    struct conn *conn = write->conn;
    bool answer = write->answer;
    write_free(write);
    if (conn->phase == CONN_CLOSING) {
        return;
    }
    if (status) {
        conn_close(conn);
    } else if (conn->phase == CONN_STREAMING) {
        stream_written(conn);
    } else if (answer) {
        bool last = conn->public.close;
        conn->n_writing = 0;
        exchange_end(conn);
        if (last) {
            linger(conn);
        } else {
            enter(conn, CONN_READING);
            if (conn->next_tls) {
                open_tunnel(conn);
            } else {
                read_on(conn, consume);
            }
        }
    }
}

/* Takes bytes over. */
static void send_raw(struct conn *conn, struct sp_buf *bytes, bool answer)
{
    struct write *write = calloc(1, sizeof *write);
    if (!write) {
        conn_close(conn);
        return;
    }
    write->conn = conn;
    write->answer = answer;
    write->bytes = *bytes;
    sp_buf_init(bytes, REPLY_MAX_BYTES);
    uv_buf_t buf = uv_buf_init(write->bytes.ptr, (unsigned)write->bytes.len);
    if (uv_write(&write->req, &conn->io.stream, &buf, 1, on_written)) {
        write_free(write);
        conn_close(conn);
    }
}

/* What TLS wants to send, be it handshake or answer. */
static void flush_tls(struct conn *conn, bool answer)
{
    struct sp_text bytes = sp_tls_to_send(conn->tls);
    if (bytes.len == 0) {
        return;
    }
    struct sp_buf copy;
    sp_buf_init(&copy, 2 * (size_t)REPLY_MAX_BYTES);
    sp_buf_add_text(&copy, bytes);
    sp_tls_sent(conn->tls);
    if (copy.failed) {
        sp_buf_done(&copy);
        conn_close(conn);
    } else {
        send_raw(conn, &copy, answer);
    }
}

static void send_bytes(struct conn *conn, struct sp_buf *bytes, bool answer)
{
    if (bytes->failed) {
        sp_buf_done(bytes);
        sp_buf_init(bytes, REPLY_MAX_BYTES);
        conn_close(conn);
    } else if (!conn->tls) {
        send_raw(conn, bytes, answer);
    } else if (sp_tls_write(conn->tls, sp_buf_text(bytes))) {
        conn_close(conn);
    } else {
        sodium_memzero(bytes->ptr, bytes->len);
        sp_buf_reset(bytes);
        flush_tls(conn, answer);
    }
}

static void send_answer(struct conn *conn)
{
    enter(conn, CONN_WRITING);
    conn->n_writing = conn->n_unwritten = conn->public.reply.len;
    account(conn);
    send_bytes(conn, &conn->public.reply, true);
}

/* The end of a connection whose bytes cannot be trusted, or are not wanted, any more. */
static void send_fault(struct conn *conn, int status, const char *why)
{
    struct sp_http_front *front = front_of(conn);
    front->config.refused(front->config.user, conn->public.peer, why);
    conn->public.close = true;
    sp_buf_reset(&conn->public.reply);
    sp_http_put_fault(&conn->public.reply, status, why);
    send_answer(conn);
}

static void send_busy(struct conn *conn)
{
    struct sp_http_front *front = front_of(conn);
    struct sp_decision busy = {.code = SP_CODE_BUSY,
                               .reason = "the host has its full number of calls",
                               .hint = "try again in a moment"};
    front->config.refused(front->config.user, conn->public.peer, "busy");
    conn->public.close = true;
    sp_buf_reset(&conn->public.reply);
    sp_http_put_refusal(&conn->public.reply, (struct sp_http_form){.close = true}, &busy);
    send_answer(conn);
}

static void send_continue(struct conn *conn)
{
    struct sp_buf bytes;
    sp_buf_init(&bytes, 64);
    sp_buf_add_str(&bytes, "HTTP/1.1 100 Continue\r\n\r\n");
    send_bytes(conn, &bytes, false);
    sp_buf_done(&bytes);
}

void sp_http_exchange_reply(struct sp_http_exchange *exchange)
{
    struct conn *conn = (struct conn *)exchange;
    if (exchange->reply.failed) {
        send_fault(conn, 500, "the answer is too large");
        return;
    }
    send_answer(conn);
}

/* ---- out, while it comes --------------------------------------------------------------------
 */

void sp_http_stream_begin(struct sp_http_exchange *exchange)
{
    struct conn *conn = (struct conn *)exchange;
    enter(conn, CONN_STREAMING);
    conn->waits = conn->told = false;
    send_bytes(conn, &exchange->reply, false);
    if (conn->phase == CONN_STREAMING) {
        read_start(conn);
    }
}

static size_t count_unwritten(struct conn *conn)
{
    conn->n_writing = uv_stream_get_write_queue_size(&conn->io.stream);
    account(conn);
    return conn->n_writing;
}

enum sp_stream sp_http_stream_data(struct sp_http_exchange *exchange, struct sp_text bytes)
{
    struct conn *conn = (struct conn *)exchange;
    if (conn->phase == CONN_STREAMING && bytes.len > 0) {
        struct sp_buf chunk;
        sp_buf_init(&chunk, bytes.len + 64);
        sp_buf_addf(&chunk, "%zx\r\n", bytes.len);
        sp_buf_add_text(&chunk, bytes);
        sp_buf_add_str(&chunk, "\r\n");
        send_bytes(conn, &chunk, false);
        sp_buf_done(&chunk);
    }
    if (conn->phase != CONN_STREAMING) {
        return SP_STREAM_GONE;
    }
    if (count_unwritten(conn) <= HTTP_STREAM_HIGH_BYTES) {
        return SP_STREAM_MORE;
    }
    if (!conn->waits) {
        conn->waits = true;
        conn->since_ms = now_ms(conn);
        conn->n_unwritten = count_untaken(conn);
    }
    return SP_STREAM_WAIT;
}

static void stream_written(struct conn *conn)
{
    struct sp_http_front *front = front_of(conn);
    if (count_unwritten(conn) <= HTTP_STREAM_LOW_BYTES && conn->waits) {
        conn->waits = false;
        front->config.drained(front->config.user, &conn->public);
    }
}

void sp_http_stream_end(struct sp_http_exchange *exchange, bool whole)
{
    struct conn *conn = (struct conn *)exchange;
    bool gone = conn->phase == CONN_GONE;
    enter(conn, CONN_WRITING);
    if (gone || !whole) {
        conn_close(conn);
        return;
    }
    sp_buf_reset(&exchange->reply);
    sp_buf_add_str(&exchange->reply, "0\r\n\r\n");
    send_bytes(conn, &exchange->reply, true);
    conn->n_unwritten = count_untaken(conn);
}

/* ---- in -------------------------------------------------------------------------------------
 */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct conn *conn = handle->data;
    (void)suggested;
    *ret_buf = uv_buf_init(front_of(conn)->read, HTTP_READ_BYTES);
}

static void consume_tls(struct conn *conn, struct sp_text bytes)
{
    struct sp_http_front *front = front_of(conn);
    int n = sp_tls_receive(conn->tls, bytes) ? -1 : 1;
    while (n > 0 && conn->phase != CONN_CLOSING) {
        n = sp_tls_read(conn->tls, front->plain, sizeof front->plain);
        if (n > 0) {
            consume(conn, (struct sp_text){front->plain, (size_t)n});
            sodium_memzero(front->plain, (size_t)n);
        }
    }
    if (conn->phase != CONN_CLOSING) {
        flush_tls(conn, false); /* handshake, alerts */
    }
    if (n < 0 && (conn->phase == CONN_READING || conn->phase == CONN_STREAMING ||
                  conn->phase == CONN_LINGER)) {
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
        consume_tls(conn, bytes);
    } else if (n > 0) {
        consume(conn, bytes);
        sodium_memzero(buf->base, (size_t)n); /* it may hold a token */
    }
}

/* What CONNECT gave counts for all requests of the tunnel. Two of them make one that is none.
 */
static void keep_proxy_authorization(struct conn *conn)
{
    const struct sp_http_request *request = conn->public.request;
    sp_wipe_buf_reset(&conn->proxy_authorization);
    for (size_t i = 0; i < request->n_headers; i++) {
        if (sp_text_eq_fold(request->headers[i].name, SP_TEXT("proxy-authorization"))) {
            sp_wipe_buf_add_text(&conn->proxy_authorization,
                                 sp_text_trim(request->headers[i].value));
        }
    }
}

/* A CONNECT: answered here, and from then on TLS is spoken, with us. */
static void accept_tunnel(struct conn *conn)
{
    struct sp_http_front *front = front_of(conn);
    struct sp_tls_context *context =
        front->config.connect(front->config.user, &conn->public, conn->tunnel);
    if (context) {
        keep_proxy_authorization(conn);
        conn->next_tls = sp_tls_new(context);
        conn->public.close = !conn->next_tls || conn->proxy_authorization.failed;
        sp_buf_reset(&conn->public.reply);
        sp_buf_add_str(&conn->public.reply, "HTTP/1.1 200 Connection established\r\n\r\n");
    } else {
        conn->tunnel[0] = '\0';
        conn->public.close = true;
    }
    send_answer(conn);
}

/* The head is whole. False: answered. */
static bool admit(struct conn *conn)
{
    struct sp_http_front *front = front_of(conn);
    struct sp_http_exchange *public = &conn->public;
    public->request = &conn->reader.request;
    public->close = !public->request->keep_alive || front->stopped;
    if (front->n_open >= front->config.exchanges_max) {
        send_busy(conn);
        return false;
    }
    conn->admitted = true;
    front->n_open++;
    if (public->request->connect) {
        accept_tunnel(conn);
        return false;
    }
    if (front->config.admit(front->config.user, public)) {
        return true;
    }
    send_answer(conn);
    return false;
}

/* Feed one step; false: no more of the bytes can be taken now. */
static bool step(struct conn *conn, struct sp_text *bytes)
{
    struct sp_http_front *front = front_of(conn);
    size_t used;
    if (sp_http_held(&conn->reader) == 0) {
        conn->since_ms = now_ms(conn);
        conn->fresh = false;
    }
    enum sp_http_state state = sp_http_feed(&conn->reader, *bytes, &used);
    *bytes = (struct sp_text){bytes->ptr + used, bytes->len - used};
    account(conn);
    if (state == SP_HTTP_BROKEN) {
        send_fault(conn, conn->reader.status, conn->reader.reason);
        return false;
    }
    if (front->n_held > front->config.held_max_bytes) {
        send_busy(conn);
        return false;
    }
    if (state == SP_HTTP_HEAD) {
        return true;
    }
    if (!conn->admitted) {
        if (!admit(conn)) {
            return false;
        }
        if (state == SP_HTTP_BODY && conn->reader.request.expects_continue && bytes->len == 0) {
            send_continue(conn);
        }
    }
    if (state == SP_HTTP_WHOLE) {
        enter(conn, CONN_BUSY);
        return false;
    }
    return conn->phase == CONN_READING;
}

static void consume(struct conn *conn, struct sp_text bytes)
{
    bool reading = conn->phase == CONN_READING;
    while (bytes.len > 0 && conn->phase == CONN_READING && step(conn, &bytes)) {
    }
    if (conn->phase == CONN_LINGER || conn->phase == CONN_CLOSING) {
        return;
    }
    if (conn->phase != CONN_READING && !conn->public.close && bytes.len > 0) {
        sp_wipe_buf_add_text(&conn->pending, bytes);
        account(conn);
        if (conn->phase != CONN_STREAMING) {
            read_stop(conn); /* its turn comes */
        }
    }
    if (conn->pending.failed) {
        conn->public.close = true; /* what was lost cannot be answered */
    }
    if (reading && conn->phase == CONN_BUSY) { /* this piece made it whole */
        struct sp_http_front *front = front_of(conn);
        front->config.handle(front->config.user, &conn->public);
    }
}

/* Read on: first what came while the last request was under way. */
static void read_on(struct conn *conn, void (*feed)(struct conn *conn, struct sp_text bytes))
{
    struct sp_wipe_buf pending = conn->pending;
    sp_wipe_buf_init(&conn->pending, PENDING_MAX_BYTES);
    if (pending.len > 0) {
        feed(conn, sp_wipe_buf_text(&pending));
    }
    sp_wipe_buf_done(&pending);
    account(conn);
    if (conn->phase == CONN_READING && front_of(conn)->stopped) {
        conn_close(conn);
    } else if (conn->phase == CONN_READING) {
        read_start(conn);
    }
}

/* The answer to CONNECT is out; what came behind it is TLS already. */
static void open_tunnel(struct conn *conn)
{
    conn->tls = conn->next_tls;
    conn->next_tls = NULL;
    conn->reader.proxy = false;
    conn->fresh = true; /* a handshake has to come soon */
    conn->public.secure = true;
    conn->public.tunnel = sp_text_of(conn->tunnel);
    conn->public.proxy_authorization = sp_wipe_buf_text(&conn->proxy_authorization);
    read_on(conn, consume_tls);
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
    enter(conn, CONN_LINGER);
    if (conn->tls) {
        sp_tls_end(conn->tls);
        flush_tls(conn, false);
    }
    if (conn->phase == CONN_CLOSING) {
        return;
    }
    conn->shutdown.data = conn;
    if (uv_shutdown(&conn->shutdown, &conn->io.stream, on_shutdown)) {
        conn_close(conn);
    } else {
        read_start(conn);
    }
}

/* A reader that takes fewer than 16 KiB a second over grace_ms is cut off. */
static void sweep_writing(struct conn *conn, uint64_t now)
{
    uint64_t elapsed = now - conn->since_ms;
    if (elapsed <= front_of(conn)->config.grace_ms) {
        return;
    }
    size_t left = count_untaken(conn);
    if (conn->n_unwritten < left + elapsed * SLOWEST_BYTES_PER_MS) {
        conn_close(conn);
        return;
    }
    conn->n_unwritten = left;
    conn->since_ms = now;
}

/* A client may take grace_ms, and longer for more bytes: 16 KiB a second is what we wait for.
 */
void conn_sweep(struct conn *conn, uint64_t now)
{
    const struct sp_http_front *front = front_of(conn);
    uint64_t elapsed = now - conn->since_ms, grace = front->config.grace_ms;
    switch (conn->phase) {
    case CONN_READING:
        if (conn->fresh && elapsed > grace) {
            conn_close(conn);
        } else if (!conn->fresh && sp_http_held(&conn->reader) == 0) {
            if (elapsed > front->config.idle_ms || front->stopped) {
                conn_close(conn);
            }
        } else if (elapsed > grace + conn->reader.body.len / SLOWEST_BYTES_PER_MS) {
            send_fault(conn, 408, "the request took too long to come");
        }
        break;
    case CONN_WRITING:
        sweep_writing(conn, now);
        break;
    case CONN_LINGER:
        if (elapsed > HTTP_LINGER_MS) {
            conn_close(conn);
        }
        break;
    case CONN_STREAMING:
        if (conn->waits) {
            sweep_writing(conn, now);
        }
        break;
    case CONN_GONE:
        if (!conn->told) {
            conn->told = true;
            front_of(conn)->config.gone(front_of(conn)->config.user, &conn->public);
        }
        break;
    case CONN_BUSY:
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
    sp_buf_init(&conn->public.reply, REPLY_MAX_BYTES);
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
    enter(conn, CONN_READING);
    int failed = listener->is_unix ? uv_pipe_init(front->config.loop, &conn->io.pipe, 0)
                                   : uv_tcp_init(front->config.loop, &conn->io.tcp);
    conn->io.handle.data = conn;
    return failed;
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
    bool full = front->n_conns > front->config.connections_max;
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
        read_start(conn);
    }
}
