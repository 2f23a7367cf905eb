/* GitHub: personal access tokens, for github.com or an Enterprise host. The API version is
 * fixed with the key; Accept and User-Agent are set where the client sent none (GitHub refuses
 * a request without the latter). GraphQL is one path, /graphql: a scope that does not name it
 * does not allow it. */
#include "catalogue.h"

#include <sallyport/help.h>

#include <stdlib.h>

SALLYPORT_PLUGIN_NOTE;

#define API_VERSION "2022-11-28"
#define HOSTS_MAX_BYTES 1024

struct instance {
    uint64_t version_len, hosts_len;
    char version[64];
    char hosts[HOSTS_MAX_BYTES]; /* of an Enterprise server; empty: github.com */
};

static const struct sallyport_field *const fields[] = {
    &(const struct sallyport_field){
        .size = sizeof(struct sallyport_field),
        .type = SALLYPORT_FIELD_SECRET,
        .flags = SALLYPORT_FIELD_REQUIRED,
        .charset = SALLYPORT_CHARSET_TOKEN,
        .min_bytes = 12,
        .max_bytes = 255,
        .name = SALLYPORT_TEXT("token"),
        .description = SALLYPORT_TEXT("Access token; prefer a fine-grained one (github_pat_)"),
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
        .max_bytes = HOSTS_MAX_BYTES,
        .name = SALLYPORT_TEXT("enterprise_host"),
        .description =
            SALLYPORT_TEXT("Host of a GitHub Enterprise server, instead of github.com"),
    },
};

static int32_t describe(const struct sallyport_host *host, uint64_t call)
{
    static const struct sallyport_manifest manifest = {
        .size = sizeof manifest,
        .id = SALLYPORT_TEXT("github"),
        .version = SALLYPORT_TEXT("0.1.0"),
        .description =
            SALLYPORT_TEXT("GitHub: personal access tokens, github.com or Enterprise"),
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

static int32_t open_instance(const struct sallyport_host *host, uint64_t call,
                             const struct sallyport_key *key, void **ret_instance)
{
    struct sallyport_text version = sallyport_setting_of(key, "api_version");
    struct sallyport_text hosts = sallyport_setting_of(key, "enterprise_host");
    struct instance *instance = calloc(1, sizeof *instance);
    if (!instance) {
        return SALLYPORT_E_MEMORY;
    }
    if (version.len > sizeof instance->version || hosts.len > sizeof instance->hosts) {
        free(instance);
        return sallyport_refuse(host, call, "api_version or enterprise_host is too long");
    }
    if (version.len) {
        memcpy(instance->version, version.ptr, version.len);
    }
    if (hosts.len) {
        memcpy(instance->hosts, hosts.ptr, hosts.len);
    }
    instance->version_len = version.len;
    instance->hosts_len = hosts.len;
    *ret_instance = instance;
    return SALLYPORT_OK;
}

static void close_instance(const struct sallyport_host *host, void *instance)
{
    (void)host;
    free(instance);
}

static int32_t check(const struct sallyport_host *host, uint64_t call, void *data)
{
    const struct instance *instance = data;
    struct sallyport_text hosts = {instance->hosts, instance->hosts_len};
    if (instance->version_len != 10 || instance->version[4] != '-' ||
        instance->version[7] != '-') {
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
    const struct instance *instance = data;
    struct sallyport_text version = {instance->version, instance->version_len};
    int32_t status =
        sallyport_place_header(host, call, "authorization", "Bearer ", "{token}", 0);
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
    (void)id;
    return NULL;
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
