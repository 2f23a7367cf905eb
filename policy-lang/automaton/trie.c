/* Patterns merged into a trie: its size is linear in theirs, whatever they share. */
#include "trie.h"

#include <stdlib.h>

static uint32_t node_add(struct trie *trie)
{
    if (!room_for((void **)&trie->nodes, trie->n, &trie->room, sizeof *trie->nodes)) {
        return 0;
    }
    trie->nodes[trie->n] = (struct node){.ends = {NONE, NONE}};
    return (uint32_t)trie->n++;
}

static uint32_t only_child(struct trie *trie, uint32_t node, size_t offset)
{
    uint32_t child;
    memcpy(&child, (const char *)&trie->nodes[node] + offset, sizeof child);
    if (child == 0) {
        child = node_add(trie);
        memcpy((char *)&trie->nodes[node] + offset, &child, sizeof child);
    }
    return child;
}

static uint32_t text_child(struct trie *trie, uint32_t node, uint32_t symbol)
{
    uint32_t *found = edges_find(&trie->children, node, symbol);
    if (found) {
        return *found;
    }
    uint32_t child = node_add(trie);
    if (child == 0 || !edges_add(&trie->children, node, symbol, child)) {
        return 0;
    }
    trie->nodes[child].symbol = symbol;
    trie->nodes[child].next_sibling = trie->nodes[node].first_child;
    trie->nodes[node].first_child = child;
    return child;
}

/* The child for one segment of a pattern; 0 where memory ran out. */
static uint32_t child_for(struct sp_matcher *m, struct trie *trie, uint32_t node,
                          const struct segment *segment, bool denies)
{
    uint32_t symbol, child;
    switch (segment->kind) {
    case SEGMENT_LITERAL:
    case SEGMENT_PREFIX:
        symbol = symbols_add(&m->symbols, segment->text, denies);
        if (symbol == NONE) {
            return 0;
        }
        return text_child(trie, node,
                          segment->kind == SEGMENT_PREFIX ? symbol | PREFIX_BIT : symbol);
    case SEGMENT_INT:
        return only_child(trie, node, offsetof(struct node, integer));
    case SEGMENT_REST:
        child = only_child(trie, node, offsetof(struct node, rest));
        trie->nodes[child].loops = child != 0;
        return child;
    case SEGMENT_SLASH: /* to a deny, a slash is like any other byte */
        return only_child(trie, node,
                          denies ? offsetof(struct node, wild) : offsetof(struct node, slash));
    case SEGMENT_STAR:
    case SEGMENT_ANY:
    case SEGMENT_PARAM:
        break;
    }
    return only_child(trie, node, offsetof(struct node, wild));
}

static bool end_add(struct trie *trie, uint32_t node, unsigned slash, uint32_t rule)
{
    if (!room_for((void **)&trie->ends, trie->n_ends, &trie->ends_room, sizeof *trie->ends)) {
        return false;
    }
    trie->ends[trie->n_ends].rule = rule;
    trie->ends[trie->n_ends].next = trie->nodes[node].ends[slash];
    trie->nodes[node].ends[slash] = (uint32_t)trie->n_ends++;
    return true;
}

bool pattern_is_open(const struct url_pattern *url)
{
    for (size_t i = 0; i < url->n_segments; i++) {
        if (url->segments[i].kind == SEGMENT_PARAM) {
            return true;
        }
    }
    return false;
}

static bool trie_put(struct sp_matcher *m, struct trie *trie, uint32_t node, uint32_t index)
{
    const struct sp_rule *rule = m->scope->rules[index];
    const struct url_pattern *url = &rule->url;
    if (!rule->denies && pattern_is_open(url)) {
        return true; /* not filled in: it allows nothing */
    }
    for (size_t i = 0; i < url->n_segments; i++) {
        node = child_for(m, trie, node, &url->segments[i], rule->denies);
        if (node == 0) {
            return false;
        }
    }
    bool both = rule->denies || trie->nodes[node].loops;
    return (!(both || !url->trailing_slash) || end_add(trie, node, 0, index)) &&
           (!(both || url->trailing_slash) || end_add(trie, node, 1, index));
}

struct ranked {
    struct sp_text text;
    uint32_t symbol;
};

static int compare_ranked(const void *a, const void *b)
{
    return sp_text_cmp(((const struct ranked *)a)->text, ((const struct ranked *)b)->text);
}

/* Number the prefixes by text, so that a state can sort its own as numbers. */
static bool rank_prefixes(struct sp_matcher *m, const struct trie *trie)
{
    struct ranked *sorted = calloc(m->symbols.n + 1, sizeof *sorted);
    m->ranks = calloc(m->symbols.n + 1, sizeof *m->ranks);
    m->by_rank = calloc(m->symbols.n + 1, sizeof *m->by_rank);
    if (!sorted || !m->ranks || !m->by_rank) {
        free(sorted);
        return false;
    }
    for (size_t i = 0; i < trie->n; i++) {
        uint32_t symbol = trie->nodes[i].symbol & ~PREFIX_BIT;
        if ((trie->nodes[i].symbol & PREFIX_BIT) && m->ranks[symbol] == 0) {
            m->ranks[symbol] = 1;
            sorted[m->n_ranks++] = (struct ranked){m->symbols.texts[symbol], symbol};
        }
    }
    qsort(sorted, m->n_ranks, sizeof *sorted, compare_ranked);
    for (size_t i = 0; i < m->n_ranks; i++) {
        m->ranks[sorted[i].symbol] = (uint32_t)i;
        m->by_rank[i] = sorted[i].symbol;
    }
    free(sorted);
    return true;
}

void trie_free(struct trie *trie)
{
    if (trie) {
        free(trie->nodes);
        free(trie->children.slots);
        free(trie->ends);
        sequences_done(&trie->sets);
        sequences_done(&trie->states);
        free(trie->scratch.at);
        free(trie->prefixes);
        free(trie);
    }
}

static bool side_put(struct sp_matcher *m, struct trie *trie, struct side *side)
{
    size_t before = trie->n;
    side->trie = side->n_rules ? node_add(trie) : 0;
    bool good = side->n_rules == 0 || side->trie != 0;
    for (uint32_t i = side->first_rule; good && i != NONE; i = m->next_rule[i]) {
        good = trie_put(m, trie, side->trie, i);
    }
    side->n_nodes = trie->n - before;
    return good;
}

struct trie *trie_new(struct sp_matcher *m)
{
    struct trie *trie = calloc(1, sizeof *trie);
    bool good = trie && (node_add(trie), trie->n == 1);
    for (size_t i = 0; good && i < m->n_hosts; i++) {
        good = side_put(m, trie, &m->hosts[i].sides[0]) &&
               side_put(m, trie, &m->hosts[i].sides[1]);
    }
    if (!good || !rank_prefixes(m, trie)) {
        trie_free(trie);
        return NULL;
    }
    return trie;
}
