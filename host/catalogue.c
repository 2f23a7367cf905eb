#include "catalogue.h"

#include <stdlib.h>

enum { ARENA_MAX_BYTES = 64 << 20 };

void sp_catalogues_init(struct sp_catalogues *catalogues)
{
    *catalogues = (struct sp_catalogues){.list = NULL};
    sp_arena_init(&catalogues->arena, ARENA_MAX_BYTES);
}

void sp_catalogues_done(struct sp_catalogues *catalogues)
{
    free(catalogues->list);
    sp_arena_done(&catalogues->arena);
    *catalogues = (struct sp_catalogues){.list = NULL};
}

/* By the action's name: "graphql", or what ends in "/graphql". The ABI has no mark for it. */
static bool is_graphql(struct sp_text name)
{
    static const struct sp_text end = {"/graphql", 8};
    if (name.len <= end.len) {
        return sp_text_is(name, "graphql");
    }
    return sp_text_eq((struct sp_text){name.ptr + name.len - end.len, end.len}, end);
}

static bool has_currency(const struct sp_action *action)
{
    for (size_t i = 0; i < action->n_fields; i++) {
        if (sp_text_is(action->fields[i].name, "body.currency")) {
            return true;
        }
    }
    return false;
}

/* An action `X/NAME` whose path ends with all of NAME's is NAME once more, as those of GitHub
 * are below an Enterprise server's /api/v3; told by the name, too. */
static bool is_again(const struct sp_catalogue_action *action, struct sp_text name,
                     const struct sp_catalogue_action *first)
{
    size_t skip = action->path.len - first->path.len; /* used where it is one */
    return sp_text_eq(name, first->name) && action->method == first->method &&
           action->path.len > first->path.len &&
           sp_text_eq((struct sp_text){action->path.ptr + skip, first->path.len}, first->path);
}

static void find_same(struct sp_catalogue_action *actions, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct sp_text name = actions[i].name;
        const char *slash = memchr(name.ptr, '/', name.len);
        if (!slash) {
            continue;
        }
        name.len -= (size_t)(slash + 1 - name.ptr);
        name.ptr = slash + 1;
        for (size_t j = 0; j < n && !actions[i].same_as; j++) {
            actions[i].same_as = is_again(&actions[i], name, &actions[j]) ? &actions[j] : NULL;
        }
    }
}

static const struct sp_catalogue_action *convert(struct sp_catalogues *catalogues,
                                                 const struct sp_manifest *manifest)
{
    struct sp_catalogue_action *actions =
        sp_arena_array(&catalogues->arena, manifest->n_actions + 1, sizeof *actions);
    for (size_t i = 0; i < manifest->n_actions && actions; i++) {
        const struct sp_action *from = &manifest->actions[i];
        actions[i] = (struct sp_catalogue_action){.name = from->name,
                                                  .path = from->path,
                                                  .method = sp_method_parse(from->method),
                                                  .escalates = from->escalates,
                                                  .is_graphql = is_graphql(from->name),
                                                  .has_currency = has_currency(from)};
    }
    if (actions) {
        find_same(actions, manifest->n_actions);
    }
    return actions;
}

const struct sp_catalogue *sp_catalogues_add(struct sp_catalogues *catalogues,
                                             const struct sp_manifest *manifest,
                                             const struct sp_text *hosts, size_t n_hosts)
{
    struct sp_catalogue added = {.provider = manifest->id,
                                 .hosts = hosts,
                                 .n_hosts = n_hosts,
                                 .n_actions = manifest->n_actions};
    for (size_t i = 0; i < catalogues->n && !added.actions; i++) {
        if (sp_text_eq(catalogues->list[i].provider, manifest->id)) {
            added.actions = catalogues->list[i].actions;
        }
    }
    added.actions = added.actions ? added.actions : convert(catalogues, manifest);
    if (catalogues->n == catalogues->room) {
        size_t room = catalogues->room ? 2 * catalogues->room : 16;
        struct sp_catalogue *more = realloc(catalogues->list, room * sizeof *more);
        catalogues->failed = catalogues->failed || !more;
        catalogues->list = more ? more : catalogues->list;
        catalogues->room = more ? room : catalogues->room;
    }
    catalogues->failed = catalogues->failed || !added.actions;
    if (catalogues->failed) {
        return NULL;
    }
    catalogues->list[catalogues->n] = added;
    return &catalogues->list[catalogues->n++];
}
