/* sp_egress: the way out. Puts the key into its place and sends the request with libcurl, on
 * the host's event loop; a slow upstream costs a slot, not a thread.
 *
 * One multi handle per key version, so connections are never shared between keys; libcurl's
 * socket interface on libuv. What goes out is built anew from the canonical request: origin
 * and target from its URL, headers as passed, body byte for byte; fixed headers of the plan
 * replace a client's, placements come last. Never followed, never read: redirects, proxies,
 * netrc, environment, SSLKEYLOGFILE. Addresses are checked when a socket is opened and again
 * before a request is written. Everything of libcurl's that held a secret is wiped on free
 * (sp_egress_global). Loop thread only.
 */
#ifndef SP_EGRESS_H
#define SP_EGRESS_H

#include "canonical.h"
#include "engine.h"
#include "provider.h"

#include <uv.h>

struct sp_egress;

enum { EGRESS_STREAM_BYTES = 256 << 10 };

/* Once per process, before anything else touches libcurl: curl_global_init_mem with an
 * allocator that wipes what it frees. */
sp_status sp_egress_global(struct sp_error *err);

struct sp_egress_config {
    uv_loop_t *loop;
    uint64_t connect_ms;     /* 5 s */
    uint64_t total_ms;       /* 60 s: from start to the last byte; of an upload, from its end */
    uint64_t stream_idle_ms; /* 5 min: of what streams, either way, without a byte */
    size_t response_max_bytes; /* 8 MiB */
    size_t header_max_bytes;   /* 64 KiB of response headers */
    size_t slots;              /* requests in flight, over all keys: 256 */
    size_t slots_per_key;      /* 64 */
    const char *ca_file;       /* NULL: the system's */
    const uint16_t *own_ports; /* our own listeners, never an upstream */
    size_t n_own_ports;
};
sp_status sp_egress_new(const struct sp_egress_config *config, struct sp_egress **ret_egress,
                        struct sp_error *err);
/* Cancels what is in flight (callbacks run with SP_CODE_SHUTTING_DOWN) and frees. */
void sp_egress_free(struct sp_egress *egress);

struct sp_reply {
    enum sp_code code; /* OK: upstream answered, whatever its status */
    char reason[256];  /* else: what failed; never a secret */
    bool held_key;     /* it was blocked since the key was in it */
    bool sent;         /* at least the request line may have reached the upstream */
    int http_status;
    const struct sp_header *headers; /* lower-case names; hop-by-hop ones left out */
    size_t n_headers;
    struct sp_text body;
    const struct sp_header *trailers; /* at its end: those that a client may have */
    size_t n_trailers;
    uint64_t upstream_us;
    bool streamed; /* it went by sp_send.stream; with another code than OK: not all of it */
    uint64_t streamed_bytes;
    uint64_t sent_bytes; /* of the request's body, handed over */
};
typedef void (*sp_egress_done)(void *user, const struct sp_reply *reply);

/* An answer handed on while it comes: server-sent events from their head on, any other once it
 * is over EGRESS_STREAM_BYTES. It is searched as it goes (sp_guard_stream), response_max_bytes
 * and total_ms are not for it. The callbacks come from inside of libcurl, or of
 * sp_egress_resume: they must call nothing of egress. */
enum sp_stream {
    SP_STREAM_MORE,
    SP_STREAM_WAIT, /* no more, please, until sp_egress_resume */
    SP_STREAM_GONE, /* nobody wants it: the transfer ends */
};
struct sp_egress_stream {
    /* The head is there; reply->body is empty. False: collect the answer after all. */
    bool (*head)(void *user, const struct sp_reply *reply);
    enum sp_stream (*data)(void *user, struct sp_text bytes);
};

/* A request's body handed over while it comes. */
enum sp_upload {
    SP_UPLOAD_MORE,  /* here is a piece */
    SP_UPLOAD_WAIT,  /* none yet: sp_egress_upload_on says when */
    SP_UPLOAD_END,   /* that was all */
    SP_UPLOAD_BROKEN /* the rest will not come: the transfer ends */
};
#define SP_UPLOAD_UNKNOWN UINT64_MAX
struct sp_egress_upload {
    /* At most room bytes. It comes from inside of libcurl, and must call nothing of egress. */
    enum sp_upload (*pull)(void *user, char *bytes, size_t room, size_t *ret_n);
};

struct sp_send {
    const struct sp_key *key;         /* the caller's reference: must live until done */
    const struct sp_plan *plan;       /* must live until done */
    const struct sp_request *request; /* must live until done */
    const struct sp_header *headers;  /* of sp_headers_pass */
    size_t n_headers;
    const struct sp_egress_stream *stream; /* NULL: the answer comes whole */
    bool refuses_events;                   /* an answer of server-sent events is blocked */
    bool answer_is_secret; /* it may bring a credential: no byte of it is left in memory */
    const struct sp_egress_upload *upload; /* NULL: the body is the request's */
    uint64_t upload_bytes;                 /* with it; SP_UPLOAD_UNKNOWN: it goes in chunks */
    /* The caller searches the body itself (sp_guard), once it has taken out what may be there:
     * a secret that the upstream gives again. For an answer that comes whole. */
    bool leaves_body;
};
/* SP_EBUSY: no slot (done is not called). Else done is called exactly once, later. *ret_id
 * names the transfer for sp_egress_cancel. */
sp_status sp_egress_send(struct sp_egress *egress, const struct sp_send *send,
                         sp_egress_done done, void *user, uint64_t *ret_id,
                         struct sp_error *err);
/* Abort (token revoked or suspended, client gone); done is called with code, later. Unknown ids
 * are fine. */
void sp_egress_cancel(struct sp_egress *egress, uint64_t id, enum sp_code code);
/* After SP_STREAM_WAIT: go on. Not from inside of a callback; unknown ids are fine. */
void sp_egress_resume(struct sp_egress *egress, uint64_t id);
/* After SP_UPLOAD_WAIT: there is more, or its end. As sp_egress_resume. */
void sp_egress_upload_on(struct sp_egress *egress, uint64_t id);
/* A key version was replaced or removed: close its idle connections, forget it when idle. */
void sp_egress_forget(struct sp_egress *egress, struct sp_text key_id);
size_t sp_egress_in_flight(const struct sp_egress *egress);

/* ---- settings of a key that are the host's, not the plugin's --------------------------------
 */

/* upstream = http://localhost:12111 or https://localhost:8443: requests for the key's hosts are
 *   delivered there instead. Only names and addresses of loopback; http only here.
 * ca_file  = PEM file of the authorities that may sign this upstream's certificate.
 * network  = CIDR list of private networks that this key's hosts may resolve to.
 * Checked when a key is added: SP_EINVAL with err. Names the settings that are the host's. */
bool sp_egress_is_setting(struct sp_text name);
sp_status sp_egress_check_settings(const struct sp_key_setting *settings, size_t n_settings,
                                   struct sp_error *err);

#endif
