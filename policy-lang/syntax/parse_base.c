/* Tokens, errors, names, strings, numbers. */
#include "parser.h"

static const char *const keywords[] = {
    "sallyport", "let",  "use",   "scope",  "client", "principal", "key",   "ttl",     "rate",
    "budget",    "mode", "allow", "deny",   "where",  "expect",    "until", "narrows", "and",
    "or",        "not",  "in",    "starts", "has",    "only",      "any",   "all",     "true",
    "false",     "form", "json",  "header", "may",    "issue",     "for",   "live",    "burst",
    "per",       "body", "query", "path",   "given",  "curve",
};

bool is_keyword(struct sp_text word)
{
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++) {
        if (sp_text_is(word, keywords[i])) {
            return true;
        }
    }
    return false;
}

void parser_advance(struct parser *p)
{
    p->token = lexer_next(&p->lexer);
}

struct sp_span parser_span(const struct parser *p)
{
    return (struct sp_span){p->source, p->token.start, (uint32_t)p->token.text.len};
}

struct sp_span parser_span_since(const struct parser *p, uint32_t start, uint32_t end)
{
    return (struct sp_span){p->source, start, end > start ? end - start : 0};
}

bool parser_error(struct parser *p, const char *code, const char *fix, const char *message)
{
    int len = p->token.text.len < 40 ? (int)p->token.text.len : 40;
    if (p->token.kind == TOKEN_END) {
        sp_diags_add(p->diags, SP_SEVERITY_ERROR, code, parser_span(p), fix,
                     "%s, but the file ends here", message);
    } else {
        sp_diags_add(p->diags, SP_SEVERITY_ERROR, code, parser_span(p), fix, "%s, not '%.*s'",
                     message, len, p->token.text.ptr);
    }
    return false;
}

bool parser_is(const struct parser *p, const char *text)
{
    return (p->token.kind == TOKEN_WORD || p->token.kind == TOKEN_PUNCT) &&
           sp_text_is(p->token.text, text);
}

bool parser_take(struct parser *p, const char *text)
{
    if (!parser_is(p, text)) {
        return false;
    }
    parser_advance(p);
    return true;
}

bool parser_expect(struct parser *p, const char *text, const char *where)
{
    if (parser_take(p, text)) {
        return true;
    }
    char message[120];
    struct sp_buf buf;
    sp_buf_init(&buf, sizeof message - 1);
    sp_buf_addf(&buf, "'%s' is missing %s", text, where);
    bool result = parser_error(p, "E001", NULL, sp_buf_text(&buf).ptr);
    sp_buf_done(&buf);
    return result;
}

void *parser_alloc(struct parser *p, size_t size)
{
    void *memory = sp_arena_alloc(p->arena, size);
    p->out_of_memory = p->out_of_memory || !memory;
    return memory;
}

bool parse_name(struct parser *p, const char *what, struct sp_text *ret_name,
                struct sp_span *ret_span)
{
    *ret_span = parser_span(p);
    if (p->token.kind == TOKEN_STRING) {
        return parse_string(p, ret_name);
    }
    if (p->token.kind != TOKEN_WORD) {
        return parser_error(p, "E002", "quote odd names: \"…\"", what);
    }
    if (is_keyword(p->token.text)) {
        return parser_error(p, "E002", "quote names that are keywords: \"…\"", what);
    }
    *ret_name = p->token.text;
    parser_advance(p);
    return true;
}

/* One escape; returns its length in the source, or 0. */
static size_t unescape(struct sp_text rest, char *ret_byte)
{
    static const char from[] = "\"\\nrt", to[] = "\"\\\n\r\t";
    if (rest.len < 2) {
        return 0;
    }
    const char *found = rest.ptr[1] != '\0' ? strchr(from, rest.ptr[1]) : NULL;
    if (found) {
        *ret_byte = to[found - from];
        return 2;
    }
    /* \xHH: a byte below 0x80 that has no other name */
    if (rest.ptr[1] == 'x' && rest.len >= 4) {
        static const char digits[] = "0123456789abcdef";
        const char *high = rest.ptr[2] != '\0' ? strchr(digits, rest.ptr[2]) : NULL;
        const char *low = rest.ptr[3] != '\0' ? strchr(digits, rest.ptr[3]) : NULL;
        if (high && low && high - digits < 8) {
            *ret_byte = (char)((high - digits) * 16 + (low - digits));
            return 4;
        }
    }
    return 0;
}

bool parse_string(struct parser *p, struct sp_text *ret_text)
{
    struct sp_text raw = {p->token.text.ptr + 1, p->token.text.len - 2};
    char *out = parser_alloc(p, raw.len);
    size_t n = 0;
    if (!out) {
        return false;
    }
    for (size_t i = 0; i < raw.len;) {
        if (raw.ptr[i] != '\\') {
            out[n++] = raw.ptr[i++];
            continue;
        }
        size_t taken = unescape((struct sp_text){raw.ptr + i, raw.len - i}, &out[n]);
        if (taken == 0) {
            return parser_error(p, "E003",
                                "\\\" \\\\ \\n \\r \\t \\x00 to \\x7f are the escapes",
                                "a string with known escapes belongs here");
        }
        n++;
        i += taken;
    }
    *ret_text = (struct sp_text){out, n};
    if (!sp_text_is_utf8(*ret_text)) {
        return parser_error(p, "E003", NULL, "a string in UTF-8 belongs here");
    }
    parser_advance(p);
    return true;
}

bool parse_int(struct parser *p, int64_t *ret_integer)
{
    if (p->token.kind != TOKEN_NUMBER || !sp_form_int(p->token.text, ret_integer)) {
        return parser_error(p, "E004",
                            "whole numbers of at most 18 digits, without leading zeros",
                            "an integer belongs here");
    }
    parser_advance(p);
    return true;
}

bool parse_duration(struct parser *p, uint64_t *ret_ms)
{
    static const struct {
        const char *name;
        uint64_t ms;
    } units[] = {{"ms", 1},      {"s", 1000},    {"m", 60000},
                 {"min", 60000}, {"h", 3600000}, {"d", 86400000}};
    struct sp_text text = p->token.text;
    size_t digits = 0;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9') {
        digits++;
    }
    int64_t number;
    struct sp_text unit = {text.ptr + digits, text.len - digits};
    if (p->token.kind == TOKEN_AMOUNT && digits <= 15 &&
        sp_form_int((struct sp_text){text.ptr, digits}, &number) && number > 0) {
        for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
            if (sp_text_is(unit, units[i].name) &&
                (uint64_t)number <= INT64_MAX / units[i].ms) {
                *ret_ms = (uint64_t)number * units[i].ms;
                parser_advance(p);
                return true;
            }
        }
    }
    return parser_error(p, "E005", "write 30s, 5m, 4h or 2d", "a duration belongs here");
}
