/* sp_worker: a provider whose plugin runs in a sandboxed process (see README.md).
 *
 * Behind the same table as one in this process (provider.h); answers come later, from the
 * loop. At most one question is with the worker at a time, the others wait. */
#ifndef SP_WORKER_H
#define SP_WORKER_H

#include "provider.h"

#include <uv.h>

struct sp_worker_config {
    uv_loop_t *loop;
    const char *program;  /* the sallyport-worker */
    uint64_t deadline_ms; /* for one question, and for loading; 0: SP_WORKER_DEADLINE_MS */
};

enum {
    SP_WORKER_DEADLINE_MS = 5000,
    SP_WORKER_BACKOFF_MS = 100, /* after a failure; doubled with each that follows */
    SP_WORKER_BACKOFF_MAX_MS = 30000,
    SP_WORKER_QUEUE_MAX = 1024, /* questions that wait; SP_EBUSY past it */
};

/* Check the file as sp_plugin_load does, start a worker with it, wait for its manifest (at most
 * the deadline). The provider's ops->stop has to be called, and the loop run until its handles
 * are closed, before ops->free. Loop thread. */
sp_status sp_worker_load(const char *path, const struct sp_plugin_rules *rules,
                         const struct sp_worker_config *config,
                         struct sp_provider **ret_provider, struct sp_error *err);

/* Where the worker is: beside this program (a build folder), else where it was installed. */
enum { SP_WORKER_PATH_BYTES = 1024 };
void sp_worker_program(char ret_path[SP_WORKER_PATH_BYTES]);
/* The probe of `plugin check` lies in the same place. */
void sp_probe_program(char ret_path[SP_WORKER_PATH_BYTES]);

/* For tests: the process that runs now; 0: none. */
int sp_worker_pid(const struct sp_provider *provider);

#endif
