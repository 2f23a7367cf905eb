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
    assert_non_null(strstr(buf.ptr, "upstream_seconds_bucket{le=\"0.005\"} 1\n"));
    assert_non_null(strstr(buf.ptr, "upstream_seconds_bucket{le=\"0.01\"} 2\n"));
    assert_non_null(strstr(buf.ptr, "upstream_seconds_bucket{le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(buf.ptr, "upstream_seconds_sum 3600.010001\n"));
    assert_non_null(strstr(buf.ptr, "added_seconds_bucket{le=\"0.0001\"} 3\n"));
    assert_non_null(
        strstr(buf.ptr, "{provider=\"p\",scope=\"s\",rule=\"a\\\"b\",code=\"ok\"} 3\n"));
    sp_buf_done(&buf);
    free(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_call_is_counted_once_however_many_rules_there_are),
        cmocka_unit_test(times_fall_into_their_buckets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
