/* sp_address: which addresses a key may be sent to. By default only what IANA calls globally
 * reachable unicast; the rules are the IANA special-purpose address registries (RFC 6890 and
 * its successors) and a short list of cloud metadata services that live elsewhere.
 */
#ifndef SP_ADDRESS_H
#define SP_ADDRESS_H

#include "status.h"
#include "text.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct sp_address {
    bool v6;
    uint8_t bytes[16]; /* network order; the first 4 for IPv4 */
};

struct sp_network {
    struct sp_address base;
    unsigned prefix;
};

enum sp_address_kind {
    SP_ADDRESS_PUBLIC,
    SP_ADDRESS_LOOPBACK, /* only by a key's `upstream` setting */
    SP_ADDRESS_PRIVATE,  /* only by a key's `network` setting */
    SP_ADDRESS_NAT64,    /* the same, and the IPv4 address inside has to be public */
    SP_ADDRESS_NEVER,
};

/* SP_EUNSUPPORTED for anything but IPv4 and IPv6. */
sp_status sp_address_of(const struct sockaddr *sockaddr, struct sp_address *ret_address,
                        uint16_t *ret_port);
/* Exactly what inet_pton takes: four decimal parts without leading zeros, or RFC 4291 text. */
sp_status sp_address_parse(struct sp_text text, struct sp_address *ret_address);
/* "10.0.0.0/8", "fd00::/8"; bits behind the prefix must be zero. */
sp_status sp_network_parse(struct sp_text text, struct sp_network *ret_network,
                           struct sp_error *err);
bool sp_network_has(const struct sp_network *network, const struct sp_address *address);

/* The kind, and its name for people with its source ("private use, RFC 1918"; static). */
enum sp_address_kind sp_address_kind(const struct sp_address *address, const char **ret_name);

/* True where no address of the network is anything but PRIVATE or NAT64: such a network may
 * stand in a key's `network` setting. */
bool sp_network_is_private(const struct sp_network *network);

/* What one key may reach. */
struct sp_address_rules {
    bool loopback_only;                /* its `upstream` setting: loopback and nothing else */
    const struct sp_network *networks; /* its `network` setting */
    size_t n_networks;
    const uint16_t *own_ports; /* our own listeners: never on an address that is not public */
    size_t n_own_ports;
};

/* NULL where a socket to that address may be opened, else why not (static, for people). */
const char *sp_address_refused(const struct sp_address_rules *rules,
                               const struct sp_address *address, uint16_t port);

#endif
