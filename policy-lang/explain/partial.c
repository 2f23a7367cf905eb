/* A verdict on a request of which a part is not known, as an audit records it: what would hold
 * whatever the unknown part was. Each atom has a set of truths that it may have; sets are
 * combined as if atoms were independent, so `allowed` and `denied` are certain, and `depends`
 * may now and then be more careful than it would have to be. */
#include "match.h"

enum { MAY_FALSE = 1, MAY_UNKNOWN = 2, MAY_TRUE = 4, MAY_ANY = 7 };

struct partial {
    const struct sp_request *request;
    unsigned unknown; /* SP_UNKNOWN_… */
};

/* ---- atoms ----------------------------------------------------------------------------------
 */

static bool compares_text(const struct condition *atom)
{
    const struct constant *constant =
        atom->kind == CONDITION_IN && atom->n_set > 0 ? &atom->set[0] : &atom->constant;
    return atom->kind != CONDITION_RANGE && constant->kind == CONSTANT_STRING;
}

/* Of a parameter names are known and values are not; so it is known which are there. */
static unsigned query_atom(const struct partial *p, const struct condition *atom)
{
    struct sp_value scratch;
    const struct sp_value *value = match_field(&atom->field, p->request, &scratch);
    unsigned known = 1u << match_condition(atom, p->request);
    if (p->unknown & SP_UNKNOWN_PARAMS) {
        return MAY_ANY;
    }
    if (!(p->unknown & SP_UNKNOWN_QUERY) || atom->kind == CONDITION_HAS ||
        atom->kind == CONDITION_ONLY || !value) {
        return known;
    }
    if (atom->field.quantifier != QUANTIFIER_NONE) {
        return value->kind == SP_VALUE_ARRAY && value->as.array.n > 0 ? MAY_ANY : known;
    }
    if (value->kind != SP_VALUE_FORM) {
        return known;
    }
    return compares_text(atom) ? MAY_FALSE | MAY_TRUE : MAY_ANY;
}

static unsigned atom_may(const struct partial *p, const struct condition *atom)
{
    bool unknown = (atom->field.source == FIELD_BODY && (p->unknown & SP_UNKNOWN_BODY)) ||
                   (atom->field.source == FIELD_HEADER && (p->unknown & SP_UNKNOWN_HEADERS));
    if (unknown) {
        return atom->kind == CONDITION_HAS ? MAY_FALSE | MAY_TRUE : MAY_ANY;
    }
    return atom->field.source == FIELD_QUERY ? query_atom(p, atom)
                                             : 1u << match_condition(atom, p->request);
}

static unsigned negated(unsigned may)
{
    return (may & MAY_UNKNOWN) | (may & MAY_FALSE ? MAY_TRUE : 0) |
           (may & MAY_TRUE ? MAY_FALSE : 0);
}

/* Every value of one side with every value of the other: the lesser of two. */
static unsigned both(unsigned a, unsigned b)
{
    unsigned may = 0;
    for (unsigned x = MAY_FALSE; x <= MAY_TRUE; x <<= 1) {
        for (unsigned y = MAY_FALSE; y <= MAY_TRUE; y <<= 1) {
            may |= (a & x) && (b & y) ? (x < y ? x : y) : 0;
        }
    }
    return may;
}

/* Recursion is bounded by AST_NODES_MAX. */
static unsigned condition_may(const struct partial *p, const struct condition *c)
{
    switch ((int)c->kind) {
    case CONDITION_NOT:
        return negated(condition_may(p, c->left));
    case CONDITION_AND:
        return both(condition_may(p, c->left), condition_may(p, c->right));
    case CONDITION_OR: /* not (not left and not right) */
        return negated(
            both(negated(condition_may(p, c->left)), negated(condition_may(p, c->right))));
    default:
        return atom_may(p, c);
    }
}

/* ---- rules ----------------------------------------------------------------------------------
 */

/* Whether it applies, for an allow; fires, for a deny. */
struct applies {
    bool may, must;
    const char *fault; /* certain */
};

static bool reads_from(const struct sp_rule *rule, enum field_source source)
{
    bool found = false;
    for (size_t i = 0; i < rule->n_reads && !found; i++) {
        found = rule->reads[i]->source == source;
    }
    return found;
}

/* What makes it unreadable whatever the body holds. */
static const char *certain_fault(const struct partial *p, const struct sp_rule *rule)
{
    static const struct sp_value empty = {.kind = SP_VALUE_OBJECT};
    struct sp_request request = *p->request;
    if (p->unknown & SP_UNKNOWN_BODY) {
        request.body_kind = SP_BODY_JSON;
        request.body_value = &empty;
    }
    return match_unreadable(rule, &request);
}

static struct applies rule_applies(const struct partial *p, const struct sp_rule *rule)
{
    struct applies a = {false, false, NULL};
    enum path_match path = match_path(rule, &p->request->url);
    if (!match_host(rule, &p->request->url) || path == PATH_NO ||
        !(rule->methods & p->request->method)) {
        return a;
    }
    if (!rule->where) {
        a.may = a.must = true;
        return a;
    }
    a.fault = path == PATH_SPLIT && reads_from(rule, FIELD_PATH)
                  ? "an encoded slash hides which segment is which"
                  : certain_fault(p, rule);
    if (a.fault) {
        a.may = a.must = rule->denies;
        return a;
    }
    bool unreadable = (rule->reads_body && (p->unknown & SP_UNKNOWN_BODY)) ||
                      (rule->reads_body && (p->unknown & SP_UNKNOWN_PARAMS)) ||
                      (reads_from(rule, FIELD_QUERY) && (p->unknown & SP_UNKNOWN_PARAMS)) ||
                      (reads_from(rule, FIELD_HEADER) && (p->unknown & SP_UNKNOWN_HEADERS));
    unsigned may = condition_may(p, rule->where);
    if (rule->denies) {
        a.may = (may & (MAY_UNKNOWN | MAY_TRUE)) || unreadable;
        a.must = !(may & MAY_FALSE);
    } else {
        a.may = (may & MAY_TRUE) != 0;
        a.must = may == MAY_TRUE && !unreadable;
    }
    return a;
}

/* ---- what it depends on ---------------------------------------------------------------------
 */

static void add_once(struct sp_buf *list, struct sp_text name)
{
    struct sp_text rest = sp_buf_text(list);
    while (rest.len > 0) { /* names with ", " between */
        const char *end = memmem(rest.ptr, rest.len, ", ", 2);
        size_t len = end ? (size_t)(end - rest.ptr) : rest.len;
        if (sp_text_eq((struct sp_text){rest.ptr, len}, name)) {
            return;
        }
        len += end ? 2 : 0;
        rest = (struct sp_text){rest.ptr + len, rest.len - len};
    }
    sp_buf_add_str(list, list->len ? ", " : "");
    sp_buf_add_text(list, name);
}

/* The fields of a rule that are not known, each once. */
static void list_fields(const struct partial *p, const struct sp_rule *rule,
                        struct sp_buf *list)
{
    for (size_t i = 0; i < rule->n_reads; i++) {
        const struct field *field = rule->reads[i];
        struct sp_buf name;
        bool query = field->source == FIELD_QUERY &&
                     (p->unknown & (SP_UNKNOWN_QUERY | SP_UNKNOWN_PARAMS));
        bool body = field->source == FIELD_BODY && (p->unknown & SP_UNKNOWN_BODY);
        bool header = field->source == FIELD_HEADER && (p->unknown & SP_UNKNOWN_HEADERS);
        if (query || body || header) {
            sp_buf_init(&name, list->cap_bytes);
            ast_print_field(field, &name);
            add_once(list, sp_buf_text(&name));
            sp_buf_done(&name);
        }
    }
    if (rule->reads_body && (p->unknown & SP_UNKNOWN_PARAMS)) {
        add_once(list, SP_TEXT("the query's further parameters"));
    }
}

/* ---- the verdict ----------------------------------------------------------------------------
 */

void sp_scope_match_partial(const struct sp_scope *scope, const struct sp_request *request,
                            unsigned unknown, struct sp_buf *ret_depends,
                            struct sp_partial *ret_partial)
{
    struct partial p = {request, unknown};
    const struct sp_rule *deny = NULL, *allow = NULL;
    bool may_deny = false, may_allow = false;
    for (size_t i = 0; i < scope->n_rules; i++) {
        const struct sp_rule *rule = scope->rules[i];
        struct applies a = rule_applies(&p, rule);
        if (rule->denies) {
            deny = !deny && a.must ? rule : deny;
            may_deny = may_deny || a.may;
        } else {
            allow = !allow && a.must ? rule : allow;
            may_allow = may_allow || a.may;
        }
    }
    *ret_partial = (struct sp_partial){SP_PARTLY_DEPENDS, NULL};
    if (deny || !may_allow) {
        *ret_partial = (struct sp_partial){SP_PARTLY_DENIED, deny};
    } else if (allow && !may_deny) {
        *ret_partial = (struct sp_partial){SP_PARTLY_ALLOWED, allow};
    }
    if (ret_partial->verdict != SP_PARTLY_DEPENDS || !ret_depends) {
        return;
    }
    for (size_t i = 0; i < scope->n_rules; i++) {
        struct applies a = rule_applies(&p, scope->rules[i]);
        if (a.may && !a.must) {
            list_fields(&p, scope->rules[i], ret_depends);
        }
    }
}

void sp_scope_explain_partial(const struct sp_scope *scope, const struct sp_request *request,
                              unsigned unknown, bool json, struct sp_buf *buf)
{
    struct partial p = {request, unknown};
    bool first = true;
    for (size_t i = 0; i < scope->n_rules; i++) {
        const struct sp_rule *rule = scope->rules[i];
        struct applies a = rule_applies(&p, rule);
        struct sp_buf fields;
        const char *word = a.must ? "applies" : a.may ? "depends" : "does not apply";
        sp_buf_init(&fields, buf->cap_bytes);
        if (a.may && !a.must) {
            list_fields(&p, rule, &fields);
        }
        if (json) {
            sp_buf_add_str(buf, first ? "{\"rule\":" : ",{\"rule\":");
            sp_buf_add_json(buf, rule->label);
            sp_buf_addf(buf, ",\"denies\":%s,\"applies\":\"%s\",\"depends_on\":",
                        rule->denies ? "true" : "false",
                        a.must  ? "yes"
                        : a.may ? "unknown"
                                : "no");
            sp_buf_add_json(buf, sp_buf_text(&fields));
            sp_buf_add_byte(buf, '}');
        } else {
            sp_buf_addf(buf, "%-5s %-16.*s %s%s%.*s%s%s\n", rule->denies ? "deny" : "allow",
                        (int)rule->label.len, rule->label.ptr, word, fields.len ? " on " : "",
                        (int)fields.len, sp_buf_text(&fields).ptr, a.fault ? ": " : "",
                        a.fault ? a.fault : "");
        }
        first = false;
        sp_buf_done(&fields);
    }
}
