/* URLs: parsed once, refused where two parsers could disagree, printed from what was parsed.
 * RFC 3986 cut down; docs/canonical-form.md says rule by rule what is cut and why. */
#include "percent.h"
#include "request.h"

/* ---- authority -----------------------------------------------------------------------------
 */

static sp_status parse_scheme(struct sp_text raw, bool *ret_https, struct sp_text *ret_rest,
                              struct sp_error *err)
{
    static const struct {
        const char *text;
        bool https;
    } schemes[] = {{"https://", true}, {"http://", false}};
    for (size_t i = 0; i < 2; i++) {
        size_t len = strlen(schemes[i].text);
        if (raw.len >= len &&
            sp_text_eq_fold((struct sp_text){raw.ptr, len}, sp_text_of(schemes[i].text))) {
            *ret_https = schemes[i].https;
            *ret_rest = (struct sp_text){raw.ptr + len, raw.len - len};
            return SP_OK;
        }
    }
    return sp_fail(err, SP_EINVAL, "url: must begin with https:// or http://");
}

static sp_status parse_port(struct sp_text text, uint16_t *ret_port, struct sp_error *err)
{
    unsigned port = 0;
    bool good = text.len > 0 && text.len <= 5 && text.ptr[0] != '0';
    for (size_t i = 0; good && i < text.len; i++) {
        good = text.ptr[i] >= '0' && text.ptr[i] <= '9';
        port = port * 10 + (unsigned)(text.ptr[i] - '0');
    }
    if (!good || port > UINT16_MAX) {
        return sp_fail(err, SP_EINVAL, "port: must be 1 to 65535, in plain digits");
    }
    *ret_port = (uint16_t)port;
    return SP_OK;
}

static sp_status parse_authority(struct sp_arena *arena, struct sp_text authority,
                                 struct sp_url *url, struct sp_error *err)
{
    if (memchr(authority.ptr, '@', authority.len)) {
        return sp_fail(err, SP_EINVAL, "url: a user name or password before the host");
    }
    if (memchr(authority.ptr, '[', authority.len)) {
        return sp_fail(err, SP_EINVAL, "host: a numeric address; use a name");
    }
    struct sp_text host = authority;
    const char *colon = memchr(authority.ptr, ':', authority.len);
    url->port = url->https ? 443 : 80;
    if (colon) {
        host.len = (size_t)(colon - authority.ptr);
        sp_status status = parse_port((struct sp_text){colon + 1, authority.len - host.len - 1},
                                      &url->port, err);
        if (status) {
            return status;
        }
    }
    return sp_host_parse(arena, host, &url->host, err);
}

/* ---- path ----------------------------------------------------------------------------------
 */

/* Why this raw byte may not stand in a path; NULL where it may. */
static const char *raw_byte_fault(unsigned char byte)
{
    switch (byte) {
    case '\\':
        return "a backslash (some servers take it for '/')";
    case ';':
        return "';' (path parameters)";
    default:
        return byte <= ' ' || byte == 0x7f ? "a space or control byte" : NULL;
    }
}

/* The same for a byte that came percent-encoded. */
static const char *encoded_byte_fault(unsigned char byte)
{
    switch (byte) {
    case '\\':
        return "%5c (an encoded backslash)";
    case ';':
        return "%3b (an encoded ';')";
    case '?':
        return "%3f (an encoded '?')";
    case '#':
        return "%23 (an encoded '#')";
    default:
        return byte < ' ' || byte == 0x7f ? "an encoded control byte" : NULL;
    }
}

/* Decode one raw segment, once. */
static sp_status decode_segment(struct sp_arena *arena, struct sp_text raw,
                                struct sp_segment *ret_segment, struct sp_error *err)
{
    char *out = sp_arena_alloc(arena, raw.len);
    if (!out) {
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    size_t n = 0;
    ret_segment->has_slash = false;
    for (size_t i = 0; i < raw.len; i++) {
        unsigned char byte = (unsigned char)raw.ptr[i];
        const char *fault = raw_byte_fault(byte);
        if (byte == '%') {
            int code = percent_decode(raw, i);
            if (code < 0) {
                return sp_fail(err, SP_EINVAL, "path: malformed %%-escape");
            }
            byte = (unsigned char)code;
            fault = encoded_byte_fault(byte);
            ret_segment->has_slash = ret_segment->has_slash || byte == '/';
            i += 2;
        }
        if (fault) {
            return sp_fail(err, SP_EINVAL, "path: %s", fault);
        }
        out[n++] = (char)byte;
    }
    ret_segment->text = (struct sp_text){out, n};
    return SP_OK;
}

/* What the decoded bytes may not be: another decoding upstream must find nothing new. */
static const char *segment_fault(struct sp_text text)
{
    if (sp_text_is(text, ".") || sp_text_is(text, "..")) {
        return "a '.' or '..' segment";
    }
    if (!sp_text_is_utf8(text)) {
        return "not UTF-8 (or an overlong form of it)";
    }
    for (size_t i = 0; i < text.len; i++) {
        if (percent_decode(text, i) >= 0) {
            return "a doubly encoded byte (%25 and two hexadecimal digits)";
        }
    }
    /* A '.' or '..' beside an encoded slash would be a segment of its own after one decoding
     * more. */
    for (size_t start = 0; start <= text.len;) {
        const char *slash = memchr(text.ptr + start, '/', text.len - start);
        size_t end = slash ? (size_t)(slash - text.ptr) : text.len;
        struct sp_text part = {text.ptr + start, end - start};
        if (part.len == 0 || sp_text_is(part, ".") || sp_text_is(part, "..")) {
            return "an empty, '.' or '..' part beside an encoded slash";
        }
        start = end + 1;
    }
    return NULL;
}

static sp_status parse_path(struct sp_arena *arena, struct sp_text path, struct sp_url *url,
                            struct sp_error *err)
{
    size_t n_slashes = 0;
    for (size_t i = 0; i < path.len; i++) {
        n_slashes += path.ptr[i] == '/';
    }
    if (n_slashes > SP_URL_MAX_SEGMENTS) {
        return sp_fail(err, SP_ETOOBIG, "path: more than %d segments", SP_URL_MAX_SEGMENTS);
    }
    struct sp_segment *segments = sp_arena_array(arena, n_slashes, sizeof *segments);
    if (!segments) {
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    size_t n = 0;
    for (size_t start = 1; start < path.len;) {
        const char *slash = memchr(path.ptr + start, '/', path.len - start);
        size_t end = slash ? (size_t)(slash - path.ptr) : path.len;
        if (end == start) {
            return sp_fail(err, SP_EINVAL, "path: '//' (an empty segment)");
        }
        sp_status status = decode_segment(
            arena, (struct sp_text){path.ptr + start, end - start}, &segments[n], err);
        if (status) {
            return status;
        }
        const char *fault = segment_fault(segments[n].text);
        if (fault) {
            return sp_fail(err, SP_EINVAL, "path: %s", fault);
        }
        n++;
        start = end + 1;
        url->trailing_slash = slash != NULL;
    }
    url->segments = segments;
    url->n_segments = n;
    return SP_OK;
}

/* ---- the whole -----------------------------------------------------------------------------
 */

sp_status sp_url_parse(struct sp_arena *arena, struct sp_text raw, struct sp_url *ret_url,
                       struct sp_error *err)
{
    if (raw.len > SP_URL_MAX_BYTES) {
        return sp_fail(err, SP_ETOOBIG, "url: longer than %d bytes", SP_URL_MAX_BYTES);
    }
    struct sp_url url = {.port = 0};
    struct sp_text rest = {NULL, 0};
    sp_status status = parse_scheme(raw, &url.https, &rest, err);
    if (status) {
        return status;
    }
    if (memchr(rest.ptr, '#', rest.len)) {
        return sp_fail(err, SP_EINVAL, "url: a fragment ('#')");
    }
    const char *end = rest.ptr + rest.len;
    const char *mark = memchr(rest.ptr, '?', rest.len);
    const char *path_end = mark ? mark : end;
    const char *slash = memchr(rest.ptr, '/', (size_t)(path_end - rest.ptr));
    const char *authority_end = slash ? slash : path_end;
    status = parse_authority(
        arena, (struct sp_text){rest.ptr, (size_t)(authority_end - rest.ptr)}, &url, err);
    if (!status) {
        status = parse_path(arena,
                            (struct sp_text){authority_end, (size_t)(path_end - authority_end)},
                            &url, err);
    }
    if (!status && mark) {
        status = sp_query_parse(arena, (struct sp_text){mark + 1, (size_t)(end - mark) - 1},
                                SP_URL_MAX_PARAMS, &url.query, &url.n_query, err);
    }
    if (!status) {
        *ret_url = url;
    }
    return status;
}

/* ---- printing ------------------------------------------------------------------------------
 */

static bool is_unreserved(char c) /* RFC 3986 section 2.3 */
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           memchr("-._~", c, 4);
}

/* Appends every byte but unreserved ones and those in `also` encoded. */
static void print_encoded(struct sp_text text, struct sp_text also, struct sp_buf *buf)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (is_unreserved(c) || memchr(also.ptr, c, also.len)) {
            sp_buf_add(buf, &c, 1);
        } else {
            sp_buf_addf(buf, "%%%02X", (unsigned char)c);
        }
    }
}

/* What may stand raw (RFC 3986 sections 3.3 and 3.4), less what some reader parts at, and the
 * brackets of `expand[]=a`, which that RFC wants encoded and every server takes. */
static const struct sp_text segment_also = {"!$&'()*+,:=@", 12};
static const struct sp_text query_also = {"!$'()*,/:?@[]", 13};

void sp_url_print_target(const struct sp_url *url, struct sp_buf *buf)
{
    for (size_t i = 0; i < url->n_segments; i++) {
        sp_buf_add_byte(buf, '/');
        print_encoded(url->segments[i].text, segment_also, buf);
    }
    if (url->n_segments == 0 || url->trailing_slash) {
        sp_buf_add_byte(buf, '/');
    }
    if (url->n_query > 0) {
        sp_buf_add_byte(buf, '?');
    }
    for (size_t i = 0; i < url->n_query; i++) {
        if (i > 0) {
            sp_buf_add_byte(buf, '&');
        }
        print_encoded(url->query[i].name, query_also, buf);
        if (url->query[i].has_value) {
            sp_buf_add_byte(buf, '=');
            print_encoded(url->query[i].value, query_also, buf);
        }
    }
}

void sp_url_print(const struct sp_url *url, struct sp_buf *buf)
{
    sp_buf_add_str(buf, url->https ? "https://" : "http://");
    sp_buf_add_text(buf, url->host);
    if (url->port != (url->https ? 443 : 80)) {
        sp_buf_addf(buf, ":%u", (unsigned)url->port);
    }
    sp_url_print_target(url, buf);
}
