/* The upstream of the benchmark: HTTP/1.1 with keep-alive on a free loopback port, one thread
 * on epoll, the same small JSON for every request. It must cost little beside what is measured.
 * Prints "listening PORT". */
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BODY_BYTES = 600, HEAD_ROOM = 256, IN_BYTES = 16384, N_FDS = 4096 };

struct connection {
    size_t in_len;
    char in[IN_BYTES + 1];
};

static struct connection *connections[N_FDS];
static char answer[HEAD_ROOM + BODY_BYTES];
static size_t answer_len;

static void make_answer(void)
{
    static const char start[] =
        "{\"id\":\"ch_1\",\"object\":\"charge\",\"amount\":2000,\"padding\":\"";
    char body[BODY_BYTES + 1];
    memset(body, 'x', BODY_BYTES);
    memcpy(body, start, sizeof start - 1);
    memcpy(body + BODY_BYTES - 2, "\"}", 3);
    int n = snprintf(answer, sizeof answer,
                     "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                     "request-id: req_bench\r\ncontent-length: %d\r\n\r\n%s",
                     (int)BODY_BYTES, body);
    answer_len = (size_t)n;
}

static void drop(int fd)
{
    free(connections[fd]);
    connections[fd] = NULL;
    (void)close(fd);
}

/* The length of the first whole request in c->in, or 0. A body has a content-length. */
static size_t request_len(struct connection *c)
{
    c->in[c->in_len] = '\0';
    const char *end = strstr(c->in, "\r\n\r\n");
    if (!end) {
        return 0;
    }
    size_t len = (size_t)(end - c->in) + 4;
    const char *field = strcasestr(c->in, "\r\ncontent-length:");
    if (field && field < end) {
        len += strtoul(field + strlen("\r\ncontent-length:"), NULL, 10);
    }
    return len <= c->in_len ? len : 0;
}

static void serve(int fd)
{
    struct connection *c = connections[fd];
    ssize_t n = read(fd, c->in + c->in_len, IN_BYTES - c->in_len);
    if (n <= 0) {
        drop(fd);
        return;
    }
    c->in_len += (size_t)n;
    for (size_t len; (len = request_len(c)) > 0;) {
        memmove(c->in, c->in + len, c->in_len - len);
        c->in_len -= len;
        /* Answers are small and clients wait for them: the socket's buffer always has room. */
        if (write(fd, answer, answer_len) != (ssize_t)answer_len) {
            drop(fd);
            return;
        }
    }
}

static void take(int epoll, int listener)
{
    const int on = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0 || fd >= N_FDS) {
        bench_die("accept", fd < 0 ? strerror(errno) : "too many connections");
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    connections[fd] = calloc(1, sizeof **connections);
    if (!connections[fd] || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) {
        bench_die("connection", strerror(errno));
    }
}

int main(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t at_len = sizeof at;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    make_answer();
    if (epoll < 0 || listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) ||
        listen(listener, 1024) || getsockname(listener, (struct sockaddr *)&at, &at_len) ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event)) {
        bench_die("listen", strerror(errno));
    }
    (void)printf("listening %d\n", ntohs(at.sin_port));
    (void)fflush(stdout);
    struct epoll_event events[64];
    for (;;) {
        int n = epoll_wait(epoll, events, 64, -1);
        if (n < 0 && errno != EINTR) {
            bench_die("epoll", strerror(errno));
        }
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener) {
                take(epoll, listener);
            } else {
                serve(events[i].data.fd);
            }
        }
    }
}
