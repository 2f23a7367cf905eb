#include "cli.h"

#include "config.h"

#include <sallyport.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_MAX_BYTES = 64 << 20, CONNECT_MS = 5000 };

const char *cli_path(const struct cli *cli, const char *name, char *buffer, size_t room)
{
    (void)snprintf(buffer, room, "%s/%s", cli->dir, name);
    return buffer;
}

/* A refusal, for people. */
static void print_refusal(const struct sallyport_error *err)
{
    (void)printf("%s: ", err->code);
    (void)cli_print_text(sp_text_of(err->text));
    if (*err->rule) {
        (void)printf(" [rule ");
        (void)cli_print_text(sp_text_of(err->rule));
        (void)printf("]");
    }
    if (err->retry_after_ms > 0) {
        (void)printf(" (try again in %.1f s)", (double)err->retry_after_ms / 1000);
    }
    (void)printf("\n");
    if (*err->hint) {
        (void)printf("  ");
        (void)cli_print_text(sp_text_of(err->hint));
        (void)printf("\n");
    }
}

static int refusal_status(const struct sallyport_error *err)
{
    if (strcmp(err->code, "sealed") == 0 || strcmp(err->code, "shutting_down") == 0) {
        return CLI_UNREACHABLE;
    }
    return strcmp(err->code, "bad_request") == 0 || strcmp(err->code, "unknown_op") == 0
               ? CLI_USAGE
               : CLI_NO;
}

int cli_show_failure(const struct sallyport_error *err)
{
    switch (err->status) {
    case SALLYPORT_E_REFUSED:
    case SALLYPORT_E_OUTCOME_UNKNOWN:
        print_refusal(err);
        return refusal_status(err);
    case SALLYPORT_E_SETTINGS:
        return cli_error(CLI_USAGE, "%s", err->text);
    case SALLYPORT_E_NOT_CONNECTED:
    case SALLYPORT_E_NO_ANSWER:
        return cli_error(CLI_UNREACHABLE, "%s", err->text);
    default:
        return cli_error(CLI_INTERNAL, "%s", err->text);
    }
}

static int open_as(const struct cli *cli, const char *endpoint, const char *key_path,
                   struct sallyport_client **ret_client)
{
    struct sallyport_settings settings = SALLYPORT_SETTINGS_INIT;
    struct sallyport_error err;
    settings.dir = cli->dir;
    settings.endpoint = endpoint;
    settings.host_key = cli->host_key;
    settings.key_file = key_path;
    settings.timeout_ms = (uint32_t)cli->timeout_ms;
    settings.connect_timeout_ms =
        (uint32_t)(cli->timeout_ms < CONNECT_MS ? cli->timeout_ms : CONNECT_MS);
    return sallyport_open(&settings, ret_client, &err) ? cli_show_failure(&err) : CLI_YES;
}

static int ask(const struct cli *cli, const char *endpoint, const char *key_path,
               struct sp_text request, struct cli_answer *answer)
{
    struct sp_error why = {""};
    struct sallyport_error err;
    struct sallyport_client *client = NULL;
    int result = open_as(cli, endpoint, key_path, &client);
    if (result) {
        return result;
    }
    if (sallyport_ask(client, request.ptr, request.len, &answer->reply, &err)) {
        sallyport_close(client);
        return cli_show_failure(&err);
    }
    sallyport_close(client);
    struct sp_text bytes = {NULL, 0};
    bytes.ptr = sallyport_reply_bytes(answer->reply, &bytes.len);
    if (sp_wire_read_reply(&answer->arena, bytes, &answer->map, &why)) {
        return cli_error(CLI_INTERNAL, "the host's answer cannot be read: %s", why.text);
    }
    int status = sallyport_reply_check(answer->reply, &err);
    if (cli->json && (status == SALLYPORT_E_REFUSED || status == SALLYPORT_E_OUTCOME_UNKNOWN)) {
        cli_print_json(&answer->map);
        return refusal_status(&err);
    }
    return status ? cli_show_failure(&err) : CLI_YES;
}

static void answer_init(struct cli_answer *answer)
{
    answer->reply = NULL;
    sp_arena_init(&answer->arena, MESSAGE_MAX_BYTES);
    memset(&answer->map, 0, sizeof answer->map);
}

void cli_answer_done(struct cli_answer *answer)
{
    sp_arena_done(&answer->arena);
    sallyport_reply_free(answer->reply);
}

/* The endpoint that the state folder's configuration names. */
static int read_config(const struct cli *cli, struct sp_config *ret_config)
{
    char path[SP_PATH_MAX_BYTES];
    struct sp_error err = {""};
    if (sp_config_read(cli_path(cli, "sallyport.conf", path, sizeof path), ret_config, &err)) {
        return cli_error(CLI_USAGE, "%s (--dir names the state folder)", err.text);
    }
    return CLI_YES;
}

int cli_ask_admin(const struct cli *cli, struct sp_text request, struct cli_answer *ret_answer)
{
    struct sp_config config;
    char path[SP_PATH_MAX_BYTES];
    answer_init(ret_answer);
    int result = read_config(cli, &config);
    return result ? result
                  : ask(cli, config.admin_endpoint,
                        cli->key_file ? cli->key_file
                                      : cli_path(cli, "admin.key", path, sizeof path),
                        request, ret_answer);
}

/* Who asks, and where: the client socket. */
static int find_client(const struct cli *cli, struct sp_config *config,
                       const char **ret_endpoint)
{
    *ret_endpoint = cli->endpoint;
    if (!cli->key_file) {
        return cli_error(CLI_USAGE,
                         "which client is asking? Give --key-file FILE or set "
                         "SALLYPORT_KEY_FILE (`sallyport client keygen FILE` makes one)");
    }
    if (cli->endpoint) {
        return CLI_YES;
    }
    *ret_endpoint = config->client_endpoint;
    return read_config(cli, config);
}

int cli_open_client(const struct cli *cli, struct sallyport_client **ret_client)
{
    struct sp_config config;
    const char *endpoint;
    int result = find_client(cli, &config, &endpoint);
    return result ? result : open_as(cli, endpoint, cli->key_file, ret_client);
}

int cli_ask_client(const struct cli *cli, struct sp_text request, struct cli_answer *ret_answer)
{
    struct sp_config config;
    const char *endpoint;
    answer_init(ret_answer);
    int result = find_client(cli, &config, &endpoint);
    return result ? result : ask(cli, endpoint, cli->key_file, request, ret_answer);
}

void cli_request(struct sp_buf *buf, const char *op, size_t n_fields)
{
    sp_wire_put_map(buf, n_fields + 2);
    sp_wire_pair_int(buf, "v", 1);
    sp_wire_pair_str(buf, "op", sp_text_of(op));
}
