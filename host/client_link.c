#include "client_link.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

struct sp_link {
    void *context, *socket;
    char endpoint[512];
};

void sp_link_close(struct sp_link *link)
{
    if (!link) {
        return;
    }
    if (link->socket) {
        (void)zmq_close(link->socket);
    }
    if (link->context) {
        (void)zmq_ctx_term(link->context);
    }
    free(link);
}

sp_status sp_link_open(const char *endpoint, const char *host_z85,
                       const struct sp_curve_pair *pair, struct sp_link **ret_link,
                       struct sp_error *err)
{
    struct sp_link *link = calloc(1, sizeof *link);
    if (!link) {
        return SP_ENOMEM;
    }
    int no_linger = 0;
    (void)snprintf(link->endpoint, sizeof link->endpoint, "%s", endpoint);
    link->context = zmq_ctx_new();
    link->socket = link->context ? zmq_socket(link->context, ZMQ_REQ) : NULL;
    if (!link->socket ||
        zmq_setsockopt(link->socket, ZMQ_LINGER, &no_linger, sizeof no_linger) ||
        zmq_setsockopt(link->socket, ZMQ_CURVE_SERVERKEY, host_z85, 41) ||
        zmq_setsockopt(link->socket, ZMQ_CURVE_PUBLICKEY, pair->public_z85, 41) ||
        zmq_setsockopt(link->socket, ZMQ_CURVE_SECRETKEY, pair->secret_z85, 41) ||
        zmq_connect(link->socket, endpoint)) {
        sp_status status = sp_fail(err, SP_EINVAL, "cannot connect to '%s': %s", endpoint,
                                   zmq_strerror(zmq_errno()));
        sp_link_close(link);
        return status;
    }
    *ret_link = link;
    return SP_OK;
}

sp_status sp_link_ask(struct sp_link *link, struct sp_text request, int timeout_ms,
                      struct sp_buf *ret_reply, struct sp_error *err)
{
    (void)zmq_setsockopt(link->socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    (void)zmq_setsockopt(link->socket, ZMQ_SNDTIMEO, &timeout_ms, sizeof timeout_ms);
    zmq_msg_t reply;
    (void)zmq_msg_init(&reply);
    sp_status status = SP_OK;
    if (zmq_send(link->socket, request.ptr, request.len, 0) < 0 ||
        zmq_msg_recv(&reply, link->socket, 0) < 0) {
        status =
            zmq_errno() == EAGAIN
                ? sp_fail(err, SP_EBUSY,
                          "no answer from %s in %d s: no host is listening there, the host "
                          "key is another one, or this client key is not registered (a "
                          "host refuses unknown keys without a word)",
                          link->endpoint, timeout_ms / 1000)
                : sp_fail(err, SP_EIO, "%s: %s", link->endpoint, zmq_strerror(zmq_errno()));
    } else {
        sp_buf_add(ret_reply, zmq_msg_data(&reply), zmq_msg_size(&reply));
        status =
            ret_reply->failed ? sp_fail(err, SP_ETOOBIG, "the answer is too large") : SP_OK;
        sodium_memzero(zmq_msg_data(&reply), zmq_msg_size(&reply));
    }
    (void)zmq_msg_close(&reply);
    return status;
}
