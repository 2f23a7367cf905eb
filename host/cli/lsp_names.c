/* Following names: through the document, the files that it uses, and open documents that use
 * it. */
#include "lsp.h"

#include <stdlib.h>

enum { ARENA_MAX_BYTES = 256 << 20 };

struct file {
    const char *path; /* the URI where the document is no file's */
    json_t *uri;
    struct sp_text text;
    struct sp_symbols symbols;
};

struct family {
    struct lsp *lsp;
    struct sp_arena arena;
    struct file files[LSP_FILES_MAX]; /* the document first */
    size_t n;
};

/* ---- the files that belong together --------------------------------------------------------
 */

static bool has_file(const struct family *family, const char *path)
{
    for (size_t i = 0; i < family->n; i++) {
        if (strcmp(family->files[i].path, path) == 0) {
            return true;
        }
    }
    return false;
}

static void add_file(struct family *family, const char *path, json_t *uri, struct sp_text text)
{
    struct sp_text name = sp_arena_copy(&family->arena, sp_text_of(path));
    struct file *file = &family->files[family->n];
    if (name.ptr && family->n < LSP_FILES_MAX && uri && text.ptr && sp_text_is_utf8(text) &&
        sp_symbols_read(&family->arena, text, &file->symbols)) {
        file->path = name.ptr;
        file->uri = uri;
        file->text = text;
        family->n++;
    } else {
        json_decref(uri);
    }
}

/* What the nth file uses, and so on: the list grows while it is walked. */
static void follow_uses(struct family *family, size_t from)
{
    for (size_t i = from; i < family->n; i++) {
        const struct file *file = &family->files[i];
        for (size_t k = 0; k < file->symbols.n && family->n < LSP_FILES_MAX; k++) {
            char path[LSP_PATH_ROOM];
            struct sp_text text = {NULL, 0};
            if (file->symbols.items[k].kind == SP_SYMBOL_USE &&
                lsp_used_path(file->path, file->symbols.items[k].name, path) &&
                !has_file(family, path) &&
                lsp_file_text(family->lsp, &family->arena, path, &text, NULL) == SP_OK) {
                add_file(family, path, lsp_uri(family->lsp, path), text);
            }
        }
    }
}

static bool doc_add(struct family *family, const struct lsp_doc *doc)
{
    size_t before = family->n;
    add_file(family, doc->path ? doc->path : doc->uri, json_string(doc->uri),
             sp_arena_copy(&family->arena, lsp_doc_text(doc)));
    return family->n > before;
}

static void family_done(struct family *family)
{
    if (family) {
        for (size_t i = 0; i < family->n; i++) {
            json_decref(family->files[i].uri);
        }
        sp_arena_done(&family->arena);
        free(family);
    }
}

static struct family *family_alone(struct lsp *lsp, const struct lsp_doc *doc)
{
    struct family *family = calloc(1, sizeof *family);
    if (family) {
        family->lsp = lsp;
        sp_arena_init(&family->arena, ARENA_MAX_BYTES);
        if (doc_add(family, doc)) {
            follow_uses(family, 0);
        }
    }
    return family;
}

/* The document, what it uses, and the open documents that use any of it. */
static struct family *family_of(struct lsp *lsp, const struct lsp_doc *doc)
{
    struct family *family = family_alone(lsp, doc);
    for (size_t i = 0; family && i < lsp->n_docs; i++) {
        const struct lsp_doc *other = &lsp->docs[i];
        if (!other->path || !doc->path || has_file(family, other->path)) {
            continue;
        }
        struct family *theirs = family_alone(lsp, other);
        if (theirs && has_file(theirs, doc->path) && doc_add(family, other)) {
            follow_uses(family, family->n - 1);
        }
        family_done(theirs);
    }
    return family;
}

/* ---- names ---------------------------------------------------------------------------------
 */

static const struct sp_symbol *symbol_at(const struct family *family, size_t offset)
{
    const struct sp_symbols *list = &family->files[0].symbols;
    for (size_t i = 0; family->n > 0 && i < list->n; i++) {
        const struct sp_span *span = &list->items[i].span;
        if (span->start <= offset && offset <= (size_t)span->start + span->len) {
            return &list->items[i];
        }
    }
    return NULL;
}

static json_t *location(const struct file *file, struct sp_span span)
{
    return json_pack("{s:O, s:o}", "uri", file->uri, "range", lsp_range(file->text, span));
}

/* A word that stands for a constant is a parameter only where its scope has one. */
static const struct sp_symbol *definition_of(const struct family *family,
                                             const struct sp_symbol *symbol,
                                             const struct file **ret_file)
{
    for (size_t i = 0; i < family->n; i++) {
        const struct sp_symbols *list = &family->files[i].symbols;
        for (size_t k = 0; k < list->n; k++) {
            if (list->items[k].defines && sp_symbols_same(&list->items[k], symbol)) {
                *ret_file = &family->files[i];
                return &list->items[k];
            }
        }
    }
    return NULL;
}

json_t *lsp_definition(struct lsp *lsp, const struct lsp_doc *doc, size_t offset)
{
    struct family *family = family_of(lsp, doc);
    const struct sp_symbol *symbol = family ? symbol_at(family, offset) : NULL;
    const struct file *file = NULL;
    char path[LSP_PATH_ROOM];
    json_t *found = NULL;
    if (symbol && symbol->kind == SP_SYMBOL_USE) {
        if (lsp_used_path(family->files[0].path, symbol->name, path) &&
            has_file(family, path)) {
            found = json_pack("{s:o, s:o}", "uri", lsp_uri(lsp, path), "range",
                              lsp_range(SP_TEXT(""), (struct sp_span){0, 0, 0}));
        }
    } else if (symbol) {
        const struct sp_symbol *definition = definition_of(family, symbol, &file);
        found = definition ? location(file, definition->span) : NULL;
    }
    family_done(family);
    return found ? found : json_null();
}

json_t *lsp_references(struct lsp *lsp, const struct lsp_doc *doc, size_t offset, bool declared)
{
    struct family *family = family_of(lsp, doc);
    const struct sp_symbol *symbol = family ? symbol_at(family, offset) : NULL;
    json_t *found = json_array();
    for (size_t i = 0; symbol && i < family->n; i++) {
        const struct file *file = &family->files[i];
        struct lsp_cursor cursor = {.text = file->text};
        for (size_t k = 0; k < file->symbols.n; k++) {
            const struct sp_symbol *one = &file->symbols.items[k];
            if (sp_symbols_same(one, symbol) && (declared || !one->defines)) {
                json_t *range = lsp_next_range(&cursor, one->span);
                (void)json_array_append_new(
                    found, json_pack("{s:O, s:o}", "uri", file->uri, "range", range));
            }
        }
    }
    family_done(family);
    return found;
}

/* ---- renaming ------------------------------------------------------------------------------
 */

json_t *lsp_prepare_rename(struct lsp *lsp, const struct lsp_doc *doc, size_t offset)
{
    struct family *family = family_of(lsp, doc);
    const struct sp_symbol *symbol = family ? symbol_at(family, offset) : NULL;
    const struct file *file = NULL;
    json_t *range = NULL;
    if (symbol && symbol->kind != SP_SYMBOL_USE && definition_of(family, symbol, &file)) {
        range = lsp_range(lsp_doc_text(doc), symbol->span);
    }
    family_done(family);
    return range ? range : json_null();
}

static bool is_label(struct sp_text name)
{
    bool good = name.len > 0 && name.len <= SP_NAME_MAX_BYTES;
    for (size_t i = 0; good && i < name.len; i++) {
        char c = name.ptr[i];
        good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '-';
    }
    return good;
}

static bool may_rename(const struct family *family, const struct sp_symbol *symbol,
                       struct sp_text name, struct sp_error *err)
{
    const struct file *file = NULL;
    if (!symbol || symbol->kind == SP_SYMBOL_USE || !definition_of(family, symbol, &file)) {
        (void)sp_fail(err, SP_ENOENT, "there is no name here that these files declare");
        return false;
    }
    bool label = symbol->kind == SP_SYMBOL_LABEL;
    if (label ? !is_label(name) : !sp_symbol_is_word(name)) {
        (void)sp_fail(err, SP_EINVAL,
                      label ? "a label is 1 to 64 letters, digits, '_' and '-'"
                            : "a name is a word of at most 64 bytes that is no keyword");
        return false;
    }
    struct sp_symbol wanted = *symbol;
    wanted.name = name;
    if (!sp_text_eq(name, symbol->name) && definition_of(family, &wanted, &file)) {
        (void)sp_fail(err, SP_EEXIST, "there is one of that name already");
        return false;
    }
    return true;
}

json_t *lsp_rename(struct lsp *lsp, const struct lsp_doc *doc, size_t offset,
                   struct sp_text name, struct sp_error *err)
{
    struct family *family = family_of(lsp, doc);
    const struct sp_symbol *symbol = family ? symbol_at(family, offset) : NULL;
    json_t *changes = NULL;
    if (family && may_rename(family, symbol, name, err)) {
        changes = json_object();
    }
    for (size_t i = 0; changes && i < family->n; i++) {
        const struct file *file = &family->files[i];
        struct lsp_cursor cursor = {.text = file->text};
        json_t *edits = json_array();
        for (size_t k = 0; k < file->symbols.n; k++) {
            if (sp_symbols_same(&file->symbols.items[k], symbol)) {
                json_t *range = lsp_next_range(&cursor, file->symbols.items[k].span);
                (void)json_array_append_new(edits,
                                            json_pack("{s:o, s:s#}", "range", range, "newText",
                                                      name.ptr, (int)name.len));
            }
        }
        if (json_array_size(edits) > 0) {
            (void)json_object_set(changes, json_string_value(file->uri), edits);
        }
        json_decref(edits);
    }
    family_done(family);
    return changes ? json_pack("{s:o}", "changes", changes) : NULL;
}

/* ---- hover and completion ------------------------------------------------------------------
 */

enum { SHOWN_MAX_BYTES = 2048 };

/* The declaring statement as it is written; of a scope all of its block. */
static void show(struct sp_buf *out, const struct file *file, const struct sp_symbol *symbol)
{
    size_t end = (size_t)symbol->statement.start + symbol->statement.len;
    if (symbol->kind == SP_SYMBOL_SCOPE) {
        const char *close = memmem(file->text.ptr + end, file->text.len - end, "\n}", 2);
        end = close ? (size_t)(close - file->text.ptr) + 2 : end;
    }
    size_t len = end - symbol->statement.start;
    bool cut = len > SHOWN_MAX_BYTES;
    len = cut ? SHOWN_MAX_BYTES : len;
    while (cut && len > 0 &&
           ((unsigned char)file->text.ptr[symbol->statement.start + len] & 0xc0) == 0x80) {
        len--;
    }
    sp_buf_add_str(out, "```sallyport\n");
    sp_buf_add(out, file->text.ptr + symbol->statement.start, len);
    sp_buf_add_str(out, cut ? "\n…\n```" : "\n```");
}

static json_t *markdown(const struct sp_buf *out, struct sp_text text, struct sp_span span)
{
    return json_pack("{s:{s:s, s:s#}, s:o}", "contents", "kind", "markdown", "value",
                     sp_buf_text(out).ptr, (int)out->len, "range", lsp_range(text, span));
}

static const char *const kind_names[] = {"set or URL", "scope", "parameter", "rule",
                                         "used file"};

json_t *lsp_hover(struct lsp *lsp, const struct lsp_doc *doc, size_t offset)
{
    struct family *family = family_of(lsp, doc);
    const struct sp_symbol *symbol = family ? symbol_at(family, offset) : NULL;
    const struct file *file = NULL;
    const struct sp_symbol *definition = symbol ? definition_of(family, symbol, &file) : NULL;
    struct sp_text text = lsp_doc_text(doc);
    struct sp_span word = sp_word_at(text, offset);
    const char *help = lsp_word_help((struct sp_text){text.ptr + word.start, word.len});
    struct sp_buf out;
    json_t *answer = NULL;
    sp_buf_init(&out, 16384);
    if (definition) {
        sp_buf_addf(&out, "%s **%.*s**", kind_names[definition->kind],
                    (int)definition->name.len, definition->name.ptr);
        if (definition->owner.len > 0) {
            sp_buf_addf(&out, " of scope %.*s", (int)definition->owner.len,
                        definition->owner.ptr);
        }
        sp_buf_add_str(&out, "\n\n");
        show(&out, file, definition);
        answer = markdown(&out, text, symbol->span);
    } else if (!symbol && help) {
        sp_buf_add_str(&out, help);
        answer = markdown(&out, text, word);
    }
    sp_buf_done(&out);
    family_done(family);
    return answer ? answer : json_null();
}

static bool wants(const struct lsp_words *words, const struct sp_symbol *symbol)
{
    switch (symbol->kind) {
    case SP_SYMBOL_LET:
        return words->lets;
    case SP_SYMBOL_SCOPE:
        return words->scopes;
    case SP_SYMBOL_PARAM:
        return words->params && sp_text_eq(symbol->owner, words->scope);
    case SP_SYMBOL_LABEL:
        return words->labels && sp_text_eq(symbol->owner, words->scope);
    case SP_SYMBOL_USE:
    default:
        return false;
    }
}

json_t *lsp_completion(struct lsp *lsp, const struct lsp_doc *doc, size_t offset)
{
    enum { KIND_KEYWORD = 14, KIND_REFERENCE = 18 };
    struct family *family = family_of(lsp, doc);
    struct lsp_words words;
    json_t *items = json_array();
    lsp_words_at(lsp_doc_text(doc), offset, &words);
    for (size_t i = 0; i < words.n; i++) {
        (void)json_array_append_new(
            items, json_pack("{s:s, s:i}", "label", words.items[i], "kind", KIND_KEYWORD));
    }
    for (size_t i = 0; family && i < family->n; i++) {
        const struct sp_symbols *list = &family->files[i].symbols;
        for (size_t k = 0; k < list->n && json_array_size(items) < LSP_ANSWER_MAX; k++) {
            const struct sp_symbol *symbol = &list->items[k];
            if (symbol->defines && wants(&words, symbol)) {
                bool at = symbol->kind == SP_SYMBOL_LABEL && !words.has_at;
                (void)json_array_append_new(
                    items, json_pack("{s:s#, s:i, s:s}", "label", symbol->name.ptr - at,
                                     (int)symbol->name.len + at, "kind", KIND_REFERENCE,
                                     "detail", kind_names[symbol->kind]));
            }
        }
    }
    family_done(family);
    return items;
}
