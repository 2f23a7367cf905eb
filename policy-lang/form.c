/* Urlencoded pairs, and the tree that bracketed names make of them. */
#include "percent.h"
#include "request.h"
#include "value.h"

#include <stdint.h>

/* A name and five brackets: what qs reads as they are (its option depth, 5); it takes the rest
 * of a deeper name for one literal key. */
enum { NESTING_MAX = 6 };

bool sp_form_int(struct sp_text text, int64_t *ret_integer)
{
    size_t i = text.len > 0 && text.ptr[0] == '-';
    size_t digits = text.len - i;
    if (digits == 0 || digits > 18 || (text.ptr[i] == '0' && text.len > 1)) {
        return false;
    }
    int64_t number = 0;
    for (size_t d = i; d < text.len; d++) {
        if (text.ptr[d] < '0' || text.ptr[d] > '9') {
            return false;
        }
        number = number * 10 + (text.ptr[d] - '0');
    }
    *ret_integer = i ? -number : number;
    return true;
}

const struct sp_value *sp_value_get(const struct sp_value *value, struct sp_text name)
{
    if (value->kind != SP_VALUE_OBJECT) {
        return NULL;
    }
    for (size_t i = 0; i < value->as.object.n; i++) {
        if (sp_text_eq(value->as.object.items[i].name, name)) {
            return &value->as.object.items[i].value;
        }
    }
    return NULL;
}

/* ---- pairs ---------------------------------------------------------------------------------
 */

/* Decode one name or value: '+' is a space, and the result is UTF-8 without NUL. */
static sp_status component(struct sp_arena *arena, struct sp_text raw, const char *what,
                           struct sp_text *ret_text, struct sp_error *err)
{
    char *out = sp_arena_alloc(arena, raw.len);
    if (!out) {
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    size_t n = 0;
    for (size_t i = 0; i < raw.len; i++) {
        unsigned char byte = (unsigned char)raw.ptr[i];
        if (byte == '+') {
            byte = ' ';
        } else if (byte == '%') {
            int code = percent_decode(raw, i);
            if (code < 0) {
                return sp_fail(err, SP_EINVAL, "%s: malformed %%-escape", what);
            }
            byte = (unsigned char)code;
            i += 2;
        } else if (byte <= ' ' || byte == 0x7f) {
            return sp_fail(err, SP_EINVAL, "%s: raw space or control byte", what);
        }
        if (byte == '\0') {
            return sp_fail(err, SP_EINVAL, "%s: NUL", what);
        }
        out[n++] = (char)byte;
    }
    *ret_text = (struct sp_text){out, n};
    return sp_text_is_utf8(*ret_text) ? SP_OK : sp_fail(err, SP_EINVAL, "%s: not UTF-8", what);
}

static sp_status pair(struct sp_arena *arena, struct sp_text raw, struct sp_param *ret_param,
                      struct sp_error *err)
{
    const char *equals = memchr(raw.ptr, '=', raw.len);
    size_t name_len = equals ? (size_t)(equals - raw.ptr) : raw.len;
    struct sp_text value = {raw.ptr + raw.len, 0};
    if (equals) {
        value = (struct sp_text){equals + 1, raw.len - name_len - 1};
    }
    ret_param->has_value = equals != NULL;
    sp_status status = component(arena, (struct sp_text){raw.ptr, name_len}, "parameter name",
                                 &ret_param->name, err);
    return status ? status : component(arena, value, "parameter value", &ret_param->value, err);
}

/* Empty pairs ("a&&b") say nothing to any reader, so they are dropped. */
sp_status sp_query_parse(struct sp_arena *arena, struct sp_text raw, size_t max_params,
                         const struct sp_param **ret_params, size_t *ret_n_params,
                         struct sp_error *err)
{
    size_t room = 1;
    for (size_t i = 0; i < raw.len; i++) {
        room += raw.ptr[i] == '&';
    }
    room = room < max_params ? room : max_params;
    struct sp_param *params = sp_arena_array(arena, room, sizeof *params);
    if (!params) {
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    size_t n = 0;
    for (size_t start = 0, end; start < raw.len; start = end + 1) {
        const char *amp = memchr(raw.ptr + start, '&', raw.len - start);
        end = amp ? (size_t)(amp - raw.ptr) : raw.len;
        if (end == start) {
            continue;
        }
        if (n == room) {
            return sp_fail(err, SP_ETOOBIG, "more than %zu parameters", max_params);
        }
        sp_status status =
            pair(arena, (struct sp_text){raw.ptr + start, end - start}, &params[n], err);
        if (status) {
            return status;
        }
        n++;
    }
    *ret_params = params;
    *ret_n_params = n;
    return SP_OK;
}

/* Whether qs takes text.ptr[i], not the first '=' of its pair, for the end of the name: it
 * looks for "]=", encoded or not, before it looks for '='. */
static bool ends_in_bracket(struct sp_text text, size_t i)
{
    return text.ptr[i - 1] == ']' || (i >= 3 && percent_decode(text, i - 3) == ']');
}

/* What parts a body in another way for some reader; NULL where nothing does. A query is printed
 * anew, so that its parts are plain; a body is sent as it came. */
static const char *body_fault(struct sp_text raw)
{
    bool in_value = false;
    for (size_t i = 0; i < raw.len; i++) {
        switch (raw.ptr[i]) {
        case ';': /* parts pairs for HTML 4.01 (appendix B.2.2), and for Rack 2 and others still
                   */
            return "a raw ';'; write it as %3B";
        case '&':
            in_value = false;
            break;
        case '=':
            if (in_value && ends_in_bracket(raw, i)) {
                return "a raw ']=' in a value; write its '=' as %3D";
            }
            in_value = true;
            break;
        default:
            break;
        }
    }
    return NULL;
}

sp_status sp_form_parse(struct sp_arena *arena, struct sp_text raw, size_t max_params,
                        const struct sp_param **ret_params, size_t *ret_n_params,
                        struct sp_error *err)
{
    const char *fault = body_fault(raw);
    if (fault) {
        return sp_fail(err, SP_EINVAL, "form: %s", fault);
    }
    return sp_query_parse(arena, raw, max_params, ret_params, ret_n_params, err);
}

/* ---- the tree ------------------------------------------------------------------------------
 */

/* While it grows: children in a list; turned into arrays at the end. */
struct node {
    struct sp_text name;
    enum { NODE_EMPTY, NODE_SCALAR, NODE_OBJECT, NODE_ARRAY, NODE_AMBIGUOUS } kind;
    struct sp_text text;
    struct node *first, *last, *next;
    size_t n;
};

static struct node *child_add(struct sp_arena *arena, struct node *parent, struct sp_text name)
{
    struct node *child = sp_arena_alloc(arena, sizeof *child);
    if (child) {
        child->name = name;
        if (parent->last) {
            parent->last->next = child;
        } else {
            parent->first = child;
        }
        parent->last = child;
        parent->n++;
    }
    return child;
}

static struct node *child_find(const struct node *parent, struct sp_text name)
{
    struct node *child = parent->first;
    while (child && !sp_text_eq(child->name, name)) {
        child = child->next;
    }
    return child;
}

static struct node *child_of(struct sp_arena *arena, struct node *parent, struct sp_text name)
{
    struct node *child = child_find(parent, name);
    return child ? child : child_add(arena, parent, name);
}

static bool is_bracket(char c)
{
    return c == '[' || c == ']';
}

/* Cut "a[b][c]" into a, b, c. False where the brackets are not balanced or nest too deeply, or
 * where something stands before the first part: Rack and qs read "[a]" as a, PHP reads " a" as
 * a. Then the first part alone is given, so that the clash is seen where a rule reads it. */
static bool name_split(struct sp_text name, struct sp_text parts[NESTING_MAX], size_t *ret_n)
{
    size_t start = 0, n = 1;
    while (start < name.len && (is_bracket(name.ptr[start]) || name.ptr[start] == ' ')) {
        start++;
    }
    size_t i = start;
    while (i < name.len && !is_bracket(name.ptr[i])) {
        i++;
    }
    parts[0] = start < name.len ? (struct sp_text){name.ptr + start, i - start} : name;
    *ret_n = 1;
    if (start > 0) {
        return false;
    }
    while (i < name.len) {
        const char *open = name.ptr + i;
        const char *close = *open == '[' ? memchr(open, ']', name.len - i) : NULL;
        if (!close || n == NESTING_MAX ||
            memchr(open + 1, '[', (size_t)(close - open) - 1) != NULL) {
            return false;
        }
        parts[n++] = (struct sp_text){open + 1, (size_t)(close - open) - 1};
        i = (size_t)(close - name.ptr) + 1;
    }
    *ret_n = n;
    return true;
}

/* True for "" too: both are positions in an array. */
static bool is_index(struct sp_text part)
{
    size_t i = 0;
    while (i < part.len && part.ptr[i] >= '0' && part.ptr[i] <= '9') {
        i++;
    }
    return i == part.len;
}

/* Whether every reader sees one new element for "a[][x]"; below is what follows the "[]".
 * Beside another element PHP does, Rack goes on with that one where it has no x, and qs adds to
 * its x. Elements of "a[][]" and "a[][0]" are elements of a itself for qs. */
static bool begins_element(const struct node *array, const struct sp_text *below,
                           size_t n_below)
{
    return n_below == 0 || (!array->first && !is_index(below[0]));
}

/* Put one value at its place; a place that is used twice, or in two ways, is ambiguous. */
static sp_status put(struct sp_arena *arena, struct node *root, const struct sp_param *param)
{
    struct sp_text parts[NESTING_MAX];
    size_t n;
    bool good = name_split(param->name, parts, &n);
    struct node *node = child_of(arena, root, parts[0]);
    for (size_t i = 1; good && node && i < n; i++) {
        bool append = parts[i].len == 0;
        if (node->kind == NODE_EMPTY) {
            node->kind = append ? NODE_ARRAY : NODE_OBJECT;
        } else if (node->kind != (append ? NODE_ARRAY : NODE_OBJECT)) {
            node->kind = NODE_AMBIGUOUS;
            return SP_OK;
        }
        if (append && !begins_element(node, parts + i + 1, n - i - 1)) {
            node->kind = NODE_AMBIGUOUS;
            return SP_OK;
        }
        node = append ? child_add(arena, node, parts[i]) : child_of(arena, node, parts[i]);
    }
    if (!node) {
        return SP_ENOMEM;
    }
    node->kind = good && node->kind == NODE_EMPTY ? NODE_SCALAR : NODE_AMBIGUOUS;
    node->text = param->value;
    return SP_OK;
}

static sp_status build(struct sp_arena *arena, const struct node *node,
                       struct sp_value *ret_value);

static sp_status build_array(struct sp_arena *arena, const struct node *node,
                             struct sp_value *ret_value)
{
    struct sp_value *items = sp_arena_array(arena, node->n, sizeof *items);
    sp_status status = items ? SP_OK : SP_ENOMEM;
    size_t n = 0;
    for (const struct node *child = node->first; child && !status; child = child->next) {
        status = build(arena, child, &items[n++]);
    }
    ret_value->kind = SP_VALUE_ARRAY;
    ret_value->as.array.items = items;
    ret_value->as.array.n = n;
    return status;
}

static sp_status build_object(struct sp_arena *arena, const struct node *node,
                              struct sp_value *ret_value)
{
    struct sp_member *items = sp_arena_array(arena, node->n, sizeof *items);
    sp_status status = items ? SP_OK : SP_ENOMEM;
    size_t n = 0;
    for (const struct node *child = node->first; child && !status; child = child->next) {
        items[n].name = child->name;
        status = build(arena, child, &items[n++].value);
    }
    ret_value->kind = SP_VALUE_OBJECT;
    ret_value->as.object.items = items;
    ret_value->as.object.n = n;
    return status;
}

/* Recursion is bounded by NESTING_MAX. */
static sp_status build(struct sp_arena *arena, const struct node *node,
                       struct sp_value *ret_value)
{
    if (node->kind == NODE_OBJECT) {
        return build_object(arena, node, ret_value);
    }
    if (node->kind == NODE_ARRAY) {
        return build_array(arena, node, ret_value);
    }
    ret_value->kind = node->kind == NODE_SCALAR ? SP_VALUE_FORM : SP_VALUE_AMBIGUOUS;
    ret_value->as.text = node->text;
    return SP_OK;
}

sp_status sp_form_tree(struct sp_arena *arena, const struct sp_param *params, size_t n_params,
                       struct sp_value *ret_object)
{
    struct node root = {.kind = NODE_OBJECT};
    for (size_t i = 0; i < n_params; i++) {
        if (put(arena, &root, &params[i])) {
            return SP_ENOMEM;
        }
    }
    return build(arena, &root, ret_object);
}
