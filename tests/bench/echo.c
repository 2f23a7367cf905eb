/* The baseline of `check`: a ROUTER under CURVE that answers each request with the same bytes.
 * Usage: bench_echo REPLY-BYTES */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    size_t reply_len = bench_number("REPLY-BYTES", argc == 2 ? argv[1] : NULL);
    char *reply = calloc(1, reply_len + 1);
    void *context = zmq_ctx_new();
    if (!reply || !context) {
        bench_die("start", strerror(errno));
    }
    void *router = bench_router(context);
    zmq_msg_t id, body;
    (void)zmq_msg_init(&id);
    (void)zmq_msg_init(&body);
    while (bench_receive(router, &id, &body, 0)) {
        zmq_msg_t answer;
        if (zmq_msg_init_size(&answer, reply_len)) {
            bench_die("reply", strerror(errno));
        }
        memcpy(zmq_msg_data(&answer), reply, reply_len);
        bench_reply(router, &id, &answer);
    }
    return 0;
}
