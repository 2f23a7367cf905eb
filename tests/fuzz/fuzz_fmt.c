/* Any text through the formatter: no fault, no hang; what it prints formats to itself and still
 * parses. That it holds the same tokens and comments the formatter checks by itself. */
#include "policy.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_source source = {"fuzz", {(const char *)data, size}};
    struct sp_buf once, twice;
    struct sp_diags diags;
    sp_diags_init(&diags);
    sp_buf_init(&once, 16 << 20);
    sp_buf_init(&twice, 16 << 20);
    sp_status status = sp_policy_format(&source, &diags, &once);
    if (status == SP_OK) {
        source.text = sp_buf_text(&once);
        if (sp_policy_format(&source, &diags, &twice) ||
            !sp_text_eq(source.text, sp_buf_text(&twice))) {
            abort();
        }
    } else if (status == SP_EINVAL) {
        /* It says why, and never that the layout is at fault. */
        for (const struct sp_diag *d = diags.first; d; d = d->next) {
            if (strstr(d->message, "cannot lay out")) {
                abort();
            }
        }
    }
    sp_buf_done(&once);
    sp_buf_done(&twice);
    sp_diags_done(&diags);
    return 0;
}
