/* The JSON scope form, as a file or a message holds it:
 * {"allowedKeyIds":[…],"allowedProviders":[…],"allowedMethods":[…],"allowedDomains":[…],
 *  "rateLimitPerMinute":30,"expiresIn":"4h"} */
#ifndef SP_JSON_SCOPE_H
#define SP_JSON_SCOPE_H

#include "buf.h"
#include "status.h"

/* Read one JSON object (duplicate keys refused) and append it as a MessagePack map. What its
 * fields mean is the host's to judge. */
sp_status sp_json_scope_to_wire(struct sp_text json, struct sp_buf *ret_map,
                                struct sp_error *err);

#endif
