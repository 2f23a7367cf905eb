/* What would have to change: the request, or the scope. */
#include "policy_kit.h"

struct asked {
    struct sp_nearest nearest;
    struct sp_scope *scope;
};

static void ask(struct kit *kit, const char *rules, const struct sp_request *request,
                struct asked *asked)
{
    const struct sp_scope *scope = kit_scope(kit, rules);
    assert_int_equal(sp_scope_freeze(scope, NULL, 0, &asked->scope, &kit->err), SP_OK);
    assert_false(kit_match(asked->scope, request).allowed);
    assert_int_equal(sp_scope_nearest(asked->scope, request, &asked->nearest), SP_OK);
    if (asked->nearest.found) {
        assert_true(kit_match(asked->scope, &asked->nearest.request).allowed);
        assert_true(asked->nearest.n_changes > 0);
    }
}

static void asked_done(struct asked *asked)
{
    sp_nearest_done(&asked->nearest);
    sp_scope_free(asked->scope);
}

static void assert_text(struct sp_text text, const char *expected)
{
    if (!sp_text_is(text, expected)) {
        print_error("'%.*s', not '%s'\n", (int)text.len, text.ptr, expected);
    }
    assert_true(sp_text_is(text, expected));
}

#define REFUND                                                                                 \
    "@refund allow POST https://h.test/refunds where body.charge starts \"ch_\" and "          \
    "body.amount in 1..5000 and body only {charge, amount}"

static void a_form(struct kit *kit, const char *form, const char *place, const char *words,
                   const char *change)
{
    struct asked asked;
    struct sp_request request = kit_form(kit, "https://h.test/refunds", form);
    ask(kit, REFUND, &request, &asked);
    assert_true(asked.nearest.found);
    assert_int_equal(asked.nearest.n_changes, 1);
    assert_text(asked.nearest.changes[0].place, place);
    assert_text(asked.nearest.changes[0].words, words);
    assert_text(asked.nearest.scope_change, change);
    assert_text(sp_rule_label(asked.nearest.rule), "refund");
    asked_done(&asked);
}

static void one_field_is_changed_to_the_nearest_value(void **state)
{
    struct kit *kit = *state;
    a_form(kit, "charge=ch_1&amount=5001", "body.amount",
           "body.amount would have to be at most 5000; it is \"5001\"",
           "in refund, `body.amount in 1..5001` for `body.amount in 1..5000`");
    a_form(kit, "charge=ch_1&amount=0", "body.amount",
           "body.amount would have to be at least 1; it is \"0\"",
           "in refund, `body.amount in 0..5000` for `body.amount in 1..5000`");
    a_form(kit, "charge=ch_1&amount=many", "body.amount",
           "body.amount would have to be an integer from 1 to 5000; it is \"many\"",
           "in refund, `body.amount in 1..5000 or body.amount = \"many\"` for `body.amount in "
           "1..5000`");
    a_form(kit, "charge=pi_1&amount=5", "body.charge",
           "body.charge would have to be text that begins with \"ch_\"; it is \"pi_1\"",
           "in refund, `body.charge starts \"ch_\" or body.charge = \"pi_1\"` for `body.charge "
           "starts \"ch_\"`");
    a_form(kit, "charge=ch_1&amount=5&x=1", "body.x", "body.x would have to be left out",
           "in refund, `body only {charge, amount, x}` for `body only {charge, amount}`");
    a_form(kit, "charge=ch_1&amount=5&Amount=6", "body.Amount",
           "body.Amount would have to be left out", "with `allow POST https://h.test/refunds`");
}

static void what_is_missing_is_filled_in(void **state)
{
    struct kit *kit = *state;
    struct asked asked;
    struct sp_request request = kit_request(kit, "POST", "https://h.test/refunds");
    ask(kit, REFUND, &request, &asked);
    assert_int_equal(asked.nearest.n_changes, 2);
    assert_int_equal(asked.nearest.request.body_kind, SP_BODY_JSON);
    asked_done(&asked);
}

static void method_path_and_host_are_told_apart(void **state)
{
    struct kit *kit = *state;
    struct asked asked;
    struct sp_request request = kit_request(kit, "PUT", "https://h.test/v1/charge/ch_1");
    ask(kit,
        "@r allow GET https://h.test/v1/charges/*\n"
        "@o allow GET https://other.test/v1/charge/*",
        &request, &asked);
    assert_text(sp_rule_label(asked.nearest.rule), "r");
    assert_int_equal(asked.nearest.n_changes, 2);
    assert_text(asked.nearest.changes[0].words, "the method would have to be GET; it is PUT");
    assert_text(
        asked.nearest.changes[1].words,
        "the path would have to be /v1/charges/ch_1, for https://h.test/v1/charges/*; it "
        "is /v1/charge/ch_1");
    assert_text(asked.nearest.scope_change, "with `allow PUT https://h.test/v1/charge/ch_1`");
    asked_done(&asked);
    request = kit_request(kit, "GET", "https://elsewhere.test/");
    ask(kit, "@r allow GET https://h.test/", &request, &asked);
    assert_int_equal(asked.nearest.n_changes, 1);
    assert_text(asked.nearest.changes[0].words,
                "the host would have to be https://h.test; it is https://elsewhere.test");
    asked_done(&asked);
}

static struct sp_request json(struct kit *kit, const char *url, struct sp_value *object)
{
    struct sp_request request = kit_request(kit, "POST", url);
    request.body_kind = SP_BODY_JSON;
    request.body_value = object;
    return request;
}

/* An absent field makes a deny fire, as it might be anything. */
static void a_deny_names_the_atom_that_has_to_become_untrue(void **state)
{
    struct kit *kit = *state;
    struct asked asked;
    struct sp_member members[] = {{SP_TEXT("n"), {.kind = SP_VALUE_INT, .as.integer = 11}}};
    struct sp_value body = {.kind = SP_VALUE_OBJECT};
    body.as.object.items = members;
    body.as.object.n = 1;
    struct sp_request request = json(kit, "https://h.test/a", &body);
    ask(kit,
        "@any allow * https://h.test/**\n@big deny POST https://h.test/** where body.n > 10",
        &request, &asked);
    assert_int_equal(asked.nearest.n_changes, 1);
    assert_text(asked.nearest.changes[0].words, "body.n would have to be at most 10; it is 11");
    assert_text(asked.nearest.changes[0].to, "10");
    assert_text(asked.nearest.scope_change, "in the deny big, `body.n > 11` for `body.n > 10`");
    asked_done(&asked);
    body.as.object.n = 0;
    ask(kit,
        "@any allow * https://h.test/**\n@big deny POST https://h.test/** where body.n > 10",
        &request, &asked);
    assert_int_equal(asked.nearest.n_changes, 1);
    assert_text(asked.nearest.changes[0].words,
                "body.n would have to be at most 10; it is absent");
    asked_done(&asked);
}

static void an_unconditional_deny_is_walked_around(void **state)
{
    struct kit *kit = *state;
    struct asked asked;
    struct sp_request request = kit_request(kit, "POST", "https://h.test/a/capture");
    ask(kit, "@any allow POST https://h.test/**\n@no deny * https://h.test/*/capture", &request,
        &asked);
    assert_true(asked.nearest.found);
    assert_text(asked.nearest.changes[0].place, "path");
    assert_text(asked.nearest.scope_change, "without no (`deny * https://h.test/*/capture`)");
    asked_done(&asked);
}

/* body.n must be 10 to 20 and neither 10 nor 20; each single constant is refused. */
static void constants_that_shut_each_other_out_are_stepped_beside(void **state)
{
    struct kit *kit = *state;
    struct asked asked;
    struct sp_request request = kit_form(kit, "https://h.test/a", "n=90&o=1");
    ask(kit,
        "@a allow POST https://h.test/a where body.n in 10..20 and body.n != 20 and not "
        "body.n = 10",
        &request, &asked);
    assert_int_equal(asked.nearest.n_changes, 1);
    assert_text(asked.nearest.changes[0].to, "\"19\"");
    asked_done(&asked);
}

static void each_element_of_a_list_is_changed_on_its_own(void **state)
{
    struct kit *kit = *state;
    struct asked asked;
    struct sp_request request = kit_form(kit, "https://h.test/a", "t[]=a&t[]=z&t[]=y");
    ask(kit, "@a allow POST https://h.test/a where all(body.t) in {\"a\", \"b\"}", &request,
        &asked);
    assert_int_equal(asked.nearest.n_changes, 2);
    assert_text(asked.nearest.changes[0].place, "body.t[1]");
    assert_text(asked.nearest.changes[1].place, "body.t[2]");
    asked_done(&asked);
}

static void queries_headers_and_captures_are_changed_too(void **state)
{
    struct kit *kit = *state;
    struct asked asked;
    struct sp_request request = kit_request(kit, "GET", "https://h.test/r/9?limit=200&all=1");
    ask(kit,
        "@a allow GET https://h.test/r/{n:int} where query.limit <= 100 and query only {limit} "
        "and header.x-tenant = \"t1\" and path.n < 5",
        &request, &asked);
    assert_true(asked.nearest.found);
    assert_int_equal(asked.nearest.n_changes, 4);
    struct sp_buf text;
    sp_buf_init(&text, 1 << 16);
    sp_witness_print(&asked.nearest.request, &text);
    assert_text(sp_buf_text(&text), "GET https://h.test/r/4?limit=100 header x-tenant: t1");
    sp_buf_done(&text);
    asked_done(&asked);
}

/* A deny sees an encoded slash as two segments; its capture is then none of the request's. */
static void a_capture_that_the_path_does_not_reach_is_unknown(void **state)
{
    struct kit *kit = *state;
    struct asked asked;
    struct sp_request request = kit_request(kit, "GET", "https://h.test/a%2F9");
    ask(kit,
        "@any allow GET https://h.test/{x:slash}\n"
        "@no deny GET https://h.test/a/{q:slash} where path.q < 4 or path.q = \"b\"",
        &request, &asked);
    assert_true(asked.nearest.found);
    asked_done(&asked);
}

static void a_scope_that_allows_nothing_has_no_nearest_request(void **state)
{
    struct kit *kit = *state;
    struct asked asked;
    struct sp_request request = kit_request(kit, "GET", "https://h.test/a");
    ask(kit, "@a allow GET https://h.test/a\n@b deny * https://h.test/**", &request, &asked);
    assert_false(asked.nearest.found);
    assert_text(asked.nearest.scope_change, "without b (`deny * https://h.test/**`)");
    asked_done(&asked);
}

static void an_escalating_action_asks_for_a_literal_allow(void **state)
{
    struct kit *kit = *state;
    struct sp_nearest nearest;
    struct sp_world world = {.catalogues = kit_guarded};
    struct sp_text text =
        SP_TEXT("sallyport 1\nscope s { key k ttl 1h allow * https://h.test/** }");
    struct sp_request request = kit_request(kit, "POST", "https://h.test/hooks");
    assert_int_equal(kit_compile_in(kit, &world, text), SP_OK);
    const struct sp_scope *scope = sp_policy_scope(kit->policy, 0);
    assert_int_equal(sp_scope_nearest(scope, &request, &nearest), SP_OK);
    assert_text(nearest.scope_change, "with `allow POST https://h.test/hooks escalates`");
    sp_nearest_done(&nearest);
}

/* 10,000 rules, a body of 2,000 fields: bounded, and an answer all the same. */
static void a_large_scope_and_a_large_body_end(void **state)
{
    struct kit *kit = *state;
    struct asked asked;
    struct sp_buf rules, form;
    sp_buf_init(&rules, 4 << 20);
    sp_buf_init(&form, 1 << 20);
    for (unsigned i = 0; i < 10000; i++) {
        sp_buf_addf(&rules,
                    "allow POST https://h.test/a%u where body.x = %u and body only {x}\n", i,
                    i);
    }
    sp_buf_add_str(&form, "x=1");
    for (unsigned i = 0; i < 900; i++) {
        sp_buf_addf(&form, "&f%u=1", i);
    }
    struct sp_request request = kit_form(kit, "https://h.test/a7", form.ptr);
    ask(kit, rules.ptr, &request, &asked);
    sp_buf_done(&rules);
    sp_buf_done(&form);
    asked_done(&asked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(one_field_is_changed_to_the_nearest_value),
        kit_test(what_is_missing_is_filled_in),
        kit_test(method_path_and_host_are_told_apart),
        kit_test(a_deny_names_the_atom_that_has_to_become_untrue),
        kit_test(an_unconditional_deny_is_walked_around),
        kit_test(constants_that_shut_each_other_out_are_stepped_beside),
        kit_test(each_element_of_a_list_is_changed_on_its_own),
        kit_test(queries_headers_and_captures_are_changed_too),
        kit_test(a_capture_that_the_path_does_not_reach_is_unknown),
        kit_test(a_scope_that_allows_nothing_has_no_nearest_request),
        kit_test(an_escalating_action_asks_for_a_literal_allow),
        kit_test(a_large_scope_and_a_large_body_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
