/* What hostile peers can do to a guarded socket: raw bytes before and after the handshake,
 * silence, odd messages, forged routing ids. */
#include "guarded.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

/* ---- T3, T4: raw TCP peers
 * ------------------------------------------------------------------- */

static int tcp_to(const char *endpoint)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char *colon = strrchr(endpoint, ':');
    address.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

enum { BUSY_MS = 8000 }; /* how much later a busy machine may be */

/* Reads and throws away until the other side closes; milliseconds that took, or -1. */
static int64_t closed_after(int fd, int64_t patience_ms)
{
    int64_t start = now_ms();
    for (;;) {
        char sink[4096];
        int64_t rest = start + patience_ms - now_ms();
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        if (rest <= 0 || poll(&poll_fd, 1, (int)rest) <= 0) {
            return -1;
        }
        if (recv(fd, sink, sizeof sink, 0) <= 0) {
            return now_ms() - start;
        }
    }
}

/* ZMTP 3.0: signature, version, mechanism CURVE, no server, filler. */
static const uint8_t greeting[64] = {0xff, 0, 0, 0,   0,   0,   0,   0,  0,
                                     0x7f, 3, 0, 'C', 'U', 'R', 'V', 'E'};
/* A frame header: long, 2 GiB. */
static const uint8_t huge_command[] = {0x06, 0, 0, 0, 0, 0x80, 0, 0, 0};
static const uint8_t huge_message[] = {0x02, 0, 0, 0, 0, 0x80, 0, 0, 0};

static void T3_a_huge_frame_before_the_handshake_is_dropped(void **state)
{
    (void)state;
    struct server *server = server_new(SP_ZAP_CLIENT_DOMAIN, true);
    struct pair pair = new_pair();
    let_in(server, &pair, false);
    the_door_opens_to(server, &pair);
    int64_t before = rss_bytes();
    for (unsigned i = 0; i < 40; i++) {
        const uint8_t *header = i % 2 ? huge_command : huge_message;
        int fd = tcp_to(server->endpoint);
        assert_int_equal(send(fd, greeting, sizeof greeting, MSG_NOSIGNAL), sizeof greeting);
        assert_int_equal(send(fd, header, sizeof huge_command, MSG_NOSIGNAL),
                         sizeof huge_command);
        int64_t closed = closed_after(fd, 1500); /* sooner than the handshake's limit */
        assert_true(closed >= 0);
        (void)close(fd);
    }
    assert_true(rss_bytes() - before < RSS_SLACK);
    the_door_opens_to(server, &pair);
    server_free(server);
}

/* Stands between a client and the server and can put bytes of its own on the way in. */
struct relay {
    int listener, client, server;
    char endpoint[64];
    pthread_t thread;
    atomic_bool inject;
    atomic_int_fast64_t closed_ms; /* after the injection; -1: not closed */
};

static bool pump(int from, int to)
{
    char bytes[4096];
    ssize_t n = recv(from, bytes, sizeof bytes, 0);
    return n > 0 && send(to, bytes, (size_t)n, MSG_NOSIGNAL) == n;
}

static void *relay_run(void *user)
{
    struct relay *relay = user;
    relay->client = accept(relay->listener, NULL, NULL);
    for (;;) {
        struct pollfd fds[] = {{.fd = relay->client, .events = POLLIN},
                               {.fd = relay->server, .events = POLLIN}};
        if (atomic_load(&relay->inject)) {
            (void)send(relay->server, huge_message, sizeof huge_message, MSG_NOSIGNAL);
            atomic_store(&relay->closed_ms, closed_after(relay->server, 3000));
            return NULL;
        }
        (void)poll(fds, 2, 20);
        if ((fds[0].revents && !pump(relay->client, relay->server)) ||
            (fds[1].revents && !pump(relay->server, relay->client))) {
            return NULL;
        }
    }
}

static void relay_start(struct relay *relay, const char *endpoint)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    relay->server = tcp_to(endpoint);
    relay->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(relay->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(relay->listener, 1), 0);
    assert_int_equal(getsockname(relay->listener, (struct sockaddr *)&address, &size), 0);
    (void)snprintf(relay->endpoint, sizeof relay->endpoint, "tcp://127.0.0.1:%u",
                   ntohs(address.sin_port));
    atomic_init(&relay->inject, false);
    atomic_init(&relay->closed_ms, -1);
    assert_int_equal(pthread_create(&relay->thread, NULL, relay_run, relay), 0);
}

static void T3_a_huge_frame_after_the_handshake_is_dropped(void **state)
{
    (void)state;
    struct server *server = server_new(SP_ZAP_CLIENT_DOMAIN, true);
    struct pair pair = new_pair();
    let_in(server, &pair, false);
    struct relay relay;
    relay_start(&relay, server->endpoint);
    void *socket = client_to(server, &pair, relay.endpoint, NULL);
    say(socket, "hello");
    assert_string_equal(hear(server->socket).text, "hello"); /* so the handshake is over */
    int64_t before = rss_bytes();
    atomic_store(&relay.inject, true);
    (void)pthread_join(relay.thread, NULL);
    assert_true(atomic_load(&relay.closed_ms) >= 0);
    assert_true(rss_bytes() - before < RSS_SLACK);
    (void)close(relay.listener);
    (void)close(relay.client);
    (void)close(relay.server);
    (void)zmq_close(socket);
    the_door_opens_to(server, &pair);
    server_free(server);
}

static void T3_a_message_over_the_limit_drops_its_sender_alone(void **state)
{
    (void)state;
    struct server *server = server_new(SP_ZAP_CLIENT_DOMAIN, true);
    struct pair pair = new_pair();
    let_in(server, &pair, false);
    void *good = client(server, &pair), *greedy = client(server, &pair);
    static char large[4 * MESSAGE_MAX];
    (void)zmq_send(greedy, "", 0, ZMQ_SNDMORE);
    (void)zmq_send(greedy, large, sizeof large, 0);
    assert_false(readable(server->socket, OUT_MS));
    say(good, "hello");
    assert_string_equal(hear(server->socket).text, "hello");
    (void)zmq_close(good);
    (void)zmq_close(greedy);
    server_free(server);
}

static void T4_a_silent_peer_is_gone_in_two_seconds(void **state)
{
    (void)state;
    struct server *server = server_new(SP_ZAP_CLIENT_DOMAIN, true);
    int64_t start = now_ms();
    int silent = tcp_to(server->endpoint), begun = tcp_to(server->endpoint);
    assert_int_equal(send(begun, greeting, sizeof greeting, MSG_NOSIGNAL), sizeof greeting);
    assert_true(closed_after(silent, HANDSHAKE_MS + BUSY_MS) >= 0);
    assert_true(closed_after(begun, BUSY_MS) >= 0);
    /* by the timer: not at once; without it, never */
    assert_true(now_ms() - start >= HANDSHAKE_MS - 300);
    (void)close(silent);
    (void)close(begun);
    server_free(server);
}

/* ---- T7: odd messages of a known client
 * ------------------------------------------------------ */

static void T7_messages_of_any_shape_arrive_whole_and_attributed(void **state)
{
    (void)state;
    enum { PARTS = 20000 };
    struct server *server = server_new(SP_ZAP_CLIENT_DOMAIN, true);
    struct pair pair = new_pair();
    let_in(server, &pair, false);
    void *socket = client(server, &pair);
    assert_int_equal(zmq_send(socket, "alone", 5, 0), 5); /* no delimiter */
    struct heard heard = hear(server->socket);
    assert_int_equal(heard.n_frames, 2);
    assert_string_equal(heard.user, pair.public);
    int64_t before = rss_bytes();
    for (unsigned i = 0; i < PARTS; i++) {
        assert_int_equal(zmq_send(socket, "", 0, i + 1 < PARTS ? ZMQ_SNDMORE : 0), 0);
    }
    heard = hear(server->socket);
    assert_int_equal(heard.n_frames, PARTS + 1);
    assert_true(rss_bytes() - before < RSS_SLACK);
    say(socket, "hello");
    assert_string_equal(hear(server->socket).text, "hello");
    (void)zmq_close(socket);
    server_free(server);
}

/* A client that takes another's routing id neither hears its answers nor cuts it off. */
static void T7_a_forged_routing_id_gets_no_answer_of_another(void **state)
{
    (void)state;
    struct server *server = server_new(SP_ZAP_CLIENT_DOMAIN, true);
    struct pair pair = new_pair();
    let_in(server, &pair, false);
    void *honest = client_to(server, &pair, server->endpoint, "same");
    say(honest, "mine");
    struct heard heard = hear(server->socket);
    assert_int_equal(heard.routing_id_len, 4);
    void *forger = client_to(server, &pair, server->endpoint, "same");
    say(forger, "forged");
    assert_false(readable(server->socket, OUT_MS));
    assert_int_equal(
        zmq_send(server->socket, heard.routing_id, heard.routing_id_len, ZMQ_SNDMORE), 4);
    assert_int_equal(zmq_send(server->socket, "answer", 6, 0), 6);
    assert_true(readable(honest, IN_MS));
    assert_false(readable(forger, OUT_MS));
    (void)zmq_close(honest);
    (void)zmq_close(forger);
    server_free(server);
}

static void T7_an_answer_to_nobody_is_an_error_and_not_a_leak(void **state)
{
    (void)state;
    struct server *server = server_new(SP_ZAP_CLIENT_DOMAIN, true);
    assert_int_equal(zmq_send(server->socket, "nobody", 6, ZMQ_SNDMORE | ZMQ_DONTWAIT), -1);
    assert_int_equal(zmq_errno(), EHOSTUNREACH);
    server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T3_a_huge_frame_before_the_handshake_is_dropped),
        cmocka_unit_test(T3_a_huge_frame_after_the_handshake_is_dropped),
        cmocka_unit_test(T3_a_message_over_the_limit_drops_its_sender_alone),
        cmocka_unit_test(T4_a_silent_peer_is_gone_in_two_seconds),
        cmocka_unit_test(T7_messages_of_any_shape_arrive_whole_and_attributed),
        cmocka_unit_test(T7_a_forged_routing_id_gets_no_answer_of_another),
        cmocka_unit_test(T7_an_answer_to_nobody_is_an_error_and_not_a_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
