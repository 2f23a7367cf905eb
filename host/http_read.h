/* sp_http_reader: requests out of a stream of bytes, one at a time, as HTTP/1.1 has them
 * (RFC 9112). llhttp parses, in its strict mode; in front of it stands a gate for what two
 * readers could take differently, so that nothing which a proxy before us reads as one request
 * is two here, or the other way round (T25). Refused:
 *   - a bare CR or LF, a folded line, a control byte, an empty line before the request line;
 *   - Content-Length twice, as a list, or beside Transfer-Encoding; any Transfer-Encoding but
 * one `chunked`, and any with HTTP/1.0;
 *   - chunk extensions, trailers, chunk sizes that are not plain hexadecimal;
 *   - any target but origin-form (a proxy's: absolute-form and CONNECT instead), no Host or
 * two, a Host that is no authority;
 *   - whatever is over the limits.
 * After a refusal nothing of the connection can be trusted any more: answer and close.
 *
 * The bytes hold a token, so they are kept in wiping memory and wiped when the request ends. No
 * sockets here and no clock; one thread at a time.
 */
#ifndef SP_HTTP_READ_H
#define SP_HTTP_READ_H

#include "canonical.h"
#include "wipe_alloc.h"

#include <llhttp.h>

enum {
    SP_HTTP_HEAD_MAX_BYTES = 64 << 10, /* request line and headers */
    SP_HTTP_HEADERS_MAX = 100,
    SP_HTTP_PASS_ROOM_BYTES = 1 << 20, /* of a body that passes: what may wait to be taken */
};
#define SP_HTTP_UNKNOWN UINT64_MAX

struct sp_http_request { /* borrowed from the reader, until sp_http_next */
    struct sp_text method, target;
    struct sp_text host; /* of the Host header; empty where HTTP/1.0 sent none */
    bool connect;        /* CONNECT: target is HOST:PORT */
    const struct sp_raw_header *headers;
    size_t n_headers;
    struct sp_text body;   /* once WHOLE; .ptr NULL: none, or it was passed on */
    uint64_t body_bytes;   /* how long it will be; SP_HTTP_UNKNOWN: chunks say it */
    bool chunks;           /* the client knows chunks: HTTP/1.1 */
    bool keep_alive;       /* the client would send another on this connection */
    bool expects_continue; /* it waits for 100 before it sends the body */
};

enum sp_http_state {
    SP_HTTP_HEAD,   /* more bytes are needed for the head */
    SP_HTTP_BODY,   /* the head is whole, and more is needed for the body */
    SP_HTTP_WHOLE,  /* the request is whole */
    SP_HTTP_BROKEN, /* reader->status and reader->reason say what to answer before the close */
};

struct sp_http_reader {
    struct sp_http_request request;
    enum sp_http_state state;
    int status;         /* BROKEN: the HTTP status for it */
    const char *reason; /* BROKEN: why, for people; static text */
    bool proxy;         /* the owner's: read what a client sends to a proxy */
    /* the reader's own */
    llhttp_t parser;
    struct sp_raw_header headers[SP_HTTP_HEADERS_MAX];
    struct sp_wipe_buf head, body;
    const char *framing; /* what of the bytes at hand is neither body nor looked at */
    size_t line_len, n_lines, n_framing;
    char last; /* the byte before, of head or framing */
    bool chunked;
    bool passes;                 /* the body is taken while it comes */
    size_t body_max_bytes;       /* of one that does not */
    size_t n_taken;              /* of what is in body */
    uint64_t n_body, n_body_max; /* of one that passes: all that came, and may come */
};

void sp_http_reader_init(struct sp_http_reader *reader, size_t body_max_bytes);
/* Take of bytes what belongs to the request under way; *ret_used says how much that was. It
 * stops at BODY once (so that the caller may refuse the head, or answer 100), at WHOLE and at
 * BROKEN; call it again for the rest. */
enum sp_http_state sp_http_feed(struct sp_http_reader *reader, struct sp_text bytes,
                                size_t *ret_used);
/* Before the first byte of a body is fed: it is wanted whole. BROKEN where it says itself that
 * it is over the limit. */
enum sp_http_state sp_http_gather(struct sp_http_reader *reader);
/* The same, or later, but before it is whole: it is taken while it comes, and may be max_bytes
 * long in all. What came is kept until it is taken, SP_HTTP_PASS_ROOM_BYTES at most: who feeds
 * minds sp_http_body_waiting. */
enum sp_http_state sp_http_pass(struct sp_http_reader *reader, uint64_t max_bytes);
size_t sp_http_body_waiting(const struct sp_http_reader *reader);
size_t sp_http_body_take(struct sp_http_reader *reader, char *bytes, size_t room);
/* Wipe the request and begin the next. */
void sp_http_next(struct sp_http_reader *reader);
void sp_http_reader_done(struct sp_http_reader *reader);
/* How many bytes of requests it holds. */
size_t sp_http_held(const struct sp_http_reader *reader);

#endif
