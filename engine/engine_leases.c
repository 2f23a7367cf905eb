/* Leases: their rows, their secrets, and the tokens that use them. */
#include "inner.h"
#include "lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRESH_MS = 60000 };

/* ---- in memory ------------------------------------------------------------------------------
 */

void lease_drop_secrets(struct lease *lease)
{
    sp_key_unref(NULL, lease->minted ? &lease->minted->public : NULL);
    sp_key_unref(NULL, lease->key ? &lease->key->public : NULL);
    lease->minted = lease->key = NULL;
    lease->public.held = false;
}

void lease_unref(struct lease *lease)
{
    if (lease && --lease->n_refs == 0) {
        lease_drop_secrets(lease);
        free(lease->users);
        free(lease->words);
        free(lease);
    }
}

/* Off the list; those who hold it still may read it. */
void lease_unlist(struct sp_engine *engine, struct lease *lease)
{
    for (struct lease **place = &engine->leases; *place; place = &(*place)->next) {
        if (*place == lease) {
            *place = lease->next;
            lease->next = NULL;
            lease->public.state = SP_LEASE_ENDING;
            lease_drop_secrets(lease);
            lease_unref(lease);
            return;
        }
    }
}

/* At the end of the list, which is in the order of making. */
struct lease *lease_new(struct sp_engine *engine, const struct sp_lease_row *row)
{
    struct lease *lease = calloc(1, sizeof *lease);
    char *words = malloc(row->permissions.len + 1);
    if (!lease || !words) {
        free(lease);
        free(words);
        return NULL;
    }
    if (row->permissions.len) {
        memcpy(words, row->permissions.ptr, row->permissions.len);
    }
    words[row->permissions.len] = '\0';
    lease->words = words;
    lease->n_refs = 1;
    struct sp_lease *public = &lease->public;
    memcpy(public->id, row->id, sizeof public->id);
    sp_hex_encode(row->id, sizeof row->id, public->hex);
    copy_name(row->key, public->key, sizeof public->key);
    copy_name(row->provider, public->provider, sizeof public->provider);
    public->kind = row->kind;
    public->key_version = row->version;
    public->words = (struct sp_text){words, row->permissions.len};
    public->state = row->state;
    public->made_ms = row->made_ms;
    public->expires_ms = row->expires_ms;
    struct lease **place = &engine->leases;
    while (*place) {
        place = &(*place)->next;
    }
    *place = lease;
    return lease;
}

sp_status lease_add_user(struct lease *lease, const uint8_t token[SP_TOKEN_ID_BYTES])
{
    for (size_t i = lease->public.n_tokens; i-- > 0;) {
        if (memcmp(lease->users[i], token, SP_TOKEN_ID_BYTES) == 0) {
            return SP_OK;
        }
    }
    if (lease->public.n_tokens == lease->users_room) {
        size_t room = lease->users_room ? 2 * lease->users_room : 8;
        void *more = realloc(lease->users, room * sizeof *lease->users);
        if (!more) {
            return SP_ENOMEM;
        }
        lease->users = more;
        lease->users_room = room;
    }
    memcpy(lease->users[lease->public.n_tokens++], token, SP_TOKEN_ID_BYTES);
    lease->had_users = true;
    return SP_OK;
}

/* ---- what a token knows of its leases -------------------------------------------------------
 */

void lease_uses_free(struct lease_use *use)
{
    while (use) {
        struct lease_use *next = use->next;
        lease_unref(use->lease);
        free(use->words);
        free(use);
        use = next;
    }
}

static struct lease_use *use_find(const struct live_token *token, struct sp_text key)
{
    for (struct lease_use *use = token->leases; use; use = use->next) {
        if (sp_text_is(key, use->key)) {
            return use;
        }
    }
    return NULL;
}

sp_status lease_use_put(struct live_token *token, struct sp_text key, uint32_t version,
                        struct sp_text words, struct lease *lease)
{
    struct lease_use *use = use_find(token, key);
    char *copy = malloc(words.len + 1);
    if (!copy) {
        return SP_ENOMEM;
    }
    if (!use) {
        use = calloc(1, sizeof *use);
        if (use) {
            copy_name(key, use->key, sizeof use->key);
            use->next = token->leases;
            token->leases = use;
        }
    }
    if (!use) {
        free(copy);
        return SP_ENOMEM;
    }
    if (words.len) {
        memcpy(copy, words.ptr, words.len);
    }
    copy[words.len] = '\0';
    if (lease) {
        lease->n_refs++;
    }
    free(use->words);
    lease_unref(use->lease);
    use->words = copy;
    use->n_words = words.len;
    use->version = version;
    use->lease = lease;
    return SP_OK;
}

void sp_ticket_lease(const struct sp_ticket *ticket, struct sp_text *ret_words,
                     struct sp_lease **ret_lease)
{
    const struct sp_key *key = &ticket_key(ticket)->public;
    const struct lease_use *use = use_find(ticket_token(ticket), key->id);
    bool known = use && use->version == key->since;
    *ret_words = known ? (struct sp_text){use->words, use->n_words} : (struct sp_text){NULL, 0};
    *ret_lease = known && use->lease && use->lease->public.state == SP_LEASE_LIVE &&
                         use->lease->public.held
                     ? &use->lease->public
                     : NULL;
}

sp_status sp_ticket_lease_words(struct sp_ticket *ticket, struct sp_text words)
{
    const struct sp_key *key = &ticket_key(ticket)->public;
    return lease_use_put(ticket_token(ticket), key->id, key->since, words, NULL);
}

/* ---- secrets --------------------------------------------------------------------------------
 */

/* The box is of this row, and of what stands in it in plain text. */
struct sp_text lease_box_name(const struct sp_lease *lease, char text[LEASE_BOX_NAME_BYTES])
{
    struct sp_hash hash;
    uint8_t digest[SP_HASH_BYTES];
    char hex[2 * SP_HASH_BYTES + 1];
    sp_hash_init(&hash, NULL);
    sp_hash_part(&hash, lease->key, strlen(lease->key));
    sp_hash_part(&hash, lease->provider, strlen(lease->provider));
    sp_hash_part(&hash, lease->words.ptr, lease->words.len);
    if (lease->kind == SP_LEASE_ROTATION) {
        sp_hash_part(&hash, "rotation", strlen("rotation"));
    }
    sp_hash_done(&hash, digest);
    sp_hex_encode(digest, sizeof digest, hex);
    (void)snprintf(text, LEASE_BOX_NAME_BYTES, "%s|%s", lease->hex, hex);
    return sp_text_of(text);
}

/* What the box of a row holds; on the commit thread, at unsealing. */
static sp_status open_box(const struct sp_keyring *keyring, struct sp_pool *pool,
                          const struct sp_lease *lease, const struct sp_lease_row *row,
                          struct key_version **ret_minted)
{
    struct sp_secret plain;
    char name[LEASE_BOX_NAME_BYTES];
    sp_status status = sp_keyring_unseal(keyring, "leases", lease_box_name(lease, name),
                                         row->version, row->ring, row->secrets, pool, &plain);
    if (!status) {
        status = version_of_secrets(pool, &plain, ret_minted);
        sp_secret_free(&plain);
    }
    return status;
}

const struct sp_key *sp_lease_key(struct sp_engine *engine, struct sp_lease *public)
{
    struct lease *lease = lease_of(public);
    struct key_version *base = key_find(engine, sp_text_of(public->key));
    if (engine->state != SP_ENGINE_READY || !base) {
        return NULL;
    }
    if (!lease->minted) { /* never captured */
        sp_key_ref(&base->public);
        return &base->public;
    }
    if (!lease->key || lease->key->base != base || lease->key_state != public->state) {
        const char *prefix = public->kind == SP_LEASE_CREDENTIAL ? "lease."
                             : public->state == SP_LEASE_LIVE    ? NULL
                                                                 : "previous.";
        struct key_version *joined = NULL;
        if (version_join(base, lease->minted, prefix, &joined)) {
            return NULL;
        }
        sp_key_unref(engine, lease->key ? &lease->key->public : NULL);
        lease->key = joined;
        lease->key_state = public->state;
    }
    sp_key_ref(&lease->key->public);
    return &lease->key->public;
}

void sp_lease_hold(struct sp_engine *engine, struct sp_lease *public)
{
    lease_of(public)->n_refs++;
    public->n_calls++;
    public->used_ms = engine_wall(engine);
}

void sp_lease_release(struct sp_engine *engine, struct sp_lease *public)
{
    (void)engine;
    public->n_calls--;
    lease_unref(lease_of(public));
}

/* ---- reading, sealing -----------------------------------------------------------------------
 */

static sp_status load_row(void *user, const struct sp_lease_row *row)
{
    struct lease *lease = lease_new(user, row);
    if (!lease) {
        return SP_ENOMEM;
    }
    if (lease->public.state == SP_LEASE_MINTING) { /* who tried it did not live to tell */
        lease->public.state = SP_LEASE_ENDING;
    }
    return SP_OK;
}

static sp_status load_user(void *user, const uint8_t id[SP_LEASE_ID_BYTES],
                           const uint8_t token_id[SP_TOKEN_ID_BYTES])
{
    struct sp_engine *engine = user;
    struct sp_lease *found = sp_engine_lease_by_id(engine, id);
    struct live_token *token = token_find(engine, token_id);
    if (!found || !token) {
        return SP_OK; /* one of them is gone */
    }
    struct lease *lease = lease_of(found);
    sp_status status = lease_add_user(lease, token_id);
    return status ? status
                  : lease_use_put(token, sp_text_of(found->key), found->key_version,
                                  found->words, lease);
}

sp_status leases_load(struct sp_engine *engine, struct sp_error *err)
{
    sp_status status = sp_store_lease_list(engine->store, load_row, engine, err);
    return status ? status : sp_store_lease_users(engine->store, load_user, engine, err);
}

void leases_free(struct sp_engine *engine)
{
    while (engine->leases) {
        lease_unlist(engine, engine->leases);
    }
}

void leases_seal(struct sp_engine *engine)
{
    for (struct lease *lease = engine->leases; lease; lease = lease->next) {
        lease_drop_secrets(lease);
    }
}

struct opening {
    const struct sp_keyring *keyring;
    struct sp_pool *pool;
    struct opened_lease **last;
};

static sp_status open_row(void *user, const struct sp_lease_row *row)
{
    struct opening *o = user;
    struct sp_engine nobody = {.leases = NULL};
    struct opened_lease *opened = calloc(1, sizeof *opened);
    struct lease *lease = opened ? lease_new(&nobody, row) : NULL; /* for its box's name */
    if (!lease) {
        free(opened);
        return SP_ENOMEM;
    }
    /* One that cannot be opened cannot be used; it ends by itself, or is given up. */
    if (row->secrets.len &&
        open_box(o->keyring, o->pool, &lease->public, row, &opened->minted) == SP_ENOMEM) {
        lease_unref(lease);
        free(opened);
        return SP_ENOMEM;
    }
    memcpy(opened->id, row->id, sizeof opened->id);
    lease_unref(lease);
    *o->last = opened;
    o->last = &opened->next;
    return SP_OK;
}

sp_status leases_open(struct sp_store *store, const struct sp_keyring *keyring,
                      struct sp_pool *pool, struct opened_lease **ret_opened,
                      struct sp_error *err)
{
    struct opening opening = {keyring, pool, ret_opened};
    *ret_opened = NULL;
    sp_status status = sp_store_lease_list(store, open_row, &opening, err);
    if (status) {
        opened_leases_free(*ret_opened);
        *ret_opened = NULL;
    }
    return status;
}

void opened_leases_free(struct opened_lease *opened)
{
    while (opened) {
        struct opened_lease *next = opened->next;
        sp_key_unref(NULL, opened->minted ? &opened->minted->public : NULL);
        free(opened);
        opened = next;
    }
}

void leases_unseal(struct sp_engine *engine, struct opened_lease *opened)
{
    for (struct opened_lease *o = opened; o; o = o->next) {
        struct sp_lease *public = sp_engine_lease_by_id(engine, o->id);
        if (public && o->minted) {
            lease_drop_secrets(lease_of(public));
            lease_of(public)->minted = o->minted;
            public->held = true;
            o->minted = NULL;
        }
    }
    opened_leases_free(opened);
}

/* ---- lists ----------------------------------------------------------------------------------
 */

struct sp_lease *sp_engine_lease_by_id(struct sp_engine *engine,
                                       const uint8_t id[SP_LEASE_ID_BYTES])
{
    for (struct lease *lease = engine->leases; lease; lease = lease->next) {
        if (memcmp(lease->public.id, id, SP_LEASE_ID_BYTES) == 0) {
            return &lease->public;
        }
    }
    return NULL;
}

struct sp_lease *sp_engine_lease_find(struct sp_engine *engine, const struct sp_key *key,
                                      struct sp_text words)
{
    struct sp_lease *found = NULL;
    for (struct lease *lease = engine->leases; lease; lease = lease->next) {
        struct sp_lease *public = &lease->public;
        if (public->kind == SP_LEASE_CREDENTIAL && public->state == SP_LEASE_LIVE &&
            public->held && public->key_version == key->since &&
            sp_text_is(key->id, public->key) && sp_text_eq(words, public->words)) {
            found = public;
        }
    }
    return found;
}

void sp_engine_each_lease(struct sp_engine *engine,
                          void (*fn)(void *user, struct sp_lease *lease), void *user)
{
    for (struct lease *lease = engine->leases; lease;) {
        lease->n_refs++;
        fn(user, &lease->public);
        struct lease *next = lease->next;
        lease_unref(lease);
        lease = next;
    }
}

bool sp_lease_is_wanted(struct sp_engine *engine, struct sp_lease *public)
{
    struct lease *lease = lease_of(public);
    while (public->n_tokens > 0) {
        struct sp_decision ignored;
        struct live_token *token = token_find(engine, lease->users[public->n_tokens - 1]);
        if (token && (token_lives(engine, token, &ignored) ||
                      !(token->revoked_ms || token->seen_expired))) {
            return true;
        }
        public->n_tokens--;
    }
    return public->n_calls > 0 ||
           (!lease->had_users && engine_wall(engine) - public->made_ms < FRESH_MS);
}
