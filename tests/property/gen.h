/* Random scopes and requests for property tests, and a second, tiny evaluator of the language.
 *
 * A scope is made as a description, from which both its text and the expected verdicts come.
 * The evaluator shares no code and no idea with the matcher: it reads paths as strings,
 * requests as flat lists of leaves, and truth as the set of values that an atom could still
 * have. */
#ifndef GEN_H
#define GEN_H

#include "policy.h"

enum { GEN_RULES_MAX = 6, GEN_SEGMENTS_MAX = 5, GEN_NODES_MAX = 24, GEN_LEAVES_MAX = 8 };

/* ---- chance -------------------------------------------------------------------------------
 */

struct gen {
    uint64_t state;
    const uint8_t *bytes; /* what is chosen first; then chance */
    size_t n_bytes;
};

void gen_seed(struct gen *gen, uint64_t seed);
/* A fuzzer chooses: a byte for each choice (two for one of more than 256). Borrowed. */
void gen_choose(struct gen *gen, const uint8_t *bytes, size_t n);
unsigned gen_below(struct gen *gen, unsigned n);
bool gen_chance(struct gen *gen, unsigned percent);

/* ---- scopes -------------------------------------------------------------------------------
 */

enum gen_segment_kind {
    GEN_LITERAL,
    GEN_PREFIX,
    GEN_STAR,
    GEN_INT,
    GEN_ANY,
    GEN_SLASH,
    GEN_REST
};

struct gen_segment {
    enum gen_segment_kind kind;
    const char *text;
};

enum gen_node_kind {
    GEN_AND,
    GEN_OR,
    GEN_NOT,
    GEN_EQ,
    GEN_NE,
    GEN_LT,
    GEN_LE,
    GEN_GT,
    GEN_GE,
    GEN_IN,
    GEN_RANGE,
    GEN_STARTS,
    GEN_HAS,
    GEN_ONLY,
};

enum gen_source { GEN_BODY, GEN_QUERY, GEN_HEADER, GEN_PATH };
enum gen_type { GEN_INTEGER, GEN_STRING, GEN_BOOLEAN };

/* One node of a condition; left and right are indices into the rule's nodes. */
struct gen_node {
    enum gen_node_kind kind;
    int left, right;
    enum gen_source source;
    const char *name, *sub; /* body.name or body.name.sub; header and capture: name */
    char quantifier;        /* 0, 'y' (any), 'l' (all) */
    enum gen_type type;
    int64_t integers[3];
    const char *strings[3];
    unsigned n; /* constants, or names of `only` (in strings) */
    bool open;  /* range without an upper end */
};

struct gen_rule {
    bool denies;
    unsigned methods;
    unsigned host;
    struct gen_segment segments[GEN_SEGMENTS_MAX];
    unsigned n_segments;
    bool trailing_slash;
    struct gen_node nodes[GEN_NODES_MAX];
    int n_nodes, root; /* root -1: no condition */
};

struct gen_scope {
    struct gen_rule rules[GEN_RULES_MAX];
    unsigned n_rules;
};

void gen_scope(struct gen *gen, struct gen_scope *ret_scope);
/* Change a scope in one place; mostly, it then allows less. */
void gen_narrow(struct gen *gen, struct gen_scope *scope);
void gen_scope_text(const struct gen_scope *scope, struct sp_buf *buf);

/* ---- requests -----------------------------------------------------------------------------
 */

enum gen_leaf_kind { LEAF_INT, LEAF_TEXT, LEAF_BOOL, LEAF_NULL, LEAF_NUMBER, LEAF_LIST };

struct gen_leaf {
    const char *name, *sub;
    enum gen_leaf_kind kind;
    int64_t integer;
    const char *text;
    struct {
        enum gen_leaf_kind kind;
        int64_t integer;
        const char *text;
    } items[3];
    unsigned n_items;
};

struct gen_request {
    unsigned method;
    unsigned host;
    const char *segments[GEN_SEGMENTS_MAX + 1]; /* decoded; a '/' in one was %2F */
    unsigned n_segments;
    bool trailing_slash;
    struct gen_leaf query[GEN_LEAVES_MAX];
    unsigned n_query;
    struct gen_leaf headers[GEN_LEAVES_MAX]; /* TEXT, without sub */
    unsigned n_headers;
    enum sp_body_kind body_kind;
    bool body_is_list; /* JSON: [] in place of an object */
    struct gen_leaf body[GEN_LEAVES_MAX];
    unsigned n_body;
};

/* A request that tries to be allowed by some rule of the scope. */
void gen_request_for(struct gen *gen, const struct gen_scope *scope,
                     struct gen_request *ret_request);
void gen_request(struct gen *gen, struct gen_request *ret_request);
/* Change one thing. */
void gen_edit(struct gen *gen, struct gen_request *request);
/* Build it, by the parsers wherever there is one. */
void gen_build(const struct gen_request *request, struct sp_arena *arena,
               struct sp_request *ret_request);

/* ---- the evaluator ------------------------------------------------------------------------
 */

bool gen_allows(const struct gen_scope *scope, const struct gen_request *request);

/* The pools that both sides draw from. */
extern const char *const gen_hosts[4];
extern const unsigned gen_methods[4];

#endif
