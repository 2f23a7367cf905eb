/* Unseal and seal: when plaintext comes into memory, and that it goes again. */
#include "inner.h"

#include <stdlib.h>

/* ---- unseal ---------------------------------------------------------------------------------
 */

/* One unsealing; what it opened is its own until the engine takes it over. */
struct opening {
    struct sp_engine *engine;
    sp_engine_done done;
    void *user;
    struct sp_secret unseal;
    struct sp_keyring *keyring;
    struct key_list keys;
    struct opened_lease *leases;
    struct sp_secret authority;
};

/* On the commit thread, as Argon2id takes a second. */
static sp_status unseal_work(struct sp_job *job, struct sp_store *store)
{
    struct opening *o = ((struct simple_job *)job)->payload;
    struct sp_engine *engine = o->engine;
    uint32_t id;
    if (job->records.failed) { /* it would fail behind this, with the audit signing already */
        return sp_fail(&job->err, SP_ENOMEM, "out of memory");
    }
    sp_status status = sp_keyring_open(store, engine->pool, sp_secret_text(&o->unseal),
                                       &o->keyring, &job->err);
    sp_secret_free(&o->unseal);
    if (!status) {
        status = keys_read(store, o->keyring, engine->pool, &o->keys, &job->err);
    }
    if (!status) {
        status = leases_open(store, o->keyring, engine->pool, &o->leases, &job->err);
    }
    if (!status) {
        status = authority_read(store, o->keyring, engine->pool, &o->authority, &job->err);
    }
    if (!status) {
        status = sp_audit_sign_with(
            engine->audit, sp_keyring_key(o->keyring, SP_PURPOSE_AUDIT_SIGN, &id), &job->err);
    }
    if (status) { /* the key it would sign with is about to go */
        (void)sp_audit_sign_with(engine->audit, NULL, NULL);
    }
    return status;
}

static void after_unseal(struct simple_job *job)
{
    struct opening *o = job->payload;
    struct sp_engine *engine = job->engine;
    drop_plaintext(engine); /* of a sealing that could not be completed */
    engine->keyring = o->keyring;
    keys_replace(engine, &o->keys);
    leases_unseal(engine, o->leases);
    engine->authority = o->authority;
    o->keyring = NULL;
    o->leases = NULL;
    o->authority = (struct sp_secret){NULL, NULL, 0};
    engine->state = SP_ENGINE_READY;
}

/* Where it failed, also after all was opened, nothing of that stays. */
static void on_unsealed(void *user, sp_status status, const struct sp_error *err)
{
    struct opening *o = user;
    o->engine->unsealing = false;
    sp_secret_free(&o->unseal);
    key_list_free(&o->keys);
    opened_leases_free(o->leases);
    sp_secret_free(&o->authority);
    sp_keyring_close(o->keyring);
    o->done(o->user, status, err);
    free(o);
}

void sp_engine_unseal(struct sp_engine *engine, struct sp_secret *unseal, sp_engine_done done,
                      void *user)
{
    struct sp_error err = {""};
    struct opening *o = calloc(1, sizeof *o);
    if (!o || engine->state != SP_ENGINE_SEALED || engine->unsealing) {
        sp_status status = !o                                  ? SP_ENOMEM
                           : engine->state == SP_ENGINE_FAILED ? SP_ECORRUPT
                           : engine->unsealing                 ? SP_EBUSY
                                                               : SP_EEXIST;
        (void)sp_fail(&err, status, "%s",
                      engine->state == SP_ENGINE_FAILED ? engine->reason
                      : engine->unsealing               ? "it is being unsealed just now"
                                                        : "the host is unsealed already");
        sp_secret_free(unseal);
        free(o);
        done(user, status, &err);
        return;
    }
    *o = (struct opening){.engine = engine, .done = done, .user = user, .unseal = *unseal};
    *unseal = (struct sp_secret){NULL, NULL, 0};
    engine->unsealing = true;
    struct simple_job *job = simple_job_new(engine, on_unsealed, o);
    if (!job) {
        return;
    }
    job->payload = o;
    job->job.work = unseal_work;
    job->after = after_unseal;
    record_begin(&job->job.records, "unseal");
    record_end(&job->job.records);
    simple_job_submit(job);
}

/* ---- seal -----------------------------------------------------------------------------------
 */

/* The keys as they are listed while sealed, without their secrets, are read by the commit
 * thread, which then signs no more; where they cannot be, none are listed until an unseal. */
static sp_status seal_work(struct sp_job *job, struct sp_store *store)
{
    struct sp_engine *engine = ((struct simple_job *)job)->engine;
    (void)sp_audit_checkpoint(engine->audit, engine_wall(engine), NULL);
    (void)sp_audit_sign_with(engine->audit, NULL, NULL);
    return keys_read(store, NULL, engine->pool, &engine->sealed_keys, &job->err);
}

/* Versions in use by calls in flight live on until those end. */
void drop_plaintext(struct sp_engine *engine)
{
    keys_replace(engine, &engine->sealed_keys);
    leases_seal(engine);
    sp_secret_free(&engine->authority);
    sp_keyring_close(engine->keyring);
    engine->keyring = NULL;
}

/* However it ended: the commit thread is done with the keyring, unless it was never asked. */
static void on_sealed(void *user, sp_status status, const struct sp_error *err)
{
    struct sp_engine *engine = user;
    bool asked = engine->sealing && status != SP_EBUSY;
    (void)err;
    engine->sealing = false;
    if (asked) {
        drop_plaintext(engine);
    }
}

static void seal(struct sp_engine *engine)
{
    struct simple_job *job = simple_job_new(engine, on_sealed, engine);
    if (!job) {
        return;
    }
    engine->sealing = true;
    job->job.work = seal_work;
    record_begin(&job->job.records, "seal");
    record_end(&job->job.records);
    simple_job_submit(job);
}

void sp_engine_seal(struct sp_engine *engine)
{
    if (engine->state == SP_ENGINE_READY) {
        engine->state = SP_ENGINE_SEALED; /* from here on nothing new is admitted */
        seal(engine);
    }
}

void seal_again(struct sp_engine *engine)
{
    if (engine->state == SP_ENGINE_SEALED && engine->keyring && !engine->sealing &&
        !engine->unsealing) {
        seal(engine);
    }
}
