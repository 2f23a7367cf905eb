/* Compiling sources, and reading what they declare. */
#include "policy.h"

#include "ast.h"

#include <stdlib.h>

enum { POLICY_MAX_BYTES = 512 << 20, SOURCES_MAX = 4096 };

/* ---- compile --------------------------------------------------------------------------------
 */

struct compiling {
    struct sp_policy *policy;
    const struct sp_world *world;
    struct sp_diags *diags;
    struct sp_text used[SOURCES_MAX]; /* names of files that a `use` has read */
    size_t n_used;
};

static bool parse_source(struct compiling *c, const struct sp_source *source, uint32_t index,
                         unsigned depth);

static void use_failed(struct compiling *c, struct sp_span span, const char *text)
{
    sp_diags_add(c->diags, SP_SEVERITY_ERROR, "E061", span, NULL, "%s", text);
}

/* A used file's own faults are reported at the `use`, since diagnostics point into the sources
 * that the caller knows. */
static bool parse_used(struct compiling *c, const struct uses *uses, size_t i, const char *from,
                       unsigned depth)
{
    struct sp_source source;
    struct sp_error err = {""};
    struct sp_span span = uses->items[i].span;
    if (!c->world || !c->world->read_use) {
        use_failed(c, span, "`use` cannot be followed here");
        return true;
    }
    if (c->world->read_use(c->world->user, from, uses->items[i].name, &source, &err)) {
        use_failed(c, span, err.text);
        return true;
    }
    struct sp_text name = sp_text_of(source.name);
    for (size_t n = 0; n < c->n_used; n++) {
        if (sp_text_eq(c->used[n], name)) {
            return true; /* read already: a second use, or a cycle, adds nothing */
        }
    }
    if (depth == 16 || c->n_used == SOURCES_MAX) {
        use_failed(c, span, "files use each other too deeply, or in a cycle");
        return true;
    }
    c->used[c->n_used++] = name;
    struct sp_diags inner;
    struct sp_diags *outer = c->diags;
    sp_diags_init(&inner);
    c->diags = &inner;
    bool good = parse_source(c, &source, 0, depth + 1);
    c->diags = outer;
    if (inner.n_errors) {
        uint32_t line, column;
        sp_source_position(&source, inner.first->span.start, &line, &column);
        sp_diags_add(outer, SP_SEVERITY_ERROR, inner.first->code, span, inner.first->fix,
                     "%s:%u:%u: %s", source.name, line, column, inner.first->message);
    }
    sp_diags_done(&inner);
    return good;
}

static bool parse_source(struct compiling *c, const struct sp_source *source, uint32_t index,
                         unsigned depth)
{
    struct uses *uses = calloc(1, sizeof *uses);
    struct sp_span start = {index, 0, 0};
    bool good = uses != NULL;
    if (source->text.len > SP_SOURCE_MAX_BYTES) {
        sp_diags_add(c->diags, SP_SEVERITY_ERROR, "E062", start, NULL,
                     "the file is larger than %d bytes", SP_SOURCE_MAX_BYTES);
    } else if (!sp_text_is_utf8(source->text)) {
        sp_diags_add(c->diags, SP_SEVERITY_ERROR, "E062", start, NULL, "the file is not UTF-8");
    } else {
        /* The tree borrows from its source, so a copy of it lives as long as the policy. */
        struct sp_source copy = {source->name, sp_arena_copy(&c->policy->arena, source->text)};
        good = good && copy.text.ptr && ast_parse(c->policy, &copy, index, c->diags, uses);
        for (size_t i = 0; good && i < uses->n; i++) {
            good = parse_used(c, uses, i, source->name, depth);
        }
    }
    free(uses);
    return good;
}

sp_status sp_policy_compile(const struct sp_source *sources, size_t n_sources,
                            const struct sp_world *world, struct sp_diags *diags,
                            struct sp_policy **ret_policy)
{
    struct sp_policy *policy = calloc(1, sizeof *policy);
    struct compiling *compiling = calloc(1, sizeof *compiling);
    bool good = policy && compiling;
    if (good) {
        sp_arena_init(&policy->arena, POLICY_MAX_BYTES);
        *compiling = (struct compiling){.policy = policy, .world = world, .diags = diags};
    }
    for (size_t i = 0; good && i < n_sources; i++) {
        good = parse_source(compiling, &sources[i], (uint32_t)i, 0);
    }
    if (good && diags->n_errors == 0) {
        good = ast_check(policy, world, diags);
    }
    free(compiling);
    if (!good || diags->n_errors || diags->failed) {
        sp_policy_free(policy);
        return !good || diags->failed ? SP_ENOMEM : SP_EINVAL;
    }
    *ret_policy = policy;
    return SP_OK;
}

void sp_policy_free(struct sp_policy *policy)
{
    if (policy) {
        sp_arena_done(&policy->arena);
        free(policy);
    }
}

/* ---- what is declared -----------------------------------------------------------------------
 */

size_t sp_policy_n_scopes(const struct sp_policy *policy)
{
    return policy->n_scopes;
}

const struct sp_scope *sp_policy_scope(const struct sp_policy *policy, size_t i)
{
    return policy->scopes[i];
}

const struct sp_scope *sp_policy_find_scope(const struct sp_policy *policy, struct sp_text name)
{
    for (size_t i = 0; i < policy->n_scopes; i++) {
        if (sp_text_eq(policy->scopes[i]->name, name)) {
            return policy->scopes[i];
        }
    }
    return NULL;
}

size_t sp_policy_n_identities(const struct sp_policy *policy)
{
    return policy->n_identities;
}

const struct sp_identity *sp_policy_identity(const struct sp_policy *policy, size_t i)
{
    return policy->identities[i];
}

struct sp_text sp_scope_name(const struct sp_scope *scope)
{
    return scope->name;
}

size_t sp_scope_n_keys(const struct sp_scope *scope)
{
    return scope->n_keys;
}

struct sp_text sp_scope_key(const struct sp_scope *scope, size_t i)
{
    return scope->key_list[i];
}

uint64_t sp_scope_ttl_ms(const struct sp_scope *scope)
{
    return scope->ttl_ms;
}

uint64_t sp_scope_until_ms(const struct sp_scope *scope)
{
    return scope->until_ms;
}

struct sp_rate sp_scope_rate(const struct sp_scope *scope)
{
    return scope->rate;
}

bool sp_scope_observes(const struct sp_scope *scope)
{
    return scope->observes;
}

size_t sp_scope_n_params(const struct sp_scope *scope)
{
    return scope->n_params;
}

struct sp_text sp_scope_param(const struct sp_scope *scope, size_t i)
{
    return scope->param_list[i];
}

size_t sp_scope_n_rules(const struct sp_scope *scope)
{
    return scope->n_rules;
}

const struct sp_rule *sp_scope_rule(const struct sp_scope *scope, size_t i)
{
    return scope->rules[i];
}

bool sp_rule_denies(const struct sp_rule *rule)
{
    return rule->denies;
}

struct sp_text sp_rule_label(const struct sp_rule *rule)
{
    return rule->label;
}

unsigned sp_rule_methods(const struct sp_rule *rule)
{
    return rule->methods;
}

struct sp_text sp_rule_host(const struct sp_rule *rule)
{
    return rule->url.host;
}

struct sp_rate sp_rule_rate(const struct sp_rule *rule)
{
    return rule->rate;
}

bool sp_scope_reads_header(const struct sp_scope *scope, struct sp_text name)
{
    for (size_t i = 0; i < scope->n_rules; i++) {
        for (size_t r = 0; r < scope->rules[i]->n_reads; r++) {
            const struct field *field = scope->rules[i]->reads[r];
            if (field->source == FIELD_HEADER && sp_text_eq(field->parts[0], name)) {
                return true;
            }
        }
    }
    return false;
}
