#include "hook_perform.h"

#include "canonical.h"
#include "guard.h"
#include "json.h"
#include "jwt.h"
#include "key_next.h"
#include "placement.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum {
    EXCHANGE_MAX_BYTES = 1 << 20,
    CAPTURED_MIN_BYTES = 8, /* what is shorter the guard would not look for */
    BODY_MAX_BYTES = 128 << 10,
    STORE_TRIES_MAX = 8, /* against other changes of the key */
};

/* One request, from the hook's asking to its answer. */
struct exchange {
    struct sp_hook_context *context;
    struct sp_arena arena;
    struct sp_hook_request asked; /* a copy, in the arena */
    struct sp_request request;
    const struct sp_key *used; /* its own reference */
    struct sp_key key;         /* that one, with the signed tokens behind its secrets */
    struct sp_secret tokens[SP_HOOK_JWTS_MAX];
    size_t n_tokens;
    struct sp_plan plan;
    struct sp_wipe_buf body; /* with what was placed into it */
    /* What the upstream gave in place of the key's own secrets; names in `asked`. */
    struct sp_key_secret replaced[SP_HOOK_CAPTURES_MAX];
    size_t n_replaced;
    struct sp_hook_answer answer; /* once that is stored; in the arena */
    const struct sp_key *now;     /* the version that it is put on */
    unsigned n_tries;
    sp_hook_answered answered;
    void *user;
};

/* ---- ends -----------------------------------------------------------------------------------
 */

static void end(struct exchange *x, const struct sp_hook_answer *answer)
{
    struct sp_hook_context *context = x->context;
    x->answered(x->user, answer);
    for (size_t i = 0; i < x->n_tokens; i++) {
        sp_secret_free(&x->tokens[i]);
    }
    for (size_t i = 0; i < x->n_replaced; i++) {
        sp_secret_free(&x->replaced[i].value);
    }
    sp_key_unref(context->engine, x->used);
    sp_wipe_buf_done(&x->body);
    sp_arena_done(&x->arena);
    free(x);
    if (--context->n_performing == 0 && context->idle) {
        void (*idle)(void *user) = context->idle;
        context->idle = NULL;
        idle(context->idle_user);
    }
    sp_hook_context_unref(context);
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
        captures[i] = to->captures[i];
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
    const struct sp_key *base = x->used;
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

/* A text of the answer, in guarded memory. */
static sp_status secret_of(struct sp_engine *engine, json_t *value,
                           struct sp_secret *ret_secret)
{
    size_t len = json_is_string(value) ? json_string_length(value) : 0;
    if (len < CAPTURED_MIN_BYTES || len > SP_SECRET_MAX_BYTES ||
        sp_secret_new(sp_engine_pool(engine), len, ret_secret)) {
        return SP_EINVAL;
    }
    memcpy(ret_secret->ptr, json_string_value(value), len);
    return SP_OK;
}

static sp_status keep_captured(struct sp_hook_context *context, struct sp_text name,
                               json_t *value)
{
    size_t i = 0;
    struct sp_secret secret;
    while (i < context->n_captured && !sp_text_is(name, context->names[i])) {
        i++;
    }
    if (i == SP_CAPTURED_MAX || secret_of(context->engine, value, &secret)) {
        return SP_EINVAL;
    }
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

static sp_status keep_replaced(struct exchange *x, struct sp_text name, json_t *value)
{
    struct sp_secret secret;
    if (secret_of(x->context->engine, value, &secret)) {
        return SP_EINVAL;
    }
    x->replaced[x->n_replaced++] = (struct sp_key_secret){name, secret};
    return SP_OK;
}

static sp_status capture_one(struct exchange *x, const struct sp_hook_capture *asked,
                             json_t *root)
{
    char name[128];
    json_t *parent = NULL;
    json_t *value = find(root, asked->pointer, &parent, name, sizeof name);
    if (asked->optional && (!value || json_is_null(value))) {
        return SP_OK;
    }
    sp_status status = !value            ? SP_EINVAL
                       : asked->replaces ? keep_replaced(x, asked->name, value)
                                         : keep_captured(x->context, asked->name, value);
    if (!status && json_object_set_new(parent, name, json_string(""))) {
        status = SP_ENOMEM;
    }
    return status;
}

/* The answer without what was captured: the plugin sees that it was there. What takes the place
 * of a secret comes first: of an answer with that and no credential it is kept all the same. */
static sp_status capture(struct exchange *x, struct sp_text body, struct sp_text *ret_body)
{
    json_t *root = sp_json_load(body, JSON_REJECT_DUPLICATES, NULL);
    sp_status status = root ? SP_OK : SP_EINVAL;
    for (size_t i = 0; !status && i < 2 * x->asked.n_captures; i++) {
        const struct sp_hook_capture *asked = &x->asked.captures[i % x->asked.n_captures];
        if (asked->replaces == (i < x->asked.n_captures)) {
            status = capture_one(x, asked, root);
        }
    }
    char *text = status ? NULL : sp_arena_array(&x->arena, SP_HOOK_ANSWER_MAX_BYTES, 1);
    if (text) {
        size_t len = json_dumpb(root, text, SP_HOOK_ANSWER_MAX_BYTES, JSON_COMPACT);
        status = len == 0                         ? SP_ENOMEM /* it says nothing else */
                 : len > SP_HOOK_ANSWER_MAX_BYTES ? SP_ETOOBIG
                                                  : SP_OK;
        *ret_body = (struct sp_text){text, len};
    }
    json_decref(root);
    return text ? status : SP_EINVAL;
}

/* ---- what takes the place of the key's own secrets ------------------------------------------
 */

static bool same_value(const struct sp_key_secret *a, const struct sp_key_secret *b)
{
    return a && b && a->value.len == b->value.len &&
           sodium_memcmp(a->value.ptr, b->value.ptr, a->value.len) == 0;
}

/* Of what was given: without what the key has already, and without what somebody else has
 * replaced since the request was made, who knows better. */
static size_t still_wanted(struct exchange *x, struct sp_key_secret *wanted)
{
    size_t n = 0;
    for (size_t i = 0; i < x->n_replaced; i++) {
        const struct sp_key_secret *given = &x->replaced[i];
        const struct sp_key_secret *now = sp_key_secret_named(x->now, given->name);
        if (!same_value(now, given) &&
            same_value(now, sp_key_secret_named(x->used, given->name))) {
            wanted[n++] = *given;
        }
    }
    return n;
}

static void store_replaced(struct exchange *x);

static void stored(struct exchange *x, sp_status status, const struct sp_error *err)
{
    struct sp_hook_context *context = x->context;
    sp_key_unref(context->engine, x->now);
    x->now = NULL;
    if (status == SP_EEXIST && x->n_tries++ < STORE_TRIES_MAX) {
        store_replaced(x);
        return;
    }
    if (status) {
        SP_LOG(context->log, SP_LOG_ERROR, "key.not_refreshed", {"key", x->used->id},
               {"reason", sp_text_of(err->text)},
               {"effect", SP_TEXT("the upstream replaced a secret of this key, and the new one "
                                  "is lost: `sallyport key rotate`")});
        end_with(x, SP_EIO, err);
        return;
    }
    const struct sp_key *now = sp_engine_key(context->engine, x->used->id);
    if (now) {
        sp_key_unref(context->engine, context->key);
        context->key = now;
    }
    end(x, &x->answer);
}

static void on_stored(void *user, sp_status status, const struct sp_error *err)
{
    struct exchange *x = user;
    if (!status) {
        SP_LOG(x->context->log, SP_LOG_INFO, "key.refreshed", {"key", x->used->id},
               {"lease", sp_text_of(x->context->lease_hex)});
    }
    stored(x, status, err);
}

/* Durable before the hook goes on, and before anything that came with it is used. */
static void store_replaced(struct exchange *x)
{
    struct sp_hook_context *context = x->context;
    struct sp_error err = {"the key was removed"};
    struct sp_key_secret wanted[SP_HOOK_CAPTURES_MAX];
    struct sp_key_input input;
    x->now = sp_engine_key(context->engine, x->used->id);
    size_t n = x->now ? still_wanted(x, wanted) : 0;
    sp_status status = !x->now ? SP_ENOENT
                       : n ? sp_key_next(context->engine, &x->arena, context->manifest, x->now,
                                         wanted, n, &input, &err)
                           : SP_OK;
    if (status || n == 0) {
        stored(x, status == SP_EEXIST ? SP_EINVAL : status, &err);
        return;
    }
    sp_engine_key_refresh(context->engine, &input, sp_text_of(context->lease_hex), on_stored,
                          x);
}

static bool replaces(const struct exchange *x)
{
    bool does = false;
    for (size_t i = 0; i < x->asked.n_captures; i++) {
        does = does || x->asked.captures[i].replaces;
    }
    return does;
}

/* What is left of an answer that may hold a secret of the key where it is captured. */
static bool is_clean(const struct exchange *x, struct sp_text body)
{
    struct sp_guard *guard = NULL;
    bool clean = !sp_guard_new(&x->key, &x->plan, &guard) && !sp_guard_check(guard, body);
    sp_guard_free(guard);
    return clean;
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
    if (!answer.status && replaces(x) && !is_clean(x, answer.body)) {
        answer.status = SP_EDENIED;
    }
    if (answer.status) {
        answer.body = SP_TEXT("");
        (void)sp_fail(&x->context->failure, answer.status, "%s",
                      answer.status == SP_EDENIED
                          ? "the upstream's answer held the key; it was not passed on"
                      : reply->code == SP_CODE_OK
                          ? "the upstream's answer is too large, or lacks what was to be minted"
                          : reply->reason);
        answer.status = SP_EIO;
    }
    if (x->n_replaced) {
        x->answer = answer;
        store_replaced(x);
    } else {
        end(x, &answer);
    }
}

static void on_recorded(void *user, sp_status status, const struct sp_error *err)
{
    struct exchange *x = user;
    struct sp_error why = {""};
    uint64_t id;
    if (status || *x->context->stopped) { /* what is not on record is not sent */
        (void)sp_fail(&why, SP_EIO, "the host is stopping");
        end_with(x, SP_EIO, status ? err : &why);
        return;
    }
    struct sp_send send = {
        .key = &x->key,
        .plan = &x->plan,
        .request = &x->request,
        .answer_is_secret = true,
        .leaves_body = replaces(x),
    };
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
    context->n_refs++;
    x->context = context;
    x->used = context->key;
    sp_key_ref(x->used);
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

/* ---- contexts -------------------------------------------------------------------------------
 */

struct sp_hook_context *sp_hook_context_new(const struct sp_hook_context *like)
{
    struct sp_hook_context *context = calloc(1, sizeof *context);
    if (context) {
        *context = *like;
        context->n_refs = 1;
        memcpy(context->lease_hex, like->lease->hex, sizeof context->lease_hex);
        sp_key_ref(context->key);
    }
    return context;
}

void sp_hook_context_unref(struct sp_hook_context *context)
{
    if (!context || --context->n_refs > 0) {
        return;
    }
    for (size_t i = 0; i < context->n_captured; i++) {
        sp_secret_free(&context->captured[i].value);
    }
    sp_key_unref(context->engine, context->key);
    free(context);
}

void sp_hook_context_wait(struct sp_hook_context *context, void (*idle)(void *user), void *user)
{
    if (context->n_performing == 0) {
        idle(user);
        return;
    }
    context->idle = idle;
    context->idle_user = user;
}
