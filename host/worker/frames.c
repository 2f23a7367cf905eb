#include "frames.h"

#include "plugin_push_sign.h"

enum { LENGTH_BYTES = 4 };

void worker_frame_begin(struct sp_buf *buf)
{
    static const char zeros[LENGTH_BYTES] = {0};
    sp_buf_reset(buf);
    sp_buf_add(buf, zeros, sizeof zeros);
}

void worker_frame_end(struct sp_buf *buf)
{
    if (buf->failed) {
        return;
    }
    size_t len = buf->len - LENGTH_BYTES;
    for (unsigned i = 0; i < LENGTH_BYTES; i++) {
        buf->ptr[i] = (char)(len >> 8 * i & 0xff);
    }
}

sp_status worker_frame_cut(struct sp_text bytes, struct sp_text *ret_map, size_t *ret_taken)
{
    size_t len = 0;
    if (bytes.len < LENGTH_BYTES) {
        return SP_EBUSY;
    }
    for (unsigned i = 0; i < LENGTH_BYTES; i++) {
        len |= (size_t)(unsigned char)bytes.ptr[i] << 8 * i;
    }
    if (len > WORKER_FRAME_MAX_BYTES) {
        return SP_ETOOBIG;
    }
    if (bytes.len - LENGTH_BYTES < len) {
        return SP_EBUSY;
    }
    *ret_map = (struct sp_text){bytes.ptr + LENGTH_BYTES, len};
    *ret_taken = LENGTH_BYTES + len;
    return SP_OK;
}

static void put_name(struct sp_buf *buf, const char *name)
{
    sp_wire_put_str(buf, sp_text_of(name));
}

static void put_texts(struct sp_buf *buf, const struct sp_text *texts, size_t n)
{
    sp_wire_put_array(buf, n);
    for (size_t i = 0; i < n; i++) {
        sp_wire_put_text(buf, texts[i]);
    }
}

/* ---- questions --------------------------------------------------------------------------- */

static const char *const questions[WORKER_QUESTIONS] = {
    [WORKER_LOAD] = "load",     [WORKER_CHECK] = "check",
    [WORKER_PLAN] = "plan",     [WORKER_PERMISSIONS] = "permissions",
    [WORKER_RENEW] = "renew",   [WORKER_REVOKE] = "revoke",
    [WORKER_ROTATE] = "rotate", [WORKER_FINISH] = "finish",
};

static void put_key(struct sp_buf *buf, const struct sp_key_view *key)
{
    put_name(buf, "id");
    sp_wire_put_text(buf, key->id);
    sp_wire_pair_int(buf, "version", key->version);
    put_name(buf, "settings");
    sp_wire_put_array(buf, key->n_settings);
    for (size_t i = 0; i < key->n_settings; i++) {
        const struct sp_text pair[] = {key->settings[i].name, key->settings[i].value};
        put_texts(buf, pair, 2);
    }
    put_name(buf, "secrets");
    put_texts(buf, key->secrets, key->n_secrets);
}

void worker_put_question(struct sp_buf *buf, const struct worker_asked *asked)
{
    bool permissions = asked->question == WORKER_PERMISSIONS;
    bool lease = asked->question >= WORKER_RENEW;
    worker_frame_begin(buf);
    sp_wire_put_map(buf, asked->question == WORKER_LOAD ? 1 : permissions ? 6 : lease ? 7 : 5);
    sp_wire_pair_str(buf, "do", sp_text_of(questions[asked->question]));
    if (asked->question != WORKER_LOAD) {
        put_key(buf, &asked->key);
    }
    if (permissions) {
        put_name(buf, "reaches");
        sp_wire_put_array(buf, asked->n_reaches);
        for (size_t i = 0; i < asked->n_reaches; i++) {
            const struct sp_reach *reach = &asked->reaches[i];
            const struct sp_text parts[] = {reach->methods, reach->host, reach->path};
            put_texts(buf, parts, 3);
        }
    }
    if (lease) {
        put_name(buf, "lease");
        sp_wire_put_text(buf, asked->lease);
        put_name(buf, "permissions");
        put_texts(buf, asked->words, asked->n_words);
    }
    worker_frame_end(buf);
}

void worker_put_answer(struct sp_buf *buf, const struct sp_hook_answer *answer)
{
    worker_frame_begin(buf);
    sp_wire_put_map(buf, 3);
    sp_wire_pair_int(buf, "answer", answer->status);
    sp_wire_pair_int(buf, "http_status", answer->http_status);
    put_name(buf, "body");
    sp_wire_put_bin(buf, answer->body);
    worker_frame_end(buf);
}

static bool take_text(const struct sp_wire_value *value, struct sp_text *ret_text)
{
    if (value->kind != SP_WIRE_STR && value->kind != SP_WIRE_BIN) {
        return false;
    }
    *ret_text = value->as.text;
    return true;
}

static bool take_setting(const struct sp_wire_value *value, struct sp_setting *ret_setting)
{
    return value->kind == SP_WIRE_ARRAY && value->as.array.n == 2 &&
           take_text(&value->as.array.items[0], &ret_setting->name) &&
           take_text(&value->as.array.items[1], &ret_setting->value);
}

static sp_status take_key(struct sp_arena *arena, const struct sp_wire_value **found,
                          struct sp_key_view *ret_key, struct sp_error *err)
{
    const struct sp_wire_value *settings = found[3], *secrets = found[4];
    struct sp_setting *to = sp_arena_array(arena, settings->as.array.n, sizeof *to);
    struct sp_text *names = sp_arena_array(arena, secrets->as.array.n, sizeof *names);
    bool good = take_text(found[1], &ret_key->id) && found[2]->as.integer >= 0 &&
                found[2]->as.integer <= UINT32_MAX;
    if (!to || !names) {
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    for (size_t i = 0; good && i < settings->as.array.n; i++) {
        good = take_setting(&settings->as.array.items[i], &to[i]);
    }
    for (size_t i = 0; good && i < secrets->as.array.n; i++) {
        good = take_text(&secrets->as.array.items[i], &names[i]);
    }
    ret_key->version = (uint32_t)found[2]->as.integer;
    ret_key->settings = to;
    ret_key->n_settings = settings->as.array.n;
    ret_key->secrets = names;
    ret_key->n_secrets = secrets->as.array.n;
    return good ? SP_OK : sp_fail(err, SP_EINVAL, "a question of the wrong form");
}

static sp_status take_texts(struct sp_arena *arena, const struct sp_wire_value *value,
                            const struct sp_text **ret_texts, size_t *ret_n,
                            struct sp_error *err)
{
    size_t n = value->as.array.n;
    struct sp_text *texts = sp_arena_array(arena, n, sizeof *texts);
    if (!texts) {
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        if (!take_text(&value->as.array.items[i], &texts[i])) {
            return sp_fail(err, SP_EINVAL, "a question of the wrong form");
        }
    }
    *ret_texts = texts;
    *ret_n = n;
    return SP_OK;
}

static sp_status take_reaches(struct sp_arena *arena, const struct sp_wire_value *value,
                              struct worker_asked *asked, struct sp_error *err)
{
    size_t n = value->as.array.n;
    struct sp_reach *reaches = sp_arena_array(arena, n, sizeof *reaches);
    if (!reaches) {
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        const struct sp_wire_value *v = &value->as.array.items[i];
        if (v->kind != SP_WIRE_ARRAY || v->as.array.n != 3 ||
            !take_text(&v->as.array.items[0], &reaches[i].methods) ||
            !take_text(&v->as.array.items[1], &reaches[i].host) ||
            !take_text(&v->as.array.items[2], &reaches[i].path)) {
            return sp_fail(err, SP_EINVAL, "a question of the wrong form");
        }
    }
    asked->reaches = reaches;
    asked->n_reaches = n;
    return SP_OK;
}

enum { Q_DO, Q_ID, Q_VERSION, Q_SETTINGS, Q_SECRETS, Q_REACHES, Q_LEASE, Q_WORDS, Q_COUNT };

static sp_status take_question(struct sp_arena *arena, const struct sp_wire_value **found,
                               struct worker_asked *asked, struct sp_error *err)
{
    bool lease = asked->question >= WORKER_RENEW;
    if (asked->question == WORKER_LOAD) {
        return SP_OK;
    }
    if (!found[Q_ID] || !found[Q_VERSION] || !found[Q_SETTINGS] || !found[Q_SECRETS] ||
        (asked->question == WORKER_PERMISSIONS && !found[Q_REACHES]) ||
        (lease && (!found[Q_LEASE] || !found[Q_WORDS]))) {
        return sp_fail(err, SP_EINVAL, "a question without what it is about");
    }
    sp_status status = take_key(arena, found, &asked->key, err);
    if (!status && asked->question == WORKER_PERMISSIONS) {
        status = take_reaches(arena, found[Q_REACHES], asked, err);
    }
    if (!status && lease) {
        asked->lease = found[Q_LEASE]->as.text;
        status = take_texts(arena, found[Q_WORDS], &asked->words, &asked->n_words, err);
    }
    return status;
}

sp_status worker_read_question(struct sp_arena *arena, struct sp_text map,
                               struct worker_asked *ret_asked, struct sp_error *err)
{
    enum { TEXT = SP_WIRE_IS(SP_WIRE_STR) | SP_WIRE_IS(SP_WIRE_BIN) };
    static const struct sp_wire_field fields[Q_COUNT] = {
        [Q_DO] = {"do", SP_WIRE_IS(SP_WIRE_STR), true},
        [Q_ID] = {"id", TEXT, false},
        [Q_VERSION] = {"version", SP_WIRE_IS(SP_WIRE_INT), false},
        [Q_SETTINGS] = {"settings", SP_WIRE_IS(SP_WIRE_ARRAY), false},
        [Q_SECRETS] = {"secrets", SP_WIRE_IS(SP_WIRE_ARRAY), false},
        [Q_REACHES] = {"reaches", SP_WIRE_IS(SP_WIRE_ARRAY), false},
        [Q_LEASE] = {"lease", TEXT, false},
        [Q_WORDS] = {"permissions", SP_WIRE_IS(SP_WIRE_ARRAY), false},
    };
    const struct sp_wire_value *found[Q_COUNT];
    struct sp_wire_value root;
    sp_status status = sp_wire_read_reply(arena, map, &root, err);
    status = status ? status : sp_wire_fields(&root, fields, Q_COUNT, found, err);
    if (status) {
        return status;
    }
    for (unsigned q = WORKER_LOAD; q < WORKER_QUESTIONS; q++) {
        if (sp_text_is(found[Q_DO]->as.text, questions[q])) {
            ret_asked->question = (enum worker_question)q;
            return take_question(arena, found, ret_asked, err);
        }
    }
    return sp_fail(err, SP_EINVAL, "an unknown question");
}

sp_status worker_read_answer(struct sp_arena *arena, struct sp_text map,
                             struct sp_hook_answer *ret_answer, struct sp_error *err)
{
    static const struct sp_wire_field fields[] = {
        {"answer", SP_WIRE_IS(SP_WIRE_INT), true},
        {"http_status", SP_WIRE_IS(SP_WIRE_INT), true},
        {"body", SP_WIRE_IS(SP_WIRE_BIN), true},
    };
    const struct sp_wire_value *found[3];
    struct sp_wire_value root;
    sp_status status = sp_wire_read_reply(arena, map, &root, err);
    status = status ? status : sp_wire_fields(&root, fields, 3, found, err);
    if (status) {
        return status;
    }
    *ret_answer = (struct sp_hook_answer){.status = (sp_status)found[0]->as.integer,
                                          .http_status = (uint32_t)found[1]->as.integer,
                                          .body = found[2]->as.text};
    return SP_OK;
}

/* ---- answers ----------------------------------------------------------------------------- */

static void put_said(struct sp_buf *buf, const char *name, int number, const char *text_name,
                     struct sp_text text)
{
    worker_frame_begin(buf);
    sp_wire_put_map(buf, 2);
    sp_wire_pair_int(buf, name, number);
    put_name(buf, text_name);
    sp_wire_put_text(buf, text);
    worker_frame_end(buf);
}

void worker_put_log(struct sp_buf *buf, unsigned level, struct sp_text text)
{
    put_said(buf, "log", (int)level, "text", text);
}

void worker_put_failure(struct sp_buf *buf, sp_status status, struct sp_text reason)
{
    put_said(buf, "status", status, "reason", reason);
}

static void put_field(struct sp_buf *buf, const struct sp_field *field)
{
    sp_wire_put_array(buf, 10);
    sp_wire_put_int(buf, field->type);
    sp_wire_put_int(buf, field->required ? SALLYPORT_FIELD_REQUIRED : 0);
    sp_wire_put_int(buf, field->charset);
    sp_wire_put_int(buf, field->min_bytes);
    sp_wire_put_int(buf, field->max_bytes);
    sp_wire_put_text(buf, field->name);
    sp_wire_put_text(buf, field->description);
    sp_wire_put_text(buf, field->fallback);
    sp_wire_put_text(buf, field->derives);
    sp_wire_put_array(buf, field->n_prefixes);
    for (size_t i = 0; i < field->n_prefixes; i++) {
        const struct sp_text pair[] = {field->prefixes[i].prefix, field->prefixes[i].label};
        put_texts(buf, pair, 2);
    }
}

static void put_action(struct sp_buf *buf, const struct sp_action *action)
{
    sp_wire_put_array(buf, 5);
    sp_wire_put_int(buf, action->escalates ? SALLYPORT_ACTION_ESCALATES : 0);
    sp_wire_put_text(buf, action->name);
    sp_wire_put_text(buf, action->method);
    sp_wire_put_text(buf, action->path);
    sp_wire_put_array(buf, action->n_fields);
    for (size_t i = 0; i < action->n_fields; i++) {
        const struct sp_text pair[] = {action->fields[i].name, action->fields[i].type};
        put_texts(buf, pair, 2);
    }
}

void worker_put_manifest(struct sp_buf *buf, const struct sp_manifest *manifest)
{
    const struct sp_text names[] = {manifest->id, manifest->version, manifest->description};
    worker_frame_begin(buf);
    sp_wire_put_map(buf, 8);
    sp_wire_pair_int(buf, "status", SP_OK);
    sp_wire_pair_int(buf, "leases", manifest->leases);
    sp_wire_pair_int(buf, "rotates", manifest->rotates);
    put_name(buf, "manifest");
    put_texts(buf, names, 3);
    put_name(buf, "hosts");
    put_texts(buf, manifest->hosts, manifest->n_hosts);
    put_name(buf, "request_headers");
    put_texts(buf, manifest->request_headers, manifest->n_request_headers);
    put_name(buf, "fields");
    sp_wire_put_array(buf, manifest->n_fields);
    for (size_t i = 0; i < manifest->n_fields; i++) {
        put_field(buf, &manifest->fields[i]);
    }
    put_name(buf, "actions");
    sp_wire_put_array(buf, manifest->n_actions);
    for (size_t i = 0; i < manifest->n_actions; i++) {
        put_action(buf, &manifest->actions[i]);
    }
    worker_frame_end(buf);
}

static void put_answer(struct sp_buf *buf, const char *name, const struct sp_text *texts,
                       size_t n)
{
    worker_frame_begin(buf);
    sp_wire_put_map(buf, 2);
    sp_wire_pair_int(buf, "status", SP_OK);
    put_name(buf, name);
    put_texts(buf, texts, n);
    worker_frame_end(buf);
}

void worker_put_hosts(struct sp_buf *buf, const struct sp_text *hosts, size_t n)
{
    put_answer(buf, "hosts", hosts, n);
}

static void put_headers(struct sp_buf *buf, uint32_t kind, const struct sp_setting *headers,
                        size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sp_wire_put_array(buf, 3);
        sp_wire_put_int(buf, kind);
        sp_wire_put_text(buf, headers[i].name);
        sp_wire_put_text(buf, headers[i].value);
    }
}

static void put_placements(struct sp_buf *buf, const struct sp_placement *placements, size_t n)
{
    static const uint32_t places[] = {[SP_PLACE_HEADER] = SALLYPORT_PLACE_HEADER,
                                      [SP_PLACE_QUERY] = SALLYPORT_PLACE_QUERY,
                                      [SP_PLACE_FORM] = SALLYPORT_PLACE_FORM};
    put_name(buf, "placements");
    sp_wire_put_array(buf, n);
    for (size_t i = 0; i < n; i++) {
        sp_wire_put_array(buf, 5);
        sp_wire_put_int(buf, places[placements[i].place]);
        sp_wire_put_int(buf, placements[i].base64 ? SALLYPORT_PLACE_BASE64 : 0);
        sp_wire_put_text(buf, placements[i].name);
        sp_wire_put_text(buf, placements[i].prefix);
        sp_wire_put_text(buf, placements[i].template);
    }
}

static void put_signature(struct sp_buf *buf, const struct sp_signature *signature)
{
    const struct sp_text texts[] = {signature->secret, signature->key_prefix,
                                    signature->canonical, signature->message};
    sp_wire_put_array(buf, 8);
    sp_wire_put_int(buf, signature->sha512 ? SALLYPORT_SIGN_HMAC_SHA512
                                           : SALLYPORT_SIGN_HMAC_SHA256);
    sp_wire_put_int(buf, (signature->base64 ? SALLYPORT_SIGN_BASE64 : 0) |
                             (signature->key_base64 ? SALLYPORT_SIGN_KEY_BASE64 : 0));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        sp_wire_put_text(buf, texts[i]);
    }
    put_texts(buf, signature->derive, signature->n_derive);
    sp_wire_put_array(buf, signature->n_outputs);
    for (size_t i = 0; i < signature->n_outputs; i++) {
        sp_wire_put_array(buf, 3);
        sp_wire_put_int(buf, signature->outputs[i].place);
        sp_wire_put_text(buf, signature->outputs[i].name);
        sp_wire_put_text(buf, signature->outputs[i].template);
    }
}

void worker_put_plan(struct sp_buf *buf, const struct sp_plan *plan)
{
    worker_frame_begin(buf);
    sp_wire_put_map(buf, 4);
    sp_wire_pair_int(buf, "status", SP_OK);
    put_placements(buf, plan->placements, plan->n_placements);
    put_name(buf, "headers");
    sp_wire_put_array(buf, plan->n_headers + plan->n_defaults);
    put_headers(buf, SALLYPORT_HEADER_FIXED, plan->headers, plan->n_headers);
    put_headers(buf, SALLYPORT_HEADER_DEFAULT, plan->defaults, plan->n_defaults);
    put_name(buf, "signatures");
    sp_wire_put_array(buf, plan->signature != NULL);
    if (plan->signature) {
        put_signature(buf, plan->signature);
    }
    worker_frame_end(buf);
}

void worker_put_permissions(struct sp_buf *buf, const struct sp_text *words, size_t n)
{
    put_answer(buf, "permissions", words, n);
}

void worker_put_life(struct sp_buf *buf, uint64_t life_ms)
{
    worker_frame_begin(buf);
    sp_wire_put_map(buf, 2);
    sp_wire_pair_int(buf, "status", SP_OK);
    sp_wire_pair_int(buf, "life", life_ms > INT64_MAX ? INT64_MAX : (int64_t)life_ms);
    worker_frame_end(buf);
}

void worker_put_http(struct sp_buf *buf, const struct sp_hook_request *request)
{
    const struct sp_text line[] = {request->method, request->url, request->body};
    worker_frame_begin(buf);
    sp_wire_put_map(buf, 5);
    put_name(buf, "http");
    put_texts(buf, line, 3);
    put_name(buf, "headers");
    sp_wire_put_array(buf, request->n_headers);
    put_headers(buf, SALLYPORT_HEADER_FIXED, request->headers, request->n_headers);
    put_placements(buf, request->placements, request->n_placements);
    put_name(buf, "captures");
    sp_wire_put_array(buf, request->n_captures);
    for (size_t i = 0; i < request->n_captures; i++) {
        const struct sp_hook_capture *capture = &request->captures[i];
        sp_wire_put_array(buf, 3);
        sp_wire_put_text(buf, capture->pointer);
        sp_wire_put_text(buf, capture->name);
        sp_wire_put_int(buf, (capture->optional ? SALLYPORT_CAPTURE_OPTIONAL : 0) |
                                 (capture->replaces ? SALLYPORT_CAPTURE_REPLACES : 0));
    }
    put_name(buf, "jwts");
    sp_wire_put_array(buf, request->n_jwts);
    for (size_t i = 0; i < request->n_jwts; i++) {
        const struct sp_hook_jwt *jwt = &request->jwts[i];
        sp_wire_put_array(buf, 7);
        sp_wire_put_int(buf, SALLYPORT_JWT_RS256);
        sp_wire_put_text(buf, jwt->name);
        sp_wire_put_text(buf, jwt->key);
        sp_wire_put_text(buf, jwt->issuer);
        sp_wire_put_text(buf, jwt->subject);
        sp_wire_put_text(buf, jwt->audience);
        sp_wire_put_int(buf, jwt->life_s);
    }
    worker_frame_end(buf);
}

bool worker_read_life(const struct sp_wire_value *answer, uint64_t *ret_life_ms)
{
    const struct sp_wire_value *life = sp_wire_get(answer, "life");
    if (!life || life->kind != SP_WIRE_INT || life->as.integer < 0) {
        return false;
    }
    *ret_life_ms = (uint64_t)life->as.integer;
    return true;
}

sp_status worker_read_said(struct sp_arena *arena, struct sp_text map,
                           struct worker_said *ret_said, struct sp_error *err)
{
    struct worker_said said = {.is_log = false};
    sp_status status = sp_wire_read_reply(arena, map, &said.answer, err);
    if (status) {
        return status;
    }
    if (sp_wire_get(&said.answer, "http")) {
        said.is_http = true;
        *ret_said = said;
        return SP_OK;
    }
    const struct sp_wire_value *log = sp_wire_get(&said.answer, "log");
    const struct sp_wire_value *number = log ? log : sp_wire_get(&said.answer, "status");
    const struct sp_wire_value *text = sp_wire_get(&said.answer, log ? "text" : "reason");
    bool good = number && number->kind == SP_WIRE_INT && number->as.integer >= INT16_MIN &&
                number->as.integer <= (log ? SALLYPORT_LOG_ERROR : SP_OK);
    bool needs_text = good && (log || number->as.integer != SP_OK);
    if (!good || (log && number->as.integer < 0) ||
        (needs_text && (!text || !take_text(text, &said.text)))) {
        return sp_fail(err, SP_EINVAL, "an answer of the wrong form");
    }
    said.is_log = log != NULL;
    if (log) {
        said.level = (unsigned)number->as.integer;
    } else {
        said.status = (sp_status)number->as.integer;
        said.reason = said.text;
    }
    *ret_said = said;
    return SP_OK;
}
