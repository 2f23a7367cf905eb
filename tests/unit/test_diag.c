/* Diagnostics: places, the line with its caret, caps, and nothing that harms a terminal. */
#include "policy_kit.h"

static struct sp_span span(uint32_t start, uint32_t len)
{
    return (struct sp_span){0, start, len};
}

static const char *printed(struct kit *kit, bool colour)
{
    sp_buf_reset(&kit->text);
    sp_diags_print(&kit->diags, &kit->source, colour, &kit->text);
    return sp_buf_text(&kit->text).ptr;
}

static void columns_count_code_points_and_lines_begin_at_one(void **state)
{
    (void)state;
    struct sp_source source = {"f", SP_TEXT("a\n\xc3\xa9\xe2\x82\xac x\n")};
    uint32_t line, column;
    sp_source_position(&source, 0, &line, &column);
    assert_int_equal(line, 1);
    assert_int_equal(column, 1);
    sp_source_position(&source, 8, &line, &column); /* the x */
    assert_int_equal(line, 2);
    assert_int_equal(column, 4);
    sp_source_position(&source, 10000, &line, &column); /* past the end */
    assert_int_equal(line, 3);
    assert_int_equal(column, 1);
}

static void the_caret_stands_under_the_span(void **state)
{
    struct kit *kit = *state;
    kit->source =
        (struct sp_source){"f.scope", SP_TEXT("one\n  \xc3\xa9\xc3\xa9 wrong here\n")};
    sp_diags_add(&kit->diags, SP_SEVERITY_ERROR, "E999", span(11, 5), "write right",
                 "%s is wrong", "this");
    assert_string_equal(printed(kit, false), "f.scope:2:6: error[E999]: this is wrong\n"
                                             "      \xc3\xa9\xc3\xa9 wrong here\n"
                                             "         ^~~~~\n"
                                             "    fix: write right\n");
    assert_int_equal(kit->diags.n_errors, 1);
}

static void a_span_at_the_end_of_the_file_has_a_caret(void **state)
{
    struct kit *kit = *state;
    kit->source = (struct sp_source){"f", SP_TEXT("ab")};
    sp_diags_add(&kit->diags, SP_SEVERITY_WARNING, "W999", span(2, 0), NULL, "cut off");
    assert_string_equal(printed(kit, false),
                        "f:1:3: warning[W999]: cut off\n    ab\n      ^\n");
}

static void colour_comes_only_when_asked_for(void **state)
{
    struct kit *kit = *state;
    kit->source = (struct sp_source){"f", SP_TEXT("ab")};
    sp_diags_add(&kit->diags, SP_SEVERITY_ERROR, "E999", span(0, 1), NULL, "x");
    assert_null(strchr(printed(kit, false), '\033'));
    assert_non_null(strchr(printed(kit, true), '\033'));
}

/* A source can come from anybody: its quoted line must not move a cursor or reorder text. */
static void T57_quoted_lines_and_messages_are_harmless(void **state)
{
    struct kit *kit = *state;
    kit->source = (struct sp_source){"f", SP_TEXT("a\033[2Jb\xe2\x80\xae"
                                                  "c\x07 \xff z")};
    sp_diags_add(&kit->diags, SP_SEVERITY_ERROR, "E999", span(14, 1), NULL, "not '%s'",
                 "\033[2J\xe2\x80\xae\xff\n");
    assert_string_equal(printed(kit, false), "f:1:13: error[E999]: not '?[2J?"
                                             "?"
                                             "?'\n"
                                             "    a?[2Jb?c? ? z\n"
                                             "                ^\n");
}

static void a_long_line_is_shown_around_the_span(void **state)
{
    struct kit *kit = *state;
    char line[5001];
    memset(line, 'x', 5000);
    memcpy(line + 4000, "HERE", 4);
    kit->source = (struct sp_source){"f", {line, 5000}};
    sp_diags_add(&kit->diags, SP_SEVERITY_ERROR, "E999", span(4000, 4), NULL, "there");
    const char *text = printed(kit, false);
    assert_non_null(strstr(text, "HERE"));
    assert_true(strlen(text) < 600);
    const char *caret = strstr(text, "^~~~");
    const char *here = strstr(text, "HERE"), *second = strchr(here, '\n');
    assert_non_null(caret);
    /* both lines begin with four columns; the first of them holds one '…' of three bytes */
    assert_int_equal(here - (strstr(text, "   …")) - 2, caret - second - 1);
}

static void a_hundred_warnings_do_not_hide_an_error(void **state)
{
    struct kit *kit = *state;
    kit->source = (struct sp_source){"f", SP_TEXT("ab")};
    for (int i = 0; i < 1000; i++) {
        sp_diags_add(&kit->diags, SP_SEVERITY_WARNING, "W999", span(0, 1), NULL, "many");
    }
    sp_diags_add(&kit->diags, SP_SEVERITY_ERROR, "E999", span(0, 1), NULL, "the one");
    const char *text = printed(kit, false);
    assert_non_null(strstr(text, "the one"));
    assert_non_null(strstr(text, "… and 950 more"));
    assert_int_equal(kit->diags.n_warnings, 1000);
}

static void json_holds_the_same(void **state)
{
    struct kit *kit = *state;
    kit->source = (struct sp_source){"f\"x", SP_TEXT("a\nbc")};
    sp_diags_print_json(&kit->diags, &kit->source, &kit->text);
    assert_string_equal(sp_buf_text(&kit->text).ptr, "[]");
    sp_buf_reset(&kit->text);
    sp_diags_add(&kit->diags, SP_SEVERITY_ERROR, "E1", span(3, 1), "fix \"it\"", "one");
    sp_diags_add(&kit->diags, SP_SEVERITY_WARNING, "W1", span(0, 1), NULL, "two");
    sp_diags_print_json(&kit->diags, &kit->source, &kit->text);
    assert_string_equal(
        sp_buf_text(&kit->text).ptr,
        "[{\"severity\":\"error\",\"code\":\"E1\",\"file\":\"f\\\"x\",\"line\":2,\"column\":2,"
        "\"length\":1,\"message\":\"one\",\"fix\":\"fix \\\"it\\\"\"},"
        "{\"severity\":\"warning\",\"code\":\"W1\",\"file\":\"f\\\"x\",\"line\":1,\"column\":1,"
        "\"length\":1,\"message\":\"two\",\"fix\":null}]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(columns_count_code_points_and_lines_begin_at_one),
        kit_test(the_caret_stands_under_the_span),
        kit_test(a_span_at_the_end_of_the_file_has_a_caret),
        kit_test(colour_comes_only_when_asked_for),
        kit_test(T57_quoted_lines_and_messages_are_harmless),
        kit_test(a_long_line_is_shown_around_the_span),
        kit_test(a_hundred_warnings_do_not_hide_an_error),
        kit_test(json_holds_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
