#include "egress_kit.h"

#include <stdio.h>
#include <stdlib.h>

static const struct sp_placement bearer = {
    .place = SP_PLACE_HEADER,
    .name = {"authorization", 13},
    .prefix = {"Bearer ", 7},
    .template = {"{api_key}", 9},
};
const struct sp_plan kit_bearer = {.placements = &bearer, .n_placements = 1};

void kit_config(struct kit *kit)
{
    *kit = (struct kit){.config = {.connect_ms = 5000,
                                   .total_ms = 15000,
                                   .response_max_bytes = 1 << 20,
                                   .header_max_bytes = 16 << 10,
                                   .slots = 32,
                                   .slots_per_key = 16}};
    assert_int_equal(uv_loop_init(&kit->loop), 0);
    kit->config.loop = &kit->loop;
    sp_arena_init(&kit->arena, 64 << 20);
}

void kit_start(struct kit *kit)
{
    struct sp_error err = {""};
    assert_int_equal(sp_egress_new(&kit->config, &kit->egress, &err), SP_OK);
}

void kit_open(struct kit *kit)
{
    kit_config(kit);
    kit_start(kit);
}

void kit_close(struct kit *kit)
{
    sp_egress_free(kit->egress);
    while (uv_run(&kit->loop, UV_RUN_DEFAULT)) {
    }
    assert_int_equal(uv_loop_close(&kit->loop), 0);
    sp_arena_done(&kit->arena);
}

void kit_key_set(struct kit_key *key, const char *name, const char *value)
{
    key->settings[key->key.n_settings++] =
        (struct sp_key_setting){sp_text_of(name), sp_text_of(value)};
}

void kit_key_secret(struct kit_key *key, const char *name, const char *value)
{
    struct sp_key_secret *secret = &key->secrets[key->key.n_secrets++];
    secret->name = sp_text_of(name);
    secret->value =
        (struct sp_secret){.ptr = (unsigned char *)strdup(value), .len = strlen(value)};
}

void kit_key(struct kit_key *key, const char *id, const char *secret, const char *scheme,
             uint16_t port)
{
    *key = (struct kit_key){.key = {.id = sp_text_of(id),
                                    .provider = SP_TEXT("rest"),
                                    .version = 1,
                                    .hosts = key->hosts,
                                    .n_hosts = 1,
                                    .settings = key->settings,
                                    .secrets = key->secrets},
                            .hosts = {SP_TEXT("api.example.com")}};
    if (secret) {
        kit_key_secret(key, "api_key", secret);
    }
    if (scheme) {
        (void)snprintf(key->upstream, sizeof key->upstream, "%s://localhost:%u", scheme, port);
        kit_key_set(key, "upstream", key->upstream);
    }
}

void kit_key_done(struct kit_key *key)
{
    for (size_t i = 0; i < key->key.n_secrets; i++) {
        free(key->secrets[i].value.ptr);
    }
}

void kit_reply_done(struct kit_reply *reply)
{
    free(reply->headers);
    free(reply->trailers);
    free(reply->body);
    *reply = (struct kit_reply){.n_done = 0};
}

static char *lines_of(const struct sp_header *headers, size_t n)
{
    size_t room = 1, at = 0;
    for (size_t i = 0; i < n; i++) {
        room += headers[i].name.len + headers[i].value.len + 3;
    }
    char *lines = calloc(1, room);
    for (size_t i = 0; i < n; i++) {
        at += (size_t)snprintf(lines + at, room - at, "%.*s: %.*s\n", (int)headers[i].name.len,
                               headers[i].name.ptr, (int)headers[i].value.len,
                               headers[i].value.ptr);
    }
    return lines;
}

void kit_on_reply(void *user, const struct sp_reply *from)
{
    struct kit_reply *reply = user;
    reply->n_done++;
    reply->code = from->code;
    (void)snprintf(reply->reason, sizeof reply->reason, "%s", from->reason);
    reply->sent = from->sent;
    reply->http_status = from->http_status;
    reply->headers = lines_of(from->headers, from->n_headers);
    reply->trailers = lines_of(from->trailers, from->n_trailers);
    reply->body = calloc(1, from->body.len + 1);
    if (from->body.len) {
        memcpy(reply->body, from->body.ptr, from->body.len);
    }
    reply->body_len = from->body.len;
}

sp_status kit_send(struct kit *kit, const struct kit_key *key, const struct kit_call *call,
                   struct kit_reply *reply, uint64_t *ret_id, struct sp_error *err)
{
    struct sp_arena *arena = &kit->arena;
    struct sp_raw_header *raw_headers = sp_arena_array(arena, 8, sizeof *raw_headers);
    struct sp_request *request = sp_arena_alloc(arena, sizeof *request);
    struct sp_header *headers = sp_arena_array(arena, 8, sizeof *headers);
    struct sp_text dropped[8];
    struct sp_trace trace;
    size_t n = 0, n_headers, n_dropped;
    for (; n < 8 && call->headers[n][0]; n++) {
        raw_headers[n] = (struct sp_raw_header){sp_text_of(call->headers[n][0]),
                                                sp_text_of(call->headers[n][1])};
    }
    struct sp_raw_request raw = {.method = sp_text_of(call->method),
                                 .url = sp_text_of(call->url),
                                 .headers = raw_headers,
                                 .n_headers = n,
                                 .body = sp_text_of(call->body)};
    sp_status status = sp_canonical(arena, &raw, request, err);
    if (status) {
        return status;
    }
    sp_trace_read(request, &trace);
    sp_headers_pass(request, &trace, call->manifest, NULL, headers, &n_headers, dropped,
                    &n_dropped);
    struct sp_send send = {.key = &key->key,
                           .plan = call->plan ? call->plan : &kit_bearer,
                           .request = request,
                           .headers = headers,
                           .n_headers = n_headers};
    *reply = (struct kit_reply){.kit = kit};
    return sp_egress_send(kit->egress, &send, kit_on_reply, reply, ret_id, err);
}

static void on_tick(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void on_closed(uv_handle_t *handle)
{
    *(bool *)handle->data = true;
}

/* Runs the loop for that long, or until n_done is not 0. */
static void run(struct kit *kit, uint64_t ms, const unsigned *n_done)
{
    uv_timer_t timer;
    bool closed = false;
    uint64_t until = uv_hrtime() + ms * 1000000;
    uv_timer_init(&kit->loop, &timer);
    timer.data = &closed;
    uv_timer_start(&timer, on_tick, n_done ? 20 : ms, n_done ? 20 : 0);
    while ((!n_done || *n_done == 0) && uv_hrtime() < until) {
        uv_run(&kit->loop, UV_RUN_ONCE);
    }
    uv_close((uv_handle_t *)&timer, on_closed);
    while (!closed) {
        uv_run(&kit->loop, UV_RUN_NOWAIT);
    }
}

void kit_run_ms(struct kit *kit, uint64_t ms)
{
    run(kit, ms, NULL);
}

void kit_wait(struct kit *kit, struct kit_reply *reply)
{
    run(kit, 30000, &reply->n_done);
    assert_int_equal(reply->n_done, 1);
}

void kit_do(struct kit *kit, const struct kit_key *key, const struct kit_call *call,
            struct kit_reply *reply)
{
    struct sp_error err = {""};
    uint64_t id;
    sp_status status = kit_send(kit, key, call, reply, &id, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(status, SP_OK);
    kit_wait(kit, reply);
}

void kit_get(struct kit *kit, const struct kit_key *key, const char *url,
             struct kit_reply *reply)
{
    kit_do(kit, key, &(struct kit_call){.method = "GET", .url = url}, reply);
}
