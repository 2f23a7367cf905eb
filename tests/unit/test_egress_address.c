/* Where a name leads decides whether the key goes there: T33, T34. The C library's resolver and
 * the network behind it are the test's own here (libcurl calls these very functions), so that a
 * name can lead anywhere, and a public address to a server on loopback. */
#include "egress_kit.h"

#include "certs.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#define URL "https://api.example.com/"
#define EXPORT __attribute__((visibility("default")))

static struct certs certs;

static struct world {
    pthread_mutex_t lock;
    const char *answers[4][4]; /* per question: addresses up to the first NULL */
    unsigned n_questions;
    unsigned n_connects;
    char last_connect[INET6_ADDRSTRLEN];
    const char *peer; /* where a connection really ends; NULL: where it was meant to */
    uint16_t server_port;
} world = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void world_reset(void)
{
    pthread_mutex_lock(&world.lock);
    memset(world.answers, 0, sizeof world.answers);
    world.n_questions = world.n_connects = 0;
    world.last_connect[0] = '\0';
    world.peer = NULL;
    pthread_mutex_unlock(&world.lock);
}

/* ---- the C library, as libcurl sees it ------------------------------------------------------
 */

static struct addrinfo *make_answer(const char *text, uint16_t port)
{
    struct {
        struct addrinfo info;
        struct sockaddr_storage address;
    } *answer = calloc(1, sizeof *answer);
    struct sockaddr_in *in = (struct sockaddr_in *)&answer->address;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&answer->address;
    bool v6 = strchr(text, ':') != NULL;
    if (inet_pton(v6 ? AF_INET6 : AF_INET, text,
                  v6 ? (void *)&in6->sin6_addr : (void *)&in->sin_addr) != 1) {
        abort();
    }
    answer->address.ss_family = v6 ? AF_INET6 : AF_INET;
    in->sin_port = htons(port); /* the same place in both */
    answer->info = (struct addrinfo){.ai_family = v6 ? AF_INET6 : AF_INET,
                                     .ai_socktype = SOCK_STREAM,
                                     .ai_protocol = IPPROTO_TCP,
                                     .ai_addrlen = v6 ? sizeof *in6 : sizeof *in,
                                     .ai_addr = (struct sockaddr *)&answer->address};
    return &answer->info;
}

EXPORT int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret)
{
    struct addrinfo *first = NULL, **last = &first;
    (void)hints;
    if (strcmp(node, "api.example.com") != 0) {
        return EAI_NONAME;
    }
    pthread_mutex_lock(&world.lock);
    const char **answers = world.answers[world.n_questions < 4 ? world.n_questions : 3];
    world.n_questions++;
    for (size_t i = 0; i < 4 && answers[i]; i++) {
        *last = make_answer(answers[i], (uint16_t)strtoul(service ? service : "443", NULL, 10));
        last = &(*last)->ai_next;
    }
    pthread_mutex_unlock(&world.lock);
    *ret = first;
    return first ? 0 : EAI_NONAME;
}

EXPORT void freeaddrinfo(struct addrinfo *info)
{
    while (info) {
        struct addrinfo *next = info->ai_next;
        free(info);
        info = next;
    }
}

/* The rest of the world is the test's server. The real connect is the next one of that name. */
EXPORT int connect(int fd, __CONST_SOCKADDR_ARG to_any, socklen_t len)
{
    const struct sockaddr *to = to_any.__sockaddr__;
    int (*real)(int, const struct sockaddr *, socklen_t) = NULL;
    void *symbol = dlsym(RTLD_NEXT, "connect");
    memcpy(&real, &symbol, sizeof real);
    if (to->sa_family != AF_INET && to->sa_family != AF_INET6) {
        return real(fd, to, len);
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)to;
    const struct sockaddr_in *in = (const struct sockaddr_in *)to;
    bool v6 = to->sa_family == AF_INET6;
    struct sockaddr_in home = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    pthread_mutex_lock(&world.lock);
    world.n_connects++;
    (void)inet_ntop(to->sa_family, v6 ? (const void *)&in6->sin6_addr : &in->sin_addr,
                    world.last_connect, sizeof world.last_connect);
    home.sin_port = htons(world.server_port);
    pthread_mutex_unlock(&world.lock);
    if (v6) {
        errno = ENETUNREACH;
        return -1;
    }
    return real(fd, (struct sockaddr *)&home, sizeof home);
}

EXPORT int getpeername(int fd, __SOCKADDR_ARG name, socklen_t *len)
{
    struct sockaddr_in *in = name.__sockaddr_in__;
    (void)fd;
    *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(443)};
    pthread_mutex_lock(&world.lock);
    (void)inet_pton(AF_INET, world.peer ? world.peer : world.last_connect, &in->sin_addr);
    pthread_mutex_unlock(&world.lock);
    *len = sizeof *in;
    return 0;
}

/* ---- tests ----------------------------------------------------------------------------------
 */

struct fixture {
    struct kit kit;
    struct loopback *server;
    SSL_CTX *context;
    struct kit_key key;
    struct kit_reply reply;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    world_reset();
    f->context = certs_server(&certs, "api.example.com", -60, 3600, 0);
    f->server = loopback_start(f->context);
    world.server_port = f->server->port;
    kit_open(&f->kit);
    kit_key(&f->key, "k1", KIT_SECRET, NULL, 0);
    kit_key_set(&f->key, "ca_file", certs.ca_path);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    kit_close(&f->kit);
    loopback_stop(f->server);
    SSL_CTX_free(f->context);
    kit_key_done(&f->key);
    kit_reply_done(&f->reply);
    free(f);
    return 0;
}

static void a_public_address_is_reached(void **state)
{
    struct fixture *f = *state;
    world.answers[0][0] = "93.184.216.34";
    kit_get(&f->kit, &f->key, URL, &f->reply);
    assert_string_equal(f->reply.reason, "");
    assert_int_equal(f->reply.code, SP_CODE_OK);
    assert_string_equal(world.last_connect, "93.184.216.34");
}

static void T34_special_addresses_are_never_connected_to(void **state)
{
    static const char *const addresses[] = {"127.0.0.1",
                                            "127.9.9.9",
                                            "0.0.0.0",
                                            "0.1.2.3",
                                            "10.1.2.3",
                                            "172.16.0.1",
                                            "172.31.255.255",
                                            "192.168.1.1",
                                            "100.64.0.1",
                                            "100.100.100.200",
                                            "169.254.169.254",
                                            "169.254.1.1",
                                            "192.0.0.192",
                                            "192.0.2.1",
                                            "198.51.100.1",
                                            "203.0.113.1",
                                            "198.18.0.1",
                                            "224.0.0.1",
                                            "239.255.255.250",
                                            "240.0.0.1",
                                            "255.255.255.255",
                                            "168.63.129.16",
                                            "192.88.99.1",
                                            "::",
                                            "::1",
                                            "::ffff:127.0.0.1",
                                            "::ffff:10.0.0.1",
                                            "::ffff:93.184.216.34",
                                            "::127.0.0.1",
                                            "::ffff:0:169.254.169.254",
                                            "64:ff9b::169.254.169.254",
                                            "64:ff9b::10.0.0.1",
                                            "64:ff9b:1::10.0.0.1",
                                            "100::1",
                                            "2001::1",
                                            "2001:db8::1",
                                            "2002:a00:1::1",
                                            "2002:7f00:1::",
                                            "fc00::1",
                                            "fd00:ec2::254",
                                            "fe80::1",
                                            "fec0::1",
                                            "ff02::1",
                                            "2606:4700::5efe:10.0.0.1",
                                            "4000::1"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        world_reset();
        world.answers[0][0] = addresses[i];
        f->key.key.version++; /* a lane, and a DNS cache, of its own */
        kit_get(&f->kit, &f->key, URL, &f->reply);
        if (f->reply.code != SP_CODE_UPSTREAM_BLOCKED || world.n_connects) {
            fail_msg("%s: %s, %u connects", addresses[i], f->reply.reason, world.n_connects);
        }
        assert_false(f->reply.sent);
        kit_reply_done(&f->reply);
    }
    assert_int_equal(loopback_connections(f->server), 0);
}

static void T33_of_a_mixed_answer_only_the_public_part_is_used(void **state)
{
    struct fixture *f = *state;
    world.answers[0][0] = "fd00::1";
    world.answers[0][1] = "10.0.0.1";
    world.answers[0][2] = "93.184.216.34";
    world.answers[0][3] = "127.0.0.1";
    kit_get(&f->kit, &f->key, URL, &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_OK);
    assert_int_equal(world.n_connects, 1);
    assert_string_equal(world.last_connect, "93.184.216.34");
}

static void T33_an_answer_that_changes_is_judged_each_time(void **state)
{
    struct fixture *f = *state;
    world.answers[0][0] = "93.184.216.34";
    world.answers[1][0] = "127.0.0.1";
    world.answers[2][0] = "93.184.216.34";
    static const enum sp_code codes[] = {SP_CODE_OK, SP_CODE_UPSTREAM_BLOCKED, SP_CODE_OK};
    for (size_t i = 0; i < 3; i++) {
        f->key.key.version++;
        kit_get(&f->kit, &f->key, URL, &f->reply);
        assert_int_equal(f->reply.code, codes[i]);
        assert_int_equal(world.n_questions, i + 1);
        kit_reply_done(&f->reply);
    }
    assert_int_equal(world.n_connects, 2);
}

/* The socket was fine when it was opened; the peer that it ends up with is not. */
static void T33_the_peer_is_judged_again_before_the_request(void **state)
{
    struct fixture *f = *state;
    world.answers[0][0] = "93.184.216.34";
    world.peer = "10.0.0.1";
    kit_get(&f->kit, &f->key, URL, &f->reply);
    assert_int_equal(world.n_connects, 1);
    assert_int_equal(f->reply.code, SP_CODE_UPSTREAM_BLOCKED);
    assert_false(f->reply.sent);
    assert_int_equal(loopback_requests(f->server), 0);
}

static void T34_a_private_network_is_open_only_where_the_key_says(void **state)
{
    struct fixture *f = *state;
    kit_key_set(&f->key, "network", "10.1.0.0/16, fd00:1::/32");
    static const struct {
        const char *address;
        enum sp_code code;
    } rows[] = {{"10.1.2.3", SP_CODE_OK},
                {"10.2.0.1", SP_CODE_UPSTREAM_BLOCKED},
                {"192.168.1.1", SP_CODE_UPSTREAM_BLOCKED},
                {"127.0.0.1", SP_CODE_UPSTREAM_BLOCKED},
                {"::ffff:10.1.2.3", SP_CODE_UPSTREAM_BLOCKED},
                {"93.184.216.34", SP_CODE_OK},
                {"fd00:1::7", SP_CODE_UPSTREAM_UNREACHABLE}, /* tried: there is no IPv6 here */
                {"fd00:2::7", SP_CODE_UPSTREAM_BLOCKED}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        world_reset();
        world.answers[0][0] = rows[i].address;
        f->key.key.version++;
        kit_get(&f->kit, &f->key, URL, &f->reply);
        if (f->reply.code != rows[i].code) {
            fail_msg("%s: %d, %s", rows[i].address, (int)f->reply.code, f->reply.reason);
        }
        kit_reply_done(&f->reply);
    }
}

static void T34_our_own_listeners_are_no_upstream(void **state)
{
    struct fixture *f = *state;
    struct kit kit;
    struct kit_key key;
    const uint16_t ports[] = {1, f->server->port};
    kit_config(&kit);
    kit.config.own_ports = ports;
    kit.config.n_own_ports = 2;
    kit_start(&kit);
    kit_key(&key, "k2", KIT_SECRET, "https", f->server->port);
    kit_get(&kit, &key, URL, &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_UPSTREAM_BLOCKED);
    assert_non_null(strstr(f->reply.reason, "listener of this host"));
    assert_int_equal(world.n_connects, 0);
    kit_close(&kit);
    kit_key_done(&key);
}

static void a_name_that_does_not_resolve_is_unreachable(void **state)
{
    struct fixture *f = *state;
    kit_get(&f->kit, &f->key, URL, &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_UPSTREAM_UNREACHABLE);
    assert_false(f->reply.sent);
    assert_non_null(strstr(f->reply.reason, "resolve"));
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(a_public_address_is_reached),
        ROW(T34_special_addresses_are_never_connected_to),
        ROW(T33_of_a_mixed_answer_only_the_public_part_is_used),
        ROW(T33_an_answer_that_changes_is_judged_each_time),
        ROW(T33_the_peer_is_judged_again_before_the_request),
        ROW(T34_a_private_network_is_open_only_where_the_key_says),
        ROW(T34_our_own_listeners_are_no_upstream),
        ROW(a_name_that_does_not_resolve_is_unreachable),
    };
    struct sp_error err;
    if (sp_egress_global(&err)) {
        return 1;
    }
    certs_open(&certs);
    int n_failed = cmocka_run_group_tests_name("addresses of egress", tests, NULL, NULL);
    certs_close(&certs);
    return n_failed;
}
