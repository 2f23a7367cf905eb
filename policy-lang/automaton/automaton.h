/* The compiled matcher's insides. A scope becomes, for each host, one automaton over path
 * segments for its allow rules and one for its deny rules; where that would grow out of
 * proportion, a bit-parallel matcher takes its place. Both end in the rules that match the
 * path. All of it is made by sp_matcher_new and only read afterwards. */
#ifndef SP_AUTOMATON_H
#define SP_AUTOMATON_H

#include "ast.h"

#include <stdint.h>

#define NONE UINT32_MAX
#define PREFIX_BIT 0x80000000u /* on a symbol: the pattern is `symbol*`, not the literal */

enum {
    STATE_DEAD = 0, /* no rule can match any more */
    LABEL_NOTHING = 0,
    METHODS = 7,
    ATOMS_MAX = 64, /* of one label; above, conditions are evaluated one by one */
    SHORT_TEXT = 20,
    BITS_WORDS_MAX = AST_RULES_MAX / 64 + 1,
};

/* ---- intern.c: tables ---------------------------------------------------------------------
 */

struct words {
    uint32_t *at;
    size_t n, room;
};
/* Make room for one more of size bytes each; false where memory ran out. */
bool room_for(void **items, size_t n, size_t *room, size_t size);
bool words_add(struct words *words, uint32_t word);
bool words_add_all(struct words *words, const uint32_t *from, size_t n);
/* Sort ascending, drop what is there twice, return how many are left. */
size_t words_sort(uint32_t *at, size_t n);

/* Literals and prefixes, each text once. Texts are borrowed, but for the folded ones. A slot
 * holds the beginning of its text, so that most are found by one read of memory. */
struct symbols {
    struct sp_text *texts;
    size_t n, room;
    struct symbol_slot {
        uint32_t hash, symbol, len;
        char text[SHORT_TEXT];
    } * slots;
    size_t n_slots;         /* a power of two, or 0 */
    struct sp_arena folded; /* texts of deny rules, in lower case */
};
/* The symbol of a text; fold: of its lower case. NONE where memory ran out. */
uint32_t symbols_add(struct symbols *symbols, struct sp_text text, bool fold);
/* NONE where no pattern has that text. */
uint32_t symbols_find(const struct symbols *symbols, struct sp_text text, bool fold);

/* (state, symbol) -> target */
struct edges {
    struct edge {
        uint32_t state, symbol, target; /* target NONE: a free slot */
    } * slots;
    size_t n, n_slots;
};
bool edges_add(struct edges *edges, uint32_t state, uint32_t symbol, uint32_t target);
/* Where the target stands, until the next edges_add; NULL: no such edge. */
uint32_t *edges_find(const struct edges *edges, uint32_t state, uint32_t symbol);

void edges_remove(struct edges *edges, uint32_t state, uint32_t symbol);

/* Sequences of words, each once, with a value. */
struct sequences {
    struct words data;
    struct sequence {
        uint32_t at, n, hash, value;
    } * items;
    size_t n, room;
    uint32_t *slots;
    size_t n_slots;
};
uint32_t sequences_find(const struct sequences *all, const uint32_t *words, size_t n);
bool sequences_add(struct sequences *all, const uint32_t *words, size_t n, uint32_t value);
void sequences_done(struct sequences *all);

/* The prefixes of one state, sorted by text. */
struct prefix {
    struct sp_text text;
    uint32_t parent;  /* the longest other one that this one starts with; NONE */
    uint32_t next[2]; /* states: the segment is no integer, it is one; bits.c: a list of cells
                       */
};
void prefixes_link(struct prefix *prefixes, size_t n);
/* The longest that text starts with; NONE. The others are its parents. */
uint32_t prefixes_find(const struct prefix *prefixes, size_t n, struct sp_text text, bool fold);

uint32_t text_hash(struct sp_text text);
/* Whether the text of a symbol, in lower case where fold is asked for, is this one. */
bool symbol_is(struct sp_text known, struct sp_text text, bool fold);

/* As {n:int} reads it. */
bool segment_is_int(struct sp_text text);

/* ---- labels.c: the rules that match a path -------------------------------------------
 */

struct conditional {
    uint32_t rule;
    uint32_t program; /* in ops; NONE: evaluate the rule's tree */
};

/* Most labels are one unconditional rule, and small: with many rules, how much memory a
 * decision reads is what it costs. */
struct label {
    const struct sp_rule *rule; /* the first, whatever its methods; NULL: there is none */
    uint32_t first;             /* its number */
    uint32_t rest;              /* ONLY_BIT and its methods: it is that; else, its lists */
};
#define ONLY_BIT 0x80000000u

/* Lists are in order of the rules and end before the unconditional rule: none after it could
 * change the verdict. */
struct lists {
    struct list {
        uint32_t always, at, n;
    } of[METHODS];
    uint32_t atoms_at, n_atoms;
};

/* A condition's tree in prefix order. */
struct op {
    uint16_t size; /* of the subtree */
    uint8_t kind;  /* CONDITION_AND, _OR, _NOT; anything else is an atom */
    uint8_t atom;
};

struct labels {
    struct label *at;
    size_t n, room;
    struct lists *lists;
    size_t n_lists, lists_room;
    struct conditional *conditionals;
    size_t n_conditionals, conditionals_room;
    const struct condition **atoms;
    size_t n_atoms, atoms_room;
    struct op *ops;
    size_t n_ops, ops_room;
    struct sequences known; /* while building: the rules of each label */
};

struct sp_matcher;
/* The label of these rules (ascending, once each); NONE where memory ran out. */
uint32_t labels_add(struct sp_matcher *m, const uint32_t *rules, size_t n);
/* What allow rules of that label say; ret_decision is set. */
void label_allow(const struct sp_matcher *m, uint32_t label, const struct sp_request *request,
                 struct sp_match *ret_decision);
/* The first deny of the label that fires; NONE. split: the path was read with %2F as '/'. */
uint32_t label_deny(const struct sp_matcher *m, uint32_t label,
                    const struct sp_request *request, bool split);
/* Whether one of its rules, of those that can decide, reads the body. */
bool label_wants_body(const struct sp_matcher *m, uint32_t label,
                      const struct sp_request *request);
/* Whether a deny whose path matches fires. */
bool deny_fires(const struct sp_rule *rule, const struct sp_request *request, bool split);

/* ---- segments.c: the automaton -------------------------------------------------------
 */

struct state {
    uint32_t next[2];  /* where no literal and no prefix matches: no integer, an integer */
    uint32_t slash;    /* allow rules: a segment that holds %2F */
    uint32_t label[2]; /* the path ends here: without, with a trailing slash */
    uint32_t prefixes_at, n_prefixes;
    uint32_t literal, target; /* where there is one literal alone: it, and where it leads */
    bool literals, ints;      /* whether there are several; whether integers are told apart */
};

/* ---- bits.c: the fallback ------------------------------------------------------------
 */

struct cell {
    uint64_t mask;
    uint32_t word, next;
};

/* One bit for each rule. Rows of n_words words. */
struct bits {
    uint32_t *rules; /* bit -> rule of the scope */
    size_t n_rules, n_words, n_depths;
    uint64_t *wild, *ints, *slash; /* a row for each depth */
    uint64_t *ends[2];             /* a row for each number of segments up to n_depths */
    uint64_t *rest;                /* one row: rules that end in a double star */
    uint32_t first_state;          /* one state a depth: its literals and prefixes */
};

struct side;
/* NULL where memory ran out. */
struct bits *bits_new(struct sp_matcher *m, const struct side *side, bool denies);
void bits_free(struct bits *bits);
/* As label_allow and label_deny. */
void bits_allow(const struct sp_matcher *m, const struct bits *bits,
                const struct sp_request *request, struct sp_match *ret_decision);
uint32_t bits_deny(const struct sp_matcher *m, const struct bits *bits,
                   const struct sp_request *request, bool split);
/* As label_wants_body. denies: the side of the denies. */
bool bits_wants_body(const struct sp_matcher *m, const struct bits *bits,
                     const struct sp_request *request, bool denies, bool split);

/* ---- decide.c ------------------------------------------------------------------------
 */

/* One kind of rule of one host. */
struct side {
    uint32_t root;                  /* STATE_DEAD: no rules */
    struct bits *bits;              /* in place of the automaton */
    uint32_t first_rule, last_rule; /* through next_rule; NONE */
    size_t n_rules;
    uint32_t trie;  /* while building: the root node */
    size_t n_nodes; /* of the trie */
};

struct host {
    bool https;
    uint16_t port;
    struct sp_text name;
    struct side sides[2]; /* allow rules, deny rules */
};

struct sp_matcher {
    const struct sp_scope *scope;
    struct host *hosts;
    size_t n_hosts, hosts_room;
    uint32_t *host_slots;
    size_t n_host_slots;
    uint32_t *next_rule; /* of the same side */
    struct symbols symbols;
    uint32_t *ranks; /* of a symbol among all prefixes, by text */
    uint32_t *by_rank;
    size_t n_ranks;
    struct state *states;
    size_t n_states, states_room;
    struct prefix *prefixes;
    size_t n_prefixes, prefixes_room;
    struct edges edges;
    struct labels labels;
    struct cell *cells;
    size_t n_cells, cells_room;
    size_t work; /* elements of sets, edges and labels that were looked at: what it cost */
    size_t n_bits;
    bool reads_body; /* some rule does */
};

/* As sp_matcher_new, but no automaton may have more than states_max states: with 0, all is
 * bit-parallel. */
sp_status matcher_new_bounded(const struct sp_scope *scope, size_t states_max,
                              struct sp_matcher **ret_matcher);

/* Whether it has a parameter that is not filled in: then it allows nothing. */
bool pattern_is_open(const struct url_pattern *url);

struct trie;
/* Put all rules into tries, and rank the prefixes. NULL where memory ran out. */
struct trie *trie_new(struct sp_matcher *m);
void trie_free(struct trie *trie);
/* Make a side's automaton. SP_ETOOBIG where it is over budget: then it has none. */
sp_status segments_build(struct sp_matcher *m, struct trie *trie, struct side *side,
                         size_t states_max);
/* The label that a path ends in; split: with %2F as '/'. */
uint32_t segments_run(const struct sp_matcher *m, uint32_t root, const struct sp_url *url,
                      bool denies, bool split);
/* NONE where memory ran out. */
uint32_t states_add(struct sp_matcher *m, const struct state *state);
/* Where no segment leads anywhere. */
extern const struct state state_dead;

#endif
