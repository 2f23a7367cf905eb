/* libcurl's multi interface on an epoll, for programs that do nothing else with it. */
#ifndef SP_BENCH_MULTI_H
#define SP_BENCH_MULTI_H

#include <curl/curl.h>
#include <stdint.h>
#include <sys/epoll.h>

struct bench_multi {
    CURLM *curl;
    int epoll;
    long timeout_ms; /* libcurl's next; -1: none */
};

/* Dies where it cannot. */
void bench_multi_init(struct bench_multi *multi, long connections);
/* What libcurl is to be told of a socket; then of its timeout, where one is due. */
void bench_multi_socket(struct bench_multi *multi, int fd, uint32_t events);
void bench_multi_timeout(struct bench_multi *multi, int n_events);

#endif
