/* The listeners of the HTTP front door, and the front's life. A connection: http_conn.c. */
#include "http_inner.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 512, SWEEP_MS = 250 };

/* ---- listening ------------------------------------------------------------------------------
 */

static void on_connection(uv_stream_t *server, int status)
{
    if (status == 0) {
        conn_accept(server->data);
    }
}

/* A socket that nobody listens on any more is in the way; one that somebody does is his. */
static sp_status clear_path(const char *path, struct sp_error *err)
{
    struct stat st;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (lstat(path, &st)) {
        return SP_OK;
    }
    if (!S_ISSOCK(st.st_mode)) {
        return sp_fail(err, SP_EEXIST, "%s: something else than a socket is there", path);
    }
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool alive = fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ||
                 errno != ECONNREFUSED;
    if (fd >= 0) {
        (void)close(fd);
    }
    if (alive || unlink(path)) {
        return sp_fail(err, SP_EEXIST, "%s: somebody listens there already", path);
    }
    return SP_OK;
}

/* Open to its group: who may use the door is a matter of tokens, and of this. */
static sp_status listen_unix(struct listener *listener, const char *path, struct sp_error *err)
{
    struct sockaddr_un room;
    if (strlen(path) >= sizeof room.sun_path) {
        return sp_fail(err, SP_ETOOBIG, "%s: longer than a socket's path can be", path);
    }
    sp_status status = clear_path(path, err);
    if (status) {
        return status;
    }
    listener->is_unix = true;
    (void)uv_pipe_init(listener->front->config.loop, &listener->io.pipe, 0);
    listener->open = true;
    int failed = uv_pipe_bind(&listener->io.pipe, path);
    if (!failed) {
        failed = chmod(path, 0660) ? -errno : 0;
    }
    if (!failed) {
        failed = uv_listen(&listener->io.stream, BACKLOG, on_connection);
    }
    (void)snprintf(listener->at, sizeof listener->at, "unix:%s", path);
    return failed
               ? sp_fail(err, SP_EIO, "%s: cannot listen there: %s", path, uv_strerror(failed))
               : SP_OK;
}

static bool is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
    return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

/* "127.0.0.1:7251" or "[::1]:7251". */
static sp_status parse_address(const char *at, struct sockaddr_storage *ret_address)
{
    char host[64];
    const char *colon = strrchr(at, ':');
    size_t len = colon ? (size_t)(colon - at) : 0;
    bool six = len > 2 && at[0] == '[' && at[len - 1] == ']';
    size_t skip = six ? 1 : 0;
    if (len == 0 || len - 2 * skip >= sizeof host) {
        return SP_EINVAL;
    }
    memcpy(host, at + skip, len - 2 * skip);
    host[len - 2 * skip] = '\0';
    char *end;
    errno = 0;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (errno || end == colon + 1 || *end || port > UINT16_MAX || colon[1] < '0' ||
        colon[1] > '9') {
        return SP_EINVAL;
    }
    int failed = six ? uv_ip6_addr(host, (int)port, (struct sockaddr_in6 *)ret_address)
                     : uv_ip4_addr(host, (int)port, (struct sockaddr_in *)ret_address);
    return failed ? SP_EINVAL : SP_OK;
}

/* The port that the kernel chose where 0 was asked for. */
static void name_tcp(struct listener *listener)
{
    struct sockaddr_storage address;
    char host[INET6_ADDRSTRLEN] = "";
    int len = sizeof address;
    memset(&address, 0, sizeof address);
    (void)uv_tcp_getsockname(&listener->io.tcp, (struct sockaddr *)&address, &len);
    (void)uv_ip_name((struct sockaddr *)&address, host, sizeof host);
    bool six = address.ss_family == AF_INET6;
    listener->port = ntohs(six ? ((struct sockaddr_in6 *)&address)->sin6_port
                               : ((struct sockaddr_in *)&address)->sin_port);
    (void)snprintf(listener->at, sizeof listener->at, "%s://%s%s%s:%u",
                   listener->tls ? "https" : "http", six ? "[" : "", host, six ? "]" : "",
                   listener->port);
}

static sp_status listen_tcp(struct listener *listener, struct sp_error *err)
{
    const char *at = listener->config->at;
    struct sockaddr_storage address;
    memset(&address, 0, sizeof address);
    if (parse_address(at, &address)) {
        return sp_fail(err, SP_EINVAL,
                       "%s: is no address; write 127.0.0.1:7251, [::1]:7251 or unix:PATH", at);
    }
    if (!listener->tls && !is_loopback(&address)) {
        return sp_fail(err, SP_EDENIED,
                       "%s: tokens would cross the network in the clear; give tls_cert and "
                       "tls_key, or listen on loopback",
                       at);
    }
    (void)uv_tcp_init(listener->front->config.loop, &listener->io.tcp);
    listener->open = true;
    int failed = uv_tcp_bind(&listener->io.tcp, (struct sockaddr *)&address, 0);
    if (!failed) {
        failed = uv_listen(&listener->io.stream, BACKLOG, on_connection);
    }
    if (failed) {
        return sp_fail(err, SP_EIO, "%s: cannot listen there: %s", at, uv_strerror(failed));
    }
    name_tcp(listener);
    return SP_OK;
}

static sp_status listener_start(struct listener *listener, struct sp_error *err)
{
    static const char unix_start[] = "unix:";
    const struct sp_http_listen *config = listener->config;
    sp_status status = SP_OK;
    if (config->tls_cert && config->route.mode == SP_HTTP_FORWARD) {
        status =
            sp_fail(err, SP_EINVAL, "a listener with mode = forward has no TLS of its own");
    } else if (config->tls_cert && config->tls_key) {
        status = sp_tls_context_new(config->tls_cert, config->tls_key, &listener->tls, err);
    } else if (config->tls_cert || config->tls_key) {
        status = sp_fail(err, SP_EINVAL, "tls_cert and tls_key go together");
    }
    if (!status) {
        bool is_unix = strncmp(config->at, unix_start, sizeof unix_start - 1) == 0;
        status = is_unix ? listen_unix(listener, config->at + sizeof unix_start - 1, err)
                         : listen_tcp(listener, err);
    }
    if (listener->open) {
        listener->io.handle.data = listener;
        listener->front->n_handles++;
    }
    return status;
}

/* ---- life -----------------------------------------------------------------------------------
 */

static void on_sweep(uv_timer_t *timer)
{
    struct sp_http_front *front = timer->data;
    uint64_t now = uv_now(front->config.loop);
    struct conn *next;
    for (struct conn *conn = front->conns; conn; conn = next) {
        next = conn->next; /* a closed one leaves the list later */
        conn_sweep(conn, now);
    }
    for (size_t i = 0; i < front->config.n_listeners; i++) {
        if (front->listeners[i].waiting && !front->stopped) {
            conn_accept(&front->listeners[i]);
        }
    }
}

static void on_before_wait(uv_prepare_t *handle)
{
    conns_answered(handle->data);
}

static void on_after_wait(uv_check_t *handle)
{
    conns_answered(handle->data);
}

static void start_loop_handles(struct sp_http_front *front)
{
    uv_loop_t *loop = front->config.loop;
    (void)uv_timer_init(loop, &front->sweep);
    (void)uv_prepare_init(loop, &front->before_wait);
    (void)uv_check_init(loop, &front->after_wait);
    front->sweep.data = front->before_wait.data = front->after_wait.data = front;
    front->n_handles = 3;
    (void)uv_timer_start(&front->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    (void)uv_prepare_start(&front->before_wait, on_before_wait);
    (void)uv_check_start(&front->after_wait, on_after_wait);
}

sp_status sp_http_front_new(const struct sp_http_front_config *config,
                            struct sp_http_front **ret_front, struct sp_error *err)
{
    struct sp_http_front *front = calloc(1, sizeof *front);
    if (!front) {
        return SP_ENOMEM;
    }
    front->config = *config;
    start_loop_handles(front);
    sp_status status =
        sp_shares_new(config->exchanges_max_per_client, config->exchanges_max, &front->shares);
    for (size_t i = 0; !status && i < config->n_listeners; i++) {
        struct sp_error why = {""};
        front->listeners[i].front = front;
        front->listeners[i].config = &config->listeners[i];
        status = listener_start(&front->listeners[i], &why);
        if (status) {
            status =
                sp_fail(err, status, "[http %s]: %.400s", config->listeners[i].name, why.text);
        }
    }
    if (status) {
        sp_http_front_free(front);
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): front_handle_closed frees it */
        return status;
    }
    *ret_front = front;
    return SP_OK;
}

const char *sp_http_front_at(const struct sp_http_front *front, size_t i)
{
    return front->listeners[i].at;
}

uint16_t sp_http_front_port(const struct sp_http_front *front, size_t i)
{
    return front->listeners[i].port;
}

size_t sp_http_front_n_open(const struct sp_http_front *front)
{
    return front->n_open;
}

size_t sp_http_front_held(const struct sp_http_front *front)
{
    return front->n_held;
}

size_t sp_http_front_n_connections(const struct sp_http_front *front)
{
    return front->n_conns;
}

void front_handle_closed(struct sp_http_front *front)
{
    if (--front->n_handles > 0) {
        return;
    }
    for (size_t i = 0; i < front->config.n_listeners; i++) {
        sp_tls_context_free(front->listeners[i].tls);
    }
    sp_shares_free(front->shares);
    free(front);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct listener *listener = handle->data;
    front_handle_closed(listener->front);
}

static void on_closed(uv_handle_t *handle)
{
    front_handle_closed(handle->data);
}

void sp_http_front_stop(struct sp_http_front *front)
{
    front->stopped = true;
    for (size_t i = 0; i < front->config.n_listeners; i++) {
        struct listener *listener = &front->listeners[i];
        if (listener->open) {
            listener->open = false;
            uv_close(&listener->io.handle, on_listener_closed); /* takes a socket's path away */
        }
    }
}

void sp_http_front_free(struct sp_http_front *front)
{
    if (!front || front->freed) {
        return;
    }
    front->freed = true;
    sp_http_front_stop(front);
    struct conn *next;
    for (struct conn *conn = front->conns; conn; conn = next) {
        next = conn->next;
        conn_close(conn);
    }
    uv_close((uv_handle_t *)&front->sweep, on_closed);
    uv_close((uv_handle_t *)&front->before_wait, on_closed);
    uv_close((uv_handle_t *)&front->after_wait, on_closed);
}
