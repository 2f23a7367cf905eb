/* The checked tree of the scope language. Parsed in syntax/, read everywhere in policy-lang.
 *
 * Everything lies in the policy's arena (or a frozen scope's own). The parser fills it in, the
 * checker resolves names in place; after that it never changes. */
#ifndef SP_AST_H
#define SP_AST_H

#include "policy.h"

enum {
    AST_DEPTH_MAX = 64,     /* of conditions and JSON in `expect` */
    AST_NODES_MAX = 1000,   /* of one condition */
    AST_RULES_MAX = 100000, /* of one policy */
    AST_FIELD_PARTS_MAX = 16,
    AST_SET_MAX = 10000,
    AST_PARAMS_MAX = 32, /* of one scope */
    AST_KEYS_MAX = 256,  /* of one scope */
    AST_INSISTS_MAX = 16,
    AST_REDACTIONS_MAX = 64, /* of one scope */
    AST_LETS_MAX = 1000,
    AST_SCOPES_MAX = 10000,
    AST_IDENTITIES_MAX = 10000,
    AST_GRANTS_MAX = 256, /* of one principal */
};

enum segment_kind {
    SEGMENT_LITERAL,
    SEGMENT_PREFIX, /* lit* */
    SEGMENT_STAR,   /* * */
    SEGMENT_PARAM,  /* {x} of a declared parameter; a frozen scope has none */
    SEGMENT_INT,    /* {n:int} */
    SEGMENT_ANY,    /* {n:any} */
    SEGMENT_SLASH,  /* {n:slash}: may hold %2F */
    SEGMENT_REST,   /* a final ** */
};

struct segment {
    enum segment_kind kind;
    struct sp_text text; /* literal or prefix, decoded; name of parameter or capture */
    struct sp_span span;
};

struct url_pattern {
    bool https;
    struct sp_text host;
    uint16_t port;
    struct segment *segments;
    size_t n_segments;
    bool trailing_slash;
    struct sp_span span;
};

enum field_source { FIELD_BODY, FIELD_QUERY, FIELD_HEADER, FIELD_PATH };
enum quantifier { QUANTIFIER_NONE, QUANTIFIER_ANY, QUANTIFIER_ALL };

struct field {
    enum field_source source;
    struct sp_text *parts; /* body, query: names from the root; header, path: one */
    size_t n_parts;
    enum quantifier quantifier;
    struct sp_text *item_parts; /* below each element of the array, where quantified */
    size_t n_item_parts;
    size_t segment; /* path: index of the captured segment, set by the checker */
    struct sp_span span;
};

enum constant_kind { CONSTANT_INT, CONSTANT_STRING, CONSTANT_BOOL, CONSTANT_PARAM };
struct constant {
    enum constant_kind kind;
    int64_t integer;     /* and BOOL */
    struct sp_text text; /* STRING; PARAM: its name */
    struct sp_span span;
};

enum condition_kind {
    CONDITION_AND,
    CONDITION_OR,
    CONDITION_NOT,
    CONDITION_EQ,
    CONDITION_NE,
    CONDITION_LT,
    CONDITION_LE,
    CONDITION_GT,
    CONDITION_GE,
    CONDITION_IN,    /* a set */
    CONDITION_RANGE, /* low..high, both included */
    CONDITION_STARTS,
    CONDITION_HAS,
    CONDITION_ONLY,
};

struct condition {
    enum condition_kind kind;
    struct condition *left, *right; /* AND, OR; NOT uses left */
    struct field field;
    struct constant constant; /* comparisons, STARTS */
    struct constant *set;     /* IN: sorted by the checker */
    size_t n_set;
    struct sp_text let_name; /* IN: a set by name, until it is resolved */
    int64_t low, high;       /* RANGE */
    struct sp_text *names;   /* ONLY */
    size_t n_names;
    struct sp_span span;
};

struct budget {
    struct sp_budget public; /* first: what others hold is a pointer to it */
    struct field field;      /* where it sums */
    struct sp_span span;
};

struct sp_rule {
    bool denies;
    struct sp_text label;
    bool labelled;
    struct sp_span span, label_span;
    unsigned methods;
    struct url_pattern url;
    struct sp_text let_url;  /* a pattern by name, until it is resolved */
    struct condition *where; /* NULL: none */
    struct sp_rate rate;
    struct budget *budget; /* NULL: none */
    bool escalates;        /* marked so: its author means it; nothing else follows from it */
    /* What the condition reads, once each; for the checks before it is evaluated. */
    const struct field **reads;
    size_t n_reads;
    bool reads_body;
    struct sp_rule *next; /* while parsing */
};

struct name {
    struct sp_text text;
    struct sp_span span;
    bool used;
    struct name *next;
};

struct expectation {
    bool allow;
    struct sp_span span;
    struct sp_text method, url;
    struct sp_arg *args;
    size_t n_args;
    enum sp_body_kind body_kind;
    struct sp_value *body;
    struct sp_header *headers;
    size_t n_headers;
    struct sp_text rule; /* `-> @label`; empty: any */
    struct expectation *next;
};

struct insist { /* what a setting of every key that is used has to be */
    struct sp_text name, value;
    struct sp_span span;
    struct insist *next;
};

struct redaction {              /* a field that answers do not hold */
    struct sp_redaction public; /* first: what others hold is a pointer to it */
    struct sp_span span;
};

struct sp_scope {
    struct sp_text name;
    struct sp_span span;
    struct name *params, *last_param;
    size_t n_params;
    struct name *keys, *last_key;
    size_t n_keys;
    struct sp_text *key_list, *param_list; /* the same as arrays */
    struct insist *insists, *last_insist;
    struct redaction *redactions;
    size_t n_redactions, redactions_room;
    uint64_t ttl_ms, until_ms;
    bool has_ttl;
    struct sp_rate rate;
    struct budget *budget; /* NULL: none */
    bool observes;
    struct sp_text narrows; /* `narrows B`: proved by the checker; empty: none */
    struct sp_span narrows_span;
    bool is_caveat; /* without allow rules nothing is denied by default */
    bool has_allow;
    struct sp_rule *first_rule, *last_rule;
    const struct sp_rule **rules;
    size_t n_rules;
    struct expectation *expectations, *last_expectation;
    struct sp_scope *next;
    struct sp_arena *owned; /* a frozen scope's own arena, which holds this very struct too */
};

struct let {
    struct name name;
    bool is_url;
    struct url_pattern url; /* where is_url, else a set */
    struct constant *items;
    size_t n_items;
    struct let *next;
};

struct identity {
    struct sp_identity public;
    struct sp_span span, curve_span;
    struct sp_may_issue *grants; /* public.grants, while they grow */
    struct sp_span *grant_spans;
    size_t grants_room;
    struct identity *next;
};

/* What the catalogues forbid to wildcards on one host (check_escalates.c). */
struct guard_set {
    struct sp_text provider, host;
    const struct sp_rule **rules; /* unconditional denies; scopes share them */
    size_t n_rules;
    struct guard_set *next;
};
struct guard { /* the same by key */
    struct sp_text key;
    const struct guard_set *set;
    struct guard *next;
};

struct sp_policy {
    struct sp_arena arena;
    struct sp_source *sources; /* given and used ones, as spans count them */
    size_t n_sources;
    struct guard_set *guard_sets;
    struct guard *guards;
    struct sp_scope *first_scope, *last_scope;
    const struct sp_scope **scopes;
    const struct sp_scope **by_name; /* the same, sorted */
    size_t n_scopes;
    struct let *lets;
    size_t n_lets;
    struct identity *first_identity, *last_identity;
    const struct sp_identity **identities;
    size_t n_identities;
    size_t n_rules;
};

/* ---- between the parts ----------------------------------------------------------------------
 */

/* Parse one source into the policy. False where memory ran out; errors go to diags. */
struct uses { /* files named by `use`, in order of appearance */
    struct {
        struct sp_text name;
        struct sp_span span;
    } items[256];
    size_t n;
};
bool ast_parse(struct sp_policy *policy, const struct sp_source *source, uint32_t source_index,
               struct sp_diags *diags, struct uses *uses);
/* Parse the rules of a caveat into a scope. */
bool ast_parse_caveat(struct sp_policy *policy, const struct sp_source *source,
                      struct sp_diags *diags, struct sp_scope **ret_scope);

/* Resolve names and lists, check everything. Errors go to diags. False where memory ran out. */
bool ast_check(struct sp_policy *policy, const struct sp_world *world, struct sp_diags *diags);
/* The part of it that a single scope needs: lists, reads, captures, sets. */
bool ast_finish_scope(struct sp_policy *policy, struct sp_scope *scope, struct sp_diags *diags);
/* Whether a value can be the argument of that parameter: as a segment it must be data of one.
 */
sp_status ast_check_argument(const struct sp_scope *scope, const struct sp_arg *arg,
                             struct sp_error *err);

/* One condition on one line, canonical, for print and explain. */
void ast_print_condition(const struct condition *condition, struct sp_buf *buf);
void ast_print_url(const struct url_pattern *url, struct sp_buf *buf);
void ast_print_string(struct sp_text text, struct sp_buf *buf);
void ast_print_field(const struct field *field, struct sp_buf *buf);
/* What a scope takes out of answers: email, customer.phone. */
void ast_print_redactions(const struct sp_scope *scope, struct sp_buf *buf);

/* Labels of the denies that a catalogue implies begin so; no author's does. */
#define ESCALATES_LABEL "escalates-"
bool rule_is_implied(const struct sp_rule *rule);
/* An allow of listed methods and a path without wildcard or capture. */
bool rule_is_literal(const struct sp_rule *rule);
/* A catalogue's path ("/v1/charges/{charge}", "/repos/{path...}") as a pattern in the arena,
 * which borrows host and path. {x...} at the end is **; elsewhere it is one segment, or where
 * cut is set the rest of the path. False where memory ran out. */
bool ast_parse_template(struct sp_arena *arena, struct sp_text host, struct sp_text path,
                        bool cut, struct url_pattern *ret_url);

bool field_equal(const struct field *a, const struct field *b);

#endif
