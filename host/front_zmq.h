/* sp_front: the ZeroMQ front end. One ROUTER socket under CURVE on the host's event loop.
 *
 * A message is [routing id, empty, body] and nothing else; anything else is dropped and
 * counted. Each good one becomes an exchange, which its handler answers exactly once, now or
 * later. The peer is who CURVE and ZAP proved (the message's User-Id), never what a frame
 * claims. A DEALER can be sent several messages before an exchange ends. Bounded: past the
 * configured number of exchanges, over all or for one peer, the front answers `busy` itself.
 * Loop thread only.
 */
#ifndef SP_FRONT_ZMQ_H
#define SP_FRONT_ZMQ_H

#include "arena.h"
#include "buf.h"
#include "status.h"

#include <stdint.h>
#include <uv.h>

struct sp_front;

struct sp_exchange {
    char curve[41];        /* the proven peer, Z85 */
    struct sp_text body;   /* the message; wiped when the exchange ends */
    struct sp_arena arena; /* for whatever the request needs; reset when the exchange ends */
    struct sp_buf reply;   /* the handler writes the answer here */
    void *user;            /* the handler's */
    /* The peer can take several messages for one: a DEALER, under a routing id that is the
     * socket's own choice. (One that a peer chose could be another's when the peer is gone.) */
    bool many;
    bool over; /* past the limits: only to be answered at once */
};

struct sp_front_config {
    uv_loop_t *loop;
    void *zmq_context;
    const char *domain; /* zap.h */
    const char *endpoint;
    const uint8_t *secret_key; /* the host's CURVE key, 32 bytes */
    size_t message_max_bytes;
    size_t exchanges_max, exchanges_max_per_peer;
    /* A message of at most so many bytes becomes an exchange even past them, with `over` set:
     * it may be one that helps another to its end. 0: none does. */
    size_t over_max_bytes;
    /* Called for every request. Ends with sp_exchange_reply on the same exchange. */
    void (*handle)(void *user, struct sp_exchange *exchange);
    /* Appends the answer `busy` for a request that no exchange could be had for. */
    void (*busy)(void *user, struct sp_buf *reply);
    /* A malformed message, or a full front: for counts, never for the disk. */
    void (*refused)(void *user, const char *curve, const char *why);
    void *user;
};
sp_status sp_front_new(const struct sp_front_config *config, struct sp_front **ret_front,
                       struct sp_error *err);
/* The endpoint as bound ("tcp://127.0.0.1:49152" where port * was asked for). */
const char *sp_front_endpoint(const struct sp_front *front);
/* Send exchange->reply and end the exchange. A peer that is gone gets nothing (T8). */
void sp_exchange_reply(struct sp_exchange *exchange);
/* Send one more message; the exchange stays open. */
enum sp_sent { SP_SENT, SP_SENT_FULL /* try again later */, SP_SENT_GONE /* for ever */ };
enum sp_sent sp_exchange_send(struct sp_exchange *exchange, struct sp_text message);
/* End the exchange without (another) answer. */
void sp_exchange_end(struct sp_exchange *exchange);
/* Whether both came over one connection. */
bool sp_exchange_same_peer(const struct sp_exchange *a, const struct sp_exchange *b);
/* Take no more requests; what is open may still be answered. */
void sp_front_stop(struct sp_front *front);
size_t sp_front_n_open(const struct sp_front *front);
/* After the last exchange has ended; handles close with the loop's next turns. */
void sp_front_free(struct sp_front *front);

#endif
