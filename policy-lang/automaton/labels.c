/* What a path's rules say, once the path is known: by method, and by conditions whose atoms are
 * evaluated once for all rules that share them. */
#include "automaton.h"
#include "match.h"

#include <stdlib.h>

/* ---- building ------------------------------------------------------------------------
 */

static bool is_branch(const struct condition *c)
{
    return c->kind == CONDITION_AND || c->kind == CONDITION_OR || c->kind == CONDITION_NOT;
}

/* The atom's number within the label; ATOMS_MAX where there are too many, NONE: no memory. */
static uint32_t atom_add(struct labels *labels, struct lists *lists,
                         const struct condition *atom)
{
    for (uint32_t i = 0; i < lists->n_atoms; i++) {
        const struct condition *known = labels->atoms[lists->atoms_at + i];
        if (condition_equal(known, atom)) {
            return i;
        }
    }
    if (lists->n_atoms == ATOMS_MAX) {
        return ATOMS_MAX;
    }
    if (!room_for((void **)&labels->atoms, labels->n_atoms, &labels->atoms_room,
                  sizeof *labels->atoms)) {
        return NONE;
    }
    labels->atoms[labels->n_atoms++] = atom;
    return lists->n_atoms++;
}

enum compiled { COMPILED, TOO_MANY_ATOMS, NO_MEMORY };

/* Recursion is bounded by AST_NODES_MAX, as is the size. */
static enum compiled compile(struct labels *labels, struct lists *lists,
                             const struct condition *c)
{
    size_t at = labels->n_ops;
    uint32_t atom = 0;
    enum compiled done = COMPILED;
    if (!is_branch(c)) {
        atom = atom_add(labels, lists, c);
        if (atom >= ATOMS_MAX) {
            return atom == NONE ? NO_MEMORY : TOO_MANY_ATOMS;
        }
    }
    if (!room_for((void **)&labels->ops, at, &labels->ops_room, sizeof *labels->ops)) {
        return NO_MEMORY;
    }
    labels->ops[labels->n_ops++] = (struct op){0, (uint8_t)c->kind, (uint8_t)atom};
    if (is_branch(c)) {
        done = compile(labels, lists, c->left);
        if (done == COMPILED && c->kind != CONDITION_NOT) {
            done = compile(labels, lists, c->right);
        }
    }
    labels->ops[at].size = (uint16_t)(labels->n_ops - at);
    return done;
}

/* Programs for the lists of a label. With a single conditional rule, or with too many atoms,
 * there is nothing to share, and trees are evaluated as they are. */
static bool compile_all(struct sp_matcher *m, struct lists *lists, const uint32_t *rules,
                        size_t n, uint32_t *ret_programs)
{
    struct labels *labels = &m->labels;
    size_t n_ops = labels->n_ops, n_atoms = labels->n_atoms, conditions = 0;
    enum compiled done = COMPILED;
    lists->atoms_at = (uint32_t)n_atoms;
    for (size_t i = 0; i < n; i++) {
        ret_programs[i] = NONE;
        conditions += m->scope->rules[rules[i]]->where != NULL;
    }
    for (size_t i = 0; conditions > 1 && i < n && done == COMPILED; i++) {
        if (m->scope->rules[rules[i]]->where) {
            ret_programs[i] = (uint32_t)labels->n_ops;
            done = compile(labels, lists, m->scope->rules[rules[i]]->where);
        }
    }
    if (done == TOO_MANY_ATOMS) {
        labels->n_ops = n_ops;
        labels->n_atoms = n_atoms;
        lists->n_atoms = 0;
        for (size_t i = 0; i < n; i++) {
            ret_programs[i] = NONE;
        }
    }
    m->work += labels->n_ops - n_ops;
    return done != NO_MEMORY;
}

static bool list_method(struct sp_matcher *m, struct lists *lists, unsigned method,
                        const uint32_t *rules, const uint32_t *programs, size_t n)
{
    struct labels *labels = &m->labels;
    struct list *list = &lists->of[method];
    *list = (struct list){NONE, (uint32_t)labels->n_conditionals, 0};
    for (size_t i = 0; i < n && list->always == NONE; i++) {
        const struct sp_rule *rule = m->scope->rules[rules[i]];
        if (!(rule->methods & (1u << method))) {
            continue;
        }
        if (!rule->where) {
            list->always = rules[i];
            continue;
        }
        if (!room_for((void **)&labels->conditionals, labels->n_conditionals,
                      &labels->conditionals_room, sizeof *labels->conditionals)) {
            return false;
        }
        labels->conditionals[labels->n_conditionals++] =
            (struct conditional){rules[i], programs[i]};
        list->n++;
    }
    return true;
}

/* The lists of several rules, or of one with a condition; NONE where memory ran out. */
static uint32_t lists_add(struct sp_matcher *m, const uint32_t *rules, size_t n)
{
    struct labels *labels = &m->labels;
    struct lists lists = {.n_atoms = 0};
    uint32_t *programs = malloc(n * sizeof *programs);
    bool good = programs && compile_all(m, &lists, rules, n, programs);
    for (unsigned method = 0; good && method < METHODS; method++) {
        good = list_method(m, &lists, method, rules, programs, n);
    }
    free(programs);
    if (!good || !room_for((void **)&labels->lists, labels->n_lists, &labels->lists_room,
                           sizeof *labels->lists)) {
        return NONE;
    }
    labels->lists[labels->n_lists] = lists;
    return (uint32_t)labels->n_lists++;
}

uint32_t labels_add(struct sp_matcher *m, const uint32_t *rules, size_t n)
{
    struct labels *labels = &m->labels;
    struct label label = {.first = NONE};
    uint32_t found = sequences_find(&labels->known, rules, n);
    if (found != NONE) {
        return found;
    }
    if (n > 0) {
        const struct sp_rule *rule = m->scope->rules[rules[0]];
        bool only = n == 1 && !rule->where;
        label = (struct label){rule, rules[0],
                               only ? ONLY_BIT | rule->methods : lists_add(m, rules, n)};
    }
    m->work += n;
    if (label.rest == NONE ||
        !room_for((void **)&labels->at, labels->n, &labels->room, sizeof *labels->at) ||
        !sequences_add(&labels->known, rules, n, (uint32_t)labels->n)) {
        return NONE;
    }
    labels->at[labels->n] = label;
    return (uint32_t)labels->n++;
}

/* ---- deciding ------------------------------------------------------------------------
 */

/* What is known of a label's atoms so far; neither yes nor unknown: false. */
struct atoms {
    const struct sp_matcher *matcher;
    const struct sp_request *request;
    uint32_t at;
    uint64_t known, yes, unknown;
};

static enum truth atom_truth(struct atoms *atoms, unsigned atom)
{
    uint64_t bit = (uint64_t)1 << atom;
    if (!(atoms->known & bit)) {
        enum truth truth =
            match_condition(atoms->matcher->labels.atoms[atoms->at + atom], atoms->request);
        atoms->known |= bit;
        atoms->yes |= truth == TRUTH_TRUE ? bit : 0;
        atoms->unknown |= truth == TRUTH_UNKNOWN ? bit : 0;
    }
    if (atoms->yes & bit) {
        return TRUTH_TRUE;
    }
    return atoms->unknown & bit ? TRUTH_UNKNOWN : TRUTH_FALSE;
}

/* Recursion is bounded as that of the tree. */
static enum truth run(struct atoms *atoms, const struct op *op)
{
    const struct op *left = op + 1;
    enum truth a, b;
    switch (op->kind) {
    case CONDITION_AND:
        a = run(atoms, left);
        b = a == TRUTH_FALSE ? a : run(atoms, left + left->size);
        return b < a ? b : a;
    case CONDITION_OR:
        a = run(atoms, left);
        b = a == TRUTH_TRUE ? a : run(atoms, left + left->size);
        return b > a ? b : a;
    case CONDITION_NOT:
        return (enum truth)(TRUTH_TRUE - run(atoms, left));
    default:
        return atom_truth(atoms, op->atom);
    }
}

static enum truth truth_of(struct atoms *atoms, const struct conditional *one)
{
    return one->program == NONE
               ? match_condition(atoms->matcher->scope->rules[one->rule]->where, atoms->request)
               : run(atoms, &atoms->matcher->labels.ops[one->program]);
}

static const struct lists *lists_of(const struct sp_matcher *m, const struct label *label)
{
    return &m->labels.lists[label->rest];
}

static const struct list *list_of(const struct lists *lists, unsigned method)
{
    return &lists->of[__builtin_ctz(method)];
}

static void lists_allow(const struct sp_matcher *m, const struct label *label,
                        const struct sp_request *request, struct sp_match *ret_decision)
{
    const struct lists *lists = lists_of(m, label);
    const struct list *list = list_of(lists, request->method);
    struct atoms atoms = {m, request, lists->atoms_at, 0, 0, 0};
    struct sp_match nearest = {false, SP_VERDICT_METHOD, NULL};
    for (uint32_t i = 0; i < list->n; i++) {
        const struct conditional *one = &m->labels.conditionals[list->at + i];
        const struct sp_rule *rule = m->scope->rules[one->rule];
        if (match_unreadable(rule, request)) {
            if (nearest.reason != SP_VERDICT_UNREADABLE) {
                nearest = (struct sp_match){false, SP_VERDICT_UNREADABLE, rule};
            }
        } else if (truth_of(&atoms, one) == TRUTH_TRUE) {
            *ret_decision = (struct sp_match){true, SP_VERDICT_ALLOWED, rule};
            return;
        } else if (!nearest.rule) {
            nearest = (struct sp_match){false, SP_VERDICT_CONDITION, rule};
        }
    }
    if (list->always != NONE) {
        nearest = (struct sp_match){true, SP_VERDICT_ALLOWED, m->scope->rules[list->always]};
    } else if (!nearest.rule) {
        nearest.rule = label->rule;
    }
    *ret_decision = nearest;
}

void label_allow(const struct sp_matcher *m, uint32_t label, const struct sp_request *request,
                 struct sp_match *ret_decision)
{
    const struct label *l = &m->labels.at[label];
    if (!l->rule) {
        *ret_decision = (struct sp_match){false, SP_VERDICT_PATH, NULL};
    } else if (l->rest & ONLY_BIT) {
        bool allowed = (l->rest & request->method) != 0;
        *ret_decision = (struct sp_match){
            allowed, allowed ? SP_VERDICT_ALLOWED : SP_VERDICT_METHOD, l->rule};
    } else {
        lists_allow(m, l, request, ret_decision);
    }
}

bool label_wants_body(const struct sp_matcher *m, uint32_t label,
                      const struct sp_request *request)
{
    const struct label *l = &m->labels.at[label];
    if (!l->rule || l->rest & ONLY_BIT) {
        return false;
    }
    const struct list *list = list_of(lists_of(m, l), request->method);
    for (uint32_t i = 0; i < list->n; i++) {
        const struct conditional *one = &m->labels.conditionals[list->at + i];
        if (m->scope->rules[one->rule]->reads_body) {
            return true;
        }
    }
    return false;
}

static bool reads_path(const struct sp_rule *rule)
{
    for (size_t i = 0; i < rule->n_reads; i++) {
        if (rule->reads[i]->source == FIELD_PATH) {
            return true;
        }
    }
    return false;
}

/* Where the path was split, captures are not to be told, and the deny fires; unless the path
 * matches as it is too, which the run without splitting has judged. */
static bool fires_split(const struct sp_rule *rule, const struct sp_request *request)
{
    if (rule->where && reads_path(rule)) {
        return match_path(rule, &request->url) == PATH_SPLIT;
    }
    return deny_fires(rule, request, false);
}

bool deny_fires(const struct sp_rule *rule, const struct sp_request *request, bool split)
{
    if (split) {
        return fires_split(rule, request);
    }
    return !rule->where || match_unreadable(rule, request) ||
           match_condition(rule->where, request) != TRUTH_FALSE;
}

static uint32_t lists_deny(const struct sp_matcher *m, const struct label *label,
                           const struct sp_request *request, bool split)
{
    const struct lists *lists = lists_of(m, label);
    const struct list *list = list_of(lists, request->method);
    struct atoms atoms = {m, request, lists->atoms_at, 0, 0, 0};
    for (uint32_t i = 0; i < list->n; i++) {
        const struct conditional *one = &m->labels.conditionals[list->at + i];
        const struct sp_rule *rule = m->scope->rules[one->rule];
        bool fires =
            split ? fires_split(rule, request)
                  : match_unreadable(rule, request) || truth_of(&atoms, one) != TRUTH_FALSE;
        if (fires) {
            return one->rule;
        }
    }
    return list->always;
}

uint32_t label_deny(const struct sp_matcher *m, uint32_t label,
                    const struct sp_request *request, bool split)
{
    const struct label *l = &m->labels.at[label];
    if (!l->rule) {
        return NONE;
    }
    if (l->rest & ONLY_BIT) {
        return l->rest & request->method ? l->first : NONE;
    }
    return lists_deny(m, l, request, split);
}
