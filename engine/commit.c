#include "commit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SETTLE_MS = 1000, LAZY_MS = 50, LAZY_MAX = 64 };

const uint64_t sp_commit_sync_bounds[SP_TIMES_BUCKETS] = {
    100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 1000000, UINT64_MAX};

struct queue {
    struct sp_job *first, **last;
    size_t n;
};

struct sp_commit {
    struct sp_commit_config config;
    pthread_t thread;
    /* the loop thread's own */
    struct queue submitted; /* not handed over yet */
    size_t n_open;          /* submitted and not done */
    bool urgent;            /* not all of `submitted` are lazy */
    /* set by the commit thread, once, with the lock; whoever asks for no more needs none */
    atomic_bool failed;
    pthread_mutex_t lock; /* guards what follows, down to the next comment */
    pthread_cond_t work;
    struct queue waiting, finished;
    bool stopping;
    bool hurry; /* not all of `waiting` are lazy, or there are enough of them */
    bool looks; /* the thread waits, and looks again before a lazy job has waited too long */
    struct sp_error failure;
    struct sp_commit_stats stats;
    struct sp_head head;
    /* since when (monotonic ms; 0: nothing) a job waits, a batch is under way, records are
     * written and not durable */
    int64_t waiting_since, running_since, unsynced_since;
    /* the commit thread's own */
    struct sp_commit_stats done;
    int64_t appended_since; /* as unsynced_since, but of this moment */
    struct sp_head durable; /* of the last flush */
    bool dirty;             /* there are records that the store's head does not cover */
    int64_t due_ms;         /* when it shall, at the latest (monotonic) */
};

static uint64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int64_t now_ms(void)
{
    return (int64_t)(now_us() / 1000);
}

/* The earlier of them; 0 is none. */
static int64_t first_of(int64_t a, int64_t b)
{
    return a && (a < b || !b) ? a : b;
}

static void note_dirty(struct sp_commit *commit)
{
    if (commit->dirty && commit->appended_since) {
        return;
    }
    int64_t now = now_ms();
    if (!commit->dirty) {
        commit->dirty = true;
        commit->due_ms = now + SETTLE_MS;
    }
    if (!commit->appended_since) {
        commit->appended_since = now;
    }
}

static void queue_init(struct queue *queue)
{
    *queue = (struct queue){NULL, &queue->first, 0};
}

static void queue_add(struct queue *queue, struct sp_job *job)
{
    job->next = NULL;
    *queue->last = job;
    queue->last = &job->next;
    queue->n++;
}

static void queue_move(struct queue *from, struct queue *to)
{
    *to->last = from->first;
    to->last = from->first ? from->last : to->last;
    to->n += from->n;
    queue_init(from);
}

static struct sp_job *queue_take_all(struct queue *queue)
{
    struct sp_job *first = queue->first;
    queue_init(queue);
    return first;
}

/* ---- a batch --------------------------------------------------------------------------------
 */

static bool works_inside(const struct sp_job *job)
{
    return job->work && !job->outside;
}

static bool has_store_work(const struct sp_job *job)
{
    while (job && !works_inside(job)) {
        job = job->next;
    }
    return job != NULL;
}

/* Something was done that the store and the audit both know. */
static bool tells_both(const struct sp_job *job)
{
    while (job && !(works_inside(job) && job->status == SP_OK && job->records.len)) {
        job = job->next;
    }
    return job != NULL;
}

static bool is_lazy(const struct sp_job *job)
{
    return job->lazy && !job->work;
}

/* Lazy jobs need no fsync of their own. */
static bool all_lazy(const struct sp_job *batch)
{
    while (batch && is_lazy(batch)) {
        batch = batch->next;
    }
    return batch == NULL;
}

/* Cut the first line off; false where there is none. */
static bool take_record(struct sp_text *rest, struct sp_text *ret_record)
{
    if (rest->len == 0) {
        return false;
    }
    const char *end = memchr(rest->ptr, '\n', rest->len);
    size_t len = end ? (size_t)(end - rest->ptr) : rest->len;
    *ret_record = (struct sp_text){rest->ptr, len};
    rest->ptr += len + (end != NULL);
    rest->len -= len + (end != NULL);
    return true;
}

/* A record that the audit would not take fails its own job, and no other of the batch. */
static sp_status check_records(const struct sp_job *job, struct sp_error *err)
{
    struct sp_text rest = sp_buf_text(&job->records), record;
    sp_status status = SP_OK;
    if (job->records.failed) {
        return sp_fail(err, SP_ETOOBIG, "audit: a record is too large, or memory is short");
    }
    while (!status && take_record(&rest, &record)) {
        status = sp_audit_check(record, err);
    }
    return status;
}

static sp_status append_records(struct sp_commit *commit, const struct sp_job *job,
                                struct sp_error *err)
{
    int64_t now = commit->config.clock.wall_ms(commit->config.clock.user);
    struct sp_text rest = sp_buf_text(&job->records), record;
    sp_status status = SP_OK;
    while (!status && take_record(&rest, &record)) {
        status = sp_audit_append(commit->config.audit, now, record, err);
        note_dirty(commit);
    }
    return status;
}

/* One job's store work and records: both or neither. What is returned is the batch's status:
 * where a savepoint fails, the store has given up the transaction, and with it what the jobs
 * before this one did. */
static sp_status run_job(struct sp_commit *commit, struct sp_job *job, struct sp_error *err)
{
    struct sp_store *store = commit->config.store;
    sp_status status = SP_OK;
    job->status = SP_OK;
    if (works_inside(job)) {
        status = sp_store_savepoint(store, err);
        if (status) {
            return status;
        }
        job->status = job->work(job, store);
    }
    if (job->status == SP_OK) {
        job->status = check_records(job, &job->err);
    }
    if (works_inside(job)) {
        status = sp_store_release(store, job->status == SP_OK, err);
    }
    return status || job->status ? status : append_records(commit, job, err);
}

static sp_status flush(struct sp_commit *commit, struct sp_error *err)
{
    uint64_t began_us = now_us();
    sp_status status = sp_audit_flush(commit->config.audit, err);
    if (!status) {
        sp_audit_head(commit->config.audit, &commit->durable);
        commit->done.audit_syncs++;
        sp_times_add(&commit->done.syncs, sp_commit_sync_bounds, now_us() - began_us);
        commit->appended_since = 0;
    }
    return status;
}

/* After a flush only: the store never names a record that is not on the disk. */
static sp_status write_head(struct sp_commit *commit, struct sp_error *err)
{
    sp_status status = sp_store_put_head(commit->config.store, &commit->durable, err);
    status = status ? status : sp_store_commit(commit->config.store, err);
    if (!status) {
        commit->dirty = false;
        commit->done.store_commits++;
    }
    return status;
}

static sp_status run_batch(struct sp_commit *commit, struct sp_job *batch, struct sp_error *err)
{
    struct sp_store *store = commit->config.store;
    bool store_work = has_store_work(batch);
    sp_status status = store_work ? sp_store_begin(store, err) : SP_OK;
    for (struct sp_job *job = batch; job && !status; job = job->next) {
        status = run_job(commit, job, err);
    }
    if (!status && !all_lazy(batch)) {
        status = flush(commit, err);
    }
    if (!status && store_work) {
        status = write_head(commit, err);
        if (!status && tells_both(batch)) {
            commit->done.stored_seq = commit->durable.seq;
        }
    }
    if (status) {
        sp_store_rollback(store);
    }
    for (struct sp_job *job = batch; job && !status; job = job->next) {
        if (job->outside && job->work && job->status == SP_OK) {
            job->status = job->work(job, store);
        }
    }
    return status;
}

/* What lazy jobs left behind becomes durable, and the store learns the head. */
static sp_status settle(struct sp_commit *commit, struct sp_error *err)
{
    sp_status status = flush(commit, err);
    if (!status) {
        status = sp_store_begin(commit->config.store, err);
    }
    if (!status) {
        status = write_head(commit, err);
    }
    if (status) {
        sp_store_rollback(commit->config.store);
    }
    return status;
}

static sp_status close_down(struct sp_commit *commit, struct sp_error *err)
{
    int64_t now = commit->config.clock.wall_ms(commit->config.clock.user);
    sp_status status = sp_audit_checkpoint(commit->config.audit, now, err);
    return status ? status : settle(commit, err);
}

/* ---- the thread -----------------------------------------------------------------------------
 */

static void fail_all(struct sp_job *batch, const struct sp_error *err)
{
    for (struct sp_job *job = batch; job; job = job->next) {
        job->status = SP_EIO;
        job->err = *err;
    }
}

/* With the lock. True where nobody was told yet that results wait. */
static bool hand_back(struct sp_commit *commit, struct sp_job *batch)
{
    bool wake = batch && commit->finished.n == 0;
    commit->done.batches += batch != NULL;
    while (batch) {
        struct sp_job *next = batch->next;
        queue_add(&commit->finished, batch);
        commit->done.jobs++;
        batch = next;
    }
    return wake;
}

/* Until there is work that does not wait for company, the end, or something to settle. Called
 * and returns with the lock. While there is something to settle, which is so for a second after
 * each batch, it looks for lazy jobs by itself: to be told of each first one would be a wake-up
 * for nothing. */
static void wait_for_work(struct sp_commit *commit)
{
    while (!commit->hurry && !commit->stopping) {
        int64_t settle_at = commit->dirty && !atomic_load(&commit->failed) ? commit->due_ms : 0;
        commit->looks = settle_at || commit->waiting.first;
        if (!commit->looks) {
            (void)pthread_cond_wait(&commit->work, &commit->lock);
            continue;
        }
        int64_t until_ms = first_of(settle_at, now_ms() + LAZY_MS);
        struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                                 .tv_nsec = (long)(until_ms % 1000 * 1000000)};
        if (pthread_cond_timedwait(&commit->work, &commit->lock, &until) == ETIMEDOUT &&
            (commit->waiting.first || until_ms == settle_at)) {
            break;
        }
    }
    commit->looks = false;
}

static sp_status run_turn(struct sp_commit *commit, struct sp_job *batch, bool end,
                          struct sp_error *err)
{
    sp_status status = batch ? run_batch(commit, batch, err) : SP_OK;
    if (status) {
        fail_all(batch, err);
    } else if (end) {
        status = close_down(commit, err);
    } else if (commit->dirty && now_ms() >= commit->due_ms) {
        status = settle(commit, err); /* fails the next batch, not this one */
    }
    return status;
}

static void *run(void *user)
{
    struct sp_commit *commit = user;
    bool end = false;
    (void)pthread_mutex_lock(&commit->lock);
    while (!end) {
        wait_for_work(commit);
        struct sp_job *batch = queue_take_all(&commit->waiting);
        commit->hurry = false;
        commit->running_since = batch ? commit->waiting_since : 0;
        bool healthy = !atomic_load(&commit->failed);
        struct sp_error err = commit->failure;
        end = commit->stopping && !batch;
        (void)pthread_mutex_unlock(&commit->lock);

        sp_status status = SP_OK;
        if (healthy) {
            status = run_turn(commit, batch, end, &err);
        } else {
            fail_all(batch, &err);
        }

        (void)pthread_mutex_lock(&commit->lock);
        if (status) {
            commit->failure = err;
            atomic_store(&commit->failed, true);
        }
        bool wake = hand_back(commit, batch);
        commit->head = commit->durable;
        commit->stats = commit->done;
        commit->running_since = 0;
        commit->unsynced_since = commit->appended_since;
        if (wake) {
            commit->config.wake(commit->config.user);
        }
    }
    (void)pthread_mutex_unlock(&commit->lock);
    return NULL;
}

/* ---- from the loop thread -------------------------------------------------------------------
 */

sp_status sp_commit_new(const struct sp_commit_config *config, struct sp_commit **ret_commit,
                        struct sp_error *err)
{
    struct sp_commit *commit = calloc(1, sizeof *commit);
    pthread_condattr_t attributes;
    if (!commit) {
        return SP_ENOMEM;
    }
    commit->config = *config;
    sp_audit_head(config->audit, &commit->durable); /* all of it: it was just opened */
    commit->head = commit->durable;
    queue_init(&commit->submitted);
    queue_init(&commit->waiting);
    queue_init(&commit->finished);
    (void)pthread_mutex_init(&commit->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&commit->work, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    int error = pthread_create(&commit->thread, NULL, run, commit);
    if (error) {
        (void)pthread_cond_destroy(&commit->work);
        (void)pthread_mutex_destroy(&commit->lock);
        free(commit);
        return sp_fail(err, SP_EIO, "no thread for writing: %s", strerror(error));
    }
    *ret_commit = commit;
    return SP_OK;
}

sp_status sp_commit_submit(struct sp_commit *commit, struct sp_job *job)
{
    if (atomic_load(&commit->failed)) {
        return SP_EIO;
    }
    if (commit->n_open >= commit->config.queue_max || commit->stopping) {
        return SP_EBUSY;
    }
    queue_add(&commit->submitted, job);
    commit->n_open++;
    commit->urgent = commit->urgent || !is_lazy(job);
    return SP_OK;
}

void sp_commit_kick(struct sp_commit *commit)
{
    if (!commit->submitted.first) {
        return;
    }
    (void)pthread_mutex_lock(&commit->lock);
    bool slept = commit->waiting.first == NULL;
    commit->waiting_since = slept ? now_ms() : commit->waiting_since;
    queue_move(&commit->submitted, &commit->waiting);
    bool hurry = commit->urgent || commit->waiting.n >= LAZY_MAX;
    /* A thread that looks again by itself need not be told of lazy jobs. */
    bool wake = (slept && !commit->looks) || (hurry && !commit->hurry);
    commit->hurry = commit->hurry || hurry;
    (void)pthread_mutex_unlock(&commit->lock);
    commit->urgent = false;
    if (wake) {
        (void)pthread_cond_signal(&commit->work);
    }
}

size_t sp_commit_poll(struct sp_commit *commit)
{
    size_t n = 0;
    (void)pthread_mutex_lock(&commit->lock);
    struct sp_job *job = queue_take_all(&commit->finished);
    (void)pthread_mutex_unlock(&commit->lock);
    while (job) {
        struct sp_job *next = job->next; /* done may free the job */
        commit->n_open--;
        job->done(job);
        job = next;
        n++;
    }
    sp_commit_kick(commit);
    return n;
}

bool sp_commit_healthy(struct sp_commit *commit, struct sp_error *err)
{
    (void)pthread_mutex_lock(&commit->lock);
    bool healthy = !atomic_load(&commit->failed);
    if (!healthy && err) {
        *err = commit->failure;
    }
    (void)pthread_mutex_unlock(&commit->lock);
    return healthy;
}

void sp_commit_head(struct sp_commit *commit, struct sp_head *ret_head)
{
    (void)pthread_mutex_lock(&commit->lock);
    *ret_head = commit->head;
    (void)pthread_mutex_unlock(&commit->lock);
}

void sp_commit_stats(struct sp_commit *commit, struct sp_commit_stats *ret_stats)
{
    (void)pthread_mutex_lock(&commit->lock);
    int64_t since = first_of(commit->waiting.n ? commit->waiting_since : 0,
                             first_of(commit->running_since, commit->unsynced_since));
    int64_t now = now_ms();
    *ret_stats = commit->stats;
    ret_stats->n_waiting = commit->waiting.n;
    ret_stats->lag_ms = since && now > since ? (uint64_t)(now - since) : 0;
    (void)pthread_mutex_unlock(&commit->lock);
}

void sp_commit_free(struct sp_commit *commit)
{
    if (!commit) {
        return;
    }
    sp_commit_kick(commit);
    (void)pthread_mutex_lock(&commit->lock);
    commit->stopping = true;
    (void)pthread_cond_signal(&commit->work);
    (void)pthread_mutex_unlock(&commit->lock);
    (void)pthread_join(commit->thread, NULL);
    while (sp_commit_poll(commit) > 0) {
        /* callbacks of the last batches */
    }
    (void)pthread_cond_destroy(&commit->work);
    (void)pthread_mutex_destroy(&commit->lock);
    free(commit);
}
