/* An answer that comes in several messages (docs/protocol.md, "Answers that stream").
 *
 * It has a connection to itself, which the client has back after a proper end. Credit is
 * granted as parts are read, so what waits here is never more than WINDOW parts. */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WINDOW = 32,          /* parts under way */
    SILENCE_MS = 5000,    /* a host says every second that a call lives */
    SMALL_MESSAGE = 1024, /* of a request without a body */
};

struct sallyport_stream {
    struct sallyport_client *client;
    struct sp_link *link; /* NULL: over */
    char id[CLIENT_ID_MAX_BYTES + 1];
    struct sallyport_reply *head, *part;
    bool whole_next, ended; /* the head has the body; nothing more is to come */
    int64_t seq;            /* the next part's */
    uint32_t n_read;        /* parts that credit was not granted for again */
    struct sallyport_error broken;
};

static int name_request(const struct sallyport_stream *stream, int status,
                        struct sallyport_error *err)
{
    if (status && err) {
        (void)snprintf(err->request_id, sizeof err->request_id, "%s", stream->id);
    }
    return status;
}

static int send_call(struct sallyport_stream *stream, const struct sallyport_call *call,
                     struct sallyport_error *err)
{
    struct sp_buf request;
    struct sp_error why = {""};
    sp_buf_init(&request, CLIENT_MESSAGE_MAX_BYTES);
    int status = client_put_call(&request, "proxy", stream->id, call, 2, err);
    if (!status) {
        sp_wire_pair_bool(&request, "stream", true);
        sp_wire_pair_int(&request, "credit", WINDOW);
        status = request.failed
                     ? client_fail(err, SALLYPORT_E_SETTINGS, "the call is too large")
                     : client_connect(stream->client, &stream->link, err);
    }
    if (!status && sp_link_send(stream->link, sp_buf_text(&request), &why)) {
        status = client_fail(err, SALLYPORT_E_NO_ANSWER, "%s", why.text);
    }
    client_wipe(&request);
    return status;
}

/* The next message that says something. */
static int next_message(struct sallyport_stream *stream, uint32_t timeout_ms,
                        struct sallyport_reply **ret_reply, struct sallyport_error *err)
{
    for (;;) {
        struct sallyport_reply *reply = NULL;
        int status = client_receive(stream->client, stream->link, timeout_ms, &reply, err);
        if (!status && !client_is_answer(reply, stream->id)) {
            status = client_fail(err, SALLYPORT_E_BAD_REPLY, "an answer to another request");
        }
        if (!status) {
            status = sallyport_reply_check(reply, err);
        }
        bool sign_of_life = !status && sallyport_reply_number(reply, "seq", -1) >= 0 &&
                            !reply_bytes(reply, "data").ptr &&
                            !sallyport_reply_flag(reply, "end");
        if (status || sign_of_life) {
            sallyport_reply_free(reply);
        }
        if (status) {
            return status;
        }
        if (!sign_of_life) {
            *ret_reply = reply;
            return SALLYPORT_OK;
        }
        timeout_ms = SILENCE_MS;
    }
}

/* The connection is good for another request. */
static void give_back(struct sallyport_stream *stream)
{
    if (!stream->client->link) {
        stream->client->link = stream->link;
    } else {
        sp_link_close(stream->link);
    }
    stream->link = NULL;
}

int sallyport_stream_open(struct sallyport_client *client, const struct sallyport_call *call,
                          struct sallyport_stream **ret_stream, struct sallyport_error *err)
{
    struct sallyport_stream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        return client_fail(err, SALLYPORT_E_MEMORY, "out of memory");
    }
    stream->client = client;
    int status = client_id(call->id, stream->id, err);
    if (!status) {
        status = name_request(stream, send_call(stream, call, err), err);
    }
    if (!status) {
        status = name_request(
            stream, next_message(stream, client->timeout_ms, &stream->head, err), err);
    }
    if (!status) {
        status = reply_expect(
            stream->head, sallyport_reply_flag(stream->head, "stream") ? "head" : "proxy", err);
    }
    if (status) {
        if (status == SALLYPORT_E_REFUSED || status == SALLYPORT_E_OUTCOME_UNKNOWN) {
            give_back(stream);
        }
        sallyport_stream_close(stream);
        return status;
    }
    if (!sallyport_reply_flag(stream->head, "stream")) {
        stream->whole_next = true;
        give_back(stream);
    }
    *ret_stream = stream;
    return SALLYPORT_OK;
}

struct sallyport_reply *sallyport_stream_head(struct sallyport_stream *stream)
{
    return stream->head;
}

static void grant(struct sallyport_stream *stream)
{
    struct sp_buf request;
    if (++stream->n_read < WINDOW / 2) {
        return;
    }
    sp_buf_init(&request, SMALL_MESSAGE);
    sp_wire_put_map(&request, 4);
    sp_wire_pair_int(&request, "v", 1);
    sp_wire_pair_str(&request, "op", SP_TEXT("credit"));
    sp_wire_pair_str(&request, "id", sp_text_of(stream->id));
    sp_wire_pair_int(&request, "credit", stream->n_read);
    /* Where it cannot be sent the host is lost, as the next read will find. */
    (void)sp_link_send(stream->link, sp_buf_text(&request), NULL);
    sp_buf_done(&request);
    stream->n_read = 0;
}

/* What ended it says what it says; that it is a stream that broke off stands above that. */
static int broke(struct sallyport_stream *stream)
{
    sp_link_close(stream->link);
    stream->link = NULL;
    stream->broken.status = SALLYPORT_E_BROKEN;
    return name_request(stream, SALLYPORT_E_BROKEN, &stream->broken);
}

static int read_part(struct sallyport_stream *stream, struct sp_text *ret_data)
{
    sallyport_reply_free(stream->part);
    stream->part = NULL;
    if (next_message(stream, SILENCE_MS, &stream->part, &stream->broken)) {
        return broke(stream);
    }
    struct sp_text data = reply_bytes(stream->part, "data");
    if (sallyport_reply_number(stream->part, "seq", -1) != stream->seq) {
        (void)client_fail(&stream->broken, SALLYPORT_E_BROKEN, "a part is missing");
        return broke(stream);
    }
    if (data.ptr) {
        stream->seq++;
        grant(stream);
    } else {
        stream->ended = true;
        give_back(stream);
    }
    *ret_data = data;
    return SALLYPORT_OK;
}

int sallyport_stream_read(struct sallyport_stream *stream, const void **ret_data,
                          size_t *ret_bytes, struct sallyport_error *err)
{
    struct sp_text data = {NULL, 0};
    int status = stream->broken.status;
    if (stream->whole_next) {
        data = reply_bytes(stream->head, "body");
        stream->whole_next = false;
        stream->ended = true;
    } else if (!stream->ended && !status) {
        status = read_part(stream, &data);
    }
    if (status) {
        if (err) {
            *err = stream->broken;
        }
        return status;
    }
    *ret_data = data.len ? data.ptr : "";
    *ret_bytes = data.len;
    return SALLYPORT_OK;
}

const char *sallyport_stream_trailer(struct sallyport_stream *stream, const char *name)
{
    return stream->ended && stream->part ? reply_pair(stream->part, "trailers", name) : NULL;
}

const char *sallyport_stream_trailer_at(struct sallyport_stream *stream, size_t at,
                                        const char **ret_name)
{
    return stream->ended && stream->part ? reply_pair_at(stream->part, "trailers", at, ret_name)
                                         : NULL;
}

void sallyport_stream_close(struct sallyport_stream *stream)
{
    if (stream) {
        sp_link_close(stream->link); /* the host notices, and breaks off */
        sallyport_reply_free(stream->head);
        sallyport_reply_free(stream->part);
        free(stream);
    }
}
