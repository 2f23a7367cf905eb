/* sp_wipe: memory that is wiped before it is given back. libcurl is run on it (egress.h), and
 * so is whatever of ours holds a secret for the length of one call. Any thread may call it.
 */
#ifndef SP_WIPE_ALLOC_H
#define SP_WIPE_ALLOC_H

#include "text.h"

#include <stddef.h>
#include <stdint.h>

/* malloc and its kin. A block that grows moves: the old place is wiped. Pointers of this family
 * and of the C library's must not be mixed. */
void *sp_wipe_malloc(size_t size);
void *sp_wipe_calloc(size_t count, size_t size);
void *sp_wipe_realloc(void *ptr, size_t size);
char *sp_wipe_strdup(const char *string);
void sp_wipe_free(void *ptr);

/* A growing buffer of such memory with a cap given at birth. As with sp_buf, a failed append
 * marks it as failed and every later one is ignored. */
struct sp_wipe_buf {
    char *ptr; /* NUL-terminated once anything was appended; NULL before */
    size_t len, room, cap_bytes;
    bool failed; /* over the cap, or out of memory */
};

void sp_wipe_buf_init(struct sp_wipe_buf *buf, size_t cap_bytes);
void sp_wipe_buf_add(struct sp_wipe_buf *buf, const void *bytes, size_t len);
void sp_wipe_buf_add_text(struct sp_wipe_buf *buf, struct sp_text text);
void sp_wipe_buf_add_str(struct sp_wipe_buf *buf, const char *string);
void sp_wipe_buf_add_byte(struct sp_wipe_buf *buf, uint8_t byte);
/* Room for len more bytes at once: one allocation where the size is known. */
void sp_wipe_buf_reserve(struct sp_wipe_buf *buf, size_t len);
/* Wipes what is in it; the memory stays. */
void sp_wipe_buf_reset(struct sp_wipe_buf *buf);
void sp_wipe_buf_done(struct sp_wipe_buf *buf);

static inline struct sp_text sp_wipe_buf_text(const struct sp_wipe_buf *buf)
{
    return (struct sp_text){buf->ptr ? buf->ptr : "", buf->len};
}

#endif
