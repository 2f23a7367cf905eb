/* Urlencoded pairs, the tree of bracketed names, integers in forms. */
#include "request.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int setup(void **state)
{
    static struct sp_arena arena;
    sp_arena_init(&arena, 1 << 20);
    *state = &arena;
    return 0;
}

static int teardown(void **state)
{
    sp_arena_done(*state);
    return 0;
}

static struct sp_value tree_of(struct sp_arena *arena, const char *form)
{
    const struct sp_param *params;
    size_t n;
    struct sp_error err = {""};
    struct sp_value tree;
    assert_int_equal(sp_form_parse(arena, sp_text_of(form), 128, &params, &n, &err), SP_OK);
    assert_int_equal(sp_form_tree(arena, params, n, &tree), SP_OK);
    return tree;
}

static const struct sp_value *at(const struct sp_value *value, const char *name)
{
    return sp_value_get(value, sp_text_of(name));
}

static void T23_an_integer_in_a_form_has_one_spelling(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "-",
                                      "-0",
                                      "00",
                                      "05",
                                      "+5",
                                      "5.0",
                                      "5e3",
                                      " 5",
                                      "5 ",
                                      "0x5",
                                      "9223372036854775808",
                                      "1000000000000000000",
                                      "--5",
                                      "5-",
                                      "\xd9\xa5"};
    int64_t n;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (sp_form_int(sp_text_of(bad[i]), &n)) {
            fail_msg("'%s' was taken for an integer", bad[i]);
        }
    }
    assert_true(sp_form_int(SP_TEXT("0"), &n) && n == 0);
    assert_true(sp_form_int(SP_TEXT("5000"), &n) && n == 5000);
    assert_true(sp_form_int(SP_TEXT("-7"), &n) && n == -7);
    assert_true(sp_form_int(SP_TEXT("999999999999999999"), &n) && n == 999999999999999999);
    assert_false(sp_form_int(SP_TEXT("1\0"), &n));
}

static void pairs_are_decoded_once(void **state)
{
    const struct sp_param *p;
    size_t n;
    assert_int_equal(
        sp_form_parse(*state, SP_TEXT("a=1&&b=x+y%2B%25&c&d=&=e&f==g"), 128, &p, &n, NULL),
        SP_OK);
    assert_int_equal(n, 6);
    assert_true(sp_text_is(p[1].value, "x y+%"));
    assert_false(p[2].has_value);
    assert_true(p[3].has_value && p[3].value.len == 0);
    assert_true(p[4].name.len == 0 && sp_text_is(p[4].value, "e"));
    assert_true(sp_text_is(p[5].value, "=g"));
    assert_int_equal(sp_form_parse(*state, SP_TEXT(""), 128, &p, &n, NULL), SP_OK);
    assert_int_equal(n, 0);
}

static void malformed_pairs_are_refused(void **state)
{
    static const char *const bad[] = {"a=%",   "a=%4",   "a=%4g",  "a=%g4",
                                      "%zz=1", "a=%00",  "a=%ff",  "a=%c0%af",
                                      "a= b",  "a=\x01", "a=\x7f", "a=\xff"};
    const struct sp_param *p;
    size_t n;
    struct sp_error err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (sp_form_parse(*state, sp_text_of(bad[i]), 128, &p, &n, &err) != SP_EINVAL) {
            fail_msg("'%s' was accepted", bad[i]);
        }
    }
    assert_int_equal(sp_form_parse(*state, SP_TEXT("a&b&c"), 2, &p, &n, &err), SP_ETOOBIG);
}

static void T19_a_field_given_twice_is_ambiguous(void **state)
{
    static const char *const twice[] = {
        "a=1&a=2", "a=1&a[b]=2", "a[b]=1&a=2", "a[]=1&a[b]=2", "a[b]=1&a[]=2", "a=1&a[]=2",
        "a[=1",    "a]=1",       "a[b=1",      "a[b]c=1",      "a[[b]]=1"};
    for (size_t i = 0; i < sizeof twice / sizeof *twice; i++) {
        struct sp_value tree = tree_of(*state, twice[i]);
        const struct sp_value *a = at(&tree, "a");
        if (!a || a->kind != SP_VALUE_AMBIGUOUS) {
            fail_msg("'%s' is not ambiguous", twice[i]);
        }
    }
    struct sp_value tree = tree_of(*state, "a[x]=1&a[x]=2&a[y]=3");
    assert_int_equal(at(at(&tree, "a"), "x")->kind, SP_VALUE_AMBIGUOUS);
    assert_int_equal(at(at(&tree, "a"), "y")->kind, SP_VALUE_FORM);
}

/* Rack 2 and qs read "[amount]" as amount, PHP reads " amount" as amount. */
static void T19_a_field_in_disguise_is_seen_under_its_name(void **state)
{
    static const char *const disguised[] = {"amount=1&[amount]=2",    "[amount]=2&amount=1",
                                            "amount=1&]amount=2",     "amount=1&[][amount]=2",
                                            "amount=1&+amount=2",     "amount=1&%20amount=2",
                                            "amount=1&%5Bamount%5D",  "amount=1&+[amount=2",
                                            "amount=1&[amount[x]]=2", "[amount]=1"};
    for (size_t i = 0; i < sizeof disguised / sizeof *disguised; i++) {
        struct sp_value tree = tree_of(*state, disguised[i]);
        const struct sp_value *amount = at(&tree, "amount");
        if (!amount || amount->kind != SP_VALUE_AMBIGUOUS) {
            fail_msg("'%s' hides a field", disguised[i]);
        }
    }
    struct sp_value tree = tree_of(*state, "[]=1&+=2&]=3&=4");
    assert_int_equal(tree.as.object.n, 4); /* nothing but such bytes: a name like any other */
    assert_int_equal(at(&tree, "[]")->kind, SP_VALUE_AMBIGUOUS);
    assert_int_equal(at(&tree, " ")->kind, SP_VALUE_AMBIGUOUS);
    assert_int_equal(at(&tree, "")->kind, SP_VALUE_FORM);
}

/* Rack 2 and older Python and Go part pairs at ';' too, and a body is sent as it came. */
static void T19_a_raw_semicolon_in_a_body_is_refused(void **state)
{
    const struct sp_param *p;
    size_t n;
    struct sp_error err = {""};
    assert_int_equal(
        sp_form_parse(*state, SP_TEXT("amount=1&charge=ch_1;amount=9"), 9, &p, &n, &err),
        SP_EINVAL);
    assert_non_null(strstr(err.text, "';'"));
    assert_int_equal(sp_form_parse(*state, SP_TEXT("a=1%3Bb=2"), 9, &p, &n, &err), SP_OK);
    assert_true(sp_text_is(p[0].value, "1;b=2"));
    assert_int_equal(sp_query_parse(*state, SP_TEXT("a=1;b=2"), 9, &p, &n, &err), SP_OK);
    assert_true(n == 1 && sp_text_is(p[0].value, "1;b=2"));
    assert_int_equal(sp_query_parse(*state, (struct sp_text){NULL, 0}, 9, &p, &n, &err), SP_OK);
    assert_int_equal(sp_form_parse(*state, (struct sp_text){NULL, 0}, 9, &p, &n, &err), SP_OK);
}

/* qs ends a name at "]=" before it looks for '=': here a, there "a=x]". */
static void T19_a_raw_bracket_and_equals_sign_in_a_value_is_refused(void **state)
{
    const struct sp_param *p;
    size_t n;
    struct sp_error err = {""};
    static const char *const bad[] = {"a=]=",      "a=x]=y",    "a=%5D=", "a=%5d=b",
                                      "b=1&a==]=", "a[b]=c]=d", "=]="};
    static const char *const good[] = {"a[b]=1&c[]=2", "a=]%3D", "a%5D=1", "]=", "%5D=", "a==b",
                                       "a=]&b=1",      "a=]x=",  "a=%5C=", "==", "="};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (sp_form_parse(*state, sp_text_of(bad[i]), 9, &p, &n, &err) != SP_EINVAL) {
            fail_msg("'%s' was accepted", bad[i]);
        }
        assert_non_null(strstr(err.text, "']='"));
        assert_int_equal(sp_query_parse(*state, sp_text_of(bad[i]), 9, &p, &n, &err), SP_OK);
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (sp_form_parse(*state, sp_text_of(good[i]), 9, &p, &n, &err)) {
            fail_msg("'%s' was refused: %s", good[i], err.text);
        }
    }
}

static void T19_elements_that_frameworks_part_differently_are_ambiguous(void **state)
{
    static const char *const differently[] = {
        "a[][x]=1&a[][y]=2", "a[][x]=1&a[][x]=2", "a[]=1&a[][x]=2",       "a[][]=1",
        "a[][0]=1",          "a[][90][x]=1",      "a[][x][]=1&a[][x][]=2"};
    for (size_t i = 0; i < sizeof differently / sizeof *differently; i++) {
        struct sp_value tree = tree_of(*state, differently[i]);
        if (at(&tree, "a")->kind != SP_VALUE_AMBIGUOUS) {
            fail_msg("'%s' is not ambiguous", differently[i]);
        }
    }
    struct sp_value tree = tree_of(*state, "a[][x]=1&a[]=2&b[][1x]=1&c[][x0]=1&d[][-1][0]=1");
    assert_int_equal(at(&tree, "a")->as.array.n, 2);
    assert_true(sp_text_is(at(&at(&tree, "a")->as.array.items[0], "x")->as.text, "1"));
    assert_non_null(at(&at(&tree, "b")->as.array.items[0], "1x"));
    assert_non_null(at(&at(&tree, "c")->as.array.items[0], "x0"));
    assert_non_null(at(at(&at(&tree, "d")->as.array.items[0], "-1"), "0"));
}

static void T23_brackets_nest_and_append(void **state)
{
    struct sp_value tree =
        tree_of(*state, "metadata[order_id]=7&tags[]=x&tags[]=y&e[]=&m[a][b]=1");
    const struct sp_value *tags = at(&tree, "tags");
    assert_true(sp_text_is(at(at(&tree, "metadata"), "order_id")->as.text, "7"));
    assert_int_equal(tags->kind, SP_VALUE_ARRAY);
    assert_int_equal(tags->as.array.n, 2);
    assert_true(sp_text_is(tags->as.array.items[1].as.text, "y"));
    assert_int_equal(at(&tree, "e")->as.array.n, 1);
    assert_true(sp_text_is(at(at(at(&tree, "m"), "a"), "b")->as.text, "1"));
    assert_null(at(&tree, "nothing"));
    assert_null(at(tags, "x"));
}

static void brackets_deeper_than_five_are_ambiguous(void **state)
{
    struct sp_value good = tree_of(*state, "a[1][2][3][4][5]=x");
    struct sp_value bad = tree_of(*state, "a[1][2][3][4][5][6]=x");
    assert_int_equal(at(&good, "a")->kind, SP_VALUE_OBJECT);
    assert_int_equal(at(&bad, "a")->kind, SP_VALUE_AMBIGUOUS);
}

static void out_of_memory_is_said_at_every_cap(void **state)
{
    (void)state;
    const struct sp_param *p;
    size_t n, done = 0;
    for (size_t cap = 0; cap < 20000; cap += 16) {
        struct sp_arena arena;
        struct sp_value tree;
        sp_arena_init(&arena, cap);
        sp_status status = sp_form_parse(&arena, SP_TEXT("a[b]=1&c[]=2&d=3&a[e]=4&f[][g]=5"),
                                         128, &p, &n, NULL);
        status = status ? status : sp_form_tree(&arena, p, n, &tree);
        assert_true(status == SP_OK || status == SP_ENOMEM);
        done += status == SP_OK;
        sp_arena_done(&arena);
    }
    assert_true(done > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T23_an_integer_in_a_form_has_one_spelling),
        cmocka_unit_test(pairs_are_decoded_once),
        cmocka_unit_test(malformed_pairs_are_refused),
        cmocka_unit_test(T19_a_field_given_twice_is_ambiguous),
        cmocka_unit_test(T19_a_field_in_disguise_is_seen_under_its_name),
        cmocka_unit_test(T19_a_raw_semicolon_in_a_body_is_refused),
        cmocka_unit_test(T19_a_raw_bracket_and_equals_sign_in_a_value_is_refused),
        cmocka_unit_test(T19_elements_that_frameworks_part_differently_are_ambiguous),
        cmocka_unit_test(T23_brackets_nest_and_append),
        cmocka_unit_test(brackets_deeper_than_five_are_ambiguous),
        cmocka_unit_test(out_of_memory_is_said_at_every_cap),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
