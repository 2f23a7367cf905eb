/* Its table says that it ends before `extension`. */
#include "bad.h"

SALLYPORT_PLUGIN_NOTE;
static const struct sallyport_plugin table = {
    .size = offsetof(struct sallyport_plugin, extension),
    .describe = fine_describe,
    .open = fine_open,
    .close = fine_close,
    .check = fine_check,
    .plan = fine_plan,
};
ENTRY
