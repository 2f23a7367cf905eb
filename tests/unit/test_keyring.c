/* The keyring and the memory it lies in: what it refuses to make, what it refuses to open, and
 * memory and a disk that fail at each step. What its boxes keep apart is in test_sealed.c. */
#include "keyring.h"
#include "unit/folder.h"

#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- what fails -----------------------------------------------------------------------------
 */

static size_t n_allocations, allocation_fails = SIZE_MAX;
static size_t n_steps, step_fails = SIZE_MAX;

#define FAILING(type, name, params, args, fails, failed)                                       \
    type __real_##name params;                                                                 \
    type __wrap_##name params;                                                                 \
    type __wrap_##name params                                                                  \
    {                                                                                          \
        return (fails) ? (failed) : __real_##name args;                                        \
    }

FAILING(void *, malloc, (size_t size), (size), n_allocations++ == allocation_fails, NULL)
FAILING(void *, calloc, (size_t n, size_t size), (n, size), n_allocations++ == allocation_fails,
        NULL)
FAILING(void *, sodium_malloc, (size_t size), (size), n_allocations++ == allocation_fails, NULL)
FAILING(int, crypto_pwhash,
        (unsigned char *const out, unsigned long long out_len, const char *const password,
         unsigned long long password_len, const unsigned char *const salt,
         unsigned long long ops, size_t memory, int algorithm),
        (out, out_len, password, password_len, salt, ops, memory, algorithm),
        n_allocations++ == allocation_fails, -1)
FAILING(int, sqlite3_step, (sqlite3_stmt * st), (st), n_steps++ == step_fails, SQLITE_IOERR)

static void fail_allocation(size_t nth)
{
    n_allocations = 0;
    allocation_fails = nth;
}

static void fail_step(size_t nth)
{
    n_steps = 0;
    step_fails = nth;
}

/* ---- a store of its own ---------------------------------------------------------------------
 */

struct disk {
    char folder[64];
    struct sp_store *store;
    struct sp_pool *pool;
    struct sp_keyring *keyring;
    struct sp_error err;
};

static const uint8_t key_bytes[SP_KEY_BYTES] = {1}, root_bytes[SP_KEY_BYTES] = {2};
static const struct sp_text key_file = {(const char *)key_bytes, SP_KEY_BYTES};
static const struct sp_text passphrase = {"correct horse", 13};

static int disk_new(void **state)
{
    struct disk *d = calloc(1, sizeof *d);
    char path[128];
    assert_non_null(d);
    memcpy(d->folder, "/tmp/sp-keyring-XXXXXX", 23);
    assert_non_null(mkdtemp(d->folder));
    (void)snprintf(path, sizeof path, "%s/store.db", d->folder);
    assert_int_equal(sp_pool_new(1 << 20, &d->pool, &d->err), SP_OK);
    assert_int_equal(sp_store_open(path, true, &d->store, &d->err), SP_OK);
    *state = d;
    return 0;
}

static int disk_free(void **state)
{
    struct disk *d = *state;
    sp_keyring_close(d->keyring);
    sp_store_close(d->store);
    sp_pool_free(d->pool); /* aborts where a secret was not given back */
    assert_int_equal(folder_remove(d->folder), 0);
    free(d);
    return 0;
}

static sp_status create(struct disk *d, enum sp_seal_kind kind, struct sp_text unseal)
{
    d->err.text[0] = '\0';
    return sp_keyring_create(d->store, d->pool, kind, unseal, &d->err);
}

static sp_status open_with(struct disk *d, struct sp_text unseal)
{
    d->err.text[0] = '\0';
    sp_status status = sp_keyring_open(d->store, d->pool, unseal, &d->keyring, &d->err);
    assert_int_equal(status != SP_OK, d->keyring == NULL);
    return status;
}

static void assert_says(const struct disk *d, const char *part)
{
    if (!strstr(d->err.text, part)) {
        fail_msg("`%s` is not in: %s", part, d->err.text);
    }
}

/* A row as the keyring writes it, under any key. */
static void ring_add(struct disk *d, uint32_t id, const char *purpose, const uint8_t *under,
                     const uint8_t *key, bool active)
{
    uint8_t box[SP_KEY_BYTES + SP_BOX_OVERHEAD];
    char ad[64];
    (void)snprintf(ad, sizeof ad, "ring|%s|1|%u", purpose, id);
    sp_box_seal(under, sp_text_of(ad), key, SP_KEY_BYTES, box);
    struct sp_ring_row row = {.id = id,
                              .purpose = sp_text_of(purpose),
                              .box = {(const char *)box, sizeof box},
                              .active = active};
    assert_int_equal(sp_store_ring_add(d->store, &row, &d->err), SP_OK);
}

/* kind, salt, ops, memory: as they lie in the store. */
static void seal_put(struct disk *d, uint8_t kind, uint64_t ops, uint64_t memory, size_t len)
{
    uint8_t bytes[64] = {kind};
    for (unsigned i = 0; i < 8; i++) {
        bytes[1 + crypto_pwhash_SALTBYTES + i] = (uint8_t)(ops >> (8 * i));
        bytes[9 + crypto_pwhash_SALTBYTES + i] = (uint8_t)(memory >> (8 * i));
    }
    assert_int_equal(sp_store_put(d->store, "seal", bytes, len, &d->err), SP_OK);
}

enum { SEAL_BYTES = 1 + crypto_pwhash_SALTBYTES + 16 };

/* A keyring made by hand: the seal of a key file, the root, and keys as a test wants them. */
static void seal_by_hand(struct disk *d)
{
    seal_put(d, SP_SEAL_KEY_FILE, 0, 0, SEAL_BYTES);
    ring_add(d, 1, "root", key_bytes, root_bytes, true);
}

static const char *const purposes[] = {"data", "token", "audit-hash", "audit-sign"};

static void keys_by_hand(struct disk *d, uint32_t first)
{
    for (uint32_t i = 0; i < SP_PURPOSES; i++) {
        uint8_t key[SP_KEY_BYTES] = {(uint8_t)(first + i)};
        ring_add(d, first + i, purposes[i], root_bytes, key, true);
    }
}

/* ---- guarded memory -------------------------------------------------------------------------
 */

static void T41_a_pool_without_memory_is_none(void **state)
{
    struct sp_pool *pool = NULL;
    struct sp_error err;
    (void)state;
    for (size_t nth = 0; nth < 2; nth++) {
        fail_allocation(nth);
        assert_int_equal(sp_pool_new(4096, &pool, &err), SP_ENOMEM);
        assert_null(pool);
        assert_non_null(strstr(err.text, "4096 bytes"));
    }
    fail_allocation(SIZE_MAX);
}

static sigjmp_buf aborted;

static void on_abort(int number)
{
    (void)number;
    siglongjmp(aborted, 1);
}

static void T58_a_pool_that_still_holds_a_secret_is_not_given_back(void **state)
{
    struct sigaction action = {.sa_handler = on_abort}, before;
    static struct sp_pool *pool;
    static struct sp_secret secret;
    (void)state;
    assert_int_equal(sp_pool_new(4096, &pool, NULL), SP_OK);
    assert_int_equal(sp_secret_new(pool, 32, &secret), SP_OK);
    assert_int_equal(sigaction(SIGABRT, &action, &before), 0); /* cmocka would report it */
    volatile bool went_on = false;
    if (sigsetjmp(aborted, 1) == 0) {
        sp_pool_free(pool); /* does not come back */
        went_on = true;
    }
    assert_int_equal(sigaction(SIGABRT, &before, NULL), 0);
    assert_false(went_on);
    sp_secret_free(&secret);
    sp_pool_free(pool);
}

/* ---- making ---------------------------------------------------------------------------------
 */

static void a_seal_is_a_whole_key_file_or_a_passphrase_of_8_to_1024_bytes(void **state)
{
    static char longest[1025];
    struct disk *d = *state;
    memset(longest, 'p', sizeof longest);
    assert_int_equal(create(d, SP_SEAL_KEY_FILE, (struct sp_text){longest, 31}), SP_EINVAL);
    assert_says(d, "a key file holds 32 random bytes");
    assert_int_equal(create(d, SP_SEAL_KEY_FILE, (struct sp_text){longest, 33}), SP_EINVAL);
    assert_int_equal(create(d, SP_SEAL_NONE, key_file), SP_EINVAL);
    assert_int_equal(create(d, SP_SEAL_PASSPHRASE, (struct sp_text){longest, 7}), SP_EINVAL);
    assert_says(d, "8 to 1024 bytes");
    assert_int_equal(create(d, SP_SEAL_PASSPHRASE, (struct sp_text){longest, 1025}), SP_EINVAL);
    enum sp_seal_kind kind;
    assert_int_equal(sp_keyring_kind(d->store, &kind, &d->err), SP_OK);
    assert_int_equal(kind, SP_SEAL_NONE); /* nothing was left behind */
    assert_int_equal(open_with(d, key_file), SP_ENOENT);
}

static void a_passphrase_opens_what_it_sealed_and_no_other_does(void **state)
{
    struct disk *d = *state;
    enum sp_seal_kind kind;
    assert_int_equal(create(d, SP_SEAL_PASSPHRASE, passphrase), SP_OK);
    assert_int_equal(sp_keyring_kind(d->store, &kind, &d->err), SP_OK);
    assert_int_equal(kind, SP_SEAL_PASSPHRASE);
    assert_int_equal(open_with(d, SP_TEXT("correct house")), SP_ECRYPTO);
    assert_says(d, "not the key that the store was sealed with");
    assert_int_equal(open_with(d, passphrase), SP_OK);
}

static void T41_a_keyring_is_made_whole_or_the_caller_hears_of_it(void **state)
{
    struct disk *d = *state;
    struct sp_pool *small;
    /* No memory for Argon2id; no room among the secrets. */
    fail_allocation(0);
    assert_int_equal(create(d, SP_SEAL_PASSPHRASE, passphrase), SP_ENOMEM);
    fail_allocation(SIZE_MAX);
    assert_says(d, "no memory for Argon2id (256 MiB)");
    assert_int_equal(sp_pool_new(64, &small, NULL), SP_OK);
    assert_int_equal(sp_keyring_create(d->store, small, SP_SEAL_KEY_FILE, key_file, &d->err),
                     SP_ENOMEM);
    assert_says(d, "no memory for keys");
    sp_pool_free(small);
    /* The disk fails at each row in turn: the root, four keys, the seal. */
    size_t nth = 0;
    sp_status status = SP_EIO;
    for (; status; nth++) {
        assert_int_equal(sp_store_begin(d->store, &d->err), SP_OK);
        fail_step(nth);
        status = create(d, SP_SEAL_KEY_FILE, key_file);
        fail_step(SIZE_MAX);
        if (status) {
            assert_int_equal(status, SP_EIO);
            assert_true(*d->err.text);
            sp_store_rollback(d->store);
            assert_int_equal(open_with(d, key_file), SP_ENOENT);
        }
    }
    assert_int_equal(nth, 1 + SP_PURPOSES + 1 + 1);
    assert_int_equal(sp_store_commit(d->store, &d->err), SP_OK);
    assert_int_equal(open_with(d, key_file), SP_OK);
}

/* ---- opening --------------------------------------------------------------------------------
 */

static void T42_a_damaged_seal_opens_nothing_and_costs_nothing(void **state)
{
    static const struct {
        uint8_t kind;
        uint64_t ops, memory;
        size_t len;
    } damaged[] = {
        {SP_SEAL_NONE, 0, 0, SEAL_BYTES},
        {SP_SEAL_PASSPHRASE + 1, 3, 1 << 20, SEAL_BYTES},
        {SP_SEAL_KEY_FILE, 0, 0, SEAL_BYTES - 1},
        {SP_SEAL_KEY_FILE, 0, 0, SEAL_BYTES + 1},
        {SP_SEAL_PASSPHRASE, 0, 1 << 20, SEAL_BYTES},
        {SP_SEAL_PASSPHRASE, UINT64_MAX, 1 << 20, SEAL_BYTES}, /* an endless loop */
        {SP_SEAL_PASSPHRASE, 3, 1, SEAL_BYTES},
        {SP_SEAL_PASSPHRASE, 3, UINT64_MAX, SEAL_BYTES}, /* all of memory */
    };
    struct disk *d = *state;
    enum sp_seal_kind kind = SP_SEAL_NONE;
    seal_by_hand(d);
    keys_by_hand(d, 2);
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        seal_put(d, damaged[i].kind, damaged[i].ops, damaged[i].memory, damaged[i].len);
        assert_int_equal(open_with(d, key_file), SP_ECORRUPT);
        assert_says(d, "the seal's parameters are damaged; restore a backup");
        assert_int_equal(sp_keyring_kind(d->store, &kind, &d->err), SP_ECORRUPT);
        assert_int_equal(kind, SP_SEAL_NONE);
    }
    seal_put(d, SP_SEAL_KEY_FILE, 0, 0, SEAL_BYTES);
    assert_int_equal(open_with(d, key_file), SP_OK);
}

static void T42_a_keyring_without_a_key_of_each_purpose_is_damaged(void **state)
{
    struct disk *d = *state;
    uint8_t key[SP_KEY_BYTES] = {7};
    seal_by_hand(d);
    for (uint32_t i = 0; i < SP_PURPOSES; i++) {
        assert_int_equal(open_with(d, key_file), SP_ECORRUPT);
        assert_says(d, "the keyring is damaged");
        ring_add(d, 2 + 2 * i, purposes[i], root_bytes, key, false); /* of old, not active */
        assert_int_equal(open_with(d, key_file), SP_ECORRUPT);
        ring_add(d, 3 + 2 * i, purposes[i], root_bytes, key, true);
    }
    assert_int_equal(open_with(d, key_file), SP_OK);
}

static void T42_a_row_that_no_keyring_writes_is_damage(void **state)
{
    struct disk *d = *state;
    static const uint8_t key[SP_KEY_BYTES] = {7};
    static const struct {
        const char *purpose;
        const uint8_t *under;
    } rows[] = {
        {"root", key_bytes},   /* a second one */
        {"other", root_bytes}, /* of no purpose */
        {"data", key_bytes},   /* not under the root */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(sp_store_begin(d->store, &d->err), SP_OK);
        seal_by_hand(d);
        keys_by_hand(d, 2);
        ring_add(d, 9, rows[i].purpose, rows[i].under, key, true);
        assert_int_equal(open_with(d, key_file), SP_ECORRUPT);
        assert_says(d, "the keyring is damaged");
        sp_store_rollback(d->store);
    }
    /* A key before any root, and a box of another length. */
    assert_int_equal(sp_store_begin(d->store, &d->err), SP_OK);
    seal_put(d, SP_SEAL_KEY_FILE, 0, 0, SEAL_BYTES);
    keys_by_hand(d, 2);
    assert_int_equal(open_with(d, key_file), SP_ECORRUPT);
    sp_store_rollback(d->store);
    seal_put(d, SP_SEAL_KEY_FILE, 0, 0, SEAL_BYTES);
    struct sp_ring_row shorter = {
        .id = 1, .purpose = SP_TEXT("root"), .box = {(const char *)key, sizeof key}};
    assert_int_equal(sp_store_ring_add(d->store, &shorter, &d->err), SP_OK);
    assert_int_equal(open_with(d, key_file), SP_ECORRUPT);
}

static void a_keyring_holds_256_keys_and_seals_with_the_newest(void **state)
{
    struct disk *d = *state;
    uint32_t id;
    seal_by_hand(d);
    for (uint32_t first = 2; first < 2 + 256; first += SP_PURPOSES) {
        keys_by_hand(d, first);
    }
    assert_int_equal(open_with(d, key_file), SP_OK);
    assert_int_equal(*sp_keyring_key(d->keyring, SP_PURPOSE_TOKEN, &id), 255);
    assert_int_equal(id, 255);
    assert_int_equal(*sp_keyring_key_by_id(d->keyring, 7), 7);
    assert_null(sp_keyring_key_by_id(d->keyring, 1)); /* the root is nobody's to use */
    sp_keyring_close(d->keyring);
    d->keyring = NULL;
    ring_add(d, 258, "data", root_bytes, key_bytes, true);
    assert_int_equal(open_with(d, key_file), SP_ECORRUPT);
}

static void T41_without_memory_or_disk_nothing_is_opened(void **state)
{
    struct disk *d = *state;
    struct sp_pool *all = d->pool;
    assert_int_equal(create(d, SP_SEAL_KEY_FILE, key_file), SP_OK);
    fail_allocation(0);
    assert_int_equal(open_with(d, key_file), SP_ENOMEM);
    fail_allocation(SIZE_MAX);
    assert_says(d, "no memory for keys");
    /* A pool with room for the unseal key, the root, and so on: one more each time. */
    for (size_t n_secrets = 0; n_secrets < 2 + SP_PURPOSES; n_secrets++) {
        struct sp_secret held;
        assert_int_equal(sp_pool_new(64 * (n_secrets + 1), &d->pool, &d->err), SP_OK);
        assert_int_equal(sp_secret_new(d->pool, 1, &held), SP_OK);
        assert_int_equal(open_with(d, key_file), SP_ENOMEM);
        assert_says(d, "no memory for keys");
        sp_secret_free(&held);
        sp_pool_free(d->pool);
    }
    d->pool = all;
    enum sp_seal_kind kind = SP_SEAL_NONE;
    fail_step(0);
    assert_int_equal(sp_keyring_kind(d->store, &kind, &d->err), SP_EIO);
    fail_step(1); /* the seal is read, the ring is not */
    assert_int_equal(open_with(d, key_file), SP_EIO);
    fail_step(SIZE_MAX);
    assert_true(*d->err.text);
    assert_int_equal(open_with(d, key_file), SP_OK);
}

/* ---- boxes ----------------------------------------------------------------------------------
 */

static void T41_a_row_is_sealed_whole_or_not_at_all(void **state)
{
    static char name[300];
    struct disk *d = *state;
    struct sp_buf box, small;
    struct sp_secret plain = {NULL, NULL, 0};
    uint32_t ring = 0;
    assert_int_equal(create(d, SP_SEAL_KEY_FILE, key_file), SP_OK);
    assert_int_equal(open_with(d, key_file), SP_OK);
    memset(name, 'n', sizeof name);
    const struct sp_text row = SP_TEXT("row"), secret = SP_TEXT("sesame");
    const struct sp_text too_long = {name, sizeof name}, unnamed = SP_TEXT("");
    sp_buf_init(&box, 4096);
    sp_buf_init(&small, 16);
#define SEAL(row, buf) sp_keyring_seal(d->keyring, "keys", row, 1, secret, buf, &ring)
#define UNSEAL(row, box, pool)                                                                 \
    sp_keyring_unseal(d->keyring, "keys", row, 1, ring, box, pool, &plain)
    assert_int_equal(SEAL(too_long, &box), SP_ETOOBIG);
    assert_int_equal(SEAL(row, &small), SP_ETOOBIG);
    fail_allocation(0);
    assert_int_equal(SEAL(row, &box), SP_ENOMEM);
    fail_allocation(SIZE_MAX);
    assert_int_equal(box.len, 0);
    assert_int_equal(ring, 0);
    assert_int_equal(SEAL(unnamed, &box), SP_OK); /* a table of one row */
    struct sp_text sealed = sp_buf_text(&box);
    assert_int_equal(UNSEAL(row, sealed, d->pool), SP_ECRYPTO);
    assert_int_equal(UNSEAL(too_long, sealed, d->pool), SP_ECRYPTO);
    assert_int_equal(
        UNSEAL(unnamed, ((struct sp_text){sealed.ptr, SP_BOX_OVERHEAD - 1}), d->pool),
        SP_ECRYPTO);
    struct sp_pool *full;
    struct sp_secret held;
    assert_int_equal(sp_pool_new(64, &full, NULL), SP_OK);
    assert_int_equal(sp_secret_new(full, 1, &held), SP_OK);
    assert_int_equal(UNSEAL(unnamed, sealed, full), SP_ENOMEM);
    sp_secret_free(&held);
    assert_null(plain.ptr);
    assert_int_equal(UNSEAL(unnamed, sealed, full), SP_OK);
    assert_true(sp_text_eq(sp_secret_text(&plain), secret));
    sp_secret_free(&plain);
    sp_pool_free(full);
#undef SEAL
#undef UNSEAL
    sp_buf_done(&box);
    sp_buf_done(&small);
}

int main(void)
{
    assert_true(sodium_init() >= 0);
#define WITH_DISK(test) cmocka_unit_test_setup_teardown(test, disk_new, disk_free)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T41_a_pool_without_memory_is_none),
        cmocka_unit_test(T58_a_pool_that_still_holds_a_secret_is_not_given_back),
        WITH_DISK(a_seal_is_a_whole_key_file_or_a_passphrase_of_8_to_1024_bytes),
        WITH_DISK(a_passphrase_opens_what_it_sealed_and_no_other_does),
        WITH_DISK(T41_a_keyring_is_made_whole_or_the_caller_hears_of_it),
        WITH_DISK(T42_a_damaged_seal_opens_nothing_and_costs_nothing),
        WITH_DISK(T42_a_keyring_without_a_key_of_each_purpose_is_damaged),
        WITH_DISK(T42_a_row_that_no_keyring_writes_is_damage),
        WITH_DISK(a_keyring_holds_256_keys_and_seals_with_the_newest),
        WITH_DISK(T41_without_memory_or_disk_nothing_is_opened),
        WITH_DISK(T41_a_row_is_sealed_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
