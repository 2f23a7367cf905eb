/* What a plugin pushes and asks for while it mints a credential: checked, copied. */
#include "plugin_check.h"
#include "plugin_push.h"

enum {
    PERMISSION_MAX_BYTES = 200,
    PERMISSIONS_MAX = 256,
    URL_MAX_BYTES = 2048,
    CLAIM_MAX_BYTES = 255,
};

int32_t sp_push_permission(const struct sallyport_host *table, uint64_t call,
                           const struct sallyport_text *word)
{
    struct sp_plugin_host *host = sp_plugin_host_of(table);
    struct sp_text copy = {NULL, 0};
    void *item = NULL;
    int32_t status = sp_push_begin(host, call, IN(SP_HOOK_PERMISSIONS), "push_permission");
    if (!status) {
        status =
            sp_push_take(host, word, PERMISSION_MAX_BYTES, sp_is_visible, "permission", &copy);
    }
    if (!status) {
        status = sp_push_item(host, &host->permissions, sizeof copy, PERMISSIONS_MAX,
                              "permissions", &item);
    }
    if (!status) {
        *(struct sp_text *)item = copy;
    }
    return status;
}

/* ---- a request ----------------------------------------------------------------------------
 */

static bool is_pointer(struct sp_text text)
{
    return text.len > 1 && text.ptr[0] == '/' && sp_is_visible(text);
}

static bool is_claim(struct sp_text text)
{
    return text.len == 0 || sp_is_visible(text);
}

static bool is_body(struct sp_text text)
{
    return sp_text_is_utf8(text);
}

static bool is_named(const struct sp_text *names, size_t n, struct sp_text name)
{
    for (size_t i = 0; i < n; i++) {
        if (sp_text_eq(names[i], name)) {
            return true;
        }
    }
    return false;
}

static int32_t jwt_take(struct sp_plugin_host *host, const struct sallyport_http_jwt *jwt,
                        struct sp_text *names, struct sp_hook_jwt *to)
{
    if (!IS_V1(jwt, sallyport_http_jwt, reserved) || jwt->reserved ||
        jwt->algorithm != SALLYPORT_JWT_RS256) {
        return sp_push_refuse_form(host, "jwt");
    }
    int32_t status = sp_push_take(host, &jwt->name, SP_PLUGIN_ID_MAX, sp_is_field_name,
                                  "name of a jwt", &to->name);
    if (!status) {
        status = sp_push_take(host, &jwt->key, SP_PLUGIN_ID_MAX, sp_is_field_name,
                              "key of a jwt", &to->key);
    }
    const struct sallyport_text *from[] = {&jwt->issuer, &jwt->subject, &jwt->audience};
    struct sp_text *claims[] = {&to->issuer, &to->subject, &to->audience};
    for (size_t i = 0; !status && i < 3; i++) {
        status =
            sp_push_take(host, from[i], CLAIM_MAX_BYTES, is_claim, "claim of a jwt", claims[i]);
    }
    if (status) {
        return status;
    }
    to->life_s = jwt->life_s;
    if (to->life_s == 0 || to->life_s > SP_JWT_LIFE_MAX_S) {
        return sp_push_refuse(host, SALLYPORT_E_INVALID,
                              "the plugin asks for a jwt that lives "
                              "%u s; it may be 1 to %d",
                              (unsigned)to->life_s, SP_JWT_LIFE_MAX_S);
    }
    if (!is_named(host->key->secrets, host->key->n_secrets, to->key)) {
        return sp_push_refuse(host, SALLYPORT_E_INVALID,
                              "the plugin wants a jwt signed with %s, which this key does not "
                              "have",
                              to->key.ptr);
    }
    if (is_named(names, host->n_names, to->name)) {
        return sp_push_refuse(host, SALLYPORT_E_INVALID,
                              "the plugin calls a jwt %s, as a secret is called", to->name.ptr);
    }
    names[host->n_names++] = to->name;
    return SALLYPORT_OK;
}

/* From here on templates may name the tokens, too. */
static int32_t jwts_take(struct sp_plugin_host *host,
                         const struct sallyport_http_request *request,
                         struct sp_hook_request *to)
{
    const struct sp_key_view *key = host->key;
    size_t n = request->n_jwts;
    struct sp_text *names =
        sp_arena_array(host->arena, key->n_secrets + SP_HOOK_JWTS_MAX, sizeof *names);
    struct sp_hook_jwt *jwts = sp_arena_array(host->arena, SP_HOOK_JWTS_MAX, sizeof *jwts);
    if (n > SP_HOOK_JWTS_MAX || !names || !jwts) {
        return sp_push_refuse(host, SALLYPORT_E_LIMIT, "the plugin asks for %zu jwts at once",
                              n);
    }
    if (key->n_secrets) {
        memcpy(names, key->secrets, key->n_secrets * sizeof *names);
    }
    host->names = names;
    host->n_names = key->n_secrets;
    int32_t status = SALLYPORT_OK;
    for (size_t i = 0; !status && i < n; i++) {
        status = jwt_take(host, request->jwts[i], names, &jwts[i]);
    }
    to->jwts = jwts;
    to->n_jwts = n;
    return status;
}

static int32_t capture_take(struct sp_plugin_host *host,
                            const struct sallyport_http_capture *from,
                            struct sp_hook_capture *to)
{
    const uint32_t known = SALLYPORT_CAPTURE_OPTIONAL | SALLYPORT_CAPTURE_REPLACES;
    if (!IS_V1(from, sallyport_http_capture, name) || (from->flags & ~known)) {
        return sp_push_refuse_form(host, "capture");
    }
    int32_t status = sp_push_take(host, &from->pointer, SP_PLUGIN_PATH_MAX, is_pointer,
                                  "pointer of a capture", &to->pointer);
    if (!status) {
        status = sp_push_take(host, &from->name, SP_PLUGIN_ID_MAX, sp_is_field_name,
                              "name of a capture", &to->name);
    }
    if (status) {
        return status;
    }
    to->optional = (from->flags & SALLYPORT_CAPTURE_OPTIONAL) != 0;
    to->replaces = (from->flags & SALLYPORT_CAPTURE_REPLACES) != 0;
    if (to->replaces && host->hook != SP_HOOK_RENEW) {
        return sp_push_refuse_form(host, "capture"); /* a rotation's are, once they are tried */
    }
    if ((to->replaces || host->hook == SP_HOOK_ROTATE) &&
        !is_named(host->key->secrets, host->key->n_secrets, to->name)) {
        return sp_push_refuse(host, SALLYPORT_E_INVALID,
                              "the plugin replaces the secret %s, which this key does not have",
                              to->name.ptr);
    }
    return SALLYPORT_OK;
}

static int32_t captures_take(struct sp_plugin_host *host,
                             const struct sallyport_http_request *request,
                             struct sp_hook_request *to)
{
    size_t n = request->n_captures;
    struct sp_hook_capture *captures =
        sp_arena_array(host->arena, SP_HOOK_CAPTURES_MAX, sizeof *captures);
    if (n > SP_HOOK_CAPTURES_MAX || !captures) {
        return sp_push_refuse(host, SALLYPORT_E_LIMIT, "the plugin captures %zu values at once",
                              n);
    }
    if (n && host->hook != SP_HOOK_RENEW && host->hook != SP_HOOK_ROTATE) {
        return sp_push_refuse(host, SALLYPORT_E_CALL,
                              "the plugin captures a value in its %s hook",
                              sp_hook_name(host->hook));
    }
    for (size_t i = 0; i < n; i++) {
        int32_t status = capture_take(host, request->captures[i], &captures[i]);
        for (size_t k = 0; !status && k < i; k++) {
            if (sp_text_eq(captures[k].name, captures[i].name)) {
                status = sp_push_refuse(host, SALLYPORT_E_INVALID,
                                        "the plugin captures two values as %s",
                                        captures[i].name.ptr);
            }
        }
        if (status) {
            return status;
        }
    }
    to->captures = captures;
    to->n_captures = n;
    return SALLYPORT_OK;
}

static int32_t parts_take(struct sp_plugin_host *host,
                          const struct sallyport_http_request *request,
                          struct sp_hook_request *to)
{
    static const struct sp_list empty = {NULL, 0, 0};
    int32_t status = SALLYPORT_OK;
    host->placements = host->headers = host->defaults = empty;
    for (uint32_t i = 0; !status && i < request->n_placements; i++) {
        status = sp_placement_take(host, request->placements[i], true);
    }
    for (uint32_t i = 0; !status && i < request->n_headers; i++) {
        status = sp_header_take(host, request->headers[i]);
    }
    to->placements = host->placements.items;
    to->n_placements = host->placements.n;
    to->headers = host->headers.items;
    to->n_headers = host->headers.n;
    if (!status && host->defaults.n) {
        status = sp_push_refuse_form(host, "header of a request");
    }
    return status;
}

int32_t sp_http_take(struct sp_plugin_host *host, uint64_t call,
                     const struct sallyport_http_request *request,
                     struct sp_hook_request *ret_request)
{
    struct sp_hook_request to = {.n_headers = 0};
    int32_t status = sp_push_begin(host, call,
                                   IN(SP_HOOK_RENEW) | IN(SP_HOOK_REVOKE) | IN(SP_HOOK_ROTATE) |
                                       IN(SP_HOOK_FINISH),
                                   "http.perform");
    if (status) {
        return status;
    }
    if (!IS_V1(request, sallyport_http_request, n_jwts) || request->reserved ||
        (request->n_headers && !request->headers) ||
        (request->n_placements && !request->placements) ||
        (request->n_captures && !request->captures) || (request->n_jwts && !request->jwts)) {
        return sp_push_refuse_form(host, "request");
    }
    if (host->n_performed++ == SP_HOOK_HTTP_MAX) {
        return sp_push_refuse(host, SALLYPORT_E_LIMIT,
                              "the plugin asks for more than %d requests in one hook",
                              SP_HOOK_HTTP_MAX);
    }
    status = sp_push_take(host, &request->method, SP_PLUGIN_ID_MAX, sp_is_method, "method",
                          &to.method);
    if (!status) {
        status =
            sp_push_take(host, &request->url, URL_MAX_BYTES, sp_is_visible, "url", &to.url);
    }
    if (!status) {
        status = sp_push_take(host, &request->body, SP_HOOK_BODY_MAX_BYTES, is_body, "body",
                              &to.body);
    }
    status = status ? status : jwts_take(host, request, &to);
    status = status ? status : parts_take(host, request, &to);
    status = status ? status : captures_take(host, request, &to);
    if (!status) {
        *ret_request = to;
    }
    return status;
}

/* Where the plugin runs. What the host makes of a request that breaks its rules is the end of
 * the call; the rest is for the plugin to deal with. */
int32_t sp_http_perform(const struct sallyport_host *table, uint64_t call,
                        const struct sallyport_http_request *request,
                        struct sallyport_http_answer *ret_answer)
{
    struct sp_plugin_host *host = sp_plugin_host_of(table);
    struct sp_hook_request taken;
    struct sp_hook_answer answer = {.status = SP_EIO};
    int32_t status = sp_http_take(host, call, request, &taken);
    if (status) {
        return status;
    }
    if (!IS_V1(ret_answer, sallyport_http_answer, body)) {
        return sp_push_refuse_form(host, "place for an answer");
    }
    host->perform(host->perform_user, &taken, host->arena, &answer);
    switch (answer.status) {
    case SP_OK:
        ret_answer->status = answer.http_status;
        ret_answer->body = (struct sallyport_text){answer.body.ptr, answer.body.len};
        return SALLYPORT_OK;
    case SP_EDENIED:
        return SALLYPORT_E_DENIED;
    case SP_EINVAL:
        return SALLYPORT_E_INVALID;
    default:
        return SALLYPORT_E_UPSTREAM;
    }
}
