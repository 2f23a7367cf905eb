/* sp_store: everything that survives. All SQL of sallyport is behind this header.
 *
 * One thread uses a store at a time (the commit thread; before it starts, whoever opens it).
 * Each invariant is one conditional statement of the store, never a read followed by a write.
 * Writes happen between begin and commit; commit returns when they are durable (SQLite: WAL,
 * synchronous=FULL). A failed commit has changed nothing. Rows are handed out by callback;
 * their texts are borrowed for the call. Nothing in the store is plaintext of a secret.
 *
 * Errors: SP_EIO (with what the store said), SP_ENOMEM, SP_ECORRUPT; others are named below.
 */
#ifndef SP_STORE_H
#define SP_STORE_H

#include "status.h"
#include "text.h"

#include <stdbool.h>
#include <stdint.h>

struct sp_store;

/* Open the database at path, or create it where create is set (SP_ENOENT otherwise). Checks
 * integrity and schema version, upgrades an older schema, refuses a newer one. */
sp_status sp_store_open(const char *path, bool create, struct sp_store **ret_store,
                        struct sp_error *err);
void sp_store_close(struct sp_store *store);
/* A consistent copy into a new file (SQLite's online backup), fsynced, mode 0600. It is marked
 * (SP_BACKUP_MARK is 1): a host does not run on a copy that was put into the store's place by
 * hand, since tokens that were revoked after it was made live in it. */
#define SP_BACKUP_MARK "backup.mark"
sp_status sp_store_backup(struct sp_store *store, const char *path, struct sp_error *err);

sp_status sp_store_begin(struct sp_store *store, struct sp_error *err);
sp_status sp_store_commit(struct sp_store *store, struct sp_error *err);
void sp_store_rollback(struct sp_store *store); /* fine where nothing was begun */
/* A nested unit inside begin/commit, so that one job of a batch can fail alone. */
sp_status sp_store_savepoint(struct sp_store *store, struct sp_error *err);
sp_status sp_store_release(struct sp_store *store, bool keep, struct sp_error *err);

/* ---- small named values: seal parameters, high-water mark, … -------------------------------
 */

/* SP_ENOENT where there is none. The value is copied into room bytes; SP_ETOOBIG past them. */
sp_status sp_store_get(struct sp_store *store, const char *name, void *ret_value, size_t room,
                       size_t *ret_len, struct sp_error *err);
sp_status sp_store_put(struct sp_store *store, const char *name, const void *value, size_t len,
                       struct sp_error *err);
/* Put a number only where it is above the one that is there: high-water marks. */
sp_status sp_store_raise(struct sp_store *store, const char *name, int64_t number,
                         struct sp_error *err);
sp_status sp_store_get_number(struct sp_store *store, const char *name, int64_t *ret_number,
                              struct sp_error *err); /* SP_ENOENT where there is none */

/* The audit's head: the last record that was durable when this was written. */
struct sp_head {
    uint64_t seq;
    uint8_t hash[32];
};
sp_status sp_store_get_head(struct sp_store *store, struct sp_head *ret_head,
                            struct sp_error *err);
sp_status sp_store_put_head(struct sp_store *store, const struct sp_head *head,
                            struct sp_error *err);

/* ---- keyring -------------------------------------------------------------------------------
 */

struct sp_ring_row {
    uint32_t id;
    struct sp_text purpose; /* "root", "data", "token", "audit-sign", "audit-hash" */
    struct sp_text box;     /* sealed under the root key; "root" under the unseal key */
    bool active;            /* new boxes are made with the active key of a purpose */
};
typedef sp_status (*sp_ring_row_fn)(void *user, const struct sp_ring_row *row);
/* SP_EEXIST where the id is taken. */
sp_status sp_store_ring_add(struct sp_store *store, const struct sp_ring_row *row,
                            struct sp_error *err);
sp_status sp_store_ring_list(struct sp_store *store, sp_ring_row_fn fn, void *user,
                             struct sp_error *err);

/* ---- keys ----------------------------------------------------------------------------------
 */

struct sp_key_row {
    struct sp_text id, provider;
    uint32_t version;        /* 1 at add; each rotation adds 1 */
    uint32_t since;          /* the version that an administrator made last: see sp_key */
    struct sp_text hosts;    /* canonical names joined by ',' */
    struct sp_text settings; /* what is no secret, as urlencoded pairs */
    /* A box of the secret fields; its associated data names id, version and ring, and has a
     * hash of provider, hosts, settings and since. */
    struct sp_text secrets;
    uint32_t ring; /* keyring id that the box is sealed under */
    int64_t created_ms, rotated_ms;
};
typedef sp_status (*sp_key_row_fn)(void *user, const struct sp_key_row *row);
sp_status sp_store_key_add(struct sp_store *store, const struct sp_key_row *row,
                           struct sp_error *err); /* SP_EEXIST */
/* Replace secrets, settings and version where the stored version is row->version - 1; else
 * SP_EEXIST (somebody else rotated first). Hosts and provider never change. */
sp_status sp_store_key_rotate(struct sp_store *store, const struct sp_key_row *row,
                              struct sp_error *err);
sp_status sp_store_key_remove(struct sp_store *store, struct sp_text id,
                              struct sp_error *err); /* SP_ENOENT */
sp_status sp_store_key_list(struct sp_store *store, sp_key_row_fn fn, void *user,
                            struct sp_error *err);

/* ---- clients that an administrator added (others stand in policy files) --------------------
 */

struct sp_client_row {
    struct sp_text name;
    struct sp_text curve; /* Z85, 40 bytes */
    bool admin;
    int64_t created_ms;
};
typedef sp_status (*sp_client_row_fn)(void *user, const struct sp_client_row *row);
sp_status sp_store_client_add(struct sp_store *store, const struct sp_client_row *row,
                              struct sp_error *err); /* SP_EEXIST: name or curve is taken */
sp_status
sp_store_client_remove(struct sp_store *store, struct sp_text name,
                       struct sp_error *err); /* SP_ENOENT; SP_EDENIED: the last admin */
sp_status sp_store_client_list(struct sp_store *store, sp_client_row_fn fn, void *user,
                               struct sp_error *err);

/* ---- tokens --------------------------------------------------------------------------------
 */

struct sp_token_row {
    uint8_t id[16];
    struct sp_text grant;            /* grant.h; bound by the token's tag */
    struct sp_text principal, scope; /* for the count of live tokens */
    int64_t issued_ms, expires_ms;   /* wall time */
    int64_t revoked_ms;              /* 0: not revoked */
    uint32_t guard_hits;             /* answers that held a key, since it was last resumed */
    struct sp_text guard_key;        /* whose key the last of them held; empty: none did */
    int64_t suspended_ms;            /* 0: not suspended */
};
typedef sp_status (*sp_token_row_fn)(void *user, const struct sp_token_row *row);
/* Insert where fewer than live_max unexpired, unrevoked tokens of (principal, scope) stand at
 * now_ms; 0: no limit. SP_EDENIED where it is reached. */
sp_status sp_store_token_add(struct sp_store *store, const struct sp_token_row *row,
                             uint32_t live_max, int64_t now_ms, struct sp_error *err);
/* Idempotent: a second revocation keeps the first time. SP_ENOENT. */
sp_status sp_store_token_revoke(struct sp_store *store, const uint8_t id[16], int64_t now_ms,
                                struct sp_error *err);
sp_status sp_store_token_revoke_all(struct sp_store *store, int64_t now_ms,
                                    struct sp_error *err);
/* One more answer held that key: counted, and the token is suspended from the hits_max'th on. A
 * token that is gone is fine. */
sp_status sp_store_token_hit(struct sp_store *store, const uint8_t id[16], struct sp_text key,
                             uint32_t hits_max, int64_t now_ms, struct sp_error *err);
/* No longer suspended, and nothing counted. SP_ENOENT. */
sp_status sp_store_token_resume(struct sp_store *store, const uint8_t id[16],
                                struct sp_error *err);
sp_status sp_store_token_list(struct sp_store *store, sp_token_row_fn fn, void *user,
                              struct sp_error *err);
/* Forget those that expired before then_ms. */
sp_status sp_store_token_purge(struct sp_store *store, int64_t then_ms, struct sp_error *err);

/* ---- requests with an id: one upstream effect, one answer ----------------------------------
 */

enum sp_claim {
    SP_CLAIM_NEW,      /* ours to make */
    SP_CLAIM_OPEN,     /* made before; no outcome is stored: in flight, or lost in a crash */
    SP_CLAIM_ANSWERED, /* answer holds the stored box */
    SP_CLAIM_DROPPED,  /* it was answered, but the answer was too large to keep */
    SP_CLAIM_CONFLICT, /* the id names another request */
};
struct sp_claim_key {
    struct sp_text curve; /* Z85, or empty for HTTP */
    const uint8_t *root;  /* 16 bytes: root token id */
    struct sp_text id;
    const uint8_t *digest; /* 32 bytes: hash of the request */
};
/* One conditional insert. For ANSWERED the box is appended to ret_answer. */
struct sp_buf;
sp_status sp_store_claim(struct sp_store *store, const struct sp_claim_key *key, int64_t now_ms,
                         enum sp_claim *ret_claim, struct sp_buf *ret_answer,
                         struct sp_error *err);
/* Store the answer (a sealed box); NULL text: too large to keep. SP_ENOENT where unclaimed. */
sp_status sp_store_settle(struct sp_store *store, const struct sp_claim_key *key,
                          struct sp_text answer, struct sp_error *err);
/* Take back a claim whose call was never made. */
sp_status sp_store_unclaim(struct sp_store *store, const struct sp_claim_key *key,
                           struct sp_error *err);
sp_status sp_store_claim_purge(struct sp_store *store, int64_t then_ms, struct sp_error *err);

/* ---- budgets: durable sums over trailing windows -------------------------------------------
 */

struct sp_budget_use {
    uint8_t bucket[16];
    uint64_t limit, window_ms; /* limit up to 10^15 */
    uint64_t amount;           /* what is taken; a sum never passes the limit */
    int64_t at_ms;             /* set by take: where it stands, for return */
};
/* Take the amount where what stands in the window, and it, are within the limit. SP_EDENIED
 * where they are not; *ret_wait_ms says when they would be, 0: never. Nothing leaves the window
 * early: it may count up to a 64th of the window (at least a second) longer. */
sp_status sp_store_budget_take(struct sp_store *store, struct sp_budget_use *use,
                               int64_t now_ms, uint64_t *ret_wait_ms, struct sp_error *err);
/* The call was never made. */
sp_status sp_store_budget_return(struct sp_store *store, const struct sp_budget_use *use,
                                 struct sp_error *err);
sp_status sp_store_budget_purge(struct sp_store *store, int64_t now_ms, struct sp_error *err);
/* Each row (limit is not stored); and put one back, where it says more than what is there. */
typedef sp_status (*sp_budget_row_fn)(void *user, const struct sp_budget_use *row);
sp_status sp_store_budget_list(struct sp_store *store, sp_budget_row_fn fn, void *user,
                               struct sp_error *err);
sp_status sp_store_budget_put(struct sp_store *store, const struct sp_budget_use *row,
                              struct sp_error *err);

/* ---- leases: credentials that were minted upstream -----------------------------------------
 */

enum sp_lease_state {
    SP_LEASE_MINTING, /* the upstream may have made one; we do not hold it */
    SP_LEASE_LIVE,
    SP_LEASE_ENDING, /* to be revoked upstream */
};
enum sp_lease_kind {
    SP_LEASE_CREDENTIAL, /* what calls carry */
    SP_LEASE_ROTATION,   /* a successor of the key's own secrets, or what it is to replace */
};
struct sp_lease_row {
    uint8_t id[16];
    enum sp_lease_kind kind;
    struct sp_text key, provider;
    uint32_t version; /* of the key that it was minted with */
    struct sp_text permissions;
    enum sp_lease_state state;
    /* A box of what was captured; its associated data names id, version and ring, and has a
     * hash of key, provider, permissions and kind. Empty while minting. */
    struct sp_text secrets;
    uint32_t ring;
    int64_t made_ms, expires_ms; /* 0: it does not end by itself */
};
typedef sp_status (*sp_lease_row_fn)(void *user, const struct sp_lease_row *row);
typedef sp_status (*sp_lease_user_fn)(void *user, const uint8_t lease[16],
                                      const uint8_t token[16]);
/* A row in state MINTING: durable before the upstream is asked. SP_EEXIST. */
sp_status sp_store_lease_add(struct sp_store *store, const struct sp_lease_row *row,
                             struct sp_error *err);
/* From MINTING to LIVE, with secrets, ring and expiry of the row. SP_ENOENT. */
sp_status sp_store_lease_live(struct sp_store *store, const struct sp_lease_row *row,
                              struct sp_error *err);
/* From LIVE to ENDING, with the secrets and ring of the row in place of its own. SP_ENOENT. */
sp_status sp_store_lease_swap(struct sp_store *store, const struct sp_lease_row *row,
                              struct sp_error *err);
/* To ENDING, from whatever state: idempotent. */
sp_status sp_store_lease_end(struct sp_store *store, const uint8_t id[16],
                             struct sp_error *err);
sp_status sp_store_lease_remove(struct sp_store *store, const uint8_t id[16],
                                struct sp_error *err); /* idempotent */
sp_status sp_store_lease_list(struct sp_store *store, sp_lease_row_fn fn, void *user,
                              struct sp_error *err);
/* The token uses the lease, which has to be LIVE: SP_ENOENT. Idempotent. */
sp_status sp_store_lease_use(struct sp_store *store, const uint8_t lease[16],
                             const uint8_t token[16], struct sp_error *err);
sp_status sp_store_lease_users(struct sp_store *store, sp_lease_user_fn fn, void *user,
                               struct sp_error *err);

#endif
