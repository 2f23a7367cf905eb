/* The operations: each a map of the protocol. */
#include "client.h"

#include "token.h"

#include <sodium.h>
#include <string.h>

enum { ROOM_FOR_FIELDS = 1 << 20 };

static void put_head(struct sp_buf *request, const char *op, const char *id, size_t n_more)
{
    sp_wire_put_map(request, 3 + n_more);
    sp_wire_pair_int(request, "v", 1);
    sp_wire_pair_str(request, "op", sp_text_of(op));
    sp_wire_pair_str(request, "id", sp_text_of(id));
}

static void put_given(struct sp_buf *request, const char *name, const char *text)
{
    if (text) {
        sp_wire_pair_str(request, name, sp_text_of(text));
    }
}

void client_wipe(struct sp_buf *request)
{
    if (request->ptr) {
        sodium_memzero(request->ptr, request->room);
    }
    sp_buf_done(request);
}

static int send_request(struct sallyport_client *client, const char *op, struct sp_buf *request,
                        const char *id, struct sallyport_reply **ret_reply,
                        struct sallyport_error *err)
{
    struct sallyport_reply *reply = NULL;
    /* A second issue would be a second token. */
    uint32_t attempts = strcmp(op, "issue") == 0 ? 1 : client->attempts;
    int status = request->failed
                     ? client_fail(err, SALLYPORT_E_SETTINGS, "the request is too large")
                     : client_exchange(client, sp_buf_text(request), id, attempts, &reply, err);
    client_wipe(request);
    if (!status) {
        status = reply_expect(reply, op, err);
    }
    if (status) {
        sallyport_reply_free(reply);
        return status;
    }
    *ret_reply = reply;
    return SALLYPORT_OK;
}

int client_put_call(struct sp_buf *request, const char *op, const char *id,
                    const struct sallyport_call *call, size_t n_more,
                    struct sallyport_error *err)
{
    if (call->size < sizeof *call || !call->token || !call->method || !call->url) {
        return client_fail(err, SALLYPORT_E_SETTINGS,
                           "a call begins with SALLYPORT_CALL_INIT and has token, method and "
                           "url");
    }
    put_head(request, op, id,
             3 + n_more + (call->key != NULL) + (call->n_headers > 0) + (call->body != NULL));
    put_given(request, "token", call->token);
    put_given(request, "method", call->method);
    put_given(request, "url", call->url);
    put_given(request, "key", call->key);
    if (call->n_headers > 0) {
        sp_wire_put_str(request, SP_TEXT("headers"));
        sp_wire_put_array(request, call->n_headers);
    }
    for (uint32_t i = 0; i < call->n_headers; i++) {
        sp_wire_put_array(request, 2);
        sp_wire_put_str(request, sp_text_of(call->headers[i].name));
        sp_wire_put_str(request, sp_text_of(call->headers[i].value));
    }
    if (call->body) {
        sp_wire_put_str(request, SP_TEXT("body"));
        sp_wire_put_bin(request, (struct sp_text){call->body, call->body_bytes});
    }
    return SALLYPORT_OK;
}

static int call_op(struct sallyport_client *client, const char *op,
                   const struct sallyport_call *call, struct sallyport_reply **ret_reply,
                   struct sallyport_error *err)
{
    char id[CLIENT_ID_MAX_BYTES + 1];
    struct sp_buf request;
    sp_buf_init(&request, CLIENT_MESSAGE_MAX_BYTES);
    int status = client_id(call->id, id, err);
    if (!status) {
        status = client_put_call(&request, op, id, call, 0, err);
    }
    if (status) {
        client_wipe(&request);
        return status;
    }
    return send_request(client, op, &request, id, ret_reply, err);
}

int sallyport_proxy(struct sallyport_client *client, const struct sallyport_call *call,
                    struct sallyport_reply **ret_reply, struct sallyport_error *err)
{
    return call_op(client, "proxy", call, ret_reply, err);
}

int sallyport_check(struct sallyport_client *client, const struct sallyport_call *call,
                    struct sallyport_reply **ret_reply, struct sallyport_error *err)
{
    return call_op(client, "check", call, ret_reply, err);
}

int sallyport_issue(struct sallyport_client *client, const struct sallyport_want *want,
                    struct sallyport_reply **ret_reply, struct sallyport_error *err)
{
    char id[CLIENT_ID_MAX_BYTES + 1];
    struct sp_buf request;
    if (want->size < sizeof *want || !want->scope) {
        return client_fail(err, SALLYPORT_E_SETTINGS,
                           "a want begins with SALLYPORT_WANT_INIT and has a scope");
    }
    int status = client_id(NULL, id, err);
    if (status) {
        return status;
    }
    sp_buf_init(&request, ROOM_FOR_FIELDS);
    put_head(&request, "issue", id,
             (size_t)(1 + (want->n_args > 0) + (want->ttl != NULL) + (want->narrow != NULL) +
                      (want->bind != NULL)));
    put_given(&request, "scope", want->scope);
    if (want->n_args > 0) {
        sp_wire_put_str(&request, SP_TEXT("args"));
        sp_wire_put_map(&request, want->n_args);
    }
    for (uint32_t i = 0; i < want->n_args; i++) {
        put_given(&request, want->args[i].name, want->args[i].value);
    }
    put_given(&request, "ttl", want->ttl);
    put_given(&request, "narrow", want->narrow);
    put_given(&request, "bind", want->bind);
    return send_request(client, "issue", &request, id, ret_reply, err);
}

/* An operation with one text. */
static int small_op(struct sallyport_client *client, const char *op, const char *name,
                    const char *text, struct sallyport_reply **ret_reply,
                    struct sallyport_error *err)
{
    char id[CLIENT_ID_MAX_BYTES + 1];
    struct sp_buf request;
    int status = client_id(NULL, id, err);
    if (status) {
        return status;
    }
    sp_buf_init(&request, ROOM_FOR_FIELDS);
    put_head(&request, op, id, text != NULL);
    put_given(&request, name, text);
    return send_request(client, op, &request, id, ret_reply, err);
}

int sallyport_inspect(struct sallyport_client *client, const char *token,
                      struct sallyport_reply **ret_reply, struct sallyport_error *err)
{
    return small_op(client, "inspect", "token", token, ret_reply, err);
}

int sallyport_revoke(struct sallyport_client *client, const char *token, const char *root,
                     struct sallyport_reply **ret_reply, struct sallyport_error *err)
{
    if (!token == !root) {
        return client_fail(err, SALLYPORT_E_SETTINGS, "revoke takes a token or a root id");
    }
    return small_op(client, "revoke", token ? "token" : "root", token ? token : root, ret_reply,
                    err);
}

int sallyport_status(struct sallyport_client *client, struct sallyport_reply **ret_reply,
                     struct sallyport_error *err)
{
    return small_op(client, "status", NULL, NULL, ret_reply, err);
}

int sallyport_narrow(const char *token, const char *caveat, char *ret_token, size_t room,
                     struct sallyport_error *err)
{
    struct sp_arena arena;
    struct sp_buf out;
    struct sp_token parsed;
    struct sp_error why = {""};
    sp_arena_init(&arena, ROOM_FOR_FIELDS);
    sp_buf_init(&out, SALLYPORT_TOKEN_BYTES - 1);
    int status = SALLYPORT_OK;
    if (sp_token_parse(&arena, sp_text_of(token), &parsed)) {
        status = client_fail(err, SALLYPORT_E_SETTINGS, "that is no token");
    } else if (sp_token_narrow(&parsed, sp_text_of(caveat), &why)) {
        status = client_fail(err, SALLYPORT_E_SETTINGS, "%s", why.text);
    } else {
        sp_token_print(&parsed, &out);
        if (out.failed || out.len >= room) {
            status = client_fail(err, SALLYPORT_E_SETTINGS, "no room for the token");
        } else {
            memcpy(ret_token, out.ptr, out.len + 1);
        }
    }
    sodium_memzero(&parsed, sizeof parsed);
    client_wipe(&out);
    sp_arena_done(&arena);
    return status;
}
