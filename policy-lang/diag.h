/* sp_diags: what the compiler has to say about a source, in a list.
 *
 * Each diagnostic has a stable code ("E012", "W003"; docs/policy.md has a paragraph on each), a
 * place, and where possible a fix. Printing shows the line and a caret under the span. */
#ifndef SP_DIAG_H
#define SP_DIAG_H

#include "arena.h"
#include "buf.h"

#include <stdbool.h>
#include <stdint.h>

/* A place in a source: bytes, so that an editor and a terminal can each count in their own way.
 */
struct sp_span {
    uint32_t source; /* index into the sources that were compiled */
    uint32_t start;  /* byte offset */
    uint32_t len;    /* may be 0 at the end of a source */
};

enum sp_severity { SP_SEVERITY_ERROR, SP_SEVERITY_WARNING };

struct sp_diag {
    enum sp_severity severity;
    const char *code; /* static */
    struct sp_span span;
    const char *message; /* NUL-terminated, in the list's arena */
    const char *fix;     /* what to write instead; NULL where there is no one fix */
    struct sp_diag *next;
};

struct sp_source {
    const char *name; /* as shown to people: a file name */
    struct sp_text text;
};

struct sp_diags {
    struct sp_arena arena;
    struct sp_diag *first, *last;
    unsigned n_errors, n_warnings; /* at most 100 of them are kept; the counts go on */
    bool failed;                   /* out of memory while adding: treat as an error */
};

void sp_diags_init(struct sp_diags *diags);
void sp_diags_add(struct sp_diags *diags, enum sp_severity severity, const char *code,
                  struct sp_span span, const char *fix, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
void sp_diags_done(struct sp_diags *diags);

/* 1-based line, and 1-based column counted in Unicode code points. */
void sp_source_position(const struct sp_source *source, uint32_t offset, uint32_t *ret_line,
                        uint32_t *ret_column);

/* "file:3:14: error[E012]: message", the line, a caret line, "fix: …". Colour only if asked. */
void sp_diags_print(const struct sp_diags *diags, const struct sp_source *sources, bool colour,
                    struct sp_buf *buf);
/* One JSON array of {severity, code, file, line, column, length, message, fix}. */
void sp_diags_print_json(const struct sp_diags *diags, const struct sp_source *sources,
                         struct sp_buf *buf);

#endif
