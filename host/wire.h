/* sp_wire: the strict, bounded MessagePack reader and writer of the protocol.
 *
 * Reading takes one message and gives a tree in an arena, or refuses it: every announced count
 * and length is checked against the bytes that are left before anything is allocated; the tree
 * takes at most 4 times the input (or SP_WIRE_FREE_BYTES, where that is more: a short message
 * of many short fields may cost its few KiB); depth and item counts are capped; map keys are
 * short strings and come once; strings are UTF-8; no NaN, no infinity, no extension types;
 * nothing may follow. Longer encodings than needed are accepted, as the specification wants it.
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
    SP_WIRE_MAX_ITEMS = 4096,      /* array elements and map pairs of one message, together */
    SP_WIRE_MAX_PAIRS = 256,       /* of one map */
    SP_WIRE_MAX_NAME_BYTES = 256,  /* of a map key */
    SP_WIRE_FREE_BYTES = 16 << 10, /* tree memory that any message may use */
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
        struct {
            const struct sp_wire_value *items;
            size_t n;
        } array;
        struct {
            const struct sp_wire_pair *pairs;
            size_t n;
        } map;
    } as;
};
struct sp_wire_pair {
    struct sp_text name;
    struct sp_wire_value value;
};

/* SP_EINVAL (err: what and at which byte), SP_ETOOBIG, SP_ENOMEM. */
sp_status sp_wire_read(struct sp_arena *arena, struct sp_text message,
                       struct sp_wire_value *ret_value, struct sp_error *err);

/* The same for a reply, whose sender is proven and whose lists may be long: no cap on items. */
sp_status sp_wire_read_reply(struct sp_arena *arena, struct sp_text message,
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

/* The value of that name; NULL where there is none or where it is no map. */
const struct sp_wire_value *sp_wire_get(const struct sp_wire_value *map, const char *name);

/* "str or bin", for error texts and documentation. */
enum { SP_WIRE_KINDS_BYTES = 64 };
void sp_wire_kinds_print(unsigned kinds, char ret_text[SP_WIRE_KINDS_BYTES]);

/* ---- writing (over msgpack-c's packer, into a capped buffer) --------------------------------
 */

void sp_wire_put_map(struct sp_buf *buf, size_t n_pairs);
void sp_wire_put_array(struct sp_buf *buf, size_t n_items);
void sp_wire_put_nil(struct sp_buf *buf);
void sp_wire_put_bool(struct sp_buf *buf, bool boolean);
void sp_wire_put_int(struct sp_buf *buf, int64_t integer);
/* text must be UTF-8; sp_wire_put_text is for what may not be. */
void sp_wire_put_str(struct sp_buf *buf, struct sp_text text);
void sp_wire_put_bin(struct sp_buf *buf, struct sp_text bytes);
/* A str where the bytes are UTF-8, else a bin: for what others sent. */
void sp_wire_put_text(struct sp_buf *buf, struct sp_text bytes);
/* A str for people: where it is not UTF-8 (cut in the middle, say), each byte that is not ASCII
 * becomes '?'. */
void sp_wire_put_words(struct sp_buf *buf, struct sp_text text);
/* "name": text, and the like: a pair in one call. */
void sp_wire_pair_str(struct sp_buf *buf, const char *name, struct sp_text text);
void sp_wire_pair_int(struct sp_buf *buf, const char *name, int64_t integer);
void sp_wire_pair_bool(struct sp_buf *buf, const char *name, bool boolean);

#endif
