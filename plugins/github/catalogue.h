/* The actions of GitHub's API that scopes can name. */
#ifndef GITHUB_CATALOGUE_H
#define GITHUB_CATALOGUE_H

#include <sallyport/plugin.h>

int32_t github_push_actions(const struct sallyport_host *host, uint64_t call);

#endif
