#include "folder_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

sp_status sp_folder_lock(const char *dir, int *ret_fd, struct sp_error *err)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/lock", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return sp_fail(err, SP_EIO, "%s: %s", path, strerror(errno));
    }
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        (void)close(fd);
        return sp_fail(err, SP_EEXIST, "%s: another sallyportd runs on this folder", dir);
    }
    *ret_fd = fd;
    return SP_OK;
}
