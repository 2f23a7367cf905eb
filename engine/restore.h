/* sp_restore: put a backup in the store's place while no host runs.
 *
 * What is put there is whole or not there at all: the copy is checked, emptied of tokens and
 * request ids, told the present audit's head, and made durable beside the store, before one
 * rename puts it into its place. A crash at any point leaves the old store or the new one. The
 * old one is kept under another name. */
#ifndef SP_RESTORE_H
#define SP_RESTORE_H

#include "keyring.h"
#include "status.h"
#include "text.h"

/* What the restored store says of it, until the next start has written it to the audit: numbers
 * and a hash, no text, so that who can write to the store cannot write to the audit. */
#define SP_RESTORE_MARK "restore.mark"
struct sp_restore_mark {
    uint64_t backup_seq, n_tokens;
    uint8_t hash[32]; /* SHA-256 of the backup's file */
};

struct sp_restored {
    enum sp_seal_kind seal;
    uint64_t n_keys, n_tokens; /* tokens: those that were voided */
    uint64_t backup_seq;       /* the audit's last record when the backup was made */
    uint64_t audit_seq;        /* the last one now */
    char aside[1200];          /* where the old store is kept; empty: there was none */
};

/* dir: the state folder, whose lock the caller holds. unseal: the key file's bytes, with which
 * the backup has to open; empty where the seal is a passphrase, which only an unseal can prove.
 * SP_EINVAL, SP_ECORRUPT: the file is no backup of ours; SP_ECRYPTO: it was made under another
 * unseal key; SP_EDENIED: the audit is damaged or another host's, and restoring would hide
 * that. On failure nothing was changed. */
sp_status sp_restore(const char *dir, const char *file, struct sp_text unseal,
                     struct sp_restored *ret_restored, struct sp_error *err);

#endif
