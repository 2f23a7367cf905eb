/* Inside of the host's side of a worker: provider.c (asking, the process) and load.c (the
 * start).
 */
#ifndef WORKER_INNER_H
#define WORKER_INNER_H

#include "frames.h"
#include "plugin_key.h"
#include "process.h"
#include "worker.h"

enum {
    WORKER_MANIFEST_MAX_BYTES = 16 << 20,
    WORKER_CALL_MAX_BYTES = 4 << 20,
    WORKER_TREE_MAX_BYTES =
        80 << 20, /* what the strict reader may use for a frame, and lists */
    WORKER_READ_BYTES = 64 << 10,
};

/* A request of a hook that is under way. It ends with its answer, whenever that comes. */
struct performing {
    struct worker *worker; /* NULL: the hook is over */
};

struct question {
    struct sp_arena arena;     /* the key; a plan is copied into it, and goes with it */
    struct worker_asked asked; /* in the arena */
    struct sp_hook_http http;  /* of renew and revoke: who performs */
    uint64_t call;             /* of renew and revoke: the hook's, from when it was sent */
    struct performing *performing;
    struct sp_told_key told; /* checked, with fallbacks: what pushed hosts are checked by */
    union {
        sp_provider_checked checked;
        sp_provider_planned planned;
        sp_provider_permitted permitted;
        sp_provider_leased leased;
    } done;
    void *user;
    struct question *next;
};

/* The socket's handle outlives its process: the loop closes it when it gets to. */
struct line {
    uv_pipe_t pipe;
    struct worker *worker; /* NULL once it is closed */
    struct sp_buf in;
    char chunk[WORKER_READ_BYTES]; /* what is read at a time */
};

struct worker {
    struct sp_provider provider; /* first: callers hold a pointer to it */
    struct sp_plugin_host host;  /* checks what comes in, and holds the manifest */
    struct sp_arena arena;       /* the manifest, path, program */
    const char *program;
    uint64_t deadline_ms;
    int library_fd;

    uv_loop_t *loop;
    uv_timer_t deadline;
    pid_t pid; /* 0: none runs */
    struct line *line;
    bool loading; /* the answer to come is that to the load of a restart */
    bool asked;   /* the first question of the queue is with the worker */
    unsigned n_logs;
    struct question *first, **last;
    unsigned n_failures; /* in a row */
    uint64_t rest_until_ms;
    struct sp_error last_failure;
    bool stopped;
    enum { TIMER_NONE, TIMER_OPEN, TIMER_CLOSING } timer;
    bool freed; /* as soon as the timer is closed */
};

extern const struct sp_provider_ops worker_ops;

/* Hand the socket to the loop; it is closed on failure, too. */
sp_status worker_open_line(struct worker *w, int socket, struct sp_error *err);
/* Its process is there: for metrics. */
void worker_started(struct worker *w);
/* Kill the worker; how it ended is told. */
void worker_end_process(struct worker *w, char ret_how[WORKER_END_BYTES]);
/* A log frame, to the operator's log. */
void worker_say_log(struct worker *w, const struct worker_said *said);
/* A failure that was reported, fit for the caller. */
sp_status worker_reported(const struct worker_said *said, struct sp_error *err);

#endif
