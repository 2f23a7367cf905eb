#include "audit_format.h"
#include "sync.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PENDING_MAX_BYTES = 1 << 20, WRITE_AT_BYTES = 256 << 10, PATH_ROOM = 1200 };

struct sp_audit {
    char folder[1024];
    int fd;
    uint64_t rotate_bytes, file_bytes;
    uint64_t seq; /* of the last record */
    uint8_t hash[SP_HASH_BYTES];
    struct sp_buf pending;     /* not written yet */
    bool unsynced;             /* written, but not known to be on the disk */
    uint64_t since_checkpoint; /* records */
    int64_t checkpoint_ms;     /* when the last one was written, or the first record after it */
    bool failed;
    bool signs;
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
    const uint8_t *seed; /* the keyring's */
};

/* ---- files ----------------------------------------------------------------------------------
 */

static sp_status failed(struct sp_audit *audit, const char *doing, struct sp_error *err)
{
    audit->failed = true;
    return sp_fail(err, SP_EIO, "audit: %s: %s; nothing more is written until a restart", doing,
                   strerror(errno));
}

static sp_status make_folder(const char *folder, struct sp_error *err)
{
    char parent[PATH_ROOM];
    bool made = mkdir(folder, 0700) == 0;
    (void)snprintf(parent, sizeof parent, "%s/..", folder);
    if ((!made && errno != EEXIST) || (made && !sp_sync_path(parent))) {
        return sp_fail(err, SP_EIO, "audit folder %s: %s", folder, strerror(errno));
    }
    return SP_OK;
}

static sp_status open_file(struct sp_audit *audit, uint64_t first_seq, bool create,
                           struct sp_error *err)
{
    char name[AUDIT_NAME_BYTES], path[PATH_ROOM];
    struct stat st;
    audit_file_name(first_seq, name);
    (void)snprintf(path, sizeof path, "%s/%s", audit->folder, name);
    int fd =
        open(path, O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC | (create ? O_CREAT | O_EXCL : 0),
             0600);
    if (fd < 0 || fstat(fd, &st)) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return failed(audit, path, err);
    }
    if (audit->fd >= 0) {
        (void)close(audit->fd);
    }
    audit->fd = fd;
    audit->file_bytes = (uint64_t)st.st_size;
    return !create || sp_sync_path(audit->folder) ? SP_OK
                                                  : failed(audit, "sync of the folder", err);
}

static sp_status write_pending(struct sp_audit *audit, struct sp_error *err)
{
    size_t at = 0;
    while (at < audit->pending.len) {
        ssize_t n = write(audit->fd, audit->pending.ptr + at, audit->pending.len - at);
        if (n == 0) {
            errno = ENOSPC; /* nothing, and no reason: do not try for ever */
        }
        if (n == 0 || (n < 0 && errno != EINTR)) {
            return failed(audit, "write", err);
        }
        at += n > 0 ? (size_t)n : 0;
        audit->unsynced = true;
    }
    audit->file_bytes += audit->pending.len;
    sp_buf_reset(&audit->pending);
    return SP_OK;
}

sp_status sp_audit_flush(struct sp_audit *audit, struct sp_error *err)
{
    if (audit->failed) {
        return sp_fail(err, SP_EIO, "audit: a write failed before; restart the host");
    }
    sp_status status = write_pending(audit, err);
    if (!status && audit->unsynced && fdatasync(audit->fd)) {
        status = failed(audit, "fdatasync", err);
    }
    audit->unsynced = audit->unsynced && status;
    return status;
}

/* ---- records --------------------------------------------------------------------------------
 */

sp_status sp_audit_check(struct sp_text fields, struct sp_error *err)
{
    if (fields.len > AUDIT_LINE_MAX_BYTES - 256) {
        return sp_fail(err, SP_ETOOBIG, "audit: a record of %zu bytes is too large",
                       fields.len);
    }
    return audit_fields_good(fields)
               ? SP_OK
               : sp_fail(err, SP_EINVAL, "audit: a record without a type, or with raw bytes");
}

static sp_status append_line(struct sp_audit *audit, int64_t wall_ms, struct sp_text fields,
                             struct sp_error *err)
{
    char time[SP_TIME_BYTES];
    struct sp_buf *pending = &audit->pending;
    size_t start = pending->len;
    sp_time_print(wall_ms, time);
    sp_buf_add_str(pending, "{\"seq\":");
    sp_buf_add_number(pending, (int64_t)audit->seq + 1);
    sp_buf_add_str(pending, ",\"prev\":\"");
    sp_buf_add_hex(pending, audit->hash, SP_HASH_BYTES);
    sp_buf_add_str(pending, "\",\"time\":\"");
    sp_buf_add_str(pending, time);
    sp_buf_add_str(pending, "\",");
    sp_buf_add_text(pending, fields);
    sp_buf_add_str(pending, "}\n");
    if (pending->failed) {
        audit->failed = true;
        return sp_fail(err, SP_ENOMEM, "audit: out of memory");
    }
    audit_line_hash((struct sp_text){pending->ptr + start, pending->len - start - 1},
                    audit->hash);
    audit->seq++;
    audit->since_checkpoint++;
    return SP_OK;
}

sp_status sp_audit_checkpoint(struct sp_audit *audit, int64_t wall_ms, struct sp_error *err)
{
    if (!audit->signs || audit->since_checkpoint == 0) {
        return SP_OK;
    }
    uint8_t message[AUDIT_SIGNED_BYTES], signature[crypto_sign_BYTES];
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES], secret_key[crypto_sign_SECRETKEYBYTES];
    char hex[2 * crypto_sign_BYTES + 1], fields[256];
    audit_signed_bytes(audit->seq + 1, audit->hash, message);
    (void)crypto_sign_seed_keypair(public_key, secret_key, audit->seed);
    (void)crypto_sign_detached(signature, NULL, message, sizeof message, secret_key);
    sodium_memzero(secret_key, sizeof secret_key);
    sp_hex_encode(signature, sizeof signature, hex);
    (void)snprintf(fields, sizeof fields, "\"type\":\"checkpoint\",\"signature\":\"%s\"", hex);
    sp_status status = append_line(audit, wall_ms, sp_text_of(fields), err);
    if (!status) {
        audit->since_checkpoint = 0;
        audit->checkpoint_ms = wall_ms;
    }
    return status;
}

/* A new file begins behind a checkpoint and with the next number. */
static sp_status rotate(struct sp_audit *audit, int64_t wall_ms, struct sp_error *err)
{
    sp_status status = sp_audit_checkpoint(audit, wall_ms, err);
    if (!status) {
        status = sp_audit_flush(audit, err);
    }
    return status ? status : open_file(audit, audit->seq + 1, true, err);
}

sp_status sp_audit_append(struct sp_audit *audit, int64_t wall_ms, struct sp_text fields,
                          struct sp_error *err)
{
    if (audit->failed) {
        return sp_fail(err, SP_EIO, "audit: a write failed before; restart the host");
    }
    sp_status status = sp_audit_check(fields, err);
    if (status) {
        return status;
    }
    if (audit->pending.len > WRITE_AT_BYTES) {
        status = write_pending(audit, err); /* bounds memory; the sync can wait */
    }
    if (!status && audit->file_bytes + audit->pending.len > audit->rotate_bytes) {
        status = rotate(audit, wall_ms, err);
    }
    if (audit->since_checkpoint == 0) {
        audit->checkpoint_ms = wall_ms;
    }
    if (!status) {
        status = append_line(audit, wall_ms, fields, err);
    }
    if (!status && (audit->since_checkpoint >= AUDIT_CHECKPOINT_EVERY ||
                    wall_ms - audit->checkpoint_ms >= AUDIT_CHECKPOINT_MS)) {
        status = sp_audit_checkpoint(audit, wall_ms, err);
    }
    return status;
}

void sp_audit_head(const struct sp_audit *audit, struct sp_head *ret_head)
{
    ret_head->seq = audit->seq;
    memcpy(ret_head->hash, audit->hash, SP_HASH_BYTES);
}

/* ---- open -----------------------------------------------------------------------------------
 */

static sp_status note_last(void *user, uint64_t seq, struct sp_text line)
{
    struct sp_audit *audit = user;
    struct audit_line parsed;
    audit->seq = seq;
    audit_line_hash(line, audit->hash);
    audit->since_checkpoint =
        audit_line_parse(line, &parsed) && audit_line_is_checkpoint(&parsed)
            ? 0
            : audit->since_checkpoint + 1;
    return SP_OK;
}

/* Cut a last line without a newline: its write was never acknowledged. */
static sp_status cut_torn(struct sp_audit *audit, bool *ret_torn, struct sp_error *err)
{
    char block[4096];
    off_t size = (off_t)audit->file_bytes, end = size;
    while (end > 0) {
        off_t start = end > (off_t)sizeof block ? end - (off_t)sizeof block : 0;
        ssize_t n = pread(audit->fd, block, (size_t)(end - start), start);
        if (n != (ssize_t)(end - start)) {
            return failed(audit, "read", err);
        }
        const char *newline = memrchr(block, '\n', (size_t)n);
        if (newline) {
            end = start + (newline - block) + 1;
            break;
        }
        end = start;
    }
    *ret_torn = end != size;
    if (*ret_torn && (ftruncate(audit->fd, end) || fdatasync(audit->fd))) {
        return failed(audit, "cutting off a torn line", err);
    }
    audit->file_bytes = (uint64_t)end;
    return SP_OK;
}

/* Continue the last file, whose lines must hold together. */
static sp_status resume(struct sp_audit *audit, uint64_t first_seq, size_t n_files,
                        bool *ret_torn, struct sp_error *err)
{
    sp_status status = open_file(audit, first_seq, false, err);
    if (!status) {
        status = cut_torn(audit, ret_torn, err);
    }
    if (status) {
        return status;
    }
    audit->seq = first_seq - 1;
    struct sp_audit_report report;
    /* An empty last file, made by a rotation right before a crash, takes its chain from the
     * file before: so the check begins one record earlier. */
    uint64_t from = audit->file_bytes == 0 && n_files > 1 ? first_seq - 1 : first_seq;
    status = sp_audit_verify(audit->folder, from, NULL, &report, err);
    if (status == SP_ECORRUPT) {
        return sp_fail(err, SP_ECORRUPT, "audit: record %" PRIu64 " (%s, line %" PRIu64 "): %s",
                       report.bad_seq, report.bad_file, report.bad_line, report.reason);
    }
    if (!status) {
        status = sp_audit_read(audit->folder, from, note_last, audit, err);
    }
    if (!status && report.n_records && audit->seq != report.last_seq) {
        status = sp_fail(err, SP_EIO, "audit: what was just verified cannot be read again");
    }
    /* What a killed process wrote may not be on the disk yet; the head may name it from now. */
    return status || fdatasync(audit->fd) == 0 ? status : failed(audit, "fdatasync", err);
}

sp_status sp_audit_open(const char *folder, uint64_t rotate_bytes, struct sp_audit **ret_audit,
                        bool *ret_torn, struct sp_error *err)
{
    uint64_t *seqs = NULL;
    size_t n = 0;
    sp_status status = make_folder(folder, err);
    status = status ? status : audit_list(folder, &seqs, &n, err);
    struct sp_audit *audit = status ? NULL : calloc(1, sizeof *audit);
    if (!audit) {
        free(seqs);
        return status ? status : SP_ENOMEM;
    }
    audit->fd = -1;
    audit->rotate_bytes = rotate_bytes;
    sp_buf_init(&audit->pending, PENDING_MAX_BYTES);
    *ret_torn = false;
    if (snprintf(audit->folder, sizeof audit->folder, "%s", folder) >=
        (int)sizeof audit->folder) {
        status = sp_fail(err, SP_ETOOBIG, "audit folder: the path is too long");
    } else if (n == 0) {
        status = open_file(audit, 1, true, err);
    } else {
        status = resume(audit, seqs[n - 1], n, ret_torn, err);
    }
    free(seqs);
    if (status) {
        sp_audit_close(audit);
        return status;
    }
    *ret_audit = audit;
    return SP_OK;
}

void sp_audit_close(struct sp_audit *audit)
{
    if (audit) {
        if (audit->fd >= 0) {
            (void)close(audit->fd);
        }
        sp_buf_done(&audit->pending);
        free(audit);
    }
}

/* ---- signing --------------------------------------------------------------------------------
 */

static sp_status publish_key(struct sp_audit *audit, struct sp_error *err)
{
    char path[PATH_ROOM], hex[2 * crypto_sign_PUBLICKEYBYTES + 2], found[sizeof hex] = "";
    (void)snprintf(path, sizeof path, "%s/audit.pub", audit->folder);
    sp_hex_encode(audit->public_key, sizeof audit->public_key, hex);
    memcpy(hex + 64, "\n", 2);
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    ssize_t n = fd < 0 ? -1 : read(fd, found, sizeof found - 1);
    sp_status status = SP_OK;
    if (n < 0) {
        status = sp_fail(err, SP_EIO, "%s: %s", path, strerror(errno));
    } else if (n == 0 && (write(fd, hex, 65) != 65 || fsync(fd))) {
        status = sp_fail(err, SP_EIO, "%s: cannot be written", path);
    } else if (n > 0 && strcmp(found, hex) != 0) {
        status =
            sp_fail(err, SP_ECORRUPT,
                    "%s: is another host's key; these records are not of this store", path);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return status;
}

sp_status sp_audit_sign_with(struct sp_audit *audit, const uint8_t *seed, struct sp_error *err)
{
    audit->signs = false;
    audit->seed = seed;
    if (!seed) {
        return SP_OK;
    }
    uint8_t secret_key[crypto_sign_SECRETKEYBYTES];
    (void)crypto_sign_seed_keypair(audit->public_key, secret_key, seed);
    sodium_memzero(secret_key, sizeof secret_key);
    sp_status status = publish_key(audit, err);
    audit->signs = status == SP_OK;
    return status;
}

/* ---- the head -------------------------------------------------------------------------------
 */

sp_status sp_audit_holds(const struct sp_audit *audit, const struct sp_head *head,
                         struct sp_error *err)
{
    struct sp_audit_report report;
    if (head->seq == 0) {
        return SP_OK;
    }
    sp_status status = sp_audit_verify(audit->folder, head->seq, head, &report, err);
    return status == SP_ECORRUPT
               ? sp_fail(err, SP_ECORRUPT,
                         "the audit does not hold record %" PRIu64 " that the store names: %s",
                         head->seq, report.reason)
               : status;
}
