#include "policy_changes.h"

#include <string.h>
#include <time.h>

enum { SCOPE_TEXT_MAX_BYTES = 64 << 20 };

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Canonical texts are equal where scopes are. */
static bool is_same(const struct sp_scope *a, const struct sp_scope *b)
{
    struct sp_buf x, y;
    sp_buf_init(&x, SCOPE_TEXT_MAX_BYTES);
    sp_buf_init(&y, SCOPE_TEXT_MAX_BYTES);
    sp_scope_print(a, &x);
    sp_scope_print(b, &y);
    bool same = !x.failed && !y.failed && sp_text_eq(sp_buf_text(&x), sp_buf_text(&y));
    sp_buf_done(&x);
    sp_buf_done(&y);
    return same;
}

static void log_change(const struct sp_scope *old, const struct sp_scope *new, bool in_time,
                       const struct sp_log *log)
{
    struct sp_error why = {"there was no time left to compare it"};
    enum sp_inclusion result = in_time ? sp_scope_widens(old, new, &why) : SP_TOO_HARD;
    struct sp_text name = sp_scope_name(new), text = sp_text_of(why.text);
    switch (result) {
    case SP_INCLUDED:
        SP_LOG(log, SP_LOG_INFO, "policy.narrowed", {"scope", name},
               {"effect", SP_TEXT("it allows nothing that it did not allow before")});
        break;
    case SP_NOT_INCLUDED:
        SP_LOG(log, SP_LOG_WARNING, "policy.widened", {"scope", name}, {"newly", text});
        break;
    case SP_TOO_HARD:
        SP_LOG(log, SP_LOG_WARNING, "policy.changed", {"scope", name}, {"unproved", text});
        break;
    }
}

void sp_policy_log_changes(const struct sp_policy *old, const struct sp_policy *new,
                           const struct sp_log *log)
{
    int64_t until_ms = now_ms() + SP_CHANGES_MAX_MS;
    for (size_t i = 0; old && i < sp_policy_n_scopes(new); i++) {
        const struct sp_scope *scope = sp_policy_scope(new, i);
        const struct sp_scope *before = sp_policy_find_scope(old, sp_scope_name(scope));
        if (!before) {
            SP_LOG(log, SP_LOG_INFO, "policy.scope_added", {"scope", sp_scope_name(scope)});
        } else if (!is_same(before, scope)) {
            log_change(before, scope, now_ms() < until_ms, log);
        }
    }
    for (size_t i = 0; old && i < sp_policy_n_scopes(old); i++) {
        const struct sp_scope *scope = sp_policy_scope(old, i);
        if (!sp_policy_find_scope(new, sp_scope_name(scope))) {
            SP_LOG(log, SP_LOG_INFO, "policy.scope_removed", {"scope", sp_scope_name(scope)});
        }
    }
}
