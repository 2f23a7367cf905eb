/* sp_ca: the local certificate authority of the forward proxy. Its key is made once, lies
 * sealed in the store, and signs certificates for the hosts of registered keys and no others;
 * clients of this machine that are to use the proxy are told to trust it (`sallyport run`).
 *
 * ECDSA P-256 (RFC 5480); a leaf is for one host name and lives for a day: nothing can revoke
 * one, and the authority cannot be held to names (RFC 5280 section 4.2.1.10), as keys for other
 * hosts come later. OpenSSL holds the key while the host is unsealed, outside of the guarded
 * pool. Loop thread only.
 */
#ifndef SP_CA_H
#define SP_CA_H

#include "http_tls.h"
#include "secret.h"

struct sp_ca;

enum { SP_CA_PEM_MAX_BYTES = 8192 };

/* A new authority: key and certificate in PEM, in the pool. */
sp_status sp_ca_make(struct sp_pool *pool, struct sp_secret *ret_pem, struct sp_error *err);
/* From what sp_ca_make made. SP_ECORRUPT. */
sp_status sp_ca_open(struct sp_text pem, struct sp_ca **ret_ca, struct sp_error *err);
void sp_ca_free(struct sp_ca *ca); /* NULL is fine */
/* Its certificate, for clients, in PEM; as long as the ca lives. */
struct sp_text sp_ca_certificate(const struct sp_ca *ca);
/* A context with a certificate for that host (canonical); the ca's, until its next call. */
sp_status sp_ca_context(struct sp_ca *ca, struct sp_text host,
                        struct sp_tls_context **ret_context, struct sp_error *err);

#endif
