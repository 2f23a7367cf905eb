/* key add, list, show, test, rotate, set, remove. Secrets are read from files or standard
 * input, never from the command line. */
#include "cli.h"

#include <stdio.h>

enum { REQUEST_MAX_BYTES = 256 << 10 };

struct key_options {
    const char *provider;
    struct cli_list settings, secrets;
};

/* --secret NAME=FILE, or --secret NAME (standard input). With none at all: one secret, named by
 * the provider's habit, from standard input. */
static bool put_secrets(struct sp_buf *request, const struct cli_list *secrets,
                        const char *fallback)
{
    size_t n = secrets->n ? secrets->n : 1;
    sp_wire_put_str(request, SP_TEXT("secrets"));
    sp_wire_put_map(request, n);
    for (size_t i = 0; i < n; i++) {
        struct sp_text name = sp_text_of(secrets->n ? secrets->items[i] : fallback);
        const char *path = "-";
        for (size_t c = 0; c < name.len; c++) {
            if (name.ptr[c] == '=') {
                path = name.ptr + c + 1;
                name.len = c;
                break;
            }
        }
        struct sp_buf secret;
        char prompt[80];
        sp_buf_init(&secret, 16 << 10);
        (void)snprintf(prompt, sizeof prompt, "%.*s", (int)name.len, name.ptr);
        bool good = cli_read_secret(path, prompt, &secret);
        sp_wire_put_str(request, name);
        sp_wire_put_bin(request, sp_buf_text(&secret));
        cli_wipe(&secret);
        if (!good) {
            return false;
        }
    }
    return true;
}

static bool put_settings(struct sp_buf *request, const struct cli_list *settings)
{
    sp_wire_put_str(request, SP_TEXT("settings"));
    sp_wire_put_map(request, settings->n);
    for (size_t i = 0; i < settings->n; i++) {
        struct sp_text name, value;
        if (!cli_pair(settings->items[i], &name, &value)) {
            return false;
        }
        sp_wire_put_str(request, name);
        sp_wire_put_str(request, value);
    }
    return true;
}

/* The secret that a key of this provider has when nobody names one. */
static const char *usual_secret(const char *provider)
{
    return sp_text_is(sp_text_of(provider), "github") ? "token" : "api_key";
}

static int add_or_rotate(struct cli *cli, int argc, char **argv, bool add)
{
    struct key_options options = {.provider = NULL, .settings = {.n = 0}, .secrets = {.n = 0}};
    struct cli_list args;
    if (!cli_args(argc, argv,
                  CLI_OPTIONS({"provider", &options.provider, NULL, NULL},
                              {"set", NULL, NULL, &options.settings},
                              {"secret", NULL, NULL, &options.secrets}),
                  1, 1, &args)) {
        return CLI_USAGE;
    }
    if (add && !options.provider) {
        return cli_error(CLI_USAGE,
                         "key add needs --provider (`sallyport plugin list` names them)");
    }
    if (!add && !options.provider && !options.secrets.n) {
        return cli_error(CLI_USAGE, "key rotate needs --secret NAME[=FILE] "
                                    "(`sallyport key show` names the secrets)");
    }
    struct sp_buf request;
    sp_buf_init(&request, REQUEST_MAX_BYTES);
    bool settings = add || options.settings.n > 0;
    cli_request(&request, add ? "key.add" : "key.rotate", (size_t)(2 + add + settings));
    sp_wire_pair_str(&request, "id", sp_text_of(args.items[0]));
    if (add) {
        sp_wire_pair_str(&request, "provider", sp_text_of(options.provider));
    }
    int result = CLI_USAGE;
    if ((!settings || put_settings(&request, &options.settings)) &&
        put_secrets(&request, &options.secrets,
                    usual_secret(options.provider ? options.provider : ""))) {
        result = cli_ask_and_show(cli, &request, NULL, NULL, 0);
    }
    cli_wipe(&request);
    return result;
}

static int run_add(struct cli *cli, int argc, char **argv)
{
    return add_or_rotate(cli, argc, argv, true);
}

static int rotate_upstream(struct cli *cli, int argc, char **argv)
{
    const char *url = NULL;
    bool upstream = false;
    struct cli_list args;
    if (!cli_args(argc, argv,
                  CLI_OPTIONS({"upstream", NULL, &upstream, NULL}, {"url", &url, NULL, NULL}),
                  1, 1, &args)) {
        return CLI_USAGE;
    }
    struct sp_buf request;
    sp_buf_init(&request, 16 << 10);
    cli_request(&request, "key.rotate_upstream", url ? 2 : 1);
    sp_wire_pair_str(&request, "id", sp_text_of(args.items[0]));
    if (url) {
        sp_wire_pair_str(&request, "url", sp_text_of(url));
    }
    int result = cli_ask_and_show(cli, &request, NULL, NULL, 0);
    sp_buf_done(&request);
    return result;
}

static int run_rotate(struct cli *cli, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--upstream") == 0) {
            return rotate_upstream(cli, argc, argv);
        }
    }
    return add_or_rotate(cli, argc, argv, false);
}

static int run_set(struct cli *cli, int argc, char **argv)
{
    struct cli_list settings = {.n = 0}, unset = {.n = 0}, args;
    if (!cli_args(argc, argv,
                  CLI_OPTIONS({"set", NULL, NULL, &settings}, {"unset", NULL, NULL, &unset}), 1,
                  1, &args)) {
        return CLI_USAGE;
    }
    if (settings.n + unset.n == 0) {
        return cli_error(CLI_USAGE, "key set needs --set NAME=VALUE or --unset NAME "
                                    "(`sallyport key show` shows what is set)");
    }
    struct sp_buf request;
    sp_buf_init(&request, REQUEST_MAX_BYTES);
    cli_request(&request, "key.set", 3);
    sp_wire_pair_str(&request, "id", sp_text_of(args.items[0]));
    sp_wire_put_str(&request, SP_TEXT("unset"));
    sp_wire_put_array(&request, unset.n);
    for (size_t i = 0; i < unset.n; i++) {
        sp_wire_put_str(&request, sp_text_of(unset.items[i]));
    }
    int result = put_settings(&request, &settings)
                     ? cli_ask_and_show(cli, &request, NULL, NULL, 0)
                     : CLI_USAGE;
    sp_buf_done(&request);
    return result;
}

static int run_list(struct cli *cli, int argc, char **argv)
{
    static const char *const columns[] = {"id",    "provider", "version",
                                          "hosts", "created",  "rotated"};
    struct cli_list args;
    if (!cli_args(argc, argv, NULL, 0, 0, 0, &args)) {
        return CLI_USAGE;
    }
    struct sp_buf request;
    sp_buf_init(&request, 256);
    cli_request(&request, "key.list", 0);
    int result =
        cli_ask_and_show(cli, &request, "keys", columns, sizeof columns / sizeof *columns);
    sp_buf_done(&request);
    return result;
}

static int with_id(struct cli *cli, int argc, char **argv, const char *op)
{
    struct cli_list args;
    if (!cli_args(argc, argv, NULL, 0, 1, 1, &args)) {
        return CLI_USAGE;
    }
    struct sp_buf request;
    sp_buf_init(&request, 1024);
    cli_request(&request, op, 1);
    sp_wire_pair_str(&request, "id", sp_text_of(args.items[0]));
    int result = cli_ask_and_show(cli, &request, NULL, NULL, 0);
    sp_buf_done(&request);
    return result;
}

static int run_show(struct cli *cli, int argc, char **argv)
{
    return with_id(cli, argc, argv, "key.show");
}

static int run_remove(struct cli *cli, int argc, char **argv)
{
    return with_id(cli, argc, argv, "key.remove");
}

static int run_test(struct cli *cli, int argc, char **argv)
{
    struct cli_list args;
    if (!cli_args(argc, argv, NULL, 0, 1, 2, &args)) {
        return CLI_USAGE;
    }
    struct sp_buf request;
    sp_buf_init(&request, 16 << 10);
    cli_request(&request, "key.test", args.n);
    sp_wire_pair_str(&request, "id", sp_text_of(args.items[0]));
    if (args.n == 2) {
        sp_wire_pair_str(&request, "url", sp_text_of(args.items[1]));
    }
    int result = cli_ask_and_show(cli, &request, NULL, NULL, 0);
    sp_buf_done(&request);
    return result;
}

const struct cli_command cli_key_commands[] = {
    {"key", "add", "ID --provider P [--set NAME=VALUE]… [--secret NAME[=FILE]]…",
     "Register an upstream key",
     "The key itself is read from FILE, or from standard input (hidden on a terminal); it "
     "never\n"
     "stands on the command line. Without --secret there is one: api_key (github: token).\n"
     "  sallyport key add stripe-prod-001 --provider stripe < key.txt\n"
     "  sallyport key add search --provider rest --set host=search.example.com \\\n"
     "                    --set style=header --set name=x-api-key --secret api_key=key.txt\n"
     "Settings of any provider: upstream=http://localhost:PORT delivers to a loopback address\n"
     "instead, ca_file=PEM trusts other authorities, network=CIDR[,…] permits private "
     "addresses.\n",
     run_add},
    {"key", "list", "", "List the registered keys", NULL, run_list},
    {"key", "show", "ID", "Show a key's settings and hosts, never its secrets", NULL, run_show},
    {"key", "test", "ID [URL]", "Make one GET with the key and show the upstream's status",
     "URL must lie on one of the key's hosts; the default is the root of the first.\n",
     run_test},
    {"key", "rotate",
     "ID --secret NAME[=FILE]… [--set NAME=VALUE]…\n"
     "       sallyport key rotate ID --upstream [--url URL]",
     "Replace a key's secrets; tokens go on working",
     "With --upstream the provider's plugin makes the new secret at the upstream: it is kept,\n"
     "tried with one GET of URL (the default is the root of the key's first host), becomes "
     "the\n"
     "key's next version, and then the old one is ended there. Where the upstream refuses it,\n"
     "the key stays as it is.\n",
     run_rotate},
    {"key", "set", "ID [--set NAME=VALUE]… [--unset NAME]…",
     "Change a key's settings; its secrets, hosts and tokens stay",
     "The provider checks the whole configuration first, and nothing is changed where it "
     "refuses.\n"
     "  sallyport key set stripe-prod-001 --set stripe_account=acct_1 --unset upstream\n",
     run_set},
    {"key", "remove", "ID", "Forget a key; its tokens can no longer use it", NULL, run_remove},
    {0},
};
