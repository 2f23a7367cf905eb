#include "message.h"

#include <string.h>

static void put_name(struct sp_buf *buf, const char *name)
{
    sp_wire_put_str(buf, sp_text_of(name));
}

static void pair_words(struct sp_buf *buf, const char *name, struct sp_text text)
{
    put_name(buf, name);
    sp_wire_put_words(buf, text);
}

static void pair_hex(struct sp_buf *buf, const char *name, const uint8_t *bytes, size_t len)
{
    char hex[2 * 32 + 1];
    sp_hex_encode(bytes, len, hex);
    sp_wire_pair_str(buf, name, sp_text_of(hex));
}

static void pair_texts(struct sp_buf *buf, const char *name, const struct sp_text *texts,
                       size_t n)
{
    put_name(buf, name);
    sp_wire_put_array(buf, n);
    for (size_t i = 0; i < n; i++) {
        sp_wire_put_words(buf, texts[i]);
    }
}

/* A count, which fits: nothing of ours counts past 2^63. */
static void pair_count(struct sp_buf *buf, const char *name, uint64_t count)
{
    sp_wire_pair_int(buf, name, count > INT64_MAX ? INT64_MAX : (int64_t)count);
}

/* v, ok and id come first and in this order: sp_message_put_stored relies on it. */
static void put_head(struct sp_buf *buf, struct sp_text id, bool ok, size_t n_more)
{
    sp_wire_put_map(buf, (id.len > 0 ? 3 : 2) + n_more);
    sp_wire_pair_int(buf, "v", SP_PROTOCOL_VERSION);
    sp_wire_pair_bool(buf, "ok", ok);
    if (id.len > 0) {
        sp_wire_pair_str(buf, "id", id);
    }
}

void sp_message_put_ok(struct sp_buf *buf, struct sp_text id, size_t n_more)
{
    put_head(buf, id, true, n_more);
}

static void put_error(struct sp_buf *buf, struct sp_text id, const struct sp_decision *decision,
                      struct sp_text detail)
{
    bool wait = decision->retry_after_ms > 0;
    put_head(buf, id, false, 1);
    put_name(buf, "error");
    sp_wire_put_map(buf, (size_t)(5 + wait + (detail.len > 0)));
    sp_wire_pair_str(buf, "code", sp_text_of(sp_code_name(decision->code)));
    pair_words(buf, "reason", sp_text_of(decision->reason));
    pair_words(buf, "rule", sp_text_of(decision->rule));
    pair_words(buf, "hint", sp_text_of(decision->hint));
    sp_wire_pair_bool(buf, "retryable", sp_code_retryable(decision->code));
    if (wait) {
        pair_count(buf, "retry_after_ms", decision->retry_after_ms);
    }
    if (detail.len > 0) {
        pair_words(buf, "detail", detail);
    }
}

void sp_message_put_error(struct sp_buf *buf, struct sp_text id,
                          const struct sp_decision *decision)
{
    put_error(buf, id, decision, (struct sp_text){NULL, 0});
}

static void copy_text(char *field, size_t room, const char *text)
{
    size_t len = strnlen(text, room - 1);
    memcpy(field, text, len);
    field[len] = '\0';
}

void sp_message_put_failure(struct sp_buf *buf, struct sp_text id, enum sp_code code,
                            const char *reason, const char *hint, struct sp_text detail)
{
    struct sp_decision decision = {.code = code};
    copy_text(decision.reason, sizeof decision.reason, reason);
    copy_text(decision.hint, sizeof decision.hint, hint);
    put_error(buf, id, &decision, detail);
}

enum sp_code sp_message_code(enum sp_op op, sp_status status)
{
    switch (status) {
    case SP_OK:
        return SP_CODE_OK;
    case SP_EINVAL:
    case SP_EUNSUPPORTED:
        return SP_CODE_BAD_REQUEST;
    case SP_ENOENT:
        return SP_CODE_NOT_FOUND;
    case SP_EEXIST:
        return SP_CODE_EXISTS;
    case SP_EIO:
        return SP_CODE_AUDIT_UNAVAILABLE;
    case SP_ECRYPTO: /* a wrong unseal key, or a token that does not hold */
        return op == SP_OP_UNSEAL ? SP_CODE_NOT_PERMITTED : SP_CODE_TOKEN_INVALID;
    case SP_ESEALED:
        return SP_CODE_SEALED;
    case SP_EDENIED:
        return SP_CODE_NOT_PERMITTED;
    case SP_ETOOBIG:
        return SP_CODE_TOO_LARGE;
    case SP_ENOMEM:
    case SP_EBUSY:
        return SP_CODE_BUSY;
    case SP_ECONFLICT:
        return SP_CODE_CONFLICT;
    case SP_ECLOCK:
        return SP_CODE_CLOCK;
    default:
        return SP_CODE_INTERNAL;
    }
}

/* ---- issue, check, proxy --------------------------------------------------------------------
 */

void sp_message_put_issued(struct sp_buf *buf, struct sp_text id,
                           const struct sp_issued *issued, int64_t now_ms)
{
    put_head(buf, id, true, 5);
    sp_wire_pair_str(buf, "token", issued->token);
    pair_hex(buf, "root", issued->root, sizeof issued->root);
    pair_words(buf, "scope", issued->scope);
    sp_wire_pair_int(buf, "expires", issued->expires_ms);
    sp_wire_pair_int(buf, "expires_in_ms", issued->expires_ms - now_ms);
}

void sp_message_put_check(struct sp_buf *buf, struct sp_text id,
                          const struct sp_decision *decision)
{
    bool wait = decision->retry_after_ms > 0;
    put_head(buf, id, true, (size_t)(6 + decision->observed + wait));
    sp_wire_pair_bool(buf, "allowed", decision->code == SP_CODE_OK);
    sp_wire_pair_str(buf, "code", sp_text_of(sp_code_name(decision->code)));
    pair_words(buf, "reason", sp_text_of(decision->reason));
    pair_words(buf, "rule", sp_text_of(decision->rule));
    pair_words(buf, "hint", sp_text_of(decision->hint));
    pair_words(buf, "key", sp_text_of(decision->key));
    if (decision->observed) {
        sp_wire_pair_bool(buf, "observed", true);
    }
    if (wait) {
        pair_count(buf, "retry_after_ms", decision->retry_after_ms);
    }
}

static void put_headers(struct sp_buf *buf, const char *name, const struct sp_header *headers,
                        size_t n)
{
    put_name(buf, name);
    sp_wire_put_array(buf, n);
    for (size_t i = 0; i < n; i++) {
        sp_wire_put_array(buf, 2);
        sp_wire_put_words(buf, headers[i].name);
        sp_wire_put_text(buf, headers[i].value);
    }
}

static void put_answer(struct sp_buf *buf, struct sp_text id, const struct sp_proxied *result,
                       bool streams)
{
    const struct sp_reply *reply = result->reply;
    bool observed = result->decision && result->decision->observed;
    put_head(buf, id, true, (size_t)(3 + (result->n_dropped > 0) + observed));
    sp_wire_pair_int(buf, "status", reply->http_status);
    put_headers(buf, "headers", reply->headers, reply->n_headers);
    if (streams) {
        sp_wire_pair_bool(buf, "stream", true);
    } else {
        put_name(buf, "body");
        sp_wire_put_bin(buf, reply->body);
    }
    if (result->n_dropped > 0) {
        pair_texts(buf, "dropped_headers", result->dropped, result->n_dropped);
    }
    if (observed) {
        sp_wire_pair_bool(buf, "observed", true);
    }
}

void sp_message_put_proxied(struct sp_buf *buf, struct sp_text id,
                            const struct sp_proxied *result)
{
    if (result->refusal) {
        sp_message_put_error(buf, id, result->refusal);
    } else if (result->reply) {
        put_answer(buf, id, result, false);
    } else if (sp_message_put_stored(buf, id, result->stored)) {
        sp_message_put_failure(buf, id, SP_CODE_INTERNAL,
                               "the stored answer to this request cannot be read", "",
                               (struct sp_text){NULL, 0});
    }
}

void sp_message_put_stream_head(struct sp_buf *buf, struct sp_text id,
                                const struct sp_proxied *result)
{
    put_answer(buf, id, result, true);
}

void sp_message_put_stream_part(struct sp_buf *buf, struct sp_text id, uint64_t seq,
                                struct sp_text bytes)
{
    put_head(buf, id, true, 2);
    pair_count(buf, "seq", seq);
    put_name(buf, "data");
    sp_wire_put_bin(buf, bytes);
}

void sp_message_put_stream_alive(struct sp_buf *buf, struct sp_text id, uint64_t seq)
{
    put_head(buf, id, true, 1);
    pair_count(buf, "seq", seq);
}

void sp_message_put_stream_end(struct sp_buf *buf, struct sp_text id, uint64_t seq,
                               uint64_t n_bytes, const struct sp_header *trailers,
                               size_t n_trailers)
{
    put_head(buf, id, true, (size_t)(3 + (n_trailers > 0)));
    pair_count(buf, "seq", seq);
    sp_wire_pair_bool(buf, "end", true);
    pair_count(buf, "bytes", n_bytes);
    if (n_trailers > 0) {
        put_headers(buf, "trailers", trailers, n_trailers);
    }
}

/* The id that a stored answer begins with, cut off *rest; true also where it has none. */
static bool skip_id(struct sp_text *rest, bool *ret_had_id)
{
    static const char key[] = "\xa2id";
    *ret_had_id = sp_text_starts(*rest, (struct sp_text){key, 3});
    if (!*ret_had_id) {
        return true;
    }
    if (rest->len < 5) {
        return false;
    }
    unsigned char first = (unsigned char)rest->ptr[3];
    size_t skip = (first & 0xe0) == 0xa0 ? 4u + (first & 0x1fu)
                  : first == 0xd9        ? 5u + (unsigned char)rest->ptr[4]
                                         : rest->len + 1;
    if (skip > rest->len) {
        return false;
    }
    *rest = (struct sp_text){rest->ptr + skip, rest->len - skip};
    return true;
}

sp_status sp_message_put_stored(struct sp_buf *buf, struct sp_text id, struct sp_text stored)
{
    /* fixmap, "v": 1, "ok": boolean - as put_head wrote it; every answer has under 16 pairs. */
    static const char head[] = "\xa1v\x01\xa2ok";
    enum { HEAD = sizeof head - 1, FIXMAP = 0x80, FALSE = 0xc2, TRUE = 0xc3 };
    if (stored.len < HEAD + 2 || memcmp(stored.ptr + 1, head, HEAD) != 0) {
        return SP_ECORRUPT;
    }
    unsigned char map = (unsigned char)stored.ptr[0], ok = (unsigned char)stored.ptr[HEAD + 1];
    struct sp_text rest = {stored.ptr + HEAD + 2, stored.len - HEAD - 2};
    bool had_id;
    if ((map & 0xf0) != FIXMAP || (ok != TRUE && ok != FALSE) || !skip_id(&rest, &had_id) ||
        (map & 0x0fu) < 2u + had_id) {
        return SP_ECORRUPT;
    }
    put_head(buf, id, ok == TRUE, (map & 0x0fu) - 2u - had_id + 1);
    sp_wire_pair_bool(buf, "replayed", true);
    sp_buf_add_text(buf, rest);
    return SP_OK;
}

/* ---- tokens ---------------------------------------------------------------------------------
 */

/* Answers that held a key, whose, and since when the token is suspended for it. */
static size_t n_guard_fields(const struct sp_token_view *view)
{
    return (view->guard_hits > 0 ? 2u : 0u) + (view->suspended_ms > 0);
}

static void pair_guard_fields(struct sp_buf *buf, const struct sp_token_view *view)
{
    if (view->guard_hits > 0) {
        sp_wire_pair_int(buf, "guard_hits", view->guard_hits);
        pair_words(buf, "guard_key", view->guard_key);
    }
    if (view->suspended_ms > 0) {
        sp_wire_pair_int(buf, "suspended", view->suspended_ms);
    }
}

void sp_message_put_view(struct sp_buf *buf, struct sp_text id,
                         const struct sp_token_view *view)
{
    put_head(
        buf, id, true,
        (size_t)(8 + (view->narrow.len > 0) + (view->bind.len > 0) + (view->revoked_ms > 0)) +
            n_guard_fields(view));
    pair_hex(buf, "root", view->root, sizeof view->root);
    pair_words(buf, "principal", view->principal);
    pair_words(buf, "scope", view->scope_name);
    pair_words(buf, "scope_text", view->scope);
    if (view->narrow.len > 0) {
        pair_words(buf, "narrow", view->narrow);
    }
    pair_texts(buf, "caveats", view->caveats, view->n_caveats);
    if (view->bind.len > 0) {
        pair_words(buf, "bind", view->bind);
    }
    sp_wire_pair_int(buf, "issued", view->issued_ms);
    sp_wire_pair_int(buf, "expires", view->expires_ms);
    if (view->revoked_ms > 0) {
        sp_wire_pair_int(buf, "revoked", view->revoked_ms);
    }
    pair_guard_fields(buf, view);
    sp_wire_pair_bool(buf, "expired", view->expired);
}

void sp_message_put_revoked(struct sp_buf *buf, struct sp_text id,
                            const uint8_t root[SP_TOKEN_ID_BYTES])
{
    put_head(buf, id, true, 1);
    pair_hex(buf, "root", root, SP_TOKEN_ID_BYTES);
}

/* ---- administration -------------------------------------------------------------------------
 */

static const struct sp_text no_id = {NULL, 0};

static const char *state_name(enum sp_engine_state state)
{
    switch (state) {
    case SP_ENGINE_SEALED:
        return "sealed";
    case SP_ENGINE_READY:
        return "ready";
    case SP_ENGINE_FAILED:
        break;
    }
    return "failed";
}

static const char *seal_name(enum sp_seal_kind kind)
{
    return kind == SP_SEAL_KEY_FILE     ? "key_file"
           : kind == SP_SEAL_PASSPHRASE ? "passphrase"
                                        : "none";
}

static void put_admin_status(struct sp_buf *buf, const struct sp_message_status *status)
{
    const struct sp_engine_status *engine = status->engine;
    pair_words(buf, "seal", sp_text_of(seal_name(engine->seal)));
    pair_words(buf, "reason", sp_text_of(engine->reason));
    sp_wire_pair_bool(buf, "memory_locked", engine->memory_locked);
    sp_wire_pair_bool(buf, "writes", engine->writes);
    sp_wire_pair_bool(buf, "zap_healthy", status->zap_healthy);
    pair_count(buf, "keys", engine->n_keys);
    pair_count(buf, "clients", engine->n_clients);
    pair_count(buf, "scopes", engine->n_scopes);
    pair_count(buf, "tokens", engine->n_tokens);
    pair_count(buf, "calls_open", engine->n_calls_open);
    pair_count(buf, "calls_in_flight", status->calls_in_flight);
    pair_count(buf, "audit_seq", engine->audit_seq);
    pair_count(buf, "handshakes_allowed", status->handshakes_allowed);
    pair_count(buf, "handshakes_refused", status->handshakes_refused);
    pair_count(buf, "messages_refused", status->messages_refused);
    sp_wire_pair_int(buf, "started", status->started_ms);
    pair_words(buf, "policy_error",
               sp_text_of(status->policy_error ? status->policy_error : ""));
    put_name(buf, "policy_held");
    sp_wire_put_array(buf, status->n_held);
    for (size_t i = 0; i < status->n_held; i++) {
        sp_wire_put_words(buf, status->held[i]);
    }
    put_name(buf, "http");
    sp_wire_put_array(buf, status->n_http);
    for (size_t i = 0; i < status->n_http; i++) {
        sp_wire_put_words(buf, sp_text_of(status->http[i]));
    }
    pair_count(buf, "http_connections", status->http_connections);
}

void sp_message_put_status(struct sp_buf *buf, struct sp_text id, enum sp_door door,
                           const struct sp_message_status *status)
{
    enum { PLAIN = 4, ADMIN = 20 };
    put_head(buf, id, true, door == SP_DOOR_ADMIN ? PLAIN + ADMIN : PLAIN);
    sp_wire_pair_str(buf, "version", sp_text_of(status->version));
    sp_wire_pair_int(buf, "protocol", SP_PROTOCOL_VERSION);
    sp_wire_pair_str(buf, "state", sp_text_of(state_name(status->engine->state)));
    sp_wire_pair_bool(buf, "ready",
                      status->engine->state == SP_ENGINE_READY && status->engine->writes);
    if (door == SP_DOOR_ADMIN) {
        put_admin_status(buf, status);
    }
}

void sp_message_put_head(struct sp_buf *buf, const struct sp_head *head)
{
    put_head(buf, no_id, true, 2);
    pair_count(buf, "seq", head->seq);
    pair_hex(buf, "hash", head->hash, sizeof head->hash);
}

enum { KEY_PAIRS = 8 };

static void put_key_pairs(struct sp_buf *buf, const struct sp_key *key)
{
    pair_words(buf, "id", key->id);
    pair_words(buf, "provider", key->provider);
    sp_wire_pair_int(buf, "version", key->version);
    pair_texts(buf, "hosts", key->hosts, key->n_hosts);
    put_name(buf, "settings");
    sp_wire_put_map(buf, key->n_settings);
    for (size_t i = 0; i < key->n_settings; i++) {
        sp_wire_put_words(buf, key->settings[i].name);
        sp_wire_put_words(buf, key->settings[i].value);
    }
    put_name(buf, "secrets");
    sp_wire_put_array(buf, key->n_secrets);
    for (size_t i = 0; i < key->n_secrets; i++) {
        sp_wire_put_words(buf, key->secrets[i].name);
    }
    sp_wire_pair_int(buf, "created", key->created_ms);
    sp_wire_pair_int(buf, "rotated", key->rotated_ms);
}

void sp_message_put_key(struct sp_buf *buf, const struct sp_key *key)
{
    put_head(buf, no_id, true, KEY_PAIRS);
    put_key_pairs(buf, key);
}

/* ---- lists ----------------------------------------------------------------------------------
 */

void sp_message_list_init(struct sp_message_list *list, size_t cap_bytes)
{
    sp_buf_init(&list->items, cap_bytes);
    list->n = 0;
}

void sp_message_list_key(struct sp_message_list *list, const struct sp_key *key)
{
    sp_wire_put_map(&list->items, KEY_PAIRS);
    put_key_pairs(&list->items, key);
    list->n++;
}

static const char *role_name(enum sp_role role)
{
    switch (role) {
    case SP_ROLE_CLIENT:
        return "client";
    case SP_ROLE_PRINCIPAL:
        return "principal";
    case SP_ROLE_ADMIN:
        return "admin";
    case SP_ROLE_NONE:
        break;
    }
    return "none";
}

void sp_message_list_client(struct sp_message_list *list, const struct sp_client_info *info)
{
    struct sp_buf *buf = &list->items;
    sp_wire_put_map(buf, 4);
    pair_words(buf, "name", info->name);
    sp_wire_pair_str(buf, "role", sp_text_of(role_name(info->role)));
    sp_wire_pair_str(buf, "source", info->from_policy ? SP_TEXT("policy") : SP_TEXT("store"));
    pair_words(buf, "curve", info->curve);
    list->n++;
}

void sp_message_list_token(struct sp_message_list *list, const struct sp_token_view *view)
{
    struct sp_buf *buf = &list->items;
    bool revoked = view->revoked_ms > 0, bound = view->bind.len > 0;
    sp_wire_put_map(buf, (size_t)(5 + revoked + bound) + n_guard_fields(view));
    pair_hex(buf, "root", view->root, sizeof view->root);
    pair_words(buf, "principal", view->principal);
    pair_words(buf, "scope", view->scope_name);
    sp_wire_pair_int(buf, "issued", view->issued_ms);
    sp_wire_pair_int(buf, "expires", view->expires_ms);
    if (revoked) {
        sp_wire_pair_int(buf, "revoked", view->revoked_ms);
    }
    pair_guard_fields(buf, view);
    if (bound) {
        pair_words(buf, "bind", view->bind);
    }
    list->n++;
}

void sp_message_list_lease(struct sp_message_list *list, const struct sp_lease *lease)
{
    static const char *const states[] = {
        [SP_LEASE_MINTING] = "minting", [SP_LEASE_LIVE] = "live", [SP_LEASE_ENDING] = "ending"};
    struct sp_buf *buf = &list->items;
    bool ends = lease->expires_ms > 0;
    sp_wire_put_map(buf, (size_t)(8 + ends));
    sp_wire_pair_str(buf, "lease", sp_text_of(lease->hex));
    pair_words(buf, "key", sp_text_of(lease->key));
    pair_count(buf, "key_version", lease->key_version);
    sp_wire_pair_str(buf, "state", sp_text_of(states[lease->state]));
    sp_wire_pair_int(buf, "made", lease->made_ms);
    if (ends) {
        sp_wire_pair_int(buf, "expires", lease->expires_ms);
    }
    pair_count(buf, "tokens", lease->n_tokens);
    pair_count(buf, "calls", lease->n_calls);
    pair_words(buf, "permissions", lease->words);
    list->n++;
}

void sp_message_list_plugin(struct sp_message_list *list, const struct sp_provider *provider)
{
    struct sp_buf *buf = &list->items;
    const struct sp_manifest *manifest = provider->manifest;
    sp_wire_put_map(buf, 7);
    pair_words(buf, "id", manifest->id);
    pair_words(buf, "version", manifest->version);
    pair_words(buf, "description", manifest->description);
    pair_count(buf, "actions", manifest->n_actions);
    pair_texts(buf, "hosts", manifest->hosts, manifest->n_hosts);
    pair_words(buf, "path", sp_text_of(provider->path ? provider->path : ""));
    pair_hex(buf, "sha256", provider->hash, sizeof provider->hash);
    list->n++;
}

void sp_message_list_scope(struct sp_message_list *list, struct sp_text name,
                           struct sp_text text)
{
    struct sp_buf *buf = &list->items;
    sp_wire_put_map(buf, 2);
    pair_words(buf, "name", name);
    pair_words(buf, "text", text);
    list->n++;
}

void sp_message_list_end(struct sp_message_list *list, struct sp_buf *buf, const char *name)
{
    if (list->items.failed) {
        sp_message_put_failure(buf, no_id, SP_CODE_TOO_LARGE,
                               "the list is too long for one reply", "", no_id);
    } else {
        put_head(buf, no_id, true, 1);
        put_name(buf, name);
        sp_wire_put_array(buf, list->n);
        sp_buf_add_text(buf, sp_buf_text(&list->items));
    }
    sp_buf_done(&list->items);
}
