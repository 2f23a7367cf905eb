#include "ops_stream.h"

#include "message.h"

enum {
    PART_MAX_BYTES = 16 << 10, /* a queue of a thousand is 16 MiB, whoever does not read it */
    PENDING_MAX_BYTES = 16 << 20,
    MESSAGE_ROOM_BYTES = PART_MAX_BYTES + 1024,
    SIGN_OF_LIFE_MS = 1000,
};

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

static struct sp_text pending(const struct sp_ops_stream *stream)
{
    struct sp_text all = sp_buf_text(&stream->pending);
    return (struct sp_text){all.ptr + stream->taken, all.len - stream->taken};
}

static struct sp_text id_of(const struct sp_ops_stream *stream)
{
    return stream->call->call.id;
}

void sp_ops_stream_enter(struct sp_streams *streams, struct sp_ops_stream *stream,
                         struct sp_exchange *exchange, struct sp_proxy_call *call,
                         uint32_t credit)
{
    *stream = (struct sp_ops_stream){.streams = streams,
                                     .exchange = exchange,
                                     .call = call,
                                     .credit = credit,
                                     .said_ms = now_ms(),
                                     .next = streams->first,
                                     .place = &streams->first};
    sp_buf_init(&stream->pending, PENDING_MAX_BYTES);
    if (stream->next) {
        stream->next->place = &stream->next;
    }
    streams->first = stream;
}

void sp_ops_stream_leave(struct sp_ops_stream *stream)
{
    *stream->place = stream->next;
    if (stream->next) {
        stream->next->place = stream->place;
    }
    sp_buf_done(&stream->pending);
}

/* False: not now; or never, as stream->gone says. */
static bool say(struct sp_ops_stream *stream, struct sp_text message)
{
    enum sp_sent sent = sp_exchange_send(stream->exchange, message);
    stream->gone = stream->gone || sent == SP_SENT_GONE;
    if (sent == SP_SENT) {
        stream->said_ms = now_ms();
    }
    return sent == SP_SENT;
}

static bool say_part(struct sp_ops_stream *stream, struct sp_text bytes)
{
    struct sp_buf message;
    sp_buf_init(&message, MESSAGE_ROOM_BYTES);
    sp_message_put_stream_part(&message, id_of(stream), stream->seq, bytes);
    bool said = !message.failed && say(stream, sp_buf_text(&message));
    sp_buf_done(&message);
    return said;
}

/* Send what may be sent. */
static void pump(struct sp_ops_stream *stream)
{
    if (stream->head_due && say(stream, sp_buf_text(&stream->exchange->reply))) {
        stream->head_due = false;
        sp_buf_reset(&stream->exchange->reply);
    }
    struct sp_text left = pending(stream);
    while (!stream->head_due && !stream->gone && left.len > 0 && stream->credit > 0) {
        struct sp_text part = {left.ptr, left.len < PART_MAX_BYTES ? left.len : PART_MAX_BYTES};
        if (!say_part(stream, part)) {
            break;
        }
        stream->seq++;
        stream->credit--;
        stream->n_bytes += part.len;
        stream->taken += part.len;
        stream->moved_ms = now_ms();
        stream->stalled_ms = 0;
        left = pending(stream);
    }
    if (left.len == 0) {
        sp_buf_reset(&stream->pending);
        stream->taken = 0;
        stream->stalled_ms = 0;
    } else if (stream->stalled_ms == 0) {
        stream->stalled_ms = now_ms();
    }
}

/* The exchange ends, unless something is to be said first and cannot be now. */
static void try_to_end(struct sp_ops_stream *stream)
{
    bool broken = stream->call->broken || stream->cancelled;
    if (broken) { /* the rest is not for the client */
        sp_buf_reset(&stream->pending);
        stream->taken = 0;
    }
    pump(stream);
    bool due = stream->head_due || pending(stream).len > 0;
    if (!stream->gone && !due) {
        struct sp_buf message;
        sp_buf_init(&message, MESSAGE_ROOM_BYTES);
        if (stream->cancelled) {
            sp_message_put_failure(&message, id_of(stream), SP_CODE_UPSTREAM_FAILED,
                                   stream->cancelled, "", SP_TEXT(""));
        } else if (broken) {
            sp_message_put_error(&message, id_of(stream), stream->call->why);
        } else {
            sp_message_put_stream_end(&message, id_of(stream), stream->seq, stream->n_bytes,
                                      stream->call->trailers, stream->call->n_trailers);
        }
        due = !message.failed && !say(stream, sp_buf_text(&message));
        sp_buf_done(&message);
    }
    if (stream->gone || !due) {
        sp_ops_stream_leave(stream);
        sp_exchange_end(stream->exchange);
    }
}

bool sp_ops_stream_head(struct sp_ops_stream *stream, const struct sp_proxied *result)
{
    struct sp_buf *head = &stream->exchange->reply;
    sp_message_put_stream_head(head, id_of(stream), result);
    if (head->failed) {
        sp_buf_reset(head);
        return false;
    }
    stream->begun = stream->head_due = true;
    pump(stream);
    return true;
}

enum sp_stream sp_ops_stream_data(struct sp_ops_stream *stream, struct sp_text bytes)
{
    sp_buf_add_text(&stream->pending, bytes);
    if (stream->pending.failed || stream->gone || stream->cancelled) {
        return SP_STREAM_GONE;
    }
    pump(stream);
    stream->waits = pending(stream).len > 0 || stream->head_due;
    return stream->gone ? SP_STREAM_GONE : stream->waits ? SP_STREAM_WAIT : SP_STREAM_MORE;
}

void sp_ops_stream_over(struct sp_ops_stream *stream)
{
    stream->over = true;
    try_to_end(stream);
}

/* There may be room again. */
static void go_on(struct sp_ops_stream *stream)
{
    if (stream->over) {
        try_to_end(stream);
        return;
    }
    pump(stream);
    if (stream->waits && !stream->head_due && pending(stream).len == 0) {
        stream->waits = false;
        sp_proxy_resume(stream->call);
    }
}

static void cancel(struct sp_ops_stream *stream, const char *why)
{
    stream->cancelled = stream->cancelled ? stream->cancelled : why;
    if (stream->over) {
        try_to_end(stream);
    } else {
        sp_proxy_abandon(stream->call); /* its end comes later */
    }
}

static struct sp_ops_stream *find(const struct sp_streams *streams,
                                  const struct sp_exchange *from, struct sp_text id)
{
    struct sp_ops_stream *stream = streams->first;
    while (stream &&
           (!sp_text_eq(id_of(stream), id) || !sp_exchange_same_peer(stream->exchange, from))) {
        stream = stream->next;
    }
    return stream;
}

void sp_ops_stream_credit(struct sp_streams *streams, const struct sp_exchange *from,
                          struct sp_text id, uint32_t credit)
{
    struct sp_ops_stream *named = find(streams, from, id);
    if (named) {
        named->credit = credit < SP_MESSAGE_CREDIT_MAX - named->credit ? named->credit + credit
                                                                       : SP_MESSAGE_CREDIT_MAX;
    }
    /* A client that grants has read: its other streams may find room in its queue too. */
    for (struct sp_ops_stream *stream = streams->first, *next; stream; stream = next) {
        next = stream->next;
        bool full = stream->head_due || (stream->credit > 0 && pending(stream).len > 0);
        if (stream == named || (full && sp_exchange_same_peer(stream->exchange, from))) {
            go_on(stream);
        }
    }
}

void sp_ops_stream_cancel(struct sp_streams *streams, const struct sp_exchange *from,
                          struct sp_text id)
{
    struct sp_ops_stream *stream = find(streams, from, id);
    if (stream) {
        cancel(stream, "the client cancelled it");
    }
}

static void show_life(struct sp_ops_stream *stream)
{
    struct sp_buf message;
    sp_buf_init(&message, MESSAGE_ROOM_BYTES);
    sp_message_put_stream_alive(&message, id_of(stream), stream->seq);
    (void)say(stream, sp_buf_text(&message));
    sp_buf_done(&message);
}

/* It has something for its client for too long. One that has credit waits for room in the queue
 * of the connection: that another of its streams may have taken is no fault of the client's. */
static bool stalls(struct sp_ops_stream *stream, uint64_t now)
{
    if (stream->stalled_ms == 0 || now - stream->stalled_ms <= stream->streams->stall_ms) {
        return false;
    }
    struct sp_ops_stream *other = stream->credit > 0 ? stream->streams->first : NULL;
    while (other && (other->moved_ms < stream->stalled_ms ||
                     !sp_exchange_same_peer(other->exchange, stream->exchange))) {
        other = other->next;
    }
    stream->stalled_ms = other ? now : stream->stalled_ms;
    return !other;
}

/* Who was first is last the next time: room goes round. */
static void rotate(struct sp_streams *streams)
{
    struct sp_ops_stream *first = streams->first, **end = &streams->first;
    if (!first || !first->next) {
        return;
    }
    streams->first = first->next;
    first->next->place = &streams->first;
    while (*end) {
        end = &(*end)->next;
    }
    *end = first;
    first->place = end;
    first->next = NULL;
}

void sp_ops_streams_tick(struct sp_streams *streams)
{
    uint64_t now = now_ms();
    for (struct sp_ops_stream *stream = streams->first, *next; stream; stream = next) {
        next = stream->next;
        if (now - stream->said_ms >= SIGN_OF_LIFE_MS && !stream->gone) {
            show_life(stream);
        }
        if (stream->gone || stream->cancelled || stalls(stream, now)) {
            cancel(stream, "the client took nothing for too long");
        } else if (stream->waits || stream->over) {
            go_on(stream);
        }
    }
    rotate(streams);
}

void sp_ops_streams_stop(struct sp_streams *streams)
{
    for (struct sp_ops_stream *stream = streams->first, *next; stream; stream = next) {
        next = stream->next;
        if (stream->over) {
            stream->gone = true;
            try_to_end(stream);
        }
    }
}
