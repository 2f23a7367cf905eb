/* Ending: on record first, then upstream, until that is done or no longer needed. */
#include "leases_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ending *ending_of(struct sp_leases *leases, struct sp_lease *lease)
{
    struct ending *ending = leases->endings;
    while (ending && ending->lease != lease) {
        ending = ending->next;
    }
    if (!ending) {
        ending = calloc(1, sizeof *ending);
        if (ending) {
            ending->leases = leases;
            ending->lease = lease;
            sp_arena_init(&ending->arena, LEASES_VIEW_MAX_BYTES);
            ending->next = leases->endings;
            leases->endings = ending;
        }
    }
    return ending;
}

void ending_free(struct ending *ending)
{
    struct ending **place = &ending->leases->endings;
    while (*place != ending) {
        place = &(*place)->next;
    }
    *place = ending->next;
    sp_key_unref(ending->leases->config.engine, ending->key);
    sp_arena_done(&ending->arena);
    free(ending);
}

static void on_gone(void *user, sp_status status, const struct sp_error *err)
{
    struct ending *ending = user;
    ending->busy = false;
    if (status) { /* the store does not write: again later */
        lease_say(ending->leases, SP_LOG_ERROR, "lease.failed", ending->lease, err->text);
        ending->retry_ms = sp_wall_ms() + leases_backoff_ms(ending->n_failures++);
    } else {
        ending->leases->figures.ended++;
        ending_free(ending);
    }
}

static void forget(struct ending *ending, const char *how)
{
    lease_say(ending->leases, strcmp(how, "lost") == 0 ? SP_LOG_WARNING : SP_LOG_INFO,
              "lease.gone", ending->lease, how);
    ending->busy = true;
    sp_engine_lease_gone(ending->leases->config.engine, ending->lease, how, on_gone, ending);
}

static void on_revoked(void *user, sp_status status, uint64_t life_ms,
                       const struct sp_error *err)
{
    struct ending *ending = user;
    (void)life_ms;
    sp_key_unref(ending->leases->config.engine, ending->key);
    ending->key = NULL;
    sp_arena_reset(&ending->arena);
    struct sp_hook_context *context = ending->context;
    ending->context = NULL;
    if (!status) {
        sp_hook_context_unref(context);
        forget(ending, ending->lease->kind == SP_LEASE_ROTATION ? "ended" : "revoked");
        return;
    }
    ending->busy = false;
    ending->retry_ms = sp_wall_ms() + leases_backoff_ms(ending->n_failures++);
    ending->leases->figures.not_ended++;
    lease_say(ending->leases, SP_LOG_WARNING, "lease.not_revoked", ending->lease,
              context && *context->failure.text ? context->failure.text : err->text);
    sp_hook_context_unref(context);
}

static void end_upstream(struct ending *ending)
{
    struct sp_leases *leases = ending->leases;
    struct sp_error err = {"out of memory"};
    struct sp_key_view view;
    struct sp_provider *provider =
        leases_provider(leases, sp_text_of(ending->lease->provider), ending->lease->kind, &err);
    ending->key = provider ? sp_lease_key(leases->config.engine, ending->lease) : NULL;
    ending->busy = true;
    if (!ending->key || sp_key_view_of(&ending->arena, ending->key, &view) ||
        words_split(&ending->arena, ending->lease->words, &ending->ask) ||
        !(ending->context = hook_begin(leases, provider, ending->lease, ending->key))) {
        on_revoked(ending, SP_ENOMEM, 0, &err);
        return;
    }
    ending->ask.id = sp_text_of(ending->lease->hex);
    ending->ask.http = (struct sp_hook_http){sp_hook_perform, ending->context};
    provider->n_calls++;
    (ending->lease->kind == SP_LEASE_ROTATION ? provider->ops->finish : provider->ops->revoke)(
        provider, &view, &ending->ask, on_revoked, ending);
}

/* That it is to be ended is durable: now it may be. */
static void on_ended(void *user, sp_status status, const struct sp_error *err)
{
    struct ending *ending = user;
    (void)err;
    ending->busy = false;
    if (status) {
        ending->retry_ms = sp_wall_ms() + leases_backoff_ms(ending->n_failures++);
    } else if (!ending->leases->stopped) {
        end_upstream(ending);
    }
}

void lease_end_now(struct sp_leases *leases, struct sp_lease *lease, const char *why,
                   struct sp_text by)
{
    struct ending *ending = ending_of(leases, lease);
    if (ending && !ending->busy) {
        ending->busy = true;
        sp_engine_lease_end(leases->config.engine, lease, why, by, on_ended, ending);
    }
}

void lease_push_out(struct sp_leases *leases, struct sp_lease *lease, int64_t now)
{
    struct ending *ending = ending_of(leases, lease);
    if (!ending || ending->busy || now < ending->retry_ms) {
        return;
    }
    const struct sp_key *key = sp_engine_key(leases->config.engine, sp_text_of(lease->key));
    if (lease->expires_ms && now > lease->expires_ms) {
        forget(ending, "expired");
    } else if (!key || (lease->kind == SP_LEASE_ROTATION && !lease->held)) {
        /* Of a rotation that a crash cut: what it made upstream, if anything, nobody holds. */
        forget(ending, "lost");
    } else {
        end_upstream(ending);
    }
    sp_key_unref(leases->config.engine, key);
}
