/* sp_http_front: the HTTP front end. Listeners on TCP, with TLS or without, and on Unix
 * sockets, all on the host's event loop; one request at a time on each connection, so that
 * pipelined answers stay in order.
 *
 * Each request becomes an exchange: `admit` sees it when its head is whole, so that nobody
 * without a token has a body read; `handle` when the body is; the handler answers exactly once,
 * now or later. While a call is under way nothing more is read, which is the back-pressure.
 * A long body may be handed on while it comes (http_body.c): then `handle` comes before it, and
 * the handler pulls it.
 * Bounded: connections, exchanges, bytes held over all connections, and the time that a client
 * may take to send or to take in (T29). Nothing is proven about a peer: not its name, and no
 * CURVE key. Loop thread only.
 */
#ifndef SP_FRONT_HTTP_H
#define SP_FRONT_HTTP_H

#include "arena.h"
#include "egress.h"
#include "http_call.h"
#include "shares.h"
#include "status.h"

#include <uv.h>

struct sp_http_front;

enum { SP_HTTP_LISTENERS_MAX = 8, SP_HTTP_PEER_BYTES = 64, SP_HTTP_HOST_BYTES = 256 };

struct sp_tls_context;

struct sp_http_exchange {
    const struct sp_http_route *route;     /* the listener's */
    const struct sp_http_request *request; /* its body from `handle` on */
    bool secure;                           /* it came by TLS */
    /* Of a forward proxy's tunnel: the host it leads to, and what CONNECT gave; else empty. */
    struct sp_text tunnel, proxy_authorization;
    bool close;  /* the connection ends with the answer; the handler may set it, and says so */
    bool passes; /* its body is handed on while it comes, and more is to come: an answer that is
                    begun now ends the connection */
    int fault;   /* such a body broke off: the HTTP status for it; 0: it did not */
    const char *why;               /* with it; static */
    char peer[SP_HTTP_PEER_BYTES]; /* for the audit: "127.0.0.1", "unix:1000" (the user's id) */
    struct sp_arena arena;         /* for whatever the request needs */
    struct sp_buf reply;           /* the handler writes the answer here, head and body */
    void *user;                    /* the handler's */
    struct sp_share *share;        /* sp_http_exchange_claim's */
};

struct sp_http_listen {
    const char *name;
    const char *at; /* "127.0.0.1:7251", "[::1]:7251", "unix:/run/sallyport/http.sock" */
    struct sp_http_route route;
    const char *tls_cert, *tls_key; /* PEM files; NULL: no TLS */
};
struct sp_http_front_config {
    uv_loop_t *loop;
    const struct sp_http_listen *listeners; /* borrowed for good */
    size_t n_listeners;
    size_t body_max_bytes;   /* of one that is read whole */
    uint64_t pass_max_bytes; /* of one that is handed on while it comes */
    size_t held_max_bytes;   /* requests and answers of all connections */
    size_t connections_max, exchanges_max, exchanges_max_per_client;
    uint64_t idle_ms;  /* between requests */
    uint64_t grace_ms; /* a request may take this long, and 1 s more for each 16 KiB; an answer
                          has to be taken at that rate over such a time */
    /* False: refused, and the answer written to exchange->reply; the connection ends. */
    bool (*admit)(void *user, struct sp_http_exchange *exchange);
    /* A CONNECT: the certificate to answer with, or NULL, and the refusal in exchange->reply.
     * The tunnel's host is put into ret_host. */
    struct sp_tls_context *(*connect)(void *user, struct sp_http_exchange *exchange,
                                      char ret_host[SP_HTTP_HOST_BYTES]);
    /* Of an admitted request whose body is long, or of unknown length, or waits to be asked
     * for: may it be handed on while it comes? Answered by sp_http_exchange_read. */
    void (*ask)(void *user, struct sp_http_exchange *exchange);
    /* Ends with sp_http_exchange_reply on the same exchange. */
    void (*handle)(void *user, struct sp_http_exchange *exchange);
    /* Of an exchange that streams: there is room again after SP_STREAM_WAIT; the client went
     * away or is too slow. Either way it ends with sp_http_stream_end. */
    void (*drained)(void *user, struct sp_http_exchange *exchange);
    void (*gone)(void *user, struct sp_http_exchange *exchange);
    /* Of an exchange whose body passes: after SP_UPLOAD_WAIT there is more of it, or its end.
     * One that breaks off is told by `gone`, where it has a fault. */
    void (*arrived)(void *user, struct sp_http_exchange *exchange);
    /* No request, or none that can be taken: for counts, never for the disk. */
    void (*refused)(void *user, const char *peer, const char *why);
    void *user;
};
sp_status sp_http_front_new(const struct sp_http_front_config *config,
                            struct sp_http_front **ret_front, struct sp_error *err);
/* Where listener i listens: "http://127.0.0.1:49152", "https://…", "unix:/path". */
const char *sp_http_front_at(const struct sp_http_front *front, size_t i);
/* Its TCP port; 0 where it has none. */
uint16_t sp_http_front_port(const struct sp_http_front *front, size_t i);
void sp_http_exchange_reply(struct sp_http_exchange *exchange);
/* In `admit`, once it knows whose the exchange is (sp_shares' id): until it ends it counts as
 * that client's. False: the client has as many under way as one may have. */
bool sp_http_exchange_claim(struct sp_http_exchange *exchange, struct sp_text client);

/* The answer to `ask`, from within or later. passes: `handle` comes next. */
void sp_http_exchange_read(struct sp_http_exchange *exchange, bool passes);
/* The next piece of a body that passes, at most room bytes. The first call asks a client for it
 * that waits to be asked (100 Continue). */
enum sp_upload sp_http_exchange_pull(struct sp_http_exchange *exchange, char *bytes,
                                     size_t room, size_t *ret_n);

/* Instead of a reply: the head, which stands in exchange->reply, then pieces of the body, then
 * the end, with the trailers that stand in exchange->reply by then. whole: false leaves off
 * without the last chunk, so that the client knows. */
void sp_http_stream_begin(struct sp_http_exchange *exchange);
enum sp_stream sp_http_stream_data(struct sp_http_exchange *exchange, struct sp_text bytes);
void sp_http_stream_end(struct sp_http_exchange *exchange, bool whole);
/* Take no more connections, and end those that wait for a request. */
void sp_http_front_stop(struct sp_http_front *front);
/* Exchanges under way, until their answers are handed to the kernel. */
size_t sp_http_front_n_open(const struct sp_http_front *front);
size_t sp_http_front_held(const struct sp_http_front *front); /* bytes, as against the cap */
size_t sp_http_front_n_connections(const struct sp_http_front *front);
/* After the last exchange was answered; handles close with the loop's next turns. */
void sp_http_front_free(struct sp_http_front *front);

#endif
