/* What the checker's files share. check.c resolves; check_meaning.c judges what was resolved.
 */
#ifndef SP_CHECK_H
#define SP_CHECK_H

#include "ast.h"

struct checker {
    struct sp_policy *policy;
    const struct sp_world *world; /* may be NULL */
    struct sp_diags *diags;
    const struct field **reads; /* grows; what the rule at hand reads */
    size_t reads_room;
    bool out_of_memory;
};

/* "message 'name'". */
void check_error(struct checker *c, const char *code, struct sp_span span, const char *fix,
                 const char *message, struct sp_text name);
void check_warning(struct checker *c, const char *code, struct sp_span span, const char *fix,
                   const char *message);
/* "did you mean …?" in text where the two are near; else NULL. */
const char *check_suggest(struct sp_text wrong, struct sp_text candidate, char text[120]);

void check_finish_scope(struct checker *c, struct sp_scope *scope);
/* Names across scopes, keys and hosts, shadowed rules, grants, expectations. */
void check_meaning(struct checker *c);

#endif
