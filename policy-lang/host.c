/* Host names: lower-case A-labels and nothing that an address parser could take for a number.
 */
#include "request.h"

enum { LABEL_MAX_BYTES = 63 }; /* RFC 1035 section 2.3.4 */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Letters, digits, hyphen and underscore; RFC 1123 section 2.1 but for the underscore, which
 * real internal names hold and no address does. */
static bool is_label_byte(char c)
{
    return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '_';
}

static const char *label_fault(struct sp_text label)
{
    if (label.len == 0) {
        return "an empty label";
    }
    if (label.len > LABEL_MAX_BYTES) {
        return "a label longer than 63 bytes";
    }
    if (label.ptr[0] == '-' || label.ptr[label.len - 1] == '-') {
        return "a label that begins or ends with '-'";
    }
    for (size_t i = 0; i < label.len; i++) {
        if (!is_label_byte(label.ptr[i])) {
            return "a byte that is no letter, digit, '-' or '_' (write names in A-labels, "
                   "xn--…)";
        }
    }
    if (sp_text_starts(label, SP_TEXT("xn--")) && memchr(label.ptr, '_', label.len)) {
        return "an A-label (xn--…) with '_'"; /* RFC 5890 section 2.3.2.1: they are LDH */
    }
    return NULL;
}

/* inet_aton takes 127.1, 0x7f000001, 017700000001 and the like for addresses; all of them end
 * in a label of digits, or of "0x" and hexadecimal digits (WHATWG URL, "ends in a number"). */
static bool looks_numeric(struct sp_text last)
{
    if (last.len >= 2 && last.ptr[0] == '0' && last.ptr[1] == 'x') {
        return true;
    }
    for (size_t i = 0; i < last.len; i++) {
        if (!is_digit(last.ptr[i])) {
            return false;
        }
    }
    return true;
}

sp_status sp_host_parse(struct sp_arena *arena, struct sp_text raw, struct sp_text *ret_host,
                        struct sp_error *err)
{
    if (raw.len > 0 && raw.ptr[raw.len - 1] == '.') {
        raw.len--; /* one: the root of the DNS */
    }
    if (raw.len == 0 || raw.len > SP_HOST_MAX_BYTES) {
        return sp_fail(err, SP_EINVAL, raw.len ? "host: longer than 253 bytes" : "host: empty");
    }
    struct sp_text host = sp_arena_copy(arena, raw);
    if (!host.ptr) {
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    char *bytes = (char *)host.ptr; /* ours: just copied */
    for (size_t i = 0; i < host.len; i++) {
        if (bytes[i] >= 'A' && bytes[i] <= 'Z') {
            bytes[i] = (char)(bytes[i] + ('a' - 'A'));
        }
    }
    struct sp_text label = {host.ptr, 0};
    for (size_t i = 0; i <= host.len; i++) {
        if (i < host.len && host.ptr[i] != '.') {
            continue;
        }
        label.len = (size_t)(host.ptr + i - label.ptr);
        const char *fault = label_fault(label);
        if (fault) {
            return sp_fail(err, SP_EINVAL, "host: %s", fault);
        }
        if (i < host.len) {
            label.ptr = host.ptr + i + 1;
        }
    }
    if (looks_numeric(label)) {
        return sp_fail(err, SP_EINVAL, "host: a numeric address; use a name");
    }
    *ret_host = host;
    return SP_OK;
}
