/* TLS as it is spoken to an upstream: T35, and what T36 says of SSLKEYLOGFILE. */
#include "egress_kit.h"

#include "certs.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define URL "https://api.example.com/"

static struct certs certs;
static char keylog_path[] = "/tmp/sallyport-keylog-XXXXXX";

/* One POST to a server with that context. */
static void call(SSL_CTX *context, const char *ca_path, struct kit_reply *reply,
                 struct loopback **ret_server)
{
    struct kit kit;
    struct kit_key key;
    struct loopback *server = loopback_start(context);
    kit_open(&kit);
    kit_key(&key, "k1", KIT_SECRET, "https", server->port);
    if (ca_path) {
        kit_key_set(&key, "ca_file", ca_path);
    }
    kit_do(&kit, &key, &(struct kit_call){.method = "POST", .url = URL, .body = "x"}, reply);
    kit_close(&kit);
    kit_key_done(&key);
    *ret_server = server;
}

static void assert_refused(SSL_CTX *context, const char *ca_path, const char *reason)
{
    struct kit_reply reply;
    struct loopback *server;
    call(context, ca_path, &reply, &server);
    assert_int_equal(reply.code, SP_CODE_UPSTREAM_UNREACHABLE);
    assert_false(reply.sent);
    if (!strstr(reply.reason, reason)) {
        fail_msg("the reason is: %s", reply.reason);
    }
    assert_int_equal(loopback_requests(server), 0);
    loopback_stop(server);
    kit_reply_done(&reply);
    SSL_CTX_free(context);
}

static void a_good_certificate_for_the_canonical_host_is_accepted(void **state)
{
    struct kit_reply reply;
    struct loopback *server;
    SSL_CTX *context = certs_server(&certs, "api.example.com", -60, 3600, 0);
    (void)state;
    call(context, certs.ca_path, &reply, &server);
    assert_string_equal(reply.reason, "");
    assert_int_equal(reply.code, SP_CODE_OK);
    assert_string_equal(reply.body, "hello");
    assert_non_null(strstr(server->log, "\r\nHost: api.example.com\r\n"));
    loopback_stop(server);
    kit_reply_done(&reply);
    SSL_CTX_free(context);
}

static void T35_expired_certificate_is_refused(void **state)
{
    (void)state;
    assert_refused(certs_server(&certs, "api.example.com", -7200, -3600, 0), certs.ca_path,
                   "expired");
}

static void T35_certificate_of_the_future_is_refused(void **state)
{
    (void)state;
    assert_refused(certs_server(&certs, "api.example.com", 1800, 3600, 0), certs.ca_path,
                   "not yet valid");
}

static void T35_certificate_for_another_name_is_refused(void **state)
{
    (void)state;
    assert_refused(certs_server(&certs, "evil.example.com", -60, 3600, 0), certs.ca_path,
                   "not for api.example.com");
    /* The name of the place of delivery is not the name of the upstream. */
    assert_refused(certs_server(&certs, "localhost", -60, 3600, 0), certs.ca_path,
                   "not for api.example.com");
}

static void T35_self_signed_certificate_is_refused(void **state)
{
    (void)state;
    assert_refused(certs_server(&certs, "api.example.com", -60, 3600, 1), certs.ca_path,
                   "self-signed");
}

static void T35_unknown_authority_is_refused(void **state)
{
    (void)state;
    assert_refused(certs_server(&certs, "api.example.com", -60, 3600, 0), NULL,
                   "not to be trusted");
}

static void T35_a_secret_in_a_certificate_name_is_not_repeated(void **state)
{
    struct kit_reply reply;
    struct loopback *server;
    SSL_CTX *context = certs_server(&certs, KIT_SECRET ".example", -60, 3600, 0);
    (void)state;
    call(context, certs.ca_path, &reply, &server);
    assert_int_equal(reply.code, SP_CODE_UPSTREAM_UNREACHABLE);
    assert_null(strstr(reply.reason, KIT_SECRET));
    loopback_stop(server);
    kit_reply_done(&reply);
    SSL_CTX_free(context);
}

static void T35_tls_1_1_is_refused(void **state)
{
    SSL_CTX *context = certs_server(&certs, "api.example.com", -60, 3600, 0);
    (void)state;
    SSL_CTX_set_security_level(context, 0);
    (void)SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
    (void)SSL_CTX_set_max_proto_version(context, TLS1_1_VERSION);
    assert_refused(context, certs.ca_path, "TLS handshake");
}

static unsigned n_offers, n_offers_of_h2;

/* Takes HTTP/2 wherever it is offered. */
static int on_alpn(SSL *tls, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *in, unsigned in_len, void *user)
{
    (void)tls;
    (void)user;
    n_offers++;
    for (unsigned i = 0; i < in_len; i += in[i] + 1u) {
        if (in[i] == 2 && in[i + 1] == 'h' && in[i + 2] == '2') {
            n_offers_of_h2++;
            *out = in + i + 1;
            *out_len = 2;
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_NOACK;
}

/* Its library copies headers, the key among them, into memory that nobody wipes. */
static void T58_http_2_is_not_offered(void **state)
{
    struct kit_reply reply;
    struct loopback *server;
    SSL_CTX *context = certs_server(&certs, "api.example.com", -60, 3600, 0);
    (void)state;
    SSL_CTX_set_alpn_select_cb(context, on_alpn, NULL);
    call(context, certs.ca_path, &reply, &server);
    assert_int_equal(reply.code, SP_CODE_OK);
    loopback_stop(server);
    assert_int_equal(n_offers, 1);
    assert_int_equal(n_offers_of_h2, 0);
    kit_reply_done(&reply);
    SSL_CTX_free(context);
}

static void a_plain_server_is_no_tls_server(void **state)
{
    struct kit kit;
    struct kit_key key;
    struct kit_reply reply;
    struct loopback *server = loopback_start(NULL);
    (void)state;
    kit_config(&kit);
    kit.config.connect_ms = 500; /* a plain server waits for a request for ever */
    kit_start(&kit);
    kit_key(&key, "k1", KIT_SECRET, "https", server->port);
    kit_get(&kit, &key, URL, &reply);
    assert_int_equal(reply.code, SP_CODE_UPSTREAM_UNREACHABLE);
    assert_false(reply.sent);
    kit_close(&kit);
    loopback_stop(server);
    kit_key_done(&key);
    kit_reply_done(&reply);
}

/* Last: each call above spoke TLS with SSLKEYLOGFILE set since before libcurl was started. */
static void T36_no_session_key_was_logged(void **state)
{
    FILE *file = fopen(keylog_path, "r");
    (void)state;
    assert_non_null(file);
    assert_int_equal(fgetc(file), EOF);
    (void)fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_certificate_for_the_canonical_host_is_accepted),
        cmocka_unit_test(T35_expired_certificate_is_refused),
        cmocka_unit_test(T35_certificate_of_the_future_is_refused),
        cmocka_unit_test(T35_certificate_for_another_name_is_refused),
        cmocka_unit_test(T35_self_signed_certificate_is_refused),
        cmocka_unit_test(T35_unknown_authority_is_refused),
        cmocka_unit_test(T35_a_secret_in_a_certificate_name_is_not_repeated),
        cmocka_unit_test(T35_tls_1_1_is_refused),
        cmocka_unit_test(T58_http_2_is_not_offered),
        cmocka_unit_test(a_plain_server_is_no_tls_server),
        cmocka_unit_test(T36_no_session_key_was_logged),
    };
    struct sp_error err;
    int fd = mkstemp(keylog_path);
    (void)close(fd);
    (void)setenv("SSLKEYLOGFILE", keylog_path, 1);
    if (sp_egress_global(&err)) {
        return 1;
    }
    certs_open(&certs);
    int n_failed = cmocka_run_group_tests_name("egress over TLS", tests, NULL, NULL);
    certs_close(&certs);
    (void)unlink(keylog_path);
    return n_failed;
}
