#include "proxy.h"

#include "redact.h"
#include "trace.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

/* One call under way; in the request's arena, so it ends with it. */
struct flight {
    struct sp_proxy *proxy;
    struct sp_proxy_call *call;
    struct sp_decision decision; /* the engine's, then what we make of it */
    struct sp_ticket *ticket;
    const struct sp_key *key;
    const struct sp_scope *scope;
    const struct sp_redaction *redactions; /* what the answer must not hold */
    size_t n_redactions;
    struct sp_trace trace;
    struct sp_plan_ref *plan;
    const struct sp_key *sent; /* key, or with the secrets of a lease in it */
    struct sp_lease *lease;    /* NULL: none is needed */
    bool unauthorized;         /* the upstream said 401 to it */
    struct sp_header *headers;
    size_t n_headers;
    struct sp_text *dropped;
    size_t n_dropped;
    uint64_t transfer;            /* egress's id, once it is sent */
    struct sp_share *share;       /* its root token's, likewise */
    uint64_t bytes_out;           /* of the body, handed over to be sent */
    bool broke_off;               /* the body did, and the call is not sent yet */
    struct flight *next, **place; /* of proxy->flights; place NULL: not in it */
    uint64_t began_ns, sent_ns;   /* sent: handed to egress */
    uint64_t head_ns;             /* an answer that streams began */
};

static void list_add(struct flight *flight)
{
    struct flight **first = &flight->proxy->flights;
    flight->next = *first;
    flight->place = first;
    if (flight->next) {
        flight->next->place = &flight->next;
    }
    *first = flight;
}

static void list_remove(struct flight *flight)
{
    *flight->place = flight->next;
    if (flight->next) {
        flight->next->place = flight->place;
    }
    flight->place = NULL;
}

/* One line for each call, for whoever looks for one by its trace; the audit has the rest. */
static void say(const struct flight *flight, const struct sp_metrics_call *call,
                uint64_t total_us)
{
    const struct sp_log *log = flight->proxy->log;
    char took[32];
    if (!log || log->level > SP_LOG_DEBUG) {
        return;
    }
    (void)snprintf(took, sizeof took, "%" PRIu64, total_us);
    SP_LOG(log, SP_LOG_DEBUG, "call", {"provider", call->provider},
           {"scope", sp_text_of(call->decision->scope)},
           {"rule", sp_text_of(call->decision->rule)},
           {"code", sp_text_of(sp_code_name(call->code))}, {"us", sp_text_of(took)},
           {"trace", flight->call->call.trace});
}

/* A reference to the key that a denied call would have been made with; NULL: none. */
static const struct sp_key *key_of(const struct flight *flight,
                                   const struct sp_decision *decision)
{
    return *decision->key ? sp_engine_key(flight->proxy->engine, sp_text_of(decision->key))
                          : NULL;
}

/* Count and log how a call ended; reply NULL: nothing came of the upstream. */
static void note(const struct flight *flight, const struct sp_decision *decision,
                 enum sp_code code, const struct sp_reply *reply)
{
    const struct sp_key *named = flight->key ? NULL : key_of(flight, decision);
    bool streamed = reply && reply->streamed;
    uint64_t total_us = (uv_hrtime() - flight->began_ns) / 1000;
    /* How long a stream goes on is its reader's matter as well: its times end with its head. */
    const struct sp_metrics_call call = {
        .provider = flight->key ? flight->key->provider
                    : named     ? named->provider
                                : SP_TEXT(""),
        .decision = decision,
        .code = code,
        .upstream_us = streamed ? (flight->head_ns - flight->sent_ns) / 1000
                       : reply  ? reply->upstream_us
                                : 0,
        .total_us = streamed ? (flight->head_ns - flight->began_ns) / 1000 : total_us,
    };
    if (flight->proxy->metrics) {
        sp_metrics_call(flight->proxy->metrics, &call);
    }
    say(flight, &call, total_us);
    if (named) {
        sp_key_unref(flight->proxy->engine, named);
    }
}

static void encode(struct flight *flight, const struct sp_proxied *result)
{
    flight->call->encode(flight->call->user, result, flight->call->answer);
    if (result->refusal) {
        note(flight, result->refusal, result->refusal->code, NULL);
    } else if (result->reply) { /* a stored answer was counted when it was made */
        note(flight, result->decision, SP_CODE_OK, result->reply);
    }
}

static void on_recorded(void *user, sp_status status, const struct sp_error *err)
{
    /* The call was made, whatever became of its record; a failing audit stops the next one. */
    (void)status;
    (void)err;
    struct flight *flight = user;
    sp_plan_unref(flight->plan);
    if (flight->lease) {
        sp_leases_give_back(flight->proxy->leases, flight->sent, flight->lease,
                            flight->unauthorized);
    }
    flight->call->done(flight->call->user);
}

/* Write the answer, record the outcome, and let the answer go when that is done. */
static void finish(struct flight *flight, struct sp_outcome *outcome,
                   const struct sp_proxied *result)
{
    encode(flight, result);
    outcome->bytes_out = flight->bytes_out;
    if (outcome->kind != SP_OUTCOME_NOT_SENT && !flight->call->answer->failed) {
        outcome->answer = sp_buf_text(flight->call->answer);
    }
    sp_engine_finish(flight->proxy->engine, flight->ticket, outcome, on_recorded, flight);
}

/* The engine's decision becomes what the client is told instead of an answer, or its rest. */
static const struct sp_decision *decide(struct flight *flight, enum sp_code code,
                                        const char *reason)
{
    struct sp_decision *decision = &flight->decision;
    decision->code = code;
    decision->hint[0] = '\0';
    (void)snprintf(decision->reason, sizeof decision->reason, "%s", reason);
    return decision;
}

/* The call ends without an answer from upstream for the client. */
static void end_without(struct flight *flight, struct sp_outcome *outcome, const char *reason)
{
    const struct sp_decision *decision = decide(flight, outcome->code, reason);
    finish(flight, outcome, &(struct sp_proxied){.refusal = decision});
}

static void give_up(struct flight *flight, enum sp_outcome_kind kind, enum sp_code code,
                    const char *reason)
{
    end_without(flight, &(struct sp_outcome){.kind = kind, .code = code}, reason);
}

static bool on_stream_head(void *user, const struct sp_reply *reply)
{
    struct flight *flight = user;
    flight->head_ns = uv_hrtime();
    return flight->call->stream->begin(flight->call->user,
                                       &(struct sp_proxied){.reply = reply,
                                                            .decision = &flight->decision,
                                                            .dropped = flight->dropped,
                                                            .n_dropped = flight->n_dropped});
}

static enum sp_stream on_stream_data(void *user, struct sp_text bytes)
{
    struct flight *flight = user;
    return flight->call->stream->data(flight->call->user, bytes);
}

static const struct sp_egress_stream egress_stream = {on_stream_head, on_stream_data};

static enum sp_upload on_pull(void *user, char *bytes, size_t room, size_t *ret_n)
{
    struct flight *flight = user;
    return flight->call->upload->pull(flight->call->user, bytes, room, ret_n);
}

static const struct sp_egress_upload egress_upload = {on_pull};

/* They are no more than the end of what went on already: without memory there are none. */
static void keep_trailers(struct sp_proxy_call *call, const struct sp_reply *reply)
{
    struct sp_arena *arena = call->call.arena;
    struct sp_header *copies = sp_arena_array(arena, reply->n_trailers, sizeof *copies);
    bool good = copies != NULL;
    for (size_t i = 0; i < reply->n_trailers && good; i++) {
        copies[i].name = sp_arena_copy(arena, reply->trailers[i].name);
        copies[i].value = sp_arena_copy(arena, reply->trailers[i].value);
        good = copies[i].name.ptr && copies[i].value.ptr;
    }
    call->trailers = copies;
    call->n_trailers = good ? reply->n_trailers : 0;
}

/* The upstream answered, and what came of it went on already. */
static void finish_stream(struct flight *flight, const struct sp_reply *reply)
{
    flight->call->streamed = true;
    flight->call->broken = reply->code != SP_CODE_OK;
    note(flight, &flight->decision, reply->code, reply);
    if (flight->call->broken) {
        flight->call->why = decide(flight, reply->code, reply->reason);
    } else if (reply->n_trailers > 0) {
        keep_trailers(flight->call, reply);
    }
    struct sp_outcome outcome = {.kind = SP_OUTCOME_ANSWERED,
                                 .http_status = reply->http_status,
                                 .code = reply->code,
                                 .held_key = reply->held_key,
                                 .bytes_in = reply->streamed_bytes,
                                 .bytes_out = flight->bytes_out,
                                 .upstream_us = reply->upstream_us};
    sp_engine_finish(flight->proxy->engine, flight->ticket, &outcome, on_recorded, flight);
}

/* The upstream's answer goes on, whatever its status. */
static void finish_answer(struct flight *flight, const struct sp_reply *reply)
{
    finish(flight,
           &(struct sp_outcome){
               .kind = SP_OUTCOME_ANSWERED,
               .http_status = reply->http_status,
               .code = SP_CODE_OK,
               .bytes_in = reply->body.len,
               .upstream_us = reply->upstream_us,
           },
           &(struct sp_proxied){
               .reply = reply,
               .decision = &flight->decision,
               .dropped = flight->dropped,
               .n_dropped = flight->n_dropped,
           });
}

/* Without the headers that would speak of the bytes that were. False: out of memory. */
static bool redact_headers(struct sp_arena *arena, struct sp_reply *reply)
{
    struct sp_header *headers = sp_arena_array(arena, reply->n_headers + 1, sizeof *headers);
    size_t n = 0;
    for (size_t i = 0; headers && i < reply->n_headers; i++) {
        if (!sp_redact_stales(reply->headers[i].name)) {
            headers[n++] = reply->headers[i];
        }
    }
    reply->headers = headers;
    reply->n_headers = n;
    return headers != NULL;
}

/* What cannot be redacted does not go on. The engine keeps the redacted form, too. */
static void finish_redacted(struct flight *flight, const struct sp_reply *reply)
{
    static const char part[] = "the scope redacts answers, and the upstream sent a part of one";
    static const char no_json[] = "the scope redacts answers, and the upstream's is no JSON";
    struct sp_reply redacted = *reply;
    struct sp_buf body;
    sp_buf_init(&body, reply->body.len + 1);
    sp_status status = SP_OK;
    if (reply->http_status == 206) {
        status = SP_EDENIED;
    } else if (reply->body.len > 0) {
        status = sp_redact(flight->redactions, flight->n_redactions, reply->body, &body);
    }
    if (!status && !redact_headers(flight->call->call.arena, &redacted)) {
        status = SP_ENOMEM;
    }
    if (status) {
        give_up(flight, SP_OUTCOME_UNKNOWN, SP_CODE_RESPONSE_BLOCKED,
                status == SP_EDENIED  ? part
                : status == SP_EINVAL ? no_json
                                      : "out of memory");
    } else {
        redacted.body = sp_buf_text(&body);
        redacted.n_trailers = 0; /* nobody knows what they tell of the bytes that were */
        finish_answer(flight, &redacted);
    }
    if (body.ptr) {
        sodium_memzero(body.ptr, body.room);
    }
    sp_buf_done(&body);
}

/* The answer goes on as it is, and its client cannot mend it: whoever holds the key has to.
 * Once for a version of the key. What a lease holds is minted anew instead. */
static void note_unauthorized(struct flight *flight, const struct sp_reply *reply)
{
    const struct sp_log *log = flight->proxy->log;
    flight->unauthorized = reply->code == SP_CODE_OK && reply->http_status == 401;
    if (flight->unauthorized && !flight->lease && !flight->plan->refusal_told && log) {
        SP_LOG(log, SP_LOG_WARNING, "key.refused", {"key", flight->key->id},
               {"provider", flight->plan->provider->manifest->id},
               {"hint", SP_TEXT("the upstream answered 401: was the key revoked there? see "
                                "`sallyport key test` and `key rotate`")});
        flight->plan->refusal_told = true;
    }
}

static void on_reply(void *user, const struct sp_reply *reply)
{
    struct flight *flight = user;
    list_remove(flight);
    sp_share_give(flight->proxy->shares, flight->share);
    flight->bytes_out = reply->sent_bytes;
    note_unauthorized(flight, reply);
    if (reply->streamed) {
        finish_stream(flight, reply);
        return;
    }
    if (reply->code != SP_CODE_OK) {
        end_without(
            flight,
            &(struct sp_outcome){.kind = reply->sent ? SP_OUTCOME_UNKNOWN : SP_OUTCOME_NOT_SENT,
                                 .code = reply->code,
                                 .held_key = reply->held_key},
            reply->reason);
        return;
    }
    if (flight->n_redactions > 0) {
        finish_redacted(flight, reply);
        return;
    }
    finish_answer(flight, reply);
}

/* A part of an answer cannot be redacted, so nobody asks for one. */
static void drop_ranges(struct flight *flight)
{
    size_t n = 0;
    for (size_t i = 0; i < flight->n_headers; i++) {
        if (sp_redact_carves(flight->headers[i].name)) {
            flight->dropped[flight->n_dropped++] = flight->headers[i].name;
        } else {
            flight->headers[n++] = flight->headers[i];
        }
    }
    flight->n_headers = n;
}

/* A key's slots are for all that use the key: no token may have all of them. */
static sp_status claim_slot(struct flight *flight, struct sp_text root, struct sp_error *err)
{
    struct sp_shares *shares = flight->proxy->shares;
    flight->share = sp_share_take(shares, root);
    return flight->share && !sp_share_is_over(shares, flight->share)
               ? SP_OK
               : sp_fail(err, SP_EBUSY,
                         "this token has as many calls with upstreams as one token may have");
}

static void send_call(struct flight *flight)
{
    const struct sp_request *request = flight->call->call.request;
    const struct sp_plan_ref *plan = flight->plan;
    enum sp_code life = sp_ticket_life(flight->ticket);
    if (life != SP_CODE_OK) {
        give_up(flight, SP_OUTCOME_NOT_SENT,
                life == SP_CODE_TOKEN_SUSPENDED ? life : SP_CODE_TOKEN_REVOKED,
                life == SP_CODE_TOKEN_SUSPENDED
                    ? "the token was suspended before the call was sent"
                    : "the token was revoked or expired before the call was sent");
        return;
    }
    if (flight->broke_off) {
        give_up(flight, SP_OUTCOME_NOT_SENT, SP_CODE_BAD_REQUEST,
                "the request's body broke off");
        return;
    }
    /* The last look before the key goes out: a rule cannot have sent it to another host, since
     * the compiler and the issue checked; this holds even if they were wrong. */
    if (!sp_key_covers(flight->key, request->url.host)) {
        give_up(flight, SP_OUTCOME_NOT_SENT, SP_CODE_KEY_NOT_IN_SCOPE,
                "this key is not for that host");
        return;
    }
    struct sp_arena *arena = flight->call->call.arena;
    flight->headers = sp_arena_array(arena, request->n_headers + 1, sizeof *flight->headers);
    flight->dropped = sp_arena_array(arena, request->n_headers, sizeof *flight->dropped);
    if (!flight->headers || !flight->dropped) {
        give_up(flight, SP_OUTCOME_NOT_SENT, SP_CODE_INTERNAL, "out of memory");
        return;
    }
    sp_headers_pass(request, &flight->trace, plan->provider->manifest, flight->scope,
                    flight->headers, &flight->n_headers, flight->dropped, &flight->n_dropped);
    bool redacts = flight->n_redactions > 0;
    if (redacts) {
        drop_ranges(flight);
    }
    const struct sp_text root = {(const char *)flight->decision.root,
                                 sizeof flight->decision.root};
    if (sp_headers_idempotency(arena, plan->provider->manifest, root, flight->call->call.id,
                               request->method, flight->headers, &flight->n_headers)) {
        give_up(flight, SP_OUTCOME_NOT_SENT, SP_CODE_INTERNAL, "out of memory");
        return;
    }
    struct sp_send out = {.key = flight->sent,
                          .plan = &plan->plan,
                          .request = request,
                          .headers = flight->headers,
                          .n_headers = flight->n_headers,
                          .stream = flight->call->stream && !redacts ? &egress_stream : NULL,
                          .refuses_events = redacts,
                          .upload = flight->call->upload ? &egress_upload : NULL,
                          .upload_bytes = flight->call->upload_bytes};
    struct sp_error why = {""};
    flight->sent_ns = uv_hrtime();
    sp_status status = claim_slot(flight, root, &why);
    if (!status) {
        status = sp_egress_send(flight->proxy->egress, &out, on_reply, flight,
                                &flight->transfer, &why);
    }
    if (!status) {
        list_add(flight);
    } else {
        sp_share_give(flight->proxy->shares, flight->share);
        give_up(flight, SP_OUTCOME_NOT_SENT,
                status == SP_EBUSY    ? SP_CODE_BUSY
                : status == SP_EINVAL ? SP_CODE_BAD_REQUEST
                                      : SP_CODE_INTERNAL,
                *why.text ? why.text : "all slots to this upstream are taken");
    }
}

static void on_leased(void *user, const struct sp_key *key, struct sp_lease *lease,
                      const struct sp_error *err)
{
    struct flight *flight = user;
    if (!key) {
        give_up(flight, SP_OUTCOME_NOT_SENT, SP_CODE_UPSTREAM_FAILED, err->text);
        return;
    }
    flight->sent = key;
    flight->lease = lease;
    send_call(flight);
}

static void on_plan(void *user, struct sp_plan_ref *plan, const struct sp_error *err)
{
    struct flight *flight = user;
    flight->plan = plan;
    if (!plan) {
        give_up(flight, SP_OUTCOME_NOT_SENT, SP_CODE_INTERNAL,
                err && *err->text ? err->text : "the provider gave no plan for this key");
    } else if (plan->plan.leased) {
        sp_leases_take(flight->proxy->leases, flight->ticket, flight->key, flight->scope,
                       on_leased, flight);
    } else {
        flight->sent = flight->key;
        send_call(flight);
    }
}

static void end_now(struct flight *flight, const struct sp_proxied *result)
{
    encode(flight, result);
    flight->call->done(flight->call->user);
}

static void on_begun(void *user, const struct sp_admission *admission)
{
    struct flight *flight = user;
    if (admission->answer.ptr) {
        end_now(flight, &(struct sp_proxied){.stored = admission->answer});
        return;
    }
    if (admission->decision->code != SP_CODE_OK) {
        end_now(flight, &(struct sp_proxied){.refusal = admission->decision});
        return;
    }
    flight->decision = *admission->decision;
    flight->ticket = admission->ticket;
    flight->key = admission->key;
    flight->scope = admission->scope;
    flight->redactions = admission->redactions;
    flight->n_redactions = admission->n_redactions;
    sp_providers_plan(flight->proxy->providers, flight->key, on_plan, flight);
}

void sp_proxy_start(struct sp_proxy *proxy, struct sp_proxy_call *call)
{
    struct flight *flight = sp_arena_alloc(call->call.arena, sizeof *flight);
    if (!flight) {
        struct sp_decision decision = {.code = SP_CODE_BUSY, .reason = "out of memory"};
        call->encode(call->user, &(struct sp_proxied){.refusal = &decision}, call->answer);
        call->done(call->user);
        return;
    }
    flight->proxy = proxy;
    flight->call = call;
    flight->began_ns = uv_hrtime();
    call->flight = flight;
    sp_trace_read(call->call.request, &flight->trace);
    call->call.trace = flight->trace.id;
    sp_engine_begin(proxy->engine, &call->call, on_begun, flight);
}

void sp_proxy_resume(struct sp_proxy_call *call)
{
    sp_egress_resume(call->flight->proxy->egress, call->flight->transfer);
}

void sp_proxy_upload_on(struct sp_proxy_call *call)
{
    sp_egress_upload_on(call->flight->proxy->egress, call->flight->transfer);
}

void sp_proxy_abandon(struct sp_proxy_call *call)
{
    sp_egress_cancel(call->flight->proxy->egress, call->flight->transfer,
                     SP_CODE_UPSTREAM_FAILED);
}

void sp_proxy_break_off(struct sp_proxy_call *call)
{
    call->flight->broke_off = true;
    sp_egress_cancel(call->flight->proxy->egress, call->flight->transfer, SP_CODE_BAD_REQUEST);
}

void sp_proxy_cut(struct sp_proxy *proxy)
{
    for (struct flight *flight = proxy->flights; flight; flight = flight->next) {
        enum sp_code life = sp_ticket_life(flight->ticket);
        if (life != SP_CODE_OK) { /* its callback comes later, and takes it off the list */
            sp_egress_cancel(proxy->egress, flight->transfer, life);
        }
    }
}
