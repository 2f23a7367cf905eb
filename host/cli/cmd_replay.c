/* policy replay: what new scope files would have decided on the audit's requests. */
#include "cli.h"

#include "audit_calls.h"
#include "policy_files.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OUTPUT_MAX_BYTES = 256 << 20, PATH_ROOM = 2048, RULE_ROOM = 256 };

enum now { NOW_ALLOWED, NOW_REFUSED, NOW_DEPENDS };

struct replaying {
    const struct cli *cli;
    const struct sp_policy *policy;
    struct audit_calls *calls;
    const char *only;
    uint64_t from;
    struct sp_buf out;
    json_t *rules; /* "scope rule" -> [allowed, refused, depends] */
    size_t n_calls, n_same, n_allowed, n_refused, n_depends, n_skipped;
    bool failed;
};

struct finding {
    enum now now;
    char rule[RULE_ROOM]; /* "" where no one rule decides */
    const char *why;      /* "" or why without asking a rule */
    struct sp_buf depends;
};

/* ---- one call -------------------------------------------------------------------------------
 */

static void count_rule(struct replaying *r, const struct audit_call *call,
                       const struct finding *f)
{
    struct sp_buf name;
    sp_buf_init(&name, 4096);
    audit_print_text(audit_text(call->record, "scope"), &name);
    sp_buf_addf(&name, " %s", *f->rule ? f->rule : "(no rule)");
    r->failed = r->failed || name.failed;
    json_t *counts = json_object_get(r->rules, sp_buf_text(&name).ptr);
    if (!counts) {
        counts = json_pack("[iii]", 0, 0, 0);
        r->failed = json_object_set_new(r->rules, name.ptr, counts) || r->failed;
    }
    json_t *count = json_array_get(counts, f->now);
    if (count) {
        (void)json_integer_set(count, json_integer_value(count) + 1);
    }
    sp_buf_done(&name);
}

static void tell_as_json(struct replaying *r, const struct audit_call *call, const char *kind,
                         const struct finding *f)
{
    static const char *const copied[] = {"time", "principal", "scope", "root"};
    struct sp_buf request;
    sp_buf_init(&request, OUTPUT_MAX_BYTES);
    audit_print_request(&call->request, &request);
    bool first = r->n_allowed + r->n_refused + r->n_depends == 1;
    sp_buf_addf(&r->out, "%s{\"seq\":%" PRIu64, first ? "\n" : ",\n", call->seq);
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++) {
        sp_buf_addf(&r->out, ",\"%s\":", copied[i]);
        sp_buf_add_json(&r->out, sp_text_of(audit_text(call->record, copied[i])));
    }
    sp_buf_add_str(&r->out, ",\"request\":");
    sp_buf_add_json(&r->out, sp_buf_text(&request));
    sp_buf_addf(&r->out, ",\"change\":\"%s\",\"rule_then\":", kind);
    sp_buf_add_json(&r->out, sp_text_of(audit_text(call->record, "rule")));
    sp_buf_add_str(&r->out, ",\"rule_now\":");
    sp_buf_add_json(&r->out, sp_text_of(f->rule));
    sp_buf_add_str(&r->out, ",\"why\":");
    sp_buf_add_json(&r->out, sp_text_of(f->why));
    sp_buf_add_str(&r->out, ",\"depends_on\":");
    sp_buf_add_json(&r->out, sp_buf_text(&f->depends));
    sp_buf_add_byte(&r->out, '}');
    r->failed = r->failed || request.failed;
    sp_buf_done(&request);
}

static void tell(struct replaying *r, const struct audit_call *call, const char *kind,
                 const struct finding *f)
{
    if (r->cli->json) {
        tell_as_json(r, call, kind, f);
        return;
    }
    sp_buf_addf(&r->out, "record %" PRIu64 ", ", call->seq);
    audit_print_text(audit_text(call->record, "time"), &r->out);
    sp_buf_add_str(&r->out, ", ");
    audit_print_text(audit_text(call->record, "scope"), &r->out);
    sp_buf_add_str(&r->out, ": ");
    audit_print_request(&call->request, &r->out);
    sp_buf_addf(&r->out, "\n    %s", kind);
    if (f->depends.len > 0) {
        sp_buf_addf(&r->out, " on %s", f->depends.ptr);
    }
    if (*f->rule) {
        sp_buf_addf(&r->out, " by %s", f->rule);
    }
    sp_buf_addf(&r->out, "%s%s", *f->why ? ": " : "", f->why);
    const char *then = audit_text(call->record, "rule");
    if (*then) {
        sp_buf_add_str(&r->out, "; then by ");
        audit_print_text(then, &r->out);
    }
    sp_buf_add_byte(&r->out, '\n');
}

/* What the new files say. False where the audit does not tell enough to ask them. */
static bool decide(struct replaying *r, const struct audit_call *call, struct finding *f)
{
    bool gone;
    struct sp_partial partial;
    const struct sp_scope *scope = audit_scope(r->calls, r->policy, call, &f->why, &gone);
    if (!scope) {
        f->now = NOW_REFUSED;
        return gone;
    }
    f->why = "";
    if (!audit_key_fits(scope, call)) {
        f->now = NOW_REFUSED;
        f->why = "the scope does not name the key";
        return true;
    }
    sp_scope_match_partial(scope, &call->request, call->unknown, &f->depends, &partial);
    f->now = partial.verdict == SP_PARTLY_ALLOWED  ? NOW_ALLOWED
             : partial.verdict == SP_PARTLY_DENIED ? NOW_REFUSED
                                                   : NOW_DEPENDS;
    if (partial.rule) {
        struct sp_text label = sp_rule_label(partial.rule);
        (void)snprintf(f->rule, sizeof f->rule, "%.*s", (int)label.len, label.ptr);
    }
    if (f->now != NOW_ALLOWED && sp_scope_observes(scope)) {
        f->now = NOW_ALLOWED;
        f->why = "the scope only observes";
        sp_buf_reset(&f->depends);
    }
    return true;
}

static bool on_call(void *user, uint64_t seq, json_t *record, struct audit_call *call)
{
    struct replaying *r = user;
    struct finding f = {.rule = "", .why = ""};
    bool wanted = call && seq >= r->from &&
                  (!r->only || strcmp(audit_text(record, "scope"), r->only) == 0);
    if (!wanted) {
        return true;
    }
    r->n_calls++;
    sp_buf_init(&f.depends, 1 << 20);
    if (call->then == THEN_OTHER || !decide(r, call, &f)) {
        r->n_skipped++;
        sp_buf_done(&f.depends);
        return true;
    }
    bool was_allowed = call->then != THEN_REFUSED;
    /* Without memory it depends on something, and nobody can say on what. */
    r->failed = r->failed || f.depends.failed || (f.now == NOW_DEPENDS && f.depends.len == 0);
    count_rule(r, call, &f);
    if (f.now == NOW_DEPENDS) {
        r->n_depends++;
        tell(r, call, r->cli->json ? "undecidable" : "depends", &f);
    } else if ((f.now == NOW_ALLOWED) == was_allowed) {
        r->n_same++;
    } else if (was_allowed) {
        r->n_refused++;
        tell(r, call, r->cli->json ? "newly_refused" : "newly refused", &f);
    } else {
        r->n_allowed++;
        tell(r, call, r->cli->json ? "newly_allowed" : "newly allowed", &f);
    }
    sp_buf_done(&f.depends);
    return !r->failed && !r->out.failed;
}

/* ---- the whole ------------------------------------------------------------------------------
 */

static void end_as_json(struct replaying *r)
{
    const char *name;
    json_t *counts;
    bool first = true;
    sp_buf_add_str(&r->out, "],\"rules\":[");
    json_object_foreach(r->rules, name, counts)
    {
        const char *rule = strchr(name, ' ');
        sp_buf_add_str(&r->out, first ? "\n{\"scope\":" : ",\n{\"scope\":");
        sp_buf_add_json(&r->out, (struct sp_text){name, (size_t)(rule - name)});
        sp_buf_add_str(&r->out, ",\"rule\":");
        sp_buf_add_json(&r->out, sp_text_of(rule + 1));
        sp_buf_addf(&r->out,
                    ",\"allowed\":%" JSON_INTEGER_FORMAT ",\"refused\":%" JSON_INTEGER_FORMAT
                    ",\"undecidable\":%" JSON_INTEGER_FORMAT "}",
                    json_integer_value(json_array_get(counts, NOW_ALLOWED)),
                    json_integer_value(json_array_get(counts, NOW_REFUSED)),
                    json_integer_value(json_array_get(counts, NOW_DEPENDS)));
        first = false;
    }
    sp_buf_addf(&r->out,
                "],\"calls\":%zu,\"same\":%zu,\"newly_allowed\":%zu,\"newly_refused\":%zu,"
                "\"undecidable\":%zu,\"skipped\":%zu}\n",
                r->n_calls, r->n_same, r->n_allowed, r->n_refused, r->n_depends, r->n_skipped);
}

static void end_as_table(struct replaying *r)
{
    const char *name;
    json_t *counts;
    if (json_object_size(r->rules) > 0) {
        sp_buf_addf(&r->out, "%s%8s %8s %8s  by rule\n", r->out.len ? "\n" : "", "allowed",
                    "refused", "depends");
    }
    json_object_foreach(r->rules, name, counts)
    {
        sp_buf_addf(&r->out,
                    "%8" JSON_INTEGER_FORMAT " %8" JSON_INTEGER_FORMAT " %8" JSON_INTEGER_FORMAT
                    "  %s\n",
                    json_integer_value(json_array_get(counts, NOW_ALLOWED)),
                    json_integer_value(json_array_get(counts, NOW_REFUSED)),
                    json_integer_value(json_array_get(counts, NOW_DEPENDS)), name);
    }
    sp_buf_addf(
        &r->out,
        "\n%zu calls: %zu as before, %zu newly allowed, %zu newly refused, %zu depend on "
        "what is not recorded, %zu not asked of a scope of files\n",
        r->n_calls, r->n_same, r->n_allowed, r->n_refused, r->n_depends, r->n_skipped);
}

int cli_audit_calls(const char *folder, struct audit_calls *calls, audit_call_fn fn, void *user)
{
    struct sp_error err = {"out of memory"};
    sp_status status = calls ? audit_calls_read(folder, calls, fn, user, &err) : SP_ENOMEM;
    if (status) {
        return cli_error(status == SP_ENOMEM ? CLI_INTERNAL : CLI_USAGE, "%s", err.text);
    }
    return CLI_YES;
}

static int replay(struct replaying *r, const char *folder)
{
    sp_buf_init(&r->out, OUTPUT_MAX_BYTES);
    r->rules = json_object();
    r->calls = audit_calls_new();
    if (r->cli->json) {
        sp_buf_add_str(&r->out, "{\"changes\":[");
    }
    int result = r->rules ? cli_audit_calls(folder, r->calls, on_call, r)
                          : cli_error(CLI_INTERNAL, "out of memory");
    if (result == CLI_YES) {
        if (r->cli->json) {
            end_as_json(r);
        } else {
            end_as_table(r);
        }
        result = r->n_allowed + r->n_refused > 0 ? CLI_NO : CLI_YES;
        if (r->failed || r->out.failed) {
            result = cli_error(CLI_INTERNAL, "there is too much to show (--from N, --scope S)");
        } else {
            result = cli_print_whole(&r->out, result);
        }
    }
    audit_calls_free(r->calls);
    json_decref(r->rules);
    sp_buf_done(&r->out);
    return result;
}

static bool read_number(const char *text, uint64_t *ret_number)
{
    char *end = NULL;
    *ret_number = text ? strtoull(text, &end, 10) : 0;
    if (text && (*end || text[0] < '0' || text[0] > '9')) {
        (void)cli_error(CLI_USAGE, "'%s' is not a record number", text);
        return false;
    }
    return true;
}

int cli_run_policy_replay(struct cli *cli, int argc, char **argv)
{
    const char *from = NULL, *folder = NULL;
    char path[PATH_ROOM];
    struct cli_list paths, plugins;
    struct cli_catalogues *catalogues = NULL;
    struct replaying r = {.cli = cli};
    memset(&plugins, 0, sizeof plugins);
    if (!cli_args(argc, argv,
                  CLI_OPTIONS({"from", &from, NULL, NULL}, {"scope", &r.only, NULL, NULL},
                              {"audit-dir", &folder, NULL, NULL},
                              {"plugin", NULL, NULL, &plugins}),
                  1, CLI_LIST_MAX, &paths) ||
        !read_number(from, &r.from)) {
        return CLI_USAGE;
    }
    int result = cli_catalogues_open(cli, &plugins, &catalogues);
    if (result != CLI_YES) {
        return result;
    }
    struct sp_policy_files files;
    struct sp_policy *policy = NULL;
    sp_policy_files_init(&files);
    result = cli_policy_compile(cli, &paths, cli_catalogues_world(catalogues), true, &files,
                                &policy);
    if (result == CLI_YES) {
        r.policy = policy;
        result = replay(&r, folder ? folder : cli_path(cli, "audit", path, sizeof path));
    }
    sp_policy_free(policy);
    sp_policy_files_done(&files);
    cli_catalogues_close(catalogues);
    return result;
}
