/* lease list, revoke: credentials that plugins minted upstream. */
#include "cli.h"

#include <stdio.h>

static int show(const struct cli *cli, struct sp_buf *request, const char *field)
{
    static const char *const columns[] = {"lease",  "key",   "state",      "expires",
                                          "tokens", "calls", "permissions"};
    int result =
        cli_ask_and_show(cli, request, field, columns, sizeof columns / sizeof *columns);
    sp_buf_done(request);
    return result;
}

static int run_list(struct cli *cli, int argc, char **argv)
{
    struct cli_list args;
    if (!cli_args(argc, argv, NULL, 0, 0, 0, &args)) {
        return CLI_USAGE;
    }
    struct sp_buf request;
    sp_buf_init(&request, 256);
    cli_request(&request, "lease.list", 0);
    return show(cli, &request, "leases");
}

static int run_revoke(struct cli *cli, int argc, char **argv)
{
    const char *key = NULL;
    bool all = false;
    struct cli_list args;
    if (!cli_args(argc, argv, CLI_OPTIONS({"key", &key, NULL, NULL}, {"all", NULL, &all, NULL}),
                  0, 1, &args)) {
        return CLI_USAGE;
    }
    if ((args.n == 1) + (key != NULL) + all != 1) {
        return cli_error(CLI_USAGE, "lease revoke takes one of: LEASE, --key ID, --all "
                                    "(`sallyport lease list` shows them)");
    }
    struct sp_buf request;
    sp_buf_init(&request, 1024);
    cli_request(&request, "lease.revoke", 1);
    if (all) {
        sp_wire_pair_bool(&request, "all", true);
    } else {
        sp_wire_pair_str(&request, key ? "key" : "lease",
                         sp_text_of(key ? key : args.items[0]));
    }
    return show(cli, &request, NULL);
}

const struct cli_command cli_lease_commands[] = {
    {"lease", "list", "", "List the credentials that plugins minted upstream",
     "A lease is shared by the tokens whose scopes need the same permissions. It is renewed "
     "ahead\n"
     "of its end, and revoked upstream when the last of those tokens is dead.\n",
     run_list},
    {"lease", "revoke", "LEASE | --key ID | --all", "End minted credentials upstream, now",
     "A call that needs one after that gets another; revoke the token to stop its calls.\n",
     run_revoke},
    {0},
};
