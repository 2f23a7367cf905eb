#include "http_answer.h"

#include <inttypes.h>
#include <stdio.h>

/* RFC 9110 section 15; for people alone, so a status that is not here goes without. */
static const char *phrase(int status)
{
    static const struct {
        int status;
        const char *text;
    } phrases[] = {{200, "OK"},
                   {201, "Created"},
                   {202, "Accepted"},
                   {204, "No Content"},
                   {206, "Partial Content"},
                   {301, "Moved Permanently"},
                   {302, "Found"},
                   {303, "See Other"},
                   {304, "Not Modified"},
                   {307, "Temporary Redirect"},
                   {308, "Permanent Redirect"},
                   {400, "Bad Request"},
                   {401, "Unauthorized"},
                   {402, "Payment Required"},
                   {403, "Forbidden"},
                   {404, "Not Found"},
                   {405, "Method Not Allowed"},
                   {408, "Request Timeout"},
                   {409, "Conflict"},
                   {410, "Gone"},
                   {412, "Precondition Failed"},
                   {413, "Content Too Large"},
                   {414, "URI Too Long"},
                   {415, "Unsupported Media Type"},
                   {416, "Range Not Satisfiable"},
                   {417, "Expectation Failed"},
                   {422, "Unprocessable Content"},
                   {429, "Too Many Requests"},
                   {431, "Request Header Fields Too Large"},
                   {500, "Internal Server Error"},
                   {502, "Bad Gateway"},
                   {503, "Service Unavailable"},
                   {504, "Gateway Timeout"},
                   {505, "HTTP Version Not Supported"}};
    for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++) {
        if (phrases[i].status == status) {
            return phrases[i].text;
        }
    }
    return "";
}

int sp_http_status_of(enum sp_code code)
{
    switch ((int)code) { /* what is not here is a fault of the host */
    case SP_CODE_BAD_REQUEST:
        return 400;
    case SP_CODE_TOKEN_INVALID:
    case SP_CODE_TOKEN_EXPIRED:
    case SP_CODE_TOKEN_REVOKED:
    case SP_CODE_TOKEN_BINDING:
        return 401;
    case SP_CODE_TOKEN_SUSPENDED:
    case SP_CODE_NOT_PERMITTED:
    case SP_CODE_NOT_ALLOWED:
    case SP_CODE_DENIED:
    case SP_CODE_KEY_NOT_IN_SCOPE:
    case SP_CODE_KEY_UNKNOWN:
    case SP_CODE_AMBIGUOUS_KEY:
    case SP_CODE_NOT_GRANTED:
        return 403;
    case SP_CODE_NOT_FOUND:
        return 404;
    case SP_CODE_TOO_LARGE:
        return 413;
    case SP_CODE_RATE_LIMITED:
    case SP_CODE_BUDGET_EXCEEDED:
        return 429;
    case SP_CODE_UPSTREAM_UNREACHABLE:
    case SP_CODE_UPSTREAM_FAILED:
    case SP_CODE_UPSTREAM_BLOCKED:
    case SP_CODE_RESPONSE_TOO_LARGE:
    case SP_CODE_RESPONSE_BLOCKED:
        return 502;
    case SP_CODE_UPSTREAM_TIMEOUT:
        return 504;
    case SP_CODE_SEALED:
    case SP_CODE_BUSY:
    case SP_CODE_SHUTTING_DOWN:
    case SP_CODE_CLOCK:
    case SP_CODE_AUDIT_UNAVAILABLE:
        return 503;
    default:
        return 500;
    }
}

static void put_status(struct sp_buf *buf, int status, bool close)
{
    sp_buf_addf(buf, "HTTP/1.1 %d %s\r\n", status, phrase(status));
    if (close) {
        sp_buf_add_str(buf, "connection: close\r\n");
    }
}

static void put_header(struct sp_buf *buf, struct sp_text name, struct sp_text value)
{
    sp_buf_add_text(buf, name);
    sp_buf_add_str(buf, ": ");
    sp_buf_add_text(buf, value);
    sp_buf_add_str(buf, "\r\n");
}

/* ---- the upstream's -------------------------------------------------------------------------
 */

static void put_upstream_header(struct sp_buf *buf, const struct sp_http_base *base,
                                const struct sp_header *header)
{
    if (sp_text_is(header->name, "link")) {
        struct sp_buf links;
        sp_buf_init(&links, buf->cap_bytes);
        if (sp_http_put_links(&links, base, header->value) > 0) {
            put_header(buf, header->name, sp_buf_text(&links));
        }
        buf->failed = buf->failed || links.failed;
        sp_buf_done(&links);
    } else if (sp_text_is(header->name, "location") ||
               sp_text_is(header->name, "content-location")) {
        sp_buf_add_text(buf, header->name);
        sp_buf_add_str(buf, ": ");
        sp_http_put_location(buf, base, header->value);
        sp_buf_add_str(buf, "\r\n");
    } else if (!sp_text_starts(header->name, SP_TEXT("sallyport-"))) { /* ours to say */
        put_header(buf, header->name, header->value);
    }
}

static void put_reply_head(struct sp_buf *buf, struct sp_http_form form,
                           const struct sp_http_base *base, const struct sp_proxied *result)
{
    const struct sp_reply *reply = result->reply;
    put_status(buf, reply->http_status, form.close);
    for (size_t i = 0; i < reply->n_headers; i++) {
        put_upstream_header(buf, base, &reply->headers[i]);
    }
    if (result->decision->observed) {
        sp_buf_add_str(buf, "sallyport-observed: true\r\n");
    }
}

void sp_http_put_stream_head(struct sp_buf *buf, struct sp_http_form form,
                             const struct sp_http_base *base, const struct sp_proxied *result)
{
    put_reply_head(buf, form, base, result);
    sp_buf_add_str(buf, "transfer-encoding: chunked\r\n\r\n");
}

void sp_http_put_trailers(struct sp_buf *buf, const struct sp_header *trailers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!sp_text_starts(trailers[i].name, SP_TEXT("sallyport-"))) { /* ours to say */
            put_header(buf, trailers[i].name, trailers[i].value);
        }
    }
}

/* Only chunks have an end that trailers could stand in. */
static void put_chunked(struct sp_buf *buf, const struct sp_reply *reply)
{
    sp_buf_add_str(buf, "trailer: ");
    for (size_t i = 0; i < reply->n_trailers; i++) {
        sp_buf_add_str(buf, i ? ", " : "");
        sp_buf_add_text(buf, reply->trailers[i].name);
    }
    sp_buf_add_str(buf, "\r\ntransfer-encoding: chunked\r\n\r\n");
    if (reply->body.len > 0) {
        sp_buf_addf(buf, "%zx\r\n", reply->body.len);
        sp_buf_add_text(buf, reply->body);
        sp_buf_add_str(buf, "\r\n");
    }
    sp_buf_add_str(buf, "0\r\n");
    sp_http_put_trailers(buf, reply->trailers, reply->n_trailers);
    sp_buf_add_str(buf, "\r\n");
}

void sp_http_put_reply(struct sp_buf *buf, struct sp_http_form form,
                       const struct sp_http_base *base, const struct sp_proxied *result)
{
    const struct sp_reply *reply = result->reply;
    bool bodyless = form.head || reply->http_status == 204 || reply->http_status == 304;
    put_reply_head(buf, form, base, result);
    if (!bodyless && form.trailers && reply->n_trailers > 0) {
        put_chunked(buf, reply);
        return;
    }
    if (!bodyless) {
        sp_buf_addf(buf, "content-length: %zu\r\n", reply->body.len);
    }
    sp_buf_add_str(buf, "\r\n");
    if (!bodyless) {
        sp_buf_add_text(buf, reply->body);
    }
}

/* ---- ours -----------------------------------------------------------------------------------
 */

static void put_member(struct sp_buf *buf, const char *name, const char *value)
{
    sp_buf_addf(buf, ",\"%s\":", name);
    sp_buf_add_json(buf, sp_text_of(value));
}

static void put_problem(struct sp_buf *buf, int status, const struct sp_decision *decision)
{
    char said[600];
    const char *code = sp_code_name(decision->code);
    (void)snprintf(said, sizeof said, "sallyport: %s: %s%s%s", code, decision->reason,
                   decision->hint[0] ? "; " : "", decision->hint);
    sp_buf_addf(buf, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d", phrase(status),
                status);
    put_member(buf, "detail", decision->reason);
    put_member(buf, "code", code);
    put_member(buf, "reason", decision->reason);
    put_member(buf, "rule", decision->rule);
    put_member(buf, "hint", decision->hint);
    sp_buf_addf(buf, ",\"retryable\":%s", sp_code_retryable(decision->code) ? "true" : "false");
    put_member(buf, "message", said);
    sp_buf_addf(buf, ",\"error\":{\"type\":\"sallyport_refusal\"");
    put_member(buf, "code", code);
    put_member(buf, "message", said);
    sp_buf_add_str(buf, "}}\n");
}

static void put_refusal(struct sp_buf *buf, struct sp_http_form form, int status,
                        const struct sp_decision *decision)
{
    struct sp_buf problem;
    sp_buf_init(&problem, 16 << 10);
    put_problem(&problem, status, decision);
    put_status(buf, status, form.close);
    /* charset means nothing to JSON; without it Octokit does not show a body it has no name for
     */
    sp_buf_addf(
        buf,
        "content-type: application/problem+json; charset=utf-8\r\ncontent-length: %zu\r\n"
        "cache-control: no-store\r\n",
        problem.len);
    if (status == 401) { /* git sends its credential only when it is asked for one */
        sp_buf_add_str(buf, "www-authenticate: Bearer realm=\"sallyport\"\r\n"
                            "www-authenticate: Basic realm=\"sallyport\"\r\n");
    }
    if (decision->retry_after_ms > 0) {
        sp_buf_addf(buf, "retry-after: %" PRIu64 "\r\n",
                    (decision->retry_after_ms + 999) / 1000);
    } else if (sp_code_retryable(decision->code)) {
        sp_buf_add_str(buf, "retry-after: 1\r\n");
    }
    if (!sp_code_retryable(decision->code)) {
        sp_buf_add_str(buf, "stripe-should-retry: false\r\nx-should-retry: false\r\n");
    }
    sp_buf_add_str(buf, "\r\n");
    if (!form.head) {
        sp_buf_add_text(buf, sp_buf_text(&problem));
    }
    buf->failed = buf->failed || problem.failed;
    sp_buf_done(&problem);
}

void sp_http_put_refusal(struct sp_buf *buf, struct sp_http_form form,
                         const struct sp_decision *decision)
{
    put_refusal(buf, form, sp_http_status_of(decision->code), decision);
}

void sp_http_put_fault(struct sp_buf *buf, int status, const char *reason)
{
    struct sp_decision decision = {.code = status == 413 || status == 414 || status == 431
                                               ? SP_CODE_TOO_LARGE
                                               : SP_CODE_BAD_REQUEST};
    (void)snprintf(decision.reason, sizeof decision.reason, "%s", reason);
    put_refusal(buf, (struct sp_http_form){.close = true}, status, &decision);
}
