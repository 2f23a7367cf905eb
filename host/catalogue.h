/* sp_catalogues: what plugins' manifests say of their APIs, in the compiler's terms. The host
 * fills it key by key while a policy is compiled, `sallyport policy` with every plugin that it
 * finds. */
#ifndef SP_HOST_CATALOGUE_H
#define SP_HOST_CATALOGUE_H

#include "policy.h"
#include "provider.h"

struct sp_catalogues {
    struct sp_arena arena;
    struct sp_catalogue *list;
    size_t n, room;
    bool failed; /* memory ran out: some catalogue is missing */
};

void sp_catalogues_init(struct sp_catalogues *catalogues);
void sp_catalogues_done(struct sp_catalogues *catalogues);

/* The catalogue of a manifest, for those hosts. The actions of one manifest are converted once.
 * The result borrows from manifest and hosts, and is valid until the next call; NULL, and
 * failed set, where memory ran out. */
const struct sp_catalogue *sp_catalogues_add(struct sp_catalogues *catalogues,
                                             const struct sp_manifest *manifest,
                                             const struct sp_text *hosts, size_t n_hosts);

#endif
