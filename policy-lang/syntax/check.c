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

static int unique_cmp(const void *a, const void *b)
{
    const struct unique *x = a, *y = b;
    int order = sp_text_cmp(x->text, y->text);
    if (order == 0) {
        order = (x->span.source > y->span.source) - (x->span.source < y->span.source);
    }
    return order ? order : (x->span.start > y->span.start) - (x->span.start < y->span.start);
}

struct unique *unique_new(struct checker *c, size_t n)
{
    struct unique *list = n > 0 ? calloc(n, sizeof *list) : NULL;
    c->out_of_memory = c->out_of_memory || (n > 0 && !list);
    return list;
}

void check_unique(struct checker *c, struct unique *list, size_t n, const char *code,
                  const char *fix, const char *message)
{
    if (n > 1) {
        qsort(list, n, sizeof *list, unique_cmp);
    }
    for (size_t i = 1; i < n; i++) {
        if (sp_text_eq(list[i - 1].text, list[i].text)) {
            check_error(c, code, list[i].span, fix, message, list[i].text);
        }
    }
}

static void check_names(struct checker *c, const struct name *first, size_t n, const char *code,
                        const char *message)
{
    struct unique *list = unique_new(c, n);
    size_t i = 0;
    for (const struct name *name = first; name && list; name = name->next) {
        list[i++] = (struct unique){name->text, name->span};
    }
    check_unique(c, list, i, code, NULL, message);
    free(list);
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

/* The let of that name; NULL, and an error, where there is none or it is of the other kind. */
static struct let *find_let(struct checker *c, struct sp_text name, bool is_url,
                            struct sp_span span)
{
    char text[SUGGEST_ROOM];
    const char *fix = NULL;
    for (struct let *let = c->policy->lets; let; let = let->next) {
        if (sp_text_eq(let->name.text, name)) {
            let->name.used = true;
            if (let->is_url != is_url) {
                check_error(c, "E109", span, NULL,
                            is_url ? "a URL belongs here, and this is a set:"
                                   : "a set belongs here, and this is a URL:",
                            name);
                return NULL;
            }
            return let;
        }
        if (!fix && let->is_url == is_url) {
            fix = suggest(name, let->name.text, text);
        }
    }
    check_error(c, "E103", span, fix,
                is_url ? "there is no `let` of a URL called"
                       : "there is no `let` of a set called",
                name);
    return NULL;
}

/* ---- conditions -----------------------------------------------------------------------------
 */

static bool is_int_order(enum condition_kind kind)
{
    return kind == CONDITION_LT || kind == CONDITION_LE || kind == CONDITION_GT ||
           kind == CONDITION_GE;
}

static bool is_textual(const struct constant *constant)
{
    return constant->kind == CONSTANT_STRING || constant->kind == CONSTANT_PARAM;
}

/* Whether the constants are of a kind that the comparison, and the field, can meet. */
static void check_type(struct checker *c, const struct condition *condition)
{
    const struct constant *constant = &condition->constant;
    struct sp_span span = constant->span;
    bool textual = is_textual(constant);
    const char *fault = NULL;
    if (condition->kind == CONDITION_IN || condition->kind == CONDITION_RANGE) {
        textual = condition->n_set > 0 && is_textual(&condition->set[0]);
        span = condition->span;
    } else if (is_int_order(condition->kind) && constant->kind != CONSTANT_INT) {
        fault = "an order is one of integers";
    } else if (condition->kind == CONDITION_STARTS && !textual) {
        fault = "starts needs a \"string\"";
    }
    if (!fault && condition->field.source == FIELD_HEADER && !textual) {
        fault = "a header is text: compare it with a \"string\"";
    }
    if (fault) {
        sp_diags_add(c->diags, SP_SEVERITY_ERROR, "E106", span, NULL, "%s", fault);
    }
}

static void resolve_capture(struct checker *c, struct sp_rule *rule,
                            struct condition *condition)
{
    char text[SUGGEST_ROOM];
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
        fix = fix ? fix : suggest(condition->field.parts[0], s->text, text);
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
        if (condition->let_name.ptr) {
            const struct let *let = find_let(c, condition->let_name, false, condition->span);
            condition->set = let ? let->items : NULL;
            condition->n_set = let ? let->n_items : 0;
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
    }
    bool lacks_set = condition->kind == CONDITION_IN && condition->n_set == 0;
    if (condition->kind <= CONDITION_STARTS && !lacks_set) { /* not: reported before */
        check_type(c, condition);
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
        char text[SUGGEST_ROOM];
        if (s->kind == SEGMENT_PARAM) {
            struct name *param = find_param(scope, s->text);
            const char *fix = "declare it: scope name(…), or capture it: {name:any}";
            for (struct name *p = scope->params; p && !param; p = p->next) {
                const char *near = suggest(s->text, p->text, text);
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
            if (t->kind >= SEGMENT_INT && sp_text_eq(s->text, t->text)) { /* no ** is before */
                check_error(c, "E108", s->span, NULL, "there are two captures called", s->text);
            }
        }
    }
}

void check_finish_rule(struct checker *c, struct sp_scope *scope, struct sp_rule *rule,
                       size_t number)
{
    if (rule->let_url.ptr) {
        const struct let *let = find_let(c, rule->let_url, true, rule->url.span);
        struct sp_span span = rule->url.span;
        rule->url = let ? let->url : rule->url;
        rule->url.span = span;
    }
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
        c->out_of_memory = c->out_of_memory || label.failed || !rule->label.ptr;
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

static void check_finish_scope(struct checker *c, struct sp_scope *scope)
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
        check_finish_rule(c, scope, rule, n + 1);
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
    struct unique *list = unique_new(c, c->policy->n_lets);
    size_t n = 0;
    for (struct let *let = c->policy->lets; let && list; let = let->next) {
        list[n++] = (struct unique){let->name.text, let->name.span};
        for (size_t i = 0; i < let->n_items; i++) {
            check_constant(c, NULL, &let->items[i]);
        }
        if (!let->is_url) {
            check_set(c, let->name.span, let->items, &let->n_items);
        }
    }
    check_unique(c, list, n, "E110", NULL, "there are two lets called");
    free(list);
}

static int by_name(const void *a, const void *b)
{
    const struct sp_scope *const *x = a, *const *y = b;
    return sp_text_cmp((*x)->name, (*y)->name);
}

static bool make_lists(struct checker *c)
{
    struct sp_policy *policy = c->policy;
    size_t n = 0;
    policy->scopes = sp_arena_array(&policy->arena, policy->n_scopes, sizeof *policy->scopes);
    policy->identities =
        sp_arena_array(&policy->arena, policy->n_identities, sizeof *policy->identities);
    policy->by_name = sp_arena_array(&policy->arena, policy->n_scopes, sizeof *policy->scopes);
    if (!policy->scopes || !policy->identities || !policy->by_name) {
        return false;
    }
    for (struct sp_scope *scope = policy->first_scope; scope; scope = scope->next) {
        policy->by_name[n] = scope;
        policy->scopes[n++] = scope;
    }
    if (n > 1) {
        qsort(policy->by_name, n, sizeof *policy->by_name, by_name);
    }
    n = 0;
    for (struct identity *identity = policy->first_identity; identity;
         identity = identity->next) {
        policy->identities[n++] = &identity->public;
    }
    return true;
}

static void check_scope(struct checker *c, struct sp_scope *scope, size_t *pairs_left)
{
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
    }
    check_names(c, scope->params, scope->n_params, "E144", "there are two parameters called");
    check_names(c, scope->keys, scope->n_keys, "E121", "named twice: key");
    check_budgets(c, scope);
    check_rules(c, scope, pairs_left);
}

static void check_scopes(struct checker *c)
{
    size_t pairs_left = 1000000; /* comparisons of rule with rule in one policy */
    struct unique *list = unique_new(c, c->policy->n_scopes);
    size_t n = 0;
    for (struct sp_scope *scope = c->policy->first_scope; scope && list; scope = scope->next) {
        list[n++] = (struct unique){scope->name, scope->span};
        check_scope(c, scope, &pairs_left);
    }
    check_unique(c, list, n, "E145", NULL, "there is another scope called");
    free(list);
    for (const struct let *let = c->policy->lets; let; let = let->next) {
        if (!let->name.used) {
            check_warning(c, "W146", let->name.span, "remove it", "this let is not used");
        }
    }
}

bool ast_check(struct sp_policy *policy, const struct sp_world *world, struct sp_diags *diags)
{
    struct checker c = {.policy = policy, .world = world, .diags = diags};
    check_lets(&c);
    for (struct sp_scope *scope = policy->first_scope; scope; scope = scope->next) {
        check_finish_scope(&c, scope);
    }
    if (c.out_of_memory || !make_lists(&c)) {
        free(c.reads);
        return false;
    }
    check_scopes(&c);
    check_world(&c);
    if (diags->n_errors == 0) {
        check_escalates(&c);
    }
    free(c.reads);
    if (diags->n_errors == 0 && !c.out_of_memory) {
        check_narrows(&c);
        check_expectations(&c);
    }
    return !c.out_of_memory;
}
