/* sp_sign: the signature of one request, as its key's plan describes it. Called right before
 * the request is sent; a request that cannot be signed is not sent. */
#ifndef SP_SIGN_H
#define SP_SIGN_H

#include "engine.h"
#include "provider.h"
#include "request.h"
#include "wipe_alloc.h"

enum { SP_SIGN_NONCE_BYTES = 16 };

/* When, and the nonce: the host's, so that nobody signs for another time. */
struct sp_sign_moment {
    uint64_t unix_ms;
    uint8_t nonce[SP_SIGN_NONCE_BYTES];
};
/* Now, with a nonce of its own. */
void sp_sign_now(struct sp_sign_moment *ret_moment);

/* What goes into headers: outputs[i] of the signature has values[i]; empty for those that went
 * into the query. */
struct sp_signed {
    struct sp_wipe_buf values[SP_SIGN_OUTPUTS_MAX];
};
void sp_signed_init(struct sp_signed *signed_values);
void sp_signed_done(struct sp_signed *signed_values);

/* Sign. target is the request target with the plan's placements in it (sp_placement_target);
 * outputs of the query are appended to it: those without {signature} first, so that they are
 * signed. SP_EINVAL where the client sent a parameter of such a name, where the secret is not
 * what the plan takes it for, or where a value fits no header; SP_ESEALED, SP_ETOOBIG. */
sp_status sp_sign(const struct sp_signature *signature, const struct sp_key *key,
                  const struct sp_request *request, const struct sp_sign_moment *moment,
                  struct sp_wipe_buf *target, struct sp_signed *ret_signed,
                  struct sp_error *err);
/* Whether it signs the body, or a hash of it: then the body must be there. */
bool sp_sign_reads_body(const struct sp_signature *signature);

#endif
