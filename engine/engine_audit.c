/* Records of the audit, and jobs that only write one. docs/audit.md names every field. */
#include "inner.h"

#include <stdlib.h>
#include <string.h>

enum { RECORD_MAX_BYTES = 60 << 10, HASHED_BYTES = 8, LOGGED_PARAMS_MAX = 32 };

void record_begin(struct sp_buf *buf, const char *type)
{
    sp_buf_add_str(buf, "\"type\":\"");
    sp_buf_add_str(buf, type);
    sp_buf_add_byte(buf, '"');
}

static void add_name(struct sp_buf *buf, const char *name)
{
    sp_buf_add_str(buf, ",\"");
    sp_buf_add_str(buf, name);
    sp_buf_add_str(buf, "\":");
}

void record_text(struct sp_buf *buf, const char *name, struct sp_text text)
{
    add_name(buf, name);
    sp_buf_add_json(buf, text);
}

void record_number(struct sp_buf *buf, const char *name, int64_t number)
{
    add_name(buf, name);
    sp_buf_add_number(buf, number);
}

static void add_hex(struct sp_buf *buf, const void *bytes, size_t len)
{
    sp_buf_add_byte(buf, '"');
    sp_buf_add_hex(buf, bytes, len);
    sp_buf_add_byte(buf, '"');
}

void record_hex(struct sp_buf *buf, const char *name, const void *bytes, size_t len)
{
    add_name(buf, name);
    add_hex(buf, bytes, len);
}

static void add_hashed(const struct sp_engine *engine, struct sp_buf *buf, struct sp_text value)
{
    uint8_t digest[SP_HASH_BYTES];
    uint32_t id;
    const uint8_t *key =
        engine->keyring ? sp_keyring_key(engine->keyring, SP_PURPOSE_AUDIT_HASH, &id) : NULL;
    if (!key) {
        sp_buf_add_str(buf, "null"); /* sealed: nothing may be said about it */
        return;
    }
    struct sp_hash hash;
    sp_hash_init(&hash, key);
    sp_hash_part(&hash, value.ptr, value.len);
    sp_hash_done(&hash, digest);
    add_hex(buf, digest, HASHED_BYTES);
}

void record_hashed(const struct sp_engine *engine, struct sp_buf *buf, const char *name,
                   struct sp_text value)
{
    add_name(buf, name);
    add_hashed(engine, buf, value);
}

void record_end(struct sp_buf *buf)
{
    sp_buf_add_byte(buf, '\n');
}

/* What the conditions' reader took the body for; nothing where nobody has read it. */
static void record_body_kind(struct sp_buf *buf, enum sp_body_kind kind)
{
    static const char *const names[] = {[SP_BODY_JSON] = "json",
                                        [SP_BODY_FORM] = "form",
                                        [SP_BODY_OPAQUE] = "opaque",
                                        [SP_BODY_STREAMED] = "streamed"};
    if (kind != SP_BODY_NONE && kind != SP_BODY_UNREAD) {
        record_text(buf, "body_kind", sp_text_of(names[kind]));
    }
}

void record_request(const struct sp_engine *engine, struct sp_buf *buf,
                    const struct sp_request *request)
{
    struct sp_url bare = request->url;
    struct sp_buf path;
    bare.query = NULL;
    bare.n_query = 0;
    sp_buf_init(&path, 3 * SP_URL_MAX_BYTES + 16);
    sp_url_print_target(&bare, &path);
    record_text(buf, "method", sp_text_of(sp_method_name(request->method)));
    if (!request->url.https) {
        record_text(buf, "scheme", SP_TEXT("http"));
    }
    record_text(buf, "host", request->url.host);
    if (request->url.port != (request->url.https ? 443 : 80)) {
        record_number(buf, "port", request->url.port);
    }
    record_text(buf, "path", sp_buf_text(&path));
    sp_buf_done(&path);
    if (request->url.n_query) {
        sp_buf_add_str(buf, ",\"query\":[");
        for (size_t i = 0; i < request->url.n_query && i < LOGGED_PARAMS_MAX; i++) {
            sp_buf_add_str(buf, i ? ",[" : "[");
            sp_buf_add_json(buf, request->url.query[i].name);
            sp_buf_add_byte(buf, ',');
            add_hashed(engine, buf, request->url.query[i].value);
            sp_buf_add_byte(buf, ']');
        }
        sp_buf_add_byte(buf, ']');
        if (request->url.n_query > LOGGED_PARAMS_MAX) {
            record_number(buf, "query_total", (int64_t)request->url.n_query);
        }
    }
    if (request->body_kind != SP_BODY_NONE) {
        if (request->body_kind != SP_BODY_STREAMED) {
            record_hashed(engine, buf, "body", request->body);
        }
        record_body_kind(buf, request->body_kind);
    }
}

/* ---- jobs -----------------------------------------------------------------------------------
 */

static void simple_job_free(struct simple_job *job)
{
    sp_arena_done(&job->arena);
    sp_buf_done(&job->job.records);
    free(job);
}

/* Ends the job. */
static void simple_job_tell(struct simple_job *job, sp_status status, const char *text)
{
    struct sp_error err = {""};
    const char *all_the_same = status ? job->all_the_same : NULL;
    (void)sp_fail(&err, status, "%s%s%s", all_the_same ? all_the_same : "",
                  all_the_same ? ": " : "", text);
    if (job->done) {
        job->done(job->user, status, &err);
    }
    simple_job_free(job);
}

static void on_simple_done(struct sp_job *job)
{
    struct simple_job *simple = (struct simple_job *)job;
    if (job->status == SP_OK && simple->after) {
        simple->after(simple);
    }
    simple_job_tell(simple, job->status, job->err.text);
}

struct simple_job *simple_job_new(struct sp_engine *engine, sp_engine_done done, void *user)
{
    struct simple_job *job = calloc(1, sizeof *job);
    struct sp_error err = {"out of memory"};
    if (!job) {
        if (done) {
            done(user, SP_ENOMEM, &err);
        }
        return NULL;
    }
    job->engine = engine;
    job->done = done;
    job->user = user;
    job->job.done = on_simple_done;
    sp_buf_init(&job->job.records, RECORD_MAX_BYTES);
    sp_arena_init(&job->arena, 8 << 20);
    return job;
}

void simple_job_fail(struct simple_job *job, sp_status status, const char *text)
{
    simple_job_tell(job, status, text);
}

void simple_job_submit(struct simple_job *job)
{
    struct sp_engine *engine = job->engine;
    sp_status status = engine->commit ? sp_commit_submit(engine->commit, &job->job) : SP_EIO;
    if (status) {
        simple_job_fail(job, status,
                        status == SP_EBUSY ? "the queue for writing is full"
                                           : "the audit or the store takes no writes");
    }
}

void record_send(struct sp_engine *engine, struct sp_buf *record)
{
    struct simple_job *job = simple_job_new(engine, NULL, NULL);
    if (job) {
        if (record->failed) { /* half a record is none: say at least that there was one */
            record_begin(&job->job.records, "oversize");
            record_end(&job->job.records);
        } else {
            sp_buf_add_text(&job->job.records, sp_buf_text(record));
        }
        job->job.lazy = true;
        simple_job_submit(job);
    }
}

/* ---- refusals before a token was proven
 * ------------------------------------------------------ */

void sp_engine_note_refusal(struct sp_engine *engine, struct sp_text peer, enum sp_code code)
{
    char name[65];
    copy_name(peer, name, sizeof name);
    for (size_t i = 0; i < engine->n_refusals; i++) {
        struct refusals *r = &engine->refusals[i];
        if (r->code == code && strcmp(r->peer, name) == 0) {
            r->n++;
            return;
        }
    }
    /* The last place is everybody's for whom there was no other. */
    size_t at = engine->n_refusals;
    if (at == REFUSAL_PEERS) {
        at--;
        copy_name(SP_TEXT("(others)"), engine->refusals[at].peer, 65);
        engine->refusals[at].n++;
        return;
    }
    struct refusals *r = &engine->refusals[at];
    copy_name(peer, r->peer, sizeof r->peer);
    r->code = code;
    r->n = 1;
    engine->n_refusals++;
}

void refusals_flush(struct sp_engine *engine)
{
    struct sp_buf record;
    sp_buf_init(&record, RECORD_MAX_BYTES);
    for (size_t i = 0; i < engine->n_refusals; i++) {
        const struct refusals *r = &engine->refusals[i];
        record_begin(&record, "refusals");
        record_text(&record, "peer", sp_text_of(r->peer));
        record_text(&record, "code", sp_text_of(sp_code_name(r->code)));
        record_number(&record, "count", (int64_t)r->n);
        record_end(&record);
    }
    if (engine->n_refusals) {
        record_send(engine, &record);
    }
    engine->n_refusals = 0;
    sp_buf_done(&record);
}
