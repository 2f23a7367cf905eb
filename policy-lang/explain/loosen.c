/* The smallest change of the scope that would allow a request: one atom that is let out a
 * little, one deny that spares it, or a rule for this very request. What is shown was printed,
 * read back, and asked. */
#include "nearest.h"

#include <stdlib.h>

enum { CHANGES_MAX = 4, SCOPE_MAX_BYTES = SP_SOURCE_MAX_BYTES, ATOM_MAX_BYTES = 2048 };

struct loosening {
    struct sp_arena *arena;
    const struct sp_request *request;
    struct sp_scope scope; /* changed step by step; shares what it does not change */
    struct sp_buf words;
    size_t n_changes;
    bool out_of_memory, failed; /* failed: there is no small change of this kind */
};

static void *alloc(struct loosening *l, size_t count, size_t size)
{
    void *memory = sp_arena_array(l->arena, count, size);
    l->out_of_memory = l->out_of_memory || !memory;
    return memory;
}

static void begin_words(struct loosening *l)
{
    sp_buf_add_str(&l->words, l->n_changes++ ? "; and " : "");
}

/* ---- conditions -----------------------------------------------------------------------------
 */

static struct condition *copy_of(struct loosening *l, const struct condition *c)
{
    struct condition *copy = alloc(l, 1, sizeof *copy);
    if (copy) {
        *copy = *c;
    }
    return copy;
}

static bool as_number(const struct sp_value *value, int64_t *ret_integer)
{
    if (value->kind == SP_VALUE_INT) {
        *ret_integer = value->as.integer;
        return true;
    }
    return value->kind == SP_VALUE_FORM && sp_form_int(value->as.text, ret_integer);
}

static bool compares_numbers(const struct condition *atom)
{
    return atom->kind == CONDITION_RANGE ||
           (atom->kind == CONDITION_IN ? atom->n_set > 0 && atom->set[0].kind == CONSTANT_INT
                                       : atom->constant.kind == CONSTANT_INT);
}

/* The value as what a condition can compare with. */
static bool constant_of(const struct condition *atom, const struct sp_value *value,
                        struct constant *ret_constant)
{
    *ret_constant = (struct constant){.kind = CONSTANT_INT};
    if ((value->kind == SP_VALUE_INT || compares_numbers(atom)) &&
        as_number(value, &ret_constant->integer)) {
        return true;
    }
    if (value->kind == SP_VALUE_BOOL) {
        ret_constant->kind = CONSTANT_BOOL;
        ret_constant->integer = value->as.boolean;
        return true;
    }
    ret_constant->kind = CONSTANT_STRING;
    ret_constant->text = value->as.text;
    return value->kind == SP_VALUE_STRING || value->kind == SP_VALUE_FORM;
}

/* `(atom or field = value)`, or `(atom and field != value)`. */
static struct condition *beside(struct loosening *l, const struct condition *atom, bool want,
                                const struct constant *constant)
{
    struct condition *both = alloc(l, 1, sizeof *both), *other = alloc(l, 1, sizeof *other);
    if (!both || !other) {
        return NULL;
    }
    *other = (struct condition){.kind = want ? CONDITION_EQ : CONDITION_NE};
    other->field = atom->field;
    other->constant = *constant;
    *both = (struct condition){.kind = want ? CONDITION_OR : CONDITION_AND};
    both->left = copy_of(l, atom);
    both->right = other;
    return both->left ? both : NULL;
}

/* `field in {…, value}` from a comparison with one or several constants. */
static struct condition *with_member(struct loosening *l, const struct condition *atom,
                                     const struct constant *constant)
{
    struct condition *copy = copy_of(l, atom);
    const struct constant *old = atom->kind == CONDITION_IN ? atom->set : &atom->constant;
    size_t n = atom->kind == CONDITION_IN ? atom->n_set : 1, at = 0;
    struct constant *set = alloc(l, n + 1, sizeof *set);
    if (!copy || !set) {
        return NULL;
    }
    for (; at < n &&
           (constant->kind == CONSTANT_STRING ? sp_text_cmp(old[at].text, constant->text) < 0
                                              : old[at].integer < constant->integer);
         at++) {
        set[at] = old[at];
    }
    set[at] = *constant;
    memcpy(&set[at + 1], &old[at], (n - at) * sizeof *set);
    copy->kind = CONDITION_IN;
    copy->set = set;
    copy->n_set = n + 1;
    return copy;
}

/* An atom that is to be true for this constant too. */
static struct condition *let_in(struct loosening *l, const struct condition *atom,
                                const struct constant *constant)
{
    bool number = constant->kind == CONSTANT_INT;
    struct condition *copy = copy_of(l, atom);
    int64_t v = constant->integer;
    if (!copy) {
        return NULL;
    }
    switch ((int)atom->kind) {
    case CONDITION_RANGE:
        copy->low = number && v < atom->low ? v : atom->low;
        copy->high = number && v > atom->high ? v : atom->high;
        break;
    case CONDITION_LE:
    case CONDITION_GE:
        copy->constant = *constant;
        break;
    case CONDITION_LT:
        copy->constant.integer = v < INT64_MAX ? v + 1 : v;
        break;
    case CONDITION_GT:
        copy->constant.integer = v > INT64_MIN ? v - 1 : v;
        break;
    case CONDITION_EQ:
    case CONDITION_IN: {
        const struct constant *first =
            atom->kind == CONDITION_IN && atom->n_set ? &atom->set[0] : &atom->constant;
        if (first->kind == constant->kind && constant->kind != CONSTANT_BOOL) {
            return with_member(l, atom, constant);
        }
        return beside(l, atom, true, constant);
    }
    default:
        return beside(l, atom, true, constant);
    }
    return number ? copy : beside(l, atom, true, constant);
}

/* A deny's order or range that is to leave this number out. */
static struct condition *keep_out(struct loosening *l, const struct condition *atom,
                                  const struct constant *constant)
{
    struct condition *copy = copy_of(l, atom);
    int64_t v = constant->integer;
    bool number = constant->kind == CONSTANT_INT && v > INT64_MIN && v < INT64_MAX;
    if (!copy || !number) {
        return copy ? beside(l, atom, false, constant) : NULL;
    }
    switch ((int)atom->kind) {
    case CONDITION_LT:
    case CONDITION_GT:
        copy->constant.integer = v;
        return copy;
    case CONDITION_LE:
        copy->constant.integer = v - 1;
        return copy;
    case CONDITION_GE:
        copy->constant.integer = v + 1;
        return copy;
    default:
        return beside(l, atom, false, constant);
    }
}

static struct condition *with_names(struct loosening *l, const struct condition *atom)
{
    struct sp_value scratch;
    struct condition *copy = copy_of(l, atom);
    const struct sp_value *object = match_field(&atom->field, l->request, &scratch);
    if (!copy || !object || object->kind != SP_VALUE_OBJECT) {
        return NULL;
    }
    size_t n = atom->n_names, more = object->as.object.n;
    struct sp_text *names = alloc(l, n + more, sizeof *names);
    if (!names) {
        return NULL;
    }
    memcpy(names, atom->names, n * sizeof *names);
    for (size_t i = 0; i < more; i++) {
        bool listed = false;
        for (size_t j = 0; j < atom->n_names && !listed; j++) {
            listed = sp_text_eq(atom->names[j], object->as.object.items[i].name);
        }
        if (!listed) {
            names[n++] = object->as.object.items[i].name;
        }
    }
    copy->names = names;
    copy->n_names = n;
    return copy;
}

/* The atom, changed so that it is as wanted for this request; NULL where no small change does
 * it. */
static struct condition *loosen_atom(struct loosening *l, const struct condition *atom,
                                     bool want)
{
    struct sp_value scratch;
    struct constant constant;
    if (atom->kind == CONDITION_ONLY) {
        return want ? with_names(l, atom) : NULL;
    }
    const struct sp_value *value = match_field(&atom->field, l->request, &scratch);
    if (atom->field.quantifier != QUANTIFIER_NONE || atom->kind == CONDITION_HAS || !value ||
        !constant_of(atom, value, &constant)) {
        return NULL;
    }
    return want ? let_in(l, atom, &constant) : keep_out(l, atom, &constant);
}

static void tell_atom(struct loosening *l, const struct sp_rule *rule,
                      const struct condition *old, const struct condition *new)
{
    struct sp_buf text;
    sp_buf_init(&text, ATOM_MAX_BYTES);
    begin_words(l);
    sp_buf_addf(&l->words, "in %s%.*s, `", rule->denies ? "the deny " : "",
                (int)rule->label.len, rule->label.ptr);
    ast_print_condition(new, &text);
    sp_buf_add_text(&l->words, sp_buf_text(&text));
    sp_buf_add_str(&l->words, "` for `");
    l->failed = l->failed || text.failed;
    sp_buf_reset(&text);
    ast_print_condition(old, &text);
    sp_buf_add_text(&l->words, sp_buf_text(&text));
    sp_buf_add_str(&l->words, "`");
    l->failed = l->failed || text.failed;
    sp_buf_done(&text);
}

/* The condition, with what is not as wanted changed. Recursion is bounded by AST_NODES_MAX. */
static struct condition *loosen_condition(struct loosening *l, const struct sp_rule *rule,
                                          const struct condition *c, bool want)
{
    struct condition *copy = copy_of(l, c);
    if (!copy || match_condition(c, l->request) == (want ? TRUTH_TRUE : TRUTH_FALSE)) {
        return copy;
    }
    if (c->kind == CONDITION_NOT) {
        copy->left = loosen_condition(l, rule, c->left, !want);
        return copy;
    }
    if (c->kind == CONDITION_AND || c->kind == CONDITION_OR) {
        copy->left = loosen_condition(l, rule, c->left, want);
        if ((c->kind == CONDITION_AND) == want) { /* both are needed; else one does */
            copy->right = loosen_condition(l, rule, c->right, want);
        }
        return copy;
    }
    struct condition *new = l->n_changes < CHANGES_MAX ? loosen_atom(l, c, want) : NULL;
    if (new) {
        tell_atom(l, rule, c, new);
    }
    l->failed = l->failed || !new;
    return new ? new : copy;
}

/* ---- rules ----------------------------------------------------------------------------------
 */

/* The scope's list with one rule in place of another; NULL in its place takes it out. */
static void replace(struct loosening *l, const struct sp_rule *old, const struct sp_rule *new)
{
    const struct sp_rule **rules = alloc(l, l->scope.n_rules, sizeof(struct sp_rule *));
    size_t n = 0;
    for (size_t i = 0; rules && i < l->scope.n_rules; i++) {
        const struct sp_rule *rule = l->scope.rules[i] == old ? new : l->scope.rules[i];
        if (rule) {
            rules[n++] = rule;
        }
    }
    if (rules) {
        l->scope.rules = rules;
        l->scope.n_rules = n;
    }
}

/* Another condition for a rule, if small changes of atoms are enough. */
static bool loosen_rule(struct loosening *l, const struct sp_rule *rule)
{
    size_t words = l->words.len, n_changes = l->n_changes;
    struct sp_rule *copy = alloc(l, 1, sizeof *copy);
    if (!copy || !rule->where) {
        return false;
    }
    *copy = *rule;
    l->failed = false;
    copy->where = loosen_condition(l, rule, rule->where, !rule->denies);
    if (l->failed || l->out_of_memory || l->n_changes == n_changes) {
        l->words.len = words;
        l->n_changes = n_changes;
        return false;
    }
    replace(l, rule, copy);
    return true;
}

static void print_head(struct loosening *l, const struct sp_rule *rule)
{
    sp_buf_addf(&l->words, "%s%s ", rule->denies ? "deny " : "allow ",
                rule->methods == SP_METHOD_ALL  ? "*"
                : sp_method_name(rule->methods) ? sp_method_name(rule->methods)
                                                : "{…}");
    ast_print_url(&rule->url, &l->words);
}

static void take_out(struct loosening *l, const struct sp_rule *rule)
{
    begin_words(l);
    sp_buf_addf(&l->words, "without %.*s (`", (int)rule->label.len, rule->label.ptr);
    print_head(l, rule);
    sp_buf_add_str(&l->words, "`)");
    replace(l, rule, NULL);
}

/* An allow for this method and path alone. */
static struct sp_rule *literal_rule(struct loosening *l)
{
    const struct sp_url *url = &l->request->url;
    struct sp_rule *rule = alloc(l, 1, sizeof *rule);
    struct segment *segments = alloc(l, url->n_segments, sizeof *segments);
    if (!rule || !segments) {
        return NULL;
    }
    for (size_t i = 0; i < url->n_segments; i++) {
        bool slash = url->segments[i].has_slash;
        segments[i].kind = slash ? SEGMENT_SLASH : SEGMENT_LITERAL;
        segments[i].text = slash ? SP_TEXT("part") : url->segments[i].text;
    }
    *rule = (struct sp_rule){.methods = l->request->method, .label = SP_TEXT("new")};
    rule->url = (struct url_pattern){url->https,      url->host,           url->port, segments,
                                     url->n_segments, url->trailing_slash, {0, 0, 0}};
    return rule;
}

static void add_rule(struct loosening *l, bool escalates)
{
    struct sp_rule *rule = literal_rule(l);
    const struct sp_rule **rules = alloc(l, l->scope.n_rules + 1, sizeof(struct sp_rule *));
    if (!rule || !rules) {
        return;
    }
    begin_words(l);
    sp_buf_add_str(&l->words, "with `");
    print_head(l, rule);
    sp_buf_add_str(&l->words, escalates ? " escalates`" : "`");
    memcpy((void *)rules, l->scope.rules, l->scope.n_rules * sizeof *rules);
    rules[l->scope.n_rules] = rule;
    l->scope.rules = rules;
    l->scope.n_rules++;
    l->scope.has_allow = true;
}

/* The whole scope's text, as it would be then, allows the request. */
static bool is_allowed(struct loosening *l)
{
    struct sp_buf text;
    struct sp_scope *scope = NULL;
    struct sp_verdict verdict = {.allowed = false};
    struct sp_error err;
    sp_buf_init(&text, SCOPE_MAX_BYTES);
    sp_scope_print(&l->scope, &text);
    if (!text.failed && sp_scope_parse(sp_buf_text(&text), &scope, &err) == SP_OK) {
        sp_scope_match(scope, l->request, &verdict);
    }
    sp_scope_free(scope);
    sp_buf_done(&text);
    return verdict.allowed;
}

/* One thing that is in the way. */
static void step(struct loosening *l, const struct sp_verdict *verdict)
{
    const struct sp_rule *rule = verdict->rule;
    if (verdict->reason == SP_VERDICT_DENY_RULE && rule_is_implied(rule)) {
        replace(l, rule, NULL); /* as the compiler would, for a literal allow */
        add_rule(l, true);
    } else if (verdict->reason == SP_VERDICT_DENY_RULE) {
        if (!loosen_rule(l, rule)) {
            take_out(l, rule);
        }
    } else if (verdict->reason != SP_VERDICT_CONDITION || !loosen_rule(l, rule)) {
        add_rule(l, false);
    }
}

bool loosen(const struct sp_scope *scope, const struct sp_request *request,
            struct sp_nearest *ret_nearest)
{
    struct loosening l = {.arena = &ret_nearest->arena, .request = request, .scope = *scope};
    struct sp_verdict verdict;
    sp_buf_init(&l.words, 16 << 10);
    sp_scope_match(scope, request, &verdict);
    for (size_t i = 0; i < CHANGES_MAX && !verdict.allowed && !l.out_of_memory; i++) {
        step(&l, &verdict);
        sp_scope_match(&l.scope, request, &verdict);
    }
    if (!l.out_of_memory && l.n_changes > 0 && !l.words.failed && verdict.allowed &&
        is_allowed(&l)) {
        ret_nearest->scope_change = sp_arena_copy(&ret_nearest->arena, sp_buf_text(&l.words));
        l.out_of_memory = !ret_nearest->scope_change.ptr;
    }
    sp_buf_done(&l.words);
    return !l.out_of_memory;
}
