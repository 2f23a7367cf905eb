/* The sallyport command: find the command, parse the global options, run it. */
#include "cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef SALLYPORT_VERSION
#define SALLYPORT_VERSION "0.0.0"
#endif

static const struct cli_command *const groups[] = {
    cli_init_commands,  cli_host_commands,  cli_key_commands,    cli_client_commands,
    cli_token_commands, cli_call_commands,  cli_policy_commands, cli_plugin_commands,
    cli_audit_commands, cli_lease_commands, cli_run_commands,
};
enum { N_GROUPS = sizeof groups / sizeof *groups };

static const char global_help[] =
    "Global options, before or after the command:\n"
    "  --dir DIR         the host's state folder (SALLYPORT_DIR; default /var/lib/sallyport "
    "for\n"
    "                    root, else ~/.local/state/sallyport)\n"
    "  --endpoint URL    the client socket (SALLYPORT_ENDPOINT; default: DIR/sallyport.conf)\n"
    "  --host-key KEY    the host's public key, Z85 or a file (SALLYPORT_HOST_KEY; "
    "DIR/host.pub)\n"
    "  --key-file FILE   the client's own CURVE key (SALLYPORT_KEY_FILE)\n"
    "  --timeout SECONDS wait that long for an answer (default 70)\n"
    "  --json            print JSON\n"
    "  --no-color        never colour (as NO_COLOR does)\n"
    "  --help, --version\n"
    "\n"
    "Exit status: 0 yes, 1 no (denied, not verified), 2 wrong usage or bad input, 3 the host\n"
    "cannot be reached or is sealed, 4 internal.\n";

static void print_overview(FILE *out)
{
    (void)fputs(
        "sallyport: a broker for API keys. Keys are registered once and never leave it;\n"
        "clients get short-lived tokens that can do what a scope says, and nothing else.\n"
        "\n"
        "Begin:  sallyport init && sallyportd --config DIR/sallyport.conf\n"
        "\n"
        "Commands (`sallyport COMMAND --help` says more):\n",
        out);
    for (size_t g = 0; g < N_GROUPS; g++) {
        for (const struct cli_command *c = groups[g]; c->noun; c++) {
            char words[64];
            (void)snprintf(words, sizeof words, "%s%s%s", c->noun, c->verb ? " " : "",
                           c->verb ? c->verb : "");
            (void)fprintf(out, "  %-18s %s\n", words, c->summary);
        }
    }
    (void)fprintf(out, "\n%s", global_help);
}

static void print_command(const struct cli_command *c)
{
    (void)printf("Usage: sallyport %s%s%s %s\n\n%s.\n", c->noun, c->verb ? " " : "",
                 c->verb ? c->verb : "", c->usage, c->summary);
    if (c->help) {
        (void)printf("\n%s", c->help);
    }
    (void)printf("\n%s", global_help);
}

/* The commands of one noun, for `sallyport key --help` and for a wrong verb. */
static bool print_noun(FILE *out, const char *noun)
{
    bool found = false;
    for (size_t g = 0; g < N_GROUPS; g++) {
        for (const struct cli_command *c = groups[g]; c->noun; c++) {
            if (strcmp(c->noun, noun) == 0) {
                (void)fprintf(out, "  sallyport %s%s%s %s\n", c->noun, c->verb ? " " : "",
                              c->verb ? c->verb : "", c->usage);
                found = true;
            }
        }
    }
    return found;
}

static const struct cli_command *find(const char *noun, const char *verb, bool *ret_used_verb)
{
    for (size_t g = 0; g < N_GROUPS; g++) {
        for (const struct cli_command *c = groups[g]; c->noun; c++) {
            if (strcmp(c->noun, noun) == 0 &&
                (!c->verb || (verb && strcmp(c->verb, verb) == 0))) {
                *ret_used_verb = c->verb != NULL;
                return c;
            }
        }
    }
    return NULL;
}

struct globals {
    struct cli cli;
    bool help, version;
};

/* Take the option at argv[i] if it is a global one; returns how many words it took, or -1. */
static int take_global(struct globals *globals, char **argv, int i, int argc)
{
    struct cli *cli = &globals->cli;
    const struct {
        const char *name;
        const char **value;
    } values[] = {{"--dir", &cli->dir},
                  {"--endpoint", &cli->endpoint},
                  {"--host-key", &cli->host_key},
                  {"--key-file", &cli->key_file}};
    for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
        if (strcmp(argv[i], values[v].name) == 0) {
            if (i + 1 == argc) {
                return -cli_error(1, "%s needs a value", argv[i]);
            }
            *values[v].value = argv[i + 1];
            return 2;
        }
    }
    if (strcmp(argv[i], "--timeout") == 0) {
        long seconds = i + 1 < argc ? strtol(argv[i + 1], NULL, 10) : 0;
        if (seconds < 1 || seconds > 86400) {
            return -cli_error(1, "--timeout needs a number of seconds");
        }
        cli->timeout_ms = (int)seconds * 1000;
        return 2;
    }
    const struct {
        const char *name;
        bool *flag;
        bool set;
    } flags[] = {{"--json", &cli->json, true},
                 {"--no-color", &cli->colour, false},
                 {"--help", &globals->help, true},
                 {"-h", &globals->help, true},
                 {"--version", &globals->version, true}};
    for (size_t f = 0; f < sizeof flags / sizeof *flags; f++) {
        if (strcmp(argv[i], flags[f].name) == 0) {
            *flags[f].flag = flags[f].set;
            return 1;
        }
    }
    return 0;
}

/* Where the state folder is when nobody says. */
static const char *default_dir(char *buffer, size_t room)
{
    if (geteuid() == 0) {
        return "/var/lib/sallyport";
    }
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state && *state) {
        (void)snprintf(buffer, room, "%s/sallyport", state);
    } else {
        (void)snprintf(buffer, room, "%s/.local/state/sallyport", home ? home : ".");
    }
    return buffer;
}

static int run(struct globals *globals, int argc, char **argv)
{
    if (globals->version) {
        (void)printf("sallyport %s\n", SALLYPORT_VERSION);
        return CLI_YES;
    }
    if (argc == 0) {
        print_overview(globals->help ? stdout : stderr);
        return globals->help ? CLI_YES : CLI_USAGE;
    }
    bool used_verb = false;
    const struct cli_command *command = find(argv[0], argc > 1 ? argv[1] : NULL, &used_verb);
    if (!command) {
        if (globals->help && print_noun(stdout, argv[0])) {
            return CLI_YES;
        }
        (void)cli_error(CLI_USAGE, "no command '%s%s%s'; `sallyport --help` lists them",
                        argv[0], argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
        (void)print_noun(stderr, argv[0]);
        return CLI_USAGE;
    }
    if (globals->help) {
        print_command(command);
        return CLI_YES;
    }
    int used = used_verb ? 2 : 1;
    return command->run(&globals->cli, argc - used, argv + used);
}

int main(int argc, char **argv)
{
    char dir[1024];
    struct globals globals = {.cli = {.dir = getenv("SALLYPORT_DIR"),
                                      .endpoint = getenv("SALLYPORT_ENDPOINT"),
                                      .host_key = getenv("SALLYPORT_HOST_KEY"),
                                      .key_file = getenv("SALLYPORT_KEY_FILE"),
                                      .java_tool_options = getenv("JAVA_TOOL_OPTIONS"),
                                      .timeout_ms = 70000,
                                      .colour = isatty(STDERR_FILENO) && !getenv("NO_COLOR")}};
    (void)umask(077);
    /* Global options are taken out; what is left is the command and its own arguments. One
     * spare word in front and a NULL behind, for getopt. */
    char **rest = calloc((size_t)argc + 2, sizeof *rest);
    if (!rest) {
        return cli_error(CLI_INTERNAL, "out of memory");
    }
    int n = 1;
    bool literal = false;
    rest[0] = argv[0];
    for (int i = 1; i < argc;) {
        int taken = literal ? 0 : take_global(&globals, argv, i, argc);
        if (taken < 0) {
            free(rest);
            return CLI_USAGE;
        }
        if (taken == 0) {
            literal = literal || strcmp(argv[i], "--") == 0;
            rest[n++] = argv[i++];
        }
        i += taken;
    }
    if (!globals.cli.dir) {
        globals.cli.dir = default_dir(dir, sizeof dir);
    }
    int result = run(&globals, n - 1, rest + 1);
    free(rest);
    /* A token that nobody got is no token that was given. */
    if ((fflush(stdout) || ferror(stdout)) && result == CLI_YES) {
        result = cli_error(CLI_INTERNAL, "standard output: %s", strerror(errno));
    }
    return result;
}
