/* What the parts of the interpreter share, and what inclusion takes from it. Nothing here
 * allocates. */
#ifndef SP_MATCH_H
#define SP_MATCH_H

#include "ast.h"

/* Three values (Kleene): not is TRUE - x, and is the smaller, or is the larger. */
enum truth { TRUTH_FALSE, TRUTH_UNKNOWN, TRUTH_TRUE };

enum path_match {
    PATH_NO,
    PATH_YES,
    PATH_SPLIT, /* a deny's, only where %2F is taken for '/': the captures are not to be told */
};

bool match_host(const struct sp_rule *rule, const struct sp_url *url);
enum path_match match_path(const struct sp_rule *rule, const struct sp_url *url);

/* The path as an upstream sees it that takes %2F for '/': its parts, one after the other. They
 * may be empty. */
struct match_parts {
    const struct sp_url *url;
    size_t segment, at;
};
bool match_next_part(struct match_parts *parts, struct sp_segment *ret_part);

/* The path must match as PATH_YES. */
enum truth match_condition(const struct condition *condition, const struct sp_request *request);
/* The truth of an atom (but `only`) on its field's value, which is there. */
enum truth match_value(const struct condition *atom, const struct sp_value *value);
/* One segment against one segment of a pattern, as an allow or a deny reads it. */
bool match_segment(const struct segment *pattern, const struct sp_segment *segment,
                   bool denies);
/* The field's value; NULL where it is absent. Headers and captures are put into *scratch. */
const struct sp_value *match_field(const struct field *field, const struct sp_request *request,
                                   struct sp_value *scratch);
/* Below value along the names; NULL where it ends. */
const struct sp_value *match_walk(const struct sp_value *value, const struct sp_text *parts,
                                  size_t n_parts);

/* Whether the condition reads that parameter of the query, or something below it. */
bool match_reads_query(const struct sp_rule *rule, struct sp_text name);
/* NULL, or why what the condition reads cannot be judged. */
const char *match_unreadable(const struct sp_rule *rule, const struct sp_request *request);

/* How far a request got with a rule; the farthest allow is the nearest. */
enum reach {
    REACH_HOST,
    REACH_PATH,
    REACH_METHOD,
    REACH_CONDITION,
    REACH_UNREADABLE,
    REACH_ALL
};
/* *ret_fault: why the condition cannot be judged, where it is REACH_UNREADABLE. */
enum reach match_reach(const struct sp_rule *rule, const struct sp_request *request,
                       const char **ret_fault);

/* Append "it is 5001", at most 32 bytes of the request; NULL: "it is absent". */
void match_describe_value(const struct sp_value *value, struct sp_buf *buf);
/* Append "ATOM: it is 5001", cut at the buffer's cap; at most 32 bytes of the request. */
void match_describe_atom(const struct condition *atom, const struct sp_request *request,
                         struct sp_buf *buf);
/* The same of the first atom that keeps the condition from being true. */
void match_describe_culprit(const struct condition *condition, const struct sp_request *request,
                            struct sp_buf *buf);

/* Whether it ends in a double star. */
bool pattern_has_rest(const struct url_pattern *pattern);
/* Whether every path (and host) of inner is one of outer's, both as allows. */
bool pattern_covers(const struct sp_rule *outer, const struct sp_rule *inner);
/* Whether they may share a path, where either may be a deny; errs to true. */
bool pattern_overlaps(const struct sp_rule *a, const struct sp_rule *b);

bool condition_equal(const struct condition *a, const struct condition *b);
/* Whether outer is true wherever inner is, as long as both are readable; errs to false. */
bool condition_implies(const struct condition *inner, const struct condition *outer);

#endif
