#include "loopback.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

const char loopback_hello[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                              "Content-Length: 5\r\n\r\nhello";

enum { REQUEST_MAX_BYTES = 2 << 20, PATIENCE_S = 20 };

static ssize_t receive(struct loopback_connection *connection, char *bytes, size_t len)
{
    return connection->tls ? SSL_read(connection->tls, bytes, (int)len)
                           : recv(connection->fd, bytes, len, 0);
}

bool loopback_send(struct loopback_connection *connection, const void *bytes, size_t len)
{
    for (const char *at = bytes; len > 0;) {
        ssize_t n = connection->tls ? SSL_write(connection->tls, at, (int)len)
                                    : send(connection->fd, at, len, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        at += n;
        len -= (size_t)n;
    }
    return true;
}

bool loopback_send_str(struct loopback_connection *connection, const char *string)
{
    return loopback_send(connection, string, strlen(string));
}

static void record(struct loopback *server, const char *request, size_t len)
{
    pthread_mutex_lock(&server->lock);
    if (server->log_len + len < sizeof server->log) {
        memcpy(server->log + server->log_len, request, len);
        server->log_len += len;
    }
    server->n_requests++;
    pthread_mutex_unlock(&server->lock);
}

/* How many bytes the first request in the buffer has, body included; 0: not all is there. */
static size_t request_len(const char *bytes, size_t len)
{
    const char *end = memmem(bytes, len, "\r\n\r\n", 4);
    if (!end) {
        return 0;
    }
    size_t head = (size_t)(end + 4 - bytes), body = 0;
    for (const char *at = bytes; at < end; at++) {
        if (strncasecmp(at, "\r\ncontent-length:", 17) == 0) {
            body = strtoul(at + 17, NULL, 10);
        }
    }
    return len >= head + body ? head + body : 0;
}

void loopback_answer(struct loopback *server, const char *answer)
{
    pthread_mutex_lock(&server->lock);
    free(server->answer);
    server->answer = strdup(answer);
    server->serve = NULL;
    pthread_mutex_unlock(&server->lock);
}

void loopback_serve(struct loopback *server, loopback_serve_fn serve)
{
    pthread_mutex_lock(&server->lock);
    server->serve = serve;
    pthread_mutex_unlock(&server->lock);
}

static bool serve_one(struct loopback_connection *connection, const char *request, size_t len)
{
    struct loopback *server = connection->server;
    pthread_mutex_lock(&server->lock);
    loopback_serve_fn serve = server->serve;
    char *answer = serve ? NULL : strdup(server->answer);
    pthread_mutex_unlock(&server->lock);
    bool open = serve ? serve(connection, request, len) : loopback_send_str(connection, answer);
    free(answer);
    return open;
}

static void serve_all(struct loopback_connection *connection)
{
    struct loopback *server = connection->server;
    char *bytes = malloc(REQUEST_MAX_BYTES);
    size_t len = 0;
    for (bool open = bytes != NULL; open;) {
        ssize_t n = receive(connection, bytes + len, REQUEST_MAX_BYTES - 1 - len);
        if (n <= 0) {
            break;
        }
        len += (size_t)n;
        bytes[len] = '\0';
        size_t whole = request_len(bytes, len);
        if (whole == 0) {
            continue;
        }
        record(server, bytes, whole);
        connection->n_requests++;
        open = serve_one(connection, bytes, whole);
        memmove(bytes, bytes + whole, len - whole);
        len -= whole;
    }
    free(bytes);
}

static void *run_connection(void *user)
{
    struct loopback_connection *connection = user;
    struct loopback *server = connection->server;
    bool ready = true;
    if (server->tls) {
        connection->tls = SSL_new(server->tls);
        ready = SSL_set_fd(connection->tls, connection->fd) == 1 &&
                SSL_accept(connection->tls) == 1;
    }
    if (ready) {
        serve_all(connection);
        if (connection->tls) {
            (void)SSL_shutdown(connection->tls);
        }
    }
    (void)shutdown(connection->fd, SHUT_RDWR);
    pthread_mutex_lock(&server->lock);
    server->n_ended++;
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

static void *run_server(void *user)
{
    struct loopback *server = user;
    for (;;) {
        int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);
        pthread_mutex_lock(&server->lock);
        if (fd < 0 || server->stopping || server->n_connections == LOOPBACK_CONNECTIONS_MAX) {
            pthread_mutex_unlock(&server->lock);
            if (fd >= 0) {
                close(fd);
            }
            return NULL;
        }
        struct timeval patience = {.tv_sec = PATIENCE_S};
        int one = 1;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct loopback_connection *connection = &server->connections[server->n_connections++];
        *connection = (struct loopback_connection){.server = server, .fd = fd};
        pthread_create(&connection->thread, NULL, run_connection, connection);
        pthread_mutex_unlock(&server->lock);
    }
}

struct loopback *loopback_start(SSL_CTX *tls)
{
    struct loopback *server = calloc(1, sizeof *server);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    (void)signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    server->tls = tls;
    server->answer = strdup(loopback_hello);
    pthread_mutex_init(&server->lock, NULL);
    server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server->fd < 0 || bind(server->fd, (struct sockaddr *)&address, sizeof address) ||
        listen(server->fd, 64) || getsockname(server->fd, (struct sockaddr *)&address, &len)) {
        abort();
    }
    server->port = ntohs(address.sin_port);
    pthread_create(&server->thread, NULL, run_server, server);
    return server;
}

void loopback_stop(struct loopback *server)
{
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    (void)shutdown(server->fd, SHUT_RDWR);
    for (unsigned i = 0; i < server->n_connections; i++) {
        (void)shutdown(server->connections[i].fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&server->lock);
    pthread_join(server->thread, NULL);
    for (unsigned i = 0; i < server->n_connections; i++) {
        pthread_join(server->connections[i].thread, NULL);
        SSL_free(server->connections[i].tls);
        close(server->connections[i].fd);
    }
    close(server->fd);
    pthread_mutex_destroy(&server->lock);
    free(server->answer);
    free(server);
}

unsigned loopback_connections(struct loopback *server)
{
    pthread_mutex_lock(&server->lock);
    unsigned n = server->n_connections;
    pthread_mutex_unlock(&server->lock);
    return n;
}

unsigned loopback_ended(struct loopback *server)
{
    pthread_mutex_lock(&server->lock);
    unsigned n = server->n_ended;
    pthread_mutex_unlock(&server->lock);
    return n;
}

unsigned loopback_requests(struct loopback *server)
{
    pthread_mutex_lock(&server->lock);
    unsigned n = server->n_requests;
    pthread_mutex_unlock(&server->lock);
    return n;
}
