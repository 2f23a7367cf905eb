#include "policy_held.h"

#include <stdio.h>

struct listing {
    const struct sp_engine *engine;
    struct sp_arena *arena;
    struct sp_text *held;
    size_t n, n_scopes;
    bool failed;
};

static void count(void *user, const struct sp_scope *scope)
{
    (void)scope;
    ((struct listing *)user)->n_scopes++;
}

static void look(void *user, const struct sp_scope *scope)
{
    struct listing *listing = user;
    struct sp_decision decision;
    char text[sizeof decision.reason + SP_NAME_MAX_BYTES + 3];
    if (sp_engine_insists(listing->engine, scope, &decision)) {
        return;
    }
    struct sp_text name = sp_scope_name(scope);
    (void)snprintf(text, sizeof text, "%.*s: %s", (int)name.len, name.ptr, decision.reason);
    struct sp_text copy = sp_arena_copy(listing->arena, sp_text_of(text));
    listing->failed = listing->failed || !copy.ptr;
    listing->held[listing->n++] = copy;
}

sp_status sp_policy_held(const struct sp_engine *engine, struct sp_arena *arena,
                         const struct sp_text **ret_held, size_t *ret_n)
{
    struct listing listing = {.engine = engine, .arena = arena};
    sp_engine_each_scope(engine, count, &listing);
    listing.held = sp_arena_array(arena, listing.n_scopes, sizeof *listing.held);
    if (!listing.held) {
        return SP_ENOMEM;
    }
    sp_engine_each_scope(engine, look, &listing);
    *ret_held = listing.held;
    *ret_n = listing.n;
    return listing.failed ? SP_ENOMEM : SP_OK;
}

struct telling {
    const struct sp_log *log;
    const struct sp_engine *engine;
};

static void tell(void *user, const struct sp_scope *scope)
{
    const struct telling *telling = user;
    struct sp_decision decision;
    if (!sp_engine_insists(telling->engine, scope, &decision)) {
        SP_LOG(telling->log, SP_LOG_ERROR, "policy.held", {"scope", sp_scope_name(scope)},
               {"reason", sp_text_of(decision.reason)},
               {"effect", SP_TEXT("it issues no token and lets no call through")});
    }
}

void sp_policy_held_log(const struct sp_log *log, const struct sp_engine *engine)
{
    struct telling telling = {log, engine};
    sp_engine_each_scope(engine, tell, &telling);
}
