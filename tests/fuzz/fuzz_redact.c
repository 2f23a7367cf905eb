/* An answer and what is taken out of it: never a crash; what passes is JSON to jansson; the
 * names are gone, and taking them out again changes nothing. */
#include "redact.h"

#include <jansson.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct sp_text email[] = {{"email", 5}}, phone[] = {{"customer", 8}, {"phone", 5}};
static const struct sp_redaction redactions[] = {{email, 1}, {phone, 2}};

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

static bool holds(const json_t *at, const struct sp_redaction *one, size_t level)
{
    size_t i;
    json_t *item;
    const char *name;
    bool found = false;
    json_array_foreach(at, i, item)
    {
        found = found || holds(item, one, level);
    }
    json_object_foreach((json_t *)(uintptr_t)at, name, item)
    {
        found = found || (sp_text_eq_fold(sp_text_of(name), one->names[level]) &&
                          (level + 1 == one->n_names || holds(item, one, level + 1)));
    }
    return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_buf once, twice;
    json_error_t why;
    sp_buf_init(&once, size + 1);
    sp_buf_init(&twice, size + 1);
    if (sp_redact(redactions, 2, (struct sp_text){(const char *)data, size}, &once) == SP_OK) {
        must(sp_redact(redactions, 2, sp_buf_text(&once), &twice) == SP_OK &&
             sp_text_eq(sp_buf_text(&once), sp_buf_text(&twice)));
        json_t *tree = json_loadb(once.ptr, once.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
        /* jansson has numbers of a size, and no names with NUL in them. */
        must(tree || json_error_code(&why) == json_error_numeric_overflow ||
             json_error_code(&why) == json_error_null_byte_in_key);
        must(!tree || !(holds(tree, &redactions[0], 0) || holds(tree, &redactions[1], 0)));
        json_decref(tree);
    }
    sp_buf_done(&once);
    sp_buf_done(&twice);
    return 0;
}
