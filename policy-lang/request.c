#include "request.h"

static const char *const method_names[] = {"GET",   "HEAD",   "POST",   "PUT",
                                           "PATCH", "DELETE", "OPTIONS"};
enum { N_METHODS = sizeof method_names / sizeof *method_names };

unsigned sp_method_parse(struct sp_text name)
{
    for (unsigned i = 0; i < N_METHODS; i++) {
        if (sp_text_is(name, method_names[i])) {
            return 1u << i;
        }
    }
    return 0;
}

const char *sp_method_name(unsigned method)
{
    for (unsigned i = 0; i < N_METHODS; i++) {
        if (method == 1u << i) {
            return method_names[i];
        }
    }
    return NULL;
}

sp_status sp_request_init(struct sp_arena *arena, struct sp_text method, struct sp_text url,
                          struct sp_request *ret_request, struct sp_error *err)
{
    struct sp_request request = {.body_kind = SP_BODY_NONE};
    request.method = sp_method_parse(method);
    if (request.method == 0) {
        return sp_fail(err, SP_EINVAL,
                       "method: must be GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS, in "
                       "capitals");
    }
    sp_status status = sp_url_parse(arena, url, &request.url, err);
    if (status) {
        return status;
    }
    struct sp_value *tree = sp_arena_alloc(arena, sizeof *tree);
    if (!tree || sp_form_tree(arena, request.url.query, request.url.n_query, tree)) {
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    request.query_value = tree;
    *ret_request = request;
    return SP_OK;
}

const struct sp_header *sp_request_header(const struct sp_request *request, const char *name)
{
    for (size_t i = 0; i < request->n_headers; i++) {
        if (sp_text_is(request->headers[i].name, name)) {
            return &request->headers[i];
        }
    }
    return NULL;
}
