#include "metrics.h"

#include <inttypes.h>
#include <stdio.h>

/* In microseconds; the last bucket is the rest. */
static const uint64_t upstream_bounds[SP_TIMES_BUCKETS] = {
    5000,   10000,   25000,   50000,   100000,   250000,
    500000, 1000000, 2500000, 5000000, 10000000, UINT64_MAX};
static const uint64_t added_bounds[SP_TIMES_BUCKETS] = {
    50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 100000, 1000000, UINT64_MAX};

enum sp_metrics_verdict sp_metrics_verdict_of(enum sp_code code)
{
    switch ((int)code) { /* what is not here was denied */
    case SP_CODE_OK:
        return METRICS_ALLOWED;
    case SP_CODE_SEALED:
    case SP_CODE_BUSY:
    case SP_CODE_SHUTTING_DOWN:
    case SP_CODE_CLOCK:
    case SP_CODE_OUTCOME_UNKNOWN:
    case SP_CODE_ANSWER_DROPPED:
    case SP_CODE_AUDIT_UNAVAILABLE:
    case SP_CODE_UPSTREAM_UNREACHABLE:
    case SP_CODE_UPSTREAM_FAILED:
    case SP_CODE_UPSTREAM_TIMEOUT:
    case SP_CODE_UPSTREAM_BLOCKED:
    case SP_CODE_RESPONSE_TOO_LARGE:
    case SP_CODE_RESPONSE_BLOCKED:
    case SP_CODE_INTERNAL:
        return METRICS_FAILED;
    default:
        return METRICS_DENIED;
    }
}

const char *sp_metrics_verdict_name(enum sp_metrics_verdict verdict)
{
    static const char *const names[METRICS_VERDICTS] = {"allowed", "denied", "failed"};
    return names[verdict];
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

static struct sp_metrics_provider *provider_of(struct sp_metrics *metrics, struct sp_text name)
{
    for (size_t i = 0; i < metrics->n_providers; i++) {
        if (sp_text_is(name, metrics->providers[i].name)) {
            return &metrics->providers[i];
        }
    }
    bool last = metrics->n_providers >= METRICS_PROVIDERS_MAX - 1;
    struct sp_metrics_provider *provider =
        &metrics->providers[last ? METRICS_PROVIDERS_MAX - 1 : metrics->n_providers];
    metrics->n_providers += metrics->n_providers < METRICS_PROVIDERS_MAX;
    (void)name_set(provider->name, last ? SP_TEXT("other") : name);
    return provider;
}

static void add_times(struct sp_metrics *metrics, const struct sp_metrics_call *call)
{
    enum sp_metrics_verdict verdict = sp_metrics_verdict_of(call->code);
    if (verdict == METRICS_FAILED || call->total_us == 0) {
        return;
    }
    struct sp_metrics_provider *provider = provider_of(metrics, call->provider);
    uint64_t upstream_us = verdict == METRICS_ALLOWED ? call->upstream_us : 0;
    if (verdict == METRICS_ALLOWED) {
        sp_times_add(&provider->upstream, upstream_bounds, upstream_us);
    }
    sp_times_add(&provider->added[verdict], added_bounds,
                 call->total_us > upstream_us ? call->total_us - upstream_us : 0);
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
    add_times(metrics, call);
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

void sp_metrics_put_ms(struct sp_buf *buf, const char *name, const char *help, uint64_t ms)
{
    put_help(buf, name, "gauge", help);
    sp_buf_addf(buf, "%s %.3f\n", name, (double)ms / 1000);
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

void sp_metrics_put_times(struct sp_buf *buf, const char *name, const char *help,
                          const char *labels, const struct sp_times *times,
                          const uint64_t bounds[SP_TIMES_BUCKETS])
{
    uint64_t below = 0;
    const char *comma = *labels ? "," : "", *open = *labels ? "{" : "";
    const char *close = *labels ? "}" : "";
    if (help) {
        put_help(buf, name, "histogram", help);
    }
    for (size_t i = 0; i < SP_TIMES_BUCKETS; i++) {
        below += times->counts[i];
        if (bounds[i] == UINT64_MAX) {
            sp_buf_addf(buf, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, comma,
                        below);
        } else {
            sp_buf_addf(buf, "%s_bucket{%s%sle=\"%.6g\"} %" PRIu64 "\n", name, labels, comma,
                        (double)bounds[i] / 1e6, below);
        }
    }
    sp_buf_addf(buf, "%s_sum%s%s%s %.6f\n%s_count%s%s%s %" PRIu64 "\n", name, open, labels,
                close, (double)times->sum_us / 1e6, name, open, labels, close, times->n);
}

static void put_series(struct sp_buf *buf, const struct sp_metrics *metrics)
{
    put_help(buf, "sallyport_requests_total", "counter",
             "Calls by provider, scope, rule and how they ended.");
    for (size_t i = 0; i < metrics->n_series; i++) {
        const struct sp_metrics_series *series = &metrics->series[i];
        sp_buf_add_str(buf, "sallyport_requests_total{");
        put_label(buf, "provider", series->provider);
        put_label(buf, ",scope", series->scope);
        put_label(buf, ",rule", series->rule);
        put_label(buf, ",verdict",
                  sp_metrics_verdict_name(sp_metrics_verdict_of(series->code)));
        put_label(buf, ",code", sp_code_name(series->code));
        sp_buf_addf(buf, "} %" PRIu64 "\n", series->n);
    }
}

/* Names of providers are ids, which need no escape. */
void sp_metrics_put_calls(struct sp_buf *buf, const struct sp_metrics *metrics)
{
    char labels[SP_NAME_MAX_BYTES + 64];
    const char *help = "How long upstreams took to answer.";
    put_series(buf, metrics);
    for (size_t i = 0; i < metrics->n_providers; i++) {
        const struct sp_metrics_provider *provider = &metrics->providers[i];
        if (provider->upstream.n > 0) {
            (void)snprintf(labels, sizeof labels, "provider=\"%s\"", provider->name);
            sp_metrics_put_times(buf, "sallyport_upstream_seconds", help, labels,
                                 &provider->upstream, upstream_bounds);
            help = NULL;
        }
    }
    help = "What sallyport added to that, until the answer was written; of a denied call, all.";
    for (size_t i = 0; i < metrics->n_providers * METRICS_FAILED; i++) {
        const struct sp_metrics_provider *provider = &metrics->providers[i / METRICS_FAILED];
        enum sp_metrics_verdict verdict = (enum sp_metrics_verdict)(i % METRICS_FAILED);
        if (provider->added[verdict].n > 0) {
            (void)snprintf(labels, sizeof labels, "provider=\"%s\",verdict=\"%s\"",
                           provider->name, sp_metrics_verdict_name(verdict));
            sp_metrics_put_times(buf, "sallyport_added_seconds", help, labels,
                                 &provider->added[verdict], added_bounds);
            help = NULL;
        }
    }
}
