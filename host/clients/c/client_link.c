#include "client_link.h"

#include <errno.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

enum { REPLY_MAX_BYTES = 64 << 20, UNKNOWN_KEY = 400 /* of ZAP, RFC 27 */ };

struct sp_link {
    void *socket, *monitor;
    enum sp_link_state state;
    bool lost; /* after it was good: whatever was asked for is not to come */
};

int64_t sp_link_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void sp_link_close(struct sp_link *link)
{
    if (!link) {
        return;
    }
    if (link->socket) {
        (void)zmq_socket_monitor(link->socket, NULL, 0);
        (void)zmq_close(link->socket);
    }
    if (link->monitor) {
        (void)zmq_close(link->monitor);
    }
    free(link);
}

/* The monitor's events come by a pair of sockets in this process; its name is this link's. */
static bool watch(struct sp_link *link, void *context)
{
    static atomic_uint n_links;
    char name[64];
    int no_linger = 0;
    (void)snprintf(name, sizeof name, "inproc://sallyport-link-%u",
                   atomic_fetch_add(&n_links, 1));
    link->monitor = zmq_socket(context, ZMQ_PAIR);
    return link->monitor &&
           !zmq_setsockopt(link->monitor, ZMQ_LINGER, &no_linger, sizeof no_linger) &&
           !zmq_socket_monitor(
               link->socket, name,
               ZMQ_EVENT_CONNECTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
                   ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                   ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) &&
           !zmq_connect(link->monitor, name);
}

sp_status sp_link_open(void *context, const char *endpoint, const char *host_z85,
                       const struct sp_curve_pair *pair, struct sp_link **ret_link,
                       struct sp_error *err)
{
    struct sp_link *link = calloc(1, sizeof *link);
    if (!link) {
        return SP_ENOMEM;
    }
    int no_linger = 0;
    int64_t reply_max = REPLY_MAX_BYTES;
    link->socket = zmq_socket(context, ZMQ_DEALER);
    if (!link->socket ||
        zmq_setsockopt(link->socket, ZMQ_LINGER, &no_linger, sizeof no_linger) ||
        zmq_setsockopt(link->socket, ZMQ_MAXMSGSIZE, &reply_max, sizeof reply_max) ||
        zmq_setsockopt(link->socket, ZMQ_CURVE_SERVERKEY, host_z85, 41) ||
        zmq_setsockopt(link->socket, ZMQ_CURVE_PUBLICKEY, pair->public_z85, 41) ||
        zmq_setsockopt(link->socket, ZMQ_CURVE_SECRETKEY, pair->secret_z85, 41) ||
        !watch(link, context) || zmq_connect(link->socket, endpoint)) {
        sp_status status = sp_fail(err, SP_EINVAL, "cannot connect to '%s': %s", endpoint,
                                   zmq_strerror(zmq_errno()));
        sp_link_close(link);
        return status;
    }
    *ret_link = link;
    return SP_OK;
}

sp_status sp_link_send(struct sp_link *link, struct sp_text message, struct sp_error *err)
{
    /* Made before anything is sent: what follows half a request would be taken for its rest. */
    zmq_msg_t last;
    if (zmq_msg_init_size(&last, message.len)) {
        return sp_fail(err, SP_ENOMEM, "the request cannot be sent: out of memory");
    }
    if (message.len) {
        memcpy(zmq_msg_data(&last), message.ptr, message.len);
    }
    if (zmq_send(link->socket, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        zmq_msg_send(&last, link->socket, ZMQ_DONTWAIT) < 0) {
        sp_status status =
            sp_fail(err, SP_EIO, "the request cannot be sent: %s", zmq_strerror(zmq_errno()));
        sodium_memzero(zmq_msg_data(&last), zmq_msg_size(&last));
        (void)zmq_msg_close(&last);
        return status;
    }
    return SP_OK;
}

/* Take in what the monitor has to say: a frame with the event's number and value, and one with
 * the address. */
static void note_events(struct sp_link *link)
{
    uint8_t frame[6];
    while (zmq_recv(link->monitor, frame, sizeof frame, ZMQ_DONTWAIT) == (int)sizeof frame) {
        uint16_t event;
        uint32_t value;
        memcpy(&event, frame, sizeof event);
        memcpy(&value, frame + sizeof event, sizeof value);
        (void)zmq_recv(link->monitor, NULL, 0, ZMQ_DONTWAIT);
        if (event == ZMQ_EVENT_DISCONNECTED && link->state == SP_LINK_GOOD) {
            link->lost = true;
        } else if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
            link->state = SP_LINK_GOOD;
        } else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH && value == UNKNOWN_KEY) {
            link->state = SP_LINK_UNKNOWN_CLIENT;
        } else if (link->state == SP_LINK_NOBODY && event != ZMQ_EVENT_CONNECTED) {
            link->state = SP_LINK_BROKEN;
        }
    }
}

static sp_status take(struct sp_link *link, struct sp_buf *ret_message, struct sp_error *err)
{
    unsigned n = 0;
    bool more = true, good = true;
    sp_buf_reset(ret_message);
    while (more) {
        zmq_msg_t frame;
        (void)zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, link->socket, ZMQ_DONTWAIT) < 0) {
            (void)zmq_msg_close(&frame);
            return sp_fail(err, SP_EIO, "the answer cannot be read: %s",
                           zmq_strerror(zmq_errno()));
        }
        more = zmq_msg_more(&frame);
        good = good && (n != 0 || zmq_msg_size(&frame) == 0) && n < 2;
        if (good && n == 1) {
            sp_buf_add(ret_message, zmq_msg_data(&frame), zmq_msg_size(&frame));
            sodium_memzero(zmq_msg_data(&frame), zmq_msg_size(&frame)); /* it may be a token */
        }
        (void)zmq_msg_close(&frame);
        n++;
    }
    if (ret_message->failed) {
        return sp_fail(err, SP_ETOOBIG, "the answer is too large");
    }
    return good && n == 2
               ? SP_OK
               : sp_fail(err, SP_EINVAL, "the answer has another shape: %u frames", n);
}

sp_status sp_link_receive(struct sp_link *link, int64_t until_ms, struct sp_buf *ret_message,
                          struct sp_error *err)
{
    bool last_look = false; /* what came before the end is read before the end */
    for (;;) {
        zmq_pollitem_t items[] = {{link->socket, 0, ZMQ_POLLIN, 0},
                                  {link->monitor, 0, ZMQ_POLLIN, 0}};
        int64_t left_ms = until_ms - sp_link_now();
        int n = zmq_poll(items, 2, left_ms > 0 ? (long)left_ms : 0);
        if (n < 0 && zmq_errno() != EINTR) {
            return sp_fail(err, SP_EIO, "waiting for the answer: %s",
                           zmq_strerror(zmq_errno()));
        }
        if (n > 0 && items[1].revents) {
            note_events(link);
        }
        if (n > 0 && items[0].revents) {
            return take(link, ret_message, err);
        }
        if (last_look) {
            return sp_fail(err, SP_EIO, "the connection was lost, no answer");
        }
        if (link->lost) {
            last_look = true;
            until_ms = 0;
        } else if (link->state == SP_LINK_UNKNOWN_CLIENT || sp_link_now() >= until_ms) {
            return sp_fail(err, SP_EBUSY, "no answer");
        }
    }
}

bool sp_link_lost(struct sp_link *link)
{
    note_events(link);
    return link->lost;
}

enum sp_link_state sp_link_state(const struct sp_link *link)
{
    return link->state;
}
