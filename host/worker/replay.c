/* What a worker answered, pushed through the functions that a plugin in this process would
 * call: each text, number and list meets the checks that are there already. Here is only form.
 */
#include "frames.h"

#include "plugin_push_sign.h"

/* ---- form -------------------------------------------------------------------------------- */

static const struct sp_wire_value *array(const struct sp_wire_value *value, size_t n)
{
    return value && value->kind == SP_WIRE_ARRAY && value->as.array.n == n
               ? value->as.array.items
               : NULL;
}

static bool text(const struct sp_wire_value *value, struct sallyport_text *ret_text)
{
    if (value->kind != SP_WIRE_STR && value->kind != SP_WIRE_BIN) {
        return false;
    }
    *ret_text = (struct sallyport_text){value->as.text.ptr, value->as.text.len};
    return true;
}

static bool number(const struct sp_wire_value *value, uint32_t *ret_number)
{
    if (value->kind != SP_WIRE_INT || value->as.integer < 0 || value->as.integer > UINT32_MAX) {
        return false;
    }
    *ret_number = (uint32_t)value->as.integer;
    return true;
}

enum formed { FORMED, ILL_FORMED, NO_MEMORY };

/* An array of pointers to structures, as the ABI wants lists: `size` bytes each. */
static enum formed list(struct sp_arena *arena, const struct sp_wire_value *value, size_t size,
                        void **ret_items, const void ***ret_pointers, uint32_t *ret_n)
{
    if (value->kind != SP_WIRE_ARRAY || value->as.array.n > UINT32_MAX) {
        return ILL_FORMED;
    }
    size_t n = value->as.array.n;
    char *items = sp_arena_array(arena, n, size);
    const void **pointers = sp_arena_array(arena, n, sizeof *pointers);
    if (!items || !pointers) {
        return NO_MEMORY;
    }
    for (size_t i = 0; i < n; i++) {
        pointers[i] = items + i * size;
    }
    *ret_items = items;
    *ret_pointers = pointers;
    *ret_n = (uint32_t)n;
    return FORMED;
}

static enum formed field(struct sp_arena *arena, const struct sp_wire_value *value,
                         struct sallyport_field *ret_field)
{
    const struct sp_wire_value *v = array(value, 10);
    struct sallyport_field to = {.size = sizeof to};
    struct sallyport_prefix *prefixes;
    const void **pointers;
    void *items;
    if (!v || !number(&v[0], &to.type) || !number(&v[1], &to.flags) ||
        !number(&v[2], &to.charset) || !number(&v[3], &to.min_bytes) ||
        !number(&v[4], &to.max_bytes) || !text(&v[5], &to.name) ||
        !text(&v[6], &to.description) || !text(&v[7], &to.fallback) ||
        !text(&v[8], &to.derives)) {
        return ILL_FORMED;
    }
    enum formed formed =
        list(arena, &v[9], sizeof *prefixes, &items, &pointers, &to.n_prefixes);
    prefixes = formed == FORMED ? items : NULL;
    for (uint32_t i = 0; formed == FORMED && i < to.n_prefixes; i++) {
        const struct sp_wire_value *pair = array(&v[9].as.array.items[i], 2);
        prefixes[i] = (struct sallyport_prefix){.size = sizeof prefixes[i]};
        if (!pair || !text(&pair[0], &prefixes[i].prefix) ||
            !text(&pair[1], &prefixes[i].label)) {
            formed = ILL_FORMED;
        }
    }
    if (formed == FORMED) {
        to.prefixes = (const struct sallyport_prefix *const *)pointers;
        *ret_field = to;
    }
    return formed;
}

static enum formed action(struct sp_arena *arena, const struct sp_wire_value *value,
                          struct sallyport_action *ret_action)
{
    const struct sp_wire_value *v = array(value, 5);
    struct sallyport_action to = {.size = sizeof to};
    struct sallyport_action_field *fields;
    const void **pointers;
    void *items;
    if (!v || !number(&v[0], &to.flags) || !text(&v[1], &to.name) || !text(&v[2], &to.method) ||
        !text(&v[3], &to.path)) {
        return ILL_FORMED;
    }
    enum formed formed = list(arena, &v[4], sizeof *fields, &items, &pointers, &to.n_fields);
    fields = formed == FORMED ? items : NULL;
    for (uint32_t i = 0; formed == FORMED && i < to.n_fields; i++) {
        const struct sp_wire_value *pair = array(&v[4].as.array.items[i], 2);
        fields[i] = (struct sallyport_action_field){.size = sizeof fields[i]};
        if (!pair || !text(&pair[0], &fields[i].name) || !text(&pair[1], &fields[i].type)) {
            formed = ILL_FORMED;
        }
    }
    if (formed == FORMED) {
        to.fields = (const struct sallyport_action_field *const *)pointers;
        *ret_action = to;
    }
    return formed;
}

/* ---- pushes ------------------------------------------------------------------------------ */

struct replay {
    struct sp_plugin_host *host;
    uint64_t call;
    struct sp_arena *arena;
    bool out_of_memory;
};

/* Each pushes one item: false where it has not the form. A refused push is in the host's call.
 */
typedef bool (*push_one)(struct replay *r, const struct sp_wire_value *value);

static bool each(struct replay *r, const struct sp_wire_value *answer, const char *name,
                 push_one push)
{
    const struct sp_wire_value *value = sp_wire_get(answer, name);
    if (!value || value->kind != SP_WIRE_ARRAY) {
        return false;
    }
    bool good = true;
    for (size_t i = 0; good && i < value->as.array.n; i++) {
        good = push(r, &value->as.array.items[i]);
    }
    return good;
}

static bool formed_well(struct replay *r, enum formed formed)
{
    r->out_of_memory = r->out_of_memory || formed == NO_MEMORY;
    return formed == FORMED;
}

static bool push_host(struct replay *r, const struct sp_wire_value *value)
{
    struct sallyport_text name;
    if (!text(value, &name)) {
        return false;
    }
    (void)sp_push_host(&r->host->table, r->call, &name);
    return true;
}

static bool push_request_header(struct replay *r, const struct sp_wire_value *value)
{
    struct sallyport_text name;
    if (!text(value, &name)) {
        return false;
    }
    (void)sp_push_request_header(&r->host->table, r->call, &name);
    return true;
}

static bool push_field(struct replay *r, const struct sp_wire_value *value)
{
    struct sallyport_field to;
    if (!formed_well(r, field(r->arena, value, &to))) {
        return false;
    }
    (void)sp_push_field(&r->host->table, r->call, &to);
    return true;
}

static bool push_action(struct replay *r, const struct sp_wire_value *value)
{
    struct sallyport_action to;
    if (!formed_well(r, action(r->arena, value, &to))) {
        return false;
    }
    (void)sp_push_action(&r->host->table, r->call, &to);
    return true;
}

static bool push_manifest(struct replay *r, const struct sp_wire_value *answer)
{
    const struct sp_wire_value *v = array(sp_wire_get(answer, "manifest"), 3);
    struct sallyport_manifest to = {.size = sizeof to};
    if (!v || !text(&v[0], &to.id) || !text(&v[1], &to.version) ||
        !text(&v[2], &to.description)) {
        return false;
    }
    const struct sp_wire_value *leases = sp_wire_get(answer, "leases");
    const struct sp_wire_value *rotates = sp_wire_get(answer, "rotates");
    uint32_t mints = 0, replaces = 0;
    if (!leases || !number(leases, &mints) || mints > 1 || !rotates ||
        !number(rotates, &replaces) || replaces > 1) {
        return false;
    }
    (void)sp_push_manifest(&r->host->table, r->call, &to);
    r->host->manifest.leases = mints == 1;
    r->host->manifest.rotates = replaces == 1;
    return each(r, answer, "hosts", push_host) &&
           each(r, answer, "request_headers", push_request_header) &&
           each(r, answer, "fields", push_field) && each(r, answer, "actions", push_action);
}

static bool placement(const struct sp_wire_value *value, struct sallyport_placement *to)
{
    const struct sp_wire_value *v = array(value, 5);
    *to = (struct sallyport_placement){.size = sizeof *to};
    return v && number(&v[0], &to->place) && number(&v[1], &to->flags) &&
           text(&v[2], &to->name) && text(&v[3], &to->prefix) &&
           text(&v[4], &to->template_text);
}

static bool header(const struct sp_wire_value *value, struct sallyport_header *to)
{
    const struct sp_wire_value *v = array(value, 3);
    *to = (struct sallyport_header){.size = sizeof *to};
    return v && number(&v[0], &to->kind) && text(&v[1], &to->name) && text(&v[2], &to->value);
}

static bool push_placement(struct replay *r, const struct sp_wire_value *value)
{
    struct sallyport_placement to;
    if (!placement(value, &to)) {
        return false;
    }
    (void)sp_push_placement(&r->host->table, r->call, &to);
    return true;
}

static bool push_header(struct replay *r, const struct sp_wire_value *value)
{
    struct sallyport_header to;
    if (!header(value, &to)) {
        return false;
    }
    (void)sp_push_header(&r->host->table, r->call, &to);
    return true;
}

static bool push_permission(struct replay *r, const struct sp_wire_value *value)
{
    struct sallyport_text word;
    if (!text(value, &word)) {
        return false;
    }
    (void)sp_push_permission(&r->host->table, r->call, &word);
    return true;
}

/* The two lists of a signature. */
static enum formed signature_lists(struct sp_arena *arena, const struct sp_wire_value *v,
                                   struct sallyport_signature *to)
{
    struct sallyport_text *derive;
    struct sallyport_sign_output *outputs;
    const void **pointers;
    void *items;
    enum formed formed = list(arena, &v[6], sizeof *derive, &items, &pointers, &to->n_derive);
    if (formed != FORMED) {
        return formed;
    }
    derive = items;
    to->derive = (const struct sallyport_text *const *)pointers;
    for (uint32_t i = 0; i < to->n_derive; i++) {
        if (!text(&v[6].as.array.items[i], &derive[i])) {
            return ILL_FORMED;
        }
    }
    formed = list(arena, &v[7], sizeof *outputs, &items, &pointers, &to->n_outputs);
    if (formed != FORMED) {
        return formed;
    }
    outputs = items;
    to->outputs = (const struct sallyport_sign_output *const *)pointers;
    for (uint32_t i = 0; i < to->n_outputs; i++) {
        const struct sp_wire_value *o = array(&v[7].as.array.items[i], 3);
        outputs[i].size = sizeof outputs[i];
        if (!o || !number(&o[0], &outputs[i].place) || !text(&o[1], &outputs[i].name) ||
            !text(&o[2], &outputs[i].template_text)) {
            return ILL_FORMED;
        }
    }
    return FORMED;
}

static bool push_signature(struct replay *r, const struct sp_wire_value *value)
{
    const struct sp_wire_value *v = array(value, 8);
    struct sallyport_signature to = {.size = sizeof to};
    if (!v || !number(&v[0], &to.algorithm) || !number(&v[1], &to.flags) ||
        !text(&v[2], &to.secret) || !text(&v[3], &to.key_prefix) ||
        !text(&v[4], &to.canonical) || !text(&v[5], &to.message) ||
        !formed_well(r, signature_lists(r->arena, v, &to))) {
        return false;
    }
    (void)sp_sign_table.push_signature(&r->host->table, r->call, &to);
    return true;
}

sp_status worker_replay(struct sp_plugin_host *host, uint64_t call,
                        enum worker_question question, struct sp_arena *arena,
                        const struct sp_wire_value *answer, struct sp_error *err)
{
    struct replay r = {host, call, arena, false};
    bool good = false;
    switch (question) {
    case WORKER_LOAD:
        good = push_manifest(&r, answer);
        break;
    case WORKER_CHECK:
        good = each(&r, answer, "hosts", push_host);
        break;
    case WORKER_PLAN:
        good = each(&r, answer, "placements", push_placement) &&
               each(&r, answer, "headers", push_header) &&
               each(&r, answer, "signatures", push_signature);
        break;
    case WORKER_PERMISSIONS:
        good = each(&r, answer, "permissions", push_permission);
        break;
    case WORKER_RENEW:
    case WORKER_REVOKE:
    case WORKER_ROTATE:
    case WORKER_FINISH:
        good = sp_wire_get(answer, "life") != NULL; /* read by who asked */
        break;
    case WORKER_QUESTIONS:
    default:
        break;
    }
    if (good) {
        return SP_OK;
    }
    return r.out_of_memory ? sp_fail(err, SP_ENOMEM, "out of memory")
                           : sp_fail(err, SP_EINVAL, "an answer of the wrong form");
}

/* ---- a request of the worker's -------------------------------------------------------------
 */

static enum formed captures(struct sp_arena *arena, const struct sp_wire_value *value,
                            struct sallyport_http_request *to)
{
    const void **pointers;
    void *items;
    enum formed formed = list(arena, value, sizeof(struct sallyport_http_capture), &items,
                              &pointers, &to->n_captures);
    struct sallyport_http_capture *capture = formed == FORMED ? items : NULL;
    for (uint32_t i = 0; formed == FORMED && i < to->n_captures; i++) {
        const struct sp_wire_value *v = array(&value->as.array.items[i], 3);
        capture[i] = (struct sallyport_http_capture){.size = sizeof *capture};
        if (!v || !text(&v[0], &capture[i].pointer) || !text(&v[1], &capture[i].name) ||
            !number(&v[2], &capture[i].flags)) {
            formed = ILL_FORMED;
        }
    }
    if (formed == FORMED) {
        to->captures = (const struct sallyport_http_capture *const *)pointers;
    }
    return formed;
}

static enum formed jwts(struct sp_arena *arena, const struct sp_wire_value *value,
                        struct sallyport_http_request *to)
{
    const void **pointers;
    void *items;
    enum formed formed =
        list(arena, value, sizeof(struct sallyport_http_jwt), &items, &pointers, &to->n_jwts);
    struct sallyport_http_jwt *jwt = formed == FORMED ? items : NULL;
    for (uint32_t i = 0; formed == FORMED && i < to->n_jwts; i++) {
        const struct sp_wire_value *v = array(&value->as.array.items[i], 7);
        jwt[i] = (struct sallyport_http_jwt){.size = sizeof *jwt};
        if (!v || !number(&v[0], &jwt[i].algorithm) || !text(&v[1], &jwt[i].name) ||
            !text(&v[2], &jwt[i].key) || !text(&v[3], &jwt[i].issuer) ||
            !text(&v[4], &jwt[i].subject) || !text(&v[5], &jwt[i].audience) ||
            !number(&v[6], &jwt[i].life_s)) {
            formed = ILL_FORMED;
        }
    }
    if (formed == FORMED) {
        to->jwts = (const struct sallyport_http_jwt *const *)pointers;
    }
    return formed;
}

static enum formed places(struct sp_arena *arena, const struct sp_wire_value *said,
                          struct sallyport_http_request *to)
{
    const struct sp_wire_value *values[] = {sp_wire_get(said, "placements"),
                                            sp_wire_get(said, "headers")};
    const void **pointers[2];
    void *items[2];
    enum formed formed = !values[0] || !values[1]
                             ? ILL_FORMED
                             : list(arena, values[0], sizeof(struct sallyport_placement),
                                    &items[0], &pointers[0], &to->n_placements);
    if (formed == FORMED) {
        formed = list(arena, values[1], sizeof(struct sallyport_header), &items[1],
                      &pointers[1], &to->n_headers);
    }
    if (formed != FORMED) {
        return formed;
    }
    struct sallyport_placement *place = items[0];
    struct sallyport_header *head = items[1];
    for (uint32_t i = 0; i < to->n_placements; i++) {
        if (!placement(&values[0]->as.array.items[i], &place[i])) {
            return ILL_FORMED;
        }
    }
    for (uint32_t i = 0; i < to->n_headers; i++) {
        if (!header(&values[1]->as.array.items[i], &head[i])) {
            return ILL_FORMED;
        }
    }
    to->placements = (const struct sallyport_placement *const *)pointers[0];
    to->headers = (const struct sallyport_header *const *)pointers[1];
    return FORMED;
}

sp_status worker_replay_http(struct sp_plugin_host *host, uint64_t call, struct sp_arena *arena,
                             const struct sp_wire_value *said,
                             struct sp_hook_request *ret_request, struct sp_error *err)
{
    const struct sp_wire_value *line = array(sp_wire_get(said, "http"), 3);
    const struct sp_wire_value *captured = sp_wire_get(said, "captures");
    const struct sp_wire_value *signing = sp_wire_get(said, "jwts");
    struct sallyport_http_request to = {.size = sizeof to};
    if (!line || !captured || !signing || !text(&line[0], &to.method) ||
        !text(&line[1], &to.url) || !text(&line[2], &to.body)) {
        return sp_fail(err, SP_EINVAL, "a request of the wrong form");
    }
    enum formed formed = places(arena, said, &to);
    formed = formed == FORMED ? captures(arena, captured, &to) : formed;
    formed = formed == FORMED ? jwts(arena, signing, &to) : formed;
    if (formed != FORMED) {
        return formed == NO_MEMORY ? sp_fail(err, SP_ENOMEM, "out of memory")
                                   : sp_fail(err, SP_EINVAL, "a request of the wrong form");
    }
    return sp_http_take(host, call, &to, ret_request)
               ? sp_fail(err, SP_EDENIED, "%s", host->reason.text)
               : SP_OK;
}
