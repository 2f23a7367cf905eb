/* The proxy's own authority: what it makes, what it reads again, and what it does without
 * memory, OpenSSL's too. */
#include "ca.h"

#include <openssl/crypto.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after those */
#include <cmocka.h>

static bool armed;
static size_t counted, fail_at;

static bool fails(void)
{
    return armed && counted++ == fail_at;
}

static void *count_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return fails() ? NULL : malloc(size);
}

static void *count_realloc(void *memory, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return fails() ? NULL : realloc(memory, size);
}

static void count_free(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    free(memory);
}

static struct sp_pool *pool;
static struct sp_secret pem;

static int setup(void **state)
{
    struct sp_error err = {""};
    (void)state;
    assert_int_equal(sp_pool_new(1 << 20, &pool, &err), SP_OK);
    assert_int_equal(sp_ca_make(pool, &pem, &err), SP_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sp_secret_free(&pem);
    sp_pool_free(pool);
    return 0;
}

static struct sp_ca *opened(void)
{
    struct sp_ca *ca = NULL;
    struct sp_error err = {""};
    assert_int_equal(sp_ca_open(sp_secret_text(&pem), &ca, &err), SP_OK);
    return ca;
}

static const char *find(struct sp_text text, const char *wanted)
{
    return memmem(text.ptr, text.len, wanted, strlen(wanted));
}

static void a_leaf_is_made_once_for_each_host(void **state)
{
    struct sp_tls_context *first, *second, *again;
    struct sp_error err = {""};
    struct sp_ca *ca = opened();
    (void)state;
    assert_int_equal(sp_ca_context(ca, SP_TEXT("a.example"), &first, &err), SP_OK);
    assert_int_equal(sp_ca_context(ca, SP_TEXT("b.example"), &second, &err), SP_OK);
    assert_ptr_not_equal(first, second);
    assert_int_equal(sp_ca_context(ca, SP_TEXT("b.example"), &again, &err), SP_OK);
    assert_ptr_equal(second, again);
    assert_int_equal(sp_ca_context(ca, SP_TEXT("a.example"), &again, &err), SP_OK);
    assert_ptr_equal(first, again);
    assert_non_null(find(sp_ca_certificate(ca), "BEGIN CERTIFICATE"));
    assert_null(find(sp_ca_certificate(ca), "PRIVATE"));
    sp_ca_free(ca);
    sp_ca_free(NULL);
}

static void a_long_host_is_an_alternative_name_alone(void **state)
{
    struct sp_tls_context *context;
    struct sp_error err = {""};
    struct sp_ca *ca = opened();
    (void)state;
    assert_int_equal(
        sp_ca_context(ca,
                      SP_TEXT("a123456789.b123456789.c123456789.d123456789.e123456789."
                              "f123456789.example"),
                      &context, &err),
        SP_OK);
    sp_ca_free(ca);
}

static void leaves_are_bounded(void **state)
{
    struct sp_tls_context *context;
    struct sp_error err = {""};
    struct sp_ca *ca = opened();
    (void)state;
    for (unsigned i = 0; i < 260; i++) {
        char host[32];
        (void)snprintf(host, sizeof host, "h%u.example", i);
        assert_int_equal(sp_ca_context(ca, sp_text_of(host), &context, &err), SP_OK);
    }
    sp_ca_free(ca);
}

/* Cut anywhere, or a certificate of another key: it is no authority. */
static void what_is_no_authority_is_refused(void **state)
{
    struct sp_ca *ca = NULL;
    struct sp_secret other;
    struct sp_error err = {""};
    struct sp_text text = sp_secret_text(&pem);
    (void)state;
    for (size_t len = 0; len + 2 < text.len; len += 7) {
        assert_int_equal(sp_ca_open((struct sp_text){text.ptr, len}, &ca, &err), SP_ECORRUPT);
        assert_null(ca);
    }
    assert_int_equal(sp_ca_make(pool, &other, &err), SP_OK);
    const char *mine = find(text, "-----BEGIN CERTIFICATE");
    const char *theirs = find(sp_secret_text(&other), "-----BEGIN CERTIFICATE");
    char mixed[SP_CA_PEM_MAX_BYTES];
    int n = snprintf(mixed, sizeof mixed, "%.*s%.*s", (int)(mine - text.ptr), text.ptr,
                     (int)(other.len - (size_t)(theirs - (const char *)other.ptr)), theirs);
    assert_int_equal(sp_ca_open((struct sp_text){mixed, (size_t)n}, &ca, &err), SP_ECORRUPT);
    sodium_memzero(mixed, sizeof mixed);
    sp_secret_free(&other);
}

static void a_pool_that_is_full_holds_no_authority(void **state)
{
    struct sp_pool *small;
    struct sp_secret made = {NULL, NULL, 0};
    struct sp_error err = {""};
    (void)state;
    assert_int_equal(sp_pool_new(64, &small, &err), SP_OK);
    assert_int_equal(sp_ca_make(small, &made, &err), SP_ENOMEM);
    assert_null(made.ptr);
    sp_pool_free(small);
}

/* Each step in turn, and at growing steps, since there are thousands. */
static void T41_without_memory_there_is_no_half_authority_or_certificate(void **state)
{
    struct sp_error err = {""};
    size_t n = 0;
    (void)state;
    for (size_t at = 0, more = true; more; at += 1 + at / 64, n++) {
        struct sp_secret made = {NULL, NULL, 0};
        struct sp_ca *ca = NULL;
        fail_at = at;
        counted = 0;
        armed = true;
        sp_status status = sp_ca_make(pool, &made, &err);
        more = counted > at;
        counted = 0;
        sp_status read = sp_ca_open(sp_secret_text(&pem), &ca, &err);
        more = more || counted > at;
        armed = false;
        assert_int_equal(status == SP_OK, made.ptr != NULL);
        assert_int_equal(read == SP_OK, ca != NULL);
        sp_secret_free(&made);
        if (ca) {
            struct sp_tls_context *context = NULL;
            sp_ca_free(ca);
            ca = opened();
            counted = 0;
            armed = true;
            status = sp_ca_context(ca, SP_TEXT("a.example"), &context, &err);
            more = more || counted > at;
            armed = false;
            assert_int_equal(status == SP_OK, context != NULL);
            assert_int_equal(sp_ca_context(ca, SP_TEXT("a.example"), &context, &err), SP_OK);
            sp_ca_free(ca);
        }
    }
    print_message("%zu times without memory\n", n);
    assert_true(n > 100);
}

int main(void)
{
    /* Before OpenSSL takes any. */
    assert_int_equal(CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free), 1);
    assert_true(sodium_init() >= 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leaf_is_made_once_for_each_host),
        cmocka_unit_test(a_long_host_is_an_alternative_name_alone),
        cmocka_unit_test(leaves_are_bounded),
        cmocka_unit_test(what_is_no_authority_is_refused),
        cmocka_unit_test(a_pool_that_is_full_holds_no_authority),
        cmocka_unit_test(T41_without_memory_there_is_no_half_authority_or_certificate),
    };
    return cmocka_run_group_tests_name("ca", tests, setup, teardown);
}
