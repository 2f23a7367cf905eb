/* The parser's limits and its way back from mistakes; what it says stands in tests/policy. */
#include "policy_kit.h"

#include <time.h>

static double seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void add_times(struct sp_buf *buf, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sp_buf_add_str(buf, text);
    }
}

static void one_run_shows_several_mistakes(void **state)
{
    struct kit *kit = *state;
    assert_int_equal(kit_compile(kit,
                                 "sallyport 1\n"
                                 "scope a {\n  key 5\n  ttl soon\n  allow GRT https://h/\n}\n"
                                 "lett x = {1}\n"
                                 "scope b {\n  allow GET https://h/ where body.x ? 1\n}\n"),
                     SP_EINVAL);
    assert_int_equal(kit->diags.n_errors, 5);
}

static void a_typo_gets_a_suggestion(void **state)
{
    struct kit *kit = *state;
    static const struct {
        const char *text, *fix;
    } cases[] = {
        {"sallyport 1\nscop s { }", "did you mean 'scope'?"},
        {"sallyport 1\nscope s {\n  alow GET https://h/\n}", "did you mean 'allow'?"},
        {"sallyport 1\nscope s {\n  allow get https://h/\n}", "did you mean 'GET'?"},
        {"sallyport 1\nscope s {\n  allow DELTE https://h/\n}", "did you mean 'DELETE'?"},
        {"sallyport 1\nscope s {\n  @x denny GET https://h/\n}", "did you mean 'deny'?"},
        {"sallyport 1\nscope s {\n  allow GET https://h/ where bdy.x = 1\n}",
         "did you mean 'body'?"},
        {"sallyport 1\nscope s(owner) {\n  key k\n  allow GET https://h/{ownr}\n}",
         "did you mean 'owner'?"},
        {"sallyport 1\nlet reasons = {1}\nscope s {\n  key k\n"
         "  allow GET https://h/ where body.x in raesons\n}",
         "did you mean 'reasons'?"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool found = false;
        assert_int_equal(kit_compile(kit, cases[i].text), SP_EINVAL);
        for (const struct sp_diag *d = kit->diags.first; d; d = d->next) {
            found = found || (d->fix && strcmp(d->fix, cases[i].fix) == 0);
        }
        if (!found) {
            print_error("%s\n", cases[i].text);
        }
        assert_true(found);
    }
}

/* T20: whatever part of a file was written, it compiles only where it is whole. */
static void T20_no_beginning_of_a_policy_compiles(void **state)
{
    struct kit *kit = *state;
    const char *text = "sallyport 1\nscope s {\n  key k\n  ttl 1h\n"
                       "  @a allow GET https://h.test/a where query.x in {\"1\", \"2\"}\n"
                       "    rate 5/min\n"
                       "  deny * https://h.test/a/b\n"
                       "  expect allow GET https://h.test/a?x=1 -> @a\n}";
    size_t whole = strlen(text), head = strlen("sallyport 1");
    assert_int_equal(kit_compile(kit, text), SP_OK);
    for (size_t len = 0; len < whole; len++) {
        /* Cut from a copy of that size, so that the sanitizers see a read behind its end. */
        char *part = malloc(len + 1);
        memcpy(part, text, len);
        sp_status status = kit_compile_in(kit, NULL, (struct sp_text){part, len});
        bool nothing_yet = len >= head && len <= head + 1; /* a file that declares nothing */
        if (status != (nothing_yet ? SP_OK : SP_EINVAL)) {
            print_error("%.*s\n", (int)len, text);
            fail();
        }
        assert_true(nothing_yet || kit->policy == NULL);
        if (nothing_yet) {
            assert_int_equal(sp_policy_n_scopes(kit->policy), 0);
        }
        free(part);
    }
}

static void nesting_ends_at_a_limit(void **state)
{
    struct kit *kit = *state;
    for (unsigned deep = 0; deep < 2; deep++) {
        size_t n = deep ? 100000 : 63;
        struct sp_buf text;
        sp_buf_init(&text, SP_SOURCE_MAX_BYTES);
        sp_buf_add_str(&text, "sallyport 1\nscope s {\n key k\n allow GET https://h/ where ");
        add_times(&text, "(", n);
        sp_buf_add_str(&text, "body.a = 1");
        add_times(&text, ")", n);
        sp_buf_add_str(&text, "\n}\n");
        assert_int_equal(kit_compile_in(kit, NULL, sp_buf_text(&text)),
                         deep ? SP_EINVAL : SP_OK);
        assert_int_equal(kit_said(kit, "E026", NULL), deep);
        sp_buf_reset(&text);
        sp_buf_add_str(&text, "sallyport 1\nscope s {\n key k\n allow GET https://h/\n"
                              " expect deny POST https://h/ json ");
        add_times(&text, "[", n);
        add_times(&text, "]", n);
        sp_buf_add_str(&text, "\n}\n");
        assert_int_equal(kit_compile_in(kit, NULL, sp_buf_text(&text)),
                         deep ? SP_EINVAL : SP_OK);
        sp_buf_reset(&text);
        sp_buf_add_str(&text, "sallyport 1\nscope s {\n key k\n allow GET https://h/ where ");
        add_times(&text, "not ", n);
        sp_buf_add_str(&text, "body.a = 1\n}\n");
        assert_int_equal(kit_compile_in(kit, NULL, sp_buf_text(&text)),
                         deep ? SP_EINVAL : SP_OK);
        sp_buf_done(&text);
    }
}

static void a_condition_of_a_thousand_nodes_is_the_longest(void **state)
{
    struct kit *kit = *state;
    for (size_t n = 500; n <= 501; n++) { /* n atoms and n - 1 times `or` */
        struct sp_buf text;
        sp_buf_init(&text, SP_SOURCE_MAX_BYTES);
        sp_buf_add_str(&text, "sallyport 1\nscope s {\n key k\n allow GET https://h/ where ");
        add_times(&text, "query.a = 1 or ", n - 1);
        sp_buf_add_str(&text, "query.a = 1\n}\n");
        assert_int_equal(kit_compile_in(kit, NULL, sp_buf_text(&text)),
                         n == 500 ? SP_OK : SP_EINVAL);
        sp_buf_done(&text);
    }
}

static void a_source_has_a_size_and_is_utf8(void **state)
{
    struct kit *kit = *state;
    char *big = malloc(SP_SOURCE_MAX_BYTES + 1);
    memset(big, ' ', SP_SOURCE_MAX_BYTES + 1);
    memcpy(big, "sallyport 1", 11);
    assert_int_equal(kit_compile_in(kit, NULL, (struct sp_text){big, SP_SOURCE_MAX_BYTES}),
                     SP_OK);
    assert_int_equal(kit_compile_in(kit, NULL, (struct sp_text){big, SP_SOURCE_MAX_BYTES + 1}),
                     SP_EINVAL);
    assert_true(kit_said(kit, "E062", NULL));
    free(big);
    assert_int_equal(kit_compile(kit, "sallyport 1\n# \xff\n"), SP_EINVAL);
    assert_true(kit_said(kit, "E062", NULL));
}

static void lists_have_limits(void **state)
{
    struct kit *kit = *state;
    static const struct {
        const char *head, *item, *tail;
        size_t good;
        const char *code;
    } cases[] = {
        {"let s = {0", ", 1", "}\n", 9999, "E022"},
        {"scope s(p0", ", p", ") { key k }\n", 31, "E046"},
        {"scope s { key k0", ", k", "\n}\n", 255, "E043"},
        {"", "let x = {1}\n", "", 1000, "E043"},
        {"", "scope x { key k }\n", "", 10000, "E043"},
        {"", "client c { }\n", "", 10000, "E043"},
        {"principal p {\n", "may issue s\n", "}\n", 256, "E043"},
        {"scope s {\n key k\n", "allow GET https://h.test/\n", "}\n", 100000, "E043"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t more = 0; more < 2; more++) {
            struct sp_buf text;
            sp_buf_init(&text, SP_SOURCE_MAX_BYTES);
            sp_buf_addf(&text, "sallyport 1\n%s", cases[i].head);
            add_times(&text, cases[i].item, cases[i].good + more);
            sp_buf_add_str(&text, cases[i].tail);
            (void)kit_compile_in(kit, NULL, sp_buf_text(&text));
            /* names that come twice are errors of their own, found later */
            assert_int_equal(kit_said(kit, cases[i].code, NULL), more);
            sp_buf_done(&text);
        }
    }
}

/* T22: the time grows as the text does, for everything that repeats. */
static void T22_the_largest_sources_compile_in_linear_time(void **state)
{
    struct kit *kit = *state;
    static const char *const items[] = {
        "allow GET https://h.test/a/*/b*/{n:int}/** where body.a in {1, 2} and query.b = 5\n",
        "deny * https://h.test/a*/a*/a*/a*/a*/a*/a*/a*/a*/a*/a*/a*/a*/a*/a*/**\n",
        "expect deny POST https://h.test/x json {a: {b: [1, 2, {c: null}]}}\n",
        "? ? ? ?\n",
        "{{{{[[[[((((\n",
        "allow GET https://h.test/ where ((((((((not body.a\n",
        "key a\n",
    };
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        double took[2];
        for (size_t big = 0; big < 2; big++) {
            struct sp_buf text;
            size_t n = (big ? 2000000 : 250000) / strlen(items[i]);
            sp_buf_init(&text, SP_SOURCE_MAX_BYTES);
            sp_buf_add_str(&text, "sallyport 1\nscope s {\n key k\n");
            add_times(&text, items[i], n);
            sp_buf_add_str(&text, "\n}\n");
            double start = seconds();
            (void)kit_compile_in(kit, NULL, sp_buf_text(&text));
            took[big] = seconds() - start;
            sp_buf_done(&text);
        }
        /* eight times the text; sixty-four would be quadratic */
        if (took[1] > 32 * took[0] + 0.5) {
            print_error("%s: %.3f s, then %.3f s\n", items[i], took[0], took[1]);
            fail();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(one_run_shows_several_mistakes),
        kit_test(a_typo_gets_a_suggestion),
        kit_test(T20_no_beginning_of_a_policy_compiles),
        kit_test(nesting_ends_at_a_limit),
        kit_test(a_condition_of_a_thousand_nodes_is_the_longest),
        kit_test(a_source_has_a_size_and_is_utf8),
        kit_test(lists_have_limits),
        kit_test(T22_the_largest_sources_compile_in_linear_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
