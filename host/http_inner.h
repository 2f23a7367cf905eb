/* What the files of the HTTP front end share: front_http.c (listeners), http_conn.c (one
 * connection: its life, and what it reads), http_body.c (bodies that are handed on while they
 * come), http_send.c (what it writes), http_tunnel.c (CONNECT). Loop thread only. */
#ifndef SP_HTTP_INNER_H
#define SP_HTTP_INNER_H

#include "front_http.h"
#include "http_tls.h"

enum {
    HTTP_READ_BYTES = 64 << 10,
    HTTP_STREAM_HIGH_BYTES = 256 << 10, /* of a stream waiting to go out: no more, please */
    HTTP_STREAM_LOW_BYTES = 64 << 10,   /* more again */
    HTTP_LINGER_MS = 2000,              /* how long we listen on after the last answer */
    HTTP_REPLY_MAX_BYTES = 64 << 20,
    HTTP_SLOWEST_BYTES_PER_MS = 16, /* what a client must at least send, or take */
};

enum {
    HTTP_PASS_MIN_BYTES = 256 << 10,  /* a shorter body is read whole */
    HTTP_PASS_HIGH_BYTES = 128 << 10, /* of a body waiting to be pulled: read no more */
    HTTP_PASS_LOW_BYTES = 64 << 10,   /* read on */
};

enum conn_phase {
    CONN_READING,   /* a request, or waiting for one */
    CONN_ASKING,    /* its body is to come: how it is to be read is being decided */
    CONN_BUSY,      /* the handler has it; nothing is read but a body that passes */
    CONN_STREAMING, /* the answer is on its way while it comes; a client's end is noticed */
    CONN_GONE,      /* one of these two, but nobody is there any more: its handler is to know */
    CONN_WRITING,   /* the answer is on its way */
    CONN_LINGER,    /* shut down; what still comes is thrown away */
    CONN_CLOSING,
};

struct listener {
    struct sp_http_front *front;
    const struct sp_http_listen *config;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } io;
    struct sp_tls_context *tls; /* NULL: none */
    bool is_unix, open;
    bool waiting; /* a connection could not be taken for want of memory */
    uint16_t port;
    char at[512];
};

/* A body that passes, from `handle` to its end. */
struct passing {
    bool begun;           /* the handler knows */
    bool hungry;          /* it was pulled in vain */
    bool unasked;         /* its client waits for 100 Continue */
    uint64_t deadline_ms; /* by when more has to have come */
    size_t n_unpaid;      /* bytes that came and did not move it yet */
};

struct conn {
    struct sp_http_exchange public; /* the handler's view; first */
    struct listener *listener;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } io;
    struct sp_tls *tls;
    struct sp_tls *next_tls;         /* from the answer to a CONNECT on */
    char tunnel[SP_HTTP_HOST_BYTES]; /* its host; empty: none */
    struct sp_wipe_buf proxy_authorization;
    struct sp_http_reader reader;
    struct sp_wipe_buf pending; /* came after the request under way */
    enum conn_phase phase;
    bool admitted; /* the head was let in: the exchange is open */
    bool fresh;    /* nothing came yet */
    bool waits;    /* it streams, and asked for a pause */
    bool told;     /* GONE, and the handler knows */
    bool reads;    /* libuv does, for it */
    bool asked;    /* how its body is to be read was asked */
    bool asking;   /* and is being asked: the answer comes from within */
    struct passing passing;
    uint64_t since_ms;
    size_t n_held, n_writing, n_unwritten;
    uv_shutdown_t shutdown;
    struct conn *next, *previous;
    struct conn *next_sent; /* of front->sent */
};

struct sp_http_front {
    struct sp_http_front_config config;
    struct listener listeners[SP_HTTP_LISTENERS_MAX];
    struct conn *conns;
    size_t n_conns, n_open, n_held;
    struct sp_shares *shares; /* of the exchanges */
    uv_timer_t sweep;
    struct conn *sent; /* whose answers the kernel took at once: conns_answered is due */
    uv_prepare_t before_wait;
    uv_check_t after_wait;
    unsigned n_handles; /* that are not closed yet */
    bool stopped, freed;
    char read[HTTP_READ_BYTES], plain[HTTP_READ_BYTES];
};

/* ---- front_http.c ---------------------------------------------------------------------------
 */

/* A handle is gone: front_http.c frees the front with the last. */
void front_handle_closed(struct sp_http_front *front);

/* ---- http_conn.c ----------------------------------------------------------------------------
 */

/* A connection waits at the listener. */
void conn_accept(struct listener *listener);
/* Close what is too slow, or idle for too long. */
void conn_sweep(struct conn *conn, uint64_t now_ms);
void conn_close(struct conn *conn);
/* Go on with all connections whose answers are gone; once before and once after each wait. */
void conns_answered(struct sp_http_front *front);
/* The answer is out: the next request, the tunnel, or the end. */
void conn_answered(struct conn *conn);

struct sp_http_front *conn_front(const struct conn *conn);
uint64_t conn_now(const struct conn *conn);
void conn_enter(struct conn *conn, enum conn_phase phase);
/* Keep the front's count of what all connections hold. */
void conn_account(struct conn *conn);
void conn_read_start(struct conn *conn);
void conn_read_stop(struct conn *conn);
/* Bytes that came, through TLS and in the clear. */
void conn_consume_tls(struct conn *conn, struct sp_text bytes);
void conn_consume(struct conn *conn, struct sp_text bytes);
/* Read on: first what came while the last request was under way. */
void conn_read_on(struct conn *conn, void (*feed)(struct conn *conn, struct sp_text bytes));

/* ---- http_body.c ----------------------------------------------------------------------------
 */

/* The head is whole and its body is not; n_left bytes of it are at hand. Decide how to read it,
 * where that is to be decided. */
void body_consider(struct conn *conn, size_t n_left);
/* Of a body that passes: feed what is its, and call the handler. */
void body_feed(struct conn *conn, struct sp_text *bytes);
/* Whether it passes, and more of it may be read. */
bool body_has_room(const struct conn *conn);
/* One whose client is too slow. */
void body_sweep(struct conn *conn, uint64_t now_ms);

/* ---- http_send.c ----------------------------------------------------------------------------
 */

/* Takes bytes over. answer: the exchange ends with them. */
void conn_send(struct conn *conn, struct sp_buf *bytes, bool answer);
void conn_send_answer(struct conn *conn);
/* The end of a connection whose bytes cannot be trusted, or are not wanted, any more. */
void conn_send_fault(struct conn *conn, int status, const char *why);
void conn_send_busy(struct conn *conn);
void conn_send_continue(struct conn *conn);
/* What TLS wants to send, be it handshake or answer. */
void conn_flush_tls(struct conn *conn, bool answer);
/* A reader that takes fewer than 16 KiB a second over grace_ms is cut off. */
void conn_sweep_send(struct conn *conn, uint64_t now_ms);

/* ---- http_tunnel.c --------------------------------------------------------------------------
 */

/* A CONNECT: answered here, and from then on TLS is spoken, with us. */
void tunnel_accept(struct conn *conn);
/* The answer to CONNECT is out; what came behind it is TLS already. */
void tunnel_open(struct conn *conn);

#endif
