/* Files and folders. */
#include "page.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { CHANGED_MAX_BYTES = 256 << 10 };

static mode_t kind_of(int fd)
{
    struct stat st;
    return syscall(SYS_newfstatat, fd, "", &st, AT_EMPTY_PATH) == 0 ? st.st_mode & S_IFMT : 0;
}

/* Whether it is a file, and one of those that the page is about. What a test reads, the log, is
 * none. */
static bool on_disk(int fd)
{
    char link[40], path[512];
    if (!armed() || fd <= STDERR_FILENO || kind_of(fd) != S_IFREG) {
        return false;
    }
    if (!page->path[0]) {
        return true;
    }
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = syscall(SYS_readlink, link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    return strstr(path, page->path) != NULL;
}

static bool is_named(const char *path)
{
    return armed() && (!page->path[0] || strstr(path, page->path));
}

/* ---- open -----------------------------------------------------------------------------------
 */

static int opened(int folder, const char *path, int flags, mode_t mode)
{
    return is_named(path) && fails(OPEN) ? -1
                                         : (int)syscall(SYS_openat, folder, path, flags, mode);
}

static mode_t mode_of(int flags, va_list more)
{
    return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(more, mode_t) : 0;
}

EXPORTED int open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = mode_of(flags, more);
    va_end(more);
    return opened(AT_FDCWD, path, flags, mode);
}

EXPORTED int openat(int folder, const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = mode_of(flags, more);
    va_end(more);
    return opened(folder, path, flags, mode);
}

EXPORTED int creat(const char *path, mode_t mode)
{
    return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

EXPORTED DIR *opendir(const char *path)
{
    DIR *(*next)(const char *);
    original("opendir", &next);
    return is_named(path) && fails(OPEN) ? NULL : next(path);
}

EXPORTED int scandir(const char *restrict path, struct dirent ***restrict ret_list,
                     int (*chosen)(const struct dirent *),
                     int (*order)(const struct dirent **, const struct dirent **))
{
    int (*next)(const char *, struct dirent ***, int (*)(const struct dirent *),
                int (*)(const struct dirent **, const struct dirent **));
    original("scandir", &next);
    return is_named(path) && fails(OPEN) ? -1 : next(path, ret_list, chosen, order);
}

EXPORTED FILE *fopen(const char *path, const char *mode)
{
    FILE *(*next)(const char *, const char *);
    original("fopen", &next);
    return is_named(path) && fails(OPEN) ? NULL : next(path, mode);
}

/* ---- read, write ----------------------------------------------------------------------------
 */

EXPORTED ssize_t read(int fd, void *bytes, size_t len)
{
    mode_t kind = armed() ? kind_of(fd) : 0;
    if ((kind == S_IFREG && on_disk(fd) && fails(READ)) || (kind == S_IFSOCK && fails(RECV))) {
        return -1;
    }
    return syscall(SYS_read, fd, bytes, len);
}

EXPORTED ssize_t readv(int fd, const struct iovec *parts, int n)
{
    return on_disk(fd) && fails(READ) ? -1 : syscall(SYS_readv, fd, parts, n);
}

EXPORTED ssize_t pread(int fd, void *bytes, size_t len, off_t at)
{
    return on_disk(fd) && fails(READ) ? -1 : syscall(SYS_pread64, fd, bytes, len, at);
}

EXPORTED struct dirent *readdir(DIR *folder)
{
    struct dirent *(*next)(DIR *);
    original("readdir", &next);
    return fails(LIST) ? NULL : next(folder);
}

/* len bytes are written, one of them another. */
static ssize_t write_changed(int fd, const char *bytes, size_t len, off_t at)
{
    static char changed[CHANGED_MAX_BYTES];
    size_t n = len < sizeof changed ? len : sizeof changed;
    memcpy(changed, bytes, n);
    if (n) {
        changed[n / 2] = (char)(changed[n / 2] ^ 1);
    }
    return at < 0 ? syscall(SYS_write, fd, changed, n)
                  : syscall(SYS_pwrite64, fd, changed, n, at);
}

/* at: -1 where the file's own place is meant. */
static ssize_t written(int fd, const void *bytes, size_t len, off_t at)
{
    if (on_disk(fd) && fails(WRITE)) {
        switch ((enum way)atomic_load(&page->way)) {
        case FAILS:
            return -1;
        case LIES:
            return (ssize_t)len;
        case CHANGES:
            return write_changed(fd, bytes, len, at);
        }
    }
    return at < 0 ? syscall(SYS_write, fd, bytes, len)
                  : syscall(SYS_pwrite64, fd, bytes, len, at);
}

EXPORTED ssize_t write(int fd, const void *bytes, size_t len)
{
    return armed() && kind_of(fd) == S_IFSOCK && fails(SEND) ? -1 : written(fd, bytes, len, -1);
}

EXPORTED ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    return written(fd, bytes, len, at);
}

EXPORTED ssize_t writev(int fd, const struct iovec *parts, int n)
{
    if ((on_disk(fd) && fails(WRITE)) || (armed() && kind_of(fd) == S_IFSOCK && fails(SEND))) {
        return -1;
    }
    return syscall(SYS_writev, fd, parts, n);
}

/* ---- sync, lengths, locks -------------------------------------------------------------------
 */

static int synced(long call, int fd)
{
    if (on_disk(fd) && atomic_load(&page->sync_ms)) {
        uint32_t ms = atomic_load(&page->sync_ms);
        struct timespec rest = {ms / 1000, (long)(ms % 1000) * 1000000};
        (void)nanosleep(&rest, NULL);
    }
    if (armed() && fails(SYNC)) {
        return atomic_load(&page->way) == FAILS ? -1 : 0;
    }
    return (int)syscall(call, fd);
}

EXPORTED int fsync(int fd)
{
    return synced(SYS_fsync, fd);
}

EXPORTED int fdatasync(int fd)
{
    return synced(SYS_fdatasync, fd);
}

EXPORTED int ftruncate(int fd, off_t len)
{
    return on_disk(fd) && fails(TRUNCATE) ? -1 : (int)syscall(SYS_ftruncate, fd, len);
}

EXPORTED int flock(int fd, int what)
{
    return armed() && fails(LOCK) ? -1 : (int)syscall(SYS_flock, fd, what);
}

EXPORTED int fcntl(int fd, int what, ...)
{
    va_list more;
    va_start(more, what);
    void *value = va_arg(more, void *);
    va_end(more);
    return on_disk(fd) && fails(LOCK) ? -1 : (int)syscall(SYS_fcntl, fd, what, value);
}

/* ---- names ----------------------------------------------------------------------------------
 */

EXPORTED int rename(const char *from, const char *to)
{
    return fails(NAME) ? -1 : (int)syscall(SYS_rename, from, to);
}

EXPORTED int unlink(const char *path)
{
    return fails(NAME) ? -1 : (int)syscall(SYS_unlink, path);
}

EXPORTED int mkdir(const char *path, mode_t mode)
{
    return fails(NAME) ? -1 : (int)syscall(SYS_mkdir, path, mode);
}

EXPORTED int rmdir(const char *path)
{
    return fails(NAME) ? -1 : (int)syscall(SYS_rmdir, path);
}

EXPORTED int symlink(const char *to, const char *path)
{
    return fails(NAME) ? -1 : (int)syscall(SYS_symlink, to, path);
}

EXPORTED int link(const char *from, const char *to)
{
    return fails(NAME) ? -1 : (int)syscall(SYS_link, from, to);
}

EXPORTED int chmod(const char *path, mode_t mode)
{
    return fails(NAME) ? -1 : (int)syscall(SYS_chmod, path, mode);
}

EXPORTED int fchmod(int fd, mode_t mode)
{
    return fails(NAME) ? -1 : (int)syscall(SYS_fchmod, fd, mode);
}

EXPORTED int chown(const char *path, uid_t user, gid_t group)
{
    return fails(NAME) ? -1 : (int)syscall(SYS_chown, path, user, group);
}

EXPORTED int fchown(int fd, uid_t user, gid_t group)
{
    return fails(NAME) ? -1 : (int)syscall(SYS_fchown, fd, user, group);
}

EXPORTED int stat(const char *restrict path, struct stat *restrict ret_st)
{
    return fails(STAT) ? -1 : (int)syscall(SYS_stat, path, ret_st);
}

EXPORTED int lstat(const char *restrict path, struct stat *restrict ret_st)
{
    return fails(STAT) ? -1 : (int)syscall(SYS_lstat, path, ret_st);
}

EXPORTED int fstat(int fd, struct stat *ret_st)
{
    return fails(STAT) ? -1 : (int)syscall(SYS_fstat, fd, ret_st);
}

EXPORTED int access(const char *path, int mode)
{
    return fails(STAT) ? -1 : (int)syscall(SYS_access, path, mode);
}

EXPORTED ssize_t readlink(const char *restrict path, char *restrict bytes, size_t room)
{
    return fails(STAT) ? -1 : syscall(SYS_readlink, path, bytes, room);
}

/* off_t has 64 bits here: for libraries that say so by name, or that were fortified. */
EXPORTED int open64(const char *path, int flags, ...) __attribute__((alias("open")));
EXPORTED int openat64(int folder, const char *path, int flags, ...)
    __attribute__((alias("openat")));
EXPORTED int creat64(const char *path, mode_t mode) __attribute__((alias("creat")));
EXPORTED int __open64_2(const char *path, int flags);
EXPORTED int __open64_2(const char *path, int flags)
{
    return opened(AT_FDCWD, path, flags, 0);
}
EXPORTED FILE *fopen64(const char *path, const char *mode) __attribute__((alias("fopen")));
EXPORTED ssize_t pread64(int fd, void *bytes, size_t len, off_t at)
    __attribute__((alias("pread")));
EXPORTED ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at)
    __attribute__((alias("pwrite")));
EXPORTED int ftruncate64(int fd, off_t len) __attribute__((alias("ftruncate")));
EXPORTED int fcntl64(int fd, int what, ...) __attribute__((alias("fcntl")));

EXPORTED int stat64(const char *restrict path, struct stat64 *restrict ret_st)
{
    return fails(STAT) ? -1 : (int)syscall(SYS_stat, path, ret_st);
}

EXPORTED int lstat64(const char *restrict path, struct stat64 *restrict ret_st)
{
    return fails(STAT) ? -1 : (int)syscall(SYS_lstat, path, ret_st);
}

EXPORTED int fstat64(int fd, struct stat64 *ret_st)
{
    return fails(STAT) ? -1 : (int)syscall(SYS_fstat, fd, ret_st);
}

EXPORTED struct dirent64 *readdir64(DIR *folder)
{
    struct dirent64 *(*next)(DIR *);
    original("readdir64", &next);
    return fails(LIST) ? NULL : next(folder);
}
