#include "text_diff.h"

#include <stdint.h>
#include <stdlib.h>

enum { CONTEXT = 3, CELLS_MAX = 16 << 20 };

struct lines {
    struct sp_text *at;
    size_t n;
};

/* One line of the result: of both texts, or of one alone. */
struct step {
    char mark;       /* ' ', '-', '+' */
    size_t old, new; /* how many lines of each stand before it */
};

struct diff {
    struct lines old, new;
    struct step *steps;
    size_t n;
};

static bool lines_of(struct sp_text text, struct lines *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        n += text.ptr[i] == '\n';
    }
    ret->at = calloc(n + 1, sizeof *ret->at);
    ret->n = 0;
    for (size_t at = 0; ret->at && at < text.len;) {
        const char *end = memchr(text.ptr + at, '\n', text.len - at);
        size_t len = end ? (size_t)(end - text.ptr) - at : text.len - at;
        ret->at[ret->n++] = (struct sp_text){text.ptr + at, len};
        at += len + 1;
    }
    return ret->at != NULL;
}

static void step(struct diff *d, char mark, size_t *old, size_t *new)
{
    d->steps[d->n++] = (struct step){mark, *old, *new};
    *old += mark != '+';
    *new += mark != '-';
}

/* The lines between what is the same at both ends, by their longest common subsequence. table
 * holds its length from each pair of lines on; NULL: there are too many, none is kept. */
static void middle(struct diff *d, uint32_t *table, size_t *old, size_t *new, size_t old_end,
                   size_t new_end)
{
    size_t first_old = *old, first_new = *new, width = new_end - first_new + 1;
    for (size_t i = old_end; table && i-- > first_old;) {
        uint32_t *row = table + (i - first_old) * width, *below = row + width;
        for (size_t j = width - 1; j-- > 0;) {
            row[j] = sp_text_eq(d->old.at[i], d->new.at[first_new + j]) ? below[j + 1] + 1
                     : below[j] >= row[j + 1]                           ? below[j]
                                                                        : row[j + 1];
        }
    }
    while (*old < old_end || *new < new_end) {
        const uint32_t *cell =
            table ? table + (*old - first_old) * width + (*new - first_new) : NULL;
        if (*old == old_end) {
            step(d, '+', old, new);
        } else if (*new == new_end || !cell) {
            step(d, '-', old, new);
        } else if (sp_text_eq(d->old.at[*old], d->new.at[*new])) {
            step(d, ' ', old, new);
        } else {
            step(d, cell[width] >= cell[1] ? '-' : '+', old, new);
        }
    }
}

static bool steps_of(struct diff *d)
{
    size_t old = 0, new = 0, old_end = d->old.n, new_end = d->new.n;
    d->steps = calloc(d->old.n + d->new.n + 1, sizeof *d->steps);
    if (!d->steps) {
        return false;
    }
    while (old < old_end && new < new_end && sp_text_eq(d->old.at[old], d->new.at[new])) {
        step(d, ' ', &old, &new);
    }
    while (old_end > old &&
           new_end > new &&sp_text_eq(d->old.at[old_end - 1], d->new.at[new_end - 1])) {
        old_end--;
        new_end--;
    }
    size_t cells = (old_end - old + 1) * (new_end - new + 1);
    uint32_t *table = cells <= CELLS_MAX ? calloc(cells, sizeof *table) : NULL;
    middle(d, table, &old, &new, old_end, new_end);
    free(table);
    while (old < d->old.n) {
        step(d, ' ', &old, &new);
    }
    return true;
}

/* Steps from first to before end, with the line numbers that they begin at. */
static void print_hunk(const struct diff *d, size_t first, size_t end, struct sp_buf *ret)
{
    size_t old = 0, new = 0;
    for (size_t i = first; i < end; i++) {
        old += d->steps[i].mark != '+';
        new += d->steps[i].mark != '-';
    }
    const struct step *at = &d->steps[first];
    sp_buf_addf(ret, "@@ -%zu,%zu +%zu,%zu @@\n", at->old + (old > 0), old, at->new + (new > 0),
                new);
    for (size_t i = first; i < end; i++) {
        at = &d->steps[i];
        sp_buf_add_byte(ret, (uint8_t)at->mark);
        sp_buf_add_text(ret, at->mark == '+' ? d->new.at[at->new] : d->old.at[at->old]);
        sp_buf_add_byte(ret, '\n');
    }
}

static void print_hunks(const struct diff *d, struct sp_buf *ret)
{
    for (size_t i = 0; i < d->n; i++) {
        if (d->steps[i].mark == ' ') {
            continue;
        }
        size_t first = i > CONTEXT ? i - CONTEXT : 0, last = i;
        for (size_t j = i; j < d->n && j <= last + 2 * CONTEXT; j++) {
            last = d->steps[j].mark == ' ' ? last : j;
        }
        size_t end = last + 1 + CONTEXT < d->n ? last + 1 + CONTEXT : d->n;
        print_hunk(d, first, end, ret);
        i = last;
    }
}

void text_diff(const char *name, struct sp_text old, struct sp_text new, struct sp_buf *ret)
{
    struct diff d = {.n = 0};
    if (sp_text_eq(old, new)) {
        return;
    }
    sp_buf_addf(ret, "--- %s\n+++ %s\n", name, name);
    if (lines_of(old, &d.old) && lines_of(new, &d.new) && steps_of(&d)) {
        print_hunks(&d, ret);
    } else {
        ret->failed = true;
    }
    free(d.old.at);
    free(d.new.at);
    free(d.steps);
}
