/* The one secret of the host's own: the key of its certificate authority. A named value of the
 * store: keyring id (4 bytes, least significant first), then the sealed box. */
#include "inner.h"

#include <stdlib.h>
#include <string.h>

enum { RING_BYTES = 4, BOX_MAX_BYTES = 16 << 10 };

static const char place[] = "authority";

sp_status authority_read(struct sp_store *store, const struct sp_keyring *keyring,
                         struct sp_pool *pool, struct sp_secret *ret_pem, struct sp_error *err)
{
    uint8_t value[BOX_MAX_BYTES];
    size_t len = 0;
    uint32_t ring = 0;
    *ret_pem = (struct sp_secret){NULL, NULL, 0};
    sp_status status = sp_store_get(store, place, value, sizeof value, &len, NULL);
    if (status) {
        return status == SP_ENOENT ? SP_OK : sp_fail(err, status, "the authority's key");
    }
    for (unsigned i = 0; i < RING_BYTES && i < len; i++) {
        ring |= (uint32_t)value[i] << (8 * i);
    }
    status = len < RING_BYTES
                 ? SP_ECORRUPT
                 : sp_keyring_unseal(
                       keyring, "meta", sp_text_of(place), 1, ring,
                       (struct sp_text){(const char *)value + RING_BYTES, len - RING_BYTES},
                       pool, ret_pem);
    return status ? sp_fail(err, status,
                            "the authority's key cannot be opened (it was changed, or comes "
                            "from another store)")
                  : SP_OK;
}

struct sp_text sp_engine_authority(const struct sp_engine *engine)
{
    return engine->state == SP_ENGINE_READY && engine->authority.ptr
               ? sp_secret_text(&engine->authority)
               : (struct sp_text){NULL, 0};
}

struct putting {
    struct sp_secret pem;
    struct sp_buf value;
};

static sp_status put_work(struct sp_job *job, struct sp_store *store)
{
    const struct putting *p = ((struct simple_job *)job)->payload;
    uint8_t value[BOX_MAX_BYTES];
    size_t len;
    if (sp_store_get(store, place, value, sizeof value, &len, NULL) != SP_ENOENT) {
        return sp_fail(&job->err, SP_EEXIST, "there is an authority already");
    }
    return sp_store_put(store, place, p->value.ptr, p->value.len, &job->err);
}

static void after_put(struct simple_job *job)
{
    struct putting *p = job->payload;
    if (job->engine->state == SP_ENGINE_READY) {
        job->engine->authority = p->pem;
        p->pem = (struct sp_secret){NULL, NULL, 0};
    }
}

struct put_end {
    struct putting putting;
    sp_engine_done done;
    void *user;
};

static void on_put(void *user, sp_status status, const struct sp_error *err)
{
    struct put_end *end = user;
    end->done(end->user, status, err);
    sp_secret_free(&end->putting.pem);
    sp_buf_done(&end->putting.value);
    free(end);
}

void sp_engine_authority_put(struct sp_engine *engine, struct sp_secret *pem,
                             sp_engine_done done, void *user)
{
    struct sp_error err = {"out of memory"};
    struct sp_buf box;
    uint32_t ring = 0;
    struct put_end *end = calloc(1, sizeof *end);
    if (!end) {
        sp_secret_free(pem);
        done(user, SP_ENOMEM, &err);
        return;
    }
    *end = (struct put_end){.putting = {.pem = *pem}, .done = done, .user = user};
    *pem = (struct sp_secret){NULL, NULL, 0};
    sp_buf_init(&end->putting.value, BOX_MAX_BYTES);
    sp_buf_init(&box, BOX_MAX_BYTES);
    sp_status status = engine->state == SP_ENGINE_READY
                           ? sp_keyring_seal(engine->keyring, "meta", sp_text_of(place), 1,
                                             sp_secret_text(&end->putting.pem), &box, &ring)
                           : SP_ESEALED;
    for (unsigned shift = 0; !status && shift < 32; shift += 8) {
        sp_buf_add_byte(&end->putting.value, (uint8_t)(ring >> shift));
    }
    sp_buf_add_text(&end->putting.value, sp_buf_text(&box));
    sp_buf_done(&box);
    struct simple_job *job = simple_job_new(engine, on_put, end);
    if (!job) {
        return;
    }
    if (status || end->putting.value.failed) {
        simple_job_fail(job, status ? status : SP_ETOOBIG, "the authority cannot be stored");
        return;
    }
    job->payload = &end->putting;
    job->job.work = put_work;
    job->after = after_put;
    record_begin(&job->job.records, "authority");
    record_end(&job->job.records);
    simple_job_submit(job);
}
