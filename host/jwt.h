/* jwt: a JSON Web Token (RFC 7519) signed with a private key that the host holds, RS256
 * (RFC 7518 section 3.3). What a GitHub App shows of itself. */
#ifndef SP_JWT_H
#define SP_JWT_H

#include "hook_http.h"
#include "secret.h"

/* pem: an RSA private key, at least 2048 bits, without a passphrase. The token lives in the
 * pool, since whoever has it can act for as long as it lives. OpenSSL's copy of the key is
 * wiped when it is freed. SP_EINVAL: no such key; err says nothing of it. */
sp_status sp_jwt_sign(const struct sp_hook_jwt *jwt, struct sp_text pem, int64_t now_ms,
                      struct sp_pool *pool, struct sp_secret *ret_token, struct sp_error *err);

#endif
