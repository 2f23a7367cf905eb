/* `scope A narrows B`: a promise that is proved each time the files are compiled. */
#include "check.h"

static void check_one(struct checker *c, const struct sp_scope *scope)
{
    char text[SUGGEST_ROOM];
    const char *fix = NULL;
    struct sp_error why = {""};
    const struct sp_scope *outer = sp_policy_find_scope(c->policy, scope->narrows);
    if (!outer || outer == scope) {
        for (size_t i = 0; i < c->policy->n_scopes && !fix; i++) {
            const struct sp_scope *other = c->policy->scopes[i];
            fix = other == scope ? NULL : suggest(scope->narrows, other->name, text);
        }
        check_error(c, "E170", scope->narrows_span, fix, "there is no other scope",
                    scope->narrows);
        return;
    }
    switch (sp_scope_compare(outer, scope, false, NULL, &why)) {
    case SP_INCLUDED:
        return;
    case SP_NOT_INCLUDED:
        sp_diags_add(c->diags, SP_SEVERITY_ERROR, "E171", scope->narrows_span, NULL,
                     "'%.*s' does not narrow '%.*s': %s", (int)scope->name.len, scope->name.ptr,
                     (int)outer->name.len, outer->name.ptr, why.text);
        return;
    case SP_TOO_HARD:
        sp_diags_add(c->diags, SP_SEVERITY_ERROR, "E172", scope->narrows_span,
                     "state the same conditions in the same words, or fewer of them",
                     "whether '%.*s' narrows '%.*s' is too hard to prove: %s",
                     (int)scope->name.len, scope->name.ptr, (int)outer->name.len,
                     outer->name.ptr, why.text);
        return;
    }
}

void check_narrows(struct checker *c)
{
    for (size_t i = 0; i < c->policy->n_scopes; i++) {
        if (c->policy->scopes[i]->narrows.len > 0) {
            check_one(c, c->policy->scopes[i]);
        }
    }
}
