/* Tokens, errors, names, strings, numbers. */
#include "parser.h"
#include "suggest.h"
#include "symbols.h"
#include "utf8.h"

#include <stdio.h>

static const char *const keywords[] = {
    "sallyport", "let",  "use",   "scope",  "client", "principal", "key",   "ttl",     "rate",
    "budget",    "mode", "allow", "deny",   "where",  "expect",    "until", "narrows", "and",
    "or",        "not",  "in",    "starts", "has",    "only",      "any",   "all",     "true",
    "false",     "form", "json",  "header", "may",    "issue",     "for",   "live",    "burst",
    "per",       "body", "query", "path",   "given",  "curve",
};

const char *sp_keyword(size_t i)
{
    return i < sizeof keywords / sizeof *keywords ? keywords[i] : NULL;
}

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
    if (parser_is(p, "{")) {
        p->braces++;
    } else if (parser_is(p, "}") && p->braces > 0) {
        p->braces--;
    }
    p->last_end = p->token.start + (uint32_t)p->token.text.len;
    p->token = lexer_next(&p->lexer);
}

void parser_begin(struct parser *p)
{
    p->statement.start = p->token.start;
    p->statement.braces = p->braces;
}

static bool begins_statement(const struct parser *p)
{
    static const char *const words[] = {
        "let",  "use",   "scope", "client", "principal", "key", "ttl",   "rate",  "budget",
        "mode", "allow", "deny",  "expect", "until",     "may", "curve", "redact"};
    if (p->token.kind == TOKEN_LABEL) {
        return true;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (parser_is(p, words[i])) {
            return true;
        }
    }
    return false;
}

void parser_recover(struct parser *p)
{
    if (p->token.start == p->statement.start) {
        parser_advance(p); /* the fault is in the first token: it must not be met for ever */
    }
    while (p->token.kind != TOKEN_END &&
           !(parser_is(p, "}") && p->braces <= p->statement.braces) &&
           !(p->token.line_start && begins_statement(p))) {
        parser_advance(p);
    }
    p->braces = p->statement.braces;
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
    struct sp_span span = parser_span(p);
    if (p->token.line_start && p->token.start > p->statement.start) {
        span = (struct sp_span){p->source, p->last_end, 0};
    }
    if (p->token.kind == TOKEN_END) {
        sp_diags_add(p->diags, SP_SEVERITY_ERROR, code, span, fix, "%s, but the file ends here",
                     message);
    } else {
        sp_diags_add(p->diags, SP_SEVERITY_ERROR, code, span, fix, "%s, not '%.*s'", message,
                     len, p->token.text.ptr);
    }
    return false;
}

bool parser_error_near(struct parser *p, const char *code, const char *const *words,
                       size_t n_words, const char *fix, const char *message)
{
    char text[SUGGEST_ROOM];
    const char *near = suggest_word(p->token.text, words, n_words, text);
    return parser_error(p, code, near ? near : fix, message);
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
    (void)snprintf(message, sizeof message, "'%s' is missing %s", text, where);
    return parser_error(p, "E001", NULL, message);
}

void *parser_alloc(struct parser *p, size_t size)
{
    void *memory = sp_arena_alloc(p->arena, size);
    p->out_of_memory = p->out_of_memory || !memory;
    return memory;
}

void *parser_grow(struct parser *p, void *items, size_t n, size_t *room, size_t size)
{
    if (n < *room) {
        return items;
    }
    size_t more = *room ? 2 * *room : 4;
    void *memory = parser_alloc(p, more * size);
    if (memory && n > 0) {
        memcpy(memory, items, n * size);
    }
    *room = memory ? more : *room;
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

static bool is_harmless(struct sp_text name)
{
    size_t len;
    for (size_t i = 0; i < name.len; i += len) {
        uint32_t point = 0;
        len = utf8_decode((struct sp_text){name.ptr + i, name.len - i}, &point);
        if (len == 0 || utf8_is_unsafe(point)) {
            return false;
        }
    }
    return true;
}

bool parse_id(struct parser *p, const char *what, struct sp_text *ret_name,
              struct sp_span *ret_span)
{
    if (!parse_name(p, what, ret_name, ret_span)) {
        return false;
    }
    if (ret_name->len == 0 || ret_name->len > SP_NAME_MAX_BYTES || !is_harmless(*ret_name)) {
        sp_diags_add(p->diags, SP_SEVERITY_ERROR, "E006", *ret_span, NULL,
                     "a name is 1 to %d bytes, without control characters", SP_NAME_MAX_BYTES);
        return false;
    }
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

/* Ten years: longer is a mistake, and sums of a time and a duration stay far from any limit. */
static const uint64_t DURATION_MAX_MS = 3660ull * 86400000;

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
                (uint64_t)number <= DURATION_MAX_MS / units[i].ms) {
                *ret_ms = (uint64_t)number * units[i].ms;
                parser_advance(p);
                return true;
            }
        }
    }
    return parser_error(p, "E005", "write 30s, 5m, 4h or 2d; at most 3660d",
                        "a duration belongs here");
}
