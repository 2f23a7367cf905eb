/* Sockets, pages, random bytes, threads, memory, and the wall clock. */
#include "page.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* glibc's prototypes take any kind of address: a union of pointers. */

/* ---- sockets --------------------------------------------------------------------------------
 */

EXPORTED int socket(int domain, int type, int protocol)
{
    return fails(SOCKET) ? -1 : (int)syscall(SYS_socket, domain, type, protocol);
}

EXPORTED int socketpair(int domain, int type, int protocol, int ret_fds[2])
{
    return fails(SOCKET) ? -1 : (int)syscall(SYS_socketpair, domain, type, protocol, ret_fds);
}

EXPORTED int bind(int fd, __CONST_SOCKADDR_ARG address, socklen_t len)
{
    return fails(SOCKET) ? -1 : (int)syscall(SYS_bind, fd, address.__sockaddr__, len);
}

EXPORTED int listen(int fd, int n)
{
    return fails(SOCKET) ? -1 : (int)syscall(SYS_listen, fd, n);
}

EXPORTED int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t len)
{
    return fails(SOCKET) ? -1 : (int)syscall(SYS_connect, fd, address.__sockaddr__, len);
}

EXPORTED int accept4(int fd, __SOCKADDR_ARG ret_address, socklen_t *restrict len, int flags)
{
    return fails(SOCKET) ? -1
                         : (int)syscall(SYS_accept4, fd, ret_address.__sockaddr__, len, flags);
}

EXPORTED int accept(int fd, __SOCKADDR_ARG ret_address, socklen_t *restrict len)
{
    return accept4(fd, ret_address, len, 0);
}

EXPORTED int eventfd(unsigned first, int flags)
{
    return fails(SOCKET) ? -1 : (int)syscall(SYS_eventfd2, first, flags);
}

EXPORTED int epoll_create1(int flags)
{
    return fails(SOCKET) ? -1 : (int)syscall(SYS_epoll_create1, flags);
}

EXPORTED int pipe2(int ret_fds[2], int flags)
{
    return fails(SOCKET) ? -1 : (int)syscall(SYS_pipe2, ret_fds, flags);
}

EXPORTED int getsockname(int fd, __SOCKADDR_ARG ret_address, socklen_t *restrict len)
{
    return fails(SOCKET) ? -1
                         : (int)syscall(SYS_getsockname, fd, ret_address.__sockaddr__, len);
}

EXPORTED int getpeername(int fd, __SOCKADDR_ARG ret_address, socklen_t *restrict len)
{
    return fails(SOCKET) ? -1
                         : (int)syscall(SYS_getpeername, fd, ret_address.__sockaddr__, len);
}

EXPORTED int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    return fails(SOCKET) ? -1 : (int)syscall(SYS_setsockopt, fd, level, name, value, len);
}

EXPORTED int getsockopt(int fd, int level, int name, void *restrict ret_value,
                        socklen_t *restrict len)
{
    return fails(SOCKET) ? -1 : (int)syscall(SYS_getsockopt, fd, level, name, ret_value, len);
}

EXPORTED ssize_t recvfrom(int fd, void *restrict bytes, size_t len, int flags,
                          __SOCKADDR_ARG ret_from, socklen_t *restrict from_len)
{
    return fails(RECV)
               ? -1
               : syscall(SYS_recvfrom, fd, bytes, len, flags, ret_from.__sockaddr__, from_len);
}

EXPORTED ssize_t recv(int fd, void *bytes, size_t len, int flags)
{
    return recvfrom(fd, bytes, len, flags, (__SOCKADDR_ARG){.__sockaddr__ = NULL}, NULL);
}

EXPORTED ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    return fails(RECV) ? -1 : syscall(SYS_recvmsg, fd, message, flags);
}

EXPORTED ssize_t sendto(int fd, const void *bytes, size_t len, int flags,
                        __CONST_SOCKADDR_ARG to, socklen_t to_len)
{
    return fails(SEND) ? -1
                       : syscall(SYS_sendto, fd, bytes, len, flags, to.__sockaddr__, to_len);
}

EXPORTED ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    return sendto(fd, bytes, len, flags, (__CONST_SOCKADDR_ARG){.__sockaddr__ = NULL}, 0);
}

EXPORTED ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    return fails(SEND) ? -1 : syscall(SYS_sendmsg, fd, message, flags);
}

EXPORTED int epoll_ctl(int fd, int what, int of, struct epoll_event *event)
{
    return fails(POLL) ? -1 : (int)syscall(SYS_epoll_ctl, fd, what, of, event);
}

EXPORTED int poll(struct pollfd *list, nfds_t n, int wait_ms)
{
    return fails(POLL) ? -1 : (int)syscall(SYS_poll, list, n, wait_ms);
}

/* ---- pages, random bytes, threads and processes ---------------------------------------------
 */

EXPORTED void *mmap(void *at, size_t len, int access, int flags, int fd, off_t from)
{
    return fails(MAP) ? MAP_FAILED
                      : (void *)syscall(SYS_mmap, at, len, access, flags, fd, from);
}

EXPORTED void *mmap64(void *at, size_t len, int access, int flags, int fd, off_t from)
    __attribute__((alias("mmap")));

EXPORTED int mprotect(void *at, size_t len, int access)
{
    return fails(MAP) ? -1 : (int)syscall(SYS_mprotect, at, len, access);
}

EXPORTED int mlock(const void *at, size_t len)
{
    return fails(MAP) ? -1 : (int)syscall(SYS_mlock, at, len);
}

EXPORTED int madvise(void *at, size_t len, int advice)
{
    return fails(MAP) ? -1 : (int)syscall(SYS_madvise, at, len, advice);
}

EXPORTED int memfd_create(const char *name, unsigned flags)
{
    return fails(MAP) ? -1 : (int)syscall(SYS_memfd_create, name, flags);
}

EXPORTED ssize_t getrandom(void *bytes, size_t len, unsigned flags)
{
    return fails(RANDOM) ? -1 : syscall(SYS_getrandom, bytes, len, flags);
}

EXPORTED int getentropy(void *bytes, size_t len)
{
    return fails(RANDOM) || syscall(SYS_getrandom, bytes, len, 0) != (long)len ? -1 : 0;
}

EXPORTED int pthread_create(pthread_t *restrict ret_thread,
                            const pthread_attr_t *restrict attributes, void *(*run)(void *),
                            void *restrict user)
{
    int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    original("pthread_create", &next);
    return fails(SPAWN) ? errno : next(ret_thread, attributes, run, user);
}

EXPORTED int posix_spawn(pid_t *restrict ret_pid, const char *restrict path,
                         const posix_spawn_file_actions_t *actions,
                         const posix_spawnattr_t *restrict attributes, char *const argv[],
                         char *const environment[])
{
    int (*next)(pid_t *, const char *, const posix_spawn_file_actions_t *,
                const posix_spawnattr_t *, char *const[], char *const[]);
    original("posix_spawn", &next);
    return fails(SPAWN) ? errno : next(ret_pid, path, actions, attributes, argv, environment);
}

/* ---- memory: glibc's own, by the names under which it lets others stand before them ---------
 */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *old, size_t size);

EXPORTED void *malloc(size_t size)
{
    return fails(MEMORY) ? NULL : __libc_malloc(size);
}

EXPORTED void *calloc(size_t n, size_t size)
{
    return fails(MEMORY) ? NULL : __libc_calloc(n, size);
}

EXPORTED void *realloc(void *old, size_t size)
{
    return fails(MEMORY) ? NULL : __libc_realloc(old, size);
}

/* ---- the wall clock -------------------------------------------------------------------------
 */

static time_t off_s(void)
{
    return page ? atomic_load(&page->wall_s) : 0;
}

EXPORTED int clock_gettime(clockid_t id, struct timespec *ret_now)
{
    static int (*_Atomic next)(clockid_t, struct timespec *);
    int (*found)(clockid_t, struct timespec *) = atomic_load(&next);
    if (!found) {
        original("clock_gettime", &found);
        atomic_store(&next, found);
    }
    int result = found(id, ret_now);
    if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        ret_now->tv_sec += off_s();
    }
    return result;
}

EXPORTED time_t time(time_t *ret_now)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (ret_now) {
        *ret_now = now.tv_sec;
    }
    return now.tv_sec;
}

EXPORTED int gettimeofday(struct timeval *restrict ret_now, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    *ret_now = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}
