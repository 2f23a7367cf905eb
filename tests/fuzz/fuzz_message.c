/* Requests: the first byte chooses the socket, the rest is the message. Whatever comes is read
 * whole or refused with a code and words, and the refusal can be answered. A stored answer that
 * somebody garbled is refused or spliced into a reply that can be read. */
#include "message.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_reply(struct sp_buf *buf)
{
    struct sp_arena arena;
    struct sp_wire_value reply;
    sp_arena_init(&arena, 1 << 26);
    if (buf->failed || sp_wire_read_reply(&arena, sp_buf_text(buf), &reply, NULL)) {
        abort();
    }
    sp_arena_done(&arena);
}

static void check_refusal(const struct sp_message *message, const struct sp_decision *refusal)
{
    struct sp_buf buf;
    if (refusal->code == SP_CODE_OK || refusal->reason[0] == '\0') {
        abort();
    }
    sp_buf_init(&buf, 1 << 16);
    sp_message_put_error(&buf, message->id, refusal);
    check_reply(&buf);
    sp_buf_done(&buf);
}

/* A stream that nothing could name, or whose credit is none or without bound, is refused. */
static void check_stream(const struct sp_message *message)
{
    bool streams = message->op == SP_OP_PROXY && message->as.call.stream;
    uint32_t credit = streams                       ? message->as.call.credit
                      : message->op == SP_OP_CREDIT ? message->as.credit
                                                    : 1;
    bool named = message->id.len > 0;
    if (credit < 1 || credit > SP_MESSAGE_CREDIT_MAX || (streams && !named) ||
        ((message->op == SP_OP_CREDIT || message->op == SP_OP_CANCEL) && !named)) {
        abort();
    }
}

/* The store's answers are authentic when they come here; this is for the day they are not. */
static void check_stored(struct sp_text stored)
{
    struct sp_buf buf;
    struct sp_arena arena;
    struct sp_wire_value value;
    sp_buf_init(&buf, 1 << 22);
    sp_arena_init(&arena, 1 << 26);
    bool readable = sp_wire_read_reply(&arena, stored, &value, NULL) == SP_OK;
    sp_status status = sp_message_put_stored(&buf, SP_TEXT("id"), stored);
    if (status != SP_OK && buf.len > 0) {
        abort();
    }
    /* An id that does not stand third is none of ours, and would be there twice. */
    bool ours = readable && !sp_wire_get(&value, "replayed") &&
                (!sp_wire_get(&value, "id") || sp_text_is(value.as.map.pairs[2].name, "id"));
    if (status == SP_OK && ours) {
        check_reply(&buf);
    }
    sp_arena_done(&arena);
    sp_buf_done(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_arena arena;
    struct sp_message message;
    struct sp_decision refusal;
    if (size == 0) {
        return 0;
    }
    enum sp_door door = data[0] & 1 ? SP_DOOR_ADMIN : SP_DOOR_CLIENT;
    struct sp_text bytes = {(const char *)data + 1, size - 1};
    sp_arena_init(&arena, 1 << 26);
    if (!sp_message_read(&arena, door, bytes, &message, &refusal)) {
        check_refusal(&message, &refusal);
    } else if (message.op >= SP_OP_COUNT || refusal.code != SP_CODE_OK) {
        abort();
    } else {
        check_stream(&message);
    }
    sp_arena_done(&arena);
    check_stored(bytes);
    return 0;
}
