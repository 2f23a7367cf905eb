/* GitHub: access tokens, or a GitHub App's installation (app.c), for github.com or an
 * Enterprise host. The API version is fixed with the key; Accept and User-Agent are set where
 * the client sent none (GitHub refuses a request without the latter). GraphQL is one path,
 * /graphql: a scope that does not name it does not allow it. */
#include "github.h"
#include "catalogue.h"

#include <stdlib.h>

SALLYPORT_PLUGIN_NOTE;

#define API_VERSION "2022-11-28"

static const struct sallyport_field *const fields[] = {
    &(const struct sallyport_field){
        .size = sizeof(struct sallyport_field),
        .type = SALLYPORT_FIELD_SECRET,
        .charset = SALLYPORT_CHARSET_TOKEN,
        .min_bytes = 12,
        .max_bytes = 255,
        .name = SALLYPORT_TEXT("token"),
        .description = SALLYPORT_TEXT("Access token; prefer a fine-grained one (github_pat_), "
                                      "or a GitHub App instead"),
        .prefixes =
            (const struct sallyport_prefix *const[]){
#define PREFIX(start, kind)                                                                    \
    &(const struct sallyport_prefix)                                                           \
    {                                                                                          \
        .size = sizeof(struct sallyport_prefix), .prefix = SALLYPORT_TEXT(start),              \
        .label = SALLYPORT_TEXT(kind)                                                          \
    }
                PREFIX("github_pat_", "fine-grained"), PREFIX("ghp_", "classic"),
                PREFIX("gho_", "oauth"), PREFIX("ghu_", "user-to-server"),
                PREFIX("ghs_", "installation")},
        .n_prefixes = 5,
        .derives = SALLYPORT_TEXT("token_kind"),
    },
    &(const struct sallyport_field){
        .size = sizeof(struct sallyport_field),
        .type = SALLYPORT_FIELD_STRING,
        .max_bytes = 10,
        .charset = SALLYPORT_CHARSET_TOKEN,
        .name = SALLYPORT_TEXT("api_version"),
        .description = SALLYPORT_TEXT("X-GitHub-Api-Version that every request is sent with"),
        .fallback = SALLYPORT_TEXT(API_VERSION),
    },
    &(const struct sallyport_field){
        .size = sizeof(struct sallyport_field),
        .type = SALLYPORT_FIELD_HOST,
        .max_bytes = GITHUB_HOSTS_MAX_BYTES,
        .name = SALLYPORT_TEXT("enterprise_host"),
        .description =
            SALLYPORT_TEXT("Host of a GitHub Enterprise server, instead of github.com"),
    },
    &(const struct sallyport_field){
        .size = sizeof(struct sallyport_field),
        .type = SALLYPORT_FIELD_STRING,
        .max_bytes = GITHUB_ID_MAX_BYTES,
        .charset = SALLYPORT_CHARSET_TOKEN,
        .name = SALLYPORT_TEXT("app_id"),
        .description =
            SALLYPORT_TEXT("Of a GitHub App, instead of a token: its id or client id"),
    },
    &(const struct sallyport_field){
        .size = sizeof(struct sallyport_field),
        .type = SALLYPORT_FIELD_INTEGER,
        .max_bytes = 20,
        .name = SALLYPORT_TEXT("installation_id"),
        .description = SALLYPORT_TEXT("Of a GitHub App: the installation to act as"),
    },
    &(const struct sallyport_field){
        .size = sizeof(struct sallyport_field),
        .type = SALLYPORT_FIELD_SECRET,
        .charset = SALLYPORT_CHARSET_TEXT,
        .min_bytes = 800,
        .max_bytes = 16384,
        .name = SALLYPORT_TEXT("private_key"),
        .description = SALLYPORT_TEXT("Of a GitHub App: its private key, a PEM file"),
    },
};

static int32_t describe(const struct sallyport_host *host, uint64_t call)
{
    static const struct sallyport_manifest manifest = {
        .size = sizeof manifest,
        .id = SALLYPORT_TEXT("github"),
        .version = SALLYPORT_TEXT("0.1.0"),
        .description =
            SALLYPORT_TEXT("GitHub: access tokens and Apps, github.com or Enterprise"),
    };
    int32_t status = host->push_manifest(host, call, &manifest);
    if (!status) {
        status = sallyport_host_name(host, call, "api.github.com");
    }
    if (!status) {
        status = sallyport_host_name(host, call, "uploads.github.com");
    }
    for (size_t i = 0; !status && i < sizeof fields / sizeof *fields; i++) {
        status = host->push_field(host, call, fields[i]);
    }
    return status ? status : github_push_actions(host, call);
}

static int copy(char *to, uint64_t room, struct sallyport_text from, uint64_t *ret_len)
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

static int32_t open_instance(const struct sallyport_host *host, uint64_t call,
                             const struct sallyport_key *key, void **ret_instance)
{
    struct github *github = calloc(1, sizeof *github);
    if (!github) {
        return SALLYPORT_E_MEMORY;
    }
    if (!copy(github->version, sizeof github->version, sallyport_setting_of(key, "api_version"),
              &github->version_len) ||
        !copy(github->hosts, sizeof github->hosts, sallyport_setting_of(key, "enterprise_host"),
              &github->hosts_len) ||
        !copy(github->app, sizeof github->app, sallyport_setting_of(key, "app_id"),
              &github->app_len) ||
        !copy(github->installation, sizeof github->installation,
              sallyport_setting_of(key, "installation_id"), &github->installation_len)) {
        free(github);
        return sallyport_refuse(host, call, "a setting is too long");
    }
    github->has_token = sallyport_has_secret(key, "token");
    github->has_private_key = sallyport_has_secret(key, "private_key");
    github->has_minted = sallyport_has_secret(key, "lease.token");
    *ret_instance = github;
    return SALLYPORT_OK;
}

static void close_instance(const struct sallyport_host *host, void *instance)
{
    (void)host;
    free(instance);
}

static int32_t check(const struct sallyport_host *host, uint64_t call, void *data)
{
    const struct github *github = data;
    struct sallyport_text hosts = {github->hosts, github->hosts_len};
    int is_app = github->app_len || github->installation_len || github->has_private_key;
    if (is_app ? github->has_token || !github->app_len || !github->installation_len ||
                     !github->has_private_key
               : !github->has_token) {
        return sallyport_refuse(host, call,
                                "a key is either the secret token, or a GitHub App: app_id, "
                                "installation_id and the secret private_key");
    }
    if (github->version_len != 10 || github->version[4] != '-' || github->version[7] != '-') {
        return sallyport_refuse(host, call,
                                "api_version has to be a date such as " API_VERSION);
    }
    if (hosts.len) {
        return sallyport_host_names(host, call, hosts);
    }
    int32_t status = sallyport_host_name(host, call, "api.github.com");
    return status ? status : sallyport_host_name(host, call, "uploads.github.com");
}

static int32_t plan(const struct sallyport_host *host, uint64_t call, void *data)
{
    const struct github *github = data;
    struct sallyport_text version = {github->version, github->version_len};
    int32_t status = sallyport_place_header(host, call, "authorization", "Bearer ",
                                            github->app_len ? "{lease.token}" : "{token}", 0);
    if (!status) {
        status = sallyport_set_header(host, call, SALLYPORT_HEADER_FIXED,
                                      "x-github-api-version", version);
    }
    if (!status) {
        status = sallyport_set_header(host, call, SALLYPORT_HEADER_DEFAULT, "accept",
                                      sallyport_text_of("application/vnd.github+json"));
    }
    if (!status) {
        status = sallyport_set_header(host, call, SALLYPORT_HEADER_DEFAULT, "user-agent",
                                      sallyport_text_of("sallyport"));
    }
    return status;
}

static const void *extension(const char *id)
{
    return strcmp(id, SALLYPORT_LEASE) == 0 ? &github_lease : NULL;
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
