#include "canonical.h"

static bool is_core(struct sp_text name)
{
    static const char *const core[] = {"accept",           "accept-language",
                                       "content-encoding", "content-type",
                                       "if-match",         "if-modified-since",
                                       "if-none-match",    "if-unmodified-since",
                                       "idempotency-key",  "range",
                                       "traceparent",      "tracestate",
                                       "user-agent"};
    for (size_t i = 0; i < sizeof core / sizeof *core; i++) {
        if (sp_text_is(name, core[i])) {
            return true;
        }
    }
    return false;
}

static bool manifest_has(const struct sp_manifest *manifest, struct sp_text name)
{
    for (size_t i = 0; manifest && i < manifest->n_request_headers; i++) {
        if (sp_text_eq_fold(manifest->request_headers[i], name)) {
            return true;
        }
    }
    return false;
}

void sp_headers_pass(const struct sp_request *request, const struct sp_manifest *manifest,
                     const struct sp_scope *scope, struct sp_header *ret_headers,
                     size_t *ret_n_headers, struct sp_text *ret_dropped, size_t *ret_n_dropped)
{
    size_t n_headers = 0, n_dropped = 0;
    for (size_t i = 0; i < request->n_headers; i++) {
        struct sp_text name = request->headers[i].name;
        if (is_core(name) || manifest_has(manifest, name) ||
            (scope && sp_scope_reads_header(scope, name))) {
            ret_headers[n_headers++] = request->headers[i];
        } else {
            ret_dropped[n_dropped++] = name;
        }
    }
    *ret_n_headers = n_headers;
    *ret_n_dropped = n_dropped;
}
