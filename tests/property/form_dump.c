/* Reads a urlencoded body a line and prints a line of JSON for each: null where it is refused,
 * else its tree, as test_form_oracle.py reads it: a string for a value, false for an ambiguous
 * place, arrays and objects for themselves. */
#include "request.h"

#include <stdio.h>

static void put(const struct sp_value *value, struct sp_buf *out)
{
    switch (value->kind) {
    case SP_VALUE_FORM:
        sp_buf_add_json(out, value->as.text);
        break;
    case SP_VALUE_ARRAY:
        for (size_t i = 0; i < value->as.array.n; i++) {
            sp_buf_add_byte(out, i ? ',' : '[');
            put(&value->as.array.items[i], out);
        }
        sp_buf_add_byte(out, ']');
        break;
    case SP_VALUE_OBJECT:
        sp_buf_add_byte(out, '{');
        for (size_t i = 0; i < value->as.object.n; i++) {
            sp_buf_add_str(out, i ? "," : "");
            sp_buf_add_json(out, value->as.object.items[i].name);
            sp_buf_add_byte(out, ':');
            put(&value->as.object.items[i].value, out);
        }
        sp_buf_add_byte(out, '}');
        break;
    case SP_VALUE_NULL:
    case SP_VALUE_BOOL:
    case SP_VALUE_INT:
    case SP_VALUE_NUMBER:
    case SP_VALUE_STRING:
    case SP_VALUE_AMBIGUOUS:
        sp_buf_add_str(out, "false");
        break;
    }
}

static int answer(struct sp_text raw)
{
    struct sp_arena arena;
    struct sp_buf out;
    const struct sp_param *params;
    size_t n;
    struct sp_value tree;
    sp_arena_init(&arena, 4 << 20);
    sp_buf_init(&out, 1 << 20);
    if (sp_form_parse(&arena, raw, 1024, &params, &n, NULL) ||
        sp_form_tree(&arena, params, n, &tree)) {
        sp_buf_add_str(&out, "null");
    } else {
        put(&tree, &out);
    }
    int good = !out.failed && puts(out.ptr) >= 0;
    sp_buf_done(&out);
    sp_arena_done(&arena);
    return good;
}

int main(void)
{
    char line[4096];
    while (fgets(line, sizeof line, stdin)) {
        size_t len = strlen(line);
        if (!answer((struct sp_text){line, len > 0 && line[len - 1] == '\n' ? len - 1 : len})) {
            return 1;
        }
    }
    return 0;
}
