#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

bool cli_read(const char *path, struct sp_buf *buf)
{
    int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        (void)cli_error(CLI_USAGE, "%s: %s", path, strerror(errno));
        return false;
    }
    char chunk[4096];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof chunk)) > 0 || (n < 0 && errno == EINTR)) {
        if (n > 0) {
            sp_buf_add(buf, chunk, (size_t)n);
        }
    }
    int error = errno;
    sodium_memzero(chunk, sizeof chunk);
    if (fd != STDIN_FILENO) {
        (void)close(fd);
    }
    if (n < 0) {
        (void)cli_error(CLI_USAGE, "%s: %s", path, strerror(error));
        return false;
    }
    if (buf->failed) {
        (void)cli_error(CLI_USAGE, "%s: larger than %zu bytes", path, buf->cap_bytes);
        return false;
    }
    return true;
}

/* A prompt on the terminal, with echo off while the line is typed. */
static bool read_hidden(const char *prompt, struct sp_buf *buf)
{
    struct termios old;
    if (tcgetattr(STDIN_FILENO, &old)) {
        return cli_read("-", buf);
    }
    struct termios hidden = old;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    (void)fprintf(stderr, "%s: ", prompt);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    char c = '\0';
    while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n') {
        sp_buf_add_byte(buf, (uint8_t)c);
    }
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
    (void)fputc('\n', stderr);
    return !buf->failed;
}

bool cli_read_secret(const char *path, const char *prompt, struct sp_buf *buf)
{
    bool good = strcmp(path, "-") == 0 && isatty(STDIN_FILENO) ? read_hidden(prompt, buf)
                                                               : cli_read(path, buf);
    if (good && buf->len > 0 && buf->ptr[buf->len - 1] == '\n') {
        buf->ptr[--buf->len] = '\0';
    }
    if (good && buf->len == 0) {
        (void)cli_error(CLI_USAGE, "%s: the secret is empty", prompt);
        return false;
    }
    return good;
}

void cli_wipe(struct sp_buf *buf)
{
    if (buf->ptr) {
        sodium_memzero(buf->ptr, buf->room);
    }
    sp_buf_done(buf);
}

int cli_print_whole(const struct sp_buf *out, int status)
{
    if (out->failed) {
        return cli_error(CLI_INTERNAL, "there is too much to show, or memory is short");
    }
    struct sp_text text = sp_buf_text(out);
    return fwrite(text.ptr, 1, text.len, stdout) == text.len
               ? status
               : cli_error(CLI_INTERNAL, "it cannot be printed");
}
