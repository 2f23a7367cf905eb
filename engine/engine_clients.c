/* Who is who: clients of the store, identities of the policy, and the policy itself. */
#include "inner.h"

#include <stdlib.h>
#include <string.h>

enum {
    POLICY_RECORD_MAX_BYTES = 60 << 10,
    CHANGES_RECORDED_BYTES = 24 << 10, /* no further change begins past it */
    CHANGE_SHOWN_BYTES = 1024,         /* of a request */
};

/* ---- the store's clients
 * --------------------------------------------------------------------- */

static sp_status client_row(void *user, const struct sp_client_row *row)
{
    struct sp_engine *engine = user;
    struct stored_client *more =
        realloc(engine->clients, (engine->n_clients + 1) * sizeof *engine->clients);
    if (!more) {
        return SP_ENOMEM;
    }
    engine->clients = more;
    struct stored_client *client = &more[engine->n_clients++];
    copy_name(row->name, client->name, sizeof client->name);
    copy_name(row->curve, client->curve, sizeof client->curve);
    client->admin = row->admin;
    return SP_OK;
}

sp_status clients_load(struct sp_engine *engine, struct sp_error *err)
{
    return sp_store_client_list(engine->store, client_row, engine, err);
}

/* ---- actors: both, by CURVE key
 * -------------------------------------------------------------- */

static int by_curve(const void *a, const void *b)
{
    return memcmp(((const struct actor *)a)->curve, ((const struct actor *)b)->curve, 40);
}

static size_t add_identities(const struct sp_policy *policy, struct actor *actors, size_t n)
{
    for (size_t i = 0; policy && i < sp_policy_n_identities(policy); i++) {
        const struct sp_identity *identity = sp_policy_identity(policy, i);
        memcpy(actors[n].curve, identity->curve, 41);
        copy_name(identity->name, actors[n].name, sizeof actors[n].name);
        actors[n].role = identity->principal ? SP_ROLE_PRINCIPAL : SP_ROLE_CLIENT;
        actors[n++].identity = identity;
    }
    return n;
}

static sp_status make_actors(const struct sp_engine *engine, const struct sp_policy *policy,
                             struct actor **ret_actors, size_t *ret_n, struct sp_error *err)
{
    size_t room = engine->n_clients + (policy ? sp_policy_n_identities(policy) : 0);
    struct actor *actors = calloc(room + 1, sizeof *actors);
    if (!actors) {
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    size_t n = add_identities(policy, actors, 0);
    for (size_t i = 0; i < engine->n_clients; i++) {
        memcpy(actors[n].curve, engine->clients[i].curve, 41);
        memcpy(actors[n].name, engine->clients[i].name, sizeof actors[n].name);
        actors[n++].role = engine->clients[i].admin ? SP_ROLE_ADMIN : SP_ROLE_CLIENT;
    }
    qsort(actors, n, sizeof *actors, by_curve);
    for (size_t i = 1; i < n; i++) {
        if (memcmp(actors[i - 1].curve, actors[i].curve, 40) == 0) {
            sp_status status = sp_fail(err, SP_EINVAL, "'%s' and '%s' have the same CURVE key",
                                       actors[i - 1].name, actors[i].name);
            free(actors);
            return status;
        }
    }
    *ret_actors = actors;
    *ret_n = n;
    return SP_OK;
}

sp_status actors_rebuild(struct sp_engine *engine, struct sp_error *err)
{
    struct actor *actors;
    size_t n;
    sp_status status = make_actors(engine, engine->policy, &actors, &n, err);
    if (!status) {
        free(engine->actors);
        engine->actors = actors;
        engine->n_actors = n;
    }
    return status;
}

const struct actor *actor_find(const struct sp_engine *engine, struct sp_text curve)
{
    struct actor wanted;
    if (curve.len != 40 || engine->n_actors == 0) {
        return NULL;
    }
    memcpy(wanted.curve, curve.ptr, 40);
    return bsearch(&wanted, engine->actors, engine->n_actors, sizeof wanted, by_curve);
}

const struct sp_identity *principal_find(const struct sp_engine *engine, struct sp_text name)
{
    for (size_t i = 0; i < engine->n_actors; i++) {
        const struct actor *actor = &engine->actors[i];
        if (actor->role == SP_ROLE_PRINCIPAL && sp_text_is(name, actor->name)) {
            return actor->identity;
        }
    }
    return NULL;
}

enum sp_role sp_engine_role(const struct sp_engine *engine, struct sp_text curve,
                            struct sp_text *ret_name)
{
    const struct actor *actor = actor_find(engine, curve);
    *ret_name = actor ? sp_text_of(actor->name) : SP_TEXT("");
    return actor ? actor->role : SP_ROLE_NONE;
}

void sp_engine_each_curve(const struct sp_engine *engine,
                          void (*fn)(void *user, struct sp_text curve, enum sp_role role),
                          void *user)
{
    for (size_t i = 0; i < engine->n_actors; i++) {
        fn(user, sp_text_of(engine->actors[i].curve), engine->actors[i].role);
    }
}

void sp_engine_each_client(const struct sp_engine *engine,
                           void (*fn)(void *user, const struct sp_client_info *info),
                           void *user)
{
    for (size_t i = 0; i < engine->n_actors; i++) {
        const struct actor *actor = &engine->actors[i];
        struct sp_client_info info = {.name = sp_text_of(actor->name),
                                      .curve = sp_text_of(actor->curve),
                                      .role = actor->role,
                                      .from_policy = actor->identity != NULL};
        fn(user, &info);
    }
}

/* ---- the policy
 * ------------------------------------------------------------------------------ */

const struct sp_policy *sp_engine_policy(const struct sp_engine *engine)
{
    return engine->policy;
}

/* [scope, what became of it, a request that is newly allowed, or why] for each; past what a
 * record holds their number. */
static void record_changes(struct sp_buf *record, const struct sp_policy_changes *changes)
{
    size_t i = 0;
    if (!changes || changes->n == 0) {
        return;
    }
    sp_buf_add_str(record, ",\"changes\":[");
    for (; i < changes->n && record->len < CHANGES_RECORDED_BYTES; i++) {
        const struct sp_scope_change *change = &changes->items[i];
        sp_buf_add_str(record, i ? ",[" : "[");
        sp_buf_add_json(record, change->scope);
        sp_buf_addf(record, ",\"%s\"", sp_scope_fate_name(change->fate));
        struct sp_text shown = change->request.len ? change->request : change->why;
        if (shown.len > 0 && shown.len < CHANGE_SHOWN_BYTES) {
            sp_buf_add_byte(record, ',');
            sp_buf_add_json(record, shown);
        }
        sp_buf_add_byte(record, ']');
    }
    sp_buf_add_byte(record, ']');
    if (i < changes->n) {
        record_number(record, "changes_total", (int64_t)changes->n);
    }
}

sp_status sp_engine_set_policy(struct sp_engine *engine, struct sp_policy *policy,
                               const struct sp_policy_changes *changes, struct sp_error *err)
{
    struct actor *actors;
    struct sp_buf record;
    size_t n;
    sp_status status = make_actors(engine, policy, &actors, &n, err);
    if (status) {
        return status;
    }
    free(engine->actors);
    sp_policy_free(engine->policy);
    engine->actors = actors;
    engine->n_actors = n;
    engine->policy = policy;
    sp_buf_init(&record, POLICY_RECORD_MAX_BYTES);
    record_begin(&record, "policy");
    record_number(&record, "scopes", (int64_t)sp_policy_n_scopes(policy));
    record_number(&record, "clients", (int64_t)sp_policy_n_identities(policy));
    record_changes(&record, changes);
    record_end(&record);
    record_send(engine, &record);
    sp_buf_done(&record);
    return SP_OK;
}

void sp_engine_each_scope(const struct sp_engine *engine,
                          void (*fn)(void *user, const struct sp_scope *scope), void *user)
{
    for (size_t i = 0; engine->policy && i < sp_policy_n_scopes(engine->policy); i++) {
        fn(user, sp_policy_scope(engine->policy, i));
    }
}

static bool key_hosts(void *user, struct sp_text id, const struct sp_text **ret_hosts,
                      size_t *ret_n_hosts)
{
    const struct key_version *key = key_find(user, id);
    if (key) {
        *ret_hosts = key->public.hosts;
        *ret_n_hosts = key->public.n_hosts;
    }
    return key != NULL;
}

static bool key_setting(void *user, struct sp_text id, struct sp_text name,
                        struct sp_text *ret_value)
{
    const struct key_version *key = key_find(user, id);
    return key && key_has_setting(key, name, ret_value);
}

void sp_engine_world(struct sp_engine *engine, struct sp_world *ret_world)
{
    *ret_world =
        (struct sp_world){.user = engine, .key_hosts = key_hosts, .key_setting = key_setting};
}

/* ---- add, remove
 * ----------------------------------------------------------------------------- */

/* The payload of both jobs. */
struct change {
    struct stored_client client;
    int64_t now_ms;
};

static struct simple_job *change_new(struct sp_engine *engine, struct sp_text name,
                                     const char *record, struct sp_text by, sp_engine_done done,
                                     void *user)
{
    struct simple_job *job = simple_job_new(engine, done, user);
    if (!job) {
        return NULL;
    }
    struct change *change = sp_arena_alloc(&job->arena, sizeof *change);
    if (!change) {
        simple_job_fail(job, SP_ENOMEM, "out of memory");
        return NULL;
    }
    job->payload = change;
    copy_name(name, change->client.name, sizeof change->client.name);
    change->now_ms = engine_wall(engine);
    record_begin(&job->job.records, record);
    record_text(&job->job.records, "client", name);
    record_text(&job->job.records, "by", by);
    return job;
}

static bool is_name(struct sp_text name)
{
    return name.len > 0 && name.len <= SP_NAME_MAX_BYTES && sp_text_is_utf8(name) &&
           !memchr(name.ptr, '\0', name.len) && !memchr(name.ptr, '\n', name.len);
}

static sp_status add_work(struct sp_job *job, struct sp_store *store)
{
    const struct change *change = ((struct simple_job *)job)->payload;
    struct sp_client_row row = {.name = sp_text_of(change->client.name),
                                .curve = sp_text_of(change->client.curve),
                                .admin = change->client.admin,
                                .created_ms = change->now_ms};
    return sp_store_client_add(store, &row, &job->err);
}

static void after_add(struct simple_job *job)
{
    struct sp_engine *engine = job->engine;
    const struct change *change = job->payload;
    struct stored_client *more =
        realloc(engine->clients, (engine->n_clients + 1) * sizeof *engine->clients);
    if (more) {
        engine->clients = more;
        engine->clients[engine->n_clients++] = change->client;
    }
    if (!more || actors_rebuild(engine, NULL)) {
        job->job.status =
            sp_fail(&job->job.err, SP_ENOMEM,
                    "it is stored, and known after the next start: out of memory");
    }
}

void sp_engine_client_add(struct sp_engine *engine, struct sp_text name, struct sp_text curve,
                          bool admin, struct sp_text by, sp_engine_done done, void *user)
{
    struct simple_job *job = change_new(engine, name, "client.add", by, done, user);
    if (!job) {
        return;
    }
    struct change *change = job->payload;
    if (!is_name(name)) {
        simple_job_fail(job, SP_EINVAL, "a client's name has 1 to 64 bytes");
        return;
    }
    if (curve.len != 40 || actor_find(engine, curve)) {
        simple_job_fail(job, curve.len == 40 ? SP_EEXIST : SP_EINVAL,
                        curve.len == 40 ? "that CURVE key is a client's already"
                                        : "a CURVE key has 40 characters of Z85");
        return;
    }
    copy_name(curve, change->client.curve, sizeof change->client.curve);
    change->client.admin = admin;
    record_text(&job->job.records, "curve", curve);
    record_number(&job->job.records, "admin", admin);
    record_end(&job->job.records);
    job->job.work = add_work;
    job->after = after_add;
    simple_job_submit(job);
}

static sp_status remove_work(struct sp_job *job, struct sp_store *store)
{
    const struct change *change = ((struct simple_job *)job)->payload;
    return sp_store_client_remove(store, sp_text_of(change->client.name), &job->err);
}

/* In place: one that is removed is nobody from now on, also where memory is short. */
static void after_remove(struct simple_job *job)
{
    struct sp_engine *engine = job->engine;
    const struct change *change = job->payload;
    size_t left = 0;
    for (size_t i = 0; i < engine->n_clients; i++) {
        if (strcmp(engine->clients[i].name, change->client.name) == 0) {
            engine->clients[i] = engine->clients[--engine->n_clients];
            break;
        }
    }
    for (size_t i = 0; i < engine->n_actors; i++) {
        const struct actor *actor = &engine->actors[i];
        if (actor->identity || strcmp(actor->name, change->client.name) != 0) {
            engine->actors[left++] = *actor;
        }
    }
    engine->n_actors = left;
}

void sp_engine_client_remove(struct sp_engine *engine, struct sp_text name, struct sp_text by,
                             sp_engine_done done, void *user)
{
    struct simple_job *job = change_new(engine, name, "client.remove", by, done, user);
    if (job) {
        record_end(&job->job.records);
        job->job.work = remove_work;
        job->after = after_remove;
        simple_job_submit(job);
    }
}
