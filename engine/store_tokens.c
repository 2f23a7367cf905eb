/* Tokens and claimed request ids in the SQLite store. */
#include "store_sqlite.h"

#include "buf.h"

#include <string.h>

enum { CLAIM_STATE_OPEN = 0, CLAIM_STATE_ANSWERED = 1, CLAIM_STATE_DROPPED = 2 };

sp_status sp_store_token_add(struct sp_store *store, const struct sp_token_row *row,
                             uint32_t live_max, int64_t now_ms, struct sp_error *err)
{
    sqlite3_stmt *st = store_statement(store, ST_TOKEN_ADD, err);
    if (!st) {
        return SP_EIO;
    }
    store_bind_blob(st, 1, row->id, sizeof row->id);
    store_bind_blob(st, 2, row->grant.ptr, row->grant.len);
    store_bind_text(st, 3, row->principal);
    store_bind_text(st, 4, row->scope);
    (void)sqlite3_bind_int64(st, 5, row->issued_ms);
    (void)sqlite3_bind_int64(st, 6, row->expires_ms);
    (void)sqlite3_bind_int64(st, 7, live_max);
    (void)sqlite3_bind_int64(st, 8, now_ms);
    return store_change(store, st, "token", SP_EDENIED, err);
}

sp_status sp_store_token_revoke(struct sp_store *store, const uint8_t id[16], int64_t now_ms,
                                struct sp_error *err)
{
    sqlite3_stmt *st = store_statement(store, ST_TOKEN_REVOKE, err);
    if (!st) {
        return SP_EIO;
    }
    store_bind_blob(st, 1, id, 16);
    (void)sqlite3_bind_int64(st, 2, now_ms);
    return store_change(store, st, "token", SP_ENOENT, err);
}

sp_status sp_store_token_hit(struct sp_store *store, const uint8_t id[16], struct sp_text key,
                             uint32_t hits_max, int64_t now_ms, struct sp_error *err)
{
    sqlite3_stmt *st = store_statement(store, ST_TOKEN_HIT, err);
    if (!st) {
        return SP_EIO;
    }
    store_bind_blob(st, 1, id, 16);
    store_bind_text(st, 2, key);
    (void)sqlite3_bind_int64(st, 3, hits_max);
    (void)sqlite3_bind_int64(st, 4, now_ms);
    return store_run(store, st, "token", err);
}

sp_status sp_store_token_resume(struct sp_store *store, const uint8_t id[16],
                                struct sp_error *err)
{
    sqlite3_stmt *st = store_statement(store, ST_TOKEN_RESUME, err);
    if (!st) {
        return SP_EIO;
    }
    store_bind_blob(st, 1, id, 16);
    return store_change(store, st, "token", SP_ENOENT, err);
}

static sp_status with_number(struct sp_store *store, enum store_statement id, int64_t number,
                             const char *doing, struct sp_error *err)
{
    sqlite3_stmt *st = store_statement(store, id, err);
    if (!st) {
        return SP_EIO;
    }
    (void)sqlite3_bind_int64(st, 1, number);
    return store_run(store, st, doing, err);
}

sp_status sp_store_token_revoke_all(struct sp_store *store, int64_t now_ms,
                                    struct sp_error *err)
{
    return with_number(store, ST_TOKEN_REVOKE_ALL, now_ms, "tokens", err);
}

sp_status sp_store_token_purge(struct sp_store *store, int64_t then_ms, struct sp_error *err)
{
    return with_number(store, ST_TOKEN_PURGE, then_ms, "tokens", err);
}

sp_status sp_store_claim_purge(struct sp_store *store, int64_t then_ms, struct sp_error *err)
{
    return with_number(store, ST_CLAIM_PURGE, then_ms, "requests", err);
}

struct rows {
    sp_token_row_fn fn;
    void *user;
};

static sp_status token_row(sqlite3_stmt *st, void *user)
{
    const struct rows *rows = user;
    struct sp_text id = store_text(st, 0);
    struct sp_token_row row = {.grant = store_text(st, 1),
                               .principal = store_text(st, 2),
                               .scope = store_text(st, 3),
                               .issued_ms = sqlite3_column_int64(st, 4),
                               .expires_ms = sqlite3_column_int64(st, 5),
                               .revoked_ms = sqlite3_column_int64(st, 6),
                               .guard_hits = (uint32_t)sqlite3_column_int64(st, 7),
                               .guard_key = store_text(st, 8),
                               .suspended_ms = sqlite3_column_int64(st, 9)};
    if (id.len != sizeof row.id) {
        return SP_OK; /* not written by us: no token can name it */
    }
    memcpy(row.id, id.ptr, sizeof row.id);
    return rows->fn(rows->user, &row);
}

sp_status sp_store_token_list(struct sp_store *store, sp_token_row_fn fn, void *user,
                              struct sp_error *err)
{
    struct rows rows = {fn, user};
    return store_each(store, store_statement(store, ST_TOKEN_LIST, err), "tokens", token_row,
                      &rows, err);
}

/* ---- claims ---------------------------------------------------------------------------------
 */

static void bind_claim(sqlite3_stmt *st, const struct sp_claim_key *key)
{
    store_bind_text(st, 1, key->curve);
    store_bind_blob(st, 2, key->root, 16);
    store_bind_text(st, 3, key->id);
}

static enum sp_claim claim_of(sqlite3_stmt *st, const struct sp_claim_key *key,
                              struct sp_buf *ret_answer)
{
    struct sp_text digest = store_text(st, 0);
    if (digest.len != 32 || memcmp(digest.ptr, key->digest, 32) != 0) {
        return SP_CLAIM_CONFLICT;
    }
    switch (sqlite3_column_int(st, 1)) {
    case CLAIM_STATE_ANSWERED:
        sp_buf_add_text(ret_answer, store_text(st, 2));
        return SP_CLAIM_ANSWERED;
    case CLAIM_STATE_DROPPED:
        return SP_CLAIM_DROPPED;
    default:
        return SP_CLAIM_OPEN;
    }
}

sp_status sp_store_claim(struct sp_store *store, const struct sp_claim_key *key, int64_t now_ms,
                         enum sp_claim *ret_claim, struct sp_buf *ret_answer,
                         struct sp_error *err)
{
    sqlite3_stmt *st = store_statement(store, ST_CLAIM, err);
    if (!st) {
        return SP_EIO;
    }
    bind_claim(st, key);
    store_bind_blob(st, 4, key->digest, 32);
    (void)sqlite3_bind_int64(st, 5, now_ms);
    sp_status status = store_run(store, st, "request id", err);
    if (status || sqlite3_changes(store->db) == 1) {
        *ret_claim = SP_CLAIM_NEW;
        return status;
    }
    st = store_statement(store, ST_CLAIM_GET, err);
    if (!st) {
        return SP_EIO;
    }
    bind_claim(st, key);
    if (sqlite3_step(st) != SQLITE_ROW) {
        status = store_failed(store, "request id", err);
    } else {
        *ret_claim = claim_of(st, key, ret_answer);
    }
    (void)sqlite3_reset(st);
    return status;
}

sp_status sp_store_settle(struct sp_store *store, const struct sp_claim_key *key,
                          struct sp_text answer, struct sp_error *err)
{
    sqlite3_stmt *st = store_statement(store, ST_SETTLE, err);
    if (!st) {
        return SP_EIO;
    }
    bind_claim(st, key);
    (void)sqlite3_bind_int(st, 4, answer.ptr ? CLAIM_STATE_ANSWERED : CLAIM_STATE_DROPPED);
    if (answer.ptr) {
        store_bind_blob(st, 5, answer.ptr, answer.len);
    }
    return store_change(store, st, "request id", SP_ENOENT, err);
}

sp_status sp_store_unclaim(struct sp_store *store, const struct sp_claim_key *key,
                           struct sp_error *err)
{
    sqlite3_stmt *st = store_statement(store, ST_UNCLAIM, err);
    if (!st) {
        return SP_EIO;
    }
    bind_claim(st, key);
    return store_run(store, st, "request id", err);
}
