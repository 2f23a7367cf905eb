/* Keys that are added, rotated, set, refreshed, removed: each a job, and a record. */
#include "inner.h"

#include <stdlib.h>

struct putting {
    struct key_version *version; /* the job's until it is in the table */
    struct sp_buf hosts, settings, box;
    uint32_t ring;
    enum putting_how { PUT_ADD, PUT_ROTATE, PUT_SET, PUT_REFRESH, PUT_SUCCEED } how;
    struct put_besides besides; /* work NULL: nothing */
    char id[SP_NAME_MAX_BYTES + 1];
};

static struct sp_key_row row_of(const struct putting *p)
{
    const struct sp_key *key = &p->version->public;
    return (struct sp_key_row){.id = key->id,
                               .provider = key->provider,
                               .version = key->version,
                               .since = key->since,
                               .hosts = sp_buf_text(&p->hosts),
                               .settings = sp_buf_text(&p->settings),
                               .secrets = sp_buf_text(&p->box),
                               .ring = p->ring,
                               .created_ms = key->created_ms,
                               .rotated_ms = key->rotated_ms};
}

static sp_status put_work(struct sp_job *job, struct sp_store *store)
{
    const struct putting *p = ((struct simple_job *)job)->payload;
    struct sp_key_row row = row_of(p);
    sp_status status = p->how == PUT_ADD ? sp_store_key_add(store, &row, &job->err)
                                         : sp_store_key_rotate(store, &row, &job->err);
    return status || !p->besides.work ? status
                                      : p->besides.work(p->besides.user, store, &job->err);
}

struct put_end {
    struct sp_engine *engine;
    struct putting *p;
    sp_engine_done done;
    void *user;
};

/* The job's end, good or bad: the version goes into the table, or away. */
static void on_put(void *user, sp_status status, const struct sp_error *err)
{
    struct put_end *end = user;
    struct putting *p = end->p;
    struct sp_error told = *err;
    if (p->version && !status && end->engine->state == SP_ENGINE_READY) {
        status = keys_put(end->engine, p->version);
        if (status) {
            (void)sp_fail(&told, status,
                          "it is stored, and known after the next start: out of memory");
        }
    } else if (p->version) {
        sp_key_unref(end->engine, &p->version->public);
    }
    end->done(end->user, status, &told);
    sp_buf_done(&p->hosts);
    sp_buf_done(&p->settings);
    sp_buf_done(&p->box);
    free(p);
    free(end);
}

static sp_status version_make(struct sp_engine *engine, const struct sp_key_input *input,
                              const struct key_version *old, struct putting *p)
{
    struct key_version *v = version_new();
    if (!v) {
        return SP_ENOMEM;
    }
    p->version = v;
    int64_t now = engine_wall(engine);
    v->public.id = sp_arena_copy(&v->arena, input->id);
    v->public.provider = sp_arena_copy(&v->arena, old ? old->public.provider : input->provider);
    v->public.version = old ? old->public.version + 1 : 1;
    v->public.since = p->how == PUT_REFRESH ? old->public.since : v->public.version;
    v->public.created_ms = old ? old->public.created_ms : now;
    v->public.rotated_ms = p->how == PUT_SET ? old->public.rotated_ms : now;
    /* provider and hosts are fixed when a key is added */
    const struct sp_text *hosts = old ? old->public.hosts : input->hosts;
    size_t n_hosts = old ? old->public.n_hosts : input->n_hosts;
    for (size_t i = 0; i < n_hosts; i++) {
        sp_buf_add_str(&p->hosts, i ? "," : "");
        sp_buf_add_text(&p->hosts, hosts[i]);
    }
    settings_encode(input->settings, input->n_settings, &p->settings);
    if (!v->public.id.ptr || !v->public.provider.ptr || p->hosts.failed || p->settings.failed) {
        return SP_ENOMEM;
    }
    sp_status status = hosts_decode(v, sp_buf_text(&p->hosts));
    status = status ? status : settings_decode(v, sp_buf_text(&p->settings));
    struct sp_secret plain = {NULL, NULL, 0};
    const struct sp_key_row row = row_of(p);
    char name[KEY_BOX_NAME_BYTES];
    status = status ? status
                    : secrets_encode(engine->pool, input->secrets, input->n_secrets, &plain);
    status = status ? status : secrets_decode(v, engine->pool, &plain);
    status = status ? status
                    : sp_keyring_seal(engine->keyring, "keys", key_box_name(&row, name),
                                      row.version, sp_secret_text(&plain), &p->box, &p->ring);
    sp_secret_free(&plain);
    return status;
}

static bool is_id(struct sp_text id)
{
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || c == '.')) {
            return false;
        }
    }
    return id.len > 0 && id.len <= SP_NAME_MAX_BYTES;
}

static const char *put_fault(const struct sp_engine *engine, const struct sp_key_input *input,
                             const struct key_version *old, bool add, sp_status *ret_status)
{
    *ret_status = SP_EINVAL;
    if (engine->state != SP_ENGINE_READY) {
        *ret_status = SP_ESEALED;
        return "the host is sealed";
    }
    if (!is_id(input->id)) {
        return "a key's id is 1 to 64 letters, digits, '-', '_' and '.'";
    }
    if (input->n_hosts == 0 || input->n_hosts > KEY_HOSTS_MAX) {
        return "a key has 1 to 64 hosts";
    }
    if (add && old) {
        *ret_status = SP_EEXIST;
        return "there is a key of that id already (`sallyport key rotate` replaces its "
               "secrets)";
    }
    if (!add && !old) {
        *ret_status = SP_ENOENT;
        return "there is no key of that id";
    }
    return NULL;
}

static void put(struct sp_engine *engine, const struct sp_key_input *input, struct sp_text by,
                enum putting_how how, const struct put_besides *besides, sp_engine_done done,
                void *user)
{
    static const char *const records[] = {"key.add", "key.rotate", "key.set", "key.refresh",
                                          "key.succeed"};
    struct sp_error err = {""};
    struct key_version *old = key_find(engine, input->id);
    struct putting *p = calloc(1, sizeof *p);
    struct put_end *end = calloc(1, sizeof *end);
    sp_status status = p && end ? SP_OK : SP_ENOMEM;
    const char *fault =
        status ? "out of memory" : put_fault(engine, input, old, how == PUT_ADD, &status);
    if (!fault) {
        p->how = how;
        p->besides = besides ? *besides : p->besides;
        sp_buf_init(&p->hosts, 64 << 10);
        sp_buf_init(&p->settings, 256 << 10);
        sp_buf_init(&p->box, 64 << 10);
        status = version_make(engine, input, old, p);
        fault = status ? "the secrets cannot be stored" : NULL;
    }
    for (size_t i = 0; i < input->n_secrets; i++) {
        sp_secret_free(&input->secrets[i].value);
    }
    if (p && end) {
        *end = (struct put_end){engine, p, done, user};
    }
    if (fault) {
        (void)sp_fail(&err, status, "%s", fault);
        if (p && end) {
            on_put(end, status, &err);
        } else {
            free(p);
            free(end);
            done(user, status, &err);
        }
        return;
    }
    struct simple_job *job = simple_job_new(engine, on_put, end);
    if (job) {
        job->payload = p;
        job->job.work = put_work;
        record_begin(&job->job.records, records[how]);
        record_text(&job->job.records, "key", p->version->public.id);
        record_text(&job->job.records, "provider", p->version->public.provider);
        record_number(&job->job.records, "key_version", p->version->public.version);
        record_text(&job->job.records, "hosts", sp_buf_text(&p->hosts));
        record_text(&job->job.records, how >= PUT_REFRESH ? "lease" : "by", by);
        record_end(&job->job.records);
        simple_job_submit(job);
    }
}

void sp_engine_key_add(struct sp_engine *engine, const struct sp_key_input *input,
                       struct sp_text by, sp_engine_done done, void *user)
{
    put(engine, input, by, PUT_ADD, NULL, done, user);
}

void sp_engine_key_rotate(struct sp_engine *engine, const struct sp_key_input *input,
                          struct sp_text by, sp_engine_done done, void *user)
{
    put(engine, input, by, PUT_ROTATE, NULL, done, user);
}

void sp_engine_key_set(struct sp_engine *engine, const struct sp_key_input *input,
                       struct sp_text by, sp_engine_done done, void *user)
{
    put(engine, input, by, PUT_SET, NULL, done, user);
}

void sp_engine_key_refresh(struct sp_engine *engine, const struct sp_key_input *input,
                           struct sp_text lease, sp_engine_done done, void *user)
{
    put(engine, input, lease, PUT_REFRESH, NULL, done, user);
}

void key_succeed(struct sp_engine *engine, const struct sp_key_input *input,
                 const struct put_besides *besides, sp_engine_done done, void *user)
{
    put(engine, input, besides->lease, PUT_SUCCEED, besides, done, user);
}

static sp_status remove_work(struct sp_job *job, struct sp_store *store)
{
    const struct sp_text *id = ((struct simple_job *)job)->payload;
    return sp_store_key_remove(store, *id, &job->err);
}

static void after_remove(struct simple_job *job)
{
    keys_drop(job->engine, *(const struct sp_text *)job->payload);
}

static struct simple_job *id_job(struct sp_engine *engine, struct sp_text id,
                                 const char *record, struct sp_text by, sp_engine_done done,
                                 void *user)
{
    struct simple_job *job = simple_job_new(engine, done, user);
    struct sp_text *copy = job ? sp_arena_alloc(&job->arena, sizeof *copy) : NULL;
    if (copy) {
        *copy = sp_arena_copy(&job->arena, id);
        job->payload = copy;
    }
    if (job && (!copy || !copy->ptr)) {
        simple_job_fail(job, SP_ENOMEM, "out of memory");
        return NULL;
    }
    if (job) {
        record_begin(&job->job.records, record);
        record_text(&job->job.records, "key", id);
        record_text(&job->job.records, "by", by);
        record_end(&job->job.records);
    }
    return job;
}

void sp_engine_key_remove(struct sp_engine *engine, struct sp_text id, struct sp_text by,
                          sp_engine_done done, void *user)
{
    struct simple_job *job = id_job(engine, id, "key.remove", by, done, user);
    if (job) {
        job->job.work = remove_work;
        job->after = after_remove;
        simple_job_submit(job);
    }
}

void sp_engine_key_tested(struct sp_engine *engine, struct sp_text id, struct sp_text by,
                          sp_engine_done done, void *user)
{
    struct simple_job *job = id_job(engine, id, "key.test", by, done, user);
    if (!job) {
        return;
    }
    if (engine->state != SP_ENGINE_READY || !key_find(engine, id)) {
        bool sealed = engine->state != SP_ENGINE_READY;
        simple_job_fail(job, sealed ? SP_ESEALED : SP_ENOENT,
                        sealed ? "the host is sealed" : "there is no key of that id");
        return;
    }
    simple_job_submit(job);
}
