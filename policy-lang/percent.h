/* Percent-encoding, RFC 3986 section 2.1. Inside policy-lang only. */
#ifndef SP_PERCENT_H
#define SP_PERCENT_H

#include "text.h"

static inline int percent_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The byte that "%HH" at text.ptr[i] stands for; -1 where it is no such thing. */
static inline int percent_decode(struct sp_text text, size_t i)
{
    if (text.len - i < 3 || text.ptr[i] != '%') {
        return -1;
    }
    int high = percent_digit(text.ptr[i + 1]), low = percent_digit(text.ptr[i + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

#endif
