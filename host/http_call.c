#include "http_call.h"

#include <sodium.h>
#include <stdio.h>

/* ---- texts ----------------------------------------------------------------------------------
 */

static bool is(struct sp_text name, const char *lower)
{
    return sp_text_eq_fold(name, sp_text_of(lower));
}

/* Cut the next item off a list with commas. */
static bool next_item(struct sp_text *list, struct sp_text *ret_item)
{
    if (list->len == 0) {
        return false;
    }
    const char *comma = memchr(list->ptr, ',', list->len);
    size_t len = comma ? (size_t)(comma - list->ptr) : list->len;
    *ret_item = sp_text_trim((struct sp_text){list->ptr, len});
    len += comma ? 1 : 0;
    *list = (struct sp_text){list->ptr + len, list->len - len};
    return true;
}

static void decide(struct sp_decision *decision, enum sp_code code, const char *reason,
                   const char *hint)
{
    *decision = (struct sp_decision){.code = code};
    (void)snprintf(decision->reason, sizeof decision->reason, "%s", reason);
    (void)snprintf(decision->hint, sizeof decision->hint, "%s", hint);
}

/* ---- where the token stands -----------------------------------------------------------------
 */

static const char how[] = "send the token where your client puts its API key: Authorization "
                          "(Bearer, token or Basic) or X-Api-Key";

static bool looks_like_token(struct sp_arena *arena, struct sp_text text)
{
    struct sp_token parsed;
    bool good = sp_token_parse(arena, text, &parsed) == SP_OK;
    sodium_memzero(&parsed, sizeof parsed);
    return good;
}

/* user:password in base64. Stripe's clients put the key first, git's last; the other place may
 * hold a name, which means nothing. */
static enum sp_code read_basic(struct sp_arena *arena, struct sp_text encoded,
                               struct sp_http_call *call)
{
    size_t room = encoded.len / 4 * 3 + 3, len = 0;
    const char *end = NULL;
    call->basic = sp_arena_alloc(arena, room);
    if (!call->basic) {
        return SP_CODE_BUSY;
    }
    call->basic_len = room;
    if (sodium_base642bin(call->basic, room, encoded.ptr, encoded.len, NULL, &len, &end,
                          sodium_base64_VARIANT_ORIGINAL) ||
        end != encoded.ptr + encoded.len) {
        return SP_CODE_BAD_REQUEST;
    }
    struct sp_text pair = {(const char *)call->basic, len};
    const char *colon = memchr(pair.ptr, ':', pair.len);
    if (!colon) {
        return SP_CODE_BAD_REQUEST;
    }
    struct sp_text user = {pair.ptr, (size_t)(colon - pair.ptr)};
    struct sp_text password = {colon + 1, pair.len - user.len - 1};
    bool first = looks_like_token(arena, user), second = looks_like_token(arena, password);
    if (first && second) {
        return SP_CODE_BAD_REQUEST;
    }
    call->token = second || user.len == 0 ? password : user;
    return SP_CODE_OK;
}

static enum sp_code read_authorization(struct sp_arena *arena, struct sp_text value,
                                       struct sp_http_call *call)
{
    const char *blank = memchr(value.ptr, ' ', value.len);
    if (!blank) {
        return SP_CODE_BAD_REQUEST;
    }
    struct sp_text scheme = {value.ptr, (size_t)(blank - value.ptr)};
    struct sp_text rest = sp_text_trim((struct sp_text){blank, value.len - scheme.len});
    if (is(scheme, "bearer") || is(scheme, "token")) {
        call->token = rest;
        return SP_CODE_OK;
    }
    return is(scheme, "basic") ? read_basic(arena, rest, call) : SP_CODE_BAD_REQUEST;
}

/* What a proxy was given; false where it is not clear. */
static bool read_proxy_token(struct sp_arena *arena, const struct sp_http_request *request,
                             struct sp_text given, struct sp_http_call *call,
                             struct sp_decision *decision)
{
    unsigned n = 0;
    for (size_t i = 0; i < request->n_headers; i++) {
        if (is(request->headers[i].name, "proxy-authorization")) {
            given = sp_text_trim(request->headers[i].value);
            n++;
        }
    }
    enum sp_code code = n > 1       ? SP_CODE_BAD_REQUEST
                        : given.len ? read_authorization(arena, given, call)
                                    : SP_CODE_OK;
    if (code != SP_CODE_OK) {
        decide(decision, code == SP_CODE_BUSY ? code : SP_CODE_TOKEN_INVALID,
               "no token can be read from Proxy-Authorization",
               "give the proxy as http://TOKEN:x@HOST:PORT");
    }
    return code == SP_CODE_OK;
}

/* False: decision says why. */
static bool read_token(struct sp_arena *arena, const struct sp_http_request *request,
                       struct sp_http_call *call, struct sp_decision *decision)
{
    enum sp_code code = SP_CODE_TOKEN_INVALID;
    size_t n = 0;
    for (size_t i = 0; i < request->n_headers; i++) {
        struct sp_text value = sp_text_trim(request->headers[i].value);
        if (is(request->headers[i].name, "authorization")) {
            code = n++ == 0 ? read_authorization(arena, value, call) : SP_CODE_BAD_REQUEST;
        } else if (is(request->headers[i].name, "x-api-key")) {
            call->token = value;
            code = n++ == 0 ? SP_CODE_OK : SP_CODE_BAD_REQUEST;
        }
    }
    if (n > 1) {
        decide(decision, SP_CODE_BAD_REQUEST, "two credentials came with one request", how);
    } else if (code == SP_CODE_BAD_REQUEST) {
        decide(decision, SP_CODE_TOKEN_INVALID, "no token can be read from Authorization", how);
    } else if (code == SP_CODE_TOKEN_INVALID || (code == SP_CODE_OK && call->token.len == 0)) {
        decide(decision, SP_CODE_TOKEN_INVALID, "no token came", how);
    } else if (code != SP_CODE_OK) {
        decide(decision, code, "out of memory", "");
    }
    return decision->code == SP_CODE_OK;
}

/* ---- what is left behind --------------------------------------------------------------------
 */

/* A name ending in '*' is a prefix. */
static bool is_left_out(struct sp_text name)
{
    static const char *const names[] = {"host",           "connection",
                                        "keep-alive",     "te",
                                        "trailer",        "upgrade",
                                        "http2-settings", "transfer-encoding",
                                        "proxy-*",        "expect",
                                        "content-length", "accept-encoding",
                                        "authorization",  "x-api-key",
                                        "cookie*",        "sallyport-*",
                                        "forwarded",      "via",
                                        "x-forwarded*",   "x-real-ip",
                                        "x-client-ip",    "x-cluster-client-ip",
                                        "true-client-ip", "cf-connecting-ip"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct sp_text row = sp_text_of(names[i]), start = name;
        bool prefix = row.ptr[row.len - 1] == '*';
        row.len -= prefix ? 1 : 0;
        start.len = prefix && name.len > row.len ? row.len : name.len;
        if (sp_text_eq_fold(start, row)) {
            return true;
        }
    }
    return false;
}

/* RFC 9110 section 7.6.1. */
static bool is_nominated(const struct sp_http_request *request, struct sp_text name)
{
    for (size_t i = 0; i < request->n_headers; i++) {
        struct sp_text list = request->headers[i].value, item;
        while (is(request->headers[i].name, "connection") && next_item(&list, &item)) {
            if (sp_text_eq_fold(item, name)) {
                return true;
            }
        }
    }
    return false;
}

bool sp_http_takes_trailers(const struct sp_http_request *request)
{
    bool takes = false;
    for (size_t i = 0; i < request->n_headers && request->chunks; i++) {
        struct sp_text list = request->headers[i].value, item;
        while (is(request->headers[i].name, "te") && next_item(&list, &item)) {
            takes = takes || is(item, "trailers");
        }
    }
    return takes;
}

static bool pass_headers(struct sp_arena *arena, const struct sp_http_request *request,
                         struct sp_http_call *call, struct sp_decision *decision)
{
    call->headers = sp_arena_array(arena, request->n_headers + 1, sizeof *call->headers);
    if (!call->headers) {
        decide(decision, SP_CODE_BUSY, "out of memory", "");
        return false;
    }
    for (size_t i = 0; i < request->n_headers; i++) {
        const struct sp_raw_header *header = &request->headers[i];
        if (is(header->name, "sallyport-key")) {
            if (call->key.ptr) {
                decide(decision, SP_CODE_BAD_REQUEST, "Sallyport-Key came twice", "");
                return false;
            }
            call->key = sp_text_trim(header->value);
        }
        if (!is_left_out(header->name) && !is_nominated(request, header->name)) {
            call->headers[call->n_headers++] = *header;
        }
    }
    return true;
}

/* ---- the route ------------------------------------------------------------------------------
 */

static bool is_provider_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

/* "/stripe/v1/charges?limit=3": the provider's id as it stands, then the upstream's path. No
 * escape is decoded here: an id needs none, so one that has any names nobody. */
static bool read_prefix(struct sp_http_call *call, struct sp_decision *decision)
{
    struct sp_text target = call->target;
    size_t len = 1;
    while (len < target.len && is_provider_byte(target.ptr[len])) {
        len++;
    }
    bool ends = len == target.len || target.ptr[len] == '/' || target.ptr[len] == '?';
    if (len == 1 || !ends) {
        decide(decision, SP_CODE_NOT_FOUND, "the path names no provider",
               "begin it with the provider's id: /stripe/v1/charges");
        return false;
    }
    call->provider = (struct sp_text){target.ptr + 1, len - 1};
    call->prefix = (struct sp_text){target.ptr, len};
    call->target = (struct sp_text){target.ptr + len, target.len - len};
    return true;
}

void sp_http_call_read(struct sp_arena *arena, const struct sp_http_route *route,
                       const struct sp_http_request *request,
                       struct sp_text proxy_authorization, struct sp_http_call *ret_call,
                       struct sp_decision *ret_decision)
{
    *ret_call = (struct sp_http_call){.prefix = SP_TEXT(""), .target = request->target};
    *ret_decision = (struct sp_decision){.code = SP_CODE_OK};
    if (route->mode == SP_HTTP_FORWARD &&
        !read_proxy_token(arena, request, proxy_authorization, ret_call, ret_decision)) {
        return;
    }
    if ((!ret_call->token.len && !read_token(arena, request, ret_call, ret_decision)) ||
        (route->mode == SP_HTTP_PREFIXED && !read_prefix(ret_call, ret_decision)) ||
        !pass_headers(arena, request, ret_call, ret_decision)) {
        return;
    }
    if (route->mode == SP_HTTP_PROVIDER) {
        ret_call->provider = route->provider;
    }
}

void sp_http_call_wipe(struct sp_http_call *call)
{
    if (call->basic) {
        sodium_memzero(call->basic, call->basic_len);
        call->basic = NULL;
    }
}

struct sp_text sp_http_call_url(struct sp_arena *arena, const struct sp_http_call *call,
                                struct sp_text host)
{
    static const char scheme[] = "https://";
    bool slash = call->target.len > 0 && call->target.ptr[0] == '/';
    size_t room = sizeof scheme + host.len + 1 + call->target.len;
    char *url = sp_arena_alloc(arena, room);
    if (!url) {
        return (struct sp_text){NULL, 0};
    }
    int n = snprintf(url, room, "%s%.*s%s%.*s", scheme, (int)host.len, host.ptr,
                     slash ? "" : "/", (int)call->target.len, call->target.ptr);
    return (struct sp_text){url, (size_t)n};
}
