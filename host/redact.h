/* sp_redact: fields that a scope takes out of an answer (policy.h, struct sp_redaction).
 *
 * The members are cut out of the text itself, each with its comma; nothing is written anew, so
 * that numbers, escapes and blanks of what stays are the upstream's, byte for byte. Arrays are
 * walked without being named. Names are compared with their escapes undone, and letters of
 * ASCII in either case; each of several members of one name goes. Time is linear in the text
 * for each redaction. Any thread.
 */
#ifndef SP_REDACT_H
#define SP_REDACT_H

#include "buf.h"
#include "policy.h"

enum { SP_REDACT_DEPTH_MAX = 128 };

/* Append to `out` what remains of the JSON text (RFC 8259, strictly, UTF-8, no byte order mark;
 * a lone surrogate in an escape is refused). SP_EINVAL: it is no such text, or deeper than
 * SP_REDACT_DEPTH_MAX: nothing of it may go on. SP_ENOMEM, SP_ETOOBIG by out's cap. On failure
 * out may hold a part. */
sp_status sp_redact(const struct sp_redaction *redactions, size_t n, struct sp_text json,
                    struct sp_buf *out);

/* Whether a header of the answer (lower-case name) speaks of the bytes that were, so that it
 * cannot go on with others. */
bool sp_redact_stales(struct sp_text name);
/* Whether a header of the request asks for a part of the answer. */
bool sp_redact_carves(struct sp_text name);

#endif
