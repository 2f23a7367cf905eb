/* What a reload changes, compared before the old policy goes, and logged. Loop thread. */
#ifndef SP_POLICY_CHANGES_H
#define SP_POLICY_CHANGES_H

#include "log.h"
#include "policy.h"

/* Compare within as much time as clients can wait for: about 0.1 s in all. old may be NULL, and
 * memory may be short: then there is nothing to tell, and false. */
bool sp_policy_changes_find(const struct sp_policy *old, const struct sp_policy *new,
                            struct sp_policy_changes *ret_changes);
/* A line for each scope. What a new policy newly allows is a warning. */
void sp_policy_changes_log(const struct sp_log *log, const struct sp_policy_changes *changes);

#endif
