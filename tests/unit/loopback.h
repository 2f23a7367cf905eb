/* A small HTTP/1.1 server on loopback for tests, plain or with TLS: it keeps what it was sent,
 * byte for byte, and answers what the test says. One thread for each connection. */
#ifndef TEST_LOOPBACK_H
#define TEST_LOOPBACK_H

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOOPBACK_CONNECTIONS_MAX = 64, LOOPBACK_LOG_BYTES = 2 << 20 };

struct loopback;

struct loopback_connection {
    struct loopback *server;
    int fd;
    SSL *tls;
    pthread_t thread;
    unsigned n_requests;
};

/* Answer one request; false: close the connection. */
typedef bool (*loopback_serve_fn)(struct loopback_connection *connection, const char *request,
                                  size_t len);

struct loopback {
    int fd;
    uint16_t port;
    pthread_t thread;
    SSL_CTX *tls; /* NULL: plain */
    pthread_mutex_t lock;
    loopback_serve_fn serve;
    char *answer;
    bool stopping;
    struct loopback_connection connections[LOOPBACK_CONNECTIONS_MAX];
    unsigned n_connections; /* that were accepted */
    unsigned n_ended;       /* of these */
    unsigned n_requests;
    char log[LOOPBACK_LOG_BYTES]; /* all requests, one behind the other, NUL-terminated */
    size_t log_len;
};

extern const char loopback_hello[]; /* 200 with the body "hello" */

struct loopback *loopback_start(SSL_CTX *tls);
void loopback_stop(struct loopback *server);

/* What it answers from the next request on: loopback_hello at first. */
void loopback_answer(struct loopback *server, const char *answer);
void loopback_serve(struct loopback *server, loopback_serve_fn serve);

/* For serve. */
bool loopback_send(struct loopback_connection *connection, const void *bytes, size_t len);
bool loopback_send_str(struct loopback_connection *connection, const char *string);

unsigned loopback_connections(struct loopback *server);
unsigned loopback_ended(struct loopback *server);
unsigned loopback_requests(struct loopback *server);

#endif
