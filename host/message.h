/* sp_message: the requests and replies of both sockets, typed.
 *
 * One table (sp_message_ops) says which operations a socket has and which fields each takes;
 * the reader's refusals and docs/protocol.md come from it. Texts of a message that was read are
 * borrowed from the bytes it was read from, and those hold tokens and secrets: the front end
 * that received them wipes them (sodium_memzero) once the answer is sent, and the reply buffer
 * too, which may hold a fresh token. Nothing here copies a token or a secret anywhere else.
 */
#ifndef SP_MESSAGE_H
#define SP_MESSAGE_H

#include "canonical.h"
#include "engine.h"
#include "lease.h"
#include "proxy.h"
#include "wire.h"

enum {
    SP_PROTOCOL_VERSION = 1,
    SP_MESSAGE_ID_MAX_BYTES = 64,
    SP_MESSAGE_FIELDS_MAX = 16, /* of one operation, the common ones included */
    SP_MESSAGE_CREDIT = 16,     /* of a stream whose client named none */
    SP_MESSAGE_CREDIT_MAX = 4096,
};

enum sp_op {
    SP_OP_ISSUE,
    SP_OP_PROXY,
    SP_OP_CREDIT, /* of a stream, which `proxy` began; answered by the stream itself */
    SP_OP_CANCEL,
    SP_OP_CHECK,
    SP_OP_INSPECT,
    SP_OP_REVOKE,
    SP_OP_STATUS, /* on both sockets */
    SP_OP_UNSEAL, /* from here on: the administration socket's */
    SP_OP_SEAL,
    SP_OP_KEY_CHECK,
    SP_OP_KEY_ADD,
    SP_OP_KEY_ROTATE,
    SP_OP_KEY_SET,
    SP_OP_KEY_LIST,
    SP_OP_KEY_SHOW,
    SP_OP_KEY_REMOVE,
    SP_OP_KEY_TEST,
    SP_OP_KEY_ROTATE_UPSTREAM,
    SP_OP_CLIENT_ADD,
    SP_OP_CLIENT_LIST,
    SP_OP_CLIENT_REMOVE,
    SP_OP_TOKEN_LIST,
    SP_OP_TOKEN_REVOKE,
    SP_OP_TOKEN_RESUME,
    SP_OP_LEASE_LIST,
    SP_OP_LEASE_REVOKE,
    SP_OP_POLICY_RELOAD,
    SP_OP_POLICY_SHOW,
    SP_OP_PLUGIN_LIST,
    SP_OP_AUDIT_HEAD,
    SP_OP_BACKUP,
    SP_OP_RELOAD,
    SP_OP_COUNT,
};

/* The sockets, as bits. */
enum sp_door { SP_DOOR_CLIENT = 1, SP_DOOR_ADMIN = 2 };

struct sp_message_field {
    const char *name;
    unsigned kinds; /* SP_WIRE_IS bits */
    bool required;
    uint32_t min_bytes, max_bytes; /* of STR and BIN; max 0: the message's own limit */
    const char *meaning;           /* one line, for the documentation */
};
struct sp_message_op {
    const char *name;
    unsigned doors;
    const char *summary;
    const struct sp_message_field *fields; /* besides v, op and, on the client socket, id */
    size_t n_fields;
    /* The reply's fields besides v, ok and id: "status, body, replayed?"; with '?': not always.
     */
    const char *reply;
};
extern const struct sp_message_op sp_message_ops[SP_OP_COUNT];
/* v, op, id: the last is the client socket's only (there is an `id` of keys on the other). */
extern const struct sp_message_field sp_message_common[3];
/* The fields of the JSON scope form. */
extern const struct sp_message_field sp_message_scope_fields[6];

/* ---- requests ------------------------------------------------------------------------------
 */

struct sp_message_call { /* proxy, check */
    struct sp_text token, key;
    struct sp_raw_request raw;
    bool stream;     /* the answer may come in several messages; then there is an id */
    uint32_t credit; /* how many of them to begin with */
};
struct sp_message_token { /* inspect, revoke, token.* */
    struct sp_text token; /* .ptr NULL: root is given */
    uint8_t root[SP_TOKEN_ID_BYTES];
};
struct sp_message_key { /* key.* */
    struct sp_text id, provider;
    const struct sp_key_setting *settings;
    size_t n_settings;
    const struct sp_key_setting *secrets; /* name and plaintext, in the message itself */
    size_t n_secrets;
    const struct sp_text *unset; /* key.set: names of settings that go */
    size_t n_unset;
    struct sp_text url; /* key.test; empty: the root of the key's host */
};
struct sp_message_lease { /* lease.revoke: exactly one of them */
    bool has_id, all;
    uint8_t id[SP_LEASE_ID_BYTES];
    struct sp_text key; /* .ptr NULL: not given */
};
struct sp_message_client { /* client.* */
    struct sp_text name, curve;
    bool admin;
};
struct sp_message {
    enum sp_op op;
    struct sp_text id; /* the request's; empty: none */
    union {
        struct sp_issue issue; /* all but curve, which the front end proves */
        struct sp_message_call call;
        struct sp_message_token token;
        struct sp_message_key key;
        struct sp_message_client client;
        struct sp_message_lease lease;
        uint32_t credit;       /* credit: how many more */
        struct sp_text secret; /* unseal */
        struct sp_text path;   /* backup */
    } as;
};

/* Read one request of that socket. True: *ret_message is whole. False: *ret_refusal is what to
 * answer (sp_message_put_error), and of *ret_message only the id is set, where it was readable.
 */
bool sp_message_read(struct sp_arena *arena, enum sp_door door, struct sp_text bytes,
                     struct sp_message *ret_message, struct sp_decision *ret_refusal);

/* ---- replies -------------------------------------------------------------------------------
 */

/* {v:1, ok:true, id?} and room for n_more pairs, which the caller puts. */
void sp_message_put_ok(struct sp_buf *buf, struct sp_text id, size_t n_more);
/* {v:1, ok:false, id?, error:{code, reason, rule, hint, retryable, retry_after_ms?}} */
void sp_message_put_error(struct sp_buf *buf, struct sp_text id,
                          const struct sp_decision *decision);
/* The same from a code and texts for people; detail (many lines, such as a compiler's
 * diagnostics) becomes error.detail, unless it is empty. */
void sp_message_put_failure(struct sp_buf *buf, struct sp_text id, enum sp_code code,
                            const char *reason, const char *hint, struct sp_text detail);
/* The code for an operation's failed status. */
enum sp_code sp_message_code(enum sp_op op, sp_status status);

void sp_message_put_issued(struct sp_buf *buf, struct sp_text id,
                           const struct sp_issued *issued, int64_t now_ms);
/* The verdict of check: ok:true whether it is allowed or not. */
void sp_message_put_check(struct sp_buf *buf, struct sp_text id,
                          const struct sp_decision *decision);
/* How a proxied call ended: refusal, upstream's answer, or the stored answer once more. With an
 * empty id this is the form to store where the id is not known. */
void sp_message_put_proxied(struct sp_buf *buf, struct sp_text id,
                            const struct sp_proxied *result);
/* An answer in several messages: its head (result->reply; no body), parts numbered from 0, and
 * the end: how many parts and bytes there were. It breaks off with sp_message_put_error.
 * `alive` says that there is nothing to say: seq is the next part's number. */
void sp_message_put_stream_head(struct sp_buf *buf, struct sp_text id,
                                const struct sp_proxied *result);
void sp_message_put_stream_part(struct sp_buf *buf, struct sp_text id, uint64_t seq,
                                struct sp_text bytes);
void sp_message_put_stream_alive(struct sp_buf *buf, struct sp_text id, uint64_t seq);
void sp_message_put_stream_end(struct sp_buf *buf, struct sp_text id, uint64_t seq,
                               uint64_t n_bytes, const struct sp_header *trailers,
                               size_t n_trailers);
/* A stored answer (of sp_message_put_proxied) for a repeated request: with this id and
 * replayed:true. SP_ECORRUPT, with buf untouched, where stored is none of ours. */
sp_status sp_message_put_stored(struct sp_buf *buf, struct sp_text id, struct sp_text stored);
void sp_message_put_view(struct sp_buf *buf, struct sp_text id,
                         const struct sp_token_view *view);
void sp_message_put_revoked(struct sp_buf *buf, struct sp_text id,
                            const uint8_t root[SP_TOKEN_ID_BYTES]);

struct sp_message_status {
    const char *version; /* sallyport's own */
    const struct sp_engine_status *engine;
    /* What follows is told to administrators only. */
    bool zap_healthy;
    uint64_t handshakes_allowed, handshakes_refused, messages_refused;
    uint64_t calls_in_flight;
    int64_t started_ms;
    const char *policy_error; /* why the last reload was refused; empty: it was not */
    /* Scopes of the policy in force that refuse every call: a key is not what they insist on.
     */
    const struct sp_text *held;
    size_t n_held;
    const char *const *http; /* where the HTTP front door listens */
    size_t n_http;
    uint64_t http_connections;
};
void sp_message_put_status(struct sp_buf *buf, struct sp_text id, enum sp_door door,
                           const struct sp_message_status *status);
void sp_message_put_head(struct sp_buf *buf, const struct sp_head *head);
/* key.show: hosts, settings and the names of the secrets, never a secret. */
void sp_message_put_key(struct sp_buf *buf, const struct sp_key *key);

/* A reply that is a list, whose length is known only at its end. */
struct sp_message_list {
    struct sp_buf items;
    size_t n;
};
void sp_message_list_init(struct sp_message_list *list, size_t cap_bytes);
void sp_message_list_key(struct sp_message_list *list, const struct sp_key *key);
void sp_message_list_client(struct sp_message_list *list, const struct sp_client_info *info);
void sp_message_list_token(struct sp_message_list *list, const struct sp_token_view *view);
void sp_message_list_lease(struct sp_message_list *list, const struct sp_lease *lease);
void sp_message_list_plugin(struct sp_message_list *list, const struct sp_provider *provider);
void sp_message_list_scope(struct sp_message_list *list, struct sp_text name,
                           struct sp_text text);
/* {v:1, ok:true, NAME: [items]}; frees the list. */
void sp_message_list_end(struct sp_message_list *list, struct sp_buf *buf, const char *name);

#endif
