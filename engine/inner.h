/* What the engine's own files share. Loop thread, unless a line says otherwise. */
#ifndef SP_INNER_H
#define SP_INNER_H

#include "commit.h"
#include "engine.h"
#include "lease.h"
#include "rate.h"

enum {
    BUDGETS_MAX = 2,     /* of the scope and the rule */
    USES_MAX = 4,        /* rates that one call is counted against */
    GUARD_HITS_MAX = 3,  /* answers that held the key: with the last the token is suspended */
    CHAINS = 256,        /* parsed caveat chains that are kept */
    REFUSAL_PEERS = 256, /* peers whose refusals are counted apart */
    REQUEST_ID_MAX_BYTES = 64,
};

/* A compiled scope or caveat, shared by all tokens that hold the same text. */
struct frozen {
    uint8_t hash[SP_HASH_BYTES];
    bool is_caveat;
    struct sp_text text;
    struct sp_scope *scope;
    struct sp_matcher *matcher; /* the scope, compiled when it is first asked */
    size_t n_refs;
    struct frozen *next;
};

/* What a token needs of a key, and the lease that it has for it. */
struct lease_use {
    char key[SP_NAME_MAX_BYTES + 1];
    uint32_t version;    /* of the key: its `since` */
    char *words;         /* permissions */
    size_t n_words;      /* bytes */
    struct lease *lease; /* counted; NULL: none yet */
    struct lease_use *next;
};

/* public is first: an sp_lease is one of these. */
struct lease {
    struct sp_lease public;
    char *words;
    struct key_version *minted;    /* its secrets alone; NULL: sealed, or there are none */
    struct key_version *key;       /* the key with them; made when it is asked for */
    enum sp_lease_state key_state; /* when that was */
    uint8_t (*users)[SP_TOKEN_ID_BYTES];
    size_t users_room;
    bool had_users;
    size_t n_refs;
    struct lease *next;
};

/* A lease's secrets, opened at unsealing. */
struct opened_lease {
    uint8_t id[SP_LEASE_ID_BYTES];
    struct key_version *minted;
    struct opened_lease *next;
};

struct live_token {
    uint8_t id[SP_TOKEN_ID_BYTES];
    uint8_t grant_hash[SP_HASH_BYTES];
    const char *principal, *scope_name, *bind; /* in names */
    struct frozen *scope, *narrow, *caveat;    /* the last two may be NULL */
    int64_t issued_ms, expires_ms, expires_boot_ms, revoked_ms, suspended_ms;
    int64_t limited_boot_ms; /* when a call past a rate was last put on record; 0: never */
    uint32_t guard_hits;
    char *guard_key; /* whose key the last hit was; NULL: there was none */
    bool same_boot, seen_expired;
    bool suspended_by_audit; /* at the start: its records say so, and the store did not */
    bool listed;             /* in the table; else only calls in flight hold it */
    size_t n_refs;           /* of tickets */
    struct lease_use *leases;
    struct live_token *next;
    char names[]; /* no longer than they are: there may be very many tokens */
};

/* The parsed caveats of one token, by its tag. */
struct chain {
    uint8_t tag[SP_HASH_BYTES];
    struct sp_scope *scopes[SP_CAVEATS_MAX];
    size_t n;
    bool used;
};

/* Who a CURVE key is; sorted by it. */
struct actor {
    char curve[41];
    char name[SP_NAME_MAX_BYTES + 1];
    enum sp_role role;
    const struct sp_identity *identity; /* of the policy; NULL: of the store */
};

struct stored_client {
    char name[SP_NAME_MAX_BYTES + 1], curve[41];
    bool admin;
};

/* A key version with its count. public is first: an sp_key is one of these. */
struct key_version {
    struct sp_key public;
    struct sp_arena arena;
    unsigned n_refs;
    /* Where set, the secrets are theirs, counted, and none is its own. */
    struct key_version *base, *minted;
};

struct key_list {
    struct key_version **items;
    size_t n;
};

struct refusals {
    char peer[65];
    enum sp_code code;
    uint64_t n;
};

struct sp_engine {
    struct sp_engine_config config;
    struct sp_store *store; /* the commit thread's while it runs */
    struct sp_audit *audit;
    struct sp_commit *commit;
    struct sp_pool *pool;
    struct sp_keyring *keyring; /* NULL while sealed */
    enum sp_engine_state state;
    enum sp_seal_kind seal;
    char reason[256];
    bool unsealing, sealing, closing;
    struct key_list sealed_keys; /* the commit thread's while `sealing` */
    struct sp_policy *policy;    /* may be NULL */
    struct actor *actors;
    size_t n_actors;
    struct stored_client *clients;
    size_t n_clients;
    struct key_version **keys; /* sorted by id */
    size_t n_keys;
    struct live_token **tokens; /* hash table */
    size_t token_buckets, n_tokens;
    uint8_t hash_key[crypto_shorthash_KEYBYTES];
    struct frozen **frozen; /* hash table, the same key */
    size_t frozen_buckets;
    struct chain chains[CHAINS];
    struct lease *leases; /* in the order of making */
    struct sp_secret authority;
    struct sp_rates *rates;
    struct sp_ticket *tickets; /* in flight, for request ids */
    size_t n_open;
    int64_t time_ms;       /* engine_time's */
    int64_t high_water_ms; /* wall time that was persisted, plus what we have seen since */
    int64_t raised_boot_ms, purged_boot_ms, refusals_boot_ms;
    uint64_t stored_seen, stored_told; /* how far the store had got: by the audit at start; as
                                          the audit was last told */
    struct refusals refusals[REFUSAL_PEERS];
    size_t n_refusals;
    uint64_t next_call;
};

static inline int64_t engine_wall(const struct sp_engine *engine)
{
    return engine->config.clock.wall_ms(engine->config.clock.user);
}

/* Wall time that does not go back, as far as this life and the persisted high-water mark know:
 * what budgets are counted by, so that a clock set back gives nothing back early. Loop thread.
 */
static inline int64_t engine_time(struct sp_engine *engine)
{
    int64_t now = engine_wall(engine);
    now = now > engine->high_water_ms ? now : engine->high_water_ms;
    engine->time_ms = now > engine->time_ms ? now : engine->time_ms;
    return engine->time_ms;
}

static inline int64_t engine_boot(const struct sp_engine *engine)
{
    return engine->config.clock.boot_ms(engine->config.clock.user);
}

/* Decisions: code, reason, hint, formatted. */
void decide(struct sp_decision *decision, enum sp_code code, const char *hint,
            const char *format, ...) __attribute__((format(printf, 4, 5)));
/* A bounded copy with a NUL. */
void copy_name(struct sp_text text, char *ret_name, size_t room);

/* ---- audit records (engine_audit.c) ---------------------------------------------------------
 */

void record_begin(struct sp_buf *buf, const char *type);
void record_text(struct sp_buf *buf, const char *name, struct sp_text text);
void record_number(struct sp_buf *buf, const char *name, int64_t number);
void record_hex(struct sp_buf *buf, const char *name, const void *bytes, size_t len);
/* A keyed hash of a value that may be sensitive: 16 hex digits. */
void record_hashed(const struct sp_engine *engine, struct sp_buf *buf, const char *name,
                   struct sp_text value);
void record_end(struct sp_buf *buf);
/* Method, host, path, query names with hashed values, body hash. */
void record_request(const struct sp_engine *engine, struct sp_buf *buf,
                    const struct sp_request *request);
/* Hand a record over that nobody waits for. */
void record_send(struct sp_engine *engine, struct sp_buf *record);
void refusals_flush(struct sp_engine *engine);

/* A job whose end only calls an sp_engine_done; freed with it. `name` is its record's. */
struct simple_job {
    struct sp_job job;
    struct sp_engine *engine;
    sp_engine_done done;
    void *user;
    void (*after)(struct simple_job *job); /* on success, before done; may be NULL */
    const char *all_the_same; /* what holds although it failed, for the answer; may be NULL */
    struct sp_arena arena;    /* holds payload */
    void *payload;            /* what the work reads, by kind of job */
};
struct simple_job *simple_job_new(struct sp_engine *engine, sp_engine_done done, void *user);
/* Submits; on failure done is called at once, and the job is gone. */
void simple_job_submit(struct simple_job *job);
void simple_job_fail(struct simple_job *job, sp_status status, const char *text);

/* ---- clients (engine_clients.c) -------------------------------------------------------------
 */

sp_status clients_load(struct sp_engine *engine, struct sp_error *err);
sp_status actors_rebuild(struct sp_engine *engine, struct sp_error *err);
const struct actor *actor_find(const struct sp_engine *engine, struct sp_text curve);
const struct sp_identity *principal_find(const struct sp_engine *engine, struct sp_text name);

/* ---- unseal, seal (engine_seal.c) -----------------------------------------------------------
 */

void drop_plaintext(struct sp_engine *engine);
/* A sealing for which there was no memory, or no place in the queue: try again. */
void seal_again(struct sp_engine *engine);

/* ---- the authority (engine_authority.c)
 * ------------------------------------------------------
 */

/* Commit thread: what the store has; an empty secret: nothing. */
sp_status authority_read(struct sp_store *store, const struct sp_keyring *keyring,
                         struct sp_pool *pool, struct sp_secret *ret_pem, struct sp_error *err);

/* ---- keys (engine_keys.c, engine_key_*.c) ---------------------------------------------------
 */

/* All keys of the store, with their secrets where keyring is not NULL. Any thread that may use
 * the store. */
sp_status keys_read(struct sp_store *store, const struct sp_keyring *keyring,
                    struct sp_pool *pool, struct key_list *ret_list, struct sp_error *err);
void key_list_free(struct key_list *list);
void keys_replace(struct sp_engine *engine, struct key_list *list);
void keys_sort(struct key_list *list);
/* In the place of the version that stands, if there is one; taken over. */
sp_status keys_put(struct sp_engine *engine, struct key_version *version);
void keys_drop(struct sp_engine *engine, struct sp_text id);
struct key_version *key_find(const struct sp_engine *engine, struct sp_text id);
bool key_has_setting(const struct key_version *key, struct sp_text name,
                     struct sp_text *ret_value);

/* Nothing in it yet, with one reference. */
struct key_version *version_new(void);
void version_free(struct key_version *version); /* nobody else has it */
/* Its parts, as a row has them; the secrets are still to be sealed, or were. */
enum { KEY_HOSTS_MAX = 64 };
void settings_encode(const struct sp_key_setting *settings, size_t n, struct sp_buf *buf);
sp_status settings_decode(struct key_version *v, struct sp_text text);
sp_status hosts_decode(struct key_version *v, struct sp_text text);
sp_status secrets_decode(struct key_version *v, struct sp_pool *pool,
                         const struct sp_secret *plain);
/* The name of its box: of this row, and of what stands in it in plain text. */
enum { KEY_BOX_NAME_BYTES = SP_NAME_MAX_BYTES + 1 + 2 * SP_HASH_BYTES + 1 };
struct sp_text key_box_name(const struct sp_key_row *row, char text[KEY_BOX_NAME_BYTES]);
/* A version that has nothing but the secrets in the plain text that secrets_encode made. */
sp_status secrets_encode(struct sp_pool *pool, const struct sp_key_secret *secrets, size_t n,
                         struct sp_secret *ret_plain);
sp_status version_of_secrets(struct sp_pool *pool, const struct sp_secret *plain,
                             struct key_version **ret_version);
/* base, with the secrets of minted behind its own, called prefix NAME; or, where the prefix is
 * NULL, in place of those of their names. Holds both. */
sp_status version_join(struct key_version *base, struct key_version *minted, const char *prefix,
                       struct key_version **ret_version);
/* In the same transaction as a key's next version: what the store has to do besides, on the
 * commit thread. */
struct put_besides {
    sp_status (*work)(void *user, struct sp_store *store, struct sp_error *err);
    struct sp_text lease; /* for the record */
    void *user;
};
void key_succeed(struct sp_engine *engine, const struct sp_key_input *input,
                 const struct put_besides *besides, sp_engine_done done, void *user);

/* ---- leases (engine_leases.c) ---------------------------------------------------------------
 */

sp_status leases_load(struct sp_engine *engine, struct sp_error *err); /* after the tokens */
void leases_free(struct sp_engine *engine);                            /* before the tokens */
/* Commit thread: the secrets of all, for leases_unseal. */
sp_status leases_open(struct sp_store *store, const struct sp_keyring *keyring,
                      struct sp_pool *pool, struct opened_lease **ret_opened,
                      struct sp_error *err);
void opened_leases_free(struct opened_lease *opened);
/* Takes the list over. */
void leases_unseal(struct sp_engine *engine, struct opened_lease *opened);
void leases_seal(struct sp_engine *engine);
void lease_uses_free(struct lease_use *use);

static inline struct lease *lease_of(struct sp_lease *public)
{
    return (struct lease *)public;
}

/* At the end of the list, which is in the order of making. NULL: out of memory. */
struct lease *lease_new(struct sp_engine *engine, const struct sp_lease_row *row);
/* Off the list, its secrets dropped; those who hold it still may read it. */
void lease_unlist(struct sp_engine *engine, struct lease *lease);
void lease_unref(struct lease *lease);
void lease_drop_secrets(struct lease *lease);
sp_status lease_add_user(struct lease *lease, const uint8_t token[SP_TOKEN_ID_BYTES]);
/* What the token needs of that key version, and its lease (may be NULL). */
sp_status lease_use_put(struct live_token *token, struct sp_text key, uint32_t version,
                        struct sp_text words, struct lease *lease);
/* The name of its box: of this row, and of what stands in it in plain text. */
enum { LEASE_BOX_NAME_BYTES = SP_LEASE_ID_HEX_BYTES + 1 + 2 * SP_HASH_BYTES + 1 };
struct sp_text lease_box_name(const struct sp_lease *lease, char text[LEASE_BOX_NAME_BYTES]);

/* ---- calls (engine_call.c) ------------------------------------------------------------------
 */

struct live_token *ticket_token(const struct sp_ticket *ticket);
struct key_version *ticket_key(const struct sp_ticket *ticket);
struct sp_engine *ticket_engine(const struct sp_ticket *ticket);

/* ---- tokens (engine_tokens.c) ---------------------------------------------------------------
 */

sp_status tokens_load(struct sp_engine *engine, struct sp_error *err);
void tokens_free(struct sp_engine *engine);
struct live_token *token_find(const struct sp_engine *engine, const uint8_t *id);
/* Add one by its grant. SP_ECORRUPT where the grant cannot be read. */
sp_status token_insert(struct sp_engine *engine, const struct sp_token_row *row,
                       struct live_token **ret_token);
void token_unref(struct sp_engine *engine, struct live_token *token);
void tokens_purge(struct sp_engine *engine);
uint64_t tokens_count_live(struct sp_engine *engine);
/* Prove a token: *ret_token is set, or decision says why not (uniformly, until the tag holds).
 * Life is judged here too, unless any_life is set. */
bool token_prove(struct sp_engine *engine, struct sp_arena *arena, struct sp_text text,
                 bool any_life, struct sp_token *ret_parsed, struct live_token **ret_token,
                 struct sp_decision *decision);
/* Whose it is, for a record: root, principal, scope. */
void record_token(struct sp_buf *buf, const struct live_token *token);
/* An answer to a call of its held that key: whether it is suspended by that. */
bool token_hit(struct sp_engine *engine, struct live_token *token, struct sp_text key);
/* Expired, suspended, or behind the clock? False: decision says so. */
bool token_lives(struct sp_engine *engine, struct live_token *token,
                 struct sp_decision *decision);
/* The parsed caveats of a proven token; NULL where one cannot be read. */
const struct chain *token_chain(struct sp_engine *engine, const struct sp_token *token);

/* ---- judging (engine_judge.c) ---------------------------------------------------------------
 */

struct judged {
    struct live_token *token;
    struct key_version *key;
    struct sp_rate_use uses[USES_MAX];
    size_t n_uses;
    struct sp_budget_use budgets[BUDGETS_MAX]; /* taken with the intent, in one transaction */
    size_t n_budgets;
    const struct sp_redaction *redactions; /* of all scopes and caveats; in the call's arena */
    size_t n_redactions;
    uint64_t until_ms; /* the earliest of the caveats' ends, wall time; 0: none */
};
/* Everything up to, and without, the rates. decision->code is OK where the call may be made. */
void judge(struct sp_engine *engine, struct sp_call *call, struct judged *ret_judged,
           struct sp_decision *ret_decision);
/* Whether a key's settings are what the scope insists on; else the decision says which is not.
 */
bool judge_insists(const struct sp_scope *scope, const struct key_version *key,
                   struct sp_decision *decision);
/* The rates: false, and decision says how long to wait. */
bool judge_rates(struct sp_engine *engine, const struct judged *judged, bool take,
                 int64_t now_ms, struct sp_decision *decision);
void record_budgets(struct sp_buf *buf, const struct judged *judged);
/* From the last records of the audit: admissions go back into the rates, and tokens that were
 * revoked or suspended are that, whatever the store says. */
sp_status audit_replay(struct sp_engine *engine, struct sp_error *err);
void record_uses(struct sp_buf *buf, const struct judged *judged);

#endif
