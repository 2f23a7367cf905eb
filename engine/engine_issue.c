/* Issuing: what a principal may ask for, and the token that comes of it. */
#include "inner.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { GRANT_MAX_BYTES = 8 << 20, METHODS_MAX = 16, RECORDED_ARGS_MAX_BYTES = 8192 };

/* One issue, from the asking to the durable row. */
struct issuing {
    struct sp_job job;
    struct sp_engine *engine;
    sp_engine_issued issued;
    void *user;
    struct sp_decision decision;
    struct sp_token_row row;
    struct sp_buf grant;
    uint32_t live_max;
    char principal[SP_NAME_MAX_BYTES + 1], scope[SP_NAME_MAX_BYTES + 1];
};

static void issuing_free(struct issuing *i)
{
    sp_buf_done(&i->grant);
    sp_buf_done(&i->job.records);
    free(i);
}

static void refuse(struct issuing *i)
{
    i->issued(i->user, &i->decision, NULL);
    issuing_free(i);
}

/* ---- what may be asked for
 * -------------------------------------------------------------------- */

struct ask {
    const struct sp_identity *principal;
    const struct sp_may_issue *grant;
    const struct sp_scope *scope;
    struct sp_scope *frozen, *narrow; /* owned; narrow may be NULL */
    uint64_t ttl_ms;
};

static bool args_granted(const struct sp_may_issue *grant, const struct sp_issue *issue,
                         struct sp_decision *decision)
{
    for (size_t i = 0; i < issue->n_args; i++) {
        bool good = false;
        for (size_t g = 0; g < grant->n_args && !good; g++) {
            good =
                sp_text_eq(grant->args[g].name, issue->args[i].name) &&
                (grant->args[g].any || sp_text_eq(grant->args[g].value, issue->args[i].value));
        }
        if (!good) {
            decide(decision, SP_CODE_NOT_GRANTED, "`may issue` in the policy says which values",
                   "argument %.64s may not have that value",
                   issue->args[i].name.len < 64 ? issue->args[i].name.ptr : "");
            return false;
        }
    }
    return true;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a && (a < b || !b) ? a : b;
}

/* The longest life that grant, scope and host leave. */
static uint64_t ttl_limit(const struct sp_engine *engine, const struct ask *ask)
{
    uint64_t limit = smaller(ask->grant->ttl_ms, sp_scope_ttl_ms(ask->scope));
    limit = limit ? limit : engine->config.ttl_default_ms;
    return smaller(limit, engine->config.ttl_max_ms);
}

static bool choose_ttl(const struct sp_engine *engine, struct ask *ask, uint64_t wanted_ms,
                       struct sp_decision *decision)
{
    uint64_t limit = ttl_limit(engine, ask);
    if (wanted_ms > limit) {
        char hint[64];
        struct sp_buf text;
        sp_buf_init(&text, sizeof hint - 1);
        sp_buf_addf(&text, "at most %" PRIu64 " s", limit / 1000);
        copy_name(sp_buf_text(&text), hint, sizeof hint);
        sp_buf_done(&text);
        decide(decision, SP_CODE_NOT_GRANTED, hint, "it would live longer than it may");
        return false;
    }
    ask->ttl_ms = wanted_ms ? wanted_ms : limit;
    return true;
}

static bool ask_by_name(const struct sp_engine *engine, const struct sp_issue *issue,
                        struct ask *ask, struct sp_decision *decision)
{
    struct sp_error err = {""};
    for (size_t i = 0; i < ask->principal->n_grants; i++) {
        if (sp_text_eq(ask->principal->grants[i].scope, issue->scope)) {
            ask->grant = &ask->principal->grants[i];
            if (args_granted(ask->grant, issue, decision)) {
                break; /* several grants of one scope: the first that permits the arguments */
            }
        }
    }
    ask->scope = engine->policy ? sp_policy_find_scope(engine->policy, issue->scope) : NULL;
    if (!ask->grant) {
        decide(decision, ask->scope ? SP_CODE_NOT_GRANTED : SP_CODE_SCOPE_UNKNOWN,
               "`may issue` in the policy says what this principal may issue",
               ask->scope ? "this principal may not issue that scope"
                          : "there is no such scope");
        return false;
    }
    if (!ask->scope || !args_granted(ask->grant, issue, decision)) {
        return false;
    }
    decision->code = SP_CODE_OK;
    decision->reason[0] = decision->hint[0] = '\0';
    if (sp_scope_freeze(ask->scope, issue->args, issue->n_args, &ask->frozen, &err)) {
        decide(decision, SP_CODE_BAD_REQUEST, "", "%s", err.text);
        return false;
    }
    for (size_t i = 0; i < sp_scope_n_keys(ask->frozen); i++) {
        const struct key_version *key = key_find(engine, sp_scope_key(ask->frozen, i));
        if (key && !judge_insists(ask->frozen, key, decision)) {
            return false; /* it was rotated, or set, since the policy was compiled */
        }
    }
    return choose_ttl(engine, ask, issue->ttl_ms, decision);
}

/* ---- the JSON form
 * ---------------------------------------------------------------------------- */

static bool has_text(const struct sp_text *list, size_t n, struct sp_text text)
{
    for (size_t i = 0; i < n; i++) {
        if (sp_text_eq(list[i], text)) {
            return true;
        }
    }
    return false;
}

/* Keys exist and are of the providers named; every provider named has one of the keys. */
static bool json_keys(const struct sp_engine *engine, const struct sp_json_scope *json,
                      struct sp_decision *decision)
{
    for (size_t i = 0; i < json->n_key_ids; i++) {
        const struct key_version *key = key_find(engine, json->key_ids[i]);
        if (!key) {
            decide(decision, SP_CODE_NOT_GRANTED, "",
                   "allowedKeyIds names a key that is not there");
            return false;
        }
        if (json->n_providers &&
            !has_text(json->providers, json->n_providers, key->public.provider)) {
            decide(decision, SP_CODE_NOT_GRANTED, "add it, or leave allowedProviders out",
                   "allowedProviders leaves out the provider of one of the keys");
            return false;
        }
    }
    for (size_t p = 0; p < json->n_providers; p++) {
        bool used = false;
        for (size_t i = 0; i < json->n_key_ids && !used; i++) {
            used = sp_text_eq(key_find(engine, json->key_ids[i])->public.provider,
                              json->providers[p]);
        }
        if (!used) {
            decide(decision, SP_CODE_NOT_GRANTED, "",
                   "allowedProviders names a provider that none of the keys is of");
            return false;
        }
    }
    return true;
}

static bool json_hosts(const struct sp_engine *engine, const struct sp_json_scope *json,
                       struct sp_arena *arena, struct sp_text *hosts,
                       struct sp_decision *decision)
{
    struct sp_error err = {""};
    for (size_t i = 0; i < json->n_domains; i++) {
        if (sp_host_parse(arena, json->domains[i], &hosts[i], &err)) {
            decide(decision, SP_CODE_BAD_REQUEST, "", "allowedDomains: %s", err.text);
            return false;
        }
        bool covered = false;
        for (size_t k = 0; k < json->n_key_ids && !covered; k++) {
            const struct sp_key *key = &key_find(engine, json->key_ids[k])->public;
            covered = has_text(key->hosts, key->n_hosts, hosts[i]);
        }
        if (!covered) {
            decide(decision, SP_CODE_NOT_GRANTED, "a key is only ever sent to its own hosts",
                   "allowedDomains names a host that none of the keys is for");
            return false;
        }
    }
    return true;
}

static bool json_scope(const struct sp_engine *engine, const struct sp_json_scope *json,
                       struct sp_scope **ret_scope, struct sp_decision *decision)
{
    struct sp_arena arena;
    struct sp_error err = {""};
    unsigned methods = 0;
    for (size_t i = 0; i < json->n_methods; i++) {
        unsigned method = sp_method_parse(json->methods[i]);
        if (!method) {
            decide(decision, SP_CODE_BAD_REQUEST, "in capitals: GET, POST, …",
                   "allowedMethods names a method that is not known");
            return false;
        }
        methods |= method;
    }
    if (!json->n_key_ids || !json->n_domains || !methods) {
        decide(decision, SP_CODE_BAD_REQUEST, "",
               "allowedKeyIds, allowedMethods and allowedDomains must not be empty");
        return false;
    }
    sp_arena_init(&arena, 4 << 20);
    struct sp_text *hosts = sp_arena_array(&arena, json->n_domains, sizeof *hosts);
    if (!hosts) {
        decide(decision, SP_CODE_BUSY, "", "out of memory");
    }
    bool good = hosts && json_keys(engine, json, decision) &&
                json_hosts(engine, json, &arena, hosts, decision);
    if (good && sp_scope_of_domains(engine->policy, SP_TEXT("json"), json->key_ids,
                                    json->n_key_ids, methods, hosts, json->n_domains,
                                    json->rate_per_minute, json->ttl_ms, ret_scope, &err)) {
        decide(decision, SP_CODE_BAD_REQUEST, "", "%s", err.text);
        good = false;
    }
    sp_arena_done(&arena);
    return good;
}

/* The first scope that this principal may issue as it stands, and that holds all of it. */
static bool ask_by_json(const struct sp_engine *engine, const struct sp_issue *issue,
                        struct ask *ask, struct sp_decision *decision)
{
    struct sp_error why = {"this principal may issue no scope without parameters"};
    if (!json_scope(engine, issue->json, &ask->narrow, decision)) {
        return false;
    }
    for (size_t i = 0; i < ask->principal->n_grants; i++) {
        const struct sp_may_issue *grant = &ask->principal->grants[i];
        const struct sp_scope *scope =
            engine->policy ? sp_policy_find_scope(engine->policy, grant->scope) : NULL;
        struct sp_scope *frozen = NULL;
        if (!scope || sp_scope_n_params(scope) ||
            sp_scope_freeze(scope, NULL, 0, &frozen, &why)) {
            continue;
        }
        if (sp_scope_includes(frozen, ask->narrow, &why) == SP_INCLUDED) {
            ask->grant = grant;
            ask->scope = scope;
            ask->frozen = frozen;
            return choose_ttl(engine, ask, issue->json->ttl_ms, decision);
        }
        sp_scope_free(frozen);
    }
    decide(decision, SP_CODE_NOT_GRANTED, "ask for less, or issue a scope by its name",
           "it is not inside any scope that this principal may issue: %s", why.text);
    return false;
}

/* ---- the token
 * -------------------------------------------------------------------------------- */

static sp_status issue_work(struct sp_job *job, struct sp_store *store)
{
    struct issuing *i = (struct issuing *)job;
    return sp_store_token_add(store, &i->row, i->live_max, i->row.issued_ms, &job->err);
}

/* It is stored by now. What cannot be told nobody has: it lies there until its time is over. */
static void give(struct issuing *i)
{
    struct sp_engine *engine = i->engine;
    struct live_token *live = NULL;
    struct sp_token token;
    struct sp_buf text;
    uint32_t id;
    const uint8_t *key =
        engine->keyring ? sp_keyring_key(engine->keyring, SP_PURPOSE_TOKEN, &id) : NULL;
    if (!key || token_insert(engine, &i->row, &live)) {
        decide(&i->decision, key ? SP_CODE_INTERNAL : SP_CODE_SEALED, "",
               key ? "the token cannot be kept in memory" : "the host was sealed meanwhile");
        refuse(i);
        return;
    }
    sp_buf_init(&text, SP_TOKEN_MAX_BYTES);
    sp_token_mint(key, i->row.id, live->grant_hash, &token);
    sp_token_print(&token, &text);
    struct sp_issued issued = {.token = sp_buf_text(&text),
                               .expires_ms = i->row.expires_ms,
                               .scope = sp_text_of(i->scope)};
    memcpy(issued.root, i->row.id, sizeof issued.root);
    memcpy(i->decision.root, i->row.id, sizeof issued.root);
    if (text.failed) {
        decide(&i->decision, SP_CODE_BUSY, "ask again", "out of memory");
    }
    i->issued(i->user, &i->decision, text.failed ? NULL : &issued);
    sodium_memzero(&token, sizeof token);
    if (text.ptr) {
        sodium_memzero(text.ptr, text.room);
    }
    sp_buf_done(&text);
    issuing_free(i);
}

static void on_stored(struct sp_job *job)
{
    struct issuing *i = (struct issuing *)job;
    if (job->status == SP_OK) {
        give(i);
        return;
    }
    if (job->status == SP_EDENIED) {
        decide(&i->decision, SP_CODE_LIVE_LIMIT, "revoke one, or wait until one expires",
               "this principal has its full number of live tokens of this scope");
    } else {
        decide(&i->decision, SP_CODE_AUDIT_UNAVAILABLE, "", "%s", job->err.text);
        sp_engine_until_when(i->engine, &i->decision);
    }
    refuse(i);
}

/* A printed scope as a borrowed text of buf. */
static struct sp_text printed(const struct sp_scope *scope, struct sp_buf *buf)
{
    if (scope) {
        sp_scope_print(scope, buf);
    }
    return sp_buf_text(buf);
}

static void make_row(struct issuing *i, const struct sp_issue *issue, const struct ask *ask)
{
    struct sp_engine *engine = i->engine;
    struct sp_buf scope, narrow;
    sp_buf_init(&scope, GRANT_MAX_BYTES);
    sp_buf_init(&narrow, GRANT_MAX_BYTES);
    int64_t now = engine_wall(engine);
    struct sp_grant grant = {.principal = sp_text_of(i->principal),
                             .scope_name = sp_text_of(i->scope),
                             .scope = printed(ask->frozen, &scope),
                             .narrow = printed(ask->narrow, &narrow),
                             .caveat = issue->narrow,
                             .args = issue->args,
                             .n_args = issue->n_args,
                             .bind = issue->bind,
                             .issued_ms = now,
                             .expires_ms = now + (int64_t)ask->ttl_ms,
                             .expires_boot_ms = engine_boot(engine) + (int64_t)ask->ttl_ms,
                             .boot_id = sp_text_of(engine->config.clock.boot_id)};
    sp_grant_encode(&grant, &i->grant);
    i->grant.failed = i->grant.failed || scope.failed || narrow.failed;
    randombytes_buf(i->row.id, sizeof i->row.id);
    i->row.grant = sp_buf_text(&i->grant);
    i->row.principal = sp_text_of(i->principal);
    i->row.scope = sp_text_of(i->scope);
    i->row.issued_ms = now;
    i->row.expires_ms = grant.expires_ms;
    sp_buf_done(&scope);
    sp_buf_done(&narrow);
}

/* [["owner","acme"],…], or their number where they would fill the record. */
static void record_args(struct sp_buf *r, const struct sp_issue *issue)
{
    size_t len = 0;
    for (size_t a = 0; a < issue->n_args; a++) {
        len += issue->args[a].name.len + issue->args[a].value.len;
    }
    if (issue->n_args == 0 || len > RECORDED_ARGS_MAX_BYTES) {
        if (issue->n_args > 0) {
            record_number(r, "args", (int64_t)issue->n_args);
        }
        return;
    }
    sp_buf_add_str(r, ",\"args\":[");
    for (size_t a = 0; a < issue->n_args; a++) {
        sp_buf_add_str(r, a ? ",[" : "[");
        sp_buf_add_json(r, issue->args[a].name);
        sp_buf_add_byte(r, ',');
        sp_buf_add_json(r, issue->args[a].value);
        sp_buf_add_byte(r, ']');
    }
    sp_buf_add_byte(r, ']');
}

static void make_record(struct issuing *i, const struct sp_issue *issue, const struct ask *ask)
{
    struct sp_buf *r = &i->job.records;
    record_begin(r, "issue");
    record_hex(r, "root", i->row.id, sizeof i->row.id);
    record_text(r, "principal", i->row.principal);
    record_text(r, "scope", i->row.scope);
    record_number(r, "ttl_ms", (int64_t)ask->ttl_ms);
    record_args(r, issue);
    if (issue->json) {
        record_text(r, "form", SP_TEXT("json"));
    }
    if (issue->narrow.len) {
        record_text(r, "narrow", issue->narrow);
    }
    if (issue->bind.len) {
        record_text(r, "bind", issue->bind);
    }
    record_end(r);
}

static bool extras_good(const struct sp_issue *issue, struct sp_decision *decision)
{
    struct sp_scope *caveat = NULL;
    struct sp_error err = {""};
    if (issue->bind.len && issue->bind.len != 40) {
        decide(decision, SP_CODE_BAD_REQUEST, "",
               "bind is a CURVE key of 40 characters of Z85");
        return false;
    }
    if (issue->narrow.len && sp_caveat_parse(issue->narrow, &caveat, &err)) {
        decide(decision, SP_CODE_BAD_REQUEST, "", "narrow: %s", err.text);
        return false;
    }
    sp_scope_free(caveat);
    return true;
}

static void record_denial(struct issuing *i, const struct sp_issue *issue)
{
    struct sp_buf r;
    sp_buf_init(&r, 8192);
    record_begin(&r, "denied");
    record_text(&r, "op", SP_TEXT("issue"));
    record_text(&r, "peer", sp_text_of(i->principal));
    record_text(&r, "scope", issue->scope);
    record_text(&r, "code", sp_text_of(sp_code_name(i->decision.code)));
    record_text(&r, "reason", sp_text_of(i->decision.reason));
    record_end(&r);
    record_send(i->engine, &r);
    sp_buf_done(&r);
}

static bool may_ask(struct sp_engine *engine, const struct sp_issue *issue, struct ask *ask,
                    struct sp_decision *decision)
{
    const struct actor *actor = actor_find(engine, issue->curve);
    if (!actor || actor->role != SP_ROLE_PRINCIPAL) {
        decide(decision, SP_CODE_NOT_PERMITTED, "principals stand in the policy files",
               "this client is no principal, so it cannot issue tokens");
        return false;
    }
    ask->principal = actor->identity;
    if (engine->state != SP_ENGINE_READY) {
        decide(decision, SP_CODE_SEALED, "an operator has to unseal it", "the host is sealed");
        return false;
    }
    return extras_good(issue, decision) &&
           (issue->json ? ask_by_json(engine, issue, ask, decision)
                        : ask_by_name(engine, issue, ask, decision));
}

void sp_engine_issue(struct sp_engine *engine, const struct sp_issue *issue,
                     sp_engine_issued issued, void *user)
{
    struct sp_decision busy = {.code = SP_CODE_BUSY, .reason = "out of memory"};
    struct ask ask = {.ttl_ms = 0};
    struct sp_text name = {NULL, 0};
    struct issuing *i = calloc(1, sizeof *i);
    if (!i) {
        issued(user, &busy, NULL);
        return;
    }
    *i = (struct issuing){.engine = engine, .issued = issued, .user = user};
    sp_buf_init(&i->grant, GRANT_MAX_BYTES);
    sp_buf_init(&i->job.records, 60 << 10);
    (void)sp_engine_role(engine, issue->curve, &name);
    copy_name(name, i->principal, sizeof i->principal);
    bool good = may_ask(engine, issue, &ask, &i->decision);
    if (good) {
        copy_name(sp_scope_name(ask.scope), i->scope, sizeof i->scope);
        i->live_max = ask.grant->live_max;
        make_row(i, issue, &ask);
        make_record(i, issue, &ask);
        copy_name(name, i->decision.principal, sizeof i->decision.principal);
        copy_name(sp_text_of(i->scope), i->decision.scope, sizeof i->decision.scope);
    } else {
        record_denial(i, issue);
    }
    sp_scope_free(ask.frozen);
    sp_scope_free(ask.narrow);
    if (good && i->grant.failed) {
        decide(&i->decision, SP_CODE_TOO_LARGE, "", "the scope is too large");
        good = false;
    }
    i->job.work = issue_work;
    i->job.done = on_stored;
    sp_status status = good ? sp_commit_submit(engine->commit, &i->job) : SP_OK;
    if (status) {
        decide(&i->decision, status == SP_EBUSY ? SP_CODE_BUSY : SP_CODE_AUDIT_UNAVAILABLE, "",
               "the audit or the store takes no writes now");
        sp_engine_until_when(i->engine, &i->decision);
    }
    if (!good || status) {
        refuse(i);
    }
}
