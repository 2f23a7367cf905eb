/* Registered keys in memory: their versions, and the table of those that stand. */
#include "inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_MAX_BYTES = 1 << 20 };

/* ---- versions
 * -------------------------------------------------------------------------------- */

struct key_version *version_new(void)
{
    struct key_version *version = calloc(1, sizeof *version);
    if (version) {
        version->n_refs = 1;
        sp_arena_init(&version->arena, KEY_MAX_BYTES);
    }
    return version;
}

void version_free(struct key_version *version)
{
    bool own = !version->base;
    sp_key_unref(NULL, version->base ? &version->base->public : NULL);
    sp_key_unref(NULL, version->minted ? &version->minted->public : NULL);
    for (size_t i = 0; own && i < version->public.n_secrets; i++) {
        struct sp_secret value = version->public.secrets[i].value;
        sp_secret_free(&value);
    }
    sp_arena_done(&version->arena);
    free(version);
}

void sp_key_ref(const struct sp_key *key)
{
    ((struct key_version *)(uintptr_t)key)->n_refs++;
}

void sp_key_unref(struct sp_engine *engine, const struct sp_key *key)
{
    struct key_version *version = (struct key_version *)(uintptr_t)key;
    (void)engine;
    if (version && --version->n_refs == 0) {
        version_free(version);
    }
}

static int by_id(const void *a, const void *b)
{
    const struct key_version *const *x = a, *const *y = b;
    return sp_text_cmp((*x)->public.id, (*y)->public.id);
}

struct key_version *key_find(const struct sp_engine *engine, struct sp_text id)
{
    size_t low = 0, high = engine->n_keys;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = sp_text_cmp(id, engine->keys[middle]->public.id);
        if (order == 0) {
            return engine->keys[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

bool sp_key_covers(const struct sp_key *key, struct sp_text host)
{
    for (size_t i = 0; i < key->n_hosts; i++) {
        if (sp_text_eq(key->hosts[i], host)) {
            return true;
        }
    }
    return false;
}

bool key_has_setting(const struct key_version *key, struct sp_text name,
                     struct sp_text *ret_value)
{
    for (size_t i = 0; i < key->public.n_settings; i++) {
        if (sp_text_eq(key->public.settings[i].name, name)) {
            *ret_value = key->public.settings[i].value;
            return true;
        }
    }
    return false;
}

const struct sp_key *sp_engine_key(struct sp_engine *engine, struct sp_text id)
{
    struct key_version *version = key_find(engine, id);
    if (version) {
        version->n_refs++;
    }
    return version ? &version->public : NULL;
}

void sp_engine_each_key(struct sp_engine *engine,
                        void (*fn)(void *user, const struct sp_key *key), void *user)
{
    for (size_t i = 0; i < engine->n_keys; i++) {
        fn(user, &engine->keys[i]->public);
    }
}

void key_list_free(struct key_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        sp_key_unref(NULL, &list->items[i]->public);
    }
    free(list->items);
    *list = (struct key_list){NULL, 0};
}

void keys_replace(struct sp_engine *engine, struct key_list *list)
{
    struct key_list old = {engine->keys, engine->n_keys};
    engine->keys = list->items;
    engine->n_keys = list->n;
    *list = (struct key_list){NULL, 0};
    key_list_free(&old);
}

void keys_sort(struct key_list *list)
{
    if (list->n > 1) {
        qsort(list->items, list->n, sizeof *list->items, by_id);
    }
}

sp_status keys_put(struct sp_engine *engine, struct key_version *version)
{
    for (size_t i = 0; i < engine->n_keys; i++) {
        if (sp_text_eq(engine->keys[i]->public.id, version->public.id)) {
            sp_key_unref(engine, &engine->keys[i]->public);
            engine->keys[i] = version;
            return SP_OK;
        }
    }
    struct key_version **more =
        realloc(engine->keys, (engine->n_keys + 1) * sizeof *engine->keys);
    if (!more) {
        sp_key_unref(engine, &version->public);
        return SP_ENOMEM;
    }
    engine->keys = more;
    engine->keys[engine->n_keys++] = version;
    qsort(engine->keys, engine->n_keys, sizeof *engine->keys, by_id);
    return SP_OK;
}

void keys_drop(struct sp_engine *engine, struct sp_text id)
{
    for (size_t i = 0; i < engine->n_keys; i++) {
        if (sp_text_eq(engine->keys[i]->public.id, id)) {
            sp_key_unref(engine, &engine->keys[i]->public);
            memmove(&engine->keys[i], &engine->keys[i + 1],
                    (engine->n_keys - i - 1) * sizeof *engine->keys);
            engine->n_keys--;
            return;
        }
    }
}

/* ---- two versions joined
 * --------------------------------------------------------------------- */

/* The secret of minted that goes in that place of a join without a prefix. */
static struct sp_key_secret in_place(const struct key_version *minted,
                                     struct sp_key_secret secret)
{
    for (size_t i = 0; i < minted->public.n_secrets; i++) {
        if (sp_text_eq(minted->public.secrets[i].name, secret.name)) {
            return minted->public.secrets[i];
        }
    }
    return secret;
}

sp_status version_join(struct key_version *base, struct key_version *minted, const char *prefix,
                       struct key_version **ret_version)
{
    size_t n_base = base->public.n_secrets;
    size_t n_minted = prefix ? minted->public.n_secrets : 0;
    struct key_version *v = version_new();
    if (!v) {
        return SP_ENOMEM;
    }
    v->base = base;
    v->minted = minted;
    sp_key_ref(&base->public);
    sp_key_ref(&minted->public);
    struct sp_key_secret *secrets =
        sp_arena_array(&v->arena, n_base + n_minted, sizeof *secrets);
    v->public = base->public; /* id, hosts, settings: the base lives as long */
    v->public.secrets = secrets;
    v->public.n_secrets = secrets ? n_base + n_minted : 0;
    bool good = secrets != NULL;
    for (size_t i = 0; good && i < n_base; i++) {
        secrets[i] = base->public.secrets[i];
        secrets[i] = prefix ? secrets[i] : in_place(minted, secrets[i]);
    }
    for (size_t i = 0; good && i < n_minted; i++) {
        struct sp_text name = minted->public.secrets[i].name;
        size_t room = strlen(prefix) + name.len + 1;
        char *text = sp_arena_array(&v->arena, room, 1);
        good = text != NULL;
        if (good) {
            int n = snprintf(text, room, "%s%.*s", prefix, (int)name.len, name.ptr);
            secrets[n_base + i] = minted->public.secrets[i];
            secrets[n_base + i].name = (struct sp_text){text, (size_t)n};
        }
    }
    if (!good) {
        version_free(v);
        return SP_ENOMEM;
    }
    *ret_version = v;
    return SP_OK;
}
