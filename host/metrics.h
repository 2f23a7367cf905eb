/* sp_metrics: what a host counts, and how it says so (Prometheus' text format, version 0.0.4).
 *
 * Bounded: past METRICS_SERIES_MAX different sets of labels, which come from the operator's own
 * policy and keys, further ones are counted together under the rule "other". Nothing that a
 * client sends becomes a label. Loop thread only.
 */
#ifndef SP_METRICS_H
#define SP_METRICS_H

#include "engine.h"

enum { METRICS_SERIES_MAX = 512, METRICS_BUCKETS = 12 };

struct sp_metrics_series {
    char provider[SP_NAME_MAX_BYTES + 1], scope[SP_NAME_MAX_BYTES + 1];
    char rule[SP_NAME_MAX_BYTES + 1];
    enum sp_code code;
    uint64_t n;
};
struct sp_metrics_times { /* a histogram; counts[i]: at most bounds[i] */
    uint64_t counts[METRICS_BUCKETS], n, sum_us;
};
struct sp_metrics { /* zeroed: empty */
    struct sp_metrics_series series[METRICS_SERIES_MAX];
    size_t n_series;
    struct sp_metrics_times upstream, added;
};

struct sp_metrics_call {
    struct sp_text provider; /* of the key; empty where none was chosen */
    const struct sp_decision *decision;
    enum sp_code code;    /* how it ended; OK: the upstream answered */
    uint64_t upstream_us; /* OK: how long it took */
    uint64_t total_us;    /* from the front end's call to the answer */
    bool streamed;        /* then its times say nothing of us */
};
void sp_metrics_call(struct sp_metrics *metrics, const struct sp_metrics_call *call);

/* One sample of a metric; type is "counter" or "gauge"; labels is "" or `name="value"`. A
 * second sample of the same metric gives no help. */
void sp_metrics_put(struct sp_buf *buf, const char *name, const char *type, const char *help,
                    const char *labels, uint64_t value);
/* All calls. */
void sp_metrics_put_calls(struct sp_buf *buf, const struct sp_metrics *metrics);

#endif
