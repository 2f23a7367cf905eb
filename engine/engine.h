/* sp_engine: keys, tokens, limits, audit and store behind one door.
 *
 * The host owns one engine and calls it from its loop thread only. Nothing here blocks on the
 * disk: what has to be durable is handed to the commit thread, which calls config.wake when
 * results wait; the host then calls sp_engine_poll on the loop thread, and the callbacks run
 * from there (or, for refusals that need no disk, before the call returns). Each callback is
 * called exactly once. Texts given to callbacks are borrowed for the call.
 *
 * The order of one proxied call: sp_engine_begin (token, binding, life, key, scope, rates,
 * then the durable intent) -> the host places the key and sends -> sp_engine_finish (outcome).
 */
#ifndef SP_ENGINE_H
#define SP_ENGINE_H

#include "clock.h"
#include "code.h"
#include "grant.h"
#include "keyring.h"
#include "policy.h"
#include "secret.h"
#include "times.h"
#include "token.h"

struct sp_engine;
struct sp_decision;

/* ---- life ----------------------------------------------------------------------------------
 */

struct sp_engine_config {
    const char *dir; /* the state folder: store.db and audit/ */
    struct sp_clock clock;
    uint64_t audit_rotate_bytes; /* 64 MiB by default */
    uint64_t ttl_default_ms;     /* for scopes without a ttl: 1 h */
    uint64_t ttl_max_ms;         /* no token lives longer: 24 h */
    size_t answer_max_bytes;     /* stored answers of requests with an id: 1 MiB */
    size_t queue_max;            /* of the commit thread */
    /* Judge request->body by its headers: set body_kind, body_value, body_reason. Called at
     * most once for a request, and only where a rule reads the body. */
    void (*judge_body)(struct sp_arena *arena, struct sp_request *request);
    void (*wake)(void *user); /* any thread */
    void *user;
};

/* Make a new state folder's store: schema, keyring, the first administrator's CURVE key.
 * SP_EEXIST where there is a store already. Used by `sallyport init`, without a host. */
sp_status sp_engine_create(const char *dir, enum sp_seal_kind kind, struct sp_text unseal,
                           struct sp_text admin_curve, struct sp_error *err);

/* Open store and audit, check them against each other, load clients and tokens; sealed. If the
 * audit's head disagrees, the engine opens as FAILED and cannot be unsealed. */
sp_status sp_engine_open(const struct sp_engine_config *config, struct sp_engine **ret_engine,
                         struct sp_error *err);
/* Finishes queued work; callbacks run from here. */
void sp_engine_close(struct sp_engine *engine);
/* Run callbacks of finished work. After every wake. Returns how many ran. */
size_t sp_engine_poll(struct sp_engine *engine);
/* Begin the work that was asked for since: what one turn of the loop asks for is written as one
 * batch. Before the loop sleeps; sp_engine_poll does it as well. */
void sp_engine_kick(struct sp_engine *engine);
/* Housekeeping: purge what expired, keep the clock's high-water mark. About once a second. */
void sp_engine_tick(struct sp_engine *engine);

enum sp_engine_state { SP_ENGINE_SEALED, SP_ENGINE_READY, SP_ENGINE_FAILED };
enum sp_engine_state sp_engine_state(const struct sp_engine *engine);

struct sp_engine_status {
    enum sp_engine_state state;
    enum sp_seal_kind seal;
    char reason[256]; /* FAILED: why; else empty */
    bool memory_locked;
    bool writes; /* the audit and the store take writes */
    uint64_t n_keys, n_clients, n_scopes, n_tokens, n_calls_open;
    uint64_t audit_seq;
};
void sp_engine_status(struct sp_engine *engine, struct sp_engine_status *ret_status);

/* For monitors, besides. It looks at each token, so it is not for every call. */
struct sp_engine_figures {
    uint64_t n_tokens_live; /* of n_tokens: neither revoked nor expired */
    size_t n_jobs_waiting;  /* for the thread that writes */
    uint64_t audit_lag_ms;  /* the age of the oldest record that is not durable yet */
    struct sp_times syncs;  /* of the audit */
    const uint64_t *sync_bounds;
};
void sp_engine_figures(struct sp_engine *engine, struct sp_engine_figures *ret_figures);

/* The audit's last record, as the store will hold it. */
void sp_engine_head(struct sp_engine *engine, struct sp_head *ret_head);

/* Generic completion. */
typedef void (*sp_engine_done)(void *user, sp_status status, const struct sp_error *err);

/* unseal is wiped by the engine once it was used (it takes the secret over). */
void sp_engine_unseal(struct sp_engine *engine, struct sp_secret *unseal, sp_engine_done done,
                      void *user);
/* The host's own certificate authority (host/ca.h), sealed in the store: PEM, .ptr NULL where
 * there is none, or while sealed. It is put once: SP_EEXIST. The secret is taken over. */
struct sp_text sp_engine_authority(const struct sp_engine *engine);
void sp_engine_authority_put(struct sp_engine *engine, struct sp_secret *pem,
                             sp_engine_done done, void *user);

/* The engine's pool, for secrets on their way in. */
struct sp_pool *sp_engine_pool(struct sp_engine *engine);
/* Drop all plaintext; calls in flight finish, new ones are refused. */
void sp_engine_seal(struct sp_engine *engine);

/* ---- who is who ----------------------------------------------------------------------------
 */

enum sp_role { SP_ROLE_NONE, SP_ROLE_CLIENT, SP_ROLE_PRINCIPAL, SP_ROLE_ADMIN };
/* What a CURVE key (Z85) may be. Roles of a policy and of the store are united; a key may
 * stand in only one of them. */
enum sp_role sp_engine_role(const struct sp_engine *engine, struct sp_text curve,
                            struct sp_text *ret_name);
/* Every known CURVE key, for the ZAP handler. */
void sp_engine_each_curve(const struct sp_engine *engine,
                          void (*fn)(void *user, struct sp_text curve, enum sp_role role),
                          void *user);

/* What the policy compiler asks about registered keys. Valid until the next engine call. */
void sp_engine_world(struct sp_engine *engine, struct sp_world *ret_world);
/* Take over a compiled policy whole, or refuse it and keep the old one: SP_EINVAL where its
 * clients clash with those of the store. Audited, with what changes against the policy before,
 * where the caller knows it (else NULL). Live tokens keep their frozen scopes. */
sp_status sp_engine_set_policy(struct sp_engine *engine, struct sp_policy *policy,
                               const struct sp_policy_changes *changes, struct sp_error *err);
/* The policy in force, until the next set_policy; NULL: none yet. */
const struct sp_policy *sp_engine_policy(const struct sp_engine *engine);

/* Whether all keys of the scope that are here are what it insists on, now; else the decision
 * says which is not. Issue and calls ask the same again. */
bool sp_engine_insists(const struct sp_engine *engine, const struct sp_scope *scope,
                       struct sp_decision *ret_decision);

/* The scopes of the policy in force. */
void sp_engine_each_scope(const struct sp_engine *engine,
                          void (*fn)(void *user, const struct sp_scope *scope), void *user);

/* ---- keys ----------------------------------------------------------------------------------
 */

struct sp_key_setting {
    struct sp_text name, value;
};
struct sp_key_secret {
    struct sp_text name;
    struct sp_secret value; /* ptr NULL while sealed */
};
struct sp_key { /* one version of a registered key; immutable; counted */
    struct sp_text id, provider;
    uint32_t version;
    /* The version that an administrator made last: those after it differ in secrets that the
     * upstream replaced (sp_engine_key_refresh), and what was minted with one of them is good
     * with all. */
    uint32_t since;
    const struct sp_text *hosts;
    size_t n_hosts;
    const struct sp_key_setting *settings;
    size_t n_settings;
    const struct sp_key_secret *secrets;
    size_t n_secrets;
    int64_t created_ms, rotated_ms;
};
/* The key as it stands now, with a reference; NULL where unknown. Secrets are there while
 * unsealed. */
const struct sp_key *sp_engine_key(struct sp_engine *engine, struct sp_text id);
void sp_key_ref(const struct sp_key *key);
void sp_key_unref(struct sp_engine *engine, const struct sp_key *key);
/* Whether the key was registered for that host (canonical); it goes to no other. */
bool sp_key_covers(const struct sp_key *key, struct sp_text host);
void sp_engine_each_key(struct sp_engine *engine,
                        void (*fn)(void *user, const struct sp_key *key), void *user);

struct sp_key_input {
    struct sp_text id, provider;
    const struct sp_text *hosts; /* canonical, as the provider's check named them */
    size_t n_hosts;
    const struct sp_key_setting *settings;
    size_t n_settings;
    struct sp_key_secret *secrets; /* taken over: wiped or kept by the engine */
    size_t n_secrets;
};
/* by: the administrator's name, for the audit. SP_EEXIST, SP_ESEALED, SP_EINVAL. */
void sp_engine_key_add(struct sp_engine *engine, const struct sp_key_input *input,
                       struct sp_text by, sp_engine_done done, void *user);
/* New secrets (and settings) for the same id; hosts and provider stay; tokens are untouched. */
void sp_engine_key_rotate(struct sp_engine *engine, const struct sp_key_input *input,
                          struct sp_text by, sp_engine_done done, void *user);
/* Other settings for a key, whose secrets (input's copies of them) and hosts stay. It is
 * another version, but not a rotation. */
void sp_engine_key_set(struct sp_engine *engine, const struct sp_key_input *input,
                       struct sp_text by, sp_engine_done done, void *user);
/* The upstream replaced secrets of the key, in an answer to a request of that lease's: they are
 * its next version, and leases stay. Input as for a rotation. SP_EEXIST: another change of the
 * key came first; look at it and try again. */
void sp_engine_key_refresh(struct sp_engine *engine, const struct sp_key_input *input,
                           struct sp_text lease, sp_engine_done done, void *user);
void sp_engine_key_remove(struct sp_engine *engine, struct sp_text id, struct sp_text by,
                          sp_engine_done done, void *user);

/* Record that an administrator is about to use a key himself (`key test`); done: it is durable,
 * and the key may be used. SP_ENOENT, SP_ESEALED. */
void sp_engine_key_tested(struct sp_engine *engine, struct sp_text id, struct sp_text by,
                          sp_engine_done done, void *user);

/* ---- clients -------------------------------------------------------------------------------
 */

void sp_engine_client_add(struct sp_engine *engine, struct sp_text name, struct sp_text curve,
                          bool admin, struct sp_text by, sp_engine_done done, void *user);
void sp_engine_client_remove(struct sp_engine *engine, struct sp_text name, struct sp_text by,
                             sp_engine_done done, void *user);
struct sp_client_info {
    struct sp_text name, curve;
    enum sp_role role;
    bool from_policy;
};
void sp_engine_each_client(const struct sp_engine *engine,
                           void (*fn)(void *user, const struct sp_client_info *info),
                           void *user);

/* ---- decisions -----------------------------------------------------------------------------
 */

/* Why not, or that it may. All texts are in the decision itself. */
struct sp_decision {
    enum sp_code code;                /* SP_CODE_OK: allowed */
    char reason[256];                 /* for people: what failed */
    char rule[SP_NAME_MAX_BYTES + 1]; /* label of the rule that decided or came nearest */
    char hint[256];                   /* what to do about it; may be empty */
    uint64_t retry_after_ms;
    bool observed;                   /* `mode observe` let a denial through */
    uint8_t root[SP_TOKEN_ID_BYTES]; /* set once the token was proven */
    char principal[SP_NAME_MAX_BYTES + 1];
    char scope[SP_NAME_MAX_BYTES + 1];
    char key[SP_NAME_MAX_BYTES + 1]; /* the key that would be used */
};

/* Completes a refusal whose cause is the engine's state: where nothing is written until a
 * restart, SP_CODE_AUDIT_UNAVAILABLE says that in its hint, and to ask seldom. */
void sp_engine_until_when(const struct sp_engine *engine, struct sp_decision *decision);

struct sp_call {
    struct sp_text curve; /* Z85 of the proven peer; empty where nothing is proven (HTTP) */
    struct sp_text peer;  /* for the audit: client's name or address */
    struct sp_text token;
    struct sp_text key;   /* key id that the client asks for; may be empty */
    struct sp_text id;    /* request id, at most 64 bytes; may be empty */
    struct sp_text trace; /* for the audit: the W3C trace-id (host/trace.h); may be empty */
    struct sp_request *request;
    struct sp_arena *arena; /* the request's; both must live until the last callback */
};

/* `check`: the verdict, with nothing taken and nothing sent. */
void sp_engine_check(struct sp_engine *engine, struct sp_call *call,
                     struct sp_decision *ret_decision);

/* Where a call goes whose client names no host (the HTTP front door): to a host of the keys of
 * the token's scope that are of this provider; empty: the scope's keys must all be of one.
 * named is the host that the client believes to speak to: it is taken where a key has it; else
 * the first host of the keys, where they agree on it. Token and binding are judged first
 * (uniformly, as everywhere), life and rules by sp_engine_begin. The host is valid until the
 * next call. */
struct sp_destination {
    struct sp_text provider; /* empty: any */
    struct sp_text named;
};
void sp_engine_route(struct sp_engine *engine, const struct sp_call *call,
                     const struct sp_destination *to, struct sp_decision *ret_decision,
                     struct sp_text *ret_host);

/* Whether anything that has a say about the call may hang on its body: a rule, allow or deny,
 * of scope or caveats that matches host, path and method, or a budget. Else the request may be
 * given to sp_engine_begin with SP_BODY_STREAMED before its body has come. *ret_key: a
 * reference to the key that the call would be made with; NULL where sp_engine_begin will refuse
 * it whatever its body is. */
bool sp_engine_wants_body(struct sp_engine *engine, struct sp_call *call,
                          const struct sp_key **ret_key);

/* ---- proxied calls -------------------------------------------------------------------------
 */

struct sp_ticket; /* one admitted call, from its intent to its outcome */

struct sp_admission {
    const struct sp_decision *decision; /* code OK: send it, or answer holds a stored answer */
    struct sp_ticket *ticket;           /* set where the call is to be made */
    const struct sp_key *key;           /* the ticket's reference */
    const struct sp_scope *scope;       /* the token's frozen scope; lives until finish */
    /* What the answer must not hold: the union of its scope's and all caveats'; in the call's
     * arena. The same request id with others is another request. */
    const struct sp_redaction *redactions;
    size_t n_redactions;
    struct sp_text answer; /* .ptr set: the answer to the same request id, as the
                              host gave it to finish */
};
typedef void (*sp_engine_begun)(void *user, const struct sp_admission *admission);

/* Judge a call and, where it may be made, write its intent. Denials are audited too. With an
 * id that is in flight, the callback comes with the first call's answer when that is there. A
 * body that streams has no hash yet, so there an id is refused. */
void sp_engine_begin(struct sp_engine *engine, struct sp_call *call, sp_engine_begun begun,
                     void *user);

enum sp_outcome_kind {
    SP_OUTCOME_ANSWERED, /* upstream answered; status is its HTTP status */
    SP_OUTCOME_NOT_SENT, /* nothing reached the upstream; a request id may be used again */
    SP_OUTCOME_UNKNOWN,  /* it may have acted */
};
struct sp_outcome {
    enum sp_outcome_kind kind;
    int http_status;
    enum sp_code code;  /* OK, or what went wrong on the way */
    uint64_t bytes_in;  /* of the answer's body */
    uint64_t bytes_out; /* of the request's body, handed over to be sent */
    uint64_t upstream_us;
    bool held_key;         /* the answer held the key: counted against the root token */
    struct sp_text answer; /* stored for the request id, sealed; may be empty */
};
/* Ends the ticket. done may be NULL; it is called when the outcome is durable, or, without a
 * request id and a hit, as soon as it is queued. With the third answer that held the key the
 * root token is suspended, from this call on and through every crash, until sp_engine_resume.
 */
void sp_engine_finish(struct sp_engine *engine, struct sp_ticket *ticket,
                      const struct sp_outcome *outcome, sp_engine_done done, void *user);
/* Whether the ticket's token still lives, asked again right before sending and while the call
 * is under way: SP_CODE_OK, _TOKEN_REVOKED, _TOKEN_EXPIRED (its caveats' `until` included),
 * _TOKEN_SUSPENDED, _CLOCK, _SEALED. */
enum sp_code sp_ticket_life(const struct sp_ticket *ticket);
static inline bool sp_ticket_alive(const struct sp_ticket *ticket)
{
    return sp_ticket_life(ticket) == SP_CODE_OK;
}

/* ---- tokens --------------------------------------------------------------------------------
 */

struct sp_json_scope { /* {allowedKeyIds, allowedProviders, …} as the client sent it */
    const struct sp_text *key_ids, *providers, *methods, *domains;
    size_t n_key_ids, n_providers, n_methods, n_domains;
    uint32_t rate_per_minute; /* 0: not given */
    uint64_t ttl_ms;          /* of expiresIn; 0: not given */
};
struct sp_issue {
    struct sp_text curve; /* who asks */
    struct sp_text scope; /* name; empty with json */
    const struct sp_arg *args;
    size_t n_args;
    uint64_t ttl_ms;                  /* 0: as long as grant and scope allow */
    struct sp_text narrow;            /* caveat text; may be empty */
    struct sp_text bind;              /* Z85 key that alone may use it; may be empty */
    const struct sp_json_scope *json; /* NULL, or the JSON form */
};
struct sp_issued {
    struct sp_text token; /* the only copy; wiped after the callback */
    uint8_t root[SP_TOKEN_ID_BYTES];
    int64_t expires_ms;
    struct sp_text scope;
};
typedef void (*sp_engine_issued)(void *user, const struct sp_decision *decision,
                                 const struct sp_issued *issued /* NULL on refusal */);
void sp_engine_issue(struct sp_engine *engine, const struct sp_issue *issue,
                     sp_engine_issued issued, void *user);

/* What a token may do, for its holder. SP_CODE_OK, or the uniform refusal. */
struct sp_token_view {
    uint8_t root[SP_TOKEN_ID_BYTES];
    struct sp_text principal, scope_name, scope, narrow, bind; /* canonical texts */
    const struct sp_text *caveats; /* of the grant and of the token, in order */
    size_t n_caveats;
    int64_t issued_ms, expires_ms, revoked_ms;
    int64_t suspended_ms;     /* 0: not suspended */
    uint32_t guard_hits;      /* answers that held a key, since it was last resumed */
    struct sp_text guard_key; /* the key that the last of them held */
    bool expired;
};
void sp_engine_inspect(struct sp_engine *engine, struct sp_arena *arena, struct sp_text curve,
                       struct sp_text token, struct sp_decision *ret_decision,
                       struct sp_token_view *ret_view);

/* Revoke: by the token itself (whoever holds it may), or by root id (its principal, or an
 * administrator: as_admin). From this call on nothing more starts; done comes when a crash
 * cannot undo it. Where it could not be written, err says that it holds until a restart.
 * SP_ENOENT, SP_EDENIED, SP_ECRYPTO, SP_EIO. */
void sp_engine_revoke(struct sp_engine *engine, struct sp_text curve, bool as_admin,
                      struct sp_text token, const uint8_t *root, sp_engine_done done,
                      void *user);
/* Lift a suspension, and count from zero again; where there is none the count alone is lost.
 * by: the administrator's name. SP_ENOENT. */
void sp_engine_resume(struct sp_engine *engine, const uint8_t root[SP_TOKEN_ID_BYTES],
                      struct sp_text by, sp_engine_done done, void *user);
void sp_engine_each_token(struct sp_engine *engine,
                          void (*fn)(void *user, const struct sp_token_view *view), void *user);

/* ---- other ---------------------------------------------------------------------------------
 */

/* A consistent copy of the store (online). */
void sp_engine_backup(struct sp_engine *engine, const char *path, struct sp_text by,
                      sp_engine_done done, void *user);
/* Record a refusal from before authentication (malformed message, unknown op …): counted per
 * peer, written at most once a minute for each as one record with the count, never waited for.
 */
void sp_engine_note_refusal(struct sp_engine *engine, struct sp_text peer, enum sp_code code);

#endif
