#include "metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t total(const struct sp_metrics *metrics, const char *rule)
{
    uint64_t n = 0;
    for (size_t i = 0; i < metrics->n_series; i++) {
        if (!rule || strcmp(metrics->series[i].rule, rule) == 0) {
            n += metrics->series[i].n;
        }
    }
    return n;
}

static void call(struct sp_metrics *metrics, const char *rule, enum sp_code code, uint64_t us)
{
    struct sp_decision decision = {.code = code, .scope = "s"};
    (void)snprintf(decision.rule, sizeof decision.rule, "%s", rule);
    sp_metrics_call(metrics, &(struct sp_metrics_call){.provider = SP_TEXT("p"),
                                                       .decision = &decision,
                                                       .code = code,
                                                       .upstream_us = us,
                                                       .total_us = us + 70});
}

static void each_call_is_counted_once_however_many_rules_there_are(void **state)
{
    struct sp_metrics *metrics = calloc(1, sizeof *metrics);
    char rule[32];
    (void)state;
    for (unsigned i = 0; i < 2000; i++) {
        (void)snprintf(rule, sizeof rule, "r%u", i % 1000);
        call(metrics, rule, i % 3 ? SP_CODE_OK : SP_CODE_DENIED, 1);
    }
    for (int code = SP_CODE_OK; code < SP_CODE_COUNT; code++) {
        call(metrics, "one more", (enum sp_code)code, 1);
    }
    assert_true(metrics->n_series <= METRICS_SERIES_MAX);
    assert_int_equal(total(metrics, NULL), 2000 + SP_CODE_COUNT);
    assert_true(total(metrics, "other") > 500);
    assert_int_equal(total(metrics, "one more"), 0);
    assert_true(total(metrics, "r1") > 0);
    free(metrics);
}

static void times_fall_into_their_buckets(void **state)
{
    struct sp_metrics *metrics = calloc(1, sizeof *metrics);
    struct sp_buf buf;
    (void)state;
    call(metrics, "a\"b", SP_CODE_OK, 5000);
    call(metrics, "a\"b", SP_CODE_OK, 5001);
    call(metrics, "a\"b", SP_CODE_OK, 3600000000);
    call(metrics, "a\"b", SP_CODE_UPSTREAM_TIMEOUT, 60000000); /* no answer, no time */
    sp_buf_init(&buf, 1 << 16);
    sp_metrics_put_calls(&buf, metrics);
    assert_non_null(
        strstr(buf.ptr, "upstream_seconds_bucket{provider=\"p\",le=\"0.005\"} 1\n"));
    assert_non_null(strstr(buf.ptr, "upstream_seconds_bucket{provider=\"p\",le=\"0.01\"} 2\n"));
    assert_non_null(strstr(buf.ptr, "upstream_seconds_bucket{provider=\"p\",le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(buf.ptr, "upstream_seconds_sum{provider=\"p\"} 3600.010001\n"));
    assert_non_null(strstr(buf.ptr, "added_seconds_bucket{provider=\"p\",verdict=\"allowed\","
                                    "le=\"0.0001\"} 3\n"));
    assert_non_null(strstr(buf.ptr, "{provider=\"p\",scope=\"s\",rule=\"a\\\"b\",verdict="
                                    "\"allowed\",code=\"ok\"} 3\n"));
    assert_non_null(strstr(buf.ptr, "verdict=\"failed\",code=\"upstream_timeout\"} 1\n"));
    sp_buf_done(&buf);
    free(metrics);
}

static void a_denied_call_added_all_the_time_that_it_took(void **state)
{
    struct sp_metrics *metrics = calloc(1, sizeof *metrics);
    (void)state;
    call(metrics, "r", SP_CODE_DENIED, 5000); /* and 70 */
    const struct sp_metrics_provider *p = &metrics->providers[0];
    assert_int_equal(p->added[METRICS_DENIED].sum_us, 5070);
    assert_int_equal(p->upstream.n, 0);
    free(metrics);
}

static void times_of_ever_more_providers_come_together_under_one(void **state)
{
    struct sp_metrics *metrics = calloc(1, sizeof *metrics);
    struct sp_decision decision = {.code = SP_CODE_OK};
    uint64_t n = 0;
    char name[16];
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(name, sizeof name, "p%u", i % 50);
        sp_metrics_call(metrics, &(struct sp_metrics_call){.provider = sp_text_of(name),
                                                           .decision = &decision,
                                                           .upstream_us = 1,
                                                           .total_us = 2});
    }
    assert_int_equal(metrics->n_providers, METRICS_PROVIDERS_MAX);
    for (size_t i = 0; i < metrics->n_providers; i++) {
        n += metrics->providers[i].upstream.n;
    }
    assert_int_equal(n, 100);
    assert_string_equal(metrics->providers[METRICS_PROVIDERS_MAX - 1].name, "other");
    assert_int_equal(metrics->providers[0].upstream.n, 2);
    free(metrics);
}

static void each_code_is_one_of_three_verdicts(void **state)
{
    unsigned n[METRICS_VERDICTS] = {0};
    (void)state;
    for (int code = SP_CODE_OK; code < SP_CODE_COUNT; code++) {
        n[sp_metrics_verdict_of((enum sp_code)code)]++;
    }
    assert_int_equal(n[METRICS_ALLOWED], 1);
    assert_int_equal(sp_metrics_verdict_of(SP_CODE_RATE_LIMITED), METRICS_DENIED);
    assert_int_equal(sp_metrics_verdict_of(SP_CODE_SEALED), METRICS_FAILED);
    assert_int_equal(n[METRICS_DENIED] + n[METRICS_FAILED], SP_CODE_COUNT - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_call_is_counted_once_however_many_rules_there_are),
        cmocka_unit_test(times_fall_into_their_buckets),
        cmocka_unit_test(a_denied_call_added_all_the_time_that_it_took),
        cmocka_unit_test(times_of_ever_more_providers_come_together_under_one),
        cmocka_unit_test(each_code_is_one_of_three_verdicts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
