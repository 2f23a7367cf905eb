/* The compiled matcher beside the interpreter: the same verdicts, states linear in the rules.
 */
#include "automaton/automaton.h"
#include "policy_kit.h"

#include <inttypes.h>

enum { RULES_TEXT_MAX = 4 << 20 };

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *memory, size_t size);

static size_t allocations, fail_at = SIZE_MAX;

static bool fails(void)
{
    return allocations++ == fail_at;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails() ? NULL : __real_realloc(memory, size);
}

/* The scope s of n rules, rule by rule from make. */
typedef void (*make_rule)(struct sp_buf *rules, unsigned i, unsigned n);

static const struct sp_scope *scope_of(struct kit *kit, make_rule make, unsigned n)
{
    struct sp_buf rules;
    sp_buf_init(&rules, RULES_TEXT_MAX);
    for (unsigned i = 0; i < n; i++) {
        make(&rules, i, n);
    }
    assert_false(rules.failed);
    const struct sp_scope *scope = kit_scope(kit, sp_buf_text(&rules).ptr);
    sp_buf_done(&rules);
    return scope;
}

/* The interpreter, the automaton and the bits say the same; the verdict comes back. */
static struct sp_verdict agreed(const struct sp_scope *scope, const struct sp_request *request)
{
    struct sp_matcher *matchers[2];
    struct sp_verdict verdict = kit_match(scope, request);
    assert_int_equal(sp_matcher_new(scope, &matchers[0]), SP_OK);
    assert_int_equal(matcher_new_bounded(scope, 0, &matchers[1]), SP_OK);
    for (unsigned i = 0; i < 2; i++) {
        struct sp_match decision;
        sp_matcher_decide(matchers[i], request, &decision);
        assert_int_equal(decision.allowed, verdict.allowed);
        assert_int_equal(decision.reason, verdict.reason);
        assert_ptr_equal(decision.rule, verdict.rule);
        sp_matcher_free(matchers[i]);
    }
    return verdict;
}

static void expect(struct kit *kit, const struct sp_scope *scope, const char *line,
                   enum sp_verdict_reason reason, const char *label)
{
    char method[8];
    int at = 0;
    assert_int_equal(sscanf(line, "%7s %n", method, &at), 1);
    struct sp_request request = kit_request(kit, method, line + at);
    struct sp_verdict verdict = agreed(scope, &request);
    if (verdict.reason != reason) {
        print_error("%s: reason %d\n", line, (int)verdict.reason);
    }
    assert_int_equal(verdict.reason, reason);
    assert_true(verdict.rule ? sp_text_is(sp_rule_label(verdict.rule), label) : !*label);
}

static void T22_each_kind_of_segment_is_matched_as_by_the_interpreter(void **state)
{
    struct kit *kit = *state;
    const struct sp_scope *s = kit_scope(kit, "@lit allow GET https://h.test/a/five\n"
                                              "@pre allow GET https://h.test/a/fi*\n"
                                              "@pre2 allow GET https://h.test/a/fiv*\n"
                                              "@int allow GET https://h.test/a/{n:int}\n"
                                              "@sla allow GET https://h.test/b/{p:slash}/end\n"
                                              "@tail allow GET https://h.test/c/*/\n"
                                              "@rest allow POST https://h.test/d/**\n"
                                              "@no deny * https://h.test/d/Secret/x*\n");
    expect(kit, s, "GET https://h.test/a/five", SP_VERDICT_ALLOWED, "lit");
    expect(kit, s, "GET https://h.test/a/fivers", SP_VERDICT_ALLOWED, "pre");
    expect(kit, s, "GET https://h.test/a/7", SP_VERDICT_ALLOWED, "int");
    expect(kit, s, "GET https://h.test/a/07", SP_VERDICT_PATH, "");
    expect(kit, s, "GET https://h.test/a/-7", SP_VERDICT_PATH, "");
    expect(kit, s, "GET https://h.test/a/FIVE", SP_VERDICT_PATH, "");
    expect(kit, s, "GET https://h.test/b/x%2Fy/end", SP_VERDICT_ALLOWED, "sla");
    expect(kit, s, "GET https://h.test/b/x/end", SP_VERDICT_ALLOWED, "sla");
    expect(kit, s, "GET https://h.test/c/x/", SP_VERDICT_ALLOWED, "tail");
    expect(kit, s, "GET https://h.test/c/x", SP_VERDICT_PATH, "");
    expect(kit, s, "POST https://h.test/d/1/2/3/4/", SP_VERDICT_ALLOWED, "rest");
    expect(kit, s, "POST https://h.test/d/1%2F2", SP_VERDICT_PATH, "");
    expect(kit, s, "POST https://h.test/d", SP_VERDICT_PATH, "");
    expect(kit, s, "GET https://h.test/d/1", SP_VERDICT_METHOD, "rest");
    expect(kit, s, "POST https://h.test/d/sECRET/XY/", SP_VERDICT_DENY_RULE, "no");
    expect(kit, s, "POST https://h.test/d%2Fsecret/x", SP_VERDICT_DENY_RULE, "no");
    expect(kit, s, "GET https://other.test/a", SP_VERDICT_HOST, "");
    expect(kit, s, "GET http://h.test/a/five", SP_VERDICT_HOST, "");
    expect(kit, s, "GET https://h.test/", SP_VERDICT_PATH, "");
}

/* No parser makes an empty part, but the matcher does not rely on that. */
static void T22_an_integer_of_a_deny_is_never_an_empty_part(void **state)
{
    struct kit *kit = *state;
    const struct sp_scope *s = kit_scope(kit, "@all allow GET https://h.test/a/{p:slash}\n"
                                              "@two deny GET https://h.test/a/{n:int}/*\n");
    struct sp_request request = kit_request(kit, "GET", "https://h.test/a/b");
    struct sp_segment segments[2] = {request.url.segments[0], {SP_TEXT("/b"), true}};
    request.url.segments = segments;
    assert_int_equal(agreed(s, &request).reason, SP_VERDICT_ALLOWED);
    segments[1].text = SP_TEXT("1/");
    assert_int_equal(agreed(s, &request).reason, SP_VERDICT_DENY_RULE);
    segments[1].text = SP_TEXT("");
    assert_int_equal(agreed(s, &request).reason, SP_VERDICT_ALLOWED);
}

/* More atoms than a mask holds, and fewer. */
static void shared_atoms(struct sp_buf *rules, unsigned i, unsigned n)
{
    sp_buf_addf(rules,
                "@r%u allow POST https://h.test/x where body.a = %u and not "
                "(body.b = %u or body.c = \"%u\")\n",
                i, i % 7, i % 5, n > 50 ? i : i % 3);
}

static void T22_shared_atoms_give_the_verdict_of_each_rule_alone(void **state)
{
    struct kit *kit = *state;
    static const unsigned sizes[] = {1, 2, 30, 200};
    for (unsigned k = 0; k < 4; k++) {
        const struct sp_scope *s = scope_of(kit, shared_atoms, sizes[k]);
        unsigned allowed = 0;
        for (unsigned i = 0; i < 64; i++) {
            char form[64];
            (void)snprintf(form, sizeof form, i % 8 == 7 ? "a=%u&b=%u" : "a=%u&b=%u&c=%u",
                           i % 8, i / 8, i % 3);
            struct sp_request request = kit_form(kit, "https://h.test/x", form);
            allowed += agreed(s, &request).allowed;
        }
        assert_true(allowed > 0 && allowed < 64);
    }
}

/* ---- cost ----------------------------------------------------------------------------
 */

static void plain(struct sp_buf *rules, unsigned i, unsigned n)
{
    (void)n;
    sp_buf_addf(rules, "allow GET https://h.test/repos/*/*/r%u/{n:int}/p%u*\n", i / 3, i);
}

static void trailing(struct sp_buf *rules, unsigned i, unsigned n)
{
    (void)n;
    sp_buf_addf(rules, "allow GET https://h.test/t%u/x/**\n", i);
}

static void nested(struct sp_buf *rules, unsigned i, unsigned n)
{
    (void)n;
    sp_buf_addf(rules, "%s GET https://h.test/*/a%u/**\n", i % 2 ? "allow" : "deny", i);
}

static void denies(struct sp_buf *rules, unsigned i, unsigned n)
{
    (void)n;
    sp_buf_addf(rules, "%s GET https://h.test/A%u/*/b%u\n", i % 2 ? "allow" : "deny", i, i % 9);
}

static void hosts(struct sp_buf *rules, unsigned i, unsigned n)
{
    (void)n;
    sp_buf_addf(rules, "allow GET https://h%u.test/**\n", i);
}

/* A literal at a place of its own, anything elsewhere: 2^n sets of rules. */
static void crossing(struct sp_buf *rules, unsigned i, unsigned n)
{
    sp_buf_addf(rules, "allow GET https://h.test");
    for (unsigned k = 0; k < 16; k++) {
        sp_buf_addf(rules, k == i % 16 ? "/l%u" : "/*", i / 16);
    }
    sp_buf_addf(rules, "%s\n", n > 0 ? "/**" : "");
}

struct cost {
    size_t states, work;
    bool bits;
};

static struct cost cost_of(struct kit *kit, make_rule make, unsigned n)
{
    const struct sp_scope *scope = scope_of(kit, make, n);
    struct sp_matcher *m = NULL;
    assert_int_equal(sp_matcher_new(scope, &m), SP_OK);
    struct cost cost = {sp_matcher_n_states(m), m->work + m->n_cells + m->edges.n,
                        sp_matcher_is_bit_parallel(m)};
    sp_matcher_free(m);
    return cost;
}

static void T22_double_the_rules_cost_at_most_2_3_times_as_much(void **state)
{
    struct kit *kit = *state;
    static const make_rule makes[] = {plain, trailing, nested, denies, hosts, crossing};
    for (unsigned i = 0; i < sizeof makes / sizeof *makes; i++) {
        for (unsigned n = 500; n <= 4000; n *= 2) {
            struct cost one = cost_of(kit, makes[i], n), two = cost_of(kit, makes[i], 2 * n);
            if (two.work * 10 > one.work * 23 || two.states * 10 > one.states * 23 + 100) {
                print_error("family %u: %u rules %zu states %zu work, twice: %zu, %zu\n", i, n,
                            one.states, one.work, two.states, two.work);
            }
            assert_true(two.work * 10 <= one.work * 23);
            assert_true(two.states * 10 <= one.states * 23 + 100);
        }
    }
}

static void T22_ordinary_rules_make_an_automaton_of_few_states(void **state)
{
    struct kit *kit = *state;
    static const make_rule makes[] = {plain, trailing, denies, hosts};
    for (unsigned i = 0; i < sizeof makes / sizeof *makes; i++) {
        struct cost cost = cost_of(kit, makes[i], 2000);
        assert_false(cost.bits);
        assert_true(cost.states < 4 * 2000);
    }
}

static void T22_crossing_literals_fall_back_and_agree(void **state)
{
    struct kit *kit = *state;
    const struct sp_scope *s = scope_of(kit, crossing, 200);
    struct sp_matcher *m = NULL;
    assert_int_equal(sp_matcher_new(s, &m), SP_OK);
    assert_true(sp_matcher_is_bit_parallel(m));
    assert_true(sp_matcher_n_states(m) < 16 * 200 * 18 + 2048);
    uint64_t chance = 1;
    for (unsigned i = 0; i < 2000; i++) {
        struct sp_buf url;
        sp_buf_init(&url, 4096);
        sp_buf_add_str(&url, "https://h.test");
        for (unsigned k = 0; k < 17; k++) {
            chance = chance * 6364136223846793005u + 1442695040888963407u;
            sp_buf_addf(&url, "/l%u", (unsigned)(chance >> 33) % 100);
        }
        struct sp_request request = kit_request(kit, "GET", sp_buf_text(&url).ptr);
        struct sp_verdict verdict = kit_match(s, &request);
        struct sp_match decision;
        sp_matcher_decide(m, &request, &decision);
        assert_int_equal(decision.reason, verdict.reason);
        assert_ptr_equal(decision.rule, verdict.rule);
        sp_buf_done(&url);
    }
    sp_matcher_free(m);
}

/* Larger scopes than the oracle's, over few words, so that much overlaps. */
static uint64_t dice = 7;

static unsigned roll(unsigned n)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(dice >> 33) % n;
}

static void dense(struct sp_buf *rules, unsigned i, unsigned n)
{
    static const char *const segments[] = {"a",  "ab", "abc", "b", "A",        "7",
                                           "a*", "B*", "ab*", "*", "{%s:int}", "{%s:slash}"};
    static const char *const names[] = {"p", "q", "r", "s"};
    (void)n;
    sp_buf_addf(rules, "@r%u %s %s https://h%u.test", i, roll(20) ? "allow" : "deny",
                roll(2) ? "GET" : "POST", roll(2));
    unsigned depth = 1 + roll(4);
    for (unsigned d = 0; d < depth; d++) {
        const char *segment = segments[roll(12)];
        sp_buf_add_str(rules, "/");
        if (segment[0] == '{') {
            sp_buf_addf(rules, segment[4] == 'i' ? "{%s:int}" : "{%s:slash}", names[d]);
        } else {
            sp_buf_add_str(rules, segment);
        }
    }
    static const char *const ends[] = {"\n", "\n", "/\n", "/**\n"};
    sp_buf_add_str(rules, ends[roll(4)]);
}

static void T22_a_hundred_overlapping_rules_decide_as_the_interpreter_does(void **state)
{
    struct kit *kit = *state;
    static const char *const words[] = {"a",   "ab",  "abc", "abcd", "b",     "A",
                                        "bcd", "Bcd", "7",   "70",   "a%2Fb", "a%2F7",
                                        "q",   "AB",  "abX", "-7",   "7%2FB", "ab%2Fc"};
    for (unsigned round = 0; round < 60; round++) {
        const struct sp_scope *s = scope_of(kit, dense, 10 + 4 * round);
        struct sp_matcher *automaton = NULL, *bits = NULL;
        assert_int_equal(sp_matcher_new(s, &automaton), SP_OK);
        assert_int_equal(matcher_new_bounded(s, 0, &bits), SP_OK);
        for (unsigned i = 0; i < 500; i++) {
            char url[256] = "https://h0.test";
            size_t len = strlen(url);
            url[9] = (char)('0' + roll(3));
            for (unsigned d = roll(6); d > 0; d--) {
                len += (size_t)snprintf(url + len, sizeof url - len, "/%s", words[roll(18)]);
            }
            (void)snprintf(url + len, sizeof url - len, "%s", roll(4) ? "" : "/");
            struct sp_request request = kit_request(kit, roll(2) ? "GET" : "POST", url);
            struct sp_verdict v = kit_match(s, &request);
            struct sp_match a, b;
            sp_matcher_decide(automaton, &request, &a);
            sp_matcher_decide(bits, &request, &b);
            if (a.rule != v.rule || a.reason != v.reason || b.rule != v.rule ||
                b.reason != v.reason) {
                print_error("%s: %d, automaton %d, bits %d\n", url, (int)v.reason,
                            (int)a.reason, (int)b.reason);
                fail();
            }
        }
        sp_matcher_free(automaton);
        sp_matcher_free(bits);
        sp_arena_reset(&kit->arena);
    }
}

static void deciding_allocates_nothing(void **state)
{
    struct kit *kit = *state;
    const struct sp_scope *s = scope_of(kit, nested, 100);
    struct sp_matcher *matchers[2];
    struct sp_request request = kit_request(kit, "GET", "https://h.test/x/a5/y%2Fz");
    assert_int_equal(sp_matcher_new(s, &matchers[0]), SP_OK);
    assert_int_equal(matcher_new_bounded(s, 0, &matchers[1]), SP_OK);
    size_t before = allocations;
    for (unsigned i = 0; i < 2; i++) {
        struct sp_match decision;
        sp_matcher_decide(matchers[i], &request, &decision);
    }
    assert_int_equal(allocations, before);
    sp_matcher_free(matchers[0]);
    sp_matcher_free(matchers[1]);
}

/* Each allocation in turn; the sanitizers see what is then lost or freed twice. */
static void a_matcher_without_memory_is_refused_and_frees_what_it_had(void **state)
{
    struct kit *kit = *state;
    const struct sp_scope *s = scope_of(kit, dense, 40);
    for (unsigned bits = 0; bits < 2; bits++) {
        sp_status status = SP_ENOMEM;
        for (size_t i = 0; status != SP_OK; i++) {
            struct sp_matcher *m = NULL;
            fail_at = allocations + i;
            status = matcher_new_bounded(s, bits ? 0 : SIZE_MAX, &m);
            fail_at = SIZE_MAX;
            assert_true(status == SP_OK ? m != NULL : status == SP_ENOMEM && !m);
            assert_true(i < 10000);
            sp_matcher_free(m);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(T22_each_kind_of_segment_is_matched_as_by_the_interpreter),
        kit_test(T22_an_integer_of_a_deny_is_never_an_empty_part),
        kit_test(T22_shared_atoms_give_the_verdict_of_each_rule_alone),
        kit_test(T22_double_the_rules_cost_at_most_2_3_times_as_much),
        kit_test(T22_ordinary_rules_make_an_automaton_of_few_states),
        kit_test(T22_crossing_literals_fall_back_and_agree),
        kit_test(T22_a_hundred_overlapping_rules_decide_as_the_interpreter_does),
        kit_test(deciding_allocates_nothing),
        kit_test(a_matcher_without_memory_is_refused_and_frees_what_it_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
