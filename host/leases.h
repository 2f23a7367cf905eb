/* sp_leases: mints, renews and ends the credentials of keys whose plan says that a call needs
 * one (sp_plan.leased). The engine keeps them (engine/lease.h), a plugin says how (SDK,
 * lease.h), and here is when:
 *
 *   - a call whose token has no lease gets the one that another token with the same permissions
 *     has, or one is minted; calls that come meanwhile wait for the same minting;
 *   - one that was used in the second half of its life is renewed when four fifths of it are
 * over, and the old one is ended when its last call is;
 *   - one is ended when the last token that uses it is dead, its key was changed, or an
 *     administrator says so; ending is tried, with back-off, until the upstream says that it is
 *     done or the credential has ended by itself.
 *
 * A call that finds its lease there costs no plugin call and no system call. Loop thread only.
 */
#ifndef SP_LEASES_H
#define SP_LEASES_H

#include "egress.h"
#include "lease.h"
#include "log.h"
#include "providers.h"

struct sp_leases;

enum {
    SP_LEASES_RETRY_MS = 1000, /* after a failure; doubled with each that follows */
    SP_LEASES_RETRY_MAX_MS = 5 * 60 * 1000,
    SP_LEASES_REMOVE_MS = 10000, /* how long the removal of a key waits for its leases to end */
    SP_LEASES_RULES_MAX = 4096,  /* allow rules of a scope that wants a minted credential */
};

struct sp_leases_config { /* borrowed parts */
    struct sp_engine *engine;
    struct sp_providers *providers;
    struct sp_egress *egress;
    const struct sp_log *log;
};
sp_status sp_leases_new(const struct sp_leases_config *config, struct sp_leases **ret_leases,
                        struct sp_error *err);
/* From here on nothing is asked of anybody; before providers and egress are stopped. NULL is
 * fine, here and below. */
void sp_leases_stop(struct sp_leases *leases);
void sp_leases_free(struct sp_leases *leases); /* after the engine is closed */

/* status SP_OK: key has the lease's secrets; it and the lease are to be given back with
 * sp_leases_give_back. Else both are NULL. */
typedef void (*sp_leased_fn)(void *user, const struct sp_key *key, struct sp_lease *lease,
                             const struct sp_error *err);
/* For a call of that ticket, which must live until leased is called. */
void sp_leases_take(struct sp_leases *leases, struct sp_ticket *ticket,
                    const struct sp_key *key, const struct sp_scope *scope, sp_leased_fn leased,
                    void *user);
/* For an administrator's single request, without a token: a lease of its own, which is ended
 * when it is given back. */
void sp_leases_take_once(struct sp_leases *leases, const struct sp_key *key,
                         const struct sp_reach *reach, sp_leased_fn leased, void *user);
/* refused: the upstream said 401 to the credential, which is then not used again. */
void sp_leases_give_back(struct sp_leases *leases, const struct sp_key *key,
                         struct sp_lease *lease, bool refused);

/* Have the key's plugin make a successor of its secrets upstream, GET the URL with it, and make
 * it the key's next version; then what it replaced is ended upstream. done with SP_OK once the
 * key has its next version; SP_EUNSUPPORTED: its plugin does not rotate; SP_EEXIST: another
 * rotation of the key is not over, or it was changed meanwhile; SP_EDENIED: the upstream
 * refuses the successor; SP_EIO: it could not be made, or not be tried yet. url: checked, on
 * one of the key's hosts. */
typedef void (*sp_rotated_fn)(void *user, sp_status status, const struct sp_error *err);
void sp_leases_rotate(struct sp_leases *leases, const struct sp_key *key, struct sp_text url,
                      struct sp_text by, sp_rotated_fn done, void *user);

/* What became of minting, renewing and ending since the start. */
struct sp_leases_figures {
    uint64_t minted, renewed, not_minted, ended, not_ended;
};
void sp_leases_figures(const struct sp_leases *leases, struct sp_leases_figures *ret_figures);

/* Renew and end what is due. About once a second. */
void sp_leases_tick(struct sp_leases *leases);
/* An administrator ends leases: of an id, or of a key, or all (both empty). Calls under way
 * with them are not cut, but their credential is. Returns how many. */
size_t sp_leases_end(struct sp_leases *leases,
                     const uint8_t id[SP_LEASE_ID_BYTES] /* or NULL */, struct sp_text key,
                     struct sp_text by);
/* Before a key is removed: end its leases while it can still be used for that; done: they are
 * gone, or given up after SP_LEASES_REMOVE_MS. */
void sp_leases_end_key(struct sp_leases *leases, struct sp_text key, struct sp_text by,
                       void (*done)(void *user), void *user);

#endif
