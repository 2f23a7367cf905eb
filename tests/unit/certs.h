/* Certificates for tests, made on the spot: an authority, and server certificates of it. */
#ifndef TEST_CERTS_H
#define TEST_CERTS_H

#include <openssl/ssl.h>

struct certs {
    EVP_PKEY *key; /* of the authority and of the servers */
    X509 *authority;
    char ca_path[64]; /* PEM of the authority */
};

void certs_open(struct certs *certs);
void certs_close(struct certs *certs);

/* A server context with a certificate for that DNS name, valid from now + from_s to now +
 * until_s, signed by the authority or by itself. */
SSL_CTX *certs_server(const struct certs *certs, const char *name, long from_s, long until_s,
                      int self_signed);

#endif
