#include "policy_changes.h"

enum { STEPS_MAX = 5000000 };

bool sp_policy_changes_find(const struct sp_policy *old, const struct sp_policy *new,
                            struct sp_policy_changes *ret_changes)
{
    return old && sp_policy_compare(old, new, STEPS_MAX, ret_changes) == SP_OK;
}

void sp_policy_changes_log(const struct sp_log *log, const struct sp_policy_changes *changes)
{
    static const struct {
        enum sp_log_level level;
        const char *words;
    } fates[] = {
        [SP_SCOPE_ADDED] = {SP_LOG_INFO, "new"},
        [SP_SCOPE_REMOVED] = {SP_LOG_INFO, "removed"},
        [SP_SCOPE_WIDER] = {SP_LOG_WARNING, "newly allows"},
        [SP_SCOPE_NARROWER] = {SP_LOG_INFO, "narrower"},
        [SP_SCOPE_EQUAL] = {SP_LOG_INFO, "equal"},
        [SP_SCOPE_TOO_HARD] = {SP_LOG_WARNING, "too hard to tell"},
    };
    for (size_t i = 0; i < changes->n; i++) {
        const struct sp_scope_change *change = &changes->items[i];
        struct sp_text shown = change->request.len ? change->request : change->why;
        if (shown.len) {
            SP_LOG(log, fates[change->fate].level, "policy.scope", {"scope", change->scope},
                   {"change", sp_text_of(fates[change->fate].words)},
                   {change->request.len ? "request" : "why", shown});
        } else {
            SP_LOG(log, fates[change->fate].level, "policy.scope", {"scope", change->scope},
                   {"change", sp_text_of(fates[change->fate].words)});
        }
    }
}
