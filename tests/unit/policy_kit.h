/* What the tests of the scope language share: sources compiled, requests built, verdicts taken.
 */
#ifndef POLICY_KIT_H
#define POLICY_KIT_H

#include "policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* after those four */
#include <cmocka.h>

struct kit {
    struct sp_arena arena;
    struct sp_diags diags;
    struct sp_source source;
    struct sp_policy *policy;
    struct sp_buf text;
    struct sp_error err;
};

static inline int kit_set_up(void **state)
{
    struct kit *kit = calloc(1, sizeof *kit);
    sp_arena_init(&kit->arena, 64 << 20);
    sp_diags_init(&kit->diags);
    sp_buf_init(&kit->text, 64 << 20);
    *state = kit;
    return 0;
}

static inline int kit_tear_down(void **state)
{
    struct kit *kit = *state;
    sp_policy_free(kit->policy);
    sp_diags_done(&kit->diags);
    sp_arena_done(&kit->arena);
    sp_buf_done(&kit->text);
    free(kit);
    return 0;
}

#define kit_test(f) cmocka_unit_test_setup_teardown(f, kit_set_up, kit_tear_down)

/* For a world: every key is for h.test, where POST /hooks escalates. */
static inline size_t kit_guarded(void *user, struct sp_text id,
                                 const struct sp_catalogue **ret_list)
{
    static const struct sp_text host = {"h.test", 6};
    static const struct sp_catalogue_action action = {
        {"hooks", 5}, {"/hooks", 6}, SP_METHOD_POST, .escalates = true};
    static const struct sp_catalogue list = {{"h", 1}, &host, 1, &action, 1};
    (void)user;
    (void)id;
    *ret_list = &list;
    return 1;
}

/* Compile one source; a policy and diagnostics of before are dropped. */
static inline sp_status kit_compile_in(struct kit *kit, const struct sp_world *world,
                                       struct sp_text text)
{
    sp_policy_free(kit->policy);
    kit->policy = NULL;
    sp_diags_done(&kit->diags);
    sp_diags_init(&kit->diags);
    kit->source = (struct sp_source){"test.scope", text};
    return sp_policy_compile(&kit->source, 1, world, &kit->diags, &kit->policy);
}

static inline sp_status kit_compile(struct kit *kit, const char *text)
{
    return kit_compile_in(kit, NULL, sp_text_of(text));
}

/* The scope s of a source that is its rules; it must compile. */
static inline const struct sp_scope *kit_scope(struct kit *kit, const char *rules)
{
    struct sp_buf text;
    sp_buf_init(&text, SP_SOURCE_MAX_BYTES);
    sp_buf_add_str(&text, "sallyport 1\nscope s {\n  key k\n  ttl 1h\n");
    sp_buf_add_str(&text, rules);
    sp_buf_add_str(&text, "\n}\n");
    struct sp_text copy = sp_arena_copy(&kit->arena, sp_buf_text(&text));
    sp_buf_done(&text);
    if (kit_compile_in(kit, NULL, copy)) {
        print_error("%s\n%s\n", copy.ptr,
                    kit->diags.first ? kit->diags.first->message : "out of memory");
    }
    assert_non_null(kit->policy);
    return sp_policy_scope(kit->policy, 0);
}

/* Whether the compiler said this code; *ret_diag is the first that did. */
static inline bool kit_said(const struct kit *kit, const char *code,
                            const struct sp_diag **ret_diag)
{
    for (const struct sp_diag *diag = kit->diags.first; diag; diag = diag->next) {
        if (strcmp(diag->code, code) == 0) {
            if (ret_diag) {
                *ret_diag = diag;
            }
            return true;
        }
    }
    return false;
}

static inline struct sp_request kit_request(struct kit *kit, const char *method,
                                            const char *url)
{
    struct sp_request request = {.method = 0};
    assert_int_equal(
        sp_request_init(&kit->arena, sp_text_of(method), sp_text_of(url), &request, &kit->err),
        SP_OK);
    return request;
}

/* A request with an urlencoded body. */
static inline struct sp_request kit_form(struct kit *kit, const char *url, const char *form)
{
    struct sp_request request = kit_request(kit, "POST", url);
    struct sp_value *tree = sp_arena_alloc(&kit->arena, sizeof *tree);
    const struct sp_param *params;
    size_t n;
    assert_int_equal(sp_form_parse(&kit->arena, sp_text_of(form), 1000, &params, &n, &kit->err),
                     SP_OK);
    assert_int_equal(sp_form_tree(&kit->arena, params, n, tree), SP_OK);
    request.body_kind = SP_BODY_FORM;
    request.body_value = tree;
    return request;
}

static inline struct sp_verdict kit_match(const struct sp_scope *scope,
                                          const struct sp_request *request)
{
    struct sp_verdict verdict;
    sp_scope_match(scope, request, &verdict);
    return verdict;
}

static inline bool kit_allows(struct kit *kit, const struct sp_scope *scope, const char *method,
                              const char *url)
{
    struct sp_request request = kit_request(kit, method, url);
    return kit_match(scope, &request).allowed;
}

#endif
