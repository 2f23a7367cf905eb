/* What decisions, compiling and proofs cost on real and on large scopes. Prints one JSON
 * object.
 *
 *   bench_decide decide SCOPE REQUESTS   requests: lines of "allow GET URL", "deny GET URL"
 *   bench_decide growth SMALL REQUESTS LARGE REQUESTS   the two by turns
 *   bench_decide body SCOPE URL BODY     a POST of that JSON, which the scope allows
 *   bench_decide compile SCOPE
 *   bench_decide include OLD NEW         both ways
 *
 * Warm: all requests in a random order, again and again; the median over batches of 16, and of
 * single decisions with the clock's own time taken off. Cold: each time after memory larger
 * than the caches was read, so that request, scope and automaton come from memory. */
#include "bench.h"
#include "canonical.h"
#include "policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    REQUESTS_MAX = 65536,
    BATCH = 16,
    BATCHES = 40000,
    SINGLES = 200000,
    COLD = 600,
    COLD_BYTES = 96 << 20,
    COMPILES = 15,
    TURNS = 15,
    ARENA_BYTES = 1 << 30,
};

struct world {
    struct sp_arena arena;
    struct sp_policy *policy;
    struct sp_scope *scope;
    struct sp_matcher *matcher;
    struct sp_request requests[REQUESTS_MAX];
    bool expected[REQUESTS_MAX];
    size_t n;
};

/* ---- reading --------------------------------------------------------------------------------
 */

/* NUL-terminated, in the arena. */
static char *read_file(struct sp_arena *arena, const char *path)
{
    FILE *file = fopen(path, "rb");
    long size = 0;
    if (!file || fseek(file, 0, SEEK_END) || (size = ftell(file)) < 0 ||
        fseek(file, 0, SEEK_SET)) {
        bench_die(path, "cannot be read");
    }
    char *text = sp_arena_alloc(arena, (size_t)size + 1);
    if (!text || fread(text, 1, (size_t)size, file) != (size_t)size) {
        bench_die(path, "cannot be read");
    }
    text[size] = '\0';
    (void)fclose(file);
    return text;
}

static struct sp_policy *compile(const char *path, struct sp_text text)
{
    struct sp_source source = {path, text};
    const struct sp_world world = {0};
    struct sp_policy *policy = NULL;
    struct sp_diags diags;
    sp_diags_init(&diags);
    if (sp_policy_compile(&source, 1, &world, &diags, &policy)) {
        bench_die(path, diags.first ? diags.first->message : "does not compile");
    }
    sp_diags_done(&diags);
    return policy;
}

static struct sp_scope *freeze(const struct sp_policy *policy)
{
    struct sp_scope *scope = NULL;
    struct sp_error err = {""};
    if (sp_scope_freeze(sp_policy_scope(policy, 0), NULL, 0, &scope, &err)) {
        bench_die("scope", err.text);
    }
    return scope;
}

static void world_init(struct world *w, const char *path)
{
    sp_arena_init(&w->arena, ARENA_BYTES);
    w->policy = compile(path, sp_text_of(read_file(&w->arena, path)));
    w->scope = freeze(w->policy);
    if (sp_matcher_new(w->scope, &w->matcher)) {
        bench_die(path, "has no matcher");
    }
}

static void world_done(struct world *w)
{
    sp_matcher_free(w->matcher);
    sp_scope_free(w->scope);
    sp_policy_free(w->policy);
    sp_arena_done(&w->arena);
}

static void add_request(struct world *w, const char *method, const char *url, bool expected)
{
    struct sp_error err = {""};
    struct sp_match match;
    if (w->n == REQUESTS_MAX || sp_request_init(&w->arena, sp_text_of(method), sp_text_of(url),
                                                &w->requests[w->n], &err)) {
        bench_die(url, w->n == REQUESTS_MAX ? "is one too many" : err.text);
    }
    sp_matcher_decide(w->matcher, &w->requests[w->n], &match);
    if (match.allowed != expected) {
        bench_die(url, "is judged wrongly");
    }
    w->expected[w->n++] = expected;
}

static void read_requests(struct world *w, const char *path)
{
    char *text = read_file(&w->arena, path), *line = text, *end;
    for (; line && *line; line = end ? end + 1 : NULL) {
        char verdict[16], method[16], url[SP_URL_MAX_BYTES];
        end = strchr(line, '\n');
        if (end) {
            *end = '\0';
        }
        if (sscanf(line, "%15s %15s %8191s", verdict, method, url) != 3) {
            bench_die(path, "a line is no request");
        }
        add_request(w, method, url, strcmp(verdict, "allow") == 0);
    }
}

/* ---- timing ---------------------------------------------------------------------------------
 */

static uint64_t random_state = 0x9e3779b97f4a7c15u;

static size_t random_below(size_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (size_t)(random_state >> 11) % n;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The value that a share of them does not exceed; sorts. */
static double quantile(double *values, size_t n, double share)
{
    qsort(values, n, sizeof *values, compare_doubles);
    size_t at = (size_t)((double)n * share);
    return values[at < n ? at : n - 1];
}

static double clock_ns(void)
{
    static double took[10000];
    for (size_t i = 0; i < 10000; i++) {
        uint64_t begun = bench_now_ns();
        took[i] = (double)(bench_now_ns() - begun);
    }
    return quantile(took, 10000, 0.5);
}

/* Requests of one kind, in a random order. */
static size_t pick(const struct world *w, int kind, uint32_t *ret_order)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++) {
        if (kind < 0 || w->expected[i] == (kind > 0)) {
            ret_order[n++] = (uint32_t)i;
        }
    }
    for (size_t i = n; i > 1; i--) {
        size_t j = random_below(i);
        uint32_t swapped = ret_order[i - 1];
        ret_order[i - 1] = ret_order[j];
        ret_order[j] = swapped;
    }
    if (n == 0) {
        bench_die("requests", "there are none of one kind");
    }
    return n;
}

static size_t n_allowed; /* so that no decision can be left out */

static void decide(const struct world *w, uint32_t i)
{
    struct sp_match match;
    sp_matcher_decide(w->matcher, &w->requests[i], &match);
    n_allowed += match.allowed;
}

/* Nanoseconds of one decision, warm. kind: 1 hits, 0 misses, -1 both. */
static double warm_ns(const struct world *w, int kind)
{
    static double took[BATCHES];
    static uint32_t order[REQUESTS_MAX];
    size_t n = pick(w, kind, order), at = 0;
    for (size_t lap = 0; lap < BATCHES + BATCHES / 4; lap++) {
        uint64_t begun = bench_now_ns();
        for (size_t i = 0; i < BATCH; i++) {
            decide(w, order[at]);
            at = at + 1 == n ? 0 : at + 1;
        }
        took[lap % BATCHES] = (double)(bench_now_ns() - begun) / BATCH;
    }
    return quantile(took, BATCHES, 0.5);
}

static void single_ns(const struct world *w, double *ret_p50, double *ret_p99)
{
    static double took[SINGLES];
    static uint32_t order[REQUESTS_MAX];
    size_t n = pick(w, -1, order);
    double clock = clock_ns();
    for (size_t i = 0; i < SINGLES; i++) {
        uint64_t begun = bench_now_ns();
        decide(w, order[i % n]);
        took[i] = (double)(bench_now_ns() - begun) - clock;
    }
    *ret_p50 = quantile(took, SINGLES, 0.5);
    *ret_p99 = quantile(took, SINGLES, 0.99);
}

static void cold_ns(const struct world *w, double *ret_p50, double *ret_p99)
{
    static double took[COLD];
    static uint32_t order[REQUESTS_MAX];
    size_t n = pick(w, -1, order);
    double clock = clock_ns();
    uint64_t *other = calloc(COLD_BYTES, 1);
    if (!other) {
        bench_die("memory", "there is too little");
    }
    for (size_t i = 0; i < COLD; i++) {
        for (size_t k = 0; k < COLD_BYTES / sizeof *other; k += 8) {
            other[k]++;
        }
        uint64_t begun = bench_now_ns();
        decide(w, order[i % n]);
        took[i] = (double)(bench_now_ns() - begun) - clock;
    }
    n_allowed += other[random_below(1024)] == 0;
    free(other);
    *ret_p50 = quantile(took, COLD, 0.5);
    *ret_p99 = quantile(took, COLD, 0.99);
}

/* ---- what is measured -----------------------------------------------------------------------
 */

static void run_decide(const char *scope, const char *requests)
{
    static struct world w;
    double p50, p99, cold_p50, cold_p99;
    world_init(&w, scope);
    read_requests(&w, requests);
    double both = warm_ns(&w, -1), hits = warm_ns(&w, 1), misses = warm_ns(&w, 0);
    single_ns(&w, &p50, &p99);
    cold_ns(&w, &cold_p50, &cold_p99);
    (void)printf("{\"decision_ns\":%.1f,\"hit_ns\":%.1f,\"miss_ns\":%.1f,\"p50_ns\":%.0f,"
                 "\"p99_ns\":%.0f,\"cold_p50_ns\":%.0f,\"cold_p99_ns\":%.0f,\"rules\":%zu,"
                 "\"requests\":%zu,\"states\":%zu,\"bit_parallel\":%s}\n",
                 both, hits, misses, p50, p99, cold_p50, cold_p99, sp_scope_n_rules(w.scope),
                 w.n, sp_matcher_n_states(w.matcher),
                 sp_matcher_is_bit_parallel(w.matcher) ? "true" : "false");
    world_done(&w);
}

/* The same number of requests of each, by turns, so that a busy neighbour hits both. */
static void run_growth(char **argv)
{
    static struct world small, large;
    double few[TURNS], many[TURNS], ratios[TURNS];
    world_init(&small, argv[0]);
    read_requests(&small, argv[1]);
    world_init(&large, argv[2]);
    read_requests(&large, argv[3]);
    if (small.n != large.n) {
        bench_die("growth", "needs as many requests of each");
    }
    for (size_t i = 0; i < TURNS; i++) {
        few[i] = warm_ns(&small, -1);
        many[i] = warm_ns(&large, -1);
        ratios[i] = many[i] / few[i];
    }
    (void)printf("{\"growth\":%.3f,\"small_ns\":%.1f,\"large_ns\":%.1f,"
                 "\"small_rules\":%zu,\"large_rules\":%zu,\"requests\":%zu}\n",
                 quantile(ratios, TURNS, 0.5), quantile(few, TURNS, 0.5),
                 quantile(many, TURNS, 0.5), sp_scope_n_rules(small.scope),
                 sp_scope_n_rules(large.scope), small.n);
    world_done(&small);
    world_done(&large);
}

static void judge(struct sp_arena *arena, struct sp_request *request)
{
    request->body_kind = SP_BODY_UNREAD;
    sp_judge_body(arena, request);
    if (request->body_kind != SP_BODY_JSON) {
        bench_die("body", "is not read as JSON");
    }
}

static void run_body(const char *scope, const char *url, const char *body)
{
    static struct world w;
    static double took[BATCHES];
    static const struct sp_header type = {{"content-type", 12}, {"application/json", 16}};
    struct sp_arena arena;
    struct sp_request *request = &w.requests[0];
    struct sp_match match;
    world_init(&w, scope);
    sp_arena_init(&arena, 16 << 20);
    struct sp_error err = {""};
    if (sp_request_init(&w.arena, SP_TEXT("POST"), sp_text_of(url), request, &err)) {
        bench_die(url, err.text);
    }
    request->headers = &type;
    request->n_headers = 1;
    request->body = sp_text_of(read_file(&w.arena, body));
    judge(&w.arena, request);
    sp_matcher_decide(w.matcher, request, &match);
    if (!match.allowed || !sp_matcher_wants_body(w.matcher, request)) {
        bench_die(url, "is judged wrongly");
    }
    for (size_t lap = 0; lap < BATCHES; lap++) {
        uint64_t begun = bench_now_ns();
        for (size_t i = 0; i < BATCH; i++) {
            decide(&w, 0);
        }
        took[lap] = (double)(bench_now_ns() - begun) / BATCH;
    }
    double bare = quantile(took, BATCHES, 0.5);
    for (size_t lap = 0; lap < BATCHES; lap++) {
        uint64_t begun = bench_now_ns();
        judge(&arena, request);
        decide(&w, 0);
        sp_arena_reset(&arena);
        took[lap] = (double)(bench_now_ns() - begun);
    }
    double parsed = quantile(took, BATCHES, 0.5);
    (void)printf("{\"decision_ns\":%.1f,\"with_parse_ns\":%.1f,\"bytes\":%zu}\n", bare, parsed,
                 request->body.len);
    sp_arena_done(&arena);
    world_done(&w);
}

/* From text to a matcher; each step's median. */
static void run_compile(const char *path)
{
    double policy_ms[COMPILES], freeze_ms[COMPILES], matcher_ms[COMPILES], all_ms[COMPILES];
    struct sp_arena arena;
    size_t n_rules = 0;
    sp_arena_init(&arena, ARENA_BYTES);
    struct sp_text text = sp_text_of(read_file(&arena, path));
    for (size_t i = 0; i < COMPILES; i++) {
        struct sp_matcher *matcher = NULL;
        uint64_t begun = bench_now_ns();
        struct sp_policy *policy = compile(path, text);
        uint64_t compiled = bench_now_ns();
        struct sp_scope *scope = freeze(policy);
        uint64_t frozen = bench_now_ns();
        if (sp_matcher_new(scope, &matcher)) {
            bench_die(path, "has no matcher");
        }
        uint64_t ended = bench_now_ns();
        policy_ms[i] = (double)(compiled - begun) / 1e6;
        freeze_ms[i] = (double)(frozen - compiled) / 1e6;
        matcher_ms[i] = (double)(ended - frozen) / 1e6;
        all_ms[i] = (double)(ended - begun) / 1e6;
        n_rules = sp_scope_n_rules(scope);
        sp_matcher_free(matcher);
        sp_scope_free(scope);
        sp_policy_free(policy);
    }
    (void)printf("{\"compile_ms\":%.3f,\"policy_ms\":%.3f,\"freeze_ms\":%.3f,"
                 "\"matcher_ms\":%.3f,\"rules\":%zu}\n",
                 quantile(all_ms, COMPILES, 0.5), quantile(policy_ms, COMPILES, 0.5),
                 quantile(freeze_ms, COMPILES, 0.5), quantile(matcher_ms, COMPILES, 0.5),
                 n_rules);
    sp_arena_done(&arena);
}

static double include_ms(const struct sp_scope *outer, const struct sp_scope *inner,
                         const char **ret_said)
{
    static const char *const words[] = {"included", "not included", "too hard"};
    double took[COMPILES];
    for (size_t i = 0; i < COMPILES; i++) {
        struct sp_error why = {""};
        struct sp_witness witness = {.found = false};
        uint64_t begun = bench_now_ns();
        enum sp_inclusion said = sp_scope_compare(outer, inner, false, &witness, &why);
        took[i] = (double)(bench_now_ns() - begun) / 1e6;
        *ret_said = words[said];
        if (witness.found) {
            sp_witness_done(&witness);
        }
    }
    return quantile(took, COMPILES, 0.5);
}

static void run_include(const char *old_path, const char *new_path)
{
    static struct world older, newer;
    const char *narrower = NULL, *wider = NULL;
    world_init(&older, old_path);
    world_init(&newer, new_path);
    double new_in_old = include_ms(older.scope, newer.scope, &narrower);
    double old_in_new = include_ms(newer.scope, older.scope, &wider);
    (void)printf("{\"new_in_old_ms\":%.3f,\"new_in_old\":\"%s\",\"old_in_new_ms\":%.3f,"
                 "\"old_in_new\":\"%s\",\"rules\":%zu}\n",
                 new_in_old, narrower, old_in_new, wider, sp_scope_n_rules(older.scope));
    world_done(&older);
    world_done(&newer);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "decide") == 0) {
        run_decide(argv[2], argv[3]);
    } else if (argc == 6 && strcmp(argv[1], "growth") == 0) {
        run_growth(argv + 2);
    } else if (argc == 5 && strcmp(argv[1], "body") == 0) {
        run_body(argv[2], argv[3], argv[4]);
    } else if (argc == 3 && strcmp(argv[1], "compile") == 0) {
        run_compile(argv[2]);
    } else if (argc == 4 && strcmp(argv[1], "include") == 0) {
        run_include(argv[2], argv[3]);
    } else {
        bench_die("usage", "decide SCOPE REQUESTS | growth SMALL REQUESTS LARGE REQUESTS | "
                           "body SCOPE URL BODY | compile SCOPE | "
                           "include OLD NEW");
    }
    return n_allowed == SIZE_MAX; /* never */
}
