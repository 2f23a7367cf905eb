/* status, doctor, unseal, seal, backup, restore, reload: the host itself. */
#include "cli.h"

#include "config.h"
#include "curve_file.h"
#include "engine.h"
#include "folder_lock.h"
#include "pins.h"
#include "privilege.h"
#include "provider.h"
#include "restore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_ROOM = 2048 };

/* ---- simple requests -----------------------------------------------------------------------
 */

static int run_simple(const struct cli *cli, const char *op, int argc, char **argv)
{
    struct cli_list args;
    if (!cli_args(argc, argv, NULL, 0, 0, 0, &args)) {
        return CLI_USAGE;
    }
    struct sp_buf request;
    sp_buf_init(&request, 256);
    cli_request(&request, op, 0);
    int result = cli_ask_and_show(cli, &request, NULL, NULL, 0);
    sp_buf_done(&request);
    return result;
}

static int run_status(struct cli *cli, int argc, char **argv)
{
    return run_simple(cli, "status", argc, argv);
}

static int run_seal(struct cli *cli, int argc, char **argv)
{
    return run_simple(cli, "seal", argc, argv);
}

static int run_reload(struct cli *cli, int argc, char **argv)
{
    return run_simple(cli, "policy.reload", argc, argv);
}

static int run_unseal(struct cli *cli, int argc, char **argv)
{
    const char *file = "-";
    struct cli_list args;
    if (!cli_args(argc, argv, CLI_OPTIONS({"file", &file, NULL, NULL}), 0, 0, &args)) {
        return CLI_USAGE;
    }
    struct sp_buf secret, request;
    sp_buf_init(&secret, 1025);
    sp_buf_init(&request, 2048);
    int result = CLI_USAGE;
    /* A key file is 32 raw bytes: the last may well be a newline, so it is not cut. */
    bool raw = strcmp(file, "-") != 0 && cli_read(file, &secret);
    if (raw && secret.len != SP_KEY_BYTES && secret.len > 0 &&
        secret.ptr[secret.len - 1] == '\n') {
        secret.len--;
    }
    if (raw || (strcmp(file, "-") == 0 && cli_read_secret(file, "Passphrase", &secret))) {
        cli_request(&request, "unseal", 1);
        sp_wire_put_str(&request, SP_TEXT("secret"));
        sp_wire_put_bin(&request, sp_buf_text(&secret));
        result = cli_ask_and_show(cli, &request, NULL, NULL, 0);
    }
    cli_wipe(&secret);
    cli_wipe(&request);
    return result;
}

static int run_backup(struct cli *cli, int argc, char **argv)
{
    struct cli_list args;
    if (!cli_args(argc, argv, NULL, 0, 1, 1, &args)) {
        return CLI_USAGE;
    }
    char path[PATH_ROOM], folder[1024];
    if (args.items[0][0] == '/') {
        (void)snprintf(path, sizeof path, "%s", args.items[0]);
    } else if (getcwd(folder, sizeof folder)) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, args.items[0]);
    } else {
        return cli_error(CLI_USAGE, "the working folder is gone; give an absolute path");
    }
    struct sp_buf request;
    sp_buf_init(&request, 4096);
    cli_request(&request, "backup", 1);
    sp_wire_pair_str(&request, "path", sp_text_of(path));
    int result = cli_ask_and_show(cli, &request, NULL, NULL, 0);
    sp_buf_done(&request);
    return result;
}

/* ---- restore -------------------------------------------------------------------------------
 */

/* The key file of the settings, where there is one: the backup has to open with it. */
static sp_status read_key_file(const struct cli *cli, struct sp_buf *key, struct sp_error *err)
{
    char path[PATH_ROOM];
    struct sp_config config;
    sp_status status =
        sp_config_read(cli_path(cli, "sallyport.conf", path, sizeof path), &config, err);
    if (!status && *config.key_file && access(config.key_file, F_OK) == 0) {
        status = cli_read(config.key_file, key)
                     ? SP_OK
                     : sp_fail(err, SP_EIO, "the key file cannot be read");
    }
    return status;
}

static void show_restored(const struct cli *cli, const struct sp_restored *done)
{
    if (cli->json) {
        (void)printf("{\"keys\":%llu,\"tokens_voided\":%llu,\"backup_seq\":%llu,"
                     "\"audit_seq\":%llu,\"kept\":",
                     (unsigned long long)done->n_keys, (unsigned long long)done->n_tokens,
                     (unsigned long long)done->backup_seq, (unsigned long long)done->audit_seq);
        struct sp_buf path;
        sp_buf_init(&path, 8192);
        sp_buf_add_json(&path, sp_text_of(done->aside));
        (void)printf("%.*s}\n", (int)path.len, path.ptr);
        sp_buf_done(&path);
        return;
    }
    (void)printf("restored: %llu keys, as of audit record %llu\n",
                 (unsigned long long)done->n_keys, (unsigned long long)done->backup_seq);
    (void)printf("%llu tokens of the backup are void, and all that were issued since; issue "
                 "new ones\n",
                 (unsigned long long)done->n_tokens);
    if (*done->aside) {
        (void)printf("the store that was there is kept as %s\n", done->aside);
    }
    (void)printf("start sallyportd%s\n",
                 done->seal == SP_SEAL_PASSPHRASE
                     ? ", and unseal it with the passphrase of the backup's time"
                     : "");
}

static int run_restore(struct cli *cli, int argc, char **argv)
{
    struct cli_list args;
    int result = CLI_YES;
    if (!cli_args(argc, argv, NULL, 0, 1, 1, &args)) {
        return CLI_USAGE;
    }
    struct sp_error err = {""};
    int lock = -1;
    sp_status status = sp_privilege_as_owner(cli->dir, &err);
    status = status ? status : sp_folder_lock(cli->dir, &lock, &err);
    if (status) {
        return status == SP_EEXIST ? cli_error(CLI_NO, "%s; stop it first", err.text)
                                   : cli_error(CLI_USAGE, "%s", err.text);
    }
    struct sp_restored done;
    struct sp_buf key;
    sp_buf_init(&key, 1024);
    status = read_key_file(cli, &key, &err);
    status =
        status ? status : sp_restore(cli->dir, args.items[0], sp_buf_text(&key), &done, &err);
    cli_wipe(&key);
    if (status) {
        result = cli_error(status == SP_EDENIED || status == SP_ECRYPTO ? CLI_NO : CLI_USAGE,
                           "%s\nnothing was changed", err.text);
    } else {
        show_restored(cli, &done);
    }
    (void)close(lock);
    return result;
}

/* ---- doctor --------------------------------------------------------------------------------
 */

static unsigned report(bool good, const char *what, const char *advice)
{
    (void)printf("%s %s%s%s\n", good ? "ok  " : "FAIL", what, good ? "" : ": ",
                 good ? "" : advice);
    return good ? 0 : 1;
}

/* What refuses every call though it is in the policy; the first of them is told. */
static unsigned report_held(const struct sp_wire_value *map)
{
    const struct sp_wire_value *held = sp_wire_get(map, "policy_held");
    bool none = !held || held->kind != SP_WIRE_ARRAY || held->as.array.n == 0;
    char first[400] = "";
    if (!none && held->as.array.items[0].kind == SP_WIRE_STR) {
        struct sp_text text = held->as.array.items[0].as.text;
        (void)snprintf(first, sizeof first, "%.*s", (int)text.len, text.ptr);
    }
    return report(none, "every scope's keys are what it insists on", first);
}

static bool is_private(const char *path, mode_t forbidden)
{
    struct stat st;
    return stat(path, &st) == 0 && !(st.st_mode & forbidden);
}

static int run_doctor(struct cli *cli, int argc, char **argv)
{
    struct cli_list args;
    if (!cli_args(argc, argv, NULL, 0, 0, 0, &args)) {
        return CLI_USAGE;
    }
    char path[PATH_ROOM];
    struct sp_config config;
    struct sp_error err = {""};
    unsigned faults = 0;
    faults += report(is_private(cli->dir, 077), "the state folder is its owner's alone",
                     "chmod 700 it");
    bool read =
        !sp_config_read(cli_path(cli, "sallyport.conf", path, sizeof path), &config, &err);
    faults += report(read, "sallyport.conf can be read", err.text);
    faults += report(is_private(cli_path(cli, "host.key", path, sizeof path), 077),
                     "host.key is its owner's alone", "chmod 600 it");
    faults += report(is_private(cli_path(cli, "admin.key", path, sizeof path), 077),
                     "admin.key is its owner's alone", "chmod 600 it");
    for (size_t i = 0; read && i < config.n_http; i++) {
        if (*config.http[i].tls_key) {
            faults += report(is_private(config.http[i].tls_key, 077),
                             "an HTTP listener's tls_key is its owner's alone", "chmod 600 it");
        }
    }
    struct rlimit limit;
    faults += report(getrlimit(RLIMIT_MEMLOCK, &limit) == 0 &&
                         (limit.rlim_cur >= 4 << 20 || geteuid() == 0),
                     "memory for secrets can be locked",
                     "raise the memlock limit (LimitMEMLOCK=16M in the unit)");
    faults += report(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= 1024,
                     "there are enough file descriptors", "ulimit -n 4096");
    struct sp_buf request;
    struct cli_answer answer;
    sp_buf_init(&request, 256);
    cli_request(&request, "status", 0);
    struct cli asking = *cli;
    asking.timeout_ms = 5000;
    int reached = read ? cli_ask_admin(&asking, sp_buf_text(&request), &answer) : CLI_USAGE;
    faults += report(reached == CLI_YES, "the host answers", "start sallyportd");
    if (reached == CLI_YES) {
        faults += report(sp_text_is(cli_text(&answer.map, "state"), "ready"), "it is unsealed",
                         "sallyport unseal");
        faults += report(cli_bool(&answer.map, "memory_locked"),
                         "its secrets are locked in memory", "raise LimitMEMLOCK");
        faults += report(cli_bool(&answer.map, "writes"), "audit and store take writes",
                         "see its log; free disk space and restart it");
        struct sp_text refused = cli_text(&answer.map, "policy_error");
        faults += report(refused.len == 0, "the policy files are in force",
                         "the last reload refused them; see `sallyport status`");
        faults += report_held(&answer.map);
    }
    if (read) {
        cli_answer_done(&answer);
    }
    sp_buf_done(&request);
    return faults ? CLI_NO : CLI_YES;
}

const struct cli_command cli_host_commands[] = {
    {"status", NULL, "", "Show the host's state", NULL, run_status},
    {"doctor", NULL, "", "Check the set-up and say what to mend", NULL, run_doctor},
    {"unseal", NULL, "[--file FILE]", "Unseal the host",
     "Asks for the passphrase on the terminal, or reads it (or a key file) from FILE or from\n"
     "standard input.\n",
     run_unseal},
    {"seal", NULL, "", "Seal the host: wipe all keys from its memory", NULL, run_seal},
    {"reload", NULL, "", "Read the policy files again",
     "All of them are taken over, or, where one is wrong, none: then the old policy stays.\n",
     run_reload},
    {"backup", NULL, "FILE", "Copy the store while the host runs",
     "Keep DIR/audit, DIR/sallyport.conf and the unseal key too, the key in another place.\n",
     run_backup},
    {"restore", NULL, "FILE", "Put a backup in the store's place; no host may run",
     "All tokens and request ids become void: which of them were revoked since the backup "
     "cannot\n"
     "be known. The audit goes on where it is; the next start records the restore in it. The\n"
     "store that was there is kept beside it. Where anything is wrong, nothing is changed.\n",
     run_restore},
    {0},
};
