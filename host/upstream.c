#include "upstream.h"

#include "egress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

bool sp_egress_is_setting(struct sp_text name)
{
    return sp_text_is(name, "upstream") || sp_text_is(name, "ca_file") ||
           sp_text_is(name, "network");
}

/* localhost, a name under it (RFC 6761 section 6.3: never asked of DNS), 127.0.0.0/8 or [::1].
 */
static bool is_loopback(struct sp_text host)
{
    static const struct sp_text localhost = {"localhost", 9}, below = {".localhost", 10};
    struct sp_address address;
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
        host = (struct sp_text){host.ptr + 1, host.len - 2};
        if (!memchr(host.ptr, ':', host.len)) {
            return false;
        }
    } else if (memchr(host.ptr, ':', host.len)) {
        return false;
    }
    if (!sp_address_parse(host, &address)) {
        return sp_address_kind(&address, NULL) == SP_ADDRESS_LOOPBACK;
    }
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '.') {
            return false;
        }
    }
    return sp_text_eq(host, localhost) ||
           (host.len > below.len && host.ptr[0] != '.' &&
            sp_text_eq((struct sp_text){host.ptr + host.len - below.len, below.len}, below));
}

static bool parse_port(struct sp_text text, uint16_t *ret_port)
{
    unsigned port = 0;
    if (text.len == 0 || text.len > 5 || text.ptr[0] == '0') {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        port = port * 10 + (unsigned)(text.ptr[i] - '0');
    }
    *ret_port = (uint16_t)port;
    return port <= UINT16_MAX;
}

/* The last colon outside of brackets, or NULL. */
static const char *port_colon(struct sp_text text)
{
    for (size_t i = text.len; i > 0; i--) {
        if (text.ptr[i - 1] == ':') {
            return text.ptr + i - 1;
        }
        if (text.ptr[i - 1] == ']') {
            break;
        }
    }
    return NULL;
}

static sp_status read_upstream(struct sp_text value, struct sp_upstream *upstream,
                               struct sp_error *err)
{
    bool https = sp_text_starts(value, SP_TEXT("https://"));
    if (!https && !sp_text_starts(value, SP_TEXT("http://"))) {
        return sp_fail(err, SP_EINVAL,
                       "upstream: write http://localhost:PORT or https://localhost:PORT");
    }
    size_t scheme = https ? 8 : 7;
    struct sp_text host = {value.ptr + scheme, value.len - scheme};
    if (host.len > 0 && host.ptr[host.len - 1] == '/') {
        host.len--;
    }
    uint16_t port = https ? 443 : 80;
    const char *colon = port_colon(host);
    if (colon) {
        struct sp_text digits = {colon + 1, host.len - (size_t)(colon + 1 - host.ptr)};
        host.len = (size_t)(colon - host.ptr);
        if (!parse_port(digits, &port)) {
            return sp_fail(err, SP_EINVAL, "upstream: the port is a number from 1 to 65535");
        }
    }
    if (host.len == 0 || host.len > 253 || !is_loopback(host)) {
        return sp_fail(
            err, SP_EINVAL,
            "upstream: only localhost, 127.0.0.0/8 and [::1] may stand here, with no "
            "path behind; for another server register the key with that host");
    }
    upstream->redirected = true;
    upstream->https = https;
    (void)snprintf(upstream->connect_to, sizeof upstream->connect_to, "::%.*s:%u",
                   (int)host.len, host.ptr, port);
    return SP_OK;
}

static struct sp_text trim(struct sp_text text)
{
    while (text.len > 0 && text.ptr[0] == ' ') {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && text.ptr[text.len - 1] == ' ') {
        text.len--;
    }
    return text;
}

static sp_status read_networks(struct sp_text list, struct sp_upstream *upstream,
                               struct sp_error *err)
{
    for (;;) {
        const char *comma = list.len ? memchr(list.ptr, ',', list.len) : NULL;
        struct sp_text item = {list.ptr, comma ? (size_t)(comma - list.ptr) : list.len};
        if (upstream->n_networks == SP_UPSTREAM_NETWORKS_MAX) {
            return sp_fail(err, SP_ETOOBIG, "network: at most %d of them",
                           SP_UPSTREAM_NETWORKS_MAX);
        }
        struct sp_network *network = &upstream->networks[upstream->n_networks];
        sp_status status = sp_network_parse(trim(item), network, err);
        if (status) {
            return status;
        }
        if (!sp_network_is_private(network)) {
            return sp_fail(err, SP_EINVAL,
                           "network: only parts of 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, "
                           "100.64.0.0/10, fc00::/7 and 64:ff9b::/96 can be opened to a key");
        }
        upstream->n_networks++;
        if (!comma) {
            return SP_OK;
        }
        list = (struct sp_text){comma + 1, list.len - item.len - 1};
    }
}

static sp_status read_ca_file(struct sp_text value, struct sp_upstream *upstream,
                              struct sp_error *err)
{
    if (value.len == 0 || value.ptr[0] != '/' || memchr(value.ptr, '\0', value.len)) {
        return sp_fail(err, SP_EINVAL, "ca_file: write the absolute path of a PEM file");
    }
    free(upstream->ca_file);
    upstream->ca_file = strndup(value.ptr, value.len);
    return upstream->ca_file ? SP_OK : sp_fail(err, SP_ENOMEM, "out of memory");
}

sp_status sp_upstream_read(const struct sp_key_setting *settings, size_t n_settings,
                           struct sp_upstream *ret_upstream, struct sp_error *err)
{
    struct sp_upstream upstream = {.redirected = false};
    sp_status status = SP_OK;
    for (size_t i = 0; i < n_settings && !status; i++) {
        struct sp_text name = settings[i].name, value = settings[i].value;
        if (sp_text_is(name, "upstream")) {
            status = read_upstream(value, &upstream, err);
        } else if (sp_text_is(name, "network")) {
            status = read_networks(value, &upstream, err);
        } else if (sp_text_is(name, "ca_file")) {
            status = read_ca_file(value, &upstream, err);
        }
    }
    if (!status && upstream.redirected && upstream.n_networks > 0) {
        status = sp_fail(err, SP_EINVAL,
                         "network: has no meaning beside `upstream`; leave one of them out");
    }
    if (status) {
        sp_upstream_done(&upstream);
        return status;
    }
    *ret_upstream = upstream;
    return SP_OK;
}

void sp_upstream_done(struct sp_upstream *upstream)
{
    free(upstream->ca_file);
    upstream->ca_file = NULL;
}

static sp_status check_ca_file(const char *path, struct sp_error *err)
{
    static const char mark[] = "-----BEGIN CERTIFICATE-----";
    FILE *file = fopen(path, "re");
    char *text = malloc(SP_UPSTREAM_CA_MAX_BYTES);
    sp_status status = SP_OK;
    if (!file) {
        status = sp_fail(err, SP_EINVAL, "ca_file: %s cannot be read by the host: %s", path,
                         strerror(errno));
    } else if (!text) {
        status = sp_fail(err, SP_ENOMEM, "out of memory");
    } else {
        size_t len = fread(text, 1, SP_UPSTREAM_CA_MAX_BYTES, file);
        if (!memmem(text, len, mark, sizeof mark - 1)) {
            status = sp_fail(err, SP_EINVAL, "ca_file: %s holds no PEM certificate", path);
        }
    }
    free(text);
    if (file) {
        (void)fclose(file);
    }
    return status;
}

sp_status sp_egress_check_settings(const struct sp_key_setting *settings, size_t n_settings,
                                   struct sp_error *err)
{
    struct sp_upstream upstream;
    sp_status status = sp_upstream_read(settings, n_settings, &upstream, err);
    if (status) {
        return status;
    }
    if (upstream.ca_file) {
        status = check_ca_file(upstream.ca_file, err);
    }
    sp_upstream_done(&upstream);
    return status;
}
