/* What would change in a text, line by line, as `diff -u` shows it. */
#ifndef SP_CLI_TEXT_DIFF_H
#define SP_CLI_TEXT_DIFF_H

#include "buf.h"

/* Appends a unified diff with three lines of context; nothing where the texts are the same.
 * Texts that differ in many thousands of lines are shown as one hunk. Marks ret as failed where
 * memory runs out. */
void text_diff(const char *name, struct sp_text old, struct sp_text new, struct sp_buf *ret);

#endif
