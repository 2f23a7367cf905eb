#include "suggest.h"

#include "buf.h"

enum { LEN_MAX = 64, EDITS_MAX = 2 };

static unsigned smaller(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance, row by row; given up once a whole row is too far. */
static bool is_near(struct sp_text a, struct sp_text b)
{
    unsigned rows[2][LEN_MAX + 1];
    if (sp_text_eq_fold(a, b)) {
        return true;
    }
    if (a.len > LEN_MAX || b.len > LEN_MAX || a.len < 3 || b.len < 3 ||
        a.len > b.len + EDITS_MAX || b.len > a.len + EDITS_MAX) {
        return false;
    }
    for (unsigned j = 0; j <= b.len; j++) {
        rows[0][j] = j;
    }
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned *row = rows[i & 1], *above = rows[(i - 1) & 1], least = row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            row[j] = smaller(above[j - 1] + (a.ptr[i - 1] != b.ptr[j - 1]),
                             smaller(above[j], row[j - 1]) + 1);
            least = smaller(least, row[j]);
        }
        if (least > EDITS_MAX) {
            return false;
        }
    }
    return rows[a.len & 1][b.len] <= EDITS_MAX;
}

const char *suggest(struct sp_text wrong, struct sp_text candidate, char text[SUGGEST_ROOM])
{
    if (!is_near(wrong, candidate)) {
        return NULL;
    }
    struct sp_buf buf;
    sp_buf_over(&buf, text, SUGGEST_ROOM);
    sp_buf_add_str(&buf, "did you mean '");
    sp_buf_add_text(&buf, candidate);
    sp_buf_add_str(&buf, "'?");
    return buf.failed ? NULL : text;
}

const char *suggest_word(struct sp_text wrong, const char *const *words, size_t n_words,
                         char text[SUGGEST_ROOM])
{
    const char *found = NULL;
    for (size_t i = 0; i < n_words && !found; i++) {
        found = suggest(wrong, sp_text_of(words[i]), text);
    }
    return found;
}
