/* The SQLite store: statements, transactions, named values. */
#include "store_sqlite.h"

#include <string.h>

static const char *const sql[ST_COUNT] = {
    [ST_BEGIN] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_ROLLBACK] = "ROLLBACK",
    [ST_SAVEPOINT] = "SAVEPOINT job",
    [ST_RELEASE] = "RELEASE job",
    [ST_ROLLBACK_TO] = "ROLLBACK TO job",
    [ST_GET] = "SELECT value FROM meta WHERE name = ?1",
    [ST_PUT] = "INSERT INTO meta VALUES(?1, ?2) ON CONFLICT DO UPDATE SET value = ?2",
    [ST_RAISE] = "INSERT INTO meta VALUES(?1, ?2) ON CONFLICT DO UPDATE SET value = ?2"
                 " WHERE ?2 > value",
    [ST_RING_ADD] = "INSERT INTO ring VALUES(?1, ?2, ?3, ?4)",
    [ST_RING_LIST] = "SELECT id, purpose, box, active FROM ring ORDER BY id",
    [ST_KEY_ADD] = "INSERT INTO keys VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    [ST_KEY_ROTATE] = "UPDATE keys SET version = ?2, settings = ?3, secrets = ?4, ring = ?5,"
                      " rotated_ms = ?6, since = ?7 WHERE id = ?1 AND version = ?2 - 1",
    [ST_KEY_REMOVE] = "DELETE FROM keys WHERE id = ?1",
    [ST_KEY_LIST] = "SELECT id, provider, version, hosts, settings, secrets, ring, created_ms,"
                    " rotated_ms, since FROM keys ORDER BY id",
    [ST_CLIENT_ADD] = "INSERT INTO clients VALUES(?1, ?2, ?3, ?4)",
    [ST_CLIENT_REMOVE] = "DELETE FROM clients WHERE name = ?1 AND (admin = 0 OR"
                         " (SELECT count(*) FROM clients WHERE admin = 1) > 1)",
    [ST_CLIENT_LIST] = "SELECT name, curve, admin, created_ms FROM clients ORDER BY name",
    [ST_TOKEN_ADD] =
        "INSERT INTO tokens SELECT ?1, ?2, ?3, ?4, ?5, ?6, 0, 0, '', 0 WHERE ?7 = 0 OR"
        " (SELECT count(*) FROM tokens WHERE principal = ?3 AND scope = ?4"
        "  AND expires_ms > ?8 AND revoked_ms = 0) < ?7",
    [ST_TOKEN_REVOKE] = "UPDATE tokens SET revoked_ms = CASE revoked_ms WHEN 0 THEN ?2"
                        " ELSE revoked_ms END WHERE id = ?1",
    [ST_TOKEN_REVOKE_ALL] = "UPDATE tokens SET revoked_ms = ?1 WHERE revoked_ms = 0",
    [ST_TOKEN_HIT] = "UPDATE tokens SET guard_hits = guard_hits + 1, guard_key = ?2,"
                     " suspended_ms = CASE WHEN suspended_ms = 0 AND guard_hits + 1 >= ?3"
                     " THEN ?4 ELSE suspended_ms END WHERE id = ?1",
    [ST_TOKEN_RESUME] = "UPDATE tokens SET guard_hits = 0, guard_key = '', suspended_ms = 0"
                        " WHERE id = ?1",
    [ST_TOKEN_LIST] = "SELECT id, grant, principal, scope, issued_ms, expires_ms, revoked_ms,"
                      " guard_hits, guard_key, suspended_ms FROM tokens",
    [ST_TOKEN_PURGE] = "DELETE FROM tokens WHERE expires_ms < ?1",
    [ST_CLAIM] =
        "INSERT INTO claims VALUES(?1, ?2, ?3, ?4, 0, NULL, ?5) ON CONFLICT DO NOTHING",
    [ST_CLAIM_GET] = "SELECT digest, state, answer FROM claims WHERE curve = ?1 AND root = ?2"
                     " AND id = ?3",
    [ST_SETTLE] = "UPDATE claims SET state = ?4, answer = ?5 WHERE curve = ?1 AND root = ?2"
                  " AND id = ?3 AND state = 0",
    [ST_UNCLAIM] =
        "DELETE FROM claims WHERE curve = ?1 AND root = ?2 AND id = ?3 AND state = 0",
    [ST_CLAIM_PURGE] = "DELETE FROM claims WHERE made_ms < ?1",
    [ST_BUDGET_FORGET] = "DELETE FROM budgets WHERE bucket = ?1 AND at_ms + window_ms <= ?2",
    [ST_BUDGET_TAKE] =
        "INSERT INTO budgets SELECT ?1, ?2, ?3, ?4 WHERE"
        " (SELECT coalesce(sum(amount), 0) FROM budgets WHERE bucket = ?1 AND at_ms > ?5) + ?4"
        " <= ?6 ON CONFLICT DO UPDATE SET amount = amount + excluded.amount,"
        " window_ms = max(window_ms, excluded.window_ms)",
    [ST_BUDGET_NEWEST] = "SELECT at_ms, amount FROM budgets WHERE bucket = ?1 AND at_ms > ?2"
                         " ORDER BY at_ms DESC",
    [ST_BUDGET_RETURN] = "UPDATE budgets SET amount = max(amount - ?3, 0)"
                         " WHERE bucket = ?1 AND at_ms = ?2",
    [ST_BUDGET_PURGE] = "DELETE FROM budgets WHERE at_ms + window_ms <= ?1",
    [ST_BUDGET_LIST] = "SELECT bucket, at_ms, window_ms, amount FROM budgets",
    [ST_BUDGET_PUT] = "INSERT INTO budgets VALUES(?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET"
                      " amount = max(amount, excluded.amount)",
    [ST_LEASE_ADD] = "INSERT INTO leases VALUES(?1, ?2, ?3, ?4, ?5, 0, x'', 0, ?6, 0, ?7)",
    [ST_LEASE_LIVE] = "UPDATE leases SET state = 1, secrets = ?2, ring = ?3, expires_ms = ?4"
                      " WHERE id = ?1 AND state = 0",
    [ST_LEASE_SWAP] = "UPDATE leases SET state = 2, secrets = ?2, ring = ?3"
                      " WHERE id = ?1 AND state = 1",
    [ST_LEASE_END] = "UPDATE leases SET state = 2 WHERE id = ?1",
    [ST_LEASE_REMOVE] = "DELETE FROM leases WHERE id = ?1",
    [ST_LEASE_REMOVE_USERS] = "DELETE FROM lease_users WHERE lease = ?1",
    [ST_LEASE_LIST] = "SELECT id, key, provider, version, permissions, state, secrets, ring,"
                      " made_ms, expires_ms, kind FROM leases ORDER BY made_ms, id",
    [ST_LEASE_USE] = "INSERT INTO lease_users SELECT ?1, ?2 WHERE EXISTS"
                     " (SELECT 1 FROM leases WHERE id = ?1 AND state = 1)"
                     " ON CONFLICT DO UPDATE SET lease = excluded.lease",
    [ST_LEASE_USERS] = "SELECT lease, token FROM lease_users",
};

/* ---- statements -----------------------------------------------------------------------------
 */

sp_status store_failed(struct sp_store *store, const char *doing, struct sp_error *err)
{
    int code = sqlite3_errcode(store->db);
    sp_status status = code == SQLITE_NOMEM                              ? SP_ENOMEM
                       : code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? SP_ECORRUPT
                                                                         : SP_EIO;
    return sp_fail(err, status, "store: %s: %s%s", doing, sqlite3_errmsg(store->db),
                   code == SQLITE_BUSY ? " (by another sallyport?)" : "");
}

sqlite3_stmt *store_statement(struct sp_store *store, enum store_statement id,
                              struct sp_error *err)
{
    sqlite3_stmt **st = &store->statements[id];
    if (!*st &&
        sqlite3_prepare_v3(store->db, sql[id], -1, SQLITE_PREPARE_PERSISTENT, st, NULL)) {
        (void)store_failed(store, sql[id], err);
        return NULL;
    }
    (void)sqlite3_reset(*st);
    (void)sqlite3_clear_bindings(*st);
    return *st;
}

sp_status store_run(struct sp_store *store, sqlite3_stmt *st, const char *doing,
                    struct sp_error *err)
{
    if (!st) {
        return SP_EIO;
    }
    int code = sqlite3_step(st);
    sp_status status = SP_OK;
    if ((code & 0xff) == SQLITE_CONSTRAINT) {
        status = sp_fail(err, SP_EEXIST, "%s: there is one already", doing);
    } else if (code != SQLITE_DONE && code != SQLITE_ROW) {
        status = store_failed(store, doing, err);
    }
    (void)sqlite3_reset(st); /* its code repeats that of the step */
    return status;
}

sp_status store_change(struct sp_store *store, sqlite3_stmt *st, const char *doing,
                       sp_status none, struct sp_error *err)
{
    sp_status status = store_run(store, st, doing, err);
    if (!status && sqlite3_changes(store->db) == 0) {
        status = sp_fail(err, none, "%s: %s", doing, sp_status_name(none));
    }
    return status;
}

void store_bind_text(sqlite3_stmt *st, int i, struct sp_text text)
{
    (void)sqlite3_bind_text64(st, i, text.ptr ? text.ptr : "", text.len, SQLITE_STATIC,
                              SQLITE_UTF8);
}

void store_bind_blob(sqlite3_stmt *st, int i, const void *bytes, size_t len)
{
    (void)sqlite3_bind_blob64(st, i, bytes ? bytes : "", len, SQLITE_STATIC);
}

struct sp_text store_text(sqlite3_stmt *st, int column)
{
    const char *ptr = sqlite3_column_blob(st, column);
    return (struct sp_text){ptr ? ptr : "", ptr ? (size_t)sqlite3_column_bytes(st, column) : 0};
}

sp_status store_each(struct sp_store *store, sqlite3_stmt *st, const char *doing,
                     sp_status (*row)(sqlite3_stmt *st, void *user), void *user,
                     struct sp_error *err)
{
    if (!st) {
        return SP_EIO;
    }
    sp_status status = SP_OK;
    int code = SQLITE_ROW;
    while (!status && (code = sqlite3_step(st)) == SQLITE_ROW) {
        status = row(st, user);
    }
    if (!status && code != SQLITE_DONE) {
        status = store_failed(store, doing, err);
    }
    (void)sqlite3_reset(st);
    return status;
}

/* ---- transactions ---------------------------------------------------------------------------
 */

static sp_status plain(struct sp_store *store, enum store_statement id, struct sp_error *err)
{
    return store_run(store, store_statement(store, id, err), sql[id], err);
}

sp_status sp_store_begin(struct sp_store *store, struct sp_error *err)
{
    return plain(store, ST_BEGIN, err);
}

sp_status sp_store_commit(struct sp_store *store, struct sp_error *err)
{
    return plain(store, ST_COMMIT, err);
}

void sp_store_rollback(struct sp_store *store)
{
    if (!sqlite3_get_autocommit(store->db)) {
        (void)plain(store, ST_ROLLBACK, NULL);
    }
}

sp_status sp_store_savepoint(struct sp_store *store, struct sp_error *err)
{
    if (sqlite3_get_autocommit(store->db)) {
        /* A full disk or memory made SQLite give the transaction up. A savepoint would begin
         * another, and what was done before would be missing from it. */
        return sp_fail(err, SP_EIO, "store: the transaction was given up");
    }
    return plain(store, ST_SAVEPOINT, err);
}

sp_status sp_store_release(struct sp_store *store, bool keep, struct sp_error *err)
{
    sp_status status = keep ? SP_OK : plain(store, ST_ROLLBACK_TO, err);
    return status ? status : plain(store, ST_RELEASE, err);
}

/* ---- named values ---------------------------------------------------------------------------
 */

/* Step to the value of a name; SP_ENOENT where there is none. The caller resets. */
static sp_status find(struct sp_store *store, const char *name, sqlite3_stmt **ret_st,
                      struct sp_error *err)
{
    sqlite3_stmt *st = store_statement(store, ST_GET, err);
    if (!st) {
        return SP_EIO;
    }
    store_bind_text(st, 1, sp_text_of(name));
    int code = sqlite3_step(st);
    *ret_st = st;
    if (code == SQLITE_ROW) {
        return SP_OK;
    }
    sp_status status = code == SQLITE_DONE ? sp_fail(err, SP_ENOENT, "store: no '%s'", name)
                                           : store_failed(store, name, err);
    (void)sqlite3_reset(st);
    return status;
}

sp_status sp_store_get(struct sp_store *store, const char *name, void *ret_value, size_t room,
                       size_t *ret_len, struct sp_error *err)
{
    sqlite3_stmt *st;
    sp_status status = find(store, name, &st, err);
    if (status) {
        return status;
    }
    struct sp_text value = store_text(st, 0);
    if (value.len > room) {
        status = sp_fail(err, SP_ETOOBIG, "store: '%s' is larger than it can be", name);
    } else {
        memcpy(ret_value, value.ptr, value.len);
        *ret_len = value.len;
    }
    (void)sqlite3_reset(st);
    return status;
}

sp_status sp_store_put(struct sp_store *store, const char *name, const void *value, size_t len,
                       struct sp_error *err)
{
    sqlite3_stmt *st = store_statement(store, ST_PUT, err);
    if (!st) {
        return SP_EIO;
    }
    store_bind_text(st, 1, sp_text_of(name));
    store_bind_blob(st, 2, value, len);
    return store_run(store, st, name, err);
}

/* Numbers are 8 bytes, most significant first with the sign bit turned, so that bytes compare
 * as numbers do. */
static void number_encode(int64_t number, uint8_t ret_bytes[8])
{
    uint64_t bits = (uint64_t)number ^ (uint64_t)1 << 63;
    for (unsigned i = 0; i < 8; i++) {
        ret_bytes[i] = (uint8_t)(bits >> (56 - 8 * i));
    }
}

sp_status sp_store_raise(struct sp_store *store, const char *name, int64_t number,
                         struct sp_error *err)
{
    uint8_t bytes[8];
    sqlite3_stmt *st = store_statement(store, ST_RAISE, err);
    if (!st) {
        return SP_EIO;
    }
    number_encode(number, bytes);
    store_bind_text(st, 1, sp_text_of(name));
    store_bind_blob(st, 2, bytes, sizeof bytes);
    return store_run(store, st, name, err);
}

sp_status sp_store_get_number(struct sp_store *store, const char *name, int64_t *ret_number,
                              struct sp_error *err)
{
    uint8_t bytes[8];
    size_t len = 0;
    sp_status status = sp_store_get(store, name, bytes, sizeof bytes, &len, err);
    if (status || len != sizeof bytes) {
        return status ? status : sp_fail(err, SP_ECORRUPT, "store: '%s' is no number", name);
    }
    uint64_t bits = 0;
    for (unsigned i = 0; i < 8; i++) {
        bits = bits << 8 | bytes[i];
    }
    *ret_number = (int64_t)(bits ^ (uint64_t)1 << 63);
    return SP_OK;
}

/* The head: 8 bytes of number as above, then the hash. */
sp_status sp_store_get_head(struct sp_store *store, struct sp_head *ret_head,
                            struct sp_error *err)
{
    uint8_t bytes[40];
    size_t len = 0;
    sp_status status = sp_store_get(store, "audit.head", bytes, sizeof bytes, &len, err);
    if (status || len != sizeof bytes) {
        return status ? status
                      : sp_fail(err, SP_ECORRUPT, "store: the audit's head is damaged");
    }
    ret_head->seq = 0;
    for (unsigned i = 0; i < 8; i++) {
        ret_head->seq = ret_head->seq << 8 | bytes[i];
    }
    memcpy(ret_head->hash, bytes + 8, 32);
    return SP_OK;
}

sp_status sp_store_put_head(struct sp_store *store, const struct sp_head *head,
                            struct sp_error *err)
{
    uint8_t bytes[40];
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(head->seq >> (56 - 8 * i));
    }
    memcpy(bytes + 8, head->hash, 32);
    return sp_store_put(store, "audit.head", bytes, sizeof bytes, err);
}
