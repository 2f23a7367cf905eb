/* What goes out to a client: answers whole or as they come, and how fast they are taken. */
#include "http_answer.h"
#include "http_inner.h"

#include <linux/sockios.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/ioctl.h>

/* Bytes on their way out; they are wiped when they are gone. */
struct write {
    uv_write_t req;
    struct conn *conn;
    struct sp_buf bytes;
    bool answer; /* the exchange ends with it */
};

/* ---- whole ----------------------------------------------------------------------------------
 */

static void write_free(struct write *write)
{
    if (write->bytes.ptr) {
        sodium_memzero(write->bytes.ptr, write->bytes.len);
    }
    sp_buf_done(&write->bytes);
    free(write);
}

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
        conn_answered(conn);
    }
}

/* From the loop and not from here: the next request may be there already, and its answer, and
 * so on, each inside of the other. */
static void answered_soon(struct conn *conn)
{
    struct sp_http_front *front = conn_front(conn);
    conn->next_sent = front->sent;
    front->sent = conn;
}

void conns_answered(struct sp_http_front *front)
{
    struct conn *conn = front->sent, *next;
    front->sent = NULL;
    for (; conn; conn = next) {
        next = conn->next_sent;
        if (conn->phase == CONN_WRITING) { /* and not closed meanwhile */
            conn_answered(conn);
        }
    }
}

/* The kernel takes most answers at once, and then libuv need not be asked to watch for room,
 * which it does with a system call of its own. True: all of it is gone. */
static bool send_now(struct conn *conn, struct sp_buf *bytes, size_t *ret_n)
{
    uv_buf_t buf = uv_buf_init(bytes->ptr, (unsigned)bytes->len);
    int n = uv_try_write(&conn->io.stream, &buf, 1);
    *ret_n = n > 0 ? (size_t)n : 0; /* errors: uv_write meets them again */
    if (*ret_n < bytes->len) {
        return false;
    }
    sodium_memzero(bytes->ptr, bytes->len);
    sp_buf_done(bytes);
    return true;
}

/* Takes bytes over. */
static void send_raw(struct conn *conn, struct sp_buf *bytes, bool answer)
{
    size_t n_sent = 0;
    if (send_now(conn, bytes, &n_sent)) {
        sp_buf_init(bytes, HTTP_REPLY_MAX_BYTES);
        if (answer) {
            answered_soon(conn);
        }
        return;
    }
    struct write *write = calloc(1, sizeof *write);
    if (!write) {
        conn_close(conn);
        return;
    }
    write->conn = conn;
    write->answer = answer;
    write->bytes = *bytes;
    sp_buf_init(bytes, HTTP_REPLY_MAX_BYTES);
    uv_buf_t buf =
        uv_buf_init(write->bytes.ptr + n_sent, (unsigned)(write->bytes.len - n_sent));
    if (uv_write(&write->req, &conn->io.stream, &buf, 1, on_written)) {
        write_free(write);
        conn_close(conn);
    }
}

/* What TLS wants to send, be it handshake or answer. */
void conn_flush_tls(struct conn *conn, bool answer)
{
    struct sp_text bytes = sp_tls_to_send(conn->tls);
    if (bytes.len == 0) {
        return;
    }
    struct sp_buf copy;
    sp_buf_init(&copy, 2 * (size_t)HTTP_REPLY_MAX_BYTES);
    sp_buf_add_text(&copy, bytes);
    sp_tls_sent(conn->tls);
    if (copy.failed) {
        sp_buf_done(&copy);
        conn_close(conn);
    } else {
        send_raw(conn, &copy, answer);
    }
}

void conn_send(struct conn *conn, struct sp_buf *bytes, bool answer)
{
    if (bytes->failed) {
        sp_buf_done(bytes);
        sp_buf_init(bytes, HTTP_REPLY_MAX_BYTES);
        conn_close(conn);
    } else if (!conn->tls) {
        send_raw(conn, bytes, answer);
    } else if (sp_tls_write(conn->tls, sp_buf_text(bytes))) {
        conn_close(conn);
    } else {
        sodium_memzero(bytes->ptr, bytes->len);
        sp_buf_reset(bytes);
        conn_flush_tls(conn, answer);
    }
}

void conn_send_answer(struct conn *conn)
{
    conn_enter(conn, CONN_WRITING);
    conn->n_writing = conn->n_unwritten = conn->public.reply.len;
    conn_account(conn);
    conn_send(conn, &conn->public.reply, true);
}

/* The end of a connection whose bytes cannot be trusted, or are not wanted, any more. */
void conn_send_fault(struct conn *conn, int status, const char *why)
{
    struct sp_http_front *front = conn_front(conn);
    front->config.refused(front->config.user, conn->public.peer, why);
    conn->public.close = true;
    sp_buf_reset(&conn->public.reply);
    sp_http_put_fault(&conn->public.reply, status, why);
    conn_send_answer(conn);
}

void conn_send_busy(struct conn *conn)
{
    struct sp_http_front *front = conn_front(conn);
    struct sp_decision busy = {.code = SP_CODE_BUSY,
                               .reason = "the host has its full number of calls",
                               .hint = "try again in a moment"};
    front->config.refused(front->config.user, conn->public.peer, "busy");
    conn->public.close = true;
    sp_buf_reset(&conn->public.reply);
    sp_http_put_refusal(&conn->public.reply, (struct sp_http_form){.close = true}, &busy);
    conn_send_answer(conn);
}

void conn_send_continue(struct conn *conn)
{
    struct sp_buf bytes;
    sp_buf_init(&bytes, 64);
    sp_buf_add_str(&bytes, "HTTP/1.1 100 Continue\r\n\r\n");
    conn_send(conn, &bytes, false);
    sp_buf_done(&bytes);
}

void sp_http_exchange_reply(struct sp_http_exchange *exchange)
{
    struct conn *conn = (struct conn *)exchange;
    exchange->passes = false; /* the rest is nobody's */
    if (conn->phase == CONN_GONE) {
        conn_enter(conn, CONN_WRITING);
        conn_close(conn);
        return;
    }
    if (exchange->reply.failed) {
        conn_send_fault(conn, 500, "the answer is too large");
        return;
    }
    conn_send_answer(conn);
}

/* ---- as it comes ----------------------------------------------------------------------------
 */

void sp_http_stream_begin(struct sp_http_exchange *exchange)
{
    struct conn *conn = (struct conn *)exchange;
    if (conn->phase == CONN_GONE) {
        return; /* its handler will know */
    }
    conn_enter(conn, CONN_STREAMING);
    conn->waits = conn->told = false;
    conn_send(conn, &exchange->reply, false);
    if (conn->phase == CONN_STREAMING) {
        conn_read_start(conn);
    }
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

static size_t count_unwritten(struct conn *conn)
{
    conn->n_writing = uv_stream_get_write_queue_size(&conn->io.stream);
    conn_account(conn);
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
        conn_send(conn, &chunk, false);
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
        conn->since_ms = conn_now(conn);
        conn->n_unwritten = count_untaken(conn);
    }
    return SP_STREAM_WAIT;
}

static void stream_written(struct conn *conn)
{
    struct sp_http_front *front = conn_front(conn);
    if (count_unwritten(conn) <= HTTP_STREAM_LOW_BYTES && conn->waits) {
        conn->waits = false;
        front->config.drained(front->config.user, &conn->public);
    }
}

void sp_http_stream_end(struct sp_http_exchange *exchange, bool whole)
{
    struct conn *conn = (struct conn *)exchange;
    bool gone = conn->phase == CONN_GONE;
    exchange->passes = false;
    conn_enter(conn, CONN_WRITING);
    if (gone || !whole) {
        conn_close(conn);
        return;
    }
    struct sp_buf end;
    sp_buf_init(&end, HTTP_REPLY_MAX_BYTES);
    sp_buf_add_str(&end, "0\r\n");
    sp_buf_add_text(&end, sp_buf_text(&exchange->reply));
    sp_buf_add_str(&end, "\r\n");
    end.failed = end.failed || exchange->reply.failed;
    sp_buf_reset(&exchange->reply);
    conn_send(conn, &end, true);
    sp_buf_done(&end);
    conn->n_unwritten = count_untaken(conn);
}
/* ---- how fast it is taken -------------------------------------------------------------------
 */

/* A reader that takes fewer than 16 KiB a second over grace_ms is cut off. */
void conn_sweep_send(struct conn *conn, uint64_t now)
{
    uint64_t elapsed = now - conn->since_ms;
    if (elapsed <= conn_front(conn)->config.grace_ms) {
        return;
    }
    size_t left = count_untaken(conn);
    if (conn->n_unwritten < left + elapsed * HTTP_SLOWEST_BYTES_PER_MS) {
        conn_close(conn);
        return;
    }
    conn->n_unwritten = left;
    conn->since_ms = now;
}
