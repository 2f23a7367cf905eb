/* sp_audit: who did what with which key, so that a changed record shows.
 *
 * A folder of JSON Lines files, audit-<first sequence number, 20 digits>.jsonl. Each line is
 * one object whose fields stand in a fixed order, beginning with
 *   {"seq":N,"prev":"<64 hex>","time":"<RFC 3339>","type":"…",…}
 * prev is the BLAKE2b-256 of the line before (without its newline); 64 zeros for the first. A
 * checkpoint signs (seq, prev) with Ed25519 every 1,024 records, every minute in which
 * something was written, at rotation and at the end. The public key stands in audit.pub beside
 * the files.
 *
 * Commit thread only (or single-threaded start-up); verify and read take a folder and need no
 * host.
 */
#ifndef SP_AUDIT_H
#define SP_AUDIT_H

#include "buf.h"
#include "clock.h"
#include "status.h"
#include "store.h"

struct sp_audit;

/* Open for appending; makes the folder (0700) and the first file (0600). A torn last line (no
 * newline: never acknowledged) is cut off and counted in ret_torn. SP_ECORRUPT where the last
 * file does not hold together. */
sp_status sp_audit_open(const char *folder, uint64_t rotate_bytes, struct sp_audit **ret_audit,
                        bool *ret_torn, struct sp_error *err);
void sp_audit_close(struct sp_audit *audit);

/* From now on checkpoints are signed with the key of this seed (32 bytes, borrowed); writes
 * audit.pub where it is missing, SP_ECORRUPT where it is another key's. NULL: no more. */
sp_status sp_audit_sign_with(struct sp_audit *audit, const uint8_t *seed, struct sp_error *err);

/* What append refuses without harm: SP_ETOOBIG; SP_EINVAL for fields that do not begin with
 * `"type":"`, or that hold control bytes (a newline would be a record of its own). */
sp_status sp_audit_check(struct sp_text fields, struct sp_error *err);
/* Append one record: fields is what follows the time, beginning with `"type":"intent"` and
 * without braces. Buffered until flush. Adds a checkpoint and rotates where it is due. */
sp_status sp_audit_append(struct sp_audit *audit, int64_t wall_ms, struct sp_text fields,
                          struct sp_error *err);
/* Write a checkpoint now, if anything follows the last one and a key is there. */
sp_status sp_audit_checkpoint(struct sp_audit *audit, int64_t wall_ms, struct sp_error *err);
/* Durable: one write and one fdatasync for all that was appended. After a failure the file's
 * state is unknown, so every later call fails too (SP_EIO). */
sp_status sp_audit_flush(struct sp_audit *audit, struct sp_error *err);
/* The last appended record. */
void sp_audit_head(const struct sp_audit *audit, struct sp_head *ret_head);
/* Whether the record of that number stands in the files with that hash: SP_OK, SP_ECORRUPT
 * (another hash, or the log ends before it). */
sp_status sp_audit_holds(const struct sp_audit *audit, const struct sp_head *head,
                         struct sp_error *err);

/* ---- reading -------------------------------------------------------------------------------
 */

struct sp_audit_report {
    uint64_t first_seq, last_seq, n_records, n_checkpoints;
    uint64_t signed_seq; /* the last record that a good checkpoint covers */
    uint64_t bad_seq;    /* 0, or the first record that is wrong (by place, not by claim) */
    char bad_file[64];
    uint64_t bad_line;
    char reason[200];
    struct sp_head head;
};
/* Read the whole chain from record `from` (0: the first). head, where not NULL, is what the
 * store says and must be there. SP_OK: it holds. SP_ECORRUPT: report says where and why. */
sp_status sp_audit_verify(const char *folder, uint64_t from, const struct sp_head *head,
                          struct sp_audit_report *ret_report, struct sp_error *err);

/* Call fn with each line (no newline) from record `from` on; stops where fn fails. */
typedef sp_status (*sp_audit_line_fn)(void *user, uint64_t seq, struct sp_text line);
sp_status sp_audit_read(const char *folder, uint64_t from, sp_audit_line_fn fn, void *user,
                        struct sp_error *err);

#endif
