#include "multi.h"

#include "bench.h"

#include <errno.h>
#include <string.h>

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *known)
{
    struct bench_multi *multi = user;
    (void)easy;
    struct epoll_event event = {.data.fd = fd};
    event.events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0) |
                   (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0);
    int op = what == CURL_POLL_REMOVE ? EPOLL_CTL_DEL : known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    (void)epoll_ctl(multi->epoll, op, fd, &event);
    (void)curl_multi_assign(multi->curl, fd, what == CURL_POLL_REMOVE ? NULL : multi);
    return 0;
}

static int on_timer(CURLM *of, long ms, void *user)
{
    struct bench_multi *multi = user;
    (void)of;
    multi->timeout_ms = ms;
    return 0;
}

void bench_multi_init(struct bench_multi *multi, long connections)
{
    *multi = (struct bench_multi){.epoll = epoll_create1(EPOLL_CLOEXEC), .timeout_ms = -1};
    if (multi->epoll < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) ||
        !(multi->curl = curl_multi_init())) {
        bench_die("start", strerror(errno));
    }
    (void)curl_multi_setopt(multi->curl, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(multi->curl, CURLMOPT_SOCKETDATA, multi);
    (void)curl_multi_setopt(multi->curl, CURLMOPT_TIMERFUNCTION, on_timer);
    (void)curl_multi_setopt(multi->curl, CURLMOPT_TIMERDATA, multi);
    (void)curl_multi_setopt(multi->curl, CURLMOPT_MAXCONNECTS, connections);
}

void bench_multi_socket(struct bench_multi *multi, int fd, uint32_t events)
{
    int running = 0, what = (events & (EPOLLIN | EPOLLHUP | EPOLLERR) ? CURL_CSELECT_IN : 0) |
                            (events & EPOLLOUT ? CURL_CSELECT_OUT : 0);
    (void)curl_multi_socket_action(multi->curl, fd, what, &running);
}

void bench_multi_timeout(struct bench_multi *multi, int n_events)
{
    int running = 0;
    if (multi->timeout_ms == 0 || n_events == 0) {
        (void)curl_multi_socket_action(multi->curl, CURL_SOCKET_TIMEOUT, 0, &running);
    }
}
