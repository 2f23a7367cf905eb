/* Has two notes, so that two readers may see two versions. */
#include "bad.h"

SALLYPORT_PLUGIN_NOTE;
SALLYPORT_NOTE_PLACE static const struct sallyport_note note = {
    sizeof(SALLYPORT_NOTE_OWNER), 2 * sizeof(uint32_t),    SALLYPORT_NOTE_TYPE,
    SALLYPORT_NOTE_OWNER,         SALLYPORT_ABI_MAJOR + 1, 0};
static const struct sallyport_plugin table = {FINE_TABLE};
ENTRY
