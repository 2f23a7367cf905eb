/* T41 for the engine: each allocation, each step of the store and each call for the disk that a
 * flow makes fails in turn. Every callback comes once, what was acknowledged holds, what was
 * refused left nothing behind that a restart stumbles over. */
#include "engine_kit.h"

#include "restore.h"
#include "unit/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what fails -----------------------------------------------------------------------------
 */

enum fault { MEMORY, STORE, DISK, FAULTS };

static _Atomic int armed = -1;
static _Atomic size_t counted, fail_at, n_failed;

static void arm(enum fault fault, size_t at)
{
    atomic_store(&counted, 0);
    atomic_store(&fail_at, at);
    atomic_store(&n_failed, 0);
    atomic_store(&armed, (int)fault);
}

static void disarm(void)
{
    atomic_store(&armed, -1);
}

static bool fails(enum fault fault)
{
    if (atomic_load(&armed) != (int)fault ||
        atomic_fetch_add(&counted, 1) != atomic_load(&fail_at)) {
        return false;
    }
    atomic_fetch_add(&n_failed, 1);
    errno = fault == MEMORY ? ENOMEM : EIO;
    return true;
}

#define FAILS(fault, type, name, params, args, failed)                                         \
    type __real_##name params;                                                                 \
    type __wrap_##name params;                                                                 \
    type __wrap_##name params                                                                  \
    {                                                                                          \
        return fails(fault) ? (failed) : __real_##name args;                                   \
    }

FAILS(MEMORY, void *, malloc, (size_t size), (size), NULL)
FAILS(MEMORY, void *, calloc, (size_t n, size_t size), (n, size), NULL)
FAILS(MEMORY, void *, realloc, (void *memory, size_t size), (memory, size), NULL)
FAILS(MEMORY, char *, strdup, (const char *text), (text), NULL)
FAILS(MEMORY, char *, strndup, (const char *text, size_t len), (text, len), NULL)
FAILS(MEMORY, void *, sodium_malloc, (size_t size), (size), NULL)
FAILS(MEMORY, void *, sp_arena_alloc, (struct sp_arena * arena, size_t size), (arena, size),
      NULL)
FAILS(MEMORY, void *, sp_arena_array, (struct sp_arena * arena, size_t n, size_t size),
      (arena, n, size), NULL)
FAILS(MEMORY, struct sp_text, sp_arena_copy, (struct sp_arena * arena, struct sp_text text),
      (arena, text), ((struct sp_text){NULL, 0}))
FAILS(MEMORY, int, pthread_create,
      (pthread_t * thread, const pthread_attr_t *attributes, void *(*start)(void *),
       void *user),
      (thread, attributes, start, user), EAGAIN)
FAILS(STORE, int, sqlite3_step, (sqlite3_stmt * st), (st), SQLITE_IOERR)
FAILS(STORE, int, sqlite3_prepare_v2,
      (sqlite3 * db, const char *text, int len, sqlite3_stmt **ret_st, const char **ret_rest),
      (db, text, len, ret_st, ret_rest), SQLITE_IOERR)
FAILS(STORE, int, sqlite3_prepare_v3,
      (sqlite3 * db, const char *text, int len, unsigned flags, sqlite3_stmt **ret_st,
       const char **ret_rest),
      (db, text, len, flags, ret_st, ret_rest), SQLITE_IOERR)
FAILS(STORE, int, sqlite3_exec,
      (sqlite3 * db, const char *text, int (*row)(void *, int, char **, char **), void *user,
       char **ret_why),
      (db, text, row, user, ret_why), SQLITE_IOERR)
FAILS(STORE, int, sqlite3_open_v2,
      (const char *path, sqlite3 **ret_db, int flags, const char *vfs),
      (path, ret_db, flags, vfs), (*ret_db = NULL, SQLITE_CANTOPEN))
FAILS(STORE, sqlite3_backup *, sqlite3_backup_init,
      (sqlite3 * to, const char *to_name, sqlite3 *from, const char *from_name),
      (to, to_name, from, from_name), NULL)
FAILS(STORE, int, sqlite3_backup_step, (sqlite3_backup * backup, int pages), (backup, pages),
      SQLITE_IOERR)
FAILS(DISK, ssize_t, write, (int fd, const void *bytes, size_t len), (fd, bytes, len), -1)
FAILS(DISK, ssize_t, read, (int fd, void *bytes, size_t len), (fd, bytes, len), -1)
FAILS(DISK, ssize_t, pread, (int fd, void *bytes, size_t len, off_t at), (fd, bytes, len, at),
      -1)
FAILS(DISK, int, fsync, (int fd), (fd), -1)
FAILS(DISK, int, fdatasync, (int fd), (fd), -1)
FAILS(DISK, int, ftruncate, (int fd, off_t len), (fd, len), -1)
FAILS(DISK, int, fstat, (int fd, struct stat *ret_st), (fd, ret_st), -1)
FAILS(DISK, int, rename, (const char *from, const char *to), (from, to), -1)
FAILS(DISK, int, link, (const char *from, const char *to), (from, to), -1)
FAILS(DISK, int, mkdir, (const char *path, mode_t mode), (path, mode), -1)

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return fails(DISK) ? -1 : __real_open(path, flags, mode);
}

/* ---- what was acknowledged ------------------------------------------------------------------
 */

#define MORE "00000000000000000000000000000000000000aa"

static struct {
    char token[4096], revoked[4096]; /* the last of each */
    bool has_client, has_no_client, has_key;
    uint32_t version; /* of key k, at least */
} ledger;

static struct engine_kit kit;

static enum sp_code life_of(const char *token)
{
    char kept[sizeof kit.token];
    memcpy(kept, kit.token, sizeof kept);
    (void)snprintf(kit.token, sizeof kit.token, "%s", token);
    struct kit_call *call = kit_call_new(&kit, "GET", KIT_URL, NULL, "");
    sp_engine_check(kit.engine, &call->call, &kit.decision);
    kit_call_free(call);
    memcpy(kit.token, kept, sizeof kept);
    return kit.decision.code;
}

static void hold_to_it(void)
{
    struct sp_text name;
    const struct sp_key *key = sp_engine_key(kit.engine, SP_TEXT("k"));
    assert_non_null(key);
    assert_true(key->version >= ledger.version);
    assert_int_equal(key->n_secrets, 1);
    sp_key_unref(kit.engine, key);
    assert_int_equal(life_of(ledger.token), SP_CODE_OK);
    if (ledger.revoked[0]) {
        assert_int_equal(life_of(ledger.revoked), SP_CODE_TOKEN_REVOKED);
    }
    assert_int_equal(sp_engine_role(kit.engine, SP_TEXT(KIT_ADMIN), &name), SP_ROLE_ADMIN);
    enum sp_role role = sp_engine_role(kit.engine, SP_TEXT(MORE), &name);
    assert_true(!ledger.has_client || role == SP_ROLE_CLIENT);
    assert_true(!ledger.has_no_client || role == SP_ROLE_NONE);
    key = sp_engine_key(kit.engine, SP_TEXT("extra"));
    assert_true(!ledger.has_key || key);
    sp_key_unref(kit.engine, key);
}

static void reopen(void)
{
    kit_close(&kit);
    if (kit_open(&kit) || kit_set_policy(&kit)) {
        fail_msg("it does not come up again: %s", kit.why);
    }
}

static bool is_well(void)
{
    struct sp_engine_status status;
    if (!kit.engine) {
        return false;
    }
    sp_engine_status(kit.engine, &status);
    return status.writes && status.state == SP_ENGINE_READY;
}

/* ---- flows ----------------------------------------------------------------------------------
 */

static void open_again(void)
{
    kit_close(&kit);
    (void)kit_open(&kit);
}

static void seal_and_unseal(void)
{
    struct sp_secret unseal;
    sp_engine_seal(kit.engine);
    if (sp_secret_new(sp_engine_pool(kit.engine), 32, &unseal) == SP_OK) {
        memset(unseal.ptr, 9, 32);
        kit.n_called = 0;
        sp_engine_unseal(kit.engine, &unseal, kit_done, &kit);
        kit_await(&kit, 1);
    }
}

static void drop_extra_key(void)
{
    ledger.has_key = false;
    kit.n_called = 0;
    sp_engine_key_remove(kit.engine, SP_TEXT("extra"), SP_TEXT("admin"), kit_done, &kit);
    kit_await(&kit, 1);
}

static void add_key(void)
{
    kit_key(&kit, KIT_ADD, "extra", "other");
    ledger.has_key = kit.status == SP_OK;
}

static void add_extra_key(void)
{
    drop_extra_key();
    add_key();
    ledger.has_key = false; /* the flow is its removal */
}

static void remove_key(void)
{
    kit.n_called = 0;
    sp_engine_key_remove(kit.engine, SP_TEXT("extra"), SP_TEXT("admin"), kit_done, &kit);
    kit_await(&kit, 1);
    if (kit.status == SP_OK) {
        assert_null(sp_engine_key(kit.engine, SP_TEXT("extra")));
    }
}

static void change_key(enum kit_key_step step)
{
    const struct sp_key *before = sp_engine_key(kit.engine, SP_TEXT("k"));
    uint32_t version = before->version;
    sp_key_unref(kit.engine, before);
    kit_key(&kit, step, "k", "canary");
    if (kit.status == SP_OK) {
        ledger.version = version + 1;
    }
}

static void rotate_key(void)
{
    change_key(KIT_ROTATE);
}

static void set_key(void)
{
    change_key(KIT_SET);
}

static void refresh_key(void)
{
    change_key(KIT_REFRESH);
}

static void test_key(void)
{
    kit.n_called = 0;
    sp_engine_key_tested(kit.engine, SP_TEXT("k"), SP_TEXT("admin"), kit_done, &kit);
    kit_await(&kit, 1);
}

static void remove_client(void)
{
    kit.n_called = 0;
    ledger.has_client = false;
    sp_engine_client_remove(kit.engine, SP_TEXT("more"), SP_TEXT("admin"), kit_done, &kit);
    kit_await(&kit, 1);
    ledger.has_no_client = kit.status == SP_OK;
}

static void add_client(void)
{
    ledger.has_no_client = false;
    kit.n_called = 0;
    sp_engine_client_add(kit.engine, SP_TEXT("more"), SP_TEXT(MORE), false, SP_TEXT("admin"),
                         kit_done, &kit);
    kit_await(&kit, 1);
    ledger.has_client = kit.status == SP_OK;
}

static void put_authority(void)
{
    struct sp_secret pem;
    kit.status = kit_secret(&kit, "-----BEGIN", &pem);
    if (!kit.status) {
        kit.n_called = 0;
        sp_engine_authority_put(kit.engine, &pem, kit_done, &kit);
        kit_await(&kit, 1);
        assert_null(pem.ptr);
    }
    if (kit.status == SP_OK) {
        assert_true(sp_text_is(sp_engine_authority(kit.engine), "-----BEGIN"));
    }
}

static const struct sp_arg owner[] = {{{"owner", 5}, {"acme", 4}}};

/* "spt_", and 48 bytes in base64url: half a token is none. */
static void has_whole_token(void)
{
    assert_true(strlen(kit.token) >= 4 + 64);
}

static void issue(void)
{
    if (kit_issue(&kit, &(struct sp_issue){.curve = SP_TEXT(KIT_DESK),
                                           .scope = SP_TEXT("s"),
                                           .args = owner,
                                           .n_args = 1,
                                           .narrow = SP_TEXT("allow GET https://api.example/"
                                                             "things/*"),
                                           .bind = SP_TEXT(KIT_AGENT)}) == SP_CODE_OK) {
        has_whole_token();
        memcpy(ledger.token, kit.token, sizeof ledger.token);
    }
}

static void issue_json(void)
{
    static const struct sp_text keys[] = {{"k", 1}}, providers[] = {{"rest", 4}},
                                methods[] = {{"GET", 3}}, domains[] = {{"api.example", 11}};
    static const struct sp_json_scope json = {.key_ids = keys,
                                              .n_key_ids = 1,
                                              .providers = providers,
                                              .n_providers = 1,
                                              .methods = methods,
                                              .n_methods = 1,
                                              .domains = domains,
                                              .n_domains = 1,
                                              .rate_per_minute = 100,
                                              .ttl_ms = 60000};
    if (kit_issue(&kit, &(struct sp_issue){.curve = SP_TEXT(KIT_DESK), .json = &json}) ==
        SP_CODE_OK) {
        has_whole_token();
    }
}

static void issue_for_calls(void)
{
    assert_int_equal(kit_issue_open(&kit), SP_CODE_OK);
}

static void issue_for_payments(void)
{
    assert_int_equal(kit_issue(&kit, &(struct sp_issue){.curve = SP_TEXT(KIT_DESK),
                                                        .scope = SP_TEXT("s"),
                                                        .args = owner,
                                                        .n_args = 1}),
                     SP_CODE_OK);
}

static void call_without_id(void)
{
    (void)kit_proxy(&kit, "GET", KIT_URL, NULL, "", false);
}

/* The same id twice: one effect, or a refusal, and never two. */
static void call_with_id(void)
{
    static unsigned n;
    char id[32];
    (void)snprintf(id, sizeof id, "id-%u", n++);
    enum sp_code first = kit_proxy(&kit, "GET", KIT_URL, NULL, id, false);
    bool sent = first == SP_CODE_OK;
    enum sp_code second = kit_proxy(&kit, "GET", KIT_URL, NULL, id, false);
    assert_true(!sent || second != SP_CODE_OK || kit.has_answer);
}

static void pay(void)
{
    (void)kit_proxy(&kit, "POST", KIT_PAY_URL, "amount=5", "", false);
}

static void pay_with_id(void)
{
    static unsigned n;
    char id[32];
    (void)snprintf(id, sizeof id, "pay-%u", n++);
    struct kit_call *call = kit_call_new(&kit, "POST", KIT_PAY_URL, "amount=5", id);
    if (call && kit_begin(&kit, call) == SP_CODE_OK && kit.ticket) {
        struct sp_outcome outcome = {.kind = SP_OUTCOME_NOT_SENT, .code = SP_CODE_BUSY};
        kit_finish(&kit, &outcome); /* the budget is given back */
    }
    if (call) {
        kit_call_free(call);
    }
}

/* Three answers held the key: suspended, and lifted again. */
static void be_hit_and_resumed(void)
{
    for (int i = 0; i < 3; i++) {
        (void)kit_proxy(&kit, "GET", KIT_URL, NULL, "", true);
    }
    kit.n_called = 0;
    sp_engine_resume(kit.engine, kit.root, SP_TEXT("admin"), kit_done, &kit);
    kit_await(&kit, 1);
}

static void narrow_it(void)
{
    struct sp_arena arena;
    struct sp_token token;
    struct sp_buf text;
    static unsigned n;
    char caveat[96];
    assert_int_equal(kit_issue_open(&kit), SP_CODE_OK);
    (void)snprintf(caveat, sizeof caveat,
                   "allow GET https://api.example/things/1\nallow GET https://api.example/%u",
                   n++);
    sp_arena_init(&arena, 1 << 20);
    sp_buf_init(&text, 4000);
    assert_int_equal(sp_token_parse(&arena, sp_text_of(kit.token), &token), SP_OK);
    assert_int_equal(sp_token_narrow(&token, sp_text_of(caveat), NULL), SP_OK);
    sp_token_print(&token, &text);
    memcpy(kit.token, text.ptr, text.len + 1);
    sp_buf_done(&text);
    sp_arena_done(&arena);
}

/* A caveat that nobody has parsed yet: whatever fails, no more is let through. */
static void look_at_it(void)
{
    const struct sp_key *key = NULL;
    struct sp_arena arena;
    struct sp_token_view view;
    struct sp_text host;
    struct kit_call *call = kit_call_new(&kit, "GET", KIT_URL, NULL, "");
    if (!call) {
        return;
    }
    call->request.body_kind = SP_BODY_NONE;
    (void)sp_engine_wants_body(kit.engine, &call->call, &key);
    sp_key_unref(kit.engine, key);
    sp_engine_route(kit.engine, &call->call, &(struct sp_destination){.provider = SP_TEXT("")},
                    &kit.decision, &host);
    sp_engine_check(kit.engine, &call->call, &kit.decision);
    kit_call_free(call);
    call = kit_call_new(&kit, "GET", "https://api.example/elsewhere", NULL, "");
    if (call) {
        sp_engine_check(kit.engine, &call->call, &kit.decision);
        assert_int_not_equal(kit.decision.code, SP_CODE_OK);
        kit_call_free(call);
    }
    sp_arena_init(&arena, 1 << 20);
    sp_engine_inspect(kit.engine, &arena, SP_TEXT(KIT_AGENT), sp_text_of(kit.token),
                      &kit.decision, &view);
    sp_arena_done(&arena);
}

static void revoke_it(void)
{
    kit.n_called = 0;
    sp_engine_revoke(kit.engine, SP_TEXT(KIT_AGENT), false, sp_text_of(kit.token), NULL,
                     kit_done, &kit);
    kit_await(&kit, 1);
    if (kit.status == SP_OK) {
        memcpy(ledger.revoked, kit.token, sizeof ledger.revoked);
    }
}

static void back_up(void)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s/backup", kit.folder);
    (void)unlink(path);
    kit.n_called = 0;
    sp_engine_backup(kit.engine, path, SP_TEXT("admin"), kit_done, &kit);
    kit_await(&kit, 1);
}

static void keep_house(void)
{
    for (unsigned i = 0; i < 3; i++) {
        sp_engine_note_refusal(kit.engine, SP_TEXT("peer"), SP_CODE_TOKEN_INVALID);
    }
    kit.boot += 700000;
    kit.wall += 700000;
    sp_engine_tick(kit.engine);
    test_key(); /* behind what the tick queued */
}

static void have_fresh_token(void)
{
    assert_int_equal(kit_issue_open(&kit), SP_CODE_OK);
    memcpy(ledger.token, kit.token, sizeof ledger.token);
    ledger.revoked[0] = '\0'; /* purged by and by */
}

/* ---- flows with leases ----------------------------------------------------------------------
 */

static void on_lease(void *user, sp_status status, struct sp_lease *lease,
                     const struct sp_error *err)
{
    assert_int_equal(status == SP_OK, lease != NULL);
    kit.lease = lease;
    kit_done(user, status, err);
}

static void begin_lease(enum sp_lease_kind kind)
{
    const struct sp_key *key = sp_engine_key(kit.engine, SP_TEXT("k"));
    kit.lease = NULL;
    kit.n_called = 0;
    sp_engine_lease_begin(kit.engine, key, kind,
                          kind == SP_LEASE_CREDENTIAL ? SP_TEXT("issues metadata")
                                                      : SP_TEXT(""),
                          SP_TEXT("admin"), on_lease, &kit);
    kit_await(&kit, 1);
    sp_key_unref(kit.engine, key);
}

static void live(void)
{
    struct sp_key_secret secret = {SP_TEXT("api_key"), {NULL, NULL, 0}};
    kit.n_called = 0;
    kit.status = kit_secret(&kit, "minted", &secret.value);
    if (!kit.status) {
        sp_engine_lease_live(kit.engine, kit.lease, &secret, 1, 3600000, kit_done, &kit);
        kit_await(&kit, 1);
    }
}

static void lease_is_gone(void)
{
    kit.n_called = 0;
    sp_engine_lease_gone(kit.engine, kit.lease, "revoked", kit_done, &kit);
    kit_await(&kit, 1);
}

static void forget_leases_of(void *user, struct sp_lease *lease)
{
    (void)user;
    kit.lease = lease;
    lease_is_gone();
}

static void no_leases(void)
{
    sp_engine_each_lease(kit.engine, forget_leases_of, NULL);
}

static void lease_begins(void)
{
    begin_lease(SP_LEASE_CREDENTIAL);
}

static void have_begun_lease(void)
{
    no_leases();
    begin_lease(SP_LEASE_CREDENTIAL);
    assert_int_equal(kit.status, SP_OK);
}

static void lease_lives(void)
{
    struct sp_request request = {.method = SP_METHOD_POST};
    struct sp_arena arena;
    live();
    if (kit.status == SP_OK) {
        assert_int_equal(kit.lease->state, SP_LEASE_LIVE);
    }
    sp_arena_init(&arena, 1 << 16);
    if (sp_request_init(&arena, SP_TEXT("POST"), SP_TEXT("https://api.example/token"), &request,
                        NULL) == SP_OK) {
        kit.n_called = 0;
        sp_engine_lease_http(kit.engine, kit.lease, &request, kit_done, &kit);
        kit_await(&kit, 1);
    }
    sp_arena_done(&arena);
}

static void have_live_lease(void)
{
    have_begun_lease();
    live();
    assert_int_equal(kit.status, SP_OK);
    assert_int_equal(kit_issue_open(&kit), SP_CODE_OK);
}

static void call_with_lease(void)
{
    struct kit_call *call = kit_call_new(&kit, "GET", KIT_URL, NULL, "");
    struct sp_text words;
    struct sp_lease *lease;
    if (!call) {
        return;
    }
    if (kit_begin(&kit, call) == SP_CODE_OK) {
        struct sp_ticket *ticket = kit.ticket;
        sp_ticket_lease(ticket, &words, &lease);
        if (sp_ticket_lease_words(ticket, SP_TEXT("issues metadata")) == SP_OK) {
            kit.n_called = 0;
            sp_ticket_lease_use(ticket, kit.lease, kit_done, &kit);
            kit_await(&kit, 1);
        }
        const struct sp_key *key = sp_lease_key(kit.engine, kit.lease);
        sp_lease_hold(kit.engine, kit.lease);
        sp_lease_release(kit.engine, kit.lease);
        assert_true(!key || key->n_secrets == 2);
        sp_key_unref(kit.engine, key);
        (void)sp_lease_is_wanted(kit.engine, kit.lease);
        kit_finish(&kit, &(struct sp_outcome){.kind = SP_OUTCOME_ANSWERED, .http_status = 200});
    }
    kit_call_free(call);
}

static void count_lease(void *user, struct sp_lease *lease)
{
    (void)lease;
    ++*(size_t *)user;
}

static void have_some_lease(void)
{
    size_t n = 0;
    sp_engine_each_lease(kit.engine, count_lease, &n);
    if (n == 0) {
        have_live_lease();
        call_with_lease();
    }
}

/* It stays on the list, and is read at each start from here on. */
static void lease_ends(void)
{
    kit.n_called = 0;
    sp_engine_lease_end(kit.engine, kit.lease, "test", SP_TEXT("admin"), kit_done, &kit);
    kit_await(&kit, 1);
    assert_int_equal(kit.lease->state, SP_LEASE_ENDING);
}

static void have_successor(void)
{
    no_leases();
    begin_lease(SP_LEASE_ROTATION);
    assert_int_equal(kit.status, SP_OK);
    live();
    assert_int_equal(kit.status, SP_OK);
}

static void successor_takes_over(void)
{
    struct sp_text hosts[] = {SP_TEXT("api.example")};
    struct sp_key_secret secret = {SP_TEXT("api_key"), {NULL, NULL, 0}};
    if (kit_secret(&kit, "minted", &secret.value) != SP_OK) {
        return;
    }
    struct sp_key_input input = {.id = SP_TEXT("k"),
                                 .provider = SP_TEXT("rest"),
                                 .hosts = hosts,
                                 .n_hosts = 1,
                                 .secrets = &secret,
                                 .n_secrets = 1};
    kit.n_called = 0;
    sp_engine_lease_succeed(kit.engine, kit.lease, &input, kit_done, &kit);
    kit_await(&kit, 1);
    sp_secret_free(&secret.value);
}

/* ---- each in turn ---------------------------------------------------------------------------
 */

struct flow {
    const char *name;
    void (*before)(void); /* nothing fails in it */
    void (*run)(void);
};

static const struct flow flows[] = {
    {"open", NULL, open_again},
    {"seal", NULL, seal_and_unseal},
    {"key add", drop_extra_key, add_key},
    {"key rotate", NULL, rotate_key},
    {"key set", NULL, set_key},
    {"key refresh", NULL, refresh_key},
    {"key test", NULL, test_key},
    {"key remove", add_extra_key, remove_key},
    {"client add", remove_client, add_client},
    {"client remove", add_client, remove_client},
    {"authority", NULL, put_authority},
    {"issue", NULL, issue},
    {"issue json", NULL, issue_json},
    {"call", issue_for_calls, call_without_id},
    {"call with id", issue_for_calls, call_with_id},
    {"pay", issue_for_payments, pay},
    {"pay with id", issue_for_payments, pay_with_id},
    {"suspend", issue_for_calls, be_hit_and_resumed},
    {"look", narrow_it, look_at_it},
    {"revoke", issue_for_calls, revoke_it},
    {"backup", NULL, back_up},
    {"house", have_fresh_token, keep_house},
    {"lease begin", no_leases, lease_begins},
    {"lease live", have_begun_lease, lease_lives},
    {"lease use", have_live_lease, call_with_lease},
    {"lease end", have_live_lease, lease_ends},
    {"open with lease", have_some_lease, open_again},
    {"lease gone", have_begun_lease, lease_is_gone},
    {"succeed", have_successor, successor_takes_over},
};
enum { FLOWS = sizeof flows / sizeof flows[0], EVERY = 16 };

/* How many calls were failed. */
static size_t try_flow(const struct flow *flow, enum fault fault)
{
    for (size_t at = 0;; at++) {
        assert_true(at < 5000);
        if (flow->before) {
            flow->before();
        }
        arm(fault, at);
        flow->run();
        disarm();
        if (!kit.engine || !is_well() || at % EVERY == EVERY - 1) {
            reopen();
        } else if (flow->run == open_again) {
            assert_int_equal(kit_set_policy(&kit), SP_OK);
        }
        hold_to_it();
        if (atomic_load(&n_failed) == 0) {
            return at;
        }
    }
}

/* A store of its own, since each start reads its audit. */
static size_t try_in_world(const struct flow *flow, enum fault fault)
{
    memset(&ledger, 0, sizeof ledger);
    kit_make(&kit);
    assert_int_equal(kit_open(&kit), SP_OK);
    kit_key(&kit, KIT_ADD, "k", "canary");
    assert_int_equal(kit.status, SP_OK);
    reopen(); /* the policy knows the key */
    have_fresh_token();
    size_t n = try_flow(flow, fault);
    reopen();
    hold_to_it();
    kit_remove(&kit);
    return n;
}

static void check_faults(enum fault fault)
{
    size_t n = 0;
    for (size_t i = 0; i < FLOWS; i++) {

        size_t failed = try_in_world(&flows[i], fault);
        print_message("%s: %zu\n", flows[i].name, failed);
        n += failed;
    }
    assert_true(n > (fault == MEMORY ? 500 : 100));
}

static void T41_each_allocation_fails_in_turn(void **state)
{
    (void)state;
    check_faults(MEMORY);
}

static void T41_each_step_of_the_store_fails_in_turn(void **state)
{
    (void)state;
    check_faults(STORE);
}

static void T41_each_call_for_the_disk_fails_in_turn(void **state)
{
    (void)state;
    check_faults(DISK);
}

int main(void)
{
    (void)setvbuf(stdout, NULL, _IOLBF, 0); /* which flow it was, should it end the process */
    assert_true(sodium_init() >= 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T41_each_allocation_fails_in_turn),
        cmocka_unit_test(T41_each_step_of_the_store_fails_in_turn),
        cmocka_unit_test(T41_each_call_for_the_disk_fails_in_turn),
    };
    return cmocka_run_group_tests_name("engine faults", tests, NULL, NULL);
}
