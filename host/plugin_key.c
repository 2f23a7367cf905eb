#include "plugin_key.h"

#include "plugin_check.h"

static bool has_setting(const struct sp_setting *settings, size_t n, struct sp_text name)
{
    for (size_t i = 0; i < n; i++) {
        if (sp_text_eq(settings[i].name, name)) {
            return true;
        }
    }
    return false;
}

static bool has_secret(const struct sp_key_view *key, struct sp_text name)
{
    for (size_t i = 0; i < key->n_secrets; i++) {
        if (sp_text_eq(key->secrets[i], name)) {
            return true;
        }
    }
    return false;
}

static sp_status settings_check(const struct sp_manifest *manifest,
                                const struct sp_key_view *key, struct sp_error *err)
{
    for (size_t i = 0; i < key->n_settings; i++) {
        char name[SP_PLUGIN_ID_MAX + 1];
        const struct sp_setting *setting = &key->settings[i];
        const struct sp_field *field = sp_manifest_field(manifest, setting->name);
        sp_shown(setting->name, name, sizeof name);
        if (has_setting(key->settings, i, setting->name)) {
            return sp_fail(err, SP_EINVAL, "provider %s: setting %s is there twice",
                           manifest->id.ptr, name);
        }
        if (field && field->type == SP_FIELD_SECRET) {
            return sp_fail(err, SP_EINVAL, "provider %s: %s is a secret, not a setting",
                           manifest->id.ptr, name);
        }
        if (!field && !sp_manifest_derives(manifest, setting->name)) {
            return sp_fail(err, SP_EINVAL, "provider %s: there is no setting %s",
                           manifest->id.ptr, name);
        }
        struct sp_error why = {""};
        sp_status status = field ? sp_field_check(field, setting->value, NULL, &why) : SP_OK;
        if (status) {
            return sp_fail(err, status, "provider %s: setting %s", manifest->id.ptr, why.text);
        }
    }
    for (size_t i = 0; i < key->n_secrets; i++) {
        char name[SP_PLUGIN_ID_MAX + 1];
        const struct sp_field *field = sp_manifest_field(manifest, key->secrets[i]);
        const struct sp_text previous = SP_TEXT(SP_PREVIOUS_PREFIX);
        if (manifest->leases && sp_is_lease_name(key->secrets[i])) {
            continue; /* minted */
        }
        if (manifest->rotates && sp_text_starts(key->secrets[i], previous)) {
            field = sp_manifest_field(manifest,
                                      (struct sp_text){key->secrets[i].ptr + previous.len,
                                                       key->secrets[i].len - previous.len});
        }
        sp_shown(key->secrets[i], name, sizeof name);
        if (!field || field->type != SP_FIELD_SECRET) {
            return sp_fail(err, SP_EINVAL, "provider %s: there is no secret %s",
                           manifest->id.ptr, name);
        }
    }
    return SP_OK;
}

/* The settings as set, then the fallbacks of those that are not; a required one is missing no
 * longer. */
static sp_status settings_fill(struct sp_arena *arena, const struct sp_manifest *manifest,
                               const struct sp_key_view *key, struct sp_key_view *ret_view,
                               struct sp_error *err)
{
    size_t n = key->n_settings;
    struct sp_setting *settings =
        sp_arena_array(arena, n + manifest->n_fields, sizeof *settings);
    if (!settings) {
        return SP_ENOMEM;
    }
    if (n) {
        memcpy(settings, key->settings, n * sizeof *settings);
    }
    for (size_t i = 0; i < manifest->n_fields; i++) {
        const struct sp_field *field = &manifest->fields[i];
        bool secret = field->type == SP_FIELD_SECRET;
        if (secret ? has_secret(key, field->name) : has_setting(settings, n, field->name)) {
            continue;
        }
        if (field->fallback.len) {
            settings[n++] = (struct sp_setting){field->name, field->fallback};
        } else if (field->required) {
            return sp_fail(err, SP_EINVAL, "provider %s: %s %s is missing (%s)",
                           manifest->id.ptr, secret ? "secret" : "setting", field->name.ptr,
                           field->description.ptr);
        }
    }
    *ret_view = *key;
    ret_view->settings = settings;
    ret_view->n_settings = n;
    return SP_OK;
}

/* The ABI's form of a key: arrays of pointers, so that the structures can grow. */
static sp_status told_fill(struct sp_arena *arena, struct sp_told_key *told)
{
    const struct sp_key_view *view = &told->view;
    struct sallyport_setting *settings =
        sp_arena_array(arena, view->n_settings, sizeof *settings);
    const struct sallyport_setting **setting_list =
        sp_arena_array(arena, view->n_settings, sizeof *setting_list);
    struct sallyport_text *secrets = sp_arena_array(arena, view->n_secrets, sizeof *secrets);
    const struct sallyport_text **secret_list =
        sp_arena_array(arena, view->n_secrets, sizeof *secret_list);
    if (!settings || !setting_list || !secrets || !secret_list) {
        return SP_ENOMEM;
    }
    for (size_t i = 0; i < view->n_settings; i++) {
        const struct sp_setting *from = &view->settings[i];
        settings[i] = (struct sallyport_setting){.size = sizeof settings[i],
                                                 .name = {from->name.ptr, from->name.len},
                                                 .value = {from->value.ptr, from->value.len}};
        setting_list[i] = &settings[i];
    }
    for (size_t i = 0; i < view->n_secrets; i++) {
        secrets[i] = (struct sallyport_text){view->secrets[i].ptr, view->secrets[i].len};
        secret_list[i] = &secrets[i];
    }
    told->key = (struct sallyport_key){.size = sizeof told->key,
                                       .version = view->version,
                                       .id = {view->id.ptr, view->id.len},
                                       .settings = setting_list,
                                       .secrets = secret_list,
                                       .n_settings = (uint32_t)view->n_settings,
                                       .n_secrets = (uint32_t)view->n_secrets};
    return SP_OK;
}

sp_status sp_key_tell(struct sp_arena *arena, const struct sp_manifest *manifest,
                      const struct sp_key_view *key, struct sp_told_key *ret_told,
                      struct sp_error *err)
{
    sp_status status = settings_check(manifest, key, err);
    if (!status) {
        status = settings_fill(arena, manifest, key, &ret_told->view, err);
    }
    if (!status) {
        status = told_fill(arena, ret_told);
    }
    return status == SP_ENOMEM ? sp_fail(err, status, "out of memory") : status;
}
