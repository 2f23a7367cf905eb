#include "sign_names.h"

static const char *const names[] = {
    "method", "host",     "path",        "path_encoded",       "query",     "query_sorted",
    "target", "body",     "body_sha256", "body_sha256_base64", "timestamp", "timestamp_ms",
    "date",   "datetime", "nonce",       "canonical_sha256",   "signature",
};

static enum sp_sign_name find(struct sp_text name)
{
    for (unsigned i = 0; i < SP_SIGN_LITERAL; i++) {
        if (sp_text_is(name, names[i])) {
            return (enum sp_sign_name)i;
        }
    }
    return SP_SIGN_LITERAL;
}

static void cut(struct sp_text *text, size_t n)
{
    text->ptr += n;
    text->len -= n;
}

bool sp_sign_next(struct sp_text *in_out_template, enum sp_sign_name *ret_name,
                  struct sp_text *ret_literal)
{
    struct sp_text *at = in_out_template;
    size_t n = 0;
    while (n < at->len && at->ptr[n] != '{' && at->ptr[n] != '}') {
        n++;
    }
    *ret_name = SP_SIGN_LITERAL;
    *ret_literal = (struct sp_text){at->ptr, n};
    if (n > 0) {
        cut(at, n);
        return true;
    }
    if (at->len == 0) {
        return false;
    }
    if (at->len > 1 && at->ptr[1] == at->ptr[0]) { /* a doubled brace is a brace */
        ret_literal->len = 1;
        cut(at, 2);
        return true;
    }
    const char *end = at->ptr[0] == '{' ? memchr(at->ptr, '}', at->len) : NULL;
    if (!end) {
        return false;
    }
    struct sp_text name = {at->ptr + 1, (size_t)(end - at->ptr) - 1};
    *ret_name = find(name);
    if (*ret_name == SP_SIGN_LITERAL) {
        return false;
    }
    cut(at, name.len + 2);
    return true;
}

const char *sp_sign_template_refused(struct sp_text template, unsigned allowed,
                                     unsigned *ret_names)
{
    enum sp_sign_name name;
    struct sp_text literal;
    unsigned seen = 0;
    while (sp_sign_next(&template, &name, &literal)) {
        seen |= name == SP_SIGN_LITERAL ? 0 : SP_SIGN_IS(name);
    }
    *ret_names = seen;
    if (template.len > 0) {
        return "has a brace without its counterpart, or a name that there is not";
    }
    return seen & ~allowed ? "has a name that is not for it" : NULL;
}
