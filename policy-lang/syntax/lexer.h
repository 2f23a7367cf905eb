/* Source text to tokens. A token is a span and a kind; strings are decoded by the parser. */
#ifndef SP_LEXER_H
#define SP_LEXER_H

#include "diag.h"

enum token_kind {
    TOKEN_END,
    TOKEN_WORD,   /* letters, digits, '_' and '-', beginning with a letter or '_' */
    TOKEN_NUMBER, /* digits, perhaps with '-' in front */
    TOKEN_AMOUNT, /* digits and letters at once: 4h, 60000ms */
    TOKEN_STRING, /* with its quotes */
    TOKEN_URL,    /* http:// or https:// up to white space */
    TOKEN_LABEL,  /* @word */
    TOKEN_PUNCT,  /* one of { } ( ) [ ] , : ; . / * = < > or != <= >= .. -> */
    TOKEN_BAD,
};

struct token {
    enum token_kind kind;
    struct sp_text text;
    uint32_t start;
    bool line_start; /* nothing but blanks before it on its line */
};

struct lexer {
    struct sp_text text;
    size_t at;
    bool line_start;
};

struct token lexer_next(struct lexer *lexer);

#endif
