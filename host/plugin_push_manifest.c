/* What a plugin pushes of itself, and the hosts of a key: checked, copied, listed. */
#include "plugin_check.h"
#include "plugin_push.h"
#include "request.h"

enum {
    HOSTS_MAX = 64,
    HOST_NAME_MAX_BYTES = 255,
    REQUEST_HEADERS_MAX = 64,
    FIELDS_MAX = 64,
    PREFIXES_MAX = 32,
    ACTIONS_MAX = 8192,
    ACTION_FIELDS_MAX = 512,
    SETTING_MAX_BYTES = 4096,
    SECRET_MAX_BYTES = 16384,
};

static bool may_be_empty(struct sp_text text)
{
    return text.len == 0 || sp_is_line(text);
}

static bool is_listed(const struct sp_list *list, struct sp_text text)
{
    const struct sp_text *items = list->items;
    for (size_t i = 0; i < list->n; i++) {
        if (sp_text_eq(items[i], text)) {
            return true;
        }
    }
    return false;
}

int32_t sp_push_manifest(const struct sallyport_host *table, uint64_t call,
                         const struct sallyport_manifest *manifest)
{
    struct sp_plugin_host *host = sp_plugin_host_of(table);
    int32_t status = sp_push_begin(host, call, IN(SP_HOOK_DESCRIBE), "push_manifest");
    if (status) {
        return status;
    }
    if (!IS_V1(manifest, sallyport_manifest, description) || manifest->flags) {
        return sp_push_refuse_form(host, "manifest");
    }
    if (host->named) {
        return sp_push_refuse(host, SALLYPORT_E_INVALID, "the plugin pushed two manifests");
    }
    host->named = true;
    struct sp_manifest *to = &host->manifest;
    status = sp_push_take(host, &manifest->id, SP_PLUGIN_ID_MAX, sp_is_provider_id,
                          "provider id", &to->id);
    if (!status) {
        status = sp_push_take(host, &manifest->version, SP_PLUGIN_ID_MAX, sp_is_visible,
                              "version", &to->version);
    }
    return status ? status
                  : sp_push_take(host, &manifest->description, SP_PLUGIN_LINE_MAX, may_be_empty,
                                 "description", &to->description);
}

/* May this key be fixed to that host? Those of the manifest, and those that an operator wrote
 * into a field for it. A manifest without hosts leaves it to the check hook. */
static bool host_is_allowed(const struct sp_plugin_host *host, struct sp_text name)
{
    const struct sp_manifest *manifest = &host->manifest;
    for (size_t i = 0; i < manifest->n_hosts; i++) {
        if (sp_text_eq(manifest->hosts[i], name)) {
            return true;
        }
    }
    for (size_t i = 0; i < host->key->n_settings; i++) {
        const struct sp_field *field = sp_manifest_field(manifest, host->key->settings[i].name);
        struct sp_text list = host->key->settings[i].value, raw, canonical;
        while (field && field->type == SP_FIELD_HOST && sp_host_next(&list, &raw)) {
            if (!sp_host_parse(host->arena, raw, &canonical, NULL) &&
                sp_text_eq(canonical, name)) {
                return true;
            }
        }
    }
    return manifest->n_hosts == 0;
}

int32_t sp_push_host(const struct sallyport_host *table, uint64_t call,
                     const struct sallyport_text *name)
{
    struct sp_plugin_host *host = sp_plugin_host_of(table);
    struct sp_text raw, canonical;
    int32_t status =
        sp_push_begin(host, call, IN(SP_HOOK_DESCRIBE) | IN(SP_HOOK_CHECK), "push_host");
    if (!status) {
        status =
            sp_push_take(host, name, HOST_NAME_MAX_BYTES, sp_is_visible, "host name", &raw);
    }
    if (status) {
        return status;
    }
    struct sp_error why = {""};
    if (sp_host_parse(host->arena, raw, &canonical, &why)) {
        return sp_push_refuse(host, SALLYPORT_E_INVALID,
                              "the plugin pushed a bad host name: %s", why.text);
    }
    if (is_listed(&host->hosts, canonical)) {
        return SALLYPORT_OK;
    }
    if (host->hook == SP_HOOK_CHECK && !host_is_allowed(host, canonical)) {
        return sp_push_refuse(host, SALLYPORT_E_DENIED,
                              "the plugin wants the host %s, which is neither in its manifest "
                              "nor in this key's settings",
                              canonical.ptr);
    }
    void *item = NULL;
    status = sp_push_item(host, &host->hosts, sizeof canonical, HOSTS_MAX, "hosts", &item);
    if (!status) {
        *(struct sp_text *)item = canonical;
    }
    return status;
}

int32_t sp_push_request_header(const struct sallyport_host *table, uint64_t call,
                               const struct sallyport_text *name)
{
    struct sp_plugin_host *host = sp_plugin_host_of(table);
    struct sp_text copy;
    int32_t status = sp_push_begin(host, call, IN(SP_HOOK_DESCRIBE), "push_request_header");
    if (!status) {
        status = sp_push_take(host, name, SP_PLUGIN_HEADER_NAME_MAX, sp_is_header_name,
                              "header name", &copy);
    }
    if (status) {
        return status;
    }
    if (sp_header_is_forbidden(copy) || sp_header_is_credential(copy)) {
        return sp_push_refuse(host, SALLYPORT_E_DENIED,
                              "the plugin wants to let the header %s through from clients, "
                              "which is never a client's",
                              copy.ptr);
    }
    void *item = NULL;
    status = sp_push_item(host, &host->request_headers, sizeof copy, REQUEST_HEADERS_MAX,
                          "request headers", &item);
    if (!status) {
        *(struct sp_text *)item = copy;
    }
    return status;
}

static int32_t prefixes_take(struct sp_plugin_host *host, const struct sallyport_field *field,
                             struct sp_field *to)
{
    if (field->n_prefixes > PREFIXES_MAX || (field->n_prefixes && !field->prefixes)) {
        return sp_push_refuse(host, SALLYPORT_E_LIMIT,
                              "the plugin pushed a field with more than %d prefixes",
                              PREFIXES_MAX);
    }
    struct sp_field_prefix *prefixes =
        sp_arena_array(host->arena, field->n_prefixes, sizeof *prefixes);
    if (!prefixes) {
        return sp_push_refuse(host, SALLYPORT_E_LIMIT, "out of memory");
    }
    int32_t status = SALLYPORT_OK;
    for (uint32_t i = 0; !status && i < field->n_prefixes; i++) {
        const struct sallyport_prefix *prefix = field->prefixes[i];
        if (!IS_V1(prefix, sallyport_prefix, label) || prefix->flags) {
            return sp_push_refuse_form(host, "prefix");
        }
        status = sp_push_take(host, &prefix->prefix, SP_PLUGIN_ID_MAX, sp_is_visible, "prefix",
                              &prefixes[i].prefix);
        if (!status) {
            status = sp_push_take(host, &prefix->label, SP_PLUGIN_ID_MAX, may_be_empty, "label",
                                  &prefixes[i].label);
        }
    }
    to->prefixes = prefixes;
    to->n_prefixes = field->n_prefixes;
    return status;
}

static int32_t field_texts_take(struct sp_plugin_host *host,
                                const struct sallyport_field *field, struct sp_field *to)
{
    int32_t status = sp_push_take(host, &field->name, SP_PLUGIN_ID_MAX, sp_is_field_name,
                                  "field name", &to->name);
    if (!status) {
        status = sp_push_take(host, &field->description, SP_PLUGIN_LINE_MAX, may_be_empty,
                              "field description", &to->description);
    }
    if (!status) {
        status = sp_push_take(host, &field->fallback, SP_PLUGIN_LINE_MAX, may_be_empty,
                              "fallback", &to->fallback);
    }
    if (!status && field->derives.len) {
        status = sp_push_take(host, &field->derives, SP_PLUGIN_ID_MAX, sp_is_field_name,
                              "name of a derived setting", &to->derives);
    }
    return status;
}

/* What holds between the members of a field. */
static const char *field_wrong(const struct sp_plugin_host *host, const struct sp_field *field)
{
    const struct sp_field *fields = host->fields.items;
    bool secret = field->type == SP_FIELD_SECRET;
    if (!secret && (field->n_prefixes || field->derives.len)) {
        return "has prefixes and is no secret";
    }
    if (secret && field->fallback.len) {
        return "is a secret with a fallback";
    }
    if (field->min_bytes > field->max_bytes) {
        return "has a least length over its greatest";
    }
    for (size_t i = 0; i + 1 < host->fields.n; i++) { /* the last one is this one */
        if (sp_text_eq(fields[i].name, field->name) ||
            sp_text_eq(fields[i].derives, field->name) ||
            (field->derives.len && (sp_text_eq(fields[i].name, field->derives) ||
                                    sp_text_eq(fields[i].derives, field->derives)))) {
            return "was pushed before";
        }
    }
    if (field->fallback.len && sp_field_check(field, field->fallback, NULL, NULL)) {
        return "has a fallback that it would not take itself";
    }
    return NULL;
}

int32_t sp_push_field(const struct sallyport_host *table, uint64_t call,
                      const struct sallyport_field *field)
{
    struct sp_plugin_host *host = sp_plugin_host_of(table);
    void *item = NULL;
    int32_t status = sp_push_begin(host, call, IN(SP_HOOK_DESCRIBE), "push_field");
    if (status) {
        return status;
    }
    if (!IS_V1(field, sallyport_field, reserved) || field->type > SALLYPORT_FIELD_HOST ||
        field->flags & ~SALLYPORT_FIELD_REQUIRED || field->charset > SALLYPORT_CHARSET_TEXT ||
        field->reserved) {
        return sp_push_refuse_form(host, "field");
    }
    status =
        sp_push_item(host, &host->fields, sizeof(struct sp_field), FIELDS_MAX, "fields", &item);
    if (status) {
        return status;
    }
    struct sp_field *to = item;
    uint32_t most =
        field->type == SALLYPORT_FIELD_SECRET ? SECRET_MAX_BYTES : SETTING_MAX_BYTES;
    /* The numbers of the ABI and of the host are the same; tests/unit/test_plugin_abi.c. */
    to->type = (enum sp_field_type)field->type;
    to->charset = (enum sp_charset)field->charset;
    to->required = field->flags & SALLYPORT_FIELD_REQUIRED;
    to->min_bytes = field->min_bytes;
    if (to->min_bytes == 0 && (to->required || field->type == SALLYPORT_FIELD_SECRET)) {
        to->min_bytes = 1; /* an empty one would be none */
    }
    to->max_bytes = field->max_bytes && field->max_bytes < most ? field->max_bytes : most;
    status = field_texts_take(host, field, to);
    if (!status) {
        status = prefixes_take(host, field, to);
    }
    const char *wrong = status ? NULL : field_wrong(host, to);
    return wrong ? sp_push_refuse(host, SALLYPORT_E_INVALID, "the plugin's field %s %s",
                                  to->name.ptr, wrong)
                 : status;
}

static bool is_action_type(struct sp_text text)
{
    return sp_text_is(text, "string") || sp_text_is(text, "integer") ||
           sp_text_is(text, "boolean") || sp_text_is(text, "array") ||
           sp_text_is(text, "object");
}

static int32_t action_fields_take(struct sp_plugin_host *host,
                                  const struct sallyport_action *action, struct sp_action *to)
{
    if (action->n_fields > ACTION_FIELDS_MAX || (action->n_fields && !action->fields)) {
        return sp_push_refuse(host, SALLYPORT_E_LIMIT,
                              "the plugin pushed an action with more than %d fields",
                              ACTION_FIELDS_MAX);
    }
    struct sp_action_field *fields =
        sp_arena_array(host->arena, action->n_fields, sizeof *fields);
    if (!fields) {
        return sp_push_refuse(host, SALLYPORT_E_LIMIT, "out of memory");
    }
    int32_t status = SALLYPORT_OK;
    for (uint32_t i = 0; !status && i < action->n_fields; i++) {
        const struct sallyport_action_field *field = action->fields[i];
        if (!IS_V1(field, sallyport_action_field, type) || field->flags) {
            return sp_push_refuse_form(host, "field of an action");
        }
        status = sp_push_take(host, &field->name, SP_PLUGIN_HEADER_NAME_MAX, sp_is_visible,
                              "name of an action's field", &fields[i].name);
        if (!status) {
            status = sp_push_take(host, &field->type, 16, is_action_type,
                                  "type of an action's field", &fields[i].type);
        }
    }
    to->fields = fields;
    to->n_fields = action->n_fields;
    return status;
}

int32_t sp_push_action(const struct sallyport_host *table, uint64_t call,
                       const struct sallyport_action *action)
{
    struct sp_plugin_host *host = sp_plugin_host_of(table);
    void *item = NULL;
    int32_t status = sp_push_begin(host, call, IN(SP_HOOK_DESCRIBE), "push_action");
    if (status) {
        return status;
    }
    if (!IS_V1(action, sallyport_action, reserved) ||
        action->flags & ~SALLYPORT_ACTION_ESCALATES || action->reserved) {
        return sp_push_refuse_form(host, "action");
    }
    status = sp_push_item(host, &host->actions, sizeof(struct sp_action), ACTIONS_MAX,
                          "actions", &item);
    if (status) {
        return status;
    }
    struct sp_action *to = item;
    to->escalates = action->flags & SALLYPORT_ACTION_ESCALATES;
    status = sp_push_take(host, &action->name, SP_PLUGIN_HEADER_NAME_MAX, sp_is_action_name,
                          "action name", &to->name);
    if (!status) {
        status = sp_push_take(host, &action->method, 16, sp_is_method, "method", &to->method);
    }
    if (!status) {
        status = sp_push_take(host, &action->path, SP_PLUGIN_PATH_MAX, sp_is_path_template,
                              "action path", &to->path);
    }
    return status ? status : action_fields_take(host, action, to);
}
