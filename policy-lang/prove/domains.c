/* Domains: the values worth trying at a place. One of each kind that its atoms can tell apart:
 * the boundaries of each integer, each string, each prefix with something behind it, another
 * type, absence. Which are alike is what the interpreter's own truths say. */
#include "choices.h"

#include <assert.h>
#include <inttypes.h>

enum { ITEMS_MAX = 512 }; /* elements, and arrays of them */

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

/* Whether a request can have it as a header's value. */
static bool header_is_legal(struct sp_text value)
{
    bool legal = value.len == 0 || (value.ptr[0] != ' ' && value.ptr[value.len - 1] != ' ');
    for (size_t i = 0; i < value.len; i++) {
        legal = legal && (unsigned char)value.ptr[i] >= ' ' && value.ptr[i] != 0x7f;
    }
    return legal;
}

/* What no request has must not stand for others of the same truths that one has. */
static void put_option(struct sink *sink, struct sp_value value)
{
    if (sink->d->place->source != FIELD_HEADER || header_is_legal(value.as.text)) {
        domain_add(sink->d, CHOICE_VALUE, value);
    }
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
    for (int64_t by = -1; by <= 1; by++) {
        if (!((by < 0 && integer == INT64_MIN) || (by > 0 && integer == INT64_MAX))) {
            sink->put(sink, int_value(sink->d, integer + by));
        }
    }
}

static void put_constant(struct sink *sink, const struct constant *constant)
{
    struct sp_value value = {.kind = SP_VALUE_BOOL};
    assert(constant->kind != CONSTANT_PARAM); /* the search takes no scope with parameters */
    if (constant->kind == CONSTANT_INT) {
        put_int(sink, constant->integer);
    } else if (constant->kind == CONSTANT_STRING) {
        sink->put(sink, text_value(sink->d, constant->text));
    } else if (sink->d->form) {
        sink->put(sink, text_value(sink->d, SP_TEXT("true")));
        sink->put(sink, text_value(sink->d, SP_TEXT("false")));
    } else {
        value.as.boolean = true;
        sink->put(sink, value);
        value.as.boolean = false;
        sink->put(sink, value);
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
        sink->put(sink, text_value(sink->d, text_join(p, c->constant.text, p->word.ptr)));
        break;
    case CONDITION_HAS:
    case CONDITION_ONLY:
        break;
    default:
        put_constant(sink, &c->constant);
    }
}

/* What is there and no text: `a[]=1` beside `a=1`. Forms have no null. */
static struct sp_value other_form(struct prove *p, enum sp_value_kind kind)
{
    struct sp_value *item = prove_alloc(p, 1, sizeof *item);
    struct sp_member *member = prove_alloc(p, 1, sizeof *member);
    struct sp_value value = {.kind = kind};
    if (!item || !member) {
        return value;
    }
    *item = (struct sp_value){.kind = SP_VALUE_FORM};
    item->as.text = p->word;
    *member = (struct sp_member){p->word, *item};
    if (kind == SP_VALUE_ARRAY) {
        value.as.array.items = item;
        value.as.array.n = 1;
    } else {
        value.as.object.items = member;
        value.as.object.n = 1;
    }
    return value;
}

static void put_atoms(struct sink *sink, const struct domain *d, bool quantified,
                      const struct field *like)
{
    /* First of the elements, as nothing but the first of an array can be an object for all who
     * read forms. */
    if (quantified && d->form) {
        sink->put(sink, other_form(d->s->p, SP_VALUE_OBJECT));
    }
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
            c->kind == CONDITION_IN ? c->set : &c->constant; /* no set is empty */
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

void search_domain(struct search *s, struct place *place)
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
        if (d.form) {
            domain_add(&d, CHOICE_VALUE, other_form(p, SP_VALUE_ARRAY));
        }
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
