/* Where the host is and who is asking: from what the program gives, then from the state folder.
 */
#include "client.h"

#include "config.h"

#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

int client_fail(struct sallyport_error *err, int status, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        memset(err, 0, sizeof *err);
        err->status = status;
        (void)vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
    }
    return status;
}

static int read_host_key(const char *path, char ret_z85[SP_CURVE_Z85_BYTES + 1],
                         struct sallyport_error *err)
{
    uint8_t key[32];
    char line[256] = "";
    FILE *file = fopen(path, "re");
    if (!file) {
        return client_fail(err, SALLYPORT_E_SETTINGS, "%s: cannot be opened: %s", path,
                           strerror(errno));
    }
    const char *got = fgets(line, sizeof line, file);
    (void)fclose(file);
    line[strcspn(line, "\r\n")] = '\0';
    if (!got || sp_curve_decode(line, key)) {
        return client_fail(err, SALLYPORT_E_SETTINGS,
                           "%s: is no host key (40 characters of Z85)", path);
    }
    memcpy(ret_z85, line, SP_CURVE_Z85_BYTES + 1);
    return SALLYPORT_OK;
}

static int find_host_key(const char *given, const char *dir,
                         char ret_z85[SP_CURVE_Z85_BYTES + 1], struct sallyport_error *err)
{
    uint8_t key[32];
    char path[SP_PATH_MAX_BYTES];
    if (given && sp_curve_decode(given, key) == SP_OK) {
        memcpy(ret_z85, given, SP_CURVE_Z85_BYTES + 1);
        return SALLYPORT_OK;
    }
    if (!given && !dir) {
        return client_fail(err, SALLYPORT_E_SETTINGS,
                           "which host is it? Set host_key, or dir, its state folder");
    }
    if (!given) {
        (void)snprintf(path, sizeof path, "%s/host.pub", dir);
    }
    return read_host_key(given ? given : path, ret_z85, err);
}

static int keep_endpoint(const char *endpoint, char ret[CLIENT_ENDPOINT_BYTES],
                         struct sallyport_error *err)
{
    size_t len = strlen(endpoint);
    if (len >= CLIENT_ENDPOINT_BYTES) {
        return client_fail(err, SALLYPORT_E_SETTINGS, "the endpoint is too long");
    }
    memcpy(ret, endpoint, len + 1);
    return SALLYPORT_OK;
}

static int find_endpoint(const char *given, const char *dir, char ret[CLIENT_ENDPOINT_BYTES],
                         struct sallyport_error *err)
{
    char path[SP_PATH_MAX_BYTES];
    struct sp_error why = {""};
    if (given) {
        return keep_endpoint(given, ret, err);
    }
    if (!dir) {
        return client_fail(err, SALLYPORT_E_SETTINGS,
                           "where is the host? Set endpoint, or dir, its state folder");
    }
    struct sp_config *config = malloc(sizeof *config);
    if (!config) {
        return client_fail(err, SALLYPORT_E_MEMORY, "out of memory");
    }
    (void)snprintf(path, sizeof path, "%s/sallyport.conf", dir);
    int status = sp_config_read(path, config, &why)
                     ? client_fail(err, SALLYPORT_E_SETTINGS, "%s (dir names the state folder)",
                                   why.text)
                     : keep_endpoint(config->client_endpoint, ret, err);
    free(config);
    return status;
}

int client_settings(struct sallyport_client *client, const struct sallyport_settings *settings,
                    struct sallyport_error *err)
{
    struct sp_error why = {""};
    if (!settings->key_file) {
        return client_fail(err, SALLYPORT_E_SETTINGS,
                           "which client is asking? Set key_file (`sallyport client keygen "
                           "FILE` makes one)");
    }
    int status = find_host_key(settings->host_key, settings->dir, client->host_z85, err);
    if (!status) {
        status = find_endpoint(settings->endpoint, settings->dir, client->endpoint, err);
    }
    if (!status && sp_curve_read(settings->key_file, &client->pair, &why)) {
        status = client_fail(err, SALLYPORT_E_SETTINGS, "%s", why.text);
    }
    client->timeout_ms = settings->timeout_ms ? settings->timeout_ms : 70000;
    client->connect_timeout_ms =
        settings->connect_timeout_ms ? settings->connect_timeout_ms : 5000;
    client->attempts = settings->attempts ? settings->attempts : 2;
    return status;
}

int sallyport_open(const struct sallyport_settings *settings,
                   struct sallyport_client **ret_client, struct sallyport_error *err)
{
    if (settings->size < sizeof *settings) {
        return client_fail(err, SALLYPORT_E_SETTINGS,
                           "settings: begin with SALLYPORT_SETTINGS_INIT");
    }
    struct sallyport_client *client = calloc(1, sizeof *client);
    if (!client) {
        return client_fail(err, SALLYPORT_E_MEMORY, "out of memory");
    }
    int status = client_settings(client, settings, err);
    if (!status && !(client->context = zmq_ctx_new())) {
        status = client_fail(err, SALLYPORT_E_MEMORY, "out of memory");
    }
    if (status) {
        sallyport_close(client);
        return status;
    }
    *ret_client = client;
    return SALLYPORT_OK;
}

void sallyport_close(struct sallyport_client *client)
{
    if (!client) {
        return;
    }
    sp_link_close(client->link);
    if (client->context) {
        (void)zmq_ctx_term(client->context);
    }
    sodium_memzero(&client->pair, sizeof client->pair);
    free(client);
}

const char *sallyport_version(void)
{
    return SALLYPORT_VERSION;
}
