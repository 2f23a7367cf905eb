/* sallyport/rotate.h: replacing a key's own secret upstream, without a person.
 *
 * `sallyport key rotate ID --upstream` has the plugin make a successor, which the host keeps,
 * tries with one request, and makes the key's next version; then the plugin ends what it
 * replaced. Hosts that do not know this never ask for it; it is frozen, and grows at its end.
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
     * the host stores the new one durably, tries it, and only then calls finish. An attempt is
     * on record before, but one that died midway is not repeated: nobody knows what came of it.
     */
    int32_t (*rotate)(const struct sallyport_host *host, uint64_t call, void *instance);

    /* [hook] End the predecessor upstream. Idempotent, and repeated after a crash; instance is
     * that of the new version, and the old secrets are there under "previous." + name. Where
     * the successor was no good it is the other way round: the key is as it was, and
     * `previous.` has what is not wanted. Any answer but SALLYPORT_OK is tried again. */
    int32_t (*finish)(const struct sallyport_host *host, uint64_t call, void *instance);
};

#ifdef __cplusplus
}
#endif

#endif
