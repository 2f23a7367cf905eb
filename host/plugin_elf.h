/* plugin_elf: what a plugin's file says of itself, and what it would pull in with it, read
 * before any of its code can run. Every offset in the file is somebody else's claim: nothing is
 * read outside of bytes[0..len). */
#ifndef SP_PLUGIN_ELF_H
#define SP_PLUGIN_ELF_H

#include "status.h"

#include <stddef.h>
#include <stdint.h>

struct sp_elf_info {
    uint32_t abi_major, abi_minor; /* of the note */
};

/* SP_OK where this is a shared object of this machine with one Sallyport note of the major
 * version that the host speaks, that needs no library outside the allow-list (the C library's
 * own and libgcc_s), and that has nothing that makes the dynamic linker look elsewhere or the
 * process less safe: RPATH, RUNPATH, filters, audit libraries, text relocations, an executable
 * stack, writable code. Else err says which and what to do, without naming the file. */
sp_status sp_elf_check(const uint8_t *bytes, size_t len, struct sp_elf_info *ret_info,
                       struct sp_error *err);

#endif
