/* A request's body that is handed on while it comes: the handler pulls it, and its client is
 * read no faster than that. */
#include "http_inner.h"

/* ---- in -------------------------------------------------------------------------------------
 */

/* It broke off. Who has not heard of the call is not bothered. */
static void break_off(struct conn *conn, int status, const char *why)
{
    const struct sp_http_front *front = conn_front(conn);
    conn->public.passes = false;
    conn->public.close = true;
    if (!conn->passing.begun) {
        conn_send_fault(conn, status, why);
        return;
    }
    conn->public.fault = status;
    conn->public.why = why;
    front->config.gone(front->config.user, &conn->public);
}

static void start_clock(struct conn *conn)
{
    conn->passing.deadline_ms = conn_now(conn) + conn_front(conn)->config.grace_ms;
    conn->passing.n_unpaid = 0;
}

bool body_has_room(const struct conn *conn)
{
    return conn->public.passes && sp_http_body_waiting(&conn->reader) <= HTTP_PASS_HIGH_BYTES;
}

/* 16 KiB a second is what we wait for, and grace_ms at a time. */
static void pay_clock(struct conn *conn, size_t n)
{
    struct passing *passing = &conn->passing;
    uint64_t latest = conn_now(conn) + conn_front(conn)->config.grace_ms;
    passing->n_unpaid += n;
    passing->deadline_ms += passing->n_unpaid / HTTP_SLOWEST_BYTES_PER_MS;
    passing->n_unpaid %= HTTP_SLOWEST_BYTES_PER_MS;
    if (passing->deadline_ms > latest) {
        passing->deadline_ms = latest;
    }
    passing->unasked = false;
}

static void hand_on(struct conn *conn)
{
    const struct sp_http_front *front = conn_front(conn);
    struct passing *passing = &conn->passing;
    if (!passing->begun) {
        passing->begun = true;
        front->config.handle(front->config.user, &conn->public);
    } else if (passing->hungry) {
        passing->hungry = false;
        front->config.arrived(front->config.user, &conn->public);
    }
}

void body_feed(struct conn *conn, struct sp_text *bytes)
{
    enum sp_http_state state = conn->reader.state;
    size_t used;
    while (bytes->len > 0 && state == SP_HTTP_BODY) {
        state = sp_http_feed(&conn->reader, *bytes, &used);
        *bytes = (struct sp_text){bytes->ptr + used, bytes->len - used};
        pay_clock(conn, used);
    }
    conn_account(conn);
    if (state == SP_HTTP_BROKEN) {
        break_off(conn, conn->reader.status, conn->reader.reason);
        return;
    }
    conn->public.passes = state == SP_HTTP_BODY;
    if (conn->public.passes && !body_has_room(conn)) {
        conn_read_stop(conn);
    }
    hand_on(conn);
}

void body_sweep(struct conn *conn, uint64_t now)
{
    if (conn->public.passes && conn->reads && !conn->passing.unasked &&
        now > conn->passing.deadline_ms) {
        break_off(conn, 408, "the request took too long to come");
    }
}

/* ---- how it is to be read -------------------------------------------------------------------
 */

static void pass(struct conn *conn)
{
    const struct sp_http_request *request = &conn->reader.request;
    if (sp_http_pass(&conn->reader, conn_front(conn)->config.pass_max_bytes) ==
        SP_HTTP_BROKEN) {
        conn_send_fault(conn, conn->reader.status, conn->reader.reason);
        return;
    }
    conn_enter(conn, CONN_BUSY);
    conn->public.passes = true;
    conn->told = false;
    conn->passing = (struct passing){.unasked = request->expects_continue &&
                                                sp_http_body_waiting(&conn->reader) == 0};
    start_clock(conn);
}

static void gather(struct conn *conn)
{
    if (sp_http_gather(&conn->reader) == SP_HTTP_BROKEN) {
        conn_send_fault(conn, conn->reader.status, conn->reader.reason);
        return;
    }
    conn->phase = CONN_READING;
    if (conn->reader.request.expects_continue && sp_http_body_waiting(&conn->reader) == 0) {
        conn_send_continue(conn);
    }
}

void body_consider(struct conn *conn, size_t n_left)
{
    const struct sp_http_front *front = conn_front(conn);
    const struct sp_http_request *request = &conn->reader.request;
    bool chunked = request->body_bytes == SP_HTTP_UNKNOWN;
    /* One in chunks may be whole within what is at hand. */
    bool is_long =
        chunked ? n_left == 0 || sp_http_body_waiting(&conn->reader) > HTTP_PASS_MIN_BYTES
                : request->body_bytes > HTTP_PASS_MIN_BYTES;
    if (conn->asked) {
        return;
    }
    conn->asked = is_long || request->expects_continue || !chunked;
    if (!is_long && !request->expects_continue) {
        gather(conn);
        return;
    }
    conn->phase = CONN_ASKING; /* the client's time goes on */
    conn->asking = true;
    front->config.ask(front->config.user, &conn->public);
    conn->asking = false;
}

void sp_http_exchange_read(struct sp_http_exchange *exchange, bool passes)
{
    struct conn *conn = (struct conn *)exchange;
    if (passes) {
        pass(conn);
    } else {
        gather(conn);
    }
    if (conn->asking) {
        return; /* who asks reads on */
    }
    conn_read_on(conn, conn_consume);
    if (exchange->passes && !conn->passing.begun) { /* nothing of it has come */
        hand_on(conn);
    }
}

/* ---- out ------------------------------------------------------------------------------------
 */

enum sp_upload sp_http_exchange_pull(struct sp_http_exchange *exchange, char *bytes,
                                     size_t room, size_t *ret_n)
{
    struct conn *conn = (struct conn *)exchange;
    bool whole = conn->reader.state == SP_HTTP_WHOLE;
    *ret_n = 0;
    if (conn->phase == CONN_GONE || exchange->fault) {
        return SP_UPLOAD_BROKEN;
    }
    if (conn->passing.unasked) {
        conn->passing.unasked = false;
        start_clock(conn);
        conn_send_continue(conn);
    }
    *ret_n = sp_http_body_take(&conn->reader, bytes, room);
    if (exchange->passes && !conn->reads &&
        sp_http_body_waiting(&conn->reader) <= HTTP_PASS_LOW_BYTES) {
        start_clock(conn);
        conn_read_start(conn);
    }
    if (*ret_n > 0) {
        return SP_UPLOAD_MORE;
    }
    conn->passing.hungry = !whole;
    return whole ? SP_UPLOAD_END : SP_UPLOAD_WAIT;
}
