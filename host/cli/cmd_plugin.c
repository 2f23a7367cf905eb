/* plugin list, check, pin. */
#include "cli.h"

#include "crypto.h"
#include "pins.h"
#include "privilege.h"
#include "provider.h"

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
    sp_buf_init(&request, 256);
    cli_request(&request, "plugin.list", 0);
    int result =
        cli_ask_and_show(cli, &request, "plugins", columns, sizeof columns / sizeof *columns);
    sp_buf_done(&request);
    return result;
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
    if (sp_plugin_inspect(real, &info, &err) || sp_privilege_as_owner(cli->dir, &err) ||
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
    {"plugin", "check", "FILE.so [--only TEST] [--fuzz N] [--set NAME=VALUE]…",
     "Try a plugin: would a host load it, and does it behave",
     "Each test runs the plugin in a sandboxed process of its own; no pin, no host and no "
     "secret is\n"
     "needed.\n"
     "  --list            the tests\n"
     "  --only TEST       that one alone\n"
     "  --set NAME=VALUE  a setting of the key to try it with (else one is guessed)\n"
     "  --secret NAME     a secret that this key has; its value is never needed\n"
     "  --fuzz N          that many random keys (default 1000; 0: none)\n"
     "  --seed N          of the random keys (default: a new one, which is printed)\n"
     "  --reproduce SEED:CASE\n"
     "                    one random key again, as a failure printed it\n"
     "Exit status 1 where a test failed; a warning is none.\n",
     cli_run_plugin_check},
    {"plugin", "pin", "FILE.so", "Trust this very file: the host loads it from now on",
     "Records the file's SHA-256 in DIR/plugins.pins. None of its code is run.\n", run_pin},
    {0},
};
