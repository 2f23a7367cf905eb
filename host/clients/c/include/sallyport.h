/* sallyport.h: calls through a sallyport host, from C and C++.
 *
 * A program holds no API key: it gets a short-lived token from the host (sallyport_issue), or
 * is given one, and makes its HTTP calls through the host (sallyport_proxy). What the host
 * answers, and what may go wrong, is in docs/protocol.md and docs/clients.md of sallyport.
 *
 * THE RULES OF THIS INTERFACE
 *  1. Functions return SALLYPORT_OK or a negative SALLYPORT_E_ number, and then what they say
 *     they give is not touched. `err` may be NULL; else it is filled in on failure alone.
 *  2. Ownership: what a function gives (`ret_`) is the caller's, to be freed by the function
 * that its type names; freeing NULL is fine. What is passed in is borrowed for the call.
 *  3. Texts are NUL-terminated UTF-8; those of a reply are valid until it is freed. Times are
 * in milliseconds.
 *  4. Threads: a client, and a reply, may be used by one thread at a time, whichever it is;
 *     different ones know nothing of each other. Nothing survives a fork.
 *  5. Structures that the caller fills in begin with `size`, which their _INIT sets. They grow
 * at their end alone; an unset member (0, NULL) means what its comment says.
 *  6. The library reads no environment, writes no log and starts no process. A client has
 *     ZeroMQ's own thread for input and output.
 *
 * Compiles as C99, C11, C17 and C++11, with gcc and clang, without a warning.
 */
#ifndef SALLYPORT_H
#define SALLYPORT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SALLYPORT_API __attribute__((visibility("default")))

/* ---- what functions return -------------------------------------------------------------- */

#define SALLYPORT_OK 0
/* Settings, a key file or an argument are missing or wrong. Nothing was sent. */
#define SALLYPORT_E_SETTINGS (-21)
/* No connection came about, so nothing was sent and nothing happened; see `cause`. */
#define SALLYPORT_E_NOT_CONNECTED (-22)
/* It was sent and no answer came: it may have happened. After sallyport_proxy, ask again with
 * the error's request_id: the host makes the call at most once. */
#define SALLYPORT_E_NO_ANSWER (-23)
/* What came is no reply of the protocol. As after NO_ANSWER, it may have happened. */
#define SALLYPORT_E_BAD_REPLY (-24)
/* The host said no; see `code`. */
#define SALLYPORT_E_REFUSED (-25)
/* The host began this call before it crashed, and nobody knows how it ended: look at the
 * upstream, then use a fresh id. */
#define SALLYPORT_E_OUTCOME_UNKNOWN (-26)
#define SALLYPORT_E_MEMORY (-27)
/* A stream ended before its end: what was read is not the whole. `code` says why where the host
 * did (token_revoked, response_blocked, upstream_failed, …); empty: the host was lost. */
#define SALLYPORT_E_BROKEN (-28)

/* Why no connection came about, as well as can be told: a host answers strangers nothing. */
#define SALLYPORT_CAUSE_UNKNOWN 0u
#define SALLYPORT_CAUSE_NO_HOST 1u /* nobody accepts connections at that address */
#define SALLYPORT_CAUSE_HOST_KEY                                                               \
    2u /* somebody does, and broke off the handshake: another host                             \
        * key, or no sallyport */
#define SALLYPORT_CAUSE_CLIENT_KEY 3u /* the host does not know this client's key */
#define SALLYPORT_CAUSE_SILENT 4u     /* the handshake was good; the host does not answer */

struct sallyport_error {
    int32_t status; /* what the function returned */
    uint32_t cause; /* after NOT_CONNECTED */
    /* After REFUSED: the same request may succeed later, in retry_after_ms where that is not 0.
     */
    uint32_t retryable;
    uint64_t retry_after_ms;
    char code[40];       /* after REFUSED: for programs, of the protocol's table of errors */
    char rule[72];       /* the label of the rule that decided or came nearest */
    char hint[512];      /* for people: what to do */
    char text[1024];     /* for people: what failed, whatever the status */
    char request_id[72]; /* of the request, where one was made */
};

/* ---- client ----------------------------------------------------------------------------- */

struct sallyport_client;

struct sallyport_settings {
    uint32_t size;
    uint32_t timeout_ms;         /* for one attempt; unset: 70 s (an upstream is given 60) */
    uint32_t connect_timeout_ms; /* for a new connection; unset: 5 s */
    uint32_t attempts;           /* how often what may be repeated is sent; unset: 2 */
    const char *key_file;        /* of `sallyport client keygen`; must be set */
    const char *dir;             /* the host's state folder, for what is not set below */
    const char *endpoint; /* unset: as dir/sallyport.conf says, or tcp://127.0.0.1:7250 */
    const char *host_key; /* Z85, or a file that holds it; unset: dir/host.pub */
};
#define SALLYPORT_SETTINGS_INIT                                                                \
    {                                                                                          \
        (uint32_t)sizeof(struct sallyport_settings), 0, 0, 0, NULL, NULL, NULL, NULL           \
    }

/* Reads the settings' files. It connects with the first request. */
SALLYPORT_API int sallyport_open(const struct sallyport_settings *settings,
                                 struct sallyport_client **ret_client,
                                 struct sallyport_error *err);
/* Its replies live on. */
SALLYPORT_API void sallyport_close(struct sallyport_client *client);

/* ---- operations --------------------------------------------------------------------------
 *
 * Each sends a request and waits for its reply. Attempts after a time-out send the same bytes
 * under the same request id, and the host makes the call once at most.
 */

struct sallyport_reply;

struct sallyport_pair {
    const char *name, *value;
};

struct sallyport_want {
    uint32_t size;
    uint32_t n_args;
    const char *scope;                 /* its name; must be set */
    const struct sallyport_pair *args; /* its parameters */
    const char *ttl;                   /* "4h"; unset: the longest */
    const char *narrow;                /* rules that restrict the token further */
    const char *bind;                  /* the only CURVE key that may use it, in Z85 */
};
#define SALLYPORT_WANT_INIT                                                                    \
    {                                                                                          \
        (uint32_t)sizeof(struct sallyport_want), 0, NULL, NULL, NULL, NULL, NULL               \
    }
/* A token: its reply has the texts token, root, scope and the numbers expires, expires_in_ms.
 * Never repeated: a second one would be a second token. The JSON scope form goes by
 * sallyport_ask. */
SALLYPORT_API int sallyport_issue(struct sallyport_client *client,
                                  const struct sallyport_want *want,
                                  struct sallyport_reply **ret_reply,
                                  struct sallyport_error *err);

struct sallyport_call {
    uint32_t size;
    uint32_t n_headers;
    const char *token, *method, *url;     /* must be set */
    const struct sallyport_pair *headers; /* in order; a name may come twice */
    const void *body;                     /* unset: none */
    size_t body_bytes;
    const char *key; /* key id, where the scope has two for this host */
    /* The request's id, 1 to 64 bytes; unset: a fresh one. Give your own to repeat a call
     * across processes with one effect at most. */
    const char *id;
};
#define SALLYPORT_CALL_INIT                                                                    \
    {                                                                                          \
        (uint32_t)sizeof(struct sallyport_call), 0, NULL, NULL, NULL, NULL, NULL, 0, NULL,     \
            NULL                                                                               \
    }
/* One HTTP call with the key. OK whatever the upstream's status is (sallyport_reply_status). */
SALLYPORT_API int sallyport_proxy(struct sallyport_client *client,
                                  const struct sallyport_call *call,
                                  struct sallyport_reply **ret_reply,
                                  struct sallyport_error *err);

/* The same call, whose body is read as it comes: server-sent events, large answers. Its memory
 * is a few parts of 64 KiB, however long it is. Sent once: the host does not keep what
 * streamed, and a second time under the same id is the refusal answer_dropped. Gives the stream
 * once the head is there; close it before its client. */
struct sallyport_stream;
SALLYPORT_API int sallyport_stream_open(struct sallyport_client *client,
                                        const struct sallyport_call *call,
                                        struct sallyport_stream **ret_stream,
                                        struct sallyport_error *err);
/* Its status and headers; the stream's own, until it is closed. */
SALLYPORT_API struct sallyport_reply *sallyport_stream_head(struct sallyport_stream *stream);
/* Wait for the next bytes of the body: *ret_data is valid until the next read. *ret_bytes is 0
 * at the end, which is the proper one. SALLYPORT_E_BROKEN otherwise, and then every time. */
SALLYPORT_API int sallyport_stream_read(struct sallyport_stream *stream, const void **ret_data,
                                        size_t *ret_bytes, struct sallyport_error *err);
/* What the upstream said behind the body: the first trailer of that name, or the one at that
 * place. NULL past the last, and for all of them until sallyport_stream_read has told of the
 * end. The stream's own, until it is closed. */
SALLYPORT_API const char *sallyport_stream_trailer(struct sallyport_stream *stream,
                                                   const char *name);
SALLYPORT_API const char *sallyport_stream_trailer_at(struct sallyport_stream *stream,
                                                      size_t at, const char **ret_name);
/* Before its end, too: the host then breaks off the call. */
SALLYPORT_API void sallyport_stream_close(struct sallyport_stream *stream);

/* Whether sallyport_proxy would be allowed; nothing goes upstream. The reply has the flag
 * allowed and the texts code, reason, rule, hint, key. */
SALLYPORT_API int sallyport_check(struct sallyport_client *client,
                                  const struct sallyport_call *call,
                                  struct sallyport_reply **ret_reply,
                                  struct sallyport_error *err);
/* What a token may do: root, principal, scope, scope_text, expires, … */
SALLYPORT_API int sallyport_inspect(struct sallyport_client *client, const char *token,
                                    struct sallyport_reply **ret_reply,
                                    struct sallyport_error *err);
/* Revoke a token and all narrowed from it: by itself (root NULL), or, as its principal, by its
 * root id (token NULL). */
SALLYPORT_API int sallyport_revoke(struct sallyport_client *client, const char *token,
                                   const char *root, struct sallyport_reply **ret_reply,
                                   struct sallyport_error *err);
/* Whether the host is ready: the texts version and state, the flag ready. */
SALLYPORT_API int sallyport_status(struct sallyport_client *client,
                                   struct sallyport_reply **ret_reply,
                                   struct sallyport_error *err);

/* Any operation of the protocol: request is a whole message in MessagePack. Sent once. OK
 * whatever the host answered, a refusal too (sallyport_reply_check). A program that has an id
 * in its message compares it itself. */
SALLYPORT_API int sallyport_ask(struct sallyport_client *client, const void *request,
                                size_t request_bytes, struct sallyport_reply **ret_reply,
                                struct sallyport_error *err);

/* A token that can do less, by a caveat in the scope language; asks nobody. Its text, NUL
 * included, goes to ret_token, which has room bytes: SALLYPORT_TOKEN_BYTES are enough for any.
 */
#define SALLYPORT_TOKEN_BYTES 24577u
SALLYPORT_API int sallyport_narrow(const char *token, const char *caveat, char *ret_token,
                                   size_t room, struct sallyport_error *err);

/* ---- replies ----------------------------------------------------------------------------- */

SALLYPORT_API void sallyport_reply_free(struct sallyport_reply *reply);
/* A field by its name in the protocol. The text, or NULL where there is none of that name and
 * kind; the number, or `missing`; the flag, 0 where there is none. */
SALLYPORT_API const char *sallyport_reply_text(struct sallyport_reply *reply, const char *name);
SALLYPORT_API int64_t sallyport_reply_number(const struct sallyport_reply *reply,
                                             const char *name, int64_t missing);
SALLYPORT_API int sallyport_reply_flag(const struct sallyport_reply *reply, const char *name);
/* Of sallyport_proxy: the upstream's status, its body (never NULL; no NUL behind it), and its
 * headers: the first of that name, or the one at that place; NULL past the last. */
SALLYPORT_API int sallyport_reply_status(const struct sallyport_reply *reply);
SALLYPORT_API const char *sallyport_reply_body(const struct sallyport_reply *reply,
                                               size_t *ret_bytes);
SALLYPORT_API const char *sallyport_reply_header(struct sallyport_reply *reply,
                                                 const char *name);
SALLYPORT_API const char *sallyport_reply_header_at(struct sallyport_reply *reply, size_t at,
                                                    const char **ret_name);
/* OK, or REFUSED and the like with err filled in, as the reply says. */
SALLYPORT_API int sallyport_reply_check(const struct sallyport_reply *reply,
                                        struct sallyport_error *err);
/* The whole message. */
SALLYPORT_API const void *sallyport_reply_bytes(const struct sallyport_reply *reply,
                                                size_t *ret_bytes);

/* "0.1.0" */
SALLYPORT_API const char *sallyport_version(void);

#ifdef __cplusplus
}
#endif

#endif
