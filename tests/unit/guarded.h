/* A guarded server socket, its clients, and what they say to each other: for the tests of the
 * ZAP handler and of the guard. Everything is real: sockets on loopback, CURVE, our handler. */
#ifndef GUARDED_H
#define GUARDED_H

#include "zap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

#ifndef ZMQ_ZAP_ENFORCE_DOMAIN
#define ZMQ_ZAP_ENFORCE_DOMAIN 93
#endif

enum {
    MESSAGE_MAX = 64 << 10,
    HANDSHAKE_MS = 2000,
    IN_MS = 10000, /* how long something that must arrive may take */
    OUT_MS = 400,  /* how long nothing may arrive where nobody may get in */
    RSS_SLACK = 48 << 20,
};

static inline int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline int64_t rss_bytes(void)
{
    long long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lld %lld", &size, &resident), 2);
    (void)fclose(file);
    return resident * sysconf(_SC_PAGESIZE);
}

/* ---- keys, a server under guard, clients
 * ----------------------------------------------------- */

struct pair {
    char public[41], secret[41];
    uint8_t key[32]; /* the public half */
};

static inline struct pair new_pair(void)
{
    struct pair pair;
    assert_int_equal(zmq_curve_keypair(pair.public, pair.secret), 0);
    assert_non_null(zmq_z85_decode(pair.key, pair.public));
    return pair;
}

struct server {
    void *context; /* the host's; clients have one of their own, as in life */
    void *client_context;
    struct sp_zap *zap;
    void *socket;
    char endpoint[64];
    struct pair host;
};

static inline void guard(void *socket, const struct pair *host, const char *domain)
{
    uint8_t secret[32];
    struct sp_error err = {""};
    assert_non_null(zmq_z85_decode(secret, host->secret));
    struct sp_zap_socket options = {.domain = domain,
                                    .secret_key = secret,
                                    .message_max_bytes = MESSAGE_MAX,
                                    .high_water = 100,
                                    .handshake_ms = HANDSHAKE_MS};
    if (sp_zap_guard(socket, &options, &err)) {
        fail_msg("%s", err.text);
    }
}

static inline void bind_any(void *socket, char endpoint[64])
{
    size_t size = 64;
    assert_int_equal(zmq_bind(socket, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size), 0);
}

/* handler: with ours; without it whatever the test puts there, or nothing. */
static inline struct server *server_new(const char *domain, bool handler)
{
    struct server *server = calloc(1, sizeof *server);
    assert_non_null(server);
    struct sp_error err = {""};
    server->context = zmq_ctx_new();
    server->client_context = zmq_ctx_new();
    server->host = new_pair();
    if (handler && sp_zap_new(server->context, &server->zap, &err)) {
        fail_msg("%s", err.text);
    }
    if (domain) {
        server->socket = zmq_socket(server->context, ZMQ_ROUTER);
        guard(server->socket, &server->host, domain);
        bind_any(server->socket, server->endpoint);
    }
    return server;
}

static inline void server_free(struct server *server)
{
    if (server->socket) {
        int none = 0;
        (void)zmq_setsockopt(server->socket, ZMQ_LINGER, &none, sizeof none);
        (void)zmq_close(server->socket);
    }
    sp_zap_free(server->zap);
    (void)zmq_ctx_term(server->client_context);
    (void)zmq_ctx_term(server->context);
    free(server);
}

static inline void let_in(struct server *server, const struct pair *pair, bool admin)
{
    struct sp_zap_peer peer = {.admin = admin};
    memcpy(peer.key, pair->key, sizeof peer.key);
    assert_int_equal(sp_zap_set(server->zap, &peer, 1), SP_OK);
}

static inline void *client_to(struct server *server, const struct pair *pair,
                              const char *endpoint, const char *routing_id)
{
    int none = 0;
    void *socket = zmq_socket(server->client_context, ZMQ_DEALER);
    assert_non_null(socket);
    assert_int_equal(zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none), 0);
    assert_int_equal(zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, server->host.public, 41), 0);
    assert_int_equal(zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, pair->public, 41), 0);
    assert_int_equal(zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, pair->secret, 41), 0);
    if (routing_id) {
        assert_int_equal(zmq_setsockopt(socket, ZMQ_ROUTING_ID, routing_id, strlen(routing_id)),
                         0);
    }
    assert_int_equal(zmq_connect(socket, endpoint), 0);
    return socket;
}

static inline void *client(struct server *server, const struct pair *pair)
{
    return client_to(server, pair, server->endpoint, NULL);
}

static inline void say(void *socket, const char *text)
{
    assert_int_equal(zmq_send(socket, "", 0, ZMQ_SNDMORE), 0);
    assert_int_equal(zmq_send(socket, text, strlen(text), 0), (int)strlen(text));
}

static inline bool readable(void *socket, int timeout_ms)
{
    zmq_pollitem_t item = {socket, 0, ZMQ_POLLIN, 0};
    return zmq_poll(&item, 1, timeout_ms) > 0;
}

/* A message as the server got it: its last frame, its routing id and its proven sender. */
struct heard {
    uint8_t routing_id[255];
    size_t routing_id_len, n_frames;
    char text[64], user[64];
};

static inline struct heard hear(void *socket)
{
    struct heard heard = {.n_frames = 0};
    assert_true(readable(socket, IN_MS));
    bool more = true;
    while (more) {
        zmq_msg_t frame;
        (void)zmq_msg_init(&frame);
        assert_true(zmq_msg_recv(&frame, socket, 0) >= 0);
        size_t size = zmq_msg_size(&frame);
        if (heard.n_frames == 0) {
            assert_true(size <= sizeof heard.routing_id);
            memcpy(heard.routing_id, zmq_msg_data(&frame), size);
            heard.routing_id_len = size;
        } else if (!zmq_msg_more(&frame)) {
            const char *user = zmq_msg_gets(&frame, "User-Id");
            assert_non_null(user);
            (void)snprintf(heard.user, sizeof heard.user, "%s", user);
            (void)snprintf(heard.text, sizeof heard.text, "%.*s", (int)size,
                           (const char *)zmq_msg_data(&frame));
        }
        heard.n_frames++;
        more = zmq_msg_more(&frame);
        (void)zmq_msg_close(&frame);
    }
    return heard;
}

/* Whether a message of that client reaches the server. */
static inline bool gets_in(struct server *server, const struct pair *pair, int wait_ms)
{
    void *socket = client(server, pair);
    say(socket, "hello");
    bool in = readable(server->socket, wait_ms);
    if (in) {
        (void)hear(server->socket);
    }
    (void)zmq_close(socket);
    return in;
}

static inline void the_door_opens_to(struct server *server, const struct pair *pair)
{
    assert_true(gets_in(server, pair, IN_MS));
}

static inline void the_door_stays_shut_to(struct server *server, const struct pair *pair)
{
    assert_false(gets_in(server, pair, OUT_MS));
}

#endif
