/* Memory that runs out anywhere in the compiler, the checker, inclusion and the matcher: each
 * allocation of an operation fails in turn. The operation must say so, lose nothing (the
 * sanitizers look) and, where it answers all the same, answer as it does with memory: a deny
 * that was lost on the way would be a hole. */
#include "policy_kit.h"

#include "fail_alloc.h"

enum { TURNS_MAX = 200000, TEXT_MAX = 8 << 20 };

#define Z85_A "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define Z85_B "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"

/* ---- the world ------------------------------------------------------------------------
 */

#define T(literal)                                                                             \
    {                                                                                          \
        literal, sizeof(literal) - 1                                                           \
    }

static const struct sp_text world_host = T("h.test");
static const struct sp_catalogue_action world_actions[] = {
    {T("hooks.create"), T("/hooks"), SP_METHOD_POST, true, false, false, NULL},
    {T("hooks.again"), T("/hooks"), SP_METHOD_POST, true, false, false, NULL},
    {T("keys.add"), T("/repos/{owner}/keys"), SP_METHOD_POST, true, false, false, NULL},
    {T("files.put"), T("/files/{path...}"), SP_METHOD_PUT, true, false, false, NULL},
    {T("read"), T("/v1/things"), SP_METHOD_GET, false, false, false, NULL},
    {T("read2"), T("/v1/of/things"), SP_METHOD_GET, false, false, false, NULL},
    {T("graphql"), T("/graphql"), SP_METHOD_POST, true, true, false, NULL},
};
static const struct sp_catalogue world_catalogue = {
    T("prov"), &world_host, 1, world_actions, sizeof world_actions / sizeof *world_actions};

static size_t catalogues(void *user, struct sp_text id, const struct sp_catalogue **ret_list)
{
    (void)user;
    *ret_list = &world_catalogue;
    return sp_text_is(id, "none") ? 0 : 1;
}

static bool key_hosts(void *user, struct sp_text id, const struct sp_text **ret_hosts,
                      size_t *ret_n_hosts)
{
    (void)user;
    (void)id;
    *ret_hosts = &world_host;
    *ret_n_hosts = 1;
    return true;
}

static sp_status read_use(void *user, const char *from, struct sp_text name,
                          struct sp_source *ret_source, struct sp_error *err)
{
    (void)user;
    (void)from;
    (void)err;
    static const char good[] = "sallyport 1\nlet words = {\"a\", \"b\", \"c\"}\n";
    static const char bad[] = "sallyport 1\nlet words = {}\n";
    *ret_source =
        (struct sp_source){"used.scope", sp_text_of(sp_text_is(name, "bad") ? bad : good)};
    return SP_OK;
}

static const struct sp_world outside = {
    .key_hosts = key_hosts, .catalogues = catalogues, .read_use = read_use};

/* ---- turns ----------------------------------------------------------------------------
 */

/* Does it once; what came out is appended to said, which is made with memory. */
typedef sp_status (*operation_fn)(void *user, struct sp_buf *said);

static void with_memory(void)
{
    fail_alloc_at = SIZE_MAX;
}

/* An operation may finish without what failed only where its answer is the same without it. */
static void each_allocation_fails(operation_fn operation, void *user, bool may_do_without)
{
    struct sp_buf whole, said;
    sp_buf_init(&whole, TEXT_MAX);
    sp_buf_init(&said, TEXT_MAX);
    sp_status good = operation(user, &whole);
    size_t turn = 0, refused = 0;
    for (bool failed = true; failed; turn++) {
        assert_true(turn < TURNS_MAX);
        sp_buf_reset(&said);
        size_t first = fail_alloc_count;
        fail_alloc_at = first + turn;
        sp_status status = operation(user, &said);
        with_memory();
        failed = fail_alloc_count - first > turn;
        refused += status != good;
        bool same = status == good && sp_text_eq(sp_buf_text(&said), sp_buf_text(&whole));
        if (!same && (status != SP_ENOMEM || said.len > 0)) {
            print_error("allocation %zu: status %d\n%s\n---- with memory: %d\n%s\n", turn,
                        (int)status, said.ptr ? said.ptr : "", (int)good,
                        whole.ptr ? whole.ptr : "");
            fail();
        }
    }
    assert_true(turn > 1 && (may_do_without || refused > 0));
    sp_buf_done(&said);
    sp_buf_done(&whole);
}

/* ---- compile --------------------------------------------------------------------------
 */

/* What an operation says of a policy and of its diagnostics. */
static void tell_policy(const struct sp_policy *policy, const struct sp_diags *diags,
                        struct sp_buf *said)
{
    for (const struct sp_diag *diag = diags->first; diag; diag = diag->next) {
        if (strcmp(diag->code, "W193") == 0) {
            continue; /* a hint, which may be left out */
        }
        sp_buf_addf(said, "%s %s %s\n", diag->code, diag->message, diag->fix ? diag->fix : "");
    }
    for (size_t i = 0; policy && i < sp_policy_n_scopes(policy); i++) {
        const struct sp_scope *scope = sp_policy_scope(policy, i);
        for (size_t r = 0; r < sp_scope_n_rules(scope); r++) {
            struct sp_text label = sp_rule_label(sp_scope_rule(scope, r));
            sp_buf_addf(said, "%.*s ", (int)label.len, label.ptr);
        }
        if (sp_scope_n_params(scope) == 0) {
            sp_scope_print(scope, said);
        }
    }
}

static bool was_said(const struct sp_diags *diags, const char *code)
{
    bool found = false;
    for (const struct sp_diag *diag = diags->first; diag && !found; diag = diag->next) {
        found = strcmp(diag->code, code) == 0;
    }
    return found;
}

static sp_status compile(void *user, struct sp_buf *said)
{
    struct sp_source source = {"test.scope", sp_text_of(user)};
    struct sp_diags diags;
    struct sp_policy *policy = NULL;
    sp_diags_init(&diags);
    sp_status status = sp_policy_compile(&source, 1, &outside, &diags, &policy);
    bool failed = fail_alloc_count > fail_alloc_at;
    with_memory();
    assert_int_equal(policy != NULL, status == SP_OK);
    if (status == SP_ENOMEM) {
        assert_true(failed);
    } else if (failed && was_said(&diags, "E172")) {
        status = SP_ENOMEM; /* a proof that ran out of memory was too hard */
    } else {
        tell_policy(policy, &diags, said);
    }
    sp_policy_free(policy);
    sp_diags_done(&diags);
    return status;
}

static void compiles(const char *text)
{
    each_allocation_fails(compile, (void *)(uintptr_t)text, false);
}

static void a_policy_is_whole_or_out_of_memory(void **state)
{
    (void)state;
    compiles("sallyport 1\nuse \"words\"\n"
             "let home = https://h.test/home/{n:int}/*\n"
             "scope wide(owner, word) {\n  key k\n  key \"k2\"\n  ttl 4h\n"
             "  rate 30/min burst 5\n  budget count <= 5 per day\n"
             "  allow GET https://h.test/{owner}/**\n    rate 5/s\n"
             "  @a allow POST https://h.test/a where body.x in words and body.n in 1..5\n"
             "    and header.X-Tenant = \"t\" and not any(body.l).k = word\n"
             "    and body only {x, n, l} and (query.q starts \"a\" or has query.r)\n"
             "    budget sum(body.n) <= 50 per day per token\n"
             "  @home allow {GET PUT} home where path.n > 3\n"
             "  @no deny DELETE https://h.test/%41*/x/\n"
             "  expect deny given (owner = \"o\", word = \"w\") POST https://h.test/b\n"
             "    json {a: [1, \"t\", {b: null}]} header x-tenant = \"t\"\n"
             "  expect allow given (owner = \"o\", word = \"v\") GET https://h.test/o/b \n"
             "}\n");
    compiles("sallyport 1\nscope s { key k ttl 1h allow GET https://h.test/**\n"
             "  @p allow POST https://h.test/p where body.x in {\"b\", \"a\"}\n"
             "  expect allow GET https://h.test/b\n"
             "  expect deny POST https://h.test/p form {a: \"1\"} -> @p\n"
             "  expect deny GET https://h.test/../b }\n"
             "scope t narrows s { key k ttl 1h allow GET https://h.test/a/*\n"
             "  expect deny DELETE https://h.test/a }\n");
}

/* T22: what the provider marks as escalating stays denied, or nothing is compiled. */
static void T22_no_deny_of_what_escalates_is_lost(void **state)
{
    (void)state;
    compiles("sallyport 1\nscope s(o) { key none\n key k\n ttl 1h\n"
             "  allow * https://h.test/**\n"
             "  allow POST https://h.test/repos/acme/keys where body.x = 1 escalates\n"
             "  allow POST https://h.test/repos/{o}/keys escalates\n"
             "  allow PUT https://h.test/files/a/b escalates\n"
             "  @d deny GET https://h.test/v1/things }\n"
             "scope t { key k ttl 1h allow * https://h.test/**\n"
             "  expect deny POST https://h.test/hooks }\n");
}

static void principals_and_clients_are_all_there_or_none(void **state)
{
    (void)state;
    compiles("sallyport 1\nscope s(o) { key k ttl 1h allow GET https://h.test/{o} }\n"
             "client a { curve \"" Z85_A "\" }\n"
             "principal p {\n curve \"" Z85_B "\"\n may issue s(o = \"x\") for 1h, 5 live\n"
             " may issue s(o = *)\n}\n");
}

static void mistakes_are_all_told_or_memory_ran_out(void **state)
{
    (void)state;
    compiles("sallyport 1\nuse \"bad\"\nlet u = {1}\n");
    compiles("sallyport 1\nlet a = {1, \"x\"}\nlet a = {2}\n"
             "scope s(p, p) { key k allow GET https://h.test/{q} where body.x in b\n"
             "  allow GET https://h.test/{m:int}/x where path.n = 1 and header.H < 3 }\n"
             "scope s { ttl 1h }\nclient c { }\nclient c { curve \"" Z85_A "\" }\n"
             "client d { curve \"" Z85_A "\" }\nprincipal e { curve \"" Z85_B "\"\n"
             "  may issue scop\n may issue s(a = \"1\") for 2h }\n");
    compiles("sallyport 1\nscope s { key k ttl 1h allow GET https://h.test/a\n"
             "  expect allow GET https://h.test/b -> @c\n"
             "  expect allow given (x = \"1\") GET https://h.test/a\n"
             "  expect allow GET https://h.test/../a }\n");
    compiles("sallyport 1\nscope s { key k ttl 1h allow GET https://h.test/a b }\n");
}

/* ---- scopes ---------------------------------------------------------------------------
 */

/* What made a scope, or did not. */
static sp_status told(sp_status status, struct sp_scope *scope, struct sp_buf *said)
{
    with_memory();
    assert_int_equal(scope != NULL, status == SP_OK);
    if (scope) {
        sp_scope_print(scope, said);
    }
    sp_scope_free(scope);
    return status;
}

static sp_status freeze(void *user, struct sp_buf *said)
{
    const struct sp_arg args[] = {{T("o"), T("x y")}, {T("w"), T("*")}};
    struct sp_scope *frozen = NULL;
    struct sp_error err = {""};
    sp_status status = sp_scope_freeze(user, args, 2, &frozen, &err);
    return told(status, frozen, said);
}

static sp_status parse(void *user, struct sp_buf *said)
{
    struct sp_scope *scope = NULL;
    struct sp_error err = {""};
    sp_status status = sp_scope_parse(sp_text_of(user), &scope, &err);
    return told(status, scope, said);
}

static sp_status parse_caveat(void *user, struct sp_buf *said)
{
    struct sp_scope *scope = NULL;
    struct sp_error err = {""};
    sp_status status = sp_caveat_parse(sp_text_of(user), &scope, &err);
    return told(status, scope, said);
}

static sp_status build_domains(void *user, struct sp_buf *said)
{
    static const struct sp_text keys[] = {T("k")}, hosts[] = {T("h.test"), T("i.test")};
    struct sp_scope *scope = NULL;
    struct sp_error err = {""};
    sp_status status =
        sp_scope_of_domains(user, SP_TEXT("json"), keys, 1, SP_METHOD_GET | SP_METHOD_POST,
                            hosts, 2, 30, 1000, &scope, &err);
    return told(status, scope, said);
}

static void a_frozen_scope_is_whole_or_out_of_memory(void **state)
{
    struct kit *kit = *state;
    assert_int_equal(
        kit_compile(kit, "sallyport 1\nscope s(o, w) { key k ttl 1h rate 5/min\n"
                         " budget count <= 5 per day\n"
                         " allow POST https://h.test/{o}/{n:int}/b*\n"
                         "   where body.x in {\"b\", w} and not any(body.l).k starts w\n"
                         "   and header.x-a = o and body only {x} and body.n in 1..5\n"
                         "   rate 5/s\n   budget sum(body.n) <= 3 per day\n"
                         " deny * https://h.test/{o}/** where query.y = 1 or has body.z }\n"),
        SP_OK);
    each_allocation_fails(freeze, (void *)(uintptr_t)sp_policy_scope(kit->policy, 0), false);
    kit_scope(kit, "allow POST https://h.test/x where body.a in {1, 2} and header.b = \"c\"\n"
                   "deny GET https://h.test/y/** where not has query.z");
    struct sp_buf canonical;
    sp_buf_init(&canonical, TEXT_MAX);
    sp_scope_print(sp_policy_scope(kit->policy, 0), &canonical);
    each_allocation_fails(parse, canonical.ptr, false);
    sp_buf_done(&canonical);
}

static void T22_a_scope_of_domains_keeps_its_denies_or_is_none(void **state)
{
    struct kit *kit = *state;
    assert_int_equal(kit_compile_in(kit, &outside,
                                    SP_TEXT("sallyport 1\nscope s { key k ttl 1h\n"
                                            " allow GET https://h.test/** }\n")),
                     SP_OK);
    each_allocation_fails(build_domains, kit->policy, false);
    each_allocation_fails(build_domains, NULL, false);
}

static void a_caveat_is_whole_or_none(void **state)
{
    (void)state;
    static char good[] = "until 2030-01-01T00:00:00Z\nallow GET https://h.test/a/{n:int} where "
                         "path.n in {1, 2}\ndeny * https://h.test/b/**";
    static char bad[] = "allow GET https://h.test/a where body.x in c";
    each_allocation_fails(parse_caveat, good, false);
    each_allocation_fails(parse_caveat, bad, false);
}

/* ---- inclusion ------------------------------------------------------------------------
 */

struct pair {
    const struct sp_scope *outer, *inner;
};

/* A refusal to prove is how inclusion says that memory ran out. */
static sp_status include(void *user, struct sp_buf *said)
{
    const struct pair *pair = user;
    struct sp_witness witness = {.found = false};
    struct sp_error why = {""};
    enum sp_inclusion result = sp_scope_compare(pair->outer, pair->inner, true, &witness, &why);
    with_memory();
    if (witness.found) {
        struct sp_verdict inner, outer; /* whatever was lost, it is a real one */
        sp_scope_match(pair->inner, &witness.request, &inner);
        sp_scope_match(pair->outer, &witness.request, &outer);
        assert_true(inner.allowed && !outer.allowed);
        sp_witness_done(&witness);
    }
    if (result != SP_TOO_HARD) {
        sp_buf_addf(said, "%d", (int)result);
    }
    return result == SP_TOO_HARD ? SP_ENOMEM : SP_OK;
}

static void includes(struct kit *kit, const char *outer, const char *inner)
{
    const struct sp_scope *wide = kit_scope(kit, outer);
    struct sp_policy *first = kit->policy;
    kit->policy = NULL;
    struct pair pair = {wide, kit_scope(kit, inner)};
    each_allocation_fails(include, &pair, true);
    sp_policy_free(first);
}

#define H "https://h.test"

static void T14_inclusion_without_memory_is_never_proved(void **state)
{
    struct kit *kit = *state;
    includes(kit, "allow POST " H "/a where body.x in 1..9\nallow POST " H "/b",
             "allow POST " H "/a where body.x in 2..3");
    includes(kit,
             "allow POST " H "/n where body.n in 1..5\nallow POST " H "/n where body.n in 6..9",
             "allow POST " H "/n where body.n in 2..8");
    includes(kit,
             "allow POST " H "/n where body.n in 1..5\nallow POST " H "/n where body.n in 6..9",
             "allow POST " H "/n where body.n in 2..10");
    includes(kit,
             "allow * " H "/**\ndeny * " H "/Ab*/{n:int}/c where body.x = true\n"
             "deny GET " H "/a/b",
             "allow * " H "/{s:slash}/*/c where any(body.l).k = 3 and body.x = true");
    includes(kit,
             "allow POST " H "/a where any(body.l).k = \"u\" and header.x = \"h\"\n"
             "allow POST " H "/a where not header.x = \"h\" and has header.x",
             "allow POST " H "/a where any(body.l).k in {\"u\", \"v\"} and has header.x");
    includes(kit,
             "allow GET " H "/q where query.a.b starts \"ch\" and query only {a}\n"
             "allow GET " H "/q where query.a.b = \"x\"",
             "allow GET " H "/q where query.a.b in {\"chx\", \"x\", \"y\"}");
    /* Only the literal of the deny finds it. */
    includes(kit, "allow GET " H "/**\ndeny GET " H "/secret/x", "allow GET " H "/**");
    includes(kit, "allow GET " H "/{n:any} where path.n != \"five\"",
             "allow GET " H "/{n:any}");
    includes(kit,
             "allow GET " H "/{n:int} where path.n in 1..2\nallow GET " H
             "/{n:int} where path.n in 3..4",
             "allow GET " H "/{n:int} where path.n in 2..5");
    includes(kit,
             "allow GET " H "/q where query.x != \"5\" or query.x = \"5\"\n"
             "allow GET " H "/q where not has query.x",
             "allow GET " H "/q where has query.b");
    includes(kit,
             "allow POST " H "/a where body.x != 5 or body.x = 5\n"
             "allow POST " H "/a where not has body.x",
             "allow POST " H "/a where has body.b");
    includes(kit,
             "allow POST " H "/f where body.a only {x} and body.b = false\n"
             "allow POST " H "/f where body.a.x = -1 rate 5/min\n budget count <= 3 per day",
             "allow POST " H "/f where body.a only {x, y} and body.b != true and has body.a.x");
}

static sp_status print_request(void *user, struct sp_buf *said)
{
    struct sp_buf text;
    sp_buf_init(&text, TEXT_MAX);
    sp_witness_print(user, &text);
    with_memory();
    sp_status status = text.out_of_memory || text.failed ? SP_ENOMEM : SP_OK;
    if (!text.failed) {
        sp_buf_add_text(said, sp_buf_text(&text));
    }
    sp_buf_done(&text);
    return status;
}

static void a_request_is_written_whole_or_marked_as_failed(void **state)
{
    struct sp_request request = kit_form(*state, H "/a?q=1", "x=1&y[z]=2&l[]=3");
    each_allocation_fails(print_request, &request, false);
}

/* ---- versions, tests, reach -----------------------------------------------------------
 */

struct versions {
    const struct sp_policy *old, *new;
};

static sp_status compare(void *user, struct sp_buf *said)
{
    const struct versions *versions = user;
    struct sp_policy_changes changes;
    sp_status status = sp_policy_compare(versions->old, versions->new, 1000000, &changes);
    bool failed = fail_alloc_count > fail_alloc_at;
    with_memory();
    bool hard = false;
    for (size_t i = 0; status == SP_OK && i < changes.n; i++) {
        const struct sp_scope_change *change = &changes.items[i];
        sp_buf_addf(said, "%.*s %s\n", (int)change->scope.len, change->scope.ptr,
                    sp_scope_fate_name(change->fate));
        hard = hard || change->fate == SP_SCOPE_TOO_HARD;
    }
    if (status == SP_OK) {
        sp_policy_changes_done(&changes);
    }
    if (failed && hard) { /* "cannot tell" is as good an answer as none */
        sp_buf_reset(said);
        status = SP_ENOMEM;
    }
    return status;
}

static void two_versions_are_compared_or_not(void **state)
{
    struct kit *kit = *state;
    assert_int_equal(
        kit_compile(kit, "sallyport 1\nscope a(o, p) { key k ttl 1h allow GET " H "/{o}/{p} }\n"
                         "scope b { key k ttl 1h allow POST " H "/b where body.n in 1..5\n"
                         "  allow POST " H "/b where body.n in 6..9 }\n"
                         "scope c { key k ttl 1h allow GET " H "/c }\n"
                         "scope e { key k ttl 1h allow GET " H "/e }\n"),
        SP_OK);
    struct sp_policy *old = kit->policy;
    kit->policy = NULL;
    assert_int_equal(
        kit_compile(kit, "sallyport 1\nscope a(o, p) { key k ttl 1h allow GET " H "/{o}/* }\n"
                         "scope b { key k ttl 1h allow POST " H "/b where body.n in 2..8 }\n"
                         "scope d { key k ttl 1h allow GET " H "/c }\n"
                         "scope e { key k ttl 1h allow GET " H "/e }\n"),
        SP_OK);
    struct versions versions = {old, kit->policy};
    each_allocation_fails(compare, &versions, false);
    sp_policy_free(old);
}

static sp_status run_expects(void *user, struct sp_buf *said)
{
    struct sp_tests tests;
    sp_status status = sp_policy_test(user, &tests);
    with_memory();
    if (status == SP_OK) {
        sp_buf_addf(said, "%zu %zu %zu %zu %zu", tests.n_tests, tests.n_failed, tests.n_rules,
                    tests.n_rules_decided, tests.n_sides_seen);
        sp_tests_done(&tests);
    }
    return status;
}

static void tests_of_a_policy_are_all_run_or_none(void **state)
{
    struct kit *kit = *state;
    struct sp_world world = {.leave_expects = true};
    assert_int_equal(
        kit_compile_in(
            kit, &world,
            SP_TEXT("sallyport 1\nscope s(o) { key k ttl 1h\n"
                    "allow POST https://h.test/{o} where body.a = 1 or not has "
                    "body.b\n"
                    "expect allow given (o = \"x\") POST https://h.test/x json {a: 1}\n"
                    "expect deny given (o = \"y\") POST https://h.test/x json {a: 2}\n"
                    "expect deny given (o = \"y\") POST https://h.test/y json {a: 1} }\n")),
        SP_OK);
    each_allocation_fails(run_expects, kit->policy, false);
}

/* ---- the matcher ----------------------------------------------------------------------
 */

struct matching {
    const struct sp_scope *scope;
    struct sp_request *requests;
    size_t n, states_max;
};

static sp_status match(void *user, struct sp_buf *said)
{
    const struct matching *matching = user;
    struct sp_matcher *m = NULL;
    sp_status status = matcher_new_bounded(matching->scope, matching->states_max, &m);
    with_memory();
    assert_int_equal(m != NULL, status == SP_OK);
    for (size_t i = 0; m && i < matching->n; i++) {
        struct sp_match decision;
        struct sp_verdict verdict;
        sp_matcher_decide(m, &matching->requests[i], &decision);
        sp_scope_match(matching->scope, &matching->requests[i], &verdict);
        assert_ptr_equal(decision.rule, verdict.rule);
        sp_buf_addf(said, "%d ", (int)decision.reason);
    }
    sp_matcher_free(m);
    return status;
}

static void T22_a_matcher_that_lacks_memory_is_none(void **state)
{
    struct kit *kit = *state;
    const struct sp_scope *scope = kit_scope(
        kit, "allow POST " H "/d/z where body.z = 9 or query.y = 3\n"
             "allow GET " H "/a/five\nallow GET " H "/a/fi*\nallow GET " H "/a/fiv*\n"
             "allow GET " H "/a/{n:int}/x\nallow GET " H "/b/{p:slash}/end\n"
             "allow GET " H "/c/*/\nallow POST " H "/d/**\n"
             "allow GET " H "/d/*/e/**\nallow GET https://i.test/x*/y\n"
             "allow POST " H "/d/z where body.a = 1 and not (body.b = 2 or body.c = 3)\n"
             "allow POST " H "/d/z where body.b = 2 or body.a = 1\n"
             "deny * " H "/d/Secret/x*\ndeny GET " H "/*/b/{n:int}\n"
             "deny GET " H "/A-very-long-Literal-segment/**");
    static const char *const urls[] = {H "/a/five", H "/a/five/",          H "/a/7/x",
                                       H "/d/z",    H "/d/sEcret/xy",      H "/b/x%2Fy/end",
                                       H "/c/x/",   "https://i.test/x1/y", H "/q"};
    struct sp_request requests[sizeof urls / sizeof *urls];
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        requests[i] = kit_request(kit, i % 2 ? "POST" : "GET", urls[i]);
    }
    for (unsigned bits = 0; bits < 2; bits++) {
        struct matching matching = {scope, requests, sizeof urls / sizeof *urls,
                                    bits ? 0 : SIZE_MAX};
        each_allocation_fails(match, &matching, false);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_policy_is_whole_or_out_of_memory),
        kit_test(T22_no_deny_of_what_escalates_is_lost),
        kit_test(principals_and_clients_are_all_there_or_none),
        kit_test(mistakes_are_all_told_or_memory_ran_out),
        kit_test(a_frozen_scope_is_whole_or_out_of_memory),
        kit_test(T22_a_scope_of_domains_keeps_its_denies_or_is_none),
        kit_test(a_caveat_is_whole_or_none),
        kit_test(T14_inclusion_without_memory_is_never_proved),
        kit_test(a_request_is_written_whole_or_marked_as_failed),
        kit_test(two_versions_are_compared_or_not),
        kit_test(tests_of_a_policy_are_all_run_or_none),
        kit_test(T22_a_matcher_that_lacks_memory_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
