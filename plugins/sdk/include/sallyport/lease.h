/* sallyport/lease.h: credentials that a plugin mints and that end by themselves.
 *
 * A lease is the life of one upstream credential (a GitHub App's installation token, an OAuth
 * access token). The host counts the tokens that can use it, renews it ahead of its end, and
 * revokes it when the last of them dies.
 *
 * DECLARED, NOT YET ASKED FOR: the host of version 1.0 never calls extension() with this id. It
 * is frozen when a host first asks.
 */
#ifndef SALLYPORT_LEASE_H
#define SALLYPORT_LEASE_H

#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SALLYPORT_LEASE                                                                        \
    "sallyport.lease/1" /* of the plugin: plugin->extension(SALLYPORT_LEASE) */

struct sallyport_lease_result { /* set by the plugin, never beyond the caller's size */
    uint32_t size;              /* set by the host */
    uint32_t flags;             /* 0 */
    uint64_t expires_ms;        /* Unix time in milliseconds; 0: it does not end by itself */
    uint64_t renew_ms;          /* when to renew; 0: the host decides */
};

struct sallyport_lease {
    uint32_t size;
    uint32_t flags; /* 0 */

    /* [hook] Mint a credential for this instance, or a new one before the old one ends. `lease`
     * is the host's id of the attempt, durable before this is called: a hook that died midway
     * is followed by revoke with the same id. `permissions` is what the scopes that share the
     * lease can use, one provider-specific word each; the credential may do no more. Work goes
     * through the host's SALLYPORT_HTTP, which captures the minted value. */
    int32_t (*renew)(const struct sallyport_host *host, uint64_t call, void *instance,
                     const struct sallyport_text *lease,
                     const struct sallyport_text *const *permissions, uint32_t n_permissions,
                     struct sallyport_lease_result *ret_result);

    /* [hook] End the credential upstream. Idempotent: to revoke what is gone, or what was never
     * minted, is SALLYPORT_OK. On SALLYPORT_E_UPSTREAM the host tries again until it is done.
     */
    int32_t (*revoke)(const struct sallyport_host *host, uint64_t call, void *instance,
                      const struct sallyport_text *lease);
};

#ifdef __cplusplus
}
#endif

#endif
