/* policy_held: scopes of the policy in force of which no token is issued and no call is made,
 * because a key is not what the scope insists on. It is asked anew each time: a key that is
 * rotated back ends it. Loop thread only. */
#ifndef SP_POLICY_HELD_H
#define SP_POLICY_HELD_H

#include "engine.h"
#include "log.h"

/* One text for each, "SCOPE: why", in the arena; one scope has one. SP_ENOMEM. */
sp_status sp_policy_held(const struct sp_engine *engine, struct sp_arena *arena,
                         const struct sp_text **ret_held, size_t *ret_n);
/* And for the log, at a start. */
void sp_policy_held_log(const struct sp_log *log, const struct sp_engine *engine);

#endif
