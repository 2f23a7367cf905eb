/* What a file says about the world: keys and their hosts, clients, and who may issue what. */
#include "check.h"

#include <stdlib.h>

/* ---- keys and hosts -------------------------------------------------------------------------
 */

/* Whether some key of the scope is fixed to that host. Unknown keys were reported before. */
static bool host_is_covered(struct checker *c, const struct sp_scope *scope,
                            struct sp_text host, bool *ret_all_known)
{
    bool covered = false;
    *ret_all_known = true;
    for (size_t i = 0; i < scope->n_keys; i++) {
        const struct sp_text *hosts = NULL;
        size_t n = 0;
        if (!c->world->key_hosts(c->world->user, scope->key_list[i], &hosts, &n)) {
            *ret_all_known = false;
            continue;
        }
        for (size_t h = 0; h < n; h++) {
            covered = covered || sp_text_eq(hosts[h], host);
        }
    }
    return covered;
}

/* Keys that are unknown were reported before. */
static void check_insists(struct checker *c, const struct sp_scope *scope,
                          const struct name *key)
{
    for (const struct insist *insist = scope->insists; insist; insist = insist->next) {
        struct sp_text value = SP_TEXT("");
        bool has = c->world->key_setting(c->world->user, key->text, insist->name, &value);
        if (!has || !sp_text_eq(value, insist->value)) {
            sp_diags_add(c->diags,
                         c->world->hold_insists ? SP_SEVERITY_WARNING : SP_SEVERITY_ERROR,
                         "E124", insist->span,
                         "name another key; `sallyport key show` shows its settings",
                         "key %.*s has %.*s %.*s", (int)key->text.len, key->text.ptr,
                         has ? (int)insist->name.len : 2, has ? insist->name.ptr : "no",
                         has ? (int)value.len : (int)insist->name.len,
                         has ? value.ptr : insist->name.ptr);
        }
    }
}

/* One field of another takes nothing more out: its author means something else. */
static void check_redactions(struct checker *c, const struct sp_scope *scope)
{
    struct sp_buf name, other;
    char rooms[2][160];
    for (size_t i = 0; i < scope->n_redactions; i++) {
        for (size_t j = 0; j < scope->n_redactions; j++) {
            const struct redaction *one = &scope->redactions[i], *by = &scope->redactions[j];
            bool both = sp_redaction_covered(&by->public, &one->public);
            if (i == j || !sp_redaction_covered(&one->public, &by->public) || (both && i < j)) {
                continue;
            }
            sp_buf_over(&name, rooms[0], sizeof rooms[0]);
            sp_buf_over(&other, rooms[1], sizeof rooms[1]);
            sp_redaction_print(&one->public, &name);
            sp_redaction_print(&by->public, &other);
            sp_diags_add(c->diags, SP_SEVERITY_ERROR, "E126", one->span, "keep one of them",
                         "%.*s is taken out already, by %.*s", (int)name.len, name.ptr,
                         (int)other.len, other.ptr);
            break;
        }
    }
}

static void check_insists_once(struct checker *c, const struct sp_scope *scope)
{
    for (const struct insist *one = scope->insists; one; one = one->next) {
        for (const struct insist *other = one->next; other; other = other->next) {
            if (sp_text_eq(one->name, other->name)) {
                check_error(c, "E125", other->span, "keep one of them",
                            "the scope insists twice on", one->name);
            }
        }
    }
}

static void check_keys(struct checker *c, const struct sp_scope *scope)
{
    check_insists_once(c, scope);
    check_redactions(c, scope);
    if (scope->n_keys == 0) {
        check_error(c, "E120", scope->span, "key KEY-ID", "no key is named by scope",
                    scope->name);
        return;
    }
    if (!c->world || !c->world->key_hosts) {
        return;
    }
    for (const struct name *key = scope->keys; key; key = key->next) {
        const struct sp_text *hosts = NULL;
        size_t n = 0;
        if (!c->world->key_hosts(c->world->user, key->text, &hosts, &n)) {
            check_error(c, "E122", key->span,
                        "`sallyport key add` registers it, `key list` shows those that are",
                        "there is no key", key->text);
        } else if (c->world->key_setting) {
            check_insists(c, scope, key);
        }
    }
    for (size_t i = 0; i < scope->n_rules; i++) {
        bool all_known;
        if (scope->rules[i]->url.host.len == 0) {
            continue; /* a `let` that is not there: reported before */
        }
        if (!host_is_covered(c, scope, scope->rules[i]->url.host, &all_known) && all_known) {
            check_error(c, "E123", scope->rules[i]->url.span,
                        "a key is only ever sent to the hosts it was registered for",
                        "no key of this scope is for host", scope->rules[i]->url.host);
        }
    }
}

/* ---- clients and principals ----------------------------------------------------------------
 */

/* Z85 (ZeroMQ RFC 32): groups of five characters, each group below 2^32. */
static bool is_z85(const char text[40])
{
    static const char alphabet[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    for (size_t i = 0; i < 40; i += 5) {
        uint64_t group = 0;
        for (size_t j = i; j < i + 5; j++) {
            const char *found = memchr(alphabet, text[j], sizeof alphabet - 1);
            if (!found) {
                return false;
            }
            group = group * 85 + (uint64_t)(found - alphabet);
        }
        if (group > UINT32_MAX) {
            return false;
        }
    }
    return true;
}

static const struct sp_arg_grant *find_arg(const struct sp_may_issue *grant,
                                           struct sp_text name)
{
    for (size_t i = 0; i < grant->n_args; i++) {
        if (sp_text_eq(grant->args[i].name, name)) {
            return &grant->args[i];
        }
    }
    return NULL;
}

static void check_grant(struct checker *c, const struct sp_may_issue *grant,
                        struct sp_span span)
{
    char text[SUGGEST_ROOM];
    const char *fix = NULL;
    const struct sp_scope *scope = sp_policy_find_scope(c->policy, grant->scope);
    if (!scope) {
        for (size_t i = 0; i < c->policy->n_scopes && !fix; i++) {
            fix = suggest(grant->scope, c->policy->scopes[i]->name, text);
        }
        check_error(c, "E150", span, fix, "there is no scope", grant->scope);
        return;
    }
    for (size_t i = 0; i < scope->n_params; i++) {
        const struct sp_arg_grant *given = find_arg(grant, scope->param_list[i]);
        struct sp_error why = {""};
        if (!given) {
            check_error(c, "E151", span, "say \"value\", or * for any",
                        "the grant does not say which values it permits for",
                        scope->param_list[i]);
            continue;
        }
        const struct sp_arg arg = {given->name, given->value};
        sp_status status = given->any ? SP_OK : ast_check_argument(scope, &arg, &why);
        c->out_of_memory = c->out_of_memory || status == SP_ENOMEM;
        if (status) {
            sp_diags_add(c->diags, SP_SEVERITY_ERROR, "E151", span, NULL, "%s", why.text);
        }
    }
    if (grant->n_args > scope->n_params) {
        check_error(c, "E151", span, NULL, "more arguments than parameters for scope",
                    grant->scope);
    }
    if (scope->has_ttl && grant->ttl_ms > scope->ttl_ms) {
        check_error(c, "E152", span, "shorten it", "longer than the ttl of scope",
                    grant->scope);
    }
}

static void check_identity(struct checker *c, const struct identity *identity)
{
    const struct sp_identity *public = &identity->public;
    if (!public->curve[0]) {
        check_error(c, "E153", identity->span, "curve \"…\"", "no CURVE key for", public->name);
    } else if (!is_z85(public->curve)) {
        sp_diags_add(c->diags, SP_SEVERITY_ERROR, "E154", identity->curve_span,
                     "`sallyport client keygen FILE` prints one", "this is no Z85 key");
    }
    for (size_t i = 0; i < public->n_grants; i++) {
        check_grant(c, &public->grants[i], identity->grant_spans[i]);
    }
}

static void check_identities(struct checker *c)
{
    size_t n = 0, n_curves = 0;
    struct unique *names = unique_new(c, c->policy->n_identities);
    struct unique *curves = unique_new(c, c->policy->n_identities);
    const struct identity *i = names && curves ? c->policy->first_identity : NULL;
    for (; i; i = i->next) {
        check_identity(c, i);
        names[n++] = (struct unique){i->public.name, i->span};
        if (i->public.curve[0]) {
            curves[n_curves++] = (struct unique){{i->public.curve, 40}, i->curve_span};
        }
    }
    check_unique(c, names, n, "E155", NULL, "there is another client or principal called");
    check_unique(c, curves, n_curves, "E156", "make one key for each client",
                 "two clients have the CURVE key");
    free(names);
    free(curves);
}

void check_world(struct checker *c)
{
    for (size_t i = 0; i < c->policy->n_scopes; i++) {
        check_keys(c, c->policy->scopes[i]);
    }
    check_identities(c);
}
