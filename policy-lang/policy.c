/* Compiling sources, and reading what they declare. */
#include "policy.h"

#include "ast.h"

#include <stdio.h>
#include <stdlib.h>

enum { POLICY_MAX_BYTES = 512 << 20, SOURCES_MAX = 4096, USE_DEPTH_MAX = 16 };

/* ---- compile --------------------------------------------------------------------------------
 */

/* A source, given by the caller or read for a `use`. */
struct file {
    struct sp_source source;
    struct sp_span used_at; /* of a file that was not given: the `use` that first named it */
    enum { FILE_NEW, FILE_OPEN, FILE_DONE } state; /* OPEN: it or a file it uses is read now */
};

struct compiling {
    struct sp_policy *policy;
    const struct sp_world *world;
    struct sp_diags *diags;
    struct file *files; /* SOURCES_MAX; the given ones first */
    size_t n_files, n_given;
};

static bool parse_file(struct compiling *c, size_t index, unsigned depth);

static bool use_failed(struct compiling *c, struct sp_span span, const char *code,
                       const char *text)
{
    sp_diags_add(c->diags, SP_SEVERITY_ERROR, code, span, NULL, "%s", text);
    return true;
}

static struct file *file_find(struct compiling *c, const char *name)
{
    for (size_t i = 0; i < c->n_files; i++) {
        if (strcmp(c->files[i].source.name, name) == 0) {
            return &c->files[i];
        }
    }
    return NULL;
}

/* Follow one `use`. A file is read once, however often it is used. */
static bool follow(struct compiling *c, const char *from, struct sp_text name,
                   struct sp_span span, unsigned depth)
{
    struct sp_source source;
    struct sp_error err = {""};
    if (!c->world || !c->world->read_use) {
        return use_failed(c, span, "E061", "`use` cannot be followed here");
    }
    if (c->world->read_use(c->world->user, from, name, &source, &err)) {
        return use_failed(c, span, "E061", err.text);
    }
    struct file *file = file_find(c, source.name);
    if (file && file->state == FILE_OPEN) {
        return use_failed(c, span, "E063", "files use each other in a cycle");
    }
    if (file && file->state == FILE_DONE) {
        return true;
    }
    if (depth == USE_DEPTH_MAX || (!file && c->n_files == SOURCES_MAX)) {
        return use_failed(c, span, "E061", "too many files use each other");
    }
    if (!file) {
        file = &c->files[c->n_files++];
        *file = (struct file){.source = source, .used_at = span};
    }
    return parse_file(c, (size_t)(file - c->files), depth + 1);
}

/* False where memory ran out. */
static bool parse_file(struct compiling *c, size_t index, unsigned depth)
{
    struct file *file = &c->files[index];
    struct sp_text text = file->source.text;
    struct sp_span start = {(uint32_t)index, 0, 0};
    struct uses *uses = calloc(1, sizeof *uses);
    bool good = uses != NULL;
    file->state = FILE_OPEN;
    if (text.len > SP_SOURCE_MAX_BYTES) {
        sp_diags_add(c->diags, SP_SEVERITY_ERROR, "E062", start, NULL,
                     "the file is larger than %d bytes", SP_SOURCE_MAX_BYTES);
    } else if (!sp_text_is_utf8(text)) {
        sp_diags_add(c->diags, SP_SEVERITY_ERROR, "E062", start, NULL, "the file is not UTF-8");
    } else {
        /* The tree borrows from its source, so a copy of it lives as long as the policy. */
        struct sp_source copy = {file->source.name, sp_arena_copy(&c->policy->arena, text)};
        file->source.text = copy.text.ptr ? copy.text : text;
        good = good && copy.text.ptr &&
               ast_parse(c->policy, &copy, (uint32_t)index, c->diags, uses);
        for (size_t i = 0; good && i < uses->n; i++) {
            good =
                follow(c, file->source.name, uses->items[i].name, uses->items[i].span, depth);
        }
    }
    file->state = FILE_DONE;
    free(uses);
    return good;
}

/* Diagnostics point into the sources that the caller gave, since those he can print: what is
 * wrong in a used file is said at its `use`. */
static void point_at_uses(struct compiling *c)
{
    char message[512];
    uint32_t line, column;
    for (struct sp_diag *diag = c->diags->first; diag; diag = diag->next) {
        if (diag->span.source < c->n_given) {
            continue;
        }
        const struct sp_source *source = &c->files[diag->span.source].source;
        sp_source_position(source, diag->span.start, &line, &column);
        (void)snprintf(message, sizeof message, "%.100s:%u:%u: %s", source->name, line, column,
                       diag->message);
        struct sp_text copy = sp_arena_copy(&c->diags->arena, sp_text_of(message));
        diag->message = copy.ptr ? copy.ptr : diag->message;
        c->diags->failed = c->diags->failed || !copy.ptr;
        while (diag->span.source >= c->n_given) {
            diag->span = c->files[diag->span.source].used_at;
        }
    }
}

/* The policy's own list of its sources, so that what is said of it later can point into them.
 */
static bool keep_sources(struct compiling *c)
{
    struct sp_policy *policy = c->policy;
    policy->sources = sp_arena_array(&policy->arena, c->n_files, sizeof *policy->sources);
    policy->n_sources = policy->sources ? c->n_files : 0;
    for (size_t i = 0; i < policy->n_sources; i++) {
        struct sp_text name =
            sp_arena_copy(&policy->arena, sp_text_of(c->files[i].source.name));
        policy->sources[i] = (struct sp_source){name.ptr, c->files[i].source.text};
        if (!name.ptr) {
            return false;
        }
    }
    return policy->sources != NULL;
}

static bool compile(struct compiling *c, const struct sp_source *sources, size_t n_sources)
{
    if (n_sources > SOURCES_MAX) {
        sp_diags_add(c->diags, SP_SEVERITY_ERROR, "E062", (struct sp_span){0, 0, 0},
                     "put several scopes into one file", "there are more than %d files",
                     SOURCES_MAX);
        return true;
    }
    for (size_t i = 0; i < n_sources; i++) {
        c->files[i].source = sources[i];
    }
    c->n_files = c->n_given = n_sources;
    for (size_t i = 0; i < n_sources; i++) {
        if (c->files[i].state == FILE_NEW && !parse_file(c, i, 0)) {
            return false;
        }
    }
    bool good =
        c->diags->n_errors || (keep_sources(c) && ast_check(c->policy, c->world, c->diags));
    point_at_uses(c);
    return good;
}

sp_status sp_policy_compile(const struct sp_source *sources, size_t n_sources,
                            const struct sp_world *world, struct sp_diags *diags,
                            struct sp_policy **ret_policy)
{
    struct sp_policy *policy = calloc(1, sizeof *policy);
    struct compiling c = {.policy = policy, .world = world, .diags = diags};
    c.files = calloc(SOURCES_MAX, sizeof *c.files);
    bool good = policy && c.files;
    if (policy) {
        sp_arena_init(&policy->arena, POLICY_MAX_BYTES);
    }
    good = good && compile(&c, sources, n_sources);
    free(c.files);
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

const struct sp_source *sp_policy_sources(const struct sp_policy *policy, size_t *ret_n)
{
    *ret_n = policy->n_sources;
    return policy->sources;
}

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
    size_t low = 0, high = policy->n_scopes;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = sp_text_cmp(name, policy->by_name[middle]->name);
        if (order == 0) {
            return policy->by_name[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
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

size_t sp_scope_n_redactions(const struct sp_scope *scope)
{
    return scope ? scope->n_redactions : 0;
}

const struct sp_redaction *sp_scope_redaction(const struct sp_scope *scope, size_t i)
{
    return i < sp_scope_n_redactions(scope) ? &scope->redactions[i].public : NULL;
}

bool sp_redaction_covered(const struct sp_redaction *first, const struct sp_redaction *by)
{
    bool covered = by->n_names <= first->n_names;
    for (size_t i = 0; covered && i < by->n_names; i++) {
        covered = sp_text_eq_fold(first->names[i], by->names[i]);
    }
    return covered;
}

struct sp_text sp_scope_key(const struct sp_scope *scope, size_t i)
{
    return scope->key_list[i];
}

bool sp_scope_insist(const struct sp_scope *scope, size_t i, struct sp_text *ret_name,
                     struct sp_text *ret_value)
{
    const struct insist *at = scope->insists;
    for (; at && i > 0; i--) {
        at = at->next;
    }
    if (at) {
        *ret_name = at->name;
        *ret_value = at->value;
    }
    return at != NULL;
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

bool sp_rule_is_implied(const struct sp_rule *rule)
{
    return rule_is_implied(rule);
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

const struct sp_budget *sp_scope_budget(const struct sp_scope *scope)
{
    return scope->budget ? &scope->budget->public : NULL;
}

const struct sp_budget *sp_rule_budget(const struct sp_rule *rule)
{
    return rule->budget ? &rule->budget->public : NULL;
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
