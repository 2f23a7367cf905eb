/* A provider that is a plugin in this process. Its hooks run on the loop thread and answer at
 * once. A plugin that crashes takes the host with it: isolation is another sp_provider, with a
 * worker process behind the same table. */
#include "plugin_check.h"
#include "plugin_elf.h"
#include "plugin_file.h"
#include "plugin_host.h"
#include "plugin_key.h"
#include "plugin_library.h"
#include "plugin_symbol.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    MANIFEST_MAX_BYTES = 16 << 20,
    CALL_MAX_BYTES = 512 << 10,
    LEASE_CALL_MAX_BYTES = 4 << 20,
};

struct plugin {
    struct sp_provider provider; /* first: callers hold a pointer to it */
    struct sp_plugin_host host;
    struct sp_arena arena; /* the manifest, and the path */
    const struct sallyport_plugin *table;
    const struct sallyport_rotate *rotate; /* NULL: it has none */
    const struct sallyport_lease *lease;   /* NULL: it mints nothing */
};

/* ---- asking the plugin ------------------------------------------------------------------ */

static sp_status instance_open(struct plugin *plugin, struct sp_arena *arena,
                               struct sp_told_key *told, void **ret_instance,
                               struct sp_error *err)
{
    void *instance = NULL;
    uint64_t call = sp_hook_begin(&plugin->host, SP_HOOK_OPEN, arena, &told->view);
    int32_t returned = plugin->table->open(&plugin->host.table, call, &told->key, &instance);
    sp_status status = sp_hook_end(&plugin->host, returned, err);
    if (status && returned == SALLYPORT_OK) { /* it opened, and failed the call all the same */
        (void)sp_hook_begin(&plugin->host, SP_HOOK_CLOSE, arena, NULL);
        plugin->table->close(&plugin->host.table, instance);
        (void)sp_hook_end(&plugin->host, SALLYPORT_OK, NULL);
    }
    if (!status) {
        *ret_instance = instance;
    }
    return status;
}

static void instance_close(struct plugin *plugin, struct sp_arena *arena, void *instance)
{
    (void)sp_hook_begin(&plugin->host, SP_HOOK_CLOSE, arena, NULL);
    plugin->table->close(&plugin->host.table, instance);
    (void)sp_hook_end(&plugin->host, SALLYPORT_OK, NULL);
}

/* One question to an instance, and what it needs besides the key. */
struct question {
    enum sp_hook hook;
    const struct sallyport_reach *const *reaches; /* permissions */
    size_t n_reaches;
    const struct sp_lease_ask *ask; /* renew, revoke */
    const struct sallyport_text *const *words;
    struct sallyport_lease_result result;
};

static int32_t call_hook(struct plugin *plugin, struct question *q, uint64_t call,
                         void *instance)
{
    const struct sallyport_plugin *table = plugin->table;
    const struct sallyport_host *host = &plugin->host.table;
    struct sallyport_text lease = {NULL, 0};
    uint32_t n_words = 0;
    if (q->ask) {
        lease = (struct sallyport_text){q->ask->id.ptr, q->ask->id.len};
        n_words = (uint32_t)q->ask->n_words;
    }
    switch (q->hook) {
    case SP_HOOK_CHECK:
        return table->check(host, call, instance);
    case SP_HOOK_PERMISSIONS:
        return plugin->lease->permissions(host, call, instance, q->reaches,
                                          (uint32_t)q->n_reaches);
    case SP_HOOK_RENEW:
        q->result.size = sizeof q->result;
        return plugin->lease->renew(host, call, instance, &lease, q->words, n_words,
                                    &q->result);
    case SP_HOOK_REVOKE:
        return plugin->lease->revoke(host, call, instance, &lease);
    case SP_HOOK_ROTATE:
        return plugin->rotate->rotate(host, call, instance);
    case SP_HOOK_FINISH:
        return plugin->rotate->finish(host, call, instance);
    case SP_HOOK_PLAN:
    case SP_HOOK_NONE:
    case SP_HOOK_ENTRY:
    case SP_HOOK_DESCRIBE:
    case SP_HOOK_OPEN:
    case SP_HOOK_CLOSE:
    default:
        return table->plan(host, call, instance);
    }
}

/* Open an instance, ask it one question, close it. What it pushed is in the host's lists, in
 * the arena; closing starts another call, so the lists are handed out before. */
static sp_status ask(struct plugin *plugin, struct question *q, const struct sp_key_view *key,
                     struct sp_arena *arena, struct sp_plugin_host *ret_pushed,
                     struct sp_error *err)
{
    struct sp_told_key told;
    void *instance = NULL;
    sp_status status = sp_key_tell(arena, plugin->provider.manifest, key, &told, err);
    if (!status) {
        status = instance_open(plugin, arena, &told, &instance, err);
    }
    if (status) {
        return status;
    }
    uint64_t call = sp_hook_begin(&plugin->host, q->hook, arena, &told.view);
    int32_t returned = call_hook(plugin, q, call, instance);
    status = sp_hook_end(&plugin->host, returned, err);
    *ret_pushed = plugin->host;
    instance_close(plugin, arena, instance);
    return status;
}

static void plugin_check(struct sp_provider *provider, const struct sp_key_view *key,
                         sp_provider_checked done, void *user)
{
    struct plugin *plugin = (struct plugin *)provider;
    struct sp_plugin_host pushed;
    struct question q = {.hook = SP_HOOK_CHECK};
    struct sp_error err = {""};
    struct sp_arena arena;
    sp_arena_init(&arena, CALL_MAX_BYTES);
    sp_status status = ask(plugin, &q, key, &arena, &pushed, &err);
    status = status ? status : sp_plugin_hosts_done(&pushed, &err);
    if (status) {
        done(user, status, NULL, 0, &err);
    } else {
        done(user, SP_OK, pushed.hosts.items, pushed.hosts.n, NULL);
    }
    sp_arena_done(&arena);
}

static void plugin_plan(struct sp_provider *provider, const struct sp_key_view *key,
                        sp_provider_planned done, void *user)
{
    struct plugin *plugin = (struct plugin *)provider;
    struct sp_plugin_host pushed;
    struct question q = {.hook = SP_HOOK_PLAN};
    struct sp_error err = {""};
    struct sp_plan plan = {.placements = NULL};
    sp_arena_init(&plan.arena, CALL_MAX_BYTES);
    sp_status status = ask(plugin, &q, key, &plan.arena, &pushed, &err);
    status = status ? status : sp_plugin_plan_done(&pushed, &plan, &err);
    if (status) {
        sp_plan_done(&plan);
        done(user, status, NULL, &err);
        return;
    }
    done(user, SP_OK, &plan, NULL); /* the receiver's from here on */
}

/* ---- leases ------------------------------------------------------------------------------
 */

static sp_status tell_reaches(struct sp_arena *arena, const struct sp_reach *reaches, size_t n,
                              struct question *q, struct sp_error *err)
{
    struct sallyport_reach *items = sp_arena_array(arena, n, sizeof *items);
    const struct sallyport_reach **list = sp_arena_array(arena, n, sizeof *list);
    if (!items || !list || n > UINT32_MAX) {
        return sp_fail(err, SP_ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        const struct sp_reach *from = &reaches[i];
        items[i] = (struct sallyport_reach){.size = sizeof items[i],
                                            .methods = {from->methods.ptr, from->methods.len},
                                            .host = {from->host.ptr, from->host.len},
                                            .path = {from->path.ptr, from->path.len}};
        list[i] = &items[i];
    }
    q->reaches = list;
    q->n_reaches = n;
    return SP_OK;
}

static void plugin_permissions(struct sp_provider *provider, const struct sp_key_view *key,
                               const struct sp_reach *reaches, size_t n_reaches,
                               sp_provider_permitted done, void *user)
{
    struct plugin *plugin = (struct plugin *)provider;
    struct question q = {.hook = SP_HOOK_PERMISSIONS};
    struct sp_plugin_host pushed;
    struct sp_error err = {""};
    struct sp_arena arena;
    sp_arena_init(&arena, LEASE_CALL_MAX_BYTES);
    sp_status status = tell_reaches(&arena, reaches, n_reaches, &q, &err);
    status = status ? status : ask(plugin, &q, key, &arena, &pushed, &err);
    if (status) {
        done(user, status, NULL, 0, &err);
    } else {
        sp_plugin_permissions_done(&pushed);
        done(user, SP_OK, pushed.permissions.items, pushed.permissions.n, NULL);
    }
    sp_arena_done(&arena);
}

static void ask_lease(struct plugin *plugin, enum sp_hook hook, const struct sp_key_view *key,
                      const struct sp_lease_ask *about, sp_provider_leased done, void *user)
{
    struct question q = {.hook = hook, .ask = about};
    struct sp_plugin_host pushed;
    struct sp_error err = {""};
    struct sp_arena arena;
    sp_arena_init(&arena, LEASE_CALL_MAX_BYTES);
    struct sallyport_text *items = sp_arena_array(&arena, about->n_words, sizeof *items);
    const struct sallyport_text **words = sp_arena_array(&arena, about->n_words, sizeof *words);
    sp_status status = items && words && about->n_words <= UINT32_MAX
                           ? SP_OK
                           : sp_fail(&err, SP_ENOMEM, "out of memory");
    for (size_t i = 0; !status && i < about->n_words; i++) {
        items[i] = (struct sallyport_text){about->words[i].ptr, about->words[i].len};
        words[i] = &items[i];
    }
    q.words = words;
    status = status ? status : ask(plugin, &q, key, &arena, &pushed, &err);
    done(user, status, status ? 0 : q.result.life_ms, status ? &err : NULL);
    sp_arena_done(&arena);
}

static void plugin_renew(struct sp_provider *provider, const struct sp_key_view *key,
                         const struct sp_lease_ask *about, sp_provider_leased done, void *user)
{
    ask_lease((struct plugin *)provider, SP_HOOK_RENEW, key, about, done, user);
}

static void plugin_revoke(struct sp_provider *provider, const struct sp_key_view *key,
                          const struct sp_lease_ask *about, sp_provider_leased done, void *user)
{
    ask_lease((struct plugin *)provider, SP_HOOK_REVOKE, key, about, done, user);
}

static void plugin_rotate(struct sp_provider *provider, const struct sp_key_view *key,
                          const struct sp_lease_ask *about, sp_provider_leased done, void *user)
{
    ask_lease((struct plugin *)provider, SP_HOOK_ROTATE, key, about, done, user);
}

static void plugin_finish(struct sp_provider *provider, const struct sp_key_view *key,
                          const struct sp_lease_ask *about, sp_provider_leased done, void *user)
{
    ask_lease((struct plugin *)provider, SP_HOOK_FINISH, key, about, done, user);
}

static void plugin_free(struct sp_provider *provider)
{
    struct plugin *plugin = (struct plugin *)provider;
    if (plugin) {
        sp_arena_done(&plugin->arena);
        free(plugin);
    }
}

static const struct sp_provider_ops plugin_ops = {
    .check = plugin_check,
    .plan = plugin_plan,
    .permissions = plugin_permissions,
    .renew = plugin_renew,
    .revoke = plugin_revoke,
    .rotate = plugin_rotate,
    .finish = plugin_finish,
    .free = plugin_free,
};

/* ---- loading ---------------------------------------------------------------------------- */

bool sp_symbol_is_own(void *library, void *symbol)
{
    Dl_info info;
    struct link_map *own = NULL, *found = NULL;
    return dlinfo(library, RTLD_DI_LINKMAP, &own) == 0 &&
           dladdr1(symbol, &info, (void **)&found, RTLD_DL_LINKMAP) != 0 && own != NULL &&
           own == found;
}

typedef const struct sallyport_plugin *(*entry_point)(const struct sallyport_host *host);

static sp_status entry_find(void *library, const char *path, entry_point *ret_entry,
                            struct sp_error *err)
{
    void *symbol = dlsym(library, "sallyport_plugin_v1");
    if (!symbol) {
        return sp_fail(err, SP_EINVAL,
                       "plugin %s: it does not export sallyport_plugin_v1; build it with "
                       "sallyport_add_plugin",
                       path);
    }
    if (!sp_symbol_is_own(library, symbol)) {
        return sp_fail(err, SP_EDENIED,
                       "plugin %s: its sallyport_plugin_v1 is another library's, not its own; "
                       "define it in the plugin itself",
                       path);
    }
    memcpy(ret_entry, &symbol, sizeof symbol); /* POSIX: a function's address fits */
    return SP_OK;
}

/* The library must not be closed again, whatever happens: its code may have left a thread, a
 * handler, a pointer. */
static sp_status library_open(int fd, const char *path, entry_point *ret_entry,
                              struct sp_error *err)
{
    char name[64];
    (void)snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *why = dlerror();
        char text[256];
        sp_shown(sp_text_of(why ? why : "no reason given"), text, sizeof text);
        return sp_fail(err, SP_EINVAL,
                       "plugin %s: cannot be loaded: %s; link it with -Wl,-z,defs", path, text);
    }
    return entry_find(library, path, ret_entry, err);
}

/* Every function of version 1.0 is there. A longer table is a newer plugin's: fine. */
static sp_status table_check(const struct sallyport_plugin *table, const char *path,
                             struct sp_error *err)
{
    if (!SALLYPORT_HAS(table, sallyport_plugin, extension)) {
        return sp_fail(err, SP_EINVAL,
                       "plugin %s: its table is %u bytes short of ABI 1.0; set its size to "
                       "sizeof(struct sallyport_plugin)",
                       path, (unsigned)(sizeof *table - table->size));
    }
    if (!table->describe || !table->open || !table->close || !table->check || !table->plan ||
        !table->extension) {
        return sp_fail(err, SP_EINVAL,
                       "plugin %s: a function of its table is NULL; ABI 1.0 needs all", path);
    }
    return SP_OK;
}

static sp_status describe(struct plugin *plugin, struct sp_error *err)
{
    struct sp_plugin_host *host = &plugin->host;
    uint64_t call = sp_hook_begin(host, SP_HOOK_DESCRIBE, &plugin->arena, NULL);
    int32_t returned = plugin->table->describe(&host->table, call);
    sp_status status = sp_hook_end(host, returned, err);
    if (status) {
        return status;
    }
    return sp_plugin_manifest_done(host, err);
}

/* Which of the optional features it has. */
static sp_status extensions_get(struct plugin *plugin, struct sp_error *err)
{
    const struct sallyport_lease *lease = plugin->table->extension(SALLYPORT_LEASE);
    const struct sallyport_rotate *rotate = plugin->table->extension(SALLYPORT_ROTATE);
    if ((const void *)rotate == (const void *)lease) {
        rotate =
            NULL; /* it gives one table for whatever is asked, from before there were two */
    }
    if (rotate && (!SALLYPORT_HAS(rotate, sallyport_rotate, finish) || !rotate->rotate ||
                   !rotate->finish)) {
        return sp_fail(err, SP_EINVAL,
                       "plugin %s: its table for " SALLYPORT_ROTATE
                       " is short, or has a NULL; set its "
                       "size to its sizeof, and all of its functions",
                       plugin->host.path);
    }
    plugin->rotate = rotate;
    plugin->host.manifest.rotates = rotate != NULL;
    if (!lease) {
        return SP_OK;
    }
    if (!SALLYPORT_HAS(lease, sallyport_lease, revoke) || !lease->permissions ||
        !lease->renew || !lease->revoke) {
        return sp_fail(err, SP_EINVAL,
                       "plugin %s: its table for " SALLYPORT_LEASE
                       " is short, or has a NULL; set its "
                       "size to its sizeof, and all of its functions",
                       plugin->host.path);
    }
    plugin->lease = lease;
    plugin->host.manifest.leases = true;
    return SP_OK;
}

static sp_status table_get(struct plugin *plugin, entry_point entry, struct sp_error *err)
{
    const char *path = plugin->host.path;
    (void)sp_hook_begin(&plugin->host, SP_HOOK_ENTRY, &plugin->arena, NULL);
    plugin->table = entry(&plugin->host.table);
    (void)sp_hook_end(&plugin->host, SALLYPORT_OK, NULL);
    if (!plugin->table) {
        return sp_fail(
            err, SP_EUNSUPPORTED,
            "plugin %s: it says that it cannot work with this host; ask its author, or take "
            "another version of it",
            path);
    }
    return table_check(plugin->table, path, err);
}

/* The file's checks, with the path in front of what the parser says. */
static sp_status file_check(const char *path, const struct sp_plugin_rules *rules,
                            struct sp_plugin_file *ret_file, struct sp_elf_info *ret_info,
                            struct sp_error *err)
{
    struct sp_error why = {""};
    sp_status status = sp_plugin_file_read(path, rules, ret_file, err);
    if (status) {
        return status;
    }
    status = sp_elf_check(ret_file->bytes, ret_file->len, ret_info, &why);
    if (status) {
        sp_plugin_file_done(ret_file, false);
        (void)sp_fail(err, status, "plugin %s: %s", path, why.text);
    }
    return status;
}

sp_status sp_plugin_file_check(const char *path, const struct sp_plugin_rules *rules,
                               struct sp_plugin_file *ret_file, struct sp_error *err)
{
    struct sp_elf_info info;
    return file_check(path, rules, ret_file, &info, err);
}

sp_status sp_plugin_open(int fd, const char *path, const struct sp_plugin_rules *rules,
                         struct sp_provider **ret_provider, struct sp_error *err)
{
    entry_point entry = NULL;
    struct plugin *plugin = calloc(1, sizeof *plugin);
    if (!plugin) {
        return sp_fail(err, SP_ENOMEM, "plugin %s: out of memory", path);
    }
    sp_arena_init(&plugin->arena, MANIFEST_MAX_BYTES);
    plugin->provider.ops = &plugin_ops;
    plugin->provider.manifest = &plugin->host.manifest;
    plugin->provider.path = sp_arena_copy(&plugin->arena, sp_text_of(path)).ptr;
    sp_status status = plugin->provider.path
                           ? SP_OK
                           : sp_fail(err, SP_ENOMEM, "plugin %s: out of memory", path);
    if (!status) {
        sp_plugin_host_init(&plugin->host, plugin->provider.path, rules);
        status = library_open(fd, path, &entry, err);
    }
    if (!status) {
        status = table_get(plugin, entry, err);
    }
    if (!status) {
        status = describe(plugin, err);
    }
    if (!status) {
        status = extensions_get(plugin, err);
    }
    if (status) {
        plugin_free(&plugin->provider);
        return status;
    }
    *ret_provider = &plugin->provider;
    return SP_OK;
}

sp_status sp_plugin_load(const char *path, const struct sp_plugin_rules *rules,
                         struct sp_provider **ret_provider, struct sp_error *err)
{
    struct sp_plugin_file file;
    sp_status status = sp_plugin_file_check(path, rules, &file, err);
    if (status) {
        return status;
    }
    status = sp_plugin_open(file.fd, path, rules, ret_provider, err);
    if (!status) {
        memcpy((*ret_provider)->hash, file.hash, sizeof file.hash);
    }
    /* A library that was opened is never closed, so its descriptor must not come to name
     * another; one descriptor for each refused library is the price. */
    sp_plugin_file_done(&file, true);
    return status;
}

sp_status sp_plugin_inspect(const char *path, struct sp_plugin_info *ret_info,
                            struct sp_error *err)
{
    struct sp_plugin_file file;
    struct sp_elf_info info;
    sp_status status = file_check(path, NULL, &file, &info, err);
    if (!status) {
        *ret_info =
            (struct sp_plugin_info){.abi_major = info.abi_major, .abi_minor = info.abi_minor};
        memcpy(ret_info->hash, file.hash, sizeof file.hash);
        sp_plugin_file_done(&file, false);
    }
    return status;
}
