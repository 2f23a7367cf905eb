/* What every bad plugin is made of: a table whose hooks are fine, for a file to spoil one thing
 * of. The functions are static inline, so that a file may leave some unused. */
#ifndef BAD_H
#define BAD_H

#include <sallyport/help.h>
#include <sallyport/plugin.h>

static inline int32_t fine_describe(const struct sallyport_host *host, uint64_t call)
{
    static const struct sallyport_manifest manifest = {
        .size = sizeof manifest,
        .id = SALLYPORT_TEXT("bad"),
        .version = SALLYPORT_TEXT("1"),
    };
    static const struct sallyport_field fields[] = {
        {.size = sizeof fields[0],
         .type = SALLYPORT_FIELD_STRING,
         .name = SALLYPORT_TEXT("case")},
        {.size = sizeof fields[0],
         .type = SALLYPORT_FIELD_SECRET,
         .name = SALLYPORT_TEXT("api_key")},
    };
    int32_t status = host->push_manifest(host, call, &manifest);
    for (size_t i = 0; !status && i < 2; i++) {
        status = host->push_field(host, call, &fields[i]);
    }
    return status ? status : sallyport_host_name(host, call, "api.example.com");
}

static inline int32_t fine_open(const struct sallyport_host *host, uint64_t call,
                                const struct sallyport_key *key, void **ret_instance)
{
    (void)host;
    (void)call;
    (void)key;
    *ret_instance = NULL;
    return SALLYPORT_OK;
}

static inline void fine_close(const struct sallyport_host *host, void *instance)
{
    (void)host;
    (void)instance;
}

static inline int32_t fine_check(const struct sallyport_host *host, uint64_t call,
                                 void *instance)
{
    (void)instance;
    return sallyport_host_name(host, call, "api.example.com");
}

static inline int32_t fine_plan(const struct sallyport_host *host, uint64_t call,
                                void *instance)
{
    (void)instance;
    return sallyport_place_header(host, call, "x-api-key", "", "{api_key}", 0);
}

static inline const void *fine_extension(const char *id)
{
    (void)id;
    return NULL;
}

#define FINE_TABLE                                                                             \
    .size = sizeof(struct sallyport_plugin), .abi_minor = SALLYPORT_ABI_MINOR,                 \
    .describe = fine_describe, .open = fine_open, .close = fine_close, .check = fine_check,    \
    .plan = fine_plan, .extension = fine_extension

/* The entry point of a file that has a `table`. */
#define ENTRY                                                                                  \
    const struct sallyport_plugin *sallyport_plugin_v1(const struct sallyport_host *host)      \
    {                                                                                          \
        (void)host;                                                                            \
        return &table;                                                                         \
    }

#endif
