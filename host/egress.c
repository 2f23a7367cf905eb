#include "egress.h"

#include "curl_alloc.h"
#include "egress_inner.h"
#include "json.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

sp_status sp_egress_global(struct sp_error *err)
{
    /* libcurl reads it once, here, and would write every TLS session's keys into that file. */
    (void)unsetenv("SSLKEYLOGFILE");
    /* Bodies of clients and answers with minted credentials are parsed. */
    sp_json_global();
    if (sodium_init() < 0 ||
        curl_global_init_mem(CURL_GLOBAL_ALL, sp_curl_malloc, sp_curl_free, sp_curl_realloc,
                             sp_curl_strdup, sp_curl_calloc)) {
        return sp_fail(err, SP_EUNSUPPORTED, "libcurl cannot be started");
    }
    return SP_OK;
}

/* ---- slots ---------------------------------------------------------------------------------
 */

/* An id is a count and a slot's number, so that finding it is no search, and an old id finds
 * nobody in a slot that was used again. */
static struct transfer *take_slot(struct sp_egress *egress)
{
    size_t n = egress->config.slots;
    for (size_t i = 0; i < n; i++) {
        if (egress->slots[i].id == 0) {
            egress->last_id++;
            egress->slots[i] = (struct transfer){.id = egress->last_id * n + i};
            return &egress->slots[i];
        }
    }
    return NULL;
}

struct transfer *transfer_find(struct sp_egress *egress, uint64_t id)
{
    struct transfer *transfer = &egress->slots[id % egress->config.slots];
    return id != 0 && transfer->id == id ? transfer : NULL;
}

static void free_slot(struct transfer *transfer, bool reusable)
{
    answer_done(&transfer->answer);
    easy_free(transfer, reusable);
    *transfer = (struct transfer){.id = 0};
}

void transfer_end(struct transfer *transfer, CURLcode result)
{
    struct lane *lane = transfer->lane;
    struct sp_egress *egress = lane->egress;
    if (transfer->easy) {
        (void)curl_multi_remove_handle(lane->multi, transfer->easy);
    }
    bool clean = result == CURLE_OK;
    if (!clean && transfer->stopped == SP_CODE_OK && answer_is_whole(transfer)) {
        result = CURLE_OK; /* what failed is the rest of the request, which nobody waits for */
    }
    clean = answer_deliver(transfer, result) && clean && !transfer->send.answer_is_secret &&
            !transfer->send.upload;
    free_slot(transfer, clean);
    egress->in_flight--;
    lane_leave(lane);
}

/* ---- sending and cancelling ----------------------------------------------------------------
 */

sp_status sp_egress_send(struct sp_egress *egress, const struct sp_send *send,
                         sp_egress_done done, void *user, uint64_t *ret_id,
                         struct sp_error *err)
{
    struct lane *lane = NULL;
    struct transfer *transfer = egress->closing ? NULL : take_slot(egress);
    if (!transfer) {
        return sp_fail(err, SP_EBUSY, "all slots to the upstreams are taken; try again");
    }
    sp_status status = lane_find(egress, send->key, &lane, err);
    if (!status && lane->in_flight >= egress->config.slots_per_key) {
        status = sp_fail(err, SP_EBUSY, "all slots of this key are taken; try again");
    }
    if (status) {
        transfer->id = 0;
        return status;
    }
    transfer->lane = lane;
    transfer->send = *send;
    transfer->done = done;
    transfer->user = user;
    answer_init(&transfer->answer, &egress->config);
    lane_enter(lane);
    status = easy_new(transfer, err);
    if (!status && curl_multi_add_handle(lane->multi, transfer->easy)) {
        status = sp_fail(err, SP_ENOMEM, "out of memory");
    }
    if (status) {
        free_slot(transfer, false);
        lane_leave(lane);
        return status;
    }
    egress->in_flight++;
    *ret_id = transfer->id;
    if (send->upload) {
        streams_watch(egress);
    }
    return SP_OK;
}

static void on_cancelled(uv_timer_t *timer)
{
    struct sp_egress *egress = timer->data;
    while (egress->cancelled) {
        struct transfer *transfer = egress->cancelled;
        egress->cancelled = transfer->next_cancelled;
        transfer_end(transfer, CURLE_ABORTED_BY_CALLBACK);
    }
}

static const char *why_cancelled(enum sp_code code)
{
    return code == SP_CODE_SHUTTING_DOWN ? "the host is shutting down"
           : code == SP_CODE_TOKEN_REVOKED
               ? "the token was revoked while the call was under way"
           : code == SP_CODE_TOKEN_SUSPENDED
               ? "the token was suspended while the call was under way"
           : code == SP_CODE_TOKEN_EXPIRED ? "the token expired while the call was under way"
           : code == SP_CODE_SEALED        ? "the host was sealed while the call was under way"
           : code == SP_CODE_UPSTREAM_TIMEOUT ? "the upstream fell silent"
           : code == SP_CODE_BAD_REQUEST      ? "the request's body broke off"
                                              : "the call was cancelled";
}

void sp_egress_cancel(struct sp_egress *egress, uint64_t id, enum sp_code code)
{
    struct transfer *transfer = transfer_find(egress, id);
    if (!transfer || !transfer->easy) {
        return; /* over, or cancelled already */
    }
    transfer->stopped = code;
    transfer->stopped_why = why_cancelled(code);
    /* Not a byte more goes out from here on; the callback comes from the loop. */
    (void)curl_multi_remove_handle(transfer->lane->multi, transfer->easy);
    easy_free(transfer, false);
    transfer->next_cancelled = egress->cancelled;
    egress->cancelled = transfer;
    (void)uv_timer_start(&egress->cancel_timer, on_cancelled, 0, 0);
}

void sp_egress_resume(struct sp_egress *egress, uint64_t id)
{
    struct transfer *transfer = transfer_find(egress, id);
    if (transfer && transfer->easy && transfer->answer.waits) {
        transfer->answer.waits = transfer->answer.paused = false;
        transfer->answer.last_ms = uv_now(egress->config.loop);
        if (transfer->send.upload && !transfer->upload.over) { /* read first, then write */
            transfer->upload.waits = true;
            (void)curl_easy_pause(transfer->easy, CURLPAUSE_SEND);
            upload_resume(transfer);
        } else {
            (void)curl_easy_pause(transfer->easy, CURLPAUSE_CONT);
        }
    }
}

void sp_egress_upload_on(struct sp_egress *egress, uint64_t id)
{
    struct transfer *transfer = transfer_find(egress, id);
    if (transfer && transfer->easy) {
        upload_resume(transfer);
    }
}

/* Neither side says anything, and the client is not what it waits for. */
static bool is_silent(const struct transfer *transfer, uint64_t now)
{
    const struct answer *answer = &transfer->answer;
    bool uploads = transfer->send.upload && !transfer->upload.over;
    if (transfer->send.upload && (uploads || !answer->streams)) {
        return upload_is_late(transfer, now);
    }
    return !answer->waits && now > answer->last_ms &&
           now - answer->last_ms > transfer->lane->egress->config.stream_idle_ms;
}

static void on_stream_sweep(uv_timer_t *timer)
{
    struct sp_egress *egress = timer->data;
    uint64_t now = uv_now(egress->config.loop);
    size_t n = 0;
    for (size_t i = 0; i < egress->config.slots; i++) {
        struct transfer *transfer = &egress->slots[i];
        if (transfer->id == 0 || !transfer->easy ||
            (!transfer->answer.streams && !transfer->send.upload)) {
            continue;
        }
        n++;
        if (is_silent(transfer, now)) {
            sp_egress_cancel(egress, transfer->id, SP_CODE_UPSTREAM_TIMEOUT);
        } else if (transfer->answer.final_end > 0) {
            /* libcurl may be through with the body, and waits for it all the same. */
            upload_resume(transfer);
        }
    }
    if (n == 0) {
        (void)uv_timer_stop(timer);
    }
}

void streams_watch(struct sp_egress *egress)
{
    if (!uv_is_active((uv_handle_t *)&egress->stream_timer)) {
        (void)uv_timer_start(&egress->stream_timer, on_stream_sweep, EGRESS_STREAM_SWEEP_MS,
                             EGRESS_STREAM_SWEEP_MS);
    }
}

void sp_egress_forget(struct sp_egress *egress, struct sp_text key_id)
{
    for (struct lane *lane = egress->lanes, *next; lane; lane = next) {
        next = lane->next;
        if (!sp_text_is(key_id, lane->key_id)) {
            continue;
        }
        lane->forgotten = true;
        if (lane->in_flight == 0 && !lane->reaping) {
            lane_free(lane);
        }
    }
}

size_t sp_egress_in_flight(const struct sp_egress *egress)
{
    return egress->in_flight;
}

/* ---- life ----------------------------------------------------------------------------------
 */

static void egress_release(struct sp_egress *egress)
{
    free(egress->slots);
    free(egress->watches);
    free(egress->own_ports);
    free(egress->ca_file);
    free(egress);
}

sp_status sp_egress_new(const struct sp_egress_config *config, struct sp_egress **ret_egress,
                        struct sp_error *err)
{
    if (config->slots == 0 || config->slots_per_key == 0 || config->connect_ms == 0 ||
        config->total_ms == 0) {
        return sp_fail(err, SP_EINVAL, "egress: slots and times must be more than 0");
    }
    struct sp_egress *egress = calloc(1, sizeof *egress);
    if (!egress) {
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    egress->config = *config;
    egress->slots = calloc(config->slots, sizeof *egress->slots);
    egress->own_ports = calloc(config->n_own_ports + 1, sizeof *egress->own_ports);
    egress->ca_file = config->ca_file ? strdup(config->ca_file) : NULL;
    if (!egress->slots || !egress->own_ports || (config->ca_file && !egress->ca_file)) {
        egress_release(egress);
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < config->n_own_ports; i++) {
        egress->own_ports[i] = config->own_ports[i];
    }
    egress->config.own_ports = egress->own_ports;
    egress->config.ca_file = egress->ca_file;
    (void)uv_timer_init(config->loop, &egress->cancel_timer);
    egress->cancel_timer.data = egress;
    (void)uv_timer_init(config->loop, &egress->stream_timer);
    egress->stream_timer.data = egress;
    *ret_egress = egress;
    return SP_OK;
}

static void on_egress_closed(uv_handle_t *handle)
{
    struct sp_egress *egress = handle->data;
    if (--egress->n_closing == 0) {
        egress_release(egress);
    }
}

void sp_egress_free(struct sp_egress *egress)
{
    if (!egress) {
        return;
    }
    egress->closing = true;
    for (size_t i = 0; i < egress->config.slots; i++) {
        sp_egress_cancel(egress, egress->slots[i].id, SP_CODE_SHUTTING_DOWN);
    }
    on_cancelled(&egress->cancel_timer);
    while (egress->lanes) {
        lane_free(egress->lanes);
    }
    egress->n_closing = 2;
    uv_close((uv_handle_t *)&egress->stream_timer, on_egress_closed);
    uv_close((uv_handle_t *)&egress->cancel_timer, on_egress_closed);
}
