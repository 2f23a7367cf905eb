#include "certs.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void must(int good)
{
    if (!good) {
        abort();
    }
}

static void add_extension(X509 *certificate, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    must(extension && X509_add_ext(certificate, extension, -1));
    X509_EXTENSION_free(extension);
}

static X509 *certificate_new(EVP_PKEY *key, const char *name, long from_s, long until_s)
{
    static long serial = 1;
    X509 *certificate = X509_new();
    must(certificate && X509_set_version(certificate, 2) && X509_set_pubkey(certificate, key));
    must(ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++));
    must(X509_gmtime_adj(X509_getm_notBefore(certificate), from_s) != NULL);
    must(X509_gmtime_adj(X509_getm_notAfter(certificate), until_s) != NULL);
    must(X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                                    (const unsigned char *)name, -1, -1, 0));
    return certificate;
}

static void sign(X509 *certificate, X509_NAME *issuer, EVP_PKEY *key)
{
    must(X509_set_issuer_name(certificate, issuer) &&
         X509_sign(certificate, key, EVP_sha256()) > 0);
}

void certs_open(struct certs *certs)
{
    memcpy(certs->ca_path, "/tmp/sallyport-ca-XXXXXX", sizeof "/tmp/sallyport-ca-XXXXXX");
    certs->key = EVP_EC_gen("P-256");
    must(certs->key != NULL);
    certs->authority = certificate_new(certs->key, "test authority", -3600, 3600);
    add_extension(certs->authority, NID_basic_constraints, "critical,CA:TRUE");
    sign(certs->authority, X509_get_subject_name(certs->authority), certs->key);
    int fd = mkstemp(certs->ca_path);
    FILE *file = fdopen(fd, "w");
    must(file && PEM_write_X509(file, certs->authority) && fclose(file) == 0);
}

void certs_close(struct certs *certs)
{
    (void)unlink(certs->ca_path);
    X509_free(certs->authority);
    EVP_PKEY_free(certs->key);
}

SSL_CTX *certs_server(const struct certs *certs, const char *name, long from_s, long until_s,
                      int self_signed)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    X509 *certificate = certificate_new(certs->key, name, from_s, until_s);
    char san[300];
    (void)snprintf(san, sizeof san, "DNS:%s", name);
    add_extension(certificate, NID_subject_alt_name, san);
    sign(certificate, X509_get_subject_name(self_signed ? certificate : certs->authority),
         certs->key);
    must(context && SSL_CTX_use_certificate(context, certificate) &&
         SSL_CTX_use_PrivateKey(context, certs->key));
    X509_free(certificate);
    return context;
}
