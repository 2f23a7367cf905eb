#include "plugin_push.h"

#include "plugin_check.h"

#include <stdarg.h>
#include <stdio.h>

int32_t sp_push_begin(struct sp_plugin_host *host, uint64_t call, unsigned hooks,
                      const char *what)
{
    /* Another thread may not even look at the rest. */
    if (!sp_is_hook_thread(host) || host->hook == SP_HOOK_NONE || call != host->call) {
        return SALLYPORT_E_CALL;
    }
    if (host->failed) {
        return SALLYPORT_E_FAILED;
    }
    if (!(hooks & 1u << host->hook)) {
        return sp_push_refuse(host, SALLYPORT_E_CALL, "the plugin called %s in its %s hook",
                              what, sp_hook_name(host->hook));
    }
    return SALLYPORT_OK;
}

int32_t sp_push_refuse(struct sp_plugin_host *host, int32_t code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(host->reason.text, sizeof host->reason.text, format, args);
    va_end(args);
    host->failed = true;
    return code;
}

int32_t sp_push_item(struct sp_plugin_host *host, struct sp_list *list, size_t size, size_t max,
                     const char *what, void **ret_item)
{
    if (list->n == max) {
        return sp_push_refuse(host, SALLYPORT_E_LIMIT, "the plugin pushed more than %zu %s",
                              max, what);
    }
    if (list->n == list->room) {
        size_t room = list->room ? list->room * 2 : 8;
        void *items = sp_arena_array(host->arena, room, size);
        if (!items) {
            return sp_push_refuse(host, SALLYPORT_E_LIMIT,
                                  "the plugin pushed more %s than there is memory for", what);
        }
        if (list->n) {
            memcpy(items, list->items, list->n * size);
        }
        list->items = items;
        list->room = room;
    }
    *ret_item = (char *)list->items + list->n++ * size;
    return SALLYPORT_OK;
}

int32_t sp_push_take(struct sp_plugin_host *host, const struct sallyport_text *text, size_t max,
                     sp_text_check check, const char *what, struct sp_text *ret_copy)
{
    if (!text || (!text->ptr && text->len > 0)) {
        return sp_push_refuse(host, SALLYPORT_E_INVALID, "the plugin pushed no %s", what);
    }
    if (text->len > max) {
        return sp_push_refuse(host, SALLYPORT_E_LIMIT,
                              "the plugin pushed a %s of more than %zu bytes", what, max);
    }
    struct sp_text bytes = {text->ptr ? text->ptr : "", (size_t)text->len};
    if (!check(bytes)) {
        char seen[65];
        sp_shown(bytes, seen, sizeof seen);
        return sp_push_refuse(host, SALLYPORT_E_INVALID, "the plugin pushed a bad %s: \"%s\"",
                              what, seen);
    }
    *ret_copy = sp_arena_copy(host->arena, bytes);
    return ret_copy->ptr ? SALLYPORT_OK
                         : sp_push_refuse(host, SALLYPORT_E_LIMIT,
                                          "the plugin pushed more than there is memory for");
}

int32_t sp_push_refuse_form(struct sp_plugin_host *host, const char *what)
{
    return sp_push_refuse(
        host, SALLYPORT_E_INVALID,
        "the plugin pushed a %s with a wrong size, or with a kind or flag that "
        "this host does not know",
        what);
}
