/* sp_keyring: the keys that protect everything else, and the seal over them.
 *
 * unseal key (key file, or Argon2id of a passphrase) -> root key -> one random key for each
 * purpose. Boxes carry the keyring id they were made under, so a new key of a purpose can come
 * while old boxes stay readable. Associated data of every box: "table|row|version|keyring id".
 * All keys lie in pooled secret memory. Commit thread or single-threaded start-up only, except
 * sp_keyring_key, which any thread may call while the keyring is not being closed.
 */
#ifndef SP_KEYRING_H
#define SP_KEYRING_H

#include "crypto.h"
#include "secret.h"
#include "store.h"

enum sp_purpose {
    SP_PURPOSE_DATA,       /* boxes in the store */
    SP_PURPOSE_TOKEN,      /* tags of tokens */
    SP_PURPOSE_AUDIT_HASH, /* keyed hashes of sensitive values in the audit */
    SP_PURPOSE_AUDIT_SIGN, /* seed of the Ed25519 key that signs checkpoints */
    SP_PURPOSES,
};

enum sp_seal_kind { SP_SEAL_NONE, SP_SEAL_KEY_FILE, SP_SEAL_PASSPHRASE };

struct sp_keyring;

/* What the store says about its seal; SP_SEAL_NONE: not initialised. */
sp_status sp_keyring_kind(struct sp_store *store, enum sp_seal_kind *ret_kind,
                          struct sp_error *err);
/* Make a new keyring in an empty store, inside a transaction of the caller's. For KEY_FILE,
 * unseal is the SP_KEY_BYTES content of the key file; for PASSPHRASE any 8..1024 bytes,
 * stretched by crypto_pwhash (Argon2id, MODERATE limits; salt and limits are stored). */
sp_status sp_keyring_create(struct sp_store *store, struct sp_pool *pool,
                            enum sp_seal_kind kind, struct sp_text unseal,
                            struct sp_error *err);
/* SP_ECRYPTO where the unseal key is wrong. Slow for passphrases (about a second). */
sp_status sp_keyring_open(struct sp_store *store, struct sp_pool *pool, struct sp_text unseal,
                          struct sp_keyring **ret_keyring, struct sp_error *err);
/* Wipes; NULL is fine. */
void sp_keyring_close(struct sp_keyring *keyring);

/* The active key of a purpose, and its keyring id. */
const uint8_t *sp_keyring_key(const struct sp_keyring *keyring, enum sp_purpose purpose,
                              uint32_t *ret_id);
/* The key of that id; NULL where unknown. */
const uint8_t *sp_keyring_key_by_id(const struct sp_keyring *keyring, uint32_t id);

/* Seal and open a row's box with the DATA key, associated data `table|row|version|ring`. */
sp_status sp_keyring_seal(const struct sp_keyring *keyring, const char *table,
                          struct sp_text row, uint32_t version, struct sp_text plain,
                          struct sp_buf *ret_box, uint32_t *ret_ring);
sp_status sp_keyring_unseal(const struct sp_keyring *keyring, const char *table,
                            struct sp_text row, uint32_t version, uint32_t ring,
                            struct sp_text box, struct sp_pool *pool,
                            struct sp_secret *ret_plain);

#endif
