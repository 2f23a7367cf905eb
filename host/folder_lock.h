/* folder_lock: one process at a time has a state folder: the host as long as it runs, and what
 * works on the folder while no host may. */
#ifndef SP_FOLDER_LOCK_H
#define SP_FOLDER_LOCK_H

#include "status.h"

/* Take DIR/lock. The lock lasts until *ret_fd is closed, however that happens. SP_EEXIST where
 * another process has it. */
sp_status sp_folder_lock(const char *dir, int *ret_fd, struct sp_error *err);

#endif
