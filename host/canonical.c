#include "canonical.h"

enum { HEADER_NAME_MAX_BYTES = 128 };

/* Headers that are never a client's, and what to do instead. A name ending in '*' is a prefix.
 * Letting one through would let a client choose whom the upstream takes it for, where a message
 * ends, or which resource is really asked for. */
static const struct {
    const char *name, *instead;
} never[] = {
    {"host", "it is made from the URL"},
    {"authorization", "the key is put in by the host; the token goes into the message"},
    {"proxy-*", "there is no proxy to speak to"},
    {"cookie*", "cookies are credentials, and the key is the only one"},
    {"connection", "it concerns one connection alone"},
    {"keep-alive", "it concerns one connection alone"},
    {"te", "it concerns one connection alone"},
    {"trailer", "it concerns one connection alone"},
    {"transfer-encoding", "the body is sent as it is"},
    {"upgrade", "upgrades are not carried"},
    {"http2-settings", "upgrades are not carried"},
    {"content-length", "it is made from the body"},
    {"expect", "the body is sent at once"},
    {"accept-encoding", "answers come unencoded"},
    {"forwarded", "a client does not say where a request comes from"},
    {"via", "a client does not say where a request comes from"},
    {"x-forwarded*", "a client does not say where a request comes from"},
    {"x-real-ip", "a client does not say where a request comes from"},
    {"x-client-ip", "a client does not say where a request comes from"},
    {"x-cluster-client-ip", "a client does not say where a request comes from"},
    {"true-client-ip", "a client does not say where a request comes from"},
    {"cf-connecting-ip", "a client does not say where a request comes from"},
    {"x-host", "the URL says it"},
    {"x-original-*", "the URL says it"},
    {"x-rewrite-*", "the URL says it"},
    {"x-http-method*", "the method says it"},
    {"x-method*", "the method says it"},
};

/* Coming twice, these would leave it to the upstream which one counts. */
static const char *const single[] = {
    "content-type",      "content-encoding", "idempotency-key",     "range",
    "if-modified-since", "user-agent",       "if-unmodified-since", "traceparent"};

static const char *never_from_client(struct sp_text name)
{
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
        struct sp_text row = sp_text_of(never[i].name);
        bool prefix = row.ptr[row.len - 1] == '*';
        row.len -= prefix ? 1 : 0;
        if (prefix ? sp_text_starts(name, row) : sp_text_eq(name, row)) {
            return never[i].instead;
        }
    }
    return NULL;
}

static bool comes_once(struct sp_text name)
{
    for (size_t i = 0; i < sizeof single / sizeof *single; i++) {
        if (sp_text_is(name, single[i])) {
            return true;
        }
    }
    return false;
}

/* To lower case, in the arena; .ptr NULL where it is no token (RFC 9110 section 5.6.2). */
static struct sp_text lower_name(struct sp_arena *arena, struct sp_text raw)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";
    struct sp_text none = {NULL, 0};
    if (raw.len == 0 || raw.len > HEADER_NAME_MAX_BYTES) {
        return none;
    }
    char *name = sp_arena_alloc(arena, raw.len);
    for (size_t i = 0; name && i < raw.len; i++) {
        char c = raw.ptr[i];
        name[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        if (c == '\0' || !strchr(token, name[i])) {
            return none;
        }
    }
    return (struct sp_text){name, raw.len};
}

/* RFC 9110 section 5.5, with obs-text only where it is UTF-8. */
static const char *value_fault(struct sp_text value)
{
    if (value.len > SP_HEADER_VALUE_MAX_BYTES) {
        return "longer than 8192 bytes";
    }
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return "a line end or another control byte";
        }
    }
    return sp_text_is_utf8(value) ? NULL : "not UTF-8";
}

static sp_status canonical_header(struct sp_arena *arena, const struct sp_raw_header *raw,
                                  struct sp_header *ret_header, struct sp_error *err)
{
    struct sp_text name = lower_name(arena, raw->name);
    if (!name.ptr) {
        return sp_fail(err, SP_EINVAL,
                       "header: a name must be 1 to %d letters, digits and -_.!#$%%&'*+^`|~",
                       HEADER_NAME_MAX_BYTES);
    }
    const char *instead = never_from_client(name);
    if (instead) {
        return sp_fail(err, SP_EINVAL, "header %.*s: not a client's to send (%s); leave it out",
                       (int)name.len, name.ptr, instead);
    }
    const char *fault = value_fault(raw->value);
    if (fault) {
        return sp_fail(err, SP_EINVAL, "header %.*s: %s", (int)name.len, name.ptr, fault);
    }
    struct sp_text value = sp_arena_copy(arena, sp_text_trim(raw->value));
    if (!value.ptr) {
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    *ret_header = (struct sp_header){name, value};
    return SP_OK;
}

sp_status sp_canonical(struct sp_arena *arena, const struct sp_raw_request *raw,
                       struct sp_request *ret_request, struct sp_error *err)
{
    struct sp_request request;
    sp_status status = sp_request_init(arena, raw->method, raw->url, &request, err);
    if (status) {
        return status;
    }
    if (raw->n_headers > SP_HEADERS_MAX) {
        return sp_fail(err, SP_ETOOBIG, "headers: more than %d", SP_HEADERS_MAX);
    }
    struct sp_header *headers = sp_arena_array(arena, raw->n_headers, sizeof *headers);
    if (!headers) {
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < raw->n_headers; i++) {
        status = canonical_header(arena, &raw->headers[i], &headers[i], err);
        if (status) {
            return status;
        }
        for (size_t k = 0; k < i; k++) {
            if (sp_text_eq(headers[k].name, headers[i].name) && comes_once(headers[i].name)) {
                return sp_fail(err, SP_EINVAL, "header %.*s: it came twice",
                               (int)headers[i].name.len, headers[i].name.ptr);
            }
        }
    }
    request.headers = headers;
    request.n_headers = raw->n_headers;
    if (raw->body.ptr && raw->body.len > 0) {
        request.body = raw->body;
        request.body_kind = SP_BODY_UNREAD;
    }
    *ret_request = request;
    return SP_OK;
}
