/* OAuth 2.0: an access token from client credentials (RFC 6749 section 4.4) or a refresh token
 * (section 6), revoked where the server has an endpoint for it (RFC 7009). A scope of sallyport
 * says nothing that such a server would understand, so all tokens of a key share one lease. */
#include "rest.h"

#include <sallyport/http.h>

#include <stdio.h>

#define LIFE_MS 3600000u /* where the server does not say; section 5.1 only recommends it */
#define BODY_BYTES 8192

int oauth_open(struct oauth *oauth, const struct sallyport_key *key)
{
    struct sallyport_text client_auth = sallyport_setting_of(key, "client_auth");
    oauth->in_body = sallyport_text_is(client_auth, "body");
    oauth->has_refresh_token = sallyport_has_secret(key, "refresh_token");
    oauth->has_minted = sallyport_has_secret(key, "lease.token");
    return (oauth->in_body || sallyport_text_is(client_auth, "basic")) &&
           rest_copy(oauth->token_url, sizeof oauth->token_url,
                     sallyport_setting_of(key, "token_url"), &oauth->token_url_len) &&
           rest_copy(oauth->revoke_url, sizeof oauth->revoke_url,
                     sallyport_setting_of(key, "revoke_url"), &oauth->revoke_url_len) &&
           rest_copy(oauth->client_id, sizeof oauth->client_id,
                     sallyport_setting_of(key, "client_id"), &oauth->client_id_len) &&
           rest_copy(oauth->scope, sizeof oauth->scope,
                     sallyport_setting_of(key, "oauth_scope"), &oauth->scope_len);
}

/* Whether the URL's host is one of the list: the host refuses any other. */
static int is_on_a_host(struct sallyport_text url, struct sallyport_text hosts)
{
    static const char https[] = "https://";
    uint64_t start = sizeof https - 1, end = start;
    if (url.len <= start || memcmp(url.ptr, https, start) != 0) {
        return 0;
    }
    while (end < url.len && url.ptr[end] != '/' && url.ptr[end] != ':') {
        end++;
    }
    for (uint64_t at = 0; at < hosts.len;) {
        uint64_t from = at;
        while (at < hosts.len && hosts.ptr[at] != ',' && hosts.ptr[at] != ' ') {
            at++;
        }
        if (at - from == end - start &&
            memcmp(hosts.ptr + from, url.ptr + start, end - start) == 0) {
            return 1;
        }
        at++;
    }
    return 0;
}

const char *oauth_is_wrong(const struct rest *rest)
{
    const struct oauth *oauth = &rest->oauth;
    const struct sallyport_text hosts = {rest->hosts, rest->hosts_len};
    const struct sallyport_text token_url = {oauth->token_url, oauth->token_url_len};
    const struct sallyport_text revoke_url = {oauth->revoke_url, oauth->revoke_url_len};
    if (rest->has_api_key || rest->has_username || rest->has_password) {
        return "style oauth2 takes the secrets client_secret and refresh_token, and no others";
    }
    if (!rest->has_client_secret || !oauth->client_id_len || !oauth->token_url_len) {
        return "style oauth2 needs token_url, client_id and the secret client_secret";
    }
    if (!is_on_a_host(token_url, hosts) ||
        (revoke_url.len && !is_on_a_host(revoke_url, hosts))) {
        return "token_url and revoke_url have to be https URLs on one of the hosts in `host`";
    }
    return NULL;
}

/* ---- requests ---------------------------------------------------------------------------- */

/* name=value, percent-encoded; 0 where there is no room. */
static int add_param(char *body, uint64_t *in_out_len, const char *name, const char *value,
                     uint64_t value_len)
{
    static const char hex[] = "0123456789ABCDEF";
    uint64_t at = *in_out_len, name_len = strlen(name);
    if (at + name_len + 3 * value_len + 2 > BODY_BYTES) {
        return 0;
    }
    if (at) {
        body[at++] = '&';
    }
    memcpy(body + at, name, name_len);
    at += name_len;
    body[at++] = '=';
    for (uint64_t i = 0; i < value_len; i++) {
        unsigned char c = (unsigned char)value[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            c == '-' || c == '.' || c == '_' || c == '~') {
            body[at++] = (char)c;
        } else {
            body[at++] = '%';
            body[at++] = hex[c >> 4];
            body[at++] = hex[c & 15];
        }
    }
    *in_out_len = at;
    return 1;
}

/* Braces are syntax in a template. */
static int as_template(const char *text, uint64_t len, const char *tail, char *room,
                       size_t size)
{
    size_t at = 0;
    for (uint64_t i = 0; i < len; i++) {
        if (at + 3 > size) {
            return 0;
        }
        if (text[i] == '{' || text[i] == '}') {
            room[at++] = text[i];
        }
        room[at++] = text[i];
    }
    return snprintf(room + at, size - at, "%s", tail) < (int)(size - at);
}

/* POST the form, with the client's own credentials and one more secret in it. */
static int32_t post(const struct sallyport_host *host, uint64_t call, const struct oauth *oauth,
                    struct sallyport_text url, struct sallyport_text body,
                    const char *secret_name, const char *secret,
                    const struct sallyport_http_capture *const *captures, uint32_t n_captures,
                    struct sallyport_http_answer *ret_answer)
{
    const struct sallyport_http *http = host->extension(host, SALLYPORT_HTTP);
    char basic[800];
    if (!http) {
        (void)sallyport_refuse(host, call,
                               "style oauth2 needs a host that performs HTTP for its plugins: "
                               "set plugin_isolation = worker");
        return SALLYPORT_E_UNSUPPORTED;
    }
    if (!as_template(oauth->client_id, oauth->client_id_len, ":{client_secret}", basic,
                     sizeof basic)) {
        return SALLYPORT_E_LIMIT;
    }
    const struct sallyport_placement in_header = {
        .size = sizeof in_header,
        .place = SALLYPORT_PLACE_HEADER,
        .flags = SALLYPORT_PLACE_BASE64,
        .name = SALLYPORT_TEXT("authorization"),
        .prefix = SALLYPORT_TEXT("Basic "),
        .template_text = sallyport_text_of(basic),
    };
    const struct sallyport_placement in_form = {
        .size = sizeof in_form,
        .place = SALLYPORT_PLACE_FORM,
        .name = SALLYPORT_TEXT("client_secret"),
        .template_text = SALLYPORT_TEXT("{client_secret}"),
    };
    const struct sallyport_placement more = {
        .size = sizeof more,
        .place = SALLYPORT_PLACE_FORM,
        .name = sallyport_text_of(secret_name),
        .template_text = sallyport_text_of(secret),
    };
    const struct sallyport_placement *const placements[] = {
        oauth->in_body ? &in_form : &in_header, &more};
    const struct sallyport_header headers[] = {
        {sizeof headers[0], SALLYPORT_HEADER_FIXED, SALLYPORT_TEXT("content-type"),
         SALLYPORT_TEXT("application/x-www-form-urlencoded")},
        {sizeof headers[0], SALLYPORT_HEADER_FIXED, SALLYPORT_TEXT("accept"),
         SALLYPORT_TEXT("application/json")},
    };
    const struct sallyport_header *const list[] = {&headers[0], &headers[1]};
    const struct sallyport_http_request request = {
        .size = sizeof request,
        .method = SALLYPORT_TEXT("POST"),
        .url = url,
        .body = body,
        .headers = list,
        .placements = placements,
        .captures = captures,
        .n_headers = 2,
        .n_placements = secret ? 2 : 1,
        /* A host that knows no flags of captures cannot keep another refresh token. */
        .n_captures =
            n_captures > 1 && !(http->flags & SALLYPORT_HTTP_REPLACES) ? 1 : n_captures,
    };
    ret_answer->size = sizeof *ret_answer;
    return http->perform(host, call, &request, ret_answer);
}

/* "expires_in": 3600 in a JSON object that the host has read and written again. */
static uint64_t life_of(struct sallyport_text body)
{
    static const char name[] = "\"expires_in\":";
    uint64_t seconds = 0;
    for (uint64_t at = 0; at + sizeof name - 1 < body.len; at++) {
        if (memcmp(body.ptr + at, name, sizeof name - 1) != 0) {
            continue;
        }
        for (at += sizeof name - 1; at < body.len && body.ptr[at] >= '0' && body.ptr[at] <= '9';
             at++) {
            if (seconds < 100000000) {
                seconds = seconds * 10 + (uint64_t)(body.ptr[at] - '0');
            }
        }
        break;
    }
    return seconds ? seconds * 1000 : LIFE_MS;
}

static int32_t permissions(const struct sallyport_host *host, uint64_t call, void *data,
                           const struct sallyport_reach *const *reaches, uint32_t n_reaches)
{
    (void)host;
    (void)call;
    (void)data;
    (void)reaches;
    (void)n_reaches;
    return SALLYPORT_OK;
}

static int32_t renew(const struct sallyport_host *host, uint64_t call, void *data,
                     const struct sallyport_text *lease,
                     const struct sallyport_text *const *words, uint32_t n_words,
                     struct sallyport_lease_result *ret_result)
{
    static const struct sallyport_http_capture access = {
        .size = sizeof access,
        .pointer = SALLYPORT_TEXT("/access_token"),
        .name = SALLYPORT_TEXT("token"),
    };
    /* Section 6: the server may give another refresh token, and the old one is to be discarded.
     */
    static const struct sallyport_http_capture refresh = {
        .size = sizeof refresh,
        .flags = SALLYPORT_CAPTURE_OPTIONAL | SALLYPORT_CAPTURE_REPLACES,
        .pointer = SALLYPORT_TEXT("/refresh_token"),
        .name = SALLYPORT_TEXT("refresh_token"),
    };
    static const struct sallyport_http_capture *const captures[] = {&access, &refresh};
    const struct oauth *oauth = &((const struct rest *)data)->oauth;
    const struct sallyport_text url = {oauth->token_url, oauth->token_url_len};
    const char *grant = oauth->has_refresh_token ? "refresh_token" : "client_credentials";
    struct sallyport_http_answer answer = {.size = sizeof answer};
    char body[BODY_BYTES], text[120];
    uint64_t len = 0;
    (void)lease;
    (void)words;
    (void)n_words;
    if (!add_param(body, &len, "grant_type", grant, strlen(grant)) ||
        (oauth->in_body &&
         !add_param(body, &len, "client_id", oauth->client_id, oauth->client_id_len)) ||
        (oauth->scope_len && !add_param(body, &len, "scope", oauth->scope, oauth->scope_len))) {
        return SALLYPORT_E_LIMIT;
    }
    int32_t status = post(host, call, oauth, url, (struct sallyport_text){body, len},
                          "refresh_token", oauth->has_refresh_token ? "{refresh_token}" : NULL,
                          captures, oauth->has_refresh_token ? 2 : 1, &answer);
    if (!status && answer.status != 200) {
        (void)snprintf(text, sizeof text, "the token endpoint answered %u: %s",
                       (unsigned)answer.status,
                       answer.status == 400 || answer.status == 401
                           ? "it does not take client_id, client_secret, refresh_token or "
                             "oauth_scope"
                           : "no access token");
        (void)sallyport_refuse(host, call, text);
        status = SALLYPORT_E_UPSTREAM;
    }
    if (!status) {
        ret_result->life_ms = life_of(answer.body);
    }
    return status;
}

static int32_t revoke(const struct sallyport_host *host, uint64_t call, void *data,
                      const struct sallyport_text *lease)
{
    const struct oauth *oauth = &((const struct rest *)data)->oauth;
    const struct sallyport_text url = {oauth->revoke_url, oauth->revoke_url_len};
    struct sallyport_http_answer answer = {.size = sizeof answer};
    char body[BODY_BYTES];
    uint64_t len = 0;
    (void)lease;
    if (!oauth->revoke_url_len || !oauth->has_minted) {
        return SALLYPORT_OK; /* it ends by itself, or there is none that we hold */
    }
    if (!add_param(body, &len, "token_type_hint", "access_token", strlen("access_token")) ||
        (oauth->in_body &&
         !add_param(body, &len, "client_id", oauth->client_id, oauth->client_id_len))) {
        return SALLYPORT_E_LIMIT;
    }
    int32_t status = post(host, call, oauth, url, (struct sallyport_text){body, len}, "token",
                          "{lease.token}", NULL, 0, &answer);
    if (status || answer.status == 200) {
        return status; /* section 2.2: a token that is no more is answered with 200, too */
    }
    (void)sallyport_refuse(host, call, "the revocation endpoint did not answer 200");
    return SALLYPORT_E_UPSTREAM;
}

const struct sallyport_lease oauth_lease = {
    .size = sizeof oauth_lease,
    .permissions = permissions,
    .renew = renew,
    .revoke = revoke,
};
