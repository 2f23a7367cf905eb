/* A request and its reply.
 *
 * A new connection asks `status` first: that tells within the connect time-out whether there is
 * somebody at all, before anything that has an effect is sent. */
#include "client.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum { ID_RANDOM_BYTES = 16 };

int client_id(const char *given, char ret_id[CLIENT_ID_MAX_BYTES + 1],
              struct sallyport_error *err)
{
    uint8_t random[ID_RANDOM_BYTES];
    if (given) {
        size_t len = strlen(given);
        if (len == 0 || len > CLIENT_ID_MAX_BYTES) {
            return client_fail(err, SALLYPORT_E_SETTINGS, "a request id has 1 to 64 bytes");
        }
        memcpy(ret_id, given, len + 1);
        return SALLYPORT_OK;
    }
    if (sodium_init() < 0) {
        return client_fail(err, SALLYPORT_E_MEMORY, "libsodium does not start");
    }
    randombytes_buf(random, sizeof random);
    (void)sodium_bin2hex(ret_id, CLIENT_ID_MAX_BYTES + 1, random, sizeof random);
    return SALLYPORT_OK;
}

static int not_connected(const struct sallyport_client *client, const struct sp_link *link,
                         struct sallyport_error *err)
{
    static const struct {
        uint32_t cause;
        const char *text;
    } causes[] = {
        [SP_LINK_NOBODY] = {SALLYPORT_CAUSE_NO_HOST,
                            "no host is listening there, or a network keeps us apart"},
        [SP_LINK_BROKEN] = {SALLYPORT_CAUSE_HOST_KEY,
                            "somebody is listening there and broke off the handshake: the host "
                            "key is another one, or it is no sallyport"},
        [SP_LINK_UNKNOWN_CLIENT] = {SALLYPORT_CAUSE_CLIENT_KEY,
                                    "this client key is not registered there (or may not use "
                                    "this socket)"},
        [SP_LINK_GOOD] = {SALLYPORT_CAUSE_SILENT, "the host is there and does not answer"},
    };
    enum sp_link_state state = sp_link_state(link);
    int status = client_fail(
        err, SALLYPORT_E_NOT_CONNECTED, "no answer from %s in %.1f s: %s. Nothing was sent",
        client->endpoint, (double)client->connect_timeout_ms / 1000, causes[state].text);
    if (err) {
        err->cause = causes[state].cause;
    }
    return status;
}

/* Somebody who speaks the protocol is there, whatever it says. */
static int probe(struct sallyport_client *client, struct sp_link *link,
                 struct sallyport_error *err)
{
    struct sp_buf request, bytes;
    struct sp_error why = {""};
    struct sallyport_reply *reply = NULL;
    sp_buf_init(&request, 256);
    sp_buf_init(&bytes, CLIENT_MESSAGE_MAX_BYTES);
    sp_wire_put_map(&request, 2);
    sp_wire_pair_int(&request, "v", 1);
    sp_wire_pair_str(&request, "op", SP_TEXT("status"));
    sp_status got = sp_link_send(link, sp_buf_text(&request), &why);
    if (!got) {
        got = sp_link_receive(link, sp_link_now() + client->connect_timeout_ms, &bytes, &why);
    }
    sp_buf_done(&request);
    if (got) {
        sp_buf_done(&bytes);
        return got == SP_EBUSY || got == SP_EIO
                   ? not_connected(client, link, err)
                   : client_fail(err, SALLYPORT_E_BAD_REPLY, "%s", why.text);
    }
    int status = reply_read(&bytes, &reply, err);
    sallyport_reply_free(reply);
    return status;
}

int client_connect(struct sallyport_client *client, struct sp_link **ret_link,
                   struct sallyport_error *err)
{
    struct sp_error why = {""};
    struct sp_link *link = client->link;
    client->link = NULL;
    if (link && sp_link_lost(link)) {
        sp_link_close(link);
        link = NULL;
    }
    if (!link) {
        sp_status opened = sp_link_open(client->context, client->endpoint, client->host_z85,
                                        &client->pair, &link, &why);
        int status = opened ? client_fail(err, SALLYPORT_E_SETTINGS, "%s", why.text)
                            : probe(client, link, err);
        if (status) {
            sp_link_close(link);
            return status;
        }
    }
    *ret_link = link;
    return SALLYPORT_OK;
}

/* Whether it is this request's: a host that is too busy to read one refuses it without its id.
 */
bool client_is_answer(const struct sallyport_reply *reply, const char *id)
{
    struct sp_text given = reply_text(reply, "id");
    return !id || (given.ptr ? sp_text_is(given, id) : !sallyport_reply_flag(reply, "ok"));
}

int client_receive(struct sallyport_client *client, struct sp_link *link, uint32_t timeout_ms,
                   struct sallyport_reply **ret_reply, struct sallyport_error *err)
{
    struct sp_error why = {""};
    struct sp_buf bytes;
    sp_buf_init(&bytes, CLIENT_MESSAGE_MAX_BYTES);
    sp_status got = sp_link_receive(link, sp_link_now() + timeout_ms, &bytes, &why);
    if (!got) {
        return reply_read(&bytes, ret_reply, err);
    }
    sp_buf_done(&bytes);
    return client_fail(
        err, got == SP_EBUSY || got == SP_EIO ? SALLYPORT_E_NO_ANSWER : SALLYPORT_E_BAD_REPLY,
        "%s from %s (waiting %.1f s): it may have been carried out", why.text, client->endpoint,
        (double)timeout_ms / 1000);
}

/* One attempt. */
static int attempt(struct sallyport_client *client, struct sp_text request, const char *id,
                   struct sallyport_reply **ret_reply, struct sallyport_error *err)
{
    struct sp_link *link = NULL;
    struct sp_error why = {""};
    struct sallyport_reply *reply = NULL;
    int status = client_connect(client, &link, err);
    if (status) {
        return status;
    }
    status = sp_link_send(link, request, &why)
                 ? client_fail(err, SALLYPORT_E_NO_ANSWER, "%s", why.text)
                 : client_receive(client, link, client->timeout_ms, &reply, err);
    if (!status && !client_is_answer(reply, id)) {
        status = client_fail(err, SALLYPORT_E_BAD_REPLY, "the answer is to another request");
    }
    if (status) {
        sallyport_reply_free(reply);
        sp_link_close(link);
        return status;
    }
    client->link = link;
    *ret_reply = reply;
    return SALLYPORT_OK;
}

int client_exchange(struct sallyport_client *client, struct sp_text request, const char *id,
                    uint32_t attempts, struct sallyport_reply **ret_reply,
                    struct sallyport_error *err)
{
    struct sallyport_reply *reply = NULL;
    struct sallyport_error later;
    int status = attempt(client, request, id, &reply, err);
    /* What the first attempt says stands: that a later one found no host does not undo it. */
    for (uint32_t n = 1; status == SALLYPORT_E_NO_ANSWER && n < attempts; n++) {
        int again = attempt(client, request, id, &reply, &later);
        if (again != SALLYPORT_E_NO_ANSWER && again != SALLYPORT_E_NOT_CONNECTED) {
            status = again;
            if (again && err) {
                *err = later;
            }
        }
    }
    if (!status && id) {
        status = sallyport_reply_check(reply, err);
    }
    if (status) {
        sallyport_reply_free(reply);
        if (err && id) {
            (void)snprintf(err->request_id, sizeof err->request_id, "%s", id);
        }
        return status;
    }
    *ret_reply = reply;
    return SALLYPORT_OK;
}

int sallyport_ask(struct sallyport_client *client, const void *request, size_t request_bytes,
                  struct sallyport_reply **ret_reply, struct sallyport_error *err)
{
    return client_exchange(client, (struct sp_text){request, request_bytes}, NULL, 1, ret_reply,
                           err);
}
