/* What the parser's files share: one token of look-ahead, errors, small readers.
 *
 * After an error the parser skips to the next word that begins a statement, so that one run
 * shows several errors. Nothing here recurses deeper than AST_DEPTH_MAX. */
#ifndef SP_PARSER_H
#define SP_PARSER_H

#include "ast.h"
#include "lexer.h"

struct parser {
    struct sp_policy *policy;
    struct sp_arena *arena;
    struct sp_diags *diags;
    struct uses *uses;
    uint32_t source;
    struct lexer lexer;
    struct token token; /* the next one */
    unsigned depth, nodes;
    bool out_of_memory;
};

void parser_advance(struct parser *p);
struct sp_span parser_span(const struct parser *p);
struct sp_span parser_span_since(const struct parser *p, uint32_t start, uint32_t end);
/* An error at the next token. Returns false, so that callers can return it. */
bool parser_error(struct parser *p, const char *code, const char *fix, const char *message);
bool parser_is(const struct parser *p, const char *text);
/* Take the next token where it is that word or mark. */
bool parser_take(struct parser *p, const char *text);
bool parser_expect(struct parser *p, const char *text, const char *where);
void *parser_alloc(struct parser *p, size_t size);

/* A name: a word, or a string for odd and keyword names. */
bool parse_name(struct parser *p, const char *what, struct sp_text *ret_name,
                struct sp_span *ret_span);
/* The decoded content of a string token. */
bool parse_string(struct parser *p, struct sp_text *ret_text);
bool parse_int(struct parser *p, int64_t *ret_integer);
/* 30s, 5m, 4h, 2d, 60000ms. */
bool parse_duration(struct parser *p, uint64_t *ret_ms);
bool is_keyword(struct sp_text word);

/* until "…Z"; 0 in *ret_until_ms says that there was none yet. */
bool parse_until(struct parser *p, uint64_t *ret_until_ms);
bool parse_url_pattern(struct parser *p, struct url_pattern *ret_url);
bool parse_condition(struct parser *p, struct condition **ret_condition);
bool parse_constant(struct parser *p, struct constant *ret_constant);
/* { item, … } of constants; the opening brace is the next token. */
bool parse_set(struct parser *p, struct constant **ret_items, size_t *ret_n);
/* What stands behind `expect`. */
bool parse_expectation(struct parser *p, struct sp_scope *scope);

#endif
