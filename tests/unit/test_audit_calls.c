/* Calls as the audit tells of them: records of this version and of 0.1.0. */
#include "policy_kit.h"

#include "cli/audit_calls.h"

static const char policy_text[] =
    "sallyport 1\n"
    "scope s(o) { key k ttl 1h @a allow GET https://h.test/{o}/x }\n"
    "scope t { key k ttl 1h\n"
    "  @p allow GET http://h.test:8080/**\n"
    "  @q allow GET https://h.test/q where query.n = 1\n"
    "  @b allow POST https://h.test/b where body.n = 1 }\n";

struct seen {
    struct kit *kit;
    struct audit_calls *calls;
    unsigned n, n_calls, n_allowed, n_denied, n_depends, n_nothing;
    enum audit_then then;
    const char *why;
    bool gone;
    unsigned unknown;
    char request[200];
};

static bool on_call(void *user, uint64_t seq, json_t *record, struct audit_call *call)
{
    struct seen *seen = user;
    struct sp_partial partial;
    struct sp_buf text;
    (void)seq;
    (void)record;
    seen->n++;
    if (!call) {
        return true;
    }
    seen->n_calls++;
    seen->then = call->then;
    seen->unknown = call->unknown;
    sp_buf_over(&text, seen->request, sizeof seen->request);
    audit_print_request(&call->request, &text);
    const struct sp_scope *scope =
        audit_scope(seen->calls, seen->kit->policy, call, &seen->why, &seen->gone);
    if (!scope) {
        seen->n_nothing++;
        return true;
    }
    sp_scope_match_partial(scope, &call->request, call->unknown, NULL, &partial);
    seen->n_allowed += partial.verdict == SP_PARTLY_ALLOWED;
    seen->n_denied += partial.verdict == SP_PARTLY_DENIED;
    seen->n_depends += partial.verdict == SP_PARTLY_DEPENDS;
    return true;
}

static struct seen begin(struct kit *kit)
{
    assert_int_equal(kit_compile(kit, policy_text), SP_OK);
    return (struct seen){.kit = kit, .calls = audit_calls_new()};
}

static void line(struct seen *seen, const char *text)
{
    assert_int_equal(audit_calls_line(seen->calls, 1, sp_text_of(text), on_call, seen), SP_OK);
}

#define ISSUE(root, scope, rest)                                                               \
    "{\"type\":\"issue\",\"root\":\"" root "\",\"scope\":\"" scope "\"" rest "}"
#define INTENT(root, scope, method, path, rest)                                                \
    "{\"type\":\"intent\",\"root\":\"" root "\",\"scope\":\"" scope "\",\"method\":\"" method  \
    "\",\"host\":\"h.test\",\"path\":\"" path "\"" rest "}"

static void arguments_are_read_by_name_and_as_version_0_1_wrote_them(void **state)
{
    struct seen seen = begin(*state);
    line(&seen, ISSUE("01", "s", ",\"args\":[[\"o\",\"acme\"]]"));
    line(&seen, INTENT("01", "s", "GET", "/acme/x", ""));
    assert_int_equal(seen.n_allowed, 1);
    line(&seen, INTENT("01", "s", "GET", "/other/x", ""));
    assert_int_equal(seen.n_denied, 1);
    line(&seen, ISSUE("02", "s", ",\"args\":\"acme\""));
    line(&seen, INTENT("02", "s", "GET", "/acme/x", ""));
    assert_int_equal(seen.n_allowed, 2);
    line(&seen, ISSUE("03", "s", ",\"args\":\"acme\",\"value\":\"b\""));
    line(&seen, INTENT("03", "s", "GET", "/acme/x", ""));
    line(&seen, INTENT("ff", "s", "GET", "/acme/x", "")); /* issued before the audit begins */
    line(&seen, ISSUE("04", "s", ",\"args\":40"));        /* too many to record */
    line(&seen, INTENT("04", "s", "GET", "/acme/x", ""));
    assert_int_equal(seen.n_nothing, 3);
    assert_false(seen.gone);
    assert_string_equal(seen.why, "the audit does not tell the token's arguments");
    line(&seen, ISSUE("05", "s", ",\"args\":[[\"p\",\"acme\"]]"));
    line(&seen, INTENT("05", "s", "GET", "/acme/x", ""));
    assert_true(seen.gone);
    line(&seen, INTENT("05", "none", "GET", "/acme/x", ""));
    assert_true(seen.gone);
    line(&seen, ISSUE("06", "t", ",\"form\":\"json\""));
    line(&seen, INTENT("06", "t", "GET", "/acme/x", ""));
    assert_false(seen.gone);
    audit_calls_free(seen.calls);
}

static void what_a_record_does_not_hold_is_unknown(void **state)
{
    struct seen seen = begin(*state);
    line(&seen, INTENT("01", "t", "GET", "/a", ",\"scheme\":\"http\",\"port\":8080"));
    assert_int_equal(seen.n_allowed, 1);
    assert_string_equal(seen.request, "GET http://h.test:8080/a");
    assert_int_equal(seen.unknown, SP_UNKNOWN_HEADERS);
    line(&seen, INTENT("01", "t", "GET", "/a", ""));
    assert_int_equal(seen.n_denied, 1);
    line(&seen, INTENT("01", "t", "GET", "/q", ",\"query\":[[\"n\",\"00ff\"]]"));
    assert_int_equal(seen.n_depends, 1);
    assert_string_equal(seen.request, "GET https://h.test/q?n=…");
    line(&seen, INTENT("01", "t", "GET", "/q", ""));
    line(&seen, INTENT("01", "t", "GET", "/q", ",\"query\":[[\"m\",\"00ff\"]]"));
    assert_int_equal(seen.n_denied, 3);
    line(&seen, INTENT("01", "t", "GET", "/q", ",\"query\":[[\"m\",null]],\"query_total\":33"));
    assert_int_equal(seen.n_depends, 2);
    assert_true(seen.unknown & SP_UNKNOWN_PARAMS);
    line(&seen, INTENT("01", "t", "POST", "/b", ",\"body\":\"00ff\",\"body_kind\":\"json\""));
    line(&seen, INTENT("01", "t", "POST", "/b", ",\"body\":\"00ff\""));
    assert_int_equal(seen.n_depends, 4);
    line(&seen, INTENT("01", "t", "POST", "/b", ",\"body\":\"00ff\",\"body_kind\":\"opaque\""));
    line(&seen, INTENT("01", "t", "POST", "/b", ""));
    assert_int_equal(seen.n_denied, 5);
    audit_calls_free(seen.calls);
}

#define DENIED(code, reason)                                                                   \
    "{\"type\":\"denied\",\"scope\":\"t\",\"code\":\"" code "\",\"reason\":\"" reason          \
    "\",\"method\":\"GET\",\"host\":\"h.test\",\"path\":\"/q\"}"

static void who_refused_is_told_apart(void **state)
{
    struct seen seen = begin(*state);
    static const struct {
        const char *line;
        enum audit_then then;
    } cases[] = {
        {DENIED("not_allowed", "no rule"), THEN_REFUSED},
        {DENIED("denied", "a deny rule fires"), THEN_REFUSED},
        {DENIED("denied", "a caveat of the token: a deny rule fires"), THEN_LATER},
        {DENIED("rate_limited", "x"), THEN_LATER},
        {DENIED("budget_exceeded", "x"), THEN_LATER},
        {DENIED("token_expired", "x"), THEN_OTHER},
        {INTENT("01", "t", "GET", "/q", ""), THEN_SENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        line(&seen, cases[i].line);
        assert_int_equal(seen.then, cases[i].then);
    }
    audit_calls_free(seen.calls);
}

static void what_is_no_record_of_a_call_tells_of_none(void **state)
{
    static const char *const lines[] = {
        "",
        "nonsense",
        "[]",
        "{}",
        "{\"type\":7}",
        "{\"type\":\"denied\",\"op\":\"issue\",\"scope\":\"t\"}",
        "{\"type\":\"intent\",\"method\":\"GET\",\"host\":\"h.test\",\"path\":\"/..\"}",
        "{\"type\":\"intent\",\"method\":\"GET\",\"host\":\"h.test\",\"path\":\"/a\","
        "\"query\":[7]}",
        "{\"type\":\"intent\",\"method\":\"GET\",\"host\":\"h.test\",\"path\":\"/a\","
        "\"query\":[[\"a\"],[]]}",
        "{\"type\":\"outcome\",\"call\":1}",
    };
    struct seen seen = begin(*state);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        line(&seen, lines[i]);
    }
    assert_int_equal(seen.n_calls, 0);
    audit_calls_free(seen.calls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(arguments_are_read_by_name_and_as_version_0_1_wrote_them),
        kit_test(what_a_record_does_not_hold_is_unknown),
        kit_test(who_refused_is_told_apart),
        kit_test(what_is_no_record_of_a_call_tells_of_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
