#include "plugin_host.h"

#include "plugin_check.h"
#include "plugin_push_sign.h"

#include <inttypes.h>
#include <stdlib.h>

const char *sp_hook_name(enum sp_hook hook)
{
    switch (hook) {
    case SP_HOOK_ENTRY:
        return "sallyport_plugin_v1";
    case SP_HOOK_DESCRIBE:
        return "describe";
    case SP_HOOK_OPEN:
        return "open";
    case SP_HOOK_CLOSE:
        return "close";
    case SP_HOOK_CHECK:
        return "check";
    case SP_HOOK_PLAN:
        return "plan";
    case SP_HOOK_PERMISSIONS:
        return "lease.permissions";
    case SP_HOOK_RENEW:
        return "lease.renew";
    case SP_HOOK_REVOKE:
        return "lease.revoke";
    case SP_HOOK_ROTATE:
        return "rotate.rotate";
    case SP_HOOK_FINISH:
        return "rotate.finish";
    case SP_HOOK_NONE:
    default:
        return "no hook";
    }
}

/* ---- the table -------------------------------------------------------------------------- */

bool sp_is_hook_thread(const struct sp_plugin_host *host)
{
    return pthread_equal(host->thread, pthread_self());
}

/* A text of the plugin's, made fit to be shown. */
static struct sp_text shown(const struct sallyport_text *text, char *room, size_t room_bytes)
{
    struct sp_text bytes = SP_TEXT("");
    if (text && text->ptr) {
        bytes.ptr = text->ptr;
        bytes.len = text->len > SP_PLUGIN_LINE_MAX ? SP_PLUGIN_LINE_MAX : (size_t)text->len;
    }
    sp_shown(bytes, room, room_bytes);
    return sp_text_of(room);
}

static int32_t table_log(const struct sallyport_host *table, uint32_t level,
                         const struct sallyport_text *text)
{
    struct sp_plugin_host *host = sp_plugin_host_of(table);
    char line[SP_PLUGIN_LINE_MAX + 1];
    if (!sp_is_hook_thread(host) || host->hook == SP_HOOK_NONE) {
        return SALLYPORT_E_CALL;
    }
    if (level > SALLYPORT_LOG_ERROR) {
        return SALLYPORT_E_INVALID;
    }
    struct sp_text clean = shown(text, line, sizeof line);
    if (host->log) {
        struct sp_text id = host->manifest.id.len ? host->manifest.id : sp_text_of(host->path);
        host->log(host->log_user, id, level, clean);
    }
    return SALLYPORT_OK;
}

static int32_t table_refuse(const struct sallyport_host *table, uint64_t call,
                            const struct sallyport_text *reason)
{
    struct sp_plugin_host *host = sp_plugin_host_of(table);
    char line[SP_PLUGIN_LINE_MAX + 1];
    if (!sp_is_hook_thread(host) || host->hook == SP_HOOK_NONE || call != host->call) {
        return SALLYPORT_E_CALL;
    }
    if (host->failed) {
        return SALLYPORT_E_FAILED;
    }
    host->failed = true;
    (void)sp_fail(&host->reason, SP_EINVAL, "%s", shown(reason, line, sizeof line).ptr);
    return SALLYPORT_OK;
}

static const void *table_extension(const struct sallyport_host *table, const char *id)
{
    static const struct sallyport_http http = {
        .size = sizeof http, .flags = SALLYPORT_HTTP_REPLACES, .perform = sp_http_perform};
    static const struct sallyport_lease_host lease = {.size = sizeof lease,
                                                      .push_permission = sp_push_permission};
    const struct sp_plugin_host *host = sp_plugin_host_of(table);
    if (id && strcmp(id, SALLYPORT_LEASE) == 0) {
        return &lease;
    }
    if (id && strcmp(id, SALLYPORT_SIGN) == 0) {
        return &sp_sign_table;
    }
    return id && strcmp(id, SALLYPORT_HTTP) == 0 && host->perform ? &http : NULL;
}

void sp_plugin_host_init(struct sp_plugin_host *host, const char *path,
                         const struct sp_plugin_rules *rules)
{
    *host = (struct sp_plugin_host){
        .table =
            {
                .size = sizeof host->table,
                .abi_minor = SALLYPORT_ABI_MINOR,
                .log = table_log,
                .refuse = table_refuse,
                .push_manifest = sp_push_manifest,
                .push_host = sp_push_host,
                .push_request_header = sp_push_request_header,
                .push_field = sp_push_field,
                .push_action = sp_push_action,
                .push_placement = sp_push_placement,
                .push_header = sp_push_header,
                .extension = table_extension,
            },
        .thread = pthread_self(),
        .path = path,
        .log = rules->log,
        .log_user = rules->log_user,
        .perform = rules->perform,
        .perform_user = rules->perform_user,
    };
}

/* ---- a call ----------------------------------------------------------------------------- */

uint64_t sp_hook_begin(struct sp_plugin_host *host, enum sp_hook hook, struct sp_arena *arena,
                       const struct sp_key_view *key)
{
    static const struct sp_list empty = {NULL, 0, 0};
    host->hook = hook;
    host->call++;
    host->failed = false;
    host->reason.text[0] = '\0';
    host->arena = arena;
    host->key = key;
    host->named = false;
    host->hosts = host->request_headers = host->fields = host->actions = empty;
    host->placements = host->headers = host->defaults = host->permissions = empty;
    host->names = key ? key->secrets : NULL;
    host->n_names = key ? key->n_secrets : 0;
    host->n_performed = 0;
    host->signature = NULL;
    return host->call;
}

static sp_status status_of(int32_t returned)
{
    switch (returned) {
    case SALLYPORT_E_MEMORY:
        return SP_ENOMEM;
    case SALLYPORT_E_LIMIT:
        return SP_ETOOBIG;
    case SALLYPORT_E_UNSUPPORTED:
        return SP_EUNSUPPORTED;
    case SALLYPORT_E_DENIED:
        return SP_EDENIED;
    case SALLYPORT_E_UPSTREAM:
        return SP_EIO;
    default:
        return SP_EINVAL;
    }
}

sp_status sp_hook_end(struct sp_plugin_host *host, int32_t returned, struct sp_error *err)
{
    enum sp_hook hook = host->hook;
    host->hook = SP_HOOK_NONE;
    host->arena = NULL;
    host->key = NULL;
    host->names = NULL;
    host->n_names = 0;
    if (returned == SALLYPORT_OK && !host->failed) {
        return SP_OK;
    }
    sp_status status = returned < 0 ? status_of(returned) : SP_EINVAL;
    const char *id = host->manifest.id.len ? host->manifest.id.ptr : host->path;
    if (host->reason.text[0]) {
        return sp_fail(err, status, "provider %s: %s", id, host->reason.text);
    }
    return sp_fail(err, status,
                   "provider %s: its %s hook failed with %" PRId32
                   " and gave no reason; ask the plugin's author",
                   id, sp_hook_name(hook), returned);
}

/* ---- the manifest -------------------------------------------------------------------------
 */

static int by_name(const void *a, const void *b)
{
    return sp_text_cmp(*(const struct sp_text *)a, *(const struct sp_text *)b);
}

/* Scopes name actions, so a name has to mean one. */
static sp_status actions_are_unique(const struct sp_manifest *manifest, const char *path,
                                    struct sp_error *err)
{
    sp_status status = SP_OK;
    struct sp_text *names = calloc(manifest->n_actions + 1, sizeof *names);
    if (!names) {
        return sp_fail(err, SP_ENOMEM, "plugin %s: out of memory", path);
    }
    for (size_t i = 0; i < manifest->n_actions; i++) {
        names[i] = manifest->actions[i].name;
    }
    qsort(names, manifest->n_actions, sizeof *names, by_name);
    for (size_t i = 1; !status && i < manifest->n_actions; i++) {
        if (sp_text_eq(names[i], names[i - 1])) {
            status =
                sp_fail(err, SP_EINVAL,
                        "plugin %s: its action %s is there twice; give each a name of its own",
                        path, names[i].ptr);
        }
    }
    free(names);
    return status;
}

sp_status sp_plugin_manifest_done(struct sp_plugin_host *host, struct sp_error *err)
{
    struct sp_manifest *manifest = &host->manifest;
    if (!host->named) {
        return sp_fail(err, SP_EINVAL,
                       "plugin %s: its describe hook pushed no manifest; call push_manifest",
                       host->path);
    }
    manifest->hosts = host->hosts.items;
    manifest->n_hosts = host->hosts.n;
    manifest->request_headers = host->request_headers.items;
    manifest->n_request_headers = host->request_headers.n;
    manifest->fields = host->fields.items;
    manifest->n_fields = host->fields.n;
    manifest->actions = host->actions.items;
    manifest->n_actions = host->actions.n;
    return actions_are_unique(manifest, host->path, err);
}

/* ---- what check and plan gave --------------------------------------------------------------
 */

sp_status sp_plugin_hosts_done(const struct sp_plugin_host *host, struct sp_error *err)
{
    return host->hosts.n > 0
               ? SP_OK
               : sp_fail(err, SP_EINVAL,
                         "provider %s: its check hook named no host for this key; push one",
                         host->manifest.id.ptr);
}

sp_status sp_plugin_plan_done(const struct sp_plugin_host *host, struct sp_plan *plan,
                              struct sp_error *err)
{
    if (host->placements.n == 0 && !host->signature) {
        return sp_fail(err, SP_EINVAL,
                       "provider %s: its plan puts no secret anywhere; push a placement",
                       host->manifest.id.ptr);
    }
    plan->placements = host->placements.items;
    plan->n_placements = host->placements.n;
    plan->headers = host->headers.items;
    plan->n_headers = host->headers.n;
    plan->defaults = host->defaults.items;
    plan->n_defaults = host->defaults.n;
    plan->signature = host->signature;
    plan->leased = false;
    for (size_t i = 0; i < plan->n_placements; i++) {
        plan->leased = plan->leased || sp_template_needs_lease(plan->placements[i].template);
    }
    return SP_OK;
}

void sp_plugin_permissions_done(struct sp_plugin_host *host)
{
    struct sp_text *words = host->permissions.items;
    size_t n = 0;
    if (host->permissions.n == 0) {
        return;
    }
    qsort(words, host->permissions.n, sizeof *words, by_name);
    for (size_t i = 0; i < host->permissions.n; i++) {
        if (n == 0 || !sp_text_eq(words[n - 1], words[i])) {
            words[n++] = words[i];
        }
    }
    host->permissions.n = n;
}
