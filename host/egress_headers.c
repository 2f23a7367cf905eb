/* The header lines of an answer, and what of them a client may have. */
#include "egress_inner.h"

static bool is_token_byte(char c)
{
    return c != '\0' && strchr("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz", c);
}

static struct sp_text trim(struct sp_text text)
{
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && strchr(" \t\r", text.ptr[text.len - 1])) {
        text.len--;
    }
    return text;
}

/* "Name: value\r\n" in place. Folded lines and stray bytes are refused: the next reader may see
 * another header in them. */
static bool parse_line(char *line, size_t len, struct sp_header *ret_header)
{
    char *colon = memchr(line, ':', len);
    size_t name_len = colon ? (size_t)(colon - line) : 0;
    for (size_t i = 0; i < name_len; i++) {
        if (line[i] >= 'A' && line[i] <= 'Z') {
            line[i] = (char)(line[i] - 'A' + 'a');
        }
        if (!is_token_byte(line[i])) {
            return false;
        }
    }
    struct sp_text value = {line + name_len + 1, len - name_len - (name_len ? 1 : 0)};
    if (name_len == 0 || memchr(value.ptr, '\0', value.len)) {
        return false;
    }
    value = trim(value);
    if (value.len > 0 && memchr(value.ptr, '\r', value.len)) {
        return false;
    }
    *ret_header = (struct sp_header){{line, name_len}, value};
    return true;
}

/* How many lines there are up to a blank one, or -1 where one is malformed or they are too
 * many. */
static int parse_lines(char *at, const char *end, struct sp_header *headers, int max)
{
    int n = 0;
    while (at < end) {
        char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t len = newline ? (size_t)(newline - at) : (size_t)(end - at);
        if (len == 0 || (len == 1 && at[0] == '\r')) {
            break;
        }
        if (n == max || !parse_line(at, len, &headers[n])) {
            return -1;
        }
        n++;
        at += len + 1;
    }
    return n;
}

int headers_parse(struct answer *answer, struct sp_header *headers)
{
    char *at = answer->head.ptr + answer->final_start;
    char *end = answer->head.ptr + answer->final_end;
    char *newline = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
    return newline ? parse_lines(newline + 1, end, headers, EGRESS_REPLY_HEADERS_MAX) : -1;
}

static bool is_one_of(struct sp_text name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (sp_text_is(name, names[i])) {
            return true;
        }
    }
    return false;
}

/* Whether a Connection header names it (RFC 9110 section 7.6.1). */
static bool is_nominated(struct sp_text name, const struct sp_header *headers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct sp_text rest = headers[i].value;
        while (sp_text_is(headers[i].name, "connection") && rest.len > 0) {
            const char *comma = memchr(rest.ptr, ',', rest.len);
            size_t len = comma ? (size_t)(comma - rest.ptr) : rest.len;
            if (sp_text_eq_fold(trim((struct sp_text){rest.ptr, len}), name)) {
                return true;
            }
            len += comma ? 1 : 0;
            rest = (struct sp_text){rest.ptr + len, rest.len - len};
        }
    }
    return false;
}

/* Not for a client: what concerns this connection alone, and credentials of the upstream's own,
 * such as a session cookie, which would be good without the key. */
static bool stays_here(const struct sp_header *header, const struct sp_header *headers,
                       size_t n)
{
    static const char *const names[] = {"connection",
                                        "keep-alive",
                                        "proxy-authenticate",
                                        "proxy-authentication-info",
                                        "proxy-connection",
                                        "te",
                                        "trailer",
                                        "transfer-encoding",
                                        "upgrade",
                                        "set-cookie",
                                        "set-cookie2",
                                        "authorization",
                                        "proxy-authorization",
                                        "alt-svc"};
    return is_one_of(header->name, names, sizeof names / sizeof *names) ||
           is_nominated(header->name, headers, n);
}

/* Content-Length and Content-Encoding speak of the bytes on the wire. They stay true where no
 * body came (HEAD, 304); else the body is as decoded, and the front end says how long it is. */
static bool is_of_wire(const struct sp_header *header)
{
    return sp_text_is(header->name, "content-length") ||
           sp_text_is(header->name, "content-encoding");
}

size_t headers_pick(const struct transfer *transfer, int http_status, struct sp_header *headers,
                    size_t n)
{
    bool bodyless = transfer->send.request->method == SP_METHOD_HEAD || http_status == 304;
    struct sp_header kept[EGRESS_REPLY_HEADERS_MAX];
    size_t n_kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (!stays_here(&headers[i], headers, n) && (bodyless || !is_of_wire(&headers[i]))) {
            kept[n_kept++] = headers[i];
        }
    }
    memcpy(headers, kept, n_kept * sizeof *kept);
    return n_kept;
}

/* ---- trailers -------------------------------------------------------------------------------
 */

/* RFC 9110 section 6.5.1: what says how a message is to be read, or by whom, comes too late. */
static bool comes_too_late(struct sp_text name)
{
    static const char *const names[] = {"age",
                                        "cache-control",
                                        "content-encoding",
                                        "content-range",
                                        "content-type",
                                        "content-length",
                                        "content-location",
                                        "date",
                                        "expires",
                                        "host",
                                        "link",
                                        "location",
                                        "retry-after",
                                        "vary",
                                        "warning",
                                        "www-authenticate"};
    return is_one_of(name, names, sizeof names / sizeof *names);
}

size_t headers_pick_trailers(struct answer *answer, struct sp_header *trailers)
{
    struct sp_header headers[EGRESS_REPLY_HEADERS_MAX];
    size_t len = answer->head.len - answer->final_end, n_kept = 0;
    if (!answer->ended || len == 0 || len > EGRESS_TRAILERS_MAX_BYTES) {
        return 0;
    }
    char *at = answer->head.ptr + answer->final_end;
    int n_headers = headers_parse(answer, headers);
    int n = parse_lines(at, at + len, trailers, EGRESS_TRAILERS_MAX);
    for (int i = 0; i < n && n_headers >= 0; i++) {
        if (!stays_here(&trailers[i], headers, (size_t)n_headers) &&
            !comes_too_late(trailers[i].name)) {
            trailers[n_kept++] = trailers[i];
        }
    }
    return n_kept;
}
