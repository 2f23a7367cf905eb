/* Two actions of one name. */
#include "bad.h"

SALLYPORT_PLUGIN_NOTE;
static int32_t describe(const struct sallyport_host *host, uint64_t call)
{
    struct sallyport_action action = {
        .size = sizeof action,
        .name = SALLYPORT_TEXT("things.list"),
        .method = SALLYPORT_TEXT("GET"),
        .path = SALLYPORT_TEXT("/things"),
    };
    int32_t status = fine_describe(host, call);
    if (!status) {
        status = host->push_action(host, call, &action);
    }
    return status ? status : host->push_action(host, call, &action);
}
static const struct sallyport_plugin table = {
    .size = sizeof table,
    .describe = describe,
    .open = fine_open,
    .close = fine_close,
    .check = fine_check,
    .plan = fine_plan,
    .extension = fine_extension,
};
ENTRY
