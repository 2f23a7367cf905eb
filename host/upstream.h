/* sp_upstream: the settings of a key that are the host's (egress.h lists them), read once for
 * each key version.
 */
#ifndef SP_UPSTREAM_H
#define SP_UPSTREAM_H

#include "address.h"
#include "engine.h"

enum { SP_UPSTREAM_NETWORKS_MAX = 16, SP_UPSTREAM_CA_MAX_BYTES = 1 << 20 };

struct sp_upstream {
    bool redirected;      /* `upstream` is set: */
    bool https;           /*   its scheme */
    char connect_to[300]; /* ":: HOST:PORT" as CURLOPT_CONNECT_TO wants it, or empty */
    char *ca_file;        /* `ca_file`, or NULL */
    struct sp_network networks[SP_UPSTREAM_NETWORKS_MAX]; /* `network` */
    size_t n_networks;
};

/* SP_EINVAL with err. Files are not looked at. ret_upstream is to be given to _done. */
sp_status sp_upstream_read(const struct sp_key_setting *settings, size_t n_settings,
                           struct sp_upstream *ret_upstream, struct sp_error *err);
void sp_upstream_done(struct sp_upstream *upstream);

#endif
