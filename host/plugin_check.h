/* plugin_check: what texts from a plugin may look like. A plugin is foreign code: nothing of
 * its output reaches a request, a log or a terminal before it went through here (T49). */
#ifndef SP_PLUGIN_CHECK_H
#define SP_PLUGIN_CHECK_H

#include "text.h"

#include <stdint.h>

enum {
    SP_PLUGIN_ID_MAX = 64, /* ids, versions, field names */
    SP_PLUGIN_LINE_MAX = 512,
    SP_PLUGIN_HEADER_NAME_MAX = 128,
    SP_PLUGIN_HEADER_VALUE_MAX = 1024, /* and prefixes, templates */
    SP_PLUGIN_PATH_MAX = 512,
};

bool sp_is_provider_id(struct sp_text text);  /* [a-z][a-z0-9-]* */
bool sp_is_field_name(struct sp_text text);   /* [a-z][a-z0-9_]* */
bool sp_is_action_name(struct sp_text text);  /* letters, digits and . _ - / */
bool sp_is_visible(struct sp_text text);      /* 0x21 to 0x7e, and not empty */
bool sp_is_printable(struct sp_text text);    /* 0x20 to 0x7e; may be empty */
bool sp_is_line(struct sp_text text);         /* UTF-8 without control characters */
bool sp_is_header_name(struct sp_text text);  /* a lower-case token of RFC 9110, 5.6.2 */
bool sp_is_header_value(struct sp_text text); /* 0x20 to 0x7e, no blank at either end */
bool sp_is_method(struct sp_text text);
/* Secrets of a lease are called `lease.NAME`, in plans and wherever names of secrets are told.
 */
#define SP_LEASE_PREFIX "lease."
/* Those that a rotation replaced, in rotate.finish. */
#define SP_PREVIOUS_PREFIX "previous."
bool sp_is_lease_name(struct sp_text text);
bool sp_is_path_template(struct sp_text text); /* "/v1/charges/{charge}/capture" */

/* Headers that frame or route a request, or say who sent it on: never a plugin's. */
bool sp_header_is_forbidden(struct sp_text name);
/* Headers that carry credentials: a placement may fill them, a fixed header may not. */
bool sp_header_is_credential(struct sp_text name);

/* NULL where every {name} of the template is one of the secrets and there is at least one;
 * else what is wrong (static). */
const char *sp_template_refused(struct sp_text template, const struct sp_text *secrets,
                                size_t n_secrets, bool minted /* `lease.NAME` will be there */);
/* Whether a good template names a secret of a lease. */
bool sp_template_needs_lease(struct sp_text template);

/* A copy that can be shown: UTF-8 kept, control characters and what is no UTF-8 as '?', cut to
 * fit room (NUL included). */
void sp_shown(struct sp_text text, char *ret_shown, size_t room);

#endif
