/* Text to tokens. */
#include "policy_kit.h"
#include "syntax/lexer.h"

/* The tokens of a text, as "KIND:text" joined by spaces. */
static const char *tokens(struct kit *kit, struct sp_text text)
{
    static const char *const kinds[] = {
        [TOKEN_END] = "end",       [TOKEN_WORD] = "word",     [TOKEN_NUMBER] = "number",
        [TOKEN_AMOUNT] = "amount", [TOKEN_STRING] = "string", [TOKEN_URL] = "url",
        [TOKEN_LABEL] = "label",   [TOKEN_PUNCT] = "punct",   [TOKEN_BAD] = "bad"};
    struct lexer lexer = {.text = text, .line_start = true};
    sp_buf_reset(&kit->text);
    for (struct token t = lexer_next(&lexer); t.kind != TOKEN_END; t = lexer_next(&lexer)) {
        assert_ptr_equal(t.text.ptr, text.ptr + t.start);
        sp_buf_addf(&kit->text, "%s%s:%.*s", kit->text.len ? " " : "", kinds[t.kind],
                    (int)t.text.len, t.text.ptr);
    }
    return sp_buf_text(&kit->text).ptr;
}

static void words_numbers_and_marks_are_told_apart(void **state)
{
    struct kit *kit = *state;
    assert_string_equal(
        tokens(kit, SP_TEXT("allow a-b _x9 12 -3 4h 60000ms @lab-el <= < != .. -> {}")),
        "word:allow word:a-b word:_x9 number:12 number:-3 amount:4h amount:60000ms "
        "label:@lab-el punct:<= punct:< punct:!= punct:.. punct:-> punct:{ punct:}");
    assert_string_equal(tokens(kit, SP_TEXT("1..5000 a.b")),
                        "number:1 punct:.. number:5000 word:a punct:. word:b");
    assert_string_equal(tokens(kit, SP_TEXT("- ~ @ $ \xc3\xa9")),
                        "bad:- bad:~ bad:@ bad:$ bad:\xc3 bad:\xa9");
}

static void a_url_reaches_to_the_next_blank(void **state)
{
    struct kit *kit = *state;
    assert_string_equal(tokens(kit, SP_TEXT("https://h/a#b,{c} http://x\ty")),
                        "url:https://h/a#b,{c} url:http://x word:y");
    assert_string_equal(tokens(kit, SP_TEXT("HTTPS://h")),
                        "word:HTTPS punct:: punct:/ punct:/ word:h");
}

static void a_comment_begins_a_line_or_follows_a_blank(void **state)
{
    struct kit *kit = *state;
    assert_string_equal(tokens(kit, SP_TEXT("# a\nb # c \"\n#d")), "word:b");
    assert_string_equal(tokens(kit, SP_TEXT("b#c")), "word:b bad:# word:c");
    assert_string_equal(tokens(kit, SP_TEXT("\"a # b\" c")), "string:\"a # b\" word:c");
}

static void a_string_ends_on_its_line(void **state)
{
    struct kit *kit = *state;
    assert_string_equal(tokens(kit, SP_TEXT("\"a\\\"b\\\\\" c")),
                        "string:\"a\\\"b\\\\\" word:c");
    assert_string_equal(tokens(kit, SP_TEXT("\"open\nc")), "bad:\" word:open word:c");
    assert_string_equal(tokens(kit, SP_TEXT("\"a\\")), "bad:\" word:a bad:\\");
}

static void any_byte_is_some_token(void **state)
{
    struct kit *kit = *state;
    char all[256];
    for (int i = 0; i < 256; i++) {
        all[i] = (char)i;
    }
    struct lexer lexer = {.text = {all, sizeof all}};
    unsigned n = 0;
    while (lexer_next(&lexer).kind != TOKEN_END) {
        assert_true(++n <= 256);
    }
    assert_int_equal(lexer.at, 256);
    assert_string_equal(tokens(kit, SP_TEXT("")), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(words_numbers_and_marks_are_told_apart),
        kit_test(a_url_reaches_to_the_next_blank),
        kit_test(a_comment_begins_a_line_or_follows_a_blank),
        kit_test(a_string_ends_on_its_line),
        kit_test(any_byte_is_some_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
