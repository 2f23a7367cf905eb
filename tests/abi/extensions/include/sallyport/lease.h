/* sallyport/lease.h: credentials that a plugin mints and that end by themselves.
 *
 * A lease is the life of one upstream credential (a GitHub App's installation token, an OAuth
 * access token). The plugin says what a scope needs and how the credential is minted and ended;
 * the host does the rest: it mints when a call first needs one, stores it before it is used,
 * shares it among the tokens whose scopes need the same, renews it ahead of its end, and
 * revokes it when the last of them dies.
 *
 * A plan that places a secret called `lease.NAME` says that calls with this key need a lease;
 * NAME is what a capture of renew is called (http.h). In revoke, the key's secrets have what
 * was captured under the same names; nothing where the minting never got that far.
 */
#ifndef SALLYPORT_LEASE_H
#define SALLYPORT_LEASE_H

#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of the plugin: plugin->extension(SALLYPORT_LEASE) gives a struct sallyport_lease.
 * Of the host: host->extension(host, SALLYPORT_LEASE) gives a struct sallyport_lease_host. */
#define SALLYPORT_LEASE "sallyport.lease/1"

/* What one allow rule of a scope reaches. */
struct sallyport_reach {
    uint32_t size;
    uint32_t flags;                /* 0 */
    struct sallyport_text methods; /* "GET HEAD", in upper case */
    struct sallyport_text host;    /* canonical */
    /* "/repos/acme/site/issues/" and so on, percent-encoded; a segment is a literal, `*` for
     * any one, or `lit*` for those that begin so; `**` at the end is one or more. */
    struct sallyport_text path;
};

struct sallyport_lease_host {
    uint32_t size;
    uint32_t flags; /* 0 */
    /* [in a hook: permissions] One word that a credential for these rules needs: visible ASCII,
     * at most 200 bytes, at most 256 of them. Sorted, and each kept once, by the host. */
    int32_t (*push_permission)(const struct sallyport_host *host, uint64_t call,
                               const struct sallyport_text *word);
};

struct sallyport_lease_result { /* set by the plugin, never beyond the caller's size */
    uint32_t size;              /* set by the host */
    uint32_t flags;             /* 0 */
    uint64_t life_ms;           /* from now until the credential ends; 0: it does not */
};

struct sallyport_lease {
    uint32_t size;
    uint32_t flags; /* 0 */

    /* [hook] Say in words of this provider ("repository:acme/site", "issues:write") what a
     * credential has to be allowed for these rules, and no more. Scopes that give the same
     * words share a credential. None: the credential can do all that the key can. */
    int32_t (*permissions)(const struct sallyport_host *host, uint64_t call, void *instance,
                           const struct sallyport_reach *const *reaches, uint32_t n_reaches);

    /* [hook] Mint a credential that may do what the words say. `lease` is the host's id of the
     * attempt, durable before this is called: one that died midway is followed by revoke with
     * the same id. Work goes through SALLYPORT_HTTP, which captures the minted value. */
    int32_t (*renew)(const struct sallyport_host *host, uint64_t call, void *instance,
                     const struct sallyport_text *lease,
                     const struct sallyport_text *const *permissions, uint32_t n_permissions,
                     struct sallyport_lease_result *ret_result);

    /* [hook] End the credential upstream. Idempotent: to revoke what is gone, or what was never
     * minted, is SALLYPORT_OK. After another answer the host tries again, until it is done or
     * the credential has ended by itself. */
    int32_t (*revoke)(const struct sallyport_host *host, uint64_t call, void *instance,
                      const struct sallyport_text *lease);
};

#ifdef __cplusplus
}
#endif

#endif
