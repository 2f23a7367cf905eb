/* A trace context from anybody: traceparent in the first line, a tracestate in each further
 * one. What is taken keeps to the grammar, and a change behind the parent's fixed part changes
 * no id. */
#include "trace.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_header headers[16];
    struct sp_text rest = {(const char *)data, size};
    struct sp_trace trace;
    size_t n = 0;
    while (n < 16) {
        const char *end = memchr(rest.ptr, '\n', rest.len);
        size_t len = end ? (size_t)(end - rest.ptr) : rest.len;
        headers[n].name = n ? SP_TEXT("tracestate") : SP_TEXT("traceparent");
        headers[n++].value = (struct sp_text){rest.ptr, len};
        if (!end) {
            break;
        }
        rest = (struct sp_text){end + 1, rest.len - len - 1};
    }
    sp_trace_read(&(struct sp_request){.headers = headers, .n_headers = n}, &trace);
    if (trace.id.len != 0 &&
        (trace.id.len != SP_TRACE_ID_CHARS || trace.id.ptr != headers[0].value.ptr + 3 ||
         strspn(trace.id.ptr, "0123456789abcdef") < SP_TRACE_ID_CHARS)) {
        abort();
    }
    if (trace.has_state && trace.id.len == 0) {
        abort();
    }
    return 0;
}
