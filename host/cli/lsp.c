/* The protocol: life cycle, requests, notifications. */
#include "lsp.h"

#include "cli.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    PARSE_ERROR = -32700,
    INVALID_REQUEST = -32600,
    METHOD_NOT_FOUND = -32601,
    INVALID_PARAMS = -32602,
    NOT_INITIALIZED = -32002,
    REQUEST_FAILED = -32803,
    SYNC_FULL = 1,
};

/* ---- sending -------------------------------------------------------------------------------
 */

static void send(struct lsp *lsp, json_t *message)
{
    if (!lsp->send(lsp->user, message)) {
        lsp->broken = true;
    }
}

/* Takes over result. */
static void reply(struct lsp *lsp, json_t *id, json_t *result)
{
    send(lsp, json_pack("{s:s, s:O, s:o}", "jsonrpc", "2.0", "id", id, "result",
                        result ? result : json_null()));
}

static void reply_error(struct lsp *lsp, json_t *id, int code, const char *text)
{
    json_t *error = json_pack("{s:i, s:s}", "code", code, "message", text);
    send(lsp, json_pack("{s:s, s:O, s:o}", "jsonrpc", "2.0", "id", id ? id : json_null(),
                        "error", error));
}

static void publish(struct lsp *lsp, const char *uri, json_int_t version, json_t *diagnostics)
{
    json_t *params = json_pack("{s:s, s:I, s:o}", "uri", uri, "version", version, "diagnostics",
                               diagnostics);
    send(lsp, json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method",
                        "textDocument/publishDiagnostics", "params", params));
}

static void show_message(struct lsp *lsp, const char *text)
{
    send(lsp, json_pack("{s:s, s:s, s:{s:i, s:s}}", "jsonrpc", "2.0", "method",
                        "window/showMessage", "params", "type", 1, "message", text));
}

/* A change to one document may change what is said of those that use it. */
static void publish_all(struct lsp *lsp)
{
    for (size_t i = 0; i < lsp->n_docs; i++) {
        publish(lsp, lsp->docs[i].uri, lsp->docs[i].version,
                lsp_diagnostics(lsp, &lsp->docs[i]));
    }
}

/* ---- documents -----------------------------------------------------------------------------
 */

static const char *uri_of(const json_t *params)
{
    return json_string_value(json_object_get(json_object_get(params, "textDocument"), "uri"));
}

static void put_document(struct lsp *lsp, const json_t *params, const json_t *text)
{
    const json_t *document = json_object_get(params, "textDocument");
    json_int_t version = json_integer_value(json_object_get(document, "version"));
    struct sp_text value = {json_string_value(text), json_string_length(text)};
    if (!uri_of(params) || !value.ptr) {
        return;
    }
    if (lsp_doc_put(lsp, uri_of(params), value, version)) {
        show_message(lsp, "sallyport: this file is too large, or too many are open; "
                          "what is said of it may be old");
    }
    publish_all(lsp);
}

static void on_open(struct lsp *lsp, const json_t *params)
{
    put_document(lsp, params, json_object_get(json_object_get(params, "textDocument"), "text"));
}

static void on_change(struct lsp *lsp, const json_t *params)
{
    const json_t *changes = json_object_get(params, "contentChanges");
    const json_t *last = json_array_get(changes, json_array_size(changes) - 1);
    if (lsp_doc_find(lsp, uri_of(params) ? uri_of(params) : "")) {
        put_document(lsp, params, json_object_get(last, "text"));
    }
}

static void on_close(struct lsp *lsp, const json_t *params)
{
    const char *uri = uri_of(params);
    if (uri && lsp_doc_find(lsp, uri)) {
        publish(lsp, uri, 0, json_array());
        lsp_doc_close(lsp, uri);
        publish_all(lsp);
    }
}

static void on_save(struct lsp *lsp, const json_t *params)
{
    (void)params; /* files that no editor holds may have changed, too */
    publish_all(lsp);
}

/* ---- requests ------------------------------------------------------------------------------
 */

struct request {
    json_t *id;
    const json_t *params;
    const struct lsp_doc *doc;
    size_t offset;
};

static void do_definition(struct lsp *lsp, const struct request *r)
{
    reply(lsp, r->id, lsp_definition(lsp, r->doc, r->offset));
}

static void do_references(struct lsp *lsp, const struct request *r)
{
    const json_t *context = json_object_get(r->params, "context");
    bool declared = json_is_true(json_object_get(context, "includeDeclaration"));
    reply(lsp, r->id, lsp_references(lsp, r->doc, r->offset, declared));
}

static void do_hover(struct lsp *lsp, const struct request *r)
{
    reply(lsp, r->id, lsp_hover(lsp, r->doc, r->offset));
}

static void do_completion(struct lsp *lsp, const struct request *r)
{
    reply(lsp, r->id, lsp_completion(lsp, r->doc, r->offset));
}

static void do_prepare_rename(struct lsp *lsp, const struct request *r)
{
    reply(lsp, r->id, lsp_prepare_rename(lsp, r->doc, r->offset));
}

static void do_rename(struct lsp *lsp, const struct request *r)
{
    const json_t *name = json_object_get(r->params, "newName");
    struct sp_error err = {""};
    struct sp_text text = {json_string_value(name), json_string_length(name)};
    json_t *edit = text.ptr ? lsp_rename(lsp, r->doc, r->offset, text, &err) : NULL;
    if (edit) {
        reply(lsp, r->id, edit);
    } else {
        reply_error(lsp, r->id, REQUEST_FAILED, text.ptr ? err.text : "newName is missing");
    }
}

static void do_formatting(struct lsp *lsp, const struct request *r)
{
    json_t *edits = lsp_formatting(r->doc);
    if (edits) {
        reply(lsp, r->id, edits);
    } else {
        reply_error(lsp, r->id, REQUEST_FAILED, "a file that does not parse is left as it is");
    }
}

static void do_actions(struct lsp *lsp, const struct request *r)
{
    reply(lsp, r->id, lsp_actions(lsp, r->doc, json_object_get(r->params, "range")));
}

static const struct {
    const char *method;
    bool at_position;
    void (*answer)(struct lsp *lsp, const struct request *request);
} requests[] = {
    {"textDocument/definition", true, do_definition},
    {"textDocument/references", true, do_references},
    {"textDocument/hover", true, do_hover},
    {"textDocument/completion", true, do_completion},
    {"textDocument/prepareRename", true, do_prepare_rename},
    {"textDocument/rename", true, do_rename},
    {"textDocument/formatting", false, do_formatting},
    {"textDocument/codeAction", false, do_actions},
};

static const struct {
    const char *method;
    void (*take)(struct lsp *lsp, const json_t *params);
} notifications[] = {
    {"textDocument/didOpen", on_open},
    {"textDocument/didChange", on_change},
    {"textDocument/didClose", on_close},
    {"textDocument/didSave", on_save},
};

static json_t *capabilities(void)
{
    json_t *able = json_pack(
        "{s:s, s:{s:b, s:i, s:b}, s:b, s:b, s:b, s:b, s:{s:b}, s:{s:[s, s]}, s:{s:[s]}}",
        "positionEncoding", "utf-16", "textDocumentSync", "openClose", 1, "change", SYNC_FULL,
        "save", 1, "hoverProvider", 1, "definitionProvider", 1, "referencesProvider", 1,
        "documentFormattingProvider", 1, "renameProvider", "prepareProvider", 1,
        "completionProvider", "triggerCharacters", "@", " ", "codeActionProvider",
        "codeActionKinds", "quickfix");
    return json_pack("{s:o, s:{s:s, s:s}}", "capabilities", able, "serverInfo", "name",
                     "sallyport", "version", SALLYPORT_VERSION);
}

static void on_request(struct lsp *lsp, const char *method, json_t *id, const json_t *params)
{
    struct request r = {.id = id, .params = params};
    if (strcmp(method, "initialize") == 0) {
        if (lsp->initialized) {
            reply_error(lsp, id, INVALID_REQUEST, "initialize comes once");
            return;
        }
        lsp->initialized = true;
        reply(lsp, id, capabilities());
    } else if (!lsp->initialized) {
        reply_error(lsp, id, NOT_INITIALIZED, "initialize comes first");
    } else if (lsp->shut_down) {
        reply_error(lsp, id, INVALID_REQUEST, "the server was shut down; exit comes next");
    } else if (strcmp(method, "shutdown") == 0) {
        lsp->shut_down = true;
        reply(lsp, id, json_null());
    } else {
        for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
            if (strcmp(method, requests[i].method) != 0) {
                continue;
            }
            r.doc = uri_of(params) ? lsp_doc_find(lsp, uri_of(params)) : NULL;
            if (!r.doc) {
                reply_error(lsp, id, INVALID_PARAMS, "this document is not open");
            } else if (requests[i].at_position &&
                       !lsp_offset(lsp_doc_text(r.doc), json_object_get(params, "position"),
                                   &r.offset)) {
                reply_error(lsp, id, INVALID_PARAMS, "position is missing");
            } else {
                requests[i].answer(lsp, &r);
            }
            return;
        }
        reply_error(lsp, id, METHOD_NOT_FOUND, "this server does not do that");
    }
}

static void on_notification(struct lsp *lsp, const char *method, const json_t *params)
{
    if (strcmp(method, "exit") == 0) {
        lsp->exit_status = lsp->shut_down ? CLI_YES : CLI_NO;
        return;
    }
    for (size_t i = 0; i < sizeof notifications / sizeof *notifications; i++) {
        if (lsp->initialized && !lsp->shut_down &&
            strcmp(method, notifications[i].method) == 0) {
            notifications[i].take(lsp, params);
        }
    }
}

void lsp_handle(struct lsp *lsp, struct sp_text body)
{
    json_t *message = json_loadb(body.ptr, body.len, 0, NULL);
    json_t *id = json_object_get(message, "id");
    const char *method = json_string_value(json_object_get(message, "method"));
    bool known_id = json_is_string(id) || json_is_integer(id);
    if (!message) {
        reply_error(lsp, NULL, PARSE_ERROR, "this is no JSON");
    } else if (!method && id && !json_object_get(message, "result") &&
               !json_object_get(message, "error")) {
        reply_error(lsp, known_id ? id : NULL, INVALID_REQUEST, "a request has a method");
    } else if (method && id && !known_id) {
        reply_error(lsp, NULL, INVALID_REQUEST, "an id is a string or an integer");
    } else if (method && id) {
        on_request(lsp, method, id, json_object_get(message, "params"));
    } else if (method) {
        on_notification(lsp, method, json_object_get(message, "params"));
    } else if (!json_is_object(message)) {
        reply_error(lsp, NULL, INVALID_REQUEST, "a message is a JSON object");
    }
    json_decref(message);
}

/* ---- the server ----------------------------------------------------------------------------
 */

void lsp_init(struct lsp *lsp, bool (*send_message)(void *user, json_t *message), void *user)
{
    memset(lsp, 0, sizeof *lsp);
    lsp->send = send_message;
    lsp->user = user;
    lsp->exit_status = -1;
}

void lsp_done(struct lsp *lsp)
{
    while (lsp->n_docs > 0) {
        lsp_doc_close(lsp, lsp->docs[0].uri);
    }
}
