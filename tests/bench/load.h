/* What the load's files share: the run and its options (load.c), a client (load_client.c), and
 * how long answers took (load_times.c). */
#ifndef SP_LOAD_H
#define SP_LOAD_H

#include "bench.h"

enum { CLIENTS_MAX = 512, DEPTH_MAX = 64, REQUESTS_MAX = 16 };

/* How long answers took, in buckets of a thousandth of the value or less. */
struct load_times {
    uint64_t n, buckets[24 << 10];
};

void load_times_add(struct load_times *times, uint64_t took_us);
/* In microseconds; 0 where there is none. */
uint64_t load_times_at(const struct load_times *times, unsigned per_mille);

struct load_bytes {
    char *ptr;
    size_t len;
};

/* One connection: a DEALER under CURVE that speaks as REQ does, or HTTP/1.1 kept alive. */
struct load_client {
    void *socket; /* NULL: HTTP */
    int fd;
    uint64_t sent_at[DEPTH_MAX]; /* a ring: replies come in order on one connection… */
    unsigned first, n_open; /* …of a server that answers in order; else latency is a mean */
    char *in;               /* HTTP: what came of an answer */
    size_t in_len;
};

struct load_where {
    const char *endpoint, *server_key, *key_file; /* ZeroMQ */
    unsigned http_port;                           /* or HTTP, on 127.0.0.1 */
};

struct load_answer {
    const char *ptr;
    size_t len;
};

typedef void (*load_answered)(void *user, struct load_client *client,
                              struct load_answer answer);

void load_client_open(struct load_client *client, void *context,
                      const struct load_where *where);
void load_client_close(struct load_client *client);
void load_client_send(struct load_client *client, struct load_bytes request);
/* Hand over each whole answer that is there. false: an HTTP connection that the other side
 * ended. */
bool load_client_receive(struct load_client *client, load_answered answered, void *user);

/* The whole of a file, with a NUL behind it; dies where it cannot be read. */
struct load_bytes load_file(const char *path);

#endif
