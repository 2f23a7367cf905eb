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

/* Most may be anything; a trace context that is none does not pass (test_trace.c). */
static struct sp_text value_of(const char *name)
{
    return strcmp(name, "traceparent") == 0
               ? SP_TEXT("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
           : strcmp(name, "tracestate") == 0 ? SP_TEXT("a=1")
                                             : SP_TEXT("v");
}

/* The names that pass, in order, with a comma behind each. */
static void assert_passes(const struct sp_manifest *manifest, const struct sp_scope *scope,
                          const char *const *names, size_t n, const char *passed,
                          const char *dropped)
{
    struct sp_header headers[32], kept[32];
    struct sp_text left[32];
    size_t n_kept = 99, n_left = 99;
    struct sp_trace trace;
    struct sp_buf buf;
    for (size_t i = 0; i < n; i++) {
        headers[i] = (struct sp_header){sp_text_of(names[i]), value_of(names[i])};
    }
    struct sp_request request = {.headers = headers, .n_headers = n};
    sp_trace_read(&request, &trace);
    sp_headers_pass(&request, &trace, manifest, scope, kept, &n_kept, left, &n_left);
    assert_int_equal(n_kept + n_left, n);
    sp_buf_init(&buf, 4096);
    for (size_t i = 0; i < n_kept; i++) {
        sp_buf_addf(&buf, "%.*s,", (int)kept[i].name.len, kept[i].name.ptr);
        assert_true(sp_text_eq(kept[i].value, value_of(kept[i].name.ptr)));
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
    static const char *const core[] = {
        "accept",     "accept-language", "content-encoding",  "content-type",
        "if-match",   "if-none-match",   "if-modified-since", "if-unmodified-since",
        "user-agent", "idempotency-key", "traceparent",       "tracestate"};
    static const char *const others[] = {"x-api-key", "x-tenant", "stripe-account",
                                         "origin",    "range",    "accepts"};
    (void)state;
    assert_passes(NULL, NULL, core, 12,
                  "accept,accept-language,content-encoding,content-type,if-match,if-none-match,"
                  "if-modified-since,if-unmodified-since,user-agent,idempotency-key,"
                  "traceparent,tracestate,",
                  "");
    assert_passes(NULL, NULL, others, 6, "",
                  "x-api-key,x-tenant,stripe-account,origin,range,accepts,");
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

static struct sp_text key_of(struct sp_arena *arena, const char *root, const char *id,
                             unsigned method, const char *own, bool listed)
{
    struct sp_text adds[] = {SP_TEXT("idempotency-key")};
    const struct sp_manifest manifest = {.request_headers = adds, .n_request_headers = listed};
    struct sp_header headers[3] = {{SP_TEXT("accept"), SP_TEXT("v")}};
    size_t n = 1;
    if (own) {
        headers[n++] = (struct sp_header){SP_TEXT("idempotency-key"), sp_text_of(own)};
    }
    assert_int_equal(sp_headers_idempotency(arena, &manifest, sp_text_of(root), sp_text_of(id),
                                            method, headers, &n),
                     SP_OK);
    assert_true(sp_text_is(headers[0].value, "v"));
    return n == 2 ? headers[1].value : SP_TEXT("none");
}

static void an_idempotency_key_is_one_roots_own(void **state)
{
    struct sp_arena arena;
    (void)state;
    sp_arena_init(&arena, 1 << 20);
#define KEY(root, id, own) key_of(&arena, root, id, SP_METHOD_POST, own, true)
    struct sp_text a = KEY("root-a", "", "k");
    assert_int_equal(a.len, 48);
    assert_true(sp_text_eq(a, KEY("root-a", "", "k")));
    assert_true(sp_text_eq(a, KEY("root-a", "id", "k")));
    assert_false(sp_text_eq(a, KEY("root-b", "", "k")));
    assert_false(sp_text_eq(a, KEY("root-a", "", "l")));
    assert_false(sp_text_eq(a, KEY("root-a", "k", NULL)));
    /* where the client sent none */
    struct sp_text made = KEY("root-a", "id", NULL);
    assert_int_equal(made.len, 48);
    assert_true(sp_text_eq(made, KEY("root-a", "id", NULL)));
    assert_false(sp_text_eq(made, KEY("root-a", "other", NULL)));
    assert_false(sp_text_eq(made, KEY("root-b", "id", NULL)));
    assert_true(sp_text_is(KEY("root-a", "", NULL), "none"));
    assert_true(sp_text_is(key_of(&arena, "root-a", "id", SP_METHOD_GET, NULL, true), "none"));
    assert_true(
        sp_text_is(key_of(&arena, "root-a", "id", SP_METHOD_POST, NULL, false), "none"));
#undef KEY
    sp_arena_done(&arena);
}

static void T41_without_memory_the_clients_own_key_goes_nowhere(void **state)
{
    struct sp_text adds[] = {SP_TEXT("idempotency-key")};
    const struct sp_manifest manifest = {.request_headers = adds, .n_request_headers = 1};
    struct sp_arena arena;
    (void)state;
    sp_arena_init(&arena, 16); /* less than a key has characters */
    for (size_t own = 0; own < 2; own++) {
        struct sp_header headers[] = {{SP_TEXT("accept"), SP_TEXT("v")},
                                      {SP_TEXT("idempotency-key"), SP_TEXT("k")}};
        size_t n = 1 + own;
        assert_int_equal(sp_headers_idempotency(&arena, &manifest, SP_TEXT("root"),
                                                SP_TEXT("id"), SP_METHOD_POST, headers, &n),
                         SP_ENOMEM);
        assert_int_equal(n, 1 + own); /* the caller refuses; none was added */
    }
    sp_arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_core_set_passes_and_nothing_else),
        cmocka_unit_test(a_manifest_adds_its_own),
        cmocka_unit_test(an_idempotency_key_is_one_roots_own),
        cmocka_unit_test(T41_without_memory_the_clients_own_key_goes_nowhere),
        cmocka_unit_test(T61_a_condition_lets_through_the_header_that_it_reads),
    };
    return cmocka_run_group_tests_name("headers", tests, NULL, NULL);
}
