/* What github.c (the provider) and app.c (credentials of GitHub Apps) know of each other. */
#ifndef GITHUB_H
#define GITHUB_H

#include <sallyport/help.h>
#include <sallyport/lease.h>

#define GITHUB_HOSTS_MAX_BYTES 1024
#define GITHUB_ID_MAX_BYTES 64

struct github {
    uint64_t version_len, hosts_len, app_len, installation_len;
    char version[64];
    char hosts[GITHUB_HOSTS_MAX_BYTES]; /* of an Enterprise server; empty: github.com */
    char app[GITHUB_ID_MAX_BYTES];      /* empty: a token, and no App */
    char installation[GITHUB_ID_MAX_BYTES];
    int has_token, has_private_key;
    int has_minted; /* lease.token is there: in revoke */
};

extern const struct sallyport_lease github_lease;

#endif
