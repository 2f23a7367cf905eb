/* sp_link: one connection to a host: a DEALER under CURVE, and the monitor that tells how its
 * handshake went. Messages are one frame, behind an empty one that the link adds and takes off.
 *
 * CURVE refuses silently: no reply comes where the host key is another one, where the client
 * key is unknown and where there is no host. The monitor knows more: whether anybody accepted
 * the connection, whether the handshake broke off, and whether the host refused the key. */
#ifndef SP_CLIENT_LINK_H
#define SP_CLIENT_LINK_H

#include "buf.h"
#include "curve_file.h"
#include "status.h"

struct sp_link;

/* How far the connection has come. */
enum sp_link_state {
    SP_LINK_NOBODY, /* nothing accepted a connection yet */
    SP_LINK_BROKEN, /* the last handshake broke off */
    SP_LINK_UNKNOWN_CLIENT,
    SP_LINK_GOOD,
};

/* context: ZeroMQ's, and must live longer. host_z85: the host's public key. pair: the client's
 * own; it may be wiped afterwards. */
sp_status sp_link_open(void *context, const char *endpoint, const char *host_z85,
                       const struct sp_curve_pair *pair, struct sp_link **ret_link,
                       struct sp_error *err);
/* Never waits for the peer. SP_EIO. */
sp_status sp_link_send(struct sp_link *link, struct sp_text message, struct sp_error *err);
/* The next message replaces what is in ret_message. SP_EBUSY where none came until `until_ms`
 * of sp_link_now, or, before the handshake, at once where the host does not know the key;
 * SP_EIO, at once, where the connection is lost; SP_ETOOBIG, SP_EINVAL for a message of another
 * shape. */
sp_status sp_link_receive(struct sp_link *link, int64_t until_ms, struct sp_buf *ret_message,
                          struct sp_error *err);
/* Whether a connection that was good has ended since. ZeroMQ makes another, which knows nothing
 * of what was asked on this one. */
bool sp_link_lost(struct sp_link *link);
enum sp_link_state sp_link_state(const struct sp_link *link);
void sp_link_close(struct sp_link *link);

/* A clock for time-outs; milliseconds. */
int64_t sp_link_now(void);

#endif
