/* What the plugins say of their APIs, for the commands that work on files and know no keys. */
#include "catalogue.h"
#include "cli.h"
#include "config.h"
#include "worker.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PROVIDERS_MAX = 64, FILE_ROOM = 1400 };

struct cli_catalogues {
    uv_loop_t loop;
    struct sp_provider *providers[PROVIDERS_MAX];
    size_t n;
    struct sp_catalogues catalogues;
    struct sp_world world;
    bool json; /* nothing beside it is printed */
};

/* Nobody knows here which key is of which provider, but a rule is for a host. */
static size_t all(void *user, struct sp_text id, const struct sp_catalogue **ret_list)
{
    (void)id;
    return cli_catalogues_list(user, ret_list);
}

static sp_status load(struct cli_catalogues *c, const char *path, struct sp_error *err)
{
    char program[SP_WORKER_PATH_BYTES];
    struct sp_plugin_rules rules = {.dev = true, .owner_uid = (uint32_t)geteuid()};
    struct sp_worker_config worker = {.loop = &c->loop, .program = program};
    sp_worker_program(program);
    if (c->n == PROVIDERS_MAX) {
        return sp_fail(err, SP_ETOOBIG, "more than %d plugins", PROVIDERS_MAX);
    }
    sp_status status = sp_worker_load(path, &rules, &worker, &c->providers[c->n], err);
    if (!status) {
        const struct sp_manifest *manifest = c->providers[c->n++]->manifest;
        if (manifest->n_hosts > 0 && manifest->n_actions > 0 &&
            !sp_catalogues_add(&c->catalogues, manifest, manifest->hosts, manifest->n_hosts)) {
            status = sp_fail(err, SP_ENOMEM, "out of memory");
        }
    }
    return status;
}

/* Where the host of DIR looks, else where plugins are installed. */
static void load_folder(const struct cli *cli, struct cli_catalogues *c)
{
    char path[FILE_ROOM], config_path[SP_PATH_MAX_BYTES];
    struct sp_error err = {""};
    struct sp_config config;
    const char *folder = sp_config_plugin_dir;
    if (!sp_config_read(cli_path(cli, "sallyport.conf", config_path, sizeof config_path),
                        &config, &err)) {
        folder = config.plugin_dir;
    }
    struct dirent **entries = NULL;
    int n = scandir(folder, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        size_t len = strlen(entries[i]->d_name);
        if (len > 3 && strcmp(entries[i]->d_name + len - 3, ".so") == 0) {
            (void)snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
            if (load(c, path, &err)) { /* the host would refuse it, too */
                (void)fprintf(stderr, "note: %s\n", err.text);
            }
        }
        free(entries[i]);
    }
    free(entries);
}

int cli_catalogues_open(const struct cli *cli, const struct cli_list *plugins,
                        struct cli_catalogues **ret_catalogues)
{
    struct cli_catalogues *c = calloc(1, sizeof *c);
    struct sp_error err = {""};
    if (!c || uv_loop_init(&c->loop)) {
        free(c);
        return cli_error(CLI_INTERNAL, "out of memory or file descriptors");
    }
    sp_catalogues_init(&c->catalogues);
    c->json = cli->json;
    c->world = (struct sp_world){.user = c, .catalogues = all};
    for (size_t i = 0; i < plugins->n; i++) {
        if (load(c, plugins->items[i], &err)) {
            cli_catalogues_close(c);
            return cli_error(CLI_NO, "%s", err.text);
        }
    }
    if (plugins->n == 0) {
        load_folder(cli, c);
    }
    *ret_catalogues = c;
    return CLI_YES;
}

void cli_catalogues_close(struct cli_catalogues *c)
{
    if (!c) {
        return;
    }
    for (size_t i = 0; i < c->n; i++) {
        if (c->providers[i]->ops->stop) {
            c->providers[i]->ops->stop(c->providers[i]);
        }
    }
    (void)uv_run(&c->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&c->loop);
    for (size_t i = 0; i < c->n; i++) {
        c->providers[i]->ops->free(c->providers[i]);
    }
    sp_catalogues_done(&c->catalogues);
    free(c);
}

const struct sp_world *cli_catalogues_world(const struct cli_catalogues *c)
{
    if (c->catalogues.n == 0) {
        if (!c->json) {
            (void)fprintf(stderr,
                          "note: no provider's catalogue was found (--plugin FILE.so), so "
                          "no action is known to escalate\n");
        }
        return NULL;
    }
    return &c->world;
}

size_t cli_catalogues_list(const struct cli_catalogues *c, const struct sp_catalogue **ret_list)
{
    *ret_list = c->catalogues.list;
    return c->catalogues.n;
}
