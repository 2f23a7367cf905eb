/* Exports the entry point, and has no note. */
#include "bad.h"

static const struct sallyport_plugin table = {FINE_TABLE};
ENTRY
