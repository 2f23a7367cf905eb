/* Somebody who writes to the store, one column at a time: what stands beside a sealed secret in
 * plain text is bound to it, so a key or a lease whose row was changed is none. */
#include "lease.h"
#include "unit/folder.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ADMIN "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6"

struct world {
    char folder[64];
    struct sp_engine *engine;
    struct sp_engine_config config;
    struct sp_lease *lease;
    unsigned n_called;
    sp_status status;
    struct sp_error err;
};

static int64_t now_ms(void *user)
{
    (void)user;
    return 1800000000000;
}

static void wake(void *user)
{
    (void)user;
}

static void on_done(void *user, sp_status status, const struct sp_error *err)
{
    struct world *w = user;
    w->status = status;
    w->err.text[0] = '\0';
    if (status && err) {
        w->err = *err;
    }
    w->n_called++;
}

static void on_begun(void *user, sp_status status, struct sp_lease *lease,
                     const struct sp_error *err)
{
    ((struct world *)user)->lease = lease;
    on_done(user, status, err);
}

/* What was asked last has been answered; with that. */
static sp_status answered(struct world *w)
{
    for (int i = 0; i < 20000 && w->n_called == 0; i++) {
        (void)sp_engine_poll(w->engine);
        usleep(500);
    }
    assert_int_equal(w->n_called, 1);
    w->n_called = 0;
    return w->status;
}

/* Open and unseal: SP_OK, or why it stays sealed. */
static sp_status open_engine(struct world *w)
{
    struct sp_secret unseal;
    if (sp_engine_open(&w->config, &w->engine, &w->err)) {
        fail_msg("%s", w->err.text);
    }
    assert_int_equal(sp_secret_new(sp_engine_pool(w->engine), 32, &unseal), SP_OK);
    memset(unseal.ptr, 9, 32);
    sp_engine_unseal(w->engine, &unseal, on_done, w);
    return answered(w);
}

static struct sp_secret secret_of(struct world *w, const char *text)
{
    struct sp_secret secret;
    assert_int_equal(sp_secret_new(sp_engine_pool(w->engine), strlen(text), &secret), SP_OK);
    memcpy(secret.ptr, text, strlen(text));
    return secret;
}

static const struct sp_text hosts[] = {{"api.example", 11}};
static const struct sp_key_setting settings[] = {{{"style", 5}, {"bearer", 6}}};

static struct sp_key_input key_input(const char *id, struct sp_key_secret *secret)
{
    return (struct sp_key_input){.id = sp_text_of(id),
                                 .provider = SP_TEXT("rest"),
                                 .hosts = hosts,
                                 .n_hosts = 1,
                                 .settings = settings,
                                 .n_settings = 1,
                                 .secrets = secret,
                                 .n_secrets = 1};
}

/* The key in its third version, of which an administrator made the first. */
static void add_key(struct world *w, const char *id)
{
    for (unsigned version = 1; version <= 3; version++) {
        struct sp_key_secret secret = {SP_TEXT("api_key"), secret_of(w, "canary")};
        const struct sp_key_input input = key_input(id, &secret);
        if (version == 1) {
            sp_engine_key_add(w->engine, &input, SP_TEXT("admin"), on_done, w);
        } else {
            sp_engine_key_refresh(w->engine, &input, SP_TEXT("lease"), on_done, w);
        }
        assert_int_equal(answered(w), SP_OK);
    }
}

static void add_lease(struct world *w, enum sp_lease_kind kind, struct sp_text words)
{
    const struct sp_key *key = sp_engine_key(w->engine, SP_TEXT("k"));
    struct sp_key_secret minted = {SP_TEXT("api_key"), secret_of(w, "minted")};
    sp_engine_lease_begin(w->engine, key, kind, words, SP_TEXT("admin"), on_begun, w);
    assert_int_equal(answered(w), SP_OK);
    sp_engine_lease_live(w->engine, w->lease, &minted, 1, 3600000, on_done, w);
    assert_int_equal(answered(w), SP_OK);
    sp_key_unref(w->engine, key);
}

static int setup(void **state)
{
    static struct world w;
    uint8_t unseal[32];
    memset(&w, 0, sizeof w);
    memset(unseal, 9, sizeof unseal);
    memcpy(w.folder, "/tmp/sp-rows-XXXXXX", 20);
    assert_non_null(mkdtemp(w.folder));
    w.config = (struct sp_engine_config){.dir = w.folder,
                                         .audit_rotate_bytes = 1 << 20,
                                         .ttl_default_ms = 3600000,
                                         .ttl_max_ms = 86400000,
                                         .answer_max_bytes = 1000,
                                         .queue_max = 1000,
                                         .wake = wake,
                                         .user = &w,
                                         .clock = {&w, now_ms, now_ms, "boot-one"}};
    if (sp_engine_create(w.folder, SP_SEAL_KEY_FILE, (struct sp_text){(char *)unseal, 32},
                         SP_TEXT(ADMIN), &w.err)) {
        fail_msg("%s", w.err.text);
    }
    assert_int_equal(open_engine(&w), SP_OK);
    add_key(&w, "k");
    add_key(&w, "other");
    add_lease(&w, SP_LEASE_CREDENTIAL, SP_TEXT("issues:read"));
    add_lease(&w, SP_LEASE_CREDENTIAL, SP_TEXT("issues:write"));
    add_lease(&w, SP_LEASE_ROTATION, SP_TEXT(""));
    struct sp_secret pem = secret_of(&w, "the authority's private key");
    sp_engine_authority_put(w.engine, &pem, on_done, &w);
    assert_int_equal(answered(&w), SP_OK);
    sp_engine_close(w.engine);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    return folder_remove(((struct world *)*state)->folder);
}

/* Run it on the store that no engine has open; it has to change something, or to keep it aside,
 * in a file of its own: the store knows its tables. */
static void edit(struct world *w, const char *sql)
{
    char path[128], *why = NULL;
    sqlite3 *db;
    (void)snprintf(path, sizeof path, "%s/store.db", w->folder);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    (void)snprintf(path, sizeof path, "ATTACH '%s/aside.db' AS aside", w->folder);
    if (sqlite3_exec(db, path, NULL, NULL, &why) || sqlite3_exec(db, sql, NULL, NULL, &why)) {
        fail_msg("%s: %s", sql, why);
    }
    if (sqlite3_total_changes(db) == 0 && strncmp(sql, "CREATE TABLE", 12) != 0) {
        fail_msg("%s: changed nothing", sql);
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

struct change {
    const char *change, *back;
};

/* Each alone keeps the engine sealed, which says whose row it is; taken back, all is well. */
static void assert_each_is_refused(struct world *w, const struct change *changes, size_t n,
                                   const char *says)
{
    for (size_t i = 0; i < n; i++) {
        edit(w, changes[i].change);
        if (open_engine(w) == SP_OK || !strstr(w->err.text, says)) {
            fail_msg("%s: \"%s\"", changes[i].change, w->err.text);
        }
        assert_null(sp_engine_authority(w->engine).ptr);
        assert_int_equal(sp_engine_state(w->engine), SP_ENGINE_SEALED);
        sp_engine_close(w->engine);
        edit(w, changes[i].back);
    }
    assert_int_equal(open_engine(w), SP_OK);
    sp_engine_close(w->engine);
}

#define OF_K " WHERE id = 'k'"
#define KEY(column, bad, good)                                                                 \
    {                                                                                          \
        "UPDATE keys SET " column " = " bad OF_K, "UPDATE keys SET " column " = " good OF_K    \
    }

static void T42_a_key_whose_row_was_changed_is_not_opened(void **state)
{
    static const struct change changes[] = {
        KEY("since", "2", "1"),
        KEY("since", "3", "1"), /* as if an administrator had made it, which is not hashed */
        KEY("since", "0", "1"), /* the same, as a row has it from before there was a `since` */
        KEY("version", "2", "3"),
        KEY("version", "4", "3"),
        KEY("provider", "'hmac'", "'rest'"),
        KEY("hosts", "'api.example,evil.example'", "'api.example'"),
        KEY("hosts", "'evil.example'", "'api.example'"),
        KEY("settings", "'style=cookie'", "'style=bearer'"),
        KEY("settings", "''", "'style=bearer'"),
        KEY("ring", "ring + 1", "ring - 1"),
        {"UPDATE keys SET id = 'k2'" OF_K, "UPDATE keys SET id = 'k' WHERE id = 'k2'"},
    };
    assert_each_is_refused(*state, changes, sizeof changes / sizeof *changes,
                           "its row was changed");
}

static void T43_the_secrets_of_another_row_are_not_opened(void **state)
{
    static const char swap[] =
        "CREATE TEMP TABLE was AS SELECT id, secrets FROM keys;"
        "UPDATE keys SET secrets = (SELECT secrets FROM was WHERE was.id != keys.id)";
    static const struct change changes[] = {{swap, swap}};
    assert_each_is_refused(*state, changes, 1, "its row was changed");
}

/* A key in an older version: its box is good, for that version's number alone. */
static void T43_an_older_version_of_a_key_is_not_opened(void **state)
{
    struct world *w = *state;
    edit(w, "CREATE TABLE aside.was AS SELECT * FROM keys" OF_K);
    assert_int_equal(open_engine(w), SP_OK);
    struct sp_key_secret secret = {SP_TEXT("api_key"), secret_of(w, "another")};
    const struct sp_key_input input = key_input("k", &secret);
    sp_engine_key_refresh(w->engine, &input, SP_TEXT("lease"), on_done, w);
    assert_int_equal(answered(w), SP_OK);
    sp_engine_close(w->engine);
    static const char swap[] =
        "CREATE TEMP TABLE now AS SELECT * FROM keys" OF_K ";"
        "UPDATE keys SET secrets = (SELECT secrets FROM was), ring = (SELECT ring FROM "
        "was)" OF_K "; DELETE FROM was; INSERT INTO was SELECT * FROM now";
    static const struct change changes[] = {{swap, swap}};
    assert_each_is_refused(w, changes, 1, "its row was changed");
}

static void T42_the_authority_that_was_changed_is_not_opened(void **state)
{
    static const char flip[] =
        "UPDATE meta SET value = CAST(substr(value, 1, length(value) - 1) "
        "|| CASE WHEN substr(value, -1) = x'00' THEN x'01' ELSE x'00' END "
        "AS BLOB) WHERE name = 'authority'";
    struct world *w = *state;
    edit(w, "CREATE TABLE aside.was AS SELECT value FROM meta WHERE name = 'authority'");
    const struct change change = {
        flip, "UPDATE meta SET value = (SELECT value FROM was) WHERE name = 'authority'"};
    assert_each_is_refused(w, &change, 1, "the authority's key cannot be opened");
}

/* ---- leases --------------------------------------------------------------------------------
 */

struct counting {
    size_t n, n_held;
};

static void count(void *user, struct sp_lease *lease)
{
    struct counting *counting = user;
    counting->n++;
    counting->n_held += lease->held;
}

static struct counting count_leases(struct world *w)
{
    struct counting counting = {0, 0};
    assert_int_equal(open_engine(w), SP_OK);
    sp_engine_each_lease(w->engine, count, &counting);
    sp_engine_close(w->engine);
    return counting;
}

#define LEASE(column, bad, good, which)                                                        \
    {                                                                                          \
        "UPDATE leases SET " column " = " bad " WHERE " which,                                 \
            "UPDATE leases SET " column " = " good " WHERE " which                             \
    }
#define CREDENTIAL "permissions LIKE 'issues:r%'"
#define ROTATION "permissions = ''"

/* Whoever could make a rotation of a credential would have it put in the key's place, and
 * whoever could give it other words another scope's calls. The host starts without it. */
static void T42_a_lease_whose_row_was_changed_is_not_held(void **state)
{
    struct world *w = *state;
    static const struct change changes[] = {
        LEASE("kind", "1", "0", CREDENTIAL),
        LEASE("kind", "0", "1", ROTATION),
        LEASE("key", "'other'", "'k'", CREDENTIAL),
        LEASE("provider", "'hmac'", "'rest'", CREDENTIAL),
        LEASE("version", "2", "1", CREDENTIAL),
        LEASE("version", "2", "1", ROTATION),
        LEASE("ring", "ring + 1", "ring - 1", CREDENTIAL),
        LEASE("permissions", "'issues:rw'", "'issues:read'", CREDENTIAL),
        LEASE("id", "x'000102030405060708090a0b0c0d0e0f'", "(SELECT id FROM was)", CREDENTIAL),
    };
    edit(w, "CREATE TABLE aside.was AS SELECT id FROM leases WHERE " CREDENTIAL);
    struct counting all = count_leases(w);
    assert_int_equal(all.n, 3);
    assert_int_equal(all.n_held, 3);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        edit(w, changes[i].change);
        struct counting left = count_leases(w);
        if (left.n != 3 || left.n_held != 2) {
            fail_msg("%s: %zu of %zu held", changes[i].change, left.n_held, left.n);
        }
        edit(w, changes[i].back);
    }
    assert_int_equal(count_leases(w).n_held, 3);
}

static void T43_the_credential_of_another_lease_is_not_held(void **state)
{
    struct world *w = *state;
    static const char swap[] =
        "CREATE TEMP TABLE was AS SELECT id, secrets FROM leases WHERE kind = 0;"
        "UPDATE leases SET secrets = (SELECT secrets FROM was WHERE was.id != leases.id) "
        "WHERE kind = 0";
    edit(w, swap);
    assert_int_equal(count_leases(w).n_held, 1);
    edit(w, swap);
    assert_int_equal(count_leases(w).n_held, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(T42_a_key_whose_row_was_changed_is_not_opened),
        TEST(T43_the_secrets_of_another_row_are_not_opened),
        TEST(T43_an_older_version_of_a_key_is_not_opened),
        TEST(T42_the_authority_that_was_changed_is_not_opened),
        TEST(T42_a_lease_whose_row_was_changed_is_not_held),
        TEST(T43_the_credential_of_another_lease_is_not_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
