#include "wire.h"

#include <stdio.h>

static const char *const kind_names[] = {
    [SP_WIRE_NIL] = "nil",     [SP_WIRE_BOOL] = "bool", [SP_WIRE_INT] = "int",
    [SP_WIRE_FLOAT] = "float", [SP_WIRE_STR] = "str",   [SP_WIRE_BIN] = "bin",
    [SP_WIRE_ARRAY] = "array", [SP_WIRE_MAP] = "map",
};

enum { N_KINDS = sizeof kind_names / sizeof *kind_names };

void sp_wire_kinds_print(unsigned kinds, char ret_text[SP_WIRE_KINDS_BYTES])
{
    size_t len = 0;
    ret_text[0] = '\0';
    for (unsigned kind = 0; kind < N_KINDS; kind++) {
        if (kinds & SP_WIRE_IS(kind)) {
            int n = snprintf(ret_text + len, SP_WIRE_KINDS_BYTES - len, "%s%s",
                             len ? " or " : "", kind_names[kind]);
            len += n > 0 ? (size_t)n : 0;
        }
    }
}

/* The start of a name from outside, fit for an error text. */
struct quoted {
    char text[36];
};

static struct quoted quote(struct sp_text name)
{
    struct quoted quoted;
    size_t n = name.len < 32 ? name.len : 32;
    for (size_t i = 0; i < n; i++) {
        char c = name.ptr[i];
        quoted.text[i] = (char)(c < 0x20 || c > 0x7e || c == '\'' ? '?' : c);
    }
    (void)snprintf(quoted.text + n, sizeof quoted.text - n, "%s", n < name.len ? "..." : "");
    return quoted;
}

static sp_status unknown_field(struct sp_text name, const struct sp_wire_field *fields,
                               size_t n_fields, struct sp_error *err)
{
    char known[300] = "";
    size_t len = 0;
    for (size_t i = 0; i < n_fields && len < sizeof known; i++) {
        int n =
            snprintf(known + len, sizeof known - len, "%s%s", i ? ", " : "", fields[i].name);
        len += n > 0 ? (size_t)n : 0;
    }
    return sp_fail(err, SP_EINVAL, "unknown field '%s'; known are: %s", quote(name).text,
                   n_fields ? known : "none");
}

sp_status sp_wire_fields(const struct sp_wire_value *map, const struct sp_wire_field *fields,
                         size_t n_fields, const struct sp_wire_value **ret_found,
                         struct sp_error *err)
{
    if (map->kind != SP_WIRE_MAP) {
        return sp_fail(err, SP_EINVAL, "not a map but %s", kind_names[map->kind]);
    }
    for (size_t p = 0; p < map->as.map.n; p++) {
        size_t i = 0;
        while (i < n_fields && !sp_text_is(map->as.map.pairs[p].name, fields[i].name)) {
            i++;
        }
        if (i == n_fields) {
            return unknown_field(map->as.map.pairs[p].name, fields, n_fields, err);
        }
    }
    for (size_t i = 0; i < n_fields; i++) {
        const struct sp_wire_value *value = sp_wire_get(map, fields[i].name);
        if (!value && fields[i].required) {
            return sp_fail(err, SP_EINVAL, "field '%s' is missing", fields[i].name);
        }
        if (value && !(fields[i].kinds & SP_WIRE_IS(value->kind))) {
            char kinds[SP_WIRE_KINDS_BYTES];
            sp_wire_kinds_print(fields[i].kinds, kinds);
            return sp_fail(err, SP_EINVAL, "field '%s' must be %s, not %s", fields[i].name,
                           kinds, kind_names[value->kind]);
        }
    }
    for (size_t i = 0; i < n_fields; i++) {
        ret_found[i] = sp_wire_get(map, fields[i].name);
    }
    return SP_OK;
}

const struct sp_wire_value *sp_wire_get(const struct sp_wire_value *map, const char *name)
{
    for (size_t i = 0; map->kind == SP_WIRE_MAP && i < map->as.map.n; i++) {
        if (sp_text_is(map->as.map.pairs[i].name, name)) {
            return &map->as.map.pairs[i].value;
        }
    }
    return NULL;
}
