/* plugin_host: the host's side of the plugin ABI. One per loaded plugin: the table of functions
 * that the plugin is given, the call that is under way, and what was pushed in it so far.
 *
 * A plugin is not trusted to use the table well. A push at the wrong time, from the wrong
 * thread, after a failure, or of something that breaks the rules is refused; a refusal fails
 * the whole call, whatever the plugin then returns, with a reason that names what was wrong.
 */
#ifndef SP_PLUGIN_HOST_H
#define SP_PLUGIN_HOST_H

#include "hook_http.h"

#include <pthread.h>
#include <sallyport/http.h>
#include <sallyport/lease.h>
#include <sallyport/rotate.h>

enum sp_hook {
    SP_HOOK_NONE,
    SP_HOOK_ENTRY, /* sallyport_plugin_v1 itself */
    SP_HOOK_DESCRIBE,
    SP_HOOK_OPEN,
    SP_HOOK_CLOSE,
    SP_HOOK_CHECK,
    SP_HOOK_PLAN,
    SP_HOOK_PERMISSIONS,
    SP_HOOK_RENEW,
    SP_HOOK_REVOKE,
    SP_HOOK_ROTATE,
    SP_HOOK_FINISH,
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
    void (*perform)(void *user, const struct sp_hook_request *request, struct sp_arena *arena,
                    struct sp_hook_answer *ret_answer); /* NULL: none is offered */
    void *perform_user;
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
    struct sp_list permissions;  /* sp_text */
    const struct sp_text *names; /* secrets that templates may name */
    size_t n_names;
    unsigned n_performed;
    const struct sp_signature *signature;
};

/* The table is the first member, and the plugin was given no other. */
static inline struct sp_plugin_host *sp_plugin_host_of(const struct sallyport_host *table)
{
    return (struct sp_plugin_host *)(uintptr_t)table;
}

void sp_plugin_host_init(struct sp_plugin_host *host, const char *path,
                         const struct sp_plugin_rules *rules);

/* Begin a hook; pushes are copied into the arena. Returns the number of the call. */
uint64_t sp_hook_begin(struct sp_plugin_host *host, enum sp_hook hook, struct sp_arena *arena,
                       const struct sp_key_view *key);
/* End it: SP_OK only where the hook returned SALLYPORT_OK and nothing was refused. */
sp_status sp_hook_end(struct sp_plugin_host *host, int32_t returned, struct sp_error *err);

/* After describe has ended well, before anything else is begun: the manifest takes over the
 * lists. SP_EINVAL where there was none, or where it has an action twice. */
sp_status sp_plugin_manifest_done(struct sp_plugin_host *host, struct sp_error *err);

/* After check has ended well: SP_EINVAL where it named no host. */
sp_status sp_plugin_hosts_done(const struct sp_plugin_host *host, struct sp_error *err);
/* After plan has ended well: the plan takes over the lists, which lie in its arena. SP_EINVAL
 * where it places nothing. */
sp_status sp_plugin_plan_done(const struct sp_plugin_host *host, struct sp_plan *plan,
                              struct sp_error *err);

/* After permissions has ended well: sorted, each word once. */
void sp_plugin_permissions_done(struct sp_plugin_host *host);

/* A request of the plugin's, checked as its pushes are, and copied. Anything but SALLYPORT_OK
 * has failed the call. */
int32_t sp_http_take(struct sp_plugin_host *host, uint64_t call,
                     const struct sallyport_http_request *request,
                     struct sp_hook_request *ret_request);

/* A hook's name, for people. */
const char *sp_hook_name(enum sp_hook hook);
/* Whether the caller is on the one thread on which the host runs this plugin's hooks. */
bool sp_is_hook_thread(const struct sp_plugin_host *host);

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
/* Those of extensions. */
int32_t sp_push_permission(const struct sallyport_host *host, uint64_t call,
                           const struct sallyport_text *word);
int32_t sp_http_perform(const struct sallyport_host *host, uint64_t call,
                        const struct sallyport_http_request *request,
                        struct sallyport_http_answer *ret_answer);

#endif
