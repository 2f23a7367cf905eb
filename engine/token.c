#include "token.h"

#include <string.h>

enum {
    RAW_MAX_BYTES =
        SP_TOKEN_ID_BYTES + SP_CAVEATS_MAX * (2 + SP_CAVEAT_MAX_BYTES) + SP_HASH_BYTES,
};

static const char prefix[] = "spt_";
static const char *const disguises[] = {"sk_test_", "sk_live_", "rk_test_",
                                        "rk_live_", "ghp_",     "github_pat_"};

static struct sp_text without_prefix(struct sp_text text, const char *front)
{
    size_t len = strlen(front);
    return sp_text_starts(text, sp_text_of(front))
               ? (struct sp_text){text.ptr + len, text.len - len}
               : (struct sp_text){NULL, 0};
}

/* The part behind "spt_", with or without one disguise in front; .ptr NULL for anything else.
 */
static struct sp_text strip(struct sp_text text)
{
    struct sp_text rest = without_prefix(text, prefix);
    for (size_t i = 0; !rest.ptr && i < sizeof disguises / sizeof *disguises; i++) {
        struct sp_text bare = without_prefix(text, disguises[i]);
        if (bare.ptr) {
            return without_prefix(bare, prefix);
        }
    }
    return rest;
}

sp_status sp_token_parse(struct sp_arena *arena, struct sp_text text,
                         struct sp_token *ret_token)
{
    struct sp_text body =
        text.len <= SP_TOKEN_MAX_BYTES ? strip(text) : (struct sp_text){NULL, 0};
    if (!body.ptr) {
        return SP_EINVAL;
    }
    size_t room = body.len / 4 * 3 + 3, len = 0;
    uint8_t *raw = room <= RAW_MAX_BYTES + 3 ? sp_arena_alloc(arena, room) : NULL;
    if (!raw || sp_base64url_decode(body, raw, room, &len) ||
        len < SP_TOKEN_ID_BYTES + SP_HASH_BYTES) {
        return SP_EINVAL;
    }
    struct sp_token token = {.n_caveats = 0};
    memcpy(token.id, raw, SP_TOKEN_ID_BYTES);
    size_t at = SP_TOKEN_ID_BYTES, end = len - SP_HASH_BYTES;
    while (at < end) {
        size_t caveat_len = end - at >= 2 ? (size_t)(raw[at] << 8 | raw[at + 1]) : 0;
        if (caveat_len == 0 || caveat_len > SP_CAVEAT_MAX_BYTES || caveat_len > end - at - 2 ||
            token.n_caveats == SP_CAVEATS_MAX) {
            return SP_EINVAL;
        }
        token.caveats[token.n_caveats++] =
            (struct sp_text){(const char *)raw + at + 2, caveat_len};
        at += 2 + caveat_len;
    }
    memcpy(token.tag, raw + end, SP_HASH_BYTES);
    *ret_token = token;
    return SP_OK;
}

static void first_tag(const uint8_t key[SP_KEY_BYTES], const uint8_t id[SP_TOKEN_ID_BYTES],
                      const uint8_t grant_hash[SP_HASH_BYTES], uint8_t ret_tag[SP_HASH_BYTES])
{
    struct sp_hash hash;
    sp_hash_init(&hash, key);
    sp_hash_part(&hash, id, SP_TOKEN_ID_BYTES);
    sp_hash_part(&hash, grant_hash, SP_HASH_BYTES);
    sp_hash_done(&hash, ret_tag);
}

static void next_tag(uint8_t tag[SP_HASH_BYTES], struct sp_text caveat)
{
    struct sp_hash hash;
    sp_hash_init(&hash, tag);
    sp_hash_part(&hash, caveat.ptr, caveat.len);
    sp_hash_done(&hash, tag);
}

void sp_token_mint(const uint8_t key[SP_KEY_BYTES], const uint8_t id[SP_TOKEN_ID_BYTES],
                   const uint8_t grant_hash[SP_HASH_BYTES], struct sp_token *ret_token)
{
    *ret_token = (struct sp_token){.n_caveats = 0};
    memcpy(ret_token->id, id, SP_TOKEN_ID_BYTES);
    first_tag(key, id, grant_hash, ret_token->tag);
}

sp_status sp_token_verify(const struct sp_token *token, const uint8_t key[SP_KEY_BYTES],
                          const uint8_t grant_hash[SP_HASH_BYTES])
{
    uint8_t tag[SP_HASH_BYTES];
    first_tag(key, token->id, grant_hash, tag);
    for (size_t i = 0; i < token->n_caveats; i++) {
        next_tag(tag, token->caveats[i]);
    }
    sp_status status = sodium_memcmp(tag, token->tag, SP_HASH_BYTES) == 0 ? SP_OK : SP_ECRYPTO;
    sodium_memzero(tag, sizeof tag);
    return status;
}

sp_status sp_token_narrow(struct sp_token *token, struct sp_text caveat, struct sp_error *err)
{
    struct sp_scope *scope = NULL;
    if (token->n_caveats == SP_CAVEATS_MAX) {
        return sp_fail(err, SP_ETOOBIG, "a token holds at most %d caveats", SP_CAVEATS_MAX);
    }
    sp_status status = sp_caveat_parse(caveat, &scope, err);
    if (status) {
        return status;
    }
    sp_scope_free(scope);
    token->caveats[token->n_caveats++] = caveat;
    next_tag(token->tag, caveat);
    return SP_OK;
}

void sp_token_print(const struct sp_token *token, struct sp_buf *buf)
{
    struct sp_buf raw;
    sp_buf_init(&raw, RAW_MAX_BYTES);
    sp_buf_add(&raw, token->id, SP_TOKEN_ID_BYTES);
    for (size_t i = 0; i < token->n_caveats; i++) {
        sp_buf_add_byte(&raw, (uint8_t)(token->caveats[i].len >> 8));
        sp_buf_add_byte(&raw, (uint8_t)token->caveats[i].len);
        sp_buf_add_text(&raw, token->caveats[i]);
    }
    sp_buf_add(&raw, token->tag, SP_HASH_BYTES);
    sp_buf_add_str(buf, prefix);
    sp_base64url_encode(raw.ptr, raw.len, buf);
    buf->failed = buf->failed || raw.failed;
    if (raw.ptr) {
        sodium_memzero(raw.ptr, raw.room);
    }
    sp_buf_done(&raw);
}
