/* Preloaded into a program under test: calls of libc fail as the page says that the file of
 * SALLYPORT_FAULTS holds and that the test maps too. Nothing of the product knows of it.
 *
 * Calls are counted by class while the page is armed; number `nth` of each class in `mask`
 * fails with `error`, and all later ones too where `for_ever` is set.
 */
#include "page.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct page *page;

/* Not by the functions that stand before libc's. */
__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("SALLYPORT_FAULTS");
    int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0) : -1;
    if (fd >= 0) {
        long at = syscall(SYS_mmap, NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                          (long)0);
        page = at == -1 ? NULL : (struct page *)at;
        (void)close(fd);
    }
}

bool armed(void)
{
    return page && atomic_load(&page->armed);
}

bool fails(enum fault_class class)
{
    if (!armed()) {
        return false;
    }
    uint32_t n = atomic_fetch_add(&page->counts[class], 1) + 1;
    uint32_t nth = atomic_load(&page->nth);
    if (!(atomic_load(&page->mask) >> class & 1) || nth == 0 || n < nth ||
        (n > nth && !atomic_load(&page->for_ever))) {
        return false;
    }
    atomic_fetch_add(&page->n_failed, 1);
    errno = (int)atomic_load(&page->error);
    return true;
}

void original(const char *name, void *ret_function)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) {
        abort();
    }
    memcpy(ret_function, &found, sizeof found);
}
