/* The nearest request that a scope allows, and the smallest change of the scope that would
 * allow this one. Not on the decision path: it allocates, and it takes its time, up to a cap.
 *
 * shape.c gives the request a rule's method, host and path; wishes.c lists changes of single
 * fields, out of the constants of the conditions; nearest.c looks for the fewest of them that
 * make the scope allow it, and asks the scope; edit.c carries a change out; loosen.c changes a
 * rule instead; reasons.c puts it in words. */
#ifndef SP_NEAREST_H
#define SP_NEAREST_H

#include "match.h"

enum {
    STEPS_MAX = 6000000, /* looks at one rule: a second or so at the most */
    EDITS_MAX = 512,     /* changes that are tried for one rule */
    RULES_TRIED = 24,    /* the nearest by shape */
    CHOSEN_MAX = 48,     /* changes at once */
    FIELD_STEPS_MAX = 2 * AST_FIELD_PARTS_MAX + 1,
    ITEMS_TRIED = 8, /* of an array */
    CONSTANTS_TRIED = 24,
};

/* ---- one change (edit.c) -------------------------------------------------------------------
 */

struct step { /* a member by name, or an element by number */
    struct sp_text name;
    size_t index;
    bool is_index;
};

enum edit_kind { EDIT_BODY, EDIT_QUERY, EDIT_HEADER, EDIT_PATH, EDIT_METHOD };

struct edit {
    enum edit_kind kind;
    struct step steps[FIELD_STEPS_MAX]; /* body and query from the root; header: one */
    size_t n_steps;
    size_t segment;  /* path */
    unsigned method; /* method */
    bool removes;
    struct sp_value value; /* what is there then; path and header: its text */
};

/* Carry it out on a request, whose parts are copied into the arena where they change. False
 * where it cannot be written down so (or memory ran out). */
bool edit_apply(struct sp_arena *arena, const struct edit *edit, struct sp_request *request);
/* What stands at its place now; NULL where nothing does. Headers and segments go to scratch. */
const struct sp_value *edit_value(const struct edit *edit, const struct sp_request *request,
                                  struct sp_value *scratch);
bool edit_same_place(const struct edit *a, const struct edit *b);
/* How far from what was: to choose among changes of as many places. */
uint64_t edit_distance(const struct edit *edit, const struct sp_request *request);

/* ---- the request in a rule's shape (shape.c) ------------------------------------------------
 */

/* How many of method, host and segments differ from what the rule wants, in 1,024ths, so that
 * of two that differ in as many the one that looks alike is nearer. */
uint64_t shape_cost(const struct sp_rule *rule, const struct sp_request *request);
/* The request with the rule's method, host and path, its own where they match. */
bool shape_apply(struct sp_arena *arena, const struct sp_rule *rule,
                 struct sp_request *request);

/* ---- changes to try (wishes.c) --------------------------------------------------------------
 */

struct wishes {
    struct sp_arena *arena;
    const struct sp_request *request;
    struct edit *items; /* EDITS_MAX */
    size_t n;
    bool form; /* the body is a form */
};

/* What might make the rule's condition true, or false, or readable. */
void wishes_of_rule(struct wishes *w, const struct sp_rule *rule);
/* Other methods and segments that an allow has room for. */
void wishes_of_shape(struct wishes *w, const struct sp_rule *allow);

/* ---- words (reasons.c) ----------------------------------------------------------------------
 */

/* An atom of the condition that the edit's place is read by, and that the edit brings to where
 * it is wanted; NULL where there is none. *ret_want: true, or false under a not. */
const struct condition *reason_of(const struct condition *condition, bool want,
                                  const struct edit *edit, const struct sp_request *before,
                                  const struct sp_request *after, bool *ret_want);
/* "at most 5000", for a value that stands at an atom's place. */
void reason_print(const struct condition *atom, bool want, const struct sp_value *was,
                  const struct edit *edit, struct sp_buf *buf);
void edit_print_place(const struct edit *edit, struct sp_buf *buf);
/* Fill in ret_nearest->changes: what differs between the request and ret_nearest->request.
 * False where memory ran out. */
bool reasons(const struct sp_scope *scope, const struct sp_request *request,
             const struct edit *edits, size_t n_edits, struct sp_nearest *ret_nearest);

/* ---- a change of the scope (loosen.c) -------------------------------------------------------
 */

/* Fill in ret_nearest->scope_change where some small one is found and the scope, so changed,
 * allows the request. False where memory ran out. */
bool loosen(const struct sp_scope *scope, const struct sp_request *request,
            struct sp_nearest *ret_nearest);

#endif
