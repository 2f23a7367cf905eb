/* Leases in the SQLite store. */
#include "store_sqlite.h"

#include <string.h>

sp_status sp_store_lease_add(struct sp_store *store, const struct sp_lease_row *row,
                             struct sp_error *err)
{
    sqlite3_stmt *st = store_statement(store, ST_LEASE_ADD, err);
    if (!st) {
        return SP_EIO;
    }
    store_bind_blob(st, 1, row->id, sizeof row->id);
    store_bind_text(st, 2, row->key);
    store_bind_text(st, 3, row->provider);
    (void)sqlite3_bind_int64(st, 4, row->version);
    store_bind_text(st, 5, row->permissions);
    (void)sqlite3_bind_int64(st, 6, row->made_ms);
    (void)sqlite3_bind_int64(st, 7, row->kind);
    return store_run(store, st, "lease", err);
}

sp_status sp_store_lease_live(struct sp_store *store, const struct sp_lease_row *row,
                              struct sp_error *err)
{
    sqlite3_stmt *st = store_statement(store, ST_LEASE_LIVE, err);
    if (!st) {
        return SP_EIO;
    }
    store_bind_blob(st, 1, row->id, sizeof row->id);
    store_bind_blob(st, 2, row->secrets.ptr, row->secrets.len);
    (void)sqlite3_bind_int64(st, 3, row->ring);
    (void)sqlite3_bind_int64(st, 4, row->expires_ms);
    return store_change(store, st, "lease", SP_ENOENT, err);
}

sp_status sp_store_lease_swap(struct sp_store *store, const struct sp_lease_row *row,
                              struct sp_error *err)
{
    sqlite3_stmt *st = store_statement(store, ST_LEASE_SWAP, err);
    if (!st) {
        return SP_EIO;
    }
    store_bind_blob(st, 1, row->id, sizeof row->id);
    store_bind_blob(st, 2, row->secrets.ptr, row->secrets.len);
    (void)sqlite3_bind_int64(st, 3, row->ring);
    return store_change(store, st, "lease", SP_ENOENT, err);
}

static sp_status by_id(struct sp_store *store, enum store_statement id, const uint8_t lease[16],
                       struct sp_error *err)
{
    sqlite3_stmt *st = store_statement(store, id, err);
    if (!st) {
        return SP_EIO;
    }
    store_bind_blob(st, 1, lease, 16);
    return store_run(store, st, "lease", err);
}

sp_status sp_store_lease_end(struct sp_store *store, const uint8_t id[16], struct sp_error *err)
{
    return by_id(store, ST_LEASE_END, id, err);
}

sp_status sp_store_lease_remove(struct sp_store *store, const uint8_t id[16],
                                struct sp_error *err)
{
    sp_status status = by_id(store, ST_LEASE_REMOVE_USERS, id, err);
    return status ? status : by_id(store, ST_LEASE_REMOVE, id, err);
}

sp_status sp_store_lease_use(struct sp_store *store, const uint8_t lease[16],
                             const uint8_t token[16], struct sp_error *err)
{
    sqlite3_stmt *st = store_statement(store, ST_LEASE_USE, err);
    if (!st) {
        return SP_EIO;
    }
    store_bind_blob(st, 1, lease, 16);
    store_bind_blob(st, 2, token, 16);
    return store_change(store, st, "lease", SP_ENOENT, err);
}

/* ---- lists ----------------------------------------------------------------------------------
 */

struct rows {
    sp_lease_row_fn fn;
    sp_lease_user_fn user_fn;
    void *user;
};

static sp_status lease_row(sqlite3_stmt *st, void *user)
{
    const struct rows *rows = user;
    struct sp_text id = store_text(st, 0);
    int state = sqlite3_column_int(st, 5);
    struct sp_lease_row row = {.key = store_text(st, 1),
                               .provider = store_text(st, 2),
                               .version = (uint32_t)sqlite3_column_int64(st, 3),
                               .permissions = store_text(st, 4),
                               .state = state == SP_LEASE_MINTING ? SP_LEASE_MINTING
                                        : state == SP_LEASE_LIVE  ? SP_LEASE_LIVE
                                                                  : SP_LEASE_ENDING,
                               .secrets = store_text(st, 6),
                               .ring = (uint32_t)sqlite3_column_int64(st, 7),
                               .made_ms = sqlite3_column_int64(st, 8),
                               .expires_ms = sqlite3_column_int64(st, 9),
                               .kind = sqlite3_column_int(st, 10) == SP_LEASE_ROTATION
                                           ? SP_LEASE_ROTATION
                                           : SP_LEASE_CREDENTIAL};
    if (id.len != sizeof row.id) {
        return SP_OK; /* not written by us */
    }
    memcpy(row.id, id.ptr, sizeof row.id);
    return rows->fn(rows->user, &row);
}

sp_status sp_store_lease_list(struct sp_store *store, sp_lease_row_fn fn, void *user,
                              struct sp_error *err)
{
    struct rows rows = {.fn = fn, .user = user};
    return store_each(store, store_statement(store, ST_LEASE_LIST, err), "leases", lease_row,
                      &rows, err);
}

static sp_status user_row(sqlite3_stmt *st, void *user)
{
    const struct rows *rows = user;
    struct sp_text lease = store_text(st, 0), token = store_text(st, 1);
    return lease.len == 16 && token.len == 16
               ? rows->user_fn(rows->user, (const uint8_t *)lease.ptr,
                               (const uint8_t *)token.ptr)
               : SP_OK;
}

sp_status sp_store_lease_users(struct sp_store *store, sp_lease_user_fn fn, void *user,
                               struct sp_error *err)
{
    struct rows rows = {.user_fn = fn, .user = user};
    return store_each(store, store_statement(store, ST_LEASE_USERS, err), "leases", user_row,
                      &rows, err);
}
