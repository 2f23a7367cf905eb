/* The canonical request: the one parsed form that is matched, logged and sent.
 *
 * Front ends hand raw bytes to the functions here, once; whatever is ambiguous is rejected with
 * a reason, and no later step looks at the raw input again. The request line that goes upstream
 * is printed from this form by sp_url_print_target(). Rules: RFC 3986 and RFC 9110, cut down by
 * the "Canonicalise once" section of the design.
 *
 * Every text is borrowed from the arena that the request was parsed with.
 */
#ifndef SP_REQUEST_H
#define SP_REQUEST_H

#include "arena.h"
#include "buf.h"
#include "status.h"
#include "value.h"

#include <stdint.h>

/* Methods are bits, so that a rule holds a set of them. Anything else is rejected: names are
 * case-sensitive (RFC 9110 section 9.1), so "get" is an unknown method. */
enum sp_method {
    SP_METHOD_GET = 1u << 0,
    SP_METHOD_HEAD = 1u << 1,
    SP_METHOD_POST = 1u << 2,
    SP_METHOD_PUT = 1u << 3,
    SP_METHOD_PATCH = 1u << 4,
    SP_METHOD_DELETE = 1u << 5,
    SP_METHOD_OPTIONS = 1u << 6,
    SP_METHOD_ALL = (1u << 7) - 1,
};

/* The bit of a method name, or 0. */
unsigned sp_method_parse(struct sp_text name);
/* The name of one bit; NULL for anything that is not exactly one known bit. */
const char *sp_method_name(unsigned method);

enum {
    SP_URL_MAX_BYTES = 8192, /* raw URL; over it is rejected */
    SP_URL_MAX_SEGMENTS = 64,
    SP_URL_MAX_PARAMS = 128,
    SP_HOST_MAX_BYTES = 253, /* RFC 1035 section 2.3.4, as text without the final dot */
};

/* One decoded path segment; never empty, never "." or "..". */
struct sp_segment {
    struct sp_text text;
    bool has_slash; /* it came with %2F: only a {x:slash} capture may match it */
};

/* One query (or form) pair, decoded: percent-encoding and '+' as space. */
struct sp_param {
    struct sp_text name, value;
    bool has_value; /* false for `a`, true for `a=` */
};

struct sp_url {
    bool https;          /* else http */
    struct sp_text host; /* lower-case A-labels, no trailing dot, no port */
    uint16_t port;       /* always set: 443 or 80 where none was given */
    const struct sp_segment *segments;
    size_t n_segments;   /* 0 is the path "/" */
    bool trailing_slash; /* after the last segment; false for "/" */
    const struct sp_param *query;
    size_t n_query;
};

struct sp_header {
    struct sp_text name;  /* lower case */
    struct sp_text value; /* no CR, LF, NUL; trimmed of surrounding blanks */
};

enum sp_body_kind {
    SP_BODY_NONE,     /* no body */
    SP_BODY_UNREAD,   /* there is one; nobody has judged it yet */
    SP_BODY_JSON,     /* value is the parsed JSON */
    SP_BODY_FORM,     /* value is an object of FORM values */
    SP_BODY_OPAQUE,   /* another type, encoded, not UTF-8, over the cap, or broken: rules that
                         read a body do not match it (allow) or fire on it (deny) */
    SP_BODY_STREAMED, /* it goes on while it comes, and nobody reads it: to rules, OPAQUE */
};

struct sp_request {
    unsigned method; /* one bit */
    struct sp_url url;
    const struct sp_header *headers;
    size_t n_headers;
    struct sp_text body; /* sent byte for byte */
    enum sp_body_kind body_kind;
    const struct sp_value *body_value;  /* JSON and FORM only */
    const char *body_reason;            /* OPAQUE: why, for the refusal; static text */
    const struct sp_value *query_value; /* the query as a tree; set by sp_request_init */
};

/* Parse an absolute URL. On failure err says which rule rejected it, in words for the client
 * ("path: '..' segment"), never echoing more than the offending part. SP_EINVAL, SP_ETOOBIG or
 * SP_ENOMEM; *ret_url is untouched on failure. */
sp_status sp_url_parse(struct sp_arena *arena, struct sp_text raw, struct sp_url *ret_url,
                       struct sp_error *err);

/* Canonicalise a host name alone ("API.Stripe.com." -> "api.stripe.com"): rejects userinfo,
 * ports, brackets, every numeric-address spelling, non-ASCII labels, bad A-labels. Single-label
 * names such as "localhost" are accepted. */
sp_status sp_host_parse(struct sp_arena *arena, struct sp_text raw, struct sp_text *ret_host,
                        struct sp_error *err);

/* Append origin-form ("/v1/charges/ch_1?limit=3") to buf: every byte outside RFC 3986
 * `unreserved` and a few safe sub-delims is percent-encoded with upper-case digits; parsing
 * what is printed gives the same url back. */
void sp_url_print_target(const struct sp_url *url, struct sp_buf *buf);
/* The same with scheme, host, and the port where it is not the scheme's own. */
void sp_url_print(const struct sp_url *url, struct sp_buf *buf);

/* Parse the body of an application/x-www-form-urlencoded request (WHATWG URL section 5.1, but
 * a malformed escape, bad UTF-8, NUL, a raw blank, control byte or ';', or a raw "]=" in a
 * value is an error: readers part them differently). */
sp_status sp_form_parse(struct sp_arena *arena, struct sp_text raw, size_t max_params,
                        const struct sp_param **ret_params, size_t *ret_n_params,
                        struct sp_error *err);

/* The same for a query, where ';' and "]=" are data: a query is never sent as it came. */
sp_status sp_query_parse(struct sp_arena *arena, struct sp_text raw, size_t max_params,
                         const struct sp_param **ret_params, size_t *ret_n_params,
                         struct sp_error *err);

/* Fill in *ret_request from raw parts: parses method and url, builds query_value; headers and
 * body are left empty. */
sp_status sp_request_init(struct sp_arena *arena, struct sp_text method, struct sp_text url,
                          struct sp_request *ret_request, struct sp_error *err);

/* The first header of that lower-case name; NULL where absent. */
const struct sp_header *sp_request_header(const struct sp_request *request, const char *name);

#endif
