#include "cli.h"

#include "client_link.h"
#include "config.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_MAX_BYTES = 64 << 20 };

const char *cli_path(const struct cli *cli, const char *name, char *buffer, size_t room)
{
    (void)snprintf(buffer, room, "%s/%s", cli->dir, name);
    return buffer;
}

/* The host's public key: given as Z85, or as a file that holds it. */
static int host_key(const struct cli *cli, char ret_z85[SP_CURVE_Z85_BYTES + 1])
{
    char path[SP_PATH_MAX_BYTES];
    const char *given = cli->host_key;
    uint8_t key[32];
    if (given && sp_curve_decode(given, key) == SP_OK) {
        memcpy(ret_z85, given, SP_CURVE_Z85_BYTES + 1);
        return CLI_YES;
    }
    if (!given) {
        given = cli_path(cli, "host.pub", path, sizeof path);
    }
    struct sp_buf buf;
    sp_buf_init(&buf, 1024);
    int result = CLI_USAGE;
    if (cli_read(given, &buf)) {
        char *end = buf.ptr ? strpbrk(buf.ptr, "\r\n") : NULL;
        if (end) {
            *end = '\0';
        }
        if (buf.ptr && sp_curve_decode(buf.ptr, key) == SP_OK) {
            memcpy(ret_z85, buf.ptr, SP_CURVE_Z85_BYTES + 1);
            result = CLI_YES;
        } else {
            (void)cli_error(CLI_USAGE, "%s: is no host key (40 characters of Z85)", given);
        }
    }
    sp_buf_done(&buf);
    return result;
}

/* Print an error reply and choose the exit status. */
static int show_refusal(const struct cli *cli, const struct cli_answer *answer)
{
    const struct sp_wire_value *error = cli_get(&answer->map, "error");
    if (!error || error->kind != SP_WIRE_MAP) {
        return cli_error(CLI_INTERNAL, "the host's answer is not a reply of this protocol");
    }
    if (cli->json) {
        cli_print_json(&answer->map);
    } else {
        struct sp_text code = cli_text(error, "code"), rule = cli_text(error, "rule");
        struct sp_text hint = cli_text(error, "hint");
        (void)printf("%.*s: ", (int)code.len, code.ptr);
        cli_print_text(cli_text(error, "reason"));
        if (rule.len) {
            (void)printf(" [rule ");
            cli_print_text(rule);
            (void)printf("]");
        }
        int64_t wait_ms = cli_int(error, "retry_after_ms");
        if (wait_ms > 0) {
            (void)printf(" (try again in %.1f s)", (double)wait_ms / 1000);
        }
        (void)printf("\n");
        if (hint.len) {
            (void)printf("  ");
            cli_print_text(hint);
            (void)printf("\n");
        }
    }
    struct sp_text code = cli_text(error, "code");
    if (sp_text_is(code, "sealed") || sp_text_is(code, "shutting_down")) {
        return CLI_UNREACHABLE;
    }
    return sp_text_is(code, "bad_request") || sp_text_is(code, "unknown_op") ? CLI_USAGE
                                                                             : CLI_NO;
}

static int ask(const struct cli *cli, const char *endpoint, const char *key_path,
               struct sp_text request, struct cli_answer *answer)
{
    struct sp_error err = {""};
    struct sp_curve_pair pair;
    char host_z85[SP_CURVE_Z85_BYTES + 1];
    struct sp_link *link = NULL;
    int result = host_key(cli, host_z85);
    if (result) {
        return result;
    }
    if (sp_curve_read(key_path, &pair, &err)) {
        return cli_error(CLI_USAGE, "%s", err.text);
    }
    sp_status status = sp_link_open(endpoint, host_z85, &pair, &link, &err);
    sodium_memzero(&pair, sizeof pair);
    if (status) {
        return cli_error(CLI_USAGE, "%s", err.text);
    }
    status = sp_link_ask(link, request, cli->timeout_ms, &answer->bytes, &err);
    sp_link_close(link);
    if (status) {
        return cli_error(CLI_UNREACHABLE, "%s", err.text);
    }
    if (sp_wire_read_reply(&answer->arena, sp_buf_text(&answer->bytes), &answer->map, &err) ||
        answer->map.kind != SP_WIRE_MAP) {
        return cli_error(CLI_INTERNAL, "the host's answer cannot be read: %s", err.text);
    }
    return cli_bool(&answer->map, "ok") ? CLI_YES : show_refusal(cli, answer);
}

static void answer_init(struct cli_answer *answer)
{
    sp_buf_init(&answer->bytes, MESSAGE_MAX_BYTES);
    sp_arena_init(&answer->arena, MESSAGE_MAX_BYTES);
    memset(&answer->map, 0, sizeof answer->map);
}

void cli_answer_done(struct cli_answer *answer)
{
    sp_arena_done(&answer->arena);
    cli_wipe(&answer->bytes);
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

int cli_ask_client(const struct cli *cli, struct sp_text request, struct cli_answer *ret_answer)
{
    struct sp_config config;
    answer_init(ret_answer);
    if (!cli->key_file) {
        return cli_error(CLI_USAGE,
                         "which client is asking? Give --key-file FILE or set "
                         "SALLYPORT_KEY_FILE (`sallyport client keygen FILE` makes one)");
    }
    const char *endpoint = cli->endpoint;
    if (!endpoint) {
        int result = read_config(cli, &config);
        if (result) {
            return result;
        }
        endpoint = config.client_endpoint;
    }
    return ask(cli, endpoint, cli->key_file, request, ret_answer);
}

void cli_request(struct sp_buf *buf, const char *op, size_t n_fields)
{
    sp_wire_put_map(buf, n_fields + 2);
    sp_wire_pair_int(buf, "v", 1);
    sp_wire_pair_str(buf, "op", sp_text_of(op));
}
