/* Stripe: secret and restricted keys. The key goes into Authorization; the API version and, for
 * a platform, the connected account are fixed when the key is registered. A client that could
 * send Stripe-Account itself would act on every connected account, so it is not let through. */
#include "catalogue.h"

#include <sallyport/help.h>

#include <stdlib.h>

SALLYPORT_PLUGIN_NOTE;

/* The version whose parameters the catalogue names. Pinned, so that an upgrade in Stripe's
 * dashboard does not change what a reviewed rule means. */
#define STRIPE_VERSION "2024-06-20"

struct instance {
    uint64_t version_len, account_len;
    char version[64], account[128];
};

static const struct sallyport_field *const fields[] = {
    &(const struct sallyport_field){
        .size = sizeof(struct sallyport_field),
        .type = SALLYPORT_FIELD_SECRET,
        .flags = SALLYPORT_FIELD_REQUIRED,
        .charset = SALLYPORT_CHARSET_TOKEN,
        .min_bytes = 12,
        .max_bytes = 255,
        .name = SALLYPORT_TEXT("api_key"),
        .description =
            SALLYPORT_TEXT("Secret (sk_) or restricted (rk_) key; prefer restricted"),
        .prefixes =
            (const struct sallyport_prefix *const[]){
#define PREFIX(start, live)                                                                    \
    &(const struct sallyport_prefix)                                                           \
    {                                                                                          \
        .size = sizeof(struct sallyport_prefix), .prefix = SALLYPORT_TEXT(start),              \
        .label = SALLYPORT_TEXT(live)                                                          \
    }
                PREFIX("sk_", ""), PREFIX("sk_live_", "true"), PREFIX("sk_test_", "false"),
                PREFIX("rk_", ""), PREFIX("rk_live_", "true"), PREFIX("rk_test_", "false")},
        .n_prefixes = 6,
        .derives = SALLYPORT_TEXT("livemode"),
    },
    &(const struct sallyport_field){
        .size = sizeof(struct sallyport_field),
        .type = SALLYPORT_FIELD_STRING,
        .max_bytes = 63,
        .charset = SALLYPORT_CHARSET_TOKEN,
        .name = SALLYPORT_TEXT("stripe_version"),
        .description = SALLYPORT_TEXT("API version that every request is sent with"),
        .fallback = SALLYPORT_TEXT(STRIPE_VERSION),
    },
    &(const struct sallyport_field){
        .size = sizeof(struct sallyport_field),
        .type = SALLYPORT_FIELD_STRING,
        .max_bytes = 127,
        .charset = SALLYPORT_CHARSET_TOKEN,
        .name = SALLYPORT_TEXT("stripe_account"),
        .description = SALLYPORT_TEXT("Connected account (acct_…) that this key acts on"),
    },
};

static int32_t describe(const struct sallyport_host *host, uint64_t call)
{
    static const struct sallyport_manifest manifest = {
        .size = sizeof manifest,
        .id = SALLYPORT_TEXT("stripe"),
        .version = SALLYPORT_TEXT("0.1.0"),
        .description = SALLYPORT_TEXT("Stripe: secret and restricted API keys"),
    };
    static const struct sallyport_text idempotency = SALLYPORT_TEXT("idempotency-key");
    int32_t status = host->push_manifest(host, call, &manifest);
    if (!status) {
        status = sallyport_host_name(host, call, "api.stripe.com");
    }
    if (!status) {
        status = sallyport_host_name(host, call, "files.stripe.com");
    }
    if (!status) {
        status = host->push_request_header(host, call, &idempotency);
    }
    for (size_t i = 0; !status && i < sizeof fields / sizeof *fields; i++) {
        status = host->push_field(host, call, fields[i]);
    }
    return status ? status : stripe_push_actions(host, call);
}

static int32_t open_instance(const struct sallyport_host *host, uint64_t call,
                             const struct sallyport_key *key, void **ret_instance)
{
    struct sallyport_text version = sallyport_setting_of(key, "stripe_version");
    struct sallyport_text account = sallyport_setting_of(key, "stripe_account");
    struct instance *instance = calloc(1, sizeof *instance);
    if (!instance) {
        return SALLYPORT_E_MEMORY;
    }
    if (version.len > sizeof instance->version || account.len > sizeof instance->account) {
        free(instance);
        return sallyport_refuse(host, call, "stripe_version or stripe_account is too long");
    }
    if (version.len) {
        memcpy(instance->version, version.ptr, version.len);
    }
    if (account.len) {
        memcpy(instance->account, account.ptr, account.len);
    }
    instance->version_len = version.len;
    instance->account_len = account.len;
    *ret_instance = instance;
    return SALLYPORT_OK;
}

static void close_instance(const struct sallyport_host *host, void *instance)
{
    (void)host;
    free(instance);
}

/* 2024-06-20, or with a release's name behind it: 2024-09-30.acacia. */
static int is_version(const char *text, uint64_t len)
{
    for (uint64_t i = 0; i < 10; i++) {
        int dash = i == 4 || i == 7;
        if (i >= len || (dash ? text[i] != '-' : text[i] < '0' || text[i] > '9')) {
            return 0;
        }
    }
    return len == 10 || (len > 11 && text[10] == '.');
}

static int32_t check(const struct sallyport_host *host, uint64_t call, void *data)
{
    const struct instance *instance = data;
    if (!is_version(instance->version, instance->version_len)) {
        return sallyport_refuse(host, call,
                                "stripe_version has to be a date such as " STRIPE_VERSION);
    }
    if (instance->account_len &&
        (instance->account_len < 6 || memcmp(instance->account, "acct_", 5) != 0)) {
        return sallyport_refuse(host, call, "stripe_account has to begin with acct_");
    }
    int32_t status = sallyport_host_name(host, call, "api.stripe.com");
    return status ? status : sallyport_host_name(host, call, "files.stripe.com");
}

static int32_t plan(const struct sallyport_host *host, uint64_t call, void *data)
{
    const struct instance *instance = data;
    struct sallyport_text version = {instance->version, instance->version_len};
    struct sallyport_text account = {instance->account, instance->account_len};
    int32_t status =
        sallyport_place_header(host, call, "authorization", "Bearer ", "{api_key}", 0);
    if (!status) {
        status =
            sallyport_set_header(host, call, SALLYPORT_HEADER_FIXED, "stripe-version", version);
    }
    if (!status && account.len) {
        status =
            sallyport_set_header(host, call, SALLYPORT_HEADER_FIXED, "stripe-account", account);
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
