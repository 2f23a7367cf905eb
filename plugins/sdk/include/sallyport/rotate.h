/* sallyport/rotate.h: replacing a key's own secret upstream, without a person.
 *
 * DECLARED, NOT YET ASKED FOR: the host of version 1.0 never calls extension() with this id;
 * `sallyport key rotate` takes the new secret from the operator. It is frozen when a host first
 * asks.
 */
#ifndef SALLYPORT_ROTATE_H
#define SALLYPORT_ROTATE_H

#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SALLYPORT_ROTATE "sallyport.rotate/1" /* of the plugin */

struct sallyport_rotate {
    uint32_t size;
    uint32_t flags; /* 0 */

    /* [hook] Create the successor upstream, through the host's SALLYPORT_HTTP with a capture
     * named after the secret field it replaces. The old secret still works when this returns:
     * the host stores the new one durably, tries it, and only then calls finish. */
    int32_t (*rotate)(const struct sallyport_host *host, uint64_t call, void *instance);

    /* [hook] End the predecessor upstream. Idempotent, and repeated after a crash; instance is
     * that of the new version, and the old secrets are there under "previous." + name. */
    int32_t (*finish)(const struct sallyport_host *host, uint64_t call, void *instance);
};

#ifdef __cplusplus
}
#endif

#endif
