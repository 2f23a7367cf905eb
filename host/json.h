/* JSON that comes from outside, read by jansson. Where memory is short it leaves out of a
 * string what it found no room for, and says nothing (its lexer drops the failure of each byte
 * that it keeps): a rule would judge another value than the one that is sent on, and half a
 * credential would pass for a whole one. So its memory is watched while it reads. */
#ifndef SP_JSON_H
#define SP_JSON_H

#include "text.h"

#include <jansson.h>

/* jansson gets memory that is wiped, for the whole process; once, before the first thread. */
void sp_json_global(void);

/* json_loadb, which fails with json_error_out_of_memory where memory was short on the way. NULL
 * or a new reference. ret_error: may be NULL. Any thread. */
json_t *sp_json_load(struct sp_text text, size_t flags, json_error_t *ret_error);

#endif
