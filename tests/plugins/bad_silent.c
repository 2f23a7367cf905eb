/* Describes itself as nothing at all. */
#include "bad.h"

SALLYPORT_PLUGIN_NOTE;
static int32_t describe(const struct sallyport_host *host, uint64_t call)
{
    (void)host;
    (void)call;
    return SALLYPORT_OK;
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
