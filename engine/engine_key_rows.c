/* A registered key as it lies in the store: the forms of its hosts, settings and secrets, and
 * the box that is bound to them. */
#include "inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECRETS_MAX = 32 };

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

void settings_encode(const struct sp_key_setting *settings, size_t n, struct sp_buf *buf)
{
    for (size_t i = 0; i < n; i++) {
        sp_buf_add_str(buf, i ? "&" : "");
        put_encoded(buf, settings[i].name);
        sp_buf_add_byte(buf, '=');
        put_encoded(buf, settings[i].value);
    }
}

sp_status settings_decode(struct key_version *v, struct sp_text text)
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

sp_status hosts_decode(struct key_version *v, struct sp_text text)
{
    struct sp_text *hosts = sp_arena_array(&v->arena, KEY_HOSTS_MAX, sizeof *hosts);
    struct sp_text copy = sp_arena_copy(&v->arena, text);
    size_t n = 0;
    if (!hosts || !copy.ptr) {
        return SP_ENOMEM;
    }
    for (size_t start = 0; start < copy.len && n < KEY_HOSTS_MAX;) {
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

sp_status secrets_decode(struct key_version *v, struct sp_pool *pool,
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

/* Beside the id, the hash of what stands in the row in plain text. Somebody who can write to
 * the store could else have the key sent to a host of theirs. */
struct sp_text key_box_name(const struct sp_key_row *row, char text[KEY_BOX_NAME_BYTES])
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
    (void)snprintf(text, KEY_BOX_NAME_BYTES, "%s|%s", id, hex);
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
    char name[KEY_BOX_NAME_BYTES];
    status = sp_keyring_unseal(r->keyring, "keys", key_box_name(row, name), row->version,
                               row->ring, row->secrets, r->pool, &plain);
    if (!status) {
        status = secrets_decode(v, r->pool, &plain);
        sp_secret_free(&plain);
    }
    return status;
}

static sp_status key_row(void *user, const struct sp_key_row *row)
{
    struct reading *r = user;
    struct key_version **more =
        realloc(r->list->items, (r->list->n + 1) * sizeof *r->list->items);
    if (!more) {
        return SP_ENOMEM;
    }
    r->list->items = more;
    struct key_version *v = version_new();
    if (!v) {
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
    } else {
        keys_sort(ret_list);
    }
    return status;
}
