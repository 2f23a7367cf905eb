#include "ca.h"

#include "buf.h"
#include "crypto.h"
#include "request.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    DAY_S = 24 * 3600,
    AUTHORITY_DAYS = 3650,
    LEAF_DAYS = 1,
    LEAF_USED_S = DAY_S / 2, /* then another is made, so that nobody meets an old one */
    BACKDATE_S = 3600,       /* for clocks that differ */
    LEAVES_MAX = 256,
    SERIAL_BYTES = 16,
};

struct leaf {
    char host[SP_HOST_MAX_BYTES + 1];
    time_t made;
    struct sp_tls_context *context;
};

struct sp_ca {
    EVP_PKEY *key, *leaf_key; /* one key for all leaves of this process */
    X509 *certificate;
    char *pem;
    size_t pem_len;
    struct leaf leaves[LEAVES_MAX];
    size_t n_leaves;
};

static sp_status failed(struct sp_error *err, const char *what)
{
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    sp_status status = sp_fail(err, SP_ENOMEM, "%s (%s)", what, why ? why : "out of memory");
    ERR_clear_error();
    return status;
}

/* ---- certificates ---------------------------------------------------------------------------
 */

static bool add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool good = extension && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return good;
}

static bool set_serial(X509 *certificate)
{
    unsigned char bytes[SERIAL_BYTES];
    BIGNUM *number = RAND_bytes(bytes, sizeof bytes) == 1
                         ? (bytes[0] &= 0x7f, BN_bin2bn(bytes, sizeof bytes, NULL))
                         : NULL;
    bool good = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
    BN_free(number);
    return good;
}

/* What every certificate here has; issuer NULL: its own. */
static X509 *begin(EVP_PKEY *key, const char *name, X509 *issuer, long days)
{
    X509 *x = X509_new();
    X509_NAME *subject = x ? X509_get_subject_name(x) : NULL;
    bool good = x && X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) &&
                X509_gmtime_adj(X509_getm_notBefore(x), -BACKDATE_S) &&
                X509_gmtime_adj(X509_getm_notAfter(x), days * DAY_S) &&
                X509_set_pubkey(x, key) == 1 &&
                X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                           (const unsigned char *)name, -1, -1, 0) == 1 &&
                X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer) : subject) == 1;
    if (!good) {
        X509_free(x);
        return NULL;
    }
    return x;
}

static X509 *make_authority(EVP_PKEY *key)
{
    char machine[65] = "", name[65];
    if (gethostname(machine, sizeof machine - 1)) {
        machine[0] = '\0';
    }
    (void)snprintf(name, sizeof name, "sallyport on %.50s",
                   *machine ? machine : "this machine");
    X509 *x = begin(key, name, NULL, AUTHORITY_DAYS);
    if (x && add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
        add_extension(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") &&
        add_extension(x, x, NID_subject_key_identifier, "hash") &&
        X509_sign(x, key, EVP_sha256()) > 0) {
        return x;
    }
    X509_free(x);
    return NULL;
}

static X509 *make_leaf(const struct sp_ca *ca, const char *host)
{
    char alternative[SP_HOST_MAX_BYTES + 8];
    /* A common name has 64 bytes at most; what counts is the alternative name. */
    X509 *x = begin(ca->leaf_key, strlen(host) <= 64 ? host : "sallyport", ca->certificate,
                    LEAF_DAYS);
    /* Always a name: a key's hosts are no addresses (policy-lang/host.c). */
    (void)snprintf(alternative, sizeof alternative, "DNS:%s", host);
    if (x && add_extension(x, ca->certificate, NID_basic_constraints, "critical,CA:FALSE") &&
        add_extension(x, ca->certificate, NID_key_usage, "critical,digitalSignature") &&
        add_extension(x, ca->certificate, NID_ext_key_usage, "serverAuth") &&
        add_extension(x, ca->certificate, NID_subject_alt_name, alternative) &&
        add_extension(x, ca->certificate, NID_authority_key_identifier, "keyid") &&
        X509_sign(x, ca->key, EVP_sha256()) > 0) {
        return x;
    }
    X509_free(x);
    return NULL;
}

/* ---- the authority --------------------------------------------------------------------------
 */

sp_status sp_ca_make(struct sp_pool *pool, struct sp_secret *ret_pem, struct sp_error *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = key ? make_authority(key) : NULL;
    BIO *bio = BIO_new(BIO_s_secmem());
    char *bytes = NULL;
    sp_status status = SP_OK;
    if (!certificate || !bio ||
        PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1 ||
        PEM_write_bio_X509(bio, certificate) != 1) {
        status = failed(err, "an authority cannot be made");
    } else {
        long len = BIO_get_mem_data(bio, &bytes);
        status = sp_secret_new(pool, (size_t)len, ret_pem);
        if (!status) {
            memcpy(ret_pem->ptr, bytes, (size_t)len);
        }
        sodium_memzero(bytes, (size_t)len);
    }
    BIO_free(bio);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return status;
}

static bool read_pem(struct sp_ca *ca, struct sp_text pem)
{
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len), *out = BIO_new(BIO_s_mem());
    char *bytes = NULL;
    ca->key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    ca->certificate = ca->key ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    bool good = ca->certificate && out &&
                X509_check_private_key(ca->certificate, ca->key) == 1 &&
                PEM_write_bio_X509(out, ca->certificate) == 1;
    long len = good ? BIO_get_mem_data(out, &bytes) : 0;
    ca->pem = good ? malloc((size_t)len) : NULL;
    if (ca->pem) {
        memcpy(ca->pem, bytes, (size_t)len);
        ca->pem_len = (size_t)len;
    }
    BIO_free(out);
    BIO_free(bio);
    return ca->pem != NULL;
}

sp_status sp_ca_open(struct sp_text pem, struct sp_ca **ret_ca, struct sp_error *err)
{
    struct sp_ca *ca = calloc(1, sizeof *ca);
    if (!ca) {
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    ca->leaf_key = EVP_EC_gen("P-256");
    if (!ca->leaf_key || !read_pem(ca, pem)) {
        sp_ca_free(ca);
        ERR_clear_error();
        return sp_fail(err, SP_ECORRUPT, "the proxy's authority cannot be read");
    }
    *ret_ca = ca;
    return SP_OK;
}

static void forget_leaves(struct sp_ca *ca)
{
    while (ca->n_leaves > 0) {
        sp_tls_context_free(ca->leaves[--ca->n_leaves].context);
    }
}

void sp_ca_free(struct sp_ca *ca)
{
    if (ca) {
        forget_leaves(ca);
        EVP_PKEY_free(ca->key);
        EVP_PKEY_free(ca->leaf_key);
        X509_free(ca->certificate);
        free(ca->pem);
        free(ca);
    }
}

struct sp_text sp_ca_certificate(const struct sp_ca *ca)
{
    return (struct sp_text){ca->pem, ca->pem_len};
}

sp_status sp_ca_context(struct sp_ca *ca, struct sp_text host,
                        struct sp_tls_context **ret_context, struct sp_error *err)
{
    time_t now = time(NULL);
    struct leaf *leaf = ca->leaves, *end = ca->leaves + ca->n_leaves;
    while (leaf < end && !sp_text_is(host, leaf->host)) {
        leaf++;
    }
    if (leaf < end && now >= leaf->made && now - leaf->made < LEAF_USED_S) {
        *ret_context = leaf->context;
        return SP_OK;
    }
    if (leaf < end || ca->n_leaves == LEAVES_MAX) {
        forget_leaves(ca); /* connections that have one keep it */
    }
    leaf = &ca->leaves[ca->n_leaves];
    *leaf = (struct leaf){.made = now};
    (void)snprintf(leaf->host, sizeof leaf->host, "%.*s", (int)host.len, host.ptr);
    X509 *certificate = make_leaf(ca, leaf->host);
    if (!certificate || sp_tls_context_of(certificate, ca->leaf_key, &leaf->context)) {
        X509_free(certificate);
        return failed(err, "a certificate cannot be made");
    }
    X509_free(certificate);
    ca->n_leaves++;
    *ret_context = leaf->context;
    return SP_OK;
}
