#include "audit_calls.h"

#include "audit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_MAX_BYTES = 16 << 20, ARGS_MAX = 64, LOGGED_PARAMS = 32 };

struct audit_calls {
    json_t *tokens; /* root -> its issue record */
    json_t *index;  /* scope and arguments -> place in scopes */
    struct sp_scope **scopes;
    size_t n_scopes, room;
    audit_call_fn fn;
    void *user;
    bool out_of_memory;
};

const char *audit_text(const json_t *record, const char *name)
{
    const char *text = json_string_value(json_object_get(record, name));
    return text ? text : "";
}

struct audit_calls *audit_calls_new(void)
{
    struct audit_calls *calls = calloc(1, sizeof *calls);
    if (calls) {
        calls->tokens = json_object();
        calls->index = json_object();
        if (!calls->tokens || !calls->index) {
            audit_calls_free(calls);
            return NULL;
        }
    }
    return calls;
}

void audit_calls_free(struct audit_calls *calls)
{
    if (calls) {
        json_decref(calls->tokens);
        json_decref(calls->index);
        for (size_t i = 0; i < calls->n_scopes; i++) {
            sp_scope_free(calls->scopes[i]);
        }
        free(calls->scopes);
        free(calls);
    }
}

/* ---- records --------------------------------------------------------------------------------
 */

/* What the query's names say: their values are a hash, so any text stands for them. */
static sp_status query_of(struct audit_call *call, const json_t *record)
{
    const json_t *list = json_object_get(record, "query");
    size_t n = json_array_size(list);
    struct sp_param *params = sp_arena_array(&call->arena, n, sizeof *params);
    struct sp_value *tree = sp_arena_alloc(&call->arena, sizeof *tree);
    for (size_t i = 0; params && i < n; i++) {
        const json_t *name = json_array_get(json_array_get(list, i), 0);
        struct sp_text text = {json_string_value(name), json_string_length(name)};
        params[i] = (struct sp_param){sp_arena_copy(&call->arena, text), SP_TEXT("…"), true};
        if (!text.ptr || !params[i].name.ptr) {
            return text.ptr ? SP_ENOMEM : SP_EINVAL;
        }
    }
    sp_status status = params && tree ? sp_form_tree(&call->arena, params, n, tree) : SP_ENOMEM;
    if (status) {
        return status;
    }
    call->request.url.query = params;
    call->request.url.n_query = n;
    call->request.query_value = tree;
    call->unknown |= n > 0 ? SP_UNKNOWN_QUERY : 0;
    /* Version 0.1.0 cut the list without saying so. */
    call->unknown |=
        n >= LOGGED_PARAMS || json_object_get(record, "query_total") ? SP_UNKNOWN_PARAMS : 0;
    return SP_OK;
}

static void body_of(struct audit_call *call, const json_t *record)
{
    bool streamed = strcmp(audit_text(record, "body_kind"), "streamed") == 0;
    call->request.body_kind = SP_BODY_NONE;
    if (!json_object_get(record, "body") && !streamed) {
        return;
    }
    if (strcmp(audit_text(record, "body_kind"), "opaque") == 0) {
        call->request.body_kind = SP_BODY_OPAQUE;
        call->request.body_reason = "the body could not be judged then";
        return;
    }
    call->request.body_kind = SP_BODY_UNREAD;
    call->unknown |= SP_UNKNOWN_BODY;
}

/* SP_ENOMEM; another status where the record does not tell of a request: a denied `issue`, or
 * one of another hand. */
static sp_status request_of(struct audit_call *call, const json_t *record)
{
    struct sp_buf url;
    struct sp_error err;
    const char *scheme = audit_text(record, "scheme");
    json_int_t port = json_integer_value(json_object_get(record, "port"));
    sp_buf_init(&url, 4 * SP_URL_MAX_BYTES);
    sp_buf_addf(&url, "%s://%s", *scheme ? scheme : "https", audit_text(record, "host"));
    if (port > 0) {
        sp_buf_addf(&url, ":%" JSON_INTEGER_FORMAT, port);
    }
    sp_buf_add_str(&url, audit_text(record, "path"));
    struct sp_text text = sp_arena_copy(&call->arena, sp_buf_text(&url));
    sp_status status =
        url.failed || !text.ptr
            ? SP_ENOMEM
            : sp_request_init(&call->arena, sp_text_of(audit_text(record, "method")), text,
                              &call->request, &err);
    sp_buf_done(&url);
    call->unknown = SP_UNKNOWN_HEADERS;
    status = status ? status : query_of(call, record);
    if (!status) {
        body_of(call, record);
    }
    return status;
}

static enum audit_then then_of(const json_t *record, bool is_intent)
{
    static const char caveat[] = "a caveat of the token: ";
    const char *code = audit_text(record, "code");
    if (is_intent) {
        return THEN_SENT;
    }
    if (strcmp(code, "rate_limited") == 0 || strcmp(code, "budget_exceeded") == 0) {
        return THEN_LATER;
    }
    if (strcmp(code, "not_allowed") != 0 && strcmp(code, "denied") != 0) {
        return THEN_OTHER;
    }
    return strncmp(audit_text(record, "reason"), caveat, sizeof caveat - 1) == 0 ? THEN_LATER
                                                                                 : THEN_REFUSED;
}

static sp_status give(struct audit_calls *calls, uint64_t seq, json_t *record)
{
    const char *type = audit_text(record, "type");
    bool is_intent = strcmp(type, "intent") == 0, good = true;
    if (strcmp(type, "issue") == 0) {
        const char *root = audit_text(record, "root");
        calls->out_of_memory =
            calls->out_of_memory || json_object_set(calls->tokens, root, record);
        return calls->out_of_memory ? SP_ENOMEM : SP_OK;
    }
    if (!is_intent && strcmp(type, "denied") != 0) {
        good = calls->fn(calls->user, seq, record, NULL);
        return good ? SP_OK : SP_EDENIED;
    }
    struct audit_call call = {.seq = seq, .record = record, .then = then_of(record, is_intent)};
    sp_arena_init(&call.arena, ARENA_MAX_BYTES);
    sp_status status = request_of(&call, record);
    calls->out_of_memory = calls->out_of_memory || status == SP_ENOMEM;
    good = calls->fn(calls->user, seq, record, status ? NULL : &call);
    sp_arena_done(&call.arena);
    return good ? SP_OK : SP_EDENIED;
}

sp_status audit_calls_line(struct audit_calls *calls, uint64_t seq, struct sp_text line,
                           audit_call_fn fn, void *user)
{
    json_error_t error;
    json_t *record = json_loadb(line.ptr, line.len, 0, &error);
    calls->fn = fn;
    calls->user = user;
    /* The chain holds, so the host wrote it; still, what is no record tells of no call. */
    sp_status status = json_is_object(record) ? give(calls, seq, record) : SP_OK;
    json_decref(record);
    return status;
}

static sp_status on_line(void *user, uint64_t seq, struct sp_text line)
{
    struct audit_calls *calls = user;
    return audit_calls_line(calls, seq, line, calls->fn, calls->user);
}

sp_status audit_calls_read(const char *folder, struct audit_calls *calls, audit_call_fn fn,
                           void *user, struct sp_error *err)
{
    struct sp_audit_report report;
    memset(&report, 0, sizeof report);
    sp_status status = sp_audit_verify(folder, 0, NULL, &report, err);
    if (status == SP_ECORRUPT) {
        return sp_fail(err, SP_ECORRUPT,
                       "the audit does not hold together: record %" PRIu64
                       ": %s (`sallyport audit verify`)",
                       report.bad_seq, report.reason);
    }
    calls->fn = fn;
    calls->user = user;
    status = status ? status : sp_audit_read(folder, 0, on_line, calls, err);
    if (status == SP_ENOMEM || calls->out_of_memory) {
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    return status == SP_EDENIED ? SP_OK : status;
}

/* ---- scopes ---------------------------------------------------------------------------------
 */

/* The arguments of the token. False where the audit does not tell them. */
static bool args_of(const struct sp_scope *scope, const json_t *issued, struct sp_arg *args,
                    size_t *ret_n)
{
    const json_t *list = json_object_get(issued, "args");
    *ret_n = 0;
    if (!issued) { /* issued before the audit begins: no matter, where there is nothing to give
                    */
        return sp_scope_n_params(scope) == 0;
    }
    if (json_is_string(list)) { /* as version 0.1.0 wrote them: values without their names */
        args[0].name = sp_scope_n_params(scope) ? sp_scope_param(scope, 0) : SP_TEXT("");
        args[0].value = sp_text_of(json_string_value(list));
        *ret_n = 1;
        return sp_scope_n_params(scope) == 1 && !json_object_get(issued, "value");
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *name = json_array_get(json_array_get(list, i), 0);
        const json_t *value = json_array_get(json_array_get(list, i), 1);
        if (i == ARGS_MAX || !json_is_string(name) || !json_is_string(value)) {
            return false;
        }
        args[i].name = (struct sp_text){json_string_value(name), json_string_length(name)};
        args[i].value = (struct sp_text){json_string_value(value), json_string_length(value)};
        *ret_n = i + 1;
    }
    return !list || json_is_array(list);
}

/* A new place for a frozen scope; NULL is a scope whose arguments do not fit. */
static bool keep(struct audit_calls *calls, const char *name, struct sp_scope *frozen)
{
    if (calls->n_scopes == calls->room) {
        size_t room = calls->room ? 2 * calls->room : 64;
        struct sp_scope **scopes = realloc(calls->scopes, room * sizeof(struct sp_scope *));
        if (!scopes) {
            return false;
        }
        calls->scopes = scopes;
        calls->room = room;
    }
    if (json_object_set_new(calls->index, name, json_integer((json_int_t)calls->n_scopes))) {
        return false;
    }
    calls->scopes[calls->n_scopes++] = frozen;
    return true;
}

/* Frozen once for all tokens of the same scope and arguments. */
static const struct sp_scope *freeze(struct audit_calls *calls, const struct sp_scope *scope,
                                     const struct sp_arg *args, size_t n_args)
{
    struct sp_buf name;
    struct sp_scope *frozen = NULL;
    sp_buf_init(&name, 1 << 20);
    sp_buf_add_json(&name, sp_scope_name(scope));
    for (size_t i = 0; i < n_args; i++) {
        sp_buf_add_json(&name, args[i].name);
        sp_buf_add_json(&name, args[i].value);
    }
    const json_t *known = json_object_get(calls->index, sp_buf_text(&name).ptr);
    if (known) {
        frozen = calls->scopes[json_integer_value(known)];
    } else {
        sp_status status = sp_scope_freeze(scope, args, n_args, &frozen, NULL);
        if (status == SP_ENOMEM || name.failed || !keep(calls, name.ptr, frozen)) {
            calls->out_of_memory = true;
            sp_scope_free(frozen);
            frozen = NULL;
        }
    }
    sp_buf_done(&name);
    return frozen;
}

const struct sp_scope *audit_scope(struct audit_calls *calls, const struct sp_policy *policy,
                                   const struct audit_call *call, const char **ret_why,
                                   bool *ret_gone)
{
    struct sp_arg args[ARGS_MAX];
    size_t n_args;
    const json_t *issued = json_object_get(calls->tokens, audit_text(call->record, "root"));
    const struct sp_scope *scope =
        sp_policy_find_scope(policy, sp_text_of(audit_text(call->record, "scope")));
    *ret_gone = false;
    *ret_why = "out of memory";
    if (strcmp(audit_text(issued, "form"), "json") == 0) {
        *ret_why = "the token was issued with a scope of its own, as JSON";
        return NULL;
    }
    if (!scope) {
        *ret_gone = true;
        *ret_why = "there is no such scope";
        return NULL;
    }
    if (!args_of(scope, issued, args, &n_args)) {
        *ret_why = "the audit does not tell the token's arguments";
        return NULL;
    }
    const struct sp_scope *frozen = freeze(calls, scope, args, n_args);
    if (!frozen && !calls->out_of_memory) {
        *ret_gone = true;
        *ret_why = "the token's arguments are not those that the scope takes";
    }
    return frozen;
}

bool audit_key_fits(const struct sp_scope *scope, const struct audit_call *call)
{
    const char *key = audit_text(call->record, "key");
    bool found = *key == '\0';
    for (size_t i = 0; i < sp_scope_n_keys(scope) && !found; i++) {
        found = sp_text_is(sp_scope_key(scope, i), key);
    }
    return found;
}

/* ---- words ----------------------------------------------------------------------------------
 */

void audit_print_text(const char *text, struct sp_buf *out)
{
    struct sp_buf quoted;
    sp_buf_init(&quoted, out->cap_bytes);
    sp_buf_add_json(&quoted, sp_text_of(text));
    if (quoted.len >= 2) { /* without its quotes */
        sp_buf_add(out, quoted.ptr + 1, quoted.len - 2);
    }
    out->failed = out->failed || quoted.failed;
    sp_buf_done(&quoted);
}

void audit_print_request(const struct sp_request *request, struct sp_buf *out)
{
    struct sp_url url = request->url;
    url.query = NULL;
    url.n_query = 0;
    sp_buf_addf(out, "%s ", sp_method_name(request->method));
    sp_url_print(&url, out);
    for (size_t i = 0; i < request->url.n_query; i++) {
        struct sp_param pair = {request->url.query[i].name, SP_TEXT(""), true};
        struct sp_url one = {.host = SP_TEXT("h"), .port = 80, .query = &pair, .n_query = 1};
        struct sp_buf text;
        sp_buf_init(&text, 4 * SP_URL_MAX_BYTES);
        sp_url_print_target(&one, &text);
        sp_buf_addf(out, "%s%s…", i ? "&" : "?", text.len > 2 ? text.ptr + 2 : "");
        sp_buf_done(&text);
    }
}
