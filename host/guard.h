/* sp_guard: nothing of an upstream's answer goes on to a client while the key is in it.
 *
 * It looks for each secret of the key, and for each value that a placement made of them, as
 *   - the bytes themselves;
 *   - base64 (RFC 4648 sections 4 and 5) of any text that has them inside, at all three
 *     alignments, in both alphabets;
 *   - hexadecimal in either case;
 * and each of these as it stands, percent-encoded (RFC 3986) in part or in whole, escaped as
 * JSON (RFC 8259) in part or in whole, or both, JSON outside. Nothing else is looked for:
 * compressed bodies are decoded before they come here, and a secret under 8 bytes is not
 * searched, since it would be found where it is not. Time is linear in the answer.
 */
#ifndef SP_GUARD_H
#define SP_GUARD_H

#include "engine.h"
#include "provider.h"
#include "wipe_alloc.h"

enum { SP_GUARD_MIN_BYTES = 8 };

struct sp_guard;

/* Holds secrets, in wiping memory: make it when an answer is there, free it at once after.
 * SP_ESEALED where the key's secrets are gone: then nothing may be passed on. SP_ENOMEM. */
sp_status sp_guard_new(const struct sp_key *key, const struct sp_plan *plan,
                       struct sp_guard **ret_guard);
void sp_guard_free(struct sp_guard *guard);

/* SP_OK: clean. SP_EDENIED: the key is in it. SP_ENOMEM: not known, so treat it as if it were.
 */
sp_status sp_guard_check(const struct sp_guard *guard, struct sp_text text);

#endif
