/* Messages: header lines, an empty one, and as many bytes as Content-Length says. */
#include "lsp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Reads until n bytes are there: fewer at the end of the input. */
static size_t read_bytes(int fd, char *bytes, size_t n)
{
    size_t done = 0;
    while (done < n) {
        ssize_t got = read(fd, bytes + done, n - done);
        if (got == 0 || (got < 0 && errno != EINTR)) {
            break;
        }
        done += got > 0 ? (size_t)got : 0;
    }
    return done;
}

/* A header line without its end. Byte by byte: nothing of the body may be taken. */
static enum lsp_read read_line(int fd, char *line, size_t room, size_t *ret_len)
{
    size_t len = 0;
    while (len < room && read_bytes(fd, line + len, 1) == 1) {
        if (line[len] == '\n') {
            bool good = len > 0 && line[len - 1] == '\r';
            *ret_len = good ? len - 1 : 0;
            line[*ret_len] = '\0';
            return good ? LSP_READ_MESSAGE : LSP_READ_BAD;
        }
        len++;
    }
    return len == 0 ? LSP_READ_END : LSP_READ_BAD;
}

/* "Content-Length: 12", whatever the case of its letters; false where it is none. */
static bool content_length(const char *line, size_t *ret_bytes)
{
    struct sp_text name = SP_TEXT("content-length:");
    if (!sp_text_eq_fold((struct sp_text){line, strlen(line) < name.len ? 0 : name.len},
                         name)) {
        return false;
    }
    const char *at = line + name.len;
    at += strspn(at, " \t");
    char *end = NULL;
    errno = 0;
    unsigned long bytes = strtoul(at, &end, 10);
    if (*at < '0' || *at > '9' || end[strspn(end, " \t")] != '\0' || errno) {
        return false;
    }
    *ret_bytes = bytes;
    return true;
}

static enum lsp_read bad(struct sp_error *err, const char *what)
{
    (void)sp_fail(err, SP_EINVAL,
                  "%s; standard input must speak LSP, as an editor does: "
                  "Content-Length: N, an empty line, N bytes of JSON",
                  what);
    return LSP_READ_BAD;
}

static enum lsp_read read_head(int fd, size_t *ret_bytes, struct sp_error *err)
{
    char line[256];
    size_t len = 0, total = 0;
    bool known = false;
    for (;;) {
        enum lsp_read got = read_line(fd, line, sizeof line, &len);
        if (got == LSP_READ_END && total == 0) {
            return LSP_READ_END;
        }
        total += len + 2;
        if (got != LSP_READ_MESSAGE || total > LSP_HEAD_MAX_BYTES) {
            return bad(err, "this is no header of a message");
        }
        if (len == 0) {
            return known ? LSP_READ_MESSAGE : bad(err, "a message has no Content-Length");
        }
        if (content_length(line, ret_bytes)) {
            known = true;
        } else if (!strchr(line, ':')) {
            return bad(err, "this is no header of a message");
        }
    }
}

enum lsp_read lsp_read(int fd, struct sp_buf *body, struct sp_error *err)
{
    size_t bytes = 0;
    enum lsp_read got = read_head(fd, &bytes, err);
    if (got != LSP_READ_MESSAGE) {
        return got;
    }
    if (bytes > LSP_MESSAGE_MAX_BYTES) {
        (void)sp_fail(err, SP_ETOOBIG, "a message of %zu bytes; at most %d are read", bytes,
                      LSP_MESSAGE_MAX_BYTES);
        return LSP_READ_BAD;
    }
    sp_buf_reset(body);
    while (bytes > 0) {
        char chunk[4096];
        size_t n = read_bytes(fd, chunk, bytes < sizeof chunk ? bytes : sizeof chunk);
        if (n == 0) {
            return bad(err, "the input ends within a message");
        }
        sp_buf_add(body, chunk, n);
        bytes -= n;
    }
    if (body->failed) {
        (void)sp_fail(err, SP_ENOMEM, "out of memory");
        return LSP_READ_BAD;
    }
    return LSP_READ_MESSAGE;
}

static bool write_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, bytes, n);
        if (done < 0 && errno != EINTR) {
            return false;
        }
        bytes += done > 0 ? done : 0;
        n -= done > 0 ? (size_t)done : 0;
    }
    return true;
}

bool lsp_write(int fd, json_t *message)
{
    char head[64];
    char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
    size_t len = text ? strlen(text) : 0;
    int n = snprintf(head, sizeof head, "Content-Length: %zu\r\n\r\n", len);
    bool good = text && write_all(fd, head, (size_t)n) && write_all(fd, text, len);
    free(text);
    json_decref(message);
    return good;
}
