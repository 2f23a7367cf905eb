/* Nothing is wrong with it: what the link options make of it is (tests/plugins.cmake). */
#include "bad.h"

SALLYPORT_PLUGIN_NOTE;
static const struct sallyport_plugin table = {FINE_TABLE};
ENTRY
