/* Offers leases, with a table that ends too early. */
#include "bad.h"

#include <sallyport/lease.h>

SALLYPORT_PLUGIN_NOTE;

static const void *extension(const char *id)
{
    static const struct sallyport_lease lease = {.size = 8};
    return sallyport_text_is(sallyport_text_of(id), SALLYPORT_LEASE) ? &lease : NULL;
}

static const struct sallyport_plugin table = {
    .size = sizeof table,
    .abi_minor = SALLYPORT_ABI_MINOR,
    .describe = fine_describe,
    .open = fine_open,
    .close = fine_close,
    .check = fine_check,
    .plan = fine_plan,
    .extension = extension,
};
ENTRY
