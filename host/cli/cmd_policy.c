/* policy check, explain: work on files, and need no host. */
#include "cli.h"

#include "canonical.h"
#include "policy.h"
#include "policy_files.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OUTPUT_MAX_BYTES = 16 << 20, BODY_MAX_BYTES = 16 << 20 };

int cli_policy_compile(const struct cli *cli, const struct cli_list *paths,
                       const struct sp_world *world, bool quiet, struct sp_policy_files *files,
                       struct sp_policy **ret_policy)
{
    struct sp_error err = {""};
    for (size_t i = 0; i < paths->n; i++) {
        struct stat st;
        bool folder = stat(paths->items[i], &st) == 0 && S_ISDIR(st.st_mode);
        sp_status status = folder ? sp_policy_files_folder(files, paths->items[i], &err)
                                  : sp_policy_files_add(files, paths->items[i], &err);
        if (status) {
            return cli_error(CLI_USAGE, "%s", err.text);
        }
    }
    sp_status status = sp_policy_files_compile(files, world, ret_policy);
    struct sp_buf out;
    int shown = CLI_YES;
    sp_buf_init(&out, OUTPUT_MAX_BYTES);
    if (cli->json && !quiet) {
        sp_diags_print_json(&files->diags, files->sources, &out);
        sp_buf_add_byte(&out, '\n');
        shown = cli_print_whole(&out, CLI_YES);
    } else if (!quiet || status) {
        sp_diags_print(&files->diags, files->sources, cli->colour, &out);
        (void)fwrite(sp_buf_text(&out).ptr, 1, out.len, stderr);
    }
    sp_buf_done(&out);
    if (status == SP_ENOMEM) {
        return cli_error(CLI_INTERNAL, "out of memory");
    }
    return status && shown == CLI_YES ? CLI_USAGE : shown;
}

static int run_check(struct cli *cli, int argc, char **argv)
{
    struct cli_list args, plugins;
    struct cli_catalogues *catalogues = NULL;
    memset(&plugins, 0, sizeof plugins);
    if (!cli_args(argc, argv, CLI_OPTIONS({"plugin", NULL, NULL, &plugins}), 1, CLI_LIST_MAX,
                  &args)) {
        return CLI_USAGE;
    }
    struct sp_policy_files files;
    struct sp_policy *policy = NULL;
    int result = cli_catalogues_open(cli, &plugins, &catalogues);
    if (result != CLI_YES) {
        return result;
    }
    sp_policy_files_init(&files);
    result = cli_policy_compile(cli, &args, cli_catalogues_world(catalogues), false, &files,
                                &policy);
    if (result == CLI_YES && !cli->json) {
        (void)printf("good: %zu scopes, %zu clients and principals, %u warnings\n",
                     sp_policy_n_scopes(policy), sp_policy_n_identities(policy),
                     files.diags.n_warnings);
    }
    sp_policy_free(policy);
    sp_policy_files_done(&files);
    cli_catalogues_close(catalogues);
    return result;
}

/* ---- explain -------------------------------------------------------------------------------
 */

struct explain_options {
    const char *scope, *data_file, *audit, *audit_dir;
    struct cli_list args, headers, plugins;
};

struct sp_scope *cli_policy_freeze(const struct sp_policy *policy, const char *name,
                                   const struct cli_list *given)
{
    struct sp_arg args[CLI_LIST_MAX];
    struct sp_error err = {""};
    struct sp_scope *frozen = NULL;
    const struct sp_scope *scope = sp_policy_find_scope(policy, sp_text_of(name));
    if (!scope) {
        (void)cli_error(CLI_USAGE, "there is no scope '%s' in these files", name);
        return NULL;
    }
    for (size_t i = 0; i < given->n; i++) {
        if (!cli_pair(given->items[i], &args[i].name, &args[i].value)) {
            return NULL;
        }
    }
    if (sp_scope_freeze(scope, args, given->n, &frozen, &err)) {
        (void)cli_error(CLI_USAGE, "%s (--arg NAME=VALUE)", err.text);
    }
    return frozen;
}

static bool read_request(struct sp_arena *arena, const struct explain_options *o,
                         const struct cli_list *words, struct sp_buf *body,
                         struct sp_request *ret_request)
{
    struct sp_raw_header headers[CLI_LIST_MAX];
    struct sp_error err = {""};
    for (size_t i = 0; i < o->headers.n; i++) {
        const char *header = o->headers.items[i], *colon = strchr(header, ':');
        if (!colon) {
            (void)cli_error(CLI_USAGE, "'%s' is not NAME: VALUE", header);
            return false;
        }
        headers[i].name = (struct sp_text){header, (size_t)(colon - header)};
        headers[i].value = sp_text_of(colon + 1);
    }
    if (o->data_file && !cli_read(o->data_file, body)) {
        return false;
    }
    struct sp_raw_request raw = {
        .method = sp_text_of(words->items[0]),
        .url = sp_text_of(words->items[1]),
        .headers = headers,
        .n_headers = o->headers.n,
        .body = o->data_file ? sp_buf_text(body) : (struct sp_text){NULL, 0},
    };
    if (sp_canonical(arena, &raw, ret_request, &err)) {
        (void)cli_error(CLI_USAGE, "this request is refused before any rule is asked: %s",
                        err.text);
        return false;
    }
    return true;
}

static void put(struct sp_buf *out, const char *name, struct sp_text text)
{
    sp_buf_addf(out, "%s", name);
    if (text.ptr) {
        sp_buf_add_json(out, text);
    } else {
        sp_buf_add_str(out, "null");
    }
}

static void nearest_as_json(const struct sp_nearest *nearest, struct sp_buf *out)
{
    struct sp_buf text;
    sp_buf_init(&text, OUTPUT_MAX_BYTES);
    sp_buf_add_str(out, ",\"nearest\":");
    if (nearest->found) {
        sp_witness_print(&nearest->request, &text);
        put(out, "{\"request\":", sp_buf_text(&text));
        put(out, ",\"rule\":", sp_rule_label(nearest->rule));
        sp_buf_add_str(out, ",\"changes\":[");
        for (size_t i = 0; i < nearest->n_changes; i++) {
            const struct sp_change *change = &nearest->changes[i];
            put(out, i ? ",{\"place\":" : "{\"place\":", change->place);
            put(out, ",\"to\":", change->to);
            put(out, ",\"words\":", change->words);
            sp_buf_add_byte(out, '}');
        }
        sp_buf_add_str(out, "]}");
    } else {
        sp_buf_add_str(out, "null");
    }
    put(out, ",\"scope_change\":", nearest->scope_change);
    out->failed = out->failed || text.failed;
    sp_buf_done(&text);
}

static void nearest_as_text(const struct sp_nearest *nearest, struct sp_buf *out)
{
    if (nearest->found) {
        struct sp_text label = sp_rule_label(nearest->rule);
        sp_buf_add_str(out, "\nto be allowed:\n");
        for (size_t i = 0; i < nearest->n_changes; i++) {
            sp_buf_addf(out, "  %.*s\n", (int)nearest->changes[i].words.len,
                        nearest->changes[i].words.ptr);
        }
        sp_buf_addf(out, "the nearest request that is allowed (it was asked), by %.*s:\n  ",
                    (int)label.len, label.ptr);
        sp_witness_print(&nearest->request, out);
        sp_buf_add_byte(out, '\n');
    } else {
        sp_buf_add_str(out, "\nno request near this one was found that is allowed\n");
    }
    if (nearest->scope_change.len > 0) {
        sp_buf_addf(out,
                    "the smallest change of the scope that allows it (it was asked):\n  %.*s\n",
                    (int)nearest->scope_change.len, nearest->scope_change.ptr);
    }
}

static int explain(const struct cli *cli, const struct sp_scope *scope, struct sp_arena *arena,
                   struct sp_request *request)
{
    static const char *const reasons[] = {
        [SP_VERDICT_ALLOWED] = "allowed",     [SP_VERDICT_HOST] = "host",
        [SP_VERDICT_PATH] = "path",           [SP_VERDICT_METHOD] = "method",
        [SP_VERDICT_CONDITION] = "condition", [SP_VERDICT_UNREADABLE] = "unreadable",
        [SP_VERDICT_DENY_RULE] = "deny_rule"};
    struct sp_verdict verdict;
    struct sp_nearest nearest = {.found = false};
    if (sp_scope_wants_body(scope, request)) {
        sp_judge_body(arena, request);
    }
    sp_scope_match(scope, request, &verdict);
    if (!verdict.allowed && sp_scope_nearest(scope, request, &nearest)) {
        return cli_error(CLI_INTERNAL, "out of memory");
    }
    struct sp_buf out;
    sp_buf_init(&out, OUTPUT_MAX_BYTES);
    if (cli->json) {
        sp_buf_addf(&out, "{\"allowed\":%s,\"reason\":\"%s\"",
                    verdict.allowed ? "true" : "false", reasons[verdict.reason]);
        put(&out, ",\"rule\":", verdict.rule ? sp_rule_label(verdict.rule) : SP_TEXT(""));
        put(&out, ",\"detail\":", sp_text_of(verdict.detail));
        sp_buf_add_str(&out, ",\"rules\":");
        sp_scope_explain_json(scope, request, &out);
        const struct sp_redaction *one;
        sp_buf_add_str(&out, ",\"redacts\":[");
        for (size_t i = 0; (one = sp_scope_redaction(scope, i)); i++) {
            struct sp_buf name;
            sp_buf_init(&name, OUTPUT_MAX_BYTES);
            sp_redaction_print(one, &name);
            put(&out, i ? "," : "", sp_buf_text(&name));
            sp_buf_done(&name);
        }
        sp_buf_add_byte(&out, ']');
        if (!verdict.allowed) {
            nearest_as_json(&nearest, &out);
        }
        sp_buf_add_str(&out, "}\n");
    } else {
        sp_scope_explain(scope, request, &out);
        if (!verdict.allowed) {
            nearest_as_text(&nearest, &out);
        }
    }
    if (!verdict.allowed) {
        sp_nearest_done(&nearest);
    }
    int result = verdict.allowed ? CLI_YES : CLI_NO;
    result = cli_print_whole(&out, result);
    sp_buf_done(&out);
    return result;
}

/* About a request that is given in words: file, method, URL. */
static int explain_words(const struct cli *cli, const struct explain_options *o,
                         const struct cli_list *words, const struct sp_world *world)
{
    struct cli_list paths = {.items = {words->items[0]}, .n = 1};
    struct cli_list call = {.items = {words->items[1], words->items[2]}, .n = 2};
    struct sp_policy_files files;
    struct sp_policy *policy = NULL;
    struct sp_scope *scope = NULL;
    struct sp_arena arena;
    struct sp_buf body;
    struct sp_request request;
    sp_policy_files_init(&files);
    sp_arena_init(&arena, 64 << 20);
    sp_buf_init(&body, BODY_MAX_BYTES);
    int result = cli_policy_compile(cli, &paths, world, true, &files, &policy);
    if (result == CLI_YES) {
        result = CLI_USAGE;
        scope = cli_policy_freeze(policy, o->scope, &o->args);
        if (scope && read_request(&arena, o, &call, &body, &request)) {
            result = explain(cli, scope, &arena, &request);
        }
    }
    sp_scope_free(scope);
    sp_policy_free(policy);
    sp_buf_done(&body);
    sp_arena_done(&arena);
    sp_policy_files_done(&files);
    return result;
}

static int run_explain(struct cli *cli, int argc, char **argv)
{
    struct explain_options o;
    struct cli_list words;
    struct cli_catalogues *catalogues = NULL;
    memset(&o, 0, sizeof o);
    if (!cli_args(
            argc, argv,
            CLI_OPTIONS({"scope", &o.scope, NULL, NULL}, {"data", &o.data_file, NULL, NULL},
                        {"arg", NULL, NULL, &o.args}, {"header", NULL, NULL, &o.headers},
                        {"plugin", NULL, NULL, &o.plugins}, {"audit", &o.audit, NULL, NULL},
                        {"audit-dir", &o.audit_dir, NULL, NULL}),
            0, CLI_LIST_MAX, &words)) {
        return CLI_USAGE;
    }
    if (!o.audit && words.n != 3) {
        return cli_error(CLI_USAGE, "give FILE, METHOD and URL, or --audit SEQ; see --help");
    }
    if (!o.audit && !o.scope) {
        return cli_error(CLI_USAGE, "which scope? Give --scope NAME");
    }
    if (o.audit && (o.scope || o.data_file || o.args.n || o.headers.n)) {
        return cli_error(CLI_USAGE, "--audit takes the request from the record: no --scope, "
                                    "--arg, --data or --header");
    }
    int result = cli_catalogues_open(cli, &o.plugins, &catalogues);
    if (result != CLI_YES) {
        return result;
    }
    const struct sp_world *world = cli_catalogues_world(catalogues);
    result = o.audit ? cli_policy_why(cli, o.audit, o.audit_dir, &words, world)
                     : explain_words(cli, &o, &words, world);
    cli_catalogues_close(catalogues);
    return result;
}

const struct cli_command cli_policy_commands[] = {
    {"policy", "check", "FILE… [--plugin FILE.so]…",
     "Check scope files, and run their expect lines",
     "FILE may be a folder: then all its *.scope files, as one policy. The catalogues of the\n"
     "plugins that are named, or else installed, say which actions need a literal allow.\n",
     run_check},
    {"policy", "test", "FILE… [--min-coverage N] [--plugin FILE.so]…",
     "Run the expect lines of scope files, and say what of the rules they reach",
     "FILE may be a folder. Each test is reported, then each rule with the number of tests "
     "that "
     "it\n"
     "decided, and those atoms of its condition that no test saw both true and untrue.\n"
     "Exit status 0: all passed; 1: one failed, or less than N percent of the rules decided a\n"
     "test or of the atoms' two sides were seen; 2: the files do not compile.\n"
     "  --min-coverage N   0 to 100\n",
     cli_run_policy_test},
    {"policy", "explain",
     "FILE --scope S [--arg k=v]… METHOD URL [--data FILE] [--header H]… "
     "[--plugin FILE.so]… | [FILE…] --audit SEQ",
     "Say which rule decides about a request, and why",
     "For a refusal also the nearest request that is allowed, and the smallest change of the\n"
     "scope that would allow this one.\n"
     "With --audit: why the call of that record of the audit was let through or refused, and\n"
     "what FILE, or the host's own files, say about it; of a body, a query's values and "
     "headers\n"
     "a record holds nothing that could be judged again.\n"
     "  --audit-dir DIR    the audit (default: that of the host)\n"
     "Exit status 0: allowed, 1: denied. A body is judged by its Content-Type (--header).\n",
     run_explain},
    {"policy", "replay", "FILE… [--from N] [--scope S] [--audit-dir DIR]",
     "Say what new scope files would have decided on the audit's requests",
     "Each call and each refusal of the audit, whose chain is verified first, is decided again "
     "by\n"
     "the scope of that name, with the arguments that the token was issued with. What depends "
     "on\n"
     "a body, a query's value or a header, which are not recorded, is said to.\n"
     "Exit status 0: nothing would surely change, 1: something would.\n"
     "  --from N           only from that record on\n"
     "  --audit-dir DIR    the audit (default: that of the host)\n",
     cli_run_policy_replay},
    {"policy", "diff", "OLD NEW [--scope S] [--plugin FILE.so]…",
     "Say what NEW allows that OLD does not, and back",
     "OLD and NEW are files or folders. For each scope (or that of --scope) both directions "
     "are\n"
     "proved, or refuted by a request that both versions were really asked about.\n"
     "Exit status 0: nothing changes, 1: something does, or it is too hard to prove.\n",
     cli_run_policy_diff},
    {"policy", "blast", "FILE --scope S [--arg k=v]… [--plugin FILE.so]…",
     "Say what a scope can reach of its providers' catalogues, worst first",
     "Every action that some request of the scope is one of, with the rule that lets it\n"
     "through and what it still asks for. The catalogues are those of the plugins that are\n"
     "named, or else installed.\n",
     cli_run_policy_blast},
    {"policy", "fmt", "FILE… [--check] [--diff]", "Write scope files in their one layout",
     "FILE may be a folder, or - for standard input, which is printed to standard output. "
     "Files\n"
     "are replaced at once or not at all, and only where something changes; their names are\n"
     "printed. A file that does not parse is left as it is. Comments and groups stay.\n"
     "  --check            change nothing; exit status 1 where something would change\n",
     cli_run_policy_fmt},
    {"policy", "lsp", "", "Serve an editor: the Language Server Protocol on standard input",
     "An editor starts it; docs/editors.md says how. It reads the files that a document uses,\n"
     "writes none, and asks no host.\n",
     cli_run_policy_lsp},
    {0},
};
