/* sp_ops_stream: an answer that goes to a ZeroMQ client in several messages, as it comes.
 *
 * A head, parts, an end (message.h). The client says how many parts may be under way: its
 * credit, which each part uses up one of. What there is no credit for is kept, and the upstream
 * is held back meanwhile, so a stream holds little more than what egress hands over at once
 * (EGRESS_STREAM_BYTES). Head, end and the sign of life take no credit. A client's queue that
 * is full is waited for; nothing is dropped.
 *
 * ROUTER sockets do not tell that a peer has left; they refuse to send to it. So a stream that
 * has nothing to say says that it lives, every second, and its end is known (T8).
 * Loop thread only.
 */
#ifndef SP_OPS_STREAM_H
#define SP_OPS_STREAM_H

#include "front_zmq.h"
#include "proxy.h"

/* A message that steers a stream is no longer than this: it is taken in a full host too. */
enum { SP_OPS_STEER_MAX_BYTES = 128 };

struct sp_streams { /* all zero at first but the time-out */
    struct sp_ops_stream *first;
    uint64_t stall_ms; /* how long a client may grant nothing while there is something for it */
};

struct sp_ops_stream { /* the members are ops_stream.c's */
    struct sp_streams *streams;
    struct sp_exchange *exchange;
    struct sp_proxy_call *call;
    struct sp_buf pending; /* what came and is not sent; from `taken` on */
    size_t taken;
    uint64_t seq, n_bytes, said_ms, moved_ms, stalled_ms;
    uint32_t credit;
    bool head_due, begun, waits, gone, over;
    const char *cancelled; /* why; NULL: it is not */
    struct sp_ops_stream *next, **place;
};

/* A call whose answer may stream is about to start; or it is over, and its answer did not. */
void sp_ops_stream_enter(struct sp_streams *streams, struct sp_ops_stream *stream,
                         struct sp_exchange *exchange, struct sp_proxy_call *call,
                         uint32_t credit);
void sp_ops_stream_leave(struct sp_ops_stream *stream);

/* For sp_proxy_stream, and its `done` where the answer streamed: the exchange ends now or once
 * what is left has gone. */
bool sp_ops_stream_head(struct sp_ops_stream *stream, const struct sp_proxied *result);
enum sp_stream sp_ops_stream_data(struct sp_ops_stream *stream, struct sp_text bytes);
void sp_ops_stream_over(struct sp_ops_stream *stream);

/* What a client says of its stream of that id, from the connection that it was asked for on.
 * One that is over, or was never there, is none of its business. */
void sp_ops_stream_credit(struct sp_streams *streams, const struct sp_exchange *from,
                          struct sp_text id, uint32_t credit);
void sp_ops_stream_cancel(struct sp_streams *streams, const struct sp_exchange *from,
                          struct sp_text id);

/* Every so often: signs of life, those who left, those who stall. */
void sp_ops_streams_tick(struct sp_streams *streams);
/* The host stops: those that only wait for their clients end. */
void sp_ops_streams_stop(struct sp_streams *streams);

#endif
