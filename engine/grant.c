#include "grant.h"

enum { VERSION = 1, ARGS_MAX = 64 };

static void put_u64(struct sp_buf *buf, uint64_t number)
{
    for (unsigned shift = 0; shift < 64; shift += 8) {
        sp_buf_add_byte(buf, (uint8_t)(number >> shift));
    }
}

static void put_text(struct sp_buf *buf, struct sp_text text)
{
    put_u64(buf, text.len);
    sp_buf_add_text(buf, text);
}

void sp_grant_encode(const struct sp_grant *grant, struct sp_buf *buf)
{
    const struct sp_text *texts[] = {&grant->principal, &grant->scope_name, &grant->scope,
                                     &grant->narrow,    &grant->caveat,     &grant->bind,
                                     &grant->boot_id};
    sp_buf_add_byte(buf, VERSION);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put_text(buf, *texts[i]);
    }
    put_u64(buf, (uint64_t)grant->issued_ms);
    put_u64(buf, (uint64_t)grant->expires_ms);
    put_u64(buf, (uint64_t)grant->expires_boot_ms);
    put_u64(buf, grant->n_args);
    for (size_t i = 0; i < grant->n_args; i++) {
        put_text(buf, grant->args[i].name);
        put_text(buf, grant->args[i].value);
    }
}

/* What is left to read; `bad` once something was missing, and then for good. */
struct reader {
    struct sp_text rest;
    bool bad;
};

static uint64_t get_u64(struct reader *r)
{
    uint64_t number = 0;
    if (r->rest.len < 8) {
        r->bad = true;
        return 0;
    }
    for (unsigned i = 0; i < 8; i++) {
        number |= (uint64_t)(uint8_t)r->rest.ptr[i] << (8 * i);
    }
    r->rest.ptr += 8;
    r->rest.len -= 8;
    return number;
}

static struct sp_text get_text(struct reader *r)
{
    uint64_t len = get_u64(r);
    if (len > r->rest.len) {
        r->bad = true;
        len = 0;
    }
    struct sp_text text = {r->rest.ptr, (size_t)len};
    r->rest.ptr += len;
    r->rest.len -= (size_t)len;
    return text;
}

sp_status sp_grant_decode(struct sp_arena *arena, struct sp_text bytes,
                          struct sp_grant *ret_grant)
{
    struct reader r = {bytes, bytes.len == 0 || (uint8_t)bytes.ptr[0] != VERSION};
    if (r.bad) {
        return SP_ECORRUPT;
    }
    r.rest.ptr++;
    r.rest.len--;
    struct sp_grant grant = {.n_args = 0};
    grant.principal = get_text(&r);
    grant.scope_name = get_text(&r);
    grant.scope = get_text(&r);
    grant.narrow = get_text(&r);
    grant.caveat = get_text(&r);
    grant.bind = get_text(&r);
    grant.boot_id = get_text(&r);
    grant.issued_ms = (int64_t)get_u64(&r);
    grant.expires_ms = (int64_t)get_u64(&r);
    grant.expires_boot_ms = (int64_t)get_u64(&r);
    uint64_t n_args = get_u64(&r);
    if (r.bad || n_args > ARGS_MAX) {
        return SP_ECORRUPT;
    }
    struct sp_arg *args = sp_arena_array(arena, (size_t)n_args, sizeof *args);
    if (!args) {
        return SP_ENOMEM;
    }
    for (size_t i = 0; i < n_args; i++) {
        args[i].name = get_text(&r);
        args[i].value = get_text(&r);
    }
    if (r.bad || r.rest.len > 0) {
        return SP_ECORRUPT;
    }
    grant.args = args;
    grant.n_args = (size_t)n_args;
    *ret_grant = grant;
    return SP_OK;
}

void sp_grant_hash(struct sp_text bytes, uint8_t ret_hash[SP_HASH_BYTES])
{
    struct sp_hash hash;
    sp_hash_init(&hash, NULL);
    sp_hash_part(&hash, bytes.ptr, bytes.len);
    sp_hash_done(&hash, ret_hash);
}
