/* plugin_key: a key's configuration, checked against the fields that the plugin declared, and
 * in the form in which the plugin is told of it. */
#ifndef SP_PLUGIN_KEY_H
#define SP_PLUGIN_KEY_H

#include "provider.h"

#include <sallyport/plugin.h>

struct sp_told_key {         /* borrows from the key and the arena */
    struct sp_key_view view; /* checked, and with the fallbacks of what is not set */
    struct sallyport_key key;
};

/* SP_EINVAL where a setting or secret is unknown, missing or of the wrong shape. */
sp_status sp_key_tell(struct sp_arena *arena, const struct sp_manifest *manifest,
                      const struct sp_key_view *key, struct sp_told_key *ret_told,
                      struct sp_error *err);

#endif
