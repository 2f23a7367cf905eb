#include "commit.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { HEAD_EVERY_MS = 1000 };

struct queue {
    struct sp_job *first, **last;
    size_t n;
};

struct sp_commit {
    struct sp_commit_config config;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows, down to the next comment */
    pthread_cond_t work;
    struct queue waiting, finished;
    bool stopping, healthy;
    struct sp_error failure;
    struct sp_commit_stats stats;
    struct sp_head head;
    /* the commit thread's own */
    bool head_dirty;
    int64_t head_ms; /* boot time of the last head that was written */
};

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

static struct sp_job *queue_take_all(struct queue *queue)
{
    struct sp_job *first = queue->first;
    queue_init(queue);
    return first;
}

/* ---- a batch --------------------------------------------------------------------------------
 */

static bool has_store_work(const struct sp_job *job)
{
    for (; job; job = job->next) {
        if (job->work && !job->outside) {
            return true;
        }
    }
    return false;
}

static void run_work(struct sp_commit *commit, struct sp_job *job)
{
    struct sp_store *store = commit->config.store;
    job->status = sp_store_savepoint(store, &job->err);
    if (job->status) {
        return;
    }
    job->status = job->work(job, store);
    sp_status status = sp_store_release(store, job->status == SP_OK, &job->err);
    job->status = job->status ? job->status : status;
}

/* The records of a job: lines, each the fields of one. */
static sp_status append_records(struct sp_commit *commit, const struct sp_job *job,
                                struct sp_error *err)
{
    int64_t now = commit->config.clock.wall_ms(commit->config.clock.user);
    struct sp_text rest = sp_buf_text(&job->records);
    sp_status status =
        job->records.failed ? sp_fail(err, SP_ENOMEM, "audit: out of memory") : SP_OK;
    while (!status && rest.len > 0) {
        const char *end = memchr(rest.ptr, '\n', rest.len);
        size_t len = end ? (size_t)(end - rest.ptr) : rest.len;
        status =
            sp_audit_append(commit->config.audit, now, (struct sp_text){rest.ptr, len}, err);
        rest.ptr += len + (end != NULL);
        rest.len -= len + (end != NULL);
    }
    return status;
}

static sp_status write_head(struct sp_commit *commit, struct sp_error *err)
{
    struct sp_head head;
    sp_audit_head(commit->config.audit, &head);
    sp_status status = sp_store_put_head(commit->config.store, &head, err);
    if (!status) {
        commit->head_dirty = false;
        commit->head_ms = commit->config.clock.boot_ms(commit->config.clock.user);
    }
    return status;
}

static sp_status run_batch(struct sp_commit *commit, struct sp_job *batch, struct sp_error *err)
{
    struct sp_store *store = commit->config.store;
    bool store_work = has_store_work(batch);
    sp_status status = store_work ? sp_store_begin(store, err) : SP_OK;
    for (struct sp_job *job = batch; job && !status; job = job->next) {
        job->status = SP_OK;
        if (job->work && !job->outside) {
            run_work(commit, job);
        }
        if (job->status == SP_OK && job->records.len > 0) {
            status = append_records(commit, job, err);
            commit->head_dirty = true;
        }
    }
    if (!status) {
        status = sp_audit_flush(commit->config.audit, err);
    }
    if (!status && store_work) {
        status = write_head(commit, err);
        status = status ? status : sp_store_commit(store, err);
    }
    if (status) {
        sp_store_rollback(store);
    }
    for (struct sp_job *job = batch; job && !status; job = job->next) {
        if (job->outside && job->work) {
            job->status = job->work(job, store);
        }
    }
    return status;
}

/* The head alone, when nothing else needs the store. */
static sp_status save_head(struct sp_commit *commit, struct sp_error *err)
{
    sp_status status = sp_store_begin(commit->config.store, err);
    if (!status) {
        status = write_head(commit, err);
        status = status ? status : sp_store_commit(commit->config.store, err);
        if (status) {
            sp_store_rollback(commit->config.store);
        }
    }
    return status;
}

static sp_status close_down(struct sp_commit *commit, struct sp_error *err)
{
    int64_t now = commit->config.clock.wall_ms(commit->config.clock.user);
    sp_status status = sp_audit_checkpoint(commit->config.audit, now, err);
    if (!status) {
        status = sp_audit_flush(commit->config.audit, err);
    }
    return status ? status : save_head(commit, err);
}

/* ---- the thread -----------------------------------------------------------------------------
 */

static void fail_all(struct sp_job *batch, sp_status status, const struct sp_error *err)
{
    for (struct sp_job *job = batch; job; job = job->next) {
        job->status = status;
        job->err = *err;
    }
}

static void hand_back(struct sp_commit *commit, struct sp_job *batch, bool store_work)
{
    bool wake = commit->finished.n == 0;
    while (batch) {
        struct sp_job *next = batch->next;
        queue_add(&commit->finished, batch);
        commit->stats.jobs++;
        batch = next;
    }
    commit->stats.batches++;
    commit->stats.audit_syncs++;
    commit->stats.store_commits += store_work;
    if (wake) {
        commit->config.wake(commit->config.user);
    }
}

/* Until there is work, the end, or a head that is due. Called and returns with the lock. */
static void wait_for_work(struct sp_commit *commit)
{
    struct timespec until;
    while (!commit->waiting.first && !commit->stopping) {
        if (!commit->head_dirty || !commit->healthy) {
            (void)pthread_cond_wait(&commit->work, &commit->lock);
            continue;
        }
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += HEAD_EVERY_MS / 1000;
        if (pthread_cond_timedwait(&commit->work, &commit->lock, &until) == ETIMEDOUT) {
            return;
        }
    }
}

static bool head_is_due(struct sp_commit *commit)
{
    return commit->head_dirty &&
           commit->config.clock.boot_ms(commit->config.clock.user) - commit->head_ms >=
               HEAD_EVERY_MS;
}

static void *run(void *user)
{
    struct sp_commit *commit = user;
    bool end = false;
    (void)pthread_mutex_lock(&commit->lock);
    while (!end) {
        wait_for_work(commit);
        struct sp_job *batch = queue_take_all(&commit->waiting);
        bool healthy = commit->healthy;
        struct sp_error err = commit->failure;
        end = commit->stopping && !batch;
        (void)pthread_mutex_unlock(&commit->lock);

        bool store_work = has_store_work(batch);
        sp_status status = healthy ? SP_OK : SP_EIO;
        if (healthy && batch) {
            status = run_batch(commit, batch, &err);
        }
        if (!status && (head_is_due(commit) || (!batch && !end && commit->head_dirty))) {
            status = save_head(commit, &err); /* fails the next batch: this one is durable */
        } else if (status && batch) {
            fail_all(batch, SP_EIO, &err);
        }
        if (!status && end) {
            status = close_down(commit, &err);
        }

        (void)pthread_mutex_lock(&commit->lock);
        if (status && commit->healthy) {
            commit->healthy = false;
            commit->failure = err;
        }
        if (!status) {
            sp_audit_head(commit->config.audit, &commit->head);
        }
        if (batch) {
            hand_back(commit, batch, store_work);
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
    commit->healthy = true;
    sp_audit_head(config->audit, &commit->head);
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
    sp_status status = SP_OK;
    (void)pthread_mutex_lock(&commit->lock);
    if (!commit->healthy) {
        status = SP_EIO;
    } else if (commit->waiting.n >= commit->config.queue_max || commit->stopping) {
        status = SP_EBUSY;
    } else {
        queue_add(&commit->waiting, job);
        (void)pthread_cond_signal(&commit->work);
    }
    (void)pthread_mutex_unlock(&commit->lock);
    return status;
}

size_t sp_commit_poll(struct sp_commit *commit)
{
    size_t n = 0;
    (void)pthread_mutex_lock(&commit->lock);
    struct sp_job *job = queue_take_all(&commit->finished);
    (void)pthread_mutex_unlock(&commit->lock);
    while (job) {
        struct sp_job *next = job->next; /* done may free the job */
        job->done(job);
        job = next;
        n++;
    }
    return n;
}

bool sp_commit_healthy(struct sp_commit *commit, struct sp_error *err)
{
    (void)pthread_mutex_lock(&commit->lock);
    bool healthy = commit->healthy;
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
    *ret_stats = commit->stats;
    (void)pthread_mutex_unlock(&commit->lock);
}

void sp_commit_free(struct sp_commit *commit)
{
    if (!commit) {
        return;
    }
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
