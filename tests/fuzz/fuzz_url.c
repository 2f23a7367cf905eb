/* Any bytes as a URL: no fault, and what is accepted prints to something that parses to the
 * same print again. */
#include "request.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_arena arena;
    struct sp_request request, again;
    struct sp_error err = {""};
    struct sp_buf first, second;
    sp_arena_init(&arena, 4 << 20);
    sp_buf_init(&first, 1 << 20);
    sp_buf_init(&second, 1 << 20);
    if (sp_request_init(&arena, SP_TEXT("GET"), (struct sp_text){(const char *)data, size},
                        &request, &err) == SP_OK) {
        sp_url_print(&request.url, &first);
        /* Percent-encoding triples the length at most, so the print may be over the cap. */
        sp_status status =
            sp_request_init(&arena, SP_TEXT("GET"), sp_buf_text(&first), &again, &err);
        if (status == SP_OK) {
            sp_url_print(&again.url, &second);
        }
        if (status != SP_ETOOBIG && !sp_text_eq(sp_buf_text(&first), sp_buf_text(&second))) {
            abort();
        }
    }
    sp_buf_done(&first);
    sp_buf_done(&second);
    sp_arena_done(&arena);
    return 0;
}
