/* key.add, key.rotate and key.set: the settings are split between host and plugin and checked,
 * the provider names the hosts, and only then do the secrets move into guarded memory. */
#include "host.h"

#include <stdio.h>

enum { FIELDS_MAX = 64 };

struct putting {
    struct sp_host *host;
    struct sp_exchange *exchange;
    const struct sp_message_key *message;
    const struct sp_key *old;  /* rotate, set: the version that stands */
    const struct sp_key *past; /* the one that stood at first; NULL: it still does */
    struct sp_text by;
    struct sp_provider *provider;
    struct sp_key_input input;
    struct sp_key_setting *settings; /* of input; FIELDS_MAX */
    struct sp_text provider_id;
    bool add, set;
    bool dry; /* key.check: everything but the writing */
};

static void fail(struct putting *p, enum sp_code code, const char *reason, const char *hint)
{
    sp_key_unref(p->host->engine, p->old);
    sp_key_unref(p->host->engine, p->past);
    p->old = p->past = NULL;
    sp_ops_fail(p->host, p->exchange, SP_TEXT(""), code, reason, hint);
}

static bool is_given(const struct sp_key_setting *given, size_t n, struct sp_text name)
{
    for (size_t i = 0; i < n; i++) {
        if (sp_text_eq(given[i].name, name)) {
            return true;
        }
    }
    return false;
}

static sp_status add_setting(struct putting *p, struct sp_key_setting setting,
                             struct sp_error *err)
{
    if (p->input.n_settings == FIELDS_MAX) {
        return sp_fail(err, SP_ETOOBIG, "too many settings");
    }
    p->settings[p->input.n_settings++] = setting;
    return SP_OK;
}

/* What stands and is neither changed nor dropped. Settings that a secret's shape gave stay with
 * the secret. */
static sp_status keep_settings(struct putting *p, struct sp_error *err)
{
    const struct sp_message_key *m = p->message;
    sp_status status = SP_OK;
    for (size_t i = 0; !status && i < p->old->n_settings; i++) {
        const struct sp_key_setting *setting = &p->old->settings[i];
        bool dropped = is_given(m->settings, m->n_settings, setting->name) ||
                       (!p->set && sp_manifest_derives(p->provider->manifest, setting->name));
        for (size_t k = 0; k < m->n_unset && !dropped; k++) {
            dropped = sp_text_eq(m->unset[k], setting->name);
        }
        status = dropped ? SP_OK : add_setting(p, *setting, err);
    }
    return status;
}

static sp_status check_unset(const struct putting *p, struct sp_error *err)
{
    const struct sp_message_key *m = p->message;
    for (size_t i = 0; i < m->n_unset; i++) {
        struct sp_text name = m->unset[i];
        if (!is_given(p->old->settings, p->old->n_settings, name) ||
            sp_manifest_derives(p->provider->manifest, name)) {
            return sp_fail(err, SP_EINVAL, "'%.*s' is not set, so it cannot be unset",
                           (int)name.len, name.ptr);
        }
    }
    for (size_t i = 0; i < m->n_settings; i++) {
        struct sp_text name = m->settings[i].name;
        if (sp_manifest_derives(p->provider->manifest, name)) {
            return sp_fail(err, SP_EINVAL, "'%.*s' is read off the secret, and not to be set",
                           (int)name.len, name.ptr);
        }
    }
    return m->n_settings + m->n_unset > 0 ? SP_OK
                                          : sp_fail(err, SP_EINVAL, "nothing is to be changed");
}

/* Those given; and what stands: for key.set, and at a rotation without any. */
static sp_status take_settings(struct putting *p, struct sp_error *err)
{
    const struct sp_message_key *m = p->message;
    bool keep = p->old && (p->set || m->n_settings == 0);
    sp_status status = p->set ? check_unset(p, err) : SP_OK;
    status = status ? status : keep ? keep_settings(p, err) : SP_OK;
    for (size_t i = 0; !status && i < m->n_settings; i++) {
        status = add_setting(p, m->settings[i], err);
    }
    return status;
}

/* Every name is one of the provider's fields (or the host's), of the right sort, and none that
 * is required is missing. */
static sp_status check_fields(struct putting *p, struct sp_error *err)
{
    const struct sp_manifest *manifest = p->provider->manifest;
    const struct sp_message_key *m = p->message;
    for (size_t i = 0; i < p->input.n_settings; i++) {
        struct sp_text name = p->input.settings[i].name;
        const struct sp_field *field = sp_manifest_field(manifest, name);
        if (!sp_egress_is_setting(name) && (!field || field->type == SP_FIELD_SECRET) &&
            !(p->set && sp_manifest_derives(manifest, name))) {
            return sp_fail(err, SP_EINVAL, "%s has no setting '%.*s'%s", manifest->id.ptr,
                           (int)name.len, name.ptr,
                           field ? " (it is a secret: --secret NAME=FILE)" : "");
        }
    }
    for (size_t i = 0; i < m->n_secrets; i++) {
        struct sp_text name = m->secrets[i].name;
        const struct sp_field *field = sp_manifest_field(manifest, name);
        if (!field || field->type != SP_FIELD_SECRET) {
            return sp_fail(err, SP_EINVAL, "%s has no secret '%.*s'", manifest->id.ptr,
                           (int)name.len, name.ptr);
        }
        struct sp_text label = {NULL, 0};
        sp_status status = sp_field_check(field, m->secrets[i].value, &label, err);
        if (status) {
            return status;
        }
        if (label.len && p->input.n_settings < FIELDS_MAX) {
            /* what the secret's shape says (live or test, say), for the plugin and for people
             */
            p->settings[p->input.n_settings++] = (struct sp_key_setting){field->derives, label};
        }
    }
    for (size_t i = 0; i < manifest->n_fields; i++) {
        const struct sp_field *field = &manifest->fields[i];
        bool given = field->type == SP_FIELD_SECRET
                         ? p->set || is_given(m->secrets, m->n_secrets, field->name)
                         : is_given(p->input.settings, p->input.n_settings, field->name);
        if (field->required && !given) {
            return sp_fail(err, SP_EINVAL, "%s needs '%.*s': %.*s", manifest->id.ptr,
                           (int)field->name.len, field->name.ptr, (int)field->description.len,
                           field->description.ptr);
        }
    }
    return sp_egress_check_settings(p->input.settings, p->input.n_settings, err);
}

/* Into guarded memory: out of the message, or for key.set out of the version that stands. The
 * engine takes them over with the input. */
static sp_status move_secrets(struct putting *p)
{
    const struct sp_message_key *m = p->message;
    size_t n = p->set ? p->old->n_secrets : m->n_secrets;
    p->input.secrets = sp_arena_array(&p->exchange->arena, n, sizeof *p->input.secrets);
    if (!p->input.secrets) {
        return SP_ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        struct sp_key_secret *secret = &p->input.secrets[i];
        struct sp_text name = p->set ? p->old->secrets[i].name : m->secrets[i].name;
        struct sp_text value =
            p->set ? sp_secret_text(&p->old->secrets[i].value) : m->secrets[i].value;
        sp_status status =
            sp_secret_new(sp_engine_pool(p->host->engine), value.len, &secret->value);
        if (status) {
            while (i-- > 0) {
                sp_secret_free(&p->input.secrets[i].value);
            }
            return status;
        }
        secret->name = name;
        memcpy(secret->value.ptr, value.ptr, value.len);
    }
    p->input.n_secrets = n;
    return SP_OK;
}

static void on_put(void *user, sp_status status, const struct sp_error *err)
{
    struct putting *p = user;
    if (status) {
        fail(p,
             sp_message_code(p->add   ? SP_OP_KEY_ADD
                             : p->set ? SP_OP_KEY_SET
                                      : SP_OP_KEY_ROTATE,
                             status),
             err ? err->text : "", "");
        return;
    }
    if (!p->add) {
        sp_providers_forget(p->host->providers, p->input.id);
        sp_egress_forget(p->host->egress, p->input.id);
        sp_key_unref(p->host->engine, p->old);
        sp_key_unref(p->host->engine, p->past);
    }
    SP_LOG(&p->host->log, SP_LOG_INFO,
           p->add   ? "key.added"
           : p->set ? "key.set"
                    : "key.rotated",
           {"key", p->input.id}, {"by", p->by});
    const struct sp_key *key = sp_engine_key(p->host->engine, p->input.id);
    if (key) {
        sp_message_put_key(&p->exchange->reply, key);
        sp_key_unref(p->host->engine, key);
    } else {
        sp_message_put_ok(&p->exchange->reply, SP_TEXT(""), 0);
    }
    sp_exchange_reply(p->exchange);
}

static bool same_hosts(const struct sp_key *old, const struct sp_text *hosts, size_t n_hosts)
{
    bool same = old->n_hosts == n_hosts;
    for (size_t i = 0; same && i < n_hosts; i++) {
        same = sp_text_eq(old->hosts[i], hosts[i]);
    }
    return same;
}

/* Whether another change came between: then what we hold of the key is the past. Where only the
 * upstream replaced a secret, its settings are what they were: this change goes on top. */
static bool was_changed(struct putting *p)
{
    const struct sp_key *now = p->old ? sp_engine_key(p->host->engine, p->input.id) : NULL;
    bool changed = p->old && (!now || now->since != p->old->since);
    if (now && !changed && now != p->old) {
        p->past = p->old;
        p->old = now;
    } else {
        sp_key_unref(p->host->engine, now);
    }
    return changed;
}

static void on_checked(void *user, sp_status status, const struct sp_text *hosts,
                       size_t n_hosts, const struct sp_error *err)
{
    struct putting *p = user;
    if (status) {
        fail(p, SP_CODE_BAD_REQUEST, err && *err->text ? err->text : "the provider refused it",
             "");
        return;
    }
    if (was_changed(p)) {
        fail(p, SP_CODE_CONFLICT, "the key was changed meanwhile", "look at it, and try again");
        return;
    }
    if (p->old && !same_hosts(p->old, hosts, n_hosts)) {
        fail(p, SP_CODE_BAD_REQUEST,
             p->set ? "a setting cannot change a key's hosts"
                    : "a rotation cannot change a key's hosts",
             "add a new key for the other host");
        return;
    }
    struct sp_text *copies = sp_arena_array(&p->exchange->arena, n_hosts, sizeof *copies);
    status = copies ? SP_OK : SP_ENOMEM;
    for (size_t i = 0; !status && i < n_hosts; i++) {
        copies[i] = sp_arena_copy(&p->exchange->arena, hosts[i]);
        status = copies[i].ptr ? SP_OK : SP_ENOMEM;
    }
    p->input.hosts = copies;
    p->input.n_hosts = n_hosts;
    if (p->dry) {
        sp_message_put_ok(&p->exchange->reply, SP_TEXT(""), 0);
        sp_exchange_reply(p->exchange);
        return;
    }
    if (status || move_secrets(p)) {
        fail(p, SP_CODE_BUSY, "out of memory for secrets", "");
        return;
    }
    if (p->add) {
        sp_engine_key_add(p->host->engine, &p->input, p->by, on_put, p);
    } else if (p->set) {
        sp_engine_key_set(p->host->engine, &p->input, p->by, on_put, p);
    } else {
        sp_engine_key_rotate(p->host->engine, &p->input, p->by, on_put, p);
    }
}

/* Would the provider take the key so, and which hosts is it for? */
static void ask_provider(struct putting *p)
{
    struct sp_arena *arena = &p->exchange->arena;
    const struct sp_message_key *m = p->message;
    size_t n_secrets = p->set ? p->old->n_secrets : m->n_secrets;
    struct sp_setting *settings = sp_arena_array(arena, p->input.n_settings, sizeof *settings);
    struct sp_text *names = sp_arena_array(arena, n_secrets, sizeof *names);
    if (!settings || !names) {
        fail(p, SP_CODE_BUSY, "out of memory", "");
        return;
    }
    struct sp_key_view view = {.id = m->id,
                               .version = p->old ? p->old->version + 1 : 1,
                               .settings = settings,
                               .secrets = names,
                               .n_secrets = n_secrets};
    for (size_t i = 0; i < p->input.n_settings; i++) {
        if (!sp_egress_is_setting(p->input.settings[i].name)) {
            settings[view.n_settings++] =
                (struct sp_setting){p->input.settings[i].name, p->input.settings[i].value};
        }
    }
    for (size_t i = 0; i < n_secrets; i++) {
        names[i] = p->set ? p->old->secrets[i].name : m->secrets[i].name;
    }
    p->provider->n_calls++;
    p->provider->ops->check(p->provider, &view, on_checked, p);
}

void sp_ops_key_put(struct sp_host *host, struct sp_exchange *exchange,
                    const struct sp_message *message, struct sp_text by)
{
    const struct sp_message_key *m = &message->as.key;
    struct putting *p = sp_arena_alloc(&exchange->arena, sizeof *p);
    struct sp_key_setting *own = sp_arena_array(&exchange->arena, FIELDS_MAX, sizeof *own);
    if (!p || !own) {
        sp_ops_fail(host, exchange, SP_TEXT(""), SP_CODE_BUSY, "out of memory", "");
        return;
    }
    *p = (struct putting){.host = host,
                          .exchange = exchange,
                          .message = m,
                          .by = sp_arena_copy(&exchange->arena, by),
                          .add = message->op == SP_OP_KEY_ADD || message->op == SP_OP_KEY_CHECK,
                          .set = message->op == SP_OP_KEY_SET,
                          .dry = message->op == SP_OP_KEY_CHECK};
    p->provider_id = m->provider;
    p->settings = own;
    p->input = (struct sp_key_input){.id = m->id, .settings = own};
    if (!p->add) {
        p->old = sp_engine_key(host->engine, m->id);
        if (!p->old) {
            fail(p, SP_CODE_NOT_FOUND, "there is no key of that id", "`sallyport key list`");
            return;
        }
        p->provider_id = p->old->provider;
    }
    p->input.provider = p->provider_id;
    p->provider = sp_providers_find(host->providers, p->provider_id);
    if (!p->provider) {
        fail(p, SP_CODE_NOT_FOUND, "no plugin for that provider is loaded",
             "`sallyport plugin list` shows those that are");
        return;
    }
    struct sp_error err = {""};
    if (take_settings(p, &err) || check_fields(p, &err)) {
        fail(p, SP_CODE_BAD_REQUEST, err.text, "");
        return;
    }
    ask_provider(p);
}

/* ---- key.test ------------------------------------------------------------------------------
 */

struct testing {
    struct sp_host *host;
    struct sp_exchange *exchange;
    struct sp_request request;
    const struct sp_key *key;
    struct sp_plan_ref *plan;
    const struct sp_key *sent; /* key, or with the secrets of a lease in it */
    struct sp_lease *lease;    /* NULL: none is needed */
    char path[SP_URL_MAX_BYTES];
};

static void test_end(struct testing *t)
{
    sp_plan_unref(t->plan);
    sp_leases_give_back(t->host->leases, t->sent, t->lease, false);
    sp_key_unref(t->host->engine, t->key);
}

static void test_fail(struct testing *t, enum sp_code code, const char *reason)
{
    test_end(t);
    sp_ops_fail(t->host, t->exchange, SP_TEXT(""), code, reason, "");
}

static void on_tested(void *user, const struct sp_reply *reply)
{
    struct testing *t = user;
    if (reply->code != SP_CODE_OK) {
        test_fail(t, reply->code, reply->reason);
        return;
    }
    sp_message_put_ok(&t->exchange->reply, SP_TEXT(""), 2);
    sp_wire_pair_int(&t->exchange->reply, "status", reply->http_status);
    sp_wire_pair_bool(&t->exchange->reply, "accepted",
                      reply->http_status != 401 && reply->http_status != 403);
    test_end(t);
    sp_exchange_reply(t->exchange);
}

static void test_send(struct testing *t, const struct sp_key *sent)
{
    struct sp_error why = {""};
    uint64_t id;
    t->sent = sent;
    struct sp_send send = {.key = sent, .plan = &t->plan->plan, .request = &t->request};
    if (sp_egress_send(t->host->egress, &send, on_tested, t, &id, &why)) {
        test_fail(t, SP_CODE_BUSY, *why.text ? why.text : "no slot is free");
    }
}

static void on_test_leased(void *user, const struct sp_key *key, struct sp_lease *lease,
                           const struct sp_error *err)
{
    struct testing *t = user;
    if (!key) {
        test_fail(t, SP_CODE_UPSTREAM_FAILED, err->text);
        return;
    }
    t->lease = lease;
    test_send(t, key);
}

/* A credential that is minted for this one request, and may do no more. */
static void test_with_lease(struct testing *t)
{
    struct sp_buf path;
    struct sp_url bare = t->request.url;
    bare.query = NULL;
    bare.n_query = 0;
    sp_buf_init(&path, sizeof t->path - 1);
    sp_url_print_target(&bare, &path);
    (void)snprintf(t->path, sizeof t->path, "%.*s", (int)path.len, path.ptr);
    sp_buf_done(&path);
    const struct sp_reach reach = {
        .methods = SP_TEXT("GET"), .host = t->request.url.host, .path = sp_text_of(t->path)};
    sp_leases_take_once(t->host->leases, t->key, &reach, on_test_leased, t);
}

static void on_test_plan(void *user, struct sp_plan_ref *plan, const struct sp_error *err)
{
    struct testing *t = user;
    t->plan = plan;
    if (!plan) {
        test_fail(t, SP_CODE_INTERNAL, err ? err->text : "no plan");
    } else if (plan->plan.leased) {
        test_with_lease(t);
    } else {
        test_send(t, t->key);
    }
}

/* The use of the key is on record: now it may be used. */
static void on_test_recorded(void *user, sp_status status, const struct sp_error *err)
{
    struct testing *t = user;
    if (status) {
        test_fail(t, sp_message_code(SP_OP_KEY_TEST, status), err ? err->text : "");
        return;
    }
    sp_providers_plan(t->host->providers, t->key, on_test_plan, t);
}

void sp_ops_key_test(struct sp_host *host, struct sp_exchange *exchange,
                     const struct sp_message *message, struct sp_text by)
{
    const struct sp_message_key *m = &message->as.key;
    struct testing *t = sp_arena_alloc(&exchange->arena, sizeof *t);
    const struct sp_key *key = t ? sp_engine_key(host->engine, m->id) : NULL;
    if (!key) {
        sp_ops_fail(host, exchange, SP_TEXT(""), SP_CODE_NOT_FOUND,
                    "there is no key of that id", "`sallyport key list`");
        return;
    }
    t->host = host;
    t->exchange = exchange;
    t->key = key;
    char root[SP_HOST_MAX_BYTES + 16];
    (void)snprintf(root, sizeof root, "https://%.*s/", (int)key->hosts[0].len,
                   key->hosts[0].ptr);
    struct sp_raw_request raw = {.method = SP_TEXT("GET"),
                                 .url = m->url.len ? m->url : sp_text_of(root)};
    struct sp_error err = {""};
    if (sp_canonical(&exchange->arena, &raw, &t->request, &err)) {
        test_fail(t, SP_CODE_BAD_REQUEST, err.text);
        return;
    }
    if (!sp_key_covers(key, t->request.url.host)) {
        test_fail(t, SP_CODE_KEY_NOT_IN_SCOPE, "this key is not for that host");
        return;
    }
    sp_engine_key_tested(host->engine, m->id, by, on_test_recorded, t);
}
