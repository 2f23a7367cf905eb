/* Bodies, queries and headers: a search over the places that the rules read.
 *
 * A place is one field, or an object on the way to one. It takes values from a small domain
 * that holds one of each kind that the atoms can tell apart (the boundaries of each integer,
 * each string, each prefix with something behind it, another type, absence), told apart by the
 * truths that the interpreter itself gives. The search goes down place by place and prunes with
 * sets of truths: what is not yet chosen may be anything. */
#include "prove.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    PLACES_MAX = 256,
    ATOMS_MAX = 1024,
    ITEMS_MAX = 512, /* elements, and arrays of them */
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
    bool has_children, has_only, read;
    struct option *options;
    size_t n_options;
    const struct option *chosen;
    bool twin, extra; /* chosen: the same name in another case; a member nobody knows */
    bool decided;     /* twin and extra are chosen, too */
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

void *prove_alloc(struct prove *p, size_t count, size_t size)
{
    void *memory = sp_arena_array(&p->arena, count, size);
    p->out_of_memory = p->out_of_memory || !memory;
    return memory;
}

/* ---- places and atoms -----------------------------------------------------------------------
 */

static struct place *place_of(struct search *s, enum field_source source, struct place *parent,
                              struct sp_text name)
{
    for (size_t i = 0; i < s->n_places; i++) {
        struct place *place = s->places[i];
        if (place->source == source && place->parent == parent &&
            sp_text_eq(place->name, name)) {
            return place;
        }
        /* Each is the other's twin: what that does to who reads which is not looked at. */
        bool twins = place->source == source && place->parent == parent &&
                     sp_text_eq_fold(place->name, name) && source != FIELD_HEADER && parent;
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

static struct place *place_for(struct search *s, const struct field *field)
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
    atom->place = place_for(s, &c->field);
    if (atom->place) {
        atom->place->read = true;
        atom->place->has_only = atom->place->has_only || c->kind == CONDITION_ONLY;
        for (size_t i = 0; i < c->n_names; i++) { /* names that `only` tells from others */
            (void)place_of(s, c->field.source, atom->place, c->names[i]);
        }
    }
    s->reads_body = s->reads_body || c->field.source == FIELD_BODY;
}

static void atoms_of_rules(struct search *s, const struct sp_rule **rules, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (rules[i]->where) {
            atoms_of(s, rules[i]->where);
        }
    }
}

/* ---- domains --------------------------------------------------------------------------------
 */

struct domain {
    struct search *s;
    struct place *place;
    const struct atom **atoms; /* of this place */
    size_t n_atoms;
    bool form;
    struct option *options;
    size_t n, room;
    uint8_t *seen; /* truths of each option, n_atoms + 1 bytes */
};

/* The truth of one atom on a value that is there. */
static enum truth atom_on(const struct condition *c, const struct sp_value *value)
{
    return c->kind == CONDITION_ONLY ? TRUTH_UNKNOWN : match_value(c, value);
}

static void domain_add(struct domain *d, enum choice choice, struct sp_value value)
{
    size_t width = d->n_atoms + 1;
    if (!prove_step(d->s->p, width)) {
        return;
    }
    if (d->n == d->room) {
        size_t room = d->room ? 2 * d->room : 16;
        struct option *options = prove_alloc(d->s->p, room, sizeof *options);
        uint8_t *seen = prove_alloc(d->s->p, room, width);
        if (!options || !seen) {
            return;
        }
        if (d->n) {
            memcpy(options, d->options, d->n * sizeof *options);
            memcpy(seen, d->seen, d->n * width);
        }
        d->options = options;
        d->seen = seen;
        d->room = room;
    }
    uint8_t *mine = d->seen + d->n * width;
    mine[0] = choice == CHOICE_OBJECT || choice == CHOICE_ABSENT || choice == CHOICE_TWICE
                  ? (uint8_t)choice
                  : CHOICE_VALUE;
    for (size_t i = 0; i < d->n_atoms; i++) {
        const struct condition *c = d->atoms[i]->condition;
        mine[i + 1] = choice == CHOICE_ABSENT ? 3 : (uint8_t)atom_on(c, &value);
    }
    for (size_t i = 0; i < d->n; i++) {
        if (memcmp(d->seen + i * width, mine, width) == 0) {
            return;
        }
    }
    d->options[d->n++] = (struct option){choice, value};
}

static struct sp_value text_value(const struct domain *d, struct sp_text text)
{
    struct sp_value value = {.kind = d->form ? SP_VALUE_FORM : SP_VALUE_STRING};
    if (d->place->source == FIELD_HEADER) {
        value.kind = SP_VALUE_STRING;
    }
    value.as.text = text;
    return value;
}

static struct sp_text text_join(struct prove *p, struct sp_text head, const char *tail)
{
    size_t len = head.len + strlen(tail);
    char *text = prove_alloc(p, len + 1, 1);
    if (!text) {
        return SP_TEXT("");
    }
    memcpy(text, head.ptr, head.len);
    memcpy(text + head.len, tail, strlen(tail));
    return (struct sp_text){text, len};
}

static struct sp_value int_value(struct domain *d, int64_t integer)
{
    char digits[24];
    struct sp_buf buf;
    if (!d->form) {
        struct sp_value value = {.kind = SP_VALUE_INT};
        value.as.integer = integer;
        return value;
    }
    sp_buf_over(&buf, digits, sizeof digits);
    sp_buf_addf(&buf, "%" PRId64, integer);
    return text_value(d, text_join(d->s->p, SP_TEXT(""), digits));
}

/* What the domain is made for: values of the place itself, or elements of an array there. */
struct sink {
    struct domain *d;
    void (*put)(struct sink *sink, struct sp_value value);
    struct sp_value *items;
    size_t n_items;
};

static void put_option(struct sink *sink, struct sp_value value)
{
    domain_add(sink->d, CHOICE_VALUE, value);
}

static void put_item(struct sink *sink, struct sp_value value)
{
    if (sink->n_items == ITEMS_MAX) {
        sink->d->s->p->incomplete = true;
        return;
    }
    sink->items[sink->n_items++] = value;
}

static void put_int(struct sink *sink, int64_t integer)
{
    if (sink->d->place->source != FIELD_HEADER) {
        for (int64_t by = -1; by <= 1; by++) {
            if (!((by < 0 && integer == INT64_MIN) || (by > 0 && integer == INT64_MAX))) {
                sink->put(sink, int_value(sink->d, integer + by));
            }
        }
    }
}

static void put_constant(struct sink *sink, const struct constant *constant)
{
    struct sp_value value = {.kind = SP_VALUE_BOOL};
    switch (constant->kind) {
    case CONSTANT_INT:
        put_int(sink, constant->integer);
        break;
    case CONSTANT_STRING:
        sink->put(sink, text_value(sink->d, constant->text));
        break;
    case CONSTANT_BOOL:
        if (sink->d->form) {
            sink->put(sink, text_value(sink->d, SP_TEXT("true")));
            sink->put(sink, text_value(sink->d, SP_TEXT("false")));
            break;
        }
        value.as.boolean = true;
        sink->put(sink, value);
        value.as.boolean = false;
        sink->put(sink, value);
        break;
    case CONSTANT_PARAM:
        sink->d->s->p->incomplete = true;
        break;
    }
}

/* The values that one atom can tell apart from others. */
static void put_atom(struct sink *sink, const struct condition *c)
{
    struct prove *p = sink->d->s->p;
    switch ((int)c->kind) {
    case CONDITION_IN:
        for (size_t i = 0; i < c->n_set; i++) {
            put_constant(sink, &c->set[i]);
        }
        break;
    case CONDITION_RANGE:
        put_int(sink, c->low);
        put_int(sink, c->high);
        break;
    case CONDITION_STARTS:
        put_constant(sink, &c->constant);
        if (c->constant.kind == CONSTANT_STRING) {
            sink->put(sink, text_value(sink->d, text_join(p, c->constant.text, p->word.ptr)));
        }
        break;
    case CONDITION_HAS:
    case CONDITION_ONLY:
        break;
    default:
        put_constant(sink, &c->constant);
    }
}

static void put_atoms(struct sink *sink, const struct domain *d, bool quantified,
                      const struct field *like)
{
    bool ints = false, texts = false;
    for (size_t i = 0; i < d->n_atoms; i++) {
        const struct condition *c = d->atoms[i]->condition;
        if ((c->field.quantifier != QUANTIFIER_NONE) != quantified ||
            (like && !field_equal(&c->field, like) &&
             (c->field.n_item_parts || like->n_item_parts))) {
            continue;
        }
        put_atom(sink, c);
        const struct constant *one =
            c->kind == CONDITION_IN && c->n_set ? c->set : &c->constant;
        bool textual = c->kind != CONDITION_RANGE && one->kind == CONSTANT_STRING;
        texts = texts || (c->kind <= CONDITION_STARTS && textual);
        ints = ints || c->kind == CONDITION_RANGE ||
               (c->kind <= CONDITION_STARTS && one->kind == CONSTANT_INT);
    }
    /* A form's "12" is text and number at once, and the two are cut apart here. */
    d->s->p->incomplete = d->s->p->incomplete || (d->form && ints && texts);
    sink->put(sink, text_value(d, d->s->p->word));
    if (!d->form && d->place->source != FIELD_HEADER) {
        sink->put(sink, (struct sp_value){.kind = SP_VALUE_NULL});
    }
}

/* An element that holds the value below the atom's names: {"a":{"b":value}}. */
static struct sp_value nest(struct prove *p, const struct field *field, struct sp_value value)
{
    for (size_t i = field->n_item_parts; i-- > 0;) {
        struct sp_member *member = prove_alloc(p, 1, sizeof *member);
        if (!member) {
            break;
        }
        *member = (struct sp_member){field->item_parts[i], value};
        value = (struct sp_value){.kind = SP_VALUE_OBJECT};
        value.as.object.items = member;
        value.as.object.n = 1;
    }
    return value;
}

/* The array with each of the items at its end. */
static void grow_array(struct domain *d, const struct sp_value *base, const struct sink *sink)
{
    size_t n = base->as.array.n;
    for (size_t i = 0; i < sink->n_items; i++) {
        struct sp_value *grown = prove_alloc(d->s->p, n + 1, sizeof *grown);
        struct sp_value value = {.kind = SP_VALUE_ARRAY};
        if (!grown) {
            return;
        }
        if (n) {
            memcpy(grown, base->as.array.items, n * sizeof *grown);
        }
        grown[n] = sink->items[i];
        value.as.array.items = grown;
        value.as.array.n = n + 1;
        domain_add(d, CHOICE_VALUE, value);
    }
}

/* Arrays: as many of each element as some atom can be decided by, grown one element at a time
 * while that gives new truths. */
static void domain_arrays(struct domain *d)
{
    struct prove *p = d->s->p;
    struct sp_value items[ITEMS_MAX];
    struct sink sink = {d, put_item, items, 0};
    const struct field *first = NULL;
    for (size_t i = 0; i < d->n_atoms; i++) {
        const struct field *field = &d->atoms[i]->condition->field;
        if (field->quantifier == QUANTIFIER_NONE) {
            continue;
        }
        size_t from = sink.n_items;
        put_atoms(&sink, d, true, field);
        for (size_t j = from; j < sink.n_items; j++) {
            items[j] = nest(p, field, items[j]);
        }
        /* Several fields of one element, and twins in it, are not enumerated. */
        p->incomplete = p->incomplete || field->n_item_parts > 0;
        first = field;
    }
    if (!first) {
        return;
    }
    struct sp_value array = {.kind = SP_VALUE_ARRAY};
    size_t from = d->n;
    if (d->form) { /* which has no empty one */
        grow_array(d, &array, &sink);
    } else {
        domain_add(d, CHOICE_VALUE, array);
    }
    for (size_t at = from; at < d->n && prove_step(p, sink.n_items); at++) {
        struct sp_value base = d->options[at].value;
        if (d->n > ITEMS_MAX) {
            p->incomplete = true;
            return;
        }
        grow_array(d, &base, &sink);
    }
}

static void domain_make(struct search *s, struct place *place)
{
    struct prove *p = s->p;
    bool root = !place->parent && place->source != FIELD_HEADER;
    struct domain d = {.s = s,
                       .place = place,
                       .form = place->source == FIELD_QUERY ||
                               (place->source == FIELD_BODY && s->body_kind == SP_BODY_FORM)};
    d.atoms = prove_alloc(p, s->n_atoms, sizeof *d.atoms);
    if (!d.atoms) {
        return;
    }
    for (size_t i = 0; i < s->n_atoms; i++) {
        if (s->atoms[i].place == place) {
            d.atoms[d.n_atoms++] = &s->atoms[i];
        }
    }
    struct sp_value object = {.kind = SP_VALUE_OBJECT};
    struct sink sink = {&d, put_option, NULL, 0};
    if (!root) {
        domain_add(&d, CHOICE_ABSENT, object);
    }
    if (!root || !d.form) {
        put_atoms(&sink, &d, false, NULL);
        domain_arrays(&d);
    }
    if (place->source != FIELD_HEADER && (root || place->has_children || place->has_only)) {
        domain_add(&d, CHOICE_OBJECT, object);
    }
    if (!root && (d.form || place->source == FIELD_HEADER)) {
        domain_add(&d, CHOICE_TWICE, (struct sp_value){.kind = SP_VALUE_AMBIGUOUS});
    }
    place->options = d.options;
    place->n_options = d.n;
}

/* ---- truths of what is chosen so far --------------------------------------------------------
 */

/* The place above which nothing is missing: *ret_open where something on the way is open. */
static bool is_reached(const struct place *place, bool *ret_open)
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

static bool is_there(const struct place *place)
{
    return place->chosen && place->chosen->choice != CHOICE_ABSENT;
}

static unsigned only_mask(const struct search *s, const struct condition *c,
                          const struct place *object)
{
    bool open = false;
    if (object->extra) {
        return MASK_FALSE;
    }
    open = !object->decided ||
           (object->source == FIELD_QUERY && !object->parent && s->extra_query);
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
        if (child->twin || (is_there(child) && !listed)) {
            return MASK_FALSE;
        }
        open = open || !child->decided || (!child->chosen && !listed);
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
    bool reached = is_reached(place, &open);
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

static bool rule_reads_query(const struct sp_rule *rule, struct sp_text name)
{
    for (size_t i = 0; i < rule->n_reads; i++) {
        const struct field *field = rule->reads[i];
        if (field->source == FIELD_QUERY && field->n_parts > 0 &&
            sp_text_eq(field->parts[0], name)) {
            return true;
        }
    }
    return false;
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
        if (!rule->reads_body || !top_query || rule_reads_query(rule, place->name)) {
            continue;
        }
        if (place->twin || is_there(place)) {
            return 2;
        }
        open = open || !place->chosen || !place->decided;
    }
    for (size_t i = 0; i < rule->n_reads; i++) {
        const struct field *field = rule->reads[i];
        if (field->source == FIELD_PATH) {
            continue;
        }
        const struct place *place = place_for(s, field);
        for (; place; place = place->parent) {
            if (place->twin || (place->chosen && place->chosen->choice == CHOICE_TWICE)) {
                return 2;
            }
            open = open || !place->chosen || !place->decided;
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

enum goal { GOAL_LOST, GOAL_OPEN, GOAL_MET };

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
static enum goal goal_of(struct search *s)
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

/* ---- the request that was found -------------------------------------------------------------
 */

static struct sp_text twin_name(struct prove *p, struct sp_text name)
{
    char *copy = prove_alloc(p, name.len + 1, 1);
    for (size_t i = 0; copy && i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        copy[i] = letter ? (char)(c ^ 0x20) : c;
    }
    return copy ? (struct sp_text){copy, name.len} : name;
}

static struct sp_value text_of(enum field_source source, enum sp_body_kind kind,
                               const char *text)
{
    bool json = source == FIELD_BODY && kind == SP_BODY_JSON;
    struct sp_value value = {.kind = json ? SP_VALUE_STRING : SP_VALUE_FORM};
    value.as.text = sp_text_of(text);
    return value;
}

static struct sp_value tree_of(struct search *s, const struct place *place)
{
    if (place->chosen && place->chosen->choice != CHOICE_OBJECT) {
        return place->chosen->value;
    }
    struct sp_member *items = prove_alloc(s->p, 2 * s->n_places + 2, sizeof *items);
    struct sp_value value = {.kind = SP_VALUE_OBJECT};
    struct sp_value filler = text_of(place->source, s->body_kind, "1");
    size_t n = 0;
    for (size_t i = 0; items && i < s->n_places; i++) {
        const struct place *child = s->places[i];
        if (child->parent != place) {
            continue;
        }
        if (child->twin) {
            items[n++] = (struct sp_member){twin_name(s->p, child->name), filler};
        }
        if (is_there(child)) {
            items[n++] = (struct sp_member){child->name, tree_of(s, child)};
        }
    }
    bool extra =
        place->extra || (place->source == FIELD_QUERY && !place->parent && s->extra_query);
    if (items && extra) {
        items[n++] = (struct sp_member){s->p->word, filler};
    }
    value.as.object.items = items;
    value.as.object.n = n;
    return value;
}

/* Pairs for a tree; where it cannot be written so, what comes back is another tree, and the
 * replay says no. */
static void pairs_of(struct search *s, const struct sp_value *value, struct sp_buf *name,
                     struct sp_param *pairs, size_t *n)
{
    size_t len = name->len;
    struct sp_param *pair = &pairs[*n];
    if (*n + 2 >= SP_URL_MAX_PARAMS) {
        return;
    }
    switch ((int)value->kind) {
    case SP_VALUE_OBJECT:
        for (size_t i = 0; i < value->as.object.n; i++) {
            const struct sp_member *member = &value->as.object.items[i];
            if (len) {
                sp_buf_add_byte(name, '[');
            }
            sp_buf_add_text(name, member->name);
            if (len) {
                sp_buf_add_byte(name, ']');
            }
            pairs_of(s, &member->value, name, pairs, n);
            name->len = len;
        }
        return;
    case SP_VALUE_ARRAY:
        sp_buf_add_str(name, "[]");
        for (size_t i = 0; i < value->as.array.n; i++) {
            pairs_of(s, &value->as.array.items[i], name, pairs, n);
        }
        name->len = len;
        return;
    default:
        break;
    }
    pair->name = sp_arena_copy(&s->p->arena, sp_buf_text(name));
    pair->value = value->kind == SP_VALUE_AMBIGUOUS ? SP_TEXT("1") : value->as.text;
    pair->has_value = true;
    s->p->out_of_memory = s->p->out_of_memory || !pair->name.ptr;
    ++*n;
    if (value->kind == SP_VALUE_AMBIGUOUS) {
        pairs[*n] = *pair;
        ++*n;
    }
}

/* The tree as pairs, and the tree that those make. */
static const struct sp_value *through_pairs(struct search *s, const struct sp_value *value,
                                            const struct sp_param **ret_pairs, size_t *ret_n)
{
    char room[1024];
    struct sp_buf name;
    struct sp_param *pairs = prove_alloc(s->p, SP_URL_MAX_PARAMS + 2, sizeof *pairs);
    struct sp_value *tree = prove_alloc(s->p, 1, sizeof *tree);
    size_t n = 0;
    if (!pairs || !tree) {
        return NULL;
    }
    sp_buf_over(&name, room, sizeof room);
    pairs_of(s, value, &name, pairs, &n);
    if (name.failed || sp_form_tree(&s->p->arena, pairs, n, tree)) {
        s->p->incomplete = true;
        return NULL;
    }
    *ret_pairs = pairs;
    *ret_n = n;
    return tree;
}

static bool header_is_legal(struct sp_text value)
{
    bool legal = value.len == 0 || (value.ptr[0] != ' ' && value.ptr[value.len - 1] != ' ');
    for (size_t i = 0; i < value.len; i++) {
        legal = legal && (unsigned char)value.ptr[i] >= ' ' && value.ptr[i] != 0x7f;
    }
    return legal;
}

static bool headers_of(struct search *s)
{
    struct sp_header *headers = prove_alloc(s->p, 2 * s->n_places, sizeof *headers);
    size_t n = 0;
    for (size_t i = 0; headers && i < s->n_places; i++) {
        const struct place *place = s->places[i];
        if (place->source != FIELD_HEADER || !is_there(place)) {
            continue;
        }
        bool twice = place->chosen->choice == CHOICE_TWICE;
        struct sp_text value = twice ? SP_TEXT("1") : place->chosen->value.as.text;
        if (!header_is_legal(value)) {
            return false;
        }
        for (unsigned k = 0; k < (twice ? 2 : 1); k++) {
            headers[n++] = (struct sp_header){place->name, value};
        }
    }
    s->p->request.headers = headers;
    s->p->request.n_headers = n;
    return headers != NULL;
}

/* Put what is chosen into the request; false where it cannot be written down. */
static bool request_make(struct search *s)
{
    struct sp_request *request = &s->p->request;
    const struct sp_param *pairs;
    size_t n;
    request->body_kind = s->body_kind;
    request->body_value = NULL;
    request->query_value = NULL;
    request->url.query = NULL;
    request->url.n_query = 0;
    struct sp_value empty = {.kind = SP_VALUE_OBJECT};
    const struct place *query = NULL, *body = NULL;
    for (size_t i = 0; i < s->n_places; i++) {
        if (!s->places[i]->parent && s->places[i]->source == FIELD_QUERY) {
            query = s->places[i];
        } else if (!s->places[i]->parent && s->places[i]->source == FIELD_BODY) {
            body = s->places[i];
        }
    }
    struct place extra_only = {.source = FIELD_QUERY};
    struct sp_value tree =
        query || s->extra_query ? tree_of(s, query ? query : &extra_only) : empty;
    request->query_value = through_pairs(s, &tree, &request->url.query, &request->url.n_query);
    if (!request->query_value || !headers_of(s)) {
        return false;
    }
    if (s->body_kind == SP_BODY_NONE) {
        return true;
    }
    struct sp_value *copy = prove_alloc(s->p, 1, sizeof *copy);
    if (!copy) {
        return false;
    }
    *copy = body ? tree_of(s, body) : empty;
    request->body_value =
        s->body_kind == SP_BODY_FORM ? through_pairs(s, copy, &pairs, &n) : copy;
    return request->body_value != NULL;
}

/* ---- the search -----------------------------------------------------------------------------
 */

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
    place->decided = true;
    for (unsigned twin = 0; twin < (twins ? 2 : 1) && !found; twin++) {
        for (unsigned extra = 0; extra < (extras ? 2 : 1) && !found; extra++) {
            place->twin = twin > 0;
            place->extra = extra > 0;
            found = descend(s, at + 1);
        }
    }
    if (!found) {
        place->decided = place->twin = place->extra = false;
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
    enum goal goal = goal_of(s);
    if (goal == GOAL_LOST) {
        return false;
    }
    if (goal == GOAL_MET || at == s->n_places) {
        if (request_make(s) && prove_replay(s->p)) {
            return true;
        }
        if (at == s->n_places) {
            return false;
        }
    }
    struct place *place = s->places[at];
    bool open = false, found = false;
    if (!is_reached(place, &open) ||
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
    atoms_of_rules(s, met->inner_allows, met->n_inner_allows);
    atoms_of_rules(s, met->inner_denies, met->n_inner_denies);
    atoms_of_rules(s, met->outer_allows, met->n_outer_allows);
    atoms_of_rules(s, met->outer_denies, met->n_outer_denies);
    for (size_t k = 0; k < (s->reads_body ? 3 : 1); k++) {
        s->body_kind = kinds[k];
        for (size_t i = 0; i < s->n_places; i++) {
            domain_make(s, s->places[i]);
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
