/* The smallest complete plugin: an API at one host that wants its key in the header x-api-key.
 * Copy the folder, change the names, and read docs/plugins.md alongside. */
#include <sallyport/help.h>
#include <sallyport/plugin.h>

/* The version of the interface, where the host can read it before it runs anything of this. */
SALLYPORT_PLUGIN_NOTE;

/* What this plugin is. Called once; everything is copied by the host, so a local would do. */
static int32_t describe(const struct sallyport_host *host, uint64_t call)
{
    static const struct sallyport_manifest manifest = {
        .size = sizeof manifest,
        .id = SALLYPORT_TEXT("template"), /* as in `sallyport key add ID --provider template` */
        .version = SALLYPORT_TEXT("0.1.0"),
        .description = SALLYPORT_TEXT("An example: one host, one key in x-api-key"),
    };
    /* The operator is asked for this one secret. The plugin never sees its value. */
    static const struct sallyport_field api_key = {
        .size = sizeof api_key,
        .type = SALLYPORT_FIELD_SECRET,
        .flags = SALLYPORT_FIELD_REQUIRED,
        .charset = SALLYPORT_CHARSET_TOKEN,
        .name = SALLYPORT_TEXT("api_key"),
        .description = SALLYPORT_TEXT("The API key, from the provider's console"),
    };
    /* What the API can do, as far as scopes want to name it. */
    static const struct sallyport_action list = {
        .size = sizeof list,
        .name = SALLYPORT_TEXT("things.list"),
        .method = SALLYPORT_TEXT("GET"),
        .path = SALLYPORT_TEXT("/v1/things"),
    };
    int32_t status = host->push_manifest(host, call, &manifest);
    if (status == SALLYPORT_OK) {
        status = sallyport_host_name(host, call, "api.example.com");
    }
    if (status == SALLYPORT_OK) {
        status = host->push_field(host, call, &api_key);
    }
    if (status == SALLYPORT_OK) {
        status = host->push_action(host, call, &list);
    }
    return status;
}

/* Nothing to remember of a key here: NULL is a fine instance. */
static int32_t open_instance(const struct sallyport_host *host, uint64_t call,
                             const struct sallyport_key *key, void **ret_instance)
{
    (void)host;
    (void)call;
    (void)key;
    *ret_instance = NULL;
    return SALLYPORT_OK;
}

static void close_instance(const struct sallyport_host *host, void *instance)
{
    (void)host;
    (void)instance;
}

/* Is the configuration fit for use, and which hosts is the key fixed to? */
static int32_t check(const struct sallyport_host *host, uint64_t call, void *instance)
{
    (void)instance;
    return sallyport_host_name(host, call, "api.example.com");
}

/* Where the secret goes. The host asks once per version of a key and keeps the answer. */
static int32_t plan(const struct sallyport_host *host, uint64_t call, void *instance)
{
    (void)instance;
    return sallyport_place_header(host, call, "x-api-key", "", "{api_key}", 0);
}

static const void *extension(const char *id)
{
    (void)id;
    return NULL; /* no optional features */
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
