/* The matcher against the oracle: the input makes the choices of the generator of random scopes
 * and requests (property/gen.h), so that libFuzzer looks for the pair on which interpreter,
 * automaton, bit-parallel matcher, parsed text and evaluator do not agree. */
#include "judge.h"

#include <stdlib.h>

enum { REQUESTS_MAX = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A request that tries to be allowed, and one that is an edit away. */
static void judge_two(struct judge *judge, struct gen *gen)
{
    struct gen_request request;
    bool allows;
    gen_request_for(gen, &judge->description, &request);
    if (!judge_agrees(judge, &request, &allows)) {
        abort();
    }
    gen_edit(gen, &request);
    if (!judge_agrees(judge, &request, &allows)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct judge judge;
    struct gen gen;
    judge_init(&judge);
    gen_choose(&gen, data, size);
    if (!judge_start(&judge, &gen)) {
        abort();
    }
    for (unsigned i = 0; i < REQUESTS_MAX && (i == 0 || gen.n_bytes > 0); i++) {
        judge_two(&judge, &gen);
    }
    judge_stop(&judge);
    judge_done(&judge);
    return 0;
}
