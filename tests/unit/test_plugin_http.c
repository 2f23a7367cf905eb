/* Requests and permissions that plugins push while they mint, called here as a plugin calls
 * them (T49); and the tokens that the host signs for them. */
#include "jwt.h"
#include "plugin_host.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sallyport/help.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
    struct sp_plugin_host host;
    struct sp_arena arena;
    struct sp_key_view key;
    struct sp_text secrets[2];
    uint64_t call;
    struct sp_hook_request taken;
};

static int make(void **state)
{
    static const struct sp_plugin_rules rules = {.dev = true};
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    sp_plugin_host_init(&f->host, "/plugins/minting.so", &rules);
    f->host.manifest.leases = true;
    sp_arena_init(&f->arena, 16 << 20);
    f->secrets[0] = SP_TEXT("private_key");
    f->secrets[1] = SP_TEXT("lease.token");
    f->key = (struct sp_key_view){.secrets = f->secrets, .n_secrets = 2};
    f->call = sp_hook_begin(&f->host, SP_HOOK_RENEW, &f->arena, &f->key);
    *state = f;
    return 0;
}

static int unmake(void **state)
{
    struct fixture *f = *state;
    sp_arena_done(&f->arena);
    free(f);
    return 0;
}

/* A good request, whose parts a test may spoil. */
struct parts {
    struct sallyport_placement placement;
    struct sallyport_header header;
    struct sallyport_http_capture capture;
    struct sallyport_http_jwt jwt;
    const struct sallyport_placement *placements[2];
    const struct sallyport_header *headers[1];
    const struct sallyport_http_capture *captures[2];
    const struct sallyport_http_jwt *jwts[2];
    struct sallyport_http_request request;
};

static void make_good(struct parts *p)
{
    *p = (struct parts){
        .placement = {.size = sizeof p->placement,
                      .place = SALLYPORT_PLACE_HEADER,
                      .name = SALLYPORT_TEXT("authorization"),
                      .prefix = SALLYPORT_TEXT("Bearer "),
                      .template_text = SALLYPORT_TEXT("{app_jwt}")},
        .header = {.size = sizeof p->header,
                   .name = SALLYPORT_TEXT("accept"),
                   .value = SALLYPORT_TEXT("application/json")},
        .capture = {.size = sizeof p->capture,
                    .pointer = SALLYPORT_TEXT("/token"),
                    .name = SALLYPORT_TEXT("token")},
        .jwt = {.size = sizeof p->jwt,
                .algorithm = SALLYPORT_JWT_RS256,
                .name = SALLYPORT_TEXT("app_jwt"),
                .key = SALLYPORT_TEXT("private_key"),
                .issuer = SALLYPORT_TEXT("12345"),
                .life_s = 540},
        .request = {.size = sizeof p->request,
                    .method = SALLYPORT_TEXT("POST"),
                    .url = SALLYPORT_TEXT("https://api.example.com/mint"),
                    .body = SALLYPORT_TEXT("{}"),
                    .n_headers = 1,
                    .n_placements = 1,
                    .n_captures = 1,
                    .n_jwts = 1},
    };
    p->placements[0] = p->placements[1] = &p->placement;
    p->headers[0] = &p->header;
    p->captures[0] = p->captures[1] = &p->capture;
    p->jwts[0] = p->jwts[1] = &p->jwt;
    p->request.placements = p->placements;
    p->request.headers = p->headers;
    p->request.captures = p->captures;
    p->request.jwts = p->jwts;
}

static int32_t take(struct fixture *f, const struct parts *p)
{
    return sp_http_take(&f->host, f->call, &p->request, &f->taken);
}

/* The request is refused with these words, and the call with it. */
static void assert_refused(struct fixture *f, const struct parts *p, const char *words)
{
    struct sp_error err = {""};
    assert_int_not_equal(take(f, p), SALLYPORT_OK);
    assert_int_not_equal(sp_hook_end(&f->host, SALLYPORT_OK, &err), SP_OK);
    if (!strstr(err.text, words)) {
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
    }
    f->call = sp_hook_begin(&f->host, SP_HOOK_RENEW, &f->arena, &f->key);
}

static void a_good_request_is_taken_whole(void **state)
{
    struct fixture *f = *state;
    struct parts p;
    make_good(&p);
    assert_int_equal(take(f, &p), SALLYPORT_OK);
    assert_true(sp_text_is(f->taken.method, "POST") && sp_text_is(f->taken.body, "{}"));
    assert_int_equal(f->taken.n_placements + f->taken.n_headers + f->taken.n_captures, 3);
    assert_true(sp_text_is(f->taken.jwts[0].issuer, "12345"));
    /* a second one begins afresh: nothing of the first is set twice */
    assert_int_equal(take(f, &p), SALLYPORT_OK);
    /* in revoke, the lease's own secret can be placed */
    f->call = sp_hook_begin(&f->host, SP_HOOK_REVOKE, &f->arena, &f->key);
    p.placement.template_text = sallyport_text_of("{lease.token}");
    p.request.n_captures = p.request.n_jwts = 0;
    assert_int_equal(take(f, &p), SALLYPORT_OK);
}

static void T49_spoiled_requests_are_refused(void **state)
{
    struct fixture *f = *state;
    struct parts p;
#define SPOILED(words, ...)                                                                    \
    do {                                                                                       \
        make_good(&p);                                                                         \
        __VA_ARGS__;                                                                           \
        assert_refused(f, &p, words);                                                          \
    } while (0)
    SPOILED("wrong size", p.request.size = 8);
    SPOILED("wrong size", p.request.reserved = 1);
    SPOILED("wrong size", p.request.headers = NULL);
    SPOILED("wrong size", p.request.placements = NULL);
    SPOILED("wrong size", p.request.captures = NULL);
    SPOILED("wrong size", p.request.jwts = NULL);
    SPOILED("bad method", p.request.method = sallyport_text_of("GET /\r\nx"));
    SPOILED("bad url", p.request.url = sallyport_text_of("https://a b"));
    SPOILED("bad body", p.request.body = sallyport_text_of("\xff"));
    SPOILED("wrong size", p.jwt.size = 8);
    SPOILED("wrong size", p.jwt.algorithm = 0);
    SPOILED("wrong size", p.jwt.reserved = 1);
    SPOILED("bad name of a jwt", p.jwt.name = sallyport_text_of("A"));
    SPOILED("bad key of a jwt", p.jwt.key = sallyport_text_of("a.b"));
    SPOILED("bad claim", p.jwt.issuer = sallyport_text_of("a\nb"));
    SPOILED("may be 1 to 3600", p.jwt.life_s = 0);
    SPOILED("may be 1 to 3600", p.jwt.life_s = 3601);
    SPOILED("does not have", p.jwt.key = sallyport_text_of("password"));
    SPOILED("as a secret is called", p.jwt.name = sallyport_text_of("private_key"));
    SPOILED("as a secret is called", p.request.n_jwts = 2);
    SPOILED("5 jwts", p.request.n_jwts = 5);
    SPOILED("9 values", p.request.n_captures = 9);
    SPOILED("two values as token", p.request.n_captures = 2);
    SPOILED("wrong size", p.capture.flags = 4);
    SPOILED("replaces the secret token", p.capture.flags = SALLYPORT_CAPTURE_REPLACES);
    SPOILED("bad pointer", p.capture.pointer = sallyport_text_of("token"));
    SPOILED("bad pointer", p.capture.pointer = sallyport_text_of("/"));
    SPOILED("bad name of a capture", p.capture.name = sallyport_text_of("lease.token"));
    SPOILED("fills authorization twice", p.request.n_placements = 2);
    SPOILED("does not have", p.placement.template_text = sallyport_text_of("{password}"));
    SPOILED("does not have", p.placement.template_text = sallyport_text_of("{lease.}"));
    SPOILED("does not have", p.placement.template_text = sallyport_text_of("{lease.A}"));
    SPOILED("wrong size", p.placement.place = 7);
    SPOILED("which is the host's", p.header.name = sallyport_text_of("authorization"));
    SPOILED("wrong size", p.header.kind = SALLYPORT_HEADER_DEFAULT);
#undef SPOILED
}

static void T49_requests_are_taken_in_their_hooks_alone_and_counted(void **state)
{
    struct fixture *f = *state;
    struct parts p;
    make_good(&p);
    for (unsigned i = 0; i < SP_HOOK_HTTP_MAX; i++) {
        assert_int_equal(take(f, &p), SALLYPORT_OK);
    }
    assert_refused(f, &p, "more than 8 requests");
    f->call = sp_hook_begin(&f->host, SP_HOOK_PLAN, &f->arena, &f->key);
    assert_int_equal(take(f, &p), SALLYPORT_E_CALL);
    f->call = sp_hook_begin(&f->host, SP_HOOK_REVOKE, &f->arena, &f->key);
    assert_refused(f, &p, "captures a value in its lease.revoke hook");
    f->call++; /* another call's number */
    assert_int_equal(take(f, &p), SALLYPORT_E_CALL);
}

static void a_form_parameter_is_for_requests_and_not_for_plans(void **state)
{
    struct fixture *f = *state;
    struct parts p;
    make_good(&p);
    p.placement.place = SALLYPORT_PLACE_FORM;
    assert_int_equal(take(f, &p), SALLYPORT_OK);
    assert_int_equal(f->taken.placements[0].place, SP_PLACE_FORM);
    f->call = sp_hook_begin(&f->host, SP_HOOK_PLAN, &f->arena, &f->key);
    p.placement.template_text = sallyport_text_of("{private_key}");
    assert_int_equal(sp_push_placement(&f->host.table, f->call, &p.placement),
                     SALLYPORT_E_INVALID);
}

static void permissions_are_sorted_and_each_is_kept_once(void **state)
{
    struct fixture *f = *state;
    static const char *const words[] = {"b:write", "a:read", "b:write", "a:read", "c"};
    f->call = sp_hook_begin(&f->host, SP_HOOK_PERMISSIONS, &f->arena, &f->key);
    for (size_t i = 0; i < 5; i++) {
        struct sallyport_text word = sallyport_text_of(words[i]);
        assert_int_equal(sp_push_permission(&f->host.table, f->call, &word), SALLYPORT_OK);
    }
    sp_plugin_permissions_done(&f->host);
    const struct sp_text *kept = f->host.permissions.items;
    assert_int_equal(f->host.permissions.n, 3);
    assert_true(sp_text_is(kept[0], "a:read") && sp_text_is(kept[1], "b:write") &&
                sp_text_is(kept[2], "c"));
    struct sallyport_text bad = sallyport_text_of("two words");
    assert_int_equal(sp_push_permission(&f->host.table, f->call, &bad), SALLYPORT_E_INVALID);
    f->call = sp_hook_begin(&f->host, SP_HOOK_PERMISSIONS, &f->arena, &f->key);
    struct sallyport_text good = sallyport_text_of("w");
    for (size_t i = 0; i < 256; i++) {
        assert_int_equal(sp_push_permission(&f->host.table, f->call, &good), SALLYPORT_OK);
    }
    assert_int_equal(sp_push_permission(&f->host.table, f->call, &good), SALLYPORT_E_LIMIT);
}

/* ---- tokens -------------------------------------------------------------------------------
 */

static EVP_PKEY *rsa_key(unsigned bits, char **ret_pem, size_t *ret_len)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits);
    BIO *bio = BIO_new(BIO_s_mem());
    char *bytes;
    assert_non_null(key);
    assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    long len = BIO_get_mem_data(bio, &bytes);
    *ret_pem = malloc((size_t)len);
    assert_non_null(*ret_pem);
    memcpy(*ret_pem, bytes, (size_t)len);
    *ret_len = (size_t)len;
    BIO_free(bio);
    return key;
}

static size_t decode(const char *from, size_t len, unsigned char *to, size_t room)
{
    size_t n = 0;
    assert_int_equal(sodium_base642bin(to, room, from, len, NULL, &n, NULL,
                                       sodium_base64_VARIANT_URLSAFE_NO_PADDING),
                     0);
    return n;
}

static void a_jwt_says_what_was_asked_and_its_signature_holds(void **state)
{
    char *pem, text[2048];
    unsigned char claims[1024], signature[512];
    size_t pem_len;
    struct sp_pool *pool = NULL;
    struct sp_secret token;
    struct sp_hook_jwt jwt = {.key = SP_TEXT("private_key"),
                              .issuer = SP_TEXT("12\"345"),
                              .audience = SP_TEXT("https://a.example.com"),
                              .life_s = 540};
    (void)state;
    EVP_PKEY *key = rsa_key(2048, &pem, &pem_len);
    assert_int_equal(sp_pool_new(64 << 10, &pool, NULL), SP_OK);
    assert_int_equal(
        sp_jwt_sign(&jwt, (struct sp_text){pem, pem_len}, 1700000000123, pool, &token, NULL),
        SP_OK);
    assert_true(token.len < sizeof text);
    memcpy(text, token.ptr, token.len);
    text[token.len] = '\0';
    char *first = strchr(text, '.'), *second = strrchr(text, '.');
    size_t n = decode(first + 1, (size_t)(second - first) - 1, claims, sizeof claims - 1);
    claims[n] = '\0';
    assert_string_equal((char *)claims, "{\"iat\":1699999940,\"exp\":1700000540,"
                                        "\"iss\":\"12\\\"345\","
                                        "\"aud\":\"https://a.example.com\"}");
    n = decode(second + 1, strlen(second + 1), signature, sizeof signature);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(
        EVP_DigestVerify(context, signature, n, (unsigned char *)text, (size_t)(second - text)),
        1);
    EVP_MD_CTX_free(context);
    sp_secret_free(&token);
    sp_pool_free(pool);
    EVP_PKEY_free(key);
    free(pem);
}

static void a_key_that_is_weak_or_none_signs_nothing_and_is_not_quoted(void **state)
{
    char *weak;
    size_t weak_len;
    struct sp_pool *pool = NULL;
    struct sp_hook_jwt jwt = {.key = SP_TEXT("private_key"), .life_s = 60};
    (void)state;
    EVP_PKEY_free(rsa_key(1024, &weak, &weak_len));
    assert_int_equal(sp_pool_new(64 << 10, &pool, NULL), SP_OK);
    const struct sp_text bad[] = {{weak, weak_len}, SP_TEXT("not a key"), SP_TEXT("")};
    for (size_t i = 0; i < 3; i++) {
        struct sp_secret token = {NULL, NULL, 0};
        struct sp_error err = {""};
        assert_int_equal(sp_jwt_sign(&jwt, bad[i], 0, pool, &token, &err), SP_EINVAL);
        assert_null(token.ptr);
        assert_non_null(strstr(err.text, "no RSA private key of 2048 bits"));
        assert_null(strstr(err.text, "not a key"));
    }
    sp_pool_free(pool);
    free(weak);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_good_request_is_taken_whole, make, unmake),
        cmocka_unit_test_setup_teardown(T49_spoiled_requests_are_refused, make, unmake),
        cmocka_unit_test_setup_teardown(T49_requests_are_taken_in_their_hooks_alone_and_counted,
                                        make, unmake),
        cmocka_unit_test_setup_teardown(a_form_parameter_is_for_requests_and_not_for_plans,
                                        make, unmake),
        cmocka_unit_test_setup_teardown(permissions_are_sorted_and_each_is_kept_once, make,
                                        unmake),
        cmocka_unit_test(a_jwt_says_what_was_asked_and_its_signature_holds),
        cmocka_unit_test(a_key_that_is_weak_or_none_signs_nothing_and_is_not_quoted),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
