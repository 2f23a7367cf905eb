/* The operations of the client socket. Each ends its exchange exactly once. */
#include "host.h"

#include "ops_stream.h"

#include <stdio.h>

/* One request on its way; in the exchange's arena. */
struct op {
    struct sp_host *host;
    struct sp_exchange *exchange;
    struct sp_message message;
    struct sp_request request;
    struct sp_proxy_call proxy;
    struct sp_ops_stream stream; /* where the answer may come in several messages */
    uint8_t root[SP_TOKEN_ID_BYTES];
};

void sp_ops_fail(struct sp_host *host, struct sp_exchange *exchange, struct sp_text id,
                 enum sp_code code, const char *reason, const char *hint)
{
    struct sp_decision decision = {.code = code};
    (void)snprintf(decision.reason, sizeof decision.reason, "%s", reason);
    (void)snprintf(decision.hint, sizeof decision.hint, "%s", hint);
    sp_engine_until_when(host->engine, &decision);
    sp_buf_reset(&exchange->reply);
    sp_message_put_error(&exchange->reply, id, &decision);
    sp_exchange_reply(exchange);
}

static void answer_refusal(struct op *op, const struct sp_decision *decision)
{
    sp_message_put_error(&op->exchange->reply, op->message.id, decision);
    sp_exchange_reply(op->exchange);
}

/* ---- proxy, check --------------------------------------------------------------------------
 */

static void encode_proxied(void *user, const struct sp_proxied *result,
                           struct sp_buf *ret_answer)
{
    struct op *op = user;
    if (!result->stored.ptr) {
        sp_message_put_proxied(ret_answer, op->message.id, result);
    } else if (sp_message_put_stored(ret_answer, op->message.id, result->stored)) {
        sp_message_put_failure(ret_answer, op->message.id, SP_CODE_INTERNAL,
                               "the stored answer cannot be read", "", SP_TEXT(""));
    }
}

static void on_proxied(void *user)
{
    struct op *op = user;
    if (op->proxy.streamed) {
        sp_ops_stream_over(&op->stream);
        return;
    }
    if (op->proxy.stream) {
        sp_ops_stream_leave(&op->stream);
    }
    sp_exchange_reply(op->exchange);
}

static bool on_stream_head(void *user, const struct sp_proxied *result)
{
    struct op *op = user;
    return sp_ops_stream_head(&op->stream, result);
}

static enum sp_stream on_stream_data(void *user, struct sp_text bytes)
{
    struct op *op = user;
    return sp_ops_stream_data(&op->stream, bytes);
}

static const struct sp_proxy_stream stream = {on_stream_head, on_stream_data};

/* False: the request is refused, and answered. */
static bool canonicalise(struct op *op, struct sp_call *ret_call)
{
    struct sp_exchange *exchange = op->exchange;
    struct sp_error err = {""};
    sp_status status =
        sp_canonical(&exchange->arena, &op->message.as.call.raw, &op->request, &err);
    if (status) {
        enum sp_code code = status == SP_ETOOBIG ? SP_CODE_TOO_LARGE : SP_CODE_BAD_REQUEST;
        sp_engine_note_refusal(op->host->engine, sp_text_of(exchange->curve), code);
        sp_ops_fail(op->host, exchange, op->message.id, code, err.text, "");
        return false;
    }
    struct sp_text name = {NULL, 0};
    (void)sp_engine_role(op->host->engine, sp_text_of(exchange->curve), &name);
    *ret_call = (struct sp_call){.curve = sp_text_of(exchange->curve),
                                 .peer = sp_arena_copy(&exchange->arena, name),
                                 .token = op->message.as.call.token,
                                 .key = op->message.as.call.key,
                                 .id = op->message.id,
                                 .request = &op->request,
                                 .arena = &exchange->arena};
    return true;
}

static void op_proxy(struct op *op)
{
    if (!canonicalise(op, &op->proxy.call)) {
        return;
    }
    op->proxy.encode = encode_proxied;
    op->proxy.done = on_proxied;
    op->proxy.answer = &op->exchange->reply;
    op->proxy.user = op;
    if (op->message.as.call.stream && op->exchange->many) {
        op->proxy.stream = &stream;
        sp_ops_stream_enter(&op->host->streams, &op->stream, op->exchange, &op->proxy,
                            op->message.as.call.credit);
    }
    sp_proxy_start(&op->host->proxy, &op->proxy);
}

static void op_check(struct op *op)
{
    struct sp_call call;
    if (!canonicalise(op, &call)) {
        return;
    }
    struct sp_decision decision;
    sp_engine_check(op->host->engine, &call, &decision);
    sp_message_put_check(&op->exchange->reply, op->message.id, &decision);
    sp_exchange_reply(op->exchange);
}

/* ---- issue, inspect, revoke, status --------------------------------------------------------
 */

static void on_issued(void *user, const struct sp_decision *decision,
                      const struct sp_issued *issued)
{
    struct op *op = user;
    if (!issued) {
        answer_refusal(op, decision);
        return;
    }
    sp_message_put_issued(&op->exchange->reply, op->message.id, issued, sp_wall_ms());
    sp_exchange_reply(op->exchange);
}

static void op_issue(struct op *op)
{
    op->message.as.issue.curve = sp_text_of(op->exchange->curve);
    sp_engine_issue(op->host->engine, &op->message.as.issue, on_issued, op);
}

static void op_inspect(struct op *op)
{
    struct sp_decision decision;
    struct sp_token_view view;
    sp_engine_inspect(op->host->engine, &op->exchange->arena, sp_text_of(op->exchange->curve),
                      op->message.as.token.token, &decision, &view);
    if (decision.code != SP_CODE_OK) {
        answer_refusal(op, &decision);
        return;
    }
    sp_message_put_view(&op->exchange->reply, op->message.id, &view);
    sp_exchange_reply(op->exchange);
}

static void on_revoked(void *user, sp_status status, const struct sp_error *err)
{
    struct op *op = user;
    if (status) {
        sp_ops_fail(op->host, op->exchange, op->message.id,
                    sp_message_code(op->message.op, status), err ? err->text : "", "");
        return;
    }
    sp_message_put_revoked(&op->exchange->reply, op->message.id, op->root);
    sp_exchange_reply(op->exchange);
}

static void op_revoke(struct op *op)
{
    const struct sp_message_token *token = &op->message.as.token;
    if (token->token.ptr) {
        /* The reply names the root; a token that is none of ours leaves it zero and fails. */
        struct sp_token parsed;
        if (sp_token_parse(&op->exchange->arena, token->token, &parsed) == SP_OK) {
            memcpy(op->root, parsed.id, sizeof op->root);
        }
        sodium_memzero(&parsed, sizeof parsed);
    } else {
        memcpy(op->root, token->root, sizeof op->root);
    }
    sp_engine_revoke(op->host->engine, sp_text_of(op->exchange->curve), false, token->token,
                     token->token.ptr ? NULL : token->root, on_revoked, op);
}

static void op_status(struct op *op)
{
    struct sp_engine_status engine;
    struct sp_message_status status;
    sp_host_status(op->host, &engine, &status);
    sp_message_put_status(&op->exchange->reply, op->message.id, SP_DOOR_CLIENT, &status);
    sp_exchange_reply(op->exchange);
}

/* ---- dispatch ------------------------------------------------------------------------------
 */

/* What it does is told by the stream itself, or by nothing, where that has just ended. */
static void op_stream(struct op *op)
{
    if (op->message.op == SP_OP_CREDIT) {
        sp_ops_stream_credit(&op->host->streams, op->exchange, op->message.id,
                             op->message.as.credit);
    } else {
        sp_ops_stream_cancel(&op->host->streams, op->exchange, op->message.id);
    }
    sp_exchange_end(op->exchange);
}

static void dispatch(struct op *op)
{
    switch ((int)op->message.op) {
    case SP_OP_CREDIT:
    case SP_OP_CANCEL:
        op_stream(op);
        break;
    case SP_OP_ISSUE:
        op_issue(op);
        break;
    case SP_OP_PROXY:
        op_proxy(op);
        break;
    case SP_OP_CHECK:
        op_check(op);
        break;
    case SP_OP_INSPECT:
        op_inspect(op);
        break;
    case SP_OP_REVOKE:
        op_revoke(op);
        break;
    case SP_OP_STATUS:
        op_status(op);
        break;
    default: /* the reader knows which operations this socket has */
        sp_ops_fail(op->host, op->exchange, op->message.id, SP_CODE_INTERNAL, "no handler", "");
    }
}

void sp_ops_client(void *user, struct sp_exchange *exchange)
{
    struct sp_host *host = user;
    struct sp_decision refusal;
    struct op *op = sp_arena_alloc(&exchange->arena, sizeof *op);
    if (!op) {
        sp_ops_fail(host, exchange, SP_TEXT(""), SP_CODE_BUSY, "out of memory", "");
        return;
    }
    op->host = host;
    op->exchange = exchange;
    /* ZAP let the connection in; the client may have been removed since. */
    struct sp_text name;
    if (sp_engine_role(host->engine, sp_text_of(exchange->curve), &name) == SP_ROLE_NONE) {
        sp_ops_fail(host, exchange, SP_TEXT(""), SP_CODE_NOT_PERMITTED,
                    "this client is no longer registered", "ask the operator");
        return;
    }
    if (!sp_message_read(&exchange->arena, SP_DOOR_CLIENT, exchange->body, &op->message,
                         &refusal)) {
        sp_engine_note_refusal(host->engine, sp_text_of(exchange->curve), refusal.code);
        answer_refusal(op, &refusal);
        return;
    }
    bool steers = op->message.op == SP_OP_CREDIT || op->message.op == SP_OP_CANCEL;
    if (exchange->over && !steers) {
        sp_ops_fail(host, exchange, op->message.id, SP_CODE_BUSY,
                    "the host has its full number of calls", "try again in a moment");
        return;
    }
    if (host->draining && op->message.op != SP_OP_STATUS && !steers) {
        sp_ops_fail(host, exchange, op->message.id, SP_CODE_SHUTTING_DOWN,
                    "the host is shutting down", "try again in a moment");
        return;
    }
    dispatch(op);
}
