/* Registered keys: their versions in memory, and their rows. */
#include "inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_MAX_BYTES = 1 << 20, SECRETS_MAX = 32, HOSTS_MAX = 64 };

/* ---- versions
 * -------------------------------------------------------------------------------- */

/* Nothing yet, with one reference. */
static struct key_version *version_new(void)
{
    struct key_version *version = calloc(1, sizeof *version);
    if (version) {
        version->n_refs = 1;
        sp_arena_init(&version->arena, KEY_MAX_BYTES);
    }
    return version;
}

static void version_free(struct key_version *version)
{
    bool own = !version->base;
    sp_key_unref(NULL, own ? NULL : &version->base->public);
    sp_key_unref(NULL, own ? NULL : &version->minted->public);
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

/* ---- the forms in a row
 * ---------------------------------------------------------------------- */

static void put_encoded(struct sp_buf *buf, struct sp_text text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '/' ||
                     c == ':';
        sp_buf_addf(buf, plain ? "%c" : "%%%02X", c);
    }
}

static void settings_encode(const struct sp_key_setting *settings, size_t n, struct sp_buf *buf)
{
    for (size_t i = 0; i < n; i++) {
        sp_buf_add_str(buf, i ? "&" : "");
        put_encoded(buf, settings[i].name);
        sp_buf_add_byte(buf, '=');
        put_encoded(buf, settings[i].value);
    }
}

static sp_status settings_decode(struct key_version *v, struct sp_text text)
{
    const struct sp_param *params = NULL;
    size_t n = 0;
    sp_status status = sp_form_parse(&v->arena, text, 256, &params, &n, NULL);
    struct sp_key_setting *settings =
        status ? NULL : sp_arena_array(&v->arena, n, sizeof *settings);
    if (!settings) {
        return status ? SP_ECORRUPT : SP_ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        settings[i] = (struct sp_key_setting){params[i].name, params[i].value};
    }
    v->public.settings = settings;
    v->public.n_settings = n;
    return SP_OK;
}

static sp_status hosts_decode(struct key_version *v, struct sp_text text)
{
    struct sp_text *hosts = sp_arena_array(&v->arena, HOSTS_MAX, sizeof *hosts);
    struct sp_text copy = sp_arena_copy(&v->arena, text);
    size_t n = 0;
    if (!hosts || !copy.ptr) {
        return SP_ENOMEM;
    }
    for (size_t start = 0; start < copy.len && n < HOSTS_MAX;) {
        const char *comma = memchr(copy.ptr + start, ',', copy.len - start);
        size_t end = comma ? (size_t)(comma - copy.ptr) : copy.len;
        hosts[n++] = (struct sp_text){copy.ptr + start, end - start};
        start = end + 1;
    }
    v->public.hosts = hosts;
    v->public.n_hosts = n;
    return SP_OK;
}

/* Secrets, before they are sealed: for each, name length (1 byte), name, value length (2 bytes,
 * least significant first), value. In guarded memory. */
sp_status secrets_encode(struct sp_pool *pool, const struct sp_key_secret *secrets, size_t n,
                         struct sp_secret *ret_plain)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        if (secrets[i].name.len > 255 || secrets[i].value.len > SP_SECRET_MAX_BYTES) {
            return SP_ETOOBIG;
        }
        len += 3 + secrets[i].name.len + secrets[i].value.len;
    }
    sp_status status = sp_secret_new(pool, len, ret_plain);
    unsigned char *out = status ? NULL : ret_plain->ptr;
    for (size_t i = 0; out && i < n; i++) {
        *out++ = (unsigned char)secrets[i].name.len;
        memcpy(out, secrets[i].name.ptr, secrets[i].name.len);
        out += secrets[i].name.len;
        *out++ = (unsigned char)(secrets[i].value.len & 0xff);
        *out++ = (unsigned char)(secrets[i].value.len >> 8);
        memcpy(out, secrets[i].value.ptr, secrets[i].value.len);
        out += secrets[i].value.len;
    }
    return status;
}

static sp_status secrets_decode(struct key_version *v, struct sp_pool *pool,
                                const struct sp_secret *plain)
{
    struct sp_key_secret *secrets = sp_arena_array(&v->arena, SECRETS_MAX, sizeof *secrets);
    const unsigned char *at = plain->ptr, *end = plain->ptr + plain->len;
    sp_status status = secrets ? SP_OK : SP_ENOMEM;
    v->public.secrets = secrets;
    while (!status && at < end) {
        size_t name_len = *at++;
        if (v->public.n_secrets == SECRETS_MAX || (size_t)(end - at) < name_len + 2) {
            return SP_ECORRUPT;
        }
        struct sp_key_secret *secret = &secrets[v->public.n_secrets];
        secret->name = sp_arena_copy(&v->arena, (struct sp_text){(const char *)at, name_len});
        at += name_len;
        size_t len = (size_t)(at[0] | at[1] << 8);
        at += 2;
        if (!secret->name.ptr || (size_t)(end - at) < len) {
            return secret->name.ptr ? SP_ECORRUPT : SP_ENOMEM;
        }
        status = sp_secret_new(pool, len, &secret->value);
        if (!status) {
            memcpy(secret->value.ptr, at, len);
            at += len;
            v->public.n_secrets++;
        }
    }
    return status;
}

sp_status version_of_secrets(struct sp_pool *pool, const struct sp_secret *plain,
                             struct key_version **ret_version)
{
    struct key_version *v = version_new();
    if (!v) {
        return SP_ENOMEM;
    }
    sp_status status = secrets_decode(v, pool, plain);
    if (status) {
        version_free(v);
        return status;
    }
    *ret_version = v;
    return SP_OK;
}

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
    v->public.n_secrets = n_base + n_minted;
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

/* The box is of this row: beside the id, its name has the hash of what stands in the row in
 * plain text. Somebody who can write to the store could else have the key sent to a host of
 * theirs. */
enum { BOX_NAME_BYTES = SP_NAME_MAX_BYTES + 1 + 2 * SP_HASH_BYTES + 1 };

static struct sp_text box_name(const struct sp_key_row *row, char text[BOX_NAME_BYTES])
{
    struct sp_hash hash;
    uint8_t digest[SP_HASH_BYTES];
    char hex[2 * SP_HASH_BYTES + 1], id[SP_NAME_MAX_BYTES + 1];
    sp_hash_init(&hash, NULL);
    sp_hash_part(&hash, row->provider.ptr, row->provider.len);
    sp_hash_part(&hash, row->hosts.ptr, row->hosts.len);
    sp_hash_part(&hash, row->settings.ptr, row->settings.len);
    if (row->since != row->version) { /* rows that were made before there was a `since` */
        char since[16];
        int n = snprintf(since, sizeof since, "%u", (unsigned)row->since);
        sp_hash_part(&hash, since, (size_t)n);
    }
    sp_hash_done(&hash, digest);
    sp_hex_encode(digest, sizeof digest, hex);
    copy_name(row->id, id, sizeof id);
    (void)snprintf(text, BOX_NAME_BYTES, "%s|%s", id, hex);
    return sp_text_of(text);
}

/* ---- reading
 * --------------------------------------------------------------------------------- */

struct reading {
    const struct sp_keyring *keyring;
    struct sp_pool *pool;
    struct key_list *list;
    struct sp_error *err;
};

static sp_status version_fill(struct key_version *v, const struct sp_key_row *row,
                              const struct reading *r)
{
    v->public.id = sp_arena_copy(&v->arena, row->id);
    v->public.provider = sp_arena_copy(&v->arena, row->provider);
    v->public.version = row->version;
    v->public.since = row->since;
    v->public.created_ms = row->created_ms;
    v->public.rotated_ms = row->rotated_ms;
    if (!v->public.id.ptr || !v->public.provider.ptr) {
        return SP_ENOMEM;
    }
    sp_status status = hosts_decode(v, row->hosts);
    status = status ? status : settings_decode(v, row->settings);
    if (status || !r->keyring) {
        return status;
    }
    struct sp_secret plain;
    char name[BOX_NAME_BYTES];
    status = sp_keyring_unseal(r->keyring, "keys", box_name(row, name), row->version, row->ring,
                               row->secrets, r->pool, &plain);
    if (!status) {
        status = secrets_decode(v, r->pool, &plain);
        sp_secret_free(&plain);
    }
    return status;
}

static sp_status key_row(void *user, const struct sp_key_row *row)
{
    struct reading *r = user;
    struct key_version *v = version_new();
    struct key_version **more =
        realloc(r->list->items, (r->list->n + 1) * sizeof *r->list->items);
    if (more) {
        r->list->items = more;
    }
    if (!v || !more) {
        sp_key_unref(NULL, v ? &v->public : NULL);
        return SP_ENOMEM;
    }
    sp_status status = version_fill(v, row, r);
    if (status) {
        version_free(v);
        return sp_fail(r->err, status,
                       "key '%.*s' cannot be opened: %s (its row was changed, or "
                       "comes from another store)",
                       (int)(row->id.len < 64 ? row->id.len : 64), row->id.ptr,
                       sp_status_name(status));
    }
    r->list->items[r->list->n++] = v;
    return SP_OK;
}

sp_status keys_read(struct sp_store *store, const struct sp_keyring *keyring,
                    struct sp_pool *pool, struct key_list *ret_list, struct sp_error *err)
{
    struct reading reading = {keyring, pool, ret_list, err};
    *ret_list = (struct key_list){NULL, 0};
    sp_status status = sp_store_key_list(store, key_row, &reading, err);
    if (status) {
        key_list_free(ret_list);
    } else if (ret_list->n > 1) {
        qsort(ret_list->items, ret_list->n, sizeof *ret_list->items, by_id);
    }
    return status;
}

/* ---- add, rotate, remove
 * --------------------------------------------------------------------- */

struct putting {
    struct key_version *version; /* the job's until it is in the table */
    struct sp_buf hosts, settings, box;
    uint32_t ring;
    enum putting_how { PUT_ADD, PUT_ROTATE, PUT_SET, PUT_REFRESH, PUT_SUCCEED } how;
    struct put_besides besides; /* work NULL: nothing */
    char id[SP_NAME_MAX_BYTES + 1];
};

static struct sp_key_row row_of(const struct putting *p)
{
    const struct sp_key *key = &p->version->public;
    return (struct sp_key_row){.id = key->id,
                               .provider = key->provider,
                               .version = key->version,
                               .since = key->since,
                               .hosts = sp_buf_text(&p->hosts),
                               .settings = sp_buf_text(&p->settings),
                               .secrets = sp_buf_text(&p->box),
                               .ring = p->ring,
                               .created_ms = key->created_ms,
                               .rotated_ms = key->rotated_ms};
}

static sp_status put_work(struct sp_job *job, struct sp_store *store)
{
    const struct putting *p = ((struct simple_job *)job)->payload;
    struct sp_key_row row = row_of(p);
    sp_status status = p->how == PUT_ADD ? sp_store_key_add(store, &row, &job->err)
                                         : sp_store_key_rotate(store, &row, &job->err);
    return status || !p->besides.work ? status
                                      : p->besides.work(p->besides.user, store, &job->err);
}

static sp_status table_put(struct sp_engine *engine, struct key_version *version)
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

struct put_end {
    struct sp_engine *engine;
    struct putting *p;
    sp_engine_done done;
    void *user;
};

/* The job's end, good or bad: the version goes into the table, or away. */
static void on_put(void *user, sp_status status, const struct sp_error *err)
{
    struct put_end *end = user;
    struct putting *p = end->p;
    struct sp_error told = *err;
    if (p->version && !status && end->engine->state == SP_ENGINE_READY) {
        status = table_put(end->engine, p->version);
        if (status) {
            (void)sp_fail(&told, status,
                          "it is stored, and known after the next start: out of memory");
        }
    } else if (p->version) {
        sp_key_unref(end->engine, &p->version->public);
    }
    end->done(end->user, status, &told);
    sp_buf_done(&p->hosts);
    sp_buf_done(&p->settings);
    sp_buf_done(&p->box);
    free(p);
    free(end);
}

static sp_status version_make(struct sp_engine *engine, const struct sp_key_input *input,
                              const struct key_version *old, struct putting *p)
{
    struct key_version *v = version_new();
    if (!v) {
        return SP_ENOMEM;
    }
    p->version = v;
    int64_t now = engine_wall(engine);
    v->public.id = sp_arena_copy(&v->arena, input->id);
    v->public.provider = sp_arena_copy(&v->arena, old ? old->public.provider : input->provider);
    v->public.version = old ? old->public.version + 1 : 1;
    v->public.since = p->how == PUT_REFRESH ? old->public.since : v->public.version;
    v->public.created_ms = old ? old->public.created_ms : now;
    v->public.rotated_ms = p->how == PUT_SET ? old->public.rotated_ms : now;
    /* provider and hosts are fixed when a key is added */
    const struct sp_text *hosts = old ? old->public.hosts : input->hosts;
    size_t n_hosts = old ? old->public.n_hosts : input->n_hosts;
    for (size_t i = 0; i < n_hosts; i++) {
        sp_buf_add_str(&p->hosts, i ? "," : "");
        sp_buf_add_text(&p->hosts, hosts[i]);
    }
    settings_encode(input->settings, input->n_settings, &p->settings);
    if (!v->public.id.ptr || !v->public.provider.ptr || p->hosts.failed || p->settings.failed) {
        return SP_ENOMEM;
    }
    sp_status status = hosts_decode(v, sp_buf_text(&p->hosts));
    status = status ? status : settings_decode(v, sp_buf_text(&p->settings));
    struct sp_secret plain = {NULL, NULL, 0};
    const struct sp_key_row row = row_of(p);
    char name[BOX_NAME_BYTES];
    status = status ? status
                    : secrets_encode(engine->pool, input->secrets, input->n_secrets, &plain);
    status = status ? status : secrets_decode(v, engine->pool, &plain);
    status = status ? status
                    : sp_keyring_seal(engine->keyring, "keys", box_name(&row, name),
                                      row.version, sp_secret_text(&plain), &p->box, &p->ring);
    sp_secret_free(&plain);
    return status;
}

static bool is_id(struct sp_text id)
{
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || c == '.')) {
            return false;
        }
    }
    return id.len > 0 && id.len <= SP_NAME_MAX_BYTES;
}

static const char *put_fault(const struct sp_engine *engine, const struct sp_key_input *input,
                             const struct key_version *old, bool add, sp_status *ret_status)
{
    *ret_status = SP_EINVAL;
    if (engine->state != SP_ENGINE_READY) {
        *ret_status = SP_ESEALED;
        return "the host is sealed";
    }
    if (!is_id(input->id)) {
        return "a key's id is 1 to 64 letters, digits, '-', '_' and '.'";
    }
    if (input->n_hosts == 0 || input->n_hosts > HOSTS_MAX) {
        return "a key has 1 to 64 hosts";
    }
    if (add && old) {
        *ret_status = SP_EEXIST;
        return "there is a key of that id already (`sallyport key rotate` replaces its "
               "secrets)";
    }
    if (!add && !old) {
        *ret_status = SP_ENOENT;
        return "there is no key of that id";
    }
    return NULL;
}

static void put(struct sp_engine *engine, const struct sp_key_input *input, struct sp_text by,
                enum putting_how how, const struct put_besides *besides, sp_engine_done done,
                void *user)
{
    static const char *const records[] = {"key.add", "key.rotate", "key.set", "key.refresh",
                                          "key.succeed"};
    struct sp_error err = {""};
    struct key_version *old = key_find(engine, input->id);
    struct putting *p = calloc(1, sizeof *p);
    struct put_end *end = calloc(1, sizeof *end);
    sp_status status = p && end ? SP_OK : SP_ENOMEM;
    const char *fault =
        status ? "out of memory" : put_fault(engine, input, old, how == PUT_ADD, &status);
    if (!fault) {
        p->how = how;
        p->besides = besides ? *besides : p->besides;
        sp_buf_init(&p->hosts, 64 << 10);
        sp_buf_init(&p->settings, 256 << 10);
        sp_buf_init(&p->box, 64 << 10);
        status = version_make(engine, input, old, p);
        fault = status ? "the secrets cannot be stored" : NULL;
    }
    for (size_t i = 0; i < input->n_secrets; i++) {
        sp_secret_free(&input->secrets[i].value);
    }
    if (p && end) {
        *end = (struct put_end){engine, p, done, user};
    }
    if (fault) {
        (void)sp_fail(&err, status, "%s", fault);
        if (p && end) {
            on_put(end, status, &err);
        } else {
            free(p);
            free(end);
            done(user, status, &err);
        }
        return;
    }
    struct simple_job *job = simple_job_new(engine, on_put, end);
    if (job) {
        job->payload = p;
        job->job.work = put_work;
        record_begin(&job->job.records, records[how]);
        record_text(&job->job.records, "key", p->version->public.id);
        record_text(&job->job.records, "provider", p->version->public.provider);
        record_number(&job->job.records, "key_version", p->version->public.version);
        record_text(&job->job.records, "hosts", sp_buf_text(&p->hosts));
        record_text(&job->job.records, how >= PUT_REFRESH ? "lease" : "by", by);
        record_end(&job->job.records);
        simple_job_submit(job);
    }
}

void sp_engine_key_add(struct sp_engine *engine, const struct sp_key_input *input,
                       struct sp_text by, sp_engine_done done, void *user)
{
    put(engine, input, by, PUT_ADD, NULL, done, user);
}

void sp_engine_key_rotate(struct sp_engine *engine, const struct sp_key_input *input,
                          struct sp_text by, sp_engine_done done, void *user)
{
    put(engine, input, by, PUT_ROTATE, NULL, done, user);
}

void sp_engine_key_set(struct sp_engine *engine, const struct sp_key_input *input,
                       struct sp_text by, sp_engine_done done, void *user)
{
    put(engine, input, by, PUT_SET, NULL, done, user);
}

void sp_engine_key_refresh(struct sp_engine *engine, const struct sp_key_input *input,
                           struct sp_text lease, sp_engine_done done, void *user)
{
    put(engine, input, lease, PUT_REFRESH, NULL, done, user);
}

void key_succeed(struct sp_engine *engine, const struct sp_key_input *input,
                 const struct put_besides *besides, sp_engine_done done, void *user)
{
    put(engine, input, besides->lease, PUT_SUCCEED, besides, done, user);
}

static sp_status remove_work(struct sp_job *job, struct sp_store *store)
{
    const struct sp_text *id = ((struct simple_job *)job)->payload;
    return sp_store_key_remove(store, *id, &job->err);
}

static void after_remove(struct simple_job *job)
{
    struct sp_engine *engine = job->engine;
    const struct sp_text *id = job->payload;
    for (size_t i = 0; i < engine->n_keys; i++) {
        if (sp_text_eq(engine->keys[i]->public.id, *id)) {
            sp_key_unref(engine, &engine->keys[i]->public);
            memmove(&engine->keys[i], &engine->keys[i + 1],
                    (engine->n_keys - i - 1) * sizeof *engine->keys);
            engine->n_keys--;
            return;
        }
    }
}

static struct simple_job *id_job(struct sp_engine *engine, struct sp_text id,
                                 const char *record, struct sp_text by, sp_engine_done done,
                                 void *user)
{
    struct simple_job *job = simple_job_new(engine, done, user);
    struct sp_text *copy = job ? sp_arena_alloc(&job->arena, sizeof *copy) : NULL;
    if (copy) {
        *copy = sp_arena_copy(&job->arena, id);
        job->payload = copy;
    }
    if (job && (!copy || !copy->ptr)) {
        simple_job_fail(job, SP_ENOMEM, "out of memory");
        return NULL;
    }
    if (job) {
        record_begin(&job->job.records, record);
        record_text(&job->job.records, "key", id);
        record_text(&job->job.records, "by", by);
        record_end(&job->job.records);
    }
    return job;
}

void sp_engine_key_remove(struct sp_engine *engine, struct sp_text id, struct sp_text by,
                          sp_engine_done done, void *user)
{
    struct simple_job *job = id_job(engine, id, "key.remove", by, done, user);
    if (job) {
        job->job.work = remove_work;
        job->after = after_remove;
        simple_job_submit(job);
    }
}

void sp_engine_key_tested(struct sp_engine *engine, struct sp_text id, struct sp_text by,
                          sp_engine_done done, void *user)
{
    struct simple_job *job = id_job(engine, id, "key.test", by, done, user);
    if (!job) {
        return;
    }
    if (engine->state != SP_ENGINE_READY || !key_find(engine, id)) {
        bool sealed = engine->state != SP_ENGINE_READY;
        simple_job_fail(job, sealed ? SP_ESEALED : SP_ENOENT,
                        sealed ? "the host is sealed" : "there is no key of that id");
        return;
    }
    simple_job_submit(job);
}
