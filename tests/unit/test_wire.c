#include "wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ARENA_CAP = 64 << 20 };

#define BYTES(literal) ((struct sp_text){(literal), sizeof(literal) - 1})

/* The verdict on a message that must be refused; the arena tells what the refusal cost. */
static sp_status refused(struct sp_text message)
{
    struct sp_arena arena;
    struct sp_wire_value value = {.kind = SP_WIRE_NIL};
    struct sp_error err = {""};
    /* A copy of exactly that size, so that a sanitizer sees one byte read too far. */
    char *copy = malloc(message.len ? message.len : 1);
    assert_non_null(copy);
    if (message.len) {
        memcpy(copy, message.ptr, message.len);
    }
    sp_arena_init(&arena, ARENA_CAP);
    sp_status status = sp_wire_read(&arena, (struct sp_text){copy, message.len}, &value, &err);
    size_t cap = 4 * message.len > SP_WIRE_FREE_BYTES ? 4 * message.len : SP_WIRE_FREE_BYTES;
    assert_true(arena.used_bytes <= cap);
    if (status) {
        assert_true(strlen(err.text) > 0);
        assert_int_equal(value.kind, SP_WIRE_NIL);
    }
    sp_arena_done(&arena);
    free(copy);
    return status;
}

static void assert_refused(struct sp_text message)
{
    sp_status status = refused(message);
    assert_true(status == SP_EINVAL || status == SP_ETOOBIG);
}

static struct sp_wire_value read_good(struct sp_arena *arena, struct sp_text message)
{
    struct sp_wire_value value;
    struct sp_error err = {""};
    sp_arena_init(arena, ARENA_CAP);
    if (sp_wire_read(arena, message, &value, &err)) {
        fail_msg("%s", err.text);
    }
    return value;
}

static void integers_of_every_format_are_read(void **state)
{
    (void)state;
    static const struct {
        struct sp_text bytes;
        int64_t value;
    } cases[] = {
        {{"\x00", 1}, 0},
        {{"\x7f", 1}, 127},
        {{"\xff", 1}, -1},
        {{"\xe0", 1}, -32},
        {{"\xcc\xff", 2}, 255},
        {{"\xcd\xff\xfe", 3}, 65534},
        {{"\xce\xff\xff\xff\xff", 5}, 4294967295},
        {{"\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", 9}, INT64_MAX},
        {{"\xd0\x80", 2}, -128},
        {{"\xd0\x7f", 2}, 127},
        {{"\xd1\x80\x00", 3}, -32768},
        {{"\xd2\x80\x00\x00\x00", 5}, INT32_MIN},
        {{"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", 9}, INT64_MIN},
        {{"\xd3\xff\xff\xff\xff\xff\xff\xff\xff", 9}, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sp_arena arena;
        struct sp_wire_value value = read_good(&arena, cases[i].bytes);
        assert_int_equal(value.kind, SP_WIRE_INT);
        assert_true(value.as.integer == cases[i].value);
        sp_arena_done(&arena);
    }
}

static void scalars_and_strings_are_read(void **state)
{
    (void)state;
    struct sp_arena arena;
    struct sp_wire_value value =
        read_good(&arena, BYTES("\x98\xc0\xc2\xc3\xa1x\xc4\x02\x00\xff"
                                "\xca\x3f\x80\x00\x00\xcb\xbf\xf0\x00\x00\x00\x00\x00\x00"
                                "\xd9\x02\xc3\xa9"));
    const struct sp_wire_value *items = value.as.array.items;
    assert_int_equal(value.as.array.n, 8);
    assert_int_equal(items[0].kind, SP_WIRE_NIL);
    assert_false(items[1].as.boolean);
    assert_true(items[2].as.boolean);
    assert_true(sp_text_is(items[3].as.text, "x"));
    assert_int_equal(items[4].kind, SP_WIRE_BIN);
    assert_memory_equal(items[4].as.text.ptr, "\x00\xff", 2);
    assert_true(items[5].as.number == 1.0);
    assert_true(items[6].as.number == -1.0);
    assert_true(sp_text_is(items[7].as.text, "\xc3\xa9"));
    sp_arena_done(&arena);
}

static void texts_are_borrowed_from_the_message(void **state)
{
    (void)state;
    struct sp_arena arena;
    static const char message[] = "\x81\xa1k\xa5token";
    struct sp_wire_value value = read_good(&arena, BYTES(message));
    const struct sp_wire_value *text = sp_wire_get(&value, "k");
    assert_ptr_equal(text->as.text.ptr, message + 4);
    assert_null(sp_wire_get(&value, "other"));
    assert_null(sp_wire_get(text, "k"));
    sp_arena_done(&arena);
}

static void T5_announced_counts_allocate_nothing(void **state)
{
    (void)state;
    static const struct sp_text cases[] = {
        {"\xdd\xff\xff\xff\xff", 5},         /* array of 2^32 - 1 */
        {"\xdf\xff\xff\xff\xff", 5},         /* map of 2^32 - 1 */
        {"\xdc\xff\xff", 3},                 /* array of 65535 */
        {"\xde\xff\xff", 3},                 /* map of 65535 */
        {"\xdb\xff\xff\xff\xff", 5},         /* str of 4 GiB */
        {"\xc6\xff\xff\xff\xff", 5},         /* bin of 4 GiB */
        {"\xdd\x7f\xff\xff\xff\xc0\xc0", 7}, /* an array that has only begun */
        {"\x9f\xdd\xff\xff\xff\xff", 6},
        {"\x9f", 1},
        {"\x84\xa1x", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sp_arena arena;
        struct sp_wire_value value;
        assert_refused(cases[i]);
        sp_arena_init(&arena, ARENA_CAP);
        assert_true(sp_wire_read(&arena, cases[i], &value, NULL) != SP_OK);
        if (i != 7) { /* the array in the array: the outer one is there */
            assert_int_equal(arena.used_bytes, 0);
        }
        sp_arena_done(&arena);
    }
}

/* One byte too few, in every format that announces a length. */
static void T5_lengths_past_the_end_by_one_are_refused(void **state)
{
    (void)state;
    static const struct sp_text cases[] = {
        {"", 0},
        {"\xa2x", 2},
        {"\xd9\x02x", 3},
        {"\xda\x00\x02x", 4},
        {"\xdb\x00\x00\x00\x02x", 6},
        {"\xc4\x02x", 3},
        {"\xc5\x00\x02x", 4},
        {"\xc6\x00\x00\x00\x02x", 6},
        {"\xd9", 1},
        {"\xc5\x00", 2},
        {"\xcc", 1},
        {"\xd3\x00\x00\x00\x00\x00\x00\x00", 8},
        {"\xca\x00\x00\x00", 4},
        {"\x92\x01", 2},
        {"\x81\xa1x", 3},
        {"\x81\xa2x", 3},
        {"\x81", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(refused(cases[i]), SP_EINVAL);
    }
}

/* The message of 155 bytes that makes a reader without caps reserve gigabytes: arrays that each
 * announce 2^32 - 1 items, one in the other. */
static void T5_nested_announcements_are_refused(void **state)
{
    (void)state;
    char message[155];
    for (size_t i = 0; i < sizeof message; i += 5) {
        memcpy(message + i, "\xdd\xff\xff\xff\xff", 5);
    }
    assert_refused((struct sp_text){message, sizeof message});
    for (size_t i = 0; i + 5 <= sizeof message; i += 5) {
        memcpy(message + i, "\xdd\x00\x00\x00\x20", 5); /* counts that the length allows */
    }
    assert_refused((struct sp_text){message, sizeof message});
}

static void T5_nesting_past_the_cap_is_refused(void **state)
{
    (void)state;
    char message[SP_WIRE_MAX_DEPTH + 2];
    memset(message, 0x91, sizeof message);
    message[SP_WIRE_MAX_DEPTH] = 0x01;
    struct sp_arena arena;
    (void)read_good(&arena, (struct sp_text){message, SP_WIRE_MAX_DEPTH + 1});
    sp_arena_done(&arena);
    message[SP_WIRE_MAX_DEPTH] = (char)0x90; /* one more, though it is empty */
    assert_int_equal(refused((struct sp_text){message, SP_WIRE_MAX_DEPTH + 1}), SP_ETOOBIG);
    char deep[100000];
    memset(deep, 0x91, sizeof deep);
    assert_int_equal(refused((struct sp_text){deep, sizeof deep}), SP_ETOOBIG);
    memset(deep, 0x81, sizeof deep);
    assert_refused((struct sp_text){deep, sizeof deep});
}

static void T5_duplicate_keys_are_refused_at_any_depth(void **state)
{
    (void)state;
    assert_refused(BYTES("\x82\xa1x\x01\xa1x\x02"));
    assert_refused(BYTES("\x82\xa1x\x01\xd9\x01x\x02")); /* spelled in another format */
    assert_refused(BYTES("\x81\xa1y\x91\x82\xa1x\x01\xa1x\x01"));
    struct sp_arena arena;
    (void)read_good(&arena, BYTES("\x82\xa1x\x81\xa1x\x01\xa1y\x02"));
    sp_arena_done(&arena);
}

static void T5_trailing_bytes_are_refused(void **state)
{
    (void)state;
    assert_refused(BYTES("\x80\xc0"));
    assert_refused(BYTES("\x81\xa1x\x01\x00"));
}

static void T5_strings_that_are_not_utf8_are_refused(void **state)
{
    (void)state;
    assert_refused(BYTES("\xa1\xff"));
    assert_refused(BYTES("\xa2\xc0\x80"));     /* overlong NUL */
    assert_refused(BYTES("\xa3\xed\xa0\x80")); /* surrogate */
    assert_refused(BYTES("\x81\xa1\xff\x01"));
}

static void T5_numbers_that_are_none_are_refused(void **state)
{
    (void)state;
    assert_refused(BYTES("\xca\x7f\xc0\x00\x00"));                 /* NaN */
    assert_refused(BYTES("\xca\x7f\x80\x00\x00"));                 /* infinity */
    assert_refused(BYTES("\xcb\xff\xf0\x00\x00\x00\x00\x00\x00")); /* -infinity */
    assert_refused(BYTES("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"));
    assert_refused(BYTES("\xcf\x80\x00\x00\x00\x00\x00\x00\x00")); /* 2^63 */
}

static void T5_other_types_are_refused(void **state)
{
    (void)state;
    assert_refused(BYTES("\xc1"));                     /* reserved */
    assert_refused(BYTES("\xd4\x01\x00"));             /* fixext 1 */
    assert_refused(BYTES("\xc7\x01\x05\x00"));         /* ext 8 */
    assert_refused(BYTES("\xd6\xff\x00\x00\x00\x00")); /* timestamp */
    assert_refused(BYTES("\x81\x01\x02"));             /* integer key */
    assert_refused(BYTES("\x81\xc4\x01x\x02"));        /* bin key */
    assert_refused(BYTES("\x81\xc0\x02"));             /* nil key */
}

static void T5_memory_stays_within_four_times_the_input(void **state)
{
    (void)state;
    enum { N = 65535 };
    char *message = malloc(3 + N);
    assert_non_null(message);
    for (unsigned n = 1; n <= N; n = n * 3 + 1) {
        message[0] = (char)0xdc;
        message[1] = (char)(n >> 8);
        message[2] = (char)n;
        memset(message + 3, 0x01, n); /* the densest there is: one byte an item */
        (void)refused((struct sp_text){message, 3 + n}); /* asserts the memory */
    }
    free(message);
}

static void item_and_pair_caps_hold_exactly(void **state)
{
    (void)state;
    struct sp_buf buf;
    static char filler[64];
    sp_buf_init(&buf, 1 << 20);
    sp_wire_put_array(&buf, SP_WIRE_MAX_ITEMS);
    for (unsigned i = 0; i < SP_WIRE_MAX_ITEMS; i++) {
        sp_wire_put_bin(&buf, (struct sp_text){filler, sizeof filler});
    }
    assert_int_equal(refused(sp_buf_text(&buf)), SP_OK);
    sp_buf_reset(&buf);
    sp_wire_put_array(&buf, SP_WIRE_MAX_ITEMS + 1);
    for (unsigned i = 0; i <= SP_WIRE_MAX_ITEMS; i++) {
        sp_wire_put_bin(&buf, (struct sp_text){filler, sizeof filler});
    }
    assert_int_equal(refused(sp_buf_text(&buf)), SP_ETOOBIG);
    for (unsigned n = SP_WIRE_MAX_PAIRS; n <= SP_WIRE_MAX_PAIRS + 1; n++) {
        sp_buf_reset(&buf);
        sp_wire_put_map(&buf, n);
        for (unsigned i = 0; i < n; i++) {
            char name[8];
            (void)snprintf(name, sizeof name, "%u", i);
            sp_wire_pair_int(&buf, name, i);
        }
        assert_int_equal(refused(sp_buf_text(&buf)),
                         n > SP_WIRE_MAX_PAIRS ? SP_ETOOBIG : SP_OK);
    }
    sp_buf_done(&buf);
}

static void a_reply_may_hold_a_long_list(void **state)
{
    (void)state;
    struct sp_buf buf;
    struct sp_arena arena;
    struct sp_wire_value value;
    enum { N = 20000 };
    sp_buf_init(&buf, 1 << 20);
    sp_wire_put_array(&buf, N);
    for (unsigned i = 0; i < N; i++) {
        sp_wire_put_str(&buf, SP_TEXT("some words"));
    }
    assert_int_equal(refused(sp_buf_text(&buf)), SP_ETOOBIG);
    sp_arena_init(&arena, ARENA_CAP);
    assert_int_equal(sp_wire_read_reply(&arena, sp_buf_text(&buf), &value, NULL), SP_OK);
    assert_int_equal(value.as.array.n, N);
    assert_true(arena.used_bytes <= 4 * buf.len);
    sp_arena_done(&arena);
    sp_buf_done(&buf);
}

static void long_map_keys_are_refused(void **state)
{
    (void)state;
    struct sp_buf buf;
    char name[SP_WIRE_MAX_NAME_BYTES + 2];
    memset(name, 'x', sizeof name);
    sp_buf_init(&buf, 4096);
    for (size_t len = SP_WIRE_MAX_NAME_BYTES; len <= SP_WIRE_MAX_NAME_BYTES + 1; len++) {
        sp_buf_reset(&buf);
        sp_wire_put_map(&buf, 1);
        sp_wire_put_str(&buf, (struct sp_text){name, len});
        sp_wire_put_nil(&buf);
        assert_int_equal(refused(sp_buf_text(&buf)),
                         len > SP_WIRE_MAX_NAME_BYTES ? SP_ETOOBIG : SP_OK);
    }
    sp_buf_done(&buf);
}

static void an_arena_that_is_full_is_no_memory(void **state)
{
    (void)state;
    struct sp_arena arena;
    struct sp_wire_value value = {.kind = SP_WIRE_NIL};
    sp_arena_init(&arena, 8);
    assert_int_equal(sp_wire_read(&arena, BYTES("\x91\x01"), &value, NULL), SP_ENOMEM);
    assert_int_equal(sp_wire_read(&arena, BYTES("\x81\xa1x\x01"), &value, NULL), SP_ENOMEM);
    assert_int_equal(value.kind, SP_WIRE_NIL);
    sp_arena_done(&arena);
}

static void an_error_names_the_byte(void **state)
{
    (void)state;
    struct sp_arena arena;
    struct sp_wire_value value;
    struct sp_error err = {""};
    sp_arena_init(&arena, 4096);
    assert_int_equal(sp_wire_read(&arena, BYTES("\x82\xa1x\x01\xa1x\x02"), &value, &err),
                     SP_EINVAL);
    assert_string_equal(err.text, "byte 4: a map key comes twice");
    sp_arena_done(&arena);
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    static const int64_t integers[] = {
        0,   1,    127,  128,    255,   256,        65535,     65536,     -1,     -32,
        -33, -128, -129, -32768, 32768, 4294967295, INT64_MIN, INT64_MAX, -32769, 4294967296};
    enum { N = sizeof integers / sizeof *integers };
    static char bytes[70000];
    static const size_t lengths[] = {0, 1, 31, 32, 255, 256, 65535, 65536, sizeof bytes};
    enum { L = sizeof lengths / sizeof *lengths };
    struct sp_buf buf;
    struct sp_arena arena;
    memset(bytes, 'a', sizeof bytes);
    sp_buf_init(&buf, 1 << 20);
    sp_wire_put_array(&buf, N + 2 * L + 4);
    for (size_t i = 0; i < N; i++) {
        sp_wire_put_int(&buf, integers[i]);
    }
    for (size_t i = 0; i < L; i++) {
        sp_wire_put_str(&buf, (struct sp_text){bytes, lengths[i]});
        sp_wire_put_bin(&buf, (struct sp_text){bytes, lengths[i]});
    }
    sp_wire_put_nil(&buf);
    sp_wire_put_bool(&buf, true);
    sp_wire_put_bool(&buf, false);
    sp_wire_put_map(&buf, 3);
    sp_wire_pair_str(&buf, "a", SP_TEXT("b"));
    sp_wire_pair_int(&buf, "c", -5);
    sp_wire_pair_bool(&buf, "d", true);
    assert_false(buf.failed);
    struct sp_wire_value value = read_good(&arena, sp_buf_text(&buf));
    const struct sp_wire_value *items = value.as.array.items;
    for (size_t i = 0; i < N; i++) {
        assert_true(items[i].kind == SP_WIRE_INT && items[i].as.integer == integers[i]);
    }
    for (size_t i = 0; i < 2 * L; i++) {
        assert_int_equal(items[N + i].kind, i % 2 ? SP_WIRE_BIN : SP_WIRE_STR);
        assert_int_equal(items[N + i].as.text.len, lengths[i / 2]);
    }
    const struct sp_wire_value *map = &items[N + 2 * L + 3];
    assert_true(sp_text_is(sp_wire_get(map, "a")->as.text, "b"));
    assert_int_equal(sp_wire_get(map, "c")->as.integer, -5);
    assert_true(sp_wire_get(map, "d")->as.boolean);
    sp_arena_done(&arena);
    sp_buf_done(&buf);
}

static void bytes_of_others_become_str_only_where_they_are_utf8(void **state)
{
    (void)state;
    struct sp_buf buf;
    struct sp_arena arena;
    sp_buf_init(&buf, 4096);
    sp_wire_put_array(&buf, 4);
    sp_wire_put_text(&buf, BYTES("caf\xc3\xa9"));
    sp_wire_put_text(&buf, BYTES("caf\xe9"));
    sp_wire_put_words(&buf, BYTES("caf\xc3\xa9"));
    sp_wire_put_words(&buf, BYTES("caf\xc3"));
    struct sp_wire_value value = read_good(&arena, sp_buf_text(&buf));
    assert_int_equal(value.as.array.items[0].kind, SP_WIRE_STR);
    assert_int_equal(value.as.array.items[1].kind, SP_WIRE_BIN);
    assert_true(sp_text_is(value.as.array.items[2].as.text, "caf\xc3\xa9"));
    assert_true(sp_text_is(value.as.array.items[3].as.text, "caf?"));
    sp_arena_done(&arena);
    sp_buf_done(&buf);
}

static void a_full_buffer_is_marked_as_failed(void **state)
{
    (void)state;
    struct sp_buf buf;
    sp_buf_init(&buf, 4);
    sp_wire_put_str(&buf, SP_TEXT("longer than four bytes"));
    assert_true(buf.failed);
    sp_buf_done(&buf);
}

static const struct sp_wire_field fields[] = {
    {"name", SP_WIRE_IS(SP_WIRE_STR), true},
    {"size", SP_WIRE_IS(SP_WIRE_STR) | SP_WIRE_IS(SP_WIRE_INT), false},
};

static void check_fields(struct sp_text message, const char *expected)
{
    struct sp_arena arena;
    struct sp_error err = {""};
    const struct sp_wire_value *found[2];
    struct sp_wire_value value = read_good(&arena, message);
    sp_status status = sp_wire_fields(&value, fields, 2, found, &err);
    assert_string_equal(err.text, expected);
    assert_int_equal(status, *expected ? SP_EINVAL : SP_OK);
    sp_arena_done(&arena);
}

static void fields_are_checked_by_name_type_and_presence(void **state)
{
    (void)state;
    check_fields(BYTES("\x81\xa4name\xa1x"), "");
    check_fields(BYTES("\x82\xa4size\x01\xa4name\xa1x"), "");
    check_fields(BYTES("\x80"), "field 'name' is missing");
    check_fields(BYTES("\x81\xa4name\x01"), "field 'name' must be str, not int");
    check_fields(BYTES("\x82\xa4name\xa1x\xa4size\xc0"),
                 "field 'size' must be int or str, not nil");
    check_fields(BYTES("\x82\xa4name\xa1x\xa4nmae\xa1x"),
                 "unknown field 'nmae'; known are: name, size");
    check_fields(BYTES("\x82\xa4name\xa1x\xa4\x1b[m\n\xa1x"),
                 "unknown field '?[m?'; known are: name, size");
    check_fields(BYTES("\x90"), "not a map but array");
}

static void found_fields_stand_in_the_order_of_the_list(void **state)
{
    (void)state;
    struct sp_arena arena;
    const struct sp_wire_value *found[2];
    struct sp_wire_value value = read_good(&arena, BYTES("\x81\xa4name\xa1x"));
    assert_int_equal(sp_wire_fields(&value, fields, 2, found, NULL), SP_OK);
    assert_true(sp_text_is(found[0]->as.text, "x"));
    assert_null(found[1]);
    sp_arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_of_every_format_are_read),
        cmocka_unit_test(scalars_and_strings_are_read),
        cmocka_unit_test(texts_are_borrowed_from_the_message),
        cmocka_unit_test(T5_announced_counts_allocate_nothing),
        cmocka_unit_test(T5_lengths_past_the_end_by_one_are_refused),
        cmocka_unit_test(T5_nested_announcements_are_refused),
        cmocka_unit_test(T5_nesting_past_the_cap_is_refused),
        cmocka_unit_test(T5_duplicate_keys_are_refused_at_any_depth),
        cmocka_unit_test(T5_trailing_bytes_are_refused),
        cmocka_unit_test(T5_strings_that_are_not_utf8_are_refused),
        cmocka_unit_test(T5_numbers_that_are_none_are_refused),
        cmocka_unit_test(T5_other_types_are_refused),
        cmocka_unit_test(T5_memory_stays_within_four_times_the_input),
        cmocka_unit_test(item_and_pair_caps_hold_exactly),
        cmocka_unit_test(a_reply_may_hold_a_long_list),
        cmocka_unit_test(long_map_keys_are_refused),
        cmocka_unit_test(an_arena_that_is_full_is_no_memory),
        cmocka_unit_test(an_error_names_the_byte),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(bytes_of_others_become_str_only_where_they_are_utf8),
        cmocka_unit_test(a_full_buffer_is_marked_as_failed),
        cmocka_unit_test(fields_are_checked_by_name_type_and_presence),
        cmocka_unit_test(found_fields_stand_in_the_order_of_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
