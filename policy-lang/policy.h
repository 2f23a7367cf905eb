/* The scope language, as the rest of sallyport sees it: compile sources into a policy, fill in
 * and freeze a scope, match requests against it, explain a verdict, prove an inclusion.
 *
 * The flow: sp_policy_compile() turns files into an immutable policy. At issue, a scope of it
 * is frozen with its arguments (sp_scope_freeze) and printed as canonical text
 * (sp_scope_print); that text is what a token's grant binds. sp_scope_parse() turns it back
 * into a scope. So a reload of the files never changes what a live token may do.
 *
 * Semantics are those of docs/policy.md: default deny, any matching deny wins, order never
 * matters, Kleene conditions. Policies and scopes are immutable once made and may be read by
 * any number of threads; matching allocates nothing.
 */
#ifndef SP_POLICY_H
#define SP_POLICY_H

#include "diag.h"
#include "request.h"

struct sp_policy; /* everything that one set of sources declares */
struct sp_scope;  /* a named set of rules: of a policy (borrowed from it), or frozen (owned) */

enum {
    SP_NAME_MAX_BYTES = 64, /* scopes, keys, clients, principals, labels, parameters */
    SP_SOURCE_MAX_BYTES = 4 << 20,
    SP_CAVEAT_MAX_BYTES = 1024, /* one caveat's text */
    SP_CAVEATS_MAX = 16,        /* caveats on one token */
};

/* ---- compile ------------------------------------------------------------------------------
 */

/* What a provider's catalogue says of its API, as far as rules are concerned. */
struct sp_catalogue_action {
    struct sp_text name; /* "refunds.create" */
    struct sp_text path; /* "/v1/refunds/{refund}"; {x...} is one or more segments */
    unsigned method;     /* one bit */
    bool escalates;      /* only a literal allow reaches it */
    bool is_graphql;     /* what it does stands in body.query: rules have to pin that */
    bool has_currency;   /* its amounts are of the currency that body.currency names */
    /* The action of the same list that this is once more, at another path; NULL: none. */
    const struct sp_catalogue_action *same_as;
};
struct sp_catalogue {
    struct sp_text provider;     /* "stripe" */
    const struct sp_text *hosts; /* canonical */
    size_t n_hosts;
    const struct sp_catalogue_action *actions;
    size_t n_actions;
};

/* What the compiler may ask about the world outside the sources. Any hook may be NULL: then
 * what it would check is taken as right (checking a file on an author's machine). */
struct sp_world {
    void *user;
    /* Whether key `id` is registered; if so, its hosts (canonical, borrowed while compiling).
     */
    bool (*key_hosts)(void *user, struct sp_text id, const struct sp_text **ret_hosts,
                      size_t *ret_n_hosts);
    /* The value of a key's setting, also of one that is read off its secret (`livemode`);
     * false where the key is unknown, or has no such setting. */
    bool (*key_setting)(void *user, struct sp_text id, struct sp_text name,
                        struct sp_text *ret_value);
    /* Read the file of a `use "name"` statement, relative to the source that says so. NULL
     * makes `use` an error. The text is borrowed until compilation ends. */
    sp_status (*read_use)(void *user, const char *from, struct sp_text name,
                          struct sp_source *ret_source, struct sp_error *err);
    /* The catalogues of key `id`, with the hosts that the key is for; 0 where there is none.
     * Borrowed while compiling. NULL: no action is known, so none escalates. */
    size_t (*catalogues)(void *user, struct sp_text id, const struct sp_catalogue **ret_list);
    bool leave_expects; /* do not run them: sp_policy_test will */
    /* A key that is not what its scope insists on (E124) is a warning: who uses the policy
     * looks at each use of the key. For a host's start, where the policy was in force before.
     */
    bool hold_insists;
};

/* Compile sources as one policy. Diagnostics (errors and warnings) go to diags; a policy comes
 * back only where there was no error. SP_OK, SP_EINVAL (diags says why) or SP_ENOMEM.
 * Every `expect` is run, and a failing one is an error, unless the world says otherwise. */
sp_status sp_policy_compile(const struct sp_source *sources, size_t n_sources,
                            const struct sp_world *world, struct sp_diags *diags,
                            struct sp_policy **ret_policy);
void sp_policy_free(struct sp_policy *policy);

/* Print the source in its one layout: the same tokens, the same comments in the same places,
 * and at most one empty line where there were some. What it prints formats to itself. Names
 * need not resolve, but the source must parse: else SP_EINVAL, diags says why, and ret_text,
 * which is given empty, holds nothing of use. SP_ENOMEM also where ret_text is full. */
sp_status sp_policy_format(const struct sp_source *source, struct sp_diags *diags,
                           struct sp_buf *ret_text);

/* ---- what a policy declares ---------------------------------------------------------------
 */

struct sp_arg_grant { /* `may issue repo-bot(owner = "acme", repo = *)` */
    struct sp_text name;
    bool any;             /* `*` */
    struct sp_text value; /* where not any */
};

struct sp_may_issue {
    struct sp_text scope;
    uint64_t ttl_ms;   /* the longest life; 0: the scope's own */
    uint32_t live_max; /* `5 live`: unexpired, unrevoked tokens at a time; 0: no limit */
    const struct sp_arg_grant *args;
    size_t n_args;
};

struct sp_identity { /* `client` and `principal` */
    struct sp_text name;
    char curve[41]; /* Z85 public key, NUL-terminated; checked by decoding it */
    bool principal;
    const struct sp_may_issue *grants; /* principals only */
    size_t n_grants;
};

/* The sources that spans of the policy count: those that were given, then those that they use.
 */
const struct sp_source *sp_policy_sources(const struct sp_policy *policy, size_t *ret_n);
size_t sp_policy_n_scopes(const struct sp_policy *policy);
const struct sp_scope *sp_policy_scope(const struct sp_policy *policy, size_t i);
const struct sp_scope *sp_policy_find_scope(const struct sp_policy *policy,
                                            struct sp_text name);
size_t sp_policy_n_identities(const struct sp_policy *policy);
const struct sp_identity *sp_policy_identity(const struct sp_policy *policy, size_t i);

/* ---- scopes -------------------------------------------------------------------------------
 */

struct sp_rate {
    uint32_t count;     /* N; 0: no rate */
    uint64_t window_ms; /* of `/s`, `/min`, `/h`, `/d` */
    uint32_t burst;     /* B of `burst B`: GCRA; 0: at most N in any window */
};

/* A durable limit over a trailing window: of calls, or of the sum of a field. */
struct sp_budget {
    uint64_t limit;     /* 1 to SP_BUDGET_LIMIT_MAX */
    uint64_t window_ms; /* SP_BUDGET_WINDOW_MIN_MS to _MAX_MS */
    bool per_token;     /* each token has one of its own; else one for all of a principal */
    bool sums;          /* a field's value; else each call is 1 */
};
#define SP_BUDGET_LIMIT_MAX 1000000000000000u /* sums of these stay far from 2^63 */
#define SP_BUDGET_WINDOW_MIN_MS 60000u
#define SP_BUDGET_WINDOW_MAX_MS (366ull * 86400000)

/* What this request takes of it: 1, or the field's value. SP_EDENIED where that is absent, no
 * integer, or negative: then the call must not be made. The body must have been judged. */
sp_status sp_budget_takes(const struct sp_budget *budget, const struct sp_request *request,
                          uint64_t *ret_amount);
/* Whether it sums a field of the body. NULL, for no budget, is fine. */
bool sp_budget_reads_body(const struct sp_budget *budget);

struct sp_arg {
    struct sp_text name, value; /* value: a decoded segment or string, never syntax */
};

struct sp_text sp_scope_name(const struct sp_scope *scope);
size_t sp_scope_n_keys(const struct sp_scope *scope);
struct sp_text sp_scope_key(const struct sp_scope *scope, size_t i);
/* `insist NAME = VALUE`: what a setting of the key has to be whenever it is used. False where
 * there is none of that number. */
bool sp_scope_insist(const struct sp_scope *scope, size_t i, struct sp_text *ret_name,
                     struct sp_text *ret_value);
/* `redact {customer.email}`: a field that is taken out of each answer, as the names from the
 * root of its JSON. Of a scope or caveat (NULL has none), in order; NULL where there is none of
 * that number. */
struct sp_redaction {
    const struct sp_text *names;
    size_t n_names; /* 1 to SP_REDACTION_NAMES_MAX, each of 1 to SP_REDACTION_NAME_MAX_BYTES */
};
enum { SP_REDACTION_NAMES_MAX = 16, SP_REDACTION_NAME_MAX_BYTES = 128 };
size_t sp_scope_n_redactions(const struct sp_scope *scope);
const struct sp_redaction *sp_scope_redaction(const struct sp_scope *scope, size_t i);
/* Append it as it is written: customer.email. */
void sp_redaction_print(const struct sp_redaction *redaction, struct sp_buf *buf);
/* Whether what the first takes out is gone once the second has been: the second's names are the
 * first's, or the beginning of them; letters of ASCII in either case. */
bool sp_redaction_covered(const struct sp_redaction *first, const struct sp_redaction *by);
uint64_t sp_scope_ttl_ms(const struct sp_scope *scope);   /* 0: the host's default */
uint64_t sp_scope_until_ms(const struct sp_scope *scope); /* caveats: wall time; 0: none */
struct sp_rate sp_scope_rate(const struct sp_scope *scope);
const struct sp_budget *sp_scope_budget(const struct sp_scope *scope); /* NULL: none */
bool sp_scope_observes(const struct sp_scope *scope);                  /* `mode observe` */
size_t sp_scope_n_params(const struct sp_scope *scope);
struct sp_text sp_scope_param(const struct sp_scope *scope, size_t i);

struct sp_rule; /* one allow or deny */
size_t sp_scope_n_rules(const struct sp_scope *scope);
const struct sp_rule *sp_scope_rule(const struct sp_scope *scope, size_t i);
bool sp_rule_denies(const struct sp_rule *rule);
/* A deny that the compiler added, since a catalogue says that an action escalates. */
bool sp_rule_is_implied(const struct sp_rule *rule);
/* "@refund" without the at sign; a rule without a label is called by its number ("rule 3"). */
struct sp_text sp_rule_label(const struct sp_rule *rule);
unsigned sp_rule_methods(const struct sp_rule *rule);
struct sp_text sp_rule_host(const struct sp_rule *rule);
/* Append the rule's path, percent-encoded: every segment that is no literal and no prefix is a
 * star, and a final double star stays. */
void sp_rule_print_path(const struct sp_rule *rule, struct sp_buf *buf);
struct sp_rate sp_rule_rate(const struct sp_rule *rule);
const struct sp_budget *sp_rule_budget(const struct sp_rule *rule); /* NULL: none */
/* Header names (lower case) that some condition of the scope reads as header.x. */
bool sp_scope_reads_header(const struct sp_scope *scope, struct sp_text name);

/* A scope of its own with the arguments put into the tree as data. Every parameter must have
 * exactly one argument. SP_EINVAL with err, or SP_ENOMEM. */
sp_status sp_scope_freeze(const struct sp_scope *scope, const struct sp_arg *args,
                          size_t n_args, struct sp_scope **ret_frozen, struct sp_error *err);
/* Canonical text of a frozen scope: sets inlined, every literal quoted or percent-encoded, no
 * comments. Equal scopes print equal bytes, and parsing gives the same scope back. */
void sp_scope_print(const struct sp_scope *scope, struct sp_buf *buf);
sp_status sp_scope_parse(struct sp_text canonical, struct sp_scope **ret_scope,
                         struct sp_error *err);
/* A caveat: rules, redactions and at most one `until <RFC 3339 time, Z>`; no name, no keys, no
 * let, no use, no rates, no budgets. Where it has allow rules a request must be allowed by one;
 * its deny rules fire as ever; without rules it restricts nothing but the time. */
sp_status sp_caveat_parse(struct sp_text text, struct sp_scope **ret_scope,
                          struct sp_error *err);
/* What the JSON scope form says, without what the policy's catalogues (policy may be NULL) say
 * escalates: keys, methods (bits), hosts, all paths below the root, a
 * rate, a life. Hosts must be canonical. */
sp_status sp_scope_of_domains(const struct sp_policy *policy, struct sp_text name,
                              const struct sp_text *keys, size_t n_keys, unsigned methods,
                              const struct sp_text *hosts, size_t n_hosts, uint32_t per_minute,
                              uint64_t ttl_ms, struct sp_scope **ret_scope,
                              struct sp_error *err);
/* For frozen, parsed and built scopes only; NULL is fine. */
void sp_scope_free(struct sp_scope *scope);

/* ---- match --------------------------------------------------------------------------------
 */

enum sp_verdict_reason {
    SP_VERDICT_ALLOWED,
    SP_VERDICT_HOST,       /* no rule names this host (scheme and port included) */
    SP_VERDICT_PATH,       /* none of the rules for this host matches the path */
    SP_VERDICT_METHOD,     /* a rule matches host and path, for other methods */
    SP_VERDICT_CONDITION,  /* an allow matches host, path and method; its condition is not true
                            */
    SP_VERDICT_UNREADABLE, /* the condition reads a body or query that cannot be judged */
    SP_VERDICT_DENY_RULE,  /* a deny rule fires */
};

struct sp_verdict {
    bool allowed;
    enum sp_verdict_reason reason;
    /* The deny that fired, the allow that let it through, or the nearest allow; NULL where no
     * rule is near. Where several allows match, the one with the smallest index. */
    const struct sp_rule *rule;
    char detail[160]; /* for people: which atom failed, "body.amount is absent", "5001 is not in
                         1..5000"; quotes at most 32 bytes of the request, escaped */
};

/* Whether some rule that matches the request's host, path and method reads the body: then the
 * caller parses it (body_kind, body_value) before sp_scope_match. */
bool sp_scope_wants_body(const struct sp_scope *scope, const struct sp_request *request);

/* The verdict on one request. The naive interpreter: rule by rule; every other matcher must
 * agree with it. */
void sp_scope_match(const struct sp_scope *scope, const struct sp_request *request,
                    struct sp_verdict *ret_verdict);

/* The same verdict without its words, from a scope compiled once: the cost of a decision does
 * not grow with the rules, but for those whose conditions must be evaluated. */
struct sp_matcher;

struct sp_match { /* as in struct sp_verdict */
    bool allowed;
    enum sp_verdict_reason reason;
    const struct sp_rule *rule; /* the scope's */
};

/* Compile a scope, which must outlive the matcher. Time and memory are linear in its rules.
 * SP_ENOMEM, or SP_ETOOBIG where it holds more rules than a policy can. */
sp_status sp_matcher_new(const struct sp_scope *scope, struct sp_matcher **ret_matcher);
void sp_matcher_free(struct sp_matcher *matcher); /* NULL is fine */
/* Exactly what sp_scope_match says. Any thread; allocates nothing. */
void sp_matcher_decide(const struct sp_matcher *matcher, const struct sp_request *request,
                       struct sp_match *ret_decision);
/* The words for what a matcher of the scope said: the verdict that sp_scope_match gives, at the
 * cost of one rule. */
void sp_match_explain(const struct sp_match *match, const struct sp_request *request,
                      struct sp_verdict *ret_verdict);
/* Whether the verdict may hang on the body: then the caller parses it first. Never says no
 * where sp_scope_wants_body would make another verdict; says no where an unconditional rule
 * decides. */
bool sp_matcher_wants_body(const struct sp_matcher *matcher, const struct sp_request *request);
size_t sp_matcher_n_states(const struct sp_matcher *matcher);
/* Whether some host's automaton would have grown out of proportion to its rules: then they are
 * matched by bits, in time linear in their number, 64 at a time. */
bool sp_matcher_is_bit_parallel(const struct sp_matcher *matcher);

/* Append a table, rule by rule: whether host, path, method and each condition atom match, and
 * the verdict; for `policy explain`. */
void sp_scope_explain(const struct sp_scope *scope, const struct sp_request *request,
                      struct sp_buf *buf);
/* The same as a JSON array of {rule, denies, reach, fires, fault, atoms: [{atom, truth,
 * detail}]}.
 */
void sp_scope_explain_json(const struct sp_scope *scope, const struct sp_request *request,
                           struct sp_buf *buf);

/* ---- prove --------------------------------------------------------------------------------
 */

enum sp_inclusion {
    SP_INCLUDED,     /* proved: outer allows every request that inner allows, within its rate */
    SP_NOT_INCLUDED, /* why names the rule of inner that reaches further */
    SP_TOO_HARD,     /* not proved; treat as not included */
};

/* A request that inner allows and outer does not. It owns its arena, and borrows from both
 * scopes. */
struct sp_witness {
    struct sp_arena arena;
    struct sp_request request;
    bool found; /* false where a setting (key, ttl, rate) is what reaches further */
};
/* "POST https://h/p json {"a": 1}", in the words of `expect`. */
void sp_witness_print(const struct sp_request *request, struct sp_buf *buf);
void sp_witness_done(struct sp_witness *witness);

/* Whether everything that inner allows is allowed by outer as well, keys, life and rates
 * included: proved, or refuted by a request of fewest path segments that both scopes were
 * really asked about, or too hard within a fixed number of steps. inherits: what inner does not
 * state (a rate) it takes from outer, as a narrowed token does, which is judged by both; else
 * it is unlimited, as for two versions of one scope. Scopes that still have parameters are too
 * hard unless it can be seen rule by rule. witness may be NULL; sp_witness_done() where found.
 * why says it in words. */
enum sp_inclusion sp_scope_compare(const struct sp_scope *outer, const struct sp_scope *inner,
                                   bool inherits, struct sp_witness *witness,
                                   struct sp_error *why);
/* The same within so many steps, of which those that were taken are taken off: for several
 * comparisons that must not take longer together. witness must be given. */
enum sp_inclusion sp_scope_compare_within(const struct sp_scope *outer,
                                          const struct sp_scope *inner, bool inherits,
                                          size_t *steps, struct sp_witness *witness,
                                          struct sp_error *why);
/* The same for a narrowed token, without the witness, and with fewer steps: a client waits. */
enum sp_inclusion sp_scope_includes(const struct sp_scope *outer, const struct sp_scope *inner,
                                    struct sp_error *why);

/* ---- nearest ------------------------------------------------------------------------------
 *
 * For a refused request: what would have to change, in the request or in the scope. */
struct sp_change {
    struct sp_text place; /* "method", "host", "path", "body.amount", "header.x-tenant" */
    struct sp_text to;    /* what it is in the nearest request; .ptr NULL: left out */
    struct sp_text words; /* "body.amount would have to be at most 5000; it is 5001" */
};

struct sp_nearest {
    struct sp_arena arena;
    bool found;                /* else it was too hard, or the scope allows nothing */
    struct sp_request request; /* allowed: the scope was asked. Fewest changes of those tried */
    const struct sp_rule *rule; /* that lets it through */
    struct sp_change *changes;
    size_t n_changes;
    /* "in refund, `body.amount in 1..5001` for `body.amount in 1..5000`", or "with `allow POST
     * https://…`": the scope, so changed, was read back and asked. Empty: nothing small. */
    struct sp_text scope_change;
};

/* Of a scope that refuses the request, frozen, and a request whose body was judged. SP_ENOMEM.
 * The result borrows from both. Within a fixed number of steps, about a second at the most. */
sp_status sp_scope_nearest(const struct sp_scope *scope, const struct sp_request *request,
                           struct sp_nearest *ret_nearest);
void sp_nearest_done(struct sp_nearest *nearest);

/* ---- partly known -------------------------------------------------------------------------
 *
 * A request as an audit records it. */
enum {
    SP_UNKNOWN_BODY = 1,    /* there is one; nothing of it is known */
    SP_UNKNOWN_QUERY = 2,   /* the values of its parameters; their names are known */
    SP_UNKNOWN_PARAMS = 4,  /* there are more parameters than are known */
    SP_UNKNOWN_HEADERS = 8, /* which there are */
};

enum sp_partly { SP_PARTLY_ALLOWED, SP_PARTLY_DENIED, SP_PARTLY_DEPENDS };

struct sp_partial {
    enum sp_partly verdict; /* ALLOWED, DENIED: whatever the unknown part was */
    /* An allow or a deny that surely decides so; NULL: none does by itself. */
    const struct sp_rule *rule;
};

/* unknown: SP_UNKNOWN_… together. ret_depends may be NULL; else the fields are appended that a
 * DEPENDS hangs on, "body.amount, query.limit". */
void sp_scope_match_partial(const struct sp_scope *scope, const struct sp_request *request,
                            unsigned unknown, struct sp_buf *ret_depends,
                            struct sp_partial *ret_partial);
/* Append a line for each rule, or objects {rule, denies, applies: yes, no or unknown,
 * depends_on} with commas between. */
void sp_scope_explain_partial(const struct sp_scope *scope, const struct sp_request *request,
                              unsigned unknown, bool json, struct sp_buf *buf);

/* ---- test ---------------------------------------------------------------------------------
 *
 * The `expect` lines of a policy, one by one, and what of its rules they reach. */
struct sp_test {
    const struct sp_scope *scope;
    struct sp_span span; /* into sp_policy_sources() */
    bool passed;
};

struct sp_atom_cover { /* one atom of a rule's condition */
    struct sp_span span;
    struct sp_text text;         /* canonical */
    bool seen_true, seen_untrue; /* where host, path and method matched; false or unknown */
};

struct sp_rule_cover {
    const struct sp_scope *scope;
    const struct sp_rule *rule;
    struct sp_span span;
    size_t n_decided; /* tests that it decided: it let them through, or it is the deny that
                         fired */
    struct sp_atom_cover *atoms;
    size_t n_atoms;
};

struct sp_tests {
    struct sp_arena arena;
    struct sp_diags diags; /* why those that failed did: E160 to E162, with their spans */
    struct sp_test *tests;
    size_t n_tests, n_failed;
    struct sp_rule_cover *rules; /* without those that the compiler added */
    size_t n_rules, n_rules_decided;
    size_t n_sides, n_sides_seen; /* two for each atom: true, and not */
};

/* Run the tests of a policy that was compiled with leave_expects. SP_ENOMEM. The result borrows
 * from the policy. */
sp_status sp_policy_test(const struct sp_policy *policy, struct sp_tests *ret_tests);
void sp_tests_done(struct sp_tests *tests);

/* ---- two versions of a policy ---------------------------------------------------------------
 *
 * What becomes of each scope whose text changed. It is about tokens to come: those that live
 * keep the scope that they were issued with. */
enum sp_scope_fate {
    SP_SCOPE_ADDED,
    SP_SCOPE_REMOVED,
    SP_SCOPE_WIDER,    /* it newly allows something; it may allow less elsewhere */
    SP_SCOPE_NARROWER, /* it allows nothing new: proved, but for scopes with parameters only
                          where `why` says; not proved to be equal */
    SP_SCOPE_EQUAL,    /* another text for the same: proved likewise */
    SP_SCOPE_TOO_HARD, /* to tell whether it allows anything new */
};
const char *
sp_scope_fate_name(enum sp_scope_fate fate); /* "new", "wider", "too_hard"; static */

struct sp_scope_change {
    struct sp_text scope;
    enum sp_scope_fate fate;
    struct sp_text request; /* WIDER: newly allowed, as sp_witness_print has it; else empty */
    struct sp_text why;     /* WIDER by a setting, TOO_HARD, and with parameters; else empty */
};

struct sp_policy_changes {
    struct sp_arena arena;
    struct sp_scope_change *items; /* in the order of the new policy, the removed ones last */
    size_t n, n_untouched;
};

/* All comparisons together take about so many steps, 10 to 20 million of them a second; past
 * them what is left is too hard. SP_ENOMEM. The result borrows nothing. */
sp_status sp_policy_compare(const struct sp_policy *old, const struct sp_policy *new,
                            size_t steps, struct sp_policy_changes *ret_changes);
void sp_policy_changes_done(struct sp_policy_changes *changes);

/* ---- blast --------------------------------------------------------------------------------
 *
 * What a scope can reach of the actions that catalogues name. Worst first: what escalates, what
 * deletes, what writes, what reads. */
enum sp_blast_class {
    SP_BLAST_ESCALATES,
    SP_BLAST_DELETES,
    SP_BLAST_WRITES,
    SP_BLAST_READS,
};

struct sp_blast_item { /* one action through one allow */
    const struct sp_catalogue *catalogue;
    const struct sp_catalogue_action *action;
    enum sp_blast_class class;
    const struct sp_rule *rule;
    struct sp_text url;     /* the part of the rule's pattern that is the action's */
    struct sp_text where;   /* the rule's condition, canonical; empty: none */
    size_t n_denies;        /* denies of the scope that may take away a part of it */
    struct sp_text example; /* a request that is allowed; empty where url says it all */
    bool proved;            /* false: too hard; taken for reached */
};

struct sp_blast {
    struct sp_arena arena;
    struct sp_blast_item *items;
    size_t n_items;
    /* Of the catalogues whose hosts the scope names. What is there at two paths is one action;
     * GraphQL is as many as there are documents, and is not counted. */
    size_t n_reached, n_actions;
    bool reaches_graphql;
    /* Allows on hosts with a catalogue, against all its actions: SP_INCLUDED, they reach
     * nothing else; SP_NOT_INCLUDED, outside is a request of no action; SP_TOO_HARD. */
    enum sp_inclusion within;
    struct sp_text outside;
    const struct sp_text *unknown_hosts; /* that the scope allows, and no catalogue knows */
    size_t n_unknown_hosts;
};

/* Exact but for what is not `proved`: each action that an allow overlaps is shown by a request
 * that the scope was really asked about, or is left out by proof. For frozen scopes. ret_blast
 * borrows from scope and catalogues. SP_ENOMEM. */
sp_status sp_scope_blast(const struct sp_scope *scope, const struct sp_catalogue *catalogues,
                         size_t n_catalogues, struct sp_blast *ret_blast);
void sp_blast_done(struct sp_blast *blast);

#endif
