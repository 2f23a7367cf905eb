/* sp_trace: W3C Trace Context (level 2) of a request, which sallyport passes on as it came: it
 * starts no trace and adds no span. What is invalid is left behind, as the recommendation has
 * it, so that the next party does not take a stranger's bytes for a trace. Pure.
 */
#ifndef SP_TRACE_H
#define SP_TRACE_H

#include "request.h"

enum { SP_TRACE_ID_CHARS = 32, SP_TRACE_STATES_MAX = 32 };

struct sp_trace {
    struct sp_text id; /* the trace-id, 32 digits of hex, of the request; empty: no valid
                          traceparent */
    bool has_state;    /* its tracestate is valid: without an id there is none */
};

void sp_trace_read(const struct sp_request *request, struct sp_trace *ret_trace);

#endif
