/* Truths of what is chosen so far. They are sets: what is not yet chosen may be anything. */
#include "choices.h"

static unsigned only_mask(const struct search *s, const struct condition *c,
                          const struct place *object)
{
    bool open = false;
    if (object->extra) {
        return MASK_FALSE;
    }
    if (object->source == FIELD_QUERY && !object->parent && s->extra_query) {
        return MASK_FALSE;
    }
    for (size_t i = 0; i < s->n_places; i++) {
        const struct place *child = s->places[i];
        if (child->parent != object) {
            continue;
        }
        bool listed = false;
        for (size_t n = 0; n < c->n_names && !listed; n++) {
            listed = sp_text_eq(c->names[n], child->name);
        }
        if (child->twin || (place_there(child) && !listed)) {
            return MASK_FALSE;
        }
        open = open || !child->chosen;
    }
    return open ? MASK_TRUE | MASK_FALSE : MASK_TRUE;
}

static unsigned atom_mask(const struct search *s, const struct condition *c)
{
    const struct atom *atom = NULL;
    for (size_t i = 0; i < s->n_atoms && !atom; i++) {
        atom = s->atoms[i].condition == c ? &s->atoms[i] : NULL;
    }
    if (!atom || (!atom->place && !atom->path_mask)) {
        return MASK_ALL;
    }
    const struct place *place = atom->place;
    if (!place) {
        return atom->path_mask;
    }
    bool open = false;
    bool reached = place_reached(place, &open);
    if (reached && (open || !place->chosen)) {
        return c->kind == CONDITION_HAS ? MASK_TRUE | MASK_FALSE : MASK_ALL;
    }
    if (!reached || place->chosen->choice == CHOICE_ABSENT) {
        return c->kind == CONDITION_HAS ? MASK_FALSE : MASK_UNKNOWN;
    }
    if (c->kind == CONDITION_ONLY) {
        return place->chosen->choice == CHOICE_OBJECT ? only_mask(s, c, place) : MASK_UNKNOWN;
    }
    return 1u << match_value(c, &place->chosen->value);
}

static unsigned condition_mask(const struct search *s, const struct condition *c)
{
    unsigned left, right, mask = 0;
    switch ((int)c->kind) {
    case CONDITION_NOT:
        left = condition_mask(s, c->left);
        return (left & MASK_UNKNOWN) | (left & MASK_TRUE ? MASK_FALSE : 0) |
               (left & MASK_FALSE ? MASK_TRUE : 0);
    case CONDITION_AND:
    case CONDITION_OR:
        left = condition_mask(s, c->left);
        right = condition_mask(s, c->right);
        for (unsigned a = 0; a < 3; a++) {
            for (unsigned b = 0; b < 3; b++) {
                if (left >> a & right >> b & 1) {
                    bool smaller = a < b;
                    mask |= 1u << (smaller == (c->kind == CONDITION_AND) ? a : b);
                }
            }
        }
        return mask;
    default:
        return atom_mask(s, c);
    }
}

/* 1: it can be read; 2: it cannot; 3: still open. */
static unsigned read_mask(struct search *s, const struct sp_rule *rule)
{
    bool open = false;
    if (rule->reads_body && s->body_kind == SP_BODY_NONE) {
        return 2;
    }
    if (rule->reads_body && s->extra_query) {
        return 2;
    }
    for (size_t i = 0; i < s->n_places; i++) {
        const struct place *place = s->places[i];
        bool top_query =
            place->source == FIELD_QUERY && place->parent && !place->parent->parent;
        if (!rule->reads_body || !top_query || match_reads_query(rule, place->name)) {
            continue;
        }
        if (place->twin || place_there(place)) {
            return 2;
        }
        open = open || !place->chosen;
    }
    for (size_t i = 0; i < rule->n_reads; i++) {
        const struct field *field = rule->reads[i];
        if (field->source == FIELD_PATH) {
            continue;
        }
        const struct place *place = search_place(s, field);
        for (; place; place = place->parent) {
            if (place->twin || (place->chosen && place->chosen->choice == CHOICE_TWICE)) {
                return 2;
            }
            open = open || !place->chosen;
        }
    }
    return open ? 3 : 1;
}

/* Whether an allow may match (bit 0) and may not (bit 1); the same of a deny that fires. */
static unsigned rule_mask(struct search *s, const struct sp_rule *rule)
{
    if (!rule->where) {
        return 1;
    }
    unsigned readable = read_mask(s, rule), truth = condition_mask(s, rule->where);
    unsigned meets = rule->denies ? MASK_TRUE | MASK_UNKNOWN : MASK_TRUE;
    unsigned mask = 0;
    if (readable & 1) {
        mask |= (truth & meets ? 1u : 0u) | (truth & ~meets & MASK_ALL ? 2u : 0u);
    }
    if (readable & 2) {
        mask |= rule->denies ? 1u : 2u;
    }
    return mask;
}

static bool all_within(struct search *s, unsigned *ret_sure)
{
    const struct met *m = s->met;
    *ret_sure = true;
    for (size_t i = 0; i < m->n_inner_allows; i++) {
        if (!(rule_mask(s, m->inner_allows[i]) & 1)) {
            continue;
        }
        for (size_t o = 0; o < m->n_outer_allows; o++) {
            if ((rule_mask(s, m->outer_allows[o]) & 1) &&
                !prove_limits(m->inner_allows[i], m->outer_allows[o], s->p->inherits)) {
                *ret_sure = false;
            }
        }
    }
    return *ret_sure;
}

/* What is chosen so far: can inner allow, and outer not? */
enum goal search_goal(struct search *s)
{
    const struct met *m = s->met;
    bool may = false, must = false, sure = true;
    for (size_t i = 0; i < m->n_inner_allows; i++) {
        unsigned mask = rule_mask(s, m->inner_allows[i]);
        may = may || (mask & 1);
        must = must || mask == 1;
    }
    if (!may) {
        return GOAL_LOST;
    }
    for (size_t i = 0; i < m->n_inner_denies; i++) {
        unsigned mask = rule_mask(s, m->inner_denies[i]);
        if (mask == 1) {
            return GOAL_LOST;
        }
        sure = sure && mask == 2;
    }
    bool outer_must = s->p->outer->is_caveat && !s->p->outer->has_allow;
    bool outer_may = outer_must, deny_may = false, deny_must = false;
    for (size_t i = 0; i < m->n_outer_allows; i++) {
        unsigned mask = rule_mask(s, m->outer_allows[i]);
        outer_may = outer_may || (mask & 1);
        outer_must = outer_must || mask == 1;
    }
    for (size_t i = 0; i < m->n_outer_denies; i++) {
        unsigned mask = rule_mask(s, m->outer_denies[i]);
        deny_may = deny_may || (mask & 1);
        deny_must = deny_must || mask == 1;
    }
    unsigned within = true;
    if (outer_must && !deny_may && (!s->p->has_limits || all_within(s, &within))) {
        return GOAL_LOST;
    }
    return must && sure && (!outer_may || deny_must) ? GOAL_MET : GOAL_OPEN;
}
