/* hook_perform: makes the HTTP requests that hooks ask for (hook_http.h): target checked
 * against the key's hosts, on record before it is sent, secrets put in, tokens signed, minted
 * values captured. Loop thread only. */
#ifndef SP_HOOK_PERFORM_H
#define SP_HOOK_PERFORM_H

#include "egress.h"
#include "hook_http.h"
#include "lease.h"

enum { SP_CAPTURED_MAX = SP_HOOK_CAPTURES_MAX };

/* One hook's, from before it runs until it is done. */
struct sp_hook_context {
    struct sp_engine *engine;
    struct sp_egress *egress;
    struct sp_lease *lease;
    const struct sp_key *key; /* what placements and signatures may use */
    /* What was captured so far; names in `names`. Taken over by sp_engine_lease_live, or freed
     * by sp_hook_context_done. */
    struct sp_key_secret captured[SP_CAPTURED_MAX];
    char names[SP_CAPTURED_MAX][65];
    size_t n_captured;
    struct sp_error failure; /* why a request could not be sent; empty: they all were */
    unsigned n_performing;   /* a request that is under way uses the context */
};

/* struct sp_hook_http's perform; user is the context. */
void sp_hook_perform(void *user, const struct sp_hook_request *request,
                     sp_hook_answered answered, void *answered_user);
/* Wipe what was captured. */
void sp_hook_context_done(struct sp_hook_context *context);

#endif
