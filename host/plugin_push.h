/* plugin_push: what the functions that take a plugin's pushes share (plugin_push_manifest.c and
 * plugin_push_plan.c). Every push is all or nothing, and a refused one fails its call; so
 * half-filled items in a list are never looked at. */
#ifndef SP_PLUGIN_PUSH_H
#define SP_PLUGIN_PUSH_H

#include "plugin_host.h"

/* A set of hooks in which a push may be made, for sp_push_begin. */
#define IN(hook) (1u << (hook))

/* Whether a structure from the plugin is at least as long as version 1.0 had it. */
#define IS_V1(p, type, last) ((p) && SALLYPORT_HAS(p, type, last))

/* SALLYPORT_OK where a push may be taken now: its call, its hook, its thread, nothing failed.
 */
int32_t sp_push_begin(struct sp_plugin_host *host, uint64_t call, unsigned hooks,
                      const char *what);
/* Fail the call; returns code. */
int32_t sp_push_refuse(struct sp_plugin_host *host, int32_t code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Fail it because a structure is short, or has a kind or flag that is unknown. */
int32_t sp_push_refuse_form(struct sp_plugin_host *host, const char *what);
/* Room for one more item, zeroed, in *ret_item. */
int32_t sp_push_item(struct sp_plugin_host *host, struct sp_list *list, size_t size, size_t max,
                     const char *what, void **ret_item);

/* Whether the plan fills that header or query parameter already (plugin_push_plan.c). */
bool sp_push_is_filled(const struct sp_plugin_host *host, enum sp_place place,
                       struct sp_text name);

typedef bool (*sp_text_check)(struct sp_text text);

/* Borrow a text of the plugin's, look at it, copy it. */
int32_t sp_push_take(struct sp_plugin_host *host, const struct sallyport_text *text, size_t max,
                     sp_text_check check, const char *what, struct sp_text *ret_copy);

/* A placement, a header: checked, and put into the call's lists. form: it may be a parameter of
 * a form's body, too. */
int32_t sp_placement_take(struct sp_plugin_host *host,
                          const struct sallyport_placement *placement, bool form);
int32_t sp_header_take(struct sp_plugin_host *host, const struct sallyport_header *header);

#endif
