/* policy lsp: the language server's loop. */
#include "cli.h"
#include "lsp.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static bool to_stdout(void *user, json_t *message)
{
    (void)user;
    return lsp_write(STDOUT_FILENO, message);
}

int cli_run_policy_lsp(struct cli *cli, int argc, char **argv)
{
    struct cli_list args;
    bool stdio = false; /* what editors' libraries add; there is no other way */
    struct lsp *lsp = NULL;
    struct sp_buf body;
    struct sp_error err = {""};
    (void)cli;
    if (!cli_args(argc, argv, CLI_OPTIONS({"stdio", NULL, &stdio, NULL}), 0, 0, &args)) {
        return CLI_USAGE;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    lsp = calloc(1, sizeof *lsp);
    if (!lsp) {
        return cli_error(CLI_INTERNAL, "out of memory");
    }
    lsp_init(lsp, to_stdout, NULL);
    sp_buf_init(&body, LSP_MESSAGE_MAX_BYTES);
    while (lsp->exit_status < 0) {
        enum lsp_read got = lsp_read(STDIN_FILENO, &body, &err);
        if (got == LSP_READ_MESSAGE) {
            lsp_handle(lsp, sp_buf_text(&body));
        } else {
            lsp->exit_status = got == LSP_READ_BAD ? cli_error(CLI_USAGE, "lsp: %s", err.text)
                                                   : CLI_NO; /* the editor went without exit */
        }
        if (lsp->broken && lsp->exit_status < 0) {
            lsp->exit_status = cli_error(CLI_NO, "lsp: the editor does not read any more");
        }
    }
    int status = lsp->exit_status;
    sp_buf_done(&body);
    lsp_done(lsp);
    free(lsp);
    return status;
}
