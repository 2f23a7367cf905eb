/* sp_link: a client's side of the wire. One REQ socket under CURVE; one request at a time.
 *
 * CURVE refuses silently: a wrong host key, an unknown client key and no host at all look the
 * same from here, and the error text says so. */
#ifndef SP_CLIENT_LINK_H
#define SP_CLIENT_LINK_H

#include "buf.h"
#include "curve_file.h"
#include "status.h"

struct sp_link;

/* host_z85: the host's public key. pair: the client's own. */
sp_status sp_link_open(const char *endpoint, const char *host_z85,
                       const struct sp_curve_pair *pair, struct sp_link **ret_link,
                       struct sp_error *err);
/* Send one request, wait for its reply. SP_EBUSY after timeout_ms without an answer (the link
 * is then of no more use), SP_EIO. */
sp_status sp_link_ask(struct sp_link *link, struct sp_text request, int timeout_ms,
                      struct sp_buf *ret_reply, struct sp_error *err);
void sp_link_close(struct sp_link *link);

#endif
