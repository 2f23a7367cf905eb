/* text.h, arena.h, buf.h, status.h. */
#include "arena.h"
#include "buf.h"
#include "status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void folding_knows_ascii_and_nothing_else(void **state)
{
    (void)state;
    assert_true(sp_text_eq_fold(SP_TEXT("AbZ"), SP_TEXT("aBz")));
    assert_false(sp_text_eq_fold(SP_TEXT("a"), SP_TEXT("ab")));
    assert_false(sp_text_eq_fold(SP_TEXT("@"), SP_TEXT("`")));
    assert_false(sp_text_eq_fold(SP_TEXT("[z"), SP_TEXT("{z")));
    assert_false(sp_text_eq_fold(SP_TEXT("\xc3\x84"), SP_TEXT("\xc3\xa4")));
}

static void texts_have_a_total_order(void **state)
{
    (void)state;
    assert_true(sp_text_cmp(SP_TEXT("a"), SP_TEXT("b")) < 0);
    assert_true(sp_text_cmp(SP_TEXT("b"), SP_TEXT("a")) > 0);
    assert_true(sp_text_cmp(SP_TEXT("a"), SP_TEXT("ab")) < 0);
    assert_true(sp_text_cmp(SP_TEXT("ab"), SP_TEXT("a")) > 0);
    assert_int_equal(sp_text_cmp(SP_TEXT("a"), SP_TEXT("a")), 0);
    assert_int_equal(sp_text_cmp(SP_TEXT(""), SP_TEXT("")), 0);
    assert_true(sp_text_is(sp_text_of(NULL), ""));
    assert_true(sp_text_starts(SP_TEXT("abc"), SP_TEXT("")));
    assert_false(sp_text_starts(SP_TEXT("ab"), SP_TEXT("abc")));
}

/* Every one- to three-byte sequence, against the definition: a decoder that knows no shortcut.
 */
static bool is_utf8_by_definition(const unsigned char *b, size_t n)
{
    size_t i = 0;
    while (i < n) {
        size_t len = b[i] < 0x80       ? 1
                     : b[i] >> 5 == 6  ? 2
                     : b[i] >> 4 == 14 ? 3
                     : b[i] >> 3 == 30 ? 4
                                       : 0;
        uint32_t point = len == 1 ? b[i] : b[i] & (0x7fu >> len);
        if (len == 0 || i + len > n) {
            return false;
        }
        for (size_t j = 1; j < len; j++) {
            if (b[i + j] >> 6 != 2) {
                return false;
            }
            point = point << 6 | (b[i + j] & 0x3f);
        }
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        if (point < least[len] || (point >= 0xd800 && point <= 0xdfff) || point > 0x10ffff) {
            return false;
        }
        i += len;
    }
    return true;
}

static void utf8_is_what_rfc_3629_says(void **state)
{
    (void)state;
    unsigned char b[4];
    for (uint32_t i = 0; i < 1u << 24; i += 7) {
        b[0] = (unsigned char)(i >> 16);
        b[1] = (unsigned char)(i >> 8);
        b[2] = (unsigned char)i;
        for (size_t n = 1; n <= 3; n++) {
            struct sp_text text = {(const char *)b, n};
            if (sp_text_is_utf8(text) != is_utf8_by_definition(b, n)) {
                fail_msg("%02x %02x %02x, %zu bytes", b[0], b[1], b[2], n);
            }
        }
    }
    static const char *const good[] = {"", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf",
                                       "\xed\x9f\xbf", "\xee\x80\x80"};
    static const char *const bad[] = {"\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80", "\xf0\x90\x80",
                                      "\xf0\x90\x80x",    "\xf0\x90x\x80"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(sp_text_is_utf8(sp_text_of(good[i])));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(sp_text_is_utf8(sp_text_of(bad[i])));
    }
}

static void an_arena_stops_at_its_cap(void **state)
{
    (void)state;
    struct sp_arena arena;
    sp_arena_init(&arena, 10000);
    assert_non_null(sp_arena_alloc(&arena, 0));
    unsigned char *first = sp_arena_alloc(&arena, 5000); /* larger than a block */
    assert_non_null(first);
    assert_int_equal((uintptr_t)first % sizeof(long double), 0);
    for (size_t i = 0; i < 5000; i++) {
        assert_int_equal(first[i], 0);
        first[i] = 0xff;
    }
    assert_null(sp_arena_alloc(&arena, 10001));
    assert_null(sp_arena_alloc(&arena, 5000));
    assert_null(sp_arena_array(&arena, SIZE_MAX / 2, 4));
    assert_null(sp_arena_copy(&arena, (struct sp_text){"", SIZE_MAX}).ptr);
    assert_null(sp_arena_copy(&arena, (struct sp_text){"", 9000}).ptr);
    assert_non_null(sp_arena_array(&arena, 0, 0));
    struct sp_text copy = sp_arena_copy(&arena, SP_TEXT("abc"));
    assert_string_equal(copy.ptr, "abc");
    assert_true(sp_text_is(sp_arena_copy(&arena, SP_TEXT("")), ""));
    sp_arena_reset(&arena);
    unsigned char *again = sp_arena_alloc(&arena, 100);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(again[i], 0);
    }
    sp_arena_done(&arena);
    sp_arena_reset(&arena); /* of an empty one */
    sp_arena_done(&arena);
}

static void a_buffer_fails_once_and_for_good(void **state)
{
    (void)state;
    struct sp_buf buf;
    sp_buf_init(&buf, 100);
    assert_true(sp_text_is(sp_buf_text(&buf), ""));
    sp_buf_addf(&buf, "%d-%s", 7, "x");
    sp_buf_add(&buf, NULL, 0);
    sp_buf_add_text(&buf, SP_TEXT("y"));
    assert_string_equal(buf.ptr, "7-xy");
    for (int i = 0; i < 96; i++) {
        sp_buf_add_byte(&buf, 'z');
    }
    assert_false(buf.failed);
    assert_int_equal(buf.len, 100);
    sp_buf_add_byte(&buf, 'z');
    assert_true(buf.failed);
    sp_buf_addf(&buf, "more");
    assert_int_equal(buf.len, 100);
    sp_buf_reset(&buf);
    sp_buf_add_str(&buf, "again");
    assert_string_equal(buf.ptr, "again");
    sp_buf_add(&buf, "x", 200);
    assert_true(buf.failed);
    sp_buf_done(&buf);
    sp_buf_reset(&buf);
    assert_null(buf.ptr);
}

static void T57_json_text_can_neither_break_a_line_nor_turn_it_round(void **state)
{
    (void)state;
    static const struct {
        const char *text, *json;
    } rows[] = {
        {"plain \xc3\xa4", "\"plain \xc3\xa4\""},
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"a\nb\r\t\x1b[31m\x7f", "\"a\\u000ab\\u000d\\u0009\\u001b[31m\\u007f\""},
        {"\xe2\x80\xae"
         "evil\xe2\x81\xa6",
         "\"\\u202eevil\\u2066\""},
        {"\xe2\x80\xa8\xe2\x80\x8f\xef\xbb\xbf\xd8\x9c\xc2\x85",
         "\"\\u2028\\u200f\\ufeff\\u061c\\u0085\""},
        {"\xff\xc3", "\"\\ufffd\\ufffd\""},
        {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},
        {"\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sp_buf buf;
        sp_buf_init(&buf, 1000);
        sp_buf_add_json(&buf, sp_text_of(rows[i].text));
        assert_string_equal(buf.ptr, rows[i].json);
        sp_buf_done(&buf);
    }
}

static void every_status_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (sp_status a = SP_OK; a >= SP_EUNSUPPORTED; a--) {
        assert_string_not_equal(sp_status_name(a), sp_status_name(-1000));
        for (sp_status b = SP_OK; b > a; b--) {
            assert_string_not_equal(sp_status_name(a), sp_status_name(b));
        }
    }
    struct sp_error err;
    assert_int_equal(sp_fail(&err, SP_EIO, "%s", "why"), SP_EIO);
    assert_string_equal(err.text, "why");
    assert_int_equal(sp_fail(NULL, SP_EIO, "%s", "why"), SP_EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folding_knows_ascii_and_nothing_else),
        cmocka_unit_test(texts_have_a_total_order),
        cmocka_unit_test(utf8_is_what_rfc_3629_says),
        cmocka_unit_test(an_arena_stops_at_its_cap),
        cmocka_unit_test(a_buffer_fails_once_and_for_good),
        cmocka_unit_test(T57_json_text_can_neither_break_a_line_nor_turn_it_round),
        cmocka_unit_test(every_status_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
