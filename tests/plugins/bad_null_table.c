/* Says at its entry that it cannot work with this host. */
#include "bad.h"

SALLYPORT_PLUGIN_NOTE;
const struct sallyport_plugin *sallyport_plugin_v1(const struct sallyport_host *host)
{
    struct sallyport_text why = sallyport_text_of("this host is not for me");
    (void)host->log(host, SALLYPORT_LOG_ERROR, &why);
    return NULL;
}
