#include "key_next.h"

#include <string.h>

const struct sp_key_secret *sp_key_secret_named(const struct sp_key *key, struct sp_text name)
{
    for (size_t i = 0; i < key->n_secrets; i++) {
        if (sp_text_eq(key->secrets[i].name, name)) {
            return &key->secrets[i];
        }
    }
    return NULL;
}

static const struct sp_key_secret *given_for(const struct sp_key_secret *given, size_t n,
                                             struct sp_text name)
{
    for (size_t i = 0; i < n; i++) {
        if (sp_text_eq(given[i].name, name)) {
            return &given[i];
        }
    }
    return NULL;
}

/* The settings as they stand, but for one that is read off the new secret. */
static void put_derived(const struct sp_field *field, struct sp_text label,
                        struct sp_key_setting *settings, size_t *in_out_n)
{
    size_t n = 0;
    for (size_t i = 0; field->derives.len && i < *in_out_n; i++) {
        if (!sp_text_eq(settings[i].name, field->derives)) {
            settings[n++] = settings[i];
        }
    }
    *in_out_n = field->derives.len ? n : *in_out_n;
    if (label.len) {
        settings[(*in_out_n)++] = (struct sp_key_setting){field->derives, label};
    }
}

static sp_status take_given(const struct sp_manifest *manifest, const struct sp_key *now,
                            const struct sp_key_secret *given, size_t n_given,
                            struct sp_key_setting *settings, size_t *in_out_n,
                            struct sp_error *err)
{
    for (size_t i = 0; i < n_given; i++) {
        const struct sp_field *field = sp_manifest_field(manifest, given[i].name);
        struct sp_text label = {NULL, 0};
        if (!field || field->type != SP_FIELD_SECRET ||
            !sp_key_secret_named(now, given[i].name)) {
            return sp_fail(err, SP_EINVAL, "%.*s is no secret of this key",
                           (int)given[i].name.len, given[i].name.ptr);
        }
        sp_status status = sp_field_check(field, sp_secret_text(&given[i].value), &label, err);
        if (status) {
            return status;
        }
        put_derived(field, label, settings, in_out_n);
    }
    return SP_OK;
}

sp_status sp_key_next(struct sp_engine *engine, struct sp_arena *arena,
                      const struct sp_manifest *manifest, const struct sp_key *now,
                      const struct sp_key_secret *given, size_t n_given,
                      struct sp_key_input *ret_input, struct sp_error *err)
{
    struct sp_key_setting *settings =
        sp_arena_array(arena, now->n_settings + n_given, sizeof *settings);
    struct sp_key_secret *secrets = sp_arena_array(arena, now->n_secrets, sizeof *secrets);
    size_t n_settings = now->n_settings, n = 0;
    if (!settings || !secrets) {
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    if (n_settings) {
        memcpy(settings, now->settings, n_settings * sizeof *settings);
    }
    sp_status status = take_given(manifest, now, given, n_given, settings, &n_settings, err);
    for (; !status && n < now->n_secrets; n++) {
        const struct sp_key_secret *from = given_for(given, n_given, now->secrets[n].name);
        from = from ? from : &now->secrets[n];
        struct sp_text value = sp_secret_text(&from->value);
        if (sp_secret_new(sp_engine_pool(engine), value.len, &secrets[n].value)) {
            status = sp_fail(err, SP_ENOMEM, "out of memory for secrets");
            break;
        }
        secrets[n].name = now->secrets[n].name;
        memcpy(secrets[n].value.ptr, value.ptr, value.len);
    }
    if (status) {
        while (n > 0) {
            sp_secret_free(&secrets[--n].value);
        }
        return status;
    }
    *ret_input = (struct sp_key_input){.id = now->id,
                                       .provider = now->provider,
                                       .hosts = now->hosts,
                                       .n_hosts = now->n_hosts,
                                       .settings = settings,
                                       .n_settings = n_settings,
                                       .secrets = secrets,
                                       .n_secrets = n};
    return SP_OK;
}
