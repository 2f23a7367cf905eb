/* Verdicts in words: which atom failed, and on what. */
#include "match.h"

#include <assert.h>
#include <inttypes.h>

enum { QUOTED_MAX = 32, ATOM_SHOWN_MAX = 96 };

/* Where a cap cut a text, drop what is left of a code point. Nothing at all is UTF-8. */
static void trim(struct sp_buf *buf)
{
    size_t len = buf->len;
    while (!sp_text_is_utf8((struct sp_text){buf->ptr, len})) {
        len--;
    }
    buf->len = len;
    buf->ptr[len] = '\0';
}

/* What the client sent, cut, with everything but plain ASCII as '?'. */
static void quote(struct sp_text text, struct sp_buf *buf)
{
    sp_buf_add_byte(buf, '"');
    for (size_t i = 0; i < text.len && i < QUOTED_MAX; i++) {
        char c = text.ptr[i];
        bool plain = c >= ' ' && c <= '~' && c != '"' && c != '\\';
        sp_buf_add_byte(buf, plain ? (uint8_t)c : '?');
    }
    sp_buf_add_str(buf, text.len > QUOTED_MAX ? "…\"" : "\"");
}

void match_describe_value(const struct sp_value *value, struct sp_buf *buf)
{
    static const char *const kinds[] = {[SP_VALUE_NULL] = "null",
                                        [SP_VALUE_NUMBER] = "a number that is no integer",
                                        [SP_VALUE_ARRAY] = "a list",
                                        [SP_VALUE_OBJECT] = "an object",
                                        [SP_VALUE_AMBIGUOUS] = "given twice"};
    sp_buf_add_str(buf, value ? "it is " : "it is absent");
    if (!value) {
        return;
    }
    switch ((int)value->kind) {
    case SP_VALUE_INT:
        sp_buf_addf(buf, "%" PRId64, value->as.integer);
        break;
    case SP_VALUE_BOOL:
        sp_buf_add_str(buf, value->as.boolean ? "true" : "false");
        break;
    case SP_VALUE_STRING:
    case SP_VALUE_FORM:
        quote(value->as.text, buf);
        break;
    default:
        sp_buf_add_str(buf, kinds[value->kind]);
    }
}

/* The first member that `only` does not list. */
static void describe_others(const struct condition *c, const struct sp_value *object,
                            struct sp_buf *buf)
{
    for (size_t i = 0; i < object->as.object.n; i++) {
        struct sp_text name = object->as.object.items[i].name;
        bool listed = false;
        for (size_t j = 0; j < c->n_names && !listed; j++) {
            listed = sp_text_eq(name, c->names[j]);
        }
        if (!listed) {
            sp_buf_add_str(buf, "it holds ");
            quote(name, buf);
            return;
        }
    }
    sp_buf_add_str(buf, "it holds nothing else");
}

void match_describe_atom(const struct condition *atom, const struct sp_request *request,
                         struct sp_buf *buf)
{
    char text[ATOM_SHOWN_MAX + 1];
    struct sp_buf shown;
    struct sp_value scratch;
    sp_buf_over(&shown, text, sizeof text);
    ast_print_condition(atom, &shown);
    trim(&shown);
    sp_buf_add_text(buf, sp_buf_text(&shown));
    sp_buf_add_str(buf, shown.failed ? "…: " : ": ");
    const struct sp_value *value = match_field(&atom->field, request, &scratch);
    if (value && atom->kind == CONDITION_ONLY && value->kind == SP_VALUE_OBJECT) {
        describe_others(atom, value, buf);
    } else {
        match_describe_value(value, buf);
    }
}

/* The first atom that is not as it would have to be (want: true, or false under a not). */
static const struct condition *culprit(const struct condition *c,
                                       const struct sp_request *request, enum truth want)
{
    const struct condition *found;
    switch ((int)c->kind) {
    case CONDITION_AND:
    case CONDITION_OR:
        found = culprit(c->left, request, want);
        return found ? found : culprit(c->right, request, want);
    case CONDITION_NOT:
        return culprit(c->left, request, (enum truth)(TRUTH_TRUE - want));
    default:
        return match_condition(c, request) == want ? NULL : c;
    }
}

void match_describe_culprit(const struct condition *condition, const struct sp_request *request,
                            struct sp_buf *buf)
{
    const struct condition *atom = culprit(condition, request, TRUTH_TRUE);
    assert(atom); /* were all atoms as wanted, the condition would be */
    match_describe_atom(atom, request, buf);
}
