/* The engine's life: create, open, tick, close. */
#include "inner.h"
#include "restore.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    PATH_ROOM = 1200,
    POOL_BYTES = 4 << 20,
    RATE_BUCKETS_MAX = 100000,
    HIGH_WATER_EVERY_MS = 60000,
    PURGE_EVERY_MS = 600000,
    REFUSALS_EVERY_MS = 60000,
    UNWRITTEN_RETRY_MS = 30000,
    CLAIM_LIFE_MS = 24 * 3600 * 1000,
};

/* ---- helpers
 * ---------------------------------------------------------------------------------- */

void decide(struct sp_decision *decision, enum sp_code code, const char *hint,
            const char *format, ...)
{
    va_list args;
    decision->code = code;
    va_start(args, format);
    (void)vsnprintf(decision->reason, sizeof decision->reason, format, args);
    va_end(args);
    (void)snprintf(decision->hint, sizeof decision->hint, "%s", hint);
}

void sp_engine_until_when(const struct sp_engine *engine, struct sp_decision *decision)
{
    if (decision->code == SP_CODE_AUDIT_UNAVAILABLE &&
        (!engine->commit || !sp_commit_healthy(engine->commit, NULL))) {
        (void)snprintf(decision->hint, sizeof decision->hint,
                       "an operator has to restart the host; its log and the disk say why");
        decision->retry_after_ms = UNWRITTEN_RETRY_MS;
    }
}

void copy_name(struct sp_text text, char *ret_name, size_t room)
{
    size_t len = text.len < room ? text.len : room - 1;
    if (len > 0) {
        memcpy(ret_name, text.ptr, len);
    }
    ret_name[len] = '\0';
}

static void path_of(const char *dir, const char *name, char path[PATH_ROOM])
{
    (void)snprintf(path, PATH_ROOM, "%s/%s", dir, name);
}

/* ---- create
 * ----------------------------------------------------------------------------------- */

static sp_status fill_store(struct sp_store *store, struct sp_pool *pool,
                            enum sp_seal_kind kind, struct sp_text unseal,
                            struct sp_text admin_curve, int64_t now_ms, struct sp_error *err)
{
    enum sp_seal_kind found = SP_SEAL_NONE;
    struct sp_client_row admin = {
        .name = SP_TEXT("admin"), .curve = admin_curve, .admin = true, .created_ms = now_ms};
    sp_status status = sp_keyring_kind(store, &found, err);
    if (!status && found != SP_SEAL_NONE) {
        status = sp_fail(err, SP_EEXIST, "there is a store already; nothing was changed");
    }
    if (!status) {
        status = sp_store_begin(store, err);
    }
    if (!status) {
        status = sp_keyring_create(store, pool, kind, unseal, err);
    }
    if (!status) {
        status = sp_store_client_add(store, &admin, err);
    }
    if (!status) {
        status = sp_store_commit(store, err);
    }
    return status;
}

sp_status sp_engine_create(const char *dir, enum sp_seal_kind kind, struct sp_text unseal,
                           struct sp_text admin_curve, struct sp_error *err)
{
    char path[PATH_ROOM];
    struct sp_clock clock;
    struct sp_store *store = NULL;
    struct sp_pool *pool = NULL;
    if (sodium_init() < 0) {
        return sp_fail(err, SP_EUNSUPPORTED, "libsodium does not start");
    }
    path_of(dir, "store.db", path);
    sp_status status = sp_clock_system(&clock, err);
    if (!status) {
        status = sp_pool_new(64 << 10, &pool, err);
    }
    if (!status) {
        status = sp_store_open(path, true, &store, err);
    }
    if (!status) {
        status =
            fill_store(store, pool, kind, unseal, admin_curve, clock.wall_ms(clock.user), err);
    }
    if (store && status) {
        sp_store_rollback(store);
    }
    sp_store_close(store);
    sp_pool_free(pool);
    return status;
}

/* ---- open
 * ------------------------------------------------------------------------------------- */

/* The store and the audit must tell the same story. */
static sp_status compare_heads(struct sp_engine *engine, struct sp_error *err)
{
    struct sp_head head;
    uint8_t mark = 0;
    size_t len = 0;
    if (sp_store_get(engine->store, SP_BACKUP_MARK, &mark, 1, &len, NULL) == SP_OK &&
        mark == 1) {
        return sp_fail(err, SP_ECORRUPT,
                       "store.db is a backup that was put into its place by hand, with tokens "
                       "that may have been revoked since; use `sallyport restore`");
    }
    sp_status status = sp_store_get_head(engine->store, &head, err);
    if (status == SP_ENOENT) {
        return SP_OK; /* nothing was ever recorded */
    }
    return status ? status : sp_audit_holds(engine->audit, &head, err);
}

static void fail_engine(struct sp_engine *engine, const char *reason)
{
    engine->state = SP_ENGINE_FAILED;
    (void)snprintf(engine->reason, sizeof engine->reason, "%s", reason);
}

/* Damage of the audit leaves the engine open, failed and explained, for status and doctor. */
static sp_status open_audit(struct sp_engine *engine, bool *ret_torn, struct sp_error *err)
{
    char path[PATH_ROOM];
    struct sp_error why = {""};
    path_of(engine->config.dir, "audit", path);
    sp_status status =
        sp_audit_open(path, engine->config.audit_rotate_bytes, &engine->audit, ret_torn, &why);
    if (!status) {
        status = compare_heads(engine, &why);
    }
    if (status == SP_ECORRUPT) {
        fail_engine(engine, why.text);
        return SP_OK;
    }
    return status ? sp_fail(err, status, "%s", why.text) : SP_OK;
}

static sp_status load(struct sp_engine *engine, struct sp_error *err)
{
    struct key_list keys = {NULL, 0};
    sp_status status = sp_keyring_kind(engine->store, &engine->seal, err);
    if (!status && engine->seal == SP_SEAL_NONE) {
        status = sp_fail(err, SP_ENOENT, "the store is empty; run `sallyport init`");
    }
    if (!status) {
        status =
            sp_store_get_number(engine->store, "clock.high_water", &engine->high_water_ms, err);
        status = status == SP_ENOENT ? SP_OK : status;
    }
    if (!status) {
        status = clients_load(engine, err);
    }
    if (!status) {
        status = actors_rebuild(engine, err);
    }
    if (!status) {
        status = keys_read(engine->store, NULL, engine->pool, &keys, err);
        keys_replace(engine, &keys);
    }
    status = status ? status : tokens_load(engine, err);
    return status ? status : leases_load(engine, err);
}

static void record_start(struct sp_engine *engine, bool torn)
{
    struct sp_buf r;
    sp_buf_init(&r, 1024);
    record_begin(&r, "start");
    record_text(&r, "boot", sp_text_of(engine->config.clock.boot_id));
    record_number(&r, "torn", torn);
    record_end(&r);
    record_send(engine, &r);
    sp_buf_done(&r);
}

/* Whether the store was restored since the last start. */
static bool was_restored(struct sp_engine *engine, struct sp_restore_mark *ret_mark)
{
    size_t len = 0;
    return sp_store_get(engine->store, SP_RESTORE_MARK, ret_mark, sizeof *ret_mark, &len,
                        NULL) == SP_OK &&
           len == sizeof *ret_mark;
}

static sp_status unmark_work(struct sp_job *job, struct sp_store *store)
{
    return sp_store_put(store, SP_RESTORE_MARK, "-", 1, &job->err);
}

/* In one batch: the record is written, and the mark goes. */
static void record_restore(struct sp_engine *engine, const struct sp_restore_mark *mark)
{
    struct simple_job *job = simple_job_new(engine, NULL, NULL);
    if (job) {
        struct sp_buf *r = &job->job.records;
        job->job.work = unmark_work;
        record_begin(r, "restore");
        record_number(r, "backup_seq", (int64_t)mark->backup_seq);
        record_hex(r, "sha256", mark->hash, sizeof mark->hash);
        record_number(r, "tokens_voided", (int64_t)mark->n_tokens);
        record_end(r);
        simple_job_submit(job);
    }
}

/* ---- what the audit knows of the store
 * ----------------------------------------------------------------------------- */

/* So that a store which is put back, or whose disk only said that it wrote, is found out: from
 * now on the audit holds that the store had got that far. */
static void record_stored(struct sp_engine *engine)
{
    struct sp_commit_stats stats;
    struct sp_buf r;
    sp_commit_stats(engine->commit, &stats);
    if (stats.stored_seq == engine->stored_told) {
        return;
    }
    engine->stored_told = stats.stored_seq;
    sp_buf_init(&r, 256);
    record_begin(&r, "store");
    record_number(&r, "head", (int64_t)stats.stored_seq);
    record_end(&r);
    record_send(engine, &r);
    sp_buf_done(&r);
}

/* After the audit was read. A store that was restored has the audit's own head. */
static void check_stored(struct sp_engine *engine)
{
    struct sp_head head = {.seq = 0};
    char reason[256];
    (void)sp_store_get_head(engine->store, &head, NULL);
    if (head.seq < engine->stored_seen) {
        (void)snprintf(reason, sizeof reason,
                       "store.db is older than the audit: it had record %" PRIu64
                       " and ends at %" PRIu64 "; an old copy was put back, or its disk lost "
                       "what was written. Use `sallyport restore`",
                       engine->stored_seen, head.seq);
        fail_engine(engine, reason);
    }
}

static sp_status start_commit(struct sp_engine *engine, struct sp_error *err)
{
    struct sp_commit_config config = {.store = engine->store,
                                      .audit = engine->audit,
                                      .clock = engine->config.clock,
                                      .queue_max = engine->config.queue_max,
                                      .wake = engine->config.wake,
                                      .user = engine->config.user};
    return sp_commit_new(&config, &engine->commit, err);
}

sp_status sp_engine_open(const struct sp_engine_config *config, struct sp_engine **ret_engine,
                         struct sp_error *err)
{
    char path[PATH_ROOM];
    bool torn = false, restored = false;
    struct sp_restore_mark mark;
    struct sp_engine *engine = calloc(1, sizeof *engine);
    if (!engine || sodium_init() < 0) {
        free(engine);
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    engine->config = *config;
    engine->next_call = 1;
    randombytes_buf(engine->hash_key, sizeof engine->hash_key);
    path_of(config->dir, "store.db", path);
    sp_status status = sp_pool_new(POOL_BYTES, &engine->pool, err);
    if (!status) {
        status = sp_rates_new(RATE_BUCKETS_MAX, &engine->rates);
    }
    if (!status) {
        status = sp_store_open(path, false, &engine->store, err);
    }
    if (!status) {
        status = load(engine, err);
    }
    if (!status) {
        status = open_audit(engine, &torn, err);
    }
    if (!status && engine->state != SP_ENGINE_FAILED) {
        status = audit_replay(engine, err);
    }
    if (!status && engine->state != SP_ENGINE_FAILED) {
        check_stored(engine);
    }
    if (!status && engine->state != SP_ENGINE_FAILED) {
        restored =
            was_restored(engine, &mark); /* from here on the store is the other thread's */
        status = start_commit(engine, err);
    }
    if (status) {
        sp_engine_close(engine);
        return status;
    }
    /* calls of this life are numbered apart from those of the last */
    engine->next_call = (uint64_t)engine_wall(engine) * 1000;
    if (engine->commit) {
        record_start(engine, torn);
    }
    if (engine->commit && restored) {
        record_restore(engine, &mark);
    }
    *ret_engine = engine;
    return SP_OK;
}

/* ---- state
 * ------------------------------------------------------------------------------------ */

enum sp_engine_state sp_engine_state(const struct sp_engine *engine)
{
    return engine->state;
}

struct sp_pool *sp_engine_pool(struct sp_engine *engine)
{
    return engine->pool;
}

void sp_engine_head(struct sp_engine *engine, struct sp_head *ret_head)
{
    memset(ret_head, 0, sizeof *ret_head);
    if (engine->commit) {
        sp_commit_head(engine->commit, ret_head);
    }
}

void sp_engine_status(struct sp_engine *engine, struct sp_engine_status *ret_status)
{
    struct sp_head head;
    sp_engine_head(engine, &head);
    *ret_status = (struct sp_engine_status){
        .state = engine->state,
        .seal = engine->seal,
        .memory_locked = sp_pool_locked(engine->pool),
        .writes = engine->commit && sp_commit_healthy(engine->commit, NULL),
        .n_keys = engine->n_keys,
        .n_clients = engine->n_actors,
        .n_scopes = engine->policy ? sp_policy_n_scopes(engine->policy) : 0,
        .n_tokens = engine->n_tokens,
        .n_calls_open = engine->n_open,
        .audit_seq = head.seq,
    };
    memcpy(ret_status->reason, engine->reason, sizeof ret_status->reason);
}

void sp_engine_figures(struct sp_engine *engine, struct sp_engine_figures *ret_figures)
{
    struct sp_commit_stats stats = {.jobs = 0};
    if (engine->commit) {
        sp_commit_stats(engine->commit, &stats);
    }
    *ret_figures = (struct sp_engine_figures){.n_tokens_live = tokens_count_live(engine),
                                              .n_jobs_waiting = stats.n_waiting,
                                              .audit_lag_ms = stats.lag_ms,
                                              .syncs = stats.syncs,
                                              .sync_bounds = sp_commit_sync_bounds};
}

size_t sp_engine_poll(struct sp_engine *engine)
{
    return engine->commit ? sp_commit_poll(engine->commit) : 0;
}

void sp_engine_kick(struct sp_engine *engine)
{
    if (engine->commit) {
        sp_commit_kick(engine->commit);
    }
}

/* ---- housekeeping
 * ----------------------------------------------------------------------------- */

static sp_status tick_work(struct sp_job *job, struct sp_store *store)
{
    const int64_t *now = ((struct simple_job *)job)->payload;
    sp_status status = sp_store_raise(store, "clock.high_water", now[0], &job->err);
    if (!status && now[1]) {
        status = sp_store_token_purge(store, now[0] - 3600000, &job->err);
        status =
            status ? status : sp_store_claim_purge(store, now[0] - CLAIM_LIFE_MS, &job->err);
        status = status ? status : sp_store_budget_purge(store, now[0], &job->err);
    }
    return status;
}

static void persist_clock(struct sp_engine *engine, bool purge)
{
    struct simple_job *job = simple_job_new(engine, NULL, NULL);
    int64_t *now = job ? sp_arena_array(&job->arena, 2, sizeof *now) : NULL;
    if (!now) {
        if (job) {
            simple_job_fail(job, SP_ENOMEM, "out of memory");
        }
        return;
    }
    now[0] = engine_wall(engine);
    now[1] = purge;
    job->payload = now;
    job->job.work = tick_work;
    simple_job_submit(job);
}

void sp_engine_tick(struct sp_engine *engine)
{
    int64_t boot = engine_boot(engine);
    if (!engine->commit) {
        return;
    }
    if (boot - engine->raised_boot_ms >= HIGH_WATER_EVERY_MS) {
        bool purge = boot - engine->purged_boot_ms >= PURGE_EVERY_MS;
        persist_clock(engine, purge);
        engine->raised_boot_ms = boot;
        record_stored(engine);
        if (purge) {
            tokens_purge(engine);
            engine->purged_boot_ms = boot;
        }
    }
    seal_again(engine);
    if (engine->n_refusals && boot - engine->refusals_boot_ms >= REFUSALS_EVERY_MS) {
        refusals_flush(engine);
        engine->refusals_boot_ms = boot;
    }
}

/* ---- backup
 * ----------------------------------------------------------------------------------- */

static sp_status backup_work(struct sp_job *job, struct sp_store *store)
{
    const struct sp_text *path = ((struct simple_job *)job)->payload;
    return sp_store_backup(store, path->ptr, &job->err);
}

void sp_engine_backup(struct sp_engine *engine, const char *path, struct sp_text by,
                      sp_engine_done done, void *user)
{
    struct simple_job *job = simple_job_new(engine, done, user);
    struct sp_text *copy = job ? sp_arena_alloc(&job->arena, sizeof *copy) : NULL;
    if (!job) {
        return;
    }
    if (!copy || !(*copy = sp_arena_copy(&job->arena, sp_text_of(path))).ptr) {
        simple_job_fail(job, SP_ENOMEM, "out of memory");
        return;
    }
    job->payload = copy;
    job->job.work = backup_work;
    job->job.outside = true;
    record_begin(&job->job.records, "backup");
    record_text(&job->job.records, "path", sp_text_of(path));
    record_text(&job->job.records, "by", by);
    record_end(&job->job.records);
    simple_job_submit(job);
}

/* ---- close
 * ------------------------------------------------------------------------------------ */

static void record_stop(struct sp_engine *engine)
{
    struct sp_buf r;
    refusals_flush(engine);
    record_stored(engine);
    persist_clock(engine, false);
    sp_buf_init(&r, 256);
    record_begin(&r, "stop");
    record_end(&r);
    record_send(engine, &r);
    sp_buf_done(&r);
}

void sp_engine_close(struct sp_engine *engine)
{
    if (!engine) {
        return;
    }
    engine->closing = true;
    if (engine->commit) {
        record_stop(engine);
        sp_commit_free(engine->commit);
        engine->commit = NULL;
    }
    sp_secret_free(&engine->authority);
    leases_free(engine);
    tokens_free(engine);
    struct key_list keys = {engine->keys, engine->n_keys};
    key_list_free(&keys);
    sp_keyring_close(engine->keyring);
    sp_policy_free(engine->policy);
    sp_rates_free(engine->rates);
    sp_audit_close(engine->audit);
    sp_store_close(engine->store);
    sp_pool_free(engine->pool);
    free(engine->actors);
    free(engine->clients);
    free(engine);
}
