#include "address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

/* One block of the registries. The first row that holds an address decides, so a narrow block
 * stands before a wide one around it. */
struct block {
    uint8_t base[16];
    unsigned prefix;
    enum sp_address_kind kind;
    const char *name;
};

/* IANA IPv4 Special-Purpose Address Registry, and RFC 5771 for multicast. */
static const struct block blocks4[] = {
    {{168, 63, 129, 16}, 32, SP_ADDRESS_NEVER, "cloud platform service"},
    {{100, 100, 100, 200}, 32, SP_ADDRESS_NEVER, "cloud metadata service"},
    {{0}, 8, SP_ADDRESS_NEVER, "this network, RFC 791"},
    {{10}, 8, SP_ADDRESS_PRIVATE, "private use, RFC 1918"},
    {{100, 64}, 10, SP_ADDRESS_PRIVATE, "shared address space, RFC 6598"},
    {{127}, 8, SP_ADDRESS_LOOPBACK, "loopback, RFC 1122"},
    {{169, 254}, 16, SP_ADDRESS_NEVER, "link-local and cloud metadata, RFC 3927"},
    {{172, 16}, 12, SP_ADDRESS_PRIVATE, "private use, RFC 1918"},
    {{192, 0, 0}, 24, SP_ADDRESS_NEVER, "IETF protocol assignments, RFC 6890"},
    {{192, 0, 2}, 24, SP_ADDRESS_NEVER, "documentation, RFC 5737"},
    {{192, 88, 99}, 24, SP_ADDRESS_NEVER, "6to4 relays, RFC 7526"},
    {{192, 168}, 16, SP_ADDRESS_PRIVATE, "private use, RFC 1918"},
    {{198, 18}, 15, SP_ADDRESS_NEVER, "benchmarking, RFC 2544"},
    {{198, 51, 100}, 24, SP_ADDRESS_NEVER, "documentation, RFC 5737"},
    {{203, 0, 113}, 24, SP_ADDRESS_NEVER, "documentation, RFC 5737"},
    {{224}, 4, SP_ADDRESS_NEVER, "multicast, RFC 5771"},
    {{255, 255, 255, 255}, 32, SP_ADDRESS_NEVER, "broadcast, RFC 919"},
    {{240}, 4, SP_ADDRESS_NEVER, "reserved, RFC 1112"},
};

/* IANA IPv6 Special-Purpose Address Registry. Global unicast is 2000::/3 alone (IANA IPv6
 * Address Space), so the last rows turn the list round: outside of it nothing is public. */
static const struct block blocks6[] = {
    {{0}, 128, SP_ADDRESS_NEVER, "unspecified, RFC 4291"},
    {{[15] = 1}, 128, SP_ADDRESS_LOOPBACK, "loopback, RFC 4291"},
    {{[10] = 0xff, 0xff}, 96, SP_ADDRESS_NEVER, "IPv4-mapped, RFC 4291"},
    {{0}, 96, SP_ADDRESS_NEVER, "IPv4-compatible, RFC 4291"},
    {{[8] = 0xff, 0xff}, 96, SP_ADDRESS_NEVER, "IPv4-translated, RFC 2765"},
    {{0, 0x64, 0xff, 0x9b}, 96, SP_ADDRESS_NAT64, "NAT64, RFC 6052"},
    {{0, 0x64, 0xff, 0x9b, 0, 1}, 48, SP_ADDRESS_NEVER, "local NAT64, RFC 8215"},
    {{1}, 64, SP_ADDRESS_NEVER, "discard only, RFC 6666"},
    {{0x20, 1}, 32, SP_ADDRESS_NEVER, "Teredo, RFC 4380"},
    {{0x20, 1}, 23, SP_ADDRESS_NEVER, "IETF protocol assignments, RFC 2928"},
    {{0x20, 1, 0x0d, 0xb8}, 32, SP_ADDRESS_NEVER, "documentation, RFC 3849"},
    {{0x20, 2}, 16, SP_ADDRESS_NEVER, "6to4, RFC 3056"},
    {{0x3f, 0xff}, 20, SP_ADDRESS_NEVER, "documentation, RFC 9637"},
    {{0xfd, 0, 0x0e, 0xc2, [14] = 2, 0x54}, 128, SP_ADDRESS_NEVER, "cloud metadata service"},
    {{0xfd, 0x20, 0, 0xce, [14] = 2, 0x54}, 128, SP_ADDRESS_NEVER, "cloud metadata service"},
    {{0xfc}, 7, SP_ADDRESS_PRIVATE, "unique local, RFC 4193"},
    {{0xfe, 0x80}, 10, SP_ADDRESS_NEVER, "link-local, RFC 4291"},
    {{0xfe, 0xc0}, 10, SP_ADDRESS_NEVER, "site-local, RFC 3879"},
    {{0xff}, 8, SP_ADDRESS_NEVER, "multicast, RFC 4291"},
    {{0x20}, 3, SP_ADDRESS_PUBLIC, "global unicast"},
    {{0}, 0, SP_ADDRESS_NEVER, "not global unicast, RFC 4291"},
};

static bool same_prefix(const uint8_t *a, const uint8_t *b, unsigned prefix)
{
    unsigned bytes = prefix / 8, bits = prefix % 8;
    if (memcmp(a, b, bytes) != 0) {
        return false;
    }
    return bits == 0 || ((a[bytes] ^ b[bytes]) >> (8 - bits)) == 0;
}

static const struct block *find_block(const struct sp_address *address)
{
    const struct block *blocks = address->v6 ? blocks6 : blocks4;
    size_t n =
        address->v6 ? sizeof blocks6 / sizeof *blocks6 : sizeof blocks4 / sizeof *blocks4;
    for (size_t i = 0; i < n; i++) {
        if (same_prefix(blocks[i].base, address->bytes, blocks[i].prefix)) {
            return &blocks[i];
        }
    }
    return NULL; /* IPv4 outside of every special block */
}

/* ISATAP (RFC 5214 section 6.1) puts an IPv4 address behind 0000:5efe or 0200:5efe, in any
 * prefix. */
static bool is_isatap(const struct sp_address *address)
{
    const uint8_t *id = address->bytes + 8;
    return address->v6 && (id[0] | 2) == 2 && id[1] == 0 && id[2] == 0x5e && id[3] == 0xfe;
}

enum sp_address_kind sp_address_kind(const struct sp_address *address, const char **ret_name)
{
    const struct block *block = find_block(address);
    enum sp_address_kind kind = block ? block->kind : SP_ADDRESS_PUBLIC;
    const char *name = block ? block->name : "global unicast";
    if (kind != SP_ADDRESS_NEVER && is_isatap(address)) {
        kind = SP_ADDRESS_NEVER;
        name = "ISATAP, RFC 5214";
    }
    if (ret_name) {
        *ret_name = name;
    }
    return kind;
}

sp_status sp_address_of(const struct sockaddr *sockaddr, struct sp_address *ret_address,
                        uint16_t *ret_port)
{
    struct sp_address address = {.v6 = false};
    if (sockaddr->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sockaddr, sizeof in);
        memcpy(address.bytes, &in.sin_addr, 4);
        *ret_port = ntohs(in.sin_port);
    } else if (sockaddr->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sockaddr, sizeof in6);
        memcpy(address.bytes, &in6.sin6_addr, 16);
        address.v6 = true;
        *ret_port = ntohs(in6.sin6_port);
    } else {
        return SP_EUNSUPPORTED;
    }
    *ret_address = address;
    return SP_OK;
}

sp_status sp_address_parse(struct sp_text text, struct sp_address *ret_address)
{
    char string[INET6_ADDRSTRLEN];
    if (text.len == 0 || text.len >= sizeof string || memchr(text.ptr, '\0', text.len)) {
        return SP_EINVAL;
    }
    memcpy(string, text.ptr, text.len);
    string[text.len] = '\0';
    struct sp_address address = {.v6 = memchr(string, ':', text.len) != NULL};
    if (inet_pton(address.v6 ? AF_INET6 : AF_INET, string, address.bytes) != 1) {
        return SP_EINVAL;
    }
    *ret_address = address;
    return SP_OK;
}

static bool parse_prefix(struct sp_text text, unsigned max, unsigned *ret_prefix)
{
    unsigned prefix = 0;
    if (text.len == 0 || text.len > 3 || (text.len > 1 && text.ptr[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        prefix = prefix * 10 + (unsigned)(text.ptr[i] - '0');
    }
    *ret_prefix = prefix;
    return prefix <= max;
}

static bool host_bits_zero(const struct sp_network *network)
{
    unsigned width = network->base.v6 ? 128 : 32;
    for (unsigned bit = network->prefix; bit < width; bit++) {
        if (network->base.bytes[bit / 8] & (0x80u >> (bit % 8))) {
            return false;
        }
    }
    return true;
}

sp_status sp_network_parse(struct sp_text text, struct sp_network *ret_network,
                           struct sp_error *err)
{
    const char *slash = text.len ? memchr(text.ptr, '/', text.len) : NULL;
    struct sp_network network = {.prefix = 0};
    if (!slash) {
        return sp_fail(err, SP_EINVAL,
                       "network: write a prefix, such as 10.0.0.0/8 or fd00::/8");
    }
    struct sp_text base = {text.ptr, (size_t)(slash - text.ptr)};
    struct sp_text prefix = {slash + 1, text.len - base.len - 1};
    if (sp_address_parse(base, &network.base)) {
        return sp_fail(err, SP_EINVAL,
                       "network: no IPv4 or IPv6 address stands before the '/'");
    }
    if (!parse_prefix(prefix, network.base.v6 ? 128 : 32, &network.prefix)) {
        return sp_fail(err, SP_EINVAL, "network: the prefix length is a number from 0 to %d",
                       network.base.v6 ? 128 : 32);
    }
    if (!host_bits_zero(&network)) {
        return sp_fail(err, SP_EINVAL,
                       "network: there are bits set behind the prefix; write the network's "
                       "first address");
    }
    *ret_network = network;
    return SP_OK;
}

bool sp_network_has(const struct sp_network *network, const struct sp_address *address)
{
    return network->base.v6 == address->v6 &&
           same_prefix(network->base.bytes, address->bytes, network->prefix);
}

bool sp_network_is_private(const struct sp_network *network)
{
    const struct block *block = find_block(&network->base);
    return block && block->prefix <= network->prefix &&
           (block->kind == SP_ADDRESS_PRIVATE || block->kind == SP_ADDRESS_NAT64);
}

/* The well-known prefix holds the IPv4 address in its last four bytes (RFC 6052 section 2.2).
 */
static bool holds_public_ipv4(const struct sp_address *address)
{
    struct sp_address inner = {.v6 = false};
    memcpy(inner.bytes, address->bytes + 12, 4);
    return sp_address_kind(&inner, NULL) == SP_ADDRESS_PUBLIC;
}

static bool in_networks(const struct sp_address_rules *rules, const struct sp_address *address)
{
    for (size_t i = 0; i < rules->n_networks; i++) {
        if (sp_network_has(&rules->networks[i], address)) {
            return true;
        }
    }
    return false;
}

static bool is_own_port(const struct sp_address_rules *rules, uint16_t port)
{
    for (size_t i = 0; i < rules->n_own_ports; i++) {
        if (rules->own_ports[i] == port) {
            return true;
        }
    }
    return false;
}

const char *sp_address_refused(const struct sp_address_rules *rules,
                               const struct sp_address *address, uint16_t port)
{
    const char *name;
    enum sp_address_kind kind = sp_address_kind(address, &name);
    if (kind != SP_ADDRESS_PUBLIC && is_own_port(rules, port)) {
        return "a listener of this host itself";
    }
    if (rules->loopback_only) {
        return kind == SP_ADDRESS_LOOPBACK ? NULL : "not loopback, which `upstream` promises";
    }
    switch (kind) {
    case SP_ADDRESS_PUBLIC:
        return NULL;
    case SP_ADDRESS_PRIVATE:
        return in_networks(rules, address) ? NULL : name;
    case SP_ADDRESS_NAT64:
        return in_networks(rules, address) && holds_public_ipv4(address) ? NULL : name;
    case SP_ADDRESS_LOOPBACK:
    case SP_ADDRESS_NEVER:
        break;
    }
    return name;
}
