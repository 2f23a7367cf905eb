/* sp_http_link: what an upstream says about where things are, as a client of the front door has
 * to read it. Octokit follows an absolute Link with its token in hand, so a link must lead back
 * here or be gone.
 */
#ifndef SP_HTTP_LINK_H
#define SP_HTTP_LINK_H

#include "buf.h"

struct sp_http_base {
    struct sp_text origin;   /* what the client dials: "http://localhost:7251" */
    struct sp_text prefix;   /* of its paths: "/github"; may be empty */
    struct sp_text host;     /* the upstream host of this call */
    struct sp_text upstream; /* where the key's calls are delivered instead; else empty */
    bool by_name; /* the client dials us by the upstream's own name: its links are right */
};

/* Location and Content-Location: a place at this upstream becomes ours, any other stays
 * (clients take their credentials off when they follow to another origin). */
void sp_http_put_location(struct sp_buf *buf, const struct sp_http_base *base,
                          struct sp_text value);
/* Link (RFC 8288): the same, but a link to another place, or one that cannot be read for
 * certain, is left out. Returns how many links were put. */
size_t sp_http_put_links(struct sp_buf *buf, const struct sp_http_base *base,
                         struct sp_text value);

#endif
