/* sp_grant: everything that a token may do, frozen. Its bytes are stored beside the token's id,
 * and their hash is inside the token's tag, so an edited row is a forged token. */
#ifndef SP_GRANT_H
#define SP_GRANT_H

#include "crypto.h"
#include "policy.h"

struct sp_grant {
    struct sp_text principal;  /* who issued it */
    struct sp_text scope_name; /* rates are kept per (principal, scope, label) */
    struct sp_text scope;      /* canonical text (sp_scope_print) with arguments filled in */
    struct sp_text narrow; /* canonical text of a scope that the issue narrowed to, or empty */
    struct sp_text caveat; /* caveat text given at issue, or empty */
    const struct sp_arg *args; /* for people; already in scope */
    size_t n_args;
    struct sp_text bind;           /* Z85 CURVE key, or empty */
    int64_t issued_ms, expires_ms; /* wall time */
    int64_t expires_boot_ms;       /* CLOCK_BOOTTIME, of the boot named next */
    struct sp_text boot_id;
};

/* One form for one grant: version byte, then each field length-prefixed, in this order. */
void sp_grant_encode(const struct sp_grant *grant, struct sp_buf *buf);
/* Strict: SP_ECORRUPT for anything that encode does not write. Texts are borrowed from bytes.
 */
sp_status sp_grant_decode(struct sp_arena *arena, struct sp_text bytes,
                          struct sp_grant *ret_grant);
void sp_grant_hash(struct sp_text bytes, uint8_t ret_hash[SP_HASH_BYTES]);

#endif
