/* The host's extension for plugins whose requests are signed (sallyport/sign.h). */
#ifndef SP_PLUGIN_PUSH_SIGN_H
#define SP_PLUGIN_PUSH_SIGN_H

#include <sallyport/sign.h>

extern const struct sallyport_sign sp_sign_table;

#endif
