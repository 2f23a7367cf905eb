#include "json_scope.h"

#include "wire.h"

#include <jansson.h>

static sp_status put_value(const json_t *value, const char *name, struct sp_buf *buf,
                           struct sp_error *err)
{
    if (json_is_string(value)) {
        sp_wire_put_str(buf,
                        (struct sp_text){json_string_value(value), json_string_length(value)});
        return SP_OK;
    }
    if (json_is_integer(value)) {
        sp_wire_put_int(buf, json_integer_value(value));
        return SP_OK;
    }
    if (json_is_array(value)) {
        sp_wire_put_array(buf, json_array_size(value));
        for (size_t i = 0; i < json_array_size(value); i++) {
            const json_t *item = json_array_get(value, i);
            if (!json_is_string(item)) {
                return sp_fail(err, SP_EINVAL, "%s holds something that is no string", name);
            }
            sp_wire_put_str(
                buf, (struct sp_text){json_string_value(item), json_string_length(item)});
        }
        return SP_OK;
    }
    return sp_fail(err, SP_EINVAL, "%s is neither a string, an integer nor a list of strings",
                   name);
}

sp_status sp_json_scope_to_wire(struct sp_text json, struct sp_buf *ret_map,
                                struct sp_error *err)
{
    json_error_t why;
    json_t *object = json_loadb(json.ptr, json.len, JSON_REJECT_DUPLICATES, &why);
    sp_status status = SP_OK;
    if (!json_is_object(object)) {
        status = object ? sp_fail(err, SP_EINVAL, "is not a JSON object")
                        : sp_fail(err, SP_EINVAL, "line %d: %s", why.line, why.text);
    } else {
        const char *name;
        json_t *value;
        sp_wire_put_map(ret_map, json_object_size(object));
        json_object_foreach(object, name, value)
        {
            sp_wire_put_str(ret_map, sp_text_of(name));
            status = status ? status : put_value(value, name, ret_map, err);
        }
    }
    json_decref(object);
    return status;
}
