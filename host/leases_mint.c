/* Minting: one at a time for a key version and a set of permissions, whoever waits for it. */
#include "leases_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mint_free(struct mint *mint)
{
    sp_hook_context_unref(mint->context);
    sp_key_unref(mint->leases->config.engine, mint->key);
    sp_arena_done(&mint->arena);
    free((void *)(uintptr_t)mint->words.ptr);
    free(mint);
}

void mint_unlist(struct mint *mint)
{
    struct mint **place = &mint->leases->mints;
    while (*place != mint) {
        place = &(*place)->next;
    }
    *place = mint->next;
}

/* The minting with that key which goes, or the first that waits for it. */
static struct mint *mint_of_key(const struct sp_leases *leases, const char *key_id, bool queued)
{
    struct mint *found = NULL;
    for (struct mint *mint = leases->mints; mint; mint = mint->next) {
        if (mint->going && mint->queued == queued && strcmp(mint->key_id, key_id) == 0) {
            found = mint; /* the list begins with the last */
        }
    }
    return found;
}

static void mint_start(struct mint *mint);

/* Everybody who waited goes on: to take what was minted, or to say why there is nothing. */
static void mint_over(struct mint *mint, const struct sp_error *failure)
{
    struct taking *waiting = mint->waiting;
    mint->waiting = NULL;
    mint->going = false;
    sp_key_unref(mint->leases->config.engine, mint->key);
    mint->key = NULL;
    if (failure) {
        mint->failure = *failure;
        mint->rest_until_ms = sp_wall_ms() + leases_backoff_ms(mint->n_failures++);
        sp_arena_reset(&mint->arena);
        sp_hook_context_unref(mint->context);
        mint->context = NULL;
    } else {
        mint_unlist(mint);
    }
    struct sp_lease *lease = mint->lease;
    mint->lease = NULL;
    while (waiting) {
        struct taking *t = waiting;
        waiting = t->next;
        if (failure) {
            taking_end(t, NULL, failure);
        } else if (!t->ticket) { /* its own: nobody else is to have it */
            taking_end(t, lease, NULL);
        } else {
            taking_step(t);
        }
    }
    struct mint *next = mint_of_key(mint->leases, mint->key_id, false)
                            ? NULL
                            : mint_of_key(mint->leases, mint->key_id, true);
    if (!failure) {
        mint_free(mint);
    } else if (mint->leases->stopped) {
        mint_unlist(mint);
        mint_free(mint);
    }
    if (next) {
        mint_start(next);
    }
}

static void mint_failed(struct mint *mint, const struct sp_error *err)
{
    struct sp_error failure = err ? *err : leases_no_memory;
    if (mint->context && *mint->context->failure.text) {
        failure = mint->context->failure;
    }
    mint->leases->figures.not_minted++;
    if (mint->lease) {
        lease_say(mint->leases, SP_LOG_WARNING, "lease.failed", mint->lease, failure.text);
        /* The upstream may have acted: what can be ended is ended. */
        sp_engine_lease_end(mint->leases->config.engine, mint->lease, "not minted", SP_TEXT(""),
                            NULL, NULL);
    }
    mint_over(mint, &failure);
}

static void on_live(void *user, sp_status status, const struct sp_error *err)
{
    struct mint *mint = user;
    if (status || mint->lease->state != SP_LEASE_LIVE) {
        struct sp_error sealed = {"the host was sealed"};
        mint_failed(mint, status ? err : &sealed);
        return;
    }
    struct sp_leases_figures *figures = &mint->leases->figures;
    *(mint->renews ? &figures->renewed : &figures->minted) += 1;
    lease_say(mint->leases, SP_LOG_INFO, "lease.live", mint->lease, "");
    mint_over(mint, NULL);
}

static void on_idle(void *user)
{
    struct mint *mint = user;
    struct sp_error failure = mint->failure;
    mint_failed(mint, &failure);
}

static void on_renewed(void *user, sp_status status, uint64_t life_ms,
                       const struct sp_error *err)
{
    enum { LIFE_MAX_MS = INT32_MAX };
    struct mint *mint = user;
    struct sp_error nothing = {"the plugin captured no credential"};
    if (status || mint->context->n_captured == 0) {
        mint->failure = status ? *err : nothing;
        /* A worker may have died over a request that goes on. What that brings, another secret
         * of the key perhaps, comes first. */
        if (mint->context) {
            sp_hook_context_wait(mint->context, on_idle, mint);
        } else {
            on_idle(mint);
        }
        return;
    }
    size_t n = mint->context->n_captured;
    mint->context->n_captured = 0; /* the engine takes them over */
    sp_engine_lease_live(mint->leases->config.engine, mint->lease, mint->context->captured, n,
                         life_ms < LIFE_MAX_MS ? life_ms : LIFE_MAX_MS, on_live, mint);
}

static void on_begun(void *user, sp_status status, struct sp_lease *lease,
                     const struct sp_error *err)
{
    struct mint *mint = user;
    struct sp_error why = {"out of memory"};
    struct sp_key_view view;
    mint->lease = status ? NULL : lease;
    struct sp_provider *provider =
        status ? NULL
               : leases_provider(mint->leases, mint->key->provider, SP_LEASE_CREDENTIAL, &why);
    if (!provider || mint->leases->stopped || sp_key_view_of(&mint->arena, mint->key, &view) ||
        words_split(&mint->arena, mint->words, &mint->ask) ||
        !(mint->context = hook_begin(mint->leases, provider, lease, mint->key))) {
        mint_failed(mint, status ? err : &why);
        return;
    }
    mint->ask.id = sp_text_of(lease->hex);
    mint->ask.http = (struct sp_hook_http){sp_hook_perform, mint->context};
    provider->n_calls++;
    provider->ops->renew(provider, &view, &mint->ask, on_renewed, mint);
}

struct mint *mint_new(struct sp_leases *leases, const struct sp_key *key, struct sp_text words)
{
    struct mint *mint = calloc(1, sizeof *mint);
    if (!mint || words_join(&words, 1, &mint->words)) {
        free(mint);
        return NULL;
    }
    mint->leases = leases;
    (void)snprintf(mint->key_id, sizeof mint->key_id, "%.*s", (int)key->id.len, key->id.ptr);
    mint->key_version = key->since;
    sp_arena_init(&mint->arena, LEASES_VIEW_MAX_BYTES);
    mint->next = leases->mints;
    leases->mints = mint;
    return mint;
}

/* The minting for that key version and those words that anybody may join; NULL: none yet. */
struct mint *mint_find(const struct sp_leases *leases, const struct sp_key *key,
                       struct sp_text words)
{
    for (struct mint *mint = leases->mints; mint; mint = mint->next) {
        if (mint->key_version == key->since && sp_text_is(key->id, mint->key_id) &&
            sp_text_eq(mint->words, words)) {
            return mint;
        }
    }
    return NULL;
}

/* With the key as it is now, where only its upstream changed it meanwhile. */
static void mint_start(struct mint *mint)
{
    struct sp_engine *engine = mint->leases->config.engine;
    const struct sp_key *now = sp_engine_key(engine, sp_text_of(mint->key_id));
    mint->queued = false;
    if (now && now->since == mint->key->since) {
        sp_key_unref(engine, mint->key);
        mint->key = now;
    } else {
        sp_key_unref(engine, now);
    }
    if (mint->leases->stopped) {
        mint_failed(mint, &leases_stopping);
        return;
    }
    sp_engine_lease_begin(engine, mint->key, SP_LEASE_CREDENTIAL, mint->words, SP_TEXT(""),
                          on_begun, mint);
}

/* One minting at a time for a key: it may replace a secret of the key, and the next one must
 * not send the old again. */
void mint_go(struct mint *mint, const struct sp_key *key)
{
    bool another = mint_of_key(mint->leases, mint->key_id, false) != NULL;
    mint->going = true;
    mint->key = key;
    sp_key_ref(key);
    mint->queued = another;
    if (!another) {
        mint_start(mint);
    }
}

void mint_join(struct taking *t, struct sp_text words)
{
    struct mint *mint = t->ticket ? mint_find(t->leases, t->key, words) : NULL;
    if (!mint) {
        mint = mint_new(t->leases, t->key, words);
    }
    if (!mint) {
        taking_end(t, NULL, &leases_no_memory);
        return;
    }
    if (!mint->going && sp_wall_ms() < mint->rest_until_ms) {
        struct sp_error failure = mint->failure;
        taking_end(t, NULL, &failure);
        return;
    }
    t->next = mint->waiting;
    mint->waiting = t;
    if (!mint->going) {
        mint_go(mint, t->key);
    }
}
