/* sp_policy_format: the one layout of a scope file.
 *
 * A statement stands on one line where it fits; else it is broken where its kind is broken, and
 * nowhere else. Comments force a break where they stand, and do not count as width. */
#include "fmt.h"

#include "parser.h"

enum { WIDTH = 96, INDENT = 4 };

struct layout {
    const struct pieces *pieces;
    struct sp_buf *out;
    size_t column; /* of the line that is printed, in code points */
};

/* A statement: pieces first to end - 1, and how it is broken. */
struct statement {
    const struct piece *first, *end;
    size_t indent;
    const struct piece *where; /* of a rule: its condition's first word; or NULL */
    const struct piece *url;   /* of an expectation: behind it breaks may stand; or NULL */
    bool is_set;               /* let name = { … } */
    bool is_list;              /* key, may: broken behind commas */
    unsigned level;            /* 0: on one line; n: n - 1 levels of parentheses are broken */
};

/* ---- one line ------------------------------------------------------------------------------
 */

static size_t columns(struct sp_text text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        n += ((unsigned char)text.ptr[i] & 0xc0) != 0x80;
    }
    return n;
}

static bool is_any(const struct piece *piece, const char *marks)
{
    return piece->token.kind == TOKEN_PUNCT && piece->token.text.len == 1 &&
           strchr(marks, piece->token.text.ptr[0]);
}

/* Whether a bracket stands close behind its word: any(…), name(…); but not (…), given (…). */
static bool takes_bracket(const struct piece *before)
{
    return before->token.kind == TOKEN_STRING || piece_is(before, "any") ||
           piece_is(before, "all") ||
           (before->token.kind == TOKEN_WORD && !is_keyword(before->token.text));
}

static bool has_space(const struct piece *before, const struct piece *piece)
{
    if (before->token.kind == TOKEN_URL) {
        return true; /* a URL ends at white space only */
    }
    if (is_any(before, "([./") || is_any(piece, ",)]:./") ||
        (piece->role == PIECE_INSIDE && is_any(piece, "}")) ||
        (before->role == PIECE_INSIDE && is_any(before, "{"))) {
        return false;
    }
    if (piece_is(piece, "..")) {
        return before->token.kind != TOKEN_NUMBER;
    }
    if (piece_is(before, "..")) {
        return piece->token.kind != TOKEN_NUMBER;
    }
    return !is_any(piece, "(") || !takes_bracket(before);
}

static void print(struct layout *l, struct sp_text text)
{
    sp_buf_add_text(l->out, text);
    l->column += columns(text);
}

static void new_line(struct layout *l, size_t indent)
{
    sp_buf_add_byte(l->out, '\n');
    for (size_t i = 0; i < indent; i++) {
        sp_buf_add_byte(l->out, ' ');
    }
    l->column = indent;
}

/* ---- where a statement is broken -----------------------------------------------------------
 */

static bool is_connective(const struct statement *s, const struct piece *piece)
{
    return s->where && piece > s->where && piece->braces == 0 && !piece_is(piece - 1, ".") &&
           (piece_is(piece, "and") || piece_is(piece, "or"));
}

static bool breaks(const struct statement *s, const struct piece *piece)
{
    if (piece == s->first || s->level == 0) {
        return false;
    }
    if (s->is_set) {
        return (is_any(piece - 1, "{,") && !is_any(piece, "}")) || is_any(piece, "}");
    }
    if (s->is_list) {
        return is_any(piece - 1, ",") && piece->depth == 0;
    }
    if (s->url && piece > s->url) {
        return piece->depth == 0 && (piece_is(piece, "form") || piece_is(piece, "json") ||
                                     piece_is(piece, "header") || piece_is(piece, "->"));
    }
    return piece == s->where || (is_connective(s, piece) && piece->depth < s->level);
}

/* Of a line that begins with that piece; of a comment before it where is_note. */
static size_t indent_of(const struct statement *s, const struct piece *piece, bool is_note)
{
    if (piece == s->first || (s->is_set && is_any(piece, "}") && !is_note)) {
        return s->indent;
    }
    if (!s->where || piece <= s->where) {
        return s->indent + INDENT;
    }
    size_t depth = piece->depth < s->level ? piece->depth : s->level;
    return s->indent + 2 * INDENT + depth * INDENT;
}

/* ---- printing ------------------------------------------------------------------------------
 */

/* Whether one of the comments before the nth has a line of its own. */
static bool has_line_before(const struct piece *piece, size_t nth)
{
    return nth > 0 && piece->notes[nth - 1].own_line;
}

static void print_notes(struct layout *l, const struct piece *piece, size_t indent,
                        bool keep_blanks, bool at_top)
{
    for (size_t i = 0; i < piece->n_notes; i++) {
        const struct comment *note = &piece->notes[i];
        if (!note->own_line) {
            sp_buf_add_byte(l->out, ' ');
        } else if (l->out->len > 0) {
            if (note->blank_before && keep_blanks && !(at_top && !has_line_before(piece, i))) {
                sp_buf_add_byte(l->out, '\n');
            }
            new_line(l, indent);
        }
        sp_buf_add_text(l->out, note->text);
    }
}

/* Print what fits into a statement's lines; returns the longest, comments left out. */
static size_t print_statement(struct layout *l, const struct statement *s)
{
    size_t longest = 0;
    for (const struct piece *piece = s->first; piece < s->end; piece++) {
        bool inside = piece > s->first;
        bool broken = inside && (piece->n_notes > 0 || breaks(s, piece));
        if (broken) {
            longest = l->column > longest ? l->column : longest;
            bool at_top = s->is_set && is_any(piece - 1, "{");
            print_notes(l, piece, indent_of(s, piece, true), s->is_set, at_top);
            if (s->is_set && piece->blank_before && !is_any(piece, "}") &&
                (!at_top || has_line_before(piece, piece->n_notes))) {
                sp_buf_add_byte(l->out, '\n');
            }
            new_line(l, indent_of(s, piece, false));
        } else if (inside && has_space(piece - 1, piece)) {
            print(l, SP_TEXT(" "));
        }
        print(l, piece->token.text);
    }
    return l->column > longest ? l->column : longest;
}

/* What kind of statement it is, and whether a comment stands inside of it. */
static bool statement_init(struct statement *s, const struct piece *first,
                           const struct piece *end, size_t indent)
{
    *s = (struct statement){.first = first, .end = end, .indent = indent};
    bool expects = piece_is(first, "expect"), has_note = false;
    bool rules =
        first->token.kind == TOKEN_LABEL || piece_is(first, "allow") || piece_is(first, "deny");
    s->is_set = piece_is(first, "let") && is_any(end - 1, "}");
    s->is_list = piece_is(first, "key") || piece_is(first, "may");
    for (const struct piece *piece = first; piece < end; piece++) {
        has_note = has_note || (piece > first && piece->n_notes > 0);
        if (expects && !s->url && piece->token.kind == TOKEN_URL) {
            s->url = piece;
        }
        if (rules && !s->where && piece_is(piece, "where")) {
            s->where = piece;
        }
    }
    return has_note;
}

/* The least broken way in which it fits; where none does, the most broken one. */
static void choose_level(struct statement *s, bool has_note)
{
    unsigned deepest = 1;
    for (const struct piece *piece = s->first; piece < s->end; piece++) {
        if (is_connective(s, piece) && piece->depth + 1 > deepest) {
            deepest = piece->depth + 1;
        }
    }
    char nothing[1];
    for (s->level = has_note; s->level < deepest; s->level++) {
        struct sp_buf sink;
        sp_buf_over(&sink, nothing, sizeof nothing);
        struct layout trial = {.out = &sink, .column = s->indent};
        if (print_statement(&trial, s) <= WIDTH) {
            return;
        }
    }
}

static const struct piece *statement_end(const struct piece *first)
{
    const struct piece *end = first + 1;
    while (end->token.kind != TOKEN_END && end->role == PIECE_INSIDE) {
        end++;
    }
    return end->role == PIECE_OPEN && end->token.kind != TOKEN_END ? end + 1 : end;
}

static void print_file(struct layout *l)
{
    size_t indent = 0;
    bool at_top = true, behind_allow = false;
    const struct piece *piece = l->pieces->items;
    while (piece->token.kind != TOKEN_END) {
        bool closes = piece->role == PIECE_CLOSE;
        bool of_rule = behind_allow && (piece_is(piece, "rate") || piece_is(piece, "budget") ||
                                        piece_is(piece, "escalates"));
        size_t mine = indent + (of_rule ? INDENT : 0);
        print_notes(l, piece, mine, true, at_top);
        if (piece->blank_before && !closes &&
            (!at_top || has_line_before(piece, piece->n_notes))) {
            sp_buf_add_byte(l->out, '\n');
        }
        indent = closes ? 0 : indent;
        if (l->out->len > 0) {
            new_line(l, closes ? 0 : mine);
        }
        const struct piece *end = statement_end(piece);
        struct statement statement;
        bool has_note = statement_init(&statement, piece, end, closes ? 0 : mine);
        choose_level(&statement, has_note);
        (void)print_statement(l, &statement);
        at_top = (end - 1)->role == PIECE_OPEN;
        indent = at_top ? INDENT : indent;
        behind_allow = of_rule || piece->token.kind == TOKEN_LABEL || piece_is(piece, "allow");
        piece = end;
    }
    print_notes(l, piece, 0, true, false);
    sp_buf_add_byte(l->out, '\n');
}

/* ---- the whole -----------------------------------------------------------------------------
 */

static const struct sp_span whole = {0, 0, 0};

static bool parses(const struct sp_source *source, struct sp_diags *diags)
{
    struct sp_policy policy = {.first_scope = NULL};
    struct uses uses = {.n = 0};
    bool good = true;
    if (source->text.len > SP_SOURCE_MAX_BYTES) {
        sp_diags_add(diags, SP_SEVERITY_ERROR, "E062", whole, NULL,
                     "the file is larger than %d bytes", SP_SOURCE_MAX_BYTES);
    } else if (!sp_text_is_utf8(source->text)) {
        sp_diags_add(diags, SP_SEVERITY_ERROR, "E062", whole, NULL, "the file is not UTF-8");
    } else {
        sp_arena_init(&policy.arena, (size_t)512 << 20);
        good = ast_parse(&policy, source, 0, diags, &uses);
        sp_arena_done(&policy.arena);
    }
    return good;
}

/* From E100 on an error is about what is said, not about how it is written. */
static bool is_understood(const struct sp_diags *diags)
{
    unsigned meant = 0;
    for (const struct sp_diag *d = diags->first; d; d = d->next) {
        meant += d->severity == SP_SEVERITY_ERROR && d->code[1] != '0';
    }
    return meant == diags->n_errors;
}

sp_status sp_policy_format(const struct sp_source *source, struct sp_diags *diags,
                           struct sp_buf *ret_text)
{
    struct pieces before = {.n = 0}, after = {.n = 0};
    struct sp_arena arena;
    if (!parses(source, diags) || diags->failed) {
        return SP_ENOMEM;
    }
    if (!is_understood(diags)) {
        return SP_EINVAL;
    }
    sp_arena_init(&arena, (size_t)1 << 30);
    sp_status status = SP_ENOMEM;
    if (!pieces_read(&arena, source->text, &before)) {
        goto out;
    }
    struct layout layout = {.pieces = &before, .out = ret_text};
    print_file(&layout);
    if (ret_text->failed || !pieces_read(&arena, sp_buf_text(ret_text), &after)) {
        goto out;
    }
    /* A layout that would change what the file says is our fault, and must never be written. */
    status = SP_OK;
    if (!pieces_same(&before, &after)) {
        sp_diags_add(diags, SP_SEVERITY_ERROR, "E000", whole, NULL,
                     "the formatter cannot lay out this file without changing it");
        status = SP_EINVAL;
    }
out:
    sp_arena_done(&arena);
    return status;
}
