#include "wire.h"

#include <math.h>
#include <string.h>

/* First bytes of the MessagePack specification. */
enum {
    FIXMAP = 0x80,
    FIXARRAY = 0x90,
    FIXSTR = 0xa0,
    NIL = 0xc0,
    FALSE = 0xc2,
    TRUE = 0xc3,
    BIN8 = 0xc4,
    BIN16 = 0xc5,
    BIN32 = 0xc6,
    FLOAT32 = 0xca,
    FLOAT64 = 0xcb,
    UINT8 = 0xcc,
    UINT16 = 0xcd,
    UINT32 = 0xce,
    UINT64 = 0xcf,
    INT8 = 0xd0,
    INT16 = 0xd1,
    INT32 = 0xd2,
    INT64 = 0xd3,
    STR8 = 0xd9,
    STR16 = 0xda,
    STR32 = 0xdb,
    ARRAY16 = 0xdc,
    ARRAY32 = 0xdd,
    MAP16 = 0xde,
    MAP32 = 0xdf,
    NEGATIVE_FIXINT = 0xe0,
};

enum { ALIGNMENT = 16 }; /* what an arena may round an allocation up to */

struct reader {
    struct sp_arena *arena;
    const unsigned char *start, *at, *end;
    size_t items_left;  /* of SP_WIRE_MAX_ITEMS */
    size_t memory_left; /* of what the arena may be asked for */
    struct sp_error *err;
};

static sp_status read_value(struct reader *r, unsigned depth, struct sp_wire_value *ret_value);

static sp_status refuse(const struct reader *r, sp_status status, const char *what)
{
    return sp_fail(r->err, status, "byte %zu: %s", (size_t)(r->at - r->start), what);
}

static size_t left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}

/* n bytes, most significant first. The caller knows that they are there. */
static uint64_t big_endian(const unsigned char *bytes, size_t n)
{
    uint64_t number = 0;
    for (size_t i = 0; i < n; i++) {
        number = number << 8 | bytes[i];
    }
    return number;
}

static sp_status read_number(struct reader *r, size_t n, uint64_t *ret_number)
{
    if (left(r) < n) {
        return refuse(r, SP_EINVAL, "the message ends inside a number or a length");
    }
    *ret_number = big_endian(r->at, n);
    r->at += n;
    return SP_OK;
}

static sp_status read_bytes(struct reader *r, uint64_t len, struct sp_text *ret_text)
{
    if (len > left(r)) {
        return refuse(r, SP_EINVAL,
                      "a string is announced longer than the rest of the message");
    }
    *ret_text = (struct sp_text){(const char *)r->at, (size_t)len};
    r->at += len;
    return SP_OK;
}

/* The length of a string that begins with that byte; SP_ENOENT where it begins no string. */
static sp_status read_str_len(struct reader *r, unsigned char first, uint64_t *ret_len)
{
    if ((first & 0xe0) == FIXSTR) {
        *ret_len = first & 0x1f;
        return SP_OK;
    }
    switch (first) {
    case STR8:
        return read_number(r, 1, ret_len);
    case STR16:
        return read_number(r, 2, ret_len);
    case STR32:
        return read_number(r, 4, ret_len);
    default:
        return SP_ENOENT;
    }
}

static sp_status read_str(struct reader *r, uint64_t len, struct sp_text *ret_text)
{
    struct sp_text text;
    sp_status status = read_bytes(r, len, &text);
    if (status) {
        return status;
    }
    if (!sp_text_is_utf8(text)) {
        r->at = (const unsigned char *)text.ptr;
        return refuse(r, SP_EINVAL, "a string is not UTF-8; send bytes as bin");
    }
    *ret_text = text;
    return SP_OK;
}

/* Memory for n objects, only once the message is known to be long enough to hold them and the
 * caps leave room: an announced count alone allocates nothing. */
static sp_status reserve(struct reader *r, uint64_t n, size_t bytes_each, size_t size,
                         void **ret_objects)
{
    if (n > left(r) / bytes_each) {
        return refuse(r, SP_EINVAL, "more items are announced than the message can hold");
    }
    if (n > r->items_left) {
        return refuse(r, SP_ETOOBIG, "too many items in one message");
    }
    size_t need = ((size_t)n * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (need > r->memory_left) {
        return refuse(r, SP_ETOOBIG, "too many small items for a message of this length");
    }
    *ret_objects = sp_arena_array(r->arena, (size_t)n, size);
    if (!*ret_objects) {
        return refuse(r, SP_ENOMEM, "out of memory");
    }
    r->items_left -= (size_t)n;
    r->memory_left -= need;
    return SP_OK;
}

static sp_status read_array(struct reader *r, uint64_t n, unsigned depth,
                            struct sp_wire_value *ret_value)
{
    struct sp_wire_value *items = NULL;
    void *objects = NULL;
    if (n > 0) {
        sp_status status = reserve(r, n, 1, sizeof *items, &objects);
        if (status) {
            return status;
        }
        items = objects;
    }
    for (size_t i = 0; i < n; i++) {
        sp_status status = read_value(r, depth + 1, &items[i]);
        if (status) {
            return status;
        }
    }
    ret_value->kind = SP_WIRE_ARRAY;
    ret_value->as.array.items = items;
    ret_value->as.array.n = (size_t)n;
    return SP_OK;
}

/* A map key: a string, short, and not one of those before it. */
static sp_status read_name(struct reader *r, const struct sp_wire_pair *pairs, size_t n_before,
                           struct sp_text *ret_name)
{
    const unsigned char *start = r->at;
    if (left(r) == 0) {
        return refuse(r, SP_EINVAL, "the message ends inside a map");
    }
    uint64_t len = 0;
    struct sp_text name;
    sp_status status = read_str_len(r, *r->at++, &len);
    if (status == SP_ENOENT) {
        r->at = start;
        return refuse(r, SP_EINVAL, "a map key is not a string");
    }
    if (!status && len > SP_WIRE_MAX_NAME_BYTES) {
        r->at = start;
        return refuse(r, SP_ETOOBIG, "a map key is too long");
    }
    if (!status) {
        status = read_str(r, len, &name);
    }
    if (status) {
        return status;
    }
    for (size_t i = 0; i < n_before; i++) {
        if (sp_text_eq(pairs[i].name, name)) {
            r->at = start;
            return refuse(r, SP_EINVAL, "a map key comes twice");
        }
    }
    *ret_name = name;
    return SP_OK;
}

static sp_status read_map(struct reader *r, uint64_t n, unsigned depth,
                          struct sp_wire_value *ret_value)
{
    struct sp_wire_pair *pairs = NULL;
    void *objects = NULL;
    if (n > SP_WIRE_MAX_PAIRS) {
        return refuse(r, SP_ETOOBIG, "too many pairs in one map");
    }
    if (n > 0) {
        sp_status status = reserve(r, n, 2, sizeof *pairs, &objects);
        if (status) {
            return status;
        }
        pairs = objects;
    }
    for (size_t i = 0; i < n; i++) {
        sp_status status = read_name(r, pairs, i, &pairs[i].name);
        if (!status) {
            status = read_value(r, depth + 1, &pairs[i].value);
        }
        if (status) {
            return status;
        }
    }
    ret_value->kind = SP_WIRE_MAP;
    ret_value->as.map.pairs = pairs;
    ret_value->as.map.n = (size_t)n;
    return SP_OK;
}

static sp_status read_unsigned(struct reader *r, size_t n, struct sp_wire_value *ret_value)
{
    uint64_t number = 0;
    sp_status status = read_number(r, n, &number);
    if (status) {
        return status;
    }
    if (number > INT64_MAX) {
        return refuse(r, SP_EINVAL, "an integer is over 2^63 - 1");
    }
    ret_value->kind = SP_WIRE_INT;
    ret_value->as.integer = (int64_t)number;
    return SP_OK;
}

/* n bytes in two's complement. */
static sp_status read_signed(struct reader *r, size_t n, struct sp_wire_value *ret_value)
{
    uint64_t number = 0;
    sp_status status = read_number(r, n, &number);
    if (status) {
        return status;
    }
    uint64_t sign = UINT64_C(1) << (8 * n - 1);
    uint64_t wide = (number ^ sign) - sign; /* the sign bit fills the bits above it */
    ret_value->kind = SP_WIRE_INT;
    memcpy(&ret_value->as.integer, &wide, sizeof wide);
    return SP_OK;
}

static sp_status read_float(struct reader *r, size_t n, struct sp_wire_value *ret_value)
{
    uint64_t bits = 0;
    sp_status status = read_number(r, n, &bits);
    if (status) {
        return status;
    }
    double number;
    if (n == 4) {
        uint32_t narrow = (uint32_t)bits;
        float single;
        memcpy(&single, &narrow, sizeof single);
        number = (double)single;
    } else {
        memcpy(&number, &bits, sizeof number);
    }
    if (!isfinite(number)) {
        return refuse(r, SP_EINVAL, "a float is not a finite number");
    }
    ret_value->kind = SP_WIRE_FLOAT;
    ret_value->as.number = number;
    return SP_OK;
}

static sp_status read_text(struct reader *r, uint64_t len, bool is_str,
                           struct sp_wire_value *ret_value)
{
    ret_value->kind = is_str ? SP_WIRE_STR : SP_WIRE_BIN;
    return is_str ? read_str(r, len, &ret_value->as.text)
                  : read_bytes(r, len, &ret_value->as.text);
}

static sp_status read_scalar(struct reader *r, unsigned char first,
                             struct sp_wire_value *ret_value)
{
    switch (first) {
    case NIL:
        ret_value->kind = SP_WIRE_NIL;
        return SP_OK;
    case FALSE:
    case TRUE:
        ret_value->kind = SP_WIRE_BOOL;
        ret_value->as.boolean = first == TRUE;
        return SP_OK;
    case UINT8:
    case UINT16:
    case UINT32:
    case UINT64:
        return read_unsigned(r, (size_t)1 << (first - UINT8), ret_value);
    case INT8:
    case INT16:
    case INT32:
    case INT64:
        return read_signed(r, (size_t)1 << (first - INT8), ret_value);
    case FLOAT32:
        return read_float(r, 4, ret_value);
    case FLOAT64:
        return read_float(r, 8, ret_value);
    default:
        r->at--;
        return refuse(r, SP_EINVAL, "extension types and the reserved byte are not accepted");
    }
}

/* What follows a byte that announces a count or a length in n bytes. */
static sp_status read_sized(struct reader *r, unsigned char first, unsigned depth,
                            struct sp_wire_value *ret_value)
{
    uint64_t n = 0;
    sp_status status;
    switch (first) {
    case BIN8:
    case BIN16:
    case BIN32:
        status = read_number(r, (size_t)1 << (first - BIN8), &n);
        return status ? status : read_text(r, n, false, ret_value);
    case ARRAY16:
    case ARRAY32:
        status = read_number(r, first == ARRAY16 ? 2 : 4, &n);
        return status ? status : read_array(r, n, depth, ret_value);
    case MAP16:
    case MAP32:
        status = read_number(r, first == MAP16 ? 2 : 4, &n);
        return status ? status : read_map(r, n, depth, ret_value);
    default:
        return read_scalar(r, first, ret_value);
    }
}

static bool is_container(unsigned char first)
{
    return (first & 0xe0) == FIXMAP || (first >= ARRAY16 && first <= MAP32);
}

/* depth: how many containers this value stands in. Recursion is bounded by SP_WIRE_MAX_DEPTH.
 */
static sp_status read_value(struct reader *r, unsigned depth, struct sp_wire_value *ret_value)
{
    if (left(r) == 0) {
        return refuse(r, SP_EINVAL, "the message ends where a value is due");
    }
    unsigned char first = *r->at;
    if (is_container(first) && depth >= SP_WIRE_MAX_DEPTH) {
        return refuse(r, SP_ETOOBIG, "too deeply nested");
    }
    r->at++;
    if (first < FIXMAP || first >= NEGATIVE_FIXINT) {
        ret_value->kind = SP_WIRE_INT;
        ret_value->as.integer = first < FIXMAP ? first : (int64_t)first - 256;
        return SP_OK;
    }
    if (first < FIXARRAY) {
        return read_map(r, first & 0x0f, depth, ret_value);
    }
    if (first < FIXSTR) {
        return read_array(r, first & 0x0f, depth, ret_value);
    }
    uint64_t len = 0;
    sp_status status = read_str_len(r, first, &len);
    if (status == SP_ENOENT) {
        return read_sized(r, first, depth, ret_value);
    }
    return status ? status : read_text(r, len, true, ret_value);
}

static sp_status read_message(struct sp_arena *arena, struct sp_text message, size_t max_items,
                              struct sp_wire_value *ret_value, struct sp_error *err)
{
    static const unsigned char nothing[1];
    const unsigned char *start = message.len ? (const unsigned char *)message.ptr : nothing;
    size_t memory = 4 * message.len; /* where that wraps, less is allowed, not more */
    struct reader reader = {
        .arena = arena,
        .start = start,
        .at = start,
        .end = start + message.len,
        .items_left = max_items,
        .memory_left = memory > SP_WIRE_FREE_BYTES ? memory : SP_WIRE_FREE_BYTES,
        .err = err,
    };
    struct sp_wire_value value = {.kind = SP_WIRE_NIL};
    sp_status status = read_value(&reader, 0, &value);
    if (!status && left(&reader) > 0) {
        status = refuse(&reader, SP_EINVAL, "bytes follow the message");
    }
    if (!status) {
        *ret_value = value;
    }
    return status;
}

sp_status sp_wire_read(struct sp_arena *arena, struct sp_text message,
                       struct sp_wire_value *ret_value, struct sp_error *err)
{
    return read_message(arena, message, SP_WIRE_MAX_ITEMS, ret_value, err);
}

sp_status sp_wire_read_reply(struct sp_arena *arena, struct sp_text message,
                             struct sp_wire_value *ret_value, struct sp_error *err)
{
    return read_message(arena, message, SIZE_MAX, ret_value, err);
}
