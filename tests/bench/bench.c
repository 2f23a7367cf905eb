#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void bench_die(const char *what, const char *why)
{
    (void)fprintf(stderr, "bench: %s: %s\n", what, why);
    exit(1);
}

unsigned long bench_number(const char *name, const char *text)
{
    char *end = NULL;
    errno = 0;
    unsigned long number = text ? strtoul(text, &end, 10) : 0;
    if (!text || errno || end == text || *end) {
        bench_die(name, "needs a whole number");
    }
    return number;
}

void *bench_router(void *context)
{
    char public_key[41], secret_key[41], endpoint[128];
    size_t len = sizeof endpoint;
    const int on = 1, linger = 0;
    void *router = zmq_socket(context, ZMQ_ROUTER);
    if (!router || zmq_curve_keypair(public_key, secret_key) ||
        zmq_setsockopt(router, ZMQ_CURVE_SERVER, &on, sizeof on) ||
        zmq_setsockopt(router, ZMQ_CURVE_SECRETKEY, secret_key, sizeof secret_key) ||
        zmq_setsockopt(router, ZMQ_LINGER, &linger, sizeof linger) ||
        zmq_bind(router, "tcp://127.0.0.1:*") ||
        zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, endpoint, &len)) {
        bench_die("ROUTER socket", zmq_strerror(errno));
    }
    (void)printf("listening %s %s\n", endpoint, public_key);
    (void)fflush(stdout);
    return router;
}

bool bench_receive(void *router, zmq_msg_t *ret_id, zmq_msg_t *ret_body, int flags)
{
    while (zmq_msg_recv(ret_id, router, flags) >= 0) {
        size_t parts = 1;
        bool good = true;
        while (zmq_msg_more(parts == 1 ? ret_id : ret_body)) {
            if (zmq_msg_recv(ret_body, router, 0) < 0) {
                return false;
            }
            parts++;
            good = good && (parts != 2 || zmq_msg_size(ret_body) == 0);
        }
        if (good && parts == 3) {
            return true;
        }
    }
    return false;
}

void bench_reply(void *router, zmq_msg_t *id, zmq_msg_t *body)
{
    if (zmq_msg_send(id, router, ZMQ_SNDMORE) < 0 || zmq_send(router, "", 0, ZMQ_SNDMORE) < 0 ||
        zmq_msg_send(body, router, 0) < 0) {
        bench_die("reply", zmq_strerror(errno));
    }
}

uint64_t bench_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
