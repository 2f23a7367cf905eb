/* What the compiler says of a document, what mends it, and its layout. */
#include "lsp.h"

#include <stdlib.h>

enum { ARENA_MAX_BYTES = 64 << 20, ATTEMPTS_MAX = 64, TEXT_MAX_BYTES = 16 << 20 };

struct asking {
    struct lsp *lsp;
    struct sp_arena arena; /* names and texts of used files */
};

/* A `use` is read as its document stands in the editor, saved or not. */
static sp_status read_use(void *user, const char *from, struct sp_text name,
                          struct sp_source *ret_source, struct sp_error *err)
{
    struct asking *asking = user;
    char path[LSP_PATH_ROOM];
    if (!lsp_used_path(from, name, path)) {
        return sp_fail(err, SP_EINVAL,
                       "a used file must lie beside or below the file that uses it");
    }
    struct sp_text copy = sp_arena_copy(&asking->arena, sp_text_of(path));
    if (!copy.ptr) {
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    ret_source->name = copy.ptr;
    return lsp_file_text(asking->lsp, &asking->arena, path, &ret_source->text, err);
}

/* Compile a document with that text in its place. */
static void compile(struct lsp *lsp, const struct lsp_doc *doc, struct sp_text text,
                    struct sp_diags *diags)
{
    struct asking asking = {.lsp = lsp};
    struct sp_world world = {.user = &asking, .read_use = doc->path ? read_use : NULL};
    struct sp_source source = {doc->path ? doc->path : doc->uri, text};
    struct sp_policy *policy = NULL;
    sp_arena_init(&asking.arena, ARENA_MAX_BYTES);
    sp_diags_init(diags);
    (void)sp_policy_compile(&source, 1, &world, diags, &policy);
    sp_policy_free(policy);
    sp_arena_done(&asking.arena);
}

static json_t *diagnostic(struct sp_text text, const struct sp_diag *diag)
{
    struct sp_buf message;
    sp_buf_init(&message, 4096);
    sp_buf_add_str(&message, diag->message);
    if (diag->fix) {
        sp_buf_addf(&message, "\nfix: %s", diag->fix);
    }
    /* The compiler cuts what it quotes by bytes; JSON wants whole characters. */
    struct sp_text said = sp_buf_text(&message);
    if (!sp_text_is_utf8(said)) {
        for (size_t i = 0; i < message.len; i++) {
            message.ptr[i] = (signed char)message.ptr[i] < 0 ? '?' : message.ptr[i];
        }
    }
    json_t *object =
        json_pack("{s:o, s:i, s:s, s:s, s:s#}", "range", lsp_range(text, diag->span),
                  "severity", diag->severity == SP_SEVERITY_ERROR ? 1 : 2, "code", diag->code,
                  "source", "sallyport", "message", said.ptr, (int)said.len);
    sp_buf_done(&message);
    return object;
}

json_t *lsp_diagnostics(struct lsp *lsp, const struct lsp_doc *doc)
{
    struct sp_diags diags;
    json_t *list = json_array();
    compile(lsp, doc, lsp_doc_text(doc), &diags);
    for (const struct sp_diag *d = diags.first; d; d = d->next) {
        (void)json_array_append_new(list, diagnostic(lsp_doc_text(doc), d));
    }
    sp_diags_done(&diags);
    return list;
}

/* ---- quick fixes ---------------------------------------------------------------------------
 */

struct mending {
    struct lsp *lsp;
    const struct lsp_doc *doc;
    const struct sp_diags *diags; /* of the document as it is */
    const struct sp_diag *diag;   /* what shall be mended */
    json_t *actions;
    unsigned attempts;
};

/* Offer the edit where it leaves less to be said, and nothing worse. */
static bool offer(struct mending *m, struct sp_span span, struct sp_text put, const char *title)
{
    struct sp_text text = lsp_doc_text(m->doc);
    struct sp_diags after;
    struct sp_buf edited;
    if (m->attempts++ >= ATTEMPTS_MAX || (size_t)span.start + span.len > text.len) {
        return false;
    }
    size_t end = (size_t)span.start + span.len;
    sp_buf_init(&edited, TEXT_MAX_BYTES);
    sp_buf_add(&edited, text.ptr, span.start);
    sp_buf_add_text(&edited, put);
    sp_buf_add(&edited, text.ptr + end, text.len - end);
    compile(m->lsp, m->doc, sp_buf_text(&edited), &after);
    bool helps =
        after.n_errors < m->diags->n_errors ||
        (after.n_errors == m->diags->n_errors && m->diag->severity == SP_SEVERITY_WARNING &&
         after.n_warnings < m->diags->n_warnings);
    if (helps) {
        json_t *edit = json_pack("{s:o, s:s#}", "range", lsp_range(text, span), "newText",
                                 put.ptr, (int)put.len);
        (void)json_array_append_new(m->actions,
                                    json_pack("{s:s, s:s, s:b, s:[o], s:{s:{s:[o]}}}", "title",
                                              title, "kind", "quickfix", "isPreferred", 1,
                                              "diagnostics", diagnostic(text, m->diag), "edit",
                                              "changes", m->doc->uri, edit));
    }
    sp_diags_done(&after);
    sp_buf_done(&edited);
    return helps;
}

/* The word that the fix names: did you mean 'word'?, or the fix itself where it is one. */
static struct sp_text word_of(const char *fix)
{
    struct sp_text text = sp_text_of(fix), lead = SP_TEXT("did you mean '");
    if (sp_text_starts(text, lead) && text.len > lead.len + 2) {
        return (struct sp_text){text.ptr + lead.len, text.len - lead.len - 2};
    }
    return memchr(text.ptr, ' ', text.len) ? SP_TEXT("") : text;
}

static void mend(struct mending *m)
{
    struct sp_text text = lsp_doc_text(m->doc), word = word_of(m->diag->fix);
    struct sp_span span = m->diag->span;
    char title[160];
    struct sp_buf said;
    sp_buf_over(&said, title, sizeof title);
    if (sp_text_is(sp_text_of(m->diag->fix), "sallyport 1")) {
        (void)offer(m, (struct sp_span){0, 0, 0}, SP_TEXT("sallyport 1\n"),
                    "Begin with `sallyport 1`");
        return;
    }
    if (word.len > 0) {
        sp_buf_addf(&said, "Write %.*s", (int)word.len, word.ptr);
        for (size_t at = span.start; at < (size_t)span.start + span.len;) {
            struct sp_span one = sp_word_at(text, at);
            if (one.len > 0 && offer(m, one, word, title)) {
                return;
            }
            size_t end =
                (size_t)one.start + one.len; /* the word may end where it was asked for */
            at = end > at ? end : at + 1;
        }
        return;
    }
    if (!sp_text_starts(sp_text_of(m->diag->fix), SP_TEXT("remove it"))) {
        return;
    }
    struct sp_arena arena;
    struct sp_symbols symbols;
    sp_arena_init(&arena, ARENA_MAX_BYTES);
    bool good = sp_symbols_read(&arena, text, &symbols);
    for (size_t i = 0; good && i < symbols.n; i++) {
        struct sp_span statement = symbols.items[i].statement;
        if (symbols.items[i].defines && statement.start <= span.start &&
            span.start < statement.start + statement.len) {
            (void)offer(m, statement, SP_TEXT(""), "Remove it");
            break;
        }
    }
    sp_arena_done(&arena);
}

json_t *lsp_actions(struct lsp *lsp, const struct lsp_doc *doc, const json_t *range)
{
    struct sp_diags diags;
    size_t start = 0, end = 0;
    json_t *actions = json_array();
    if (!lsp_offset(lsp_doc_text(doc), json_object_get(range, "start"), &start) ||
        !lsp_offset(lsp_doc_text(doc), json_object_get(range, "end"), &end)) {
        return actions;
    }
    compile(lsp, doc, lsp_doc_text(doc), &diags);
    struct mending m = {.lsp = lsp, .doc = doc, .diags = &diags, .actions = actions};
    for (m.diag = diags.first; m.diag; m.diag = m.diag->next) {
        size_t diag_end = (size_t)m.diag->span.start + m.diag->span.len;
        if (m.diag->fix && m.diag->span.start <= end && start <= diag_end) {
            mend(&m);
        }
    }
    sp_diags_done(&diags);
    return actions;
}

/* ---- layout --------------------------------------------------------------------------------
 */

json_t *lsp_formatting(const struct lsp_doc *doc)
{
    struct sp_source source = {doc->uri, lsp_doc_text(doc)};
    struct sp_diags diags;
    struct sp_buf text;
    json_t *edits = NULL;
    sp_diags_init(&diags);
    sp_buf_init(&text, TEXT_MAX_BYTES);
    if (sp_policy_format(&source, &diags, &text) == SP_OK) {
        edits = json_array();
        if (!sp_text_eq(source.text, sp_buf_text(&text))) {
            struct sp_span whole = {0, 0, (uint32_t)doc->len};
            (void)json_array_append_new(
                edits, json_pack("{s:o, s:s#}", "range", lsp_range(source.text, whole),
                                 "newText", sp_buf_text(&text).ptr, (int)text.len));
        }
    }
    sp_buf_done(&text);
    sp_diags_done(&diags);
    return edits;
}
