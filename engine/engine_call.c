/* One proxied call: judged, its intent written, its outcome written; and request ids. */
#include "inner.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct waiter {
    struct sp_call *call;
    sp_engine_begun begun;
    void *user;
    struct sp_decision decision;
    struct waiter *next;
};

struct sp_ticket {
    struct sp_job job; /* the intent's, then the outcome's */
    struct sp_engine *engine;
    struct sp_call *call; /* the host keeps it until the end */
    sp_engine_begun begun;
    void *user;
    struct sp_decision decision;
    struct judged judged;
    int64_t taken_ms;
    uint64_t number; /* intent and outcome carry it */
    bool open;       /* begun said OK, and finish has not come */
    /* a request id */
    char curve[41], id[REQUEST_ID_MAX_BYTES + 1];
    uint8_t root[SP_TOKEN_ID_BYTES], digest[SP_HASH_BYTES];
    enum sp_claim claim;
    struct sp_buf box;    /* an answer: sealed, as it is stored */
    struct sp_buf answer; /* the same, opened, for those who wait */
    bool drop_answer, unclaim;
    bool hit; /* the answer held the key */
    /* budgets */
    int64_t budget_now_ms;
    size_t refused_budget; /* the one without room */
    bool no_budget;
    struct waiter *waiters;
    sp_engine_done finished;
    void *finished_user;
    struct sp_ticket *next; /* of those in flight */
};

/* ---- request ids
 * ------------------------------------------------------------------------------ */

static struct sp_claim_key claim_key(const struct sp_ticket *t)
{
    return (struct sp_claim_key){.curve = sp_text_of(t->curve),
                                 .root = t->root,
                                 .id = sp_text_of(t->id),
                                 .digest = t->digest};
}

/* With what is taken out of its answer: a child that may see less gets no answer that was
 * stored for its parent. */
static void digest_of(const struct sp_call *call, const struct judged *judged,
                      uint8_t ret_digest[SP_HASH_BYTES])
{
    const struct sp_request *r = call->request;
    struct sp_hash hash;
    struct sp_buf url;
    sp_buf_init(&url, 8 * SP_URL_MAX_BYTES);
    sp_url_print(&r->url, &url);
    sp_hash_init(&hash, NULL);
    sp_hash_u64(&hash, r->method);
    sp_hash_part(&hash, sp_buf_text(&url).ptr, url.len);
    sp_hash_part(&hash, call->key.ptr, call->key.len);
    sp_hash_u64(&hash, r->n_headers);
    for (size_t i = 0; i < r->n_headers; i++) {
        sp_hash_part(&hash, r->headers[i].name.ptr, r->headers[i].name.len);
        sp_hash_part(&hash, r->headers[i].value.ptr, r->headers[i].value.len);
    }
    sp_hash_u64(&hash, r->body_kind != SP_BODY_NONE);
    sp_hash_part(&hash, r->body.ptr, r->body.len);
    for (size_t i = 0; i < judged->n_redactions; i++) {
        const struct sp_redaction *one = &judged->redactions[i];
        sp_hash_u64(&hash, one->n_names);
        for (size_t k = 0; k < one->n_names; k++) {
            sp_hash_part(&hash, one->names[k].ptr, one->names[k].len);
        }
    }
    sp_hash_done(&hash, ret_digest);
    sp_buf_done(&url);
}

/* The name of a stored answer's box: what it belongs to. */
static struct sp_text box_row(const struct sp_ticket *t, char text[2 * SP_HASH_BYTES + 1])
{
    struct sp_hash hash;
    uint8_t digest[SP_HASH_BYTES];
    sp_hash_init(&hash, NULL);
    sp_hash_part(&hash, t->curve, strlen(t->curve));
    sp_hash_part(&hash, t->root, sizeof t->root);
    sp_hash_part(&hash, t->id, strlen(t->id));
    sp_hash_part(&hash, t->digest, sizeof t->digest);
    sp_hash_done(&hash, digest);
    sp_hex_encode(digest, sizeof digest, text);
    return sp_text_of(text);
}

/* Box: keyring id (4 bytes, least significant first), then the sealed answer. */
static sp_status seal_answer(struct sp_ticket *t, struct sp_text answer)
{
    char row[2 * SP_HASH_BYTES + 1];
    uint32_t ring = 0;
    struct sp_buf box;
    sp_buf_init(&box, answer.len + SP_BOX_OVERHEAD);
    sp_status status = t->engine->keyring
                           ? sp_keyring_seal(t->engine->keyring, "requests", box_row(t, row), 1,
                                             answer, &box, &ring)
                           : SP_ESEALED;
    for (unsigned shift = 0; !status && shift < 32; shift += 8) {
        sp_buf_add_byte(&t->box, (uint8_t)(ring >> shift));
    }
    sp_buf_add_text(&t->box, sp_buf_text(&box));
    sp_buf_done(&box);
    return status;
}

static sp_status open_answer(struct sp_ticket *t)
{
    char row[2 * SP_HASH_BYTES + 1], ad[256];
    uint32_t ring = 0;
    if (t->box.len < 4 + SP_BOX_OVERHEAD || !t->engine->keyring) {
        return SP_ECORRUPT;
    }
    for (unsigned i = 0; i < 4; i++) {
        ring |= (uint32_t)(uint8_t)t->box.ptr[i] << (8 * i);
    }
    const uint8_t *key = sp_keyring_key_by_id(t->engine->keyring, ring);
    size_t len = t->box.len - 4 - SP_BOX_OVERHEAD;
    char *plain = key ? malloc(len + 1) : NULL;
    if (!plain) {
        return SP_ECORRUPT;
    }
    struct sp_buf text;
    sp_buf_init(&text, sizeof ad - 1);
    sp_buf_addf(&text, "requests|%s|1|%u", box_row(t, row).ptr, ring);
    sp_status status = sp_box_open(key, sp_buf_text(&text), (const uint8_t *)t->box.ptr + 4,
                                   t->box.len - 4, plain);
    if (!status) {
        sp_buf_add(&t->answer, plain, len);
    }
    sp_buf_done(&text);
    free(plain);
    return status;
}

/* The same request under the same id. Another one under it is the store's to refuse: whichever
 * came first has the claim, be it in flight or long answered. */
static struct sp_ticket *find_flight(const struct sp_engine *engine, const struct sp_call *call,
                                     const uint8_t *root, const uint8_t *digest)
{
    for (struct sp_ticket *t = engine->tickets; t; t = t->next) {
        if (t->id[0] && sp_text_is(call->id, t->id) && sp_text_is(call->curve, t->curve) &&
            memcmp(t->root, root, sizeof t->root) == 0 &&
            sodium_memcmp(t->digest, digest, sizeof t->digest) == 0) {
            return t;
        }
    }
    return NULL;
}

/* ---- tickets
 * ---------------------------------------------------------------------------------- */

static void unlink_ticket(struct sp_ticket *t)
{
    struct sp_ticket **place = &t->engine->tickets;
    while (*place && *place != t) {
        place = &(*place)->next;
    }
    if (*place) {
        *place = t->next;
        t->engine->n_open--;
    }
}

static void ticket_free(struct sp_ticket *t)
{
    unlink_ticket(t);
    token_unref(t->engine, t->judged.token);
    sp_key_unref(t->engine, t->judged.key ? &t->judged.key->public : NULL);
    if (t->answer.ptr) {
        sodium_memzero(t->answer.ptr, t->answer.room);
    }
    sp_buf_done(&t->answer);
    sp_buf_done(&t->box);
    sp_buf_done(&t->job.records);
    free(t);
}

static struct sp_ticket *ticket_new(struct sp_engine *engine, struct sp_call *call,
                                    const struct sp_decision *decision,
                                    const struct judged *judged)
{
    struct sp_ticket *t = calloc(1, sizeof *t);
    if (!t) {
        return NULL;
    }
    t->engine = engine;
    t->call = call;
    t->decision = *decision;
    t->judged = *judged;
    t->judged.token->n_refs++;
    sp_key_ref(&t->judged.key->public);
    t->number = engine->next_call++;
    memcpy(t->root, decision->root, sizeof t->root);
    copy_name(call->curve, t->curve, sizeof t->curve);
    copy_name(call->id, t->id, sizeof t->id);
    sp_buf_init(&t->job.records, 60 << 10);
    sp_buf_init(&t->box, engine->config.answer_max_bytes + 1024);
    sp_buf_init(&t->answer, engine->config.answer_max_bytes + 1024);
    t->next = engine->tickets;
    engine->tickets = t;
    engine->n_open++;
    return t;
}

struct live_token *ticket_token(const struct sp_ticket *ticket)
{
    return ticket->judged.token;
}

struct key_version *ticket_key(const struct sp_ticket *ticket)
{
    return ticket->judged.key;
}

struct sp_engine *ticket_engine(const struct sp_ticket *ticket)
{
    return ticket->engine;
}

enum sp_code sp_ticket_life(const struct sp_ticket *ticket)
{
    struct sp_engine *engine = ticket->engine;
    struct sp_decision decision;
    uint64_t until = ticket->judged.until_ms;
    if (engine->state != SP_ENGINE_READY) {
        return SP_CODE_SEALED;
    }
    if (!token_lives(engine, ticket->judged.token, &decision)) {
        return decision.code;
    }
    return until && (uint64_t)engine_wall(engine) >= until ? SP_CODE_TOKEN_EXPIRED : SP_CODE_OK;
}

/* ---- records
 * ---------------------------------------------------------------------------------- */

static void record_who(const struct sp_engine *engine, struct sp_buf *r,
                       const struct sp_decision *d, const struct sp_call *call)
{
    record_hex(r, "root", d->root, sizeof d->root);
    record_text(r, "principal", sp_text_of(d->principal));
    record_text(r, "scope", sp_text_of(d->scope));
    record_text(r, "peer", call->peer);
    if (d->rule[0]) {
        record_text(r, "rule", sp_text_of(d->rule));
    }
    if (d->key[0]) {
        record_text(r, "key", sp_text_of(d->key));
    }
    if (call->id.len) {
        record_hashed(engine, r, "id", call->id);
    }
    if (call->trace.len) {
        record_text(r, "trace", call->trace);
    }
    if (d->observed) {
        record_number(r, "observed", 1);
    }
}

/* Whether a token that calls past its rate was told of less than a second ago. One refusal says
 * all that the next thousand would, and a tenant that floods must not fill the disk. */
static bool was_just_told(struct sp_engine *engine, const struct sp_decision *d)
{
    struct live_token *token =
        d->code == SP_CODE_RATE_LIMITED ? token_find(engine, d->root) : NULL;
    int64_t now = engine_boot(engine);
    if (!token || (token->limited_boot_ms && now - token->limited_boot_ms < 1000)) {
        return token != NULL;
    }
    token->limited_boot_ms = now;
    return false;
}

static void record_denied(struct sp_engine *engine, const struct sp_decision *d,
                          const struct sp_call *call)
{
    static const uint8_t nobody[SP_TOKEN_ID_BYTES];
    struct sp_buf r;
    if (memcmp(d->root, nobody, sizeof nobody) == 0 || was_just_told(engine, d)) {
        sp_engine_note_refusal(engine, call->peer, d->code);
        return;
    }
    sp_buf_init(&r, 60 << 10);
    record_begin(&r, "denied");
    record_who(engine, &r, d, call);
    record_text(&r, "code", sp_text_of(sp_code_name(d->code)));
    record_text(&r, "reason", sp_text_of(d->reason));
    record_request(engine, &r, call->request);
    record_end(&r);
    record_send(engine, &r);
    sp_buf_done(&r);
}

static void record_intent(struct sp_ticket *t)
{
    struct sp_buf *r = &t->job.records;
    record_begin(r, "intent");
    record_number(r, "call", (int64_t)t->number);
    record_who(t->engine, r, &t->decision, t->call);
    record_number(r, "key_version", t->judged.key->public.version);
    record_request(t->engine, r, t->call->request);
    record_uses(r, &t->judged);
    record_budgets(r, &t->judged);
    record_end(r);
}

/* ---- begin
 * ------------------------------------------------------------------------------------ */

static void answer(const struct sp_call *call, sp_engine_begun begun, void *user,
                   const struct sp_decision *decision)
{
    struct sp_admission admission = {.decision = decision};
    (void)call;
    begun(user, &admission);
}

/* Those who repeated the request while it was under way get its answer, or its refusal. */
static void serve_waiters(struct sp_ticket *t)
{
    while (t->waiters) {
        struct waiter *w = t->waiters;
        t->waiters = w->next;
        struct sp_admission admission = {.decision = &w->decision};
        if (t->answer.len && !t->answer.failed) {
            admission.answer = sp_buf_text(&t->answer);
        } else if (t->decision.code != SP_CODE_OK) {
            w->decision = t->decision;
        } else {
            decide(&w->decision, t->unclaim ? SP_CODE_BUSY : SP_CODE_ANSWER_DROPPED, "",
                   "the first call with this id ended without an answer to keep");
        }
        w->begun(w->user, &admission);
        free(w);
    }
}

static void refuse_ticket(struct sp_ticket *t)
{
    if (t->taken_ms) {
        sp_rates_return(t->engine->rates, t->judged.uses, t->judged.n_uses, t->taken_ms);
    }
    if (t->decision.code != SP_CODE_OK) {
        record_denied(t->engine, &t->decision, t->call);
    }
    unlink_ticket(t); /* a callback that repeats the request starts anew */
    answer(t->call, t->begun, t->user, &t->decision);
    serve_waiters(t);
    ticket_free(t);
}

/* The intent needed a claim, and the claim was not new. */
static void repeat_ticket(struct sp_ticket *t)
{
    static const struct {
        enum sp_code code;
        const char *reason;
    } refusals[] = {
        [SP_CLAIM_OPEN] = {SP_CODE_OUTCOME_UNKNOWN,
                           "the call was begun before a crash; look upstream for its effect"},
        [SP_CLAIM_DROPPED] = {SP_CODE_ANSWER_DROPPED,
                              "the call was made once; its answer was too large to keep"},
        [SP_CLAIM_CONFLICT] = {SP_CODE_CONFLICT, "this request id names another request"},
    };
    if (t->claim == SP_CLAIM_ANSWERED && open_answer(t) == SP_OK) {
        sp_rates_return(t->engine->rates, t->judged.uses, t->judged.n_uses, t->taken_ms);
        struct sp_admission admission = {.decision = &t->decision,
                                         .answer = sp_buf_text(&t->answer)};
        unlink_ticket(t);
        t->begun(t->user, &admission);
        serve_waiters(t);
        ticket_free(t);
        return;
    }
    if (t->claim == SP_CLAIM_ANSWERED) {
        decide(&t->decision, SP_CODE_OUTCOME_UNKNOWN, "", "the stored answer is damaged");
    } else {
        decide(&t->decision, refusals[t->claim].code, "", "%s", refusals[t->claim].reason);
    }
    refuse_ticket(t);
}

static void refuse_for_budget(struct sp_ticket *t)
{
    const struct sp_budget_use *use = &t->judged.budgets[t->refused_budget];
    decide(&t->decision, SP_CODE_BUDGET_EXCEEDED,
           t->decision.retry_after_ms ? "wait for retry_after_ms, or ask for less"
                                      : "it is more than the budget ever has",
           "the budget of %" PRIu64 " in %" PRIu64 " s has no room for %" PRIu64, use->limit,
           use->window_ms / 1000, use->amount);
    refuse_ticket(t);
}

static void on_intent(struct sp_job *job)
{
    struct sp_ticket *t = (struct sp_ticket *)job;
    if (t->no_budget) {
        refuse_for_budget(t);
        return;
    }
    if (job->status == SP_EEXIST) {
        repeat_ticket(t);
        return;
    }
    if (job->status) {
        decide(&t->decision, SP_CODE_AUDIT_UNAVAILABLE, "the host's log says more",
               "the audit cannot be written, so no key is used");
        sp_engine_until_when(t->engine, &t->decision);
        refuse_ticket(t);
        return;
    }
    sp_buf_reset(&t->job.records);
    t->open = true;
    struct sp_admission admission = {.decision = &t->decision,
                                     .ticket = t,
                                     .key = &t->judged.key->public,
                                     .scope = t->judged.token->scope->scope,
                                     .redactions = t->judged.redactions,
                                     .n_redactions = t->judged.n_redactions};
    t->begun(t->user, &admission);
}

/* What the intent is written with, in one transaction: the claim of its request id, and what it
 * takes of budgets. Where one fails the job is undone, and the intent is not written either. */
static sp_status intent_work(struct sp_job *job, struct sp_store *store)
{
    struct sp_ticket *t = (struct sp_ticket *)job;
    struct sp_claim_key key = claim_key(t);
    sp_status status = SP_OK;
    if (t->id[0]) {
        status =
            sp_store_claim(store, &key, engine_wall(t->engine), &t->claim, &t->box, &job->err);
        status = status || t->claim == SP_CLAIM_NEW ? status : SP_EEXIST;
    }
    for (size_t i = 0; !status && i < t->judged.n_budgets; i++) {
        status = sp_store_budget_take(store, &t->judged.budgets[i], t->budget_now_ms,
                                      &t->decision.retry_after_ms, &job->err);
        t->no_budget = status == SP_EDENIED;
        t->refused_budget = i;
    }
    return status;
}

static bool join_flight(struct sp_engine *engine, struct sp_call *call,
                        const struct sp_decision *decision, const uint8_t digest[SP_HASH_BYTES],
                        sp_engine_begun begun, void *user)
{
    struct sp_ticket *first = find_flight(engine, call, decision->root, digest);
    if (!first) {
        return false;
    }
    struct sp_decision refusal = *decision;
    struct waiter *w = calloc(1, sizeof *w);
    if (!w) {
        decide(&refusal, SP_CODE_BUSY, "", "out of memory");
        record_denied(engine, &refusal, call);
        answer(call, begun, user, &refusal);
        return true;
    }
    *w = (struct waiter){.call = call,
                         .begun = begun,
                         .user = user,
                         .decision = *decision,
                         .next = first->waiters};
    first->waiters = w;
    return true;
}

static void begin_refused(struct sp_engine *engine, struct sp_call *call, sp_engine_begun begun,
                          void *user, const struct sp_decision *decision)
{
    record_denied(engine, decision, call);
    answer(call, begun, user, decision);
}

void sp_engine_begin(struct sp_engine *engine, struct sp_call *call, sp_engine_begun begun,
                     void *user)
{
    struct judged judged;
    struct sp_decision decision;
    judge(engine, call, &judged, &decision);
    if (decision.code == SP_CODE_OK && call->id.len > REQUEST_ID_MAX_BYTES) {
        decide(&decision, SP_CODE_BAD_REQUEST, "", "a request id has at most 64 bytes");
    }
    if (decision.code == SP_CODE_OK &&
        memchr(call->id.ptr ? call->id.ptr : "", '\0', call->id.len)) {
        decide(&decision, SP_CODE_BAD_REQUEST, "", "a request id holds no NUL");
    }
    if (decision.code == SP_CODE_OK && call->id.len &&
        call->request->body_kind == SP_BODY_STREAMED) {
        decide(&decision, SP_CODE_BAD_REQUEST, "", "a request with an id has its body whole");
    }
    if (decision.code != SP_CODE_OK) {
        begin_refused(engine, call, begun, user, &decision);
        return;
    }
    uint8_t digest[SP_HASH_BYTES] = {0}; /* of the request; without an id nobody asks for it */
    if (call->id.len) {
        digest_of(call, &judged, digest);
        if (join_flight(engine, call, &decision, digest, begun, user)) {
            return;
        }
    }
    int64_t now = engine_boot(engine);
    if (!judge_rates(engine, &judged, true, now, &decision)) {
        begin_refused(engine, call, begun, user, &decision);
        return;
    }
    struct sp_ticket *t = ticket_new(engine, call, &decision, &judged);
    if (!t) {
        sp_rates_return(engine->rates, judged.uses, judged.n_uses, now);
        decide(&decision, SP_CODE_BUSY, "", "out of memory");
        begin_refused(engine, call, begun, user, &decision);
        return;
    }
    t->begun = begun;
    t->user = user;
    t->taken_ms = now;
    memcpy(t->digest, digest, sizeof t->digest);
    if (t->id[0] || judged.n_budgets > 0) {
        t->budget_now_ms = engine_time(engine);
        t->job.work = intent_work;
    }
    t->job.done = on_intent;
    record_intent(t);
    sp_status status = sp_commit_submit(engine->commit, &t->job);
    if (status) {
        decide(&t->decision, status == SP_EBUSY ? SP_CODE_BUSY : SP_CODE_AUDIT_UNAVAILABLE,
               "the host's log says more", "the audit cannot be written, so no key is used");
        sp_engine_until_when(engine, &t->decision);
        refuse_ticket(t);
    }
}

/* ---- finish
 * ----------------------------------------------------------------------------------- */

static sp_status settle_work(struct sp_job *job, struct sp_store *store)
{
    struct sp_ticket *t = (struct sp_ticket *)job;
    struct sp_claim_key key = claim_key(t);
    if (t->unclaim) {
        return sp_store_unclaim(store, &key, &job->err);
    }
    return sp_store_settle(store, &key,
                           t->drop_answer ? (struct sp_text){NULL, 0} : sp_buf_text(&t->box),
                           &job->err);
}

/* What was not sent gives back what it has taken. */
static sp_status return_work(struct sp_job *job, struct sp_store *store)
{
    struct sp_ticket *t = (struct sp_ticket *)job;
    sp_status status = t->id[0] ? settle_work(job, store) : SP_OK;
    for (size_t i = 0; !status && i < t->judged.n_budgets; i++) {
        status = sp_store_budget_return(store, &t->judged.budgets[i], &job->err);
    }
    return status;
}

/* The hit, and what the request id holds of it. */
static sp_status hit_work(struct sp_job *job, struct sp_store *store)
{
    struct sp_ticket *t = (struct sp_ticket *)job;
    sp_status status = sp_store_token_hit(store, t->root, t->judged.key->public.id,
                                          GUARD_HITS_MAX, engine_wall(t->engine), &job->err);
    return status || !t->id[0] ? status : settle_work(job, store);
}

/* Somebody waits until it is durable. */
static bool is_awaited(const struct sp_ticket *t)
{
    return t->id[0] || t->hit;
}

static void on_outcome(struct sp_job *job)
{
    struct sp_ticket *t = (struct sp_ticket *)job;
    unlink_ticket(t);
    if (is_awaited(t) && t->finished) {
        t->finished(t->finished_user, job->status, &job->err);
    }
    serve_waiters(t);
    ticket_free(t);
}

static void record_outcome(struct sp_ticket *t, const struct sp_outcome *outcome)
{
    static const char *const kinds[] = {"answered", "not_sent", "unknown"};
    struct sp_buf *r = &t->job.records;
    record_begin(r, "outcome");
    record_number(r, "call", (int64_t)t->number);
    record_hex(r, "root", t->root, sizeof t->root);
    record_text(r, "key", t->judged.key->public.id);
    record_text(r, "outcome", sp_text_of(kinds[outcome->kind]));
    record_text(r, "code", sp_text_of(sp_code_name(outcome->code)));
    if (outcome->http_status) {
        record_number(r, "status", outcome->http_status);
    }
    record_number(r, "bytes", (int64_t)outcome->bytes_in);
    if (outcome->bytes_out) {
        record_number(r, "bytes_sent", (int64_t)outcome->bytes_out);
    }
    record_number(r, "upstream_us", (int64_t)outcome->upstream_us);
    record_end(r);
}

/* Counted in memory at once, and in the store with the outcome. */
static void note_hit(struct sp_ticket *t)
{
    struct live_token *token = t->judged.token;
    bool suspends = token_hit(t->engine, token, t->judged.key->public.id);
    struct sp_buf *r = &t->job.records;
    t->hit = true;
    t->job.work = hit_work;
    record_begin(r, "guard");
    record_number(r, "call", (int64_t)t->number);
    record_hex(r, "root", t->root, sizeof t->root);
    record_text(r, "key", t->judged.key->public.id);
    record_number(r, "hits", token->guard_hits);
    record_end(r);
    if (suspends) {
        record_begin(r, "suspend");
        record_token(r, token);
        record_text(r, "key", t->judged.key->public.id);
        record_number(r, "hits", token->guard_hits);
        record_end(r);
    }
}

static void keep_answer(struct sp_ticket *t, const struct sp_outcome *outcome)
{
    t->unclaim = outcome->kind == SP_OUTCOME_NOT_SENT;
    t->drop_answer = !outcome->answer.ptr ||
                     outcome->answer.len > t->engine->config.answer_max_bytes ||
                     (!t->unclaim && seal_answer(t, outcome->answer));
    if (!t->drop_answer) {
        sp_buf_add_text(&t->answer, outcome->answer);
    }
    t->job.work = settle_work;
}

void sp_engine_finish(struct sp_engine *engine, struct sp_ticket *ticket,
                      const struct sp_outcome *outcome, sp_engine_done done, void *user)
{
    struct sp_ticket *t = ticket;
    t->open = false;
    t->finished = done;
    t->finished_user = user;
    t->job.work = NULL;
    t->job.done = on_outcome;
    t->call = NULL;
    if (t->id[0]) {
        keep_answer(t, outcome);
    }
    if (outcome->kind == SP_OUTCOME_NOT_SENT && t->judged.n_budgets > 0) {
        t->job.work = return_work;
    }
    record_outcome(t, outcome);
    if (outcome->held_key) {
        note_hit(t);
    }
    bool waits = is_awaited(t);
    t->job.lazy =
        !waits &&
        !t->job.work; /* nobody waits for it: it shares the fsync of the next intent */
    sp_status status = sp_commit_submit(engine->commit, &t->job);
    if (status) { /* the audit has stopped: what was done cannot be recorded, and nothing more
                     is */
        struct sp_error err = {"the outcome cannot be recorded"};
        if (done) {
            done(user, status, &err);
        }
        serve_waiters(t);
        ticket_free(t);
    } else if (!waits && done) {
        done(user, SP_OK, NULL);
    }
}
