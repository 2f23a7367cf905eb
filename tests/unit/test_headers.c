/* Which of a client's headers go upstream. */
#include "canonical.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after those four */
#include <cmocka.h>

static const char policy_text[] =
    "sallyport 1\n"
    "scope s {\n"
    "  key k1\n"
    "  allow GET https://a.example/x where header.x-tenant = \"7\"\n"
    "}\n";

static struct sp_policy *compile(void)
{
    struct sp_source source = {"test.scope", {policy_text, sizeof policy_text - 1}};
    struct sp_world world = {.user = NULL};
    struct sp_diags diags;
    struct sp_policy *policy = NULL;
    sp_diags_init(&diags);
    if (sp_policy_compile(&source, 1, &world, &diags, &policy)) {
        fail_msg("%s", diags.first ? diags.first->message : "?");
    }
    sp_diags_done(&diags);
    return policy;
}

/* The names that pass, in order, with a comma behind each. */
static void assert_passes(const struct sp_manifest *manifest, const struct sp_scope *scope,
                          const char *const *names, size_t n, const char *passed,
                          const char *dropped)
{
    struct sp_header headers[32], kept[32];
    struct sp_text left[32];
    size_t n_kept = 99, n_left = 99;
    struct sp_buf buf;
    for (size_t i = 0; i < n; i++) {
        headers[i] = (struct sp_header){sp_text_of(names[i]), SP_TEXT("v")};
    }
    struct sp_request request = {.headers = headers, .n_headers = n};
    sp_headers_pass(&request, manifest, scope, kept, &n_kept, left, &n_left);
    assert_int_equal(n_kept + n_left, n);
    sp_buf_init(&buf, 4096);
    for (size_t i = 0; i < n_kept; i++) {
        sp_buf_addf(&buf, "%.*s,", (int)kept[i].name.len, kept[i].name.ptr);
        assert_true(sp_text_is(kept[i].value, "v"));
    }
    assert_string_equal(sp_buf_text(&buf).ptr, passed);
    sp_buf_reset(&buf);
    for (size_t i = 0; i < n_left; i++) {
        sp_buf_addf(&buf, "%.*s,", (int)left[i].len, left[i].ptr);
    }
    assert_string_equal(n_left ? sp_buf_text(&buf).ptr : "", dropped);
    sp_buf_done(&buf);
}

static void the_core_set_passes_and_nothing_else(void **state)
{
    static const char *const core[] = {"accept",
                                       "accept-language",
                                       "content-encoding",
                                       "content-type",
                                       "if-match",
                                       "if-none-match",
                                       "if-modified-since",
                                       "if-unmodified-since",
                                       "user-agent",
                                       "idempotency-key",
                                       "range",
                                       "traceparent",
                                       "tracestate"};
    static const char *const others[] = {"x-api-key", "x-tenant", "stripe-account",
                                         "origin",    "referer",  "accepts"};
    (void)state;
    assert_passes(NULL, NULL, core, 13,
                  "accept,accept-language,content-encoding,content-type,if-match,if-none-match,"
                  "if-modified-since,if-unmodified-since,user-agent,idempotency-key,range,"
                  "traceparent,tracestate,",
                  "");
    assert_passes(NULL, NULL, others, 6, "",
                  "x-api-key,x-tenant,stripe-account,origin,referer,accepts,");
}

static void a_manifest_adds_its_own(void **state)
{
    static const char *const names[] = {"stripe-version", "stripe-account"};
    struct sp_text adds[] = {SP_TEXT("Stripe-Version")};
    const struct sp_manifest manifest = {.request_headers = adds, .n_request_headers = 1};
    (void)state;
    assert_passes(&manifest, NULL, names, 2, "stripe-version,", "stripe-account,");
}

static void T61_a_condition_lets_through_the_header_that_it_reads(void **state)
{
    static const char *const names[] = {"x-tenant", "x-other"};
    struct sp_policy *policy = compile();
    (void)state;
    assert_passes(NULL, sp_policy_find_scope(policy, SP_TEXT("s")), names, 2, "x-tenant,",
                  "x-other,");
    sp_policy_free(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_core_set_passes_and_nothing_else),
        cmocka_unit_test(a_manifest_adds_its_own),
        cmocka_unit_test(T61_a_condition_lets_through_the_header_that_it_reads),
    };
    return cmocka_run_group_tests_name("headers", tests, NULL, NULL);
}
