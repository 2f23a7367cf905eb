/* The edges of the checker, of what a policy declares and of scopes that stand on their own.
 * What an author writes stands in tests/policy. */
#include "expect.h"
#include "policy_kit.h"

#define H "https://h.test"

static bool says(struct kit *kit, const struct sp_world *world, const char *text,
                 const char *code)
{
    (void)kit_compile_in(kit, world, sp_text_of(text));
    return kit_said(kit, code, NULL);
}

/* ---- conditions -----------------------------------------------------------------------
 */

static void names_that_are_long_are_cut_and_near_ones_suggested(void **state)
{
    struct kit *kit = *state;
    const struct sp_diag *diag = NULL;
    char text[512], name[91] = "";
    memset(name, 'n', 90);
    (void)snprintf(text, sizeof text,
                   "sallyport 1\nscope s { key k ttl 1h allow POST " H "/a where body.x = %s }",
                   name);
    assert_true(says(kit, NULL, text, "E100"));
    assert_true(kit_said(kit, "E100", &diag));
    assert_true(strlen(diag->message) < 120);
    assert_true(says(kit, NULL,
                     "sallyport 1\nscope s { key k ttl 1h\n"
                     "allow GET " H
                     "/{number:int}/{numbers:int}/{z:any} where path.numbr = 1 }",
                     "E104"));
    assert_true(kit_said(kit, "E104", &diag));
    assert_non_null(strstr(diag->fix, "number"));
}

/* Whichever allow lets a call through, its own limit counts it. */
static void an_allow_with_a_limit_of_its_own_is_no_shadow_of_another(void **state)
{
    static const char *const limits[] = {"", "rate 1/min", "budget count <= 1 per day"};
    for (size_t i = 0; i < 9; i++) {
        char text[512];
        (void)snprintf(text, sizeof text,
                       "sallyport 1\nscope s { key k ttl 1h\nallow GET " H "/* %s\nallow GET " H
                       "/a %s }",
                       limits[i / 3], limits[i % 3]);
        assert_int_equal(says(*state, NULL, text, "W131"), i == 0);
    }
}

static void demands_that_cannot_be_compared_contradict_nothing(void **state)
{
    struct kit *kit = *state;
    struct sp_buf text;
    assert_false(says(kit, NULL,
                      "sallyport 1\nscope s(p) { key k ttl 1h\n"
                      "allow POST " H "/{p}/a where body.x in nope and body.x = \"a\"\n"
                      "allow POST " H "/{p}/b where body.x in {\"a\", p} and body.x = \"b\"\n"
                      "allow POST " H "/{p}/c where body.x = \"a\" and body.x starts p\n"
                      "allow POST " H "/{p}/d where body.x = p and body.x = true }",
                      "W134"));
    /* 400 strings and 400 others: not looked at. 32 demands are, and no more. */
    sp_buf_init(&text, 1 << 20);
    sp_buf_add_str(&text,
                   "sallyport 1\nscope s { key k ttl 1h allow POST " H "/a where body.x in {");
    for (unsigned i = 0; i < 800; i++) {
        sp_buf_addf(&text, i == 400 ? "\"s%u\"} and body.x in {" : "\"s%u\", ", i);
    }
    sp_buf_add_str(&text, "\"z\"} }");
    assert_false(says(kit, NULL, text.ptr, "W134"));
    sp_buf_reset(&text);
    sp_buf_add_str(&text, "sallyport 1\nscope s { key k ttl 1h allow POST " H
                          "/a where body.y = 1 and body.y = 2");
    for (unsigned i = 0; i < 40; i++) {
        sp_buf_addf(&text, " and body.x%u = 1", i);
    }
    sp_buf_add_str(&text, " }");
    assert_false(says(kit, NULL, text.ptr, "W134"));
    sp_buf_done(&text);
}

static void expectations_with_too_many_arguments_are_not_all_run(void **state)
{
    struct kit *kit = *state;
    struct expect_run run;
    struct sp_world world = {.leave_expects = true};
    assert_int_equal(kit_compile_in(kit, &world,
                                    SP_TEXT("sallyport 1\nscope s { key k ttl 1h allow GET " H
                                            "/a\nexpect allow GET " H "/a }")),
                     SP_OK);
    const struct sp_scope *s = sp_policy_scope(kit->policy, 0);
    expect_run_init(&run, &kit->diags);
    run.work = 20000000;
    expect_run_one(&run, s, s->expectations);
    expect_run_done(&run);
    assert_true(kit_said(kit, "E161", NULL));
}

/* ---- catalogues -----------------------------------------------------------------------
 */

struct listing {
    struct sp_catalogue list[70];
    size_t n;
};

static size_t catalogues(void *user, struct sp_text id, const struct sp_catalogue **ret_list)
{
    const struct listing *listing = user;
    *ret_list = listing->list;
    return sp_text_is(id, "two") ? (listing->n > 1 ? 2 : listing->n)
           : sp_text_is(id, "k") ? listing->n
                                 : 0;
}

#define ACTION(name, path, method, escalates)                                                  \
    {                                                                                          \
        {name, sizeof(name) - 1}, {path, sizeof(path) - 1}, SP_METHOD_##method, escalates,     \
            false, false, NULL                                                                 \
    }
#define CATALOGUE(name, host, actions)                                                         \
    {                                                                                          \
        {name, sizeof(name) - 1}, &(host), 1, actions, sizeof(actions) / sizeof *(actions)     \
    }

static const struct sp_text host_h = {"h.test", 6}, host_i = {"i.test", 6};

static void scope_is(struct kit *kit, struct listing *listing, const char *rules)
{
    char text[2048];
    struct sp_world world = {.user = listing, .catalogues = catalogues};
    (void)snprintf(text, sizeof text, "sallyport 1\nscope s {\n key k\n ttl 1h\n%s\n}\n",
                   rules);
    struct sp_text copy = sp_arena_copy(&kit->arena, sp_text_of(text));
    assert_int_equal(kit_compile_in(kit, &world, copy), SP_OK);
}

static void T64_paths_of_all_shapes_are_denied_to_wildcards(void **state)
{
    static const struct sp_catalogue_action odd[] = {
        ACTION("root", "/", POST, true),
        ACTION("Slash_1", "/keys/", PUT, true),
        ACTION("empty", "", PATCH, true),
        ACTION("{brace~}", "/br/{x}", POST, true),
        ACTION("two", "/keys/", PUT, true),
        ACTION("a-name-that-is-much-longer-than-a-label-may-be-and-so-is-cut-somewhere-here",
               "/long", POST, true),
    };
    static const struct sp_catalogue list = CATALOGUE(
        "provider-of-a-name-that-is-longer-than-a-label-may-be-by-quite-some", host_h, odd);
    struct kit *kit = *state;
    struct listing listing = {.n = 70};
    for (size_t i = 0; i < 70; i++) {
        listing.list[i] = list;
    }
    scope_is(kit, &listing,
             "allow * " H "/**\nallow * " H "/\nallow POST " H "/ escalates\n"
             "allow POST " H "/a");
    assert_true(kit_allows(kit, sp_policy_scope(kit->policy, 0), "POST", H "/"));
    scope_is(kit, &listing, "allow * " H "/**\nallow * " H "/");
    const struct sp_scope *s = sp_policy_scope(kit->policy, 0);
    assert_false(kit_allows(kit, s, "PUT", H "/keys/"));
    assert_false(kit_allows(kit, s, "POST", H "/br/7"));
    assert_false(kit_allows(kit, s, "POST", H "/long"));
    assert_false(kit_allows(kit, s, "POST", H "/"));
    assert_true(kit_allows(kit, s, "GET", H "/keys/"));
    for (size_t i = 0; i < sp_scope_n_rules(s); i++) {
        assert_true(sp_rule_label(sp_scope_rule(s, i)).len <= SP_NAME_MAX_BYTES);
    }
}

/* More denies than the first room holds; literals of other methods, hosts, ports and lengths.
 */
static void T64_literal_allows_open_only_what_they_name(void **state)
{
    static struct sp_catalogue_action many[200];
    static char paths[200][16];
    struct kit *kit = *state;
    struct listing listing = {.n = 1};
    for (unsigned i = 0; i < 200; i++) {
        (void)snprintf(paths[i], sizeof paths[i], "/p%u/{x}", i);
        many[i] = (struct sp_catalogue_action){{paths[i], strlen(paths[i])},
                                               {paths[i], strlen(paths[i])},
                                               SP_METHOD_POST,
                                               true,
                                               false,
                                               false,
                                               NULL};
    }
    listing.list[0] = (struct sp_catalogue){{"p", 1}, &host_h, 1, many, 200};
    scope_is(kit, &listing,
             "allow * " H "/**\n"
             "allow POST " H "/p1/a where body.x = 1 escalates\n"
             "allow POST " H "/p1/a where body.x = 2 escalates\n"
             "allow POST " H "/p1/b where body.x = 3 escalates\n"
             "allow PUT " H "/p2/a\nallow POST " H ":8443/p3/a\nallow POST http://h.test/p4/a\n"
             "allow POST " H "/{q:any}/a\nallow POST " H "/p5*/a\n"
             "deny GET " H "/p9/x\nallow POST https://i.test/p6/a");
    const struct sp_scope *s = sp_policy_scope(kit->policy, 0);
    assert_true(sp_scope_n_rules(s) > 200);
    struct sp_request request = kit_form(kit, H "/p1/a", "x=2");
    assert_true(kit_match(s, &request).allowed);
    request = kit_form(kit, H "/p1/a", "x=3");
    assert_false(kit_match(s, &request).allowed);
    for (unsigned i = 2; i < 6; i++) {
        char url[64];
        (void)snprintf(url, sizeof url, H "/p%u/a", i);
        assert_false(kit_allows(kit, s, "POST", url));
    }
    assert_true(kit_allows(kit, s, "POST", H ":8443/p3/a"));
    /* A parameter is not the text of an action, whatever it will be. */
    struct sp_world world = {.user = &listing, .catalogues = catalogues};
    assert_int_equal(
        kit_compile_in(kit, &world,
                       SP_TEXT("sallyport 1\nscope s(p) { key k ttl 1h allow POST " H
                               "/{p}/a\nallow POST " H "/** }")),
        SP_OK);
    assert_int_equal(sp_scope_n_rules(sp_policy_scope(kit->policy, 0)), 202);
    /* Beside a conditional literal no wildcard: nothing is added for it. */
    scope_is(kit, &listing,
             "deny GET " H "/p1/a\nallow POST " H "/p1/a where body.x = 1 escalates\n"
             "allow GET " H "/**\nallow POST " H "/other/**\nallow POST " H "/p1/b*");
    s = sp_policy_scope(kit->policy, 0);
    assert_false(kit_allows(kit, s, "POST", H "/p1/bc"));
    /* Before the wildcard stand literals of other things. */
    scope_is(kit, &listing,
             "allow GET " H "/p1/a\nallow POST " H "/other\n"
             "allow POST " H "/p1/a where body.x = 1 escalates\nallow * " H "/**");
    s = sp_policy_scope(kit->policy, 0);
    request = kit_form(kit, H "/p1/a", "x=1");
    assert_true(kit_match(s, &request).allowed);
    request = kit_form(kit, H "/p1/a", "x=2");
    assert_false(kit_match(s, &request).allowed);
}

static void T64_more_literals_of_one_action_than_can_be_told_are_an_error(void **state)
{
    static const struct sp_catalogue_action one[] = {ACTION("one", "/one", POST, true)};
    static const struct sp_catalogue list = CATALOGUE("p", host_h, one);
    struct kit *kit = *state;
    struct listing listing = {.list = {list}, .n = 1};
    struct sp_world world = {.user = &listing, .catalogues = catalogues};
    struct sp_buf text;
    sp_buf_init(&text, 1 << 20);
    sp_buf_add_str(&text, "sallyport 1\nscope s {\n key k\n ttl 1h\nallow * " H "/**\n");
    for (unsigned i = 0; i < 501; i++) {
        sp_buf_addf(&text, "allow POST " H "/one where body.x = %u escalates\n", i);
    }
    sp_buf_add_str(&text, "}\n");
    assert_true(says(kit, &world, text.ptr, "E192"));
    sp_buf_done(&text);
}

static void other_paths_of_what_is_denied_are_hinted_at(void **state)
{
    static const struct sp_catalogue_action twice[] = {
        ACTION("refunds", "/v1/refunds", GET, false),
        ACTION("of", "/v1/charges/{c}/refunds", GET, false),
        ACTION("v", "/v1", GET, false),
        ACTION("root", "/", GET, false),
        ACTION("any", "/{x}/y", GET, false),
        ACTION("w", "/w1/refunds", GET, false),
        ACTION("z", "/charges/{c}/w1/other", GET, false),
        ACTION("post", "/v1/charges/{c}/refunds", POST, false),
    };
    static const struct sp_catalogue_action elsewhere[] = {
        ACTION("e", "/v1/charges/{c}/refunds", GET, false)};
    struct kit *kit = *state;
    struct listing listing = {
        .list = {CATALOGUE("p", host_h, twice), CATALOGUE("q", host_i, elsewhere)}, .n = 2};
    scope_is(kit, &listing,
             "allow * " H "/**\nallow GET https://i.test/**\n"
             "allow PUT " H "/**\ndeny GET " H "/v1/refunds");
    assert_true(kit_said(kit, "W193", NULL));
    scope_is(kit, &listing, "allow * " H "/**\ndeny PUT " H "/v1/refunds");
    assert_false(kit_said(kit, "W193", NULL));
    scope_is(kit, &listing, "allow * " H "/**\ndeny GET " H "/w1/refunds");
    assert_false(kit_said(kit, "W193", NULL));
    scope_is(kit, &listing, "allow PUT " H "/**\ndeny GET " H "/v1/charges/*/refunds");
    scope_is(kit, &listing, "allow GET " H "/**\ndeny GET " H "/{a:any}/y");
    scope_is(kit, &listing, "allow GET " H "/**\ndeny GET " H "/");
}

/* Another kind of the same server has its whole API under /api/v3: no other path to a resource.
 */
static void the_mount_of_an_api_is_no_other_path(void **state)
{
    static const struct {
        const char *longer;
        bool said;
    } rows[] = {
        {"/api/v3/refunds", false}, {"/api/x3/refunds", true},  {"/apo/v3/refunds", true},
        {"/{a}/v3/refunds", true},  {"/api/{v}/refunds", true},
    };
    struct kit *kit = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sp_catalogue_action actions[] = {ACTION("refunds", "/refunds", GET, false),
                                                ACTION("longer", "", GET, false)};
        actions[1].path = sp_text_of(rows[i].longer);
        struct listing listing = {.list = {CATALOGUE("p", host_h, actions)}, .n = 1};
        scope_is(kit, &listing, "allow GET " H "/**\ndeny GET " H "/refunds");
        assert_int_equal(kit_said(kit, "W193", NULL), rows[i].said);
    }
}

static void documents_and_currencies_are_pinned_by_lists_of_strings(void **state)
{
    static const struct sp_catalogue_action money[] = {
        {{"pay", 3}, {"/pay", 4}, SP_METHOD_POST, false, false, true, NULL}};
    static const struct {
        const char *where;
        bool said;
    } rows[] = {
        {"body.currency = \"usd\"", false},
        {"body.currency in {\"usd\", \"eur\"}", false},
        {"body.a = 1 or body.currency = \"usd\"", true},
        {"any(body.currency) = \"usd\"", true},
        {"body.currency in {1, 2}", true},
    };
    struct kit *kit = *state;
    struct listing listing = {.list = {CATALOGUE("p", host_h, money)}, .n = 1};
    struct sp_world world = {.user = &listing, .catalogues = catalogues};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[512];
        (void)snprintf(text, sizeof text,
                       "sallyport 1\nscope s { key k ttl 1h\nallow POST " H
                       "/pay where body.amount in 1..9 and (%s)\n"
                       "budget sum(body.amount) <= 50 per day }\n",
                       rows[i].where);
        (void)kit_compile_in(kit, &world, sp_text_of(text));
        if (kit_said(kit, "W183", NULL) != rows[i].said) {
            fail_msg("%s", rows[i].where);
        }
    }
    scope_is(kit, &listing,
             "allow POST " H "/pay where query.amount in 1..9\n"
             "budget sum(query.amount) <= 50 per day");
    assert_false(kit_said(kit, "W183", NULL));
}

/* What cannot all be looked at is refused: a rule could open any GraphQL document. */
static void more_graphql_actions_than_can_be_told_are_an_error(void **state)
{
    enum { MANY = 16385 };
    struct kit *kit = *state;
    struct sp_catalogue_action *many = calloc(MANY, sizeof *many);
    assert_non_null(many);
    for (size_t i = 0; i < MANY; i++) {
        many[i] = (struct sp_catalogue_action){
            {"g", 1}, {"/graphql", 8}, SP_METHOD_POST, false, true, false, NULL};
    }
    struct listing listing = {.n = 1};
    struct sp_world world = {.user = &listing, .catalogues = catalogues};
    for (size_t n = MANY - 1; n <= MANY; n++) {
        listing.list[0] = (struct sp_catalogue){{"p", 1}, &host_h, 1, many, n};
        assert_int_equal(kit_compile_in(kit, &world,
                                        SP_TEXT("sallyport 1\nscope s { key k ttl 1h "
                                                "allow GET " H "/a }")),
                         n < MANY ? SP_OK : SP_ENOMEM);
    }
    free(many);
}

/* ---- what a scope insists on ----------------------------------------------------------
 */

static bool key_is_known(void *user, struct sp_text id, const struct sp_text **ret_hosts,
                         size_t *ret_n_hosts)
{
    (void)user;
    *ret_hosts = &host_h;
    *ret_n_hosts = 1;
    return sp_text_is(id, "k");
}

static bool key_setting(void *user, struct sp_text id, struct sp_text name,
                        struct sp_text *ret_value)
{
    (void)user;
    *ret_value = SP_TEXT("true");
    return sp_text_is(id, "k") && sp_text_is(name, "livemode");
}

static void a_key_has_to_be_what_its_scope_insists_on(void **state)
{
    static const struct {
        const char *insists, *message;
    } rows[] = {
        {"insist livemode = true", NULL},
        {"insist livemode = false", "key k has livemode true"},
        {"insist other = \"test\"", "key k has no other"},
    };
    struct kit *kit = *state;
    const struct sp_world world = {.key_hosts = key_is_known, .key_setting = key_setting};
    const struct sp_diag *diag = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[256];
        (void)snprintf(text, sizeof text,
                       "sallyport 1\nscope s { key k ttl 1h %s allow GET " H "/a }\n",
                       rows[i].insists);
        assert_int_equal(says(kit, &world, text, "E124"), rows[i].message != NULL);
        if (rows[i].message) {
            assert_true(kit_said(kit, "E124", &diag));
            assert_string_equal(diag->message, rows[i].message);
            assert_int_equal(diag->severity, SP_SEVERITY_ERROR);
        }
    }
}

static void at_a_start_a_key_of_the_other_kind_is_a_warning(void **state)
{
    static const char text[] =
        "sallyport 1\nscope s { key k ttl 1h insist livemode = false allow GET " H "/a }\n";
    struct kit *kit = *state;
    const struct sp_world world = {
        .key_hosts = key_is_known, .key_setting = key_setting, .hold_insists = true};
    const struct sp_diag *diag = NULL;
    assert_int_equal(kit_compile_in(kit, &world, sp_text_of(text)), SP_OK);
    assert_true(kit_said(kit, "E124", &diag));
    assert_int_equal(diag->severity, SP_SEVERITY_WARNING);
}

static void what_a_scope_insists_on_is_told_in_order(void **state)
{
    struct kit *kit = *state;
    struct sp_text name, value;
    assert_int_equal(kit_compile_in(kit, NULL,
                                    SP_TEXT("sallyport 1\nscope s { key k ttl 1h insist a = "
                                            "true insist b = \"x\" allow GET " H "/a }")),
                     SP_OK);
    const struct sp_scope *s = sp_policy_scope(kit->policy, 0);
    assert_true(sp_scope_insist(s, 0, &name, &value));
    assert_true(sp_text_is(name, "a") && sp_text_is(value, "true"));
    assert_true(sp_scope_insist(s, 1, &name, &value));
    assert_true(sp_text_is(name, "b") && sp_text_is(value, "x"));
    assert_false(sp_scope_insist(s, 2, &name, &value));
    assert_false(sp_scope_insist(s, 3, &name, &value));
}

/* ---- what answers do not hold -------------------------------------------------------- */

static bool is_redaction(const struct sp_scope *scope, size_t i, const char *text)
{
    struct sp_buf buf;
    char room[64];
    sp_buf_over(&buf, room, sizeof room);
    sp_redaction_print(sp_scope_redaction(scope, i), &buf);
    return sp_text_is(sp_buf_text(&buf), text);
}

static void redactions_are_told_in_order_and_survive_freezing(void **state)
{
    struct kit *kit = *state;
    struct sp_scope *frozen = NULL;
    struct sp_error err;
    assert_int_equal(
        kit_compile_in(kit, NULL,
                       SP_TEXT("sallyport 1\nscope s { key k ttl 1h redact {b.c, "
                               "\"odd name\".\"x\\\"y\"} redact {a} allow GET " H "/a }")),
        SP_OK);
    assert_int_equal(sp_scope_freeze(sp_policy_scope(kit->policy, 0), NULL, 0, &frozen, &err),
                     SP_OK);
    for (unsigned i = 0; i < 2; i++) {
        const struct sp_scope *s = i ? frozen : sp_policy_scope(kit->policy, 0);
        assert_true(is_redaction(s, 0, "b.c"));
        assert_true(is_redaction(s, 1, "\"odd name\".\"x\\\"y\""));
        assert_true(is_redaction(s, 2, "a"));
        assert_int_equal(sp_scope_n_redactions(s), 3);
        assert_null(sp_scope_redaction(s, 3));
    }
    assert_int_equal(sp_scope_n_redactions(NULL), 0);
    assert_null(sp_scope_redaction(NULL, 0));
    sp_scope_free(frozen);
}

static void a_caveat_redacts_alone_or_beside_rules_and_within_limits(void **state)
{
    (void)state;
    struct sp_scope *caveat = NULL;
    struct sp_error err;
    static const char *const good[] = {"redact {a}", "redact {a.b} allow GET " H "/a",
                                       "allow GET " H "/a redact {a}",
                                       "until \"2030-01-01T00:00:00Z\" redact {a}"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(sp_caveat_parse(sp_text_of(good[i]), &caveat, &err), SP_OK);
        assert_non_null(sp_scope_redaction(caveat, 0));
        sp_scope_free(caveat);
    }
    assert_int_equal(sp_caveat_parse(SP_TEXT("redact {}"), &caveat, &err), SP_EINVAL);
    struct sp_buf text;
    sp_buf_init(&text, 10000);
    sp_buf_add_str(&text, "redact {n0");
    for (unsigned n = 1; n < 64; n++) {
        sp_buf_addf(&text, ", n%u", n);
    }
    size_t len = text.len;
    sp_buf_add_str(&text, "}");
    assert_int_equal(sp_caveat_parse(sp_buf_text(&text), &caveat, &err), SP_OK);
    sp_scope_free(caveat);
    text.len = len;
    sp_buf_add_str(&text, ", n64}");
    assert_int_equal(sp_caveat_parse(sp_buf_text(&text), &caveat, &err), SP_EINVAL);
    assert_non_null(strstr(err.text, "fewer redactions"));
    sp_buf_reset(&text);
    for (unsigned len_of_name = 128; len_of_name <= 129; len_of_name++) {
        sp_buf_reset(&text);
        sp_buf_addf(&text, "redact {%0*d}", (int)len_of_name, 0);
        memset(text.ptr + 8, 'n', len_of_name);
        assert_int_equal(sp_caveat_parse(sp_buf_text(&text), &caveat, &err),
                         len_of_name == 128 ? SP_OK : SP_EINVAL);
        sp_scope_free(len_of_name == 128 ? caveat : NULL);
    }
    sp_buf_done(&text);
}

/* ---- catalogues, whole ----------------------------------------------------------------
 */

static void catalogues_without_end_are_looked_at_in_part(void **state)
{
    static struct sp_catalogue_action many[5000];
    struct kit *kit = *state;
    struct listing listing = {.n = 1};
    for (unsigned i = 0; i < 5000; i++) {
        many[i] = (struct sp_catalogue_action){{"a", 1}, {"/v1/a", 5}, SP_METHOD_GET, false,
                                               false,    false,        NULL};
    }
    listing.list[0] = (struct sp_catalogue){{"p", 1}, &host_h, 1, many, 5000};
    scope_is(kit, &listing, "allow GET " H "/**\ndeny GET " H "/v1/a");
    assert_false(kit_said(kit, "W193", NULL));
    struct sp_buf text;
    struct sp_world world = {.user = &listing, .catalogues = catalogues};
    sp_buf_init(&text, 1 << 20);
    sp_buf_add_str(&text, "sallyport 1\nscope s {\n key k\n ttl 1h\nallow GET " H "/**\n");
    for (unsigned i = 0; i < 1001; i++) {
        sp_buf_addf(&text, "deny GET " H "/%u\n", i);
    }
    sp_buf_add_str(&text, "}\n");
    assert_int_equal(kit_compile_in(kit, &world, sp_buf_text(&text)), SP_OK);
    sp_buf_done(&text);
}

static void T64_the_json_form_gets_the_denies_of_its_own_keys(void **state)
{
    static const struct sp_catalogue_action hooks[] = {ACTION("hooks", "/hooks", POST, true)};
    struct kit *kit = *state;
    struct listing listing = {.list = {CATALOGUE("p", host_h, hooks),
                                       CATALOGUE("q", host_i, hooks),
                                       CATALOGUE("r", host_h, hooks)},
                              .n = 3};
    struct sp_world world = {.user = &listing, .catalogues = catalogues};
    static const struct sp_text keys[] = {{"none", 4}, {"two", 3}}, hosts[] = {{"h.test", 6}};
    assert_int_equal(kit_compile_in(kit, &world,
                                    SP_TEXT("sallyport 1\nscope a { key k ttl 1h allow GET " H
                                            "/** }\nscope b { key two ttl 1h allow GET " H
                                            "/** }\nscope c { key none ttl 1h allow POST " H
                                            "/a escalates }\n")),
                     SP_OK);
    for (size_t first = 0; first < 2; first++) {
        for (size_t n = 1; n <= 2 - first; n++) {
            struct sp_scope *s = NULL;
            assert_int_equal(sp_scope_of_domains(kit->policy, SP_TEXT("j"), keys + first, n,
                                                 SP_METHOD_POST, hosts, 1, 0, 0, &s, &kit->err),
                             SP_OK);
            bool guarded = first + n > 1;
            assert_int_equal(sp_scope_n_rules(s), guarded ? 3 : 1);
            assert_int_equal(kit_allows(kit, s, "POST", H "/hooks"), !guarded);
            sp_scope_free(s);
        }
    }
    static const struct sp_text back[] = {{"two", 3}, {"none", 4}};
    struct sp_scope *s = NULL;
    assert_int_equal(sp_scope_of_domains(kit->policy, SP_TEXT("j"), back, 2, SP_METHOD_POST,
                                         hosts, 1, 0, 0, &s, &kit->err),
                     SP_OK);
    assert_int_equal(sp_scope_n_rules(s), 3);
    sp_scope_free(s);
    assert_int_equal(sp_scope_of_domains(kit->policy, SP_TEXT("j"), keys, 1, SP_METHOD_POST,
                                         hosts, 0, 0, 0, &s, &kit->err),
                     SP_EINVAL);
}

/* ---- sources and texts ----------------------------------------------------------------
 */

static sp_status read_next(void *user, const char *from, struct sp_text name,
                           struct sp_source *ret_source, struct sp_error *err)
{
    (void)user;
    (void)from;
    (void)name;
    (void)err;
    *ret_source = (struct sp_source){"one-too-many", SP_TEXT("sallyport 1\n")};
    return SP_OK;
}

static void a_policy_has_only_so_many_files(void **state)
{
    enum { MANY = 4097 };
    struct kit *kit = *state;
    struct sp_world world = {.read_use = read_next}, deaf = {.user = NULL};
    struct sp_source *sources = calloc(MANY, sizeof *sources);
    char(*names)[8] = calloc(MANY, sizeof *names);
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(names[i], sizeof names[i], "%u", i);
        sources[i] = (struct sp_source){names[i], SP_TEXT("sallyport 1\n")};
    }
    assert_int_equal(sp_policy_compile(sources, MANY, NULL, &kit->diags, &kit->policy),
                     SP_EINVAL);
    assert_true(kit_said(kit, "E062", NULL));
    sources[0].text = SP_TEXT("sallyport 1\nuse \"next\"\n");
    sp_diags_done(&kit->diags);
    sp_diags_init(&kit->diags);
    assert_int_equal(sp_policy_compile(sources, MANY - 1, &world, &kit->diags, &kit->policy),
                     SP_EINVAL);
    assert_true(kit_said(kit, "E061", NULL));
    sp_diags_done(&kit->diags);
    sp_diags_init(&kit->diags);
    assert_int_equal(sp_policy_compile(sources, 1, &deaf, &kit->diags, &kit->policy),
                     SP_EINVAL);
    assert_true(kit_said(kit, "E061", NULL));
    sp_diags_done(&kit->diags);
    sp_diags_init(&kit->diags);
    assert_int_equal(sp_policy_compile(sources, 1, &world, &kit->diags, &kit->policy), SP_OK);
    size_t n = 0;
    const struct sp_source *all = sp_policy_sources(kit->policy, &n);
    assert_int_equal(n, 2);
    assert_string_equal(all[1].name, "one-too-many");
    free(sources);
    free(names);
}

static void a_frozen_scope_has_only_so_many_bytes(void **state)
{
    struct kit *kit = *state;
    struct sp_buf text;
    struct sp_scope *frozen = NULL;
    char value[1024];
    memset(value, 'v', sizeof value);
    const struct sp_arg arg = {SP_TEXT("p"), {value, sizeof value}};
    sp_buf_init(&text, 8 << 20);
    sp_buf_add_str(&text, "sallyport 1\nscope s(p) { key k ttl 1h\n");
    for (unsigned i = 0; i < 4200; i++) {
        sp_buf_addf(&text, "allow GET " H "/%u/{p}\n", i);
    }
    sp_buf_add_str(&text, "}\n");
    assert_int_equal(kit_compile_in(kit, NULL, sp_buf_text(&text)), SP_OK);
    assert_int_equal(
        sp_scope_freeze(sp_policy_scope(kit->policy, 0), &arg, 1, &frozen, &kit->err),
        SP_ETOOBIG);
    sp_buf_reset(&text);
    for (unsigned i = 0; i < SP_SOURCE_MAX_BYTES / 8 + 1; i++) {
        sp_buf_add_str(&text, "# 567890");
    }
    assert_int_equal(sp_scope_parse(sp_buf_text(&text), &frozen, &kit->err), SP_EINVAL);
    assert_null(frozen);
    sp_buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(names_that_are_long_are_cut_and_near_ones_suggested),
        kit_test(demands_that_cannot_be_compared_contradict_nothing),
        kit_test(expectations_with_too_many_arguments_are_not_all_run),
        kit_test(T64_paths_of_all_shapes_are_denied_to_wildcards),
        kit_test(T64_literal_allows_open_only_what_they_name),
        kit_test(T64_more_literals_of_one_action_than_can_be_told_are_an_error),
        kit_test(other_paths_of_what_is_denied_are_hinted_at),
        kit_test(the_mount_of_an_api_is_no_other_path),
        kit_test(documents_and_currencies_are_pinned_by_lists_of_strings),
        kit_test(more_graphql_actions_than_can_be_told_are_an_error),
        kit_test(a_key_has_to_be_what_its_scope_insists_on),
        kit_test(at_a_start_a_key_of_the_other_kind_is_a_warning),
        kit_test(what_a_scope_insists_on_is_told_in_order),
        kit_test(redactions_are_told_in_order_and_survive_freezing),
        kit_test(a_caveat_redacts_alone_or_beside_rules_and_within_limits),
        kit_test(catalogues_without_end_are_looked_at_in_part),
        kit_test(an_allow_with_a_limit_of_its_own_is_no_shadow_of_another),
        kit_test(T64_the_json_form_gets_the_denies_of_its_own_keys),
        kit_test(a_policy_has_only_so_many_files),
        kit_test(a_frozen_scope_has_only_so_many_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
