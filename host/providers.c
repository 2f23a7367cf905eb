#include "providers.h"

#include "egress.h"
#include "pins.h"
#include "worker.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PROVIDERS_MAX = 64,
    CACHE_BUCKETS = 256,
    VIEW_ARENA_MAX_BYTES = 1 << 20,
};

struct cached {
    char key_id[SP_NAME_MAX_BYTES + 1];
    struct sp_plan_ref *ref;
    struct cached *next;
};

struct sp_providers {
    struct sp_provider *list[PROVIDERS_MAX];
    size_t n;
    struct cached *cache[CACHE_BUCKETS];
};

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of the libraries in a folder, sorted; the caller frees each and the list. */
static sp_status list_libraries(const char *folder, char ***ret_names, size_t *ret_n,
                                struct sp_error *err)
{
    DIR *dir = opendir(folder);
    if (!dir) {
        return sp_fail(err, SP_ENOENT, "plugin folder %s: %s (set plugin_dir)", folder,
                       strerror(errno));
    }
    char **names = calloc(PROVIDERS_MAX, sizeof *names);
    size_t n = 0;
    sp_status status = names ? SP_OK : SP_ENOMEM;
    errno = 0;
    for (struct dirent *entry; !status && (entry = readdir(dir)); errno = 0) {
        size_t len = strlen(entry->d_name);
        if (len < 4 || strcmp(entry->d_name + len - 3, ".so") != 0) {
            continue;
        }
        if (n == PROVIDERS_MAX) {
            status = sp_fail(err, SP_ETOOBIG, "plugin folder %s: more than %d plugins", folder,
                             PROVIDERS_MAX);
            break;
        }
        names[n] = strdup(entry->d_name);
        status = names[n] ? SP_OK : SP_ENOMEM;
        n += names[n] != NULL;
    }
    if (!status && errno) {
        status = sp_fail(err, SP_EIO, "plugin folder %s: %s", folder, strerror(errno));
    }
    (void)closedir(dir);
    if (status) {
        while (n > 0) {
            free(names[--n]);
        }
        free(names);
        return status;
    }
    qsort(names, n, sizeof *names, by_name);
    *ret_names = names;
    *ret_n = n;
    return SP_OK;
}

static void log_for_plugin(void *user, struct sp_text provider, unsigned level,
                           struct sp_text text)
{
    enum sp_log_level known = level <= SP_LOG_ERROR ? (enum sp_log_level)level : SP_LOG_ERROR;
    SP_LOG((const struct sp_log *)user, known, "plugin.says", {"provider", provider},
           {"text", text});
}

/* The host's settings of a key would hide a field of the same name. */
static bool hides_setting(const struct sp_manifest *manifest)
{
    for (size_t i = 0; i < manifest->n_fields; i++) {
        if (sp_egress_is_setting(manifest->fields[i].name)) {
            return true;
        }
    }
    return false;
}

static void stop_one(struct sp_provider *provider)
{
    if (provider->ops->stop) {
        provider->ops->stop(provider);
    }
}

static void load_one(struct sp_providers *providers, const struct sp_providers_config *config,
                     const struct sp_plugin_rules *rules, const char *name)
{
    char path[1200];
    (void)snprintf(path, sizeof path, "%s/%s", config->folder, name);
    struct sp_error why = {""};
    struct sp_provider *provider = NULL;
    if (config->worker ? sp_worker_load(path, rules, config->worker, &provider, &why)
                       : sp_plugin_load(path, rules, &provider, &why)) {
        SP_LOG(config->log, SP_LOG_ERROR, "plugin.refused", {"path", sp_text_of(path)},
               {"reason", sp_text_of(why.text)});
        return;
    }
    bool hides = hides_setting(provider->manifest);
    if (hides || sp_providers_find(providers, provider->manifest->id)) {
        SP_LOG(config->log, SP_LOG_ERROR, "plugin.refused", {"path", sp_text_of(path)},
               {"reason",
                hides ? SP_TEXT("a field is called like a setting of the host's own; rename it")
                      : SP_TEXT("another plugin has this provider id; keep one of them")});
        stop_one(provider);
        provider->ops->free(provider);
        return;
    }
    providers->list[providers->n++] = provider;
    SP_LOG(config->log, SP_LOG_INFO, "plugin.loaded", {"provider", provider->manifest->id},
           {"version", provider->manifest->version}, {"path", sp_text_of(path)});
}

sp_status sp_providers_new(const struct sp_providers_config *config,
                           struct sp_providers **ret_providers, struct sp_error *err)
{
    struct sp_pins *pins = NULL;
    char **names = NULL;
    size_t n_names = 0;
    struct sp_providers *providers = calloc(1, sizeof *providers);
    pins = calloc(1, sizeof *pins);
    sp_status status = providers && pins ? SP_OK : SP_ENOMEM;
    if (!status) {
        status = sp_pins_read(config->pins_path, pins, err);
    }
    if (!status) {
        status = list_libraries(config->folder, &names, &n_names, err);
    }
    if (status) {
        free(providers);
        goto out;
    }
    if (config->dev) {
        SP_LOG(
            config->log, SP_LOG_WARNING, "plugin.dev",
            {"warning", SP_TEXT("--dev-plugins: hashes are NOT checked; never in production")});
    }
    if (!config->worker) {
        SP_LOG(config->log, SP_LOG_WARNING, "plugin.isolation",
               {"warning", SP_TEXT("plugin_isolation = none: plugins share the host's memory, "
                                   "and its secrets")});
    }
    struct sp_plugin_rules rules = {.dev = config->dev,
                                    .pins = (const uint8_t(*)[32])pins->hashes,
                                    .n_pins = pins->n,
                                    .owner_uid = (uint32_t)geteuid(),
                                    .log = log_for_plugin,
                                    .log_user = (void *)(uintptr_t)config->log};
    for (size_t i = 0; i < n_names; i++) {
        load_one(providers, config, &rules, names[i]);
    }
    *ret_providers = providers;
out:
    for (size_t i = 0; i < n_names; i++) {
        free(names[i]);
    }
    free(names);
    free(pins);
    return status;
}

size_t sp_providers_n(const struct sp_providers *providers)
{
    return providers->n;
}

struct sp_provider *sp_providers_at(const struct sp_providers *providers, size_t i)
{
    return providers->list[i];
}

struct sp_provider *sp_providers_find(const struct sp_providers *providers, struct sp_text id)
{
    for (size_t i = 0; i < providers->n; i++) {
        if (sp_text_eq(providers->list[i]->manifest->id, id)) {
            return providers->list[i];
        }
    }
    return NULL;
}

sp_status sp_key_view_of(struct sp_arena *arena, const struct sp_key *key,
                         struct sp_key_view *ret_view)
{
    struct sp_setting *settings = sp_arena_array(arena, key->n_settings, sizeof *settings);
    struct sp_text *secrets = sp_arena_array(arena, key->n_secrets, sizeof *secrets);
    if (!settings || !secrets) {
        return SP_ENOMEM;
    }
    size_t n_settings = 0;
    for (size_t i = 0; i < key->n_settings; i++) {
        if (!sp_egress_is_setting(key->settings[i].name)) {
            settings[n_settings++] =
                (struct sp_setting){key->settings[i].name, key->settings[i].value};
        }
    }
    for (size_t i = 0; i < key->n_secrets; i++) {
        secrets[i] = key->secrets[i].name;
    }
    *ret_view = (struct sp_key_view){
        .id = key->id,
        .version = key->version,
        .settings = settings,
        .n_settings = n_settings,
        .secrets = secrets,
        .n_secrets = key->n_secrets,
    };
    return SP_OK;
}

/* ---- plans ---------------------------------------------------------------------------------
 */

static struct cached **cache_place(struct sp_providers *providers, struct sp_text key_id)
{
    unsigned hash = 5381;
    for (size_t i = 0; i < key_id.len; i++) {
        hash = hash * 33 + (unsigned char)key_id.ptr[i];
    }
    struct cached **place = &providers->cache[hash % CACHE_BUCKETS];
    while (*place && !sp_text_is(key_id, (*place)->key_id)) {
        place = &(*place)->next;
    }
    return place;
}

void sp_plan_unref(struct sp_plan_ref *ref)
{
    if (ref && --ref->n_refs == 0) {
        sp_plan_done(&ref->plan);
        free(ref);
    }
}

static void cache_put(struct sp_providers *providers, struct sp_text key_id,
                      struct sp_plan_ref *ref)
{
    struct cached **place = cache_place(providers, key_id);
    if (!*place) {
        struct cached *cached = calloc(1, sizeof *cached);
        if (!cached || key_id.len > SP_NAME_MAX_BYTES) {
            free(cached);
            return; /* it works without a cache, only slower */
        }
        memcpy(cached->key_id, key_id.ptr, key_id.len);
        *place = cached;
    } else if ((*place)->ref->key_version > ref->key_version) {
        return; /* an answer that a rotation overtook */
    } else {
        sp_plan_unref((*place)->ref);
    }
    (*place)->ref = ref;
    ref->n_refs++;
}

/* One question to a provider, until it is answered. */
struct asking {
    struct sp_providers *providers;
    struct sp_provider *provider;
    struct sp_arena arena;
    struct sp_text key_id;
    uint32_t key_version;
    sp_planned_fn planned;
    void *user;
};

static void on_planned(void *user, sp_status status, struct sp_plan *plan,
                       const struct sp_error *err)
{
    struct asking *asking = user;
    struct sp_plan_ref *ref = NULL;
    if (!status) {
        ref = calloc(1, sizeof *ref);
        if (ref) {
            ref->plan = *plan;
            ref->provider = asking->provider;
            ref->key_version = asking->key_version;
            ref->n_refs = 1;
            cache_put(asking->providers, asking->key_id, ref);
        } else {
            sp_plan_done(plan);
        }
    }
    asking->planned(asking->user, ref, err);
    sp_arena_done(&asking->arena);
    free(asking);
}

void sp_providers_plan(struct sp_providers *providers, const struct sp_key *key,
                       sp_planned_fn planned, void *user)
{
    struct cached *cached = *cache_place(providers, key->id);
    if (cached && cached->ref->key_version == key->version) {
        cached->ref->n_refs++;
        planned(user, cached->ref, NULL);
        return;
    }
    struct sp_error err = {""};
    struct sp_provider *provider = sp_providers_find(providers, key->provider);
    if (!provider) {
        (void)sp_fail(&err, SP_ENOENT, "the plugin of this key's provider is not loaded");
        planned(user, NULL, &err);
        return;
    }
    struct asking *asking = calloc(1, sizeof *asking);
    struct sp_key_view view;
    if (asking) {
        sp_arena_init(&asking->arena, VIEW_ARENA_MAX_BYTES);
    }
    if (!asking || sp_key_view_of(&asking->arena, key, &view) ||
        !(asking->key_id = sp_arena_copy(&asking->arena, key->id)).ptr) {
        if (asking) {
            sp_arena_done(&asking->arena);
        }
        free(asking);
        (void)sp_fail(&err, SP_ENOMEM, "out of memory");
        planned(user, NULL, &err);
        return;
    }
    asking->providers = providers;
    asking->provider = provider;
    asking->key_version = key->version;
    asking->planned = planned;
    asking->user = user;
    provider->n_calls++;
    provider->ops->plan(provider, &view, on_planned, asking);
}

void sp_providers_forget(struct sp_providers *providers, struct sp_text key_id)
{
    struct cached **place = cache_place(providers, key_id);
    if (*place) {
        struct cached *cached = *place;
        *place = cached->next;
        sp_plan_unref(cached->ref);
        free(cached);
    }
}

void sp_providers_stop(struct sp_providers *providers)
{
    for (size_t i = 0; providers && i < providers->n; i++) {
        stop_one(providers->list[i]);
    }
}

void sp_providers_free(struct sp_providers *providers)
{
    if (!providers) {
        return;
    }
    for (size_t i = 0; i < CACHE_BUCKETS; i++) {
        while (providers->cache[i]) {
            sp_providers_forget(providers, sp_text_of(providers->cache[i]->key_id));
        }
    }
    for (size_t i = 0; i < providers->n; i++) {
        providers->list[i]->ops->free(providers->list[i]);
    }
    free(providers);
}
