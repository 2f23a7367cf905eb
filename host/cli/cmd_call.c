/* call: one request through the host; check: would it be let through? */
#include "cli.h"

#include "token.h"

#include <stdio.h>
#include <string.h>

enum { BODY_MAX_BYTES = 15 << 20 };

struct call_options {
    const char *token_file, *data_file, *key, *id;
    struct cli_list headers;
    bool include;
};

static bool put_headers(struct sp_buf *request, const struct cli_list *headers)
{
    sp_wire_put_str(request, SP_TEXT("headers"));
    sp_wire_put_array(request, headers->n);
    for (size_t i = 0; i < headers->n; i++) {
        const char *colon = strchr(headers->items[i], ':');
        if (!colon || colon == headers->items[i]) {
            (void)cli_error(CLI_USAGE, "'%s' is not NAME: VALUE", headers->items[i]);
            return false;
        }
        const char *value = colon + 1 + strspn(colon + 1, " ");
        sp_wire_put_array(request, 2);
        sp_wire_put_str(
            request, (struct sp_text){headers->items[i], (size_t)(colon - headers->items[i])});
        sp_wire_put_str(request, sp_text_of(value));
    }
    return true;
}

static bool put_call(struct sp_buf *request, const char *op, const struct call_options *o,
                     const struct cli_list *args)
{
    struct sp_buf token, body;
    sp_buf_init(&token, SP_TOKEN_MAX_BYTES + 2);
    sp_buf_init(&body, BODY_MAX_BYTES);
    size_t n = (size_t)(3 + (o->key != NULL) + (o->id != NULL) + (o->headers.n > 0) +
                        (o->data_file != NULL));
    bool good = cli_read_secret(o->token_file, "Token", &token) &&
                (!o->data_file || cli_read(o->data_file, &body));
    cli_request(request, op, n);
    sp_wire_pair_str(request, "token", sp_buf_text(&token));
    sp_wire_pair_str(request, "method", sp_text_of(args->items[0]));
    sp_wire_pair_str(request, "url", sp_text_of(args->items[1]));
    if (o->key) {
        sp_wire_pair_str(request, "key", sp_text_of(o->key));
    }
    if (o->id) {
        sp_wire_pair_str(request, "id", sp_text_of(o->id));
    }
    good = good && (!o->headers.n || put_headers(request, &o->headers));
    if (o->data_file) {
        sp_wire_put_str(request, SP_TEXT("body"));
        sp_wire_put_bin(request, sp_buf_text(&body));
    }
    cli_wipe(&token);
    sp_buf_done(&body);
    return good && !request->failed;
}

/* The upstream's answer: with --include its status and headers first, as curl prints them. */
static void print_reply(const struct cli_answer *answer, bool include)
{
    const struct sp_wire_value *headers = cli_get(&answer->map, "headers");
    if (include) {
        (void)printf("HTTP %d\n", (int)cli_int(&answer->map, "status"));
        for (size_t i = 0; headers && headers->kind == SP_WIRE_ARRAY && i < headers->as.array.n;
             i++) {
            const struct sp_wire_value *pair = &headers->as.array.items[i];
            if (pair->kind == SP_WIRE_ARRAY && pair->as.array.n == 2) {
                cli_print_text(pair->as.array.items[0].as.text);
                (void)printf(": ");
                cli_print_text(pair->as.array.items[1].as.text);
                (void)printf("\n");
            }
        }
        (void)printf("\n");
    }
    struct sp_text body = cli_text(&answer->map, "body");
    (void)fwrite(body.ptr, 1, body.len, stdout);
}

static int call(struct cli *cli, int argc, char **argv, bool check)
{
    struct call_options o;
    struct cli_list args;
    memset(&o, 0, sizeof o);
    if (!cli_args(argc, argv,
                  CLI_OPTIONS({"token-file", &o.token_file, NULL, NULL},
                              {"data", &o.data_file, NULL, NULL}, {"key", &o.key, NULL, NULL},
                              {"id", &o.id, NULL, NULL}, {"header", NULL, NULL, &o.headers},
                              {"include", NULL, &o.include, NULL}),
                  2, 2, &args)) {
        return CLI_USAGE;
    }
    if (!o.token_file) {
        return cli_error(CLI_USAGE,
                         "which token? Give --token-file FILE (- is standard input)");
    }
    struct sp_buf request;
    struct cli_answer answer;
    sp_buf_init(&request, 2 * BODY_MAX_BYTES);
    int result = CLI_USAGE;
    if (put_call(&request, check ? "check" : "proxy", &o, &args)) {
        result = cli_ask_client(cli, sp_buf_text(&request), &answer);
        if (result == CLI_YES && (cli->json || check)) {
            cli_show(cli, &answer, NULL, NULL, 0);
            result = !check || cli_bool(&answer.map, "allowed") ? CLI_YES : CLI_NO;
        } else if (result == CLI_YES) {
            print_reply(&answer, o.include);
        }
        cli_answer_done(&answer);
    }
    cli_wipe(&request);
    return result;
}

static int run_call(struct cli *cli, int argc, char **argv)
{
    return call(cli, argc, argv, false);
}

static int run_check(struct cli *cli, int argc, char **argv)
{
    return call(cli, argc, argv, true);
}

#define CALL_USAGE                                                                             \
    "--token-file F METHOD URL [--data FILE] [--header 'N: V']… [--key ID] [--id ID]"

const struct cli_command cli_call_commands[] = {
    {"call", NULL, CALL_USAGE " [--include]", "Make one call through the host",
     "Prints the answer's body; with --include its status and headers first. With --id the "
     "call\n"
     "has one effect upstream however often it is repeated.\n"
     "  sallyport call --token-file t POST https://api.stripe.com/v1/refunds \\\n"
     "      --header 'Content-Type: application/x-www-form-urlencoded' --data refund.txt\n",
     run_call},
    {"check", NULL, CALL_USAGE, "Ask whether a call would be let through; sends nothing", NULL,
     run_check},
    {0},
};
