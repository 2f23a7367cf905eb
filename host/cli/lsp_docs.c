/* Open documents, files beside them, URIs, and positions as LSP counts them. */
#include "lsp.h"

#include "policy_files.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- URIs ----------------------------------------------------------------------------------
 */

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef0123456789ABCDEF", *at = c ? strchr(digits, c) : NULL;
    return at ? (int)((at - digits) % 16) : -1;
}

/* file:///a%20b to /a b; NULL for other URIs. */
static char *path_of(const char *uri)
{
    struct sp_text scheme = SP_TEXT("file://");
    size_t len = strlen(uri), n = 0;
    if (!sp_text_starts(sp_text_of(uri), scheme) || uri[scheme.len] != '/' ||
        len - scheme.len >= LSP_PATH_ROOM) {
        return NULL;
    }
    char *path = malloc(len);
    for (size_t i = scheme.len; path && i < len; i++) {
        int high = uri[i] == '%' ? hex_digit(uri[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(uri[i + 2]) : -1;
        path[n++] = low >= 0 ? (char)(high * 16 + low) : uri[i];
        i += low >= 0 ? 2 : 0;
    }
    if (path && memchr(path, '\0', n)) {
        free(path);
        return NULL;
    }
    if (path) {
        path[n] = '\0';
    }
    return path;
}

json_t *lsp_uri(struct lsp *lsp, const char *path)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "-._~/";
    const struct lsp_doc *doc = lsp_doc_of_path(lsp, path);
    if (doc) {
        return json_string(doc->uri);
    }
    struct sp_buf uri;
    sp_buf_init(&uri, 4 * LSP_PATH_ROOM);
    sp_buf_add_str(&uri, "file://");
    for (const char *at = path; *at; at++) {
        if (strchr(plain, *at)) {
            sp_buf_add_byte(&uri, (uint8_t)*at);
        } else {
            sp_buf_addf(&uri, "%%%02X", (unsigned)(unsigned char)*at);
        }
    }
    json_t *string = json_stringn(sp_buf_text(&uri).ptr, uri.len);
    sp_buf_done(&uri);
    return string;
}

/* ---- documents -----------------------------------------------------------------------------
 */

struct lsp_doc *lsp_doc_find(struct lsp *lsp, const char *uri)
{
    for (size_t i = 0; i < lsp->n_docs; i++) {
        if (strcmp(lsp->docs[i].uri, uri) == 0) {
            return &lsp->docs[i];
        }
    }
    return NULL;
}

struct lsp_doc *lsp_doc_of_path(struct lsp *lsp, const char *path)
{
    for (size_t i = 0; i < lsp->n_docs; i++) {
        if (lsp->docs[i].path && strcmp(lsp->docs[i].path, path) == 0) {
            return &lsp->docs[i];
        }
    }
    return NULL;
}

static void doc_done(struct lsp_doc *doc)
{
    free(doc->uri);
    free(doc->path);
    free(doc->text);
    memset(doc, 0, sizeof *doc);
}

sp_status lsp_doc_put(struct lsp *lsp, const char *uri, struct sp_text text, json_int_t version)
{
    struct lsp_doc *doc = lsp_doc_find(lsp, uri);
    char *copy = malloc(text.len + 1);
    if (text.len > SP_SOURCE_MAX_BYTES || (!doc && lsp->n_docs == LSP_DOCS_MAX)) {
        free(copy);
        return SP_ETOOBIG;
    }
    if (!doc && copy) {
        doc = &lsp->docs[lsp->n_docs];
        *doc = (struct lsp_doc){.uri = strdup(uri), .path = path_of(uri)};
        lsp->n_docs += doc->uri != NULL;
    }
    if (!copy || !doc->uri) {
        free(copy);
        if (doc && !doc->uri) {
            doc_done(doc);
        }
        return SP_ENOMEM;
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    free(doc->text);
    doc->text = copy;
    doc->len = text.len;
    doc->version = version;
    return SP_OK;
}

void lsp_doc_close(struct lsp *lsp, const char *uri)
{
    struct lsp_doc *doc = lsp_doc_find(lsp, uri);
    if (doc) {
        doc_done(doc);
        *doc = lsp->docs[--lsp->n_docs];
        memset(&lsp->docs[lsp->n_docs], 0, sizeof *doc);
    }
}

/* ---- files ---------------------------------------------------------------------------------
 */

sp_status lsp_file_text(struct lsp *lsp, struct sp_arena *arena, const char *path,
                        struct sp_text *ret_text, struct sp_error *err)
{
    const struct lsp_doc *doc = lsp_doc_of_path(lsp, path);
    struct sp_policy_files files;
    sp_status status = SP_OK;
    if (doc) {
        *ret_text = sp_arena_copy(arena, lsp_doc_text(doc));
    } else {
        sp_policy_files_init(&files);
        status = sp_policy_files_add(&files, path, err);
        if (!status) {
            *ret_text = sp_arena_copy(arena, files.sources[0].text);
        }
        sp_policy_files_done(&files);
    }
    return status == SP_OK && !ret_text->ptr ? SP_ENOMEM : status;
}

bool lsp_used_path(const char *from, struct sp_text name, char path[LSP_PATH_ROOM])
{
    const char *slash = strrchr(from, '/');
    if (name.len == 0 || name.ptr[0] == '/' || memchr(name.ptr, '\0', name.len) || !slash ||
        memmem(name.ptr, name.len, "..", 2)) {
        return false;
    }
    int n = snprintf(path, LSP_PATH_ROOM, "%.*s%.*s", (int)(slash - from + 1), from,
                     (int)name.len, name.ptr);
    return n > 0 && n < LSP_PATH_ROOM;
}

/* ---- positions -----------------------------------------------------------------------------
 */

/* The length of a line's end at i: \n, \r\n or \r; 0 where there is none. */
static size_t line_end(struct sp_text text, size_t i)
{
    if (text.ptr[i] == '\r') {
        return i + 1 < text.len && text.ptr[i + 1] == '\n' ? 2 : 1;
    }
    return text.ptr[i] == '\n';
}

/* UTF-16 code units that begin with a byte: none within a character, two outside of the BMP. */
static unsigned units_of(char c)
{
    unsigned char byte = (unsigned char)c;
    return byte >= 0xf0 ? 2 : (byte & 0xc0) != 0x80;
}

static json_t *position(struct lsp_cursor *c, size_t offset)
{
    if (offset < c->at) {
        *c = (struct lsp_cursor){.text = c->text};
    }
    while (c->at < c->text.len && c->at < offset) {
        size_t end = line_end(c->text, c->at);
        if (end > 0 && c->at + end > offset) {
            break; /* between \r and \n: the line's end */
        }
        c->line += end > 0;
        c->units = end ? 0 : c->units + units_of(c->text.ptr[c->at]);
        c->at += end ? end : 1;
    }
    return json_pack("{s:I, s:I}", "line", c->line, "character", c->units);
}

json_t *lsp_next_range(struct lsp_cursor *cursor, struct sp_span span)
{
    json_t *start = position(cursor, span.start);
    return json_pack("{s:o, s:o}", "start", start, "end",
                     position(cursor, (size_t)span.start + span.len));
}

json_t *lsp_range(struct sp_text text, struct sp_span span)
{
    struct lsp_cursor cursor = {.text = text};
    return lsp_next_range(&cursor, span);
}

bool lsp_offset(struct sp_text text, const json_t *position, size_t *ret_offset)
{
    const json_t *line = json_object_get(position, "line");
    const json_t *character = json_object_get(position, "character");
    json_int_t lines = json_integer_value(line), units = json_integer_value(character);
    size_t i = 0;
    if (!json_is_integer(line) || !json_is_integer(character) || lines < 0 || units < 0) {
        return false;
    }
    while (lines > 0 && i < text.len) {
        size_t end = line_end(text, i);
        lines -= end > 0;
        i += end ? end : 1;
    }
    while (lines == 0 && units > 0 && i < text.len && !line_end(text, i)) {
        units -= units_of(text.ptr[i++]);
        while (i < text.len && units_of(text.ptr[i]) == 0) {
            i++;
        }
    }
    *ret_offset = i;
    return true;
}
