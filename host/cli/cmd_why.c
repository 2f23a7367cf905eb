/* policy explain --audit SEQ: why a recorded call was let through or refused, as the record
 * says and as scope files, those in force or others, say now. */
#include "cli.h"

#include "audit_calls.h"
#include "config.h"
#include "policy_files.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OUTPUT_MAX_BYTES = 16 << 20, PATH_ROOM = 2048 };

struct asking {
    const struct cli *cli;
    const struct sp_policy *policy;
    struct audit_calls *calls;
    uint64_t seq;
    json_t *pending; /* "root call" -> intent's number, to find what an outcome is of */
    uint64_t intent; /* of the outcome that was asked for; 0: none */
    struct sp_buf out;
    int result; /* -1 until the record is found */
};

/* ---- what is not recorded -------------------------------------------------------------------
 */

static const char *const unknown_words[] = {"the body", "the values of the query",
                                            "some parameters of the query", "headers"};

static void list_unknown(unsigned unknown, bool json, struct sp_buf *out)
{
    bool first = true;
    for (unsigned i = 0; i < sizeof unknown_words / sizeof *unknown_words; i++) {
        if (unknown & (1u << i)) {
            sp_buf_addf(out, json ? "%s\"%s\"" : "%s%s",
                        first  ? ""
                        : json ? ","
                               : ", ",
                        unknown_words[i]);
            first = false;
        }
    }
}

/* ---- now ------------------------------------------------------------------------------------
 */

struct today {
    const struct sp_scope *scope; /* NULL: why */
    const char *why;
    bool gone, key_fits;
    struct sp_partial partial;
    struct sp_buf depends;
};

static void decide(struct asking *a, const struct audit_call *call, struct today *today)
{
    sp_buf_init(&today->depends, 1 << 20);
    today->why = "";
    today->scope = audit_scope(a->calls, a->policy, call, &today->why, &today->gone);
    if (today->scope) {
        today->why = "";
        today->key_fits = audit_key_fits(today->scope, call);
        sp_scope_match_partial(today->scope, &call->request, call->unknown, &today->depends,
                               &today->partial);
    }
}

/* Whether the files agree with the record: 1 yes, 0 no, -1 nobody can tell. */
static int agrees(const struct audit_call *call, const struct today *today)
{
    bool was = call->then != THEN_REFUSED;
    if (call->then == THEN_OTHER || (!today->scope && !today->gone)) {
        return -1;
    }
    if (!today->scope || !today->key_fits) {
        return !was;
    }
    if (today->partial.verdict == SP_PARTLY_DEPENDS) {
        return -1;
    }
    bool is = today->partial.verdict == SP_PARTLY_ALLOWED || sp_scope_observes(today->scope);
    return is == was;
}

/* ---- JSON -----------------------------------------------------------------------------------
 */

static void put(struct sp_buf *out, const char *name, const char *text)
{
    sp_buf_addf(out, ",\"%s\":", name);
    sp_buf_add_json(out, sp_text_of(text));
}

static void as_json(struct asking *a, const struct audit_call *call, const struct today *today)
{
    static const char *const thens[] = {[THEN_SENT] = "sent",
                                        [THEN_REFUSED] = "refused_by_the_scope",
                                        [THEN_LATER] = "refused_after_the_scope",
                                        [THEN_OTHER] = "refused_before_the_scope"};
    static const char *const verdicts[] = {"allowed", "denied", "depends"};
    static const char *const copied[] = {"time", "principal", "scope", "root",  "peer",
                                         "key",  "rule",      "code",  "reason"};
    struct sp_buf *out = &a->out, request;
    int agree = agrees(call, today);
    sp_buf_init(&request, OUTPUT_MAX_BYTES);
    audit_print_request(&call->request, &request);
    sp_buf_addf(out, "{\"seq\":%" PRIu64 ",\"then\":\"%s\"", call->seq, thens[call->then]);
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++) {
        put(out, copied[i], audit_text(call->record, copied[i]));
    }
    sp_buf_addf(out, ",\"observed\":%s",
                json_object_get(call->record, "observed") ? "true" : "false");
    put(out, "request", sp_buf_text(&request).ptr);
    sp_buf_add_str(out, ",\"not_recorded\":[");
    list_unknown(call->unknown, true, out);
    sp_buf_add_str(out, "],\"rules\":[");
    if (today->scope) {
        sp_scope_explain_partial(today->scope, &call->request, call->unknown, true, out);
    }
    sp_buf_addf(out, "],\"now\":\"%s\"",
                today->scope && today->key_fits ? verdicts[today->partial.verdict]
                : today->scope || today->gone   ? "denied"
                                                : "unknown");
    sp_buf_add_str(out, ",\"rule_now\":");
    sp_buf_add_json(out, today->scope && today->partial.rule
                             ? sp_rule_label(today->partial.rule)
                             : SP_TEXT(""));
    put(out, "depends_on", sp_buf_text(&today->depends).ptr);
    put(out, "why", today->why);
    sp_buf_addf(out, ",\"agrees\":%s}\n", agree < 0 ? "null" : agree ? "true" : "false");
    sp_buf_done(&request);
}

/* ---- for people -----------------------------------------------------------------------------
 */

static void print_then(struct asking *a, const struct audit_call *call)
{
    struct sp_buf *out = &a->out;
    const char *code = audit_text(call->record, "code");
    const char *rule = audit_text(call->record, "rule");
    sp_buf_addf(out, "record %" PRIu64 ", ", call->seq);
    audit_print_text(audit_text(call->record, "time"), out);
    sp_buf_add_str(out, "\n  ");
    audit_print_request(&call->request, out);
    sp_buf_add_str(out, "\n  with a token of ");
    audit_print_text(audit_text(call->record, "scope"), out);
    sp_buf_add_str(out, " that was issued to ");
    audit_print_text(audit_text(call->record, "principal"), out);
    sp_buf_add_str(out, ", from ");
    audit_print_text(audit_text(call->record, "peer"), out);
    sp_buf_addf(out, "\nthen: %s", call->then == THEN_SENT ? "let through" : "refused, ");
    audit_print_text(code, out);
    if (*rule) {
        sp_buf_add_str(out, ", by ");
        audit_print_text(rule, out);
    }
    if (json_object_get(call->record, "observed")) {
        sp_buf_add_str(out, " (the scope refused it, but it only observed)");
    }
    if (call->then != THEN_SENT) {
        sp_buf_add_str(out, ": ");
        audit_print_text(audit_text(call->record, "reason"), out);
    }
    sp_buf_add_str(out, "\nnot recorded, so it cannot be told any more: ");
    list_unknown(call->unknown, false, out);
    sp_buf_add_byte(out, '\n');
}

static void print_now(struct asking *a, const struct audit_call *call,
                      const struct today *today)
{
    struct sp_buf *out = &a->out;
    int agree = agrees(call, today);
    if (!today->scope) {
        sp_buf_addf(out, "now: %s%s\n",
                    today->gone ? "refused, as " : "cannot be told: ", today->why);
        return;
    }
    sp_buf_add_str(out, "now:\n");
    sp_scope_explain_partial(today->scope, &call->request, call->unknown, false, out);
    if (!today->key_fits) {
        sp_buf_add_str(out, "verdict: denied; the scope does not name the key\n");
    } else if (today->partial.verdict == SP_PARTLY_DEPENDS) {
        sp_buf_addf(out, "verdict: depends on %s\n", sp_buf_text(&today->depends).ptr);
    } else {
        bool allowed = today->partial.verdict == SP_PARTLY_ALLOWED;
        sp_buf_addf(out, "verdict: %s", allowed ? "allowed" : "denied");
        if (today->partial.rule) {
            struct sp_text label = sp_rule_label(today->partial.rule);
            sp_buf_addf(out, " by %.*s", (int)label.len, label.ptr);
        }
        sp_buf_add_str(out, !allowed && sp_scope_observes(today->scope)
                                ? "; but the scope only observes\n"
                                : "\n");
    }
    if (agree == 0) {
        sp_buf_add_str(out,
                       "the token's scope, which was frozen when it was issued, was another\n");
    }
}

/* ---- finding the record ---------------------------------------------------------------------
 */

/* Intents by call, for as long as no outcome has come: an outcome's number may be asked for. */
static void follow(struct asking *a, uint64_t seq, const json_t *record)
{
    char name[128];
    bool is_intent = strcmp(audit_text(record, "type"), "intent") == 0;
    (void)snprintf(name, sizeof name, "%s %" JSON_INTEGER_FORMAT, audit_text(record, "root"),
                   json_integer_value(json_object_get(record, "call")));
    if (is_intent) {
        (void)json_object_set_new(a->pending, name, json_integer((json_int_t)seq));
    } else if (strcmp(audit_text(record, "type"), "outcome") == 0) {
        if (seq == a->seq) {
            a->intent = (uint64_t)json_integer_value(json_object_get(a->pending, name));
        }
        (void)json_object_del(a->pending, name);
    }
}

static bool on_call(void *user, uint64_t seq, json_t *record, struct audit_call *call)
{
    struct asking *a = user;
    struct today today = {.key_fits = false};
    follow(a, seq, record);
    if (seq < a->seq) {
        return true;
    }
    if (seq > a->seq || !call) {
        return false;
    }
    decide(a, call, &today);
    if (a->cli->json) {
        as_json(a, call, &today);
    } else {
        print_then(a, call);
        print_now(a, call, &today);
    }
    sp_buf_done(&today.depends);
    a->result = call->then == THEN_SENT ? CLI_YES : CLI_NO;
    return false;
}

static int read_until(struct asking *a, const char *folder)
{
    a->calls = audit_calls_new();
    a->pending = json_object();
    int result = a->pending ? cli_audit_calls(folder, a->calls, on_call, a)
                            : cli_error(CLI_INTERNAL, "out of memory");
    audit_calls_free(a->calls);
    json_decref(a->pending);
    return result;
}

static int answer(struct asking *a, const char *folder)
{
    a->result = -1;
    sp_buf_init(&a->out, OUTPUT_MAX_BYTES);
    int result = read_until(a, folder);
    if (result == CLI_YES && a->result < 0 && a->intent) { /* an outcome: what was it of? */
        if (!a->cli->json) {
            sp_buf_addf(&a->out, "record %" PRIu64 " is how a call ended, which began so:\n",
                        a->seq);
        }
        a->seq = a->intent;
        a->intent = 0;
        result = read_until(a, folder);
    }
    if (result == CLI_YES) {
        result = a->result >= 0
                     ? a->result
                     : cli_error(CLI_USAGE, "record %" PRIu64 " is of no call", a->seq);
        if (a->out.failed) {
            result = cli_error(CLI_INTERNAL, "there is too much to show");
        }
        if (a->result >= 0) {
            (void)fwrite(sp_buf_text(&a->out).ptr, 1, a->out.len, stdout);
        }
    }
    sp_buf_done(&a->out);
    return result;
}

int cli_policy_why(const struct cli *cli, const char *seq, const char *folder,
                   const struct cli_list *given, const struct sp_world *world)
{
    char path[PATH_ROOM], *end = NULL;
    struct sp_config config;
    struct sp_error err = {""};
    struct cli_list paths = *given;
    struct asking a = {.cli = cli, .seq = strtoull(seq, &end, 10)};
    if (*end || seq[0] < '0' || seq[0] > '9' || a.seq == 0) {
        return cli_error(CLI_USAGE, "'%s' is not a record number", seq);
    }
    if (paths.n == 0) { /* the files in force */
        if (sp_config_read(cli_path(cli, "sallyport.conf", path, sizeof path), &config, &err)) {
            return cli_error(CLI_USAGE, "%s (--dir names the state folder)", err.text);
        }
        paths.items[paths.n++] = config.policy_dir;
    }
    struct sp_policy_files files;
    struct sp_policy *policy = NULL;
    sp_policy_files_init(&files);
    int result = cli_policy_compile(cli, &paths, world, true, &files, &policy);
    if (result == CLI_YES) {
        a.policy = policy;
        result = answer(&a, folder ? folder : cli_path(cli, "audit", path, sizeof path));
    }
    sp_policy_free(policy);
    sp_policy_files_done(&files);
    return result;
}
