/* worker_frames: what the host and a worker say to each other over their socket.
 *
 * A frame is its length (4 bytes, little-endian, of what follows) and one MessagePack map.
 *
 *   to the worker    {do:"load"}                              once, first
 *                    {do:"check"|"plan", id, version, settings:[[name, value]…],
 *                     secrets:[name…]}
 *                    {do:"permissions", …, reaches:[[methods, host, path]…]}
 *                    {do:"renew"|"revoke"|"rotate"|"finish", …, lease, permissions:[word…]}
 *                    {answer:status, http_status, body}        to an http of the worker's
 *   from the worker  {log:level, text}                        any number before the answer
 *                    {http:[method, url, body], headers:[[kind, name, value]…],
 *                     placements:[…], captures:[[pointer, name, flags]…],
 *                     jwts:[[algorithm, name, key, issuer, subject, audience, life]…]}
 *                                                             during renew and revoke
 *                    {status, reason}                         status < 0: it failed
 *                    {status:0, manifest:[id, version, description], hosts:[…],
 *                     request_headers:[…], fields:[[type, flags, charset, min, max, name,
 *                     description, fallback, derives, [[prefix, label]…]]…],
 *                     actions:[[flags, name, method, path, [[name, type]…]]…],
 *                     leases, rotates}               to load; the last two are 0 or 1
 *                    {status:0, hosts:[…]}                    to check
 *                    {status:0, placements:[[place, flags, name, prefix, template]…],
 *                     headers:[[kind, name, value]…],
 *                     signatures:[[algorithm, flags, secret, key_prefix, canonical, message,
 *                     [derive…], [[place, name, template]…]]…]}         to plan: one or none
 *                    {status:0, permissions:[…]}              to permissions
 *                    {status:0, life}                         to renew, revoke, rotate and
 * finish
 *
 * Numbers are those of the plugin ABI. Texts are str or bin. Both sides come from one build, so
 * there is no version. */
#ifndef WORKER_FRAMES_H
#define WORKER_FRAMES_H

#include "plugin_host.h"
#include "wire.h"

enum {
    WORKER_FRAME_MAX_BYTES = 16 << 20,
    WORKER_SOCKET = 3, /* the worker's descriptors */
    WORKER_LIBRARY = 4,
    WORKER_LOGS_MAX = 256, /* log frames before an answer */
};

/* A frame in a buffer: begin it, put one map, end it. */
void worker_frame_begin(struct sp_buf *buf);
void worker_frame_end(struct sp_buf *buf);
/* The first whole frame of the bytes: its map in *ret_map, and how many bytes it took. SP_OK,
 * SP_EBUSY (more bytes are needed), SP_ETOOBIG. */
sp_status worker_frame_cut(struct sp_text bytes, struct sp_text *ret_map, size_t *ret_taken);

/* ---- the worker's side ---- */

enum worker_question {
    WORKER_LOAD,
    WORKER_CHECK,
    WORKER_PLAN,
    WORKER_PERMISSIONS,
    WORKER_RENEW,
    WORKER_REVOKE,
    WORKER_ROTATE,
    WORKER_FINISH,
    WORKER_QUESTIONS,
};
struct worker_asked {
    enum worker_question question;
    struct sp_key_view key;         /* not for load */
    const struct sp_reach *reaches; /* permissions */
    size_t n_reaches;
    struct sp_text lease;        /* renew, revoke */
    const struct sp_text *words; /* renew, revoke: permissions */
    size_t n_words;
};
/* What was read is in the arena, and borrows from the map. */
sp_status worker_read_question(struct sp_arena *arena, struct sp_text map,
                               struct worker_asked *ret_asked, struct sp_error *err);
void worker_put_log(struct sp_buf *buf, unsigned level, struct sp_text text);
void worker_put_failure(struct sp_buf *buf, sp_status status, struct sp_text reason);
void worker_put_manifest(struct sp_buf *buf, const struct sp_manifest *manifest);
void worker_put_hosts(struct sp_buf *buf, const struct sp_text *hosts, size_t n);
void worker_put_plan(struct sp_buf *buf, const struct sp_plan *plan);
void worker_put_permissions(struct sp_buf *buf, const struct sp_text *words, size_t n);
void worker_put_life(struct sp_buf *buf, uint64_t life_ms);
void worker_put_http(struct sp_buf *buf, const struct sp_hook_request *request);
/* What the host answered to it; SP_EINVAL where it has not the form above. */
sp_status worker_read_answer(struct sp_arena *arena, struct sp_text map,
                             struct sp_hook_answer *ret_answer, struct sp_error *err);

/* ---- the host's side ---- */

void worker_put_question(struct sp_buf *buf, const struct worker_asked *asked);
void worker_put_answer(struct sp_buf *buf, const struct sp_hook_answer *answer);

struct worker_said {
    bool is_log;
    bool is_http; /* answer holds it, for worker_replay_http */
    unsigned level;
    struct sp_text text; /* of a log */
    sp_status status;    /* of an answer */
    struct sp_text reason;
    struct sp_wire_value answer; /* for replay.c */
};
sp_status worker_read_said(struct sp_arena *arena, struct sp_text map,
                           struct worker_said *ret_said, struct sp_error *err);

/* replay.c: push what an answer holds through the host's own functions; the call is the hook
 * that was begun with sp_hook_begin. SP_EINVAL where it has not the form above; what was pushed
 * wrongly is in the hook's own failure. */
sp_status worker_replay(struct sp_plugin_host *host, uint64_t call,
                        enum worker_question question, struct sp_arena *arena,
                        const struct sp_wire_value *answer, struct sp_error *err);

/* A request that a hook of the worker's makes: taken as the plugin's own would be. What breaks
 * the rules is in the hook's failure; SP_EINVAL where it has not the form above. */
sp_status worker_replay_http(struct sp_plugin_host *host, uint64_t call, struct sp_arena *arena,
                             const struct sp_wire_value *said,
                             struct sp_hook_request *ret_request, struct sp_error *err);
/* The life that renew answered; false where it has not the form. */
bool worker_read_life(const struct sp_wire_value *answer, uint64_t *ret_life_ms);

#endif
