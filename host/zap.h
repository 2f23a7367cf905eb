/* sp_zap: who may connect. ZeroMQ asks this handler (RFC 27/ZAP) about every CURVE handshake.
 *
 * It answers on a thread of its own from a table that the loop thread replaces as clients come
 * and go, and it fails closed: sockets are set up by sp_zap_guard, which insists on a non-empty
 * ZMQ_ZAP_DOMAIN and on ZMQ_ZAP_ENFORCE_DOMAIN and checks both, so that a dead or slow handler
 * lets nobody in. The answer's User-Id is the peer's Z85 key: read it with
 * zmq_msg_gets(msg, "User-Id") at every message.
 */
#ifndef SP_ZAP_H
#define SP_ZAP_H

#include "status.h"
#include "text.h"

#include <stdbool.h>
#include <stdint.h>

struct sp_zap;

/* One entry: a CURVE key, and whether it may use the administration domain. */
struct sp_zap_peer {
    uint8_t key[32];
    bool admin;
};

#define SP_ZAP_CLIENT_DOMAIN "client"
#define SP_ZAP_ADMIN_DOMAIN "admin"

/* Binds inproc://zeromq.zap.01 in the context and starts the thread. */
sp_status sp_zap_new(void *zmq_context, struct sp_zap **ret_zap, struct sp_error *err);
/* Replace the table. Any thread. */
sp_status sp_zap_set(struct sp_zap *zap, const struct sp_zap_peer *peers, size_t n_peers);
/* Handshakes allowed and refused since the start. Any thread. */
void sp_zap_counts(struct sp_zap *zap, uint64_t *ret_allowed, uint64_t *ret_refused);
/* Whether the handler thread is alive and has answered a probe of ours within the last
 * seconds; the host raises an alarm and reports not ready otherwise. */
bool sp_zap_healthy(struct sp_zap *zap);
void sp_zap_free(struct sp_zap *zap);

/* Make a socket a CURVE server of that domain with the host's secret key, with every guard of
 * the design: domain, enforcement, message size, handshake time, high-water marks, linger,
 * mandatory routing. Before bind. SP_EIO with the option that was refused: then do not bind. */
struct sp_zap_socket {
    const char *domain;
    const uint8_t *secret_key; /* 32 bytes */
    int64_t message_max_bytes;
    int high_water;
    int handshake_ms;
};
sp_status sp_zap_guard(void *socket, const struct sp_zap_socket *options, struct sp_error *err);

#endif
