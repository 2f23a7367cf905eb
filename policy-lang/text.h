/* sp_text: a borrowed run of bytes. It is not NUL-terminated, and it may hold NUL bytes.
 * Whoever fills it in says how long the bytes live. */
#ifndef SP_TEXT_H
#define SP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct sp_text {
    const char *ptr;
    size_t len;
};

/* A text over a string literal. */
#define SP_TEXT(literal) ((struct sp_text){(literal), sizeof(literal) - 1})

static inline struct sp_text sp_text_of(const char *string)
{
    return (struct sp_text){string, string ? strlen(string) : 0};
}

static inline bool sp_text_eq(struct sp_text a, struct sp_text b)
{
    return a.len == b.len &&
           (a.len == 0 || (a.ptr && b.ptr && memcmp(a.ptr, b.ptr, a.len) == 0));
}

static inline bool sp_text_is(struct sp_text a, const char *string)
{
    return sp_text_eq(a, sp_text_of(string));
}

/* Equality that folds ASCII letters, and only those, to one case. */
bool sp_text_eq_fold(struct sp_text a, struct sp_text b);

static inline bool sp_text_starts(struct sp_text a, struct sp_text prefix)
{
    return a.len >= prefix.len &&
           (prefix.len == 0 ||
            (a.ptr && prefix.ptr && memcmp(a.ptr, prefix.ptr, prefix.len) == 0));
}

/* Without blanks (space, tab) at either end. */
static inline struct sp_text sp_text_trim(struct sp_text text)
{
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t')) {
        text.len--;
    }
    return text;
}

/* Byte order; shorter first among equals. For sorting. */
int sp_text_cmp(struct sp_text a, struct sp_text b);

/* True where the bytes are well-formed UTF-8 (RFC 3629: no overlong form, no surrogate, nothing
 * above U+10FFFF). */
bool sp_text_is_utf8(struct sp_text a);

#endif
