/* malloc and its kin, for the whole process: the plugin's calls bind to these, since a
 * program's own symbols come first. glibc's own are behind them. */
#include "probe.h"
#include "sanitized.h"

#include <errno.h>
#include <malloc.h>

static unsigned fail_at, n_calls;
static bool armed;

unsigned probe_fail_allocation(unsigned n)
{
    unsigned seen = n_calls;
    fail_at = n;
    n_calls = 0;
    return seen;
}

void probe_arm(bool arm)
{
    armed = arm;
}

size_t probe_allocated(void)
{
    return mallinfo2().uordblks;
}

#if SANITIZED

bool probe_allocations_are_ours(void)
{
    return false;
}

#else

bool probe_allocations_are_ours(void)
{
    return true;
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *ptr, size_t size);

static bool fails(void)
{
    if (!armed) {
        return false;
    }
    n_calls++;
    if (n_calls != fail_at) {
        return false;
    }
    errno = ENOMEM;
    return true;
}

__attribute__((visibility("default"))) void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

__attribute__((visibility("default"))) void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : __libc_calloc(count, size);
}

__attribute__((visibility("default"))) void *realloc(void *ptr, size_t size)
{
    return fails() ? NULL : __libc_realloc(ptr, size);
}

#endif
