/* sp_proxy: one proxied call from the canonical request to the answer; every front end calls
 * this same function. It joins the parts and decides nothing itself: the engine admits, the
 * provider's plan places, egress sends, the engine records.
 */
#ifndef SP_PROXY_H
#define SP_PROXY_H

#include "egress.h"
#include "engine.h"
#include "leases.h"
#include "log.h"
#include "metrics.h"
#include "providers.h"
#include "shares.h"

struct sp_proxy { /* borrowed parts; lives as long as the host */
    struct sp_engine *engine;
    struct sp_providers *providers;
    struct sp_egress *egress;
    struct sp_leases *leases;   /* may be NULL: no key needs one */
    struct sp_metrics *metrics; /* may be NULL: nobody counts */
    const struct sp_log *log;   /* may be NULL */
    struct sp_shares *shares;   /* of the calls that are with an upstream, by root token */
    struct flight *flights;     /* proxy.c's: calls that are with an upstream */
};

/* How a call ended. Exactly one of refusal, stored and reply is set. */
struct sp_proxied {
    const struct sp_decision *refusal; /* refused by us, or the upstream gave no answer */
    struct sp_text stored;             /* .ptr set: what encode wrote for the same request id */
    const struct sp_reply *reply;      /* the upstream's answer */
    const struct sp_decision *decision; /* with reply: what let it through */
    const struct sp_text *dropped;      /* with reply: names of headers that were left behind */
    size_t n_dropped;
};

/* For a front end that can hand an answer on while it comes (egress.h). The same rules hold:
 * the callbacks must call nothing of the proxy. */
struct sp_proxy_stream {
    /* result->reply has status and headers. False: the answer is wanted whole, for encode. */
    bool (*begin)(void *user, const struct sp_proxied *result);
    enum sp_stream (*data)(void *user, struct sp_text bytes);
};

struct sp_proxy_call {
    struct sp_call call;
    const struct sp_proxy_stream *stream; /* NULL: no answer streams */
    /* NULL: the request has its body. Else it is SP_BODY_STREAMED, and this hands it over. */
    const struct sp_egress_upload *upload;
    uint64_t upload_bytes; /* SP_UPLOAD_UNKNOWN: nobody knows */
    /* Write the answer for the client. Called at most once, before done; with a request id,
     * what it writes into call.id's store is given back as `stored` next time. */
    void (*encode)(void *user, const struct sp_proxied *result, struct sp_buf *ret_answer);
    /* The call is over, and what encode wrote may be sent: where it is owed, it is durable. */
    void (*done)(void *user);
    struct sp_buf *answer; /* where encode writes */
    void *user;
    /* Set before done: the answer went by stream, not by encode; and it broke off. */
    bool streamed, broken;
    const struct sp_decision *why;    /* with broken: what ended it */
    const struct sp_header *trailers; /* with streamed, and not broken: in the call's arena */
    size_t n_trailers;
    struct flight *flight; /* proxy.c's */
};

/* call, its request, its arena and its answer must live until done. */
void sp_proxy_start(struct sp_proxy *proxy, struct sp_proxy_call *call);

/* Of a call that streams, from outside of its callbacks: there is room again after
 * SP_STREAM_WAIT; there is more of the body after SP_UPLOAD_WAIT; nobody wants the rest, or the
 * body broke off (done comes later). */
void sp_proxy_resume(struct sp_proxy_call *call);
void sp_proxy_upload_on(struct sp_proxy_call *call);
void sp_proxy_abandon(struct sp_proxy_call *call);
void sp_proxy_break_off(struct sp_proxy_call *call);

/* Cut the calls under way whose token was revoked, suspended or has expired: to be called every
 * so often, and after a revocation. */
void sp_proxy_cut(struct sp_proxy *proxy);

#endif
