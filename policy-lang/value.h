/* sp_value: a field value of a request, as conditions see it.
 *
 * Bodies (JSON or urlencoded) and queries are parsed into a tree of these in the request's
 * arena. Numbers are integers or they are not comparable: a JSON 5.0 or 5e3 is a NUMBER, which
 * no condition compares, so it is of the wrong type (design: no floats).
 */
#ifndef SP_VALUE_H
#define SP_VALUE_H

#include "arena.h"
#include "status.h"
#include "text.h"

#include <stdbool.h>
#include <stdint.h>

enum sp_value_kind {
    SP_VALUE_NULL,
    SP_VALUE_BOOL,
    SP_VALUE_INT,    /* a JSON integer that fits int64_t */
    SP_VALUE_NUMBER, /* any other JSON number */
    SP_VALUE_STRING, /* a JSON string */
    SP_VALUE_FORM,   /* a form or query value: a string, and an integer where it is spelled
                        0|-?[1-9][0-9]{0,17} */
    SP_VALUE_ARRAY,
    SP_VALUE_OBJECT,
    SP_VALUE_AMBIGUOUS, /* the same form key came twice, or as scalar and as object */
};

struct sp_member;

struct sp_value {
    enum sp_value_kind kind;
    union {
        bool boolean;
        int64_t integer;
        struct sp_text text; /* STRING, FORM */
        struct {
            const struct sp_value *items;
            size_t n;
        } array;
        struct {
            const struct sp_member *items;
            size_t n;
        } object; /* in order of arrival */
    } as;
};

struct sp_member {
    struct sp_text name;
    struct sp_value value;
};

/* The integer in text by the rule above, for FORM values. */
bool sp_form_int(struct sp_text text, int64_t *ret_integer);

/* The member of an object, by exact name; NULL where absent or where value is no object. */
const struct sp_value *sp_value_get(const struct sp_value *value, struct sp_text name);

struct sp_param; /* request.h */

/* Build the object for a list of decoded pairs: `a=1`, `metadata[order_id]=7` nests, `tags[]=x`
 * appends to an array, a key that comes twice or clashes is AMBIGUOUS. Never rejects: what it
 * cannot nest (unbalanced brackets, deeper than 16, brackets or blanks in front) is AMBIGUOUS
 * under its root name, and so is an array whose elements frameworks part differently (more
 * than one of `a[][x]=1`, and `a[][]=1`).
 * SP_ENOMEM only. The texts are borrowed from params. */
sp_status sp_form_tree(struct sp_arena *arena, const struct sp_param *params, size_t n_params,
                       struct sp_value *ret_object);

#endif
