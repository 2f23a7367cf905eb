/* Every action of Stripe's API in its published description, one line each in actions.h, which
 * plugins/catalogue/generate makes. An action that is missing here can still be allowed by
 * method and path, but nothing then knows that it escalates. */
#include "catalogue.h"

#include <sallyport/catalogue.h>

#define E SALLYPORT_ACTION_ESCALATES

static const struct sallyport_row rows[] = {
#include "actions.h"
};

int32_t stripe_push_actions(const struct sallyport_host *host, uint64_t call)
{
    return sallyport_push_rows(host, call, rows, sizeof rows / sizeof *rows);
}
