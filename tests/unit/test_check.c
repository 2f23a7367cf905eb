/* The checker and the world: files that use files, keys and their hosts. What it says of a file
 * by itself stands in tests/policy. */
#include "policy_kit.h"

/* ---- files ---------------------------------------------------------------------------------
 */

struct files {
    struct sp_source list[8];
    size_t n, reads;
};

static sp_status read_use(void *user, const char *from, struct sp_text name,
                          struct sp_source *ret_source, struct sp_error *err)
{
    struct files *files = user;
    assert_non_null(from);
    files->reads++;
    for (size_t i = 0; i < files->n; i++) {
        if (sp_text_is(name, files->list[i].name)) {
            *ret_source = files->list[i];
            return SP_OK;
        }
    }
    return sp_fail(err, SP_ENOENT, "there is no file %.*s", (int)name.len, name.ptr);
}

static void add(struct files *files, const char *name, const char *text)
{
    files->list[files->n++] = (struct sp_source){name, sp_text_of(text)};
}

/* Compile the first `given` files; the others are there to be used. */
static sp_status compile(struct kit *kit, struct files *files, size_t given)
{
    struct sp_world world = {.user = files, .read_use = read_use};
    sp_diags_done(&kit->diags);
    sp_diags_init(&kit->diags);
    sp_policy_free(kit->policy);
    kit->policy = NULL;
    return sp_policy_compile(files->list, given, &world, &kit->diags, &kit->policy);
}

#define SCOPE(name)                                                                            \
    "sallyport 1\nscope " name " {\n  key k\n  ttl 1h\n  allow GET https://h.test/\n}\n"

static void a_used_file_is_part_of_the_policy_once(void **state)
{
    struct kit *kit = *state;
    struct files files = {.n = 0};
    add(&files, "a", SCOPE("a") "use \"c\"\nuse \"b\"\n");
    add(&files, "b", SCOPE("b") "use \"c\"\n");
    add(&files, "c", SCOPE("c"));
    assert_int_equal(compile(kit, &files, 1), SP_OK);
    assert_int_equal(sp_policy_n_scopes(kit->policy), 3);
    assert_non_null(sp_policy_find_scope(kit->policy, SP_TEXT("c")));
    assert_null(sp_policy_find_scope(kit->policy, SP_TEXT("d")));
    /* given as well, in either order: still once */
    assert_int_equal(compile(kit, &files, 3), SP_OK);
    assert_int_equal(sp_policy_n_scopes(kit->policy), 3);
}

static void files_that_use_each_other_in_a_cycle_are_refused(void **state)
{
    struct kit *kit = *state;
    struct files files = {.n = 0};
    add(&files, "a", SCOPE("a") "use \"b\"\n");
    add(&files, "b", SCOPE("b") "use \"c\"\n");
    add(&files, "c", SCOPE("c") "use \"a\"\n");
    assert_int_equal(compile(kit, &files, 1), SP_EINVAL);
    assert_true(kit_said(kit, "E063", NULL));
    assert_int_equal(compile(kit, &files, 3), SP_EINVAL);
    assert_true(kit_said(kit, "E063", NULL));
    struct files self = {.n = 0};
    add(&self, "a", "sallyport 1\nuse \"a\"\n");
    assert_int_equal(compile(kit, &self, 1), SP_EINVAL);
    assert_true(kit_said(kit, "E063", NULL));
}

/* A caller can print only the sources that it gave. */
static void a_fault_in_a_used_file_is_shown_at_its_use(void **state)
{
    struct kit *kit = *state;
    struct files files = {.n = 0};
    const struct sp_diag *diag = NULL;
    add(&files, "a", "sallyport 1\n# one\nuse \"b\"\n");
    add(&files, "b", "sallyport 1\nuse \"c\"\n");
    add(&files, "c", SCOPE("c") "\nscope d {\n  key k\n  allow GET https://h.test/{x}\n}\n");
    assert_int_equal(compile(kit, &files, 1), SP_EINVAL);
    assert_true(kit_said(kit, "E107", &diag)); /* found by the checker, long after parsing */
    assert_int_equal(diag->span.source, 0);
    assert_int_equal(diag->span.start, (uint32_t)strlen("sallyport 1\n# one\nuse "));
    assert_string_equal(diag->message, "c:10:28: there is no parameter 'x'");
    sp_diags_print(&kit->diags, files.list, false, &kit->text);
    assert_non_null(strstr(kit->text.ptr, "use \"b\"\n        ^~~"));
}

static void a_file_that_is_not_there_is_an_error_with_its_name(void **state)
{
    struct kit *kit = *state;
    struct files files = {.n = 0};
    const struct sp_diag *diag = NULL;
    add(&files, "a", "sallyport 1\nuse \"missing\"\n");
    assert_int_equal(compile(kit, &files, 1), SP_EINVAL);
    assert_true(kit_said(kit, "E061", &diag));
    assert_string_equal(diag->message, "there is no file missing");
    assert_int_equal(kit_compile(kit, "sallyport 1\nuse \"a\"\n"), SP_EINVAL);
    assert_true(kit_said(kit, "E061", NULL));
}

/* A file that always uses yet another one. */
static sp_status read_endless(void *user, const char *from, struct sp_text name,
                              struct sp_source *ret_source, struct sp_error *err)
{
    struct kit *kit = user;
    (void)from;
    (void)err;
    struct sp_buf text;
    sp_buf_init(&text, 4096);
    sp_buf_addf(&text, "sallyport 1\nuse \"%.*sx\"\n", (int)name.len, name.ptr);
    ret_source->name = sp_arena_copy(&kit->arena, name).ptr;
    ret_source->text = sp_arena_copy(&kit->arena, sp_buf_text(&text));
    sp_buf_done(&text);
    return SP_OK;
}

static void use_does_not_go_on_for_ever(void **state)
{
    struct kit *kit = *state;
    struct sp_world world = {.user = kit, .read_use = read_endless};
    assert_int_equal(kit_compile_in(kit, &world, SP_TEXT("sallyport 1\nuse \"x\"\n")),
                     SP_EINVAL);
    assert_true(kit_said(kit, "E061", NULL));
}

/* ---- keys ----------------------------------------------------------------------------------
 */

static bool key_hosts(void *user, struct sp_text id, const struct sp_text **ret_hosts,
                      size_t *ret_n_hosts)
{
    static const struct sp_text hosts[] = {{"api.test", 8}, {"files.test", 10}};
    (void)user;
    *ret_hosts = hosts;
    *ret_n_hosts = sp_text_is(id, "both") ? 2 : 1;
    return sp_text_is(id, "both") || sp_text_is(id, "api");
}

/* T61: a rule can name only hosts that a key of its scope is for. */
static void T61_a_rule_for_another_host_than_the_keys_does_not_compile(void **state)
{
    struct kit *kit = *state;
    struct sp_world world = {.key_hosts = key_hosts};
    static const struct {
        const char *rules;
        bool good;
        const char *code;
    } cases[] = {
        {"key api\n allow GET https://api.test/", true, ""},
        {"key api\n allow GET https://API.test./", true, ""},
        {"key api\n allow GET https://files.test/", false, "E123"},
        {"key api\n key both\n allow GET https://files.test/", true, ""},
        {"key api\n allow GET https://api.test.evil.test/", false, "E123"},
        {"key api\n deny GET https://evil.test/", false, "E123"},
        {"key lost\n allow GET https://api.test/", false, "E122"},
        {"key lost, both\n allow GET https://files.test/", false, "E122"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sp_buf text;
        sp_buf_init(&text, 4096);
        sp_buf_addf(&text, "sallyport 1\nscope s {\n ttl 1h\n %s\n}\n", cases[i].rules);
        assert_int_equal(kit_compile_in(kit, &world, sp_buf_text(&text)),
                         cases[i].good ? SP_OK : SP_EINVAL);
        assert_true(cases[i].good || kit_said(kit, cases[i].code, NULL));
        sp_buf_done(&text);
    }
}

/* ---- what a policy declares ----------------------------------------------------------------
 */

static void declarations_can_be_read_back(void **state)
{
    struct kit *kit = *state;
    assert_int_equal(
        kit_compile(kit, "sallyport 1\n"
                         "scope repo(owner, name) {\n"
                         "  key k1, k2\n  key \"k 3\"\n  ttl 90m\n  rate 30/min burst 5\n"
                         "  mode observe\n"
                         "  @get allow {GET HEAD} https://h.test:8443/{owner}/{name}\n"
                         "    rate 5/s\n"
                         "  deny POST https://h.test/ where header.X-A = \"1\"\n"
                         "}\n"
                         "client c { curve \"Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID\" }\n"
                         "principal p {\n"
                         "  curve \"rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7\"\n"
                         "  may issue repo(owner = \"acme\", name = *) for 10m, 5 live\n"
                         "}\n"),
        SP_OK);
    const struct sp_scope *scope = sp_policy_scope(kit->policy, 0);
    assert_true(sp_text_is(sp_scope_name(scope), "repo"));
    assert_int_equal(sp_scope_n_keys(scope), 3);
    assert_true(sp_text_is(sp_scope_key(scope, 2), "k 3"));
    assert_int_equal(sp_scope_ttl_ms(scope), 90 * 60000);
    assert_int_equal(sp_scope_until_ms(scope), 0);
    assert_int_equal(sp_scope_rate(scope).count, 30);
    assert_int_equal(sp_scope_rate(scope).window_ms, 60000);
    assert_int_equal(sp_scope_rate(scope).burst, 5);
    assert_true(sp_scope_observes(scope));
    assert_int_equal(sp_scope_n_params(scope), 2);
    assert_true(sp_text_is(sp_scope_param(scope, 1), "name"));
    assert_int_equal(sp_scope_n_rules(scope), 2);
    const struct sp_rule *get = sp_scope_rule(scope, 0), *deny = sp_scope_rule(scope, 1);
    assert_false(sp_rule_denies(get));
    assert_true(sp_text_is(sp_rule_label(get), "get"));
    assert_int_equal(sp_rule_methods(get), SP_METHOD_GET | SP_METHOD_HEAD);
    assert_true(sp_text_is(sp_rule_host(get), "h.test"));
    assert_int_equal(sp_rule_rate(get).count, 5);
    assert_int_equal(sp_rule_rate(get).window_ms, 1000);
    assert_true(sp_rule_denies(deny));
    assert_true(sp_text_is(sp_rule_label(deny), "rule 2"));
    assert_true(sp_scope_reads_header(scope, SP_TEXT("x-a")));
    assert_false(sp_scope_reads_header(scope, SP_TEXT("x-b")));
    assert_int_equal(sp_policy_n_identities(kit->policy), 2);
    const struct sp_identity *c = sp_policy_identity(kit->policy, 0);
    const struct sp_identity *p = sp_policy_identity(kit->policy, 1);
    assert_false(c->principal);
    assert_string_equal(c->curve, "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID");
    assert_true(p->principal);
    assert_int_equal(p->n_grants, 1);
    assert_true(sp_text_is(p->grants[0].scope, "repo"));
    assert_int_equal(p->grants[0].ttl_ms, 600000);
    assert_int_equal(p->grants[0].live_max, 5);
    assert_int_equal(p->grants[0].n_args, 2);
    assert_false(p->grants[0].args[0].any);
    assert_true(sp_text_is(p->grants[0].args[0].value, "acme"));
    assert_true(p->grants[0].args[1].any);
}

static void an_empty_list_of_sources_is_an_empty_policy(void **state)
{
    struct kit *kit = *state;
    assert_int_equal(sp_policy_compile(NULL, 0, NULL, &kit->diags, &kit->policy), SP_OK);
    assert_int_equal(sp_policy_n_scopes(kit->policy), 0);
    assert_null(sp_policy_find_scope(kit->policy, SP_TEXT("s")));
    assert_int_equal(sp_policy_n_identities(kit->policy), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_used_file_is_part_of_the_policy_once),
        kit_test(files_that_use_each_other_in_a_cycle_are_refused),
        kit_test(a_fault_in_a_used_file_is_shown_at_its_use),
        kit_test(a_file_that_is_not_there_is_an_error_with_its_name),
        kit_test(use_does_not_go_on_for_ever),
        kit_test(T61_a_rule_for_another_host_than_the_keys_does_not_compile),
        kit_test(declarations_can_be_read_back),
        kit_test(an_empty_list_of_sources_is_an_empty_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
