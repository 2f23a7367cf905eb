/* key_next: the next version of a key, where the upstream gave secrets in place of its own:
 * what an operator's rotation would make of them. */
#ifndef SP_KEY_NEXT_H
#define SP_KEY_NEXT_H

#include "engine.h"
#include "provider.h"

/* What was given is checked by its fields as an operator's secret is, and copied; what a
 * secret's shape says (`livemode`) is read off it again. The input borrows from `now` and the
 * arena; its secrets are new, for the engine to take over. SP_EINVAL: a given one is no secret
 * of this key, or has not the shape; SP_ENOMEM. */
sp_status sp_key_next(struct sp_engine *engine, struct sp_arena *arena,
                      const struct sp_manifest *manifest, const struct sp_key *now,
                      const struct sp_key_secret *given, size_t n_given,
                      struct sp_key_input *ret_input, struct sp_error *err);

/* The secret of that name; NULL. */
const struct sp_key_secret *sp_key_secret_named(const struct sp_key *key, struct sp_text name);

#endif
