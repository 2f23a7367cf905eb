/* Code points, where bytes are not enough. Inside policy-lang only. */
#ifndef SP_UTF8_H
#define SP_UTF8_H

#include "text.h"

#include <stdint.h>

/* Decode one code point at the head of text, which is not empty; 0 where it is not
 * well-formed, else its length. */
static inline size_t utf8_decode(struct sp_text text, uint32_t *ret_point)
{
    const unsigned char *byte = (const unsigned char *)text.ptr;
    size_t len = byte[0] < 0x80 ? 1 : byte[0] < 0xe0 ? 2 : byte[0] < 0xf0 ? 3 : 4;
    if (text.len < len || !sp_text_is_utf8((struct sp_text){text.ptr, len})) {
        return 0;
    }
    static const unsigned char masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t point = byte[0] & masks[len];
    for (size_t i = 1; i < len; i++) {
        point = point << 6 | (byte[i] & 0x3fu);
    }
    *ret_point = point;
    return len;
}

/* What could move a cursor, break a line or reorder what a person reads: C0 and C1 controls,
 * DEL, the line and paragraph separators, and the bidirectional controls of UAX #9. */
static inline bool utf8_is_unsafe(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point <= 0x9f) || point == 0x061c ||
           (point >= 0x200e && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e) ||
           (point >= 0x2066 && point <= 0x2069) || point == 0xfeff;
}

#endif
