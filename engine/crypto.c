#include "crypto.h"

#include <string.h>

void sp_hash_init(struct sp_hash *hash, const uint8_t *key)
{
    (void)crypto_generichash_init(&hash->state, key, key ? SP_KEY_BYTES : 0, SP_HASH_BYTES);
}

static void hash_bytes(struct sp_hash *hash, const void *bytes, size_t len)
{
    (void)crypto_generichash_update(&hash->state, bytes, len);
}

static void put_u64(uint64_t number, uint8_t ret_bytes[8])
{
    for (unsigned i = 0; i < 8; i++) {
        ret_bytes[i] = (uint8_t)(number >> (8 * i));
    }
}

void sp_hash_part(struct sp_hash *hash, const void *bytes, size_t len)
{
    uint8_t prefix[8];
    put_u64(len, prefix);
    hash_bytes(hash, prefix, sizeof prefix);
    hash_bytes(hash, bytes, len);
}

void sp_hash_u64(struct sp_hash *hash, uint64_t number)
{
    uint8_t bytes[8];
    put_u64(number, bytes);
    sp_hash_part(hash, bytes, sizeof bytes);
}

void sp_hash_done(struct sp_hash *hash, uint8_t ret_digest[SP_HASH_BYTES])
{
    (void)crypto_generichash_final(&hash->state, ret_digest, SP_HASH_BYTES);
    sodium_memzero(hash, sizeof *hash);
}

void sp_box_seal(const uint8_t key[SP_KEY_BYTES], struct sp_text ad, const void *plain,
                 size_t len, uint8_t *ret_box)
{
    enum { NONCE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES };
    randombytes_buf(ret_box, NONCE); /* 192 bits: random nonces do not collide */
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(
        ret_box + NONCE, NULL, plain, len, (const uint8_t *)ad.ptr, ad.len, NULL, ret_box, key);
}

sp_status sp_box_open(const uint8_t key[SP_KEY_BYTES], struct sp_text ad, const uint8_t *box,
                      size_t box_len, void *ret_plain)
{
    enum { NONCE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES };
    if (box_len < SP_BOX_OVERHEAD) {
        return SP_EINVAL;
    }
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(ret_plain, NULL, NULL, box + NONCE,
                                                   box_len - NONCE, (const uint8_t *)ad.ptr,
                                                   ad.len, box, key)) {
        sodium_memzero(ret_plain, box_len - SP_BOX_OVERHEAD);
        return SP_ECRYPTO;
    }
    return SP_OK;
}

/* ---- text forms -----------------------------------------------------------------------------
 */

/* libsodium's encoder and decoder run in constant time: what passes here may be a token. */
enum { BASE64_VARIANT = sodium_base64_VARIANT_URLSAFE_NO_PADDING };

void sp_base64url_encode(const void *bytes, size_t len, struct sp_buf *buf)
{
    /* In runs of three bytes, each of which is four characters by itself. */
    const uint8_t *in = bytes;
    char text[3 * 64 / 3 * 4 + 1];
    for (size_t i = 0; i < len; i += 192) {
        size_t n = len - i < 192 ? len - i : 192;
        (void)sodium_bin2base64(text, sizeof text, in + i, n, BASE64_VARIANT);
        sp_buf_add_str(buf, text);
    }
    sodium_memzero(text, sizeof text);
}

sp_status sp_base64url_decode(struct sp_text text, uint8_t *ret_bytes, size_t room,
                              size_t *ret_len)
{
    const char *end = NULL;
    /* libsodium takes some bytes above 127 for characters of the alphabet; a token has one
     * text. */
    unsigned char high = 0;
    for (size_t i = 0; i < text.len; i++) {
        high |= (unsigned char)text.ptr[i];
    }
    if (high & 0x80) {
        return SP_EINVAL;
    }
    size_t len = 0;
    if (sodium_base642bin(ret_bytes, room, text.ptr, text.len, NULL, &len, &end,
                          BASE64_VARIANT) ||
        end != text.ptr + text.len) {
        return SP_EINVAL;
    }
    *ret_len = len;
    return SP_OK;
}

void sp_hex_encode(const void *bytes, size_t len, char *ret_text)
{
    (void)sodium_bin2hex(ret_text, 2 * len + 1, bytes, len);
}

sp_status sp_hex_decode(struct sp_text text, uint8_t *ret_bytes, size_t len)
{
    if (text.len != 2 * len) {
        return SP_EINVAL;
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return SP_EINVAL; /* one spelling: lower case */
        }
    }
    (void)sodium_hex2bin(ret_bytes, len, text.ptr, text.len, NULL, NULL, NULL);
    return SP_OK;
}
