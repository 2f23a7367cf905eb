/* Texts and UTF-8; the names of statuses. */
#include "status.h"
#include "text.h"

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

static void a_text_without_bytes_equals_no_other(void **state)
{
    (void)state;
    const struct sp_text none = {NULL, 3}; /* a length, and nothing behind it */
    assert_false(sp_text_eq(none, SP_TEXT("abc")));
    assert_false(sp_text_eq(SP_TEXT("abc"), none));
    assert_false(sp_text_starts(none, SP_TEXT("ab")));
    assert_false(sp_text_starts(SP_TEXT("abc"), none));
    assert_true(sp_text_eq((struct sp_text){NULL, 0}, SP_TEXT("")));
    assert_true(sp_text_starts(none, SP_TEXT("")));
    assert_true(sp_text_starts(SP_TEXT("abc"), SP_TEXT("ab")));
    assert_false(sp_text_starts(SP_TEXT("abc"), SP_TEXT("ac")));
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
        cmocka_unit_test(a_text_without_bytes_equals_no_other),
        cmocka_unit_test(texts_have_a_total_order),
        cmocka_unit_test(utf8_is_what_rfc_3629_says),
        cmocka_unit_test(every_status_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
