/* Pairs of scopes over few words, and all requests that could tell them apart.
 *
 * A theme is drawn first: what segments, fields and constants the pair may use. Both scopes are
 * drawn from it, the second mostly as the first with a few edits. The theme's universe is
 * complete for them: every literal, every prefix with something behind it, one fresh word, each
 * integer constant and its neighbours, other cases where a deny folds them; paths up to four
 * segments, one more than any pattern has; each field absent, of another type, given twice, in
 * another case, and with each value; a member and a parameter that nobody knows. */
#ifndef UNIVERSE_H
#define UNIVERSE_H

#include "gen.h"

enum {
    U_DEPTH = 4,
    U_RULES_MAX = 6,
    U_SEGMENTS_MAX = 3,
    U_FIELDS_MAX = 2,
    U_ALPHABET_MAX = 24,
    U_VARIANTS_MAX = 8192,
    U_METHODS = 5, /* four that rules name, and one that only `*` reaches */
};

enum u_segment_kind { U_LITERAL, U_PREFIX, U_STAR, U_INT, U_ANY, U_SLASH, U_REST };

struct u_segment {
    enum u_segment_kind kind;
    const char *text;
};

enum u_field_kind { U_AMOUNT, U_NOTE, U_NESTED, U_TAGS, U_QUERY, U_HEADER, U_FIELDS, U_PATH };

enum u_op { U_EQ, U_NE, U_LT, U_GE, U_RANGE, U_OPEN, U_IN, U_STARTS, U_HAS, U_ONLY, U_OPS };

struct u_atom {
    enum u_field_kind field;
    enum u_op op;
    unsigned a, b; /* constants, by number */
    bool negated, all;
};

struct u_rule {
    bool denies, trailing_slash, either; /* either: the two atoms are joined by `or` */
    unsigned methods;                    /* bits of U_METHODS; 0: all that there are */
    struct u_segment segments[U_SEGMENTS_MAX];
    unsigned n_segments;
    struct u_atom atoms[2];
    unsigned n_atoms;
};

struct u_scope {
    struct u_rule rules[U_RULES_MAX];
    unsigned n_rules;
};

struct u_theme {
    struct u_segment segments[2]; /* beside `*` and a final double star */
    unsigned n_segments;
    enum u_field_kind fields[U_FIELDS_MAX];
    unsigned n_fields;
    int64_t integers[2]; /* ascending; one where there are two fields */
    unsigned n_integers;
    const char *strings[2];
    bool query_is_int, captures, only;
};

/* What a request has besides method and path. */
struct u_variant {
    enum sp_body_kind kind;
    const struct sp_value *body, *query_value;
    const struct sp_param *query;
    size_t n_query;
    const struct sp_header *headers;
    size_t n_headers;
};

struct universe {
    struct sp_segment alphabet[U_ALPHABET_MAX];
    unsigned n_alphabet;
    struct u_variant variants[U_VARIANTS_MAX];
    size_t n_variants;
};

void u_theme(struct gen *gen, struct u_theme *ret_theme);
void u_scope(struct gen *gen, const struct u_theme *theme, struct u_scope *ret_scope);
/* Change one thing. */
void u_edit(struct gen *gen, const struct u_theme *theme, struct u_scope *scope);
void u_text(const struct u_theme *theme, const struct u_scope *scope, struct sp_buf *buf);

/* All segments, and all variants, the plainest first. folds: some rule denies, so that case
 * counts. What it holds lies in the arena. */
void universe_make(const struct u_theme *theme, bool folds, struct sp_arena *arena,
                   struct universe *ret_universe);

#endif
