#include "keyring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RING_MAX = 256, /* keys of all purposes and generations */
    ROOT_ID = 1,    /* the root key's row; the others count on from it */
    PASSPHRASE_MIN = 8,
    PASSPHRASE_MAX = 1024,
    AD_MAX_BYTES = 256,
};

static const char *const purposes[SP_PURPOSES] = {"data", "token", "audit-hash", "audit-sign"};

struct entry {
    uint32_t id;
    enum sp_purpose purpose;
    bool active;
    struct sp_secret key;
};

struct sp_keyring {
    struct entry entries[RING_MAX];
    size_t n;
};

/* How a passphrase becomes the unseal key. */
struct seal {
    enum sp_seal_kind kind;
    uint8_t salt[crypto_pwhash_SALTBYTES];
    uint64_t ops, memory;
};

/* Stored: kind (1 byte), salt, ops and memory (8 bytes each, least significant first). */
enum { SEAL_BYTES = 1 + crypto_pwhash_SALTBYTES + 16 };

/* ---- the seal's parameters ------------------------------------------------------------------
 */

static void number_write(uint64_t number, uint8_t bytes[8])
{
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(number >> (8 * i));
    }
}

static uint64_t number_read(const uint8_t bytes[8])
{
    uint64_t number = 0;
    for (unsigned i = 0; i < 8; i++) {
        number |= (uint64_t)bytes[i] << (8 * i);
    }
    return number;
}

/* Limits from a damaged store must not become an endless loop, or take all of memory. */
static bool limits_good(const struct seal *seal)
{
    return seal->ops >= crypto_pwhash_OPSLIMIT_MIN &&
           seal->ops <= crypto_pwhash_OPSLIMIT_SENSITIVE &&
           seal->memory >= crypto_pwhash_MEMLIMIT_MIN &&
           seal->memory <= crypto_pwhash_MEMLIMIT_SENSITIVE;
}

static sp_status seal_write(struct sp_store *store, const struct seal *seal,
                            struct sp_error *err)
{
    uint8_t bytes[SEAL_BYTES];
    bytes[0] = (uint8_t)seal->kind;
    memcpy(bytes + 1, seal->salt, sizeof seal->salt);
    number_write(seal->ops, bytes + 1 + sizeof seal->salt);
    number_write(seal->memory, bytes + 9 + sizeof seal->salt);
    return sp_store_put(store, "seal", bytes, sizeof bytes, err);
}

static sp_status seal_read(struct sp_store *store, struct seal *ret_seal, struct sp_error *err)
{
    uint8_t bytes[SEAL_BYTES];
    size_t len = 0;
    sp_status status = sp_store_get(store, "seal", bytes, sizeof bytes, &len, err);
    if (status == SP_ENOENT) {
        return status;
    }
    bool good = !status && len == sizeof bytes;
    if (good) {
        ret_seal->kind = (enum sp_seal_kind)bytes[0];
        memcpy(ret_seal->salt, bytes + 1, sizeof ret_seal->salt);
        ret_seal->ops = number_read(bytes + 1 + sizeof ret_seal->salt);
        ret_seal->memory = number_read(bytes + 9 + sizeof ret_seal->salt);
        good = bytes[0] == SP_SEAL_KEY_FILE ||
               (bytes[0] == SP_SEAL_PASSPHRASE && limits_good(ret_seal));
    }
    if (good) {
        return SP_OK;
    }
    return status && status != SP_ETOOBIG
               ? status
               : sp_fail(err, SP_ECORRUPT,
                         "the seal's parameters are damaged; restore a backup");
}

sp_status sp_keyring_kind(struct sp_store *store, enum sp_seal_kind *ret_kind,
                          struct sp_error *err)
{
    struct seal seal = {.kind = SP_SEAL_NONE};
    sp_status status = seal_read(store, &seal, err);
    if (status == SP_ENOENT) {
        *ret_kind = SP_SEAL_NONE;
        return SP_OK;
    }
    if (!status) {
        *ret_kind = seal.kind;
    }
    return status;
}

/* The unseal key from what the operator gave. */
static sp_status derive(const struct seal *seal, struct sp_text unseal,
                        uint8_t ret_key[SP_KEY_BYTES], struct sp_error *err)
{
    if (seal->kind == SP_SEAL_KEY_FILE) {
        if (unseal.len != SP_KEY_BYTES) {
            return sp_fail(err, SP_ECRYPTO, "a key file holds %d bytes", SP_KEY_BYTES);
        }
        memcpy(ret_key, unseal.ptr, SP_KEY_BYTES);
        return SP_OK;
    }
    if (crypto_pwhash(ret_key, SP_KEY_BYTES, unseal.ptr, unseal.len, seal->salt, seal->ops,
                      (size_t)seal->memory, crypto_pwhash_ALG_ARGON2ID13)) {
        return sp_fail(err, SP_ENOMEM, "no memory for Argon2id (%llu MiB)",
                       (unsigned long long)seal->memory >> 20);
    }
    return SP_OK;
}

/* ---- boxes ----------------------------------------------------------------------------------
 */

/* table|row|version|keyring id. A row's name may hold any bytes: the numbers are the last two
 * parts, so that no two lists of parts give the same text. Empty where it does not fit. */
static struct sp_text associated(char text[AD_MAX_BYTES], const char *table, struct sp_text row,
                                 uint32_t version, uint32_t ring)
{
    enum { NUMBERS = 2 + 10 + 10 };
    size_t len = strlen(table) + 1;
    if (len + row.len + NUMBERS >= AD_MAX_BYTES) {
        return (struct sp_text){text, 0};
    }
    memcpy(text, table, len - 1);
    text[len - 1] = '|';
    if (row.len > 0) {
        memcpy(text + len, row.ptr, row.len);
    }
    len += row.len;
    len += (size_t)snprintf(text + len, AD_MAX_BYTES - len, "|%u|%u", version, ring);
    return (struct sp_text){text, len};
}

static struct sp_text ring_ad(char text[AD_MAX_BYTES], struct sp_text purpose, uint32_t id)
{
    return associated(text, "ring", purpose, 1, id);
}

static sp_status ring_put(struct sp_store *store, uint32_t id, const char *purpose,
                          const uint8_t *under, const uint8_t *key, struct sp_error *err)
{
    uint8_t box[SP_KEY_BYTES + SP_BOX_OVERHEAD];
    char ad[AD_MAX_BYTES];
    sp_box_seal(under, ring_ad(ad, sp_text_of(purpose), id), key, SP_KEY_BYTES, box);
    struct sp_ring_row row = {.id = id,
                              .purpose = sp_text_of(purpose),
                              .box = {(const char *)box, sizeof box},
                              .active = true};
    return sp_store_ring_add(store, &row, err);
}

/* ---- create ---------------------------------------------------------------------------------
 */

/* keys: the unseal key, the root key, and room for one key of a purpose. */
static sp_status fill_ring(struct sp_store *store, const struct seal *seal,
                           struct sp_text unseal, uint8_t keys[3 * SP_KEY_BYTES],
                           struct sp_error *err)
{
    uint8_t *unseal_key = keys, *root = keys + SP_KEY_BYTES, *key = keys + 2 * SP_KEY_BYTES;
    sp_status status = derive(seal, unseal, unseal_key, err);
    if (!status) {
        randombytes_buf(root, SP_KEY_BYTES);
        status = ring_put(store, ROOT_ID, "root", unseal_key, root, err);
    }
    for (uint32_t i = 0; !status && i < SP_PURPOSES; i++) {
        randombytes_buf(key, SP_KEY_BYTES);
        status = ring_put(store, ROOT_ID + 1 + i, purposes[i], root, key, err);
    }
    return status ? status : seal_write(store, seal, err);
}

static sp_status seal_new(enum sp_seal_kind kind, struct sp_text unseal, struct seal *ret_seal,
                          struct sp_error *err)
{
    memset(ret_seal, 0, sizeof *ret_seal);
    ret_seal->kind = kind;
    if (kind == SP_SEAL_KEY_FILE && unseal.len == SP_KEY_BYTES) {
        return SP_OK;
    }
    if (kind != SP_SEAL_PASSPHRASE) {
        return sp_fail(err, SP_EINVAL, "a key file holds %d random bytes", SP_KEY_BYTES);
    }
    if (unseal.len < PASSPHRASE_MIN || unseal.len > PASSPHRASE_MAX) {
        return sp_fail(err, SP_EINVAL, "a passphrase has %d to %d bytes", PASSPHRASE_MIN,
                       PASSPHRASE_MAX);
    }
    randombytes_buf(ret_seal->salt, sizeof ret_seal->salt);
    ret_seal->ops = crypto_pwhash_OPSLIMIT_MODERATE;
    ret_seal->memory = crypto_pwhash_MEMLIMIT_MODERATE;
    return SP_OK;
}

sp_status sp_keyring_create(struct sp_store *store, struct sp_pool *pool,
                            enum sp_seal_kind kind, struct sp_text unseal, struct sp_error *err)
{
    struct seal seal;
    struct sp_secret keys = {NULL, NULL, 0};
    sp_status status = seal_new(kind, unseal, &seal, err);
    if (!status && sp_secret_new(pool, 3 * SP_KEY_BYTES, &keys)) {
        status = sp_fail(err, SP_ENOMEM, "no memory for keys");
    }
    if (!status) {
        status = fill_ring(store, &seal, unseal, keys.ptr, err);
    }
    sp_secret_free(&keys);
    return status;
}

/* ---- open -----------------------------------------------------------------------------------
 */

struct opening {
    struct sp_keyring *keyring;
    struct sp_pool *pool;
    const uint8_t *unseal_key;
    struct sp_secret root;
};

static int purpose_of(struct sp_text text)
{
    for (int i = 0; i < SP_PURPOSES; i++) {
        if (sp_text_is(text, purposes[i])) {
            return i;
        }
    }
    return -1;
}

static sp_status open_box(const uint8_t *under, const struct sp_ring_row *row,
                          struct sp_pool *pool, struct sp_secret *ret_key)
{
    char ad[AD_MAX_BYTES];
    if (row->box.len != SP_KEY_BYTES + SP_BOX_OVERHEAD) {
        return SP_ECORRUPT;
    }
    sp_status status = sp_secret_new(pool, SP_KEY_BYTES, ret_key);
    if (!status) {
        status = sp_box_open(under, ring_ad(ad, row->purpose, row->id),
                             (const uint8_t *)row->box.ptr, row->box.len, ret_key->ptr);
    }
    if (status) {
        sp_secret_free(ret_key);
    }
    return status;
}

/* Rows come in the order of their ids, so the root is first. */
static sp_status open_row(void *user, const struct sp_ring_row *row)
{
    struct opening *opening = user;
    struct sp_keyring *keyring = opening->keyring;
    int purpose = purpose_of(row->purpose);
    if (sp_text_is(row->purpose, "root")) {
        return opening->root.ptr
                   ? SP_ECORRUPT
                   : open_box(opening->unseal_key, row, opening->pool, &opening->root);
    }
    if (!opening->root.ptr || purpose < 0 || keyring->n == RING_MAX) {
        return SP_ECORRUPT;
    }
    struct entry *entry = &keyring->entries[keyring->n];
    sp_status status = open_box(opening->root.ptr, row, opening->pool, &entry->key);
    if (!status) {
        entry->id = row->id;
        entry->purpose = (enum sp_purpose)purpose;
        entry->active = row->active;
        keyring->n++;
    }
    return status == SP_ECRYPTO ? SP_ECORRUPT : status; /* under a good root: damage */
}

static bool is_complete(const struct sp_keyring *keyring)
{
    uint32_t id;
    bool complete = true;
    for (int i = 0; i < SP_PURPOSES; i++) {
        complete = complete && sp_keyring_key(keyring, (enum sp_purpose)i, &id) != NULL;
    }
    return complete;
}

sp_status sp_keyring_open(struct sp_store *store, struct sp_pool *pool, struct sp_text unseal,
                          struct sp_keyring **ret_keyring, struct sp_error *err)
{
    struct seal seal;
    struct sp_secret unseal_key = {NULL, NULL, 0};
    sp_status status = seal_read(store, &seal, err);
    if (status) {
        return status;
    }
    struct sp_keyring *keyring = calloc(1, sizeof *keyring);
    if (!keyring || sp_secret_new(pool, SP_KEY_BYTES, &unseal_key)) {
        free(keyring);
        return sp_fail(err, SP_ENOMEM, "no memory for keys");
    }
    struct opening opening = {.keyring = keyring, .pool = pool, .unseal_key = unseal_key.ptr};
    status = derive(&seal, unseal, unseal_key.ptr, err);
    if (!status) {
        status = sp_store_ring_list(store, open_row, &opening, err);
        if (status == SP_ECRYPTO) {
            (void)sp_fail(err, status, "this is not the key that the store was sealed with");
        } else if (status == SP_ENOMEM) {
            (void)sp_fail(err, status, "no memory for keys");
        } else if (status == SP_ECORRUPT || (!status && !is_complete(keyring))) {
            status = sp_fail(err, SP_ECORRUPT, "the keyring is damaged; restore a backup");
        }
    }
    sp_secret_free(&opening.root);
    sp_secret_free(&unseal_key);
    if (status) {
        sp_keyring_close(keyring);
        return status;
    }
    *ret_keyring = keyring;
    return SP_OK;
}

void sp_keyring_close(struct sp_keyring *keyring)
{
    if (!keyring) {
        return;
    }
    for (size_t i = 0; i < keyring->n; i++) {
        sp_secret_free(&keyring->entries[i].key);
    }
    free(keyring);
}

/* ---- use ------------------------------------------------------------------------------------
 */

const uint8_t *sp_keyring_key(const struct sp_keyring *keyring, enum sp_purpose purpose,
                              uint32_t *ret_id)
{
    for (size_t i = keyring->n; i-- > 0;) { /* the newest first */
        const struct entry *entry = &keyring->entries[i];
        if (entry->purpose == purpose && entry->active) {
            *ret_id = entry->id;
            return entry->key.ptr;
        }
    }
    return NULL;
}

const uint8_t *sp_keyring_key_by_id(const struct sp_keyring *keyring, uint32_t id)
{
    for (size_t i = 0; i < keyring->n; i++) {
        if (keyring->entries[i].id == id) {
            return keyring->entries[i].key.ptr;
        }
    }
    return NULL;
}

sp_status sp_keyring_seal(const struct sp_keyring *keyring, const char *table,
                          struct sp_text row, uint32_t version, struct sp_text plain,
                          struct sp_buf *ret_box, uint32_t *ret_ring)
{
    char ad_text[AD_MAX_BYTES];
    uint32_t ring = 0;
    const uint8_t *key = sp_keyring_key(keyring, SP_PURPOSE_DATA, &ring);
    struct sp_text ad = associated(ad_text, table, row, version, ring);
    if (!ad.len) {
        return SP_ETOOBIG;
    }
    uint8_t *box = malloc(plain.len + SP_BOX_OVERHEAD);
    if (!box) {
        return SP_ENOMEM;
    }
    sp_box_seal(key, ad, plain.ptr, plain.len, box);
    sp_buf_add(ret_box, box, plain.len + SP_BOX_OVERHEAD);
    free(box);
    if (ret_box->failed) {
        return SP_ETOOBIG;
    }
    *ret_ring = ring;
    return SP_OK;
}

sp_status sp_keyring_unseal(const struct sp_keyring *keyring, const char *table,
                            struct sp_text row, uint32_t version, uint32_t ring,
                            struct sp_text box, struct sp_pool *pool,
                            struct sp_secret *ret_plain)
{
    char ad_text[AD_MAX_BYTES];
    const uint8_t *key = sp_keyring_key_by_id(keyring, ring);
    struct sp_text ad = associated(ad_text, table, row, version, ring);
    if (!key || !ad.len || box.len < SP_BOX_OVERHEAD) {
        return SP_ECRYPTO;
    }
    struct sp_secret plain;
    sp_status status = sp_secret_new(pool, box.len - SP_BOX_OVERHEAD, &plain);
    if (status) {
        return status;
    }
    status = sp_box_open(key, ad, (const uint8_t *)box.ptr, box.len, plain.ptr);
    if (status) {
        sp_secret_free(&plain);
        return status;
    }
    *ret_plain = plain;
    return SP_OK;
}
