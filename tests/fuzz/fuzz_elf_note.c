/* The reader of a plugin's file on anything at all: it ends, stays inside the bytes, and what
 * it accepts is of this host's major version. An input that begins with an even byte is the
 * file; else it is a list of edits (offset, value) to a real plugin, which get past the first
 * checks. */
#include "plugin_elf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLUGIN_MAX_BYTES = 256 << 10, EDIT_BYTES = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const uint8_t *bytes, size_t len)
{
    struct sp_elf_info info = {77, 77};
    struct sp_error err = {""};
    sp_status status = sp_elf_check(bytes, len, &info, &err);
    if (status ? info.abi_major != 77 || err.text[0] == '\0' : info.abi_major != 1) {
        abort();
    }
}

/* The plugin as built, in a heap block of its very size; kept for the whole run. */
static const uint8_t *plugin_bytes(size_t *ret_len)
{
    static uint8_t *bytes;
    static size_t len;
    if (!bytes) {
        FILE *file = fopen(TEMPLATE_SO, "rb");
        bytes = malloc(PLUGIN_MAX_BYTES);
        if (!file || !bytes) {
            abort();
        }
        len = fread(bytes, 1, PLUGIN_MAX_BYTES, file);
        (void)fclose(file);
    }
    *ret_len = len;
    return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || data[0] % 2 == 0) {
        check(data + (size > 0), size - (size > 0));
        return 0;
    }
    size_t len;
    const uint8_t *plugin = plugin_bytes(&len);
    uint8_t *edited = malloc(len);
    if (!edited) {
        return 0;
    }
    memcpy(edited, plugin, len);
    for (size_t at = 1; at + EDIT_BYTES <= size; at += EDIT_BYTES) {
        size_t offset = (size_t)data[at] << 16 | (size_t)data[at + 1] << 8 | data[at + 2];
        edited[offset % len] = data[at + 3];
    }
    check(edited, len);
    free(edited);
    return 0;
}
