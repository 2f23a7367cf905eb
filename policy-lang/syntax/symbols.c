/* Names and references, from the formatter's pieces: statement by statement. */
#include "symbols.h"

#include "fmt.h"
#include "parser.h"

struct finding {
    struct sp_symbols *symbols;
    struct sp_arena *arena;
    size_t room;
    struct sp_text scope; /* the one whose block is open */
    struct sp_span statement;
    bool failed;
};

static void add(struct finding *f, enum sp_symbol_kind kind, struct sp_text owner,
                struct sp_text name, uint32_t start, bool defines)
{
    struct sp_symbols *list = f->symbols;
    if (list->n == f->room) {
        size_t room = f->room ? 2 * f->room : 64;
        struct sp_symbol *items = sp_arena_array(f->arena, room, sizeof *items);
        if (!items) {
            f->failed = true;
            return;
        }
        if (list->n > 0) {
            memcpy(items, list->items, list->n * sizeof *items);
        }
        list->items = items;
        f->room = room;
    }
    list->items[list->n++] = (struct sp_symbol){
        kind, name, owner, {0, start, (uint32_t)name.len}, f->statement, defines};
}

static bool is_name(const struct piece *piece)
{
    return piece->token.kind == TOKEN_STRING ||
           (piece->token.kind == TOKEN_WORD && !is_keyword(piece->token.text));
}

/* A name without its quotes; escapes stay as they are. */
static struct sp_text bare(const struct piece *piece)
{
    struct sp_text text = piece->token.text;
    return piece->token.kind == TOKEN_STRING ? (struct sp_text){text.ptr + 1, text.len - 2}
                                             : text;
}

static void add_piece(struct finding *f, enum sp_symbol_kind kind, struct sp_text owner,
                      const struct piece *piece, bool defines)
{
    uint32_t quote = piece->token.kind == TOKEN_STRING;
    if (piece->token.kind == TOKEN_LABEL) {
        struct sp_text text = {piece->token.text.ptr + 1, piece->token.text.len - 1};
        add(f, kind, owner, text, piece->token.start + 1, defines);
    } else if (is_name(piece)) {
        add(f, kind, owner, bare(piece), piece->token.start + quote, defines);
    }
}

/* {x} in a pattern is a parameter; {x:int} captures. */
static void add_url(struct finding *f, const struct piece *piece)
{
    struct sp_text url = piece->token.text;
    for (size_t i = 0; i < url.len; i++) {
        const char *end = memchr(url.ptr + i, '}', url.len - i);
        if (url.ptr[i] != '{' || !end) {
            continue;
        }
        struct sp_text name = {url.ptr + i + 1, (size_t)(end - url.ptr) - i - 1};
        if (sp_symbol_is_word(name)) {
            add(f, SP_SYMBOL_PARAM, f->scope, name, piece->token.start + (uint32_t)i + 1,
                false);
        }
        i += name.len + 1;
    }
}

/* ( name = …, name = … ) or ( name, name ): the names, up to the closing bracket. */
static void add_params(struct finding *f, const struct piece *open, const struct piece *end,
                       struct sp_text owner, bool defines)
{
    for (const struct piece *p = open + 1; p < end && !piece_is(p, ")"); p++) {
        if ((piece_is(p - 1, "(") || piece_is(p - 1, ",")) && p->token.kind == TOKEN_WORD) {
            add_piece(f, SP_SYMBOL_PARAM, owner, p, defines);
        }
    }
}

static void read_header(struct finding *f, const struct piece *first, const struct piece *end)
{
    if (end - first < 2) {
        return;
    }
    f->scope = bare(first + 1);
    add_piece(f, SP_SYMBOL_SCOPE, SP_TEXT(""), first + 1, true);
    for (const struct piece *p = first + 2; p < end; p++) {
        if (piece_is(p, "(") && p == first + 2) {
            add_params(f, p, end, f->scope, true);
        } else if (piece_is(p - 1, "narrows")) {
            add_piece(f, SP_SYMBOL_SCOPE, SP_TEXT(""), p, false);
        }
    }
}

static bool is_comparison(const struct piece *p)
{
    return piece_is(p, "=") || piece_is(p, "!=") || piece_is(p, "<") || piece_is(p, "<=") ||
           piece_is(p, ">") || piece_is(p, ">=") || piece_is(p, "starts");
}

/* Words in a condition: behind a comparison or in a set a parameter, behind `in` a let. */
static void read_condition(struct finding *f, const struct piece *first,
                           const struct piece *end)
{
    bool in_set = false;
    for (const struct piece *p = first + 1; p < end; p++) {
        if (piece_is(p, "{")) {
            in_set = piece_is(p - 1, "in");
        } else if (piece_is(p, "}")) {
            in_set = false;
        } else if (p->token.kind != TOKEN_WORD || is_keyword(p->token.text)) {
            continue;
        } else if (is_comparison(p - 1) || in_set) {
            add_piece(f, SP_SYMBOL_PARAM, f->scope, p, false);
        } else if (piece_is(p - 1, "in")) {
            add_piece(f, SP_SYMBOL_LET, SP_TEXT(""), p, false);
        }
    }
}

static void read_rule(struct finding *f, const struct piece *first, const struct piece *end)
{
    for (const struct piece *p = first; p < end; p++) {
        if (p->token.kind == TOKEN_LABEL) {
            add_piece(f, SP_SYMBOL_LABEL, f->scope, p, true);
        } else if (p->token.kind == TOKEN_URL) {
            add_url(f, p);
        } else if (piece_is(p, "where")) {
            read_condition(f, p, end);
            return;
        } else if (p > first && p->depth == 0 && p->token.kind == TOKEN_WORD &&
                   !is_keyword(p->token.text) && !piece_is(p - 1, "allow") &&
                   !piece_is(p - 1, "deny")) {
            add_piece(f, SP_SYMBOL_LET, SP_TEXT(""), p, false);
        }
    }
}

static void read_expect(struct finding *f, const struct piece *first, const struct piece *end)
{
    for (const struct piece *p = first + 1; p < end; p++) {
        if (piece_is(p, "(") && piece_is(p - 1, "given")) {
            add_params(f, p, end, f->scope, false);
        } else if (piece_is(p - 1, "->") && p->token.kind == TOKEN_LABEL) {
            add_piece(f, SP_SYMBOL_LABEL, f->scope, p, false);
        }
    }
}

static void read_statement(struct finding *f, const struct piece *first,
                           const struct piece *end)
{
    const struct token *last = &(end - 1)->token;
    f->statement = (struct sp_span){
        0, first->token.start, last->start + (uint32_t)last->text.len - first->token.start};
    if (piece_is(first, "scope")) {
        read_header(f, first, end);
    } else if (piece_is(first, "let") && end - first > 1) {
        add_piece(f, SP_SYMBOL_LET, SP_TEXT(""), first + 1, true);
    } else if (piece_is(first, "use") && end - first > 1) {
        add_piece(f, SP_SYMBOL_USE, SP_TEXT(""), first + 1, false);
    } else if (piece_is(first, "may") && end - first > 2) {
        add_piece(f, SP_SYMBOL_SCOPE, SP_TEXT(""), first + 2, false);
        if (end - first > 3 && piece_is(first + 3, "(")) {
            add_params(f, first + 3, end, bare(first + 2), false);
        }
    } else if (piece_is(first, "expect")) {
        read_expect(f, first, end);
    } else if (first->token.kind == TOKEN_LABEL || piece_is(first, "allow") ||
               piece_is(first, "deny")) {
        read_rule(f, first, end);
    }
}

bool sp_symbols_read(struct sp_arena *arena, struct sp_text text,
                     struct sp_symbols *ret_symbols)
{
    struct pieces pieces = {.n = 0};
    *ret_symbols = (struct sp_symbols){.n = 0};
    if (!pieces_read(arena, text, &pieces)) {
        return false;
    }
    struct finding f = {.symbols = ret_symbols, .arena = arena};
    for (size_t i = 0, end; i + 1 < pieces.n; i = end) {
        for (end = i + 1; end + 1 < pieces.n && pieces.items[end].role == PIECE_INSIDE;) {
            end++;
        }
        read_statement(&f, &pieces.items[i], &pieces.items[end]);
    }
    return !f.failed;
}

bool sp_symbols_same(const struct sp_symbol *a, const struct sp_symbol *b)
{
    return a->kind == b->kind && sp_text_eq(a->name, b->name) && sp_text_eq(a->owner, b->owner);
}

bool sp_symbol_is_word(struct sp_text word)
{
    struct lexer lexer = {.text = word, .line_start = true};
    struct token token = lexer_next(&lexer);
    return token.kind == TOKEN_WORD && token.text.len == word.len && token.start == 0 &&
           word.len <= SP_NAME_MAX_BYTES && !is_keyword(word);
}

struct sp_span sp_word_at(struct sp_text text, size_t offset)
{
    struct lexer lexer = {.text = text, .line_start = true};
    for (;;) {
        struct token token = lexer_next(&lexer);
        size_t end = token.start + token.text.len;
        if (token.kind == TOKEN_END || token.start > offset) {
            return (struct sp_span){0, (uint32_t)offset, 0};
        }
        if (offset < end || (offset == end && token.kind == TOKEN_WORD)) {
            return (struct sp_span){0, token.start, (uint32_t)token.text.len};
        }
    }
}

static bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_' || c == '-' || c == '@';
}

bool sp_context_at(struct sp_arena *arena, struct sp_text text, size_t offset,
                   struct sp_context *ret_context)
{
    struct pieces pieces = {.n = 0};
    size_t end = offset < text.len ? offset : text.len;
    while (end > 0 && is_word_byte(text.ptr[end - 1])) {
        end--;
    }
    *ret_context = (struct sp_context){.in_where = false};
    if (!pieces_read(arena, (struct sp_text){text.ptr, end}, &pieces)) {
        return false;
    }
    const struct piece *start = NULL;
    for (size_t i = 0; i + 1 < pieces.n; i++) {
        const struct piece *piece = &pieces.items[i];
        if (piece->role == PIECE_OPEN && start) {
            ret_context->block = start->token.text;
            ret_context->name = start + 1 < piece ? bare(start + 1) : SP_TEXT("");
        } else if (piece->role == PIECE_CLOSE) {
            ret_context->block = ret_context->name = SP_TEXT("");
        }
        start = piece->role == PIECE_INSIDE ? start : piece;
        ret_context->in_where =
            piece->role == PIECE_INSIDE && (ret_context->in_where || piece_is(piece, "where"));
        ret_context->last = piece->token.text;
    }
    if (start && start->role == PIECE_START) {
        ret_context->statement = start->token.text;
    }
    return true;
}
