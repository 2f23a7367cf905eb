/* Leases: their rows, their secrets, and the tokens that use them. */
#include "inner.h"
#include "lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRESH_MS = 60000 };

static struct lease *lease_of(struct sp_lease *public)
{
    return (struct lease *)public;
}

/* ---- in memory ------------------------------------------------------------------------------
 */

static void drop_secrets(struct lease *lease)
{
    sp_key_unref(NULL, lease->minted ? &lease->minted->public : NULL);
    sp_key_unref(NULL, lease->key ? &lease->key->public : NULL);
    lease->minted = lease->key = NULL;
    lease->public.held = false;
}

static void lease_unref(struct lease *lease)
{
    if (lease && --lease->n_refs == 0) {
        drop_secrets(lease);
        free(lease->users);
        free(lease->words);
        free(lease);
    }
}

/* Off the list; those who hold it still may read it. */
static void unlist(struct sp_engine *engine, struct lease *lease)
{
    for (struct lease **place = &engine->leases; *place; place = &(*place)->next) {
        if (*place == lease) {
            *place = lease->next;
            lease->next = NULL;
            lease->public.state = SP_LEASE_ENDING;
            drop_secrets(lease);
            lease_unref(lease);
            return;
        }
    }
}

/* At the end of the list, which is in the order of making. */
static struct lease *lease_new(struct sp_engine *engine, const struct sp_lease_row *row)
{
    struct lease *lease = calloc(1, sizeof *lease);
    char *words = malloc(row->permissions.len + 1);
    if (!lease || !words) {
        free(lease);
        free(words);
        return NULL;
    }
    if (row->permissions.len) {
        memcpy(words, row->permissions.ptr, row->permissions.len);
    }
    words[row->permissions.len] = '\0';
    lease->words = words;
    lease->n_refs = 1;
    struct sp_lease *public = &lease->public;
    memcpy(public->id, row->id, sizeof public->id);
    sp_hex_encode(row->id, sizeof row->id, public->hex);
    copy_name(row->key, public->key, sizeof public->key);
    copy_name(row->provider, public->provider, sizeof public->provider);
    public->key_version = row->version;
    public->words = (struct sp_text){words, row->permissions.len};
    public->state = row->state;
    public->made_ms = row->made_ms;
    public->expires_ms = row->expires_ms;
    struct lease **place = &engine->leases;
    while (*place) {
        place = &(*place)->next;
    }
    *place = lease;
    return lease;
}

static sp_status add_user(struct lease *lease, const uint8_t token[SP_TOKEN_ID_BYTES])
{
    for (size_t i = lease->public.n_tokens; i-- > 0;) {
        if (memcmp(lease->users[i], token, SP_TOKEN_ID_BYTES) == 0) {
            return SP_OK;
        }
    }
    if (lease->public.n_tokens == lease->users_room) {
        size_t room = lease->users_room ? 2 * lease->users_room : 8;
        void *more = realloc(lease->users, room * sizeof *lease->users);
        if (!more) {
            return SP_ENOMEM;
        }
        lease->users = more;
        lease->users_room = room;
    }
    memcpy(lease->users[lease->public.n_tokens++], token, SP_TOKEN_ID_BYTES);
    lease->had_users = true;
    return SP_OK;
}

/* ---- what a token knows of its leases -------------------------------------------------------
 */

void lease_uses_free(struct lease_use *use)
{
    while (use) {
        struct lease_use *next = use->next;
        lease_unref(use->lease);
        free(use->words);
        free(use);
        use = next;
    }
}

static struct lease_use *use_find(const struct live_token *token, struct sp_text key)
{
    for (struct lease_use *use = token->leases; use; use = use->next) {
        if (sp_text_is(key, use->key)) {
            return use;
        }
    }
    return NULL;
}

static sp_status use_put(struct live_token *token, struct sp_text key, uint32_t version,
                         struct sp_text words, struct lease *lease)
{
    struct lease_use *use = use_find(token, key);
    char *copy = malloc(words.len + 1);
    if (copy && !use) {
        use = calloc(1, sizeof *use);
        if (use) {
            copy_name(key, use->key, sizeof use->key);
            use->next = token->leases;
            token->leases = use;
        }
    }
    if (!copy || !use) {
        free(copy);
        return SP_ENOMEM;
    }
    if (words.len) {
        memcpy(copy, words.ptr, words.len);
    }
    copy[words.len] = '\0';
    if (lease) {
        lease->n_refs++;
    }
    free(use->words);
    lease_unref(use->lease);
    use->words = copy;
    use->n_words = words.len;
    use->version = version;
    use->lease = lease;
    return SP_OK;
}

void sp_ticket_lease(const struct sp_ticket *ticket, struct sp_text *ret_words,
                     struct sp_lease **ret_lease)
{
    const struct sp_key *key = &ticket_key(ticket)->public;
    const struct lease_use *use = use_find(ticket_token(ticket), key->id);
    bool known = use && use->version == key->version;
    *ret_words = known ? (struct sp_text){use->words, use->n_words} : (struct sp_text){NULL, 0};
    *ret_lease = known && use->lease && use->lease->public.state == SP_LEASE_LIVE &&
                         use->lease->public.held
                     ? &use->lease->public
                     : NULL;
}

sp_status sp_ticket_lease_words(struct sp_ticket *ticket, struct sp_text words)
{
    const struct sp_key *key = &ticket_key(ticket)->public;
    return use_put(ticket_token(ticket), key->id, key->version, words, NULL);
}

/* ---- secrets --------------------------------------------------------------------------------
 */

/* The box is of this row, and of what stands in it in plain text. */
enum { BOX_NAME_BYTES = SP_LEASE_ID_HEX_BYTES + 1 + 2 * SP_HASH_BYTES + 1 };

static struct sp_text box_name(const struct sp_lease *lease, char text[BOX_NAME_BYTES])
{
    struct sp_hash hash;
    uint8_t digest[SP_HASH_BYTES];
    char hex[2 * SP_HASH_BYTES + 1];
    sp_hash_init(&hash, NULL);
    sp_hash_part(&hash, lease->key, strlen(lease->key));
    sp_hash_part(&hash, lease->provider, strlen(lease->provider));
    sp_hash_part(&hash, lease->words.ptr, lease->words.len);
    sp_hash_done(&hash, digest);
    sp_hex_encode(digest, sizeof digest, hex);
    (void)snprintf(text, BOX_NAME_BYTES, "%s|%s", lease->hex, hex);
    return sp_text_of(text);
}

/* What the box of a row holds; on the commit thread, at unsealing. */
static sp_status open_box(const struct sp_keyring *keyring, struct sp_pool *pool,
                          const struct sp_lease *lease, const struct sp_lease_row *row,
                          struct key_version **ret_minted)
{
    struct sp_secret plain;
    char name[BOX_NAME_BYTES];
    sp_status status = sp_keyring_unseal(keyring, "leases", box_name(lease, name), row->version,
                                         row->ring, row->secrets, pool, &plain);
    if (!status) {
        status = version_of_secrets(pool, &plain, ret_minted);
        sp_secret_free(&plain);
    }
    return status;
}

const struct sp_key *sp_lease_key(struct sp_engine *engine, struct sp_lease *public)
{
    struct lease *lease = lease_of(public);
    struct key_version *base = key_find(engine, sp_text_of(public->key));
    if (engine->state != SP_ENGINE_READY || !base) {
        return NULL;
    }
    if (!lease->minted) { /* never captured */
        sp_key_ref(&base->public);
        return &base->public;
    }
    if (!lease->key || lease->key->base != base) {
        struct key_version *joined = NULL;
        if (version_join(base, lease->minted, &joined)) {
            return NULL;
        }
        sp_key_unref(engine, lease->key ? &lease->key->public : NULL);
        lease->key = joined;
    }
    sp_key_ref(&lease->key->public);
    return &lease->key->public;
}

void sp_lease_hold(struct sp_engine *engine, struct sp_lease *public)
{
    lease_of(public)->n_refs++;
    public->n_calls++;
    public->used_ms = engine_wall(engine);
}

void sp_lease_release(struct sp_engine *engine, struct sp_lease *public)
{
    (void)engine;
    public->n_calls--;
    lease_unref(lease_of(public));
}

/* ---- reading, sealing -----------------------------------------------------------------------
 */

static sp_status load_row(void *user, const struct sp_lease_row *row)
{
    struct lease *lease = lease_new(user, row);
    if (!lease) {
        return SP_ENOMEM;
    }
    if (lease->public.state == SP_LEASE_MINTING) { /* who tried it did not live to tell */
        lease->public.state = SP_LEASE_ENDING;
    }
    return SP_OK;
}

static sp_status load_user(void *user, const uint8_t id[SP_LEASE_ID_BYTES],
                           const uint8_t token_id[SP_TOKEN_ID_BYTES])
{
    struct sp_engine *engine = user;
    struct sp_lease *found = sp_engine_lease_by_id(engine, id);
    struct live_token *token = token_find(engine, token_id);
    if (!found || !token) {
        return SP_OK; /* one of them is gone */
    }
    struct lease *lease = lease_of(found);
    sp_status status = add_user(lease, token_id);
    return status ? status
                  : use_put(token, sp_text_of(found->key), found->key_version, found->words,
                            lease);
}

sp_status leases_load(struct sp_engine *engine, struct sp_error *err)
{
    sp_status status = sp_store_lease_list(engine->store, load_row, engine, err);
    return status ? status : sp_store_lease_users(engine->store, load_user, engine, err);
}

void leases_free(struct sp_engine *engine)
{
    while (engine->leases) {
        unlist(engine, engine->leases);
    }
}

void leases_seal(struct sp_engine *engine)
{
    for (struct lease *lease = engine->leases; lease; lease = lease->next) {
        drop_secrets(lease);
    }
}

struct opening {
    const struct sp_keyring *keyring;
    struct sp_pool *pool;
    struct opened_lease **last;
};

static sp_status open_row(void *user, const struct sp_lease_row *row)
{
    struct opening *o = user;
    struct sp_engine nobody = {.leases = NULL};
    struct opened_lease *opened = calloc(1, sizeof *opened);
    struct lease *lease = opened ? lease_new(&nobody, row) : NULL; /* for its box's name */
    if (!lease) {
        free(opened);
        return SP_ENOMEM;
    }
    /* One that cannot be opened cannot be used; it ends by itself, or is given up. */
    if (row->secrets.len &&
        open_box(o->keyring, o->pool, &lease->public, row, &opened->minted) == SP_ENOMEM) {
        lease_unref(lease);
        free(opened);
        return SP_ENOMEM;
    }
    memcpy(opened->id, row->id, sizeof opened->id);
    lease_unref(lease);
    *o->last = opened;
    o->last = &opened->next;
    return SP_OK;
}

sp_status leases_open(struct sp_store *store, const struct sp_keyring *keyring,
                      struct sp_pool *pool, struct opened_lease **ret_opened,
                      struct sp_error *err)
{
    struct opening opening = {keyring, pool, ret_opened};
    *ret_opened = NULL;
    sp_status status = sp_store_lease_list(store, open_row, &opening, err);
    if (status) {
        opened_leases_free(*ret_opened);
        *ret_opened = NULL;
    }
    return status;
}

void opened_leases_free(struct opened_lease *opened)
{
    while (opened) {
        struct opened_lease *next = opened->next;
        sp_key_unref(NULL, opened->minted ? &opened->minted->public : NULL);
        free(opened);
        opened = next;
    }
}

void leases_unseal(struct sp_engine *engine, struct opened_lease *opened)
{
    for (struct opened_lease *o = opened; o; o = o->next) {
        struct sp_lease *public = sp_engine_lease_by_id(engine, o->id);
        if (public && o->minted) {
            drop_secrets(lease_of(public));
            lease_of(public)->minted = o->minted;
            public->held = true;
            o->minted = NULL;
        }
    }
    opened_leases_free(opened);
}

/* ---- lists ----------------------------------------------------------------------------------
 */

struct sp_lease *sp_engine_lease_by_id(struct sp_engine *engine,
                                       const uint8_t id[SP_LEASE_ID_BYTES])
{
    for (struct lease *lease = engine->leases; lease; lease = lease->next) {
        if (memcmp(lease->public.id, id, SP_LEASE_ID_BYTES) == 0) {
            return &lease->public;
        }
    }
    return NULL;
}

struct sp_lease *sp_engine_lease_find(struct sp_engine *engine, const struct sp_key *key,
                                      struct sp_text words)
{
    struct sp_lease *found = NULL;
    for (struct lease *lease = engine->leases; lease; lease = lease->next) {
        struct sp_lease *public = &lease->public;
        if (public->state == SP_LEASE_LIVE && public->held &&
            public->key_version == key->version && sp_text_is(key->id, public->key) &&
            sp_text_eq(words, public->words)) {
            found = public;
        }
    }
    return found;
}

void sp_engine_each_lease(struct sp_engine *engine,
                          void (*fn)(void *user, struct sp_lease *lease), void *user)
{
    for (struct lease *lease = engine->leases; lease;) {
        lease->n_refs++;
        fn(user, &lease->public);
        struct lease *next = lease->next;
        lease_unref(lease);
        lease = next;
    }
}

bool sp_lease_is_wanted(struct sp_engine *engine, struct sp_lease *public)
{
    struct lease *lease = lease_of(public);
    while (public->n_tokens > 0) {
        struct sp_decision ignored;
        struct live_token *token = token_find(engine, lease->users[public->n_tokens - 1]);
        if (token && (token_lives(engine, token, &ignored) ||
                      !(token->revoked_ms || token->seen_expired))) {
            return true;
        }
        public->n_tokens--;
    }
    return public->n_calls > 0 ||
           (!lease->had_users && engine_wall(engine) - public->made_ms < FRESH_MS);
}

/* ---- changes --------------------------------------------------------------------------------
 */

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
                           struct sp_text words, sp_lease_begun begun, void *user)
{
    struct change like = {.begun = begun, .who = user}, *c = NULL;
    randombytes_buf(like.row.id, sizeof like.row.id);
    struct simple_job *job = change_job(engine, &like, "lease.mint", &c);
    if (!job) {
        return;
    }
    c->row.key = sp_arena_copy(&job->arena, key->id);
    c->row.provider = sp_arena_copy(&job->arena, key->provider);
    c->row.permissions = sp_arena_copy(&job->arena, words);
    c->row.version = key->version;
    c->row.state = SP_LEASE_MINTING;
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
    record_words(&job->job.records, words);
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
    drop_secrets(c->lease);
    c->lease->minted = c->minted;
    c->minted = NULL;
    public->held = true;
    if (public->state == SP_LEASE_MINTING) {
        public->state = SP_LEASE_LIVE;
    }
}

/* The secrets in a version of their own, and sealed for the row. */
static sp_status seal_lease(struct sp_engine *engine, struct change *c,
                            const struct sp_key_secret *secrets, size_t n_secrets)
{
    struct sp_secret plain = {NULL, NULL, 0};
    char name[BOX_NAME_BYTES];
    const struct sp_lease *lease = &c->lease->public;
    sp_status status =
        engine->keyring ? secrets_encode(engine->pool, secrets, n_secrets, &plain) : SP_ESEALED;
    status = status ? status : version_of_secrets(engine->pool, &plain, &c->minted);
    status = status ? status
                    : sp_keyring_seal(engine->keyring, "leases", box_name(lease, name),
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
    sp_status status = job ? seal_lease(engine, c, secrets, n_secrets) : SP_OK;
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
    unlist(job->engine, c->lease);
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
    if (add_user(c->lease, c->token_id) == SP_OK && c->token) {
        /* Where memory is short the next call asks again. */
        (void)use_put(c->token, sp_text_of(lease->key), lease->key_version, lease->words,
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
