/* accept: no door takes the last descriptors.
 *
 * libzmq accepts whoever comes, and where there is no descriptor left it asks again at once,
 * for ever; on a Unix socket it aborts. So this program has an accept4 and an accept of its
 * own, which the dynamic linker gives to libzmq and libuv: a TCP connection that would take one
 * of the last descriptors is closed at once, so that the store, the upstreams, the workers and
 * the administration socket find some. */
#ifndef SP_ACCEPT_H
#define SP_ACCEPT_H

#include <stdint.h>

/* How many connections were closed so, or could not be taken. Any thread. */
uint64_t sp_accept_shed(void);

#endif
