#include "metrics.h"

#include <inttypes.h>
#include <stdio.h>

/* In microseconds; the last bucket is the rest. */
static const uint64_t upstream_bounds[METRICS_BUCKETS] = {
    5000,   10000,   25000,   50000,   100000,   250000,
    500000, 1000000, 2500000, 5000000, 10000000, UINT64_MAX};
static const uint64_t added_bounds[METRICS_BUCKETS] = {
    50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 100000, 1000000, UINT64_MAX};

static void time_add(struct sp_metrics_times *times, const uint64_t bounds[METRICS_BUCKETS],
                     uint64_t us)
{
    size_t i = 0;
    while (us > bounds[i]) {
        i++;
    }
    times->counts[i]++;
    times->n++;
    times->sum_us += us;
}

static bool name_set(char field[SP_NAME_MAX_BYTES + 1], struct sp_text name)
{
    int n = snprintf(field, SP_NAME_MAX_BYTES + 1, "%.*s", (int)name.len, name.ptr);
    return n >= 0 && n <= SP_NAME_MAX_BYTES;
}

static struct sp_metrics_series *series_of(struct sp_metrics *metrics,
                                           const struct sp_metrics_series *like)
{
    for (size_t i = 0; i < metrics->n_series; i++) {
        struct sp_metrics_series *series = &metrics->series[i];
        if (series->code == like->code && strcmp(series->rule, like->rule) == 0 &&
            strcmp(series->scope, like->scope) == 0 &&
            strcmp(series->provider, like->provider) == 0) {
            return series;
        }
    }
    if (metrics->n_series == METRICS_SERIES_MAX) {
        return NULL;
    }
    metrics->series[metrics->n_series] = *like;
    return &metrics->series[metrics->n_series++];
}

void sp_metrics_call(struct sp_metrics *metrics, const struct sp_metrics_call *call)
{
    struct sp_metrics_series like = {.code = call->code};
    (void)name_set(like.provider, call->provider);
    (void)name_set(like.scope, sp_text_of(call->decision->scope));
    (void)name_set(like.rule, sp_text_of(call->decision->rule));
    struct sp_metrics_series *series = series_of(metrics, &like);
    /* The last places are the codes' own, so that each has one. */
    if (!series || (series->n == 0 && metrics->n_series > METRICS_SERIES_MAX - SP_CODE_COUNT)) {
        metrics->n_series -= series ? 1 : 0;
        like = (struct sp_metrics_series){.rule = "other", .code = call->code};
        series = series_of(metrics, &like);
    }
    if (series) {
        series->n++;
    }
    if (call->code == SP_CODE_OK && !call->streamed) {
        time_add(&metrics->upstream, upstream_bounds, call->upstream_us);
        time_add(&metrics->added, added_bounds,
                 call->total_us > call->upstream_us ? call->total_us - call->upstream_us : 0);
    }
}

/* ---- text -----------------------------------------------------------------------------------
 */

static void put_help(struct sp_buf *buf, const char *name, const char *type, const char *help)
{
    sp_buf_addf(buf, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void sp_metrics_put(struct sp_buf *buf, const char *name, const char *type, const char *help,
                    const char *labels, uint64_t value)
{
    if (help) {
        put_help(buf, name, type, help);
    }
    sp_buf_addf(buf, "%s%s%s%s %" PRIu64 "\n", name, *labels ? "{" : "", labels,
                *labels ? "}" : "", value);
}

/* Names are identifiers, which need no escape; a label of a rule may be any text. */
static void put_label(struct sp_buf *buf, const char *name, const char *value)
{
    sp_buf_addf(buf, "%s=\"", name);
    for (const char *c = value; *c; c++) {
        if (*c == '\n') {
            sp_buf_add_str(buf, "\\n");
            continue;
        }
        if (*c == '"' || *c == '\\') {
            sp_buf_add_byte(buf, '\\');
        }
        sp_buf_add_byte(buf, (uint8_t)*c);
    }
    sp_buf_add_str(buf, "\"");
}

static void put_times(struct sp_buf *buf, const char *name, const char *help,
                      const struct sp_metrics_times *times,
                      const uint64_t bounds[METRICS_BUCKETS])
{
    uint64_t below = 0;
    put_help(buf, name, "histogram", help);
    for (size_t i = 0; i < METRICS_BUCKETS; i++) {
        below += times->counts[i];
        if (bounds[i] == UINT64_MAX) {
            sp_buf_addf(buf, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, below);
        } else {
            sp_buf_addf(buf, "%s_bucket{le=\"%.6g\"} %" PRIu64 "\n", name,
                        (double)bounds[i] / 1e6, below);
        }
    }
    sp_buf_addf(buf, "%s_sum %.6f\n%s_count %" PRIu64 "\n", name, (double)times->sum_us / 1e6,
                name, times->n);
}

void sp_metrics_put_calls(struct sp_buf *buf, const struct sp_metrics *metrics)
{
    put_help(buf, "sallyport_requests_total", "counter",
             "Calls by provider, scope, rule and how they ended.");
    for (size_t i = 0; i < metrics->n_series; i++) {
        const struct sp_metrics_series *series = &metrics->series[i];
        sp_buf_add_str(buf, "sallyport_requests_total{");
        put_label(buf, "provider", series->provider);
        put_label(buf, ",scope", series->scope);
        put_label(buf, ",rule", series->rule);
        put_label(buf, ",code", sp_code_name(series->code));
        sp_buf_addf(buf, "} %" PRIu64 "\n", series->n);
    }
    put_times(buf, "sallyport_upstream_seconds", "How long upstreams took to answer.",
              &metrics->upstream, upstream_bounds);
    put_times(buf, "sallyport_added_seconds",
              "What sallyport added to that, until the answer was written.", &metrics->added,
              added_bounds);
}
