/* Calls as the audit tells of them: who asked for what with a token of which scope, and what
 * the scope said. For `policy replay` and `policy explain --audit`. Needs no host.
 *
 * A record holds no header, of a body nothing but its kind, and of a query's parameters their
 * names; docs/audit.md says why. What is missing is said in `unknown` (policy.h).
 */
#ifndef SP_AUDIT_CALLS_H
#define SP_AUDIT_CALLS_H

#include "policy.h"

#include <jansson.h>

enum audit_then {               /* what became of it */
                  THEN_SENT,    /* the scope let it through, or only observed: it went out */
                  THEN_REFUSED, /* by the scope */
                  THEN_LATER, /* the scope let it through; a caveat, a rate or a budget did not
                               */
                  THEN_OTHER, /* refused before the scope was asked, or nobody can tell */
};

struct audit_call {
    uint64_t seq;
    json_t *record; /* borrowed */
    enum audit_then then;
    struct sp_request request;
    unsigned unknown; /* SP_UNKNOWN_… */
    struct sp_arena arena;
};

/* A text field, "" where it is missing. */
const char *audit_text(const json_t *record, const char *name);

/* What reading on needs to know: which token was issued with which arguments. */
struct audit_calls;
struct audit_calls *audit_calls_new(void); /* NULL: out of memory */
void audit_calls_free(struct audit_calls *calls);

/* Verify the folder's chain, then give each record of a call, a denial or an outcome to fn, in
 * order, with the call where it is one (an outcome has none: NULL). fn returns false to stop.
 * SP_OK, also where fn stopped it; else err says why. */
typedef bool (*audit_call_fn)(void *user, uint64_t seq, json_t *record,
                              struct audit_call *call);
sp_status audit_calls_read(const char *folder, struct audit_calls *calls, audit_call_fn fn,
                           void *user, struct sp_error *err);
/* One line of it, which need not be of this host's hand. SP_EDENIED where fn stopped it. */
sp_status audit_calls_line(struct audit_calls *calls, uint64_t seq, struct sp_text line,
                           audit_call_fn fn, void *user);

/* The scope of a policy that the call's token would be of, with the arguments that it was
 * issued with; borrowed from calls, which must be used with one policy alone. NULL: *ret_why
 * says why there is none (static). *ret_gone: because the policy does not have it so; else
 * since the audit does not tell. */
const struct sp_scope *audit_scope(struct audit_calls *calls, const struct sp_policy *policy,
                                   const struct audit_call *call, const char **ret_why,
                                   bool *ret_gone);

/* Whether a token of the scope may use the key that the call named. */
bool audit_key_fits(const struct sp_scope *scope, const struct audit_call *call);

/* "POST https://h/p?limit=…", control bytes escaped. */
void audit_print_request(const struct sp_request *request, struct sp_buf *out);
/* A text of a record for people: control bytes escaped. */
void audit_print_text(const char *text, struct sp_buf *out);

#endif
