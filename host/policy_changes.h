/* policy_changes: what a new policy changes, for the log of those who loaded it. Proved where
 * it can be in the time there is: the loop waits. */
#ifndef SP_POLICY_CHANGES_H
#define SP_POLICY_CHANGES_H

#include "log.h"
#include "policy.h"

enum { SP_CHANGES_MAX_MS = 500 }; /* for all scopes together; those left are said to be so */

/* One line for each scope that is new, gone or changed: of a changed one, whether it allows
 * something that it did not allow before, with a request that shows it. Live tokens keep the
 * scope that they were issued with. old may be NULL: then nothing is logged. */
void sp_policy_log_changes(const struct sp_policy *old, const struct sp_policy *new,
                           const struct sp_log *log);

#endif
