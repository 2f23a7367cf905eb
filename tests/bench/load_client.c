/* Connections of the load. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FILE_BYTES = 1 << 20, IN_BYTES = 64 << 10 };

struct load_bytes load_file(const char *path)
{
    struct load_bytes bytes = {malloc(FILE_BYTES + 1), 0};
    FILE *file = fopen(path, "rb");
    if (!bytes.ptr || !file) {
        bench_die(path, strerror(errno));
    }
    bytes.len = fread(bytes.ptr, 1, FILE_BYTES, file);
    bytes.ptr[bytes.len] = '\0';
    (void)fclose(file);
    return bytes;
}

/* The client's key pair, as `sallyport client keygen` writes it; without a file a fresh one. */
static void read_keys(const char *path, char public_key[41], char secret_key[41])
{
    if (!path) {
        (void)zmq_curve_keypair(public_key, secret_key);
        return;
    }
    char *text = load_file(path).ptr;
    const char *public_at = strstr(text, "public "), *secret_at = strstr(text, "secret ");
    if (!public_at || !secret_at || sscanf(public_at, "public %40s", public_key) != 1 ||
        sscanf(secret_at, "secret %40s", secret_key) != 1) {
        bench_die(path, "is no CURVE key file");
    }
    free(text);
}

static void open_zmq(struct load_client *client, void *context, const struct load_where *where)
{
    char public_key[41], secret_key[41];
    const int linger = 0;
    read_keys(where->key_file, public_key, secret_key);
    client->socket = zmq_socket(context, ZMQ_DEALER);
    if (!client->socket ||
        zmq_setsockopt(client->socket, ZMQ_CURVE_SERVERKEY, where->server_key,
                       strlen(where->server_key) + 1) ||
        zmq_setsockopt(client->socket, ZMQ_CURVE_PUBLICKEY, public_key, sizeof public_key) ||
        zmq_setsockopt(client->socket, ZMQ_CURVE_SECRETKEY, secret_key, sizeof secret_key) ||
        zmq_setsockopt(client->socket, ZMQ_LINGER, &linger, sizeof linger) ||
        zmq_connect(client->socket, where->endpoint)) {
        bench_die(where->endpoint, zmq_strerror(errno));
    }
}

static void open_http(struct load_client *client, unsigned port)
{
    const int on = 1;
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr = {htonl(INADDR_LOOPBACK)}};
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    client->in = client->in ? client->in : malloc(IN_BYTES + 1);
    client->in_len = 0;
    if (client->fd < 0 || !client->in ||
        connect(client->fd, (const struct sockaddr *)&to, sizeof to) ||
        setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on)) {
        bench_die("HTTP", strerror(errno));
    }
}

void load_client_open(struct load_client *client, void *context, const struct load_where *where)
{
    client->first = client->n_open = 0;
    if (where->http_port) {
        open_http(client, where->http_port);
    } else {
        open_zmq(client, context, where);
    }
}

void load_client_close(struct load_client *client)
{
    if (client->socket) {
        (void)zmq_close(client->socket);
    } else {
        (void)close(client->fd);
    }
}

void load_client_send(struct load_client *client, struct load_bytes request)
{
    if (!client->socket) {
        /* Where it was ended, receiving will say so; requests are small beside a socket's
         * buffer. */
        (void)!send(client->fd, request.ptr, request.len, MSG_NOSIGNAL);
        return;
    }
    if (zmq_send(client->socket, "", 0, ZMQ_SNDMORE) < 0 ||
        zmq_send(client->socket, request.ptr, request.len, 0) < 0) {
        bench_die("send", zmq_strerror(errno));
    }
}

static void receive_zmq(struct load_client *client, load_answered answered, void *user)
{
    zmq_msg_t part;
    (void)zmq_msg_init(&part);
    while (zmq_msg_recv(&part, client->socket, ZMQ_DONTWAIT) >= 0) {
        if (!zmq_msg_more(&part)) { /* else it is the empty delimiter */
            answered(user, client,
                     (struct load_answer){zmq_msg_data(&part), zmq_msg_size(&part)});
        }
    }
    (void)zmq_msg_close(&part);
}

/* The length of the whole answer that client->in begins with, or 0. It says how long it is. */
static size_t answer_len(const struct load_client *client)
{
    client->in[client->in_len] = '\0';
    const char *end = strstr(client->in, "\r\n\r\n");
    const char *field = end ? strcasestr(client->in, "\r\ncontent-length:") : NULL;
    size_t len = end ? (size_t)(end - client->in) + 4 : 0;
    if (field && field < end) {
        len += strtoul(field + strlen("\r\ncontent-length:"), NULL, 10);
    }
    if (len > IN_BYTES) {
        bench_die("HTTP", "an answer is too long");
    }
    return len <= client->in_len ? len : 0;
}

static bool receive_http(struct load_client *client, load_answered answered, void *user)
{
    for (;;) {
        ssize_t n = recv(client->fd, client->in + client->in_len, IN_BYTES - client->in_len,
                         MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return true;
        }
        if (n <= 0) {
            return false;
        }
        client->in_len += (size_t)n;
        for (size_t len; (len = answer_len(client)) > 0;) {
            answered(user, client, (struct load_answer){client->in, len});
            memmove(client->in, client->in + len, client->in_len - len);
            client->in_len -= len;
        }
    }
}

bool load_client_receive(struct load_client *client, load_answered answered, void *user)
{
    if (client->socket) {
        receive_zmq(client, answered, user);
        return true;
    }
    return receive_http(client, answered, user);
}
