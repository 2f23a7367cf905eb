#include "provider.h"

#include "buf.h"
#include "request.h"

#include <inttypes.h>
#include <sodium.h>

void sp_plan_done(struct sp_plan *plan)
{
    sp_arena_done(&plan->arena);
    *plan = (struct sp_plan){.placements = NULL};
}

const struct sp_field *sp_manifest_field(const struct sp_manifest *manifest,
                                         struct sp_text name)
{
    for (size_t i = 0; i < manifest->n_fields; i++) {
        if (sp_text_eq(manifest->fields[i].name, name)) {
            return &manifest->fields[i];
        }
    }
    return NULL;
}

bool sp_manifest_derives(const struct sp_manifest *manifest, struct sp_text name)
{
    for (size_t i = 0; i < manifest->n_fields; i++) {
        if (manifest->fields[i].derives.len && sp_text_eq(manifest->fields[i].derives, name)) {
            return true;
        }
    }
    return false;
}

static bool char_fits(enum sp_charset charset, unsigned char c)
{
    switch (charset) {
    case SP_CHARSET_TOKEN:
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               (c != '\0' && strchr("-._~+/=", c));
    case SP_CHARSET_TEXT:
        return c == '\n' || (c >= ' ' && c != 0x7f);
    case SP_CHARSET_LINE:
    default:
        return c >= ' ' && c != 0x7f;
    }
}

static sp_status shape_check(const struct sp_field *field, struct sp_text value,
                             struct sp_error *err)
{
    int name_len = (int)field->name.len;
    if (value.len < field->min_bytes || value.len > field->max_bytes) {
        return sp_fail(
            err, SP_EINVAL, "%.*s: has to be %" PRIu32 " to %" PRIu32 " bytes long, not %zu",
            name_len, field->name.ptr, field->min_bytes, field->max_bytes, value.len);
    }
    for (size_t i = 0; i < value.len; i++) {
        if (!char_fits(field->charset, (unsigned char)value.ptr[i])) {
            return sp_fail(
                err, SP_EINVAL, "%.*s: byte %zu may not be in it%s", name_len, field->name.ptr,
                i + 1, value.ptr[i] == '\n' ? " (a line feed: was the file read whole?)" : "");
        }
    }
    return SP_OK;
}

/* The starts that a secret may have are no secret; its own bytes are, so they are compared but
 * never shown. */
static sp_status prefix_check(const struct sp_field *field, struct sp_text value,
                              struct sp_text *ret_label, struct sp_error *err)
{
    const struct sp_field_prefix *best = NULL;
    for (size_t i = 0; i < field->n_prefixes; i++) {
        const struct sp_field_prefix *prefix = &field->prefixes[i];
        if (value.len >= prefix->prefix.len &&
            (!best || prefix->prefix.len > best->prefix.len) &&
            sodium_memcmp(value.ptr, prefix->prefix.ptr, prefix->prefix.len) == 0) {
            best = prefix;
        }
    }
    if (best) {
        *ret_label = best->label;
        return SP_OK;
    }
    if (field->n_prefixes == 0) {
        return SP_OK;
    }
    struct sp_buf starts;
    sp_buf_init(&starts, 256);
    for (size_t i = 0; i < field->n_prefixes; i++) {
        sp_buf_add_str(&starts, i ? ", " : "");
        sp_buf_add_text(&starts, field->prefixes[i].prefix);
    }
    sp_status status =
        sp_fail(err, SP_EINVAL, "%.*s: has to begin with one of: %s; was it pasted whole?",
                (int)field->name.len, field->name.ptr, starts.ptr ? starts.ptr : "");
    sp_buf_done(&starts);
    return status;
}

static bool is_integer(struct sp_text value)
{
    size_t digits = value.len - (value.len > 0 && value.ptr[0] == '-');
    const char *at = value.ptr + (value.len - digits);
    if (digits == 0 || digits > 18 || (at[0] == '0' && value.len > 1)) {
        return false;
    }
    for (size_t i = 0; i < digits; i++) {
        if (at[i] < '0' || at[i] > '9') {
            return false;
        }
    }
    return true;
}

static sp_status hosts_check(const struct sp_field *field, struct sp_text value,
                             struct sp_error *err)
{
    struct sp_text name;
    struct sp_error why = {""};
    struct sp_arena arena;
    sp_status status = SP_OK;
    sp_arena_init(&arena, 64 << 10);
    while (!status && sp_host_next(&value, &name)) {
        struct sp_text host;
        status = sp_host_parse(&arena, name, &host, &why);
        if (status) {
            (void)sp_fail(err, status, "%.*s: %s", (int)field->name.len, field->name.ptr,
                          why.text);
        }
    }
    sp_arena_done(&arena);
    return status;
}

bool sp_host_next(struct sp_text *in_out_list, struct sp_text *ret_name)
{
    if (!in_out_list->ptr || in_out_list->len == 0) {
        return false;
    }
    const char *comma = memchr(in_out_list->ptr, ',', in_out_list->len);
    struct sp_text name = {in_out_list->ptr,
                           comma ? (size_t)(comma - in_out_list->ptr) : in_out_list->len};
    size_t used = name.len + (comma != NULL);
    in_out_list->ptr += used;
    in_out_list->len -= used;
    while (name.len > 0 && (*name.ptr == ' ' || *name.ptr == '\t')) {
        name.ptr++;
        name.len--;
    }
    while (name.len > 0 && (name.ptr[name.len - 1] == ' ' || name.ptr[name.len - 1] == '\t')) {
        name.len--;
    }
    *ret_name = name;
    return true;
}

sp_status sp_field_check(const struct sp_field *field, struct sp_text value,
                         struct sp_text *ret_label, struct sp_error *err)
{
    struct sp_text label = SP_TEXT("");
    sp_status status = shape_check(field, value, err);
    if (status || value.len == 0) {
        return status;
    }
    switch (field->type) {
    case SP_FIELD_SECRET:
        status = prefix_check(field, value, &label, err);
        break;
    case SP_FIELD_INTEGER:
        if (!is_integer(value)) {
            status =
                sp_fail(err, SP_EINVAL, "%.*s: has to be a whole number of up to 18 digits",
                        (int)field->name.len, field->name.ptr);
        }
        break;
    case SP_FIELD_BOOLEAN:
        if (!sp_text_is(value, "true") && !sp_text_is(value, "false")) {
            status = sp_fail(err, SP_EINVAL, "%.*s: has to be true or false",
                             (int)field->name.len, field->name.ptr);
        }
        break;
    case SP_FIELD_HOST:
        status = hosts_check(field, value, err);
        break;
    case SP_FIELD_STRING:
    default:
        break;
    }
    if (!status && ret_label) {
        *ret_label = label;
    }
    return status;
}
