/* hook_http: an HTTP request that a plugin's hook asks the host for, checked and copied; and
 * what comes back. The SDK's http.h has the same in the ABI's form. */
#ifndef SP_HOOK_HTTP_H
#define SP_HOOK_HTTP_H

#include "provider.h"

enum {
    SP_HOOK_HTTP_MAX = 8, /* requests of one hook */
    SP_HOOK_BODY_MAX_BYTES = 64 << 10,
    SP_HOOK_ANSWER_MAX_BYTES = 256 << 10,
    SP_HOOK_CAPTURES_MAX = 8,
    SP_HOOK_JWTS_MAX = 4,
    SP_JWT_LIFE_MAX_S = 3600,
};

struct sp_hook_capture {
    struct sp_text pointer; /* RFC 6901 */
    struct sp_text name;    /* without `lease.` */
    bool optional;          /* it may be missing */
    bool replaces;          /* the key's own secret of that name */
};

struct sp_hook_jwt {
    struct sp_text name; /* what placements of the request call it */
    struct sp_text key;  /* the secret that signs */
    struct sp_text issuer, subject, audience;
    uint32_t life_s;
};

struct sp_hook_request {
    struct sp_text method, url, body;
    const struct sp_setting *headers;
    size_t n_headers;
    const struct sp_placement *placements;
    size_t n_placements;
    const struct sp_hook_capture *captures;
    size_t n_captures;
    const struct sp_hook_jwt *jwts;
    size_t n_jwts;
};

struct sp_hook_answer {
    /* SP_OK: the upstream answered. SP_EDENIED: not a target of this key. SP_EINVAL: it cannot
     * be sent so. SP_EIO: no answer of use, and nobody knows whether the upstream acted. */
    sp_status status;
    uint32_t http_status;
    struct sp_text body; /* captured values blanked */
};

#endif
