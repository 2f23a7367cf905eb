/* The file of pinned plugins: who may not have written it, and what it may say. */
#include "pins.h"

#include "folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATH_BYTES = 256, LONG_BYTES = 2000 };
static char folder[64], path[PATH_BYTES];
#define HASH "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static int make(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/sallyport-pins-XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/plugins.pins", folder);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    return folder_remove(folder);
}

static void write_pins(const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static void assert_refused(sp_status status, const char *words)
{
    struct sp_pins pins = {.n = 7};
    struct sp_error err = {""};
    assert_int_equal(sp_pins_read(path, &pins, &err), status);
    assert_non_null(strstr(err.text, words));
    assert_int_equal(pins.n, 0);
}

static void no_file_means_no_pins(void **state)
{
    (void)state;
    struct sp_pins pins = {.n = 7};
    struct sp_error err = {""};
    assert_int_equal(sp_pins_read(path, &pins, &err), SP_OK);
    assert_int_equal(pins.n, 0);
}

static void comments_and_empty_lines_are_no_pins(void **state)
{
    (void)state;
    struct sp_pins pins;
    write_pins("# a comment\n\n" HASH "  /a.so\n" HASH "\n");
    assert_int_equal(sp_pins_read(path, &pins, NULL), SP_OK);
    assert_int_equal(pins.n, 2);
    assert_int_equal(pins.hashes[0][1], 0x11);
    assert_int_equal(pins.hashes[1][31], 0xff);
}

static void T47_a_line_that_is_no_hash_is_refused_by_its_number(void **state)
{
    static const char *const lines[] = {
        "\nplugin.so\n",
        HASH "\n0123  /short.so\n",
        "#\n" HASH "0  /long.so\n",
        HASH "\nzz112233445566778899aabbccddeeff00112233445566778899aabbccddeeff  /z.so\n",
        HASH "\n " HASH "\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        write_pins(lines[i]);
        assert_refused(SP_EINVAL, "line 2 ");
    }
}

static void T47_a_file_that_others_may_write_is_refused(void **state)
{
    static const mode_t modes[] = {0620, 0602};
    (void)state;
    write_pins(HASH "\n");
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal(chmod(path, modes[i]), 0);
        assert_refused(SP_EDENIED, "others may write it");
    }
}

static void T47_a_symbolic_link_is_refused(void **state)
{
    char real[PATH_BYTES];
    uint8_t hash[32] = {1};
    struct sp_error err = {""};
    (void)state;
    (void)snprintf(real, sizeof real, "%s/real", folder);
    write_pins(HASH "\n");
    assert_int_equal(rename(path, real), 0);
    assert_int_equal(symlink(real, path), 0);
    assert_refused(SP_EIO, "plugins.pins");
    assert_int_equal(sp_pins_add(path, hash, "/a.so", &err), SP_EIO);
}

static void a_folder_in_its_place_is_told(void **state)
{
    (void)state;
    assert_int_equal(mkdir(path, 0700), 0);
    assert_refused(SP_EIO, "cannot be read");
}

static void more_pins_than_there_is_room_for_are_refused(void **state)
{
    char *text = malloc((SP_PINS_MAX + 1) * (sizeof HASH + 1));
    (void)state;
    assert_non_null(text);
    size_t n = 0;
    for (int i = 0; i <= SP_PINS_MAX; i++) {
        memcpy(text + n, HASH "\n", sizeof HASH);
        n += sizeof HASH;
    }
    text[n] = '\0';
    write_pins(text);
    assert_refused(SP_ETOOBIG, "more than 256 pins");
    text[n - sizeof HASH] = '\0';
    write_pins(text);
    free(text);
    struct sp_pins pins;
    assert_int_equal(sp_pins_read(path, &pins, NULL), SP_OK);
    assert_int_equal(pins.n, SP_PINS_MAX);
}

static void a_pin_is_added_once_and_is_read_again(void **state)
{
    uint8_t hash[32] = {0xab}, other[32] = {0xcd};
    struct sp_pins pins;
    struct stat st;
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sp_pins_add(path, hash, "/a.so", NULL), SP_OK);
    }
    assert_int_equal(sp_pins_add(path, other, "/b.so", NULL), SP_OK);
    assert_int_equal(sp_pins_read(path, &pins, NULL), SP_OK);
    assert_int_equal(pins.n, 2);
    assert_memory_equal(pins.hashes[0], hash, 32);
    assert_memory_equal(pins.hashes[1], other, 32);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void T47_a_path_that_would_make_a_line_of_its_own_is_not_added(void **state)
{
    char longest[LONG_BYTES];
    uint8_t hash[32] = {0xab};
    struct sp_pins pins;
    struct sp_error err = {""};
    (void)state;
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(sp_pins_add(path, hash, longest, &err), SP_EINVAL);
    assert_int_equal(sp_pins_add(path, hash, "/a\n" HASH ".so", &err), SP_EINVAL);
    assert_int_equal(sp_pins_read(path, &pins, NULL), SP_OK);
    assert_int_equal(pins.n, 0);
}

static void nothing_is_added_to_a_file_that_cannot_be_read_or_made(void **state)
{
    uint8_t hash[32] = {0xab};
    struct sp_error err = {""};
    (void)state;
    write_pins("nonsense\n");
    assert_int_equal(sp_pins_add(path, hash, "/a.so", &err), SP_EINVAL);
    (void)snprintf(path, sizeof path, "%s/no-such-folder/plugins.pins", folder);
    assert_int_equal(sp_pins_add(path, hash, "/a.so", &err), SP_EIO);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make, unmake)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(no_file_means_no_pins),
        IN_FOLDER(comments_and_empty_lines_are_no_pins),
        IN_FOLDER(T47_a_line_that_is_no_hash_is_refused_by_its_number),
        IN_FOLDER(T47_a_file_that_others_may_write_is_refused),
        IN_FOLDER(T47_a_symbolic_link_is_refused),
        IN_FOLDER(a_folder_in_its_place_is_told),
        IN_FOLDER(more_pins_than_there_is_room_for_are_refused),
        IN_FOLDER(a_pin_is_added_once_and_is_read_again),
        IN_FOLDER(T47_a_path_that_would_make_a_line_of_its_own_is_not_added),
        IN_FOLDER(nothing_is_added_to_a_file_that_cannot_be_read_or_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
