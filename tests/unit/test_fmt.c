/* The one layout, example by example. That nothing is lost is test_fmt_oracle.py's part. */
#include "policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka.h needs those four before it */
#include <cmocka.h>

static void formats_to(const char *from, const char *to)
{
    struct sp_source source = {"x", sp_text_of(from)};
    struct sp_diags diags;
    struct sp_buf out;
    sp_diags_init(&diags);
    sp_buf_init(&out, 1 << 16);
    assert_int_equal(sp_policy_format(&source, &diags, &out), SP_OK);
    assert_string_equal(out.ptr, to);
    sp_buf_done(&out);
    sp_diags_done(&diags);
}

static sp_status refused(struct sp_text text, struct sp_diags *diags)
{
    struct sp_source source = {"x", text};
    struct sp_buf out;
    sp_diags_init(diags);
    sp_buf_init(&out, 1 << 16);
    sp_status status = sp_policy_format(&source, diags, &out);
    sp_buf_done(&out);
    return status;
}

static void a_statement_stands_on_a_line_of_its_own(void **state)
{
    (void)state;
    formats_to(
        "sallyport 1 let a={ 1,2 , 3 } scope s(a,b)narrows t{key k,l ttl 1h rate 5 / min\t"
        "burst 2 allow{GET POST}https://h.test/a deny  *  https://h.test/b }",
        "sallyport 1\n"
        "let a = {1, 2, 3}\n"
        "scope s(a, b) narrows t {\n"
        "    key k, l\n"
        "    ttl 1h\n"
        "    rate 5/min burst 2\n"
        "    allow {GET POST} https://h.test/a\n"
        "    deny * https://h.test/b\n"
        "}\n");
}

static void a_long_condition_is_broken_at_its_outer_connectives_only(void **state)
{
    (void)state;
    formats_to(
        "sallyport 1\nscope s {\n@r allow POST https://h.test/refunds where body.a = 1 and "
        "(body.b = 2 or not body.c in 1..5) and any(body.list).name starts \"abc\" rate 5/h "
        "budget sum ( body.a )<=5 per day}",
        "sallyport 1\n"
        "scope s {\n"
        "    @r allow POST https://h.test/refunds\n"
        "        where body.a = 1\n"
        "            and (body.b = 2 or not body.c in 1..5)\n"
        "            and any(body.list).name starts \"abc\"\n"
        "        rate 5/h\n"
        "        budget sum(body.a) <= 5 per day\n"
        "}\n");
}

static void a_group_that_is_too_long_itself_is_broken_as_well(void **state)
{
    (void)state;
    formats_to("sallyport 1\nscope s {\nallow POST https://h.test/ where body.a = 1 and "
               "(body.bbbbbbbbbb = "
               "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" or body.cccccccccccccc = "
               "\"cccccccccccccccccccccc\")}",
               "sallyport 1\n"
               "scope s {\n"
               "    allow POST https://h.test/\n"
               "        where body.a = 1\n"
               "            and (body.bbbbbbbbbb = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n"
               "                or body.cccccccccccccc = \"cccccccccccccccccccccc\")\n"
               "}\n");
}

static void comments_and_groups_stay_where_they_are(void **state)
{
    (void)state;
    formats_to(
        "\n\n# head  \r\nsallyport 1 # version\n\n\n\n# of a\n\n# of a, too\nlet a = { # why\n"
        "1,2 # two\n\n\n# three\n,3 }\nscope s { # open\n\n\n  key k\n\n  # last\n\n}\n# "
        "end\n\n",
        "# head\n"
        "sallyport 1 # version\n"
        "\n"
        "# of a\n"
        "\n"
        "# of a, too\n"
        "let a = { # why\n"
        "    1,\n"
        "    2 # two\n"
        "\n"
        "    # three\n"
        "    ,\n"
        "    3\n"
        "}\n"
        "scope s { # open\n"
        "    key k\n"
        "\n"
        "    # last\n"
        "}\n"
        "# end\n");
}

static void words_of_statements_are_plain_names_elsewhere(void **state)
{
    (void)state;
    formats_to(
        "sallyport 1 scope s { allow GET https://h.test/ where body.key=1\tand body only {ttl,"
        "allow,and} expect allow given(a=\"x\")expect https://h.test/#a json{rate:{key:true}}"
        "->@deny expect deny key https://h.test/ }",
        "sallyport 1\n"
        "scope s {\n"
        "    allow GET https://h.test/ where body.key = 1 and body only {ttl, allow, and}\n"
        "    expect allow given (a = \"x\") expect https://h.test/#a json {rate: {key: true}} "
        "-> @deny\n"
        "    expect deny key https://h.test/\n"
        "}\n");
}

static void what_does_not_parse_is_refused_with_its_diagnostics(void **state)
{
    (void)state;
    struct sp_diags diags;
    assert_int_equal(refused(SP_TEXT("sallyport 1\nscope s {"), &diags), SP_EINVAL);
    assert_string_equal(diags.first->code, "E001");
    sp_diags_done(&diags);
    assert_int_equal(refused(SP_TEXT("sallyport 2\n"), &diags), SP_EINVAL);
    assert_string_equal(diags.first->code, "E000");
    sp_diags_done(&diags);
    assert_int_equal(refused(SP_TEXT("sallyport 1 # \xff\n"), &diags), SP_EINVAL);
    assert_string_equal(diags.first->code, "E062");
    sp_diags_done(&diags);
}

static void names_need_not_resolve(void **state)
{
    (void)state;
    formats_to(
        "sallyport 1 use \"lost.scope\" scope s { allow GET place where body.a in lost }",
        "sallyport 1\n"
        "use \"lost.scope\"\n"
        "scope s {\n"
        "    allow GET place where body.a in lost\n"
        "}\n");
}

static void output_that_outgrows_its_buffer_is_an_error(void **state)
{
    (void)state;
    struct sp_source source = {"x", SP_TEXT("sallyport 1\nlet a = {1, 2, 3}\n")};
    struct sp_diags diags;
    struct sp_buf out;
    sp_diags_init(&diags);
    sp_buf_init(&out, 10);
    assert_int_equal(sp_policy_format(&source, &diags, &out), SP_ENOMEM);
    sp_buf_done(&out);
    sp_diags_done(&diags);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_statement_stands_on_a_line_of_its_own),
        cmocka_unit_test(a_long_condition_is_broken_at_its_outer_connectives_only),
        cmocka_unit_test(a_group_that_is_too_long_itself_is_broken_as_well),
        cmocka_unit_test(comments_and_groups_stay_where_they_are),
        cmocka_unit_test(words_of_statements_are_plain_names_elsewhere),
        cmocka_unit_test(what_does_not_parse_is_refused_with_its_diagnostics),
        cmocka_unit_test(names_need_not_resolve),
        cmocka_unit_test(output_that_outgrows_its_buffer_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
