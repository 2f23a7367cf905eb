/* Has the note, and leaves the entry point to a library that it needs. */
#include "bad.h"

SALLYPORT_PLUGIN_NOTE;
extern const void *bad_foreign_symbol(void);
__attribute__((visibility("default"))) const void *bad_foreign_symbol(void)
{
    return sallyport_plugin_v1(NULL);
}
