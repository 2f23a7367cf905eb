#include "jwt.h"

#include "buf.h"
#include "crypto.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <string.h>

enum {
    TOKEN_MAX_BYTES = 8 << 10,
    BACKDATE_S = 60, /* GitHub's advice, for clocks that differ */
    RSA_BITS_MIN = 2048,
    SIGNATURE_MAX_BYTES = 2048,
};

static int no_passphrase(char *buf, int size, int writing, void *user)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)user;
    return -1; /* or OpenSSL would ask at the terminal */
}

static void put_claim(struct sp_buf *buf, const char *name, struct sp_text value)
{
    if (value.len) {
        sp_buf_addf(buf, ",\"%s\":", name);
        sp_buf_add_json(buf, value);
    }
}

static void put_signing_input(struct sp_buf *buf, const struct sp_hook_jwt *jwt, int64_t now_ms)
{
    static const char header[] = "{\"alg\":\"RS256\",\"typ\":\"JWT\"}";
    struct sp_buf claims;
    int64_t now_s = now_ms / 1000;
    sp_buf_init(&claims, TOKEN_MAX_BYTES);
    sp_buf_addf(&claims, "{\"iat\":%" PRId64 ",\"exp\":%" PRId64, now_s - BACKDATE_S,
                now_s + jwt->life_s);
    put_claim(&claims, "iss", jwt->issuer);
    put_claim(&claims, "sub", jwt->subject);
    put_claim(&claims, "aud", jwt->audience);
    sp_buf_add_byte(&claims, '}');
    sp_base64url_encode(header, sizeof header - 1, buf);
    sp_buf_add_byte(buf, '.');
    sp_base64url_encode(claims.ptr, claims.len, buf);
    buf->failed = buf->failed || claims.failed;
    sp_buf_done(&claims);
}

static bool sign(EVP_PKEY *key, struct sp_text input, unsigned char *signature,
                 size_t *in_out_len)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
                EVP_DigestSign(context, signature, in_out_len, (const unsigned char *)input.ptr,
                               input.len) == 1;
    EVP_MD_CTX_free(context);
    return good;
}

sp_status sp_jwt_sign(const struct sp_hook_jwt *jwt, struct sp_text pem, int64_t now_ms,
                      struct sp_pool *pool, struct sp_secret *ret_token, struct sp_error *err)
{
    unsigned char signature[SIGNATURE_MAX_BYTES];
    size_t len = sizeof signature;
    struct sp_buf token;
    sp_status status = SP_OK;
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    sp_buf_init(&token, TOKEN_MAX_BYTES);
    if (!key || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA ||
        EVP_PKEY_get_bits(key) < RSA_BITS_MIN) {
        status = sp_fail(err, SP_EINVAL,
                         "the secret %.*s is no RSA private key of 2048 bits or more in PEM "
                         "without a passphrase; rotate the key with one",
                         (int)jwt->key.len, jwt->key.ptr);
        goto out;
    }
    put_signing_input(&token, jwt, now_ms);
    if (token.failed || !sign(key, sp_buf_text(&token), signature, &len)) {
        status = sp_fail(err, SP_ENOMEM, "a token cannot be signed");
        goto out;
    }
    sp_buf_add_byte(&token, '.');
    sp_base64url_encode(signature, len, &token);
    status = token.failed ? SP_ENOMEM : sp_secret_new(pool, token.len, ret_token);
    if (status) {
        (void)sp_fail(err, status, "out of memory for secrets");
        goto out;
    }
    memcpy(ret_token->ptr, token.ptr, token.len);
out:
    if (token.ptr) {
        sodium_memzero(token.ptr, token.room);
    }
    sodium_memzero(signature, sizeof signature);
    sp_buf_done(&token);
    EVP_PKEY_free(key);
    BIO_free(bio);
    return status;
}
