/* plugin list, check, pin. */
#include "cli.h"

#include "crypto.h"
#include "pins.h"
#include "provider.h"
#include "worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PATH_ROOM = 2048 };

static int run_list(struct cli *cli, int argc, char **argv)
{
    static const char *const columns[] = {"id", "version", "actions", "hosts", "path"};
    struct cli_list args;
    if (!cli_args(argc, argv, NULL, 0, 0, 0, &args)) {
        return CLI_USAGE;
    }
    struct sp_buf request;
    struct cli_answer answer;
    sp_buf_init(&request, 256);
    cli_request(&request, "plugin.list", 0);
    int result = cli_ask_admin(cli, sp_buf_text(&request), &answer);
    if (result == CLI_YES) {
        cli_show(cli, &answer, "plugins", columns, sizeof columns / sizeof *columns);
    }
    cli_answer_done(&answer);
    sp_buf_done(&request);
    return result;
}

static int run_check(struct cli *cli, int argc, char **argv)
{
    struct cli_list args;
    if (!cli_args(argc, argv, NULL, 0, 1, 1, &args)) {
        return CLI_USAGE;
    }
    struct sp_error err = {""};
    struct sp_provider *provider = NULL;
    struct sp_plugin_rules rules = {.dev = true, .owner_uid = (uint32_t)geteuid()};
    char program[SP_WORKER_PATH_BYTES];
    uv_loop_t loop;
    sp_worker_program(program);
    if (uv_loop_init(&loop)) {
        return cli_error(CLI_INTERNAL, "out of memory or file descriptors");
    }
    struct sp_worker_config worker = {.loop = &loop, .program = program};
    if (sp_worker_load(args.items[0], &rules, &worker, &provider, &err)) {
        (void)uv_run(&loop, UV_RUN_DEFAULT);
        (void)uv_loop_close(&loop);
        return cli_error(CLI_NO, "%s", err.text);
    }
    const struct sp_manifest *m = provider->manifest;
    char hex[65];
    sp_hex_encode(provider->hash, 32, hex);
    if (cli->json) {
        (void)printf("{\"provider\":\"%.*s\",\"version\":\"%.*s\",\"sha256\":\"%s\","
                     "\"fields\":%zu,\"actions\":%zu}\n",
                     (int)m->id.len, m->id.ptr, (int)m->version.len, m->version.ptr, hex,
                     m->n_fields, m->n_actions);
    } else {
        (void)printf(
            "%s can be loaded: provider %.*s %.*s, %zu fields, %zu actions\nSHA-256 %s\n",
            args.items[0], (int)m->id.len, m->id.ptr, (int)m->version.len, m->version.ptr,
            m->n_fields, m->n_actions, hex);
    }
    provider->ops->stop(provider);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
    provider->ops->free(provider);
    return CLI_YES;
}

static int run_pin(struct cli *cli, int argc, char **argv)
{
    struct cli_list args;
    if (!cli_args(argc, argv, NULL, 0, 1, 1, &args)) {
        return CLI_USAGE;
    }
    struct sp_error err = {""};
    struct sp_plugin_info info;
    char pins[PATH_ROOM], hex[65];
    char *real = realpath(args.items[0], NULL);
    if (!real) {
        return cli_error(CLI_USAGE, "%s: cannot be found", args.items[0]);
    }
    int result = CLI_YES;
    if (sp_plugin_inspect(real, &info, &err) ||
        sp_pins_add(cli_path(cli, "plugins.pins", pins, sizeof pins), info.hash, real, &err)) {
        result = cli_error(CLI_NO, "%s", err.text);
    } else {
        sp_hex_encode(info.hash, 32, hex);
        (void)printf(cli->json ? "{\"sha256\":\"%s\",\"path\":\"%s\",\"abi\":\"%" PRIu32
                                 ".%" PRIu32 "\"}\n"
                               : "pinned %s  %s (ABI %" PRIu32 ".%" PRIu32
                                 "); restart the host to load it\n",
                     hex, real, info.abi_major, info.abi_minor);
    }
    free(real);
    return result;
}

const struct cli_command cli_plugin_commands[] = {
    {"plugin", "list", "", "List the loaded providers", NULL, run_list},
    {"plugin", "check", "FILE.so", "Load a plugin here and say whether a host would",
     "Runs the plugin's code in this process, with your rights.\n", run_check},
    {"plugin", "pin", "FILE.so", "Trust this very file: the host loads it from now on",
     "Records the file's SHA-256 in DIR/plugins.pins. None of its code is run.\n", run_pin},
    {0},
};
