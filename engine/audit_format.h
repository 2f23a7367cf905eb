/* Inside the audit only: names of files, the shape of a line, what a checkpoint signs. */
#ifndef SP_AUDIT_FORMAT_H
#define SP_AUDIT_FORMAT_H

#include "audit.h"
#include "crypto.h"

enum {
    AUDIT_LINE_MAX_BYTES = 64 << 10,
    AUDIT_CHECKPOINT_EVERY = 1024,
    AUDIT_CHECKPOINT_MS = 60000,
    AUDIT_NAME_BYTES = 40, /* audit-<20 digits>.jsonl */
};

void audit_file_name(uint64_t first_seq, char ret_name[AUDIT_NAME_BYTES]);
/* The folder's files, by number; the caller frees *ret_seqs. SP_OK with none, too. */
sp_status audit_list(const char *folder, uint64_t **ret_seqs, size_t *ret_n,
                     struct sp_error *err);

/* What every line begins with. */
struct audit_line {
    uint64_t seq;
    uint8_t prev[SP_HASH_BYTES];
    struct sp_text fields; /* from `"type":` on, without the closing brace */
};
/* Strict: exactly what the writer writes. */
bool audit_line_parse(struct sp_text line, struct audit_line *ret_line);
bool audit_line_is_checkpoint(const struct audit_line *line);
/* `"type":"…`, and no control bytes. */
bool audit_fields_good(struct sp_text fields);
void audit_line_hash(struct sp_text line, uint8_t ret_hash[SP_HASH_BYTES]);
/* The bytes that a checkpoint signs: a label, the checkpoint's own number, and prev. */
enum { AUDIT_SIGNED_BYTES = 64 };
void audit_signed_bytes(uint64_t seq, const uint8_t prev[SP_HASH_BYTES],
                        uint8_t ret_bytes[AUDIT_SIGNED_BYTES]);

#endif
