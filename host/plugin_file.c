#include "plugin_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL /* Linux 6.3: no execve of it; mapping it executable stays possible */
#define MFD_NOEXEC_SEAL 0x0008U
#endif

/* Of 150 ms in the kernel and 50 ms here: ten seconds, then it is no passing thing. */
#define SEAL_TRIES 50

static bool owner_is_fine(const struct stat *st, const struct sp_plugin_rules *rules)
{
    return st->st_uid == 0 || st->st_uid == rules->owner_uid;
}

/* Who can write the folder can put another file in place, so it is held to the same rules. */
static sp_status folder_check(int fd, const char *path, const struct sp_plugin_rules *rules,
                              struct sp_error *err)
{
    struct stat st;
    if (fstat(fd, &st)) {
        return sp_fail(err, SP_EIO, "plugin %s: its folder: %s; is that where it is?", path,
                       strerror(errno));
    }
    if (!owner_is_fine(&st, rules)) {
        return sp_fail(err, SP_EDENIED,
                       "plugin %s: its folder belongs to user %u, not to root or user %u; "
                       "`chown` it or move the plugin",
                       path, st.st_uid, rules->owner_uid);
    }
    if (st.st_mode & (S_IWGRP | S_IWOTH)) {
        return sp_fail(err, SP_EDENIED,
                       "plugin %s: others may write its folder; `chmod go-w` the folder", path);
    }
    return SP_OK;
}

static sp_status file_check(int fd, const char *path, const struct sp_plugin_rules *rules,
                            size_t *ret_len, struct sp_error *err)
{
    struct stat st;
    if (fstat(fd, &st)) {
        return sp_fail(err, SP_EIO, "plugin %s: %s", path, strerror(errno));
    }
    if (!S_ISREG(st.st_mode)) {
        return sp_fail(err, SP_EINVAL, "plugin %s: not a regular file; give the file itself",
                       path);
    }
    if (rules && !owner_is_fine(&st, rules)) {
        return sp_fail(
            err, SP_EDENIED,
            "plugin %s: belongs to user %u, not to root or user %u; `chown` it after "
            "checking where it came from",
            path, st.st_uid, rules->owner_uid);
    }
    if (rules && (st.st_mode & (S_IWGRP | S_IWOTH))) {
        return sp_fail(err, SP_EDENIED, "plugin %s: others may write it; `chmod go-w` it",
                       path);
    }
    if (st.st_size <= 0 || st.st_size > SP_PLUGIN_MAX_BYTES) {
        return sp_fail(err, SP_EINVAL, "plugin %s: %s", path,
                       st.st_size > 0 ? "over 64 MiB; strip it"
                                      : "the file is empty; build it anew");
    }
    *ret_len = (size_t)st.st_size;
    return SP_OK;
}

/* Open through the folder that was checked, so that no rename comes in between. */
static sp_status file_open(const char *path, const struct sp_plugin_rules *rules, int *ret_fd,
                           size_t *ret_len, struct sp_error *err)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    char folder[PATH_MAX] = ".";
    size_t folder_len = slash == path ? 1 : slash ? (size_t)(slash - path) : 0;
    if (folder_len >= sizeof folder) {
        return sp_fail(err, SP_EINVAL,
                       "plugin: the path is too long; move it to a shorter one");
    }
    if (folder_len > 0) {
        memcpy(folder, path, folder_len);
        folder[folder_len] = '\0';
    }
    int fd = -1;
    int folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder_fd < 0) {
        return sp_fail(err, SP_ENOENT, "plugin %s: its folder: %s; is that where it is?", path,
                       strerror(errno));
    }
    sp_status status = rules ? folder_check(folder_fd, path, rules, err) : SP_OK;
    if (!status) {
        /* O_NONBLOCK: a FIFO in its place must not hang the host. */
        fd = openat(folder_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 && errno == ELOOP) {
            status = sp_fail(err, SP_EDENIED,
                             "plugin %s: a symbolic link; give the file it points to", path);
        } else if (fd < 0) {
            status = sp_fail(err, errno == ENOENT ? SP_ENOENT : SP_EIO,
                             "plugin %s: %s; is that where it is?", path, strerror(errno));
        }
    }
    if (!status) {
        status = file_check(fd, path, rules, ret_len, err);
    }
    (void)close(folder_fd);
    if (status && fd >= 0) {
        (void)close(fd);
    } else {
        *ret_fd = fd;
    }
    return status;
}

static int memfd_new(void)
{
    int fd =
        memfd_create("sallyport-plugin", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) { /* before Linux 6.3 */
        fd = memfd_create("sallyport-plugin", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    }
    return fd;
}

/* Exactly len bytes, and then the end. */
static bool copy_all(int from, int to, size_t len)
{
    char chunk[16384];
    for (;;) {
        ssize_t got = read(from, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return got == 0 && len == 0;
        }
        if ((size_t)got > len) {
            return false; /* it grew meanwhile */
        }
        len -= (size_t)got;
        for (ssize_t at = 0, put; at < got; at += put) {
            put = write(to, chunk + at, (size_t)(got - at));
            if (put < 0 && errno != EINTR) {
                return false;
            }
            put = put < 0 ? 0 : put;
        }
    }
}

static bool is_pinned(const uint8_t hash[32], const struct sp_plugin_rules *rules)
{
    for (size_t i = 0; i < rules->n_pins; i++) {
        if (sodium_memcmp(hash, rules->pins[i], 32) == 0) {
            return true;
        }
    }
    return false;
}

/*
 * The seals, waiting while the kernel itself still holds a page of the copy. F_SEAL_WRITE is
 * refused with EBUSY while any page has one reference more than its mappings explain (fcntl(2);
 * memfd_wait_for_pins() of mm/memfd.c gives up after 150 ms). Nobody has mapped or pinned this
 * file; what holds a page is write-back, compaction or a monitor, and it lets go again.
 */
static int add_seals(int fd)
{
    const struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
    for (int tries = 0;; tries++) {
        int failed =
            fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
        if (!failed || errno != EBUSY || tries == SEAL_TRIES) {
            return failed;
        }
        (void)nanosleep(&pause, NULL);
    }
}

/* Copy, seal, map, hash: from here on the bytes cannot change. */
static sp_status seal(int from, const char *path, struct sp_plugin_file *file,
                      struct sp_error *err)
{
    file->fd = memfd_new();
    if (file->fd < 0) {
        return sp_fail(err, SP_EIO, "plugin %s: memfd_create: %s", path, strerror(errno));
    }
    if (!copy_all(from, file->fd, file->len)) {
        return sp_fail(err, SP_EIO,
                       "plugin %s: cannot be read, or changed while it was; try again", path);
    }
    if (add_seals(file->fd)) {
        return sp_fail(err, SP_EIO, "plugin %s: cannot be sealed: %s; try again", path,
                       strerror(errno));
    }
    void *map = mmap(NULL, file->len, PROT_READ, MAP_PRIVATE, file->fd, 0);
    if (map == MAP_FAILED) {
        return sp_fail(err, SP_ENOMEM, "plugin %s: cannot be mapped: %s", path,
                       strerror(errno));
    }
    file->bytes = map;
    (void)crypto_hash_sha256(file->hash, file->bytes, file->len);
    return SP_OK;
}

sp_status sp_plugin_file_read(const char *path, const struct sp_plugin_rules *rules,
                              struct sp_plugin_file *ret_file, struct sp_error *err)
{
    struct sp_plugin_file file = {.fd = -1};
    int fd = -1;
    sp_status status = file_open(path, rules, &fd, &file.len, err);
    if (!status) {
        status = seal(fd, path, &file, err);
    }
    if (!status && rules && !rules->dev && !is_pinned(file.hash, rules)) {
        char hex[65];
        (void)sodium_bin2hex(hex, sizeof hex, file.hash, sizeof file.hash);
        status = sp_fail(err, SP_EDENIED,
                         "plugin %s: not pinned (SHA-256 %s); run `sallyport plugin pin %s` "
                         "after checking where it came from",
                         path, hex, path);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (status) {
        sp_plugin_file_done(&file, false);
    } else {
        *ret_file = file;
    }
    return status;
}

void sp_plugin_file_done(struct sp_plugin_file *file, bool keep_fd)
{
    if (file->bytes) {
        (void)munmap((void *)(uintptr_t)file->bytes, file->len);
        file->bytes = NULL;
    }
    if (file->fd >= 0 && !keep_fd) {
        (void)close(file->fd);
        file->fd = -1;
    }
}
