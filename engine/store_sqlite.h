/* Inside the SQLite store only: the handle, and statements prepared once. */
#ifndef SP_STORE_SQLITE_H
#define SP_STORE_SQLITE_H

#include "store.h"

#include <sqlite3.h>

enum store_statement {
    ST_BEGIN,
    ST_COMMIT,
    ST_ROLLBACK,
    ST_SAVEPOINT,
    ST_RELEASE,
    ST_ROLLBACK_TO,
    ST_GET,
    ST_PUT,
    ST_RAISE,
    ST_RING_ADD,
    ST_RING_LIST,
    ST_KEY_ADD,
    ST_KEY_ROTATE,
    ST_KEY_REMOVE,
    ST_KEY_LIST,
    ST_CLIENT_ADD,
    ST_CLIENT_REMOVE,
    ST_CLIENT_LIST,
    ST_TOKEN_ADD,
    ST_TOKEN_REVOKE,
    ST_TOKEN_REVOKE_ALL,
    ST_TOKEN_HIT,
    ST_TOKEN_RESUME,
    ST_TOKEN_LIST,
    ST_TOKEN_PURGE,
    ST_CLAIM,
    ST_CLAIM_GET,
    ST_SETTLE,
    ST_UNCLAIM,
    ST_CLAIM_PURGE,
    ST_BUDGET_FORGET,
    ST_BUDGET_TAKE,
    ST_BUDGET_NEWEST,
    ST_BUDGET_RETURN,
    ST_BUDGET_PURGE,
    ST_BUDGET_LIST,
    ST_BUDGET_PUT,
    ST_LEASE_ADD,
    ST_LEASE_LIVE,
    ST_LEASE_SWAP,
    ST_LEASE_END,
    ST_LEASE_REMOVE,
    ST_LEASE_REMOVE_USERS,
    ST_LEASE_LIST,
    ST_LEASE_USE,
    ST_LEASE_USERS,
    ST_COUNT,
};

struct sp_store {
    sqlite3 *db;
    sqlite3_stmt *statements[ST_COUNT];
};

/* The statement, prepared on first use and reset; NULL (err is set) on failure. */
sqlite3_stmt *store_statement(struct sp_store *store, enum store_statement id,
                              struct sp_error *err);
/* What SQLite's result code means; the text says what was being done. */
sp_status store_failed(struct sp_store *store, const char *doing, struct sp_error *err);
/* Run a statement that gives no rows; SP_EEXIST on a constraint. */
sp_status store_run(struct sp_store *store, sqlite3_stmt *st, const char *doing,
                    struct sp_error *err);
/* The same, and `none` where it changed no row. */
sp_status store_change(struct sp_store *store, sqlite3_stmt *st, const char *doing,
                       sp_status none, struct sp_error *err);
void store_bind_text(sqlite3_stmt *st, int i, struct sp_text text);
void store_bind_blob(sqlite3_stmt *st, int i, const void *bytes, size_t len);
struct sp_text store_text(sqlite3_stmt *st, int column);
/* Call fn for each row; it reads the columns itself. */
sp_status store_each(struct sp_store *store, sqlite3_stmt *st, const char *doing,
                     sp_status (*row)(sqlite3_stmt *st, void *user), void *user,
                     struct sp_error *err);

#endif
