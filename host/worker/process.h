/* worker_process: one sallyport-worker, from its start to its end. */
#ifndef WORKER_PROCESS_H
#define WORKER_PROCESS_H

#include "status.h"

#include <sys/types.h>

/* Start the program with the library and nothing else: no environment, no other descriptor.
 * *ret_socket is non-blocking, the caller's. */
sp_status worker_start(const char *program, const char *path, int library_fd, pid_t *ret_pid,
                       int *ret_socket, struct sp_error *err);

enum { WORKER_END_BYTES = 96 };
/* Kill it, if it still runs, and reap it. ret_how: how it ended, for people ("was killed",
 * "died of signal 11 (Segmentation fault)"). A killed process without files ends at once, so
 * this waits for it. */
void worker_end(pid_t pid, char ret_how[WORKER_END_BYTES]);

#endif
