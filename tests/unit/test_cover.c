/* Tests and what they reach: sp_policy_test. */
#include "policy_kit.h"

static void compile(struct kit *kit, const char *text)
{
    struct sp_world world = {.leave_expects = true};
    assert_int_equal(kit_compile_in(kit, &world, sp_text_of(text)), SP_OK);
}

static void a_test_that_fails_is_found_and_the_others_run(void **state)
{
    struct kit *kit = *state;
    struct sp_tests tests;
    compile(kit, "sallyport 1\nscope s { key k ttl 1h allow GET https://h.test/a\n"
                 "expect allow GET https://h.test/b\n"
                 "expect allow GET https://h.test/a -> @none\n"
                 "expect allow given (x = \"1\") GET https://h.test/a\n"
                 "expect allow GET https://h.test/a\n"
                 "expect deny GET https://h.test/../a }");
    assert_int_equal(sp_policy_test(kit->policy, &tests), SP_OK);
    assert_int_equal(tests.n_tests, 5);
    assert_int_equal(tests.n_failed, 3);
    assert_false(tests.tests[0].passed);
    assert_false(tests.tests[1].passed);
    assert_false(tests.tests[2].passed);
    assert_true(tests.tests[3].passed);
    assert_true(tests.tests[4].passed);
    assert_string_equal(tests.diags.first->code, "E160");
    assert_int_equal(tests.n_rules, 1);
    assert_int_equal(tests.rules[0].n_decided, 2);
    sp_tests_done(&tests);
}

static void without_leave_expects_a_failing_test_is_an_error_as_ever(void **state)
{
    struct kit *kit = *state;
    struct sp_text text =
        SP_TEXT("sallyport 1\nscope s { key k ttl 1h allow GET https://h.test/a\n"
                "expect allow GET https://h.test/b }");
    assert_int_equal(kit_compile_in(kit, NULL, text), SP_EINVAL);
    assert_string_equal(kit->diags.first->code, "E160");
}

/* body.a = 1 is asked three times, and true once; b is never true; a deny counts as deciding.
 */
static void sides_of_atoms_are_counted_where_the_rule_is_reached(void **state)
{
    struct kit *kit = *state;
    struct sp_tests tests;
    compile(kit, "sallyport 1\nscope s { key k ttl 1h\n"
                 "@a allow POST https://h.test/a where body.a = 1 or body.b = 2\n"
                 "@d deny * https://h.test/a where header.x-no = \"1\"\n"
                 "expect allow POST https://h.test/a json {a: 1} header x-no = \"0\" -> @a\n"
                 "expect deny POST https://h.test/a json {a: 2} header x-no = \"0\"\n"
                 "expect deny POST https://h.test/a json {a: 1} header x-no = \"1\" -> @d\n"
                 "expect deny POST https://h.test/other json {b: 2} }");
    assert_int_equal(sp_policy_test(kit->policy, &tests), SP_OK);
    assert_int_equal(tests.n_failed, 0);
    assert_int_equal(tests.n_rules, 2);
    assert_int_equal(tests.n_rules_decided, 2);
    const struct sp_rule_cover *allow = &tests.rules[0], *deny = &tests.rules[1];
    assert_int_equal(allow->n_atoms, 2);
    assert_true(allow->atoms[0].seen_true && allow->atoms[0].seen_untrue);
    assert_true(!allow->atoms[1].seen_true && allow->atoms[1].seen_untrue);
    assert_true(deny->atoms[0].seen_true && deny->atoms[0].seen_untrue);
    assert_int_equal(tests.n_sides, 6);
    assert_int_equal(tests.n_sides_seen, 5);
    sp_tests_done(&tests);
}

static void rules_that_the_compiler_added_are_not_the_authors_to_cover(void **state)
{
    struct kit *kit = *state;
    struct sp_tests tests;
    struct sp_world world = {.catalogues = kit_guarded, .leave_expects = true};
    struct sp_text text =
        SP_TEXT("sallyport 1\nscope s { key k ttl 1h allow * https://h.test/**\n"
                "expect deny POST https://h.test/hooks }");
    assert_int_equal(kit_compile_in(kit, &world, text), SP_OK);
    assert_int_equal(sp_scope_n_rules(sp_policy_scope(kit->policy, 0)), 2);
    assert_int_equal(sp_policy_test(kit->policy, &tests), SP_OK);
    assert_int_equal(tests.n_failed, 0);
    assert_int_equal(tests.n_rules, 1);
    assert_int_equal(tests.n_rules_decided, 0);
    sp_tests_done(&tests);
}

/* Another method, another host, a body that cannot be read: the atoms were not asked. */
static void rules_that_a_test_does_not_reach_are_not_seen(void **state)
{
    struct kit *kit = *state;
    struct sp_tests tests;
    compile(kit, "sallyport 1\nscope s { key k ttl 1h\n"
                 "@a allow POST https://h.test/a where body.a = 1\n"
                 "@b allow GET https://h.test/b\n"
                 "expect deny PUT https://h.test/a json {a: 1}\n"
                 "expect deny POST https://i.test/a json {a: 1}\n"
                 "expect deny POST https://h.test/a\n}\n"
                 "scope t { key k ttl 1h allow GET https://h.test/b }");
    assert_int_equal(sp_policy_test(kit->policy, &tests), SP_OK);
    assert_int_equal(tests.n_failed, 0);
    assert_int_equal(tests.n_sides, 2);
    assert_int_equal(tests.n_sides_seen, 0);
    sp_tests_done(&tests);
}

static void a_policy_without_scopes_has_no_tests(void **state)
{
    struct kit *kit = *state;
    struct sp_tests tests;
    compile(kit, "sallyport 1\nlet a = {\"b\"}");
    assert_int_equal(sp_policy_test(kit->policy, &tests), SP_OK);
    assert_int_equal(tests.n_tests + tests.n_rules + tests.n_sides, 0);
    sp_tests_done(&tests);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_test_that_fails_is_found_and_the_others_run),
        kit_test(without_leave_expects_a_failing_test_is_an_error_as_ever),
        kit_test(sides_of_atoms_are_counted_where_the_rule_is_reached),
        kit_test(rules_that_the_compiler_added_are_not_the_authors_to_cover),
        kit_test(rules_that_a_test_does_not_reach_are_not_seen),
        kit_test(a_policy_without_scopes_has_no_tests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
