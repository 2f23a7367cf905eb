/* sp_wire: the strict, bounded MessagePack reader and writer of the protocol.
 *
 * Reading takes one message and gives a tree in an arena, or refuses it: every announced count
 * and length is checked against the bytes that are left before anything is allocated, so memory
 * stays within 4 times the input; depth and item counts are capped; map keys are strings and
 * come once; strings are UTF-8; no NaN, no infinity, no extension types; nothing may follow.
 * Texts are borrowed from the message. Format: the MessagePack specification.
 */
#ifndef SP_WIRE_H
#define SP_WIRE_H

#include "arena.h"
#include "buf.h"
#include "status.h"

#include <stdint.h>

enum {
    SP_WIRE_MAX_DEPTH = 8,
    SP_WIRE_MAX_ITEMS = 4096, /* array elements and map pairs of one message, together */
};

enum sp_wire_kind {
    SP_WIRE_NIL,
    SP_WIRE_BOOL,
    SP_WIRE_INT, /* fits int64_t; larger unsigned ones are refused */
    SP_WIRE_FLOAT,
    SP_WIRE_STR,
    SP_WIRE_BIN,
    SP_WIRE_ARRAY,
    SP_WIRE_MAP,
};

struct sp_wire_pair;

struct sp_wire_value {
    enum sp_wire_kind kind;
    union {
        bool boolean;
        int64_t integer;
        double number;
        struct sp_text text; /* STR and BIN */
        struct { const struct sp_wire_value *items; size_t n; } array;
        struct { const struct sp_wire_pair *pairs; size_t n; } map;
    } as;
};
struct sp_wire_pair {
    struct sp_text name;
    struct sp_wire_value value;
};

/* SP_EINVAL (err: what and at which byte), SP_ETOOBIG, SP_ENOMEM. */
sp_status sp_wire_read(struct sp_arena *arena, struct sp_text message,
                       struct sp_wire_value *ret_value, struct sp_error *err);

/* One field that a map may have. sp_wire_fields checks a map against a list: no other names,
 * every type right, every required one there; found[i] is the value of fields[i], or NULL. */
struct sp_wire_field {
    const char *name;
    unsigned kinds; /* bits 1 << kind */
    bool required;
};
#define SP_WIRE_IS(kind) (1u << (kind))
sp_status sp_wire_fields(const struct sp_wire_value *map, const struct sp_wire_field *fields,
                         size_t n_fields, const struct sp_wire_value **ret_found,
                         struct sp_error *err);

/* ---- writing (over msgpack-c's packer, into a capped buffer) -------------------------------- */

void sp_wire_put_map(struct sp_buf *buf, size_t n_pairs);
void sp_wire_put_array(struct sp_buf *buf, size_t n_items);
void sp_wire_put_nil(struct sp_buf *buf);
void sp_wire_put_bool(struct sp_buf *buf, bool boolean);
void sp_wire_put_int(struct sp_buf *buf, int64_t integer);
void sp_wire_put_str(struct sp_buf *buf, struct sp_text text);
void sp_wire_put_bin(struct sp_buf *buf, struct sp_text bytes);
/* "name": text, and the like: a pair in one call. */
void sp_wire_pair_str(struct sp_buf *buf, const char *name, struct sp_text text);
void sp_wire_pair_int(struct sp_buf *buf, const char *name, int64_t integer);
void sp_wire_pair_bool(struct sp_buf *buf, const char *name, bool boolean);

#endif
