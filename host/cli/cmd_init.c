/* init: one folder, and everything in it that a host needs. */
#include "cli.h"

#include "config.h"
#include "curve_file.h"
#include "engine.h"
#include "folder_lock.h"
#include "pins.h"
#include "privilege.h"
#include "provider.h"
#include "sync.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_ROOM = 2048 };

/* The settings bear this name until all else is there and on the disk: a folder with them under
 * their own name is a host that is whole, and one with these is what `init` did not finish. */
#define UNFINISHED "sallyport.conf.new"

/* What a new host consists of, besides its settings. */
static const char *const made[] = {"host.key",     "host.pub",         "admin.key",
                                   "unseal.key",   "store.db",         "store.db-wal",
                                   "store.db-shm", "store.db-journal", "plugins.pins"};

static bool is_there(const struct cli *cli, const char *name)
{
    char path[PATH_ROOM];
    struct stat st;
    return lstat(cli_path(cli, name, path, sizeof path), &st) == 0;
}

/* Where nobody can say, it is: what is taken for missing is made, and unmade. */
static bool may_be_there(const struct cli *cli, const char *name)
{
    return is_there(cli, name) || errno != ENOENT;
}

/* The marker last: until it is gone, the next `init` does this again. */
static void unmake(const struct cli *cli, bool keep_pins)
{
    char path[PATH_ROOM];
    for (size_t i = 0; i < sizeof made / sizeof *made - keep_pins; i++) {
        (void)unlink(cli_path(cli, made[i], path, sizeof path));
    }
    (void)rmdir(cli_path(cli, "policy", path, sizeof path)); /* where it is empty */
    (void)unlink(cli_path(cli, UNFINISHED, path, sizeof path));
}

/* What an `init` left behind that was killed goes; what is not its own is left alone. */
static int start_over(const struct cli *cli)
{
    if (is_there(cli, UNFINISHED)) {
        if (may_be_there(cli, "audit")) {
            return cli_error(CLI_USAGE,
                             "%s: a host has run here, and its sallyport.conf is missing; "
                             "nothing was changed",
                             cli->dir);
        }
        unmake(cli, false);
    }
    for (size_t i = 0; i < sizeof made / sizeof *made - 1; i++) {
        if (may_be_there(cli, made[i])) {
            return cli_error(CLI_USAGE,
                             "%s/%s: is there already; move it away first. Nothing was changed",
                             cli->dir, made[i]);
        }
    }
    return CLI_YES;
}

static int write_new(const char *path, mode_t mode, struct sp_text text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0) {
        return cli_error(CLI_USAGE, "%s: %s", path, strerror(errno));
    }
    bool good = write(fd, text.ptr, text.len) == (ssize_t)text.len && fsync(fd) == 0;
    (void)close(fd);
    return good ? CLI_YES : cli_error(CLI_INTERNAL, "%s: cannot be written", path);
}

/* A fresh CURVE pair in DIR/<name>.key and, for the host, its public half in DIR/host.pub. */
static int make_pair(const struct cli *cli, const char *name, const char *comment,
                     struct sp_curve_pair *ret_pair)
{
    char path[PATH_ROOM], file[64];
    struct sp_error err = {""};
    (void)snprintf(file, sizeof file, "%s.key", name);
    if (sp_curve_new(ret_pair) ||
        sp_curve_write(cli_path(cli, file, path, sizeof path), ret_pair, comment, &err)) {
        return cli_error(CLI_USAGE, "%s", err.text);
    }
    return CLI_YES;
}

/* Pin what an operator installed: from now on only these very files are loaded. */
static int pin_folder(const struct cli *cli, const char *folder, unsigned *ret_pinned)
{
    char path[PATH_ROOM], pins[PATH_ROOM];
    (void)cli_path(cli, "plugins.pins", pins, sizeof pins);
    DIR *dir = opendir(folder);
    if (!dir) {
        return cli_error(CLI_USAGE, "plugin folder %s: %s", folder, strerror(errno));
    }
    int result = CLI_YES;
    errno = 0;
    for (struct dirent *entry; !result && (entry = readdir(dir)); errno = 0) {
        size_t len = strlen(entry->d_name);
        if (len < 4 || strcmp(entry->d_name + len - 3, ".so") != 0) {
            continue;
        }
        struct sp_plugin_info info;
        struct sp_error err = {""};
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (sp_plugin_inspect(path, &info, &err) || sp_pins_add(pins, info.hash, path, &err)) {
            result = cli_error(CLI_USAGE, "%s", err.text);
        } else {
            (*ret_pinned)++;
        }
    }
    if (!result && errno) { /* half of them would look like all */
        result = cli_error(CLI_USAGE, "plugin folder %s: %s", folder, strerror(errno));
    }
    (void)closedir(dir);
    return result;
}

static int init_seal(const struct cli *cli, enum sp_seal_kind kind, struct sp_text passphrase,
                     const struct sp_curve_pair *admin)
{
    char path[PATH_ROOM];
    struct sp_error err = {""};
    uint8_t key[SP_KEY_BYTES];
    struct sp_text unseal = passphrase;
    int result = CLI_YES;
    if (kind == SP_SEAL_KEY_FILE) {
        randombytes_buf(key, sizeof key);
        unseal = (struct sp_text){(char *)key, sizeof key};
        result = write_new(cli_path(cli, "unseal.key", path, sizeof path), 0600, unseal);
    }
    if (!result &&
        sp_engine_create(cli->dir, kind, unseal, sp_text_of(admin->public_z85), &err)) {
        result = cli_error(CLI_USAGE, "%s", err.text);
    }
    sodium_memzero(key, sizeof key);
    return result;
}

/* What `init` was told; NULL where it was not. */
struct init {
    const char *passphrase, *plugins, *endpoint, *settings, *user;
};

/* Every setting with its default, or a link to the settings that are there. */
static int init_settings(const struct cli *cli, const struct init *init)
{
    char path[PATH_ROOM];
    const struct {
        const char *name, *value;
    } lines[] = {{"user", init->user},
                 {"plugin_dir", init->plugins},
                 {"client_endpoint", init->endpoint}};
    struct sp_buf config;
    (void)cli_path(cli, UNFINISHED, path, sizeof path);
    if (init->settings) {
        return symlink(init->settings, path)
                   ? cli_error(CLI_USAGE, "%s: %s", path, strerror(errno))
                   : CLI_YES;
    }
    sp_buf_init(&config, 64 << 10);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        if (lines[i].value) {
            sp_buf_addf(&config, "%s%s = %s\n", config.len ? "" : "[host]\n", lines[i].name,
                        lines[i].value);
        }
    }
    sp_buf_add_str(&config, config.len ? "\n" : "");
    sp_buf_add_str(&config, sp_config_template);
    int result = write_new(path, 0600, sp_buf_text(&config));
    sp_buf_done(&config);
    return result;
}

static int init_files(const struct cli *cli, const struct init *init,
                      struct sp_curve_pair *host, struct sp_curve_pair *admin)
{
    char path[PATH_ROOM], line[64];
    int result = init_settings(cli, init);
    if (!result) {
        result = make_pair(cli, "host", "sallyport: the host's own CURVE key", host);
    }
    if (!result) {
        int n = snprintf(line, sizeof line, "%s\n", host->public_z85);
        result = write_new(cli_path(cli, "host.pub", path, sizeof path), 0644,
                           (struct sp_text){line, (size_t)n});
    }
    if (!result) {
        result = make_pair(cli, "admin", "sallyport: an administrator's CURVE key", admin);
    }
    if (!result && !init->settings && mkdir(cli_path(cli, "policy", path, sizeof path), 0700)) {
        result = cli_error(CLI_USAGE, "%s: %s", path, strerror(errno));
    }
    return result;
}

/* The folder, which is the host's user's; as whom the rest is made. init->user is set where
 * root asks, so that the settings say it. */
static int init_folder(const struct cli *cli, struct init *init)
{
    struct sp_error err = {""};
    struct stat st;
    uid_t uid = geteuid();
    gid_t gid = getegid();
    static struct sp_config config;
    if (init->settings && sp_config_read(init->settings, &config, &err)) {
        return cli_error(CLI_USAGE, "%s", err.text);
    }
    if (init->settings && !init->user && *config.user) {
        init->user = config.user;
    }
    if (!init->user && uid == 0) {
        init->user = sp_privilege_default();
    }
    if (init->user && sp_privilege_find(init->user, &uid, &gid, &err)) {
        return cli_error(CLI_USAGE, "%s", err.text);
    }
    if (mkdir(cli->dir, 0700) == 0) {
        /* Now, as who asks: the host's user may not read what lies around its folder. */
        if (!sp_sync_parent(cli->dir) && errno != EACCES) {
            return cli_error(CLI_USAGE, "%s: %s", cli->dir, strerror(errno));
        }
        if (geteuid() == 0 && chown(cli->dir, uid, gid)) {
            return cli_error(CLI_USAGE, "%s: %s", cli->dir, strerror(errno));
        }
    } else if (errno != EEXIST || stat(cli->dir, &st)) {
        return cli_error(CLI_USAGE, "%s: %s", cli->dir, strerror(errno));
    } else if (st.st_uid != uid) {
        return cli_error(CLI_USAGE, "%s: is there, and is not %s's; `chown` it", cli->dir,
                         init->user ? init->user : "yours");
    }
    return sp_privilege_as_owner(cli->dir, &err) ? cli_error(CLI_USAGE, "%s", err.text)
                                                 : CLI_YES;
}

static void show_new(const struct cli *cli, const struct init *init, const char *settings,
                     const struct sp_curve_pair *host, unsigned pinned)
{
    if (cli->json) {
        (void)printf("{\"dir\":\"%s\",\"host_key\":\"%s\",\"pinned\":%u}\n", cli->dir,
                     host->public_z85, pinned);
        return;
    }
    (void)printf("A new host in %s:\n"
                 "  sallyport.conf   its settings        policy/      put .scope files here\n"
                 "  host.pub         give it to clients  admin.key    keep it to yourself\n"
                 "  %u plugins pinned. %s\n",
                 cli->dir, pinned,
                 init->passphrase
                     ? "Sealed by a passphrase: `sallyport unseal` after each start."
                     : "Unsealed at start by unseal.key: keep a copy elsewhere.");
    if (init->user) {
        (void)printf(
            "  It runs as %s%s.\n", init->user,
            strcmp(init->user, "root") == 0
                ? ": better make a user for it (`adduser --system --group sallyport`), "
                  "and say so in its settings"
                : "");
    }
    (void)printf("Start it: sallyportd --config %s\n", settings);
}

/* All is on the disk before the settings get their name, and so is the name before anybody is
 * told. */
static int finish(const struct cli *cli)
{
    char from[PATH_ROOM], to[PATH_ROOM];
    (void)cli_path(cli, UNFINISHED, from, sizeof from);
    (void)cli_path(cli, "sallyport.conf", to, sizeof to);
    bool good = sp_sync_path(cli->dir) && rename(from, to) == 0;
    if (good && !sp_sync_path(cli->dir)) {
        good = false;
        (void)rename(to, from);
    }
    return good ? CLI_YES : cli_error(CLI_INTERNAL, "%s: %s", to, strerror(errno));
}

/* In a folder of our own, which nobody else works on. What fails leaves nothing behind. */
static int make_host(const struct cli *cli, const struct init *init, struct sp_text passphrase,
                     struct sp_curve_pair *ret_host, unsigned *ret_pinned)
{
    char path[PATH_ROOM];
    struct sp_curve_pair admin = {"", ""};
    struct sp_error err = {""};
    static struct sp_config config;
    int result = start_over(cli);
    if (result) {
        return result;
    }
    bool had_pins = may_be_there(cli, "plugins.pins");
    result = init_files(cli, init, ret_host, &admin);
    result = result ? result
                    : init_seal(cli, init->passphrase ? SP_SEAL_PASSPHRASE : SP_SEAL_KEY_FILE,
                                passphrase, &admin);
    sodium_memzero(&admin, sizeof admin);
    if (!result &&
        sp_config_read(cli_path(cli, UNFINISHED, path, sizeof path), &config, &err)) {
        result = cli_error(CLI_INTERNAL, "%s", err.text);
    }
    if (!result && (init->plugins || access(config.plugin_dir, F_OK) == 0)) {
        result = pin_folder(cli, config.plugin_dir, ret_pinned);
    }
    result = result ? result : finish(cli);
    if (result) {
        unmake(cli, had_pins);
    }
    return result;
}

static int run_init(struct cli *cli, int argc, char **argv)
{
    struct init init = {NULL, NULL, NULL, NULL, NULL};
    struct cli_list args;
    if (!cli_args(argc, argv,
                  CLI_OPTIONS({"passphrase-file", &init.passphrase, NULL, NULL},
                              {"plugins", &init.plugins, NULL, NULL},
                              {"listen", &init.endpoint, NULL, NULL},
                              {"settings", &init.settings, NULL, NULL},
                              {"user", &init.user, NULL, NULL}),
                  0, 0, &args)) {
        return CLI_USAGE;
    }
    if (init.settings && (init.settings[0] != '/' || init.plugins || init.endpoint)) {
        return cli_error(CLI_USAGE,
                         "--settings takes an absolute path, and says the rest itself");
    }
    char path[PATH_ROOM];
    if (may_be_there(cli, "sallyport.conf")) {
        return cli_error(CLI_USAGE, "%s: a host was set up there already; nothing was changed",
                         cli->dir);
    }
    struct sp_buf passphrase;
    struct sp_error err = {""};
    int lock_fd = -1;
    sp_buf_init(&passphrase, 1024);
    /* Read as whoever asks: the host's user may not see the file. */
    int result = !init.passphrase || cli_read_secret(init.passphrase, "Passphrase", &passphrase)
                     ? init_folder(cli, &init)
                     : CLI_USAGE;
    if (!result && sp_folder_lock(cli->dir, &lock_fd, &err)) {
        result = cli_error(CLI_USAGE, "%s", err.text);
    }
    struct sp_curve_pair host = {"", ""};
    unsigned pinned = 0;
    result = result ? result : make_host(cli, &init, sp_buf_text(&passphrase), &host, &pinned);
    cli_wipe(&passphrase);
    if (!result) {
        show_new(cli, &init, cli_path(cli, "sallyport.conf", path, sizeof path), &host, pinned);
    }
    sodium_memzero(&host, sizeof host);
    if (lock_fd >= 0) {
        (void)close(lock_fd);
    }
    return result;
}

const struct cli_command cli_init_commands[] = {
    {"init", NULL,
     "[--passphrase-file FILE|-] [--plugins FOLDER] [--listen ENDPOINT] [--settings FILE] "
     "[--user NAME]",
     "Set up a new host in --dir",
     "Makes the state folder with its settings, keys, store and an empty policy folder, and "
     "pins\n"
     "the plugins that are installed. Without --passphrase-file the host unseals itself with\n"
     "DIR/unseal.key at start.\n"
     "As root: the host will run as the user NAME, and the folder is that user's (default: "
     "the\n"
     "user `sallyport`, if there is one). With --settings (an absolute path) "
     "DIR/sallyport.conf\n"
     "is a link to FILE, which may say `user`, `policy_dir` and all else.\n",
     run_init},
    {0},
};
