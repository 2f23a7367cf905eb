/* What the benchmark's programs share: a ROUTER under CURVE with a fresh key, and dying
 * politely. These programs are baselines: they do the transport and nothing else. */
#ifndef SP_BENCH_H
#define SP_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

/* Print "program: what: why" and end with status 1. */
_Noreturn void bench_die(const char *what, const char *why);

/* A ROUTER on a free loopback port, CURVE on; prints "listening ENDPOINT PUBLIC-KEY". */
void *bench_router(void *context);

/* The number in text; dies where it is none. */
unsigned long bench_number(const char *name, const char *text);

/* Receive one [routing id, empty, body] into two initialised messages. flags: 0 to wait, or
 * ZMQ_DONTWAIT. false: there is none. A message of another shape is read away and skipped. */
bool bench_receive(void *router, zmq_msg_t *ret_id, zmq_msg_t *ret_body, int flags);
/* Send a body to that peer; both messages are empty afterwards. */
void bench_reply(void *router, zmq_msg_t *id, zmq_msg_t *body);

uint64_t bench_now_ns(void);

#endif
