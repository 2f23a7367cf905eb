/* The insides of egress, shared by egress.c (slots, sending, ending), egress_lane.c (one multi
 * handle per key version, on the loop), egress_easy.c (a request as libcurl's options) and
 * egress_upload.c (a body as it goes out) and egress_reply.c (an answer as it comes in, and
 * what a client gets of it).
 */
#ifndef SP_EGRESS_INNER_H
#define SP_EGRESS_INNER_H

#include "egress.h"
#include "guard.h"
#include "upstream.h"
#include "wipe_alloc.h"

#include <curl/curl.h>

enum {
    EGRESS_IDLE_MS = 60 * 1000,         /* then a connection is closed */
    EGRESS_CONNECTION_LIFE_S = 10 * 60, /* then even a busy one, so that DNS is asked again */
    EGRESS_REPLY_HEADERS_MAX = 256,
    EGRESS_TRAILERS_MAX = 32,
    EGRESS_TRAILERS_MAX_BYTES = 8 << 10,
    EGRESS_STREAM_SWEEP_MS = 500,
    EGRESS_SPARE_MAX = 64,
};

/* A lane: everything that the transfers of one key version share, and nobody else does. */
struct lane {
    struct sp_egress *egress;
    struct lane *next;
    char *key_id;
    uint32_t version;
    struct sp_upstream upstream;
    struct sp_address_rules rules;
    CURLM *multi;
    CURL *spare[EGRESS_SPARE_MAX]; /* set up for this lane, and for no transfer */
    size_t n_spare;
    struct curl_slist *connect_to; /* where its upstream is redirected; else NULL */
    uv_timer_t curl_timer;         /* libcurl's next timeout */
    uv_timer_t idle_timer;         /* runs while no transfer does */
    size_t in_flight;
    unsigned n_closing; /* handles that libuv still holds */
    bool reaping;       /* ended transfers are being handed out: do not free */
    bool in_timer;      /* libcurl's timeout is being served */
    bool forgotten;
};

/* An answer as it comes in. */
struct answer {
    struct sp_wipe_buf head; /* every header line of every response, as they came */
    size_t final_start;      /* where the last status line begins in head */
    size_t final_end;        /* behind the blank line: trailers follow */
    struct sp_wipe_buf body; /* where it streams: what is held back of it */
    struct sp_guard *guard;  /* where it streams; else one is made at the end */
    struct sp_guard_stream *search;
    uint64_t n_body, n_streamed, last_ms;
    bool streams, collects; /* it streams; the receiver wants it whole */
    bool waits;             /* the receiver asked for a pause */
    bool paused;            /* and libcurl keeps what came since */
    bool ended;             /* the final response's head is whole: what comes are trailers */
};

/* A body as it goes out. */
struct upload {
    uint64_t n_bytes, last_ms, over_ms;
    bool waits; /* the sender had nothing more yet */
    bool due;   /* now it has, but the upstream is heard first */
    bool over;  /* all of it was handed over */
};

struct transfer {
    uint64_t id; /* 0: the slot is free */
    struct lane *lane;
    CURL *easy;
    struct curl_slist *headers;
    struct sp_send send;
    sp_egress_done done;
    void *user;
    struct answer answer;
    struct upload upload;
    enum sp_code stopped;    /* not OK: why we ended it */
    const char *stopped_why; /* static */
    bool held_key;           /* the guard found the key */
    const char *refused;     /* the last address that was refused: why; static */
    unsigned n_tries;        /* sockets that were opened */
    bool sent;
    struct transfer *next_cancelled;
};

struct sp_egress {
    struct sp_egress_config config; /* with copies of its own of what it points to */
    char *ca_file;
    uint16_t *own_ports;
    struct lane *lanes;
    struct transfer *slots;
    size_t in_flight;
    uint64_t last_id;
    struct transfer *cancelled; /* their callbacks are due */
    struct watch **watches;     /* of all sockets, the idle ones too, by descriptor */
    size_t n_watches;
    uv_timer_t cancel_timer;
    uv_timer_t stream_timer; /* runs while an answer streams */
    unsigned n_closing;
    bool closing;
};

/* ---- egress_lane.c --------------------------------------------------------------------------
 */

/* The lane of that key version, made where there is none. */
sp_status lane_find(struct sp_egress *egress, const struct sp_key *key, struct lane **ret_lane,
                    struct sp_error *err);
/* A transfer was added, or left it. */
void lane_enter(struct lane *lane);
void lane_leave(struct lane *lane);
void lane_free(struct lane *lane);
/* A socket that libcurl opens, and is to close by lane_on_close: watched for as long as it is
 * open, over all the transfers that it carries. -1: it cannot be watched. */
int lane_watch(struct lane *lane, curl_socket_t fd);
/* CURLOPT_CLOSESOCKETFUNCTION; user is the lane. */
int lane_on_close(void *user, curl_socket_t fd);
/* Whether its upstream has said something that is still to be read. */
bool lane_is_told(const struct transfer *transfer);

/* ---- egress_easy.c --------------------------------------------------------------------------
 */

/* transfer->easy, ready for the lane's multi: a spare one, or a new one. SP_EINVAL: the request
 * cannot be sent so. */
sp_status easy_new(struct transfer *transfer, struct sp_error *err);
/* reusable: it becomes a spare one. libcurl keeps the buffer that it received into, so never
 * after an answer that may have brought a secret. */
void easy_free(struct transfer *transfer, bool reusable);

/* ---- egress_upload.c ------------------------------------------------------------------------
 */

/* The options for a body that is handed over while it comes; false: out of memory. */
bool upload_set(struct transfer *transfer);
/* Let libcurl ask again, where it was told to wait: once it has read what there is to read. */
void upload_resume(struct transfer *transfer);
/* Whether the upstream takes too long over it, or over the answer to it. */
bool upload_is_late(const struct transfer *transfer, uint64_t now_ms);

/* ---- egress_headers.c -----------------------------------------------------------------------
 */

/* How many headers the final response has, or -1 where they are malformed or too many. */
int headers_parse(struct answer *answer, struct sp_header *headers);
/* Of these, in place, those that a client may have. */
size_t headers_pick(const struct transfer *transfer, int http_status, struct sp_header *headers,
                    size_t n);
/* The trailers that a client may have: EGRESS_TRAILERS_MAX at most, and none where they are
 * malformed or too many. */
size_t headers_pick_trailers(struct answer *answer, struct sp_header *trailers);

/* ---- egress_reply.c -------------------------------------------------------------------------
 */

void answer_init(struct answer *answer, const struct sp_egress_config *config);
void answer_done(struct answer *answer);
/* CURLOPT_HEADERFUNCTION and CURLOPT_WRITEFUNCTION; user is the transfer. */
size_t answer_on_header(char *bytes, size_t size, size_t n, void *user);
size_t answer_on_body(char *bytes, size_t size, size_t n, void *user);
/* Whether all of it came, whatever became of the request: it has to have a length. */
bool answer_is_whole(const struct transfer *transfer);
/* Hand out what came, or why nothing did. Calls transfer->done. True: all of it came, and the
 * key was not in it. */
bool answer_deliver(struct transfer *transfer, CURLcode result);

/* ---- egress.c -------------------------------------------------------------------------------
 */

/* An answer streams, or a body: from now on see to those that fall silent. */
void streams_watch(struct sp_egress *egress);
/* NULL: it is over. */
struct transfer *transfer_find(struct sp_egress *egress, uint64_t id);
/* libcurl is through with it. The slot is free when this returns. */
void transfer_end(struct transfer *transfer, CURLcode result);

#endif
