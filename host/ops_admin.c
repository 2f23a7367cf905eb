/* The operations of the administration socket, for administrators alone. */
#include "host.h"
#include "policy_held.h"

#include <stdio.h>

enum { LIST_MAX_BYTES = 32 << 20, DIAGNOSTICS_MAX_BYTES = 256 << 10 };

struct op {
    struct sp_host *host;
    struct sp_exchange *exchange;
    struct sp_message message;
    struct sp_text by; /* the administrator's name, in the exchange's arena */
};

static void answer_ok(struct op *op)
{
    sp_message_put_ok(&op->exchange->reply, SP_TEXT(""), 0);
    sp_exchange_reply(op->exchange);
}

static void answer_failure(struct op *op, sp_status status, const struct sp_error *err)
{
    sp_ops_fail(op->host, op->exchange, SP_TEXT(""), sp_message_code(op->message.op, status),
                err && *err->text ? err->text : sp_status_name(status), "");
}

/* The end of an operation that only succeeds or fails. */
static void on_done(void *user, sp_status status, const struct sp_error *err)
{
    struct op *op = user;
    if (status) {
        answer_failure(op, status, err);
        return;
    }
    SP_LOG(&op->host->log, SP_LOG_INFO, sp_message_ops[op->message.op].name, {"by", op->by});
    answer_ok(op);
}

/* ---- seal ----------------------------------------------------------------------------------
 */

static void on_unsealed(void *user, sp_status status, const struct sp_error *err)
{
    struct op *op = user;
    if (!status) {
        sp_host_announce(op->host);
    }
    on_done(op, status, err);
}

static void op_unseal(struct op *op)
{
    struct sp_secret secret;
    struct sp_text given = op->message.as.secret;
    sp_status status = sp_secret_new(sp_engine_pool(op->host->engine), given.len, &secret);
    if (status) {
        answer_failure(op, status, NULL);
        return;
    }
    memcpy(secret.ptr, given.ptr, given.len);
    sp_engine_unseal(op->host->engine, &secret, on_unsealed, op);
}

static void op_seal(struct op *op)
{
    sp_engine_seal(op->host->engine);
    sp_host_announce(op->host);
    on_done(op, SP_OK, NULL);
}

/* ---- keys ----------------------------------------------------------------------------------
 */

static void list_key(void *user, const struct sp_key *key)
{
    sp_message_list_key(user, key);
}

static void op_key_list(struct op *op)
{
    struct sp_message_list list;
    sp_message_list_init(&list, LIST_MAX_BYTES);
    sp_engine_each_key(op->host->engine, list_key, &list);
    sp_message_list_end(&list, &op->exchange->reply, "keys");
    sp_exchange_reply(op->exchange);
}

static void op_key_show(struct op *op)
{
    const struct sp_key *key = sp_engine_key(op->host->engine, op->message.as.key.id);
    if (!key) {
        sp_ops_fail(op->host, op->exchange, SP_TEXT(""), SP_CODE_NOT_FOUND,
                    "there is no key of that id", "`sallyport key list`");
        return;
    }
    sp_message_put_key(&op->exchange->reply, key);
    sp_key_unref(op->host->engine, key);
    sp_exchange_reply(op->exchange);
}

static void on_key_removed(void *user, sp_status status, const struct sp_error *err)
{
    struct op *op = user;
    if (!status) {
        sp_providers_forget(op->host->providers, op->message.as.key.id);
        sp_egress_forget(op->host->egress, op->message.as.key.id);
    }
    on_done(op, status, err);
}

/* ---- clients -------------------------------------------------------------------------------
 */

static void list_client(void *user, const struct sp_client_info *info)
{
    sp_message_list_client(user, info);
}

static void op_client_list(struct op *op)
{
    struct sp_message_list list;
    sp_message_list_init(&list, LIST_MAX_BYTES);
    sp_engine_each_client(op->host->engine, list_client, &list);
    sp_message_list_end(&list, &op->exchange->reply, "clients");
    sp_exchange_reply(op->exchange);
}

/* The answer waits for the ZAP handler's table, so that whoever reads it can connect. */
static void on_client_changed(void *user, sp_status status, const struct sp_error *err)
{
    struct op *op = user;
    sp_host_publish_peers(op->host);
    on_done(op, status, err);
}

/* ---- tokens --------------------------------------------------------------------------------
 */

static void list_token(void *user, const struct sp_token_view *view)
{
    sp_message_list_token(user, view);
}

static void op_token_list(struct op *op)
{
    struct sp_message_list list;
    sp_message_list_init(&list, LIST_MAX_BYTES);
    sp_engine_each_token(op->host->engine, list_token, &list);
    sp_message_list_end(&list, &op->exchange->reply, "tokens");
    sp_exchange_reply(op->exchange);
}

/* Of token.revoke and token.resume. */
static void on_root_done(void *user, sp_status status, const struct sp_error *err)
{
    struct op *op = user;
    if (status) {
        answer_failure(op, status, err);
        return;
    }
    sp_message_put_revoked(&op->exchange->reply, SP_TEXT(""), op->message.as.token.root);
    sp_exchange_reply(op->exchange);
}

/* ---- leases --------------------------------------------------------------------------------
 */

static void list_lease(void *user, struct sp_lease *lease)
{
    sp_message_list_lease(user, lease);
}

static void op_lease_list(struct op *op)
{
    struct sp_message_list list;
    sp_message_list_init(&list, LIST_MAX_BYTES);
    sp_engine_each_lease(op->host->engine, list_lease, &list);
    sp_message_list_end(&list, &op->exchange->reply, "leases");
    sp_exchange_reply(op->exchange);
}

static void op_lease_revoke(struct op *op)
{
    const struct sp_message_lease *m = &op->message.as.lease;
    struct sp_text key = m->key.ptr ? m->key : SP_TEXT("");
    if (sp_engine_state(op->host->engine) != SP_ENGINE_READY) {
        sp_ops_fail(op->host, op->exchange, SP_TEXT(""), SP_CODE_SEALED, "the host is sealed",
                    "an operator has to unseal it");
        return;
    }
    size_t n = sp_leases_end(op->host->leases, m->has_id ? m->id : NULL, key, op->by);
    if (m->has_id && n == 0) {
        sp_ops_fail(op->host, op->exchange, SP_TEXT(""), SP_CODE_NOT_FOUND,
                    "there is no lease of that id", "`sallyport lease list`");
        return;
    }
    sp_message_put_ok(&op->exchange->reply, SP_TEXT(""), 1);
    sp_wire_pair_int(&op->exchange->reply, "ended", (int64_t)n);
    sp_exchange_reply(op->exchange);
}

/* The key's minted credentials end first, while it can still be used for that. */
static void on_leases_ended(void *user)
{
    struct op *op = user;
    sp_engine_key_remove(op->host->engine, op->message.as.key.id, op->by, on_key_removed, op);
}

/* ---- policy, plugins, audit, status --------------------------------------------------------
 */

static void op_reload(struct op *op)
{
    struct sp_error err = {""};
    struct sp_buf diagnostics;
    sp_buf_init(&diagnostics, DIAGNOSTICS_MAX_BYTES);
    if (sp_host_load_policy(op->host, &diagnostics, &err)) {
        sp_message_put_failure(&op->exchange->reply, SP_TEXT(""), SP_CODE_BAD_REQUEST, err.text,
                               "the old policy stays in force", sp_buf_text(&diagnostics));
    } else {
        struct sp_engine_status status;
        sp_engine_status(op->host->engine, &status);
        sp_message_put_ok(&op->exchange->reply, SP_TEXT(""), 2);
        sp_wire_pair_int(&op->exchange->reply, "scopes", (int64_t)status.n_scopes);
        sp_wire_pair_int(&op->exchange->reply, "clients", (int64_t)status.n_clients);
    }
    sp_buf_done(&diagnostics);
    sp_exchange_reply(op->exchange);
}

static void list_scope(void *user, const struct sp_scope *scope)
{
    struct sp_buf text;
    sp_buf_init(&text, LIST_MAX_BYTES);
    sp_scope_print(scope, &text);
    sp_message_list_scope(user, sp_scope_name(scope), sp_buf_text(&text));
    sp_buf_done(&text);
}

static void op_policy_show(struct op *op)
{
    struct sp_message_list list;
    sp_message_list_init(&list, LIST_MAX_BYTES);
    sp_engine_each_scope(op->host->engine, list_scope, &list);
    sp_message_list_end(&list, &op->exchange->reply, "scopes");
    sp_exchange_reply(op->exchange);
}

static void op_plugin_list(struct op *op)
{
    struct sp_message_list list;
    sp_message_list_init(&list, LIST_MAX_BYTES);
    for (size_t i = 0; i < sp_providers_n(op->host->providers); i++) {
        sp_message_list_plugin(&list, sp_providers_at(op->host->providers, i));
    }
    sp_message_list_end(&list, &op->exchange->reply, "plugins");
    sp_exchange_reply(op->exchange);
}

static void op_audit_head(struct op *op)
{
    struct sp_head head;
    sp_engine_head(op->host->engine, &head);
    sp_message_put_head(&op->exchange->reply, &head);
    sp_exchange_reply(op->exchange);
}

static void op_status(struct op *op)
{
    struct sp_engine_status engine;
    struct sp_message_status status;
    sp_host_status(op->host, &engine, &status);
    if (sp_policy_held(op->host->engine, &op->exchange->arena, &status.held, &status.n_held)) {
        answer_failure(op, SP_ENOMEM, NULL);
        return;
    }
    sp_message_put_status(&op->exchange->reply, SP_TEXT(""), SP_DOOR_ADMIN, &status);
    sp_exchange_reply(op->exchange);
}

static void op_backup(struct op *op)
{
    struct sp_text path = sp_arena_copy(&op->exchange->arena, op->message.as.path);
    if (!path.ptr) {
        answer_failure(op, SP_ENOMEM, NULL);
        return;
    }
    sp_engine_backup(op->host->engine, path.ptr, op->by, on_done, op);
}

/* ---- dispatch ------------------------------------------------------------------------------
 */

static void dispatch(struct op *op)
{
    struct sp_host *host = op->host;
    const struct sp_message *m = &op->message;
    switch (m->op) {
    case SP_OP_STATUS:
        op_status(op);
        break;
    case SP_OP_UNSEAL:
        op_unseal(op);
        break;
    case SP_OP_SEAL:
        op_seal(op);
        break;
    case SP_OP_KEY_CHECK:
    case SP_OP_KEY_ADD:
    case SP_OP_KEY_ROTATE:
    case SP_OP_KEY_SET:
        sp_ops_key_put(host, op->exchange, m, op->by);
        break;
    case SP_OP_KEY_LIST:
        op_key_list(op);
        break;
    case SP_OP_KEY_SHOW:
        op_key_show(op);
        break;
    case SP_OP_KEY_REMOVE:
        sp_leases_end_key(host->leases, m->as.key.id, op->by, on_leases_ended, op);
        break;
    case SP_OP_KEY_TEST:
        sp_ops_key_test(host, op->exchange, m, op->by);
        break;
    case SP_OP_KEY_ROTATE_UPSTREAM:
        sp_ops_key_rotate_upstream(host, op->exchange, m, op->by);
        break;
    case SP_OP_CLIENT_ADD:
        sp_engine_client_add(host->engine, m->as.client.name, m->as.client.curve,
                             m->as.client.admin, op->by, on_client_changed, op);
        break;
    case SP_OP_CLIENT_LIST:
        op_client_list(op);
        break;
    case SP_OP_CLIENT_REMOVE:
        sp_engine_client_remove(host->engine, m->as.client.name, op->by, on_client_changed, op);
        break;
    case SP_OP_TOKEN_LIST:
        op_token_list(op);
        break;
    case SP_OP_TOKEN_REVOKE:
        sp_engine_revoke(host->engine, sp_text_of(op->exchange->curve), true,
                         (struct sp_text){NULL, 0}, m->as.token.root, on_root_done, op);
        break;
    case SP_OP_LEASE_LIST:
        op_lease_list(op);
        break;
    case SP_OP_TOKEN_RESUME:
        sp_engine_resume(host->engine, m->as.token.root, op->by, on_root_done, op);
        break;
    case SP_OP_LEASE_REVOKE:
        op_lease_revoke(op);
        break;
    case SP_OP_RELOAD:
    case SP_OP_POLICY_RELOAD:
        op_reload(op);
        break;
    case SP_OP_POLICY_SHOW:
        op_policy_show(op);
        break;
    case SP_OP_PLUGIN_LIST:
        op_plugin_list(op);
        break;
    case SP_OP_AUDIT_HEAD:
        op_audit_head(op);
        break;
    case SP_OP_BACKUP:
        op_backup(op);
        break;
    case SP_OP_ISSUE:
    case SP_OP_PROXY:
    case SP_OP_CREDIT:
    case SP_OP_CANCEL:
    case SP_OP_CHECK:
    case SP_OP_INSPECT:
    case SP_OP_REVOKE:
    case SP_OP_COUNT:
    default: /* the reader knows which operations this socket has */
        sp_ops_fail(op->host, op->exchange, SP_TEXT(""), SP_CODE_INTERNAL, "no handler", "");
    }
}

void sp_ops_admin(void *user, struct sp_exchange *exchange)
{
    struct sp_host *host = user;
    struct sp_decision refusal;
    struct sp_text name = {NULL, 0};
    struct op *op = sp_arena_alloc(&exchange->arena, sizeof *op);
    if (!op) {
        sp_ops_fail(host, exchange, SP_TEXT(""), SP_CODE_BUSY, "out of memory", "");
        return;
    }
    op->host = host;
    op->exchange = exchange;
    /* ZAP let the connection in; the right may have been taken away since. */
    if (sp_engine_role(host->engine, sp_text_of(exchange->curve), &name) != SP_ROLE_ADMIN) {
        sp_ops_fail(host, exchange, SP_TEXT(""), SP_CODE_NOT_PERMITTED,
                    "this client is no administrator", "");
        return;
    }
    op->by = sp_arena_copy(&exchange->arena, name);
    if (!sp_message_read(&exchange->arena, SP_DOOR_ADMIN, exchange->body, &op->message,
                         &refusal)) {
        sp_message_put_error(&exchange->reply, SP_TEXT(""), &refusal);
        sp_exchange_reply(exchange);
        return;
    }
    dispatch(op);
}
