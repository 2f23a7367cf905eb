/* Changes in words: "body.amount would have to be at most 5000; it is 5001". */
#include "nearest.h"

#include <inttypes.h>

enum { WORDS_MAX_BYTES = 8 << 10, SET_SHOWN = 8 };

/* ---- which atom is behind a change
 * -----------------------------------------------------------
 */

static bool reads_place(const struct condition *atom, const struct edit *edit)
{
    static const enum field_source sources[] = {[EDIT_BODY] = FIELD_BODY,
                                                [EDIT_QUERY] = FIELD_QUERY,
                                                [EDIT_HEADER] = FIELD_HEADER,
                                                [EDIT_PATH] = FIELD_PATH};
    const struct field *field = &atom->field;
    if (edit->kind == EDIT_METHOD || field->source != sources[edit->kind]) {
        return false;
    }
    if (edit->kind == EDIT_PATH) {
        return field->segment == edit->segment;
    }
    for (size_t i = 0; i < field->n_parts; i++) {
        if (i == edit->n_steps) {
            return true; /* an object above it is made, or taken away */
        }
        if (edit->steps[i].is_index || !sp_text_eq(edit->steps[i].name, field->parts[i])) {
            return false;
        }
    }
    return true;
}

const struct condition *reason_of(const struct condition *c, bool want, const struct edit *edit,
                                  const struct sp_request *before,
                                  const struct sp_request *after, bool *ret_want)
{
    if (c->kind == CONDITION_NOT) {
        return reason_of(c->left, !want, edit, before, after, ret_want);
    }
    if (c->kind == CONDITION_AND || c->kind == CONDITION_OR) {
        const struct condition *left = reason_of(c->left, want, edit, before, after, ret_want);
        return left ? left : reason_of(c->right, want, edit, before, after, ret_want);
    }
    enum truth wanted = want ? TRUTH_TRUE : TRUTH_FALSE;
    if (!reads_place(c, edit) || match_condition(c, before) == wanted ||
        match_condition(c, after) != wanted) {
        return NULL;
    }
    *ret_want = want;
    return c;
}

/* ---- what it asks for -----------------------------------------------------------------------
 */

static void print_constant(const struct constant *c, struct sp_buf *buf)
{
    if (c->kind == CONSTANT_INT) {
        sp_buf_addf(buf, "%" PRId64, c->integer);
    } else if (c->kind == CONSTANT_BOOL) {
        sp_buf_add_str(buf, c->integer ? "true" : "false");
    } else {
        ast_print_string(c->text, buf);
    }
}

static void print_set(const struct condition *atom, bool want, struct sp_buf *buf)
{
    if (!want) {
        sp_buf_add_str(buf, "none of ");
    } else if (atom->n_set > 1) {
        sp_buf_add_str(buf, "one of ");
    }
    for (size_t i = 0; i < atom->n_set && i < SET_SHOWN; i++) {
        sp_buf_add_str(buf, i ? ", " : "");
        print_constant(&atom->set[i], buf);
    }
    if (atom->n_set > SET_SHOWN) {
        sp_buf_addf(buf, " … (%zu in all)", atom->n_set);
    }
}

static bool as_number(const struct sp_value *value, int64_t *ret_integer)
{
    if (value && value->kind == SP_VALUE_INT) {
        *ret_integer = value->as.integer;
        return true;
    }
    return value && value->kind == SP_VALUE_FORM && sp_form_int(value->as.text, ret_integer);
}

static void print_range(const struct condition *atom, bool want, const struct sp_value *was,
                        struct sp_buf *buf)
{
    int64_t value;
    bool number = as_number(was, &value), low = atom->low != INT64_MIN;
    bool high = atom->high != INT64_MAX;
    if (!want) {
        if (low) {
            sp_buf_addf(buf, "less than %" PRId64, atom->low);
        }
        if (high) {
            sp_buf_addf(buf, "%smore than %" PRId64, low ? ", or " : "", atom->high);
        }
    } else if (high && (!low || (number && value > atom->high))) {
        sp_buf_addf(buf, "at most %" PRId64, atom->high);
    } else if (low && (!high || (number && value < atom->low))) {
        sp_buf_addf(buf, "at least %" PRId64, atom->low);
    } else {
        sp_buf_addf(buf, "an integer from %" PRId64 " to %" PRId64, atom->low, atom->high);
    }
}

static void print_order(enum condition_kind kind, bool want, int64_t bound, struct sp_buf *buf)
{
    static const char *const words[] = {"less than", "at most", "more than", "at least"};
    static const size_t opposite[] = {3, 2, 1, 0};
    size_t at = kind == CONDITION_LT   ? 0
                : kind == CONDITION_LE ? 1
                : kind == CONDITION_GT ? 2
                                       : 3;
    sp_buf_addf(buf, "%s %" PRId64, words[want ? at : opposite[at]], bound);
}

void reason_print(const struct condition *atom, bool want, const struct sp_value *was,
                  const struct edit *edit, struct sp_buf *buf)
{
    if (edit->removes) {
        sp_buf_add_str(buf, "left out");
        return;
    }
    switch ((int)atom->kind) {
    case CONDITION_EQ:
    case CONDITION_NE:
        if ((atom->kind == CONDITION_EQ) != want) {
            sp_buf_add_str(buf, "something other than ");
        }
        print_constant(&atom->constant, buf);
        break;
    case CONDITION_IN:
        print_set(atom, want, buf);
        break;
    case CONDITION_RANGE:
        print_range(atom, want, was, buf);
        break;
    case CONDITION_STARTS:
        sp_buf_add_str(buf, want ? "text that begins with " : "text that does not begin with ");
        ast_print_string(atom->constant.text, buf);
        break;
    case CONDITION_HAS:
        sp_buf_add_str(buf, "given");
        break;
    case CONDITION_ONLY:
        sp_buf_add_str(buf, want ? "an object of those fields alone" : "given");
        break;
    default:
        print_order(atom->kind, want, atom->constant.integer, buf);
    }
}

static void print_value(const struct sp_value *value, struct sp_buf *buf)
{
    if (value->kind == SP_VALUE_INT) {
        sp_buf_addf(buf, "%" PRId64, value->as.integer);
    } else if (value->kind == SP_VALUE_BOOL) {
        sp_buf_add_str(buf, value->as.boolean ? "true" : "false");
    } else if (value->kind == SP_VALUE_STRING || value->kind == SP_VALUE_FORM) {
        sp_buf_add_json(buf, value->as.text);
    } else {
        sp_buf_add_str(buf, value->kind == SP_VALUE_ARRAY ? "[]" : "{}");
    }
}

/* ---- places ---------------------------------------------------------------------------------
 */

static bool is_plain(struct sp_text name)
{
    bool plain = name.len > 0;
    for (size_t i = 0; i < name.len && plain; i++) {
        char c = name.ptr[i];
        plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-' ||
                (c >= '0' && c <= '9');
    }
    return plain;
}

void edit_print_place(const struct edit *edit, struct sp_buf *buf)
{
    static const char *const roots[] = {"body", "query", "header", "path", "method"};
    sp_buf_add_str(buf, roots[edit->kind]);
    for (size_t i = 0; i < edit->n_steps; i++) {
        const struct step *step = &edit->steps[i];
        if (step->is_index) {
            sp_buf_addf(buf, "[%zu]", step->index);
            continue;
        }
        sp_buf_add_byte(buf, '.');
        if (is_plain(step->name)) {
            sp_buf_add_text(buf, step->name);
        } else {
            sp_buf_add_json(buf, step->name);
        }
    }
}

/* ---- the list -------------------------------------------------------------------------------
 */

struct telling {
    const struct sp_scope *scope;
    const struct sp_request *before, *after;
    struct sp_nearest *nearest;
    struct sp_buf words;
    bool failed;
};

/* A change of what the words buffer holds up to here: the place, then the words. */
static void tell(struct telling *t, struct sp_text place, struct sp_text to)
{
    struct sp_change *change = &t->nearest->changes[t->nearest->n_changes++];
    struct sp_arena *arena = &t->nearest->arena;
    change->place = sp_arena_copy(arena, place);
    change->to = to.ptr ? sp_arena_copy(arena, to) : to;
    change->words = sp_arena_copy(arena, sp_buf_text(&t->words));
    t->failed = t->failed || !change->place.ptr || !change->words.ptr || t->words.failed ||
                (to.ptr && !change->to.ptr);
    sp_buf_reset(&t->words);
}

static void url_of(const struct sp_request *request, bool path, struct sp_buf *buf)
{
    struct sp_url url = request->url;
    url.query = NULL;
    url.n_query = 0;
    if (path) {
        sp_url_print_target(&url, buf);
        return;
    }
    url.segments = NULL;
    url.n_segments = 0;
    sp_url_print(&url, buf);
    buf->len -= buf->len > 0; /* the path "/" */
    if (buf->ptr) {
        buf->ptr[buf->len] = '\0';
    }
}

/* Host or path, where they differ. */
static void tell_url(struct telling *t, bool path)
{
    struct sp_buf was, is;
    sp_buf_init(&was, 4 * SP_URL_MAX_BYTES);
    sp_buf_init(&is, 4 * SP_URL_MAX_BYTES);
    url_of(t->before, path, &was);
    url_of(t->after, path, &is);
    if (!sp_text_eq(sp_buf_text(&was), sp_buf_text(&is))) {
        sp_buf_addf(&t->words, "the %s would have to be %s", path ? "path" : "host",
                    sp_buf_text(&is).ptr);
        if (path && t->nearest->rule) {
            sp_buf_add_str(&t->words, ", for ");
            ast_print_url(&t->nearest->rule->url, &t->words);
        }
        sp_buf_addf(&t->words, "; it is %s", sp_buf_text(&was).ptr);
        tell(t, path ? SP_TEXT("path") : SP_TEXT("host"), sp_buf_text(&is));
    }
    t->failed = t->failed || was.failed || is.failed;
    sp_buf_done(&was);
    sp_buf_done(&is);
}

static void tell_method(struct telling *t)
{
    const char *is = sp_method_name(t->after->method), *was = sp_method_name(t->before->method);
    if (t->after->method != t->before->method && is && was) {
        sp_buf_addf(&t->words, "the method would have to be %s; it is %s", is, was);
        tell(t, SP_TEXT("method"), sp_text_of(is));
    }
}

/* The reason may stand in the allow that lets it through now, or in a deny that fired. */
static const struct condition *find_reason(const struct telling *t, const struct edit *edit,
                                           bool *ret_want)
{
    const struct condition *found = NULL;
    const struct sp_rule *allow = t->nearest->rule;
    if (allow && allow->where) {
        found = reason_of(allow->where, true, edit, t->before, t->after, ret_want);
    }
    for (size_t i = 0; i < t->scope->n_rules && !found; i++) {
        const struct sp_rule *rule = t->scope->rules[i];
        if (rule->denies && rule->where && (rule->methods & t->before->method) &&
            match_host(rule, &t->before->url) &&
            match_path(rule, &t->before->url) == PATH_YES) {
            found = reason_of(rule->where, false, edit, t->before, t->after, ret_want);
        }
    }
    return found;
}

static void tell_edit(struct telling *t, const struct edit *edit)
{
    char place[256], value[256];
    struct sp_buf place_text, value_text;
    struct sp_value scratch;
    bool want = true;
    const struct sp_value *was = edit_value(edit, t->before, &scratch);
    const struct condition *atom = find_reason(t, edit, &want);
    sp_buf_over(&place_text, place, sizeof place);
    sp_buf_over(&value_text, value, sizeof value);
    edit_print_place(edit, &place_text);
    print_value(&edit->value, &value_text);
    sp_buf_addf(&t->words, "%s would have to be ", place);
    if (atom) {
        reason_print(atom, want, was, edit, &t->words);
    } else {
        sp_buf_add_str(&t->words, edit->removes ? "left out" : value);
    }
    if (!edit->removes) {
        sp_buf_add_str(&t->words, "; ");
        match_describe_value(was, &t->words);
    }
    tell(t, sp_buf_text(&place_text),
         edit->removes ? (struct sp_text){NULL, 0} : sp_buf_text(&value_text));
}

bool reasons(const struct sp_scope *scope, const struct sp_request *request,
             const struct edit *edits, size_t n_edits, struct sp_nearest *nearest)
{
    struct telling t = {scope, request, &nearest->request, nearest, {.ptr = NULL}, false};
    sp_buf_init(&t.words, WORDS_MAX_BYTES);
    nearest->changes = sp_arena_array(&nearest->arena, n_edits + 3, sizeof *nearest->changes);
    if (nearest->changes) {
        tell_method(&t);
        tell_url(&t, false);
        tell_url(&t, true);
        for (size_t i = 0; i < n_edits; i++) {
            if (edits[i].kind != EDIT_METHOD && edits[i].kind != EDIT_PATH) {
                tell_edit(&t, &edits[i]);
            }
        }
    }
    sp_buf_done(&t.words);
    return nearest->changes && !t.failed;
}
