/* /metrics: what the host, its audit, its plugins and its leases count. The calls' own figures
 * are metrics.c's. Every label's values are the operator's: ids of providers, or a closed list.
 */
#include "host.h"

#include <stdio.h>

static void put_figures(struct sp_host *host, struct sp_buf *buf)
{
    struct sp_engine_status engine;
    struct sp_message_status status;
    struct sp_engine_figures figures;
    sp_host_status(host, &engine, &status);
    sp_engine_figures(host->engine, &figures);
    const struct {
        const char *name, *type, *help, *labels;
        uint64_t value;
    } rows[] = {
        {"sallyport_ready", "gauge", "1 where calls can be made.", "",
         engine.state == SP_ENGINE_READY && engine.writes && !host->draining},
        {"sallyport_start_time_seconds", "gauge", "When the host was started (Unix time).", "",
         (uint64_t)host->started_ms / 1000},
        {"sallyport_calls_open", "gauge", "Calls between their intent and their outcome.", "",
         engine.n_calls_open},
        {"sallyport_upstream_in_flight", "gauge", "Requests that upstreams have.", "",
         status.calls_in_flight},
        {"sallyport_keys", "gauge", "Registered keys.", "", engine.n_keys},
        {"sallyport_clients", "gauge", "Known clients.", "", engine.n_clients},
        {"sallyport_scopes", "gauge", "Scopes of the policy in force.", "", engine.n_scopes},
        {"sallyport_tokens", "gauge", "Tokens that are kept, an hour past their end.", "",
         engine.n_tokens},
        {"sallyport_tokens_live", "gauge", "Tokens that are neither revoked nor expired.", "",
         figures.n_tokens_live},
        {"sallyport_policy_refused", "gauge", "1 where the last reload was refused.", "",
         host->policy_error[0] != '\0'},
        {"sallyport_audit_records_total", "counter", "Records of the audit.", "",
         engine.audit_seq},
        {"sallyport_audit_queue", "gauge", "Jobs that wait for the thread that writes.", "",
         figures.n_jobs_waiting},
        {"sallyport_audit_up", "gauge", "1 where the audit and the store take writes.", "",
         engine.writes},
        {"sallyport_handshakes_total", "counter", "Connections over ZeroMQ.",
         "verdict=\"allowed\"", status.handshakes_allowed},
        {"sallyport_handshakes_total", "counter", NULL, "verdict=\"refused\"",
         status.handshakes_refused},
        {"sallyport_messages_refused_total", "counter",
         "Messages and requests that could not be read, or not be taken.", "",
         host->messages_refused},
        {"sallyport_http_connections", "gauge", "Connections over HTTP.", "",
         status.http_connections},
        {"sallyport_http_held_bytes", "gauge", "Requests and answers that are held over HTTP.",
         "", host->http_front ? sp_http_front_held(host->http_front) : 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sp_metrics_put(buf, rows[i].name, rows[i].type, rows[i].help, rows[i].labels,
                       rows[i].value);
    }
    sp_metrics_put_times(buf, "sallyport_audit_fsync_seconds",
                         "How long it took to make records of the audit durable.", "",
                         &figures.syncs, figures.sync_bounds);
    sp_metrics_put_ms(buf, "sallyport_audit_lag_seconds",
                      "The age of the oldest record that is not durable yet.",
                      figures.audit_lag_ms);
}

/* Ids of providers are letters, digits and dashes (plugin_check.h). */
static void put_each(const struct sp_host *host, struct sp_buf *buf, const char *name,
                     const char *type, const char *help, bool isolated,
                     uint64_t (*value_of)(const struct sp_provider *provider))
{
    for (size_t i = 0; i < sp_providers_n(host->providers); i++) {
        const struct sp_provider *provider = sp_providers_at(host->providers, i);
        char label[SP_NAME_MAX_BYTES + sizeof "provider=\"\""];
        if (!isolated || provider->isolated) {
            (void)snprintf(label, sizeof label, "provider=\"%s\"", provider->manifest->id.ptr);
            sp_metrics_put(buf, name, type, help, label, value_of(provider));
            help = NULL;
        }
    }
}

static uint64_t calls_of(const struct sp_provider *provider)
{
    return provider->n_calls;
}

static uint64_t runs_of(const struct sp_provider *provider)
{
    return provider->runs;
}

static uint64_t restarts_of(const struct sp_provider *provider)
{
    return provider->n_starts - 1;
}

static uint64_t failures_of(const struct sp_provider *provider)
{
    return provider->n_failures;
}

static uint64_t waiting_of(const struct sp_provider *provider)
{
    return provider->n_waiting;
}

static void put_providers(const struct sp_host *host, struct sp_buf *buf)
{
    /* A call needs no question: the plan of a key's version is kept. So this stands still. */
    put_each(host, buf, "sallyport_plugin_calls_total", "counter",
             "Questions that plugins were asked.", false, calls_of);
    put_each(host, buf, "sallyport_worker_up", "gauge",
             "1 where the plugin's process runs; one that ended is started when it is needed.",
             true, runs_of);
    put_each(host, buf, "sallyport_worker_restarts_total", "counter",
             "Processes of the plugin after its first.", true, restarts_of);
    put_each(host, buf, "sallyport_worker_failures_total", "counter",
             "Processes of the plugin that crashed, hung or were not to be trusted any more.",
             true, failures_of);
    put_each(host, buf, "sallyport_worker_queue", "gauge",
             "Questions that the plugin has not answered yet.", true, waiting_of);
}

static void count_live(void *user, struct sp_lease *lease)
{
    uint64_t *n = user;
    *n += lease->state == SP_LEASE_LIVE;
}

static void put_leases(const struct sp_host *host, struct sp_buf *buf)
{
    struct sp_leases_figures figures;
    uint64_t n_live = 0;
    sp_leases_figures(host->leases, &figures);
    sp_engine_each_lease(host->engine, count_live, &n_live);
    sp_metrics_put(buf, "sallyport_leases_live", "gauge", "Minted credentials that are good.",
                   "", n_live);
    const struct {
        const char *labels;
        uint64_t value;
    } rows[] = {{"event=\"minted\"", figures.minted},
                {"event=\"renewed\"", figures.renewed},
                {"event=\"not_minted\"", figures.not_minted},
                {"event=\"ended\"", figures.ended},
                {"event=\"not_ended\"", figures.not_ended}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sp_metrics_put(buf, "sallyport_lease_events_total", "counter",
                       i ? NULL
                         : "What became of minting, renewing and ending; not_: it failed.",
                       rows[i].labels, rows[i].value);
    }
}

void sp_ops_metrics(struct sp_host *host, struct sp_buf *buf)
{
    put_figures(host, buf);
    put_providers(host, buf);
    put_leases(host, buf);
    sp_metrics_put_calls(buf, &host->metrics);
}
