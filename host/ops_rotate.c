/* key.rotate_upstream: the plugin makes the successor, leases_rotate.c does the rest. */
#include "host.h"

#include <stdio.h>

struct rotating {
    struct sp_host *host;
    struct sp_exchange *exchange;
    struct sp_text id;
};

static enum sp_code code_of(sp_status status)
{
    switch (status) {
    case SP_EUNSUPPORTED:
        return SP_CODE_BAD_REQUEST;
    case SP_EEXIST:
        return SP_CODE_CONFLICT;
    case SP_EDENIED:
    case SP_EIO:
        return SP_CODE_UPSTREAM_FAILED;
    default:
        return sp_message_code(SP_OP_KEY_ROTATE_UPSTREAM, status);
    }
}

static void on_rotated(void *user, sp_status status, const struct sp_error *err)
{
    struct rotating *r = user;
    const struct sp_key *key = status ? NULL : sp_engine_key(r->host->engine, r->id);
    if (key) {
        sp_message_put_key(&r->exchange->reply, key);
        sp_key_unref(r->host->engine, key);
        sp_exchange_reply(r->exchange);
        return;
    }
    sp_ops_fail(r->host, r->exchange, SP_TEXT(""), status ? code_of(status) : SP_CODE_NOT_FOUND,
                err ? err->text : "the key was removed meanwhile",
                status == SP_EUNSUPPORTED
                    ? "`sallyport key rotate ID --secret NAME` takes a new "
                      "secret from you"
                    : "");
}

void sp_ops_key_rotate_upstream(struct sp_host *host, struct sp_exchange *exchange,
                                const struct sp_message *message, struct sp_text by)
{
    const struct sp_message_key *m = &message->as.key;
    struct rotating *r = sp_arena_alloc(&exchange->arena, sizeof *r);
    const struct sp_key *key = r ? sp_engine_key(host->engine, m->id) : NULL;
    char root[SP_HOST_MAX_BYTES + 16];
    struct sp_request request;
    struct sp_error err = {""};
    if (!key) {
        sp_ops_fail(host, exchange, SP_TEXT(""), SP_CODE_NOT_FOUND,
                    "there is no key of that id", "`sallyport key list`");
        return;
    }
    *r = (struct rotating){host, exchange, m->id};
    (void)snprintf(root, sizeof root, "https://%.*s/", (int)key->hosts[0].len,
                   key->hosts[0].ptr);
    struct sp_raw_request raw = {.method = SP_TEXT("GET"),
                                 .url = m->url.len ? m->url : sp_text_of(root)};
    if (sp_canonical(&exchange->arena, &raw, &request, &err)) {
        sp_ops_fail(host, exchange, SP_TEXT(""), SP_CODE_BAD_REQUEST, err.text, "");
    } else if (!sp_key_covers(key, request.url.host)) {
        sp_ops_fail(host, exchange, SP_TEXT(""), SP_CODE_KEY_NOT_IN_SCOPE,
                    "this key is not for that host", "");
    } else {
        sp_leases_rotate(host->leases, key, raw.url, by, on_rotated, r);
    }
    sp_key_unref(host->engine, key);
}
