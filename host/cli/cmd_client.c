/* client keygen, add, list, remove: who may connect. */
#include "cli.h"

#include "curve_file.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

static int run_keygen(struct cli *cli, int argc, char **argv)
{
    struct cli_list args;
    if (!cli_args(argc, argv, NULL, 0, 1, 1, &args)) {
        return CLI_USAGE;
    }
    struct sp_curve_pair pair;
    struct sp_error err = {""};
    if (sp_curve_new(&pair) ||
        sp_curve_write(args.items[0], &pair, "sallyport: a client's CURVE key", &err)) {
        return cli_error(CLI_USAGE, "%s", err.text);
    }
    if (cli->json) {
        (void)printf("{\"file\":\"%s\",\"public\":\"%s\"}\n", args.items[0], pair.public_z85);
    } else {
        (void)printf("%s\n", pair.public_z85);
    }
    sodium_memzero(&pair, sizeof pair);
    return CLI_YES;
}

/* The public key: Z85 as it stands, or a key file. */
static bool public_of(const char *given, char ret_z85[SP_CURVE_Z85_BYTES + 1])
{
    uint8_t key[32];
    if (sp_curve_decode(given, key) == SP_OK) {
        memcpy(ret_z85, given, SP_CURVE_Z85_BYTES + 1);
        return true;
    }
    struct sp_curve_pair pair;
    struct sp_error err = {""};
    if (sp_curve_read(given, &pair, &err)) {
        (void)cli_error(CLI_USAGE, "'%s' is neither 40 characters of Z85 nor a key file: %s",
                        given, err.text);
        return false;
    }
    memcpy(ret_z85, pair.public_z85, SP_CURVE_Z85_BYTES + 1);
    sodium_memzero(&pair, sizeof pair);
    return true;
}

static int show(const struct cli *cli, struct sp_buf *request, const char *field)
{
    static const char *const columns[] = {"name", "role", "source", "curve"};
    int result =
        cli_ask_and_show(cli, request, field, columns, sizeof columns / sizeof *columns);
    sp_buf_done(request);
    return result;
}

static int run_add(struct cli *cli, int argc, char **argv)
{
    const char *curve = NULL;
    bool admin = false;
    struct cli_list args;
    char z85[SP_CURVE_Z85_BYTES + 1];
    if (!cli_args(argc, argv,
                  CLI_OPTIONS({"curve", &curve, NULL, NULL}, {"admin", NULL, &admin, NULL}), 1,
                  1, &args)) {
        return CLI_USAGE;
    }
    if (!curve) {
        return cli_error(CLI_USAGE, "client add needs --curve KEY (Z85, or a key file)");
    }
    if (!public_of(curve, z85)) {
        return CLI_USAGE;
    }
    struct sp_buf request;
    sp_buf_init(&request, 1024);
    cli_request(&request, "client.add", 3);
    sp_wire_pair_str(&request, "name", sp_text_of(args.items[0]));
    sp_wire_pair_str(&request, "curve", sp_text_of(z85));
    sp_wire_pair_bool(&request, "admin", admin);
    return show(cli, &request, NULL);
}

static int run_list(struct cli *cli, int argc, char **argv)
{
    struct cli_list args;
    if (!cli_args(argc, argv, NULL, 0, 0, 0, &args)) {
        return CLI_USAGE;
    }
    struct sp_buf request;
    sp_buf_init(&request, 256);
    cli_request(&request, "client.list", 0);
    return show(cli, &request, "clients");
}

static int run_remove(struct cli *cli, int argc, char **argv)
{
    struct cli_list args;
    if (!cli_args(argc, argv, NULL, 0, 1, 1, &args)) {
        return CLI_USAGE;
    }
    struct sp_buf request;
    sp_buf_init(&request, 1024);
    cli_request(&request, "client.remove", 1);
    sp_wire_pair_str(&request, "name", sp_text_of(args.items[0]));
    return show(cli, &request, NULL);
}

const struct cli_command cli_client_commands[] = {
    {"client", "keygen", "FILE", "Make a CURVE key pair; prints the public half",
     "Give the printed key to the operator; FILE stays with the client (--key-file FILE).\n",
     run_keygen},
    {"client", "add", "NAME --curve KEY [--admin]", "Let a CURVE key connect",
     "A client may use tokens. Principals, who may issue them, stand in the policy files.\n"
     "With --admin it may administer this host as well.\n",
     run_add},
    {"client", "list", "", "List clients, principals and administrators", NULL, run_list},
    {"client", "remove", "NAME", "Shut a client out", NULL, run_remove},
    {0},
};
