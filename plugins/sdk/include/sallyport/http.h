/* sallyport/http.h: an HTTP request that a hook needs, performed by the host.
 *
 * For plugins that mint credentials (an installation token, an OAuth access token). The host
 * checks the target against the key's hosts, puts secrets in by name, applies its deadlines and
 * address rules, and audits the call. A minted credential is captured by the host on its way
 * in: the plugin gets the answer with the captured values blanked, and their names for its
 * plan.
 *
 * DECLARED, NOT YET OFFERED: the host of version 1.0 answers NULL for this id. It is here so
 * that the shape can be judged; it is frozen when a host first offers it.
 */
#ifndef SALLYPORT_HTTP_H
#define SALLYPORT_HTTP_H

#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SALLYPORT_HTTP                                                                         \
    "sallyport.http/1" /* of the host: host->extension(host, SALLYPORT_HTTP) */

/* Take a value out of a JSON answer and keep it, sealed, as a secret of this key's lease. */
struct sallyport_http_capture {
    uint32_t size;
    uint32_t flags;                /* 0 */
    struct sallyport_text pointer; /* RFC 6901: "/token" */
    struct sallyport_text name;    /* the secret's name in plans: "installation_token" */
};

struct sallyport_http_request {
    uint32_t size;
    uint32_t timeout_ms; /* 0: the host's; never beyond the hook's own deadline */
    struct sallyport_text method;
    struct sallyport_text url; /* https, and one of the key's hosts */
    struct sallyport_text body;
    const struct sallyport_header *const *headers;
    const struct sallyport_placement *const *placements;
    const struct sallyport_http_capture *const *captures;
    uint32_t n_headers, n_placements, n_captures;
    uint32_t reserved; /* 0 */
};

struct sallyport_http_answer { /* filled in by the host, never beyond the caller's size */
    uint32_t size;             /* set by the caller */
    uint32_t status;
    struct sallyport_text body; /* borrowed until the hook returns; captured values blanked */
    const struct sallyport_header *const *headers;
    uint32_t n_headers;
    uint32_t reserved;
};

struct sallyport_http {
    uint32_t size;
    uint32_t flags; /* 0 */
    /* [in a hook: lease.renew, lease.revoke, rotate.rotate] Blocks the hook until answered.
     * SALLYPORT_OK for any HTTP status; SALLYPORT_E_UPSTREAM without an answer, where it is not
     * known whether the upstream acted; SALLYPORT_E_DENIED for a target that is not the key's.
     */
    int32_t (*perform)(const struct sallyport_host *host, uint64_t call,
                       const struct sallyport_http_request *request,
                       struct sallyport_http_answer *ret_answer);
};

#ifdef __cplusplus
}
#endif

#endif
