/* Bodies, queries and headers: a search over the places that the rules read.
 *
 * A place is one field, or an object on the way to one. The search goes down place by place
 * over their domains, and prunes with what the choices so far say about the rules. */
#include "choices.h"

void *prove_alloc(struct prove *p, size_t count, size_t size)
{
    void *memory = sp_arena_array(&p->arena, count, size);
    p->out_of_memory = p->out_of_memory || !memory;
    return memory;
}

static bool has_letter(struct sp_text name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = (char)(name.ptr[i] | 0x20);
        if (c >= 'a' && c <= 'z') {
            return true;
        }
    }
    return false;
}

static bool descend(struct search *s, size_t at);

/* Twin and extra member of the place at hand; each is tried last. */
static bool descend_flags(struct search *s, size_t at, struct place *place, bool gone)
{
    bool twins = !gone && place->parent && has_letter(place->name);
    /* A form has no empty object, so one that no rule looks into holds something else. */
    bool form = place->source == FIELD_QUERY || s->body_kind == SP_BODY_FORM;
    bool extras = place->chosen->choice == CHOICE_OBJECT && (place->has_only || form);
    bool found = false;
    for (unsigned twin = 0; twin < (twins ? 2 : 1) && !found; twin++) {
        for (unsigned extra = 0; extra < (extras ? 2 : 1) && !found; extra++) {
            place->twin = twin > 0;
            place->extra = extra > 0;
            found = descend(s, at + 1);
        }
    }
    if (!found) {
        place->twin = place->extra = false;
    }
    return found;
}

static bool descend(struct search *s, size_t at)
{
    static const struct option absent = {.choice = CHOICE_ABSENT};
    const struct met *m = s->met;
    size_t rules =
        m->n_inner_allows + m->n_inner_denies + m->n_outer_allows + m->n_outer_denies;
    if (!prove_step(s->p, rules * (1 + s->n_places + s->n_atoms))) {
        return false;
    }
    enum goal goal = search_goal(s);
    if (goal == GOAL_LOST) {
        return false;
    }
    if (goal == GOAL_MET || at == s->n_places) {
        if (search_write(s) && prove_replay(s->p)) {
            return true;
        }
        if (at == s->n_places) {
            return false;
        }
    }
    struct place *place = s->places[at];
    bool open = false, found = false;
    if (!place_reached(place, &open) ||
        (place->source == FIELD_BODY && s->body_kind == SP_BODY_NONE)) {
        place->chosen = &absent;
        found = descend_flags(s, at, place, true);
    } else {
        for (size_t i = 0; i < place->n_options && !found; i++) {
            place->chosen = &place->options[i];
            found = descend_flags(s, at, place, false);
        }
    }
    if (!found) {
        place->chosen = NULL;
    }
    return found;
}

bool prove_fields(struct prove *p, const struct met *met)
{
    static const enum sp_body_kind kinds[] = {SP_BODY_NONE, SP_BODY_JSON, SP_BODY_FORM};
    struct search *s = prove_alloc(p, 1, sizeof *s);
    if (!s) {
        return false;
    }
    *s = (struct search){.p = p, .met = met};
    s->atoms = prove_alloc(p, ATOMS_MAX, sizeof *s->atoms);
    if (!s->atoms) {
        return false;
    }
    search_read(s, met->inner_allows, met->n_inner_allows);
    search_read(s, met->inner_denies, met->n_inner_denies);
    search_read(s, met->outer_allows, met->n_outer_allows);
    search_read(s, met->outer_denies, met->n_outer_denies);
    for (size_t k = 0; k < (s->reads_body ? 3 : 1); k++) {
        s->body_kind = kinds[k];
        for (size_t i = 0; i < s->n_places; i++) {
            search_domain(s, s->places[i]);
        }
        for (unsigned extra = 0; extra < (s->n_places ? 2 : 1); extra++) {
            s->extra_query = extra > 0;
            if (descend(s, 0)) {
                return true;
            }
        }
    }
    return false;
}
