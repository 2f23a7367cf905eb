/* The search over bodies, queries and headers: its state, and what its files ask of each other.
 * places.c knows which fields the rules read, domains.c the values worth trying at each of
 * them, truths.c what a half-made choice says about the rules, written.c how a choice becomes a
 * request; fields.c goes down place by place. */
#ifndef SP_PROVE_CHOICES_H
#define SP_PROVE_CHOICES_H

#include "prove.h"

enum {
    PLACES_MAX = 256,
    ATOMS_MAX = 1024,
    MASK_FALSE = 1,
    MASK_UNKNOWN = 2,
    MASK_TRUE = 4,
    MASK_ALL = 7,
};

enum choice {
    CHOICE_OPEN,
    CHOICE_ABSENT,
    CHOICE_OBJECT,
    CHOICE_VALUE,
    CHOICE_TWICE, /* ambiguous: forms and queries; a header given twice */
};

struct option {
    enum choice choice;
    struct sp_value value;
};

struct place {
    enum field_source source;
    struct sp_text name;
    struct place *parent; /* NULL: the root of its source, or a header */
    bool has_children, has_only;
    struct option *options;
    size_t n_options;
    const struct option *chosen;
    bool twin, extra; /* chosen with it: the same name in another case; a member nobody knows */
};

struct atom {
    const struct condition *condition;
    struct place *place; /* NULL: of the path, whose truth is known */
    unsigned path_mask;
};

struct search {
    struct prove *p;
    const struct met *met;
    struct place *places[PLACES_MAX];
    size_t n_places;
    struct atom *atoms;
    size_t n_atoms;
    enum sp_body_kind body_kind;
    bool extra_query;
    bool reads_body;
};

/* What is chosen so far: it cannot be a counterexample, it may become one, it is one. */
enum goal { GOAL_LOST, GOAL_OPEN, GOAL_MET };

/* The place above which nothing is missing: *ret_open where something on the way is open. */
static inline bool place_reached(const struct place *place, bool *ret_open)
{
    for (const struct place *up = place->parent; up; up = up->parent) {
        if (!up->chosen) {
            *ret_open = true;
        } else if (up->chosen->choice != CHOICE_OBJECT) {
            *ret_open = false;
            return false;
        }
    }
    return true;
}

static inline bool place_there(const struct place *place)
{
    return place->chosen && place->chosen->choice != CHOICE_ABSENT;
}

/* Takes in what the conditions of n rules read. What does not fit sets `incomplete`. */
void search_read(struct search *s, const struct sp_rule **rules, size_t n);
/* The place of a field; NULL (and `incomplete`) where there is no room for it. */
struct place *search_place(struct search *s, const struct field *field);
/* Sets the place's options for the body kind at hand. */
void search_domain(struct search *s, struct place *place);
/* Can inner allow, and outer not? */
enum goal search_goal(struct search *s);
/* Puts what is chosen into p->request; false where it cannot be written down. */
bool search_write(struct search *s);

#endif
