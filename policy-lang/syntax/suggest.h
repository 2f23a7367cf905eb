/* "did you mean …?" for names that are near. */
#ifndef SP_SUGGEST_H
#define SP_SUGGEST_H

#include "text.h"

enum { SUGGEST_ROOM = 120 };

/* "did you mean 'candidate'?" in text where the two differ by two edits at most, or by case;
 * else NULL. */
const char *suggest(struct sp_text wrong, struct sp_text candidate, char text[SUGGEST_ROOM]);
/* The same for the first of words that is near. */
const char *suggest_word(struct sp_text wrong, const char *const *words, size_t n_words,
                         char text[SUGGEST_ROOM]);

#endif
