#include "wipe_alloc.h"

#include <sodium.h>
#include <stdlib.h>

/* Each block begins with its size, so that free knows how much to wipe without asking the C
 * library how much room it happened to give. */
union head {
    size_t size;
    max_align_t align;
};

void *sp_wipe_malloc(size_t size)
{
    if (size > SIZE_MAX - sizeof(union head)) {
        return NULL;
    }
    union head *head = malloc(sizeof *head + size);
    if (!head) {
        return NULL;
    }
    head->size = size;
    return head + 1;
}

void *sp_wipe_calloc(size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size) {
        return NULL;
    }
    void *ptr = sp_wipe_malloc(count * size);
    if (ptr) {
        memset(ptr, 0, count * size);
    }
    return ptr;
}

void *sp_wipe_realloc(void *ptr, size_t size)
{
    if (!ptr) {
        return sp_wipe_malloc(size);
    }
    size_t old = ((union head *)ptr - 1)->size;
    void *moved = sp_wipe_malloc(size);
    if (!moved) {
        return NULL;
    }
    memcpy(moved, ptr, old < size ? old : size);
    sp_wipe_free(ptr);
    return moved;
}

char *sp_wipe_strdup(const char *string)
{
    size_t len = strlen(string) + 1;
    char *copy = sp_wipe_malloc(len);
    if (copy) {
        memcpy(copy, string, len);
    }
    return copy;
}

void sp_wipe_free(void *ptr)
{
    if (!ptr) {
        return;
    }
    union head *head = (union head *)ptr - 1;
    sodium_memzero(ptr, head->size);
    free(head);
}

void sp_wipe_buf_init(struct sp_wipe_buf *buf, size_t cap_bytes)
{
    *buf = (struct sp_wipe_buf){.cap_bytes = cap_bytes};
}

void sp_wipe_buf_reserve(struct sp_wipe_buf *buf, size_t len)
{
    if (buf->failed || len > buf->cap_bytes || buf->len > buf->cap_bytes - len) {
        buf->failed = true;
        return;
    }
    size_t need = buf->len + len + 1;
    if (need <= buf->room) {
        return;
    }
    size_t room = buf->room < 128 ? 128 : buf->room * 2;
    if (room < need) {
        room = need;
    }
    char *grown = sp_wipe_realloc(buf->ptr, room);
    if (!grown) {
        buf->failed = true;
        return;
    }
    buf->ptr = grown;
    buf->room = room;
}

void sp_wipe_buf_add(struct sp_wipe_buf *buf, const void *bytes, size_t len)
{
    sp_wipe_buf_reserve(buf, len);
    if (buf->failed) {
        return;
    }
    if (len > 0) {
        memcpy(buf->ptr + buf->len, bytes, len);
    }
    buf->len += len;
    buf->ptr[buf->len] = '\0';
}

void sp_wipe_buf_add_text(struct sp_wipe_buf *buf, struct sp_text text)
{
    sp_wipe_buf_add(buf, text.ptr, text.len);
}

void sp_wipe_buf_add_str(struct sp_wipe_buf *buf, const char *string)
{
    sp_wipe_buf_add(buf, string, strlen(string));
}

void sp_wipe_buf_add_byte(struct sp_wipe_buf *buf, uint8_t byte)
{
    sp_wipe_buf_add(buf, &byte, 1);
}

void sp_wipe_buf_reset(struct sp_wipe_buf *buf)
{
    if (buf->ptr) {
        sodium_memzero(buf->ptr, buf->room);
    }
    buf->len = 0;
    buf->failed = false;
}

void sp_wipe_buf_done(struct sp_wipe_buf *buf)
{
    sp_wipe_free(buf->ptr);
    sp_wipe_buf_init(buf, buf->cap_bytes);
}
