/* plugin_host: the host's side of the plugin ABI. One per loaded plugin: the table of functions
 * that the plugin is given, the call that is under way, and what was pushed in it so far.
 *
 * A plugin is not trusted to use the table well. A push at the wrong time, from the wrong
 * thread, after a failure, or of something that breaks the rules is refused; a refusal fails
 * the whole call, whatever the plugin then returns, with a reason that names what was wrong.
 */
#ifndef SP_PLUGIN_HOST_H
#define SP_PLUGIN_HOST_H

#include "provider.h"

#include <pthread.h>
#include <sallyport/plugin.h>

enum sp_hook {
    SP_HOOK_NONE,
    SP_HOOK_ENTRY, /* sallyport_plugin_v1 itself */
    SP_HOOK_DESCRIBE,
    SP_HOOK_OPEN,
    SP_HOOK_CLOSE,
    SP_HOOK_CHECK,
    SP_HOOK_PLAN,
};

struct sp_list { /* in the call's arena */
    void *items;
    size_t n, room;
};

struct sp_plugin_host {
    struct sallyport_host table; /* first: a pointer to it is a pointer to this */
    pthread_t thread;
    const char *path;
    void (*log)(void *user, struct sp_text provider, unsigned level, struct sp_text text);
    void *log_user;
    struct sp_manifest manifest; /* complete once describe has succeeded */

    /* the call under way */
    enum sp_hook hook;
    uint64_t call; /* its number; never used twice */
    bool failed;
    struct sp_error reason;
    struct sp_arena *arena;
    const struct sp_key_view *key; /* settings checked, fallbacks filled in */
    bool named;                    /* push_manifest was called */
    struct sp_list hosts, request_headers, fields, actions; /* sp_text, sp_text, … */
    struct sp_list placements, headers, defaults;
};

void sp_plugin_host_init(struct sp_plugin_host *host, const char *path,
                         const struct sp_plugin_rules *rules);

/* Begin a hook; pushes are copied into the arena. Returns the number of the call. */
uint64_t sp_hook_begin(struct sp_plugin_host *host, enum sp_hook hook, struct sp_arena *arena,
                       const struct sp_key_view *key);
/* End it: SP_OK only where the hook returned SALLYPORT_OK and nothing was refused. */
sp_status sp_hook_end(struct sp_plugin_host *host, int32_t returned, struct sp_error *err);

/* For the pushes (plugin_push.c). */

/* SALLYPORT_OK where a push may be taken now: its call, its hook, its thread, nothing failed.
 */
int32_t sp_push_begin(struct sp_plugin_host *host, uint64_t call, unsigned hooks,
                      const char *what);
/* Fail the call; returns code. */
int32_t sp_push_refuse(struct sp_plugin_host *host, int32_t code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Room for one more item, zeroed, in *ret_item. */
int32_t sp_push_item(struct sp_plugin_host *host, struct sp_list *list, size_t size, size_t max,
                     const char *what, void **ret_item);

/* The functions of the table. */
int32_t sp_push_manifest(const struct sallyport_host *host, uint64_t call,
                         const struct sallyport_manifest *manifest);
int32_t sp_push_host(const struct sallyport_host *host, uint64_t call,
                     const struct sallyport_text *name);
int32_t sp_push_request_header(const struct sallyport_host *host, uint64_t call,
                               const struct sallyport_text *name);
int32_t sp_push_field(const struct sallyport_host *host, uint64_t call,
                      const struct sallyport_field *field);
int32_t sp_push_action(const struct sallyport_host *host, uint64_t call,
                       const struct sallyport_action *action);
int32_t sp_push_placement(const struct sallyport_host *host, uint64_t call,
                          const struct sallyport_placement *placement);
int32_t sp_push_header(const struct sallyport_host *host, uint64_t call,
                       const struct sallyport_header *header);

#endif
