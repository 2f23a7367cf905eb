/* What the checker's files share. check.c resolves names; check_rules.c looks at the rules of a
 * scope, check_world.c at keys, clients and grants, check_escalates.c at
 * what catalogues say of its reach, check_expect.c runs the expectations,
 * check_narrows.c proves what is said to be narrower. */
#ifndef SP_CHECK_H
#define SP_CHECK_H

#include "ast.h"
#include "suggest.h"

struct checker {
    struct sp_policy *policy;
    const struct sp_world *world; /* may be NULL */
    struct sp_diags *diags;
    const struct field **reads; /* grows; what the rule at hand reads */
    size_t reads_room;
    bool out_of_memory;
};

/* "message 'name'". */
void check_error(struct checker *c, const char *code, struct sp_span span, const char *fix,
                 const char *message, struct sp_text name);
void check_warning(struct checker *c, const char *code, struct sp_span span, const char *fix,
                   const char *message);

/* Names that must differ from each other, gathered from wherever they stand. */
struct unique {
    struct sp_text text;
    struct sp_span span;
};
/* "message 'name'" at each that has come before. Sorts the list. */
void check_unique(struct checker *c, struct unique *list, size_t n, const char *code,
                  const char *fix, const char *message);
/* Room for such a list; the caller frees it. NULL where n is 0 or memory ran out. */
struct unique *unique_new(struct checker *c, size_t n);

/* The integers that an atom lets through, as an interval around them. False where it is no
 * demand on an integer. */
bool check_interval(const struct condition *atom, int64_t *ret_low, int64_t *ret_high);
/* Budgets of rules and scope: what they sum must be there, and count. */
void check_budgets(struct checker *c, const struct sp_scope *scope);
void check_rules(struct checker *c, const struct sp_scope *scope, size_t *pairs_left);
/* Keys, hosts, clients, principals. */
void check_world(struct checker *c);
/* Denies of what the providers' catalogues mark as escalating, where wildcards reach it. */
void check_escalates(struct checker *c);
/* GraphQL documents that a rule does not pin, sums over several currencies. */
void check_catalogue(struct checker *c, const struct sp_scope *scope);
/* Denies of one path of what another path of a catalogue reaches, too. */
void check_aliases(struct checker *c, const struct sp_scope *scope);
/* Captures, reads and the label of one rule. */
void check_finish_rule(struct checker *c, struct sp_scope *scope, struct sp_rule *rule,
                       size_t number);
void check_expectations(struct checker *c);
/* `scope A narrows B`: proved, or an error with a request that A allows and B does not. */
void check_narrows(struct checker *c);

#endif
