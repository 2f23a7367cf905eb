/* Buffers: caps, failure for good, and JSON text that no client can break out of. */
#include "buf.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <wchar.h>

#include <cmocka.h>

/* malloc as the module under test sees it (linked with --wrap=malloc): it fails once `allowed`
 * calls are used up. */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

static size_t allowed = SIZE_MAX;

void *__wrap_malloc(size_t size)
{
    return allowed > 0 && allowed-- ? __real_malloc(size) : NULL;
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

static void a_buffer_without_memory_fails_and_keeps_what_it_had(void **state)
{
    (void)state;
    struct sp_buf buf;
    sp_buf_init(&buf, SIZE_MAX);
    allowed = 0;
    sp_buf_add_str(&buf, "x");
    assert_true(buf.failed && !buf.ptr);
    sp_buf_reset(&buf);
    allowed = 1;
    sp_buf_add_str(&buf, "kept");
    sp_buf_addf(&buf, "%0400d", 7); /* wants more room */
    allowed = SIZE_MAX;
    assert_true(buf.failed);
    assert_string_equal(buf.ptr, "kept");
    sp_buf_reset(&buf);
    sp_buf_add(&buf, "", SIZE_MAX); /* no sum wraps */
    assert_true(buf.failed);
    sp_buf_done(&buf);
}

static void a_format_that_cannot_be_written_fails_the_buffer(void **state)
{
    (void)state;
    struct sp_buf buf;
    sp_buf_init(&buf, 100);
    const wchar_t no_character[] = {(wchar_t)0xd800, 0};
    sp_buf_add_str(&buf, "kept");
    sp_buf_addf(&buf, "and %ls", no_character);
    assert_true(buf.failed);
    assert_string_equal(buf.ptr, "kept");
    sp_buf_done(&buf);
    sp_buf_init(&buf, 100);
    sp_buf_addf(&buf, "%ls", no_character);
    assert_true(buf.failed);
    assert_true(sp_text_is(sp_buf_text(&buf), ""));
    sp_buf_done(&buf);
}

static void a_buffer_over_the_callers_memory_never_allocates(void **state)
{
    (void)state;
    char memory[8];
    struct sp_buf buf;
    allowed = 0;
    sp_buf_over(&buf, memory, sizeof memory);
    sp_buf_add_str(&buf, "1234567");
    assert_false(buf.failed);
    sp_buf_add_byte(&buf, '8');
    allowed = SIZE_MAX;
    assert_true(buf.failed);
    assert_string_equal(memory, "1234567");
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

static void numbers_and_bytes_are_written_as_printf_would(void **state)
{
    (void)state;
    const int64_t numbers[] = {0, 7, -1, 10, INT64_MAX, INT64_MIN};
    const uint8_t bytes[] = {0, 1, 0x7f, 0xa0, 0xff};
    struct sp_buf ours, printed;
    sp_buf_init(&ours, 1000);
    sp_buf_init(&printed, 1000);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        sp_buf_add_number(&ours, numbers[i]);
        sp_buf_addf(&printed, "%" PRId64, numbers[i]);
    }
    sp_buf_add_hex(&ours, bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        sp_buf_addf(&printed, "%02x", bytes[i]);
    }
    assert_string_equal(ours.ptr, printed.ptr);
    sp_buf_done(&ours);
    sp_buf_done(&printed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_fails_once_and_for_good),
        cmocka_unit_test(a_buffer_without_memory_fails_and_keeps_what_it_had),
        cmocka_unit_test(a_format_that_cannot_be_written_fails_the_buffer),
        cmocka_unit_test(numbers_and_bytes_are_written_as_printf_would),
        cmocka_unit_test(a_buffer_over_the_callers_memory_never_allocates),
        cmocka_unit_test(T57_json_text_can_neither_break_a_line_nor_turn_it_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
