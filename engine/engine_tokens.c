/* The table of live tokens, and proving one. */
#include "inner.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKETS_MIN = 1024, GRANT_ARENA_MAX_BYTES = 1 << 20 };

/* ---- frozen scopes, shared
 * ------------------------------------------------------------------- */

static size_t bucket_of(const struct sp_engine *engine, const void *bytes, size_t len, size_t n)
{
    uint64_t hash;
    (void)crypto_shorthash((uint8_t *)&hash, bytes, len, engine->hash_key);
    return (size_t)(hash & (n - 1));
}

static void frozen_unref(struct sp_engine *engine, struct frozen *frozen)
{
    if (!frozen || --frozen->n_refs > 0) {
        return;
    }
    struct frozen **place = &engine->frozen[bucket_of(engine, frozen->hash, sizeof frozen->hash,
                                                      engine->frozen_buckets)];
    while (*place != frozen) {
        place = &(*place)->next;
    }
    *place = frozen->next;
    sp_matcher_free(frozen->matcher);
    sp_scope_free(frozen->scope);
    free((void *)(uintptr_t)frozen->text.ptr);
    free(frozen);
}

static sp_status frozen_get(struct sp_engine *engine, struct sp_text text, bool is_caveat,
                            struct frozen **ret_frozen)
{
    uint8_t hash[SP_HASH_BYTES];
    *ret_frozen = NULL;
    if (text.len == 0) {
        return SP_OK;
    }
    sp_grant_hash(text, hash);
    struct frozen **place =
        &engine->frozen[bucket_of(engine, hash, sizeof hash, engine->frozen_buckets)];
    for (struct frozen *f = *place; f; f = f->next) {
        if (f->is_caveat == is_caveat && memcmp(f->hash, hash, sizeof hash) == 0) {
            f->n_refs++;
            *ret_frozen = f;
            return SP_OK;
        }
    }
    struct frozen *f = calloc(1, sizeof *f);
    char *copy = malloc(text.len);
    sp_status status = f && copy ? SP_OK : SP_ENOMEM;
    if (!status) {
        memcpy(copy, text.ptr, text.len);
        f->text = (struct sp_text){copy, text.len};
        status = is_caveat ? sp_caveat_parse(f->text, &f->scope, NULL)
                           : sp_scope_parse(f->text, &f->scope, NULL);
    }
    if (status) {
        free(copy);
        free(f);
        return status == SP_ENOMEM ? status : SP_ECORRUPT;
    }
    memcpy(f->hash, hash, sizeof hash);
    f->is_caveat = is_caveat;
    f->n_refs = 1;
    f->next = *place;
    *place = f;
    *ret_frozen = f;
    return SP_OK;
}

/* ---- the table
 * ------------------------------------------------------------------------------- */

static struct live_token **token_place(const struct sp_engine *engine, const uint8_t *id)
{
    struct live_token **place =
        &engine->tokens[bucket_of(engine, id, SP_TOKEN_ID_BYTES, engine->token_buckets)];
    while (*place && memcmp((*place)->id, id, SP_TOKEN_ID_BYTES) != 0) {
        place = &(*place)->next;
    }
    return place;
}

struct live_token *token_find(const struct sp_engine *engine, const uint8_t *id)
{
    return *token_place(engine, id);
}

static void token_free(struct sp_engine *engine, struct live_token *token)
{
    lease_uses_free(token->leases);
    frozen_unref(engine, token->scope);
    frozen_unref(engine, token->narrow);
    frozen_unref(engine, token->caveat);
    free(token->guard_key);
    free(token);
}

void token_unref(struct sp_engine *engine, struct live_token *token)
{
    if (token && --token->n_refs == 0 && !token->listed) {
        token_free(engine, token);
    }
}

/* Twice the buckets when there are more tokens than buckets. */
static void table_grow(struct sp_engine *engine)
{
    size_t n_old = engine->token_buckets;
    struct live_token **old = engine->tokens;
    struct live_token **table = calloc(2 * n_old, sizeof *table);
    if (!table) {
        return; /* longer chains are only slower */
    }
    engine->tokens = table;
    engine->token_buckets = 2 * n_old;
    for (size_t i = 0; i < n_old; i++) {
        while (old[i]) {
            struct live_token *token = old[i];
            old[i] = token->next;
            struct live_token **place = token_place(engine, token->id);
            token->next = NULL;
            *place = token;
        }
    }
    free(old);
}

/* A text of a token's names, behind those that are there. */
static const char *name_put(char **at, struct sp_text name)
{
    char *put = *at;
    if (name.len > 0) {
        memcpy(put, name.ptr, name.len);
    }
    put[name.len] = '\0';
    *at += name.len + 1;
    return put;
}

/* One that stands nowhere yet, of its grant. */
static sp_status token_new(struct sp_engine *engine, const struct sp_grant *grant,
                           struct live_token **ret_token)
{
    size_t names = grant->principal.len + grant->scope_name.len + grant->bind.len + 3;
    struct live_token *token = calloc(1, sizeof *token + names);
    if (!token) {
        return SP_ENOMEM;
    }
    char *at = token->names;
    token->principal = name_put(&at, grant->principal);
    token->scope_name = name_put(&at, grant->scope_name);
    token->bind = name_put(&at, grant->bind);
    token->issued_ms = grant->issued_ms;
    token->expires_ms = grant->expires_ms;
    token->expires_boot_ms = grant->expires_boot_ms;
    token->same_boot = sp_text_is(grant->boot_id, engine->config.clock.boot_id);
    sp_status status = frozen_get(engine, grant->scope, false, &token->scope);
    status = status ? status : frozen_get(engine, grant->narrow, false, &token->narrow);
    status = status ? status : frozen_get(engine, grant->caveat, true, &token->caveat);
    status = !status && !token->scope ? SP_ECORRUPT : status;
    if (status) {
        token_free(engine, token);
        return status;
    }
    *ret_token = token;
    return SP_OK;
}

static sp_status note_guard_key(struct live_token *token, struct sp_text key)
{
    char *copy = key.len ? strndup(key.ptr, key.len) : NULL;
    if (key.len && !copy) {
        return SP_ENOMEM;
    }
    free(token->guard_key);
    token->guard_key = copy;
    return SP_OK;
}

sp_status token_insert(struct sp_engine *engine, const struct sp_token_row *row,
                       struct live_token **ret_token)
{
    struct sp_arena arena;
    struct sp_grant grant;
    struct live_token *token = NULL;
    sp_arena_init(&arena, GRANT_ARENA_MAX_BYTES);
    sp_status status = sp_grant_decode(&arena, row->grant, &grant);
    status = status ? status : token_new(engine, &grant, &token);
    sp_arena_done(&arena);
    status = status ? status : note_guard_key(token, row->guard_key);
    struct live_token **place = token_place(engine, row->id);
    if (!status && *place) {
        status = SP_EEXIST;
    }
    if (status) {
        if (token) {
            token_free(engine, token);
        }
        return status;
    }
    memcpy(token->id, row->id, SP_TOKEN_ID_BYTES);
    sp_grant_hash(row->grant, token->grant_hash);
    token->revoked_ms = row->revoked_ms;
    token->suspended_ms = row->suspended_ms;
    token->guard_hits = row->guard_hits;
    token->listed = true;
    *place = token;
    if (++engine->n_tokens > engine->token_buckets) {
        table_grow(engine);
    }
    *ret_token = token;
    return SP_OK;
}

static sp_status token_row(void *user, const struct sp_token_row *row)
{
    struct live_token *token;
    sp_status status = token_insert(user, row, &token);
    return status == SP_ENOMEM ? status : SP_OK; /* a damaged row is a token that is unknown */
}

sp_status tokens_load(struct sp_engine *engine, struct sp_error *err)
{
    engine->token_buckets = engine->frozen_buckets = BUCKETS_MIN;
    engine->tokens = calloc(BUCKETS_MIN, sizeof *engine->tokens);
    engine->frozen = calloc(BUCKETS_MIN, sizeof *engine->frozen);
    if (!engine->tokens || !engine->frozen) {
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    return sp_store_token_list(engine->store, token_row, engine, err);
}

static void unlist(struct sp_engine *engine, struct live_token **place)
{
    struct live_token *token = *place;
    *place = token->next;
    token->listed = false;
    engine->n_tokens--;
    if (token->n_refs == 0) {
        token_free(engine, token);
    }
}

void tokens_free(struct sp_engine *engine)
{
    for (size_t i = 0; engine->tokens && i < engine->token_buckets; i++) {
        while (engine->tokens[i]) {
            unlist(engine, &engine->tokens[i]);
        }
    }
    for (size_t i = 0; i < CHAINS; i++) {
        for (size_t c = 0; c < engine->chains[i].n; c++) {
            sp_scope_free(engine->chains[i].scopes[c]);
        }
    }
    free(engine->tokens);
    free(engine->frozen);
}

/* Forget what expired an hour ago, by the clock that its life is counted by: until then it is
 * refused by name. */
void tokens_purge(struct sp_engine *engine)
{
    int64_t wall = engine_wall(engine) - 3600000, boot = engine_boot(engine) - 3600000;
    for (size_t i = 0; i < engine->token_buckets; i++) {
        struct live_token **place = &engine->tokens[i];
        while (*place) {
            if ((*place)->same_boot ? (*place)->expires_boot_ms < boot
                                    : (*place)->expires_ms < wall) {
                unlist(engine, place);
            } else {
                place = &(*place)->next;
            }
        }
    }
}

/* Once seen it stays so, whatever the clock does then. */
static bool has_expired(const struct live_token *token, int64_t wall_ms, int64_t boot_ms)
{
    return token->seen_expired || (token->same_boot ? boot_ms >= token->expires_boot_ms
                                                    : wall_ms >= token->expires_ms);
}

uint64_t tokens_count_live(struct sp_engine *engine)
{
    int64_t wall = engine_wall(engine), boot = engine_boot(engine);
    uint64_t n = 0;
    for (size_t i = 0; i < engine->token_buckets; i++) {
        for (const struct live_token *t = engine->tokens[i]; t; t = t->next) {
            n += !t->revoked_ms && !has_expired(t, wall, boot);
        }
    }
    return n;
}

/* ---- proving
 * --------------------------------------------------------------------------------- */

bool token_lives(struct sp_engine *engine, struct live_token *token,
                 struct sp_decision *decision)
{
    int64_t wall = engine_wall(engine);
    if (token->revoked_ms) {
        decide(decision, SP_CODE_TOKEN_REVOKED, "ask for a new one", "the token was revoked");
        return false;
    }
    if (!token->seen_expired && !token->same_boot && wall < engine->high_water_ms) {
        decide(decision, SP_CODE_CLOCK, "set the host's clock right",
               "the host's clock stands behind what it has shown before");
        return false;
    }
    token->seen_expired = has_expired(token, wall, engine_boot(engine));
    if (token->seen_expired) {
        decide(decision, SP_CODE_TOKEN_EXPIRED, "ask for a new one", "the token has expired");
    } else if (token->suspended_ms) {
        decide(decision, SP_CODE_TOKEN_SUSPENDED,
               "ask the operator; `sallyport token resume` lifts it",
               "the token is suspended: answers to its calls held the key");
    }
    return !token->seen_expired && !token->suspended_ms;
}

void record_token(struct sp_buf *buf, const struct live_token *token)
{
    record_hex(buf, "root", token->id, sizeof token->id);
    record_text(buf, "principal", sp_text_of(token->principal));
    record_text(buf, "scope", sp_text_of(token->scope_name));
}

bool token_hit(struct sp_engine *engine, struct live_token *token, struct sp_text key)
{
    token->guard_hits++;
    (void)note_guard_key(token, key); /* without memory the last one's stands: the hit counts */
    if (token->guard_hits < GUARD_HITS_MAX || token->suspended_ms) {
        return false;
    }
    token->suspended_ms = engine_wall(engine); /* from here on nothing starts */
    return true;
}

bool token_prove(struct sp_engine *engine, struct sp_arena *arena, struct sp_text text,
                 bool any_life, struct sp_token *ret_parsed, struct live_token **ret_token,
                 struct sp_decision *decision)
{
    static const uint8_t nothing[SP_HASH_BYTES];
    uint32_t id;
    const uint8_t *key =
        engine->keyring ? sp_keyring_key(engine->keyring, SP_PURPOSE_TOKEN, &id) : NULL;
    if (!key) {
        decide(decision, SP_CODE_SEALED, "an operator has to unseal it", "the host is sealed");
        return false;
    }
    /* An unknown or malformed token costs the same hashing as a known one. */
    bool formed = sp_token_parse(arena, text, ret_parsed) == SP_OK;
    if (!formed) {
        *ret_parsed = (struct sp_token){.n_caveats = 0};
    }
    struct live_token *token = formed ? token_find(engine, ret_parsed->id) : NULL;
    sp_status status = sp_token_verify(ret_parsed, key, token ? token->grant_hash : nothing);
    if (status || !token) {
        decide(decision, SP_CODE_TOKEN_INVALID, "ask for a new one",
               "this is no token of this host");
        return false;
    }
    memcpy(decision->root, token->id, SP_TOKEN_ID_BYTES);
    copy_name(sp_text_of(token->principal), decision->principal, sizeof decision->principal);
    copy_name(sp_text_of(token->scope_name), decision->scope, sizeof decision->scope);
    *ret_token = token;
    return any_life || token_lives(engine, token, decision);
}

static void chain_clear(struct chain *chain)
{
    for (size_t i = 0; i < chain->n; i++) {
        sp_scope_free(chain->scopes[i]);
    }
    chain->n = 0;
    chain->used = false;
}

const struct chain *token_chain(struct sp_engine *engine, const struct sp_token *token)
{
    struct chain *chain =
        &engine->chains[bucket_of(engine, token->tag, sizeof token->tag, CHAINS)];
    if (chain->used && sodium_memcmp(chain->tag, token->tag, sizeof chain->tag) == 0) {
        return chain;
    }
    chain_clear(chain);
    for (size_t i = 0; i < token->n_caveats; i++) {
        if (sp_caveat_parse(token->caveats[i], &chain->scopes[i], NULL)) {
            chain_clear(chain);
            return NULL;
        }
        chain->n++;
    }
    memcpy(chain->tag, token->tag, sizeof chain->tag);
    chain->used = true;
    return chain;
}

/* ---- inspect, list, revoke
 * ------------------------------------------------------------------- */

static void view_of(const struct live_token *token, struct sp_token_view *ret_view)
{
    *ret_view = (struct sp_token_view){
        .principal = sp_text_of(token->principal),
        .scope_name = sp_text_of(token->scope_name),
        .scope = token->scope->text,
        .narrow = token->narrow ? token->narrow->text : SP_TEXT(""),
        .bind = sp_text_of(token->bind),
        .issued_ms = token->issued_ms,
        .expires_ms = token->expires_ms,
        .revoked_ms = token->revoked_ms,
        .suspended_ms = token->suspended_ms,
        .guard_hits = token->guard_hits,
        .guard_key = token->guard_key ? sp_text_of(token->guard_key) : SP_TEXT(""),
        .expired = token->seen_expired,
    };
    memcpy(ret_view->root, token->id, SP_TOKEN_ID_BYTES);
}

void sp_engine_inspect(struct sp_engine *engine, struct sp_arena *arena, struct sp_text curve,
                       struct sp_text token, struct sp_decision *ret_decision,
                       struct sp_token_view *ret_view)
{
    struct sp_token parsed;
    struct live_token *live = NULL;
    struct sp_decision ignored;
    *ret_decision = (struct sp_decision){.code = SP_CODE_OK};
    if (!token_prove(engine, arena, token, true, &parsed, &live, ret_decision)) {
        return;
    }
    if (live->bind[0] && !sp_text_is(curve, live->bind)) {
        decide(ret_decision, SP_CODE_TOKEN_BINDING, "use the client key that it was issued for",
               "the token is bound to another client key");
        return;
    }
    (void)token_lives(engine, live, &ignored); /* for the flag */
    view_of(live, ret_view);
    struct sp_text *caveats = sp_arena_array(arena, parsed.n_caveats + 1, sizeof *caveats);
    if (!caveats) {
        decide(ret_decision, SP_CODE_BUSY, "", "out of memory");
        return;
    }
    size_t n = 0;
    if (live->caveat) {
        caveats[n++] = live->caveat->text;
    }
    for (size_t i = 0; i < parsed.n_caveats; i++) {
        caveats[n++] = parsed.caveats[i];
    }
    ret_view->caveats = caveats;
    ret_view->n_caveats = n;
}

void sp_engine_each_token(struct sp_engine *engine,
                          void (*fn)(void *user, const struct sp_token_view *view), void *user)
{
    for (size_t i = 0; i < engine->token_buckets; i++) {
        for (struct live_token *token = engine->tokens[i]; token; token = token->next) {
            struct sp_token_view view;
            struct sp_decision ignored;
            (void)token_lives(engine, token, &ignored);
            view_of(token, &view);
            fn(user, &view);
        }
    }
}

struct revocation {
    uint8_t root[SP_TOKEN_ID_BYTES];
    int64_t now_ms;
};

static sp_status revoke_work(struct sp_job *job, struct sp_store *store)
{
    const struct revocation *r = ((struct simple_job *)job)->payload;
    return sp_store_token_revoke(store, r->root, r->now_ms, &job->err);
}

/* Whose the token is, and whether he may. */
static struct live_token *revocable(struct sp_engine *engine, struct simple_job *job,
                                    struct sp_text curve, bool as_admin, struct sp_text token,
                                    const uint8_t *root, sp_status *ret_status,
                                    const char **ret_fault)
{
    struct sp_token parsed;
    struct sp_decision decision = {.code = SP_CODE_OK};
    struct live_token *live = NULL;
    if (token.ptr) {
        bool proven = token_prove(engine, &job->arena, token, true, &parsed, &live, &decision);
        bool bound = proven && live->bind[0] && !sp_text_is(curve, live->bind);
        *ret_status = bound                             ? SP_EDENIED
                      : decision.code == SP_CODE_SEALED ? SP_ESEALED
                                                        : SP_ECRYPTO;
        *ret_fault = bound ? "the token is bound to another client key" : "";
        if (!proven) {
            *ret_fault = *ret_status == SP_ESEALED ? "the host is sealed"
                                                   : "this is no token of this host";
        }
        return proven && !bound ? live : NULL;
    }
    const struct actor *actor = actor_find(engine, curve);
    live = root ? token_find(engine, root) : NULL;
    bool own = live && actor && actor->role == SP_ROLE_PRINCIPAL &&
               strcmp(actor->name, live->principal) == 0;
    if (live && (own || as_admin)) {
        return live;
    }
    /* A stranger learns nothing about which ids there are. */
    *ret_status = as_admin ? SP_ENOENT : SP_EDENIED;
    *ret_fault = as_admin ? "there is no live token of that id"
                          : "only its principal may revoke a token by its id";
    return NULL;
}

void sp_engine_revoke(struct sp_engine *engine, struct sp_text curve, bool as_admin,
                      struct sp_text token, const uint8_t *root, sp_engine_done done,
                      void *user)
{
    struct simple_job *job = simple_job_new(engine, done, user);
    sp_status status = SP_OK;
    const char *fault = NULL;
    if (!job) {
        return;
    }
    struct live_token *live =
        revocable(engine, job, curve, as_admin, token, root, &status, &fault);
    struct revocation *r = live ? sp_arena_alloc(&job->arena, sizeof *r) : NULL;
    if (!r) {
        simple_job_fail(job, live ? SP_ENOMEM : status, live ? "out of memory" : fault);
        return;
    }
    r->now_ms = engine_wall(engine);
    memcpy(r->root, live->id, sizeof r->root);
    if (!live->revoked_ms) {
        live->revoked_ms = r->now_ms; /* from here on nothing starts */
    }
    const struct actor *actor = actor_find(engine, curve);
    job->payload = r;
    job->all_the_same = "revoked on this host until it restarts, and not durably";
    job->job.work = revoke_work;
    record_begin(&job->job.records, "revoke");
    record_token(&job->job.records, live);
    record_text(&job->job.records, "by", actor ? sp_text_of(actor->name) : SP_TEXT(""));
    record_end(&job->job.records);
    simple_job_submit(job);
}

/* ---- resuming
 * -------------------------------------------------------------------------------- */

struct resumption {
    uint8_t root[SP_TOKEN_ID_BYTES];
    uint32_t hits; /* that are forgiven: more may come before it is durable */
};

static sp_status resume_work(struct sp_job *job, struct sp_store *store)
{
    const struct resumption *r = ((struct simple_job *)job)->payload;
    return sp_store_token_resume(store, r->root, &job->err);
}

/* Only now that it is durable: until then it stays suspended. */
static void after_resume(struct simple_job *job)
{
    const struct resumption *r = job->payload;
    struct live_token *token = token_find(job->engine, r->root);
    if (!token) {
        return;
    }
    token->guard_hits -= r->hits < token->guard_hits ? r->hits : token->guard_hits;
    if (token->guard_hits < GUARD_HITS_MAX) {
        token->suspended_ms = 0;
    }
    if (token->guard_hits == 0) {
        (void)note_guard_key(token, SP_TEXT(""));
    }
}

void sp_engine_resume(struct sp_engine *engine, const uint8_t root[SP_TOKEN_ID_BYTES],
                      struct sp_text by, sp_engine_done done, void *user)
{
    struct simple_job *job = simple_job_new(engine, done, user);
    if (!job) {
        return;
    }
    const struct live_token *token = token_find(engine, root);
    struct resumption *r = token ? sp_arena_alloc(&job->arena, sizeof *r) : NULL;
    if (!r) {
        simple_job_fail(job, token ? SP_ENOMEM : SP_ENOENT,
                        token ? "out of memory" : "there is no live token of that id");
        return;
    }
    memcpy(r->root, token->id, sizeof r->root);
    r->hits = token->guard_hits;
    job->payload = r;
    job->after = after_resume;
    job->job.work = resume_work;
    record_begin(&job->job.records, "resume");
    record_token(&job->job.records, token);
    record_number(&job->job.records, "hits", token->guard_hits);
    record_text(&job->job.records, "by", by);
    record_end(&job->job.records);
    simple_job_submit(job);
}
