/* Reading and verifying: needs no host, and bounded memory whatever the files hold. */
#include "audit_format.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_ROOM = 1200 };

/* ---- lines ----------------------------------------------------------------------------------
 */

struct lines {
    FILE *file;
    char *line; /* of AUDIT_LINE_MAX_BYTES + 2 */
    uint64_t number;
};

enum line_end { LINE_WHOLE, LINE_TORN, LINE_NONE, LINE_TOO_LONG, LINE_FAILED };

static enum line_end next_line(struct lines *lines, struct sp_text *ret_line)
{
    size_t n = 0;
    int c;
    while ((c = getc_unlocked(lines->file)) != EOF && c != '\n') {
        if (n == AUDIT_LINE_MAX_BYTES) {
            return LINE_TOO_LONG;
        }
        lines->line[n++] = (char)c;
    }
    if (ferror(lines->file)) {
        return LINE_FAILED;
    }
    *ret_line = (struct sp_text){lines->line, n};
    if (c == EOF) {
        return n > 0 ? LINE_TORN : LINE_NONE;
    }
    lines->number++;
    return LINE_WHOLE;
}

static sp_status open_lines(const char *folder, uint64_t first_seq, struct lines *lines,
                            struct sp_error *err)
{
    char name[AUDIT_NAME_BYTES], path[PATH_ROOM];
    audit_file_name(first_seq, name);
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    lines->file = fd < 0 ? NULL : fdopen(fd, "r");
    if (!lines->file) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return sp_fail(err, SP_EIO, "%s: %s", path, strerror(errno));
    }
    lines->number = 0;
    return SP_OK;
}

/* The index of the file that record `from` must be in. */
static size_t first_file(const uint64_t *seqs, size_t n, uint64_t from)
{
    size_t i = 0;
    while (i + 1 < n && seqs[i + 1] <= from) {
        i++;
    }
    return i;
}

/* ---- read -----------------------------------------------------------------------------------
 */

static sp_status read_file(const char *folder, uint64_t first_seq, uint64_t from,
                           struct lines *lines, sp_audit_line_fn fn, void *user,
                           struct sp_error *err)
{
    struct sp_text line;
    struct audit_line parsed;
    enum line_end end = LINE_NONE;
    sp_status status = open_lines(folder, first_seq, lines, err);
    if (status) {
        return status;
    }
    while (!status && (end = next_line(lines, &line)) == LINE_WHOLE) {
        if (!audit_line_parse(line, &parsed)) {
            status = sp_fail(err, SP_ECORRUPT,
                             "audit: line %" PRIu64 " of file %" PRIu64 " is no record",
                             lines->number, first_seq);
        } else if (parsed.seq >= from) {
            status = fn(user, parsed.seq, line);
        }
    }
    if (!status && (end == LINE_TOO_LONG || end == LINE_FAILED)) {
        status = sp_fail(err, SP_ECORRUPT,
                         "audit: line %" PRIu64 " of file %" PRIu64 " cannot be read",
                         lines->number + 1, first_seq);
    }
    (void)fclose(lines->file);
    return status;
}

sp_status sp_audit_read(const char *folder, uint64_t from, sp_audit_line_fn fn, void *user,
                        struct sp_error *err)
{
    uint64_t *seqs = NULL;
    size_t n = 0;
    sp_status status = audit_list(folder, &seqs, &n, err);
    if (status) {
        return status;
    }
    struct lines lines = {.line = malloc(AUDIT_LINE_MAX_BYTES + 2)};
    status = lines.line ? SP_OK : SP_ENOMEM;
    for (size_t i = n ? first_file(seqs, n, from) : 0; !status && i < n; i++) {
        status = read_file(folder, seqs[i], from, &lines, fn, user, err);
    }
    free(lines.line);
    free(seqs);
    return status;
}

/* ---- verify ---------------------------------------------------------------------------------
 */

struct verifying {
    const char *folder;
    struct sp_audit_report *report;
    const struct sp_head *head;
    struct lines lines;
    bool begun;            /* expected_* are known */
    uint64_t expected_seq; /* of the next line */
    uint8_t expected_prev[SP_HASH_BYTES];
    uint64_t before_file, before_line; /* where the line before stands */
    bool has_key, head_seen;
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
};

static sp_status bad(struct verifying *v, uint64_t file, const char *reason)
{
    struct sp_audit_report *r = v->report;
    r->bad_seq = v->begun ? v->expected_seq : file;
    r->bad_line = v->lines.number;
    audit_file_name(file, r->bad_file);
    (void)snprintf(r->reason, sizeof r->reason, "%s", reason);
    return SP_ECORRUPT;
}

static const char *checkpoint_fault(const struct verifying *v, const struct audit_line *line)
{
    static const char head[] = "\"type\":\"checkpoint\",\"signature\":\"";
    uint8_t signature[crypto_sign_BYTES], message[AUDIT_SIGNED_BYTES];
    size_t head_len = sizeof head - 1;
    if (line->fields.len != head_len + 2 * sizeof signature + 1 ||
        sp_hex_decode((struct sp_text){line->fields.ptr + head_len, 2 * sizeof signature},
                      signature, sizeof signature)) {
        return "a checkpoint without a signature";
    }
    if (!v->has_key) {
        return "a checkpoint, but audit.pub is missing or damaged";
    }
    audit_signed_bytes(line->seq, line->prev, message);
    return crypto_sign_verify_detached(signature, message, sizeof message, v->public_key)
               ? "a checkpoint whose signature does not hold"
               : NULL;
}

/* Whether something vouches for this very line: the next one follows from it, the store names
 * it, or it is a checkpoint whose signature holds. */
static bool is_as_written(struct verifying *v, struct sp_text text,
                          const struct audit_line *line)
{
    uint8_t hash[SP_HASH_BYTES];
    struct audit_line next;
    struct sp_text next_text;
    if (audit_line_is_checkpoint(line)) {
        return checkpoint_fault(v, line) == NULL;
    }
    audit_line_hash(text, hash);
    if (v->head && v->head->seq == line->seq) {
        return sodium_memcmp(v->head->hash, hash, sizeof hash) == 0;
    }
    uint64_t number = v->lines.number; /* the peek is no step */
    bool whole =
        next_line(&v->lines, &next_text) == LINE_WHOLE && audit_line_parse(next_text, &next);
    v->lines.number = number;
    return !whole || sodium_memcmp(next.prev, hash, sizeof hash) == 0;
}

/* This line and the one before do not fit: which of the two was changed? text is gone then. */
static sp_status bad_link(struct verifying *v, uint64_t file, struct sp_text text,
                          const struct audit_line *line)
{
    if (v->expected_seq == 1 || !is_as_written(v, text, line)) {
        return bad(v, file, "does not follow from the record before: changed or put in");
    }
    v->lines.number = v->before_line;
    v->expected_seq--;
    return bad(v, v->before_file, "was changed: the record after it does not follow from it");
}

static sp_status verify_line(struct verifying *v, uint64_t file, struct sp_text text)
{
    struct audit_line line;
    struct sp_audit_report *r = v->report;
    if (!audit_line_parse(text, &line)) {
        return bad(v, file, "is no record (edited, or not written by sallyport)");
    }
    if (!v->begun) {
        v->begun = true;
        v->expected_seq = file;
        memcpy(v->expected_prev, line.prev, SP_HASH_BYTES);
        r->first_seq = file;
        if (file == 1) {
            memset(v->expected_prev, 0, SP_HASH_BYTES);
        }
    }
    if (line.seq != v->expected_seq) {
        return bad(v, file,
                   line.seq > v->expected_seq
                       ? "a record is missing here (deleted or reordered)"
                       : "a record stands here twice, or out of order");
    }
    if (sodium_memcmp(line.prev, v->expected_prev, SP_HASH_BYTES) != 0) {
        return bad_link(v, file, text, &line);
    }
    if (audit_line_is_checkpoint(&line)) {
        const char *fault = checkpoint_fault(v, &line);
        if (fault) {
            return bad(v, file, fault);
        }
        r->n_checkpoints++;
        r->signed_seq = line.seq;
    }
    audit_line_hash(text, v->expected_prev);
    if (v->head && line.seq == v->head->seq) {
        if (sodium_memcmp(v->expected_prev, v->head->hash, SP_HASH_BYTES) != 0) {
            return bad(v, file, "is not the record that the store names");
        }
        v->head_seen = true;
    }
    v->expected_seq++;
    v->before_file = file;
    v->before_line = v->lines.number;
    r->n_records++;
    r->last_seq = line.seq;
    r->head.seq = line.seq;
    memcpy(r->head.hash, v->expected_prev, SP_HASH_BYTES);
    return SP_OK;
}

static sp_status verify_file(struct verifying *v, uint64_t file, bool last,
                             struct sp_error *err)
{
    struct sp_text text;
    enum line_end end = LINE_NONE;
    sp_status status = open_lines(v->folder, file, &v->lines, err);
    if (status) {
        return status;
    }
    if (v->begun && file != v->expected_seq) {
        status = bad(v, file, "a file is missing here, or stands out of order");
    }
    while (!status && (end = next_line(&v->lines, &text)) == LINE_WHOLE) {
        status = verify_line(v, file, text);
    }
    /* The last line of the last file may be a write in progress. */
    if (!status &&
        (end == LINE_TOO_LONG || end == LINE_FAILED || (end == LINE_TORN && !last))) {
        v->lines.number++;
        status = bad(v, file, end == LINE_TORN ? "a cut line" : "cannot be read");
    }
    (void)fclose(v->lines.file);
    return status;
}

static void read_key(struct verifying *v)
{
    char path[PATH_ROOM], hex[66];
    (void)snprintf(path, sizeof path, "%s/audit.pub", v->folder);
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, hex, sizeof hex);
    if (fd >= 0) {
        (void)close(fd);
    }
    v->has_key = n == 65 && sp_hex_decode((struct sp_text){hex, 64}, v->public_key,
                                          sizeof v->public_key) == SP_OK;
}

sp_status sp_audit_verify(const char *folder, uint64_t from, const struct sp_head *head,
                          struct sp_audit_report *ret_report, struct sp_error *err)
{
    uint64_t *seqs = NULL;
    size_t n = 0;
    sp_status status = audit_list(folder, &seqs, &n, err);
    if (status) {
        return status;
    }
    memset(ret_report, 0, sizeof *ret_report);
    struct verifying v = {.folder = folder, .report = ret_report, .head = head};
    v.lines.line = malloc(AUDIT_LINE_MAX_BYTES + 2);
    status = v.lines.line ? SP_OK : SP_ENOMEM;
    read_key(&v);
    size_t first = n ? first_file(seqs, n, from) : 0;
    if (!status && n > 0 && from <= 1 && seqs[0] != 1) {
        v.expected_seq = 1;
        v.begun = true;
        status = bad(&v, seqs[0], "the first file is missing");
    }
    for (size_t i = first; !status && i < n; i++) {
        status = verify_file(&v, seqs[i], i + 1 == n, err);
    }
    if (!status && head && head->seq > 0 && !v.head_seen) {
        v.begun = true;
        v.expected_seq = v.report->last_seq + 1;
        status =
            bad(&v, n ? seqs[n - 1] : 1,
                head->seq > v.report->last_seq ? "the log ends before the record that the "
                                                 "store names (its tail was cut)"
                                               : "the record that the store names is not here");
    }
    free(v.lines.line);
    free(seqs);
    return status;
}
