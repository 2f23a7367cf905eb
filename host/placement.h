/* sp_placement: the one step where a secret meets a request. Texts made here hold secrets, so
 * they are built in wiping buffers (wipe_alloc.h); errors never quote a value.
 */
#ifndef SP_PLACEMENT_H
#define SP_PLACEMENT_H

#include "engine.h"
#include "provider.h"
#include "request.h"
#include "wipe_alloc.h"

enum { SP_PLACED_MAX_BYTES = 24576 }; /* a secret of SP_SECRET_MAX_BYTES in base64, and more */

/* Append the value of a placement: prefix, then the template with the key's secrets filled in,
 * base64-encoded where the placement says so. A header's value must be visible ASCII with
 * blanks inside only (RFC 9110 section 5.5); a query's must hold no CR, LF, NUL.
 * SP_EINVAL: a template that is malformed or names a secret that the key lacks, or a secret
 * that cannot stand in that place. SP_ESEALED: the host was sealed meanwhile. */
sp_status sp_placement_value(const struct sp_placement *placement, const struct sp_key *key,
                             struct sp_wipe_buf *buf, struct sp_error *err);

/* A secret of the key by its name: borrowed. SP_EINVAL where the key lacks it, SP_ESEALED. */
sp_status sp_placement_secret(const struct sp_key *key, struct sp_text name,
                              struct sp_text *ret_secret, struct sp_error *err);

/* Append name=value, percent-encoded, to a target's query. SP_EINVAL where the client sent a
 * parameter of that name, in any case or as name[…]. */
sp_status sp_placement_add_query(struct sp_text name, struct sp_text value,
                                 const struct sp_url *url, struct sp_wipe_buf *target,
                                 struct sp_error *err);

/* Append the request target with the plan's query placements behind the client's own query:
 * what sp_url_print_target prints, then name=value, percent-encoded but for RFC 3986
 * `unreserved`. SP_EINVAL also where the client sent a parameter of a placed name, in any case
 * or as name[…]: two values for one credential would leave the choice to the upstream. */
sp_status sp_placement_target(const struct sp_plan *plan, const struct sp_key *key,
                              const struct sp_url *url, struct sp_wipe_buf *buf,
                              struct sp_error *err);

/* Append `name=value` to an urlencoded body, behind `&` where there is something already. */
sp_status sp_placement_form(const struct sp_placement *placement, const struct sp_key *key,
                            struct sp_wipe_buf *body, struct sp_error *err);

#endif
