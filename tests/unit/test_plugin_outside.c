/* Loads the plugin it is given; for plugins/outside.cmake. */
#include "provider.h"

#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sp_plugin_rules rules = {.dev = true, .owner_uid = (uint32_t)geteuid()};
    struct sp_provider *provider = NULL;
    struct sp_error err = {""};
    if (argc != 2 || sp_plugin_load(argv[1], &rules, &provider, &err)) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    bool right = sp_text_is(provider->manifest->id, "template");
    provider->ops->free(provider);
    return right ? 0 : 1;
}
