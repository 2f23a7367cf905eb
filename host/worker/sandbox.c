#include "sandbox.h"

#include "frames.h"
#include "sanitized.h"

#include <errno.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static sp_status broken(struct sp_error *err, const char *what, int error)
{
    return sp_fail(err, error == ENOSYS || error == EOPNOTSUPP ? SP_EUNSUPPORTED : SP_EIO,
                   "sandbox: %s: %s", what, strerror(error));
}

/* ---- limits ------------------------------------------------------------------------------ */

static sp_status limit(struct sp_error *err)
{
    static const struct {
        int what; /* RLIMIT_… */
        rlim_t most;
    } limits[] = {
        {RLIMIT_CORE, 0},
        {RLIMIT_FSIZE, 0},
        {RLIMIT_NOFILE, 16},
        {RLIMIT_MEMLOCK, 0},
        {RLIMIT_AS, SANITIZED ? RLIM_INFINITY : (rlim_t)WORKER_MEMORY_MAX_BYTES},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        const struct rlimit both = {limits[i].most, limits[i].most};
        if (setrlimit((__rlimit_resource_t)limits[i].what, &both) &&
            limits[i].most != RLIM_INFINITY) {
            return broken(err, "setrlimit", errno);
        }
    }
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) || prctl(PR_SET_DUMPABLE, 0) ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) {
        return broken(err, "prctl", errno);
    }
    return SP_OK;
}

/* ---- files ------------------------------------------------------------------------------- */

/* Every right over files that this kernel's Landlock knows is handled, and none is given. What
 * it does not cover (a memfd lies on no mounted file system) is the library alone. Rights by
 * version: Documentation/userspace-api/landlock.rst of Linux. */
static sp_status close_files(struct sp_error *err)
{
    long version =
        syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1) {
        return sp_fail(err, SP_EUNSUPPORTED,
                       "sandbox: this kernel has no Landlock (Linux 5.13 and later, `landlock` "
                       "in /sys/kernel/security/lsm)");
    }
    uint64_t rights = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
    rights |= version >= 2 ? (uint64_t)1 << 13 : 0; /* REFER */
    rights |= version >= 3 ? (uint64_t)1 << 14 : 0; /* TRUNCATE */
    rights |= version >= 5 ? (uint64_t)1 << 15 : 0; /* IOCTL_DEV */
    const struct landlock_ruleset_attr none = {.handled_access_fs = rights};
    long ruleset = syscall(SYS_landlock_create_ruleset, &none, sizeof none, 0);
    if (ruleset < 0) {
        return broken(err, "landlock_create_ruleset", errno);
    }
    long status = syscall(SYS_landlock_restrict_self, (int)ruleset, 0);
    int error = errno;
    (void)close((int)ruleset);
    return status ? broken(err, "landlock_restrict_self", error) : SP_OK;
}

/* ---- system calls ------------------------------------------------------------------------ */

/* What running C code needs. None of these reaches outside of the process. */
static const int always[] = {
    SCMP_SYS(brk),           SCMP_SYS(munmap),          SCMP_SYS(mremap),
    SCMP_SYS(madvise),       SCMP_SYS(futex),           SCMP_SYS(getrandom),
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),  SCMP_SYS(sched_yield),     SCMP_SYS(restart_syscall),
    SCMP_SYS(rt_sigreturn),  SCMP_SYS(rt_sigprocmask),  SCMP_SYS(sigaltstack),
    SCMP_SYS(getpid),        SCMP_SYS(gettid),          SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};
/* What the dynamic linker needs besides, and the second step itself. */
static const int loading[] = {
    SCMP_SYS(openat),     SCMP_SYS(read),  SCMP_SYS(pread64), SCMP_SYS(fstat),
    SCMP_SYS(newfstatat), SCMP_SYS(close), SCMP_SYS(mmap),    SCMP_SYS(mprotect),
    SCMP_SYS(seccomp),    SCMP_SYS(prctl),
};
/* A sanitizer's run-time reads /proc and writes its report to standard error. What tests of the
 * sandbox try is refused there, too. */
static const int sanitizers[] = {
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(mmap),
    SCMP_SYS(mprotect),
    SCMP_SYS(openat),
    SCMP_SYS(close),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(getrlimit),
    SCMP_SYS(prlimit64),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(prctl),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(ioctl),
    SCMP_SYS(lseek),
    SCMP_SYS(dup),
    SCMP_SYS(getdents64),
    SCMP_SYS(uname),
};

static int allow(scmp_filter_ctx filter, const int *calls, size_t n)
{
    int status = 0;
    for (size_t i = 0; !status && i < n; i++) {
        status = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
    }
    return status;
}
#define ALLOW(filter, calls) allow(filter, calls, sizeof(calls) / sizeof *(calls))

/* One call, where one argument compares so; for MASKED_EQ a is the mask and b the value. */
static int allow_where(scmp_filter_ctx filter, int call, unsigned argument,
                       enum scmp_compare compare, uint64_t a, uint64_t b)
{
    const struct scmp_arg_cmp condition = {argument, compare, a, b};
    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &condition);
}

/* abort(): a signal to itself. */
static int allow_abort(scmp_filter_ctx filter)
{
    int status = allow_where(filter, SCMP_SYS(tgkill), 0, SCMP_CMP_EQ, (uint64_t)getpid(), 0);
    return status ? status
                  : allow_where(filter, SCMP_SYS(rt_sigaction), 0, SCMP_CMP_EQ, SIGABRT, 0);
}

static int allow_memory(scmp_filter_ctx filter)
{
    int status =
        allow_where(filter, SCMP_SYS(mmap), 2, SCMP_CMP_MASKED_EQ, (uint64_t)PROT_EXEC, 0);
    return status ? status
                  : allow_where(filter, SCMP_SYS(mprotect), 2, SCMP_CMP_MASKED_EQ,
                                (uint64_t)PROT_EXEC, 0);
}

static int allow_socket(scmp_filter_ctx filter, int call)
{
    return allow_where(filter, call, 0, SCMP_CMP_EQ, WORKER_SOCKET, 0);
}

/* What is not allowed fails with EPERM: a plugin that tries gets an error, as from any system
 * that says no. A later filter can only take away. */
static sp_status filter_calls(bool at_load, struct sp_error *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter) {
        return sp_fail(err, SP_ENOMEM, "sandbox: out of memory");
    }
    int status = ALLOW(filter, always);
    status = status ? status : allow_abort(filter);
    if (!status && at_load) {
        status = ALLOW(filter, loading);
        status = status ? status : allow_socket(filter, SCMP_SYS(write));
    } else if (!status && !SANITIZED) {
        status = allow_memory(filter);
        status = status ? status : allow_socket(filter, SCMP_SYS(read));
        status = status ? status : allow_socket(filter, SCMP_SYS(write));
    }
    if (!status && SANITIZED) {
        status = ALLOW(filter, sanitizers);
    }
    status = status ? status : seccomp_load(filter);
    seccomp_release(filter);
    return status ? broken(err, "seccomp", -status) : SP_OK;
}

/* ---- the two steps ----------------------------------------------------------------------- */

sp_status worker_sandbox_enter(struct sp_error *err)
{
    sp_status status = limit(err);
    status = status ? status : close_files(err);
    return status ? status : filter_calls(true, err);
}

sp_status worker_sandbox_close(struct sp_error *err)
{
    return filter_calls(false, err);
}
