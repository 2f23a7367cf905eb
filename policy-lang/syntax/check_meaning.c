/* What a file says that its author cannot have meant, or that the world does not hold. */
#include "check.h"

enum { PAIRS_MAX = 1000000 }; /* comparisons of rule with rule in one policy */

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

static void check_keys(struct checker *c, struct sp_scope *scope)
{
    if (scope->n_keys == 0) {
        check_error(c, "E120", scope->span, "key KEY-ID", "no key is named by scope",
                    scope->name);
        return;
    }
    for (const struct name *key = scope->keys; key; key = key->next) {
        const struct sp_text *hosts = NULL;
        size_t n = 0;
        for (const struct name *other = scope->keys; other != key; other = other->next) {
            if (sp_text_eq(other->text, key->text)) {
                check_error(c, "E121", key->span, NULL, "named twice: key", key->text);
            }
        }
        if (c->world && c->world->key_hosts &&
            !c->world->key_hosts(c->world->user, key->text, &hosts, &n)) {
            check_error(c, "E122", key->span,
                        "`sallyport key add` registers it, `key list` shows "
                        "those that are",
                        "there is no key", key->text);
        }
    }
    if (!c->world || !c->world->key_hosts) {
        return;
    }
    for (size_t i = 0; i < scope->n_rules; i++) {
        bool all_known;
        if (!host_is_covered(c, scope, scope->rules[i]->url.host, &all_known) && all_known) {
            check_error(c, "E123", scope->rules[i]->url.span,
                        "a key is only ever sent to the hosts it was registered for",
                        "no key of this scope is for host", scope->rules[i]->url.host);
        }
    }
}

/* ---- rules against each other ---------------------------------------------------------------
 */

static void check_labels(struct checker *c, const struct sp_scope *scope, size_t i, size_t j)
{
    const struct sp_rule *a = scope->rules[i], *b = scope->rules[j];
    if (a->labelled && b->labelled && sp_text_eq(a->label, b->label)) {
        check_error(c, "E130", b->label_span, NULL, "there are two rules called", b->label);
    }
}

static void check_pair(struct checker *c, const struct sp_scope *scope, size_t i, size_t j)
{
    const struct sp_rule *outer = scope->rules[i], *inner = scope->rules[j];
    if (outer->denies != inner->denies || outer->where || (inner->methods & ~outer->methods) ||
        !pattern_covers(outer, inner) || (outer->rate.count && !outer->denies) ||
        inner->rate.count) {
        return;
    }
    bool same = j < i && !inner->where && inner->methods == outer->methods &&
                pattern_covers(inner, outer);
    if (!same) { /* of two equal rules only the later one is reported */
        sp_diags_add(c->diags, SP_SEVERITY_WARNING, "W131", inner->span, "remove it",
                     "this rule adds nothing: %.*s covers it", (int)outer->label.len,
                     outer->label.ptr);
    }
}

static void check_useless_deny(struct checker *c, const struct sp_scope *scope,
                               const struct sp_rule *deny)
{
    for (size_t i = 0; i < scope->n_rules; i++) {
        const struct sp_rule *rule = scope->rules[i];
        if (!rule->denies && (rule->methods & deny->methods) && pattern_overlaps(rule, deny)) {
            return;
        }
    }
    check_warning(c, "W132", deny->span, "remove it, or mend its path",
                  "this deny removes nothing: no allow reaches there");
}

/* `body.amount < 5000` lets -1 through, which many an API takes for something else. */
static void check_lower_bound(struct checker *c, const struct condition *condition)
{
    switch ((int)condition->kind) {
    case CONDITION_AND: {
        /* a bound from below in the same conjunction is one */
        const struct condition *sides[] = {condition->left, condition->right};
        for (int i = 0; i < 2; i++) {
            const struct condition *other = sides[1 - i];
            bool bounded = (other->kind == CONDITION_GT || other->kind == CONDITION_GE) &&
                           (sides[i]->kind == CONDITION_LT || sides[i]->kind == CONDITION_LE);
            if (!bounded) {
                check_lower_bound(c, sides[i]);
            }
        }
        break;
    }
    case CONDITION_OR:
        check_lower_bound(c, condition->left);
        check_lower_bound(c, condition->right);
        break;
    case CONDITION_LT:
    case CONDITION_LE:
        check_warning(c, "W133", condition->span, "write a range: in 1..N",
                      "no lower bound: zero and negative numbers pass");
        break;
    case CONDITION_RANGE:
        if (condition->low == INT64_MIN) {
            check_warning(c, "W133", condition->span, "write a range: in 1..N",
                          "no lower bound: zero and negative numbers pass");
        }
        break;
    default:
        break;
    }
}

/* Two demands on one field, in one conjunction, that no value meets. */
static bool contradict(const struct condition *a, const struct condition *b)
{
    if (a->kind == CONDITION_EQ && b->kind == CONDITION_EQ &&
        a->constant.kind == b->constant.kind && a->constant.kind != CONSTANT_PARAM) {
        return a->constant.integer != b->constant.integer ||
               !sp_text_eq(a->constant.text, b->constant.text);
    }
    if (a->kind == CONDITION_RANGE && b->kind == CONDITION_RANGE) {
        return a->high < b->low || b->high < a->low;
    }
    if (a->kind == CONDITION_RANGE && b->kind == CONDITION_EQ &&
        b->constant.kind == CONSTANT_INT) {
        return b->constant.integer < a->low || b->constant.integer > a->high;
    }
    return false;
}

static bool same_field(const struct field *a, const struct field *b)
{
    if (a->source != b->source || a->n_parts != b->n_parts ||
        a->quantifier != QUANTIFIER_NONE || b->quantifier != QUANTIFIER_NONE) {
        return false;
    }
    for (size_t i = 0; i < a->n_parts; i++) {
        if (!sp_text_eq(a->parts[i], b->parts[i])) {
            return false;
        }
    }
    return true;
}

static void check_contradiction(struct checker *c, const struct condition *condition)
{
    const struct condition *atoms[32];
    size_t n = 0;
    const struct condition *at = condition;
    for (; at->kind == CONDITION_AND && n < 31; at = at->left) {
        atoms[n++] = at->right;
    }
    atoms[n++] = at;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            if (i != j && same_field(&atoms[i]->field, &atoms[j]->field) &&
                contradict(atoms[i], atoms[j]) && (i < j || !contradict(atoms[j], atoms[i]))) {
                check_warning(c, "W134", atoms[j]->span, NULL,
                              "no request meets this and the rest of the condition");
            }
        }
    }
}

static void check_rules(struct checker *c, const struct sp_scope *scope, size_t *pairs_left)
{
    for (size_t i = 0; i < scope->n_rules; i++) {
        const struct sp_rule *rule = scope->rules[i];
        if (*pairs_left < scope->n_rules) {
            return; /* a file of thousands of rules is a machine's, and has no such mistakes */
        }
        *pairs_left -= scope->n_rules;
        for (size_t j = 0; j < scope->n_rules; j++) {
            if (i < j) {
                check_labels(c, scope, i, j);
            }
            if (i != j) {
                check_pair(c, scope, i, j);
            }
        }
        if (rule->denies) {
            check_useless_deny(c, scope, rule);
        } else if (rule->where) {
            check_lower_bound(c, rule->where);
        }
        if (rule->where) {
            check_contradiction(c, rule->where);
        }
    }
}

/* ---- scopes, identities ---------------------------------------------------------------------
 */

static void check_scope(struct checker *c, struct sp_scope *scope, size_t *pairs_left)
{
    check_keys(c, scope);
    if (!scope->has_ttl) {
        check_warning(c, "W140", scope->span, "ttl 1h", "no ttl: the host's default applies");
    }
    if (!scope->has_allow) {
        check_warning(c, "W141", scope->span, "allow GET https://…",
                      "no allow rule: this scope lets nothing through");
    }
    if (scope->observes) {
        check_warning(c, "W142", scope->span, "remove `mode observe` once the rules are right",
                      "this scope only observes: what it would deny is let through");
    }
    for (const struct name *param = scope->params; param; param = param->next) {
        if (!param->used) {
            sp_diags_add(c->diags, SP_SEVERITY_WARNING, "W143", param->span,
                         "use it in a path as {name}, or in a condition",
                         "parameter '%.*s' is not used", (int)param->text.len, param->text.ptr);
        }
        for (const struct name *other = param->next; other; other = other->next) {
            if (sp_text_eq(param->text, other->text)) {
                check_error(c, "E144", other->span, NULL, "there are two parameters called",
                            other->text);
            }
        }
    }
    for (const struct sp_scope *other = scope->next; other; other = other->next) {
        if (sp_text_eq(scope->name, other->name)) {
            check_error(c, "E145", other->span, NULL, "there is another scope called",
                        other->name);
        }
    }
    check_rules(c, scope, pairs_left);
}

/* Z85 (ZeroMQ RFC 32): groups of five characters, each group below 2^32. */
static bool is_z85(const char text[40])
{
    static const char alphabet[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    for (size_t i = 0; i < 40; i += 5) {
        uint64_t group = 0;
        for (size_t j = i; j < i + 5; j++) {
            const char *found = text[j] ? strchr(alphabet, text[j]) : NULL;
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
    char text[120];
    const char *fix = NULL;
    const struct sp_scope *scope = sp_policy_find_scope(c->policy, grant->scope);
    if (!scope) {
        for (size_t i = 0; i < c->policy->n_scopes && !fix; i++) {
            fix = check_suggest(grant->scope, c->policy->scopes[i]->name, text);
        }
        check_error(c, "E150", span, fix, "there is no scope", grant->scope);
        return;
    }
    for (size_t i = 0; i < scope->n_params; i++) {
        if (!find_arg(grant, scope->param_list[i])) {
            check_error(c, "E151", span, "say \"value\", or * for any",
                        "the grant does not say which values it permits for",
                        scope->param_list[i]);
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
    for (const struct identity *other = identity->next; other; other = other->next) {
        if (sp_text_eq(public->name, other->public.name)) {
            check_error(c, "E155", other->span, NULL, "there is another client called",
                        other->public.name);
        }
        if (public->curve[0] && strcmp(public->curve, other->public.curve) == 0) {
            check_error(c, "E156", other->curve_span, "make one key for each client",
                        "the same CURVE key as", public->name);
        }
    }
    for (size_t i = 0; i < public->n_grants; i++) {
        check_grant(c, &public->grants[i], identity->grant_spans[i]);
    }
}

/* ---- expectations ---------------------------------------------------------------------------
 */

static void expectation_failed(struct checker *c, const struct expectation *e,
                               const struct sp_verdict *v)
{
    struct sp_text label = v->rule ? sp_rule_label(v->rule) : SP_TEXT("no rule");
    sp_diags_add(c->diags, SP_SEVERITY_ERROR, "E160", e->span, NULL,
                 "expected %s, but it is %s (%.*s)%s%s", e->allow ? "allow" : "deny",
                 v->allowed ? "allowed" : "denied", (int)label.len, label.ptr,
                 v->detail[0] ? ": " : "", v->detail);
}

static void run_expectation(struct checker *c, const struct sp_scope *scope,
                            const struct expectation *e, struct sp_arena *arena)
{
    struct sp_request request;
    struct sp_error err = {""};
    struct sp_scope *frozen = NULL;
    struct sp_verdict verdict;
    if (sp_request_init(arena, e->method, e->url, &request, &err)) {
        /* What the canonical form refuses is denied, too. */
        if (e->allow) {
            sp_diags_add(c->diags, SP_SEVERITY_ERROR, "E160", e->span, NULL,
                         "expected allow, but the request is refused: %s", err.text);
        }
        return;
    }
    request.body_kind = e->body_kind;
    request.body_value = e->body;
    request.headers = e->headers;
    request.n_headers = e->n_headers;
    if (sp_scope_freeze(scope, e->args, e->n_args, &frozen, &err)) {
        sp_diags_add(c->diags, SP_SEVERITY_ERROR, "E161", e->span,
                     "expect allow given (name = \"value\") …", "%s", err.text);
        return;
    }
    sp_scope_match(frozen, &request, &verdict);
    if (verdict.allowed != e->allow ||
        (e->rule.len && (!verdict.rule || !sp_text_eq(e->rule, sp_rule_label(verdict.rule))))) {
        expectation_failed(c, e, &verdict);
    }
    sp_scope_free(frozen);
}

static void run_expectations(struct checker *c)
{
    struct sp_arena arena;
    sp_arena_init(&arena, 4 << 20);
    for (size_t i = 0; i < c->policy->n_scopes; i++) {
        const struct sp_scope *scope = c->policy->scopes[i];
        for (const struct expectation *e = scope->expectations; e; e = e->next) {
            run_expectation(c, scope, e, &arena);
            sp_arena_reset(&arena);
        }
    }
    sp_arena_done(&arena);
}

void check_meaning(struct checker *c)
{
    size_t pairs_left = PAIRS_MAX;
    for (struct sp_scope *scope = c->policy->first_scope; scope; scope = scope->next) {
        check_scope(c, scope, &pairs_left);
    }
    for (const struct let *let = c->policy->lets; let; let = let->next) {
        if (!let->name.used) {
            check_warning(c, "W146", let->name.span, "remove it", "this set is not used");
        }
    }
    for (const struct identity *i = c->policy->first_identity; i; i = i->next) {
        check_identity(c, i);
    }
    if (c->diags->n_errors == 0) {
        run_expectations(c);
    }
}
