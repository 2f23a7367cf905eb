#include "json.h"

#include "wipe_alloc.h"

#include <stdio.h>

static _Thread_local bool was_short;

static void *allocate(size_t size)
{
    void *ptr = sp_wipe_malloc(size);
    was_short = was_short || !ptr;
    return ptr;
}

void sp_json_global(void)
{
    json_set_alloc_funcs(allocate, sp_wipe_free);
}

json_t *sp_json_load(struct sp_text text, size_t flags, json_error_t *ret_error)
{
    json_error_t ignored, *error = ret_error ? ret_error : &ignored;
    was_short = false;
    json_t *json = json_loadb(text.ptr ? text.ptr : "", text.len, flags, error);
    if (was_short) {
        json_decref(json);
        (void)snprintf(error->text, sizeof error->text, "out of memory");
        /* Where json_error_code looks. */
        error->text[sizeof error->text - 1] = (char)json_error_out_of_memory;
        return NULL;
    }
    return json;
}
