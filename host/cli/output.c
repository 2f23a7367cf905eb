#include "cli.h"

#include "clock.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { CELL_MAX_BYTES = 4096, OUTPUT_MAX_BYTES = 64 << 20 };

int cli_error(int status, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)fprintf(stderr, "sallyport: %s\n", text);
    return status;
}

const struct sp_wire_value *cli_get(const struct sp_wire_value *map, const char *name)
{
    for (size_t i = 0; map->kind == SP_WIRE_MAP && i < map->as.map.n; i++) {
        if (sp_text_is(map->as.map.pairs[i].name, name)) {
            return &map->as.map.pairs[i].value;
        }
    }
    return NULL;
}

struct sp_text cli_text(const struct sp_wire_value *map, const char *name)
{
    const struct sp_wire_value *value = cli_get(map, name);
    return value && (value->kind == SP_WIRE_STR || value->kind == SP_WIRE_BIN) ? value->as.text
                                                                               : SP_TEXT("");
}

int64_t cli_int(const struct sp_wire_value *map, const char *name)
{
    const struct sp_wire_value *value = cli_get(map, name);
    return value && value->kind == SP_WIRE_INT ? value->as.integer : 0;
}

bool cli_bool(const struct sp_wire_value *map, const char *name)
{
    const struct sp_wire_value *value = cli_get(map, name);
    return value && value->kind == SP_WIRE_BOOL && value->as.boolean;
}

/* ---- JSON ----------------------------------------------------------------------------------
 */

/* Depth is bounded by the wire reader (SP_WIRE_MAX_DEPTH). */
static void add_json(struct sp_buf *buf, const struct sp_wire_value *value, bool top)
{
    switch (value->kind) {
    case SP_WIRE_NIL:
        sp_buf_add_str(buf, "null");
        break;
    case SP_WIRE_BOOL:
        sp_buf_add_str(buf, value->as.boolean ? "true" : "false");
        break;
    case SP_WIRE_INT:
        sp_buf_addf(buf, "%" PRId64, value->as.integer);
        break;
    case SP_WIRE_FLOAT:
        sp_buf_addf(buf, "%.17g", value->as.number);
        break;
    case SP_WIRE_STR:
    case SP_WIRE_BIN:
        sp_buf_add_json(buf, value->as.text);
        break;
    case SP_WIRE_ARRAY:
        sp_buf_add_str(buf, "[");
        for (size_t i = 0; i < value->as.array.n; i++) {
            sp_buf_add_str(buf, i ? "," : "");
            add_json(buf, &value->as.array.items[i], false);
        }
        sp_buf_add_str(buf, "]");
        break;
    case SP_WIRE_MAP: {
        bool first = true;
        sp_buf_add_str(buf, "{");
        for (size_t i = 0; i < value->as.map.n; i++) {
            const struct sp_wire_pair *pair = &value->as.map.pairs[i];
            if (top && (sp_text_is(pair->name, "v") || sp_text_is(pair->name, "ok"))) {
                continue;
            }
            sp_buf_add_str(buf, first ? "" : ",");
            first = false;
            sp_buf_add_json(buf, pair->name);
            sp_buf_add_str(buf, ":");
            add_json(buf, &pair->value, false);
        }
        sp_buf_add_str(buf, "}");
        break;
    }
    }
}

void cli_print_json(const struct sp_wire_value *value)
{
    struct sp_buf buf;
    sp_buf_init(&buf, OUTPUT_MAX_BYTES);
    add_json(&buf, value, true);
    sp_buf_add_byte(&buf, '\n');
    (void)fwrite(buf.ptr, 1, buf.len, stdout);
    sp_buf_done(&buf);
}

/* ---- for people ----------------------------------------------------------------------------
 */

/* Escaped, so that a name from outside cannot move the cursor or forge a line. */
static void add_plain(struct sp_buf *buf, struct sp_text text)
{
    struct sp_buf quoted;
    sp_buf_init(&quoted, 6 * text.len + 16);
    sp_buf_add_json(&quoted, text);
    if (!quoted.failed && quoted.len >= 2) {
        sp_buf_add(buf, quoted.ptr + 1, quoted.len - 2);
    }
    buf->failed = buf->failed || quoted.failed;
    sp_buf_done(&quoted);
}

int cli_print_text(struct sp_text text)
{
    struct sp_buf buf;
    sp_buf_init(&buf, OUTPUT_MAX_BYTES);
    add_plain(&buf, text);
    int result = cli_print_whole(&buf, CLI_YES);
    sp_buf_done(&buf);
    return result;
}

static bool is_time(struct sp_text name)
{
    static const char *const times[] = {"issued",    "expires", "revoked",
                                        "suspended", "created", "rotated"};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        if (sp_text_is(name, times[i])) {
            return true;
        }
    }
    return false;
}

static void add_cell(struct sp_buf *buf, struct sp_text name, const struct sp_wire_value *value)
{
    if (!value || value->kind == SP_WIRE_NIL) {
        sp_buf_add_str(buf, "-");
    } else if (value->kind == SP_WIRE_STR) {
        add_plain(buf, value->as.text.len ? value->as.text : SP_TEXT("-"));
    } else if (value->kind == SP_WIRE_BOOL) {
        sp_buf_add_str(buf, value->as.boolean ? "yes" : "no");
    } else if (value->kind == SP_WIRE_INT && is_time(name)) {
        char time[SP_TIME_BYTES] = "-";
        if (value->as.integer > 0) {
            sp_time_print(value->as.integer, time);
        }
        sp_buf_add_str(buf, time);
    } else if (value->kind == SP_WIRE_ARRAY) {
        for (size_t i = 0; i < value->as.array.n; i++) {
            sp_buf_add_str(buf, i ? ", " : "");
            add_cell(buf, name, &value->as.array.items[i]);
        }
        if (value->as.array.n == 0) {
            sp_buf_add_str(buf, "-");
        }
    } else {
        add_json(buf, value, false);
    }
}

void cli_print_map(const struct sp_wire_value *map)
{
    size_t width = 0;
    for (size_t i = 0; i < map->as.map.n; i++) {
        size_t len = map->as.map.pairs[i].name.len;
        width = len > width ? len : width;
    }
    struct sp_buf buf;
    sp_buf_init(&buf, OUTPUT_MAX_BYTES);
    for (size_t i = 0; i < map->as.map.n; i++) {
        const struct sp_wire_pair *pair = &map->as.map.pairs[i];
        if (sp_text_is(pair->name, "v") || sp_text_is(pair->name, "ok")) {
            continue;
        }
        add_plain(&buf, pair->name);
        sp_buf_addf(&buf, ":%*s ", (int)(width - pair->name.len), "");
        add_cell(&buf, pair->name, &pair->value);
        sp_buf_add_byte(&buf, '\n');
    }
    (void)fwrite(sp_buf_text(&buf).ptr, 1, buf.len, stdout);
    sp_buf_done(&buf);
}

static void add_row(struct sp_buf *buf, const struct sp_wire_value *row,
                    const char *const *columns, size_t n_columns, size_t *widths, bool measure)
{
    for (size_t i = 0; i < n_columns; i++) {
        struct sp_buf cell;
        sp_buf_init(&cell, CELL_MAX_BYTES);
        if (row) {
            add_cell(&cell, sp_text_of(columns[i]), cli_get(row, columns[i]));
        } else {
            for (const char *c = columns[i]; *c; c++) {
                sp_buf_add_byte(&cell, (uint8_t)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c));
            }
        }
        if (measure) {
            widths[i] = cell.len > widths[i] ? cell.len : widths[i];
        } else {
            sp_buf_add_text(buf, sp_buf_text(&cell));
            if (i + 1 < n_columns) {
                sp_buf_addf(buf, "%*s", (int)(widths[i] - cell.len + 2), "");
            }
        }
        sp_buf_done(&cell);
    }
    if (!measure) {
        sp_buf_add_byte(buf, '\n');
    }
}

void cli_print_table(const struct sp_wire_value *array, const char *const *columns,
                     size_t n_columns)
{
    size_t widths[16] = {0};
    struct sp_buf buf;
    sp_buf_init(&buf, OUTPUT_MAX_BYTES);
    for (int measure = 1; measure >= 0; measure--) {
        add_row(&buf, NULL, columns, n_columns, widths, measure);
        for (size_t i = 0; i < array->as.array.n; i++) {
            add_row(&buf, &array->as.array.items[i], columns, n_columns, widths, measure);
        }
    }
    (void)fwrite(sp_buf_text(&buf).ptr, 1, buf.len, stdout);
    sp_buf_done(&buf);
}

void cli_show(const struct cli *cli, const struct cli_answer *answer, const char *field,
              const char *const *columns, size_t n_columns)
{
    const struct sp_wire_value *array = field ? cli_get(&answer->map, field) : NULL;
    if (cli->json) {
        cli_print_json(&answer->map);
    } else if (array && array->kind == SP_WIRE_ARRAY) {
        cli_print_table(array, columns, n_columns);
    } else {
        cli_print_map(&answer->map);
    }
}

int cli_ask_and_show(const struct cli *cli, const struct sp_buf *request, const char *field,
                     const char *const *columns, size_t n_columns)
{
    struct cli_answer answer;
    int result = cli_ask_admin(cli, sp_buf_text(request), &answer);
    if (result == CLI_YES) {
        cli_show(cli, &answer, field, columns, n_columns);
    }
    cli_answer_done(&answer);
    return result;
}
