/* The error codes of the protocol: one table from which names, retryable flags and the test of
 * docs/protocol.md are made. A name, once published, never changes its meaning. */
#ifndef SP_CODE_H
#define SP_CODE_H

#include <stdbool.h>

/* X(constant, name, retryable, meaning) - retryable: the same request may succeed later without
 * anybody changing it; an operator may have to do something first. */
#define SP_CODES(X)                                                                            \
    X(SP_CODE_OK, "ok", false, "no error")                                                     \
    X(SP_CODE_BAD_REQUEST, "bad_request", false,                                               \
      "the message, URL, header or body is malformed or ambiguous")                            \
    X(SP_CODE_UNKNOWN_OP, "unknown_op", false, "no such operation on this socket")             \
    X(SP_CODE_TOO_LARGE, "too_large", false, "over a size limit")                              \
    X(SP_CODE_SEALED, "sealed", true, "the host is sealed; an operator has to unseal it")      \
    X(SP_CODE_BUSY, "busy", true, "a queue is full")                                           \
    X(SP_CODE_SHUTTING_DOWN, "shutting_down", true, "the host is draining")                    \
    X(SP_CODE_NOT_PERMITTED, "not_permitted", false, "this client may not use this operation") \
    X(SP_CODE_TOKEN_INVALID, "token_invalid", false, "malformed, unknown or forged token")     \
    X(SP_CODE_TOKEN_EXPIRED, "token_expired", false, "the token's life is over")               \
    X(SP_CODE_TOKEN_REVOKED, "token_revoked", false, "the token was revoked")                  \
    X(SP_CODE_TOKEN_SUSPENDED, "token_suspended", false,                                       \
      "answers to its calls held the key three times; an administrator may resume it")         \
    X(SP_CODE_TOKEN_BINDING, "token_binding", false,                                           \
      "the token is bound to another client key")                                              \
    X(SP_CODE_CLOCK, "clock", true, "the host's clock stands behind its high-water mark")      \
    X(SP_CODE_NOT_ALLOWED, "not_allowed", false, "no rule of the scope allows this")           \
    X(SP_CODE_DENIED, "denied", false, "a deny rule of the scope fires")                       \
    X(SP_CODE_RATE_LIMITED, "rate_limited", true, "a rate is used up for now")                 \
    X(SP_CODE_BUDGET_EXCEEDED, "budget_exceeded", true, "a budget has no room for it now")     \
    X(SP_CODE_KEY_NOT_IN_SCOPE, "key_not_in_scope", false,                                     \
      "the scope does not name this key, or no key of it covers the host")                     \
    X(SP_CODE_KEY_UNKNOWN, "key_unknown", false, "the key was removed")                        \
    X(SP_CODE_AMBIGUOUS_KEY, "ambiguous_key", false, "two keys fit; name one")                 \
    X(SP_CODE_SCOPE_UNKNOWN, "scope_unknown", false, "no such scope")                          \
    X(SP_CODE_NOT_GRANTED, "not_granted", false, "the principal may not issue this")           \
    X(SP_CODE_LIVE_LIMIT, "live_limit", true,                                                  \
      "the principal has its full number of live tokens")                                      \
    X(SP_CODE_CONFLICT, "conflict", false, "this request id names another request")            \
    X(SP_CODE_OUTCOME_UNKNOWN, "outcome_unknown", false,                                       \
      "the call was begun before a crash; nobody knows how it ended")                          \
    X(SP_CODE_ANSWER_DROPPED, "answer_dropped", false,                                         \
      "the call was made once; its answer was too large to keep")                              \
    X(SP_CODE_AUDIT_UNAVAILABLE, "audit_unavailable", true,                                    \
      "the audit cannot be written, so no key is used")                                        \
    X(SP_CODE_UPSTREAM_UNREACHABLE, "upstream_unreachable", true,                              \
      "no connection to the upstream; it saw nothing")                                         \
    X(SP_CODE_UPSTREAM_FAILED, "upstream_failed", false,                                       \
      "the connection broke; the upstream may have acted")                                     \
    X(SP_CODE_UPSTREAM_TIMEOUT, "upstream_timeout", false,                                     \
      "no full answer in time; the upstream may have acted")                                   \
    X(SP_CODE_UPSTREAM_BLOCKED, "upstream_blocked", false,                                     \
      "the upstream's address is one that keys are never sent to")                             \
    X(SP_CODE_RESPONSE_TOO_LARGE, "response_too_large", false,                                 \
      "the upstream acted; its answer is over the limit")                                      \
    X(SP_CODE_RESPONSE_BLOCKED, "response_blocked", false,                                     \
      "the upstream acted; its answer held the key, or could not be redacted")                 \
    X(SP_CODE_EXISTS, "exists", false, "there is one of that name already")                    \
    X(SP_CODE_NOT_FOUND, "not_found", false, "no such thing")                                  \
    X(SP_CODE_INTERNAL, "internal", false, "a fault of the host; its log says more")

#define SP_CODE_CONSTANT(constant, name, retryable, meaning) constant,
enum sp_code { SP_CODES(SP_CODE_CONSTANT) SP_CODE_COUNT };
#undef SP_CODE_CONSTANT

const char *sp_code_name(enum sp_code code);
const char *sp_code_meaning(enum sp_code code);
bool sp_code_retryable(enum sp_code code);

#endif
