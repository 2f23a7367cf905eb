/* CURVE key files: written once, whole or not at all, read from nobody else's hand. */
#include "curve_file.h"
#include "unit/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* after those */
#include <cmocka.h>

static char folder[64], path[96];
static int write_fails = -1; /* the bytes that are written all the same; -1: all */
static bool fsync_fails, read_fails, fstat_fails, keypair_fails;

ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len)
{
    errno = ENOSPC;
    return write_fails < 0 ? __real_write(fd, bytes, len)
                           : __real_write(fd, bytes, (size_t)write_fails);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    return fsync_fails ? (errno = EIO, -1) : __real_fsync(fd);
}

ssize_t __real_read(int fd, void *bytes, size_t len);
ssize_t __wrap_read(int fd, void *bytes, size_t len);
ssize_t __wrap_read(int fd, void *bytes, size_t len)
{
    return read_fails ? (errno = EIO, -1) : __real_read(fd, bytes, len);
}

int __real_fstat(int fd, struct stat *ret_st);
int __wrap_fstat(int fd, struct stat *ret_st);
int __wrap_fstat(int fd, struct stat *ret_st)
{
    return fstat_fails ? (errno = EIO, -1) : __real_fstat(fd, ret_st);
}

int __real_zmq_curve_keypair(char *public_z85, char *secret_z85);
int __wrap_zmq_curve_keypair(char *public_z85, char *secret_z85);
int __wrap_zmq_curve_keypair(char *public_z85, char *secret_z85)
{
    return keypair_fails ? -1 : __real_zmq_curve_keypair(public_z85, secret_z85);
}

static int setup(void **state)
{
    (void)state;
    memcpy(folder, "/tmp/sp-curve-XXXXXX", 21);
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/key", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return folder_remove(folder);
}

static void put(const char *text, mode_t mode)
{
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    (void)close(fd);
}

static sp_status read_it(char why[512])
{
    struct sp_curve_pair pair;
    struct sp_error err = {""};
    sp_status status = sp_curve_read(path, &pair, &err);
    (void)snprintf(why, 512, "%s", err.text);
    return status;
}

static void a_pair_is_read_as_it_was_written_and_never_written_over(void **state)
{
    struct sp_curve_pair pair, other, read;
    struct sp_error err = {""};
    struct stat st;
    (void)state;
    assert_int_equal(sp_curve_new(&pair), SP_OK);
    assert_int_equal(sp_curve_write(path, &pair, "a test", &err), SP_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(sp_curve_read(path, &read, &err), SP_OK);
    assert_string_equal(read.public_z85, pair.public_z85);
    assert_string_equal(read.secret_z85, pair.secret_z85);
    assert_int_equal(sp_curve_new(&other), SP_OK);
    assert_int_equal(sp_curve_write(path, &other, "again", &err), SP_EEXIST);
    assert_int_equal(sp_curve_read(path, &read, &err), SP_OK);
    assert_string_equal(read.public_z85, pair.public_z85);
    keypair_fails = true;
    assert_int_equal(sp_curve_new(&other), SP_EUNSUPPORTED);
    keypair_fails = false;
}

static void T41_a_file_that_could_not_be_written_is_not_there(void **state)
{
    struct sp_curve_pair pair;
    struct sp_error err = {""};
    char comment[600];
    (void)state;
    (void)unlink(path);
    assert_int_equal(sp_curve_new(&pair), SP_OK);
    for (write_fails = 0; write_fails < 60; write_fails += 20) { /* a disk that fills up */
        assert_int_equal(sp_curve_write(path, &pair, "x", &err), SP_EIO);
        assert_int_not_equal(access(path, F_OK), 0);
    }
    write_fails = -1;
    fsync_fails = true;
    assert_int_equal(sp_curve_write(path, &pair, "x", &err), SP_EIO);
    assert_int_not_equal(access(path, F_OK), 0);
    fsync_fails = false;
    memset(comment, 'c', sizeof comment - 1);
    comment[sizeof comment - 1] = '\0';
    assert_int_equal(sp_curve_write(path, &pair, comment, &err), SP_EIO);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(sp_curve_write("/nowhere/key", &pair, "x", &err), SP_EIO);
}

#define PUBLIC "public rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7\n"
#define SECRET "secret JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6\n"

static void a_file_of_another_hand_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        PUBLIC,
        SECRET,
        "public short\n" SECRET,
        PUBLIC "secret short\n",
        "public "
        "\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\""
        "\n" SECRET,
        PUBLIC
        "secret "
        "\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\n",
        "public: " PUBLIC,
    };
    char why[512];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        put(bad[i], 0600);
        assert_int_equal(read_it(why), SP_EINVAL);
        assert_null(strstr(why, "JTKVSB")); /* an error tells no secret */
    }
    put("# a comment\n" PUBLIC SECRET, 0600);
    assert_int_equal(read_it(why), SP_OK);
    static const mode_t open_to_others[] = {0640, 0604, 0620, 0602, 0610, 0601};
    for (size_t i = 0; i < sizeof open_to_others / sizeof open_to_others[0]; i++) {
        put(PUBLIC SECRET, open_to_others[i]);
        assert_int_equal(read_it(why), SP_EDENIED);
    }
}

static void what_cannot_be_read_says_why(void **state)
{
    char why[512];
    (void)state;
    put(PUBLIC SECRET, 0600);
    fstat_fails = true;
    assert_int_equal(read_it(why), SP_EDENIED);
    fstat_fails = false;
    read_fails = true;
    assert_int_equal(read_it(why), SP_EIO);
    read_fails = false;
    (void)unlink(path);
    assert_int_equal(read_it(why), SP_ENOENT);
    assert_int_equal(symlink("/dev/null", path), 0);
    assert_int_equal(read_it(why), SP_EIO); /* no link is followed */
    (void)unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(read_it(why), SP_EDENIED);
    (void)rmdir(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pair_is_read_as_it_was_written_and_never_written_over),
        cmocka_unit_test(T41_a_file_that_could_not_be_written_is_not_there),
        cmocka_unit_test(a_file_of_another_hand_is_refused),
        cmocka_unit_test(what_cannot_be_read_says_why),
    };
    return cmocka_run_group_tests_name("curve file", tests, setup, teardown);
}
