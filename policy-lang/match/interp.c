/* The naive interpreter: rule by rule. Every other matcher must agree with it. */
#include "match.h"

static bool reads_path(const struct sp_rule *rule)
{
    for (size_t i = 0; i < rule->n_reads; i++) {
        if (rule->reads[i]->source == FIELD_PATH) {
            return true;
        }
    }
    return false;
}

enum reach match_reach(const struct sp_rule *rule, const struct sp_request *request,
                       const char **ret_fault)
{
    *ret_fault = NULL;
    if (!match_host(rule, &request->url)) {
        return REACH_HOST;
    }
    enum path_match path = match_path(rule, &request->url);
    if (path == PATH_NO) {
        return REACH_PATH;
    }
    if (!(rule->methods & request->method)) {
        return REACH_METHOD;
    }
    if (!rule->where) {
        return REACH_ALL;
    }
    *ret_fault = path == PATH_SPLIT && reads_path(rule)
                     ? "an encoded slash hides which segment is which"
                     : match_unreadable(rule, request);
    if (*ret_fault) {
        return REACH_UNREADABLE;
    }
    enum truth truth = match_condition(rule->where, request);
    bool meets = rule->denies ? truth != TRUTH_FALSE : truth == TRUTH_TRUE;
    return meets ? REACH_ALL : REACH_CONDITION;
}

static void deny_by(const struct sp_rule *rule, const char *fault,
                    const struct sp_request *request, struct sp_verdict *verdict)
{
    struct sp_buf text;
    sp_buf_over(&text, verdict->detail, sizeof verdict->detail);
    verdict->reason = SP_VERDICT_DENY_RULE;
    verdict->rule = rule;
    if (rule_is_implied(rule)) {
        sp_buf_add_str(&text,
                       "the provider's catalogue marks this action as escalating: it needs "
                       "a literal allow");
        return;
    }
    sp_buf_add_str(&text, "a deny rule fires");
    if (fault) {
        sp_buf_add_str(&text, ": ");
        sp_buf_add_str(&text, fault);
    } else if (rule->where && match_condition(rule->where, request) == TRUTH_UNKNOWN) {
        sp_buf_add_str(&text, ", as what it reads is absent or of the wrong type");
    }
}

/* Only for a refusal, so its cost is not that of the hot path. */
static void explain_refusal(const char *fault, const struct sp_request *request,
                            struct sp_verdict *verdict)
{
    struct sp_buf text;
    sp_buf_over(&text, verdict->detail, sizeof verdict->detail);
    if (!verdict->rule) {
        sp_buf_add_str(&text, verdict->reason == SP_VERDICT_HOST
                                  ? "no rule names this host"
                                  : "no rule for this host matches the path");
        return;
    }
    switch ((int)verdict->reason) {
    case SP_VERDICT_METHOD:
        sp_buf_add_str(&text, "the rule is not for ");
        sp_buf_add_str(&text, sp_method_name(request->method));
        break;
    case SP_VERDICT_CONDITION:
        match_describe_culprit(verdict->rule->where, request, &text);
        break;
    default:
        sp_buf_add_str(&text, fault);
    }
}

void sp_match_explain(const struct sp_match *match, const struct sp_request *request,
                      struct sp_verdict *ret_verdict)
{
    const char *fault = NULL;
    *ret_verdict = (struct sp_verdict){match->allowed, match->reason, match->rule, ""};
    if (match->allowed || !sp_method_name(request->method)) {
        return;
    }
    if (match->rule) { /* unless no rule is for the host, or none for the path */
        match_reach(match->rule, request, &fault);
    }
    if (match->rule && match->rule->denies) {
        deny_by(match->rule, fault, request, ret_verdict);
    } else {
        explain_refusal(fault, request, ret_verdict);
    }
}

void sp_scope_match(const struct sp_scope *scope, const struct sp_request *request,
                    struct sp_verdict *ret_verdict)
{
    const struct sp_rule *nearest = NULL, *allow = NULL;
    static const enum sp_verdict_reason reasons[] = {SP_VERDICT_HOST, SP_VERDICT_PATH,
                                                     SP_VERDICT_METHOD, SP_VERDICT_CONDITION,
                                                     SP_VERDICT_UNREADABLE};
    const char *nearest_fault = NULL, *fault;
    enum reach nearest_reach = REACH_HOST;
    *ret_verdict = (struct sp_verdict){.allowed = false, .reason = SP_VERDICT_HOST};
    if (!sp_method_name(request->method)) {
        ret_verdict->reason = SP_VERDICT_METHOD;
        return; /* no method, or several: nobody built this request with sp_request_init */
    }
    for (size_t i = 0; i < scope->n_rules; i++) {
        const struct sp_rule *rule = scope->rules[i];
        enum reach reach = match_reach(rule, request, &fault);
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
    ret_verdict->reason = reasons[nearest_reach];
    ret_verdict->rule = nearest_reach >= REACH_METHOD ? nearest : NULL;
    explain_refusal(nearest_fault, request, ret_verdict);
}

bool sp_scope_wants_body(const struct sp_scope *scope, const struct sp_request *request)
{
    for (size_t i = 0; i < scope->n_rules; i++) {
        const struct sp_rule *rule = scope->rules[i];
        if (rule->reads_body && (rule->methods & request->method) &&
            match_host(rule, &request->url) && match_path(rule, &request->url) != PATH_NO) {
            return true;
        }
    }
    return false;
}
