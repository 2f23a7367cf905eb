/* Any text as a token: no fault; what parses prints to the same, and a foreign tag never holds.
 */
#include "grant.h"
#include "token.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t key[32] = {1}, grant_hash[32] = {2};
    struct sp_arena arena;
    struct sp_token token, again;
    struct sp_grant grant;
    struct sp_buf text;
    struct sp_text input = {(const char *)data, size};
    sp_arena_init(&arena, 1 << 20);
    sp_buf_init(&text, 2 * SP_TOKEN_MAX_BYTES);
    if (sp_token_parse(&arena, input, &token) == SP_OK) {
        sp_token_print(&token, &text);
        if (sp_token_verify(&token, key, grant_hash) == SP_OK ||
            sp_token_parse(&arena, sp_buf_text(&text), &again) != SP_OK ||
            again.n_caveats != token.n_caveats) {
            abort();
        }
    }
    sp_buf_reset(&text);
    if (sp_grant_decode(&arena, input, &grant) == SP_OK) {
        sp_grant_encode(&grant, &text);
        if (!sp_text_eq(sp_buf_text(&text), input)) {
            abort();
        }
    }
    sp_buf_done(&text);
    sp_arena_done(&arena);
    return 0;
}
