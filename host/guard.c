#include "guard_inner.h"
#include "placement.h"

#include <assert.h>
#include <sodium.h>

static uint64_t window_at(const char *ptr)
{
    uint64_t window;
    memcpy(&window, ptr, sizeof window);
    return window |
           0x2020202020202020u; /* folds letters; what else it folds is compared later */
}

static unsigned slot_of(uint64_t window)
{
    return (unsigned)((window * 0x9e3779b97f4a7c15u) >> (64 - FILTER_BITS));
}

static bool add_needle(struct sp_guard *guard, struct sp_text text, bool fold)
{
    assert(text.len >= WINDOW);
    if (guard->n == guard->room) {
        size_t room = guard->room ? guard->room * 2 : 16;
        struct needle *grown = sp_wipe_realloc(guard->needles, room * sizeof *grown);
        if (!grown) {
            return false;
        }
        guard->needles = grown;
        guard->room = room;
    }
    struct needle *needle = &guard->needles[guard->n];
    *needle = (struct needle){guard->bytes.len, text.len, fold, window_at(text.ptr)};
    sp_wipe_buf_add_text(&guard->bytes, text);
    if (guard->bytes.failed) {
        return false;
    }
    unsigned slot = slot_of(needle->window);
    guard->filter[slot / 8] |= (uint8_t)(1u << (slot % 8));
    guard->n++;
    return true;
}

/* Base64 of text as it looks inside a longer encoded text, `skew` bytes behind a multiple of
 * three: the characters that bytes before or behind it would change are left out. */
static bool add_base64(struct sp_guard *guard, struct sp_text text, size_t skew, int variant)
{
    size_t len = text.len + skew, room = sodium_base64_encoded_len(len, variant);
    char *plain = sp_wipe_calloc(1, len), *encoded = sp_wipe_malloc(room);
    bool added = plain && encoded;
    if (added) {
        memcpy(plain + skew, text.ptr, text.len);
        sodium_bin2base64(encoded, room, (const unsigned char *)plain, len, variant);
        size_t first = skew ? skew + 1 : 0, end = len * 8 / 6;
        added = add_needle(guard, (struct sp_text){encoded + first, end - first}, false);
    }
    sp_wipe_free(plain);
    sp_wipe_free(encoded);
    return added;
}

static bool add_hex(struct sp_guard *guard, struct sp_text text)
{
    char *hex = sp_wipe_malloc(text.len * 2 + 1);
    if (!hex) {
        return false;
    }
    sodium_bin2hex(hex, text.len * 2 + 1, (const unsigned char *)text.ptr, text.len);
    bool added = add_needle(guard, (struct sp_text){hex, text.len * 2}, true);
    sp_wipe_free(hex);
    return added;
}

static bool add_forms(struct sp_guard *guard, struct sp_text text)
{
    static const int variants[] = {sodium_base64_VARIANT_ORIGINAL_NO_PADDING,
                                   sodium_base64_VARIANT_URLSAFE_NO_PADDING};
    if (text.len < SP_GUARD_MIN_BYTES) {
        return true;
    }
    bool added = add_needle(guard, text, false) && add_hex(guard, text);
    for (size_t skew = 0; skew < 3; skew++) {
        for (size_t i = 0; i < 2; i++) {
            added = added && add_base64(guard, text, skew, variants[i]);
        }
    }
    return added;
}

/* A placed value that is more than the bare secret: `user:password` in base64. */
static sp_status add_placed(struct sp_guard *guard, const struct sp_placement *placement,
                            const struct sp_key *key)
{
    struct sp_placement bare = *placement;
    bare.prefix = SP_TEXT("");
    struct sp_wipe_buf value;
    sp_wipe_buf_init(&value, SP_PLACED_MAX_BYTES);
    sp_status status = sp_placement_value(&bare, key, &value, NULL);
    if (!status && !add_forms(guard, sp_wipe_buf_text(&value))) {
        status = SP_ENOMEM;
    }
    sp_wipe_buf_done(&value);
    return status;
}

sp_status sp_guard_new(const struct sp_key *key, const struct sp_plan *plan,
                       struct sp_guard **ret_guard)
{
    struct sp_guard *guard = sp_wipe_calloc(1, sizeof *guard);
    if (!guard) {
        return SP_ENOMEM;
    }
    sp_wipe_buf_init(&guard->bytes, 4 << 20);
    sp_status status = SP_OK;
    for (size_t i = 0; i < key->n_secrets && !status; i++) {
        if (!key->secrets[i].value.ptr) {
            status = SP_ESEALED;
        } else if (!add_forms(guard, sp_secret_text(&key->secrets[i].value))) {
            status = SP_ENOMEM;
        }
    }
    for (size_t i = 0; i < plan->n_placements && !status; i++) {
        if (plan->placements[i].base64) {
            status = add_placed(guard, &plan->placements[i], key);
        }
    }
    if (status) {
        sp_guard_free(guard);
        return status;
    }
    *ret_guard = guard;
    return SP_OK;
}

void sp_guard_free(struct sp_guard *guard)
{
    if (!guard) {
        return;
    }
    sp_wipe_buf_done(&guard->bytes);
    sp_wipe_free(guard->needles);
    sp_wipe_free(guard);
}

/* Not in constant time, on purpose: it stops at the first difference, so that a text made of
 * half matches costs no more than its length. What it tells, the upstream knows already. */
static bool same(const struct needle *needle, const char *bytes, const char *text)
{
    for (size_t i = 0; i < needle->len; i++) {
        char c = text[i];
        if (needle->fold && c >= 'A' && c <= 'F') {
            c = (char)(c - 'A' + 'a');
        }
        if (c != bytes[i]) {
            return false;
        }
    }
    return true;
}

static bool needle_at(const struct sp_guard *guard, uint64_t window, const char *ptr,
                      size_t left)
{
    for (size_t i = 0; i < guard->n; i++) {
        const struct needle *needle = &guard->needles[i];
        if (needle->window == window && needle->len <= left &&
            same(needle, guard->bytes.ptr + needle->start, ptr)) {
            return true;
        }
    }
    return false;
}

static bool found_in(const struct sp_guard *guard, struct sp_text text)
{
    for (size_t i = 0; i + WINDOW <= text.len; i++) {
        uint64_t window = window_at(text.ptr + i);
        unsigned slot = slot_of(window);
        if (guard->filter[slot / 8] & (1u << (slot % 8)) &&
            needle_at(guard, window, text.ptr + i, text.len - i)) {
            return true;
        }
    }
    return false;
}

int guard_hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* n hexadecimal digits, or -1. */
static int hex_number(const char *ptr, size_t left, size_t n)
{
    int number = 0;
    if (left < n) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        int digit = guard_hex_digit(ptr[i]);
        if (digit < 0) {
            return -1;
        }
        number = number * 16 + digit;
    }
    return number;
}

/* Both decoders write in place, what is no escape stays as it is, and they never grow a text.
 */
static size_t undo_percent(char *ptr, size_t len)
{
    size_t out = 0;
    for (size_t i = 0; i < len; i++) {
        int byte = ptr[i] == '%' ? hex_number(ptr + i + 1, len - i - 1, 2) : -1;
        if (byte >= 0) {
            ptr[out++] = (char)byte;
            i += 2;
        } else {
            ptr[out++] = ptr[i];
        }
    }
    return out;
}

size_t guard_put_utf8(char *ptr, int code)
{
    if (code < 0x80) {
        ptr[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        ptr[0] = (char)(0xc0 | code >> 6);
        ptr[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    ptr[0] = (char)(0xe0 | code >> 12);
    ptr[1] = (char)(0x80 | (code >> 6 & 0x3f));
    ptr[2] = (char)(0x80 | (code & 0x3f));
    return 3;
}

static size_t undo_json(char *ptr, size_t len)
{
    static const char letters[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
    size_t out = 0;
    for (size_t i = 0; i < len; i++) {
        char next = ptr[i] == '\\' && i + 1 < len ? ptr[i + 1] : '\0';
        const char *letter = next ? strchr(letters, next) : NULL;
        int code = next == 'u' ? hex_number(ptr + i + 2, len - i - 2, 4) : -1;
        if (letter) {
            ptr[out++] = bytes[letter - letters];
            i++;
        } else if (code >= 0) {
            out += guard_put_utf8(ptr + out, code);
            i += 5;
        } else {
            ptr[out++] = ptr[i];
        }
    }
    return out;
}

sp_status sp_guard_check(const struct sp_guard *guard, struct sp_text text)
{
    if (guard->n == 0 || text.len < WINDOW) {
        return SP_OK;
    }
    if (found_in(guard, text)) {
        return SP_EDENIED;
    }
    bool percent = memchr(text.ptr, '%', text.len), json = memchr(text.ptr, '\\', text.len);
    if (!percent && !json) {
        return SP_OK;
    }
    char *view = sp_wipe_malloc(text.len);
    if (!view) {
        return SP_ENOMEM;
    }
    bool found = false;
    size_t len = text.len;
    memcpy(view, text.ptr, len);
    if (percent) {
        len = undo_percent(view, len);
        found = found_in(guard, (struct sp_text){view, len});
    }
    if (json && !found) {
        len = text.len;
        memcpy(view, text.ptr, len);
        len = undo_json(view, len);
        found = found_in(guard, (struct sp_text){view, len});
    }
    /* A "%" may itself have been written as an escape, so this asks the decoded view again. */
    if (json && !found && memchr(view, '%', len)) {
        len = undo_percent(view, len);
        found = found_in(guard, (struct sp_text){view, len});
    }
    sp_wipe_free(view);
    return found ? SP_EDENIED : SP_OK;
}
