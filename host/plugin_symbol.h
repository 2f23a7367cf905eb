/* plugin_symbol: dlsym also looks into a library's dependencies; this tells whose it found. */
#ifndef SP_PLUGIN_SYMBOL_H
#define SP_PLUGIN_SYMBOL_H

#include <stdbool.h>

/* Whether the symbol's address lies in the library of that dlopen handle itself. */
bool sp_symbol_is_own(void *library, void *symbol);

#endif
