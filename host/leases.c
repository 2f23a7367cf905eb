#include "leases.h"

#include "hook_perform.h"
#include "plugin_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    TRIES_MAX = 4, /* of one call, to find a lease that lives until it is taken */
    VIEW_MAX_BYTES = 2 << 20,
    MARGIN_MAX_MS = 60000, /* a credential is not used in the last minute of its life */
};

static const struct sp_error stopping = {"the host is stopping"};
static const struct sp_error no_memory = {"out of memory"};

/* One call that waits for a lease. */
struct taking {
    struct sp_leases *leases;
    struct sp_ticket *ticket; /* NULL: an administrator's */
    const struct sp_key *key; /* the caller's reference */
    const struct sp_scope *scope;
    struct sp_text words;   /* of one without a ticket; its own */
    struct sp_lease *lease; /* that it is about to use */
    unsigned n_tries;
    sp_leased_fn leased;
    void *user;
    struct taking *next;
};

/* A minting for one key version and set of permissions; after a failure it rests. */
struct mint {
    struct sp_leases *leases;
    char key_id[SP_NAME_MAX_BYTES + 1];
    uint32_t key_version;
    const struct sp_key *key; /* while it goes: one that rests holds no secrets */
    struct sp_text words;     /* its own */
    struct sp_arena arena;    /* the key's view, and the words one by one */
    struct sp_lease *lease;
    struct sp_hook_context context;
    struct sp_lease_ask ask;
    struct taking *waiting;
    bool going;
    unsigned n_failures;
    int64_t rest_until_ms;
    struct sp_error failure;
    struct mint *next;
};

/* One lease on its way out. */
struct ending {
    struct sp_leases *leases;
    struct sp_lease *lease;   /* NULL: it is gone */
    const struct sp_key *key; /* while the hook runs */
    struct sp_arena arena;
    struct sp_hook_context context;
    struct sp_lease_ask ask;
    bool busy;
    unsigned n_failures;
    int64_t retry_ms;
    struct ending *next;
};

struct removal {
    char key[SP_NAME_MAX_BYTES + 1];
    int64_t until_ms;
    void (*done)(void *user);
    void *user;
    struct removal *next;
};

struct sp_leases {
    struct sp_leases_config config;
    struct mint *mints;
    struct ending *endings;
    struct removal *removals;
    bool stopped;
};

static int64_t wall_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t backoff_ms(unsigned n_failures)
{
    int64_t ms = (int64_t)SP_LEASES_RETRY_MS << (n_failures < 16 ? n_failures : 16);
    return ms < SP_LEASES_RETRY_MAX_MS ? ms : SP_LEASES_RETRY_MAX_MS;
}

/* Whether a call may still begin with it. */
static bool is_fresh(const struct sp_lease *lease, int64_t now_ms)
{
    int64_t life = lease->expires_ms - lease->made_ms;
    int64_t margin = life / 10 < MARGIN_MAX_MS ? life / 10 : MARGIN_MAX_MS;
    return lease->expires_ms == 0 || now_ms < lease->expires_ms - margin;
}

static bool is_due(const struct sp_lease *lease, int64_t now_ms)
{
    int64_t life = lease->expires_ms - lease->made_ms;
    return lease->expires_ms != 0 && now_ms >= lease->expires_ms - life / 5 &&
           lease->used_ms >= lease->made_ms + life / 2;
}

static void say(const struct sp_leases *leases, enum sp_log_level level, const char *event,
                const struct sp_lease *lease, const char *reason)
{
    SP_LOG(leases->config.log, level, event, {"lease", sp_text_of(lease->hex)},
           {"key", sp_text_of(lease->key)}, {"reason", sp_text_of(reason)});
}

/* ---- calls ----------------------------------------------------------------------------------
 */

static void step(struct taking *t);

static void taking_end(struct taking *t, struct sp_lease *lease, const struct sp_error *err)
{
    struct sp_engine *engine = t->leases->config.engine;
    const struct sp_key *key = lease ? sp_lease_key(engine, lease) : NULL;
    if (key) {
        sp_lease_hold(engine, lease);
        t->leased(t->user, key, lease, NULL);
    } else {
        t->leased(t->user, NULL, NULL, err ? err : &no_memory);
    }
    free((void *)(uintptr_t)t->words.ptr);
    free(t);
}

static void on_used(void *user, sp_status status, const struct sp_error *err)
{
    struct taking *t = user;
    struct sp_lease *lease = t->lease;
    if (status == SP_ENOENT || (!status && lease->state != SP_LEASE_LIVE)) {
        step(t); /* it was ended meanwhile */
    } else {
        taking_end(t, status ? NULL : lease, err);
    }
}

/* "repository:a/b issues:write" out of the words. */
static sp_status join(const struct sp_text *words, size_t n, struct sp_text *ret_joined)
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

static void on_permitted(void *user, sp_status status, const struct sp_text *words,
                         size_t n_words, const struct sp_error *err)
{
    struct taking *t = user;
    struct sp_text joined;
    if (status || join(words, n_words, &joined)) {
        taking_end(t, NULL, status ? err : &no_memory);
        return;
    }
    if (!t->ticket) {
        t->words = joined;
        step(t);
        return;
    }
    status = sp_ticket_lease_words(t->ticket, joined);
    free((void *)(uintptr_t)joined.ptr);
    if (status) {
        taking_end(t, NULL, &no_memory);
    } else {
        step(t);
    }
}

static bool covers(const struct sp_key *key, struct sp_text host)
{
    for (size_t i = 0; i < key->n_hosts; i++) {
        if (sp_text_eq(key->hosts[i], host)) {
            return true;
        }
    }
    return false;
}

static struct sp_text kept(struct sp_arena *arena, struct sp_buf *buf)
{
    struct sp_text copy = sp_arena_copy(arena, sp_buf_text(buf));
    bool failed = buf->failed;
    sp_buf_reset(buf);
    return failed ? (struct sp_text){NULL, 0} : copy;
}

static struct sp_text methods_of(struct sp_arena *arena, unsigned methods)
{
    struct sp_buf buf;
    sp_buf_init(&buf, 128);
    for (unsigned bit = 1; bit <= SP_METHOD_ALL; bit <<= 1) {
        if (methods & bit) {
            sp_buf_add_str(&buf, buf.len ? " " : "");
            sp_buf_add_str(&buf, sp_method_name(bit));
        }
    }
    struct sp_text text = kept(arena, &buf);
    sp_buf_done(&buf);
    return text;
}

/* What the scope's allow rules reach with this key. Denies are left out: a credential that may
 * do a little more than the scope is still behind the scope. */
static sp_status reaches_of(struct sp_arena *arena, const struct sp_scope *scope,
                            const struct sp_key *key, struct sp_reach **ret_reaches,
                            size_t *ret_n, struct sp_error *err)
{
    size_t n_rules = sp_scope_n_rules(scope), n = 0;
    struct sp_buf path;
    struct sp_reach *reaches = sp_arena_array(arena, n_rules + key->n_hosts, sizeof *reaches);
    sp_status status = reaches ? SP_OK : sp_fail(err, SP_ENOMEM, "out of memory");
    sp_buf_init(&path, 16 << 10);
    for (size_t i = 0; !status && i < n_rules; i++) {
        const struct sp_rule *rule = sp_scope_rule(scope, i);
        if (sp_rule_denies(rule) || !covers(key, sp_rule_host(rule))) {
            continue;
        }
        sp_rule_print_path(rule, &path);
        reaches[n] = (struct sp_reach){.methods = methods_of(arena, sp_rule_methods(rule)),
                                       .host = sp_rule_host(rule),
                                       .path = kept(arena, &path)};
        status = reaches[n].methods.ptr && reaches[n].path.ptr
                     ? SP_OK
                     : sp_fail(err, SP_ENOMEM, "out of memory");
        if (!status && ++n > SP_LEASES_RULES_MAX) {
            status = sp_fail(err, SP_ETOOBIG,
                             "the scope has more than %d rules for a key whose credential is "
                             "minted for it",
                             SP_LEASES_RULES_MAX);
        }
    }
    /* `mode observe` lets everything through. */
    for (size_t i = 0; !status && sp_scope_observes(scope) && i < key->n_hosts; i++) {
        reaches[n++] = (struct sp_reach){.methods = methods_of(arena, SP_METHOD_ALL),
                                         .host = key->hosts[i],
                                         .path = SP_TEXT("/**")};
    }
    sp_buf_done(&path);
    *ret_reaches = reaches;
    *ret_n = n;
    return status;
}

static struct sp_provider *provider_of(const struct sp_leases *leases, struct sp_text id,
                                       struct sp_error *err)
{
    struct sp_provider *provider = sp_providers_find(leases->config.providers, id);
    if (!provider || !provider->manifest->leases) {
        (void)sp_fail(err, SP_ENOENT,
                      "the plugin of this key's provider is not loaded, or "
                      "mints nothing");
        return NULL;
    }
    return provider;
}

/* Which permissions does the call's scope need? Asked once for a token. */
static void ask_permissions(struct taking *t, const struct sp_reach *reach)
{
    struct sp_arena arena;
    struct sp_error err = {""};
    struct sp_key_view view;
    struct sp_reach one, *reaches = &one;
    size_t n = 1;
    sp_arena_init(&arena, VIEW_MAX_BYTES);
    struct sp_provider *provider = provider_of(t->leases, t->key->provider, &err);
    sp_status status = provider ? SP_OK : SP_ENOENT;
    if (!status && sp_key_view_of(&arena, t->key, &view)) {
        status = sp_fail(&err, SP_ENOMEM, "out of memory");
    }
    if (reach) {
        one = *reach;
    } else if (!status) {
        status = reaches_of(&arena, t->scope, t->key, &reaches, &n, &err);
    }
    if (status) {
        taking_end(t, NULL, &err);
    } else {
        provider->ops->permissions(provider, &view, reaches, n, on_permitted, t);
    }
    sp_arena_done(&arena);
}

static void mint_join(struct taking *t, struct sp_text words);

static void step(struct taking *t)
{
    struct sp_lease *lease = NULL;
    struct sp_text words = t->words;
    int64_t now = wall_ms();
    if (t->leases->stopped) {
        taking_end(t, NULL, &stopping);
        return;
    }
    if (t->ticket) {
        sp_ticket_lease(t->ticket, &words, &lease);
        if (lease && is_fresh(lease, now)) {
            taking_end(t, lease, NULL);
            return;
        }
        if (!words.ptr) {
            ask_permissions(t, NULL);
            return;
        }
        lease = sp_engine_lease_find(t->leases->config.engine, t->key, words);
    }
    if (lease && is_fresh(lease, now) && t->n_tries++ < TRIES_MAX) {
        t->lease = lease;
        sp_ticket_lease_use(t->ticket, lease, on_used, t);
        return;
    }
    mint_join(t, words);
}

static struct taking *taking_new(struct sp_leases *leases, const struct sp_key *key,
                                 sp_leased_fn leased, void *user)
{
    struct taking *t = calloc(1, sizeof *t);
    if (!t) {
        leased(user, NULL, NULL, &no_memory);
        return NULL;
    }
    *t = (struct taking){.leases = leases, .key = key, .leased = leased, .user = user};
    return t;
}

void sp_leases_take(struct sp_leases *leases, struct sp_ticket *ticket,
                    const struct sp_key *key, const struct sp_scope *scope, sp_leased_fn leased,
                    void *user)
{
    struct taking *t = taking_new(leases, key, leased, user);
    if (t) {
        t->ticket = ticket;
        t->scope = scope;
        step(t);
    }
}

void sp_leases_take_once(struct sp_leases *leases, const struct sp_key *key,
                         const struct sp_reach *reach, sp_leased_fn leased, void *user)
{
    struct taking *t = taking_new(leases, key, leased, user);
    if (t) {
        ask_permissions(t, reach);
    }
}

/* ---- minting --------------------------------------------------------------------------------
 */

/* The words one by one, in the arena; they borrow from text. */
static sp_status split(struct sp_arena *arena, struct sp_text text, struct sp_lease_ask *ask)
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

static void context_begin(struct sp_leases *leases, struct sp_hook_context *context,
                          struct sp_lease *lease, const struct sp_key *key)
{
    *context = (struct sp_hook_context){.engine = leases->config.engine,
                                        .egress = leases->config.egress,
                                        .lease = lease,
                                        .key = key};
}

static void mint_free(struct mint *mint)
{
    sp_hook_context_done(&mint->context);
    sp_key_unref(mint->leases->config.engine, mint->key);
    sp_arena_done(&mint->arena);
    free((void *)(uintptr_t)mint->words.ptr);
    free(mint);
}

static void mint_unlist(struct mint *mint)
{
    struct mint **place = &mint->leases->mints;
    while (*place != mint) {
        place = &(*place)->next;
    }
    *place = mint->next;
}

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
        mint->rest_until_ms = wall_ms() + backoff_ms(mint->n_failures++);
        sp_arena_reset(&mint->arena);
        sp_hook_context_done(&mint->context);
        mint->context.failure.text[0] = '\0';
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
            step(t);
        }
    }
    if (!failure) {
        mint_free(mint);
    } else if (mint->leases->stopped) {
        mint_unlist(mint);
        mint_free(mint);
    }
}

static void mint_failed(struct mint *mint, const struct sp_error *err)
{
    struct sp_error failure = *mint->context.failure.text ? mint->context.failure
                              : err                       ? *err
                                                          : no_memory;
    if (mint->lease) {
        say(mint->leases, SP_LOG_WARNING, "lease.failed", mint->lease, failure.text);
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
    say(mint->leases, SP_LOG_INFO, "lease.live", mint->lease, "");
    mint_over(mint, NULL);
}

static void on_renewed(void *user, sp_status status, uint64_t life_ms,
                       const struct sp_error *err)
{
    enum { LIFE_MAX_MS = INT32_MAX };
    struct mint *mint = user;
    struct sp_error nothing = {"the plugin captured no credential"};
    if (status || mint->context.n_captured == 0) {
        mint_failed(mint, status ? err : &nothing);
        return;
    }
    size_t n = mint->context.n_captured;
    mint->context.n_captured = 0; /* the engine takes them over */
    sp_engine_lease_live(mint->leases->config.engine, mint->lease, mint->context.captured, n,
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
        status ? NULL : provider_of(mint->leases, mint->key->provider, &why);
    if (!provider || mint->leases->stopped || sp_key_view_of(&mint->arena, mint->key, &view) ||
        split(&mint->arena, mint->words, &mint->ask)) {
        mint_failed(mint, status ? err : &why);
        return;
    }
    context_begin(mint->leases, &mint->context, lease, mint->key);
    mint->ask.id = sp_text_of(lease->hex);
    mint->ask.http = (struct sp_hook_http){sp_hook_perform, &mint->context};
    provider->ops->renew(provider, &view, &mint->ask, on_renewed, mint);
}

static struct mint *mint_new(struct sp_leases *leases, const struct sp_key *key,
                             struct sp_text words)
{
    struct mint *mint = calloc(1, sizeof *mint);
    if (!mint || join(&words, 1, &mint->words)) {
        free(mint);
        return NULL;
    }
    mint->leases = leases;
    (void)snprintf(mint->key_id, sizeof mint->key_id, "%.*s", (int)key->id.len, key->id.ptr);
    mint->key_version = key->version;
    sp_arena_init(&mint->arena, VIEW_MAX_BYTES);
    mint->next = leases->mints;
    leases->mints = mint;
    return mint;
}

/* The minting for that key version and those words that anybody may join; NULL: none yet. */
static struct mint *mint_find(const struct sp_leases *leases, const struct sp_key *key,
                              struct sp_text words)
{
    for (struct mint *mint = leases->mints; mint; mint = mint->next) {
        if (mint->key_version == key->version && sp_text_is(key->id, mint->key_id) &&
            sp_text_eq(mint->words, words)) {
            return mint;
        }
    }
    return NULL;
}

static void mint_go(struct mint *mint, const struct sp_key *key)
{
    mint->going = true;
    mint->key = key;
    sp_key_ref(key);
    sp_engine_lease_begin(mint->leases->config.engine, key, mint->words, on_begun, mint);
}

static void mint_join(struct taking *t, struct sp_text words)
{
    struct mint *mint = t->ticket ? mint_find(t->leases, t->key, words) : NULL;
    if (!mint) {
        mint = mint_new(t->leases, t->key, words);
    }
    if (!mint) {
        taking_end(t, NULL, &no_memory);
        return;
    }
    if (!mint->going && wall_ms() < mint->rest_until_ms) {
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

/* ---- ending ---------------------------------------------------------------------------------
 */

static struct ending *ending_of(struct sp_leases *leases, struct sp_lease *lease)
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
            sp_arena_init(&ending->arena, VIEW_MAX_BYTES);
            ending->next = leases->endings;
            leases->endings = ending;
        }
    }
    return ending;
}

static void ending_free(struct ending *ending)
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
        say(ending->leases, SP_LOG_ERROR, "lease.failed", ending->lease, err->text);
        ending->retry_ms = wall_ms() + backoff_ms(ending->n_failures++);
    } else {
        ending_free(ending);
    }
}

static void forget(struct ending *ending, const char *how)
{
    say(ending->leases, strcmp(how, "lost") == 0 ? SP_LOG_WARNING : SP_LOG_INFO, "lease.gone",
        ending->lease, how);
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
    sp_hook_context_done(&ending->context);
    if (!status) {
        forget(ending, "revoked");
        return;
    }
    ending->busy = false;
    ending->retry_ms = wall_ms() + backoff_ms(ending->n_failures++);
    say(ending->leases, SP_LOG_WARNING, "lease.not_revoked", ending->lease,
        *ending->context.failure.text ? ending->context.failure.text : err->text);
}

static void end_upstream(struct ending *ending)
{
    struct sp_leases *leases = ending->leases;
    struct sp_error err = {"out of memory"};
    struct sp_key_view view;
    struct sp_provider *provider =
        provider_of(leases, sp_text_of(ending->lease->provider), &err);
    ending->key = provider ? sp_lease_key(leases->config.engine, ending->lease) : NULL;
    ending->busy = true;
    if (!ending->key || sp_key_view_of(&ending->arena, ending->key, &view) ||
        split(&ending->arena, ending->lease->words, &ending->ask)) {
        on_revoked(ending, SP_ENOMEM, 0, &err);
        return;
    }
    context_begin(leases, &ending->context, ending->lease, ending->key);
    ending->ask.id = sp_text_of(ending->lease->hex);
    ending->ask.http = (struct sp_hook_http){sp_hook_perform, &ending->context};
    provider->ops->revoke(provider, &view, &ending->ask, on_revoked, ending);
}

/* That it is to be ended is durable: now it may be. */
static void on_ended(void *user, sp_status status, const struct sp_error *err)
{
    struct ending *ending = user;
    (void)err;
    ending->busy = false;
    if (status) {
        ending->retry_ms = wall_ms() + backoff_ms(ending->n_failures++);
    } else if (!ending->leases->stopped) {
        end_upstream(ending);
    }
}

static void end_lease(struct sp_leases *leases, struct sp_lease *lease, const char *why,
                      struct sp_text by)
{
    struct ending *ending = ending_of(leases, lease);
    if (ending && !ending->busy) {
        ending->busy = true;
        sp_engine_lease_end(leases->config.engine, lease, why, by, on_ended, ending);
    }
}

static void push_out(struct sp_leases *leases, struct sp_lease *lease, int64_t now)
{
    struct ending *ending = ending_of(leases, lease);
    if (!ending || ending->busy || now < ending->retry_ms) {
        return;
    }
    const struct sp_key *key = sp_engine_key(leases->config.engine, sp_text_of(lease->key));
    if (lease->expires_ms && now > lease->expires_ms) {
        forget(ending, "expired");
    } else if (!key) {
        forget(ending, "lost");
    } else {
        end_upstream(ending);
    }
    sp_key_unref(leases->config.engine, key);
}

void sp_leases_give_back(struct sp_leases *leases, const struct sp_key *key,
                         struct sp_lease *lease, bool refused)
{
    struct sp_engine *engine = leases->config.engine;
    if (!lease) {
        return;
    }
    bool once = lease->n_tokens == 0; /* an administrator's */
    if (!leases->stopped && lease->state == SP_LEASE_LIVE && (once || refused)) {
        end_lease(leases, lease, once ? "no token uses it" : "the upstream refused it",
                  SP_TEXT(""));
    }
    sp_key_unref(engine, key);
    sp_lease_release(engine, lease);
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
    } else if (!key || key->version != lease->key_version) {
        why = lease->n_calls ? NULL : "the key was changed";
    } else if (sp_engine_lease_find(engine, key, lease->words) != lease) {
        why = lease->n_calls ? NULL : "renewed";
    } else if (!sp_lease_is_wanted(engine, lease)) {
        why = "no token uses it";
    } else if (is_due(lease, now)) {
        struct mint *mint = mint_find(leases, key, lease->words);
        mint = mint ? mint : mint_new(leases, key, lease->words);
        if (mint && !mint->going && now >= mint->rest_until_ms) {
            mint_go(mint, key);
        }
    }
    sp_key_unref(engine, key);
    if (why) {
        end_lease(leases, lease, why, SP_TEXT(""));
    }
}

static void look(void *user, struct sp_lease *lease)
{
    struct sp_leases *leases = user;
    int64_t now = wall_ms();
    if (lease->state == SP_LEASE_LIVE) {
        look_live(leases, lease, now);
    } else if (lease->state == SP_LEASE_ENDING) {
        push_out(leases, lease, now);
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
    forget_mints(leases, wall_ms());
    look_removals(leases, wall_ms());
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
            end_lease(choice->leases, lease, choice->why, choice->by);
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
    removal->until_ms = wall_ms() + SP_LEASES_REMOVE_MS;
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
        look_removals(leases, wall_ms());
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
