/* A source as the formatter sees it: its tokens, each with what stands before it.
 *
 * The layout is a function of these pieces alone, and what it prints reads back as the same
 * pieces: so formatting twice changes nothing, whatever the layout. */
#ifndef SP_FMT_H
#define SP_FMT_H

#include "lexer.h"
#include "policy.h"

struct comment {
    struct sp_text text; /* from '#', without trailing blanks */
    bool own_line;       /* nothing but blanks before it on its line */
    bool blank_before;   /* an empty line before it */
};

enum piece_role {
    PIECE_INSIDE, /* of a statement */
    PIECE_START,  /* a statement's first token */
    PIECE_OPEN,   /* the brace that opens a block; it ends its statement */
    PIECE_CLOSE,  /* the brace that closes it: a statement by itself */
};

struct piece {
    struct token token;
    enum piece_role role;
    unsigned depth;        /* brackets of the statement that are open before it */
    unsigned braces;       /* those of them that are braces or square */
    bool blank_before;     /* an empty line between it and what stands before it */
    struct comment *notes; /* the comments before it */
    size_t n_notes;
};

struct pieces {
    struct piece *items; /* the last one is TOKEN_END */
    size_t n;
};

/* The pieces of a text that parses. False where memory ran out. */
bool pieces_read(struct sp_arena *arena, struct sp_text text, struct pieces *ret_pieces);
/* Whether both have the same tokens and comments in the same order. */
bool pieces_same(const struct pieces *a, const struct pieces *b);
bool piece_is(const struct piece *piece, const char *text);

#endif
