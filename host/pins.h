/* The plugins that an operator has pinned: a text file, one `<SHA-256 in hex>  <path>` a line
 * (the format of sha256sum), '#' comments. Only the hash counts; the path is for people. */
#ifndef SP_PINS_H
#define SP_PINS_H

#include "status.h"

#include <stddef.h>
#include <stdint.h>

enum { SP_PINS_MAX = 256 };

struct sp_pins {
    uint8_t hashes[SP_PINS_MAX][32];
    size_t n;
};

/* A file that is not there means no pins. SP_EINVAL with the line, SP_EDENIED where others may
 * write it. */
sp_status sp_pins_read(const char *path, struct sp_pins *ret_pins, struct sp_error *err);
/* Add one; fine where it is there already. */
sp_status sp_pins_add(const char *path, const uint8_t hash[32], const char *plugin,
                      struct sp_error *err);

#endif
