/* Exact inclusion: search for a request that inner allows and outer does not.
 *
 * product.c walks the paths of one host breadth first, with the rules of both scopes side by
 * side and the alphabet cut at every literal, prefix and path constant; where a path ends with
 * rules of inner alive it asks fields.c for bodies, queries and headers. What is found is made
 * a whole request (witness.c) and replayed through the interpreter before anyone hears of it,
 * so that a counterexample is never wrong. Nothing found and `incomplete` not set is a proof.
 */
#ifndef SP_PROVE_H
#define SP_PROVE_H

#include "match.h"

enum {
    PROVE_STEPS_MAX = 20000000,      /* on an author's machine: a second or so */
    PROVE_ISSUE_STEPS_MAX = 1000000, /* while a client waits, and others behind it */
};

struct prove {
    const struct sp_scope *outer, *inner;
    struct sp_arena arena;
    struct sp_arena *found; /* the witness's own */
    size_t steps, steps_max;
    bool inherits;   /* a rate that inner does not state is outer's */
    bool has_limits; /* some rule of outer has a rate */
    bool incomplete; /* a class of requests was left out: nothing found proves nothing */
    bool out_of_memory;
    /* A word and a number that occur nowhere in either scope, whatever their case: what stands
     * for "any other". Were they fixed, a scope that names them would hide all others. */
    struct sp_text word, number, slashed_word; /* NUL-terminated, in the arena */
    struct sp_request request;                 /* at hand; the witness in the end */
};

/* The rules that a request of one method and path meets. */
struct met {
    const struct sp_rule **inner_allows, **inner_denies, **outer_allows, **outer_denies;
    size_t n_inner_allows, n_inner_denies, n_outer_allows, n_outer_denies;
};

/* Whether some body, query and headers make p->request (url and method set) one that inner
 * allows and outer does not; they are put into p->request. */
bool prove_fields(struct prove *p, const struct met *met);
/* Whether the request, as it stands, is a counterexample: the interpreter says so. */
bool prove_replay(struct prove *p);
/* Whether limits of the two rules that decide keep their order. */
bool prove_limits(const struct sp_rule *inner, const struct sp_rule *outer, bool inherits);
bool rate_within(struct sp_rate inner, struct sp_rate outer);
bool budget_within(const struct budget *inner, const struct budget *outer);

/* Look at all paths. True with p->request set where there is a counterexample. */
bool prove_paths(struct prove *p);

static inline bool prove_step(struct prove *p, size_t n)
{
    p->steps += n;
    return p->steps <= p->steps_max && !p->out_of_memory;
}

/* Choose word and number. False where memory ran out or a scope is too large. */
bool prove_choose_fresh(struct prove *p);

void *prove_alloc(struct prove *p, size_t count, size_t size);

#endif
