/* confine: what the host's own process may never do, whoever got hold of it. The workers have a
 * sandbox of their own, which is narrower (worker/sandbox.h). Before any thread is there; for
 * good, and for everything that is started from here. */
#ifndef SP_CONFINE_H
#define SP_CONFINE_H

#include "status.h"

/* No other process is looked into, no mount, module, key ring, clock, user or name space
 * changed, no memory made both writable and executable (seccomp: EPERM); no program is started
 * but what lies in this one's folder and in the dynamic linker's (Landlock: EACCES; NULL: any).
 * SP_EUNSUPPORTED: this kernel has not both; what it has holds. A build with sanitizers may
 * ptrace (LeakSanitizer does) and start a symbolizer. */
sp_status sp_confine(const char *program, struct sp_error *err);

#endif
