/* What guard.c (an answer as a whole) and guard_stream.c (as it comes) share. */
#ifndef SP_GUARD_INNER_H
#define SP_GUARD_INNER_H

#include "guard.h"

/* One pass finds all needles: the eight bytes at each place, ASCII case folded away, are looked
 * up in a small bitmap; only where the bitmap knows them is a needle compared. */
enum { WINDOW = 8, FILTER_BITS = 12 };

struct needle {
    size_t start, len; /* in bytes */
    bool fold;         /* hexadecimal: either case */
    uint64_t window;   /* its first eight bytes, folded */
};

struct sp_guard {
    struct sp_wipe_buf bytes; /* all needles, one behind the other */
    struct needle *needles;
    size_t n, room;
    uint8_t filter[(1 << FILTER_BITS) / 8];
};

/* 0 to 15, or -1. */
int guard_hex_digit(char c);
/* UTF-8 of a code point under 0x10000, at most 3 bytes; how many. */
size_t guard_put_utf8(char *ptr, int code);

#endif
