/* The SQLite store: the file, its options, its schema; backup. One connection, ever: Debian's
 * 3.40 has a bug in resetting the WAL that needs two (and nobody else has business in the
 * file). */
#include "store_sqlite.h"
#include "sync.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SCHEMA_VERSION = 5 };

static const char schema[] =
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE ring(id INTEGER PRIMARY KEY, purpose TEXT NOT NULL, box BLOB NOT NULL,"
    "  active INTEGER NOT NULL) STRICT;"
    "CREATE TABLE keys(id TEXT PRIMARY KEY, provider TEXT NOT NULL, version INTEGER NOT NULL,"
    "  hosts TEXT NOT NULL, settings TEXT NOT NULL, secrets BLOB NOT NULL, ring INTEGER NOT "
    "NULL,"
    "  created_ms INTEGER NOT NULL, rotated_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE clients(name TEXT PRIMARY KEY, curve TEXT NOT NULL UNIQUE,"
    "  admin INTEGER NOT NULL, created_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE tokens(id BLOB PRIMARY KEY, grant BLOB NOT NULL, principal TEXT NOT NULL,"
    "  scope TEXT NOT NULL, issued_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,"
    "  revoked_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX tokens_by_holder ON tokens(principal, scope, expires_ms);"
    "CREATE INDEX tokens_by_expiry ON tokens(expires_ms);"
    "CREATE TABLE claims(curve TEXT NOT NULL, root BLOB NOT NULL, id TEXT NOT NULL,"
    "  digest BLOB NOT NULL, state INTEGER NOT NULL, answer BLOB, made_ms INTEGER NOT NULL,"
    "  PRIMARY KEY(curve, root, id)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX claims_by_age ON claims(made_ms);";

static const char schema_2[] =
    "CREATE TABLE budgets(bucket BLOB NOT NULL, at_ms INTEGER NOT NULL,"
    "  window_ms INTEGER NOT NULL, amount INTEGER NOT NULL, PRIMARY KEY(bucket, at_ms))"
    "  STRICT, WITHOUT ROWID;"
    "CREATE INDEX budgets_by_end ON budgets(at_ms + window_ms);";

static const char schema_3[] =
    "CREATE TABLE leases(id BLOB PRIMARY KEY, key TEXT NOT NULL, provider TEXT NOT NULL,"
    "  version INTEGER NOT NULL, permissions TEXT NOT NULL, state INTEGER NOT NULL,"
    "  secrets BLOB NOT NULL, ring INTEGER NOT NULL, made_ms INTEGER NOT NULL,"
    "  expires_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE lease_users(lease BLOB NOT NULL, token BLOB NOT NULL,"
    "  PRIMARY KEY(lease, token)) STRICT, WITHOUT ROWID;";

static const char schema_4[] =
    "ALTER TABLE tokens ADD COLUMN guard_hits INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tokens ADD COLUMN guard_key TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE tokens ADD COLUMN suspended_ms INTEGER NOT NULL DEFAULT 0;";

/* since 0: as `version`. kind: of a lease's (store.h); what stood before were credentials. */
static const char schema_5[] = "ALTER TABLE keys ADD COLUMN since INTEGER NOT NULL DEFAULT 0;"
                               "ALTER TABLE leases ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;";

/* ---- open -----------------------------------------------------------------------------------
 */

/* The file is ours alone before SQLite sees it: SQLite would follow a link and use the umask.
 */
static sp_status prepare_file(const char *path, bool create, struct sp_error *err)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0), 0600);
    if (fd < 0) {
        return sp_fail(err, errno == ENOENT ? SP_ENOENT : SP_EIO, "store %s: %s", path,
                       strerror(errno));
    }
    bool good = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && !(st.st_mode & 077);
    (void)close(fd);
    return good ? SP_OK
                : sp_fail(err, SP_EDENIED, "store %s: others may read or write it; chmod 600",
                          path);
}

static sp_status exec(struct sp_store *store, const char *text, const char *doing,
                      struct sp_error *err)
{
    return sqlite3_exec(store->db, text, NULL, NULL, NULL) ? store_failed(store, doing, err)
                                                           : SP_OK;
}

static sp_status query_text(struct sp_store *store, const char *text, const char *expected,
                            sp_status wrong, struct sp_error *err)
{
    sqlite3_stmt *st = NULL;
    sp_status status = SP_OK;
    if (sqlite3_prepare_v2(store->db, text, -1, &st, NULL) || sqlite3_step(st) != SQLITE_ROW) {
        status = store_failed(store, text, err);
    } else {
        const char *found = (const char *)sqlite3_column_text(st, 0);
        if (!found || strcmp(found, expected) != 0) {
            status = sp_fail(err, wrong, "store: %s says '%.100s', not '%s'", text,
                             found ? found : "", expected);
        }
    }
    (void)sqlite3_finalize(st);
    return status;
}

static sp_status user_version(struct sp_store *store, int *ret_version, struct sp_error *err)
{
    sqlite3_stmt *st = NULL;
    sp_status status = SP_OK;
    if (sqlite3_prepare_v2(store->db, "PRAGMA user_version", -1, &st, NULL) ||
        sqlite3_step(st) != SQLITE_ROW) {
        status = store_failed(store, "schema version", err);
    } else {
        *ret_version = sqlite3_column_int(st, 0);
    }
    (void)sqlite3_finalize(st);
    return status;
}

/* upgrades[v] brings version v to v + 1; version 0 is the empty file. */
static const char *const upgrades[SCHEMA_VERSION] = {schema, schema_2, schema_3, schema_4,
                                                     schema_5};

static sp_status upgrade_from(struct sp_store *store, int version, struct sp_error *err)
{
    sp_status status = SP_OK;
    for (; !status && version < SCHEMA_VERSION; version++) {
        char set[64];
        (void)sqlite3_snprintf(sizeof set, set, "PRAGMA user_version = %d", version + 1);
        status = exec(store, "BEGIN IMMEDIATE", "schema", err);
        status = status ? status : exec(store, upgrades[version], "schema", err);
        status = status ? status : exec(store, set, "schema", err);
        status = status ? status : exec(store, "COMMIT", "schema", err);
    }
    return status;
}

/* All of a database's schema as one text; NULL where it cannot be read. sqlite3_free it. */
static char *schema_of(sqlite3 *db)
{
    sqlite3_stmt *st = NULL;
    char *text = NULL;
    if (sqlite3_prepare_v2(db,
                           "SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_schema"
                           " WHERE sql IS NOT NULL ORDER BY name)",
                           -1, &st, NULL) == SQLITE_OK &&
        sqlite3_step(st) == SQLITE_ROW) {
        text = sqlite3_mprintf("%s", sqlite3_column_text(st, 0));
    }
    (void)sqlite3_finalize(st);
    return text;
}

/* The schema must be the one that the same upgrades give an empty database: a changed one could
 * drop a constraint that our statements rely on. */
static sp_status check_schema(struct sp_store *store, struct sp_error *err)
{
    struct sp_store fresh = {.db = NULL};
    sp_status status = SP_ENOMEM;
    if (sqlite3_open(":memory:", &fresh.db) == SQLITE_OK) {
        status = upgrade_from(&fresh, 0, err);
    }
    char *expected = status ? NULL : schema_of(fresh.db), *found = schema_of(store->db);
    if (!status && (!expected || !found || strcmp(expected, found) != 0)) {
        status = sp_fail(err, SP_ECORRUPT,
                         "store: the tables are not those of a sallyport; restore a backup");
    }
    sqlite3_free(expected);
    sqlite3_free(found);
    (void)sqlite3_close(fresh.db);
    return status;
}

static sp_status upgrade(struct sp_store *store, struct sp_error *err)
{
    int version = 0;
    sp_status status = user_version(store, &version, err);
    if (status) {
        return status;
    }
    if (version > SCHEMA_VERSION) {
        return sp_fail(err, SP_EUNSUPPORTED,
                       "store: schema version %d is newer than this sallyport's %d; upgrade it",
                       version, SCHEMA_VERSION);
    }
    if (version < 0) {
        return sp_fail(err, SP_ECORRUPT, "store: there is no schema version %d", version);
    }
    if (version == 0) { /* empty, and nobody else's */
        status = query_text(store, "SELECT count(*) FROM sqlite_schema", "0", SP_ECORRUPT, err);
    }
    status = status ? status : upgrade_from(store, version, err);
    return status ? status : check_schema(store, err);
}

static sp_status configure(struct sp_store *store, struct sp_error *err)
{
    (void)sqlite3_extended_result_codes(store->db, 0);
    (void)sqlite3_busy_timeout(store->db, 2000);
    (void)sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(store->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    (void)sqlite3_db_config(store->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    sp_status status = exec(store,
                            "PRAGMA trusted_schema = OFF;"
                            "PRAGMA cell_size_check = ON;"
                            "PRAGMA secure_delete = ON;"
                            "PRAGMA foreign_keys = ON;"
                            "PRAGMA temp_store = MEMORY;"
                            "PRAGMA locking_mode = EXCLUSIVE;",
                            "options", err);
    if (!status) {
        status = query_text(store, "PRAGMA journal_mode = WAL", "wal", SP_EIO, err);
    }
    if (!status) {
        status = exec(store, "PRAGMA synchronous = FULL", "options", err);
    }
    if (!status) {
        status = query_text(store, "PRAGMA integrity_check(1)", "ok", SP_ECORRUPT, err);
    }
    return status ? status : upgrade(store, err);
}

sp_status sp_store_open(const char *path, bool create, struct sp_store **ret_store,
                        struct sp_error *err)
{
    sp_status status = prepare_file(path, create, err);
    if (status) {
        return status;
    }
    struct sp_store *store = calloc(1, sizeof *store);
    if (!store) {
        return SP_ENOMEM;
    }
    if (sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL)) {
        status = sp_fail(err, SP_EIO, "store %s: %s", path, sqlite3_errmsg(store->db));
    } else {
        status = configure(store, err);
    }
    if (status) {
        sp_store_close(store);
        return status;
    }
    *ret_store = store;
    return SP_OK;
}

void sp_store_close(struct sp_store *store)
{
    if (!store) {
        return;
    }
    for (size_t i = 0; i < ST_COUNT; i++) {
        (void)sqlite3_finalize(store->statements[i]);
    }
    (void)sqlite3_close(store->db);
    free(store);
}

sp_status sp_store_backup(struct sp_store *store, const char *path, struct sp_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return sp_fail(err, errno == EEXIST ? SP_EEXIST : SP_EIO, "backup %s: %s", path,
                       strerror(errno));
    }
    (void)close(fd);
    sqlite3 *target = NULL;
    sqlite3_backup *backup = NULL;
    sp_status status = SP_OK;
    if (sqlite3_open_v2(path, &target, SQLITE_OPEN_READWRITE, NULL) ||
        !(backup = sqlite3_backup_init(target, "main", store->db, "main")) ||
        sqlite3_backup_step(backup, -1) != SQLITE_DONE) {
        status = sp_fail(err, SP_EIO, "backup %s: %s", path, sqlite3_errmsg(target));
    }
    (void)sqlite3_backup_finish(backup);
    if (!status &&
        sqlite3_exec(target, "INSERT OR REPLACE INTO meta VALUES('" SP_BACKUP_MARK "', x'01')",
                     NULL, NULL, NULL)) {
        status = sp_fail(err, SP_EIO, "backup %s: %s", path, sqlite3_errmsg(target));
    }
    (void)sqlite3_close(target);
    if (!status && !(sp_sync_path(path) && sp_sync_parent(path))) {
        status = sp_fail(err, SP_EIO, "backup %s: %s", path, strerror(errno));
    }
    if (status) {
        (void)unlink(path);
    }
    return status;
}
