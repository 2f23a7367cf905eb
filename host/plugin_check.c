#include "plugin_check.h"

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_lower(c) || is_digit(c) || (c >= 'A' && c <= 'Z');
}

/* strchr finds the NUL at the end of its string as well; texts from outside may hold one. */
static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c);
}

bool sp_is_provider_id(struct sp_text text)
{
    if (text.len == 0 || text.len > SP_PLUGIN_ID_MAX || !is_lower(text.ptr[0])) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (!is_lower(text.ptr[i]) && !is_digit(text.ptr[i]) && text.ptr[i] != '-') {
            return false;
        }
    }
    return true;
}

bool sp_is_field_name(struct sp_text text)
{
    if (text.len == 0 || text.len > SP_PLUGIN_ID_MAX || !is_lower(text.ptr[0])) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (!is_lower(text.ptr[i]) && !is_digit(text.ptr[i]) && text.ptr[i] != '_') {
            return false;
        }
    }
    return true;
}

bool sp_is_action_name(struct sp_text text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!is_alnum(text.ptr[i]) && !is_one_of(text.ptr[i], "._-/")) {
            return false;
        }
    }
    return text.len > 0 && text.len <= SP_PLUGIN_HEADER_NAME_MAX;
}

bool sp_is_visible(struct sp_text text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f) {
            return false;
        }
    }
    return text.len > 0;
}

bool sp_is_printable(struct sp_text text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < ' ' || text.ptr[i] >= 0x7f) {
            return false;
        }
    }
    return true;
}

bool sp_is_line(struct sp_text text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        /* C1 controls are 0xc2 0x80 to 0xc2 0x9f in UTF-8. */
        if (c < ' ' || c == 0x7f ||
            (c == 0xc2 && i + 1 < text.len && (unsigned char)text.ptr[i + 1] < 0xa0)) {
            return false;
        }
    }
    return sp_text_is_utf8(text);
}

bool sp_is_header_name(struct sp_text text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!is_lower(text.ptr[i]) && !is_digit(text.ptr[i]) &&
            !is_one_of(text.ptr[i], "!#$%&'*+-.^_`|~")) {
            return false;
        }
    }
    return text.len > 0 && text.len <= SP_PLUGIN_HEADER_NAME_MAX;
}

bool sp_is_header_value(struct sp_text text)
{
    return sp_is_printable(text) && text.len > 0 && text.len <= SP_PLUGIN_HEADER_VALUE_MAX &&
           text.ptr[0] != ' ' && text.ptr[text.len - 1] != ' ';
}

static bool is_in(struct sp_text text, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (sp_text_is(text, list[i])) {
            return true;
        }
    }
    return false;
}

bool sp_is_method(struct sp_text text)
{
    static const char *const methods[] = {"GET",   "HEAD",   "POST",   "PUT",
                                          "PATCH", "DELETE", "OPTIONS"};
    return is_in(text, methods, sizeof methods / sizeof *methods);
}

bool sp_is_path_template(struct sp_text text)
{
    bool open = false;
    if (!sp_is_visible(text) || text.len > SP_PLUGIN_PATH_MAX || text.ptr[0] != '/') {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (is_one_of(c, "?#\\\"<>") || (c == '{' && open) || (c == '}' && !open) ||
            (open && c != '}' && !is_alnum(c) && !is_one_of(c, "_-."))) {
            return false;
        }
        if (c == '}' && text.ptr[i - 1] == '{') {
            return false;
        }
        open = c == '{' || (open && c != '}');
    }
    return !open;
}

bool sp_header_is_forbidden(struct sp_text name)
{
    static const char *const names[] = {
        "connection",
        "content-length",
        "expect",
        "forwarded",
        "host",
        "http2-settings",
        "keep-alive",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-url",
        "x-real-ip",
        "x-rewrite-url",
    };
    return is_in(name, names, sizeof names / sizeof *names) ||
           sp_text_starts(name, SP_TEXT("proxy-")) ||
           sp_text_starts(name, SP_TEXT("x-forwarded-"));
}

bool sp_header_is_credential(struct sp_text name)
{
    return sp_text_is(name, "authorization") || sp_text_is(name, "cookie");
}

bool sp_is_lease_name(struct sp_text name)
{
    const struct sp_text start = SP_TEXT(SP_LEASE_PREFIX);
    if (name.len <= start.len || memcmp(name.ptr, start.ptr, start.len) != 0) {
        return false;
    }
    for (size_t i = start.len; i < name.len; i++) {
        char c = name.ptr[i];
        if (!((c >= 'a' && c <= 'z') || c == '_' || (c >= '0' && c <= '9' && i > start.len))) {
            return false;
        }
    }
    return true;
}

const char *sp_template_refused(struct sp_text template, const struct sp_text *secrets,
                                size_t n_secrets, bool minted)
{
    size_t used = 0;
    for (size_t i = 0; i < template.len; i++) {
        char c = template.ptr[i];
        if (c != '{' && c != '}') {
            continue;
        }
        if (i + 1 < template.len && template.ptr[i + 1] == c) {
            i++; /* a doubled brace is a brace */
            continue;
        }
        const char *end = c == '{' ? memchr(template.ptr + i, '}', template.len - i) : NULL;
        if (!end) {
            return "has a brace without its counterpart";
        }
        struct sp_text name = {template.ptr + i + 1, (size_t)(end - template.ptr) - i - 1};
        bool known = minted && sp_is_lease_name(name);
        for (size_t k = 0; k < n_secrets && !known; k++) {
            known = sp_text_eq(secrets[k], name);
        }
        if (!known) {
            return "names a secret that this key does not have";
        }
        used++;
        i += name.len + 1;
    }
    return used ? NULL : "names no secret";
}

bool sp_template_needs_lease(struct sp_text template)
{
    const struct sp_text start = SP_TEXT("{" SP_LEASE_PREFIX);
    for (size_t i = 0; i + start.len <= template.len; i++) {
        if (template.ptr[i] != '{') {
            continue;
        }
        if (template.ptr[i + 1] == '{') {
            i++; /* a brace */
        } else if (memcmp(template.ptr + i, start.ptr, start.len) == 0) {
            return true;
        }
    }
    return false;
}

void sp_shown(struct sp_text text, char *ret_shown, size_t room)
{
    bool keep = sp_text_is_utf8(text);
    size_t n = text.len < room - 1 ? text.len : room - 1;
    while (keep && n < text.len && n > 0 && ((unsigned char)text.ptr[n] & 0xc0) == 0x80) {
        n--; /* not into the middle of a character */
    }
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool control = c < ' ' || c == 0x7f || (c >= 0x80 && !keep);
        ret_shown[i] = control ? '?' : text.ptr[i];
        if (keep && c == 0xc2 && i + 1 < n && (unsigned char)text.ptr[i + 1] < 0xa0) {
            ret_shown[i] = '?';
            ret_shown[++i] = '?';
        }
    }
    ret_shown[n] = '\0';
}
