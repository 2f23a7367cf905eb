/* The insides of libsallyport: what its files know of each other. */
#ifndef SP_CLIENT_CLIENT_H
#define SP_CLIENT_CLIENT_H

#include "arena.h"
#include "client_link.h"
#include "wire.h"

#include "include/sallyport.h"

enum {
    CLIENT_MESSAGE_MAX_BYTES = 64 << 20,
    CLIENT_ID_MAX_BYTES = 64,
    CLIENT_ENDPOINT_BYTES = 512,
};

struct sallyport_client {
    void *context; /* ZeroMQ's */
    char endpoint[CLIENT_ENDPOINT_BYTES];
    char host_z85[SP_CURVE_Z85_BYTES + 1];
    struct sp_curve_pair pair;
    uint32_t timeout_ms, connect_timeout_ms, attempts;
    struct sp_link *link; /* the one that answered last; NULL: none */
};

struct sallyport_reply {
    struct sp_buf bytes;
    struct sp_arena arena;
    struct sp_wire_value map;
};

/* settings.c: endpoint, host key and pair from what is given and from the state folder. */
int client_settings(struct sallyport_client *client, const struct sallyport_settings *settings,
                    struct sallyport_error *err);

/* Fill in err and return its status. */
int client_fail(struct sallyport_error *err, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ask.c: a link whose host has answered `status`: the client's own, which it then no longer
 * has, or a new one. */
int client_connect(struct sallyport_client *client, struct sp_link **ret_link,
                   struct sallyport_error *err);
/* Send a request that has this id, up to `attempts` times, and give the reply if it is no
 * refusal.
 */
int client_exchange(struct sallyport_client *client, struct sp_text request, const char *id,
                    uint32_t attempts, struct sallyport_reply **ret_reply,
                    struct sallyport_error *err);
/* The caller's id, or a fresh one. */
int client_id(const char *given, char ret_id[CLIENT_ID_MAX_BYTES + 1],
              struct sallyport_error *err);

/* request.c: a proxy, or a check, whose map has n_more pairs yet to come. */
int client_put_call(struct sp_buf *request, const char *op, const char *id,
                    const struct sallyport_call *call, size_t n_more,
                    struct sallyport_error *err);

/* A buffer that held a token, or a body. */
void client_wipe(struct sp_buf *request);

/* ask.c: wait that long for a reply; wiped and freed where it is none. */
int client_receive(struct sallyport_client *client, struct sp_link *link, uint32_t timeout_ms,
                   struct sallyport_reply **ret_reply, struct sallyport_error *err);
/* Whether the reply is to the request of that id. */
bool client_is_answer(const struct sallyport_reply *reply, const char *id);

/* reply.c: that the fields which the protocol promises of this operation are there. */
int reply_expect(const struct sallyport_reply *reply, const char *op,
                 struct sallyport_error *err);

/* reply.c: takes the bytes over, whatever comes of it. */
int reply_read(struct sp_buf *bytes, struct sallyport_reply **ret_reply,
               struct sallyport_error *err);
/* The bytes of a bin field, the text of a str; .ptr NULL: there is none. */
struct sp_text reply_bytes(const struct sallyport_reply *reply, const char *name);
struct sp_text reply_text(const struct sallyport_reply *reply, const char *name);
/* In a field of pairs: the first value of that name, or the pair at that place; NULL: none. */
const char *reply_pair(struct sallyport_reply *reply, const char *field, const char *name);
const char *reply_pair_at(struct sallyport_reply *reply, const char *field, size_t at,
                          const char **ret_name);

#endif
