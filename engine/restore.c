#include "restore.h"

#include "audit.h"
#include "clock.h"
#include "store.h"
#include "sync.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DAMAGED "%s; find out why, move %s aside, keep it, and restore again"

enum { PATH_ROOM = 1200, POOL_BYTES = 256 << 10, COPY_BYTES = 64 << 10 };

struct restoring {
    const char *dir;
    char store[PATH_ROOM], copy[PATH_ROOM], audit[PATH_ROOM];
    uint8_t hash[32]; /* SHA-256 of the backup's file */
    struct sp_head audit_head;
    int64_t high_water_ms;         /* of the store that stands: time never goes back */
    struct sp_budget_use *budgets; /* what is spent in it: a restore is no fresh budget */
    size_t n_budgets, budgets_room;
    struct sp_restored *result;
};

static sp_status system_failed(struct sp_error *err, const char *doing, const char *path)
{
    return sp_fail(err, SP_EIO, "%s %s: %s", doing, path, strerror(errno));
}

/* ---- the copy -------------------------------------------------------------------------------
 */

static bool copy_bytes(int from, int to, uint8_t ret_hash[32])
{
    char chunk[COPY_BYTES];
    crypto_hash_sha256_state state;
    ssize_t got;
    (void)crypto_hash_sha256_init(&state);
    while ((got = read(from, chunk, sizeof chunk)) > 0) {
        (void)crypto_hash_sha256_update(&state, (const unsigned char *)chunk,
                                        (unsigned long long)got);
        for (ssize_t at = 0, put; at < got; at += put) {
            put = write(to, chunk + at, (size_t)(got - at));
            if (put <= 0) {
                return false;
            }
        }
    }
    (void)crypto_hash_sha256_final(&state, ret_hash);
    return got == 0;
}

/* SQLite takes some files that were cut short for shorter databases. Its header tells the size
 * of a page (big-endian at 16; 1 for 65536) and how many there are (at 28):
 * sqlite.org/fileformat2, section 1.3. */
static bool is_whole(int fd)
{
    uint8_t header[100];
    struct stat st;
    if (pread(fd, header, sizeof header, 0) != sizeof header || fstat(fd, &st)) {
        return false;
    }
    uint64_t page = (uint64_t)header[16] << 8 | header[17];
    uint64_t n_pages = (uint64_t)header[28] << 24 | (uint64_t)header[29] << 16 |
                       (uint64_t)header[30] << 8 | header[31];
    return (uint64_t)st.st_size == n_pages * (page == 1 ? 65536 : page);
}

/* The file itself is only read, and not by SQLite, which would write beside it. */
static sp_status make_copy(struct restoring *r, const char *file, struct sp_error *err)
{
    struct stat st;
    int from = open(file, O_RDONLY | O_CLOEXEC), to = -1;
    sp_status status = SP_OK;
    if (from < 0 || fstat(from, &st)) {
        status = sp_fail(err, SP_ENOENT, "%s: %s", file, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        status = sp_fail(err, SP_EINVAL, "%s: is no regular file", file);
    }
    if (!status) {
        (void)unlink(r->copy); /* of a restore that was interrupted */
        to = open(r->copy, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (to < 0 || !copy_bytes(from, to, r->hash)) {
            status = system_failed(err, "copying to", r->copy);
        } else if (!is_whole(to)) {
            status = sp_fail(err, SP_EINVAL, "%s: is no backup, or not all of one", file);
        }
    }
    if (to >= 0) {
        (void)close(to);
    }
    if (from >= 0) {
        (void)close(from);
    }
    return status;
}

/* ---- checks ---------------------------------------------------------------------------------
 */

static sp_status count_key(void *user, const struct sp_key_row *row)
{
    (void)row;
    ++*(uint64_t *)user;
    return SP_OK;
}

static sp_status count_token(void *user, const struct sp_token_row *row)
{
    (void)row;
    ++*(uint64_t *)user;
    return SP_OK;
}

/* The audit that goes on. Where it is damaged, restoring must not be a way to have that go
 * unnoticed. */
static sp_status open_audit(const struct restoring *r, struct sp_audit **ret_audit,
                            struct sp_error *err)
{
    struct sp_error why = {""};
    bool torn;
    sp_status status = sp_audit_open(r->audit, UINT64_MAX, ret_audit, &torn, &why);
    return status == SP_ECORRUPT ? sp_fail(err, SP_EDENIED, DAMAGED, why.text, r->audit)
           : status              ? sp_fail(err, status, "%s", why.text)
                                 : SP_OK;
}

/* The audit of this folder has to be that of the host in the backup: its checkpoints are signed
 * with a key of the keyring. */
static sp_status same_signer(const struct restoring *r, struct sp_keyring *keyring,
                             struct sp_error *err)
{
    uint32_t id;
    struct sp_audit *audit = NULL;
    struct sp_error why = {""};
    sp_status status = open_audit(r, &audit, err);
    if (!status &&
        sp_audit_sign_with(audit, sp_keyring_key(keyring, SP_PURPOSE_AUDIT_SIGN, &id), &why)) {
        status = sp_fail(err, SP_EDENIED,
                         "%s is the audit of another host than the backup's (%s); move it "
                         "aside, keep it, and restore again",
                         r->audit, why.text);
    }
    if (audit) {
        (void)sp_audit_sign_with(audit, NULL, NULL);
    }
    sp_audit_close(audit);
    return status;
}

/* Does the unseal key open it? Only a key file can be asked. */
static sp_status check_seal(struct restoring *r, struct sp_store *store, struct sp_text unseal,
                            struct sp_error *err)
{
    struct sp_pool *pool = NULL;
    struct sp_keyring *keyring = NULL;
    struct sp_error why = {""};
    sp_status status = sp_keyring_kind(store, &r->result->seal, err);
    if (!status && r->result->seal == SP_SEAL_NONE) {
        status = sp_fail(err, SP_EINVAL, "the backup is of a store that was never set up");
    }
    if (status || r->result->seal != SP_SEAL_KEY_FILE) {
        return status;
    }
    if (unseal.len == 0) {
        return sp_fail(err, SP_ECRYPTO,
                       "the backup is sealed with a key file, and there is none here: put it "
                       "into its place (key_file) first");
    }
    status = sp_pool_new(POOL_BYTES, &pool, err);
    if (!status && sp_keyring_open(store, pool, unseal, &keyring, &why)) {
        status = sp_fail(err, SP_ECRYPTO,
                         "the key file does not open the backup (%s); put the one that belongs "
                         "to it into its place first",
                         why.text);
    }
    if (!status) {
        status = same_signer(r, keyring, err);
    }
    sp_keyring_close(keyring);
    sp_pool_free(pool);
    return status;
}

/* What is restored takes over the present audit, from its first record to its last. */
static sp_status check_audit(struct restoring *r, struct sp_error *err)
{
    struct sp_audit_report report;
    struct sp_audit *audit = NULL;
    sp_status status = open_audit(r, &audit, err);
    if (!status) {
        sp_audit_head(audit, &r->audit_head);
    }
    sp_audit_close(audit);
    if (!status && r->audit_head.seq > 0) {
        struct sp_error why = {""};
        status = sp_audit_verify(r->audit, 0, &r->audit_head, &report, &why);
        status = status ? sp_fail(err, SP_EDENIED, DAMAGED, why.text, r->audit) : SP_OK;
    }
    r->result->audit_seq = r->audit_head.seq;
    return status;
}

static sp_status keep_budget(void *user, const struct sp_budget_use *row)
{
    struct restoring *r = user;
    if (r->n_budgets == r->budgets_room) {
        size_t room = r->budgets_room ? 2 * r->budgets_room : 64;
        struct sp_budget_use *more = realloc(r->budgets, room * sizeof *more);
        if (!more) {
            return SP_ENOMEM;
        }
        r->budgets = more;
        r->budgets_room = room;
    }
    r->budgets[r->n_budgets++] = *row;
    return SP_OK;
}

/* Of the store that stands: is the audit as long as it says, and which time has it seen? One
 * that cannot be opened is what restoring is for. */
static sp_status ask_old_store(struct restoring *r, struct sp_error *err)
{
    struct sp_store *store = NULL;
    struct sp_audit *audit = NULL;
    struct sp_head head;
    sp_status status = SP_OK;
    if (sp_store_open(r->store, false, &store, NULL)) {
        return SP_OK;
    }
    (void)sp_store_get_number(store, "clock.high_water", &r->high_water_ms, NULL);
    if (sp_store_budget_list(store, keep_budget, r, NULL) == SP_ENOMEM) {
        status = sp_fail(err, SP_ENOMEM, "out of memory");
    }
    if (!status && !sp_store_get_head(store, &head, NULL)) {
        struct sp_error why = {""};
        status = open_audit(r, &audit, err);
        if (!status && sp_audit_holds(audit, &head, &why)) {
            status = sp_fail(err, SP_EDENIED, DAMAGED, why.text, r->audit);
        }
        sp_audit_close(audit);
    }
    sp_store_close(store); /* the last one: its write-ahead log is folded into it */
    return status;
}

/* ---- the change -----------------------------------------------------------------------------
 */

/* All in one transaction of the copy. */
static sp_status change(struct restoring *r, struct sp_store *store, struct sp_error *err)
{
    struct sp_restore_mark mark = {r->result->backup_seq, r->result->n_tokens, {0}};
    memcpy(mark.hash, r->hash, sizeof mark.hash);
    sp_status status = sp_store_begin(store, err);
    for (size_t i = 0; !status && i < r->n_budgets; i++) {
        status = sp_store_budget_put(store, &r->budgets[i], err);
    }
    status = status ? status : sp_store_token_purge(store, INT64_MAX, err);
    status = status ? status : sp_store_claim_purge(store, INT64_MAX, err);
    status = status ? status : sp_store_put_head(store, &r->audit_head, err);
    status = status ? status : sp_store_raise(store, "clock.high_water", r->high_water_ms, err);
    status = status ? status : sp_store_put(store, SP_BACKUP_MARK, "-", 1, err);
    status = status ? status : sp_store_put(store, SP_RESTORE_MARK, &mark, sizeof mark, err);
    status = status ? status : sp_store_commit(store, err);
    if (status) {
        sp_store_rollback(store);
    }
    return status;
}

static sp_status prepare(struct restoring *r, struct sp_text unseal, struct sp_error *err)
{
    struct sp_store *store = NULL;
    struct sp_head head = {.seq = 0};
    sp_status status = sp_store_open(r->copy, false, &store, err);
    if (status) {
        return status;
    }
    status = check_seal(r, store, unseal, err);
    if (!status) {
        (void)sp_store_get_head(store, &head, NULL); /* none: it was never started */
        r->result->backup_seq = head.seq;
        status = sp_store_key_list(store, count_key, &r->result->n_keys, err);
    }
    status =
        status ? status : sp_store_token_list(store, count_token, &r->result->n_tokens, err);
    status = status ? status : change(r, store, err);
    sp_store_close(store);
    return status;
}

static sp_status sync_copy(const struct restoring *r, struct sp_error *err)
{
    char log[PATH_ROOM + 8];
    (void)snprintf(log, sizeof log, "%s-wal", r->copy);
    if (access(log, F_OK) == 0) { /* would be lost by the rename */
        return sp_fail(err, SP_EIO, "%s was not folded into the copy", log);
    }
    return sp_sync_path(r->copy) ? SP_OK : system_failed(err, "fsync", r->copy);
}

/* The old store gets a second name first; then the copy takes its first one. A write-ahead log
 * is only left of a store that could not be opened, or is gone: it must not become the new
 * one's. */
static sp_status replace(struct restoring *r, struct sp_error *err)
{
    static const char *const tails[] = {"-wal", "-shm"};
    char aside[sizeof r->result->aside], from[PATH_ROOM + 8], to[PATH_ROOM + 48];
    struct tm tm;
    time_t now = time(NULL);
    char stamp[32];
    (void)gmtime_r(&now, &tm);
    (void)strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
    int n = snprintf(aside, sizeof aside, "%s.before-%s", r->store, stamp);
    if (n < 0 || n >= (int)sizeof aside) {
        return sp_fail(err, SP_ETOOBIG, "%s: the path is too long", r->store);
    }
    if (access(r->store, F_OK) == 0) {
        if (link(r->store, aside)) {
            return system_failed(err, "keeping", r->store);
        }
        memcpy(r->result->aside, aside, sizeof aside);
    }
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(from, sizeof from, "%s%s", r->store, tails[i]);
        (void)snprintf(to, sizeof to, "%s%s", aside, tails[i]);
        if (access(from, F_OK) == 0 && rename(from, to)) {
            return system_failed(err, "moving", from);
        }
    }
    if (!sp_sync_path(r->dir)) {
        return system_failed(err, "fsync", r->dir);
    }
    if (rename(r->copy, r->store)) {
        return system_failed(err, "renaming", r->copy);
    }
    return sp_sync_path(r->dir) ? SP_OK : system_failed(err, "fsync", r->dir);
}

sp_status sp_restore(const char *dir, const char *file, struct sp_text unseal,
                     struct sp_restored *ret_restored, struct sp_error *err)
{
    struct restoring r = {.dir = dir, .result = ret_restored};
    *ret_restored = (struct sp_restored){.seal = SP_SEAL_NONE};
    if (sodium_init() < 0) {
        return sp_fail(err, SP_EUNSUPPORTED, "libsodium does not start");
    }
    (void)snprintf(r.store, sizeof r.store, "%s/store.db", dir);
    (void)snprintf(r.copy, sizeof r.copy, "%s/store.db.restoring", dir);
    (void)snprintf(r.audit, sizeof r.audit, "%s/audit", dir);
    sp_status status = make_copy(&r, file, err);
    status = status ? status : ask_old_store(&r, err);
    status = status ? status : check_audit(&r, err);
    status = status ? status : prepare(&r, unseal, err);
    status = status ? status : sync_copy(&r, err);
    status = status ? status : replace(&r, err);
    if (status) {
        (void)unlink(r.copy);
    }
    free(r.budgets);
    return status;
}
