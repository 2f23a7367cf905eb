/* What a command of `sallyport run` is to trust, as files: the system's authorities and the
 * proxy's. They hold no secret; they lie in a folder of the user's own in /tmp.
 */
#ifndef SP_CLI_RUN_TRUST_H
#define SP_CLI_RUN_TRUST_H

#include <stdbool.h>

/* The exit status of `run` where the fault is not the command's, as env(1) and timeout(1) have
 * it. */
enum { RUN_FAILED = 125 };

struct run_trust {
    char folder[32];
    char bundle[64]; /* PEM: for variables that take the place of the system's authorities */
    char store[64];  /* PKCS #12: Java's trust store, which needs no password */
};

/* ca_path: the proxy's authority, PEM. False with a message; remove() is due either way. */
bool run_trust_make(const char *ca_path, struct run_trust *ret_trust);
void run_trust_remove(struct run_trust *trust); /* zeroed is fine */

#endif
