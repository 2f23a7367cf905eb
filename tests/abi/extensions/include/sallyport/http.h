/* sallyport/http.h: an HTTP request that a hook needs, performed by the host.
 *
 * For plugins that mint credentials (an installation token, an OAuth access token). The host
 * checks the target against the key's hosts, puts secrets in by name, signs what has to be
 * signed, applies its deadlines and address rules, and audits the call. A minted credential is
 * captured by the host on its way in: the plugin gets the answer with the captured values
 * blanked, and names them in its plan.
 *
 * Offered to plugins that run in a worker, since a hook waits here for the network. In the
 * host's own process (plugin_isolation = none) host->extension answers NULL for this id.
 */
#ifndef SALLYPORT_HTTP_H
#define SALLYPORT_HTTP_H

#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SALLYPORT_HTTP                                                                         \
    "sallyport.http/1" /* of the host: host->extension(host, SALLYPORT_HTTP) */

/* A parameter of a form body, for placements of a request of this kind only: appended to the
 * body, percent-encoded. */
#define SALLYPORT_PLACE_FORM 16u

/* Flags of a capture, where the host's table says SALLYPORT_HTTP_REPLACES.
 *
 * SALLYPORT_CAPTURE_REPLACES: what is captured is the key's own secret of that name, a field of
 * the manifest, from now on: the upstream gave another and the old one is void (OAuth's refresh
 * tokens). It is the key's next version, durable before perform returns; further requests of
 * the hook use it. In lease.renew. */
#define SALLYPORT_CAPTURE_OPTIONAL 1u /* it may be missing, or null: then nothing is kept */
#define SALLYPORT_CAPTURE_REPLACES 2u

/* Take a text out of a JSON answer of status 2xx and keep it, sealed, as a secret. It has to be
 * there: an answer without it fails the request. */
struct sallyport_http_capture {
    uint32_t size;
    uint32_t flags;                /* SALLYPORT_CAPTURE_OPTIONAL … */
    struct sallyport_text pointer; /* RFC 6901: "/token" */
    struct sallyport_text name;    /* [a-z][a-z0-9_]*; "token" is `lease.token` in plans */
};

#define SALLYPORT_JWT_RS256 1u

/* A JSON Web Token (RFC 7519), signed by the host with a private key that it holds. Placements
 * of the request name it as a secret. `iat` is a minute ago, for clocks that differ. */
struct sallyport_http_jwt {
    uint32_t size;
    uint32_t algorithm;           /* SALLYPORT_JWT_RS256 */
    struct sallyport_text name;   /* [a-z][a-z0-9_]*: what placements call it; no secret's */
    struct sallyport_text key;    /* the secret that is a private key in PEM */
    struct sallyport_text issuer; /* `iss`; these three are left out where empty */
    struct sallyport_text subject, audience;
    uint32_t life_s;   /* `exp` is so long from now; at most 3600 */
    uint32_t reserved; /* 0 */
};

struct sallyport_http_request {
    uint32_t size;
    uint32_t reserved; /* 0 */
    struct sallyport_text method;
    struct sallyport_text url; /* https, and one of the key's hosts */
    struct sallyport_text body;
    const struct sallyport_header *const *headers; /* FIXED; content-type among them */
    const struct sallyport_placement *const *placements;
    const struct sallyport_http_capture *const *captures;
    const struct sallyport_http_jwt *const *jwts;
    uint32_t n_headers, n_placements, n_captures, n_jwts;
};

struct sallyport_http_answer { /* filled in by the host, never beyond the caller's size */
    uint32_t size;             /* set by the caller */
    uint32_t status;
    struct sallyport_text body; /* borrowed until the hook returns; captured values blanked */
};

#define SALLYPORT_HTTP_REPLACES 1u /* captures may have flags */

struct sallyport_http {
    uint32_t size;
    uint32_t flags; /* SALLYPORT_HTTP_REPLACES; 0 in hosts that know no flags of captures */
    /* [in a hook: lease.renew, lease.revoke, rotate.rotate, rotate.finish] Blocks the hook
     * until answered; at most 8 times in one hook. SALLYPORT_OK for any HTTP status;
     * SALLYPORT_E_UPSTREAM without an answer that can be used, where it is not known whether
     * the upstream acted; SALLYPORT_E_DENIED for a target that is not the key's. A request that
     * breaks the rules fails the call. */
    int32_t (*perform)(const struct sallyport_host *host, uint64_t call,
                       const struct sallyport_http_request *request,
                       struct sallyport_http_answer *ret_answer);
};

#ifdef __cplusplus
}
#endif

#endif
