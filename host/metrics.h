/* sp_metrics: what a host counts, and how it says so (Prometheus' text format, version 0.0.4).
 *
 * Bounded: past METRICS_SERIES_MAX different sets of labels, which come from the operator's own
 * policy and keys, further ones are counted together under the rule "other"; past
 * METRICS_PROVIDERS_MAX providers, times under the provider "other". Nothing that a client
 * sends becomes a label. Loop thread only.
 */
#ifndef SP_METRICS_H
#define SP_METRICS_H

#include "engine.h"

enum { METRICS_SERIES_MAX = 512, METRICS_PROVIDERS_MAX = 32 };

/* What becomes of a call, in three words: the code says it in full. */
enum sp_metrics_verdict {
    METRICS_ALLOWED, /* the upstream answered */
    METRICS_DENIED,  /* by token, scope, rate or budget, or for what was asked */
    METRICS_FAILED,  /* for a fault of the upstream, or of the host */
    METRICS_VERDICTS,
};
enum sp_metrics_verdict sp_metrics_verdict_of(enum sp_code code);
const char *sp_metrics_verdict_name(enum sp_metrics_verdict verdict);

struct sp_metrics_series {
    char provider[SP_NAME_MAX_BYTES + 1], scope[SP_NAME_MAX_BYTES + 1];
    char rule[SP_NAME_MAX_BYTES + 1];
    enum sp_code code;
    uint64_t n;
};
struct sp_metrics_provider {
    char name[SP_NAME_MAX_BYTES + 1]; /* empty: of calls for which no key was chosen */
    struct sp_times upstream;
    struct sp_times added[METRICS_FAILED]; /* by verdict; one that failed says nothing */
};
struct sp_metrics { /* zeroed: empty */
    struct sp_metrics_series series[METRICS_SERIES_MAX];
    size_t n_series;
    struct sp_metrics_provider providers[METRICS_PROVIDERS_MAX]; /* the last: "other" */
    size_t n_providers;
};

struct sp_metrics_call {
    struct sp_text provider; /* of the key; empty where none was chosen */
    const struct sp_decision *decision;
    enum sp_code code;    /* how it ended; OK: the upstream answered */
    uint64_t upstream_us; /* OK: how long it took, up to the head where it streamed */
    uint64_t total_us;    /* from the front end's call to the answer; 0: not known */
};
void sp_metrics_call(struct sp_metrics *metrics, const struct sp_metrics_call *call);

/* One sample of a metric; type is "counter" or "gauge"; labels is "" or `name="value"`. A
 * second sample of the same metric gives no help. */
void sp_metrics_put(struct sp_buf *buf, const char *name, const char *type, const char *help,
                    const char *labels, uint64_t value);
/* A gauge in seconds, of milliseconds. */
void sp_metrics_put_ms(struct sp_buf *buf, const char *name, const char *help, uint64_t ms);
/* A histogram; labels as above, help NULL but for the first of a metric. */
void sp_metrics_put_times(struct sp_buf *buf, const char *name, const char *help,
                          const char *labels, const struct sp_times *times,
                          const uint64_t bounds[SP_TIMES_BUCKETS]);
/* All calls. */
void sp_metrics_put_calls(struct sp_buf *buf, const struct sp_metrics *metrics);

#endif
