/* The fallback: one bit for each rule, one AND for each segment. What matches any segment is a
 * row of bits for each depth; what a literal or a prefix adds is a short list of words, so that
 * memory stays linear in the patterns. */
#include "automaton.h"
#include "match.h"

#include <assert.h>
#include <stdlib.h>

/* ---- building ------------------------------------------------------------------------
 */

static void set(uint64_t *row, size_t bit)
{
    row[bit / 64] |= (uint64_t)1 << bit % 64;
}

/* Rules come last to first, so a list that grows at its head is in order of the words. */
static bool cell_add(struct sp_matcher *m, uint32_t state, uint32_t symbol, size_t bit)
{
    uint32_t *list = edges_find(&m->edges, state, symbol), id = (uint32_t)m->n_cells;
    uint64_t mask = (uint64_t)1 << bit % 64;
    if (list && m->cells[*list].word == bit / 64) {
        m->cells[*list].mask |= mask;
        return true;
    }
    if (!room_for((void **)&m->cells, m->n_cells, &m->cells_room, sizeof *m->cells)) {
        return false;
    }
    m->cells[m->n_cells++] = (struct cell){mask, (uint32_t)(bit / 64), list ? *list : NONE};
    if (list) {
        *list = id;
        return true;
    }
    return edges_add(&m->edges, state, symbol, id);
}

static bool put_segment(struct sp_matcher *m, struct bits *bits, const struct segment *segment,
                        size_t depth, size_t bit, bool denies)
{
    size_t row = depth * bits->n_words;
    uint32_t symbol, kind = 0;
    switch (segment->kind) {
    case SEGMENT_PREFIX:
        kind = PREFIX_BIT;
        /* fall through */
    case SEGMENT_LITERAL:
        symbol = symbols_find(&m->symbols, segment->text, denies);
        m->states[bits->first_state + depth].literals |= kind == 0;
        assert(symbol != NONE); /* the trie took in all rules that are put here */
        return cell_add(m, bits->first_state + (uint32_t)depth, symbol | kind, bit);
    case SEGMENT_INT:
        set(bits->ints + row, bit);
        break;
    case SEGMENT_SLASH:
        set(bits->slash + row, bit);
        set(bits->wild + row, bit);
        break;
    case SEGMENT_PARAM: /* of a deny: an allow that is open is left out */
    case SEGMENT_STAR:
    case SEGMENT_ANY:
    case SEGMENT_REST:
        set(bits->wild + row, bit);
        break;
    }
    return true;
}

static bool put_rule(struct sp_matcher *m, struct bits *bits, const struct sp_rule *rule,
                     size_t bit)
{
    const struct url_pattern *url = &rule->url;
    bool rest = pattern_has_rest(url), good = true;
    size_t to = rest ? bits->n_depths : url->n_segments;
    if (!rule->denies && pattern_is_open(url)) {
        return true;
    }
    for (size_t d = 0; good && d < to; d++) {
        size_t i = d < url->n_segments ? d : url->n_segments - 1;
        good = put_segment(m, bits, &url->segments[i], d, bit, rule->denies);
    }
    for (size_t n = url->n_segments; n <= to; n++) {
        for (unsigned slash = 0; slash < 2; slash++) {
            if (rest || rule->denies || url->trailing_slash == (slash == 1)) {
                set(bits->ends[slash] + n * bits->n_words, bit);
            }
        }
    }
    if (rest) {
        set(bits->rest, bit);
    }
    return good;
}

/* The prefixes of one depth, in order; their lists were made with the rules. */
static bool put_prefixes(struct sp_matcher *m, uint32_t *ranks, size_t n, uint32_t state)
{
    size_t kept = words_sort(ranks, n);
    m->states[state].prefixes_at = (uint32_t)m->n_prefixes;
    m->states[state].n_prefixes = (uint32_t)kept;
    for (size_t i = 0; ranks && i < kept; i++) {
        uint32_t symbol = m->by_rank[ranks[i]];
        const uint32_t *list = edges_find(&m->edges, state, symbol | PREFIX_BIT);
        assert(list); /* put_depth asked for it */
        if (!room_for((void **)&m->prefixes, m->n_prefixes, &m->prefixes_room,
                      sizeof *m->prefixes)) {
            return false;
        }
        m->prefixes[m->n_prefixes++] =
            (struct prefix){m->symbols.texts[symbol], NONE, {*list, *list}};
    }
    if (kept > 0) {
        prefixes_link(&m->prefixes[m->states[state].prefixes_at], kept);
    }
    return true;
}

static bool put_depth(struct sp_matcher *m, struct bits *bits, size_t depth, bool denies)
{
    struct words ranks = {NULL, 0, 0};
    bool good = true;
    for (size_t i = 0; good && i < bits->n_rules; i++) {
        const struct url_pattern *url = &m->scope->rules[bits->rules[i]]->url;
        if (depth < url->n_segments && url->segments[depth].kind == SEGMENT_PREFIX) {
            uint32_t symbol = symbols_find(&m->symbols, url->segments[depth].text, denies);
            /* not there: a pattern with a parameter that is not filled in, which matches
             * nothing
             */
            good = symbol == NONE || !edges_find(&m->edges, bits->first_state + (uint32_t)depth,
                                                 symbol | PREFIX_BIT)
                       ? true
                       : words_add(&ranks, m->ranks[symbol]);
        }
    }
    good = good && put_prefixes(m, ranks.at, ranks.n, bits->first_state + (uint32_t)depth);
    free(ranks.at);
    return good;
}

static bool allocate(struct sp_matcher *m, const struct side *side, struct bits *bits)
{
    bits->rules = malloc((side->n_rules + 1) * sizeof *bits->rules);
    for (uint32_t i = side->first_rule; bits->rules && i != NONE; i = m->next_rule[i]) {
        size_t n = m->scope->rules[i]->url.n_segments;
        bits->rules[bits->n_rules++] = i;
        bits->n_depths = n > bits->n_depths ? n : bits->n_depths;
    }
    bits->n_words = (side->n_rules + 63) / 64;
    bits->first_state = (uint32_t)m->n_states;
    size_t rows = bits->n_depths + 1;
    bits->wild = calloc(rows * bits->n_words, sizeof(uint64_t));
    bits->ints = calloc(rows * bits->n_words, sizeof(uint64_t));
    bits->slash = calloc(rows * bits->n_words, sizeof(uint64_t));
    bits->ends[0] = calloc(rows * bits->n_words, sizeof(uint64_t));
    bits->ends[1] = calloc(rows * bits->n_words, sizeof(uint64_t));
    bits->rest = calloc(bits->n_words, sizeof(uint64_t));
    bool good = bits->rules && bits->wild && bits->ints && bits->slash && bits->ends[0] &&
                bits->ends[1] && bits->rest;
    for (size_t d = 0; good && d < bits->n_depths; d++) {
        good = states_add(m, &state_dead) != NONE;
    }
    return good;
}

struct bits *bits_new(struct sp_matcher *m, const struct side *side, bool denies)
{
    struct bits *bits = calloc(1, sizeof *bits);
    bool good = bits && allocate(m, side, bits);
    for (size_t i = good ? bits->n_rules : 0; good && i-- > 0;) {
        good = put_rule(m, bits, m->scope->rules[bits->rules[i]], i);
    }
    for (size_t d = 0; good && d < bits->n_depths; d++) {
        good = put_depth(m, bits, d, denies);
    }
    if (!good) {
        bits_free(bits);
        bits = NULL;
    }
    return bits;
}

void bits_free(struct bits *bits)
{
    if (bits) {
        free(bits->rules);
        free(bits->wild);
        free(bits->ints);
        free(bits->slash);
        free(bits->ends[0]);
        free(bits->ends[1]);
        free(bits->rest);
        free(bits);
    }
}

/* ---- running -------------------------------------------------------------------------
 */

/* The rules that are still in, and how far the path was read. */
struct alive {
    const struct sp_matcher *m;
    const struct bits *bits;
    bool denies;
    size_t depth;
    uint64_t words[BITS_WORDS_MAX];
};

static void add_cells(const struct alive *alive, uint32_t cell, uint64_t *row)
{
    for (; cell != NONE; cell = alive->m->cells[cell].next) {
        row[alive->m->cells[cell].word] |= alive->m->cells[cell].mask;
    }
}

static void add_texts(const struct alive *alive, struct sp_text text, uint64_t *row)
{
    const struct sp_matcher *m = alive->m;
    uint32_t at = alive->bits->first_state + (uint32_t)alive->depth;
    const struct state *state = &m->states[at];
    if (state->literals) {
        uint32_t symbol = symbols_find(&m->symbols, text, alive->denies);
        const uint32_t *cells = symbol == NONE ? NULL : edges_find(&m->edges, at, symbol);
        add_cells(alive, cells ? *cells : NONE, row);
    }
    if (state->n_prefixes > 0) {
        const struct prefix *prefixes = &m->prefixes[state->prefixes_at];
        uint32_t i = prefixes_find(prefixes, state->n_prefixes, text, alive->denies);
        for (; i != NONE; i = prefixes[i].parent) {
            add_cells(alive, prefixes[i].next[0], row);
        }
    }
}

static void start(struct alive *alive, const struct sp_matcher *m, const struct bits *bits,
                  bool denies)
{
    alive->m = m;
    alive->bits = bits;
    alive->denies = denies;
    alive->depth = 0;
    memset(alive->words, 0xff, bits->n_words * sizeof *alive->words);
}

static void keep(struct alive *alive, const uint64_t *row)
{
    for (size_t w = 0; w < alive->bits->n_words; w++) {
        alive->words[w] &= row[w];
    }
}

static void read_segment(struct alive *alive, const struct sp_segment *segment)
{
    const struct bits *bits = alive->bits;
    size_t at = alive->depth * bits->n_words;
    uint64_t row[BITS_WORDS_MAX];
    bool slash = segment->has_slash && !alive->denies;
    if (alive->depth >= bits->n_depths) {
        static const uint64_t nothing[BITS_WORDS_MAX];
        keep(alive, slash ? nothing : bits->rest);
    } else if (slash) {
        keep(alive, bits->slash + at);
    } else {
        memcpy(row, bits->wild + at, bits->n_words * sizeof *row);
        if (segment_is_int(segment->text)) {
            for (size_t w = 0; w < bits->n_words; w++) {
                row[w] |= bits->ints[at + w];
            }
        }
        add_texts(alive, segment->text, row);
        keep(alive, row);
    }
    alive->depth++;
}

static void read_path(struct alive *alive, const struct sp_url *url, bool split)
{
    struct match_parts parts = {.url = url};
    struct sp_segment part;
    if (split) {
        while (match_next_part(&parts, &part)) {
            read_segment(alive, &part);
        }
    } else {
        for (size_t i = 0; i < url->n_segments; i++) {
            read_segment(alive, &url->segments[i]);
        }
    }
    const struct bits *bits = alive->bits;
    keep(alive, alive->depth > bits->n_depths
                    ? bits->rest
                    : bits->ends[url->trailing_slash] + alive->depth * bits->n_words);
}

/* The next rule that is in, from *bit on; NONE. */
static uint32_t next_rule(const struct alive *alive, size_t *bit)
{
    while (*bit < alive->bits->n_rules) {
        uint64_t word = alive->words[*bit / 64] >> *bit % 64;
        if (word & 1) {
            return alive->bits->rules[(*bit)++];
        }
        *bit = word ? *bit + 1 : (*bit / 64 + 1) * 64;
    }
    return NONE;
}

static enum sp_verdict_reason judge_allow(const struct sp_rule *rule,
                                          const struct sp_request *request)
{
    if (!(rule->methods & request->method)) {
        return SP_VERDICT_METHOD;
    }
    if (!rule->where) {
        return SP_VERDICT_ALLOWED;
    }
    if (match_unreadable(rule, request)) {
        return SP_VERDICT_UNREADABLE;
    }
    return match_condition(rule->where, request) == TRUTH_TRUE ? SP_VERDICT_ALLOWED
                                                               : SP_VERDICT_CONDITION;
}

void bits_allow(const struct sp_matcher *m, const struct bits *bits,
                const struct sp_request *request, struct sp_match *ret_decision)
{
    struct alive alive;
    size_t bit = 0;
    *ret_decision = (struct sp_match){false, SP_VERDICT_PATH, NULL};
    start(&alive, m, bits, false);
    read_path(&alive, &request->url, false);
    for (uint32_t i; (i = next_rule(&alive, &bit)) != NONE;) {
        const struct sp_rule *rule = m->scope->rules[i];
        enum sp_verdict_reason reason = judge_allow(rule, request);
        /* Reasons are in the order of how near they come, but for the first. */
        if (reason == SP_VERDICT_ALLOWED || reason > ret_decision->reason) {
            *ret_decision = (struct sp_match){reason == SP_VERDICT_ALLOWED, reason, rule};
        }
        if (reason == SP_VERDICT_ALLOWED) {
            return;
        }
    }
}

uint32_t bits_deny(const struct sp_matcher *m, const struct bits *bits,
                   const struct sp_request *request, bool split)
{
    struct alive alive;
    size_t bit = 0;
    start(&alive, m, bits, true);
    read_path(&alive, &request->url, split);
    for (uint32_t i; (i = next_rule(&alive, &bit)) != NONE;) {
        const struct sp_rule *rule = m->scope->rules[i];
        if ((rule->methods & request->method) && deny_fires(rule, request, split)) {
            return i;
        }
    }
    return NONE;
}

bool bits_wants_body(const struct sp_matcher *m, const struct bits *bits,
                     const struct sp_request *request, bool denies, bool split)
{
    struct alive alive;
    size_t bit = 0;
    start(&alive, m, bits, denies);
    read_path(&alive, &request->url, split);
    for (uint32_t i; (i = next_rule(&alive, &bit)) != NONE;) {
        if (m->scope->rules[i]->reads_body && (m->scope->rules[i]->methods & request->method)) {
            return true;
        }
    }
    return false;
}
