/* A library with the note, and without the entry point. */
#include "bad.h"

SALLYPORT_PLUGIN_NOTE;
extern int bad_no_symbol(void);
__attribute__((visibility("default"))) int bad_no_symbol(void)
{
    return 1;
}
