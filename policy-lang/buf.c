#include "buf.h"

#include "utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROOM_MIN_BYTES = 64 };

void sp_buf_init(struct sp_buf *buf, size_t cap_bytes)
{
    /* Half of the address space, so that no sum below wraps. */
    *buf = (struct sp_buf){.cap_bytes = cap_bytes < SIZE_MAX / 2 ? cap_bytes : SIZE_MAX / 2};
}

/* Room for len more bytes and a NUL; marks the buffer as failed otherwise. */
static bool reserve(struct sp_buf *buf, size_t len)
{
    if (buf->failed || len > buf->cap_bytes || buf->len > buf->cap_bytes - len) {
        buf->failed = true;
        return false;
    }
    size_t need = buf->len + len + 1;
    if (need <= buf->room) {
        return true;
    }
    size_t room = buf->room * 2 > ROOM_MIN_BYTES ? buf->room * 2 : ROOM_MIN_BYTES;
    room = room > need ? room : need;
    /* Not realloc: what it leaves behind could be a secret, so the old copy is overwritten. */
    char *memory = malloc(room);
    if (!memory) {
        buf->failed = buf->out_of_memory = true;
        return false;
    }
    if (buf->ptr) {
        memcpy(memory, buf->ptr, buf->len + 1);
        explicit_bzero(buf->ptr, buf->room);
        free(buf->ptr);
    }
    buf->ptr = memory;
    buf->room = room;
    return true;
}

void sp_buf_add(struct sp_buf *buf, const void *bytes, size_t len)
{
    if (!reserve(buf, len)) {
        return;
    }
    if (len > 0) {
        memcpy(buf->ptr + buf->len, bytes, len);
    }
    buf->len += len;
    buf->ptr[buf->len] = '\0';
}

void sp_buf_add_text(struct sp_buf *buf, struct sp_text text)
{
    sp_buf_add(buf, text.ptr, text.len);
}

void sp_buf_add_str(struct sp_buf *buf, const char *string)
{
    sp_buf_add(buf, string, strlen(string));
}

void sp_buf_add_byte(struct sp_buf *buf, uint8_t byte)
{
    sp_buf_add(buf, &byte, 1);
}

void sp_buf_addf(struct sp_buf *buf, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    if (len < 0) {
        buf->failed = true;
    } else if (reserve(buf, (size_t)len)) {
        (void)vsnprintf(buf->ptr + buf->len, (size_t)len + 1, format, again);
        buf->len += (size_t)len;
    }
    va_end(again);
    va_end(args);
}

/* ---- JSON ----------------------------------------------------------------------------------
 */

void sp_buf_add_json(struct sp_buf *buf, struct sp_text text)
{
    sp_buf_add_byte(buf, '"');
    for (size_t i = 0; i < text.len;) {
        struct sp_text rest = {text.ptr + i, text.len - i};
        uint32_t point;
        size_t len = utf8_decode(rest, &point);
        if (len == 0) {
            sp_buf_add_str(buf, "\\ufffd");
            i++;
            continue;
        }
        if (point == '"' || point == '\\') {
            sp_buf_add_byte(buf, '\\');
            sp_buf_add_byte(buf, (uint8_t)point);
        } else if (utf8_is_unsafe(point)) {
            sp_buf_addf(buf, "\\u%04x", (unsigned)point);
        } else {
            sp_buf_add(buf, rest.ptr, len);
        }
        i += len;
    }
    sp_buf_add_byte(buf, '"');
}

void sp_buf_reset(struct sp_buf *buf)
{
    buf->len = 0;
    buf->failed = buf->out_of_memory = false;
    if (buf->ptr) {
        buf->ptr[0] = '\0';
    }
}

void sp_buf_done(struct sp_buf *buf)
{
    free(buf->ptr);
    *buf = (struct sp_buf){.cap_bytes = buf->cap_bytes};
}
