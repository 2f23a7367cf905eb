/* Any bytes as records of the audit, one a line: the calls that they tell of are decided by a
 * scope, and nothing gives a fault. */
#include "cli/audit_calls.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] =
    "sallyport 1\nscope s(o) { key k ttl 1h\n"
    "@a allow {GET POST} https://h.test/{o}/** where query.n in 1..5 or body.x = \"y\"\n"
    "@h deny * https://h.test/*/{n:int} where header.x-a = \"1\" and path.n > 5 }\n"
    "scope t { key k ttl 1h allow * https://h.test/** where query only {a} }\n";

struct fuzz {
    const struct sp_policy *policy;
    struct audit_calls *calls;
};

static bool on_call(void *user, uint64_t seq, json_t *record, struct audit_call *call)
{
    struct fuzz *fuzz = user;
    struct sp_partial partial;
    struct sp_buf out;
    const char *why;
    bool gone;
    (void)seq;
    (void)record;
    if (!call) {
        return true;
    }
    sp_buf_init(&out, 1 << 20);
    audit_print_request(&call->request, &out);
    audit_print_text(audit_text(call->record, "reason"), &out);
    const struct sp_scope *scope = audit_scope(fuzz->calls, fuzz->policy, call, &why, &gone);
    if (scope) {
        (void)audit_key_fits(scope, call);
        sp_scope_match_partial(scope, &call->request, call->unknown, &out, &partial);
        sp_scope_explain_partial(scope, &call->request, call->unknown, true, &out);
    }
    sp_buf_done(&out);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sp_policy *policy;
    if (!policy) {
        struct sp_diags diags;
        struct sp_source source = {"fuzz", {text, sizeof text - 1}};
        sp_diags_init(&diags);
        if (sp_policy_compile(&source, 1, NULL, &diags, &policy)) {
            abort();
        }
        sp_diags_done(&diags);
    }
    struct fuzz fuzz = {policy, audit_calls_new()};
    const char *at = (const char *)data, *end = at + size;
    while (fuzz.calls && at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t len = newline ? (size_t)(newline - at) : (size_t)(end - at);
        (void)audit_calls_line(fuzz.calls, 1, (struct sp_text){at, len}, on_call, &fuzz);
        at += len + 1;
    }
    audit_calls_free(fuzz.calls);
    return 0;
}
