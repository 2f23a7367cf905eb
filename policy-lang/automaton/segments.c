/* The automaton over segments. Patterns are merged into a trie, whose size is linear in theirs;
 * a state is a set of its nodes. Building is depth first, and states are shared from the bottom
 * up: a state with the same labels and the same edges as one that is there is that one. Loops
 * are those of a final double star alone, whose set of nodes no longer changes. */
#include "automaton.h"
#include "match.h"
#include "trie.h"

#include <assert.h>
#include <stdlib.h>

#define SELF (UINT32_MAX - 1) /* the state that is being described */

/* ---- subsets -------------------------------------------------------------------------
 */

/* What one state goes through while it is built. All lists lie in the trie's scratch, and are
 * held by offset, as it moves when it grows. */
struct span {
    size_t at, n;
};

struct builder {
    struct sp_matcher *m;
    struct trie *trie;
    size_t states_max, states, work_max;
    bool too_big; /* else, a failure is lack of memory */
};

struct draft {
    struct span nodes;
    struct span prefixes, literals; /* pairs (rank or symbol, child), sorted */
    size_t n_prefixes, n_literals;  /* of them, different ranks and symbols */
    bool ints;
    size_t targets, n_targets; /* spans of sets, two words each */
};

static const struct node *node_at(const struct builder *b, size_t i)
{
    return &b->trie->nodes[b->trie->scratch.at[i]];
}

static bool push(struct builder *b, uint32_t word)
{
    return words_add(&b->trie->scratch, word);
}

static bool push_child(struct builder *b, uint32_t child)
{
    return child == 0 || push(b, child);
}

static int compare_pairs(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    int order = (x[0] > y[0]) - (x[0] < y[0]);
    return order ? order : (x[1] > y[1]) - (x[1] < y[1]);
}

/* Pairs of the literal (or prefix) children of all nodes; *ret_n: how many keys. */
static bool collect_pairs(struct builder *b, const struct draft *d, bool prefixes,
                          struct span *ret_pairs, size_t *ret_n)
{
    struct words *s = &b->trie->scratch;
    size_t at = s->n;
    for (size_t i = 0; i < d->nodes.n; i++) {
        uint32_t child = node_at(b, d->nodes.at + i)->first_child;
        for (; child != 0; child = b->trie->nodes[child].next_sibling) {
            uint32_t symbol = b->trie->nodes[child].symbol;
            if (((symbol & PREFIX_BIT) != 0) != prefixes) {
                continue;
            }
            if (!push(b, prefixes ? b->m->ranks[symbol & ~PREFIX_BIT] : symbol) ||
                !push(b, child)) {
                return false;
            }
        }
    }
    *ret_pairs = (struct span){at, (s->n - at) / 2};
    *ret_n = 0;
    if (ret_pairs->n > 0) {
        qsort(&s->at[at], ret_pairs->n, 2 * sizeof *s->at, compare_pairs);
    }
    for (size_t i = 0; i < ret_pairs->n; i++) {
        *ret_n += i == 0 || s->at[at + 2 * i] != s->at[at + 2 * i - 2];
    }
    b->m->work += ret_pairs->n;
    return true;
}

/* The state's prefixes, each with its pairs: next[0] is the first one, next[1] past the last.
 */
static bool draft_prefixes(struct builder *b, const struct draft *d)
{
    struct trie *trie = b->trie;
    const uint32_t *pairs = trie->scratch.at + d->prefixes.at;
    size_t n = 0;
    while (trie->prefixes_room < d->n_prefixes) {
        if (!room_for((void **)&trie->prefixes, trie->prefixes_room, &trie->prefixes_room,
                      sizeof *trie->prefixes)) {
            return false;
        }
    }
    for (size_t i = 0; i < d->prefixes.n; i++) {
        if (i == 0 || pairs[2 * i] != pairs[2 * i - 2]) {
            uint32_t symbol = b->m->by_rank[pairs[2 * i]];
            trie->prefixes[n++] =
                (struct prefix){b->m->symbols.texts[symbol], NONE, {(uint32_t)i, (uint32_t)i}};
        }
        trie->prefixes[n - 1].next[1] = (uint32_t)i + 1;
    }
    prefixes_link(trie->prefixes, n);
    return true;
}

/* Where a segment leads: its literal's pairs, the prefixes of it, what matches everything. */
static bool draft_target(struct builder *b, struct draft *d, struct span literals,
                         uint32_t prefix, bool is_int)
{
    struct words *s = &b->trie->scratch;
    size_t at = s->n;
    bool good = true;
    for (size_t i = 0; good && i < d->nodes.n; i++) {
        struct node node = *node_at(b, d->nodes.at + i);
        good = push_child(b, node.wild) && push_child(b, node.slash) &&
               push_child(b, node.rest) && push_child(b, is_int ? node.integer : 0) &&
               (!node.loops || push(b, s->at[d->nodes.at + i]));
    }
    for (; good && prefix != NONE; prefix = b->trie->prefixes[prefix].parent) {
        const struct prefix *p = &b->trie->prefixes[prefix];
        for (uint32_t i = p->next[0]; good && i < p->next[1]; i++) {
            good = push(b, s->at[d->prefixes.at + 2 * (size_t)i + 1]);
        }
    }
    for (size_t i = 0; good && i < literals.n; i++) {
        good = push(b, s->at[d->literals.at + 2 * (literals.at + i) + 1]);
    }
    if (!good) {
        return false;
    }
    b->m->work += s->n - at + d->nodes.n + 1;
    b->too_big = b->m->work > b->work_max;
    size_t n = words_sort(s->at + at, s->n - at);
    s->n = at + n;
    s->at[d->targets + 2 * d->n_targets] = (uint32_t)at;
    s->at[d->targets + 2 * d->n_targets + 1] = (uint32_t)n;
    d->n_targets++;
    return !b->too_big;
}

static bool draft_slash(struct builder *b, struct draft *d)
{
    struct words *s = &b->trie->scratch;
    size_t at = s->n;
    for (size_t i = 0; i < d->nodes.n; i++) {
        if (!push_child(b, node_at(b, d->nodes.at + i)->slash)) {
            return false;
        }
    }
    s->at[d->targets] = (uint32_t)at;
    s->at[d->targets + 1] = (uint32_t)words_sort(s->at + at, s->n - at);
    d->n_targets = 1;
    return true;
}

static bool draft_literals(struct builder *b, struct draft *d)
{
    bool good = true;
    for (size_t i = 0, end; good && i < d->literals.n; i = end) {
        const uint32_t *pairs = b->trie->scratch.at + d->literals.at;
        struct sp_text text = b->m->symbols.texts[pairs[2 * i]];
        for (end = i; end < d->literals.n && pairs[2 * end] == pairs[2 * i];) {
            end++;
        }
        uint32_t prefix = prefixes_find(b->trie->prefixes, d->n_prefixes, text, false);
        good = draft_target(b, d, (struct span){i, end - i}, prefix, segment_is_int(text));
    }
    return good;
}

/* All sets that the state leads to, in this order: slash; else, not an integer and an integer;
 * the same two for each prefix; each literal. */
static bool draft_make(struct builder *b, struct draft *d)
{
    static const struct span none = {0, 0};
    for (size_t i = 0; i < d->nodes.n; i++) {
        d->ints = d->ints || node_at(b, d->nodes.at + i)->integer != 0;
    }
    bool good = collect_pairs(b, d, true, &d->prefixes, &d->n_prefixes) &&
                collect_pairs(b, d, false, &d->literals, &d->n_literals) &&
                draft_prefixes(b, d);
    size_t n = 3 + 2 * d->n_prefixes + d->n_literals;
    d->targets = b->trie->scratch.n;
    for (size_t i = 0; good && i < 2 * n; i++) {
        good = push(b, 0);
    }
    good = good && draft_slash(b, d) && draft_target(b, d, none, NONE, false) &&
           draft_target(b, d, none, NONE, true);
    for (size_t i = 0; good && i < d->n_prefixes; i++) {
        good = draft_target(b, d, none, (uint32_t)i, false) &&
               draft_target(b, d, none, (uint32_t)i, true);
    }
    return good && draft_literals(b, d);
}

/* The label of the rules that end in these nodes; NONE on failure. */
static uint32_t label_of(struct builder *b, struct span nodes, unsigned slash)
{
    struct words *s = &b->trie->scratch;
    size_t at = s->n;
    for (size_t i = 0; i < nodes.n; i++) {
        uint32_t end = node_at(b, nodes.at + i)->ends[slash];
        for (; end != NONE; end = b->trie->ends[end].next) {
            if (!push(b, b->trie->ends[end].rule)) {
                return NONE;
            }
        }
    }
    b->m->work += s->n - at;
    b->too_big = b->m->work > b->work_max;
    size_t n = words_sort(s->at + at, s->n - at);
    uint32_t label = b->too_big ? NONE : labels_add(b->m, s->at + at, n);
    s->n = at;
    return label;
}

const struct state state_dead = {.literal = NONE};

uint32_t states_add(struct sp_matcher *m, const struct state *state)
{
    if (!room_for((void **)&m->states, m->n_states, &m->states_room, sizeof *m->states)) {
        return NONE;
    }
    m->states[m->n_states] = *state;
    return (uint32_t)m->n_states++;
}

/* Make the state that words describe: two labels; slash, else, else for an integer; the numbers
 * of prefixes and literals; (symbol, next, next for an integer); (symbol, next). */
enum { W_LABELS, W_SLASH = 2, W_NEXT, W_PREFIXES = 5, W_LITERALS, W_LISTS };

static uint32_t state_new(struct builder *b, const uint32_t *words, size_t n)
{
    struct sp_matcher *m = b->m;
    uint32_t id = (uint32_t)m->n_states;
    const uint32_t *list = words + W_LISTS;
    struct state state = {.slash = words[W_SLASH],
                          .label = {words[W_LABELS], words[W_LABELS + 1]},
                          .prefixes_at = (uint32_t)m->n_prefixes,
                          .n_prefixes = words[W_PREFIXES],
                          .literal = NONE,
                          .literals = words[W_LITERALS] > 1};
    for (unsigned i = 0; i < 2; i++) {
        state.next[i] = words[W_NEXT + i] == SELF ? id : words[W_NEXT + i];
    }
    state.ints = state.next[0] != state.next[1]; /* else no prefix tells them apart */
    for (uint32_t i = 0; i < words[W_PREFIXES]; i++, list += 3) {
        if (!room_for((void **)&m->prefixes, m->n_prefixes, &m->prefixes_room,
                      sizeof *m->prefixes)) {
            return NONE;
        }
        m->prefixes[m->n_prefixes++] =
            (struct prefix){m->symbols.texts[list[0]], NONE, {list[1], list[2]}};
    }
    if (state.n_prefixes > 0) {
        prefixes_link(&m->prefixes[state.prefixes_at], state.n_prefixes);
    }
    if (words[W_LITERALS] == 1) {
        state.literal = list[0];
        state.target = list[1];
    }
    for (uint32_t i = 0; state.literals && i < words[W_LITERALS]; i++, list += 2) {
        if (!edges_add(&m->edges, id, list[0], list[1])) {
            return NONE;
        }
    }
    return sequences_add(&b->trie->states, words, n, id) ? states_add(m, &state) : NONE;
}

/* Two sets of nodes never describe the same state: each node leads to the end of some rule to
 * which no other node leads by the same segments. */
static uint32_t state_of(struct builder *b, size_t at)
{
    struct words *s = &b->trie->scratch;
    b->too_big = ++b->states > b->states_max;
    return b->too_big ? NONE : state_new(b, s->at + at, s->n - at);
}

static bool only_loops(const struct builder *b, struct span nodes)
{
    bool loops = true;
    for (size_t i = 0; loops && i < nodes.n; i++) {
        loops = node_at(b, nodes.at + i)->loops;
    }
    return loops;
}

static uint32_t build(struct builder *b, struct span nodes, unsigned depth);

/* Build what target number i leads to. */
static uint32_t build_target(struct builder *b, const struct draft *d, size_t i, unsigned depth)
{
    const uint32_t *target = b->trie->scratch.at + d->targets + 2 * i;
    return build(b, (struct span){target[0], target[1]}, depth + 1);
}

/* The states below, then the words that describe this one. A child's id is put where its set's
 * offset was, as the words must lie together. */
static bool describe(struct builder *b, struct draft *d, const uint32_t labels[2],
                     unsigned depth)
{
    struct words *s = &b->trie->scratch;
    for (size_t i = 0; i < d->n_targets; i++) {
        uint32_t id = build_target(b, d, i, depth);
        if (id == NONE) {
            return false;
        }
        s->at[d->targets + 2 * i] = id;
    }
    size_t at = s->n;
    bool good = push(b, labels[0]) && push(b, labels[1]);
    for (size_t i = 0; good && i < 3; i++) {
        good = push(b, s->at[d->targets + 2 * i]);
    }
    good = good && push(b, (uint32_t)d->n_prefixes) && push(b, (uint32_t)d->n_literals);
    size_t target = 3, before = SIZE_MAX;
    for (size_t i = 0; good && i < d->prefixes.n; i++) {
        size_t rank = s->at[d->prefixes.at + 2 * i];
        if (rank != before) {
            good = push(b, b->m->by_rank[rank]) && push(b, s->at[d->targets + 2 * target]) &&
                   push(b, s->at[d->targets + 2 * target + 2]);
            target += 2;
        }
        before = rank;
    }
    before = SIZE_MAX;
    for (size_t i = 0; good && i < d->literals.n; i++) {
        size_t symbol = s->at[d->literals.at + 2 * i];
        if (symbol != before) {
            good = push(b, (uint32_t)symbol) && push(b, s->at[d->targets + 2 * target]);
            target++;
        }
        before = symbol;
    }
    d->nodes.n = good ? at : 0;
    return good;
}

/* Only double stars are left: any segment leads back here, but for one that holds a slash where
 * that counts; only allow rules ask for that edge. */
static bool describe_loop(struct builder *b, const uint32_t labels[2])
{
    return push(b, labels[0]) && push(b, labels[1]) && push(b, STATE_DEAD) && push(b, SELF) &&
           push(b, SELF) && push(b, 0) && push(b, 0);
}

/* The state of a set of nodes; NONE on failure. The set lies in the scratch, and stays. */
static uint32_t build(struct builder *b, struct span nodes, unsigned depth)
{
    struct words *s = &b->trie->scratch;
    size_t mark = s->n, at = mark;
    if (nodes.n == 0) {
        return STATE_DEAD;
    }
    uint32_t id = sequences_find(&b->trie->sets, s->at + nodes.at, nodes.n);
    if (id != NONE) {
        return id;
    }
    assert(depth <= SP_URL_MAX_SEGMENTS + 1); /* as long as a pattern; then all loop */
    uint32_t labels[2] = {label_of(b, nodes, 0), NONE};
    labels[1] = labels[0] == NONE ? NONE : label_of(b, nodes, 1);
    bool good = labels[1] != NONE;
    if (good && only_loops(b, nodes)) {
        good = describe_loop(b, labels);
    } else if (good) {
        struct draft d = {.nodes = nodes};
        good = draft_make(b, &d) && describe(b, &d, labels, depth);
        at = d.nodes.n;
    }
    id = good ? state_of(b, at) : NONE;
    if (id != NONE && !sequences_add(&b->trie->sets, s->at + nodes.at, nodes.n, id)) {
        id = NONE;
    }
    s->n = mark;
    return id;
}

/* Take back all states from number first on, after an automaton that grew too big. What states
 * are like is forgotten altogether: later ones may then be made twice, but no more. */
static void take_back(struct builder *b, size_t first, size_t first_prefix)
{
    struct sequences *states = &b->trie->states;
    for (size_t i = 0; i < states->n; i++) {
        const uint32_t *words = states->data.at + states->items[i].at;
        const uint32_t *list = words + W_LISTS + 3 * (size_t)words[W_PREFIXES];
        for (uint32_t k = 0; states->items[i].value >= first && k < words[W_LITERALS]; k++) {
            edges_remove(&b->m->edges, states->items[i].value, list[2 * (size_t)k]);
        }
    }
    sequences_done(states);
    b->m->n_states = first;
    b->m->n_prefixes = first_prefix;
}

sp_status segments_build(struct sp_matcher *m, struct trie *trie, struct side *side,
                         size_t states_max)
{
    size_t linear = 16 * side->n_nodes + 1024;
    struct builder b = {.m = m,
                        .trie = trie,
                        .states_max = states_max < linear ? states_max : linear,
                        .work_max = m->work + 64 * (side->n_nodes + side->n_rules) + 4096};
    size_t first = m->n_states, first_prefix = m->n_prefixes;
    trie->scratch.n = 0;
    if (!push(&b, side->trie)) {
        return SP_ENOMEM;
    }
    uint32_t root = build(&b, (struct span){0, 1}, 0);
    if (root == NONE) {
        take_back(&b, first, first_prefix);
        return b.too_big ? SP_ETOOBIG : SP_ENOMEM;
    }
    side->root = root;
    return SP_OK;
}

/* ---- running -------------------------------------------------------------------------
 */

static inline uint32_t step(const struct sp_matcher *m, uint32_t at, struct sp_text text,
                            bool denies)
{
    const struct state *state = &m->states[at];
    if (state->literals) {
        uint32_t symbol = symbols_find(&m->symbols, text, denies);
        const uint32_t *next = symbol == NONE ? NULL : edges_find(&m->edges, at, symbol);
        if (next) {
            return *next;
        }
    } else if (state->literal != NONE &&
               symbol_is(m->symbols.texts[state->literal], text, denies)) {
        return state->target;
    }
    bool is_int = state->ints && segment_is_int(text);
    if (state->n_prefixes > 0) {
        const struct prefix *prefixes = &m->prefixes[state->prefixes_at];
        uint32_t prefix = prefixes_find(prefixes, state->n_prefixes, text, denies);
        if (prefix != NONE) {
            return prefixes[prefix].next[is_int];
        }
    }
    return state->next[is_int];
}

static uint32_t run_split(const struct sp_matcher *m, uint32_t at, const struct sp_url *url)
{
    struct match_parts parts = {.url = url};
    struct sp_segment part;
    while (at != STATE_DEAD && match_next_part(&parts, &part)) {
        at = step(m, at, part.text, true);
    }
    return m->states[at].label[0];
}

uint32_t segments_run(const struct sp_matcher *m, uint32_t root, const struct sp_url *url,
                      bool denies, bool split)
{
    uint32_t at = root;
    if (split) {
        return run_split(m, at, url);
    }
    for (size_t i = 0; i < url->n_segments && at != STATE_DEAD; i++) {
        const struct sp_segment *segment = &url->segments[i];
        at = segment->has_slash && !denies ? m->states[at].slash
                                           : step(m, at, segment->text, denies);
    }
    return m->states[at].label[url->trailing_slash];
}
