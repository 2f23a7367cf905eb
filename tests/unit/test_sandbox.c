/* The worker's sandbox closes or says that it cannot (T48): each of its steps fails in turn.
 * Its source is part of this file, with its calls led through `denied`; each attempt is a
 * process of its own, since what succeeded cannot be undone. */
#include "worker/sandbox.h"

#include <errno.h>
#include <seccomp.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { CALLS_MAX = 200 };

static unsigned n_calls, fail_at; /* of the function under test; 0: none fails */
static const char *failing = "";  /* its name */
static int with_error;

static int denied(const char *name)
{
    errno = with_error;
    return strcmp(name, failing) == 0 && ++n_calls == fail_at;
}

#define setrlimit(...) (denied("setrlimit") ? -1 : setrlimit(__VA_ARGS__))
#define prctl(...) (denied("prctl") ? -1 : prctl(__VA_ARGS__))
#define syscall(...) (denied("syscall") ? -1 : syscall(__VA_ARGS__))
#define seccomp_init(...) (denied("seccomp_init") ? NULL : seccomp_init(__VA_ARGS__))
#define seccomp_rule_add(...)                                                                  \
    (denied("seccomp_rule_add") ? -with_error : seccomp_rule_add(__VA_ARGS__))
#define seccomp_rule_add_array(...)                                                            \
    (denied("seccomp_rule_add_array") ? -with_error : seccomp_rule_add_array(__VA_ARGS__))
#define seccomp_load(...) (denied("seccomp_load") ? -with_error : seccomp_load(__VA_ARGS__))
#include "worker/sandbox.c"

/* ---- attempts -------------------------------------------------------------------------------
 */

enum { CLOSED, ENTER_FAILED, CLOSE_FAILED, SILENT, UNSUPPORTED, NOT_REACHED };

static int attempt(void)
{
    struct sp_error err = {""};
    n_calls = 0;
    sp_status status = worker_sandbox_enter(&err);
    int stage = status ? ENTER_FAILED : CLOSED;
    if (!status) {
        status = worker_sandbox_close(&err);
        stage = status ? CLOSE_FAILED : CLOSED;
    }
    if (status && strncmp(err.text, "sandbox: ", 9) != 0) {
        return SILENT;
    }
    if (!status && fail_at > n_calls) {
        return NOT_REACHED;
    }
    return status == SP_EUNSUPPORTED ? UNSUPPORTED : stage;
}

static int in_a_process(const char *name, unsigned at, int with)
{
    int status;
    char self[] = "/proc/self/exe", call[64], number[16], code[16];
    char *const argv[] = {self, call, number, code, NULL};
    char *const environment[] = {NULL};
    pid_t pid;
    (void)snprintf(call, sizeof call, "%s", name);
    (void)snprintf(number, sizeof number, "%u", at);
    (void)snprintf(code, sizeof code, "%d", with);
    assert_int_equal(posix_spawn(&pid, self, NULL, NULL, argv, environment), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void T48_it_closes_where_nothing_fails(void **state)
{
    (void)state;
    assert_int_equal(in_a_process("", 0, EPERM), CLOSED);
}

/* Whichever call it is that fails: there is no sandbox that is half closed and says nothing. */
static void T48_each_step_that_fails_is_a_failure_with_its_name(void **state)
{
    static const struct {
        const char *name;
        unsigned least; /* so many calls there are at least */
    } steps[] = {
        {"setrlimit", 4},         {"prctl", 3},
        {"syscall", 3},           {"seccomp_init", 2},
        {"seccomp_rule_add", 30}, {"seccomp_rule_add_array", 3},
        {"seccomp_load", 2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        unsigned at = 1;
        for (; at < CALLS_MAX; at++) {
            int how = in_a_process(steps[i].name, at, EPERM);
            if (how == NOT_REACHED) {
                break;
            }
            /* In a sanitized build memory has no limit, and that one may fail. */
            assert_true(how == ENTER_FAILED || how == CLOSE_FAILED || how == UNSUPPORTED ||
                        (how == CLOSED && strcmp(steps[i].name, "setrlimit") == 0));
        }
        assert_true(at > steps[i].least && at < CALLS_MAX);
    }
}

static void T48_a_kernel_without_it_is_told_apart(void **state)
{
    static const int errors[] = {ENOSYS, EOPNOTSUPP};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(in_a_process("syscall", 1, errors[i]), UNSUPPORTED);
        assert_int_equal(in_a_process("seccomp_load", 1, errors[i]), UNSUPPORTED);
    }
}

int main(int argc, char **argv)
{
    if (argc == 4) { /* an attempt */
        failing = argv[1];
        fail_at = (unsigned)strtoul(argv[2], NULL, 10);
        with_error = (int)strtol(argv[3], NULL, 10);
        _exit(attempt());
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T48_it_closes_where_nothing_fails),
        cmocka_unit_test(T48_each_step_that_fails_is_a_failure_with_its_name),
        cmocka_unit_test(T48_a_kernel_without_it_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
