/* sp_sync: what was written is on the disk. A file's new name is durable only once its folder
 * is, so folders are synced, too. */
#ifndef SP_SYNC_H
#define SP_SYNC_H

#include <stdbool.h>

/* fsync of a file or a folder by its path. False: errno says why. */
bool sp_sync_path(const char *path);
/* fsync of the folder that the path lies in. */
bool sp_sync_parent(const char *path);

#endif
