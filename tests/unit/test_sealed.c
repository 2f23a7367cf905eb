/* What lies on the disk: keyring, boxes, store, group commit; and what a kill -9 leaves. */
#include "commit.h"
#include "keyring.h"
#include "unit/folder.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct disk {
    char folder[64], path[128], audit[128];
    struct sp_store *store;
    struct sp_pool *pool;
    struct sp_error err;
};

static void disk_open(struct disk *d)
{
    memcpy(d->folder, "/tmp/sp-sealed-XXXXXX", 22);
    assert_non_null(mkdtemp(d->folder));
    (void)snprintf(d->path, sizeof d->path, "%s/store.db", d->folder);
    (void)snprintf(d->audit, sizeof d->audit, "%s/audit", d->folder);
    assert_int_equal(sp_pool_new(1 << 20, &d->pool, &d->err), SP_OK);
    assert_int_equal(sp_store_open(d->path, true, &d->store, &d->err), SP_OK);
}

static void disk_close(struct disk *d)
{
    sp_store_close(d->store);
    sp_pool_free(d->pool);
    assert_int_equal(folder_remove(d->folder), 0);
}

static void secrets_come_from_guarded_memory_and_are_wiped(void **state)
{
    (void)state;
    struct sp_pool *pool;
    struct sp_secret a, b, c;
    assert_int_equal(sp_pool_new(64 * 4, &pool, NULL), SP_OK);
    (void)sp_pool_locked(pool);
    assert_int_equal(sp_secret_new(pool, 65, &a), SP_OK); /* two slots */
    assert_int_equal(sp_secret_new(pool, 0, &b), SP_OK);
    assert_int_equal(sp_secret_new(pool, 128, &c), SP_ENOMEM);
    assert_int_equal(sp_secret_new(pool, SP_SECRET_MAX_BYTES + 1, &c), SP_ETOOBIG);
    memset(a.ptr, 0x5a, a.len);
    unsigned char *old = a.ptr;
    sp_secret_free(&a);
    sp_secret_free(&a); /* a second time is fine */
    for (size_t i = 0; i < 65; i++) {
        assert_int_equal(old[i], 0);
    }
    assert_int_equal(sp_secret_new(pool, 128, &c), SP_OK);
    assert_ptr_equal(c.ptr, old);
    sp_secret_free(&b);
    sp_secret_free(&c);
    sp_pool_free(pool);
    sp_pool_free(NULL);
}

static void the_wrong_unseal_key_opens_nothing(void **state)
{
    (void)state;
    struct disk d = {.store = NULL};
    struct sp_keyring *keyring = NULL;
    uint8_t key[32] = {1}, wrong[32] = {2};
    enum sp_seal_kind kind;
    disk_open(&d);
    assert_int_equal(sp_keyring_kind(d.store, &kind, &d.err), SP_OK);
    assert_int_equal(kind, SP_SEAL_NONE);
    assert_int_equal(sp_keyring_create(d.store, d.pool, SP_SEAL_KEY_FILE,
                                       (struct sp_text){(char *)key, 32}, &d.err),
                     SP_OK);
    assert_int_equal(sp_keyring_kind(d.store, &kind, &d.err), SP_OK);
    assert_int_equal(kind, SP_SEAL_KEY_FILE);
    assert_int_equal(
        sp_keyring_open(d.store, d.pool, (struct sp_text){(char *)wrong, 32}, &keyring, &d.err),
        SP_ECRYPTO);
    assert_int_equal(
        sp_keyring_open(d.store, d.pool, (struct sp_text){(char *)key, 31}, &keyring, &d.err),
        SP_ECRYPTO);
    assert_int_equal(
        sp_keyring_open(d.store, d.pool, (struct sp_text){(char *)key, 32}, &keyring, &d.err),
        SP_OK);
    sp_keyring_close(keyring);
    sp_keyring_close(NULL);
    disk_close(&d);
}

static void T43_a_box_opens_in_its_own_row_and_version_alone(void **state)
{
    (void)state;
    struct disk d = {.store = NULL};
    struct sp_keyring *keyring = NULL;
    uint8_t key[32] = {1};
    struct sp_text unseal = {(char *)key, 32}, plain = SP_TEXT("sk_live_canary");
    struct sp_buf box;
    struct sp_secret secret;
    uint32_t ring;
    disk_open(&d);
    assert_int_equal(sp_keyring_create(d.store, d.pool, SP_SEAL_KEY_FILE, unseal, &d.err),
                     SP_OK);
    assert_int_equal(sp_keyring_open(d.store, d.pool, unseal, &keyring, &d.err), SP_OK);
    sp_buf_init(&box, 1024);
    assert_int_equal(sp_keyring_seal(keyring, "keys", SP_TEXT("a"), 1, plain, &box, &ring),
                     SP_OK);
    assert_null(memmem(box.ptr, box.len, plain.ptr, plain.len));
    struct sp_text sealed = sp_buf_text(&box);
    assert_int_equal(
        sp_keyring_unseal(keyring, "keys", SP_TEXT("a"), 1, ring, sealed, d.pool, &secret),
        SP_OK);
    assert_true(sp_text_eq(sp_secret_text(&secret), plain));
    sp_secret_free(&secret);
    static const struct {
        const char *table, *row;
        uint32_t version, ring;
    } others[] = {
        {"keys", "b", 1, 0}, {"keys", "a", 2, 0}, {"requests", "a", 1, 0}, {"keys", "a", 1, 1}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(sp_keyring_unseal(keyring, others[i].table, sp_text_of(others[i].row),
                                           others[i].version, ring + others[i].ring, sealed,
                                           d.pool, &secret),
                         SP_ECRYPTO);
    }
    for (size_t i = 0; i < box.len; i++) {
        box.ptr[i] ^= 1;
        assert_int_equal(
            sp_keyring_unseal(keyring, "keys", SP_TEXT("a"), 1, ring, sealed, d.pool, &secret),
            SP_ECRYPTO);
        box.ptr[i] ^= 1;
    }
    sp_buf_done(&box);
    sp_keyring_close(keyring);
    disk_close(&d);
}

struct reading {
    struct sp_keyring *keyring;
    struct sp_pool *pool;
    size_t n_opened;
};

/* A secret opens as what was sealed, for the key that it was sealed for, or not at all. */
static sp_status open_secret(void *user, const struct sp_key_row *row)
{
    struct reading *r = user;
    struct sp_secret secret;
    if (sp_keyring_unseal(r->keyring, "keys", row->id, row->version, row->ring, row->secrets,
                          r->pool, &secret) == SP_OK) {
        assert_true(sp_text_is(row->id, "a"));
        assert_true(sp_text_is(sp_secret_text(&secret), "sk_live_canary"));
        sp_secret_free(&secret);
        r->n_opened++;
    }
    return SP_OK;
}

/* How many secrets open in the store as it lies there. */
static size_t count_opened(struct disk *d, struct sp_text unseal)
{
    struct reading r = {.pool = d->pool};
    if (sp_store_open(d->path, false, &d->store, &d->err)) {
        d->store = NULL;
        return 0;
    }
    if (sp_keyring_open(d->store, d->pool, unseal, &r.keyring, &d->err) == SP_OK) {
        (void)sp_store_key_list(d->store, open_secret, &r, &d->err);
    }
    sp_keyring_close(r.keyring);
    sp_store_close(d->store);
    d->store = NULL;
    return r.n_opened;
}

static void write_file(const char *path, const uint8_t *bytes, size_t len)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static size_t read_file(const char *path, uint8_t *ret_bytes, size_t room)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t len = fread(ret_bytes, 1, room, file);
    assert_int_equal(fclose(file), 0);
    assert_true(len > 0 && len < room);
    return len;
}

static void T42_a_flipped_byte_of_the_store_opens_no_other_secret(void **state)
{
    (void)state;
    static uint8_t bytes[1 << 20];
    struct disk d = {.store = NULL};
    struct sp_keyring *keyring = NULL;
    uint8_t key[32] = {1};
    struct sp_text unseal = {(char *)key, 32};
    struct sp_buf box;
    struct sp_key_row row = {.id = SP_TEXT("a"), .provider = SP_TEXT("p"), .version = 1};
    disk_open(&d);
    sp_buf_init(&box, 1024);
    assert_int_equal(sp_keyring_create(d.store, d.pool, SP_SEAL_KEY_FILE, unseal, &d.err),
                     SP_OK);
    assert_int_equal(sp_keyring_open(d.store, d.pool, unseal, &keyring, &d.err), SP_OK);
    assert_int_equal(
        sp_keyring_seal(keyring, "keys", row.id, 1, SP_TEXT("sk_live_canary"), &box, &row.ring),
        SP_OK);
    row.secrets = sp_buf_text(&box);
    assert_int_equal(sp_store_key_add(d.store, &row, &d.err), SP_OK);
    sp_keyring_close(keyring);
    sp_store_close(d.store);
    size_t len = read_file(d.path, bytes, sizeof bytes), n_opened = 0, n = 0;
    uint8_t *at = memmem(bytes, len, box.ptr, box.len);
    assert_non_null(at); /* all of it is in the file */
    assert_int_equal(count_opened(&d, unseal), 1);
    size_t start = (size_t)(at - bytes), end = start + box.len;
    /* Each byte of the box and what lies about it, and a sample of all the others. */
    for (size_t i = 0; i < len; i += i + 200 >= start && i < end + 200 ? 1 : 61) {
        uint8_t was = bytes[i];
        bytes[i] ^= (uint8_t)(1 + randombytes_uniform(255));
        write_file(d.path, bytes, len);
        size_t opened = count_opened(&d, unseal);
        assert_true(opened <= 1);
        if (i >= start && i < end) {
            assert_int_equal(opened, 0);
        }
        n_opened += opened;
        n++;
        bytes[i] = was;
    }
    assert_true(n_opened < n);
    sp_buf_done(&box);
    disk_close(&d);
}

static sp_status last_hit(void *user, const struct sp_token_row *row)
{
    if (row->guard_hits > 0) {
        *(struct sp_token_row *)user = *row;
    }
    return SP_OK;
}

static void the_store_keeps_its_invariants_in_one_statement_each(void **state)
{
    (void)state;
    struct disk d = {.store = NULL};
    struct sp_token_row seen;
    struct sp_token_row row = {.grant = SP_TEXT("g"),
                               .principal = SP_TEXT("p"),
                               .scope = SP_TEXT("s"),
                               .expires_ms = 100};
    struct sp_client_row client = {
        .name = SP_TEXT("admin"), .curve = SP_TEXT("c"), .admin = true};
    int64_t number;
    disk_open(&d);
    for (uint8_t i = 0; i < 3; i++) {
        row.id[0] = i;
        assert_int_equal(sp_store_token_add(d.store, &row, 2, 50, &d.err),
                         i < 2 ? SP_OK : SP_EDENIED);
    }
    assert_int_equal(sp_store_token_add(d.store, &row, 2, 100, &d.err),
                     SP_OK); /* those expired */
    assert_int_equal(sp_store_token_revoke(d.store, row.id, 60, &d.err), SP_OK);
    assert_int_equal(sp_store_token_revoke(d.store, row.id, 70, &d.err), SP_OK);
    for (unsigned i = 0; i < 4; i++) { /* suspended by the third, since then and no later */
        assert_int_equal(sp_store_token_hit(d.store, row.id, SP_TEXT("k"), 3, 80 + i, &d.err),
                         SP_OK);
        seen = (struct sp_token_row){.guard_hits = 0};
        assert_int_equal(sp_store_token_list(d.store, last_hit, &seen, &d.err), SP_OK);
        assert_int_equal(seen.guard_hits, i + 1);
        assert_int_equal(seen.suspended_ms, i < 2 ? 0 : 82);
    }
    assert_int_equal(sp_store_token_resume(d.store, row.id, &d.err), SP_OK);
    seen = (struct sp_token_row){.guard_hits = 0};
    assert_int_equal(sp_store_token_list(d.store, last_hit, &seen, &d.err), SP_OK);
    assert_int_equal(seen.guard_hits, 0);
    row.id[0] = 9;
    assert_int_equal(sp_store_token_resume(d.store, row.id, &d.err), SP_ENOENT);
    assert_int_equal(sp_store_token_hit(d.store, row.id, SP_TEXT("k"), 3, 80, &d.err), SP_OK);
    assert_int_equal(sp_store_token_revoke(d.store, row.id, 70, &d.err), SP_ENOENT);
    assert_int_equal(sp_store_client_add(d.store, &client, &d.err), SP_OK);
    assert_int_equal(sp_store_client_add(d.store, &client, &d.err), SP_EEXIST);
    assert_int_equal(sp_store_client_remove(d.store, client.name, &d.err), SP_EDENIED);
    assert_int_equal(sp_store_client_remove(d.store, SP_TEXT("nobody"), &d.err), SP_ENOENT);
    assert_int_equal(sp_store_raise(d.store, "n", 5, &d.err), SP_OK);
    assert_int_equal(sp_store_raise(d.store, "n", -7, &d.err), SP_OK);
    assert_int_equal(sp_store_get_number(d.store, "n", &number, &d.err), SP_OK);
    assert_int_equal(number, 5);
    struct sp_key_row key = {.id = SP_TEXT("k"), .provider = SP_TEXT("p"), .version = 1};
    assert_int_equal(sp_store_key_add(d.store, &key, &d.err), SP_OK);
    assert_int_equal(sp_store_key_add(d.store, &key, &d.err), SP_EEXIST);
    key.version = 3;
    assert_int_equal(sp_store_key_rotate(d.store, &key, &d.err), SP_EEXIST);
    key.version = 2;
    assert_int_equal(sp_store_key_rotate(d.store, &key, &d.err), SP_OK);
    disk_close(&d);
}

/* ---- kill -9
 * --------------------------------------------------------------------------------- */

struct writing {
    struct sp_job job;
    uint8_t id[16];
    int fd;
};

static void wake(void *user)
{
    (void)user;
}

static sp_status write_token(struct sp_job *job, struct sp_store *store)
{
    struct writing *w = (struct writing *)job;
    struct sp_token_row row = {.grant = SP_TEXT("g"),
                               .principal = SP_TEXT("p"),
                               .scope = SP_TEXT("s"),
                               .expires_ms = 1};
    memcpy(row.id, w->id, 16);
    return sp_store_token_add(store, &row, 0, 0, &job->err);
}

/* The ledger outside: what was acknowledged is told to the parent. */
static void acknowledged(struct sp_job *job)
{
    struct writing *w = (struct writing *)job;
    if (job->status != SP_OK || write(w->fd, w->id, 16) != 16) {
        _exit(3);
    }
    sp_buf_done(&job->records);
    free(w);
}

static void child(const struct disk *d, int fd)
{
    struct sp_commit_config config = {.queue_max = 64, .wake = wake};
    struct sp_commit *commit;
    struct sp_error err = {""};
    bool torn;
    if (sp_clock_system(&config.clock, &err) ||
        sp_store_open(d->path, false, &config.store, &err) ||
        sp_audit_open(d->audit, 1 << 20, &config.audit, &torn, &err) ||
        sp_commit_new(&config, &commit, &err)) {
        _exit(4);
    }
    for (;;) {
        struct writing *w = calloc(1, sizeof *w);
        if (!w) {
            _exit(5);
        }
        randombytes_buf(w->id, 16);
        w->fd = fd;
        w->job.work = write_token;
        w->job.done = acknowledged;
        char hex[33];
        sp_hex_encode(w->id, 16, hex);
        sp_buf_init(&w->job.records, 256);
        sp_buf_addf(&w->job.records, "\"type\":\"t\",\"id\":\"%s\"\n", hex);
        if (sp_commit_submit(commit, &w->job)) {
            sp_buf_done(&w->job.records);
            free(w);
        }
        (void)sp_commit_poll(commit);
        usleep(100);
    }
}

struct counting {
    const uint8_t *ids;
    size_t n, found;
};

static sp_status count_token(void *user, const struct sp_token_row *row)
{
    struct counting *c = user;
    for (size_t i = 0; i < c->n; i++) {
        c->found += memcmp(c->ids + 16 * i, row->id, 16) == 0;
    }
    return SP_OK;
}

static void T39_what_was_acknowledged_survives_kill_9(void **state)
{
    (void)state;
    struct disk d = {.store = NULL};
    static uint8_t ledger[16 * 20000];
    size_t n = 0;
    disk_open(&d);
    sp_store_close(d.store);
    /* More rounds where the machine is too busy for a few to acknowledge much. */
    for (int round = 0; round < 15 || (n <= 20 && round < 200); round++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        pid_t pid = fork(); /* allowed: the child is killed and never goes on as a test */
        if (pid == 0) {
            child(&d, fds[1]);
        }
        close(fds[1]);
        usleep((useconds_t)(20000 + randombytes_uniform(60000)));
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        size_t left = 16;
        for (ssize_t got;
             n < 20000 && (got = read(fds[0], ledger + 16 * n + 16 - left, left)) > 0;) {
            left -= (size_t)got;
            if (left == 0) {
                left = 16;
                n++;
            }
        }
        close(fds[0]);
    }
    assert_true(n > 20);
    struct counting c = {ledger, n, 0};
    struct sp_head head;
    struct sp_audit_report report;
    assert_int_equal(sp_store_open(d.path, false, &d.store, &d.err), SP_OK);
    assert_int_equal(sp_store_token_list(d.store, count_token, &c, &d.err), SP_OK);
    assert_int_equal(c.found, n);
    assert_int_equal(sp_store_get_head(d.store, &head, &d.err), SP_OK);
    if (sp_audit_verify(d.audit, 0, &head, &report, &d.err)) {
        fail_msg("record %llu: %s", (unsigned long long)report.bad_seq, report.reason);
    }
    assert_true(report.n_records >= n);
    disk_close(&d);
}

static void count_done(struct sp_job *job)
{
    (void)job;
}

static void T56_a_failing_audit_fails_every_job_and_for_good(void **state)
{
    (void)state;
    struct disk d = {.store = NULL};
    struct sp_commit_config config = {.queue_max = 64, .wake = wake};
    struct sp_commit *commit;
    bool torn;
    disk_open(&d);
    config.store = d.store;
    assert_int_equal(sp_clock_system(&config.clock, &d.err), SP_OK);
    assert_int_equal(sp_audit_open(d.audit, 1, &config.audit, &torn, &d.err), SP_OK);
    assert_int_equal(sp_commit_new(&config, &commit, &d.err), SP_OK);
    /* Rotation after each record needs a new file; the folder is gone from under it. */
    assert_int_equal(folder_remove(d.audit), 0);
    struct sp_job *jobs = calloc(4, sizeof *jobs);
    for (int i = 0; i < 4; i++) {
        jobs[i].done = count_done;
        sp_buf_init(&jobs[i].records, 64);
        sp_buf_add_str(&jobs[i].records, "\"type\":\"t\"\n");
        if (sp_commit_submit(commit, &jobs[i]) == SP_OK) {
            while (sp_commit_poll(commit) == 0) {
                usleep(1000);
            }
        } else {
            jobs[i].status = SP_EIO;
        }
    }
    assert_int_equal(jobs[3].status, SP_EIO);
    assert_false(sp_commit_healthy(commit, &d.err));
    assert_true(*d.err.text);
    assert_int_equal(sp_commit_submit(commit, &jobs[0]), SP_EIO);
    sp_commit_free(commit);
    sp_audit_close(config.audit);
    for (int i = 0; i < 4; i++) {
        sp_buf_done(&jobs[i].records);
    }
    free(jobs);
    disk_close(&d);
}

int main(void)
{
    assert_true(sodium_init() >= 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets_come_from_guarded_memory_and_are_wiped),
        cmocka_unit_test(the_wrong_unseal_key_opens_nothing),
        cmocka_unit_test(T43_a_box_opens_in_its_own_row_and_version_alone),
        cmocka_unit_test(T42_a_flipped_byte_of_the_store_opens_no_other_secret),
        cmocka_unit_test(the_store_keeps_its_invariants_in_one_statement_each),
        cmocka_unit_test(T39_what_was_acknowledged_survives_kill_9),
        cmocka_unit_test(T56_a_failing_audit_fails_every_job_and_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
