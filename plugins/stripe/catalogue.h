/* The actions of Stripe's API that scopes can name. */
#ifndef STRIPE_CATALOGUE_H
#define STRIPE_CATALOGUE_H

#include <sallyport/plugin.h>

int32_t stripe_push_actions(const struct sallyport_host *host, uint64_t call);

#endif
