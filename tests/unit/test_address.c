/* Addresses: the registries' blocks at their very edges, and every spelling of one address. */
#include "address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after those four */
#include <cmocka.h>

static struct sp_address parse(const char *text)
{
    struct sp_address address;
    if (sp_address_parse(sp_text_of(text), &address)) {
        fail_msg("%s does not parse", text);
    }
    return address;
}

static const char *refused(const struct sp_address_rules *rules, const char *text,
                           uint16_t port)
{
    struct sp_address address = parse(text);
    return sp_address_refused(rules, &address, port);
}

static void T34_each_block_ends_where_its_registry_says(void **state)
{
    /* Last address before, first and last within, first behind; "" where that is special too.
     */
    static const char *const rows[][4] = {
        {"", "0.0.0.0", "0.255.255.255", "1.0.0.0"},
        {"9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"},
        {"100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"},
        {"126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"},
        {"168.63.129.15", "168.63.129.16", "168.63.129.16", "168.63.129.17"},
        {"169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"},
        {"172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"},
        {"191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"},
        {"192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"},
        {"192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"},
        {"192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"},
        {"198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"},
        {"198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"},
        {"203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"},
        {"223.255.255.255", "224.0.0.0", "255.255.255.255", ""},
        {"", "::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::"},
        {"2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001::", "2001:1ff:ffff::", "2001:200::"},
        {"2001:db7:ffff::", "2001:db8::", "2001:db8:ffff:ffff::", "2001:db9::"},
        {"2001:ffff::", "2002::", "2002:ffff:ffff::", "2003::"},
        {"3ffe:ffff::", "3fff::", "3fff:fff:ffff::", "3fff:1000::"},
        {"3fff:ffff::", "4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""},
    };
    const struct sp_address_rules rules = {.loopback_only = false};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t k = 0; k < 4; k++) {
            bool within = k == 1 || k == 2;
            if (*rows[i][k] && (refused(&rules, rows[i][k], 443) != NULL) != within) {
                fail_msg("%s is%s refused", rows[i][k], within ? " not" : "");
            }
        }
    }
}

static void T34_ipv4_inside_ipv6_is_refused_in_every_form(void **state)
{
    static const char *const forms[] = {"::ffff:8.8.8.8",
                                        "::ffff:808:808",
                                        "0:0:0:0:0:FFFF:0808:0808",
                                        "::8.8.8.8",
                                        "::ffff:0:8.8.8.8",
                                        "64:ff9b::8.8.8.8",
                                        "64:ff9b:1::8.8.8.8",
                                        "2002:808:808::1",
                                        "2001:0:808:808::1",
                                        "2606:4700::5efe:8.8.8.8",
                                        "2606:4700::200:5efe:8.8.8.8"};
    const struct sp_address_rules rules = {.loopback_only = false};
    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (!refused(&rules, forms[i], 443)) {
            fail_msg("%s is not refused", forms[i]);
        }
    }
    assert_null(refused(&rules, "2606:4700::1", 443));
}

static void T34_spellings_that_resolvers_differ_on_are_no_addresses(void **state)
{
    static const char *const spellings[] = {
        "",           "127.1",      "0177.0.0.1", "0x7f.0.0.1",  "2130706433",
        "127.0.0.1.", " 127.0.0.1", "127.0.0.1 ", "127.0.0.01",  "1.2.3",
        "1.2.3.4.5",  "256.0.0.1",  "[::1]",      "::1%lo",      "fe80::1%eth0",
        "::g",        "1::2::3",    "12345::",    "::ffff:1.2.3"};
    struct sp_address address;
    (void)state;
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        assert_int_equal(sp_address_parse(sp_text_of(spellings[i]), &address), SP_EINVAL);
    }
    assert_int_equal(sp_address_parse((struct sp_text){"1.2.3.4\0", 8}, &address), SP_EINVAL);
}

static void sockaddrs_are_read(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(80)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(443)};
    struct sockaddr other = {.sa_family = AF_UNIX};
    struct sp_address address;
    uint16_t port = 0;
    (void)state;
    in.sin_addr.s_addr = htonl(0x0a000001);
    assert_int_equal(sp_address_of((struct sockaddr *)&in, &address, &port), SP_OK);
    assert_false(address.v6);
    assert_int_equal(port, 80);
    assert_int_equal(sp_address_kind(&address, NULL), SP_ADDRESS_PRIVATE);
    in6.sin6_addr = in6addr_loopback;
    assert_int_equal(sp_address_of((struct sockaddr *)&in6, &address, &port), SP_OK);
    assert_true(address.v6);
    assert_int_equal(port, 443);
    assert_int_equal(sp_address_kind(&address, NULL), SP_ADDRESS_LOOPBACK);
    assert_int_equal(sp_address_of(&other, &address, &port), SP_EUNSUPPORTED);
}

static void networks_are_read_strictly(void **state)
{
    static const char *const bad[] = {"",
                                      "10.0.0.0",
                                      "10.0.0.0/",
                                      "/8",
                                      "10.0.0.0/33",
                                      "10.0.0.1/8",
                                      "10.0.0.0/08",
                                      "fd00::/129",
                                      "10.0.0.0/-1",
                                      "10.0.0.0/8 ",
                                      "10.0.0.0/1000",
                                      "::1/127",
                                      "10/8",
                                      "10.0.0.0/8/8"};
    struct sp_network network;
    struct sp_error err;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err.text[0] = '\0';
        assert_int_equal(sp_network_parse(sp_text_of(bad[i]), &network, &err), SP_EINVAL);
        assert_non_null(strstr(err.text, "network:"));
    }
    assert_int_equal(sp_network_parse(SP_TEXT("10.128.0.0/9"), &network, NULL), SP_OK);
    struct sp_address in = parse("10.200.0.1"), out = parse("10.127.255.255"), v6 = parse("::");
    assert_true(sp_network_has(&network, &in));
    assert_false(sp_network_has(&network, &out));
    assert_false(sp_network_has(&network, &v6));
    assert_int_equal(sp_network_parse(SP_TEXT("0.0.0.0/0"), &network, NULL), SP_OK);
    assert_true(sp_network_has(&network, &in));
}

static void only_private_networks_can_be_opened(void **state)
{
    static const struct {
        const char *text;
        bool private;
    } rows[] = {{"10.0.0.0/8", true},      {"10.1.0.0/16", true},     {"172.16.0.0/12", true},
                {"192.168.7.0/24", true},  {"100.64.0.0/10", true},   {"fc00::/7", true},
                {"fd12:3456::/32", true},  {"64:ff9b::/96", true},    {"0.0.0.0/0", false},
                {"8.0.0.0/8", false},      {"10.0.0.0/7", false},     {"172.0.0.0/8", false},
                {"127.0.0.0/8", false},    {"169.254.0.0/16", false}, {"::/0", false},
                {"::1/128", false},        {"fe80::/10", false},      {"fc00::/6", false},
                {"64:ff9b:1::/48", false}, {"2000::/3", false}};
    struct sp_network network;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(sp_network_parse(sp_text_of(rows[i].text), &network, NULL), SP_OK);
        if (sp_network_is_private(&network) != rows[i].private) {
            fail_msg("%s", rows[i].text);
        }
    }
}

static void a_network_opens_itself_and_no_metadata_service(void **state)
{
    struct sp_network networks[4];
    const struct sp_address_rules rules = {.networks = networks, .n_networks = 4};
    (void)state;
    assert_int_equal(sp_network_parse(SP_TEXT("10.0.0.0/8"), &networks[0], NULL), SP_OK);
    assert_int_equal(sp_network_parse(SP_TEXT("100.64.0.0/10"), &networks[1], NULL), SP_OK);
    assert_int_equal(sp_network_parse(SP_TEXT("fc00::/7"), &networks[2], NULL), SP_OK);
    assert_int_equal(sp_network_parse(SP_TEXT("64:ff9b::/96"), &networks[3], NULL), SP_OK);
    assert_null(refused(&rules, "10.2.3.4", 443));
    assert_null(refused(&rules, "100.64.1.1", 443));
    assert_null(refused(&rules, "fd00::7", 443));
    assert_null(refused(&rules, "64:ff9b::8.8.8.8", 443));
    assert_non_null(refused(&rules, "64:ff9b::10.0.0.1", 443));
    assert_non_null(refused(&rules, "64:ff9b::169.254.169.254", 443));
    assert_non_null(refused(&rules, "100.100.100.200", 443));
    assert_non_null(refused(&rules, "fd00:ec2::254", 443));
    assert_non_null(refused(&rules, "fd20:ce::254", 443));
    assert_non_null(refused(&rules, "fd00::5efe:10.0.0.1", 443));
    assert_non_null(refused(&rules, "192.168.0.1", 443));
    assert_non_null(refused(&rules, "127.0.0.1", 443));
}

static void a_loopback_upstream_means_loopback_and_nothing_else(void **state)
{
    const uint16_t own[] = {7250, 7251};
    const struct sp_address_rules rules = {
        .loopback_only = true, .own_ports = own, .n_own_ports = 2};
    (void)state;
    assert_null(refused(&rules, "127.0.0.1", 12111));
    assert_null(refused(&rules, "127.8.8.8", 12111));
    assert_null(refused(&rules, "::1", 12111));
    assert_non_null(refused(&rules, "8.8.8.8", 12111));
    assert_non_null(refused(&rules, "10.0.0.1", 12111));
    assert_non_null(refused(&rules, "::ffff:127.0.0.1", 12111));
    assert_non_null(refused(&rules, "127.0.0.1", 7250));
    assert_non_null(refused(&rules, "::1", 7251));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T34_each_block_ends_where_its_registry_says),
        cmocka_unit_test(T34_ipv4_inside_ipv6_is_refused_in_every_form),
        cmocka_unit_test(T34_spellings_that_resolvers_differ_on_are_no_addresses),
        cmocka_unit_test(sockaddrs_are_read),
        cmocka_unit_test(networks_are_read_strictly),
        cmocka_unit_test(only_private_networks_can_be_opened),
        cmocka_unit_test(a_network_opens_itself_and_no_metadata_service),
        cmocka_unit_test(a_loopback_upstream_means_loopback_and_nothing_else),
    };
    return cmocka_run_group_tests_name("addresses", tests, NULL, NULL);
}
