/* The checker: names resolved, lists made, mistakes found before a token exists. */
#include "check.h"

#include <stdlib.h>

/* ---- small helpers --------------------------------------------------------------------------
 */

void check_error(struct checker *c, const char *code, struct sp_span span, const char *fix,
                 const char *message, struct sp_text name)
{
    sp_diags_add(c->diags, SP_SEVERITY_ERROR, code, span, fix, "%s '%.*s'", message,
                 (int)(name.len < 80 ? name.len : 80), name.ptr);
}

void check_warning(struct checker *c, const char *code, struct sp_span span, const char *fix,
                   const char *message)
{
    sp_diags_add(c->diags, SP_SEVERITY_WARNING, code, span, fix, "%s", message);
}

/* Edit distance of at most 2, for "did you mean"; names are short. */
static bool is_near(struct sp_text a, struct sp_text b)
{
    unsigned rows[2][SP_NAME_MAX_BYTES + 1];
    if (a.len > SP_NAME_MAX_BYTES || b.len > SP_NAME_MAX_BYTES || a.len < 3) {
        return false;
    }
    for (unsigned j = 0; j <= b.len; j++) {
        rows[0][j] = j;
    }
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned *row = rows[i & 1], *above = rows[(i - 1) & 1];
        row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            unsigned best = above[j - 1] + (a.ptr[i - 1] != b.ptr[j - 1]);
            best = above[j] + 1 < best ? above[j] + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return rows[a.len & 1][b.len] <= 2;
}

const char *check_suggest(struct sp_text wrong, struct sp_text candidate, char text[120])
{
    if (!is_near(wrong, candidate)) {
        return NULL;
    }
    struct sp_buf buf;
    sp_buf_init(&buf, 110);
    sp_buf_addf(&buf, "did you mean '%.*s'?", (int)candidate.len, candidate.ptr);
    memcpy(text, sp_buf_text(&buf).ptr, buf.len + 1);
    sp_buf_done(&buf);
    return text;
}

/* ---- sets and constants ---------------------------------------------------------------------
 */

static struct name *find_param(struct sp_scope *scope, struct sp_text name)
{
    for (struct name *param = scope->params; param; param = param->next) {
        if (sp_text_eq(param->text, name)) {
            return param;
        }
    }
    return NULL;
}

static void check_constant(struct checker *c, struct sp_scope *scope, struct constant *constant)
{
    if (constant->kind != CONSTANT_PARAM) {
        return;
    }
    struct name *param = scope ? find_param(scope, constant->text) : NULL;
    if (param) {
        param->used = true;
    } else {
        check_error(c, "E100", constant->span, "quote it if it is a string",
                    "there is no parameter", constant->text);
    }
}

static int constant_cmp(const void *a, const void *b)
{
    const struct constant *x = a, *y = b;
    if (x->kind != y->kind) {
        return x->kind < y->kind ? -1 : 1;
    }
    if (x->kind == CONSTANT_STRING || x->kind == CONSTANT_PARAM) {
        return sp_text_cmp(x->text, y->text);
    }
    return (x->integer > y->integer) - (x->integer < y->integer);
}

/* Sorted, without duplicates, of one kind: what the matcher's search relies on. */
static void check_set(struct checker *c, struct sp_span span, struct constant *items, size_t *n)
{
    if (*n == 0) {
        sp_diags_add(c->diags, SP_SEVERITY_ERROR, "E101", span, NULL,
                     "an empty set: nothing is in it");
        return;
    }
    qsort(items, *n, sizeof *items, constant_cmp);
    bool params = items[*n - 1].kind == CONSTANT_PARAM;
    if (items[0].kind != items[*n - 1].kind && !(params && items[0].kind == CONSTANT_STRING)) {
        sp_diags_add(c->diags, SP_SEVERITY_ERROR, "E102", span, NULL,
                     "a set holds integers, strings or booleans, but not a mixture");
        return;
    }
    size_t kept = 1;
    for (size_t i = 1; i < *n; i++) {
        if (constant_cmp(&items[kept - 1], &items[i]) != 0) {
            items[kept++] = items[i];
        }
    }
    *n = kept;
}

static void resolve_let(struct checker *c, struct condition *condition)
{
    char text[120];
    const char *fix = NULL;
    for (struct let *let = c->policy->lets; let; let = let->next) {
        if (sp_text_eq(let->name.text, condition->let_name)) {
            let->name.used = true;
            condition->set = let->items;
            condition->n_set = let->n_items;
            return;
        }
        fix = fix ? fix : check_suggest(condition->let_name, let->name.text, text);
    }
    check_error(c, "E103", condition->span, fix, "there is no set", condition->let_name);
}

/* ---- conditions -----------------------------------------------------------------------------
 */

static bool is_int_order(enum condition_kind kind)
{
    return kind == CONDITION_LT || kind == CONDITION_LE || kind == CONDITION_GT ||
           kind == CONDITION_GE;
}

static void resolve_capture(struct checker *c, struct sp_rule *rule,
                            struct condition *condition)
{
    char text[120];
    const char *fix = NULL;
    for (size_t i = 0; i < rule->url.n_segments; i++) {
        const struct segment *s = &rule->url.segments[i];
        if (s->kind != SEGMENT_INT && s->kind != SEGMENT_ANY && s->kind != SEGMENT_SLASH) {
            continue;
        }
        if (sp_text_eq(s->text, condition->field.parts[0])) {
            condition->field.segment = i;
            return;
        }
        fix = fix ? fix : check_suggest(condition->field.parts[0], s->text, text);
    }
    check_error(c, "E104", condition->field.span,
                fix ? fix : "capture it in the path: {name:any}", "the path captures no",
                condition->field.parts[0]);
}

/* Header names are compared in lower case. */
static void lower_header(struct checker *c, struct condition *condition)
{
    struct sp_text copy = sp_arena_copy(&c->policy->arena, condition->field.parts[0]);
    if (!copy.ptr) {
        c->out_of_memory = true;
        return;
    }
    char *bytes = (char *)copy.ptr; /* ours: just copied */
    for (size_t i = 0; i < copy.len; i++) {
        bytes[i] =
            (char)(bytes[i] >= 'A' && bytes[i] <= 'Z' ? bytes[i] + ('a' - 'A') : bytes[i]);
    }
    condition->field.parts[0] = copy;
}

static void add_read(struct checker *c, struct sp_rule *rule, const struct field *field)
{
    if (rule->n_reads == c->reads_room) {
        size_t room = c->reads_room ? 2 * c->reads_room : 16;
        const struct field **more = realloc(c->reads, room * sizeof *more);
        if (!more) {
            c->out_of_memory = true;
            return;
        }
        c->reads = more;
        c->reads_room = room;
    }
    c->reads[rule->n_reads++] = field;
    rule->reads_body = rule->reads_body || field->source == FIELD_BODY;
}

static void check_atom(struct checker *c, struct sp_scope *scope, struct sp_rule *rule,
                       struct condition *condition)
{
    if (condition->field.source == FIELD_PATH) {
        resolve_capture(c, rule, condition);
    } else if (condition->field.source == FIELD_HEADER) {
        lower_header(c, condition);
    }
    add_read(c, rule, &condition->field);
    if (condition->kind == CONDITION_IN) {
        if (condition->let_name.ptr && !condition->set) {
            resolve_let(c, condition);
        } else {
            for (size_t i = 0; i < condition->n_set; i++) {
                check_constant(c, scope, &condition->set[i]);
            }
            check_set(c, condition->span, condition->set, &condition->n_set);
        }
    } else if (condition->kind == CONDITION_RANGE) {
        if (condition->low > condition->high) {
            sp_diags_add(c->diags, SP_SEVERITY_ERROR, "E105", condition->span,
                         "write the smaller end first", "nothing lies in this range");
        }
    } else if (condition->kind <= CONDITION_STARTS) {
        check_constant(c, scope, &condition->constant);
        enum constant_kind kind = condition->constant.kind;
        if ((is_int_order(condition->kind) && kind != CONSTANT_INT) ||
            (condition->kind == CONDITION_STARTS && kind != CONSTANT_STRING &&
             kind != CONSTANT_PARAM)) {
            sp_diags_add(c->diags, SP_SEVERITY_ERROR, "E106", condition->constant.span, NULL,
                         condition->kind == CONDITION_STARTS ? "starts needs a \"string\""
                                                             : "an order is one of integers");
        }
    }
}

/* Recursion is bounded by AST_NODES_MAX. */
static void check_condition(struct checker *c, struct sp_scope *scope, struct sp_rule *rule,
                            struct condition *condition)
{
    switch ((int)condition->kind) {
    case CONDITION_AND:
    case CONDITION_OR:
        check_condition(c, scope, rule, condition->left);
        check_condition(c, scope, rule, condition->right);
        break;
    case CONDITION_NOT:
        check_condition(c, scope, rule, condition->left);
        break;
    default:
        check_atom(c, scope, rule, condition);
    }
}

/* ---- rules ----------------------------------------------------------------------------------
 */

static void check_segments(struct checker *c, struct sp_scope *scope, struct sp_rule *rule)
{
    for (size_t i = 0; i < rule->url.n_segments; i++) {
        struct segment *s = &rule->url.segments[i];
        char text[120];
        if (s->kind == SEGMENT_PARAM) {
            struct name *param = find_param(scope, s->text);
            const char *fix = "declare it: scope name(…), or capture it: {name:any}";
            for (struct name *p = scope->params; p && !param; p = p->next) {
                const char *near = check_suggest(s->text, p->text, text);
                fix = near ? near : fix;
            }
            if (param) {
                param->used = true;
            } else {
                check_error(c, "E107", s->span, fix, "there is no parameter", s->text);
            }
        }
        for (size_t j = 0; j < i && s->kind >= SEGMENT_INT && s->kind <= SEGMENT_SLASH; j++) {
            const struct segment *t = &rule->url.segments[j];
            if (t->kind >= SEGMENT_INT && t->kind <= SEGMENT_SLASH &&
                sp_text_eq(s->text, t->text)) {
                check_error(c, "E108", s->span, NULL, "there are two captures called", s->text);
            }
        }
    }
}

static void finish_rule(struct checker *c, struct sp_scope *scope, struct sp_rule *rule,
                        size_t number)
{
    check_segments(c, scope, rule);
    if (rule->where) {
        check_condition(c, scope, rule, rule->where);
    }
    if (rule->n_reads) {
        rule->reads = sp_arena_array(&c->policy->arena, rule->n_reads, sizeof(struct field *));
        if (rule->reads) {
            memcpy((void *)rule->reads, c->reads, rule->n_reads * sizeof(struct field *));
        } else {
            c->out_of_memory = true;
        }
    }
    if (!rule->labelled) {
        struct sp_buf label;
        sp_buf_init(&label, 64);
        sp_buf_addf(&label, "rule %zu", number);
        rule->label = sp_arena_copy(&c->policy->arena, sp_buf_text(&label));
        c->out_of_memory = c->out_of_memory || !rule->label.ptr;
        sp_buf_done(&label);
    }
    scope->has_allow = scope->has_allow || !rule->denies;
}

static struct sp_text *names_list(struct checker *c, const struct name *first, size_t n)
{
    struct sp_text *list = sp_arena_array(&c->policy->arena, n, sizeof *list);
    size_t i = 0;
    for (const struct name *name = first; name && list; name = name->next) {
        list[i++] = name->text;
    }
    c->out_of_memory = c->out_of_memory || !list;
    return list;
}

void check_finish_scope(struct checker *c, struct sp_scope *scope)
{
    scope->key_list = names_list(c, scope->keys, scope->n_keys);
    scope->param_list = names_list(c, scope->params, scope->n_params);
    scope->rules = sp_arena_array(&c->policy->arena, scope->n_rules, sizeof *scope->rules);
    if (!scope->rules) {
        c->out_of_memory = true;
        scope->n_rules = 0;
        return;
    }
    size_t n = 0;
    for (struct sp_rule *rule = scope->first_rule; rule; rule = rule->next) {
        finish_rule(c, scope, rule, n + 1);
        scope->rules[n++] = rule;
    }
}

bool ast_finish_scope(struct sp_policy *policy, struct sp_scope *scope, struct sp_diags *diags)
{
    struct checker c = {.policy = policy, .diags = diags};
    check_finish_scope(&c, scope);
    free(c.reads);
    return !c.out_of_memory;
}

/* ---- the whole ------------------------------------------------------------------------------
 */

static void check_lets(struct checker *c)
{
    for (struct let *let = c->policy->lets; let; let = let->next) {
        for (size_t i = 0; i < let->n_items; i++) {
            check_constant(c, NULL, &let->items[i]);
        }
        check_set(c, let->name.span, let->items, &let->n_items);
        for (const struct let *other = let->next; other; other = other->next) {
            if (sp_text_eq(let->name.text, other->name.text)) {
                check_error(c, "E110", let->name.span, NULL, "there is another set called",
                            let->name.text);
            }
        }
    }
}

static bool make_lists(struct checker *c)
{
    struct sp_policy *policy = c->policy;
    size_t n = 0;
    policy->scopes = sp_arena_array(&policy->arena, policy->n_scopes, sizeof *policy->scopes);
    policy->identities =
        sp_arena_array(&policy->arena, policy->n_identities, sizeof *policy->identities);
    if (!policy->scopes || !policy->identities) {
        return false;
    }
    for (struct sp_scope *scope = policy->first_scope; scope; scope = scope->next) {
        policy->scopes[n++] = scope;
    }
    n = 0;
    for (struct identity *identity = policy->first_identity; identity;
         identity = identity->next) {
        policy->identities[n++] = &identity->public;
    }
    return true;
}

bool ast_check(struct sp_policy *policy, const struct sp_world *world, struct sp_diags *diags)
{
    struct checker c = {.policy = policy, .world = world, .diags = diags};
    check_lets(&c);
    for (struct sp_scope *scope = policy->first_scope; scope; scope = scope->next) {
        check_finish_scope(&c, scope);
    }
    free(c.reads);
    if (c.out_of_memory || !make_lists(&c)) {
        return false;
    }
    check_meaning(&c);
    return !c.out_of_memory;
}
