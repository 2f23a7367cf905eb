/* token issue, list, inspect, narrow, revoke, resume. A token comes by file or standard input.
 */
#include "cli.h"

#include "json_scope.h"
#include "policy.h"
#include "token.h"

#include <sallyport.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum { REQUEST_MAX_BYTES = 256 << 10 };

static int ask(const struct cli *cli, bool admin, struct sp_buf *request,
               struct cli_answer *ret_answer)
{
    return admin ? cli_ask_admin(cli, sp_buf_text(request), ret_answer)
                 : cli_ask_client(cli, sp_buf_text(request), ret_answer);
}

/* ---- issue ---------------------------------------------------------------------------------
 */

struct issue_options {
    const char *scope, *json_file, *ttl, *narrow, *bind, *out;
    struct cli_list args;
};

static bool put_issue(struct sp_buf *request, const struct issue_options *o)
{
    size_t n = (size_t)(1 + (o->args.n > 0) + (o->ttl != NULL) + (o->narrow != NULL) +
                        (o->bind != NULL));
    cli_request(request, "issue", n);
    sp_wire_put_str(request, SP_TEXT("scope"));
    if (o->json_file) {
        struct sp_buf json;
        struct sp_error err = {""};
        sp_buf_init(&json, 64 << 10);
        bool good = cli_read(o->json_file, &json);
        if (good && sp_json_scope_to_wire(sp_buf_text(&json), request, &err)) {
            (void)cli_error(CLI_USAGE, "%s: %s", o->json_file, err.text);
            good = false;
        }
        sp_buf_done(&json);
        if (!good) {
            return false;
        }
    } else {
        sp_wire_put_str(request, sp_text_of(o->scope));
    }
    if (o->args.n) {
        sp_wire_put_str(request, SP_TEXT("args"));
        sp_wire_put_map(request, o->args.n);
        for (size_t i = 0; i < o->args.n; i++) {
            struct sp_text name, value;
            if (!cli_pair(o->args.items[i], &name, &value)) {
                return false;
            }
            sp_wire_put_str(request, name);
            sp_wire_put_str(request, value);
        }
    }
    const char *const names[] = {"ttl", "narrow", "bind"};
    const char *const values[] = {o->ttl, o->narrow, o->bind};
    for (size_t i = 0; i < 3; i++) {
        if (values[i]) {
            sp_wire_pair_str(request, names[i], sp_text_of(values[i]));
        }
    }
    return true;
}

static int run_issue(struct cli *cli, int argc, char **argv)
{
    struct issue_options o;
    struct cli_list args;
    memset(&o, 0, sizeof o);
    if (!cli_args(argc, argv,
                  CLI_OPTIONS({"scope", &o.scope, NULL, NULL}, {"arg", NULL, NULL, &o.args},
                              {"ttl", &o.ttl, NULL, NULL}, {"narrow", &o.narrow, NULL, NULL},
                              {"bind", &o.bind, NULL, NULL},
                              {"scope-json", &o.json_file, NULL, NULL}),
                  0, 0, &args)) {
        return CLI_USAGE;
    }
    if (!o.scope == !o.json_file) {
        return cli_error(CLI_USAGE, "token issue needs --scope NAME or --scope-json FILE");
    }
    struct sp_buf request;
    struct cli_answer answer;
    sp_buf_init(&request, REQUEST_MAX_BYTES);
    int result = CLI_USAGE;
    if (put_issue(&request, &o)) {
        result = ask(cli, false, &request, &answer);
        if (result == CLI_YES && cli->json) {
            cli_print_json(&answer.map);
        } else if (result == CLI_YES) {
            struct sp_text token = cli_text(&answer.map, "token");
            (void)printf("%.*s\n", (int)token.len, token.ptr);
        }
        cli_answer_done(&answer);
    }
    sp_buf_done(&request);
    return result;
}

/* ---- list, inspect, revoke -----------------------------------------------------------------
 */

static int run_list(struct cli *cli, int argc, char **argv)
{
    static const char *const columns[] = {"root",    "principal", "scope",     "issued",
                                          "expires", "revoked",   "suspended", "guard_key"};
    struct cli_list args;
    if (!cli_args(argc, argv, NULL, 0, 0, 0, &args)) {
        return CLI_USAGE;
    }
    struct sp_buf request;
    struct cli_answer answer;
    sp_buf_init(&request, 256);
    cli_request(&request, "token.list", 0);
    int result = ask(cli, true, &request, &answer);
    if (result == CLI_YES) {
        cli_show(cli, &answer, "tokens", columns, sizeof columns / sizeof *columns);
    }
    cli_answer_done(&answer);
    sp_buf_done(&request);
    return result;
}

static int token_op(struct cli *cli, const char *op, const char *path)
{
    struct sp_buf token, request;
    struct cli_answer answer;
    sp_buf_init(&token, SP_TOKEN_MAX_BYTES + 2);
    sp_buf_init(&request, SP_TOKEN_MAX_BYTES + 256);
    int result = CLI_USAGE;
    if (cli_read_secret(path, "Token", &token)) {
        cli_request(&request, op, 1);
        sp_wire_pair_str(&request, "token", sp_buf_text(&token));
        result = ask(cli, false, &request, &answer);
        if (result == CLI_YES) {
            cli_show(cli, &answer, NULL, NULL, 0);
        }
        cli_answer_done(&answer);
    }
    cli_wipe(&token);
    cli_wipe(&request);
    return result;
}

static int root_op(struct cli *cli, bool admin, const char *op, struct sp_text root)
{
    struct sp_buf request;
    struct cli_answer answer;
    sp_buf_init(&request, 1024);
    cli_request(&request, op, 1);
    sp_wire_pair_str(&request, "root", root);
    int result = ask(cli, admin, &request, &answer);
    if (result == CLI_YES) {
        cli_show(cli, &answer, NULL, NULL, 0);
    }
    cli_answer_done(&answer);
    sp_buf_done(&request);
    return result;
}

static int run_inspect(struct cli *cli, int argc, char **argv)
{
    const char *path = "-";
    struct cli_list args;
    return cli_args(argc, argv, CLI_OPTIONS({"token-file", &path, NULL, NULL}), 0, 0, &args)
               ? token_op(cli, "inspect", path)
               : CLI_USAGE;
}

static int run_revoke(struct cli *cli, int argc, char **argv)
{
    const char *path = "-";
    struct cli_list args;
    if (!cli_args(argc, argv, CLI_OPTIONS({"token-file", &path, NULL, NULL}), 0, 1, &args)) {
        return CLI_USAGE;
    }
    if (args.n == 0) {
        return token_op(cli, "revoke", path);
    }
    /* By id: with a client's key as its principal, else as an administrator. */
    bool admin = cli->key_file == NULL;
    return root_op(cli, admin, admin ? "token.revoke" : "revoke", sp_text_of(args.items[0]));
}

/* A token names its root itself: the administrator's host need not see it. */
static int resume_token(struct cli *cli, const char *path)
{
    struct sp_arena arena;
    struct sp_buf text;
    struct sp_token token;
    char root[2 * SP_TOKEN_ID_BYTES + 1];
    int result = CLI_USAGE;
    sp_arena_init(&arena, 1 << 20);
    sp_buf_init(&text, SP_TOKEN_MAX_BYTES + 2);
    if (!cli_read_secret(path, "Token", &text)) {
        result = CLI_USAGE;
    } else if (sp_token_parse(&arena, sp_buf_text(&text), &token)) {
        (void)cli_error(CLI_USAGE, "that is no token");
    } else {
        sp_hex_encode(token.id, sizeof token.id, root);
        sodium_memzero(&token, sizeof token);
        result = root_op(cli, true, "token.resume", sp_text_of(root));
    }
    cli_wipe(&text);
    sp_arena_done(&arena);
    return result;
}

static int run_resume(struct cli *cli, int argc, char **argv)
{
    const char *path = "-";
    struct cli_list args;
    if (!cli_args(argc, argv, CLI_OPTIONS({"token-file", &path, NULL, NULL}), 0, 1, &args)) {
        return CLI_USAGE;
    }
    return args.n ? root_op(cli, true, "token.resume", sp_text_of(args.items[0]))
                  : resume_token(cli, path);
}

/* ---- narrow: offline, the host is not asked ------------------------------------------------
 */

static int narrow(const char *text, const char *caveat)
{
    struct sallyport_error err;
    char narrowed[SALLYPORT_TOKEN_BYTES];
    if (sallyport_narrow(text, caveat, narrowed, sizeof narrowed, &err)) {
        return cli_error(CLI_USAGE, "%s", err.text);
    }
    (void)printf("%s\n", narrowed);
    sodium_memzero(narrowed, sizeof narrowed);
    return CLI_YES;
}

static int run_narrow(struct cli *cli, int argc, char **argv)
{
    (void)cli;
    const char *path = "-", *with = NULL;
    struct cli_list args;
    if (!cli_args(argc, argv,
                  CLI_OPTIONS({"token-file", &path, NULL, NULL}, {"with", &with, NULL, NULL}),
                  0, 0, &args)) {
        return CLI_USAGE;
    }
    if (!with) {
        return cli_error(CLI_USAGE, "token narrow needs --with TEXT, for example "
                                    "--with 'allow GET https://api.stripe.com/v1/charges/*'");
    }
    struct sp_buf token;
    sp_buf_init(&token, SP_TOKEN_MAX_BYTES + 2);
    int result = CLI_USAGE;
    if (cli_read_secret(path, "Token", &token)) {
        result = narrow(sp_buf_text(&token).ptr, with);
    }
    cli_wipe(&token);
    return result;
}

const struct cli_command cli_token_commands[] = {
    {"token", "issue",
     "--scope S [--arg NAME=VALUE]… [--ttl T] [--narrow TEXT] [--bind Z85] | --scope-json FILE",
     "Issue a token (as a principal: --key-file)",
     "Prints the token, the only copy there is. --narrow adds rules that restrict it further;\n"
     "--bind lets only that CURVE key use it; --scope-json takes the JSON form of a scope.\n",
     run_issue},
    {"token", "list", "", "List the live tokens (as an administrator)", NULL, run_list},
    {"token", "inspect", "[--token-file FILE]", "Show what a token may do",
     "The token is read from FILE or from standard input.\n", run_inspect},
    {"token", "narrow", "--with TEXT [--token-file FILE]",
     "Make a token that can do less, without asking the host",
     "TEXT is rules of the scope language and at most one `until TIME`.\n", run_narrow},
    {"token", "revoke", "[ROOT | --token-file FILE]", "Revoke a token and all made from it",
     "By the token itself (FILE or standard input), or by its root id.\n", run_revoke},
    {"token", "resume", "[ROOT | --token-file FILE]",
     "Lift a token's suspension (as an administrator)",
     "A token is suspended when three answers to its calls held the key. The token is read "
     "from\n"
     "FILE or standard input and is not sent; or name its root id, as `token list` shows it.\n",
     run_resume},
    {0},
};
