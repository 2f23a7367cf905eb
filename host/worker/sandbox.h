/* worker_sandbox: what a worker may still do. In two steps, since loading a library needs more
 * than running one. Both fail closed. */
#ifndef WORKER_SANDBOX_H
#define WORKER_SANDBOX_H

#include "status.h"

enum { WORKER_MEMORY_MAX_BYTES = 512 << 20 };

/* Before the library: dies with the host; no core, not readable by others of this user; no new
 * privileges; memory bounded; no file of the file system can be opened (Landlock), only the
 * library, which is in memory; no sockets, processes, exec, signals to others (seccomp).
 * SP_EUNSUPPORTED where this kernel has no Landlock or no seccomp. */
sp_status worker_sandbox_enter(struct sp_error *err);
/* After it was loaded: nothing is opened any more, nothing new becomes executable, and only the
 * socket is read and written. */
sp_status worker_sandbox_close(struct sp_error *err);

#endif
