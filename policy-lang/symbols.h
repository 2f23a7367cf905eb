/* sp_symbols: the names of a source that others refer to, and where: for editors. It goes by
 * tokens and so answers for a source that does not parse, too; what it says of one is then a
 * guess. */
#ifndef SP_SYMBOLS_H
#define SP_SYMBOLS_H

#include "diag.h"

enum sp_symbol_kind {
    SP_SYMBOL_LET,
    SP_SYMBOL_SCOPE,
    SP_SYMBOL_PARAM, /* of the scope `owner` */
    SP_SYMBOL_LABEL, /* of a rule of the scope `owner` */
    SP_SYMBOL_USE,   /* a file's name */
};

struct sp_symbol {
    enum sp_symbol_kind kind;
    struct sp_text name;  /* in the source, as it is written, without '@', quotes and braces */
    struct sp_text owner; /* a scope's name; empty for kinds that have none */
    struct sp_span span;  /* of the name */
    struct sp_span statement; /* that it stands in: of a scope up to its brace */
    bool defines;             /* this is where it is declared */
};

struct sp_symbols {
    struct sp_symbol *items; /* in the order of the source; in the caller's arena */
    size_t n;
};

/* False where memory ran out. */
bool sp_symbols_read(struct sp_arena *arena, struct sp_text text,
                     struct sp_symbols *ret_symbols);
/* Whether both speak of the same thing, if they are of one policy. */
bool sp_symbols_same(const struct sp_symbol *a, const struct sp_symbol *b);
/* Whether a word can be a name without quotes. */
bool sp_symbol_is_word(struct sp_text word);

/* The words of the language, for completion: NULL behind the last. */
const char *sp_keyword(size_t i);
/* The word or mark around an offset; empty where there is none. */
struct sp_span sp_word_at(struct sp_text text, size_t offset);

/* What stands before a place: enough to say what can stand there. Texts are the source's own,
 * and empty where there is nothing of the kind. */
struct sp_context {
    struct sp_text block;     /* scope, client or principal: the one whose block is open */
    struct sp_text name;      /* its name */
    struct sp_text statement; /* the first word, or the label, of the statement */
    struct sp_text last;      /* the word or mark before the place */
    bool in_where;            /* behind the statement's where */
};
/* Of the word that is written at an offset, itself left out. False where memory ran out. */
bool sp_context_at(struct sp_arena *arena, struct sp_text text, size_t offset,
                   struct sp_context *ret_context);

#endif
