/* sp_providers: the providers of this host, by id, and the plans of their keys.
 *
 * A plan is asked for once per key version and kept, so that the per-request path makes no
 * plugin call. Loop thread only. */
#ifndef SP_PROVIDERS_H
#define SP_PROVIDERS_H

#include "engine.h"
#include "log.h"
#include "provider.h"

struct sp_providers;
struct sp_worker_config; /* worker.h */

struct sp_providers_config {
    const char *folder;    /* every *.so in it is loaded */
    const char *pins_path; /* pins.h */
    bool dev;              /* --dev-plugins */
    /* NULL: plugins run in this process. */
    const struct sp_worker_config *worker;
    const struct sp_log *log;
};
/* A library that is refused is logged with its reason and left out; the others are loaded. */
sp_status sp_providers_new(const struct sp_providers_config *config,
                           struct sp_providers **ret_providers, struct sp_error *err);
/* Every question that is open is answered with an error, and no more are taken. Before the loop
 * ends, which closes what the providers have in it. NULL is fine. */
void sp_providers_stop(struct sp_providers *providers);
void sp_providers_free(struct sp_providers *providers); /* after stop */

size_t sp_providers_n(const struct sp_providers *providers);
struct sp_provider *sp_providers_at(const struct sp_providers *providers, size_t i);
/* NULL where there is none of that id. */
struct sp_provider *sp_providers_find(const struct sp_providers *providers, struct sp_text id);

/* What a provider may see of a key: names of its secrets, never their values, and
 * none of the settings that are the host's (egress.h). In the arena. */
sp_status sp_key_view_of(struct sp_arena *arena, const struct sp_key *key,
                         struct sp_key_view *ret_view);

/* A plan in use; counted, so that a rotation does not pull it from under a call. */
struct sp_plan_ref {
    struct sp_plan plan;
    struct sp_provider *provider;
    uint32_t key_version;
    bool refusal_told; /* the log says that the upstream refuses the key */
    unsigned n_refs;
};
typedef void (*sp_planned_fn)(void *user, struct sp_plan_ref *ref /* NULL on failure */,
                              const struct sp_error *err);
/* The plan for that key version: from the cache at once, or from the provider. The receiver
 * gives its reference back with sp_plan_unref. */
void sp_providers_plan(struct sp_providers *providers, const struct sp_key *key,
                       sp_planned_fn planned, void *user);
void sp_plan_unref(struct sp_plan_ref *ref);
/* The key was removed or the host sealed: forget its plan. */
void sp_providers_forget(struct sp_providers *providers, struct sp_text key_id);

#endif
