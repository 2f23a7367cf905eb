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
    uint32_t last_end;  /* of the one before it */
    unsigned braces;    /* open ones */
    struct {
        uint32_t start;
        unsigned braces; /* open where it begins */
    } statement;         /* the one that is parsed: what to skip where it is wrong */
    unsigned depth, nodes;
    bool out_of_memory;
};

void parser_advance(struct parser *p);
/* The next token begins a statement. */
void parser_begin(struct parser *p);
/* Skip the rest of a statement that is wrong: to a word that begins one on a line of its own,
 * or to the brace that ends the block. */
void parser_recover(struct parser *p);
struct sp_span parser_span(const struct parser *p);
struct sp_span parser_span_since(const struct parser *p, uint32_t start, uint32_t end);
/* An error at the next token, or behind the last where that is on an earlier line. Returns
 * false, so that callers can return it. */
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
/* A name that others refer to: 1 to 64 bytes, and nothing that a terminal must not see. */
bool parse_id(struct parser *p, const char *what, struct sp_text *ret_name,
              struct sp_span *ret_span);
bool is_keyword(struct sp_text word);
/* Room for one more in a list that grows: *items, n of them used; NULL where memory ran out. */
void *parser_grow(struct parser *p, void *items, size_t n, size_t *room, size_t size);
/* An error at the next token, with "did you mean" where one of the words is near. */
bool parser_error_near(struct parser *p, const char *code, const char *const *words,
                       size_t n_words, const char *fix, const char *message);

/* until "…Z"; 0 in *ret_until_ms says that there was none yet. */
bool parse_until(struct parser *p, uint64_t *ret_until_ms);
/* What stands behind `client` and `principal`. */
bool parse_identity(struct parser *p, bool principal);
/* { field, … } behind `redact`: what answers do not hold. */
bool parse_redactions(struct parser *p, struct sp_scope *scope);
/* What stands behind `rate` and `budget`; what is there already is an error. */
bool parse_rate(struct parser *p, struct sp_rate *ret_rate);
bool parse_budget(struct parser *p, struct budget **ret_budget);
bool parse_field(struct parser *p, struct field *ret_field);
bool parse_url_pattern(struct parser *p, struct url_pattern *ret_url);
bool parse_condition(struct parser *p, struct condition **ret_condition);
bool parse_constant(struct parser *p, struct constant *ret_constant);
/* { item, … } of constants; the opening brace is the next token. */
bool parse_set(struct parser *p, struct constant **ret_items, size_t *ret_n);
/* What stands behind `expect`. */
bool parse_expectation(struct parser *p, struct sp_scope *scope);

#endif
