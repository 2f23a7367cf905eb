/* A table of the right size without a plan. */
#include "bad.h"

SALLYPORT_PLUGIN_NOTE;
static const struct sallyport_plugin table = {
    .size = sizeof table,
    .describe = fine_describe,
    .open = fine_open,
    .close = fine_close,
    .check = fine_check,
    .extension = fine_extension,
};
ENTRY
