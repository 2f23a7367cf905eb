/* privilege: whose process this is. The host needs nothing that only root has, so it is root no
 * longer than it takes to read its settings; commands that write into a state folder write as
 * the folder's owner. No threads may run yet. */
#ifndef SP_PRIVILEGE_H
#define SP_PRIVILEGE_H

#include "status.h"

#include <stdbool.h>
#include <sys/types.h>

/* Whom a host runs as when root starts it and its settings name nobody, if there is one. */
#define SP_PRIVILEGE_USER "sallyport"

enum { SP_PRIVILEGE_NAME_BYTES = 64 };

/* Be the user that the settings name (empty: SP_PRIVILEGE_USER, where root asks and it exists),
 * with its groups and no capability, for good. Root stays root only where the name is "root":
 * then *ret_root. SP_EDENIED: root and nobody is named, or somebody else's process; SP_ENOENT:
 * there is no such user. */
sp_status sp_privilege_drop(const char *name, bool *ret_root, struct sp_error *err);

/* Where root works on a folder of somebody else: be its owner. A folder that is not there
 * changes nothing. */
sp_status sp_privilege_as_owner(const char *dir, struct sp_error *err);

/* The name of the user that root's `init` makes a folder for, where nobody says: "root" if
 * there is no SP_PRIVILEGE_USER. */
const char *sp_privilege_default(void);
/* SP_ENOENT: there is no such user. */
sp_status sp_privilege_find(const char *name, uid_t *ret_uid, gid_t *ret_gid,
                            struct sp_error *err);

#endif
