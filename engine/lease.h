/* sp_lease: credentials that a provider's plugin minted upstream, from before they are asked
 * for until they are gone. The host mints, renews and revokes them (host/leases.h); the engine
 * keeps them: sealed, on record, and counted by the tokens that use them.
 *
 * The order that makes a crash harmless: sp_engine_lease_begin is durable before the upstream
 * is asked, sp_engine_lease_live before what it gave is used, sp_ticket_lease_use before a
 * token uses it, and sp_engine_lease_end before it is revoked. What is found half-way at a
 * start is ENDING: it is revoked, as far as we hold it.
 *
 * Tokens share a lease where their scopes need the same permissions of the same key version.
 * Loop thread only; callbacks as in engine.h.
 */
#ifndef SP_LEASE_H
#define SP_LEASE_H

#include "engine.h"
#include "store.h"

enum {
    SP_LEASE_ID_BYTES = 16,
    SP_LEASE_ID_HEX_BYTES = 2 * SP_LEASE_ID_BYTES,
    SP_LEASE_WORDS_MAX_BYTES = 60 << 10, /* permissions, joined by blanks */
};

struct sp_lease { /* read-only outside of the engine */
    enum sp_lease_kind kind;
    uint8_t id[SP_LEASE_ID_BYTES];
    char hex[SP_LEASE_ID_HEX_BYTES + 1];
    char key[SP_NAME_MAX_BYTES + 1], provider[SP_NAME_MAX_BYTES + 1];
    uint32_t key_version; /* the key's `since` */
    struct sp_text words; /* permissions, sorted, joined by blanks */
    enum sp_lease_state state;
    int64_t made_ms, expires_ms; /* wall time; expires 0: never by itself */
    int64_t used_ms;             /* when a call last took it; 0: not since the start */
    size_t n_tokens;             /* that may use it, as far as is known */
    size_t n_calls;              /* under way with it */
    bool held;                   /* its secrets are here: not minting, and not sealed */
};

/* ---- what a call needs ---------------------------------------------------------------------
 */

/* What is known of the call's token: ret_words.ptr NULL: nothing; the permissions it needs of
 * the call's key; and the LIVE lease that it uses, or NULL. */
void sp_ticket_lease(const struct sp_ticket *ticket, struct sp_text *ret_words,
                     struct sp_lease **ret_lease);
/* Remember the permissions. SP_ENOMEM. */
sp_status sp_ticket_lease_words(struct sp_ticket *ticket, struct sp_text words);
/* From now on the call's token uses the lease; done: that is durable. SP_ENOENT: it is LIVE no
 * more. */
void sp_ticket_lease_use(struct sp_ticket *ticket, struct sp_lease *lease, sp_engine_done done,
                         void *user);

/* The key with the secrets of the lease in it, as `lease.NAME`: the version that stands now. Of
 * a rotation: while it is LIVE the successor's secrets in place of the key's own, to be tried;
 * once it is ENDING, what is to be ended upstream as `previous.NAME`.
 * With a reference (sp_key_unref); NULL where it is sealed, gone, or memory is short. What was
 * never captured is not in it. */
const struct sp_key *sp_lease_key(struct sp_engine *engine, struct sp_lease *lease);
/* A call begins and ends with it; a lease lives while somebody holds it. */
void sp_lease_hold(struct sp_engine *engine, struct sp_lease *lease);
void sp_lease_release(struct sp_engine *engine, struct sp_lease *lease);

/* ---- the life of one -----------------------------------------------------------------------
 */

/* The LIVE lease of that key version with these permissions that was made last; NULL. */
struct sp_lease *sp_engine_lease_find(struct sp_engine *engine, const struct sp_key *key,
                                      struct sp_text words);
/* NULL where there is none of that id. */
struct sp_lease *sp_engine_lease_by_id(struct sp_engine *engine,
                                       const uint8_t id[SP_LEASE_ID_BYTES]);
/* fn may end or forget the lease that it is given. */
void sp_engine_each_lease(struct sp_engine *engine,
                          void (*fn)(void *user, struct sp_lease *lease), void *user);

typedef void (*sp_lease_begun)(void *user, sp_status status, struct sp_lease *lease,
                               const struct sp_error *err);
/* A minting is about to be tried. Or a rotation: a successor of the key's secrets is about to
 * be made upstream. by: who asked for that; empty for others. */
void sp_engine_lease_begin(struct sp_engine *engine, const struct sp_key *key,
                           enum sp_lease_kind kind, struct sp_text words, struct sp_text by,
                           sp_lease_begun begun, void *user);
/* The successor that a LIVE rotation holds is good: input, which has it, is the key's next
 * version, and the rotation holds the secrets that it replaced, ENDING; both at once or
 * neither. SP_EEXIST: another change of the key came first. */
void sp_engine_lease_succeed(struct sp_engine *engine, struct sp_lease *lease,
                             const struct sp_key_input *input, sp_engine_done done, void *user);
/* It was minted. The secrets are taken over, whatever comes of it; their names come without
 * `lease.`. life_ms counts from its beginning; 0: it does not end by itself. */
void sp_engine_lease_live(struct sp_engine *engine, struct sp_lease *lease,
                          struct sp_key_secret *secrets, size_t n_secrets, uint64_t life_ms,
                          sp_engine_done done, void *user);
/* Nobody is to use it any more: at once in memory, durable when done is called. why: for the
 * audit. done may be NULL. */
void sp_engine_lease_end(struct sp_engine *engine, struct sp_lease *lease, const char *why,
                         struct sp_text by, sp_engine_done done, void *user);
/* It is gone upstream, or nothing more can be done; how: for the audit. The lease is not to be
 * used after this. */
void sp_engine_lease_gone(struct sp_engine *engine, struct sp_lease *lease, const char *how,
                          sp_engine_done done, void *user);
/* A request of a hook's, on record before it is sent. */
void sp_engine_lease_http(struct sp_engine *engine, const struct sp_lease *lease,
                          const struct sp_request *request, sp_engine_done done, void *user);

/* Whether a token that lives uses it; those that do not are forgotten. A fresh one is wanted by
 * who had it minted. */
bool sp_lease_is_wanted(struct sp_engine *engine, struct sp_lease *lease);

#endif
