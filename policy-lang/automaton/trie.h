/* The patterns of all rules, merged; what the automaton is built from, and forgotten with it.
 */
#ifndef SP_TRIE_H
#define SP_TRIE_H

#include "automaton.h"

struct node {
    uint32_t wild, integer, slash, rest; /* children; 0: none, as the first node is nobody's */
    uint32_t first_child, next_sibling;  /* literals and prefixes */
    uint32_t symbol;                     /* with PREFIX_BIT for a prefix */
    uint32_t ends[2];                    /* lists of rules; [1]: with a trailing slash */
    bool loops;                          /* below a double star */
};

struct trie {
    struct node *nodes;
    size_t n, room;
    struct edges children;
    struct { /* a list of rules */
        uint32_t rule, next;
    } * ends;
    size_t n_ends, ends_room;
    struct sequences sets, states; /* of nodes -> state; what a state is -> state */
    struct words scratch;
    struct prefix *prefixes; /* of the state at hand */
    size_t prefixes_room;
};

#endif
