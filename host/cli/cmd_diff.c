/* policy diff: what a new version of the files allows that the old one does not, and back. */
#include "cli.h"

#include "policy.h"
#include "policy_files.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { OUTPUT_MAX_BYTES = 16 << 20 };

struct side {
    struct sp_policy_files files;
    struct sp_policy *policy;
};

static int side_open(const struct cli *cli, const char *path, const struct sp_world *world,
                     struct side *side)
{
    struct sp_error err = {""};
    struct stat st;
    struct sp_buf out;
    sp_policy_files_init(&side->files);
    bool folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    if (folder ? sp_policy_files_folder(&side->files, path, &err)
               : sp_policy_files_add(&side->files, path, &err)) {
        return cli_error(CLI_USAGE, "%s", err.text);
    }
    if (sp_policy_files_compile(&side->files, world, &side->policy) == SP_OK) {
        return CLI_YES;
    }
    sp_buf_init(&out, OUTPUT_MAX_BYTES);
    sp_diags_print(&side->files.diags, side->files.sources, cli->colour, &out);
    (void)fwrite(sp_buf_text(&out).ptr, 1, out.len, stderr);
    sp_buf_done(&out);
    return CLI_USAGE;
}

static void side_close(struct side *side)
{
    sp_policy_free(side->policy);
    sp_policy_files_done(&side->files);
}

/* One direction: what inner allows beyond outer. */
struct finding {
    enum sp_inclusion result;
    struct sp_error why;
    struct sp_buf request; /* empty where a setting differs */
};

static void find(const struct sp_scope *outer, const struct sp_scope *inner,
                 struct finding *finding)
{
    struct sp_witness witness;
    finding->why.text[0] = '\0';
    sp_buf_init(&finding->request, OUTPUT_MAX_BYTES);
    finding->result = sp_scope_compare(outer, inner, false, &witness, &finding->why);
    if (witness.found) {
        sp_witness_print(&witness.request, &finding->request);
        sp_witness_done(&witness);
    }
}

static const char *verdict_of(const struct finding *finding)
{
    static const char *const words[] = {
        [SP_INCLUDED] = "proved", [SP_NOT_INCLUDED] = "refuted", [SP_TOO_HARD] = "too_hard"};
    return words[finding->result];
}

static void print_line(const char *mark, const char *what, const struct finding *finding,
                       struct sp_buf *out)
{
    if (finding->result == SP_INCLUDED) {
        return;
    }
    sp_buf_addf(out, "  %s ", mark);
    if (finding->result == SP_TOO_HARD) {
        sp_buf_addf(out, "%s? too hard to prove: %s\n", what, finding->why.text);
    } else if (finding->request.len > 0) {
        sp_buf_addf(out, "%s: %s\n", what, finding->request.ptr);
    } else {
        sp_buf_addf(out, "%s: %s\n", what, finding->why.text);
    }
}

static void print_json(const char *name, const struct finding *finding, struct sp_buf *out)
{
    sp_buf_addf(out, ",\"%s\":{\"result\":\"%s\",\"request\":", name, verdict_of(finding));
    sp_buf_add_json(out, sp_buf_text(&finding->request));
    sp_buf_add_str(out, ",\"why\":");
    sp_buf_add_json(out, sp_text_of(finding->why.text));
    sp_buf_add_byte(out, '}');
}

/* Whether the scope is the same in both. */
static bool diff_scope(const struct cli *cli, const struct sp_scope *old,
                       const struct sp_scope *new, struct sp_buf *out)
{
    struct sp_text name = sp_scope_name(old ? old : new);
    if (!old || !new) {
        if (cli->json) {
            sp_buf_add_str(out, out->len > 1 ? ",{\"scope\":" : "{\"scope\":");
            sp_buf_add_json(out, name);
            sp_buf_addf(out, ",\"only_in\":\"%s\"}", old ? "old" : "new");
        } else {
            sp_buf_addf(out, "%.*s: only in the %s files\n", (int)name.len, name.ptr,
                        old ? "old" : "new");
        }
        return false;
    }
    struct finding wider, narrower;
    find(old, new, &wider);
    find(new, old, &narrower);
    bool same = wider.result == SP_INCLUDED && narrower.result == SP_INCLUDED;
    if (cli->json) {
        sp_buf_add_str(out, out->len > 1 ? ",{\"scope\":" : "{\"scope\":");
        sp_buf_add_json(out, name);
        print_json("new_within_old", &wider, out);
        print_json("old_within_new", &narrower, out);
        sp_buf_add_byte(out, '}');
    } else {
        sp_buf_addf(out, "%.*s: %s\n", (int)name.len, name.ptr,
                    same                          ? "the same"
                    : wider.result == SP_INCLUDED ? "narrower (proved)"
                                                  : "changed");
        print_line("+", "newly allows", &wider, out);
        print_line("-", "no longer allows", &narrower, out);
    }
    sp_buf_done(&wider.request);
    sp_buf_done(&narrower.request);
    return same;
}

static int diff(const struct cli *cli, const struct side *old, const struct side *new,
                const char *only)
{
    struct sp_buf out;
    bool same = true, found = false;
    sp_buf_init(&out, OUTPUT_MAX_BYTES);
    sp_buf_add_str(&out, cli->json ? "[" : "");
    for (int turn = 0; turn < 2; turn++) {
        const struct sp_policy *one = turn ? new->policy : old->policy;
        const struct sp_policy *other = turn ? old->policy : new->policy;
        for (size_t i = 0; i < sp_policy_n_scopes(one); i++) {
            const struct sp_scope *scope = sp_policy_scope(one, i);
            const struct sp_scope *twin = sp_policy_find_scope(other, sp_scope_name(scope));
            if ((only && !sp_text_is(sp_scope_name(scope), only)) || (turn && twin)) {
                continue;
            }
            found = true;
            bool equal = diff_scope(cli, turn ? NULL : scope, turn ? scope : twin, &out);
            same = same && equal;
        }
    }
    sp_buf_add_str(&out, cli->json ? "]\n" : "");
    int result = cli_print_whole(&out, same ? CLI_YES : CLI_NO);
    sp_buf_done(&out);
    if (only && !found) {
        return cli_error(CLI_USAGE, "there is no scope '%s' in these files", only);
    }
    return result;
}

int cli_run_policy_diff(struct cli *cli, int argc, char **argv)
{
    const char *only = NULL;
    struct cli_list paths, plugins;
    struct cli_catalogues *catalogues = NULL;
    memset(&plugins, 0, sizeof plugins);
    if (!cli_args(argc, argv,
                  CLI_OPTIONS({"scope", &only, NULL, NULL}, {"plugin", NULL, NULL, &plugins}),
                  2, 2, &paths)) {
        return CLI_USAGE;
    }
    int result = cli_catalogues_open(cli, &plugins, &catalogues);
    if (result != CLI_YES) {
        return result;
    }
    const struct sp_world *world = cli_catalogues_world(catalogues);
    struct side old = {.policy = NULL}, new = {.policy = NULL};
    result = side_open(cli, paths.items[0], world, &old);
    if (result == CLI_YES) {
        result = side_open(cli, paths.items[1], world, &new);
        if (result == CLI_YES) {
            result = diff(cli, &old, &new, only);
        }
        side_close(&new);
    }
    side_close(&old);
    cli_catalogues_close(catalogues);
    return result;
}
