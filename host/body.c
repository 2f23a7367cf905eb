/* A body as rules see it. It is judged by what is read here and sent as it came, so whatever
 * two readers could read differently is opaque: no rule that reads a body lets it through. */
#include "canonical.h"
#include "json.h"

/* Past 1,000 parameters qs and PHP (max_input_vars) drop what follows without a word. */
enum { DEPTH_MAX = 32, FORM_PARAMS_MAX = 1000 };

enum media { MEDIA_JSON, MEDIA_FORM, MEDIA_OTHER };

/* The one header of that name, or NULL; *ret_n says how many there are. */
static const struct sp_header *find_header(const struct sp_request *request, const char *name,
                                           size_t *ret_n)
{
    const struct sp_header *found = NULL;
    *ret_n = 0;
    for (size_t i = 0; i < request->n_headers; i++) {
        if (sp_text_is(request->headers[i].name, name)) {
            found = &request->headers[i];
            (*ret_n)++;
        }
    }
    return found;
}

/* text is no shorter than its end. */
static bool ends_fold(struct sp_text text, struct sp_text end)
{
    return sp_text_eq_fold((struct sp_text){text.ptr + text.len - end.len, end.len}, end);
}

/* charset=utf-8, quoted or not, is the one parameter that is understood. */
static bool is_utf8_charset(struct sp_text param)
{
    return sp_text_eq_fold(param, SP_TEXT("charset=utf-8")) ||
           sp_text_eq_fold(param, SP_TEXT("charset=\"utf-8\""));
}

static enum media media_of(struct sp_text value)
{
    const char *semicolon = memchr(value.ptr, ';', value.len);
    size_t len = semicolon ? (size_t)(semicolon - value.ptr) : value.len;
    struct sp_text type = sp_text_trim((struct sp_text){value.ptr, len});
    if (semicolon &&
        !is_utf8_charset(sp_text_trim((struct sp_text){semicolon + 1, value.len - len - 1}))) {
        return MEDIA_OTHER;
    }
    for (size_t i = 0; i < type.len; i++) {
        if (type.ptr[i] <= ' ' || strchr(",\"()<>@:\\[]?={}", type.ptr[i])) {
            return MEDIA_OTHER;
        }
    }
    static const struct sp_text application = {"application/", 12};
    bool ours = type.len > application.len &&
                sp_text_eq_fold((struct sp_text){type.ptr, application.len}, application) &&
                !memchr(type.ptr + application.len, '/', type.len - application.len);
    if (sp_text_eq_fold(type, SP_TEXT("application/x-www-form-urlencoded"))) {
        return MEDIA_FORM;
    }
    return ours && (sp_text_eq_fold(type, SP_TEXT("application/json")) ||
                    ends_fold(type, SP_TEXT("+json")))
               ? MEDIA_JSON
               : MEDIA_OTHER;
}

/* ---- JSON -----------------------------------------------------------------------------------
 */

static const char too_large[] = "the body is too large to judge";
static const char too_deep[] = "the JSON body is nested deeper than 32";

static const char *convert(struct sp_arena *arena, json_t *json, unsigned depth,
                           struct sp_value *ret_value);

static const char *copy_text(struct sp_arena *arena, const char *bytes, size_t len,
                             struct sp_text *ret_text)
{
    *ret_text = sp_arena_copy(arena, (struct sp_text){bytes, len});
    return ret_text->ptr ? NULL : too_large;
}

static const char *convert_array(struct sp_arena *arena, json_t *json, unsigned depth,
                                 struct sp_value *value)
{
    size_t n = json_array_size(json);
    struct sp_value *items = sp_arena_array(arena, n, sizeof *items);
    const char *fault = items ? NULL : too_large;
    for (size_t i = 0; i < n && !fault; i++) {
        fault = convert(arena, json_array_get(json, i), depth + 1, &items[i]);
    }
    value->kind = SP_VALUE_ARRAY;
    value->as.array.items = items;
    value->as.array.n = n;
    return fault;
}

static const char *convert_object(struct sp_arena *arena, json_t *json, unsigned depth,
                                  struct sp_value *value)
{
    size_t n = json_object_size(json), i = 0;
    struct sp_member *items = sp_arena_array(arena, n, sizeof *items);
    const char *fault = items ? NULL : too_large;
    for (void *at = json_object_iter(json); at && !fault;
         at = json_object_iter_next(json, at)) {
        fault = copy_text(arena, json_object_iter_key(at), json_object_iter_key_len(at),
                          &items[i].name);
        if (!fault) {
            fault = convert(arena, json_object_iter_value(at), depth + 1, &items[i].value);
        }
        i++;
    }
    value->kind = SP_VALUE_OBJECT;
    value->as.object.items = items;
    value->as.object.n = n;
    return fault;
}

/* jansson's tree as one in the arena. NULL, or why not. */
static const char *convert(struct sp_arena *arena, json_t *json, unsigned depth,
                           struct sp_value *ret_value)
{
    if (depth > DEPTH_MAX) {
        return too_deep;
    }
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return convert_object(arena, json, depth, ret_value);
    case JSON_ARRAY:
        return convert_array(arena, json, depth, ret_value);
    case JSON_STRING:
        ret_value->kind = SP_VALUE_STRING;
        return copy_text(arena, json_string_value(json), json_string_length(json),
                         &ret_value->as.text);
    case JSON_INTEGER:
        ret_value->kind = SP_VALUE_INT;
        ret_value->as.integer = json_integer_value(json);
        return NULL;
    case JSON_REAL:
        ret_value->kind = SP_VALUE_NUMBER;
        return NULL;
    case JSON_TRUE:
    case JSON_FALSE:
        ret_value->kind = SP_VALUE_BOOL;
        ret_value->as.boolean = json_is_true(json);
        return NULL;
    case JSON_NULL:
        break;
    }
    ret_value->kind = SP_VALUE_NULL;
    return NULL;
}

static const char *fault_of(const json_error_t *error)
{
    switch ((int)json_error_code(error)) { /* a few of many */
    case json_error_duplicate_key:
        return "the JSON body has a key twice";
    case json_error_invalid_utf8:
        return "the JSON body is not UTF-8";
    case json_error_numeric_overflow:
        return "the JSON body has a number that is out of range";
    case json_error_null_byte_in_key:
    case json_error_null_character:
        return "the JSON body has a NUL in a string";
    case json_error_stack_overflow:
        return too_deep;
    case json_error_out_of_memory:
        return too_large;
    default:
        return "the body is not JSON";
    }
}

static const char *judge_json(struct sp_arena *arena, struct sp_request *request,
                              struct sp_value *value)
{
    json_error_t error;
    json_t *json =
        sp_json_load(request->body, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!json) {
        return fault_of(&error);
    }
    const char *fault = convert(arena, json, 1, value);
    json_decref(json);
    request->body_kind = SP_BODY_JSON;
    return fault;
}

/* ---- forms ----------------------------------------------------------------------------------
 */

static const char *judge_form(struct sp_arena *arena, struct sp_request *request,
                              struct sp_value *value)
{
    const struct sp_param *params = NULL;
    size_t n = 0;
    sp_status status = sp_form_parse(arena, request->body, FORM_PARAMS_MAX, &params, &n, NULL);
    if (!status) {
        status = sp_form_tree(arena, params, n, value);
    }
    request->body_kind = SP_BODY_FORM;
    return status == SP_OK       ? NULL
           : status == SP_EINVAL ? "the form body is malformed"
                                 : too_large;
}

/* ---- both -----------------------------------------------------------------------------------
 */

static const char *judge(struct sp_arena *arena, struct sp_request *request,
                         struct sp_value *value)
{
    size_t n_types, n_encodings;
    const struct sp_header *type = find_header(request, "content-type", &n_types);
    const struct sp_header *encoding = find_header(request, "content-encoding", &n_encodings);
    if (n_types != 1) {
        return n_types ? "there are several Content-Type headers"
                       : "the body has no Content-Type";
    }
    if (n_encodings > 1 ||
        (encoding && !sp_text_eq_fold(encoding->value, SP_TEXT("identity")))) {
        return "the body has a Content-Encoding";
    }
    if (request->body.len > SP_BODY_JUDGED_MAX_BYTES) {
        return too_large;
    }
    enum media media = media_of(type->value);
    if (media == MEDIA_OTHER) {
        return "the Content-Type is neither JSON nor a urlencoded form in UTF-8";
    }
    if (sp_text_starts(request->body, SP_TEXT("\xef\xbb\xbf"))) {
        return "the body begins with a byte order mark";
    }
    return media == MEDIA_JSON ? judge_json(arena, request, value)
                               : judge_form(arena, request, value);
}

void sp_judge_body(struct sp_arena *arena, struct sp_request *request)
{
    if (request->body.len == 0) {
        request->body_kind = SP_BODY_NONE;
        return;
    }
    struct sp_value *value = sp_arena_alloc(arena, sizeof *value);
    const char *fault = value ? judge(arena, request, value) : too_large;
    if (fault) {
        request->body_kind = SP_BODY_OPAQUE;
        request->body_reason = fault;
        request->body_value = NULL;
        return;
    }
    request->body_value = value;
    request->body_reason = NULL;
}
