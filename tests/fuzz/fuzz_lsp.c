/* Any bytes as an editor's input: first by the frames' reader, then, cut at zero bytes, as
 * messages to a server that was initialized. No fault, no hang; each answer is a message. */
#include "cli/lsp.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool take(void *user, json_t *message)
{
    (void)user;
    if (!message || !json_is_string(json_object_get(message, "jsonrpc"))) {
        abort();
    }
    json_decref(message);
    return true;
}

static void read_frames(const uint8_t *data, size_t size)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    struct sp_error err = {""};
    struct sp_buf body;
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) != 0) {
        abort();
    }
    sp_buf_init(&body, LSP_MESSAGE_MAX_BYTES);
    enum lsp_read got;
    while ((got = lsp_read(fd, &body, &err)) == LSP_READ_MESSAGE) {
    }
    if ((got == LSP_READ_BAD) != (err.text[0] != '\0')) {
        abort();
    }
    sp_buf_done(&body);
    (void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lsp *lsp = malloc(sizeof *lsp);
    if (!lsp) {
        abort();
    }
    read_frames(data, size);
    lsp_init(lsp, take, NULL);
    lsp_handle(lsp, SP_TEXT("{\"id\":0,\"method\":\"initialize\"}"));
    for (size_t at = 0; at < size;) {
        const uint8_t *end = memchr(data + at, 0, size - at);
        size_t len = end ? (size_t)(end - data) - at : size - at;
        lsp_handle(lsp, (struct sp_text){(const char *)data + at, len});
        at += len + 1;
    }
    if (lsp->broken) {
        abort();
    }
    lsp_done(lsp);
    free(lsp);
    return 0;
}
