/* Keyring, keys and clients in the SQLite store. */
#include "store_sqlite.h"

struct rows {
    sp_ring_row_fn ring;
    sp_key_row_fn key;
    sp_client_row_fn client;
    void *user;
};

/* ---- keyring --------------------------------------------------------------------------------
 */

sp_status sp_store_ring_add(struct sp_store *store, const struct sp_ring_row *row,
                            struct sp_error *err)
{
    sqlite3_stmt *st = store_statement(store, ST_RING_ADD, err);
    if (!st) {
        return SP_EIO;
    }
    (void)sqlite3_bind_int64(st, 1, row->id);
    store_bind_text(st, 2, row->purpose);
    store_bind_blob(st, 3, row->box.ptr, row->box.len);
    (void)sqlite3_bind_int(st, 4, row->active);
    return store_run(store, st, "keyring", err);
}

static sp_status ring_row(sqlite3_stmt *st, void *user)
{
    const struct rows *rows = user;
    struct sp_ring_row row = {.id = (uint32_t)sqlite3_column_int64(st, 0),
                              .purpose = store_text(st, 1),
                              .box = store_text(st, 2),
                              .active = sqlite3_column_int(st, 3) != 0};
    return rows->ring(rows->user, &row);
}

sp_status sp_store_ring_list(struct sp_store *store, sp_ring_row_fn fn, void *user,
                             struct sp_error *err)
{
    struct rows rows = {.ring = fn, .user = user};
    return store_each(store, store_statement(store, ST_RING_LIST, err), "keyring", ring_row,
                      &rows, err);
}

/* ---- keys -----------------------------------------------------------------------------------
 */

sp_status sp_store_key_add(struct sp_store *store, const struct sp_key_row *row,
                           struct sp_error *err)
{
    sqlite3_stmt *st = store_statement(store, ST_KEY_ADD, err);
    if (!st) {
        return SP_EIO;
    }
    store_bind_text(st, 1, row->id);
    store_bind_text(st, 2, row->provider);
    (void)sqlite3_bind_int64(st, 3, row->version);
    store_bind_text(st, 4, row->hosts);
    store_bind_text(st, 5, row->settings);
    store_bind_blob(st, 6, row->secrets.ptr, row->secrets.len);
    (void)sqlite3_bind_int64(st, 7, row->ring);
    (void)sqlite3_bind_int64(st, 8, row->created_ms);
    (void)sqlite3_bind_int64(st, 9, row->rotated_ms);
    (void)sqlite3_bind_int64(st, 10, row->since);
    return store_run(store, st, "key", err);
}

sp_status sp_store_key_rotate(struct sp_store *store, const struct sp_key_row *row,
                              struct sp_error *err)
{
    sqlite3_stmt *st = store_statement(store, ST_KEY_ROTATE, err);
    if (!st) {
        return SP_EIO;
    }
    store_bind_text(st, 1, row->id);
    (void)sqlite3_bind_int64(st, 2, row->version);
    store_bind_text(st, 3, row->settings);
    store_bind_blob(st, 4, row->secrets.ptr, row->secrets.len);
    (void)sqlite3_bind_int64(st, 5, row->ring);
    (void)sqlite3_bind_int64(st, 6, row->rotated_ms);
    (void)sqlite3_bind_int64(st, 7, row->since);
    return store_change(store, st, "key", SP_EEXIST, err);
}

sp_status sp_store_key_remove(struct sp_store *store, struct sp_text id, struct sp_error *err)
{
    sqlite3_stmt *st = store_statement(store, ST_KEY_REMOVE, err);
    if (!st) {
        return SP_EIO;
    }
    store_bind_text(st, 1, id);
    return store_change(store, st, "key", SP_ENOENT, err);
}

static sp_status key_row(sqlite3_stmt *st, void *user)
{
    const struct rows *rows = user;
    struct sp_key_row row = {.id = store_text(st, 0),
                             .provider = store_text(st, 1),
                             .version = (uint32_t)sqlite3_column_int64(st, 2),
                             .hosts = store_text(st, 3),
                             .settings = store_text(st, 4),
                             .secrets = store_text(st, 5),
                             .ring = (uint32_t)sqlite3_column_int64(st, 6),
                             .created_ms = sqlite3_column_int64(st, 7),
                             .rotated_ms = sqlite3_column_int64(st, 8),
                             .since = (uint32_t)sqlite3_column_int64(st, 9)};
    row.since = row.since ? row.since : row.version;
    return rows->key(rows->user, &row);
}

sp_status sp_store_key_list(struct sp_store *store, sp_key_row_fn fn, void *user,
                            struct sp_error *err)
{
    struct rows rows = {.key = fn, .user = user};
    return store_each(store, store_statement(store, ST_KEY_LIST, err), "keys", key_row, &rows,
                      err);
}

/* ---- clients --------------------------------------------------------------------------------
 */

sp_status sp_store_client_add(struct sp_store *store, const struct sp_client_row *row,
                              struct sp_error *err)
{
    sqlite3_stmt *st = store_statement(store, ST_CLIENT_ADD, err);
    if (!st) {
        return SP_EIO;
    }
    store_bind_text(st, 1, row->name);
    store_bind_text(st, 2, row->curve);
    (void)sqlite3_bind_int(st, 3, row->admin);
    (void)sqlite3_bind_int64(st, 4, row->created_ms);
    return store_run(store, st, "client", err);
}

struct search {
    struct sp_text name;
    bool found;
};

static sp_status find_client(void *user, const struct sp_client_row *row)
{
    struct search *search = user;
    search->found = search->found || sp_text_eq(search->name, row->name);
    return SP_OK;
}

sp_status sp_store_client_remove(struct sp_store *store, struct sp_text name,
                                 struct sp_error *err)
{
    struct sp_error ignored;
    sqlite3_stmt *st = store_statement(store, ST_CLIENT_REMOVE, err);
    if (!st) {
        return SP_EIO;
    }
    store_bind_text(st, 1, name);
    sp_status status = store_change(store, st, "client", SP_ENOENT, err);
    if (status != SP_ENOENT) {
        return status;
    }
    /* Nothing was removed; which of the two reasons is it? */
    struct search search = {name, false};
    (void)sp_store_client_list(store, find_client, &search, &ignored);
    return search.found
               ? sp_fail(err, SP_EDENIED, "the last administrator cannot be removed")
               : sp_fail(err, SP_ENOENT, "there is no client of that name in the store");
}

static sp_status client_row(sqlite3_stmt *st, void *user)
{
    const struct rows *rows = user;
    struct sp_client_row row = {.name = store_text(st, 0),
                                .curve = store_text(st, 1),
                                .admin = sqlite3_column_int(st, 2) != 0,
                                .created_ms = sqlite3_column_int64(st, 3)};
    return rows->client(rows->user, &row);
}

sp_status sp_store_client_list(struct sp_store *store, sp_client_row_fn fn, void *user,
                               struct sp_error *err)
{
    struct rows rows = {.client = fn, .user = user};
    return store_each(store, store_statement(store, ST_CLIENT_LIST, err), "clients", client_row,
                      &rows, err);
}
