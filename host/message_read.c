#include "message.h"

#include <stdio.h>

enum { N_COMMON = sizeof sp_message_common / sizeof *sp_message_common };

/* One request as it is taken apart. */
struct request {
    struct sp_arena *arena;
    const struct sp_wire_value *map;
    const struct sp_message_op *op;
    const struct sp_wire_value *found[SP_MESSAGE_FIELDS_MAX]; /* in the order of op->fields */
    struct sp_message *message;
    struct sp_decision *refusal;
};

static bool refuse(struct sp_decision *refusal, enum sp_code code, const char *reason,
                   const char *hint)
{
    refusal->code = code;
    (void)snprintf(refusal->reason, sizeof refusal->reason, "%s", reason);
    (void)snprintf(refusal->hint, sizeof refusal->hint, "%s", hint);
    return false;
}

static bool bad(struct request *r, const char *field, const char *what)
{
    char reason[200];
    (void)snprintf(reason, sizeof reason, "%s: field '%s' %s", r->op->name, field, what);
    return refuse(r->refusal, SP_CODE_BAD_REQUEST, reason, "");
}

static bool out_of_memory(struct request *r)
{
    return refuse(r->refusal, SP_CODE_BUSY, "out of memory for this request", "");
}

static bool refuse_status(struct sp_decision *refusal, sp_status status, const char *where,
                          const struct sp_error *err)
{
    char reason[256];
    (void)snprintf(reason, sizeof reason, "%s: %.230s", where, err->text);
    enum sp_code code = status == SP_ETOOBIG  ? SP_CODE_TOO_LARGE
                        : status == SP_ENOMEM ? SP_CODE_BUSY
                                              : SP_CODE_BAD_REQUEST;
    return refuse(refusal, code, reason, "");
}

/* ---- single fields --------------------------------------------------------------------------
 */

/* The op's field of that name; its n_fields where it has none. */
static size_t field_index(const struct request *r, const char *name)
{
    size_t i = 0;
    while (i < r->op->n_fields && strcmp(name, r->op->fields[i].name) != 0) {
        i++;
    }
    return i;
}

/* The field's value; NULL where the client left it out. */
static const struct sp_wire_value *get(const struct request *r, const char *name)
{
    size_t i = field_index(r, name);
    return i < r->op->n_fields ? r->found[i] : NULL;
}

/* The text of a field (its kind was checked); .ptr NULL where it was left out. */
static struct sp_text text(const struct request *r, const char *name)
{
    const struct sp_wire_value *value = get(r, name);
    return value ? value->as.text : (struct sp_text){NULL, 0};
}

static bool length_good(struct sp_text t, const struct sp_message_field *field)
{
    return t.len >= field->min_bytes && (field->max_bytes == 0 || t.len <= field->max_bytes);
}

/* Length, and no NUL byte in what is a name or a path somewhere. */
static bool check_text(struct request *r, const struct sp_wire_value *value,
                       const struct sp_message_field *field)
{
    struct sp_text t = value->as.text;
    char what[80];
    if (t.len > 0 && t.len < field->min_bytes) {
        (void)snprintf(what, sizeof what, "must have %u bytes", field->min_bytes);
        return bad(r, field->name, what);
    }
    if (t.len < field->min_bytes) {
        return bad(r, field->name, "holds an empty text");
    }
    if (!length_good(t, field)) {
        (void)snprintf(what, sizeof what, "holds more than %u bytes", field->max_bytes);
        return bad(r, field->name, what);
    }
    if (value->kind == SP_WIRE_STR && field->max_bytes > 0 && t.len > 0 &&
        memchr(t.ptr, 0, t.len)) {
        return bad(r, field->name, "holds a NUL byte");
    }
    return true;
}

/* Milliseconds of a duration: "4h", "90s", "250ms", or whole seconds as a string or an integer.
 * Zero is no duration. */
static bool duration(struct sp_text t, uint64_t *ret_ms)
{
    static const struct {
        const char *name;
        uint64_t ms;
    } units[] = {{"", 1000},     {"ms", 1},      {"s", 1000},    {"m", 60000},
                 {"min", 60000}, {"h", 3600000}, {"d", 86400000}};
    uint64_t number = 0;
    size_t i = 0;
    while (i < t.len && i < 10 && t.ptr[i] >= '0' && t.ptr[i] <= '9') {
        number = number * 10 + (uint64_t)(t.ptr[i] - '0');
        i++;
    }
    struct sp_text unit = {t.ptr + i, t.len - i};
    for (size_t u = 0; i > 0 && u < sizeof units / sizeof *units; u++) {
        if (sp_text_is(unit, units[u].name) && number > 0) {
            *ret_ms = number * units[u].ms;
            return true;
        }
    }
    return false;
}

static bool read_duration(struct request *r, const char *name,
                          const struct sp_wire_value *value, uint64_t *ret_ms)
{
    static const char must[] = "must be a duration: \"4h\", \"30m\", \"90s\", or whole seconds";
    if (!value) {
        *ret_ms = 0;
        return true;
    }
    if (value->kind == SP_WIRE_INT) {
        if (value->as.integer <= 0 || value->as.integer > 9999999999) {
            return bad(r, name, must);
        }
        *ret_ms = (uint64_t)value->as.integer * 1000;
        return true;
    }
    return duration(value->as.text, ret_ms) || bad(r, name, must);
}

static bool read_root(struct request *r, struct sp_text hex,
                      uint8_t ret_root[SP_TOKEN_ID_BYTES])
{
    return sp_hex_decode(hex, ret_root, SP_TOKEN_ID_BYTES) == SP_OK ||
           bad(r, "root", "must be 32 hexadecimal digits");
}

/* An array of str, each within the field's limits. */
static bool read_texts(struct request *r, const struct sp_wire_value *value,
                       const struct sp_message_field *field, const struct sp_text **ret_texts,
                       size_t *ret_n)
{
    size_t n = value ? value->as.array.n : 0;
    if (n == 0) {
        return true;
    }
    struct sp_text *texts = sp_arena_array(r->arena, n, sizeof *texts);
    if (!texts) {
        return out_of_memory(r);
    }
    for (size_t i = 0; i < n; i++) {
        const struct sp_wire_value *item = &value->as.array.items[i];
        if (item->kind != SP_WIRE_STR) {
            return bad(r, field->name, "must be an array of str");
        }
        if (!check_text(r, item, field)) {
            return false;
        }
        texts[i] = item->as.text;
    }
    *ret_texts = texts;
    *ret_n = n;
    return true;
}

/* A map of str to str (or bin, where that is set): settings, secrets, arguments. */
static bool read_settings(struct request *r, const char *name, bool bin,
                          const struct sp_key_setting **ret_settings, size_t *ret_n)
{
    const struct sp_wire_value *value = get(r, name);
    size_t n = value ? value->as.map.n : 0;
    if (n == 0) {
        return true;
    }
    struct sp_key_setting *settings = sp_arena_array(r->arena, n, sizeof *settings);
    if (!settings) {
        return out_of_memory(r);
    }
    for (size_t i = 0; i < n; i++) {
        const struct sp_wire_pair *pair = &value->as.map.pairs[i];
        if (pair->value.kind != SP_WIRE_STR && !(bin && pair->value.kind == SP_WIRE_BIN)) {
            return bad(r, name, bin ? "must map str to bin or str" : "must map str to str");
        }
        if (pair->name.len == 0 || pair->name.len > SP_NAME_MAX_BYTES ||
            memchr(pair->name.ptr, 0, pair->name.len)) {
            return bad(r, name,
                       "holds a name that is empty, longer than 64 bytes, or has a NUL");
        }
        if (!check_text(r, &pair->value, &r->op->fields[field_index(r, name)])) {
            return false;
        }
        settings[i].name = pair->name;
        settings[i].value = pair->value.as.text;
    }
    *ret_settings = settings;
    *ret_n = n;
    return true;
}

/* ---- operations -----------------------------------------------------------------------------
 */

static bool read_json_scope(struct request *r, const struct sp_wire_value *map,
                            const struct sp_json_scope **ret_json)
{
    enum { N = sizeof sp_message_scope_fields / sizeof *sp_message_scope_fields };
    const struct sp_message_field *fields = sp_message_scope_fields;
    const struct sp_wire_value *found[N];
    struct sp_wire_field known[N];
    struct sp_error err = {""};
    for (size_t i = 0; i < N; i++) {
        known[i] = (struct sp_wire_field){fields[i].name, fields[i].kinds, fields[i].required};
    }
    sp_status status = sp_wire_fields(map, known, N, found, &err);
    if (status) {
        return refuse_status(r->refusal, status, "issue: scope", &err);
    }
    struct sp_json_scope *json = sp_arena_alloc(r->arena, sizeof *json);
    if (!json) {
        return out_of_memory(r);
    }
    if (!read_texts(r, found[0], &fields[0], &json->key_ids, &json->n_key_ids) ||
        !read_texts(r, found[1], &fields[1], &json->providers, &json->n_providers) ||
        !read_texts(r, found[2], &fields[2], &json->methods, &json->n_methods) ||
        !read_texts(r, found[3], &fields[3], &json->domains, &json->n_domains)) {
        return false;
    }
    if (found[4]) {
        if (found[4]->as.integer < 1 || found[4]->as.integer > 1000000) {
            return bad(r, fields[4].name, "must be from 1 to 1000000");
        }
        json->rate_per_minute = (uint32_t)found[4]->as.integer;
    }
    *ret_json = json;
    return read_duration(r, fields[5].name, found[5], &json->ttl_ms);
}

static bool read_args(struct request *r, struct sp_issue *issue)
{
    const struct sp_key_setting *pairs = NULL;
    size_t n = 0;
    if (!read_settings(r, "args", false, &pairs, &n)) {
        return false;
    }
    if (n == 0) {
        return true;
    }
    struct sp_arg *args = sp_arena_array(r->arena, n, sizeof *args);
    if (!args) {
        return out_of_memory(r);
    }
    for (size_t i = 0; i < n; i++) {
        args[i] = (struct sp_arg){pairs[i].name, pairs[i].value};
    }
    issue->args = args;
    issue->n_args = n;
    return true;
}

static bool read_issue(struct request *r)
{
    struct sp_issue *issue = &r->message->as.issue;
    const struct sp_wire_value *scope = get(r, "scope");
    issue->narrow = text(r, "narrow");
    issue->bind = text(r, "bind");
    if (scope->kind == SP_WIRE_MAP) {
        if (get(r, "args") || get(r, "ttl")) {
            return bad(r, get(r, "args") ? "args" : "ttl",
                       "does not go with a scope in the JSON form (its expiresIn is the life)");
        }
        return read_json_scope(r, scope, &issue->json);
    }
    issue->scope = scope->as.text;
    return read_args(r, issue) && read_duration(r, "ttl", get(r, "ttl"), &issue->ttl_ms);
}

/* One header of either form; false where it is none. */
static bool header_at(const struct sp_wire_value *headers, size_t i,
                      struct sp_raw_header *ret_header)
{
    struct sp_text name;
    const struct sp_wire_value *value;
    if (headers->kind == SP_WIRE_MAP) {
        name = headers->as.map.pairs[i].name;
        value = &headers->as.map.pairs[i].value;
    } else {
        const struct sp_wire_value *pair = &headers->as.array.items[i];
        if (pair->kind != SP_WIRE_ARRAY || pair->as.array.n != 2 ||
            pair->as.array.items[0].kind != SP_WIRE_STR) {
            return false;
        }
        name = pair->as.array.items[0].as.text;
        value = &pair->as.array.items[1];
    }
    if (value->kind != SP_WIRE_STR) {
        return false;
    }
    *ret_header = (struct sp_raw_header){name, value->as.text};
    return true;
}

static bool read_headers(struct request *r, struct sp_raw_request *raw)
{
    const struct sp_wire_value *value = get(r, "headers");
    if (!value) {
        return true;
    }
    size_t n = value->kind == SP_WIRE_MAP ? value->as.map.n : value->as.array.n;
    if (n == 0) {
        return true;
    }
    if (n > SP_HEADERS_MAX) {
        return bad(r, "headers", "holds more than 64 headers");
    }
    struct sp_raw_header *headers = sp_arena_array(r->arena, n, sizeof *headers);
    if (!headers) {
        return out_of_memory(r);
    }
    for (size_t i = 0; i < n; i++) {
        if (!header_at(value, i, &headers[i])) {
            return bad(r, "headers", "must map str to str, or be an array of [name, value]");
        }
    }
    raw->headers = headers;
    raw->n_headers = n;
    return true;
}

static bool read_credit(struct request *r, uint32_t *ret_credit)
{
    const struct sp_wire_value *credit = get(r, "credit");
    if (!credit) {
        return true;
    }
    if (credit->as.integer < 1 || credit->as.integer > SP_MESSAGE_CREDIT_MAX) {
        return bad(r, "credit", "must be from 1 to 4096");
    }
    *ret_credit = (uint32_t)credit->as.integer;
    return true;
}

/* A stream's messages are told from others by the request's id. */
static bool need_id(struct request *r)
{
    return r->message->id.len > 0 || bad(r, "id", "has to be given: it names the stream");
}

static bool read_stream(struct request *r, struct sp_message_call *call)
{
    const struct sp_wire_value *stream = get(r, "stream");
    call->stream = stream && stream->as.boolean;
    call->credit = SP_MESSAGE_CREDIT;
    if (!call->stream && get(r, "credit")) {
        return bad(r, "credit", "is for streams: set 'stream' too");
    }
    return !call->stream || (need_id(r) && read_credit(r, &call->credit));
}

static bool read_call(struct request *r)
{
    struct sp_message_call *call = &r->message->as.call;
    call->token = text(r, "token");
    call->key = text(r, "key");
    call->raw.method = text(r, "method");
    call->raw.url = text(r, "url");
    call->raw.body = text(r, "body");
    return read_headers(r, &call->raw) && read_stream(r, call);
}

static bool read_token(struct request *r)
{
    struct sp_message_token *token = &r->message->as.token;
    struct sp_text root = text(r, "root");
    token->token = text(r, "token");
    if ((root.ptr == NULL) == (token->token.ptr == NULL)) {
        return refuse(r->refusal, SP_CODE_BAD_REQUEST,
                      "revoke: either 'token' or 'root' has to be given, and only one of them",
                      "");
    }
    return !root.ptr || read_root(r, root, token->root);
}

static bool read_key(struct request *r)
{
    struct sp_message_key *key = &r->message->as.key;
    key->id = text(r, "id");
    key->provider = text(r, "provider");
    key->url = text(r, "url");
    const struct sp_wire_value *unset = get(r, "unset");
    if (unset && !read_texts(r, unset, &r->op->fields[field_index(r, "unset")], &key->unset,
                             &key->n_unset)) {
        return false;
    }
    return read_settings(r, "settings", false, &key->settings, &key->n_settings) &&
           read_settings(r, "secrets", true, &key->secrets, &key->n_secrets);
}

static bool read_client(struct request *r)
{
    struct sp_message_client *client = &r->message->as.client;
    const struct sp_wire_value *admin = get(r, "admin");
    client->name = text(r, "name");
    client->curve = text(r, "curve");
    client->admin = admin && admin->as.boolean;
    return true;
}

static bool read_lease(struct request *r)
{
    struct sp_message_lease *lease = &r->message->as.lease;
    struct sp_text id = text(r, "lease");
    const struct sp_wire_value *all = get(r, "all");
    lease->key = text(r, "key");
    lease->all = all && all->as.boolean;
    lease->has_id = id.ptr != NULL;
    if (lease->has_id + lease->all + (lease->key.ptr != NULL) != 1) {
        return refuse(r->refusal, SP_CODE_BAD_REQUEST,
                      "lease.revoke: one of 'lease', 'key' and 'all' has to be given, and only "
                      "one of them",
                      "`sallyport lease list`");
    }
    return !lease->has_id || sp_hex_decode(id, lease->id, sizeof lease->id) == SP_OK ||
           bad(r, "lease", "must be 32 hexadecimal digits");
}

static bool read_op(struct request *r)
{
    switch (r->message->op) {
    case SP_OP_ISSUE:
        return read_issue(r);
    case SP_OP_PROXY:
    case SP_OP_CHECK:
        return read_call(r);
    case SP_OP_CREDIT:
        return need_id(r) && read_credit(r, &r->message->as.credit);
    case SP_OP_CANCEL:
        return need_id(r);
    case SP_OP_INSPECT:
    case SP_OP_REVOKE:
    case SP_OP_TOKEN_REVOKE:
    case SP_OP_TOKEN_RESUME:
        return read_token(r);
    case SP_OP_KEY_CHECK:
    case SP_OP_KEY_ADD:
    case SP_OP_KEY_ROTATE:
    case SP_OP_KEY_SET:
    case SP_OP_KEY_SHOW:
    case SP_OP_KEY_REMOVE:
    case SP_OP_KEY_TEST:
    case SP_OP_KEY_ROTATE_UPSTREAM:
        return read_key(r);
    case SP_OP_CLIENT_ADD:
    case SP_OP_CLIENT_REMOVE:
        return read_client(r);
    case SP_OP_LEASE_REVOKE:
        return read_lease(r);
    case SP_OP_UNSEAL:
        r->message->as.secret = text(r, "secret");
        return true;
    case SP_OP_BACKUP:
        r->message->as.path = text(r, "path");
        return sp_text_starts(r->message->as.path, SP_TEXT("/")) ||
               bad(r, "path", "must be an absolute path");
    case SP_OP_STATUS:
    case SP_OP_SEAL:
    case SP_OP_KEY_LIST:
    case SP_OP_CLIENT_LIST:
    case SP_OP_TOKEN_LIST:
    case SP_OP_LEASE_LIST:
    case SP_OP_POLICY_RELOAD:
    case SP_OP_POLICY_SHOW:
    case SP_OP_PLUGIN_LIST:
    case SP_OP_AUDIT_HEAD:
    case SP_OP_RELOAD:
    case SP_OP_COUNT:
        break;
    }
    return true;
}

/* ---- the envelope ---------------------------------------------------------------------------
 */

static size_t n_common(enum sp_door door)
{
    return door == SP_DOOR_CLIENT ? N_COMMON : N_COMMON - 1;
}

static void read_id(enum sp_door door, const struct sp_wire_value *map, struct sp_text *ret_id)
{
    const struct sp_wire_value *id = door == SP_DOOR_CLIENT ? sp_wire_get(map, "id") : NULL;
    if (id && id->kind == SP_WIRE_STR && length_good(id->as.text, &sp_message_common[2])) {
        *ret_id = id->as.text;
    }
}

static bool check_version(const struct sp_wire_value *map, struct sp_decision *refusal)
{
    const struct sp_wire_value *v = sp_wire_get(map, "v");
    if (!v || v->kind != SP_WIRE_INT || v->as.integer != SP_PROTOCOL_VERSION) {
        return refuse(refusal, SP_CODE_BAD_REQUEST,
                      "field 'v' must be 1, the only version of the protocol that this host "
                      "speaks",
                      "send v: 1");
    }
    return true;
}

static bool find_op(enum sp_door door, const struct sp_wire_value *map, enum sp_op *ret_op,
                    struct sp_decision *refusal)
{
    const struct sp_wire_value *op = sp_wire_get(map, "op");
    if (!op || op->kind != SP_WIRE_STR) {
        return refuse(refusal, SP_CODE_BAD_REQUEST, "field 'op' must name an operation", "");
    }
    for (unsigned i = 0; i < SP_OP_COUNT; i++) {
        if (!sp_text_is(op->as.text, sp_message_ops[i].name)) {
            continue;
        }
        if (sp_message_ops[i].doors & (unsigned)door) {
            *ret_op = (enum sp_op)i;
            return true;
        }
        return refuse(refusal, SP_CODE_UNKNOWN_OP, "this operation is not one of this socket",
                      door == SP_DOOR_CLIENT ? "use the administration socket"
                                             : "use the client socket");
    }
    return refuse(refusal, SP_CODE_UNKNOWN_OP, "no such operation",
                  door == SP_DOOR_CLIENT
                      ? "operations: issue, proxy, credit, cancel, check, inspect, revoke, "
                        "status"
                      : "docs/protocol.md lists the operations");
}

static bool check_fields(struct request *r, enum sp_door door)
{
    struct sp_wire_field known[SP_MESSAGE_FIELDS_MAX];
    const struct sp_wire_value *found[SP_MESSAGE_FIELDS_MAX];
    const struct sp_message_field *fields[SP_MESSAGE_FIELDS_MAX];
    size_t first = n_common(door), n = first + r->op->n_fields;
    struct sp_error err = {""};
    for (size_t i = 0; i < n; i++) {
        fields[i] = i < first ? &sp_message_common[i] : &r->op->fields[i - first];
        known[i] =
            (struct sp_wire_field){fields[i]->name, fields[i]->kinds, fields[i]->required};
    }
    sp_status status = sp_wire_fields(r->map, known, n, found, &err);
    if (status) {
        return refuse_status(r->refusal, status, r->op->name, &err);
    }
    for (size_t i = 0; i < n; i++) {
        bool is_text =
            found[i] && (found[i]->kind == SP_WIRE_STR || found[i]->kind == SP_WIRE_BIN);
        if (is_text && !check_text(r, found[i], fields[i])) {
            return false;
        }
        if (i >= first) {
            r->found[i - first] = found[i];
        }
    }
    return true;
}

bool sp_message_read(struct sp_arena *arena, enum sp_door door, struct sp_text bytes,
                     struct sp_message *ret_message, struct sp_decision *ret_refusal)
{
    struct sp_wire_value map;
    struct sp_error err = {""};
    *ret_message = (struct sp_message){.op = SP_OP_COUNT};
    *ret_refusal = (struct sp_decision){.code = SP_CODE_OK};
    sp_status status = sp_wire_read(arena, bytes, &map, &err);
    if (status) {
        return refuse_status(ret_refusal, status, "MessagePack", &err);
    }
    if (map.kind != SP_WIRE_MAP) {
        return refuse(ret_refusal, SP_CODE_BAD_REQUEST, "the message is not a map", "");
    }
    read_id(door, &map, &ret_message->id);
    struct request request = {
        .arena = arena, .map = &map, .message = ret_message, .refusal = ret_refusal};
    if (!check_version(&map, ret_refusal) ||
        !find_op(door, &map, &ret_message->op, ret_refusal)) {
        return false;
    }
    request.op = &sp_message_ops[ret_message->op];
    return check_fields(&request, door) && read_op(&request);
}
