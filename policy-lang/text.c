#include "text.h"

static unsigned char fold(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool sp_text_eq_fold(struct sp_text a, struct sp_text b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (fold(a.ptr[i]) != fold(b.ptr[i])) {
            return false;
        }
    }
    return true;
}

int sp_text_cmp(struct sp_text a, struct sp_text b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter ? memcmp(a.ptr, b.ptr, shorter) : 0;
    if (order != 0) {
        return order;
    }
    return a.len < b.len ? -1 : a.len > b.len;
}

/* The length of the well-formed sequence at the head of text, or 0 (RFC 3629 section 4). */
static size_t sequence_len(const unsigned char *byte, size_t left)
{
    unsigned char first = byte[0], low = 0x80, high = 0xbf;
    size_t len;
    if (first < 0x80) {
        return 1;
    }
    if (first >= 0xc2 && first <= 0xdf) {
        len = 2;
    } else if (first >= 0xe0 && first <= 0xef) {
        len = 3;
        low = first == 0xe0 ? 0xa0 : 0x80;  /* overlong */
        high = first == 0xed ? 0x9f : 0xbf; /* surrogates */
    } else if (first >= 0xf0 && first <= 0xf4) {
        len = 4;
        low = first == 0xf0 ? 0x90 : 0x80;  /* overlong */
        high = first == 0xf4 ? 0x8f : 0xbf; /* above U+10FFFF */
    } else {
        return 0;
    }
    if (left < len || byte[1] < low || byte[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < len; i++) {
        if ((byte[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return len;
}

bool sp_text_is_utf8(struct sp_text a)
{
    for (size_t i = 0; i < a.len;) {
        size_t len = sequence_len((const unsigned char *)a.ptr + i, a.len - i);
        if (len == 0) {
            return false;
        }
        i += len;
    }
    return true;
}
