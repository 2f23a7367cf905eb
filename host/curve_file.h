/* A CURVE key pair in a file, mode 0600: two lines, `public <Z85>` and `secret <Z85>`, and
 * comments with '#'. Z85 (ZeroMQ RFC 32) writes 32 bytes as 40 characters. */
#ifndef SP_CURVE_FILE_H
#define SP_CURVE_FILE_H

#include "status.h"

#include <stdint.h>

enum { SP_CURVE_Z85_BYTES = 40 };

struct sp_curve_pair {
    char public_z85[SP_CURVE_Z85_BYTES + 1];
    char secret_z85[SP_CURVE_Z85_BYTES + 1]; /* wipe with sodium_memzero after use */
};

sp_status sp_curve_new(struct sp_curve_pair *ret_pair);
/* SP_EEXIST rather than write over a key. comment: one line for people. */
sp_status sp_curve_write(const char *path, const struct sp_curve_pair *pair,
                         const char *comment, struct sp_error *err);
/* Refuses a file that others may read or write. */
sp_status sp_curve_read(const char *path, struct sp_curve_pair *ret_pair, struct sp_error *err);
/* The 32 bytes of a Z85 key; SP_EINVAL unless it is exactly 40 characters of Z85. */
sp_status sp_curve_decode(const char *z85, uint8_t ret_key[32]);

#endif
