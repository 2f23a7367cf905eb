/* Reads cases from standard input, each 4 bytes of length (most significant first) and that
 * many bytes of a message, and prints a line for each: "no", or "yes" and the tree in a
 * notation that test_wire_oracle.py prints for the same message as another implementation reads
 * it. */
#include "wire.h"

#include <stdio.h>
#include <stdlib.h>

static void print_hex(struct sp_text text)
{
    for (size_t i = 0; i < text.len; i++) {
        (void)printf("%02x", (unsigned char)text.ptr[i]);
    }
}

static void print_value(const struct sp_wire_value *value)
{
    switch (value->kind) {
    case SP_WIRE_NIL:
        (void)printf("nil");
        break;
    case SP_WIRE_BOOL:
        (void)printf(value->as.boolean ? "true" : "false");
        break;
    case SP_WIRE_INT:
        (void)printf("%lld", (long long)value->as.integer);
        break;
    case SP_WIRE_FLOAT: {
        uint64_t bits;
        memcpy(&bits, &value->as.number, sizeof bits);
        (void)printf("f%016llx", (unsigned long long)bits);
        break;
    }
    case SP_WIRE_STR:
    case SP_WIRE_BIN:
        (void)printf(value->kind == SP_WIRE_STR ? "s" : "b");
        print_hex(value->as.text);
        break;
    case SP_WIRE_ARRAY:
        (void)printf("[");
        for (size_t i = 0; i < value->as.array.n; i++) {
            print_value(&value->as.array.items[i]);
            (void)printf(",");
        }
        (void)printf("]");
        break;
    case SP_WIRE_MAP:
        (void)printf("{");
        for (size_t i = 0; i < value->as.map.n; i++) {
            print_hex(value->as.map.pairs[i].name);
            (void)printf(":");
            print_value(&value->as.map.pairs[i].value);
            (void)printf(",");
        }
        (void)printf("}");
        break;
    }
}

/* What we accepted and write again must be read as the same tree: printed, it is the next line.
 */
static void write_value(struct sp_buf *buf, const struct sp_wire_value *value)
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
            write_value(buf, &value->as.array.items[i]);
        }
        break;
    case SP_WIRE_MAP:
        sp_wire_put_map(buf, value->as.map.n);
        for (size_t i = 0; i < value->as.map.n; i++) {
            sp_wire_put_str(buf, value->as.map.pairs[i].name);
            write_value(buf, &value->as.map.pairs[i].value);
        }
        break;
    }
}

int main(void)
{
    static char message[1 << 20];
    unsigned char head[4];
    struct sp_arena arena;
    struct sp_buf again;
    sp_arena_init(&arena, 64 << 20);
    sp_buf_init(&again, 4 << 20);
    while (fread(head, 1, sizeof head, stdin) == sizeof head) {
        size_t len =
            (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
        struct sp_wire_value value;
        if (len > sizeof message || fread(message, 1, len, stdin) != len) {
            return EXIT_FAILURE;
        }
        if (sp_wire_read(&arena, (struct sp_text){message, len}, &value, NULL)) {
            (void)printf("no\n");
        } else {
            (void)printf("yes ");
            print_value(&value);
            write_value(&again, &value);
            (void)printf(" ");
            print_hex(sp_buf_text(&again));
            (void)printf("\n");
        }
        sp_arena_reset(&arena);
        sp_buf_reset(&again);
    }
    sp_arena_done(&arena);
    sp_buf_done(&again);
    return ferror(stdin) || fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
