/* plugin_file: a plugin's file, read once. What was checked and hashed is what will be loaded:
 * the bytes live in a sealed memfd, which nobody can change, whatever becomes of the file. */
#ifndef SP_PLUGIN_FILE_H
#define SP_PLUGIN_FILE_H

#include "provider.h"

enum { SP_PLUGIN_MAX_BYTES = 64 << 20 };

struct sp_plugin_file {
    int fd;               /* the sealed memfd; -1 */
    const uint8_t *bytes; /* its content, mapped read-only */
    size_t len;
    uint8_t hash[32]; /* SHA-256 of it */
};

/* Refuses, with what to do: symbolic links, what is no regular file, and, where rules are
 * given, files and folders that others may write or that belong to others, and hashes that are
 * not pinned (unless rules->dev). On failure there is nothing to give back. */
sp_status sp_plugin_file_read(const char *path, const struct sp_plugin_rules *rules,
                              struct sp_plugin_file *ret_file, struct sp_error *err);
/* Unmaps; closes the memfd unless it is to be kept: the dynamic linker knows a library by its
 * path, and /proc/self/fd/N must not come to name another one. */
void sp_plugin_file_done(struct sp_plugin_file *file, bool keep_fd);

#endif
