/* What the files of the HTTP front end share: front_http.c (listeners), http_conn.c (one
 * connection). Loop thread only. */
#ifndef SP_HTTP_INNER_H
#define SP_HTTP_INNER_H

#include "front_http.h"
#include "http_tls.h"

enum {
    HTTP_READ_BYTES = 64 << 10,
    HTTP_STREAM_HIGH_BYTES = 256 << 10, /* of a stream waiting to go out: no more, please */
    HTTP_STREAM_LOW_BYTES = 64 << 10,   /* more again */
    HTTP_LINGER_MS = 2000,              /* how long we listen on after the last answer */
};

enum conn_phase {
    CONN_READING,   /* a request, or waiting for one */
    CONN_BUSY,      /* the handler has it; nothing is read */
    CONN_STREAMING, /* the answer is on its way while it comes; a client's end is noticed */
    CONN_GONE,      /* the same, but nobody is there any more: its handler is to be told */
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
    uint64_t since_ms;
    size_t n_held, n_writing, n_unwritten;
    uv_shutdown_t shutdown;
    struct conn *next, *previous;
};

struct sp_http_front {
    struct sp_http_front_config config;
    struct listener listeners[SP_HTTP_LISTENERS_MAX];
    struct conn *conns;
    size_t n_conns, n_open, n_held;
    uv_timer_t sweep;
    unsigned n_handles; /* that are not closed yet */
    bool stopped, freed;
    char read[HTTP_READ_BYTES], plain[HTTP_READ_BYTES];
};

/* A connection waits at the listener. */
void conn_accept(struct listener *listener);
/* Close what is too slow, or idle for too long. */
void conn_sweep(struct conn *conn, uint64_t now_ms);
void conn_close(struct conn *conn);
/* A handle is gone: front_http.c frees the front with the last. */
void front_handle_closed(struct sp_http_front *front);

#endif
