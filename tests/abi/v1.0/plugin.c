/* A plugin as an author wrote it for version 1.0: every structure and every push is used. */
#include <sallyport/catalogue.h>
#include <sallyport/plugin.h>

SALLYPORT_PLUGIN_NOTE;

static int32_t describe(const struct sallyport_host *host, uint64_t call)
{
    static const struct sallyport_manifest manifest = {
        .size = sizeof manifest,
        .id = SALLYPORT_TEXT("witness"),
        .version = SALLYPORT_TEXT("1.0"),
        .description = SALLYPORT_TEXT("Built for ABI 1.0"),
    };
    static const struct sallyport_prefix live = {
        .size = sizeof live,
        .prefix = SALLYPORT_TEXT("w_live_"),
        .label = SALLYPORT_TEXT("true"),
    };
    static const struct sallyport_prefix *const prefixes[] = {&live};
    static const struct sallyport_field fields[] = {
        {
            .size = sizeof fields[0],
            .type = SALLYPORT_FIELD_SECRET,
            .flags = SALLYPORT_FIELD_REQUIRED,
            .charset = SALLYPORT_CHARSET_TOKEN,
            .min_bytes = 8,
            .max_bytes = 64,
            .name = SALLYPORT_TEXT("api_key"),
            .description = SALLYPORT_TEXT("The key"),
            .prefixes = prefixes,
            .n_prefixes = 1,
            .derives = SALLYPORT_TEXT("livemode"),
        },
        {
            .size = sizeof fields[1],
            .type = SALLYPORT_FIELD_HOST,
            .name = SALLYPORT_TEXT("region_host"),
            .fallback = SALLYPORT_TEXT("eu.witness.example"),
        },
    };
    static const struct sallyport_row rows[] = {
        {"keys.create", "POST", "/v1/keys", "body.name:string", SALLYPORT_ACTION_ESCALATES},
        {"things.list", "GET", "/v1/things/{id}", "", 0},
    };
    struct sallyport_text header = sallyport_text_of("witness-account");
    struct sallyport_text line = sallyport_text_of("describing");
    int32_t status = host->log(host, SALLYPORT_LOG_DEBUG, &line);
    status = status ? status : host->push_manifest(host, call, &manifest);
    status = status ? status : host->push_request_header(host, call, &header);
    for (size_t i = 0; !status && i < 2; i++) {
        status = host->push_field(host, call, &fields[i]);
    }
    return status ? status : sallyport_push_rows(host, call, rows, 2);
}

static int32_t open_instance(const struct sallyport_host *host, uint64_t call,
                             const struct sallyport_key *key, void **ret_instance)
{
    static struct sallyport_text region;
    region = sallyport_setting_of(key, "region_host");
    if (!sallyport_has_secret(key, "api_key")) {
        return sallyport_refuse(host, call, "there is no api_key");
    }
    *ret_instance = &region;
    return SALLYPORT_OK;
}

static void close_instance(const struct sallyport_host *host, void *instance)
{
    (void)host;
    (void)instance;
}

static int32_t check(const struct sallyport_host *host, uint64_t call, void *instance)
{
    const struct sallyport_text *region = instance;
    return sallyport_host_names(host, call, *region);
}

static int32_t plan(const struct sallyport_host *host, uint64_t call, void *instance)
{
    (void)instance;
    int32_t status = sallyport_place_header(host, call, "authorization", "Basic ",
                                            "{api_key}:", SALLYPORT_PLACE_BASE64);
    return status ? status
                  : sallyport_set_header(host, call, SALLYPORT_HEADER_FIXED, "witness-version",
                                         sallyport_text_of("1"));
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
    return SALLYPORT_HAS(host, sallyport_host, extension) ? &plugin : NULL;
}
