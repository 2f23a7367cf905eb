/* plugin_library: loading in two steps, for those who do them in two processes. sp_plugin_load
 * (provider.h) is both. */
#ifndef SP_PLUGIN_LIBRARY_H
#define SP_PLUGIN_LIBRARY_H

#include "plugin_file.h"

/* All that is checked before any of its code runs: see sp_plugin_load. rules may be NULL. */
sp_status sp_plugin_file_check(const char *path, const struct sp_plugin_rules *rules,
                               struct sp_plugin_file *ret_file, struct sp_error *err);

/* Load the library behind a descriptor that was checked, and ask for its manifest. The
 * descriptor stays open for good. path is for people; the provider's hash is not set. */
sp_status sp_plugin_open(int fd, const char *path, const struct sp_plugin_rules *rules,
                         struct sp_provider **ret_provider, struct sp_error *err);

#endif
