#include "pins.h"

#include "crypto.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static sp_status line_read(const char *line, unsigned number, const char *path,
                           struct sp_pins *pins, struct sp_error *err)
{
    if (line[0] == '\n' || line[0] == '#') {
        return SP_OK;
    }
    if (pins->n == SP_PINS_MAX) {
        return sp_fail(err, SP_ETOOBIG, "%s: more than %d pins", path, SP_PINS_MAX);
    }
    if (strcspn(line, " \n") != 64 ||
        sp_hex_decode((struct sp_text){line, 64}, pins->hashes[pins->n], 32)) {
        return sp_fail(err, SP_EINVAL, "%s: line %u is not `<SHA-256>  <path>`", path, number);
    }
    pins->n++;
    return SP_OK;
}

sp_status sp_pins_read(const char *path, struct sp_pins *ret_pins, struct sp_error *err)
{
    ret_pins->n = 0;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? SP_OK : sp_fail(err, SP_EIO, "%s: %s", path, strerror(errno));
    }
    struct stat st;
    if (fstat(fd, &st) || (st.st_mode & 022)) {
        (void)close(fd);
        return sp_fail(err, SP_EDENIED, "%s: others may write it; `chmod 600` it and check it",
                       path);
    }
    FILE *file = fdopen(fd, "r");
    if (!file) {
        (void)close(fd);
        return SP_ENOMEM;
    }
    struct sp_pins pins;
    pins.n = 0;
    char line[1200];
    sp_status status = SP_OK;
    for (unsigned number = 1; !status && fgets(line, sizeof line, file); number++) {
        status = line_read(line, number, path, &pins, err);
    }
    if (!status && ferror(file)) {
        status = sp_fail(err, SP_EIO, "%s: cannot be read", path);
    }
    (void)fclose(file);
    if (!status) {
        *ret_pins = pins;
    }
    return status;
}

sp_status sp_pins_add(const char *path, const uint8_t hash[32], const char *plugin,
                      struct sp_error *err)
{
    struct sp_pins pins;
    sp_status status = sp_pins_read(path, &pins, err);
    if (status) {
        return status;
    }
    for (size_t i = 0; i < pins.n; i++) {
        if (sodium_memcmp(pins.hashes[i], hash, 32) == 0) {
            return SP_OK;
        }
    }
    char hex[65], line[1200];
    sp_hex_encode(hash, 32, hex);
    int n = snprintf(line, sizeof line, "%s  %s\n", hex, plugin);
    if (n < 0 || (size_t)n >= sizeof line || strchr(plugin, '\n')) {
        return sp_fail(err, SP_EINVAL, "%s: path too long", plugin);
    }
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return sp_fail(err, SP_EIO, "%s: %s", path, strerror(errno));
    }
    if (write(fd, line, (size_t)n) != n || fsync(fd)) {
        status = sp_fail(err, SP_EIO, "%s: cannot be written: %s", path, strerror(errno));
    }
    (void)close(fd);
    return status;
}
