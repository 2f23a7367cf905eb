/* Running what stands beside the rules: one `expect` at a time. The checker does so at each
 * compilation, and `policy test` again, to see what the tests reach. */
#ifndef SP_EXPECT_H
#define SP_EXPECT_H

#include "check.h"

struct expect_run {
    struct sp_diags *diags; /* what fails is an error there: E160 to E162 */
    /* Told of each request that a scope was asked about; may be NULL. Rules of frozen are those
     * of the scope, in the same order. */
    void (*seen)(void *user, const struct sp_scope *frozen, const struct sp_request *request,
                 const struct sp_verdict *verdict);
    void *user;
    struct sp_arena arena;   /* the request at hand */
    struct sp_scope *frozen; /* for the arguments of `last` */
    const struct expectation *last;
    size_t work;
};

void expect_run_init(struct expect_run *run, struct sp_diags *diags);
void expect_run_one(struct expect_run *run, const struct sp_scope *scope,
                    const struct expectation *e);
/* Between two scopes. */
void expect_run_leave(struct expect_run *run);
void expect_run_done(struct expect_run *run);

#endif
