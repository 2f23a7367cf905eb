/* What comes back: collected under caps, searched for the key, cut down to what a client may
 * have. */
#include "egress_inner.h"
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { RESERVE_MAX_BYTES = 256 << 10 };

void answer_init(struct answer *answer, const struct sp_egress_config *config)
{
    *answer = (struct answer){.final_start = 0};
    sp_wipe_buf_init(&answer->head, config->header_max_bytes);
    sp_wipe_buf_init(&answer->body, config->response_max_bytes);
}

void answer_done(struct answer *answer)
{
    sp_wipe_buf_done(&answer->head);
    sp_wipe_buf_done(&answer->body);
    sp_guard_stream_free(answer->search);
    sp_guard_free(answer->guard);
}

static size_t stop(struct transfer *transfer, enum sp_code code, const char *why)
{
    transfer->stopped = code;
    transfer->stopped_why = why;
    return 0; /* other than what was given: libcurl ends the transfer */
}

/* ---- how it ended ---------------------------------------------------------------------------
 */

static void set(struct sp_reply *reply, enum sp_code code, const char *reason)
{
    reply->code = code;
    (void)snprintf(reply->reason, sizeof reply->reason, "%s", reason);
}

/* ---- as it comes ----------------------------------------------------------------------------
 */

/* Server-sent events, as the final response's own head says (RFC 9110 section 8.3). */
static bool is_event_stream(struct transfer *transfer)
{
    char *type = NULL;
    long status = 0;
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_TYPE, &type);
    static const char events[] = "text/event-stream";
    return status >= 200 && type && strncasecmp(type, events, sizeof events - 1) == 0 &&
           strchr("; \t", type[sizeof events - 1]);
}

/* Let go what the guard lets go, in order. False: the transfer ends. */
static bool stream_data(struct transfer *transfer, struct sp_text bytes)
{
    static const char held_key[] = "the upstream's answer held the key; it was cut off";
    struct answer *answer = &transfer->answer;
    size_t held = 0;
    answer->last_ms = uv_now(transfer->lane->egress->config.loop);
    if (sp_guard_stream_feed(answer->search, bytes, &held)) {
        transfer->held_key = true;
        return stop(transfer, SP_CODE_RESPONSE_BLOCKED, held_key);
    }
    sp_wipe_buf_add_text(&answer->body, bytes);
    if (answer->body.failed) {
        return stop(transfer, SP_CODE_INTERNAL, "out of memory");
    }
    /* Of a beginning that has grown long, the first bytes may be gone already. */
    held = held < answer->body.len ? held : answer->body.len;
    size_t ready = answer->body.len - held;
    if (ready == 0) {
        return true;
    }
    enum sp_stream next =
        transfer->send.stream->data(transfer->user, (struct sp_text){answer->body.ptr, ready});
    answer->n_streamed += ready;
    memmove(answer->body.ptr, answer->body.ptr + ready, held);
    answer->body.len = held;
    answer->waits = next == SP_STREAM_WAIT;
    return next != SP_STREAM_GONE ||
           stop(transfer, SP_CODE_UPSTREAM_FAILED, "the client went away");
}

/* The time for a whole answer is not for one that streams; silence is. */
static void stream_times(struct transfer *transfer)
{
    (void)curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS, 0L);
    streams_watch(transfer->lane->egress);
}

/* Hand on the head, and what came of the body. False: the transfer ends. */
static bool stream_begin(struct transfer *transfer)
{
    struct answer *answer = &transfer->answer;
    struct sp_header headers[EGRESS_REPLY_HEADERS_MAX];
    struct sp_reply reply = {.code = SP_CODE_OK, .sent = true};
    long http_status = 0;
    if (!transfer->send.stream || answer->collects) {
        return true;
    }
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &http_status);
    if (sp_guard_new(transfer->send.key, transfer->send.plan, &answer->guard) ||
        sp_guard_stream_new(answer->guard, &answer->search)) {
        return stop(transfer, SP_CODE_RESPONSE_BLOCKED,
                    "the upstream's answer could not be searched for the key");
    }
    sp_status found = sp_guard_check(answer->guard, sp_wipe_buf_text(&answer->head));
    if (found) {
        transfer->held_key = found == SP_EDENIED;
        return stop(transfer, SP_CODE_RESPONSE_BLOCKED,
                    "the upstream's answer held the key; it was not passed on");
    }
    int n = headers_parse(answer, headers);
    if (n < 0) {
        return stop(transfer, SP_CODE_UPSTREAM_FAILED,
                    "the upstream's response headers are malformed");
    }
    reply.http_status = (int)http_status;
    reply.headers = headers;
    reply.n_headers = headers_pick(transfer, reply.http_status, headers, (size_t)n);
    if (!transfer->send.stream->head(transfer->user, &reply)) {
        answer->collects = true;
        return true;
    }
    answer->streams = true;
    answer->last_ms = uv_now(transfer->lane->egress->config.loop);
    stream_times(transfer);
    struct sp_wipe_buf so_far = answer->body;
    sp_wipe_buf_init(&answer->body, so_far.cap_bytes);
    bool goes_on = so_far.len == 0 || stream_data(transfer, sp_wipe_buf_text(&so_far));
    sp_wipe_buf_done(&so_far);
    return goes_on;
}

/* The end of it: what was held back goes on, or it was the key. */
static void stream_end(struct transfer *transfer, struct sp_reply *reply)
{
    struct answer *answer = &transfer->answer;
    struct sp_text trailers = sp_wipe_buf_text(&answer->head);
    trailers.ptr += answer->final_end;
    trailers.len -= answer->final_end;
    bool held = sp_guard_stream_end(answer->search) != SP_OK;
    sp_status found = sp_guard_check(answer->guard, trailers);
    if (held || found) {
        transfer->held_key = held || found == SP_EDENIED;
        set(reply, SP_CODE_RESPONSE_BLOCKED,
            "the upstream's answer held the key; it was cut off");
        return;
    }
    if (answer->body.len > 0) {
        (void)transfer->send.stream->data(transfer->user, sp_wipe_buf_text(&answer->body));
        answer->n_streamed += answer->body.len;
    }
}

bool answer_is_whole(const struct transfer *transfer)
{
    const struct answer *answer = &transfer->answer;
    curl_off_t length = -1; /* where it is in chunks: libcurl tells nobody of the last one */
    if (!transfer->easy || !answer->ended || answer->paused) {
        return false;
    }
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    return length >= 0 && answer->n_body == (uint64_t)length;
}

/* Who says no before all of the request is there does not want the rest. libcurl knows that,
 * but where the answer says `Connection: close` it goes on. */
static bool is_final(const struct transfer *transfer)
{
    long status = 0;
    curl_off_t n_sent = 0;
    const struct sp_send *send = &transfer->send;
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_UPLOAD_T, &n_sent);
    bool sends =
        send->upload ? !transfer->upload.over : (uint64_t)n_sent < send->request->body.len;
    return status >= 300 && sends && answer_is_whole(transfer);
}

size_t answer_on_header(char *bytes, size_t size, size_t n, void *user)
{
    struct transfer *transfer = user;
    struct answer *answer = &transfer->answer;
    struct sp_text line = {bytes, size * n};
    if (sp_text_starts(line, SP_TEXT("HTTP/")) && !answer->ended) {
        answer->final_start = answer->head.len; /* after 1xx comes another */
        answer->final_end = 0;
    }
    sp_wipe_buf_add_text(&answer->head, line);
    if (answer->head.failed) {
        return stop(transfer, SP_CODE_RESPONSE_TOO_LARGE,
                    "the upstream's response headers are over the limit");
    }
    if (!answer->ended && (sp_text_is(line, "\r\n") || sp_text_is(line, "\n"))) {
        long status = 0;
        (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
        answer->final_end = answer->head.len;
        answer->ended = status >= 200;
        bool events = is_event_stream(transfer);
        if (events && transfer->send.refuses_events) {
            return stop(transfer, SP_CODE_RESPONSE_BLOCKED,
                        "the scope redacts answers, and an event stream cannot be redacted");
        }
        if ((events && !stream_begin(transfer)) || (answer->ended && is_final(transfer))) {
            return 0;
        }
    }
    return line.len;
}

/* False: the transfer ends. */
static bool take_body(struct transfer *transfer, struct sp_text bytes)
{
    struct sp_wipe_buf *body = &transfer->answer.body;
    curl_off_t length = 0;
    if (transfer->answer.streams) {
        return stream_data(transfer, bytes);
    }
    if (!body->ptr) {
        (void)curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
        if (length > 0 && length <= RESERVE_MAX_BYTES && (size_t)length <= body->cap_bytes) {
            sp_wipe_buf_reserve(body, (size_t)length);
        }
    }
    sp_wipe_buf_add_text(body, bytes);
    if (body->failed) {
        return stop(transfer, SP_CODE_RESPONSE_TOO_LARGE,
                    "the upstream's answer is over the limit");
    }
    return body->len < EGRESS_STREAM_BYTES || stream_begin(transfer);
}

size_t answer_on_body(char *bytes, size_t size, size_t n, void *user)
{
    struct transfer *transfer = user;
    struct answer *answer = &transfer->answer;
    if (answer->waits) {
        answer->paused = true;
        return CURL_WRITEFUNC_PAUSE; /* not taken: it comes again */
    }
    if (!take_body(transfer, (struct sp_text){bytes, size * n})) {
        return 0;
    }
    answer->n_body += size * n;
    return is_final(transfer) ? 0 : size * n;
}

/* ---- why it ended ---------------------------------------------------------------------------
 */

/* libcurl's own error texts quote what the other side sent, a certificate's names among it, so
 * none of them is passed on. */
static void explain_tls(struct transfer *transfer, struct sp_reply *reply)
{
    long verify = 0;
    struct sp_text host = transfer->send.request->url.host;
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_SSL_VERIFYRESULT, &verify);
    reply->code = SP_CODE_UPSTREAM_UNREACHABLE;
    /* Both mean that the chain was fine: libcurl compares names before it asks for a result. */
    if (verify == X509_V_OK || verify == X509_V_ERR_UNSPECIFIED) {
        (void)snprintf(reply->reason, sizeof reply->reason,
                       "the upstream's certificate is not for %.*s", (int)host.len, host.ptr);
    } else {
        (void)snprintf(reply->reason, sizeof reply->reason,
                       "the upstream's certificate is not to be trusted: %s",
                       X509_verify_cert_error_string(verify));
    }
}

static const char *explain_connect(CURLcode result)
{
    switch ((int)result) { /* a few of a hundred */
    case CURLE_COULDNT_RESOLVE_HOST:
        return "the upstream's name does not resolve";
    case CURLE_OPERATION_TIMEDOUT:
        return "no connection to the upstream in time";
    case CURLE_SSL_CONNECT_ERROR:
        return "the TLS handshake with the upstream failed";
    case CURLE_SSL_CACERT_BADFILE:
        return "the file of certificate authorities cannot be read (ca_file)";
    default:
        return "no connection to the upstream";
    }
}

static const char *explain_broken(CURLcode result)
{
    switch ((int)result) {
    case CURLE_GOT_NOTHING:
        return "the upstream closed the connection without an answer";
    case CURLE_PARTIAL_FILE:
        return "the upstream closed the connection in the middle of its answer";
    case CURLE_BAD_CONTENT_ENCODING:
        return "the upstream's answer is in an encoding that cannot be read";
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
        return "the upstream's answer is not HTTP";
    default:
        return "the connection to the upstream broke";
    }
}

static void explain(struct transfer *transfer, CURLcode result, struct sp_reply *reply)
{
    if (transfer->stopped != SP_CODE_OK) {
        set(reply, transfer->stopped, transfer->stopped_why);
    } else if (result == CURLE_PEER_FAILED_VERIFICATION) {
        explain_tls(transfer, reply);
    } else if (!transfer->sent && transfer->refused && transfer->n_tries == 0) {
        reply->code = SP_CODE_UPSTREAM_BLOCKED;
        (void)snprintf(
            reply->reason, sizeof reply->reason,
            "the upstream's name leads to an address that keys are never sent to (%s)",
            transfer->refused);
    } else if (!transfer->sent) {
        set(reply, SP_CODE_UPSTREAM_UNREACHABLE, explain_connect(result));
    } else if (result == CURLE_OPERATION_TIMEDOUT) {
        set(reply, SP_CODE_UPSTREAM_TIMEOUT, "the upstream did not answer in full in time");
    } else {
        set(reply, SP_CODE_UPSTREAM_FAILED, explain_broken(result));
    }
}

/* The whole of it, status lines, interim responses and trailers too, before anything goes on.
 */
static sp_status search(const struct transfer *transfer)
{
    struct sp_guard *guard = NULL;
    sp_status status = sp_guard_new(transfer->send.key, transfer->send.plan, &guard);
    if (!status) {
        status = sp_guard_check(guard, sp_wipe_buf_text(&transfer->answer.head));
    }
    if (!status && !transfer->send.leaves_body) {
        status = sp_guard_check(guard, sp_wipe_buf_text(&transfer->answer.body));
    }
    sp_guard_free(guard);
    return status;
}

bool answer_deliver(struct transfer *transfer, CURLcode result)
{
    struct sp_reply reply = {.code = SP_CODE_OK, .sent = transfer->sent};
    struct sp_header headers[EGRESS_REPLY_HEADERS_MAX], trailers[EGRESS_TRAILERS_MAX];
    struct answer *answer = &transfer->answer;
    curl_off_t total_us = 0;
    long http_status = 0;
    int n = 0;
    if (transfer->easy) {
        (void)curl_easy_getinfo(transfer->easy, CURLINFO_TOTAL_TIME_T, &total_us);
        (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &http_status);
    }
    reply.upstream_us = (uint64_t)total_us;
    sp_status found = SP_OK;
    reply.streamed = answer->streams;
    reply.http_status = answer->streams ? (int)http_status : 0;
    if (transfer->stopped != SP_CODE_OK || result != CURLE_OK) {
        explain(transfer, result, &reply);
    } else if (answer->streams) {
        stream_end(transfer, &reply);
    } else if ((found = search(transfer)) != SP_OK) {
        transfer->held_key = found == SP_EDENIED;
        set(&reply, SP_CODE_RESPONSE_BLOCKED,
            found == SP_EDENIED ? "the upstream's answer held the key; it was not passed on"
                                : "the upstream's answer could not be searched for the key");
    } else if ((n = headers_parse(answer, headers)) < 0) {
        set(&reply, SP_CODE_UPSTREAM_FAILED, "the upstream's response headers are malformed");
    } else {
        reply.http_status = (int)http_status;
        reply.headers = headers;
        reply.n_headers = headers_pick(transfer, reply.http_status, headers, (size_t)n);
        reply.body = sp_wipe_buf_text(&answer->body);
    }
    if (reply.code == SP_CODE_OK) {
        reply.trailers = trailers;
        reply.n_trailers = headers_pick_trailers(answer, trailers);
    }
    reply.streamed_bytes = answer->n_streamed;
    reply.sent_bytes = transfer->send.upload ? transfer->upload.n_bytes
                       : transfer->sent      ? transfer->send.request->body.len
                                             : 0;
    reply.held_key = transfer->held_key;
    transfer->done(transfer->user, &reply);
    return reply.code == SP_CODE_OK;
}
