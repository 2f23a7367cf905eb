/* The naive interpreter: rule by rule. Every other matcher must agree with it. */
#include "ast.h"

#include <stdio.h>

/* How far a request got with a rule; the farthest allow is the nearest. */
enum reach {
    REACH_HOST,
    REACH_PATH,
    REACH_METHOD,
    REACH_CONDITION,
    REACH_UNREADABLE,
    REACH_ALL
};

static enum reach reach_of(const struct sp_rule *rule, const struct sp_request *request,
                           const char **ret_fault)
{
    *ret_fault = NULL;
    if (!match_host(rule, &request->url)) {
        return REACH_HOST;
    }
    if (!match_path(rule, &request->url)) {
        return REACH_PATH;
    }
    if (!(rule->methods & request->method)) {
        return REACH_METHOD;
    }
    if (!rule->where) {
        return REACH_ALL;
    }
    *ret_fault = match_unreadable(rule, request);
    if (*ret_fault) {
        return REACH_UNREADABLE;
    }
    enum truth truth = match_condition(rule->where, request);
    if (rule->denies) {
        return truth == TRUTH_FALSE ? REACH_CONDITION : REACH_ALL;
    }
    return truth == TRUTH_TRUE ? REACH_ALL : REACH_CONDITION;
}

static void deny_by(const struct sp_rule *rule, const char *fault,
                    const struct sp_request *request, struct sp_verdict *verdict)
{
    verdict->allowed = false;
    verdict->reason = SP_VERDICT_DENY_RULE;
    verdict->rule = rule;
    if (fault) {
        (void)snprintf(verdict->detail, sizeof verdict->detail, "a deny rule fires: %.120s",
                       fault);
    } else if (rule->where && match_condition(rule->where, request) == TRUTH_UNKNOWN) {
        (void)snprintf(verdict->detail, sizeof verdict->detail,
                       "a deny rule fires, as what it reads is absent or of the wrong type");
    } else {
        (void)snprintf(verdict->detail, sizeof verdict->detail, "a deny rule fires");
    }
}

/* Only for a refusal, so its cost is not that of the hot path. */
static void explain_refusal(const struct sp_rule *nearest, enum reach reach, const char *fault,
                            const struct sp_request *request, struct sp_verdict *verdict)
{
    static const enum sp_verdict_reason reasons[] = {SP_VERDICT_HOST, SP_VERDICT_PATH,
                                                     SP_VERDICT_METHOD, SP_VERDICT_CONDITION,
                                                     SP_VERDICT_UNREADABLE};
    char *text = verdict->detail;
    size_t room = sizeof verdict->detail;
    verdict->reason = nearest ? reasons[reach] : SP_VERDICT_HOST;
    verdict->rule = reach >= REACH_METHOD ? nearest : NULL;
    switch ((int)verdict->reason) {
    case SP_VERDICT_HOST:
        (void)snprintf(text, room, "no rule names this host");
        break;
    case SP_VERDICT_PATH:
        (void)snprintf(text, room, "no rule for this host matches the path");
        break;
    case SP_VERDICT_METHOD:
        (void)snprintf(text, room, "the rule is not for %s", sp_method_name(request->method));
        break;
    case SP_VERDICT_CONDITION:
        match_explain_atom(nearest->where, request, text, room);
        break;
    default:
        (void)snprintf(text, room, "%s", fault);
    }
}

void sp_scope_match(const struct sp_scope *scope, const struct sp_request *request,
                    struct sp_verdict *ret_verdict)
{
    const struct sp_rule *nearest = NULL, *allow = NULL;
    const char *nearest_fault = NULL, *fault;
    enum reach nearest_reach = REACH_HOST;
    *ret_verdict = (struct sp_verdict){.allowed = false, .reason = SP_VERDICT_HOST};
    for (size_t i = 0; i < scope->n_rules; i++) {
        const struct sp_rule *rule = scope->rules[i];
        enum reach reach = reach_of(rule, request, &fault);
        if (rule->denies) {
            if (reach == REACH_ALL || reach == REACH_UNREADABLE) {
                deny_by(rule, fault, request, ret_verdict);
                return;
            }
        } else if (reach == REACH_ALL) {
            allow = allow ? allow : rule;
        } else if (!nearest || reach > nearest_reach) {
            nearest = rule;
            nearest_reach = reach;
            nearest_fault = fault;
        }
    }
    if (allow || (scope->is_caveat && !scope->has_allow)) {
        ret_verdict->allowed = true;
        ret_verdict->reason = SP_VERDICT_ALLOWED;
        ret_verdict->rule = allow;
        return;
    }
    explain_refusal(nearest, nearest_reach, nearest_fault, request, ret_verdict);
}

bool sp_scope_wants_body(const struct sp_scope *scope, const struct sp_request *request)
{
    for (size_t i = 0; i < scope->n_rules; i++) {
        const struct sp_rule *rule = scope->rules[i];
        if (rule->reads_body && (rule->methods & request->method) &&
            match_host(rule, &request->url) && match_path(rule, &request->url)) {
            return true;
        }
    }
    return false;
}

void sp_scope_explain(const struct sp_scope *scope, const struct sp_request *request,
                      struct sp_buf *buf)
{
    static const char *const reaches[] = {"another host",     "another path",
                                          "another method",   "condition not met",
                                          "cannot be judged", "MATCHES"};
    struct sp_verdict verdict;
    sp_scope_match(scope, request, &verdict);
    for (size_t i = 0; i < scope->n_rules; i++) {
        const struct sp_rule *rule = scope->rules[i];
        const char *fault;
        char atom[160] = "";
        enum reach reach = reach_of(rule, request, &fault);
        if (reach == REACH_CONDITION && !rule->denies) {
            match_explain_atom(rule->where, request, atom, sizeof atom);
        }
        sp_buf_addf(buf, "%-5s %-16.*s %-17s %s%s\n", rule->denies ? "deny" : "allow",
                    (int)rule->label.len, rule->label.ptr, reaches[reach], fault ? fault : "",
                    atom);
    }
    struct sp_text label = verdict.rule ? verdict.rule->label : SP_TEXT("");
    sp_buf_addf(buf, "verdict: %s%s%.*s%s%s\n", verdict.allowed ? "allowed" : "denied",
                label.len ? verdict.allowed ? " by " : "; nearest or deciding rule: " : "",
                (int)label.len, label.ptr, verdict.detail[0] ? "; " : "", verdict.detail);
}
