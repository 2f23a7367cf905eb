/* From a text to the formatter's pieces: where statements begin, what comments stand where. */
#include "fmt.h"

bool piece_is(const struct piece *piece, const char *text)
{
    return (piece->token.kind == TOKEN_WORD || piece->token.kind == TOKEN_PUNCT) &&
           sp_text_is(piece->token.text, text);
}

static bool is_one_of(const struct piece *piece, const char *const *words, size_t n_words)
{
    for (size_t i = 0; i < n_words; i++) {
        if (piece_is(piece, words[i])) {
            return true;
        }
    }
    return false;
}

/* ---- comments ------------------------------------------------------------------------------
 */

static struct sp_text trimmed(struct sp_text text)
{
    while (text.len > 0 && memchr(" \t\r", text.ptr[text.len - 1], 3)) {
        text.len--;
    }
    return text;
}

/* The length of the comment that begins a text: to the end of its line. */
static size_t comment_len(struct sp_text rest)
{
    const char *end = memchr(rest.ptr, '\n', rest.len);
    return end ? (size_t)(end - rest.ptr) : rest.len;
}

/* What stands between two tokens: blanks and comments, nothing else. first: nothing is before.
 */
static bool read_gap(struct sp_arena *arena, struct sp_text gap, bool first,
                     struct piece *piece)
{
    size_t room = 0, lines = 0;
    for (size_t i = 0; i < gap.len; i++) {
        if (gap.ptr[i] == '#') {
            room++;
            i += comment_len((struct sp_text){gap.ptr + i, gap.len - i});
        }
    }
    piece->notes = room ? sp_arena_array(arena, room, sizeof *piece->notes) : NULL;
    if (room && !piece->notes) {
        return false;
    }
    for (size_t i = 0; i < gap.len; i++) {
        if (gap.ptr[i] == '#' && piece->n_notes < room) {
            struct sp_text rest = {gap.ptr + i, gap.len - i};
            rest.len = comment_len(rest);
            piece->notes[piece->n_notes++] =
                (struct comment){trimmed(rest), lines > 0 || first, lines > 1};
            i += rest.len - 1;
            lines = 0;
            first = false;
        } else {
            lines += gap.ptr[i] == '\n';
        }
    }
    piece->blank_before = lines > 1;
    return true;
}

/* ---- statements ----------------------------------------------------------------------------
 */

struct reading {
    bool in_block;
    bool has_block;   /* the statement's brace opens one */
    bool expect_head; /* from `expect` to the method, which may be any word */
    bool given;       /* its arguments are open */
    unsigned depth, braces;
    const struct piece *last; /* NULL at the start */
};

static bool begins(const struct reading *r, const struct piece *piece)
{
    static const char *const of_file[] = {"sallyport", "let",    "use",
                                          "scope",     "client", "principal"};
    static const char *const of_block[] = {"key",       "ttl",    "rate",   "budget", "mode",
                                           "allow",     "deny",   "expect", "may",    "curve",
                                           "escalates", "insist", "redact"};
    if (r->depth > 0) {
        return false;
    }
    if (!r->in_block) {
        return is_one_of(piece, of_file, sizeof of_file / sizeof *of_file);
    }
    /* Behind these a word is a name, a method, or the label's own allow or deny. */
    bool held = r->expect_head || piece_is(r->last, ".") || piece_is(r->last, "->") ||
                (r->last->token.kind == TOKEN_LABEL && r->last->role == PIECE_START);
    return !held && (piece->token.kind == TOKEN_LABEL ||
                     is_one_of(piece, of_block, sizeof of_block / sizeof *of_block));
}

static void count_brackets(struct reading *r, struct piece *piece)
{
    bool open = piece_is(piece, "{") || piece_is(piece, "["),
         close = piece_is(piece, "}") || piece_is(piece, "]");
    if ((close || piece_is(piece, ")")) && r->depth > 0) {
        r->depth--;
        r->braces -= close && r->braces > 0;
    }
    piece->depth = r->depth;
    piece->braces = r->braces;
    if (open || piece_is(piece, "(")) {
        r->depth++;
        r->braces += open;
    }
}

/* In `expect deny given (…) METHOD` the method is no statement, whatever word it is. */
static void follow_expect(struct reading *r, const struct piece *piece)
{
    if (piece->role == PIECE_START) {
        r->expect_head = piece_is(piece, "expect");
        r->given = false;
    } else if (r->expect_head && r->depth == 0 && !piece_is(r->last, "expect") &&
               !piece_is(piece, ")")) {
        r->expect_head = piece_is(piece, "given") && !r->given;
        r->given = true;
    }
}

static void give_role(struct reading *r, struct piece *piece)
{
    if (r->depth == 0 && piece_is(piece, "{") && r->has_block && !r->in_block) {
        piece->role = PIECE_OPEN;
        r->in_block = true;
        r->has_block = false;
    } else if (r->depth == 0 && piece_is(piece, "}") && r->in_block) {
        piece->role = PIECE_CLOSE;
        r->in_block = false;
    } else {
        static const char *const with_block[] = {"scope", "client", "principal"};
        piece->role = !r->last || begins(r, piece) ? PIECE_START : PIECE_INSIDE;
        r->has_block = r->has_block || (piece->role == PIECE_START && !r->in_block &&
                                        is_one_of(piece, with_block, 3));
        count_brackets(r, piece);
    }
    follow_expect(r, piece);
    r->last = piece;
}

bool pieces_read(struct sp_arena *arena, struct sp_text text, struct pieces *ret_pieces)
{
    struct lexer lexer = {.text = text, .line_start = true};
    size_t n = 1, end = 0;
    while (lexer_next(&lexer).kind != TOKEN_END) {
        n++;
    }
    struct piece *items = sp_arena_array(arena, n, sizeof *items);
    struct reading reading = {.in_block = false};
    bool good = items != NULL;
    lexer = (struct lexer){.text = text, .line_start = true};
    for (size_t i = 0; good && i < n; i++) {
        items[i].token = lexer_next(&lexer);
        struct sp_text gap = {text.ptr + end, items[i].token.start - end};
        good = read_gap(arena, gap, i == 0, &items[i]);
        end = items[i].token.start + items[i].token.text.len;
        if (i + 1 < n) {
            give_role(&reading, &items[i]);
        }
    }
    *ret_pieces = (struct pieces){items, n};
    return good;
}

bool pieces_same(const struct pieces *a, const struct pieces *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++) {
        const struct piece *x = &a->items[i], *y = &b->items[i];
        same = x->token.kind == y->token.kind && sp_text_eq(x->token.text, y->token.text) &&
               x->role == y->role && x->n_notes == y->n_notes;
        for (size_t k = 0; same && k < x->n_notes; k++) {
            same = sp_text_eq(x->notes[k].text, y->notes[k].text) &&
                   x->notes[k].own_line == y->notes[k].own_line;
        }
    }
    return same;
}
