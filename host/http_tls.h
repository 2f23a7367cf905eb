/* sp_tls: TLS for a listener (OpenSSL): bytes in, bytes out, no sockets. TLS 1.2 and 1.3 with
 * forward secrecy; no renegotiation, no compression, no tickets. Loop thread only. */
#ifndef SP_HTTP_TLS_H
#define SP_HTTP_TLS_H

#include "status.h"
#include "text.h"

struct sp_tls_context; /* a listener's certificate */
struct sp_tls;         /* one connection */

/* PEM files: the certificate with its chain, and its key, which nobody else may read. */
sp_status sp_tls_context_new(const char *cert, const char *key,
                             struct sp_tls_context **ret_context, struct sp_error *err);
/* The same with what OpenSSL holds already; it counts its own references. */
struct x509_st;
struct evp_pkey_st;
sp_status sp_tls_context_of(struct x509_st *cert, struct evp_pkey_st *key,
                            struct sp_tls_context **ret_context);
void sp_tls_context_free(struct sp_tls_context *context);

/* NULL out of memory. */
struct sp_tls *sp_tls_new(struct sp_tls_context *context);
void sp_tls_free(struct sp_tls *tls);

/* From the socket. SP_ENOMEM. */
sp_status sp_tls_receive(struct sp_tls *tls, struct sp_text bytes);
/* What it says in plain: bytes, 0 where more has to be received, negative at the end or where
 * the other side broke the protocol. Also moves the handshake on. */
int sp_tls_read(struct sp_tls *tls, char *bytes, size_t room);
/* To the other side, in plain. */
sp_status sp_tls_write(struct sp_tls *tls, struct sp_text bytes);
/* Say that nothing more follows. */
void sp_tls_end(struct sp_tls *tls);
/* What is to be sent; valid until the next call. sp_tls_sent forgets it. */
struct sp_text sp_tls_to_send(struct sp_tls *tls);
void sp_tls_sent(struct sp_tls *tls);

#endif
