/* Headers and bodies from anywhere: canonicalise, filter, judge. The input is a request in the
 * shape "METHOD URL\nname: value\n…\n\nbody". What is accepted must hold what the headers say.
 */
#include "canonical.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* Everything up to `end`, which is taken off as well. */
static struct sp_text take(struct sp_text *rest, char end)
{
    const char *at = rest->len ? memchr(rest->ptr, end, rest->len) : NULL;
    struct sp_text text = {rest->ptr, at ? (size_t)(at - rest->ptr) : rest->len};
    size_t gone = text.len + (at ? 1 : 0);
    *rest = (struct sp_text){rest->ptr + gone, rest->len - gone};
    return text;
}

static unsigned walk(const struct sp_value *value)
{
    unsigned deepest = 0;
    if (value->kind == SP_VALUE_ARRAY) {
        for (size_t i = 0; i < value->as.array.n; i++) {
            unsigned depth = walk(&value->as.array.items[i]);
            deepest = depth > deepest ? depth : deepest;
        }
    } else if (value->kind == SP_VALUE_OBJECT) {
        for (size_t i = 0; i < value->as.object.n; i++) {
            const struct sp_member *member = &value->as.object.items[i];
            /* No two members of one name: what is found by name is this one. */
            must(sp_value_get(value, member->name) == &member->value);
            unsigned depth = walk(&member->value);
            deepest = depth > deepest ? depth : deepest;
        }
    } else if (value->kind == SP_VALUE_STRING || value->kind == SP_VALUE_FORM) {
        must(sp_text_is_utf8(value->as.text));
    }
    return deepest + 1;
}

static void check_headers(const struct sp_request *request)
{
    for (size_t i = 0; i < request->n_headers; i++) {
        struct sp_text name = request->headers[i].name, value = request->headers[i].value;
        must(name.len > 0 && !sp_text_is(name, "host") && !sp_text_is(name, "authorization"));
        for (size_t k = 0; k < name.len; k++) {
            must(name.ptr[k] > ' ' && name.ptr[k] != ':' &&
                 !(name.ptr[k] >= 'A' && name.ptr[k] <= 'Z'));
        }
        for (size_t k = 0; k < value.len; k++) {
            must(value.ptr[k] != '\r' && value.ptr[k] != '\n' && value.ptr[k] != '\0');
        }
    }
}

static void check(struct sp_arena *arena, const struct sp_raw_request *raw)
{
    struct sp_request request;
    struct sp_error err = {""};
    struct sp_header kept[SP_HEADERS_MAX];
    struct sp_text dropped[SP_HEADERS_MAX];
    size_t n_kept, n_dropped;
    struct sp_trace trace;
    if (sp_canonical(arena, raw, &request, &err)) {
        must(*err.text != '\0');
        return;
    }
    check_headers(&request);
    sp_trace_read(&request, &trace);
    sp_headers_pass(&request, &trace, NULL, NULL, kept, &n_kept, dropped, &n_dropped);
    must(n_kept + n_dropped == request.n_headers);
    sp_judge_body(arena, &request);
    must(request.body.ptr == raw->body.ptr || request.body.len == 0);
    switch (request.body_kind) {
    case SP_BODY_NONE:
        must(raw->body.len == 0);
        break;
    case SP_BODY_JSON:
    case SP_BODY_FORM:
        must(request.body_value && walk(request.body_value) <= 64);
        break;
    case SP_BODY_OPAQUE:
        must(request.body_reason && !request.body_value);
        break;
    case SP_BODY_UNREAD:
    case SP_BODY_STREAMED: /* a front end's to say, before anything is read */
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_text rest = {(const char *)data, size};
    struct sp_raw_header headers[SP_HEADERS_MAX + 1];
    struct sp_raw_request raw = {.headers = headers};
    struct sp_arena arena;
    struct sp_text line = take(&rest, '\n');
    raw.method = take(&line, ' ');
    raw.url = line;
    while (rest.len > 0 && raw.n_headers <= SP_HEADERS_MAX) {
        line = take(&rest, '\n');
        if (line.len == 0) {
            break;
        }
        headers[raw.n_headers].name = take(&line, ':');
        headers[raw.n_headers++].value = line;
    }
    raw.body = rest;
    sp_arena_init(&arena, 1 << 20);
    check(&arena, &raw);
    sp_arena_done(&arena);
    return 0;
}
