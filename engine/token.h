/* sp_token: the capability itself, as bytes. Pure: no store, no clock.
 *
 * text   = "spt_" base64url(id || caveats || tag)
 * id     = 16 random bytes; caveats = for each: length (2 bytes, most significant first),
 * bytes; tag    = 32 bytes: T0 = BLAKE2b-256(key, part(id) || part(H(grant))), and for each
 * caveat T(n+1) = BLAKE2b-256(key = T(n), part(caveat)), part() as in crypto.h. The last T is
 * the tag, so anybody who holds a token can add a caveat and nobody can take one away (the
 * chained construction of macaroons, Birgisson et al., NDSS 2014). A text may wear one disguise
 * in front, from a closed list (sk_test_, sk_live_, rk_test_, rk_live_, ghp_, github_pat_), for
 * tools that check a prefix; it means nothing.
 */
#ifndef SP_TOKEN_H
#define SP_TOKEN_H

#include "crypto.h"
#include "policy.h"

enum {
    SP_TOKEN_ID_BYTES = 16,
    SP_TOKEN_MAX_BYTES = 24 * 1024, /* as text */
};

struct sp_token {
    uint8_t id[SP_TOKEN_ID_BYTES];
    struct sp_text caveats[SP_CAVEATS_MAX]; /* in the arena it was parsed with */
    size_t n_caveats;
    uint8_t tag[SP_HASH_BYTES];
};

/* Only the shape is judged: SP_EINVAL for anything malformed. */
sp_status sp_token_parse(struct sp_arena *arena, struct sp_text text,
                         struct sp_token *ret_token);
/* A fresh token without caveats, over a grant. */
void sp_token_mint(const uint8_t key[SP_KEY_BYTES], const uint8_t id[SP_TOKEN_ID_BYTES],
                   const uint8_t grant_hash[SP_HASH_BYTES], struct sp_token *ret_token);
/* SP_ECRYPTO where the tag does not hold (compared by sodium_memcmp). */
sp_status sp_token_verify(const struct sp_token *token, const uint8_t key[SP_KEY_BYTES],
                          const uint8_t grant_hash[SP_HASH_BYTES]);
/* Add a caveat; its syntax is checked. SP_EINVAL with err, SP_ETOOBIG past SP_CAVEATS_MAX.
 * caveat is borrowed for as long as token lives. */
sp_status sp_token_narrow(struct sp_token *token, struct sp_text caveat, struct sp_error *err);
void sp_token_print(const struct sp_token *token, struct sp_buf *buf);

#endif
