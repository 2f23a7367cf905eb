/* policy test: the expect lines of scope files, one by one, and what of the rules they reach.
 */
#include "cli.h"

#include "policy.h"
#include "policy_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OUTPUT_MAX_BYTES = 64 << 20 };

struct report {
    const struct sp_source *sources;
    const struct sp_tests *tests;
    struct sp_buf *out;
    bool colour;
    /* Spans come in the order of the text, mostly: lines are counted on from the last one. */
    uint32_t source, offset, line;
};

static uint32_t line_of(struct report *r, struct sp_span span)
{
    if (r->line == 0 || span.source != r->source || span.start < r->offset) {
        r->source = span.source;
        r->offset = 0;
        r->line = 1;
    }
    const struct sp_text text = r->sources[span.source].text;
    for (; r->offset < span.start && r->offset < text.len; r->offset++) {
        r->line += text.ptr[r->offset] == '\n';
    }
    return r->line;
}

static struct sp_text text_of(const struct report *r, struct sp_span span)
{
    return (struct sp_text){r->sources[span.source].text.ptr + span.start, span.len};
}

static unsigned percent(size_t part, size_t whole)
{
    return whole ? (unsigned)(part * 100 / whole) : 100;
}

/* ---- JSON ----------------------------------------------------------------------------------
 */

static void put_place(struct report *r, struct sp_text scope, struct sp_span span)
{
    sp_buf_add_str(r->out, "{\"scope\":");
    sp_buf_add_json(r->out, scope);
    sp_buf_add_str(r->out, ",\"file\":");
    sp_buf_add_json(r->out, sp_text_of(r->sources[span.source].name));
    sp_buf_addf(r->out, ",\"line\":%u", line_of(r, span));
}

static const char *yes_no(bool value)
{
    return value ? "true" : "false";
}

static void rule_as_json(struct report *r, const struct sp_rule_cover *rule)
{
    put_place(r, sp_scope_name(rule->scope), rule->span);
    sp_buf_add_str(r->out, ",\"rule\":");
    sp_buf_add_json(r->out, sp_rule_label(rule->rule));
    sp_buf_addf(r->out, ",\"denies\":%s,\"decided\":%zu,\"atoms\":[",
                yes_no(sp_rule_denies(rule->rule)), rule->n_decided);
    for (size_t i = 0; i < rule->n_atoms; i++) {
        const struct sp_atom_cover *atom = &rule->atoms[i];
        sp_buf_add_str(r->out, i ? ",{\"atom\":" : "{\"atom\":");
        sp_buf_add_json(r->out, atom->text);
        sp_buf_addf(r->out, ",\"line\":%u,\"seen_true\":%s,\"seen_untrue\":%s}",
                    line_of(r, atom->span), yes_no(atom->seen_true), yes_no(atom->seen_untrue));
    }
    sp_buf_add_str(r->out, "]}");
}

static void as_json(struct report *r)
{
    const struct sp_tests *tests = r->tests;
    sp_buf_add_str(r->out, "{\"tests\":[");
    for (size_t i = 0; i < tests->n_tests; i++) {
        const struct sp_test *test = &tests->tests[i];
        sp_buf_add_str(r->out, i ? ",\n" : "\n");
        put_place(r, sp_scope_name(test->scope), test->span);
        sp_buf_add_str(r->out, ",\"text\":");
        sp_buf_add_json(r->out, text_of(r, test->span));
        sp_buf_addf(r->out, ",\"passed\":%s}", yes_no(test->passed));
    }
    sp_buf_add_str(r->out, "],\"rules\":[");
    for (size_t i = 0; i < tests->n_rules; i++) {
        sp_buf_add_str(r->out, i ? ",\n" : "\n");
        rule_as_json(r, &tests->rules[i]);
    }
    sp_buf_add_str(r->out, "],\"diagnostics\":");
    sp_diags_print_json(&tests->diags, r->sources, r->out);
    sp_buf_addf(r->out,
                ",\"passed\":%zu,\"failed\":%zu,\"n_rules\":%zu,\"n_rules_decided\":%zu,"
                "\"n_sides\":%zu,\"n_sides_seen\":%zu,\"rules_percent\":%u,"
                "\"sides_percent\":%u}\n",
                tests->n_tests - tests->n_failed, tests->n_failed, tests->n_rules,
                tests->n_rules_decided, tests->n_sides, tests->n_sides_seen,
                percent(tests->n_rules_decided, tests->n_rules),
                percent(tests->n_sides_seen, tests->n_sides));
}

/* ---- for people ----------------------------------------------------------------------------
 */

static const char *paint(const struct report *r, bool good)
{
    return !r->colour ? "" : good ? "\033[32m" : "\033[1;31m";
}

static const char *plain(const struct report *r)
{
    return r->colour ? "\033[0m" : "";
}

static void print_tests(struct report *r)
{
    for (size_t i = 0; i < r->tests->n_tests; i++) {
        const struct sp_test *test = &r->tests->tests[i];
        struct sp_text name = sp_scope_name(test->scope), text = text_of(r, test->span);
        sp_buf_addf(r->out, "%s%s%s  %s:%u: %.*s: %.*s\n", paint(r, test->passed),
                    test->passed ? "passed" : "FAILED", plain(r),
                    r->sources[test->span.source].name, line_of(r, test->span), (int)name.len,
                    name.ptr, (int)text.len, text.ptr);
    }
    if (r->tests->n_failed > 0) {
        sp_buf_add_byte(r->out, '\n');
        sp_diags_print(&r->tests->diags, r->sources, r->colour, r->out);
    }
}

static void print_rule(struct report *r, const struct sp_rule_cover *rule)
{
    struct sp_text label = sp_rule_label(rule->rule);
    bool reached = rule->n_decided > 0;
    sp_buf_addf(r->out, "  line %-5u %-6s%-20.*s ", line_of(r, rule->span),
                sp_rule_denies(rule->rule) ? "deny" : "allow", (int)label.len, label.ptr);
    if (reached) {
        sp_buf_addf(r->out, "%zu %s\n", rule->n_decided,
                    rule->n_decided == 1 ? "test" : "tests");
    } else {
        sp_buf_addf(r->out, "%sno test is decided by it%s\n", paint(r, false), plain(r));
    }
    for (size_t i = 0; i < rule->n_atoms; i++) {
        const struct sp_atom_cover *atom = &rule->atoms[i];
        if (atom->seen_true && atom->seen_untrue) {
            continue;
        }
        sp_buf_addf(r->out, "             %s%s%s  %.*s\n", paint(r, false),
                    atom->seen_true     ? "never untrue"
                    : atom->seen_untrue ? "never true  "
                                        : "never asked ",
                    plain(r), (int)atom->text.len, atom->text.ptr);
    }
}

static void as_table(struct report *r)
{
    const struct sp_tests *tests = r->tests;
    const struct sp_scope *last = NULL;
    print_tests(r);
    for (size_t i = 0; i < tests->n_rules; i++) {
        const struct sp_rule_cover *rule = &tests->rules[i];
        if (rule->scope != last) {
            struct sp_text name = sp_scope_name(rule->scope);
            sp_buf_addf(r->out, "\nscope %.*s\n", (int)name.len, name.ptr);
            last = rule->scope;
        }
        print_rule(r, rule);
    }
    sp_buf_addf(r->out,
                "\n%zu passed, %zu failed; %zu of %zu rules decided a test (%u %%); atoms were "
                "seen true or untrue %zu of %zu times (%u %%)\n",
                tests->n_tests - tests->n_failed, tests->n_failed, tests->n_rules_decided,
                tests->n_rules, percent(tests->n_rules_decided, tests->n_rules),
                tests->n_sides_seen, tests->n_sides,
                percent(tests->n_sides_seen, tests->n_sides));
}

/* ---- the command ---------------------------------------------------------------------------
 */

static int show(const struct cli *cli, const struct sp_policy *policy, unsigned min_percent)
{
    struct sp_tests tests;
    struct sp_buf out;
    size_t n_sources;
    if (sp_policy_test(policy, &tests)) {
        return cli_error(CLI_INTERNAL, "out of memory");
    }
    sp_buf_init(&out, OUTPUT_MAX_BYTES);
    struct report r = {.sources = sp_policy_sources(policy, &n_sources),
                       .tests = &tests,
                       .out = &out,
                       .colour = cli->colour && isatty(STDOUT_FILENO)};
    if (cli->json) {
        as_json(&r);
    } else {
        as_table(&r);
    }
    int result = cli_print_whole(&out, CLI_YES);
    unsigned rules = percent(tests.n_rules_decided, tests.n_rules);
    unsigned sides = percent(tests.n_sides_seen, tests.n_sides);
    if (result == CLI_YES && tests.n_failed > 0) {
        result = CLI_NO;
    }
    if (result != CLI_INTERNAL && (rules < min_percent || sides < min_percent)) {
        result =
            cli_error(CLI_NO, "the coverage of rules or of atoms is under %u %%", min_percent);
    }
    sp_buf_done(&out);
    sp_tests_done(&tests);
    return result;
}

static bool read_percent(const char *text, unsigned *ret_percent)
{
    char *end = NULL;
    unsigned long value = text ? strtoul(text, &end, 10) : 0;
    if (text && (*end || text[0] < '0' || text[0] > '9' || value > 100)) {
        (void)cli_error(CLI_USAGE, "'%s' is no percentage: 0 to 100", text);
        return false;
    }
    *ret_percent = (unsigned)value;
    return true;
}

int cli_run_policy_test(struct cli *cli, int argc, char **argv)
{
    const char *min_text = NULL;
    unsigned min_percent;
    struct cli_list paths, plugins;
    struct cli_catalogues *catalogues = NULL;
    memset(&plugins, 0, sizeof plugins);
    if (!cli_args(argc, argv,
                  CLI_OPTIONS({"min-coverage", &min_text, NULL, NULL},
                              {"plugin", NULL, NULL, &plugins}),
                  1, CLI_LIST_MAX, &paths) ||
        !read_percent(min_text, &min_percent)) {
        return CLI_USAGE;
    }
    int result = cli_catalogues_open(cli, &plugins, &catalogues);
    if (result != CLI_YES) {
        return result;
    }
    const struct sp_world *known = cli_catalogues_world(catalogues);
    struct sp_world world = known ? *known : (struct sp_world){.user = NULL};
    struct sp_policy_files files;
    struct sp_policy *policy = NULL;
    world.leave_expects = true;
    sp_policy_files_init(&files);
    result = cli_policy_compile(cli, &paths, &world, true, &files, &policy);
    if (result == CLI_YES) {
        result = show(cli, policy, min_percent);
    }
    sp_policy_free(policy);
    sp_policy_files_done(&files);
    cli_catalogues_close(catalogues);
    return result;
}
