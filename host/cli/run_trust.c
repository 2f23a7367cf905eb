#include "run_trust.h"

#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUNDLE_MAX_BYTES = 8 << 20 };

/* ---- Java's store ---------------------------------------------------------------------------
 */

/* Without this attribute Java reads a certificate in a PKCS #12 file and trusts nobody by it;
 * any purpose will do. */
static bool mark_trusted(PKCS12_SAFEBAG *bag)
{
    static const char trusted_key_usage[] = "2.16.840.1.113894.746875.1.1";
    /* A length of -1: the value is given as an object, not as its bytes. */
    return PKCS12_add1_attr_by_txt(bag, trusted_key_usage, V_ASN1_OBJECT,
                                   (const unsigned char *)OBJ_nid2obj(NID_anyExtendedKeyUsage),
                                   -1) == 1;
}

/* All certificates of a PEM file; one that this OpenSSL cannot read is left out. */
static STACK_OF(PKCS12_SAFEBAG) * read_certificates(const struct sp_buf *pem)
{
    STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
    BIO *bio = BIO_new_mem_buf(pem->ptr, (int)pem->len);
    bool good = bio != NULL, more = good;
    while (good && more) {
        int left = (int)BIO_pending(bio);
        X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        PKCS12_SAFEBAG *bag = certificate ? PKCS12_add_cert(&bags, certificate) : NULL;
        good = !certificate || (bag && mark_trusted(bag));
        more = (int)BIO_pending(bio) < left;
        ERR_clear_error();
        X509_free(certificate);
    }
    BIO_free(bio);
    if (!good) {
        sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
        return NULL;
    }
    return bags;
}

static bool has_certificate(const struct sp_buf *pem)
{
    STACK_OF(PKCS12_SAFEBAG) *bags = read_certificates(pem);
    bool has = sk_PKCS12_SAFEBAG_num(bags) > 0;
    sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
    return has;
}

/* Neither encrypted nor with a MAC: there is nothing secret in it, and so no password. */
static int make_store(const struct sp_buf *bundle, unsigned char **ret_bytes)
{
    STACK_OF(PKCS12_SAFEBAG) *bags = read_certificates(bundle);
    STACK_OF(PKCS7) *safes = NULL;
    PKCS12 *store = NULL;
    int len = 0;
    if (bags && PKCS12_add_safe(&safes, bags, -1, 0, NULL) == 1) {
        store = PKCS12_add_safes(safes, 0);
    }
    if (store) {
        len = i2d_PKCS12(store, ret_bytes);
    }
    PKCS12_free(store);
    sk_PKCS7_pop_free(safes, PKCS7_free);
    sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
    return len;
}

/* ---- files ----------------------------------------------------------------------------------
 */

static bool write_file(const char *path, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool good = fd >= 0 && write(fd, bytes, len) == (ssize_t)len;
    if (fd >= 0) {
        good = close(fd) == 0 && good;
    }
    if (!good) {
        (void)cli_error(RUN_FAILED, "%s: %s", path, strerror(errno));
    }
    return good;
}

static bool make_folder(struct run_trust *trust)
{
    (void)snprintf(trust->folder, sizeof trust->folder, "/tmp/sallyport-run-XXXXXX");
    if (!mkdtemp(trust->folder)) {
        trust->folder[0] = '\0';
        (void)cli_error(RUN_FAILED, "a folder in /tmp: %s", strerror(errno));
        return false;
    }
    (void)snprintf(trust->bundle, sizeof trust->bundle, "%s/ca.pem", trust->folder);
    (void)snprintf(trust->store, sizeof trust->store, "%s/ca.p12", trust->folder);
    return true;
}

bool run_trust_make(const char *ca_path, struct run_trust *ret_trust)
{
    static const char system[] = "/etc/ssl/certs/ca-certificates.crt";
    struct sp_buf all, ours;
    unsigned char *store = NULL;
    *ret_trust = (struct run_trust){.folder = ""};
    sp_buf_init(&all, BUNDLE_MAX_BYTES);
    sp_buf_init(&ours, BUNDLE_MAX_BYTES);
    bool good = cli_read(ca_path, &ours);
    if (good && !has_certificate(&ours)) {
        (void)cli_error(RUN_FAILED, "%s holds no certificate; say --ca FILE", ca_path);
        good = false;
    }
    good = good && (access(system, R_OK) != 0 || cli_read(system, &all));
    sp_buf_add_byte(&all, '\n');
    sp_buf_add_text(&all, sp_buf_text(&ours));
    int len = good ? make_store(&all, &store) : 0;
    if (good && len <= 0) {
        (void)cli_error(RUN_FAILED, "out of memory");
    }
    good = len > 0 && make_folder(ret_trust) &&
           write_file(ret_trust->bundle, all.ptr, all.len) &&
           write_file(ret_trust->store, store, (size_t)len);
    OPENSSL_free(store);
    sp_buf_done(&ours);
    sp_buf_done(&all);
    return good;
}

void run_trust_remove(struct run_trust *trust)
{
    if (trust->folder[0] != '\0') {
        (void)unlink(trust->bundle);
        (void)unlink(trust->store);
        (void)rmdir(trust->folder);
        trust->folder[0] = '\0';
    }
}
