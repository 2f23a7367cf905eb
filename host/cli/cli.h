/* The sallyport command: what its parts share.
 *
 * main.c finds the command in a table and parses the global options; each cmd_*.c holds the
 * commands of one noun; connect.c talks to the host; output.c prints for people or as JSON.
 * A command returns an exit status: 0 yes, 1 no, 2 wrong usage or bad input, 3 the host cannot
 * be reached or is sealed, 4 internal.
 */
#ifndef SP_CLI_H
#define SP_CLI_H

#include "arena.h"
#include "buf.h"
#include "status.h"
#include "wire.h"

#include <stdbool.h>

struct sallyport_client; /* sallyport.h: the library that asks the host */
struct sallyport_error;
struct sallyport_reply;

enum cli_exit {
    CLI_YES = 0,
    CLI_NO = 1,
    CLI_USAGE = 2,
    CLI_UNREACHABLE = 3,
    CLI_INTERNAL = 4,
};

struct cli {
    const char *dir;      /* the state folder, for administration */
    const char *endpoint; /* the client socket; NULL: from the folder's configuration */
    const char *host_key; /* a file, or 40 characters of Z85; NULL: DIR/host.pub */
    const char *key_file; /* the client's CURVE key file; NULL: DIR/admin.key */
    const char *java_tool_options; /* JAVA_TOOL_OPTIONS; NULL: not set */
    int timeout_ms;
    bool json;
    bool colour;
};

struct cli_command {
    const char *noun, *verb;                            /* verb NULL: the noun alone */
    const char *usage;                                  /* what follows the words */
    const char *summary;                                /* one line */
    const char *help;                                   /* the rest of --help; may be NULL */
    int (*run)(struct cli *cli, int argc, char **argv); /* argv[0] is the first argument */
};

/* ---- arguments (args.c) --------------------------------------------------------------------
 */

enum { CLI_LIST_MAX = 64 };
struct cli_list {
    const char *items[CLI_LIST_MAX];
    size_t n;
};
struct cli_option {
    const char *name;   /* without the dashes */
    const char **value; /* exactly one of these three is set */
    bool *flag;
    struct cli_list *list;
};
/* Options may stand anywhere; "--" ends them. What is left goes to args (at least min, at most
 * max, else a message and false). */
bool cli_args(int argc, char **argv, const struct cli_option *options, size_t n_options,
              size_t min, size_t max, struct cli_list *ret_args);
#define CLI_OPTIONS(...)                                                                       \
    (const struct cli_option[]){__VA_ARGS__},                                                  \
        sizeof((const struct cli_option[]){__VA_ARGS__}) / sizeof(struct cli_option)
/* Split "name=value"; false with a message where there is no '='. */
bool cli_pair(const char *text, struct sp_text *ret_name, struct sp_text *ret_value);

/* ---- files and secrets (input.c) -----------------------------------------------------------
 */

/* Read a whole file ("-": standard input) into buf; message and false on failure. */
bool cli_read(const char *path, struct sp_buf *buf);
/* A secret: from a file or "-"; from the terminal without echo where it is one. One trailing
 * newline is cut. The caller wipes it with cli_wipe. */
bool cli_read_secret(const char *path, const char *prompt, struct sp_buf *buf);
void cli_wipe(struct sp_buf *buf);

/* ---- the host (connect.c) ------------------------------------------------------------------
 */

struct cli_answer {
    struct sallyport_reply *reply; /* whose bytes map borrows; NULL: none came */
    struct sp_arena arena;
    struct sp_wire_value map; /* the reply */
};
/* The library's client of the client socket, for what is more than a question; message and exit
 * status on failure. */
int cli_open_client(const struct cli *cli, struct sallyport_client **ret_client);
/* Print a refusal, or why there is no answer; its exit status. */
int cli_show_failure(const struct sallyport_error *err);
/* Ask the administration socket, or the client socket. ok:true replies give CLI_YES; error
 * replies are printed (as JSON where asked) and give 1, 2 or 3. */
int cli_ask_admin(const struct cli *cli, struct sp_text request, struct cli_answer *ret_answer);
int cli_ask_client(const struct cli *cli, struct sp_text request,
                   struct cli_answer *ret_answer);
void cli_answer_done(struct cli_answer *answer);
/* "v" and "op", and room for n_fields more. */
void cli_request(struct sp_buf *buf, const char *op, size_t n_fields);

/* ---- output (output.c) ---------------------------------------------------------------------
 */

const struct sp_wire_value *cli_get(const struct sp_wire_value *map, const char *name);
/* The text of a field, or "" where it is missing or no string. */
struct sp_text cli_text(const struct sp_wire_value *map, const char *name);
int64_t cli_int(const struct sp_wire_value *map, const char *name);
bool cli_bool(const struct sp_wire_value *map, const char *name);
/* The value as JSON and a newline; the map's "v" and "ok" are left out. */
void cli_print_json(const struct sp_wire_value *value);
/* `name: value` lines. */
void cli_print_map(const struct sp_wire_value *map);
/* A table: one row for each map of the array, a column for each name; names ending in "_ms" or
 * called issued, expires, created … are shown as times. */
void cli_print_table(const struct sp_wire_value *array, const char *const *columns,
                     size_t n_columns);
/* The reply: JSON where asked, else the table of that field, or the map where field is NULL. */
void cli_show(const struct cli *cli, const struct cli_answer *answer, const char *field,
              const char *const *columns, size_t n_columns);
/* Ask the administration socket, and show the reply that way. */
int cli_ask_and_show(const struct cli *cli, const struct sp_buf *request, const char *field,
                     const char *const *columns, size_t n_columns);
/* Text for people, control bytes escaped. */
int cli_print_text(struct sp_text text);
/* Print all of what was gathered and return status; where it is not whole, say so, print
 * nothing and return CLI_INTERNAL. */
int cli_print_whole(const struct sp_buf *out, int status);
/* "sallyport: …" on standard error; returns status. */
int cli_error(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- commands ------------------------------------------------------------------------------
 */

extern const struct cli_command cli_init_commands[], cli_host_commands[], cli_key_commands[],
    cli_client_commands[], cli_token_commands[], cli_call_commands[], cli_policy_commands[],
    cli_plugin_commands[], cli_audit_commands[], cli_lease_commands[],
    cli_run_commands[]; /* each ends with an empty entry */

/* `policy diff`, which stands in cli_policy_commands (cmd_diff.c). */
int cli_run_policy_diff(struct cli *cli, int argc, char **argv);
/* `plugin check` (cmd_check.c). */
int cli_run_plugin_check(struct cli *cli, int argc, char **argv);
/* `policy test` (cmd_test.c). */
int cli_run_policy_test(struct cli *cli, int argc, char **argv);
/* Give the calls of an audit to fn (audit_calls.h); an exit status, with a message
 * (cmd_replay.c). calls NULL: out of memory. */
struct audit_calls;
struct audit_call;
struct json_t;
int cli_audit_calls(const char *folder, struct audit_calls *calls,
                    bool (*fn)(void *user, uint64_t seq, struct json_t *record,
                               struct audit_call *call),
                    void *user);
/* `policy replay` (cmd_replay.c). */
int cli_run_policy_replay(struct cli *cli, int argc, char **argv);
/* `policy fmt` (cmd_fmt.c). */
int cli_run_policy_fmt(struct cli *cli, int argc, char **argv);
/* `policy lsp` (cmd_lsp.c). */
int cli_run_policy_lsp(struct cli *cli, int argc, char **argv);

/* Read and compile files and folders; prints the diagnostics (cmd_policy.c). CLI_YES with a
 * policy, or the exit status. world may be NULL. */
struct sp_policy;
struct sp_policy_files;
struct sp_scope;
struct sp_world;
int cli_policy_compile(const struct cli *cli, const struct cli_list *paths,
                       const struct sp_world *world, bool quiet, struct sp_policy_files *files,
                       struct sp_policy **ret_policy);
/* The scope of that name with its arguments (NAME=VALUE) filled in; NULL, and a message. */
struct sp_scope *cli_policy_freeze(const struct sp_policy *policy, const char *name,
                                   const struct cli_list *args);
/* `policy explain --audit SEQ` (cmd_why.c): about a record of the audit in folder (NULL: the
 * host's), by those files, or where there is none by those of the host. world may be NULL. */
int cli_policy_why(const struct cli *cli, const char *seq, const char *folder,
                   const struct cli_list *given, const struct sp_world *world);
/* `policy blast` (cmd_blast.c). */
int cli_run_policy_blast(struct cli *cli, int argc, char **argv);

/* The catalogues of provider plugins (catalogues.c): of --plugin FILE.so, else of all that the
 * host of DIR would load, or of those that are installed. Each is asked for its manifest in a
 * worker. A plugin that was named and cannot be loaded is an error: CLI_NO, nothing to close.
 */
struct cli_catalogues;
int cli_catalogues_open(const struct cli *cli, const struct cli_list *plugins,
                        struct cli_catalogues **ret_catalogues);
void cli_catalogues_close(struct cli_catalogues *catalogues); /* NULL is fine */
/* For compiling: any key may be of any of them, each on its own hosts. NULL where there is
 * none, which is said on standard error, unless JSON is asked for. */
const struct sp_world *cli_catalogues_world(const struct cli_catalogues *catalogues);
struct sp_catalogue;
size_t cli_catalogues_list(const struct cli_catalogues *catalogues,
                           const struct sp_catalogue **ret_list);

/* Paths below the state folder. The result is static to the call's buffer. */
const char *cli_path(const struct cli *cli, const char *name, char *buffer, size_t room);

#endif
