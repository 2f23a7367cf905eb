/* One pass over the text, by recursive descent. At each level of objects a set of bits says
 * which redactions' names have been met so far: as arrays are not named, all of them are at the
 * same name. */
#include "redact.h"

#include <stdlib.h>
#include <string.h>

enum { WORD_BITS = 64 };

struct redacting {
    const struct sp_redaction *redactions;
    size_t n, n_words;
    uint64_t *sets; /* n_words for each level of objects */
    const char *at, *end, *copied;
    struct sp_buf *out;
    unsigned depth;
};

static bool value(struct redacting *r, size_t level, bool live);

/* ---- tokens ---------------------------------------------------------------------------------
 */

static void skip_blanks(struct redacting *r)
{
    while (r->at < r->end && memchr(" \t\r\n", *r->at, 4)) {
        r->at++;
    }
}

static bool take(struct redacting *r, char c)
{
    bool there = r->at < r->end && *r->at == c;
    r->at += there;
    return there;
}

static bool take_word(struct redacting *r, const char *word)
{
    size_t len = strlen(word);
    bool there = (size_t)(r->end - r->at) >= len && strncmp(r->at, word, len) == 0;
    r->at += there ? len : 0;
    return there;
}

static bool take_digits(struct redacting *r)
{
    const char *start = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') {
        r->at++;
    }
    return r->at > start;
}

static bool number(struct redacting *r)
{
    (void)take(r, '-');
    if (!take(r, '0') && !take_digits(r)) {
        return false;
    }
    if (take(r, '.') && !take_digits(r)) {
        return false;
    }
    if (take(r, 'e') || take(r, 'E')) {
        if (!take(r, '+')) {
            (void)take(r, '-');
        }
        return take_digits(r);
    }
    return true;
}

static bool hex4(struct redacting *r, unsigned *ret_unit)
{
    unsigned unit = 0;
    if (r->end - r->at < 4) {
        return false;
    }
    for (unsigned i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)*r->at++;
        unsigned lower = c | 0x20u;
        bool letter = lower >= 'a' && lower <= 'f';
        if (!letter && (c < '0' || c > '9')) {
            return false;
        }
        unit = unit << 4 | (letter ? lower - ('a' - 10u) : c - (unsigned)'0');
    }
    *ret_unit = unit;
    return true;
}

static void put_utf8(struct sp_buf *name, unsigned point)
{
    if (point < 0x80) {
        sp_buf_add_byte(name, (uint8_t)point);
        return;
    }
    unsigned n = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const unsigned char leads[] = {0, 0xc0, 0xe0, 0xf0};
    sp_buf_add_byte(name, (uint8_t)(leads[n] | point >> (6 * n)));
    while (n-- > 0) {
        sp_buf_add_byte(name, (uint8_t)(0x80 | (point >> (6 * n) & 0x3f)));
    }
}

/* Behind the backslash. */
static bool escape(struct redacting *r, struct sp_buf *name)
{
    static const char letters[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    unsigned unit, low;
    if (take(r, 'u')) {
        if (!hex4(r, &unit) || (unit & 0xfc00) == 0xdc00) {
            return false;
        }
        if ((unit & 0xfc00) == 0xd800) {
            if (!take_word(r, "\\u") || !hex4(r, &low) || (low & 0xfc00) != 0xdc00) {
                return false;
            }
            unit = 0x10000 + ((unit & 0x3ff) << 10 | (low & 0x3ff));
        }
        put_utf8(name, unit);
        return true;
    }
    const char *found = r->at < r->end ? memchr(letters, *r->at, sizeof letters - 1) : NULL;
    if (found) {
        r->at++;
        sp_buf_add_byte(name, (uint8_t)means[found - letters]);
    }
    return found != NULL;
}

/* A string, decoded into name as far as that has room: no redaction's name is longer. */
static bool string(struct redacting *r, struct sp_buf *name)
{
    if (!take(r, '"')) {
        return false;
    }
    while (r->at < r->end && *r->at != '"') {
        unsigned char c = (unsigned char)*r->at++;
        if (c < 0x20 || (c == '\\' && !escape(r, name))) {
            return false;
        }
        if (c != '\\') {
            sp_buf_add_byte(name, c);
        }
    }
    return take(r, '"');
}

/* ---- objects and arrays ---------------------------------------------------------------------
 */

static uint64_t *set_of(const struct redacting *r, size_t level)
{
    return r->sets + level * r->n_words;
}

/* Of the redactions that have come to this level, those whose next name it is go on to the next
 * one. Whether one of them ends here. */
static bool step(const struct redacting *r, size_t level, struct sp_text name, bool *ret_live)
{
    const uint64_t *here = set_of(r, level);
    uint64_t *next = set_of(r, level + 1);
    bool ends = false;
    *ret_live = false;
    memset(next, 0, r->n_words * sizeof *next);
    for (size_t i = 0; i < r->n; i++) {
        const struct sp_redaction *one = &r->redactions[i];
        if (here[i / WORD_BITS] >> i % WORD_BITS & 1 &&
            sp_text_eq_fold(one->names[level], name)) {
            bool last = level + 1 == one->n_names;
            ends = ends || last;
            *ret_live = *ret_live || !last;
            next[i / WORD_BITS] |= (uint64_t)!last << i % WORD_BITS;
        }
    }
    return ends;
}

static void cut(struct redacting *r, const char *from, const char *to)
{
    sp_buf_add(r->out, r->copied, (size_t)(from - r->copied));
    r->copied = to;
}

/* "name": value. Whether it is to be cut, in *ret_goes. */
static bool member(struct redacting *r, size_t level, bool live, bool *ret_goes)
{
    struct sp_buf name;
    char room[SP_REDACTION_NAME_MAX_BYTES + 1]; /* a longer one fails, and is none of ours */
    bool goes = false, below = false;
    sp_buf_over(&name, room, sizeof room);
    if (!string(r, &name)) {
        return false;
    }
    if (live && !name.failed) {
        goes = step(r, level, sp_buf_text(&name), &below);
    }
    skip_blanks(r);
    if (!take(r, ':')) {
        return false;
    }
    *ret_goes = goes;
    return value(r, level + 1, below && !goes);
}

/* Behind the brace. What goes before the first member that stays goes with the comma behind it;
 * any other with the one in front. */
static bool object(struct redacting *r, size_t level, bool live)
{
    const char *comma = NULL;
    bool goes = false, one_stays = false;
    skip_blanks(r);
    if (take(r, '}')) {
        return true;
    }
    for (;;) {
        skip_blanks(r);
        const char *start = r->at;
        if (!member(r, level, live, &goes)) {
            return false;
        }
        const char *end = r->at;
        skip_blanks(r);
        const char *next_comma = r->at;
        bool more = take(r, ',');
        if (goes && one_stays) {
            cut(r, comma, end);
        } else if (goes) {
            skip_blanks(r);
            cut(r, start, more ? r->at : end);
        }
        one_stays = one_stays || !goes;
        comma = next_comma;
        if (!more) {
            return take(r, '}');
        }
    }
}

/* Behind the bracket. */
static bool array(struct redacting *r, size_t level, bool live)
{
    skip_blanks(r);
    if (take(r, ']')) {
        return true;
    }
    do {
        if (!value(r, level, live)) {
            return false;
        }
        skip_blanks(r);
    } while (take(r, ','));
    return take(r, ']');
}

/* live: some redaction has met all names on the way here. Else nothing below is looked for, and
 * no set is read. */
static bool value(struct redacting *r, size_t level, bool live)
{
    struct sp_buf none;
    char room[2];
    bool good = false;
    skip_blanks(r);
    if (r->at == r->end || r->depth == SP_REDACT_DEPTH_MAX) {
        return false;
    }
    r->depth++;
    switch (*r->at) {
    case '{':
        r->at++;
        good = object(r, level, live);
        break;
    case '[':
        r->at++;
        good = array(r, level, live);
        break;
    case '"':
        sp_buf_over(&none, room, sizeof room);
        good = string(r, &none);
        break;
    case 't':
        good = take_word(r, "true");
        break;
    case 'f':
        good = take_word(r, "false");
        break;
    case 'n':
        good = take_word(r, "null");
        break;
    default:
        good = number(r);
    }
    r->depth--;
    return good;
}

sp_status sp_redact(const struct sp_redaction *redactions, size_t n, struct sp_text json,
                    struct sp_buf *out)
{
    struct redacting r = {.redactions = redactions,
                          .n = n,
                          .n_words = n / WORD_BITS + 1,
                          .at = json.ptr,
                          .end = json.ptr + json.len,
                          .copied = json.ptr,
                          .out = out};
    if (!sp_text_is_utf8(json)) {
        return SP_EINVAL;
    }
    r.sets = calloc(r.n_words * (SP_REDACTION_NAMES_MAX + 1), sizeof *r.sets);
    if (!r.sets) {
        return SP_ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        r.sets[i / WORD_BITS] |= (uint64_t)1 << i % WORD_BITS;
    }
    bool good = value(&r, 0, n > 0);
    skip_blanks(&r);
    free(r.sets);
    if (!good || r.at != r.end) {
        return SP_EINVAL;
    }
    cut(&r, r.end, r.end);
    return out->out_of_memory ? SP_ENOMEM : out->failed ? SP_ETOOBIG : SP_OK;
}

/* ---- headers --------------------------------------------------------------------------------
 */

static bool is_one_of(struct sp_text name, const char *const *names, size_t n)
{
    bool found = false;
    for (size_t i = 0; i < n && !found; i++) {
        found = sp_text_is(name, names[i]);
    }
    return found;
}

bool sp_redact_stales(struct sp_text name)
{
    static const char *const names[] = {"etag",           "content-md5",  "digest",
                                        "content-digest", "repr-digest",  "accept-ranges",
                                        "content-length", "content-range"};
    return is_one_of(name, names, sizeof names / sizeof *names);
}

bool sp_redact_carves(struct sp_text name)
{
    static const char *const names[] = {"range", "if-range", "request-range"};
    return is_one_of(name, names, sizeof names / sizeof *names);
}
