#include "message.h"

enum {
    STR = SP_WIRE_IS(SP_WIRE_STR),
    BIN = SP_WIRE_IS(SP_WIRE_BIN),
    INT = SP_WIRE_IS(SP_WIRE_INT),
    BOOL = SP_WIRE_IS(SP_WIRE_BOOL),
    MAP = SP_WIRE_IS(SP_WIRE_MAP),
    ARRAY = SP_WIRE_IS(SP_WIRE_ARRAY),
};

enum {
    NAME = SP_NAME_MAX_BYTES,
    ROOT = 2 * SP_TOKEN_ID_BYTES,
    CURVE = 40,
    DURATION = 16,
    PATH = 1023,
};

const struct sp_message_field sp_message_common[3] = {
    {"v", INT, true, 0, 0, "version of the protocol: 1"},
    {"op", STR, true, 1, 32, "the operation"},
    {"id", STR, false, 1, SP_MESSAGE_ID_MAX_BYTES,
     "client socket only: comes back in the reply; makes `proxy` repeatable"},
};

const struct sp_message_field sp_message_scope_fields[6] = {
    {"allowedKeyIds", ARRAY, true, 1, NAME, "key ids (array of str)"},
    {"allowedProviders", ARRAY, false, 1, NAME, "each key's provider must be one of them"},
    {"allowedMethods", ARRAY, true, 1, NAME, "methods, in upper case"},
    {"allowedDomains", ARRAY, true, 1, SP_HOST_MAX_BYTES + 1, "host names; all their paths"},
    {"rateLimitPerMinute", INT, false, 0, 0, "at most so many calls in any 60 s; 1 or more"},
    {"expiresIn", STR | INT, false, 1, DURATION, "life: \"4h\", or whole seconds"},
};

static const struct sp_message_field issue_fields[] = {
    {"scope", STR | MAP, true, 1, NAME, "a scope's name, or the JSON scope form as a map"},
    {"args", MAP, false, 0, 1024, "the scope's parameters (str to str)"},
    {"ttl", STR | INT, false, 1, DURATION,
     "life: \"4h\", or whole seconds; unset: the longest"},
    {"narrow", STR, false, 1, SP_CAVEAT_MAX_BYTES, "a caveat: rules that narrow the scope"},
    {"bind", STR, false, CURVE, CURVE, "Z85 CURVE key: only this client may use the token"},
};

/* clang-format off */
#define CALL_FIELDS                                                                            \
    {"token", STR, true, 0, 0, "the token"},                                                   \
    {"method", STR, true, 1, 16, "HTTP method, in upper case"},                                \
    {"url", STR, true, 1, SP_URL_MAX_BYTES, "absolute https URL"},                             \
    {"key", STR, false, 1, NAME, "key id, where the scope has two for this host"},             \
    {"headers", MAP | ARRAY, false, 0, 0, "name to value (str), or array of such pairs"},      \
    {"body", BIN | STR, false, 0, 0, "sent byte for byte"}
/* clang-format on */

static const struct sp_message_field call_fields[] = {CALL_FIELDS};

static const struct sp_message_field proxy_fields[] = {
    CALL_FIELDS,
    {"stream", BOOL, false, 0, 0, "the answer may come in several messages; needs `id`"},
    {"credit", INT, false, 0, 0, "of a stream: how many parts may come unasked; unset: 16"},
};

static const struct sp_message_field credit_fields[] = {
    {"credit", INT, true, 0, 0, "how many parts more may come, 1 to 4096"},
};

static const struct sp_message_field inspect_fields[] = {
    {"token", STR, true, 0, 0, "the token"},
};

static const struct sp_message_field revoke_fields[] = {
    {"token", STR, false, 0, 0, "the token: whoever holds it may revoke it"},
    {"root", STR, false, ROOT, ROOT, "or its root id in hex: its principal may"},
};

static const struct sp_message_field unseal_fields[] = {
    {"secret", BIN | STR, true, 1, 1024, "the passphrase, or the key file's 32 bytes"},
};

static const struct sp_message_field key_add_fields[] = {
    {"id", STR, true, 1, NAME, "the new key's id"},
    {"provider", STR, true, 1, NAME, "the provider's id"},
    {"settings", MAP, false, 0, 8192, "what is no secret (str to str)"},
    {"secrets", MAP, false, 0, SP_SECRET_MAX_BYTES, "what is (str to bin or str)"},
};

static const struct sp_message_field key_rotate_fields[] = {
    {"id", STR, true, 1, NAME, "the key's id"},
    {"settings", MAP, false, 0, 8192, "new settings (str to str); unset: as they are"},
    {"secrets", MAP, true, 0, SP_SECRET_MAX_BYTES, "the new secrets (str to bin or str)"},
};

static const struct sp_message_field key_set_fields[] = {
    {"id", STR, true, 1, NAME, "the key's id"},
    {"settings", MAP, false, 0, 8192, "settings to change (str to str); others stay"},
    {"unset", ARRAY, false, 1, NAME, "names of settings to drop (array of str)"},
};

static const struct sp_message_field key_fields[] = {
    {"id", STR, true, 1, NAME, "the key's id"},
};

static const struct sp_message_field key_test_fields[] = {
    {"id", STR, true, 1, NAME, "the key's id"},
    {"url", STR, false, 1, SP_URL_MAX_BYTES,
     "what to GET, on one of the key's hosts; unset: `/`"},
};

static const struct sp_message_field client_add_fields[] = {
    {"name", STR, true, 1, NAME, "a name for people and the audit"},
    {"curve", STR, true, CURVE, CURVE, "its public CURVE key in Z85"},
    {"admin", BOOL, false, 0, 0, "whether it may administer; unset: it may not"},
};

static const struct sp_message_field client_fields[] = {
    {"name", STR, true, 1, NAME, "the client's name"},
};

static const struct sp_message_field root_fields[] = {
    {"root", STR, true, ROOT, ROOT, "the token's root id in hex"},
};

static const struct sp_message_field lease_fields[] = {
    {"lease", STR, false, ROOT, ROOT, "the lease's id in hex"},
    {"key", STR, false, 1, NAME, "or all leases of that key"},
    {"all", BOOL, false, 0, 0, "or, where it is true, all there are"},
};

static const struct sp_message_field backup_fields[] = {
    {"path", STR, true, 1, PATH, "absolute path of a new file on the host's machine"},
};

#define FIELDS(array) array, sizeof(array) / sizeof *(array)
#define NO_FIELDS NULL, 0
#define KEY_REPLY "id, provider, version, hosts, settings, secrets, created, rotated"
#define POLICY_REPLY "scopes, clients"

const struct sp_message_op sp_message_ops[SP_OP_COUNT] = {
    [SP_OP_ISSUE] = {"issue", SP_DOOR_CLIENT, "Get a token. Principals only.",
                     FIELDS(issue_fields), "token, root, scope, expires, expires_in_ms"},
    [SP_OP_PROXY] = {"proxy", SP_DOOR_CLIENT, "Make one HTTP call with the key.",
                     FIELDS(proxy_fields),
                     "status, headers, body, dropped_headers?, observed?, replayed?, stream?, "
                     "seq?, data?, end?, bytes?, trailers?"},
    [SP_OP_CREDIT] = {"credit", SP_DOOR_CLIENT, "Let more parts of the stream `id` come.",
                      FIELDS(credit_fields), ""},
    [SP_OP_CANCEL] = {"cancel", SP_DOOR_CLIENT,
                      "Break off the stream `id`, or the call that has not answered yet.",
                      NO_FIELDS, ""},
    [SP_OP_CHECK] = {"check", SP_DOOR_CLIENT,
                     "Ask whether `proxy` would let a call through; sends and takes nothing.",
                     FIELDS(call_fields),
                     "allowed, code, reason, rule, hint, key, observed?, retry_after_ms?"},
    [SP_OP_INSPECT] = {"inspect", SP_DOOR_CLIENT, "What a token may do, for its holder.",
                       FIELDS(inspect_fields),
                       "root, principal, scope, scope_text, narrow?, caveats, bind?, issued, "
                       "expires, revoked?, guard_hits?, guard_key?, suspended?, expired"},
    [SP_OP_REVOKE] = {"revoke", SP_DOOR_CLIENT,
                      "Revoke a token and all that were narrowed from it.",
                      FIELDS(revoke_fields), "root"},
    [SP_OP_STATUS] =
        {"status", SP_DOOR_CLIENT | SP_DOOR_ADMIN,
         "Whether the host is ready; to administrators, how it is.", NO_FIELDS,
         "version, protocol, state, ready, seal?, reason?, memory_locked?, writes?, "
         "zap_healthy?, keys?, clients?, scopes?, tokens?, calls_open?, "
         "calls_in_flight?, audit_seq?, handshakes_allowed?, handshakes_refused?, "
         "messages_refused?, started?, policy_error?, policy_held?, http?, http_connections?"},
    [SP_OP_UNSEAL] = {"unseal", SP_DOOR_ADMIN, "Open the seal.", FIELDS(unseal_fields), ""},
    [SP_OP_SEAL] = {"seal", SP_DOOR_ADMIN, "Drop all plaintext keys from memory.", NO_FIELDS,
                    ""},
    [SP_OP_KEY_CHECK] = {"key.check", SP_DOOR_ADMIN,
                         "Ask the provider whether a key could be added so; changes nothing.",
                         FIELDS(key_add_fields), ""},
    [SP_OP_KEY_ADD] = {"key.add", SP_DOOR_ADMIN, "Register an upstream key.",
                       FIELDS(key_add_fields), KEY_REPLY},
    [SP_OP_KEY_ROTATE] = {"key.rotate", SP_DOOR_ADMIN,
                          "Replace a key's secrets; its tokens stay as they are.",
                          FIELDS(key_rotate_fields), KEY_REPLY},
    [SP_OP_KEY_SET] = {"key.set", SP_DOOR_ADMIN,
                       "Change a key's settings; its secrets, hosts and tokens stay.",
                       FIELDS(key_set_fields), KEY_REPLY},
    [SP_OP_KEY_LIST] = {"key.list", SP_DOOR_ADMIN, "The registered keys.", NO_FIELDS, "keys"},
    [SP_OP_KEY_SHOW] = {"key.show", SP_DOOR_ADMIN, "One key, without its secrets.",
                        FIELDS(key_fields), KEY_REPLY},
    [SP_OP_KEY_REMOVE] = {"key.remove", SP_DOOR_ADMIN, "Forget a key.", FIELDS(key_fields), ""},
    [SP_OP_KEY_TEST] = {"key.test", SP_DOOR_ADMIN, "Make one GET with a key; audited.",
                        FIELDS(key_test_fields), "status, accepted"},
    [SP_OP_KEY_ROTATE_UPSTREAM] = {"key.rotate_upstream", SP_DOOR_ADMIN,
                                   "Have the key's plugin replace its secrets upstream; the "
                                   "successor is tried first.",
                                   FIELDS(key_test_fields), KEY_REPLY},
    [SP_OP_CLIENT_ADD] = {"client.add", SP_DOOR_ADMIN, "Let a CURVE key connect.",
                          FIELDS(client_add_fields), ""},
    [SP_OP_CLIENT_LIST] = {"client.list", SP_DOOR_ADMIN, "Who may connect.", NO_FIELDS,
                           "clients"},
    [SP_OP_CLIENT_REMOVE] = {"client.remove", SP_DOOR_ADMIN, "Shut a client out.",
                             FIELDS(client_fields), ""},
    [SP_OP_TOKEN_LIST] = {"token.list", SP_DOOR_ADMIN, "The tokens that the host knows.",
                          NO_FIELDS, "tokens"},
    [SP_OP_TOKEN_REVOKE] = {"token.revoke", SP_DOOR_ADMIN, "Revoke any token.",
                            FIELDS(root_fields), "root"},
    [SP_OP_TOKEN_RESUME] = {"token.resume", SP_DOOR_ADMIN,
                            "Lift a token's suspension, and count from zero again.",
                            FIELDS(root_fields), "root"},
    [SP_OP_LEASE_LIST] = {"lease.list", SP_DOOR_ADMIN,
                          "The credentials that plugins minted upstream.", NO_FIELDS, "leases"},
    [SP_OP_LEASE_REVOKE] = {"lease.revoke", SP_DOOR_ADMIN,
                            "End minted credentials now; a call that needs one gets another.",
                            FIELDS(lease_fields), "ended"},
    [SP_OP_POLICY_RELOAD] = {"policy.reload", SP_DOOR_ADMIN,
                             "Read the policy files again; a broken one changes nothing.",
                             NO_FIELDS, POLICY_REPLY},
    [SP_OP_POLICY_SHOW] = {"policy.show", SP_DOOR_ADMIN, "The scopes in force.", NO_FIELDS,
                           "scopes"},
    [SP_OP_PLUGIN_LIST] = {"plugin.list", SP_DOOR_ADMIN, "The loaded providers.", NO_FIELDS,
                           "plugins"},
    [SP_OP_AUDIT_HEAD] = {"audit.head", SP_DOOR_ADMIN, "The last audit record.", NO_FIELDS,
                          "seq, hash"},
    [SP_OP_BACKUP] = {"backup", SP_DOOR_ADMIN, "Copy the store while the host runs.",
                      FIELDS(backup_fields), ""},
    [SP_OP_RELOAD] = {"reload", SP_DOOR_ADMIN, "What SIGHUP does.", NO_FIELDS, POLICY_REPLY},
};
