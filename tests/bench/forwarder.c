/* The baseline of `proxy`: what a service does that only forwards. A ROUTER under CURVE takes a
 * MessagePack map {method, url, headers, body}, libcurl's multi interface on epoll makes the
 * call, and {status, headers, body} goes back. No token, no scope, no checks, no audit. */
#include "bench.h"
#include "multi.h"

#include <errno.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { URL_BYTES = 2048, LINE_BYTES = 4096, EASY_POOL = 256 };

struct call {
    CURL *easy;
    zmq_msg_t id;
    struct curl_slist *headers;
    msgpack_sbuffer body, answer_headers, answer_body;
    uint32_t n_answer_headers;
    struct call *next; /* in the pool of idle ones */
};

static void *router;
static struct bench_multi multi;
static struct call *idle;

static size_t on_header(char *data, size_t size, size_t n, void *user)
{
    struct call *call = user;
    size_t len = size * n;
    const char *colon = memchr(data, ':', len);
    if (colon) {
        size_t name_len = (size_t)(colon - data);
        const char *value = colon + 1, *end = data + len;
        while (value < end && *value == ' ') {
            value++;
        }
        while (end > value && (end[-1] == '\r' || end[-1] == '\n')) {
            end--;
        }
        msgpack_packer packer;
        msgpack_packer_init(&packer, &call->answer_headers, msgpack_sbuffer_write);
        (void)msgpack_pack_array(&packer, 2);
        (void)msgpack_pack_str_with_body(&packer, data, name_len);
        (void)msgpack_pack_str_with_body(&packer, value, (size_t)(end - value));
        call->n_answer_headers++;
    }
    return len;
}

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
    struct call *call = user;
    return msgpack_sbuffer_write(&call->answer_body, data, size * n) ? 0 : size * n;
}

static struct call *call_new(void)
{
    struct call *call = idle;
    if (call) {
        idle = call->next;
    } else if (!(call = calloc(1, sizeof *call)) || !(call->easy = curl_easy_init())) {
        bench_die("call", "no memory");
    }
    curl_easy_reset(call->easy);
    (void)curl_easy_setopt(call->easy, CURLOPT_PRIVATE, call);
    (void)curl_easy_setopt(call->easy, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(call->easy, CURLOPT_HEADERDATA, call);
    (void)curl_easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(call->easy, CURLOPT_WRITEDATA, call);
    (void)curl_easy_setopt(call->easy, CURLOPT_NOSIGNAL, 1L);
    msgpack_sbuffer_clear(&call->body);
    msgpack_sbuffer_clear(&call->answer_headers);
    msgpack_sbuffer_clear(&call->answer_body);
    call->n_answer_headers = 0;
    call->headers = NULL;
    (void)zmq_msg_init(&call->id);
    return call;
}

static void call_end(struct call *call)
{
    curl_slist_free_all(call->headers);
    (void)zmq_msg_close(&call->id);
    call->next = idle;
    idle = call;
}

/* ---- in ---------------------------------------------------------------------------------- */

static void add_headers(struct call *call, const msgpack_object_map *headers)
{
    for (uint32_t i = 0; i < headers->size; i++) {
        const msgpack_object_str *name = &headers->ptr[i].key.via.str;
        const msgpack_object_str *value = &headers->ptr[i].val.via.str;
        char line[LINE_BYTES];
        (void)snprintf(line, sizeof line, "%.*s: %.*s", (int)name->size, name->ptr,
                       (int)value->size, value->ptr);
        call->headers = curl_slist_append(call->headers, line);
    }
}

static void take_field(struct call *call, const msgpack_object_str *name,
                       const msgpack_object *value)
{
    char text[URL_BYTES];
    if (value->type == MSGPACK_OBJECT_STR) {
        (void)snprintf(text, sizeof text, "%.*s", (int)value->via.str.size, value->via.str.ptr);
    }
    if (name->size == 6 && memcmp(name->ptr, "method", 6) == 0) {
        (void)curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, text);
    } else if (name->size == 3 && memcmp(name->ptr, "url", 3) == 0) {
        (void)curl_easy_setopt(call->easy, CURLOPT_URL, text);
    } else if (name->size == 7 && value->type == MSGPACK_OBJECT_MAP) {
        add_headers(call, &value->via.map);
    } else if (name->size == 4 && value->type == MSGPACK_OBJECT_BIN &&
               value->via.bin.size > 0) {
        (void)msgpack_sbuffer_write(&call->body, value->via.bin.ptr, value->via.bin.size);
        (void)curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE, (long)call->body.size);
        (void)curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, call->body.data);
    }
}

static void begin(zmq_msg_t *id, zmq_msg_t *request)
{
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    if (msgpack_unpack_next(&unpacked, zmq_msg_data(request), zmq_msg_size(request), NULL) !=
            MSGPACK_UNPACK_SUCCESS ||
        unpacked.data.type != MSGPACK_OBJECT_MAP) {
        bench_die("request", "is no map");
    }
    struct call *call = call_new();
    (void)zmq_msg_move(&call->id, id);
    for (uint32_t i = 0; i < unpacked.data.via.map.size; i++) {
        const msgpack_object_kv *pair = &unpacked.data.via.map.ptr[i];
        take_field(call, &pair->key.via.str, &pair->val);
    }
    (void)curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
    msgpack_unpacked_destroy(&unpacked);
    if (curl_multi_add_handle(multi.curl, call->easy)) {
        bench_die("curl", "cannot add a call");
    }
}

static void receive_all(void)
{
    zmq_msg_t id, body;
    (void)zmq_msg_init(&id);
    (void)zmq_msg_init(&body);
    while (bench_receive(router, &id, &body, ZMQ_DONTWAIT)) {
        begin(&id, &body);
    }
    (void)zmq_msg_close(&id);
    (void)zmq_msg_close(&body);
}

/* ---- out --------------------------------------------------------------------------------- */

static void answer(struct call *call)
{
    long status = 0;
    msgpack_sbuffer out;
    msgpack_packer packer;
    zmq_msg_t reply;
    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
    (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)msgpack_pack_map(&packer, 3);
    (void)msgpack_pack_str_with_body(&packer, "status", 6);
    (void)msgpack_pack_long(&packer, status);
    (void)msgpack_pack_str_with_body(&packer, "headers", 7);
    (void)msgpack_pack_array(&packer, call->n_answer_headers);
    (void)msgpack_sbuffer_write(&out, call->answer_headers.data, call->answer_headers.size);
    (void)msgpack_pack_str_with_body(&packer, "body", 4);
    (void)msgpack_pack_bin_with_body(&packer, call->answer_body.data, call->answer_body.size);
    if (zmq_msg_init_size(&reply, out.size)) {
        bench_die("reply", "no memory");
    }
    memcpy(zmq_msg_data(&reply), out.data, out.size);
    bench_reply(router, &call->id, &reply);
    msgpack_sbuffer_destroy(&out);
}

static void finish_done(void)
{
    int left = 0;
    for (CURLMsg *said; (said = curl_multi_info_read(multi.curl, &left));) {
        struct call *call = NULL;
        (void)curl_easy_getinfo(said->easy_handle, CURLINFO_PRIVATE, &call);
        (void)curl_multi_remove_handle(multi.curl, said->easy_handle);
        answer(call);
        call_end(call);
    }
}

/* ---- the loop ---------------------------------------------------------------------------- */

static bool zmq_readable(void)
{
    int events = 0;
    size_t len = sizeof events;
    return zmq_getsockopt(router, ZMQ_EVENTS, &events, &len) == 0 && (events & ZMQ_POLLIN);
}

static void turn(int zmq_fd)
{
    struct epoll_event events[64];
    /* ZMQ_FD tells of changes only: what is readable already is asked for, not waited for. */
    int n = epoll_wait(multi.epoll, events, 64, zmq_readable() ? 0 : (int)multi.timeout_ms);
    for (int i = 0; i < n; i++) {
        if (events[i].data.fd != zmq_fd) {
            bench_multi_socket(&multi, events[i].data.fd, events[i].events);
        }
    }
    receive_all();
    bench_multi_timeout(&multi, n);
    finish_done();
}

int main(void)
{
    int zmq_fd = -1;
    size_t len = sizeof zmq_fd;
    void *context = zmq_ctx_new();
    if (!context) {
        bench_die("start", strerror(errno));
    }
    bench_multi_init(&multi, EASY_POOL);
    router = bench_router(context);
    (void)zmq_getsockopt(router, ZMQ_FD, &zmq_fd, &len);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = zmq_fd};
    if (epoll_ctl(multi.epoll, EPOLL_CTL_ADD, zmq_fd, &event)) {
        bench_die("epoll", strerror(errno));
    }
    for (;;) {
        turn(zmq_fd);
    }
}
