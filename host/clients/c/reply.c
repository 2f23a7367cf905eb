/* What the host answered. Fields that this library does not know are no error. */
#include "client.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int reply_read(struct sp_buf *bytes, struct sallyport_reply **ret_reply,
               struct sallyport_error *err)
{
    struct sp_error why = {""};
    struct sallyport_reply *reply = calloc(1, sizeof *reply);
    if (!reply) {
        sp_buf_done(bytes);
        return client_fail(err, SALLYPORT_E_MEMORY, "out of memory");
    }
    reply->bytes = *bytes;
    sp_arena_init(&reply->arena, 4 * (size_t)CLIENT_MESSAGE_MAX_BYTES);
    sp_status status =
        sp_wire_read_reply(&reply->arena, sp_buf_text(&reply->bytes), &reply->map, &why);
    const struct sp_wire_value *ok = status ? NULL : sp_wire_get(&reply->map, "ok");
    if (!ok || ok->kind != SP_WIRE_BOOL || sallyport_reply_number(reply, "v", 0) != 1) {
        sallyport_reply_free(reply);
        return client_fail(err, SALLYPORT_E_BAD_REPLY,
                           "the answer is no reply of this protocol%s%s", *why.text ? ": " : "",
                           why.text);
    }
    *ret_reply = reply;
    return SALLYPORT_OK;
}

int reply_expect(const struct sallyport_reply *reply, const char *op,
                 struct sallyport_error *err)
{
    static const struct {
        const char *op, *name;
        enum sp_wire_kind kind;
    } promised[] = {
        {"issue", "token", SP_WIRE_STR},     {"issue", "root", SP_WIRE_STR},
        {"issue", "expires", SP_WIRE_INT},   {"proxy", "status", SP_WIRE_INT},
        {"proxy", "headers", SP_WIRE_ARRAY}, {"proxy", "body", SP_WIRE_BIN},
        {"head", "status", SP_WIRE_INT},     {"head", "headers", SP_WIRE_ARRAY},
        {"check", "allowed", SP_WIRE_BOOL},  {"check", "code", SP_WIRE_STR},
        {"inspect", "root", SP_WIRE_STR},    {"inspect", "scope", SP_WIRE_STR},
        {"revoke", "root", SP_WIRE_STR},     {"status", "state", SP_WIRE_STR},
        {"status", "ready", SP_WIRE_BOOL},
    };
    for (size_t i = 0; i < sizeof promised / sizeof *promised; i++) {
        if (strcmp(op, promised[i].op) != 0) {
            continue;
        }
        const struct sp_wire_value *value = sp_wire_get(&reply->map, promised[i].name);
        if (!value || value->kind != promised[i].kind) {
            return client_fail(err, SALLYPORT_E_BAD_REPLY,
                               "the answer is no reply of this protocol: %s is missing, or of "
                               "another type",
                               promised[i].name);
        }
    }
    return SALLYPORT_OK;
}

void sallyport_reply_free(struct sallyport_reply *reply)
{
    if (!reply) {
        return;
    }
    sp_arena_done(&reply->arena);
    if (reply->bytes.ptr) {
        sodium_memzero(reply->bytes.ptr, reply->bytes.room); /* it may hold a token */
    }
    sp_buf_done(&reply->bytes);
    free(reply);
}

struct sp_text reply_text(const struct sallyport_reply *reply, const char *name)
{
    const struct sp_wire_value *value = sp_wire_get(&reply->map, name);
    return value && value->kind == SP_WIRE_STR ? value->as.text : (struct sp_text){NULL, 0};
}

struct sp_text reply_bytes(const struct sallyport_reply *reply, const char *name)
{
    const struct sp_wire_value *value = sp_wire_get(&reply->map, name);
    return value && value->kind == SP_WIRE_BIN ? value->as.text : (struct sp_text){NULL, 0};
}

const char *sallyport_reply_text(struct sallyport_reply *reply, const char *name)
{
    struct sp_text text = reply_text(reply, name);
    return text.ptr ? sp_arena_copy(&reply->arena, text).ptr : NULL;
}

int64_t sallyport_reply_number(const struct sallyport_reply *reply, const char *name,
                               int64_t missing)
{
    const struct sp_wire_value *value = sp_wire_get(&reply->map, name);
    return value && value->kind == SP_WIRE_INT ? value->as.integer : missing;
}

int sallyport_reply_flag(const struct sallyport_reply *reply, const char *name)
{
    const struct sp_wire_value *value = sp_wire_get(&reply->map, name);
    return value && value->kind == SP_WIRE_BOOL && value->as.boolean;
}

int sallyport_reply_status(const struct sallyport_reply *reply)
{
    return (int)sallyport_reply_number(reply, "status", 0);
}

const char *sallyport_reply_body(const struct sallyport_reply *reply, size_t *ret_bytes)
{
    struct sp_text body = reply_bytes(reply, "body");
    *ret_bytes = body.len;
    return body.ptr ? body.ptr : "";
}

/* The pair at that place of a field: name and value, or false. */
static bool pair_at(const struct sallyport_reply *reply, const char *field, size_t at,
                    struct sp_text *ret_name, struct sp_text *ret_value)
{
    const struct sp_wire_value *pairs = sp_wire_get(&reply->map, field);
    if (!pairs || pairs->kind != SP_WIRE_ARRAY || at >= pairs->as.array.n) {
        return false;
    }
    const struct sp_wire_value *pair = &pairs->as.array.items[at];
    if (pair->kind != SP_WIRE_ARRAY || pair->as.array.n != 2) {
        return false;
    }
    const struct sp_wire_value *name = &pair->as.array.items[0];
    const struct sp_wire_value *value = &pair->as.array.items[1];
    *ret_name = name->as.text;
    *ret_value = value->as.text;
    return name->kind == SP_WIRE_STR &&
           (value->kind == SP_WIRE_STR || value->kind == SP_WIRE_BIN);
}

const char *reply_pair_at(struct sallyport_reply *reply, const char *field, size_t at,
                          const char **ret_name)
{
    struct sp_text name, value;
    if (!pair_at(reply, field, at, &name, &value)) {
        return NULL;
    }
    struct sp_text copies[] = {sp_arena_copy(&reply->arena, name),
                               sp_arena_copy(&reply->arena, value)};
    *ret_name = copies[0].ptr;
    return copies[0].ptr ? copies[1].ptr : NULL;
}

const char *reply_pair(struct sallyport_reply *reply, const char *field, const char *name)
{
    struct sp_text found, value;
    for (size_t at = 0; pair_at(reply, field, at, &found, &value); at++) {
        if (sp_text_eq_fold(found, sp_text_of(name))) {
            return sp_arena_copy(&reply->arena, value).ptr;
        }
    }
    return NULL;
}

const char *sallyport_reply_header_at(struct sallyport_reply *reply, size_t at,
                                      const char **ret_name)
{
    return reply_pair_at(reply, "headers", at, ret_name);
}

const char *sallyport_reply_header(struct sallyport_reply *reply, const char *name)
{
    return reply_pair(reply, "headers", name);
}

static void copy(char *field, size_t room, const struct sp_wire_value *map, const char *name)
{
    const struct sp_wire_value *value = sp_wire_get(map, name);
    if (value && value->kind == SP_WIRE_STR) {
        (void)snprintf(field, room, "%.*s", (int)value->as.text.len, value->as.text.ptr);
    }
}

static int refusal(const struct sp_wire_value *map, struct sallyport_error *err)
{
    const struct sp_wire_value *code = sp_wire_get(map, "code");
    const struct sp_wire_value *retryable = sp_wire_get(map, "retryable");
    const struct sp_wire_value *wait = sp_wire_get(map, "retry_after_ms");
    if (!code || code->kind != SP_WIRE_STR) {
        return client_fail(err, SALLYPORT_E_BAD_REPLY, "the refusal has no code");
    }
    int status = sp_text_is(code->as.text, "outcome_unknown") ? SALLYPORT_E_OUTCOME_UNKNOWN
                                                              : SALLYPORT_E_REFUSED;
    (void)client_fail(err, status, "%s", "");
    if (err) {
        copy(err->code, sizeof err->code, map, "code");
        copy(err->text, sizeof err->text, map, "reason");
        copy(err->rule, sizeof err->rule, map, "rule");
        copy(err->hint, sizeof err->hint, map, "hint");
        err->retryable = retryable && retryable->kind == SP_WIRE_BOOL && retryable->as.boolean;
        err->retry_after_ms = wait && wait->kind == SP_WIRE_INT && wait->as.integer > 0
                                  ? (uint64_t)wait->as.integer
                                  : 0;
    }
    return status;
}

int sallyport_reply_check(const struct sallyport_reply *reply, struct sallyport_error *err)
{
    if (sallyport_reply_flag(reply, "ok")) {
        return SALLYPORT_OK;
    }
    const struct sp_wire_value *error = sp_wire_get(&reply->map, "error");
    return error && error->kind == SP_WIRE_MAP
               ? refusal(error, err)
               : client_fail(err, SALLYPORT_E_BAD_REPLY, "the refusal says nothing");
}

const void *sallyport_reply_bytes(const struct sallyport_reply *reply, size_t *ret_bytes)
{
    *ret_bytes = reply->bytes.len;
    return reply->bytes.ptr;
}
