/* The settings of a key that are the host's: what is taken, and what is refused with a reason.
 */
#include "egress.h"
#include "upstream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* after those four */
#include <cmocka.h>

static sp_status check(const char *name, const char *value, struct sp_error *err)
{
    const struct sp_key_setting setting = {sp_text_of(name), sp_text_of(value)};
    err->text[0] = '\0';
    return sp_egress_check_settings(&setting, 1, err);
}

static void T34_an_upstream_is_loopback_by_name(void **state)
{
    static const char *const good[][2] = {
        {"http://localhost:12111", "::localhost:12111"},
        {"https://localhost", "::localhost:443"},
        {"http://localhost", "::localhost:80"},
        {"http://localhost:1/", "::localhost:1"},
        {"http://mock.localhost:65535", "::mock.localhost:65535"},
        {"http://127.0.0.1:8080", "::127.0.0.1:8080"},
        {"https://127.255.255.254:8080", "::127.255.255.254:8080"},
        {"http://[::1]:8080", "::[::1]:8080"},
        {"http://[::1]", "::[::1]:80"}};
    static const char *const bad[] = {"",
                                      "localhost:8080",
                                      "ftp://localhost",
                                      "HTTP://localhost",
                                      "http://",
                                      "http:///",
                                      "http://:80",
                                      "http://localhost:",
                                      "http://localhost:0",
                                      "http://localhost:65536",
                                      "http://localhost:080",
                                      "http://localhost:8080/path",
                                      "http://localhost:8080?x",
                                      "http://user@localhost",
                                      "http://localhost@evil.example",
                                      "http://evil.example",
                                      "http://10.0.0.1",
                                      "http://0.0.0.0",
                                      "http://169.254.169.254",
                                      "http://127.1",
                                      "http://2130706433",
                                      "http://[::]",
                                      "http://[::ffff:127.0.0.1]",
                                      "http://::1",
                                      "http://[127.0.0.1]",
                                      "http://[::1",
                                      "http://localhost.evil.example",
                                      "http://notlocalhost",
                                      "http://.localhost",
                                      "http://LOCALHOST",
                                      "http://localhost ",
                                      "http://localhost\n",
                                      "http://evil.example#.localhost",
                                      "http://evil.example/.localhost",
                                      "http://a:b.localhost"};
    struct sp_error err;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        const struct sp_key_setting setting = {SP_TEXT("upstream"), sp_text_of(good[i][0])};
        struct sp_upstream upstream;
        assert_int_equal(check("upstream", good[i][0], &err), SP_OK);
        assert_int_equal(sp_upstream_read(&setting, 1, &upstream, &err), SP_OK);
        assert_true(upstream.redirected);
        assert_int_equal(upstream.https, good[i][0][4] == 's');
        assert_string_equal(upstream.connect_to, good[i][1]);
        sp_upstream_done(&upstream);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (check("upstream", bad[i], &err) != SP_EINVAL) {
            fail_msg("taken: %s", bad[i]);
        }
        assert_non_null(strstr(err.text, "upstream:"));
    }
}

static void networks_are_private_ones(void **state)
{
    static const char *const bad[] = {"",
                                      "10.0.0.0/8,",
                                      ",10.0.0.0/8",
                                      "0.0.0.0/0",
                                      "10.0.0.1",
                                      "127.0.0.0/8",
                                      "10.0.0.0/8 192.168.0.0/16",
                                      "::/0"};
    struct sp_error err;
    (void)state;
    assert_int_equal(check("network", "10.0.0.0/8", &err), SP_OK);
    assert_int_equal(check("network", " 10.0.0.0/8 , fd00::/8,192.168.0.0/16 ", &err), SP_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(check("network", bad[i], &err), SP_EINVAL);
        assert_non_null(strstr(err.text, "network:"));
    }
    char many[1024] = "10.0.0.0/8";
    for (size_t i = 1, at = strlen(many); i < SP_UPSTREAM_NETWORKS_MAX + 1; i++) {
        assert_int_equal(check("network", many, &err), SP_OK);
        at += (size_t)snprintf(many + at, sizeof many - at, ",10.%zu.0.0/16", i);
    }
    assert_int_equal(check("network", many, &err), SP_ETOOBIG);
}

static void a_network_beside_an_upstream_is_refused(void **state)
{
    const struct sp_key_setting settings[] = {
        {SP_TEXT("upstream"), SP_TEXT("http://localhost:1")},
        {SP_TEXT("network"), SP_TEXT("10.0.0.0/8")}};
    struct sp_error err;
    (void)state;
    assert_int_equal(sp_egress_check_settings(settings, 2, &err), SP_EINVAL);
}

static void an_authority_file_is_a_readable_pem_file(void **state)
{
    char path[] = "/tmp/sallyport-ca-XXXXXX";
    struct sp_error err;
    int fd = mkstemp(path);
    (void)state;
    assert_int_equal(check("ca_file", path, &err), SP_EINVAL);
    assert_non_null(strstr(err.text, "no PEM certificate"));
    static const char pem[] = "-----BEGIN CERTIFICATE-----\n";
    assert_int_equal(write(fd, pem, sizeof pem - 1), sizeof pem - 1);
    assert_int_equal(check("ca_file", path, &err), SP_OK);
    (void)close(fd);
    (void)unlink(path);
    assert_int_equal(check("ca_file", path, &err), SP_EINVAL);
    assert_non_null(strstr(err.text, "cannot be read"));
    assert_int_equal(check("ca_file", "relative.pem", &err), SP_EINVAL);
    assert_int_equal(check("ca_file", "", &err), SP_EINVAL);
}

static void other_settings_are_the_plugins(void **state)
{
    struct sp_error err;
    (void)state;
    assert_true(sp_egress_is_setting(SP_TEXT("upstream")));
    assert_true(sp_egress_is_setting(SP_TEXT("ca_file")));
    assert_true(sp_egress_is_setting(SP_TEXT("network")));
    assert_false(sp_egress_is_setting(SP_TEXT("Upstream")));
    assert_false(sp_egress_is_setting(SP_TEXT("base_url")));
    assert_int_equal(check("base_url", "anything", &err), SP_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T34_an_upstream_is_loopback_by_name),
        cmocka_unit_test(networks_are_private_ones),
        cmocka_unit_test(a_network_beside_an_upstream_is_refused),
        cmocka_unit_test(an_authority_file_is_a_readable_pem_file),
        cmocka_unit_test(other_settings_are_the_plugins),
    };
    return cmocka_run_group_tests_name("settings of egress", tests, NULL, NULL);
}
