/* Compiled, not run: every header of the SDK, in whatever language the test asks for. */
#include <sallyport/catalogue.h>
#include <sallyport/fake_host.h>
#include <sallyport/help.h>
#include <sallyport/http.h>
#include <sallyport/lease.h>
#include <sallyport/plugin.h>
#include <sallyport/rotate.h>
#include <sallyport/sign.h>

SALLYPORT_PLUGIN_NOTE;

static const struct sallyport_text text = SALLYPORT_TEXT("text");
static const struct sallyport_row row = {"things.list", "GET", "/things", "query.n:integer", 0};

const struct sallyport_plugin *sallyport_plugin_v1(const struct sallyport_host *host)
{
    if (SALLYPORT_HAS(host, sallyport_host, extension) &&
        sallyport_push_rows(host, 1, &row, 1) == SALLYPORT_OK) {
        (void)host->push_host(host, 1, &text);
    }
    return NULL;
}
