/* call: one request through the host; check: would it be let through? */
#include "cli.h"

#include "token.h"

#include <sallyport.h>
#include <stdio.h>
#include <string.h>

enum { BODY_MAX_BYTES = 15 << 20, HEADERS_MAX_BYTES = 1 << 20 };

struct call_options {
    const char *token_file, *data_file, *key, *id;
    struct cli_list headers;
    bool include;
};

/* "NAME: VALUE" as it stands in argv, apart. */
static bool split_headers(struct sp_arena *arena, const struct cli_list *headers,
                          struct sallyport_pair ret_pairs[CLI_LIST_MAX])
{
    for (size_t i = 0; i < headers->n; i++) {
        const char *item = headers->items[i], *colon = strchr(item, ':');
        if (!colon || colon == item) {
            (void)cli_error(CLI_USAGE, "'%s' is not NAME: VALUE", item);
            return false;
        }
        struct sp_text name = {item, (size_t)(colon - item)};
        ret_pairs[i].name = sp_arena_copy(arena, name).ptr;
        ret_pairs[i].value = colon + 1 + strspn(colon + 1, " ");
        if (!ret_pairs[i].name) {
            (void)cli_error(CLI_INTERNAL, "out of memory");
            return false;
        }
    }
    return true;
}

static bool put_headers(struct sp_buf *request, const struct cli_list *headers)
{
    struct sallyport_pair pairs[CLI_LIST_MAX];
    struct sp_arena arena;
    sp_arena_init(&arena, HEADERS_MAX_BYTES);
    bool good = split_headers(&arena, headers, pairs);
    sp_wire_put_str(request, SP_TEXT("headers"));
    sp_wire_put_array(request, headers->n);
    for (size_t i = 0; good && i < headers->n; i++) {
        sp_wire_put_array(request, 2);
        sp_wire_put_str(request, sp_text_of(pairs[i].name));
        sp_wire_put_str(request, sp_text_of(pairs[i].value));
    }
    sp_arena_done(&arena);
    return good;
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

/* The upstream's, as curl prints them. */
static void print_head(struct sallyport_reply *head)
{
    const char *name, *value;
    (void)printf("HTTP %d\n", sallyport_reply_status(head));
    for (size_t i = 0; (value = sallyport_reply_header_at(head, i, &name)); i++) {
        (void)cli_print_text(sp_text_of(name));
        (void)printf(": ");
        (void)cli_print_text(sp_text_of(value));
        (void)printf("\n");
    }
    (void)printf("\n");
}

/* ---- an answer as it comes -----------------------------------------------------------------
 */

/* To standard output, each piece at once; the stream's end, or why there was none. */
static int copy_out(struct sallyport_stream *stream)
{
    struct sallyport_error err;
    for (;;) {
        const void *data;
        size_t n;
        if (sallyport_stream_read(stream, &data, &n, &err)) {
            (void)fflush(stdout);
            return cli_error(*err.code ? CLI_NO : CLI_UNREACHABLE,
                             "the answer broke off: %s%s%s", err.code, *err.code ? ": " : "",
                             err.text);
        }
        if (n == 0) {
            return CLI_YES;
        }
        if (fwrite(data, 1, n, stdout) != n || fflush(stdout)) {
            return cli_error(CLI_INTERNAL, "standard output takes no more");
        }
    }
}

static int run_stream(struct cli *cli, const struct sallyport_call *call, bool include)
{
    struct sallyport_client *client = NULL;
    struct sallyport_stream *stream = NULL;
    struct sallyport_error err;
    int result = cli_open_client(cli, &client);
    if (!result && sallyport_stream_open(client, call, &stream, &err)) {
        result = cli_show_failure(&err);
    }
    if (!result) {
        if (include) {
            print_head(sallyport_stream_head(stream));
        }
        result = copy_out(stream);
    }
    sallyport_stream_close(stream);
    sallyport_close(client);
    return result;
}

static int stream_call(struct cli *cli, const struct call_options *o,
                       const struct cli_list *args)
{
    struct sallyport_pair headers[CLI_LIST_MAX];
    struct sp_arena arena;
    struct sallyport_call call = SALLYPORT_CALL_INIT;
    struct sp_buf token, body;
    sp_buf_init(&token, SP_TOKEN_MAX_BYTES + 2);
    sp_buf_init(&body, BODY_MAX_BYTES);
    sp_arena_init(&arena, HEADERS_MAX_BYTES);
    int result = CLI_USAGE;
    if (cli_read_secret(o->token_file, "Token", &token) &&
        (!o->data_file || cli_read(o->data_file, &body)) &&
        split_headers(&arena, &o->headers, headers)) {
        call.token = token.ptr;
        call.method = args->items[0];
        call.url = args->items[1];
        call.key = o->key;
        call.headers = headers;
        call.n_headers = (uint32_t)o->headers.n;
        call.body = o->data_file ? sp_buf_text(&body).ptr : NULL;
        call.body_bytes = body.len;
        result = run_stream(cli, &call, o->include);
    }
    sp_arena_done(&arena);
    cli_wipe(&token);
    sp_buf_done(&body);
    return result;
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
    if (!check && !cli->json && !o.id) { /* a stream is not kept for a second time */
        return stream_call(cli, &o, &args);
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
            if (o.include) {
                print_head(answer.reply);
            }
            size_t n;
            const char *body = sallyport_reply_body(answer.reply, &n);
            (void)fwrite(body, 1, n, stdout);
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
     "Prints the answer's body as it comes; with --include its status and headers first. With\n"
     "--id the call has one effect upstream however often it is repeated, and its answer "
     "comes\n"
     "whole, as it does with --json. An answer that breaks off ends with exit status 1, or 3\n"
     "where the host is lost.\n"
     "  sallyport call --token-file t POST https://api.stripe.com/v1/refunds \\\n"
     "      --header 'Content-Type: application/x-www-form-urlencoded' --data refund.txt\n",
     run_call},
    {"check", NULL, CALL_USAGE, "Ask whether a call would be let through; sends nothing", NULL,
     run_check},
    {0},
};
