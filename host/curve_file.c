#include "curve_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

sp_status sp_curve_new(struct sp_curve_pair *ret_pair)
{
    return zmq_curve_keypair(ret_pair->public_z85, ret_pair->secret_z85) ? SP_EUNSUPPORTED
                                                                         : SP_OK;
}

sp_status sp_curve_write(const char *path, const struct sp_curve_pair *pair,
                         const char *comment, struct sp_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return errno == EEXIST
                   ? sp_fail(err, SP_EEXIST, "%s: is there already; move it away first", path)
                   : sp_fail(err, SP_EIO, "%s: cannot be made: %s", path, strerror(errno));
    }
    char text[512];
    int n = snprintf(text, sizeof text, "# %s\npublic %s\nsecret %s\n", comment,
                     pair->public_z85, pair->secret_z85);
    sp_status status = SP_OK;
    if (n < 0 || (size_t)n >= sizeof text || write(fd, text, (size_t)n) != n || fsync(fd)) {
        status = sp_fail(err, SP_EIO, "%s: cannot be written: %s", path, strerror(errno));
        (void)unlink(path);
    }
    sodium_memzero(text, sizeof text);
    (void)close(fd);
    return status;
}

/* Copy the value of `name` from text into ret_z85; it is there once, and 40 characters long. */
static sp_status field(const char *text, const char *name, char ret_z85[SP_CURVE_Z85_BYTES + 1])
{
    size_t name_len = strlen(name);
    for (const char *line = text; line;
         line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        if (strncmp(line, name, name_len) == 0 && line[name_len] == ' ') {
            const char *value = line + name_len + 1;
            if (strcspn(value, "\r\n") != SP_CURVE_Z85_BYTES) {
                return SP_EINVAL;
            }
            memcpy(ret_z85, value, SP_CURVE_Z85_BYTES);
            ret_z85[SP_CURVE_Z85_BYTES] = '\0';
            return SP_OK;
        }
    }
    return SP_EINVAL;
}

sp_status sp_curve_read(const char *path, struct sp_curve_pair *ret_pair, struct sp_error *err)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return sp_fail(err, errno == ENOENT ? SP_ENOENT : SP_EIO, "%s: %s", path,
                       strerror(errno));
    }
    struct stat st;
    char text[1024];
    struct sp_curve_pair pair;
    sp_status status;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode) || (st.st_mode & 077)) {
        status = sp_fail(err, SP_EDENIED,
                         "%s: others may read or write it; `chmod 600` it, and make a new key "
                         "if somebody may have read it",
                         path);
        goto out;
    }
    ssize_t n = read(fd, text, sizeof text - 1);
    if (n < 0) {
        status = sp_fail(err, SP_EIO, "%s: cannot be read: %s", path, strerror(errno));
        goto out;
    }
    text[n] = '\0';
    uint8_t key[32];
    if (field(text, "public", pair.public_z85) || field(text, "secret", pair.secret_z85) ||
        sp_curve_decode(pair.public_z85, key) || sp_curve_decode(pair.secret_z85, key)) {
        status =
            sp_fail(err, SP_EINVAL,
                    "%s: is no CURVE key file; `sallyport client keygen FILE` makes one", path);
    } else {
        *ret_pair = pair;
        status = SP_OK;
    }
    sodium_memzero(key, sizeof key);
out:
    sodium_memzero(text, sizeof text);
    sodium_memzero(&pair, sizeof pair);
    (void)close(fd);
    return status;
}

sp_status sp_curve_decode(const char *z85, uint8_t ret_key[32])
{
    return strlen(z85) == SP_CURVE_Z85_BYTES && zmq_z85_decode(ret_key, z85) ? SP_OK
                                                                             : SP_EINVAL;
}
