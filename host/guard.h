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

/* ---- an answer that goes on as it comes -----------------------------------------------------
 *
 * The same search, over pieces of any size. What could be the beginning of a needle is held
 * back only once it is long, at least 20 bytes or half of it, so that the delay tells nothing
 * to whom does not hold that much of the key already; what is shorter goes on at once.
 */
struct sp_guard_stream;

/* guard must live longer. SP_ENOMEM. */
sp_status sp_guard_stream_new(const struct sp_guard *guard,
                              struct sp_guard_stream **ret_stream);
void sp_guard_stream_free(struct sp_guard_stream *stream);
/* Look at the next bytes. SP_OK: *ret_held of the last bytes so far have to wait. They may be
 * more than text, and more than what waits still: of a beginning that has just grown long the
 * first bytes went on before. SP_EDENIED: the key is in it, and no byte more may go on. */
sp_status sp_guard_stream_feed(struct sp_guard_stream *stream, struct sp_text text,
                               size_t *ret_held);
/* No more comes. SP_OK: what was held may go on. SP_EDENIED. */
sp_status sp_guard_stream_end(struct sp_guard_stream *stream);

#endif
