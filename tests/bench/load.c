/* The load of the benchmark: N clients under CURVE in one process, each with DEPTH requests
 * under way at a time, all sending the same bytes for a fixed time. Prints one JSON object:
 * requests per second, latency, replies that were not as expected, and the CPU time that the
 * process with the given pid (the one being measured) took for each request.
 *
 * Clients are DEALERs that speak as REQ does; every reply is looked at, because refusals are
 * cheap and would make any server look fast. */
#include "bench.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CLIENTS_MAX = 512, DEPTH_MAX = 64, FILE_BYTES = 1 << 20, SAMPLES_MAX = 1 << 22 };

struct client {
    void *socket;
    uint64_t sent_at[DEPTH_MAX]; /* a ring: replies come in order on one connection… */
    unsigned first, n_open; /* …of a server that answers in order; else latency is a mean */
};

struct load {
    const char *endpoint, *server_key, *key_file, *vary;
    char *request, *expect;
    size_t request_len, expect_len;
    unsigned n_clients, depth, pid;
    double seconds, warmup;
    /* what was measured */
    uint32_t *samples_us;
    size_t n_samples;
    uint64_t n_done, n_wrong, counter;
    struct client clients[CLIENTS_MAX];
};

static char *read_file(const char *path, size_t *ret_len)
{
    char *data = malloc(FILE_BYTES + 1);
    FILE *file = fopen(path, "rb");
    if (!data || !file) {
        bench_die(path, strerror(errno));
    }
    *ret_len = fread(data, 1, FILE_BYTES, file);
    data[*ret_len] = '\0';
    (void)fclose(file);
    return data;
}

/* The client's key pair, as `sallyport client keygen` writes it; without a file a fresh one. */
static void read_keys(const char *path, char public_key[41], char secret_key[41])
{
    if (!path) {
        (void)zmq_curve_keypair(public_key, secret_key);
        return;
    }
    size_t len;
    char *text = read_file(path, &len);
    const char *public_at = strstr(text, "public "), *secret_at = strstr(text, "secret ");
    if (!public_at || !secret_at || sscanf(public_at, "public %40s", public_key) != 1 ||
        sscanf(secret_at, "secret %40s", secret_key) != 1) {
        bench_die(path, "is no CURVE key file");
    }
    free(text);
}

static void connect_all(struct load *load, void *context)
{
    char public_key[41], secret_key[41];
    const int linger = 0;
    read_keys(load->key_file, public_key, secret_key);
    for (unsigned i = 0; i < load->n_clients; i++) {
        void *socket = zmq_socket(context, ZMQ_DEALER);
        if (!socket ||
            zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, load->server_key,
                           strlen(load->server_key) + 1) ||
            zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, public_key, sizeof public_key) ||
            zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret_key, sizeof secret_key) ||
            zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger) ||
            zmq_connect(socket, load->endpoint)) {
            bench_die(load->endpoint, zmq_strerror(errno));
        }
        load->clients[i].socket = socket;
    }
}

/* The mark in the request, where there is one, becomes a number that never comes twice. */
static void vary(struct load *load, char *request)
{
    size_t mark_len = load->vary ? strlen(load->vary) : 0;
    if (mark_len > 0) {
        char number[32];
        char *at = memmem(request, load->request_len, load->vary, mark_len);
        if (!at || mark_len >= sizeof number) {
            bench_die(load->vary, "does not stand in the request");
        }
        (void)snprintf(number, sizeof number, "%0*llu", (int)mark_len,
                       (unsigned long long)load->counter++);
        memcpy(at, number, mark_len);
    }
}

static void send_one(struct load *load, struct client *client)
{
    zmq_msg_t message;
    if (zmq_msg_init_size(&message, load->request_len)) {
        bench_die("request", "no memory");
    }
    memcpy(zmq_msg_data(&message), load->request, load->request_len);
    vary(load, zmq_msg_data(&message));
    client->sent_at[(client->first + client->n_open++) % DEPTH_MAX] = bench_now_ns();
    if (zmq_send(client->socket, "", 0, ZMQ_SNDMORE) < 0 ||
        zmq_msg_send(&message, client->socket, 0) < 0) {
        bench_die("send", zmq_strerror(errno));
    }
}

/* What a wrong reply says, for whoever has to find out why; once. */
static void show_wrong(struct load *load, zmq_msg_t *reply)
{
    if (load->n_wrong++ == 0) {
        const unsigned char *bytes = zmq_msg_data(reply);
        (void)fputs("bench: the first wrong reply: ", stderr);
        for (size_t i = 0; i < zmq_msg_size(reply) && i < 300; i++) {
            (void)fputc(bytes[i] >= ' ' && bytes[i] < 127 ? bytes[i] : '.', stderr);
        }
        (void)fputc('\n', stderr);
    }
}

/* All replies that are there; each makes room for the next request. */
static void receive_some(struct load *load, struct client *client, bool more)
{
    zmq_msg_t part;
    (void)zmq_msg_init(&part);
    while (zmq_msg_recv(&part, client->socket, ZMQ_DONTWAIT) >= 0) {
        if (zmq_msg_more(&part)) {
            continue; /* the empty delimiter */
        }
        uint64_t took_us = (bench_now_ns() - client->sent_at[client->first]) / 1000;
        client->first = (client->first + 1) % DEPTH_MAX;
        client->n_open--;
        if (load->n_samples < SAMPLES_MAX) {
            load->samples_us[load->n_samples++] = (uint32_t)took_us;
        }
        load->n_done++;
        if (load->expect &&
            !memmem(zmq_msg_data(&part), zmq_msg_size(&part), load->expect, load->expect_len)) {
            show_wrong(load, &part);
        }
        if (more) {
            send_one(load, client);
        }
    }
    (void)zmq_msg_close(&part);
}

static void poll_once(struct load *load, bool more)
{
    static zmq_pollitem_t items[CLIENTS_MAX];
    for (unsigned i = 0; i < load->n_clients; i++) {
        items[i] = (zmq_pollitem_t){.socket = load->clients[i].socket, .events = ZMQ_POLLIN};
    }
    if (zmq_poll(items, (int)load->n_clients, 10000) <= 0) {
        bench_die(load->endpoint, "no answer for 10 s");
    }
    for (unsigned i = 0; i < load->n_clients; i++) {
        if (items[i].revents & ZMQ_POLLIN) {
            receive_some(load, &load->clients[i], more);
        }
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

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void run_for(struct load *load, double seconds)
{
    uint64_t end = bench_now_ns() + (uint64_t)(seconds * 1e9);
    while (bench_now_ns() < end) {
        poll_once(load, true);
    }
}

static void report(const struct load *load, double seconds, double cpu)
{
    qsort(load->samples_us, load->n_samples, sizeof *load->samples_us, by_size);
    const unsigned per_mille[] = {500, 900, 990, 999};
    (void)printf("{\"requests\":%llu,\"seconds\":%.3f,\"per_s\":%.1f,\"wrong\":%llu,"
                 "\"cpu_us_per_request\":%.2f",
                 (unsigned long long)load->n_done, seconds, (double)load->n_done / seconds,
                 (unsigned long long)load->n_wrong,
                 load->n_done ? cpu * 1e6 / (double)load->n_done : 0);
    for (size_t i = 0; i < 4 && load->n_samples; i++) {
        (void)printf(",\"p%g_us\":%u", per_mille[i] / 10.0,
                     load->samples_us[load->n_samples * per_mille[i] / 1000]);
    }
    (void)printf("}\n");
}

static void measure(struct load *load)
{
    for (unsigned i = 0; i < load->n_clients; i++) {
        for (unsigned d = 0; d < load->depth; d++) {
            send_one(load, &load->clients[i]);
        }
    }
    run_for(load, load->warmup);
    load->n_done = load->n_samples = 0;
    double cpu = cpu_seconds(load->pid);
    uint64_t begun = bench_now_ns();
    run_for(load, load->seconds);
    report(load, (double)(bench_now_ns() - begun) / 1e9, cpu_seconds(load->pid) - cpu);
}

static void set_expect(struct load *load, const char *hex)
{
    load->expect_len = strlen(hex) / 2;
    load->expect = malloc(load->expect_len + 1);
    for (size_t i = 0; load->expect && i < load->expect_len; i++) {
        unsigned byte;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1) {
            bench_die("--expect", "is no hex");
        }
        load->expect[i] = (char)byte;
    }
}

static void read_options(struct load *load, int argc, char **argv)
{
    static const struct option options[] = {
        {"endpoint", 1, NULL, 'e'}, {"server-key", 1, NULL, 's'}, {"key-file", 1, NULL, 'k'},
        {"clients", 1, NULL, 'c'},  {"depth", 1, NULL, 'd'},      {"request", 1, NULL, 'r'},
        {"vary", 1, NULL, 'v'},     {"expect", 1, NULL, 'x'},     {"seconds", 1, NULL, 't'},
        {"warmup", 1, NULL, 'w'},   {"pid", 1, NULL, 'p'},        {0}};
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (o) {
        case 'e':
            load->endpoint = optarg;
            break;
        case 's':
            load->server_key = optarg;
            break;
        case 'k':
            load->key_file = optarg;
            break;
        case 'c':
            load->n_clients = (unsigned)bench_number("--clients", optarg);
            break;
        case 'd':
            load->depth = (unsigned)bench_number("--depth", optarg);
            break;
        case 'r':
            load->request = read_file(optarg, &load->request_len);
            break;
        case 'v':
            load->vary = optarg;
            break;
        case 'x':
            set_expect(load, optarg);
            break;
        case 't':
            load->seconds = strtod(optarg, NULL);
            break;
        case 'w':
            load->warmup = strtod(optarg, NULL);
            break;
        case 'p':
            load->pid = (unsigned)bench_number("--pid", optarg);
            break;
        default:
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    static struct load load = {.n_clients = 16, .depth = 1, .seconds = 3, .warmup = 0.5};
    read_options(&load, argc, argv);
    load.samples_us = calloc(SAMPLES_MAX, sizeof *load.samples_us);
    if (!load.endpoint || !load.server_key || !load.request || !load.samples_us ||
        load.n_clients == 0 || load.n_clients > CLIENTS_MAX || load.depth == 0 ||
        load.depth > DEPTH_MAX) {
        bench_die("usage", "--endpoint E --server-key Z85 --request FILE [--key-file FILE] "
                           "[--clients N] [--depth N] [--vary MARK] [--expect HEX] "
                           "[--seconds S] [--warmup S] [--pid PID]");
    }
    void *context = zmq_ctx_new();
    connect_all(&load, context);
    measure(&load);
    for (unsigned i = 0; i < load.n_clients; i++) {
        (void)zmq_close(load.clients[i].socket);
    }
    (void)zmq_ctx_term(context);
    return load.n_wrong ? 1 : 0;
}
