/* Scopes that stand on their own: frozen with arguments, parsed from canonical text, caveats,
 * the JSON form. Each owns the arena that it lies in. */
#include "ast.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

enum { SCOPE_MAX_BYTES = 512 << 20, ARGUMENT_MAX_BYTES = 1024 };

/* A policy around an arena that outlives it: what the parser works in. */
struct shell {
    struct sp_policy policy;
    struct sp_diags diags;
};

static struct shell *shell_new(void)
{
    struct shell *shell = calloc(1, sizeof *shell);
    if (shell) {
        sp_arena_init(&shell->policy.arena, SCOPE_MAX_BYTES);
        sp_diags_init(&shell->diags);
    }
    return shell;
}

static void shell_free(struct shell *shell)
{
    if (shell) {
        sp_arena_done(&shell->policy.arena);
        sp_diags_done(&shell->diags);
        free(shell);
    }
}

/* The scope takes the shell's arena with it. */
static sp_status shell_release(struct shell *shell, struct sp_scope *scope,
                               struct sp_scope **ret_scope)
{
    scope->owned = malloc(sizeof *scope->owned);
    if (!scope->owned) {
        shell_free(shell);
        return SP_ENOMEM;
    }
    *scope->owned = shell->policy.arena;
    sp_diags_done(&shell->diags);
    free(shell);
    *ret_scope = scope;
    return SP_OK;
}

void sp_scope_free(struct sp_scope *scope)
{
    if (scope) {
        struct sp_arena *owned = scope->owned;
        sp_arena_done(owned);
        free(owned);
    }
}

/* Why there is no scope. Where memory ran out (good is false) a diagnostic may be a
 * consequence.
 */
static sp_status first_fault(const struct shell *shell, bool good, struct sp_error *err)
{
    const struct sp_diag *diag = shell ? shell->diags.first : NULL;
    return good && diag
               ? sp_fail(err, SP_EINVAL, "at byte %u: %s%s%s", diag->span.start, diag->message,
                         diag->fix ? "; " : "", diag->fix ? diag->fix : "")
               : sp_fail(err, SP_ENOMEM, "out of memory");
}

/* ---- parse ----------------------------------------------------------------------------------
 */

sp_status sp_scope_parse(struct sp_text canonical, struct sp_scope **ret_scope,
                         struct sp_error *err)
{
    if (canonical.len > SP_SOURCE_MAX_BYTES || !sp_text_is_utf8(canonical)) {
        return sp_fail(err, SP_EINVAL, "is no scope's text");
    }
    struct shell *shell = shell_new();
    struct uses *uses = calloc(1, sizeof *uses);
    struct sp_source source = {"scope", SP_TEXT("")};
    /* The tree borrows from its source, so the source lies in the same arena. */
    if (shell) {
        source.text = sp_arena_copy(&shell->policy.arena, canonical);
    }
    bool good = shell && source.text.ptr && uses &&
                ast_parse(&shell->policy, &source, 0, &shell->diags, uses);
    struct sp_scope *scope = good ? shell->policy.first_scope : NULL;
    sp_status status = SP_OK;
    if (good && shell->diags.n_errors == 0 &&
        (shell->policy.n_scopes != 1 || shell->policy.n_identities || shell->policy.lets ||
         uses->n || scope->n_params)) {
        status = sp_fail(err, SP_EINVAL, "is not one scope without parameters");
    } else {
        good = good && (shell->diags.n_errors > 0 ||
                        ast_finish_scope(&shell->policy, scope, &shell->diags));
        if (!good || shell->diags.n_errors) {
            status = first_fault(shell, good, err);
        }
    }
    free(uses);
    if (status) {
        shell_free(shell);
        return status;
    }
    assert(scope); /* there is one */
    return shell_release(shell, scope, ret_scope);
}

/* The scope that was printed to text. */
static sp_status parse_printed(const struct sp_buf *text, struct sp_scope **ret_scope,
                               struct sp_error *err)
{
    if (text->out_of_memory) {
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    return text->failed ? sp_fail(err, SP_ETOOBIG, "the scope is too large")
                        : sp_scope_parse(sp_buf_text(text), ret_scope, err);
}

sp_status sp_caveat_parse(struct sp_text text, struct sp_scope **ret_scope,
                          struct sp_error *err)
{
    if (text.len == 0 || text.len > SP_CAVEAT_MAX_BYTES || !sp_text_is_utf8(text)) {
        return sp_fail(err, SP_EINVAL, "a caveat is 1 to %d bytes of UTF-8",
                       SP_CAVEAT_MAX_BYTES);
    }
    struct shell *shell = shell_new();
    struct sp_source source = {"caveat", SP_TEXT("")};
    struct sp_scope *scope = NULL;
    if (shell) {
        source.text = sp_arena_copy(&shell->policy.arena, text);
    }
    bool good =
        shell && source.text.ptr &&
        ast_parse_caveat(&shell->policy, &source, &shell->diags, &scope) &&
        (shell->diags.n_errors > 0 || ast_finish_scope(&shell->policy, scope, &shell->diags));
    if (!good || shell->diags.n_errors) {
        sp_status status = first_fault(shell, good, err);
        shell_free(shell);
        return status;
    }
    assert(scope); /* the parser made it, or said why not */
    scope->name = SP_TEXT("caveat");
    scope->is_caveat = true;
    return shell_release(shell, scope, ret_scope);
}

/* ---- freeze ---------------------------------------------------------------------------------
 */

struct freezing {
    struct sp_arena *arena;
    const struct sp_arg *args;
    size_t n_args;
    bool out_of_memory;
};

static struct sp_text argument(const struct freezing *f, struct sp_text name)
{
    size_t i = 0;
    while (!sp_text_eq(f->args[i].name, name)) {
        i++;
        assert(i < f->n_args); /* every parameter has an argument: checked before */
    }
    return f->args[i].value;
}

static void freeze_constants(const struct freezing *f, struct constant *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (items[i].kind == CONSTANT_PARAM) {
            items[i].text = argument(f, items[i].text);
            items[i].kind = CONSTANT_STRING;
        }
    }
}

static struct condition *freeze_condition(struct freezing *f, const struct condition *c)
{
    struct condition *copy = sp_arena_alloc(f->arena, sizeof *copy);
    if (!copy) {
        f->out_of_memory = true;
        return NULL;
    }
    *copy = *c;
    if (c->left) {
        copy->left = freeze_condition(f, c->left);
    }
    if (c->right) {
        copy->right = freeze_condition(f, c->right);
    }
    freeze_constants(f, &copy->constant, 1);
    if (c->n_set) {
        copy->set = sp_arena_array(f->arena, c->n_set, sizeof *copy->set);
        if (!copy->set) {
            f->out_of_memory = true;
            return NULL;
        }
        memcpy(copy->set, c->set, c->n_set * sizeof *c->set);
        freeze_constants(f, copy->set, copy->n_set);
    }
    copy->let_name = (struct sp_text){NULL, 0};
    return copy;
}

static struct sp_rule *freeze_rule(struct freezing *f, const struct sp_rule *rule)
{
    struct sp_rule *copy = sp_arena_alloc(f->arena, sizeof *copy);
    struct segment *segments = sp_arena_array(f->arena, rule->url.n_segments, sizeof *segments);
    if (!copy || !segments) {
        f->out_of_memory = true;
        return NULL;
    }
    *copy = *rule;
    copy->next = NULL;
    for (size_t i = 0; i < rule->url.n_segments; i++) {
        segments[i] = rule->url.segments[i];
        if (segments[i].kind == SEGMENT_PARAM) {
            segments[i].text = argument(f, segments[i].text);
            segments[i].kind = SEGMENT_LITERAL;
        }
    }
    copy->url.segments = segments;
    copy->where = rule->where ? freeze_condition(f, rule->where) : NULL;
    return copy;
}

static bool is_segment_param(const struct sp_scope *scope, struct sp_text name)
{
    for (size_t i = 0; i < scope->n_rules; i++) {
        const struct url_pattern *url = &scope->rules[i]->url;
        for (size_t s = 0; s < url->n_segments; s++) {
            if (url->segments[s].kind == SEGMENT_PARAM &&
                sp_text_eq(url->segments[s].text, name)) {
                return true;
            }
        }
    }
    return false;
}

/* As a segment an argument must be one that a request can have: data of one segment, whatever
 * the bytes mean elsewhere. */
sp_status ast_check_argument(const struct sp_scope *scope, const struct sp_arg *arg,
                             struct sp_error *err)
{
    struct sp_text v = arg->value;
    int name_len = (int)arg->name.len;
    if (v.len == 0 || v.len > ARGUMENT_MAX_BYTES || !sp_text_is_utf8(v)) {
        return sp_fail(err, SP_EINVAL, "argument %.*s must be 1 to %d bytes of UTF-8", name_len,
                       arg->name.ptr, ARGUMENT_MAX_BYTES);
    }
    if (!is_segment_param(scope, arg->name)) {
        return memchr(v.ptr, '\0', v.len)
                   ? sp_fail(err, SP_EINVAL, "argument %.*s holds NUL", name_len, arg->name.ptr)
                   : SP_OK;
    }
    struct sp_arena arena;
    struct sp_url url;
    struct sp_buf text;
    struct sp_error why = {""};
    sp_arena_init(&arena, 1 << 20);
    sp_buf_init(&text, SP_URL_MAX_BYTES);
    sp_buf_add_str(&text, "https://h/");
    for (size_t i = 0; i < v.len; i++) {
        sp_buf_addf(&text, "%%%02X", (unsigned char)v.ptr[i]);
    }
    sp_status status =
        text.failed ? SP_ENOMEM : sp_url_parse(&arena, sp_buf_text(&text), &url, &why);
    bool good = status == SP_OK && !url.segments[0].has_slash;
    sp_buf_done(&text);
    sp_arena_done(&arena);
    if (status == SP_ENOMEM) {
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    return good ? SP_OK
                : sp_fail(err, SP_EINVAL, "argument %.*s can be no path segment%s%s", name_len,
                          arg->name.ptr, *why.text ? ": " : ": it holds a slash", why.text);
}

static sp_status check_arguments(const struct sp_scope *scope, const struct sp_arg *args,
                                 size_t n_args, struct sp_error *err)
{
    for (size_t p = 0; p < scope->n_params; p++) {
        size_t found = 0;
        for (size_t i = 0; i < n_args; i++) {
            found += sp_text_eq(args[i].name, scope->param_list[p]);
        }
        if (found != 1) {
            return sp_fail(err, SP_EINVAL, "parameter %.*s needs one argument",
                           (int)scope->param_list[p].len, scope->param_list[p].ptr);
        }
    }
    if (n_args > scope->n_params) {
        return sp_fail(err, SP_EINVAL, "there are more arguments than parameters");
    }
    for (size_t i = 0; i < n_args; i++) {
        sp_status status = ast_check_argument(scope, &args[i], err);
        if (status) {
            return status;
        }
    }
    return SP_OK;
}

/* The copy is printed and parsed again: so it owns all its bytes, its sets are sorted with the
 * arguments in them, and it is exactly what a grant will give back. */
sp_status sp_scope_freeze(const struct sp_scope *scope, const struct sp_arg *args,
                          size_t n_args, struct sp_scope **ret_frozen, struct sp_error *err)
{
    sp_status status = check_arguments(scope, args, n_args, err);
    if (status) {
        return status;
    }
    struct sp_arena arena;
    struct sp_buf text;
    sp_arena_init(&arena, SCOPE_MAX_BYTES);
    sp_buf_init(&text, SP_SOURCE_MAX_BYTES);
    struct freezing f = {.arena = &arena, .args = args, .n_args = n_args};
    struct sp_scope copy = *scope;
    const struct sp_rule **rules = sp_arena_array(&arena, scope->n_rules, sizeof *rules);
    for (size_t i = 0; rules && i < scope->n_rules; i++) {
        rules[i] = freeze_rule(&f, scope->rules[i]);
    }
    copy.rules = rules;
    copy.n_params = 0;
    if (!rules || f.out_of_memory) {
        status = sp_fail(err, SP_ENOMEM, "out of memory");
    } else {
        sp_scope_print(&copy, &text);
        status = parse_printed(&text, ret_frozen, err);
    }
    sp_buf_done(&text);
    sp_arena_done(&arena);
    return status;
}

/* Hosts are printed as they stand, so each must be what the canonicaliser makes of it. */
static sp_status check_hosts(const struct sp_text *hosts, size_t n_hosts, struct sp_error *err)
{
    struct sp_arena arena;
    sp_status status = SP_OK;
    sp_arena_init(&arena, 1 << 20);
    for (size_t i = 0; i < n_hosts && !status; i++) {
        struct sp_text host;
        status = sp_host_parse(&arena, hosts[i], &host, err);
        if (!status && !sp_text_eq(host, hosts[i])) {
            status = sp_fail(err, SP_EINVAL, "a host is not in canonical form");
        }
        sp_arena_reset(&arena);
    }
    sp_arena_done(&arena);
    return status;
}

/* The denies that the policy's catalogues imply for these keys; counted where list is NULL. */
static size_t implied(const struct sp_policy *policy, const struct sp_text *keys, size_t n_keys,
                      const struct sp_rule **list)
{
    size_t n = 0;
    for (const struct guard_set *set = policy ? policy->guard_sets : NULL; set;
         set = set->next) {
        bool ours = false;
        for (const struct guard *at = policy->guards; at && !ours; at = at->next) {
            for (size_t i = 0; i < n_keys && !ours; i++) {
                ours = at->set == set && sp_text_eq(at->key, keys[i]);
            }
        }
        for (size_t i = 0; ours && i < set->n_rules; i++, n++) {
            if (list) {
                list[n] = set->rules[i];
            }
        }
    }
    return n;
}

sp_status sp_scope_of_domains(const struct sp_policy *policy, struct sp_text name,
                              const struct sp_text *keys, size_t n_keys, unsigned methods,
                              const struct sp_text *hosts, size_t n_hosts, uint32_t per_minute,
                              uint64_t ttl_ms, struct sp_scope **ret_scope,
                              struct sp_error *err)
{
    if (n_keys == 0 || n_hosts == 0 || methods == 0 || methods > SP_METHOD_ALL) {
        return sp_fail(err, SP_EINVAL, "keys, domains and methods must not be empty");
    }
    sp_status host_status = check_hosts(hosts, n_hosts, err);
    if (host_status) {
        return host_status;
    }
    struct segment rest = {.kind = SEGMENT_REST};
    struct sp_rule *rules = calloc(n_hosts, sizeof *rules);
    size_t n_rules = n_hosts + implied(policy, keys, n_keys, NULL);
    const struct sp_rule **list = calloc(n_rules, sizeof *list);
    struct sp_buf text;
    sp_buf_init(&text, SP_SOURCE_MAX_BYTES);
    sp_status status = rules && list ? SP_OK : sp_fail(err, SP_ENOMEM, "out of memory");
    if (!status) {
        for (size_t i = 0; i < n_hosts; i++) {
            rules[i] = (struct sp_rule){.methods = methods,
                                        .url = {.https = true,
                                                .host = hosts[i],
                                                .port = 443,
                                                .segments = &rest,
                                                .n_segments = 1}};
            list[i] = &rules[i];
        }
        (void)implied(policy, keys, n_keys, list + n_hosts);
        struct sp_scope scope = {.name = name,
                                 .key_list = (struct sp_text *)(uintptr_t)keys,
                                 .n_keys = n_keys,
                                 .ttl_ms = ttl_ms,
                                 .has_ttl = ttl_ms > 0,
                                 .rate = {per_minute, per_minute ? 60000 : 0, 0},
                                 .rules = list,
                                 .n_rules = n_rules};
        sp_scope_print(&scope, &text);
        status = parse_printed(&text, ret_scope, err);
    }
    sp_buf_done(&text);
    free(rules);
    free((void *)list);
    return status;
}
