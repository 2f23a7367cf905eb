/* What a worker has to survive: in its check hook it does what its setting `case` says. Cases
 * that try to get out say in their refusal what they managed to do, and are fine where that is
 * nothing. */
#include "bad.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

SALLYPORT_PLUGIN_NOTE;

struct instance {
    char name[32];
};

static int opened_at_load; /* by the constructor, before any hook */

__attribute__((constructor)) static void at_load(void)
{
    opened_at_load = open("/etc/passwd", O_RDONLY) >= 0 || open("/", O_RDONLY) >= 0 ||
                     socket(AF_INET, SOCK_STREAM, 0) >= 0;
}

static int32_t open_instance(const struct sallyport_host *host, uint64_t call,
                             const struct sallyport_key *key, void **ret_instance)
{
    struct sallyport_text name = sallyport_setting_of(key, "case");
    struct instance *instance = calloc(1, sizeof *instance);
    (void)host;
    (void)call;
    if (!instance || name.len >= sizeof instance->name) {
        free(instance);
        return SALLYPORT_E_MEMORY;
    }
    for (uint64_t i = 0; i < name.len; i++) {
        instance->name[i] = name.ptr[i];
    }
    *ret_instance = instance;
    return SALLYPORT_OK;
}

static void close_instance(const struct sallyport_host *host, void *instance)
{
    (void)host;
    free(instance);
}

/* ---- ways out: 1 where it worked ----------------------------------------------------------
 */

static int opens_files(void)
{
    static const char *const paths[] = {"/etc/passwd", "/proc/self/maps", "/proc/self/mem",
                                        "/dev/null",   "/proc/1/environ", "."};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (open(paths[i], O_RDONLY) >= 0) {
            return 1;
        }
    }
    return open("/tmp/sallyport-worker-was-here", O_RDWR | O_CREAT, 0600) >= 0;
}

static int opens_sockets(void)
{
    int ends[2];
    return socket(AF_INET, SOCK_STREAM, 0) >= 0 || socket(AF_UNIX, SOCK_STREAM, 0) >= 0 ||
           socket(AF_NETLINK, SOCK_RAW, 0) >= 0 ||
           socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0;
}

static int forks(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    return pid > 0;
}

static int executes(void)
{
    char name[] = "true";
    char *const argv[] = {name, NULL};
    (void)execve("/bin/true", argv, NULL);
    return 0; /* had it worked, nobody would be here to answer */
}

static int reads_others(void)
{
    char byte, *from = (char *)(uintptr_t)4096;
    struct iovec local = {&byte, 1}, remote = {from, 1};
    return process_vm_readv(getppid(), &local, 1, &remote, 1, 0) >= 0 ||
           ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == 0 ||
           process_vm_readv(1, &local, 1, &remote, 1, 0) >= 0 || errno == EFAULT;
}

static int signals_others(void)
{
    return kill(getppid(), 0) == 0 || kill(0, 0) == 0 || kill(-1, 0) == 0;
}

static void *nothing(void *data)
{
    return data;
}

static int starts_threads(void)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0;
}

static int makes_code(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page != MAP_FAILED || memfd_create("code", 0) >= 0;
}

static int undoes_limits(void)
{
    return prctl(PR_SET_DUMPABLE, 1) == 0 && prctl(PR_GET_DUMPABLE) == 1;
}

/* ---- ways to be a nuisance ----------------------------------------------------------------
 */

static void crash(void)
{
    (void)raise(SIGSEGV);
    _exit(1); /* it may not raise signals; a null pointer it may follow */
}

/* Not a tail call, and every frame is touched. */
static unsigned overflow(volatile char *before)
{
    volatile char frame[4096];
    frame[0] = before ? before[0] : 1;
    if (frame[0] != 1) {
        return 0; /* never; so that compilers do not mind */
    }
    return overflow(frame) + (unsigned char)frame[0];
}

static int32_t leak(void)
{
    static char *volatile kept;
    for (int i = 0; i < 4096; i++) {
        kept = malloc(1 << 20);
        if (!kept) {
            return SALLYPORT_E_MEMORY;
        }
        for (size_t at = 0; at < 1 << 20; at += 4096) {
            kept[at] = 1;
        }
    }
    return SALLYPORT_OK;
}

static int32_t be_bad(const struct sallyport_host *host, uint64_t call, const char *name)
{
    static const struct {
        const char *name;
        int (*try)(void);
    } tries[] = {
        {"open", opens_files},      {"socket", opens_sockets}, {"fork", forks},
        {"exec", executes},         {"memory", reads_others},  {"kill", signals_others},
        {"thread", starts_threads}, {"code", makes_code},      {"limits", undoes_limits},
    };
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        if (sallyport_text_is((struct sallyport_text){name, __builtin_strlen(name)},
                              tries[i].name)) {
            return tries[i].try() ? sallyport_refuse(host, call, "it got out")
                                  : fine_check(host, call, NULL);
        }
    }
    struct sallyport_text text = {name, __builtin_strlen(name)};
    if (sallyport_text_is(text, "at-load") && opened_at_load) {
        return sallyport_refuse(host, call, "it got out while it was loaded");
    } else if (sallyport_text_is(text, "crash")) {
        crash();
    } else if (sallyport_text_is(text, "stack")) {
        return (int32_t)overflow(NULL);
    } else if (sallyport_text_is(text, "abort")) {
        abort();
    } else if (sallyport_text_is(text, "exit")) {
        _exit(0);
    } else if (sallyport_text_is(text, "hang")) {
        for (volatile unsigned i = 0;; i++) {
        }
    } else if (sallyport_text_is(text, "leak")) {
        return leak();
    } else if (sallyport_text_is(text, "chatter")) {
        struct sallyport_text line = SALLYPORT_TEXT("blah");
        for (int i = 0; i < 100000; i++) {
            (void)host->log(host, SALLYPORT_LOG_ERROR, &line);
        }
    } else if (sallyport_text_is(text, "forge")) {
        static const char frame[] = "\x06\0\0\0\xff\xff\xff\xff\xff\xff";
        (void)!write(3, frame, sizeof frame - 1);
    } else if (sallyport_text_is(text, "huge")) {
        static const char frame[] = "\xff\xff\xff\x7f";
        (void)!write(3, frame, sizeof frame - 1);
    } else if (sallyport_text_is(text, "deaf")) {
        (void)close(3);
        for (volatile unsigned i = 0;; i++) {
        }
    }
    return fine_check(host, call, NULL);
}

static int32_t check(const struct sallyport_host *host, uint64_t call, void *data)
{
    const struct instance *instance = data;
    return be_bad(host, call, instance->name);
}

static const struct sallyport_plugin table = {
    .size = sizeof table,
    .abi_minor = SALLYPORT_ABI_MINOR,
    .describe = fine_describe,
    .open = open_instance,
    .close = close_instance,
    .check = check,
    .plan = fine_plan,
    .extension = fine_extension,
};
ENTRY
