/* Caveats on a token, cut from the input at NULs behind three bytes: what narrows parses as a
 * caveat, the token reads as it was printed and its tag holds; with a caveat less, with two in
 * another order, or with one bit of its text changed, it does not. */
#include "token.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t key[32] = {1}, grant_hash[32] = {2}, id[SP_TOKEN_ID_BYTES] = {3};

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

static bool holds(const struct sp_token *token)
{
    return sp_token_verify(token, key, grant_hash) == SP_OK;
}

static void narrow(struct sp_token *token, struct sp_text caveat)
{
    struct sp_error err = {""};
    struct sp_scope *scope = NULL;
    size_t before = token->n_caveats;
    sp_status status = sp_token_narrow(token, caveat, &err);
    if (status) {
        must(token->n_caveats == before);
    } else {
        must(token->n_caveats == before + 1 && sp_caveat_parse(caveat, &scope, &err) == SP_OK);
        sp_scope_free(scope);
    }
    must(holds(token));
}

/* Anybody may add a caveat; nobody may take one away or change the order. */
static void check_forged(const struct sp_token *token)
{
    struct sp_token forged = *token;
    if (token->n_caveats == 0) {
        return;
    }
    forged.n_caveats--;
    must(!holds(&forged));
    forged = *token;
    if (token->n_caveats > 1 && !sp_text_eq(token->caveats[0], token->caveats[1])) {
        forged.caveats[0] = token->caveats[1];
        forged.caveats[1] = token->caveats[0];
        must(!holds(&forged));
    }
}

static void check_text(struct sp_arena *arena, const struct sp_token *token,
                       struct sp_buf *text, size_t place)
{
    struct sp_token again;
    sp_token_print(token, text);
    if (text->failed || text->len > SP_TOKEN_MAX_BYTES) {
        return;
    }
    must(sp_token_parse(arena, sp_buf_text(text), &again) == SP_OK &&
         again.n_caveats == token->n_caveats && holds(&again));
    for (size_t i = 0; i < token->n_caveats; i++) {
        must(sp_text_eq(again.caveats[i], token->caveats[i]));
    }
    char *at = &text->ptr[place / 8 % text->len];
    *at = (char)(*at ^ 1 << place % 8);
    must(sp_token_parse(arena, sp_buf_text(text), &again) != SP_OK || !holds(&again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { PLACE_BYTES = 3 };
    struct sp_arena arena;
    struct sp_buf text;
    struct sp_token token;
    if (size < PLACE_BYTES) {
        return 0;
    }
    size_t place = (size_t)data[0] << 16 | (size_t)data[1] << 8 | data[2];
    const char *at = (const char *)data + PLACE_BYTES, *end = (const char *)data + size;
    sp_arena_init(&arena, 1 << 20);
    sp_buf_init(&text, 4 * SP_TOKEN_MAX_BYTES);
    sp_token_mint(key, id, grant_hash, &token);
    while (at < end) {
        const char *nul = memchr(at, '\0', (size_t)(end - at));
        size_t len = (size_t)((nul ? nul : end) - at);
        narrow(&token, (struct sp_text){at, len});
        at += len + 1;
    }
    check_forged(&token);
    check_text(&arena, &token, &text, place);
    sp_buf_done(&text);
    sp_arena_done(&arena);
    return 0;
}
