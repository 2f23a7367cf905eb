/* policy blast: what a scope can reach of what its providers can do. */
#include "cli.h"

#include "policy.h"
#include "policy_files.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { OUTPUT_MAX_BYTES = 64 << 20 };

static const char *const classes[] = {[SP_BLAST_ESCALATES] = "escalates",
                                      [SP_BLAST_DELETES] = "deletes",
                                      [SP_BLAST_WRITES] = "writes",
                                      [SP_BLAST_READS] = "reads"};

static void put(struct sp_buf *out, const char *name, struct sp_text value)
{
    sp_buf_addf(out, ",\"%s\":", name);
    if (value.len > 0) {
        sp_buf_add_json(out, value);
    } else {
        sp_buf_add_str(out, "null");
    }
}

static void item_as_json(const struct sp_blast_item *item, struct sp_buf *out)
{
    sp_buf_addf(out, "{\"class\":\"%s\"", classes[item->class]);
    put(out, "provider", item->catalogue->provider);
    put(out, "action", item->action->name);
    put(out, "method", sp_text_of(sp_method_name(item->action->method)));
    put(out, "path", item->action->path);
    put(out, "rule", sp_rule_label(item->rule));
    put(out, "url", item->url);
    put(out, "where", item->where);
    sp_buf_addf(out, ",\"denies\":%zu,\"proved\":%s", item->n_denies,
                item->proved ? "true" : "false");
    put(out, "example", item->example);
    sp_buf_add_byte(out, '}');
}

static void as_json(const struct sp_scope *scope, const struct sp_blast *blast,
                    struct sp_buf *out)
{
    static const char *const within[] = {
        [SP_INCLUDED] = "none", [SP_NOT_INCLUDED] = "some", [SP_TOO_HARD] = "unproved"};
    sp_buf_addf(out, "{\"reached\":%zu,\"actions\":%zu,\"graphql\":%s,\"observes\":%s",
                blast->n_reached, blast->n_actions, blast->reaches_graphql ? "true" : "false",
                sp_scope_observes(scope) ? "true" : "false");
    put(out, "scope", sp_scope_name(scope));
    sp_buf_add_str(out, ",\"reach\":[");
    for (size_t i = 0; i < blast->n_items; i++) {
        sp_buf_add_str(out, i ? ",\n" : "\n");
        item_as_json(&blast->items[i], out);
    }
    sp_buf_addf(out, "],\"outside\":\"%s\"", within[blast->within]);
    put(out, "outside_example", blast->outside);
    sp_buf_add_str(out, ",\"unknown_hosts\":[");
    for (size_t i = 0; i < blast->n_unknown_hosts; i++) {
        sp_buf_add_str(out, i ? "," : "");
        sp_buf_add_json(out, blast->unknown_hosts[i]);
    }
    sp_buf_add_str(out, "]}\n");
}

/* 1223 as "1,223". */
static void put_number(struct sp_buf *out, size_t number)
{
    if (number >= 1000) {
        put_number(out, number / 1000);
        sp_buf_addf(out, ",%03zu", number % 1000);
    } else {
        sp_buf_addf(out, "%zu", number);
    }
}

static void as_table(const struct sp_scope *scope, const struct sp_blast *blast,
                     struct sp_buf *out)
{
    struct sp_text name = sp_scope_name(scope);
    sp_buf_addf(out, "%.*s reaches ", (int)name.len, name.ptr);
    put_number(out, blast->n_reached);
    sp_buf_add_str(out, " of ");
    put_number(out, blast->n_actions);
    sp_buf_add_str(out, blast->reaches_graphql ? " actions, and GraphQL\n" : " actions\n");
    if (sp_scope_observes(scope)) {
        sp_buf_add_str(out, "BUT IT ONLY OBSERVES: what it would deny is let through\n");
    }
    for (size_t i = 0; i < blast->n_items; i++) {
        const struct sp_blast_item *item = &blast->items[i];
        struct sp_text rule = sp_rule_label(item->rule);
        sp_buf_addf(out, "%-10s%-44.*s by %.*s\n          %s %.*s\n", classes[item->class],
                    (int)item->action->name.len, item->action->name.ptr, (int)rule.len,
                    rule.ptr, sp_method_name(item->action->method), (int)item->url.len,
                    item->url.ptr);
        if (item->where.len > 0) {
            sp_buf_addf(out, "          if %.*s\n", (int)item->where.len, item->where.ptr);
        }
        if (item->n_denies > 0) {
            sp_buf_addf(out, "          but for what %zu %s\n", item->n_denies,
                        item->n_denies == 1 ? "deny takes away" : "denies take away");
        }
        if (!item->proved) {
            sp_buf_add_str(out, "          too hard to prove: taken for reached\n");
        }
    }
    if (blast->within == SP_NOT_INCLUDED) {
        sp_buf_addf(out,
                    "besides, paths that no action of the catalogue names, such as\n"
                    "          %.*s\n",
                    (int)blast->outside.len, blast->outside.ptr);
    } else if (blast->within == SP_TOO_HARD) {
        sp_buf_add_str(out,
                       "whether it reaches paths that no action names is too hard to prove\n");
    }
    for (size_t i = 0; i < blast->n_unknown_hosts; i++) {
        sp_buf_addf(out, "besides, %.*s, which no catalogue knows\n",
                    (int)blast->unknown_hosts[i].len, blast->unknown_hosts[i].ptr);
    }
}

static int show(const struct cli *cli, const struct sp_scope *scope,
                const struct cli_catalogues *catalogues)
{
    const struct sp_catalogue *list;
    struct sp_blast blast;
    struct sp_buf out;
    size_t n = cli_catalogues_list(catalogues, &list);
    if (sp_scope_blast(scope, list, n, &blast)) {
        return cli_error(CLI_INTERNAL, "out of memory");
    }
    sp_buf_init(&out, OUTPUT_MAX_BYTES);
    if (cli->json) {
        as_json(scope, &blast, &out);
    } else {
        as_table(scope, &blast, &out);
    }
    int result = out.failed ? cli_error(CLI_INTERNAL, "there is too much to show") : CLI_YES;
    (void)fwrite(sp_buf_text(&out).ptr, 1, out.len, stdout);
    sp_buf_done(&out);
    sp_blast_done(&blast);
    return result;
}

int cli_run_policy_blast(struct cli *cli, int argc, char **argv)
{
    const char *name = NULL;
    struct cli_list args, plugins, paths;
    struct cli_catalogues *catalogues = NULL;
    memset(&args, 0, sizeof args);
    memset(&plugins, 0, sizeof plugins);
    if (!cli_args(argc, argv,
                  CLI_OPTIONS({"scope", &name, NULL, NULL}, {"arg", NULL, NULL, &args},
                              {"plugin", NULL, NULL, &plugins}),
                  1, 1, &paths)) {
        return CLI_USAGE;
    }
    if (!name) {
        return cli_error(CLI_USAGE, "which scope? Give --scope NAME");
    }
    int result = cli_catalogues_open(cli, &plugins, &catalogues);
    if (result != CLI_YES) {
        return result;
    }
    const struct sp_world *world = cli_catalogues_world(catalogues);
    struct sp_policy_files files;
    struct sp_policy *policy = NULL;
    struct sp_scope *scope = NULL;
    sp_policy_files_init(&files);
    if (!world) {
        result = cli_error(CLI_USAGE, "without a catalogue there is nothing to count");
    } else {
        result = cli_policy_compile(cli, &paths, world, true, &files, &policy);
    }
    if (result == CLI_YES) {
        scope = cli_policy_freeze(policy, name, &args);
        result = scope ? show(cli, scope, catalogues) : CLI_USAGE;
    }
    sp_scope_free(scope);
    sp_policy_free(policy);
    sp_policy_files_done(&files);
    cli_catalogues_close(catalogues);
    return result;
}
