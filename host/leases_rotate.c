/* Rotations: a successor of a key's own secrets is made upstream, kept, tried, and takes the
 * key's place; what it replaced is ended, as a lease is (leases_end.c). Each step is durable
 * before the next, so that what a crash interrupts goes on at the next start: from the trial
 * on, or, where the successor never reached us, not at all. */
#include "leases_inner.h"

#include "canonical.h"
#include "key_next.h"

#include <stdlib.h>
#include <string.h>

enum { SUCCESSOR_MAX = SP_CAPTURED_MAX };

struct rotation {
    struct sp_leases *leases;
    struct sp_lease *lease;
    struct sp_arena arena; /* of the step under way */
    const struct sp_key *key;
    const struct sp_key *tried; /* the key with its successor's secrets */
    struct sp_plan_ref *plan;
    struct sp_request request;
    struct sp_hook_context *context;
    struct sp_lease_ask ask;
    struct sp_text url; /* until the lease is there */
    sp_rotated_fn done; /* NULL: answered, or nobody asked */
    void *user;
    bool busy;
    bool unknown; /* whether the upstream made one: it gave no answer of use */
    bool failed;  /* the hook, though it made a successor: that is ended */
    unsigned n_failures;
    int64_t retry_ms;
    struct rotation *next;
};

static void step_done(struct rotation *r)
{
    sp_plan_unref(r->plan);
    sp_key_unref(r->leases->config.engine, r->tried);
    sp_key_unref(r->leases->config.engine, r->key);
    sp_hook_context_unref(r->context);
    r->plan = NULL;
    r->tried = r->key = NULL;
    r->context = NULL;
    r->busy = false;
    sp_arena_reset(&r->arena);
}

static void answer(struct rotation *r, sp_status status, const struct sp_error *err)
{
    sp_rotated_fn done = r->done;
    r->done = NULL;
    if (done) {
        done(r->user, status, err);
    }
}

static void rotation_free(struct rotation *r)
{
    struct rotation **place = &r->leases->rotations;
    while (*place && *place != r) {
        place = &(*place)->next;
    }
    if (*place) {
        *place = r->next;
    }
    step_done(r);
    if (r->lease) {
        sp_lease_release(r->leases->config.engine, r->lease);
    }
    sp_arena_done(&r->arena);
    free((void *)(uintptr_t)r->url.ptr);
    free(r);
}

/* It is over: nothing is left to do but to end what is to be ended. */
static void over(struct rotation *r, sp_status status, const struct sp_error *err)
{
    answer(r, status, err);
    rotation_free(r);
}

/* The successor is not wanted: it is ended upstream in the predecessor's stead. */
static void give_up(struct rotation *r, sp_status status, const struct sp_error *err)
{
    lease_say(r->leases, SP_LOG_WARNING, "key.not_succeeded", r->lease, err->text);
    if (r->lease->state == SP_LEASE_LIVE) {
        lease_end_now(r->leases, r->lease, err->text, SP_TEXT(""));
    }
    over(r, status, err);
}

static void try_later(struct rotation *r, const struct sp_error *err)
{
    struct sp_error kept = {""};
    (void)sp_fail(
        &kept, SP_EIO,
        "the successor is there, but could not be tried (%.300s); the key stays as it "
        "is until it can: it is tried again",
        err->text);
    lease_say(r->leases, SP_LOG_WARNING, "key.not_tried", r->lease, err->text);
    r->retry_ms = sp_wall_ms() + leases_backoff_ms(r->n_failures++);
    answer(r, SP_EIO, &kept);
    step_done(r);
    if (r->leases->stopped) {
        rotation_free(r);
    }
}

/* ---- the trial ------------------------------------------------------------------------------
 */

static void on_succeeded(void *user, sp_status status, const struct sp_error *err)
{
    struct rotation *r = user;
    if (status == SP_EEXIST) {
        struct sp_error changed = {"the key was changed meanwhile"};
        give_up(r, SP_EEXIST, &changed);
        return;
    }
    if (status) {
        try_later(r, err);
        return;
    }
    sp_providers_forget(r->leases->config.providers, sp_text_of(r->lease->key));
    sp_egress_forget(r->leases->config.egress, sp_text_of(r->lease->key));
    lease_say(r->leases, SP_LOG_INFO, "key.succeeded", r->lease, "");
    over(r, SP_OK, NULL);
}

/* Of the key's secrets, those that differ in the one that was tried. */
static size_t successors(const struct rotation *r, struct sp_key_secret *given)
{
    size_t n = 0;
    for (size_t i = 0; i < r->key->n_secrets && n < SUCCESSOR_MAX; i++) {
        if (r->tried->secrets[i].value.ptr != r->key->secrets[i].value.ptr) {
            given[n++] = r->tried->secrets[i];
        }
    }
    return n;
}

/* The key's next version, with the successor; the plugin's fields say whether it has the shape.
 */
static sp_status next_version(struct rotation *r, struct sp_key_input *ret_input,
                              struct sp_error *err)
{
    struct sp_key_secret given[SUCCESSOR_MAX];
    struct sp_provider *provider =
        sp_providers_find(r->leases->config.providers, r->key->provider);
    if (!provider) {
        return sp_fail(err, SP_ENOENT, "the plugin of this key's provider is not loaded");
    }
    return sp_key_next(r->leases->config.engine, &r->arena, provider->manifest, r->key, given,
                       successors(r, given), ret_input, err);
}

static void on_tried(void *user, const struct sp_reply *reply)
{
    struct rotation *r = user;
    struct sp_engine *engine = r->leases->config.engine;
    struct sp_error err = {""};
    struct sp_key_input input;
    const struct sp_key *now = sp_engine_key(engine, sp_text_of(r->lease->key));
    bool changed = now != r->key;
    sp_key_unref(engine, now);
    if (r->leases->stopped || reply->code != SP_CODE_OK) {
        (void)sp_fail(&err, SP_EIO, "%s",
                      r->leases->stopped ? leases_stopping.text : reply->reason);
        try_later(r, &err);
    } else if (r->lease->state != SP_LEASE_LIVE || changed) {
        (void)sp_fail(&err, SP_EEXIST, "%s",
                      changed ? "the key was changed meanwhile" : "it was ended meanwhile");
        give_up(r, SP_EEXIST, &err);
    } else if (reply->http_status == 401 || reply->http_status == 403) {
        (void)sp_fail(&err, SP_EDENIED, "the upstream answers %d to the successor",
                      reply->http_status);
        give_up(r, SP_EDENIED, &err);
    } else if (next_version(r, &input, &err)) {
        give_up(r, SP_EDENIED, &err);
    } else {
        sp_engine_lease_succeed(engine, r->lease, &input, on_succeeded, r);
    }
}

/* That the successor is used is on record: now it may be. */
static void on_recorded(void *user, sp_status status, const struct sp_error *err)
{
    struct rotation *r = user;
    struct sp_error why = {""};
    uint64_t id;
    struct sp_raw_request raw = {.method = SP_TEXT("GET"), .url = r->lease->words};
    if (status || r->leases->stopped) {
        try_later(r, status ? err : &leases_stopping);
        return;
    }
    struct sp_send send = {.key = r->tried, .plan = &r->plan->plan, .request = &r->request};
    if (sp_canonical(&r->arena, &raw, &r->request, &why) ||
        sp_egress_send(r->leases->config.egress, &send, on_tried, r, &id, &why)) {
        try_later(r, *why.text ? &why : &leases_no_memory);
    }
}

static void on_plan(void *user, struct sp_plan_ref *plan, const struct sp_error *err)
{
    struct rotation *r = user;
    r->plan = plan;
    if (!plan) {
        try_later(r, err ? err : &leases_no_memory);
    } else if (plan->plan.leased) {
        struct sp_error leased = {"a key whose credential is minted cannot be tried so"};
        give_up(r, SP_EUNSUPPORTED, &leased);
    } else {
        sp_engine_key_tested(r->leases->config.engine, sp_text_of(r->lease->key),
                             SP_TEXT("rotation"), on_recorded, r);
    }
}

static void rotation_try(struct rotation *r)
{
    struct sp_engine *engine = r->leases->config.engine;
    r->busy = true;
    r->key = sp_engine_key(engine, sp_text_of(r->lease->key));
    r->tried = sp_lease_key(engine, r->lease);
    if (!r->key || r->key->since != r->lease->key_version) {
        struct sp_error changed = {"the key was changed meanwhile"};
        give_up(r, SP_EEXIST, &changed);
    } else if (!r->tried) {
        try_later(r, &leases_no_memory);
    } else {
        sp_providers_plan(r->leases->config.providers, r->key, on_plan, r);
    }
}

/* ---- the successor --------------------------------------------------------------------------
 */

static void on_live(void *user, sp_status status, const struct sp_error *err)
{
    struct rotation *r = user;
    struct sp_error failure = r->context->failure;
    bool made = !r->failed;
    if (status) { /* nobody holds it, and nobody can end it */
        lease_say(r->leases, SP_LOG_ERROR, "key.successor_lost", r->lease, err->text);
        sp_engine_lease_gone(r->leases->config.engine, r->lease, "lost", NULL, NULL);
        over(r, SP_EIO, err);
        return;
    }
    step_done(r);
    if (made) {
        rotation_try(r);
    } else {
        give_up(r, SP_EIO, &failure);
    }
}

static void on_gone(void *user, sp_status status, const struct sp_error *err)
{
    struct rotation *r = user;
    struct sp_error failure = status ? *err : r->context->failure;
    over(r, SP_EIO, &failure);
}

/* The hook is over, and no request of it is under way. */
static void take_successor(void *user)
{
    struct rotation *r = user;
    struct sp_hook_context *context = r->context;
    size_t n = context->n_captured;
    if (n == 0) {
        lease_say(r->leases, SP_LOG_WARNING, "key.not_succeeded", r->lease,
                  context->failure.text);
        sp_engine_lease_gone(r->leases->config.engine, r->lease,
                             r->unknown ? "lost" : "not made", on_gone, r);
        return;
    }
    context->n_captured = 0; /* the engine takes them over */
    sp_engine_lease_live(r->leases->config.engine, r->lease, context->captured, n, 0, on_live,
                         r);
}

static void on_rotated(void *user, sp_status status, uint64_t life_ms,
                       const struct sp_error *err)
{
    static const struct sp_error nothing = {"the plugin captured no secret"};
    struct rotation *r = user;
    struct sp_hook_context *context = r->context;
    (void)life_ms;
    r->failed = status != SP_OK;
    r->unknown = context->n_performing > 0 || *context->failure.text;
    if (!*context->failure.text) {
        context->failure = status ? *err : nothing;
    }
    /* Where a worker died over a request, what that brings is waited for. */
    sp_hook_context_wait(context, take_successor, r);
}

static void on_begun(void *user, sp_status status, struct sp_lease *lease,
                     const struct sp_error *err)
{
    struct rotation *r = user;
    struct sp_error why = {"out of memory"};
    struct sp_key_view view;
    if (status) {
        over(r, status, err);
        return;
    }
    r->lease = lease;
    sp_lease_hold(r->leases->config.engine, lease);
    struct sp_provider *provider =
        leases_provider(r->leases, r->key->provider, SP_LEASE_ROTATION, &why);
    if (!provider || r->leases->stopped || sp_key_view_of(&r->arena, r->key, &view) ||
        !(r->context = hook_begin(r->leases, provider, lease, r->key))) {
        sp_engine_lease_gone(r->leases->config.engine, lease, "not made", NULL, NULL);
        over(r, SP_EIO, &why);
        return;
    }
    r->ask = (struct sp_lease_ask){.id = sp_text_of(lease->hex),
                                   .http = {sp_hook_perform, r->context}};
    provider->n_calls++;
    provider->ops->rotate(provider, &view, &r->ask, on_rotated, r);
}

static struct rotation *rotation_new(struct sp_leases *leases, struct sp_lease *lease)
{
    struct rotation *r = calloc(1, sizeof *r);
    if (r) {
        r->leases = leases;
        r->lease = lease;
        if (lease) {
            sp_lease_hold(leases->config.engine, lease);
        }
        sp_arena_init(&r->arena, LEASES_VIEW_MAX_BYTES);
        r->next = leases->rotations;
        leases->rotations = r;
    }
    return r;
}

struct searching {
    struct sp_text key;
    bool found;
};

static void find_rotation(void *user, struct sp_lease *lease)
{
    struct searching *searching = user;
    searching->found = searching->found || (lease->kind == SP_LEASE_ROTATION &&
                                            sp_text_is(searching->key, lease->key));
}

void sp_leases_rotate(struct sp_leases *leases, const struct sp_key *key, struct sp_text url,
                      struct sp_text by, sp_rotated_fn done, void *user)
{
    struct sp_error err = {"out of memory"};
    struct searching searching = {.key = key->id};
    struct sp_provider *provider =
        leases_provider(leases, key->provider, SP_LEASE_ROTATION, &err);
    if (!provider) {
        done(user, SP_EUNSUPPORTED, &err);
        return;
    }
    for (const struct rotation *r = leases->rotations; r; r = r->next) {
        searching.found = searching.found || (r->key && sp_text_eq(r->key->id, key->id));
    }
    sp_engine_each_lease(leases->config.engine, find_rotation, &searching);
    if (searching.found) {
        (void)sp_fail(&err, SP_EEXIST,
                      "a rotation of this key is not over yet (`sallyport lease list`)");
        done(user, SP_EEXIST, &err);
        return;
    }
    struct rotation *r = rotation_new(leases, NULL);
    if (!r || words_join(&url, 1, &r->url)) {
        if (r) {
            rotation_free(r);
        }
        done(user, SP_ENOMEM, &err);
        return;
    }
    r->done = done;
    r->user = user;
    r->busy = true;
    r->key = key;
    sp_key_ref(key);
    sp_engine_lease_begin(leases->config.engine, key, SP_LEASE_ROTATION, r->url, by, on_begun,
                          r);
}

/* ---- what is due ----------------------------------------------------------------------------
 */

void rotation_look(struct sp_leases *leases, struct sp_lease *lease, int64_t now_ms)
{
    struct rotation *r = leases->rotations;
    while (r && r->lease != lease) {
        r = r->next;
    }
    r = r ? r : rotation_new(leases, lease); /* it was begun before the last start */
    if (r && !r->busy && lease->held && now_ms >= r->retry_ms) {
        rotation_try(r);
    }
}

void rotations_stop(struct sp_leases *leases)
{
    for (struct rotation *r = leases->rotations, *next; r; r = next) {
        next = r->next;
        if (!r->busy) {
            rotation_free(r);
        }
    }
}
