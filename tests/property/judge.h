/* One random scope in each of its forms, and what they must agree on: the interpreter, the
 * automaton, the bit-parallel matcher, the scope printed and parsed again, and the evaluator of
 * gen_oracle.c. A random test and a fuzz target drive it. */
#ifndef JUDGE_H
#define JUDGE_H

#include "gen.h"

struct judge {
    struct gen_scope description;
    struct sp_buf text;
    struct sp_policy *policy;
    const struct sp_scope *scope;
    struct sp_scope *parsed;
    struct sp_matcher *automaton, *bits;
    struct sp_arena arena;
};

void judge_init(struct judge *judge);
void judge_done(struct judge *judge);
/* Draw a scope and make its forms. False, with the compiler's words on stderr, where the text
 * does not compile or a form is not what it should be. In any case judge_stop ends it. */
bool judge_start(struct judge *judge, struct gen *gen);
void judge_stop(struct judge *judge);
/* Whether all agree on the request; *ret_allows is what the evaluator says. Where they do not,
 * scope and request are on stderr. */
bool judge_agrees(struct judge *judge, const struct gen_request *described, bool *ret_allows);

#endif
