/* What a scope can reach of a catalogue, against enumeration: every request of a small universe
 * is asked of the interpreter, and each action that none of those allowed is one of is left
 * out. */
#include "policy_kit.h"

static const struct sp_text host = {"api.test", 8};
#define ACTION(name, method, path, esc)                                                        \
    {                                                                                          \
        {name, sizeof name - 1}, {path, sizeof path - 1}, SP_METHOD_##method, .escalates = esc \
    }
static const struct sp_catalogue_action actions[] = {
    ACTION("a", GET, "/a", false),
    ACTION("a.x", GET, "/a/{x}", false),
    ACTION("a.x.delete", DELETE, "/a/{x}", false),
    ACTION("a.b", GET, "/a/b", false),
    ACTION("x.b", DELETE, "/{x}/b", true),
    ACTION("x.y.z", GET, "/{x}/{y}/{z}", false),
    ACTION("b.rest", DELETE, "/b/{rest...}", false),
    ACTION("a.b.pq", GET, "/a/b/pq", false),
};
enum { N_ACTIONS = sizeof actions / sizeof *actions, SCOPES = 400 };
static const struct sp_catalogue catalogue = {{"small", 5}, &host, 1, actions, N_ACTIONS};

/* ---- the universe ---------------------------------------------------------------------------
 */

static const char *const words[] = {"a", "A", "b", "pq", "p7", "z", "7"};
enum { N_WORDS = sizeof words / sizeof *words, DEPTH = 3 };

struct universe {
    struct sp_request list[4096];
    size_t n;
};

static void fill(struct kit *kit, struct universe *u, const char *path, int depth)
{
    static const char *const methods[] = {"GET", "DELETE"};
    for (int w = 0; w < N_WORDS && depth < DEPTH; w++) {
        char longer[64];
        assert_in_range(snprintf(longer, sizeof longer, "%s/%s", path, words[w]), 2, 63);
        for (int m = 0; m < 2; m++) {
            char url[96];
            (void)snprintf(url, sizeof url, "https://api.test%s", longer);
            assert_true(u->n < sizeof u->list / sizeof *u->list);
            u->list[u->n++] = kit_request(kit, methods[m], url);
        }
        fill(kit, u, longer, depth + 1);
    }
}

/* Whether the request is one of the action, read from the template's text. */
static bool is_of(const struct sp_request *request, const struct sp_catalogue_action *action)
{
    const struct sp_url *url = &request->url;
    struct sp_text path = action->path;
    size_t at = 1, i = 0;
    for (; at <= path.len; i++) {
        size_t end = at;
        while (end < path.len && path.ptr[end] != '/') {
            end++;
        }
        struct sp_text part = {path.ptr + at, end - at};
        if (i == url->n_segments) {
            return false;
        }
        if (sp_text_is(part, "{rest...}")) {
            i = url->n_segments - 1;
        } else if (part.ptr[0] != '{' && !sp_text_eq(part, url->segments[i].text)) {
            return false;
        }
        at = end + 1;
    }
    return i == url->n_segments && request->method == action->method && !url->trailing_slash;
}

/* ---- random scopes --------------------------------------------------------------------------
 */

static uint32_t seed = 20261123;
static uint32_t below(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 16) % n;
}

static void add_rule(struct sp_buf *text)
{
    static const char *const kinds[] = {"a", "b", "pq", "*", "p*", "{x%d:any}", "{x%d:int}"};
    static const char *const heads[] = {"allow", "allow", "deny"};
    static const char *const methods[] = {"GET", "DELETE", "{GET DELETE}", "*"};
    static const char *const tests[] = {"= \"a\"", "!= \"b\"", "starts \"p\"",
                                        "in {\"a\", \"pq\"}"};
    int n = 1 + (int)below(DEPTH), capture = -1;
    sp_buf_addf(text, "  %s %s https://api.test", heads[below(3)], methods[below(4)]);
    for (int i = 0; i < n; i++) {
        uint32_t kind = below(7);
        char name[32];
        if (i + 1 == n && below(4) == 0) {
            sp_buf_add_str(text, "/**");
            break;
        }
        if (kind >= 5) {
            (void)snprintf(name, sizeof name, kind == 5 ? "{x%d:any}" : "{x%d:int}", i);
            capture = kind == 5 ? i : capture;
        }
        sp_buf_addf(text, "/%s", kind >= 5 ? name : kinds[kind]);
    }
    if (capture >= 0 && below(2)) {
        sp_buf_addf(text, " where path.x%d %s", capture, tests[below(4)]);
    }
    sp_buf_add_byte(text, '\n');
}

static const struct sp_scope *random_scope(struct kit *kit)
{
    struct sp_buf text;
    sp_buf_init(&text, 1 << 16);
    sp_buf_add_str(&text, "  allow GET https://api.test/never/asked/for/this\n"); /* W141 */
    for (uint32_t n = 1 + below(4); n > 0; n--) {
        add_rule(&text);
    }
    sp_buf_add_byte(&text, '\0');
    const struct sp_scope *scope = kit_scope(kit, text.ptr);
    sp_buf_done(&text);
    return scope;
}

static bool is_reached(const struct sp_blast *blast, const struct sp_catalogue_action *action)
{
    for (size_t i = 0; i < blast->n_items; i++) {
        assert_true(blast->items[i].proved);
        if (blast->items[i].action == action) {
            return true;
        }
    }
    return false;
}

static void blast_agrees_with_enumeration(void **state)
{
    struct kit *kit = *state;
    struct universe *u = calloc(1, sizeof *u);
    size_t n_reached = 0, n_within = 0;
    fill(kit, u, "", 0);
    for (int s = 0; s < SCOPES; s++) {
        const struct sp_scope *scope = random_scope(kit);
        struct sp_blast blast;
        bool reached[N_ACTIONS] = {false}, outside = false;
        size_t n = 0;
        assert_int_equal(sp_scope_blast(scope, &catalogue, 1, &blast), SP_OK);
        for (size_t i = 0; i < u->n; i++) {
            bool named = false, allowed = kit_match(scope, &u->list[i]).allowed;
            for (size_t a = 0; a < N_ACTIONS && allowed; a++) {
                bool of = is_of(&u->list[i], &actions[a]);
                reached[a] = reached[a] || of;
                named = named || of;
            }
            outside = outside || (allowed && !named);
        }
        for (size_t a = 0; a < N_ACTIONS; a++) {
            if (is_reached(&blast, &actions[a]) != reached[a]) {
                print_error("seed 20261123, scope %d, action %s\n", s, actions[a].name.ptr);
            }
            assert_int_equal(is_reached(&blast, &actions[a]), reached[a]);
            n += reached[a];
        }
        assert_int_equal(blast.n_reached, n);
        assert_int_equal(blast.n_actions, N_ACTIONS);
        /* there are longer paths than those of the universe: so not the other way round */
        assert_true(!outside || blast.within == SP_NOT_INCLUDED);
        n_reached += n;
        n_within += outside;
        sp_blast_done(&blast);
    }
    assert_in_range(n_reached, SCOPES, (size_t)SCOPES * N_ACTIONS - SCOPES); /* both happen */
    assert_in_range(n_within, 1, SCOPES - 1);
    free(u);
}

static void what_a_scope_reaches_beside_the_catalogue_is_proved_or_shown(void **state)
{
    struct kit *kit = *state;
    struct sp_blast blast;
    const struct sp_scope *s = kit_scope(kit, "  allow GET https://api.test/a/*\n"
                                              "  allow GET https://other.test/**");
    assert_int_equal(sp_scope_blast(s, &catalogue, 1, &blast), SP_OK);
    assert_int_equal(blast.within, SP_INCLUDED);
    assert_int_equal(blast.n_unknown_hosts, 1);
    assert_true(sp_text_is(blast.unknown_hosts[0], "other.test"));
    sp_blast_done(&blast);
    s = kit_scope(kit, "  allow {GET DELETE} https://api.test/a/*");
    assert_int_equal(sp_scope_blast(s, &catalogue, 1, &blast), SP_OK);
    assert_int_equal(blast.within, SP_INCLUDED); /* a.x and a.x.delete are all of it */
    assert_int_equal(blast.items[0].class, SP_BLAST_ESCALATES);
    assert_true(sp_text_is(blast.items[0].url, "https://api.test/a/b"));
    sp_blast_done(&blast);
    s = kit_scope(kit, "  allow GET https://api.test/a/*/**");
    assert_int_equal(sp_scope_blast(s, &catalogue, 1, &blast), SP_OK);
    assert_int_equal(blast.within, SP_NOT_INCLUDED);
    assert_true(sp_text_starts(blast.outside, SP_TEXT("GET https://api.test/a/")));
    sp_blast_done(&blast);
}

static void a_condition_is_shown_with_a_request_that_meets_it(void **state)
{
    struct kit *kit = *state;
    struct sp_blast blast;
    const struct sp_scope *s = kit_scope(
        kit,
        "  @cut allow DELETE https://api.test/b/c where body.n in 3..5\n"
        "  @no allow DELETE https://api.test/a/b where body.n in 3..5 and body.n in 7..9\n");
    assert_int_equal(sp_scope_blast(s, &catalogue, 1, &blast), SP_OK);
    assert_int_equal(blast.n_items, 1);
    assert_true(sp_text_is(blast.items[0].action->name, "b.rest"));
    assert_true(sp_text_is(blast.items[0].where, "body.n in 3..5"));
    assert_true(sp_text_starts(blast.items[0].example, SP_TEXT("DELETE https://api.test/b/c")));
    assert_int_equal(blast.n_reached, 1);
    sp_blast_done(&blast);
    assert_int_equal(sp_scope_blast(s, NULL, 0, &blast), SP_OK);
    assert_int_equal(blast.n_actions, 0);
    assert_int_equal(blast.n_unknown_hosts, 1);
    sp_blast_done(&blast);
}

/* Twice removed, and told in another order than their paths'. */
static void what_is_there_at_two_paths_is_one_action_and_graphql_is_none(void **state)
{
    static const struct sp_catalogue_action list[] = {
        {.name = {"a/b/x", 5},
         .path = {"/a/b/x", 6},
         .method = SP_METHOD_GET,
         .same_as = &list[1]},
        {.name = {"b/x", 3}, .path = {"/b/x", 4}, .method = SP_METHOD_GET, .same_as = &list[3]},
        {.name = {"graphql", 7},
         .path = {"/graphql", 8},
         .method = SP_METHOD_POST,
         .is_graphql = true},
        {.name = {"x", 1}, .path = {"/x", 2}, .method = SP_METHOD_GET},
        {.name = {"y", 1}, .path = {"/y", 2}, .method = SP_METHOD_GET},
    };
    static const struct sp_catalogue twice = {{"twice", 5}, &host, 1, list, 5};
    static const struct {
        const char *rules;
        size_t n_items, n_reached;
        bool graphql;
    } rows[] = {
        {"  allow GET https://api.test/**", 4, 2, false},
        {"  allow GET https://api.test/a/**", 1, 1, false},
        {"  allow {GET POST} https://api.test/**", 5, 2, true},
        {"  allow POST https://api.test/graphql", 1, 0, true},
        {"  allow GET https://api.test/z", 0, 0, false},
    };
    struct kit *kit = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sp_blast blast;
        const struct sp_scope *s = kit_scope(kit, rows[i].rules);
        assert_int_equal(sp_scope_blast(s, &twice, 1, &blast), SP_OK);
        assert_int_equal(blast.n_items, rows[i].n_items);
        assert_int_equal(blast.n_reached, rows[i].n_reached);
        assert_int_equal(blast.n_actions, 2);
        assert_int_equal(blast.reaches_graphql, rows[i].graphql);
        sp_blast_done(&blast);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(what_is_there_at_two_paths_is_one_action_and_graphql_is_none),
        kit_test(blast_agrees_with_enumeration),
        kit_test(what_a_scope_reaches_beside_the_catalogue_is_proved_or_shown),
        kit_test(a_condition_is_shown_with_a_request_that_meets_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
