/* Preloaded by tests: when the first byte of the file that SALLYPORT_FAULTS names is '1', the
 * next fdatasync fails with EIO, once; then the byte is '0'. Nothing of the product knows of
 * it. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic char *armed; /* shared with the test */

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("SALLYPORT_FAULTS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd >= 0) {
        void *page = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        armed = page == MAP_FAILED ? NULL : page;
        (void)close(fd);
    }
}

__attribute__((visibility("default"))) int fdatasync(int fd)
{
    char is = '1';
    if (armed && atomic_compare_exchange_strong(armed, &is, '0')) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}
