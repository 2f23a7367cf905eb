/* Any bytes as a connection of the HTTP front door: the first byte says in what steps they come
 * and on which kind of listener. What is read in steps is what is read at once; each request
 * ends where a second, simpler reading of its framing says it does; what goes on from it holds
 * no header that is never a client's. */
#include "http_call.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BODY_MAX_BYTES = 4096 };

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static size_t feed(struct sp_http_reader *reader, struct sp_text bytes, size_t step)
{
    size_t at = 0, used;
    while (at < bytes.len && reader->state != SP_HTTP_WHOLE &&
           reader->state != SP_HTTP_BROKEN) {
        size_t n = bytes.len - at < step ? bytes.len - at : step;
        (void)sp_http_feed(reader, (struct sp_text){bytes.ptr + at, n}, &used);
        require(used <= n && (used > 0 || reader->state == SP_HTTP_BROKEN));
        at += used;
    }
    return at;
}

/* The strictest reading of chunks that there is: hex, CRLF, that many bytes, CRLF. */
static size_t chunked_len(struct sp_text text)
{
    size_t at = 0;
    for (;;) {
        char *end;
        unsigned long long n = strtoull(text.ptr + at, &end, 16);
        at = (size_t)(end - text.ptr);
        require(at + 2 + n + 2 <= text.len && memcmp(text.ptr + at, "\r\n", 2) == 0);
        at += 2 + n;
        require(memcmp(text.ptr + at, "\r\n", 2) == 0);
        at += 2;
        if (n == 0) {
            return at;
        }
    }
}

static struct sp_text header(const struct sp_http_request *request, const char *name)
{
    struct sp_text found = {NULL, 0};
    for (size_t i = 0; i < request->n_headers; i++) {
        if (sp_text_eq_fold(request->headers[i].name, sp_text_of(name))) {
            require(!found.ptr);
            found = request->headers[i].value;
        }
    }
    return found;
}

static void check_end(const struct sp_http_request *request, struct sp_text bytes, size_t used)
{
    const char *blank = memmem(bytes.ptr, bytes.len, "\r\n\r\n", 4);
    require(blank != NULL);
    size_t head = (size_t)(blank - bytes.ptr) + 4;
    struct sp_text length = header(request, "content-length");
    struct sp_text coding = header(request, "transfer-encoding");
    require(!length.ptr || !coding.ptr);
    if (coding.ptr) {
        require(used ==
                head + chunked_len((struct sp_text){bytes.ptr + head, bytes.len - head}));
    } else {
        size_t n = length.ptr ? strtoull(length.ptr, NULL, 10) : 0;
        require(used == head + n && request->body.len == n);
        require(n == 0 || memcmp(request->body.ptr, bytes.ptr + head, n) == 0);
    }
}

static void check_call(struct sp_arena *arena, const struct sp_http_request *request,
                       enum sp_http_mode mode)
{
    struct sp_http_route route = {mode, SP_TEXT("stripe")};
    struct sp_http_call call;
    struct sp_decision decision;
    struct sp_request canonical;
    struct sp_error err;
    sp_http_call_read(arena, &route, request, SP_TEXT(""), &call, &decision);
    require((decision.code == SP_CODE_OK) == (decision.reason[0] == '\0'));
    if (decision.code == SP_CODE_OK) {
        require(call.token.len > 0);
        struct sp_raw_request raw = {
            .method = request->method,
            .url = sp_http_call_url(arena, &call, SP_TEXT("api.stripe.com")),
            .headers = call.headers,
            .n_headers = call.n_headers,
            .body = request->body};
        if (sp_canonical(arena, &raw, &canonical, &err) == SP_OK) {
            require(sp_text_is(canonical.url.host, "api.stripe.com"));
            require(canonical.url.https && canonical.url.port == 443);
            require(!sp_request_header(&canonical, "authorization"));
            require(!sp_request_header(&canonical, "host"));
            require(!sp_request_header(&canonical, "x-api-key"));
            require(!sp_request_header(&canonical, "connection"));
        }
    }
    sp_http_call_wipe(&call);
}

/* The same request with its body taken while it comes: no other end, and the same body. */
static void check_passing(struct sp_text bytes, size_t used_whole, struct sp_text body,
                          size_t step)
{
    struct sp_http_reader reader;
    char taken[37];
    size_t used, at = 0, n_body = 0, n;
    sp_http_reader_init(&reader, BODY_MAX_BYTES);
    while (reader.state == SP_HTTP_HEAD || reader.state == SP_HTTP_BODY) {
        size_t len = bytes.len - at < step ? bytes.len - at : step;
        enum sp_http_state before = reader.state;
        (void)sp_http_feed(&reader, (struct sp_text){bytes.ptr + at, len}, &used);
        at += used;
        if (before == SP_HTTP_HEAD && reader.state == SP_HTTP_BODY) {
            (void)sp_http_pass(&reader, BODY_MAX_BYTES);
        }
        while (step % 2 && (n = sp_http_body_take(&reader, taken, sizeof taken)) > 0) {
            require(n_body + n <= body.len && memcmp(body.ptr + n_body, taken, n) == 0);
            n_body += n;
        }
    }
    require(reader.state == SP_HTTP_WHOLE && at == used_whole);
    while ((n = sp_http_body_take(&reader, taken, sizeof taken)) > 0) {
        require(n_body + n <= body.len && memcmp(body.ptr + n_body, taken, n) == 0);
        n_body += n;
    }
    require(n_body == body.len);
    sp_http_reader_done(&reader);
}

static void check_connection(struct sp_text bytes, size_t step, enum sp_http_mode mode)
{
    struct sp_http_reader whole, steps;
    sp_http_reader_init(&whole, BODY_MAX_BYTES);
    sp_http_reader_init(&steps, BODY_MAX_BYTES);
    while (bytes.len > 0) {
        size_t used = feed(&whole, bytes, SIZE_MAX);
        size_t used_too = feed(&steps, bytes, step);
        require(whole.state == steps.state);
        if (whole.state != SP_HTTP_WHOLE) {
            require(whole.state != SP_HTTP_BROKEN ||
                    (whole.status == steps.status && whole.reason && steps.reason));
            break;
        }
        require(used == used_too && sp_text_eq(whole.request.body, steps.request.body));
        check_end(&whole.request, bytes, used);
        check_passing(bytes, used, whole.request.body, step);
        struct sp_arena arena;
        sp_arena_init(&arena, 16 << 20);
        check_call(&arena, &whole.request, mode);
        sp_arena_done(&arena);
        bytes = (struct sp_text){bytes.ptr + used, bytes.len - used};
        sp_http_next(&whole);
        sp_http_next(&steps);
    }
    sp_http_reader_done(&whole);
    sp_http_reader_done(&steps);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    /* A NUL behind it, for strtoull above. */
    char *copy = malloc(size + 1);
    require(copy != NULL);
    memcpy(copy, data, size);
    copy[size] = '\0';
    check_connection((struct sp_text){copy + 1, size - 1}, (size_t)(data[0] & 63) + 1,
                     (enum sp_http_mode)(data[0] >> 6) % 3);
    free(copy);
    return 0;
}
