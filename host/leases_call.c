/* Calls that need a lease: what their scope needs, and the lease that has it. */
#include "leases_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void taking_end(struct taking *t, struct sp_lease *lease, const struct sp_error *err)
{
    struct sp_engine *engine = t->leases->config.engine;
    const struct sp_key *key = lease ? sp_lease_key(engine, lease) : NULL;
    if (key) {
        sp_lease_hold(engine, lease);
        t->leased(t->user, key, lease, NULL);
    } else {
        t->leased(t->user, NULL, NULL, err ? err : &leases_no_memory);
    }
    free((void *)(uintptr_t)t->words.ptr);
    free(t);
}

static void on_used(void *user, sp_status status, const struct sp_error *err)
{
    struct taking *t = user;
    struct sp_lease *lease = t->lease;
    if (status == SP_ENOENT || (!status && lease->state != SP_LEASE_LIVE)) {
        taking_step(t); /* it was ended meanwhile */
    } else {
        taking_end(t, status ? NULL : lease, err);
    }
}

static void on_permitted(void *user, sp_status status, const struct sp_text *words,
                         size_t n_words, const struct sp_error *err)
{
    struct taking *t = user;
    struct sp_text joined;
    if (status || words_join(words, n_words, &joined)) {
        taking_end(t, NULL, status ? err : &leases_no_memory);
        return;
    }
    if (!t->ticket) {
        t->words = joined;
        taking_step(t);
        return;
    }
    status = sp_ticket_lease_words(t->ticket, joined);
    free((void *)(uintptr_t)joined.ptr);
    if (status) {
        taking_end(t, NULL, &leases_no_memory);
    } else {
        taking_step(t);
    }
}

static struct sp_text kept(struct sp_arena *arena, struct sp_buf *buf)
{
    struct sp_text copy = sp_arena_copy(arena, sp_buf_text(buf));
    bool failed = buf->failed;
    sp_buf_reset(buf);
    return failed ? (struct sp_text){NULL, 0} : copy;
}

static struct sp_text methods_of(struct sp_arena *arena, unsigned methods)
{
    struct sp_buf buf;
    sp_buf_init(&buf, 128);
    for (unsigned bit = 1; bit <= SP_METHOD_ALL; bit <<= 1) {
        if (methods & bit) {
            sp_buf_add_str(&buf, buf.len ? " " : "");
            sp_buf_add_str(&buf, sp_method_name(bit));
        }
    }
    struct sp_text text = kept(arena, &buf);
    sp_buf_done(&buf);
    return text;
}

/* What the scope's allow rules reach with this key. Denies are left out: a credential that may
 * do a little more than the scope is still behind the scope. */
static sp_status reaches_of(struct sp_arena *arena, const struct sp_scope *scope,
                            const struct sp_key *key, struct sp_reach **ret_reaches,
                            size_t *ret_n, struct sp_error *err)
{
    size_t n_rules = sp_scope_n_rules(scope), n = 0;
    struct sp_buf path;
    struct sp_reach *reaches = sp_arena_array(arena, n_rules + key->n_hosts, sizeof *reaches);
    sp_status status = reaches ? SP_OK : sp_fail(err, SP_ENOMEM, "out of memory");
    sp_buf_init(&path, 16 << 10);
    for (size_t i = 0; !status && i < n_rules; i++) {
        const struct sp_rule *rule = sp_scope_rule(scope, i);
        if (sp_rule_denies(rule) || !sp_key_covers(key, sp_rule_host(rule))) {
            continue;
        }
        sp_rule_print_path(rule, &path);
        reaches[n] = (struct sp_reach){.methods = methods_of(arena, sp_rule_methods(rule)),
                                       .host = sp_rule_host(rule),
                                       .path = kept(arena, &path)};
        status = reaches[n].methods.ptr && reaches[n].path.ptr
                     ? SP_OK
                     : sp_fail(err, SP_ENOMEM, "out of memory");
        if (!status && ++n > SP_LEASES_RULES_MAX) {
            status = sp_fail(err, SP_ETOOBIG,
                             "the scope has more than %d rules for a key whose credential is "
                             "minted for it",
                             SP_LEASES_RULES_MAX);
        }
    }
    /* `mode observe` lets everything through. */
    for (size_t i = 0; !status && sp_scope_observes(scope) && i < key->n_hosts; i++) {
        reaches[n++] = (struct sp_reach){.methods = methods_of(arena, SP_METHOD_ALL),
                                         .host = key->hosts[i],
                                         .path = SP_TEXT("/**")};
    }
    sp_buf_done(&path);
    *ret_reaches = reaches;
    *ret_n = n;
    return status;
}

/* Which permissions does the call's scope need? Asked once for a token. */
static void ask_permissions(struct taking *t, const struct sp_reach *reach)
{
    struct sp_arena arena;
    struct sp_error err = {""};
    struct sp_key_view view;
    struct sp_reach one, *reaches = &one;
    size_t n = 1;
    sp_arena_init(&arena, LEASES_VIEW_MAX_BYTES);
    struct sp_provider *provider =
        leases_provider(t->leases, t->key->provider, SP_LEASE_CREDENTIAL, &err);
    sp_status status = provider ? SP_OK : SP_ENOENT;
    if (!status && sp_key_view_of(&arena, t->key, &view)) {
        status = sp_fail(&err, SP_ENOMEM, "out of memory");
    }
    if (reach) {
        one = *reach;
    } else if (!status) {
        status = reaches_of(&arena, t->scope, t->key, &reaches, &n, &err);
    }
    if (status) {
        taking_end(t, NULL, &err);
    } else {
        provider->n_calls++;
        provider->ops->permissions(provider, &view, reaches, n, on_permitted, t);
    }
    sp_arena_done(&arena);
}

void taking_step(struct taking *t)
{
    struct sp_lease *lease = NULL;
    struct sp_text words = t->words;
    int64_t now = sp_wall_ms();
    if (t->leases->stopped) {
        taking_end(t, NULL, &leases_stopping);
        return;
    }
    if (t->ticket) {
        sp_ticket_lease(t->ticket, &words, &lease);
        if (lease && lease_is_fresh(lease, now)) {
            taking_end(t, lease, NULL);
            return;
        }
        if (!words.ptr) {
            ask_permissions(t, NULL);
            return;
        }
        lease = sp_engine_lease_find(t->leases->config.engine, t->key, words);
    }
    if (lease && lease_is_fresh(lease, now) && t->n_tries++ < LEASES_TRIES_MAX) {
        t->lease = lease;
        sp_ticket_lease_use(t->ticket, lease, on_used, t);
        return;
    }
    mint_join(t, words);
}

static struct taking *taking_new(struct sp_leases *leases, const struct sp_key *key,
                                 sp_leased_fn leased, void *user)
{
    struct taking *t = calloc(1, sizeof *t);
    if (!t) {
        leased(user, NULL, NULL, &leases_no_memory);
        return NULL;
    }
    *t = (struct taking){.leases = leases, .key = key, .leased = leased, .user = user};
    return t;
}

void sp_leases_take(struct sp_leases *leases, struct sp_ticket *ticket,
                    const struct sp_key *key, const struct sp_scope *scope, sp_leased_fn leased,
                    void *user)
{
    struct taking *t = taking_new(leases, key, leased, user);
    if (t) {
        t->ticket = ticket;
        t->scope = scope;
        taking_step(t);
    }
}

void sp_leases_take_once(struct sp_leases *leases, const struct sp_key *key,
                         const struct sp_reach *reach, sp_leased_fn leased, void *user)
{
    struct taking *t = taking_new(leases, key, leased, user);
    if (t) {
        ask_permissions(t, reach);
    }
}

void sp_leases_give_back(struct sp_leases *leases, const struct sp_key *key,
                         struct sp_lease *lease, bool refused)
{
    struct sp_engine *engine = leases->config.engine;
    if (!lease) {
        return;
    }
    bool once = lease->n_tokens == 0; /* an administrator's */
    if (!leases->stopped && lease->state == SP_LEASE_LIVE && (once || refused)) {
        lease_end_now(leases, lease, once ? "no token uses it" : "the upstream refused it",
                      SP_TEXT(""));
    }
    sp_key_unref(engine, key);
    sp_lease_release(engine, lease);
}
