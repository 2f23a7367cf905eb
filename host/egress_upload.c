/* A request's body that is handed over while it comes: libcurl pulls it from the sender. It
 * comes once, so nothing of it is ever sent again; and its handle is used for no other
 * transfer. */
#include "egress_inner.h"

static uint64_t now_ms(const struct transfer *transfer)
{
    return uv_now(transfer->lane->egress->config.loop);
}

static void end(struct transfer *transfer)
{
    transfer->upload.over = true;
    transfer->upload.over_ms = now_ms(transfer);
}

static size_t on_read(char *bytes, size_t size, size_t n, void *user)
{
    struct transfer *transfer = user;
    struct upload *upload = &transfer->upload;
    size_t got = 0;
    if (lane_is_told(transfer)) {
        upload->waits = upload->due = true;
        return CURL_READFUNC_PAUSE;
    }
    enum sp_upload next = transfer->send.upload->pull(transfer->user, bytes, size * n, &got);
    upload->last_ms = now_ms(transfer);
    upload->n_bytes += got;
    switch (next) {
    case SP_UPLOAD_MORE:
        if (upload->n_bytes == transfer->send.upload_bytes) {
            end(transfer); /* it does not ask for more */
        }
        return got;
    case SP_UPLOAD_WAIT:
        upload->waits = true;
        return CURL_READFUNC_PAUSE;
    case SP_UPLOAD_END:
        end(transfer);
        return 0;
    case SP_UPLOAD_BROKEN:
        break;
    }
    transfer->stopped = SP_CODE_BAD_REQUEST;
    transfer->stopped_why = "the request's body broke off";
    return CURL_READFUNC_ABORT;
}

/* libcurl wants to go back where it would send a request again. */
static int on_seek(void *user, curl_off_t offset, int origin)
{
    (void)user;
    (void)offset;
    (void)origin;
    return CURL_SEEKFUNC_FAIL;
}

bool upload_set(struct transfer *transfer)
{
    CURL *easy = transfer->easy;
    uint64_t n = transfer->send.upload_bytes;
    curl_off_t length = n > INT64_MAX ? -1 : (curl_off_t)n; /* unknown: chunks */
    transfer->upload.last_ms = now_ms(transfer);
    return !curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L) &&
           !curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, length) &&
           !curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read) &&
           !curl_easy_setopt(easy, CURLOPT_READDATA, transfer) &&
           !curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
}

void upload_resume(struct transfer *transfer)
{
    struct upload *upload = &transfer->upload;
    upload->due = upload->waits && lane_is_told(transfer);
    if (upload->waits && !upload->due) {
        upload->waits = false;
        upload->last_ms = now_ms(transfer);
        (void)curl_easy_pause(transfer->easy,
                              transfer->answer.paused ? CURLPAUSE_RECV : CURLPAUSE_CONT);
    }
}

bool upload_is_late(const struct transfer *transfer, uint64_t now)
{
    const struct sp_egress_config *config = &transfer->lane->egress->config;
    const struct upload *upload = &transfer->upload;
    if (upload->over) {
        return !transfer->answer.streams && now - upload->over_ms > config->total_ms;
    }
    return !upload->waits && now > upload->last_ms &&
           now - upload->last_ms > config->stream_idle_ms;
}
