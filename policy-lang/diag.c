#include "diag.h"

#include "utf8.h"

#include <stdarg.h>
#include <stdio.h>

enum { KEPT_MAX = 50, MESSAGE_MAX_BYTES = 512, LINE_SHOWN_MAX = 200 };

void sp_diags_init(struct sp_diags *diags)
{
    *diags = (struct sp_diags){.first = NULL};
    sp_arena_init(&diags->arena, 4 << 20);
}

/* One '?' for each code point or byte that a terminal must not see: sources are quoted, and a
 * source may come from anywhere. Columns stay as they were. */
static void add_harmless(struct sp_text text, struct sp_buf *buf)
{
    for (size_t i = 0; i < text.len;) {
        uint32_t point = 0;
        struct sp_text rest = {text.ptr + i, text.len - i};
        size_t len = utf8_decode(rest, &point);
        if (len == 0 || utf8_is_unsafe(point)) {
            sp_buf_add_byte(buf, point == '\t' ? ' ' : '?');
            i += len ? len : 1;
        } else {
            sp_buf_add(buf, rest.ptr, len);
            i += len;
        }
    }
}

void sp_diags_add(struct sp_diags *diags, enum sp_severity severity, const char *code,
                  struct sp_span span, const char *fix, const char *format, ...)
{
    unsigned *count = severity == SP_SEVERITY_ERROR ? &diags->n_errors : &diags->n_warnings;
    (*count)++;
    if (*count > KEPT_MAX) {
        return; /* of each kind, so that warnings cannot hide an error */
    }
    char raw[MESSAGE_MAX_BYTES], message[MESSAGE_MAX_BYTES];
    struct sp_buf harmless;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    sp_buf_over(&harmless, message, sizeof message);
    add_harmless(sp_text_of(raw), &harmless);
    struct sp_diag *diag = sp_arena_alloc(&diags->arena, sizeof *diag);
    struct sp_text copy = sp_arena_copy(&diags->arena, sp_text_of(message));
    struct sp_text fix_copy = sp_arena_copy(&diags->arena, sp_text_of(fix ? fix : ""));
    if (!diag || !copy.ptr || !fix_copy.ptr) {
        diags->failed = true;
        return;
    }
    *diag = (struct sp_diag){.severity = severity,
                             .code = code,
                             .span = span,
                             .message = copy.ptr,
                             .fix = fix ? fix_copy.ptr : NULL};
    if (diags->last) {
        diags->last->next = diag;
    } else {
        diags->first = diag;
    }
    diags->last = diag;
}

void sp_diags_done(struct sp_diags *diags)
{
    sp_arena_done(&diags->arena);
    *diags = (struct sp_diags){.first = NULL};
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

static uint32_t line_start(struct sp_text text, uint32_t offset)
{
    uint32_t start = offset < text.len ? offset : (uint32_t)text.len;
    while (start > 0 && text.ptr[start - 1] != '\n') {
        start--;
    }
    return start;
}

void sp_source_position(const struct sp_source *source, uint32_t offset, uint32_t *ret_line,
                        uint32_t *ret_column)
{
    uint32_t end = offset < source->text.len ? offset : (uint32_t)source->text.len;
    uint32_t line = 1, column = 1;
    for (uint32_t i = 0; i < end; i++) {
        if (source->text.ptr[i] == '\n') {
            line++;
            column = 1;
        } else if (!is_continuation(source->text.ptr[i])) {
            column++;
        }
    }
    *ret_line = line;
    *ret_column = column;
}

/* The line that the span begins on, controls made harmless, and a caret under the span. */
static void print_line(const struct sp_source *source, struct sp_span span, bool colour,
                       struct sp_buf *buf)
{
    struct sp_text text = source->text;
    uint32_t start = line_start(text, span.start);
    bool cut = span.start > start && span.start - start > LINE_SHOWN_MAX / 2;
    if (cut) { /* a long line: the part around the span */
        start = span.start < text.len ? span.start - LINE_SHOWN_MAX / 2 : (uint32_t)text.len;
        while (start < text.len && is_continuation(text.ptr[start])) {
            start++;
        }
    }
    uint32_t end = start;
    while (end < text.len && text.ptr[end] != '\n' && end - start < LINE_SHOWN_MAX) {
        end++;
    }
    sp_buf_add_str(buf, cut ? "   …" : "    ");
    add_harmless((struct sp_text){text.ptr + start, end - start}, buf);
    sp_buf_add_str(buf, "\n    ");
    uint32_t at = start;
    for (; at < span.start && at < end; at++) {
        if (!is_continuation(text.ptr[at])) {
            sp_buf_add_byte(buf, ' ');
        }
    }
    sp_buf_add_str(buf, colour ? "\033[1;31m^" : "^");
    for (uint32_t i = at + 1; i < span.start + span.len && i < end; i++) {
        if (!is_continuation(text.ptr[i])) {
            sp_buf_add_byte(buf, '~');
        }
    }
    sp_buf_add_str(buf, colour ? "\033[0m\n" : "\n");
}

void sp_diags_print(const struct sp_diags *diags, const struct sp_source *sources, bool colour,
                    struct sp_buf *buf)
{
    for (const struct sp_diag *diag = diags->first; diag; diag = diag->next) {
        const struct sp_source *source = &sources[diag->span.source];
        bool error = diag->severity == SP_SEVERITY_ERROR;
        uint32_t line, column;
        sp_source_position(source, diag->span.start, &line, &column);
        sp_buf_addf(buf, "%s:%u:%u: %s%s%s[%s]: %s\n", source->name, line, column,
                    !colour ? ""
                    : error ? "\033[1;31m"
                            : "\033[1;33m",
                    error ? "error" : "warning", colour ? "\033[0m" : "", diag->code,
                    diag->message);
        print_line(source, diag->span, colour, buf);
        if (diag->fix) {
            sp_buf_addf(buf, "    fix: %s\n", diag->fix);
        }
    }
    unsigned errors = diags->n_errors > KEPT_MAX ? diags->n_errors - KEPT_MAX : 0;
    unsigned warnings = diags->n_warnings > KEPT_MAX ? diags->n_warnings - KEPT_MAX : 0;
    if (errors + warnings > 0) {
        sp_buf_addf(buf, "… and %u more\n", errors + warnings);
    }
}

void sp_diags_print_json(const struct sp_diags *diags, const struct sp_source *sources,
                         struct sp_buf *buf)
{
    sp_buf_add_byte(buf, '[');
    for (const struct sp_diag *diag = diags->first; diag; diag = diag->next) {
        const struct sp_source *source = &sources[diag->span.source];
        uint32_t line, column;
        sp_source_position(source, diag->span.start, &line, &column);
        sp_buf_addf(buf, "%s{\"severity\":\"%s\",\"code\":\"%s\",\"file\":",
                    diag == diags->first ? "" : ",",
                    diag->severity == SP_SEVERITY_ERROR ? "error" : "warning", diag->code);
        sp_buf_add_json(buf, sp_text_of(source->name));
        sp_buf_addf(buf, ",\"line\":%u,\"column\":%u,\"length\":%u,\"message\":", line, column,
                    diag->span.len);
        sp_buf_add_json(buf, sp_text_of(diag->message));
        sp_buf_add_str(buf, ",\"fix\":");
        if (diag->fix) {
            sp_buf_add_json(buf, sp_text_of(diag->fix));
        } else {
            sp_buf_add_str(buf, "null");
        }
        sp_buf_add_byte(buf, '}');
    }
    sp_buf_add_byte(buf, ']');
}
