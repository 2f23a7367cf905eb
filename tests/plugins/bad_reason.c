/* Fails to describe itself, with a reason that would forge a line of a log. */
#include "bad.h"

SALLYPORT_PLUGIN_NOTE;
static int32_t describe(const struct sallyport_host *host, uint64_t call)
{
    struct sallyport_text reason =
        SALLYPORT_TEXT("no luck\r\n2026-01-01 info all.well\x1b[2J\xc2\x85 \xff\xfe");
    (void)host->refuse(host, call, &reason);
    return SALLYPORT_E_UNSUPPORTED;
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
