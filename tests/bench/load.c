/* The load of the benchmark: N clients in one process, over ZeroMQ under CURVE or over HTTP,
 * each with DEPTH requests under way at a time, sending the same bytes (or those of several
 * requests in turn) for a fixed time. Prints one JSON object: requests per second, latency,
 * replies that were not as expected, and the CPU time that the process with the given pid (the
 * one being measured) took for each request. With --every S an object for each S seconds, too.
 *
 * A client sends its next request when it has the answer to the last. With --rate N, N requests
 * are due in each second, whatever the answers do: each goes to a client that is free, and a
 * late one is late from when it was due.
 *
 * Every reply is looked at, because refusals are cheap and would make any server look fast.
 * With --also a second answer is taken, and counted apart. */
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

struct counts {
    uint64_t n_done, n_also, n_wrong, n_reconnects;
    struct load_times times; /* of those that were as expected */
};

struct load {
    struct load_where where;
    const char *vary;
    struct load_bytes requests[REQUESTS_MAX], expect, also;
    unsigned n_requests, n_clients, depth, pid;
    double seconds, warmup, every, rate;
    void *context;
    int timer;
    bool more; /* an answer makes room for the next request */
    uint64_t counter, n_sent;
    unsigned next_client;
    uint64_t due_ns; /* with a rate: when the next one is */
    struct counts total, part;
    struct load_client clients[CLIENTS_MAX];
};

/* The mark in the request, where there is one, becomes a number that never comes twice. */
static void vary(struct load *load, struct load_bytes request)
{
    size_t mark_len = load->vary ? strlen(load->vary) : 0;
    if (mark_len > 0) {
        char number[32];
        char *at = memmem(request.ptr, request.len, load->vary, mark_len);
        if (!at || mark_len >= sizeof number) {
            bench_die(load->vary, "does not stand in the request");
        }
        (void)snprintf(number, sizeof number, "%0*llu", (int)mark_len,
                       (unsigned long long)load->counter++);
        memcpy(at, number, mark_len);
    }
}

static void send_one(struct load *load, struct load_client *client, uint64_t due_ns)
{
    static char copy[1 << 20];
    struct load_bytes request = load->requests[load->n_sent++ % load->n_requests];
    if (load->vary) {
        memcpy(copy, request.ptr, request.len);
        request.ptr = copy;
        vary(load, request);
    }
    client->sent_at[(client->first + client->n_open++) % DEPTH_MAX] = due_ns;
    load_client_send(client, request);
}

/* What a wrong reply says, for whoever has to find out why; once. */
static void show_wrong(const struct load *load, struct load_answer answer)
{
    if (load->total.n_wrong + load->part.n_wrong == 0) {
        (void)fputs("bench: the first wrong reply: ", stderr);
        for (size_t i = 0; i < answer.len && i < 600; i++) {
            (void)fputc(answer.ptr[i] >= ' ' && answer.ptr[i] < 127 ? answer.ptr[i] : '.',
                        stderr);
        }
        (void)fputc('\n', stderr);
    }
}

static bool holds(struct load_answer answer, struct load_bytes what)
{
    return memmem(answer.ptr, answer.len, what.ptr, what.len) != NULL;
}

static void on_answer(void *user, struct load_client *client, struct load_answer answer)
{
    struct load *load = user;
    if (client->n_open == 0) {
        bench_die("answer", "to no request");
    }
    uint64_t now = bench_now_ns(), took_us = (now - client->sent_at[client->first]) / 1000;
    client->first = (client->first + 1) % DEPTH_MAX;
    client->n_open--;
    load->part.n_done++;
    if (load->also.ptr && holds(answer, load->also)) {
        load->part.n_also++;
    } else if (load->expect.ptr && !holds(answer, load->expect)) {
        show_wrong(load, answer);
        load->part.n_wrong++;
    } else {
        load_times_add(&load->part.times, took_us);
    }
    if (load->more && load->rate <= 0) {
        send_one(load, client, now);
    }
}

/* The other side ended the connection: what was under way on it has no answer. */
static void reconnect(struct load *load, struct load_client *client)
{
    unsigned n_lost = client->n_open;
    if (n_lost > 0) {
        show_wrong(load, (struct load_answer){"the connection ended", 20});
    }
    load->part.n_wrong += n_lost;
    load->part.n_reconnects++;
    load_client_close(client);
    load_client_open(client, load->context, &load->where);
    for (unsigned i = 0; load->more && load->rate <= 0 && i < n_lost; i++) {
        send_one(load, client, bench_now_ns());
    }
}

/* A client that has room, or NULL; the next one each time, so that none lies idle for long. */
static struct load_client *find_free(struct load *load)
{
    for (unsigned i = 0; i < load->n_clients; i++) {
        struct load_client *client = &load->clients[load->next_client];
        load->next_client = (load->next_client + 1) % load->n_clients;
        if (client->n_open < load->depth) {
            return client;
        }
    }
    return NULL;
}

/* Send what is due; without a client that is free it waits, and its time runs. */
static void send_due(struct load *load)
{
    uint64_t now = bench_now_ns();
    struct load_client *client = NULL;
    while (load->due_ns <= now && (client = find_free(load))) {
        send_one(load, client, load->due_ns);
        load->due_ns += (uint64_t)(1e9 / load->rate);
    }
    /* Where all are busy, an answer wakes us, and no timer (0). */
    uint64_t wake_ns = load->due_ns > now ? load->due_ns : 0;
    const struct itimerspec at = {.it_value = {.tv_sec = (time_t)(wake_ns / 1000000000u),
                                               .tv_nsec = (long)(wake_ns % 1000000000u)}};
    if (timerfd_settime(load->timer, TFD_TIMER_ABSTIME, &at, NULL)) {
        bench_die("timer", strerror(errno));
    }
}

static void poll_once(struct load *load)
{
    static zmq_pollitem_t items[CLIENTS_MAX + 1];
    static struct load_client *of[CLIENTS_MAX];
    unsigned n = 0;
    bool is_waited_for = false, paced = load->more && load->rate > 0;
    for (unsigned i = 0; i < load->n_clients; i++) {
        struct load_client *client = &load->clients[i];
        /* Of a connection that waits for nothing, only HTTP has something to say: that it
         * ended. */
        if (client->n_open > 0 || !client->socket) {
            of[n] = client;
            items[n++] = (zmq_pollitem_t){
                .socket = client->socket, .fd = client->fd, .events = ZMQ_POLLIN};
            is_waited_for = is_waited_for || client->n_open > 0;
        }
    }
    items[n] = (zmq_pollitem_t){.fd = load->timer, .events = ZMQ_POLLIN};
    int ready = zmq_poll(items, (int)(n + paced), 10000);
    if (ready < 0 || (ready == 0 && is_waited_for)) {
        bench_die("load", "no answer for 10 s");
    }
    for (unsigned i = 0; i < n; i++) {
        if (items[i].revents && !load_client_receive(of[i], on_answer, load)) {
            reconnect(load, of[i]);
        }
    }
    if (paced) {
        send_due(load);
    }
}

/* User and system time of the process so far, in seconds. */
static double cpu_seconds(unsigned pid)
{
    char path[64], text[1024];
    (void)snprintf(path, sizeof path, "/proc/%u/stat", pid);
    FILE *file = pid ? fopen(path, "r") : NULL;
    if (!file) {
        return 0;
    }
    size_t len = fread(text, 1, sizeof text - 1, file);
    text[len] = '\0';
    (void)fclose(file);
    /* The name, in brackets, may hold spaces: fields are counted from behind it. */
    const char *rest = strrchr(text, ')');
    unsigned long user = 0, kernel = 0;
    if (!rest || sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                        &kernel) != 2) {
        return 0;
    }
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

static void report(const struct counts *counts, double seconds, double cpu)
{
    static const unsigned per_mille[] = {500, 900, 990, 999};
    (void)printf(
        "{\"requests\":%llu,\"seconds\":%.3f,\"per_s\":%.1f,\"also\":%llu,\"wrong\":%llu,"
        "\"reconnects\":%llu,\"cpu_us_per_request\":%.2f",
        (unsigned long long)counts->n_done, seconds, (double)counts->n_done / seconds,
        (unsigned long long)counts->n_also, (unsigned long long)counts->n_wrong,
        (unsigned long long)counts->n_reconnects,
        counts->n_done ? cpu * 1e6 / (double)counts->n_done : 0);
    for (size_t i = 0; i < 4 && counts->times.n; i++) {
        (void)printf(",\"p%g_us\":%llu", per_mille[i] / 10.0,
                     (unsigned long long)load_times_at(&counts->times, per_mille[i]));
    }
    (void)printf("}\n");
    (void)fflush(stdout);
}

static void add_part(struct load *load)
{
    const size_t n_buckets = sizeof load->part.times.buckets / sizeof *load->part.times.buckets;
    load->total.n_done += load->part.n_done;
    load->total.n_also += load->part.n_also;
    load->total.n_wrong += load->part.n_wrong;
    load->total.n_reconnects += load->part.n_reconnects;
    load->total.times.n += load->part.times.n;
    for (size_t i = 0; i < n_buckets; i++) {
        load->total.times.buckets[i] += load->part.times.buckets[i];
    }
    memset(&load->part, 0, sizeof load->part);
}

static void run_for(struct load *load, double seconds)
{
    uint64_t end = bench_now_ns() + (uint64_t)(seconds * 1e9);
    while (bench_now_ns() < end) {
        poll_once(load);
    }
}

/* With --every S, a report of each S seconds. */
static void run_parts(struct load *load)
{
    uint64_t begun = bench_now_ns();
    double cpu = cpu_seconds(load->pid), cpu_before = cpu;
    for (double done = 0; done < load->seconds;) {
        double left = load->seconds - done;
        double length = load->every > 0 && load->every < left ? load->every : left;
        uint64_t at = bench_now_ns();
        run_for(load, length);
        if (load->every > 0) {
            double cpu_now = cpu_seconds(load->pid);
            report(&load->part, (double)(bench_now_ns() - at) / 1e9, cpu_now - cpu_before);
            cpu_before = cpu_now;
        }
        add_part(load);
        done = (double)(bench_now_ns() - begun) / 1e9;
    }
    report(&load->total, (double)(bench_now_ns() - begun) / 1e9, cpu_seconds(load->pid) - cpu);
}

static void measure(struct load *load)
{
    load->more = true;
    load->due_ns = bench_now_ns();
    for (unsigned i = 0; load->rate <= 0 && i < load->n_clients; i++) {
        for (unsigned d = 0; d < load->depth; d++) {
            send_one(load, &load->clients[i], bench_now_ns());
        }
    }
    if (load->rate > 0) {
        send_due(load);
    }
    run_for(load, load->warmup);
    uint64_t n_wrong = load->part.n_wrong;
    memset(&load->part, 0, sizeof load->part);
    load->total.n_wrong = n_wrong; /* also in the warm-up, nothing may be wrong */
    run_parts(load);
}

static struct load_bytes from_hex(const char *hex)
{
    struct load_bytes bytes = {malloc(strlen(hex) / 2 + 1), strlen(hex) / 2};
    for (size_t i = 0; bytes.ptr && i < bytes.len; i++) {
        unsigned byte;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1) {
            bench_die("--expect", "is no hex");
        }
        bytes.ptr[i] = (char)byte;
    }
    return bytes;
}

static void read_option(struct load *load, int option)
{
    switch (option) {
    case 'e':
        load->where.endpoint = optarg;
        break;
    case 's':
        load->where.server_key = optarg;
        break;
    case 'k':
        load->where.key_file = optarg;
        break;
    case 'h':
        load->where.http_port = (unsigned)bench_number("--http", optarg);
        break;
    case 'c':
        load->n_clients = (unsigned)bench_number("--clients", optarg);
        break;
    case 'd':
        load->depth = (unsigned)bench_number("--depth", optarg);
        break;
    case 'r':
        if (load->n_requests == REQUESTS_MAX) {
            bench_die("--request", "comes too often");
        }
        load->requests[load->n_requests++] = load_file(optarg);
        break;
    case 'v':
        load->vary = optarg;
        break;
    case 'x':
        load->expect = from_hex(optarg);
        break;
    case 'a':
        load->also = from_hex(optarg);
        break;
    case 't':
        load->seconds = strtod(optarg, NULL);
        break;
    case 'w':
        load->warmup = strtod(optarg, NULL);
        break;
    case 'E':
        load->every = strtod(optarg, NULL);
        break;
    case 'R':
        load->rate = strtod(optarg, NULL);
        break;
    case 'p':
        load->pid = (unsigned)bench_number("--pid", optarg);
        break;
    default:
        exit(2);
    }
}

static void read_options(struct load *load, int argc, char **argv)
{
    static const struct option options[] = {
        {"endpoint", 1, NULL, 'e'}, {"server-key", 1, NULL, 's'},
        {"key-file", 1, NULL, 'k'}, {"http", 1, NULL, 'h'},
        {"clients", 1, NULL, 'c'},  {"depth", 1, NULL, 'd'},
        {"request", 1, NULL, 'r'},  {"vary", 1, NULL, 'v'},
        {"expect", 1, NULL, 'x'},   {"also", 1, NULL, 'a'},
        {"seconds", 1, NULL, 't'},  {"warmup", 1, NULL, 'w'},
        {"every", 1, NULL, 'E'},    {"rate", 1, NULL, 'R'},
        {"pid", 1, NULL, 'p'},      {0}};
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        read_option(load, o);
    }
    bool has_where = load->where.http_port || (load->where.endpoint && load->where.server_key);
    if (!has_where || load->n_requests == 0 || load->n_clients == 0 ||
        load->n_clients > CLIENTS_MAX || load->depth == 0 || load->depth > DEPTH_MAX) {
        bench_die("usage", "--endpoint E --server-key Z85 [--key-file FILE] | --http PORT "
                           "--request FILE [--request FILE]... [--clients N] [--depth N] "
                           "[--rate N] [--vary MARK] [--expect HEX] [--also HEX] [--seconds S] "
                           "[--every S] [--warmup S] [--pid PID]");
    }
}

int main(int argc, char **argv)
{
    static struct load load = {.n_clients = 16, .depth = 1, .seconds = 3, .warmup = 0.5};
    read_options(&load, argc, argv);
    load.context = zmq_ctx_new();
    load.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    for (unsigned i = 0; i < load.n_clients; i++) {
        load_client_open(&load.clients[i], load.context, &load.where);
    }
    measure(&load);
    for (unsigned i = 0; i < load.n_clients; i++) {
        load_client_close(&load.clients[i]);
    }
    (void)zmq_ctx_term(load.context);
    return load.total.n_wrong ? 1 : 0;
}
