/* sp_http_call: from a request of the HTTP front door to what the one function of every front
 * end takes: a token, an upstream path, and the headers that are the client's to send.
 *
 * Routes: a listener is prefixed (/PROVIDER/…), or one provider's, or by-token (the token's
 * scope names one provider), never mixed. The path behind the prefix goes on byte for byte.
 *
 * The token stands where the client puts its API key: Authorization with Bearer or token
 * (any case), Basic (as user name or as password), or X-Api-Key. Exactly one of these, once; a
 * proxy takes what Proxy-Authorization has, and where that came looks nowhere else;
 * it may wear a disguise (engine/token.h). Whatever was in these places stays here.
 *
 * What a client's library or a proxy before us adds by itself is left out (T26): Host, what
 * Connection names, hop-by-hop, Proxy-*, Cookie, forwarding headers, Accept-Encoding, Expect.
 * What only somebody sends who wants another request than the line says (method and URL
 * overrides) stays in, and sp_canonical refuses it by name.
 */
#ifndef SP_HTTP_CALL_H
#define SP_HTTP_CALL_H

#include "engine.h"
#include "http_read.h"

enum sp_http_mode {
    SP_HTTP_PREFIXED,
    SP_HTTP_PROVIDER,
    SP_HTTP_TOKEN,
    SP_HTTP_FORWARD, /* a proxy: the target names the host */
    SP_HTTP_HEALTH,  /* no calls: what monitors ask (ops_health.c) */
};

struct sp_http_route { /* of a listener */
    enum sp_http_mode mode;
    struct sp_text provider; /* with PROVIDER */
};

struct sp_http_call {
    struct sp_text token;    /* in the request, or in basic */
    struct sp_text provider; /* empty: the token's scope says */
    struct sp_text prefix;   /* of the path, as it came: "/stripe" or "" */
    struct sp_text target;   /* the rest, beginning with '/' */
    struct sp_text key;      /* Sallyport-Key: which of two keys; else empty */
    struct sp_raw_header *headers;
    size_t n_headers;
    unsigned char *basic; /* user:password, decoded; wiped by sp_http_call_wipe */
    size_t basic_len;
};

/* SP_CODE_OK, or why not: TOKEN_INVALID where no token came, NOT_FOUND where the route leads
 * nowhere, BAD_REQUEST. Only the head is looked at. The call borrows from request and arena. */
void sp_http_call_read(struct sp_arena *arena, const struct sp_http_route *route,
                       const struct sp_http_request *request,
                       struct sp_text proxy_authorization /* of a tunnel's CONNECT */,
                       struct sp_http_call *ret_call, struct sp_decision *ret_decision);
/* Whether its client reads trailers, and says so (RFC 9110 section 10.1.4). */
bool sp_http_takes_trailers(const struct sp_http_request *request);
void sp_http_call_wipe(struct sp_http_call *call);

/* "https://HOST" and the target: the URL to canonicalise; .ptr NULL out of memory. */
struct sp_text sp_http_call_url(struct sp_arena *arena, const struct sp_http_call *call,
                                struct sp_text host);

#endif
