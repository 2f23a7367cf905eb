#include "hook_perform.h"

#include "canonical.h"
#include "jwt.h"
#include "placement.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum {
    EXCHANGE_MAX_BYTES = 1 << 20,
    CAPTURED_MIN_BYTES = 8, /* what is shorter the guard would not look for */
    BODY_MAX_BYTES = 128 << 10,
};

/* One request, from the hook's asking to its answer. */
struct exchange {
    struct sp_hook_context *context;
    struct sp_arena arena;
    struct sp_hook_request asked; /* a copy, in the arena */
    struct sp_request request;
    struct sp_key key; /* the context's, with the signed tokens behind its secrets */
    struct sp_secret tokens[SP_HOOK_JWTS_MAX];
    size_t n_tokens;
    struct sp_plan plan;
    struct sp_wipe_buf body; /* with what was placed into it */
    sp_hook_answered answered;
    void *user;
};

/* ---- ends -----------------------------------------------------------------------------------
 */

static void end(struct exchange *x, const struct sp_hook_answer *answer)
{
    x->context->n_performing--;
    x->answered(x->user, answer);
    for (size_t i = 0; i < x->n_tokens; i++) {
        sp_secret_free(&x->tokens[i]);
    }
    sp_wipe_buf_done(&x->body);
    sp_arena_done(&x->arena);
    free(x);
}

static void end_with(struct exchange *x, sp_status status, const struct sp_error *err)
{
    x->context->failure = *err;
    end(x, &(struct sp_hook_answer){.status = status, .body = SP_TEXT("")});
}

/* ---- what was asked -------------------------------------------------------------------------
 */

static bool copy(struct sp_arena *arena, struct sp_text from, struct sp_text *ret_copy)
{
    *ret_copy = sp_arena_copy(arena, from);
    return ret_copy->ptr != NULL;
}

static bool copy_placements(struct sp_arena *arena, struct sp_hook_request *to)
{
    struct sp_placement *items = sp_arena_array(arena, to->n_placements, sizeof *items);
    bool good = items != NULL;
    for (size_t i = 0; good && i < to->n_placements; i++) {
        items[i] = to->placements[i];
        good = copy(arena, items[i].name, &items[i].name) &&
               copy(arena, items[i].prefix, &items[i].prefix) &&
               copy(arena, items[i].template, &items[i].template);
    }
    to->placements = items;
    return good;
}

static bool copy_parts(struct sp_arena *arena, struct sp_hook_request *to)
{
    struct sp_setting *headers = sp_arena_array(arena, to->n_headers, sizeof *headers);
    struct sp_hook_capture *captures = sp_arena_array(arena, to->n_captures, sizeof *captures);
    struct sp_hook_jwt *jwts = sp_arena_array(arena, to->n_jwts, sizeof *jwts);
    bool good = headers && captures && jwts;
    for (size_t i = 0; good && i < to->n_headers; i++) {
        good = copy(arena, to->headers[i].name, &headers[i].name) &&
               copy(arena, to->headers[i].value, &headers[i].value);
    }
    for (size_t i = 0; good && i < to->n_captures; i++) {
        good = copy(arena, to->captures[i].pointer, &captures[i].pointer) &&
               copy(arena, to->captures[i].name, &captures[i].name);
    }
    for (size_t i = 0; good && i < to->n_jwts; i++) {
        jwts[i] = to->jwts[i];
        good = copy(arena, jwts[i].name, &jwts[i].name) &&
               copy(arena, jwts[i].key, &jwts[i].key) &&
               copy(arena, jwts[i].issuer, &jwts[i].issuer) &&
               copy(arena, jwts[i].subject, &jwts[i].subject) &&
               copy(arena, jwts[i].audience, &jwts[i].audience);
    }
    to->headers = headers;
    to->captures = captures;
    to->jwts = jwts;
    return good;
}

static bool keep(struct exchange *x, const struct sp_hook_request *request)
{
    x->asked = *request;
    return copy(&x->arena, request->method, &x->asked.method) &&
           copy(&x->arena, request->url, &x->asked.url) &&
           copy(&x->arena, request->body, &x->asked.body) &&
           copy_placements(&x->arena, &x->asked) && copy_parts(&x->arena, &x->asked);
}

/* ---- what is sent ---------------------------------------------------------------------------
 */

/* The context's key, and the tokens that it signs for this request. */
static sp_status make_key(struct exchange *x, struct sp_error *err)
{
    const struct sp_key *base = x->context->key;
    size_t n = base->n_secrets;
    struct sp_key_secret *secrets =
        sp_arena_array(&x->arena, n + x->asked.n_jwts, sizeof *secrets);
    if (!secrets) {
        return SP_ENOMEM;
    }
    if (n) {
        memcpy(secrets, base->secrets, n * sizeof *secrets);
    }
    sp_status status = SP_OK;
    int64_t now = sp_wall_ms();
    for (size_t i = 0; !status && i < x->asked.n_jwts; i++) {
        const struct sp_hook_jwt *jwt = &x->asked.jwts[i];
        struct sp_text signer;
        status = sp_placement_secret(base, jwt->key, &signer, err);
        if (!status) {
            status = sp_jwt_sign(jwt, signer, now, sp_engine_pool(x->context->engine),
                                 &x->tokens[i], err);
        }
        if (!status) {
            x->n_tokens++;
            secrets[n++] = (struct sp_key_secret){jwt->name, x->tokens[i]};
        }
    }
    x->key = *base;
    x->key.secrets = secrets;
    x->key.n_secrets = n;
    return status;
}

/* Placements into the body go there now; the others are a plan's. */
static sp_status make_plan(struct exchange *x, struct sp_error *err)
{
    struct sp_placement *items =
        sp_arena_array(&x->arena, x->asked.n_placements, sizeof *items);
    size_t n = 0;
    sp_status status = items ? SP_OK : SP_ENOMEM;
    sp_wipe_buf_add_text(&x->body, x->asked.body);
    for (size_t i = 0; !status && i < x->asked.n_placements; i++) {
        const struct sp_placement *placement = &x->asked.placements[i];
        if (placement->place == SP_PLACE_FORM) {
            status = sp_placement_form(placement, &x->key, &x->body, err);
        } else {
            items[n++] = *placement;
        }
    }
    x->plan = (struct sp_plan){.placements = items,
                               .n_placements = n,
                               .headers = x->asked.headers,
                               .n_headers = x->asked.n_headers};
    x->request.body = sp_wipe_buf_text(&x->body);
    return status ? status : x->body.failed ? SP_ETOOBIG : SP_OK;
}

/* ---- what comes back ------------------------------------------------------------------------
 */

/* RFC 6901, through objects alone; *ret_parent and *ret_name: where the value stands. */
static json_t *find(json_t *root, struct sp_text pointer, json_t **ret_parent, char *name,
                    size_t room)
{
    json_t *value = root;
    for (size_t at = 0; value && at < pointer.len;) {
        size_t n = 0;
        *ret_parent = value;
        for (at++; at < pointer.len && pointer.ptr[at] != '/'; at++) {
            char c = pointer.ptr[at];
            if (c == '~' && at + 1 < pointer.len) {
                c = pointer.ptr[++at] == '1' ? '/' : '~';
            }
            if (n + 1 == room) {
                return NULL;
            }
            name[n++] = c;
        }
        name[n] = '\0';
        value = json_is_object(value) ? json_object_get(value, name) : NULL;
    }
    return value;
}

static sp_status keep_captured(struct sp_hook_context *context, struct sp_text name,
                               json_t *value)
{
    size_t len = json_is_string(value) ? json_string_length(value) : 0, i = 0;
    struct sp_secret secret;
    while (i < context->n_captured && !sp_text_is(name, context->names[i])) {
        i++;
    }
    if (i == SP_CAPTURED_MAX || len < CAPTURED_MIN_BYTES || len > SP_SECRET_MAX_BYTES ||
        sp_secret_new(sp_engine_pool(context->engine), len, &secret)) {
        return SP_EINVAL;
    }
    memcpy(secret.ptr, json_string_value(value), len);
    if (i == context->n_captured) {
        size_t n =
            name.len < sizeof context->names[i] - 1 ? name.len : sizeof context->names[i] - 1;
        memcpy(context->names[i], name.ptr, n);
        context->names[i][n] = '\0';
        context->captured[i] = (struct sp_key_secret){sp_text_of(context->names[i]), secret};
        context->n_captured++;
    } else {
        sp_secret_free(&context->captured[i].value);
        context->captured[i].value = secret;
    }
    return SP_OK;
}

/* The answer without what was captured: the plugin sees that it was there. */
static sp_status capture(struct exchange *x, struct sp_text body, struct sp_text *ret_body)
{
    json_t *root = json_loadb(body.ptr ? body.ptr : "", body.len, JSON_REJECT_DUPLICATES, NULL);
    sp_status status = root ? SP_OK : SP_EINVAL;
    for (size_t i = 0; !status && i < x->asked.n_captures; i++) {
        char name[128];
        json_t *parent = NULL;
        json_t *value = find(root, x->asked.captures[i].pointer, &parent, name, sizeof name);
        status =
            value ? keep_captured(x->context, x->asked.captures[i].name, value) : SP_EINVAL;
        if (!status && json_object_set_new(parent, name, json_string(""))) {
            status = SP_ENOMEM;
        }
    }
    char *text = status ? NULL : sp_arena_array(&x->arena, SP_HOOK_ANSWER_MAX_BYTES, 1);
    if (text) {
        size_t len = json_dumpb(root, text, SP_HOOK_ANSWER_MAX_BYTES, JSON_COMPACT);
        status = len > SP_HOOK_ANSWER_MAX_BYTES ? SP_ETOOBIG : SP_OK;
        *ret_body = (struct sp_text){text, len};
    }
    json_decref(root);
    return text ? status : SP_EINVAL;
}

static void on_reply(void *user, const struct sp_reply *reply)
{
    struct exchange *x = user;
    struct sp_hook_answer answer = {.status = SP_EIO, .body = reply->body};
    if (reply->code == SP_CODE_OK && reply->body.len <= SP_HOOK_ANSWER_MAX_BYTES) {
        bool minted = reply->http_status >= 200 && reply->http_status <= 299;
        answer.status = SP_OK;
        answer.http_status = (uint32_t)reply->http_status;
        if (minted && x->asked.n_captures && capture(x, reply->body, &answer.body)) {
            answer.status = SP_EIO;
        }
    }
    if (answer.status) {
        answer.body = SP_TEXT("");
        (void)sp_fail(&x->context->failure, answer.status, "%s",
                      reply->code == SP_CODE_OK
                          ? "the upstream's answer is too large, or lacks what was to be minted"
                          : reply->reason);
    }
    end(x, &answer);
}

static void on_recorded(void *user, sp_status status, const struct sp_error *err)
{
    struct exchange *x = user;
    struct sp_error why = {""};
    uint64_t id;
    if (status) { /* what is not on record is not sent */
        end_with(x, SP_EIO, err);
        return;
    }
    struct sp_send send = {
        .key = &x->key, .plan = &x->plan, .request = &x->request, .answer_is_secret = true};
    status = sp_egress_send(x->context->egress, &send, on_reply, x, &id, &why);
    if (status) {
        end_with(x, status == SP_EINVAL ? SP_EINVAL : SP_EIO, &why);
    }
}

void sp_hook_perform(void *user, const struct sp_hook_request *request,
                     sp_hook_answered answered, void *answered_user)
{
    struct sp_hook_context *context = user;
    struct sp_error err = {"out of memory"};
    struct exchange *x = calloc(1, sizeof *x);
    if (!x) {
        answered(answered_user,
                 &(struct sp_hook_answer){.status = SP_EIO, .body = SP_TEXT("")});
        return;
    }
    context->n_performing++;
    x->context = context;
    x->answered = answered;
    x->user = answered_user;
    sp_arena_init(&x->arena, EXCHANGE_MAX_BYTES);
    sp_wipe_buf_init(&x->body, BODY_MAX_BYTES);
    if (!keep(x, request)) {
        end_with(x, SP_EIO, &err);
        return;
    }
    struct sp_raw_request raw = {.method = x->asked.method, .url = x->asked.url};
    if (sp_canonical(&x->arena, &raw, &x->request, &err)) {
        end_with(x, SP_EINVAL, &err);
        return;
    }
    if (!sp_key_covers(context->key, x->request.url.host)) {
        (void)sp_fail(&err, SP_EDENIED,
                      "the plugin asks for %.*s, which is no host of this key",
                      (int)x->request.url.host.len, x->request.url.host.ptr);
        end_with(x, SP_EDENIED, &err);
        return;
    }
    if (make_key(x, &err) || make_plan(x, &err)) {
        end_with(x, SP_EINVAL, &err);
        return;
    }
    sp_engine_lease_http(context->engine, context->lease, &x->request, on_recorded, x);
}

void sp_hook_context_done(struct sp_hook_context *context)
{
    for (size_t i = 0; i < context->n_captured; i++) {
        sp_secret_free(&context->captured[i].value);
    }
    context->n_captured = 0;
}
