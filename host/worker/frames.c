#include "frames.h"

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

static const char *const questions[] = {"load", "check", "plan"};

void worker_put_question(struct sp_buf *buf, enum worker_question question,
                         const struct sp_key_view *key)
{
    worker_frame_begin(buf);
    sp_wire_put_map(buf, key ? 5 : 1);
    sp_wire_pair_str(buf, "do", sp_text_of(questions[question]));
    if (key) {
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

sp_status worker_read_question(struct sp_arena *arena, struct sp_text map,
                               struct worker_asked *ret_asked, struct sp_error *err)
{
    enum { TEXT = SP_WIRE_IS(SP_WIRE_STR) | SP_WIRE_IS(SP_WIRE_BIN) };
    static const struct sp_wire_field fields[] = {
        {"do", SP_WIRE_IS(SP_WIRE_STR), true},
        {"id", TEXT, false},
        {"version", SP_WIRE_IS(SP_WIRE_INT), false},
        {"settings", SP_WIRE_IS(SP_WIRE_ARRAY), false},
        {"secrets", SP_WIRE_IS(SP_WIRE_ARRAY), false},
    };
    enum { N = sizeof fields / sizeof *fields };
    const struct sp_wire_value *found[N];
    struct sp_wire_value root;
    sp_status status = sp_wire_read_reply(arena, map, &root, err);
    status = status ? status : sp_wire_fields(&root, fields, N, found, err);
    if (status) {
        return status;
    }
    for (unsigned q = WORKER_LOAD; q <= WORKER_PLAN; q++) {
        if (sp_text_is(found[0]->as.text, questions[q])) {
            ret_asked->question = (enum worker_question)q;
            if (q == WORKER_LOAD) {
                return SP_OK;
            }
            return found[1] && found[2] && found[3] && found[4]
                       ? take_key(arena, found, &ret_asked->key, err)
                       : sp_fail(err, SP_EINVAL, "a question without its key");
        }
    }
    return sp_fail(err, SP_EINVAL, "an unknown question");
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
    sp_wire_put_map(buf, 6);
    sp_wire_pair_int(buf, "status", SP_OK);
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

void worker_put_hosts(struct sp_buf *buf, const struct sp_text *hosts, size_t n)
{
    worker_frame_begin(buf);
    sp_wire_put_map(buf, 2);
    sp_wire_pair_int(buf, "status", SP_OK);
    put_name(buf, "hosts");
    put_texts(buf, hosts, n);
    worker_frame_end(buf);
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

void worker_put_plan(struct sp_buf *buf, const struct sp_plan *plan)
{
    worker_frame_begin(buf);
    sp_wire_put_map(buf, 3);
    sp_wire_pair_int(buf, "status", SP_OK);
    put_name(buf, "placements");
    sp_wire_put_array(buf, plan->n_placements);
    for (size_t i = 0; i < plan->n_placements; i++) {
        const struct sp_placement *placement = &plan->placements[i];
        sp_wire_put_array(buf, 5);
        sp_wire_put_int(buf, placement->place);
        sp_wire_put_int(buf, placement->base64 ? SALLYPORT_PLACE_BASE64 : 0);
        sp_wire_put_text(buf, placement->name);
        sp_wire_put_text(buf, placement->prefix);
        sp_wire_put_text(buf, placement->template);
    }
    put_name(buf, "headers");
    sp_wire_put_array(buf, plan->n_headers + plan->n_defaults);
    put_headers(buf, SALLYPORT_HEADER_FIXED, plan->headers, plan->n_headers);
    put_headers(buf, SALLYPORT_HEADER_DEFAULT, plan->defaults, plan->n_defaults);
    worker_frame_end(buf);
}

sp_status worker_read_said(struct sp_arena *arena, struct sp_text map,
                           struct worker_said *ret_said, struct sp_error *err)
{
    struct worker_said said = {.is_log = false};
    sp_status status = sp_wire_read_reply(arena, map, &said.answer, err);
    if (status) {
        return status;
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
