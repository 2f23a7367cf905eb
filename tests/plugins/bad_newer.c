/* Not bad: built for a later minor version, whose table and structures are longer. */
#include "bad.h"

SALLYPORT_PLUGIN_NOTE;
struct longer_manifest {
    struct sallyport_manifest old;
    uint64_t added[4];
};
static int32_t describe(const struct sallyport_host *host, uint64_t call)
{
    static const struct longer_manifest manifest = {
        .old = {.size = sizeof manifest,
                .id = SALLYPORT_TEXT("newer"),
                .version = SALLYPORT_TEXT("2")},
        .added = {1, 2, 3, 4},
    };
    return host->push_manifest(host, call, &manifest.old);
}
static const struct {
    struct sallyport_plugin old;
    void (*added)(void);
} longer = {
    .old = {.size = sizeof longer,
            .abi_minor = SALLYPORT_ABI_MINOR + 5,
            .describe = describe,
            .open = fine_open,
            .close = fine_close,
            .check = fine_check,
            .plan = fine_plan,
            .extension = fine_extension},
};
const struct sallyport_plugin *sallyport_plugin_v1(const struct sallyport_host *host)
{
    (void)host;
    return &longer.old;
}
