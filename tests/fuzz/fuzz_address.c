/* Addresses, networks and settings from anywhere: never a crash, and what is let through is
 * public, or loopback where that is all. The binary form is judged as well: 16 bytes, all. */
#include "address.h"
#include "upstream.h"

#include <arpa/inet.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* By other means than the table: only 2000::/3, only some of IPv4, and nothing that embeds. */
static void check_public(const struct sp_address *address)
{
    const uint8_t *b = address->bytes;
    if (address->v6) {
        must((b[0] & 0xe0) == 0x20);
        must(!(b[0] == 0x20 && b[1] == 0x02) && !(b[0] == 0x20 && b[1] == 1 && b[2] < 2));
        return;
    }
    must(b[0] != 0 && b[0] != 10 && b[0] != 127 && b[0] < 224);
    must(!(b[0] == 192 && b[1] == 168) && !(b[0] == 169 && b[1] == 254));
    must(!(b[0] == 172 && b[1] >= 16 && b[1] < 32) &&
         !(b[0] == 100 && b[1] >= 64 && b[1] < 128));
}

static void check_address(const struct sp_address *address)
{
    const struct sp_address_rules open = {.loopback_only = false};
    const struct sp_address_rules loopback = {.loopback_only = true};
    if (!sp_address_refused(&open, address, 443)) {
        check_public(address);
    }
    if (!sp_address_refused(&loopback, address, 443)) {
        must(address->bytes[0] == 127 || (address->v6 && address->bytes[15] == 1));
    }
}

static void check_text(struct sp_text text)
{
    struct sp_address address, again;
    struct sp_network network;
    char printed[INET6_ADDRSTRLEN];
    if (!sp_address_parse(text, &address)) {
        check_address(&address);
        must(inet_ntop(address.v6 ? AF_INET6 : AF_INET, address.bytes, printed,
                       sizeof printed) != NULL);
        must(!sp_address_parse(sp_text_of(printed), &again));
        must(memcmp(&address, &again, sizeof address) == 0);
    }
    if (!sp_network_parse(text, &network, NULL)) {
        must(sp_network_has(&network, &network.base));
        must(!sp_network_is_private(&network) ||
             sp_address_kind(&network.base, NULL) != SP_ADDRESS_PUBLIC);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_text text = {(const char *)data, size};
    check_text(text);
    static const struct sp_text names[] = {{"upstream", 8}, {"network", 7}};
    for (size_t i = 0; i < 2; i++) {
        const struct sp_key_setting setting = {names[i], text};
        struct sp_upstream upstream;
        if (!sp_upstream_read(&setting, 1, &upstream, NULL)) {
            must(upstream.redirected == (i == 0) && (upstream.n_networks > 0) == (i == 1));
            sp_upstream_done(&upstream);
        }
    }
    if (size >= 17) {
        struct sp_address address = {.v6 = data[0] & 1};
        memcpy(address.bytes, data + 1, address.v6 ? 16 : 4);
        check_address(&address);
    }
    return 0;
}
