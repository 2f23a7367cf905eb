/* Conditions against each other: equal, or one true wherever the other is. */
#include "match.h"

enum { SET_WORK_MAX = 1000000 }; /* comparisons of set with set */

static bool texts_equal(const struct sp_text *a, size_t n_a, const struct sp_text *b,
                        size_t n_b)
{
    bool equal = n_a == n_b;
    for (size_t i = 0; equal && i < n_a; i++) {
        equal = sp_text_eq(a[i], b[i]);
    }
    return equal;
}

static bool constant_equal(const struct constant *a, const struct constant *b)
{
    return a->kind == b->kind && a->integer == b->integer && sp_text_eq(a->text, b->text);
}

/* Captures are the same where they are the same segment, whatever they are called. */
bool field_equal(const struct field *a, const struct field *b)
{
    return a->source == b->source && a->quantifier == b->quantifier &&
           a->segment == b->segment &&
           (a->source == FIELD_PATH ||
            texts_equal(a->parts, a->n_parts, b->parts, b->n_parts)) &&
           texts_equal(a->item_parts, a->n_item_parts, b->item_parts, b->n_item_parts);
}

static bool atom_equal(const struct condition *a, const struct condition *b)
{
    bool equal = field_equal(&a->field, &b->field) &&
                 constant_equal(&a->constant, &b->constant) && a->low == b->low &&
                 a->high == b->high && a->n_set == b->n_set &&
                 texts_equal(a->names, a->n_names, b->names, b->n_names);
    for (size_t i = 0; equal && i < a->n_set; i++) {
        equal = constant_equal(&a->set[i], &b->set[i]);
    }
    return equal;
}

bool condition_equal(const struct condition *a, const struct condition *b)
{
    if (!a || !b) {
        return a == b;
    }
    if (a->kind != b->kind || !condition_equal(a->left, b->left) ||
        !condition_equal(a->right, b->right)) {
        return false;
    }
    return a->left || atom_equal(a, b); /* and, or, not: nothing else in the node */
}

/* ---- atoms ---------------------------------------------------------------------------------
 */

/* Whether a value equal to the constant makes outer true. */
static bool constant_meets(const struct constant *constant, const struct condition *outer)
{
    switch ((int)outer->kind) {
    case CONDITION_EQ:
        return constant_equal(constant, &outer->constant);
    case CONDITION_IN:
        for (size_t i = 0; i < outer->n_set; i++) {
            if (constant_equal(constant, &outer->set[i])) {
                return true;
            }
        }
        return false;
    case CONDITION_RANGE:
        return constant->kind == CONSTANT_INT && constant->integer >= outer->low &&
               constant->integer <= outer->high;
    case CONDITION_STARTS:
        return constant->kind == CONSTANT_STRING && outer->constant.kind == CONSTANT_STRING &&
               sp_text_starts(constant->text, outer->constant.text);
    default:
        return false;
    }
}

static bool names_within(const struct condition *inner, const struct condition *outer)
{
    for (size_t i = 0; i < inner->n_names; i++) {
        bool found = false;
        for (size_t j = 0; j < outer->n_names && !found; j++) {
            found = sp_text_eq(inner->names[i], outer->names[j]);
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

/* A stricter demand on the same field: true only on values of the same type, so unknown does
 * not come into it. Parameters have no value yet, and so imply nothing. */
static bool atom_implies(const struct condition *inner, const struct condition *outer)
{
    if (inner->left || outer->left || !field_equal(&inner->field, &outer->field)) {
        return false;
    }
    switch ((int)inner->kind) {
    case CONDITION_EQ:
        return inner->constant.kind != CONSTANT_PARAM &&
               constant_meets(&inner->constant, outer);
    case CONDITION_IN:
        if (inner->n_set * (outer->n_set + 1) > SET_WORK_MAX) {
            return false;
        }
        for (size_t i = 0; i < inner->n_set; i++) {
            if (inner->set[i].kind == CONSTANT_PARAM ||
                !constant_meets(&inner->set[i], outer)) {
                return false;
            }
        }
        return true;
    case CONDITION_RANGE:
        return outer->kind == CONDITION_RANGE && inner->low >= outer->low &&
               inner->high <= outer->high;
    case CONDITION_STARTS:
        /* Nothing but a shorter prefix: what begins with the text need not be the text. */
        return outer->kind == CONDITION_STARTS && inner->constant.kind == CONSTANT_STRING &&
               constant_meets(&inner->constant, outer);
    case CONDITION_ONLY:
        return outer->kind == CONDITION_ONLY && names_within(inner, outer);
    default:
        return false;
    }
}

bool condition_implies(const struct condition *inner, const struct condition *outer)
{
    if (outer->kind == CONDITION_AND) {
        return condition_implies(inner, outer->left) && condition_implies(inner, outer->right);
    }
    if (condition_equal(inner, outer) || atom_implies(inner, outer)) {
        return true;
    }
    return inner->kind == CONDITION_AND &&
           (condition_implies(inner->left, outer) || condition_implies(inner->right, outer));
}
