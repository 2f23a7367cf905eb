/* A plugin as an author wrote it for the extensions as they were frozen: the API hands out a
 * second key to whom holds one, and takes one back. */
#include <sallyport/help.h>
#include <sallyport/http.h>
#include <sallyport/rotate.h>

#include <stdio.h>
#include <stdlib.h>

SALLYPORT_PLUGIN_NOTE;

struct rotating {
    char host[256];
    int has_previous;
};

static int32_t describe(const struct sallyport_host *host, uint64_t call)
{
    static const struct sallyport_manifest manifest = {
        .size = sizeof manifest,
        .id = SALLYPORT_TEXT("rotating"),
        .version = SALLYPORT_TEXT("1"),
        .description = SALLYPORT_TEXT("An API whose keys replace themselves"),
    };
    static const struct sallyport_field name = {.size = sizeof name,
                                                .type = SALLYPORT_FIELD_HOST,
                                                .flags = SALLYPORT_FIELD_REQUIRED,
                                                .name = SALLYPORT_TEXT("host"),
                                                .description = SALLYPORT_TEXT("The host")};
    static const struct sallyport_prefix live = {sizeof live, 0, SALLYPORT_TEXT("live_"),
                                                 SALLYPORT_TEXT("true")};
    static const struct sallyport_prefix test = {sizeof test, 0, SALLYPORT_TEXT("test_"),
                                                 SALLYPORT_TEXT("false")};
    static const struct sallyport_prefix *const prefixes[] = {&live, &test};
    static const struct sallyport_field secret = {.size = sizeof secret,
                                                  .type = SALLYPORT_FIELD_SECRET,
                                                  .flags = SALLYPORT_FIELD_REQUIRED,
                                                  .name = SALLYPORT_TEXT("api_key"),
                                                  .description = SALLYPORT_TEXT("The key"),
                                                  .derives = SALLYPORT_TEXT("livemode"),
                                                  .prefixes = prefixes,
                                                  .n_prefixes = 2};
    int32_t status = host->push_manifest(host, call, &manifest);
    status = status ? status : host->push_field(host, call, &name);
    return status ? status : host->push_field(host, call, &secret);
}

static int32_t open_key(const struct sallyport_host *host, uint64_t call,
                        const struct sallyport_key *key, void **ret_instance)
{
    struct sallyport_text name = sallyport_setting_of(key, "host");
    struct rotating *rotating = calloc(1, sizeof *rotating);
    if (!rotating) {
        return SALLYPORT_E_MEMORY;
    }
    if (name.len >= sizeof rotating->host) {
        free(rotating);
        return sallyport_refuse(host, call, "host is too long");
    }
    if (name.len) {
        memcpy(rotating->host, name.ptr, name.len);
    }
    rotating->has_previous = sallyport_has_secret(key, "previous.api_key");
    *ret_instance = rotating;
    return SALLYPORT_OK;
}

static void close_key(const struct sallyport_host *host, void *instance)
{
    (void)host;
    free(instance);
}

static int32_t check(const struct sallyport_host *host, uint64_t call, void *instance)
{
    const struct rotating *rotating = instance;
    const struct sallyport_text name = sallyport_text_of(rotating->host);
    return host->push_host(host, call, &name);
}

static const struct sallyport_placement authorization = {
    .size = sizeof authorization,
    .place = SALLYPORT_PLACE_HEADER,
    .name = SALLYPORT_TEXT("authorization"),
    .prefix = SALLYPORT_TEXT("Bearer "),
    .template_text = SALLYPORT_TEXT("{api_key}"),
};

static int32_t plan(const struct sallyport_host *host, uint64_t call, void *instance)
{
    (void)instance;
    return host->push_placement(host, call, &authorization);
}

/* POST it; SALLYPORT_OK for 200, and for 404 where that will do. */
static int32_t post(const struct sallyport_host *host, uint64_t call,
                    const struct rotating *rotating, const char *path,
                    struct sallyport_http_request *request, int gone_will_do)
{
    static const struct sallyport_header type = {
        sizeof type, SALLYPORT_HEADER_FIXED, SALLYPORT_TEXT("content-type"),
        SALLYPORT_TEXT("application/x-www-form-urlencoded")};
    static const struct sallyport_header *const headers[] = {&type};
    const struct sallyport_http *http = host->extension(host, SALLYPORT_HTTP);
    struct sallyport_http_answer answer = {.size = sizeof answer};
    char url[400], text[80];
    if (!http) {
        (void)sallyport_refuse(host, call, "set plugin_isolation = worker");
        return SALLYPORT_E_UNSUPPORTED;
    }
    (void)snprintf(url, sizeof url, "https://%s%s", rotating->host, path);
    request->size = sizeof *request;
    request->method = sallyport_text_of("POST");
    request->url = sallyport_text_of(url);
    request->headers = headers;
    request->n_headers = 1;
    int32_t status = http->perform(host, call, request, &answer);
    if (!status && answer.status != 200 && !(gone_will_do && answer.status == 404)) {
        (void)snprintf(text, sizeof text, "%s answered %u", path, (unsigned)answer.status);
        (void)sallyport_refuse(host, call, text);
        status = SALLYPORT_E_UPSTREAM;
    }
    return status;
}

static int32_t rotate(const struct sallyport_host *host, uint64_t call, void *instance)
{
    static const struct sallyport_http_capture capture = {.size = sizeof capture,
                                                          .pointer = SALLYPORT_TEXT("/secret"),
                                                          .name = SALLYPORT_TEXT("api_key")};
    static const struct sallyport_http_capture *const captures[] = {&capture};
    static const struct sallyport_placement *const placements[] = {&authorization};
    struct sallyport_http_request request = {
        .placements = placements, .captures = captures, .n_placements = 1, .n_captures = 1};
    return post(host, call, instance, "/keys", &request, 0);
}

static int32_t finish(const struct sallyport_host *host, uint64_t call, void *instance)
{
    static const struct sallyport_placement previous = {
        .size = sizeof previous,
        .place = SALLYPORT_PLACE_FORM,
        .name = SALLYPORT_TEXT("key"),
        .template_text = SALLYPORT_TEXT("{previous.api_key}"),
    };
    static const struct sallyport_placement *const placements[] = {&authorization, &previous};
    struct sallyport_http_request request = {.placements = placements, .n_placements = 2};
    const struct rotating *rotating = instance;
    return rotating->has_previous ? post(host, call, rotating, "/keys/revoke", &request, 1)
                                  : SALLYPORT_OK;
}

static const struct sallyport_rotate table = {
    .size = sizeof table, .rotate = rotate, .finish = finish};

static const void *extension(const char *id)
{
    return strcmp(id, SALLYPORT_ROTATE) == 0 ? &table : NULL;
}

static const struct sallyport_plugin plugin = {.size = sizeof plugin,
                                               .abi_minor = SALLYPORT_ABI_MINOR,
                                               .describe = describe,
                                               .open = open_key,
                                               .close = close_key,
                                               .check = check,
                                               .plan = plan,
                                               .extension = extension};

SALLYPORT_EXPORT const struct sallyport_plugin *
sallyport_plugin_v1(const struct sallyport_host *host)
{
    (void)host;
    return &plugin;
}
