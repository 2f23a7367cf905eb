/* confine: what the host's process may never do is tried from inside, by a process of its own
 * that has the same profile; each call first without it, where it must not be refused so. */
#include "confine.h"

#include "sanitized.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NOWHERE "/nowhere/at/all"

struct attempt {
    const char *name;
    long call, arguments[6];
    bool needs_root; /* else it is refused to everybody anyway */
    bool unsanitized;
};

/* None of them does harm where it is let through. */
static const struct attempt attempts[] = {
    {"ptrace", SYS_ptrace, {PTRACE_PEEKUSER, 1, 0, 0}, false, true},
    {"process_vm_readv", SYS_process_vm_readv, {1, 0, 0, 0, 0, 1}, false, false},
    {"pidfd_getfd", SYS_pidfd_getfd, {-1, 0, 0}, false, false},
    {"userfaultfd", SYS_userfaultfd, {-1}, false, false},
    {"io_uring_setup", SYS_io_uring_setup, {0, 0}, false, false},
    {"keyctl", SYS_keyctl, {-1}, false, false},
    {"add_key", SYS_add_key, {0, 0, 0, 0, 0}, false, false},
    {"unshare", SYS_unshare, {0}, false, false},
    {"setns", SYS_setns, {-1, 0}, false, false},
    {"mount", SYS_mount, {0, 0, 0, 0, 0}, true, false},
    {"umount2", SYS_umount2, {0, 0}, true, false},
    {"chroot", SYS_chroot, {(long)(intptr_t)NOWHERE}, false, false},
    {"mknodat", SYS_mknodat, {-1, (long)(intptr_t) "x", S_IFIFO, 0}, false, false},
    {"bpf", SYS_bpf, {-1, 0, 0}, true, false},
    {"perf_event_open", SYS_perf_event_open, {0, 0, -1, -1, 0}, true, false},
    {"open_by_handle_at", SYS_open_by_handle_at, {-1, 0, 0}, true, false},
    {"init_module", SYS_init_module, {0, 0, 0}, true, false},
    {"clock_settime", SYS_clock_settime, {-1, 0}, false, false},
    {"setresuid", SYS_setresuid, {-1, -1, -1}, false, false},
    {"setgroups", SYS_setgroups, {-1, 0}, true, false},
    {"capset", SYS_capset, {0, 0}, false, false},
    {"clone with a user name space", SYS_clone, {CLONE_NEWUSER | CLONE_FS}, false, false},
    {"socket of AF_PACKET", SYS_socket, {AF_PACKET, -1, 0}, false, false},
    {"socket of AF_ALG", SYS_socket, {AF_ALG, -1, 0}, false, false},
    {"mmap writable and executable",
     SYS_mmap,
     {0, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0},
     false,
     true},
    {"mprotect executable", SYS_mprotect, {1, 4096, PROT_READ | PROT_EXEC}, false, true},
};
enum { N_ATTEMPTS = sizeof attempts / sizeof *attempts };

static bool is_refused(const struct attempt *a)
{
    const long *v = a->arguments;
    errno = 0;
    return syscall(a->call, v[0], v[1], v[2], v[3], v[4], v[5]) == -1 && errno == EPERM;
}

/* A copy of this program, as an upgrade puts it: under another name first. */
static bool put_program(const char *path)
{
    char buffer[65536], fresh[4096];
    ssize_t n = 0;
    (void)snprintf(fresh, sizeof fresh, "%s.new", path);
    int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int to = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    bool good = from >= 0 && to >= 0;
    while (good && (n = read(from, buffer, sizeof buffer)) > 0) {
        good = write(to, buffer, (size_t)n) == n;
    }
    (void)close(from);
    (void)close(to);
    return good && n == 0 && rename(fresh, path) == 0;
}

/* 0, or what is wrong. */
static int run(const char *program)
{
    char *const argv[] = {"sh", "-c", "exit 3", NULL}, *const environment[] = {NULL};
    char *const answer[] = {"self", "answer", NULL};
    bool before[N_ATTEMPTS];
    struct sp_error err = {""};
    int wrong = 0, status;
    pid_t pid;
    for (size_t i = 0; i < N_ATTEMPTS; i++) {
        before[i] = is_refused(&attempts[i]);
    }
    if (!put_program(program) || sp_confine(program, &err)) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    for (size_t i = 0; i < N_ATTEMPTS; i++) {
        const struct attempt *a = &attempts[i];
        bool shown = !before[i] || (a->needs_root && geteuid() != 0);
        if (!(SANITIZED && a->unsanitized) && (!shown || !is_refused(a))) {
            (void)fprintf(stderr, "%s: %s\n", a->name,
                          shown ? "is let through" : "shows nothing");
            wrong = 1;
        }
    }
    /* What it does need goes on: a file, a socket, a thread's stack, and its own program. */
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    int internet = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || (internet < 0 && errno == EPERM)) {
        (void)fprintf(stderr, "a file or a socket is refused\n");
        wrong = 1;
    }
    if (!put_program(program) || posix_spawn(&pid, program, NULL, NULL, answer, environment) ||
        waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 42) {
        (void)fprintf(stderr, "its own program does not start\n");
        wrong = 1;
    }
    if (!SANITIZED && (execve("/bin/sh", argv, environment) != -1 || errno != EACCES)) {
        (void)fprintf(stderr, "another program starts\n");
        wrong = 1;
    }
    return wrong;
}

static void T59_what_a_broker_has_no_use_for_is_refused_from_inside(void **state)
{
    int status;
    pid_t pid;
    char self[] = "/proc/self/exe";
    char *const argv[] = {self, "inside", NULL}, *const environment[] = {NULL};
    (void)state;
    assert_int_equal(posix_spawn(&pid, self, NULL, NULL, argv, environment), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(int argc, char **argv)
{
    char program[4096];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T59_what_a_broker_has_no_use_for_is_refused_from_inside),
    };
    if (argc == 2 && strcmp(argv[1], "answer") == 0) {
        return 42;
    }
    if (argc == 2) {
        char folder[] = "/tmp/sallyport-confine-XXXXXX";
        if (!mkdtemp(folder)) {
            return 1;
        }
        (void)snprintf(program, sizeof program, "%s/program", folder);
        int wrong = run(program);
        (void)unlink(program);
        (void)rmdir(folder);
        return wrong;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
