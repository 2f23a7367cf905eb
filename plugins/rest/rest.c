/* rest: any HTTP API whose credential sits in one place: a header, a query parameter, HTTP
 * Basic or a cookie; or that takes OAuth 2.0 access tokens (oauth.c). Which host, which place
 * and which name is the operator's configuration. */
#include "rest.h"

#include <stdlib.h>

SALLYPORT_PLUGIN_NOTE;

#define SECRET(field, about)                                                                   \
    &(const struct sallyport_field)                                                            \
    {                                                                                          \
        .size = sizeof(struct sallyport_field), .type = SALLYPORT_FIELD_SECRET,                \
        .name = SALLYPORT_TEXT(field), .description = SALLYPORT_TEXT(about)                    \
    }
#define STRING(field, limit, value, about)                                                     \
    &(const struct sallyport_field)                                                            \
    {                                                                                          \
        .size = sizeof(struct sallyport_field), .type = SALLYPORT_FIELD_STRING,                \
        .max_bytes = (limit), .name = SALLYPORT_TEXT(field),                                   \
        .fallback = SALLYPORT_TEXT(value), .description = SALLYPORT_TEXT(about)                \
    }

static const struct sallyport_field *const fields[] = {
    &(const struct sallyport_field){
        .size = sizeof(struct sallyport_field),
        .type = SALLYPORT_FIELD_HOST,
        .flags = SALLYPORT_FIELD_REQUIRED,
        .max_bytes = REST_HOSTS_MAX_BYTES,
        .name = SALLYPORT_TEXT("host"),
        .description = SALLYPORT_TEXT("The API's host, or several with commas"),
    },
    STRING("style", 16, "header",
           "Where the credential goes: header, query, basic, cookie or oauth2"),
    STRING("name", REST_NAME_MAX_BYTES, "",
           "Name of the header (default authorization), query parameter or cookie"),
    STRING("prefix", REST_PREFIX_MAX_BYTES, "",
           "What stands before the credential in a header (default, in authorization: Bearer)"),
    SECRET("api_key", "The credential of the styles header, query and cookie"),
    SECRET("username", "User name of the style basic"),
    SECRET("password", "Password of the style basic"),
    STRING("token_url", REST_URL_MAX_BYTES, "",
           "Of the style oauth2: the token endpoint, on one of the hosts"),
    STRING("revoke_url", REST_URL_MAX_BYTES, "",
           "Of the style oauth2: the revocation endpoint (RFC 7009), if there is one"),
    STRING("client_id", 255, "", "Of the style oauth2"),
    STRING("client_auth", 5, "basic",
           "Of the style oauth2: whether the client shows itself by HTTP basic or in the body"),
    STRING("oauth_scope", 1000, "", "Of the style oauth2: the scope to ask for"),
    SECRET("client_secret", "Of the style oauth2"),
    SECRET(
        "refresh_token",
        "Of the style oauth2: set, it is used instead of client credentials; the server must "
        "not replace it at each use"),
};

/* What is nobody's credential and stateful protocols need: where a stream of events goes on,
 * and MCP's session over streamable HTTP. */
static const struct sallyport_text request_headers[] = {
    SALLYPORT_TEXT("last-event-id"),
    SALLYPORT_TEXT("mcp-protocol-version"),
    SALLYPORT_TEXT("mcp-session-id"),
};

static int32_t describe(const struct sallyport_host *host, uint64_t call)
{
    static const struct sallyport_manifest manifest = {
        .size = sizeof manifest,
        .id = SALLYPORT_TEXT("rest"),
        .version = SALLYPORT_TEXT("0.1.0"),
        .description = SALLYPORT_TEXT("Any HTTP API with a key in a header, query or cookie, "
                                      "HTTP Basic, or OAuth 2.0"),
    };
    int32_t status = host->push_manifest(host, call, &manifest);
    for (size_t i = 0; !status && i < sizeof request_headers / sizeof *request_headers; i++) {
        status = host->push_request_header(host, call, &request_headers[i]);
    }
    for (size_t i = 0; !status && i < sizeof fields / sizeof *fields; i++) {
        status = host->push_field(host, call, fields[i]);
    }
    return status;
}

int rest_copy(char *to, uint64_t room, struct sallyport_text from, uint64_t *ret_len)
{
    if (from.len > room) {
        return 0;
    }
    if (from.len) {
        memcpy(to, from.ptr, from.len);
    }
    *ret_len = from.len;
    return 1;
}

static int read_style(struct sallyport_text text, enum style *ret_style)
{
    static const char *const names[] = {"header", "query", "basic", "cookie", "oauth2"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        if (sallyport_text_is(text, names[i])) {
            *ret_style = (enum style)i;
            return 1;
        }
    }
    return 0;
}

/* What stands before the credential, and in which header, where the operator did not say. */
static int defaults(struct rest *instance)
{
    static const struct sallyport_text authorization = SALLYPORT_TEXT("authorization");
    static const struct sallyport_text bearer = SALLYPORT_TEXT("Bearer ");
    static const struct sallyport_text basic = SALLYPORT_TEXT("Basic ");
    int named = instance->name_len > 0;
    switch (instance->style) {
    case STYLE_HEADER:
        return named || (rest_copy(instance->name, sizeof instance->name, authorization,
                                   &instance->name_len) &&
                         (instance->prefix_len > 0 ||
                          rest_copy(instance->prefix, sizeof instance->prefix, bearer,
                                    &instance->prefix_len)));
    case STYLE_BASIC:
        return (named || rest_copy(instance->name, sizeof instance->name, authorization,
                                   &instance->name_len)) &&
               rest_copy(instance->prefix, sizeof instance->prefix, basic,
                         &instance->prefix_len);
    case STYLE_COOKIE:
        if (!named) {
            return 1; /* check says so */
        }
        memcpy(instance->prefix, instance->name, instance->name_len);
        instance->prefix[instance->name_len] = '=';
        instance->prefix_len = instance->name_len + 1;
        return 1;
    case STYLE_OAUTH2:
        return rest_copy(instance->name, sizeof instance->name, authorization,
                         &instance->name_len) &&
               rest_copy(instance->prefix, sizeof instance->prefix, bearer,
                         &instance->prefix_len);
    case STYLE_QUERY:
    default:
        return 1;
    }
}

static int32_t open_instance(const struct sallyport_host *host, uint64_t call,
                             const struct sallyport_key *key, void **ret_instance)
{
    struct rest *instance = calloc(1, sizeof *instance);
    if (!instance) {
        return SALLYPORT_E_MEMORY;
    }
    if (!read_style(sallyport_setting_of(key, "style"), &instance->style)) {
        free(instance);
        return sallyport_refuse(host, call,
                                "style has to be header, query, basic, cookie or oauth2");
    }
    if (!rest_copy(instance->hosts, sizeof instance->hosts, sallyport_setting_of(key, "host"),
                   &instance->hosts_len) ||
        !rest_copy(instance->name, sizeof instance->name, sallyport_setting_of(key, "name"),
                   &instance->name_len) ||
        !rest_copy(instance->prefix, REST_PREFIX_MAX_BYTES, sallyport_setting_of(key, "prefix"),
                   &instance->prefix_len) ||
        !defaults(instance) ||
        (instance->style == STYLE_OAUTH2 && !oauth_open(&instance->oauth, key))) {
        free(instance);
        return sallyport_refuse(
            host, call, "a setting is too long, or client_auth is neither basic nor body");
    }
    instance->has_api_key = sallyport_has_secret(key, "api_key");
    instance->has_username = sallyport_has_secret(key, "username");
    instance->has_password = sallyport_has_secret(key, "password");
    instance->has_client_secret = sallyport_has_secret(key, "client_secret");
    *ret_instance = instance;
    return SALLYPORT_OK;
}

static void close_instance(const struct sallyport_host *host, void *instance)
{
    (void)host;
    free(instance);
}

/* A token of RFC 9110, section 5.6.2: what header and cookie names are made of. */
static int is_token(const char *text, uint64_t len)
{
    for (uint64_t i = 0; i < len; i++) {
        char c = text[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c != '\0' && strchr("!#$%&'*+-.^_`|~", c)))) {
            return 0;
        }
    }
    return len > 0;
}

static const char *what_is_wrong(const struct rest *instance)
{
    if (instance->style == STYLE_OAUTH2) {
        return oauth_is_wrong(instance);
    }
    if (instance->has_client_secret) {
        return "client_secret is for the style oauth2 alone";
    }
    if (instance->style == STYLE_BASIC) {
        if (!instance->has_username || !instance->has_password || instance->has_api_key) {
            return "style basic needs the secrets username and password, and no api_key";
        }
    } else if (!instance->has_api_key || instance->has_username || instance->has_password) {
        return "this style needs the secret api_key, and no username or password";
    }
    if (instance->name_len == 0) {
        return "name says which query parameter or cookie takes the key; set it";
    }
    if (instance->style != STYLE_QUERY && !is_token(instance->name, instance->name_len)) {
        return "name has a character that header and cookie names may not have";
    }
    return NULL;
}

static int32_t check(const struct sallyport_host *host, uint64_t call, void *data)
{
    const struct rest *instance = data;
    const char *wrong = what_is_wrong(instance);
    struct sallyport_text hosts = {instance->hosts, instance->hosts_len};
    return wrong ? sallyport_refuse(host, call, wrong)
                 : sallyport_host_names(host, call, hosts);
}

static int32_t plan(const struct sallyport_host *host, uint64_t call, void *data)
{
    const struct rest *instance = data;
    struct sallyport_placement placement = {
        .size = sizeof placement,
        .place =
            instance->style == STYLE_QUERY ? SALLYPORT_PLACE_QUERY : SALLYPORT_PLACE_HEADER,
        .flags = instance->style == STYLE_BASIC ? SALLYPORT_PLACE_BASE64 : 0,
        .name = {instance->name, instance->name_len},
        .prefix = {instance->prefix, instance->prefix_len},
        .template_text =
            sallyport_text_of(instance->style == STYLE_BASIC    ? "{username}:{password}"
                              : instance->style == STYLE_OAUTH2 ? "{lease.token}"
                                                                : "{api_key}"),
    };
    char lower[REST_NAME_MAX_BYTES];
    if (instance->style == STYLE_COOKIE) {
        placement.name = sallyport_text_of("cookie");
    } else if (instance->style != STYLE_QUERY) { /* header names are told in lower case */
        for (uint64_t i = 0; i < instance->name_len; i++) {
            char c = instance->name[i];
            lower[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
        }
        placement.name.ptr = lower;
    }
    return host->push_placement(host, call, &placement);
}

static const void *extension(const char *id)
{
    return strcmp(id, SALLYPORT_LEASE) == 0 ? &oauth_lease : NULL;
}

const struct sallyport_plugin *sallyport_plugin_v1(const struct sallyport_host *host)
{
    static const struct sallyport_plugin plugin = {
        .size = sizeof plugin,
        .abi_minor = SALLYPORT_ABI_MINOR,
        .describe = describe,
        .open = open_instance,
        .close = close_instance,
        .check = check,
        .plan = plan,
        .extension = extension,
    };
    (void)host;
    return &plugin;
}
