#include "lexer.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_word(char c)
{
    return is_word_start(c) || is_digit(c) || c == '-';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* A comment begins at the start of a line or after white space: elsewhere '#' is a mistake. */
static void skip_blanks(struct lexer *lexer)
{
    while (lexer->at < lexer->text.len) {
        char c = lexer->text.ptr[lexer->at];
        if (c == '#' && (lexer->at == 0 || is_blank(lexer->text.ptr[lexer->at - 1]))) {
            while (lexer->at < lexer->text.len && lexer->text.ptr[lexer->at] != '\n') {
                lexer->at++;
            }
        } else if (!is_blank(c)) {
            return;
        } else {
            lexer->line_start = lexer->line_start || c == '\n';
            lexer->at++;
        }
    }
}

static size_t run_of(struct sp_text rest, size_t from, bool (*fn)(char))
{
    size_t i = from;
    while (i < rest.len && fn(rest.ptr[i])) {
        i++;
    }
    return i;
}

static bool is_url_byte(char c)
{
    return !is_blank(c);
}

/* The length of a string with its quotes; 0 where it does not end on its line. */
static size_t string_len(struct sp_text rest)
{
    for (size_t i = 1; i < rest.len && rest.ptr[i] != '\n'; i++) {
        if (rest.ptr[i] == '"') {
            return i + 1;
        }
        i += rest.ptr[i] == '\\';
    }
    return 0;
}

static size_t punct_len(struct sp_text rest)
{
    static const char *const pairs[] = {"!=", "<=", ">=", "..", "->"};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (sp_text_starts(rest, sp_text_of(pairs[i]))) {
            return 2;
        }
    }
    return rest.ptr[0] != '\0' && strchr("{}()[],:;./*=<>", rest.ptr[0]) ? 1 : 0;
}

static enum token_kind classify(struct sp_text rest, size_t *ret_len)
{
    if (sp_text_starts(rest, SP_TEXT("http://")) || sp_text_starts(rest, SP_TEXT("https://"))) {
        *ret_len = run_of(rest, 0, is_url_byte);
        return TOKEN_URL;
    }
    if (is_word_start(rest.ptr[0])) {
        *ret_len = run_of(rest, 0, is_word);
        return TOKEN_WORD;
    }
    if (is_digit(rest.ptr[0]) ||
        (rest.ptr[0] == '-' && rest.len > 1 && is_digit(rest.ptr[1]))) {
        size_t digits = run_of(rest, 1, is_digit);
        *ret_len = run_of(rest, digits, is_word_start);
        return *ret_len > digits ? TOKEN_AMOUNT : TOKEN_NUMBER;
    }
    if (rest.ptr[0] == '"') {
        *ret_len = string_len(rest);
        if (*ret_len > 0) {
            return TOKEN_STRING;
        }
    } else if (rest.ptr[0] == '@') {
        *ret_len = run_of(rest, 1, is_word);
        return *ret_len > 1 ? TOKEN_LABEL : TOKEN_BAD;
    } else {
        *ret_len = punct_len(rest);
        if (*ret_len > 0) {
            return TOKEN_PUNCT;
        }
    }
    *ret_len = 1;
    return TOKEN_BAD;
}

struct token lexer_next(struct lexer *lexer)
{
    skip_blanks(lexer);
    struct token token = {.kind = TOKEN_END,
                          .text = {lexer->text.ptr + lexer->at, 0},
                          .start = (uint32_t)lexer->at,
                          .line_start = lexer->line_start};
    struct sp_text rest = {lexer->text.ptr + lexer->at, lexer->text.len - lexer->at};
    if (rest.len > 0) {
        token.kind = classify(rest, &token.text.len);
        lexer->at += token.text.len;
        lexer->line_start = false;
    }
    return token;
}
