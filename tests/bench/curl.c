/* What libcurl alone costs a gateway: the same request again and again over kept connections,
 * by the multi interface on epoll, with handles that are used again. Nobody asks for it and
 * nobody gets the answer: no front door, no checks, no record.
 *
 *   bench_curl URL CLIENTS SECONDS [CA-FILE]
 */
#include "bench.h"
#include "multi.h"

#include <stdio.h>
#include <time.h>

static struct bench_multi multi;

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
    (void)data;
    (void)user;
    return size * n;
}

/* Send again what was answered. */
static unsigned long again(bool goes_on)
{
    unsigned long n = 0;
    int left = 0;
    for (CURLMsg *said; (said = curl_multi_info_read(multi.curl, &left)); n++) {
        CURL *easy = said->easy_handle;
        long status = 0;
        (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        if (said->data.result || status != 200) {
            bench_die("upstream", curl_easy_strerror(said->data.result));
        }
        (void)curl_multi_remove_handle(multi.curl, easy);
        if (!goes_on) {
            curl_easy_cleanup(easy);
        } else if (curl_multi_add_handle(multi.curl, easy)) {
            bench_die("curl", "cannot add a request");
        }
    }
    return n;
}

static void turn(void)
{
    struct epoll_event events[64];
    int n = epoll_wait(multi.epoll, events, 64, (int)multi.timeout_ms);
    for (int i = 0; i < n; i++) {
        bench_multi_socket(&multi, events[i].data.fd, events[i].events);
    }
    bench_multi_timeout(&multi, n);
}

static void add(const char *url, struct curl_slist *headers, const char *ca_file)
{
    CURL *easy = curl_easy_init();
    if (!easy || curl_easy_setopt(easy, CURLOPT_URL, url) ||
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers) ||
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) ||
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) ||
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) ||
        (ca_file && curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file)) ||
        curl_multi_add_handle(multi.curl, easy)) {
        bench_die("curl", "cannot add a request");
    }
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

int main(int argc, char **argv)
{
    struct curl_slist *headers = curl_slist_append(
        curl_slist_append(NULL, "Authorization: Bearer sk_test_benchmark0000000000000000"),
        "Accept: application/json");
    if (argc < 4 || !headers) {
        bench_die("start", "bench_curl URL CLIENTS SECONDS [CA-FILE]");
    }
    unsigned long clients = bench_number("CLIENTS", argv[2]), n = 0, n_before = 0;
    bench_multi_init(&multi, (long)clients);
    for (unsigned long i = 0; i < clients; i++) {
        add(argv[1], headers, argc > 4 ? argv[4] : NULL);
    }
    /* The connections stand after the first answers; counted is what comes then. */
    for (unsigned long warm = clients * 4; n_before < warm;) {
        turn();
        n_before += again(true);
    }
    uint64_t begun = bench_now_ns(), used = cpu_ns();
    uint64_t until = begun + bench_number("SECONDS", argv[3]) * 1000000000;
    while (bench_now_ns() < until) {
        turn();
        n += again(true);
    }
    used = cpu_ns() - used;
    double seconds = (double)(bench_now_ns() - begun) / 1e9;
    (void)printf("{\"per_s\": %.1f, \"cpu_us_per_request\": %.3f}\n", (double)n / seconds,
                 (double)used / 1e3 / (double)(n ? n : 1));
    for (unsigned long left = clients; left > 0;) {
        turn();
        left -= again(false);
    }
    (void)curl_multi_cleanup(multi.curl);
    curl_slist_free_all(headers);
    return 0;
}
