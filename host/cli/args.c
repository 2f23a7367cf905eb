#include "cli.h"

#include <getopt.h>
#include <string.h>

enum { OPTIONS_MAX = 24, FIRST_OPTION = 256 };

static bool apply(const struct cli_option *option)
{
    if (option->flag) {
        *option->flag = true;
    } else if (option->value) {
        *option->value = optarg;
    } else if (option->list->n == CLI_LIST_MAX) {
        (void)cli_error(CLI_USAGE, "--%s is given more than %d times", option->name,
                        CLI_LIST_MAX);
        return false;
    } else {
        option->list->items[option->list->n++] = optarg;
    }
    return true;
}

bool cli_args(int argc, char **argv, const struct cli_option *options, size_t n_options,
              size_t min, size_t max, struct cli_list *ret_args)
{
    struct option table[OPTIONS_MAX + 1];
    memset(table, 0, sizeof table);
    for (size_t i = 0; i < n_options && i < OPTIONS_MAX; i++) {
        table[i] =
            (struct option){options[i].name, options[i].flag ? no_argument : required_argument,
                            NULL, FIRST_OPTION + (int)i};
    }
    /* getopt looks at argv[1] on; argv[0] of ours is the first argument. */
    argv--;
    argc++;
    optind = 0;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, ":", table, NULL)) != -1;) {
        if (c == '?' || c == ':') {
            (void)cli_error(CLI_USAGE,
                            c == ':' ? "%s needs a value; see --help"
                                     : "unknown option %s; see --help",
                            argv[optind - 1]);
            return false;
        }
        if (!apply(&options[c - FIRST_OPTION])) {
            return false;
        }
    }
    ret_args->n = 0;
    for (int i = optind; i < argc; i++) {
        if (ret_args->n == max || ret_args->n == CLI_LIST_MAX) {
            (void)cli_error(CLI_USAGE, "unexpected argument '%s'; see --help", argv[i]);
            return false;
        }
        ret_args->items[ret_args->n++] = argv[i];
    }
    if (ret_args->n < min) {
        (void)cli_error(CLI_USAGE, "an argument is missing; see --help");
        return false;
    }
    return true;
}

bool cli_pair(const char *text, struct sp_text *ret_name, struct sp_text *ret_value)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text) {
        (void)cli_error(CLI_USAGE, "'%s' is not NAME=VALUE", text);
        return false;
    }
    *ret_name = (struct sp_text){text, (size_t)(equals - text)};
    *ret_value = sp_text_of(equals + 1);
    return true;
}
