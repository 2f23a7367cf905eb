/* What one version of a policy makes of another's scopes: sp_policy_compare. */
#include "policy_kit.h"

#define HEAD "sallyport 1\n"
#define SCOPE(name, rules) "scope " name " { key k ttl 1h\n" rules "\n}\n"

static void compare(struct kit *kit, const char *old_text, const char *new_text, size_t steps,
                    struct sp_policy_changes *ret_changes)
{
    assert_int_equal(kit_compile(kit, old_text), SP_OK);
    struct sp_policy *old = kit->policy;
    kit->policy = NULL;
    assert_int_equal(kit_compile(kit, new_text), SP_OK);
    assert_int_equal(sp_policy_compare(old, kit->policy, steps, ret_changes), SP_OK);
    sp_policy_free(old);
}

static void assert_change(const struct sp_policy_changes *changes, size_t i, const char *scope,
                          enum sp_scope_fate fate, const char *request)
{
    assert_true(i < changes->n);
    const struct sp_scope_change *change = &changes->items[i];
    assert_true(sp_text_is(change->scope, scope));
    assert_string_equal(sp_scope_fate_name(change->fate), sp_scope_fate_name(fate));
    if (!sp_text_is(change->request, request)) {
        print_error("'%s', not '%s'\n", change->request.ptr, request);
    }
    assert_true(sp_text_is(change->request, request));
}

static void each_scope_is_told_of_and_what_did_not_change_is_not(void **state)
{
    struct kit *kit = *state;
    struct sp_policy_changes changes;
    compare(kit,
            HEAD SCOPE("same", "allow GET https://h.test/a")
                SCOPE("wide", "allow POST https://h.test/a where body.n in 1..5")
                    SCOPE("less", "allow * https://h.test/a")
                        SCOPE("equal", "allow GET https://h.test/a\nallow PUT https://h.test/a")
                            SCOPE("gone", "allow GET https://h.test/a"),
            HEAD "# a comment\n" SCOPE("fresh", "allow GET https://h.test/a")
                SCOPE("same", "allow   GET https://h.test/a")
                    SCOPE("wide", "allow POST https://h.test/a where body.n in 1..6")
                        SCOPE("less", "allow GET https://h.test/a")
                            SCOPE("equal", "allow {PUT GET} https://h.test/a"),
            1000000, &changes);
    assert_int_equal(changes.n, 5);
    assert_int_equal(changes.n_untouched, 1);
    assert_change(&changes, 0, "fresh", SP_SCOPE_ADDED, "");
    assert_change(&changes, 1, "wide", SP_SCOPE_WIDER, "POST https://h.test/a json {\"n\": 6}");
    assert_change(&changes, 2, "less", SP_SCOPE_NARROWER, "");
    assert_change(&changes, 3, "equal", SP_SCOPE_EQUAL, "");
    assert_change(&changes, 4, "gone", SP_SCOPE_REMOVED, "");
    sp_policy_changes_done(&changes);
}

static void a_setting_that_reaches_further_is_told_in_words(void **state)
{
    struct kit *kit = *state;
    struct sp_policy_changes changes;
    compare(kit, HEAD "scope s { key k ttl 1h allow GET https://h.test/a }",
            HEAD "scope s { key k ttl 2h allow GET https://h.test/a }", 1000000, &changes);
    assert_change(&changes, 0, "s", SP_SCOPE_WIDER, "");
    assert_true(memmem(changes.items[0].why.ptr, changes.items[0].why.len, "lives longer", 12));
    sp_policy_changes_done(&changes);
    compare(kit, HEAD "scope s(o) { key k ttl 1h allow GET https://h.test/{o} }",
            HEAD "scope s(o) { key k ttl 2h allow GET https://h.test/{o} }", 1000000, &changes);
    assert_change(&changes, 0, "s", SP_SCOPE_WIDER, "");
    assert_true(memmem(changes.items[0].why.ptr, changes.items[0].why.len, "lives longer", 12));
    sp_policy_changes_done(&changes);
}

static void scopes_with_parameters_are_asked_about_arguments_that_stand_in_neither(void **state)
{
    struct kit *kit = *state;
    struct sp_policy_changes changes;
    compare(kit, HEAD "scope s(o) { key k ttl 1h allow GET https://h.test/{o}/a }",
            HEAD "scope s(o) { key k ttl 1h allow GET https://h.test/{o}/* }", 1000000,
            &changes);
    assert_change(&changes, 0, "s", SP_SCOPE_WIDER,
                  "given (o = \"any1\") GET https://h.test/any1/7007");
    sp_policy_changes_done(&changes);
    compare(kit, HEAD "scope s(o) { key k ttl 1h allow GET https://h.test/{o}/* }",
            HEAD "scope s(o) { key k ttl 1h allow GET https://h.test/{o}/a }", 1000000,
            &changes);
    assert_change(&changes, 0, "s", SP_SCOPE_NARROWER, "");
    assert_true(sp_text_is(changes.items[0].why, "for arguments that neither version names"));
    sp_policy_changes_done(&changes);
    compare(kit, HEAD "scope s(o) { key k ttl 1h allow GET https://h.test/{o}/a }",
            HEAD "scope s(p) { key k ttl 1h allow GET https://h.test/x/{p} }", 1000000,
            &changes);
    assert_change(&changes, 0, "s", SP_SCOPE_TOO_HARD, "");
    assert_true(sp_text_is(changes.items[0].why, "its parameters are others"));
    sp_policy_changes_done(&changes);
}

static size_t count(const struct sp_policy_changes *changes, enum sp_scope_fate fate)
{
    size_t n = 0;
    for (size_t i = 0; i < changes->n; i++) {
        n += changes->items[i].fate == fate;
    }
    return n;
}

/* 300 scopes that all changed share the steps: what was not looked at is too hard, never
 * narrower. */
static void without_steps_left_it_is_too_hard(void **state)
{
    struct kit *kit = *state;
    struct sp_policy_changes changes;
    struct sp_buf old, new;
    sp_buf_init(&old, 4 << 20);
    sp_buf_init(&new, 4 << 20);
    sp_buf_add_str(&old, HEAD);
    sp_buf_add_str(&new, HEAD);
    for (unsigned i = 0; i < 300; i++) {
        sp_buf_addf(&old, "scope s%u { key k ttl 1h allow GET https://h.test/a%u }\n", i, i);
        sp_buf_addf(&new, "scope s%u { key k ttl 1h allow GET https://h.test/b%u }\n", i, i);
    }
    compare(kit, old.ptr, new.ptr, 299, &changes);
    assert_true(count(&changes, SP_SCOPE_TOO_HARD) > 0);
    assert_int_equal(count(&changes, SP_SCOPE_TOO_HARD) + count(&changes, SP_SCOPE_WIDER), 300);
    sp_policy_changes_done(&changes);
    compare(kit, old.ptr, new.ptr, 1000000, &changes);
    assert_int_equal(count(&changes, SP_SCOPE_WIDER), 300);
    sp_policy_changes_done(&changes);
    sp_buf_done(&old);
    sp_buf_done(&new);
}

/* What a hard scope does not get is there for the one behind it. */
static void one_hard_scope_does_not_take_all_steps(void **state)
{
    struct kit *kit = *state;
    struct sp_policy_changes changes;
    struct sp_buf text[2];
    for (unsigned turn = 0; turn < 2; turn++) {
        sp_buf_init(&text[turn], 4 << 20);
        sp_buf_add_str(&text[turn], HEAD "scope a { key k ttl 1h\n");
        for (unsigned r = 0; r < 30; r++) {
            sp_buf_add_str(&text[turn], "allow POST https://h.test/** where body.a = 1");
            for (unsigned f = 0; f < 14; f++) {
                sp_buf_addf(&text[turn], " and (body.f%u in %u..%u or body.g%u = %u)", f,
                            r + turn, 99 + r + f, r * f % 9, r);
            }
            sp_buf_add_str(&text[turn], "\n");
        }
        sp_buf_addf(&text[turn], "}\nscope z { key k ttl 1h allow GET https://h.test/%s }\n",
                    turn ? "*" : "a");
    }
    compare(kit, text[0].ptr, text[1].ptr, 200000, &changes);
    assert_change(&changes, 0, "a", SP_SCOPE_TOO_HARD, "");
    assert_int_equal(changes.items[1].fate, SP_SCOPE_WIDER);
    sp_policy_changes_done(&changes);
    sp_buf_done(&text[0]);
    sp_buf_done(&text[1]);
}

static void parameters_that_a_version_has_alone_or_names_are_too_hard(void **state)
{
    struct kit *kit = *state;
    static const struct {
        const char *old, *new;
        enum sp_scope_fate fate;
    } cases[] = {
        {"scope s { key k ttl 1h allow GET https://h.test/a }",
         "scope s(o) { key k ttl 1h allow GET https://h.test/{o} }", SP_SCOPE_TOO_HARD},
        {"scope s(o) { key k ttl 1h allow GET https://h.test/{o}/any1 }",
         "scope s(o) { key k ttl 1h allow GET https://h.test/{o}/* }", SP_SCOPE_TOO_HARD},
        {"scope s(o) { key k ttl 1h allow GET https://h.test/{o}/* }",
         "scope s(o) { key k ttl 1h allow GET https://h.test/{o}/any1 }", SP_SCOPE_TOO_HARD},
        {"scope s(o) { key k ttl 1h allow GET https://h.test/{o}\nallow PUT https://h.test/{o} "
         "}",
         "scope s(o) { key k ttl 1h allow {GET PUT} https://h.test/{o} }", SP_SCOPE_EQUAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sp_policy_changes changes;
        char old[256], new[256];
        (void)snprintf(old, sizeof old, HEAD "%s", cases[i].old);
        (void)snprintf(new, sizeof new, HEAD "%s", cases[i].new);
        compare(kit, old, new, 1000000, &changes);
        assert_change(&changes, 0, "s", cases[i].fate, "");
        sp_policy_changes_done(&changes);
    }
}

static void a_request_of_pages_is_not_shown(void **state)
{
    struct kit *kit = *state;
    struct sp_policy_changes changes;
    char new[6000] = HEAD "scope s { key k ttl 1h allow GET https://h.test/";
    memset(new + strlen(new), 'a', 5000);
    (void)snprintf(new + strlen(new), 8, " }");
    compare(kit, HEAD "scope s { key k ttl 1h allow GET https://h.test/b }", new, 1000000,
            &changes);
    assert_change(&changes, 0, "s", SP_SCOPE_WIDER, "(too long to show)");
    sp_policy_changes_done(&changes);
}

static void the_same_policy_has_no_changes(void **state)
{
    struct kit *kit = *state;
    struct sp_policy_changes changes;
    static const char text[] = HEAD SCOPE("a", "allow GET https://h.test/a");
    compare(kit, text, text, 1000, &changes);
    assert_int_equal(changes.n, 0);
    assert_int_equal(changes.n_untouched, 1);
    sp_policy_changes_done(&changes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(each_scope_is_told_of_and_what_did_not_change_is_not),
        kit_test(a_setting_that_reaches_further_is_told_in_words),
        kit_test(scopes_with_parameters_are_asked_about_arguments_that_stand_in_neither),
        kit_test(without_steps_left_it_is_too_hard),
        kit_test(one_hard_scope_does_not_take_all_steps),
        kit_test(parameters_that_a_version_has_alone_or_names_are_too_hard),
        kit_test(a_request_of_pages_is_not_shown),
        kit_test(the_same_policy_has_no_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
