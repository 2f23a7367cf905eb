#include "plugin_elf.h"

#include "text.h"

#include <elf.h>
#include <sallyport/plugin.h>
#include <string.h>

#if defined(__x86_64__) && defined(__LP64__)
#define OUR_MACHINE EM_X86_64
#define OUR_LINKER "ld-linux-x86-64.so.2"
#elif defined(__aarch64__)
#define OUR_MACHINE EM_AARCH64
#define OUR_LINKER "ld-linux-aarch64.so.1"
#else
#error "add this machine's e_machine and the soname of its dynamic linker"
#endif
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define OUR_DATA ELFDATA2LSB
#else
#define OUR_DATA ELFDATA2MSB
#endif
#define OUR_CLASS ELFCLASS64

enum { SEGMENTS_MAX = 64, NAME_SHOWN_MAX = 64 };

static const char *const allowed_libraries[] = {"libc.so.6", "libm.so.6", "libgcc_s.so.1",
                                                OUR_LINKER};

struct elf {
    const uint8_t *bytes;
    size_t len;
    Elf64_Phdr segments[SEGMENTS_MAX];
    size_t n_segments;
    const Elf64_Phdr *dynamic;
};

/* Whether [offset, offset + size) lies in the file. */
static bool inside(const struct elf *elf, uint64_t offset, uint64_t size)
{
    return offset <= elf->len && size <= elf->len - offset;
}

static sp_status header_read(struct elf *elf, struct sp_error *err)
{
    Elf64_Ehdr header;
    if (elf->len < sizeof header || memcmp(elf->bytes, ELFMAG, SELFMAG) != 0) {
        return sp_fail(err, SP_EINVAL, "it is no ELF file; build it as a shared library");
    }
    memcpy(&header, elf->bytes, sizeof header);
    if (header.e_ident[EI_CLASS] != OUR_CLASS || header.e_ident[EI_DATA] != OUR_DATA ||
        header.e_machine != OUR_MACHINE) {
        return sp_fail(err, SP_EINVAL,
                       "it was built for another kind of machine; build it for this one");
    }
    if (header.e_type != ET_DYN) {
        return sp_fail(err, SP_EINVAL, "it is no shared object; link it with -shared");
    }
    if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0 ||
        header.e_phnum > SEGMENTS_MAX ||
        !inside(elf, header.e_phoff, sizeof(Elf64_Phdr) * (uint64_t)header.e_phnum)) {
        return sp_fail(err, SP_EINVAL,
                       "its ELF header is damaged or the file is cut short; build it anew");
    }
    elf->n_segments = header.e_phnum;
    memcpy(elf->segments, elf->bytes + header.e_phoff, elf->n_segments * sizeof(Elf64_Phdr));
    return SP_OK;
}

/* Loadable segments in ascending order without overlap (as the ELF specification has it), so
 * that what is read here by address is what the dynamic linker will map there. */
static sp_status load_check(const struct elf *elf, const Elf64_Phdr *segment,
                            uint64_t *in_out_end, struct sp_error *err)
{
    if (segment->p_filesz > segment->p_memsz ||
        !inside(elf, segment->p_offset, segment->p_filesz) || segment->p_vaddr < *in_out_end ||
        segment->p_memsz > UINT64_MAX - segment->p_vaddr) {
        return sp_fail(err, SP_EINVAL,
                       "its segments are damaged or the file is cut short; build it anew");
    }
    if ((segment->p_flags & (PF_W | PF_X)) == (PF_W | PF_X)) {
        return sp_fail(err, SP_EDENIED,
                       "it has memory that is both writable and executable; link it without");
    }
    *in_out_end = segment->p_vaddr + segment->p_memsz;
    return SP_OK;
}

static sp_status segments_check(struct elf *elf, struct sp_error *err)
{
    uint64_t end = 0;
    bool stack_is_data = false;
    for (size_t i = 0; i < elf->n_segments; i++) {
        const Elf64_Phdr *segment = &elf->segments[i];
        if (segment->p_type == PT_LOAD) {
            sp_status status = load_check(elf, segment, &end, err);
            if (status) {
                return status;
            }
        } else if (segment->p_type == PT_DYNAMIC) {
            if (elf->dynamic) {
                return sp_fail(err, SP_EINVAL, "it has two dynamic sections; rebuild it");
            }
            elf->dynamic = segment;
        } else if (segment->p_type == PT_INTERP) {
            return sp_fail(err, SP_EINVAL, "it is a program; link it with -shared");
        } else if (segment->p_type == PT_GNU_STACK) {
            stack_is_data = !(segment->p_flags & PF_X);
        }
    }
    if (!stack_is_data) { /* the dynamic linker would make this process's stacks executable */
        return sp_fail(err, SP_EDENIED,
                       "it asks for an executable stack; link it with -Wl,-z,noexecstack");
    }
    if (!elf->dynamic) {
        return sp_fail(err, SP_EINVAL, "it has no dynamic section; link it with -shared");
    }
    return SP_OK;
}

/* ---- the note --------------------------------------------------------------------------- */

/* One note's place in a segment: from at, its end into *ret_next. False at a damaged one. */
static bool note_bounds(uint64_t room, uint64_t align, const Elf64_Nhdr *note,
                        uint64_t *ret_body, uint64_t *ret_next)
{
    /* Sizes are 32-bit, so nothing here overflows 64. */
    uint64_t body = sizeof *note + note->n_namesz;
    body = (body + align - 1) / align * align;
    uint64_t next = (body + note->n_descsz + align - 1) / align * align;
    *ret_body = body;
    *ret_next = next < room ? next : room; /* the last one may lack its padding */
    return body + note->n_descsz <= room;
}

static sp_status note_segment_scan(const struct elf *elf, const Elf64_Phdr *segment,
                                   unsigned *in_out_found, struct sp_elf_info *ret_info)
{
    const uint8_t *at = elf->bytes + segment->p_offset;
    uint64_t room = segment->p_filesz, align = segment->p_align == 8 ? 8 : 4;
    while (room >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr note;
        uint64_t body, next;
        memcpy(&note, at, sizeof note);
        if (!note_bounds(room, align, &note, &body, &next)) {
            return SP_EINVAL;
        }
        if (note.n_type == SALLYPORT_NOTE_TYPE &&
            note.n_namesz == sizeof SALLYPORT_NOTE_OWNER &&
            memcmp(at + sizeof note, SALLYPORT_NOTE_OWNER, sizeof SALLYPORT_NOTE_OWNER) == 0) {
            uint32_t version[2];
            if (note.n_descsz != sizeof version) {
                return SP_EINVAL;
            }
            memcpy(version, at + body, sizeof version);
            *ret_info = (struct sp_elf_info){version[0], version[1]};
            ++*in_out_found;
        }
        at += next;
        room -= next;
    }
    return SP_OK;
}

static sp_status note_check(const struct elf *elf, struct sp_elf_info *ret_info,
                            struct sp_error *err)
{
    unsigned found = 0;
    for (size_t i = 0; i < elf->n_segments; i++) {
        const Elf64_Phdr *segment = &elf->segments[i];
        if (segment->p_type != PT_NOTE) {
            continue;
        }
        if (!inside(elf, segment->p_offset, segment->p_filesz) ||
            note_segment_scan(elf, segment, &found, ret_info)) {
            return sp_fail(err, SP_EINVAL, "its ELF notes are damaged; rebuild it");
        }
    }
    if (found != 1) {
        return sp_fail(err, SP_EINVAL,
                       found ? "it has two Sallyport notes; write SALLYPORT_PLUGIN_NOTE once"
                             : "it has no Sallyport note: it is no provider plugin, or lacks "
                               "one; write SALLYPORT_PLUGIN_NOTE once");
    }
    if (ret_info->abi_major != SALLYPORT_ABI_MAJOR) {
        return sp_fail(err, SP_EUNSUPPORTED,
                       "it speaks plugin ABI %u.%u and this host speaks %d.x; build it against "
                       "this host's SDK",
                       ret_info->abi_major, ret_info->abi_minor, SALLYPORT_ABI_MAJOR);
    }
    return SP_OK;
}

/* ---- the dynamic section ---------------------------------------------------------------- */

/* Bytes from an address on to the end of what the file has there; NULL where it has nothing. */
static const uint8_t *at_address(const struct elf *elf, uint64_t address, uint64_t *ret_room)
{
    for (size_t i = 0; i < elf->n_segments; i++) {
        const Elf64_Phdr *segment = &elf->segments[i];
        if (segment->p_type == PT_LOAD && address >= segment->p_vaddr &&
            address - segment->p_vaddr < segment->p_filesz) {
            uint64_t skip = address - segment->p_vaddr;
            *ret_room = segment->p_filesz - skip;
            return elf->bytes + segment->p_offset + skip;
        }
    }
    return NULL;
}

static const char *entry_refused(const Elf64_Dyn *entry)
{
    switch (entry->d_tag) {
    case DT_RPATH:
    case DT_RUNPATH:
        return "it has a RUNPATH, which lets its folder choose the libraries; link it without "
               "-rpath";
    case DT_AUXILIARY:
    case DT_FILTER:
        return "it is a filter for another library; link it without -f and -F";
    case DT_AUDIT:
    case DT_DEPAUDIT:
        return "it names an audit library; link it without --audit";
    case DT_TEXTREL:
        return "it has text relocations; compile it with -fPIC";
    case DT_FLAGS:
        return entry->d_un.d_val & DF_TEXTREL ? "it has text relocations; compile it with -fPIC"
                                              : NULL;
    case DT_FLAGS_1:
        return entry->d_un.d_val & (DF_1_GLOBAL | DF_1_INTERPOSE)
                   ? "it wants its symbols to be seen by others; link it without -z global and "
                     "-z interpose"
                   : NULL;
    default:
        return NULL;
    }
}

struct dynamic {
    const uint8_t *entries;
    size_t n_entries; /* without the DT_NULL */
    uint64_t strings_address, strings_bytes;
    unsigned n_strings_address, n_strings_bytes;
};

static Elf64_Dyn entry_at(const struct dynamic *dynamic, size_t i)
{
    Elf64_Dyn entry;
    memcpy(&entry, dynamic->entries + i * sizeof entry, sizeof entry);
    return entry;
}

/* The linker reads the section by its address up to DT_NULL, whatever the header says of offset
 * and size; so both have to agree, and the end has to be inside. */
static sp_status dynamic_read(const struct elf *elf, struct dynamic *dynamic,
                              struct sp_error *err)
{
    uint64_t room;
    dynamic->entries = at_address(elf, elf->dynamic->p_vaddr, &room);
    if (!dynamic->entries || room < elf->dynamic->p_filesz ||
        (uint64_t)(dynamic->entries - elf->bytes) != elf->dynamic->p_offset) {
        return sp_fail(err, SP_EINVAL, "its dynamic section is damaged; build it anew");
    }
    size_t most = elf->dynamic->p_filesz / sizeof(Elf64_Dyn);
    for (dynamic->n_entries = 0; dynamic->n_entries < most; dynamic->n_entries++) {
        Elf64_Dyn entry = entry_at(dynamic, dynamic->n_entries);
        const char *why = entry_refused(&entry);
        if (why) {
            return sp_fail(err, SP_EDENIED, "%s", why);
        }
        if (entry.d_tag == DT_NULL) {
            return SP_OK;
        }
        if (entry.d_tag == DT_STRTAB) {
            dynamic->strings_address = entry.d_un.d_ptr;
            dynamic->n_strings_address++;
        } else if (entry.d_tag == DT_STRSZ) {
            dynamic->strings_bytes = entry.d_un.d_val;
            dynamic->n_strings_bytes++;
        }
    }
    return sp_fail(err, SP_EINVAL, "its dynamic section has no end; build it anew");
}

/* A library's name as far as it can be shown: what is in the file may be anything. */
static void shown_name(const char *name, char ret_shown[NAME_SHOWN_MAX + 1])
{
    size_t i = 0;
    for (; i < NAME_SHOWN_MAX && name[i]; i++) {
        ret_shown[i] = (char)(name[i] > ' ' && name[i] < 0x7f ? name[i] : '?');
    }
    ret_shown[i] = '\0';
}

static sp_status needed_check(const char *name, struct sp_error *err)
{
    for (size_t i = 0; i < sizeof allowed_libraries / sizeof *allowed_libraries; i++) {
        if (strcmp(name, allowed_libraries[i]) == 0) {
            return SP_OK;
        }
    }
    char shown[NAME_SHOWN_MAX + 1];
    shown_name(name, shown);
    return sp_fail(err, SP_EDENIED,
                   "it needs the library %s; a plugin may need libc, libm and libgcc_s alone: "
                   "leave it out, or link it in statically",
                   shown);
}

static sp_status dynamic_check(const struct elf *elf, struct sp_error *err)
{
    struct dynamic dynamic = {NULL, 0, 0, 0, 0, 0};
    sp_status status = dynamic_read(elf, &dynamic, err);
    if (status) {
        return status;
    }
    uint64_t room = 0;
    const uint8_t *strings = at_address(elf, dynamic.strings_address, &room);
    if (!strings || dynamic.n_strings_address != 1 || dynamic.n_strings_bytes != 1 ||
        dynamic.strings_bytes == 0 || dynamic.strings_bytes > room ||
        strings[dynamic.strings_bytes - 1] != '\0') {
        return sp_fail(err, SP_EINVAL, "its dynamic string table is damaged; build it anew");
    }
    for (size_t i = 0; !status && i < dynamic.n_entries; i++) {
        Elf64_Dyn entry = entry_at(&dynamic, i);
        if (entry.d_tag == DT_NEEDED) {
            /* The table ends with NUL, so every name in it ends in it. */
            status = entry.d_un.d_val < dynamic.strings_bytes
                         ? needed_check((const char *)strings + entry.d_un.d_val, err)
                         : sp_fail(err, SP_EINVAL,
                                   "its dynamic string table is damaged; build it anew");
        }
    }
    return status;
}

sp_status sp_elf_check(const uint8_t *bytes, size_t len, struct sp_elf_info *ret_info,
                       struct sp_error *err)
{
    struct elf elf = {.bytes = bytes, .len = len};
    struct sp_elf_info info = {0, 0};
    sp_status status = header_read(&elf, err);
    if (!status) {
        status = segments_check(&elf, err);
    }
    if (!status) {
        status = note_check(&elf, &info, err);
    }
    if (!status) {
        status = dynamic_check(&elf, err);
    }
    if (!status) {
        *ret_info = info;
    }
    return status;
}
