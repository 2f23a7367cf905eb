#include "http_tls.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/stat.h>

struct sp_tls_context {
    SSL_CTX *ctx;
};

struct sp_tls {
    SSL *ssl;
    BIO *in, *out; /* the SSL's */
};

static sp_status fail(struct sp_error *err, const char *what, const char *path)
{
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    sp_status status =
        sp_fail(err, SP_EINVAL, "%s: %s (%s)", path, what, why ? why : "unknown");
    ERR_clear_error();
    return status;
}

/* Speak HTTP/1.1 where the client asks by name; a client that names only others is none. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *in, unsigned in_len, void *user)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen = NULL;
    (void)ssl;
    (void)user;
    if (SSL_select_next_proto(&chosen, out_len, ours, sizeof ours - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static void harden(SSL_CTX *ctx)
{
    (void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                       SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
    (void)SSL_CTX_set_num_tickets(ctx, 0);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20");
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
}

sp_status sp_tls_context_new(const char *cert, const char *key,
                             struct sp_tls_context **ret_context, struct sp_error *err)
{
    struct stat st;
    if (stat(key, &st) == 0 && (st.st_mode & 077)) {
        return sp_fail(err, SP_EDENIED, "%s: others can read this key (`chmod 600` it)", key);
    }
    struct sp_tls_context *context = calloc(1, sizeof *context);
    if (!context) {
        return SP_ENOMEM;
    }
    sp_status status = SP_OK;
    context->ctx = SSL_CTX_new(TLS_server_method());
    if (!context->ctx) {
        status = SP_ENOMEM;
    } else if (SSL_CTX_use_certificate_chain_file(context->ctx, cert) != 1) {
        status = fail(err, "is no certificate in PEM", cert);
    } else if (SSL_CTX_use_PrivateKey_file(context->ctx, key, SSL_FILETYPE_PEM) != 1 ||
               SSL_CTX_check_private_key(context->ctx) != 1) {
        status = fail(err, "is not the key of that certificate, in PEM", key);
    }
    if (status) {
        sp_tls_context_free(context);
        return status;
    }
    harden(context->ctx);
    *ret_context = context;
    return SP_OK;
}

sp_status sp_tls_context_of(struct x509_st *cert, struct evp_pkey_st *key,
                            struct sp_tls_context **ret_context)
{
    struct sp_tls_context *context = calloc(1, sizeof *context);
    if (!context) {
        return SP_ENOMEM;
    }
    context->ctx = SSL_CTX_new(TLS_server_method());
    if (!context->ctx || SSL_CTX_use_certificate(context->ctx, cert) != 1 ||
        SSL_CTX_use_PrivateKey(context->ctx, key) != 1) {
        sp_tls_context_free(context);
        return SP_ENOMEM;
    }
    harden(context->ctx);
    *ret_context = context;
    return SP_OK;
}

void sp_tls_context_free(struct sp_tls_context *context)
{
    if (context) {
        SSL_CTX_free(context->ctx);
        free(context);
    }
}

struct sp_tls *sp_tls_new(struct sp_tls_context *context)
{
    struct sp_tls *tls = calloc(1, sizeof *tls);
    if (!tls) {
        return NULL;
    }
    tls->ssl = SSL_new(context->ctx);
    tls->in = BIO_new(BIO_s_mem());
    tls->out = BIO_new(BIO_s_mem());
    if (!tls->ssl || !tls->in || !tls->out) {
        BIO_free(tls->in);
        BIO_free(tls->out);
        SSL_free(tls->ssl);
        free(tls);
        return NULL;
    }
    SSL_set_bio(tls->ssl, tls->in, tls->out);
    SSL_set_accept_state(tls->ssl);
    return tls;
}

void sp_tls_free(struct sp_tls *tls)
{
    if (tls) {
        SSL_free(tls->ssl); /* and its BIOs */
        free(tls);
    }
}

sp_status sp_tls_receive(struct sp_tls *tls, struct sp_text bytes)
{
    return bytes.len <= INT_MAX &&
                   BIO_write(tls->in, bytes.ptr, (int)bytes.len) == (int)bytes.len
               ? SP_OK
               : SP_ENOMEM;
}

int sp_tls_read(struct sp_tls *tls, char *bytes, size_t room)
{
    ERR_clear_error();
    int n = SSL_read(tls->ssl, bytes, room > INT_MAX ? INT_MAX : (int)room);
    if (n > 0) {
        return n;
    }
    int why = SSL_get_error(tls->ssl, n);
    ERR_clear_error();
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

sp_status sp_tls_write(struct sp_tls *tls, struct sp_text bytes)
{
    size_t written = 0;
    ERR_clear_error();
    return bytes.len == 0 || SSL_write_ex(tls->ssl, bytes.ptr, bytes.len, &written) == 1
               ? SP_OK
               : SP_EIO;
}

void sp_tls_end(struct sp_tls *tls)
{
    ERR_clear_error();
    if (SSL_is_init_finished(tls->ssl)) {
        (void)SSL_shutdown(tls->ssl);
    }
    ERR_clear_error();
}

struct sp_text sp_tls_to_send(struct sp_tls *tls)
{
    char *ptr = NULL;
    long len = BIO_get_mem_data(tls->out, &ptr);
    return (struct sp_text){ptr, len > 0 ? (size_t)len : 0};
}

void sp_tls_sent(struct sp_tls *tls)
{
    (void)BIO_reset(tls->out);
}
