/* The reader of a plugin's file, on real libraries that were cut, flipped and edited (T46). */
#include "plugin_elf.h"
#include "text.h"

#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct bytes {
    uint8_t *ptr;
    size_t len;
};

static struct bytes file_bytes(const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    struct bytes bytes = {malloc(4 << 20), 0};
    assert_non_null(bytes.ptr);
    bytes.len = fread(bytes.ptr, 1, 4 << 20, file);
    assert_int_equal(fclose(file), 0);
    assert_true(bytes.len > 4096 && bytes.len < 4 << 20);
    return bytes;
}

static int read_plugin(void **state)
{
    struct bytes *bytes = malloc(sizeof *bytes);
    assert_non_null(bytes);
    *bytes = file_bytes(TEMPLATE_SO);
    *state = bytes;
    return 0;
}

static int free_plugin(void **state)
{
    struct bytes *bytes = *state;
    free(bytes->ptr);
    free(bytes);
    return 0;
}

/* A heap block of exactly that length, so that a sanitizer sees one byte read too far. */
static sp_status check_exactly(const uint8_t *bytes, size_t len, struct sp_error *err)
{
    struct sp_elf_info info = {77, 77};
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    err->text[0] = '\0';
    sp_status status = sp_elf_check(copy, len, &info, err);
    free(copy);
    if (status) {
        assert_int_equal(info.abi_major, 77);     /* untouched on failure */
        assert_non_null(strstr(err->text, "; ")); /* what is wrong; what to do about it */
    } else {
        assert_int_equal(info.abi_major, 1);
    }
    return status;
}

static void plugin_as_built_is_accepted(void **state)
{
    struct bytes *plugin = *state;
    struct sp_error err;
    if (check_exactly(plugin->ptr, plugin->len, &err)) {
        fail_msg("%s", err.text);
    }
}

/* What the linker reads lies in segments; what is behind them may go. */
static size_t end_of_segments(const struct bytes *plugin)
{
    Elf64_Ehdr header;
    size_t end = 0;
    memcpy(&header, plugin->ptr, sizeof header);
    for (size_t i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr segment;
        memcpy(&segment, plugin->ptr + header.e_phoff + i * sizeof segment, sizeof segment);
        size_t last = segment.p_offset + segment.p_filesz;
        if (segment.p_type == PT_LOAD && last > end) {
            end = last;
        }
    }
    return end;
}

static void T46_every_truncation_is_refused(void **state)
{
    struct bytes *plugin = *state;
    struct sp_error err;
    size_t end = end_of_segments(plugin);
    assert_true(end > 4096);
    for (size_t len = 0; len < end; len += len < 4096 ? 1 : 97) {
        assert_int_not_equal(check_exactly(plugin->ptr, len, &err), SP_OK);
    }
    assert_int_not_equal(check_exactly(plugin->ptr, end - 1, &err), SP_OK);
}

/* Whatever a flipped bit makes of the file, the reader ends, stays inside, and accepts nothing
 * of another major version. A flip in code is the pin's business: it is not seen here. */
static void T46_every_flipped_bit_is_survived(void **state)
{
    struct bytes *plugin = *state;
    struct sp_elf_info info;
    struct sp_error err;
    size_t refused = 0;
    for (size_t i = 0; i < plugin->len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            plugin->ptr[i] ^= (uint8_t)(1u << bit);
            if (sp_elf_check(plugin->ptr, plugin->len, &info, &err)) {
                refused++;
            } else {
                assert_int_equal(info.abi_major, 1);
            }
            plugin->ptr[i] ^= (uint8_t)(1u << bit);
        }
    }
    assert_true(refused > 500); /* the headers, the note, the dynamic section */
}

/* ---- edits ------------------------------------------------------------------------------ */

static Elf64_Ehdr header_of(const struct bytes *plugin)
{
    Elf64_Ehdr header;
    memcpy(&header, plugin->ptr, sizeof header);
    return header;
}

static uint8_t *segment_at(struct bytes *plugin, uint32_t type, Elf64_Phdr *ret_segment)
{
    Elf64_Ehdr header = header_of(plugin);
    for (size_t i = 0; i < header.e_phnum; i++) {
        uint8_t *at = plugin->ptr + header.e_phoff + i * sizeof *ret_segment;
        memcpy(ret_segment, at, sizeof *ret_segment);
        if (ret_segment->p_type == type) {
            return at;
        }
    }
    fail_msg("the plugin has no segment of type %u", type);
    return NULL;
}

static uint8_t *dynamic_at(struct bytes *plugin, int64_t tag, Elf64_Dyn *ret_entry)
{
    Elf64_Phdr segment;
    (void)segment_at(plugin, PT_DYNAMIC, &segment);
    for (size_t i = 0; i < segment.p_filesz / sizeof *ret_entry; i++) {
        uint8_t *at = plugin->ptr + segment.p_offset + i * sizeof *ret_entry;
        memcpy(ret_entry, at, sizeof *ret_entry);
        if (ret_entry->d_tag == tag) {
            return at;
        }
    }
    fail_msg("the plugin has no dynamic entry %d", (int)tag);
    return NULL;
}

static void assert_refused(const struct bytes *plugin, const char *words)
{
    struct sp_error err;
    assert_int_not_equal(check_exactly(plugin->ptr, plugin->len, &err), SP_OK);
    if (!strstr(err.text, words)) {
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
    }
}

static void T46_other_machine_class_and_byte_order_are_refused(void **state)
{
    struct bytes *plugin = *state;
    Elf64_Ehdr good = header_of(plugin), bad = good;
    bad.e_machine = EM_S390;
    memcpy(plugin->ptr, &bad, sizeof bad);
    assert_refused(plugin, "another kind of machine");
    bad = good;
    bad.e_ident[EI_CLASS] = ELFCLASS32;
    memcpy(plugin->ptr, &bad, sizeof bad);
    assert_refused(plugin, "another kind of machine");
    bad = good;
    bad.e_ident[EI_DATA] = ELFDATA2MSB;
    memcpy(plugin->ptr, &bad, sizeof bad);
    assert_refused(plugin, "another kind of machine");
    bad = good;
    bad.e_type = ET_EXEC;
    memcpy(plugin->ptr, &bad, sizeof bad);
    assert_refused(plugin, "no shared object");
}

static void T46_header_that_points_outside_is_refused(void **state)
{
    struct bytes *plugin = *state;
    Elf64_Ehdr good = header_of(plugin), bad = good;
    static const uint64_t offsets[] = {UINT64_MAX, UINT64_MAX - 64, 1u << 30};
    for (size_t i = 0; i < 3; i++) {
        bad.e_phoff = offsets[i];
        memcpy(plugin->ptr, &bad, sizeof bad);
        assert_refused(plugin, "damaged");
    }
    bad = good;
    bad.e_phnum = 65535;
    memcpy(plugin->ptr, &bad, sizeof bad);
    assert_refused(plugin, "damaged");
}

static void T46_segments_that_overlap_or_leave_the_file_are_refused(void **state)
{
    struct bytes *plugin = *state;
    Elf64_Phdr good, bad;
    uint8_t *at = segment_at(plugin, PT_LOAD, &good);
    bad = good;
    bad.p_memsz = UINT64_MAX;
    memcpy(at, &bad, sizeof bad);
    assert_refused(plugin, "segments are damaged");
    bad = good;
    bad.p_memsz += 1 << 20; /* over the next one */
    memcpy(at, &bad, sizeof bad);
    assert_refused(plugin, "segments are damaged");
    bad = good;
    bad.p_offset = UINT64_MAX - 8;
    memcpy(at, &bad, sizeof bad);
    assert_refused(plugin, "segments are damaged");
    bad = good;
    bad.p_flags = PF_R | PF_W | PF_X;
    memcpy(at, &bad, sizeof bad);
    assert_refused(plugin, "writable and executable");
}

static void T46_library_without_its_segments_is_refused(void **state)
{
    struct bytes *plugin = *state;
    Elf64_Phdr good, bad;
    static const struct {
        uint32_t type;
        const char *words;
    } rows[] = {{PT_DYNAMIC, "no dynamic section"}, {PT_GNU_STACK, "executable stack"}};
    for (size_t i = 0; i < 2; i++) {
        uint8_t *at = segment_at(plugin, rows[i].type, &good);
        bad = good;
        bad.p_type = PT_NULL;
        memcpy(at, &bad, sizeof bad);
        assert_refused(plugin, rows[i].words);
        memcpy(at, &good, sizeof good);
    }
    uint8_t *at = segment_at(plugin, PT_GNU_STACK, &good);
    bad = good;
    bad.p_type = PT_INTERP;
    memcpy(at, &bad, sizeof bad);
    assert_refused(plugin, "it is a program");
}

static void T46_dynamic_section_that_is_elsewhere_is_refused(void **state)
{
    struct bytes *plugin = *state;
    Elf64_Phdr good, bad;
    uint8_t *at = segment_at(plugin, PT_DYNAMIC, &good);
    bad = good;
    bad.p_offset += 16; /* the linker goes by the address, a naive reader by the offset */
    memcpy(at, &bad, sizeof bad);
    assert_refused(plugin, "dynamic section is damaged");
    bad = good;
    bad.p_offset = UINT64_MAX - 15; /* past the end of all addresses */
    memcpy(at, &bad, sizeof bad);
    assert_refused(plugin, "dynamic section is damaged");
    bad = good;
    bad.p_vaddr = UINT64_MAX - 15;
    memcpy(at, &bad, sizeof bad);
    assert_refused(plugin, "dynamic section is damaged");
    bad = good;
    bad.p_filesz = 16; /* the end mark is outside */
    memcpy(at, &bad, sizeof bad);
    assert_refused(plugin, "no end");
}

static void T46_string_table_that_is_damaged_is_refused(void **state)
{
    struct bytes *plugin = *state;
    Elf64_Dyn good, bad;
    static const struct {
        int64_t tag;
        uint64_t value;
    } rows[] = {{DT_STRTAB, UINT64_MAX}, {DT_STRTAB, 0},          {DT_STRSZ, 0},
                {DT_STRSZ, UINT64_MAX},  {DT_NEEDED, UINT64_MAX}, {DT_NEEDED, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sp_error err;
        uint8_t *at = dynamic_at(plugin, rows[i].tag, &good);
        bad = good;
        bad.d_un.d_val = rows[i].value;
        memcpy(at, &bad, sizeof bad);
        assert_int_not_equal(check_exactly(plugin->ptr, plugin->len, &err), SP_OK);
        memcpy(at, &good, sizeof good);
    }
}

/* The linker takes the last of two tables; a reader of the first would see other names. */
static void T46_second_string_table_is_refused(void **state)
{
    struct bytes *plugin = *state;
    Elf64_Dyn strings, other;
    (void)dynamic_at(plugin, DT_STRTAB, &strings);
    uint8_t *at = dynamic_at(plugin, DT_SYMENT, &other);
    strings.d_un.d_ptr += 1;
    memcpy(at, &strings, sizeof strings);
    assert_refused(plugin, "string table is damaged");
}

static void T46_dangerous_entries_are_refused(void **state)
{
    struct bytes *plugin = *state;
    Elf64_Dyn good, bad;
    static const struct {
        int64_t tag;
        uint64_t value;
        const char *words;
    } rows[] = {{DT_RPATH, 1, "RUNPATH"},
                {DT_RUNPATH, 1, "RUNPATH"},
                {DT_AUDIT, 1, "audit"},
                {DT_DEPAUDIT, 1, "audit"},
                {DT_FILTER, 1, "filter"},
                {DT_AUXILIARY, 1, "filter"},
                {DT_TEXTREL, 0, "-fPIC"},
                {DT_FLAGS, DF_TEXTREL, "-fPIC"},
                {DT_FLAGS_1, DF_1_GLOBAL, "-z global"}};
    uint8_t *at = dynamic_at(plugin, DT_SYMENT, &good);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bad.d_tag = rows[i].tag;
        bad.d_un.d_val = rows[i].value;
        memcpy(at, &bad, sizeof bad);
        assert_refused(plugin, rows[i].words);
    }
}

static void T46_needed_name_is_shown_without_its_escapes(void **state)
{
    struct bytes *plugin = *state;
    for (size_t i = 0; i + 10 < plugin->len; i++) {
        if (memcmp(plugin->ptr + i, "libc.so.6", 10) == 0) {
            memcpy(plugin->ptr + i, "\x1b[2J\n\xff so", 10);
        }
    }
    assert_refused(plugin, "the library ?[2J???so;");
}

static uint8_t *note_at(struct bytes *plugin)
{
    for (size_t i = 12; i + 20 < plugin->len; i++) {
        if (memcmp(plugin->ptr + i, "Sallyport\0\0\0\1\0\0\0", 16) == 0) {
            return plugin->ptr + i - 12;
        }
    }
    fail_msg("the plugin has no note");
    return NULL;
}

static void T46_note_that_is_damaged_or_of_another_major_is_refused(void **state)
{
    struct bytes *plugin = *state;
    static const struct {
        size_t at;
        uint32_t value;
    } rows[] = {{0, 9}, {0, UINT32_MAX}, {4, 4},  {4, UINT32_MAX}, {4, 0},
                {8, 2}, {24, 0},         {24, 2}, {24, UINT32_MAX}};
    uint8_t *note = note_at(plugin);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sp_error err;
        uint32_t good;
        memcpy(&good, note + rows[i].at, sizeof good);
        memcpy(note + rows[i].at, &rows[i].value, sizeof good);
        assert_int_not_equal(check_exactly(plugin->ptr, plugin->len, &err), SP_OK);
        memcpy(note + rows[i].at, &good, sizeof good);
    }
}

#define WITH_PLUGIN(test) cmocka_unit_test_setup_teardown(test, read_plugin, free_plugin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PLUGIN(plugin_as_built_is_accepted),
        WITH_PLUGIN(T46_every_truncation_is_refused),
        WITH_PLUGIN(T46_every_flipped_bit_is_survived),
        WITH_PLUGIN(T46_other_machine_class_and_byte_order_are_refused),
        WITH_PLUGIN(T46_header_that_points_outside_is_refused),
        WITH_PLUGIN(T46_segments_that_overlap_or_leave_the_file_are_refused),
        WITH_PLUGIN(T46_library_without_its_segments_is_refused),
        WITH_PLUGIN(T46_dynamic_section_that_is_elsewhere_is_refused),
        WITH_PLUGIN(T46_string_table_that_is_damaged_is_refused),
        WITH_PLUGIN(T46_second_string_table_is_refused),
        WITH_PLUGIN(T46_dangerous_entries_are_refused),
        WITH_PLUGIN(T46_needed_name_is_shown_without_its_escapes),
        WITH_PLUGIN(T46_note_that_is_damaged_or_of_another_major_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
