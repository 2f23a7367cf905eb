#include "accept.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

enum { RESERVE_MAX = 64, REST_NS = 2000000 };

static atomic_uint_fast64_t n_shed;

uint64_t sp_accept_shed(void)
{
    return atomic_load(&n_shed);
}

typedef int (*accept4_fn)(int fd, struct sockaddr *ret_address, socklen_t *len, int flags);

static accept4_fn libc_accept4(void)
{
    static _Atomic accept4_fn found;
    accept4_fn fn = atomic_load(&found);
    if (!fn) {
        void *symbol = dlsym(RTLD_NEXT, "accept4");
        memcpy(&fn, &symbol, sizeof fn); /* ISO C has no cast from one to the other */
        atomic_store(&found, fn);
    }
    return fn;
}

/* The kernel gives the lowest number that is free: with one near the limit, there are few left.
 * A local socket, such as the administration's, may take more of those. */
static bool is_among_the_last(int fd, int listener)
{
    struct rlimit limit;
    int domain = AF_UNSPEC;
    socklen_t len = sizeof domain;
    if (getrlimit(RLIMIT_NOFILE, &limit)) {
        return false;
    }
    rlim_t reserve = limit.rlim_cur / 4 < RESERVE_MAX ? limit.rlim_cur / 4 : RESERVE_MAX;
    if ((rlim_t)fd + reserve < limit.rlim_cur) {
        return false;
    }
    bool local =
        getsockopt(listener, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
    return !local || (rlim_t)fd + reserve / 2 >= limit.rlim_cur;
}

/* Who is told that there are none asks again at once: after a short rest, it says that nobody
 * is there, which is the one answer that each caller takes. */
static int none_left(void)
{
    const struct timespec rest = {0, REST_NS};
    (void)nanosleep(&rest, NULL);
    errno = EAGAIN;
    return -1;
}

static int taken(int listener, struct sockaddr *ret_address, socklen_t *len, int flags)
{
    int fd = libc_accept4()(listener, ret_address, len, flags);
    if (fd < 0) {
        bool none = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
        atomic_fetch_add(&n_shed, none);
        return none ? none_left() : -1;
    }
    if (is_among_the_last(fd, listener)) {
        (void)close(fd);
        atomic_fetch_add(&n_shed, 1);
        errno = ECONNABORTED; /* as where the peer had closed it meanwhile */
        return -1;
    }
    return fd;
}

EXPORTED int accept4(int fd, __SOCKADDR_ARG ret_address, socklen_t *restrict len, int flags)
{
    return taken(fd, ret_address.__sockaddr__, len, flags);
}

EXPORTED int accept(int fd, __SOCKADDR_ARG ret_address, socklen_t *restrict len)
{
    return taken(fd, ret_address.__sockaddr__, len, 0);
}
