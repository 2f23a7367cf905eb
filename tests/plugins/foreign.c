/* The library that bad_foreign_symbol needs: linked under the name of one that is allowed. */
#include "bad.h"

static const struct sallyport_plugin table = {FINE_TABLE};
ENTRY
