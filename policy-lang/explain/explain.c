/* A verdict, rule by rule and atom by atom: as a table, and as JSON. */
#include "match.h"

static const char *const truths[] = {"false", "unknown", "true"};

static bool fires(const struct sp_rule *rule, enum reach reach)
{
    return rule->denies && (reach == REACH_ALL || reach == REACH_UNREADABLE);
}

static bool shows_atoms(const struct sp_rule *rule, enum reach reach, const char *fault)
{
    return rule->where && !fault && reach >= REACH_CONDITION;
}

/* One line for each atom, with its truth. Recursion is bounded by AST_NODES_MAX. */
static void explain_atoms(const struct condition *c, const struct sp_request *request,
                          struct sp_buf *buf)
{
    if (c->left) {
        explain_atoms(c->left, request, buf);
        if (c->right) {
            explain_atoms(c->right, request, buf);
        }
        return;
    }
    sp_buf_addf(buf, "        %-8s ", truths[match_condition(c, request)]);
    match_describe_atom(c, request, buf);
    sp_buf_add_byte(buf, '\n');
}

static void explain_rule(const struct sp_rule *rule, const struct sp_request *request,
                         struct sp_buf *buf)
{
    static const char *const reaches[] = {"another host",     "another path",
                                          "another method",   "condition not met",
                                          "cannot be judged", "matches"};
    const char *fault;
    enum reach reach = match_reach(rule, request, &fault);
    sp_buf_addf(buf, "%-5s %-16.*s %s%s%s%s\n", rule->denies ? "deny" : "allow",
                (int)rule->label.len, rule->label.ptr, reaches[reach], fault ? ": " : "",
                fault ? fault : "", fires(rule, reach) ? " (so it denies)" : "");
    if (shows_atoms(rule, reach, fault)) {
        explain_atoms(rule->where, request, buf);
    }
}

void sp_scope_explain(const struct sp_scope *scope, const struct sp_request *request,
                      struct sp_buf *buf)
{
    struct sp_verdict verdict;
    for (size_t i = 0; i < scope->n_rules; i++) {
        explain_rule(scope->rules[i], request, buf);
    }
    sp_scope_match(scope, request, &verdict);
    struct sp_text label = verdict.rule ? verdict.rule->label : SP_TEXT("");
    const char *by = verdict.allowed || verdict.reason == SP_VERDICT_DENY_RULE
                         ? " by "
                         : "; the nearest rule is ";
    sp_buf_addf(buf, "verdict: %s%s%.*s%s%s\n", verdict.allowed ? "allowed" : "denied",
                label.len ? by : "", (int)label.len, label.ptr, verdict.detail[0] ? "; " : "",
                verdict.detail);
    if (verdict.allowed && scope->n_redactions > 0) {
        sp_buf_add_str(buf, "out of its answer: ");
        ast_print_redactions(scope, buf);
        sp_buf_add_str(buf, "\n");
    }
}

/* ---- JSON ----------------------------------------------------------------------------------
 */

/* Recursion is bounded by AST_NODES_MAX. */
static void atoms_as_json(const struct condition *c, const struct sp_request *request,
                          bool *first, struct sp_buf *buf)
{
    struct sp_buf text;
    if (c->left) {
        atoms_as_json(c->left, request, first, buf);
        if (c->right) {
            atoms_as_json(c->right, request, first, buf);
        }
        return;
    }
    sp_buf_init(&text, buf->cap_bytes);
    ast_print_condition(c, &text);
    sp_buf_add_str(buf, *first ? "{\"atom\":" : ",{\"atom\":");
    sp_buf_add_json(buf, sp_buf_text(&text));
    sp_buf_addf(buf, ",\"truth\":\"%s\",\"detail\":", truths[match_condition(c, request)]);
    sp_buf_reset(&text);
    match_describe_atom(c, request, &text);
    sp_buf_add_json(buf, sp_buf_text(&text));
    sp_buf_add_byte(buf, '}');
    buf->failed = buf->failed || text.failed;
    sp_buf_done(&text);
    *first = false;
}

static void rule_as_json(const struct sp_rule *rule, const struct sp_request *request,
                         struct sp_buf *buf)
{
    static const char *const reaches[] = {"host",      "path",       "method",
                                          "condition", "unreadable", "matches"};
    const char *fault;
    bool first = true;
    enum reach reach = match_reach(rule, request, &fault);
    sp_buf_add_str(buf, "{\"rule\":");
    sp_buf_add_json(buf, rule->label);
    sp_buf_addf(buf, ",\"denies\":%s,\"reach\":\"%s\",\"fires\":%s",
                rule->denies ? "true" : "false", reaches[reach],
                fires(rule, reach) ? "true" : "false");
    if (fault) {
        sp_buf_add_str(buf, ",\"fault\":");
        sp_buf_add_json(buf, sp_text_of(fault));
    }
    sp_buf_add_str(buf, ",\"atoms\":[");
    if (shows_atoms(rule, reach, fault)) {
        atoms_as_json(rule->where, request, &first, buf);
    }
    sp_buf_add_str(buf, "]}");
}

void sp_scope_explain_json(const struct sp_scope *scope, const struct sp_request *request,
                           struct sp_buf *buf)
{
    sp_buf_add_byte(buf, '[');
    for (size_t i = 0; i < scope->n_rules; i++) {
        sp_buf_add_str(buf, i ? ",\n" : "\n");
        rule_as_json(scope->rules[i], request, buf);
    }
    sp_buf_add_byte(buf, ']');
}
