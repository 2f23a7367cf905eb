/* sp_http_answer: answers as bytes of HTTP/1.1.
 *
 * An upstream's answer goes on with its status, its headers (egress has taken off what is of
 * one connection and what is a credential) and its body; Link and Location lead back to the
 * front door. A refusal of ours is application/problem+json (RFC 9457) with code, reason, rule
 * and hint, so that nobody takes it for the upstream's own 403. SDKs of some providers look
 * into a failed answer for what they know: `error` is there for Stripe's, which takes a body
 * without it for success, and `message` for GitHub's. Where a repetition is of no use, or may
 * act twice, the answer says so to the SDKs that would repeat it (stripe-should-retry,
 * x-should-retry).
 */
#ifndef SP_HTTP_ANSWER_H
#define SP_HTTP_ANSWER_H

#include "engine.h"
#include "http_link.h"
#include "proxy.h"

struct sp_http_form { /* how to answer one request */
    bool head;        /* it was HEAD: headers alone */
    bool close;       /* the connection ends with this answer */
    bool trailers;    /* its client reads them */
};

/* The HTTP status for a refusal. */
int sp_http_status_of(enum sp_code code);

/* Append a whole answer to buf. */
void sp_http_put_reply(struct sp_buf *buf, struct sp_http_form form,
                       const struct sp_http_base *base, const struct sp_proxied *result);
/* The head of an upstream's answer whose body follows in chunks. */
void sp_http_put_stream_head(struct sp_buf *buf, struct sp_http_form form,
                             const struct sp_http_base *base, const struct sp_proxied *result);
/* Trailers, as lines, for the end of such an answer. */
void sp_http_put_trailers(struct sp_buf *buf, const struct sp_header *trailers, size_t n);
void sp_http_put_refusal(struct sp_buf *buf, struct sp_http_form form,
                         const struct sp_decision *decision);
/* The same for a request that is none: HTTP status and why (http_read.h). */
void sp_http_put_fault(struct sp_buf *buf, int status, const char *reason);

#endif
