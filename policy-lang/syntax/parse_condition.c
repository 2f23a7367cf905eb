/* Conditions: or < and < not < atom. */
#include "parser.h"

static bool parse_or(struct parser *p, struct condition **ret_condition);

static struct condition *condition_new(struct parser *p, enum condition_kind kind)
{
    /* Whatever walks a condition may recurse once for each of its nodes. */
    if (p->nodes++ == AST_NODES_MAX) {
        (void)parser_error(p, "E026", "use a set: in {…}", "a shorter condition belongs here");
        return NULL;
    }
    struct condition *condition = parser_alloc(p, sizeof *condition);
    if (condition) {
        condition->kind = kind;
        condition->span = parser_span(p);
    }
    return condition;
}

/* `.a.b."odd name"`: at least min parts. */
static bool parts(struct parser *p, struct sp_text **ret_parts, size_t *ret_n, size_t min)
{
    struct sp_text *list = NULL;
    struct sp_span span;
    size_t n = 0, room = 0;
    while (parser_take(p, ".")) {
        if (n == AST_FIELD_PARTS_MAX) {
            return parser_error(p, "E020", NULL, "a shorter field belongs here");
        }
        list = parser_grow(p, list, n, &room, sizeof *list);
        if (!list) {
            return false;
        }
        /* behind a dot every word is a name, keywords too */
        if (p->token.kind == TOKEN_WORD) {
            list[n] = p->token.text;
            parser_advance(p);
        } else if (!parse_name(p, "a field's name belongs here", &list[n], &span)) {
            return false;
        }
        if (list[n++].len == 0) {
            return parser_error(p, "E020", NULL,
                                "a field's name is not empty; a name belongs "
                                "before this");
        }
    }
    if (n < min) {
        return parser_error(p, "E020", "body.name, query.name, header.name or path.name",
                            "'.' and a field's name belong here");
    }
    *ret_parts = list;
    *ret_n = n;
    return true;
}

static bool plain_field(struct parser *p, size_t min_parts, struct field *ret_field)
{
    static const char *const sources[] = {"body", "query", "header", "path"};
    for (size_t i = 0; i < 4; i++) {
        if (parser_take(p, sources[i])) {
            ret_field->source = (enum field_source)i;
            if (!parts(p, &ret_field->parts, &ret_field->n_parts, min_parts)) {
                return false;
            }
            if (i >= FIELD_HEADER && ret_field->n_parts != 1) {
                return parser_error(p, "E020", NULL, "headers and captures have one name");
            }
            return true;
        }
    }
    return parser_error_near(p, "E020", sources, 4, NULL,
                             "a field (body.x, query.x, header.x, path.x) belongs here");
}

/* A field, or any(field).sub, all(field).sub. */
bool parse_field(struct parser *p, struct field *ret_field)
{
    uint32_t start = p->token.start;
    *ret_field = (struct field){.source = FIELD_BODY};
    bool good;
    if (parser_is(p, "any") || parser_is(p, "all")) {
        ret_field->quantifier = parser_is(p, "any") ? QUANTIFIER_ANY : QUANTIFIER_ALL;
        parser_advance(p);
        good = parser_expect(p, "(", "behind any or all") && plain_field(p, 1, ret_field) &&
               parser_expect(p, ")", "behind the field") &&
               parts(p, &ret_field->item_parts, &ret_field->n_item_parts, 0);
        if (good && ret_field->source >= FIELD_HEADER) {
            good = parser_error(p, "E020", NULL, "only body and query fields hold arrays");
        }
    } else {
        good = plain_field(p, 1, ret_field);
    }
    ret_field->span = parser_span_since(p, start, p->token.start);
    return good;
}

bool parse_constant(struct parser *p, struct constant *ret_constant)
{
    *ret_constant = (struct constant){.span = parser_span(p)};
    if (p->token.kind == TOKEN_STRING) {
        ret_constant->kind = CONSTANT_STRING;
        return parse_string(p, &ret_constant->text);
    }
    if (parser_is(p, "true") || parser_is(p, "false")) {
        ret_constant->kind = CONSTANT_BOOL;
        ret_constant->integer = parser_is(p, "true");
        parser_advance(p);
        return true;
    }
    if (p->token.kind == TOKEN_WORD && !is_keyword(p->token.text)) {
        ret_constant->kind = CONSTANT_PARAM;
        ret_constant->text = p->token.text;
        parser_advance(p);
        return true;
    }
    ret_constant->kind = CONSTANT_INT;
    if (p->token.kind != TOKEN_NUMBER) {
        return parser_error(p, "E021", "an integer, a \"string\", true, false or a parameter",
                            "a constant belongs here");
    }
    return parse_int(p, &ret_constant->integer);
}

bool parse_set(struct parser *p, struct constant **ret_items, size_t *ret_n)
{
    size_t n = 0, room = 0;
    struct constant *items = NULL;
    if (!parser_expect(p, "{", "at the start of a set")) {
        return false;
    }
    while (!parser_is(p, "}")) {
        if (n == AST_SET_MAX) {
            return parser_error(p, "E022", NULL, "a smaller set belongs here");
        }
        items = parser_grow(p, items, n, &room, sizeof *items);
        if (!items) {
            return false;
        }
        if (!parse_constant(p, &items[n])) {
            return false;
        }
        n++;
        if (!parser_take(p, ",") && !parser_is(p, "}")) {
            return parser_error(p, "E022", NULL, "',' or '}' belongs here");
        }
    }
    parser_advance(p);
    *ret_items = items;
    *ret_n = n;
    return true;
}

/* in { … }, in name, in 1..5, in 1.., in ..5 */
static bool parse_in(struct parser *p, struct condition *c)
{
    c->low = INT64_MIN;
    c->high = INT64_MAX;
    if (parser_is(p, "{")) {
        c->kind = CONDITION_IN;
        return parse_set(p, &c->set, &c->n_set);
    }
    if (p->token.kind == TOKEN_WORD && !is_keyword(p->token.text)) {
        c->kind = CONDITION_IN;
        c->let_name = p->token.text;
        parser_advance(p);
        return true;
    }
    c->kind = CONDITION_RANGE;
    bool has_low = p->token.kind == TOKEN_NUMBER;
    if (has_low && !parse_int(p, &c->low)) {
        return false;
    }
    if (!parser_take(p, "..")) {
        return parser_error(p, "E023", "in {…}, in 1..100, in 1.., in ..100 or in a set's name",
                            "a set or a range belongs here");
    }
    if (p->token.kind == TOKEN_NUMBER) {
        return parse_int(p, &c->high);
    }
    return has_low || parser_error(p, "E023", NULL, "a range needs an end");
}

static bool parse_only(struct parser *p, struct condition *c)
{
    size_t n = 0, room = 0;
    if (!parser_expect(p, "{", "behind only")) {
        return false;
    }
    while (!parser_is(p, "}")) {
        struct sp_span span;
        if (n == AST_NODES_MAX) {
            return parser_error(p, "E024", NULL, "a shorter list of names belongs here");
        }
        c->names = parser_grow(p, c->names, n, &room, sizeof *c->names);
        if (!c->names) {
            return false;
        }
        if (p->token.kind == TOKEN_WORD) {
            c->names[n++] = p->token.text; /* keywords too: nothing else can stand here */
            parser_advance(p);
        } else if (!parse_name(p, "a field's name belongs here", &c->names[n++], &span)) {
            return false;
        }
        if (!parser_take(p, ",") && !parser_is(p, "}")) {
            return parser_error(p, "E024", NULL, "',' or '}' belongs here");
        }
    }
    parser_advance(p);
    c->n_names = n;
    c->kind = CONDITION_ONLY;
    return true;
}

static bool parse_relation(struct parser *p, struct condition *c)
{
    static const struct {
        const char *mark;
        enum condition_kind kind;
    } marks[] = {{"=", CONDITION_EQ},         {"!=", CONDITION_NE}, {"<", CONDITION_LT},
                 {"<=", CONDITION_LE},        {">", CONDITION_GT},  {">=", CONDITION_GE},
                 {"starts", CONDITION_STARTS}};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        if (parser_take(p, marks[i].mark)) {
            c->kind = marks[i].kind;
            return parse_constant(p, &c->constant);
        }
    }
    if (parser_take(p, "in")) {
        return parse_in(p, c);
    }
    static const char *const words[] = {"starts", "only"};
    return parser_error_near(p, "E025", words, 2, "= != < <= > >= in starts",
                             "a comparison belongs behind the field");
}

static bool parse_atom(struct parser *p, struct condition **ret_condition)
{
    uint32_t start = p->token.start;
    struct condition *c = condition_new(p, CONDITION_HAS);
    if (!c) {
        return false;
    }
    bool good;
    if (parser_take(p, "has")) {
        good = plain_field(p, 1, &c->field);
        if (good && c->field.source == FIELD_PATH) {
            good = parser_error(p, "E020", NULL, "a capture is always there");
        }
        c->field.span = parser_span_since(p, start, p->token.start);
    } else if (parser_is(p, "any") || parser_is(p, "all")) {
        good = parse_field(p, &c->field) && parse_relation(p, c);
    } else {
        good = plain_field(p, 0, &c->field);
        c->field.span = parser_span_since(p, start, p->token.start);
        if (good && parser_is(p, "only")) {
            parser_advance(p);
            good = c->field.source <= FIELD_QUERY
                       ? parse_only(p, c)
                       : parser_error(p, "E024", NULL, "only reads body or query");
        } else if (good && c->field.n_parts == 0) {
            good =
                parser_error(p, "E020", "body.name or body only {…}", "a field belongs here");
        } else if (good) {
            good = parse_relation(p, c);
        }
    }
    c->span = parser_span_since(p, start, (uint32_t)(p->token.start));
    *ret_condition = c;
    return good;
}

static bool parse_not(struct parser *p, struct condition **ret_condition)
{
    if (p->depth == AST_DEPTH_MAX) {
        return parser_error(p, "E026", NULL, "a condition that nests less deeply belongs here");
    }
    p->depth++;
    bool good;
    if (parser_is(p, "not")) {
        struct condition *c = condition_new(p, CONDITION_NOT);
        parser_advance(p);
        good = c && parse_not(p, &c->left);
        *ret_condition = c;
    } else if (parser_take(p, "(")) {
        good = parse_or(p, ret_condition) && parser_expect(p, ")", "behind the condition");
    } else {
        good = parse_atom(p, ret_condition);
    }
    p->depth--;
    return good;
}

/* A chain of one operator; it leans to the left. */
static bool parse_chain(struct parser *p, const char *word, enum condition_kind kind,
                        bool (*next)(struct parser *, struct condition **),
                        struct condition **ret_condition)
{
    struct condition *left = NULL;
    if (!next(p, &left)) {
        return false;
    }
    while (parser_is(p, word)) {
        struct condition *c = condition_new(p, kind);
        parser_advance(p);
        if (!c || !next(p, &c->right)) {
            return false;
        }
        c->left = left;
        left = c;
    }
    *ret_condition = left;
    return true;
}

static bool parse_and(struct parser *p, struct condition **ret_condition)
{
    return parse_chain(p, "and", CONDITION_AND, parse_not, ret_condition);
}

static bool parse_or(struct parser *p, struct condition **ret_condition)
{
    return parse_chain(p, "or", CONDITION_OR, parse_and, ret_condition);
}

bool parse_condition(struct parser *p, struct condition **ret_condition)
{
    p->depth = 0;
    p->nodes = 0;
    return parse_or(p, ret_condition);
}
