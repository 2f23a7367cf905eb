/* sign_names: the templates of signatures (sallyport/sign.h), cut into pieces; looked at when
 * they are pushed, filled in by sign.c. */
#ifndef SP_SIGN_NAMES_H
#define SP_SIGN_NAMES_H

#include "provider.h"

enum sp_sign_name {
    SP_SIGN_METHOD,
    SP_SIGN_HOST,
    SP_SIGN_PATH,
    SP_SIGN_PATH_ENCODED,
    SP_SIGN_QUERY,
    SP_SIGN_QUERY_SORTED,
    SP_SIGN_TARGET,
    SP_SIGN_BODY,
    SP_SIGN_BODY_SHA256,
    SP_SIGN_BODY_SHA256_BASE64,
    SP_SIGN_TIMESTAMP,
    SP_SIGN_TIMESTAMP_MS,
    SP_SIGN_DATE,
    SP_SIGN_DATETIME,
    SP_SIGN_NONCE,
    SP_SIGN_CANONICAL_SHA256,
    SP_SIGN_SIGNATURE,
    SP_SIGN_LITERAL, /* no name: bytes as they stand */
};

#define SP_SIGN_IS(name) (1u << (name))
/* What each kind of template may name. */
enum {
    SP_SIGN_IN_DERIVE = SP_SIGN_IS(SP_SIGN_TIMESTAMP) | SP_SIGN_IS(SP_SIGN_TIMESTAMP_MS) |
                        SP_SIGN_IS(SP_SIGN_DATE) | SP_SIGN_IS(SP_SIGN_DATETIME),
    SP_SIGN_IN_OUTPUT = SP_SIGN_IN_DERIVE | SP_SIGN_IS(SP_SIGN_NONCE) |
                        SP_SIGN_IS(SP_SIGN_BODY_SHA256) |
                        SP_SIGN_IS(SP_SIGN_BODY_SHA256_BASE64) | SP_SIGN_IS(SP_SIGN_SIGNATURE),
    SP_SIGN_IN_CANONICAL = SP_SIGN_IS(SP_SIGN_CANONICAL_SHA256) - 1,
    SP_SIGN_IN_MESSAGE = SP_SIGN_IS(SP_SIGN_SIGNATURE) - 1,
};

/* Cut the next piece off a template: a name, or literal bytes in *ret_literal. False at its
 * end, or where it is malformed: then in_out_template is not empty. */
bool sp_sign_next(struct sp_text *in_out_template, enum sp_sign_name *ret_name,
                  struct sp_text *ret_literal);

/* NULL where the template is well-formed and names nothing but `allowed` (SP_SIGN_IN_…); else
 * what is wrong (static). *ret_names gets the set of what it names. */
const char *sp_sign_template_refused(struct sp_text template, unsigned allowed,
                                     unsigned *ret_names);

#endif
