#include "front_zmq.h"

#include "shares.h"
#include "zap.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum {
    ROUTING_ID_MAX = 255,       /* libzmq: an identity is at most 255 bytes */
    ARENA_MAX_BYTES = 64 << 20, /* for one request; the wire reader's own caps are tighter */
    REPLY_MAX_BYTES = 64 << 20,
    REPLY_KEEP_BYTES = 64 << 10, /* a reused exchange keeps no larger reply buffer */
    DRAIN_MAX = 64,              /* messages taken before other events get their turn */
    PEERS_MORE = 64,             /* who may help while all exchanges are taken */
};

struct exchange {
    struct sp_exchange public;
    struct sp_front *front;
    uint8_t routing_id[ROUTING_ID_MAX];
    size_t routing_id_len;
    zmq_msg_t message;      /* what public.body points into */
    struct sp_share *share; /* the peer's */
    struct exchange *next;  /* free list */
};

struct sp_front {
    struct sp_front_config config;
    void *socket;
    char endpoint[256];
    uv_poll_t poll; /* libzmq's descriptor: edge-triggered, so ZMQ_EVENTS is asked again */
    uv_prepare_t prepare; /* before the loop sleeps: sends may have swallowed the edge */
    bool sent;            /* since it was last drained */
    uv_idle_t idle;       /* keeps the loop awake while messages wait */
    struct exchange *free_list;
    struct sp_shares *shares;
    size_t n_open;
    unsigned n_handles;
    bool stopped, freed;
};

static void message_wipe(zmq_msg_t *message)
{
    sodium_memzero(zmq_msg_data(message), zmq_msg_size(message));
    (void)zmq_msg_close(message);
}

static struct exchange *exchange_take(struct sp_front *front)
{
    struct exchange *exchange = front->free_list;
    if (exchange) {
        front->free_list = exchange->next;
        return exchange;
    }
    exchange = calloc(1, sizeof *exchange);
    if (exchange) {
        exchange->front = front;
        sp_arena_init(&exchange->public.arena, ARENA_MAX_BYTES);
        sp_buf_init(&exchange->public.reply, REPLY_MAX_BYTES);
    }
    return exchange;
}

static void exchange_end(struct exchange *exchange)
{
    struct sp_front *front = exchange->front;
    struct sp_exchange *public = &exchange->public;
    message_wipe(&exchange->message);
    sp_arena_reset(&public->arena);
    if (public->reply.ptr) {
        sodium_memzero(public->reply.ptr, public->reply.len); /* it may hold a fresh token */
    }
    if (public->reply.room > REPLY_KEEP_BYTES) {
        sp_buf_done(&public->reply);
        sp_buf_init(&public->reply, REPLY_MAX_BYTES);
    } else {
        sp_buf_reset(&public->reply);
    }
    public->user = NULL;
    sp_share_give(front->shares, exchange->share);
    exchange->next = front->free_list;
    front->free_list = exchange;
    front->n_open--;
}

/* Nothing here waits. Only the first frame asks for room; the rest of a message is taken with
 * it. What may want memory is made before anything is sent: frames after half a message would
 * be taken for its rest, and one peer's answer would go to another. */
static enum sp_sent send_frames(struct sp_front *front, const uint8_t *routing_id,
                                size_t routing_id_len, struct sp_text body)
{
    zmq_msg_t last;
    if (zmq_msg_init_size(&last, body.len)) {
        return SP_SENT_GONE;
    }
    if (body.len) {
        memcpy(zmq_msg_data(&last), body.ptr, body.len);
    }
    front->sent = true;
    if (zmq_send(front->socket, routing_id, routing_id_len, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
        bool full = zmq_errno() == EAGAIN;
        message_wipe(&last);
        return full ? SP_SENT_FULL : SP_SENT_GONE;
    }
    if (zmq_send(front->socket, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        zmq_msg_send(&last, front->socket, ZMQ_DONTWAIT) < 0) {
        message_wipe(&last);
        return SP_SENT_GONE;
    }
    return SP_SENT;
}

/* A peer that is gone, or whose queue is full, loses its answer. */
static void send_reply(struct sp_front *front, const uint8_t *routing_id, size_t routing_id_len,
                       struct sp_text body)
{
    if (send_frames(front, routing_id, routing_id_len, body) != SP_SENT) {
        front->config.refused(front->config.user, "", "peer gone");
    }
}

void sp_exchange_reply(struct sp_exchange *public)
{
    struct exchange *exchange = (struct exchange *)public;
    if (!public->reply.failed) {
        send_reply(exchange->front, exchange->routing_id, exchange->routing_id_len,
                   sp_buf_text(&public->reply));
    } else {
        exchange->front->config.refused(exchange->front->config.user, public->curve,
                                        "answer too large");
    }
    exchange_end(exchange);
}

enum sp_sent sp_exchange_send(struct sp_exchange *public, struct sp_text message)
{
    const struct exchange *exchange = (struct exchange *)public;
    return send_frames(exchange->front, exchange->routing_id, exchange->routing_id_len,
                       message);
}

void sp_exchange_end(struct sp_exchange *public)
{
    exchange_end((struct exchange *)public);
}

bool sp_exchange_same_peer(const struct sp_exchange *a, const struct sp_exchange *b)
{
    const struct exchange *one = (const struct exchange *)a, *two = (const struct exchange *)b;
    return one->front == two->front && one->share == two->share &&
           one->routing_id_len == two->routing_id_len &&
           memcmp(one->routing_id, two->routing_id, one->routing_id_len) == 0;
}

/* A message as received: its three frames, and whether they were three. */
struct frames {
    uint8_t routing_id[ROUTING_ID_MAX];
    size_t routing_id_len;
    zmq_msg_t body;
    unsigned n;
    bool good;
};

/* Takes one message whole, however many frames a peer sent; only one is held at a time. */
static bool frames_receive(struct sp_front *front, struct frames *frames)
{
    frames->n = 0;
    frames->good = true;
    (void)zmq_msg_init(&frames->body);
    bool more = true;
    while (more) {
        zmq_msg_t frame;
        (void)zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, front->socket, ZMQ_DONTWAIT) < 0) {
            (void)zmq_msg_close(&frame);
            return false; /* nothing there: frames of one message arrive together */
        }
        more = zmq_msg_more(&frame);
        size_t size = zmq_msg_size(&frame);
        if (frames->n == 0 && size <= sizeof frames->routing_id) {
            memcpy(frames->routing_id, zmq_msg_data(&frame), size);
            frames->routing_id_len = size;
        } else if (frames->n == 1 && size == 0) {
            /* the delimiter */
        } else if (frames->n == 2) {
            (void)zmq_msg_move(&frames->body, &frame);
        } else {
            frames->good = false;
        }
        frames->n++;
        (void)zmq_msg_close(&frame);
    }
    frames->good = frames->good && frames->n == 3;
    return true;
}

static void answer_busy(struct sp_front *front, const struct frames *frames)
{
    struct sp_buf reply;
    sp_buf_init(&reply, 4096);
    front->config.busy(front->config.user, &reply);
    if (!reply.failed) {
        send_reply(front, frames->routing_id, frames->routing_id_len, sp_buf_text(&reply));
    }
    sp_buf_done(&reply);
}

static void accept_message(struct sp_front *front, struct frames *frames)
{
    const char *curve = zmq_msg_gets(&frames->body, "User-Id");
    if (!frames->good || !curve || strlen(curve) != 40) {
        front->config.refused(front->config.user, curve ? curve : "", "malformed message");
        message_wipe(&frames->body);
        return;
    }
    bool helps = zmq_msg_size(&frames->body) <= front->config.over_max_bytes;
    bool full = front->n_open >= front->config.exchanges_max;
    struct sp_share *share =
        full && !helps ? NULL : sp_share_take(front->shares, sp_text_of(curve));
    struct exchange *exchange = NULL;
    full = full || (share && sp_share_is_over(front->shares, share));
    if (share && (!full || helps)) {
        exchange = exchange_take(front);
    }
    if (!exchange) {
        sp_share_give(front->shares, share);
        front->config.refused(front->config.user, curve, "busy");
        answer_busy(front, frames);
        message_wipe(&frames->body);
        return;
    }
    const char *type = zmq_msg_gets(&frames->body, "Socket-Type");
    front->n_open++;
    exchange->share = share;
    exchange->public.over = full;
    exchange->public.many = type && strcmp(type, "DEALER") == 0 && frames->routing_id[0] == 0;
    memcpy(exchange->public.curve, curve, sizeof exchange->public.curve);
    memcpy(exchange->routing_id, frames->routing_id, frames->routing_id_len);
    exchange->routing_id_len = frames->routing_id_len;
    (void)zmq_msg_init(&exchange->message);
    (void)zmq_msg_move(&exchange->message, &frames->body);
    (void)zmq_msg_close(&frames->body);
    exchange->public.body =
        (struct sp_text){zmq_msg_data(&exchange->message), zmq_msg_size(&exchange->message)};
    front->config.handle(front->config.user, &exchange->public);
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* its being active keeps the loop from sleeping; prepare does the work */
}

static void drain(struct sp_front *front)
{
    unsigned taken = 0;
    while (!front->stopped && taken < DRAIN_MAX) {
        struct frames frames;
        if (!frames_receive(front, &frames)) {
            (void)zmq_msg_close(&frames.body);
            break;
        }
        accept_message(front, &frames);
        taken++;
    }
    int events = 0;
    size_t size = sizeof events;
    (void)zmq_getsockopt(front->socket, ZMQ_EVENTS, &events, &size);
    front->sent = false;
    bool waiting = !front->stopped && (events & ZMQ_POLLIN);
    if (waiting && !uv_is_active((uv_handle_t *)&front->idle)) {
        (void)uv_idle_start(&front->idle, on_idle);
    } else if (!waiting) {
        (void)uv_idle_stop(&front->idle);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    drain(poll->data);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct sp_front *front = prepare->data;
    if (front->sent || uv_is_active((uv_handle_t *)&front->idle)) {
        drain(front);
    }
}

static sp_status watch(struct sp_front *front)
{
    int fd = -1;
    size_t size = sizeof fd;
    if (zmq_getsockopt(front->socket, ZMQ_FD, &fd, &size) ||
        uv_poll_init(front->config.loop, &front->poll, fd)) {
        return SP_EIO;
    }
    front->n_handles = 3;
    (void)uv_prepare_init(front->config.loop, &front->prepare);
    (void)uv_idle_init(front->config.loop, &front->idle);
    front->poll.data = front->prepare.data = front->idle.data = front;
    front->sent = true; /* what came before anybody watched has had its edge */
    (void)uv_prepare_start(&front->prepare, on_prepare);
    return uv_poll_start(&front->poll, UV_READABLE, on_poll) ? SP_EIO : SP_OK;
}

sp_status sp_front_new(const struct sp_front_config *config, struct sp_front **ret_front,
                       struct sp_error *err)
{
    struct sp_front *front = calloc(1, sizeof *front);
    if (!front) {
        return SP_ENOMEM;
    }
    front->config = *config;
    front->socket = zmq_socket(config->zmq_context, ZMQ_ROUTER);
    sp_status status =
        front->socket ? SP_OK : sp_fail(err, SP_EIO, "socket: %s", zmq_strerror(zmq_errno()));
    if (!status) {
        status = sp_shares_new(config->exchanges_max_per_peer,
                               config->exchanges_max + PEERS_MORE, &front->shares);
    }
    if (!status) {
        status = sp_zap_guard(front->socket,
                              &(struct sp_zap_socket){
                                  .domain = config->domain,
                                  .secret_key = config->secret_key,
                                  .message_max_bytes = (int64_t)config->message_max_bytes,
                                  .high_water = 1000,
                                  .handshake_ms = 2000,
                              },
                              err);
    }
    if (!status && zmq_bind(front->socket, config->endpoint)) {
        status = sp_fail(err, SP_EIO, "%s: cannot listen there: %s", config->endpoint,
                         zmq_strerror(zmq_errno()));
    }
    size_t size = sizeof front->endpoint;
    if (!status && (zmq_getsockopt(front->socket, ZMQ_LAST_ENDPOINT, front->endpoint, &size) ||
                    watch(front))) {
        status = sp_fail(err, SP_EIO, "%s: cannot be watched", config->endpoint);
    }
    if (status) {
        sp_front_free(front);
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): on_handle_closed frees it */
        return status;
    }
    *ret_front = front;
    return SP_OK;
}

const char *sp_front_endpoint(const struct sp_front *front)
{
    return front->endpoint;
}

void sp_front_stop(struct sp_front *front)
{
    front->stopped = true;
    (void)zmq_unbind(front->socket, front->endpoint);
}

size_t sp_front_n_open(const struct sp_front *front)
{
    return front->n_open;
}

static void front_release(struct sp_front *front)
{
    if (front->socket) {
        (void)zmq_close(front->socket);
    }
    while (front->free_list) {
        struct exchange *exchange = front->free_list;
        front->free_list = exchange->next;
        sp_arena_done(&exchange->public.arena);
        sp_buf_done(&exchange->public.reply);
        free(exchange);
    }
    sp_shares_free(front->shares);
    free(front);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct sp_front *front = handle->data;
    if (--front->n_handles == 0) {
        front_release(front);
    }
}

void sp_front_free(struct sp_front *front)
{
    if (!front || front->freed) {
        return;
    }
    front->freed = true;
    if (front->n_handles == 0) {
        front_release(front);
        return;
    }
    uv_close((uv_handle_t *)&front->poll, on_handle_closed);
    uv_close((uv_handle_t *)&front->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&front->idle, on_handle_closed);
}
