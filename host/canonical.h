/* From what a front end received to the canonical request (policy-lang/request.h), and what may
 * go on from there. Both front ends call these same functions.
 */
#ifndef SP_CANONICAL_H
#define SP_CANONICAL_H

#include "policy.h"
#include "provider.h"
#include "request.h"
#include "trace.h"

enum {
    SP_HEADERS_MAX = 64,
    SP_HEADER_VALUE_MAX_BYTES = 8192,
    SP_BODY_JUDGED_MAX_BYTES = 1 << 20, /* a larger body is OPAQUE to rules */
};

struct sp_raw_header {
    struct sp_text name, value;
};
struct sp_raw_request {
    struct sp_text method, url;
    const struct sp_raw_header *headers;
    size_t n_headers;
    struct sp_text body; /* .ptr NULL: none */
};

/* Canonicalise everything: method, URL, headers (names to lower case, token syntax of RFC 9110
 * section 5.6.2, values trimmed; CR, LF, NUL refused). Headers that are never a client's are
 * refused by name, with what to do instead: Host, Authorization, Proxy-*, Cookie, Connection
 * and hop-by-hop, Content-Length, Transfer-Encoding, Forwarded, X-Forwarded-*, X-Original-URL,
 * X-Rewrite-URL, X-HTTP-Method-Override and its kin, Expect, Upgrade, Trailer, TE. */
sp_status sp_canonical(struct sp_arena *arena, const struct sp_raw_request *raw,
                       struct sp_request *ret_request, struct sp_error *err);

/* sp_engine_config.judge_body: by Content-Type and Content-Encoding, JSON through jansson
 * (duplicate keys refused at any depth; numbers that are no int64 become NUMBER) or
 * urlencoded pairs; everything else, and whatever is broken, is OPAQUE with a reason. */
void sp_judge_body(struct sp_arena *arena, struct sp_request *request);

/* The headers of the request that go upstream: the core set (accept, accept-language,
 * content-type, if-match, if-none-match, if-modified-since, if-unmodified-since, user-agent,
 * idempotency-key, traceparent, tracestate; content-encoding), what the manifest adds,
 * and what a condition of the scope reads. trace: the request's (sp_trace_read). ret_headers
 * has room for request->n_headers; the names of those left behind go to ret_dropped (same
 * room). */
void sp_headers_pass(const struct sp_request *request, const struct sp_trace *trace,
                     const struct sp_manifest *manifest, const struct sp_scope *scope,
                     struct sp_header *ret_headers, size_t *ret_n_headers,
                     struct sp_text *ret_dropped, size_t *ret_n_dropped);

/* Idempotency keys are looked up upstream by the one key that all clients share, so a client's
 * own would find another's answer. It is sent as a hash of it with the token's root. Where the
 * client sent none, the method is POST or PATCH, the request has an id, and the manifest lists
 * `idempotency-key`, one is made of root and id: the same request again has the same one.
 * headers has room for one more. SP_ENOMEM. */
sp_status sp_headers_idempotency(struct sp_arena *arena, const struct sp_manifest *manifest,
                                 struct sp_text root, struct sp_text request_id,
                                 unsigned method, struct sp_header *headers,
                                 size_t *in_out_n_headers);

#endif
