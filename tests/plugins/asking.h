/* Asking a provider from a test: the answers as values. A test that uses one function of these
 * need not use all. */
#ifndef ASKING_H
#define ASKING_H

#include "provider.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct answer {
    unsigned calls;
    sp_status status;
    struct sp_error err;
    char hosts[8][256];
    size_t n_hosts;
    struct sp_plan plan;
};

static inline void on_checked(void *user, sp_status status, const struct sp_text *hosts,
                              size_t n_hosts, const struct sp_error *err)
{
    struct answer *answer = user;
    answer->calls++;
    answer->status = status;
    assert_true((status != SP_OK) == (err != NULL && err->text[0] != '\0'));
    if (err) {
        answer->err = *err;
    }
    answer->n_hosts = n_hosts;
    assert_true(n_hosts <= 8);
    for (size_t i = 0; i < n_hosts; i++) {
        assert_true(hosts[i].len < sizeof answer->hosts[i]);
        memcpy(answer->hosts[i], hosts[i].ptr, hosts[i].len);
    }
}

static inline void on_planned(void *user, sp_status status, struct sp_plan *plan,
                              const struct sp_error *err)
{
    struct answer *answer = user;
    answer->calls++;
    answer->status = status;
    assert_true((status != SP_OK) == (plan == NULL));
    assert_true((status != SP_OK) == (err != NULL && err->text[0] != '\0'));
    if (err) {
        answer->err = *err;
    }
    if (plan) {
        answer->plan = *plan;
    }
}

static inline struct answer ask_check(struct sp_provider *provider,
                                      const struct sp_key_view *key)
{
    struct answer answer = {.calls = 0};
    provider->ops->check(provider, key, on_checked, &answer);
    assert_int_equal(answer.calls, 1);
    return answer;
}

/* On SP_OK the plan is to be given back. */
static inline struct answer ask_plan(struct sp_provider *provider,
                                     const struct sp_key_view *key)
{
    struct answer answer = {.calls = 0};
    provider->ops->plan(provider, key, on_planned, &answer);
    assert_int_equal(answer.calls, 1);
    return answer;
}

static inline void assert_says(const struct sp_error *err, const char *words)
{
    if (!strstr(err->text, words)) {
        fail_msg("\"%s\" does not say \"%s\"", err->text, words);
    }
}

static inline struct sp_provider *load_fine(const char *path)
{
    struct sp_plugin_rules rules = {.dev = true, .owner_uid = (uint32_t)geteuid()};
    struct sp_provider *provider = NULL;
    struct sp_error err = {""};
    if (sp_plugin_load(path, &rules, &provider, &err)) {
        fail_msg("%s", err.text);
    }
    return provider;
}

#endif
