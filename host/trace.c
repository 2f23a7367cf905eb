#include "trace.h"

#include <string.h>

enum {
    PARENT_ID_CHARS = 16,
    /* "00-" trace-id "-" parent-id "-" flags; later versions may add to it behind a '-' */
    PARENT_CHARS = 3 + SP_TRACE_ID_CHARS + 1 + PARENT_ID_CHARS + 3,
    STATE_KEY_MAX_CHARS = 256,
    STATE_VALUE_MAX_CHARS = 256,
};

static bool is_hex(struct sp_text text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
    }
    return true;
}

static bool is_zero(struct sp_text text)
{
    size_t i = 0;
    while (i < text.len && text.ptr[i] == '0') {
        i++;
    }
    return i == text.len;
}

/* The trace-id, or an empty text. */
static struct sp_text read_parent(struct sp_text value)
{
    static const struct sp_text none = {"", 0};
    if (value.len < PARENT_CHARS || value.ptr[2] != '-' ||
        value.ptr[3 + SP_TRACE_ID_CHARS] != '-' || value.ptr[PARENT_CHARS - 3] != '-') {
        return none;
    }
    struct sp_text version = {value.ptr, 2}, id = {value.ptr + 3, SP_TRACE_ID_CHARS};
    struct sp_text parent = {id.ptr + id.len + 1, PARENT_ID_CHARS};
    struct sp_text flags = {value.ptr + PARENT_CHARS - 2, 2};
    bool longer = value.len > PARENT_CHARS;
    if (!is_hex(version) || !is_hex(id) || !is_hex(parent) || !is_hex(flags) || is_zero(id) ||
        is_zero(parent) || sp_text_is(version, "ff") ||
        (longer && (sp_text_is(version, "00") || value.ptr[PARENT_CHARS] != '-'))) {
        return none;
    }
    return id;
}

/* ---- tracestate -----------------------------------------------------------------------------
 */

static bool is_key(struct sp_text key)
{
    for (size_t i = 0; i < key.len; i++) {
        char c = key.ptr[i];
        bool first = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!first && (i == 0 || c == '\0' || !strchr("_-*/@", c))) {
            return false;
        }
    }
    return key.len > 0 && key.len <= STATE_KEY_MAX_CHARS;
}

/* As it was cut from its list: no comma in it, no blank at its end. */
static bool is_value(struct sp_text value)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        if (c < ' ' || c > '~' || c == '=') {
            return false;
        }
    }
    return value.len > 0 && value.len <= STATE_VALUE_MAX_CHARS;
}

/* What all tracestate headers of a request say together. */
struct states {
    struct sp_text keys[SP_TRACE_STATES_MAX];
    size_t n;
};

static bool add_state(struct states *states, struct sp_text member)
{
    const char *equals = memchr(member.ptr, '=', member.len);
    if (!equals || states->n == SP_TRACE_STATES_MAX) {
        return false;
    }
    struct sp_text key = {member.ptr, (size_t)(equals - member.ptr)};
    struct sp_text value = {equals + 1, member.len - key.len - 1};
    for (size_t i = 0; i < states->n; i++) {
        if (sp_text_eq(states->keys[i], key)) {
            return false;
        }
    }
    states->keys[states->n++] = key;
    return is_key(key) && is_value(value);
}

static bool add_states(struct states *states, struct sp_text list)
{
    bool good = true, more = true;
    while (good && more) {
        const char *comma = memchr(list.ptr, ',', list.len);
        size_t len = comma ? (size_t)(comma - list.ptr) : list.len;
        struct sp_text member = sp_text_trim((struct sp_text){list.ptr, len});
        good = member.len == 0 || add_state(states, member); /* empty ones are allowed */
        more = comma != NULL;
        len += more;
        list = (struct sp_text){list.ptr + len, list.len - len};
    }
    return good;
}

void sp_trace_read(const struct sp_request *request, struct sp_trace *ret_trace)
{
    struct states states = {.n = 0};
    bool good = true;
    size_t n_parents = 0;
    *ret_trace = (struct sp_trace){.id = SP_TEXT("")};
    for (size_t i = 0; i < request->n_headers; i++) {
        const struct sp_header *header = &request->headers[i];
        if (sp_text_is(header->name, "traceparent")) {
            n_parents++;
            ret_trace->id = read_parent(header->value);
        } else if (sp_text_is(header->name, "tracestate")) {
            good = good && add_states(&states, header->value);
        }
    }
    if (n_parents != 1) {
        ret_trace->id = SP_TEXT("");
    }
    ret_trace->has_state = good && ret_trace->id.len > 0;
}
