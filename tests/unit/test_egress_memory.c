/* T58 for the way out: after a call, with its connection still open, the key is in memory once:
 * where the test keeps it. The server is another process, since it holds the key by right. */
#include "egress_kit.h"

#include "certs.h"

#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define URL "https://api.example.com/"

enum { CANARY_BYTES = 40 };

extern char **environ;

struct server {
    pid_t pid;
    int in; /* closing it ends the server */
    unsigned plain_port, tls_port;
    char ca_path[64];
};

/* ---- the server's process -------------------------------------------------------------------
 */

/* The key is given back at the end of so much else. */
static bool serve_echo(struct loopback_connection *c, const char *request, size_t len)
{
    char body[12000], head[128];
    const char *authorization = strstr(request, "authorization: Bearer ");
    size_t before = strncmp(request, "GET /far ", 9) == 0 ? sizeof body - CANARY_BYTES : 0;
    bool echo = before || strncmp(request, "GET /echo ", 10) == 0;
    (void)len;
    if (!authorization) {
        return false;
    }
    memset(body, 'x', sizeof body);
    memcpy(body + before, echo ? authorization + 22 : loopback_hello, CANARY_BYTES);
    (void)snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
                   before + CANARY_BYTES);
    return loopback_send_str(c, head) && loopback_send(c, body, before + CANARY_BYTES);
}

static int run_server(void)
{
    struct certs certs;
    char byte;
    certs_open(&certs);
    SSL_CTX *context = certs_server(&certs, "api.example.com", -60, 3600, 0);
    struct loopback *plain = loopback_start(NULL), *tls = loopback_start(context);
    loopback_serve(plain, serve_echo);
    loopback_serve(tls, serve_echo);
    (void)printf("%u %u %s\n", plain->port, tls->port, certs.ca_path);
    (void)fflush(stdout);
    while (read(0, &byte, 1) < 0) {
        /* until the test is over */
    }
    loopback_stop(plain);
    loopback_stop(tls);
    SSL_CTX_free(context);
    certs_close(&certs);
    return 0;
}

static void server_start(struct server *server)
{
    int in[2], out[2];
    char *argv[] = {"server", "serve", NULL};
    posix_spawn_file_actions_t actions;
    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    (void)posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    assert_int_equal(posix_spawn(&server->pid, "/proc/self/exe", &actions, NULL, argv, environ),
                     0);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(in[0]);
    (void)close(out[1]);
    server->in = in[1];
    FILE *file = fdopen(out[0], "r");
    assert_int_equal(
        fscanf(file, "%u %u %63s", &server->plain_port, &server->tls_port, server->ca_path), 3);
    (void)fclose(file);
}

static void server_stop(struct server *server)
{
    int status;
    (void)close(server->in);
    assert_int_equal(waitpid(server->pid, &status, 0), server->pid);
    assert_int_equal(status, 0);
}

/* ---- looking through memory -----------------------------------------------------------------
 */

/* The canary is kept masked, so that looking for it puts no copy of it anywhere. */
static unsigned char masked[CANARY_BYTES];
enum { MASK = 0x5a };

static size_t count_in(const unsigned char *bytes, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i + CANARY_BYTES <= len; i++) {
        size_t same = 0;
        while (same < CANARY_BYTES && bytes[i + same] == (masked[same] ^ MASK)) {
            same++;
        }
        n += same == CANARY_BYTES;
    }
    return n;
}

/* How often the canary is in writable memory of this process. */
static size_t count_everywhere(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    enum { WINDOW = 1 << 20 };
    /* Between guard pages it is a mapping of its own, which can be left out. */
    unsigned char *window = sodium_malloc(WINDOW);
    char line[512], mode[8];
    size_t n = 0;
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps)) {
        unsigned long start, end;
        if (sscanf(line, "%lx-%lx %7s", &start, &end, mode) != 3 || mode[1] != 'w' ||
            (start <= (uintptr_t)window && (uintptr_t)window < end) ||
            end - start > 1ul << 30) { /* a sanitizer's shadow */
            continue;
        }
        for (unsigned long at = start; at < end; at += WINDOW - CANARY_BYTES + 1) {
            size_t want = end - at < WINDOW ? end - at : WINDOW;
            ssize_t got = pread(memory, window, want, (off_t)at);
            n += got > 0 ? count_in(window, (size_t)got) : 0;
            if (want < WINDOW) {
                break;
            }
        }
    }
    sodium_free(window);
    (void)close(memory);
    (void)fclose(maps);
    return n;
}

/* ---- tests ----------------------------------------------------------------------------------
 */

static void check(const char *scheme, const char *path, enum sp_code code)
{
    struct server server;
    struct kit kit;
    struct kit_key key;
    struct kit_reply reply;
    char url[64];
    server_start(&server);
    kit_open(&kit);
    kit_key(&key, "k1", NULL, scheme,
            (uint16_t)(scheme[4] ? server.tls_port : server.plain_port));
    kit_key_set(&key, "ca_file", server.ca_path);
    unsigned char *canary = sodium_malloc(CANARY_BYTES);
    for (size_t i = 0; i < CANARY_BYTES; i++) {
        canary[i] = masked[i] ^ MASK;
    }
    key.secrets[0] =
        (struct sp_key_secret){SP_TEXT("api_key"), {.ptr = canary, .len = CANARY_BYTES}};
    key.key.n_secrets = 1;
    (void)snprintf(url, sizeof url, URL "%s", path);
    assert_int_equal(count_everywhere(), 1); /* the scan finds what is there */
    for (int i = 0; i < 3; i++) {
        kit_get(&kit, &key, url, &reply);
        assert_int_equal(reply.code, code);
        kit_reply_done(&reply);
    }
    assert_int_equal(count_everywhere(), 1);
    kit_close(&kit);
    assert_int_equal(count_everywhere(), 1);
    sodium_free(canary);
    server_stop(&server);
}

static void T58_no_copy_of_the_key_stays_after_a_call(void **state)
{
    (void)state;
    check("http", "", SP_CODE_OK);
}

static void T58_no_copy_of_the_key_stays_after_a_call_over_tls(void **state)
{
    (void)state;
    check("https", "", SP_CODE_OK);
}

static void T58_no_copy_stays_of_a_key_that_was_echoed(void **state)
{
    (void)state;
    check("http", "echo", SP_CODE_RESPONSE_BLOCKED);
    check("http", "far", SP_CODE_RESPONSE_BLOCKED);
}

static void T58_no_copy_stays_of_a_key_that_was_echoed_over_tls(void **state)
{
    (void)state;
    check("https", "echo", SP_CODE_RESPONSE_BLOCKED);
    check("https", "far", SP_CODE_RESPONSE_BLOCKED);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T58_no_copy_of_the_key_stays_after_a_call),
        cmocka_unit_test(T58_no_copy_of_the_key_stays_after_a_call_over_tls),
        cmocka_unit_test(T58_no_copy_stays_of_a_key_that_was_echoed),
        cmocka_unit_test(T58_no_copy_stays_of_a_key_that_was_echoed_over_tls),
    };
    if (argc > 1 && strcmp(argv[1], "serve") == 0) {
        return run_server();
    }
    struct sp_error err;
    if (sp_egress_global(&err)) {
        return 1;
    }
    for (size_t i = 0; i < CANARY_BYTES; i++) {
        masked[i] = (unsigned char)(('A' + randombytes_uniform(26)) ^ MASK);
    }
    return cmocka_run_group_tests_name("memory of egress", tests, NULL, NULL);
}
