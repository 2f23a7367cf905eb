/* sp_buf: a growing byte buffer with a cap given at birth. A failed append marks the buffer as
 * failed and every later one is ignored, so that a writer checks once, at the end. */
#ifndef SP_BUF_H
#define SP_BUF_H

#include "text.h"

#include <stdint.h>

struct sp_buf {
    char *ptr; /* NUL-terminated once anything was appended; NULL before */
    size_t len;
    size_t room;
    size_t cap_bytes;
    bool failed;        /* over the cap, or out of memory */
    bool out_of_memory; /* the latter */
};

void sp_buf_init(struct sp_buf *buf, size_t cap_bytes);
/* A buffer over room (at least 1) bytes of the caller's: it never allocates, and needs no
 * sp_buf_done. */
static inline void sp_buf_over(struct sp_buf *buf, char *memory, size_t room)
{
    memory[0] = '\0';
    *buf = (struct sp_buf){.ptr = memory, .room = room, .cap_bytes = room - 1};
}
void sp_buf_add(struct sp_buf *buf, const void *bytes, size_t len);
void sp_buf_add_text(struct sp_buf *buf, struct sp_text text);
void sp_buf_add_str(struct sp_buf *buf, const char *string);
void sp_buf_add_byte(struct sp_buf *buf, uint8_t byte);
/* In decimal digits; as pairs of lower-case hexadecimal digits. */
void sp_buf_add_number(struct sp_buf *buf, int64_t number);
void sp_buf_add_hex(struct sp_buf *buf, const void *bytes, size_t len);
void sp_buf_addf(struct sp_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A JSON string with its quotes (RFC 8259): control bytes, quote and backslash escaped; bidi
 * controls, line separators and bytes that are not UTF-8 too (as \u escapes, the latter as
 * U+FFFD), so that no client text can forge or reorder a line on a terminal. */
void sp_buf_add_json(struct sp_buf *buf, struct sp_text text);

static inline struct sp_text sp_buf_text(const struct sp_buf *buf)
{
    return (struct sp_text){buf->ptr ? buf->ptr : "", buf->len};
}

/* Empty it and clear the failure; the memory stays. */
void sp_buf_reset(struct sp_buf *buf);
void sp_buf_done(struct sp_buf *buf);

#endif
