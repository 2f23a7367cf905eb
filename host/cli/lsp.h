/* sallyport policy lsp: a language server (LSP 3.17) for scope files, over standard input and
 * output.
 *
 * lsp_frame.c reads and writes messages; lsp_docs.c knows open documents, files, URIs and
 * positions; lsp_check.c asks the compiler; lsp_names.c follows names; lsp_words.c knows what
 * words mean; lsp.c knows the protocol. One thread, nothing global: a client's documents live
 * in one struct. */
#ifndef SP_LSP_H
#define SP_LSP_H

#include "policy.h"
#include "symbols.h"

#include <jansson.h>

enum {
    LSP_MESSAGE_MAX_BYTES = 16 << 20,
    LSP_HEAD_MAX_BYTES = 4096, /* of one message's header lines together */
    LSP_DOCS_MAX = 256,
    LSP_FILES_MAX = 256,   /* that one answer looks at: a document and what it uses */
    LSP_ANSWER_MAX = 1000, /* names in one completion */
    LSP_PATH_ROOM = 2048,
};

/* ---- messages (lsp_frame.c) ----------------------------------------------------------------
 */

enum lsp_read { LSP_READ_MESSAGE, LSP_READ_END, LSP_READ_BAD };
/* The next message's body into body, which is emptied first. END: the input ends between two
 * messages. BAD with err: no message can follow. */
enum lsp_read lsp_read(int fd, struct sp_buf *body, struct sp_error *err);
/* Takes over message. False where it could not be written. */
bool lsp_write(int fd, json_t *message);

/* ---- documents (lsp_docs.c) ----------------------------------------------------------------
 */

struct lsp_doc {
    char *uri;
    char *path; /* NULL where the URI is no file's */
    char *text;
    size_t len;
    json_int_t version;
};

struct lsp {
    struct lsp_doc docs[LSP_DOCS_MAX];
    size_t n_docs;
    bool initialized, shut_down;
    int exit_status;                           /* -1: it goes on */
    bool (*send)(void *user, json_t *message); /* takes over message */
    void *user;
    bool broken; /* a message could not be sent */
};

struct lsp_doc *lsp_doc_find(struct lsp *lsp, const char *uri);
struct lsp_doc *lsp_doc_of_path(struct lsp *lsp, const char *path);
/* Open a document, or give it another text. SP_ETOOBIG, SP_EINVAL or SP_ENOMEM. */
sp_status lsp_doc_put(struct lsp *lsp, const char *uri, struct sp_text text,
                      json_int_t version);
void lsp_doc_close(struct lsp *lsp, const char *uri);
static inline struct sp_text lsp_doc_text(const struct lsp_doc *doc)
{
    return (struct sp_text){doc->text, doc->len};
}

/* A file's text, as its open document has it or as it lies on disk; in the arena. */
sp_status lsp_file_text(struct lsp *lsp, struct sp_arena *arena, const char *path,
                        struct sp_text *ret_text, struct sp_error *err);
/* The path of a file that is used by the one at `from`; false where it may not be used. */
bool lsp_used_path(const char *from, struct sp_text name, char path[LSP_PATH_ROOM]);
/* The URI of a path: as its document was opened, or made. A new reference. */
json_t *lsp_uri(struct lsp *lsp, const char *path);

/* Lines and UTF-16 code units, as LSP counts, from bytes and back. Positions outside of the
 * text are moved into it. */
json_t *lsp_range(struct sp_text text, struct sp_span span);
/* The same for one after the other: those in the order of the text cost one pass together. */
struct lsp_cursor {
    struct sp_text text; /* the rest begins as zero */
    size_t at;
    json_int_t line, units;
};
json_t *lsp_next_range(struct lsp_cursor *cursor, struct sp_span span);
bool lsp_offset(struct sp_text text, const json_t *position, size_t *ret_offset);

/* ---- answers -------------------------------------------------------------------------------
 */

/* An array of Diagnostic; what the compiler says of a document and what it uses. */
json_t *lsp_diagnostics(struct lsp *lsp, const struct lsp_doc *doc);
/* Quick fixes for what is wrong within a range: each was tried, and helps. */
json_t *lsp_actions(struct lsp *lsp, const struct lsp_doc *doc, const json_t *range);
/* TextEdits that bring a document into its layout; NULL where it does not parse. */
json_t *lsp_formatting(const struct lsp_doc *doc);
/* The places of the name at an offset: where it is declared, all of them. */
json_t *lsp_definition(struct lsp *lsp, const struct lsp_doc *doc, size_t offset);
json_t *lsp_references(struct lsp *lsp, const struct lsp_doc *doc, size_t offset,
                       bool declared);
/* The range of the name at an offset, or null. */
json_t *lsp_prepare_rename(struct lsp *lsp, const struct lsp_doc *doc, size_t offset);
/* A WorkspaceEdit; NULL with err where the name cannot be renamed so. */
json_t *lsp_rename(struct lsp *lsp, const struct lsp_doc *doc, size_t offset,
                   struct sp_text name, struct sp_error *err);
json_t *lsp_hover(struct lsp *lsp, const struct lsp_doc *doc, size_t offset);
json_t *lsp_completion(struct lsp *lsp, const struct lsp_doc *doc, size_t offset);

/* What a word of the language means, as Markdown; NULL where it is none. */
const char *lsp_word_help(struct sp_text word);
/* The words that can stand at an offset, by what stands before it: NULL behind the last. */
enum { LSP_WORDS_MAX = 32 };
struct lsp_words {
    const char *items[LSP_WORDS_MAX];
    size_t n;
    bool lets, scopes, params, labels; /* names of these kinds can stand there, too */
    bool has_at;                       /* the label's '@' is there already */
    struct sp_text scope;              /* whose block it is; of the text */
};
void lsp_words_at(struct sp_text text, size_t offset, struct lsp_words *ret_words);

/* ---- the protocol (lsp.c) ------------------------------------------------------------------
 */

void lsp_init(struct lsp *lsp, bool (*send)(void *user, json_t *message), void *user);
/* One message's body. Answers go to send. */
void lsp_handle(struct lsp *lsp, struct sp_text body);
void lsp_done(struct lsp *lsp);

#endif
