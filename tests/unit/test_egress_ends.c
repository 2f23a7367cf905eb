/* How calls end: limits, broken connections, slots, cancelling, keys that go away. */
#include "egress_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define URL "https://api.example.com"

/* Time as libuv and libcurl see it: they call this very function. */
static _Atomic long ahead_s;

__attribute__((visibility("default"))) int clock_gettime(clockid_t id,
                                                         struct timespec *ret_time)
{
    long failed = syscall(SYS_clock_gettime, id, ret_time);
    ret_time->tv_sec += ahead_s;
    return (int)failed;
}

struct fixture {
    struct kit kit;
    struct loopback *server;
    struct kit_key key;
    struct kit_reply reply;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    kit_open(&f->kit);
    f->server = loopback_start(NULL);
    kit_key(&f->key, "k1", KIT_SECRET, "http", f->server->port);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    kit_close(&f->kit);
    loopback_stop(f->server);
    kit_key_done(&f->key);
    kit_reply_done(&f->reply);
    free(f);
    return 0;
}

/* ---- limits ---------------------------------------------------------------------------------
 */

static bool serve_endless(struct loopback_connection *c, const char *request, size_t len)
{
    char block[8192];
    (void)request;
    (void)len;
    memset(block, 'x', sizeof block);
    if (!loopback_send_str(c, "HTTP/1.1 200 OK\r\n\r\n")) {
        return false;
    }
    while (loopback_send(c, block, sizeof block)) {
    }
    return false;
}

static void T37_an_endless_body_is_cut_off(void **state)
{
    struct fixture *f = *state;
    loopback_serve(f->server, serve_endless);
    kit_get(&f->kit, &f->key, URL "/", &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_RESPONSE_TOO_LARGE);
    assert_true(f->reply.sent);
    assert_int_equal(f->reply.body_len, 0);
}

static bool serve_endless_headers(struct loopback_connection *c, const char *request,
                                  size_t len)
{
    (void)request;
    (void)len;
    bool open = loopback_send_str(c, "HTTP/1.1 200 OK\r\n");
    while (open) {
        open = loopback_send_str(c, "X-More: 0123456789012345678901234567890123456789\r\n");
    }
    return false;
}

static void T37_endless_headers_are_cut_off(void **state)
{
    struct fixture *f = *state;
    loopback_serve(f->server, serve_endless_headers);
    kit_get(&f->kit, &f->key, URL "/", &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_RESPONSE_TOO_LARGE);
}

static bool serve_endless_interim(struct loopback_connection *c, const char *request,
                                  size_t len)
{
    (void)request;
    (void)len;
    bool open = true;
    while (open) {
        open = loopback_send_str(c, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    }
    return false;
}

static void T37_endless_interim_responses_are_cut_off(void **state)
{
    struct fixture *f = *state;
    loopback_serve(f->server, serve_endless_interim);
    kit_get(&f->kit, &f->key, URL "/", &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_RESPONSE_TOO_LARGE);
}

static bool serve_slowly(struct loopback_connection *c, const char *request, size_t len)
{
    (void)request;
    (void)len;
    bool open = loopback_send_str(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    for (int i = 0; open && i < 200; i++) {
        (void)usleep(20000);
        open = loopback_send_str(c, "x");
    }
    return false;
}

static void T37_a_slow_body_ends_at_the_deadline(void **state)
{
    struct fixture *f = *state;
    struct kit kit;
    kit_config(&kit);
    kit.config.total_ms = 300;
    kit_start(&kit);
    loopback_serve(f->server, serve_slowly);
    uint64_t start = uv_hrtime();
    kit_get(&kit, &f->key, URL "/", &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_UPSTREAM_TIMEOUT);
    assert_true(f->reply.sent);
    assert_true(uv_hrtime() - start < 3000000000u);
    kit_close(&kit);
}

static bool serve_and_close(struct loopback_connection *c, const char *request, size_t len)
{
    (void)c;
    (void)request;
    (void)len;
    return false;
}

static void a_connection_closed_without_an_answer_may_have_acted(void **state)
{
    struct fixture *f = *state;
    loopback_serve(f->server, serve_and_close);
    kit_do(&f->kit, &f->key, &(struct kit_call){.method = "POST", .url = URL "/"}, &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_UPSTREAM_FAILED);
    assert_true(f->reply.sent);
    assert_non_null(strstr(f->reply.reason, "without an answer"));
}

static bool serve_half(struct loopback_connection *c, const char *request, size_t len)
{
    (void)request;
    (void)len;
    (void)loopback_send_str(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    return false;
}

static void half_an_answer_is_no_answer(void **state)
{
    struct fixture *f = *state;
    loopback_serve(f->server, serve_half);
    kit_get(&f->kit, &f->key, URL "/", &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_UPSTREAM_FAILED);
    assert_int_equal(f->reply.body_len, 0);
}

static bool serve_once_then_close(struct loopback_connection *c, const char *request,
                                  size_t len)
{
    (void)request;
    (void)len;
    return c->n_requests == 1 && loopback_send_str(c, loopback_hello);
}

static void a_post_is_never_sent_twice_by_itself(void **state)
{
    struct fixture *f = *state;
    loopback_serve(f->server, serve_once_then_close);
    kit_get(&f->kit, &f->key, URL "/first", &f->reply);
    kit_reply_done(&f->reply);
    kit_do(&f->kit, &f->key, &(struct kit_call){.method = "POST", .url = URL "/second"},
           &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_UPSTREAM_FAILED);
    assert_true(f->reply.sent);
    assert_int_equal(loopback_requests(f->server), 2);
}

static void a_get_is_sent_again_where_a_kept_connection_was_dead(void **state)
{
    struct fixture *f = *state;
    loopback_serve(f->server, serve_once_then_close);
    kit_get(&f->kit, &f->key, URL "/first", &f->reply);
    kit_reply_done(&f->reply);
    kit_get(&f->kit, &f->key, URL "/second", &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_OK);
    assert_int_equal(loopback_requests(f->server), 3);
    assert_int_equal(loopback_connections(f->server), 2);
}

static void nothing_listening_means_nothing_was_sent(void **state)
{
    struct fixture *f = *state;
    struct loopback *gone = loopback_start(NULL);
    struct kit_key key;
    kit_key(&key, "k2", KIT_SECRET, "http", gone->port);
    loopback_stop(gone);
    kit_do(&f->kit, &key, &(struct kit_call){.method = "POST", .url = URL "/"}, &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_UPSTREAM_UNREACHABLE);
    assert_false(f->reply.sent);
    kit_key_done(&key);
}

static void plain_http_is_refused_without_a_loopback_upstream(void **state)
{
    struct fixture *f = *state;
    struct kit_key key;
    struct sp_error err = {""};
    uint64_t id;
    kit_key(&key, "k2", KIT_SECRET, NULL, 0);
    assert_int_equal(
        kit_send(&f->kit, &key,
                 &(struct kit_call){.method = "GET", .url = "http://api.example.com/"},
                 &f->reply, &id, &err),
        SP_EINVAL);
    assert_non_null(strstr(err.text, "https"));
    kit_key_done(&key);
}

/* ---- connections ----------------------------------------------------------------------------
 */

static void calls_of_one_key_share_a_connection(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 5; i++) {
        kit_get(&f->kit, &f->key, URL "/", &f->reply);
        assert_int_equal(f->reply.code, SP_CODE_OK);
        kit_reply_done(&f->reply);
    }
    assert_int_equal(loopback_connections(f->server), 1);
}

static void T38_two_keys_never_share_a_connection(void **state)
{
    struct fixture *f = *state;
    struct kit_key other;
    kit_key(&other, "k2", "another-secret-of-its-own", "http", f->server->port);
    for (int i = 0; i < 3; i++) {
        kit_get(&f->kit, &f->key, URL "/", &f->reply);
        kit_reply_done(&f->reply);
        kit_get(&f->kit, &other, URL "/", &f->reply);
        assert_int_equal(f->reply.code, SP_CODE_OK);
        kit_reply_done(&f->reply);
    }
    assert_int_equal(loopback_connections(f->server), 2);
    kit_key_done(&other);
}

static void T38_a_new_version_of_a_key_has_connections_of_its_own(void **state)
{
    struct fixture *f = *state;
    kit_get(&f->kit, &f->key, URL "/", &f->reply);
    kit_reply_done(&f->reply);
    f->key.key.version = 2;
    kit_get(&f->kit, &f->key, URL "/", &f->reply);
    kit_reply_done(&f->reply);
    assert_int_equal(loopback_connections(f->server), 2);
    sp_egress_forget(f->kit.egress, SP_TEXT("k1"));
    kit_get(&f->kit, &f->key, URL "/", &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_OK);
    assert_int_equal(loopback_connections(f->server), 3);
}

static void idle_connections_are_closed_after_a_minute(void **state)
{
    struct fixture *f = *state;
    kit_get(&f->kit, &f->key, URL "/", &f->reply);
    kit_run_ms(&f->kit, 50);
    ahead_s = 58;
    kit_run_ms(&f->kit, 50);
    assert_int_equal(loopback_ended(f->server), 0);
    ahead_s = 61;
    for (int i = 0; i < 100 && loopback_ended(f->server) == 0; i++) {
        kit_run_ms(&f->kit, 20);
    }
    assert_int_equal(loopback_ended(f->server), 1);
    kit_reply_done(&f->reply);
    kit_get(&f->kit, &f->key, URL "/", &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_OK);
    assert_int_equal(loopback_connections(f->server), 2);
}

static void slots_are_bounded_for_each_key_and_over_all(void **state)
{
    struct fixture *f = *state;
    struct kit kit;
    struct kit_key other;
    struct kit_reply replies[4] = {{.n_done = 0}};
    struct kit_call call = {.method = "GET", .url = URL "/"};
    uint64_t id;
    kit_config(&kit);
    kit.config.slots = 3;
    kit.config.slots_per_key = 2;
    kit_start(&kit);
    kit_key(&other, "k2", KIT_SECRET, "http", f->server->port);
    assert_int_equal(kit_send(&kit, &f->key, &call, &replies[0], &id, NULL), SP_OK);
    assert_int_equal(kit_send(&kit, &f->key, &call, &replies[1], &id, NULL), SP_OK);
    assert_int_equal(kit_send(&kit, &f->key, &call, &replies[2], &id, NULL), SP_EBUSY);
    assert_int_equal(kit_send(&kit, &other, &call, &replies[2], &id, NULL), SP_OK);
    assert_int_equal(kit_send(&kit, &other, &call, &replies[3], &id, NULL), SP_EBUSY);
    assert_int_equal(sp_egress_in_flight(kit.egress), 3);
    for (size_t i = 0; i < 3; i++) {
        kit_wait(&kit, &replies[i]);
        assert_int_equal(replies[i].code, SP_CODE_OK);
        kit_reply_done(&replies[i]);
    }
    assert_int_equal(sp_egress_in_flight(kit.egress), 0);
    kit_close(&kit);
    kit_key_done(&other);
}

/* ---- cancelling -----------------------------------------------------------------------------
 */

static void a_cancelled_call_ends_once_with_its_code(void **state)
{
    struct fixture *f = *state;
    struct kit_call call = {.method = "POST", .url = URL "/"};
    uint64_t id;
    loopback_serve(f->server, serve_slowly);
    assert_int_equal(kit_send(&f->kit, &f->key, &call, &f->reply, &id, NULL), SP_OK);
    kit_run_ms(&f->kit, 150);
    assert_int_equal(f->reply.n_done, 0);
    sp_egress_cancel(f->kit.egress, id, SP_CODE_TOKEN_REVOKED);
    sp_egress_cancel(f->kit.egress, id, SP_CODE_BUSY);
    assert_int_equal(f->reply.n_done, 0); /* later, from the loop */
    kit_wait(&f->kit, &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_TOKEN_REVOKED);
    assert_true(f->reply.sent);
    sp_egress_cancel(f->kit.egress, id, SP_CODE_BUSY);
    sp_egress_cancel(f->kit.egress, 0, SP_CODE_BUSY);
    kit_run_ms(&f->kit, 50);
    assert_int_equal(f->reply.n_done, 1);
    assert_int_equal(sp_egress_in_flight(f->kit.egress), 0);
}

static void closing_ends_every_call_in_flight(void **state)
{
    struct fixture *f = *state;
    struct kit kit;
    struct kit_reply second;
    struct kit_call call = {.method = "GET", .url = URL "/"};
    uint64_t id;
    kit_open(&kit);
    loopback_serve(f->server, serve_slowly);
    assert_int_equal(kit_send(&kit, &f->key, &call, &f->reply, &id, NULL), SP_OK);
    kit_run_ms(&kit, 100);
    assert_int_equal(kit_send(&kit, &f->key, &call, &second, &id, NULL), SP_OK);
    kit_close(&kit);
    assert_int_equal(f->reply.code, SP_CODE_SHUTTING_DOWN);
    assert_int_equal(f->reply.n_done, 1);
    assert_int_equal(second.n_done, 1);
    assert_int_equal(second.code, SP_CODE_SHUTTING_DOWN);
    assert_false(second.sent);
    kit_reply_done(&second);
}

static void a_key_forgotten_in_flight_finishes_its_calls(void **state)
{
    struct fixture *f = *state;
    struct kit_call call = {.method = "GET", .url = URL "/"};
    uint64_t id;
    assert_int_equal(kit_send(&f->kit, &f->key, &call, &f->reply, &id, NULL), SP_OK);
    sp_egress_forget(f->kit.egress, SP_TEXT("k1"));
    kit_wait(&f->kit, &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_OK);
    kit_reply_done(&f->reply);
    kit_get(&f->kit, &f->key, URL "/", &f->reply);
    assert_int_equal(f->reply.code, SP_CODE_OK);
    assert_int_equal(loopback_connections(f->server), 2);
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(T37_an_endless_body_is_cut_off),
        ROW(T37_endless_headers_are_cut_off),
        ROW(T37_endless_interim_responses_are_cut_off),
        ROW(T37_a_slow_body_ends_at_the_deadline),
        ROW(a_connection_closed_without_an_answer_may_have_acted),
        ROW(half_an_answer_is_no_answer),
        ROW(a_post_is_never_sent_twice_by_itself),
        ROW(a_get_is_sent_again_where_a_kept_connection_was_dead),
        ROW(nothing_listening_means_nothing_was_sent),
        ROW(plain_http_is_refused_without_a_loopback_upstream),
        ROW(calls_of_one_key_share_a_connection),
        ROW(T38_two_keys_never_share_a_connection),
        ROW(T38_a_new_version_of_a_key_has_connections_of_its_own),
        ROW(idle_connections_are_closed_after_a_minute),
        ROW(slots_are_bounded_for_each_key_and_over_all),
        ROW(a_cancelled_call_ends_once_with_its_code),
        ROW(closing_ends_every_call_in_flight),
        ROW(a_key_forgotten_in_flight_finishes_its_calls),
    };
    struct sp_error err;
    if (sp_egress_global(&err)) {
        return 1;
    }
    return cmocka_run_group_tests_name("ends of egress", tests, NULL, NULL);
}
