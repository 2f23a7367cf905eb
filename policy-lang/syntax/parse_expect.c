/* expect allow|deny [given (a = "x")] METHOD URL [form {…}|json {…}] [header name = "x"]…
 * [-> @label]: a test that stands beside the rules. */
#include "parser.h"

enum { MEMBERS_MAX = 256, HEADERS_MAX = 16 };

static bool parse_value(struct parser *p, bool form, struct sp_value *ret_value);

/* In a form the same name twice is ambiguous, as it is in a request; in JSON it is a mistake.
 */
static bool member_is_new(struct parser *p, bool form, struct sp_member *members, size_t *n)
{
    for (size_t i = 0; i + 1 < *n; i++) {
        if (!sp_text_eq(members[i].name, members[*n - 1].name)) {
            continue;
        }
        if (!form) {
            return parser_error(p, "E030", NULL,
                                "JSON holds each name once; another name belongs before this");
        }
        members[i].value.kind = SP_VALUE_AMBIGUOUS;
        (*n)--;
    }
    return true;
}

static bool parse_members(struct parser *p, bool form, struct sp_value *ret_value)
{
    struct sp_member *members = NULL;
    struct sp_span span;
    size_t n = 0, room = 0;
    while (!parser_is(p, "}")) {
        if (n == MEMBERS_MAX) {
            return parser_error(p, "E030", NULL, "a smaller object belongs here");
        }
        members = parser_grow(p, members, n, &room, sizeof *members);
        if (!members) {
            return false;
        }
        if (p->token.kind == TOKEN_WORD) {
            members[n].name = p->token.text;
            parser_advance(p);
        } else if (!parse_name(p, "a field's name belongs here", &members[n].name, &span)) {
            return false;
        }
        if (!parser_expect(p, ":", "behind the field's name") ||
            !parse_value(p, form, &members[n].value)) {
            return false;
        }
        n++;
        if (!member_is_new(p, form, members, &n)) {
            return false;
        }
        if (!parser_take(p, ",") && !parser_is(p, "}")) {
            return parser_error(p, "E030", NULL, "',' or '}' belongs here");
        }
    }
    parser_advance(p);
    ret_value->kind = SP_VALUE_OBJECT;
    ret_value->as.object.items = members;
    ret_value->as.object.n = n;
    return true;
}

static bool parse_items(struct parser *p, bool form, struct sp_value *ret_value)
{
    struct sp_value *items = NULL;
    size_t n = 0, room = 0;
    while (!parser_is(p, "]")) {
        if (n == MEMBERS_MAX) {
            return parser_error(p, "E030", NULL, "a shorter array belongs here");
        }
        items = parser_grow(p, items, n, &room, sizeof *items);
        if (!items || !parse_value(p, form, &items[n])) {
            return false;
        }
        n++;
        if (!parser_take(p, ",") && !parser_is(p, "]")) {
            return parser_error(p, "E030", NULL, "',' or ']' belongs here");
        }
    }
    parser_advance(p);
    ret_value->kind = SP_VALUE_ARRAY;
    ret_value->as.array.items = items;
    ret_value->as.array.n = n;
    return true;
}

/* In a form every scalar is text: an integer is written down as it stands. */
static bool parse_scalar(struct parser *p, bool form, struct sp_value *ret_value)
{
    struct sp_text word = p->token.text;
    if (p->token.kind == TOKEN_STRING) {
        ret_value->kind = form ? SP_VALUE_FORM : SP_VALUE_STRING;
        return parse_string(p, &ret_value->as.text);
    }
    if (form) {
        if (p->token.kind != TOKEN_NUMBER && p->token.kind != TOKEN_WORD) {
            return parser_error(p, "E030", NULL, "a value belongs here");
        }
        ret_value->kind = SP_VALUE_FORM;
        ret_value->as.text = word;
    } else if (sp_text_is(word, "null")) {
        ret_value->kind = SP_VALUE_NULL;
    } else if (sp_text_is(word, "true") || sp_text_is(word, "false")) {
        ret_value->kind = SP_VALUE_BOOL;
        ret_value->as.boolean = sp_text_is(word, "true");
    } else {
        ret_value->kind = SP_VALUE_INT;
        return parse_int(p, &ret_value->as.integer);
    }
    parser_advance(p);
    return true;
}

static bool parse_value(struct parser *p, bool form, struct sp_value *ret_value)
{
    if (p->depth == AST_DEPTH_MAX) {
        return parser_error(p, "E030", NULL, "a value that nests less deeply belongs here");
    }
    p->depth++;
    bool good;
    if (parser_take(p, "{")) {
        good = parse_members(p, form, ret_value);
    } else if (parser_take(p, "[")) {
        good = parse_items(p, form, ret_value);
    } else {
        good = parse_scalar(p, form, ret_value);
    }
    p->depth--;
    return good;
}

/* In lower case, as in a canonical request. */
static bool header_name(struct parser *p, struct sp_text *name)
{
    char *lower = parser_alloc(p, name->len);
    for (size_t i = 0; lower && i < name->len; i++) {
        char c = name->ptr[i];
        lower[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    name->ptr = lower;
    return lower != NULL;
}

static bool parse_header(struct parser *p, struct expectation *e)
{
    struct sp_span span;
    if (!e->headers) {
        e->headers = parser_alloc(p, HEADERS_MAX * sizeof *e->headers);
    }
    if (!e->headers || e->n_headers == HEADERS_MAX) {
        return parser_error(p, "E030", NULL, "fewer headers belong here");
    }
    struct sp_header *header = &e->headers[e->n_headers++];
    return parse_name(p, "a header's name belongs here", &header->name, &span) &&
           header_name(p, &header->name) && parser_expect(p, "=", "behind the header's name") &&
           (p->token.kind == TOKEN_STRING
                ? parse_string(p, &header->value)
                : parser_error(p, "E030", NULL, "a \"string\" belongs here"));
}

static bool parse_given(struct parser *p, struct expectation *e)
{
    struct sp_span span;
    e->args = parser_alloc(p, AST_PARAMS_MAX * sizeof *e->args);
    if (!e->args || !parser_expect(p, "(", "behind given")) {
        return false;
    }
    while (!parser_is(p, ")")) {
        if (e->n_args == AST_PARAMS_MAX) {
            return parser_error(p, "E030", NULL, "fewer arguments belong here");
        }
        struct sp_arg *arg = &e->args[e->n_args++];
        if (!parse_name(p, "a parameter's name belongs here", &arg->name, &span) ||
            !parser_expect(p, "=", "behind the parameter's name")) {
            return false;
        }
        if (p->token.kind != TOKEN_STRING) {
            return parser_error(p, "E030", NULL, "a \"string\" belongs here");
        }
        if (!parse_string(p, &arg->value)) {
            return false;
        }
        if (!parser_take(p, ",") && !parser_is(p, ")")) {
            return parser_error(p, "E030", NULL, "',' or ')' belongs here");
        }
    }
    parser_advance(p);
    return true;
}

static bool parse_body(struct parser *p, struct expectation *e)
{
    bool form = parser_is(p, "form");
    parser_advance(p);
    p->depth = 0;
    e->body = parser_alloc(p, sizeof *e->body);
    e->body_kind = form ? SP_BODY_FORM : SP_BODY_JSON;
    if (form && !parser_is(p, "{")) {
        return parser_error(p, "E030", NULL, "'{' belongs behind form");
    }
    return e->body && parse_value(p, form, e->body);
}

bool parse_expectation(struct parser *p, struct sp_scope *scope)
{
    struct expectation *e = parser_alloc(p, sizeof *e);
    uint32_t start = p->token.start;
    if (!e) {
        return false;
    }
    parser_advance(p);
    e->allow = parser_is(p, "allow");
    if (!parser_take(p, "allow") && !parser_take(p, "deny")) {
        return parser_error(p, "E030", NULL, "allow or deny belongs behind expect");
    }
    if (parser_take(p, "given") && !parse_given(p, e)) {
        return false;
    }
    e->method = p->token.text;
    if (p->token.kind != TOKEN_WORD) {
        return parser_error(p, "E030", NULL, "a method belongs here");
    }
    parser_advance(p);
    e->url = p->token.text;
    if (p->token.kind != TOKEN_URL) {
        return parser_error(p, "E030", NULL, "a URL belongs here");
    }
    e->span = parser_span_since(p, start, p->token.start + (uint32_t)p->token.text.len);
    parser_advance(p);
    if ((parser_is(p, "form") || parser_is(p, "json")) && !parse_body(p, e)) {
        return false;
    }
    while (parser_take(p, "header")) {
        if (!parse_header(p, e)) {
            return false;
        }
    }
    if (parser_take(p, "->")) {
        if (p->token.kind != TOKEN_LABEL) {
            return parser_error(p, "E030", NULL, "a @label belongs here");
        }
        e->rule = (struct sp_text){p->token.text.ptr + 1, p->token.text.len - 1};
        parser_advance(p);
    }
    if (scope->last_expectation) {
        scope->last_expectation->next = e;
    } else {
        scope->expectations = e;
    }
    scope->last_expectation = e;
    return true;
}
