#include "confine.h"

#include "sanitized.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static sp_status broken(struct sp_error *err, const char *what, int error)
{
    return sp_fail(err, error == ENOSYS || error == EOPNOTSUPP ? SP_EUNSUPPORTED : SP_EIO,
                   "confine: %s: %s", what, strerror(error));
}

/* ---- system calls ------------------------------------------------------------------------ */

/* What a broker of keys has no use for. The rest is the unit's to narrow (SystemCallFilter): a
 * list of what libcurl, OpenSSL, SQLite, ZeroMQ and glibc may want is right for one version of
 * each. */
static const int denied[] = {
    /* other processes */
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(process_madvise),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(kcmp),
    SCMP_SYS(perf_event_open),
    /* the kernel */
    SCMP_SYS(bpf),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(modify_ldt),
    SCMP_SYS(iopl),
    SCMP_SYS(ioperm),
    SCMP_SYS(reboot),
    SCMP_SYS(syslog),
    SCMP_SYS(acct),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(quotactl),
    /* key rings */
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(keyctl),
    /* mounts, name spaces, files by number */
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(move_mount),
    SCMP_SYS(open_tree),
    SCMP_SYS(fsopen),
    SCMP_SYS(fspick),
    SCMP_SYS(fsconfig),
    SCMP_SYS(fsmount),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(unshare),
    SCMP_SYS(setns),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(mknod),
    SCMP_SYS(mknodat),
    /* who and what this machine is */
    SCMP_SYS(setuid),
    SCMP_SYS(setgid),
    SCMP_SYS(setreuid),
    SCMP_SYS(setregid),
    SCMP_SYS(setresuid),
    SCMP_SYS(setresgid),
    SCMP_SYS(setfsuid),
    SCMP_SYS(setfsgid),
    SCMP_SYS(setgroups),
    SCMP_SYS(capset),
    SCMP_SYS(sethostname),
    SCMP_SYS(setdomainname),
    SCMP_SYS(settimeofday),
    SCMP_SYS(clock_settime),
    SCMP_SYS(adjtimex),
    SCMP_SYS(clock_adjtime),
};
/* Its sockets are Unix's and the internet's; glibc asks NETLINK for the machine's addresses. */
static const int denied_families[] = {AF_PACKET, AF_ALG,       AF_VSOCK,
                                      AF_KEY,    AF_BLUETOOTH, AF_XDP};

static int deny_where(scmp_filter_ctx filter, int call, unsigned argument, uint64_t mask,
                      uint64_t value)
{
    const struct scmp_arg_cmp condition = {argument, SCMP_CMP_MASKED_EQ, mask, value};
    return seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), call, 1, &condition);
}

static int deny_name_spaces(scmp_filter_ctx filter)
{
    static const unsigned kinds[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWNET,   CLONE_NEWPID,
                                     CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP};
    int status = 0;
    for (size_t i = 0; !status && i < sizeof kinds / sizeof *kinds; i++) {
        status = deny_where(filter, SCMP_SYS(clone), 0, kinds[i], kinds[i]);
    }
    return status;
}

static int deny_all(scmp_filter_ctx filter)
{
    int status = deny_name_spaces(filter);
    for (size_t i = 0; !status && i < sizeof denied / sizeof *denied; i++) {
        status = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), denied[i], 0);
    }
    for (size_t i = 0; !status && i < sizeof denied_families / sizeof *denied_families; i++) {
        status =
            deny_where(filter, SCMP_SYS(socket), 0, UINT32_MAX, (uint64_t)denied_families[i]);
    }
    if (!status && !SANITIZED) {
        const uint64_t both = PROT_WRITE | PROT_EXEC;
        status = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ptrace), 0);
        status = status ? status : deny_where(filter, SCMP_SYS(mmap), 2, both, both);
        status =
            status ? status : deny_where(filter, SCMP_SYS(mprotect), 2, PROT_EXEC, PROT_EXEC);
    }
    return status;
}

static sp_status filter_calls(struct sp_error *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (!filter) {
        return sp_fail(err, SP_ENOMEM, "confine: out of memory");
    }
    /* clone3 passes its flags in memory, where a filter cannot look; glibc then takes clone. */
    int status = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    status = status ? status : deny_all(filter);
    status = status ? status : seccomp_load(filter);
    seccomp_release(filter);
    return status ? broken(err, "seccomp", -status) : SP_OK;
}

/* ---- programs ---------------------------------------------------------------------------- */

static const char linker[] =
#ifdef __aarch64__
    "/lib/ld-linux-aarch64.so.1";
#else
    "/lib64/ld-linux-x86-64.so.2";
#endif

/* What lies in a program's folder: a rule about the file itself would end when an upgrade puts
 * another in its place, and no worker could be started again. Where there is no such program
 * nobody can start it. */
static bool may_start(int ruleset, const char *program)
{
    char folder[PATH_MAX];
    if (!realpath(program, folder)) {
        return true;
    }
    *strrchr(folder, '/') = '\0';
    struct landlock_path_beneath_attr rule = {.allowed_access = LANDLOCK_ACCESS_FS_EXECUTE,
                                              .parent_fd = open(folder, O_PATH | O_CLOEXEC)};
    if (rule.parent_fd < 0) {
        return true;
    }
    bool good =
        syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
    int error = errno;
    (void)close(rule.parent_fd);
    errno = error;
    return good;
}

static sp_status only_program(const char *program, struct sp_error *err)
{
    const struct landlock_ruleset_attr execute = {.handled_access_fs =
                                                      LANDLOCK_ACCESS_FS_EXECUTE};
    long ruleset = syscall(SYS_landlock_create_ruleset, &execute, sizeof execute, 0);
    if (ruleset < 0) {
        return broken(err, "landlock_create_ruleset", errno);
    }
    bool good = may_start((int)ruleset, program) && may_start((int)ruleset, linker) &&
                syscall(SYS_landlock_restrict_self, (int)ruleset, 0) == 0;
    int error = errno;
    (void)close((int)ruleset);
    return good ? SP_OK : broken(err, "landlock", error);
}

sp_status sp_confine(const char *program, struct sp_error *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) {
        return broken(err, "prctl", errno);
    }
    sp_status status = SP_OK;
    if (program && !SANITIZED) {
        status = only_program(program, err);
    }
    sp_status filtered = filter_calls(status ? NULL : err);
    return status ? status : filtered;
}
