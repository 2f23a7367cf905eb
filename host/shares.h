/* sp_shares: how many places of a whole each client has taken, so that one who floods takes its
 * share alone. The places are calls under way, or transfers to an upstream; who a client is
 * says the caller: a CURVE key, a root token. All memory is taken at the start, and to take a
 * place or to give it back is a look-up. One thread.
 */
#ifndef SP_SHARES_H
#define SP_SHARES_H

#include "status.h"
#include "text.h"

#include <stdbool.h>
#include <stddef.h>

enum { SP_SHARE_ID_MAX = 40 };

struct sp_shares;
struct sp_share; /* one client's; there is one while it has a place */

/* each: places that make one client's share. clients_max: clients that may have places at a
 * time. */
sp_status sp_shares_new(size_t each, size_t clients_max, struct sp_shares **ret_shares);
void sp_shares_free(struct sp_shares *shares);

/* One place more for that client (id: 1 to SP_SHARE_ID_MAX bytes), be it over its share or not.
 * NULL: as many clients have places as may. */
struct sp_share *sp_share_take(struct sp_shares *shares, struct sp_text id);
/* Whether the client has more places than its share. */
bool sp_share_is_over(const struct sp_shares *shares, const struct sp_share *share);
/* Give one place back; with the last of them the share ends. NULL is fine. */
void sp_share_give(struct sp_shares *shares, struct sp_share *share);

#endif
