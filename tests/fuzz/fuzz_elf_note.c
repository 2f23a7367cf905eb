/* The reader of a plugin's file on anything at all: it ends, stays inside the bytes, and what
 * it accepts is of this host's major version. */
#include "plugin_elf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_elf_info info = {77, 77};
    struct sp_error err = {""};
    sp_status status = sp_elf_check(data, size, &info, &err);
    if (status ? info.abi_major != 77 || err.text[0] == '\0' : info.abi_major != 1) {
        abort();
    }
    return 0;
}
