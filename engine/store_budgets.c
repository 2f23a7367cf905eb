/* Budgets: what was spent of each, in slots of a 64th of its window. A row is (bucket, the end
 * of the slot); everything in a slot counts as long as the whole of it does, so nothing leaves
 * the window early, and a bucket has at most 65 rows that count, whatever the calls. */
#include "store_sqlite.h"

#include <string.h>

enum { SLOTS = 64, SLOT_MIN_MS = 1000 };

static int64_t slot_end(const struct sp_budget_use *use, int64_t now_ms)
{
    int64_t width = (int64_t)(use->window_ms / SLOTS);
    width = width > SLOT_MIN_MS ? width : SLOT_MIN_MS;
    return (now_ms / width + 1) * width;
}

static sqlite3_stmt *statement(struct sp_store *store, enum store_statement id,
                               const struct sp_budget_use *use, struct sp_error *err)
{
    sqlite3_stmt *st = store_statement(store, id, err);
    if (st) {
        store_bind_blob(st, 1, use->bucket, sizeof use->bucket);
    }
    return st;
}

/* When so much will have left the window that the amount fits: 0, it never does. */
static sp_status wait_for_room(struct sp_store *store, const struct sp_budget_use *use,
                               int64_t now_ms, uint64_t *ret_wait_ms, struct sp_error *err)
{
    int64_t window = (int64_t)use->window_ms, end = 0;
    uint64_t left = 0;
    *ret_wait_ms = 0;
    sqlite3_stmt *st = statement(store, ST_BUDGET_NEWEST, use, err);
    if (!st) {
        return SP_EIO;
    }
    (void)sqlite3_bind_int64(st, 2, now_ms - window);
    /* From the newest to the oldest: what may stay; the first that may not has to go. */
    int code;
    while ((code = sqlite3_step(st)) == SQLITE_ROW) {
        end = sqlite3_column_int64(st, 0);
        left += (uint64_t)sqlite3_column_int64(st, 1);
        if (use->amount > use->limit || left > use->limit - use->amount) {
            break;
        }
    }
    (void)sqlite3_reset(st);
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        return store_failed(store, "budget", err);
    }
    if (use->amount <= use->limit && end + window > now_ms) {
        *ret_wait_ms = (uint64_t)(end + window - now_ms);
    }
    return SP_OK;
}

sp_status sp_store_budget_take(struct sp_store *store, struct sp_budget_use *use,
                               int64_t now_ms, uint64_t *ret_wait_ms, struct sp_error *err)
{
    sqlite3_stmt *st = statement(store, ST_BUDGET_FORGET, use, err);
    if (!st) {
        return SP_EIO;
    }
    (void)sqlite3_bind_int64(st, 2, now_ms);
    sp_status status = store_run(store, st, "budget", err);
    st = status ? NULL : statement(store, ST_BUDGET_TAKE, use, err);
    if (!st) {
        return status ? status : SP_EIO;
    }
    use->at_ms = slot_end(use, now_ms);
    (void)sqlite3_bind_int64(st, 2, use->at_ms);
    (void)sqlite3_bind_int64(st, 3, (int64_t)use->window_ms);
    (void)sqlite3_bind_int64(st, 4, (int64_t)use->amount);
    (void)sqlite3_bind_int64(st, 5, now_ms - (int64_t)use->window_ms);
    (void)sqlite3_bind_int64(st, 6, (int64_t)use->limit);
    status = store_change(store, st, "budget", SP_EDENIED, err);
    if (status == SP_EDENIED && wait_for_room(store, use, now_ms, ret_wait_ms, err)) {
        return SP_EIO;
    }
    return status;
}

sp_status sp_store_budget_return(struct sp_store *store, const struct sp_budget_use *use,
                                 struct sp_error *err)
{
    sqlite3_stmt *st = statement(store, ST_BUDGET_RETURN, use, err);
    if (!st) {
        return SP_EIO;
    }
    (void)sqlite3_bind_int64(st, 2, use->at_ms);
    (void)sqlite3_bind_int64(st, 3, (int64_t)use->amount);
    return store_run(store, st, "budget", err);
}

sp_status sp_store_budget_purge(struct sp_store *store, int64_t now_ms, struct sp_error *err)
{
    sqlite3_stmt *st = store_statement(store, ST_BUDGET_PURGE, err);
    if (!st) {
        return SP_EIO;
    }
    (void)sqlite3_bind_int64(st, 1, now_ms);
    return store_run(store, st, "budgets", err);
}

struct rows {
    sp_budget_row_fn fn;
    void *user;
};

static sp_status budget_row(sqlite3_stmt *st, void *user)
{
    const struct rows *rows = user;
    struct sp_text bucket = store_text(st, 0);
    struct sp_budget_use row = {.at_ms = sqlite3_column_int64(st, 1),
                                .window_ms = (uint64_t)sqlite3_column_int64(st, 2),
                                .amount = (uint64_t)sqlite3_column_int64(st, 3)};
    if (bucket.len != sizeof row.bucket) {
        return SP_OK; /* not written by us: no call can name it */
    }
    memcpy(row.bucket, bucket.ptr, sizeof row.bucket);
    return rows->fn(rows->user, &row);
}

sp_status sp_store_budget_list(struct sp_store *store, sp_budget_row_fn fn, void *user,
                               struct sp_error *err)
{
    struct rows rows = {fn, user};
    return store_each(store, store_statement(store, ST_BUDGET_LIST, err), "budgets", budget_row,
                      &rows, err);
}

sp_status sp_store_budget_put(struct sp_store *store, const struct sp_budget_use *row,
                              struct sp_error *err)
{
    sqlite3_stmt *st = statement(store, ST_BUDGET_PUT, row, err);
    if (!st) {
        return SP_EIO;
    }
    (void)sqlite3_bind_int64(st, 2, row->at_ms);
    (void)sqlite3_bind_int64(st, 3, (int64_t)row->window_ms);
    (void)sqlite3_bind_int64(st, 4, (int64_t)row->amount);
    return store_run(store, st, "budgets", err);
}
