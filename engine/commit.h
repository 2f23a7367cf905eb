/* sp_commit: the one thread that writes. Group commit over the store and the audit.
 *
 * The loop thread submits jobs; the commit thread takes all that wait as one batch:
 *   begin (only if a job has store work) -> each job's work in a savepoint -> append its audit
 *   records -> fdatasync the audit -> write the audit's head -> commit -> hand results back.
 * So an fsync is shared by all requests that wait for it, the audit is durable before any store
 * change is, and the store never names an audit record that is not on disk. Records of a job
 * whose work failed are not written. Where the audit or the commit fails, every job of the
 * batch fails with SP_EIO and the thread refuses all later ones: if the audit cannot be
 * written, no key is used.
 *
 * The loop hands over what one of its turns submitted in one go (sp_commit_kick): one wake-up
 * of the thread and one batch instead of many.
 *
 * A job whose records the audit would not take (too large) fails alone. Lazy jobs wait, a
 * twentieth of a second at most, for a job that is not, or for company; they are done once
 * their records are appended. Those ride with the next fsync, or get one of their own a second
 * later: never later, and never lost by sp_commit_free. Without store work the head is written
 * within a second, too, and at the end.
 */
#ifndef SP_COMMIT_H
#define SP_COMMIT_H

#include "audit.h"
#include "buf.h"
#include "clock.h"
#include "store.h"
#include "times.h"

struct sp_commit;

/* A job is embedded in the caller's object, which must live until done was called. */
struct sp_job {
    /* Store work; NULL: none. Runs on the commit thread inside the batch's transaction; may
     * append to records. A status other than SP_OK undoes this job's store changes. */
    sp_status (*work)(struct sp_job *job, struct sp_store *store);
    /* Called on the thread that calls sp_commit_poll, exactly once. */
    void (*done)(struct sp_job *job);
    /* Audit records to append when work succeeded: each is the fields of one record (see
     * sp_audit_append) followed by '\n'. The job owns the buffer. */
    struct sp_buf records;
    /* The work needs the store without a transaction (a backup). It runs after the batch is
     * durable, its record included, and its failure undoes nothing. */
    bool outside;
    bool lazy; /* has no work and need not be durable before done (denials, outcomes) */
    sp_status status;
    struct sp_error err;
    struct sp_job *next; /* the queue's */
};

struct sp_commit_config {
    struct sp_store *store; /* both are the commit thread's from now on, until free */
    struct sp_audit *audit;
    struct sp_clock clock;
    size_t queue_max;         /* jobs submitted and not done; SP_EBUSY past it */
    void (*wake)(void *user); /* called on the commit thread when results wait */
    void *user;
};

sp_status sp_commit_new(const struct sp_commit_config *config, struct sp_commit **ret_commit,
                        struct sp_error *err);
/* SP_EBUSY, or SP_EIO after a failure; then done is not called. Nothing begins before the next
 * kick. Loop thread. */
sp_status sp_commit_submit(struct sp_commit *commit, struct sp_job *job);
/* Hand over what was submitted. Before the loop sleeps. Loop thread. */
void sp_commit_kick(struct sp_commit *commit);
/* Run the done callbacks of finished jobs, and kick; returns how many. Loop thread. */
size_t sp_commit_poll(struct sp_commit *commit);
/* Whether the audit and the store still take writes; else err says what failed. */
bool sp_commit_healthy(struct sp_commit *commit, struct sp_error *err);
/* Finish all queued jobs, write checkpoint and head, stop the thread; done callbacks are then
 * run by this call. The store and the audit are the caller's again. */
void sp_commit_free(struct sp_commit *commit);

/* The audit's head as of the last batch that is durable. Loop thread. */
void sp_commit_head(struct sp_commit *commit, struct sp_head *ret_head);

extern const uint64_t sp_commit_sync_bounds[SP_TIMES_BUCKETS];
struct sp_commit_stats {
    uint64_t jobs, batches, audit_syncs, store_commits;
    uint64_t stored_seq;   /* the head that the store has with the last job that changed it and
                              the   audit; 0: none yet */
    struct sp_times syncs; /* how long the audit's fsyncs took, by the bounds above */
    size_t n_waiting;      /* jobs that no batch has taken yet */
    uint64_t lag_ms;       /* the age of the oldest job or record that is not durable yet */
};
void sp_commit_stats(struct sp_commit *commit, struct sp_commit_stats *ret_stats);

#endif
