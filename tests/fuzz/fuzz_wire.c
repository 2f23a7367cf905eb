/* The wire reader: no input crashes it or costs more memory than promised, and what it accepts
 * is written and read again as the same tree. */
#include "wire.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put(struct sp_buf *buf, const struct sp_wire_value *value)
{
    switch (value->kind) {
    case SP_WIRE_NIL:
        sp_wire_put_nil(buf);
        break;
    case SP_WIRE_BOOL:
        sp_wire_put_bool(buf, value->as.boolean);
        break;
    case SP_WIRE_INT:
        sp_wire_put_int(buf, value->as.integer);
        break;
    case SP_WIRE_FLOAT: /* the protocol writes none */
        sp_wire_put_nil(buf);
        break;
    case SP_WIRE_STR:
        sp_wire_put_str(buf, value->as.text);
        break;
    case SP_WIRE_BIN:
        sp_wire_put_bin(buf, value->as.text);
        break;
    case SP_WIRE_ARRAY:
        sp_wire_put_array(buf, value->as.array.n);
        for (size_t i = 0; i < value->as.array.n; i++) {
            put(buf, &value->as.array.items[i]);
        }
        break;
    case SP_WIRE_MAP:
        sp_wire_put_map(buf, value->as.map.n);
        for (size_t i = 0; i < value->as.map.n; i++) {
            sp_wire_put_str(buf, value->as.map.pairs[i].name);
            put(buf, &value->as.map.pairs[i].value);
        }
        break;
    }
}

static void read_again(const struct sp_wire_value *value)
{
    struct sp_buf once, twice;
    struct sp_arena arena;
    struct sp_wire_value again;
    sp_buf_init(&once, 1 << 22);
    sp_buf_init(&twice, 1 << 22);
    sp_arena_init(&arena, 1 << 26);
    put(&once, value);
    /* A shorter encoding may have less memory to spend; nothing else may refuse it. */
    sp_status status = sp_wire_read(&arena, sp_buf_text(&once), &again, NULL);
    if (status == SP_OK) {
        put(&twice, &again);
        if (!sp_text_eq(sp_buf_text(&once), sp_buf_text(&twice))) {
            abort();
        }
    } else if (status != SP_ETOOBIG) {
        abort();
    }
    sp_arena_done(&arena);
    sp_buf_done(&once);
    sp_buf_done(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_arena arena;
    struct sp_wire_value value;
    struct sp_error err = {""};
    sp_arena_init(&arena, 1 << 26);
    sp_status status =
        sp_wire_read(&arena, (struct sp_text){(const char *)data, size}, &value, &err);
    if (arena.used_bytes > 4 * size && arena.used_bytes > SP_WIRE_FREE_BYTES) {
        abort();
    }
    if (status == SP_OK) {
        read_again(&value);
    } else if (err.text[0] == '\0' || !sp_text_is_utf8(sp_text_of(err.text))) {
        abort();
    }
    sp_arena_done(&arena);
    return 0;
}
