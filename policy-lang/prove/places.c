/* The places that the rules read, and the atoms that read them. */
#include "choices.h"

static struct place *place_of(struct search *s, enum field_source source, struct place *parent,
                              struct sp_text name)
{
    for (size_t i = 0; i < s->n_places; i++) {
        struct place *place = s->places[i];
        if (place->source == source && place->parent == parent &&
            sp_text_eq(place->name, name)) {
            return place;
        }
        /* Each is the other's twin: what that does to who reads which is not looked at. (No
         * two headers are: their names are in lower case.) */
        bool twins = place->source == source && place->parent == parent &&
                     sp_text_eq_fold(place->name, name);
        s->p->incomplete = s->p->incomplete || twins;
    }
    struct place *place = s->n_places < PLACES_MAX ? prove_alloc(s->p, 1, sizeof *place) : NULL;
    if (!place) {
        s->p->incomplete = true;
        return NULL;
    }
    *place = (struct place){.source = source, .parent = parent, .name = name};
    if (parent) {
        parent->has_children = true;
    }
    s->places[s->n_places++] = place;
    return place;
}

struct place *search_place(struct search *s, const struct field *field)
{
    struct place *place = NULL;
    if (field->source == FIELD_HEADER) {
        return place_of(s, FIELD_HEADER, NULL, field->parts[0]);
    }
    place = place_of(s, field->source, NULL, SP_TEXT(""));
    for (size_t i = 0; place && i < field->n_parts; i++) {
        place = place_of(s, field->source, place, field->parts[i]);
    }
    return place;
}

static void atoms_of(struct search *s, const struct condition *c)
{
    if (c->left) {
        atoms_of(s, c->left);
        if (c->right) {
            atoms_of(s, c->right);
        }
        return;
    }
    for (size_t i = 0; i < s->n_atoms; i++) {
        if (s->atoms[i].condition == c) {
            return;
        }
    }
    if (s->n_atoms == ATOMS_MAX) {
        s->p->incomplete = true;
        return;
    }
    struct atom *atom = &s->atoms[s->n_atoms++];
    *atom = (struct atom){.condition = c};
    if (c->field.source == FIELD_PATH) {
        /* A deny may have come further than the segments do, through a %2F. */
        bool there = c->field.segment < s->p->request.url.n_segments;
        atom->path_mask = there ? 1u << match_condition(c, &s->p->request) : MASK_ALL;
        return;
    }
    atom->place = search_place(s, &c->field);
    if (atom->place) {
        atom->place->has_only = atom->place->has_only || c->kind == CONDITION_ONLY;
        for (size_t i = 0; i < c->n_names; i++) { /* names that `only` tells from others */
            (void)place_of(s, c->field.source, atom->place, c->names[i]);
        }
    }
    s->reads_body = s->reads_body || c->field.source == FIELD_BODY;
}

void search_read(struct search *s, const struct sp_rule **rules, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (rules[i]->where) {
            atoms_of(s, rules[i]->where);
        }
    }
}
