#include "leases_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct sp_error leases_stopping = {"the host is stopping"};
const struct sp_error leases_no_memory = {"out of memory"};

int64_t leases_backoff_ms(unsigned n_failures)
{
    int64_t ms = (int64_t)SP_LEASES_RETRY_MS << (n_failures < 16 ? n_failures : 16);
    return ms < SP_LEASES_RETRY_MAX_MS ? ms : SP_LEASES_RETRY_MAX_MS;
}

bool lease_is_fresh(const struct sp_lease *lease, int64_t now_ms)
{
    int64_t life = lease->expires_ms - lease->made_ms;
    int64_t margin = life / 10 < LEASES_MARGIN_MAX_MS ? life / 10 : LEASES_MARGIN_MAX_MS;
    return lease->expires_ms == 0 || now_ms < lease->expires_ms - margin;
}

bool lease_is_due(const struct sp_lease *lease, int64_t now_ms)
{
    int64_t life = lease->expires_ms - lease->made_ms;
    return lease->expires_ms != 0 && now_ms >= lease->expires_ms - life / 5 &&
           lease->used_ms >= lease->made_ms + life / 2;
}

void lease_say(const struct sp_leases *leases, enum sp_log_level level, const char *event,
               const struct sp_lease *lease, const char *reason)
{
    SP_LOG(leases->config.log, level, event, {"lease", sp_text_of(lease->hex)},
           {"key", sp_text_of(lease->key)}, {"reason", sp_text_of(reason)});
}

struct sp_provider *leases_provider(const struct sp_leases *leases, struct sp_text id,
                                    enum sp_lease_kind kind, struct sp_error *err)
{
    struct sp_provider *provider = sp_providers_find(leases->config.providers, id);
    bool rotates = kind == SP_LEASE_ROTATION;
    if (!provider || !(rotates ? provider->manifest->rotates : provider->manifest->leases)) {
        (void)sp_fail(err, SP_ENOENT, "the plugin of this key's provider is not loaded, or %s",
                      rotates ? "does not replace keys upstream" : "mints nothing");
        return NULL;
    }
    return provider;
}

sp_status words_join(const struct sp_text *words, size_t n, struct sp_text *ret_joined)
{
    size_t len = 0, at = 0;
    for (size_t i = 0; i < n; i++) {
        len += words[i].len + 1;
    }
    char *text = malloc(len + 1);
    if (!text) {
        return SP_ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        if (i) {
            text[at++] = ' ';
        }
        memcpy(text + at, words[i].ptr, words[i].len);
        at += words[i].len;
    }
    text[at] = '\0';
    *ret_joined = (struct sp_text){text, at};
    return SP_OK;
}

sp_status words_split(struct sp_arena *arena, struct sp_text text, struct sp_lease_ask *ask)
{
    size_t n = 0, at = 0;
    struct sp_text *words = sp_arena_array(arena, text.len / 2 + 1, sizeof *words);
    if (!words) {
        return SP_ENOMEM;
    }
    while (at < text.len) {
        const char *blank = memchr(text.ptr + at, ' ', text.len - at);
        size_t end = blank ? (size_t)(blank - text.ptr) : text.len;
        words[n++] = (struct sp_text){text.ptr + at, end - at};
        at = end + 1;
    }
    ask->words = words;
    ask->n_words = n;
    return SP_OK;
}

struct sp_hook_context *hook_begin(struct sp_leases *leases, const struct sp_provider *provider,
                                   struct sp_lease *lease, const struct sp_key *key)
{
    const struct sp_hook_context like = {.engine = leases->config.engine,
                                         .egress = leases->config.egress,
                                         .log = leases->config.log,
                                         .stopped = &leases->stopped,
                                         .manifest = provider->manifest,
                                         .lease = lease,
                                         .key = key};
    return sp_hook_context_new(&like);
}

/* ---- what is due ----------------------------------------------------------------------------
 */

static void look_live(struct sp_leases *leases, struct sp_lease *lease, int64_t now)
{
    struct sp_engine *engine = leases->config.engine;
    const struct sp_key *key = sp_engine_key(engine, sp_text_of(lease->key));
    const char *why = NULL;
    if (lease->expires_ms && now > lease->expires_ms) {
        why = "expired";
    } else if (!key || key->since != lease->key_version) {
        why = lease->n_calls ? NULL : "the key was changed";
    } else if (sp_engine_lease_find(engine, key, lease->words) != lease) {
        why = lease->n_calls ? NULL : "renewed";
    } else if (!sp_lease_is_wanted(engine, lease)) {
        why = "no token uses it";
    } else if (lease_is_due(lease, now)) {
        struct mint *mint = mint_find(leases, key, lease->words);
        mint = mint ? mint : mint_new(leases, key, lease->words);
        if (mint && !mint->going && now >= mint->rest_until_ms) {
            mint->renews = true;
            mint_go(mint, key);
        }
    }
    sp_key_unref(engine, key);
    if (why) {
        lease_end_now(leases, lease, why, SP_TEXT(""));
    }
}

static void look(void *user, struct sp_lease *lease)
{
    struct sp_leases *leases = user;
    int64_t now = sp_wall_ms();
    if (lease->kind == SP_LEASE_ROTATION && lease->state == SP_LEASE_LIVE) {
        rotation_look(leases, lease, now);
    } else if (lease->state == SP_LEASE_LIVE) {
        look_live(leases, lease, now);
    } else if (lease->state == SP_LEASE_ENDING) {
        lease_push_out(leases, lease, now);
    }
}

/* Mintings that failed, and that nobody asks for any more. */
static void forget_mints(struct sp_leases *leases, int64_t now)
{
    for (struct mint *mint = leases->mints, *next; mint; mint = next) {
        next = mint->next;
        if (!mint->going && now > mint->rest_until_ms + SP_LEASES_RETRY_MAX_MS) {
            mint_unlist(mint);
            mint_free(mint);
        }
    }
}

struct counting {
    const char *key;
    size_t n;
};

static void count_of_key(void *user, struct sp_lease *lease)
{
    struct counting *counting = user;
    counting->n += strcmp(lease->key, counting->key) == 0;
}

static void look_removals(struct sp_leases *leases, int64_t now)
{
    for (struct removal **place = &leases->removals; *place;) {
        struct removal *removal = *place;
        struct counting left = {removal->key, 0};
        sp_engine_each_lease(leases->config.engine, count_of_key, &left);
        if (left.n > 0 && now < removal->until_ms && !leases->stopped) {
            place = &removal->next;
            continue;
        }
        *place = removal->next;
        removal->done(removal->user);
        free(removal);
    }
}

void sp_leases_tick(struct sp_leases *leases)
{
    if (!leases || leases->stopped ||
        sp_engine_state(leases->config.engine) != SP_ENGINE_READY) {
        return;
    }
    sp_engine_each_lease(leases->config.engine, look, leases);
    forget_mints(leases, sp_wall_ms());
    look_removals(leases, sp_wall_ms());
}

struct choice {
    struct sp_leases *leases;
    const uint8_t *id;
    struct sp_text key, by;
    const char *why;
    size_t n;
};

static void end_chosen(void *user, struct sp_lease *lease)
{
    struct choice *choice = user;
    bool chosen = choice->id ? memcmp(choice->id, lease->id, sizeof lease->id) == 0
                             : choice->key.len == 0 || sp_text_is(choice->key, lease->key);
    if (chosen && lease->state != SP_LEASE_MINTING) {
        choice->n++;
        if (lease->state == SP_LEASE_LIVE) {
            lease_end_now(choice->leases, lease, choice->why, choice->by);
        } else { /* now, and not when its back-off is over */
            struct ending *ending = ending_of(choice->leases, lease);
            if (ending) {
                ending->retry_ms = 0;
            }
        }
    }
}

size_t sp_leases_end(struct sp_leases *leases, const uint8_t id[SP_LEASE_ID_BYTES],
                     struct sp_text key, struct sp_text by)
{
    struct choice choice = {leases, id, key, by, "an administrator", 0};
    sp_engine_each_lease(leases->config.engine, end_chosen, &choice);
    return choice.n;
}

void sp_leases_end_key(struct sp_leases *leases, struct sp_text key, struct sp_text by,
                       void (*done)(void *user), void *user)
{
    struct choice choice = {leases, NULL, key, by, "the key is removed", 0};
    struct removal *removal = calloc(1, sizeof *removal);
    sp_engine_each_lease(leases->config.engine, end_chosen, &choice);
    if (choice.n == 0 || !removal) {
        free(removal);
        done(user);
        return;
    }
    (void)snprintf(removal->key, sizeof removal->key, "%.*s", (int)key.len, key.ptr);
    removal->until_ms = sp_wall_ms() + SP_LEASES_REMOVE_MS;
    removal->done = done;
    removal->user = user;
    removal->next = leases->removals;
    leases->removals = removal;
}

/* ---- life -----------------------------------------------------------------------------------
 */

sp_status sp_leases_new(const struct sp_leases_config *config, struct sp_leases **ret_leases,
                        struct sp_error *err)
{
    struct sp_leases *leases = calloc(1, sizeof *leases);
    if (!leases) {
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    leases->config = *config;
    *ret_leases = leases;
    return SP_OK;
}

void sp_leases_figures(const struct sp_leases *leases, struct sp_leases_figures *ret_figures)
{
    *ret_figures = leases ? leases->figures : (struct sp_leases_figures){.minted = 0};
}

void sp_leases_stop(struct sp_leases *leases)
{
    if (leases) {
        leases->stopped = true;
        for (struct mint *mint = leases->mints, *next; mint; mint = next) {
            next = mint->next;
            if (!mint->going) {
                mint_unlist(mint);
                mint_free(mint);
            }
        }
        rotations_stop(leases);
        look_removals(leases, sp_wall_ms());
    }
}

void sp_leases_free(struct sp_leases *leases)
{
    if (!leases) {
        return;
    }
    while (leases->endings) {
        ending_free(leases->endings);
    }
    free(leases);
}
