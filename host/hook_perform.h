/* hook_perform: makes the HTTP requests that hooks ask for (hook_http.h): target checked
 * against the key's hosts, on record before it is sent, secrets put in, tokens signed, minted
 * values captured. Loop thread only. */
#ifndef SP_HOOK_PERFORM_H
#define SP_HOOK_PERFORM_H

#include "egress.h"
#include "hook_http.h"
#include "lease.h"
#include "log.h"

enum { SP_CAPTURED_MAX = SP_HOOK_CAPTURES_MAX };

/* One hook's, from before it runs until it is done; counted, since a request that is under way
 * outlives a hook whose worker died. */
struct sp_hook_context {
    struct sp_engine *engine;
    struct sp_egress *egress;
    const struct sp_log *log;
    const bool *stopped;                /* nothing is sent any more */
    const struct sp_manifest *manifest; /* of the hook's provider */
    struct sp_lease *lease;
    char lease_hex[SP_LEASE_ID_HEX_BYTES + 1];
    /* What placements and signatures may use; its own reference. Another once the upstream
     * replaced a secret of it. */
    const struct sp_key *key;
    /* What was captured so far; names in `names`. Taken over by sp_engine_lease_live (then
     * n_captured is 0), or wiped with the context. */
    struct sp_key_secret captured[SP_CAPTURED_MAX];
    char names[SP_CAPTURED_MAX][65];
    size_t n_captured;
    struct sp_error failure; /* why a request could not be sent; empty: they all were */
    unsigned n_performing;
    void (*idle)(void *user);
    void *idle_user;
    unsigned n_refs;
};

/* like: the borrowed parts, lease and key among them. NULL: out of memory. */
struct sp_hook_context *sp_hook_context_new(const struct sp_hook_context *like);
void sp_hook_context_unref(struct sp_hook_context *context); /* NULL is fine */

/* struct sp_hook_http's perform; user is the context. */
void sp_hook_perform(void *user, const struct sp_hook_request *request,
                     sp_hook_answered answered, void *answered_user);
/* Call idle once, when no request is under way: at once, or when the last has ended. */
void sp_hook_context_wait(struct sp_hook_context *context, void (*idle)(void *user),
                          void *user);

#endif
