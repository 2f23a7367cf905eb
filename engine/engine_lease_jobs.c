/* The durable steps of a lease's life: each is a job with its record. */
#include "inner.h"
#include "lease.h"

#include <stdlib.h>
#include <string.h>

/* One durable change, from its beginning to its end. */
struct change {
    struct sp_engine *engine;
    struct sp_lease_row row;
    struct lease *lease;          /* held; NULL: of a minting that is about to begin */
    struct sp_lease *begun_lease; /* what came of that */
    struct key_version *minted;
    struct live_token *token; /* held */
    uint8_t token_id[SP_TOKEN_ID_BYTES];
    struct sp_buf box;
    sp_lease_begun begun;
    sp_engine_done done;
    void *who;
};

/* Permissions are names of this provider's, and no secret. */
static void record_words(struct sp_buf *buf, struct sp_text words)
{
    enum { RECORDED_MAX_BYTES = 4096 };
    bool cut = words.len > RECORDED_MAX_BYTES;
    record_text(buf, "permissions",
                (struct sp_text){words.ptr, cut ? RECORDED_MAX_BYTES : words.len});
    if (cut) {
        record_number(buf, "permissions_bytes", (int64_t)words.len);
    }
}

/* The job's own end: the caller hears of it, then what was held is let go. */
static void on_change(void *user, sp_status status, const struct sp_error *err)
{
    static const struct sp_error memory = {"out of memory"};
    struct change *c = user;
    if (c->begun && !status &&
        !c->begun_lease) { /* on record: it is ended after the next start */
        c->begun(c->who, SP_ENOMEM, NULL, &memory);
    } else if (c->begun) {
        c->begun(c->who, status, c->begun_lease, err);
    } else if (c->done) {
        c->done(c->who, status, err);
    }
    sp_key_unref(NULL, c->minted ? &c->minted->public : NULL);
    token_unref(c->engine, c->token);
    lease_unref(c->lease);
    sp_buf_done(&c->box);
    free(c);
}

/* A job with a record that is begun; NULL: begun or done was called. */
static struct simple_job *change_job(struct sp_engine *engine, const struct change *like,
                                     const char *record, struct change **ret_change)
{
    static const struct sp_error memory = {"out of memory"};
    struct change *c = calloc(1, sizeof *c);
    if (!c) {
        if (like->begun) {
            like->begun(like->who, SP_ENOMEM, NULL, &memory);
        } else if (like->done) {
            like->done(like->who, SP_ENOMEM, &memory);
        }
        return NULL;
    }
    *c = *like;
    c->engine = engine;
    sp_buf_init(&c->box, 2 * SP_SECRET_MAX_BYTES);
    if (c->lease) {
        c->lease->n_refs++;
        memcpy(c->row.id, c->lease->public.id, sizeof c->row.id);
    }
    struct simple_job *job = simple_job_new(engine, on_change, c);
    if (job) {
        job->payload = c;
        record_begin(&job->job.records, record);
        record_hex(&job->job.records, "lease", c->row.id, sizeof c->row.id);
        if (c->lease) {
            record_text(&job->job.records, "key", sp_text_of(c->lease->public.key));
        }
        *ret_change = c;
    }
    return job;
}

static sp_status begin_work(struct sp_job *job, struct sp_store *store)
{
    const struct change *c = ((struct simple_job *)job)->payload;
    return sp_store_lease_add(store, &c->row, &job->err);
}

static void after_begin(struct simple_job *job)
{
    struct change *c = job->payload;
    struct lease *lease = lease_new(job->engine, &c->row);
    c->begun_lease = lease ? &lease->public : NULL;
}

void sp_engine_lease_begin(struct sp_engine *engine, const struct sp_key *key,
                           enum sp_lease_kind kind, struct sp_text words, struct sp_text by,
                           sp_lease_begun begun, void *user)
{
    struct change like = {.begun = begun, .who = user}, *c = NULL;
    randombytes_buf(like.row.id, sizeof like.row.id);
    struct simple_job *job = change_job(
        engine, &like, kind == SP_LEASE_ROTATION ? "key.succession" : "lease.mint", &c);
    if (!job) {
        return;
    }
    c->row.key = sp_arena_copy(&job->arena, key->id);
    c->row.provider = sp_arena_copy(&job->arena, key->provider);
    c->row.permissions = sp_arena_copy(&job->arena, words);
    c->row.version = key->since;
    c->row.state = SP_LEASE_MINTING;
    c->row.kind = kind;
    c->row.made_ms = engine_wall(engine);
    if (!c->row.key.ptr || !c->row.provider.ptr || !c->row.permissions.ptr ||
        words.len > SP_LEASE_WORDS_MAX_BYTES) {
        simple_job_fail(job, SP_ETOOBIG, "the permissions of this lease are too long");
        return;
    }
    job->job.work = begin_work;
    job->after = after_begin;
    record_text(&job->job.records, "key", key->id);
    record_number(&job->job.records, "key_version", key->version);
    if (kind == SP_LEASE_ROTATION) {
        record_text(&job->job.records, "by", by);
    } else {
        record_words(&job->job.records, words);
    }
    record_end(&job->job.records);
    simple_job_submit(job);
}

static sp_status live_work(struct sp_job *job, struct sp_store *store)
{
    const struct change *c = ((struct simple_job *)job)->payload;
    return sp_store_lease_live(store, &c->row, &job->err);
}

static void after_live(struct simple_job *job)
{
    struct change *c = job->payload;
    struct sp_lease *public = &c->lease->public;
    public->expires_ms = c->row.expires_ms;
    if (job->engine->state != SP_ENGINE_READY) {
        return; /* sealed meanwhile: it is opened at the next unsealing */
    }
    lease_drop_secrets(c->lease);
    c->lease->minted = c->minted;
    c->minted = NULL;
    public->held = true;
    if (public->state == SP_LEASE_MINTING) {
        public->state = SP_LEASE_LIVE;
    }
}

/* The secrets in a version of their own, and sealed for the row. */
static sp_status seal_lease(struct sp_engine *engine, const struct sp_lease *lease,
                            struct change *c, const struct sp_key_secret *secrets,
                            size_t n_secrets)
{
    struct sp_secret plain = {NULL, NULL, 0};
    char name[LEASE_BOX_NAME_BYTES];
    sp_status status =
        engine->keyring ? secrets_encode(engine->pool, secrets, n_secrets, &plain) : SP_ESEALED;
    status = status ? status : version_of_secrets(engine->pool, &plain, &c->minted);
    status = status ? status
                    : sp_keyring_seal(engine->keyring, "leases", lease_box_name(lease, name),
                                      lease->key_version, sp_secret_text(&plain), &c->box,
                                      &c->row.ring);
    sp_secret_free(&plain);
    return status;
}

void sp_engine_lease_live(struct sp_engine *engine, struct sp_lease *lease,
                          struct sp_key_secret *secrets, size_t n_secrets, uint64_t life_ms,
                          sp_engine_done done, void *user)
{
    struct change like = {.lease = lease_of(lease), .done = done, .who = user}, *c = NULL;
    struct simple_job *job = change_job(engine, &like, "lease.live", &c);
    sp_status status = job ? seal_lease(engine, lease, c, secrets, n_secrets) : SP_OK;
    for (size_t i = 0; i < n_secrets; i++) {
        sp_secret_free(&secrets[i].value);
    }
    if (!job) {
        return;
    }
    if (status) {
        simple_job_fail(job, status, "the minted credential cannot be kept");
        return;
    }
    c->row.secrets = sp_buf_text(&c->box);
    c->row.expires_ms = life_ms ? lease->made_ms + (int64_t)life_ms : 0;
    job->job.work = live_work;
    job->after = after_live;
    record_number(&job->job.records, "expires", c->row.expires_ms);
    record_end(&job->job.records);
    simple_job_submit(job);
}

/* ---- a rotation's successor takes the key's place -------------------------------------------
 */

struct success {
    struct change change; /* row and box: what is to be ended */
    struct sp_lease *lease;
};

static sp_status swap_work(void *user, struct sp_store *store, struct sp_error *err)
{
    const struct success *s = user;
    return sp_store_lease_swap(store, &s->change.row, err);
}

static void on_succeeded(void *user, sp_status status, const struct sp_error *err)
{
    struct success *s = user;
    struct lease *lease = s->change.lease;
    if (!status) {
        bool held = s->lease->held;
        s->lease->state = SP_LEASE_ENDING;
        lease_drop_secrets(lease);
        if (held) { /* else sealed meanwhile: it is opened at the next unsealing */
            lease->minted = s->change.minted;
            s->change.minted = NULL;
            s->lease->held = true;
        }
    }
    s->change.done(s->change.who, status, err);
    sp_key_unref(NULL, s->change.minted ? &s->change.minted->public : NULL);
    sp_buf_done(&s->change.box);
    lease_unref(lease);
    free(s);
}

/* Those of the key's own secrets that the successor has another of; borrowed. */
static size_t replaced_by(const struct lease *lease, const struct sp_key *now,
                          struct sp_key_secret *replaced, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < now->n_secrets; i++) {
        for (size_t k = 0; k < lease->minted->public.n_secrets && n < room; k++) {
            if (sp_text_eq(now->secrets[i].name, lease->minted->public.secrets[k].name)) {
                replaced[n++] = now->secrets[i];
            }
        }
    }
    return n;
}

void sp_engine_lease_succeed(struct sp_engine *engine, struct sp_lease *public,
                             const struct sp_key_input *input, sp_engine_done done, void *user)
{
    enum { REPLACED_MAX = 32 };
    struct lease *lease = lease_of(public);
    struct sp_key_secret replaced[REPLACED_MAX];
    const struct key_version *now = key_find(engine, input->id);
    struct success *s = calloc(1, sizeof *s);
    sp_status status = !s                                                           ? SP_ENOMEM
                       : !now || !lease->minted || engine->state != SP_ENGINE_READY ? SP_ESEALED
                                                                                    : SP_OK;
    if (s) {
        s->lease = public;
        s->change =
            (struct change){.engine = engine, .lease = lease, .done = done, .who = user};
        memcpy(s->change.row.id, public->id, sizeof public->id);
        sp_buf_init(&s->change.box, 2 * SP_SECRET_MAX_BYTES);
        lease->n_refs++;
    }
    if (!status) {
        size_t n = replaced_by(lease, &now->public, replaced, REPLACED_MAX);
        status = seal_lease(engine, public, &s->change, replaced, n);
        s->change.row.secrets = sp_buf_text(&s->change.box);
    }
    if (status) {
        struct sp_error err = {"what is replaced cannot be kept"};
        for (size_t i = 0; i < input->n_secrets; i++) {
            sp_secret_free(&input->secrets[i].value);
        }
        if (s) {
            on_succeeded(s, status, &err);
        } else {
            done(user, status, &err);
        }
        return;
    }
    const struct put_besides besides = {swap_work, sp_text_of(public->hex), s};
    key_succeed(engine, input, &besides, on_succeeded, s);
}

static sp_status end_work(struct sp_job *job, struct sp_store *store)
{
    const struct change *c = ((struct simple_job *)job)->payload;
    return sp_store_lease_end(store, c->row.id, &job->err);
}

void sp_engine_lease_end(struct sp_engine *engine, struct sp_lease *lease, const char *why,
                         struct sp_text by, sp_engine_done done, void *user)
{
    struct change like = {.lease = lease_of(lease), .done = done, .who = user}, *c = NULL;
    lease->state = SP_LEASE_ENDING; /* from here on no call takes it */
    struct simple_job *job = change_job(engine, &like, "lease.end", &c);
    if (job) {
        job->job.work = end_work;
        record_text(&job->job.records, "why", sp_text_of(why));
        if (by.len) {
            record_text(&job->job.records, "by", by);
        }
        record_end(&job->job.records);
        simple_job_submit(job);
    }
}

static sp_status gone_work(struct sp_job *job, struct sp_store *store)
{
    const struct change *c = ((struct simple_job *)job)->payload;
    return sp_store_lease_remove(store, c->row.id, &job->err);
}

static void after_gone(struct simple_job *job)
{
    const struct change *c = job->payload;
    lease_unlist(job->engine, c->lease);
}

void sp_engine_lease_gone(struct sp_engine *engine, struct sp_lease *lease, const char *how,
                          sp_engine_done done, void *user)
{
    struct change like = {.lease = lease_of(lease), .done = done, .who = user}, *c = NULL;
    lease->state = SP_LEASE_ENDING;
    struct simple_job *job = change_job(engine, &like, "lease.gone", &c);
    if (job) {
        job->job.work = gone_work;
        job->after = after_gone;
        record_text(&job->job.records, "how", sp_text_of(how));
        record_end(&job->job.records);
        simple_job_submit(job);
    }
}

static sp_status use_work(struct sp_job *job, struct sp_store *store)
{
    const struct change *c = ((struct simple_job *)job)->payload;
    return sp_store_lease_use(store, c->row.id, c->token_id, &job->err);
}

static void after_use(struct simple_job *job)
{
    struct change *c = job->payload;
    struct sp_lease *lease = &c->lease->public;
    if (lease_add_user(c->lease, c->token_id) == SP_OK && c->token) {
        /* Where memory is short the next call asks again. */
        (void)lease_use_put(c->token, sp_text_of(lease->key), lease->key_version, lease->words,
                            c->lease);
    }
}

void sp_ticket_lease_use(struct sp_ticket *ticket, struct sp_lease *lease, sp_engine_done done,
                         void *user)
{
    struct live_token *token = ticket_token(ticket);
    struct change like = {.lease = lease_of(lease), .done = done, .who = user}, *c = NULL;
    struct simple_job *job = change_job(ticket_engine(ticket), &like, "lease.use", &c);
    if (job) {
        memcpy(c->token_id, token->id, sizeof c->token_id);
        c->token = token;
        token->n_refs++;
        job->job.work = use_work;
        job->after = after_use;
        record_hex(&job->job.records, "root", token->id, sizeof token->id);
        record_end(&job->job.records);
        simple_job_submit(job);
    }
}

void sp_engine_lease_http(struct sp_engine *engine, const struct sp_lease *lease,
                          const struct sp_request *request, sp_engine_done done, void *user)
{
    struct change like = {.lease = (struct lease *)(uintptr_t)lease, .done = done, .who = user};
    struct change *c = NULL;
    struct simple_job *job = change_job(engine, &like, "lease.http", &c);
    if (job) {
        record_request(engine, &job->job.records, request);
        record_end(&job->job.records);
        simple_job_submit(job);
    }
}
