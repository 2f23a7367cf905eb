#include "canonical.h"

#include <sodium.h>

/* Range is not among them: byte by byte it could carve an echoed key out of an answer, in
 * pieces that no guard knows (T31). A scope that is to allow it reads header.range. */
static bool is_core(struct sp_text name)
{
    static const char *const core[] = {
        "accept",          "accept-language",   "content-encoding", "content-type",
        "if-match",        "if-modified-since", "if-none-match",    "if-unmodified-since",
        "idempotency-key", "traceparent",       "tracestate",       "user-agent"};
    for (size_t i = 0; i < sizeof core / sizeof *core; i++) {
        if (sp_text_is(name, core[i])) {
            return true;
        }
    }
    return false;
}

static bool manifest_has(const struct sp_manifest *manifest, struct sp_text name)
{
    for (size_t i = 0; manifest && i < manifest->n_request_headers; i++) {
        if (sp_text_eq_fold(manifest->request_headers[i], name)) {
            return true;
        }
    }
    return false;
}

/* A trace context that is none goes nowhere, whoever reads it. */
static bool is_broken_trace(struct sp_text name, const struct sp_trace *trace)
{
    return (sp_text_is(name, "traceparent") && trace->id.len == 0) ||
           (sp_text_is(name, "tracestate") && !trace->has_state);
}

void sp_headers_pass(const struct sp_request *request, const struct sp_trace *trace,
                     const struct sp_manifest *manifest, const struct sp_scope *scope,
                     struct sp_header *ret_headers, size_t *ret_n_headers,
                     struct sp_text *ret_dropped, size_t *ret_n_dropped)
{
    size_t n_headers = 0, n_dropped = 0;
    for (size_t i = 0; i < request->n_headers; i++) {
        struct sp_text name = request->headers[i].name;
        bool passes = is_core(name) || manifest_has(manifest, name) ||
                      (scope && sp_scope_reads_header(scope, name));
        if (passes && !is_broken_trace(name, trace)) {
            ret_headers[n_headers++] = request->headers[i];
        } else {
            ret_dropped[n_dropped++] = name;
        }
    }
    *ret_n_headers = n_headers;
    *ret_n_dropped = n_dropped;
}

enum { IDEMPOTENCY_BYTES = 24, OF_CLIENT = 'c', OF_REQUEST_ID = 'r' };

/* The root has a fixed length, so no two (root, kind, text) are the same bytes. */
static sp_status idempotency_key(struct sp_arena *arena, struct sp_text root,
                                 unsigned char kind, struct sp_text text,
                                 struct sp_text *ret_key)
{
    unsigned char hash[IDEMPOTENCY_BYTES];
    char hex[2 * IDEMPOTENCY_BYTES + 1];
    crypto_generichash_state state;
    (void)crypto_generichash_init(&state, NULL, 0, sizeof hash);
    (void)crypto_generichash_update(&state, (const unsigned char *)root.ptr, root.len);
    (void)crypto_generichash_update(&state, &kind, 1);
    (void)crypto_generichash_update(&state, (const unsigned char *)text.ptr, text.len);
    (void)crypto_generichash_final(&state, hash, sizeof hash);
    (void)sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    *ret_key = sp_arena_copy(arena, sp_text_of(hex));
    return ret_key->ptr ? SP_OK : SP_ENOMEM;
}

sp_status sp_headers_idempotency(struct sp_arena *arena, const struct sp_manifest *manifest,
                                 struct sp_text root, struct sp_text request_id,
                                 unsigned method, struct sp_header *headers,
                                 size_t *in_out_n_headers)
{
    static const struct sp_text name = {"idempotency-key", 15};
    for (size_t i = 0; i < *in_out_n_headers; i++) {
        if (sp_text_eq(headers[i].name, name)) {
            return idempotency_key(arena, root, OF_CLIENT, headers[i].value, &headers[i].value);
        }
    }
    if (request_id.len == 0 || !(method & (SP_METHOD_POST | SP_METHOD_PATCH)) ||
        !manifest_has(manifest, name)) {
        return SP_OK;
    }
    struct sp_header *more = &headers[*in_out_n_headers];
    more->name = name;
    sp_status status = idempotency_key(arena, root, OF_REQUEST_ID, request_id, &more->value);
    *in_out_n_headers += status == SP_OK;
    return status;
}
