/* The few primitives that sallyport uses, all libsodium's, in the shapes that it uses them in.
 */
#ifndef SP_CRYPTO_H
#define SP_CRYPTO_H

#include "buf.h"
#include "status.h"

#include <sodium.h>
#include <stdint.h>

enum {
    SP_HASH_BYTES = 32,
    SP_KEY_BYTES = 32, /* crypto_aead_xchacha20poly1305_ietf_KEYBYTES, and BLAKE2b keys */
    SP_BOX_OVERHEAD = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES +
                      crypto_aead_xchacha20poly1305_ietf_ABYTES,
};

/* BLAKE2b-256 (RFC 7693) over parts; every part is preceded by its length as 8 bytes, least
 * significant first, so that no two lists of parts hash the same bytes. */
struct sp_hash {
    crypto_generichash_state state;
};
void sp_hash_init(struct sp_hash *hash, const uint8_t *key /* SP_KEY_BYTES, or NULL */);
void sp_hash_part(struct sp_hash *hash, const void *bytes, size_t len);
void sp_hash_u64(struct sp_hash *hash, uint64_t number);
void sp_hash_done(struct sp_hash *hash, uint8_t ret_digest[SP_HASH_BYTES]);

/* XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha): nonce || ciphertext || tag, random nonce. box
 * has room for len + SP_BOX_OVERHEAD bytes. */
void sp_box_seal(const uint8_t key[SP_KEY_BYTES], struct sp_text ad, const void *plain,
                 size_t len, uint8_t *ret_box);
/* SP_ECRYPTO where the tag does not hold; plain (box_len - SP_BOX_OVERHEAD bytes) is then
 * zeroed. SP_EINVAL where box is too short. */
sp_status sp_box_open(const uint8_t key[SP_KEY_BYTES], struct sp_text ad, const uint8_t *box,
                      size_t box_len, void *ret_plain);

/* base64url without padding (RFC 4648 section 5). Decoding is strict: no padding, no white
 * space, no stray bits in the last character. */
void sp_base64url_encode(const void *bytes, size_t len, struct sp_buf *buf);
sp_status sp_base64url_decode(struct sp_text text, uint8_t *ret_bytes, size_t room,
                              size_t *ret_len);

void sp_hex_encode(const void *bytes, size_t len, char *ret_text /* 2 * len + 1 */);
sp_status sp_hex_decode(struct sp_text text, uint8_t *ret_bytes, size_t len);

#endif
