/* Inside of leases: leases.c (life, what is due), leases_call.c (calls that need one),
 * leases_mint.c and leases_end.c. */
#ifndef SP_LEASES_INNER_H
#define SP_LEASES_INNER_H

#include "hook_perform.h"
#include "leases.h"

enum {
    LEASES_TRIES_MAX = 4, /* of one call, to find a lease that lives until it is taken */
    LEASES_VIEW_MAX_BYTES = 2 << 20,
    LEASES_MARGIN_MAX_MS = 60000, /* a credential is not used in the last minute of its life */
};

/* One call that waits for a lease. */
struct taking {
    struct sp_leases *leases;
    struct sp_ticket *ticket; /* NULL: an administrator's */
    const struct sp_key *key; /* the caller's reference */
    const struct sp_scope *scope;
    struct sp_text words;   /* of one without a ticket; its own */
    struct sp_lease *lease; /* that it is about to use */
    unsigned n_tries;
    sp_leased_fn leased;
    void *user;
    struct taking *next;
};

/* A minting for one key version and set of permissions; after a failure it rests. */
struct mint {
    struct sp_leases *leases;
    char key_id[SP_NAME_MAX_BYTES + 1];
    uint32_t key_version;
    const struct sp_key *key; /* while it goes: one that rests holds no secrets */
    struct sp_text words;     /* its own */
    struct sp_arena arena;    /* the key's view, and the words one by one */
    struct sp_lease *lease;
    struct sp_hook_context *context; /* while the hook runs; NULL */
    struct sp_lease_ask ask;
    struct taking *waiting;
    bool going, renews; /* renews: there is a lease, which is about to end */
    bool queued;        /* going, but behind another minting with this key */
    unsigned n_failures;
    int64_t rest_until_ms;
    struct sp_error failure;
    struct mint *next;
};

/* One lease on its way out. */
struct ending {
    struct sp_leases *leases;
    struct sp_lease *lease;   /* NULL: it is gone */
    const struct sp_key *key; /* while the hook runs */
    struct sp_arena arena;
    struct sp_hook_context *context; /* while the hook runs; NULL */
    struct sp_lease_ask ask;
    bool busy;
    unsigned n_failures;
    int64_t retry_ms;
    struct ending *next;
};

struct removal {
    char key[SP_NAME_MAX_BYTES + 1];
    int64_t until_ms;
    void (*done)(void *user);
    void *user;
    struct removal *next;
};

struct sp_leases {
    struct sp_leases_config config;
    struct mint *mints;
    struct ending *endings;
    struct removal *removals;
    struct rotation *rotations;
    struct sp_leases_figures figures;
    bool stopped;
};

/* ---- leases.c ------------------------------------------------------------------------------
 */

extern const struct sp_error leases_stopping, leases_no_memory;
int64_t leases_backoff_ms(unsigned n_failures);
/* Whether a call may still begin with it; whether it is time to renew it. */
bool lease_is_fresh(const struct sp_lease *lease, int64_t now_ms);
bool lease_is_due(const struct sp_lease *lease, int64_t now_ms);
void lease_say(const struct sp_leases *leases, enum sp_log_level level, const char *event,
               const struct sp_lease *lease, const char *reason);
/* NULL, and err says so, where it is not loaded or mints nothing. */
struct sp_provider *leases_provider(const struct sp_leases *leases, struct sp_text id,
                                    enum sp_lease_kind kind, struct sp_error *err);
/* Permissions as one text, with blanks between them; the caller frees it. */
sp_status words_join(const struct sp_text *words, size_t n, struct sp_text *ret_joined);
/* And one by one, in the arena; they borrow from text. */
sp_status words_split(struct sp_arena *arena, struct sp_text text, struct sp_lease_ask *ask);
/* NULL: out of memory. */
struct sp_hook_context *hook_begin(struct sp_leases *leases, const struct sp_provider *provider,
                                   struct sp_lease *lease, const struct sp_key *key);

/* ---- leases_call.c -------------------------------------------------------------------------
 */

/* Look again for a lease; ends the taking, or lets it wait. */
void taking_step(struct taking *t);
/* lease NULL: err says why there is none. */
void taking_end(struct taking *t, struct sp_lease *lease, const struct sp_error *err);

/* ---- leases_mint.c -------------------------------------------------------------------------
 */

/* Wait for the minting of these words, which is begun where there is none. */
void mint_join(struct taking *t, struct sp_text words);
/* The minting for that key version and those words; NULL: none yet. */
struct mint *mint_find(const struct sp_leases *leases, const struct sp_key *key,
                       struct sp_text words);
struct mint *mint_new(struct sp_leases *leases, const struct sp_key *key, struct sp_text words);
void mint_go(struct mint *mint, const struct sp_key *key);
void mint_unlist(struct mint *mint);
void mint_free(struct mint *mint);

/* ---- leases_rotate.c -----------------------------------------------------------------------
 */

/* A LIVE rotation that nobody works at is tried, if it is time. */
void rotation_look(struct sp_leases *leases, struct sp_lease *lease, int64_t now_ms);
void rotations_stop(struct sp_leases *leases);

/* ---- leases_end.c --------------------------------------------------------------------------
 */

/* NULL where memory is short. */
struct ending *ending_of(struct sp_leases *leases, struct sp_lease *lease);
void ending_free(struct ending *ending);
/* No call takes it any more; once that is durable it is ended upstream. */
void lease_end_now(struct sp_leases *leases, struct sp_lease *lease, const char *why,
                   struct sp_text by);
/* Try again, if it is time. */
void lease_push_out(struct sp_leases *leases, struct sp_lease *lease, int64_t now);

#endif
