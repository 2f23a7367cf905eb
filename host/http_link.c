#include "http_link.h"

enum place {
    PLACE_OURS,     /* at this upstream: *rest is what follows its origin */
    PLACE_RELATIVE, /* to the path of the request: right as it stands */
    PLACE_OTHER,
};

static bool starts_fold(struct sp_text text, struct sp_text start)
{
    return text.len >= start.len &&
           sp_text_eq_fold((struct sp_text){text.ptr, start.len}, start);
}

static struct sp_text after(struct sp_text text, size_t n)
{
    return (struct sp_text){text.ptr + n, text.len - n};
}

static size_t until(struct sp_text text, const char *stops)
{
    size_t n = 0;
    while (n < text.len && (text.ptr[n] == '\0' || !strchr(stops, text.ptr[n]))) {
        n++;
    }
    return n;
}

/* at: behind "//". */
static enum place at_authority(const struct sp_http_base *base, struct sp_text at,
                               const char *default_port, struct sp_text *ret_rest)
{
    struct sp_text authority = {at.ptr, until(at, "/?#")};
    struct sp_text port = sp_text_of(default_port);
    *ret_rest = after(at, authority.len);
    if (authority.len == base->host.len + port.len &&
        sp_text_eq(after(authority, base->host.len), port)) {
        authority.len = base->host.len;
    }
    return sp_text_eq_fold(authority, base->host) ? PLACE_OURS : PLACE_OTHER;
}

static enum place place_of(const struct sp_http_base *base, struct sp_text uri,
                           struct sp_text *ret_rest)
{
    static const char *const schemes[][2] = {
        {"https://", ":443"}, {"http://", ":80"}, {"//", ":443"}};
    /* What one reader takes for a path another takes for a host. */
    if (memchr(uri.ptr, '\\', uri.len) || until(uri, "\t <>\"") < uri.len) {
        return PLACE_OTHER;
    }
    if (base->upstream.len && starts_fold(uri, base->upstream)) {
        *ret_rest = after(uri, base->upstream.len);
        if (ret_rest->len == 0 || strchr("/?#", ret_rest->ptr[0])) {
            return PLACE_OURS;
        }
    }
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        struct sp_text scheme = sp_text_of(schemes[i][0]);
        if (starts_fold(uri, scheme)) {
            return at_authority(base, after(uri, scheme.len), schemes[i][1], ret_rest);
        }
    }
    *ret_rest = uri;
    if (uri.len > 0 && uri.ptr[0] == '/') {
        return PLACE_OURS;
    }
    size_t first = until(uri, ":/?#");
    return first < uri.len && uri.ptr[first] == ':' ? PLACE_OTHER : PLACE_RELATIVE;
}

/* A path stays a path; what was absolute stays absolute. */
static void put_ours(struct sp_buf *buf, const struct sp_http_base *base, struct sp_text uri,
                     struct sp_text rest)
{
    bool absolute = rest.len != uri.len;
    bool delivered = base->upstream.len && starts_fold(uri, base->upstream);
    if (absolute && base->by_name && !delivered) {
        sp_buf_add_text(buf, uri);
        return;
    }
    if (absolute) {
        sp_buf_add_text(buf, base->origin);
    }
    sp_buf_add_text(buf, base->prefix);
    sp_buf_add_text(buf, rest);
}

void sp_http_put_location(struct sp_buf *buf, const struct sp_http_base *base,
                          struct sp_text value)
{
    struct sp_text rest;
    if (place_of(base, value, &rest) == PLACE_OURS) {
        put_ours(buf, base, value, rest);
    } else {
        sp_buf_add_text(buf, value);
    }
}

/* The end of a link's parameters: the next comma outside of a quoted string. */
static size_t params_len(struct sp_text text)
{
    bool quoted = false;
    size_t i = 0;
    for (; i < text.len && (quoted || text.ptr[i] != ','); i++) {
        if (quoted && text.ptr[i] == '\\') {
            i++;
        } else if (text.ptr[i] == '"') {
            quoted = !quoted;
        }
    }
    return i < text.len ? i : text.len;
}

size_t sp_http_put_links(struct sp_buf *buf, const struct sp_http_base *base,
                         struct sp_text value)
{
    size_t n = 0;
    while (value.len > 0) {
        if (strchr(" \t,", value.ptr[0])) {
            value = after(value, 1);
            continue;
        }
        size_t close = until(value, ">");
        if (value.ptr[0] != '<' || close == value.len) {
            break; /* no link; what follows cannot be trusted to be one */
        }
        struct sp_text uri = {value.ptr + 1, close - 1}, rest;
        value = after(value, close + 1);
        struct sp_text params = {value.ptr, params_len(value)};
        value = after(value, params.len);
        enum place place = place_of(base, uri, &rest);
        if (place == PLACE_OTHER) {
            continue;
        }
        sp_buf_add_str(buf, n++ ? ", <" : "<");
        if (place == PLACE_OURS) {
            put_ours(buf, base, uri, rest);
        } else {
            sp_buf_add_text(buf, uri);
        }
        sp_buf_add_byte(buf, '>');
        sp_buf_add_text(buf, params);
    }
    return n;
}
