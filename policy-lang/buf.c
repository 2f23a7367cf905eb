#include "buf.h"

#include "utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROOM_MIN_BYTES = 256 };

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

void sp_buf_add_number(struct sp_buf *buf, int64_t number)
{
    char digits[20]; /* of 2^63, and a sign */
    size_t at = sizeof digits;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (number < 0) {
        digits[--at] = '-';
    }
    sp_buf_add(buf, digits + at, sizeof digits - at);
}

void sp_buf_add_hex(struct sp_buf *buf, const void *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *byte = bytes;
    for (size_t i = 0; i < len; i++) {
        const char pair[2] = {digits[byte[i] >> 4], digits[byte[i] & 15]};
        sp_buf_add(buf, pair, sizeof pair);
    }
}

void sp_buf_addf(struct sp_buf *buf, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    /* Mostly there is room already, and one turn is enough. */
    size_t room = buf->ptr && !buf->failed ? buf->room - buf->len : 0;
    int len = vsnprintf(room ? buf->ptr + buf->len : NULL, room, format, args);
    if (len < 0) {
        buf->failed = true;
    } else if (reserve(buf, (size_t)len)) {
        if ((size_t)len >= room) {
            (void)vsnprintf(buf->ptr + buf->len, (size_t)len + 1, format, again);
        }
        buf->len += (size_t)len;
    }
    if (room && buf->failed) {
        buf->ptr[buf->len] = '\0'; /* nothing of what did not fit */
    }
    va_end(again);
    va_end(args);
}

/* ---- JSON ----------------------------------------------------------------------------------
 */

/* How many bytes at the beginning stand for themselves; nearly all do. */
static size_t plain_len(struct sp_text text)
{
    size_t len = 0;
    while (len < text.len && text.ptr[len] >= ' ' && text.ptr[len] < 0x7f &&
           text.ptr[len] != '"' && text.ptr[len] != '\\') {
        len++;
    }
    return len;
}

void sp_buf_add_json(struct sp_buf *buf, struct sp_text text)
{
    sp_buf_add_byte(buf, '"');
    for (size_t i = 0; i < text.len;) {
        struct sp_text rest = {text.ptr + i, text.len - i};
        size_t plain = plain_len(rest);
        if (plain > 0) {
            sp_buf_add(buf, rest.ptr, plain);
            i += plain;
            continue;
        }
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
