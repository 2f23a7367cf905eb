/* Preloaded into a program under test: calls of libc fail as the page says that the file of
 * SALLYPORT_FAULTS holds and that the test maps too. Nothing of the product knows of it.
 *
 * Calls are counted by class while the page is armed; number `nth` of each class in `mask`
 * fails with `error`, and all later ones too where `for_ever` is set. Only writes and
 * truncations of regular files count: of a socket or an event descriptor no disk can be full.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

enum fault_class { OPEN, WRITE, SYNC, TRUNCATE, RENAME, MEMORY, CLASSES };

struct page { /* tests/e2e/lib/faults.py knows its layout */
    _Atomic uint32_t armed, mask, nth, for_ever, error, n_failed, counts[CLASSES];
};

static struct page *page;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("SALLYPORT_FAULTS");
    int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0) : -1;
    if (fd >= 0) {
        void *at = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        page = at == MAP_FAILED ? NULL : at;
        (void)close(fd);
    }
}

/* Whether this call fails; then errno is set. */
static int fails(enum fault_class class)
{
    if (!page || !atomic_load(&page->armed)) {
        return 0;
    }
    uint32_t n = atomic_fetch_add(&page->counts[class], 1) + 1;
    uint32_t nth = atomic_load(&page->nth);
    if (!(atomic_load(&page->mask) >> class & 1) || nth == 0 || n < nth ||
        (n > nth && !atomic_load(&page->for_ever))) {
        return 0;
    }
    atomic_fetch_add(&page->n_failed, 1);
    errno = (int)atomic_load(&page->error);
    return 1;
}

static int on_disk(int fd)
{
    struct stat st;
    return page && atomic_load(&page->armed) && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static int opened(int folder, const char *path, int flags, mode_t mode)
{
    return fails(OPEN) ? -1 : (int)syscall(SYS_openat, folder, path, flags, mode);
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

EXPORTED ssize_t write(int fd, const void *bytes, size_t len)
{
    return on_disk(fd) && fails(WRITE) ? -1 : syscall(SYS_write, fd, bytes, len);
}

EXPORTED ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    return on_disk(fd) && fails(WRITE) ? -1 : syscall(SYS_pwrite64, fd, bytes, len, at);
}

EXPORTED ssize_t writev(int fd, const struct iovec *parts, int n)
{
    return on_disk(fd) && fails(WRITE) ? -1 : syscall(SYS_writev, fd, parts, n);
}

EXPORTED int fsync(int fd)
{
    return fails(SYNC) ? -1 : (int)syscall(SYS_fsync, fd);
}

EXPORTED int fdatasync(int fd)
{
    return fails(SYNC) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

EXPORTED int ftruncate(int fd, off_t len)
{
    return on_disk(fd) && fails(TRUNCATE) ? -1 : (int)syscall(SYS_ftruncate, fd, len);
}

EXPORTED int rename(const char *from, const char *to)
{
    return fails(RENAME) ? -1 : (int)syscall(SYS_rename, from, to);
}

/* off_t has 64 bits here: for libraries that say so by name. */
EXPORTED int open64(const char *path, int flags, ...) __attribute__((alias("open")));
EXPORTED int openat64(int folder, const char *path, int flags, ...)
    __attribute__((alias("openat")));
EXPORTED int creat64(const char *path, mode_t mode) __attribute__((alias("creat")));
EXPORTED ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at)
    __attribute__((alias("pwrite")));
EXPORTED int ftruncate64(int fd, off_t len) __attribute__((alias("ftruncate")));

/* glibc's own, by the names under which it lets others stand before them. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *old, size_t size);

EXPORTED void *malloc(size_t size)
{
    return fails(MEMORY) ? NULL : __libc_malloc(size);
}

EXPORTED void *calloc(size_t n, size_t size)
{
    return fails(MEMORY) ? NULL : __libc_calloc(n, size);
}

EXPORTED void *realloc(void *old, size_t size)
{
    return fails(MEMORY) ? NULL : __libc_realloc(old, size);
}
