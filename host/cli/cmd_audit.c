/* audit tail, verify: they read the files, and need no host. */
#include "cli.h"

#include "audit.h"
#include "config.h"
#include "crypto.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_ROOM = 2048 };

/* DIR/audit, or a folder that was given. */
static const char *folder_of(const struct cli *cli, const struct cli_list *args, char *buffer,
                             size_t room)
{
    return args->n ? args->items[0] : cli_path(cli, "audit", buffer, room);
}

static bool number(const char *text, uint64_t *ret_number)
{
    char *end = NULL;
    *ret_number = text ? strtoull(text, &end, 10) : 0;
    if (text && (*end || text[0] < '0' || text[0] > '9')) {
        (void)cli_error(CLI_USAGE, "'%s' is not a record number", text);
        return false;
    }
    return true;
}

static sp_status print_line(void *user, uint64_t seq, struct sp_text line)
{
    (void)user;
    (void)seq;
    (void)fwrite(line.ptr, 1, line.len, stdout);
    (void)fputc('\n', stdout);
    return SP_OK;
}

static sp_status find_last(void *user, uint64_t seq, struct sp_text line)
{
    (void)line;
    *(uint64_t *)user = seq;
    return SP_OK;
}

static int run_tail(struct cli *cli, int argc, char **argv)
{
    const char *from_text = NULL;
    char path[PATH_ROOM];
    uint64_t from;
    struct cli_list args;
    struct sp_error err = {""};
    if (!cli_args(argc, argv, CLI_OPTIONS({"from", &from_text, NULL, NULL}), 0, 1, &args) ||
        !number(from_text, &from)) {
        return CLI_USAGE;
    }
    const char *folder = folder_of(cli, &args, path, sizeof path);
    sp_status status = SP_OK;
    if (!from_text) {
        uint64_t last = 0;
        status = sp_audit_read(folder, 0, find_last, &last, &err);
        from = last > 10 ? last - 9 : 1;
    }
    if (!status) {
        status = sp_audit_read(folder, from, print_line, NULL, &err);
    }
    return status ? cli_error(CLI_USAGE, "%s", err.text) : CLI_YES;
}

/* What the store of a running host says is the last record. */
static bool head_of_host(const struct cli *cli, struct sp_head *ret_head)
{
    struct sp_buf request;
    struct cli_answer answer;
    struct cli asking = *cli;
    asking.timeout_ms = 3000;
    sp_buf_init(&request, 256);
    cli_request(&request, "audit.head", 0);
    bool good = cli_ask_admin(&asking, sp_buf_text(&request), &answer) == CLI_YES;
    if (good) {
        ret_head->seq = (uint64_t)cli_int(&answer.map, "seq");
        good = sp_hex_decode(cli_text(&answer.map, "hash"), ret_head->hash, 32) == SP_OK;
    }
    cli_answer_done(&answer);
    sp_buf_done(&request);
    return good;
}

static int print_report(const struct cli *cli, const struct sp_audit_report *r, bool good,
                        bool headed)
{
    int result = good ? CLI_YES : CLI_NO;
    if (cli->json) {
        struct sp_buf buf;
        sp_buf_init(&buf, 4096);
        sp_buf_addf(&buf,
                    "{\"verified\":%s,\"records\":%" PRIu64 ",\"first\":%" PRIu64
                    ",\"last\":%" PRIu64 ",\"signed\":%" PRIu64 ",\"checkpoints\":%" PRIu64
                    ",\"head_checked\":%s,\"bad_record\":%" PRIu64 ",\"reason\":",
                    good ? "true" : "false", r->n_records, r->first_seq, r->last_seq,
                    r->signed_seq, r->n_checkpoints, headed ? "true" : "false", r->bad_seq);
        sp_buf_add_json(&buf, sp_text_of(r->reason));
        sp_buf_add_str(&buf, "}\n");
        result = cli_print_whole(&buf, result);
        sp_buf_done(&buf);
    } else if (good) {
        (void)printf("verified: records %" PRIu64 " to %" PRIu64 ", %" PRIu64
                     " checkpoints, signed up to %" PRIu64 "%s\n",
                     r->first_seq, r->last_seq, r->n_checkpoints, r->signed_seq,
                     headed ? ", the end agrees with the host" : "");
    } else {
        (void)printf("NOT VERIFIED: record %" PRIu64 " (%s, line %" PRIu64 "): %s\n",
                     r->bad_seq, r->bad_file, r->bad_line, r->reason);
    }
    return result;
}

static int run_verify(struct cli *cli, int argc, char **argv)
{
    const char *from_text = NULL;
    bool ask_host = false;
    char path[PATH_ROOM];
    uint64_t from;
    struct cli_list args;
    struct sp_error err = {""};
    struct sp_head head;
    if (!cli_args(
            argc, argv,
            CLI_OPTIONS({"from", &from_text, NULL, NULL}, {"head", NULL, &ask_host, NULL}), 0,
            1, &args) ||
        !number(from_text, &from)) {
        return CLI_USAGE;
    }
    if (ask_host && !head_of_host(cli, &head)) {
        return cli_error(CLI_UNREACHABLE, "the host does not tell its audit's head");
    }
    struct sp_audit_report report;
    memset(&report, 0, sizeof report);
    sp_status status = sp_audit_verify(folder_of(cli, &args, path, sizeof path), from,
                                       ask_host ? &head : NULL, &report, &err);
    if (status && status != SP_ECORRUPT) {
        return cli_error(CLI_USAGE, "%s", err.text);
    }
    return print_report(cli, &report, status == SP_OK, ask_host);
}

const struct cli_command cli_audit_commands[] = {
    {"audit", "tail", "[FOLDER] [--from N]", "Print the last records, or those from N on", NULL,
     run_tail},
    {"audit", "verify", "[FOLDER] [--from N] [--head]",
     "Check the chain, and name the first record that is wrong",
     "--head asks the running host for the last record, so that a cut tail shows too.\n",
     run_verify},
    {0},
};
